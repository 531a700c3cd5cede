"""Candidates of a level: a sample, neighbours of the best, local search, climbs."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...sessions.choices import COST_ALONE
from ...sessions.records import Config
from ..tasks.domains import Real
from ..tasks.steps import neighbours
from .bounds import Bounds
from .evidence import Array, Evidence
from .limited import Sampler, over_limits, sobol
from .strategies import STREAMS
from .value import value

if TYPE_CHECKING:
    from ..model.belief import Belief, Points

SAMPLES = 2048
"""Points of the scrambled Sobol sample of a level."""
DESIGN_SAMPLES = 512
"""Networks within limits that its points are taken from."""
PROMISING_SAMPLES = 1024
"""Networks that it is taken from where something is known of them beforehand."""
BEST_SHARE = 20
"""One in so many of those is good."""
DESIGN_POINTS = 64
"""Points of a level's initial design that can ever be asked for."""
NEIGHBOURS_OF = 5
"""Best networks whose neighbours are candidates."""
SEARCHES = 10
"""Candidates that local search starts from."""
ROUNDS = 8
"""Steps of local search."""
ASCENTS = 8
"""Of those found, the ones from which the real parameters climb the gradient."""
ASCENT_STEPS = 30
"""Iterations of such a climb at most."""
DIFFERENCE = 1e-5
"""Step of its central differences, as a share of a parameter's scale."""
NEAR_COPY = 0.15
"""Networks closer than this in the embedding (1: one category changed) are near copies: one stands
for all of them in a list of proposals, and rejecting one rejects them all."""

ROUNDING = 1e-9
"""Of the logarithm of a cost that is as large as its limit."""

Keyed = tuple[str, Config]
"""A configuration behind its `Space.key`."""
Place = tuple[str, int | None, Real]
"""A real number that can move: its parameter, the entry of a list, its scale."""


class Pool:
    """What can be proposed in a level, with what is believed of it.

    keys, and the configurations in the same order: `points` with their `belief`, or `bare` without
    a model.  planned: the next points of the initial design.  drawn, allowed: sampled networks that
    can be built, and those of them that may be proposed.
    """

    def __init__(self, evidence: Evidence, wc: float, *, design: int, count: int) -> None:
        """Collect it.  design: initial design points still wanted.  count: how many a strategy
        without a model is asked for.
        """
        self.evidence = evidence
        self._rng = np.random.default_rng([abs(evidence.seed), len(evidence.observations)])
        self.drawn = self.allowed = 0
        self.planned = self._plan(design, wc)
        self.keys: list[str] = []
        self.points: Points | None = None
        self.belief: Belief | None = None
        self.bare: list[Config] = []
        self._logs: dict[str, Array] = {}
        known: set[str] = set()
        if evidence.strategy != "gp":
            self._extend(self._streamed(wc, known, count))
            return
        drawn = self._sample(SAMPLES, self._rng.integers(2**32, size=4))
        sample = self._apart(self._fresh(drawn, known))
        self._extend(sample + self._apart(self._fresh(self._around(wc), known)))
        if evidence.surrogate is None:
            return
        self._climb(wc, known)
        self._ascend(wc, known, len(sample))

    @property
    def configs(self) -> list[Config]:
        """The configurations, in the order of their keys."""
        return self.bare if self.points is None else self.points.configs

    def over(self, bounds: Bounds) -> Array:
        """How far each is over limits that arithmetic knows, as `over_limits` has it: (n,)."""
        result = np.full(len(self.keys), -np.inf)
        for name, most in bounds.exact.items():
            result = np.maximum(result, self._log_cost(name) - math.log(most))
        return result

    def costs(self, name: str) -> Array | None:
        """What each costs by a measure that arithmetic knows, shape (n,); None by another."""
        return np.exp(self._log_cost(name)) if self.evidence.space.measure(name).exact else None

    def _log_cost(self, name: str) -> Array:
        if name not in self._logs:
            over = over_limits(self.evidence.space, {name: 1.0})
            self._logs[name] = np.array([over(config) for config in self.configs])
        return self._logs[name]

    def within(self, evidence: Evidence) -> Pool:
        """Those that keep the limits of this evidence, which differs in its limits alone."""
        rows = np.flatnonzero(self.over(evidence.bounds) <= ROUNDING)
        result = copy.copy(self)
        result.evidence = evidence
        result.keys = [self.keys[i] for i in rows]
        result.planned = []
        result._logs = {name: logs[rows] for name, logs in self._logs.items()}
        if self.points is None:
            result.bare = [self.bare[i] for i in rows]
            return result
        exact = None if self.points.exact is None else self.points.exact[rows]
        configs = [self.points.configs[i] for i in rows]
        result.points = replace(
            self.points, configs=configs, features=self.points.features[rows], exact=exact
        )
        assert evidence.surrogate is not None
        assert self.belief is not None
        if evidence.surrogate.costs.keys() <= self.belief.costs.keys():
            result.belief = self.belief.taken(rows)
        else:  # a limit on what nothing was believed of until now
            result.belief = evidence.surrogate.belief(result.points)
        return result

    def value(self, wc: float) -> Array:
        """What ranks the pool, shape (len(keys),)."""
        assert self.belief is not None
        assert self.points is not None
        return value(self.evidence, self.belief, self.points, wc)

    def order(self, wc: float) -> list[int]:
        """The pool from the best to the worst; as it was collected where nothing is believed."""
        if self.points is None:
            return list(range(len(self.keys)))
        return [int(i) for i in np.argsort(-self.value(wc), kind="stable")] if self.keys else []

    def different(self, order: Sequence[int], count: int, taken: Sequence[int] = ()) -> list[int]:
        """Candidates: those taken and the first of `order`, no two near copies, `count` in all."""
        from ..model.kernel import squared_distances

        assert self.points is not None
        features = self.points.features[:, : self.evidence.embedding.compared]
        chosen = list(taken)
        for i in order:
            if len(chosen) >= count:
                break
            apart = squared_distances(features[[i]], features[chosen])
            if not chosen or apart.min() >= NEAR_COPY**2:
                chosen.append(i)
        return chosen

    def spread(self, order: Sequence[int], count: int) -> list[int]:
        """The first `count` that are no near copies of one before; those too where others lack."""
        chosen = set(self.different(order, count))
        copies = (i for i in order if i not in chosen)
        chosen.update(itertools.islice(copies, count - len(chosen)))
        return [i for i in order if i in chosen]

    # -- drawing --------------------------------------------------------------------------------

    def _sample(self, count: int, seed: Any) -> list[Config]:
        """Networks of the level that can be built and proposed, as the space has them: Sobol
        points, or, where arithmetic knows limits, networks that keep them.
        """
        evidence = self.evidence
        if evidence.over is None:
            return self._sobol(count, seed)
        space, level, base = evidence.space, evidence.level, evidence.base
        if space.dimensions(level, base) == 0:
            return [base] if self._proposable(base) else []
        units = sobol(space.dimensions(level, base), count, seed)
        sampler = Sampler(space, level, base, evidence.over)
        inside = sampler.draw(units, count, np.random.default_rng(seed))
        self.drawn += sampler.looked
        self.allowed += len(inside)
        allowed = space.proposable
        return inside if allowed is None else [config for config in inside if allowed(config)]

    def _sobol(self, count: int, seed: Any) -> list[Config]:
        """Scrambled Sobol points of the level, decoded, those that can be built and proposed."""
        space, level, base = self.evidence.space, self.evidence.level, self.evidence.base
        size = space.dimensions(level, base)
        if size == 0:
            return [base]
        units = sobol(size, count, seed)
        decoded = map(space.decoder(level, base), units.tolist())
        return [config for config in decoded if self._fit(config)]

    def _fit(self, config: Config) -> bool:
        """Whether a decoded configuration can be built and may be proposed."""
        if self.evidence.space.broken(config):
            return False
        allowed = self._proposable(config)
        self.drawn += 1
        self.allowed += allowed
        return allowed

    def _plan(self, design: int, wc: float) -> list[Keyed]:
        """The next points of the level's initial design: what is known beforehand chooses them, or
        they are Sobol points, the same until they are used up.
        """
        if design <= 0:
            return []
        # not seeded by the number of observations: the points have to fit each other
        seed = [abs(self.evidence.seed), 0x5EED, self.evidence.level]
        if self.evidence.strategy == "gp" and self.evidence.embedding.error_known is not None:
            sample = self._apart(self._fresh(self._sample(PROMISING_SAMPLES, seed), set()))
            promising = self._promising([config for _, config in sample], wc)[:design]
            return self._fresh(promising, set())
        if self.evidence.over is None:
            fresh = self._apart(self._fresh(self._sobol(DESIGN_POINTS, seed), set()))
            return fresh[:design]
        # the first so many of a sample lie anywhere: those that lie apart are the design
        planned = self._spaced(self._sample(DESIGN_SAMPLES, seed))
        return self._apart(self._fresh(planned, set()))[:design]

    def _promising(self, configs: list[Config], wc: float) -> list[Config]:
        """At most `DESIGN_POINTS` of them, good by what is known beforehand and diverse.

        In turns for a trade-off that the session has, one nearer to accuracy and one nearer to low
        cost: of the best twentieth under it the one that is furthest from those before.
        """
        from ..model.kernel import squared_distances

        embedding = self.evidence.embedding
        features = embedding(configs)
        expected = self.evidence.expected(configs, features)
        orders = [np.argsort(expected(weight), kind="stable") for weight in _weights_about(wc)]
        features = features[:, : embedding.compared]
        kept = max(len(configs) // BEST_SHARE, 1)
        chosen: list[int] = []
        nearest = np.full(len(configs), np.inf)
        for turn in range(min(DESIGN_POINTS, len(configs))):
            order = orders[turn % len(orders)]
            # more of them as those are used up
            best = order[: kept + turn]
            row = int(best[nearest[best].argmax()] if chosen else best[0])
            if nearest[row] <= 0:
                break
            chosen.append(row)
            nearest = np.minimum(nearest, squared_distances(features, features[[row]])[:, 0])
        return [configs[i] for i in chosen]

    def _spaced(self, configs: list[Config]) -> list[Config]:
        """At most `DESIGN_POINTS` of them, each the furthest from those before it."""
        from ..model.kernel import squared_distances

        if not configs:
            return []
        embedding = self.evidence.embedding
        features = embedding(configs)[:, : embedding.compared]
        chosen = [0]
        nearest = squared_distances(features, features[[0]])[:, 0]
        while len(chosen) < min(DESIGN_POINTS, len(configs)) and nearest.max() > 0:
            chosen.append(int(nearest.argmax()))
            nearest = np.minimum(nearest, squared_distances(features, features[chosen[-1:]])[:, 0])
        return [configs[i] for i in chosen]

    def _streamed(self, wc: float, known: set[str], count: int) -> list[Keyed]:
        """What a strategy without a model proposes; nothing where only seen networks come up."""
        evidence = self.evidence
        mean, _ = evidence.means(wc)
        history = [(evidence.observations[r].config, float(mean[r])) for r in evidence.inside]
        stream = STREAMS[evidence.strategy](
            evidence.space, evidence.level, evidence.base, history, self._rng, evidence.seed
        )
        streamed: list[Keyed] = []
        for config in itertools.islice(stream, SAMPLES):
            if self._proposable(config):
                streamed += self._apart(self._fresh([config], known))
            if len(streamed) >= count:
                return streamed
        # the neighbourhood is used up: anything of the level that is left
        drawn = self._sample(SAMPLES, self._rng.integers(2**32, size=4))
        return streamed or self._apart(self._fresh(drawn, known))

    def _around(self, wc: float) -> list[Config]:
        """The neighbours of the best networks, and the values of good networks of other slices."""
        evidence, space = self.evidence, self.evidence.space
        centres: list[Config] = [evidence.base]
        moved: list[Config] = []
        if evidence.observations:
            mean, _ = evidence.means(wc)
            inside = sorted(evidence.inside, key=lambda r: float(mean[r]))
            centres += [evidence.observations[r].config for r in inside[:NEIGHBOURS_OF]]
            everywhere = np.argsort(mean, kind="stable")[:20]
            moved = [evidence.at_base(evidence.observations[r].config) for r in everywhere]
            moved = [
                config
                for config in moved
                if not space.problems(config) and space.guided(config, evidence.level)
            ]
        around = [n for config in centres for n in neighbours(space, config, evidence.level)]
        return [config for config in moved + around if self._proposable(config)]

    # -- what may be proposed -------------------------------------------------------------------

    def _proposable(self, config: Config) -> bool:
        allowed, over = self.evidence.space.proposable, self.evidence.over
        return (allowed is None or allowed(config)) and (over is None or over(config) <= 0)

    def _fresh(self, configs: Iterable[Config], known: set[str]) -> list[Keyed]:
        """Those that were neither seen nor are in `known`, each once; `known` grows by them."""
        fresh: list[Keyed] = []
        for config in configs:
            key = self.evidence.space.key(config)
            if key not in known and key not in self.evidence.seen:
                known.add(key)
                fresh.append((key, config))
        return fresh

    def _apart(self, fresh: list[Keyed]) -> list[Keyed]:
        """Those that are not within the radius of a rejected configuration."""
        evidence = self.evidence
        if evidence.rejected is None or evidence.radius <= 0 or not fresh:
            return fresh
        from ..model.kernel import squared_distances

        features = evidence.embedding([config for _, config in fresh])
        compared = evidence.embedding.compared
        apart = squared_distances(features[:, :compared], evidence.rejected[:, :compared])
        near = apart.min(axis=1) < evidence.radius**2
        return [entry for entry, close in zip(fresh, near, strict=True) if not close]

    def _extend(self, fresh: list[Keyed]) -> None:
        """Add candidates to the pool, with what is believed of them."""
        configs = [config for _, config in fresh]
        self.keys += [key for key, _ in fresh]
        surrogate = self.evidence.surrogate
        if surrogate is None:
            self.bare += configs
            return
        added = surrogate.points(configs)
        belief = surrogate.belief(added)
        self.points = added if self.points is None else self.points + added
        self.belief = belief if self.belief is None else self.belief + belief

    # -- searching on ---------------------------------------------------------------------------

    def _climb(self, wc: float, known: set[str]) -> None:
        """Local search from the best candidates, all of them a step at a time."""
        space, level = self.evidence.space, self.evidence.level
        explored: set[str] = set()
        for _ in range(ROUNDS):
            assert self.points is not None
            best = [i for i in self.order(wc)[:SEARCHES] if self.keys[i] not in explored]
            if not best:
                return
            explored.update(self.keys[i] for i in best)
            configs = [self.points.configs[i] for i in best]
            around = [n for c in configs for n in neighbours(space, c, level)]
            # looked at once only: whether it may be proposed takes longer than whether it is new
            fresh = [entry for entry in self._fresh(around, known) if self._proposable(entry[1])]
            fresh = self._apart(fresh)
            if fresh:
                self._extend(fresh)

    def _ascend(self, wc: float, known: set[str], sampled: int) -> None:
        """Lead the real parameters of candidates that lie apart up the gradient.

        sampled: how many of the pool, its first, are the sample.
        """
        if not self.keys:
            return
        assert self.points is not None
        space, level = self.evidence.space, self.evidence.level
        order = self.order(wc)
        starts = self.different(order[: 20 * ASCENTS], ASCENTS // 2)
        # what climbed before crowds around one network: the sample gives starts of its own
        own = [i for i in order if i < sampled][: 20 * ASCENTS]
        starts = self.different(own, ASCENTS, starts)
        peaks = [_peak(self.evidence, self.points.configs[i], wc) for i in starts]
        reached = [
            c for c in peaks if c is not None and space.guided(c, level) and not space.broken(c)
        ]
        fresh = [entry for entry in self._fresh(reached, known) if self._proposable(entry[1])]
        fresh = self._apart(fresh)
        if fresh:
            self._extend(fresh)


def _weights_about(wc: float) -> tuple[float, ...]:
    """The session's w_c, and others that ask for more accuracy, and for less cost."""
    if wc == COST_ALONE:
        return (wc,)
    return (wc, wc / 3, wc * 3) if wc > 0 else (0.0, 0.03)


def _peak(evidence: Evidence, start: Config, wc: float) -> Config | None:
    """Where all real parameters of the level lead at once; None where there are none.

    L-BFGS-B on the unit scale, by central differences that are evaluated in one batch.
    """
    from scipy.optimize import minimize

    places = _real_places(evidence, start)
    if not places:
        return None
    size = len(places)
    steps = DIFFERENCE * np.eye(size)
    shifts = np.vstack([np.zeros((1, size)), steps, -steps])
    assert evidence.surrogate is not None
    # a slope takes a hundred predictions; what is reached is ranked with the others
    surrogate = evidence.surrogate.likeliest()

    def slope(unit: Array) -> tuple[float, Array]:
        around = np.clip(unit + shifts, 0.0, 1.0)
        points = surrogate.points([_moved(start, places, u) for u in around])
        worth = -value(evidence, surrogate.belief(points), points, wc)
        run = (around[1 : 1 + size] - around[1 + size :]).sum(axis=1)
        return float(worth[0]), (worth[1 : 1 + size] - worth[1 + size :]) / run

    reached = minimize(
        slope,
        np.array([_unit(start, place) for place in places]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * size,
        options={"maxiter": ASCENT_STEPS},
    )
    return _moved(start, places, reached.x, rounded=True)


def _real_places(evidence: Evidence, config: Config) -> list[Place]:
    """The real numbers of the level that can move; what is switched off or idle stays so."""
    places: list[Place] = []
    for parameter in evidence.space.at_level(evidence.level):
        domain = parameter.domain_in(config)
        if not isinstance(domain, Real) or not domain.low < domain.high:
            continue
        scale = replace(domain, zero=False)
        places += [
            (parameter.name, index, scale)
            for index, entry in parameter.counting(config)
            if entry != 0 or not domain.zero
        ]
    return places


def _unit(config: Config, place: Place) -> float:
    name, index, scale = place
    number = config[name] if index is None else config[name][index]
    return min(max(float(scale.unit(number)), 0.0), 1.0)


def _moved(config: Config, places: Sequence[Place], unit: Array, rounded: bool = False) -> Config:
    """The configuration with its real numbers at a point of the unit cube."""
    moved: Config = dict(config)
    for (name, index, scale), u in zip(places, unit, strict=True):
        number = scale.at(float(u)) if rounded else scale.between(float(u))
        if index is None:
            moved[name] = number
        else:
            moved[name] = [*moved[name][:index], number, *moved[name][index + 1 :]]
    return moved
