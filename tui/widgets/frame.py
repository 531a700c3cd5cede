"""Lines of a frame that two panels share: ╭ title ───╮, ├ title ───┤ and ╰───╯."""

from __future__ import annotations

from typing import Literal

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

_ENDS = {"top": ("╭", "╮"), "middle": ("├", "┤"), "bottom": ("╰", "╯")}


class Edge(Widget):
    """One horizontal line of a frame, with a title in it; short_text where that has no room."""

    DEFAULT_CSS = """
    Edge { height: 1; color: $foreground 35%; }
    """
    title_text: reactive[str] = reactive("")
    short_text: reactive[str] = reactive("")

    def __init__(
        self, kind: Literal["top", "middle", "bottom"], title: str = "", *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.kind = kind
        self.set_reactive(Edge.title_text, title)

    def render(self) -> Content:
        """The line, as wide as the widget."""
        left, right = _ENDS[self.kind]
        room = max(self.size.width - 2, 0)
        title = Content(f" {self.title_text} " if self.title_text else "")
        if title.cell_length > room - 1 and self.short_text:
            title = Content(f" {self.short_text} ")
        if title.cell_length > room - 1:
            title = title.truncate(max(room - 1, 0), ellipsis=True)
        title = title.stylize("$foreground 85%")
        return Content.assemble(left, title, "─" * (room - title.cell_length), right)


class SplitLine(Widget):
    """One line with words at its left and at its right end; the left gives way.

    shorter: what stands at the left where there is no room for `left`, the first that fits.
    """

    DEFAULT_CSS = """
    SplitLine { height: 1; padding: 0 1; }
    """
    left: reactive[Content] = reactive(Content())
    shorter: reactive[tuple[Content, ...]] = reactive(())
    right: reactive[Content] = reactive(Content())

    def render(self) -> Content:
        """The line, as wide as the widget."""
        width = self.content_size.width
        right = self.right.truncate(width, ellipsis=True)
        room = max(width - right.cell_length - (2 if right.cell_length else 0), 0)
        ways = (self.left, *self.shorter)
        left = next((way for way in ways if way.cell_length <= room), ways[-1])
        if left.cell_length > room:
            left = left.truncate(room, ellipsis=True)
        gap = max(width - left.cell_length - right.cell_length, 0)
        return Content.assemble(left, " " * gap, right)
