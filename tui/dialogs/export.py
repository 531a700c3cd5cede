"""Where an export goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Button, Input, Label, Static

from .base import LEAVES, Dialog, buttons

if TYPE_CHECKING:
    from ..ports import Client


class ExportDialog(Dialog[Path]):
    """A path, checked before anything is written."""

    def __init__(self, title: str, hint: str, path: Path, endings: tuple[str, ...] = ()) -> None:
        """endings: what the file's name must end with, one of them; anything if there are none."""
        super().__init__()
        self.path = path
        self._words = title, hint
        self._endings = endings
        self._confirmed: Path | None = None

    def compose(self) -> ComposeResult:
        """The path and the buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._words[0]
            box.border_subtitle = f"enter writes · {LEAVES}"
            yield Static(self._words[1], classes="hint")
            yield Label("File")
            yield Input(str(self.path), id="path", compact=True)
            yield Label("", id="problem", classes="problem", markup=False)
            yield buttons(("yes", "Export"), ("no", "Cancel"))

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def export(self) -> None:
        """Answer, or say what is wrong; an existing file is asked about once."""
        text = self.query_one("#path", Input).value.strip()
        path = Path(text).expanduser()
        problem = ""
        if not text:
            problem = "Give a file."
        elif path.is_dir():
            problem = f"{path}: is a folder. Give a file in it."
        elif not path.parent.is_dir():
            problem = f"{path.parent}: no such folder."
        elif self._endings and path.suffix.lower() not in self._endings:
            problem = f"{path.name}: end it with {', '.join(self._endings)}."
        elif path.exists() and path != self._confirmed:
            self._confirmed = path
            problem = f"{path.name} exists. Enter again writes over it."
        if problem:
            self.query_one("#problem", Label).update(problem)
            return
        self.dismiss(path)

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Write nothing."""
        self.dismiss(None)


def export_of(session: str) -> ExportDialog:
    """Where a session is to be written, and as what."""
    return ExportDialog(
        f"Export {session}",
        "FILE.json: session, space, every trial with its epochs, every decision, to be imported "
        "again. FILE.html: a page to share.",
        Path.cwd() / f"{session}.json",
        (".json", ".html", ".htm"),
    )


def write(client: Client, path: Path) -> None:
    """Write a session as what the file's ending says (ranks once).  Raises StoreError."""
    from ..sharing import report

    if path.suffix.lower() in report.ENDINGS:
        from ..sharing.page import page_of

        report.write(page_of(client), path)
    else:
        client.export(path)
