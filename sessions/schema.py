"""The tables of a session file, and how an older file is brought up to them."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from .files import part_of
from .records import Epoch, Trial

SCHEMA_VERSION = 10
"""Whoever adds a field to a record that is kept adds one: what an older program cannot read, it
must refuse.  The migration adds columns by itself, filled with their defaults; what else there is
to do is in `Store._migrate`.  tests/fixtures has a file of each version."""
OLD_COSTS = {
    "costs": {"params": "params", "macs": "macs", "seconds": "seconds_per_epoch"},
    "reference_costs": {"seconds": "reference_seconds"},
}
"""What stood alone until version 3: field -> measure -> its column then.  An export keeps them."""
_OLD_COLUMNS = tuple(old for names in OLD_COSTS.values() for old in names.values())
OLDEST_SQLITE = (3, 35, 5)
"""The first that drops a column without fault; its write-ahead log has none that is known."""
APPLICATION_ID = 0x6C635345
SCHEMA = """
CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 1), change INTEGER NOT NULL);
CREATE TABLE session (
    id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL, change INTEGER NOT NULL);
CREATE TABLE trials (
    number INTEGER PRIMARY KEY, level INTEGER NOT NULL, config TEXT NOT NULL, key TEXT NOT NULL,
    state TEXT NOT NULL, source TEXT NOT NULL, repeat_of INTEGER, seed INTEGER NOT NULL,
    attempt INTEGER NOT NULL, stop_request TEXT, prediction TEXT, created TEXT NOT NULL,
    started TEXT, ended TEXT, error REAL, complexity REAL, costs TEXT NOT NULL,
    reference_costs TEXT NOT NULL, recalls TEXT NOT NULL, confusion BLOB NOT NULL,
    effective_images REAL, machine TEXT, failure TEXT, change INTEGER NOT NULL);
CREATE INDEX trials_change ON trials (change);
CREATE INDEX trials_state ON trials (state);
CREATE INDEX trials_key ON trials (key);
CREATE TABLE epochs (
    trial INTEGER NOT NULL REFERENCES trials, epoch INTEGER NOT NULL, train_loss REAL NOT NULL,
    val_accuracy REAL NOT NULL, seconds REAL NOT NULL, reference_seconds REAL,
    resumed INTEGER NOT NULL, val_metric REAL, change INTEGER NOT NULL,
    PRIMARY KEY (trial, epoch)) WITHOUT ROWID;
CREATE INDEX epochs_change ON epochs (change);
CREATE TABLE decisions (number INTEGER PRIMARY KEY, body TEXT NOT NULL, change INTEGER NOT NULL);
CREATE INDEX decisions_change ON decisions (change);
CREATE TABLE latencies (
    key TEXT NOT NULL, runtime TEXT NOT NULL, machine TEXT NOT NULL, body TEXT NOT NULL,
    change INTEGER NOT NULL, PRIMARY KEY (key, runtime, machine));
CREATE INDEX latencies_change ON latencies (change);
CREATE TABLE deliveries (number INTEGER PRIMARY KEY, body TEXT NOT NULL, change INTEGER NOT NULL);
CREATE INDEX deliveries_change ON deliveries (change);
CREATE TABLE engine (
    id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL, pid INTEGER,
    message TEXT NOT NULL, change INTEGER NOT NULL);
"""
TRIAL_COLUMNS = tuple(name for name in Trial.model_fields if name != "epochs")
EPOCH_COLUMNS = tuple(Epoch.model_fields)


def _is_json(annotation: Any) -> bool:
    """Whether a field of this type is kept as JSON text: a record, a dict, a list."""
    if get_origin(annotation) in (dict, list, tuple):
        return True
    if isinstance(annotation, type):
        return issubclass(annotation, BaseModel)
    return any(_is_json(part) for part in get_args(annotation))


JSON_COLUMNS = tuple(n for n in TRIAL_COLUMNS if _is_json(Trial.model_fields[n].annotation))
COLUMNS: tuple[tuple[str, type[BaseModel], tuple[str, ...]], ...] = (
    ("trials", Trial, TRIAL_COLUMNS),
    ("epochs", Epoch, EPOCH_COLUMNS),
)


def present_columns(db: sqlite3.Connection, table: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of these columns that the table has."""
    there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    return tuple(name for name in names if name in there)


def readable_columns(db: sqlite3.Connection, table: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of these columns that the table has, and those of an older version that
    `costs_gathered` reads.
    """
    return present_columns(db, table, (*names, *_OLD_COLUMNS))


def outdated(db: sqlite3.Connection) -> bool:
    """Whether the file is of an older version, or lacks a column."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    return version < SCHEMA_VERSION or any(
        present_columns(db, table, names) != names for table, _, names in COLUMNS
    )


def add_columns(db: sqlite3.Connection) -> None:
    """Add the columns that a record has and its table lacks, filled with the field's default."""
    for table, model, names in COLUMNS:
        there = present_columns(db, table, names)
        for name in names:
            if name not in there:
                default = as_column(model.model_fields[name].get_default(call_default_factory=True))
                # a default cannot be a parameter of ALTER TABLE
                quoted = db.execute("SELECT quote(?)", (default,)).fetchone()[0]
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name} DEFAULT {quoted}")


def gather_costs(db: sqlite3.Connection) -> None:
    """Put the costs that had a column each into those that have them all, and drop theirs."""
    old = present_columns(db, "trials", _OLD_COLUMNS)
    if not old:
        return
    for number, *values in db.execute(f"SELECT number, {', '.join(old)} FROM trials").fetchall():
        found = costs_gathered(dict(zip(old, values, strict=True)))
        for column, costs in found.items():
            kept = as_column(costs), number
            db.execute(f"UPDATE trials SET {column} = ? WHERE number = ?", kept)
    for column in old:
        db.execute(f"ALTER TABLE trials DROP COLUMN {column}")


def add_tables(db: sqlite3.Connection) -> None:
    """Make the tables that an older file lacks, empty."""
    there = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for statement in SCHEMA.split(";"):
        words = statement.split()
        if words[1:2] == ["TABLE"] and words[2] not in there:
            for needed in SCHEMA.split(";"):
                named = needed.split()
                if named[2:3] == [words[2]] or named[3:5] == ["ON", words[2]]:
                    db.execute(needed)


def name_measures(db: sqlite3.Connection) -> None:
    """Have predictions say what complexity they are of: the session's, which could not change."""
    body = db.execute("SELECT body FROM session").fetchone()[0]
    measure = json.loads(body).get("measure", "seconds")
    rows = db.execute("SELECT number, prediction FROM trials WHERE prediction IS NOT NULL")
    for number, kept in rows.fetchall():
        told = json.dumps(measured_by(json.loads(kept), measure))
        db.execute("UPDATE trials SET prediction = ? WHERE number = ?", (told, number))
    for number, kept in db.execute("SELECT number, body FROM decisions").fetchall():
        decision = json.loads(kept)
        told = json.dumps(predictions_measured_by(decision, measure), ensure_ascii=False)
        db.execute("UPDATE decisions SET body = ? WHERE number = ?", (told, number))


def predictions_measured_by(decision: dict[str, Any], measure: str) -> dict[str, Any]:
    """The decision, its own prediction and that of what was advised with the measure named."""
    made = dict(decision)
    if made.get("prediction"):
        made["prediction"] = measured_by(made["prediction"], measure)
    advised = (made.get("detail") or {}).get("advised")
    if advised and advised.get("prediction"):
        named = {**advised, "prediction": measured_by(advised["prediction"], measure)}
        made["detail"] = {**made["detail"], "advised": named}
    return made


def measured_by(prediction: dict[str, Any], measure: str) -> dict[str, Any]:
    """The prediction, with the measure named."""
    return {**prediction, "measure": measure}


def costs_gathered(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a row of trials of any version, by the names of today's fields."""
    if not values.keys() & set(_OLD_COLUMNS):
        return values
    kept = {name: value for name, value in values.items() if name not in _OLD_COLUMNS}
    return kept | {column: old_costs(values, column) for column in OLD_COSTS}


def old_costs(values: Mapping[str, Any], field: str) -> dict[str, Any]:
    """What stands under old names, by the measures: `costs`, or `reference_costs`."""
    names = OLD_COSTS[field].items()
    return {name: values[old] for name, old in names if values.get(old) is not None}


def back_up(db: sqlite3.Connection, file: Path) -> None:
    """A whole copy of the database, on the disk before this returns; an earlier one is kept."""
    if file.exists():
        return
    part = part_of(file)
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        copy = sqlite3.connect(part)
        try:
            db.backup(copy)
        finally:
            copy.close()
        os.fsync(handle)
        part.rename(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def as_column(value: Any) -> Any:
    if hasattr(value, "model_dump_json"):
        return value.model_dump_json()
    if isinstance(value, dict | list | tuple):
        return json.dumps(to_jsonable_python(value), allow_nan=False)
    return value.isoformat() if hasattr(value, "isoformat") else value
