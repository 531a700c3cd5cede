"""What is known of a process's outputs beforehand, and the priors that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .posterior import LogNormal


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
    left, the unit of y; spread: that of the logarithm of its variance.  noise: that of a
    measurement.
    """

    mean: int
    residual: float
    noise: float
    spread: float = 0.5

    @property
    def priors(self) -> Priors:
        """Narrow ones about what the tables say."""
        share = max((self.noise / self.residual) ** 2, 1e-6)
        return Priors(LogNormal(1.0, self.spread), LogNormal(share, 1.0), LogNormal(1.0, 0.5))


@dataclass(frozen=True, eq=False)
class Beyond:
    """What an earlier session expects of y beyond the prior.

    expect: by the features that networks are compared by, shape (n, features) -> (n,).  centre:
    what y is there on average; spread: how far from what is usual networks lie.
    """

    expect: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    centre: float
    spread: float


@dataclass(frozen=True, eq=False)
class Earlier:
    """An earlier session that another learns from.

    error, seconds: of their logarithms; None where there is nothing to learn from.
    """

    name: str
    trials: int
    error: Beyond | None = None
    seconds: Beyond | None = None
