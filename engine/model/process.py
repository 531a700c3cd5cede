"""One Gaussian process: its priors, its fit, its posterior."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from .embedding import Embedding
from .kernel import Conditional, factor_list, factored, group_distances

if TYPE_CHECKING:
    from .belief import Array


FLOOR = 1e-7
"""Smallest variance of the noise, in units of the outputs' own: what keeps Cholesky sound."""
NOISE_BOUNDS = (1e-8, 1e2)
"""Of the fitted variance of the noise, in the same units; an exact function has next to none."""
FIT_AT_MOST = 200
"""Observations that hyperparameters are fitted to; beyond them the posterior alone is exact."""
SMALLEST_STD = 1e-9
ITERATIONS = 30


@dataclass(frozen=True)
class LogNormal:
    """A LogNormal prior: median, and the standard deviation of the logarithm."""

    median: float
    spread: float

    @property
    def centre(self) -> float:
        """The mean of the logarithm."""
        return math.log(self.median)


def smooth_prior(dimensions: float) -> LogNormal:
    """On the length scales of the complexity (Hvarfner, Hellsten, Nardi 2024).

    So long that the linear term in what arithmetic knows explains what it can.
    """
    return LogNormal(math.exp(math.sqrt(2)) * math.sqrt(max(dimensions, 1.0)), math.sqrt(3))


def length_prior(dimensions: float, typical: float) -> LogNormal:
    """On the length scales of the error, growing with the dimension in the same way.

    typical: how far apart random networks are there (`Group.typical`), the unit.  A tenth as long
    as the other and less free: it needed fewer trials on hartmann6, and as many on nb201-cifar10
    (benchmarks/search.py).
    """
    return LogNormal(0.4 * typical * math.sqrt(max(dimensions, 1.0)), 1.0)


@dataclass(frozen=True)
class Priors:
    """On the other hyperparameters, in units of `scale`."""

    amplitude: LogNormal
    noise: LogNormal
    linear: LogNormal


OF_NOTHING = Priors(LogNormal(1.0, 1.0), LogNormal(1e-3, 2.0), LogNormal(1.0, 1.5))
"""Where nothing is known beforehand."""


@dataclass(frozen=True)
class Known:
    """What tables say of y: its expected value, and how far from it y lies.

    mean: the feature that holds the expected value.  residual: the standard deviation of what is
    left, the unit of y.  noise: that of a measurement.
    """

    mean: int
    residual: float
    noise: float

    @property
    def priors(self) -> Priors:
        """Narrow ones about what the tables say."""
        share = max((self.noise / self.residual) ** 2, 1e-6)
        return Priors(LogNormal(1.0, 0.5), LogNormal(share, 1.0), LogNormal(1.0, 0.5))


class Process:
    """One Gaussian process on one transformed output."""

    def __init__(
        self,
        X: Array,
        y: Array,
        noise: Array,
        embedding: Embedding,
        dimensions: float,
        *,
        lines: tuple[int, ...] | None,
        spread: float | None,
        known: Known | None = None,
        like: Process | None = None,
    ) -> None:
        """Fit it, or take over the hyperparameters of `like`.

        X: features, shape (n, features).  y: shape (n,).  noise: the variance of each y that is
        known beforehand.  lines: features of a linear term, the rest smooth; None for neither.
        spread: what y's standard deviation is expected to be, None where
        nothing is known; it steadies the first few fits.  known: what is known of y beforehand.
        """
        self.X, self.y, self.noise, self.lines, self.known = X, y, noise, lines, known
        self.centre: float
        self.scale: float
        if like is not None:
            self.centre, self.scale = like.centre, like.scale
        elif known is not None:
            self.centre, self.scale = 0.0, known.residual
        else:
            self.centre = float(np.mean(y))
            self.scale = _scale(y, spread)
        self.priors = OF_NOTHING if known is None else known.priors
        spans = tuple(group.features for group in embedding.groups)
        self._lengths = [
            length_prior(dimensions, group.typical) if lines is None else smooth_prior(dimensions)
            for group in embedding.groups
        ]
        kernel = Conditional(
            spans,
            np.array([prior.median for prior in self._lengths]),
            self.priors.amplitude.median,
            lines or (),
            self.priors.linear.median if lines else 0.0,
            level_factors(embedding),
        )
        if like is not None:
            kernel.theta = like.kernel.theta
        white = WhiteKernel(self.priors.noise.median if like is None else like.white, NOISE_BOUNDS)
        self._regressor = GaussianProcessRegressor(
            kernel + white,
            alpha=np.maximum(noise / self.scale**2, FLOOR),
            # nothing can be learnt from outputs that are all alike
            optimizer=None if like is not None or not np.ptp(self.left) > 0 else self._optimise,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._regressor.fit(X, self.left)
        # it held this very process: a ring, which would keep its (n, n) factor long after its use
        self._regressor.optimizer = None

    @property
    def left(self) -> Array:
        """What of y its mean leaves, in units of `scale`, shape (n,)."""
        found: Array = (self.y - self._mean(self.X)) / self.scale
        return found

    def _mean(self, X: Array) -> Array:
        if self.known is None:
            return np.full(len(X), self.centre)
        found: Array = X[:, self.known.mean] + self.centre
        return found

    @property
    def kernel(self) -> Conditional:
        """The fitted kernel, of y in units of `scale`."""
        kernel: Conditional = self._regressor.kernel_.k1
        return kernel

    @property
    def evidence(self) -> float:
        """Logarithm of the density of y under the fitted process, up to a constant."""
        likelihood = self._regressor.log_marginal_likelihood(self._regressor.kernel_.theta)
        return float(likelihood) - len(self.y) * math.log(self.scale)

    @property
    def white(self) -> float:
        """The variance of the noise beyond what was known, in units of `scale` squared."""
        return float(self._regressor.kernel_.k2.noise_level)

    @property
    def noise_variance(self) -> float:
        """The variance of the noise of a measurement beyond what was known, in units of y."""
        return (self.white + FLOOR) * self.scale**2

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the latent y, each of shape (len(X),)."""
        if not len(X):
            return np.zeros(0), np.zeros(0)
        # what `GaussianProcessRegressor.predict` computes, without its checks of every small batch
        across = self.kernel(X, self.X)
        mean = across @ self._regressor.alpha_
        gained = solve_triangular(self._regressor.L_, across.T, lower=True, check_finite=False)
        # the white kernel's share is noise of a measurement, not of the latent value
        variance = self.kernel.diag(X) - np.einsum("ij,ij->j", gained, gained)
        # rounding can make it negative where there is nothing left to learn
        variance = np.maximum(variance, 0.0)
        return (
            mean * self.scale + self._mean(X),
            np.maximum(np.sqrt(variance) * self.scale, SMALLEST_STD * self.scale),
        )

    def _optimise(
        self, _objective: Callable[..., object], initial: Array, bounds: Array
    ) -> tuple[Array, float]:
        """Maximum a posteriori, from fixed starting points; scikit-learn's `optimizer`.

        Its own objective builds an (n, n, hyperparameters) array a step; the same number and its
        gradient come from matrix products here.
        """
        posterior = Posterior(self, initial, _subset(self.X, self.y))
        best, lowest = initial, np.inf
        for start in posterior.starts():
            found = minimize(
                posterior,
                start,
                jac=True,
                method="L-BFGS-B",
                bounds=[tuple(pair) for pair in bounds[posterior.free]],
                options={"maxiter": ITERATIONS},
            )
            if np.isfinite(found.fun) and found.fun < lowest - 1e-9:
                best, lowest = posterior.whole(found.x), float(found.fun)
        return best, lowest


def level_factors(embedding: Embedding) -> tuple[int, ...]:
    """The kernel's factor of each group: one a level, and one for what arithmetic knows."""
    return tuple(group.level for group in embedding.groups)


class Posterior:
    """Negative logarithm of likelihood times prior, and its gradient.

    Hyperparameters as scikit-learn orders them: amplitude, length scales, slope, noise, all in
    logarithms.  Length scales of groups that do not vary in the data stay at the prior's median.
    """

    def __init__(self, process: Process, initial: Array, rows: NDArray[np.intp]) -> None:
        X = process.X[rows]
        self._y = process.left[rows]
        self._alpha = np.maximum(process.noise[rows] / process.scale**2, FLOOR)
        kernel = process._regressor.kernel.k1
        parts = group_distances(X, kernel.spans)
        self._initial = initial
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
        own = process.priors
        tail = [own.linear, own.noise] if kernel.linear else [own.noise]
        priors = [own.amplitude, *process._lengths, *tail]
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


def _scale(y: Array, spread: float | None) -> float:
    """The unit that y is measured in: its standard deviation, drawn to what is expected of it."""
    variance = float(np.var(y))
    if spread is not None:
        variance = (len(y) * variance + 2 * spread**2) / (len(y) + 2)
    scale = math.sqrt(variance)
    smallest = 1e-6 * max(abs(float(np.mean(y))), 1e-6)
    return scale if scale > smallest else max(0.1 * abs(float(np.mean(y))), 1e-3)


def _subset(X: Array, y: Array) -> NDArray[np.intp]:
    """The rows that hyperparameters are fitted to: half the best, the rest spread evenly."""
    n = len(y)
    if n <= FIT_AT_MOST:
        return np.arange(n)
    order = np.argsort(y, kind="stable")
    best = order[: FIT_AT_MOST // 2]
    rest = np.sort(order[FIT_AT_MOST // 2 :])
    spread = rest[np.linspace(0, len(rest) - 1, FIT_AT_MOST - len(best)).astype(int)]
    return np.sort(np.concatenate([best, spread]))
