"""The key bar: what can be pressed here, on as many lines as it takes."""

from __future__ import annotations

from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

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


def key_name(key: str) -> str:
    """A key as it is written on screen: `]`, `esc`, `^q`."""
    if key.startswith("ctrl+"):
        return f"^{key[5:]}"
    return _NAMES.get(key, key)


class KeyBar(Static):
    """The bindings of the screen that are worth showing, wrapped, each one clickable."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: auto; max-height: 3; padding: 0 1; background: $panel; }
    """

    def on_mount(self) -> None:
        """Follow the bindings: they change with the focus and with what is possible."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self.call_after_refresh(self.refresh_keys)

    def on_resize(self) -> None:
        """Wrap again."""
        self.refresh_keys()

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen:
            self.call_after_refresh(self.refresh_keys)

    def refresh_keys(self) -> None:
        """Lay the keys out anew."""
        if not self.is_attached:
            return
        groups: dict[str, tuple[Binding, bool]] = {}
        for _, binding, enabled, _ in self.screen.active_bindings.values():
            if binding.show:
                groups.setdefault(binding.action, (binding, enabled))
        width = max(self.size.width - 2, 10)
        lines: list[Content] = []
        line = Content()
        for binding, enabled in groups.values():
            key = binding.key_display or key_name(binding.key)
            action = binding.action.replace("'", '"')
            item = Content.assemble(
                (key, "bold $primary" if enabled else "$foreground 40%"),
                (f" {binding.description}", "$foreground 80%" if enabled else "$foreground 40%"),
            )
            if enabled and binding.key != "1":
                item = item.stylize(f"@click=screen.{_namespaced(action)}")
            if line and line.cell_length + 2 + item.cell_length > width:
                lines.append(line)
                line = Content()
            line = Content.assemble(line, "  ", item) if line else item
        lines.append(line)
        self.update(Content("\n").join(lines))


def _namespaced(action: str) -> str:
    return action.removeprefix("screen.").removeprefix("app.")
