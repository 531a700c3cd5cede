"""Leave while something trains: keep it training, or stop after this epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from .. import format as words
from .base import Dialog
from .choice import Choice, Choices

if TYPE_CHECKING:
    from ...sessions.records import Trial


class QuitDialog(Dialog[str]):
    """`keep`, `stop`, or nothing."""

    def __init__(
        self, trials: Sequence[Trial], final: int | None = None, left: float | None = None
    ) -> None:
        """final: the trial that is trained to the end, if any.  left: seconds until all is done."""
        super().__init__()
        self.left = left
        self.trials = trials
        self.final = final

    def compose(self) -> ComposeResult:
        """What is at work, and the three answers."""
        running = [trial for trial in self.trials if trial.state == "running"]
        waiting = len(self.trials) - len(running)
        parts = [f"trial {trial.number} trains" for trial in running]
        if len(parts) > 3:
            parts = [f"{len(parts)} trials train"]
        if waiting:
            parts.append(f"{words.plural(waiting, 'trial')} queued")
        with Vertical(classes="dialog") as box:
            box.border_title = "Quit"
            if parts:
                left = "" if self.left is None else f" About {words.duration(self.left)} left."
                yield Static(", ".join(parts).capitalize() + "." + left)
            if self.final is not None:
                yield Static(f"Trial {self.final} is trained to the end: leaving cancels that.")
            leave = [
                Choice("keep", "b", "Keep training in the background", "found again later"),
                Choice("stop", "s", "Stop after this epoch", "what is queued is withdrawn"),
            ]
            if not parts:
                leave = [Choice("keep", "l", "Leave", "nothing is written")]
            yield Choices([*leave, Choice("cancel", "c", "Cancel")], id="choices")

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        name = str(event.option_id)
        self.dismiss(None if name == "cancel" else name)
