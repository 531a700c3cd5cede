"""What every executor is: its face, what it says, the watchdog."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Literal, Protocol, TypeVar

from ...sessions.records import Execution, Session
from ..protocol import Ended, EpochDone, Failed, Finished, Ready, Refused, Started, Stop, Train

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Threads of a trainer that wait for each other spin for a moment and then sleep.  Where they sleep
at once a small network trains half as fast; where they spin as long as they do by default, two
trainers that want the same processors are a third as fast (benchmarks/training.py, `waiting`).  It
reaches OpenMP alone: for oneDNN, which spins regardless, see training/threads.py."""
STALL_SECONDS = 600.0
"""How long a trainer may give no sign of life while it trains: $LCSEARCH_STALL_SECONDS, or this."""
STALL_FACTOR = 20
"""It may be silent for this many times the longest silence it came back from, if that is more."""
AWAKE_SECONDS = 1.0
"""At most this much of the time between two looks counts: the rest, nobody was awake."""


T = TypeVar("T")


def drained(events: queue.Queue[T], seconds: float) -> Iterator[T]:
    """What there is in a queue; where there is nothing, the first that comes within `seconds`."""
    with contextlib.suppress(queue.Empty):
        yield events.get(timeout=seconds)
        while True:
            yield events.get_nowait()


@dataclass(frozen=True)
class Gone:
    """The trainer died by itself, or was killed because it did not go on.

    reason: its exit status or signal, in words.  ready: whether it had read the data.  who: trial
    and attempt that it trained, if any.
    """

    reason: str
    kind: Literal["crash", "signal", "memory", "stalled"] = "crash"
    ready: bool = True
    who: tuple[int, int] | None = None


@dataclass(frozen=True)
class Notice:
    """What whoever looks should know; empty when it holds no more."""

    message: str


Event = Started | EpochDone | Finished | Ended | Failed | Ready | Refused | Gone | Notice


class Executor(Protocol):
    """Runs trials for one engine, which calls it from one thread."""

    @property
    def running(self) -> tuple[tuple[int, int], ...]:
        """(trial, attempt) of everything that it trains."""

    def room(self, wanted: int) -> int:
        """How many of `wanted` trials can begin now."""

    def train(self, task: Train) -> None:
        """Begin a trial; there must be room.  Its end comes as an event: Finished, Ended, Failed,
        or Gone with this trial.  A checkpoint that stands at its path is gone on from.
        """

    def stop(self, order: Stop) -> None:
        """Ask for the end of a trial; it may have ended by itself."""

    def wait(self, seconds: float) -> list[Event]:
        """What happened, after at most `seconds`; every epoch once and in order."""

    def close(self) -> None:
        """End everything that runs; what was saved is saved.  It may be used again after."""


@dataclass(frozen=True)
class Kind:
    """One place where trials can run.

    title: in words, `this machine`.  own: fields of an `Execution` that mean something there alone.
    make: an executor for a session; dtype: what its trials are trained in, None lets the first
    trainer choose; timed_with: threads that its trials were timed with, None where that does not
    matter; log: for what a trainer says besides.  check: raises Misuse for what cannot be used,
    StoreError for what is missing; may take seconds.  at_once: trials at once, as was said or as
    is usual; raises Misuse.  check_timed: raises Misuse for more at once than can be timed with so
    many threads each.  describe: where trials run, in words that follow "trials run".  elastic:
    slots come and go by themselves, so that another number of trials at once needs no other
    executor.  trains: the tasks whose candidates it can train, by name.
    """

    name: str
    title: str
    make: Callable[[Session, str | None, int | None, IO[bytes]], Executor]
    check: Callable[[Execution], None]
    at_once: Callable[[Execution], int]
    describe: Callable[[Execution], str]
    trains: frozenset[str]
    check_timed: Callable[[Execution, int], None] = lambda execution, timed_with: None
    own: frozenset[str] = frozenset()
    elastic: bool = False


class Watchdog:
    """Whether a trainer goes on.  Only time in which the engine itself was awake counts: a machine
    that slept, or an engine that was stopped for a while, takes no trainer for dead.
    """

    def __init__(self, patience: float | None = None) -> None:
        self.patience = patience or float(os.environ.get("LCSEARCH_STALL_SECONDS", STALL_SECONDS))
        self._silence = 0.0
        self._longest = 0.0
        self._looked = time.monotonic()

    @property
    def limit(self) -> float:
        """Seconds of silence that are allowed now."""
        return max(self.patience, STALL_FACTOR * self._longest)

    def begin(self) -> None:
        """Something was handed to the trainer: it begins now."""
        self._silence = 0.0
        self._looked = time.monotonic()

    def heard(self) -> None:
        """The trainer said something."""
        self._longest = max(self._longest, self._silence)
        self._silence = 0.0

    def stalled(self, at_least: float = 0.0) -> float | None:
        """Look: the seconds of silence, if they are too many (and more than `at_least`)."""
        moment = time.monotonic()
        self._silence += min(moment - self._looked, AWAKE_SECONDS)
        self._looked = moment
        return self._silence if self._silence > max(self.limit, at_least) else None


def death(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"it ended with exit status {status}"
    name = signal.Signals(-status).name
    by = ", by somebody or by the kernel where memory ran out" if name == "SIGKILL" else ""
    return f"it was killed ({name}){by}"
