"""scikit-learn's handwritten digits: 1,797 images of 8x8, values 0 to 16."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import DataSource
from .face import Source, Split


def read(path: Path, source: DataSource) -> Source:
    """All of them; they have no test set of their own."""
    table = _table()
    images, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1]
    every = Split(images.astype(np.uint8), labels.astype(np.int64))
    return Source(every, tuple("0123456789"))


def _table() -> NDArray[np.float64]:
    """A row an image, its class last; from the package's file, for importing it takes a second."""
    found = importlib.util.find_spec("sklearn")
    for place in (found and found.submodule_search_locations) or ():
        file = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # where it keeps its file elsewhere

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])
