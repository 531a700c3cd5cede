"""One Gaussian process: its priors, its fit, its posterior."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
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
from .kernel import Conditional
from .known import OF_NOTHING, Known
from .posterior import LogNormal, Posterior

if TYPE_CHECKING:
    from .belief import Array


FLOOR = 1e-7
"""Smallest variance of the noise, in units of the outputs' own: what keeps Cholesky sound."""
NOISE_BOUNDS = (1e-8, 1e2)
"""Of the fitted variance of the noise, in the same units; an exact function has next to none."""
FIT_AT_MOST = 200
"""Observations that hyperparameters are fitted to; beyond them the posterior alone is exact."""
AVERAGED = 60
"""Observations up to which predictions are averaged over draws of the hyperparameters."""
SMALLEST_STD = 1e-9
ITERATIONS = 30


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
class _Setting:
    """The posterior of y under one setting of the hyperparameters.

    white: variance of the noise beyond what is known.  L: Cholesky factor of the covariance of
    what was observed, shape (n, n).  weights: of the observations in a mean, shape (n,).
    """

    weight: float
    kernel: Conditional
    white: float
    L: Array
    weights: Array

    def predict(self, X: Array, at: Array) -> tuple[Array, Array]:
        """Mean and variance of the latent y, in units of the process's scale; at: the observed."""
        # what `GaussianProcessRegressor.predict` computes, without its checks of every small batch
        across = self.kernel(X, at)
        mean = across @ self.weights
        gained = solve_triangular(self.L, across.T, lower=True, check_finite=False)
        # the white kernel's share is noise of a measurement, not of the latent value
        variance = self.kernel.diag(X) - np.einsum("ij,ij->j", gained, gained)
        # rounding can make it negative where there is nothing left to learn
        return mean, np.maximum(variance, 0.0)


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
        smooth: bool = True,
        spread: float | None,
        known: Known | None = None,
        average: int = 1,
        like: Process | None = None,
        believed: int = 0,
    ) -> None:
        """Fit it, or take over the hyperparameters of `like`.

        X: features, shape (n, features).  y: shape (n,).  noise: the variance of each y that is
        known beforehand.  lines: features of a linear term, the rest `smooth`; None for neither.
        spread: what y's standard deviation is expected to be, None where
        nothing is known; it steadies the first few fits.  known: what is known of y beforehand.
        average: over so many draws of the hyperparameters, a power of two, predictions are
        averaged while observations are few; 1: their likeliest alone.  believed: of the last so
        many rows each of the settings of `like` believes what it expects itself.
        """
        self.X, self.y, self.noise, self.lines, self.known = X, y, noise, lines, known
        self.smooth = smooth and lines is not None
        self.centre: float
        self.scale: float
        self.draws: tuple[tuple[float, Array], ...] = ()
        if like is not None:
            self.centre, self.scale = like.centre, like.scale
        elif known is not None:
            self.centre, self.scale = 0.0, known.residual
        else:
            self.centre = float(np.mean(y))
            self.scale = _scale(y, spread)
        self._alpha = np.maximum(noise / self.scale**2, FLOOR)
        self.priors = OF_NOTHING if known is None else known.priors
        spans = tuple(group.features for group in embedding.groups)
        self._lengths = [
            smooth_prior(dimensions) if self.smooth else length_prior(dimensions, group.typical)
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
        white = WhiteKernel(self.priors.noise.median if like is None else like._white, NOISE_BOUNDS)
        self._regressor = GaussianProcessRegressor(
            kernel + white,
            alpha=self._alpha,
            # nothing can be learnt from outputs that are all alike
            optimizer=None if like is not None or not np.ptp(self.left) > 0 else self._optimise,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._regressor.fit(X, self.left)
        # it held this very process: a ring, which would keep its (n, n) factor long after its use
        self._regressor.optimizer = None
        if like is not None:
            self.draws = like.draws
        elif average > 1 and len(y) <= AVERAGED and np.ptp(self.left) > 0:
            mode = self._regressor.kernel_.theta
            self.draws = tuple(self.posterior(mode).drawn(mode, average))
        self._members = self._settings(like, believed)

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
    def _white(self) -> float:
        return float(self._regressor.kernel_.k2.noise_level)

    @property
    def white(self) -> float:
        """The variance of the noise beyond what was known, in units of `scale` squared."""
        total = sum(one.weight for one in self._members)
        return sum(one.weight * one.white for one in self._members) / total

    @property
    def noise_variance(self) -> float:
        """The variance of the noise of a measurement beyond what was known, in units of y."""
        return (self.white + FLOOR) * self.scale**2

    def _settings(self, like: Process | None, believed: int) -> list[_Setting]:
        """The likeliest hyperparameters, or the draws, with the posterior of y under each."""
        regressor, known = self._regressor, len(self.y) - believed
        found, kept = [], []
        for number, (weight, theta) in enumerate(self.draws):
            left = self.left
            if like is not None and believed:
                left[known:] = like._members[number].predict(self.X[known:], like.X)[0]
            whole = regressor.kernel_.clone_with_theta(theta)
            K = whole(self.X)
            K[np.diag_indices(len(K))] += self._alpha
            try:
                L = cholesky(K, lower=True, check_finite=False)
            except LinAlgError:
                continue  # so stiff that numbers do not hold it; the others do
            weights = cho_solve((L, True), left, check_finite=False)
            found.append(_Setting(weight, whole.k1, float(whole.k2.noise_level), L, weights))
            kept.append((weight, theta))
        self.draws = tuple(kept)
        return found or [self._mode()]

    def _mode(self) -> _Setting:
        fitted = self._regressor
        return _Setting(1.0, self.kernel, self._white, fitted.L_, fitted.alpha_)

    def likeliest(self) -> Process:
        """The same under the likeliest hyperparameters alone: quicker where many are asked."""
        result = copy.copy(self)
        result.draws, result._members = (), [self._mode()]
        return result

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the latent y, each of shape (len(X),)."""
        if not len(X):
            return np.zeros(0), np.zeros(0)
        told = [(one.weight, *one.predict(X, self.X)) for one in self._members]
        total = sum(weight for weight, _, _ in told)
        if len(told) == 1:
            _, mean, variance = told[0]
        else:
            # of a mixture: what the settings say on average, and how far they are apart
            mean = np.sum([weight * m for weight, m, _ in told], axis=0) / total
            spread = [weight * (v + (m - mean) ** 2) for weight, m, v in told]
            variance = np.sum(spread, axis=0) / total
        return (
            mean * self.scale + self._mean(X),
            np.maximum(np.sqrt(variance) * self.scale, SMALLEST_STD * self.scale),
        )

    def beyond(self, X: Array) -> Array:
        """What is expected beyond the mean and its lines, by the likeliest hyperparameters: shape
        (len(X),).
        """
        across = self.kernel.amplitude * self.kernel.correlation(X, self.X)
        found: Array = across @ self._mode().weights * self.scale
        return found

    def left_out(self) -> float:
        """Mean square of what each observation differs by from what the others say of it
        (Rasmussen, Williams 2006, 5.12).
        """
        mode = self._mode()
        inverse = cho_solve((mode.L, True), np.eye(len(self.y)), check_finite=False)
        return float(np.mean((mode.weights / np.diag(inverse)) ** 2)) * self.scale**2

    def near(self, X: Array) -> Array:
        """How much of what y is there, away from its mean and lines, the observations near it tell,
        from 0 (nothing) to 1 (all): shape (len(X),).
        """
        kernel = self.kernel
        across = kernel.correlation(X, self.X)
        K = kernel.correlation(self.X)
        K[np.diag_indices(len(K))] += (self._alpha + self._white) / kernel.amplitude
        gained = solve_triangular(cholesky(K, lower=True), across.T, lower=True)
        told: Array = np.clip(np.einsum("ij,ij->j", gained, gained), 0.0, 1.0)
        return told

    def _optimise(
        self, _objective: Callable[..., object], initial: Array, bounds: Array
    ) -> tuple[Array, float]:
        """Maximum a posteriori, from fixed starting points; scikit-learn's `optimizer`.

        Its own objective builds an (n, n, hyperparameters) array a step; the same number and its
        gradient come from matrix products here.
        """
        posterior = self.posterior(initial)
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

    def posterior(self, initial: Array) -> Posterior:
        """That of the hyperparameters, by the rows that they are fitted to."""
        rows, kernel = _subset(self.X, self.y), self._regressor.kernel.k1
        own = self.priors
        tail = [own.linear, own.noise] if kernel.linear else [own.noise]
        priors = [own.amplitude, *self._lengths, *tail]
        return Posterior(self.X[rows], self.left[rows], self._alpha[rows], kernel, priors, initial)


def level_factors(embedding: Embedding) -> tuple[int, ...]:
    """The kernel's factor of each group: one a level, and one for what arithmetic knows."""
    return tuple(group.level for group in embedding.groups)


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
