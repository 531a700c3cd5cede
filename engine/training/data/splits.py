"""How images are divided: drawn in proportion, identical ones kept together, leaks found."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .face import Images, Known, Labels, Numbers

if TYPE_CHECKING:
    from typing_extensions import Buffer

PART = 4096
"""Images taken at a time, where a copy of all would be too much."""

Digests = NDArray[np.uint64]
"""Of images, shape (n,): two of a million that differ share one in 37 million such sets."""


def digest_of(content: Buffer) -> int:
    """What identical contents share, and others do not."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


def digests_of(images: Images) -> Digests:
    """Of each image's pixels."""
    return np.array([digest_of(np.ascontiguousarray(image).data) for image in images], np.uint64)


def twins_of(digests: Digests) -> Numbers | None:
    """A number for each image that identical ones share; None where all differ."""
    distinct, groups = np.unique(digests, return_inverse=True)
    return None if len(distinct) == len(digests) else groups.astype(np.int64)


def of_several_labels(labels: Labels, twins: Numbers | None) -> NDArray[np.bool_]:
    """Which images stand under another label too, shape (n,)."""
    if twins is None:
        return np.zeros(len(labels), bool)
    lowest = np.full(twins.max() + 1, np.iinfo(np.int64).max)
    highest = np.full(twins.max() + 1, -1)
    np.minimum.at(lowest, twins, labels)
    np.maximum.at(highest, twins, labels)
    torn: NDArray[np.bool_] = (lowest != highest)[twins]
    return torn


def drawn(
    labels: Labels, count: int, seed: int, twins: Numbers | None = None, each: bool = False
) -> Numbers:
    """Numbers, in rising order, of `count` images, every class in proportion.

    What rounding leaves over goes to the classes with the largest remainders.  each: a class that
    would have none has one, where it can spare it.  twins: identical images are drawn together or
    not at all, and not at all where their labels differ, so a few images less may be drawn.
    """
    rng = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    share = sizes * count / len(labels)
    whole = np.floor(share).astype(np.int64)
    order = np.argsort(whole - share, kind="stable")
    whole[order[: count - whole.sum()]] += 1
    if each:
        whole[(whole == 0) & (sizes > 1)] = 1
    torn = of_several_labels(labels, twins)
    taken = []
    for label, size in zip(classes, whole, strict=True):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        if twins is None:
            taken.append(shuffled[:size])
        else:
            taken.append(_together(shuffled[~torn[shuffled]], size, twins))
    return np.sort(np.concatenate(taken))


def _together(shuffled: Numbers, size: int, twins: Numbers) -> Numbers:
    """At most `size` of these images, the first ones, and no group of twins in part."""
    _, first, group, members = np.unique(
        twins[shuffled], return_index=True, return_inverse=True, return_counts=True
    )
    wanted = np.zeros(len(first), bool)
    left = size
    for number in np.argsort(first):
        if not left:
            break
        if members[number] <= left:
            wanted[number] = True
            left -= int(members[number])
    return shuffled[wanted[group]]


def rest(taken: Numbers, count: int) -> Numbers:
    """The numbers below `count` that were not taken."""
    return np.setdiff1d(np.arange(count), taken, assume_unique=True)


def moments(
    images: Images, numbers: Numbers, known: Known | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel, shape (channels,); a constant one has 1.

    Of the images of these numbers, some at a time: no second copy of all is made.
    """
    if known is not None:
        return _moments_known(images, numbers, known)
    parts = [numbers[start : start + PART] for start in range(0, len(numbers), PART)]
    mean, std = [], []
    for channel in range(images.shape[1]):
        size = len(numbers) * images[0, channel].size
        if images.dtype == np.uint8:
            counts = np.zeros(256, np.int64)
            for part in parts:
                counts += np.bincount(images[part, channel].ravel(), minlength=256)
            levels = np.arange(256.0)
            centre = float(counts @ levels) / size
            spread = float(np.sqrt(counts @ (levels - centre) ** 2 / size))
        else:
            centre = sum(float(images[p, channel].sum(dtype=np.float64)) for p in parts) / size
            squares = sum(
                float(np.square(images[p, channel] - centre, dtype=np.float64).sum()) for p in parts
            )
            spread = float(np.sqrt(squares / size))
        mean.append(centre)
        std.append(spread or 1.0)
    return np.array(mean, np.float32), np.array(std, np.float32)


def _moments_known(
    images: Images, numbers: Numbers, known: Known
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    sums, squares = known.sums[numbers].sum(axis=0).T
    size = len(numbers) * images.shape[2] * images.shape[3]
    mean = sums / size
    # whole numbers until here: the difference of two large ones loses nothing
    variance = np.array(
        [(size * int(q) - int(s) ** 2) / size**2 for s, q in zip(sums, squares, strict=True)]
    )
    std = np.sqrt(variance)
    return mean.astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32)
