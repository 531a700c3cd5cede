"""The sessions of a home: made, listed, deleted, brought back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import ValidationError

from ...sessions.errors import Misuse, StoreError
from ...sessions.places import check_name, folder, names
from ...sessions.records import (
    Delivery,
    EarlierSession,
    Session,
    Setup,
    Trial,
    in_words,
    is_weight,
    now,
)
from ...sessions.store import Store
from .. import search
from ..executors.devices import Progress, probe
from ..executors.latency import missing
from ..executors.registry import checked
from ..metric import suiting
from ..protocol import Refused
from ..search import decide
from ..tasks.domains import InvalidDomain
from ..tasks.task import (
    blank_space,
    defaults_of,
    level_names,
    measure_named,
    open_store,
    parameters_of,
    session_space,
    space_named,
    task_named,
)
from .images import SetupError as SetupError
from .images import as_read_now


@dataclass(frozen=True)
class SessionSummary:
    """One line of the list of sessions.  state: training, waiting (for an engine, or its turn),
    paused, idle, or what is wrong with it: of its trials and its final trainings.

    levels: their names, in order.  parallel: trials at once.  alive: whether an engine is at work.
    """

    name: str
    created: str = ""
    data: str = ""
    level: int = 0
    trials: int = 0
    wc: float = 0.0
    best: float | None = None
    best_trial: int | None = None
    state: str = "idle"
    levels: tuple[str, ...] = ()
    flat: bool = False
    parallel: int = 1
    alive: bool = False


TRIALS = 12
"""Trials planned for a level, unless said otherwise."""


def planned(task: str, flat: bool) -> int:
    """Trials of a level where nobody says otherwise.

    The one level of a flat session is given those of all levels: both ways cost the same.
    """
    return TRIALS * (len(task_named(task).levels) if flat else 1)


def create(
    home: Path,
    setup: Setup,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
) -> Path:
    """Check the data, make a session and queue its reference network; gives its folder.

    Takes seconds, or what it takes to read the image files once: by a process of its own.
    progress, cancelled: see `probe`.  Raises SetupError; Cancelled where that was set.
    """
    try:
        check_name(setup.name)
        target = home / "sessions" / setup.name
        if target.exists():
            raise Misuse(
                f"session {setup.name!r}: exists already. Choose another name, or delete it first."
            )
        task = task_named(setup.task)
        awake = parameters_of(task, setup.space)
        # any image will do to check the domains before the data are read
        blank_space(setup.task, setup.domains).waking({*awake, *setup.domains}).check_ratios()
        begins = space_named(task, setup.space).defaults
        defaults = defaults_of(
            task, begins if setup.defaults is None else setup.defaults, setup.domains
        )
        measure_named(setup.measure, task)
        if not is_weight(setup.wc):
            raise Misuse(f"w_c = {setup.wc}: not usable. Use 0 (accuracy alone) or more.")
        if setup.runtime is not None and (lacks := missing(setup.runtime)):
            raise Misuse(
                f"--runtime {setup.runtime}: {' and '.join(lacks)} not installed. Run "
                "pip install 'lcsearch[onnx]', or use another."
            )
        execution = checked(setup.execution, setup.task)
        data = as_read_now(setup.data)
        answer = probe(data, progress, cancelled)
        if isinstance(answer, Refused):
            raise SetupError(answer.message, misuse=answer.misuse)
        budget = planned(setup.task, setup.flat)
        asked = {part.name: getattr(setup, part.name) for part in fields(setup)}
        asked["domains"] = dict(setup.domains)
        asked["trials_per_level"] = (
            budget if setup.trials_per_level is None else setup.trials_per_level
        )
        del asked["limits"], asked["space"]
        asked |= {"data": data, "execution": execution}
        asked["class_weights"] = setup.class_weights or suiting(setup.metric)
        asked |= {"parameters": awake, "defaults": defaults}
        earlier = learned_from(home, setup.learn_from, setup.task)
        asked |= {"learn_from": ",".join(setup.learn_from), "earlier": earlier}
        name, numbers = search.prior_choice(task, setup.prior, setup.prior_numbers)
        asked |= {"prior": name, "prior_numbers": numbers}
        session = Session(created=now(), summary=answer.summary, **asked)
        changes = search.changed_limits(session, setup.limits)
        if changes:
            limits, cap = search.merged_limits(session, changes)
            session = session.model_copy(update={"limits": limits, "macs_cap": cap})
        search.check_goal(session, session.wc, session.limits)
        first = decide.reference_trial(session, session_space(session))
        Store.create(target, session, first).close()
    except ValidationError as error:
        raise SetupError(in_words(error), misuse=True) from error
    except (Misuse, InvalidDomain) as error:
        raise SetupError(str(error), misuse=True) from error
    except StoreError as error:
        raise SetupError(str(error)) from error
    return target


def learned_from(home: Path, names: Sequence[str], task: str) -> tuple[EarlierSession, ...]:
    """What a session keeps of others to learn from them.  Raises Misuse where one cannot be."""
    kept = []
    for name in dict.fromkeys(names):
        store = open_store(folder(home, name), migrate=False)
        snapshot = store.refresh()
        store.close()
        if snapshot.session.task != task:
            raise Misuse(f"learn from {name}: it searches {snapshot.session.task}, not {task}.")
        kept.append(search.kept_of(snapshot))
    return tuple(kept)


STATES: tuple[tuple[str, Callable[[Trial | Delivery], bool]], ...] = (
    ("training", lambda one: one.state == "running"),
    ("waiting", lambda one: one.waits),
    ("paused", lambda one: one.state == "paused"),
)
"""Of a session, by one of its trials or final trainings: the first that holds of any."""


def summaries(home: Path) -> list[SessionSummary]:
    """Every session under a home, in one line each; damaged ones say so."""
    found: list[SessionSummary] = []
    for name in names(home):
        try:
            store = open_store(home / "sessions" / name, migrate=False)
        except StoreError as error:
            found.append(SessionSummary(name=name, state=f"corrupt: {error}"))
            continue
        snapshot = store.refresh()
        store.close()
        session = snapshot.session
        best = search.best_measured(snapshot)
        work: tuple[Trial | Delivery, ...] = (*snapshot.standing, *snapshot.standing_deliveries)
        state = next((name for name, made_by in STATES if any(map(made_by, work))), "idle")
        found.append(
            SessionSummary(
                name=name,
                created=session.created.isoformat(),
                data=session.data.spec,
                level=session.level,
                trials=sum(t.state == "done" for t in snapshot.trials),
                wc=session.wc,
                best=None if best is None else search.objective(best, session.wc),
                best_trial=None if best is None else best.number,
                state=state,
                levels=level_names(session),
                flat=session.flat,
                parallel=session.execution.parallel,
                alive=snapshot.engine.alive,
            )
        )
    return found
