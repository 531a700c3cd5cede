"""Devices of this machine: which there are, how many trials at once, with how many threads."""

from __future__ import annotations

import contextlib
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from ...sessions.errors import Misuse, StoreError
from ...sessions.records import DataSource, Execution
from ..machine import held_back, processors, processors_only
from ..protocol import Load, Reading, Ready, Refused, Reply, replies
from .base import death

TRAINER = "lcsearch.engine.training.trainer"
TRAINERS = 2
"""Trials at once on processors: two trainers with half the processors each train more networks an
hour than one with all of them (2 cores; benchmarks/training.py, `trainers`)."""
PROBE_SECONDS = 600.0
"""How long a probe may say nothing: arrays are read without a word, image files are counted."""
CANCEL_SECONDS = 0.1
"""How soon a probe that is wanted no longer is ended."""
END_SECONDS = 10.0
"""It may be clearing up what it has written."""
Progress = Callable[[int, int], None]
"""Told how many image files are read, and of how many."""
DEVICES_SECONDS = 120.0
"""Torch takes seconds to import, more where much else works."""


def trainer_command(*options: str) -> list[str]:
    return [sys.executable, "-P", "-m", TRAINER, *options]


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
            trainer_command("--devices"),
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


def check_timed(execution: Execution, timed_with: int) -> None:
    """Raises Misuse for more at once than have the threads that the session's trials had.

    A small network gains less by threads than the reference does: f_c of the same one was 1.3 to
    1.7 times as high with two threads as with one.
    """
    fit = len(trainers_of(execution, timed_with))
    if execution.parallel > fit:
        raise Misuse(
            f"parallel = {execution.parallel}: this session's trials were timed with {timed_with} "
            f"threads each, which their times need to compare, and this machine's {processors()} "
            f"processors are enough for {fit} at once. Begin a new session with --parallel "
            f"{execution.parallel}, or one whose --measure is macs or params."
        )


class Cancelled(Exception):
    """Whoever asked what the data are wants to know it no longer."""


def probe(
    data: DataSource,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
    *,
    pictures: bool = False,
) -> Ready | Refused:
    """Ask a trainer, in a process of its own, whether the data can be used and what they are.

    progress: told how many image files are read, of how many.  cancelled: set by whoever wants the
    answer no longer.  pictures: whether to give an image of each class.  Raises Cancelled.
    """
    order = Load(data=data, pictures=pictures).model_dump_json()
    said: queue.Queue[bytes | None] = queue.Queue()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            trainer_command("--probe"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # one that has died says so below
                process.stdin.write(order.encode() + b"\n")
                process.stdin.close()
            threading.Thread(target=lines_to(process, said), daemon=True).start()
            answer = _answer(said, progress, cancelled)
            if answer is None:
                process.wait()  # its output has ended, and so it does
        except TimeoutError:
            return Refused(message=f"{data.spec}: gave no sign of life for {PROBE_SECONDS:.0f} s.")
        finally:
            end_process(process)
        if answer is not None:
            return answer
        errors.seek(0)
        words = errors.read().decode(errors="replace").strip().splitlines()
    return Refused(
        message=f"{data.spec}: could not be read: {death(process.returncode)}. "
        f"{words[-1] if words else ''}"
    )


def lines_to(
    process: subprocess.Popen[bytes], said: queue.Queue[bytes | None]
) -> Callable[[], None]:
    """What listens to a process, in a thread: its lines into the queue, and None at their end."""

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                said.put(line)
        said.put(None)

    return listen


def _answer(
    said: queue.Queue[bytes | None],
    progress: Progress | None,
    cancelled: threading.Event | None,
) -> Ready | Refused | None:
    """The answer; None where the process ends without one.  Raises Cancelled, TimeoutError."""
    heard = time.monotonic()
    while True:
        if cancelled is not None and cancelled.is_set():
            raise Cancelled("reading the images was cancelled.")
        try:
            line = said.get(timeout=CANCEL_SECONDS)
        except queue.Empty:
            if time.monotonic() - heard > PROBE_SECONDS:
                raise TimeoutError from None
            continue
        if line is None:
            return None
        heard = time.monotonic()
        reply: Reply = replies.validate_json(line)
        if isinstance(reply, Reading):
            if progress is not None:
                progress(reply.done, reply.total)
            continue
        assert isinstance(reply, Ready | Refused)
        return reply


def end_process(process: subprocess.Popen[bytes]) -> None:
    """The process ends, if it has not: whatever it does is wanted no longer."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
