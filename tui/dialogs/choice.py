"""A list of answers, each with a letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option


@dataclass(frozen=True)
class Choice:
    """One answer: what it is called inside, its letter, and what it says.

    name: empty for a heading, which cannot be chosen.
    """

    name: str
    letter: str
    text: str
    hint: str = ""


class Choices(OptionList):
    """Choices under a cursor; j and k move, a letter chooses at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False, id="choice.down", tooltip="Next"),
        Binding("k", "cursor_up", "Up", show=False, id="choice.up", tooltip="Before"),
    ]

    def __init__(self, choices: Sequence[Choice], *, id: str | None = None) -> None:
        self.choices = tuple(choices)
        wide = max(len(choice.text) for choice in choices if choice.name)
        super().__init__(*(_option(choice, wide) for choice in choices), id=id, compact=True)

    def on_key(self, event: events.Key) -> None:
        """A letter chooses."""
        for index, choice in enumerate(self.choices):
            if choice.letter and event.character == choice.letter:
                event.stop()
                self.highlighted = index
                self.action_select()
                return


def _option(choice: Choice, wide: int) -> Option:
    """A line of the list.  wide: characters that the texts stand in, so that hints are aligned."""
    if not choice.name:
        return Option(Content(choice.text), disabled=True)
    return Option(
        Content.assemble(
            (f" {choice.letter or ' '} ", "bold $primary"),
            f" {choice.text.ljust(wide)}",
            (f"   {choice.hint}", "$foreground 60%"),
        ),
        id=choice.name,
    )
