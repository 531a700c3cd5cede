"""What is known before a session's first trial: numbers learnt from tables of real trainings.

Time is physics: seconds are a sum over what a step does, each kind with a weight >= 0.  From one
processor, number of threads and kind of images to another the weights change by factors; those are
learnt again in every session, from where the tables say that they usually are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .belief import Array


@dataclass(frozen=True)
class TimePrior:
    """Of the logarithm of seconds, a network's over the reference's.

    kinds: of work, as the task counts them.  weights: seconds of one of each, up to a factor that
    all share.  spreads: standard deviations of their logarithms, from one set of images or machine
    to another.  residual: that of what is left.  noise: that of a measurement.
    """

    kinds: tuple[str, ...]
    weights: Array
    spreads: Array
    residual: float
    noise: float

    def mean(self, work: Array, reference: Array) -> Array:
        """Expected logarithm of the ratio, shape (n,).

        work: shape (n, kinds).  reference: of the reference network, shape (kinds,).
        """
        found: Array = np.log(work @ self.weights) - np.log(reference @ self.weights)
        return found

    def lines(self, work: Array, reference: Array) -> Array:
        """What the ratio's logarithm does as those of the weights move by one standard deviation
        each, in units of `residual`: shape (n, kinds).

        The derivative: the share of each kind in a network's seconds, less its share in the
        reference's.
        """
        shares = self._shares(work) - self._shares(reference[None])
        return shares * self.spreads / self.residual

    def _shares(self, work: Array) -> Array:
        seconds = work * self.weights
        found: Array = seconds / seconds.sum(axis=1, keepdims=True)
        return found


@dataclass(frozen=True)
class Prior:
    """All that is known; None where nothing is."""

    time: TimePrior | None = None


NOTHING = Prior()
