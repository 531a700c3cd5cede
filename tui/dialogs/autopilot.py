"""Hand the wheel to the engine, for so many trials or so long."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label, Static

from ...engine.search.decide import MOST_MINUTES, MOST_TRIALS
from .. import format as words
from ..widgets.fields import Cycle
from .base import LEAVES, Dialog, buttons

if TYPE_CHECKING:
    from ...sessions.records import Levels


@dataclass(frozen=True)
class Flight:
    """How long the engine decides by itself."""

    trials: int | None
    minutes: float | None
    levels: Levels
    until_flat: bool


class AutopilotDialog(Dialog[Flight]):
    """Trials, or minutes, or whichever is used up first."""

    def __init__(
        self,
        trials: int,
        seconds: Callable[[Flight], float | None],
        *,
        model: bool = True,
    ) -> None:
        """trials: left of the level's budget.  seconds: that a flight would take, None if unknown.
        model: whether there is one to call it flat.
        """
        super().__init__()
        self.seconds = seconds
        self.trials = trials
        self.model = model

    def compose(self) -> ComposeResult:
        """Two numbers and two choices."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Autopilot"
            box.border_subtitle = f"tab next · enter hands over · {LEAVES}"
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
                    ("this", "all", "round"),
                    "this",
                    names=("this level", "all, to the last", "all, then 1 again"),
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
            yield Label("", id="estimate", classes="hint")
            yield Label("", id="problem", classes="problem", markup=False)
            yield buttons(("yes", "Hand over"), ("no", "Cancel"))

    def on_mount(self) -> None:
        """How long the flight would take that is proposed."""
        self._estimate()

    @on(Input.Changed)
    @on(Cycle.Changed)
    def _estimate(self) -> None:
        flight = self._read()
        seconds = None if isinstance(flight, str) else self.seconds(flight)
        told = "" if seconds is None else f"{words.about(seconds)}, by the pace so far"
        if seconds is None and not isinstance(flight, str):
            told = "how long it takes is not known before a trial was trained"
        self.query_one("#estimate", Label).update(told)

    def _read(self) -> Flight | str:
        """What is asked for, or what is wrong with it."""
        trials_text = self.query_one("#trials", Input).value.strip()
        minutes_text = self.query_one("#minutes", Input).value.strip()
        trials: int | None = None
        minutes: float | None = None
        if trials_text:
            if not re.fullmatch(r"\d{1,6}", trials_text) or not 0 < int(trials_text) <= MOST_TRIALS:
                return (
                    f"trials = {trials_text}: must be a whole number, 1 to {MOST_TRIALS:,}, or "
                    "empty."
                )
            trials = int(trials_text)
        if minutes_text:
            try:
                minutes = float(minutes_text)
            except ValueError:
                minutes = -1.0
            if not 0 < minutes <= MOST_MINUTES:
                return (
                    f"minutes = {minutes_text}: must be above 0, at most {MOST_MINUTES:,}, or "
                    "empty."
                )
        if trials is None and minutes is None:
            return "Give trials, minutes or both."
        levels = self.query_one("#levels", Cycle).value
        until_flat = bool(self.query_one("#until-flat", Cycle).value) if self.model else False
        return Flight(trials, minutes, levels, until_flat)

    @on(Input.Submitted)
    @on(Cycle.Submitted)
    @on(Button.Pressed, "#yes")
    def fly(self) -> None:
        """Answer, or say what is wrong."""
        flight = self._read()
        if isinstance(flight, str):
            self.query_one("#problem", Label).update(flight)
        else:
            self.dismiss(flight)

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Keep the wheel."""
        self.dismiss(None)
