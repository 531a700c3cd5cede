"""This machine: one warm trainer process, spoken to by JSON lines."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, Literal

from pydantic import ValidationError

from ...sessions.records import DataSource
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
    replies,
)

TRAINER = "lcsearch.engine.training.trainer"
_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads of the trainer sleep while they wait for each other: on a machine where anything else
works too, threads that spin made a step of the reference network 3 to 4 times slower."""
PROBE_SECONDS = 600.0
"""A probe reads the whole data set once."""


@dataclass(frozen=True)
class Gone:
    """The trainer died by itself.  reason: its exit status or signal, in words."""

    reason: str
    kind: Literal["crash", "signal"] = "crash"


Event = Started | EpochDone | Finished | Ended | Failed | Ready | Refused | Gone


def _command(*options: str) -> list[str]:
    return [sys.executable, "-P", "-m", TRAINER, *options]


class LocalExecutor:
    """Runs trials one after another in a trainer process that is started when first needed."""

    def __init__(
        self, data: DataSource, fingerprint: str, log: IO[bytes], dtype: str | None = None
    ) -> None:
        """dtype: what the session's trials are trained in; None lets the trainer choose."""
        self._options = ("--dtype", dtype) if dtype else ()
        self._load = Load(data=data, fingerprint=fingerprint)
        self._log = log
        self._events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._generation = 0
        self._running: tuple[int, int] | None = None

    @property
    def running(self) -> tuple[int, int] | None:
        """(trial, attempt) that it trains, if any."""
        return self._running

    def train(self, task: Train) -> None:
        """Hand a trial to the trainer; one at a time."""
        assert self._running is None, "a trial is running"
        if self._process is None:
            self._start()
        self._running = task.trial, task.attempt
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
        return found

    def close(self) -> None:
        """End the trainer: its input ends, and so it does; what it had saved is saved."""
        process, self._process = self._process, None
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
        self._process = subprocess.Popen(
            _command(*self._options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**_THREADS, **os.environ},
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
        self._events.put((generation, Gone(reason or _death(status), kind)))

    def _take(self, generation: int, event: Event) -> list[Event]:
        if generation != self._generation:
            return []
        if isinstance(event, Gone):
            if self._process is None:  # closed by ourselves
                return []
            self._process, self._running = None, None
            return [event]
        if isinstance(event, Ready) and event.machine is not None:
            # the next trainer, should this one die, trains alike
            self._options = ("--dtype", event.machine.dtype)
        if isinstance(event, Ready | Refused):
            return [event]
        if (event.trial, event.attempt) != self._running:
            return []
        if isinstance(event, Finished | Ended | Failed):
            self._running = None
        return [event]


def _death(status: int) -> str:
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
            message=f"{data.spec}: could not be read: {_death(done.returncode)}. "
            f"{words[-1] if words else ''}"
        )
    answer: Reply = replies.validate_json(lines[0])
    assert isinstance(answer, Ready | Refused)
    return answer
