"""A band below the header that says at once when nobody trains though work waits, and why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from .. import format as words
from .keys import typed

if TYPE_CHECKING:
    from ...sessions.snapshot import Snapshot
    from ..open_session import OpenSession

GRACE_SECONDS = 3.0
"""An engine that left in order, or was never there, may be starting for whoever queued a trial."""
LOOK_SECONDS = 0.3
STARTERS = ("open", "decide", "engine")
"""Workers of the console that may be starting an engine."""


def waits(snapshot: Snapshot) -> int:
    """How many trials wait for an engine."""
    return sum(t.pending for t in snapshot.trials)


def needs_engine(snapshot: Snapshot | None) -> bool:
    """Whether there is work, and no engine to do it."""
    return (
        snapshot is not None
        and not snapshot.engine.alive
        and not snapshot.read_only
        and bool(waits(snapshot) or snapshot.session.autopilot is not None)
    )


class EngineBand(Static):
    """` ✗ The engine is gone, though 2 trials wait. z starts it.` and why.

    The log of one that failed says more; one that was killed could write nothing there.
    """

    DEFAULT_CSS = """
    EngineBand { display: none; height: auto; max-height: 6; padding: 0 1; background: $boost; }
    EngineBand.-shown { display: block; }
    """

    def __init__(self, session: OpenSession) -> None:
        super().__init__()
        self._session = session
        self._snapshot: Snapshot | None = None
        self._needed: bool | None = None
        self._missing_since: float | None = None
        self._going_since: float | None = None
        self._timer: Timer | None = None
        self._told: tuple[Any, ...] | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Show how the engine stands; nothing where all is well."""
        self._snapshot = snapshot
        needed = needs_engine(snapshot)
        if needed != self._needed:
            # the key is offered by the same rule, whether or not the band has anything to say
            self._needed = needed
            self.screen.refresh_bindings()
        if not needed:
            self._missing_since = None
        if not snapshot.engine.going:
            self._going_since = None
        if not needed and not snapshot.engine.going:
            if self._timer is not None:
                self._timer.stop()
                self._timer = None
        elif self._timer is None:
            # whether somebody is starting one, or one does not go, changes with no news of it
            self._timer = self.set_interval(LOOK_SECONDS, self._tick)
        self._look()

    def _tick(self) -> None:
        # what it looks at is read from a file: not for a screen that nobody sees
        if self.screen in self.app.screen_stack:
            self._look()

    def _look(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        told = self._state(snapshot)
        if told == self._told:
            return
        self._told = told
        self.set_class(told is not None, "-shown")
        if told is None:
            return
        mark, sentence, why = told
        lines = [Content.assemble((f"{mark} ", "bold $error"), (sentence, "bold"))]
        room = 4 if self.app.size.height >= 30 else 1
        if why:
            lines += [Content.styled(line, "$foreground 70%") for line in why[-room:]]
        self.update(Content("\n").join(lines))

    def _state(self, snapshot: Snapshot) -> tuple[str, str, tuple[str, ...]] | None:
        engine = snapshot.engine
        key = "esc, then z" if typed(self.screen, "z") else "z"
        moment = time.monotonic()
        if engine.going:
            from ...engine.client.process import STOP_SECONDS, does_not_go

            self._going_since = self._going_since or moment
            if moment - self._going_since > STOP_SECONDS:
                told = does_not_go(snapshot.session.name, engine.pid, STOP_SECONDS)
                return "!", words.sentence(told), ()
        if engine.alive and engine.trouble:
            return "!", engine.trouble, ()
        if not needs_engine(snapshot) or self._starting():
            return None
        count = waits(snapshot)
        work = f"{words.plural(count, 'trial')} wait{'s' if count == 1 else ''}"
        work = work if count else "the autopilot is on"
        if engine.state == "stopped":
            return "○", f"The engine was stopped; {work}. {key} starts it.", (engine.message,)
        end = f"{words.sentence(words.engine_end(engine))}."
        if engine.standing == "failed":
            told = f"The engine failed, though {work}. {key} starts it again."
            return "✗", told, (*self._log(), end)
        if engine.gone:
            told = f"The engine is gone, though {work}. {key} starts it again."
            return "✗", told, (f"{words.sentence(words.KILLED)}.",)
        self._missing_since = self._missing_since or moment
        if moment - self._missing_since < GRACE_SECONDS:
            return None
        why = (end,) if engine.message else self._log()
        return "✗", f"No engine is at work, though {work}. {key} starts one.", why

    def _starting(self) -> bool:
        return any(w.group in STARTERS and not w.is_finished for w in self.app.workers)

    def _log(self) -> tuple[str, ...]:
        client = self._session.client
        return () if client is None else tuple(client.log_tail(4).splitlines())
