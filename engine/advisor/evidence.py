"""What counts in a level: what was observed, what is believed of it, f*, the slice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...sessions.choices import Strategy
from ...sessions.records import Config
from ..objective import Observation, objective
from ..tasks.domains import InvalidDomain
from ..tasks.space import Space

if TYPE_CHECKING:
    from ..model.belief import Belief
    from ..model.embedding import Embedding
    from ..model.surrogate import Surrogate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """All that a ranking rests on; nothing in it changes once it was gathered.

    space, level, base, observations, seed, strategy, radius: as `rank` was given them.  seen: keys
    that are not proposed.  region: the space narrowed to what is favoured, `favourite` its
    parameters.  surrogate: None without a model, or before the first observation; what waits is
    believed in it to come out as expected.  observed, waiting: belief about the observations and
    about what waits.  rejected, failed, trained: features, shape (n, features), None where there
    are none.  inside, waiting_inside: rows of those in the level's slice.
    """

    space: Space
    level: int
    base: Config
    observations: tuple[Observation, ...]
    seed: int
    strategy: Strategy
    radius: float
    seen: frozenset[str]
    region: Space | None
    favourite: tuple[str, ...]
    embedding: Embedding
    surrogate: Surrogate | None
    observed: Belief | None
    waiting: Belief | None
    rejected: Array | None
    failed: Array | None
    trained: Array | None
    inside: tuple[int, ...]
    waiting_inside: tuple[int, ...]

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
        """f* and the row of its observation."""
        if not self.observations:
            return None
        mean, _ = self.means(wc)
        row = min(self.evaluated, key=lambda r: float(mean[r]))
        return float(mean[row]), row

    def best(self, wc: float) -> tuple[int, float, float] | None:
        """See `Ranking.best`."""
        if self.observed is None:
            return None
        mean, std = self.means(wc)
        row = min(range(len(mean)), key=lambda r: (float(mean[r]), self.observations[r].number))
        return self.observations[row].number, float(mean[row]), float(std[row])

    def posterior(self, number: int, wc: float) -> tuple[float, float]:
        """See `Ranking.posterior`."""
        for row, o in enumerate(self.observations):
            if o.number == number:
                mean, std = self.means(wc)
                return float(mean[row]), float(std[row])
        raise KeyError(number)

    def threshold(self, wc: float) -> float:
        """What has to be beaten: f*, or what is believed of a pending network if that is less.

        Like f*, only networks of the level's slice count: another's cannot be reached here.
        """
        incumbent = self.incumbent(wc)
        assert incumbent is not None
        if self.waiting is None:
            return incumbent[0]
        mean, _, _ = self.waiting.objective(wc)
        return min([incumbent[0], *(float(mean[row]) for row in self.waiting_inside)])


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
    radius: float,
    seed: int,
    strategy: Strategy,
) -> Evidence:
    """What counts in this level, the model fitted to it.  The arguments are those of `rank`."""
    from ..model.embedding import Embedding

    base = space.resized(base)
    others = itertools.chain(rejected, failures, pending, (o.config for o in observations))
    seen = {e if isinstance(e, str) else space.key(e) for e in excluded}
    seen.update(space.key(config) for config in others)

    embedding = Embedding(space)
    surrogate: Surrogate | None = None
    observed: Belief | None = None
    waiting: Belief | None = None
    if observations and strategy == "gp":
        from ..model.surrogate import Surrogate

        surrogate = Surrogate(space, tuple(observations), space.dimensions(level, base), exact)
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
        radius=radius,
        seen=frozenset(seen),
        region=favoured_region(space, favourite) if favourite else None,
        favourite=tuple(favourite),
        embedding=embedding,
        surrogate=surrogate,
        observed=observed,
        waiting=waiting,
        rejected=embedding(rejected) if rejected else None,
        failed=embedding(failures) if failures else None,
        trained=embedding(trained) if trained else None,
        inside=inside(o.config for o in observations),
        waiting_inside=inside(pending),
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
