"""The objective of a search: error and complexity, weighed by the user's trade-off."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[np.float64])


def objective(error: Number, complexity: Number, complexity_weight: float) -> Number:
    """f = f_p + w_c f_c.

    error: f_p, 1 - best validation accuracy.  complexity: f_c, over the reference network's.
    Numbers, or arrays of one shape; returns the same.
    """
    return error + complexity_weight * complexity
