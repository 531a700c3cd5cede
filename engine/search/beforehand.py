"""What a session knows before its first trial: a prior, none, or one of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ...sessions.errors import Misuse
from ...sessions.records import Session
from ..model.prior import NOTHING, Prior
from ..objective import SECONDS
from ..tasks.face import Task
from ..tasks.task import NO_PRIOR, blank_space, prior_file, task_of

DEFAULT = "default"
AVERAGE = 16
"""Draws of the hyperparameters that predictions are averaged over while trials are few."""
BEFORE = "as before there was one"
"""What is said of a session that was made before there were priors."""
LARGEST_BYTES = 2**20
"""Of a file of numbers."""


def prior_choice(task: Task, asked: str, numbers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The name of what was asked for, and what files of priors hold, this one now among them.

    asked: `none`, `default`, one of `numbers`, or a file.  A task without numbers of its own has
    no other default than `none`.  Raises Misuse for what is no prior of this task.
    """
    kept = dict(numbers)
    if asked == DEFAULT:
        return next(reversed([*task.priors]), NO_PRIOR), kept
    if asked == NO_PRIOR or asked in task.priors or asked in kept:
        return asked, kept
    file = Path(asked).expanduser()
    if not file.is_file():
        raise Misuse(f"prior {asked}: no such file. Use none, default or a file of numbers.")
    if file.stat().st_size > LARGEST_BYTES:
        raise Misuse(f"prior {asked}: larger than {LARGEST_BYTES:,} bytes: no file of numbers.")
    _check(Prior.read(file), task, asked)
    text = file.read_text(encoding="utf-8")
    name = file.name
    while name in (NO_PRIOR, DEFAULT, *task.priors) or kept.get(name, text) != text:
        name += "+"
    return name, {**kept, name: text}


def prior_of(session: Session) -> Prior:
    """What a session begins with, of its f_c where that is of seconds.  Raises Misuse where it was
    kept by a newer program, or its numbers are damaged.
    """
    name, task = session.prior, task_of(session)
    if name is None:
        return NOTHING
    if name in session.prior_numbers:
        prior = _parsed(session.prior_numbers[name], name, task)
    else:
        file = prior_file(task, name)
        prior = NOTHING if file is None else _read(file)
    return prior if session.measure == SECONDS else replace(prior, time=None)


def prior_name(session: Session) -> str:
    """Its name, in words."""
    return BEFORE if session.prior is None else session.prior


@lru_cache(maxsize=4)
def _parsed(numbers: str, name: str, task: Task) -> Prior:
    prior = Prior.parse(numbers, f"prior {name}")
    _check(prior, task, f"prior {name}")
    return prior


@lru_cache(maxsize=4)
def _read(file: Path) -> Prior:
    return Prior.read(file)


def _check(prior: Prior, task: Task, where: str) -> None:
    """Raises Misuse where it knows networks by other numbers than the task tells of them."""
    space = blank_space(task.name)
    if (prior.time is not None and prior.time.kinds != space.kinds) or (
        prior.error is not None and prior.error.traits != space.trait_names
    ):
        raise Misuse(
            f"{where}: a prior of other numbers than lcsearch knows networks by. Make it anew with "
            "benchmarks/make_prior.py."
        )
