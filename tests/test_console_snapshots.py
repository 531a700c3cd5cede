"""Every screen and dialog as a picture, in every size, a light theme and without colour; then the
states that a screen can be in: empty, loading, full, failing.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.app import App
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from lcsearch.engine.executors import devices
from lcsearch.tui.app import Console
from lcsearch.tui.screens.setup import SetupScreen
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets import found
from lcsearch.tui.widgets.found import Found

from .conftest import PATIENCE
from .consoles import until
from .fakes import (
    NOW,
    FakeClient,
    FakeHome,
    confused,
    empty_snapshot,
    found_images,
    make_snapshot,
)

WIDE, NARROW, SMALL = (120, 40), (80, 24), (60, 20)


@dataclass(frozen=True)
class Look:
    """A terminal that the console is seen in."""

    size: tuple[int, int]
    theme: str = ""
    colour: bool = True


LOOKS = {
    "wide": Look(WIDE),
    "narrow": Look(NARROW),
    "small": Look(SMALL),
    "light": Look(WIDE, "lcsearch-light"),
    "no-colour": Look(WIDE, colour=False),
}


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Look:
    found = LOOKS[request.param]
    if not found.colour:
        monkeypatch.setenv("NO_COLOR", "1")
    # the dialogs of files propose one where the console works
    monkeypatch.setattr(Path, "cwd", classmethod(lambda cls: Path("/home/user")))
    return found


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set-up proposes what suits the machine: here one that is everywhere the same."""
    monkeypatch.setattr(devices, "processors", lambda: 2)
    monkeypatch.setattr(devices, "processors_only", lambda: True)


class Svg(SingleFileSnapshotExtension):
    """One SVG file a picture."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(Svg)


def lines_of(app: App[int]) -> list[Strip]:
    """The lines of the screen: alike where its pictures are, and drawn sooner than one."""
    for field in app.screen.query(Input):
        field.cursor_blink = False  # a cursor that blinks is there or not
    return app.screen._compositor.render_strips()


def svg_of(app: App[int]) -> str:
    """The screen as SVG, without the random names in it."""
    lines_of(app)
    drawn = app.export_screenshot(simplify=True)
    return re.sub(r"terminal-\d+-", "terminal-", drawn)


async def settled(pilot: Pilot[int], condition: Callable[[], bool] = lambda: True) -> None:
    """Wait until no thread works but the reader, and the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await pilot.pause(0.01)
        busy = [w for w in pilot.app.workers if w.group != "read" and not w.is_finished]
        if not busy and condition():
            await pilot.pause()
            return
    pytest.fail("the console did not come to rest")


async def drawn(pilot: Pilot[int]) -> str:
    """The screen once two looks at it are alike: laying it out takes a busy machine a while."""
    before: list[Strip] = []
    while (now := lines_of(pilot.app)) != before:
        before = now
        await settled(pilot)
    return svg_of(pilot.app)


@asynccontextmanager
async def workbench(
    client: FakeClient, size: tuple[int, int], theme: str = ""
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Gives a function that presses keys on the workbench of a session and draws the screen."""
    sessions = FakeHome({"fashion": client})
    app = Console(sessions.home, "fashion", sessions=sessions, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=size) as pilot:
        await settled(
            pilot, lambda: app.current_mode == "workbench" and not app.session.ranking_running
        )
        if theme:
            app.theme = theme
        await settled(pilot)

        async def draw(*keys: str) -> str:
            for key in keys:
                await pilot.press(key)
                await settled(pilot)
            app.clear_notifications()
            await settled(pilot)
            return await drawn(pilot)

        yield draw


async def shown(client: FakeClient, size: tuple[int, int], *keys: str, theme: str = "") -> str:
    """The picture after some keys on the workbench of a session."""
    async with workbench(client, size, theme) as draw:
        return await draw(*keys)


SCREENS = {
    "workbench": (),
    "workbench-belief": ("v", "right"),
    "history": ("3", "j", "j", "j", "space", "j"),
    "tradeoff": ("4",),
    "trust": ("5",),
    "best": ("6",),
}
DIALOGS = {
    "edit": ("e",),
    "new": ("n",),
    "reject": ("x",),
    "repeat": ("r",),
    "stop": ("s",),
    "autopilot": ("p",),
    "wc": ("w", "right"),
    "region": ("f",),
    "strategy": ("m",),
    "advance": ("right_square_bracket",),
    "reopen": ("left_square_bracket",),
    "export": ("o",),
    "export-chart": ("O",),
    "help": ("question_mark",),
    "quit": ("q",),
    "final": ("6", "t"),
}


async def test_screens(picture: SnapshotAssertion, look: Look) -> None:
    async with workbench(FakeClient(make_snapshot(failed=1)), look.size, look.theme) as draw:
        for name, keys in SCREENS.items():
            assert await draw(*keys) == picture(name=name)


async def test_dialogs(picture: SnapshotAssertion, look: Look) -> None:
    async with workbench(FakeClient(make_snapshot()), look.size, look.theme) as draw:
        for name, keys in DIALOGS.items():
            assert await draw(*keys) == picture(name=name)
            await draw("escape")


async def test_the_failure_dialog(picture: SnapshotAssertion, look: Look) -> None:
    client = FakeClient(make_snapshot(), late="trial 19 has ended already. Nothing is stopped.")
    assert await shown(client, look.size, "s", "e", theme=look.theme) == picture


@pytest.mark.parametrize("size", [NARROW, SMALL], ids=["narrow", "small"])
async def test_other_sides(picture: SnapshotAssertion, size: tuple[int, int]) -> None:
    async with workbench(FakeClient(make_snapshot(failed=1)), size) as draw:
        for name, key in (("curves", "3"), ("scores", "5"), ("gains", "6")):
            assert await draw(key, "v") == picture(name=name)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_which_classes_are_confused(
    picture: SnapshotAssertion, size: tuple[int, int]
) -> None:
    """With another metric than the accuracy, on every screen that says which."""
    snapshot = confused(make_snapshot(metric="balanced", class_weights="balanced"))
    async with workbench(FakeClient(snapshot), size) as draw:
        for name, keys in (("best", ("6",)), ("history", ("3",)), ("tradeoff", ("4",))):
            assert await draw(*keys) == picture(name=name)
        assert await draw("6", "tab", "end") == picture(name="best-end")


async def test_belief_along_a_number(picture: SnapshotAssertion) -> None:
    client = FakeClient(make_snapshot(level=4, done=(6, 3, 2, 3)))
    assert await shown(client, WIDE) == picture


async def test_without_a_model(picture: SnapshotAssertion) -> None:
    assert await shown(FakeClient(make_snapshot(strategy="evolution")), WIDE) == picture


async def test_all_parameters_at_once(picture: SnapshotAssertion) -> None:
    snapshot = make_snapshot(
        level=1, done=(14,), flat=True, trials_per_level=48, favourite={"kernel": "1,3"}
    )
    async with workbench(FakeClient(snapshot), NARROW) as draw:
        for name, keys in (("workbench", ()), ("edit", ("e",))):
            assert await draw(*keys) == picture(name=name)


async def test_at_the_beginning(picture: SnapshotAssertion) -> None:
    async with workbench(FakeClient(empty_snapshot()), NARROW) as draw:
        for name, keys in SCREENS.items():
            assert await draw(*keys) == picture(name=name)


async def test_nothing_left(picture: SnapshotAssertion) -> None:
    client = FakeClient(make_snapshot(running=0, queued=0), candidates=0)
    assert await shown(client, NARROW) == picture


async def test_a_failed_trial(picture: SnapshotAssertion) -> None:
    snapshot = make_snapshot(running=0, queued=0, failed=1)
    assert await shown(FakeClient(snapshot), WIDE) == picture


async def test_an_engine_that_is_gone(picture: SnapshotAssertion) -> None:
    snapshot = make_snapshot(running=0, alive=False)
    snapshot = replace(snapshot, engine=replace(snapshot.engine, state="serving", pid=4711))
    async with workbench(FakeClient(snapshot), WIDE) as draw:
        deadline = time.monotonic() + PATIENCE
        told = await draw()
        # opening it tries to start one first
        while "starts&#160;it&#160;again" not in told and time.monotonic() < deadline:
            told = await draw()
        assert told == picture


async def test_a_full_session(picture: SnapshotAssertion) -> None:
    snapshot = make_snapshot(level=4, done=(60, 40, 40, 60), running=4, queued=9, failed=8)
    async with workbench(FakeClient(snapshot), NARROW) as draw:
        for name, keys in SCREENS.items():
            assert await draw(*keys) == picture(name=name)


async def test_the_first_ranking_is_on_its_way(
    picture: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    client = FakeClient(make_snapshot(), slow=slow)
    sessions = FakeHome({"fashion": client})
    app = Console(sessions.home, "fashion", sessions=sessions, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=NARROW) as pilot:
        try:
            await until(
                pilot, lambda: app.current_mode == "workbench" and app.session.ranking_running
            )
            still(app, monkeypatch)
            for name, key in (("workbench", "2"), ("best", "6")):
                await pilot.press(key)
                await pilot.pause()
                still(app, monkeypatch)
                await pilot.pause(0.1)
                assert svg_of(app) == picture(name=name)
        finally:
            slow.set()


def still(app: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spinner that does not turn, to be drawn."""
    screen = app.screen
    if isinstance(screen, WorkbenchScreen) and screen._spinner is not None:
        screen._spinner.pause()
        monkeypatch.setattr(screen._spinner, "resume", lambda: None)
        screen._beat = 0
        screen._headline(None)


async def test_the_images_are_looked_at(picture: SnapshotAssertion) -> None:
    slow = threading.Event()
    sessions = FakeHome(slow=slow)
    app = Console(sessions.home, None, sessions=sessions, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=NARROW) as pilot:
        try:
            await settled(pilot, lambda: getattr(app.screen, "summaries", None) is not None)
            await pilot.press("n")
            await settled(pilot)
            await pilot.press("enter")
            screen = app.screen
            assert isinstance(screen, SetupScreen)
            assert screen._timer is not None
            screen._timer.pause()
            screen._beat = 0
            screen._spin()
            await pilot.pause(0.1)
            assert svg_of(app) == picture
        finally:
            slow.set()


async def test_no_room_on_the_disk(picture: SnapshotAssertion) -> None:
    snapshot = make_snapshot()
    trouble = "session 'fashion': the disk is full. Make room; nothing was lost."
    snapshot = replace(snapshot, engine=replace(snapshot.engine, trouble=trouble))
    assert await shown(FakeClient(snapshot), NARROW) == picture


async def test_a_session_that_can_only_be_read(picture: SnapshotAssertion) -> None:
    assert await shown(FakeClient(replace(make_snapshot(), read_only=True)), NARROW) == picture


async def test_a_network_that_cannot_be_built_and_one_that_is_not_searched(
    picture: SnapshotAssertion,
) -> None:
    async with workbench(FakeClient(make_snapshot(level=1, done=(8,))), NARROW) as draw:
        await draw("e", "tab", "end", *["backspace"] * 3, *"120")
        assert await draw() == picture(name="outside")
        await draw(*["backspace"] * 3, "0")
        assert await draw() == picture(name="impossible")


async def home_shown(sessions: FakeHome, size: tuple[int, int], *keys: str, theme: str = "") -> str:
    """The picture after some keys on the list of sessions."""
    app = Console(sessions.home, None, sessions=sessions, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=size) as pilot:
        await settled(pilot, lambda: getattr(app.screen, "summaries", None) is not None)
        if theme:
            app.theme = theme
            await settled(pilot)
        first = app.screen
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
        # the set-up to be copied is read in a thread
        await settled(pilot, lambda: not keys or app.screen is not first)
        return await drawn(pilot)


def two_sessions() -> FakeHome:
    other = make_snapshot(name="digits", running=0, queued=0, wc=1.0)
    clients = {"fashion": FakeClient(make_snapshot()), "digits": FakeClient(other)}
    return FakeHome(clients, damaged="old-one")


HOME = {"list": (), "import": ("i",), "set-up": ("n",), "copy": ("c",)}


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No place is looked at: whoever types is never done."""
    monkeypatch.setattr(found, "STILL_SECONDS", 1e6)


@pytest.mark.usefixtures("typing")
@pytest.mark.parametrize("name", HOME)
async def test_home(picture: SnapshotAssertion, look: Look, name: str) -> None:
    assert await home_shown(two_sessions(), look.size, *HOME[name], theme=look.theme) == picture


async def test_no_sessions(picture: SnapshotAssertion) -> None:
    assert await home_shown(FakeHome(), NARROW) == picture


@pytest.mark.usefixtures("typing")
async def test_set_up_with_wrong_fields(picture: SnapshotAssertion) -> None:
    assert await home_shown(FakeHome(), WIDE, "n", *"bad name", "down", "backspace") == picture


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL], ids=["wide", "narrow", "small"])
async def test_set_up_with_images_found(picture: SnapshotAssertion, size: tuple[int, int]) -> None:
    """The place is written, what was found is shown, and the form is turned a page further."""
    app = Console(Path("/nowhere"), None, sessions=FakeHome(found=found_images), clock=lambda: NOW)
    async with app.run_test(size=size) as pilot:
        await settled(pilot, lambda: getattr(app.screen, "summaries", None) is not None)
        await pilot.press("n")
        await settled(pilot)
        app.screen.query_one("#field-data", Input).value = "folder:/photos/pets"
        await settled(pilot, lambda: "1,500 images" in str(app.screen.query_one(Found).render()))
        assert svg_of(app) == picture(name="top")
        await pilot.press("pagedown")
        await settled(pilot)
        assert svg_of(app) == picture(name="further")
