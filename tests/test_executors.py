"""What every executor must do, asked of each in the registry and of one that trains nothing.

Run as a program (`python tests/test_executors.py KIND FOLDER`) it asks one in a process of its own.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lcsearch.engine.executors import registry
from lcsearch.engine.executors.base import Event, Executor, Notice
from lcsearch.engine.executors.devices import probe
from lcsearch.engine.protocol import Ended, EpochDone, Finished, Ready, Started, Stop, Train
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.records import Config, DataSource, Execution, Session, now

PATIENCE = 300.0
EPOCHS, LONG = 3, 400
"""Of a trial that is trained to its end, and of one that is stopped long before."""


class Asked:
    """One executor, and what it said so far."""

    def __init__(self, executor: Executor, config: Config, folder: Path) -> None:
        """config: what every trial trains."""
        self.executor = executor
        self.config = config
        self.folder = folder
        self.said: list[Event] = []

    def train(self, trial: int, attempt: int = 1, epochs: int = EPOCHS) -> None:
        """Begin a trial as soon as there is room."""
        self.until(lambda: self.executor.room(1) == 1, "room")
        paths = {n: str(self.folder / f"trial-{trial}.{n}") for n in ("checkpoint", "lock")}
        config = self.config
        order = Train(
            trial=trial, attempt=attempt, config=config, reference=config, seed=trial,
            epochs=epochs, features=4, timed=False, **paths,
        )  # fmt: skip
        self.executor.train(order)
        assert (trial, attempt) in self.executor.running

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Listen until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come: {self.said}"
            self.said += [e for e in self.executor.wait(0.05) if not isinstance(e, Notice)]

    def of(self, trial: int, attempt: int = 1) -> list[Event]:
        """What it said of one attempt."""
        return [
            event
            for event in self.said
            if isinstance(event, Started | EpochDone | Finished | Ended)
            and (event.trial, event.attempt) == (trial, attempt)
        ]

    def epochs(self, trial: int, attempt: int = 1) -> list[int]:
        """The epochs that it said were trained in this attempt."""
        told = self.of(trial, attempt)
        return [event.epoch.epoch for event in told if isinstance(event, EpochDone)]

    def over(self, trial: int, attempt: int = 1) -> bool:
        """Whether it said that the attempt is over."""
        return any(isinstance(e, Finished | Ended) for e in self.of(trial, attempt))


def a_trial_from_start_to_end(asked: Asked) -> None:
    """Started, every epoch once and in order, Finished; then there is room again."""
    asked.train(1)
    asked.until(lambda: asked.over(1), "its end")
    first, *epochs, last = asked.of(1)
    assert isinstance(first, Started)
    assert first.epochs == ()
    assert asked.epochs(1) == [1, 2, 3]
    assert len(epochs) == 3
    assert isinstance(last, Finished)
    accuracies = [e.epoch.val_accuracy for e in epochs if isinstance(e, EpochDone)]
    assert last.error == pytest.approx(1 - max(accuracies))
    assert last.costs.keys() == last.reference_costs.keys()
    assert last.machine.processor
    assert asked.executor.running == ()
    asked.until(lambda: asked.executor.room(1) == 1, "room")
    assert asked.executor.room(0) == 0


def one_that_is_stopped(asked: Asked) -> None:
    """It ends, not paused."""
    asked.train(2, epochs=LONG)
    asked.until(lambda: len(asked.epochs(2)) > 0, "an epoch")
    asked.executor.stop(Stop(trial=2, attempt=1, mode="epoch"))
    asked.until(lambda: asked.over(2), "its end")
    last = asked.of(2)[-1]
    assert isinstance(last, Ended)
    assert not last.paused
    assert asked.epochs(2) == list(range(1, len(asked.epochs(2)) + 1))
    assert asked.executor.running == ()


def one_that_is_paused_and_goes_on(asked: Asked) -> None:
    """The second attempt begins where the first was left, and trains no epoch twice."""
    asked.train(3, epochs=LONG)
    asked.until(lambda: len(asked.epochs(3)) > 0, "an epoch")
    asked.executor.stop(Stop(trial=3, attempt=1, mode="pause"))
    asked.until(lambda: asked.over(3), "its end")
    last, done = asked.of(3)[-1], len(asked.epochs(3))
    assert isinstance(last, Ended)
    assert last.paused
    asked.train(3, attempt=2, epochs=done + 2)
    asked.until(lambda: asked.over(3, 2), "its end")
    first = asked.of(3, 2)[0]
    assert isinstance(first, Started)
    assert [epoch.epoch for epoch in first.epochs] == list(range(1, done + 1))
    assert asked.epochs(3, 2) == [done + 1, done + 2]


def a_stop_that_comes_too_late(asked: Asked) -> None:
    """Nothing happens."""
    asked.executor.stop(Stop(trial=1, attempt=1, mode="now"))
    asked.executor.stop(Stop(trial=99, attempt=1, mode="now"))
    before = len(asked.said)
    asked.said += asked.executor.wait(0.2)
    assert len(asked.said) == before
    assert asked.executor.running == ()


def closed_and_used_again(asked: Asked) -> None:
    """What ran is gone, nothing more is said of it, and another trial trains."""
    asked.train(4, epochs=LONG)
    asked.until(lambda: len(asked.epochs(4)) > 0, "an epoch")
    asked.executor.close()
    assert asked.executor.running == ()
    told = len(asked.of(4))
    asked.train(5)
    asked.until(lambda: asked.over(5), "its end")
    assert len(asked.of(4)) == told
    asked.executor.close()


CHECKS = (
    a_trial_from_start_to_end,
    one_that_is_stopped,
    one_that_is_paused_and_goes_on,
    a_stop_that_comes_too_late,
    closed_and_used_again,
)
KINDS = {
    "toy": Execution(executor="toy"),
    "local": Execution(devices=("cpu",)),
    "several": Execution(devices=("cpu",), parallel=2),
    "ray": Execution(executor="ray", address="local"),
}


def asked_of(kind: str, folder: Path) -> Asked:
    """A new executor of this kind on a small data set."""
    if kind == "toy":
        from .toy import ToyExecutor

        held = frozenset({(2, 1), (3, 1), (4, 1)})
        return Asked(ToyExecutor(held), {"x": 0.5, "n": 4}, folder)
    data = DataSource(spec="digits", train_size=200)
    answer = probe(data)
    assert isinstance(answer, Ready)
    session = Session(
        name="s", created=now(), data=data, summary=answer.summary, execution=KINDS[kind]
    )
    made = registry.executor_named(session.execution.executor).make(
        session, "float32", None, (folder / "log").open("ab")
    )
    config = session_space(session).reference
    assert config is not None
    return Asked(made, config, folder)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ray"])
def test_here(kind: str, tmp_path: Path) -> None:
    asked = asked_of(kind, tmp_path)
    try:
        for check in CHECKS:
            check(asked)
    finally:
        asked.executor.close()


@pytest.fixture
def apart() -> list[str]:
    """What runs a program in a network of its own, so that a cluster in it meets no other."""
    from .conftest import benchmark, without

    if importlib.util.find_spec("ray") is None:
        without("ray is not installed")
    reason = benchmark("soak_ray").Nodes.unable()
    if reason is not None:
        pytest.skip(f"no network namespace can be made here ({reason}): Ray is not tested")
    return ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]


def test_on_a_cluster(apart: list[str], tmp_path: Path) -> None:
    program = [sys.executable, __file__, "ray", str(tmp_path)]
    done = subprocess.run([*apart, *program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-len(CHECKS) :] == [check.__name__ for check in CHECKS]


def test_every_executor_of_the_registry_is_asked() -> None:
    assert {execution.executor for execution in KINDS.values()} == {*registry.EXECUTORS, "toy"}


def test_each_says_what_it_cannot_use() -> None:
    for kind in registry.EXECUTORS.values():
        execution = Execution(executor=kind.name)
        assert registry.describe(execution).startswith("trials run ")
        assert kind.at_once(execution) >= 1
        others = {name for other in registry.EXECUTORS.values() for name in other.own} - kind.own
        for name in others:
            with pytest.raises(Misuse, match=f"--{name.replace('_', '-')}: of "):
                registry.check_fields(kind.name, [name])
        registry.check_fields(kind.name, kind.own)
    with pytest.raises(Misuse, match=r"--executor moon: unknown\. Use local, ray\."):
        registry.executor_named("moon")


if __name__ == "__main__":
    only = asked_of(sys.argv[1], Path(sys.argv[2]))
    for one in CHECKS:
        one(only)
        print(one.__name__)
