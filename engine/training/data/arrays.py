"""Images that come as arrays: which axis is what, what their values mean, and their size."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import WHITE, DataSource
from . import fit
from .face import DataError, Images, Source, Split, SplitName
from .labels import SPLITS, Stored, numbered
from .splits import PART

Array = NDArray[Any]
MUCH_BRIGHTER = 2.0
"""What values of a split go up to at least, where another's end at 1 and mean the same as its."""
CLEAR = (2, 4)
"""Channels of images with transparency, as image files have them: last."""
CHANNELS = (1, 2, 3, 4)
"""What an axis of channels is known by; others are, where the other two axes are alike."""


def check_memory(size: int, where: str) -> None:
    """Raises DataError for arrays of more bytes than half the memory of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory / 2:
        raise DataError(
            f"{where}: needs {size / 1e9:,.1f} GB of memory, and this machine has "
            f"{memory / 1e9:,.1f}. Take fewer images, or image files in folders (folder:DIR), "
            "which are read a few at a time."
        )


def source_of(
    where: str,
    images: Mapping[SplitName, Array],
    labels: Mapping[SplitName, Stored],
    names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    channels_first: bool = False,
    background: str = WHITE,
) -> Source:
    """The source of splits in memory; `train` must be there.

    names: of the labels 0, 1, ...  channels_first: where axes cannot tell.  background: of images
    whose last channel is their transparency.  Raises DataError.
    """
    told = list(notes)
    for split, array in images.items():
        if len(array) != len(labels[split]):
            raise DataError(
                f"{where}: {len(array)} {SPLITS[split]} images but {len(labels[split])} labels. "
                "Each image needs one label."
            )
        if not array.size:
            raise DataError(f"{where}: there are no {SPLITS[split]} images (shape {array.shape}).")
    laid = {
        split: _channels_first(array, f"{where}: {SPLITS[split]}", channels_first, told)
        for split, array in images.items()
    }
    shapes = {split: array.shape[1:] for split, array in laid.items()}
    for split, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(
                f"{where}: images of different sizes: training {shapes['train']}, "
                f"{SPLITS[split]} {shape} (channels, height, width). Bring all to one size."
            )
    valued = _values(laid, where, told)
    if _are_clear(images["train"], valued):
        valued = {split: _laid_over(of, background) for split, of in valued.items()}
        told.append(
            f"The last of {shapes['train'][0]} channels is taken for transparency: laid over "
            f"{background} (--background)."
        )
    found = numbered(labels, where, names)
    parts = {split: Split(valued[split], found.labels[split]) for split in valued}
    pool, val = parts["train"], None
    if "val" in parts:
        both = parts["train"], parts["val"]
        val = np.arange(len(both[0]), len(both[0]) + len(both[1]))
        pool = Split(*(np.concatenate(pair) for pair in zip(*map(_pair, both), strict=True)))
    return Source(pool, found.names, val, parts.get("test"), (*dict.fromkeys(told), *found.notes))


def _are_clear(stored: Array, valued: Mapping[SplitName, Images]) -> bool:
    """Whether the last channel is transparency: it stands last, and values are brightness."""
    channels = valued["train"].shape[1]
    if channels not in CLEAR or stored.shape[1] in CLEAR:
        return False
    return all(
        of.dtype == np.uint8 or (float(of.min()) >= 0 and float(of.max()) <= 1)
        for of in valued.values()
    )


def _laid_over(images: Images, background: str) -> Images:
    """Without their last channel, by which the background shows."""
    from PIL import ImageColor

    colours = images.shape[1] - 1
    ground = ImageColor.getrgb(background)[:3] if colours == 3 else (_grey(background),)
    top = 255.0 if images.dtype == np.uint8 else 1.0
    made = np.empty((len(images), colours, *images.shape[2:]), images.dtype)
    below = np.array(ground, np.float32)[:, None, None] * (top / 255)
    for start in range(0, len(images), PART):
        part = images[start : start + PART].astype(np.float32)
        seen = part[:, -1:] / top
        laid = part[:, :-1] * seen + below * (1 - seen)
        made[start : start + PART] = np.rint(laid) if top == 255.0 else laid
    return made


def _grey(background: str) -> int:
    from PIL import ImageColor

    level = ImageColor.getcolor(background, "L")
    assert isinstance(level, int)
    return level


def _pair(split: Split) -> tuple[Array, Array]:
    return split.images, split.labels


def _channels_first(array: Array, where: str, first: bool, told: list[str]) -> Array:
    """Shape (n, channels, height, width), whatever the order of the axes was."""
    shape = array.shape
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 2:
        side = math.isqrt(shape[1])
        if side > 1 and side**2 == shape[1]:
            told.append(f"Rows of {shape[1]:,} values are taken for grey images of {side}x{side}.")
            return array.reshape(len(array), 1, side, side)
        colour = side_of_colour(shape[1])
        hint = (
            f" If they are {colour}x{colour} in colour, save them so: x.reshape(-1, 3, {colour}, "
            f"{colour}) where all of red comes first."
            if colour
            else ""
        )
        raise DataError(
            f"{where} images have shape {shape}: rows of values, and how wide an image is does not "
            f"follow. Needed is (images, height, width) or (images, height, width, channels).{hint}"
        )
    if array.ndim != 4:
        what = "volumes or films" if array.ndim > 4 else "no images"
        raise DataError(
            f"{where} images have shape {shape}: {what}. Needed is (images, height, width), with "
            "an axis of channels before or after the two where there are several."
        )
    one, two, three = shape[1:]
    if first and one in CHANNELS:
        return array
    if one in CHANNELS and three in CHANNELS:
        raise DataError(
            f"{where} images have shape {shape}: channels may stand first or last. Save them as "
            "(images, height, width, channels) with names such as x_train where images are wider "
            "than 4 pixels, or under the names xtr, ytr, xte, yte with channels first."
        )
    if one in CHANNELS:
        return array
    if three in CHANNELS:
        return np.moveaxis(array, 3, 1)
    if one == two != three and three < one:
        told.append(f"Images have {three} channels, which stand last; all are kept.")
        return np.moveaxis(array, 3, 1)
    if two == three != one and one < two:
        told.append(f"Images have {one} channels, which stand first; all are kept.")
        return array
    raise DataError(
        f"{where} images have shape {shape}: volumes of {one}x{two}x{three}, and networks here "
        "take flat images. Keep one slice of each, such as x[:, x.shape[1] // 2]."
    )


def side_of_colour(values: int) -> int:
    """The side of a square image of three channels with so many values; 0: there is none."""
    side = math.isqrt(values // 3)
    return side if 3 * side**2 == values and side > 1 else 0


def _values(arrays: dict[SplitName, Array], where: str, told: list[str]) -> dict[SplitName, Images]:
    """uint8 where nothing is lost by it, else float32: the same for all splits."""
    kinds = {array.dtype.kind for array in arrays.values()}
    for array in arrays.values():
        if array.dtype.kind not in "biuf":
            raise DataError(
                f"{where}: images are of type {array.dtype}. Save them as uint8 or float32."
            )
    if all(array.dtype == np.uint8 for array in arrays.values()):
        return dict(arrays)
    if kinds == {"b"}:
        told.append("Values are true and false: taken for white and black.")
        return {split: array.astype(np.uint8) * np.uint8(255) for split, array in arrays.items()}
    ranges = {split: _range(array, where) for split, array in arrays.items()}
    for split, (_, most) in ranges.items():
        large, small = max(most, ranges["train"][1]), min(most, ranges["train"][1])
        if small <= 1 and large > MUCH_BRIGHTER:
            raise DataError(
                f"{where}: training values go up to {ranges['train'][1]:g}, {SPLITS[split]} values "
                f"up to {most:g}: not of one scale. Save both from 0 to 1, or both from 0 to 255."
            )
    low, high = (
        by(of) for by, of in zip((min, max), zip(*ranges.values(), strict=True), strict=True)
    )
    whole = kinds <= {"b", "i", "u"}
    if low >= 0 and high <= 255 and (whole or high > 1) and _all(arrays, lambda x: x == np.rint(x)):
        if not whole:
            told.append(
                f"Values are whole numbers, {low:g} to {high:g}, kept as floating point: "
                "taken as bytes."
            )
        return {split: array.astype(np.uint8) for split, array in arrays.items()}
    if low >= 0 and high <= 1 and not whole and _all(arrays, _is_byte):
        told.append("Values are 0 to 1 in steps of 1/255: taken as bytes, 0 to 255.")
        return {split: _bytes(array) for split, array in arrays.items()}
    if whole:
        told.append(f"Values are {low:,.0f} to {high:,.0f}: kept whole, as floating point.")
    return {split: array.astype(np.float32) for split, array in arrays.items()}


def _range(array: Array, where: str) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for start in range(0, len(array), PART):
        part = array[start : start + PART]
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise DataError(f"{where}: images hold NaN or infinity. Replace them and save again.")
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def _all(arrays: Mapping[SplitName, Array], law: Callable[[Array], Array]) -> bool:
    """Whether a law holds for every value; some images at a time, and no further than it fails."""
    return all(
        bool(law(array[start : start + PART]).all())
        for array in arrays.values()
        for start in range(0, len(array), PART)
    )


def _is_byte(values: Array) -> Array:
    """Whether 255 times a value is whole, to the precision of its type."""
    scaled = values.astype(np.float32) * 255
    near = 0.13 if values.dtype.itemsize < 4 else 1e-3  # half precision has 11 bits
    return np.abs(scaled - np.rint(scaled)) < near


def _bytes(array: Array) -> NDArray[np.uint8]:
    made = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), PART):
        part = array[start : start + PART]
        made[start : start + PART] = np.rint(part.astype(np.float32) * 255)
    return made


def fitted(found: Source, source: DataSource) -> Source:
    """The same source with its images brought to the size that was asked for.

    Raises DataError where images are large and no size is asked for.
    """
    _, channels, height, width = found.pool.images.shape
    if source.image_size is None:
        fit.check_small((height, width), source.spec)
        return found
    if source.image_size == (height, width):
        return found
    target = source.image_size
    count = len(found.pool) + (len(found.test) if isinstance(found.test, Split) else 0)
    check_memory(
        count * channels * target[0] * target[1] * found.pool.images.itemsize,
        f"{source.spec} at --image-size {fit.in_words(target)}",
    )
    ground = _ground(found, source, channels)
    pool = Split(_resized(found.pool.images, target, source, ground), found.pool.labels)
    test = found.test
    if isinstance(test, Split):
        test = Split(_resized(test.images, target, source, ground), test.labels)
    size = fit.in_words((height, width))
    note = f"All images are {size}: brought to {fit.in_words(target)} ({fit.WORDS[source.fit]})."
    return replace(found, pool=pool, test=test, notes=(*found.notes, note))


def _ground(found: Source, source: DataSource, channels: int) -> list[float]:
    """What fills each channel where `fit` pads."""
    from PIL import ImageColor

    images = found.pool.images
    colour = ImageColor.getrgb(source.background)[:3]
    levels: Sequence[float] = colour if channels == 3 else (_grey(source.background),) * channels
    if images.dtype == np.uint8:
        return list(levels)
    if source.fit == "pad" and (float(images.min()) < 0 or float(images.max()) > 1):
        raise DataError(
            f"{source.spec}: --fit pad fills with a colour, and these values are no brightness "
            "from 0 to 1. Take --fit crop or --fit stretch."
        )
    return [level / 255 for level in levels]


def _resized(
    images: Images, target: fit.Size, source: DataSource, ground: Sequence[float]
) -> Images:
    from PIL import Image

    height, width = images.shape[2:]
    place = fit.placed((height, width), target, source.fit)
    top, left = place.top, place.left
    made = np.empty((*images.shape[:2], *target), images.dtype)
    made[:] = np.array(ground, images.dtype)[None, :, None, None]
    for one, result in zip(images, made, strict=True):
        for channel, into in zip(one, result, strict=True):
            scaled = Image.fromarray(channel).resize(
                place.size[::-1], Image.Resampling.BICUBIC, place.box
            )
            into[top : top + place.size[0], left : left + place.size[1]] = scaled
    return made
