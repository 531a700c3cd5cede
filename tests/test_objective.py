"""The objective is a weighted sum, of numbers and of arrays alike."""

import numpy as np
import pytest

from lcsearch.engine.objective import objective


def test_error_plus_weighted_complexity() -> None:
    assert objective(0.2, 3.0, 0.1) == pytest.approx(0.5)
    assert objective(0.2, 3.0, 0.0) == 0.2
    errors, costs = np.array([0.1, 0.3]), np.array([1.0, 0.5])
    np.testing.assert_allclose(objective(errors, costs, 2.0), [2.1, 1.3])
