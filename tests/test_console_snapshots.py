"""Every screen and dialog as a picture: sizes, themes, empty, full and failing states."""

from __future__ import annotations

import os

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot

from lcsearch.tui.app import Console

from .fakes import NOW, FakeDesk, FakeHouse, empty_snapshot, make_snapshot

WIDE, NARROW, SMALL = (120, 40), (80, 24), (60, 20)
SIZES = {"wide": WIDE, "narrow": NARROW, "small": SMALL}


class Svg(SingleFileSnapshotExtension):
    """One SVG file a picture."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT


@pytest.fixture
def picture(snapshot):
    return snapshot.use_extension(Svg)


def svg_of(app: Console) -> str:
    """The screen as SVG, without the random names in it."""
    drawn = app.export_screenshot(simplify=True)
    return re.sub(r"terminal-\d+-", "terminal-", drawn)


async def settled(pilot: Pilot[int], condition: Callable[[], bool] = lambda: True) -> None:
    """Wait until no thread works but the reader, and the condition holds."""
    for _ in range(500):
        await pilot.pause(0.01)
        busy = [w for w in pilot.app.workers if w.group != "read" and not w.is_finished]
        if not busy and condition():
            await pilot.pause()
            return
    pytest.fail("the console did not come to rest")


@asynccontextmanager
async def workbench(
    desk: FakeDesk, size: tuple[int, int], theme: str = ""
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Gives a function that presses keys on the workbench of a session and draws the screen."""
    house = FakeHouse({"fashion": desk})
    app = Console(house.home, "fashion", house=house, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=size) as pilot:
        await settled(pilot, lambda: app.current_mode == "workbench" and not app.ranking_running)
        if theme:
            app.theme = theme
        await settled(pilot)

        async def draw(*keys: str) -> str:
            for key in keys:
                await pilot.press(key)
                await settled(pilot)
            app.clear_notifications()
            await settled(pilot)
            return svg_of(app)

        yield draw


async def shown(desk: FakeDesk, size: tuple[int, int], *keys: str, theme: str = "") -> str:
    """The picture after some keys on the workbench of a session."""
    async with workbench(desk, size, theme) as draw:
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
    "help": ("question_mark",),
    "quit": ("q",),
}


@pytest.mark.parametrize("size", SIZES)
async def test_screens(picture, size):
    async with workbench(FakeDesk(make_snapshot(failed=1)), SIZES[size]) as draw:
        for name, keys in SCREENS.items():
            assert await draw(*keys) == picture(name=name)


@pytest.mark.parametrize("size", SIZES)
async def test_dialogs(picture, size, monkeypatch):
    # the dialog of the export proposes a file where one works
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/user"))
    async with workbench(FakeDesk(make_snapshot()), SIZES[size]) as draw:
        for name, keys in DIALOGS.items():
            assert await draw(*keys) == picture(name=name)
            await draw("escape")


async def test_light(picture):
    async with workbench(FakeDesk(make_snapshot()), WIDE, "lcsearch-light") as draw:
        for name in ("workbench", "tradeoff"):
            assert await draw(*SCREENS[name]) == picture(name=name)


async def test_without_colour(picture, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with workbench(FakeDesk(make_snapshot()), WIDE) as draw:
        for name in ("workbench", "tradeoff", "trust"):
            assert await draw(*SCREENS[name]) == picture(name=name)


async def test_belief_along_a_number(picture):
    desk = FakeDesk(make_snapshot(level=4, done=(6, 3, 2, 3)))
    assert await shown(desk, WIDE) == picture


async def test_without_a_model(picture):
    assert await shown(FakeDesk(make_snapshot(strategy="evolution")), WIDE) == picture


async def test_all_parameters_at_once(picture):
    snapshot = make_snapshot(
        level=1, done=(14,), flat=True, trials_per_level=48, favourite={"kernel": "1,3"}
    )
    async with workbench(FakeDesk(snapshot), NARROW) as draw:
        for name, keys in (("workbench", ()), ("edit", ("e",))):
            assert await draw(*keys) == picture(name=name)


async def test_at_the_beginning(picture):
    async with workbench(FakeDesk(empty_snapshot()), NARROW) as draw:
        for name, keys in SCREENS.items():
            assert await draw(*keys) == picture(name=name)


async def test_nothing_left(picture):
    desk = FakeDesk(make_snapshot(running=0, queued=0), candidates=0)
    assert await shown(desk, NARROW) == picture


async def test_a_failed_trial(picture):
    snapshot = make_snapshot(running=0, queued=0, failed=1)
    assert await shown(FakeDesk(snapshot), WIDE) == picture


async def test_an_engine_that_is_gone(picture):
    snapshot = make_snapshot(running=0, alive=False)
    snapshot = replace(snapshot, engine=replace(snapshot.engine, state="serving", pid=4711))
    async with workbench(FakeDesk(snapshot), WIDE) as draw:
        drawn = await draw()
        for _ in range(500):  # opening it tries to start one first
            if "starts&#160;it&#160;again" in drawn:
                break
            drawn = await draw()
        assert drawn == picture


async def test_the_failure_dialog(picture):
    desk = FakeDesk(make_snapshot(), late="trial 19 has ended already. Nothing is stopped.")
    assert await shown(desk, NARROW, "s", "e") == picture


async def home_shown(house: FakeHouse, size: tuple[int, int], *keys: str) -> str:
    """The picture after some keys on the list of sessions."""
    app = Console(house.home, None, house=house, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=size) as pilot:
        await settled(pilot, lambda: getattr(app.screen, "summaries", None) is not None)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
        return svg_of(app)


@pytest.mark.parametrize("size", SIZES)
async def test_sessions(picture, size):
    other = make_snapshot(name="digits", running=0, queued=0, wc=1.0)
    house = FakeHouse(
        {"fashion": FakeDesk(make_snapshot()), "digits": FakeDesk(other)}, damaged="old-one"
    )
    assert await home_shown(house, SIZES[size]) == picture


async def test_no_sessions(picture):
    assert await home_shown(FakeHouse(), NARROW) == picture


@pytest.mark.parametrize("size", SIZES)
async def test_set_up(picture, size):
    assert await home_shown(FakeHouse(), SIZES[size], "n") == picture


async def test_set_up_with_wrong_fields(picture):
    assert await home_shown(FakeHouse(), WIDE, "n", *"bad name", "down", "backspace") == picture
