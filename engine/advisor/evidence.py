"""What counts in a level: what was observed, what is believed of it, f*, the slice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...sessions.choices import Strategy
from ...sessions.records import Config
from ..objective import COMPLEXITY, Observation, Timed, objective
from ..tasks.domains import InvalidDomain
from ..tasks.space import Space
from .bounds import Bounds
from .limited import Over, over_limits

if TYPE_CHECKING:
    from ..model.belief import Belief
    from ..model.embedding import Embedding
    from ..model.known import Earlier
    from ..model.prior import Prior
    from ..model.surrogate import Surrogate

Array = NDArray[np.float64]
LIKELY = math.log(0.5)
"""A network keeps the limits where the logarithm of that probability is this or more."""


@dataclass(frozen=True)
class Evidence:
    """All that a ranking rests on; nothing in it changes once it was gathered.

    space, level, base, observations, seed, strategy, measure, radius, timed, exact: as `rank`
    was given them.  seen: keys that are not proposed.  region: the space narrowed to what is
    favoured, `favourite` its parameters.  surrogate: None without a model, or before the first
    observation; what waits is believed in it to come out as expected.  bounds: the limits to
    keep; over: by how much a network is over those that arithmetic knows, None where there is
    none.  observed, waiting: belief about the observations and about what waits.  rejected,
    failed, trained: features, shape (n, features), None where there are none.  inside,
    waiting_inside: rows of those in the level's slice.
    """

    space: Space
    level: int
    base: Config
    observations: tuple[Observation, ...]
    seed: int
    strategy: Strategy
    measure: str | None
    radius: float
    seen: frozenset[str]
    pending: tuple[Config, ...]
    region: Space | None
    favourite: tuple[str, ...]
    bounds: Bounds
    over: Over | None
    embedding: Embedding
    surrogate: Surrogate | None
    observed: Belief | None
    waiting: Belief | None
    rejected: Array | None
    failed: Array | None
    trained: Array | None
    inside: tuple[int, ...]
    waiting_inside: tuple[int, ...]
    timed: Timed
    exact: Callable[[Config], float] | None

    def expected(self, configs: Sequence[Config], features: Array) -> Callable[[float], Array]:
        """f of networks as a function of w_c, shape (n,): as it is believed, or before the first
        trial as the prior has it, or of the error alone where no prior knows the complexity.
        """
        if self.surrogate is not None:
            belief = self.surrogate.belief(self.surrogate.points(configs))
            return lambda wc: belief.objective(wc)[0]
        embedding, none = self.embedding, np.zeros(len(configs))
        error = cost = none
        if embedding.error_known is not None:
            error = np.exp(features[:, embedding.error_known.mean])
        if self.exact is not None:
            cost = np.array([self.exact(config) for config in configs], dtype=float)
        elif embedding.time_known is not None:
            cost = np.exp(features[:, embedding.time_known.mean])
        return lambda wc: np.asarray(objective(error, cost, wc))

    def within(self, bounds: Bounds) -> Evidence:
        """The same under other limits; what they are newly on is fitted."""
        surrogate, observed, waiting = self.surrogate, self.observed, self.waiting
        if surrogate is not None and observed is not None:
            surrogate = surrogate.also(bounds.believed, self.observations)
            observed = surrogate.belief(surrogate.observed)
            if waiting is not None:
                waiting = surrogate.belief(surrogate.points(self.pending))
        return replace(
            self,
            bounds=bounds,
            over=over_limits(self.space, bounds.exact) if bounds.exact else None,
            surrogate=surrogate,
            observed=observed,
            waiting=waiting,
        )

    @property
    def evaluated(self) -> tuple[int, ...]:
        """The rows that f* is looked for in: the slice's, or all where it has none."""
        return self.inside or tuple(range(len(self.observations)))

    def at_base(self, config: Config) -> Config:
        """The configuration's values of this level, on the base."""
        return _at_base(self.space, self.level, self.base, config)

    def means(self, wc: float) -> tuple[Array, Array]:
        """f of the observed trials and its standard deviation: posterior, or as measured."""
        if self.observed is None:
            measured = [objective(o.error, o.complexity, wc) for o in self.observations]
            return np.array(measured, dtype=float), np.zeros(len(measured))
        mean, std, _ = self.observed.objective(wc)
        return mean, std

    def incumbent(self, wc: float) -> tuple[float, int] | None:
        """f* and the row of its observation; None while none keeps the limits."""
        mean, _ = self.means(wc)
        rows = [row for row in self.evaluated if self.keeps[row]]
        if not rows:
            return None
        row = min(rows, key=lambda r: float(mean[r]))
        return float(mean[row]), row

    @cached_property
    def keeps(self) -> tuple[bool, ...]:
        """Whether each observed network keeps the limits: by arithmetic; by what is believed, with
        a probability of a half or more; by what was measured where nothing is believed.
        """
        bounds = self.bounds
        if not bounds:
            return (True,) * len(self.observations)
        if self.observed is None:
            return tuple(
                (self.over is None or self.over(o.config) <= 0)
                and o.error <= bounds.error
                and o.complexity <= bounds.complexity
                and all(o.costs.get(n, 0.0) <= most for n, most in bounds.believed.items())
                for o in self.observations
            )
        kept = self.log_kept([o.config for o in self.observations], self.observed)
        return tuple(bool(one >= LIKELY) for one in kept)

    def log_kept(self, configs: Sequence[Config], belief: Belief) -> Array:
        """Logarithm of the probability that networks keep all limits, shape (len(configs),)."""
        believed = log_believed(self.bounds, belief)
        if self.over is None:
            return believed
        within = [not self.space.broken(c) and self.over(c) <= 0 for c in configs]
        return np.where(within, believed, -np.inf)

    def best(self, wc: float) -> tuple[int, float, float] | None:
        """See `Ranking.best`."""
        if self.observed is None:
            return None
        mean, std = self.means(wc)
        rows = [row for row in range(len(mean)) if self.keeps[row]]
        if not rows:
            return None
        row = min(rows, key=lambda r: (float(mean[r]), self.observations[r].number))
        return self.observations[row].number, float(mean[row]), float(std[row])

    def posterior(self, number: int, wc: float) -> tuple[float, float]:
        """See `Ranking.posterior`."""
        for row, o in enumerate(self.observations):
            if o.number == number:
                mean, std = self.means(wc)
                return float(mean[row]), float(std[row])
        raise KeyError(number)

    def threshold(self, wc: float) -> float | None:
        """What has to be beaten: f*, or what is believed of a pending network if that is less;
        None while neither keeps the limits.

        Like f*, only networks of the level's slice count: another's cannot be reached here.
        """
        incumbent = self.incumbent(wc)
        values = [] if incumbent is None else [incumbent[0]]
        if self.waiting is not None:
            mean, _, _ = self.waiting.objective(wc)
            rows = self.waiting_inside
            if self.bounds:
                kept = self.log_kept(self.pending, self.waiting)
                rows = tuple(row for row in rows if kept[row] >= LIKELY)
            values += [float(mean[row]) for row in rows]
        return min(values, default=None)


def over_their_limits(bounds: Bounds, timed: Timed) -> set[str]:
    """Keys of networks that were timed, and are known to break a limit."""
    limits = {**bounds.believed, COMPLEXITY: bounds.complexity}
    return {
        key
        for name, most in limits.items()
        for key, (_, value) in timed.get(name, {}).items()
        if value > most
    }


def log_believed(bounds: Bounds, belief: Belief) -> Array:
    """Logarithm of the probability that networks keep the limits that arithmetic does not know:
    shape (n,).
    """
    return (
        belief.error.log_at_most(bounds.error)
        + belief.complexity.log_at_most(bounds.complexity)
        + log_others(bounds, belief)
    )


def log_nearest(bounds: Bounds, belief: Belief) -> Array:
    """The same while nothing keeps them: where it is next to nothing, the nearest comes first."""
    result = belief.error.log_nearest(bounds.error)
    result = result + belief.complexity.log_nearest(bounds.complexity)
    for name, most in bounds.believed.items():
        if name in belief.costs:
            result = result + belief.costs[name].log_nearest(most)
    return result


def log_others(bounds: Bounds, belief: Belief) -> Array:
    """The same of limits on what f is not made of, which are independent of its improvement."""
    result = np.zeros(len(belief.error.mean))
    for name, most in bounds.believed.items():
        if name in belief.costs:
            result = result + belief.costs[name].log_at_most(most)
    return result


def gather(
    space: Space,
    observations: Sequence[Observation],
    level: int,
    base: Config,
    *,
    pending: Sequence[Config],
    excluded: Iterable[Config | str],
    rejected: Sequence[Config],
    failures: Sequence[Config],
    exact: Callable[[Config], float] | None,
    favourite: Mapping[str, str],
    bounds: Bounds,
    radius: float,
    seed: int,
    strategy: Strategy,
    measure: str | None,
    timed: Timed | None,
    prior: Prior,
    average: int,
    earlier: Sequence[Earlier],
) -> Evidence:
    """What counts in this level, the model fitted to it.  The arguments are those of `rank`."""
    from ..model.embedding import Embedding

    base = space.resized(base)
    others = itertools.chain(rejected, failures, pending, (o.config for o in observations))
    seen = {e if isinstance(e, str) else space.key(e) for e in excluded}
    seen.update(space.key(config) for config in others)

    seen |= over_their_limits(bounds, timed or {})
    embedding = Embedding(space, prior, earlier)
    surrogate: Surrogate | None = None
    observed: Belief | None = None
    waiting: Belief | None = None
    if observations and strategy == "gp":
        from ..model.surrogate import Surrogate

        costs = set(bounds.believed)
        if timed and COMPLEXITY in timed:  # f_c is one of them, and is told in its own unit too
            costs |= timed.keys() - {COMPLEXITY}
        surrogate = Surrogate(
            space,
            tuple(observations),
            space.dimensions(level, base),
            exact,
            sorted(costs),
            timed,
            prior,
            average,
            earlier,
        )
        embedding = surrogate.embedding
        observed = surrogate.belief(surrogate.observed)
        if pending:
            points = surrogate.points(pending)
            waiting = surrogate.belief(points)
            surrogate = surrogate.believing(points)

    def inside(configs: Iterable[Config]) -> tuple[int, ...]:
        return tuple(
            row
            for row, config in enumerate(configs)
            if _at_base(space, level, base, config) == space.resized(config)
        )

    trained = [o.config for o in observations] if failures else []
    return Evidence(
        space=space,
        level=level,
        base=base,
        observations=tuple(observations),
        seed=seed,
        strategy=strategy,
        measure=measure,
        radius=radius,
        seen=frozenset(seen),
        pending=tuple(pending),
        region=favoured_region(space, favourite) if favourite else None,
        favourite=tuple(favourite),
        bounds=bounds,
        over=over_limits(space, bounds.exact) if bounds.exact else None,
        embedding=embedding,
        surrogate=surrogate,
        observed=observed,
        waiting=waiting,
        rejected=embedding(rejected) if rejected else None,
        failed=embedding(failures) if failures else None,
        trained=embedding(trained) if trained else None,
        inside=inside(o.config for o in observations),
        waiting_inside=inside(pending),
        timed=timed or {},
        exact=exact,
    )


def favoured_region(space: Space, favourite: Mapping[str, str]) -> Space:
    """The space narrowed to a favourite region; InvalidDomain where it cannot be."""
    try:
        return space.narrowed(favourite)
    except InvalidDomain as fault:
        raise InvalidDomain(f"favourite region: {fault}") from None


def _at_base(space: Space, level: int, base: Config, config: Config) -> Config:
    names = [parameter.name for parameter in space.at_level(level)]
    return space.resized({**base, **{name: config[name] for name in names}})
