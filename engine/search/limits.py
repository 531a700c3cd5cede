"""The limits of a session: what they come to in a ranking, what keeps them, what can be kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...sessions.choices import METRICS
from ...sessions.errors import Misuse
from ...sessions.records import COST_ALONE, Config, Latency, Session, Trial
from ..advisor.bounds import Bounds
from ..tasks.limits import read_limit, spelled_limit, spelled_value
from ..tasks.measure import Measure
from ..tasks.space import Space
from ..tasks.task import measure_of, session_space, task_of

Limits = dict[str, float]
"""Measure -> the most that it may be, in its own unit; the session's metric -> the least."""
STARTS = 4
"""Networks of a sample from which the smallest is looked for."""
DRAWN = 256
"""Size of that sample."""


@dataclass(frozen=True)
class Broken:
    """A limit that a network does not keep: its value and what the network has."""

    name: str
    limit: float
    value: float

    @property
    def share(self) -> float:
        """By how much, as a share of the limit, above 0."""
        return abs(self.value / self.limit - 1)


def limits_of(session: Session) -> Limits:
    """What candidates keep: the limits that were set, and the cap on MACs, which nobody set."""
    return {**_cap(session), **session.limits}


def _cap(session: Session) -> Limits:
    if session.macs_cap is None:
        return {}
    exact = reference_costs(session_space(session))
    return {"macs": session.macs_cap * exact["macs"]} if "macs" in exact else {}


def reference_costs(space: Space) -> Mapping[str, float]:
    """What the reference network costs, by the measures that arithmetic knows."""
    assert space.reference is not None
    return space.known(space.reference)


def bounds_of(session: Session, space: Space, timed: Iterable[Latency] = ()) -> Bounds:
    """The limits as a ranking takes them.  A cap on MACs is the space's own.

    timed: networks that were timed; any of them tells what the reference takes, and so which f_c a
    limit in milliseconds is.
    """
    measure = measure_of(session)
    exact = {m.name for m in space.measures if m.exact}
    error = complexity = math.inf
    beside = next(iter(timed), None)
    arithmetic: Limits = {}
    believed: Limits = {}
    for name, value in session.limits.items():
        if name in METRICS:
            error = 1 - value
        elif name in exact:
            arithmetic[name] = value
        elif name == measure.name and not measure.timed:
            complexity = value
        elif name == measure.name and beside is not None:
            complexity = value / (beside.milliseconds / beside.ratio)
        else:
            believed[name] = value
    return Bounds(error, complexity, arithmetic, believed)


def limited_cost(
    measure: Measure, costs: Mapping[str, float], beside: Mapping[str, float]
) -> float | None:
    """What a limit on this measure is compared with: a cost, or its ratio to the reference's
    beside it; None where it is not known.
    """
    if measure.name not in costs:
        return None
    if measure.absolute:
        return costs[measure.name]
    other = beside.get(measure.name, 0.0)
    return costs[measure.name] / other if other > 0 else None


def broken_limits(
    session: Session,
    costs: Mapping[str, float],
    beside: Mapping[str, float] | None = None,
    error: float | None = None,
) -> list[Broken]:
    """The limits that were set and that a network with these costs and this f_p breaks; what is not
    known breaks none.  The cap says what is not proposed, and forbids nobody's own network.
    """
    measures = {m.name: m for m in task_of(session).measures}
    found = []
    for name, limit in session.limits.items():
        if name in METRICS:
            if error is not None and 1 - error < limit:
                found.append(Broken(name, limit, 1 - error))
            continue
        value = limited_cost(measures[name], costs, beside or {})
        if value is not None and value > limit:
            found.append(Broken(name, limit, value))
    return found


def broken_by(session: Session, trial: Trial) -> list[Broken]:
    """The limits that a trial breaks, as measured."""
    return broken_limits(session, trial.costs, trial.reference_costs, trial.error)


def changed_limits(
    session: Session, given: Sequence[str], lifted: Sequence[str] = ()
) -> dict[str, float | None]:
    """Limits as they are typed, and names of those to lift (None), read.  Raises Misuse."""
    space = session_space(session)
    changes: dict[str, float | None] = {}
    for text in given:
        name, value = read_limit(text, space.measures, session.metric, reference_costs(space))
        if name in changes:
            raise Misuse(f"limit {text}: {name} is limited twice. Give it once.")
        changes[name] = value
    for name in lifted:
        name = name.strip().lower()
        if name in changes:
            raise Misuse(f"{name}: limited and lifted at once. Give one of them.")
        if name not in limits_of(session):
            known = ", ".join(limits_of(session)) or "none"
            raise Misuse(f"limit {name}: there is none to lift. Limits: {known}.")
        changes[name] = None
    return changes


def merged_limits(
    session: Session, changes: Mapping[str, float | None]
) -> tuple[Limits, float | None]:
    """The session's limits with these changed, and the cap on MACs, which a limit replaces.

    Raises Misuse where no network of its domains keeps them.
    """
    merged = {**session.limits, **changes}
    limits = {name: value for name, value in merged.items() if value is not None}
    cap = None if "macs" in changes else session.macs_cap
    check_possible(session.model_copy(update={"limits": limits, "macs_cap": cap}))
    return limits, cap


def check_possible(session: Session) -> None:
    """Raise Misuse where no network of the session's domains keeps what arithmetic knows."""
    space = session_space(session)
    exact = bounds_of(session, space).exact
    if not exact:
        return
    assert space.reference is not None
    for name, most in exact.items():
        least = smallest_cost(space, {name: 1.0}, 0, space.reference)
        if least > most:
            raise Misuse(
                f"limit {spelled_limit(name, most, space.measures)}: the smallest network of "
                f"these domains has {told(space.measure(name), least)}. Use "
                f"{spelled(space, name, least)} or more, or widen the domains."
            )
    over = smallest_cost(space, exact, 0, space.reference)
    if over > 1:
        each = " and ".join(spelled_limit(n, most, space.measures) for n, most in exact.items())
        raise Misuse(
            f"limits {each}: no network of these domains keeps them together; the nearest is over "
            f"one of them by {over - 1:.1%}. Raise one."
        )


def spelled(space: Space, name: str, value: float) -> str:
    """A limit of this value, rounded up so that it is kept, as it is typed."""
    whole = math.ceil(value)
    return f"{name}<={spelled_value(whole, space.measure(name).units)}"


def told(measure: Measure, value: float) -> str:
    """A cost in words: `1,010 parameters`, `4,040 bytes of weights`."""
    return f"{value:,.0f} {'bytes of ' * (measure.number == 'bytes')}{measure.unit}"


def smallest_cost(space: Space, limits: Mapping[str, float], level: int, base: Config) -> float:
    """How many times its limit the cost that is furthest over has, in the network of a level that
    is nearest to them all; with one limit of 1 it is the smallest cost.
    """
    from ..advisor.limited import Sampler, over_limits, sobol

    over = over_limits(space, limits)
    size = space.dimensions(level, base)
    if size == 0:
        return _times(over(base))
    sampler = Sampler(space, level, base, over)
    return _times(sampler.nearest(sobol(size, DRAWN, 0), STARTS))


def _times(over: float) -> float:
    # a whole number of parameters is one again
    return float(f"{math.exp(over):.12g}")


def way_out(session: Session, space: Space, base: Config) -> str:
    """What to do where no network of the present level keeps what arithmetic knows: the smallest
    that it has, and the levels that could mend what the network carried forward breaks.
    """
    exact = bounds_of(session, space).exact
    level = 0 if session.flat else session.level
    told_of = []
    for name, most in exact.items():
        least = smallest_cost(space, {name: 1.0}, level, base)
        if least > most:
            limit = spelled_limit(name, most, space.measures)
            told_of.append(f"the smallest here has {told(space.measure(name), least)} ({limit})")
    words = f"{sentence_of(told_of)} " if told_of else ""
    levels = range(1, len(space.levels) + 1)
    mending = [n for n in levels if n != level and smallest_cost(space, exact, n, base) <= 1]
    if session.flat:
        return f"{words}Raise a limit."
    ahead = [n for n in mending if n > level]
    back = [n for n in mending if n < level]
    if not back and not ahead and level == 1:
        return f"{words}Raise a limit."
    back = back or [1]
    if ahead and ahead[0] == level + 1:
        return f"{words}Level {ahead[0]} can: go to the next level, or raise a limit."
    which = " or ".join(map(str, back))
    return f"{words}Reopen level {which}, from a smaller network, or raise a limit."


def sentence_of(parts: Sequence[str]) -> str:
    """Parts as one sentence."""
    text = ", and ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def check_goal(session: Session, wc: float, limits: Mapping[str, float]) -> None:
    """Raise Misuse where the cost alone is to count and no limit says what is good enough."""
    if wc == COST_ALONE and session.metric not in limits:
        raise Misuse(
            f"w_c = inf: the cheapest network is wanted, and nothing says how good it must be. Set "
            f"a limit first, such as {session.metric}>=90, or keep the one there is."
        )


def check_names(session: Session) -> None:
    """Raise Misuse where a limit is on nothing that there is, or cannot be kept by anything."""
    names = {measure.name for measure in task_of(session).measures}
    for name, value in session.limits.items():
        if name in METRICS and (name != session.metric or value >= 1):
            raise Misuse(f"limit {name}>={value:g}: not possible. Use a share of {session.metric}.")
        if name not in METRICS and name not in names:
            raise Misuse(f"limit {name}<={value:g}: there is no such cost.")
