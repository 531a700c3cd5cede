"""The engine of a session as a process: started, stopped, its log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Never

from ...sessions.errors import Late, StoreError
from ...sessions.store import Store

START_SECONDS = 60.0
"""How long a new engine may take until it says that it serves."""
STOP_SECONDS = 30.0
"""How long an engine that was asked to go may take until it is gone."""
GRACE_SECONDS = 3.0
"""How long an engine that is killed if it must be is given to go by itself."""
KILLED = "it did not go when it was asked to, and was killed"


def does_not_go(name: str, pid: int | None, seconds: float) -> str:
    """What to do about an engine that was asked to go and is still there."""
    process = "" if pid is None else f" (process {pid})"
    return (
        f"the engine{process} has not gone within {seconds:g} s. `lcsearch engine stop "
        f"{name} --force` kills it and its trainers: nothing is lost, trials go on from their "
        "checkpoints."
    )


@dataclass(frozen=True)
class EngineStop:
    """How an engine was stopped.  pid: its process, None if there was none; killed: or it left."""

    pid: int | None
    killed: bool = False


def _kill(pid: int) -> bool:
    """SIGKILL to an engine and its trainers: one that we have started leads a group of its own.

    False where it has ended meanwhile.
    """
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:  # a script's, say: its trainers see their input end
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def engine_command(folder: Path) -> list[str]:
    """What starts the engine of a session."""
    return [sys.executable, "-P", "-m", "lcsearch.engine.service", str(folder)]


class EngineProcess:
    """The engine of one session, from outside; every method may be called from any thread."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self._store = store
        self._start = threading.Lock()

    def start(self) -> None:
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

    def become(self) -> Never:
        """Go on as the engine itself, in this very process: a service manager looks after it."""
        if self._store.read_only:
            raise StoreError(f"{self.folder}: read-only, no engine can work here.")
        if self._store.refresh().engine.state == "stopped":
            self._store.call_engine()
        self._store.close()
        sys.stdout.flush()
        os.execv(sys.executable, engine_command(self.folder))

    def stop(self, *, force: bool = False) -> EngineStop:
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
            state, alive = self._store.refresh().engine.state, self._store.engine_alive()
            if alive:
                if not killed:  # else it is one that waited for its place, and goes in order
                    pid = self._store.engine_pid() or self._store.refresh().engine.pid
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
