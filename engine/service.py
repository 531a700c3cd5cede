"""The engine process of one session: queued trials go to an executor, results to the store.

    python -P -m lcsearch.engine.service SESSION-FOLDER

It works detached from any console, holds `engine.lock` as long as it lives, follows the
autopilot, and leaves when it has had nothing to do for ten minutes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import filelock

from ..sessions.records import OPEN_STATES, Failure, Trial, now
from ..sessions.store import Late, Snapshot, Store, StoreError
from . import search
from .cnn import LEVELS, exact_complexity, session_space
from .executors.local import Event, Gone, LocalExecutor
from .protocol import Ended, EpochDone, Failed, Finished, Ready, Refused, Started, Stop, Train

if TYPE_CHECKING:
    from .advisor import Ranking

IDLE_SECONDS = 600.0
TICK = 0.1
"""Seconds between two looks at the session, at most."""
LOCK_SECONDS = 60.0
"""How long an engine waits for the one before it to be gone."""
FAULTS = 3
"""Trainer faults in a row without a new epoch after which a trial has failed."""
LOG_BYTES = 2_000_000

log = logging.getLogger("lcsearch.engine")


class DataRefused(Exception):
    """The session's data cannot be used any more."""


class Service:
    """One engine at work."""

    def __init__(self, store: Store, idle_seconds: float) -> None:
        self.store = store
        self._idle_seconds = idle_seconds
        self._space = session_space(store.refresh().session)
        session = store.refresh().session
        self._log = (store.folder / "engine.log").open("ab")
        # what suits the machine is measured once: one session's trials are trained alike
        machines = (t.machine for t in store.refresh().trials if t.machine is not None)
        dtype = next((machine.dtype for machine in machines), None)
        self._executor = LocalExecutor(session.data, session.summary.fingerprint, self._log, dtype)
        self._faults: dict[int, int] = {}
        self._asked: set[tuple[int, int]] = set()
        self._thinker = ThreadPoolExecutor(1, "advisor")
        self._thought: tuple[Snapshot, Future[Ranking]] | None = None
        self._busy_until = time.monotonic()
        self.leaving = False

    def serve(self) -> None:
        """Work until there is nothing left to do, or until told to go."""
        self.store.serve(os.getpid())
        self._prune()
        log.info("engine %d serves", os.getpid())
        try:
            while not self.leaving:
                for event in self._executor.wait(TICK):
                    self._hear(event)
                if not (self.store.folder / "session.db").exists():
                    log.info("the session's folder is gone")
                    return
                if self._step(self.store.refresh()):
                    self._busy_until = time.monotonic()
                elif time.monotonic() - self._busy_until > self._idle_seconds and self.store.leave(
                    only_if_idle=True
                ):
                    log.info("nothing to do: the engine leaves")
                    return
            self.store.leave("stopped", only_if_idle=False)
        except DataRefused as error:
            self.store.leave(str(error), only_if_idle=False)
            raise
        finally:
            self._executor.close()
            self._thinker.shutdown(cancel_futures=True)
            self._log.close()

    # -- what is to be done ---------------------------------------------------------------------

    def _step(self, snapshot: Snapshot) -> bool:
        """One look at the session; whether there was or is anything to do."""
        running = self._executor.running
        if running is not None:
            trial = snapshot.trials[running[0]]
            if trial.stop_request is not None and running not in self._asked:
                self._asked.add(running)
                order = Stop(trial=running[0], attempt=running[1], mode=trial.stop_request)
                self._executor.stop(order)
        elif (trial_next := search.next_trial(snapshot)) is not None:
            self._begin(trial_next, snapshot)
            return True
        if snapshot.session.autopilot is not None:
            self._steer(snapshot)
            return True
        return running is not None

    def _begin(self, trial: Trial, snapshot: Snapshot) -> None:
        attempt = trial.attempt + 1
        try:
            self.store.update_trial(
                trial.number,
                {trial.state},
                state="running",
                attempt=attempt,
                stop_request=None,
                started=trial.started or now(),
            )
        except Late:  # withdrawn or stopped since we looked: there is nothing to begin
            return
        checkpoints = self.store.folder / "checkpoints"
        checkpoints.mkdir(mode=0o700, exist_ok=True)
        session = snapshot.session
        self._trim_log()
        self._prune()
        self._executor.train(
            Train(
                trial=trial.number,
                attempt=attempt,
                config=trial.config,
                reference=snapshot.trials[0].config,
                seed=trial.seed,
                epochs=session.epochs,
                features=session.features,
                checkpoint=str(checkpoints / f"trial-{trial.number}.pt"),
                lock=str(checkpoints / f"trial-{trial.number}.lock"),
            )
        )

    def _steer(self, snapshot: Snapshot) -> None:
        """Follow the autopilot.  Ranking runs in a thread: trials are served meanwhile."""
        step = search.pilot_step(snapshot)
        if step == "wait":
            return
        if step == "finish":
            self._hand_back(snapshot)
            return
        if self._thought is None:
            self._thought = snapshot, self._thinker.submit(search.ranking, snapshot, self._space)
            return
        basis, future = self._thought
        if not future.done():
            return
        self._thought = None
        if basis.change != snapshot.change:  # something was decided meanwhile: think again
            return
        try:
            self._act(step, snapshot, future.result())
        except Late as late:  # a person decided in the same moment, and takes the wheel
            log.info("autopilot: %s", late)
        except StoreError as error:  # there is nothing that it could do
            self._hand_back(snapshot, str(error))

    def _hand_back(self, snapshot: Snapshot, reason: str = "") -> None:
        """Switch the autopilot off, unless somebody has set it anew."""
        if reason:
            log.info("autopilot off: %s", reason)
            self.store.say(f"autopilot off: {reason}")
        try:
            self.store.set_session({"autopilot": snapshot.session.autopilot}, autopilot=None)
        except Late as late:
            log.info("autopilot: %s", late)

    def _act(self, step: str, snapshot: Snapshot, ranking: Ranking) -> None:
        if step == "propose" and ranking.proposals:
            best = ranking.proposals[0]
            self.store.apply(
                search.accept(snapshot, self._space, best.config, best.prediction, by="autopilot")
            )
            return
        pilot = snapshot.session.autopilot
        assert pilot is not None
        last = snapshot.session.level == len(LEVELS)
        if pilot.levels == "all" and not last:
            self.store.apply(search.advance(snapshot, ranking.incumbent_number, by="autopilot"))
        else:
            self._hand_back(snapshot, ranking.advice if ranking.exhausted else "")

    # -- what the trainer said --------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        if isinstance(event, Refused):
            raise DataRefused(event.message)
        if isinstance(event, Ready):
            assert event.machine is not None
            log.info("trainer ready on %s, %s", event.machine.device, event.machine.dtype)
        elif isinstance(event, Gone):
            self._trainer_gone(event)
        elif isinstance(event, Started):
            for epoch in event.epochs:
                self.store.add_epoch(event.trial, event.attempt, epoch)
        elif isinstance(event, EpochDone):
            self._faults.pop(event.trial, None)
            self.store.add_epoch(event.trial, event.attempt, event.epoch)
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Ended):
            state = "paused" if event.paused else "stopped"
            self._end(event.trial, state=state, stop_request=None)
        elif isinstance(event, Failed):
            log.warning("trial %d failed: %s", event.trial, event.failure.message)
            self._end(event.trial, state="failed", failure=event.failure)

    def _finish(self, event: Finished) -> None:
        session = self.store.refresh().session
        trial = self.store.refresh().trials[event.trial]
        exact = exact_complexity(self._space, trial.config, session.measure)
        self._end(
            event.trial,
            state="done",
            error=event.error,
            complexity=event.seconds_per_epoch / event.reference_seconds
            if exact is None
            else exact,
            seconds_per_epoch=event.seconds_per_epoch,
            reference_seconds=event.reference_seconds,
            machine=event.machine,
            stop_request=None,
        )

    def _end(self, number: int, **fields: object) -> None:
        self.store.update_trial(number, {"running"}, ended=now(), **fields)
        if fields["state"] != "paused":
            self._forget(number)

    def _trainer_gone(self, event: Gone) -> None:
        running = [t for t in self.store.refresh().trials if t.state == "running"]
        log.warning("the trainer is gone: %s", event.reason)
        for trial in running:
            faults = self._faults[trial.number] = self._faults.get(trial.number, 0) + 1
            if trial.stop_request is not None or faults < FAULTS:
                self.store.put_back(trial.number)
            else:
                failure = Failure(
                    kind=event.kind,
                    message=f"trial {trial.number}: the trainer died {faults} times without a new "
                    f"epoch; at last {event.reason}. See `lcsearch logs`; a smaller network or "
                    "batch_size needs less memory.",
                )
                self._end(trial.number, state="failed", failure=failure)

    def _prune(self) -> None:
        """Take away the checkpoints of trials that have ended since."""
        trials = self.store.refresh().trials
        left = {
            int(file.name.partition(".")[0].removeprefix("trial-"))
            for file in (self.store.folder / "checkpoints").glob("trial-*.*")
        }
        for number in left:
            if trials[number].state not in OPEN_STATES:
                self._forget(number)

    def _forget(self, number: int) -> None:
        for file in (self.store.folder / "checkpoints").glob(f"trial-{number}.*"):
            file.unlink(missing_ok=True)

    def _trim_log(self) -> None:
        # the trainer appends to the same file, so it is emptied in place, never renamed
        path = self.store.folder / "engine.log"
        if path.stat().st_size > LOG_BYTES:
            old = path.read_bytes()
            path.with_name("engine.log.1").write_bytes(old[-LOG_BYTES:])
            os.truncate(path, 0)


def main() -> int:
    """Serve the session in the folder given; exit codes: 0 left in order, 1 could not serve."""
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        store = Store(Path(sys.argv[1]))
        lock = store.engine_lock()
        if not _take(lock, store):
            log.info("another engine serves this session")
            return 0
        service = Service(store, float(os.environ.get("LCSEARCH_IDLE_SECONDS", IDLE_SECONDS)))

        def go(number: int, frame: FrameType | None) -> None:
            service.leaving = True

        signal.signal(signal.SIGTERM, go)
        signal.signal(signal.SIGINT, go)
        service.serve()
        lock.release()
    except (StoreError, DataRefused) as error:
        log.error("%s", error)
        return 1
    except Exception:
        log.exception("the engine failed")
        return 1
    return 0


def _take(lock: filelock.FileLock, store: Store) -> bool:
    """Take the engine's lock; False if another engine holds it and goes on serving."""
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            lock.acquire(timeout=0.2, poll_interval=0.01)
        except filelock.Timeout:
            if store.refresh().engine.state == "serving":
                return False
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
