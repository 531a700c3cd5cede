"""Sessions side by side, in words: one chart of their fronts, and tables for screen and page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...engine.search.beforehand import prior_name
from ...engine.search.comparing import comparable_cost
from ...engine.search.standing import objective
from ...engine.tasks.limits import spelled_limit
from ...engine.tasks.task import measure_of, space_name, task_of
from ...sessions.choices import METRICS
from ...sessions.errors import Misuse
from ...sessions.records import now
from .. import format as words
from ..cost import number
from ..plot import Figure
from .charts import SESSIONS, fronts_plot
from .page import MOMENT
from .report import Comparing, Table

if TYPE_CHECKING:
    from ...engine.search.comparing import Comparison, LimitOn, Side, Within
    from ...engine.tasks.measure import Measure
    from ...sessions.records import Session, Trial


def told(found: Comparison) -> Comparing:
    """The whole comparison in words."""
    names = tuple(side.name for side in found.sides)
    headings = ("", *names)
    within = tuple(
        (_limits(row.limits, found), *(_reached(trial, found) for trial in row.best))
        for row in found.within
    )
    differs = tuple((what, *values) for what, values in differences(found).items())
    return Comparing(
        title=" and ".join(names) if len(names) == 2 else ", ".join(names),
        lead=f"{words.sentence(words.plural(len(names), 'session'))} that search for "
        f"{task_of(found.sides[0].snapshot.session).title}, side by side.",
        warnings=tuple(warnings(found)),
        figures=(figure(found),),
        tables=(
            (
                "What each has come to",
                "Recommended by each session's own goal; f of two sessions compares only where "
                "they weigh the same. Time is of training alone, all epochs of all trials.",
                Table(headings, tuple(_standing(found))),
            ),
            (
                "The best within limits",
                "The best measured; where the limit is on the metric, the cheapest."
                if within
                else "No session has a limit that compares; `--limit 'params<=20k'` asks for one.",
                Table(headings, within),
            ),
            (
                "What differs in the set-up",
                "All else is the same." if differs else "Nothing differs.",
                Table(headings, differs),
            ),
        ),
        footer=f"Written by lcsearch {__version__}, {now().strftime(MOMENT)}.",
    )


def warnings(found: Comparison) -> Iterator[str]:
    """What does not compare, and why, in sentences."""
    if found.unlike:
        yield f"What they reach does not compare: {'; '.join(found.unlike)}."
    for name, why in found.left_out.items():
        yield f"By {name} they are not compared: {why}."
    for side in found.sides:
        if not any(trial.observed for trial in side.snapshot.trials):
            yield f"Session {side.name} has no trial done yet."
    measures = {side.snapshot.session.measure for side in found.sides}
    task = task_of(found.sides[0].snapshot.session)
    told = measures - found.left_out.keys()
    counted = [m.noun for m in task.measures if m.name in told and not m.exact]
    if counted and found.measure.exact:
        yield (
            f"They are drawn by {found.measure.label}, which arithmetic knows and which compares "
            f"anywhere; {' and '.join(counted)} depends on the machine and on its load."
        )


def figure(found: Comparison) -> Figure:
    """The fronts in one chart.  Raises Misuse for more sessions than marks can tell apart."""
    if len(found.sides) > len(SESSIONS):
        raise Misuse(f"{len(found.sides)} sessions: at most {len(SESSIONS)} fit into one chart.")
    measure, unit = found.measure, _unit(found.measure)
    metrics = dict.fromkeys(words.metric(s.snapshot.session).validated for s in found.sides)
    fronts = [
        [
            (trial.number, cost / unit, 100 * (1 - (trial.error or 0.0)))
            for trial in side.front
            if (cost := comparable_cost(measure, trial)) is not None
        ]
        for side in found.sides
    ]
    most = [
        value / unit
        for row in found.within
        for name, value in row.limits
        if len(row.limits) == 1 and name == measure.name
    ]
    exact = task_of(found.sides[0].snapshot.session).exact
    legend = [
        (char, ink, side.name) for side, (char, ink) in zip(found.sides, SESSIONS, strict=False)
    ]
    plot = fronts_plot(fronts, most)
    if plot is not None and any(line.ink == "limit" for line in plot.lines):
        legend.append(("-", "limit", "a limit"))
    return Figure(
        name="fronts",
        title=f"The best at each cost: {', '.join(side.name for side in found.sides)}",
        x=_axis(measure),
        y=f"best {', '.join(metrics)}, %",
        plot=plot,
        columns=(
            "session", "trial", "level", "metric", "score", "error", "f",
            *(m.name for m in exact), "cost", "front",
        ),
        rows=tuple(row for side in found.sides for row in _rows(side, found)),
        legend=tuple(legend),
    )  # fmt: skip


def _rows(side: Side, found: Comparison) -> Iterator[tuple[Any, ...]]:
    """Every trial that is done.  cost: what it is drawn by."""
    session = side.snapshot.session
    front = {trial.number for trial in side.front}
    exact = task_of(session).exact
    for t in side.snapshot.trials:
        if t.observed:
            f = objective(t, session.wc)
            yield (
                side.name, t.number, t.level, session.metric, 1 - (t.error or 0.0), t.error, f,
                *(_whole(t.costs.get(m.name)) for m in exact),
                _whole(comparable_cost(found.measure, t)), t.number in front,
            )  # fmt: skip


def _whole(value: float | None) -> float | None:
    """What arithmetic counts is a whole number, and is written as one."""
    return int(value) if value is not None and value == int(value) else value


def _unit(measure: Measure) -> float:
    """What 1 on the axis is."""
    return measure.scale if measure.absolute else 1.0


def _axis(measure: Measure) -> str:
    if measure.absolute:
        return measure.axis
    return f"{measure.noun} (1 = the reference network)"


def _cost(measure: Measure, trial: Trial | None) -> str:
    """A trial's cost as they are compared by it, without its unit."""
    value = None if trial is None else comparable_cost(measure, trial)
    if value is None:
        return words.DASH
    return number(measure, value) if measure.absolute else words.times(value)


def _standing(found: Comparison) -> Iterator[tuple[str, ...]]:
    """The lines of the first table: what, and of each session."""
    sides = found.sides
    done = [sum(trial.observed for trial in side.snapshot.trials) for side in sides]
    yield "trials done", *map(str, done)
    yield "time spent", *(_spent(side.seconds) for side in sides)
    yield "goal", *(f"f = {words.formula(side.snapshot.session.wc)}" for side in sides)
    yield "recommended", *(_named(side) for side in sides)
    yield "f", *(_f(side) for side in sides)
    metrics = dict.fromkeys(words.metric(side.snapshot.session).title for side in sides)
    yield (
        " / ".join(metrics),
        *(
            f"{words.percent(1 - (t.error or 0.0), 2)} %" if (t := _chosen(s)) else words.DASH
            for s in sides
        ),
    )
    exact = task_of(sides[0].snapshot.session).exact
    for measure in dict.fromkeys([*exact, found.measure]):
        yield (
            measure.label,
            *(_cost(measure, t) if (t := _chosen(side)) else words.DASH for side in sides),
        )


def _spent(seconds: float) -> str:
    """Small networks train in less than a second."""
    return f"{seconds:.2g} s" if 0 < seconds < 10 else words.duration(seconds)


def _chosen(side: Side) -> Trial | None:
    return None if side.recommended is None else side.recommended.trial


def _named(side: Side) -> str:
    best = side.recommended
    return "none yet" if best is None else f"trial {best.number}, {best.why}"


def _f(side: Side) -> str:
    trial = _chosen(side)
    if trial is None:
        return words.DASH
    return words.f_measured(objective(trial, side.snapshot.session.wc))


def _limits(limits: tuple[LimitOn, ...], found: Comparison) -> str:
    """Limits as a person types them: `params<=20k`."""
    measures = task_of(found.sides[0].snapshot.session).measures
    return " and ".join(spelled_limit(name, value, measures) for name, value in limits)


def _reached(trial: Trial | None, found: Comparison) -> str:
    """`trial 7: 85.1 %, 18,210 parameters`."""
    if trial is None:
        return "none"
    reached = words.percent(1 - (trial.error or 0.0), 2)
    unit = found.measure.unit if found.measure.absolute else "the reference's"
    return f"trial {trial.number}: {reached} %, {_cost(found.measure, trial)} {unit}"


def differences(found: Comparison) -> dict[str, tuple[str, ...]]:
    """What of the set-up is not the same in all: what -> how it is in each session."""
    each = [_setup(side) for side in found.sides]
    values = {what: tuple(one[what] for one in each) for what in each[0]}
    return {what: told for what, told in values.items() if len(set(told)) > 1}


def _setup(side: Side) -> dict[str, str]:
    """All of a session's set-up that another may have otherwise, in words."""
    session = side.snapshot.session
    images, where = session.summary, session.execution
    measures = task_of(session).measures
    machines = dict.fromkeys(
        ", ".join(filter(None, (words.machine(m), m.dtype, m.node)))
        for trial in side.snapshot.trials
        if (m := trial.machine) is not None
    )
    limits = [spelled_limit(name, value, measures) for name, value in session.limits.items()]
    return {
        "data": session.data.spec,
        "images": f"{words.count(images.train)} to train on, {words.count(images.val)} to "
        f"validate, {words.count(images.test)} to test",
        "of each": f"{images.width}x{images.height}x{images.channels} in {images.classes} classes",
        "fingerprint": images.fingerprint[:16],
        "epochs a trial": str(session.epochs),
        "metric": session.metric,
        "seed": str(session.seed),
        "complexity": measure_of(session).noun,
        "w_c": words.weight(session.wc),
        "limits": " · ".join(limits) or "none",
        "cap on MACs": "none" if session.macs_cap is None else f"{session.macs_cap:g}x",
        "space": space_name(session),
        "begins with": _begins(session),
        "domains": words.region(session.domains) or "as they are",
        "favoured": words.region(session.favourite) or "none",
        "proposed by": session.strategy,
        "prior": prior_name(session),
        "learns from": words.learning(session) or "none",
        "levels": "one" if session.flat else "one after another",
        "trials a level": str(session.trials_per_level),
        "features": str(session.features),
        "augmented": session.augment,
        "class weights": session.class_weights,
        "behind": "stopped" if session.stop_behind else "marked",
        "deployed as": session.weights,
        "runtime": _runtime(side, session),
        "trials run": f"{where.executor}, {where.parallel} at once, in {where.dtype}",
        "machine": "; ".join(machines) or words.DASH,
    }


def _begins(session: Session) -> str:
    """What parameters are before their level is searched, where their space says so."""
    begun = session.defaults.items()
    return ", ".join(f"{name} {words.number(value)}" for name, value in begun) or words.DASH


def _runtime(side: Side, session: Session) -> str:
    """What runs networks whose latency is measured, and where they were timed."""
    timed = dict.fromkeys(f"{t.runtime}, {t.machine}" for t in side.snapshot.latencies.values())
    return "; ".join(timed) or session.runtime or words.DASH


def as_json(found: Comparison) -> dict[str, Any]:
    """The comparison for a program."""
    measures = task_of(found.sides[0].snapshot.session).measures
    return {
        "cost": found.measure.name,
        "warnings": list(warnings(found)),
        "sessions": [_side_json(side, found) for side in found.sides],
        "limits": [_within_json(row, found, measures) for row in found.within],
        "differences": {
            what: {side.name: text for side, text in zip(found.sides, values, strict=True)}
            for what, values in differences(found).items()
        },
    }


def _side_json(side: Side, found: Comparison) -> dict[str, Any]:
    best = side.recommended
    recommended = None
    if best is not None:
        recommended = {**_trial_json(best.trial, side, found), "why": best.why}
    return {
        "name": side.name,
        "trials_done": sum(trial.observed for trial in side.snapshot.trials),
        "seconds": side.seconds,
        "metric": side.snapshot.session.metric,
        "recommended": recommended,
        "front": [_trial_json(trial, side, found) for trial in side.front],
    }


def _trial_json(trial: Trial, side: Side, found: Comparison) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "score": 1 - (trial.error or 0.0),
        "f": objective(trial, side.snapshot.session.wc),
        "cost": comparable_cost(found.measure, trial),
        "costs": dict(trial.costs),
    }


def _within_json(row: Within, found: Comparison, measures: tuple[Measure, ...]) -> dict[str, Any]:
    return {
        "limits": [
            {
                "text": spelled_limit(name, value, measures),
                "least" if name in METRICS else "most": value,
                "of": name,
            }
            for name, value in row.limits
        ],
        "best": {
            side.name: None if trial is None else _trial_json(trial, side, found)
            for side, trial in zip(found.sides, row.best, strict=True)
        },
    }
