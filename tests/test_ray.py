"""Trials on a Ray cluster: a real one, of several nodes, of which one is killed in the middle."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lcsearch.engine import search
from lcsearch.engine.client.home import create
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors import ray as cluster
from lcsearch.engine.executors.registry import checked
from lcsearch.engine.search import autopilot, decide
from lcsearch.sessions.errors import Misuse, StoreError
from lcsearch.sessions.records import DataSource, Execution, Setup, TrialState

from .conftest import benchmark, soak, wait_for, without
from .test_service import pid_of

soak_ray = benchmark("soak_ray")
SMALL = {"conv_layers": "3", "channels": "24..64"}
# so many that of two trials given out at once neither ends before the other begins
EPOCHS = 10


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of a head without processors, and two nodes with one each."""
    if importlib.util.find_spec("ray") is None:
        without("ray is not installed")
    reason = soak_ray.Nodes.unable()
    if reason is not None:
        pytest.skip(f"no network namespace can be made here ({reason}): Ray is not tested")
    # a raylet gives its agents 15 s to start, which is a matter of the machine's load alone
    for again in (True, False):
        try:
            found = soak_ray.Nodes(2)
            break
        except soak_ray.Gone:
            if not again:
                pytest.skip("the nodes of a Ray cluster do not start within Ray's own limits here")
    yield found
    found.close()


def make(home: Path, name: str, nodes: Any, epochs: int, **execution: Any) -> SessionClient:
    given = Execution(executor="ray", **{"address": nodes.address, **execution})
    folder = create(
        home,
        Setup(
            name,
            DataSource(spec="digits"),
            epochs=epochs,
            measure="macs",
            domains=SMALL,
            execution=given,
        ),
    )
    return SessionClient(folder)


def end(client: SessionClient) -> None:
    """Have the engine leave, and see that it does."""
    if client.refresh().engine.alive:
        os.kill(pid_of(client), signal.SIGTERM)
        wait_for(lambda: not client.refresh().engine.alive, what="the engine's end")
    client.close()


def actors(nodes: Any) -> list[psutil.Process]:
    """Processes of the cluster in which a trainer lives."""
    found = []
    for process in psutil.Process(nodes.process.pid).children(recursive=True):
        try:
            if process.cmdline()[0].startswith("ray::TrainerActor"):
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


def states(client: SessionClient) -> list[TrialState]:
    return [trial.state for trial in client.refresh().trials]


def test_a_cluster_of_this_machine_alone_is_started_and_ends_with_its_engine(
    home: Path, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    client = make(home, "local", nodes, epochs=300, address="local", data_on_nodes=True)
    nodes.start_engine(client.folder)
    wait_for(lambda: len(client.refresh().trials[0].epochs) >= 2, what="two epochs")
    pid = pid_of(client)
    # Ray's agents go on looking for the rest for a minute, and do nothing else
    family = psutil.Process(pid).children(recursive=True)
    cluster_of_its_own = [p for p in family if p.name() in ("gcs_server", "raylet")]
    assert len(cluster_of_its_own) == 2
    family = [*cluster_of_its_own, *actors(nodes)]
    assert len(family) == 3
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(soak().alive(p.pid) for p in family), what="their end")
    client.close()


def test_what_the_cluster_lacks_is_said_and_other_resources_hold_from_the_next_trial_on(
    home: Path, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    client = make(home, "lacks", nodes, epochs=1, per_trial={"gpus": 1, "fast": 1})
    nodes.start_engine(client.folder)
    wait_for(lambda: client.refresh().engine.message, what="word of it")
    assert client.refresh().engine.message == (
        "Ray starts 1 more trainer as soon as there is room for gpus=1, fast=1 each: "
        "3 nodes, cpus=2, gpus=0, fast=0 in all"
    )
    assert states(client) == ["queued"]
    client.set_execution(per_trial={"cpus": 0.5})
    wait_for(lambda: states(client) == ["done"], what="the trial")
    assert client.refresh().engine.message == ""
    end(client)


# the order matters: the last of them leaves a node less


def test_stop_pause_and_resume_reach_another_node(
    home: Path, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    client = make(home, "stops", nodes, epochs=400, parallel=2)
    nodes.start_engine(client.folder)
    wait_for(lambda: len(client.refresh().trials[0].epochs) >= 2, what="two epochs")
    client.stop(0, "pause")
    wait_for(lambda: states(client)[0] == "paused", what="the pause")
    seen = client.refresh().trials[0].epochs
    assert (client.folder / "checkpoints" / "trial-0.pt").exists()
    client.resume(0)
    wait_for(lambda: len(client.refresh().trials[0].epochs) > len(seen), what="going on")
    going = client.refresh().trials[0]
    assert going.epochs[: len(seen)] == seen
    assert going.epochs[len(seen)].resumed
    assert going.attempt == 2
    client.stop(0, "now")
    wait_for(lambda: states(client)[0] == "stopped", what="the stop")
    wait_for(lambda: not list((client.folder / "checkpoints").iterdir()), what="the tidying up")
    # its actors are the engine's own, and end with it, however it ends
    assert actors(nodes)
    os.kill(pid_of(client), signal.SIGKILL)
    wait_for(lambda: not actors(nodes), what="the end of the actors")
    client.close()


def test_the_autopilot_fills_both_nodes_from_one_ranking(
    home: Path, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    client = make(home, "pilot", nodes, epochs=EPOCHS, parallel=2)
    soak_ray.queue(client, 3)
    nodes.start_engine(client.folder)
    # from now on both nodes have a warm trainer
    wait_for(
        lambda: re.search("trainer ready(?s:.*)trainer ready", client.log_tail(100)),
        what="both trainers",
    )
    wait_for(lambda: set(states(client)) == {"done"}, what="the first three")
    client._store.apply(decide.autopilot(client.refresh(), trials=4, levels="all"))

    def over() -> bool:
        snapshot = client.refresh()
        assert snapshot.engine.alive, client.log_tail()
        ended = all(trial.state == "done" for trial in snapshot.trials)
        # two levels are enough
        return snapshot.session.level > 2 and ended

    wait_for(lambda: client.refresh().session.level == 3, what="the third level")
    client._store.apply(decide.takeover(client.refresh()))
    wait_for(over, what="the end of what was begun")
    trials = client.refresh().trials
    assert [t.level for t in trials][:11] == [0] + [1] * 6 + [2] * 4
    assert {t.source for t in trials[3:]} == {"autopilot"}
    assert all(t.prediction is not None for t in trials[3:])
    assert len({t.key for t in trials}) == len(trials)
    lines = soak_ray.ledger(client.folder)
    assert soak_ray.at_once(lines, EPOCHS) == set()
    whole = list(range(1, EPOCHS + 1))
    assert all(epochs == whole for epochs in soak_ray.trained(lines).values())
    # of each pair that one ranking gave, the one began before the other had ended
    order = [(line["trial"], line["what"]) for line in lines]
    pairs = re.findall(r"trials (\d+), (\d+) from one ranking", client.log_tail(1000))
    assert {trials[int(first)].level for first, _ in pairs} >= {1, 2}
    for pair in pairs:
        if (both := sorted(map(int, pair)))[1] <= 10:
            begun = max(order.index((number, "begin")) for number in both)
            assert begun < min(order.index((number, "end")) for number in both)
    end(client)


def test_a_killed_node_loses_nothing_and_nothing_runs_twice(
    home: Path, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "600")
    client = make(home, "nodes", nodes, epochs=30, parallel=2)
    soak_ray.queue(client, 6)
    nodes.start_engine(client.folder)
    wait_for(lambda: states(client).count("running") == 2, what="two trials at once")
    wait_for(
        lambda: (
            # and enough to come, so that it is killed in the middle of a trial
            all(1 <= len(t.epochs) <= 20 for t in client.refresh().trials if t.state == "running")
            and states(client).count("running") == 2
        ),
        what="an epoch of both",
    )
    before = {t.number: t.epochs for t in client.refresh().trials}
    nodes.kill(0)
    wait_for(
        lambda: len(states(client)) == 6 and set(states(client)) <= {"done", "failed"},
        what="the end of all trials",
    )
    trials = client.refresh().trials
    assert [t.state for t in trials] == ["done"] * 6, [t.failure for t in trials]
    assert [[e.epoch for e in t.epochs] for t in trials] == [list(range(1, 31))] * 6
    assert all(t.epochs[: len(before.get(t.number, ()))] == before[t.number] for t in trials[:2])
    assert max(t.attempt for t in trials) == 2
    assert all(e.reference_seconds for t in trials for e in t.epochs)
    again = [t for t in trials if t.attempt == 2]
    assert all(any(e.resumed for e in t.epochs) for t in again)
    assert all(t.machine is not None and t.machine.node for t in trials)
    assert len({t.key for t in trials}) == 6
    assert soak_ray.twice((client.folder / "engine.log").read_text(encoding="utf-8")) == set()
    # and what the trainers themselves wrote down says the same
    lines = soak_ray.ledger(client.folder)
    assert soak_ray.at_once(lines, 30) == set()
    done = soak_ray.trained(lines)
    assert {number: sorted(set(epochs)) for number, epochs in done.items()} == {
        number: list(range(1, 31)) for number in range(6)
    }
    begun = [(line["trial"], line["attempt"]) for line in lines if line["what"] == "begin"]
    assert len(begun) == len(set(begun)) == sum(t.attempt for t in trials)
    assert not list((client.folder / "checkpoints").iterdir())
    end(client)


# -- what needs no cluster ------------------------------------------------------------------------


def test_the_witness_sees_what_runs_twice() -> None:
    def line(
        what: str, trial: int = 0, attempt: int = 1, pid: int = 7, epoch: int = 0
    ) -> dict[str, Any]:
        return {"trial": trial, "attempt": attempt, "pid": pid, "what": what, "epoch": epoch}

    first = [line("begin"), line("epoch", epoch=1)]
    other = [line("begin", 1, 1, 8), line("epoch", 1, 1, 8, 1)]
    again = [line("begin", attempt=2, pid=9), line("epoch", attempt=2, pid=9, epoch=2)]
    over = [line("end", attempt=2, pid=9)]
    good = [*first, *other, *again, *over]
    assert soak_ray.at_once(good, 2) == set()
    assert soak_ray.trained(good) == {0: [1, 2], 1: [1]}
    for wrong in (
        [*first, line("beside", attempt=2, pid=9), *again],  # its lock was held
        [*first, *again, line("epoch", epoch=2)],  # the first attempt goes on beside the second
        [*first, *first],  # one attempt begins twice
        [*first, *again, *over, line("begin", attempt=3, pid=9)],  # all its epochs had been trained
    ):
        assert soak_ray.at_once([*wrong, *other], 2) == {0}


def test_the_witness_in_a_trainer_sees_that_another_holds_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real trainer, watched, while somebody else holds the lock of one of its trials."""
    from lcsearch.engine.protocol import Load, Ready, Reply, Train
    from lcsearch.engine.tasks import cnn
    from lcsearch.engine.training import loop
    from lcsearch.engine.training.trainer import Trainer

    monkeypatch.setattr(loop, "train", loop.train)  # as it was, at the end
    said: list[Reply] = []
    trainer = Trainer(said.append, "cpu", 1, "float32", probing=False)
    trainer.load(Load(data=DataSource(spec="digits", train_size=200)))
    ready = said[0]
    assert isinstance(ready, Ready)
    summary = ready.summary
    config = cnn.reference(summary.shape, summary.classes)
    place = tmp_path / "witness"
    place.mkdir()
    soak_ray.watch(trainer, str(place))
    for trial in (0, 1):
        handle = os.open(place / f"trial-{trial}", os.O_RDWR | os.O_CREAT)
        if trial == 1:
            fcntl.flock(handle, fcntl.LOCK_EX)
        path = tmp_path / f"trial-{trial}.pt"
        trainer.train(
            Train(
                trial=trial, attempt=1, config=config, reference=config, seed=0, epochs=2,
                features=4, checkpoint=str(path), lock=f"{path}.lock",
            )
        )  # fmt: skip
        os.close(handle)
    assert [type(one).__name__ for one in said].count("Finished") == 2
    seen = [(line["trial"], line["what"], line["epoch"]) for line in soak_ray.ledger(tmp_path)]
    whole = [("begin", 0), ("epoch", 1), ("epoch", 2), ("end", 0)]
    assert seen == [(0, *one) for one in whole] + [(1, *one) for one in [("beside", 0), *whole]]
    assert soak_ray.at_once(soak_ray.ledger(tmp_path), 2) == {1}


def test_resources_are_read() -> None:
    assert cluster.resources(["gpus=0.5", "cpus=4, fast=1"]) == {"gpus": 0.5, "cpus": 4, "fast": 1}
    for wrong in ("gpus", "gpus=", "gpus=many"):
        with pytest.raises(Misuse, match="RESOURCE=NUMBER"):
            cluster.resources([wrong])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parallel": 200}, "more than this machine's"),
        ({"executor": "ray", "per_trial": {"gpus": 1.5}}, "whole number"),
        ({"executor": "ray", "per_trial": {"gpus": 0}}, "whole number"),
        ({"executor": "ray", "per_trial": {"GPU": 1}}, "cpus, gpus"),
        ({"executor": "ray", "per_trial": {"a b": 1}}, "cpus, gpus"),
    ],
)
def test_what_no_trial_could_run_with_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Misuse, match=words):
        checked(Execution(**fields), "cnn")


def test_without_ray_the_remedy_is_said(home: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from lcsearch.tui.cli import app\n"
        "sys.argv = ['lcsearch', 'new', 's', '--executor', 'ray']\napp()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'lcsearch[ray]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_trials_run_is_set_and_shown(home: Path) -> None:
    if not cluster.installed():
        pytest.skip("ray is not installed")
    folder = create(home, Setup("s", DataSource(spec="digits", train_size=200), epochs=1))
    client = SessionClient(folder)
    assert client.refresh().session.execution == checked(Execution(), "cnn")
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli", "set", "s"]
    words = ["--executor", "ray", "--per-trial", "gpus=1", "--parallel", "4"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Ray cluster auto, 4 at once, gpus=1 each" in done.stderr
    execution = client.refresh().session.execution
    assert (execution.executor, execution.parallel, execution.per_trial) == ("ray", 4, {"gpus": 1})
    assert json.loads(client.refresh().session.model_dump_json())["execution"]["parallel"] == 4
    assert client.set_execution(executor="local").parallel == checked(Execution(), "cnn").parallel
    client.close()


def test_an_address_where_nothing_answers_ends_the_engine_with_the_reason(home: Path) -> None:
    if not cluster.installed():
        pytest.skip("ray is not installed")
    execution = Execution(executor="ray", address="127.0.0.1:9")
    data = DataSource(spec="digits", train_size=200)
    client = SessionClient(create(home, Setup("s", data, epochs=1, execution=execution)))
    # it may be gone before it is seen to serve: that is said too
    with contextlib.suppress(StoreError):
        client.start_engine()
    wait_for(lambda: not client.refresh().engine.alive, what="the engine's end")
    assert "Ray cluster '127.0.0.1:9': cannot be used" in client.refresh().engine.message
    assert states(client) == ["queued"]
    client.close()


def test_ray_is_imported_by_its_executor_alone() -> None:
    root = Path(cluster.__file__).resolve().parents[2]
    for folder in ("tui", "engine", "sessions"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if re.search(r"^\s*(import ray|from ray)\b", text, re.MULTILINE):
                assert path.name == "ray.py", path
    code = (
        "import lcsearch.engine.service, lcsearch.engine.client.session, sys\n"
        "print('ray' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_autopilot_keeps_as_many_at_once_as_the_session_says(home: Path) -> None:
    """From one ranking to the next, what was accepted is believed in and not proposed again."""
    if not cluster.installed():
        pytest.skip("ray is not installed")
    execution = Execution(executor="ray", parallel=3)
    data = DataSource(spec="digits", train_size=200)
    client = SessionClient(
        create(home, Setup("s", data, epochs=1, measure="macs", domains=SMALL, execution=execution))
    )
    client._store.update_trial(0, {"queued"}, state="done", error=0.2, complexity=1.0)
    client._store.apply(decide.autopilot(client.refresh(), trials=8))
    steps = []
    while autopilot.step(client.refresh()).do == "think":
        snapshot = client.refresh()
        ranking = client.rank(snapshot, count=1)
        steps.append(autopilot.step(snapshot, ranking).do)
        best = ranking.proposals[0]
        plan = decide.accept(snapshot, client.space, best.config, best.prediction, by="autopilot")
        client._store.apply(plan)
    assert steps == ["propose"] * 3
    assert autopilot.step(client.refresh()).do == "wait"
    assert len({trial.key for trial in client.refresh().trials}) == 4
    assert [trial.number for trial in search.waiting(client.refresh())] == [1, 2, 3]
    client._store.update_trial(1, {"queued"}, state="done", error=0.2, complexity=0.5)
    assert autopilot.step(client.refresh()).do == "think"
    client.close()


async def test_the_console_copes_with_many_trials_at_once() -> None:
    from textual.app import App, ComposeResult

    from lcsearch.tui.widgets.header import engine_words
    from lcsearch.tui.widgets.training import MOST_LINES, TrainingPanel

    from .fakes import NOW, make_snapshot

    class Screen(App[None]):
        def compose(self) -> ComposeResult:
            yield TrainingPanel()

    snapshot = make_snapshot()
    many = [
        snapshot.trials[-1].model_copy(
            update={"number": number, "state": "running" if number < 10 else "queued"}
        )
        for number in range(13)
    ]
    snapshot = dataclasses.replace(snapshot, trials=tuple(many))
    assert "10 training, 3 queued" in engine_words(snapshot).plain
    async with Screen().run_test() as pilot:
        panel = pilot.app.query_one(TrainingPanel)
        panel.show(snapshot, NOW)
        await pilot.pause()
        lines = str(panel.visual).splitlines()
    running = [line for line in lines if "/10" in line]
    assert [line.split()[0] for line in running] == [str(n) for n in range(MOST_LINES)]
    assert f"and {10 - MOST_LINES} more are training" in lines
    assert lines[MOST_LINES + 1].split()[:2] == ["10", "queued"]
