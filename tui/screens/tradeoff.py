"""Accuracy against complexity: the Pareto front, and the lines of equal f for a w_c."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from ...engine.search.standing import best_measured, objective
from ...engine.tasks.task import task_of
from ...sessions.exchange import compact
from .. import format as words
from ..cost import cost_of, sizes, told
from ..networks import network_line
from ..plot import Mark, at_edge
from ..sharing.charts import standing_at, tradeoff_plot
from ..widgets.chart import Chart
from ..widgets.frame import Edge
from ..widgets.header import LevelsBar, SessionLine
from ..widgets.keys import KeyBar
from ..widgets.latest import Latest
from ..widgets.slider import Slider
from ..widgets.text import Text
from .base import ORDER, SessionScreen

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...sessions.records import Trial
    from ...sessions.snapshot import Snapshot
    from ..open_session import OpenSession
    from ..plot import Figure


class TradeoffScreen(SessionScreen):
    """The chart, the slider of w_c under it, and the trial under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "j",
            "point(1)",
            "Next trial",
            show=False,
            id="tradeoff.next",
            tooltip="The next trial by complexity",
        ),
        Binding(
            "k",
            "point(-1)",
            "Trial before",
            show=False,
            id="tradeoff.before",
            tooltip="The trial before by complexity",
        ),
    ]

    def __init__(self, session: OpenSession) -> None:
        super().__init__(session)
        self._number: int | None = None
        self._rankings: Latest[Ranking] = Latest(self, self._ranked)
        self._preview: Ranking | None = None
        self._kept: float | None = None
        """The session's w_c when the slider was last put on it."""

    def compose(self) -> ComposeResult:
        """Header, chart, slider, words, keys."""
        yield SessionLine()
        yield LevelsBar()
        with Vertical(classes="side only"):
            yield Edge("top", "Trade-off", id="tradeoff-title")
            with Vertical(classes="panel grows"):
                yield Chart(id="tradeoff", empty="The first measured trial is the first point.")
            yield Edge("middle", "w_c · ← → move it", id="wc-title")
            with Vertical(classes="panel"):
                yield Slider(0.0, id="slider")
            yield Edge("middle", "Trial · h l", id="point-title")
            with Vertical(classes="panel"):
                yield Text(id="point", classes="words")
            yield Edge("bottom")
        yield KeyBar(ORDER[2:], spare=1)

    def on_mount(self) -> None:
        """The slider takes the arrows."""
        super().on_mount()
        self.query_one(Slider).focus()

    def on_screen_suspend(self) -> None:
        """A w_c that was moved and not kept is dropped with the screen, and not silently."""
        if self._kept is None or self.app.current_mode == "tradeoff":
            return  # a dialog over this screen takes nothing away
        self._put(self._kept)
        self._shown = ()

    def _put(self, wc: float) -> None:
        """Put the slider on the session's w_c."""
        slider = self.query_one(Slider)
        if self._kept is not None and slider.value not in (self._kept, wc):
            self.notify(f"w_c stays {words.weight(wc)}: enter keeps a moved one.")
        with slider.prevent(Slider.Moved):
            slider.value = wc
        self._kept = wc
        self._preview = None

    def repaint(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        """The points, the front, the lines of equal f, the words."""
        if self._kept != snapshot.session.wc:
            self._put(snapshot.session.wc)
        wc = self.query_one(Slider).value
        measured = [trial for trial in snapshot.trials if trial.observed]
        best = best_measured(snapshot, wc)
        if self._number is None and best is not None:
            self._number = best.number
        selected = next((t for t in measured if t.number == self._number), best)
        cost = cost_of(snapshot)
        title, marks = self.query_one("#tradeoff-title", Edge), "○ front ● lowest f ◆ selected"
        metric = words.metric(snapshot.session)
        title.title_text = f"{words.sentence(metric.title)} in % against {cost.axis} · {marks}"
        title.short_text = f"{words.sentence(metric.short)} by {cost.short} · {marks}"
        self.query_one("#tradeoff", Chart).plot = tradeoff_plot(measured, best, selected, wc, cost)
        self.query_one("#wc-title", Edge).title_text = (
            f"w_c {words.weight(wc)}, not kept: enter keeps it · it was "
            f"{words.weight(snapshot.session.wc)}"
            if wc != snapshot.session.wc
            else f"w_c {words.weight(wc)} · ← → move it, the ranking follows · enter keeps it"
        )
        self._words(snapshot, best, selected, wc)

    def _words(
        self, snapshot: Snapshot, best: Trial | None, selected: Trial | None, wc: float
    ) -> None:
        lines: list[Content] = []
        if selected is not None and selected.error is not None:
            lines.append(
                Content.assemble(
                    (f"{selected.number}", "bold"),
                    f"  {network_line(selected.config)}",
                )
            )
            lines.append(
                Content(
                    f"f {words.f_measured(objective(selected, wc))} · "
                    f"{words.percent(1 - selected.error)} % · "
                    f"{told(selected, snapshot.session)} · "
                    f"{sizes(task_of(snapshot.session).measures, selected.costs)}"
                )
            )
        if best is not None:
            lines.append(
                Content.assemble(
                    "best measured at this w_c: trial ",
                    (str(best.number), "bold"),
                    f", f {words.f_measured(objective(best, wc))}",
                )
            )
        ranking = self._preview if self._preview is not None else self.ranking
        if ranking is not None and ranking.wc == wc and ranking.proposals:
            top = ranking.proposals[0]
            belief = top.prediction
            believed = (
                f", μ {words.f_value(belief.mean)}, EI {words.improvement(belief.ei)}"
                if belief
                else ""
            )
            network = network_line(top.config, ranking.level or None)
            lines.append(Content(f"first candidate: {network}{believed}"))
        self.query_one("#point", Text).update(Content("\n").join(lines))

    # -- w_c ------------------------------------------------------------------------------------

    @on(Slider.Moved)
    def _moved(self, message: Slider.Moved) -> None:
        snapshot, ranking = self.snapshot, self.ranking
        if snapshot is None:
            return
        value = message.value
        self.repaint(snapshot, ranking)
        if ranking is not None and ranking.incumbent is not None:
            self._rankings.ask(lambda: ranking.reweighted(value))

    def _ranked(self, ranking: Ranking) -> None:
        self._preview = ranking
        if self.snapshot is not None and self.is_mounted:
            self.repaint(self.snapshot, ranking)

    @on(Slider.Submitted)
    def _set(self, message: Slider.Submitted) -> None:
        snapshot, value = self.snapshot, message.value
        if snapshot is not None and value != snapshot.session.wc:
            self.session.decide(
                lambda client: client.set_wc(value), f"w_c is {words.weight(value)}. u undoes it."
            )

    # -- points ---------------------------------------------------------------------------------

    def chosen_trial(self) -> Trial | None:
        """The trial under the cursor."""
        snapshot = self.snapshot
        if snapshot is None or self._number is None or self._number >= len(snapshot.trials):
            return None
        return snapshot.trials[self._number]

    def action_point(self, step: int) -> None:
        """Go along the points."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        ordered = sorted(
            (t for t in snapshot.trials if t.observed), key=lambda t: (t.complexity, t.number)
        )
        numbers = [trial.number for trial in ordered]
        if not numbers:
            return
        at = numbers.index(self._number) + step if self._number in numbers else 0
        self._number = numbers[min(max(at, 0), len(numbers) - 1)]
        self.repaint(snapshot, self.ranking)

    @on(Chart.Clicked)
    def _clicked(self, message: Chart.Clicked) -> None:
        snapshot = self.snapshot
        if snapshot is None or message.chart.plot is None:
            return
        cost, plot = cost_of(snapshot), message.chart.plot
        measured = [t for t in snapshot.trials if t.observed]

        def distance(trial: Trial) -> float:
            # what lies beyond an edge is clicked there
            mark = at_edge(Mark(*standing_at(trial, cost)), plot.x, plot.y)
            return (plot.x.share(mark.x) - plot.x.share(message.x)) ** 2 + (
                plot.y.share(mark.y) - plot.y.share(message.y)
            ) ** 2

        self._number = min(measured, key=distance).number
        self.repaint(snapshot, self.ranking)

    def figure(self) -> Figure | None:
        """The chart under the slider's w_c, with the trial under the cursor."""
        from ..sharing import figures

        snapshot = self.snapshot
        if snapshot is None:
            return None
        return figures.tradeoff(snapshot, self.query_one(Slider).value, self.chosen_trial())

    def yank_text(self) -> str | None:
        """The trial as JSON."""
        trial = self.chosen_trial()
        return None if trial is None else compact(trial)
