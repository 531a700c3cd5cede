"""Train the network found to the end: for how long, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from ...engine.executors.final import EPOCHS, FinalError, usable
from ...engine.protocol import trained_on
from ...sessions.records import DataSummary
from ..widgets.fields import Cycle
from .base import LEAVES, Dialog, buttons


@dataclass(frozen=True)
class Final:
    """What was asked for."""

    epochs: int
    folder: Path
    onnx: bool


class FinalDialog(Dialog[Final]):
    """Epochs and a folder, checked before anything is trained."""

    def __init__(self, trial: int, folder: Path, images: DataSummary) -> None:
        super().__init__()
        self.trial = trial
        self.images = images
        self.folder = folder

    def compose(self) -> ComposeResult:
        """The fields and the buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = f"Train trial {self.trial} to the end"
            box.border_subtitle = f"tab next · enter trains · {LEAVES}"
            yield Static(
                f"Afresh, {trained_on(self.images)}. The folder gets weights, network.py (needs "
                "only torch) and the result.",
                classes="hint",
                markup=False,
            )
            with Horizontal(classes="line"):
                yield Label("epochs", classes="name")
                yield Input(str(EPOCHS), id="epochs", compact=True, classes="short")
            with Horizontal(classes="line"):
                yield Label("ONNX too", classes="name")
                yield Cycle((False, True), False, id="onnx")
                yield Label("needs lcsearch[onnx]", classes="hint", markup=False)
            yield Label("Folder")
            yield Input(str(self.folder), id="folder", compact=True)
            yield Label("", id="problem", classes="problem", markup=False)
            yield buttons(("yes", "Train it"), ("no", "Cancel"))

    @on(Input.Submitted)
    @on(Cycle.Submitted)
    @on(Button.Pressed, "#yes")
    def train(self) -> None:
        """Answer, or say what is wrong."""
        epochs = self.query_one("#epochs", Input).value.strip()
        text = self.query_one("#folder", Input).value.strip()
        problem, folder = "", Path(text)
        if not (epochs.isdecimal() and 0 < int(epochs) <= 100_000):
            problem = f"epochs = {epochs}: must be a whole number, 1 to 100,000."
        elif not text:
            problem = "Give a folder."
        else:
            try:
                folder = usable(folder)
            except FinalError as error:
                problem = str(error)
        if problem:
            self.query_one("#problem", Label).update(problem)
            return
        self.dismiss(Final(int(epochs), folder, self.query_one("#onnx", Cycle).value))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Train nothing."""
        self.dismiss(None)
