"""The engine of a session as a process: started, stopped, its log."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

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
    return [sys.executable, "-P", "-m", "lcsearch.engine.service", str(folder)]
