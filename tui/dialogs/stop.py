"""Stop, pause, withdraw or resume a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Label, OptionList

from ..networks import trial_line
from .base import LEAVES, MOVES, Dialog
from .choice import Choice, Choices

if TYPE_CHECKING:
    from ...sessions.records import Session, Trial


@dataclass(frozen=True)
class StopChoice:
    """What is to happen to a trial, and the words for the toast."""

    number: int
    mode: Literal["epoch", "now", "pause"]
    words: str
    reason: str = ""


@dataclass(frozen=True)
class ResumeChoice:
    """A paused trial goes on."""

    number: int


class StopDialog(Dialog[StopChoice | ResumeChoice]):
    """Every open trial with what can be done to it; a selected one comes first."""

    def __init__(self, trials: Sequence[Trial], session: Session, selected: Trial | None) -> None:
        super().__init__()
        order = {"running": 0, "paused": 1, "queued": 2, "interrupted": 2}
        first = selected.number if selected is not None else -1
        self.trials = sorted(trials, key=lambda t: (t.number != first, order[t.state], t.number))
        self.session = session

    def compose(self) -> ComposeResult:
        """The choices, and a reason."""
        choices: list[Choice] = []
        for place, trial in enumerate(self.trials):
            choices += _choices(trial, self.session, letters=place == 0)
        with Vertical(classes="dialog") as box:
            box.border_title = "Stop"
            box.border_subtitle = f"{MOVES} · tab reason · {LEAVES}"
            yield Choices(choices, id="choices")
            yield Label("Reason (kept with the decision)")
            yield Input(id="reason", compact=True, placeholder="none given")

    @on(Input.Submitted, "#reason")
    def reason_given(self) -> None:
        """Enter chooses here, too."""
        self.query_one(Choices).action_select()

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        mode, _, number = str(event.option_id).partition("-")
        at = int(number)
        if mode == "resume":
            self.dismiss(ResumeChoice(at))
            return
        reason = self.query_one("#reason", Input).value.strip()
        told = {
            "epoch": f"Trial {at} stops after this epoch.",
            "now": f"Trial {at} stops.",
            "pause": f"Trial {at} pauses at its checkpoint. s resumes it.",
            "withdraw": f"Trial {at} is withdrawn.",
        }
        chosen: Literal["epoch", "now", "pause"] = (
            "pause" if mode == "pause" else "epoch" if mode == "epoch" else "now"
        )
        self.dismiss(StopChoice(at, chosen, told[mode], reason))


def _choices(trial: Trial, session: Session, *, letters: bool) -> list[Choice]:
    """What can be done to a trial, under a heading that says which network it is."""
    number, network = trial.number, trial_line(trial, session)

    def choice(mode: str, letter: str, text: str, hint: str = "") -> Choice:
        return Choice(f"{mode}-{number}", letter if letters else "", text, hint)

    if trial.state not in ("running", "paused"):
        return [choice("withdraw", "w", f"Withdraw trial {number}", network)]
    at = f"epoch {len(trial.epochs)}/{session.epochs}"
    heading = Choice("", "", f"Trial {number} · {at} · {network}")
    if trial.state == "running":
        return [
            heading,
            choice("epoch", "e", "After this epoch"),
            choice("now", "n", "Now", "it is no observation"),
            choice("pause", "p", "Pause", "s resumes it"),
        ]
    return [heading, choice("resume", "r", "Resume"), choice("now", "n", "End for good")]
