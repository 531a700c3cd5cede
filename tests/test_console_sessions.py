"""The list of sessions: one is opened, deleted and brought back; of two, one is shown."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.tui.app import Console
from lcsearch.tui.dialogs.edit import EditDialog
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.open_session import Lost
from lcsearch.tui.screens.sessions import SessionsScreen
from lcsearch.tui.screens.setup import SetupScreen
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets.keys import KeyBar

from .conftest import PATIENCE
from .consoles import (
    WIDE,
    console,
    held_threads,
    press,
    settled,
    table_of,
    text_of,
    toasts,
    two_sessions,
    until,
)
from .fakes import NOW, FakeClient, FakeHome, FakeRanking, make_snapshot


async def test_a_session_is_opened_and_a_deleted_one_comes_back() -> None:
    sessions = FakeHome({"fashion": FakeClient(make_snapshot())})
    async with console(sessions=sessions) as pilot:
        await press(pilot, "d")
        await until(pilot, lambda: not sessions.clients)
        assert "u brings it back" in toasts(pilot)
        await press(pilot, "u")
        await until(pilot, lambda: list(sessions.clients) == ["fashion"])
        await until(pilot, lambda: table_of(pilot).cursor_key == "fashion")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))


async def test_what_is_deleted_is_what_the_cursor_was_on_when_the_key_was_pressed() -> None:
    sessions = two_sessions()
    async with console(sessions=sessions) as pilot:
        with held_threads() as let_go:
            await pilot.press("d", "down")
            assert table_of(pilot).cursor_key == "alpha"
            let_go.set()
            await until(pilot, lambda: bool(sessions.trash))
        assert list(sessions.trash) == ["beta"]


async def test_what_is_copied_is_what_the_cursor_was_on_when_the_key_was_pressed() -> None:
    async with console(sessions=two_sessions()) as pilot:
        with held_threads() as let_go:
            await pilot.press("c", "down")
            let_go.set()
            await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        assert pilot.app.screen.query_one("#field-name", Input).value == "beta-2"


async def test_delete_pressed_twice_deletes_one_session_and_fails_at_nothing() -> None:
    sessions = two_sessions()
    async with console(sessions=sessions) as pilot:
        with held_threads() as let_go:
            await pilot.press("d", "d")
            let_go.set()
            await until(pilot, lambda: bool(sessions.trash))
        await settled(pilot)
        assert (list(sessions.trash), list(sessions.clients)) == (["beta"], ["alpha"])
        assert isinstance(pilot.app.screen, SessionsScreen)


@pytest.mark.parametrize("screen", ["2", "3", "4", "5", "6"])
async def test_a_deleted_session_is_brought_back_from_any_screen_by_the_key_the_toast_names(
    screen: str,
) -> None:
    sessions = two_sessions()
    async with console(sessions=sessions, name="alpha") as pilot:
        await press(pilot, "1")
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        await press(pilot, "d")
        await until(pilot, lambda: "U on any screen" in toasts(pilot))
        await press(pilot, screen)
        await press(pilot, "U")
        await until(pilot, lambda: "beta" in sessions.clients)
        await until(pilot, lambda: "beta is back" in toasts(pilot))
        assert sessions.clients["alpha"].made("undo") == []


async def test_the_toast_names_the_keys_that_a_person_set(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"keys": {"sessions.restore": "f5"}}))
    sessions = two_sessions()
    app = Console(sessions.home, sessions=sessions, settings_file=file, read_seconds=0.01)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        await press(pilot, "d")
        await until(pilot, lambda: "f5 on any screen, or here u brings it back" in toasts(pilot))
        await press(pilot, "f5")
        await until(pilot, lambda: "beta" in sessions.clients)


async def test_of_two_sessions_the_one_asked_for_last_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = two_sessions()
    begun, slow = threading.Event(), threading.Event()
    open_one = sessions.open

    def opening(name: str) -> FakeClient:
        if name == "alpha":
            begun.set()
            slow.wait(PATIENCE)
        return open_one(name)

    monkeypatch.setattr(sessions, "open", opening)
    async with console(sessions=sessions) as pilot:
        pilot.app.session.open("alpha")
        await until(pilot, begun.is_set)
        pilot.app.session.open("beta")
        await until(pilot, lambda: pilot.app.session.client is sessions.clients["beta"])
        slow.set()
        await until(pilot, lambda: sessions.clients["alpha"].closed)
        assert pilot.app.session.client is sessions.clients["beta"]


async def test_news_and_rankings_of_a_session_that_was_left_are_not_shown() -> None:
    sessions = two_sessions()
    one, other = sessions.clients["alpha"], sessions.clients["beta"]
    one.slow = threading.Event()
    app = Console(sessions.home, "alpha", sessions=sessions, clock=lambda: NOW, read_seconds=0.01)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.session.ranking_running and bool(one.ranked))
        app.session.open("beta")
        await until(pilot, lambda: app.session.client is other)
        app.session.take_snapshot(one, one.snapshot)
        app.call_later(app.session.leave_unreadable, one, Lost("alpha", "gone"))
        seen: list[Ranking | None] = []
        app.session.listen(app, lambda: seen.append(app.session.ranking))
        one.slow.set()
        await until(pilot, lambda: bool(other.ranked) and not app.session.ranking_running)
        assert app.session.snapshot is not None
        assert app.session.snapshot.session.name == "beta"
        shown = [ranking for ranking in seen if ranking is not None]
        assert shown
        for ranking in shown:
            assert isinstance(ranking, FakeRanking)
            assert ranking.trials == other.snapshot.trials


async def test_a_session_that_cannot_be_read_takes_its_open_question_along() -> None:
    sessions = two_sessions()
    async with console(sessions=sessions, name="alpha") as pilot:
        await press(pilot, "e")
        assert isinstance(pilot.app.screen, EditDialog)
        pilot.app.call_later(
            pilot.app.session.leave_unreadable, sessions.clients["alpha"], Lost("alpha", "gone")
        )
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        await press(pilot, "escape")
        pilot.app.session.open("beta")
        await until(pilot, lambda: pilot.app.session.client is sessions.clients["beta"])
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))


def deleted_elsewhere(sessions: FakeHome, name: str) -> None:
    """What another terminal does."""
    sessions.trash[name] = sessions.clients.pop(name)
    sessions.trash[name].gone = True


@pytest.mark.parametrize("keys", [("U",), ("escape", "U"), ("escape", "u")])
async def test_a_session_deleted_elsewhere_is_told_in_words_and_brought_back(
    keys: tuple[str, ...],
) -> None:
    sessions = two_sessions()
    sessions.clients["alpha"].folder = Path("/nowhere/sessions/alpha")
    async with console(sessions=sessions, name="alpha") as pilot:
        await press(pilot, "3")
        deleted_elsewhere(sessions, "alpha")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        dialog = pilot.app.screen
        assert isinstance(dialog, FailureDialog)
        assert dialog.failure_title == "alpha was deleted elsewhere"
        assert "U on any screen, or here u brings it back" in dialog.text
        assert isinstance(pilot.app.screen_stack[-2], SessionsScreen)
        await press(pilot, *keys)
        await until(pilot, lambda: "alpha is back." in toasts(pilot))
        assert sorted(sessions.clients) == ["alpha", "beta"]


async def test_what_is_back_says_what_waits_in_it() -> None:
    sessions = two_sessions()
    sessions.waiting = "Waiting: 2 queued. `lcsearch engine start beta` trains what waits."
    async with console(sessions=sessions) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        await press(pilot, "d")
        await until(pilot, lambda: "is deleted" in toasts(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: f"beta is back. {sessions.waiting}" in toasts(pilot))


async def test_with_nothing_deleted_the_keys_that_bring_back_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Console, "NOTIFICATION_TIMEOUT", PATIENCE)  # the first is there still
    sessions = two_sessions()
    async with console(sessions=sessions) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        assert "Undo" not in str(pilot.app.screen.query_one(KeyBar).render())
        for number, key in enumerate(("u", "U"), 1):
            await press(pilot, key)
            assert toasts(pilot).splitlines() == ["Nothing to bring back."] * number
        pilot.app.session.open("alpha")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))
        await press(pilot, "U")
        assert toasts(pilot).count("Nothing to bring back.") == 3


async def test_a_session_is_exported_from_the_list_too(tmp_path: Path) -> None:
    client = FakeClient(make_snapshot())
    async with console(sessions=FakeHome({"fashion": client})) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "fashion")
        await press(pilot, "o")
        pilot.app.screen.query_one("#path", Input).value = str(tmp_path / "f.txt")
        await press(pilot, "enter")
        assert "end it with .json, .html" in text_of(pilot, "#problem")
        pilot.app.screen.query_one("#path", Input).value = str(tmp_path / "f.html")
        await press(pilot, "enter")
        await until(pilot, lambda: "Exported to" in toasts(pilot))
    assert "<!DOCTYPE html>" in (tmp_path / "f.html").read_text()
    assert client.closed


async def test_an_unknown_session_is_named_and_the_list_stays() -> None:
    async with console(sessions=FakeHome(), name="gone") as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "gone" in pilot.app.screen.query_one(TextArea).text
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, SessionsScreen)


async def test_a_damaged_session_is_listed_and_explained() -> None:
    sessions = FakeHome(damaged="broken")
    async with console(sessions=sessions) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "broken")
        await press(pilot, "enter")
        assert "not a database" in pilot.app.screen.query_one(TextArea).text


async def test_screens_of_a_session_need_one() -> None:
    async with console(sessions=FakeHome()) as pilot:
        await press(pilot, "2")
        assert isinstance(pilot.app.screen, SessionsScreen)
        assert "Open a session first" in toasts(pilot)
