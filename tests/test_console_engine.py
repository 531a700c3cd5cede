"""What the console says of an engine that is gone, stopped or short of room, and its one key; and
that a key pressed twice decides once: what the soak found of the console.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from textual.pilot import Pilot

from lcsearch.engine.client import process
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.snapshot import EngineStatus
from lcsearch.tui import format as words
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.dialogs.trials import TrialDialog
from lcsearch.tui.engine_state import engine_state
from lcsearch.tui.filters import parse
from lcsearch.tui.screens.sessions import SessionsScreen
from lcsearch.tui.screens.setup import SetupScreen
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets import engine as band
from lcsearch.tui.widgets.engine import EngineBand
from lcsearch.tui.widgets.frame import Edge
from lcsearch.tui.widgets.keys import KeyBar
from lcsearch.tui.widgets.table import Table

from .consoles import SMALL, console, press, snapshot_of, text_of, toasts, until
from .fakes import FakeClient, FakeHome, make_snapshot

State = Literal["serving", "stopped", "leaving", "failed"]
DEAD = EngineStatus(False, "serving", 4711)


def shown(pilot: Pilot[int]) -> str | None:
    """The band's text, None where it is not shown."""
    widget = pilot.app.screen.query_one(EngineBand)
    return str(widget.render()) if widget.display else None


def said(pilot: Pilot[int]) -> str:
    """The band's text, where it is shown."""
    text = shown(pilot)
    assert text is not None
    return text


def header(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one("SessionLine").render())


class Restarting(FakeClient):
    """A client whose engine can be started again."""

    def start_engine(self) -> None:
        super().start_engine()
        self.change(engine=EngineStatus(True, "serving", 4712))


async def test_an_engine_that_dies_is_told_at_once_and_one_key_starts_it() -> None:
    client = Restarting(make_snapshot())
    async with console(client) as pilot:
        assert shown(pilot) is None
        started = len(client.made("start_engine"))
        client.change(engine=DEAD)
        await until(pilot, lambda: shown(pilot) is not None)
        assert "The engine is gone, though" in said(pilot)
        assert "z starts it again" in said(pilot)
        assert "It was killed, or its machine went down." in said(pilot)
        # it was killed without a word: its log cannot know of it
        assert "the engine's last words" not in said(pilot)
        # nothing trains where nobody is there to train it
        assert "✗ gone, 3 queued" in header(pilot)
        await press(pilot, "z")
        await until(pilot, lambda: shown(pilot) is None)
        assert len(client.made("start_engine")) == started + 1
        assert "at work again" in toasts(pilot)
        assert "●" in header(pilot)


async def test_what_it_left_running_is_interrupted_wherever_one_looks() -> None:
    client = FakeClient(make_snapshot(running=1, queued=0))
    number = len(client.snapshot.trials) - 1
    async with console(client) as pilot:
        assert "7/10" in text_of(pilot, "#training")
        client.change(engine=DEAD)
        await until(pilot, lambda: shown(pilot) is not None)
        told = text_of(pilot, "#training")
        assert f"{number}  interrupted" in told
        assert "7/10" not in told
        assert "left" not in told
        await press(pilot, "3")
        table = pilot.app.screen.query_one(Table)
        row = next(row for row in table.rows if row.key == str(number))
        assert row.cells[1] == words.STATE_MARKS["interrupted"]
        title = pilot.app.screen.query_one("#trial-title", Edge).title_text
        assert title == f"Trial {number} · interrupted"
    assert client.snapshot.trials[number].state == "running"  # what is kept is another matter
    space = client.space
    assert [t.number for t in parse("state=interrupted", space).matching(client.snapshot)] == [
        number
    ]
    assert parse("state=running", space).matching(client.snapshot) == []


@pytest.mark.parametrize(("state", "recommended"), [("serving", False), ("failed", True)])
def test_the_log_is_recommended_where_it_says_more(state: State, recommended: bool) -> None:
    client: FakeClient = FakeClient(make_snapshot(running=1, queued=0))
    client.change(engine=EngineStatus(False, state, 4711, "KeyError('x')" * recommended))
    told = engine_state(client.refresh(), client.folder)
    assert ("says more" in told["words"]) == recommended
    assert told["running"] == []
    assert told["interrupted"] == 1
    assert "1 to go on from its checkpoint" in told["words"]


async def test_the_log_of_an_engine_that_failed_is_shown_with_why() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        client.change(engine=EngineStatus(False, "failed", 4711, "KeyError('x')"))
        await until(pilot, lambda: shown(pilot) is not None)
        assert "the engine's last words" in said(pilot)
        assert "failed: KeyError('x')." in said(pilot)


async def test_it_is_told_on_every_screen_and_in_a_small_terminal() -> None:
    client = FakeClient(make_snapshot())
    async with console(client, size=SMALL) as pilot:
        client.change(engine=DEAD)
        for key in ("2", "3", "4", "5", "6"):
            await press(pilot, key)
            await until(pilot, lambda: "gone" in (shown(pilot) or ""))
            assert pilot.app.screen.query_one(EngineBand).size.height <= 3


async def test_the_key_and_its_command_are_there_only_when_they_are_needed() -> None:
    client = Restarting(make_snapshot())
    async with console(client) as pilot:
        commands = [c.title for c in pilot.app.get_system_commands(pilot.app.screen)]
        assert not [title for title in commands if "Start the engine" in title]
        started = len(client.made("start_engine"))
        await press(pilot, "z")
        assert len(client.made("start_engine")) == started
        client.change(engine=DEAD)
        await until(pilot, lambda: shown(pilot) is not None)
        commands = [c.title for c in pilot.app.get_system_commands(pilot.app.screen)]
        assert [title for title in commands if "Start the engine" in title]


async def test_the_key_is_no_longer_shown_once_an_engine_has_come_by_itself() -> None:
    client = FakeClient(make_snapshot())
    client.change(engine=EngineStatus(False, "none", None))
    async with console(client) as pilot:

        def keys() -> str:
            return str(pilot.app.screen.query_one(KeyBar).render())

        await until(pilot, lambda: "Start engine" in keys())
        assert shown(pilot) is None  # it may be starting: nothing to worry about yet
        client.change(engine=EngineStatus(True, "serving", 4711))
        await until(pilot, lambda: "Start engine" not in keys())


async def test_an_engine_that_cannot_be_started_says_why() -> None:
    class Broken(FakeClient):
        def start_engine(self) -> None:
            super().start_engine()
            raise StoreError("the engine cannot start. The last lines of its log:\nno torch")

    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        client.__class__ = Broken
        client.change(engine=DEAD)
        await until(pilot, lambda: shown(pilot) is not None)
        await press(pilot, "z")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        screen = pilot.app.screen
        assert isinstance(screen, FailureDialog)
        assert "no torch" in screen.text
        await press(pilot, "escape")
        assert "gone" in said(pilot)


async def test_a_stopped_engine_is_not_started_by_who_looks() -> None:
    snapshot = replace(make_snapshot(), engine=EngineStatus(False, "stopped"))
    client = Restarting(snapshot)
    async with console(client) as pilot:
        assert client.made("start_engine") == []
        await until(pilot, lambda: shown(pilot) is not None)
        assert "The engine was stopped" in said(pilot)
        await press(pilot, "z")
        await until(pilot, lambda: shown(pilot) is None)
        assert len(client.made("start_engine")) == 1


async def test_work_in_a_session_starts_an_engine_when_it_is_opened() -> None:
    client = Restarting(replace(make_snapshot(), engine=DEAD))
    async with console(client) as pilot:
        await until(pilot, lambda: len(client.made("start_engine")) == 1)
        await until(pilot, lambda: shown(pilot) is None)


async def test_one_that_may_be_starting_is_given_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        client.change(engine=EngineStatus(False, "leaving", 4711))
        await until(pilot, lambda: "○" in header(pilot))
        assert shown(pilot) is None
        monkeypatch.setattr(band, "GRACE_SECONDS", 0.0)
        await until(pilot, lambda: "No engine is at work" in (shown(pilot) or ""))


@pytest.mark.parametrize("states", [{"running": 0, "queued": 0}])
async def test_nothing_is_said_where_nothing_waits(states: dict[str, Any]) -> None:
    client = FakeClient(make_snapshot(**states))
    async with console(client) as pilot:
        client.change(engine=DEAD)
        await until(pilot, lambda: "○" in header(pilot))
        assert shown(pilot) is None


async def test_a_full_disk_is_told_while_it_lasts() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        trouble = "session 'fashion': the disk is full. Make room; nothing was lost."
        client.change(engine=EngineStatus(True, "serving", 4711, "", trouble))
        await until(pilot, lambda: shown(pilot) is not None)
        assert "the disk is full. Make room" in said(pilot)
        assert "waits for room" in header(pilot)
        client.change(engine=EngineStatus(True, "serving", 4711))
        await until(pilot, lambda: shown(pilot) is None)


async def test_a_key_that_is_pressed_twice_before_a_dialog_has_gone_decides_once() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "r")
        dialog = pilot.app.screen
        assert isinstance(dialog, TrialDialog)
        # as keys that wait in its queue do it, on a slow machine or held down
        for _ in range(3):
            dialog.dismiss(3)
        await until(pilot, lambda: bool(client.made("repeat")))
        await press(pilot, "w")
        await press(pilot, "escape")
        assert len(client.made("repeat")) == 1
        assert isinstance(pilot.app.screen, WorkbenchScreen)


async def test_leaving_the_set_up_twice_leaves_the_sessions_where_they_are() -> None:
    async with console(sessions=FakeHome({})) as pilot:
        await press(pilot, "n")
        screen = pilot.app.screen
        assert isinstance(screen, SetupScreen)
        for _ in range(3):
            screen.action_leave()
        await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))


@pytest.mark.parametrize(
    ("state", "message", "told"),
    [
        ("failed", "KeyError('x')", ("The engine failed, though", "4711 failed: KeyError('x').")),
        ("leaving", "the session was deleted", ("4711 has left: the session was deleted.",)),
        ("leaving", "SIGTERM was sent to it", ("4711 has left: SIGTERM was sent to it.",)),
        ("stopped", "", ("The engine was stopped;",)),
        ("serving", "", ("The engine is gone, though", "It was killed, or its")),
    ],
)
async def test_every_end_of_an_engine_has_its_own_words(
    monkeypatch: pytest.MonkeyPatch, state: State, message: str, told: tuple[str, ...]
) -> None:
    monkeypatch.setattr(band, "GRACE_SECONDS", 0.0)
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        client.change(engine=EngineStatus(False, state, 4711, message))
        await until(pilot, lambda: shown(pilot) is not None)
        for words in told:
            assert words in said(pilot)
        mark = {"failed": "✗ failed", "serving": "✗ gone"}.get(state, "○")
        assert mark in header(pilot)


async def test_an_engine_that_was_asked_to_go_and_does_not_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        client.change(engine=EngineStatus(True, "stopping", 4711))
        await until(pilot, lambda: snapshot_of(pilot).engine.state == "stopping")
        assert shown(pilot) is None
        monkeypatch.setattr(process, "STOP_SECONDS", 0.0)
        await until(pilot, lambda: shown(pilot) is not None)
        text = said(pilot).replace("\n", " ")
        assert "The engine (process 4711) has not gone" in text
        assert "`lcsearch engine stop fashion --force` kills it" in text
        client.change(engine=EngineStatus(False, "stopped", 4711))
        await until(pilot, lambda: "The engine was stopped" in (shown(pilot) or ""))
