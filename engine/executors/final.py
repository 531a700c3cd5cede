"""Final trainings on this machine: a process trains, tests and writes a chosen network."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from ...sessions.choices import FINAL_EPOCHS, Images
from ...sessions.errors import Late, Misuse, NoRoom, StoreError
from ...sessions.records import Delivery, Session, StopMode, Trial, TrialState, now
from ...sessions.snapshot import Snapshot
from ...sessions.store import Store
from ..protocol import (
    FinalDone,
    FinalEnded,
    FinalFailed,
    FinalOrder,
    FinalProgress,
    FinalStop,
    final_replies,
    unfinished,
    written,
)
from .base import WAITING, death
from .local import KIND as LOCAL

FINAL = "lcsearch.engine.training.final"
PATIENCE = 60.0
"""Seconds that a process may take to leave: it may be writing."""
KEPT_SECONDS = 1.0
"""How often the session is told how far one is, at most."""
RESUME = "Then resume it."
FAULTS = 3
"""Deaths in a row that brought it no further after which it is not begun again by itself."""

log = logging.getLogger("lcsearch.engine")


class FinalError(StoreError):
    """The final training cannot be done, or failed; the message says what to do."""


class Died(FinalError):
    """Its process ended without a last word."""


class Hindered(FinalError):
    """It cannot go on as things are; once they are mended, it does, from its checkpoints."""


class TooLossy(FinalError):
    """Eight bits lose more than may be; its checkpoints are there."""


class WrongOrder(FinalError, Misuse):
    """What was asked for cannot be: there is no such trial, or no such folder can be made."""


def identity(session: Session, delivery: Delivery) -> str:
    """A word that no other final training has, of whatever session: by it its files are known."""
    whole = f"{session.created.isoformat()} {delivery.number} {delivery.created.isoformat()}"
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def order(snapshot: Snapshot, delivery: Delivery, checkpoints: Path) -> FinalOrder:
    """What is to be done for it.  checkpoints: the folder of the session's.  Raises FinalError."""
    session, trial = snapshot.session, snapshot.trials[delivery.trial]
    mine, execution = identity(session, delivery), session.execution
    if written(Path(delivery.folder), mine) is None:
        usable(Path(delivery.folder))
    return FinalOrder(
        session=session.name,
        trial=trial.number,
        data=session.data,
        fingerprint=session.summary.fingerprint,
        config=trial.config,
        features=session.features,
        seeds=delivery.seeds,
        epochs=delivery.epochs,
        augment=session.augment,
        metric=session.metric,
        class_weights=session.class_weights,
        folder=delivery.folder,
        checkpoint=str(checkpoints / f"final-{delivery.number}"),
        images=delivery.images,
        onnx=delivery.onnx,
        scored_before=snapshot.scored - len(delivery.scores),
        int8=delivery.int8,
        accept_loss=delivery.accept_loss,
        id=mine,
        # a cluster's devices are not this machine's
        device=execution.devices[0] if execution.devices else "auto",
        dtype=execution.dtype,
    )


def wanted(
    snapshot: Snapshot,
    number: int,
    folder: Path,
    *,
    epochs: int = FINAL_EPOCHS,
    images: Images | None = None,
    seeds: int = 1,
    onnx: bool = False,
    int8: bool = False,
    accept_loss: bool = False,
) -> Delivery:
    """A final training of this trial's network, as it is queued.

    images: None takes all where the search used a part.  seeds: how many trainings, the trial's own
    seed first.  int8: eight bits are written beside float32, and so ONNX is; accept_loss: however
    much they lose.  Raises FinalError for a trial that is not there, a folder that cannot be
    written or that another one is to be written into.
    """
    session, trial = snapshot.session, known_trial(snapshot, number)
    if session.task not in LOCAL.trains:
        raise WrongOrder(f"task {session.task}: is not trained to the end on this machine.")
    return Delivery(
        number=1,
        trial=number,
        images=images or usual_images(session),
        epochs=epochs,
        seeds=tuple(trial.seed + more for more in range(seeds)),
        folder=str(free(snapshot, folder)),
        onnx=onnx or int8,
        int8=int8,
        accept_loss=accept_loss,
        created=now(),
    )


def free(snapshot: Snapshot, folder: Path, number: int | None = None) -> Path:
    """The absolute path of a folder that can be written, and that no other is to be written into.

    number: the final training that it is for, where that is one already.  Raises FinalError.
    """
    place, name = usable(folder), snapshot.session.name
    for other in snapshot.standing_deliveries:
        if other.open and other.folder == str(place) and other.number != number:
            goes_on = f"`lcsearch show {name}` says how far it is"
            if other.state == "paused":
                goes_on = f"`lcsearch resume {name} --final {other.number}` goes on with it"
            elif not snapshot.engine.alive:
                goes_on = f"`lcsearch engine start {name}` goes on with it"
            raise WrongOrder(
                f"{place}: final training {other.number} is to be written there ({goes_on}, "
                f"`lcsearch stop {name} --final {other.number}` gives it up). Name another folder "
                "for another one."
            )
    return place


def known_trial(snapshot: Snapshot, number: int) -> Trial:
    """The trial of this number.  Raises WrongOrder where there is none."""
    if not 0 <= number < len(snapshot.trials):
        raise WrongOrder(
            f"trial {number}: there is no such trial. This session has trials 0 to "
            f"{len(snapshot.trials) - 1}."
        )
    return snapshot.trials[number]


def usual_images(session: Session) -> Images:
    """What a final training takes unless it is said: all there are where the search used a part."""
    return "session" if session.data.train_size is None else "all"


def usable(folder: Path) -> Path:
    """The absolute path of a folder that can be written.

    Raises FinalError where it holds something, its parent is missing, read-only or full.
    """
    try:
        return _usable(folder.expanduser().absolute())
    except (OSError, RuntimeError, ValueError) as error:  # ~nobody/x; a name too long; a bad disk
        reason = getattr(error, "strerror", None) or error
        raise WrongOrder(f"{folder}: cannot be used ({reason}). Name another folder.") from error


def _usable(path: Path) -> Path:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()  # pathlib's own questions are answered with no where there is no answer
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
    """One final training at work in a process of its own.  Iterate over it to its end."""

    def __init__(self, what: FinalOrder, log: IO[bytes] | None = None) -> None:
        """Start the process; it ends with this one, and its checkpoints stay.

        log: what its errors are written to; this process's own where there is none.
        """
        self.order = what
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", FINAL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**WAITING, **os.environ},
            start_new_session=True,  # Ctrl-C is for whoever waits
        )
        self._write(what.model_dump_json().encode() + b"\n")

    def _write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        # a dead process is told of where its output ends
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def stop(self, mode: StopMode) -> None:
        """Ask it to end; what it says last is a `FinalEnded`, unless it is done before."""
        self._write(FinalStop(mode=mode).model_dump_json().encode() + b"\n")

    def __iter__(self) -> Iterator[FinalProgress | FinalDone | FinalEnded]:
        """What it says, to its end.  Raises FinalError where it fails, Died where it is gone."""
        assert self._process.stdout is not None
        last = False
        for line in self._process.stdout:
            try:
                said = final_replies.validate_json(line)
            except ValidationError as error:
                self.close()
                raise FinalError(f"the process said what is no reply: {line!r}.") from error
            if isinstance(said, FinalFailed):
                self.close()
                kind = TooLossy if said.lossy else Hindered if said.curable else FinalError
                raise kind(said.message)
            last = last or not isinstance(said, FinalProgress)
            yield said
        self.close()
        if not last:
            raise Died(f"its process died: {death(self._process.returncode)}.")

    def close(self) -> None:
        """End it, where it has not ended; what was trained is in its checkpoints."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Finisher:
    """Does a session's final trainings for its engine, one after another."""

    def __init__(self, store: Store, log: IO[bytes]) -> None:
        self._store, self._log = store, log
        self._checkpoints = store.folder / "checkpoints"
        self._training: FinalTraining | None = None
        self._listener: threading.Thread | None = None
        self._number = 0
        self._said: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._asked: StopMode | None = None
        self._kept = -math.inf
        self._live: set[int] | None = None
        """Those that were open at the last look; None before the first."""
        self._faults: dict[int, tuple[tuple[int, int], int]] = {}
        """Of each that died: training and epoch then, and how often it came no further."""

    def turn(self, snapshot: Snapshot, *, free: bool) -> bool:
        """Hear what there is, do what was asked, and begin the next one where the machine is free.

        Whether there is any to do.  Raises NoRoom.
        """
        while not self._said.empty():
            self._hear(self._said.get())
            snapshot = self._store.refresh()
        live = {one.number for one in snapshot.deliveries if one.open}
        if live != self._live:
            self._live = live
            self._prune(snapshot)
        if self._training is not None:
            asked = snapshot.deliveries[self._number - 1].stop_request
            if asked is not None and asked != self._asked:
                self._asked = asked
                self._training.stop(asked)
        elif free:
            waiting = [one for one in snapshot.deliveries if one.waits]
            if waiting:
                self._begin(snapshot, waiting[0])
        return any(one.pending for one in snapshot.deliveries)

    def _begin(self, snapshot: Snapshot, delivery: Delivery) -> None:
        number = delivery.number
        try:
            self._checkpoints.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise NoRoom(f"{self._store.folder}: cannot be written ({error}).") from error
        try:
            what = order(snapshot, delivery, self._checkpoints)
            self._store.update_delivery(
                number,
                {delivery.state},
                state="running",
                stop_request=None,
                started=delivery.started or now(),
                message="",
            )
        except Late:  # withdrawn since we looked
            return
        except FinalError as error:
            self._end(number, "paused", f"{error} {RESUME}", states={delivery.state})
            return
        self._number, self._asked, self._kept = number, None, -math.inf
        training = self._training = FinalTraining(what, self._log)
        said = self._said = queue.SimpleQueue()

        def listen() -> None:
            try:
                for reply in training:
                    said.put(reply)
            except FinalError as error:
                said.put(error)

        self._listener = threading.Thread(target=listen, daemon=True)
        self._listener.start()
        log.info("final training %d (trial %d) begins", number, delivery.trial)

    def _hear(self, said: object) -> None:
        number = self._number
        if isinstance(said, FinalProgress):
            moment = time.monotonic()
            if moment - self._kept < KEPT_SECONDS and said.done < 1:
                return
            self._kept = moment
            with contextlib.suppress(Late):  # withdrawn in the same moment: its end is on the way
                self._store.update_delivery(
                    number,
                    {"running"},
                    training=said.training,
                    epoch=said.epoch if said.ended else said.epoch - 1,
                    done=said.done,
                    loss=said.train_loss,
                    seconds_left=said.seconds_left,
                    scores=said.scores,
                )
            return
        self._training = None
        if isinstance(said, FinalDone):
            result = said.result
            searched = None if result.metric == "accuracy" else result.test_metric
            self._end(
                number,
                "done",
                scores=result.scores,
                metric_score=searched,
                eight_bits=result.int8,
                done=1.0,
            )
        elif isinstance(said, FinalEnded):
            self._end(number, "paused" if said.paused else "stopped")
        elif isinstance(said, TooLossy):
            self._end(number, "paused", str(said))
        elif isinstance(said, Hindered):
            self._end(number, "paused", f"{said} {RESUME}")
        elif isinstance(said, Died):
            self._died(number, said)
        else:
            self._end(number, "failed", str(said))

    def _died(self, number: int, error: Died) -> None:
        """Let it go on from its checkpoint, unless it comes no further."""
        delivery = self._store.refresh().deliveries[number - 1]
        reached = delivery.training, delivery.epoch  # what it goes on from: an epoch's end
        before, times = self._faults.get(number, ((0, 0), 0))
        times = times + 1 if reached <= before else 1
        self._faults[number] = reached, times
        log.warning("final training %d: %s", number, error)
        if delivery.stop_request is None and times >= FAULTS:
            words = f"{error} So it did {times} times. See `lcsearch logs`."
            self._end(number, "paused", f"{words} {RESUME}")
        else:
            self._store.put_back_delivery(number)

    def _end(
        self,
        number: int,
        state: TrialState,
        message: str = "",
        *,
        states: set[str] | None = None,
        **fields: object,
    ) -> None:
        log.info("final training %d is over: %s %s", number, state, message)
        with contextlib.suppress(Late):  # withdrawn, or put back, in the same moment
            self._store.update_delivery(
                number,
                states or {"running"},
                state=state,
                message=message,
                stop_request=None,
                seconds_left=None,
                ended=None if state == "paused" else now(),
                **fields,
            )

    def _prune(self, snapshot: Snapshot) -> None:
        """Take away the checkpoints of those that have ended, or were never ours, and what they
        left half written.
        """
        live = {one.number for one in snapshot.deliveries if one.open}
        for file in self._checkpoints.glob("final-*"):
            number = file.name.removeprefix("final-").partition("-")[0].partition(".")[0]
            if number.isdecimal() and int(number) not in live:
                file.unlink(missing_ok=True)
        for one in snapshot.deliveries:
            # one that never began left nothing; an import's may be at work where it came from
            if not one.open and one.started is not None:
                left = unfinished(Path(one.folder), identity(snapshot.session, one))
                shutil.rmtree(left, ignore_errors=True)

    def close(self) -> None:
        """End the one at work; whoever leaves the store puts it back, unless all is written."""
        training, self._training = self._training, None
        if training is None:
            return
        training.close()
        if self._listener is not None:
            self._listener.join()
        while not self._said.empty():
            said = self._said.get()
            # that it ended otherwise is this engine's doing
            if isinstance(said, FinalDone):
                self._hear(said)
