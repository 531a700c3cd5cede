"""Stop, pause, withdraw or resume a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Label, OptionList

from ..deliveries import state
from ..networks import trial_line
from .base import LEAVES, MOVES, Dialog
from .choice import Choice, Choices

if TYPE_CHECKING:
    from ...sessions.records import Delivery, Session, Trial


FINAL = "final:"


@dataclass(frozen=True)
class StopChoice:
    """What is to happen to a trial, or to a final training, and the words for the toast."""

    number: int
    mode: Literal["epoch", "now", "pause"]
    words: str
    reason: str = ""
    final: bool = False


@dataclass(frozen=True)
class ResumeChoice:
    """A paused trial, or a final training, goes on."""

    number: int
    final: bool = False


class StopDialog(Dialog[StopChoice | ResumeChoice]):
    """Every open trial with what can be done to it; a selected one comes first."""

    def __init__(
        self,
        trials: Sequence[Trial],
        session: Session,
        selected: Trial | None,
        finals: Sequence[Delivery] = (),
    ) -> None:
        """finals: the final trainings that are open, which come after the trials."""
        super().__init__()
        self.finals = finals
        order = {"running": 0, "paused": 1, "queued": 2, "interrupted": 2}
        first = selected.number if selected is not None else -1
        self.trials = sorted(trials, key=lambda t: (t.number != first, order[t.state], t.number))
        self.session = session

    def compose(self) -> ComposeResult:
        """The choices, and a reason."""
        choices: list[Choice] = []
        for place, trial in enumerate(self.trials):
            choices += _choices(trial, self.session, letters=place == 0)
        for place, delivery in enumerate(self.finals):
            choices += _final_choices(
                delivery, self.session, letters=place == 0 and not self.trials
            )
        with Vertical(classes="dialog") as box:
            box.border_title = "Stop"
            reasoned = " · tab reason" if self.trials else ""
            box.border_subtitle = f"{MOVES}{reasoned} · {LEAVES}"
            yield Choices(choices, id="choices")
            if self.trials:  # a final training is no trial: nothing is kept of a decision on it
                of = " on a trial" if self.finals else ""
                yield Label(f"Reason (kept with the decision{of})")
                yield Input(id="reason", compact=True, placeholder="none given")

    @on(Input.Submitted, "#reason")
    def reason_given(self) -> None:
        """Enter chooses here, too."""
        self.query_one(Choices).action_select()

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        mode, _, number = str(event.option_id).partition("-")
        final = mode.startswith(FINAL)
        mode, at = mode.removeprefix(FINAL), int(number)
        if mode == "resume":
            self.dismiss(ResumeChoice(at, final))
            return
        reason = "" if final else self.query_one("#reason", Input).value.strip()
        what = f"Final training {at}" if final else f"Trial {at}"
        told = {
            "epoch": f"{what} stops after this epoch.",
            "now": f"{what} stops.",
            "pause": f"{what} pauses at its checkpoint. s resumes it.",
            "withdraw": f"{what} is withdrawn.",
        }
        chosen: Literal["epoch", "now", "pause"] = (
            "pause" if mode == "pause" else "epoch" if mode == "epoch" else "now"
        )
        self.dismiss(StopChoice(at, chosen, told[mode], reason, final))


def _final_choices(delivery: Delivery, session: Session, *, letters: bool) -> list[Choice]:
    """What can be done to a final training."""
    number = delivery.number

    def choice(mode: str, letter: str, text: str, hint: str = "") -> Choice:
        return Choice(f"{FINAL}{mode}-{number}", letter if letters else "", text, hint)

    title = f"Final training {number} · trial {delivery.trial} · {state(delivery, session)}"
    heading = Choice("", "", title)
    if delivery.state == "paused":
        return [heading, choice("resume", "r", "Resume"), choice("now", "n", "End for good")]
    if delivery.state != "running":
        return [heading, choice("withdraw", "w", "Withdraw"), choice("pause", "p", "Pause")]
    return [
        heading,
        choice("pause", "p", "Pause", "s resumes it"),
        choice("now", "n", "Now", "nothing is written"),
    ]


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
