"""Writes how image files become what a trained network takes, so that it needs no lcsearch.

The functions are those that the search itself read by, copied out of the room for images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from ...sessions.records import Preparation
from .data import fit, pictures

PREPARE = "prepare.py"

_HEAD = '''"""How image files become what the network beside this file takes.

It needs Pillow (11.3 or newer) and NumPy:

    import numpy, torch
    from network import load
    from prepare import CLASSES, prepare
    images = torch.from_numpy(numpy.stack([prepare(path) for path in paths]))
    told = [CLASSES[number] for number in load()(images).argmax(1)]
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

P = ParamSpec("P")
T = TypeVar("T")

CLASSES = {classes}
"""In the order of the network's outputs."""


@dataclass(frozen=True)
class Preparation:
    """What is done to an image file.

    bits: of a grey value where files have more than 8; what is above 8 is scaled to 0 to 255.
    """

    height: int
    width: int
    channels: int
    fit: str
    background: str
    bits: int


HOW = Preparation(
{how}
)
{constants}
Size = tuple[int, int]
Box = tuple[float, float, float, float]
Fit = str


def prepare(path: str | Path) -> NDArray[np.float32]:
    """The pixels of an image file, shape ({shape}), 0 to 255, as the search read it.

    Raises Broken, OSError.
    """
    return picture(Path(path).read_bytes(), HOW).astype(np.float32)
'''

_CONSTANTS = ("FORMATS", "MOST_PIXELS", "_ORIENTATION", "_TURNED", "_GREY")
_COPIED: tuple[Callable[..., object], ...] = (
    pictures.Broken,
    fit.Placement,
    fit.placed,
    *pictures.STEPS,
)


def source(how: Preparation, classes: Sequence[str]) -> str:
    """A Python module that prepares an image file as this search did.

    classes: their names, in the order of the network's outputs.
    """
    shape = how.channels, how.height, how.width
    head = _HEAD.format(
        classes=_tuple(classes),
        how="\n".join(f"    {name}={value!r}," for name, value in how.model_dump().items()),
        constants="\n".join(f"{name} = {getattr(pictures, name)!r}" for name in _CONSTANTS),
        shape=", ".join(map(str, shape)),
    )
    return "\n\n".join([head, *(inspect.getsource(part) for part in _COPIED)])


def _tuple(words: Sequence[str]) -> str:
    return "\n".join(["(", *(f"    {word!r}," for word in words), ")"])
