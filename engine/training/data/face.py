"""What a reader gives: images, labels, class names, splits, and what was done to the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import Preparation
from ....sessions.text import printable

Images = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int64]
Numbers = NDArray[np.int64]
"""Of images, counted from 0."""
SplitName = str
"""`train`, `val` or `test`."""
Progress = Callable[[int, int], None]
"""Told now and then: images read so far, images in all."""
Content = bytes | OSError
"""Of a file, or why it cannot be read."""


class DataError(ValueError):
    """Data that cannot be used; the message names the thing, the value and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # names of files and classes may hold anything


@dataclass(frozen=True)
class Split:
    """Images, shape (n, channels, height, width), as they were stored; labels, shape (n,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Numbers) -> Split:
        """The images of these numbers, in this order."""
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Known:
    """What a cache knows of images without looking at them again.

    digests: of each image's pixels, shape (n,).  sums: of its pixels and of their squares, by
    channel, shape (n, channels, 2).
    """

    digests: NDArray[np.uint64]
    sums: NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """What a data set holds, whatever it is kept in.

    pool: its images; those of its validation split are among them, and those of its test set
    where `test` are numbers.  val: numbers of the validation images; None where they are to be
    drawn.  test: the test set, apart or by numbers of the pool; None where it is to be drawn.
    names: of the classes by their numbers 0, 1, ...  notes: what was done and what was found, a
    sentence each.  broken: files left out because they cannot be read.  prepared: how image files
    were read.  known: of the pool's images.
    """

    pool: Split
    names: tuple[str, ...]
    val: Numbers | None = None
    test: Split | Numbers | None = None
    notes: tuple[str, ...] = ()
    broken: int = 0
    prepared: Preparation | None = None
    known: Known | None = None


@dataclass(frozen=True)
class Picture:
    """One image file of a listing.

    name: as a person is told.  label: as it stands there.  split: None where it says none.
    size: bytes.  stamp: what is another one when the content may be: a time, a checksum.
    """

    name: str
    label: str
    split: SplitName | None = None
    size: int = 0
    stamp: int = 0


@dataclass(frozen=True)
class Listing:
    """Image files that wait to be read, wherever they are: a folder, an archive, a table.

    where: the spec, for messages.  contents: of the pictures of these rising numbers, in order;
    called in this process only.  names: of the classes, in order, where the data set says so; else
    its labels' sorted.  notes: what was left out on the way.  paths: where each stands as a file of
    its own, so that other processes can read it.
    """

    where: str
    pictures: Sequence[Picture]
    contents: Callable[[Sequence[int]], Iterator[Content]]
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = field(default=())
    paths: Sequence[str] | None = None
