"""The form that sets a session up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.widgets import Input, TextArea

from lcsearch.engine.client.images import Cancelled
from lcsearch.engine.executors import devices
from lcsearch.engine.protocol import Ready
from lcsearch.engine.tasks.task import parameters_of, task_named
from lcsearch.sessions.records import READER, DataSource, Execution
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.screens.setup import SetupScreen
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets.fields import Cycle
from lcsearch.tui.widgets.found import Found

from .conftest import PATIENCE
from .consoles import (
    NARROW,
    SMALL,
    WIDE,
    ConsolePilot,
    assert_nothing_offered_is_typed,
    console,
    press,
    settled,
    text_of,
    until,
)
from .fakes import FakeClient, FakeHome, found_images, make_session, make_snapshot


async def test_first_run_is_three_keys_to_a_running_search() -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        assert "No session yet" in text_of(pilot, "#no-sessions")
        await press(pilot, "n")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))
    (setup,) = sessions.created
    assert setup.name == "digits"
    assert setup.data.spec == "digits"
    assert setup.domains == {}
    assert ("start_engine",) in sessions.clients["digits"].calls


async def test_wrong_fields_are_told_beside_them_and_nothing_is_created() -> None:
    sessions = FakeHome({"fashion": FakeClient(make_snapshot())})
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        screen = pilot.app.screen
        for name, value, told in (
            ("name", "fashion", "already"),
            ("name", "a/b", "letters"),
            ("data", "nothing", "KIND:PATH"),
            ("wc", "-1", "0 or more"),
            ("epochs", "0", "1 to 100,000"),
            ("domain-conv_layers", "6..2", "reversed"),
            ("domain-kernel", "2", "not possible"),
        ):
            screen.query_one(f"#field-{name}", Input).value = value
            await pilot.pause()
            assert told in str(screen.query_one(f"#note-{name}").render()), (name, value)
        await press(pilot, "enter")
        assert pilot.app.screen is screen
        assert sessions.created == []


async def test_narrowed_domains_and_the_measure_reach_the_session() -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        screen = pilot.app.screen
        screen.query_one("#field-domain-conv_layers", Input).value = "2..4"
        screen.query_one("#field-train_size", Input).value = "1000"
        screen.query_one("#measure").focus()
        await press(pilot, "space", "space")
        await pilot.press("enter")
        await until(pilot, lambda: bool(sessions.created))
    assert sessions.created[0].domains == {"conv_layers": "2..4"}
    assert sessions.created[0].measure == "macs"
    assert sessions.created[0].data.train_size == 1000


async def test_a_metric_brings_the_weights_that_suit_it() -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        metric, weights = (
            pilot.app.screen.query_one(name, Cycle) for name in ("#metric", "#class-weights")
        )
        metric.focus()
        for key, expected in (
            ("space", ("balanced", "balanced")),
            ("space", ("macro-f1", "balanced")),
            ("space", ("accuracy", "none")),
            ("left", ("macro-f1", "balanced")),
        ):
            await press(pilot, key)
            assert (metric.value, weights.value) == expected
        weights.focus()
        await press(pilot, "space")  # what a person chose stays
        metric.focus()
        await press(pilot, "left")
        assert (metric.value, weights.value) == ("balanced", "none")
        await pilot.press("enter")
        await until(pilot, lambda: bool(sessions.created))
    (setup,) = sessions.created
    assert (setup.metric, setup.class_weights) == ("balanced", "none")


async def test_refused_data_are_told_in_a_dialog_and_the_form_stays() -> None:
    sessions = FakeHome(refuse="idx:/x: no such folder. Give a folder with IDX files.")
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        pilot.app.screen.query_one("#field-data", Input).value = "idx:/x"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "idx:/x" in pilot.app.screen.query_one(TextArea).text
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, SetupScreen)
        assert pilot.app.screen.query_one("#field-data", Input).value == "idx:/x"


async def test_a_copied_set_up_fills_the_form() -> None:
    client = FakeClient(make_snapshot(wc=0.7, domains={"conv_layers": "3..5"}))
    sessions = FakeHome({"fashion": client})
    async with console(sessions=sessions) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        values = {i.id: i.value for i in pilot.app.screen.query(Input)}
        assert values["field-name"] == "fashion-2"
        assert values["field-wc"] == "0.7"
        assert values["field-data"] == "idx:/data/fashion"
        assert values["field-domain-conv_layers"] == "3..5"


async def test_a_copied_set_up_keeps_what_the_form_does_not_show() -> None:
    execution = Execution(executor="ray", per_trial={"gpus": 1}, parallel=4, dtype="float32")
    client = FakeClient(
        make_snapshot(
            execution=execution,
            features=2,
            macs_cap=3.0,
            metric="macro-f1",
            class_weights="none",
            weights="int8",
        )
    )
    sessions = FakeHome({"fashion": client})
    async with console(sessions=sessions) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        await pilot.press("enter")
        await until(pilot, lambda: bool(sessions.created))
    (setup,) = sessions.created
    assert (setup.execution, setup.features, setup.macs_cap) == (execution, 2, 3.0)
    assert (setup.metric, setup.class_weights) == ("macro-f1", "none")
    assert setup.weights == "int8"


async def test_the_set_up_says_how_many_trials_train_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "processors", lambda: 2)
    monkeypatch.setattr(devices, "processors_only", lambda: True)
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        field = pilot.app.screen.query_one("#field-parallel", Input)
        assert field.value == "2"
        field.value = "3"
        await pilot.press("enter")
        assert "more than this machine's 2 processors" in text_of(pilot, "#note-parallel")
        assert not sessions.created
        field.value = "1"
        await pilot.press("enter")
        await until(pilot, lambda: bool(sessions.created))
    assert sessions.created[0].execution.parallel == 1


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL])
async def test_up_and_down_go_through_the_fields_of_the_set_up_where_they_do_not_fit(
    size: tuple[int, int],
) -> None:
    async with console(sessions=FakeHome({}), size=size) as pilot:
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        fields = [pilot.app.focused]
        for _ in range(8):
            await press(pilot, "down")
            fields.append(pilot.app.focused)
        assert len({id(field) for field in fields}) == 9
        for field in fields[-2::-1]:
            await press(pilot, "up")
            assert pilot.app.focused is field


async def test_every_field_of_the_set_up_is_explained_whole_below_it() -> None:
    async with console(sessions=FakeHome(), size=NARROW) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        for name, words in [
            ("field-data", "KIND:PATH of folder"),
            ("field-wc", "more look for low complexity"),
            ("measure", "timed beside it"),
            ("stop-behind", "median"),
            ("weights", "where the network is used"),
            ("metric", "count unequal classes alike"),
            ("class-weights", "rare classes"),
        ]:
            pilot.app.screen.query_one(f"#{name}").focus()
            await pilot.pause()
            assert words in text_of(pilot, "#note-line")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("epochs", "100001", "1 to 100,000"),
        ("trials", "0", "1 to 100,000"),
        ("seed", "9999999999", "0 to 2,147,483,647"),
        ("epochs", "9" * 5000, "1 to 100,000"),
    ],
)
async def test_a_number_that_no_session_takes_is_told_at_its_field(
    name: str, value: str, words: str
) -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        pilot.app.screen.query_one(f"#field-{name}", Input).value = value
        await settled(pilot)
        assert words in str(pilot.app.screen.query_one(f"#note-{name}").render())
        await press(pilot, "enter")
        assert not sessions.created


async def test_no_key_is_offered_in_the_set_up_that_would_be_typed() -> None:
    async with console(sessions=FakeHome()) as pilot:
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        await assert_nothing_offered_is_typed(pilot)
        field = pilot.app.screen.query_one("#field-name", Input)
        field.focus()
        before = field.value
        await press(pilot, "f1")
        assert "Keys here" in text_of(pilot, "#help-keys")
        assert "f1" in text_of(pilot, "#help-keys")
        await press(pilot, "escape")
        assert field.value == before


async def test_the_set_up_takes_a_strategy_and_one_level() -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        trials = pilot.app.screen.query_one("#field-trials", Input)
        pilot.app.screen.query_one("#flat", Cycle).value = True
        await settled(pilot)
        assert trials.value == "48"
        pilot.app.screen.query_one("#flat", Cycle).value = False
        await settled(pilot)
        assert trials.value == "12"
        trials.value = "20"
        pilot.app.screen.query_one("#flat", Cycle).value = True
        pilot.app.screen.query_one("#strategy", Cycle).value = "annealing"
        await settled(pilot)
        await press(pilot, "enter")
        (setup,) = sessions.created
        assert (setup.flat, setup.strategy, setup.trials_per_level) == (True, "annealing", 20)


async def test_the_set_up_takes_a_space_and_shows_its_domains() -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        form = pilot.app.screen
        space = form.query_one("#space", Cycle)
        assert space.value == "poster"
        line, rate = (form.query_one(f"#line-domain-{n}") for n in ("dropout", "learning_rate"))
        assert (line.display, rate.display) == (False, True)
        space.value = "full"
        await settled(pilot)
        assert line.display
        form.query_one("#field-domain-dropout", Input).value = "0..0.3"
        form.query_one("#field-domain-schedule", Input).value = "cosine,one-cycle"
        await settled(pilot)
        await press(pilot, "enter")
        (setup,) = sessions.created
        assert setup.space == "full"
        assert setup.domains == {"dropout": "0..0.3", "schedule": "cosine,one-cycle"}


@pytest.mark.parametrize("defaults", [{}, {"schedule": "one-cycle", "learning_rate": 0.01}])
@pytest.mark.parametrize("space", ["full", "core"])
async def test_one_that_begins_like_another_is_trained_like_it(
    defaults: dict[str, Any], space: str
) -> None:
    session = make_session(parameters=parameters_of(task_named("cnn"), "full"), defaults=defaults)
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await pilot.app.push_screen(SetupScreen(pilot.app.session, set(), like=session))
        await settled(pilot)
        form = pilot.app.screen
        form.query_one("#field-name", Input).value = "again"
        assert form.query_one("#space", Cycle).value == "full"
        form.query_one("#space", Cycle).value = space
        await settled(pilot)
        await press(pilot, "enter")
        (setup,) = sessions.created
        # in another space as that begins
        assert setup.defaults == (defaults if space == "full" else None)


async def test_domains_of_parameters_that_are_not_in_the_space_are_left_out() -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        form = pilot.app.screen
        form.query_one("#space", Cycle).value = "full"
        await settled(pilot)
        form.query_one("#field-domain-dropout", Input).value = "nonsense"
        form.query_one("#space", Cycle).value = "poster"
        await settled(pilot)
        await press(pilot, "enter")
        (setup,) = sessions.created
        assert (setup.space, setup.domains) == ("poster", {})


# what is found ----------------------------------------------------------------------------------


async def placed(pilot: ConsolePilot, spec: str) -> Found:
    """In the set-up, with this place written in it."""
    await press(pilot, "n")
    pilot.app.screen.query_one("#field-data", Input).value = spec
    return pilot.app.screen.query_one(Found)


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL])
async def test_what_is_found_is_shown_as_soon_as_a_place_is_written(size: tuple[int, int]) -> None:
    sessions = FakeHome(found=found_images)
    async with console(sessions=sessions, size=size) as pilot:
        panel = await placed(pilot, "folder:/photos")
        await until(pilot, lambda: "1,500 images" in text_of(pilot, "#found"))
        for words in ("28x28, colour, 10 classes", "500 to train", "class 9  150", "▀", "brought"):
            assert words in text_of(pilot, "#found")
        shown = text_of(pilot, "#found").splitlines()
        assert max(map(cell_len, shown)) <= panel.content_size.width or size == SMALL
        # another way to read them is looked at, too
        pilot.app.screen.query_one("#field-image_size", Input).value = "32x16"
        pilot.app.screen.query_one("#fit", Cycle).value = "pad"
        await until(pilot, lambda: "32x16 (pad)" in text_of(pilot, "#found"))
        await press(pilot, "enter")
        await until(pilot, lambda: bool(sessions.created))
    (setup,) = sessions.created
    assert setup.data == sessions.looked[-1]
    assert (setup.data.image_size, setup.data.fit) == ((16, 32), "pad")


@pytest.mark.parametrize("reader", [1, READER])
async def test_a_copy_of_an_older_session_shows_what_is_read_now(reader: int) -> None:
    """What a session of today was made of is known; looking at it again takes time."""
    snapshot = make_snapshot(name="old")
    data = DataSource(spec="folder:/photos", reader=reader)
    session = snapshot.session.model_copy(update={"data": data})
    sessions = FakeHome({"old": FakeClient(replace(snapshot, session=session))}, found=found_images)
    async with console(sessions=sessions) as pilot:
        await press(pilot, "c")
        assert pilot.app.screen.query_one("#field-name", Input).value == "old-2"
        panel = pilot.app.screen.query_one(Found)
        if reader == READER:
            pilot.app.screen.query_one("#field-image_size", Input).value = "20"
        await until(pilot, lambda: "1,500 images" in text_of(pilot, "#found"))
        assert panel.display
    (looked,) = sessions.looked
    assert looked.image_size == (None if reader == 1 else (20, 20))


async def test_a_session_is_named_like_its_images_until_somebody_names_it() -> None:
    sessions = FakeHome({"cats": FakeClient(make_snapshot())}, found=found_images)
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        name, data = (
            pilot.app.screen.query_one(f"#field-{field}", Input) for field in ("name", "data")
        )
        for place, expected in (
            ("folder:/photos/my pets", "my-pets"),
            ("folder:/photos/cats.tar.gz", "cats-2"),
            ("npz:/...", "npz"),
            ("digits", "digits"),
        ):
            data.value = place
            await settled(pilot)
            assert name.value == expected
        name.value = "mine"
        data.value = "folder:/photos/dogs"
        await settled(pilot)
        assert name.value == "mine"


async def test_what_cannot_be_used_is_said_in_the_form() -> None:
    async with console(sessions=FakeHome()) as pilot:
        panel = await placed(pilot, "folder:/nowhere")
        await until(pilot, lambda: "no such folder" in text_of(pilot, "#found"))
        assert panel.has_class("problem")
        pilot.app.screen.query_one("#field-data", Input).value = "folder"
        await until(pilot, lambda: not panel.display)


async def test_only_the_fields_of_a_kind_are_there() -> None:
    sessions = FakeHome(found=found_images)
    async with console(sessions=sessions) as pilot:
        for spec, there in (
            ("digits", ""),
            ("idx:/x", "image_size fit drop-leaks"),
            ("folder:/x", "image_size fit drop-leaks background skip-broken"),
            ("csv:/x", "image_size fit drop-leaks background skip-broken columns"),
        ):
            if not isinstance(pilot.app.screen, SetupScreen):
                await press(pilot, "n")
            pilot.app.screen.query_one("#field-data", Input).value = spec
            await settled(pilot)
            for name in ["image_size", "fit", "drop-leaks", "background", "skip-broken", "columns"]:
                line = pilot.app.screen.query_one(f"#line-{name}")
                assert line.display == (name in there.split()), (spec, name)


async def test_what_a_kind_does_not_have_is_not_said_of_it() -> None:
    sessions = FakeHome(found=found_images)
    async with console(sessions=sessions) as pilot:
        await placed(pilot, "csv:/photos.csv")
        for name, value in (("image_size", "32"), ("background", "black"), ("columns", "nonsense")):
            pilot.app.screen.query_one(f"#field-{name}", Input).value = value
        pilot.app.screen.query_one("#fit", Cycle).value = "pad"
        pilot.app.screen.query_one("#field-data", Input).value = "digits"
        await settled(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: bool(sessions.created))
    (setup,) = sessions.created
    assert setup.data == DataSource(spec="digits", reader=setup.data.reader)


async def test_a_place_that_cannot_be_looked_at_ends_no_console() -> None:
    def full(*_: object) -> Ready:
        raise OSError(28, "No space left on device")

    async with console(sessions=FakeHome(found=full)) as pilot:
        await placed(pilot, "folder:/photos")
        await until(pilot, lambda: "No space left" in text_of(pilot, "#found"))


async def test_the_answer_about_another_place_is_not_shown() -> None:
    """The first one is held until the second one is wanted, and is told that it is not."""
    held = threading.Event()
    dropped = threading.Event()

    def look(data: DataSource, progress: object, cancelled: threading.Event) -> Ready | str:
        if data.spec == "folder:/first":
            held.set()
            assert cancelled.wait(PATIENCE)
            dropped.set()
            return "folder:/first: nobody reads this."
        return found_images(data)

    sessions = FakeHome(found=look)
    async with console(sessions=sessions) as pilot:
        await placed(pilot, "folder:/first")
        await until(pilot, held.is_set)
        pilot.app.screen.query_one("#field-data", Input).value = "folder:/second"
        await until(pilot, dropped.is_set)
        await until(pilot, lambda: "1,500 images" in text_of(pilot, "#found"))


async def test_leaving_the_set_up_ends_what_is_being_read() -> None:
    held = threading.Event()
    dropped = threading.Event()

    def look(
        data: DataSource, progress: Callable[[int, int], None], cancelled: threading.Event
    ) -> str:
        progress(300, 2000)
        held.set()
        assert cancelled.wait(PATIENCE)
        dropped.set()
        return ""

    async with console(sessions=FakeHome(found=look)) as pilot:
        await placed(pilot, "folder:/many")
        await until(pilot, held.is_set)
        await until(pilot, lambda: "reading image 300 of 2,000" in text_of(pilot, "#found"))
        await press(pilot, "escape")
        await until(pilot, dropped.is_set)


async def test_escape_stops_a_session_from_being_made() -> None:
    began = threading.Event()

    class Slow(FakeHome):
        def create(self, setup: Any, progress: Any = None, cancelled: Any = None) -> None:
            progress(10, 50)
            began.set()
            assert cancelled.wait(PATIENCE)
            raise Cancelled

    sessions = Slow(found=found_images)
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        await pilot.press("enter")
        await until(pilot, began.is_set)
        await until(pilot, lambda: "reading image 10 of 50" in text_of(pilot, "#probing"))
        await pilot.press("escape")
        await until(pilot, lambda: not pilot.app.screen.query_one("#probing").display)
        assert isinstance(pilot.app.screen, SetupScreen)
        assert sessions.created == []


async def test_page_down_shows_what_is_higher_than_the_screen() -> None:
    async with console(sessions=FakeHome(found=found_images), size=NARROW) as pilot:
        await placed(pilot, "folder:/photos")
        await until(pilot, lambda: "1,500 images" in text_of(pilot, "#found"))
        form = pilot.app.screen.query_one("#setup-form")
        await press(pilot, "pagedown")
        assert form.scroll_y > 10
        await press(pilot, "pageup")
        assert form.scroll_y == 0


async def test_a_session_whose_images_were_misread_says_so(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
    data = DataSource(spec=f"folder:{tmp_path}")
    snapshot = make_snapshot()
    session = snapshot.session.model_copy(update={"data": data})
    async with console(FakeClient(replace(snapshot, session=session))) as pilot:
        await until(pilot, lambda: bool(pilot.app._notifications))
        told = " ".join(toast.message for toast in pilot.app._notifications)
        assert "takes the folders test, train for classes" in told
