"""Choose one of the trials: the network to carry forward, or the one to repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Button, Static

from ...engine.search.standing import objective
from .. import format as words
from ..networks import network_line
from ..widgets.table import Column, Row, Table
from .base import LEAVES, MOVES, Dialog, buttons

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...engine.search.standing import Recommendation
    from ...sessions.records import Trial
    from ...sessions.snapshot import Snapshot


class TrialDialog(Dialog[int]):
    """The measured trials, the best by posterior mean first; one of them is the answer."""

    def __init__(
        self,
        title: str,
        hint: str,
        trials: Sequence[Trial],
        snapshot: Snapshot,
        ranking: Ranking | None,
        *,
        best: Recommendation,
        button: str,
    ) -> None:
        """best: the network recommended, which the cursor stands on first."""
        super().__init__()
        self.dialog_title = title
        self.hint = hint
        self.trials = trials
        self.snapshot = snapshot
        self.ranking = ranking
        self.best = best
        self.button = button

    def compose(self) -> ComposeResult:
        """The hint, the trials, the buttons."""
        with Vertical(classes="dialog wide") as box:
            box.border_title = self.dialog_title
            box.border_subtitle = f"{MOVES} · {LEAVES}"
            yield Static(self.hint, classes="hint", markup=False)
            heading = words.metric(self.snapshot.session).heading
            columns = (
                Column("number", "trial", 5, "right"),
                Column("network", "network", 0),
                Column("f", "f", 6, "right"),
                Column("belief", "μ ± σ", 13, "right"),
                Column("accuracy", heading, 5, "right"),
                Column("note", "", 9),
            )
            yield Table(columns, id="trials")
            yield buttons(("yes", self.button), ("no", "Cancel"))

    def on_mount(self) -> None:
        """The best first, the cursor on the proposed one."""
        wc = self.snapshot.session.wc
        measured = {t.number: objective(t, wc) for t in self.trials}
        luckiest = min(measured, key=lambda number: (measured[number] or 0.0, number))
        beliefs = {t.number: self._belief(t.number) for t in self.trials}

        def order(trial: Trial) -> tuple[float, int]:
            belief, value = beliefs[trial.number], measured[trial.number]
            return (belief[0] if belief is not None else value or 0.0), trial.number

        rows = []
        for trial in sorted(self.trials, key=order):
            belief = beliefs[trial.number]
            note = []
            if trial.number == self.best.number and self.best.belief is not None:
                note.append("best μ")
            if trial.number == luckiest:
                note.append("lowest f")
            rows.append(
                Row(
                    str(trial.number),
                    (
                        str(trial.number),
                        network_line(trial.config),
                        words.f_measured(measured[trial.number]),
                        words.belief(*belief) if belief else words.DASH,
                        words.percent(None if trial.error is None else 1 - trial.error),
                        ", ".join(note) if len(note) < 2 else "best",
                    ),
                )
            )
        table = self.query_one(Table)
        table.show(rows)
        table.move_to(str(self.best.number))
        table.focus()

    def _belief(self, number: int) -> tuple[float, float] | None:
        if self.ranking is None or self.ranking.incumbent is None:
            return None
        if self.snapshot.session.strategy != "gp":
            # measured, not believed
            return None
        try:
            return self.ranking.posterior(number, self.snapshot.session.wc)
        except KeyError:
            # measured after this ranking was made
            return None

    @on(Table.Selected)
    def selected(self, message: Table.Selected) -> None:
        """Answer with the trial that was chosen."""
        self.dismiss(int(message.key))

    @on(Button.Pressed, "#yes")
    def choose(self) -> None:
        """Answer with the trial under the cursor."""
        key = self.query_one(Table).cursor_key
        self.dismiss(None if key is None else int(key))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
