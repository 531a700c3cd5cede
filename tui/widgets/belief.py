"""What the model believes along one parameter, as a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.space import Categorical, Domain, Integer, Real
from .. import format as words
from .chart import POSITIVE, Axis, Band, Bar, Line, Mark, Plot, at_edge, axis, near

if TYPE_CHECKING:
    from ...engine.advisor import Ranking, Slice
    from ...engine.space import Space
    from ...sessions.records import Config

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
    belief: Slice,
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
