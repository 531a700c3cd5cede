"""What a session knows before its first trial: a prior, none, or one of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...sessions.errors import Misuse
from ...sessions.records import EarlierSession, EarlierTrial, Session, Trial
from ...sessions.snapshot import Snapshot
from ..machine import one_thread
from ..model.prior import NOTHING, Prior
from ..objective import SECONDS
from ..tasks.face import Problem, Task
from ..tasks.space import Space
from ..tasks.task import (
    NO_PRIOR,
    blank_space,
    complexity_of,
    prior_file,
    session_space,
    task_of,
)

if TYPE_CHECKING:
    from ..model.earlier import Seen
    from ..model.known import Earlier

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


def kept_of(snapshot: Snapshot) -> EarlierSession:
    """What another session keeps of this one to learn from it.  Raises Misuse where no trial is
    done.
    """
    session, summary = snapshot.session, snapshot.session.summary
    task, space = task_of(session), session_space(session)
    timed = next((m for m in task.measures if m.name == SECONDS), None)

    def seconds(trial: Trial) -> float | None:
        if timed is None:
            return None
        beside = trial.reference_costs
        return complexity_of(space, trial.config, timed, trial.costs, beside)

    trials = tuple(
        EarlierTrial(
            config=trial.config,
            error=trial.error,
            images=summary.val if trial.effective_images is None else trial.effective_images,
            seconds=seconds(trial),
        )
        for trial in snapshot.trials
        if trial.observed and trial.error is not None
    )
    if not trials:
        raise Misuse(f"learn from {session.name}: no trial of it is done: nothing is to be learnt.")
    return EarlierSession(
        name=session.name,
        shape=summary.shape,
        classes=summary.classes,
        images=summary.train,
        epochs=session.epochs,
        features=session.features,
        trials=trials,
    )


def earlier_of(session: Session) -> tuple[Earlier, ...]:
    """What a session learns from, as its space knows networks.  Fitted once for a session."""
    if not session.learn_from:
        return ()
    # what moves while it is searched, and says nothing of what is learnt
    still = {"level": 1, "bases": {}, "wc": 0.0, "autopilot": None, "favourite": {}, "limits": {}}
    return _earlier(session.model_copy(update=still).model_dump_json())


@lru_cache(maxsize=4)
def _earlier(told: str) -> tuple[Earlier, ...]:
    """That of a session as JSON."""
    session = Session.model_validate_json(told)
    from ..model.earlier import learnt

    prior, space = prior_of(session), session_space(session)
    names = session.learn_from.split(",")
    chosen = [one for one in session.earlier if one.name in names]
    with one_thread():
        found = [learnt(space, prior, _seen(one, session, space)) for one in chosen]
    return tuple(found)


def _seen(kept: EarlierSession, session: Session, space: Space) -> Seen:
    """Its trials, those that this session's space can tell of."""
    from ..model.earlier import Seen

    task = task_of(session)
    problem = Problem(
        kept.shape, kept.classes, kept.features, None, session.weights, kept.images, kept.epochs
    )
    own = task.space(problem, {})
    told = [(space.read(trial.config), trial) for trial in kept.trials]
    # what cannot be built here, or has what this session has asleep, tells nothing of its networks
    known = [(c, t) for c, t in told if not space.problems(c) and not own.problems(c)]
    counted = session.measure == SECONDS
    ratios = [t.seconds if counted and t.seconds is not None else math.nan for _, t in known]
    return Seen(
        kept.name,
        own,
        [config for config, _ in known],
        np.array([t.error for _, t in known], dtype=float),
        np.array([t.images for _, t in known], dtype=float),
        np.array(ratios, dtype=float),
    )


def merged(session: Session, kept: Sequence[EarlierSession]) -> tuple[EarlierSession, ...]:
    """What a session has kept of others, these anew."""
    names = {one.name for one in kept}
    return (*(one for one in session.earlier if one.name not in names), *kept)


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
