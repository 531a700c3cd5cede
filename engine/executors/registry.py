"""The executors by name, and what may be asked of each."""

from __future__ import annotations

from collections.abc import Iterable

from ...sessions.errors import Misuse
from ...sessions.records import Execution
from . import local, ray
from .base import Kind

EXECUTORS: dict[str, Kind] = {kind.name: kind for kind in (local.KIND, ray.KIND)}
"""Everywhere that trials can run."""


def executor_named(name: str) -> Kind:
    """The executor of this name.  Raises Misuse where there is none."""
    if name not in EXECUTORS:
        raise Misuse(f"--executor {name}: unknown. Use {', '.join(EXECUTORS)}.")
    return EXECUTORS[name]


def check_fields(executor: str, given: Iterable[str]) -> None:
    """Raises Misuse for what means nothing on this executor: nobody should think that it does."""
    here = executor_named(executor)
    for name in given:
        owners = [kind for kind in EXECUTORS.values() if name in kind.own]
        if owners and here not in owners:
            raise Misuse(
                f"--{name.replace('_', '-')}: of {owners[0].title}, and trials run on "
                f"{here.title}. Leave it out, or add --executor {owners[0].name}."
            )


def checked(execution: Execution, task: str) -> Execution:
    """The same, if trials can run that way, with as many at once as is usual if nobody says.

    task: what is searched.  Raises Misuse, StoreError where something is missing.  May ask torch,
    which takes seconds, for the devices that are named.
    """
    kind = executor_named(execution.executor)
    if task not in kind.trains:
        able = [other.name for other in EXECUTORS.values() if task in other.trains]
        raise Misuse(
            f"--executor {kind.name}: does not train what the task {task} searches. Use "
            f"{', '.join(able) or 'another task'}."
        )
    kind.check(execution)
    return execution.model_copy(update={"parallel": kind.at_once(execution)})


def at_once(execution: Execution) -> int:
    """Trials at once, as was said or as is usual.  Raises Misuse for what cannot be."""
    return executor_named(execution.executor).at_once(execution)


def describe(execution: Execution) -> str:
    """Where trials run: `trials run on the Ray cluster auto, 4 at once, gpus=1 each`."""
    return f"trials run {executor_named(execution.executor).describe(execution)}"
