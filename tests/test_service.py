"""The engine as a real process: it trains, survives, and lets nothing be lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lcsearch.engine import search
from lcsearch.engine.client.home import create
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.protocol import Failed
from lcsearch.engine.service import Service
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.places import delete
from lcsearch.sessions.records import Config, DataSource, Failure, Setup, TrialState

from .conftest import PATIENCE, lcsearch, passed_on, standing_still, wait_for
from .sessions_for_tests import make_store, trial_of


@pytest.fixture
def client(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionClient]:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    folder = create(
        home, Setup("demo", DataSource(spec="digits", train_size=300), epochs=2, measure="macs")
    )
    client = SessionClient(folder)
    yield client
    if (folder / "session.db").exists() and (engine := client.refresh().engine).alive:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGTERM)
        wait_for(lambda: not client.refresh().engine.alive, what="the engine's end")
    client.close()


def state(client: SessionClient, number: int) -> TrialState:
    return client.refresh().trials[number].state


def pid_of(client: SessionClient) -> int:
    """The process of the session's engine."""
    pid = client.refresh().engine.pid
    assert pid is not None
    return pid


def small(client: SessionClient, **change: Any) -> Config:
    """A network that trains in a moment."""
    base = client.refresh().trials[0].config
    given = {"conv_layers": 2, "channels": [8, 8], "downsample": ["pool", "none"], **change}
    return client.space.completed(given, base)


def test_the_engine_trains_the_reference_and_what_is_queued(client: SessionClient) -> None:
    client.start_engine()
    wait_for(lambda: state(client, 0) == "done", what="the reference network")
    reference = client.refresh().trials[0]
    assert reference.complexity == 1.0
    assert reference.error == pytest.approx(1 - max(e.val_accuracy for e in reference.epochs))
    assert [e.epoch for e in reference.epochs] == [1, 2]
    assert reference.machine is not None
    assert reference.machine.device == "cpu"
    ranking = client.rank(client.refresh(), count=3)
    number = trial_of(client.accept(ranking.proposals[0]))
    wait_for(lambda: state(client, number) == "done", what="the accepted trial")
    trial = client.refresh().trials[number]
    assert trial.prediction == ranking.proposals[0].prediction
    assert not list((client.folder / "checkpoints").iterdir())


def test_two_engines_never_serve_one_session(client: SessionClient) -> None:
    client.start_engine()
    pid = client.refresh().engine.pid
    second = subprocess.run(
        [sys.executable, "-P", "-m", "lcsearch.engine.service", str(client.folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert second.returncode == 0
    assert "another engine serves" in second.stderr
    assert client.refresh().engine.pid == pid


def test_a_killed_engine_is_noticed_and_the_next_one_goes_on(client: SessionClient) -> None:
    slow = small(client, batch_size=4)
    client.start_engine()
    number = trial_of(client.submit(slow, None, kind="new"))
    wait_for(lambda: len(client.refresh().trials[number].epochs) >= 1, what="an epoch")
    os.kill(pid_of(client), signal.SIGKILL)
    wait_for(lambda: not client.refresh().engine.alive, what="notice of the engine's death")
    before = client.refresh().trials[number].epochs
    client.start_engine()
    wait_for(lambda: state(client, number) == "done", what="the trial's end")
    trial = client.refresh().trials[number]
    assert trial.epochs[: len(before)] == before
    assert [e.epoch for e in trial.epochs] == [1, 2]
    assert trial.attempt == (2 if len(before) < 2 else trial.attempt)


def test_a_killed_trainer_ends_neither_the_trial_nor_the_engine(client: SessionClient) -> None:
    import psutil

    client.start_engine()
    wait_for(lambda: state(client, 0) == "done")
    engine = psutil.Process(client.refresh().engine.pid)
    with standing_still(client):
        number = trial_of(client.submit(small(client), None, kind="new"))
        wait_for(lambda: state(client, number) == "running")
        for trainer in engine.children():
            trainer.kill()
        wait_for(lambda: client.refresh().trials[number].attempt == 2, what="another attempt")
    wait_for(lambda: state(client, number) == "done", what="the trial's end")
    assert client.refresh().trials[number].attempt == 2
    assert client.refresh().engine.pid == engine.pid


def test_stop_pause_and_resume_reach_the_trainer(client: SessionClient) -> None:
    client.start_engine()
    wait_for(lambda: state(client, 0) == "done")
    # its first epoch lasts longer than word of the stop takes to the trainer
    deep = {"conv_layers": 16, "channels": [16] * 16, "downsample": ["none"] * 16}
    with standing_still(client):
        number = trial_of(client.submit(small(client, **deep, batch_size=1), None, kind="new"))
        wait_for(lambda: state(client, number) == "running")
        with passed_on(client, number):
            client.stop(number, "pause")
    wait_for(lambda: state(client, number) == "paused", what="the pause")
    assert len(client.refresh().trials[number].epochs) == 1
    client.resume(number)
    wait_for(lambda: state(client, number) == "done", what="the trial's end")
    assert client.refresh().trials[number].epochs[1].resumed
    with standing_still(client):
        other = trial_of(client.submit(small(client, **deep, batch_size=2), None, kind="new"))
        wait_for(lambda: state(client, other) == "running")
        with passed_on(client, other):
            client.stop(other, "now")
    wait_for(lambda: state(client, other) == "stopped", what="the stop")


def test_a_trial_that_diverges_fails_with_the_reason_and_the_next_one_runs(
    client: SessionClient,
) -> None:
    client.start_engine()
    deep = {"conv_layers": 16, "channels": [32] * 16, "downsample": ["none"] * 16}
    wild = small(client, **deep, batch_norm=[False] * 16, learning_rate=10.0, batch_size=16)
    number = trial_of(client.submit(wild, None, kind="new"))
    after = trial_of(client.submit(small(client), None, kind="new"))
    wait_for(lambda: state(client, after) == "done", what="the trial after it")
    # two trainers: the one after it may have ended first
    wait_for(lambda: state(client, number) not in ("queued", "running"), what="the failure")
    trial = client.refresh().trials[number]
    assert trial.state == "failed"
    assert trial.failure is not None
    assert trial.failure.kind == "diverged"
    assert "learning_rate" in trial.failure.message
    assert search.failures(client.refresh()) == [wild]


def test_data_that_changed_are_refused(home: Path, tmp_path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    path = tmp_path / "data.npz"

    def write(seed: int) -> None:
        images = np.random.default_rng(seed).integers(0, 255, (60, 1, 6, 6), dtype=np.uint8)
        labels = np.arange(60) % 3
        np.savez(path, xtr=images, ytr=labels, xte=images[:9], yte=labels[:9])

    write(int(rng.integers(100)))
    client = SessionClient(create(home, Setup("demo", DataSource(spec=f"npz:{path}"), epochs=1)))
    write(12345)
    # it may be gone before it is seen to serve: that is said too
    with contextlib.suppress(StoreError):
        client.start_engine()
    wait_for(lambda: not client.refresh().engine.alive, what="the engine's end")
    assert "the data have changed" in client.refresh().engine.message
    assert client.refresh().trials[0].error is None


def test_an_engine_that_cannot_start_shows_its_log(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match="the engine cannot start"):
        client.start_engine()


def test_the_engine_leaves_when_idle_and_comes_back_for_work(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "0.2")
    folder = create(
        home, Setup("demo", DataSource(spec="digits", train_size=200), epochs=1, measure="macs")
    )
    client = SessionClient(folder)
    client.start_engine()
    wait_for(lambda: state(client, 0) == "done")
    wait_for(lambda: not client.refresh().engine.alive, what="the engine's leaving")
    assert client.refresh().engine.state == "leaving"
    number = trial_of(client.submit(small(client), None, kind="new"))
    wait_for(lambda: state(client, number) == "done", what="a trial after the engine had left")


def test_an_engine_whose_session_is_deleted_goes(client: SessionClient, home: Path) -> None:
    client.start_engine()
    pid = pid_of(client)
    delete(home, "demo")
    with pytest.raises(StoreError, match="was deleted"):
        client.refresh()
    import psutil

    wait_for(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie",
        what="the engine's end",
    )


def apart(*words: str) -> str:
    """Run a command in a process of its own: its stderr."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lcsearch.tui.cli", *words],
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,  # a whole search
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_commands_do_a_whole_search(home: Path) -> None:
    apart("new", "s", "--epochs", "1", "--train-size", "200", "--measure", "params")
    err = apart("run", "s", "--trials", "1", "--levels", "all")
    assert "trial   0 trains" in err
    assert "trial   4  L4" in err
    shown = json.loads(lcsearch("show", "s", "--json")[0])
    assert [t["level"] for t in shown["trials"]] == [0, 1, 2, 3, 4]
    assert {t["state"] for t in shown["trials"]} == {"done"}
    assert {t["source"] for t in shown["trials"][1:]} == {"autopilot"}
    assert shown["best"]["trial"] in range(5)
    lcsearch("reopen", "s", "--level", "1", "--trial", "0")
    proposals = json.loads(lcsearch("propose", "s", "-n", "4", "--json")[0])["proposals"]
    assert len(proposals) == 4
    lcsearch("reject", "s", "--id", proposals[0]["id"], "--reason", "too deep")
    now = json.loads(lcsearch("propose", "s", "-n", "4", "--json")[0])["proposals"]
    assert proposals[0]["id"] not in [p["id"] for p in now]
    lcsearch("undo", "s")
    again = json.loads(lcsearch("propose", "s", "-n", "4", "--json")[0])["proposals"]
    assert [p["id"] for p in again] == [p["id"] for p in proposals]
    number = lcsearch("accept", "s", "--id", proposals[1]["id"])[0].strip()
    own = json.dumps({"channels": [8, 8, 8, 16]})
    other = lcsearch("accept", "s", "--config", "-", given=own)[0].strip()
    lcsearch("repeat", "s", "--trial", "1")
    lcsearch("set", "s", "--wc", "1")
    apart("run", "s", "--trials", "0")
    shown = json.loads(lcsearch("show", "s", "--json")[0])
    assert shown["session"]["w_c"] == 1
    assert shown["trials"][int(number)]["config"] == proposals[1]["config"]
    assert shown["trials"][int(other)]["config"]["channels"] == [8, 8, 8, 16]
    assert shown["trials"][-1]["repeat_of"] == 1
    assert {t["state"] for t in shown["trials"]} == {"done"}
    assert "level 1" in lcsearch("list")[0]
    lcsearch("delete", "s")
    lcsearch("show", "s", code=2)
    lcsearch("delete", "s", "--undo")
    lcsearch("show", "s")


def test_a_session_that_exists_is_not_made_again(home: Path) -> None:
    lcsearch("new", "s", "--train-size", "200")
    assert "exists already" in lcsearch("new", "s", code=2)[1]


def test_a_corrupt_session_is_listed_as_one(home: Path) -> None:
    folder = home / "sessions" / "broken"
    folder.mkdir(parents=True)
    (folder / "session.db").write_bytes(b"nonsense" * 500)
    assert "corrupt" in lcsearch("list")[0]
    assert "damaged" in lcsearch("show", "broken", code=1)[1]
    assert "damaged" in lcsearch("doctor", code=1)[0]


def test_own_networks_are_checked(home: Path) -> None:
    lcsearch("new", "s", "--train-size", "200")
    bad = json.dumps({"channels": [8, 12, 8, 8], "groups": [1, 8, 1, 1]})
    err = lcsearch("accept", "s", "--config", "-", given=bad, code=2)[1]
    assert "channels[2] = 12: not divisible by groups[2] = 8" in err
    assert "not JSON" in lcsearch("accept", "s", "--config", "-", given="{", code=2)[1]
    assert "colour" in lcsearch("accept", "s", "--config", "-", given='{"colour": 1}', code=2)[1]


def test_settings_are_shown_and_changed(home: Path) -> None:
    assert lcsearch("config", "path")[0].strip() == str(home / "settings.json")
    lcsearch("config", "set", "theme", "textual-light")
    assert json.loads(lcsearch("config", "show")[0])["theme"] == "textual-light"
    assert "not known" in lcsearch("config", "set", "theme", "nope", code=2)[1]
    assert "no setting" in lcsearch("config", "set", "colour", "red", code=2)[1]


def test_doctor_finds_this_machine_sound(home: Path) -> None:
    out, _ = lcsearch("doctor")
    assert "torch" in out
    assert "FAIL" not in out


def test_a_checkpoint_whose_folder_was_away_fails_no_trial_unless_it_stays_away(home: Path) -> None:
    store = make_store(home)
    number = 0
    service = Service(store, 1.0)
    away = Failure(kind="checkpoint", message="the folder is gone")
    for attempt in (1, 2, 3):
        store.update_trial(number, {"queued", "interrupted"}, state="running", attempt=attempt)
        service._hear(Failed(trial=number, attempt=attempt, failure=away, no_folder=True))
        expected = "interrupted" if attempt < 3 else "failed"
        assert store.refresh().trials[number].state == expected
    store.close()
