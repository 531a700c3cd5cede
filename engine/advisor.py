"""The advisor: what was observed -> ranked proposals, each with its reasons."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..sessions.records import Advised, Config, Prediction, Scalar
from .host import M_MMAP_THRESHOLD, set_malloc
from .objective import objective
from .space import Categorical, Entry, InvalidDomain, Real, Space
from .strategies import STREAMS, Strategy

if TYPE_CHECKING:
    from .acquisition import Improvement
    from .surrogate import Belief, Points, Surrogate

Array = NDArray[np.float64]
Origin = Literal["design", "model", "person"]

SAMPLES = 2048
"""Points of the scrambled Sobol sample of a level."""
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
CAUTION = 1.28
"""Standard deviations of the bounds that decide when a level is used up: 90 % on either side."""
FADING = 3.0
"""Trials after which a favourite region weighs as much as a factor e for each parameter outside."""
FEASIBLE_LENGTH = 0.5
"""Length scale of the chance of failure: half a scale away in one parameter is another story."""
NEAR_COPY = 0.15
"""Networks closer than this in the embedding (1: one category changed) are near copies: one stands
for all of them in a list of proposals, and rejecting one rejects them all."""
LARGE_BYTES = 4_000_000
"""A matrix of 700 observations: smaller ones are asked for again too soon to be given back."""
FEASIBLE_PRIOR = 0.5
"""How many successes, right at a network, the belief that it trains at all is worth."""


@dataclass(frozen=True)
class Observation:
    """A finished training.

    error: f_p.  images: validation images behind it, 0 where it is exact or that is unknown.
    complexity: f_c.
    """

    number: int
    level: int
    config: Config
    error: float
    images: int
    complexity: float


@dataclass(frozen=True)
class Nearest:
    """The observed trial that the model takes for most alike, and what differs from it."""

    number: int
    objective: float
    differs: tuple[Entry, ...]


@dataclass(frozen=True)
class Proposal:
    """A network to consider, and why.

    id: `Space.key` of the configuration.  prediction: None only while nothing was observed.
    feasible: probability that it trains at all.  known: what arithmetic knows of it.
    note: `initial design 2 of 6`, or nothing.
    """

    id: str
    config: Config
    prediction: Prediction | None
    origin: Origin
    feasible: float
    known: Mapping[str, float]
    nearest: Nearest | None
    note: str = ""


@dataclass(frozen=True)
class Slice:
    """Belief about f along one parameter; mean and std have one entry a value."""

    parameter: str
    index: int | None
    categories: bool
    values: tuple[Scalar, ...]
    mean: Array
    std: Array


@dataclass(frozen=True)
class Place:
    """Where a network stands: its rank, 1 the best and before anything is known, among how many.

    candidate: whether it is one of those that were ranked; else the rank is the one that it would
    have beside them, and `among` counts it too.
    """

    rank: int
    among: int
    candidate: bool


@dataclass(frozen=True)
class Ranking:
    """Proposals, best first, and what they rest on.

    candidates: how many were ranked.  incumbent: f*, the smallest posterior mean over the networks
    evaluated in the level's slice, None before the first; incumbent_number: its trial.
    exhausted: nothing is left to propose.  advice: one sentence, stay or go on.  remaining: the
    bound on what can still be gained, noise: the standard deviation of a measurement of f*, flat:
    whether the one is below the other.  relevance: what the belief depends on most, weights that
    add up to 1.
    """

    proposals: tuple[Proposal, ...]
    candidates: int
    seconds: float
    incumbent: float | None
    incumbent_number: int | None
    level: int
    wc: float
    exhausted: bool
    advice: str
    relevance: tuple[tuple[str, float], ...]
    remaining: float | None = None
    noise: float | None = None
    flat: bool = False
    _advisor: _Advisor | None = field(default=None, repr=False, compare=False)

    @property
    def advised(self) -> Advised | None:
        """The first candidate, for a decision against it to keep; None without a belief."""
        if not self.proposals or self.proposals[0].prediction is None:
            return None
        first = self.proposals[0]
        return Advised(id=first.id, config=first.config, prediction=first.prediction)

    def evaluate(self, configs: Sequence[Config]) -> list[Proposal]:
        """What the model says of any valid configurations; the ranking does not change.

        Raises InvalidConfig.
        """
        advisor = self._known()
        with _one_thread():
            return advisor.proposals(
                [advisor.space.validate(config) for config in configs], "person", self.wc
            )

    def place_of(self, proposal: Proposal) -> Place:
        """Where it stands among the candidates by LogEI, or would stand were it one of them."""
        return self._known().place_of(proposal)

    def together(self, count: int) -> tuple[Proposal, ...]:
        """The networks to train at once, at most `count`: the first is the ranking's first, and
        each one after it the best, had those before it come out as they are expected to.

        Kriging believers (Ginsbourger, Le Riche, Carraro 2010).  Nothing is fitted again, and the
        predictions are the ranking's own: what was merely believed narrows none of them.
        """
        if count <= 1 or self.incumbent is None:
            return self.proposals[: max(count, 0)]
        advisor = self._known()
        with _one_thread():
            return tuple(advisor.together(self.proposals, count, self.wc))

    def reweighted(self, wc: float) -> Ranking:
        """The same candidates under another complexity weight; nothing is fitted again."""
        advisor = self._known()
        start = time.perf_counter()
        with _one_thread():
            return advisor.ranking(wc, start)

    def slice(
        self, config: Config, parameter: str, index: int | None = None, points: int = 64
    ) -> Slice:
        """Belief about f along one parameter, or one entry of a list, the rest as in `config`.

        Values that cannot be built there are left out; mean and std are empty before anything was
        observed.  Raises KeyError for an unknown parameter, IndexError for an entry there is not.
        """
        with _one_thread():
            return self._known().slice(config, parameter, index, points, self.wc)

    def posterior(self, number: int, wc: float | None = None) -> tuple[float, float]:
        """Mean and standard deviation of the latent f of an observed trial; else KeyError.

        wc: another weight than the ranking's.
        """
        return self._known().posterior(number, self.wc if wc is None else wc)

    def best(self, wc: float) -> tuple[int, float, float] | None:
        """The trial of the smallest posterior mean of f over all levels, mean and σ of f there.

        The incumbent is the best of one level's slice; this is the best of all that was observed.
        None where nothing was observed, or nothing is believed (a strategy without a model).
        """
        return self._known().best(wc)

    def _known(self) -> _Advisor:
        if self._advisor is None:
            raise RuntimeError("This ranking was not made by rank().")
        return self._advisor


def rank(
    space: Space,
    observations: Sequence[Observation],
    level: int,
    base: Config,
    complexity_weight: float,
    pending: Sequence[Config] = (),
    excluded: Iterable[Config | str] = (),
    count: int = 10,
    seed: int = 0,
    *,
    exact: Callable[[Config], float] | None = None,
    failures: Sequence[Config] = (),
    design: int = 0,
    initial: int = 0,
    rejected: Sequence[Config] = (),
    radius: float = NEAR_COPY,
    favourite: Mapping[str, str] | None = None,
    strategy: Strategy = "gp",
) -> Ranking:
    """Rank the networks of a level that were not evaluated yet, by how much they promise.

    level: 1 the first, 0 all parameters at once.  base: the network whose other levels every
    candidate shares.  pending: waiting or running.  excluded: configurations or their keys that
    are not to be proposed.  rejected: configurations that are not to be proposed, nor anything
    closer to one than `radius` (1: one parameter moved over its whole scale).  exact: complexity
    by arithmetic, None where it is measured.  failures: configurations that failed.  design:
    points of the level's initial design still to be proposed, of `initial`; they come first.
    favourite: parameter -> domain as text, a region that a person believes in; its weight fades
    as trials come in (Hvarfner et al. 2022).  strategy: `gp`, or a search without a model, whose
    proposals have no prediction and whose incumbent is the best measured.

    The same arguments give the same ranking in every process.  Raises InvalidDomain for a
    favourite region that cannot be read.
    """
    start = time.perf_counter()
    if favourite:
        _region(space, favourite)
    _let_go_of_large()
    with _one_thread():
        advisor = _Advisor(
            space=space,
            observations=tuple(observations),
            level=level,
            base=space.resized(base),
            wc=complexity_weight,
            pending=tuple(pending),
            excluded=tuple(excluded),
            count=count,
            seed=seed,
            exact=exact,
            failures=tuple(failures),
            design=design,
            initial=initial,
            rejected=tuple(rejected),
            radius=radius,
            favourite=dict(favourite or {}),
            strategy=strategy,
        )
        return advisor.ranking(complexity_weight, start)


@cache
def _let_go_of_large() -> None:
    """Have the C library give large arrays back to the system as soon as they are freed.

    glibc learns to keep blocks as large as those it has seen freed, up to 32 MB: the (n, n)
    matrices of thousands of observations would stay with the process after every ranking.
    """
    set_malloc({M_MMAP_THRESHOLD: LARGE_BYTES})


@cache
def _controller() -> Any:
    # scipy brings a BLAS of its own, which must be loaded to be found
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _one_thread() -> Any:
    """One BLAS thread: sums come out the same everywhere, and a training's time is left alone."""
    return _controller().limit(limits=1)


def _region(space: Space, favourite: Mapping[str, str]) -> Space:
    """The space narrowed to a favourite region; InvalidDomain where it cannot be."""
    try:
        return space.narrowed(favourite)
    except InvalidDomain as fault:
        raise InvalidDomain(f"favourite region: {fault}") from None


class _Advisor:
    """What one call of `rank` worked out, kept for the what-if questions that follow it."""

    def __init__(
        self,
        *,
        space: Space,
        observations: tuple[Observation, ...],
        level: int,
        base: Config,
        wc: float,
        pending: tuple[Config, ...],
        excluded: tuple[Config | str, ...],
        count: int,
        seed: int,
        exact: Callable[[Config], float] | None,
        failures: tuple[Config, ...],
        design: int,
        initial: int,
        rejected: tuple[Config, ...],
        radius: float,
        favourite: Mapping[str, str],
        strategy: Strategy,
    ) -> None:
        from .kernel import Embedding

        self.space = space
        self.observations = observations
        self.level = level
        self.base = base
        self.count = count
        self.design = design
        self.initial = initial
        self.radius = radius
        self.region = _region(space, favourite) if favourite else None
        self.favourite = tuple(favourite)
        self.seed = seed
        self.strategy = strategy
        self._rng = np.random.default_rng([abs(seed), len(observations)])

        self.seen = {e if isinstance(e, str) else space.key(e) for e in excluded}
        for config in itertools.chain(
            rejected, failures, pending, (o.config for o in observations)
        ):
            self.seen.add(space.key(config))

        self.surrogate: Surrogate | None = None
        self.observed: Belief | None = None
        self.waiting: Belief | None = None
        self.embedding = Embedding(space)
        if observations and strategy == "gp":
            from .surrogate import Surrogate

            self.surrogate = Surrogate(space, observations, space.dimensions(level, base), exact)
            self.embedding = self.surrogate.embedding
            self.observed = self.surrogate.belief(self.surrogate.observed)
            if pending:
                waiting = self.surrogate.points(pending)
                self.waiting = self.surrogate.belief(waiting)
                self.surrogate = self.surrogate.believing(waiting)
        self.rejected = self.embedding(rejected) if rejected else None
        self.failed = self.embedding(failures) if failures else None
        self.trained = (
            self.embedding([o.config for o in observations]) if failures and observations else None
        )
        self.inside = self._slice_rows()
        self.waiting_inside = [row for row, c in enumerate(pending) if self._in_slice(c)]
        self.evaluated = self.inside or list(range(len(observations)))
        """The rows that f* is looked for in: the slice's, or all where it has none."""

        self.drawn = self.allowed = 0
        """Sampled networks that can be built, and those of them that may be proposed."""
        self.planned = self._plan()
        self.keys: list[str] = []
        self.points: Points | None = None
        self.bare: list[Config] = []
        self.belief: Belief | None = None
        self._collect(wc)

    # -- what counts in this level --------------------------------------------------------------

    def _at_base(self, config: Config) -> Config:
        """The configuration's values of this level, on the base."""
        names = [parameter.name for parameter in self.space.at_level(self.level)]
        return self.space.resized({**self.base, **{name: config[name] for name in names}})

    def _slice_rows(self) -> list[int]:
        """The observations that lie in this level's slice."""
        return [row for row, o in enumerate(self.observations) if self._in_slice(o.config)]

    def _in_slice(self, config: Config) -> bool:
        return self._at_base(config) == self.space.resized(config)

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

    def _threshold(self, wc: float) -> float:
        """What has to be beaten: f*, or what is believed of a pending network if that is less.

        Like f*, only networks of the level's slice count: another's cannot be reached here.
        """
        found = self.incumbent(wc)
        assert found is not None
        if self.waiting is None:
            return found[0]
        mean, _, _ = self.waiting.objective(wc)
        return min([found[0], *(float(mean[row]) for row in self.waiting_inside)])

    # -- candidates -----------------------------------------------------------------------------

    def _sobol(self, count: int, seed: Any) -> list[Config]:
        """Scrambled Sobol points of the level, decoded, those that can be built and proposed."""
        from scipy.stats import qmc

        size = self.space.dimensions(self.level, self.base)
        if size == 0:
            return [self.base]
        engine = qmc.Sobol(size, rng=np.random.default_rng(seed))
        units = engine.random(1 << max(count - 1, 0).bit_length())
        decoded = (self.space.decode(unit, self.level, self.base) for unit in units)
        return [config for config in decoded if self._fit(config)]

    def _fit(self, config: Config) -> bool:
        """Whether a decoded configuration can be built and may be proposed."""
        if self.space.broken(config):
            return False
        allowed = self._proposable(config)
        self.drawn += 1
        self.allowed += allowed
        return allowed

    def _plan(self) -> list[tuple[str, Config]]:
        """The next points of the level's initial design, the same until they are used up."""
        if self.design <= 0:
            return []
        # not seeded by the number of observations: the points have to fit each other
        drawn = self._sobol(DESIGN_POINTS, [abs(self.seed), 0x5EED, self.level])
        fresh = self._apart(self._fresh(drawn, set()))
        return fresh[: self.design]

    def _fresh(self, configs: Iterable[Config], known: set[str]) -> list[tuple[str, Config]]:
        """Those that were neither seen nor are in `known`, each once; `known` grows by them."""
        found: list[tuple[str, Config]] = []
        for config in configs:
            key = self.space.key(config)
            if key not in known and key not in self.seen:
                known.add(key)
                found.append((key, config))
        return found

    def _collect(self, wc: float) -> None:
        """The pool of candidates: a sample, neighbours of the best, and local search."""
        known: set[str] = set()
        if self.strategy != "gp":
            self._extend(self._streamed(wc, known))
            return
        drawn = self._sobol(SAMPLES, self._rng.integers(2**32, size=4))
        sample = self._apart(self._fresh(drawn, known))
        self._extend(sample + self._apart(self._fresh(self._around(wc), known)))
        if self.surrogate is None:
            return
        self._climb(wc, known)
        self._ascend(wc, known, len(sample))

    def _streamed(self, wc: float, known: set[str]) -> list[tuple[str, Config]]:
        """What a strategy without a model proposes; nothing where only seen networks come up."""
        mean, _ = self.means(wc)
        history = [(self.observations[r].config, float(mean[r])) for r in self.inside]
        stream = STREAMS[self.strategy](
            self.space, self.level, self.base, history, self._rng, self.seed
        )
        found: list[tuple[str, Config]] = []
        for config in itertools.islice(stream, SAMPLES):
            if self._proposable(config):
                found += self._apart(self._fresh([config], known))
            if len(found) >= self.count:
                return found
        # the neighbourhood is used up: anything of the level that is left
        drawn = self._sobol(SAMPLES, self._rng.integers(2**32, size=4))
        return found or self._apart(self._fresh(drawn, known))

    def _around(self, wc: float) -> list[Config]:
        """The neighbours of the best networks, and the values of good networks of other slices."""
        centres: list[Config] = [self.base]
        moved: list[Config] = []
        if self.observations:
            mean, _ = self.means(wc)
            inside = sorted(self.inside, key=lambda r: float(mean[r]))
            centres += [self.observations[r].config for r in inside[:NEIGHBOURS_OF]]
            everywhere = np.argsort(mean, kind="stable")[:20]
            moved = [self._at_base(self.observations[r].config) for r in everywhere]
            moved = [
                config
                for config in moved
                if not self.space.problems(config) and self.space.guided(config, self.level)
            ]
        around = [n for config in centres for n in self.space.neighbours(config, self.level)]
        return [config for config in moved + around if self._proposable(config)]

    def _proposable(self, config: Config) -> bool:
        return self.space.proposable is None or self.space.proposable(config)

    def _apart(self, fresh: list[tuple[str, Config]]) -> list[tuple[str, Config]]:
        """Those that are not within the radius of a rejected configuration."""
        if self.rejected is None or self.radius <= 0 or not fresh:
            return fresh
        from .kernel import squared_distances

        features = self.embedding([config for _, config in fresh])
        near = squared_distances(features, self.rejected).min(axis=1) < self.radius**2
        return [entry for entry, close in zip(fresh, near, strict=True) if not close]

    def _extend(self, fresh: list[tuple[str, Config]]) -> None:
        """Add candidates to the pool, with what is believed of them."""
        configs = [config for _, config in fresh]
        self.keys += [key for key, _ in fresh]
        if self.surrogate is None:
            self.bare += configs
            return
        added = self.surrogate.points(configs)
        belief = self.surrogate.belief(added)
        self.points = added if self.points is None else self.points + added
        self.belief = belief if self.belief is None else _joined(self.belief, belief)

    def _climb(self, wc: float, known: set[str]) -> None:
        """Local search from the best candidates, all of them a step at a time."""
        explored: set[str] = set()
        for _ in range(ROUNDS):
            assert self.points is not None
            if not self.keys:
                return
            value = self.value(wc)
            best = [
                int(i)
                for i in np.argsort(-value, kind="stable")[:SEARCHES]
                if self.keys[i] not in explored
            ]
            if not best:
                return
            explored.update(self.keys[i] for i in best)
            configs = [self.points.configs[i] for i in best]
            around = [n for c in configs for n in self.space.neighbours(c, self.level)]
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
        order = [int(i) for i in np.argsort(-self.value(wc), kind="stable")]
        starts = self._different(order[: 20 * ASCENTS], ASCENTS // 2)
        # what climbed before crowds around one network: the sample gives starts of its own
        own = [i for i in order if i < sampled][: 20 * ASCENTS]
        starts = self._different(own, ASCENTS, starts)
        peaks = [self._peak(self.points.configs[i], wc) for i in starts]
        found = [
            c
            for c in peaks
            if c is not None and self.space.guided(c, self.level) and not self.space.broken(c)
        ]
        fresh = [entry for entry in self._fresh(found, known) if self._proposable(entry[1])]
        fresh = self._apart(fresh)
        if fresh:
            self._extend(fresh)

    def _peak(self, start: Config, wc: float) -> Config | None:
        """Where all real parameters of the level lead at once; None where there are none.

        L-BFGS-B on the unit scale, by central differences that are evaluated in one batch.
        """
        from scipy.optimize import minimize

        places = self._real_places(start)
        if not places:
            return None
        size = len(places)
        steps = DIFFERENCE * np.eye(size)
        shifts = np.vstack([np.zeros((1, size)), steps, -steps])

        def slope(unit: Array) -> tuple[float, Array]:
            around = np.clip(unit + shifts, 0.0, 1.0)
            value = -self._value_of([self._moved(start, places, u) for u in around], wc)
            run = (around[1 : 1 + size] - around[1 + size :]).sum(axis=1)
            return float(value[0]), (value[1 : 1 + size] - value[1 + size :]) / run

        reached = minimize(
            slope,
            np.array([self._unit(start, place) for place in places]),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * size,
            options={"maxiter": ASCENT_STEPS},
        )
        return self._moved(start, places, reached.x, rounded=True)

    def _different(self, order: Sequence[int], count: int, taken: Sequence[int] = ()) -> list[int]:
        """Candidates: those taken and the first of `order`, no two near copies, `count` in all."""
        from .kernel import squared_distances

        assert self.points is not None
        features = self.points.features
        chosen = list(taken)
        for i in order:
            if len(chosen) >= count:
                break
            apart = squared_distances(features[[i]], features[chosen])
            if not chosen or apart.min() >= NEAR_COPY**2:
                chosen.append(i)
        return chosen

    def _real_places(self, config: Config) -> list[tuple[str, int | None, Real]]:
        """The real numbers of the level that can move: parameter, entry of a list, scale.

        What is switched off stays so.
        """
        found: list[tuple[str, int | None, Real]] = []
        for parameter in self.space.at_level(self.level):
            domain = parameter.domain
            if not isinstance(domain, Real) or not domain.low < domain.high:
                continue
            scale = replace(domain, zero=False)
            value = config[parameter.name]
            entries = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
            found += [
                (parameter.name, index, scale)
                for index, entry in entries
                if entry != 0 or not domain.zero
            ]
        return found

    @staticmethod
    def _unit(config: Config, place: tuple[str, int | None, Real]) -> float:
        name, index, scale = place
        value = config[name] if index is None else config[name][index]
        return min(max(float(scale.unit(value)), 0.0), 1.0)

    @staticmethod
    def _moved(
        config: Config,
        places: Sequence[tuple[str, int | None, Real]],
        unit: Array,
        rounded: bool = False,
    ) -> Config:
        """The configuration with its real numbers at a point of the unit cube."""
        moved: Config = dict(config)
        for (name, index, scale), u in zip(places, unit, strict=True):
            number = scale.at(float(u)) if rounded else scale.between(float(u))
            if index is None:
                moved[name] = number
            else:
                moved[name] = [*moved[name][:index], number, *moved[name][index + 1 :]]
        return moved

    def _value_of(self, configs: Sequence[Config], wc: float) -> Array:
        """What ranks any configurations, shape (len(configs),)."""
        assert self.surrogate is not None
        points = self.surrogate.points(configs)
        gain = self.improvement(self.surrogate.belief(points), wc).log_ei
        return gain + self._weight(configs, points.features)

    # -- what they are worth --------------------------------------------------------------------

    def improvement(self, belief: Belief, wc: float) -> Improvement:
        """Expected improvement on f*."""
        return belief.improvement(wc, self._threshold(wc))

    def value(self, wc: float) -> Array:
        """What ranks the pool: LogEI + log P(feasible) + log of the favourite region's weight."""
        assert self.belief is not None
        assert self.points is not None
        result = self.improvement(self.belief, wc).log_ei
        return result + self._weight(self.points.configs, self.points.features)

    def _weight(self, configs: Sequence[Config], features: Array) -> Array:
        result = np.log(self.feasible(features))
        if self.region is not None:
            result = result + self._favour(configs)
        return result

    def feasible(self, features: Array) -> Array:
        """Probability that a network trains at all, shape (n,).

        The share of successes, each trial counted by its correlation with the network, and a few
        successes assumed beforehand: 1 where nothing ever failed, never 0.
        """
        if self.failed is None:
            return np.ones(len(features))
        from .kernel import Conditional

        groups = self.embedding.groups
        kernel = Conditional(
            tuple(group.features for group in groups),
            np.full(len(groups), FEASIBLE_LENGTH),
        )
        failed = kernel.correlation(features, self.failed).sum(axis=1)
        trained = np.zeros(len(features))
        if self.trained is not None:
            trained = kernel.correlation(features, self.trained).sum(axis=1)
        good = FEASIBLE_PRIOR + trained
        share: Array = good / (good + failed)
        return share

    def _favour(self, configs: Sequence[Config]) -> Array:
        """Logarithm of the favourite region's weight: it fades as 1 / trials."""
        assert self.region is not None
        strength = FADING / max(len(self.observations), 1)
        outside = []
        for config in configs:
            missed = 0.0
            for name in self.favourite:
                domain = self.region[name].domain
                value = config[name]
                entries = value if isinstance(value, list) else [value]
                if entries:
                    missed += sum(not domain.contains(e) for e in entries) / len(entries)
            outside.append(missed)
        return -strength * np.array(outside)

    def place_of(self, proposal: Proposal) -> Place:
        """Its place in the pool by LogEI under the proposal's weight."""
        listed = proposal.id in self.keys
        among = len(self.keys) + (not listed)
        candidate = listed or any(key == proposal.id for key, _ in self.planned)
        if proposal.prediction is None or self.belief is None or not self.keys:
            return Place(1, among, candidate)
        wc = proposal.prediction.wc
        value = self.value(wc)
        own = proposal.prediction.log_ei + float(
            self._weight([proposal.config], self.embedding([proposal.config]))[0]
        )
        # its own twin in the pool may differ in the last digits
        rank = 1 + int((value > own + 1e-9 * max(1.0, abs(own))).sum())
        return Place(min(rank, among), among, candidate)

    # -- answers --------------------------------------------------------------------------------

    def ranking(self, wc: float, start: float) -> Ranking:
        """Everything under one complexity weight."""
        planned = [config for _, config in self.planned]
        ahead = {key for key, _ in self.planned}
        proposals = self.proposals(planned[: self.count], "design", wc)
        proposals = [
            replace(
                proposal,
                note=f"initial design {max(self.initial, self.design) - self.design + 1 + i} of "
                f"{max(self.initial, self.design)}",
            )
            for i, proposal in enumerate(proposals)
        ]
        if self.surrogate is None:
            order = [i for i, key in enumerate(self.keys) if key not in ahead]
            chosen = [self.bare[i] for i in order[: self.count - len(proposals)]]
            origin: Origin = "design" if self.strategy == "gp" else "model"
        else:
            order = (
                [int(i) for i in np.argsort(-self.value(wc), kind="stable")] if self.keys else []
            )
            order = [i for i in order if self.keys[i] not in ahead]
            assert self.points is not None
            order = self._spread(order, self.count - len(proposals))
            chosen = [self.points.configs[i] for i in order]
            origin = "model"
        proposals += self.proposals(chosen, origin, wc)
        exhausted = not self.keys and not self.planned
        found = self.incumbent(wc)
        remaining, noise = self._left(wc)
        flat = remaining is not None and noise is not None and remaining <= noise
        return Ranking(
            proposals=tuple(proposals),
            candidates=len(self.keys),
            seconds=time.perf_counter() - start,
            incumbent=None if found is None else found[0],
            incumbent_number=None if found is None else self.observations[found[1]].number,
            level=self.level,
            wc=wc,
            exhausted=exhausted,
            advice=self._advice(exhausted, remaining, noise),
            relevance=self._relevance(wc),
            remaining=remaining,
            noise=noise,
            flat=flat and self.design <= 0,
            _advisor=self,
        )

    def _spread(self, order: Sequence[int], count: int) -> list[int]:
        """The first `count` that are no near copies of one before; those too where others lack."""
        chosen = set(self._different(order, count))
        copies = (i for i in order if i not in chosen)
        chosen.update(itertools.islice(copies, count - len(chosen)))
        return [i for i in order if i in chosen]

    def proposals(self, configs: Sequence[Config], origin: Origin, wc: float) -> list[Proposal]:
        """Configurations with all that is known and believed of them."""
        if not configs:
            return []
        keys = [self.space.key(config) for config in configs]
        known = [dict(self.space.known(c)) if self.space.known else {} for c in configs]
        if self.surrogate is None:
            features = self.embedding(configs)
            feasible = self.feasible(features)
            return [
                Proposal(key, config, None, origin, float(chance), facts, None)
                for key, config, chance, facts in zip(keys, configs, feasible, known, strict=True)
            ]
        points = self.surrogate.points(configs)
        belief = self.surrogate.belief(points)
        mean, std, predictive = belief.objective(wc)
        best = self._threshold(wc)
        gain = belief.improvement(wc, best)
        feasible = self.feasible(points.features)
        nearest = self._nearest(points, wc)
        return [
            Proposal(
                id=keys[i],
                config=config,
                prediction=Prediction(
                    mean=float(mean[i]),
                    std=float(std[i]),
                    predictive_std=float(predictive[i]),
                    ei=float(gain.ei[i]),
                    log_ei=float(gain.log_ei[i]),
                    exploit=float(gain.exploit[i]),
                    explore=float(gain.explore[i]),
                    incumbent=best,
                    wc=wc,
                    error=float(belief.error.mean[i]),
                    error_std=float(belief.error.std[i]),
                    complexity=float(belief.complexity.mean[i]),
                    complexity_std=float(belief.complexity.std[i]),
                ),
                origin=origin,
                feasible=float(feasible[i]),
                known=known[i],
                nearest=nearest[i],
            )
            for i, config in enumerate(configs)
        ]

    def together(self, ranked: Sequence[Proposal], count: int, wc: float) -> list[Proposal]:
        """See `Ranking.together`.  ranked: its proposals."""
        if self.surrogate is None:  # a strategy without a belief, which knows nothing better
            return list(ranked[:count])
        # the initial design goes first; its points were drawn to lie apart
        chosen = [proposal for proposal in ranked if proposal.origin == "design"][:count]
        new = [proposal.config for proposal in chosen]
        ahead = {proposal.id for proposal in chosen}
        left = [i for i, key in enumerate(self.keys) if key not in ahead]
        surrogate, belief, best = self.surrogate, self.belief, self._threshold(wc)
        assert self.points is not None
        weight = self._weight(self.points.configs, self.points.features)
        rows: list[int] = []
        while left and len(chosen) + len(rows) < count:
            if new:
                points = surrogate.points(new)
                best = min(best, float(surrogate.belief(points).objective(wc)[0].min()))
                surrogate = surrogate.believing(points)
                belief = surrogate.belief(self.points)
            assert belief is not None
            value = belief.improvement(wc, best).log_ei + weight
            order = sorted(left, key=lambda i: -float(value[i]))
            rows = self._different(order, len(rows) + 1, rows)
            if rows[-1] not in left:  # near copies of those are all that is left
                break
            left.remove(rows[-1])
            new = [self.points.configs[rows[-1]]]
        return chosen + self.proposals([self.points.configs[i] for i in rows], "model", wc)

    def _nearest(self, points: Points, wc: float) -> list[Nearest]:
        """The observed trial of the highest correlation, by the error's kernel."""
        assert self.surrogate is not None
        kernel = self.surrogate.error.kernel
        likeness = kernel.correlation(points.features, self.surrogate.observed.features)
        found = []
        for config, row in zip(points.configs, likeness.argmax(axis=1), strict=True):
            trial = self.observations[int(row)]
            found.append(
                Nearest(
                    trial.number,
                    objective(trial.error, trial.complexity, wc),
                    differences(self.space, trial.config, config),
                )
            )
        return found

    def slice(
        self, config: Config, parameter: str, index: int | None, points: int, wc: float
    ) -> Slice:
        """See `Ranking.slice`."""
        domain = self.space[parameter].domain
        current = config[parameter]
        if isinstance(current, list) and (index is None or not 0 <= index < len(current)):
            raise IndexError(f"{parameter} has {len(current)} entries, no entry {index}.")
        values: list[Scalar] = []
        if isinstance(domain, Categorical):
            values = list(domain.choices)
        else:
            units = (np.arange(points) + 0.5) / points
            if isinstance(domain, Real) or len(domain.values() or []) > points:
                drawn = [domain.at(float(unit)) for unit in units]
            else:
                drawn = list(domain.values() or [])
            values = sorted({*drawn, domain.clip(domain.low), domain.clip(domain.high)})
        moved: list[Config] = []
        kept: list[Scalar] = []
        for value in values:
            changed: Any = value
            if isinstance(current, list):
                assert index is not None
                changed = [*current[:index], value, *current[index + 1 :]]
            candidate = self.space.resized({**config, parameter: changed})
            if not self.space.problems(candidate):
                moved.append(candidate)
                kept.append(value)
        mean = std = np.zeros(0)
        if self.surrogate is not None and moved:
            mean, std, _ = self.surrogate.belief(self.surrogate.points(moved)).objective(wc)
        return Slice(parameter, index, isinstance(domain, Categorical), tuple(kept), mean, std)

    def posterior(self, number: int, wc: float) -> tuple[float, float]:
        """See `Ranking.posterior`."""
        for row, o in enumerate(self.observations):
            if o.number == number:
                mean, std = self.means(wc)
                return float(mean[row]), float(std[row])
        raise KeyError(number)

    def _left(self, wc: float) -> tuple[float | None, float | None]:
        """A bound on what is left to gain in the level, and the noise of a measurement of f*.

        The gap between the smallest upper confidence bound of what was evaluated and the smallest
        lower one of what can be had (Makarova et al. 2022, arXiv 2104.08166).
        """
        found = self.incumbent(wc)
        if found is None or self.observed is None:
            return None, None
        mean, std, predictive = self.observed.objective(wc)
        rows = self.evaluated
        upper = float((mean[rows] + CAUTION * std[rows]).min())
        lower = float((mean[rows] - CAUTION * std[rows]).min())
        error = self.observed.error
        positive = error.log and error.origin == 0 and self.observed.complexity.log
        if self.belief is not None and self.keys:
            ahead, spread, _ = self.belief.objective(wc)
            lower = min(lower, float((ahead - CAUTION * spread).min()))
        if positive:
            lower = max(lower, 0.0)
        row = found[1]
        noise = math.sqrt(max(float(predictive[row] ** 2 - std[row] ** 2), 0.0))
        return max(upper - lower, 0.0), noise

    def _advice(self, exhausted: bool, remaining: float | None, noise: float | None) -> str:
        onward = "go to the next level"
        if self.level in (0, len(self.space.levels)):
            onward = "stop here" if self.level <= 1 else "open level 1 again, or stop here"
        if exhausted and self.drawn and not self.allowed:
            return (
                "Every network sampled for this level exceeds the cap on MACs: raise --macs-cap "
                "or narrow channels."
            )
        if exhausted:
            return f"Every network of this level has been tried or set aside: {onward}."
        if self.design > 0:
            total = max(self.initial, self.design)
            return f"Initial design: {total - self.design} of {total} decided."
        if remaining is None or noise is None:
            if self.strategy != "gp":
                return f"No belief by {self.strategy}: how much is left to gain is not known."
            return "Nothing has been observed yet."
        if remaining <= noise:
            return (
                f"At most {remaining:.2g} can be gained here, and the noise is {noise:.2g}: "
                f"{onward}."
            )
        return (
            f"Up to {remaining:.2g} may still be gained here, and the noise is {noise:.2g}: stay."
        )

    def _relevance(self, wc: float) -> tuple[tuple[str, float], ...]:
        """How much of the belief's variation each parameter carries, from the length scales."""
        if self.surrogate is None or self.observed is None:
            return ()
        if self.points is None or not self.points.configs:
            return ()
        features = self.points.features[:SAMPLES]
        weights: dict[str, float] = {}
        processes = [(self.surrogate.error, 1.0, self.observed.error)]
        if self.surrogate.complexity is not None and wc > 0:
            processes.append((self.surrogate.complexity, wc, self.observed.complexity))
        moved = self.embedding.variation(features)
        for process, share, quantity in processes:
            kernel = process.kernel
            unit = (share * process.scale) ** 2 * kernel.amplitude
            if quantity.log:
                unit *= float(quantity.mean.mean()) ** 2
            lengths = np.asarray(kernel.length_scale, dtype=float).reshape(-1)
            for parts, length in zip(moved, lengths, strict=True):
                for label, variance in parts.items():
                    weights[label] = weights.get(label, 0.0) + unit * variance / float(length) ** 2
        total = sum(weights.values())
        if not total > 0 or not math.isfinite(total):
            return ()
        shares = [(label, float(weight / total)) for label, weight in weights.items()]
        # rounding leaves a trace of what never varied
        shares = [(label, share) for label, share in shares if share > 1e-6]
        return tuple(sorted(shares, key=lambda entry: (-entry[1], entry[0])))


def _joined(first: Belief, second: Belief) -> Belief:
    """Belief about the networks of both, in order."""
    from .surrogate import Belief, Quantity

    def both(a: Quantity, b: Quantity) -> Quantity:
        return Quantity(
            a.log,
            np.concatenate([a.transformed_mean, b.transformed_mean]),
            np.concatenate([a.transformed_std, b.transformed_std]),
            np.concatenate([a.mean, b.mean]),
            np.concatenate([a.std, b.std]),
            np.concatenate([a.predictive_std, b.predictive_std]),
            a.origin,
        )

    return Belief(both(first.error, second.error), both(first.complexity, second.complexity))


def differences(space: Space, one: Config, other: Config) -> tuple[Entry, ...]:
    """What differs between two configurations: `batch_size`, the second `kernel`.

    Entries that only one of two lists has are told by the parameter that gives their length.
    """
    found: list[Entry] = []
    for parameter in space.parameters:
        a, b = one[parameter.name], other[parameter.name]
        if parameter.length is None:
            if a != b:
                found.append((parameter.name, None))
        else:
            found += [
                (parameter.name, i) for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y
            ]
    return tuple(found)
