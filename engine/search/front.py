"""Accuracy against one cost: the Pareto front, and what there is below the cost of the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...sessions.records import Trial
from ..advisor.ranking import Front

POINT = 0.01
"""Of error: a network this near to the best is as good as it to whoever looks for a smaller one."""
Price = Callable[[Trial], float | None]
"""What a trial costs; None where that is not known."""


def _complexity(trial: Trial) -> float | None:
    return trial.complexity


def pareto(trials: Sequence[Trial], cost: Price = _complexity) -> list[Trial]:
    """The observed trials that no other beats in both error and a cost, cheapest first."""
    front: list[Trial] = []
    observed = [t for t in trials if t.observed and cost(t) is not None]
    for trial in sorted(observed, key=lambda t: (cost(t), t.error, t.number)):
        assert trial.error is not None
        if not front or trial.error < (front[-1].error or 0.0):
            front.append(trial)
    return front


@dataclass(frozen=True)
class Smaller:
    """What there is below the cost of the best network.

    half: half of its cost; half_expected: the entry of the believed front that is the best there;
    half_measured: the trial with the least error there.  near: the cheapest trial within `POINT` of
    its error, itself where none is cheaper; near_expected: the entry of the cheapest candidate that
    is expected to be that near, where it costs less.  None where nothing is believed, or there.
    """

    best: Trial
    half: float
    half_expected: int | None
    half_measured: Trial | None
    near: Trial
    near_expected: int | None


def smaller(
    trials: Sequence[Trial], best: Trial, cost: Price, front: Front | None = None
) -> Smaller | None:
    """What would be given up for a network that costs less than the best.

    trials: those to choose from.  front: what is believed of candidates, by the same cost.  None
    where the cost of the best is not known.
    """
    most = cost(best)
    if most is None or best.error is None:
        return None
    enough = best.error + POINT
    cheaper = [
        (value, t.error, t.number, t)
        for t in trials
        if t.observed and t.error is not None and (value := cost(t)) is not None and value < most
    ]
    halved = min(((e, n, t) for value, e, n, t in cheaper if value <= most / 2), default=None)
    near = ((value, n, t) for value, e, n, t in cheaper if e <= enough)
    least, _, nearest = min(near, default=(most, best.number, best))
    half_expected = near_expected = None
    if front is not None:
        half_expected = front.within(most / 2)
        good = [i for i, error in enumerate(front.error.tolist()) if error <= enough]
        if good and front.costs[good[0]] < least:
            near_expected = good[0]
    return Smaller(
        best,
        most / 2,
        half_expected,
        None if halved is None else halved[-1],
        nearest,
        near_expected,
    )
