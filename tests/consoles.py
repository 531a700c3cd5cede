"""A console over fakes, its keys and what it shows: for the tests of its screens."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ParamSpec, TypeVar

import pytest
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot
from textual.widgets import Input, Static

from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui.app import Console
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets.table import Table

from .conftest import PATIENCE
from .fakes import NOW, FakeClient, FakeHome, make_snapshot

WAITED = ("decide", "list", "latest", "create", "delete")
WIDE, NARROW, SMALL = (120, 40), (80, 24), (60, 20)

P = ParamSpec("P")
T = TypeVar("T")


def parsed_once() -> None:
    """Have Textual parse a style sheet once: each console would parse all of them four times."""
    parse = Stylesheet._parse_rules
    kept: dict[object, list[RuleSet]] = {}

    def parse_rules(sheet: Stylesheet, *args: Any, **options: Any) -> list[RuleSet]:
        key = args, frozenset(options.items()), frozenset(sheet._variables.items())
        if key not in kept:
            kept[key] = parse(sheet, *args, **options)
        return kept[key]

    Stylesheet._parse_rules = parse_rules  # type: ignore[method-assign, assignment]


parsed_once()


class ConsolePilot(Pilot[int]):
    """What `run_test` gives for a console."""

    @property
    def app(self) -> Console:
        app = super().app
        assert isinstance(app, Console)
        return app


@asynccontextmanager
async def console(
    client: FakeClient | None = None,
    *,
    sessions: FakeHome | None = None,
    size: tuple[int, int] = WIDE,
    name: str | None = None,
) -> AsyncIterator[ConsolePilot]:
    """A console over fakes; with a client, at its workbench with the first ranking shown."""
    if sessions is None:
        sessions = FakeHome({client.snapshot.session.name: client} if client is not None else {})
    if client is not None and name is None:
        name = client.snapshot.session.name
    app = Console(sessions.home, name, sessions=sessions, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=size) as pilot:
        if name is not None and name in sessions.clients:
            await until(pilot, lambda: isinstance(app.screen, WorkbenchScreen))
            await until(
                pilot, lambda: app.session.ranking is not None and not app.session.ranking_running
            )
        else:
            await until(pilot, lambda: not app.session.opening)
            await settled(pilot)
        yield ConsolePilot(app)


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Let the console work until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"what was waited for did not happen within {PATIENCE:.0f} s")
        await pilot.pause(0.01)
    await pilot.pause()


async def settled(pilot: Pilot[int]) -> None:
    """Let threads and repaints come to rest."""
    await pilot.pause()
    for worker in [w for w in pilot.app.workers if w.group in WAITED]:
        await worker.wait()
    await pilot.pause()


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys, and let what they cause happen."""
    await pilot.press(*keys)
    await settled(pilot)


def text_of(pilot: Pilot[int], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


def toasts(pilot: Pilot[int]) -> str:
    return "\n".join(notice.message for notice in pilot.app._notifications)


def table_of(pilot: Pilot[int]) -> Table:
    return pilot.app.screen.query_one(Table)


def snapshot_of(pilot: ConsolePilot) -> Snapshot:
    """What the session held that is open, when the console last read it."""
    snapshot = pilot.app.session.snapshot
    assert snapshot is not None
    return snapshot


def ranking_of(pilot: ConsolePilot) -> Ranking:
    """The last ranking of the session that is open."""
    ranking = pilot.app.session.ranking
    assert ranking is not None
    return ranking


class Held(ThreadPoolExecutor):
    """Threads that begin only when they are let go: what they read late shows."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def submit(self, call: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> Future[T]:
        def held() -> T:
            self.gate.wait(PATIENCE)
            return call(*args, **options)

        return super().submit(held)


@contextmanager
def held_threads() -> Iterator[threading.Event]:
    """No thread of the console begins before the event is set."""
    held = Held()
    asyncio.get_running_loop().set_default_executor(held)
    try:
        yield held.gate
    finally:
        held.gate.set()


def two_sessions() -> FakeHome:
    """`beta` is listed first: it is the newer one."""
    older = make_snapshot(name="alpha", wc=0.7)
    newer = make_snapshot(name="beta", created=NOW)
    return FakeHome({"alpha": FakeClient(older), "beta": FakeClient(newer)})


async def typed(pilot: Pilot[int], text: str) -> None:
    """Type into what has the focus."""
    for char in text:
        await pilot.press("space" if char == " " else char)
    await settled(pilot)


def offered(pilot: Pilot[int]) -> list[str]:
    """The keys in the key bar, as they are written there."""
    lines = text_of(pilot, "KeyBar").splitlines()
    return [item.split()[0] for line in lines for item in line.split("  ") if item.split()]


async def assert_nothing_offered_is_typed(pilot: Pilot[int]) -> None:
    """Whatever has the focus: the keys in the bar do what they say."""
    screen = pilot.app.screen
    seen = 0
    for widget in [w for w in screen.query("*") if w.focusable]:
        screen.set_focus(widget)
        await pilot.pause()
        await pilot.pause()
        keys = offered(pilot)
        for key in keys:
            assert len(key) > 1 or not widget.check_consume_key(key, key), (widget, key)
        if isinstance(widget, Input):
            seen += 1
            assert "f1" in keys
            assert not {"?", "q", "1-6", "n"} & set(keys)
    assert seen
