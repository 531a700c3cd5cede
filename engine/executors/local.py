"""This machine: warm trainer processes, spoken to by JSON lines."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from pydantic import ValidationError

from ...sessions.records import DataSource, Execution, Session
from ..protocol import (
    Ended,
    Failed,
    Finished,
    Load,
    Reading,
    Ready,
    Refused,
    Stop,
    Train,
    Working,
    replies,
)
from . import devices
from .base import WAITING, Executor, Gone, Kind, Notice, Watchdog, death, drained
from .devices import PROBE_SECONDS

if TYPE_CHECKING:
    from .base import Event

NOTICE_SECONDS = 5.0
"""How often it is told how many images are read, where a trainer has to read them."""
OOM_SECONDS = 10.0
"""How often the kernel's count of processes killed for want of memory is looked at."""


class MemoryKills:
    """Whether the kernel has killed a process for want of memory in the last moments."""

    def __init__(self, file: Path = Path("/proc/vmstat")) -> None:
        self._file = file
        self._counts: deque[int | None] = deque([self._read()] * 2, maxlen=2)
        self._looked = time.monotonic()

    def look(self) -> None:
        """Remember the count, now and then."""
        if time.monotonic() - self._looked >= OOM_SECONDS:
            self._looked = time.monotonic()
            self._counts.append(self._read())

    def lately(self) -> bool:
        """Whether it killed one since the look before the last."""
        before, count = self._counts[0], self._read()
        return before is not None and count is not None and count > before

    def _read(self) -> int | None:
        # counted for the whole machine: only with a SIGKILL of our own does it tell anything
        if not self._file.is_file():
            return None
        for line in self._file.read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
        return None


class LocalExecutor:
    """Runs trials one after another in a trainer process that is started when first needed."""

    def __init__(
        self,
        data: DataSource,
        fingerprint: str,
        log: IO[bytes],
        dtype: str | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """dtype: what the session's trials are trained in; None lets the trainer choose.

        threads: of the processors; None takes all.
        """
        few = () if threads is None else ("--threads", str(threads))
        self._place = ("--device", device, *few)
        self._options = ("--dtype", dtype) if dtype else ()
        self._load = Load(data=data, fingerprint=fingerprint)
        self._log = log
        # a SimpleQueue waits without end where a signal's handler outlasts its timeout (3.11)
        self._events: queue.Queue[tuple[int, Event | Working | Reading]] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0
        self._running: tuple[int, int] | None = None
        self._ready = False
        self._read_since: float | None = None
        self._noted = False
        self._watchdog = Watchdog()
        self._memory_kills = MemoryKills()
        self._stalled = ""

    @property
    def running(self) -> tuple[tuple[int, int], ...]:
        """(trial, attempt) that it trains, if any."""
        return () if self._running is None else (self._running,)

    def room(self, wanted: int) -> int:
        """How many of `wanted` trials can begin now."""
        return min(wanted, 1) if self._running is None else 0

    def train(self, task: Train) -> None:
        """Hand a trial to the trainer; one at a time."""
        assert self._running is None, "a trial is running"
        if self._process is None:
            self._start()
        self._running = task.trial, task.attempt
        self._watchdog.begin()
        self._send(task)

    def stop(self, order: Stop) -> None:
        """Ask the trainer to end the trial that it trains."""
        self._send(order)

    def wait(self, seconds: float) -> list[Event]:
        """What the trainer said, after at most `seconds`; stale lines are dropped."""
        found: list[Event] = []
        for said in drained(self._events, seconds):
            found += self._take(*said)
        self._memory_kills.look()
        if self._process is not None and self._running is not None and not self._stalled:
            # reading the data comes without a sign of life
            silence = self._watchdog.stalled(0.0 if self._ready else 2 * PROBE_SECONDS)
            if silence is not None:
                self._stalled = f"it gave no sign of progress for {silence:.0f} s"
                self._process.kill()
        return found

    def close(self) -> None:
        """End the trainer: its input ends, and so it does; what it had saved is saved."""
        process, self._process = self._process, None
        self._running = None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        self._generation += 1
        self._ready, self._stalled = False, ""
        self._process = subprocess.Popen(
            devices.trainer_command(*self._place, *self._options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**WAITING, **os.environ},
        )
        threading.Thread(
            target=self._listen, args=(self._process, self._generation), daemon=True
        ).start()
        self._send(self._load)

    def _send(self, command: Load | Train | Stop) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # a dead trainer is reported by the thread that reads from it
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(command.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes], generation: int) -> None:
        assert process.stdout is not None
        reason = ""
        for line in process.stdout:
            try:
                self._events.put((generation, replies.validate_json(line)))
            except ValidationError as error:
                reason = f"it said what is no reply ({error.error_count()} faults)"
                process.kill()
                break
        status = process.wait()
        kind: Literal["crash", "signal"] = "signal" if status < 0 and not reason else "crash"
        self._events.put((generation, Gone(reason or death(status), kind)))

    def _take(self, generation: int, event: Event | Working | Reading) -> list[Event]:
        if generation != self._generation:
            return []
        if isinstance(event, Gone):
            if self._process is None:  # closed by ourselves
                return []
            who, self._process, self._running = self._running, None, None
            if self._stalled:
                event = Gone(self._stalled, "stalled")
            elif event.reason == death(-signal.SIGKILL) and self._memory_kills.lately():
                event = Gone("the kernel killed it, for memory ran out (SIGKILL)", "memory")
            return [replace(event, ready=self._ready, who=who), *self._note("")]
        if isinstance(event, Ready):
            self._ready = True
            self._watchdog.begin()
        else:
            self._watchdog.heard()
        if isinstance(event, Ready) and event.machine is not None:
            # the next trainer, should this one die, trains alike
            self._options = ("--dtype", event.machine.dtype)
        if isinstance(event, Ready | Refused):
            return [event, *self._note("")]
        if isinstance(event, Reading):
            return self._reads(event)
        if isinstance(event, Working | Notice):
            return []
        if (event.trial, event.attempt) != self._running:
            return []
        if isinstance(event, Finished | Ended | Failed):
            self._running = None
        return [event]

    def _reads(self, reading: Reading) -> list[Event]:
        """A notice of how far the reading of image files is, where that takes a while."""
        now = time.monotonic()
        if self._read_since is None:
            self._read_since = now
        if not reading.done or now - self._read_since < NOTICE_SECONDS:
            return []
        self._read_since = now
        return self._note(f"A trainer reads images: {reading.done:,} of {reading.total:,}.")

    def _note(self, message: str) -> list[Event]:
        if not message:
            self._read_since = None
            if not self._noted:
                return []
        self._noted = bool(message)
        return [Notice(message)]


class DevicesExecutor:
    """Several trainers on this machine, on a device each or sharing the processors.

    A trial goes to the first that is free.
    """

    def __init__(self, trainers: Sequence[Executor]) -> None:
        self._trainers = tuple(trainers)

    @property
    def running(self) -> tuple[tuple[int, int], ...]:
        """(trial, attempt) of everything that is trained."""
        return tuple(who for trainer in self._trainers for who in trainer.running)

    def room(self, wanted: int) -> int:
        """How many of `wanted` trials can begin now."""
        return min(wanted, sum(trainer.room(1) for trainer in self._trainers))

    def train(self, task: Train) -> None:
        """Hand a trial to a device that is free."""
        next(trainer for trainer in self._trainers if trainer.room(1)).train(task)

    def stop(self, order: Stop) -> None:
        """Ask whoever trains it to end the trial; it may have ended by itself."""
        for trainer in self._trainers:
            if (order.trial, order.attempt) in trainer.running:
                trainer.stop(order)

    def wait(self, seconds: float) -> list[Event]:
        """What the trainers said, after at most `seconds`."""
        share = seconds / len(self._trainers)
        return [event for trainer in self._trainers for event in trainer.wait(share)]

    def close(self) -> None:
        """End all trainers."""
        for trainer in self._trainers:
            trainer.close()


def _make(session: Session, dtype: str | None, timed_with: int | None, log: IO[bytes]) -> Executor:
    trainers = [
        LocalExecutor(session.data, session.summary.fingerprint, log, dtype, device, threads)
        for device, threads in devices.trainers_of(session.execution, timed_with)
    ]
    return trainers[0] if len(trainers) == 1 else DevicesExecutor(trainers)


def _describe(execution: Execution) -> str:
    named = f" {', '.join(execution.devices)}" if execution.devices else ""
    dtype = "" if execution.dtype == "auto" else f" in {execution.dtype}"
    return f"on this machine{' on' * bool(named)}{named}{dtype}, {execution.parallel} at once"


KIND = Kind(
    name="local",
    title="this machine",
    make=_make,
    check=devices.check_devices,
    at_once=devices.at_once,
    describe=_describe,
    trains=frozenset({"cnn"}),
    check_timed=devices.check_timed,
)
