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
        """Whether a layout would leave the height as it is; not known while it is not shown."""
        room, styles = self.content_size, self.styles
        if not room.width:
            return False
        if styles.height is not None and not styles.height.is_auto:
            return True
        lines = self.get_content_height(self.size, self.app.size, room.width)
        # a text that is cut off, or has room to spare, stays as high as its styles let it be
        frame = styles.gutter.height if styles.box_sizing == "border-box" else 0
        if styles.min_height is not None and styles.min_height.is_cells:
            lines = max(lines, int(styles.min_height.value) - frame)
        if styles.max_height is not None and styles.max_height.is_cells:
            lines = min(lines, int(styles.max_height.value) - frame)
        return lines == room.height


def _same(one: VisualType, other: VisualType) -> bool:
    if isinstance(one, Content) and isinstance(other, Content):
        return one.is_same(other)
    return isinstance(one, str) and isinstance(other, str) and one == other
