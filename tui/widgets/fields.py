"""A field that holds one of a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from .. import format as words


class Cycle(Widget, can_focus=True):
    """One of a few choices; space, ← and → go through them, a first letter picks one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space,right",
            "step(1)",
            "Next choice",
            show=False,
            id="choice.next",
            tooltip="Next choice",
        ),
        Binding(
            "left",
            "step(-1)",
            "Choice before",
            show=False,
            id="choice.before",
            tooltip="Choice before",
        ),
        Binding("enter", "submit", "Done", show=False, id="choice.submit", tooltip="Done"),
    ]
    DEFAULT_CSS = """
    Cycle { height: 1; width: 26; background: $panel; padding: 0 1; }
    Cycle:focus { background: $primary 35%; text-style: bold; }
    """
    value: reactive[Any] = reactive(None, init=False)

    class Changed(Message):
        """Another choice was made."""

        def __init__(self, cycle: Cycle, value: Any) -> None:
            super().__init__()
            self.cycle = cycle
            self.value = value

        @property
        def control(self) -> Cycle:
            """The field."""
            return self.cycle

    class Submitted(Message):
        """Enter was pressed on it."""

    def __init__(
        self,
        choices: Sequence[Any],
        value: Any,
        *,
        names: Sequence[str] | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.choices = [*choices] if value in choices else [*choices, value]
        self.named = names is not None
        self.names = names or [words.number(choice) for choice in self.choices]
        self.set_reactive(Cycle.value, value)

    def render(self) -> Content:
        """`(x)` for yes, `( )` for no, else the word."""
        if isinstance(self.value, bool) and not self.named:
            return Content("(x)" if self.value else "( )")
        return Content(self.names[self.choices.index(self.value)])

    def watch_value(self) -> None:
        """Tell the form."""
        self.post_message(self.Changed(self, self.value))

    def action_step(self, step: int) -> None:
        """The next choice."""
        at = self.choices.index(self.value)
        self.value = self.choices[(at + step) % len(self.choices)]

    def action_submit(self) -> None:
        """As enter in a line of text."""
        self.post_message(self.Submitted())

    def on_click(self) -> None:
        """A click goes on to the next choice."""
        self.action_step(1)

    def on_key(self, event: events.Key) -> None:
        """A first letter picks a choice."""
        at = self._picked(event.character)
        if at is not None:
            event.stop()
            self.value = self.choices[at]

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """Letters that pick a choice are the field's."""
        return self._picked(character) is not None

    def _picked(self, character: str | None) -> int | None:
        """The first choice whose name begins with this letter."""
        if character is None or not character.isalpha():
            return None
        letter = character.lower()
        return next((i for i, name in enumerate(self.names) if name.startswith(letter)), None)
