"""An image of each class, small enough for a terminal: a wrong fit or order of channels is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...protocol import Picture
from .read import Data

MOST = 24
"""Classes that are shown."""
SIDE = 20
"""Pixels a side, at most."""
SMALL = 10
"""Pixels a side up to which an image is shown twice as large."""
DARK = 128
"""Where no pixel is as bright, all are shown brighter."""


def shown(data: Data) -> tuple[Picture, ...]:
    """The first training image of each of the first classes, as the network is given it."""
    labels = data.pool.labels[data.train_numbers]
    _, first = np.unique(labels, return_index=True)
    numbers = data.train_numbers[first[:MOST]]
    images = np.asarray(data.pool.images[numbers], np.float32)
    low, high = 0.0, 255.0
    if data.pool.images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
    elif images.max() < DARK:
        high = float(images.max())
    levels = np.clip((images - low) * (255 / ((high - low) or 1)), 0, 255).astype(np.uint8)
    return tuple(
        Picture(label=int(label), rows=_rows(_small(one)))
        for label, one in zip(data.pool.labels[numbers], levels, strict=True)
    )


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """In colour, shape (height, width, 3), no side longer than SIDE."""
    from PIL import Image

    colour = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    small = Image.fromarray(np.ascontiguousarray(colour.transpose(1, 2, 0)))
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
    pixels = np.asarray(small)
    return pixels.repeat(2, 0).repeat(2, 1) if max(pixels.shape[:2]) <= SMALL else pixels


def _rows(image: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(row.tobytes().hex() for row in image)
