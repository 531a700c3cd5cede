"""Expected improvement of a minimum: its two signed terms, and its logarithm at any depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import (
    erfcx,
    log_ndtr,
    logsumexp,
    ndtr,
    ndtri_exp,
    roots_hermitenorm,
    roots_legendre,
)

from ..objective import NEVER, error_at

Array = NDArray[np.float64]

C1 = math.log(2 * math.pi) / 2
C2 = math.log(math.pi / 2) / 2
NODES = 16
"""Points of the quadrature over the complexity."""


def _log1mexp(x: Array) -> Array:
    """log(1 - exp(x)) for x < 0, accurate at both ends (Mächler 2012)."""
    x = np.minimum(x, -np.finfo(float).tiny)
    near = x > -math.log(2)
    result = np.empty_like(x)
    result[near] = np.log(-np.expm1(x[near]))
    result[~near] = np.log1p(-np.exp(x[~near]))
    return result


def log_h(z: Array) -> Array:
    """log(phi(z) + z Phi(z)), stable for every z.  Ament et al. 2023, eq. 9 (arXiv 2310.20708)."""
    z = np.atleast_1d(np.asarray(z, dtype=float))
    result = np.empty_like(z)
    near = z > -1
    far = z <= -1e6
    middle = ~near & ~far
    x = z[near]
    result[near] = np.log(np.exp(-(x**2) / 2 - C1) + x * ndtr(x))
    x = z[middle]
    inner = np.log(erfcx(-x / math.sqrt(2)) * -x) + C2
    result[middle] = -(x**2) / 2 - C1 + _log1mexp(inner)
    x = z[far]
    result[far] = -(x**2) / 2 - C1 - 2 * np.log(-x)
    return result


def log_expected_improvement(mean: Array, std: Array, best: float) -> Array:
    """Logarithm of the expected improvement of a minimum, stable far below the best.

    mean, std: shape (n,), the belief about f; std > 0.  best: f*, same units.
    Returns shape (n,).  Ament et al. 2023, eq. 9 (arXiv 2310.20708).
    """
    return log_h((best - mean) / std) + np.log(std)


@dataclass(frozen=True)
class Improvement:
    """Expected improvement, each of shape (n,).

    exploit: (f* - mean) P(f < f*), negative where the mean is worse.  explore: the rest, what is
    gained by not knowing.  ei: their sum.  log_ei: its logarithm, where ei itself underflows too.
    """

    log_ei: Array
    ei: Array
    exploit: Array
    explore: Array

    def never(self, rows: NDArray[np.bool_]) -> Improvement:
        """The same, with nothing to be had in these rows."""
        nothing = (np.where(rows, 0.0, part) for part in (self.ei, self.exploit, self.explore))
        return Improvement(np.where(rows, NEVER, self.log_ei), *nothing)


def expected_improvement(mean: Array, std: Array, best: float) -> Improvement:
    """EI(x) = (f* - mean) Phi(z) + std phi(z) with z = (f* - mean) / std, its terms apart.

    mean, std: shape (n,), std > 0.  best: f*.
    """
    z = (best - mean) / std
    exploit = (best - mean) * ndtr(z)
    explore = std * np.exp(-(np.minimum(np.abs(z), 1e3) ** 2) / 2 - C1)
    log_ei = np.maximum(log_expected_improvement(mean, std, best), NEVER)
    return Improvement(log_ei, np.exp(log_ei), exploit, explore)


def log_normal_improvement(
    log_mean: Array, log_std: Array, other_log_mean: Array, other_log_std: Array, best: float
) -> Improvement:
    """Expected improvement where f is a sum of two independent log-normal quantities.

    log_mean, log_std: shape (n,), of the logarithm of the first; log_std > 0.  other_log_mean,
    other_log_std: of the second, -inf and 0 where there is none, std 0 where it is known.
    best: f*.  The first is integrated in closed form, the second by Gauss-Hermite quadrature.
    """
    nodes, weights = roots_hermitenorm(NODES)
    weights = weights / weights.sum()
    # shape (n, NODES): what is left for the first quantity, the second being at a node
    second = np.exp(np.minimum(other_log_mean[:, None] + other_log_std[:, None] * nodes, 700.0))
    room = best - second
    positive = room > 0
    log_room = np.log(np.where(positive, room, 1.0))
    a = (log_room - log_mean[:, None]) / log_std[:, None]
    below = log_ndtr(a)
    # E[(room - X)+] = room Phi(a) - E[X] Phi(a - s), in logarithms
    ratio = (
        log_mean[:, None]
        + log_std[:, None] ** 2 / 2
        - log_room
        + log_ndtr(a - log_std[:, None])
        - below
    )
    log_gain = log_room + below + _log1mexp(ratio)
    log_gain = np.where(positive, log_gain, -np.inf)
    log_ei = np.maximum(logsumexp(log_gain, axis=1, b=weights), NEVER)
    probability = (np.where(positive, np.exp(below), 0.0) * weights).sum(axis=1)
    mean = np.exp(np.minimum(log_mean + log_std**2 / 2, 700.0)) + np.exp(
        np.minimum(other_log_mean + other_log_std**2 / 2, 700.0)
    )
    ei = np.exp(log_ei)
    exploit = (best - mean) * probability
    return Improvement(log_ei, ei, exploit, ei - exploit)


@dataclass(frozen=True)
class Uncertain:
    """What is believed of a quantity: normal, or its logarithm is; arrays of shape (n,).

    mean, std: of the logarithm where `log`, else of itself; std 0 where it is known.
    """

    log: bool
    mean: Array
    std: Array

    def transformed(self, value: Array) -> Array:
        """A value as `mean` has it; -inf for what a logarithm does not reach."""
        if not self.log:
            return value
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(value, 0.0))

    def log_below(self, most: Array) -> Array:
        """Logarithm of the probability of at most `most`, shape (n,) or (n, nodes)."""
        wide = (slice(None), *(None,) * (np.ndim(most) - 1))
        mean, std = self.mean[wide], self.std[wide]
        reach = self.transformed(most) - mean
        known = std <= 0
        with np.errstate(invalid="ignore"):
            likely = log_ndtr(reach / np.where(known, 1.0, std))
        return np.where(known, np.where(reach >= 0, 0.0, -np.inf), likely)

    def log_short(self, most: Array) -> Array:
        """Logarithm of E[(most - X)+], shape (n, nodes)."""
        mean, std = self.mean[:, None], np.maximum(self.std[:, None], 1e-12)
        if not self.log:
            shape = np.broadcast_shapes(mean.shape, most.shape)
            z = ((most - mean) / std).ravel() if shape == most.shape else (most - mean) / std
            result: Array = log_h(z).reshape(shape) + np.log(std)
            return result
        positive = most > 0
        room = np.log(np.where(positive, most, 1.0))
        a = (room - mean) / std
        below = log_ndtr(a)
        ratio = mean + std**2 / 2 - room + log_ndtr(a - std) - below
        return np.where(positive, room + below + _log1mexp(ratio), -np.inf)

    def nodes(self, most: float) -> tuple[Array, Array, Array]:
        """Values given that it is at most `most`, shape (n, NODES), their weights, and the
        logarithm of the probability of that, shape (n,).
        """
        kept = self.log_below(np.full(len(self.mean), most))
        if math.isinf(most):
            at, weights = roots_hermitenorm(NODES)
            z = np.broadcast_to(at, (len(self.mean), NODES))
        else:
            # evenly in probability, from the lower end to the limit
            at, weights = roots_legendre(NODES)
            with np.errstate(divide="ignore"):
                z = ndtri_exp(np.log((at + 1) / 2) + np.maximum(kept, -1e5)[:, None])
        values = self.mean[:, None] + self.std[:, None] * z
        if self.log:
            values = np.exp(np.clip(values, -700.0, 700.0))
        return values, weights / weights.sum(), kept


def limited_improvement(
    error: Uncertain,
    other: Uncertain,
    weight: float,
    best: float,
    most_error: float,
    most_other: float,
) -> tuple[Array, Array]:
    """E[(best - f)+ 1(limits kept)], f = error + weight * other, the two being independent.

    most_error, most_other: the limits, inf where there is none.  Returns the logarithm of the
    improvement and the probability of improving within the limits, each of shape (n,).  The error
    is integrated in closed form, the other by quadrature over what its own limit leaves.
    """
    values, weights, kept = other.nodes(most_other)
    room = error_at(best, values, weight)
    reach = np.minimum(room, most_error)
    below = error.log_below(reach)
    gain = error.log_short(reach)
    if math.isfinite(most_error):
        # what is below the limit on the error gains that much more
        with np.errstate(divide="ignore"):
            gain = np.logaddexp(gain, np.log(np.maximum(room - reach, 0.0)) + below)
    log_ei = np.maximum(logsumexp(gain, axis=1, b=weights) + kept, NEVER)
    probability = np.exp(logsumexp(below, axis=1, b=weights) + kept)
    return log_ei, probability
