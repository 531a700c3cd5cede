"""How the costs of a network are drawn, named and written: one rule a measure, for every screen.

f_c is a ratio: what a network costs over what the reference network costs.  What arithmetic knows
is exact, so a network's own number says the same, and is what people know.  Seconds are not: a
busy machine is slow for both networks, and only their ratio, timed in the same moments, compares.
So f_c itself is drawn, and seconds that are believed are f_c times one number of the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..engine.objective import COMPLEXITY
from ..engine.search.limits import limited_cost
from ..engine.tasks.task import measure_of, task_of
from . import format as words

if TYPE_CHECKING:
    from ..engine.advisor.ranking import Front, Proposal, Ranking
    from ..engine.search.front import Smaller
    from ..engine.tasks.measure import Measure
    from ..sessions.records import Prediction, Session, Trial
    from ..sessions.snapshot import Snapshot

_WRITTEN = {
    "count": words.count,
    "big": words.big,
    "seconds": words.seconds,
    "bytes": words.memory,
}


def number(measure: Measure, value: float | None) -> str:
    """A number of this measure as a sentence has it: `41,322`, `5.2 M`, `1.7`."""
    return _WRITTEN[measure.number](value)


def short(measure: Measure, value: float | None) -> str:
    """The same where a column has six characters: `41.3 k`."""
    match measure.number:
        case "seconds":
            return words.seconds(value)
        case "bytes":
            return words.memory(value, 2)
    return words.big(value)


def sizes(measures: Sequence[Measure], costs: Mapping[str, float], between: str = " · ") -> str:
    """What arithmetic knows of a network: `41,322 parameters · 5.2 M MACs`."""
    return between.join(
        f"{number(m, costs[m.name])} {m.unit}" for m in measures if m.exact and m.name in costs
    )


def timed(measures: Sequence[Measure], proposal: Proposal) -> str:
    """What a network was timed for, or is believed to take: `0.31 ms measured`, `0.35 ± 0.05 ms
    believed`.
    """
    told = []
    if COMPLEXITY in proposal.believed:
        mean, std = proposal.believed[COMPLEXITY]
        told.append(f"f_c {mean:.3f} ± {std:.3f} believed" if std else f"f_c {mean:.3f} measured")
    for measure in measures:
        if not measure.timed or measure.name not in proposal.believed:
            continue
        mean, std = proposal.believed[measure.name]
        value = number(measure, mean)
        if std > 0:
            told.append(f"{value} ± {number(measure, std)} {measure.unit} believed")
        else:
            told.append(f"{value} {measure.unit} measured")
    return " · ".join(told)


def with_unit(measure: Measure, value: float | None) -> str:
    """A number of it with its whole unit: `1.7 s per epoch`."""
    return f"{number(measure, value)} {measure.unit}" + f" per {measure.per}" * bool(measure.per)


def told(trial: Trial, session: Session) -> str:
    """What a trial cost, with what it was held against: seconds alone would contradict f_c.

    The reference network is timed in the same moments, and a busy machine is slow for both.
    """
    counted = measure_of(session)
    parts = []
    for measure in task_of(session).measures:
        if measure.exact or (measure.timed and measure.name not in trial.costs):
            continue
        text = with_unit(measure, trial.costs.get(measure.name))
        beside = trial.reference_costs.get(measure.name)
        if measure == counted and beside is not None:
            text += f", the reference beside it {number(measure, beside)} {measure.unit}"
        parts.append(text)
    text = ", ".join(parts)
    if trial.complexity is None:
        return text
    if not counted.exact:
        return f"{text}: f_c {trial.complexity:.3f}"
    return f"{text}{', ' * bool(text)}f_c {trial.complexity:.3f} ({counted.title})"


def measured(trial: Trial, session: Session) -> str:
    """What was measured of a trial that is done, as the line of a command has it: `0.05 s/ep`."""
    told = ((m, trial.costs.get(m.name)) for m in task_of(session).measures if not m.exact)
    return "  ".join(f"{cost:.3g} {m.heading}" for m, cost in told if cost is not None)


def chosen(trial: Trial, session: Session) -> str:
    """What the session counts, where that is neither measured nor what `size` says."""
    measure = measure_of(session)
    if not measure.exact or measure == task_of(session).exact[0]:
        return ""
    return f"  {number(measure, trial.costs[measure.name])} {measure.unit}"


def size(trial: Trial, session: Session) -> str:
    """The first thing that arithmetic knows of a network: `41,322 parameters`."""
    return sizes(task_of(session).exact[:1], trial.costs)


def disturbed(trial: Trial, session: Session) -> str:
    """What spoilt the measurement of its cost; nothing where the cost is exact."""
    return "" if measure_of(session).exact else "; ".join(trial.disturbed)


@dataclass(frozen=True)
class Cost:
    """How one session's f_c is shown, or another cost of its networks.

    scale: what f_c = 1 is on an axis.  axis, short: the axis' name, and where there is no room.
    reference: what the session's reference costs where that is measured; None before it was.
    counted: whether f_c is of it.
    """

    measure: Measure
    scale: float
    axis: str
    short: str
    reference: float | None
    counted: bool = True

    @property
    def unit(self) -> float:
        """What 1 on the axis is, as a limit has it: so many parameters, or a ratio."""
        return self.measure.scale if self.absolute else 1.0

    @property
    def absolute(self) -> bool:
        """Whether the axis is of the cost itself, not of its ratio to the reference's."""
        return self.measure.absolute

    def drawn(self, trial: Trial) -> float | None:
        """Where a trial stands on the axis; None where its cost is not known."""
        if self.counted and trial.complexity is not None:
            return trial.complexity * self.scale
        value = limited_cost(self.measure, trial.costs, trial.reference_costs)
        return None if value is None else value / self.unit

    def value(self, trial: Trial) -> float | None:
        """What a trial costs as a limit has it: so many parameters, or a ratio."""
        place = self.drawn(trial)
        return None if place is None else place * self.unit

    def told(self, value: float) -> str:
        """Such a value in words: `20.6 k parameters`, `f_c 0.52`."""
        if self.absolute:
            return f"{short(self.measure, value)} {self.measure.unit}"
        return f"f_c {value:.3f}" if self.counted else f"{words.times(value)} {self.measure.title}"

    def front(self, ranking: Ranking) -> Front | None:
        """What a ranking believes of the networks at each cost, costs as a limit has them."""
        if self.measure.exact or (self.measure.timed and not self.counted):
            return ranking.front(self.measure.name)
        found = ranking.front() if self.counted else None
        if found is None or not self.absolute:
            return found
        return replace(found, costs=found.costs * self.scale * self.unit)

    def heading(self, ratio: bool = False) -> str:
        """The heading of a table's column.  ratio: of one that shows f_c where it is measured."""
        return "f_c" if ratio and not self.measure.exact else self.measure.heading

    def of_trial(self, trial: Trial, ratio: bool = False) -> str:
        """What a trial cost; its f_c, where that is measured and `ratio`."""
        cost = trial.costs.get(self.measure.name)
        if self.measure.exact:
            return short(self.measure, cost)
        text = words.f_value(trial.complexity) if ratio else short(self.measure, cost)
        return ("~" if trial.disturbed else "") + text

    def of_candidate(self, belief: Prediction | None, known: Mapping[str, float]) -> str:
        """What a network is believed to cost, or is known to.

        known: what arithmetic knows of it.  Before the reference was measured, f_c itself
        (`×1.20` of the reference).
        """
        if self.measure.exact:
            return short(self.measure, known.get(self.measure.name))
        if belief is None:
            return words.DASH
        if self.reference is None:
            return words.times(belief.complexity)
        return short(self.measure, belief.complexity * self.reference)


def cost_of(snapshot: Snapshot, measure: Measure | None = None) -> Cost:
    """How this session's f_c is shown; or another cost of its networks, on an axis alone."""
    own = measure_of(snapshot.session)
    measure = own if measure is None else measure
    counted = measure == own
    cost = session_cost(snapshot.trials, measure.name)
    if measure.absolute:
        size = (cost or 0.0) / measure.scale
        reference = None if measure.exact else cost
        return Cost(measure, size, measure.axis, measure.axis, reference, counted)
    name = "f_c" if counted else measure.noun
    brief = "f_c" if counted else measure.heading
    if cost is None:
        told = f"{name} (1 = the reference network)"
        return Cost(measure, 1.0, told, told, None, counted)
    took = with_unit(measure, cost)
    number_of = f"{number(measure, cost)} {measure.heading}"
    return Cost(
        measure,
        1.0,
        f"{name} (1 = the reference network, {took})",
        f"{brief} (1 = reference, {number_of})",
        cost,
        counted,
    )


def smaller_networks(found: Smaller, front: Front | None, cost: Cost) -> tuple[str, str]:
    """What is to be expected at half the cost of the best network, or was measured there, and the
    cheapest within one point of it, in words.

    front: what is believed of candidates, by this cost.
    """
    near, told = found.near, cost.told

    def expected(entry: int) -> str:
        assert front is not None
        error, std = float(front.error[entry]), float(front.std[entry])
        return f"{words.percent(1 - error)} % ± {words.percent(std)}"

    def measured(trial: Trial) -> str:
        value = cost.value(trial)
        assert value is not None
        return f"trial {trial.number}, {told(value)}, {words.percent(1 - (trial.error or 0))} %"

    half = "no network is known"
    if found.half_expected is not None:
        half = f"{expected(found.half_expected)} expected"
    elif found.half_measured is not None:
        half = measured(found.half_measured)
    text = "none cheaper" if near.number == found.best.number else measured(near)
    if found.near_expected is not None:
        assert front is not None
        text += f" · expected {told(float(front.costs[found.near_expected]))}"
        text += f", {expected(found.near_expected)}"
    return f"at half its cost (≤ {told(found.half)}): {half}", f"cheapest within one point: {text}"


def session_cost(trials: Iterable[Trial], name: str) -> float | None:
    """What the session's reference network costs by a measure, as trial 0 measured it.

    Until that has ended, what was measured beside the first trial that has.
    """
    for trial in trials:
        cost = (trial.costs if trial.level == 0 else trial.reference_costs).get(name)
        if cost is not None:
            return cost
    return None
