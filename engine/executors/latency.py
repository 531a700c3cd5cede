"""A warm process beside a console or an engine that times networks for their latency."""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from ...sessions.choices import Runtime
from ...sessions.errors import StoreError
from ...sessions.records import Config, Latency
from ...sessions.snapshot import Snapshot
from ...sessions.store import Store
from .. import search
from ..machine import processor_name
from ..protocol import STEADY, Clock, Clocked, Refused
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


class Lost(NotTimed):
    """The process died or hung over a network, or said what is no answer."""


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
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                raise NotTimed(
                    f"latency: no process could be started ({error}). Close other programs; what "
                    "was measured is kept."
                ) from error
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
            raise Lost(
                f"latency: a network was not timed within {self._seconds:.0f} s. Its process was "
                "ended, and what was measured is kept."
            ) from None
        if line is None:
            code = process.wait()
            self._end()
            raise Lost(
                f"latency: the process that times networks died: {death(code)}. What was measured "
                "is kept."
            )
        try:
            answer = _answers.validate_json(line)
        except ValidationError as error:
            self._end()
            raise Lost(
                f"latency: the process that times networks said what is no answer: {line[:60]!r}. "
                "It was ended, and what was measured is kept."
            ) from error
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
        self._again: set[str] = set()
        """Keys of those that were timed once more, because a measurement of them was unsteady."""
        self._lost: set[str] = set()
        """Keys of those over which the process was lost: they would stand in all others' way."""

    def time(
        self, snapshot: Snapshot, proposed: Sequence[Config], seconds: float = BESIDE_SECONDS
    ) -> int:
        """Time what the session was measured on and what is proposed, so far as that was not done;
        gives how many were timed.

        Stops after so many seconds; the rest is for the next time.  What is proposed is timed
        `ROUNDS` times at most while the session holds what it held: each ranking of what was timed
        proposes others.  One whose measurement was unsteady is timed once more.  Raises NotTimed.
        """
        if not search.counts_latency(snapshot.session) or snapshot.read_only:
            return 0
        space = session_space(snapshot.session)
        trials = {
            space.key(trial.config): trial.config
            for trial in snapshot.trials
            if trial.state == "done"
        }
        missing = self._missing(snapshot, trials)
        held = len(trials), len(snapshot.decisions)
        asked = self._asked.get(held, 0)
        if not missing and asked >= ROUNDS:
            return 0
        if not missing:
            self._asked = {held: asked + 1}
        if asked < ROUNDS:
            missing |= self._missing(snapshot, {space.key(one): one for one in proposed})
        return self._keep(snapshot, space, missing, seconds) if missing else 0

    def _missing(self, snapshot: Snapshot, wanted: Mapping[str, Config]) -> dict[str, Config]:
        """Those that were not timed, or not steadily, so far as that can be helped."""
        known = snapshot.latencies
        return {
            key: config
            for key, config in wanted.items()
            if key not in self._lost
            and (key not in known or (known[key].variation > STEADY and key not in self._again))
        }

    def _keep(
        self, snapshot: Snapshot, space: Space, missing: Mapping[str, Config], seconds: float
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
        configs = list(missing.values())
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
        except Lost:
            self._lost.add(space.key(configs[len(found)]))
            raise
        finally:
            if found:
                self._add(found, space.key(space.reference))
        return len(found)

    def _add(self, found: Sequence[Latency], reference: str) -> None:
        """Keep them, by the reference's time that somebody else may have kept meanwhile; of one
        that was timed before, the steadier measurement.
        """
        now = self._store.refresh().latencies
        kept = []
        for latency in found:
            before = now.get(latency.key)
            if before is not None:
                self._again.add(latency.key)
                if before.variation <= latency.variation or latency.key == reference:
                    continue
            if reference in now:
                told = latency.ratio * now[reference].milliseconds
                latency = latency.model_copy(update={"milliseconds": told})
            kept.append(latency)
        if kept:
            self._store.add_latencies(kept)

    def close(self) -> None:
        """End its process."""
        self._probe.close()
