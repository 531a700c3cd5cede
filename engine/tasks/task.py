"""The tasks by name; a session's task, its space, and what arithmetic knows of a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ...sessions.errors import Misuse, StoreError
from ...sessions.records import Config, Epoch, Latency, Scalar, Session, Trial
from ...sessions.store import Reader, Store
from ..objective import warm
from . import cnn
from .domains import Categorical
from .face import FLAT, NamedSpace, Problem, Task
from .measure import LATENCY, Measure
from .space import Space

TASKS: dict[str, Task] = {cnn.TASK.name: cnn.TASK}
"""Everything that can be searched."""
DEFAULT = cnn.TASK.name
NO_PRIOR = "none"
"""The prior that knows nothing."""


def task_named(name: str) -> Task:
    """The task of this name.  Raises Misuse where there is none."""
    if name not in TASKS:
        raise Misuse(f"task {name}: unknown. Use {', '.join(TASKS)}.")
    return TASKS[name]


def task_of(session: Session) -> Task:
    """What a session searches.  Raises Misuse for a task that this program does not have."""
    return task_named(session.task)


def measure_of(session: Session) -> Measure:
    """What a session's f_c is of.  Raises Misuse for a measure that its task does not have."""
    return measure_named(session.measure, task_of(session))


def measure_named(name: str, task: Task) -> Measure:
    """The measure of this name.  Raises Misuse where the task has none of it."""
    for measure in task.measures:
        if measure.name == name:
            return measure
    known = ", ".join(measure.name for measure in task.measures)
    raise Misuse(f"measure {name}: unknown. Use {known}.")


def level_names(session: Session) -> tuple[str, ...]:
    """The session's levels in order; a flat one has a single level."""
    return FLAT if session.flat else task_of(session).levels


def blank_space(name: str = DEFAULT, domains: Mapping[str, str] | None = None) -> Space:
    """The space of a task before its data are known: parameters and domains are as with any.

    Raises InvalidDomain, and Misuse where there is no such task.
    """
    return _space(task_named(name), Problem(), domains or {})


def parameters_of(task: Task, space: str | None = None) -> tuple[str, ...]:
    """The parameters that a new session is made with, where it searches the space of this name.

    None: the task's usual one.  Raises Misuse where the task has no such space.
    """
    names = space_named(task, space).parameters
    return names or tuple(parameter.name for parameter in blank_space(task.name).parameters)


def space_named(task: Task, name: str | None = None) -> NamedSpace:
    """The space of this name; None: the task's usual one.  Raises Misuse where it has no such."""
    if name is not None and name not in task.spaces:
        use = f"Use {', '.join(task.spaces)}." if task.spaces else "Leave it out: there is one."
        raise Misuse(f"space {name}: unknown. {use}")
    return task.spaces[name or usual_space(task)] if task.spaces else NamedSpace()


def defaults_of(
    task: Task, defaults: Mapping[str, Scalar], domains: Mapping[str, str]
) -> dict[str, Scalar]:
    """What parameters of a new session are before their level is searched, as its domains allow.

    defaults: those of its space, or of a session that it begins like.  What a domain excludes
    becomes the nearest that it has, of choices the first that is not the task's own.  They go
    together, a learning rate with its schedule: where the first becomes what the task has of
    itself, nothing is left of the others.  Raises InvalidDomain.
    """
    searched, found = blank_space(task.name, domains), dict(defaults)
    for name, value in defaults.items():
        domain, own = searched[name].domain, searched[name].default
        if not domain.contains(value):
            found[name] = (
                next((choice for choice in domain.choices if choice != own), own)
                if isinstance(domain, Categorical)
                else domain.clip(float(value))
            )
    first = next(iter(found), None)
    return {} if first is not None and found[first] == searched[first].default else found


def prior_file(task: Task, name: str) -> Path | None:
    """The file of the prior of this name; None for `none`.  Raises Misuse for what there is not."""
    if name == NO_PRIOR:
        return None
    if name not in task.priors:
        raise Misuse(f"prior {name}: unknown. Use {', '.join([*task.priors, NO_PRIOR])}.")
    return task.priors[name]


def usual_space(task: Task) -> str:
    """The space that a session searches where nobody says otherwise; empty where it has no name."""
    return next(iter(task.spaces), "")


def space_name(session: Session) -> str:
    """The space that a session was made with, and what was opened since: `full`, `poster`,
    `poster + dropout`.

    Empty where the task's spaces have no names.
    """
    task = task_of(session)
    if not task.spaces:
        return ""
    space = session_space(session)
    made = {p.name for p in space.parameters if p.neutral is None} | {*session.parameters}
    inside = [
        (len(names), name)
        for name in task.spaces
        if made >= set(names := parameters_of(task, name))
    ]
    if not inside:
        return ""
    _, name = max(inside)
    own = parameters_of(task, name)
    return " + ".join([name, *(p.name for p in space.awake if p.name not in own)])


def session_space(session: Session) -> Space:
    """The space of a session: its images, its feature map, its cap and its domains.

    Parameters that are younger than the session are asleep, but for those whose domain was opened.
    The same object for the same settings, so that whoever asks again pays nothing and always has
    the domains as they are.  Raises InvalidDomain, and Misuse for a task that there is not.
    """
    domains = tuple(sorted(session.domains.items()))
    defaults = tuple(sorted(session.defaults.items()))
    return _kept_space(task_of(session), Problem.of(session), domains, session.parameters, defaults)


@lru_cache(maxsize=16)
def _kept_space(
    task: Task,
    problem: Problem,
    domains: tuple[tuple[str, str], ...],
    parameters: tuple[str, ...],
    defaults: tuple[tuple[str, Scalar], ...],
) -> Space:
    space = _space(task, problem, dict(domains)).waking({*parameters, *dict(domains)})
    return space.beginning(dict(defaults))


def _space(task: Task, problem: Problem, domains: Mapping[str, str]) -> Space:
    return replace(task.space(problem, domains), measures=task.measures)


def open_store(folder: Path, *, migrate: bool = True) -> Store:
    """A session's file, whose configurations are read as its space reads them.

    migrate: see `Store`.  Raises StoreError, also where the session is of a newer program.
    """

    def read(session: Session) -> Reader:
        try:
            return reader(session)
        except Misuse as error:
            raise StoreError(
                f"session {session.name!r}: written by a newer lcsearch (here: {error}) Upgrade "
                "lcsearch."
            ) from error

    return Store(folder, migrate=migrate, read=read)


def reader(session: Session) -> Reader:
    """What completes a session's records: neutral values, costs by arithmetic and from epochs, and
    f_c by the measure that the session has now.

    Raises Misuse where its task or its measure is none of this program's.
    """
    counted = measure_of(session)
    if session.prior is not None and session.prior not in session.prior_numbers:
        prior_file(task_of(session), session.prior)
    space = session_space(session)
    exact = {measure.name for measure in space.measures if measure.exact}
    by_epochs = [measure for measure in space.measures if measure.from_epochs is not None]

    timed = any(measure.timed for measure in space.measures)

    def trial(kept: Trial, latencies: Mapping[str, Latency]) -> Trial:
        config = space.read(kept.config)
        costs, beside = kept.costs, kept.reference_costs
        found = latencies.get(kept.key) if timed else None
        if found is not None:
            costs = {**costs, LATENCY: found.milliseconds}
            beside = {**beside, LATENCY: found.milliseconds / found.ratio}
        if not costs.keys() >= exact and not space.problems(config):
            costs = {**space.known(config), **costs}
        missing = [m for m in by_epochs if m.name not in costs]
        if kept.state == "done" and missing:
            told, told_beside = costs_of_epochs(missing, kept.epochs)
            costs, beside = {**told, **costs}, {**told_beside, **beside}
        complexity = kept.complexity
        if kept.state == "done":
            complexity = complexity_of(space, config, counted, costs, beside)
        if (
            config is kept.config
            and costs == kept.costs
            and beside == kept.reference_costs
            and complexity == kept.complexity
        ):
            return kept
        update = {"config": config, "costs": costs, "reference_costs": beside}
        return kept.model_copy(update={**update, "complexity": complexity})

    return Reader(space.read, trial)


def costs_of_epochs(
    measures: Sequence[Measure], epochs: Sequence[Epoch]
) -> tuple[dict[str, float], dict[str, float]]:
    """What the epochs of a training tell of its costs, and of the reference's beside it.

    Nothing where the reference was not timed in any that counts.
    """
    costs: dict[str, float] = {}
    beside: dict[str, float] = {}
    for measure in measures:
        if measure.from_epochs is not None and _timed(epochs):
            costs[measure.name], beside[measure.name] = measure.from_epochs(epochs)
    return costs, beside


def _timed(epochs: Sequence[Epoch]) -> bool:
    return any(e.reference_seconds is not None for e in warm(epochs))


def exact_complexity(space: Space, config: Config, measure: Measure) -> float | None:
    """f_c where arithmetic knows it: over the reference's.  None for what is measured."""
    if not measure.exact:
        return None
    assert space.reference is not None
    return space.known(config)[measure.name] / space.known(space.reference)[measure.name]


def complexity_of(
    space: Space,
    config: Config,
    measure: Measure,
    costs: Mapping[str, float],
    beside: Mapping[str, float],
) -> float | None:
    """f_c: by arithmetic, or what was measured over what the reference cost in the same moments.

    None where either was not measured, or the reference costs nothing.
    """
    exact = exact_complexity(space, config, measure)
    if exact is not None:
        return exact
    if measure.name not in costs or beside.get(measure.name, 0.0) <= 0:
        return None
    return costs[measure.name] / beside[measure.name]


def complexity_so_far(
    trial: Trial, reference: Trial, measure: Measure, epochs: Sequence[Epoch]
) -> float | None:
    """f_c of a trial by these epochs of it; None where they do not tell.

    reference: the session's trial 0.  What is exact needs no epoch.
    """
    if measure.exact:
        return trial.costs[measure.name] / reference.costs[measure.name]
    if measure.from_epochs is None or any(e.reference_seconds is None for e in epochs):
        return None
    cost, beside = measure.from_epochs(epochs)
    return cost / beside
