"""The figures of a session as plots, for the terminal and for files alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.objective import error_at
from ...engine.search.scorecard import Outcome
from ...engine.search.standing import objective, pareto
from ...engine.tasks.domains import Categorical, Domain, Integer, Real
from .. import format as words
from ..plot import (
    PERCENT,
    POSITIVE,
    Axis,
    Band,
    Bar,
    Line,
    Mark,
    Plot,
    at_edge,
    axis,
    near,
)

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Profile, Ranking
    from ...engine.tasks.space import Space
    from ...sessions.records import Config, Trial
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


def standing_at(trial: Trial, cost: Cost) -> tuple[float, float]:
    return cost.drawn(trial), 100 * (1 - (trial.error or 0.0))


def tradeoff_plot(
    measured: Sequence[Trial], best: Trial | None, selected: Trial | None, wc: float, cost: Cost
) -> Plot | None:
    """Trials as points, the front joined, lines of equal f through the best and above it.

    The axes hold the front, the best, the selected trial and the bulk of the others; what is far
    off stands at the edge with its number.
    """
    if not measured or best is None:
        return None
    points = {trial.number: standing_at(trial, cost) for trial in measured}
    front = pareto(measured)
    chosen = [best] if selected is None else [best, selected]
    kept = [points[trial.number] for trial in (*front, *chosen)]
    horizontal, vertical = (
        axis(
            near([point[side] for point in points.values()], [point[side] for point in kept]),
            ticks=5,
            within=within,
        )
        for side, within in enumerate((POSITIVE, PERCENT))
    )
    lines = []
    value = objective(best, wc) or 0.0
    # higher lines are better
    span = vertical.high - vertical.low
    for step in range(4):
        f = value + step * span / 100 / 4
        ends = [
            100 * (1 - error_at(f, x / cost.scale, wc)) for x in (horizontal.low, horizontal.high)
        ]
        lines.append(Line((horizontal.low, horizontal.high), ends, "faint", dashed=step > 0))
    lines.append(
        Line(
            [points[t.number][0] for t in front],
            [points[t.number][1] for t in front],
            "front",
            dashed=True,
        )
    )
    looks = {trial.number: ("○", "front") for trial in front}
    looks[best.number] = "●", "trial"
    if selected is not None:
        looks[selected.number] = "◆", "selected"
    marks = []
    for trial in measured:
        x, y = points[trial.number]
        if trial.number not in looks:
            beyond = not (horizontal.holds(x) and vertical.holds(y))
            mark = Mark(x, y, "·", "label", label=str(trial.number) if beyond else "")
            marks.append(at_edge(mark, horizontal, vertical))
    # the best and the selected one lie over the front, and keep their numbers before it does
    numbers = [t.number for t in front if t not in chosen] + [t.number for t in chosen]
    for number in dict.fromkeys(numbers):
        marks.append(Mark(*points[number], *looks[number], label=str(number)))
    return Plot(horizontal, vertical, lines=tuple(lines), marks=tuple(marks))


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
    """What can be charted: every parameter of the level, per-layer ones once a layer."""
    found: list[tuple[str, int | None]] = []
    for parameter in space.at_level(level):
        value = config[parameter.name]
        if isinstance(value, list):
            found += [(parameter.name, index) for index in range(len(value))]
        else:
            found.append((parameter.name, None))
    return found


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


def belief_plot(
    space: Space,
    belief: Profile,
    trials: Sequence[tuple[Config, float]],
    selected: tuple[Config, float] | None,
) -> Plot:
    """The mean, the band of one σ, the trials (●) and the selected candidate (◆).

    trials: configurations with their measured f.  Categories become bars with whiskers.
    """
    domain = space[belief.parameter].domain
    mean, std = np.asarray(belief.mean), np.asarray(belief.std)
    points = [
        (value, f, "●", "trial")
        for config, f in trials
        if (value := entry(config, belief.parameter, belief.index)) is not None
    ]
    if selected is not None:
        value = entry(selected[0], belief.parameter, belief.index)
        if value is not None:
            points.append((value, selected[1], "◆", "selected"))
    low, high = float(np.min(mean - std)), float(np.max(mean + std))
    # a trial far off would press everything else flat: it is shown at the edge instead
    seen = near((f for _, f, _, _ in points), (low, high), bulk=False)
    vertical = axis(seen, ticks=5, within=POSITIVE)
    if belief.categories or isinstance(domain, Categorical):
        places = {value: float(i) for i, value in enumerate(belief.values)}
        horizontal = Axis(
            -0.6, len(belief.values) - 0.4, tuple((at, words.number(v)) for v, at in places.items())
        )
        bars = tuple(
            Bar(at, float(m), float(m - s), float(m + s), 0.5)
            for at, m, s in zip(places.values(), mean, std, strict=True)
        )
        placed = [(places[v] + 0.34, f, c, i) for v, f, c, i in points if v in places]
        marks = _marks(placed, horizontal, vertical)
        return Plot(horizontal, vertical, bars=bars, marks=marks)
    xs = np.array([_place(domain, value) for value in belief.values])
    order = np.argsort(xs, kind="stable")
    xs, mean, std = xs[order], mean[order], std[order]
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
        lines=(Line(xs, mean),),
        marks=_marks(placed, horizontal, vertical),
    )


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
