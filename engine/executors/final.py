"""The end of a search on this machine: one process trains, tests and writes the chosen network."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ...sessions.errors import Misuse, StoreError
from ...sessions.snapshot import Snapshot
from ..protocol import FinalDone, FinalFailed, FinalOrder, FinalProgress, final_replies
from .base import WAITING, death
from .local import KIND as LOCAL

FINAL = "lcsearch.engine.training.final"
EPOCHS = 30
"""Of the final training, unless said otherwise."""
PATIENCE = 60.0
"""Seconds that a cancelled process may take to leave: it may be writing."""


class FinalError(StoreError):
    """The final training cannot be done, or failed; the message says what to do."""


class WrongOrder(FinalError, Misuse):
    """What was asked for cannot be: there is no such trial, or no such folder can be made."""


def order(
    snapshot: Snapshot, number: int, epochs: int, folder: Path, onnx: bool = False
) -> FinalOrder:
    """What is to be done for this trial.  Raises FinalError for one that is not there."""
    if not 0 <= number < len(snapshot.trials):
        raise WrongOrder(
            f"trial {number}: there is no such trial. This session has trials 0 to "
            f"{len(snapshot.trials) - 1}."
        )
    session, trial = snapshot.session, snapshot.trials[number]
    if session.task not in LOCAL.trains:
        raise WrongOrder(f"task {session.task}: is not trained to the end on this machine.")
    return FinalOrder(
        session=session.name,
        trial=number,
        data=session.data,
        fingerprint=session.summary.fingerprint,
        config=trial.config,
        features=session.features,
        seed=trial.seed,
        epochs=epochs,
        augment=session.augment,
        metric=session.metric,
        class_weights=session.class_weights,
        folder=str(usable(folder)),
        onnx=onnx,
    )


def usable(folder: Path) -> Path:
    """The absolute path of a folder that can be written.

    Raises FinalError where it holds something, its parent is missing, read-only or full.
    """
    path = folder.expanduser().absolute()
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise WrongOrder(f"{path}: exists and is no folder. Name another one.")
    if path.is_dir() and any(path.iterdir()):
        raise WrongOrder(f"{path}: exists and is not empty. Name another folder.")
    if not path.parent.is_dir():
        raise WrongOrder(f"{path.parent}: there is no such folder. Make it first.")
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        raise FinalError(
            f"{path.parent}: cannot be written ({error.strerror}). Name another folder."
        ) from error
    return path


class FinalTraining:
    """One final training at work.  Iterate over it to its end; `cancel` may come at any time."""

    def __init__(self, what: FinalOrder) -> None:
        """Start the process; it ends with this one, and then nothing is written."""
        self.order = what
        self.result: FinalDone | None = None
        self._cancelled = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", FINAL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**WAITING, **os.environ},
            start_new_session=True,  # Ctrl-C is for whoever waits, who then cancels
        )
        self._write(what.model_dump_json().encode() + b"\n")

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        # a dead process is told of where its output ends
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def __iter__(self) -> Iterator[FinalProgress]:
        """How far it is, again and again; where that ends, `result` is there or it was cancelled.

        Raises FinalError.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said = final_replies.validate_json(line)
            except ValidationError as error:
                self.cancel()
                raise FinalError(f"the process said what is no reply: {line!r}.") from error
            if isinstance(said, FinalFailed):
                self.cancel()
                raise FinalError(said.message)
            if isinstance(said, FinalDone):
                self.result = said
            else:
                yield said
        self._leave()
        if self.result is None and not self._cancelled:
            self._log.seek(0)
            words = self._log.read().decode(errors="replace").strip().splitlines()
            last = f" Its last words: {words[-1]}" if words else ""
            raise FinalError(f"the process died: {death(self._process.returncode)}.{last}")

    def cancel(self) -> None:
        """End it; nothing is written, unless everything was already."""
        self._cancelled = True
        self._leave()

    def _leave(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            folder = Path(self.order.folder)
            part = folder.with_name(f".{folder.name}.part-{self._process.pid}")
            shutil.rmtree(part, ignore_errors=True)
