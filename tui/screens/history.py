"""Every trial: sort, filter, copy; the curves of the marked ones overlaid."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from ...engine.search.limits import broken_by
from ...engine.search.standing import objective, predicted_now, shown_level
from ...engine.tasks.task import level_names, task_of
from ...sessions.choices import COST_ALONE
from ...sessions.exchange import compact
from ...sessions.records import OPEN_STATES
from .. import format as words
from ..cost import Cost, cost_of, disturbed, sizes
from ..deliveries import line
from ..filters import EXAMPLE, BadFilter, Filter, begun, mean, parse, reasons_of, unfinished
from ..networks import network_line
from ..sharing.charts import curves
from ..widgets.chart import Chart
from ..widgets.frame import Edge
from ..widgets.table import Column, Row, Table
from ..widgets.text import Text
from .base import TwoSides

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...sessions.records import Session, Trial
    from ...sessions.snapshot import Snapshot
    from ..open_session import OpenSession
    from ..plot import Figure


MOST_FINALS = 4
"""Final trainings that are shown below the trials."""
SORTS = ("number", "f", "accuracy", "complexity", "level")


class FilterBox(Input):
    """Where the filter is typed; enter keeps it, esc leaves the one that was there before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Keep", id="filter.keep", tooltip="Keep the filter"),
        Binding(
            "escape",
            "leave",
            "Leave",
            id="filter.leave",
            tooltip="Leave the filter as it was before",
        ),
    ]

    class Left(Message):
        """What was typed is not wanted."""

    def action_leave(self) -> None:
        """Tell the screen."""
        self.post_message(self.Left())


class HistoryScreen(TwoSides):
    """The trials at the left, their curves and the whole of one trial at the right."""

    SIDES = ("Trials", "Curves")
    AUTO_FOCUS: ClassVar[str | None] = "#trials"
    """Not the first that takes the focus: the filter would swallow the keys typed at once."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="history.mark", tooltip="Overlay this trial's curve"),
        Binding("t", "sort", "Sort", id="history.sort", tooltip="Sort by another column"),
        Binding(
            "slash",
            "filter",
            "Filter",
            key_display="/",
            id="history.filter",
            tooltip="Show only some trials, by words and by figures: " + EXAMPLE,
        ),
        Binding(
            "escape",
            "all_trials",
            "All trials",
            id="filter.clear",
            tooltip="Clear the filter: show every trial",
        ),
    ]

    def __init__(self, session: OpenSession) -> None:
        super().__init__(session)
        self._sort = "number"
        self._marked: list[int] = []
        self._rows: dict[int, tuple[Trial, Row]] = {}
        """Rows by trial, and the record that each was made of."""
        self._rows_for: tuple[object, ...] = ()
        """What the rows depend on besides their trials."""
        self._filter = Filter()
        self._wrong = ""
        """Why what is typed is no filter; the one before it goes on then."""
        self._before = Filter()
        """The filter when its box was opened."""
        self._passed: dict[int, tuple[Trial, bool]] = {}
        """Whether the filter lets a trial pass, by trial, and the record that was looked at."""
        self._passed_for: tuple[object, ...] = ()
        self._of: object = None
        """The session that was shown last."""

    def left(self) -> ComposeResult:
        """The trials."""
        yield Edge("top", "Trials", id="trials-title")
        with Vertical(classes="panel grows"):
            yield FilterBox(id="filter", compact=True, placeholder=f"words, or {EXAMPLE}")
            yield Text(id="filter-said", markup=False)
            yield Table((), id="trials")
            yield Text(id="no-trials", classes="empty", markup=False)
            yield Text(id="finals", classes="words", markup=False)
        yield Edge("bottom")

    def right(self) -> ComposeResult:
        """The curves, and the whole of one trial."""
        yield Edge("top", "Validation accuracy by epoch", id="curves-title")
        with Vertical(classes="panel grows"):
            yield Chart(id="curves", empty="Curves come with the first epoch.")
        yield Edge("middle", "Trial", id="trial-title")
        with Vertical(classes="panel"):
            yield Text(id="trial", classes="words")
        yield Edge("bottom")

    def on_mount(self) -> None:
        """The table is ready for the keys."""
        super().on_mount()
        self.query_one("#filter").display = False
        self.query_one("#trials").focus()

    # -- painting -------------------------------------------------------------------------------

    def repaint(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        """The trials that pass the filter, sorted."""
        session, cost = snapshot.session, cost_of(snapshot)
        metric = words.metric(session)
        self._another(session)
        # what the rows are sorted by is what they show
        ratio = self._sort == "complexity"
        table = self.query_one("#trials", Table)
        table.set_columns(
            (
                Column("number", "#", 4, "right", gap=0),
                Column("state", "", 1, gap=1),
                Column("level", "", 1, gap=1),
                Column("network", "network", 0),
                Column("f", "f", 6, "right"),
                Column("predicted", "μ", 5, "right"),
                Column("accuracy", metric.heading, 4, "right"),
                Column("cost", cost.heading(ratio), 6, "right"),
            )
        )
        rows = []
        wanted = (session.wc, cost.measure, ratio, session.flat, table.room, tuple(self._marked))
        if self._rows_for != wanted:
            self._rows_for = wanted
            self._rows.clear()
        for trial in self._passing(snapshot):
            rows.append(self._kept_row(trial, snapshot, table.room, cost))
        table.show(rows)
        self._filter_said(len(rows), len(snapshot.trials))
        empty = self.query_one("#no-trials", Text)
        empty.display = not rows
        every = words.count(len(snapshot.trials))
        shows = "" if self.query_one("#filter").has_focus else f" esc shows all {every}."
        empty.update(
            f"No trial matches {self._filter.text}.{shows}"
            if snapshot.trials
            else "No trial has been queued yet. 2 shows the candidates."
        )
        if not rows and table.has_focus:
            self.set_focus(None)  # a hidden table would hand its keys to whatever comes next
        table.display = bool(rows)
        if rows and self.focused is None:
            table.focus()
        shown = f"{words.count(len(rows))} of {every}" if self._filter.terms else every
        by = metric.title if self._sort == "accuracy" else self._sort
        self.query_one("#trials-title", Edge).title_text = f"Trials · {shown} · by {by}"
        title = f"{words.sentence(metric.validated)} by epoch"
        self.query_one("#curves-title", Edge).title_text = title
        self._finals(snapshot)
        self._selected()

    def _finals(self, snapshot: Snapshot) -> None:
        """The final trainings, the newest first: they are no trials, and stand below them."""
        shown = self.query_one("#finals", Text)
        newest = list(reversed(snapshot.standing_deliveries))
        shown.display = bool(newest)
        lines = [line(one, snapshot.session) for one in newest[:MOST_FINALS]]
        if len(newest) > MOST_FINALS:
            lines.append(f"and {len(newest) - MOST_FINALS} before (lcsearch show)")
        shown.update("\n".join(lines))

    def _another(self, session: Session) -> None:
        """Another session has other trials: nothing is marked, and none is left out unasked."""
        if self._of not in (None, (session.name, session.created)):
            self._marked.clear()
            self._filter, self._before, self._wrong = Filter(), Filter(), ""
            field = self.query_one("#filter", FilterBox)
            with field.prevent(Input.Changed):
                field.value = ""
        self._of = session.name, session.created

    def _passing(self, snapshot: Snapshot) -> list[Trial]:
        """The trials that the filter lets pass, sorted."""
        session = snapshot.session
        wanted = (self._filter, session.wc, session.measure, len(snapshot.decisions))
        if self._passed_for != wanted:
            self._passed_for = wanted
            self._passed.clear()
        reasons = reasons_of(snapshot)
        found = []
        for trial in self._sorted(snapshot):
            kept = self._passed.get(trial.number)
            if kept is None or kept[0] is not trial:
                passes = self._filter.passes(trial, session, reasons.get(trial.number, ()))
                kept = self._passed[trial.number] = trial, passes
            if kept[1]:
                found.append(trial)
        return found

    def _filter_said(self, passing: int, trials: int) -> None:
        """What the filter does and how it is cleared, or what is wrong with what is typed."""
        field, line = self.query_one("#filter", FilterBox), self.query_one("#filter-said", Text)
        line.display = bool(self._wrong or self._filter.terms or field.has_focus)
        line.set_class(bool(self._wrong), "problem")
        if self._wrong:
            line.update(f"✗ {self._wrong}")
            return
        match = f"{words.count(passing)} of {words.count(trials)} match"
        if field.has_focus:
            hint = unfinished(field.value, self.space)
            line.update(
                f"{match} · enter keeps · esc leaves it as it was" + f"\n{hint}" * bool(hint)
            )
        else:
            line.update(f"{match} {self._filter.text} · / changes it · esc shows all")

    def _sorted(self, snapshot: Snapshot) -> list[Trial]:
        wc = snapshot.session.wc

        def order(trial: Trial) -> tuple[float, float]:
            value: float | None
            match self._sort:
                case "f":
                    value = objective(trial, wc)
                case "accuracy":
                    value = trial.error
                case "complexity":
                    value = trial.complexity
                case "level":
                    value = float(trial.level)
                case _:
                    value = -float(trial.number)
            return (float("inf") if value is None else value), -trial.number

        return sorted(snapshot.standing, key=order)

    def _kept_row(self, trial: Trial, snapshot: Snapshot, room: int, cost: Cost) -> Row:
        """The row of a trial: of a thousand, an epoch's news change one."""
        kept = self._rows.get(trial.number)
        if kept is None or kept[0] is not trial:
            kept = self._rows[trial.number] = trial, self._row(trial, snapshot, room, cost)
        return kept[1]

    def _row(self, trial: Trial, snapshot: Snapshot, room: int, cost: Cost) -> Row:
        session = snapshot.session
        mark = "+" if trial.number in self._marked else ""
        value = words.f_measured(objective(trial, session.wc))
        if trial.state == "running" or (trial.state in OPEN_STATES and trial.epochs):
            value = words.reached(len(trial.epochs), session.epochs)
        return Row(
            str(trial.number),
            (
                f"{mark}{trial.number}",
                words.STATE_MARKS[trial.state],
                words.FLAT_MARK if session.flat and trial.level else words.LEVEL_MARKS[trial.level],
                network_line(trial.config, shown_level(session, trial.level), room or None),
                value,
                words.f_value(mean(trial, session)),
                words.percent(None if trial.error is None else 1 - trial.error),
                cost.of_trial(trial, self._sort == "complexity"),
            ),
            dim=trial.state in ("cancelled", "stopped", "failed"),
        )

    @on(Table.Highlighted, "#trials")
    def _moved(self) -> None:
        self._selected()

    def chosen_trial(self) -> Trial | None:
        """The trial under the cursor."""
        key = self.query_one("#trials", Table).cursor_key
        snapshot = self.snapshot
        if key is None or snapshot is None or int(key) >= len(snapshot.trials):
            return None
        return snapshot.standing[int(key)]

    def _selected(self) -> None:
        snapshot, trial = self.snapshot, self.chosen_trial()
        panel = self.query_one("#trial", Text)
        if snapshot is None or trial is None:
            panel.update("")
            self.query_one("#curves", Chart).plot = None
            return
        self.query_one("#trial-title", Edge).title_text = f"Trial {trial.number} · {trial.state}"
        panel.update(_story(trial, snapshot, level_names(snapshot.session)))
        shown = [trial] + [
            snapshot.trials[number] for number in self._marked if number != trial.number
        ]
        self.query_one("#curves", Chart).plot = curves(shown, snapshot.session.epochs)

    # -- actions --------------------------------------------------------------------------------

    def action_mark(self) -> None:
        """Overlay the curve of the trial under the cursor, or take it away."""
        trial, snapshot = self.chosen_trial(), self.snapshot
        if trial is None or snapshot is None:
            return
        if trial.number in self._marked:
            self._marked.remove(trial.number)
        else:
            self._marked = [*self._marked, trial.number][-4:]
        self.repaint(snapshot, self.ranking)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        if self.snapshot is not None:
            self.repaint(self.snapshot, self.ranking)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A filter is cleared where there is one."""
        if action == "all_trials":
            return bool(self._filter.terms or self._wrong)
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        """Type what a trial must have."""
        field = self.query_one("#filter", FilterBox)
        self._before = self._filter
        field.display = True
        field.focus()

    def action_all_trials(self) -> None:
        """Clear the filter."""
        self._before = Filter()
        self._leave_filter()

    @on(Input.Changed, "#filter")
    def _filtered(self) -> None:
        if self.snapshot is None or self.session.client is None:
            return
        typed = self.query_one("#filter", FilterBox).value
        self._wrong = ""
        try:
            parse(typed, self.space)
        except BadFilter as error:
            self._wrong = str(error)
        with suppress(BadFilter):  # told already; the filter before it goes on
            self._filter = begun(typed, self.space)
        self._follow_filter()

    @on(Input.Submitted, "#filter")
    def _keep_filter(self) -> None:
        if self._wrong:
            self.app.bell()  # what is wrong stands below it
            return
        self._filter = parse(self.query_one("#filter", FilterBox).value, self.space)
        self._close_filter()

    @on(FilterBox.Left)
    def _leave_filter(self) -> None:
        field = self.query_one("#filter", FilterBox)
        self._filter, self._wrong = self._before, ""
        with field.prevent(Input.Changed):
            field.value = self._filter.text
        self._close_filter()

    @on(Input.Blurred, "#filter")
    def _filter_left(self) -> None:
        """Whoever goes elsewhere keeps what counts; a term that is not finished does not."""
        field = self.query_one("#filter", FilterBox)
        field.display = bool(self._wrong)
        if not self._wrong:
            with field.prevent(Input.Changed):
                field.value = self._filter.text
        self._follow_filter()

    def _close_filter(self) -> None:
        """The keys are the table's again."""
        table = self.query_one("#trials", Table)
        table.display = True
        self._follow_filter()
        self.set_focus(table if table.display else None)

    def _follow_filter(self) -> None:
        if self.snapshot is not None:
            self.repaint(self.snapshot, self.ranking)
        self.refresh_bindings()

    def figure(self) -> Figure | None:
        """The curves that are shown."""
        from ..sharing import figures

        trial, snapshot = self.chosen_trial(), self.snapshot
        if trial is None or snapshot is None:
            return None
        marked = [number for number in self._marked if number != trial.number]
        return figures.curves(snapshot, [trial.number, *marked])

    def yank_text(self) -> str | None:
        """The trial as JSON."""
        trial = self.chosen_trial()
        return None if trial is None else compact(trial)


def _story(trial: Trial, snapshot: Snapshot, names: tuple[str, ...]) -> Content:
    wc = snapshot.session.wc
    value = objective(trial, wc)
    source = words.SOURCE_WORDS[trial.source]
    if trial.repeat_of is not None:
        source += f", repeats trial {trial.repeat_of}"
    lines = [
        Content(network_line(trial.config)),
        Content.styled(
            f"{words.level_label(trial.level, names)} · {source} · "
            f"{sizes(task_of(snapshot.session).measures, trial.costs)}",
            "$foreground 70%",
        ),
    ]
    if value is not None:
        lines.append(
            Content.assemble(
                "f ",
                (words.f_measured(value), "bold"),
                f"  =  f_c, f_p {trial.error:.4f}"
                if wc == COST_ALONE
                else f"  =  {trial.error:.4f} + {words.weight(wc)} · {trial.complexity:.3f}",
            )
        )
    belief = trial.prediction
    if belief is not None:
        of_f = predicted_now(snapshot.session, belief)
        if of_f is None:
            told = f"predicted {words.belief(belief.mean, belief.predictive_std)} where f_c was of "
            told += f"{belief.measure}, at w_c {words.weight(belief.wc)}"
        else:
            told = f"predicted {words.belief(of_f.mean, of_f.predictive_std)}"
            told += f", EI {words.improvement(belief.ei)}"
            if belief.wc != wc:
                told += f" (at w_c {words.weight(belief.wc)})"
        lines.append(Content(told))
    advised = next(
        (d.advised for d in snapshot.decisions if d.trial == trial.number and d.advised), None
    )
    if advised is not None:
        level = shown_level(snapshot.session, trial.level)
        first = network_line(advised.config, level)
        now = predicted_now(snapshot.session, advised.prediction)
        told = f"instead of {first}"
        told += "" if now is None else f", predicted {words.f_value(now.mean)}"
        lines.append(Content.styled(told, "$foreground 70%"))
    reasons = reasons_of(snapshot).get(trial.number, ())
    lines += [Content.styled(f"“{reason}”", "$secondary") for reason in reasons]
    if outside := words.breaks(broken_by(snapshot.session, trial), snapshot.session):
        lines.append(Content.styled(outside, "$warning"))
    spoilt = disturbed(trial, snapshot.session)
    if spoilt:
        told = f"~ disturbed: {spoilt}. r trains it again."
        lines.append(Content.styled(told, "$warning"))
    if trial.failure is not None:
        lines.append(Content.styled(f"✗ {trial.failure.kind}: {trial.failure.message}", "$error"))
    return Content("\n").join(lines)
