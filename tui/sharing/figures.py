"""A session's charts as figures to share: the plots of the screens, their words and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...engine.search.front import pareto
from ...engine.search.limits import limits_of
from ...engine.search.scorecard import coverage, outcomes
from ...engine.search.standing import (
    base_trial,
    keeping,
    level_trials,
    objective,
    searched_level,
)
from ...engine.tasks.limits import spelled_limit
from ...engine.tasks.parameter import entry_key, entry_name
from ...engine.tasks.task import level_names, measure_named, task_of
from ...sessions.errors import Misuse, StoreError
from ...sessions.exchange import as_exported, exported_names
from .. import format as words
from ..cost import cost_of
from ..format import under
from ..plot import POSITIVE, Figure, Line, Mark, Plot, at_edge, axis, near

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Front, Profile, Proposal
    from ...engine.tasks.measure import Measure
    from ...engine.tasks.space import Space
    from ...sessions.records import Session, Trial
    from ...sessions.snapshot import Snapshot
    from ..cost import Cost
    from ..ports import Client

CURVES = 4
"""Trials overlaid where nobody has marked any: the best ones."""


def tradeoff(
    snapshot: Snapshot,
    wc: float | None = None,
    selected: Trial | None = None,
    *,
    measure: Measure | None = None,
    believed: Front | None = None,
    log: bool | None = None,
) -> Figure:
    """The metric against complexity or another cost, the Pareto front, the lines of equal f.

    believed: what the candidates are expected to reach, by the same cost.  log: see `charts`.
    """
    from .charts import tradeoff_plot

    weight = snapshot.session.wc if wc is None else wc
    cost, metric = cost_of(snapshot, measure), words.metric(snapshot.session)
    plot = tradeoff_plot(snapshot, cost, weight, selected, believed, log)
    measured = [trial for trial in snapshot.trials if trial.observed]
    front = {trial.number for trial in pareto(keeping(snapshot), cost.drawn)}
    against = "complexity" if cost.counted else cost.measure.noun
    return Figure(
        name="tradeoff",
        title=f"{snapshot.session.name}: {metric.title} against {against}",
        x=cost.axis,
        y=f"best {metric.validated}, %",
        plot=plot,
        columns=(
            "trial", "level", "error", "complexity", "f", snapshot.session.metric,
            *_cost_columns(snapshot), "front",
        ),
        rows=tuple(
            (
                t.number, t.level, t.error, t.complexity, objective(t, weight),
                1 - (t.error or 0.0), *_cost_columns(snapshot, t), t.number in front,
            )
            for t in measured
        ),
        legend=() if plot is None else tuple(
            _tradeoff_legend(plot, snapshot.session, cost, weight, selected)
        ),
    )  # fmt: skip


def _tradeoff_legend(
    plot: Plot, session: Session, cost: Cost, weight: float, selected: Trial | None
) -> Iterator[tuple[str, str, str]]:
    """What is drawn, and no more."""
    looks = {
        "front": ("●", "nothing is both better and cheaper"),
        "trial": ("★", "lowest f"),
        "dim": ("•", "beaten in both"),
        "broken": ("○", "breaks a limit"),
        "selected": ("◆", "" if selected is None else f"trial {selected.number}"),
    }
    drawn = {mark.ink for mark in plot.marks}
    for ink, (char, what) in looks.items():
        if ink in drawn:
            yield char, ink, what
    inks = {line.ink for line in plot.lines}
    if "faint" in inks:
        yield "--", "faint", f"equal f at w_c {words.weight(weight)}"
    if plot.band is not None:
        yield "band", "band", "to be expected of candidates, ± σ"
    if plot.forbidden:
        drawn_limits = {cost.measure.name, session.metric} & limits_of(session).keys()
        measures = task_of(session).measures
        told = [spelled_limit(n, limits_of(session)[n], measures) for n in sorted(drawn_limits)]
        yield "-", "limit", " · ".join(told)


def _cost_columns(snapshot: Snapshot, trial: Trial | None = None) -> Iterator[Any]:
    """Names of the columns of costs, as an export has them; a trial's, if one is given."""
    for measure in task_of(snapshot.session).measures:
        cost, beside = exported_names(measure.name)
        yield cost if trial is None else as_exported(cost, trial.costs.get(measure.name))
        if not measure.exact:
            yield beside if trial is None else trial.reference_costs.get(measure.name)


def calibration(snapshot: Snapshot) -> Figure:
    """Measured f against predicted, the whiskers two predictive standard deviations."""
    from .charts import trust_plot

    results = outcomes(snapshot)
    inside = coverage(results)
    told = f"{inside} of {len(results)} within 2σ" if results else "nothing predicted yet"
    other = under(results, snapshot.session.wc)
    told += f", {other}" if other else ""
    return Figure(
        name="calibration",
        title=f"{snapshot.session.name}: measured against predicted, {told}",
        x="predicted f",
        y="measured f",
        plot=trust_plot(results),
        columns=("trial", "mean", "predictive_std", "wc", "f", "within_2_std"),
        rows=tuple(
            (r.trial.number, r.mean, r.std, r.wc, r.f, r.within) for r in results
        ),
        legend=(
            ("-", "mean", "exactly right"),
            ("│", "whisker", "predicted ± 2σ"),
            ("●", "trial", "within"),
            ("✗", "selected", "outside"),
        ),
        empty="A point for every trial that was predicted and measured.",
    )  # fmt: skip


def convergence(snapshot: Snapshot) -> Figure:
    """f of every trial in the order of the session, and the best so far."""
    wc = snapshot.session.wc
    found = [(t, value) for t in snapshot.trials if (value := objective(t, wc)) is not None]
    rows: list[tuple[Any, ...]] = []
    best: float | None = None
    for trial, value in found:
        best = value if best is None else min(best, value)
        rows.append((trial.number, trial.level, value, best))
    return Figure(
        name="convergence",
        title=f"{snapshot.session.name}: f, trial by trial (w_c {words.weight(wc)})",
        x="trial",
        y="f = f_p + w_c · f_c",
        plot=_convergence_plot(snapshot, rows) if rows else None,
        columns=("trial", "level", "f", "best_f"),
        rows=tuple(rows),
        legend=(
            ("●", "trial", "f of a trial"),
            ("-", "mean", "smallest so far"),
            ("--", "faint", "where a level's trials begin"),
        ),
    )


def _convergence_plot(snapshot: Snapshot, rows: Sequence[tuple[Any, ...]]) -> Plot:
    # one trial that learnt nothing would press everything else flat
    values = [value for _, _, value, _ in rows]
    vertical = axis(near(values, [min(values)]), ticks=5, within=POSITIVE)
    numbers = [float(number) for number, *_ in rows]
    horizontal = axis([*numbers, numbers[0] + 1], ticks=6)
    whole = tuple((at, f"{at:.0f}") for at, _ in horizontal.ticks if at == int(at))
    horizontal = type(horizontal)(horizontal.low, horizontal.high, whole)
    lines = []
    names = level_names(snapshot.session)
    for level in range(1, len(names) + 1):
        begun = [number for number, of, *_ in rows if of == level]
        if begun:
            at = min(begun) - 0.5
            lines.append(Line((at, at), (vertical.low, vertical.high), "faint", dashed=True))
    xs: list[float] = []
    ys: list[float] = []
    for number, _, _, best in rows:
        if ys:
            xs.append(float(number))
            ys.append(ys[-1])
        xs.append(float(number))
        ys.append(best)
    lines.append(Line(xs, [min(y, vertical.high) for y in ys], "mean"))
    marks = tuple(
        at_edge(
            Mark(float(number), value, label="" if vertical.holds(value) else f"{value:.2f}"),
            horizontal,
            vertical,
        )
        for number, _, value, _ in rows
    )
    return Plot(horizontal, vertical, lines=tuple(lines), marks=marks)


def curves(snapshot: Snapshot, numbers: Sequence[int] = ()) -> Figure:
    """The metric by epoch, of these trials; of the best ones where none is named."""
    from .charts import curves as curves_plot

    wc = snapshot.session.wc
    if not numbers:
        found = [(value, t.number) for t in snapshot.trials if (value := objective(t, wc))]
        numbers = [number for _, number in sorted(found)[:CURVES]]
    shown = [snapshot.trials[number] for number in numbers]
    metric = words.metric(snapshot.session)
    another = () if snapshot.session.metric == "accuracy" else ("val_metric",)
    columns = ("val_accuracy", *another, "train_loss", "seconds", "reference_seconds")
    return Figure(
        name="curves",
        title=f"{snapshot.session.name}: {metric.validated} by epoch",
        x="epoch",
        y=f"{metric.validated}, %",
        plot=curves_plot(shown, snapshot.session.epochs),
        columns=("trial", "epoch", *columns),
        rows=tuple(
            (t.number, e.epoch, *(getattr(e, column) for column in columns))
            for t in shown
            for e in t.epochs
        ),
        empty="Curves come with the first epoch.",
    )


def belief(snapshot: Snapshot, space: Space, found: Profile | None, proposal: Proposal) -> Figure:
    """What the model believes of f along one parameter, everything else as in a candidate."""
    from .charts import belief_plot

    label = "" if found is None else entry_name(found.parameter, found.index)
    wc = snapshot.session.wc
    prediction = proposal.prediction
    plot = None
    if found is not None and prediction is not None:
        trials = [*level_trials(snapshot, snapshot.session.level), base_trial(snapshot)]
        points = [(t.config, value) for t in trials if (value := objective(t, wc)) is not None]
        plot = belief_plot(space, found, points, (proposal.config, prediction.mean))
    return Figure(
        name="belief",
        title=f"{snapshot.session.name}: belief about f along {label}",
        x=label,
        y="f",
        plot=plot,
        columns=(
            "value" if found is None else entry_key(found.parameter, found.index),
            "mean",
            "std",
            "near",
        ),
        rows=()
        if found is None
        else tuple(
            (value, float(mean), float(std), None if found.near is None else float(found.near[at]))
            for at, (value, mean, std) in enumerate(
                zip(found.values, found.mean, found.std, strict=True)
            )
        ),
        legend=(
            ("-", "mean", "mean; dashed or in brackets: what is usual, no trial is near"),
            ("band", "band", "± σ"),
            ("●", "trial", "trials"),
            ("◆", "selected", "candidate"),
        ),
        empty="The belief is drawn once a trial has been measured.",
    )


def of(
    client: Client,
    what: str,
    numbers: Sequence[int] = (),
    along: str | None = None,
    cost: str | None = None,
) -> Figure:
    """The figure of this name.

    Raises Misuse for a trial, a parameter or a cost that is not there, or that the figure has no
    use for.
    """
    if numbers and what != "curves":
        raise Misuse(f"--trial: {what} shows every trial; only curves are drawn of chosen ones.")
    if along is not None and what != "belief":
        raise Misuse(f"--along {along}: only belief is drawn along a parameter, not {what}.")
    if cost is not None and what != "tradeoff":
        raise Misuse(f"--cost {cost}: only tradeoff is drawn against a cost, not {what}.")
    snapshot = client.refresh()
    for number in numbers:
        if not 0 <= number < len(snapshot.trials):
            last = len(snapshot.trials) - 1
            raise Misuse(f"--trial {number}: this session has trials 0 to {last}.")
    match what:
        case "tradeoff":
            return _tradeoff_of(client, snapshot, cost)
        case "convergence":
            return convergence(snapshot)
        case "calibration":
            return calibration(snapshot)
        case "curves":
            return curves(snapshot, numbers)
    return _belief_of(client, snapshot, along)


def _tradeoff_of(client: Client, snapshot: Snapshot, cost: str | None) -> Figure:
    """Against this cost, or the one that the session counts, with what is believed of it."""
    session = snapshot.session
    measure = None if cost is None else measure_named(cost, task_of(session))
    believed = cost_of(snapshot, measure).front(client.rank(snapshot, count=1))
    return tradeoff(snapshot, measure=measure, believed=believed)


def _belief_of(client: Client, snapshot: Snapshot, along: str | None) -> Figure:
    """Along this parameter, or the one that matters most; at the best candidate of the level."""
    from .charts import axes_of, most_relevant

    space = client.space
    ranking = client.rank(snapshot, count=1)
    if not ranking.proposals:
        raise StoreError(f"belief: there is no candidate to draw it at. {ranking.advice}")
    proposal = ranking.proposals[0]
    axes = axes_of(space, searched_level(snapshot.session), proposal.config)
    labels = [entry_name(name, index) for name, index in axes]
    if along is not None and along not in labels:
        raise Misuse(f"--along {along}: not searched in this level. Use {', '.join(labels)}.")
    if proposal.prediction is None:
        return belief(snapshot, space, None, proposal)
    at = most_relevant(ranking, axes) if along is None else axes[labels.index(along)]
    return belief(snapshot, space, ranking.profile(proposal.config, *at), proposal)
