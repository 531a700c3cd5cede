"""A table of lines under a cursor, which stays with its row when the rows change.

Textual's DataTable renders every cell by itself, and all of them again whenever one changes: a
tenth of a second on a slow machine.  Here a row is one line of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

MARKER = "▸"
LEAST_ROOM = 8
"""Characters of the flexible column below which the gaps give way."""


@dataclass(frozen=True)
class Column:
    """A column.  width 0: takes the room that the others leave.

    Numbers stand to the right.  Their column is wider than `width` where one of them is: a number
    that is cut is another number.
    """

    key: str
    label: str
    width: int
    justify: Literal["left", "right"] = "left"
    gap: int = 2
    """Spaces before every cell, so that columns of either justification are apart."""


@dataclass(frozen=True)
class Row:
    """A row: its key, and one text a column."""

    key: str
    cells: tuple[str, ...]
    dim: bool = False


class Table(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a cursor, which is marked with ▸ as well as with colour."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="table.down", tooltip="Next row"),
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up", tooltip="Row before"),
        Binding("home,g", "first", "First", show=False, id="table.first", tooltip="First row"),
        Binding("end,G", "last", "Last", show=False, id="table.last", tooltip="Last row"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.pageup", tooltip="Page up"),
        Binding(
            "pagedown",
            "page(1)",
            "Page down",
            show=False,
            id="table.pagedown",
            tooltip="Page down",
        ),
        Binding(
            "enter", "select", "Select", show=False, id="table.select", tooltip="Select the row"
        ),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header",
        "table--cursor",
        "table--dim",
        "table--hover",
    }
    DEFAULT_CSS = """
    Table {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        .table--header { text-style: dim; }
        .table--dim { text-style: dim; }
        .table--hover { background: $panel; }
        .table--cursor {
            background: $block-cursor-blurred-background;
            color: $block-cursor-blurred-foreground;
        }
        &:focus .table--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
        }
    }
    """
    # two lines are painted anew, not all of them
    cursor_row: reactive[int] = reactive(0, repaint=False, init=False)
    hover_row: reactive[int] = reactive(-1, repaint=False, init=False)

    class Highlighted(Message):
        """The cursor stands on another row."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            """The table."""
            return self.table

    class Selected(Highlighted):
        """Enter was pressed on a row, or it was clicked twice."""

    class RoomChanged(Message):
        """The flexible column holds more or fewer characters."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.rows: tuple[Row, ...] = ()
        self._room = 0
        self._widths = tuple(column.width for column in self.columns)
        self._gaps = tuple(column.gap for column in self.columns)

    # -- what is shown --------------------------------------------------------------------------

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        return self.rows[self.cursor_row].key if self.cursor_row < len(self.rows) else None

    @property
    def room(self) -> int:
        """Characters that the flexible column holds; 0 before the first layout."""
        return self._room

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns; rows made for the old ones go."""
        if tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self.rows = ()
            self._widths = tuple(column.width for column in self.columns)
            self._gaps = tuple(column.gap for column in self.columns)
            self._measure()

    def show(self, rows: Sequence[Row], *, first: bool = False) -> None:
        """Show these rows; the cursor stays with its row, or near where it was.

        first: where its row is gone, the cursor goes to the first one.
        """
        if self.rows == tuple(rows):
            return
        key, number = self.cursor_key, len(self.rows)
        self.rows = tuple(rows)
        widths = tuple(
            max([column.width, *(len(row.cells[place]) for row in self.rows)])
            if column.justify == "right"
            else column.width
            for place, column in enumerate(self.columns)
        )
        if widths != self._widths:
            self._widths = widths
            self._measure()
        if number != len(rows):
            self.virtual_size = Size(self.size.width, len(rows) + 1)
            if self.styles.height is not None and self.styles.height.is_auto:
                self.refresh(layout=True)
        at = next((i for i, row in enumerate(rows) if row.key == key), None)
        near = 0 if first else min(self.cursor_row, max(len(rows) - 1, 0))
        wanted = near if at is None else at
        if wanted == self.cursor_row:
            self._follow()
            if self.cursor_key is not None and self.cursor_key != key:
                self.post_message(self.Highlighted(self, self.cursor_key))
        self.cursor_row = wanted
        self.refresh()

    def move_to(self, key: str) -> None:
        """Put the cursor on a row."""
        for index, row in enumerate(self.rows):
            if row.key == key:
                self.cursor_row = index
                return

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A line a row, and one for the labels."""
        return len(self.rows) + 1

    # -- layout and lines -----------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        """Give the flexible column its room."""
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        self._measure()
        self._follow()

    def _measure(self) -> None:
        # the marker, and room for the scrollbar whether it is there or not
        whole = self.outer_size.width
        room = whole - sum(self._widths) - 3
        gaps = tuple(column.gap for column in self.columns)
        if room - sum(gaps) < LEAST_ROOM:
            gaps = tuple(min(gap, 1) for gap in gaps)
        self._gaps = gaps
        room = max(room - sum(gaps), LEAST_ROOM // 2) if whole else 0
        if room != self._room:
            self._room = room
            self.post_message(self.RoomChanged())
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The labels, or a row."""
        width = self.size.width
        index = y - 1 + self.scroll_offset.y
        style = self.rich_style
        marker = " "
        if y == 0:
            cells = tuple(column.label for column in self.columns)
            style += self.get_component_rich_style("table--header", partial=True)
        elif 0 <= index < len(self.rows):
            row = self.rows[index]
            cells = row.cells
            if row.dim:
                style += self.get_component_rich_style("table--dim", partial=True)
            if index == self.cursor_row:
                marker = MARKER
                style += self.get_component_rich_style("table--cursor", partial=True)
            elif index == self.hover_row:
                style += self.get_component_rich_style("table--hover", partial=True)
        else:
            return Strip.blank(width, style)
        return Strip([Segment(set_cell_size(marker + self._line(cells), width), style)], width)

    def _line(self, cells: Sequence[str]) -> str:
        parts = []
        left = self.size.width - len(MARKER)
        sized = zip(self.columns, self._widths, self._gaps, cells, strict=True)
        for column, fixed, gap, cell in sized:
            width = fixed or self._room
            left -= gap + width
            if left < 0 and column.justify == "right":
                break  # no column rather than a part of its numbers
            length = cell_len(cell)
            if length > width:
                cell = set_cell_size(cell, max(width - 1, 0)) + "…"
                length = width
            space = " " * (width - length)
            parts.append(" " * gap)
            parts.append(space + cell if column.justify == "right" else cell + space)
        return "".join(parts)

    # -- the cursor -----------------------------------------------------------------------------

    def validate_cursor_row(self, row: int) -> int:
        """Within the rows."""
        return min(max(row, 0), max(len(self.rows) - 1, 0))

    def watch_cursor_row(self, before: int, row: int) -> None:
        """Repaint two lines, keep the cursor in view, tell who listens."""
        if not self._follow():
            for index in (before, row):
                self.refresh(Region(0, index + 1 - self.scroll_offset.y, self.size.width, 1))
        key = self.cursor_key
        if key is not None:
            self.post_message(self.Highlighted(self, key))

    def watch_hover_row(self, before: int, row: int) -> None:
        """Repaint two lines."""
        for index in (before, row):
            self.refresh(Region(0, index + 1 - self.scroll_offset.y, self.size.width, 1))

    def _follow(self) -> bool:
        """Scroll until the cursor is in view; whether that moved anything."""
        visible = self.size.height - 1
        top = self.scroll_offset.y
        if visible < 1:
            return False
        wanted = min(max(top, self.cursor_row - visible + 1), self.cursor_row)
        if wanted == top:
            return False
        self.scroll_to(y=wanted, animate=False, immediate=True)
        self.refresh()
        return True

    def action_move(self, step: int) -> None:
        """A row on."""
        self.cursor_row += step

    def action_first(self) -> None:
        """The first row."""
        self.cursor_row = 0

    def action_last(self) -> None:
        """The last row."""
        self.cursor_row = len(self.rows) - 1

    def action_page(self, step: int) -> None:
        """A page on."""
        self.cursor_row += step * max(self.size.height - 2, 1)

    def action_select(self) -> None:
        """Tell who listens that this row it is."""
        key = self.cursor_key
        if key is not None:
            self.post_message(self.Selected(self, key))

    def _row_at(self, y: int) -> int:
        return y - 1 + self.scroll_offset.y if y >= 1 else -1

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor, a second one selects."""
        row = self._row_at(event.y)
        if 0 <= row < len(self.rows):
            self.cursor_row = row
            if event.chain > 1:
                self.action_select()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show what a click would hit."""
        self.hover_row = self._row_at(event.y)

    def on_leave(self) -> None:
        """Nothing would be hit."""
        self.hover_row = -1
