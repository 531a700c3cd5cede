"""A slider over the weights of complexity."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from ...sessions.records import COST_ALONE
from .. import format as words

if TYPE_CHECKING:
    from textual import events


STOPS = (
    0.0,
    0.01,
    0.02,
    0.03,
    0.05,
    0.07,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.7,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    COST_ALONE,
)
"""Where the slider stands still: even steps of what w_c does, not of its value."""


class Slider(Widget, can_focus=True):
    """A value on a line of stops; ← → move it, a click too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", "move(-1)", "Less", show=False, id="slider.less", tooltip="Less"),
        Binding("right,plus", "move(1)", "More", show=False, id="slider.more", tooltip="More"),
        Binding("enter", "submit", "Keep", show=False, id="slider.set", tooltip="Keep this w_c"),
    ]
    DEFAULT_CSS = """
    Slider { height: 2; }
    Slider:focus { color: $primary; }
    """
    value: reactive[float] = reactive(0.0, init=False)

    class Moved(Message):
        """The slider stands at another value."""

        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

    class Submitted(Message):
        """Enter was pressed on it, at a value."""

        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

    def __init__(self, value: float, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.set_reactive(Slider.value, value)

    def _share(self) -> float:
        """Where the value stands on the line: 0 at the left, 1 at the right."""
        value, finite = max(self.value, STOPS[0]), STOPS[:-1]
        for i, (stop, following) in enumerate(itertools.pairwise(finite)):
            if value <= following:
                return (i + (value - stop) / (following - stop)) / (len(STOPS) - 1)
        # between the last number and the end lies every number that is larger
        return 1.0 if value == COST_ALONE else (len(finite) - 0.5) / (len(STOPS) - 1)

    def render(self) -> Content:
        """The line with its knob, and some of its stops below."""
        width = max(self.content_size.width, 20)
        knob = round(self._share() * (width - 3)) + 1
        line = "├" + "─" * (knob - 1) + "●" + "─" * (width - 2 - knob) + "┤"
        below = [" "] * width
        for stop in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, COST_ALONE):
            text = "∞" if stop == COST_ALONE else words.number(stop) if stop else "0"
            at = round(STOPS.index(stop) / (len(STOPS) - 1) * (width - 3)) + 1
            start = min(max(at - len(text) // 2, 0), width - len(text))
            below[start : start + len(text)] = text
        return Content.assemble(line, "\n", ("".join(below), "$foreground 60%"))

    def watch_value(self, value: float) -> None:
        """Tell the dialog."""
        self.post_message(self.Moved(value))

    def action_move(self, step: int) -> None:
        """One stop on."""
        others = [s for s in STOPS if (s > self.value if step > 0 else s < self.value)]
        if others:
            self.value = min(others) if step > 0 else max(others)

    def action_submit(self) -> None:
        """Set the value."""
        self.post_message(self.Submitted(self.value))

    def on_click(self, event: events.Click) -> None:
        """The stop nearest to the pointer."""
        share = (event.x - 1) / max(self.content_size.width - 3, 1)
        at = round(min(max(share, 0.0), 1.0) * (len(STOPS) - 1))
        self.value = STOPS[at]
