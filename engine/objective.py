"""The objective of a search: error and complexity, weighed by the user's trade-off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..sessions.records import COST_ALONE, Config, Epoch, Prediction

Number = TypeVar("Number", float, NDArray[np.float64])


def objective(error: Number, complexity: Number, complexity_weight: float) -> Number:
    """f = f_p + w_c f_c; f_c alone where the weight is `COST_ALONE`.

    error: f_p, 1 - the metric at its best epoch.  complexity: f_c, over the reference network's.
    Numbers, or arrays of one shape; returns the same.
    """
    if complexity_weight == COST_ALONE:
        return complexity
    return error + complexity_weight * complexity


def error_at(value: float, complexity: Number, complexity_weight: float) -> Number:
    """f_p of a network that has this f and this f_c: what lines of equal f are drawn by.

    complexity_weight: finite.
    """
    return value - complexity_weight * complexity


def objective_std(error: Number, complexity: Number, complexity_weight: float) -> Number:
    """Standard deviation of f from those of f_p and f_c, which are independent."""
    if complexity_weight == COST_ALONE:
        return complexity
    result: Number = np.hypot(error, complexity_weight * complexity)
    return result


class Predicted(NamedTuple):
    """A prediction of f under some w_c: mean, σ of the latent f, σ of a measurement of it."""

    mean: float
    std: float
    predictive_std: float


def predicted(belief: Prediction, wc: float) -> Predicted:
    """What a prediction says of f under this w_c, which need not be that of its moment.

    Mean and σ follow exactly.  Of the noise of a measurement only the sum is kept, so that of the
    prediction's moment is added.
    """
    if wc == belief.wc:
        return Predicted(belief.mean, belief.std, belief.predictive_std)
    std = float(objective_std(belief.error_std, belief.complexity_std, wc))
    noise = max(belief.predictive_std**2 - belief.std**2, 0.0)
    mean = objective(belief.error, belief.complexity, wc)
    return Predicted(mean, std, math.sqrt(std**2 + noise))


NEVER = -1e6
"""The logarithm of an improvement that cannot happen: finite, so that it can be kept and shown."""
Timed = Mapping[str, Mapping[str, tuple[Config, float]]]
"""Cost -> key of a network -> the network and what it was timed for, above 0."""
COMPLEXITY = "f_c"
"""The complexity, among what networks are timed for."""
SECONDS = "seconds"
"""The measure that is time: what a search still takes is reckoned by it, whatever f_c is of."""


def warm(epochs: Sequence[Epoch]) -> Sequence[Epoch]:
    """The epochs whose seconds count.

    The first epoch, and the first after a resume, is cold: left out where there is another.
    """
    return [epoch for epoch in epochs if epoch.epoch > 1 and not epoch.resumed] or epochs


def medians(epochs: Sequence[Epoch]) -> tuple[float, float]:
    """Seconds an epoch of the trial and of the reference beside it, each a median of the warm."""
    counted = warm(epochs)
    beside = [e.reference_seconds for e in counted if e.reference_seconds is not None]
    return statistics.median(e.seconds for e in counted), statistics.median(beside)


def best_error(epochs: Sequence[Epoch]) -> float:
    """f_p: 1 - the session's metric on the validation images, the best of all epochs."""
    return 1 - best_epoch(epochs).score


def best_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """The one that f_p is of: the first of the best."""
    return max(epochs, key=lambda epoch: epoch.score)


@dataclass(frozen=True)
class Observation:
    """A finished training.

    error: f_p.  images: so many would tell an accuracy as surely; for an accuracy, those that
    validate; 0 where it is exact or that is unknown.  complexity: f_c.  costs: what else was
    measured of it, where a limit is on that.
    """

    number: int
    level: int
    config: Config
    error: float
    images: float
    complexity: float
    costs: Mapping[str, float] = field(default_factory=dict)
