"""What all dialogs share: a framed box over a dimmed screen, left with escape."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Button

Answer = TypeVar("Answer")

MOVES = "↑ ↓ move · enter chooses"
LEAVES = "esc leaves"
"""Keys, as the line below a dialog says them."""


class Dialog(ModalScreen[Answer], Generic[Answer]):
    """A question in a box; None is the answer of whoever leaves it."""

    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-short"), (24, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="dialog.cancel", tooltip="Leave without deciding"),
    ]

    _answered = False

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Answer once.  A key that was pressed twice before the dialog had gone would else answer
        twice, and take away the screen below.
        """
        if self._answered:
            return AwaitComplete()
        self._answered = True
        return super().dismiss(result)

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)


def buttons(*named: tuple[str, str]) -> Horizontal:
    """A row of buttons (id, label), the first one the proposed answer."""
    return Horizontal(
        *(
            Button(label, id=name, compact=True, variant="primary" if index == 0 else "default")
            for index, (name, label) in enumerate(named)
        ),
        classes="buttons",
    )
