"""Decisions: what each of them would change, as a `Plan` that `sessions.store` writes.

Pure: every function takes a `Snapshot` and changes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from ...sessions.choices import STRATEGIES
from ...sessions.errors import Already, Late, Misuse, StoreError
from ...sessions.records import (
    OPEN_STATES,
    Advised,
    Autopilot,
    Config,
    Decision,
    DecisionKind,
    EarlierSession,
    Levels,
    Prediction,
    Session,
    Source,
    StopMode,
    Trial,
    is_weight,
    kept_weight,
    now,
)
from ...sessions.snapshot import Plan, Snapshot, TrialUpdate
from ...sessions.store import SAID
from .. import search
from ..tasks.domains import InvalidDomain
from ..tasks.space import Space
from ..tasks.task import level_names, measure_named, session_space, task_of

MOST_TRIALS = 100_000
MOST_MINUTES = 525_600
"""What an autopilot can be given: a year is enough."""

By = Literal["person", "autopilot"]


def _decision(
    snapshot: Snapshot,
    kind: DecisionKind,
    *,
    by: By = "person",
    reason: str = "",
    trial: int | None = None,
    config: Config | None = None,
    prediction: Prediction | None = None,
    detail: dict[str, Any] | None = None,
) -> Decision:
    return Decision(
        number=0,
        at=now(),
        kind=kind,
        by=by,
        level=snapshot.session.level,
        trial=trial,
        config=config,
        prediction=prediction,
        reason=reason,
        detail=detail or {},
    )


def _wheel(by: By) -> dict[str, Any]:
    """A person's decision takes the wheel back from the autopilot."""
    return {"autopilot": None} if by == "person" else {}


def _joined(session: Session, space: Space, config: Config) -> dict[str, Any]:
    """What a network changes of its session: a younger parameter that it has belongs to it.

    It would else be asleep again once its domain is closed, and the network be taken for another.
    """
    younger = (p for p in space.parameters if p.neutral is not None)
    new = [p.name for p in younger if not p.is_neutral(config[p.name])]
    joined = tuple(name for name in new if name not in session.parameters)
    return {"parameters": (*session.parameters, *joined)} if joined else {}


def _against(snapshot: Snapshot, key: str, advised: Advised | None) -> dict[str, Any]:
    """What a decision keeps of the advisor's first candidate: nothing where it was followed.

    A candidate that was queued or rejected meanwhile is none any more.
    """
    if advised is None or advised.id == key:
        return {}
    if any(t.key == advised.id for t in snapshot.trials) or advised.config in search.rejected(
        snapshot
    ):
        return {}
    return {"advised": advised.model_dump(mode="json")}


def _draft(
    snapshot: Snapshot,
    space: Space,
    config: Config,
    source: Source,
    prediction: Prediction | None,
    repeat_of: int | None = None,
    level: int | None = None,
) -> Trial:
    key = space.key(config)
    return Trial(
        number=0,
        level=snapshot.session.level if level is None else level,
        config=config,
        key=key,
        source=source,
        repeat_of=repeat_of,
        # the same network in the same session is trained alike; the store counts repeats on
        seed=trial_seed(snapshot.session),
        prediction=prediction,
        created=now(),
        costs=space.known(config),
    )


def trial_seed(session: Session, again: int = 0) -> int:
    """The seed of a trial.  again: how many of the same network came before, where it repeats."""
    return session.seed * 1000 + again


def reference_trial(session: Session, space: Space) -> Trial:
    """Trial 0: the network that every cost is measured against."""
    config = space.reference
    assert config is not None
    return Trial(
        number=0,
        level=0,
        config=config,
        key=space.key(config),
        source="reference",
        seed=trial_seed(session),
        created=now(),
        costs=space.known(config),
    )


def accept(
    snapshot: Snapshot,
    space: Space,
    config: Config,
    prediction: Prediction | None,
    *,
    by: By = "person",
    reason: str = "",
    advised: Advised | None = None,
) -> Plan:
    """Queue a candidate of the advisor's.  Raises InvalidConfig.

    advised: its first one at this moment, to be compared with where it is another.
    """
    config = space.validate(config)
    session = dict(_wheel(by))
    expect: dict[str, Any] = {"level": snapshot.session.level}
    if by == "autopilot":
        pilot = snapshot.session.autopilot
        assert pilot is not None
        session["autopilot"] = pilot.model_copy(update={"accepted": pilot.accepted + 1})
        expect["autopilot"] = pilot
    source: Source = "autopilot" if by == "autopilot" else "advisor"
    trial = _draft(snapshot, space, config, source, prediction)
    session |= _joined(snapshot.session, space, config)
    return Plan(
        decision=_decision(
            snapshot,
            "accept",
            by=by,
            reason=reason,
            config=config,
            prediction=prediction,
            detail=_against(snapshot, trial.key, advised),
        ),
        trial=trial,
        session=session,
        expect=expect,
        unique=trial.key,
    )


def submit(
    snapshot: Snapshot,
    space: Space,
    config: Config,
    prediction: Prediction | None,
    *,
    kind: Literal["edit", "new"],
    reason: str = "",
    advised: Advised | None = None,
) -> Plan:
    """Queue a network of the person's own.  Raises InvalidConfig with every problem.

    advised: the advisor's first candidate at this moment, to be compared with.
    """
    config = space.validate(config)
    trial = _draft(snapshot, space, config, "edited" if kind == "edit" else "manual", prediction)
    return Plan(
        decision=_decision(
            snapshot,
            kind,
            reason=reason,
            config=config,
            prediction=prediction,
            detail=_against(snapshot, trial.key, advised),
        ),
        trial=trial,
        session={**_wheel("person"), **_joined(snapshot.session, space, config)},
        expect={"level": snapshot.session.level},
        unique=trial.key,
    )


def reject(
    snapshot: Snapshot, config: Config, prediction: Prediction | None, reason: str = ""
) -> Plan:
    """Take a candidate, and what is close to it, out of the ranking."""
    return Plan(
        decision=_decision(snapshot, "reject", reason=reason, config=config, prediction=prediction),
        session=_wheel("person"),
    )


def _trial_of(snapshot: Snapshot, number: int) -> Trial:
    if not 0 <= number < len(snapshot.trials):
        last = len(snapshot.trials) - 1
        raise Misuse(
            f"trial {number}: there is no such trial. This session has trials 0 to {last}."
        )
    return snapshot.trials[number]


def repeat(snapshot: Snapshot, space: Space, number: int, reason: str = "") -> Plan:
    """Queue the network of a trial once more with another seed, to learn the noise."""
    trial = _trial_of(snapshot, number)
    return Plan(
        decision=_decision(
            snapshot, "repeat", reason=reason, config=trial.config, detail={"repeats": number}
        ),
        trial=_draft(
            snapshot, space, trial.config, "manual", None, repeat_of=number, level=trial.level
        ),
        session=_wheel("person"),
    )


def stop(
    snapshot: Snapshot, number: int, mode: StopMode, reason: str = "", *, by: By = "person"
) -> Plan:
    """End a running trial (after its epoch, now, or to be resumed); withdraw one that waits."""
    trial = _trial_of(snapshot, number)
    if trial.state == "paused" and mode == "pause":
        raise Already(f"trial {number} is paused already.")
    if trial.state in ("stopped", "cancelled") and mode != "pause":
        raise Already(f"trial {number} {SAID[trial.state]} already.")
    if trial.state in OPEN_STATES and trial.state != "running":
        # an interrupted trial may have epochs: stopped, not withdrawn
        state = "cancelled" if trial.state == "queued" else "stopped"
        if mode == "pause" and trial.state != "paused":
            state = "paused"
        update = TrialUpdate(number, frozenset({trial.state}), {"state": state, "ended": now()})
    else:
        if trial.stop_request == mode:
            raise Already(f"trial {number}: this has been asked of it already.")
        update = TrialUpdate(
            number, frozenset({"running"}), {"stop_request": mode}, stop_request=trial.stop_request
        )
    return Plan(
        decision=_decision(
            snapshot, "stop", by=by, reason=reason, trial=number, detail={"mode": mode}
        ),
        updates=(update,),
        session=_wheel(by),
    )


def resume(snapshot: Snapshot, number: int) -> Plan:
    """Let a paused trial go on from its checkpoint.  Raises Already for one that goes on."""
    trial = _trial_of(snapshot, number)
    if trial.waits or (trial.state == "running" and trial.stop_request is None):
        raise Already(f"trial {number} {SAID[trial.state]} already.")
    fields = {"state": "interrupted", "stop_request": None, "ended": None}
    return Plan(
        decision=_decision(snapshot, "resume", trial=number),
        updates=(TrialUpdate(number, frozenset({"paused"}), fields),),
    )


def _set(snapshot: Snapshot, kind: DecisionKind, value: Any, so: str, reason: str = "") -> Plan:
    """Another value of what this decision sets.  Raises Already, with `so`, for the one it has."""
    name = search.SETTING[kind]
    before = getattr(snapshot.session, name)
    kept = kept_weight if kind == "wc" else lambda value: value
    if value == before:
        raise Already(so)
    return Plan(
        decision=_decision(
            snapshot, kind, reason=reason, detail={"from": kept(before), "to": kept(value)}
        ),
        session={name: value},
    )


def set_wc(snapshot: Snapshot, wc: float, reason: str = "") -> Plan:
    """Another trade-off; nothing is trained again.  Raises StoreError for a negative weight."""
    if not is_weight(wc):
        raise Misuse(f"w_c = {wc}: not usable. Use 0 (accuracy alone) or more, such as 0.1.")
    search.check_goal(snapshot.session, wc, snapshot.session.limits)
    return _set(snapshot, "wc", float(wc), f"w_c is {wc:g} already.", reason)


def set_measure(snapshot: Snapshot, measure: str, reason: str = "") -> Plan:
    """Let f_c be of another cost from now on; nothing is trained again, and a trial whose cost of
    that kind is not known counts again when it is.  Raises Misuse for what there is not.
    """
    found = measure_named(measure, task_of(snapshot.session))
    return _set(snapshot, "measure", found.name, f"f_c is of {found.title} already.", reason)


def set_strategy(snapshot: Snapshot, strategy: str, reason: str = "") -> Plan:
    """Let something else propose from now on.  Raises Misuse for what there is not."""
    if strategy not in STRATEGIES:
        raise Misuse(f"strategy {strategy}: unknown. Use {', '.join(STRATEGIES)}.")
    return _set(snapshot, "strategy", strategy, f"{strategy} proposes already.", reason)


def set_prior(snapshot: Snapshot, prior: str, reason: str = "") -> Plan:
    """Let the belief begin with something else: `none`, `default` or a file; nothing is trained
    again.  Raises Misuse for what is no prior.
    """
    session = snapshot.session
    name, numbers = search.prior_choice(task_of(session), prior, session.prior_numbers)
    plan = _set(snapshot, "prior", name, f"the prior is {name} already.", reason)
    return replace(plan, session={**plan.session, "prior_numbers": numbers})


def set_learn_from(snapshot: Snapshot, earlier: Sequence[EarlierSession], reason: str = "") -> Plan:
    """Let the belief learn from these earlier sessions, as they are now; from none where there is
    none.  Nothing is trained.
    """
    session = snapshot.session
    names = ",".join(one.name for one in earlier)
    kept = search.merged(session, earlier)
    # those may have gone on since: then what is learnt from them is new
    if (names, kept) == (session.learn_from, session.earlier):
        raise Already(f"it learns from {names or 'no other session'} already.")
    detail = {"from": session.learn_from, "to": names}
    decision = _decision(snapshot, "learn_from", reason=reason, detail=detail)
    return Plan(decision=decision, session={"learn_from": names, "earlier": kept})


def set_limits(snapshot: Snapshot, changes: Mapping[str, float | None], reason: str = "") -> Plan:
    """Let networks cost at most so much, or be at least so good, from now on; None lifts a limit.

    What was trained outside stays an observation.  Raises Misuse for limits that no network of the
    domains keeps.
    """
    session = snapshot.session
    limits, cap = search.merged_limits(session, changes)
    search.check_goal(session, session.wc, limits)
    if (limits, cap) == (session.limits, session.macs_cap):
        raise Already("these are the limits already.")
    return Plan(
        decision=_decision(
            snapshot,
            "limits",
            reason=reason,
            detail={"from": session.limits, "to": limits, "cap": session.macs_cap},
        ),
        session={"limits": limits, "macs_cap": cap},
        expect={"limits": session.limits, "macs_cap": session.macs_cap},
    )


def set_domains(snapshot: Snapshot, domains: Mapping[str, str], reason: str = "") -> Plan:
    """Search these parameters in these domains from now on, the others as before.

    `default` as a domain brings a parameter's own one back.  What was trained outside stays an
    observation.  Raises Misuse for a domain that cannot be searched.
    """
    session = snapshot.session
    merged = search.merged_domains(session, domains)
    search.searchable(session, merged)
    search.check_possible(session.model_copy(update={"domains": merged}))
    plan = _set(snapshot, "domains", merged, "these domains are searched already.", reason)
    return replace(plan, expect={"domains": session.domains})


def favour(snapshot: Snapshot, region: Mapping[str, str], reason: str = "") -> Plan:
    """Mark the region that the search should favour, instead of any before; empty clears it.

    Raises Misuse for a region that is none, StoreError where there is nothing to clear.
    """
    session = snapshot.session
    if not region and not session.favourite:
        raise StoreError("No region is favoured: there is nothing to clear.")
    marked = {name: text.strip() for name, text in region.items()}
    try:
        session_space(session).narrowed(marked)
    except InvalidDomain as error:
        raise Misuse(str(error)) from error
    return _set(snapshot, "favour", marked, "this region is favoured already.", reason)


def _carried(snapshot: Snapshot, number: int | None) -> Trial:
    if number is None:
        raise StoreError(search.NOTHING_DONE)
    trial = _trial_of(snapshot, number)
    if not trial.observed:
        raise StoreError(
            f"trial {number} is {trial.state}: its network cannot be carried forward. "
            "Choose a trial that is done."
        )
    return trial


def advance(
    snapshot: Snapshot,
    number: int | None,
    *,
    by: By = "person",
    reason: str = "",
    left: int | None = None,
) -> Plan:
    """Go on to the next level from the network of a trial; None: there is none yet.

    left: the level that is meant to be left.  Raises Late where the search has left it already.
    """
    session = snapshot.session
    if session.flat:
        raise StoreError(_FLAT_WORDS)
    if left not in (None, session.level):
        raise Late(f"level {left} was left already: the search is in level {session.level} now.")
    if session.level >= len(level_names(session)):
        raise StoreError(
            f"level {session.level} is the last one. Reopen an earlier level, or export."
        )
    return _move(snapshot, "advance", session.level + 1, number, by, reason)


def reopen(
    snapshot: Snapshot,
    level: int,
    number: int | None,
    by: By = "person",
    reason: str = "",
) -> Plan:
    """Search an earlier level again, from the network of a trial; None: there is none yet.

    The present level goes on from that network.  Raises Already where it does so.
    """
    if snapshot.session.flat:
        raise StoreError(_FLAT_WORDS)
    last = len(level_names(snapshot.session))
    if not 1 <= level <= last:
        raise Misuse(f"level {level}: there is no such level. Use 1 to {last}.")
    highest = search.reached(snapshot.session)
    if level > highest:
        raise StoreError(
            f"level {level}: not reached yet. Levels 1 to {highest} can be opened again."
        )
    return _move(snapshot, "reopen", level, number, by, reason)


_FLAT_WORDS = (
    "this session searches all parameters at once: it has one level only. `lcsearch new` without "
    "--flat makes one of four levels."
)


def _move(
    snapshot: Snapshot,
    kind: Literal["advance", "reopen"],
    to: int,
    number: int | None,
    by: By,
    reason: str = "",
) -> Plan:
    session = snapshot.session
    trial = _carried(snapshot, number)
    bases = {**session.bases, to: trial.number}
    if (to, bases, None) == (session.level, session.bases, session.autopilot):
        raise Already(f"level {to} is open already, from trial {trial.number}.")
    changes: dict[str, Any] = {"level": to, "bases": bases, **_wheel(by)}
    expect: dict[str, Any] = {"level": session.level}
    if by == "autopilot":
        assert session.autopilot is not None
        changes["autopilot"] = session.autopilot.model_copy(update={"accepted": 0})
        expect["autopilot"] = session.autopilot
    before = {"level": session.level, "bases": dict(session.bases)}
    return Plan(
        decision=_decision(
            snapshot,
            kind,
            by=by,
            reason=reason,
            trial=trial.number,
            config=trial.config,
            detail={"from": before},
        ),
        session=changes,
        expect=expect,
        last=len(snapshot.decisions),
    )


def autopilot(
    snapshot: Snapshot,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    levels: Levels = "this",
    until_flat: bool = False,
) -> Plan:
    """Let the engine accept the best candidate by itself, for so many trials or minutes.

    levels: with "round" the last level is followed by the first, whose structures are then judged
    with the parameters found since: on real networks that found better ones than more trials a
    level did (docs/benchmarks.md).
    until_flat: leave a level earlier, as soon as what can still be gained there is below the noise.
    """
    if trials is not None and not 0 <= trials <= MOST_TRIALS:
        raise Misuse(f"trials = {trials}: not usable. Use 0 to {MOST_TRIALS:,}.")
    if minutes is not None and not 0 < minutes <= MOST_MINUTES:
        raise Misuse(f"minutes = {minutes}: not usable. Use more than 0, at most {MOST_MINUTES:,}.")
    strategy = snapshot.session.strategy
    if until_flat and strategy != "gp":
        raise Misuse(
            f"--until-flat: {strategy} has no model that could say when a level is flat. "
            "Set the strategy to gp, or give trials or minutes."
        )
    if trials is None and (minutes is None or levels != "this"):
        trials = snapshot.session.trials_per_level
    pilot = Autopilot(
        trials=trials,
        until=None if minutes is None else now() + timedelta(minutes=minutes),
        levels=levels,
        until_flat=until_flat,
    )
    return Plan(
        decision=_decision(
            snapshot,
            "autopilot",
            detail={
                "trials": trials,
                "minutes": minutes,
                "levels": levels,
                "until_flat": until_flat,
            },
        ),
        session={"autopilot": pilot},
    )


def takeover(snapshot: Snapshot) -> Plan:
    """Take the wheel back from the autopilot.  Raises Already if nobody has it."""
    if snapshot.session.autopilot is None:
        raise Already("the autopilot is off already.")
    return Plan(decision=_decision(snapshot, "takeover"), session={"autopilot": None})


def hand_back(snapshot: Snapshot, reason: str) -> Plan:
    """The autopilot gives the wheel back by itself, and says why."""
    pilot = snapshot.session.autopilot
    return Plan(
        decision=_decision(snapshot, "takeover", by="autopilot", reason=reason),
        session={"autopilot": None},
        expect={"autopilot": pilot},
    )


def undo(snapshot: Snapshot, meant: int | None = None) -> Plan:
    """Undo the last decision that can still be undone.

    meant: the number of the decision that is meant to be it.  Raises Late where it is another one
    by now, and StoreError if there is none, or if none is meant and one whose trial has begun
    would be reached past.
    """
    decision, passed = search.undoable(snapshot), search.passed_over(snapshot)
    if meant is not None and (decision is None or decision.number != meant):
        queued = next((d.trial for d in snapshot.decisions if d.number == meant), None)
        if passed is not None and passed.number == queued:
            raise Late(f"Not undone: {search.begun(passed)}.")
        raise Late(f"Not undone: decision {meant} is not the last one that can be.")
    if meant is None and decision is not None and passed is not None:
        raise StoreError(
            f"Not undone: {search.begun(passed)}, and what has started is stopped, not undone. "
            f"`lcsearch undo {snapshot.session.name} --decision {decision.number}` undoes what "
            f"was decided before it: {decision.kind}."
        )
    if decision is None:
        raise StoreError(
            "Nothing to undo: a trial that has started is stopped, not undone."
            if snapshot.decisions
            else "Nothing to undo: nothing was decided yet."
        )
    updates: tuple[TrialUpdate, ...] = ()
    session: dict[str, Any] = {}
    if decision.kind in search.QUEUEING:
        assert decision.trial is not None
        fields = {"state": "cancelled", "ended": now()}
        updates = (TrialUpdate(decision.trial, frozenset({"queued"}), fields),)
    elif decision.kind in search.SETTING:
        before = decision.detail["from"]
        session = {search.SETTING[decision.kind]: float(before) if before == "inf" else before}
        if decision.kind == "limits":
            session["macs_cap"] = decision.detail["cap"]
    elif decision.kind == "autopilot":
        session = {"autopilot": None}
    elif decision.kind in ("advance", "reopen"):
        past = decision.detail["from"]
        bases = {int(level): int(number) for level, number in past["bases"].items()}
        session = {"level": past["level"], "bases": bases}
    return Plan(
        decision=_decision(
            snapshot,
            "undo",
            trial=decision.trial,
            detail={"undoes": decision.number, "kind": decision.kind},
        ),
        updates=updates,
        session={**_wheel("person"), **session},
        last=len(snapshot.decisions),
    )
