"""Text that changes often: it repaints where it differs, and asks for room where it needs more."""

from __future__ import annotations

from textual.content import Content
from textual.visual import VisualType
from textual.widgets import Static


class Text(Static):
    """A `Static` that lays the screen out anew only where its own height changes.

    A layout takes as long as painting the whole screen, and most changes are of a figure.
    """

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show this; nothing is painted if it is what stands there."""
        other = not _same(self.content, content)
        if other:
            super().update(content, layout=False)
        # asked for again where it stands already: while a screen is made, a layout can be lost
        if layout and (other or self.content_size.width) and not self._fits():
            self.refresh(layout=True)

    def _fits(self) -> bool:
        """Whether the text takes as many lines as there are; not known while it is not shown."""
        room = self.content_size
        lines = self.get_content_height(self.size, self.app.size, room.width)
        for limit, within in ((self.styles.min_height, max), (self.styles.max_height, min)):
            if limit is not None and limit.is_cells:
                lines = within(lines, int(limit.value) - self.gutter.height)
        return bool(room.width) and lines == room.height


def _same(one: VisualType, other: VisualType) -> bool:
    if isinstance(one, Content) and isinstance(other, Content):
        return one.is_same(other)
    return isinstance(one, str) and isinstance(other, str) and one == other
