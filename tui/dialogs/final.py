"""Train the network found to the end: on what, for how long, and where it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from ...engine.executors.final import FinalError, usable, usual_images
from ...sessions.choices import FINAL_EPOCHS, IMAGES, MOST_SEEDS, Images
from ..deliveries import looking, plan
from ..networks import network_line
from ..widgets.fields import Cycle
from ..widgets.latest import Latest, or_why
from .base import LEAVES, Dialog, buttons

if TYPE_CHECKING:
    from ...sessions.records import DataSummary, Trial
    from ...sessions.snapshot import Snapshot


@dataclass(frozen=True)
class Final:
    """What was asked for."""

    epochs: int
    folder: Path
    images: Images
    seeds: int
    onnx: bool


class FinalDialog(Dialog[Final]):
    """What would be trained, in words with numbers; checked before anything is."""

    def __init__(
        self,
        snapshot: Snapshot,
        trial: Trial,
        folder: Path,
        why: str,
        count: Callable[[], DataSummary],
    ) -> None:
        """why: why it is this network.  count: what images there are; it may read for a while."""
        super().__init__()
        self.snapshot, self.trial, self.folder, self.why = snapshot, trial, folder, why
        self._count = count
        self._all: DataSummary | None = None
        self._counting: Latest[DataSummary | str] = Latest(self, self._counted)

    def compose(self) -> ComposeResult:
        """The words, the fields and the buttons."""
        session = self.snapshot.session
        with Vertical(classes="dialog") as box:
            box.border_title = f"Train trial {self.trial.number} to the end"
            box.border_subtitle = f"tab next · enter trains · {LEAVES}"
            yield Static(self.why, classes="hint", markup=False)
            yield Static(id="plan", markup=False)
            with Horizontal(classes="line"):
                yield Label("images", classes="name")
                yield Cycle(IMAGES, usual_images(session), id="images")
                yield Label("all, or the session's own", classes="hint")
            with Horizontal(classes="line"):
                yield Label("epochs", classes="name")
                yield Input(str(FINAL_EPOCHS), id="epochs", compact=True, classes="short")
            with Horizontal(classes="line"):
                yield Label("seeds", classes="name")
                yield Input("1", id="seeds", compact=True, classes="short")
                yield Label("more say how far chance moves it", classes="hint")
            with Horizontal(classes="line"):
                yield Label("ONNX too", classes="name")
                yield Cycle((False, True), False, id="onnx")
                yield Label("needs lcsearch[onnx]", classes="hint", markup=False)
            yield Label("Folder")
            yield Input(str(self.folder), id="folder", compact=True)
            yield Label("", id="problem", classes="problem", markup=False)
            yield buttons(("yes", "Train it"), ("no", "Cancel"))

    def on_mount(self) -> None:
        """What it would be, and how many images there are."""
        self._tell()
        self._counting.ask(lambda: or_why(self._count))

    def _counted(self, found: DataSummary | str) -> None:
        if not self.is_mounted:
            return
        if isinstance(found, str):
            self.query_one("#problem", Label).update(found)
        else:
            self._all = found
        self._tell()

    @on(Input.Changed)
    @on(Cycle.Changed)
    def _tell(self) -> None:
        """Say what would be trained, by what the fields hold now."""
        images: Images = self.query_one("#images", Cycle).value
        epochs, seeds = self._number("epochs"), self._number("seeds")
        session = self.snapshot.session
        there = session.summary if images == "session" else self._all
        told = "Counting the images…"
        if there is not None and epochs and seeds:
            told = plan(self.snapshot, self.trial, images, there, epochs, seeds)
            told = f"trial {self.trial.number}: {network_line(self.trial.config)}\n{told}"
            told += f" {looking(self.snapshot.scored)}"
        elif there is not None:
            told = ""
        self.query_one("#plan", Static).update(told)

    def _number(self, name: str) -> int | None:
        text = self.query_one(f"#{name}", Input).value.strip()
        return int(text) if text.isdecimal() and 0 < int(text) <= 100_000 else None

    @on(Input.Submitted)
    @on(Cycle.Submitted)
    @on(Button.Pressed, "#yes")
    def train(self) -> None:
        """Answer, or say what is wrong."""
        epochs, seeds = self._number("epochs"), self._number("seeds")
        text = self.query_one("#folder", Input).value.strip()
        problem, folder = "", Path(text)
        if epochs is None:
            given = self.query_one("#epochs", Input).value.strip()
            problem = f"epochs = {given}: must be a whole number, 1 to 100,000."
        elif seeds is None or seeds > MOST_SEEDS:
            given = self.query_one("#seeds", Input).value.strip()
            problem = f"seeds = {given}: must be a whole number, 1 to {MOST_SEEDS}."
        elif not text:
            problem = "Give a folder."
        else:
            try:
                folder = usable(folder)
            except FinalError as error:
                problem = str(error)
        if problem or epochs is None or seeds is None:
            self.query_one("#problem", Label).update(problem)
            return
        images: Images = self.query_one("#images", Cycle).value
        onnx = self.query_one("#onnx", Cycle).value
        self.dismiss(Final(epochs, folder, images, seeds, onnx))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Train nothing."""
        self.dismiss(None)
