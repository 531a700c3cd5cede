"""Belief about every network: a Gaussian process on the error and one on the complexity.

Both learn from the observations of all levels.  Together they are belief about f for any
complexity weight, so the weight can move without a new fit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from ..sessions.records import Config
from .acquisition import Improvement, expected_improvement, log_normal_improvement
from .advisor import Observation
from .kernel import Conditional, Embedding, factor_list, factored, group_distances
from .objective import objective
from .space import Space

Array = NDArray[np.float64]
Transform = Literal["log", "identity"]

FLOOR = 1e-7
"""Smallest variance of the noise, in units of the outputs' own: what keeps Cholesky sound."""
NOISE_BOUNDS = (1e-8, 1e2)
"""Of the fitted variance of the noise, in the same units; an exact function has next to none."""
MARGIN = 0.1
"""By how much an observation the logarithm's evidence must be above that of plain errors."""
FIT_AT_MOST = 200
"""Observations that hyperparameters are fitted to; beyond them the posterior alone is exact."""
SPREAD = 0.02
"""Standard deviation of a logarithm above which f is not taken to be normal."""
ORIGIN = 0.3
"""How far below the smallest error the logarithm has its origin, in distances to the median."""
SMALLEST_STD = 1e-9
ITERATIONS = 30


@dataclass(frozen=True)
class Prior:
    """A LogNormal prior: median, and the standard deviation of the logarithm."""

    median: float
    spread: float

    @property
    def centre(self) -> float:
        """The mean of the logarithm."""
        return math.log(self.median)


def smooth_prior(dimensions: float) -> Prior:
    """On the length scales of the complexity (Hvarfner, Hellsten, Nardi 2024).

    So long that the linear term in what arithmetic knows explains what it can.
    """
    return Prior(math.exp(math.sqrt(2)) * math.sqrt(max(dimensions, 1.0)), math.sqrt(3))


def length_prior(dimensions: float, typical: float) -> Prior:
    """On the length scales of the error, growing with the dimension in the same way.

    typical: how far apart random networks are there (`Group.typical`), the unit.  A tenth as long
    as the other and less free: it needed fewer trials on hartmann6, and as many on nb201-cifar10
    (benchmarks/search.py).
    """
    return Prior(0.4 * typical * math.sqrt(max(dimensions, 1.0)), 1.0)


AMPLITUDE = Prior(1.0, 1.0)
NOISE = Prior(1e-3, 2.0)
LINEAR = Prior(1.0, 1.5)


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
        linear: bool,
        spread: float | None,
        like: Process | None = None,
    ) -> None:
        """Fit it, or take over the hyperparameters of `like`.

        X: features, shape (n, features).  y: shape (n,).  noise: the variance of each y that is
        known beforehand.  linear: with a linear term in what arithmetic knows, the rest smooth.
        spread: what y's standard deviation is expected to be, None where
        nothing is known; it steadies the first few fits.
        """
        self.X, self.y, self.noise = X, y, noise
        if like is None:
            self.centre = float(np.mean(y))
            self.scale = _scale(y, spread)
        else:
            self.centre, self.scale = like.centre, like.scale
        spans = tuple(group.features for group in embedding.groups)
        self._lengths = [
            smooth_prior(dimensions) if linear else length_prior(dimensions, group.typical)
            for group in embedding.groups
        ]
        kernel = Conditional(
            spans,
            np.array([prior.median for prior in self._lengths]),
            AMPLITUDE.median,
            embedding.known_features if linear else (),
            LINEAR.median if linear and embedding.known_features else 0.0,
            level_factors(embedding),
        )
        if like is not None:
            kernel.theta = like.kernel.theta
        white = WhiteKernel(NOISE.median if like is None else like.white, NOISE_BOUNDS)
        self._regressor = GaussianProcessRegressor(
            kernel + white,
            alpha=np.maximum(noise / self.scale**2, FLOOR),
            # nothing can be learnt from outputs that are all alike
            optimizer=None if like is not None or not np.ptp(y) > 0 else self._optimise,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._regressor.fit(X, (y - self.centre) / self.scale)
        # it held this very process: a ring, which would keep its (n, n) factor long after its use
        self._regressor.optimizer = None

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
            mean * self.scale + self.centre,
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
        self._y = (process.y[rows] - process.centre) / process.scale
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
        tail = [LINEAR, NOISE] if kernel.linear else [NOISE]
        priors = [AMPLITUDE, *process._lengths, *tail]
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


@dataclass(frozen=True)
class Belief:
    """Belief about the error and the complexity of some networks, from which f follows."""

    error: Quantity
    complexity: Quantity

    def objective(self, wc: float) -> tuple[Array, Array, Array]:
        """Mean, latent standard deviation and predictive standard deviation of f."""
        return (
            objective(self.error.mean, self.complexity.mean, wc),
            np.hypot(self.error.std, wc * self.complexity.std),
            np.hypot(self.error.predictive_std, wc * self.complexity.predictive_std),
        )

    def improvement(self, wc: float, best: float) -> Improvement:
        """Expected improvement on f* = `best`."""
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


class Surrogate:
    """The two processes, and what turns configurations into their inputs."""

    def __init__(
        self,
        space: Space,
        observations: Sequence[Observation],
        dimensions: float,
        exact: Callable[[Config], float] | None = None,
    ) -> None:
        """Fit to the observations (at least one).

        dimensions: how many coordinates are searched, which the prior on length scales grows
        with.  exact: complexity by arithmetic, or None where it is measured.
        """
        self.embedding = Embedding(space)
        self.exact = exact
        self.dimensions = dimensions
        self.observed = self.points([o.config for o in observations])
        errors = np.array([o.error for o in observations], dtype=float)
        images = np.array([o.images for o in observations], dtype=float)
        self.images = float(images.max())
        self.transform, self.origin = _error_transform(errors, images)
        y, noise = self._transformed_error(errors, images)
        known = self.transform == "log" and self.images > 0
        self.error = self._process(y, noise, linear=False, spread=0.5 if known else None)
        if self.transform == "log" and not known:
            plain = self._process(errors, np.zeros(len(errors)), linear=False, spread=None)
            # densities of the errors themselves: the logarithm's slope is 1 / (error - origin)
            gain = self.error.evidence - float(y.sum()) - plain.evidence
            if gain < MARGIN * len(errors):
                self.transform, self.origin, self.error = "identity", 0.0, plain
        self.complexity: Process | None = None
        self.log_complexity = True
        if exact is None:
            costs = np.array([o.complexity for o in observations], dtype=float)
            self.log_complexity = bool((costs > 0).all())
            if self.log_complexity:
                costs = np.log(costs)
            self.complexity = self._process(
                costs,
                np.zeros(len(costs)),
                linear=True,
                spread=0.5 if self.log_complexity else None,
            )

    def _process(self, y: Array, noise: Array, *, linear: bool, spread: float | None) -> Process:
        return Process(
            self.observed.features,
            y,
            noise,
            self.embedding,
            self.dimensions,
            linear=linear,
            spread=spread,
        )

    def _transformed_error(self, errors: Array, images: Array) -> tuple[Array, Array]:
        """What the process learns, and the variance of its binomial noise; each of shape (n,)."""
        if self.transform == "identity":
            return errors, np.zeros(len(errors))
        counted = images > 0
        n = np.where(counted, images, 1.0)
        wrong = np.clip(errors, 0.0, None) * n
        smoothed = (wrong + 0.5) / (n + 1)
        y = np.log(np.where(counted, smoothed, np.maximum(errors - self.origin, 1e-300)))
        # of log(k + 1/2) by the delta method, k ~ Binomial(n, p)
        share = np.clip(smoothed, None, 1.0)
        noise = np.where(counted, (1 - share) / (share * n), 0.0)
        return y, noise

    def points(self, configs: Sequence[Config]) -> Points:
        """Configurations made ready for prediction."""
        exact = None
        if self.exact is not None:
            exact = np.array([self.exact(config) for config in configs], dtype=float)
        return Points(list(configs), self.embedding(configs), exact)

    def believing(self, pending: Points) -> Surrogate:
        """The same belief, had each pending network come out exactly as it is expected to.

        Kriging believers (Ginsbourger, Le Riche, Carraro 2010): no mean moves, but nothing more
        is to be learnt there.
        """
        result = object.__new__(Surrogate)
        result.__dict__.update(self.__dict__)
        for name in ("error", "complexity"):
            process: Process | None = getattr(self, name)
            if process is not None:
                mean, _ = process.predict(pending.features)
                extended = Process(
                    np.vstack([process.X, pending.features]),
                    np.concatenate([process.y, mean]),
                    np.concatenate([process.noise, np.full(len(mean), process.noise.mean())]),
                    self.embedding,
                    self.dimensions,
                    linear=process.kernel.linear > 0,
                    spread=None,
                    like=process,
                )
                setattr(result, name, extended)
        return result

    def belief(self, points: Points) -> Belief:
        """What is believed of the error and the complexity of some networks."""
        mean, std = self.error.predict(points.features)
        noise = np.full(len(mean), self.error.noise_variance)
        log = self.transform == "log"
        if log and self.images > 0:
            share = np.clip(np.exp(np.clip(mean, -700, 0)), 0.5 / (self.images + 1), 1.0)
            noise += (1 - share) / (share * self.images)
        error = _quantity(log, mean, std, noise, self.origin)
        if self.complexity is None:
            assert points.exact is not None
            none = np.zeros(len(mean))
            known = np.maximum(points.exact, 1e-300)
            complexity = Quantity(True, np.log(known), none, points.exact, none, none)
        else:
            mean, std = self.complexity.predict(points.features)
            noise = np.full(len(mean), self.complexity.noise_variance)
            complexity = _quantity(self.log_complexity, mean, std, noise)
        return Belief(error, complexity)


def _quantity(log: bool, mean: Array, std: Array, noise: Array, origin: float = 0.0) -> Quantity:
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


def _error_transform(errors: Array, images: Array) -> tuple[Transform, float]:
    """The logarithm of shares of counted images; of the rest, of what is above an origin.

    The origin is a little below the smallest error, so that the logarithm spreads the good ones
    out and pulls the bad ones together, whatever their signs.  Chosen by measurement:
    benchmarks/search.py on nb201-cifar10.  The surrogate keeps the plain errors if they are the
    likelier under their own fit.
    """
    if (images > 0).any():
        return "log", 0.0
    smallest, middle = float(errors.min()), float(np.median(errors))
    origin = smallest - ORIGIN * (middle - smallest)
    # above the origin of a sum of rounded numbers there may be nothing left
    if not math.isfinite(origin) or not smallest - origin > 1e-9 * abs(smallest):
        return "identity", 0.0
    # a long tail of good values is what a search is after: pulled apart it would be lost
    if _skew(errors) < 0:
        return "identity", 0.0
    return "log", origin


def _skew(values: Array) -> float:
    """Skewness: positive where the long tail is that of large values."""
    centred = values - values.mean()
    spread = float(np.max(np.abs(centred)))
    # scaled first: the cube of a large number is infinite
    return float(np.mean((centred / spread) ** 3)) if spread > 0 else 0.0
