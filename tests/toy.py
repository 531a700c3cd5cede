"""The smallest task that there can be, and an executor that trains nothing: what extending takes.

`register()` makes them known.  Run as a program it is the engine of a session that knows them.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from lcsearch.engine.executors import base, registry
from lcsearch.engine.executors.base import Event, Kind, drained
from lcsearch.engine.protocol import Ended, EpochDone, Finished, Started, Stop, Train
from lcsearch.engine.tasks import task
from lcsearch.engine.tasks.domains import Integer, Real
from lcsearch.engine.tasks.face import Problem, Task
from lcsearch.engine.tasks.measure import Measure
from lcsearch.engine.tasks.parameter import Parameter
from lcsearch.engine.tasks.space import Space
from lcsearch.sessions.records import Config, Epoch, Execution, Machine, Session

EFFORT = Measure(
    name="effort",
    title="effort",
    unit="steps",
    heading="effort",
    number="count",
    axis="steps",
    of=lambda config: 10.0 * config["n"] * (1 + config["x"]),
    informs=True,
)
"""Known by arithmetic; a configuration is all that it needs."""
HEAT = Measure(name="heat", title="heat", unit="J", heading="heat", number="seconds", axis="joules")
"""Measured by the executor, with that of the reference beside it."""


def _space(problem: Problem, domains: Mapping[str, str]) -> Space:
    return Space(
        levels=("where", "how many"),
        parameters=(
            Parameter("x", 1, Real(0.0, 1.0), 0.5),
            Parameter("n", 2, Integer(1, 8), 4),
        ),
        reference={"x": 0.5, "n": 4},
    ).narrowed(domains)


TOY = Task(
    name="toy",
    title="two numbers",
    levels=("where", "how many"),
    measures=(EFFORT, HEAT),
    space=_space,
)
MACHINE = Machine(processor="none", device="none", threads=1, dtype="float32", torch="none")


def error(config: Config) -> float:
    """f_p of two numbers."""
    return float(0.05 + (config["x"] - 0.3) ** 2 + 0.2 / config["n"])


class ToyExecutor:
    """Trains by formula: every trial is over as soon as it has begun, unless it is held.

    held: attempts, (trial, attempt), that train one epoch and then wait to be stopped.
    """

    def __init__(self, held: frozenset[tuple[int, int]] = frozenset()) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        self._running: dict[tuple[int, int], Train] = {}
        self._held = held

    @property
    def running(self) -> tuple[tuple[int, int], ...]:
        """See `Executor`."""
        return tuple(self._running)

    def room(self, wanted: int) -> int:
        """See `Executor`."""
        return max(min(wanted, 1 - len(self._running)), 0)

    def train(self, task: Train) -> None:
        """See `Executor`."""
        who = {"trial": task.trial, "attempt": task.attempt}
        self._running[task.trial, task.attempt] = task
        kept = Path(task.checkpoint)
        done = len(kept.read_text()) if kept.exists() else 0
        self._events.put(Started(**who, epochs=tuple(self._epochs(task)[:done])))
        last = 1 if (task.trial, task.attempt) in self._held else task.epochs
        for epoch in self._epochs(task)[done:last]:
            kept.write_text("." * epoch.epoch)
            self._events.put(EpochDone(**who, epoch=epoch))
        if last == task.epochs:
            self._events.put(
                Finished(
                    **who,
                    error=error(task.config),
                    costs={"heat": 2.0 * task.config["n"]},
                    reference_costs={"heat": 2.0 * task.reference["n"]},
                    machine=MACHINE,
                )
            )

    @staticmethod
    def _epochs(task: Train) -> list[Epoch]:
        best = 1 - error(task.config)
        return [
            Epoch(
                epoch=number,
                train_loss=1 / number,
                val_accuracy=best - 0.01 * (task.epochs - number),
                seconds=0.1,
            )
            for number in range(1, task.epochs + 1)
        ]

    def stop(self, order: Stop) -> None:
        """See `Executor`."""
        if (order.trial, order.attempt) in self._running:
            paused = order.mode == "pause"
            self._events.put(Ended(trial=order.trial, attempt=order.attempt, paused=paused))

    def wait(self, seconds: float) -> list[Event]:
        """See `Executor`."""
        found = list(drained(self._events, seconds))
        for event in found:
            if isinstance(event, Finished | Ended):
                self._running.pop((event.trial, event.attempt), None)
        return found

    def close(self) -> None:
        """See `Executor`."""
        self._running.clear()
        self._events = queue.Queue()


def _make(
    session: Session, dtype: str | None, timed_with: int | None, log: IO[bytes]
) -> base.Executor:
    return ToyExecutor()


def _check(execution: Execution) -> None:
    """It can always be used."""


KIND = Kind(
    name="toy",
    title="no machine at all",
    make=_make,
    check=_check,
    at_once=lambda execution: 1,
    describe=lambda execution: "nowhere",
    trains=frozenset({TOY.name}),
)


def register() -> None:
    """Make the task and the executor known in this process."""
    task.TASKS[TOY.name] = TOY
    registry.EXECUTORS[KIND.name] = KIND


if __name__ == "__main__":
    from lcsearch.engine import service

    register()
    sys.exit(service.main())
