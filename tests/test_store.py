"""What a session's file promises: whole decisions, late ones refused, what is new at once."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions import places
from lcsearch.sessions import store as store_file
from lcsearch.sessions.errors import Deleted, Late, StoreError
from lcsearch.sessions.places import delete, names, restore
from lcsearch.sessions.records import Epoch
from lcsearch.sessions.snapshot import Plan, TrialUpdate
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app
from lcsearch.tui.ports import Sessions

from .sessions_for_tests import filled_store, finish, make_session, make_store, trial_of


def epoch(number: int) -> Epoch:
    return Epoch(epoch=number, train_loss=1.0, val_accuracy=0.5, seconds=0.1)


def test_what_was_written_is_read_back_by_another(home: Path) -> None:
    store = filled_store(home, 3)
    other = Store(store.folder)
    assert other.refresh() == store.refresh()
    assert [t.number for t in other.refresh().trials] == [0, 1, 2, 3]
    assert len(other.refresh().trials[2].epochs) == 3


def test_a_reader_gets_the_same_object_until_something_changes(home: Path) -> None:
    store = make_store(home)
    other = Store(store.folder)
    before = other.refresh()
    assert other.refresh() is before
    store.update_trial(0, {"queued"}, state="running", attempt=1)
    store.add_epoch(0, 1, epoch(1))
    after = other.refresh()
    assert after.change > before.change
    assert after.session is before.session
    assert [e.epoch for e in after.trials[0].epochs] == [1]
    store.add_epoch(0, 1, epoch(2))
    assert [e.epoch for e in other.refresh().trials[0].epochs] == [1, 2]


def test_a_late_change_is_refused_in_words_and_writes_nothing(home: Path) -> None:
    store = filled_store(home, 1)
    before = store.refresh()
    plan = Plan(
        decision=decide.set_wc(before, 1.0).decision,
        updates=(TrialUpdate(1, frozenset({"queued"}), {"state": "cancelled"}),),
        session={"wc": 1.0},
    )
    with pytest.raises(Late, match="trial 1 is done already"):
        store.apply(plan)
    assert store.refresh() is before


def test_epochs_of_an_earlier_attempt_are_dropped(home: Path) -> None:
    store = make_store(home)
    store.update_trial(0, {"queued"}, state="running", attempt=2)
    assert not store.add_epoch(0, 1, epoch(1))
    assert store.refresh().trials[0].epochs == ()


def test_the_same_network_cannot_be_queued_twice(home: Path) -> None:
    store = filled_store(home, 1)
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    with pytest.raises(Late, match="trial 1 is this very network"):
        store.apply(decide.accept(snapshot, space, snapshot.trials[1].config, None))
    again = store.apply(decide.repeat(snapshot, space, 1))
    trial = store.refresh().trials[trial_of(again)]
    assert trial.key == snapshot.trials[1].key
    assert trial.seed != snapshot.trials[1].seed


def test_many_who_decide_at_once_lose_nothing_and_do_nothing_twice(home: Path) -> None:
    store = filled_store(home, 1)
    folder, each = store.folder, 25
    failures: list[StoreError] = []

    def many(who: int) -> None:
        mine = Store(folder)
        try:
            for number in range(each):
                # another weight than all others: what is so already is no decision
                mine.apply(decide.set_wc(mine.refresh(), (4 * number + who + 1) / 100))
        except StoreError as error:
            failures.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=many, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    numbers = [d.number for d in store.refresh().decisions]
    assert numbers == list(range(1, 4 * each + 2))


def test_who_comes_first_wins(home: Path) -> None:
    store = filled_store(home, 1)
    space = session_space(store.refresh().session)
    snapshot = store.refresh()
    decision = store.apply(decide.repeat(snapshot, space, 1))
    seen = store.refresh()
    store.apply(decide.stop(seen, trial_of(decision), "now"))
    with pytest.raises(Late, match="has been withdrawn already"):
        store.apply(decide.undo(seen))


def test_an_engine_that_starts_puts_back_what_ran(home: Path) -> None:
    store = make_store(home)
    store.update_trial(0, {"queued"}, state="running", attempt=1)
    store.serve(1234)
    snapshot = store.refresh()
    assert snapshot.trials[0].state == "interrupted"
    assert snapshot.engine.state == "serving"
    assert not snapshot.engine.alive


def test_an_engine_leaves_only_when_nothing_waits(home: Path) -> None:
    store = make_store(home)
    store.serve(1)
    assert not store.leave(only_if_idle=True)
    finish(store, 0)
    assert store.leave(only_if_idle=True)
    assert store.refresh().engine.state == "leaving"


def test_the_lock_alone_says_whether_an_engine_lives(home: Path) -> None:
    store = make_store(home)
    assert not store.engine_alive()
    lock = store.engine_lock()
    with lock:
        assert Store(store.folder).engine_alive()
    assert not store.engine_alive()


def test_sessions_and_logs_are_readable_by_their_owner_only(home: Path) -> None:
    store = filled_store(home, 1)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    for path in store.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("name", ["a/b", "..", "a..b", "", ".hidden", "x" * 65, "a b", "../x"])
def test_a_name_that_leads_elsewhere_is_refused(home: Path, name: str) -> None:
    with pytest.raises(StoreError, match="not usable"):
        places.folder(home, name)


def test_unknown_existing_and_deleted_sessions(home: Path) -> None:
    with pytest.raises(StoreError, match="not found"):
        places.folder(home, "nothing")
    store = make_store(home)
    with pytest.raises(StoreError, match="exists already"):
        Store.create(store.folder, make_session(), store.refresh().trials[0])
    store.close()
    place = delete(home, "demo")
    assert names(home) == []
    make_store(home).close()
    with pytest.raises(StoreError, match="exists again"):
        restore(home, place)
    delete(home, "demo")
    assert restore(home, place) == "demo"
    assert Store(home / "sessions" / "demo").refresh().session.name == "demo"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f.write_bytes(b"this is no database" * 100),
        lambda f: f.write_bytes(f.read_bytes()[:2000]),
        lambda f: f.write_bytes(b""),
        lambda f: sqlite3.connect(f).executescript("DELETE FROM session"),
        lambda f: sqlite3.connect(f).executescript("UPDATE session SET body = '{\"name\": 3}'"),
        lambda f: sqlite3.connect(f).executescript("PRAGMA application_id = 1"),
    ],
)
def test_a_damaged_file_is_said_to_be_one(home: Path, spoil: Callable[[Path], object]) -> None:
    store = make_store(home)
    store.close()
    for extra in ("-wal", "-shm"):
        (store.folder / f"session.db{extra}").unlink(missing_ok=True)
    spoil(store.folder / "session.db")
    with pytest.raises(StoreError, match="damaged"):
        Store(store.folder)


def test_a_file_of_a_newer_version_is_refused(home: Path) -> None:
    store = make_store(home)
    store.close()
    sqlite3.connect(store.folder / "session.db").execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer lcsearch"):
        Store(store.folder)


def test_a_read_only_folder_opens_to_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled_store(home, 1)
    store.close()
    # root may write everywhere, whatever the mode says: the answer is what counts
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    reader = Store(store.folder)
    assert len(reader.refresh().trials) == 2
    with pytest.raises(StoreError, match="read-only"):
        reader.apply(decide.set_wc(reader.refresh(), 1.0))


READ_ONLY = """
import json, os, subprocess, sys
from pathlib import Path
from lcsearch.engine.search import decide
from lcsearch.engine.client.session import SessionClient
from lcsearch.sessions.store import StoreError
home = Path(sys.argv[1])
subprocess.run(["mount", "--bind", home, home], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
found = {}
for name in ("closed", "left", "copied"):
    client = SessionClient(home / "sessions" / name)
    snapshot = client.refresh()
    said = []
    for act in (lambda: client.set_wc(1.0), client.start_engine, client.become_engine):
        try:
            act()
        except StoreError as error:
            said.append(str(error))
    client.close()
    found[name] = snapshot.session.wc, len(snapshot.trials), snapshot.read_only, said
print(json.dumps(found))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="only root can mount a file system that is read-only",
)
def test_a_session_on_a_medium_that_is_read_only_opens_whatever_was_left_there(home: Path) -> None:
    store = make_store(home, "closed")
    store.apply(decide.set_wc(store.refresh(), 0.7))
    store.close()
    store = make_store(home, "left")
    store.apply(decide.set_wc(store.refresh(), 0.7))
    # as a crash leaves it: what was decided last is in the log alone
    for name, extras in (("killed", ("-wal", "-shm")), ("copied", ("-wal",))):
        (home / "sessions" / name).mkdir()
        for extra in ("", *extras):
            file = f"session.db{extra}"
            shutil.copyfile(store.folder / file, home / "sessions" / name / file)
    store.close()
    shutil.rmtree(store.folder)
    (home / "sessions" / "killed").rename(store.folder)
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-P", "-c"]
    done = subprocess.run(
        [*command, READ_ONLY, str(home)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, (wc, trials, read_only, said) in json.loads(done.stdout).items():
        assert (wc, trials, read_only) == (0.7, 1, True), name
        assert "nothing can be decided here" in said[0]
        assert "no engine can work here" in said[1]
        assert said[1:] == [said[1]] * 2


def test_what_somebody_asked_of_a_running_trial_outlives_its_engine(home: Path) -> None:
    for request, state in [("now", "stopped"), ("epoch", "stopped"), ("pause", "paused")]:
        store = make_store(home, f"asked-{request}")
        store.update_trial(0, {"queued"}, state="running", attempt=1, stop_request=request)
        store.serve(1)
        assert store.refresh().trials[0].state == state
        assert store.refresh().trials[0].stop_request is None


def test_many_who_look_take_each_other_for_no_engine(home: Path) -> None:
    store = make_store(home)
    store.engine_lock().acquire()
    store.engine_lock().release(force=True)
    (store.folder / "engine.lock").touch()
    wrong: list[bool] = []

    def look() -> None:
        mine = Store(store.folder)
        wrong.extend(True for _ in range(500) if mine.engine_alive())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_session_is_made_whole_or_not_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(home)
    first, session = store.refresh().trials[0], make_session("other")
    monkeypatch.setattr(
        store_file, "_insert", lambda *a: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(StoreError, match="disk full"):
        Store.create(home / "sessions" / "other", session, first)
    assert [p.name for p in (home / "sessions").iterdir()] == ["demo"]
    monkeypatch.undo()
    Store.create(home / "sessions" / "other", session, first).close()
    assert names(home) == ["demo", "other"]


def test_two_repeats_at_once_have_a_seed_each(home: Path) -> None:
    store = filled_store(home, 1)
    seen = store.refresh()
    space = session_space(seen.session)
    for _ in range(2):
        store.apply(decide.repeat(seen, space, 1))
    seeds = [t.seed for t in store.refresh().trials[1:]]
    assert len(set(seeds)) == 3


def test_the_autopilot_is_switched_off_only_if_nobody_set_it_anew(home: Path) -> None:
    store = filled_store(home, 1)
    store.apply(decide.autopilot(store.refresh(), trials=1))
    old = store.refresh().session.autopilot
    store.apply(decide.autopilot(store.refresh(), trials=5))
    with pytest.raises(Late):
        store.set_session({"autopilot": old}, autopilot=None)
    pilot = store.refresh().session.autopilot
    assert pilot is not None
    assert pilot.trials == 5


def test_an_undo_planned_before_another_decision_is_refused(home: Path) -> None:
    store = filled_store(home, 1)
    store.apply(decide.set_wc(store.refresh(), 0.5))
    stale = decide.undo(store.refresh())
    store.apply(decide.set_wc(store.refresh(), 0.9))
    with pytest.raises(Late, match="something else was decided"):
        store.apply(stale)
    assert store.refresh().session.wc == 0.9


def test_the_console_and_the_commands_say_what_waits_in_a_session_that_is_back(home: Path) -> None:
    make_store(home).close()
    sessions = Sessions(home)
    token = sessions.delete("demo")
    assert sessions.trashed("demo") == token
    sessions.restore(token)
    waits = sessions.waits("demo")
    assert waits.startswith("Waiting: 1 queued. `lcsearch engine start demo`")
    delete(home, "demo")
    said = CliRunner().invoke(app, ["delete", "demo", "--undo"]).stderr
    assert said.strip() == f"session demo: back again. {waits}"
    with pytest.raises(StoreError, match="in the trash no more"):
        sessions.restore(token)


def test_a_session_that_was_deleted_is_told_from_one_that_cannot_be_read(home: Path) -> None:
    make_store(home).close()
    client = Sessions(home).open("demo")
    delete(home, "demo")
    with pytest.raises(Deleted, match="lcsearch delete demo --undo"):
        client.refresh()
    client.close()
