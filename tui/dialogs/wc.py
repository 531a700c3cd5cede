"""The slider of w_c: how the ranking and the best network change with it, before it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Static

from ...engine.search import best_measured, objective, shown_level
from .. import format as words
from ..cost import cost_of
from ..latest import Latest
from ..widgets.keys import typed
from .base import Dialog, buttons

if TYPE_CHECKING:
    from textual import events

    from ...engine.advisor import Ranking
    from ...sessions.store import Snapshot

STOPS = (
    0.0,
    0.01,
    0.02,
    0.03,
    0.05,
    0.07,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.7,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
)
"""Where the slider stands still: even steps of what w_c does, not of its value."""
SHOWN = 5
KEYS = "←→ ↑↓ hl +- move · tab types · enter keeps · esc drops"
KEYS_TYPING = "↑↓ move · enter keeps · esc drops"


class Slider(Widget, can_focus=True):
    """A value on a line of stops; ← → move it, a click too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", "move(-1)", "Less", show=False, id="slider.less", tooltip="Less"),
        Binding("right,plus", "move(1)", "More", show=False, id="slider.more", tooltip="More"),
        Binding("enter", "submit", "Keep", show=False, id="slider.set", tooltip="Keep this w_c"),
    ]
    DEFAULT_CSS = """
    Slider { height: 2; }
    Slider:focus { color: $primary; }
    """
    value: reactive[float] = reactive(0.0, init=False)

    class Moved(Message):
        """The slider stands at another value."""

        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

    class Submitted(Message):
        """Enter was pressed on it, at a value."""

        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

    def __init__(self, value: float, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.set_reactive(Slider.value, value)

    def _share(self) -> float:
        """Where the value stands on the line: 0 at the left, 1 at the right."""
        value = min(max(self.value, STOPS[0]), STOPS[-1])
        for i in range(len(STOPS) - 1):
            if value <= STOPS[i + 1]:
                within = (value - STOPS[i]) / (STOPS[i + 1] - STOPS[i])
                return (i + within) / (len(STOPS) - 1)
        return 1.0

    def render(self) -> Content:
        """The line with its knob, and some of its stops below."""
        width = max(self.content_size.width, 20)
        knob = round(self._share() * (width - 3)) + 1
        line = "├" + "─" * (knob - 1) + "●" + "─" * (width - 2 - knob) + "┤"
        below = [" "] * width
        for stop in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0):
            text = words.number(stop) if stop else "0"
            at = round(STOPS.index(stop) / (len(STOPS) - 1) * (width - 3)) + 1
            start = min(max(at - len(text) // 2, 0), width - len(text))
            below[start : start + len(text)] = text
        return Content.assemble(line, "\n", ("".join(below), "$foreground 60%"))

    def watch_value(self, value: float) -> None:
        """Tell the dialog."""
        self.post_message(self.Moved(value))

    def action_move(self, step: int) -> None:
        """One stop on."""
        others = [s for s in STOPS if (s > self.value if step > 0 else s < self.value)]
        if others:
            self.value = min(others) if step > 0 else max(others)

    def action_submit(self) -> None:
        """Set the value."""
        self.post_message(self.Submitted(self.value))

    def on_click(self, event: events.Click) -> None:
        """The stop nearest to the pointer."""
        share = (event.x - 1) / max(self.content_size.width - 3, 1)
        at = round(min(max(share, 0.0), 1.0) * (len(STOPS) - 1))
        self.value = STOPS[at]


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
                "0 looks for accuracy alone. The ranking follows; nothing is trained again.",
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
            value = float(self.query_one("#value", Input).value)
        except ValueError:
            return None
        return value if 0 <= value < 1e6 else None

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
                "best measured: trial ",
                (str(best.number), "bold"),
                f", f {words.f_measured(objective(best, wc))}, "
                f"{words.percent(1 - (best.error or 0.0))} %, "
                f"{words.network_line(best.config)}",
            )
        )

    def _ranked(self, ranking: Ranking) -> None:
        if not self.is_mounted:
            return
        session = self.snapshot.session
        prices = cost_of(self.snapshot)
        unit = prices.heading()
        room = max(self.query_one("#ranked", Static).content_size.width - 33, 16)
        head = f"{'#':>2}  {'network':<{room}}  {'μ f':>5}  {'EI':>6}  {'acc':>4}  {unit:>6}"
        lines = [Content.styled(head, "$foreground 60%")]
        for rank, proposal in enumerate(ranking.proposals[:SHOWN], start=1):
            belief = proposal.prediction
            network = words.network_line(proposal.config, shown_level(session, session.level), room)
            network = network if len(network) <= room else network[: room - 1] + "…"
            cost = prices.of_candidate(belief, proposal.known)
            lines.append(
                Content(
                    f"{rank:>2}  {network:<{room}}  "
                    f"{words.f_value(belief.mean if belief else None):>5}  "
                    f"{words.improvement(belief.ei if belief else None):>6}  "
                    f"{words.percent(1 - belief.error if belief else None):>4}  {cost:>6}"
                )
            )
        self.query_one("#ranked", Static).update(Content("\n").join(lines))

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
