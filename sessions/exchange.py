"""The JSON document of a session: export, its schema, and what is needed to read it back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime

from .records import (
    Config,
    Decision,
    Machine,
    Record,
    Session,
    Trial,
    now,
)
from .store import Snapshot, StoreError


class ExportedTrial(Trial):
    """A trial, with f under the session's w_c (None unless it was trained to its end)."""

    f: float | None = None


class ExportedSession(Session):
    """The session's record, and the machine of its reference network."""

    machine: Machine | None = None


class SpaceDocument(Record):
    """The domains searched, as `--set` reads them, and the images they are for."""

    levels: list[str]
    domains: dict[str, str]
    features: int
    macs_cap: float


class ReferenceDocument(Record):
    """The reference network and its costs."""

    trial: int
    config: Config
    params: int
    macs: int
    seconds_per_epoch: float | None


class LevelDocument(Record):
    """One level: the trial whose network it started from, its trials, and its best."""

    level: int
    name: str
    base: int | None
    trials: list[int]
    best_measured: int | None


class BestDocument(Record):
    """The best network of all levels.  mean, std: posterior of f; None for the best measured."""

    trial: int
    config: Config
    f: float
    error: float
    complexity: float
    seconds_per_epoch: float | None
    params: int
    macs: int
    mean: float | None = None
    std: float | None = None


class Document(Record):
    """A whole session."""

    format: Literal["lcsearch-session"] = "lcsearch-session"
    version: Literal[1] = 1
    exported: AwareDatetime
    session: ExportedSession
    space: SpaceDocument
    reference: ReferenceDocument
    levels: list[LevelDocument]
    trials: list[ExportedTrial]
    decisions: list[Decision]
    best: BestDocument | None
    best_measured: BestDocument | None


def document(
    snapshot: Snapshot,
    *,
    domains: Mapping[str, str],
    level_names: Sequence[str],
    objectives: Mapping[int, float | None],
    best: int | None,
    belief: tuple[float, float] | None,
    best_measured: int | None,
) -> Document:
    """Put a session into one document.

    objectives: trial -> f under the session's w_c.  best: the trial with the smallest posterior
    mean, `belief` its mean and standard deviation.
    """
    session, trials = snapshot.session, snapshot.trials
    first = trials[0]
    return Document(
        exported=now(),
        session=ExportedSession(**dict(session), machine=first.machine),
        space=SpaceDocument(
            levels=list(level_names),
            domains=dict(domains),
            features=session.features,
            macs_cap=session.macs_cap,
        ),
        reference=ReferenceDocument(
            trial=0,
            config=first.config,
            params=first.params,
            macs=first.macs,
            seconds_per_epoch=first.seconds_per_epoch,
        ),
        levels=[
            _level(level, name, snapshot, objectives)
            for level, name in enumerate(level_names, start=1)
        ],
        trials=[ExportedTrial(**dict(t), f=objectives[t.number]) for t in trials],
        decisions=list(snapshot.decisions),
        best=_best(trials, objectives, best, belief),
        best_measured=_best(trials, objectives, best_measured, None),
    )


def _level(
    level: int, name: str, snapshot: Snapshot, objectives: Mapping[int, float | None]
) -> LevelDocument:
    numbers = [t.number for t in snapshot.trials if t.level == level]
    scored = [(value, n) for n in numbers if (value := objectives[n]) is not None]
    return LevelDocument(
        level=level,
        name=name,
        base=snapshot.session.bases.get(level, 0 if level == 1 else None),
        trials=numbers,
        best_measured=min(scored)[1] if scored else None,
    )


def _best(
    trials: Sequence[Trial],
    objectives: Mapping[int, float | None],
    number: int | None,
    belief: tuple[float, float] | None,
) -> BestDocument | None:
    if number is None:
        return None
    trial, f = trials[number], objectives[number]
    assert f is not None
    assert trial.error is not None
    assert trial.complexity is not None
    return BestDocument(
        trial=number,
        config=trial.config,
        f=f,
        error=trial.error,
        complexity=trial.complexity,
        seconds_per_epoch=trial.seconds_per_epoch,
        params=trial.params,
        macs=trial.macs,
        mean=None if belief is None else belief[0],
        std=None if belief is None else belief[1],
    )


def text(whole: Document) -> str:
    """The document as JSON, indented; it holds no NaN and no infinity."""
    plain = whole.model_dump(mode="json", by_alias=True)
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write(path: Path, whole: Document) -> None:
    """Write the document whole or not at all.  Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text(whole))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}).") from error


def schema() -> dict[str, Any]:
    """The JSON Schema of the document, made from the records."""
    return Document.model_json_schema(by_alias=True, mode="serialization")
