"""The posterior of a process's hyperparameters: its value, its gradient, and draws of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.stats import norm, qmc

from .kernel import Conditional, factor_list, factored, group_distances

if TYPE_CHECKING:
    from .belief import Array


STEP = 1e-3
"""Of a logarithm, for the differences of gradients."""
EFFECTIVE = 0.25
"""Share of the draws that count, at least: their effective number, (sum w)^2 / sum w^2."""


def tempered(logs: Array) -> Array:
    """Weights of draws by their logarithms, which sum to 1: drawn together as far as needed so
    that no few of them, far out where the normal is too narrow, are all there is.
    """
    logs = logs - logs.max()
    while True:
        weights: Array = np.exp(np.maximum(logs, -700.0))
        weights /= weights.sum()
        if 1 / float(weights @ weights) >= EFFECTIVE * len(weights):
            return weights
        logs = logs / 2


@dataclass(frozen=True)
class LogNormal:
    """A LogNormal prior: median, and the standard deviation of the logarithm."""

    median: float
    spread: float

    @property
    def centre(self) -> float:
        """The mean of the logarithm."""
        return math.log(self.median)


class Posterior:
    """Negative logarithm of likelihood times prior, and its gradient.

    Hyperparameters as scikit-learn orders them: amplitude, length scales, slope, noise, all in
    logarithms.  Length scales of groups that do not vary in the data stay at the prior's median.
    """

    def __init__(
        self,
        X: Array,
        y: Array,
        noise: Array,
        kernel: Conditional,
        priors: Sequence[LogNormal],
        initial: Array,
    ) -> None:
        """X: features, shape (n, features).  y: what is to be explained, and the known variance of
        its noise, shape (n,) each.  kernel: its form.  priors: on all hyperparameters.  initial:
        all of them; what the data say nothing of stays there.
        """
        self._y, self._alpha = y, noise
        self._priors, self._initial = priors, initial
        parts = group_distances(X, kernel.spans)
        self._lines = X[:, list(kernel.lines)] if kernel.linear else None
        self._line = None if self._lines is None else self._lines @ self._lines.T
        # everything but the diagonal comes twice
        self._pairs = np.triu_indices(len(X), 1)
        varies = parts.reshape(len(parts), -1).max(axis=1) > 1e-18
        fixed_after = [True] * (2 if kernel.linear else 1)
        self.free = np.flatnonzero([True, *varies, *fixed_after])
        self._varying = np.flatnonzero(varies)
        self._parts = np.ascontiguousarray(parts[:, *self._pairs][self._varying])
        self._factors = factor_list(kernel.factors, len(parts))[self._varying]
        self._centres = np.array([prior.centre for prior in priors])[self.free]
        self._spreads = np.array([prior.spread for prior in priors])[self.free]

    def whole(self, free: Array) -> Array:
        """All hyperparameters, the fixed ones included."""
        result = self._initial.copy()
        result[self.free] = free
        return result

    def starts(self) -> list[Array]:
        """Fixed starting points: the prior's medians, and shorter length scales.

        With many observations there is less to choose between, and a step costs more: only the
        most promising are kept then.
        """
        lengths = slice(1, 1 + len(self._varying))
        starts = []
        for shift, noise in ((0.0, 0.0), (-1.5, -3.0), (-0.7, 2.0)):
            start = self._centres.copy()
            start[lengths] += shift
            start[-1] += noise
            starts.append(start)
        kept = len(starts) if len(self._y) <= 50 else 2 if len(self._y) <= 120 else 1
        return sorted(starts, key=lambda start: self(start)[0])[:kept]

    def __call__(self, free: Array) -> tuple[float, Array]:
        """Value and gradient by the free logarithms, shape (len(free),)."""
        count = len(self._varying)
        n = len(self._y)
        amplitude, noise = math.exp(free[0]), math.exp(free[-1])
        weights = np.exp(-2 * free[1 : 1 + count])
        value, slopes = factored(self._parts, weights, self._factors)
        K = np.zeros((n, n))
        K[self._pairs] = amplitude * value
        K += K.T
        K[np.diag_indices(n)] = amplitude
        if self._line is not None:
            K = K + math.exp(free[1 + count]) * self._line
        K[np.diag_indices(n)] += noise + self._alpha
        away = (free - self._centres) / self._spreads
        penalty = 0.5 * float(away @ away)
        try:
            L = cholesky(K, lower=True, check_finite=False)
        except LinAlgError:
            return 1e25, np.zeros_like(free)
        a = cho_solve((L, True), self._y, check_finite=False)
        likelihood = 0.5 * float(self._y @ a) + float(np.log(np.diag(L)).sum())
        inverse = cho_solve((L, True), np.eye(n), check_finite=False)
        # d(-log likelihood) = 1/2 tr((K^-1 - a a^T) dK)
        inner = inverse - np.outer(a, a)
        upper = inner[self._pairs]
        gradient = np.empty_like(free)
        gradient[0] = amplitude * (0.5 * float(np.trace(inner)) + float(upper @ value))
        gradient[1 : 1 + count] = -2 * amplitude * weights * self._along(upper, slopes)
        if self._line is not None:
            gradient[1 + count] = (
                0.5 * math.exp(free[1 + count]) * float((inner * self._line).sum())
            )
        gradient[-1] = 0.5 * noise * float(np.trace(inner))
        return likelihood + penalty, gradient + away / self._spreads

    def _along(self, upper: Array, slopes: Sequence[Array]) -> Array:
        """Each group's distances times its slopes, summed over the pairs; shape (groups,)."""
        result = np.zeros(len(self._parts))
        for factor in np.unique(self._factors):
            own = np.flatnonzero(self._factors == factor)
            result[own] = self._parts[own] @ (upper * slopes[own[0]])
        return result

    def drawn(self, mode: Array, count: int) -> list[tuple[float, Array]]:
        """Weighted draws of all hyperparameters, and their weights, which sum to 1.

        mode: all of them at the maximum.  A normal about it with the curvature that is there
        (Laplace), by a scrambled Sobol sequence, weighed by how much likelier each draw is than
        the normal has it; of what the data say nothing, as the prior has it.  The same data give
        the same draws.
        """
        at = mode[self.free]
        root = self._spread_at(at)
        rng = np.random.default_rng(0)
        normal = norm.ppf(np.clip(qmc.Sobol(len(mode), rng=rng).random(count), 1e-4, 1 - 1e-4))
        rest = np.setdiff1d(np.arange(len(mode)), self.free)
        draws, logs = [], []
        for one in normal:
            free = at + root @ one[: len(at)]
            draw = mode.copy()
            for place, away in zip(rest, one[len(at) :], strict=True):
                draw[place] = self._priors[place].centre + self._priors[place].spread * away
            draw[self.free] = free
            draws.append(draw)
            logs.append(-self(free)[0] + 0.5 * float(one[: len(at)] @ one[: len(at)]))
        return list(zip(tempered(np.array(logs)).tolist(), draws, strict=True))

    def _spread_at(self, free: Array) -> Array:
        """A square root of the covariance that the curvature there says, shape (free, free)."""
        curvature = np.empty((len(free), len(free)))
        for row in range(len(free)):
            step = np.zeros(len(free))
            step[row] = STEP
            curvature[row] = (self(free + step)[1] - self(free - step)[1]) / (2 * STEP)
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        # where it is flat or bends the other way the prior's own width is the most
        values = np.maximum(values, self._spreads.max() ** -2)
        # the symmetric root: another turns with the last digit, and the draws with it
        found: Array = (vectors / np.sqrt(values)) @ vectors.T
        return found
