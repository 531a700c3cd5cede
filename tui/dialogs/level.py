"""Choose an earlier level."""

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
    from ...engine.search import LevelStanding


class LevelDialog(Dialog[int]):
    """The levels that were searched before the present one."""

    def __init__(self, levels: Sequence[LevelStanding], names: Sequence[str]) -> None:
        super().__init__()
        self.levels = levels
        self.names = names

    def compose(self) -> ComposeResult:
        """One line a level."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Open an earlier level"
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
                        words.plural(standing.trials, "trial"),
                    )
                    for standing in reversed(self.levels)
                ],
                id="choices",
            )

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(int(str(event.option_id)))
