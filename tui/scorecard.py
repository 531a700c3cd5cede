"""Who was right: predictions at decision time against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sessions.records import Trial

PERSON = ("edited", "manual")


@dataclass(frozen=True)
class Outcome:
    """One prediction that was put to the test.

    f is measured under the w_c of the prediction: changing w_c later makes nobody wrong.
    """

    trial: Trial
    mean: float
    std: float
    f: float

    @property
    def within(self) -> bool:
        """Whether the measurement lies within two predictive standard deviations."""
        return abs(self.f - self.mean) <= 2 * self.std


@dataclass(frozen=True)
class Picks:
    """What the trials of one chooser came to.

    gained: how much they lowered the best measured f, each when it was trained.
    """

    trials: int
    gained: float
    mean: float | None


def outcomes(trials: Sequence[Trial]) -> list[Outcome]:
    """Every measured trial that was predicted."""
    found = []
    for trial in trials:
        belief = trial.prediction
        if belief is None or trial.error is None or trial.complexity is None:
            continue
        if trial.state == "done":
            f = trial.error + belief.wc * trial.complexity
            found.append(Outcome(trial, belief.mean, belief.predictive_std, f))
    return found


def coverage(results: Sequence[Outcome], widths: float = 2.0) -> int:
    """How many measurements lie within so many predictive standard deviations."""
    return sum(abs(result.f - result.mean) <= widths * result.std for result in results)


def picks(trials: Sequence[Trial], wc: float, sources: Sequence[str]) -> Picks:
    """The trials from some sources: what they gained, and their mean f, under one w_c."""
    best: float | None = None
    gained = 0.0
    values: list[float] = []
    ended = [t for t in trials if t.state == "done"]
    for trial in sorted(ended, key=lambda t: (t.ended or t.created, t.number)):
        if trial.error is None or trial.complexity is None:
            continue
        f = trial.error + wc * trial.complexity
        if trial.source in sources:
            values.append(f)
            if best is not None:
                gained += max(best - f, 0.0)
        best = f if best is None else min(best, f)
    return Picks(len(values), gained, sum(values) / len(values) if values else None)


def overrides(results: Sequence[Outcome]) -> tuple[int, int]:
    """Of the networks that a person edited: how many did better than the model believed, of all."""
    edited = [result for result in results if result.trial.source == "edited"]
    return sum(result.f < result.mean for result in edited), len(edited)
