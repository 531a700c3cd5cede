"""Networks that keep limits which arithmetic knows, however few of all networks do.

Rejecting what breaks a limit starves where few keep it, and taking whatever comes out of shrinking
favours some shapes of networks over others.  Here the space's own distribution is drawn from, given
that the limits are kept: by subset simulation (Au, Beck 2001), which tightens the limits from what
a plain sample has to what was asked for, a quarter of the networks surviving at a time, and walks
on from the survivors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import Config
from ..tasks.parameter import Parameter
from ..tasks.space import Space

Array = NDArray[np.float64]

SURVIVORS = 0.25
"""Of what is drawn, the share that goes on to the next, tighter limit."""
RARE = 0.003
"""A shape of network that has a smaller share of what is left is given up."""
FEWEST = 24
"""Networks of a shape that go on at least: where fewer are below the bar, it has a higher one."""
PATIENCE = 2
"""How often the bar of a shape may fail to become lower before it is given up."""
PASSES = 12
"""Tightenings after which nothing is expected to be found: one network in 4^12."""
EFFORT = 4
"""Networks looked at, at most, for each that is wanted in the end."""
MOVES = (2.0, 4.0)
"""Coordinates of a network that a step changes, on average."""
PROBES = 24
"""Networks that tell whether a parameter matters to a limit."""
GRID = (0.0, 0.25, 0.5, 0.75, 1 - 1e-9)
"""Places of a coordinate that the search for the smallest network tries."""

Over = Callable[[Config], float]
"""By how much a configuration that can be built is over the limits: 0 or less keeps them all."""


def over_limits(space: Space, limits: Mapping[str, float]) -> Over:
    """The logarithm of the cost that is furthest over its limit, over that limit.

    limits: measure that arithmetic knows -> the most it may be, above 0.
    """
    wanted = [(space.measure(name), most) for name, most in limits.items()]

    def over(config: Config) -> float:
        laid = space.laid_out(config)
        worst = -math.inf
        for measure, most in wanted:
            assert measure.of is not None
            cost = measure.of(laid)
            worst = max(worst, math.log(cost / most) if cost > 0 else -math.inf)
        return worst

    return over


def sobol(dimensions: int, count: int, seed: Any) -> Array:
    """Scrambled Sobol points, at least `count`: shape (n, dimensions)."""
    from scipy.stats import qmc

    engine = qmc.Sobol(dimensions, rng=np.random.default_rng(seed))
    points: Array = engine.random(1 << max(count - 1, 0).bit_length())
    return points


@dataclass
class _Crowd:
    """Points of the unit cube, shape (n, d), what they decode to, how far each is over."""

    units: Array
    configs: list[Config]
    over: Array

    def taken(self, rows: NDArray[np.intp]) -> _Crowd:
        return _Crowd(self.units[rows], [self.configs[int(r)] for r in rows], self.over[rows])


@dataclass
class _Stratum:
    """One shape of network: the share of all that is drawn that it has left below the bar."""

    share: float
    crowd: _Crowd
    last: float = math.inf
    """The bar that it is below."""
    stuck: int = 0
    """How often that did not become lower, though it is above the limits."""

    def bar(self, count: int) -> float:
        """What so many of it are below."""
        return float(np.sort(self.crowd.over)[min(count, len(self.crowd.over)) - 1])

    def below(self, bar: float) -> _Stratum:
        rows = np.flatnonzero(self.crowd.over <= bar)
        return _Stratum(
            self.share * len(rows) / len(self.crowd.over),
            self.crowd.taken(rows),
            bar,
            self.stuck + (bar >= self.last > 0),
        )


def _quantile(strata: Sequence[_Stratum], share: float) -> float:
    """How far over the limits this share of what is drawn is at most, shapes by their shares."""
    over = np.concatenate([s.crowd.over for s in strata])
    weight = np.concatenate(
        [np.full(len(s.crowd.over), s.share / len(s.crowd.over)) for s in strata]
    )
    order = np.argsort(over, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(over[order[min(int(np.searchsorted(reached, share - 1e-9)), len(over) - 1)]])


def _allotted(strata: Sequence[_Stratum]) -> Array:
    """The share of the networks that each shape is given.

    Half of it is the estimated one; the estimate is rough, so half is spread wider (a defensive
    mixture, Hesterberg 1995): a shape that was thought rarer than it is keeps its part.
    """
    shares = np.array([s.share for s in strata])
    wide = np.sqrt(shares)
    result: Array = shares / shares.sum() / 2 + wide / wide.sum() / 2
    return result


class Sampler:
    """Draws networks of a level that keep limits."""

    def __init__(self, space: Space, level: int, base: Config, over: Over) -> None:
        self.space, self.level, self.base, self.over = space, level, base, over
        self._decode = space.decoder(level, base)
        self._places = space.coordinates(level, base)
        self._idle = np.zeros(self._places[-1][1].stop if self._places else 0, dtype=bool)
        self._still = self._idle.copy()
        self.looked = 0
        """Networks looked at so far."""

    def draw(self, units: Array, count: int, rng: np.random.Generator) -> list[Config]:
        """Different networks that keep the limits, about `count`; none where none was found.

        units: a plain sample of the level to begin from, shape (n, dimensions).
        """
        whole = self._crowd(units)
        whole = whole.taken(np.flatnonzero(np.isfinite(whole.over)))
        if not whole.configs:
            return []
        self._find_idle(whole, rng)
        strata = self._strata(whole)
        effort = len(units) // 3
        for _ in range(PASSES):
            if all((s.crowd.over <= 0).mean() >= SURVIVORS for s in strata):
                break
            bar = max(_quantile(strata, SURVIVORS), 0.0)
            if bar >= _quantile(strata, 1.0) > 0:
                return []  # nothing is smaller
            strata = self._tightened(strata, bar, effort, rng)
            if not strata:
                return []
        strata = [s.below(0.0) for s in strata if (s.crowd.over <= 0).any()]
        found: dict[str, Config] = {}
        for stratum, share in zip(strata, _allotted(strata), strict=True):
            found |= self._filled(stratum.crowd, math.ceil(count * share), rng)
        return list(found.values())

    def _strata(self, crowd: _Crowd) -> list[_Stratum]:
        """The sample by the length of the lists: what has another number of layers is another
        shape of network, which no small step leads to.
        """
        lengths = [p for p in self.space.at_level(self.level) if self._lists(p)]
        if not lengths:
            return [_Stratum(1.0, crowd)]
        values = np.array([config[lengths[0].name] for config in crowd.configs])
        self._still[next(place for p, place in self._places if p is lengths[0])] = True
        return [
            _Stratum(float((values == value).mean()), crowd.taken(np.flatnonzero(values == value)))
            for value in np.unique(values)
        ]

    def _lists(self, length: Parameter) -> bool:
        return any(p.length == length.name for p, _ in self._places)

    def _tightened(
        self, strata: Sequence[_Stratum], bar: float, effort: int, rng: np.random.Generator
    ) -> list[_Stratum]:
        """What is left below a bar, walked on from, without the shapes that hardly reach it."""
        bars = [max(bar, s.bar(FEWEST)) for s in strata]
        left = [s.below(own) for s, own in zip(strata, bars, strict=True)]
        total = sum(s.share for s in left)
        kept = [s for s in left if s.share >= RARE * total and s.stuck < PATIENCE]
        each = max(effort // max(len(kept), 1), FEWEST)
        result = []
        for s in kept:
            # of many that are all alike so many would do as well, and walk further
            rows = rng.permutation(len(s.crowd.over))[:each]
            walked = self._walk(s.crowd.taken(rows), s.last, len(rows) + each, rng)
            result.append(replace(s, crowd=walked))
        return result

    def _filled(self, crowd: _Crowd, count: int, rng: np.random.Generator) -> dict[str, Config]:
        """Different networks of one shape inside the limits, by their keys."""
        found = {self.space.key(config): config for config in crowd.configs}
        looked = 0
        while len(found) < count and looked < EFFORT * count:
            crowd = self._stepped(crowd, 0.0, rng)
            looked += len(crowd.configs)
            found |= {self.space.key(config): config for config in crowd.configs}
        order = rng.permutation(len(found))[:count]
        entries = list(found.items())
        return dict(entries[int(i)] for i in order)

    def nearest(self, units: Array, starts: int) -> float:
        """How far over the limits the nearest network is: 0 or less if it keeps them.

        units: a sample of the level, of which the best so many are improved on, and the corner
        where every coordinate is at its lower end.
        """
        crowd = self._crowd(np.vstack([np.zeros((1, units.shape[1])), units]))
        order = [0, *np.argsort(crowd.over, kind="stable")[:starts]]
        return min(self._descended(crowd.units[row]) for row in order)

    def _descended(self, start: Array) -> float:
        """How far over the limits it is where no coordinate alone leads any lower."""
        point, best = start.copy(), float(self._crowd(start[None]).over[0])
        while True:
            before = best
            for axis in range(len(point)):
                moved = np.repeat(point[None], len(GRID), axis=0)
                moved[:, axis] = GRID
                over = self._crowd(moved).over
                if float(over.min()) < best:
                    best, point = float(over.min()), moved[int(over.argmin())]
            if not best < before:
                return best

    def _crowd(self, units: Array) -> _Crowd:
        configs = [self._decode(unit) for unit in units.tolist()]
        return _Crowd(units, configs, np.array([self._over(config) for config in configs]))

    def _over(self, config: Config) -> float:
        self.looked += 1
        return math.inf if self.space.broken(config) else self.over(config)

    def _used(self, configs: Sequence[Config]) -> NDArray[np.bool_]:
        """Which coordinates the networks are made of, shape (n, d)."""
        used = np.ones((len(configs), self._places[-1][1].stop), dtype=bool)
        for parameter, place in self._places:
            if parameter.length is not None:
                counts = np.array([parameter.entries(config) for config in configs])
                used[:, place] = np.arange(place.stop - place.start) < counts[:, None]
        return used

    def _walk(self, crowd: _Crowd, bar: float, count: int, rng: np.random.Generator) -> _Crowd:
        """Metropolis steps below a bar until there are `count` states."""
        states, total = [crowd], len(crowd.configs)
        while total < count:
            crowd = self._stepped(crowd, bar, rng)
            states.append(crowd)
            total += len(crowd.configs)
        return _Crowd(
            np.vstack([state.units for state in states]),
            [config for state in states for config in state.configs],
            np.concatenate([state.over for state in states]),
        )

    def _stepped(self, crowd: _Crowd, bar: float, rng: np.random.Generator) -> _Crowd:
        """Every state moved once, where that stays below the bar.

        Some coordinates are drawn anew, others shifted a little around the circle: either way as
        likely there as back, so that what the states are drawn from stays what it was.
        """
        n, size = crowd.units.shape
        free = (~self._used(crowd.configs) | self._idle) & ~self._still
        units = np.where(free, rng.random((n, size)), crowd.units)
        moving = (
            rng.random((n, size))
            < rng.choice(MOVES, size=(n, 1)) / (~free & ~self._still).sum(axis=1).mean()
        )
        near = (units + rng.normal(0.0, 0.15, size=(n, size))) % 1.0
        anew = np.where(rng.random((n, 1)) < 0.5, rng.random((n, size)), near)
        moved = self._crowd(np.where(moving & ~self._idle & ~self._still, anew, units))
        rows = np.flatnonzero(moved.over > bar)
        moved.units[rows], moved.over[rows] = units[rows], crowd.over[rows]
        for row, unit in zip(rows.tolist(), units[rows].tolist(), strict=True):
            moved.configs[row] = self._decode(unit) if self._idle.any() else crowd.configs[row]
        return moved

    def _find_idle(self, crowd: _Crowd, rng: np.random.Generator) -> None:
        """Find the coordinates that no limit depends on, by drawing each parameter's anew."""
        rows = rng.permutation(len(crowd.over))[:PROBES]
        for _, place in self._places:
            units = crowd.units[rows].copy()
            units[:, place] = rng.random((len(rows), place.stop - place.start))
            over = self._crowd(units).over
            self._idle[place] = bool((over == crowd.over[rows]).all())
