"""One image file: what it is, and how it becomes pixels.

A delivered network prepares an image by the same functions: `preparing` copies them out.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import Preparation
from .fit import Placement, Size, placed

if TYPE_CHECKING:
    from PIL.Image import Image

P = ParamSpec("P")
T = TypeVar("T")

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "PPM", "GIF", "JPEG2000")
"""Read by Pillow itself: none that starts another program."""
MOST_PIXELS = 100_000_000
DEEP_BITS = (8, 10, 12, 14, 16)
"""What cameras and scanners give; a file of 16 bits a pixel often has fewer."""
_ORIENTATION = 0x0112
_TURNED = range(5, 9)
"""Orientations of EXIF that swap the sides."""
_GREY = ("1", "L", "LA", "La")
_TO_THE_END = ("GIF", "TIFF", "PNG")
"""Formats that do not say at their beginning how many images there are, or how they are turned."""


class Broken(ValueError):
    """A file that is no image, or a damaged one; the message is a few words."""


@dataclass(frozen=True)
class Look:
    """What an image is.  height, width: as it is seen.  bits: of its values, up to its largest."""

    height: int
    width: int
    grey: bool
    transparent: bool
    animated: bool
    turned: bool
    bits: int = 8


def _or_broken(read: Callable[P, T]) -> Callable[P, T]:
    """Whatever a damaged file makes Pillow raise is Broken, in words."""

    @functools.wraps(read)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with warnings.catch_warnings():
                # of large ones, and of oddities in files that are read all the same
                warnings.simplefilter("ignore")
                return read(*args, **kwargs)
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"cannot be read: {str(error).strip() or type(error).__name__}") from error

    return guarded


@_or_broken
def look(content: bytes, whole: bool = True) -> Look:
    """What this file holds, by its header; one of more than 8 bits or with a palette is read.

    whole: whether this is all of the file, and not its beginning alone.  Raises Broken, also where
    a beginning is not enough.
    """
    image = opened(content)
    if not whole and image.format in _TO_THE_END:
        raise Broken("is looked at whole")
    orientation = 1
    if image.format != "PNG" or b"eXIf" in content or b"rofile type exif" in content:
        orientation = _orientation(image)  # of a PNG it unpacks all pixels
    height, width = image.height, image.width
    if orientation in _TURNED:
        height, width = width, height
    bits = 8
    if image.mode.startswith("I"):
        image.load()
        values = np.asarray(image)
        darkest, brightest = int(values.min()), int(values.max())
        if darkest < 0:
            raise Broken(f"has values below 0, down to {darkest}: save it with values from 0")
        if brightest >= 1 << DEEP_BITS[-1]:
            raise Broken(f"has values up to {brightest}, more than 16 bits")
        bits = next(bits for bits in DEEP_BITS if brightest < 1 << bits)
    return Look(
        height,
        width,
        _is_grey(image),
        image.has_transparency_data,
        getattr(image, "n_frames", 1) > 1 and image.format != "MPO",
        orientation != 1,
        bits,
    )


@_or_broken
def picture(content: bytes, how: Preparation) -> NDArray[np.uint8]:
    """The pixels of a file, shape (channels, height, width).  Raises Broken."""
    pixels = np.asarray(prepared(opened(content), how))
    return pixels[None].copy() if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy()


@_or_broken
def prepared(image: Image, how: Preparation) -> Image:
    """An image as a network takes it: grey (L) or colour (RGB), turned, of the size wanted.

    One that was opened and not read yet is read here, a JPEG no larger than is needed.  Raises
    Broken.
    """
    from PIL import Image

    if how.channels not in (1, 3):
        raise Broken(f"has no {how.channels} channels, which the network takes")
    orientation = _orientation(image)
    size = image.height, image.width
    if orientation in _TURNED:
        size = size[1], size[0]
    target = how.height, how.width
    place = placed(size, target, how.fit)
    factor = 1.0
    if image.format in ("JPEG", "MPO"):
        factor = _reduced(image, _needed(place, size), orientation in _TURNED)
    image.load()
    image = _turned(_in_eight_bits(image, how), orientation)
    left, top, right, bottom = (factor * side for side in place.box)
    box = left, top, min(right, image.width), min(bottom, image.height)
    image = image.resize(place.size[::-1], Image.Resampling.BICUBIC, box)
    if place.size != target:
        ground = Image.new(image.mode, target[::-1], how.background)
        ground.paste(image, (place.left, place.top))
        image = ground
    return image


def own(image: Image) -> Image:
    """An unread JPEG opened once more, so that what reads it smaller leaves this one as it is."""
    file = getattr(image, "fp", None)
    unread = file is not None and bool(getattr(image, "tile", None)) and image.tell() == 0
    if image.format not in ("JPEG", "MPO") or file is None or not unread:
        return image
    at = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(at)
    return opened(content)


def scaled(pixels: Any, black: float, white: float) -> Any:
    """Pixels of 0 to 255, an array or a tensor of floats, on the scale of the data's own."""
    if (black, white) == (0, 255):
        return pixels
    return pixels * ((white - black) / 255) + black


def _needed(place: Placement, size: Size) -> Size:
    """Height and width at which a whole image of this size still has enough for its place."""
    left, top, right, bottom = place.box
    return (
        math.ceil(size[0] * place.size[0] / (bottom - top)),
        math.ceil(size[1] * place.size[1] / (right - left)),
    )


def _reduced(image: Image, least: Size, turned: bool) -> float:
    """Have a JPEG decoded at a half, a quarter or an eighth of its size, where that has this much;
    the part of its size that it is decoded at.
    """
    height, width = least[::-1] if turned else least
    whole = image.width
    drafted = image.draft(image.mode, (width, height))
    return 1.0 if drafted is None else drafted[1][2] / whole


def opened(content: bytes) -> Image:
    """The image in a file, not read yet.  Raises Broken."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise Broken("is empty" if not content else "is no image") from error
    except Image.DecompressionBombError as error:
        raise Broken("is too large to be read, more than 100 million pixels") from error
    if image.width * image.height > MOST_PIXELS:
        raise Broken(f"is {image.width}x{image.height}, more than 100 million pixels")
    return image


def _orientation(image: Image) -> int:
    """How EXIF says that the camera was held; 1: upright."""
    if image.format == "PNG":
        image.load()  # EXIF may stand behind the pixels
        if not any("exif" in str(key) for key in image.info):
            return 1  # what else may tell of it is not asked in a PNG
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - an EXIF block that is damaged says nothing
        return 1  # the image may be whole


def _is_grey(image: Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = np.asarray(image.getpalette() or [0, 0, 1]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY or image.mode.startswith("I")


def _in_eight_bits(image: Image, how: Preparation) -> Image:
    """Grey (L) or colour (RGB), as many channels as wanted, nothing transparent any more."""
    from PIL import Image

    if image.mode == "F":
        raise Broken("holds floating-point values. Save it with 8 or 16 bits")
    mode = "L" if how.channels == 1 else "RGB"
    if image.mode.startswith("I"):
        most, clear = (1 << how.bits) - 1, image.info.get("transparency")
        deep = image.convert("I")
        # (value * 255 + most // 2) // most, the half added so that no fraction is near a whole one
        grey = deep.point(lambda value: value * (255 / most) + (most // 2 + 0.5) / most)
        grey = grey.convert("L")  # which cuts off what is above 255
        if isinstance(clear, int) and 0 <= clear <= 0xFFFF:
            seen = deep.point([255] * clear + [0] + [255] * (0xFFFF - clear), "L")
            ground = Image.new("RGB", image.size, how.background)
            ground.paste(grey.convert("RGB"), mask=seen)
            return ground.convert(mode)
        return grey.convert(mode)
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, how.background)
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB").convert(mode)
    if image.mode == "P":
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _turned(image: Image, orientation: int) -> Image:
    """As the camera saw it."""
    from PIL.Image import Transpose

    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(ways[orientation]) if orientation in ways else image


STEPS = (
    _or_broken,
    prepared,
    own,
    scaled,
    _needed,
    _reduced,
    opened,
    _orientation,
    _in_eight_bits,
    _turned,
)
"""All that `prepared` is made of, in this file, in an order that can be run; without NumPy."""
