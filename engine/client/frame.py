"""A session as a table for data frames: a trial a row, all that is known of it in columns.

Columns follow from the session's task: every parameter of its space, every one of its measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...sessions.exchange import in_columns
from ...sessions.files import put
from ...sessions.records import Decision, Prediction, Session, Trial
from ...sessions.snapshot import Snapshot
from ...sessions.text import printable
from .. import search
from ..search import QUEUEING
from ..tasks.measure import Measure
from ..tasks.parameter import Entry, entry_name
from ..tasks.space import Space

FORMULAS = ("=", "+", "-", "@")
"""What a spreadsheet takes for a formula where a cell begins with it."""
PREDICTED: dict[str, Callable[[Prediction], Any]] = {
    "predicted_mean": lambda belief: belief.mean,
    "predicted_std": lambda belief: belief.std,
    "predicted_error": lambda belief: belief.error,
    "predicted_error_std": lambda belief: belief.error_std,
    "predicted_complexity": lambda belief: belief.complexity,
    "predicted_complexity_std": lambda belief: belief.complexity_std,
    "predicted_ei": lambda belief: belief.ei,
    "predicted_kept": lambda belief: belief.kept,
    "predicted_wc": lambda belief: belief.wc,
    "predicted_measure": lambda belief: belief.measure,
}
"""Column -> what it has of the prediction that a trial was chosen with."""


def as_csv(snapshot: Snapshot, space: Space) -> str:
    """The session's trials as CSV: UTF-8 once encoded, lines end with `\\n`, a trial a line."""
    session, entries = snapshot.session, tuple(_entries(snapshot, space))
    queued_by = {d.trial: d for d in snapshot.decisions if d.kind in QUEUEING}
    rows = [
        dict(_row(session, space, entries, trial, queued_by.get(trial.number)))
        for trial in snapshot.trials
    ]
    return in_columns(tuple(rows[0]), [tuple(row.values()) for row in rows])


def write(path: Path, text: str) -> None:
    """Write it whole or not at all.  Raises StoreError, and Misuse where there is no folder."""
    put(path, text.encode())


def _row(
    session: Session,
    space: Space,
    entries: Sequence[Entry],
    trial: Trial,
    decision: Decision | None,
) -> Iterator[tuple[str, Any]]:
    """A trial's cells by their columns, which are the same for every trial; None: empty.

    decision: what queued it; the reference network is there by none.
    """
    yield from (
        ("trial", trial.number),
        ("level", trial.level),
        ("state", trial.state),
        ("source", trial.source),
        ("decision", None if decision is None else decision.number),
        ("kind", None if decision is None else decision.kind),
        ("by", None if decision is None else decision.by),
        ("reason", None if decision is None else free_text(decision.reason)),
        ("repeat_of", trial.repeat_of),
        ("seed", trial.seed),
        ("created", _moment(trial.created)),
        ("started", _moment(trial.started)),
        ("ended", _moment(trial.ended)),
        ("epochs", len(trial.epochs)),
    )
    for name, index in entries:
        yield entry_name(name, index), _value(trial, name, index)
    yield "error", trial.error
    yield session.metric, None if trial.error is None else 1 - trial.error
    for measure in space.measures:
        yield measure.name, _cost(measure, trial.costs.get(measure.name))
    for measure in space.measures:
        if not measure.exact:
            yield f"reference_{measure.name}", trial.reference_costs.get(measure.name)
    yield "complexity", trial.complexity
    yield "f", search.objective(trial, session.wc)
    for column, of in PREDICTED.items():
        yield column, None if trial.prediction is None else of(trial.prediction)
    timed = trial.machine is not None and trial.machine.conditions is not None
    yield "disturbed", bool(trial.disturbed) if timed else None
    yield "disturbance", free_text("; ".join(trial.disturbed))
    yield "failure", None if trial.failure is None else trial.failure.kind
    yield "message", None if trial.failure is None else free_text(trial.failure.message)


def _entries(snapshot: Snapshot, space: Space) -> Iterator[Entry]:
    """Every parameter that is awake; of a list as many entries as the longest of the trials has."""
    for parameter in space.awake:
        if parameter.length is None:
            yield parameter.name, None
            continue
        longest = max(len(trial.config[parameter.name]) for trial in snapshot.trials)
        yield from ((parameter.name, index) for index in range(longest))


def _value(trial: Trial, name: str, index: int | None) -> Any:
    """A parameter's value; None where the network has no such layer."""
    value = trial.config[name]
    if index is None:
        return value
    return value[index] if index < len(value) else None


def _cost(measure: Measure, value: float | None) -> float | None:
    """A cost; what arithmetic counts is a whole number, and is written as one."""
    if value is not None and measure.exact and value == int(value):
        return int(value)
    return value


def _moment(at: datetime | None) -> str | None:
    """A moment in UTC, to the millisecond: all of one form, or they are not read as times."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def free_text(text: str) -> str:
    """What somebody wrote, in one line that no spreadsheet takes for a formula.

    Where it begins as one a `'` stands before it, which spreadsheets have for that.
    """
    line = printable(" ".join(text.split()))
    return f"'{line}" if line.startswith(FORMULAS) else line
