"""Expected improvement of a minimum: its two signed terms, and its logarithm at any depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, logsumexp, ndtr, roots_hermitenorm

Array = NDArray[np.float64]

C1 = math.log(2 * math.pi) / 2
C2 = math.log(math.pi / 2) / 2
NEVER = -1e6
"""The logarithm of an improvement that cannot happen: finite, so that it can be kept and shown."""
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
