"""Hand the wheel to the engine, for so many trials or so long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from ..widgets.fields import Cycle
from .base import Dialog, buttons


@dataclass(frozen=True)
class Flight:
    """How long the engine decides by itself."""

    trials: int | None
    minutes: float | None
    levels: Literal["this", "all"]
    until_flat: bool


class AutopilotDialog(Dialog[Flight]):
    """Trials, or minutes, or whichever is used up first."""

    def __init__(self, trials: int, *, model: bool = True) -> None:
        """trials: left of the level's budget.  model: whether there is one to call it flat."""
        super().__init__()
        self.trials = trials
        self.model = model

    def compose(self) -> ComposeResult:
        """Two numbers and two choices."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Autopilot"
            yield Static(
                "The engine accepts the best candidate by itself. p again, or any decision of "
                "yours, takes the wheel back.",
                classes="hint",
            )
            with Horizontal(classes="line"):
                yield Label("trials", classes="name")
                yield Input(str(self.trials), id="trials", compact=True, classes="short")
                yield Label("a level; empty: no limit", classes="hint")
            with Horizontal(classes="line"):
                yield Label("minutes", classes="name")
                yield Input(id="minutes", compact=True, classes="short", placeholder="–")
                yield Label("whichever is used up first", classes="hint")
            with Horizontal(classes="line"):
                yield Label("levels", classes="name")
                yield Cycle(
                    ("this", "all"),
                    "this",
                    names=("this level", "all, going on by itself"),
                    id="levels",
                )
                yield Label("space changes it", classes="hint")
            if self.model:
                with Horizontal(classes="line"):
                    yield Label("until flat", classes="name")
                    yield Cycle(
                        (False, True), False, names=("no", "yes, if not before"), id="until-flat"
                    )
                yield Static(
                    "Flat: no more can be gained in a level than the noise of a measurement.",
                    classes="hint",
                )
            yield Label("", id="problem", classes="problem", markup=False)
            yield buttons(("yes", "Hand over"), ("no", "Cancel"))

    @on(Input.Submitted)
    @on(Cycle.Submitted)
    @on(Button.Pressed, "#yes")
    def fly(self) -> None:
        """Answer, or say what is wrong."""
        trials_text = self.query_one("#trials", Input).value.strip()
        minutes_text = self.query_one("#minutes", Input).value.strip()
        problem = ""
        trials: int | None = None
        minutes: float | None = None
        if trials_text:
            if trials_text.isdecimal() and int(trials_text) > 0:
                trials = int(trials_text)
            else:
                problem = f"trials = {trials_text}: must be a whole number above 0, or empty."
        if minutes_text and not problem:
            try:
                minutes = float(minutes_text)
            except ValueError:
                minutes = -1.0
            if not 0 < minutes < 1e6:
                problem = f"minutes = {minutes_text}: must be a number above 0, or empty."
        if not problem and trials is None and minutes is None:
            problem = "Give trials, minutes or both."
        if problem:
            self.query_one("#problem", Label).update(problem)
            return
        levels = self.query_one("#levels", Cycle).value
        until_flat = bool(self.query_one("#until-flat", Cycle).value) if self.model else False
        self.dismiss(Flight(trials, minutes, levels, until_flat))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Keep the wheel."""
        self.dismiss(None)
