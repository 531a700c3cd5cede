"""Choose what proposes the next networks."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from .base import LEAVES, MOVES, Dialog
from .choice import Choice, Choices

STRATEGIES = (
    Choice("gp", "g", "gp", "Gaussian processes and expected improvement, with a belief"),
    Choice("evolution", "e", "evolution", "aging evolution: mutants of the best of the youngest"),
    Choice("annealing", "a", "annealing", "neighbours of where a cooling walk stands"),
    Choice("random", "r", "random", "any network of the level"),
)


class StrategyDialog(Dialog[str]):
    """The model, or one of the searches that do without."""

    def __init__(self, present: str) -> None:
        super().__init__()
        self.present = present

    def compose(self) -> ComposeResult:
        """One line a strategy, the cursor on the present one."""
        with Vertical(classes="dialog wide") as box:
            box.border_title = f"Strategy · now {self.present}"
            box.border_subtitle = f"{MOVES} · {LEAVES}"
            yield Static(
                "Nothing is trained again, and nothing that was learnt is lost. Without gp there "
                "is no μ, σ or EI. u undoes it.",
                classes="hint",
            )
            yield Choices(STRATEGIES, id="choices")

    def on_mount(self) -> None:
        """The cursor stands on what is so now."""
        names = [choice.name for choice in STRATEGIES]
        self.query_one(Choices).highlighted = names.index(self.present)

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(str(event.option_id))
