"""Who was right: predictions at decision time against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .standing import objective, objective_then

if TYPE_CHECKING:
    from ...sessions.records import Advised, Prediction, Trial
    from ...sessions.snapshot import Snapshot


PERSON = ("edited", "manual")
FIRST = 10
"""Predictions that are told apart from the rest: so few trials were behind them."""


@dataclass(frozen=True)
class Outcome:
    """One prediction that was put to the test.

    f is measured under the w_c and the measure of the prediction: changing them later makes nobody
    wrong.
    """

    trial: Trial
    mean: float
    std: float
    f: float

    @property
    def wc(self) -> float:
        """The w_c of the prediction."""
        assert self.trial.prediction is not None
        return self.trial.prediction.wc

    @property
    def within(self) -> bool:
        """Whether the measurement lies within two predictive standard deviations."""
        return abs(self.f - self.mean) <= 2 * self.std


@dataclass(frozen=True)
class Override:
    """A network that a person trained, and the advisor's first candidate of that moment.

    f: measured.  against: the f of the candidate: measured where it was trained as well, by the
    trial `measured`, else the mean that was predicted then.  Both under the w_c of that moment.
    """

    trial: Trial
    advised: Advised
    f: float
    against: float
    measured: int | None

    @property
    def wc(self) -> float:
        """The w_c of the prediction."""
        return self.advised.prediction.wc

    @property
    def right(self) -> bool:
        """Whether the person's network has the smaller f."""
        return self.f < self.against


@dataclass(frozen=True)
class Picks:
    """What the trials of one chooser came to.

    gained: how much they lowered the best measured f, each when it was trained.
    """

    trials: int
    gained: float
    mean: float | None


def outcomes(snapshot: Snapshot) -> list[Outcome]:
    """Every measured trial that was predicted."""
    found = []
    for trial in snapshot.trials:
        belief = trial.prediction
        f = None if belief is None else objective_then(snapshot, trial, belief)
        if belief is not None and f is not None:
            found.append(Outcome(trial, belief.mean, belief.predictive_std, f))
    return found


def coverage(results: Sequence[Outcome], widths: float = 2.0) -> int:
    """How many measurements lie within so many predictive standard deviations."""
    return sum(abs(result.f - result.mean) <= widths * result.std for result in results)


def parts(results: Sequence[Outcome]) -> tuple[tuple[str, Sequence[Outcome]], ...]:
    """The first predictions and the rest, where there is a rest: early ones are of little."""
    if len(results) <= FIRST:
        return ()
    return (f"first {FIRST}", results[:FIRST]), ("rest", results[FIRST:])


def bias(results: Sequence[Outcome]) -> float:
    """By how much f came out above its prediction, on average: above 0 is too hopeful."""
    return sum(result.f - result.mean for result in results) / len(results)


def picks(trials: Sequence[Trial], wc: float, sources: Sequence[str]) -> Picks:
    """The trials from some sources: what they gained, and their mean f, under one w_c."""
    best: float | None = None
    gained = 0.0
    values: list[float] = []
    for trial in sorted(trials, key=lambda t: (t.ended or t.created, t.number)):
        f = objective(trial, wc)
        if f is None:
            continue
        if trial.source in sources:
            values.append(f)
            if best is not None:
                gained += max(best - f, 0.0)
        best = f if best is None else min(best, f)
    return Picks(len(values), gained, sum(values) / len(values) if values else None)


def overrides(snapshot: Snapshot) -> list[Override]:
    """Every network that a person trained instead of the advisor's first candidate.

    Both sides are measured as one: a network that was repeated by the mean of its trainings.
    """
    measured: dict[str, list[Trial]] = {}
    for trial in snapshot.trials:
        if trial.observed:
            measured.setdefault(trial.key, []).append(trial)

    def mean_f(key: str, belief: Prediction) -> float | None:
        values = [objective_then(snapshot, trial, belief) for trial in measured[key]]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    found = []
    for decision in snapshot.decisions:
        advised = decision.advised
        if advised is None or decision.by != "person" or decision.trial is None:
            continue
        trial, belief = snapshot.trials[decision.trial], advised.prediction
        f = mean_f(trial.key, belief) if trial.observed else None
        if f is None:
            continue
        later = measured.get(advised.id)
        against = mean_f(advised.id, belief) if later else None
        found.append(
            Override(
                trial=trial,
                advised=advised,
                f=f,
                against=belief.mean if against is None else against,
                measured=later[0].number if later and against is not None else None,
            )
        )
    return found
