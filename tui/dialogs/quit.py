"""Leave while something trains: keep it training, or stop after this epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from .. import format as words
from ..deliveries import state
from ..networks import trial_line
from .base import LEAVES, MOVES, Dialog
from .choice import Choice, Choices

if TYPE_CHECKING:
    from ...sessions.records import Delivery, Session, Trial


MOST_NAMED = 3
"""Trials that are named one by one; a cluster may train dozens."""


class QuitDialog(Dialog[str]):
    """`keep`, `stop`, or nothing."""

    def __init__(
        self,
        trials: Sequence[Trial],
        session: Session | None,
        finals: Sequence[Delivery] = (),
        left: float | None = None,
    ) -> None:
        """trials, finals: those of `session` that train or wait.  left: seconds until all trials
        are done, None where that is not known.
        """
        super().__init__()
        self.session = session
        self.left = left
        self.trials = trials
        self.finals = finals

    def compose(self) -> ComposeResult:
        """What is at work, and the three answers."""
        running = [trial for trial in self.trials if trial.state == "running"]
        waiting = len(self.trials) - len(running)
        parts = [self._named(trial) for trial in running]
        if len(parts) > MOST_NAMED:
            parts = [f"{len(parts)} trials train."]
        if waiting:
            verb = "waits" if waiting == 1 else "wait"
            parts.append(f"{words.plural(waiting, 'trial')} {verb}.")
        with Vertical(classes="dialog") as box:
            box.border_title = "Quit"
            box.border_subtitle = f"{MOVES} · {LEAVES}"
            if parts:
                parts.append(f"{words.sentence(words.time_left(self.left))}.")
            assert self.session is not None
            parts += [
                f"Trial {one.trial} is trained to the end: {state(one, self.session)}."
                for one in self.finals[:MOST_NAMED]
            ]
            yield Static("\n".join(parts), markup=False)
            # one line at 80 columns
            hint = "what is queued is withdrawn"
            if self.finals:
                hint = "queue withdrawn, " * bool(self.trials) + "finals paused"
            leave = [
                Choice("keep", "b", "Keep training in the background", "found again later"),
                Choice("stop", "s", "Stop after this epoch", hint),
            ]
            yield Choices([*leave, Choice("cancel", "c", "Cancel")], id="choices")

    def _named(self, trial: Trial) -> str:
        assert self.session is not None
        return f"Trial {trial.number} trains: {trial_line(trial, self.session)}"

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        name = str(event.option_id)
        self.dismiss(None if name == "cancel" else name)
