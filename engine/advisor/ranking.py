"""A ranking: the records of what is proposed, and what can be asked of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import Advised, Config, Prediction, Scalar
from ..machine import one_thread
from ..tasks.parameter import Entry

if TYPE_CHECKING:
    from .bounds import Bounds
    from .evidence import Array


USUAL = 0.2
"""A belief of which trials near by tell less than this is nearly all what is usual."""
Origin = Literal["design", "model", "person"]


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
    feasible: probability that it trains at all.  known: what arithmetic knows of it, and
    what it was timed for.  believed: other costs that a limit is on, or `f_c` where networks are
    timed for it, mean and σ, which is 0 where this one was.
    note: `initial design 2 of 6`, or nothing.  near: the share of what is believed of its error
    that trials near it tell, 0 to 1; the rest is what is usual.
    """

    id: str
    config: Config
    prediction: Prediction | None
    origin: Origin
    feasible: float
    known: Mapping[str, float]
    nearest: Nearest | None
    note: str = ""
    believed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    near: float | None = None


@dataclass(frozen=True)
class Profile:
    """Belief about f along one parameter; mean and std have one entry a value.

    near: as `Proposal` has it, one entry a value; None where nobody asked.
    """

    parameter: str
    index: int | None
    categories: bool
    values: tuple[Scalar, ...]
    mean: Array
    std: Array
    near: Array | None = None

    @property
    def usual(self) -> NDArray[np.bool_]:
        """Where it is nearly all what is usual: no trial is near.  Shape (values,)."""
        if self.near is None:
            return np.zeros(len(self.values), dtype=bool)
        found: NDArray[np.bool_] = self.near < USUAL
        return found


@dataclass(frozen=True, eq=False)
class Front:
    """The least error to be expected of a network that costs at most so much, by candidates alone.

    costs ascend; of each the error's posterior mean, which descends, and its standard deviation:
    shape (n,).
    """

    costs: Array
    error: Array
    std: Array

    def within(self, cost: float) -> int | None:
        """The entry of the best that costs at most this; None where every candidate costs more."""
        at = int((self.costs <= cost).sum()) - 1
        return at if at >= 0 else None


@dataclass(frozen=True)
class Place:
    """Where a network stands: its rank, 1 the best and before anything is known, among how many.

    candidate: whether it is one of those that were ranked; else the rank is the one that it would
    have beside them, and `among` counts it too.
    """

    rank: int
    among: int
    candidate: bool


class Answers(Protocol):
    """What whoever made a ranking can be asked afterwards; nothing is fitted again."""

    def ranking(self, wc: float, start: float) -> Ranking: ...
    def proposals(self, configs: Sequence[Config], origin: Origin, wc: float) -> list[Proposal]: ...
    def place_of(self, proposal: Proposal) -> Place: ...
    def together(self, ranked: Sequence[Proposal], count: int, wc: float) -> list[Proposal]: ...
    def limited(self, bounds: Bounds, wc: float, start: float) -> Ranking: ...
    def share(self, bounds: Bounds) -> float: ...
    def front(self, name: str | None) -> Front | None: ...
    def profile(
        self, config: Config, parameter: str, index: int | None, points: int, wc: float
    ) -> Profile: ...
    def posterior(self, number: int, wc: float) -> tuple[float, float]: ...
    def best(self, wc: float) -> tuple[int, float, float] | None: ...
    def validate(self, config: Config) -> Config: ...


@dataclass(frozen=True)
class Ranking:
    """Proposals, best first, and what they rest on.

    candidates: how many were ranked.  incumbent: f*, the smallest posterior mean over the networks
    evaluated in the level's slice, None before the first; incumbent_number: its trial.
    exhausted: nothing is left to propose.  advice: one sentence, stay or go on.  remaining: the
    bound on what can still be gained, noise: the standard deviation of a measurement of f*, flat:
    whether the one is below the other.  relevance: what the belief depends on most, weights that
    add up to 1.  worth: of each earlier session, in trials of this one; None: not known yet.
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
    worth: tuple[tuple[str, float | None], ...] = ()
    answers: Answers | None = field(default=None, repr=False, compare=False)

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
        answers = self._asked()
        with one_thread():
            return answers.proposals(
                [answers.validate(config) for config in configs], "person", self.wc
            )

    def place_of(self, proposal: Proposal) -> Place:
        """Where it stands among the candidates by LogEI, or would stand were it one of them."""
        return self._asked().place_of(proposal)

    def together(self, count: int) -> tuple[Proposal, ...]:
        """The networks to train at once, at most `count`: the first is the ranking's first, and
        each one after it the best, had those before it come out as they are expected to.

        Kriging believers (Ginsbourger, Le Riche, Carraro 2010).  Nothing is fitted again, and the
        predictions are the ranking's own: what was merely believed narrows none of them.
        """
        if count <= 1 or self.incumbent is None:
            return self.proposals[: max(count, 0)]
        answers = self._asked()
        with one_thread():
            return tuple(answers.together(self.proposals, count, self.wc))

    def reweighted(self, wc: float) -> Ranking:
        """The same candidates under another complexity weight; nothing is fitted again."""
        answers = self._asked()
        start = time.perf_counter()
        with one_thread():
            return answers.ranking(wc, start)

    def limited(self, bounds: Bounds) -> Ranking:
        """Those of the same candidates that keep other limits; nothing is fitted or drawn again.

        A ranking that was made within limits has no candidates outside them.
        """
        answers = self._asked()
        start = time.perf_counter()
        with one_thread():
            return answers.limited(bounds, self.wc, start)

    def share(self, bounds: Bounds) -> float:
        """The share of the candidates that keep limits, each by its probability."""
        with one_thread():
            return self._asked().share(bounds)

    def front(self, name: str | None = None) -> Front | None:
        """The best accuracy to be expected at each cost, from the belief about the candidates.

        name: a measure that arithmetic knows or that networks were timed for, in its own unit; None
        is f_c as it is believed.  None where nothing is believed of the error or of this cost, and
        where there is no candidate.
        """
        with one_thread():
            return self._asked().front(name)

    def profile(
        self, config: Config, parameter: str, index: int | None = None, points: int = 64
    ) -> Profile:
        """Belief about f along one parameter, or one entry of a list, the rest as in `config`.

        Values that cannot be built there are left out; mean and std are empty before anything was
        observed.  Raises KeyError for an unknown parameter, IndexError for an entry there is not.
        """
        with one_thread():
            return self._asked().profile(config, parameter, index, points, self.wc)

    def posterior(self, number: int, wc: float | None = None) -> tuple[float, float]:
        """Mean and standard deviation of the latent f of an observed trial; else KeyError.

        wc: another weight than the ranking's.
        """
        return self._asked().posterior(number, self.wc if wc is None else wc)

    def best(self, wc: float) -> tuple[int, float, float] | None:
        """The trial of the smallest posterior mean of f over all levels, mean and σ of f there.

        The incumbent is the best of one level's slice; this is the best of all that was observed.
        None where nothing was observed, or nothing is believed (a strategy without a model).
        """
        return self._asked().best(wc)

    def _asked(self) -> Answers:
        if self.answers is None:
            raise RuntimeError("This ranking was not made by rank().")
        return self.answers
