"""The trainer as a real process: trains, stops, pauses, fails well, ends with its input."""

import errno
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import psutil
import pytest
from filelock import FileLock

from lcsearch.engine.metric import Confusion
from lcsearch.engine.objective import medians
from lcsearch.engine.protocol import (
    Ended,
    EpochDone,
    Failed,
    Finished,
    Load,
    Ready,
    Refused,
    Reply,
    Started,
    Stop,
    Train,
    replies,
)
from lcsearch.engine.tasks import cnn
from lcsearch.sessions.records import DataSource, Epoch, Record, matrix

from .conftest import PATIENCE

TRAINER = ["-P", "-m", "lcsearch.engine.training.trainer", "--threads", "1"]
COMMAND = [sys.executable, *TRAINER]
TELLING = [sys.executable, "-X", "importtime", *TRAINER]
"""A trainer that writes in its log what it imports."""
REFERENCE = cnn.reference((1, 8, 8), 10)
Kind = TypeVar("Kind", bound=Record)


class Process:
    """A trainer and what it says, read by a thread so that no test can hang."""

    ready: Ready
    """What it said when it had read its data, in the fixture that keeps one warm."""

    def __init__(self, folder: Path, *options: str, command: Sequence[str] = COMMAND) -> None:
        self.folder = folder
        self.log = (folder / "trainer.log").open("wb")
        self.child = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.put(line)
        self.lines.put("")

    def send(self, command: Load | Train | Stop) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(command.model_dump_json() + "\n")
        self.child.stdin.flush()

    def reply(self) -> Reply:
        line = self.lines.get(timeout=PATIENCE)
        assert line, "the trainer has ended"
        reply = replies.validate_json(line)
        # signs of life come by the clock: a busy machine gives more of them
        return self.reply() if reply.kind == "working" else reply

    def replies_until(self, *kinds: str) -> list[Reply]:
        said = [self.reply()]
        while said[-1].kind not in kinds:
            said.append(self.reply())
        return said

    def train(
        self, name: str = "t", trial: int = 1, attempt: int = 1, epochs: int = 3, **change: Any
    ) -> None:
        self.send(
            Train(
                trial=trial,
                attempt=attempt,
                config=REFERENCE | change,
                reference=REFERENCE,
                seed=5,
                epochs=epochs,
                features=4,
                checkpoint=str(self.folder / f"{name}.pt"),
                lock=str(self.folder / f"{name}.lock"),
            )
        )

    def until_end(self) -> list[Reply]:
        return self.replies_until("finished", "failed", "ended")

    def close(self) -> int:
        assert self.child.stdin is not None
        self.child.stdin.close()
        code = self.child.wait(PATIENCE)
        self.log.close()
        return code


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One warm trainer on the digits, for every test that leaves it alive."""
    process = Process(tmp_path_factory.mktemp("warm"), "--dtype", "float32", command=TELLING)
    process.send(Load(data=DataSource(spec="digits")))
    process.ready = of(Ready, process.reply())
    yield process
    assert process.close() == 0


def of(kind: type[Kind], reply: Reply) -> Kind:
    """A reply that is of this kind."""
    assert isinstance(reply, kind), reply
    return reply


def epochs_of(said: Sequence[Reply]) -> list[Epoch]:
    return [r.epoch for r in said if r.kind == "epoch"]


def curve(said: Sequence[Reply]) -> list[tuple[int, float, float]]:
    return [(e.epoch, e.train_loss, e.val_accuracy) for e in epochs_of(said)]


def test_it_says_what_it_has_read_and_where_it_trains(trainer: Process) -> None:
    summary, machine = trainer.ready.summary, trainer.ready.machine
    assert (*summary.shape, summary.classes) == (1, 8, 8, 10)
    assert machine is not None
    assert (machine.device, machine.threads, machine.dtype) == ("cpu", 1, "float32")
    assert machine.processor


def test_a_trial_from_start_to_end(trainer: Process) -> None:
    trainer.train("whole", epochs=3)
    started, *between, end = trainer.until_end()
    assert of(Started, started).epochs == ()
    epochs = [of(EpochDone, reply).epoch for reply in between]
    assert [e.epoch for e in epochs] == [1, 2, 3]
    finished = of(Finished, end)
    assert finished.error == pytest.approx(1 - max(e.val_accuracy for e in epochs))
    warm = [e.seconds for e in epochs[1:]]
    seconds, beside = medians(epochs)
    assert min(warm) <= seconds <= max(warm)
    assert beside > 0
    assert (finished.trial, finished.attempt) == (1, 1)


def test_it_imports_neither_the_compiler_nor_scikit_learn(trainer: Process) -> None:
    """Each takes as long as a trial of a few small epochs."""
    trainer.train("slim", epochs=1)
    trainer.until_end()
    trainer.train("slim", epochs=2)  # from its checkpoint
    trainer.until_end()
    imported = (trainer.folder / "trainer.log").read_text()
    assert " torch\n" in imported
    assert " torch._dynamo" not in imported
    assert " sklearn" not in imported


def test_a_finished_checkpoint_is_finished_at_once(trainer: Process) -> None:
    trainer.train("again", epochs=2)
    first = trainer.until_end()
    trainer.train("again", epochs=2, attempt=2)
    started, end = trainer.until_end()
    assert of(Started, started).epochs == tuple(epochs_of(first))
    finished, before = of(Finished, end), of(Finished, first[-1])
    assert finished.attempt == 2
    assert finished.error == before.error


def test_stop_now_ends_within_the_epoch(trainer: Process) -> None:
    trainer.train("now", trial=7, epochs=100000, channels=[64, 64, 64, 64])
    assert trainer.reply().kind == "started"
    trainer.send(Stop(trial=7, attempt=1, mode="now"))
    said = trainer.until_end()
    assert not of(Ended, said[-1]).paused
    assert len(said) <= 2


def test_stop_after_this_epoch(trainer: Process) -> None:
    trainer.train("after", trial=8, epochs=100000)
    trainer.replies_until("epoch")
    trainer.send(Stop(trial=8, attempt=1, mode="epoch"))
    said = trainer.until_end()
    assert not of(Ended, said[-1]).paused


def test_pause_and_resume_give_what_no_pause_gives(trainer: Process) -> None:
    trainer.train("unbroken", trial=9, epochs=12)
    whole = trainer.until_end()
    trainer.train("paused", trial=9, epochs=12)
    said = trainer.replies_until("epoch")
    trainer.send(Stop(trial=9, attempt=1, mode="pause"))
    said += trainer.until_end()
    assert of(Ended, said[-1]).paused
    trainer.train("paused", trial=9, attempt=2, epochs=12)
    more = trainer.until_end()
    assert more[-1].kind == "finished"
    assert list(of(Started, more[0]).epochs) == epochs_of(said)
    assert of(EpochDone, more[1]).epoch.resumed
    assert curve(said) + curve(more) == curve(whole)


def test_a_stop_for_another_attempt_is_not_heard(trainer: Process) -> None:
    trainer.send(Stop(trial=10, attempt=1, mode="now"))
    trainer.train("stale", trial=10, attempt=2, epochs=1)
    assert trainer.until_end()[-1].kind == "finished"


def test_a_stop_that_arrives_before_its_trial_is_heard(trainer: Process) -> None:
    trainer.send(Stop(trial=11, attempt=1, mode="now"))
    trainer.train("early", trial=11, epochs=5)
    assert [r.kind for r in trainer.until_end()] == ["started", "ended"]


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"learning_rate": 1e18, "batch_norm": [False] * 4}, "diverged", "learning_rate"),
        ({"groups": [1, 3, 1, 1]}, "exception", "groups[2]"),
        ({"channels": None}, "exception", "TypeError"),
    ],
)
def test_a_trial_that_fails_leaves_the_trainer_alive(
    trainer: Process, change: dict[str, Any], kind: str, said: str
) -> None:
    trainer.train(f"fails-{kind}-{said}", trial=12, **change)
    failed = of(Failed, trainer.until_end()[-1])
    assert (failed.trial, failed.failure.kind) == (12, kind)
    assert said in failed.failure.message
    trainer.train(f"after-{kind}-{said}", trial=13, epochs=1)
    assert trainer.until_end()[-1].kind == "finished"


def test_a_damaged_checkpoint_fails_its_trial(trainer: Process) -> None:
    path = trainer.folder / "damaged.pt"
    path.write_bytes(b"PK\x03\x04 no checkpoint")
    trainer.train("damaged", trial=14)
    failed = of(Failed, trainer.until_end()[-1])
    assert failed.failure.kind == "checkpoint"
    assert str(path) in failed.failure.message


def test_another_attempt_waits_for_the_lock(trainer: Process) -> None:
    lock = FileLock(trainer.folder / "held.lock")
    lock.acquire()
    trainer.train("held", trial=15, attempt=2, epochs=1)
    with pytest.raises(queue.Empty):
        trainer.lines.get(timeout=0.5)
    lock.release()
    assert trainer.until_end()[-1].kind == "finished"


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_AS"), reason="needs Linux resource limits")
def test_a_trial_that_runs_out_of_memory_leaves_the_trainer_alive(trainer: Process) -> None:
    process = psutil.Process(trainer.child.pid)
    limits = process.rlimit(psutil.RLIMIT_AS)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + 300 * 2**20, limits[1]))
    try:
        trainer.train("huge", trial=16, channels=[4096] * 4, kernel=[7] * 4)
        failed = of(Failed, trainer.until_end()[-1])
    finally:
        process.rlimit(psutil.RLIMIT_AS, limits)
    assert failed.failure.kind == "memory"
    assert "batch_size" in failed.failure.message
    trainer.train("after-huge", trial=17, epochs=1)
    assert trainer.until_end()[-1].kind == "finished"


def test_data_that_cannot_be_used_are_refused_and_others_taken_after(trainer: Process) -> None:
    trainer.send(Load(data=DataSource(spec="nothing")))
    assert "'nothing'" in of(Refused, trainer.reply()).message
    trainer.send(Load(data=DataSource(spec="digits"), fingerprint="0" * 64))
    assert "have changed" in of(Refused, trainer.reply()).message
    known = trainer.ready.summary.fingerprint
    trainer.send(Load(data=DataSource(spec="digits"), fingerprint=known))
    assert of(Ready, trainer.reply()).summary.fingerprint == known


def test_it_ends_with_its_input_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.send(Load(data=DataSource(spec="digits")))
    process.train("long", epochs=100000, channels=[256] * 4, kernel=[7] * 4)
    process.replies_until("started")
    assert process.close() == 0
    rest = list(iter(lambda: process.lines.get(timeout=PATIENCE), ""))
    assert {replies.validate_json(line).kind for line in rest} <= {"working"}


def test_killed_it_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Killed somewhere in its second epoch, and held to the losses of an unbroken run."""
    said: list[Reply] = []
    attempt = 0
    while not said or said[-1].kind != "finished":
        attempt += 1
        process = Process(tmp_path, "--dtype", "float32")
        process.send(Load(data=DataSource(spec="digits")))
        process.train("killed", attempt=attempt, epochs=3)
        said = process.replies_until("epoch", "finished")
        if attempt < 2:
            os.kill(process.child.pid, signal.SIGKILL)
            process.child.wait(PATIENCE)
        else:
            if said[-1].kind != "finished":
                said += process.until_end()
            process.train("unbroken", epochs=3)
            unbroken = process.until_end()
            assert process.close() == 0
    brought = next(r for r in said if r.kind == "started").epochs
    assert len(brought) >= 1
    whole = [(e.epoch, e.train_loss, e.val_accuracy) for e in brought] + curve(said)
    assert whole == curve(unbroken)
    last, other = of(Finished, said[-1]), of(Finished, unbroken[-1])
    assert (last.confusion, last.recalls) == (other.confusion, other.recalls)
    told = Confusion.of_matrix(matrix(last.confusion))
    assert last.error == 1 - told.accuracy
    assert last.recalls == told.recalls()
    assert last.effective_images is None


def test_what_libraries_print_does_not_reach_the_protocol(tmp_path: Path) -> None:
    """Both what Python prints and what C code writes to descriptor 1 go to the log."""
    code = (
        "import os, sys, runpy\n"
        "import lcsearch.engine.training.data as data\n"
        "read = data.read\n"
        "def noisy(*given):\n"
        "    print('from python', flush=True); os.write(1, b'from c')\n"
        "    return read(*given)\n"
        "data.read = noisy\n"
        "sys.argv = ['trainer', '--probe']\n"
        "runpy.run_module('lcsearch.engine.training.trainer', run_name='__main__')\n"
    )
    load = Load(data=DataSource(spec="digits")).model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", code], input=load + "\n", capture_output=True, text=True, check=True
    )
    assert replies.validate_json(done.stdout).kind == "ready"
    assert "from python" in done.stderr
    assert "from c" in done.stderr


@pytest.mark.parametrize(("spec", "kind"), [("idx:nowhere", "refused"), ("digits", "ready")])
def test_a_probe_answers_without_torch(tmp_path: Path, spec: str, kind: str) -> None:
    load = Load(data=DataSource(spec=spec)).model_dump_json()
    done = subprocess.run(
        [*TELLING, "--probe"],
        input=load + "\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert replies.validate_json(done.stdout).kind == kind
    assert "lcsearch.engine.training.data" in done.stderr
    assert " torch\n" not in done.stderr
    assert " sklearn" not in done.stderr


def test_a_device_that_is_not_there_is_refused() -> None:
    load = Load(data=DataSource(spec="digits")).model_dump_json()
    with subprocess.Popen(
        [*COMMAND, "--device", "cuda:9"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as trainer:
        assert trainer.stdin is not None
        assert trainer.stdout is not None
        trainer.stdin.write(load + "\n")
        trainer.stdin.flush()
        answer = replies.validate_json(trainer.stdout.readline())
        trainer.stdin.close()
    assert "device cuda:9" in of(Refused, answer).message


def test_it_gives_signs_of_life_between_two_epochs_and_says_when_a_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lcsearch.engine.training import trainer as module

    monkeypatch.setattr(module, "WORKING_SECONDS", 0.0)
    said: list[Reply] = []
    trainer = module.Trainer(said.append, "cpu", 1, "float32", False)
    trainer.load(Load(data=DataSource(spec="digits", train_size=200)))
    order = Train(
        trial=1,
        attempt=2,
        config=REFERENCE,
        reference=REFERENCE,
        seed=5,
        epochs=1,
        features=4,
        checkpoint=str(tmp_path / "t.pt"),
        lock=str(tmp_path / "t.lock"),
    )
    trainer.train(order)
    kinds = [reply.kind for reply in said]
    assert (kinds[0], kinds[1], kinds[-2:]) == ("ready", "started", ["epoch", "finished"])
    working = [reply for reply in said if reply.kind == "working"]
    assert len(working) >= 2  # one a batch, at least
    assert {(reply.trial, reply.attempt) for reply in working} == {(1, 2)}

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    trainer.train(order.model_copy(update={"checkpoint": str(tmp_path / "u.pt")}))
    assert of(Failed, said[-1]).no_room
    # its part is not in the way of others
    assert list(tmp_path.glob("u.pt*")) == []
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "bad")))
    trainer.train(order.model_copy(update={"checkpoint": str(tmp_path / "u.pt")}))
    assert not of(Failed, said[-1]).no_room
    monkeypatch.undo()
    # a session in the trash has taken its folder along: that is no fault of the trial's either
    away = tmp_path / "away" / "v.pt"
    trainer.train(order.model_copy(update={"checkpoint": str(away)}))
    failed = of(Failed, said[-1])
    assert (failed.no_room, failed.no_folder) == (False, True)
