"""The key bar: what can be pressed here, on as many lines as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.dom import DOMNode
from textual.keys import REPLACED_KEYS, key_to_character
from textual.screen import Screen

from .text import Text

_NAMES = {
    "question_mark": "?",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "escape": "esc",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "slash": "/",
    "comma": ",",
    "full_stop": ".",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
}


EXPORT = Binding(
    "o",
    "export",
    "Export",
    show=False,
    id="export",
    tooltip="Write the session to a JSON file, or as an HTML page to share",
)
"""On the list of sessions, and on every screen of one."""


def key_name(key: str) -> str:
    """A key as it is written on screen: `]`, `esc`, `^q`."""
    if key.startswith("ctrl+"):
        return f"^{key[5:]}"
    return _NAMES.get(key, key)


def typed(screen: Screen[Any], key: str) -> bool:
    """Whether this key, pressed now, would be typed into what has the focus: not one to offer."""
    focused = screen.focused
    # Textual finds no character for the names that it has given some keys itself, such as slash
    character = key_to_character(REPLACED_KEYS.get(key, key))
    return focused is not None and focused.check_consume_key(key, character)


def offered(node: DOMNode, action: str) -> bool:
    """Whether a key is worth offering now; one that is not still answers, in words."""
    offers = getattr(node, "offers", None)
    return offers is None or bool(offers(action))


class KeyBar(Text):
    """The bindings of the screen that are worth showing, wrapped, each one clickable.

    order: actions that come first.  spare: lines above that say nothing, for toasts to cover; what
    a toast needs more, the screen makes room for.
    """

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: auto; max-height: 3; padding: 0 1; background: $panel; }
    """
    _places: tuple[tuple[int, int, int, str], ...] = ()
    """Row, first and last column, and action of every key that can be clicked."""

    def __init__(self, order: Sequence[str] = (), spare: int = 0) -> None:
        super().__init__()
        self.order = tuple(order)
        self.spare = spare

    def on_mount(self) -> None:
        """Follow the bindings: they change with the focus and with what is possible."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self.call_after_refresh(self.refresh_keys)

    def on_resize(self) -> None:
        """Wrap again; toasts stand above."""
        self.refresh_keys()
        for rack in self.screen.query("ToastRack"):
            rack.styles.margin = (0, 0, self.outer_size.height - self.spare, 0)
            rack.styles.offset = (0, -self.spare)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen:
            self.call_after_refresh(self.refresh_keys)

    def refresh_keys(self) -> None:
        """Lay the keys out anew."""
        if not self.is_attached:
            return
        groups: dict[str, tuple[Binding, bool]] = {}
        for node, binding, enabled, _ in self.screen.active_bindings.values():
            if not binding.show or not binding.description or typed(self.screen, binding.key):
                continue
            if not offered(node, binding.action):
                continue
            known = groups.get(binding.action)
            if known is None or len(key_name(binding.key)) < len(key_name(known[0].key)):
                groups[binding.action] = (binding, enabled)
        # inherited bindings come in any order: the given one first, leaving last
        place = {action: index for index, action in enumerate(self.order)}
        ordered = sorted(
            groups.values(),
            key=lambda item: place.get(
                item[0].action, len(place) + item[0].action.endswith("quit")
            ),
        )
        width = max(self.content_size.width, 10)
        lines = [Content()]
        places: list[tuple[int, int, int, str]] = []
        for binding, enabled in ordered:
            key = binding.key_display or key_name(binding.key)
            item = Content.assemble(
                (key, "bold $primary" if enabled else "$foreground 40%"),
                (f" {binding.description}", "$foreground 80%" if enabled else "$foreground 40%"),
            )
            gap = 2 if lines[-1].cell_length else 0
            if gap and lines[-1].cell_length + gap + item.cell_length > width:
                lines.append(Content())
                gap = 0
            start = lines[-1].cell_length + gap
            lines[-1] = Content.assemble(lines[-1], " " * gap, item)
            if enabled:
                places.append((len(lines) - 1, start, start + item.cell_length, binding.action))
        self._places = tuple(places)
        self.update(Content("\n").join(lines))

    async def on_click(self, event: events.Click) -> None:
        """A click on a key is a press of it."""
        x, y = event.x - self.styles.padding.left, event.y
        for row, first, last, action in self._places:
            if row == y and first <= x < last:
                await self.screen.run_action(action)
                return
