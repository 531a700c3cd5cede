"""The engine's life as a real process: status, start, stop; what it does when things go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from lcsearch.engine.client import process as processes
from lcsearch.engine.client.home import create
from lcsearch.engine.client.process import EngineProcess
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors import local
from lcsearch.engine.executors.base import Watchdog
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import DataSource, Setup, Trial, now

from .conftest import lcsearch, soak, standing_still, wait_for
from .sessions_for_tests import trial_of
from .test_service import pid_of, small, state


@pytest.fixture(scope="module")
def sessions() -> Iterator[Any]:
    """Engines are forked from one warm process; their trainer waits in place of training."""
    with soak().Home() as sessions:
        yield sessions


@pytest.fixture
def client(
    sessions: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[SessionClient]:
    """A session of its own in the home, with two epochs a trial."""
    monkeypatch.setenv("LCSEARCH_HOME", str(sessions.home))
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    monkeypatch.setenv("SOAK_EPOCH_MS", "1")
    # the end of it tells a test's cases apart
    name = re.sub(r"\W+", "-", request.node.name)[-60:].strip("_-")
    client = SessionClient(sessions.session(name, epochs=2))
    yield client
    end(client)


def end(client: SessionClient) -> None:
    """A test may leave an engine that cannot go by itself."""
    engine = client.refresh().engine
    if engine.alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(engine.pid)
            for child in [*process.children(), process]:
                child.kill()
    client.close()


@contextlib.contextmanager
def held(client: SessionClient, epoch: int) -> Iterator[None]:
    """No trial comes to the end of this epoch meanwhile."""
    (client.folder / f"hold-{epoch}").touch()
    yield
    (client.folder / f"hold-{epoch}").unlink(missing_ok=True)


def submit(client: SessionClient, *kernel: int) -> int:
    """Queue a network that is like no other of these kernels; its number."""
    return trial_of(client.submit(small(client, kernel=list(kernel)), None, kind="new"))


def status(client: SessionClient) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(lcsearch("engine", "status", client.folder.name, "--json")[0])
    return told


def trainer_of(client: SessionClient) -> psutil.Process:
    """The trainer of the engine at work, once it is there."""
    engine = psutil.Process(client.refresh().engine.pid)
    found: list[psutil.Process] = wait_for(engine.children, what="a trainer")
    return found[0]


def test_stop_puts_the_trial_back_with_its_checkpoint_and_looking_starts_nothing(
    client: SessionClient,
) -> None:
    name = client.folder.name
    with held(client, 2):
        assert status(client)["state"] == "none"
        assert "serves." in lcsearch("engine", "start", name)[1]
        pid = client.refresh().engine.pid
        assert f"engine {pid} serves already" in lcsearch("engine", "start", name)[1]
        after = submit(client, 1, 1)
        wait_for(lambda: len(client.refresh().trials[0].epochs) == 1, what="an epoch")
        seen = status(client)
        assert (seen["alive"], seen["state"], seen["pid"]) == (True, "serving", pid)
        assert seen["running"] == [{"trial": 0, "attempt": 1, "epoch": 1, "epochs": 2}]
        assert f"; {seen['parallel']} at once." in seen["words"]
        assert "trains trial 0 (epoch 1 of 2)" in lcsearch("engine", "status", name)[0]
        said = lcsearch("engine", "stop", name)[1]
        assert f"engine {pid} has left" in said
        assert "1 to go on from its checkpoint, 1 queued" in said
        assert not client.refresh().engine.alive
        assert [state(client, n) for n in (0, after)] == ["interrupted", "queued"]
        assert (client.folder / "checkpoints" / "trial-0.pt").is_file()
        # looking, listing and weighing anew leave it stopped
        for words in (["show", name], ["list"], ["set", name, "--wc", "1"], ["logs", name]):
            lcsearch(*words)
        assert status(client)["state"] == "stopped"
        assert "no engine was at work" in lcsearch("engine", "stop", name)[1]
    lcsearch("engine", "start", name)
    wait_for(lambda: state(client, after) == "done", what="the trials' end")
    trial = client.refresh().trials[0]
    assert [e.epoch for e in trial.epochs] == [1, 2]
    assert trial.epochs[1].resumed
    assert trial.attempt == 2


def test_a_stopped_engine_comes_back_for_who_queues(client: SessionClient) -> None:
    lcsearch("engine", "stop", client.folder.name)
    assert status(client)["state"] == "stopped"
    assert state(client, 0) == "queued"
    number = submit(client, 1, 1)
    wait_for(lambda: state(client, number) == "done", what="the trial")
    assert status(client)["alive"]


def test_an_engine_that_is_stopped_before_it_began_does_not_begin(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineProcess, "_launch", lambda engine: engine.stop())
    with pytest.raises(StoreError, match="stopped meanwhile"):
        client.start_engine()
    pid = soak().start("engine", str(client.folder))
    wait_for(lambda: not soak().alive(pid), what="its end")
    assert "stopped before it began" in (client.folder / "engine.log").read_text()
    assert state(client, 0) == "queued"


def test_words_and_exit_codes_of_wrong_use(client: SessionClient) -> None:
    assert "not found" in lcsearch("engine", "stop", "nothing", code=2)[1]
    assert "not usable" in lcsearch("engine", "status", "../up", code=2)[1]
    lcsearch("engine", "restart", client.folder.name, code=2)


def test_an_engine_ended_by_the_system_comes_back_for_who_opens(client: SessionClient) -> None:
    with held(client, 1):
        client.start_engine()
        pid = pid_of(client)
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not client.refresh().engine.alive, what="the engine's end")
    # a machine that goes down says SIGTERM: nobody has stopped it for good
    assert client.refresh().engine.state == "leaving"
    assert not client.refresh().engine.gone
    assert state(client, 0) in ("interrupted", "queued")


def test_an_engine_that_died_is_said_to_be_gone(client: SessionClient) -> None:
    client.start_engine()
    pid = status(client)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not client.refresh().engine.alive)
    seen = status(client)
    assert (seen["alive"], seen["state"], seen["pid"]) == (False, "gone", None)
    assert f"engine {pid} is gone" in lcsearch("engine", "status", client.folder.name)[0]
    assert "no engine was at work" in lcsearch("engine", "stop", client.folder.name)[1]
    assert status(client)["state"] == "stopped"


def test_an_engine_that_does_not_answer_is_named(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.start_engine()
    pid = pid_of(client)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.3)
    with pytest.raises(StoreError, match=rf"process {pid}\) has not gone within 0.3 s"):
        client.stop_engine()
    os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    client.stop_engine()
    assert client.refresh().engine.state == "stopped"


def test_an_engine_that_does_not_go_is_killed_by_force_and_nothing_is_lost(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = client.folder.name
    with held(client, 2):
        client.start_engine()
        wait_for(lambda: len(client.refresh().trials[0].epochs) == 1, what="an epoch")
        engine, trainer = psutil.Process(client.refresh().engine.pid), trainer_of(client)
        for process in (trainer, engine):
            process.suspend()
        monkeypatch.setattr(processes, "STOP_SECONDS", 0.3)
        monkeypatch.setattr(processes, "START_SECONDS", 0.3)
        told = lcsearch("engine", "stop", name, code=1)[1]
        assert f"process {engine.pid}) has not gone within 0.3 s" in told
        assert f"`lcsearch engine stop {name} --force` kills it" in told
        # who wants another engine meanwhile is told the same
        monkeypatch.setattr(EngineProcess, "_launch", lambda self: soak().Started(engine.pid))
        assert f"engine stop {name} --force" in lcsearch("engine", "start", name, code=1)[1]
        monkeypatch.undo()
        monkeypatch.setenv("LCSEARCH_HOME", str(client.folder.parent.parent))
        said = lcsearch("engine", "stop", name, "--force")[1]
        assert f"engine {engine.pid} was killed. Waiting: 1 to go on from its checkpoint." in said
        wait_for(lambda: not trainer.is_running(), what="the trainer's end")
        assert "it did not go when it was asked to" in status(client)["words"]
        assert status(client)["state"] == "stopped"
        assert "no engine was at work" in lcsearch("engine", "stop", name, "--force")[1]
    client.start_engine()
    wait_for(lambda: state(client, 0) == "done", what="the trial's end")
    trial = client.refresh().trials[0]
    assert [(e.epoch, e.resumed) for e in trial.epochs] == [(1, False), (2, True)]


BROKEN = 'say("ready", summary=SUMMARY, machine=MACHINE)'
ENDS = {
    "idle": ("left", "has left: nothing was left to do", "leaves: nothing was left to do"),
    "stop": ("stopped", "the engine was stopped", "leaves: it was asked to"),
    "term": ("left", "has left: SIGTERM was sent to it", "leaves: SIGTERM was sent to it"),
    "kill": ("gone", "is gone: it was killed", "ended without a word: it was killed"),
    "fail": ("failed", "failed: AssertionError", "the engine failed"),
    "data": ("left", "has left: no trainer starts", "no trainer starts"),
}


@pytest.mark.parametrize("how", ENDS)
def test_every_end_of_an_engine_has_its_own_words(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    standing, told, logged = ENDS[how]
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "0" if how == "idle" else "600")
    text = soak().TRAINER.read_text()
    if how == "fail":
        assert BROKEN in text
        monkeypatch.setenv("SOAK_TRAINER", text.replace(BROKEN, 'say("ready", summary=SUMMARY)'))
    elif how == "data":
        monkeypatch.setenv("SOAK_TRAINER", "raise SystemExit(7)")
    with held(client, 1) if how in ("stop", "term", "kill") else contextlib.nullcontext():
        with contextlib.suppress(StoreError):  # it may be gone before it is seen to serve
            client.start_engine()
        pid = client.refresh().engine.pid
        if how == "stop":
            client.stop_engine()
        elif how in ("term", "kill"):
            assert pid is not None
            os.kill(pid, signal.SIGTERM if how == "term" else signal.SIGKILL)
        wait_for(lambda: not client.refresh().engine.alive, what="the engine's end")
        seen = status(client)
        assert seen["state"] == standing
        assert told in seen["words"]
        if how == "idle":
            assert "It starts when a trial is queued." in seen["words"]
        else:
            # what waits, and both commands that go on
            assert "Waiting: 1 " in seen["words"]
            for command in ("engine start", "run"):
                assert f"`lcsearch {command} {client.folder.name}`" in seen["words"]
    if how == "kill":  # the dead say nothing: the next one does
        client.start_engine()
    wait_for(lambda: logged in client.log_tail(100), what="its word in the log")


def faulty(words: str) -> str:
    """A trainer that waits in place of training, and does this in place of trial 0."""
    text = soak().TRAINER.read_text().replace("def go_on(", "def others(")
    head, main, tail = text.partition("if __name__")
    given = "order, who, *rest"
    first = f"def go_on({given}):\n    if not order['trial']:\n        {words}\n    others({given})"
    return f"{head}{first}\n\n\n{main}{tail}"


def test_a_trainer_that_hangs_fails_its_trial_as_stalled_and_the_next_one_runs(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whole epochs long for who trains, and it stands still by itself: no race with the watchdog
    monkeypatch.setenv("LCSEARCH_STALL_SECONDS", "6")
    monkeypatch.setenv("SOAK_TRAINER", faulty("os.kill(os.getpid(), __import__('signal').SIGSTOP)"))
    after = submit(client, 1, 1)
    engine = psutil.Process(client.refresh().engine.pid)
    wait_for(lambda: state(client, 0) == "failed", what="the watchdog")
    failure = client.refresh().trials[0].failure
    assert failure is not None
    assert failure.kind == "stalled"
    assert "no sign of progress" in failure.message
    wait_for(lambda: state(client, after) == "done", what="the trial after it")
    assert all(child.status() != psutil.STATUS_STOPPED for child in engine.children())


def three_times(client: SessionClient, do: Callable[[psutil.Process], object]) -> Trial:
    """Do something to the trainer of trial 0, to each of three, before an epoch has ended."""
    log = client.folder / "engine.log"

    def has_begun(attempt: int) -> bool:
        return (
            client.refresh().trials[0].attempt == attempt
            and state(client, 0) == "running"
            and log.read_text().count("trainer ready") == attempt
        )

    client.start_engine()
    for attempt in (1, 2, 3):
        wait_for(partial(has_begun, attempt), what=f"attempt {attempt}")
        do(trainer_of(client))
    wait_for(lambda: state(client, 0) == "failed", what="the failure")
    return client.refresh().trials[0]


def test_a_trainer_that_dies_three_times_without_an_epoch_fails_its_trial(
    client: SessionClient,
) -> None:
    with held(client, 1):
        trial = three_times(client, lambda trainer: trainer.kill())
    pid = client.refresh().engine.pid
    assert trial.failure is not None
    assert trial.failure.kind == "signal"
    assert "3 times without a new epoch" in trial.failure.message
    assert trial.attempt == 3
    after = submit(client, 1, 1)
    wait_for(lambda: state(client, after) == "done", what="the trial after it")
    assert client.refresh().engine.pid == pid


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ("os._exit(7)", "crash", "it ended with exit status 7"),
        ("os.kill(os.getpid(), 11)", "signal", "it was killed (SIGSEGV)"),
        ("print('Segmentation', file=output, flush=True); time.sleep(60)", "crash", "no reply"),
    ],
    ids=("status", "signal", "garbage"),
)
def test_every_death_of_a_trainer_has_its_name_and_ends_no_engine(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch, words: str, kind: str, said: str
) -> None:
    monkeypatch.setenv("SOAK_TRAINER", faulty(words))
    after = submit(client, 1, 1)
    wait_for(lambda: state(client, after) == "done", what="the trial after it")
    trial = client.refresh().trials[0]
    assert trial.failure is not None
    assert (trial.state, trial.failure.kind, trial.attempt) == ("failed", kind, 3)
    assert "the trainer died 3 times without a new epoch" in trial.failure.message
    assert said in trial.failure.message
    log = (client.folder / "engine.log").read_text()
    assert len(re.findall(r"engine \d+ serves", log)) == 1


def test_a_machine_that_restarts_ten_times_fails_no_healthy_trial(client: SessionClient) -> None:
    def has_begun(attempt: int) -> bool:
        return client.refresh().trials[0].attempt == attempt

    with held(client, 1):
        for attempt in range(1, 11):
            client.start_engine()
            wait_for(partial(has_begun, attempt))
            engine = psutil.Process(client.refresh().engine.pid)
            engine.suspend()  # or it begins another attempt before its own end
            for process in [*engine.children(), engine]:
                process.kill()
            wait_for(lambda: not client.refresh().engine.alive)
    client.start_engine()
    wait_for(lambda: state(client, 0) == "done", what="the trial's end")


def test_where_no_trainer_starts_the_engine_goes_and_every_trial_waits(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAK_TRAINER", "raise SystemExit(7)")
    with contextlib.suppress(StoreError):  # it may be gone before it is seen to serve
        client.start_engine()
    wait_for(lambda: client.refresh().engine.message and not client.refresh().engine.alive)
    snapshot = client.refresh()
    assert "no trainer starts" in snapshot.engine.message
    assert "exit status 7" in snapshot.engine.message
    assert snapshot.trials[0].state == "interrupted"


def test_the_autopilot_keeps_several_trainers_at_work_from_one_ranking(
    client: SessionClient,
) -> None:
    """A whole search by real processes: an engine, two trainers, two trials at once."""
    client.set_execution(devices=("cpu", "auto"))
    assert client.refresh().session.execution.parallel == 2
    # the first epoch of every trial waits until both are at work
    with held(client, 1):
        client.autopilot(trials=4, levels="all")
        wait_for(
            lambda: [t.state for t in client.refresh().trials].count("running") == 2,
            what="two at once",
        )
        # a trial is said to run when it is handed to a trainer, which begins a moment later
        wait_for(
            lambda: len(soak().trainers(client.refresh().engine.pid)) == 2, what="two trainers"
        )
    wait_for(lambda: client.refresh().session.autopilot is None, what="the end of the search")
    wait_for(lambda: {t.state for t in client.refresh().trials} == {"done"}, what="every trial")
    snapshot = client.refresh()
    accepted = [t for t in snapshot.trials if t.source == "autopilot"]
    assert [t.level for t in accepted] == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert len({t.key for t in snapshot.trials}) == len(snapshot.trials)
    assert [len(t.epochs) for t in snapshot.trials] == [2] * 17
    assert {t.attempt for t in snapshot.trials} == {1}
    # at the beginning of a level both slots are free, and one ranking fills them
    pairs = re.findall(r"trials (\d+), (\d+) from one ranking", client.log_tail(1000))
    levels = {snapshot.trials[int(first)].level for first, _ in pairs}
    assert levels >= {2, 3, 4}
    # two processes trained, and neither had a trial of the other's
    lines = map(json.loads, (client.folder / "ledger").read_text().splitlines())
    by = {(line["trial"], line["pid"]) for line in lines}
    assert len({pid for _, pid in by}) == 2
    assert len(by) == 17


def test_the_autopilot_obeys_its_minutes_with_nobody_looking(client: SessionClient) -> None:
    for minutes in (0.1, 1.0, 5.0):  # where much else works, the first few seconds end too soon
        client.autopilot(minutes=minutes)
        flight = client.refresh().session.autopilot
        assert flight is not None
        until = flight.until
        assert until is not None
        wait_for(lambda: client.refresh().session.autopilot is None, what="the end of the minutes")
        assert now() >= until
        wait_for(
            lambda: {t.state for t in client.refresh().trials} == {"done"}, what="what was begun"
        )
        accepted = [d for d in client.refresh().decisions if d.kind == "accept"]
        if accepted:
            break
    assert accepted
    assert until is not None
    assert {d.by for d in accepted} == {"autopilot"}
    # the last ranking may have been on its way: what it queues at once, and nothing after it
    late = [d for d in accepted if d.at > until]
    assert len(late) <= client.refresh().session.execution.parallel
    assert client.refresh().engine.alive


MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.access(MEMORY / "cgroup.procs", os.W_OK),
    reason="a memory cgroup can be made by root alone (cgroup v1)",
)
def test_a_trainer_killed_by_the_kernel_for_memory_is_named_as_such(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAK_CHECKPOINT_BYTES", "30000000")
    # the next attempt trains until it is held again
    monkeypatch.setenv("SOAK_EPOCH_MS", "3000")
    group = MEMORY / f"lcsearch-test-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(4 << 20))
    try:
        # what it holds already is not counted: its checkpoint is too much
        def confine(trainer: psutil.Process) -> None:
            (group / "cgroup.procs").write_text(str(trainer.pid))
            (client.folder / "hold-1").unlink()
            wait_for(lambda: not trainer.is_running(), what="the kernel's kill")
            (client.folder / "hold-1").touch()

        (client.folder / "hold-1").touch()
        trial = three_times(client, confine)
        assert trial.failure is not None
        assert trial.failure.kind == "memory"
        assert "the kernel killed it, for memory ran out" in trial.failure.message
    finally:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                group.rmdir()
                break
            except OSError:  # the killed process is not quite gone
                time.sleep(0.05)


def test_the_real_engine_and_trainer_listen_nowhere_and_keep_all_to_themselves(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = os.umask(0o022)
    data = DataSource(spec="digits", train_size=200)
    # so many epochs that it trains as long as is looked at it
    client = SessionClient(create(home, Setup("demo", data, epochs=1000, measure="macs")))
    try:
        client.start_engine()
        slow = small(client, batch_size=2, channels=[32, 32], downsample=["none", "none"])
        number = trial_of(client.submit(slow, None, kind="new"))
        wait_for(lambda: state(client, number) == "running")
        engine = psutil.Process(client.refresh().engine.pid)
        trainers = engine.children(recursive=True)
        assert trainers
        for process in (engine, *trainers):
            assert process.net_connections(kind="all") == [], process
        wait_for(lambda: len(client.refresh().trials[number].epochs) >= 1)
        with standing_still(client):  # or a checkpoint is renamed meanwhile
            files = [client.folder, *client.folder.rglob("*")]
            seen = {path.name for path in files}
            assert {"session.db", "session.db-wal", "engine.log", "engine.lock"} <= seen
            assert {"engine.note", "checkpoints", f"trial-{number}.pt"} <= seen
            for path in files:
                wanted = 0o700 if path.is_dir() else 0o600
                assert path.stat().st_mode & 0o777 == wanted, path
        assert (home / "sessions").stat().st_mode & 0o777 == 0o700
        # stopped in the middle, it goes on from its checkpoint
        client.stop_engine()
        assert not any(trainer.is_running() for trainer in trainers)
        assert state(client, number) == "interrupted"
        trained = client.refresh().trials[number].epochs
        client.start_engine()
        wait_for(lambda: any(e.resumed for e in client.refresh().trials[number].epochs))
        after = client.refresh().trials[number].epochs
        assert after[: len(trained)] == trained
        assert [e.epoch for e in after] == list(range(1, len(after) + 1))
    finally:
        end(client)
        os.umask(before)


def test_a_service_manager_can_be_given_the_engine_itself(
    client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[object, ...]] = []

    def execv(*words: object) -> None:
        became.append(words)
        raise SystemExit(0)  # this process would be another now

    monkeypatch.setattr(os, "execv", execv)
    client.stop_engine()
    lcsearch("engine", "start", client.folder.name, "--foreground")
    assert became == [
        (
            sys.executable,
            [sys.executable, "-P", "-m", "lcsearch.engine.service", str(client.folder)],
        )
    ]
    # it may begin, though the last one was stopped
    assert SessionClient(client.folder).refresh().engine.state == "none"


# -- a session that is deleted while an engine works on it --------------------------------------


def test_an_engine_whose_session_was_deleted_has_left_in_order(client: SessionClient) -> None:
    name, root = client.folder.name, client.folder.parent.parent
    with held(client, 2):
        client.start_engine()
        wait_for(lambda: len(client.refresh().trials[0].epochs) == 1, what="an epoch")
        pid = client.refresh().engine.pid
        lcsearch("delete", name)
        wait_for(lambda: not soak().alive(pid), what="the engine's end")
        assert not (root / "sessions" / name).exists()
        back = lcsearch("delete", name, "--undo")[1]
    assert (
        f"back again. Waiting: 1 to go on from its checkpoint. `lcsearch engine start {name}`"
        in back
    )
    seen = status(client)
    assert (seen["state"], seen["message"]) == ("left", "the session was deleted")
    assert f"engine {pid} has left: the session was deleted." in seen["words"]
    assert "the engine leaves: the session was deleted" in client.log_tail(100)
    # what its trainer could not keep in a folder that was away is no fault of the trial's
    assert state(client, 0) == "interrupted"
    assert f"{name} is there already" in lcsearch("delete", name, "--undo")[1]
    client.start_engine()
    wait_for(lambda: state(client, 0) == "done", what="the trial's end")


def test_a_session_that_is_back_before_its_engine_has_looked_is_served_on(
    client: SessionClient,
) -> None:
    name = client.folder.name
    with held(client, 2):
        client.start_engine()
        wait_for(lambda: len(client.refresh().trials[0].epochs) == 1, what="an epoch")
        engine = psutil.Process(client.refresh().engine.pid)
        engine.suspend()
        lcsearch("delete", name)
        lcsearch("delete", name, "--undo")
        engine.resume()
    wait_for(lambda: state(client, 0) == "done", what="the trial's end")
    assert client.refresh().engine.pid == engine.pid
    assert status(client)["state"] == "serving"


def test_an_engine_leaves_alone_another_session_of_the_same_name(
    client: SessionClient, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = client.folder.name
    with held(client, 2):
        client.start_engine()
        wait_for(lambda: len(client.refresh().trials[0].epochs) == 1, what="an epoch")
        engine = psutil.Process(client.refresh().engine.pid)
        engine.suspend()
        lcsearch("delete", name)
        sessions.session(name, epochs=2)
        engine.resume()
        wait_for(lambda: not soak().alive(engine.pid), what="the engine's end")
    other = SessionClient(client.folder)
    assert (other.refresh().engine.state, other.refresh().trials[0].attempt) == ("none", 0)
    assert other.refresh().trials[0].epochs == ()
    other.close()
    with pytest.raises(StoreError, match="another of its name made"):
        client.refresh()
    # for who cleans up
    monkeypatch.setattr(client, "refresh", SessionClient(client.folder).refresh)


# -- the parts, without a process ---------------------------------------------------------------


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def look(watchdog: Watchdog, clock: Clock, seconds: float, step: float = 0.1) -> float | None:
    """Look so often for so long; the silence that was too long, if it was."""
    for _ in range(round(seconds / step)):
        clock.now += step
        found = watchdog.stalled()
        if found is not None:
            return found
    return None


def test_the_watchdog_allows_twenty_times_the_longest_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    watchdog = Watchdog(patience=10)
    assert look(watchdog, clock, 9.9) is None
    watchdog.heard()
    assert watchdog.limit == pytest.approx(198, rel=0.02)
    assert look(watchdog, clock, 190) is None
    assert look(watchdog, clock, 20) == pytest.approx(198, rel=0.02)


def test_the_watchdog_does_not_count_time_in_which_nobody_was_awake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    watchdog = Watchdog(patience=10)
    for _ in range(5):
        clock.now += 3600
        assert watchdog.stalled() is None
    assert look(watchdog, clock, 20) == pytest.approx(10, abs=0.5)


def test_a_kill_for_want_of_memory_is_told_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    file = tmp_path / "vmstat"
    file.write_text("nr_free_pages 1\noom_kill 4\n")
    kills = local.MemoryKills(file)
    assert not kills.lately()
    file.write_text("nr_free_pages 1\noom_kill 5\n")
    assert kills.lately()
    for _ in range(3):  # it was long ago
        clock.now += local.OOM_SECONDS
        kills.look()
    assert not kills.lately()
    assert not local.MemoryKills(tmp_path / "nothing").lately()
