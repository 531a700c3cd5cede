"""Writes how image files become what a trained network takes, so that it needs no lcsearch.

The functions are those that the search itself read by, copied out of the room for images.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import Preparation
from .data import Images, fit, pictures

PREPARE = "prepare.py"
EIGHT_BITS = (0.0, 255.0)
"""Black and white of image files, and of arrays that hold them."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

'''

_PREPARE = '''def prepare(path: str | Path) -> NDArray[np.float32]:
    """The pixels of an image file, shape ({shape}), {pixels}.

    {how}

    Raises Broken, OSError.
    """
    return scaled(picture(Path(path).read_bytes(), HOW).astype(np.float32), BLACK, WHITE)


'''

_NAMES = '''CLASSES = {classes}
"""In the order of the network's outputs."""
'''

_STEPS = '''

P = ParamSpec("P")
T = TypeVar("T")


class Preparation(NamedTuple):
    """What is done to an image.

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
BLACK, WHITE = {black!r}, {white!r}
"""What the network takes for the darkest and the lightest pixel."""
{constants}
Size = tuple[int, int]
Box = tuple[float, float, float, float]
Fit = str


'''

_CONSTANTS = ("FORMATS", "MOST_PIXELS", "_ORIENTATION", "_TURNED", "_GREY")
_COPIED: tuple[Callable[..., object], ...] = (
    pictures.Broken,
    fit.Placement,
    fit.placed,
    *pictures.STEPS,
)


@dataclass(frozen=True)
class Preparing:
    """What becomes of an image before a network sees it, as it is written for those who use it.

    classes: their names, in the order of the network's outputs.  shape: channels, height, width.
    prepared: how the search read its image files; None where the data were arrays, and then an
    image is made into what such an array holds as well as that can be said.  levels: what black
    and white are.
    """

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    prepared: Preparation | None
    levels: tuple[float, float] = EIGHT_BITS

    @functools.cached_property
    def steps(self) -> Preparation:
        """What is done to an image, up to its scale."""
        if self.prepared is not None:
            return self.prepared
        channels, height, width = self.shape
        return Preparation(
            height=height,
            width=width,
            channels=channels,
            fit="stretch",
            background="black",
            bits=pictures.DEEP_BITS[-1],
        )

    @property
    def pixels(self) -> str:
        """What the numbers of an image are, in words."""
        black, white = self.levels
        return f"{black:g} to {white:g}"

    @property
    def words(self) -> str:
        """What is done to an image, in sentences."""
        if self.prepared is not None:
            return "Exactly what the search made of its image files."
        channels, height, width = self.shape
        colour = "grey" if channels == 1 else "colour"
        return (
            f"The search read arrays and no image files, so this is a likeness: {colour}, stretched"
            f"\n    to {width}x{height}, from {self.pixels} as in the data."
        )

    def pixels_of(self, content: bytes) -> NDArray[np.float32]:
        """What the network is given of an image file: shape (channels, height, width).

        Raises pictures.Broken.
        """
        found = pictures.picture(content, self.steps).astype(np.float32)
        scaled: NDArray[np.float32] = pictures.scaled(found, *self.levels)
        return scaled

    def source(self) -> str:
        """A Python module that prepares an image file as this search did; it needs no torch."""
        shape = ", ".join(map(str, self.shape))
        prepare = _PREPARE.format(shape=shape, pixels=self.pixels, how=self.words)
        head = f"{_HEAD}{self.names()}{self.copied()}\n\n{inspect.getsource(pictures.picture)}"
        return f"{head}\n\n{prepare.rstrip()}\n"

    def names(self) -> str:
        """The classes, as Python; whatever the names hold, nothing of them is run."""
        return _NAMES.format(classes=_tuple(self.classes))

    def copied(self) -> str:
        """The functions and what they go by, as Python that needs no NumPy."""
        how = self.steps.model_dump().items()
        black, white = self.levels
        head = _STEPS.format(
            how="\n".join(f"    {name}={value!r}," for name, value in how),
            constants="\n".join(f"{name} = {getattr(pictures, name)!r}" for name in _CONSTANTS),
            black=black,
            white=white,
        )
        return head + "\n\n".join(inspect.getsource(part) for part in _COPIED)


def levels(images: Images) -> tuple[float, float]:
    """What black and white are in arrays of images: 0 and 255 where they hold 8 bits, else the
    least and the largest number that there is.
    """
    darkest, lightest = float(images.min()), float(images.max())
    if images.dtype == np.uint8 and lightest > EIGHT_BITS[1] / 2:
        return EIGHT_BITS
    return darkest, lightest


def _tuple(words: Sequence[str]) -> str:
    return "\n".join(["(", *(f"    {word!r}," for word in words), ")"])
