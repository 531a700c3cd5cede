"""A warm process beside a console or an engine that times networks for their latency."""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter

from ...sessions.choices import Runtime
from ...sessions.errors import StoreError
from ...sessions.records import Config, Latency
from ...sessions.snapshot import Snapshot
from ...sessions.store import Store
from .. import search
from ..machine import processor_name
from ..protocol import Clock, Clocked, Refused
from ..tasks.space import Space
from ..tasks.task import session_space
from .base import death
from .devices import end_process, lines_to

COMMAND = [sys.executable, "-P", "-m", "lcsearch.engine.training.latency"]
BESIDE_SECONDS = 1.0
"""Beside a ranking: what is not timed by then is timed beside the next."""
ROUNDS = 3
"""Rankings of one state of a session beside which networks are timed."""
ANSWER_SECONDS = 60.0
"""How long a network may take: the first one waits for the runtime to be imported."""

_answers: TypeAdapter[Clocked | Refused] = TypeAdapter(Clocked | Refused)


class NotTimed(StoreError):
    """Nothing was timed, or no more; the message says why and what to do."""


def usual_runtime() -> Runtime:
    """onnxruntime where it is installed, which spends the least time on anything but the network;
    else torch.
    """
    return "torch" if missing("onnx") else "onnx"


def missing(runtime: Runtime) -> tuple[str, ...]:
    """The packages that this runtime needs and that are not installed here."""
    needed = ("onnx", "onnxruntime") if runtime == "onnx" else ("torch",)
    return tuple(name for name in needed if importlib.util.find_spec(name) is None)


class LatencyProbe:
    """Starts its process when it is first asked, and a new one where that died or hung.

    Any thread may ask; one at a time is answered.
    """

    def __init__(self, command: Sequence[str] = COMMAND, seconds: float = ANSWER_SECONDS) -> None:
        self._command, self._seconds = list(command), seconds
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: queue.Queue[bytes | None] = queue.Queue()

    def time(
        self, order: Clock, configs: Sequence[Config], seconds: float
    ) -> Iterator[tuple[Config, Clocked]]:
        """Time networks one after another, as many as there is time for, at least one.

        order: what they are timed as, without networks.  Raises NotTimed.
        """
        begin = time.monotonic()
        with self._guard:
            for number, config in enumerate(configs):
                if number and time.monotonic() - begin > seconds:
                    return
                yield config, self._answer(order.model_copy(update={"configs": (config,)}))

    def _answer(self, order: Clock) -> Clocked:
        if self._process is None:
            self._said = queue.Queue()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            listen = lines_to(self._process, self._said)
            threading.Thread(target=listen, daemon=True).start()
        process = self._process
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # one that has died says so below
            process.stdin.write(order.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        try:
            line = self._said.get(timeout=self._seconds)
        except queue.Empty:
            self._end()
            raise NotTimed(
                f"latency: a network was not timed within {self._seconds:.0f} s. Its process was "
                "ended, and what was measured is kept."
            ) from None
        if line is None:
            code = process.wait()
            self._end()
            raise NotTimed(
                f"latency: the process that times networks died: {death(code)}. What was measured "
                "is kept."
            )
        answer = _answers.validate_json(line)
        if isinstance(answer, Refused):
            raise NotTimed(answer.message)
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            end_process(process)

    def close(self) -> None:
        """End the process, if there is one; a thread that waits for its answer is told NotTimed."""
        process = self._process
        if process is not None:
            end_process(process)
        with self._guard:
            self._end()


class Stopwatch:
    """Times networks for one session and keeps in it what they took."""

    def __init__(self, store: Store, probe: LatencyProbe | None = None) -> None:
        self._store = store
        self._probe = probe or LatencyProbe()
        self._asked: dict[object, int] = {}

    def time(
        self, snapshot: Snapshot, proposed: Sequence[Config], seconds: float = BESIDE_SECONDS
    ) -> int:
        """Time what the session was measured on and what is proposed, so far as that was not done;
        gives how many were timed.

        Stops after so many seconds; the rest is for the next time.  A session that holds what it
        held is asked `ROUNDS` times at most: each ranking of what was timed proposes others.
        Raises NotTimed.
        """
        if not search.counts_latency(snapshot.session) or snapshot.read_only:
            return 0
        space = session_space(snapshot.session)
        trials = [trial.config for trial in snapshot.trials if trial.state == "done"]
        wanted = {space.key(config): config for config in (*trials, *proposed)}
        missing = [config for key, config in wanted.items() if key not in snapshot.latencies]
        held = len(trials), len(snapshot.decisions)
        asked = self._asked.get(held, 0)
        if not missing or asked >= ROUNDS:
            return 0
        self._asked = {held: asked + 1}
        return self._keep(snapshot, space, missing, seconds)

    def _keep(
        self, snapshot: Snapshot, space: Space, configs: Sequence[Config], seconds: float
    ) -> int:
        session, first = snapshot.session, next(iter(snapshot.latencies.values()), None)
        here = processor_name()
        if first is not None and first.machine != here:
            raise NotTimed(
                f"latency: this session's networks were timed on {first.machine}, and this machine "
                f"is {here}, whose times do not compare. What is not timed yet is believed; to "
                "time on this machine, begin a new session (c copies this one)."
            )
        assert space.reference is not None
        order = Clock(
            runtime=session.runtime or (usual_runtime() if first is None else first.runtime),
            shape=session.summary.shape,
            classes=session.summary.classes,
            features=session.features,
            reference=space.reference,
            configs=(),
        )
        known = snapshot.latencies.get(space.key(space.reference))
        reference = None if known is None else known.milliseconds
        if reference is None:  # what it takes is found out once, and stands for all
            configs = [space.reference, *(c for c in configs if c != space.reference)]
        found: list[Latency] = []
        try:
            for config, told in self._probe.time(order, configs, seconds):
                ratio = 1.0 if config == space.reference else told.ratio
                reference = told.reference_milliseconds if reference is None else reference
                found.append(
                    Latency(
                        key=space.key(config),
                        config=config,
                        runtime=order.runtime,
                        machine=here,
                        ratio=ratio,
                        milliseconds=ratio * reference,
                        variation=told.variation,
                    )
                )
        finally:
            if found:
                self._store.add_latencies(found)
        return len(found)

    def close(self) -> None:
        """End its process."""
        self._probe.close()
