"""Belief about every network: a Gaussian process on the error and one on the complexity.

Both learn from the observations of all levels.  Together they are belief about f for any
complexity weight, so the weight can move without a new fit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...sessions.records import Config
from ..objective import COMPLEXITY, Observation, Timed
from ..tasks.space import Space
from .belief import Belief, Points, Quantity, quantity
from .embedding import Embedding
from .known import Earlier, Known
from .prior import NOTHING, Prior
from .process import Process
from .transform import chosen, transformed

if TYPE_CHECKING:
    from .belief import Array


MARGIN = 0.1
"""By how much an observation the logarithm's evidence must be above that of plain errors."""


@dataclass(frozen=True)
class Cost:
    """What was learnt of a cost: a process on its logarithm where `log`, else on itself.

    unit: what one of the process's is, of the cost.
    """

    process: Process
    log: bool
    unit: float = 1.0

    def believed(self, features: Array) -> Quantity:
        """Belief about networks with these features, shape (n, features)."""
        mean, std = self.process.predict(features)
        noise = np.full(len(mean), self.process.noise_variance)
        if self.log:
            return quantity(True, mean + math.log(self.unit), std, noise)
        return quantity(False, mean * self.unit, std * self.unit, noise * self.unit**2)


class Surrogate:
    """The two processes, and what turns configurations into their inputs."""

    def __init__(
        self,
        space: Space,
        observations: Sequence[Observation],
        dimensions: float,
        exact: Callable[[Config], float] | None = None,
        costs: Collection[str] = (),
        timed: Timed | None = None,
        prior: Prior = NOTHING,
        average: int = 1,
        earlier: Sequence[Earlier] = (),
    ) -> None:
        """Fit to the observations (at least one).

        dimensions: how many coordinates are searched, which the prior on length scales grows
        with.  exact: complexity by arithmetic, or None where it is measured.  costs: names of
        what else is believed, of `Observation.costs`; what no observation has is not.
        timed: cost -> what networks were timed for it, trained or not, by their keys; those are
        known, and believed is the rest.  prior: what tables say beforehand, of the complexity where
        that is time.  average: see `Process`.  earlier: sessions to learn from, too.
        """
        self.space, self.timed, self.average = space, timed or {}, average
        self.embedding = Embedding(space, prior, earlier)
        self.exact = exact
        self.dimensions = dimensions
        self.observed = self.points([o.config for o in observations])
        errors = np.array([o.error for o in observations], dtype=float)
        images = np.array([o.images for o in observations], dtype=float)
        # those that a prediction would be measured with: all alike, but for another metric
        counted = images[images > 0]
        self.images = float(np.median(counted)) if len(counted) else 0.0
        self.transform, self.origin = chosen(errors, images)
        y, noise = transformed(errors, images, self.transform, self.origin)
        known = self.transform == "log" and self.images > 0
        expected = self.embedding.error_known if known else None
        if expected is not None:
            lines = self.embedding.error_lines
            self.error = self._process(
                y, noise, lines=lines, smooth=False, spread=None, known=expected
            )
        else:
            self.error = self._process(y, noise, spread=0.5 if known else None)
        if self.transform == "log" and not known:
            plain = self._process(errors, np.zeros(len(errors)), spread=None)
            # densities of the errors themselves: the logarithm's slope is 1 / (error - origin)
            gain = self.error.evidence - float(y.sum()) - plain.evidence
            if gain < MARGIN * len(errors):
                self.transform, self.origin, self.error = "identity", 0.0, plain
        self.complexity: Cost | None = None
        if exact is None and COMPLEXITY in self.timed:
            self.complexity = self._timed_cost(COMPLEXITY)
        elif exact is None:
            complexities = np.array([o.complexity for o in observations], dtype=float)
            self.complexity = (
                self._seconds(complexities)
                if self.embedding.time_known is not None
                else (self._cost(complexities, self.observed.features, summed=False))
            )

        self.costs: dict[str, Cost] = {}
        self._fit_costs(costs, observations)

    def _fit_costs(self, names: Collection[str], observations: Sequence[Observation]) -> None:
        """Learn each of these costs that an observation has."""
        for name in names:
            if name in self.costs:
                continue
            if name in self.timed:
                self.costs[name] = self._timed_cost(name)
                continue
            rows = [row for row, o in enumerate(observations) if o.costs.get(name, 0.0) > 0]
            if rows:
                values = np.array([observations[row].costs[name] for row in rows], dtype=float)
                self.costs[name] = self._cost(values, self.observed.features[rows])

    def _timed_cost(self, name: str) -> Cost:
        """What networks were timed for, learnt."""
        found = self.timed[name]
        values = np.array([value for _, value in found.values()], dtype=float)
        if self.complexity is not None and self.timed.get(COMPLEXITY, {}).keys() == found.keys():
            ratios = [self.timed[COMPLEXITY][key][1] for key in found]
            units = values / np.array(ratios, dtype=float)
            if np.ptp(units) < 1e-9 * units.max():  # f_c is this one, over the reference's
                return replace(self.complexity, unit=float(units[0]))
        features = self.embedding([config for config, _ in found.values()])
        return self._cost(values, features, summed=name != COMPLEXITY)

    def _cost(self, values: Array, features: Array, *, summed: bool = True) -> Cost:
        """A cost, learnt from these values, shape (n,), of networks with these features.

        Its logarithm, with a line in those of what arithmetic knows: what is twice as large costs
        about twice as much.  Or itself, with a line in how often each part is chosen, where
        parameters choose from the same parts: a part costs the same in every place, and the
        network costs their sum.  The likelier of the two; the first where not `summed`, as for
        f_c: on NAS-Bench-201 a sum found worse networks by it (benchmarks/limits.py).
        """
        none = np.zeros(len(values))
        positive = bool((values > 0).all())
        y = np.log(values) if positive else values
        known = self.embedding.known_features
        spread = 0.5 if positive else None
        process = self._process(y, none, lines=known, spread=spread, at=features)
        counted = self.embedding.counted_features
        if counted and summed:
            # as wide as the logarithm is expected to be
            spread = 0.5 * float(np.mean(np.abs(values)))
            sums = self._process(values, none, lines=counted, spread=spread, at=features)
            # densities of the values themselves: the logarithm's slope is 1 / value
            slope = float(y.sum()) if positive else 0.0
            if sums.evidence - (process.evidence - slope) > MARGIN * len(values):
                return Cost(sums, log=False)
        return Cost(process, positive)

    def _seconds(self, ratios: Array) -> Cost:
        """Seconds over the reference's, learnt from those of the observations, shape (n,): the
        logarithm, about what the prior says.
        """
        known, lines = self.embedding.time_known, self.embedding.time_lines
        y, none = np.log(ratios), np.zeros(len(ratios))
        # what the sum leaves is of single kinds of networks, not smooth over all of them
        process = self._process(y, none, lines=lines, smooth=False, spread=None, known=known)
        return Cost(process, True)

    def _known(self, name: str, quantity: Quantity, configs: Sequence[Config]) -> Quantity:
        """The belief, without doubt where a network was timed."""
        timed = self.timed.get(name)
        if not timed:
            return quantity
        keys = [self.space.key(config) for config in configs]
        rows = [row for row, key in enumerate(keys) if key in timed]
        return quantity.known(rows, np.array([timed[keys[row]][1] for row in rows]))

    def also(self, costs: Collection[str], observations: Sequence[Observation]) -> Surrogate:
        """The same with a belief about these costs of the observations that it was fitted to, each
        fitted the first time that it is asked for.
        """
        if all(name in self.costs for name in costs):
            return self
        result = copy.copy(self)
        result.costs = dict(self.costs)  # others may be reading it
        result._fit_costs(costs, observations)
        return result

    def _process(
        self,
        y: Array,
        noise: Array,
        *,
        lines: tuple[int, ...] | None = None,
        smooth: bool = True,
        spread: float | None,
        at: Array | None = None,
        known: Known | None = None,
    ) -> Process:
        return Process(
            self.observed.features if at is None else at,
            y,
            noise,
            self.embedding,
            self.dimensions,
            lines=lines,
            smooth=smooth,
            spread=spread,
            known=known,
            average=self.average,
        )

    def points(self, configs: Sequence[Config]) -> Points:
        """Configurations made ready for prediction."""
        exact = None
        if self.exact is not None:
            exact = np.array([self.exact(config) for config in configs], dtype=float)
        return Points(list(configs), self.embedding(configs), exact)

    def believing(self, pending: Points) -> Surrogate:
        """The same belief, had each pending network come out exactly as it is expected to.

        Kriging believers (Ginsbourger, Le Riche, Carraro 2010): no mean moves, but nothing more
        is to be learnt there.
        """
        result = copy.copy(self)
        result.error = self._extended(self.error, pending)
        if self.complexity is not None:
            process = self._extended(self.complexity.process, pending)
            result.complexity = replace(self.complexity, process=process)
        return result

    def likeliest(self) -> Surrogate:
        """The same belief under the likeliest hyperparameters alone, no draws averaged."""
        result = copy.copy(self)
        result.error = self.error.likeliest()
        if self.complexity is not None:
            process = self.complexity.process.likeliest()
            result.complexity = replace(self.complexity, process=process)
        return result

    def _extended(self, process: Process, pending: Points) -> Process:
        """A process that was right about these networks."""
        mean, _ = process.predict(pending.features)
        return Process(
            np.vstack([process.X, pending.features]),
            np.concatenate([process.y, mean]),
            np.concatenate([process.noise, np.full(len(mean), process.noise.mean())]),
            self.embedding,
            self.dimensions,
            lines=process.lines,
            smooth=process.smooth,
            spread=None,
            known=process.known,
            like=process,
            believed=len(mean),
        )

    def belief(self, points: Points) -> Belief:
        """What is believed of the error and the complexity of some networks."""
        mean, std = self.error.predict(points.features)
        noise = np.full(len(mean), self.error.noise_variance)
        log = self.transform == "log"
        if log and self.images > 0:
            share = np.clip(np.exp(np.clip(mean, -700, 0)), 0.5 / (self.images + 1), 1.0)
            noise += (1 - share) / (share * self.images)
        error = quantity(log, mean, std, noise, self.origin)
        if self.complexity is None:
            assert points.exact is not None
            none = np.zeros(len(mean))
            known = np.maximum(points.exact, 1e-300)
            complexity = Quantity(True, np.log(known), none, points.exact, none, none)
        else:
            complexity = self._known(
                COMPLEXITY, self.complexity.believed(points.features), points.configs
            )
        costs = {
            name: self._known(name, cost.believed(points.features), points.configs)
            for name, cost in self.costs.items()
        }
        return Belief(error, complexity, costs)
