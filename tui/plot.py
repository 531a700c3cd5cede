"""Plots as data: axes, lines, bands, marks; drawn by a terminal or by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EDGES = "▴▾▸◂"
"""Marks of what lies beyond the edge that they stand at."""
BULK = 0.1
"""The share of the values, at least one of five, that is no part of the bulk at either end."""
REACH = 0.5
"""A value further from what an axis is for than so many times the width of that stays outside."""
PERCENT = (0.0, 100.0)
POSITIVE = (0.0, math.inf)
"""What a share in percent can be, and a cost or an f: no axis goes beyond."""
VITAL = 2
"""Labels that are never left out: of what is selected, and of the best."""
Box = tuple[float, float, float, float]
"""A rectangle: its lower and its upper x, its lower and its upper y."""


@dataclass(frozen=True)
class Axis:
    """What an axis spans, and its labelled ticks (value, label).  log: low > 0."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value stands on the axis: 0 at its low end, 1 at its high end."""
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return -math.inf
        return math.log(value / self.low) / math.log(self.high / self.low)

    def at(self, share: float) -> float:
        """The value that stands there: the inverse of `share`."""
        if self.log:
            return self.low * math.exp(share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)

    def holds(self, value: float) -> bool:
        """Whether the value stands on the axis."""
        return self.low <= value <= self.high


# compared by identity: two arrays are neither equal nor unequal but an array of answers, and what
# shows a plot asks whether it is another
@dataclass(frozen=True, eq=False)
class Band:
    """The area between two curves over xs, all of shape (n,), xs ascending."""

    xs: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Line:
    """A polyline; `dashed` leaves every other stretch out."""

    xs: Sequence[float] | Array
    ys: Sequence[float] | Array
    ink: str = "mean"
    dashed: bool = False


@dataclass(frozen=True)
class Mark:
    """A character at a point, with a whisker `spread` up and down where that is above 0."""

    x: float
    y: float
    char: str = "●"
    ink: str = "trial"
    label: str = ""
    spread: float = 0.0


@dataclass(frozen=True)
class Bar:
    """A bar from the floor to `value`, with a whisker from low to high."""

    x: float
    value: float
    low: float
    high: float
    width: float


@dataclass(frozen=True)
class Plot:
    """All that a chart shows, on screen and on paper.  Later marks lie over earlier ones.

    forbidden: rectangles within the axes that a limit keeps networks out of, under all else.
    """

    x: Axis
    y: Axis
    band: Band | None = None
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    forbidden: tuple[Box, ...] = ()

    @property
    def outside(self) -> int:
        """How many marks stand at an edge for what lies beyond it."""
        return sum(mark.char in EDGES for mark in self.marks)


def near(values: Iterable[float], keep: Iterable[float] = (), *, bulk: bool = True) -> list[float]:
    """The values that an axis should hold, so that a few far-off ones do not press it flat.

    keep: what the axis is for and must hold.  It is also for the bulk of the values: all but a
    tenth at either end, at least one of five, and none of fewer.  bulk: False where it is for
    `keep` alone.  A value further from all of that than half its width is left out; a width
    is at least a twentieth of the values, so that what is all but one point has some room.
    """
    listed = sorted(value for value in values if math.isfinite(value))
    core = [value for value in keep if math.isfinite(value)]
    if bulk:
        away = 0 if len(listed) < 5 else max(int(BULK * len(listed)), 1)
        core += listed[away : len(listed) - away]
    if not core:
        return listed
    low, high = min(core), max(core)
    room = REACH * max(high - low, 0.05 * max(abs(low), abs(high)), 1e-6)
    return [*core, *(value for value in listed if low - room <= value <= high + room)]


def at_edge(mark: Mark, x: Axis, y: Axis) -> Mark:
    """The mark, or an arrow at the edge of the axes that it lies beyond."""
    if x.holds(mark.x) and y.holds(mark.y):
        return mark
    char = "▴" if mark.y > y.high else "▾"
    if y.holds(mark.y):
        char = "▸" if mark.x > x.high else "◂"
    return replace(
        mark,
        x=min(max(mark.x, x.low), x.high),
        y=min(max(mark.y, y.low), y.high),
        char=char,
        spread=0.0,
    )


def places(
    wanted: Iterable[Sequence[Box]], taken: Sequence[Box], area: Box, vital: int = 0
) -> list[int | None]:
    """Where labels go that lie on nothing: the index of each one's place, None where none is free.

    wanted: the places of each label, the best one first; the most important label first.  taken:
    what no label should cover; so many `vital` ones may if they must, and then only that.  area:
    what every label stays within.
    """
    found: list[int | None] = []
    covered = np.array(list(taken), dtype=np.float64).reshape(-1, 4)
    for number, choices in enumerate(wanted):
        free = _first_free(choices, covered, area)
        if free is None and number < vital:
            free = _first_free(choices, covered[len(taken) :], area)
        if free is not None:
            covered = np.vstack([covered, choices[free]])
        found.append(free)
    return found


def _first_free(choices: Sequence[Box], covered: Array, area: Box) -> int | None:
    for index, (left, right, low, high) in enumerate(choices):
        if left < area[0] or right > area[1] or low < area[2] or high > area[3]:
            continue
        beside = (covered[:, 1] <= left) | (covered[:, 0] >= right)
        apart = beside | (covered[:, 3] <= low) | (covered[:, 2] >= high)
        if apart.all():
            return index
    return None


def axis(
    values: Iterable[float],
    ticks: int = 3,
    margin: float = 0.06,
    within: tuple[float, float] = (-math.inf, math.inf),
    log: bool = False,
) -> Axis:
    """An axis around the values with about `ticks` round numbers on it.

    within: what a value can be at all; no axis goes beyond it.  log: logarithmic, where all values
    are above 0; its ticks are 1, 2 and 5 in every power of ten.
    """
    listed = [v for v in values if math.isfinite(v)]
    low, high = (min(listed), max(listed)) if listed else (0.0, 1.0)
    if high - low < 1e-9 * max(abs(high), 1e-3):
        # one value, or as good as one: some room around it
        half = max(0.05 * abs(low), 1e-6)
        low, high = low - half, high + half
    if log and low > 0:
        room = (high / low) ** margin
        low, high = low / room, min(high * room, within[1])
        return Axis(low, high, _decades(low, high) or _even(low, high, ticks), log=True)
    room = (high - low) * margin
    low, high = max(low - room, within[0]), min(high + room, within[1])
    return Axis(low, high, _even(low, high, ticks))


def _decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """1, 2 and 5 in every power of ten between two values; nothing where that is hardly one."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    rounds = [float(f"{factor}e{power}") for power in powers for factor in (1, 2, 5)]
    rounds = [value for value in rounds if low <= value <= high]
    return tuple((value, f"{value:,.10g}") for value in rounds) if len(rounds) > 1 else ()


def _even(low: float, high: float, ticks: int) -> tuple[tuple[float, str], ...]:
    """About `ticks` round numbers between two values, all as far apart."""
    raw = (high - low) / max(ticks, 1)
    exponent = math.floor(math.log10(raw))
    factor = next(f for f in (1, 2, 2.5, 5, 10) if f * 10.0**exponent >= raw * 0.999)
    step = factor * 10.0**exponent
    first = math.ceil(low / step)
    digits = max(0, -exponent + (factor == 2.5) - (factor == 10))
    return tuple(
        (at * step, f"{at * step:.{digits}f}") for at in range(first, math.floor(high / step) + 1)
    )


@dataclass(frozen=True)
class Figure:
    """A plot with its words, and the numbers it shows as a table.

    legend: (mark, role, words), the mark `-`, `--`, `band` or a character of `Mark`.
    """

    name: str
    title: str
    x: str
    y: str
    plot: Plot | None
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    legend: tuple[tuple[str, str, str], ...] = ()
    empty: str = "Nothing has been measured yet."
