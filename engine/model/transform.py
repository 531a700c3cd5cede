"""What of an error the process learns: its logarithm, or itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from .belief import Array


Transform = Literal["log", "identity"]
ORIGIN = 0.3
"""How far below the smallest error the logarithm has its origin, in distances to the median."""


def transformed(
    errors: Array, images: Array, transform: Transform = "log", origin: float = 0.0
) -> tuple[Array, Array]:
    """What the process learns, and the variance of its binomial noise; each of shape (n,).

    images: that each error was counted on, 0 where it was not.
    """
    if transform == "identity":
        return errors, np.zeros(len(errors))
    counted = images > 0
    n = np.where(counted, images, 1.0)
    wrong = np.clip(errors, 0.0, None) * n
    smoothed = (wrong + 0.5) / (n + 1)
    y = np.log(np.where(counted, smoothed, np.maximum(errors - origin, 1e-300)))
    # of log(k + 1/2) by the delta method, k ~ Binomial(n, p)
    share = np.clip(smoothed, None, 1.0)
    noise = np.where(counted, (1 - share) / (share * n), 0.0)
    return y, noise


def chosen(errors: Array, images: Array) -> tuple[Transform, float]:
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
