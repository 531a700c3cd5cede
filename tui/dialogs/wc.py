"""The slider of w_c: how the ranking and the best network change with it, before it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from ...engine.search.standing import best_measured, objective
from ...sessions.records import is_weight
from .. import format as words
from ..networks import network_line
from ..widgets.keys import typed
from ..widgets.latest import Latest
from ..widgets.slider import Slider
from .base import Dialog, buttons
from .ranked import first_candidates

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...sessions.snapshot import Snapshot


KEYS = "←→ ↑↓ hl +- move · tab types · enter keeps · esc drops"
KEYS_TYPING = "↑↓ move · enter keeps · esc drops"


class WcDialog(Dialog[float]):
    """w_c, and what would be proposed and what would be best under it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,down", "move(-1)", "Less", show=False, id="wc.less", tooltip="Less"),
        Binding("l,up", "move(1)", "More", show=False, id="wc.more", tooltip="More"),
    ]

    def __init__(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.ranking = ranking
        self._rankings: Latest[Ranking] = Latest(self, self._ranked)

    def compose(self) -> ComposeResult:
        """The slider, the ranking, the buttons."""
        value = self.snapshot.session.wc
        with Vertical(classes="dialog wide") as box:
            box.border_title = "w_c · how much complexity counts"
            box.border_subtitle = KEYS
            yield Static(
                "0 looks for accuracy alone, ∞ (inf) for the cheapest within the limits. The "
                "ranking follows; nothing is trained again.",
                classes="hint",
            )
            with Horizontal(classes="line"):
                yield Label("w_c", classes="name")
                yield Input(words.number(value), id="value", compact=True, classes="short")
                yield Label("", id="problem", classes="problem")
            yield Slider(value, id="slider")
            yield Static(id="best", classes="gap")
            yield Static(id="ranked")
            yield buttons(("yes", "Keep"), ("no", "Cancel"))

    def on_mount(self) -> None:
        """The ranking as it is."""
        self.query_one(Slider).focus()
        if self.ranking is not None:
            self._ranked(self.ranking)
        self._best(self.snapshot.session.wc)

    def on_descendant_focus(self) -> None:
        """Where a number is typed, letters and signs do not move the slider."""
        box = self.query_one(".dialog")
        box.border_subtitle = KEYS_TYPING if typed(self, "h") else KEYS

    def action_move(self, step: int) -> None:
        """One stop on."""
        self.query_one(Slider).action_move(step)

    @on(Slider.Moved)
    def moved(self, message: Slider.Moved) -> None:
        """Weigh anew."""
        value = message.value
        field = self.query_one("#value", Input)
        if self._value() != value:
            with field.prevent(Input.Changed):
                field.value = words.number(value)
        self._weigh(value)

    @on(Input.Changed, "#value")
    def typed(self) -> None:
        """A value between the stops."""
        value = self._value()
        problem = self.query_one("#problem", Label)
        if value is None:
            problem.update("must be a number, 0 or more")
            return
        problem.update("")
        slider = self.query_one(Slider)
        with slider.prevent(Slider.Moved):
            slider.value = value
        self._weigh(value)

    def _value(self) -> float | None:
        try:
            value = float(self.query_one("#value", Input).value.replace("∞", "inf"))
        except ValueError:
            return None
        return value if is_weight(value) else None

    def _weigh(self, value: float) -> None:
        self._best(value)
        ranking = self.ranking
        if ranking is not None and ranking.incumbent is not None:
            self._rankings.ask(lambda: ranking.reweighted(value))

    def _best(self, wc: float) -> None:
        best = best_measured(self.snapshot, wc)
        if best is None:
            self.query_one("#best", Static).update("No trial is measured yet.")
            return
        self.query_one("#best", Static).update(
            Content.assemble(
                f"{words.measured_best(self.snapshot.session, best)}: trial ",
                (str(best.number), "bold"),
                f", f {words.f_measured(objective(best, wc))}, "
                f"{words.percent(1 - (best.error or 0.0))} %, "
                f"{network_line(best.config)}",
            )
        )

    def _ranked(self, ranking: Ranking) -> None:
        if not self.is_mounted:
            return
        shown = self.query_one("#ranked", Static)
        shown.update(first_candidates(self.snapshot, ranking, shown.content_size.width))

    @on(Slider.Submitted)
    def set_slid(self, message: Slider.Submitted) -> None:
        """Answer with the value that the slider had then."""
        if self._value() is not None:
            self.dismiss(message.value)

    @on(Input.Submitted)
    @on(Button.Pressed, "#yes")
    def set_value(self) -> None:
        """Answer."""
        value = self._value()
        if value is not None:
            self.dismiss(value)

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Leave w_c as it is."""
        self.dismiss(None)
