"""Several devices of one machine: a trainer each, named by the session, recorded with the trial."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from lcsearch.engine import search
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors import devices, local
from lcsearch.engine.executors.base import Event, Notice
from lcsearch.engine.executors.devices import check_devices, trainers_of
from lcsearch.engine.executors.local import DevicesExecutor, LocalExecutor
from lcsearch.engine.executors.registry import checked
from lcsearch.engine.protocol import Finished, Stop, Train
from lcsearch.engine.search import decide
from lcsearch.engine.service import Service
from lcsearch.engine.tasks.task import session_space
from lcsearch.engine.training import trainer
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.records import DataSource, Execution
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app

from .sessions_for_tests import MACHINE, filled_store, finish, make_store


class Fake(LocalExecutor):
    """A trainer that trains what it is given until it is told otherwise."""

    made: list[Fake] = []  # noqa: RUF012 - of one test at a time
    running: tuple[tuple[int, int], ...] = ()

    def __init__(
        self,
        data: DataSource | None,
        fingerprint: str,
        log: IO[bytes] | None,
        dtype: str | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.dtype, self.device, self.threads = dtype, device, threads
        self.stopped: list[int] = []
        self.said: list[Event] = []
        self.closed = False
        Fake.made.append(self)

    def room(self, wanted: int) -> int:
        return 0 if self.running else min(wanted, 1)

    def train(self, task: Train) -> None:
        self.running, self.task = ((task.trial, task.attempt),), task

    def end(self) -> None:
        self.running = ()

    def stop(self, order: Stop) -> None:
        self.stopped.append(order.trial)

    def wait(self, seconds: float) -> list[Event]:
        said, self.said = self.said, []
        return said

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    monkeypatch.setattr(local, "LocalExecutor", Fake)
    Fake.made = []
    return Fake.made


def task(number: int) -> Train:
    return Train(
        trial=number, attempt=1, config={}, reference={}, seed=0, epochs=1, features=4,
        checkpoint="", lock="",
    )  # fmt: skip


def test_a_trial_goes_to_the_first_device_that_is_free(made: list[Fake]) -> None:
    both = DevicesExecutor([Fake(None, "", None, device="cuda:0"), Fake(None, "", None)])
    assert both.room(5) == 2
    both.train(task(7))
    both.train(task(8))
    assert (both.room(5), both.running) == (0, ((7, 1), (8, 1)))
    both.stop(Stop(trial=8, attempt=1, mode="now"))
    both.stop(Stop(trial=9, attempt=1, mode="now"))  # has ended meanwhile
    assert [one.stopped for one in made] == [[], [8]]
    made[0].end()
    assert both.room(5) == 1
    both.train(task(10))
    assert made[0].running == ((10, 1),)
    made[0].said, made[1].said = [Notice("a")], [Notice("b")]
    assert both.wait(0.1) == [Notice("a"), Notice("b")]
    both.close()
    assert all(one.closed for one in made)


def test_the_session_says_which_devices_and_which_numbers(home: Path, made: list[Fake]) -> None:
    Service(make_store(home), 1.0)
    assert [(one.device, one.dtype) for one in made] == [("auto", None)]
    made.clear()
    two = Execution(devices=("cuda:0", "cuda:1"), parallel=2, dtype="float16")
    Service(make_store(home, "two", execution=two), 1.0)
    assert [(one.device, one.dtype) for one in made] == [
        ("cuda:0", "float16"),
        ("cuda:1", "float16"),
    ]


def test_several_at_once_share_the_processors(
    home: Path, made: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "processors", lambda: 8)
    Service(make_store(home, execution=Execution(parallel=2)), 1.0)
    assert [(one.device, one.threads) for one in made] == [("auto", 4), ("auto", 4)]
    made.clear()
    Service(make_store(home, "one", execution=Execution(parallel=1)), 1.0)
    assert [one.threads for one in made] == [None]
    made.clear()
    gpus = Execution(devices=("cuda:0", "cuda:1"), parallel=2)
    Service(make_store(home, "gpus", execution=gpus), 1.0)
    assert [one.threads for one in made] == [None, None]
    made.clear()
    # made on a larger machine, or on one without a GPU
    monkeypatch.setattr(devices, "processors", lambda: 2)
    Service(make_store(home, "moved", execution=Execution(parallel=8)), 1.0)
    assert [one.threads for one in made] == [1, 1]
    made.clear()
    monkeypatch.setattr(devices, "processors_only", lambda: False)
    Service(make_store(home, "gpu", execution=Execution(parallel=2)), 1.0)
    assert [one.threads for one in made] == [None]


@pytest.mark.parametrize(("measure", "timed"), [("seconds", True), ("params", False)])
def test_a_trainer_is_told_whether_seconds_count(
    home: Path, made: list[Fake], measure: str, timed: bool
) -> None:
    store = make_store(home, measure=measure, execution=Execution(parallel=1))
    snapshot = store.refresh()
    Service(store, 1.0)._begin(snapshot.trials[0], snapshot)
    assert made[0].task.timed is timed


def test_another_number_at_once_is_another_set_of_trainers(
    home: Path, made: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "processors", lambda: 8)
    store = make_store(home, execution=Execution(parallel=1))
    service_ = Service(store, 1.0)
    store.set_session({}, execution=Execution(parallel=2))
    assert service_._may_begin(store.refresh().session)
    assert [(one.threads, one.closed) for one in made] == [(None, True), (4, False), (4, False)]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, as torch tells of it."""
    told = ["cuda:0 (a card): float16", "cuda:1 (a card): float16", "cpu: bfloat16"]
    monkeypatch.setattr(devices, "devices_here", lambda: told)
    monkeypatch.setattr(devices, "processors_only", lambda: False)


@pytest.mark.parametrize(
    ("gpu", "cores", "fields", "number"),
    [
        (False, 8, {}, 2),
        (False, 1, {}, 1),
        (False, 8, {"parallel": 1}, 1),
        (False, 8, {"parallel": 8, "devices": ("cpu",)}, 8),
        (True, 8, {}, 1),
        (True, 8, {"devices": ("cpu",)}, 2),
        (True, 8, {"devices": ("cuda:0",)}, 1),
        (True, 8, {"devices": ("cuda:0", "cuda:1")}, 2),
    ],
)
def test_how_many_at_once_where_nobody_says(
    cards: None,
    monkeypatch: pytest.MonkeyPatch,
    gpu: bool,
    cores: int,
    fields: dict[str, Any],
    number: int,
) -> None:
    monkeypatch.setattr(devices, "processors_only", lambda: not gpu)
    monkeypatch.setattr(devices, "processors", lambda: cores)
    assert checked(Execution(**fields), "cnn").parallel == number


@pytest.mark.parametrize(
    ("gpu", "fields", "words"),
    [
        (False, {"parallel": 3}, "more than this machine's 2 processors"),
        (True, {"parallel": 2}, "a GPU trains one trial at a time"),
        (True, {"parallel": 2, "devices": ("cuda:0",)}, "1 are named"),
        (True, {"parallel": 3, "devices": ("cuda:0", "cuda:1")}, "2 are named"),
        (True, {"parallel": 1, "devices": ("cuda:0", "cuda:1")}, "2 are named"),
    ],
)
def test_more_at_once_than_can_be_is_refused(
    cards: None, monkeypatch: pytest.MonkeyPatch, gpu: bool, fields: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(devices, "processors_only", lambda: not gpu)
    monkeypatch.setattr(devices, "processors", lambda: 2)
    with pytest.raises(Misuse, match=words):
        checked(Execution(**fields), "cnn")


def timed(store: Store, number: int, threads: int) -> None:
    """The trial as measured with so many threads of the processors."""
    finish(store, number)
    machine = MACHINE.model_copy(update={"threads": threads})
    store.update_trial(number, {"done"}, machine=machine)


def test_threads_do_not_change_once_times_were_measured(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same small network has another f_c with other threads."""
    monkeypatch.setattr(devices, "processors", lambda: 8)
    monkeypatch.setattr(devices, "processors_only", lambda: True)
    store = make_store(home, execution=Execution(parallel=2))
    client = SessionClient(store.folder)
    assert client.set_execution(parallel=8).parallel == 8  # nothing is measured yet
    assert client.set_execution(parallel=2).parallel == 2
    timed(store, 0, 4)
    assert search.timed_with(store.refresh()) == 4
    with pytest.raises(Misuse, match=r"timed with 4 threads each.* enough for 2 at once"):
        client.set_execution(parallel=3)
    with pytest.raises(Misuse, match="enough for 2 at once"):
        client.set_execution(devices=("cpu",), parallel=3)  # the same processors by another name
    execution = client.set_execution(parallel=1)
    assert trainers_of(execution, 4) == [("auto", 4)]
    assert client.set_execution(dtype="float32").dtype == "float32"
    counted = make_store(home, "counted", measure="macs", execution=Execution(parallel=2))
    timed(counted, 0, 4)
    assert SessionClient(counted.folder).set_execution(parallel=8).parallel == 8


@pytest.mark.parametrize(
    ("cores", "parallel", "timed_with", "trainers"),
    [
        (8, 2, None, [("auto", 4)] * 2),
        (8, 1, None, [("auto", None)]),
        (16, 2, 4, [("auto", 4)] * 2),  # a larger machine changes nothing
        (16, 8, 4, [("auto", 4)] * 4),
        (4, 2, 4, [("auto", 4)]),
        (2, 2, 4, [("auto", 2)]),  # as many as there are: its times are marked
    ],
)
def test_a_session_keeps_its_threads_on_another_machine(
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    parallel: int,
    timed_with: int | None,
    trainers: list[tuple[str, int | None]],
) -> None:
    monkeypatch.setattr(devices, "processors", lambda: cores)
    monkeypatch.setattr(devices, "processors_only", lambda: True)
    assert trainers_of(Execution(parallel=parallel), timed_with) == trainers


def test_a_command_that_stops_asks_which_of_several(home: Path) -> None:
    store = make_store(home)
    space = session_space(store.refresh().session)
    base = store.refresh().trials[0].config
    other = space.completed({"batch_size": 64}, base)
    store.apply(decide.accept(store.refresh(), space, other, None))
    for trial in store.refresh().trials:
        store.update_trial(trial.number, {"queued"}, state="running", attempt=1)
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli", "stop", "demo"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "Trials 0 and 1 run. Give --trial N." in ran.stderr
    assert all(trial.stop_request is None for trial in store.refresh().trials)


def test_what_was_said_goes_before_what_was_done(home: Path, made: list[Fake]) -> None:
    """A session's trials are trained alike, unless it is told otherwise."""
    store = filled_store(home, 1)
    Service(store, 1.0)
    assert made[-1].dtype == MACHINE.dtype == "float32"
    store.set_session({}, execution=Execution(dtype="bfloat16"))
    Service(store, 1.0)
    assert made[-1].dtype == "bfloat16"


def test_a_containers_quota_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch would start a thread for each processor of the host."""
    monkeypatch.setattr(devices, "processors_only", lambda: True)
    monkeypatch.setattr(devices, "processors", lambda: 2)
    monkeypatch.setattr(devices, "held_back", lambda: True)
    assert trainers_of(Execution(parallel=1)) == [("auto", 2)]
    assert trainers_of(Execution(parallel=2)) == [("auto", 1)] * 2
    assert trainers_of(Execution(devices=("cuda:0",))) == [("cuda:0", None)]


def test_a_time_taken_with_other_threads_is_marked(
    home: Path, made: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the session went on on a machine of fewer processors."""
    monkeypatch.setattr(devices, "processors", lambda: 1)
    store = filled_store(home, 1)
    store.update_trial(0, {"done"}, machine=MACHINE.model_copy(update={"threads": 4}))
    client = SessionClient(store.folder)
    base = store.refresh().trials[0].config
    store.apply(decide.accept(store.refresh(), client.space, {**base, "batch_size": 64}, None))
    number = len(store.refresh().trials) - 1
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    engine = Service(store, 1.0)
    assert [trainer.threads for trainer in made] == [1]
    made[-1].said = [
        Finished(
            trial=number, attempt=1, error=0.1, costs={"seconds": 1.0},
            reference_costs={"seconds": 1.0}, machine=MACHINE.model_copy(update={"threads": 1}),
        )
    ]  # fmt: skip
    for event in made[-1].wait(0):
        engine._hear(event)
    trial = store.refresh().trials[number]
    assert trial.disturbed == ("threads: 1, and 4 in the trials before",)
    client.close()


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:123", ""])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(ValidationError):
        Execution(devices=(device,))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--device", "tpu"], "--device tpu: not usable"),
        (["--device", "cuda:0,cuda:0"], "not usable"),
        (["--per-trial", "gpus=1"], "--per-trial: of a Ray cluster"),
        (["--address", "10.0.0.1:6379"], "--address: of a Ray cluster"),
        (["--data-on-nodes"], "add --executor ray"),
    ],
)
def test_the_command_refuses_what_is_no_device(home: Path, given: list[str], said: str) -> None:
    make_store(home)
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli", "set", "demo", *given]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_the_command_sets_devices_and_how_many_at_once(home: Path, cards: None) -> None:
    store = make_store(home)
    given = ["--device", "cuda:0,cuda:1", "--dtype", "float16"]
    ran = CliRunner().invoke(app, ["set", "demo", *given])
    assert ran.exit_code == 0
    assert "cuda:0, cuda:1 in float16" in ran.stderr
    execution = store.refresh().session.execution
    assert execution.devices == ("cuda:0", "cuda:1")
    assert (execution.parallel, execution.dtype) == (2, "float16")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "cpu", "auto"])
def test_a_device_that_is_there_may_be_named(cards: None, device: str) -> None:
    check_devices(Execution(devices=(device,)))


@pytest.mark.parametrize("device", ["cuda:2", "mps"])
def test_a_device_that_is_not_there_is_refused(cards: None, device: str) -> None:
    has = f"--device {device}: not on this machine, which has cuda:0, cuda:1, cpu."
    with pytest.raises(Misuse, match=has):
        check_devices(Execution(devices=(device,)))


def test_without_a_gpu_none_is_accepted_and_torch_is_not_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "processors_only", lambda: True)
    monkeypatch.setattr(devices, "devices_here", lambda: pytest.fail("torch was asked"))
    elsewhere = Execution(devices=("cuda:0",), parallel=1)
    store = make_store(home, execution=elsewhere)
    words = "--device cuda:0: not on this machine, which has cpu."
    for command in (["set", "demo"], ["new", "other"]):
        ran = CliRunner().invoke(app, [*command, "--device", "cuda:0"])
        assert (ran.exit_code, words in ran.stderr) == (2, True), ran.output
    # made where there is one, it opens and keeps what it says
    client = SessionClient(store.folder)
    assert client.refresh().session.execution == elsewhere
    assert client.set_execution(devices=("cpu",)).devices == ("cpu",)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_is_the_best_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert trainer.chosen_device("auto") == chosen
    assert trainer.chosen_device("cuda:1") == "cuda:1"


def test_a_lost_gpu_ends_the_trainer_and_full_memory_the_trial() -> None:
    import torch

    gone = RuntimeError("CUDA error: unspecified launch failure")
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    cpu = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    assert trainer.device_lost(gone)
    for error in (full, cpu):
        assert not trainer.device_lost(error)
        kind, message = trainer._reason(error, 4)
        assert kind == "memory"
        assert "Lower its batch_size" in message
    assert not trainer.device_lost(RuntimeError("shapes do not fit"))


def test_the_doctor_is_told_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    *cards, processor = trainer.devices()
    assert cards == ["cuda:0 (card 0): float16", "cuda:1 (card 1): float16"]
    assert processor in ("cpu: bfloat16", "cpu: float32")


def test_the_doctor_shows_them() -> None:
    from lcsearch.tui.commands.checks import _devices

    check = _devices()
    assert check.good
    assert "cpu: " in check.found
