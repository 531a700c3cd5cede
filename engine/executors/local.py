"""This machine: warm trainer processes, spoken to by JSON lines."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError

from ...sessions.records import DataSource, Execution
from ...sessions.store import Misuse, StoreError
from ..host import held_back, processors, processors_only
from ..protocol import (
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
    Working,
    replies,
)

TRAINER = "lcsearch.engine.training.trainer"
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""Threads of a trainer that wait for each other spin for a moment and then sleep.  Where they sleep
at once a small network trains half as fast; where they spin as long as they do by default, two
trainers that want the same processors are a third as fast (benchmarks/training.py, `waiting`).  It
reaches OpenMP alone: for oneDNN, which spins regardless, see training/threads.py."""
TRAINERS = 2
"""Trials at once on processors: two trainers with half the processors each train more networks an
hour than one with all of them (2 cores; benchmarks/training.py, `trainers`)."""
PROBE_SECONDS = 600.0
"""A probe reads the whole data set once."""
DEVICES_SECONDS = 120.0
"""Torch takes seconds to import, more where much else works."""
STALL_SECONDS = 600.0
"""How long a trainer may give no sign of life while it trains: $LCSEARCH_STALL_SECONDS, or this."""
STALL_FACTOR = 20
"""It may be silent for this many times the longest silence it came back from, if that is more."""
AWAKE_SECONDS = 1.0
"""At most this much of the time between two looks counts: the rest, nobody was awake."""
OOM_SECONDS = 10.0
"""How often the kernel's count of processes killed for want of memory is looked at."""


@dataclass(frozen=True)
class Gone:
    """The trainer died by itself, or was killed because it did not go on.

    reason: its exit status or signal, in words.  ready: whether it had read the data.  who: trial
    and attempt that it trained, if any.
    """

    reason: str
    kind: Literal["crash", "signal", "memory", "stalled"] = "crash"
    ready: bool = True
    who: tuple[int, int] | None = None


@dataclass(frozen=True)
class Notice:
    """What whoever looks should know; empty when it holds no more."""

    message: str


Event = Started | EpochDone | Finished | Ended | Failed | Ready | Refused | Gone | Notice


class Watchdog:
    """Whether a trainer goes on.  Only time in which the engine itself was awake counts: a machine
    that slept, or an engine that was stopped for a while, takes no trainer for dead.
    """

    def __init__(self, patience: float | None = None) -> None:
        self.patience = patience or float(os.environ.get("LCSEARCH_STALL_SECONDS", STALL_SECONDS))
        self._silence = 0.0
        self._longest = 0.0
        self._looked = time.monotonic()

    @property
    def limit(self) -> float:
        """Seconds of silence that are allowed now."""
        return max(self.patience, STALL_FACTOR * self._longest)

    def begin(self) -> None:
        """Something was handed to the trainer: it begins now."""
        self._silence = 0.0
        self._looked = time.monotonic()

    def heard(self) -> None:
        """The trainer said something."""
        self._longest = max(self._longest, self._silence)
        self._silence = 0.0

    def stalled(self, at_least: float = 0.0) -> float | None:
        """Look: the seconds of silence, if they are too many (and more than `at_least`)."""
        moment = time.monotonic()
        self._silence += min(moment - self._looked, AWAKE_SECONDS)
        self._looked = moment
        return self._silence if self._silence > max(self.limit, at_least) else None


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


def _command(*options: str) -> list[str]:
    return [sys.executable, "-P", "-m", TRAINER, *options]


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
        self._events: queue.Queue[tuple[int, Event | Working]] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0
        self._running: tuple[int, int] | None = None
        self._ready = False
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
        with contextlib.suppress(queue.Empty):
            found += self._take(*self._events.get(timeout=seconds))
            while True:
                found += self._take(*self._events.get_nowait())
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
            _command(*self._place, *self._options),
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

    def _take(self, generation: int, event: Event | Working) -> list[Event]:
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
            return [replace(event, ready=self._ready, who=who)]
        if isinstance(event, Ready):
            self._ready = True
            self._watchdog.begin()
        else:
            self._watchdog.heard()
        if isinstance(event, Ready) and event.machine is not None:
            # the next trainer, should this one die, trains alike
            self._options = ("--dtype", event.machine.dtype)
        if isinstance(event, Ready | Refused):
            return [event]
        if isinstance(event, Working | Notice):
            return []
        if (event.trial, event.attempt) != self._running:
            return []
        if isinstance(event, Finished | Ended | Failed):
            self._running = None
        return [event]


def on_processors(device: str) -> bool:
    """Whether a trainer on this device trains on the processors."""
    return device == "cpu" or (device == "auto" and processors_only())


def at_once(execution: Execution) -> int:
    """How many trials this machine trains at once: as was said, or what is usual.

    Raises Misuse where several would have to share a device that is not the processors.
    """
    devices = len(execution.devices)
    said = execution.parallel if "parallel" in execution.model_fields_set else None
    if devices > 1 or execution.devices[:1] not in ((), ("auto",), ("cpu",)):
        if said in (None, devices):
            return devices
        raise Misuse(
            f"parallel = {said}: one trial at a time on each --device, and {devices} are named. "
            "Name others (cuda:0,cuda:1), or add --executor ray (and --address local for a "
            "cluster of this machine alone)."
        )
    shared = on_processors((execution.devices or ("auto",))[0])
    if said is None:
        return min(TRAINERS, processors()) if shared else 1
    if said > 1 and not shared:
        raise Misuse(
            f"parallel = {said}: a GPU trains one trial at a time. Name several (--device "
            "cuda:0,cuda:1), or --device cpu to share the processors."
        )
    if said > processors():
        raise Misuse(
            f"parallel = {said}: more than this machine's {processors()} processors. Use "
            f"{processors()} at most."
        )
    return said


def devices_here() -> list[str]:
    """Every device of this machine that can train, the best first: `cuda:0 (its name): float16`.

    Asked of a process that may import torch.  Raises StoreError if that cannot say.
    """
    try:
        asked = subprocess.run(
            _command("--devices"),
            capture_output=True,
            text=True,
            timeout=DEVICES_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"no answer within {DEVICES_SECONDS:.0f} s. Try again.") from error
    if asked.returncode or not asked.stdout.strip():
        last = (asked.stderr.strip().splitlines() or ["no word"])[-1]
        raise StoreError(f"torch cannot be used ({last}). Install it again.")
    return asked.stdout.strip().splitlines()


def check_devices(execution: Execution) -> None:
    """Raises Misuse where a device is named that this machine does not have.

    A session that was made elsewhere keeps its own; only who names them here is refused.
    """
    wanted = [name for name in execution.devices if name not in ("auto", "cpu")]
    if not wanted:
        return
    # torch takes seconds to say what shows at once where there is no sign of a GPU
    told = [] if processors_only() else devices_here()
    here = [re.split(r" \(|: ", line)[0] for line in told] or ["cpu"]
    known = {*here, *(name.partition(":")[0] for name in here)}
    for name in wanted:
        if name not in known:
            raise Misuse(
                f"--device {name}: not on this machine, which has {', '.join(here)}. Name one of "
                "these, or auto; `lcsearch doctor` shows them."
            )


def trainers_of(
    execution: Execution, timed_with: int | None = None
) -> list[tuple[str, int | None]]:
    """Device and threads of each trainer on this machine; None is all threads.

    timed_with: threads of the trials that the session has timed, which later ones keep.  A session
    may have been made on another machine: there are no more trainers than processors for their
    threads, and one on a GPU.
    """
    names = list(execution.devices) or ["auto"]
    if len(names) == 1 and on_processors(names[0]):
        names *= min(execution.parallel, processors() // (timed_with or 1) or 1)
    sharing = sum(map(on_processors, names))
    threads = None  # PyTorch's own choice, for one alone: a thread for each core that it sees
    if timed_with is not None:
        threads = min(timed_with, processors())
    elif sharing > 1 or (sharing and held_back()):
        threads = max(1, processors() // sharing)
    return [(name, threads if on_processors(name) else None) for name in names]


def check_parallel(execution: Execution, timed_with: int) -> None:
    """Raises Misuse for more at once than have the threads that the session's trials had.

    A small network gains less by threads than the reference does: f_c of the same one was 1.3 to
    1.7 times as high with two threads as with one.
    """
    if execution.executor != "local":
        return
    fit = len(trainers_of(execution, timed_with))
    if execution.parallel > fit:
        raise Misuse(
            f"parallel = {execution.parallel}: this session's trials were timed with {timed_with} "
            f"threads each, which their times need to compare, and this machine's {processors()} "
            f"processors are enough for {fit} at once. Begin a new session with --parallel "
            f"{execution.parallel}, or one whose --measure is macs or params."
        )


class DevicesExecutor:
    """Several trainers on this machine, on a device each or sharing the processors.

    A trial goes to the first that is free.
    """

    def __init__(self, trainers: Sequence[LocalExecutor]) -> None:
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


def death(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"it ended with exit status {status}"
    name = signal.Signals(-status).name
    hint = ", as the kernel does when memory runs out" if name == "SIGKILL" else ""
    return f"it was killed by {name}{hint}"


def probe(data: DataSource) -> Ready | Refused:
    """Ask a trainer, in a process of its own, whether the data can be used and what they are."""
    order = Load(data=data).model_dump_json()
    try:
        done = subprocess.run(
            _command("--probe"),
            input=order.encode() + b"\n",
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Refused(message=f"{data.spec}: not read within {PROBE_SECONDS:.0f} s.")
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return Refused(
            message=f"{data.spec}: could not be read: {death(done.returncode)}. "
            f"{words[-1] if words else ''}"
        )
    answer: Reply = replies.validate_json(lines[0])
    assert isinstance(answer, Ready | Refused)
    return answer
