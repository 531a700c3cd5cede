"""Threads are given up while others want the processors, and the seconds that count are not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import loop
from lcsearch.engine.training.checkpoint import restore
from lcsearch.engine.training.data import read
from lcsearch.engine.training.images import Draw, Placed, place
from lcsearch.engine.training.run import Run, Training, begin
from lcsearch.engine.training.threads import LOOK_SECONDS, STEADY_SECONDS, Threads
from lcsearch.sessions.records import DataSource, Epoch

TICK = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def four() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """Four processors, as /proc/stat tells of them, and a fifth that is another's."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.moment, self.idle, self.own = root / "stat", 100.0, 0.0, 0.0
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
        monkeypatch.setattr(time, "monotonic", lambda: self.moment)
        monkeypatch.setattr(os, "times", lambda: os.times_result((self.own, 0.0, 0.0, 0.0, 0.0)))
        self.goes(0.0, 0.0, 0.0)

    def goes(self, seconds: float, own: float, others: float) -> None:
        """So many processors are this process's for some seconds, and so many others'."""
        self.moment += seconds
        self.own += seconds * own
        self.idle += seconds * (4 - own - others)
        ticks = round(self.idle * TICK)
        lines = [f"cpu {TICK} 0 0 {ticks + 10 * TICK} 0 0 0 0 0 0"]
        lines += [f"cpu{n} 9 0 0 {ticks if n == 2 else 7} 5 0 0 0 0 0" for n in range(4)]
        lines += [f"cpu4 0 0 0 {round(self.moment * TICK)} 0 0 0 0 0 0", "intr 5 5"]
        self.file.write_text("\n".join(lines) + "\n")


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("own", "others", "wanted"),
    [(0, 0, 4), (4, 0, 4), (3.8, 0.2, 4), (1, 1, 3), (2, 2, 2), (1, 3, 1), (0.5, 3.5, 1)],
)
def test_as_many_threads_as_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: float, others: float, wanted: int
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    found = Threads(tmp_path)
    machine.goes(0.4 * LOOK_SECONDS, own, others)
    found.look()
    assert (found.wanted, found.short) == (4, False)  # the last look was just now
    machine.goes(STEADY_SECONDS, own, others)
    found.look()
    assert found.wanted == wanted
    found.take(found.wanted)
    assert torch.get_num_threads() == wanted
    found.take()
    assert torch.get_num_threads() == 4
    machine.goes(10.0, 1, 0)
    found.look()
    assert found.wanted == 4  # they come back


@pytest.mark.usefixtures("four")
def test_what_others_hold_for_a_moment_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    found = Threads(tmp_path)
    for _ in range(5):
        machine.goes(0.6 * STEADY_SECONDS, 2, 2)  # a ranking, say
        found.look()
        assert not found.short
        machine.goes(LOOK_SECONDS, 4, 0)
        found.look()
    machine.goes(0.6 * STEADY_SECONDS, 2, 2)
    found.look()
    assert not found.short
    machine.goes(0.6 * STEADY_SECONDS, 2, 2)
    found.look()
    assert found.wanted == 2


@pytest.mark.usefixtures("four")
def test_a_training_goes_on_with_what_it_began_with_or_less(tmp_path: Path) -> None:
    found = Threads(tmp_path)
    found.wanted = 3
    assert found.settle(None) == 3
    found.wanted = 4
    assert found.settle(3) == 3
    found.wanted = 1
    assert found.settle(3) == 1


@pytest.mark.usefixtures("four")
def test_where_nothing_is_counted_no_thread_is_given_up(tmp_path: Path) -> None:
    found = Threads(tmp_path)
    found.look()
    assert not found.short
    found.take(found.wanted)
    assert torch.get_num_threads() == 4


class Short(Threads):
    """Half of the threads are free, at every look."""

    def look(self) -> None:
        self.wanted = self.most // 2


class Reference(loop.Reference):
    """Takes a second a step, and notes the threads that it is timed with."""

    def __init__(self) -> None:
        self.steps_per_epoch = 1
        self.seen: list[int] = []

    def timed_steps(self, budget: float, hurried: bool = False) -> list[float]:
        self.seen.append(torch.get_num_threads())
        return [1.0]


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(read(DataSource(spec="digits")), torch.device("cpu"))


CONFIG = {
    **cnn.reference((1, 8, 8), 10),
    "conv_layers": 2, "channels": [8, 16], "downsample": ["none", "pool"], "kernel": [3, 3],
    "batch_norm": [True, True], "groups": [1, 1], "batch_size": 64,
}  # fmt: skip


def seen_by(
    placed: Placed, folder: Path, monkeypatch: pytest.MonkeyPatch, spare: Threads, timed: bool
) -> tuple[list[int], list[int], list[Epoch]]:
    """Threads of each step of two epochs and of each look at the reference; the epochs."""
    config = {**CONFIG, "batch_size": 16}
    task = Training(cnn.network(config, (1, 8, 8), 10, 2), config, 1, 2)
    steps: list[int] = []
    whole, reference = loop.step, Reference()

    def step(run: Run, drawn: Draw, start: int, end: int) -> Tensor:
        steps.append(torch.get_num_threads())
        return whole(run, drawn, start, end)

    monkeypatch.setattr(loop, "step", step)
    run = begin(task, placed, torch.float32)
    path = folder / "checkpoint.pt"
    epochs = list(loop.train(run, reference, path, lambda: False, spare, timed))
    assert torch.get_num_threads() == spare.most  # what comes next finds them as they were
    return steps, reference.seen, epochs


@pytest.mark.usefixtures("four")
def test_where_seconds_count_they_are_taken_with_all_threads_in_turns(
    placed: Placed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, timed, epochs = seen_by(placed, tmp_path, monkeypatch, Short(), timed=True)
    assert set(steps) == {2, 4}
    assert set(timed) == {4}
    half = len(steps) // 2
    assert steps[0] == steps[half] == 4  # each epoch is timed
    assert all(epoch.reference_seconds == 1.0 for epoch in epochs)


@pytest.mark.usefixtures("four")
def test_where_seconds_do_not_count_only_free_threads_are_taken(
    placed: Placed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, timed, epochs = seen_by(placed, tmp_path, monkeypatch, Short(), timed=False)
    assert set(steps) == set(timed) == {2}
    assert len(epochs) == 2


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("timed", [True, False])
def test_where_all_are_free_all_are_taken(
    placed: Placed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timed: bool
) -> None:
    spare = Threads(tmp_path)
    steps, beside, _ = seen_by(placed, tmp_path, monkeypatch, spare, timed)
    assert set(steps) == set(beside) == {4}


class Scarcer(Threads):
    """All threads are free, half of them at the second look, then all again."""

    looks = 0

    def look(self) -> None:
        self.looks += 1
        self.wanted = self.most // 2 if self.looks == 2 else self.most


@pytest.mark.usefixtures("four")
def test_how_many_there_are_is_kept_in_the_checkpoint_and_gone_on_with(
    placed: Placed, tmp_path: Path
) -> None:
    network = cnn.network(CONFIG, (1, 8, 8), 10, 2)
    path, short = tmp_path / "checkpoint.pt", Short()
    run = begin(Training(network, CONFIG, 1, 2), placed, torch.float32)
    for _ in loop.train(run, Reference(), path, lambda: False, short, timed=False):
        break  # paused after its first epoch
    assert torch.get_num_threads() == 4
    task = Training(network, CONFIG, 1, 3)
    again = restore(task, placed, path)
    assert again.threads == 2
    free = Threads(tmp_path)
    list(loop.train(again, Reference(), path, lambda: False, free, timed=False))
    assert not free.short
    assert again.threads == 2


@pytest.mark.usefixtures("four")
def test_what_was_given_up_is_not_taken_back(placed: Placed, tmp_path: Path) -> None:
    network = cnn.network(CONFIG, (1, 8, 8), 10, 2)
    run = begin(Training(network, CONFIG, 1, 4), placed, torch.float32)
    spare = Scarcer()
    seen: list[int] = []
    for _ in loop.train(run, Reference(), tmp_path / "c.pt", lambda: False, spare, timed=False):
        assert run.threads is not None
        seen.append(run.threads)
    assert seen[-1] == 2
    assert spare.wanted == 4
    assert sorted(seen, reverse=True) == seen


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("timed", [True, False])
def test_whoever_leaves_a_training_early_finds_all_threads(
    placed: Placed, tmp_path: Path, timed: bool
) -> None:
    network = cnn.network(CONFIG, (1, 8, 8), 10, 2)

    def begun() -> Iterator[Epoch]:
        run = begin(Training(network, CONFIG, 1, 2), placed, torch.float32)
        return loop.train(run, Reference(), tmp_path / "c.pt", stopped, Short(), timed)

    batches = 0

    def stopped() -> bool:
        nonlocal batches
        batches += 1
        return batches > 10

    assert list(begun()) == []  # stopped in the midst of an epoch
    assert torch.get_num_threads() == 4
    batches = -1000
    for _ in begun():
        assert torch.get_num_threads() == 4  # at an epoch's end, where its machine is written down
        break
    assert torch.get_num_threads() == 4
