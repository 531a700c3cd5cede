"""The end of a search: the best network is trained to the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static, TextArea

from lcsearch.engine.protocol import trained_on
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import DataSummary
from lcsearch.tui.dialogs.choice import Choices
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.dialogs.quit import QuitDialog
from lcsearch.tui.widgets.fields import Cycle
from lcsearch.tui.widgets.header import engine_words

from .consoles import console, press, ranking_of, snapshot_of, text_of, toasts, until
from .fakes import FakeClient, delivery, make_snapshot


@pytest.fixture(autouse=True)
def _folders_are_proposed_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


RUNNING: dict[str, Any] = {
    "state": "running", "epochs": 5, "epoch": 3, "done": 0.6, "loss": 0.2, "seconds_left": 80,
}  # fmt: skip


async def test_the_best_network_is_trained_to_the_end_by_the_engine(tmp_path: Path) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        number = ranking_of(pilot).incumbent_number
        assert number is not None
        await press(pilot, "6", "t")
        assert "within" not in text_of(pilot, ".hint")
        assert "at w_c 0.10" in text_of(pilot, ".hint")
        pilot.app.screen.query_one("#epochs", Input).value = "0"
        await press(pilot, "enter")
        assert "epochs = 0" in text_of(pilot, "#problem")
        place = tmp_path / "a["  # the words are shown as they are, [/b] is no markup
        place.mkdir()
        (place / "b]").touch()
        pilot.app.screen.query_one("#epochs", Input).value = "5"
        pilot.app.screen.query_one("#seeds", Input).value = "x"
        await press(pilot, "enter")
        assert "seeds = x" in text_of(pilot, "#problem")
        pilot.app.screen.query_one("#seeds", Input).value = "3"
        pilot.app.screen.query_one("#folder", Input).value = str(place / "b]")
        await press(pilot, "enter")
        assert f"{place / 'b]'}: exists and is no folder" in text_of(pilot, "#problem")
        plan = text_of(pilot, "#plan")
        assert trained_on(client.snapshot.session.summary, "all") in plan
        assert "5 epochs, with 3 seeds; a few seconds" in plan
        folder = place / "out]"
        pilot.app.screen.query_one("#folder", Input).value = str(folder)
        await press(pilot, "enter")
        await until(pilot, lambda: client.made("deliver") != [])
        assert client.made("deliver") == [(number, folder, 5, "all", 3, False, False, False)]
        assert f"Trial {number} is trained to the end. s stops or pauses it." in toasts(pilot)
        at = {"trial": number, "folder": str(folder)}
        client.deliveries_are(delivery(**RUNNING, **at))
        await until(
            pilot, lambda: "epoch 3/5 · loss 0.2000 · about 1 min" in text_of(pilot, "#next")
        )
        client.deliveries_are(delivery(state="done", scores=(0.9123,), epochs=5, **at))
        await until(pilot, lambda: "91.23 % on the test set" in text_of(pilot, "#next"))
        assert str(folder) in toasts(pilot)
        assert not any(n.markup for n in pilot.app._notifications if str(folder) in n.message)


@pytest.mark.parametrize(
    ("steps", "forms"),
    [(1, (True, False, False)), (2, (True, True, False)), (3, (True, True, True))],
)
async def test_onnx_and_eight_bits_are_asked_for(steps: int, forms: tuple[bool, ...]) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "6", "t")
        pilot.app.screen.query_one("#onnx", Cycle).focus()
        await press(pilot, *["space"] * steps, "enter")
        await until(pilot, lambda: client.made("deliver") != [])
        assert client.made("deliver")[0][-3:] == forms


async def test_all_images_are_counted_before_it_is_asked_for() -> None:
    snapshot = make_snapshot()
    session = snapshot.session
    part = session.data.model_copy(update={"train_size": 10_000})

    class Client(FakeClient):
        def all_images(self) -> DataSummary:
            return session.summary.model_copy(update={"train": 48_000, "val": 12_000})

    client = Client(replace(snapshot, session=session.model_copy(update={"data": part})))
    async with console(client) as pilot:
        await press(pilot, "6", "t")
        words = "trains on all 60,000 images outside the test set"
        await until(pilot, lambda: words in text_of(pilot, "#plan"))
        assert "(the search used 10,000)" in text_of(pilot, "#plan")
        assert "none of this session was scored on it before" in text_of(pilot, "#plan")
        await press(pilot, "enter")
        await until(pilot, lambda: client.made("deliver") != [])
        assert client.made("deliver")[0][3] == "all"


async def test_the_folder_that_is_proposed_is_a_new_one(tmp_path: Path) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        best = ranking_of(pilot).incumbent_number
        first = tmp_path / f"fashion-trial-{best}"
        first.mkdir()
        client.deliveries_are(delivery(**RUNNING, folder=f"{first}-2"))
        await until(pilot, lambda: len(snapshot_of(pilot).deliveries) == 1)
        await press(pilot, "6", "t")
        assert pilot.app.screen.query_one("#folder", Input).value == f"{first}-3"


@pytest.mark.parametrize(("lacks", "told"), [((), False), (("onnx",), True)])
async def test_what_onnx_needs_is_told_where_it_is_not_there(
    monkeypatch: pytest.MonkeyPatch, lacks: tuple[str, ...], told: bool
) -> None:
    monkeypatch.setattr("lcsearch.tui.dialogs.final.missing", lambda runtime: lacks)
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "6", "t")
        hints = [str(label.render()) for label in pilot.app.screen.query(".hint").results(Static)]
        assert any("needs lcsearch[onnx], not installed" in hint for hint in hints) == told


async def test_another_trial_is_trained_where_it_is_named(tmp_path: Path) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        best = ranking_of(pilot).incumbent_number
        await press(pilot, "6", "t")
        dialog = pilot.app.screen
        number, folder = dialog.query_one("#trial", Input), dialog.query_one("#folder", Input)
        assert number.value == str(best)
        number.value = "3"
        await until(pilot, lambda: "trial 3: " in text_of(pilot, "#plan"))
        assert folder.value == str(tmp_path / "fashion-trial-3")
        folder.value = str(tmp_path / "mine")
        for wrong in ("99", "", "x"):
            number.value = wrong
            await until(pilot, lambda: text_of(pilot, "#plan") == "")
            await press(pilot, "enter")
            assert f"trial = {wrong}: this session has 0 to " in text_of(pilot, "#problem")
        number.value = "4"
        await until(pilot, lambda: "trial 4: " in text_of(pilot, "#plan"))
        assert folder.value == str(tmp_path / "mine")  # that was named is kept
        await press(pilot, "enter")
        await until(pilot, lambda: client.made("deliver") != [])
        assert client.made("deliver")[0][:2] == (4, tmp_path / "mine")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_its_key_is_shown_and_all_final_trainings_are_told(size: tuple[int, int]) -> None:
    client = FakeClient(make_snapshot())
    done = {"state": "done", "scores": (0.9123,), "folder": "/models/a b"}
    finals = [delivery(number=n, trial=n, **done) for n in range(1, 5)]
    client.deliveries_are(*finals, delivery(number=5, **RUNNING))
    async with console(client, size=size) as pilot:
        await press(pilot, "6")
        await until(pilot, lambda: "t Train to the end" in text_of(pilot, "KeyBar"))
        told = text_of(pilot, "#next")
        assert "t  train it to the end, and write it\n" in told
        assert "final 5 (trial 1)  epoch 3/5" in told
        assert "final 4 (trial 4)  91.23 % on the test set" in told
        assert "lcsearch predict '/models/a b' IMAGE" in told
        assert "and 2 before" in told


async def test_images_that_cannot_be_counted_are_told() -> None:
    class Client(FakeClient):
        def all_images(self) -> DataSummary:
            raise StoreError("idx:/gone: there is no such folder.")

    async with console(Client(make_snapshot())) as pilot:
        await press(pilot, "6", "t")
        await until(pilot, lambda: "there is no such folder" in text_of(pilot, "#problem"))


async def test_a_final_training_stands_where_trainings_stand() -> None:
    client = FakeClient(make_snapshot(running=0, queued=0))
    waits = delivery(number=2, trial=4)
    client.deliveries_are(delivery(**RUNNING), waits)
    async with console(client) as pilot:
        await press(pilot, "2")
        await until(pilot, lambda: "final 1 (trial 1)" in text_of(pilot, "TrainingPanel"))
        panel = text_of(pilot, "TrainingPanel")
        assert "epoch 3/5 · about 1 min left" in panel
        assert "final 2 (trial 4)" in panel
        assert "2 final 60 %" in str(engine_words(client.snapshot))
        await press(pilot, "3")
        await until(pilot, lambda: "final 2  trial 4  queued" in text_of(pilot, "#finals"))


@pytest.mark.parametrize(
    ("state", "keys", "made"),
    [
        ("running", ("p",), ("stop_delivery", 1, "pause")),
        ("running", ("n",), ("stop_delivery", 1, "now")),
        ("queued", ("w",), ("stop_delivery", 1, "now")),
        ("paused", ("r",), ("resume_delivery", 1)),
        ("paused", ("n",), ("stop_delivery", 1, "now")),
    ],
)
async def test_it_is_stopped_paused_and_resumed_as_a_trial_is(
    state: str, keys: tuple[str, ...], made: tuple[Any, ...]
) -> None:
    client = FakeClient(make_snapshot(running=0, queued=0))
    client.deliveries_are(delivery(**{**RUNNING, "state": state}))
    async with console(client) as pilot:
        await press(pilot, "2", "s", *keys)
        await until(pilot, lambda: made in client.calls)


async def test_a_final_training_that_fails_is_told() -> None:
    client = FakeClient(make_snapshot())
    client.deliveries_are(delivery(**RUNNING))
    async with console(client) as pilot:
        client.deliveries_are(delivery(state="failed", message="out of memory"))
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "out of memory" in pilot.app.screen.query_one(TextArea).text


@pytest.mark.parametrize("trials", [{}, {"running": 0, "queued": 0}])
async def test_each_answer_of_leaving_is_one_line(trials: dict[str, Any]) -> None:
    client = FakeClient(make_snapshot(**trials))
    client.deliveries_are(delivery(**RUNNING))
    async with console(client, size=(80, 24)) as pilot:
        await press(pilot, "q")
        answers = pilot.app.screen.query_one(Choices)
        assert "paused" in str(answers.options[1].prompt)
        assert answers.virtual_size.height == answers.option_count


async def test_leaving_asks_while_a_network_is_trained_to_the_end() -> None:
    client = FakeClient(make_snapshot(running=0, queued=0))
    client.deliveries_are(delivery(**RUNNING))
    async with console(client) as pilot:
        await press(pilot, "q")
        dialog = pilot.app.screen
        assert isinstance(dialog, QuitDialog)
        said = " ".join(str(one.render()) for one in dialog.query(Static))
        assert "Trial 1 is trained to the end: epoch 3/5" in said
        await press(pilot, "s")
        await until(pilot, lambda: client.made("stop_delivery") == [(1, "pause")])
