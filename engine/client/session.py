"""What a person or a command can do with one session: read it, rank, decide.

The console and the commands stand on this, so that no other path changes a session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Never

from ...sessions import exchange
from ...sessions.errors import Deleted, Late, StoreError
from ...sessions.records import Advised, Config, Decision, Execution, Levels, Prediction, StopMode
from ...sessions.snapshot import Plan, Snapshot
from .. import search
from ..executors.devices import check_parallel
from ..executors.registry import check_fields, checked
from ..search import decide
from ..tasks.task import open_store, session_space
from . import imports as archive
from .process import (
    GRACE_SECONDS,
    KILLED,
    START_SECONDS,
    STOP_SECONDS,
    EngineStop,
    _kill,
    does_not_go,
    engine_command,
)

if TYPE_CHECKING:
    from ..advisor.ranking import Proposal, Ranking
    from ..executors.final import FinalTraining


class Desk:
    """One session at work; every method may be called from any thread."""

    def __init__(self, folder: Path, *, migrate: bool = True) -> None:
        """Open the session in `folder`; migrate: see `Store`.  Raises StoreError."""
        self.folder = folder
        self._store = open_store(folder, migrate=migrate)
        self.space = session_space(self._store.refresh().session)
        self._start = threading.Lock()

    def close(self) -> None:
        """Close the session; an engine at work goes on."""
        self._store.close()

    def refresh(self) -> Snapshot:
        """What the session holds now; the same object as before if nothing changed.

        `space` follows it: domains may be changed by whoever else has the session open.

        Raises Deleted if it was deleted meanwhile: what is written then would go to the trash.
        """
        if not self._store.in_place():
            name = self.folder.name
            another = (self.folder / "session.db").exists()
            raise Deleted(
                f"session {name!r}: was deleted, and another of its name made. Open that one."
                if another
                else f"session {name!r}: was deleted. `lcsearch delete {name} --undo` brings it "
                "back."
            )
        snapshot = self._store.refresh()
        self.space = session_space(snapshot.session)
        return snapshot

    def rank(self, snapshot: Snapshot, *, wc: float | None = None, count: int = 10) -> Ranking:
        """Rank what could be trained next (up to a second)."""
        return search.ranking(snapshot, session_space(snapshot.session), wc=wc, count=count)

    # -- decisions ------------------------------------------------------------------------------

    def _decide(self, plan: Plan) -> Decision:
        decision = self._store.apply(plan)
        queued = plan.trial is not None or decision.kind in ("resume", "autopilot")
        if queued:
            self.start_engine()
        return decision

    def accept(
        self, proposal: Proposal, reason: str = "", *, advised: Advised | None = None
    ) -> Decision:
        """Queue a candidate of the advisor's.  advised: its first one, kept if it is another."""
        config, prediction = proposal.config, proposal.prediction
        return self._decide(
            decide.accept(
                self.refresh(), self.space, config, prediction, reason=reason, advised=advised
            )
        )

    def submit(
        self,
        config: Config,
        prediction: Prediction | None,
        *,
        kind: Literal["edit", "new"],
        reason: str = "",
        advised: Advised | None = None,
    ) -> Decision:
        """Queue a network of the person's own.  advised: what the advisor had first.

        Raises InvalidConfig.
        """
        return self._decide(
            decide.submit(
                self.refresh(),
                self.space,
                config,
                prediction,
                kind=kind,
                reason=reason,
                advised=advised,
            )
        )

    def reject(self, proposal: Proposal, reason: str = "") -> Decision:
        """Take a candidate out of the ranking."""
        return self._decide(
            decide.reject(self.refresh(), proposal.config, proposal.prediction, reason)
        )

    def repeat(self, number: int | None = None, reason: str = "") -> Decision:
        """Train a trial's network again with another seed (the best one's if None)."""
        snapshot = self.refresh()
        number = self._or_best(snapshot, number)
        if number is None:
            raise StoreError(search.NOTHING_DONE)
        return self._decide(decide.repeat(snapshot, self.space, number, reason))

    def stop(self, number: int, mode: StopMode, reason: str = "") -> Decision:
        """Stop or pause a running trial, or withdraw one that waits."""
        return self._decide(decide.stop(self.refresh(), number, mode, reason))

    def resume(self, number: int) -> Decision:
        """Let a paused trial go on."""
        return self._decide(decide.resume(self.refresh(), number))

    def undo(self, meant: int | None = None) -> Decision:
        """Undo the last decision that can still be undone; only this one, if one is meant."""
        return self._decide(decide.undo(self.refresh(), meant))

    def advance(self, number: int | None = None, *, left: int | None = None) -> Decision:
        """Go on to the next level from this trial's network (the best one if None).

        left: the level that is meant to be left.
        """
        snapshot = self.refresh()
        return self._decide(decide.advance(snapshot, self._or_best(snapshot, number), left=left))

    def reopen(self, level: int, number: int | None = None) -> Decision:
        """Search an earlier level again, from this trial's network (the best one if None)."""
        snapshot = self.refresh()
        return self._decide(decide.reopen(snapshot, level, self._or_best(snapshot, number)))

    def _or_best(self, snapshot: Snapshot, number: int | None) -> int | None:
        if number is not None:
            return number
        best = self.recommended(snapshot)
        return None if best is None else best.number

    def set_stop_behind(self, wanted: bool) -> None:
        """Whether the engine stops trials that fall behind from now on, or they are only marked."""
        self._store.set_session({}, stop_behind=wanted)

    def set_wc(self, wc: float, reason: str = "") -> Decision:
        """Change the trade-off; nothing is trained again."""
        return self._decide(decide.set_wc(self.refresh(), wc, reason))

    def set_strategy(self, strategy: str, reason: str = "") -> Decision:
        """Let something else propose from now on."""
        return self._decide(decide.set_strategy(self.refresh(), strategy, reason))

    def set_domains(self, domains: Mapping[str, str], reason: str = "") -> Decision:
        """Search these parameters in these domains from now on; `default` is one's own."""
        return self._decide(decide.set_domains(self.refresh(), domains, reason))

    def set_execution(self, **fields: object) -> Execution:
        """Change where trials run and how many at once; what runs ends where it began.

        Raises Misuse for a value that cannot be used, StoreError where Ray is not installed.
        """
        snapshot = self.refresh()
        before = snapshot.session.execution
        check_fields(fields.get("executor", before.executor), fields)
        kept = before.model_dump()
        if any(name in fields and fields[name] != kept[name] for name in ("executor", "devices")):
            del kept["parallel"]  # how many at once is another's number
        execution = checked(before.model_validate({**kept, **fields}))
        timed_with = search.timed_with(snapshot)
        if "parallel" in fields and timed_with is not None:
            check_parallel(execution, timed_with)
        self._store.set_session({"execution": before}, execution=execution)
        return execution

    def favour(self, region: Mapping[str, str], reason: str = "") -> Decision:
        """Mark the region that the search should favour; an empty one clears it."""
        return self._decide(decide.favour(self.refresh(), region, reason))

    def autopilot(
        self,
        *,
        trials: int | None = None,
        minutes: float | None = None,
        levels: Levels = "this",
        until_flat: bool = False,
    ) -> Decision:
        """Let the engine accept the best candidate by itself."""
        return self._decide(
            decide.autopilot(
                self.refresh(),
                trials=trials,
                minutes=minutes,
                levels=levels,
                until_flat=until_flat,
            )
        )

    def takeover(self) -> Decision:
        """Take the wheel back from the autopilot."""
        return self._decide(decide.takeover(self.refresh()))

    # -- the engine -----------------------------------------------------------------------------

    def start_engine(self) -> None:
        """Start an engine unless one serves, and wait until it does.

        Raises StoreError with the last lines of its log if it cannot start.
        """
        if self._store.read_only:
            raise StoreError(f"{self.folder}: read-only, no engine can work here.")
        with self._start:
            if self._store.refresh().engine.state == "stopped":
                self._store.call_engine()
            process: subprocess.Popen[bytes] | None = None
            deadline = time.monotonic() + START_SECONDS
            while not self._serving():
                if self._store.refresh().engine.state == "stopped":
                    raise Late("the engine was stopped meanwhile.")
                status = None if process is None else process.poll()
                if status not in (None, 0):
                    raise StoreError(f"the engine cannot start. {self._log_end()}")
                if time.monotonic() > deadline:
                    before = self._store.refresh().engine
                    raise StoreError(
                        f"{does_not_go(self.folder.name, before.pid, START_SECONDS)} Until then "
                        "no other can start."
                        if before.going
                        else f"the engine does not start within {START_SECONDS:.0f} s. "
                        f"{self._log_end()}"
                    )
                # one that ended in order found another, which has left meanwhile: start again
                if process is None or status == 0:
                    process = self._launch()
                time.sleep(0.02)

    def become_engine(self) -> Never:
        """Go on as the engine itself, in this very process: a service manager looks after it."""
        if self._store.read_only:
            raise StoreError(f"{self.folder}: read-only, no engine can work here.")
        if self._store.refresh().engine.state == "stopped":
            self._store.call_engine()
        self.close()
        sys.stdout.flush()
        os.execv(sys.executable, engine_command(self.folder))

    def stop_engine(self, *, force: bool = False) -> EngineStop:
        """Let the engine put back what it trains, and go.

        Nothing starts one again but who queues a trial, or asks for an engine.  force: kill it,
        and its trainers, where it does not go within a few seconds.  Raises StoreError if it does
        not go.
        """
        asked = time.monotonic()
        deadline = asked + STOP_SECONDS
        pid: int | None = None
        told = killed = False
        while True:
            state, alive = self.refresh().engine.state, self._store.engine_alive()
            if alive:
                if not killed:  # else it is one that waited for its place, and goes in order
                    pid = self._store.engine_pid() or self.refresh().engine.pid
            elif told or state == "stopped":
                return EngineStop(pid)
            elif killed:
                with contextlib.suppress(StoreError):  # the next engine puts back what ran
                    self._store.leave(KILLED, only_if_idle=False)
                return EngineStop(pid, killed=True)
            if state not in ("stopping", "stopped") or (state == "stopping" and not alive):
                try:
                    self._store.stop_engine()
                except StoreError:
                    # nothing can be written: a full disk, or a file of an older version
                    if not alive:
                        return EngineStop(pid)
                    if pid is not None and not told:
                        os.kill(pid, signal.SIGTERM)
                        told = True
            patient = force and time.monotonic() - asked < GRACE_SECONDS
            if force and alive and pid is not None and not (patient or killed):
                killed = _kill(pid)
            if time.monotonic() > deadline:
                words = does_not_go(self.folder.name, pid, STOP_SECONDS)
                raise StoreError(f"{words} {self._log_end()}")
            time.sleep(0.02)

    def _launch(self) -> subprocess.Popen[bytes]:
        log = self.folder / "engine.log"
        try:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StoreError(f"{log}: cannot be written ({error}). No engine can start.") from error
        with os.fdopen(handle) as output:
            return subprocess.Popen(
                engine_command(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _serving(self) -> bool:
        engine = self._store.refresh().engine
        # one that has just begun may not yet have said so: what is read is the one before it
        known = (None, engine.pid)
        return (
            engine.state == "serving"
            and self._store.engine_alive()
            and (self._store.engine_pid() in known)
        )

    def _log_end(self) -> str:
        return f"The last lines of its log:\n{self.log_tail(8)}"

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the engine's log."""
        path = self.folder / "engine.log"
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 400 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def train_final(
        self, number: int, epochs: int, folder: Path, *, onnx: bool = False
    ) -> FinalTraining:
        """Begin to train a trial's network to the end.  Raises FinalError (a StoreError)."""
        from ..executors.final import FinalTraining, order

        return FinalTraining(order(self.refresh(), number, epochs, folder, onnx))

    # -- out ------------------------------------------------------------------------------------

    def export(self, path: Path) -> None:
        """Write the session as JSON (ranks once, for `best`).  Raises StoreError."""
        exchange.write(path, self.document())

    def document(self) -> exchange.Document:
        """The session as its export holds it."""
        snapshot = self.refresh()
        space = session_space(snapshot.session)
        return archive.document(snapshot, space, self.recommended(snapshot))

    def recommended(self, snapshot: Snapshot) -> search.Recommendation | None:
        """The network that the session recommends (ranks once); None before the first."""
        if not search.observations(snapshot):
            return None
        return search.recommended(snapshot, self.rank(snapshot, count=1))
