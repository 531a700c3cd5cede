"""The objective of a search: error and complexity, weighed by the user's trade-off."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..sessions.records import Epoch

Number = TypeVar("Number", float, NDArray[np.float64])


def objective(error: Number, complexity: Number, complexity_weight: float) -> Number:
    """f = f_p + w_c f_c.

    error: f_p, 1 - best validation accuracy.  complexity: f_c, over the reference network's.
    Numbers, or arrays of one shape; returns the same.
    """
    return error + complexity_weight * complexity


def medians(epochs: Sequence[Epoch]) -> tuple[float, float]:
    """Seconds an epoch of the trial and of the reference beside it, each a median.

    The first epoch, and the first after a resume, is cold: left out where there is another.
    """
    warm = [epoch for epoch in epochs if epoch.epoch > 1 and not epoch.resumed] or epochs
    beside = [e.reference_seconds for e in warm if e.reference_seconds is not None]
    return statistics.median(e.seconds for e in warm), statistics.median(beside)


def best_error(epochs: Sequence[Epoch]) -> float:
    """f_p: 1 - the best validation accuracy of all epochs."""
    return 1 - max(epoch.val_accuracy for epoch in epochs)
