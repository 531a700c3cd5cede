"""A chart in terminal cells: `raster` draws into a grid of cells, `Chart` puts the grid on screen.

A cell has one foreground and one background.  A band is background, its edges smoothed by the
blocks ▁▂▃▄▅▆▇; lines are braille foreground; marks and labels are characters over both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ..plot import (
    PERCENT,
    POSITIVE,
    VITAL,
    Array,
    Axis,
    Band,
    Bar,
    Box,
    Line,
    Mark,
    Plot,
    at_edge,
    axis,
    near,
    places,
)

__all__ = [
    "PERCENT", "POSITIVE", "Axis", "Band", "Bar", "Chart", "Line", "Mark", "Plot", "at_edge",
    "axis", "near", "raster",
]  # fmt: skip

BLOCKS = " ▁▂▃▄▅▆▇█"
SHADE = "░"
HATCH = "╱"
FILLS = ("band", "bar", "forbidden")
"""Roles that cells are filled with; their own cells are no ground to what is drawn of them."""
_BRAILLE = 0x2800
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each braille dot, by row and column within a cell."""


class Cell(NamedTuple):
    """One character with its ink and its ground, both by role."""

    char: str = " "
    ink: str = ""
    ground: str = ""


EMPTY = Cell()


class _Canvas:
    """The cells of a plot while it is drawn; row 0 is the top."""

    def __init__(self, plot: Plot, width: int, height: int, shade: bool) -> None:
        self.plot = plot
        self.gutter = max((len(label) for _, label in plot.y.ticks), default=0) + 1
        self.width = max(width - self.gutter, 1)
        self.height = max(height - 1, 1)
        self.shade = shade
        self.chars = np.full((self.height, self.width), " ", dtype="<U1")
        self.inks = np.full((self.height, self.width), "", dtype=object)
        self.grounds = np.full((self.height, self.width), "", dtype=object)

    def column(self, x: float) -> float:
        return self.plot.x.share(x) * (self.width - 1)

    def row(self, y: float) -> float:
        return (1 - self.plot.y.share(y)) * (self.height - 1)

    def put(self, row: int, column: int, char: str, ink: str) -> None:
        if 0 <= row < self.height and 0 <= column < self.width:
            self.chars[row, column] = char
            self.inks[row, column] = ink

    def fill(self, columns: Sequence[int] | range, low: Array, high: Array, role: str) -> None:
        """Fill each column from `low` to `high`, heights in cells above the floor."""
        for column, bottom, top in zip(columns, low, high, strict=True):
            bottom, top = max(float(bottom), 0.0), min(float(top), float(self.height))
            if top <= bottom:
                continue
            for level in range(int(bottom), min(math.ceil(top), self.height)):
                row = self.height - 1 - level
                filled_to = min(top - level, 1.0)
                filled_from = max(bottom - level, 0.0)
                if self.shade:
                    if filled_to - filled_from >= 0.5:
                        self.put(row, column, SHADE, role)
                    continue
                eighths = round(filled_to * 8), round(filled_from * 8)
                if eighths == (8, 0):
                    self.grounds[row, column] = role
                elif eighths[1] == 0 and eighths[0]:
                    self.put(row, column, BLOCKS[eighths[0]], role)
                elif eighths[0] == 8 and eighths[1] < 8:
                    # a lower block of the empty ground over the filled cell
                    self.grounds[row, column] = role
                    self.put(row, column, BLOCKS[eighths[1]], "ground")
                elif eighths[0] - eighths[1] >= 4:
                    self.grounds[row, column] = role

    def forbid(self, box: Box) -> None:
        """Shade a rectangle that no limit allows, under all that is drawn already."""
        rows = slice(max(math.ceil(self.row(box[3])), 0), math.floor(self.row(box[2])) + 1)
        first = max(math.ceil(self.column(box[0])), 0)
        columns = slice(first, math.floor(self.column(box[1])) + 1)
        if self.shade:
            hatched = np.indices(self.chars.shape).sum(axis=0)[rows, columns] % 2 == 0
            hatched &= self.chars[rows, columns] == " "
            self.chars[rows, columns][hatched] = HATCH
            self.inks[rows, columns][hatched] = "forbidden"
            return
        grounds, inks = self.grounds[rows, columns], self.inks[rows, columns]
        grounds[grounds == ""] = "forbidden"
        inks[inks == "ground"] = "forbidden"

    def heights(self, values: Array) -> Array:
        """Values as heights above the floor, in cells; a row's value is at its middle."""
        low, high = self.plot.y.low, self.plot.y.high
        shares = (values - low) / (high - low)
        return shares * (self.height - 1) + 0.5

    def band(self, band: Band) -> None:
        columns = range(self.width)
        first, last = self.column(float(band.xs[0])), self.column(float(band.xs[-1]))
        columns = range(max(math.floor(first), 0), min(math.ceil(last) + 1, self.width))
        at = np.array([self.plot.x.at(column / max(self.width - 1, 1)) for column in columns])
        low = self.heights(np.interp(at, band.xs, band.low))
        high = self.heights(np.interp(at, band.xs, band.high))
        # a band thinner than a line is still shown
        self.fill(
            columns,
            np.minimum(low, (low + high) / 2 - 0.5),
            np.maximum(high, (low + high) / 2 + 0.5),
            "band",
        )

    def line(self, line: Line) -> None:
        xs = np.array([self.column(float(x)) for x in line.xs]) * 2 + 0.5
        ys = np.array([self.row(float(y)) for y in line.ys]) * 4 + 1.5
        dots = np.zeros((self.height, self.width), dtype=np.int64)
        if len(xs) < 2:
            return
        # every stretch in steps of at most one dot
        longest = np.maximum(np.abs(np.diff(xs)), np.abs(np.diff(ys)))
        steps = np.minimum(longest.astype(int) + 2, 8 * (self.width + self.height))
        which = np.repeat(np.arange(len(steps)), steps)
        within = np.arange(len(which)) - np.repeat(np.cumsum(steps) - steps, steps)
        share = within / (steps[which] - 1)
        xx = np.rint(xs[which] + share * (xs[which + 1] - xs[which])).astype(int)
        yy = np.rint(ys[which] + share * (ys[which + 1] - ys[which])).astype(int)
        inside = (xx >= 0) & (xx < 2 * self.width) & (yy >= 0) & (yy < 4 * self.height)
        if line.dashed:
            inside &= (np.arange(len(which)) // 5) % 2 == 0
        xx, yy = xx[inside], yy[inside]
        np.bitwise_or.at(dots, (yy // 4, xx // 2), _DOTS[yy % 4, xx % 2])
        for row, column in zip(*np.nonzero(dots), strict=True):
            before = self.chars[row, column]
            if before in BLOCKS[1:-1] and not self.shade:
                # an edge of the band gives way to the line: keep the ground of its larger part
                if self.inks[row, column] != "ground":
                    full = BLOCKS.index(before) >= 4
                    self.grounds[row, column] = self.inks[row, column] if full else ""
                elif BLOCKS.index(before) > 4:
                    self.grounds[row, column] = ""
            merged = int(dots[row, column])
            if (
                before
                and _BRAILLE <= ord(before) < _BRAILLE + 256
                and self.inks[row, column] == line.ink
            ):
                merged |= ord(before) - _BRAILLE
            self.put(int(row), int(column), chr(_BRAILLE + merged), line.ink)

    def bar(self, bar: Bar) -> None:
        half = bar.width / 2
        first = round(self.column(bar.x - half))
        last = max(round(self.column(bar.x + half)), first)
        columns = range(max(first, 0), min(last + 1, self.width))
        top = self.heights(np.array([bar.value]))
        self.fill(columns, np.zeros(len(columns)), np.repeat(top, len(columns)), "bar")
        middle = round(self.column(bar.x))
        low, high = round(self.row(bar.low)), round(self.row(bar.high))
        for row in range(max(high, 0), min(low, self.height - 1) + 1):
            char = "┬" if row == high else "┴" if row == low else "│"
            self._over(row, middle, char, "whisker")

    def mark(self, mark: Mark) -> None:
        row, column = round(self.row(mark.y)), round(self.column(mark.x))
        if mark.spread > 0:
            top, bottom = (
                round(self.row(mark.y + mark.spread)),
                round(self.row(mark.y - mark.spread)),
            )
            for at in range(max(top, 0), min(bottom, self.height - 1) + 1):
                char = "┬" if at == top else "┴" if at == bottom else "│"
                self._over(at, column, char, "whisker")
            if top == bottom and mark.char == "│":
                # shorter than a cell: both its ends
                mark = replace(mark, char="┼")
        self._over(row, column, mark.char, mark.ink)

    def labels(self, marks: Sequence[Mark]) -> None:
        """The labels beside their marks, on nothing else; the last mark's is the most important."""
        if not any(mark.label for mark in marks):
            return
        at = [(round(self.column(mark.x)), round(self.row(mark.y))) for mark in marks]
        texts: list[str] = []
        choices: list[list[tuple[int, int]]] = []
        for mark, (column, row) in zip(reversed(marks), reversed(at), strict=True):
            text = mark.label.strip()
            if text:
                texts.append(text)
                gap = len(mark.label) - len(mark.label.lstrip())
                choices.append(_beside(column, row, len(text), gap))
        # a cell is left free beside a label: two numbers side by side would be read as one
        wanted: list[list[Box]] = [
            [(start - 0.5, start + len(text) + 0.5, row, row + 1) for start, row in cells]
            for text, cells in zip(texts, choices, strict=True)
        ]
        taken = [(column + 0.5, column + 0.5, row, row + 1) for column, row in at]
        area = (-0.5, self.width + 0.5, 0, self.height)
        for text, cells, place in zip(
            texts, choices, places(wanted, taken, area, VITAL), strict=True
        ):
            if place is not None:
                start, row = cells[place]
                for offset, char in enumerate(text):
                    self._over(row, start + offset, char, "label")

    def _over(self, row: int, column: int, char: str, ink: str) -> None:
        """Write over a smoothed edge without losing the ground of its larger part."""
        if not (0 <= row < self.height and 0 <= column < self.width):
            return
        before = self.chars[row, column]
        if before in BLOCKS[1:-1] and not self.shade:
            index = BLOCKS.index(before)
            role = self.inks[row, column]
            if role == "ground":
                self.grounds[row, column] = "" if index > 4 else self.grounds[row, column]
            elif index >= 4:
                self.grounds[row, column] = role
        self.put(row, column, char, ink)

    def finish(self) -> list[list[Cell]]:
        """The cells with the axes around them."""
        labels = {
            min(max(round(self.row(v)), 0), self.height - 1): text for v, text in self.plot.y.ticks
        }
        chars, inks, grounds = self.chars.tolist(), self.inks.tolist(), self.grounds.tolist()
        rows: list[list[Cell]] = []
        for row in range(self.height):
            text = labels.get(row, "").rjust(self.gutter - 1)
            edge = "┤" if row in labels else "│"
            cells = [Cell(char, "label") for char in text] + [Cell(edge, "axis")]
            cells += map(Cell, chars[row], inks[row], grounds[row])
            rows.append(cells)
        rows.append(self._x_labels())
        return rows

    def _x_labels(self) -> list[Cell]:
        line = [" "] * (self.gutter + self.width)
        taken, free = -1, len(line)
        note = f"{self.plot.outside} outside" if self.plot.outside else ""
        if note and 2 * len(note) < self.width:
            free -= len(note) + 2  # not to be read as one with the last tick
            line[free + 2 :] = note
        for value, text in self.plot.x.ticks:
            middle = self.gutter + round(self.column(value))
            start = min(max(middle - len(text) // 2, 0), len(line) - len(text))
            if start <= taken or start < 0 or start + len(text) > free:
                continue
            line[start : start + len(text)] = text
            taken = start + len(text)
        return [Cell(char, "label") for char in line]


def _beside(column: int, row: int, width: int, gap: int) -> list[tuple[int, int]]:
    """Where a label may begin, by column and row, the best place first."""
    right, left, middle = column + 1, column - width, column - width // 2
    return [
        (right + gap, row), (left - gap, row), (right, row - 1), (right, row + 1),
        (left, row - 1), (left, row + 1), (middle, row - 1), (middle, row + 1),
    ]  # fmt: skip


def raster(plot: Plot, size: tuple[int, int], *, shade: bool = False) -> list[list[Cell]]:
    """Draw a plot into `size` (width, height) cells; the last row holds the labels of x.

    shade: draw bands and bars as ░ in the foreground, and what is forbidden as ╱, for terminals
    without colour.
    """
    width, height = size
    if width < 4 or height < 2:
        return [[EMPTY] * width for _ in range(height)]
    canvas = _Canvas(plot, width, height, shade)
    if plot.band is not None:
        canvas.band(plot.band)
    for bar in plot.bars:
        canvas.bar(bar)
    for line in plot.lines:
        canvas.line(line)
    for mark in plot.marks:
        canvas.mark(mark)
    canvas.labels(plot.marks)
    for box in plot.forbidden:
        canvas.forbid(box)
    return [row[:width] for row in canvas.finish()]


class Chart(Widget):
    """A plot on screen; says which point of it was clicked."""

    ROLES: ClassVar[tuple[str, ...]] = (
        "axis",
        "label",
        "mean",
        "band",
        "bar",
        "whisker",
        "trial",
        "selected",
        "front",
        "faint",
        "believed",
        "dim",
        "broken",
        "limit",
        "forbidden",
    )
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{role}" for role in ROLES}
    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        .chart--axis { color: $foreground 30%; }
        .chart--label { color: $foreground 65%; }
        .chart--mean { color: $primary; text-style: bold; }
        .chart--band { color: $primary 28%; }
        .chart--bar { color: $primary 45%; }
        .chart--whisker { color: $foreground 80%; }
        .chart--trial { color: $secondary; }
        .chart--selected { color: $foreground; text-style: bold; }
        .chart--front { color: $success; }
        .chart--faint { color: $foreground 45%; }
        .chart--believed { color: $primary 70%; }
        .chart--dim { color: $secondary 65%; }
        .chart--broken { color: $warning 70%; }
        .chart--limit { color: $warning; }
        .chart--forbidden { color: $warning 14%; }
    }
    """
    plot: reactive[Plot | None] = reactive(None)

    class Clicked(Message):
        """A cell of the plot was clicked: the values of x and y there."""

        def __init__(self, chart: Chart, x: float, y: float) -> None:
            super().__init__()
            self.chart = chart
            self.x = x
            self.y = y

        @property
        def control(self) -> Chart:
            """The chart."""
            return self.chart

    def __init__(self, *, id: str | None = None, empty: str = "") -> None:
        super().__init__(id=id)
        self.empty = empty
        self._drawn: tuple[object, ...] = ()
        self._strips: list[Strip] = []

    def watch_plot(self) -> None:
        """A new plot is drawn at the next repaint."""
        self.refresh()

    def notify_style_update(self) -> None:
        """A new theme has other colours."""
        self._drawn = ()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One line of the drawn plot."""
        size = self.size
        wanted = (self.plot, size, self.empty)
        if self._drawn != wanted or not self._drawn:
            self._strips = self._draw(size)
            self._drawn = wanted
        return self._strips[y] if y < len(self._strips) else Strip.blank(size.width)

    def _draw(self, size: Size) -> list[Strip]:
        ground = self.background_colors[1]
        if self.plot is None:
            style = Style.from_color(self._colour("label", ground).rich_color, ground.rich_color)
            lines = [self.empty.center(size.width)[: size.width]]
            above = max(size.height // 2 - 1, 0)
            blank = Strip([Segment(" " * size.width, style)], size.width)
            return (
                [blank] * above
                + [Strip([Segment(lines[0], style)], size.width)]
                + [blank] * (size.height - above - 1)
            )
        rows = raster(self.plot, (size.width, size.height), shade=self.app.no_color)
        styles: dict[tuple[str, str], Style] = {}
        strips: list[Strip] = []
        for row in rows:
            segments: list[Segment] = []
            text, kind = "", ("", "")
            for cell in row:
                this = (cell.ink, cell.ground)
                if this != kind and text:
                    segments.append(Segment(text, self._style(kind, styles, ground)))
                    text = ""
                kind = this
                text += cell.char
            segments.append(Segment(text, self._style(kind, styles, ground)))
            strips.append(Strip(segments, len(row)))
        return strips

    def _colour(self, role: str, ground: Color) -> Color:
        if role in ("", "ground"):
            return ground
        return ground + self.get_component_styles(f"chart--{role}").color

    def _style(
        self, kind: tuple[str, str], styles: dict[tuple[str, str], Style], ground: Color
    ) -> Style:
        if kind not in styles:
            ink, under = kind
            behind = self._colour(under, ground)
            bold = ink in self.ROLES and self.get_component_styles(f"chart--{ink}").text_style.bold
            styles[kind] = Style(
                color=self._colour(ink, ground if ink in FILLS else behind).rich_color
                if ink != "ground"
                else ground.rich_color,
                bgcolor=behind.rich_color,
                bold=bool(bold),
            )
        return styles[kind]

    def on_click(self, event: events.Click) -> None:
        """Say where the plot was clicked."""
        if self.plot is None:
            return
        canvas = _Canvas(self.plot, self.size.width, self.size.height, shade=False)
        column, row = event.x - canvas.gutter, event.y
        if column < 0 or row >= canvas.height:
            return
        x = self.plot.x.at(column / max(canvas.width - 1, 1))
        y = self.plot.y.at(1 - row / max(canvas.height - 1, 1))
        self.post_message(self.Clicked(self, x, y))
