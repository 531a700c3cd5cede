"""The workbench: candidates, why, belief, training; where a person decides what to train."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from ...engine import search
from ...engine.search.standing import base_trial, level_trials, objective
from ...engine.tasks.parameter import entry_name
from .. import format as words
from ..cost import cost_of
from ..networks import network_line
from ..sharing.charts import axes_of, belief_plot, entry, most_relevant
from ..widgets.chart import Chart
from ..widgets.frame import Edge
from ..widgets.latest import Latest
from ..widgets.table import Column, Row, Table
from ..widgets.text import Text
from ..widgets.training import TrainingPanel
from ..widgets.why import WhyPanel
from .base import ORDER, TwoSides
from .decisions import queued_words

if TYPE_CHECKING:
    from textual.timer import Timer

    from ...engine.advisor.ranking import Profile, Proposal, Ranking
    from ...sessions.snapshot import Snapshot
    from ..open_session import OpenSession
    from ..plot import Figure

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class WorkbenchScreen(TwoSides):
    """Candidates and their reasons at the left, belief and training at the right."""

    SIDES = ("Candidates", "Belief and training")
    KEYS: ClassVar[tuple[str, ...]] = ORDER
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "a", "accept", "Accept", id="decide.accept", tooltip="Train the selected candidate"
        ),
        Binding(
            "e",
            "edit",
            "Edit",
            id="decide.edit",
            tooltip="Change the selected candidate, seeing what the model believes of it",
        ),
        Binding(
            "x",
            "reject",
            "Reject",
            id="decide.reject",
            tooltip="Take the selected candidate and its near copies out of the ranking",
        ),
        Binding(
            "f",
            "region",
            "Region",
            show=False,
            id="decide.region",
            tooltip="Favour a part of the domains, look at it alone, or search it alone",
        ),
        Binding(
            "m",
            "strategy",
            "Strategy",
            show=False,
            id="decide.strategy",
            tooltip="Choose what proposes: the model, evolution, annealing or random",
        ),
        Binding(
            "escape",
            "look_away",
            "All again",
            show=False,
            id="look.away",
            tooltip="End looking at a part of the domains alone",
        ),
        Binding(
            "left",
            "axis(-1)",
            "Chart before",
            show=False,
            id="chart.before",
            tooltip="Chart the belief along the parameter before",
        ),
        Binding(
            "right",
            "axis(1)",
            "Chart next",
            show=False,
            id="chart.next",
            tooltip="Chart the belief along the next parameter",
        ),
    ]

    def __init__(self, session: OpenSession) -> None:
        super().__init__(session)
        self._axis: tuple[str, int | None] | None = None
        self._taken: set[str] = set()
        self._shown_ranking: Ranking | None = None
        self._slices: Latest[tuple[Any, ...]] = Latest(self, self._sliced)
        self._charted: tuple[Any, ...] | None = None
        self._spinner: Timer | None = None
        self._beat = 0

    def left(self) -> ComposeResult:
        """Candidates, and why this one."""
        yield Edge("top", "Candidates", id="candidates-title")
        with Vertical(classes="panel grows"):
            yield Table((), id="candidates")
            yield Text(id="no-candidates")
            yield Text(id="kept-to", markup=False)
        yield Edge("middle", "Why this one")
        with Vertical(classes="panel"):
            yield WhyPanel(id="why")
        yield Edge("bottom")

    def right(self) -> ComposeResult:
        """Belief and training."""
        yield Edge("top", "Belief", id="belief-title")
        with Vertical(classes="panel grows"):
            yield Chart(id="belief")
        yield Edge("middle", "Training", id="training-title")
        with Vertical(classes="panel"):
            yield TrainingPanel(id="training")
        yield Edge("bottom")

    def on_mount(self) -> None:
        """The spinner turns while a ranking is made; the cursor takes the reasons with it."""
        super().on_mount()
        # not by a message, which arrives after the cursor was painted: both are one paint
        self.watch(self.query_one("#candidates", Table), "cursor_row", self._selected, init=False)
        self._spinner = self.set_interval(0.1, self._spin, pause=True)

    # -- painting -------------------------------------------------------------------------------

    def repaint(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        """Candidates, reasons, belief, training."""
        if ranking is not self._shown_ranking:
            self._taken.clear()
            self._shown_ranking = ranking
            self._charted = None
        self._candidates(snapshot, ranking)
        at_once = f"Training · {snapshot.session.execution.parallel} at once"
        self.query_one("#training-title", Edge).title_text = at_once
        self.query_one(TrainingPanel).show(snapshot, self.session.clock())
        self._selected()

    def _candidates(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        table = self.query_one("#candidates", Table)
        session, cost = snapshot.session, cost_of(snapshot)
        table.set_columns(
            (
                Column("rank", "#", 3, "right", gap=0),
                Column("network", "network", 0),
                Column("mean", "μ f", 5, "right"),
                Column("std", "σ f", 5, "right"),
                Column("ei", "EI", 6, "right"),
                Column("accuracy", words.metric(session).heading, 4, "right"),
                Column("cost", cost.heading(), 6 if cost.measure.exact else 5, "right"),
            )
        )
        rows = []
        proposals = ranking.proposals if ranking is not None else ()
        decided = self._decided(snapshot)
        for rank, proposal in enumerate(proposals, start=1):
            belief = proposal.prediction
            taken = proposal.id in decided
            rows.append(
                Row(
                    proposal.id,
                    (
                        words.STATE_MARKS["queued"] if taken else str(rank),
                        network_line(
                            proposal.config,
                            search.shown_level(session, session.level),
                            table.room,
                        ),
                        words.f_value(belief.mean if belief else None),
                        words.f_value(belief.std if belief else None),
                        words.improvement(belief.ei if belief else None),
                        words.percent(1 - belief.error if belief else None),
                        cost.of_candidate(belief, proposal.known),
                    ),
                    dim=taken,
                )
            )
        # another list is another question: nobody should train its second row unasked
        table.show(rows, first=True)
        self._headline(ranking)
        self._kept_to(snapshot)
        empty = self.query_one("#no-candidates", Text)
        empty.display = not rows
        if table.display != bool(rows):
            table.display = bool(rows)
            if rows:
                table.focus()
        if not rows:
            empty.update(self._empty(snapshot, ranking))

    def _empty(self, snapshot: Snapshot, ranking: Ranking | None) -> Content:
        if ranking is None:
            return Content(
                "Ranking the first candidates…"
                if self.session.ranking_running
                else "Candidates come with the first ranking."
            )
        if self.session.look:
            return Content.assemble(
                f"Nothing is left in {words.region(self.session.look)}.  ",
                ("esc", "bold $primary"),
                " ranks the whole level again.",
            )
        if ranking.exhausted and not ranking.candidates and snapshot.session.limits:
            return Content(ranking.advice)
        if ranking.exhausted and snapshot.session.flat:
            return Content.assemble(
                "Nothing is left that was not tried or rejected.  ",
                ("n", "bold $primary"),
                " enters a network of your own.",
            )
        if ranking.exhausted:
            return Content.assemble(
                "This level has nothing left that was not tried or rejected.  ",
                ("]", "bold $primary"),
                " goes on to the next level, ",
                ("n", "bold $primary"),
                " enters a network of your own.",
            )
        return Content("No candidate.")

    def _kept_to(self, snapshot: Snapshot) -> None:
        """What a person asked the ranking to keep to, under the candidates."""
        session, look = snapshot.session, self.session.look
        lines = []
        if look:
            lines.append(f"looking at {words.region(look)} alone · esc ends it")
        if session.favourite:
            lines.append(words.favoured(session, search.favour_strength(snapshot)))
        line = self.query_one("#kept-to", Text)
        if line.display != bool(lines):
            line.display = bool(lines)
        line.update("\n".join(lines))

    def _headline(self, ranking: Ranking | None) -> None:
        title = "Candidates"
        if ranking is not None:
            strategy = "gp" if self.snapshot is None else self.snapshot.session.strategy
            done = "ranked" if strategy == "gp" else f"by {strategy}"
            title += f" · {words.count(ranking.candidates)} {done} in {ranking.seconds:.1f} s"
        running = self.session.ranking_running
        if running:
            title += f" · ranking {SPINNER[self._beat % len(SPINNER)]}"
        self.query_one("#candidates-title", Edge).title_text = title
        if self._spinner is not None:
            if running:
                self._spinner.resume()
            else:
                self._spinner.pause()

    def _spin(self) -> None:
        self._beat += 1
        if self.is_current:
            self._headline(self.ranking)

    # -- the selected candidate -----------------------------------------------------------------

    @property
    def proposal(self) -> Proposal | None:
        """The candidate under the cursor."""
        ranking = self.ranking
        key = self.query_one("#candidates", Table).cursor_key
        if ranking is None or key is None:
            return None
        return next((p for p in ranking.proposals if p.id == key), None)

    def _selected(self) -> None:
        snapshot, ranking, proposal = self.snapshot, self.ranking, self.proposal
        if snapshot is None or self.session.client is None:
            return
        self.query_one(WhyPanel).show(
            proposal,
            ranking,
            self.space.measures,
            snapshot.session.strategy,
            "" if proposal is None else words.of_limits(proposal, snapshot.session),
        )
        self._chart(snapshot, ranking, proposal)

    def _axes(self, snapshot: Snapshot, proposal: Proposal) -> list[tuple[str, int | None]]:
        return axes_of(self.space, search.searched_level(snapshot.session), proposal.config)

    def _chart(
        self, snapshot: Snapshot, ranking: Ranking | None, proposal: Proposal | None
    ) -> None:
        chart = self.query_one("#belief", Chart)
        title = self.query_one("#belief-title", Edge)
        if ranking is None or proposal is None or proposal.prediction is None:
            title.title_text = "Belief"
            strategy = snapshot.session.strategy
            chart.empty = (
                "The belief is drawn once a trial has been measured."
                if strategy == "gp"
                else f"{strategy} has no belief. m chooses gp, which has."
            )
            chart.plot = None
            self._charted = None
            return
        axes = self._axes(snapshot, proposal)
        at = self._axis
        if at not in axes:
            at = most_relevant(ranking, axes)
        parameter, index = at
        label = entry_name(parameter, index)
        legend = f"Belief · f along {label} · trials ● · selected ◆"
        short = f"f along {label} · trials ● · selected ◆"
        title.title_text = legend if len(legend) + 5 <= title.size.width else short
        wanted = (ranking, proposal.id, at)
        if self._charted is not None and self._charted[:3] == wanted:
            return
        self._charted = wanted
        self._slices.ask(
            lambda: (wanted, proposal, ranking.profile(proposal.config, parameter, index))
        )

    def _sliced(self, result: tuple[Any, ...]) -> None:
        wanted, proposal, belief = result
        snapshot = self.snapshot
        if snapshot is None or self.session.client is None or self._charted != wanted:
            return
        self.query_one("#belief", Chart).plot = self._plot(snapshot, proposal, belief)

    def _plot(self, snapshot: Snapshot, proposal: Proposal, belief: Profile) -> Any:
        wc = self.ranking.wc if self.ranking is not None else snapshot.session.wc
        base = base_trial(snapshot)
        trials = [*level_trials(snapshot, snapshot.session.level), base]
        points = [
            (trial.config, value) for trial in trials if (value := objective(trial, wc)) is not None
        ]
        assert proposal.prediction is not None
        return belief_plot(self.space, belief, points, (proposal.config, proposal.prediction.mean))

    # -- actions --------------------------------------------------------------------------------

    def action_axis(self, step: int) -> None:
        """Chart the belief along another parameter."""
        snapshot, ranking, proposal = self.snapshot, self.ranking, self.proposal
        if snapshot is None or ranking is None or proposal is None:
            return
        axes = self._axes(snapshot, proposal)
        at = self._axis if self._axis in axes else most_relevant(ranking, axes)
        self._axis = axes[(axes.index(at) + step) % len(axes)]
        self._chart(snapshot, ranking, proposal)

    def action_accept(self) -> None:
        """Queue the selected candidate."""
        proposal = self._decidable()
        if proposal is None:
            return
        self._taken.add(proposal.id)
        advised = None if self.ranking is None else self.ranking.advised
        self.session.decide(lambda client: client.accept(proposal, advised=advised), queued_words)
        if self.snapshot is not None:
            self._candidates(self.snapshot, self.ranking)

    def action_edit(self) -> None:
        """Change the selected candidate."""
        proposal = self._decidable()
        if proposal is None:
            return
        ranking, snapshot = self.ranking, self.snapshot
        assert ranking is not None
        assert snapshot is not None
        rank = ranking.proposals.index(proposal) + 1
        level = words.level_label(snapshot.session.level, search.level_names(snapshot.session))
        self.edit(proposal.config, "edit", f"Edit candidate {rank} · {level}", proposal)

    def action_reject(self) -> None:
        """Take the selected candidate out of the ranking, with a reason."""
        proposal = self._decidable()
        if proposal is None:
            return
        from ..dialogs.reject import RejectDialog

        def reject(reason: str | None) -> None:
            if reason is None:
                return
            self._taken.add(proposal.id)
            self.session.decide(
                lambda client: client.reject(proposal, reason), "Rejected. u brings it back."
            )

        self.app.push_screen(RejectDialog(network_line(proposal.config)), reject)

    def action_region(self) -> None:
        """Favour a part of the domains, look at it alone, or search it alone."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        from ..dialogs.region import Region, RegionDialog

        def mark(region: Region | None) -> None:
            if region is None:
                return
            domains = region.domains
            if region.purpose == "look":
                self.session.look_at(domains)
                if self.snapshot is not None:  # what came while the dialog was open stays
                    self.repaint(self.snapshot, self.ranking)
            elif region.purpose == "search":
                self.session.decide(
                    lambda client: client.set_domains(domains), "The domains are set. u undoes it."
                )
            else:
                said = "The region is favoured." if domains else "No region is favoured any more."
                self.session.decide(lambda client: client.favour(domains), f"{said} u undoes it.")

        self.app.push_screen(
            RegionDialog(snapshot, self.session.look, self._around_the_charted()), mark
        )

    def _around_the_charted(self) -> dict[str, str]:
        """The parameter that a person went to in the chart, around the selected candidate."""
        proposal = self.proposal
        if proposal is None or self._axis is None or self._charted is None:
            return {}
        from ..dialogs.region import around

        parameter, index = self._charted[2]
        value = entry(proposal.config, parameter, index)
        if self._axis != (parameter, index) or value is None:
            return {}
        own = self.space[parameter]
        return {parameter: around(own.domain, own.relative(value, proposal.config))}

    def action_look_away(self) -> None:
        """Rank the whole level again."""
        if self.session.look:
            self.session.look_at({})
            if self.snapshot is not None:
                self.repaint(self.snapshot, self.ranking)

    def action_strategy(self) -> None:
        """Choose what proposes."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        from ..dialogs.strategy import StrategyDialog

        present = snapshot.session.strategy

        def choose(strategy: str | None) -> None:
            if strategy is not None and strategy != present:
                self.session.decide(
                    lambda client: client.set_strategy(strategy),
                    f"{strategy} proposes. u undoes it.",
                )

        self.app.push_screen(StrategyDialog(present), choose)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Looking away is offered only to who looks."""
        if action == "look_away":
            return bool(self.session.look)
        return super().check_action(action, parameters)

    def _decided(self, snapshot: Snapshot) -> set[str]:
        """Candidates of this ranking that were decided on since it was begun."""
        ended = ("cancelled", "stopped", "failed")
        return self._taken | {t.key for t in snapshot.trials if t.state not in ended}

    def _decidable(self) -> Proposal | None:
        proposal = self.proposal
        if proposal is None:
            waiting = self.ranking is None or self.session.ranking_running
            self.notify("The ranking is on its way." if waiting else "No candidate is selected.")
        elif self.snapshot is not None and proposal.id in self._decided(self.snapshot):
            self.notify("This one is decided already. The next ranking is on its way.")
            return None
        return proposal

    def figure(self) -> Figure | None:
        """The belief that is charted."""
        from ..sharing import figures

        snapshot, charted, proposal = self.snapshot, self._charted, self.proposal
        ranking = self.ranking
        if snapshot is None or charted is None or proposal is None or ranking is None:
            return None
        found = ranking.profile(proposal.config, *charted[2])
        return figures.belief(snapshot, self.space, found, proposal)

    def yank_text(self) -> str | None:
        """The selected candidate as JSON."""
        proposal = self.proposal
        if proposal is None:
            return None
        belief = proposal.prediction
        return json.dumps(
            {
                "id": proposal.id,
                "config": proposal.config,
                "prediction": None if belief is None else belief.model_dump(),
            },
            ensure_ascii=False,
        )
