"""A session at one moment, and the plan that changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

from .choices import Runtime
from .records import Decision, Delivery, Latency, Session, Trial

Standing = Literal["none", "serving", "stopping", "leaving", "stopped", "left", "failed", "gone"]


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine lives (its lock says so), what it said last, and its process.

    state: leaving in order; stopping, stopped: because somebody asked for it; failed: of itself.
    message: of one that has left or failed, why.  trouble: why an engine that lives cannot work
    now, such as a full disk.
    """

    alive: bool = False
    state: Literal["none", "serving", "stopping", "stopped", "leaving", "failed"] = "none"
    pid: int | None = None
    message: str = ""
    trouble: str = ""

    @property
    def gone(self) -> bool:
        """Whether it ended at its work: nobody asked it to go, and it did not leave in order."""
        return self.standing in ("gone", "failed")

    @property
    def standing(self) -> Standing:
        """What it does, or how it ended: one that said nothing of its end was killed."""
        if self.alive:
            return "none" if self.state == "failed" else self.state
        if self.state in ("serving", "stopping"):
            return "gone"
        return "left" if self.state == "leaving" else self.state

    @property
    def going(self) -> bool:
        """Whether it lives, and is on its way out."""
        return self.alive and self.state in ("stopping", "leaving")


@dataclass(frozen=True)
class Snapshot:
    """All that a session holds, read in one transaction.  `trials[i].number == i`."""

    change: int
    session: Session
    trials: tuple[Trial, ...]
    decisions: tuple[Decision, ...]
    engine: EngineStatus
    read_only: bool = False
    latencies: Mapping[str, Latency] = field(default_factory=dict)
    """What was timed for this session, by the networks' keys: by its runtime, on one machine."""

    deliveries: tuple[Delivery, ...] = ()
    """Final trainings, `deliveries[i].number == i + 1`."""

    @cached_property
    def standing_deliveries(self) -> tuple[Delivery, ...]:
        """The final trainings as they stand, as `standing` has the trials."""
        return self.deliveries if self.engine.alive else _interrupted(self.deliveries)

    @property
    def scored(self) -> int:
        """How many final trainings, one a seed, were scored on the test set: it was looked at as
        often.
        """
        return sum(len(one.scores) for one in self.deliveries)

    @cached_property
    def standing(self) -> tuple[Trial, ...]:
        """The trials as they stand: what an engine that is gone left running is interrupted.

        For whoever looks; what is kept, decided on and exported is `trials`.
        """
        return self.trials if self.engine.alive else _interrupted(self.trials)


Work = TypeVar("Work", Trial, Delivery)


def _interrupted(work: tuple[Work, ...]) -> tuple[Work, ...]:
    return tuple(
        one.model_copy(update={"state": "interrupted"}) if one.state == "running" else one
        for one in work
    )


def comparable(latencies: Iterable[Latency], runtime: Runtime | None) -> dict[str, Latency]:
    """Those that were timed by one runtime (the session's, or the first that was used) on the
    machine that was the first to time anything by it, by the networks' keys.
    """
    by_it = [latency for latency in latencies if runtime in (None, latency.runtime)]
    if not by_it:
        return {}
    alike = by_it[0].runtime, by_it[0].machine
    kept = [found for found in by_it if (found.runtime, found.machine) == alike]
    # in one order, however they came: what is learnt from them is summed in it
    return {found.key: found for found in sorted(kept, key=lambda found: found.key)}


@dataclass(frozen=True)
class TrialUpdate:
    """New values for a trial that must be in one of `states`."""

    number: int
    states: frozenset[str]
    fields: Mapping[str, Any]
    stop_request: str | None = None
    """What must have been asked of it until now, where that is what changes."""


@dataclass(frozen=True)
class Plan:
    """What one decision writes and what it assumes; numbers of new rows are given on writing.

    unique: refuse if a trial with this key is open or done.  expect: values that fields of the
    session must still have.  last: number of the last decision that was seen, where any later one
    would change what this one means.
    """

    decision: Decision
    trial: Trial | None = None
    updates: tuple[TrialUpdate, ...] = ()
    session: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)
    unique: str | None = None
    last: int | None = None
