"""A table whose rows are keyed and diffed, so that the cursor stays with its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable

MARKER = "▸"


@dataclass(frozen=True)
class Column:
    """A column.  width 0: takes the room that the others leave."""

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


class Table(DataTable[Text], inherit_bindings=False):
    """Rows under a cursor, which is marked with ▸ as well as with colour."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Down", show=False, id="table.down", tooltip="Next row"),
        Binding("up,k", "cursor_up", "Up", show=False, id="table.up", tooltip="Row before"),
        Binding("home,g", "scroll_top", "First", show=False, id="table.first", tooltip="First row"),
        Binding("end,G", "scroll_bottom", "Last", show=False, id="table.last", tooltip="Last row"),
        Binding("pageup", "page_up", "Page up", show=False, id="table.pageup", tooltip="Page up"),
        Binding(
            "pagedown",
            "page_down",
            "Page down",
            show=False,
            id="table.pagedown",
            tooltip="Page down",
        ),
        Binding(
            "enter",
            "select_cursor",
            "Select",
            show=False,
            id="table.select",
            tooltip="Select the row",
        ),
    ]

    class RoomChanged(Message):
        """The flexible column holds more or fewer characters."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0, show_header=True)
        self.layout_columns = tuple(columns)
        self._rows_shown: list[Row] = []
        self._laid: tuple[int, tuple[Column, ...]] | None = None
        self._marked: str | None = None
        self._room = 0

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor."""
        if not self._rows_shown or self.cursor_row >= len(self._rows_shown):
            return None
        return self._rows_shown[self.cursor_row].key

    def on_resize(self, event: events.Resize) -> None:
        """Give the flexible column its room."""
        self._lay_out()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns."""
        if tuple(columns) != self.layout_columns:
            self.layout_columns = tuple(columns)
            self._rows_shown = []
            self._laid = None
            self._lay_out()

    @property
    def room(self) -> int:
        """Characters that the flexible column holds; 0 before the first layout."""
        return self._room

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows, changing no more than has changed; the cursor stays with its row."""
        if self._laid is None:
            self._lay_out()
        if self._laid is None:
            # not on screen yet: the rows are added with the columns
            self._rows_shown = list(rows)
            return
        before = self._rows_shown
        if [row.key for row in before] == [row.key for row in rows[: len(before)]]:
            for old, new in zip(before, rows, strict=False):
                if old != new:
                    self._update(old, new)
            for row in rows[len(before) :]:
                self.add_row(*self._texts(row), key=row.key)
            self._rows_shown = list(rows)
        else:
            self._replace(rows)
        self._mark()

    def move_to(self, key: str) -> None:
        """Put the cursor on a row."""
        for index, row in enumerate(self._rows_shown):
            if row.key == key:
                self.move_cursor(row=index)
                return

    def _replace(self, rows: Sequence[Row]) -> None:
        key, index = self.cursor_key, self.cursor_row
        self._marked = None
        self.clear()
        for row in rows:
            self.add_row(*self._texts(row), key=row.key)
        self._rows_shown = list(rows)
        at = next((i for i, row in enumerate(rows) if row.key == key), min(index, len(rows) - 1))
        if rows:
            self.move_cursor(row=max(at, 0))

    def _texts(self, row: Row) -> list[Text]:
        marker = MARKER if row.key == self._marked else " "
        style = "dim" if row.dim else ""
        return [Text(marker)] + [
            _text(cell, column, style)
            for cell, column in zip(row.cells, self.layout_columns, strict=True)
        ]

    def _update(self, old: Row, new: Row) -> None:
        texts = self._texts(new)[1:]
        for column, was, text in zip(self.layout_columns, old.cells, texts, strict=True):
            if was != text.plain[column.gap :] or old.dim != new.dim:
                self.update_cell(new.key, column.key, text)

    def _lay_out(self) -> None:
        width = self.size.width
        if not width or self._laid == (width, self.layout_columns):
            return
        self._laid = (width, self.layout_columns)
        rows, key = self._rows_shown, self.cursor_key
        fixed = sum(column.width + column.gap for column in self.layout_columns)
        flexible = sum(1 for column in self.layout_columns if not column.width)
        # the marker's column, and room for the scrollbar
        room = max(width - fixed - 2, 8 * flexible)
        if self._room != room // max(flexible, 1):
            self._room = room // max(flexible, 1)
            self.post_message(self.RoomChanged())
        self._marked = None
        self.clear(columns=True)
        self.add_column("", width=1, key="marker")
        for column in self.layout_columns:
            own = column.width or room // flexible
            self.add_column(_text(column.label, column), width=own + column.gap, key=column.key)
        self._rows_shown = []
        for row in rows:
            self.add_row(*self._texts(row), key=row.key)
        self._rows_shown = rows
        if key is not None:
            self.move_to(key)
        self._mark()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Move the marker with the cursor."""
        self._mark()

    def _mark(self) -> None:
        key = self.cursor_key
        if key == self._marked:
            return
        keys = {row.key for row in self._rows_shown}
        if self._marked in keys:
            assert self._marked is not None
            self.update_cell(self._marked, "marker", Text(" "))
        if key is not None:
            self.update_cell(key, "marker", Text(MARKER))
        self._marked = key


def _text(words: str, column: Column, style: str = "") -> Text:
    return Text(
        " " * column.gap + words,
        justify=column.justify,
        no_wrap=True,
        overflow="ellipsis",
        style=style,
    )
