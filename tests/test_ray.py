"""Trials on a Ray cluster: a real one, of several nodes, of which one is killed in the middle."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lcsearch.engine import desk as desks
from lcsearch.engine import search
from lcsearch.engine.desk import Desk
from lcsearch.engine.executors import cluster
from lcsearch.sessions.records import DataSource, Execution, Setup
from lcsearch.sessions.store import Misuse, StoreError

from .conftest import benchmark, wait_for, without

soak_ray = benchmark("soak_ray")
SMALL = {"conv_layers": "3", "channels": "24..64"}


@pytest.fixture(scope="module")
def nodes():
    """A cluster of a head without processors, and two nodes with one each."""
    if importlib.util.find_spec("ray") is None:
        without("ray is not installed")
    reason = soak_ray.Nodes.unable()
    if reason is not None:
        pytest.skip(f"no network namespace can be made here ({reason}): Ray is not tested")
    try:
        found = soak_ray.Nodes(2)
    except soak_ray.Gone:
        # a raylet gives its agents 15 s to start, which is a matter of the machine's load alone
        pytest.skip("the nodes of a Ray cluster do not start within Ray's own limits here")
    yield found
    found.close()


def make(home, name, nodes, epochs, **execution):
    given = Execution(executor="ray", address=nodes.address, **execution)
    folder = desks.create(
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
    return Desk(folder)


def end(desk):
    """Have the engine leave, and see that it does."""
    if desk.refresh().engine.alive:
        os.kill(desk.refresh().engine.pid, signal.SIGTERM)
        wait_for(lambda: not desk.refresh().engine.alive, 30, "the engine's end")
    desk.close()


def actors(nodes):
    """Processes of the cluster in which a trainer lives."""
    found = []
    for process in psutil.Process(nodes.process.pid).children(recursive=True):
        try:
            if process.cmdline()[0].startswith("ray::TrainerActor"):
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


def states(desk):
    return [trial.state for trial in desk.refresh().trials]


# the order matters: the last of them leaves a node less


def test_stop_pause_and_resume_reach_another_node(home, nodes, monkeypatch):
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "60")
    desk = make(home, "stops", nodes, epochs=400, parallel=2)
    nodes.start_engine(desk.folder)
    wait_for(lambda: len(desk.refresh().trials[0].epochs) >= 2, what="two epochs")
    desk.stop(0, "pause")
    wait_for(lambda: states(desk)[0] == "paused", what="the pause")
    seen = desk.refresh().trials[0].epochs
    assert (desk.folder / "checkpoints" / "trial-0.pt").exists()
    desk.resume(0)
    wait_for(lambda: len(desk.refresh().trials[0].epochs) > len(seen), what="going on")
    going = desk.refresh().trials[0]
    assert going.epochs[: len(seen)] == seen
    assert going.epochs[len(seen)].resumed
    assert going.attempt == 2
    desk.stop(0, "now")
    wait_for(lambda: states(desk)[0] == "stopped", what="the stop")
    wait_for(lambda: not list((desk.folder / "checkpoints").iterdir()), 5, "the tidying up")
    # its actors are the engine's own, and end with it, however it ends
    assert actors(nodes)
    os.kill(desk.refresh().engine.pid, signal.SIGKILL)
    wait_for(lambda: not actors(nodes), what="the end of the actors")
    desk.close()


def test_a_killed_node_loses_nothing_and_nothing_runs_twice(home, nodes, monkeypatch):
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "60")
    desk = make(home, "nodes", nodes, epochs=20, parallel=2)
    soak_ray.queue(desk, 6)
    nodes.start_engine(desk.folder)
    wait_for(lambda: states(desk).count("running") == 2, what="two trials at once")
    wait_for(
        lambda: (
            all(len(t.epochs) >= 1 for t in desk.refresh().trials if t.state == "running")
            and states(desk).count("running") == 2
        ),
        what="an epoch of both",
    )
    before = {t.number: t.epochs for t in desk.refresh().trials}
    nodes.kill(0)
    wait_for(
        lambda: len(states(desk)) == 6 and set(states(desk)) <= {"done", "failed"},
        what="the end of all trials",
    )
    trials = desk.refresh().trials
    assert [t.state for t in trials] == ["done"] * 6, [t.failure for t in trials]
    assert [[e.epoch for e in t.epochs] for t in trials] == [list(range(1, 21))] * 6
    assert all(t.epochs[: len(before.get(t.number, ()))] == before[t.number] for t in trials[:2])
    assert max(t.attempt for t in trials) == 2
    assert all(e.reference_seconds for t in trials for e in t.epochs)
    again = [t for t in trials if t.attempt == 2]
    assert all(any(e.resumed for e in t.epochs) for t in again)
    assert all(t.machine.node for t in trials)
    assert len({t.key for t in trials}) == 6
    assert soak_ray.twice((desk.folder / "engine.log").read_text(encoding="utf-8")) == set()
    assert not list((desk.folder / "checkpoints").iterdir())
    end(desk)


# -- what needs no cluster ------------------------------------------------------------------------


def test_resources_are_read():
    assert cluster.resources(["gpus=0.5", "cpus=4, fast=1"]) == {"gpus": 0.5, "cpus": 4, "fast": 1}
    for wrong in ("gpus", "gpus=", "gpus=many"):
        with pytest.raises(Misuse, match="RESOURCE=NUMBER"):
            cluster.resources([wrong])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parallel": 2}, "one trial at a time"),
        ({"executor": "ray", "per_trial": {"gpus": 1.5}}, "whole number"),
        ({"executor": "ray", "per_trial": {"gpus": 0}}, "whole number"),
        ({"executor": "ray", "per_trial": {"GPU": 1}}, "cpus, gpus"),
        ({"executor": "ray", "per_trial": {"a b": 1}}, "cpus, gpus"),
    ],
)
def test_what_no_trial_could_run_with_is_refused(fields, words):
    with pytest.raises(Misuse, match=words):
        cluster.checked(Execution(**fields))


def test_without_ray_the_remedy_is_said(home):
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


def test_where_trials_run_is_set_and_shown(home):
    if not cluster.installed():
        pytest.skip("ray is not installed")
    folder = desks.create(home, Setup("s", DataSource(spec="digits", train_size=200), epochs=1))
    desk = Desk(folder)
    assert desk.refresh().session.execution == Execution()
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli", "set", "s"]
    words = ["--executor", "ray", "--per-trial", "gpus=1", "--parallel", "4"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Ray cluster auto, 4 at once, gpus=1 each" in done.stderr
    execution = desk.refresh().session.execution
    assert (execution.executor, execution.parallel, execution.per_trial) == ("ray", 4, {"gpus": 1})
    assert json.loads(desk.refresh().session.model_dump_json())["execution"]["parallel"] == 4
    assert desk.set_execution(executor="local").parallel == 1
    desk.close()


def test_an_address_where_nothing_answers_ends_the_engine_with_the_reason(home):
    if not cluster.installed():
        pytest.skip("ray is not installed")
    execution = Execution(executor="ray", address="127.0.0.1:9")
    data = DataSource(spec="digits", train_size=200)
    desk = Desk(desks.create(home, Setup("s", data, epochs=1, execution=execution)))
    # it may be gone before it is seen to serve: that is said too
    with contextlib.suppress(StoreError):
        desk.start_engine()
    wait_for(lambda: not desk.refresh().engine.alive, what="the engine's end")
    assert "Ray cluster '127.0.0.1:9': cannot be used" in desk.refresh().engine.message
    assert states(desk) == ["queued"]
    desk.close()


def test_ray_is_imported_by_its_executor_alone():
    root = Path(cluster.__file__).resolve().parents[2]
    for folder in ("tui", "engine", "sessions"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if re.search(r"^\s*(import ray|from ray)\b", text, re.MULTILINE):
                assert path.name == "cluster.py", path
    code = "import lcsearch.engine.service, lcsearch.engine.desk, sys; print('ray' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_autopilot_keeps_as_many_at_once_as_the_session_says(home):
    """From one ranking to the next, what was accepted is believed in and not proposed again."""
    if not cluster.installed():
        pytest.skip("ray is not installed")
    execution = Execution(executor="ray", parallel=3)
    data = DataSource(spec="digits", train_size=200)
    desk = Desk(
        desks.create(
            home, Setup("s", data, epochs=1, measure="macs", domains=SMALL, execution=execution)
        )
    )
    desk._store.update_trial(0, {"queued"}, state="done", error=0.2, complexity=1.0)
    desk._store.apply(search.autopilot(desk.refresh(), trials=8))
    steps = []
    while search.pilot_step(desk.refresh()).do == "think":
        snapshot = desk.refresh()
        ranking = desk.rank(snapshot, count=1)
        steps.append(search.pilot_step(snapshot, ranking).do)
        best = ranking.proposals[0]
        plan = search.accept(snapshot, desk.space, best.config, best.prediction, by="autopilot")
        desk._store.apply(plan)
    assert steps == ["propose"] * 3
    assert search.pilot_step(desk.refresh()).do == "wait"
    assert len({trial.key for trial in desk.refresh().trials}) == 4
    assert [trial.number for trial in search.waiting(desk.refresh())] == [1, 2, 3]
    desk._store.update_trial(1, {"queued"}, state="done", error=0.2, complexity=0.5)
    assert search.pilot_step(desk.refresh()).do == "think"
    desk.close()


async def test_the_console_copes_with_many_trials_at_once():
    from textual.app import App

    from lcsearch.tui.widgets.header import engine_words
    from lcsearch.tui.widgets.training import MOST_LINES, TrainingPanel

    from .fakes import NOW, make_snapshot

    class Screen(App):
        def compose(self):
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
    running = [line for line in lines if "epoch" in line]
    assert [line.split()[0] for line in running] == [str(n) for n in range(MOST_LINES)]
    assert f"and {10 - MOST_LINES} more are training" in lines
    assert lines[MOST_LINES + 1].split()[:2] == ["10", "queued"]
