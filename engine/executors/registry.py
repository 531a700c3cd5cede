"""The executors by name, and what may be asked of each."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...sessions.errors import Misuse, StoreError
from ...sessions.records import Execution
from .devices import at_once, check_devices
from .ray import INSTALL, RESERVED, installed


def check_fields(executor: object, given: Iterable[str]) -> None:
    """Raises Misuse for what means nothing on this machine: nobody should think that it does."""
    for name in given:
        if executor == "local" and name in ("address", "per_trial", "data_on_nodes"):
            raise Misuse(
                f"--{name.replace('_', '-')}: of a Ray cluster, and trials run on this machine. "
                "Leave it out, or add --executor ray."
            )


def checked(execution: Execution) -> Execution:
    """The same, if trials can run that way, with as many at once as is usual if nobody says.

    Raises Misuse, StoreError where Ray is missing.  May ask torch, which takes seconds, for the
    devices that are named.
    """
    for name, number in execution.per_trial.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}", name) or name in RESERVED:
            raise Misuse(
                f"per trial {name}: not usable. Use cpus, gpus, or a resource that a node of the "
                "cluster was started with."
            )
        if not 0 < number <= 1e6 or (number > 1 and number != int(number)):
            raise Misuse(
                f"per trial {name}={number:g}: not usable. Use a whole number, or a share below 1."
            )
    if execution.executor == "local":
        check_devices(execution)
        return execution.model_copy(update={"parallel": at_once(execution)})
    if not installed():
        raise StoreError(f"--executor ray needs Ray, which is not installed. Run {INSTALL}.")
    return execution
