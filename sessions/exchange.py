"""The JSON document of a session: export, its schema, and what is needed to read it back."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Never, TypeVar

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from .errors import Misuse
from .files import put
from .records import (
    Config,
    Decision,
    Delivery,
    Latency,
    Machine,
    Record,
    Session,
    Trial,
    in_words,
    now,
)
from .schema import OLD_COSTS, measured_by, old_costs, predictions_measured_by
from .snapshot import Snapshot

FORMAT: Literal["lcsearch-session"] = "lcsearch-session"
VERSION: Literal[8] = 8
"""2: costs by their measures.  3: another metric than the accuracy, what each class was taken for.
4: limits.  5: latencies, what complexity was of in predictions.  6: final trainings.  7: what
parameters begin with.  8: priors.  Older ones are read, too."""
LARGEST_BYTES = 64 * 2**20
"""Of a file to read: some 20,000 trials of ten epochs."""
DEEPEST = 24
"""Lists and objects within each other, far more than a session has."""
LONGEST_NUMBER = 400
"""Digits of a number: the largest float has 309."""
_STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters other than tabs and ends of lines, and halves of characters."""


class Costed(Record):
    """Costs by their measures; some of them, too, under the names that they had before the others.

    A document of before has those names alone.
    """

    costs: dict[str, float] = Field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    seconds_per_epoch: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "costs" in values:
            return values
        return {**values, "costs": old_costs(values, "costs")}


CostedRecord = TypeVar("CostedRecord", bound=Costed)


class ExportedTrial(Costed, Trial):
    """A trial, with f under the session's w_c (None unless it was trained to its end)."""

    f: float | None = None
    reference_seconds: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather_beside(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "reference_costs" in values:
            return values
        return {**values, "reference_costs": old_costs(values, "reference_costs")}


def completed(given: CostedRecord, config: Config, trial: Trial) -> CostedRecord:
    """A document's record of a trial with what it lacked.

    Costs that were not there get their old names, too, where these say nothing of them.
    """
    new = {name: cost for name, cost in trial.costs.items() if name not in given.costs}
    told = {name: v for name, v in _old_names(new).items() if getattr(given, name) is None}
    update = {**told, "config": config, "costs": {**given.costs, **new}}
    if isinstance(given, ExportedTrial):
        beside = trial.reference_costs
        update["reference_costs"] = {**beside, **given.reference_costs}
    return given.model_copy(update=update)


def plain(trial: Trial) -> dict[str, Any]:
    """A trial as JSON has it in a document, without f."""
    return exported_trial(trial, None).model_dump(mode="json", exclude={"f"})


def compact(trial: Trial) -> str:
    """The same in one line."""
    return json.dumps(plain(trial), ensure_ascii=False, separators=(",", ":"))


def named(costs: Mapping[str, float]) -> dict[str, Any]:
    """The costs, and those of them that had names of their own under these as well."""
    return {"costs": dict(costs), **_old_names(costs)}


def _old_names(costs: Mapping[str, float]) -> dict[str, float | None]:
    """The costs that had names of their own, whole numbers whole."""
    old = OLD_COSTS["costs"]
    return {old[name]: as_exported(old[name], costs[name]) for name in costs if name in old}


def exported_names(measure: str) -> tuple[str, str]:
    """What a table of an export calls a cost, and that of the reference beside it."""
    cost, beside = (OLD_COSTS[of].get(measure) for of in ("costs", "reference_costs"))
    return cost or measure, beside or f"reference_{measure}"


def as_exported(name: str, value: float | None) -> float | None:
    """The value under that name: a whole number is written as one."""
    field = Costed.model_fields.get(name)
    whole = field is not None and field.annotation == int | None
    return int(value) if whole and value is not None else value


def exported_trial(trial: Trial, f: float | None) -> ExportedTrial:
    """A trial as a document holds it."""
    beside = OLD_COSTS["reference_costs"]
    told = {beside[name]: v for name, v in trial.reference_costs.items() if name in beside}
    return ExportedTrial(**{**dict(trial), **named(trial.costs), **told}, f=f)


class ExportedSession(Session):
    """The session's record, and the machine of its reference network."""

    machine: Machine | None = None


class SpaceDocument(Record):
    """The domains searched, as `--set` reads them, and the images they are for."""

    levels: list[str]
    domains: dict[str, str]
    features: int
    macs_cap: float | None
    limits: dict[str, float] = Field(default_factory=dict)


class ReferenceDocument(Costed):
    """The reference network and its costs."""

    trial: int
    config: Config


class LevelDocument(Record):
    """One level: the trial whose network it started from, its trials, and its best."""

    level: int
    name: str
    base: int | None
    trials: list[int]
    best_measured: int | None


class BestDocument(Costed):
    """The best network of all levels.  mean, std: posterior of f; None for the best measured."""

    trial: int
    config: Config
    f: float
    error: float
    complexity: float
    mean: float | None = None
    std: float | None = None


class Document(Record):
    """A whole session."""

    format: Literal["lcsearch-session"] = FORMAT
    version: Literal[1, 2, 3, 4, 5, 6, 7, 8] = VERSION
    exported: AwareDatetime
    session: ExportedSession
    space: SpaceDocument
    reference: ReferenceDocument
    levels: list[LevelDocument]
    trials: list[ExportedTrial]
    decisions: list[Decision]
    latencies: list[Latency] = Field(default_factory=list)
    finals: list[Delivery] = Field(default_factory=list)
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
            limits=session.limits,
        ),
        reference=ReferenceDocument(
            trial=0,
            config=first.config,
            **named(first.costs),
        ),
        levels=[
            _level(level, name, snapshot, objectives)
            for level, name in enumerate(level_names, start=1)
        ],
        trials=[exported_trial(t, objectives[t.number]) for t in trials],
        decisions=list(snapshot.decisions),
        latencies=list(snapshot.latencies.values()),
        finals=list(snapshot.deliveries),
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
        **named(trial.costs),
        mean=None if belief is None else belief[0],
        std=None if belief is None else belief[1],
    )


def text(whole: Document) -> str:
    """The document as JSON, indented; it holds no NaN and no infinity."""
    return in_lines(whole.model_dump(mode="json", by_alias=True))


_OF_CLASSES = re.compile(r'"(?:confusion|recalls)": \[[\d\s.,null\[\]e+-]*\]')
"""A key of this name: within a text its quotes would have strokes before them."""
_UNSEEN = re.compile("[\x7f-\x9f\ud800-\udfff]")
"""What JSON need not escape and a terminal would take for a command."""


def in_lines(plain: object) -> str:
    """JSON, a value a line, but what there is of every class in one: a matrix has 10,000 counts."""
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    text = _UNSEEN.sub(lambda it: f"\\u{ord(it[0]):04x}", text)
    return _OF_CLASSES.sub(lambda it: re.sub(r"(?<=[\[,])\s+|\s+(?=\])", "", it[0]), text) + "\n"


def in_columns(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV, a row a line that ends with `\\n`; None is an empty cell."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return out.getvalue()


def write(path: Path, whole: Document) -> None:
    """Write the document whole or not at all.  Raises StoreError."""
    put(path, text(whole).encode())


def schema() -> dict[str, Any]:
    """The JSON Schema of the document, made from the records."""
    return Document.model_json_schema(by_alias=True, mode="serialization")


class _Unfit(ValueError):
    """JSON that no session is written with."""


def read(path: Path) -> Document:
    """Read an exported session: its form only, whether it agrees with itself is asked elsewhere.

    Raises Misuse for what is no such file, is too big, was cut off or is of a newer version.
    """
    data = _bytes(path)
    try:
        plain = json.loads(
            data,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
        _measure(plain)
    except _Unfit as error:
        raise Misuse(f"{path}: {error}") from error
    except RecursionError as error:
        raise Misuse(f"{path}: {_TOO_DEEP}") from error
    except ValueError as error:
        raise Misuse(
            f"{path}: not JSON, or cut off ({error}). `lcsearch export NAME -o FILE` writes one."
        ) from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise Misuse(f"{path}: not an exported session. `lcsearch export NAME -o FILE` writes one.")
    version = plain.get("version")
    if isinstance(version, int) and version > VERSION:
        raise Misuse(
            f"{path}: written by a newer lcsearch (version {version}, this one reads {VERSION}). "
            "Upgrade lcsearch."
        )
    try:
        document = Document.model_validate(plain)
        if document.version >= 5:
            return document
        # what complexity is of could not change then, and predictions did not say it
        measure = document.session.measure
        for trial in plain["trials"]:
            if trial.get("prediction"):
                trial["prediction"] = measured_by(trial["prediction"], measure)
        plain["decisions"] = [predictions_measured_by(d, measure) for d in plain["decisions"]]
        return Document.model_validate(plain)
    except ValidationError as error:
        raise Misuse(
            f"{path}: {in_words(error)} The file was changed or damaged; export the session again."
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        # a pipe that nobody writes to must not keep us waiting
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Misuse(f"{path}: not a file. Give one that `lcsearch export` wrote.")
            if status.st_size > LARGEST_BYTES:
                raise Misuse(
                    f"{path}: {status.st_size / 2**20:,.0f} MiB, and an import is at most "
                    f"{LARGEST_BYTES / 2**20:.0f} MiB. No session that can be searched is so big."
                )
            return file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise Misuse(f"{path}: cannot be read ({error.strerror}).") from error


_TOO_DEEP = "lists and objects nested too deeply for a session. The file was changed or damaged."


def _no_constant(word: str) -> Never:
    raise _Unfit(f"{word} is no number. The file was changed or damaged.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Unfit(f"{text[:40]} is too large a number. The file was changed or damaged.")
    return number


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise _Unfit("a number of too many digits. The file was changed or damaged.")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Unfit(f"{twice!r} is given twice in one object. The file was changed or damaged.")
    return made


def _measure(plain: object) -> None:
    """Refuse what is nested too deeply, and characters that would steer a terminal."""
    level: list[object] = [plain]
    for _ in range(DEEPEST):
        for item in level:
            if isinstance(item, str) and _STEERING.search(item):
                raise _Unfit(f"{item[:60]!a} holds control characters. The file was changed.")
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise _Unfit(_TOO_DEEP)


def _inside(item: object) -> Iterator[object]:
    if isinstance(item, dict):
        yield from item
        yield from item.values()
    elif isinstance(item, list):
        yield from item
