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
from ...engine.executors.latency import missing
from ...sessions.choices import FINAL_EPOCHS, IMAGES, MOST_SEEDS, Images
from ..deliveries import looking, plan
from ..networks import network_line
from ..widgets.fields import Cycle
from ..widgets.latest import Latest, or_why
from .base import LEAVES, Dialog, buttons

if TYPE_CHECKING:
    from ...sessions.records import DataSummary, Trial
    from ...sessions.snapshot import Snapshot


ONNX_FORMS = {
    "no": (False, False, False),
    "yes": (True, False, False),
    "with int8": (True, True, False),
    "int8 at any loss": (True, True, True),
}
"""Of each choice: whether ONNX is written, whether in eight bits, and however much those lose."""


@dataclass(frozen=True)
class Final:
    """What was asked for."""

    trial: int
    epochs: int
    folder: Path
    images: Images
    seeds: int
    onnx: bool
    int8: bool = False
    accept_loss: bool = False


class FinalDialog(Dialog[Final]):
    """What would be trained, in words with numbers; checked before anything is."""

    def __init__(
        self,
        snapshot: Snapshot,
        trial: Trial,
        folder: Callable[[int], Path],
        why: str,
        count: Callable[[], DataSummary],
    ) -> None:
        """folder: that is proposed for a trial.  why: why it is this network.  count: what images
        there are; it may read for a while.
        """
        super().__init__()
        self.snapshot, self.trial, self.folder, self.why = snapshot, trial, folder, why
        self._proposed = str(folder(trial.number))
        self._count = count
        self._all: DataSummary | None = None
        self._counting: Latest[DataSummary | str] = Latest(self, self._counted)

    def compose(self) -> ComposeResult:
        """The words, the fields and the buttons."""
        session = self.snapshot.session
        with Vertical(classes="dialog") as box:
            box.border_title = "Train to the end"
            box.border_subtitle = f"tab next · enter trains · {LEAVES}"
            yield Static(self.why, classes="hint", markup=False)
            yield Static(id="plan", markup=False)
            with Horizontal(classes="line"):
                yield Label("trial", classes="name")
                yield Input(str(self.trial.number), id="trial", compact=True, classes="short")
                yield Label("the front's: lcsearch train --front", classes="hint")
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
                yield Cycle(list(ONNX_FORMS), "no", id="onnx")
                needs = "needs lcsearch[onnx], not installed here" if missing("onnx") else ""
                yield Label(needs, classes="hint", markup=False)
            yield Label("Folder")
            yield Input(self._proposed, id="folder", compact=True)
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
        trial, session = self._trial(), self.snapshot.session
        there = session.summary if images == "session" else self._all
        told = "Counting the images…"
        if there is not None and epochs and seeds and trial is not None:
            told = plan(self.snapshot, trial, images, there, epochs, seeds)
            told = f"trial {trial.number}: {network_line(trial.config)}\n{told}"
            told += f" {looking(self.snapshot.scored)}"
        elif there is not None:
            told = ""
        self.query_one("#plan", Static).update(told)

    @on(Input.Changed, "#trial")
    def _another(self) -> None:
        """The folder that is proposed goes with the trial, unless another was named."""
        trial, folder = self._trial(), self.query_one("#folder", Input)
        if trial is not None and folder.value == self._proposed:
            self._proposed = folder.value = str(self.folder(trial.number))

    def _trial(self) -> Trial | None:
        """The one whose network is trained; None where there is no such."""
        text = self.query_one("#trial", Input).value.strip()
        known = text.isdecimal() and int(text) < len(self.snapshot.trials)
        return self.snapshot.trials[int(text)] if known else None

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
        trial, problem, folder = self._trial(), "", Path(text)
        if trial is None:
            given = self.query_one("#trial", Input).value.strip()
            problem = f"trial = {given}: this session has 0 to {len(self.snapshot.trials) - 1}."
        elif epochs is None:
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
        if problem or trial is None or epochs is None or seeds is None:
            self.query_one("#problem", Label).update(problem)
            return
        images: Images = self.query_one("#images", Cycle).value
        forms = ONNX_FORMS[self.query_one("#onnx", Cycle).value]
        self.dismiss(Final(trial.number, epochs, folder, images, seeds, *forms))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Train nothing."""
        self.dismiss(None)
