"""What was found in a data set, as lines: counts, classes as bars, an image of each class."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from . import format as words
from .classes import LONGEST, fitted, labels

if TYPE_CHECKING:
    from ..engine.protocol import Picture
    from ..sessions.records import DataSummary

BAR = 24
"""Cells of the bar of the largest class."""
UPPER_HALF = "▀"
BETWEEN = 2
"""Cells between two images."""


def in_brief(summary: DataSummary) -> str:
    """`5,216 images of 64x64 in colour, 2 classes`."""
    every = summary.train + summary.val + summary.test
    kind = {1: "grey", 3: "colour"}.get(summary.channels, f"{summary.channels} channels")
    return (
        f"{every:,} images of {summary.width}x{summary.height}, {kind}, {summary.classes} classes"
    )


def splits(summary: DataSummary) -> str:
    """`3,338 to train, 834 to validate, 1,044 to test`."""
    return (
        f"{summary.train:,} to train, {summary.val:,} to validate, {summary.test:,} to test at "
        "the end"
    )


def bars(summary: DataSummary, most: int) -> Iterator[str]:
    """A line a class: its name, a bar, its images in all splits; of more than `most`, the first."""
    if not summary.counts:
        return
    names = labels(summary)
    counts = [sum(of) for of in zip(*summary.counts.values(), strict=True)]
    wide = min(max(map(cell_len, names)), LONGEST)
    digits = max(len(f"{count:,}") for count in counts)
    for name, count in list(zip(names, counts, strict=True))[:most]:
        bar = words.length_bar(count, max(counts), BAR)
        yield f"{fitted(name, wide)}  {count:>{digits},}  {bar}"
    left = counts[most:]
    if left:
        yield f"and {len(left):,} more classes of {min(left):,} to {max(left):,} images"


class Pace:
    """How far the reading of image files has come, how fast, and what is left.

    Fast is what is read from the moment on that the first ones are: before, files are looked at.
    told may be called from another thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._now = (0, 0)

    def told(self, done: int, total: int) -> None:
        """So many are read, of so many."""
        if done and self._first is None:
            self._first = done, self._clock()
        self._now = done, total

    def words(self) -> str:
        """As one line; nothing where nothing has been told."""
        done, total = self._now
        if not total:
            return ""
        if not done or self._first is None:
            return f"looking at {total:,} image files"
        line = f"reading image {done:,} of {total:,}"
        first, since = self._first
        seconds = self._clock() - since
        if done == first or seconds <= 0:
            return line
        rate = (done - first) / seconds
        return f"{line}, {rate:,.0f} a second, {words.duration((total - done) / rate)} left"


def blocks(picture: Picture) -> list[Text]:
    """An image as lines: two pixels a cell, one above the other."""
    rows = [[f"#{row[at : at + 6]}" for at in range(0, len(row), 6)] for row in picture.rows]
    lines = []
    for at in range(0, len(rows), 2):
        line = Text(no_wrap=True)
        below = rows[at + 1] if at + 1 < len(rows) else None
        for column, upper in enumerate(rows[at]):
            line.append(UPPER_HALF, upper if below is None else f"{upper} on {below[column]}")
        lines.append(line)
    return lines


def side_by_side(pictures: Sequence[Picture], summary: DataSummary, width: int) -> list[Text]:
    """Images with the names of their classes above, as many beside each other as fit."""
    if not pictures:
        return []
    names = labels(summary)
    cells = max(max(len(picture.rows[0]) // 6 for picture in pictures), 8) + BETWEEN
    a_line = max(1, width // cells)
    lines: list[Text] = []
    for start in range(0, len(pictures), a_line):
        some = pictures[start : start + a_line]
        titles = (fitted(names[p.label], cells - BETWEEN) + " " * BETWEEN for p in some)
        lines.append(Text("".join(titles).rstrip(), no_wrap=True))
        drawn = [blocks(picture) for picture in some]
        for row in range(max(map(len, drawn))):
            line = Text(no_wrap=True)
            for of in drawn:
                cut = of[row].copy() if row < len(of) else Text()
                cut.pad_right(cells - cut.cell_len)
                line.append_text(cut)
            lines.append(line)
    return lines
