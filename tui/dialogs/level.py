"""Choose a level to open again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from .. import format as words
from .base import LEAVES, MOVES, Dialog
from .choice import Choice, Choices

if TYPE_CHECKING:
    from ...engine.search.standing import LevelStanding


class LevelDialog(Dialog[int]):
    """The levels that were reached, in the order given."""

    def __init__(self, levels: Sequence[LevelStanding], names: Sequence[str]) -> None:
        super().__init__()
        self.levels = levels
        self.names = names

    def compose(self) -> ComposeResult:
        """One line a level."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Open a level again"
            box.border_subtitle = f"{MOVES} · {LEAVES}"
            yield Static(
                "All that was learnt is kept; the later levels stand at the best network.",
                classes="hint",
            )
            yield Choices(
                [
                    Choice(
                        str(standing.level),
                        str(standing.level),
                        words.level_label(standing.level, self.names),
                        self._about(standing),
                    )
                    for standing in self.levels
                ],
                id="choices",
            )

    def _about(self, standing: LevelStanding) -> str:
        told = words.plural(standing.trials, "trial")
        return f"{told} · from another trial" if standing.state == "current" else told

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(int(str(event.option_id)))
