"""Sessions side by side: their fronts by one cost, their best within limits, what does not compare.

Pure: snapshots go in, records come out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...sessions.choices import METRICS
from ...sessions.errors import Misuse
from ...sessions.records import Trial
from ...sessions.snapshot import Snapshot
from ..tasks.limits import read_limit, spelled_limit
from ..tasks.measure import Measure
from ..tasks.task import measure_named, session_space, task_of
from .front import pareto
from .limits import limited_cost, reference_costs
from .standing import Recommendation

LimitOn = tuple[str, float]
"""A measure and the most of it, or a metric and the least share."""


@dataclass(frozen=True)
class Side:
    """One of the sessions.  front: its trials that no other of it beats in metric and cost."""

    snapshot: Snapshot
    recommended: Recommendation | None
    front: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """The session's."""
        return self.snapshot.session.name

    @property
    def seconds(self) -> float:
        """Of training, all epochs of all trials; neither validation nor waiting."""
        return sum(epoch.seconds for trial in self.snapshot.trials for epoch in trial.epochs)


@dataclass(frozen=True)
class Within:
    """The best of each session within limits, in the order of the sessions; None: it has none."""

    limits: tuple[LimitOn, ...]
    best: tuple[Trial | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Sessions of one task.

    measure: the cost that they are drawn against.  left_out: measure -> why its numbers do not
    compare, of those that a session counts or limits.  unlike: why the metrics do not compare;
    nothing where they do.
    """

    sides: tuple[Side, ...]
    measure: Measure
    within: tuple[Within, ...]
    left_out: dict[str, str]
    unlike: tuple[str, ...]


def compared(
    given: Sequence[tuple[Snapshot, Recommendation | None]],
    cost: str | None = None,
    limits: Sequence[str] = (),
) -> Comparison:
    """Put sessions side by side; each with the network that it recommends.

    cost: the measure to draw them against; None: the first whose numbers compare.  limits: as they
    are typed, besides those that the sessions have.  Raises Misuse: fewer than two sessions, one
    given twice, other tasks, a cost that is not known or does not compare, limits that cannot be
    read.
    """
    snapshots = [snapshot for snapshot, _ in given]
    check(snapshots)
    measure = _measure(snapshots, cost)
    typed = [_read(snapshots, text) for text in limits]
    for name, _ in typed:
        _check_compares(snapshots, name, f"limit on {name}")
    own = [pair for snapshot in snapshots for pair in snapshot.session.limits.items()]
    left_out = {
        name: why
        for name in dict.fromkeys([s.session.measure for s in snapshots] + [n for n, _ in own])
        if name not in METRICS and (why := apart(snapshots, _named(snapshots, name)))
    }
    alone = [pair for pair in dict.fromkeys([*typed, *own]) if pair[0] not in left_out]
    rows: list[tuple[LimitOn, ...]] = [(pair,) for pair in alone]
    together = tuple(dict.fromkeys(typed))
    if len(together) > 1:
        rows.append(together)
    sides = tuple(
        Side(snapshot, best, tuple(pareto(snapshot.trials, lambda t: comparable_cost(measure, t))))
        for snapshot, best in given
    )
    return Comparison(
        sides,
        measure,
        tuple(Within(row, tuple(_best(s, row, measure) for s in snapshots)) for row in rows),
        left_out,
        tuple(unlike(snapshots)),
    )


def comparable_cost(measure: Measure, trial: Trial) -> float | None:
    """What a trial costs as a limit has it: its own number, or its ratio to the reference's."""
    return limited_cost(measure, trial.costs, trial.reference_costs)


def check(snapshots: Sequence[Snapshot]) -> None:
    """Raise Misuse unless these are two sessions or more, each given once, of one task."""
    names = [snapshot.session.name for snapshot in snapshots]
    if len(names) < 2:
        raise Misuse(f"{', '.join(names) or 'no session'}: nothing to compare. Name two or more.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Misuse(f"session {twice!r}: given twice. Name each once.")
    tasks = {snapshot.session.task for snapshot in snapshots}
    if len(tasks) > 1:
        told = ", ".join(f"{s.session.name} ({s.session.task})" for s in snapshots)
        raise Misuse(f"{told}: search different things. Compare sessions of one task.")


def _named(snapshots: Sequence[Snapshot], name: str) -> Measure:
    return measure_named(name, task_of(snapshots[0].session))


def _measure(snapshots: Sequence[Snapshot], name: str | None) -> Measure:
    """The measure of this name, or the first whose numbers compare.  Raises Misuse."""
    if name is not None:
        measure = _named(snapshots, name)
        _check_compares(snapshots, name, f"--cost {name}")
        return measure
    measures = task_of(snapshots[0].session).measures
    for measure in sorted(measures, key=lambda m: not m.exact):
        if not apart(snapshots, measure):
            return measure
    raise Misuse("these sessions have no cost whose numbers compare: each was measured elsewhere.")


def _check_compares(snapshots: Sequence[Snapshot], name: str, label: str) -> None:
    """Raise Misuse where numbers of this measure do not compare; a metric is none."""
    if name in METRICS:
        return
    why = apart(snapshots, _named(snapshots, name))
    if why:
        measures = task_of(snapshots[0].session).measures
        others = ", ".join(m.name for m in measures if not apart(snapshots, m))
        raise Misuse(f"{label}: not usable here: {why}. Use {others}.")


def apart(snapshots: Sequence[Snapshot], measure: Measure) -> str:
    """Why numbers of a measure do not compare between these sessions; nothing where they do.

    What arithmetic knows compares anywhere.  What was measured does on one machine, and where it is
    a ratio only over one reference network.
    """
    if measure.exact:
        return ""
    for snapshot in snapshots:
        done = [trial for trial in snapshot.trials if trial.observed]
        if done and all(comparable_cost(measure, trial) is None for trial in done):
            return f"session {snapshot.session.name} does not know the {measure.noun} of any trial"
    if len({where for s in snapshots for where in _measured_on(s, measure)}) > 1:
        return f"{measure.noun} of other machines, threads, dtypes or runtimes does not compare"
    begun = {name for snapshot in snapshots for name in snapshot.session.defaults}
    if not measure.timed and len({_reference(snapshot, begun) for snapshot in snapshots}) > 1:
        return f"{measure.noun} is held against other reference networks"
    return ""


def _measured_on(snapshot: Snapshot, measure: Measure) -> set[tuple[object, ...]]:
    if measure.timed:
        return {(found.machine, found.runtime) for found in snapshot.latencies.values()}
    machines = (trial.machine for trial in snapshot.trials if trial.observed)
    return {
        (m.processor, m.device, m.threads, m.dtype, m.torch, m.node)
        for m in machines
        if m is not None
    }


def _reference(snapshot: Snapshot, begun: Collection[str]) -> tuple[object, ...]:
    """What the reference network is, and the images that it is timed on.

    begun: parameters that spaces begin with, which are how it is trained; its steps are the same.
    """
    session, config = snapshot.session, snapshot.trials[0].config
    kept = {name: value for name, value in config.items() if name not in begun}
    return repr(sorted(kept.items())), session.summary.shape, session.augment


def _read(snapshots: Sequence[Snapshot], text: str) -> LimitOn:
    """A limit as it is typed, the same in every session.  Raises Misuse."""
    read = []
    for snapshot in snapshots:
        space = session_space(snapshot.session)
        metric, reference = snapshot.session.metric, reference_costs(space)
        read.append(read_limit(text, space.measures, metric, reference))
    if len(set(read)) > 1:
        measures = task_of(snapshots[0].session).measures
        each = [
            f"{spelled_limit(*pair, measures)} in {snapshot.session.name}"
            for snapshot, pair in zip(snapshots, read, strict=True)
        ]
        raise Misuse(f"limit {text}: is {' and '.join(each)}. Give a number of your own.")
    return read[0]


def _best(snapshot: Snapshot, limits: Sequence[LimitOn], measure: Measure) -> Trial | None:
    """The most accurate trial that keeps the limits; the cheapest where all are on the metric."""
    by_cost = all(name in METRICS for name, _ in limits)
    ranked = []
    for trial in snapshot.trials:
        cost = comparable_cost(measure, trial)
        if not trial.observed or cost is None or not _keeps(snapshot, trial, limits):
            continue
        error = trial.error or 0.0
        ranked.append(((cost, error) if by_cost else (error, cost), trial.number))
    return snapshot.trials[min(ranked)[1]] if ranked else None


def _keeps(snapshot: Snapshot, trial: Trial, limits: Sequence[LimitOn]) -> bool:
    """Whether it keeps them for sure, as measured: what is not known keeps none."""
    for name, limit in limits:
        if name in METRICS:
            if name != snapshot.session.metric or 1 - (trial.error or 0.0) < limit:
                return False
            continue
        value = comparable_cost(_named([snapshot], name), trial)
        if value is None or value > limit:
            return False
    return True


def unlike(snapshots: Sequence[Snapshot]) -> list[str]:
    """Why what networks reach in one session does not compare with another: each in a few words."""
    sessions = [snapshot.session for snapshot in snapshots]
    reasons: dict[str, set[object]] = {
        "other images, or other splits of them (their fingerprints differ)": {
            session.summary.fingerprint for session in sessions
        },
        "another metric": {session.metric for session in sessions},
        "another number of epochs a trial": {session.epochs for session in sessions},
    }
    return [reason for reason, values in reasons.items() if len(values) > 1]
