"""What no screen has to itself: keys, palette, pictures, help, settings, and leaving."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, Static, TextArea

from lcsearch.sessions.records import Execution
from lcsearch.tui.app import Console
from lcsearch.tui.dialogs.choice import Choices
from lcsearch.tui.dialogs.export import ExportDialog
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.dialogs.quit import QuitDialog
from lcsearch.tui.networks import trial_line
from lcsearch.tui.screens.setup import SetupScreen

from .conftest import FREEZE, UNFREEZE
from .consoles import WIDE, console, offered, press, text_of, toasts, until
from .fakes import NOW, FakeClient, FakeHome, make_snapshot


async def test_the_palette_names_keys_as_the_bar_does() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        told = {c.title: c.help for c in pilot.app.get_system_commands(pilot.app.screen)}
        assert told["Leave the console"] == "Quit · keys q ^q"
        assert told["Go to Workbench"] == "key 2"
        level = next(title for title in told if title.startswith("Go on to the next level"))
        assert told[level].endswith("key ]")
        assert not [text for text in told.values() if "square_bracket" in text]


async def test_a_picture_is_saved_where_one_says_and_its_path_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with console(FakeClient(make_snapshot())) as pilot:
        (save,) = [
            c.callback
            for c in pilot.app.get_system_commands(pilot.app.screen)
            if c.title == "Save a picture"
        ]
        save()
        await until(pilot, lambda: isinstance(pilot.app.screen, ExportDialog))
        path = tmp_path / "fashion-workbench.svg"
        assert pilot.app.screen.query_one("#path", Input).value == str(path)
        await press(pilot, "enter")
        await until(pilot, lambda: f"Saved to {path}" in toasts(pilot))
        drawn = path.read_text()
        assert drawn.startswith("<svg")
        assert "Candidates" in drawn
        assert "picture" not in drawn


async def test_a_picture_that_cannot_be_saved_says_which_and_why(tmp_path: Path) -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        pilot.app.ask_where_to_save()
        await until(pilot, lambda: isinstance(pilot.app.screen, ExportDialog))
        folder = tmp_path / "away"
        folder.mkdir()
        pilot.app.screen.query_one("#path", Input).value = str(folder / "p.svg")
        dialog = pilot.app.screen
        folder.rmdir()
        dialog.dismiss(folder / "p.svg")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        failure = pilot.app.screen
        assert isinstance(failure, FailureDialog)
        assert f"{folder}: there is no such folder" in failure.text


async def test_quit_with_nothing_at_work_asks_nothing() -> None:
    client = FakeClient(make_snapshot(running=0, queued=0))
    async with console(client) as pilot:
        await pilot.press("q")
    assert pilot.app.return_value == 0
    assert client.closed


async def test_quit_keeps_training_in_the_background() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, QuitDialog)
        await pilot.press("b")
    assert pilot.app.return_value == 0
    assert client.made("stop") == []


async def test_trials_are_named_with_their_networks_where_they_are_stopped_or_left() -> None:
    client = FakeClient(make_snapshot(running=2, execution=Execution(parallel=2)))
    session, trials = client.snapshot.session, client.snapshot.trials
    async with console(client) as pilot:
        await press(pilot, "q")
        told = "\n".join(str(static.render()) for static in pilot.app.screen.query(Static))
        for trial in trials[19:21]:
            assert f"Trial {trial.number} trains: {trial_line(trial, session)}" in told
        assert "2 trials wait." in told
        await press(pilot, "escape", "s")
        options = [str(o.prompt) for o in pilot.app.screen.query_one(Choices).options]
        assert options[0] == f"Trial 19 · epoch 7/10 · {trial_line(trials[19], session)}"
        assert trial_line(trials[21], session) in options[-2]
        # a heading is no answer
        await press(pilot, "down", "up", "up")
        assert pilot.app.screen.query_one(Choices).highlighted not in (0, 4)


async def test_quit_can_stop_what_runs_after_its_epoch_and_withdraw_the_rest() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "ctrl+q")
        await pilot.press("s")
        await until(pilot, lambda: pilot.app.return_value == 0)
    assert [call[:2] for call in client.made("stop")] == [
        (19, "epoch"),
        (20, "epoch"),
        (21, "epoch"),
    ]


@pytest.fixture
def freezing(frozen_already: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is frozen and thawed is, as outside of tests."""
    monkeypatch.setattr(gc, "freeze", FREEZE)
    monkeypatch.setattr(gc, "unfreeze", UNFREEZE)
    yield
    FREEZE()


@pytest.mark.usefixtures("freezing")
async def test_what_was_loaded_for_the_first_ranking_is_not_walked_through_again() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    async with console(FakeClient(make_snapshot())):
        assert gc.get_freeze_count() > before[1]
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before[0], 0)


async def test_every_binding_has_an_id_and_a_tooltip() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        for _, binding, _, _ in pilot.app.screen.active_bindings.values():
            if not binding.system and not binding.action.startswith(("app.focus", "screen.")):
                assert binding.id, binding
                assert binding.tooltip, binding


async def test_a_key_that_a_person_set_is_not_offered_where_it_is_typed(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"keys": {"setup.leave": "b", "help": "f2,h"}}))
    app = Console(Path("/nowhere"), sessions=FakeHome(), settings_file=file)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.screen.query_one("#no-sessions").display)
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await pilot.pause()
        assert "f2" in offered(pilot)
        assert not {"b", "h"} & set(offered(pilot))


async def test_help_names_the_keys_and_the_formulas() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "question_mark")
        assert "Train the selected candidate" in text_of(pilot, "#help-keys")
        assert "f = f_p + w_c · f_c" in text_of(pilot, "#help-figures")


async def test_keys_and_theme_come_from_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"theme": "lcsearch-light", "keys": {"decide.accept": "t"}}))
    client = FakeClient(make_snapshot())
    app = Console(
        Path("/nowhere"), "fashion", sessions=FakeHome({"fashion": client}), clock=lambda: NOW,
        settings_file=file, read_seconds=0.01,
    )  # fmt: skip
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.session.ranking is not None)
        assert app.theme == "lcsearch-light"
        await press(pilot, "t")
        assert len(client.made("accept")) == 1


async def test_a_broken_settings_file_is_told_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text("{")
    app = Console(Path("/nowhere"), sessions=FakeHome(), settings_file=file)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        assert str(file) in app.screen.query_one(TextArea).text
    assert file.read_text() == "{"
