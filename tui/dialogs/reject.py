"""Reject a candidate, with the reason."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Button, Input, Label, Static

from .base import LEAVES, Dialog, buttons


class RejectDialog(Dialog[str]):
    """Asks why; the answer may be empty."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.network = network

    def compose(self) -> ComposeResult:
        """The network, the reason, the buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Reject"
            box.border_subtitle = f"enter rejects · {LEAVES}"
            yield Static(self.network, classes="quoted", markup=False)
            yield Static(
                "It and its near copies leave the ranking. u brings them back.", classes="hint"
            )
            yield Label("Reason (kept with the decision)")
            yield Input(id="reason", compact=True, placeholder="none given")
            yield buttons(("yes", "Reject"), ("no", "Cancel"))

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def reject(self) -> None:
        """Reject it."""
        self.dismiss(self.query_one("#reason", Input).value.strip())

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Keep it."""
        self.dismiss(None)
