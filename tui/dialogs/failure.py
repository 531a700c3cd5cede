"""What went wrong, in words that can be copied."""

from __future__ import annotations

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
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.failure_title = title
        self.text = text

    def compose(self) -> ComposeResult:
        """Title, text, buttons."""
        with Vertical(classes="dialog failing") as box:
            box.border_title = f"✗ {self.failure_title}"
            box.border_subtitle = f"c copies · {LEAVES}"
            yield TextArea(self.text, read_only=True, soft_wrap=True, id="text", compact=True)
            yield buttons(("close", "Close"), ("copy", "Copy (c)"))

    def on_mount(self) -> None:
        """The text can be selected at once; enter closes."""
        self.query_one("#close").focus()

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Copy the text."""
        self.app.copy_to_clipboard(self.text)
        self.notify("Copied.")

    @on(Button.Pressed, "#close")
    def action_cancel(self) -> None:
        """Go on."""
        self.dismiss(None)
