"""The trainer process: stays warm, trains what its standard input asks for, reports on its output.

    python -P -m lcsearch.engine.training.trainer [--device D] [--threads N] [--dtype T] [--probe]

Commands and replies are the JSON lines of engine/protocol.py.  It ends when its input ends.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from filelock import FileLock, Timeout

from ...sessions.choices import DTYPES, Metric
from ...sessions.files import NO_ROOM
from ...sessions.records import DataSummary, Failure, Machine, StopMode
from ..machine import (
    M_MMAP_MAX,
    M_TOP_PAD,
    M_TRIM_THRESHOLD,
    processor_name,
    processors,
    set_malloc,
)
from ..metric import Confusion
from ..objective import best_error
from ..protocol import (
    Ended,
    EpochDone,
    Failed,
    Finished,
    Load,
    Reading,
    Ready,
    Refused,
    Reply,
    Started,
    Stop,
    Train,
    Working,
    commands,
)
from ..tasks import cnn
from ..tasks.space import InvalidConfig
from .conditions import Watch
from .data import Data, DataError, Progress, read, shown

# torch takes seconds to import: data that cannot be used are refused before that
if TYPE_CHECKING:
    import torch

    from .images import Placed
    from .loop import Reference
    from .threads import Threads

FailureKind = Literal["diverged", "memory", "exception", "stalled", "checkpoint"]

READING_SECONDS = 0.2
"""How often it is said how many images are read, at most."""
WORKING_SECONDS = 5.0
"""How often a trial that is between two epochs gives a sign of life, at most."""
LOCK_PATIENCE = 30.0
"""Seconds that a trial waits for an earlier attempt's process to be gone."""


def main() -> None:
    """Serve the commands on standard input until it ends."""
    # nothing that a library prints may come between the replies: those keep the real output,
    # and what is printed goes to the log that standard error is
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parser = argparse.ArgumentParser(prog="trainer", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--threads", type=int, default=None, help="of the CPU; default: all")
    parser.add_argument("--dtype", choices=DTYPES, default="auto")
    parser.add_argument("--probe", action="store_true", help="answer one Load, and end")
    parser.add_argument("--devices", action="store_true", help="say which there are, and end")
    options = parser.parse_args()
    if options.devices:
        print("\n".join(devices()), file=protocol, flush=True)
        return
    keep_memory()

    def say(reply: Reply) -> None:
        try:
            protocol.write(reply.model_dump_json() + "\n")
            protocol.flush()
        except BrokenPipeError:  # the engine is gone
            os._exit(0)

    trainer = Trainer(say, options.device, options.threads, options.dtype, options.probe)
    if options.probe:
        # whoever asked may want it no longer: what is half written is cleared up
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        command = commands.validate_json(sys.stdin.readline())
        assert isinstance(command, Load), "a probe answers a Load"
        trainer.load(command)
        return
    threading.Thread(target=trainer.listen, args=(sys.stdin,), daemon=True).start()
    trainer.serve()


def keep_memory() -> None:
    """Have the C library keep freed memory: each batch asks for the same again.

    Else glibc gives large tensors back to the system, which clears every page anew.
    """
    set_malloc({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 1 << 26})


class Trainer:
    """One device's trainer: the data and the reference network stay loaded between trials."""

    def __init__(
        self,
        say: Callable[[Reply], None],
        device: str,
        threads: int | None,
        dtype: str,
        probing: bool,
        node: str | None = None,
    ) -> None:
        """say: takes every reply.  node: the cluster's node that it runs on, if any."""
        self._reply = say
        self._node = node
        self._probing = probing
        self._device_name, self._threads, self._dtype_name = device, threads, dtype
        self._work: queue.SimpleQueue[Load | Train] = queue.SimpleQueue()
        self._stops: dict[tuple[int, int], StopMode] = {}
        self._summary: DataSummary | None = None
        self._placed: Placed | None = None
        self._dtype: torch.dtype | None = None
        self._reference: Reference | None = None
        self._reference_of: object = None
        self._spare: Threads | None = None

    def listen(self, lines: TextIO) -> None:
        """Take commands as they come; where they end, the engine is gone: end at once."""
        try:
            for line in lines:
                self.take(commands.validate_json(line))
        except ValueError:
            traceback.print_exc()
            os._exit(2)
        os._exit(0)

    def take(self, command: Load | Train | Stop) -> None:
        """Take one command, from any thread; a stop is heard at once, the rest in turn."""
        if isinstance(command, Stop):
            self._stops[command.trial, command.attempt] = command.mode
        else:
            self._work.put(command)

    def serve(self) -> None:
        """Do what is asked, one thing after another."""
        while True:
            command = self._work.get()
            if isinstance(command, Load):
                self.load(command)
            else:
                self.train(command)

    def load(self, command: Load, data: Data | None = None) -> None:
        """Read the data and put them on the device; answers Ready or Refused.

        data: as another process has read them.
        """
        try:
            data = read(command.data, self._reading()) if data is None else data
        except DataError as error:
            self._reply(Refused(message=str(error), misuse=True))
            return
        except MemoryError:
            self._reply(
                Refused(
                    message=f"{command.data.spec}: does not fit into memory. Take fewer images "
                    "(train_size)."
                )
            )
            return
        if command.fingerprint not in (None, data.summary.fingerprint):
            self._reply(
                Refused(
                    message=f"{command.data.spec}: the data have changed since the session began "
                    f"(fingerprint {data.summary.fingerprint[:12]}, not "
                    f"{str(command.fingerprint)[:12]}). Put the first data back, or begin a new "
                    "session."
                )
            )
            return
        if self._probing:  # what the data are is all that is asked: torch need not wake up
            pictures = shown(data) if command.pictures else ()
            self._reply(Ready(summary=data.summary, pictures=pictures))
            return
        try:
            self._place(data)
        except ValueError as error:
            self._reply(Refused(message=str(error)))
            return
        except (RuntimeError, AssertionError) as error:
            self._reply(
                Refused(
                    message=f"device {self._device_name}: cannot be used ({first_line(error)}). "
                    "Take another --device, or fewer images (train_size)."
                )
            )
            return
        self._reply(Ready(summary=data.summary, machine=self._machine()))

    def _reading(self) -> Progress:
        """Says how far the reading has come, now and then."""
        last = -math.inf

        def tell(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= READING_SECONDS or done == total:
                last = time.monotonic()
                self._reply(Reading(done=done, total=total))

        return tell

    def _place(self, data: Data) -> None:
        import torch

        from .images import place
        from .loop import choose_dtype
        from .threads import Threads

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        self._spare = Threads()
        self._reference, self._reference_of = None, None
        # who is given a part of the processors shares the memory likewise
        share = min(1.0, (self._threads or math.inf) / processors())
        self._placed = place(data, torch.device(chosen_device(self._device_name)), share)
        self._summary = summary = data.summary
        if self._dtype_name == "auto":
            config = cnn.reference(summary.shape, summary.classes)
            network = cnn.network(config, summary.shape, summary.classes)
            self._dtype = choose_dtype(network, self._placed.device)
        else:
            self._dtype = getattr(torch, self._dtype_name)

    def train(self, command: Train) -> None:
        """Train one trial and report it; whatever goes wrong in it ends it, and not the trainer."""
        who = command.trial, command.attempt
        try:
            lock = FileLock(command.lock)
            with lock.acquire(timeout=LOCK_PATIENCE):
                self._train(command)
        except Timeout:
            self._fail(
                command,
                "stalled",
                f"another process still trains trial {command.trial} (it holds {command.lock}). "
                "End that process, then repeat the trial.",
            )
        except Exception as error:  # noqa: BLE001 - the process's edge: recorded and reported
            if device_lost(error):
                # nothing works in this process any more: the engine sees it die, begins another,
                # which goes on from the checkpoint or says that the device is not there
                traceback.print_exc()
                os._exit(3)
            full = disk_full(error)
            no_folder = _no_folder(error, Path(command.checkpoint).parent)
            # where there is no room, the log finds none either; of a folder the engine says it
            if not (full or no_folder):
                traceback.print_exc()
            self._fail(command, *_reason(error, command.trial), full, no_folder)
        else:
            return
        finally:
            self._stops.pop(who, None)
        # the failed trial's network may hang in a cycle with its traceback
        gc.collect()

    def _train(self, command: Train) -> None:
        from .checkpoint import restore
        from .loop import train
        from .run import Training, begin

        if self._summary is None or self._placed is None or self._dtype is None:
            raise RuntimeError("no data have been loaded")
        assert self._spare is not None
        self._spare.look()  # what is free counts from now
        who = command.trial, command.attempt
        summary = self._summary
        network = cnn.network(command.config, summary.shape, summary.classes, command.features)
        task = Training(
            network,
            command.config,
            command.seed,
            command.epochs,
            command.augment,
            command.metric,
            command.class_weights,
        )
        checkpoint = Path(command.checkpoint)
        if checkpoint.exists():
            run = restore(task, self._placed, checkpoint)
        else:
            run = begin(task, self._placed, self._dtype)
        self._reply(Started(trial=who[0], attempt=who[1], epochs=tuple(run.epochs)))
        reference = self._warm_reference(command, run.dtype)
        stops = self._stops
        said = time.monotonic()

        def stopped() -> bool:
            nonlocal said
            if time.monotonic() - said >= WORKING_SECONDS:
                said = time.monotonic()
                self._reply(Working(trial=who[0], attempt=who[1]))
            return stops.get(who) == "now"

        watch = Watch()
        for epoch in train(run, reference, checkpoint, stopped, self._spare, command.timed):
            watch.look()
            self._reply(EpochDone(trial=who[0], attempt=who[1], epoch=epoch))
            if who in stops:
                break
        if len(run.epochs) < command.epochs:
            self._reply(Ended(trial=who[0], attempt=who[1], paused=stops[who] == "pause"))
            return
        self._reply(
            Finished(
                trial=who[0],
                attempt=who[1],
                error=best_error(run.epochs),
                **_told(run.confusion, command.metric),
                machine=self._machine(run.dtype).model_copy(
                    update={"conditions": watch.conditions(run.epochs)}
                ),
            )
        )

    def _warm_reference(self, command: Train, dtype: torch.dtype) -> Reference:
        from .loop import Reference

        assert self._summary is not None
        assert self._placed is not None
        wanted = command.reference, command.features, dtype, command.class_weights
        if self._reference is None or self._reference_of != wanted:
            summary = self._summary
            network = cnn.network(
                command.reference, summary.shape, summary.classes, command.features
            )
            self._reference = Reference(
                network, command.reference, self._placed, dtype, command.class_weights
            )
            self._reference.timed_steps(0.0)
            self._reference_of = wanted
        return self._reference

    def _machine(self, dtype: torch.dtype | None = None) -> Machine:
        assert self._placed is not None
        assert self._dtype is not None
        here = machine(self._placed.device, dtype or self._dtype)
        return here.model_copy(update={"node": self._node})

    def _fail(
        self,
        command: Train,
        kind: FailureKind,
        message: str,
        no_room: bool = False,
        no_folder: bool = False,
    ) -> None:
        self._reply(
            Failed(
                trial=command.trial,
                attempt=command.attempt,
                failure=Failure(kind=kind, message=message),
                no_room=no_room,
                no_folder=no_folder,
            )
        )


def _told(confusion: Confusion | None, metric: Metric) -> dict[str, Any]:
    """What a trial keeps of the confusion at its best epoch: nothing where it is not known."""
    if confusion is None:
        return {}
    return {
        "recalls": confusion.recalls(),
        "confusion": confusion.rows(),
        "effective_images": confusion.effective_images(metric),
    }


def _reason(error: Exception, trial: int) -> tuple[FailureKind, str]:
    """What kind of failure it is, and what to do about it."""
    import torch

    from .checkpoint import CheckpointError
    from .loop import Diverged

    if isinstance(error, Diverged):
        return "diverged", f"trial {trial} diverged: {error}. Lower its learning_rate."
    if isinstance(error, CheckpointError):
        return "checkpoint", f"trial {trial}: {error}"
    if isinstance(error, InvalidConfig):
        return "exception", f"trial {trial} cannot be built: {error}"
    # a CPU that runs out of memory raises a bare RuntimeError
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return "memory", (
            f"trial {trial} ran out of memory ({first_line(error)}). Lower its batch_size or its "
            "channels, downsample earlier, or close other programs, then try again."
        )
    return "exception", (
        f"trial {trial} failed: {type(error).__name__}: {first_line(error)}. "
        "The log has the details (lcsearch logs)."
    )


def device_lost(error: Exception) -> bool:
    """Whether the GPU is gone or stuck, and every later call would fail as well.

    A GPU that is out of memory is not: that ends the one trial.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)


def disk_full(error: Exception) -> bool:
    """Whether it is the disk that would not take more."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in NO_ROOM


def _no_folder(error: Exception, folder: Path) -> bool:
    """Whether it is this folder that was not there when something was to be kept in it."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, FileNotFoundError) and Path(cause.filename or "").parent == folder


def devices() -> list[str]:
    """Every device that can train, with the numbers that it is fast in, the best one first."""
    import torch

    from .loop import choose_dtype

    network = cnn.network(cnn.reference((1, 28, 28), 10), (1, 28, 28), 10)
    names = [f"cuda:{at}" for at in range(torch.cuda.device_count())]
    names += ["mps"] if torch.backends.mps.is_available() else []
    told: list[str] = []
    for name in [*names, "cpu"]:
        device = torch.device(name)
        dtype = str(choose_dtype(network, device)).removeprefix("torch.")
        what = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
        told.append(f"{name}{what}: {dtype}")
    return told


def machine(device: torch.device, dtype: torch.dtype) -> Machine:
    """This machine, as a trial's record holds it."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return Machine(
        processor=processor_name(),
        device=f"{device} ({name})" if name else str(device),
        threads=torch.get_num_threads(),
        dtype=str(dtype).removeprefix("torch."),
        torch=torch.__version__,
    )


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def chosen_device(name: str) -> str:
    """The device of this name; auto is the best there is."""
    import torch

    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


if __name__ == "__main__":
    main()
