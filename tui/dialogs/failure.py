"""What went wrong, in words that can be copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Button, TextArea

from .base import LEAVES, Dialog, buttons


class FailureDialog(Dialog[None]):
    """One failure: its title and its text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="failure.copy", tooltip="Copy the text"),
        Binding(
            "U",
            "restore",
            "Bring back",
            id="sessions.restore",
            tooltip="Bring the session deleted last back",
        ),
    ]

    def __init__(
        self,
        title: str,
        text: str,
        *,
        back: str = "",
        restore: Callable[[], object] | None = None,
    ) -> None:
        """restore: brings a session back that was deleted; back: the words of its button."""
        super().__init__()
        self.back = back
        self.bring_back = restore
        self.failure_title = title
        self.text = text

    def compose(self) -> ComposeResult:
        """Title, text, buttons."""
        with Vertical(classes="dialog failing") as box:
            box.border_title = f"✗ {self.failure_title}"
            box.border_subtitle = f"c copies · {LEAVES}"
            yield TextArea(self.text, read_only=True, soft_wrap=True, id="text", compact=True)
            back = [("restore", self.back)] if self.bring_back is not None else []
            yield buttons(("close", "Close"), ("copy", "Copy (c)"), *back)

    def on_mount(self) -> None:
        """The text can be selected at once; enter closes."""
        self.query_one("#close").focus()

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Copy the text."""
        self.app.copy_to_clipboard(self.text)
        self.notify("Copied.")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A session is brought back where one was deleted."""
        return action != "restore" or self.bring_back is not None

    @on(Button.Pressed, "#restore")
    def action_restore(self) -> None:
        """Bring the session back."""
        self.dismiss(None)
        if self.bring_back is not None:
            self.bring_back()

    @on(Button.Pressed, "#close")
    def action_cancel(self) -> None:
        """Go on."""
        self.dismiss(None)
