"""The engine process of one session: queued trials go to an executor, results to the store.

    python -P -m lcsearch.engine.service SESSION-FOLDER

It works detached from any console, holds `engine.lock` as long as it lives, follows the
autopilot, and leaves when it has had nothing to do for ten minutes.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import filelock

from ..sessions.errors import Late, NoRoom, StoreError
from ..sessions.records import OPEN_STATES, Conditions, Failure, Machine, Session, Trial, now
from ..sessions.snapshot import Snapshot
from ..sessions.store import Store
from . import search
from .executors.base import Event, Executor, Gone, Notice
from .executors.final import Finisher
from .executors.latency import NotTimed, Stopwatch
from .executors.registry import executor_named
from .protocol import Ended, EpochDone, Failed, Finished, Ready, Refused, Started, Stop, Train
from .search import autopilot, decide
from .tasks.task import complexity_of, costs_of_epochs, measure_of, open_store, session_space

if TYPE_CHECKING:
    from .advisor.ranking import Proposal, Ranking

    Thought = tuple[Ranking, tuple[Proposal, ...]]

IDLE_SECONDS = 600.0
TICK = 0.1
"""Seconds between two looks at the session, at most."""
LOCK_SECONDS = 60.0
"""How long an engine waits for the one before it to be gone."""
FAULTS = 3
"""Trainer faults in a row without a new epoch after which a trial has failed."""
LOG_BYTES = 2_000_000
ROOM_SECONDS = 2.0
"""How often an engine that found the disk full looks whether there is room again, at first."""
ROOM_BYTES = 1_000_000
"""Room that the session's file needs, besides twice the largest checkpoint."""

log = logging.getLogger("lcsearch.engine")


class DataRefused(Exception):
    """The session's data cannot be used any more."""


class TrainerBroken(Exception):
    """No trainer comes as far as having read the data: it is not the trials' fault."""


ASKED = ""
IDLE = "nothing was left to do"
DELETED = "the session was deleted"


class Service:
    """One engine at work."""

    def __init__(self, store: Store, idle_seconds: float) -> None:
        self.store = store
        self._idle_seconds = idle_seconds
        session = store.refresh().session
        self._log = (store.folder / "engine.log").open("ab")
        self._execution = session.execution
        self._executor = self._new_executor(session)
        self._faults: dict[int, int] = {}
        self._unborn = 0
        """Trainers in a row that died before they had read the data."""
        self._full = 0
        """Times in a row that the disk was full, no epoch between them."""
        self._asked: set[tuple[int, int]] = set()
        self._thinker = ThreadPoolExecutor(1, "advisor")
        self._stopwatch = Stopwatch(store)
        self._finisher = Finisher(store, self._log)
        self._thought: tuple[Snapshot, Future[Thought]] | None = None
        self._settled: object = None
        """What the last ranking said nothing could be done about before it changes."""
        self._busy_until = time.monotonic()
        self._leaving: str | None = None

    def go(self, why: str) -> None:
        """Leave at the next turn.  why: in words for whoever looks later, or ASKED."""
        self._leaving = why

    def _new_executor(self, session: Session) -> Executor:
        # what suits the machine is measured once: one session's trials are trained alike
        snapshot = self.store.refresh()
        machines = (t.machine for t in snapshot.trials if t.machine is not None)
        dtype = next((machine.dtype for machine in machines), None)
        if session.execution.dtype != "auto":
            dtype = session.execution.dtype
        kind = executor_named(session.execution.executor)
        return kind.make(session, dtype, search.timed_with(snapshot), self._log)

    def serve(self) -> None:
        """Work until there is nothing left to do, or until told to go."""
        before = self.store.refresh().engine
        if not self.store.serve(os.getpid()):
            log.info("it was stopped before it began")
            return
        if before.state in ("serving", "stopping"):
            log.warning(
                "engine %s ended without a word: it was killed, or the machine went down",
                before.pid,
            )
        log.info("engine %d serves", os.getpid())
        try:
            self._prune()
            while self._leaving is None:
                try:
                    self._turn()
                except NoRoom as error:
                    self._wait_for_room(error)
            log.info("the engine leaves: %s", self._leaving or "it was asked to")
            self._leave(self._leaving)
        except (DataRefused, TrainerBroken) as error:
            self._leave(str(error))
            raise
        except Exception as error:
            # the process's edge: main reports it, and whoever looks later is told of it
            if self.store.in_place():
                words = str(error) if isinstance(error, StoreError) else repr(error)
                self._leave(words, failed=True)
                raise
            log.info("the engine leaves: %s (%r)", DELETED, error)
            self._leave(DELETED)
        finally:
            self._executor.close()
            self._finisher.close()
            self._stopwatch.close()  # the thinker may wait for its answer
            self._thinker.shutdown(cancel_futures=True)
            self._log.close()

    def _turn(self) -> None:
        """Hear what there is, do what there is to do, and see whether it is time to leave."""
        events = self._executor.wait(TICK)
        # before anything is heard: a trial whose checkpoints have been taken away has not failed
        if not self.store.in_place():
            self.go(DELETED)
            return
        for event in events:
            self._hear(event)
        snapshot = self.store.refresh()
        if snapshot.engine.state == "stopping":
            self.go(ASKED)
        elif self._step(snapshot):
            self._busy_until = time.monotonic()
        elif time.monotonic() - self._busy_until > self._idle_seconds and self.store.leave(
            IDLE, only_if_idle=True
        ):
            self.go(IDLE)

    def _leave(self, message: str, *, failed: bool = False) -> None:
        """End the trainer, then put back what it trained: it goes on from its checkpoint.

        A session that was deleted is told so where it is now, for whoever brings it back.
        """
        self._executor.close()
        self._finisher.close()
        try:
            self.store.leave(message, only_if_idle=False, failed=failed)
        except StoreError as error:  # the next engine finds it running, and puts it back then
            log.error("%s", error)

    def _wait_for_room(self, error: NoRoom) -> None:
        """Stop in order, say why, and look now and then until there is room again."""
        log.error("%s", error)
        self._executor.close()
        self._finisher.close()
        self._thought = None
        if not self.store.in_place():  # there is room, but no folder
            return
        self.store.note(os.getpid(), str(error))
        # where the room that there is does not suffice after all, it is tried less and less often
        pause = ROOM_SECONDS * 2 ** min(self._full, 5)
        self._full += 1
        due = time.monotonic() + pause
        while self._leaving is None:
            time.sleep(TICK)
            if not self.store.in_place():
                return
            if self.store.refresh().engine.state == "stopping":
                self.go(ASKED)
            elif time.monotonic() >= due:
                due = time.monotonic() + pause
                if shutil.disk_usage(self.store.folder).free < self._room_needed():
                    continue
                try:
                    if not self.store.serve(os.getpid()):
                        self.go(ASKED)
                except NoRoom:
                    continue
                log.info("there is room again: the engine goes on")
                break
        self.store.note(os.getpid())

    def _room_needed(self) -> int:
        checkpoints = (self.store.folder / "checkpoints").glob("*.pt")
        return ROOM_BYTES + 2 * max((file.stat().st_size for file in checkpoints), default=0)

    # -- what is to be done ---------------------------------------------------------------------

    def _step(self, snapshot: Snapshot) -> bool:
        """One look at the session; whether there was or is anything to do."""
        session = snapshot.session
        running = self._executor.running
        for who in running:
            trial = snapshot.trials[who[0]]
            if trial.stop_request is not None and who not in self._asked:
                self._asked.add(who)
                self._executor.stop(Stop(trial=who[0], attempt=who[1], mode=trial.stop_request))
        waiting = search.waiting(snapshot)
        # a final training has the machine for itself: beside it, seconds would tell nothing
        apart = executor_named(session.execution.executor).elastic
        final = self._finisher.turn(snapshot, free=apart or not running)
        if (apart or not final) and self._may_begin(session):
            room = self._executor.room(min(len(waiting), session.execution.parallel - len(running)))
            for trial in waiting[: max(room, 0)]:
                self._begin(trial, snapshot)
        if session.autopilot is not None:
            self._steer(snapshot)
            return True
        return bool(running or waiting or final)

    def _may_begin(self, session: Session) -> bool:
        """Whether the executor is the one that the session wants; else it is replaced when free."""
        elastic = executor_named(session.execution.executor).elastic
        apart = {"parallel": 1} if elastic else {}
        wanted = session.execution.model_copy(update=apart)
        if wanted != self._execution.model_copy(update=apart):
            if self._executor.running:
                return False
            self._executor.close()
            if self.store.refresh().engine.message:  # what the old one lacked, nobody lacks now
                self.store.say("")
            self._execution = session.execution
            self._executor = self._new_executor(session)
        return True

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
        try:
            checkpoints.mkdir(mode=0o700, exist_ok=True)
            self._trim_log()
        except OSError as error:
            raise NoRoom(f"{self.store.folder}: cannot be written ({error}).") from error
        session = snapshot.session
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
                augment=session.augment,
                timed=measure_of(session).from_epochs is not None,
                metric=session.metric,
                class_weights=session.class_weights,
            )
        )
        log.info("trial %d, attempt %d begins", trial.number, attempt)

    def _steer(self, snapshot: Snapshot) -> None:
        """Follow the autopilot.  Ranking runs in a thread: trials are served meanwhile."""
        step = autopilot.step(snapshot)
        if step.do == "wait":
            return
        if step.do == "finish":
            self._hand_back(snapshot)
            return
        if self._settled == _ground(snapshot):
            return
        if self._thought is None:
            self._thought = snapshot, self._thinker.submit(self._think, snapshot)
            return
        basis, future = self._thought
        if not future.done():
            return
        self._thought = None
        # epochs of other trials change nothing, and one that ended was believed in
        if _decided(basis) != _decided(snapshot):  # meanwhile: think again
            return
        try:
            self._act(snapshot, *future.result())
        except Late as late:  # a person decided in the same moment, and takes the wheel
            log.info("autopilot: %s", late)
        except NoRoom:
            raise
        except StoreError as error:  # there is nothing that it could do
            self._hand_back(snapshot, str(error))

    def _think(self, snapshot: Snapshot) -> Thought:
        """Rank, and choose what is to be trained at once; in a thread, for it takes a second.

        Where latency counts, what is at the top is timed, and ranked again by that.
        """
        space = session_space(snapshot.session)
        ranking = search.ranking(snapshot, space)
        try:
            while self._stopwatch.time(snapshot, [p.config for p in ranking.proposals]):
                snapshot = self.store.refresh()
                ranking = search.ranking(snapshot, space)
        except NotTimed as error:
            log.warning("%s", error)
            self.store.say(str(error))
        return ranking, autopilot.together(snapshot, ranking)

    def _hand_back(self, snapshot: Snapshot, reason: str = "") -> None:
        """Switch the autopilot off, unless somebody has set it anew."""
        if reason:
            log.info("autopilot off: %s", reason)
            self.store.say(f"autopilot off: {reason}")
        try:
            if reason:
                self.store.apply(decide.hand_back(snapshot, reason))
                return
            self.store.set_session({"autopilot": snapshot.session.autopilot}, autopilot=None)
        except Late as late:
            log.info("autopilot: %s", late)

    def _act(self, snapshot: Snapshot, ranking: Ranking, together: tuple[Proposal, ...]) -> None:
        step = autopilot.step(snapshot, ranking)
        if step.do == "propose":
            plans = autopilot.accept_together(snapshot, session_space(snapshot.session), together)
            numbers = [self.store.apply(plan).trial for plan in plans]
            if len(numbers) > 1:
                log.info("autopilot: trials %s from one ranking", ", ".join(map(str, numbers)))
        elif step.do in ("advance", "reopen"):
            best, reason = search.recommended(snapshot, ranking), step.reason
            number = None if best is None else best.number
            if step.do == "advance":
                plan = decide.advance(snapshot, number, by="autopilot", reason=reason)
            else:
                plan = decide.reopen(snapshot, 1, number, by="autopilot", reason=reason)
            decision = self.store.apply(plan)
            log.info("autopilot: level %d is left: %s", decision.level, reason)
        elif step.do == "finish":
            self._hand_back(snapshot, step.reason)
        else:
            self._settled = _ground(snapshot)

    # -- what the trainer said --------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        if isinstance(event, Finished | Ended | Failed):
            log.info("trial %d, attempt %d is over", event.trial, event.attempt)
        elif isinstance(event, Gone) and event.who is not None:
            log.info("trial %d, attempt %d is over: its trainer is gone", *event.who)
        if isinstance(event, Refused):
            raise DataRefused(event.message)
        if isinstance(event, Ready):
            assert event.machine is not None
            self._unborn = 0
            here = event.machine
            where = f"{here.node}, {here.device}" if here.node else here.device
            log.info("trainer ready on %s, %s", where, here.dtype)
        elif isinstance(event, Gone):
            self._trainer_gone(event)
        elif isinstance(event, Notice):
            log.info("%s", event.message or "what was noted holds no more")
            self.store.say(event.message)
        elif isinstance(event, Started):
            for epoch in event.epochs:
                self.store.add_epoch(event.trial, event.attempt, epoch)
        elif isinstance(event, EpochDone):
            self._faults.pop(event.trial, None)
            self._full = 0
            self.store.add_epoch(event.trial, event.attempt, event.epoch)
            self._stop_behind(event.trial)
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Ended):
            state = "paused" if event.paused else "stopped"
            self._end(event.trial, state=state, stop_request=None)
        elif isinstance(event, Failed) and event.no_room:
            self.store.put_back(event.trial)
            log.warning("%s", event.failure.message)
            raise NoRoom(
                f"trial {event.trial} waits: the disk has no room for its checkpoint. Make room; "
                "it goes on by itself."
            )
        elif isinstance(event, Failed) and event.no_folder and not self._at_fault(event.trial):
            # the session was in the trash for a moment: it goes on from the checkpoint before
            self.store.put_back(event.trial)
            log.warning("%s", event.failure.message)
        elif isinstance(event, Failed):
            log.warning("trial %d failed: %s", event.trial, event.failure.message)
            self._end(event.trial, state="failed", failure=event.failure)

    def _at_fault(self, number: int) -> bool:
        """Count a fault that need not be the trial's own; whether there have been too many."""
        self._faults[number] = self._faults.get(number, 0) + 1
        return self._faults[number] >= FAULTS

    def _stop_behind(self, number: int) -> None:
        """Where the session wants that, stop a trial that falls behind, as a person would."""
        snapshot = self.store.refresh()
        if not snapshot.session.stop_behind or number not in search.falling_behind(snapshot):
            return
        if snapshot.trials[number].stop_request is not None:
            return
        reason = "falls behind: its f is worse than the median of others with its schedule"
        try:
            self.store.apply(decide.stop(snapshot, number, "epoch", reason, by="autopilot"))
        except Late as late:  # a person stopped it in the same moment
            log.info("trial %d: %s", number, late)

    def _finish(self, event: Finished) -> None:
        snapshot = self.store.refresh()
        session, trial = snapshot.session, snapshot.trials[event.trial]
        measure, space = measure_of(session), session_space(session)
        costs, beside = costs_of_epochs(space.measures, trial.epochs)
        costs, beside = {**costs, **event.costs}, {**beside, **event.reference_costs}
        complexity = complexity_of(space, trial.config, measure, costs, beside)
        if complexity is None and not measure.timed:
            words = f"trial {event.trial}: {measure.title} could not be measured. Repeat it."
            self._end(event.trial, state="failed", failure=Failure(kind="exception", message=words))
            return
        self._end(
            event.trial,
            state="done",
            error=event.error,
            complexity=complexity,
            costs={**trial.costs, **costs},
            reference_costs=beside,
            recalls=event.recalls,
            confusion=event.confusion,
            effective_images=event.effective_images,
            machine=_compared(event.machine, search.timed_with(snapshot)),
            stop_request=None,
        )
        if measure.timed:
            self._time_trials()

    def _time_trials(self) -> None:
        """Time the networks that were trained: without that f_c is not known of them."""
        try:
            self._stopwatch.time(self.store.refresh(), ())
        except NotTimed as error:
            log.warning("%s", error)
            self.store.say(str(error))

    def _end(self, number: int, **fields: object) -> None:
        self.store.update_trial(number, {"running"}, ended=now(), **fields)
        if fields["state"] != "paused":
            self._forget(number)

    def _trainer_gone(self, event: Gone) -> None:
        trials = self.store.refresh().trials
        lost = [] if event.who is None else [trials[event.who[0]]]
        running = [trial for trial in lost if trial.state == "running"]
        log.warning("the trainer is gone: %s", event.reason)
        if not event.ready:
            for trial in running:
                self.store.put_back(trial.number)
            self._unborn += 1
            if self._unborn >= FAULTS:
                raise TrainerBroken(
                    f"no trainer starts: {self._unborn} died before they had read the data; at "
                    f"last {event.reason}. Every trial waits. See `lcsearch logs` and "
                    "`lcsearch doctor`, then start the engine again."
                )
            return
        for trial in running:
            at_fault = self._at_fault(trial.number)
            faults = self._faults[trial.number]
            if trial.stop_request is not None or not (at_fault or event.kind == "stalled"):
                self.store.put_back(trial.number)
                continue
            if event.kind == "stalled":
                words = (
                    f"its trainer was ended: {event.reason}. If it was only slow, repeat it with a "
                    "longer LCSEARCH_STALL_SECONDS."
                )
            else:
                words = (
                    f"the trainer died {faults} times without a new epoch; at last {event.reason}. "
                    "See `lcsearch logs`; a smaller network or batch_size needs less memory."
                )
            failure = Failure(kind=event.kind, message=f"trial {trial.number}: {words}")
            self._end(trial.number, state="failed", failure=failure)

    def _prune(self) -> None:
        """Take away the checkpoints of trials that have ended since."""
        trials = self.store.refresh().trials
        left = {
            file.name.partition(".")[0].removeprefix("trial-")
            for file in (self.store.folder / "checkpoints").glob("trial-*.*")
        }
        # a file of no trial of ours would be in the way of the one that gets its number
        for number in (int(name) for name in left if name.isdecimal()):
            if number >= len(trials) or trials[number].state not in OPEN_STATES:
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


def _decided(snapshot: Snapshot) -> tuple[Session, int]:
    """What a ranking must not have missed: the session, and how many decisions it holds."""
    return snapshot.session, len(snapshot.decisions)


def _compared(machine: Machine, timed_with: int | None) -> Machine:
    """As recorded: where its time does not compare with those before, that is said of it."""
    if timed_with is None or machine.device != "cpu" or machine.threads == timed_with:
        return machine
    words = f"threads: {machine.threads}, and {timed_with} in the trials before"
    conditions = machine.conditions or Conditions()
    told = conditions.model_copy(update={"disturbed": (*conditions.disturbed, words)})
    return machine.model_copy(update={"conditions": told})


def _ground(snapshot: Snapshot) -> object:
    """All that a ranking, and what the autopilot makes of it, depend on."""
    session = snapshot.session
    return search.ranking_key(snapshot), session.wc, session.autopilot


def main() -> int:
    """Serve the session in the folder given; exit codes: 0 left in order, 1 could not serve."""
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        store = open_store(Path(sys.argv[1]))
        lock = store.engine_lock()
        if not _take(lock, store):
            log.info("another engine serves this session")
            return 0
        store.note(os.getpid())  # at once: who would kill it must not take another for it
        service = Service(store, float(os.environ.get("LCSEARCH_IDLE_SECONDS", IDLE_SECONDS)))

        def go(number: int, frame: FrameType | None) -> None:
            service.go(f"{signal.Signals(number).name} was sent to it")

        signal.signal(signal.SIGTERM, go)
        signal.signal(signal.SIGINT, go)
        service.serve()
        lock.release()
    except (StoreError, DataRefused, TrainerBroken) as error:
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
