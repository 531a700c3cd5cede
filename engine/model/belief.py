"""Belief about quantities of networks, and about f for any weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import COST_ALONE, Config
from ..objective import NEVER, objective, objective_std
from .acquisition import (
    Improvement,
    Uncertain,
    expected_improvement,
    limited_improvement,
    log_normal_improvement,
)

Array = NDArray[np.float64]
SPREAD = 0.02
"""Standard deviation of a logarithm above which f is not taken to be normal."""

NEXT_TO_NOTHING = math.log(1e-3)
"""Logarithm of a probability below which it says more of σ than of the mean."""


@dataclass(frozen=True)
class Points:
    """Configurations ready for prediction: features, shape (n, features), and exact complexity."""

    configs: list[Config]
    features: Array
    exact: Array | None

    def __add__(self, other: Points) -> Points:
        exact = None
        if self.exact is not None and other.exact is not None:
            exact = np.concatenate([self.exact, other.exact])
        return Points(
            self.configs + other.configs, np.vstack([self.features, other.features]), exact
        )


@dataclass(frozen=True)
class Quantity:
    """Belief about one positive or any quantity; arrays of shape (n,).

    transformed_mean, transformed_std: of the logarithm of what it is above `origin` where `log`,
    else of itself.  mean, std: of the latent quantity.  predictive_std: of a measurement of it.
    """

    log: bool
    transformed_mean: Array
    transformed_std: Array
    mean: Array
    std: Array
    predictive_std: Array
    origin: float = 0.0

    @property
    def uncertain(self) -> Uncertain:
        """What it is above its origin, as an integral over it wants it."""
        return Uncertain(self.log, self.transformed_mean, self.transformed_std)

    def log_at_most(self, most: float) -> Array:
        """Logarithm of the probability that the latent quantity is at most this, shape (n,)."""
        return self.uncertain.log_below(np.full(len(self.mean), most - self.origin))

    def log_nearest(self, most: float) -> Array:
        """`log_at_most`, but where that is next to nothing the nearest by its mean comes first,
        shape (n,): far out a probability is that of its σ, and what is least known would win.
        """
        likely = self.log_at_most(most)
        if not math.isfinite(most):
            return likely
        limit = most - self.origin
        if self.log:
            far = self.transformed_mean - math.log(max(limit, 1e-300))
        else:
            far = (self.transformed_mean - limit) / max(abs(limit), 1e-300)
        return np.where(likely >= NEXT_TO_NOTHING, likely, NEXT_TO_NOTHING - np.maximum(far, 0.0))

    def taken(self, rows: NDArray[np.intp]) -> Quantity:
        """That of some of the networks."""
        return Quantity(
            self.log,
            self.transformed_mean[rows],
            self.transformed_std[rows],
            self.mean[rows],
            self.std[rows],
            self.predictive_std[rows],
            self.origin,
        )

    def known(self, rows: Sequence[int], values: Array) -> Quantity:
        """The same, without doubt in these rows, where it has these values, above `origin`."""
        if not rows:
            return self
        at = list(rows)

        def put(before: Array, value: Array | float) -> Array:
            after = before.copy()
            after[at] = value
            return after

        transformed = np.log(values - self.origin) if self.log else values
        return Quantity(
            self.log,
            put(self.transformed_mean, transformed),
            put(self.transformed_std, 0.0),
            put(self.mean, values),
            put(self.std, 0.0),
            put(self.predictive_std, 0.0),
            self.origin,
        )

    def __add__(self, other: Quantity) -> Quantity:
        """Belief about the networks of both, in order."""
        return Quantity(
            self.log,
            np.concatenate([self.transformed_mean, other.transformed_mean]),
            np.concatenate([self.transformed_std, other.transformed_std]),
            np.concatenate([self.mean, other.mean]),
            np.concatenate([self.std, other.std]),
            np.concatenate([self.predictive_std, other.predictive_std]),
            self.origin,
        )


@dataclass(frozen=True)
class Belief:
    """Belief about the error and the complexity of some networks, from which f follows.

    costs: what else is measured, where a limit is on it, by name.
    """

    error: Quantity
    complexity: Quantity
    costs: Mapping[str, Quantity] = field(default_factory=dict)

    def __add__(self, other: Belief) -> Belief:
        """Belief about the networks of both, in order."""
        costs = {name: quantity + other.costs[name] for name, quantity in self.costs.items()}
        return Belief(self.error + other.error, self.complexity + other.complexity, costs)

    def taken(self, rows: NDArray[np.intp]) -> Belief:
        """That of some of the networks."""
        costs = {name: quantity.taken(rows) for name, quantity in self.costs.items()}
        return Belief(self.error.taken(rows), self.complexity.taken(rows), costs)

    def objective(self, wc: float) -> tuple[Array, Array, Array]:
        """Mean, latent standard deviation and predictive standard deviation of f."""
        return (
            objective(self.error.mean, self.complexity.mean, wc),
            objective_std(self.error.std, self.complexity.std, wc),
            objective_std(self.error.predictive_std, self.complexity.predictive_std, wc),
        )

    def improvement(
        self,
        wc: float,
        best: float,
        most_error: float = math.inf,
        most_complexity: float = math.inf,
    ) -> Improvement:
        """Expected improvement on f* = `best` within limits on the error and the complexity."""
        if wc == COST_ALONE:
            return self._cheaper(best, most_error, most_complexity)
        if math.isfinite(most_error) or math.isfinite(most_complexity):
            return self._limited(wc, best, most_error, most_complexity)
        mean, std, _ = self.objective(wc)
        result = expected_improvement(mean, std, best)
        error, other = self.error, self.complexity
        if not (error.log and other.log):
            return result
        wide = (error.transformed_std > SPREAD) | (
            (other.transformed_std > SPREAD) & (wc * other.std > 0.1 * error.std)
        )
        if not wide.any():
            return result
        with np.errstate(divide="ignore"):
            shift = np.log(wc) if wc > 0 else -np.inf
        exact = log_normal_improvement(
            error.transformed_mean[wide],
            error.transformed_std[wide],
            np.maximum(other.transformed_mean[wide] + shift, -700.0),
            other.transformed_std[wide] if wc > 0 else np.zeros(int(wide.sum())),
            best - error.origin,
        )
        merged = []
        for whole, part in (
            (result.log_ei, exact.log_ei),
            (result.ei, exact.ei),
            (result.exploit, exact.exploit),
            (result.explore, exact.explore),
        ):
            filled = whole.copy()
            filled[wide] = part
            merged.append(filled)
        return Improvement(*merged)

    def _cheaper(self, best: float, most_error: float, most_complexity: float) -> Improvement:
        """That of the complexity alone, by networks whose error keeps its limit."""
        best = min(best, most_complexity)
        likely = self.error.log_at_most(most_error)
        below = np.full((len(likely), 1), best)
        log_ei = np.maximum(self.complexity.uncertain.log_short(below)[:, 0] + likely, NEVER)
        ei = np.exp(log_ei)
        likely = np.exp(likely + self.complexity.log_at_most(best))
        exploit = (best - self.complexity.mean) * likely
        return Improvement(log_ei, ei, exploit, ei - exploit)

    def _limited(
        self, wc: float, best: float, most_error: float, most_complexity: float
    ) -> Improvement:
        mean, _, _ = self.objective(wc)
        origin = self.error.origin
        log_ei, likely = limited_improvement(
            self.error.uncertain,
            self.complexity.uncertain,
            wc,
            best - origin,
            most_error - origin,
            most_complexity,
        )
        ei = np.exp(log_ei)
        exploit = (best - mean) * likely
        return Improvement(log_ei, ei, exploit, ei - exploit)


def quantity(log: bool, mean: Array, std: Array, noise: Array, origin: float = 0.0) -> Quantity:
    """Natural units of a transformed belief; noise: variance of a measurement, transformed."""
    measured = np.sqrt(std**2 + noise)
    if not log:
        return Quantity(False, mean, std, mean, std, measured)
    expected, latent = _log_normal(mean, std)
    predictive = np.maximum(_log_normal(mean, measured)[1], latent)
    return Quantity(True, mean, std, expected + origin, latent, predictive, origin)


def _log_normal(mean: Array, std: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of exp(N(mean, std^2)), kept finite."""
    expected = np.exp(np.clip(mean + std**2 / 2, -300, 300))
    return expected, expected * np.sqrt(np.expm1(np.clip(std**2, 0, 300)))
