"""Files of other versions: older ones are brought up to date and kept, newer ones are refused."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import filelock
import pytest

from lcsearch.engine import search
from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import open_store, session_space
from lcsearch.sessions import store as store_file
from lcsearch.sessions.errors import NoRoom, StoreError
from lcsearch.sessions.schema import OLD_COSTS, SCHEMA_VERSION, old_costs
from lcsearch.sessions.store import Store

from .sessions_for_tests import filled_store, finish, make_store, trial_of

FIXTURES = Path(__file__).parent / "fixtures"
FIXTURE = FIXTURES / "session-v1.db"


COSTS = {
    old: (field, measure) for field, names in OLD_COSTS.items() for measure, old in names.items()
}


@pytest.fixture
def old(home: Path) -> Path:
    """The folder of a session as schema 1 wrote it."""
    folder = home / "sessions" / "old"
    folder.mkdir(parents=True, mode=0o700)
    shutil.copyfile(FIXTURE, folder / "session.db")
    (folder / "session.db").chmod(0o600)
    return folder


def raw(file: Path, query: str) -> list[dict[str, Any]]:
    """Rows of a file, as SQLite alone reads them, by the names of their columns."""
    db = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in db.execute(query)]
    finally:
        db.close()


def version(file: Path) -> int:
    return int(raw(file, "PRAGMA user_version")[0]["user_version"])


def test_every_version_but_the_present_one_has_a_file() -> None:
    there = {int(f.stem.removeprefix("session-v")) for f in FIXTURE.parent.glob("session-v*.db")}
    assert there == set(range(1, SCHEMA_VERSION))
    assert version(FIXTURE) == 1


def test_an_older_session_is_brought_up_to_date_with_all_that_it_held(old: Path) -> None:
    store = Store(old)
    snapshot = store.refresh()
    store.close()
    assert version(old / "session.db") == SCHEMA_VERSION
    trials = raw(FIXTURE, "SELECT * FROM trials ORDER BY number")
    assert len(trials) == 13
    for row, trial in zip(trials, snapshot.trials, strict=True):
        kept = trial.model_dump(mode="json")
        for name, value in row.items():
            if name in ("config", "prediction", "machine", "failure") and value is not None:
                value = json.loads(value)
            if name in ("created", "started", "ended") and value is not None:
                value = value.replace("+00:00", "Z")
            if isinstance(value, dict):  # a record may have got more fields since
                kept[name] = {key: kept[name][key] for key in value}
            if name in COSTS:
                field, measure = COSTS[name]
                assert kept[field].get(measure) == value, (trial.number, name)
            elif name != "change":
                assert kept[name] == value, (trial.number, name)
    epochs = raw(FIXTURE, "SELECT trial, epoch, val_accuracy FROM epochs ORDER BY trial, epoch")
    assert [(e["trial"], e["epoch"], e["val_accuracy"]) for e in epochs] == [
        (t.number, e.epoch, e.val_accuracy) for t in snapshot.trials for e in t.epochs
    ]
    bodies = [json.loads(r["body"]) for r in raw(FIXTURE, "SELECT body FROM decisions")]
    for body, decision in zip(bodies, snapshot.decisions, strict=True):
        kept = decision.model_dump(mode="json")
        for name, value in body.items():
            now = kept[name]
            if name == "prediction" and value is not None:  # it may have got more fields since
                now = {key: now[key] for key in value}
            assert now == value
    session = json.loads(raw(FIXTURE, "SELECT body FROM session")[0]["body"])
    kept = snapshot.session.model_dump(mode="json")
    assert kept["bases"] == session["bases"]
    assert kept["autopilot"]["levels"] == session["autopilot"]["levels"] == "all"
    assert not snapshot.engine.alive


def test_work_goes_on_in_a_session_that_was_brought_up_to_date(old: Path) -> None:
    store = Store(old)
    store.serve(1)  # what an engine does first: the trial that ran is put back
    seen = store.refresh()
    assert seen.trials[10].state == "interrupted"
    assert search.waiting(seen)[0].number == 10
    assert len(search.observations(seen)) == 8
    space = session_space(seen.session)
    decision = store.apply(decide.repeat(seen, space, 9))
    number = trial_of(decision)
    assert store.refresh().trials[number].repeat_of == 9
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    assert Store(old).refresh().trials == store.refresh().trials


@pytest.mark.parametrize("number", range(1, SCHEMA_VERSION))
def test_a_session_of_every_version_ranks_goes_on_and_comes_back(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)
    folder = home / "sessions" / "old"
    folder.mkdir(parents=True, mode=0o700)
    shutil.copyfile(FIXTURES / f"session-v{number}.db", folder / "session.db")
    client = SessionClient(folder)
    rows = {row["number"]: row for row in raw(FIXTURES / f"session-v{number}.db", TRIALS)}
    for trial in client.refresh().trials:
        row = rows[trial.number]
        kept = {field: json.loads(row[field]) for field in OLD_COSTS if field in row}
        gathered = {field: old_costs(row, field) for field in OLD_COSTS}
        for field, before in (kept or gathered).items():  # what a later version counts comes in
            now = getattr(trial, field)
            assert before == {name: now[name] for name in before}
        if number < 5:
            assert (trial.recalls, trial.confusion, trial.effective_images) == ((), b"", None)
        else:
            assert trial.recalls == tuple(json.loads(row["recalls"]))
            assert trial.confusion == row["confusion"] != b""
    assert client.refresh().session.metric == ("balanced" if number == 5 else "accuracy")
    ranking = client.rank(client.refresh())
    decision = client.accept(ranking.proposals[0])
    finish(client._store, trial_of(decision), 0.2, 1.0)
    client.export(tmp_path / "old.json")
    again = SessionClient(bring_back(home, tmp_path / "old.json", "again"))
    assert [t.costs for t in again.refresh().trials] == [t.costs for t in client.refresh().trials]
    for opened in (client, again):
        opened.close()


TRIALS = "SELECT * FROM trials"
FINALS = {"export-v8": 4, "export-v8-full": 1}
"""How many final trainings the exports of before have."""


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("export-v*.json")), ids=lambda f: f.stem)
def test_an_export_of_before_comes_in(home: Path, file: Path) -> None:
    given = json.loads(file.read_text())
    client = SessionClient(bring_back(home, file))
    trials = client.refresh().trials
    for kept, trial in zip(given["trials"], trials, strict=True):
        told = kept["params"], kept["macs"], kept["seconds_per_epoch"]
        assert told == tuple(trial.costs.get(name) for name in ("params", "macs", "seconds"))
        assert trial.complexity == kept["complexity"]
    assert client.rank(client.refresh()).proposals
    finals = client.refresh().deliveries
    assert len(finals) == len(given.get("finals", [])) == FINALS.get(file.stem, 0)
    for told, final in zip(given.get("finals", []), finals, strict=True):
        assert final.scores == tuple(told["scores"])
        assert final.state == ("stopped" if told["state"] == "paused" else told["state"])
    client.close()


def test_a_session_that_is_brought_up_to_date_elsewhere_is_read_on(old: Path) -> None:
    """Whoever looks does not bring it up to date, and finds its columns gone in the next moment."""
    looking = Store(old, migrate=False)
    before = looking.refresh().trials
    writing = Store(old)
    writing.set_session({}, stop_behind=True)
    after = looking.refresh()
    assert after.session.stop_behind
    assert after.trials == before
    for store in (looking, writing):
        store.close()


def test_an_old_sqlite_says_what_it_cannot(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 35, 0))
    with pytest.raises(StoreError, match=r"needed is 3\.35\.5"):
        Store(old)
    assert version(old / "session.db") == 1


@pytest.mark.parametrize("costs", ["[]", '{"params": null}', "no json"])
def test_damaged_costs_are_told_as_such(home: Path, costs: str) -> None:
    store = filled_store(home, 1)
    store.close()
    db = sqlite3.connect(store.folder / "session.db")
    db.execute("UPDATE trials SET costs = ? WHERE number = 1", (costs,))
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="is damaged"):
        open_store(store.folder)


def test_what_a_newer_program_searches_is_said_to_be_newer(home: Path) -> None:
    store = filled_store(home, 1)
    store.close()
    for name, value in (("measure", "watts"), ("task", "chess")):
        db = sqlite3.connect(store.folder / "session.db")
        db.execute(f"UPDATE session SET body = json_set(body, '$.{name}', '{value}')")
        db.commit()
        db.close()
        with pytest.raises(StoreError, match=f"'demo': written by a newer lcsearch.*{value}"):
            open_store(store.folder)


def test_the_old_file_stays_beside_it_readable_by_its_owner_only(old: Path) -> None:
    Store(old).close()
    copy = old / "session.v1.db"
    assert raw(copy, "SELECT * FROM trials") == raw(FIXTURE, "SELECT * FROM trials")
    assert raw(copy, "SELECT * FROM decisions") == raw(FIXTURE, "SELECT * FROM decisions")
    assert version(copy) == 1
    for file in old.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    # opening it again neither copies nor changes anything
    before = copy.stat().st_mtime_ns
    Store(old).close()
    assert copy.stat().st_mtime_ns == before


def test_a_migration_waits_for_no_engine_and_takes_the_session_from_none(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_file, "MIGRATE_SECONDS", 0.1)
    with (
        filelock.FileLock(old / "engine.lock"),
        pytest.raises(StoreError, match="engine of an older lcsearch works on it"),
    ):
        Store(old)
    assert version(old / "session.db") == 1
    assert not (old / "session.v1.db").exists()
    Store(old).close()
    assert version(old / "session.db") == SCHEMA_VERSION


def test_looking_changes_nothing(old: Path) -> None:
    store = Store(old, migrate=False)
    trials = store.refresh().trials
    assert len(trials) == 13
    assert all({"params", "macs"} <= trial.costs.keys() for trial in trials)
    assert trials[1].costs["seconds"] > 0
    assert trials[1].reference_costs["seconds"] > 0
    with pytest.raises(StoreError, match="read-only"):
        store.apply(decide.set_wc(store.refresh(), 1.0))
    store.close()
    assert version(old / "session.db") == 1
    assert not (old / "session.v1.db").exists()


def test_an_older_session_in_a_read_only_folder_opens_to_read(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write everywhere, whatever the mode says: the answer is what counts
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert len(Store(old).refresh().trials) == 13
    assert version(old / "session.db") == 1


def test_many_who_open_an_older_session_at_once_find_it_whole(old: Path) -> None:
    found: list[int] = []
    failures: list[StoreError] = []

    def look() -> None:
        try:
            found.append(len(Store(old).refresh().trials))
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert found == [13] * 6


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_file, "add_columns", fails)
    with pytest.raises(NoRoom, match="No space left"):
        Store(old)
    monkeypatch.undo()
    assert version(old / "session.db") == 1
    monkeypatch.setattr(os, "fsync", fails)
    (old / "session.v1.db").unlink()
    with pytest.raises(NoRoom, match="No space left"):
        Store(old)
    assert [f.name for f in old.iterdir() if f.name.startswith("session.v")] == []
    monkeypatch.undo()
    assert len(Store(old).refresh().trials) == 13


def test_killed_in_the_middle_of_a_migration_it_is_done_again(old: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from lcsearch.sessions import store\n"
        "full = store.add_columns\n"
        "def dies(db): full(db); os.kill(os.getpid(), 9)\n"
        "store.add_columns = dies; store.Store(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program, str(old)], check=False)
    assert done.returncode == -9
    assert version(old / "session.db") == 1
    assert len(Store(old).refresh().trials) == 13
    assert version(old / "session.db") == SCHEMA_VERSION


def test_a_column_that_a_record_has_and_the_file_lacks_is_added(home: Path) -> None:
    store = filled_store(home, 1)
    before = store.refresh().trials
    store.close()
    db = sqlite3.connect(store.folder / "session.db")
    db.execute("ALTER TABLE trials DROP COLUMN machine")
    db.commit()
    db.close()
    again = Store(store.folder).refresh().trials
    assert again == tuple(t.model_copy(update={"machine": None}) for t in before)


def test_what_a_newer_program_wrote_is_said_to_be_newer_not_damaged(home: Path) -> None:
    store = make_store(home)
    store.close()
    db = sqlite3.connect(store.folder / "session.db")
    db.execute("UPDATE session SET body = json_set(body, '$.weather', 'fair')")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match=r"written by a newer lcsearch.*weather.*Upgrade"):
        Store(store.folder)
