"""Which exported file to import, and under which name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Button, Input, Label, Static

from .base import LEAVES, Dialog, buttons


@dataclass(frozen=True)
class Exported:
    """A file, and the name that its session is to have; None: its own."""

    file: Path
    name: str | None


class ImportDialog(Dialog[Exported]):
    """A file and a name, the file looked for before the dialog goes."""

    def __init__(self, start: Path) -> None:
        super().__init__()
        self._start = start

    def compose(self) -> ComposeResult:
        """The file, the name, the buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Import a session"
            box.border_subtitle = f"tab next · enter imports · {LEAVES}"
            yield Static(
                "A file that o or `lcsearch export` wrote. It is checked, and nothing in it trains "
                "before you say so.",
                classes="hint",
            )
            yield Label("File")
            yield Input(f"{self._start}/", id="path", compact=True)
            yield Label("Name (its own if empty)")
            yield Input(id="name", compact=True)
            yield Label("", id="problem", classes="problem", markup=False)
            yield buttons(("yes", "Import"), ("no", "Cancel"))

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def bring_back(self) -> None:
        """Answer, or say what is wrong."""
        path = Path(self.query_one("#path", Input).value.strip()).expanduser()
        if not path.is_file():
            self.query_one("#problem", Label).update(f"{path}: no such file.")
            return
        self.dismiss(Exported(path, self.query_one("#name", Input).value.strip() or None))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Import nothing."""
        self.dismiss(None)
