"""The advisor: what was observed -> ranked proposals, each with its reasons."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...sessions.choices import Strategy
from ...sessions.records import Config, Prediction
from ..machine import let_go_of_large, one_thread
from ..model.prior import NOTHING, Prior
from ..objective import COMPLEXITY, Observation, Timed
from ..tasks.space import Space
from . import explain
from .bounds import NO_BOUNDS, Bounds
from .candidates import NEAR_COPY, Pool
from .evidence import LIKELY, Evidence, favoured_region, gather, log_believed
from .ranking import Front, Origin, Place, Profile, Proposal, Ranking
from .value import feasible, promise, weight

if TYPE_CHECKING:
    from ..model.belief import Array, Belief, Points
    from ..model.known import Earlier
    from ..model.surrogate import Surrogate


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
    bounds: Bounds = NO_BOUNDS,
    outside: Callable[[], str] | None = None,
    strategy: Strategy = "gp",
    measure: str | None = None,
    timed: Timed | None = None,
    prior: Prior = NOTHING,
    average: int = 1,
    earlier: Sequence[Earlier] = (),
) -> Ranking:
    """Rank the networks of a level that were not evaluated yet, by how much they promise.

    level: 1 the first, 0 all parameters at once.  base: the network whose other levels every
    candidate shares.  pending: waiting or running.  excluded: configurations or their keys that
    are not to be proposed.  rejected: configurations that are not to be proposed, nor anything
    closer to one than `radius` (1: one parameter moved over its whole scale).  exact: complexity
    by arithmetic, None where it is measured.  failures: configurations that failed.  design:
    points of the level's initial design still to be proposed, of `initial`; they come first.
    favourite: parameter -> domain as text, a region that a person believes in; its weight fades
    as trials come in (Hvarfner et al. 2022).  bounds: limits; what breaks one that arithmetic knows
    is not proposed, and the others enter the improvement, E[(f* - f)+ 1(limits kept)] (Gardner et
    al. 2014), f* being the best network that keeps them.  outside: says what to do where no network
    of the level keeps what arithmetic knows.  strategy: `gp`, or a search without a model, whose
    proposals have no prediction and whose incumbent is the best measured.  measure: what complexity
    is of, kept with the predictions.  timed: cost, or `f_c` -> what networks were timed for it
    without being trained, by their keys: known of those, and what the belief about the rest learns
    from.  prior: what tables say beforehand.  average: see `Process`.  earlier: sessions to learn
    from, too.

    The same arguments give the same ranking in every process.  Raises InvalidDomain for a
    favourite region that cannot be read.
    """
    start = time.perf_counter()
    if favourite:
        favoured_region(space, favourite)
    let_go_of_large()
    with one_thread():
        evidence = gather(
            space,
            observations,
            level,
            base,
            pending=pending,
            excluded=excluded,
            rejected=rejected,
            failures=failures,
            exact=exact,
            favourite=favourite or {},
            bounds=bounds,
            radius=radius,
            seed=seed,
            strategy=strategy,
            measure=measure,
            timed=timed,
            prior=prior,
            average=average,
            earlier=earlier,
        )
        pool = Pool(evidence, complexity_weight, design=design, count=count)
        worth = explain.worth(evidence, pool)
        advisor = Advisor(evidence, pool, count, design, initial, outside, worth)
        return advisor.ranking(complexity_weight, start)


@dataclass(frozen=True)
class Advisor:
    """What one call of `rank` worked out, kept for the what-if questions that follow it.

    count: proposals of a ranking.  design, initial: points of the level's initial design that are
    still to be proposed, and all that there are.  worth: see `Ranking`.
    """

    evidence: Evidence
    pool: Pool
    count: int
    design: int
    initial: int
    outside: Callable[[], str] | None = None
    worth: tuple[tuple[str, float | None], ...] = ()

    def ranking(self, wc: float, start: float) -> Ranking:
        """Everything under one complexity weight.  start: when it was asked for."""
        evidence, pool = self.evidence, self.pool
        planned = [config for _, config in pool.planned]
        ahead = {key for key, _ in pool.planned}
        total = max(self.initial, self.design)
        proposals = [
            replace(proposal, note=f"initial design {total - self.design + 1 + i} of {total}")
            for i, proposal in enumerate(self.proposals(planned[: self.count], "design", wc))
        ]
        order = [i for i in pool.order(wc) if pool.keys[i] not in ahead]
        wanted = self.count - len(proposals)
        if pool.points is None:
            chosen = [pool.bare[i] for i in order[:wanted]]
            origin: Origin = "design" if evidence.strategy == "gp" else "model"
        else:
            chosen = [pool.points.configs[i] for i in pool.spread(order, wanted)]
            origin = "model"
        proposals += self.proposals(chosen, origin, wc)
        exhausted = not pool.keys and not pool.planned
        incumbent = evidence.incumbent(wc)
        remaining, noise = explain.left(evidence, pool, wc)
        flat = remaining is not None and noise is not None and remaining <= noise
        return Ranking(
            proposals=tuple(proposals),
            candidates=len(pool.keys),
            seconds=time.perf_counter() - start,
            incumbent=None if incumbent is None else incumbent[0],
            incumbent_number=None
            if incumbent is None
            else evidence.observations[incumbent[1]].number,
            level=evidence.level,
            wc=wc,
            exhausted=exhausted,
            advice=self._advice(exhausted, remaining, noise),
            relevance=explain.relevance(evidence, pool, wc),
            remaining=remaining,
            noise=noise,
            flat=flat and self.design <= 0,
            worth=self.worth,
            answers=self,
        )

    def proposals(self, configs: Sequence[Config], origin: Origin, wc: float) -> list[Proposal]:
        """Configurations with all that is known and believed of them."""
        evidence, space = self.evidence, self.evidence.space
        if not configs:
            return []
        keys = [space.key(config) for config in configs]
        facts = [space.known(config) for config in configs]
        if evidence.surrogate is None:
            chances = feasible(evidence, evidence.embedding(configs))
            timed = {n: of for n, of in evidence.timed.items() if n != COMPLEXITY}
            for key, known in zip(keys, facts, strict=True):
                known |= {name: of[key][1] for name, of in timed.items() if key in of}
            return [
                Proposal(key, config, None, origin, float(chance), known, None)
                for key, config, chance, known in zip(keys, configs, chances, facts, strict=True)
            ]
        points = evidence.surrogate.points(configs)
        belief = evidence.surrogate.belief(points)
        predictions = self._predictions(points, belief, wc)
        believed = _believed(evidence.surrogate, belief)
        chances = feasible(evidence, points.features)
        nearest = explain.nearest(evidence, points, wc)
        near = evidence.surrogate.error.near(points.features)
        return [
            Proposal(
                id=keys[i],
                config=config,
                prediction=predictions[i],
                origin=origin,
                feasible=float(chances[i]),
                known=facts[i] | _timed(believed[i]),
                nearest=nearest[i],
                believed=believed[i],
                near=float(near[i]),
            )
            for i, config in enumerate(configs)
        ]

    def _predictions(self, points: Points, belief: Belief, wc: float) -> list[Prediction]:
        """What is believed of each point, and what that is worth against f*."""
        mean, std, predictive = belief.objective(wc)
        best = self.evidence.threshold(wc)
        gain = promise(self.evidence, belief, wc, best)
        kept: list[float | None] = [None] * len(points.configs)
        if self.evidence.bounds:
            kept = np.exp(self.evidence.log_kept(points.configs, belief)).tolist()
            # what a person asked about may break what arithmetic knows
            never = np.array([share == 0 for share in kept])
            gain = gain.never(never)
        return [
            Prediction(
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
                kept=kept[i],
                measure=self.evidence.measure,
            )
            for i in range(len(points.configs))
        ]

    def place_of(self, proposal: Proposal) -> Place:
        """See `Ranking.place_of`."""
        pool = self.pool
        listed = proposal.id in pool.keys
        among = len(pool.keys) + (not listed)
        candidate = listed or any(key == proposal.id for key, _ in pool.planned)
        if proposal.prediction is None or pool.belief is None or not pool.keys:
            return Place(1, among, candidate)
        own = proposal.prediction.log_ei + float(
            weight(self.evidence, [proposal.config], self.evidence.embedding([proposal.config]))[0]
        )
        # its own twin in the pool may differ in the last digits
        better = pool.value(proposal.prediction.wc) > own + 1e-9 * max(1.0, abs(own))
        return Place(min(1 + int(better.sum()), among), among, candidate)

    def together(self, ranked: Sequence[Proposal], count: int, wc: float) -> list[Proposal]:
        """See `Ranking.together`.  ranked: its proposals."""
        evidence, pool = self.evidence, self.pool
        surrogate, belief, points = evidence.surrogate, pool.belief, pool.points
        if surrogate is None:  # a strategy without a belief, which knows nothing better
            return list(ranked[:count])
        assert points is not None
        # the initial design goes first; its points were drawn to lie apart
        chosen = [proposal for proposal in ranked if proposal.origin == "design"][:count]
        new = [proposal.config for proposal in chosen]
        ahead = {proposal.id for proposal in chosen}
        left = [i for i, key in enumerate(pool.keys) if key not in ahead]
        best = evidence.threshold(wc)
        weights = weight(evidence, points.configs, points.features)
        rows: list[int] = []
        while left and len(chosen) + len(rows) < count:
            if new:
                believed = surrogate.points(new)
                ahead_of = surrogate.belief(believed)
                means = ahead_of.objective(wc)[0][evidence.log_kept(new, ahead_of) >= LIKELY]
                best = min([*means.tolist(), *([] if best is None else [best])], default=None)
                surrogate = surrogate.believing(believed)
                belief = surrogate.belief(points)
            assert belief is not None
            worth = promise(evidence, belief, wc, best).log_ei + weights
            order = sorted(left, key=lambda i: -float(worth[i]))
            rows = pool.different(order, len(rows) + 1, rows)
            if rows[-1] not in left:  # near copies of those are all that is left
                break
            left.remove(rows[-1])
            new = [points.configs[rows[-1]]]
        return chosen + self.proposals([points.configs[i] for i in rows], "model", wc)

    def limited(self, bounds: Bounds, wc: float, start: float) -> Ranking:
        """See `Ranking.limited`."""
        evidence = self.evidence.within(bounds)
        within = replace(self, evidence=evidence, pool=self.pool.within(evidence), design=0)
        return within.ranking(wc, start)

    def share(self, bounds: Bounds) -> float:
        """See `Ranking.share`."""
        pool, count = self.pool, len(self.pool.keys)
        if not count:
            return 0.0
        kept = pool.over(bounds) <= 0
        if bounds.uncertain and pool.belief is not None:
            belief, surrogate = pool.belief, self.evidence.surrogate
            if bounds.believed and surrogate is not None and pool.points is not None:
                surrogate = surrogate.also(bounds.believed, self.evidence.observations)
                belief = surrogate.belief(pool.points)
            return float((kept * np.exp(log_believed(bounds, belief))).mean())
        return float(kept.mean())

    def front(self, name: str | None) -> Front | None:
        """See `Ranking.front`."""
        pool = self.pool
        if pool.belief is None or not pool.keys:
            return None
        costs = pool.belief.complexity.mean if name is None else self._costs(name)
        if costs is None:
            return None
        error = pool.belief.error
        order = np.lexsort((error.mean, costs))
        least = np.minimum.accumulate(error.mean[order])
        # where it becomes less; of those that cost the same, only the best
        rows = order[np.flatnonzero(np.diff(least, prepend=np.inf) < 0)]
        return Front(costs[rows], error.mean[rows], error.std[rows])

    def _costs(self, name: str) -> Array | None:
        """A cost of the candidates, by arithmetic or as it is believed of what was timed; None
        where neither is.
        """
        pool, surrogate = self.pool, self.evidence.surrogate
        if surrogate is None or pool.points is None or name not in surrogate.timed:
            return pool.costs(name)
        surrogate = surrogate.also((name,), self.evidence.observations)
        return surrogate.belief(pool.points).costs[name].mean

    def profile(
        self, config: Config, parameter: str, index: int | None, points: int, wc: float
    ) -> Profile:
        """See `Ranking.profile`."""
        return explain.profile(self.evidence, config, parameter, index, points, wc)

    def posterior(self, number: int, wc: float) -> tuple[float, float]:
        """See `Ranking.posterior`."""
        return self.evidence.posterior(number, wc)

    def best(self, wc: float) -> tuple[int, float, float] | None:
        """See `Ranking.best`."""
        return self.evidence.best(wc)

    def validate(self, config: Config) -> Config:
        """The configuration in the space's form.  Raises InvalidConfig."""
        return self.evidence.space.validate(config)

    def _advice(self, exhausted: bool, remaining: float | None, noise: float | None) -> str:
        level, levels = self.evidence.level, len(self.evidence.space.levels)
        onward = "go to the next level"
        if level in (0, levels):
            onward = "stop here" if level <= 1 else "open level 1 again, or stop here"
        if exhausted and self.pool.drawn and not self.pool.allowed and self.evidence.over:
            return "No network of this level keeps the limits." + (
                "" if self.outside is None else f" {self.outside()}"
            )
        if exhausted and self.pool.drawn and not self.pool.allowed:
            return (
                "Every network sampled for this level exceeds the cap on MACs: raise the limit on "
                "macs or narrow channels."
            )
        if exhausted:
            return f"Every network of this level has been tried or set aside: {onward}."
        if self.design > 0:
            total = max(self.initial, self.design)
            return f"Initial design: {total - self.design} of {total} decided."
        if remaining is None or noise is None:
            if self.evidence.strategy != "gp":
                strategy = self.evidence.strategy
                return f"No belief by {strategy}: how much is left to gain is not known."
            if self.evidence.observations:
                return (
                    "No trial keeps the limits yet: what is likeliest to keep them, or nearest to "
                    "that, goes first."
                )
            return "Nothing has been observed yet."
        if remaining <= noise:
            return (
                f"At most {remaining:.2g} can be gained here, and the noise is {noise:.2g}: "
                f"{onward}."
            )
        return (
            f"Up to {remaining:.2g} may still be gained here, and the noise is {noise:.2g}: stay."
        )


def _believed(surrogate: Surrogate, belief: Belief) -> list[dict[str, tuple[float, float]]]:
    """Mean and σ of what a limit is on, and of the complexity where networks are timed for it."""
    costs = dict(belief.costs)
    if COMPLEXITY in surrogate.timed:
        costs[COMPLEXITY] = belief.complexity
    return [
        {name: (float(cost.mean[row]), float(cost.std[row])) for name, cost in costs.items()}
        for row in range(len(belief.error.mean))
    ]


def _timed(believed: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """What is not believed but known of a network, which was timed for it."""
    return {name: mean for name, (mean, std) in believed.items() if std == 0}
