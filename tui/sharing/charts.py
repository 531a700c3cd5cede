"""The figures of a session as plots, for the terminal and for files alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.objective import best_error, error_at
from ...engine.search.front import pareto
from ...engine.search.limits import limits_of
from ...engine.search.scorecard import Outcome
from ...engine.search.standing import best_measured, keeping, objective
from ...engine.tasks.domains import Categorical, Domain, Integer, Real
from ...sessions.choices import COST_ALONE
from .. import format as words
from ..plot import (
    PERCENT,
    POSITIVE,
    Array,
    Axis,
    Band,
    Bar,
    Box,
    Line,
    Mark,
    Plot,
    at_edge,
    axis,
    near,
)

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Front, Profile, Ranking
    from ...engine.tasks.parameter import Parameter
    from ...engine.tasks.space import Space
    from ...sessions.records import Config, Trial
    from ...sessions.snapshot import Snapshot
    from ..cost import Cost


INKS = ("selected", "mean", "trial", "front", "label")


def curves(trials: list[Trial], epochs: int) -> Plot | None:
    """The metric on the validation images by epoch, one line a trial, its number at the end."""
    drawn = [trial for trial in trials if trial.epochs]
    if not drawn:
        return None
    # the first one is looked at, and shown whole; others are as far as they come near it
    first, *others = [[100 * epoch.score for epoch in trial.epochs] for trial in drawn]
    ends = near((values[-1] for values in others), first, bulk=False)
    seen = near((value for values in others for value in values), ends, bulk=False)
    vertical = axis(seen, ticks=5, within=PERCENT)
    last = max(epochs, max(trial.epochs[-1].epoch for trial in drawn))
    shown = sorted({1, *(round(1 + i * (last - 1) / 4) for i in range(1, 5))})
    # room for the numbers at the ends
    right = last + max(0.9, 0.08 * last)
    horizontal = Axis(0.5, right, tuple((float(e), str(e)) for e in shown))
    lines, last_marks, below = [], [], []
    for place, (trial, ys) in enumerate(zip(drawn, (first, *others), strict=True)):
        ink = INKS[place % len(INKS)]
        xs = [float(epoch.epoch) for epoch in trial.epochs]
        lines.append(Line(xs, ys, ink, dashed=place > 0))
        end = Mark(xs[-1], ys[-1], "◆" if place == 0 else "●", ink, label=f" {trial.number}")
        last_marks.append(at_edge(end, horizontal, vertical))
        below += [
            at_edge(Mark(x, y, ink=ink), horizontal, vertical)
            for x, y in zip(xs[:-1], ys[:-1], strict=True)
            if not vertical.holds(y)
        ]
    return Plot(
        horizontal,
        vertical,
        lines=tuple(reversed(lines)),
        marks=(*below, *reversed(last_marks)),
    )


LOG_FROM = 5.0
"""A cost is drawn on a logarithmic axis where what is seen of it spans more than this factor."""
SAMPLED = 33
"""Points of a line of equal f on such an axis, where it is a curve."""


def standing_at(trial: Trial, cost: Cost) -> tuple[float, float] | None:
    """Cost and metric of a trial, of a failed one as far as it came; None where there are none."""
    x = cost.drawn(trial)
    error = trial.error
    if trial.state == "failed" and trial.epochs:
        error = best_error(trial.epochs)
    return None if x is None or error is None else (x, 100 * (1 - error))


def tradeoff_plot(
    snapshot: Snapshot,
    cost: Cost,
    wc: float,
    selected: Trial | None = None,
    believed: Front | None = None,
    log: bool | None = None,
) -> Plot | None:
    """Trials as points, the front joined, what is believed of it, the limits; lines of equal f
    through the best and above it, where f counts this cost.

    The axes hold the front, the best, the selected trial and the bulk of the others; what is far
    off stands at the edge with its number.  The front is of the trials that keep the limits.  log:
    of the axis of the cost; None chooses.
    """
    session = snapshot.session
    points = {t.number: at for t in snapshot.trials if (at := standing_at(t, cost)) is not None}
    measured = [t for t in snapshot.trials if t.observed and t.number in points]
    best = best_measured(snapshot, wc)
    if not measured or best is None:
        return None
    good = keeping(snapshot)
    front = pareto(good, cost.drawn)
    broken = {t.number for t in measured} - {t.number for t in good}
    chosen = [t for t in (best, selected) if t is not None and t.number in points]
    limits = limits_of(session)
    most, least = limits.get(cost.measure.name), limits.get(session.metric)
    most = None if most is None else most / cost.unit
    least = None if least is None else 100 * least
    kept = [points[trial.number] for trial in (*front, *chosen)] or [points[measured[0].number]]
    horizontal = _cost_axis(
        [points[t.number][0] for t in measured] + ([] if most is None else [most]),
        [x for x, _ in kept],
        log,
    )
    heights = [points[t.number][1] for t in measured] + ([] if least is None else [least])
    if believed is not None and (last := believed.within(horizontal.high * cost.unit)) is not None:
        heights.append(100 * (1 - float(believed.error[last])))
    vertical = axis(near(heights, [y for _, y in kept]), ticks=5, within=PERCENT)
    lines = (
        []
        if not cost.counted
        else _equal_f(objective(best, wc) or 0.0, wc, cost, horizontal, vertical)
    )
    band = None
    if believed is not None and (steps := _steps(believed, cost, horizontal, most)) is not None:
        xs, expected, std = steps
        band = Band(xs, np.maximum(expected - std, 0.0), np.minimum(expected + std, 100.0))
        lines.append(Line(xs, expected, "believed"))
    forbidden, borders = _limits(most, least, horizontal, vertical)
    lines += borders
    lines.append(
        Line(
            [points[t.number][0] for t in front],
            [points[t.number][1] for t in front],
            "front",
            dashed=True,
        )
    )
    looks = dict.fromkeys(broken, ("○", "broken"))
    looks |= {trial.number: ("●", "front") for trial in front}
    looks[best.number] = "★", "trial"
    if selected is not None:
        looks[selected.number] = "◆", "selected"
    # the best and the selected one lie over the front, and keep their numbers before it does
    numbered = [t.number for t in front if t not in chosen] + [t.number for t in chosen]
    marks = []
    for trial in snapshot.trials:
        if trial.number not in points or trial.number in numbered:
            continue
        x, y = points[trial.number]
        beyond = not (horizontal.holds(x) and vertical.holds(y))
        if trial.observed:
            look = looks.get(trial.number, ("•", "dim"))
            mark = Mark(x, y, *look, label=str(trial.number) if beyond else "")
            marks.append(at_edge(mark, horizontal, vertical))
        elif not beyond:
            marks.append(Mark(x, y, "✗", "dim"))
    for number in dict.fromkeys(numbered):
        marks.append(Mark(*points[number], *looks[number], label=str(number)))
    return Plot(
        horizontal, vertical, band=band, lines=tuple(lines), marks=tuple(marks), forbidden=forbidden
    )


SESSIONS = (
    ("●", "mean"), ("◆", "trial"), ("■", "front"), ("★", "selected"), ("○", "label"),
)  # fmt: skip
"""The marks of sessions side by side, and their inks: as many as can be told apart."""


def fronts_plot(
    fronts: Sequence[Sequence[tuple[int, float, float]]], most: Sequence[float] = ()
) -> Plot | None:
    """The fronts of several sessions: of each its trials as (number, cost, metric in percent).

    most: limits on the cost, drawn where the axis holds them.  None where there is no trial.
    """
    points = [point for front in fronts for point in front]
    if not points:
        return None
    costs = [cost for _, cost, _ in points]
    horizontal = _cost_axis(costs, costs, None)
    vertical = axis([value for _, _, value in points], ticks=5, within=PERCENT)
    lines = [
        Line((at, at), (vertical.low, vertical.high), "limit")
        for at in most
        if horizontal.holds(at)
    ]
    marks = []
    for place, (front, (char, ink)) in enumerate(zip(fronts, SESSIONS, strict=False)):
        xs, ys = [cost for _, cost, _ in front], [value for _, _, value in front]
        if front:
            lines.append(Line(xs, ys, ink, dashed=place > 0))
        marks += [Mark(cost, value, char, ink, label=str(number)) for number, cost, value in front]
    return Plot(horizontal, vertical, lines=tuple(lines), marks=tuple(marks))


def _cost_axis(costs: Sequence[float], keep: Sequence[float], log: bool | None) -> Axis:
    """What an axis of a cost spans; log: None is where that spans a large factor."""
    seen = near(costs, keep)
    if log is None:
        log = max(seen) > LOG_FROM * min(seen)
    return axis(seen, ticks=5, within=POSITIVE, log=log)


def _equal_f(value: float, wc: float, cost: Cost, horizontal: Axis, vertical: Axis) -> list[Line]:
    """Where f is this, and, dashed, where it is more; higher lines are better."""
    span = vertical.high - vertical.low
    if wc == COST_ALONE:  # f is the cost: one line, upright
        x = value * cost.scale
        return [Line([x, x], [vertical.low, vertical.high], "faint")]
    xs = [horizontal.at(s) for s in np.linspace(0, 1, SAMPLED if horizontal.log else 2).tolist()]
    lines = []
    for step in range(4):
        f = value + step * span / 100 / 4
        ys = [100 * (1 - error_at(f, x / cost.scale, wc)) for x in xs]
        lines.append(Line(xs, ys, "faint", dashed=step > 0))
    return lines


def _steps(
    believed: Front, cost: Cost, horizontal: Axis, most: float | None
) -> tuple[Array, Array, Array] | None:
    """Cost, expected metric and σ, in percent, at both ends of every step of the believed front
    that is on the axis and within the limit; None where none is.
    """
    right = horizontal.high if most is None else min(horizontal.high, most)
    costs = believed.costs / cost.unit
    ends = np.append(costs[1:], np.inf)
    rows = np.flatnonzero((ends > horizontal.low) & (costs < right))
    if not len(rows):
        return None
    xs = np.column_stack([costs[rows], ends[rows]]).ravel()
    return (
        np.clip(xs, horizontal.low, right),
        np.repeat(100 * (1 - believed.error[rows]), 2),
        np.repeat(100 * believed.std[rows], 2),
    )


def _limits(
    most: float | None, least: float | None, horizontal: Axis, vertical: Axis
) -> tuple[tuple[Box, ...], list[Line]]:
    """What lies beyond the most of a cost and below the least of the metric, and the borders."""
    boxes: list[Box] = []
    lines = []
    if most is not None and most < horizontal.high:
        boxes.append((max(most, horizontal.low), horizontal.high, vertical.low, vertical.high))
        if horizontal.holds(most):
            lines.append(Line((most, most), (vertical.low, vertical.high), "limit"))
    if least is not None and least > vertical.low:
        boxes.append((horizontal.low, horizontal.high, vertical.low, min(least, vertical.high)))
        if vertical.holds(least):
            lines.append(Line((horizontal.low, horizontal.high), (least, least), "limit"))
    return tuple(boxes), lines


def trust_plot(results: Sequence[Outcome]) -> Plot | None:
    """Predicted mean along x, measured f up; on the diagonal the model was exactly right."""
    if not results:
        return None
    # both axes are of f: what is far off on one is left to the edge by both
    seen = near(f for r in results for f in (r.mean, r.f))
    shown = [r for r in results if all(min(seen) <= f <= max(seen) for f in (r.mean, r.f))]
    heights = [f for r in shown for f in (r.mean, r.f)]
    tips = [tip for r in shown for tip in (r.mean - 2 * r.std, r.mean + 2 * r.std)]
    horizontal = axis([r.mean for r in shown], ticks=4, within=POSITIVE)
    vertical = axis(near(tips, heights, bulk=False), ticks=6, within=POSITIVE)
    ends = (horizontal.low, horizontal.high)
    lines = [Line(ends, ends, "mean")]
    whiskers, marks = [], []
    for r in results:
        # the whisker is the prediction's, so it stands on the diagonal; the mark is what was
        # measured, and where the whisker does not reach it a dashed line goes on to it
        whiskers.append(Mark(r.mean, r.mean, "│", "whisker", spread=2 * r.std))
        if not r.within:
            end = r.mean + math.copysign(2 * r.std, r.f - r.mean)
            lines.append(Line((r.mean, r.mean), (end, r.f), "whisker", dashed=True))
        char, ink = ("●", "trial") if r.within else ("✗", "selected")
        number = str(r.trial.number)
        mark = at_edge(Mark(r.mean, r.f, char, ink), horizontal, vertical)
        if mark.char != char:
            number = number if r.within else f"✗{number}"
        marks.append(replace(mark, label="" if mark.char == "●" else number))
    # where labels have no room, those outside keep theirs
    marks.sort(key=lambda mark: mark.ink == "selected")
    return Plot(horizontal, vertical, lines=tuple(lines), marks=(*whiskers, *marks))


OFF = -0.12
"""Where the 0 of a logarithmic scale stands: something switched off, left of all numbers."""


def axes_of(space: Space, level: int, config: Config) -> list[tuple[str, int | None]]:
    """What can be charted: every parameter of the level that is not idle, per-layer ones once a
    layer.
    """
    return [
        (parameter.name, index)
        for parameter in space.at_level(level)
        for index, _ in parameter.counting(config)
    ]


def most_relevant(ranking: Ranking, axes: list[tuple[str, int | None]]) -> tuple[str, int | None]:
    """The one of these that matters most, as far as the model can tell."""
    names = [name for name, _ in axes]
    for name, _ in sorted(ranking.relevance, key=lambda pair: -pair[1]):
        if name in names:
            return axes[names.index(name)]
    return axes[0]


def entry(config: Config, parameter: str, index: int | None) -> Any:
    """The value of a parameter in one layer; None where the network has no such layer."""
    value = config[parameter]
    if index is None:
        return value
    return value[index] if index < len(value) else None


def _place(domain: Domain, value: Any) -> float:
    at = domain.unit(value)
    return OFF if math.isnan(at) else at


def _beside(
    parameter: Parameter, value: Any, config: Config, selected: tuple[Config, float] | None
) -> Any:
    """A value of one configuration as it would be in the selected one."""
    if parameter.ratios is None or selected is None:
        return value
    return parameter.relative(value, config) * parameter.ratio(selected[0])


def belief_plot(
    space: Space,
    belief: Profile,
    trials: Sequence[tuple[Config, float]],
    selected: tuple[Config, float] | None,
) -> Plot:
    """The mean, the band of one σ, the trials (●) and the selected candidate (◆).

    The mean is dashed, and a category in brackets, where no trial is near: it is what is usual.
    trials: configurations with their measured f; those in which the parameter is idle are left out,
    and a value that is relative to another parameter stands where it would be in the selected one.
    Categories become bars with whiskers.
    """
    parameter = space[belief.parameter]
    domain = parameter.domain if selected is None else parameter.domain_in(selected[0])
    mean, std = np.asarray(belief.mean), np.asarray(belief.std)
    points = [
        (_beside(parameter, value, config, selected), f, "●", "trial")
        for config, f in trials
        if (value := dict(parameter.counting(config)).get(belief.index)) is not None
    ]
    if selected is not None:
        value = dict(parameter.counting(selected[0])).get(belief.index)
        if value is not None:
            points.append((value, selected[1], "◆", "selected"))
    low, high = float(np.min(mean - std)), float(np.max(mean + std))
    # a trial far off would press everything else flat: it is shown at the edge instead
    seen = near((f for _, f, _, _ in points), (low, high), bulk=False)
    vertical = axis(seen, ticks=5, within=POSITIVE)
    if belief.categories or isinstance(domain, Categorical):
        places = {value: float(i) for i, value in enumerate(belief.values)}
        names = [words.number(value) for value in belief.values]
        told = [f"({n})" if alone else n for n, alone in zip(names, belief.usual, strict=True)]
        ticks = tuple(zip(places.values(), told, strict=True))
        horizontal = Axis(-0.6, len(belief.values) - 0.4, ticks)
        bars = tuple(
            Bar(at, float(m), float(m - s), float(m + s), 0.5)
            for at, m, s in zip(places.values(), mean, std, strict=True)
        )
        placed = [(places[v] + 0.34, f, c, i) for v, f, c, i in points if v in places]
        marks = _marks(placed, horizontal, vertical)
        return Plot(horizontal, vertical, bars=bars, marks=marks)
    xs = np.array([_place(domain, value) for value in belief.values])
    order = np.argsort(xs, kind="stable")
    xs, mean, std, usual = xs[order], mean[order], std[order], belief.usual[order]
    placed = [(_place(domain, v), f, c, i) for v, f, c, i in points]
    left = min([float(xs[0]), *(x for x, *_ in placed)])
    right = max([float(xs[-1]), *(x for x, *_ in placed)])
    if right - left < 1e-9:
        left, right = left - 0.5, right + 0.5
    ticks = _ticks(domain, [float(v) for v in belief.values if _place(domain, v) != OFF])
    if left == OFF and isinstance(domain, Real):
        ticks = ((OFF, "0"), *ticks)
    horizontal = Axis(left, right, ticks)
    return Plot(
        horizontal,
        vertical,
        band=Band(xs, mean - std, mean + std),
        lines=tuple(_stretches(xs, mean, usual)),
        marks=_marks(placed, horizontal, vertical),
    )


def _stretches(xs: Array, ys: Array, dashed: NDArray[np.bool_]) -> Iterator[Line]:
    """A line in parts, dashed where it is to be; each begins where the one before ends."""
    turns = np.flatnonzero(np.diff(dashed)) + 1
    for first, stop in itertools.pairwise([0, *turns.tolist(), len(xs)]):
        # what leads from a point that is known to one that is not is dashed, too
        begin, end = (max(first - 1, 0), stop + 1) if dashed[first] else (first, stop)
        yield Line(xs[begin:end], ys[begin:end], dashed=bool(dashed[first]))


def _ticks(domain: Domain, values: list[float]) -> tuple[tuple[float, str], ...]:
    """Round numbers along the values, each at its place on the domain's scale."""
    low, high = min(values), max(values)
    if isinstance(domain, Integer) and high - low <= 8:
        rounds = [float(v) for v in range(int(low), int(high) + 1)]
    elif not isinstance(domain, Categorical) and domain.log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            rounds = [f * 10.0**d for d in decades for f in factors]
            rounds = [v for v in rounds if low <= v * 1.0001 and v <= high * 1.0001]
            if len(rounds) >= 3:
                break
    else:
        rounds = [value for value, _ in axis((low, high), ticks=4, margin=0.0).ticks]
    whole = isinstance(domain, Integer)
    kept = [v for v in rounds if not whole or v == int(v)]
    return tuple((_place(domain, v), words.number(int(v) if whole else v)) for v in kept)


def _marks(
    points: Sequence[tuple[float, float, str, str]], horizontal: Axis, vertical: Axis
) -> tuple[Mark, ...]:
    return tuple(at_edge(Mark(x, f, char, ink), horizontal, vertical) for x, f, char, ink in points)
