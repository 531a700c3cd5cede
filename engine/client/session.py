"""What a person or a command can do with one session: read it, rank, decide.

The console and the commands stand on this, so that no other path changes a session.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Never

from ...sessions import exchange
from ...sessions.choices import FINAL_EPOCHS, Images
from ...sessions.errors import Already, Deleted, Late, Misuse, StoreError
from ...sessions.records import (
    Advised,
    Config,
    DataSummary,
    Decision,
    Delivery,
    EarlierSession,
    Execution,
    Levels,
    Prediction,
    StopMode,
    now,
)
from ...sessions.snapshot import Plan, Snapshot
from ...sessions.store import SAID
from .. import search
from ..executors.devices import probe
from ..executors.final import free, identity, wanted
from ..executors.latency import NotTimed as NotTimed
from ..executors.latency import Stopwatch
from ..executors.registry import check_fields, checked, executor_named
from ..protocol import Refused, unfinished
from ..search import decide
from ..tasks.task import open_store, session_space
from . import imports as archive
from .home import learned_from
from .process import EngineProcess, EngineStop

if TYPE_CHECKING:
    from ..advisor.ranking import Proposal, Ranking


class SessionClient:
    """One session at work; every method may be called from any thread."""

    def __init__(self, folder: Path, *, migrate: bool = True) -> None:
        """Open the session in `folder`; migrate: see `Store`.  Raises StoreError."""
        self.folder = folder
        self._store = open_store(folder, migrate=migrate)
        self.space = session_space(self._store.refresh().session)
        self._engine = EngineProcess(folder, self._store)
        self._stopwatch = Stopwatch(self._store)

    def close(self) -> None:
        """Close the session; an engine at work goes on."""
        self._stopwatch.close()
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

    def time(self, ranking: Ranking, of: Snapshot | None = None) -> int:
        """Where latency counts, time what is proposed and was not timed yet, for a second at most;
        gives how many were: a ranking of the session as it is now knows them.

        of: the session as it was looked at, where that was with other limits.  Raises NotTimed.
        """
        snapshot = self.refresh() if of is None else of
        return self._stopwatch.time(snapshot, [p.config for p in ranking.proposals])

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

    def set_measure(self, measure: str, reason: str = "") -> Decision:
        """Let f_c be of another cost; nothing is trained again."""
        return self._decide(decide.set_measure(self.refresh(), measure, reason))

    def set_strategy(self, strategy: str, reason: str = "") -> Decision:
        """Let something else propose from now on."""
        return self._decide(decide.set_strategy(self.refresh(), strategy, reason))

    def set_prior(self, prior: str, reason: str = "") -> Decision:
        """Let the belief begin with something else: `none`, `default` or a file."""
        return self._decide(decide.set_prior(self.refresh(), prior, reason))

    def set_learn_from(self, names: Sequence[str], reason: str = "") -> Decision:
        """Let the belief learn from these sessions of the same home, as they are now; none: from
        no other.
        """
        return self._decide(decide.set_learn_from(self.refresh(), self.earlier(names), reason))

    def earlier(self, names: Sequence[str]) -> tuple[EarlierSession, ...]:
        """What sessions of the same home tell this one.  Raises Misuse where one tells nothing."""
        if self.folder.name in names:
            raise Misuse(f"learn from {self.folder.name}: it is this very session.")
        home, task = self.folder.parent.parent, self.refresh().session.task
        return learned_from(home, names, task)

    def set_limits(self, changes: Mapping[str, float | None], reason: str = "") -> Decision:
        """Let networks cost at most so much from now on; None lifts a limit."""
        return self._decide(decide.set_limits(self.refresh(), changes, reason))

    def set_domains(self, domains: Mapping[str, str], reason: str = "") -> Decision:
        """Search these parameters in these domains from now on; `default` is one's own."""
        return self._decide(decide.set_domains(self.refresh(), domains, reason))

    def set_execution(self, **fields: object) -> Execution:
        """Change where trials run and how many at once; what runs ends where it began.

        Raises Misuse for a value that cannot be used, StoreError where Ray is not installed.
        """
        snapshot = self.refresh()
        before = snapshot.session.execution
        check_fields(str(fields.get("executor", before.executor)), fields)
        kept = before.model_dump()
        if any(name in fields and fields[name] != kept[name] for name in ("executor", "devices")):
            del kept["parallel"]  # how many at once is another's number
        execution = checked(before.model_validate({**kept, **fields}), snapshot.session.task)
        timed_with = search.timed_with(snapshot)
        if "parallel" in fields and timed_with is not None:
            executor_named(execution.executor).check_timed(execution, timed_with)
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
        self._engine.start()

    def become_engine(self) -> Never:
        """Go on as the engine itself, in this very process: a service manager looks after it."""
        self._engine.become()

    def stop_engine(self, *, force: bool = False) -> EngineStop:
        """Let the engine put back what it trains, and go.

        force: kill it, and its trainers, where it does not go within a few seconds.  Raises
        StoreError if it does not go.
        """
        self.refresh()
        return self._engine.stop(force=force)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the engine's log."""
        return self._engine.log_tail(lines)

    # -- final trainings --------------------------------------------------------------------------

    def all_images(self) -> DataSummary:
        """What there is to train on where the search used a part, read if it was never before; the
        session's images where it used all.  Raises StoreError.
        """
        session = self.refresh().session
        if session.data.train_size is None:
            return session.summary
        answer = probe(session.data.model_copy(update={"train_size": None}))
        if isinstance(answer, Refused):
            raise StoreError(answer.message)
        return answer.summary

    def deliver(
        self,
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
        """Queue a trial's network to be trained to the end, tested and written by the engine.

        See `executors.final.wanted`.  Raises FinalError (a StoreError).
        """
        snapshot = self.refresh()
        delivery = self._store.add_delivery(
            wanted(
                snapshot,
                number,
                folder,
                epochs=epochs,
                images=images,
                seeds=seeds,
                onnx=onnx,
                int8=int8,
                accept_loss=accept_loss,
            )
        )
        self.start_engine()
        return delivery

    def stop_delivery(self, number: int, mode: StopMode) -> None:
        """Stop or pause a final training, or withdraw one that waits.

        Raises StoreError; Already where it is so already.
        """
        delivery = _delivery(self.refresh(), number)
        if delivery.state == ("paused" if mode == "pause" else "stopped"):
            raise Already(f"final training {number} {SAID[delivery.state]} already.")
        if delivery.state == "running" and delivery.stop_request == mode:
            raise Already(f"final training {number}: this has been asked of it already.")
        if delivery.state == "running":
            self._store.update_delivery(number, {"running"}, stop_request=mode)
        elif delivery.waits and mode == "pause":
            self._store.update_delivery(number, {delivery.state}, state="paused")
        elif delivery.open:
            self._store.update_delivery(number, {delivery.state}, state="stopped", ended=now())
        else:
            raise Late(f"final training {number} {SAID[delivery.state]} already.")

    def resume_delivery(
        self,
        number: int,
        folder: Path | None = None,
        *,
        accept_loss: bool = False,
        int8: bool = True,
    ) -> None:
        """Let a paused final training go on where it was.

        folder: that it is written into from now on, None for its own.  accept_loss: and be written
        in eight bits, if it is to be, however much those lose.  int8: False leaves these out.
        Raises StoreError; Already for one that goes on.
        """
        snapshot = self.refresh()
        delivery = _delivery(snapshot, number)
        if (accept_loss or not int8) and not delivery.int8:
            raise Misuse(f"final training {number}: is not written in eight bits, and loses none.")
        goes = delivery.waits or (delivery.state == "running" and delivery.stop_request is None)
        if goes and folder is None and int8 and not accept_loss:
            raise Already(f"final training {number} {SAID[delivery.state]} already.")
        if goes:
            raise Late(
                f"final training {number} {SAID[delivery.state]}: how it is written changes only "
                f"while it is paused (`lcsearch stop {self.folder.name} --final {number} --when "
                "pause`)."
            )
        into = {} if folder is None else {"folder": str(free(snapshot, folder, number))}
        self._store.update_delivery(
            number,
            {"paused"},
            state="interrupted",
            message="",
            accept_loss=delivery.accept_loss or accept_loss,
            int8=delivery.int8 and int8,
            **into,
        )
        if into:  # what was half written beside the first folder is nobody's any more
            part = unfinished(Path(delivery.folder), identity(snapshot.session, delivery))
            shutil.rmtree(part, ignore_errors=True)
        self.start_engine()

    # -- out ------------------------------------------------------------------------------------

    def export(self, path: Path) -> None:
        """Write the session as JSON (ranks once, for `best`).  Raises StoreError."""
        exchange.write(path, self.document())

    def document(self) -> exchange.Document:
        """The session as its export holds it."""
        snapshot = self.refresh()
        space = session_space(snapshot.session)
        return archive.document(snapshot, space, self.recommended(snapshot))

    def table(self) -> str:
        """Its trials as CSV, one a row, for data frames."""
        from .frame import as_csv

        snapshot = self.refresh()
        return as_csv(snapshot, session_space(snapshot.session))

    def recommended(self, snapshot: Snapshot) -> search.Recommendation | None:
        """The network that the session recommends (ranks once); None before the first."""
        if not search.observations(snapshot):
            return None
        return search.recommended(snapshot, self.rank(snapshot, count=1))


def _delivery(snapshot: Snapshot, number: int) -> Delivery:
    """The final training.  Raises StoreError where there is none."""
    deliveries = snapshot.deliveries
    if not 0 < number <= len(deliveries):
        count = len(deliveries)
        there = f"There are 1 to {count}." if count > 1 else f"There is {count or 'none'}."
        raise Misuse(f"final training {number}: there is no such one. {there}")
    return deliveries[number - 1]
