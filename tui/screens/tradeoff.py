"""Accuracy against a cost: what was measured, what is believed, and the lines of equal f."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from ...engine.search.front import smaller
from ...engine.search.standing import best_measured, keeping, objective
from ...engine.tasks.task import measure_of, task_of
from ...sessions.exchange import compact
from .. import format as words
from ..cost import cost_of, sizes, smaller_networks, told
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
    from ...engine.advisor.ranking import Front, Ranking
    from ...engine.tasks.measure import Measure
    from ...sessions.records import Trial
    from ...sessions.snapshot import Snapshot
    from ..cost import Cost
    from ..open_session import OpenSession
    from ..plot import Figure

    Believed = tuple[tuple[Ranking, Cost], Front | None]


EMPTY = "The first measured trial is the first point."
ROOMY = 24
"""Lines of a terminal from which there is room for all words."""


class TradeoffScreen(SessionScreen):
    """The chart, the slider of w_c under it, and the trial under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "j",
            "point(1)",
            "Next trial",
            show=False,
            id="tradeoff.next",
            tooltip="The next trial by its cost",
        ),
        Binding(
            "k",
            "point(-1)",
            "Trial before",
            show=False,
            id="tradeoff.before",
            tooltip="The trial before by its cost",
        ),
        Binding(
            "c",
            "cost",
            "Cost",
            id="tradeoff.cost",
            tooltip="Draw another cost across: seconds, parameters, …",
        ),
        Binding(
            "L",
            "scale",
            "Log",
            id="tradeoff.scale",
            tooltip="The cost's axis logarithmic, or not",
        ),
    ]

    def __init__(self, session: OpenSession) -> None:
        super().__init__(session)
        self._number: int | None = None
        self._rankings: Latest[Ranking] = Latest(self, self._ranked)
        self._preview: Ranking | None = None
        self._kept: float | None = None
        """The session's w_c when the slider was last put on it."""
        self._measure: Measure | None = None
        """The cost that is drawn; None is what the session counts."""
        self._log: bool | None = None
        """Whether its axis is logarithmic; None leaves that to the chart."""
        self._believing: Latest[Believed] = Latest(self, self._believed)
        self._asked: tuple[Ranking, Cost] | None = None
        self._front: Front | None = None

    def compose(self) -> ComposeResult:
        """Header, chart, slider, words, keys."""
        yield SessionLine()
        yield LevelsBar()
        with Vertical(classes="side only"):
            yield Edge("top", "Trade-off", id="tradeoff-title")
            with Vertical(classes="panel grows"):
                yield Chart(id="tradeoff", empty=EMPTY)
            yield Edge("middle", "w_c · ← → move it", id="wc-title")
            with Vertical(classes="panel"):
                yield Slider(0.0, id="slider")
            yield Edge("middle", "Trial · j k", id="point-title")
            with Vertical(classes="panel"):
                yield Text(id="point", classes="words")
            yield Edge("bottom")
        yield KeyBar(ORDER[2:], spare=1)

    def on_mount(self) -> None:
        """The slider takes the arrows."""
        super().on_mount()
        self.query_one(Slider).focus()

    def on_resize(self) -> None:
        """Fewer words where there is little room."""
        if self._shown and self.snapshot is not None:
            self.repaint(self.snapshot, self.ranking)

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
        """The points, the front, what is believed of it, the lines of equal f, the words."""
        if self._kept != snapshot.session.wc:
            self._put(snapshot.session.wc)
        wc = self.query_one(Slider).value
        measured = [trial for trial in snapshot.trials if trial.observed]
        best = best_measured(snapshot, wc)
        if self._number is None and best is not None:
            self._number = best.number
        selected = next((t for t in measured if t.number == self._number), best)
        cost = cost_of(snapshot, self._measure)
        front = self._believed_front(cost)
        title = self.query_one("#tradeoff-title", Edge)
        metric = words.metric(snapshot.session)
        plot = tradeoff_plot(snapshot, cost, wc, selected, front, self._log)
        log = ", log" if plot is not None and plot.x.log else ""
        title.title_text = (
            f"{words.sentence(metric.title)} in % against {cost.axis}{log} · "
            "● front ★ lowest f ◆ selected"
        )
        title.short_text = (
            f"{words.sentence(metric.short)} by {cost.short}{log} · ● front ★ best ◆ selected"
        )
        chart = self.query_one("#tradeoff", Chart)
        chart.empty = f"No trial has this cost: {cost.measure.noun}." if measured else EMPTY
        chart.plot = plot
        self.query_one("#wc-title", Edge).title_text = (
            f"w_c {words.weight(wc)}, not kept: enter keeps it · it was "
            f"{words.weight(snapshot.session.wc)}"
            if wc != snapshot.session.wc
            else f"w_c {words.weight(wc)} · ← → move it, the ranking follows · enter keeps it"
        )
        self._words(snapshot, best, selected, wc, cost, front)

    def _believed_front(self, cost: Cost) -> Front | None:
        """What the ranking believes of this cost: asked for once, there as soon as it is known.

        Another w_c has the same candidates.
        """
        ranking = self.ranking
        if self._asked is not None and self._asked[1].measure != cost.measure:
            self._asked = self._front = None
        if ranking is not None and (
            self._asked is None or self._asked[0] is not ranking or self._asked[1] != cost
        ):
            self._asked = asked = ranking, cost
            self._believing.ask(lambda: (asked, cost.front(ranking)))
        return self._front

    def _believed(self, answer: Believed) -> None:
        asked, front = answer
        if self.snapshot is not None and self.is_mounted and asked is self._asked:
            self._front = front
            self.repaint(self.snapshot, self.ranking)

    def _words(
        self,
        snapshot: Snapshot,
        best: Trial | None,
        selected: Trial | None,
        wc: float,
        cost: Cost,
        front: Front | None,
    ) -> None:
        lines: list[Content] = []
        # the chart comes first
        small = self.size.height < ROOMY
        if selected is not None and selected.error is not None:
            lines.append(
                Content.assemble(
                    (f"{selected.number}", "bold"),
                    f"  {network_line(selected.config)}",
                )
            )
            figures = (
                f"f {words.f_measured(objective(selected, wc))} · "
                f"{words.percent(1 - selected.error)} %"
            )
            if small:
                price = cost.value(selected)
                figures += "" if price is None else f" · {cost.told(price)}"
            else:
                exact = sizes(task_of(snapshot.session).measures, selected.costs)
                figures += f" · {told(selected, snapshot.session)} · {exact}"
            lines.append(Content(figures))
        if best is not None:
            found = smaller(keeping(snapshot), best, cost.value, front)
            half, near = ("", "") if found is None else smaller_networks(found, front, cost)
            told_of: list[tuple[str, str] | str] = [
                f"{words.measured_best(snapshot.session, best, True)} at this w_c"
            ]
            if best != selected:
                value = words.f_measured(objective(best, wc))
                told_of += [": trial ", (str(best.number), "bold"), f", {value}"]
            lines.append(Content.assemble(*told_of, f" · {half}" * bool(half)))
            if near:
                lines.append(Content(near))
        ranking = self._preview if self._preview is not None else self.ranking
        if ranking is not None and ranking.wc == wc and ranking.proposals and not small:
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

    # -- the cost across ------------------------------------------------------------------------

    def action_cost(self) -> None:
        """Draw the next cost, on the axis that suits it."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        measures = task_of(snapshot.session).measures
        now = measure_of(snapshot.session) if self._measure is None else self._measure
        self._measure = measures[(measures.index(now) + 1) % len(measures)]
        self._log = None
        self.repaint(snapshot, self.ranking)

    def action_scale(self) -> None:
        """The axis of the cost logarithmic, or not."""
        plot = self.query_one("#tradeoff", Chart).plot
        if self.snapshot is None or plot is None:
            return
        self._log = not plot.x.log
        self.repaint(self.snapshot, self.ranking)

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
        cost = cost_of(snapshot, self._measure)
        placed = [
            (x, t.number)
            for t in snapshot.trials
            if t.observed and (x := cost.drawn(t)) is not None
        ]
        numbers = [number for _, number in sorted(placed)]
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
        cost, plot = cost_of(snapshot, self._measure), message.chart.plot
        placed = {t.number: standing_at(t, cost) for t in snapshot.trials if t.observed}

        def distance(point: tuple[float, float]) -> float:
            # what lies beyond an edge is clicked there
            mark = at_edge(Mark(*point), plot.x, plot.y)
            return (plot.x.share(mark.x) - plot.x.share(message.x)) ** 2 + (
                plot.y.share(mark.y) - plot.y.share(message.y)
            ) ** 2

        self._number = min(
            (distance(point), number) for number, point in placed.items() if point is not None
        )[1]
        self.repaint(snapshot, self.ranking)

    def figure(self) -> Figure | None:
        """The chart under the slider's w_c, with the trial under the cursor."""
        from ..sharing import figures

        snapshot = self.snapshot
        if snapshot is None:
            return None
        return figures.tradeoff(
            snapshot,
            self.query_one(Slider).value,
            self.chosen_trial(),
            measure=self._measure,
            believed=self._front,
            log=self._log,
        )

    def yank_text(self) -> str | None:
        """The trial as JSON."""
        trial = self.chosen_trial()
        return None if trial is None else compact(trial)
