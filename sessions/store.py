"""One SQLite file a session: what was acknowledged is in it, whatever happens next.

Every write is one `BEGIN IMMEDIATE` that checks the state it changes; a decision that comes too
late is refused with `Late`.  Rows carry the number of the change that wrote them last, so that
"what is new" is one indexed query a table.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
from pydantic import TypeAdapter, ValidationError

from .errors import Closed, Known, Late, Misuse, NoRoom, StoreError
from .places import check_name, refuse_network
from .records import (
    OPEN_STATES,
    Config,
    Decision,
    Delivery,
    Epoch,
    Latency,
    Session,
    Trial,
    in_words,
    now,
)
from .schema import (
    APPLICATION_ID,
    COLUMNS,
    EPOCH_COLUMNS,
    JSON_COLUMNS,
    OLDEST_SQLITE,
    SCHEMA,
    SCHEMA_VERSION,
    TRIAL_COLUMNS,
    add_columns,
    add_tables,
    as_column,
    back_up,
    costs_gathered,
    gather_costs,
    name_measures,
    outdated,
    present_columns,
    readable_columns,
)
from .snapshot import EngineStatus, Snapshot, TrialUpdate, comparable

if TYPE_CHECKING:
    from .snapshot import Plan


BUSY_SECONDS = 10.0
IMPORTED = "imported; nothing trains before you accept, resume, or hand over (`lcsearch run`)"
"""What the engine of an imported session says until a person starts it."""
LOCK_LOOK_SECONDS = 0.2
"""How long the answer to "does an engine live" is believed."""
MIGRATE_SECONDS = 5.0
"""How long a migration waits for the engine's lock."""
NOTE_BYTES = 1024
MOST_CHARACTERS = 10_000
"""Of a reason: what a person writes, not a file."""
_EPOCHS = TypeAdapter(list[Epoch])


@dataclass(frozen=True)
class Reader:
    """What completes records that were kept before there was all that there is now: a
    configuration, which may have fewer parameters, and a trial, its costs as well: those by
    arithmetic, and what networks of its key were timed.
    """

    config: Callable[[Config], Config]
    trial: Callable[[Trial, Mapping[str, Latency]], Trial]


AS_IT_IS = Reader(lambda config: config, lambda trial, latencies: trial)
"""Completes nothing."""


class Store:
    """One session's file.  Safe to share between threads; one object a process and session."""

    def __init__(
        self,
        path: Path,
        *,
        migrate: bool = True,
        read: Callable[[Session], Reader] = lambda session: AS_IT_IS,
    ) -> None:
        """Open the session in folder `path`.  Raises StoreError if it is none or is damaged.

        migrate: bring a file of an older version up to date, its old state kept beside it; else
        it can only be read, as a read-only one is.  read: gives what completes the records of a
        session.
        """
        self.folder = path
        self._complete = read
        self._latencies: dict[tuple[str, str, str], Latency] = {}
        refuse_network(path)
        self.read_only = not os.access(path, os.W_OK)
        self._guard = threading.RLock()
        self._closed = False
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        file = path / "session.db"
        if not file.is_file():
            raise StoreError(f"session {path.name!r}: not found ({file} is missing).")
        try:
            if self.read_only:
                file = self._reachable(file)
            self._db = _connect(file, read_only=self.read_only)
            self._check(file)
            self._identity = _identity(path / "session.db")
            if self.read_only or not migrate:
                self.read_only = self.read_only or outdated(self._db)
            elif outdated(self._db):
                self._migrate(file)
            self._selected = self._columns()
            # walked through again and again, thousands of new records would take twice as long
            collecting = gc.isenabled()
            gc.disable()
            try:
                self._snapshot = self._read(None)
            finally:
                if collecting:
                    gc.enable()
        except sqlite3.OperationalError as error:
            raise _refused(path, error) from error
        except (sqlite3.DatabaseError, ValidationError, ValueError) as error:
            raise StoreError(_damaged(path, error)) from error
        self._looked = -1.0
        self._said: tuple[str, int | None] | None = None

    @classmethod
    def create(cls, path: Path, session: Session, first: Trial) -> Store:
        """Make a new session in folder `path`, with its first trial, whole or not at all.

        Raises StoreError if there is one, or where it cannot be written.
        """
        return cls._make(path, session, (first,))

    @classmethod
    def bring_back(
        cls,
        path: Path,
        session: Session,
        trials: Sequence[Trial],
        decisions: Sequence[Decision],
        latencies: Sequence[Latency] = (),
        deliveries: Sequence[Delivery] = (),
    ) -> Store:
        """Make a session in folder `path` with a past of its own, whole or not at all.

        What waits in it waits until a person wants an engine: it counts as stopped.  What ran is
        nowhere at work, and waits too, or ended as it was asked to.  Raises StoreError as `create`.
        """
        waits = session.autopilot is not None or any(t.state in OPEN_STATES for t in trials)
        stopped = IMPORTED if waits else ""
        return cls._make(path, session, trials, decisions, latencies, deliveries, stopped)

    @classmethod
    def _make(
        cls,
        path: Path,
        session: Session,
        trials: Sequence[Trial],
        decisions: Sequence[Decision] = (),
        latencies: Sequence[Latency] = (),
        deliveries: Sequence[Delivery] = (),
        stopped: str = "",
    ) -> Store:
        check_name(path.name)
        refuse_network(path)
        if path.exists():
            raise Misuse(
                f"session {path.name!r}: exists already. Choose another name, or delete it first."
                if (path / "session.db").is_file()
                else f"{path}: a folder without a session is in the way. Remove it."
            )
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as place:
                draft = Path(place) / path.name
                draft.mkdir(mode=0o700)
                past = trials, decisions, latencies, deliveries
                _write_all(draft / "session.db", session, *past, stopped)
                draft.rename(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path}: cannot be made ({error}).") from error
        return cls(path)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._closed = True
            self._db.close()
            if self._copy is not None:
                self._copy.cleanup()

    def _must_be_open(self) -> None:
        if self._closed:
            raise Closed(f"session {self.folder.name!r}: was closed meanwhile.")

    def _reachable(self, file: Path) -> Path:
        """The file where it can be read, though nothing can be written beside it.

        A write-ahead log is read by an index that SQLite keeps in a third file.  Where that is
        missing and cannot be made, as in a copy on a medium that is read-only, it is made
        elsewhere, in a copy: nobody writes to the session meanwhile.
        """
        log, index = (file.with_name(f"{file.name}{end}") for end in ("-wal", "-shm"))
        if not log.exists() or index.exists():
            return file
        self._copy = tempfile.TemporaryDirectory(prefix="lcsearch-")
        place = Path(self._copy.name)
        try:
            for one in (file, log):
                shutil.copyfile(one, place / one.name)
        except OSError as error:
            raise StoreError(
                f"session {self.folder.name!r}: its write-ahead log cannot be read where it is, "
                f"nor copied to {place} ({error}). Copy the session to a folder of your own."
            ) from error
        return place / file.name

    def _check(self, file: Path) -> None:
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise ValueError("it is not a session of lcsearch")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{file}: written by a newer lcsearch (schema {version}, this one reads "
                f"{SCHEMA_VERSION}). Upgrade lcsearch."
            )
        verdict = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise ValueError(verdict)

    def _migrate(self, file: Path) -> None:
        """Bring an older file up to date while no engine works on it; its copy stays beside it."""
        name = self.folder.name
        try:
            # whoever opens it at the same moment waits here, and finds it done
            with self.engine_lock().acquire(timeout=MIGRATE_SECONDS, poll_interval=0.05):
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if not outdated(self._db):
                    return
                if sqlite3.sqlite_version_info < OLDEST_SQLITE:
                    raise StoreError(
                        f"session {name!r}: cannot be brought up to date with SQLite "
                        f"{sqlite3.sqlite_version}; needed is {'.'.join(map(str, OLDEST_SQLITE))} "
                        "or newer, as Python comes with it. The session is as it was."
                    )
                back_up(self._db, file.with_name(f"session.v{version}.db"))
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    add_columns(self._db)
                    gather_costs(self._db)
                    add_tables(self._db)
                    if version < 7:
                        name_measures(self._db)
                    # the lock is held, and by no engine: who looks must not take us for one
                    self._db.execute("UPDATE engine SET state = 'none' WHERE state != 'stopped'")
                    self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
        except filelock.Timeout as error:
            raise StoreError(
                f"session {name!r}: an engine of an older lcsearch works on it. Let it finish, or "
                f"end it with `lcsearch engine stop {name}`, then open the session again."
            ) from error
        except OSError as error:
            raise NoRoom(
                f"session {name!r}: cannot be brought up to date ({error}). Make room; it is as "
                "it was."
            ) from error

    def in_place(self) -> bool:
        """Whether the session is where it was: else it was deleted, and what is written goes to
        the trash with it, though another of its name may have been made since.
        """
        return _identity(self.folder / "session.db") == self._identity

    # -- reading --------------------------------------------------------------------------------

    def refresh(self) -> Snapshot:
        """What the session holds now; the same object as before if nothing changed."""
        with self._guard:
            self._must_be_open()
            try:
                self._snapshot = self._read_again(self._snapshot)
            except sqlite3.OperationalError as error:
                raise _refused(self.folder, error) from error
            except (sqlite3.DatabaseError, ValidationError) as error:
                raise StoreError(_damaged(self.folder, error)) from error
            moment = time.monotonic()
            said = self._snapshot.engine.state, self._snapshot.engine.pid
            if said != self._said or moment - self._looked > LOCK_LOOK_SECONDS:
                self._said = said
                self._looked = moment
                alive = self.engine_alive()
                trouble = self._note()[1] if alive else ""
                engine = replace(self._snapshot.engine, alive=alive, trouble=trouble)
                if engine != self._snapshot.engine:
                    self._snapshot = replace(self._snapshot, engine=engine)
            return self._snapshot

    def _read_again(self, before: Snapshot) -> Snapshot:
        """`_read`, where somebody else may have brought the file up to date since."""
        try:
            return self._read(before)
        except sqlite3.OperationalError:
            columns = self._columns()
            if columns == self._selected:
                raise
            self._selected = columns
            return self._read(before)

    def _columns(self) -> dict[str, tuple[str, ...]]:
        columns = {table: readable_columns(self._db, table, names) for table, _, names in COLUMNS}
        later = ("latencies", "deliveries")
        return columns | {table: present_columns(self._db, table, ("body",)) for table in later}

    def _read(self, before: Snapshot | None) -> Snapshot:
        db = self._db
        db.execute("BEGIN")
        try:
            change = db.execute("SELECT change FROM clock").fetchone()[0]
            if before is not None and change == before.change:
                return before
            # by the index on `change` alone: an ORDER BY would have SQLite walk the whole table
            since = -1 if before is None else before.change
            new = "" if before is None else f"WHERE change > {int(since)}"
            body = db.execute("SELECT body FROM session WHERE change > ?", (since,)).fetchone()
            engine = db.execute("SELECT state, pid, message FROM engine").fetchone()
            of_trials, of_epochs = self._selected["trials"], self._selected["epochs"]
            rows = db.execute(f"SELECT {', '.join(of_trials)} FROM trials {new}").fetchall()
            epochs = db.execute(
                f"SELECT trial, {', '.join(of_epochs)} FROM epochs {new}"
            ).fetchall()
            decided = db.execute(f"SELECT number, body FROM decisions {new}").fetchall()
            timed, delivered = [], []
            if self._selected["latencies"]:  # what another has not brought up to date has none
                timed = db.execute("SELECT body FROM latencies" + f" {new}" * bool(new)).fetchall()
            if self._selected["deliveries"]:
                delivered = db.execute(f"SELECT number, body FROM deliveries {new}").fetchall()
        finally:
            db.execute("COMMIT")
        if body is None:
            if before is None:
                raise ValueError("its session record is missing")
            session = before.session
        else:
            session = Session.model_validate_json(body[0])
        rows.sort(key=itemgetter(0))
        epochs.sort(key=itemgetter(0, 1))
        decided.sort(key=itemgetter(0))
        # all at once: one by one, a hundred thousand epochs take a second
        records = _EPOCHS.validate_python(
            [dict(zip(of_epochs, row[1:], strict=True)) for row in epochs]
        )
        news: dict[int, list[Epoch]] = {}
        for row, record in zip(epochs, records, strict=True):
            news.setdefault(row[0], []).append(record)
        trials = [] if before is None else list(before.trials)
        read = self._complete(session)
        for (told,) in timed:
            latency = Latency.model_validate_json(told)
            self._latencies[latency.key, latency.runtime, latency.machine] = latency
        latencies = {} if before is None else before.latencies
        if timed or body is not None:
            latencies = comparable(self._latencies.values(), session.runtime)
            # what completes trials follows from these and from the session's settings
            trials = [read.trial(trial, latencies) for trial in trials]
        for row in rows:
            if row[0] < len(trials):
                trial = _trial(of_trials, row, trials[row[0]].epochs)
                trials[row[0]] = read.trial(trial, latencies)
            else:
                trial = _trial(of_trials, row, tuple(news.pop(row[0], ())))
                trials.append(read.trial(trial, latencies))
        for number, added in news.items():
            merged = {epoch.epoch: epoch for epoch in (*trials[number].epochs, *added)}
            ordered = tuple(merged[key] for key in sorted(merged))
            trials[number] = trials[number].model_copy(update={"epochs": ordered})
        deliveries = {} if before is None else {one.number: one for one in before.deliveries}
        for number, told in delivered:
            deliveries[number] = Delivery.model_validate_json(told)
        # appended rows only ever follow; a decision's row is never written again
        decisions = () if before is None else before.decisions
        return Snapshot(
            change=change,
            session=session,
            trials=tuple(trials),
            decisions=decisions + tuple(_decision(body, read) for _, body in decided),
            engine=EngineStatus(
                alive=before is not None and before.engine.alive,
                state=engine[0],
                pid=engine[1],
                message=engine[2],
                trouble="" if before is None else before.engine.trouble,
            ),
            read_only=self.read_only,
            latencies=latencies,
            deliveries=tuple(deliveries[number] for number in sorted(deliveries)),
        )

    def engine_lock(self) -> filelock.FileLock:
        """The lock that one engine holds as long as it lives."""
        return filelock.FileLock(self.folder / "engine.lock", mode=0o600)

    def engine_alive(self) -> bool:
        """Whether an engine holds the lock; nothing else tells."""
        # a shared lock: many may look at once, and none takes another for an engine
        try:
            handle = os.open(self.folder / "engine.lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def engine_pid(self) -> int | None:
        """The process that holds the engine's lock, as it wrote beside it; None if none lives."""
        return self._note()[0] if self.engine_alive() else None

    def note(self, pid: int, trouble: str = "") -> None:
        """Let the engine say what the session's file cannot take: that there is no room.

        The file has one size for ever and is written in place, which a full disk allows.
        """
        text = json.dumps({"pid": pid, "trouble": trouble})
        if len(text) > NOTE_BYTES:
            text = json.dumps({"pid": pid, "trouble": trouble[: NOTE_BYTES // 12]})
        try:
            handle = os.open(self.folder / "engine.note", os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(handle, text.ljust(NOTE_BYTES).encode("ascii"), 0)
            finally:
                os.close(handle)
        except OSError as error:
            raise NoRoom(f"{self.folder}: cannot be written ({error}). Make room.") from error

    def _note(self) -> tuple[int | None, str]:
        try:
            given = json.loads((self.folder / "engine.note").read_bytes())
            return int(given["pid"]), str(given["trouble"])
        except (OSError, ValueError, KeyError, TypeError):
            # none yet, or in the middle of being written: it is looked at again in a moment
            return None, ""

    # -- writing --------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """One immediate transaction: the connection, and the number of this change."""
        if self.read_only:
            raise StoreError(f"{self.folder}: read-only, nothing can be decided here.")
        with self._guard:
            self._must_be_open()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    self._db.execute("UPDATE clock SET change = change + 1")
                    change = self._db.execute("SELECT change FROM clock").fetchone()[0]
                    yield self._db, change
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise _refused(self.folder, error) from error

    def apply(self, plan: Plan) -> Decision:
        """Write a decision and all that follows from it, or nothing.

        Raises Late if what it assumes holds no more, StoreError if it cannot be written.
        """
        if len(plan.decision.reason) > MOST_CHARACTERS:
            raise Misuse(
                f"a reason of {len(plan.decision.reason):,} characters: too long. Use at most "
                f"{MOST_CHARACTERS:,}."
            )
        with self._write() as (db, change):
            session = _expected(db, plan.expect)
            count = db.execute("SELECT coalesce(max(number), 0) + 1 FROM decisions").fetchone()[0]
            if plan.unique is not None:
                same = db.execute(
                    "SELECT number, state FROM trials WHERE key = ? AND state NOT IN"
                    " ('cancelled', 'stopped', 'failed') ORDER BY number",
                    (plan.unique,),
                ).fetchone()
                if same:
                    raise Known(
                        f"trial {same[0]} is this very network ({same[1]}). "
                        f"Repeat trial {same[0]} to train it again with another seed."
                    )
            for update in plan.updates:
                self._update(db, change, update)
            if plan.last is not None and count != plan.last + 1:
                raise Late("something else was decided meanwhile. Look again, then decide.")
            number = plan.decision.trial
            if plan.trial is not None:
                number = db.execute("SELECT coalesce(max(number), -1) + 1 FROM trials").fetchone()[
                    0
                ]
                again = 0
                if plan.trial.repeat_of is not None:
                    # counted here, so that two repeats at once have a seed each
                    again = db.execute(
                        "SELECT count(*) FROM trials WHERE key = ?", (plan.trial.key,)
                    ).fetchone()[0]
                numbered = {"number": number, "seed": plan.trial.seed + again}
                _insert(db, change, plan.trial.model_copy(update=numbered))
            if plan.session:
                _store_session(db, change, session.model_copy(update=dict(plan.session)))
            decision = plan.decision.model_copy(update={"number": count, "trial": number})
            db.execute(
                "INSERT INTO decisions VALUES (?, ?, ?)",
                (count, decision.model_dump_json(), change),
            )
            return decision

    def update_trial(self, number: int, states: set[str], **fields: Any) -> None:
        """Set fields of a trial that is in one of `states`.  Raises Late if it is not."""
        with self._write() as (db, change):
            self._update(db, change, TrialUpdate(number, frozenset(states), fields))

    def add_epoch(self, number: int, attempt: int, epoch: Epoch) -> bool:
        """Store a finished epoch of a running trial; False if that attempt is not running."""
        with self._write() as (db, change):
            row = db.execute(
                "SELECT 1 FROM trials WHERE number = ? AND attempt = ? AND state = 'running'",
                (number, attempt),
            ).fetchone()
            if row:
                _insert_epoch(db, change, number, epoch)
            return row is not None

    def set_session(self, expect: Mapping[str, Any], **fields: Any) -> None:
        """Set fields of the session.  Raises Late unless it still has the values expected."""
        with self._write() as (db, change):
            _store_session(db, change, _expected(db, expect).model_copy(update=fields))

    def add_latencies(self, latencies: Sequence[Latency]) -> None:
        """Keep what was timed; a network that was timed before as well counts as it was now."""
        with self._write() as (db, change):
            for latency in latencies:
                _insert_latency(db, change, latency)

    def add_delivery(self, delivery: Delivery) -> Delivery:
        """Queue a final training; it is given its number here."""
        with self._write() as (db, change):
            last = db.execute("SELECT coalesce(max(number), 0) FROM deliveries").fetchone()[0]
            numbered = delivery.model_copy(update={"number": last + 1})
            _put_delivery(db, change, numbered)
            return numbered

    def update_delivery(self, number: int, states: set[str], **fields: Any) -> None:
        """Set fields of a final training that is in one of `states`.  Raises Late if it is not."""
        with self._write() as (db, change):
            row = db.execute("SELECT body FROM deliveries WHERE number = ?", (number,)).fetchone()
            if row is None:
                raise Late(f"final training {number}: there is no such one in this session.")
            before = Delivery.model_validate_json(row[0])
            if before.state not in states:
                raise Late(f"final training {number} {SAID[before.state]} already.")
            _put_delivery(db, change, before.model_copy(update=fields))

    def say(self, message: str) -> None:
        """Let the engine say something to whoever looks."""
        with self._write() as (db, change):
            db.execute("UPDATE engine SET message = ?, change = ?", (message, change))

    def put_back(self, number: int) -> None:
        """Let a trial whose trainer is gone wait, or end as it was asked to."""
        with self._write() as (db, change):
            _interrupt(db, change, number)

    def put_back_delivery(self, number: int) -> None:
        """The same of a final training."""
        with self._write() as (db, change):
            _interrupt_deliveries(db, change, number)

    def serve(self, pid: int) -> bool:
        """Say that an engine serves; what an engine before it left running goes back to wait.

        False where somebody has stopped the engine meanwhile.
        """
        with self._write() as (db, change):
            _interrupt(db, change)
            return bool(
                db.execute(
                    "UPDATE engine SET state = 'serving', pid = ?, message = '', change = ?"
                    " WHERE state != 'stopped'",
                    (pid, change),
                ).rowcount
            )

    def call_engine(self) -> None:
        """Say that an engine is wanted again, should somebody have stopped it."""
        with self._write() as (db, change):
            db.execute(
                "UPDATE engine SET state = 'none', change = ? WHERE state = 'stopped'", (change,)
            )

    def stop_engine(self) -> bool:
        """Ask the engine to go; whether one was there to be asked.  None comes back unasked.

        What one that was killed left running goes back to wait.
        """
        alive = self.engine_alive()
        with self._write() as (db, change):
            if not alive:
                _interrupt(db, change)
            db.execute(
                "UPDATE engine SET state = ?, message = CASE WHEN ? THEN message ELSE '' END,"
                " change = ?",
                ("stopping" if alive else "stopped", alive, change),
            )
        return alive

    def leave(self, message: str = "", *, only_if_idle: bool, failed: bool = False) -> bool:
        """Say that the engine goes; with `only_if_idle` not while anything waits, in one look.

        message: why, where nobody asked it to.  failed: not in order.
        """
        with self._write() as (db, change):
            if only_if_idle:
                waiting = db.execute(
                    "SELECT 1 FROM trials WHERE state IN ('queued', 'running', 'interrupted')"
                ).fetchone() or any(one.pending for one in _deliveries(db))
                if waiting or _session(db).autopilot is not None:
                    return False
            _interrupt(db, change)
            db.execute(
                "UPDATE engine SET state = CASE WHEN state IN ('stopping', 'stopped')"
                " THEN 'stopped' ELSE ? END, message = ?, change = ?",
                ("failed" if failed else "leaving", message, change),
            )
            return True

    def _update(self, db: sqlite3.Connection, change: int, update: TrialUpdate) -> None:
        fields = {name: as_column(value) for name, value in update.fields.items()}
        names_of = ", ".join(f"{name} = ?" for name in fields)
        marks = ", ".join("?" for _ in update.states)
        asked = ""
        if "stop_request" in update.fields and update.fields["stop_request"] is not None:
            asked = " AND stop_request IS ?"
            marked: tuple[Any, ...] = (update.stop_request,)
        else:
            marked = ()
        cursor = db.execute(
            f"UPDATE trials SET {names_of}, change = ? WHERE number = ?"
            f" AND state IN ({marks}){asked}",
            (*fields.values(), change, update.number, *sorted(update.states), *marked),
        )
        if cursor.rowcount == 0:
            row = db.execute(
                "SELECT state, stop_request FROM trials WHERE number = ?", (update.number,)
            ).fetchone()
            if row is None:
                raise Late(f"trial {update.number}: there is no such trial in this session.")
            said = _ASKED[row[1]] if row[0] in update.states else SAID[row[0]]
            raise Late(f"trial {update.number} {said} already.")


SAID = {
    "queued": "is queued",
    "running": "is running",
    "paused": "is paused",
    "interrupted": "waits to go on",
    "done": "is done",
    "failed": "has failed",
    "stopped": "has been stopped",
    "cancelled": "has been withdrawn",
}
_ASKED = {
    None: "goes on",
    "epoch": "is asked to stop after its epoch",
    "now": "is asked to stop",
    "pause": "is asked to pause",
}


def _identity(file: Path) -> tuple[int, int] | None:
    """What tells a file from any other, wherever it is moved; None where there is none."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _connect(file: Path, *, read_only: bool) -> sqlite3.Connection:
    query = "?mode=rw"
    if read_only:
        # without a write-ahead log there is nothing to share, and no place to share it in
        query = "?mode=ro" if file.with_name(file.name + "-wal").exists() else "?immutable=1"
    db = sqlite3.connect(
        f"{file.resolve().as_uri()}{query}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    if not read_only:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _interrupt(db: sqlite3.Connection, change: int, number: int | None = None) -> None:
    """What ran goes back to wait, or ends as somebody had asked: nobody is left to do it later."""
    db.execute(
        "UPDATE trials SET"
        " state = CASE stop_request WHEN 'pause' THEN 'paused' WHEN 'epoch' THEN 'stopped'"
        " WHEN 'now' THEN 'stopped' ELSE 'interrupted' END,"
        " ended = CASE WHEN stop_request IS NULL THEN NULL ELSE ? END,"
        " stop_request = NULL, change = ?"
        " WHERE state = 'running' AND (? IS NULL OR number = ?)",
        (now().isoformat(), change, number, number),
    )
    if number is None:
        _interrupt_deliveries(db, change)


def _interrupt_deliveries(db: sqlite3.Connection, change: int, number: int | None = None) -> None:
    """The same of final trainings."""
    for delivery in _deliveries(db):
        if delivery.state != "running" or number not in (None, delivery.number):
            continue
        asked = delivery.stop_request
        state = "interrupted" if asked is None else "paused" if asked == "pause" else "stopped"
        ended = now() if state == "stopped" else None
        update = {"state": state, "ended": ended, "stop_request": None, "seconds_left": None}
        _put_delivery(db, change, delivery.model_copy(update=update))


def _deliveries(db: sqlite3.Connection) -> list[Delivery]:
    rows = db.execute("SELECT body FROM deliveries ORDER BY number").fetchall()
    return [Delivery.model_validate_json(body) for (body,) in rows]


def _put_delivery(db: sqlite3.Connection, change: int, delivery: Delivery) -> None:
    values = delivery.number, delivery.model_dump_json(), change
    db.execute("INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?)", values)


def _expected(db: sqlite3.Connection, expect: Mapping[str, Any]) -> Session:
    """The session, if its fields have these values still.  Raises Late."""
    session = _session(db)
    for name, value in expect.items():
        if getattr(session, name) != value:
            raise Late(
                f"{name} of the session has changed meanwhile: it is {getattr(session, name)}. "
                "Look again, then decide."
            )
    return session


def _write_all(
    file: Path,
    session: Session,
    trials: Sequence[Trial],
    decisions: Sequence[Decision],
    latencies: Sequence[Latency],
    deliveries: Sequence[Delivery],
    stopped: str,
) -> None:
    """A new file with a session and its past, in one transaction.

    stopped: why no engine is wanted.
    """
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = _connect(file, read_only=False)
    try:
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        add_columns(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("INSERT INTO clock VALUES (1, 1)")
        db.execute(
            "INSERT INTO engine VALUES (1, ?, NULL, ?, 1)",
            ("stopped" if stopped else "none", stopped),
        )
        db.execute("INSERT INTO session VALUES (1, ?, 1)", (session.model_dump_json(),))
        for trial in trials:
            _insert(db, 1, trial)
            for epoch in trial.epochs:
                _insert_epoch(db, 1, trial.number, epoch)
        for decision in decisions:
            body = decision.model_dump_json()
            db.execute("INSERT INTO decisions VALUES (?, ?, 1)", (decision.number, body))
        for latency in latencies:
            _insert_latency(db, 1, latency)
        for delivery in deliveries:
            _put_delivery(db, 1, delivery)
        _interrupt(db, 1)
        db.execute("COMMIT")
    finally:
        db.close()


def _session(db: sqlite3.Connection) -> Session:
    return Session.model_validate_json(db.execute("SELECT body FROM session").fetchone()[0])


def _store_session(db: sqlite3.Connection, change: int, session: Session) -> None:
    db.execute("UPDATE session SET body = ?, change = ?", (session.model_dump_json(), change))


def _insert(db: sqlite3.Connection, change: int, trial: Trial) -> None:
    values = [as_column(getattr(trial, name)) for name in TRIAL_COLUMNS]
    marks = ", ".join("?" for _ in (*values, change))
    db.execute(
        f"INSERT INTO trials ({', '.join(TRIAL_COLUMNS)}, change) VALUES ({marks})",
        (*values, change),
    )


def _insert_epoch(db: sqlite3.Connection, change: int, number: int, epoch: Epoch) -> None:
    values = [getattr(epoch, name) for name in EPOCH_COLUMNS]
    marks = ", ".join("?" for _ in (number, *values, change))
    db.execute(
        f"INSERT OR REPLACE INTO epochs (trial, {', '.join(EPOCH_COLUMNS)}, change)"
        f" VALUES ({marks})",
        (number, *values, change),
    )


def _insert_latency(db: sqlite3.Connection, change: int, latency: Latency) -> None:
    values = latency.key, latency.runtime, latency.machine, latency.model_dump_json(), change
    db.execute("INSERT OR REPLACE INTO latencies VALUES (?, ?, ?, ?, ?)", values)


def _decision(body: str, read: Reader) -> Decision:
    decision = Decision.model_validate_json(body)
    if decision.config is None:
        return decision
    config = read.config(decision.config)
    return decision if config is decision.config else decision.model_copy(update={"config": config})


def _trial(
    names: tuple[str, ...],
    row: tuple[Any, ...],
    epochs: tuple[Epoch, ...],
) -> Trial:
    values = costs_gathered(dict(zip(names, row, strict=True)))
    for name in JSON_COLUMNS:
        if isinstance(values.get(name), str):
            values[name] = json.loads(values[name])
    return Trial.model_validate({**values, "epochs": epochs})


def _damaged(path: Path, error: Exception) -> str:
    if isinstance(error, ValidationError) and all(
        fault["type"] in ("extra_forbidden", "literal_error") for fault in error.errors()
    ):
        fault = error.errors()[0]
        return (
            f"session {path.name!r}: written by a newer lcsearch (this one does not know "
            f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}). Upgrade lcsearch."
        )
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, ValidationError):
        first = in_words(error).rstrip(".")
    return (
        f"session {path.name!r}: {path / 'session.db'} is damaged ({first}). "
        "Restore it from a backup, or delete the session."
    )


def _refused(path: Path, error: sqlite3.OperationalError) -> StoreError:
    """What SQLite could not do, in words.  It tells a limit on files from a full disk."""
    code = error.sqlite_errorcode
    if code == sqlite3.SQLITE_ERROR:  # a table or a column is missing
        return StoreError(_damaged(path, error))
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return NoRoom(f"session {path.name!r}: the disk is full. Make room; nothing was lost.")
    if code in (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE):
        return NoRoom(
            f"session {path.name!r}: the disk does not take more ({error}): it is full, or a "
            "quota or a limit on the size of files is reached (`ulimit -f`). Make room; nothing "
            "was lost."
        )
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"session {path.name!r}: its file is busy for over {BUSY_SECONDS:.0f} s. Try again."
        )
    return StoreError(f"session {path.name!r}: cannot be read or written ({error}).")
