"""Levels and decisions: what a session stands at, and what each decision would change.

Pure: every function takes a `Snapshot` and gives figures or a `Plan`; `sessions.store` writes it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from ..sessions.records import (
    OPEN_STATES,
    Advised,
    Autopilot,
    Config,
    Decision,
    DecisionKind,
    Levels,
    Prediction,
    Session,
    Source,
    StopMode,
    Strategy,
    Trial,
    now,
)
from ..sessions.store import Late, Misuse, Plan, Snapshot, StoreError, TrialUpdate
from .advisor import FADING, Observation, Proposal, Ranking, rank
from .cnn import FLAT, LEVELS, exact_complexity, reference, session_space
from .objective import best_error, medians
from .objective import objective as weigh
from .space import InvalidDomain, Space
from .strategies import STRATEGIES

INITIAL = {1: 6}
INITIAL_LATER = 3
"""Trials of the initial design: of level 1, and of every later one."""

BEHIND_OTHERS = 3
"""Trials that must have come as far before one is said to fall behind them."""
BEHIND_EPOCH = 2
BEHIND_SHARE = 1 / 3
"""The first epoch, and the first part of the epochs, in which no trial is judged."""

QUEUEING = ("accept", "edit", "new", "repeat")
SETTING = {"wc": "wc", "strategy": "strategy", "domains": "domains", "favour": "favourite"}
"""Decisions that set one field of the session; `detail` keeps it from before and after."""
DEFAULT = "default"
"""Given as a domain, it brings a parameter's own one back."""
MOST_TRIALS = 100_000
MOST_MINUTES = 525_600
"""What an autopilot can be given: a year is enough."""

By = Literal["person", "autopilot"]


@dataclass(frozen=True)
class PilotStep:
    """What the autopilot does next, and why.  think: it takes a ranking to say more."""

    do: Literal["wait", "think", "propose", "advance", "reopen", "finish"]
    reason: str = ""


@dataclass(frozen=True)
class LevelStanding:
    """How far a level has come.  trials: done in it; limit: the budget; base: its first network."""

    level: int
    name: str
    trials: int
    limit: int
    state: Literal["done", "current", "ahead"]
    base: int | None


# -- what a session stands at ---------------------------------------------------------------------


def level_names(session: Session) -> tuple[str, ...]:
    """The session's levels in order; a flat one has a single level."""
    return FLAT if session.flat else LEVELS


def searched_level(session: Session) -> int:
    """The level whose parameters are searched, as the space counts: 0 is all of them at once."""
    return 0 if session.flat else session.level


def shown_level(session: Session, level: int) -> int | None:
    """The level whose parameters tell a trial of this one apart; None: all of them do."""
    return None if session.flat or level == 0 else level


def objective(trial: Trial, wc: float) -> float | None:
    """f of a trial trained to its end, else None."""
    if not trial.observed:
        return None
    assert trial.error is not None
    assert trial.complexity is not None
    return weigh(trial.error, trial.complexity, wc)


def observations(snapshot: Snapshot) -> list[Observation]:
    """What the surrogate learns from: every trial trained to its end, in every level."""
    images = snapshot.session.summary.val
    return [
        Observation(
            number=trial.number,
            level=trial.level,
            config=trial.config,
            error=trial.error,
            images=images,
            complexity=trial.complexity,
        )
        for trial in snapshot.trials
        if trial.observed and trial.error is not None and trial.complexity is not None
    ]


def timed_with(snapshot: Snapshot) -> int | None:
    """Threads that its trials on processors were timed with, where their seconds are what counts.

    The same small network has another complexity with other threads: later trials keep them.
    """
    if snapshot.session.measure != "seconds":
        return None
    machines = (trial.machine for trial in snapshot.trials if trial.observed)
    return next((m.threads for m in machines if m is not None and m.device == "cpu"), None)


def failures(snapshot: Snapshot) -> list[Config]:
    """Networks that failed by themselves: the model learns where networks fail."""
    return [
        trial.config
        for trial in snapshot.trials
        if trial.state == "failed"
        and trial.failure is not None
        and trial.failure.kind in ("diverged", "memory", "exception", "crash", "signal")
    ]


def pending(snapshot: Snapshot) -> list[Config]:
    """Networks that wait or run."""
    return [t.config for t in snapshot.trials if t.state in ("queued", "running", "interrupted")]


def rejected(snapshot: Snapshot) -> list[Config]:
    """Networks that a person rejected; their near copies go with them."""
    undone = _undone(snapshot.decisions)
    return [
        decision.config
        for decision in snapshot.decisions
        if decision.kind == "reject" and decision.config and decision.number not in undone
    ]


def excluded(snapshot: Snapshot) -> list[Config]:
    """Networks that are not proposed again: stopped, held paused, or failed for whatever reason."""
    return [t.config for t in snapshot.trials if t.state in ("stopped", "paused", "failed")]


def objective_so_far(snapshot: Snapshot, trial: Trial, epochs: int) -> float | None:
    """f of a trial as it stood after so many epochs: its best accuracy and its cost until then.

    None where it did not come so far, or where its cost is not known.
    """
    seen = [epoch for epoch in trial.epochs if epoch.epoch <= epochs]
    if epochs < 1 or len(seen) < epochs:
        return None
    session = snapshot.session
    if session.measure == "seconds":
        if any(epoch.reference_seconds is None for epoch in seen):
            return None
        seconds, beside = medians(seen)
        complexity = seconds / beside
    elif session.measure == "params":
        complexity = trial.params / snapshot.trials[0].params
    else:
        complexity = trial.macs / snapshot.trials[0].macs
    return weigh(best_error(seen), complexity, session.wc)


def falling_behind(snapshot: Snapshot) -> frozenset[int]:
    """Running trials whose f so far is worse than the median of the others' at the same epoch.

    The median rule of Golovin et al. 2017 (Google Vizier), of f and not of the accuracy, which
    would end the cheap networks that a large w_c seeks.  The others are all that came as far and
    did not fail, at least BEHIND_OTHERS; never judged are the reference network, and a trial
    before its epoch BEHIND_EPOCH or the first third of its epochs, or after its last.
    """
    total = snapshot.session.epochs
    behind: set[int] = set()
    for trial in snapshot.trials:
        reached_epoch = len(trial.epochs)
        early = reached_epoch < max(BEHIND_EPOCH, BEHIND_SHARE * total)
        if trial.state != "running" or trial.level == 0 or early or reached_epoch >= total:
            continue
        mine = objective_so_far(snapshot, trial, reached_epoch)
        others = [
            value
            for other in snapshot.trials
            if other.number != trial.number
            and other.state not in ("failed", "cancelled")
            and (value := objective_so_far(snapshot, other, reached_epoch)) is not None
        ]
        if mine is not None and len(others) >= BEHIND_OTHERS and mine > statistics.median(others):
            behind.add(trial.number)
    return frozenset(behind)


def base_trial(snapshot: Snapshot, level: int | None = None) -> Trial:
    """The trial whose network a level starts from (the reference for the first)."""
    wanted = snapshot.session.level if level is None else level
    return snapshot.trials[snapshot.session.bases.get(wanted, 0)]


def level_trials(snapshot: Snapshot, level: int) -> list[Trial]:
    """The trials of a level that count: all but those withdrawn, stopped or failed."""
    return [
        trial
        for trial in snapshot.trials
        if trial.level == level and (trial.state == "done" or trial.state in OPEN_STATES)
    ]


def initial_design(session: Session) -> int:
    """How many trials of the present level belong to its initial design."""
    default = INITIAL.get(session.level, INITIAL_LATER)
    return max(1, min(default, session.trials_per_level // 2))


def design_left(snapshot: Snapshot) -> int:
    """Initial design points of the present level that are still to be proposed."""
    session = snapshot.session
    return max(0, initial_design(session) - len(level_trials(snapshot, session.level)))


def reached(session: Session) -> int:
    """The highest level that was ever opened."""
    return max([session.level, *session.bases])


def standing(snapshot: Snapshot) -> dict[int, LevelStanding]:
    """Every level: its trials, its budget, and whether it is done, current or ahead."""
    session = snapshot.session
    found: dict[int, LevelStanding] = {}
    for level, name in enumerate(level_names(session), start=1):
        trials = sum(t.state == "done" for t in level_trials(snapshot, level))
        state: Literal["done", "current", "ahead"] = "ahead"
        if level == session.level:
            state = "current"
        elif level < reached(session) or trials:
            state = "done"
        found[level] = LevelStanding(
            level=level,
            name=name,
            trials=trials,
            limit=session.trials_per_level,
            state=state,
            base=session.bases.get(level, 0 if level == 1 else None),
        )
    return found


def best_measured(snapshot: Snapshot, wc: float | None = None) -> Trial | None:
    """The trial with the smallest measured f: lucky or good, it cannot tell."""
    weight = snapshot.session.wc if wc is None else wc
    scored = [(value, t) for t in snapshot.trials if (value := objective(t, weight)) is not None]
    return min(scored, key=lambda pair: (pair[0], pair[1].number))[1] if scored else None


def best_by_belief(
    snapshot: Snapshot, ranked: Ranking
) -> tuple[int | None, tuple[float, float] | None]:
    """The trial of all levels whose posterior mean of f is smallest, with mean and σ there.

    The best measured one, and no belief, where the session's strategy has no model.
    """
    if snapshot.session.strategy != "gp":
        best = best_measured(snapshot)
        return None if best is None else best.number, None
    beliefs = [(*ranked.posterior(o.number), o.number) for o in observations(snapshot)]
    if not beliefs:
        return None, None
    mean, std, number = min(beliefs, key=lambda b: (b[0], b[2]))
    return number, (mean, std)


def pareto(trials: Sequence[Trial]) -> list[Trial]:
    """The observed trials that no other beats in both error and complexity, cheapest first."""
    front: list[Trial] = []
    observed = [t for t in trials if t.observed]
    for trial in sorted(observed, key=lambda t: (t.complexity, t.error, t.number)):
        assert trial.error is not None
        if not front or trial.error < (front[-1].error or 0.0):
            front.append(trial)
    return front


def _undone(decisions: Sequence[Decision]) -> set[int]:
    return {int(d.detail["undoes"]) for d in decisions if d.kind == "undo"}


def undoable(snapshot: Snapshot) -> Decision | None:
    """The last decision that can still be undone."""
    undone = _undone(snapshot.decisions)
    standing_still = [d for d in snapshot.decisions if d.number not in undone]
    moved = False
    for place in range(len(standing_still) - 1, -1, -1):
        decision, later = standing_still[place], standing_still[place + 1 :]
        if not moved and decision.kind in ("advance", "reopen"):
            moved = True  # levels are gone back through one by one
            if not any(d.kind in QUEUEING for d in later):
                return decision
        elif _can_undo(snapshot, decision):
            return decision
    return None


def _can_undo(snapshot: Snapshot, decision: Decision) -> bool:
    if decision.kind in QUEUEING:
        assert decision.trial is not None
        return snapshot.trials[decision.trial].state == "queued"
    if decision.kind == "autopilot":
        return snapshot.session.autopilot is not None
    return decision.kind == "reject" or decision.kind in SETTING


def favour_strength(snapshot: Snapshot) -> float | None:
    """Minus the logarithm of what EI counts for each parameter outside a favourite region.

    None where the strategy does not weigh.
    """
    if snapshot.session.strategy != "gp":
        return None
    return FADING / max(len(observations(snapshot)), 1)


def ranking(
    snapshot: Snapshot,
    space: Space,
    *,
    wc: float | None = None,
    count: int = 10,
) -> Ranking:
    """Rank what could be trained next: the same session gives the same ranking everywhere.

    wc: another trade-off than the session's, to look at.  Takes up to a second.
    """
    session = snapshot.session
    measure = session.measure

    def exact(config: Config) -> float:
        value = exact_complexity(space, config, measure)
        assert value is not None
        return value

    return rank(
        space,
        observations(snapshot),
        searched_level(session),
        base_trial(snapshot).config,
        session.wc if wc is None else wc,
        pending=pending(snapshot),
        excluded=excluded(snapshot),
        rejected=rejected(snapshot),
        count=count,
        seed=session.seed,
        exact=None if measure == "seconds" else exact,
        failures=failures(snapshot),
        design=design_left(snapshot),
        initial=initial_design(session),
        favourite=session.favourite,
        strategy=session.strategy,
    )


def look(
    snapshot: Snapshot,
    *,
    strategy: Strategy | None = None,
    domains: Mapping[str, str] | None = None,
) -> Snapshot:
    """The session as it would be with another strategy, or other domains of some parameters.

    Nothing is decided by it: it is there to be ranked.  Raises Misuse for a domain that cannot be
    searched.
    """
    session = snapshot.session
    merged = _merged(session, domains or {})
    _searchable(session, merged)
    update = {"strategy": strategy or session.strategy, "domains": merged}
    return replace(snapshot, session=session.model_copy(update=update))


def _merged(session: Session, domains: Mapping[str, str]) -> dict[str, str]:
    """The session's domains with these in the place of its own; `default` takes one out."""
    stripped = {name: text.strip() for name, text in domains.items()}
    known = session_space(session)
    merged = {**session.domains, **stripped}
    # a name that is none stays, for the space to refuse it
    return {n: text for n, text in merged.items() if text != DEFAULT or n not in known}


def _searchable(session: Session, domains: Mapping[str, str]) -> Space:
    """The session's space with these domains.  Raises Misuse, also for the favourite region."""
    try:
        space = session_space(session.model_copy(update={"domains": dict(domains)}))
    except InvalidDomain as error:
        raise Misuse(str(error)) from error
    try:
        space.narrowed(session.favourite)
    except InvalidDomain as error:
        raise Misuse(f"the favourite region does not fit: {error} Clear it first.") from error
    return space


# -- decisions ------------------------------------------------------------------------------------


def _decide(
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


def _against(snapshot: Snapshot, key: str, advised: Advised | None) -> dict[str, Any]:
    """What a decision keeps of the advisor's first candidate: nothing where it was followed.

    A candidate that was queued or rejected meanwhile is none any more.
    """
    if advised is None or advised.id == key:
        return {}
    if any(t.key == advised.id for t in snapshot.trials) or advised.config in rejected(snapshot):
        return {}
    return {"advised": advised.model_dump(mode="json")}


def _known(space: Space, config: Config) -> tuple[int, int]:
    assert space.known is not None
    known = space.known(config)
    return int(known["params"]), int(known["macs"])


def _draft(
    snapshot: Snapshot,
    space: Space,
    config: Config,
    source: Source,
    prediction: Prediction | None,
    repeat_of: int | None = None,
    level: int | None = None,
) -> Trial:
    params, macs = _known(space, config)
    key = space.key(config)
    return Trial(
        number=0,
        level=snapshot.session.level if level is None else level,
        config=config,
        key=key,
        source=source,
        repeat_of=repeat_of,
        # the same network in the same session is trained alike; the store counts repeats on
        seed=_first_seed(snapshot.session),
        prediction=prediction,
        created=now(),
        params=params,
        macs=macs,
    )


def _first_seed(session: Session) -> int:
    return session.seed * 1000


def reference_trial(session: Session, space: Space) -> Trial:
    """Trial 0: the network that every cost is measured against."""
    config = reference(session.summary.shape, session.summary.classes)
    params, macs = _known(space, config)
    return Trial(
        number=0,
        level=0,
        config=config,
        key=space.key(config),
        source="reference",
        seed=_first_seed(session),
        created=now(),
        params=params,
        macs=macs,
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
    return Plan(
        decision=_decide(
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


def together(snapshot: Snapshot, ranked: Ranking) -> tuple[Proposal, ...]:
    """What the autopilot queues at once from one ranking: for each slot that is free, as far as
    its budget goes, a network that is the best if those before it come out as expected.
    """
    session, pilot = snapshot.session, snapshot.session.autopilot
    assert pilot is not None
    count = session.execution.parallel - len(pending(snapshot))
    if pilot.trials is not None:
        count = min(count, pilot.trials - pilot.accepted)
    return ranked.together(count)


def accept_together(snapshot: Snapshot, space: Space, proposals: Sequence[Proposal]) -> list[Plan]:
    """The autopilot's decisions to queue these, in turn: each assumes the one before it.

    A person's decision between two of them makes the rest come too late.  Raises InvalidConfig.
    """
    plans = []
    for proposal in proposals:
        plan = accept(snapshot, space, proposal.config, proposal.prediction, by="autopilot")
        plans.append(plan)
        session = snapshot.session.model_copy(update=dict(plan.session))
        snapshot = replace(snapshot, session=session)
    return plans


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
        decision=_decide(
            snapshot,
            kind,
            reason=reason,
            config=config,
            prediction=prediction,
            detail=_against(snapshot, trial.key, advised),
        ),
        trial=trial,
        session=_wheel("person"),
        expect={"level": snapshot.session.level},
        unique=trial.key,
    )


def reject(
    snapshot: Snapshot, config: Config, prediction: Prediction | None, reason: str = ""
) -> Plan:
    """Take a candidate, and what is close to it, out of the ranking."""
    return Plan(
        decision=_decide(snapshot, "reject", reason=reason, config=config, prediction=prediction),
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
        decision=_decide(
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
        raise Late(f"trial {number} is paused already.")
    if trial.state in ("queued", "interrupted", "paused"):
        # an interrupted trial may have epochs: stopped, not withdrawn
        state = "cancelled" if trial.state == "queued" else "stopped"
        if mode == "pause" and trial.state != "paused":
            state = "paused"
        update = TrialUpdate(number, frozenset({trial.state}), {"state": state, "ended": now()})
    else:
        if trial.stop_request == mode:
            raise Late(f"trial {number}: this has been asked of it already.")
        update = TrialUpdate(
            number, frozenset({"running"}), {"stop_request": mode}, stop_request=trial.stop_request
        )
    return Plan(
        decision=_decide(
            snapshot, "stop", by=by, reason=reason, trial=number, detail={"mode": mode}
        ),
        updates=(update,),
        session=_wheel(by),
    )


def resume(snapshot: Snapshot, number: int) -> Plan:
    """Let a paused trial go on from its checkpoint."""
    _trial_of(snapshot, number)
    fields = {"state": "interrupted", "stop_request": None, "ended": None}
    return Plan(
        decision=_decide(snapshot, "resume", trial=number),
        updates=(TrialUpdate(number, frozenset({"paused"}), fields),),
    )


def _set(snapshot: Snapshot, kind: DecisionKind, value: Any, reason: str = "") -> Plan:
    """Another value of what this decision sets."""
    name = SETTING[kind]
    before = getattr(snapshot.session, name)
    return Plan(
        decision=_decide(snapshot, kind, reason=reason, detail={"from": before, "to": value}),
        session={name: value},
    )


def set_wc(snapshot: Snapshot, wc: float) -> Plan:
    """Another trade-off; nothing is trained again.  Raises StoreError for a negative weight."""
    if not 0 <= wc < 1e6:
        raise Misuse(f"w_c = {wc}: not usable. Use 0 (accuracy alone) or more, such as 0.1.")
    return _set(snapshot, "wc", float(wc))


def set_strategy(snapshot: Snapshot, strategy: str, reason: str = "") -> Plan:
    """Let something else propose from now on.  Raises Misuse for what there is not."""
    if strategy not in STRATEGIES:
        raise Misuse(f"strategy {strategy}: unknown. Use {', '.join(STRATEGIES)}.")
    return _set(snapshot, "strategy", strategy, reason)


def set_domains(snapshot: Snapshot, domains: Mapping[str, str], reason: str = "") -> Plan:
    """Search these parameters in these domains from now on, the others as before.

    `default` as a domain brings a parameter's own one back.  What was trained outside stays an
    observation.  Raises Misuse for a domain that cannot be searched.
    """
    session = snapshot.session
    merged = _merged(session, domains)
    _searchable(session, merged)
    plan = _set(snapshot, "domains", merged, reason)
    return replace(plan, expect={"domains": session.domains})


def favour(snapshot: Snapshot, region: Mapping[str, str], reason: str = "") -> Plan:
    """Mark the region that the search should favour, instead of any before; empty clears it.

    Raises Misuse for a region that is none, or if there is nothing to clear.
    """
    session = snapshot.session
    if not region and not session.favourite:
        raise Misuse("No region is marked: there is nothing to clear.")
    marked = {name: text.strip() for name, text in region.items()}
    try:
        session_space(session).narrowed(marked)
    except InvalidDomain as error:
        raise Misuse(str(error)) from error
    return _set(snapshot, "favour", marked, reason)


def idle_parameters(session: Session, names: Iterable[str]) -> list[str]:
    """Those of these parameters that the present level does not search: nothing moves them now."""
    level = searched_level(session)
    searched = {parameter.name for parameter in session_space(session).at_level(level)}
    return [name for name in names if name not in searched]


def _carried(snapshot: Snapshot, number: int | None) -> Trial:
    if number is None:
        trial = best_measured(snapshot)
        if trial is None:
            raise StoreError("No trial is done yet: there is no network to carry forward.")
        return trial
    trial = _trial_of(snapshot, number)
    if not trial.observed:
        raise StoreError(
            f"trial {number} is {trial.state}: its network cannot be carried forward. "
            "Choose a trial that is done."
        )
    return trial


def advance(
    snapshot: Snapshot, number: int | None = None, *, by: By = "person", reason: str = ""
) -> Plan:
    """Go on to the next level from the network of a trial (the best one if None)."""
    session = snapshot.session
    if session.flat:
        raise StoreError(_FLAT_WORDS)
    if session.level >= len(LEVELS):
        raise StoreError(
            f"level {session.level} is the last one. Reopen an earlier level, or export."
        )
    return _move(snapshot, "advance", session.level + 1, number, by, reason)


def reopen(
    snapshot: Snapshot,
    level: int,
    number: int | None = None,
    by: By = "person",
    reason: str = "",
) -> Plan:
    """Search an earlier level again, from the network of a trial (the best one if None)."""
    if snapshot.session.flat:
        raise StoreError(_FLAT_WORDS)
    if not 1 <= level <= len(LEVELS):
        raise Misuse(f"level {level}: there is no such level. Use 1 to {len(LEVELS)}.")
    highest = reached(snapshot.session)
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
    changes: dict[str, Any] = {"level": to, "bases": bases, **_wheel(by)}
    expect: dict[str, Any] = {"level": session.level}
    if by == "autopilot":
        assert session.autopilot is not None
        changes["autopilot"] = session.autopilot.model_copy(update={"accepted": 0})
        expect["autopilot"] = session.autopilot
    before = {"level": session.level, "bases": dict(session.bases)}
    return Plan(
        decision=_decide(
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
        decision=_decide(
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
    """Take the wheel back from the autopilot.  Raises Late if nobody has it."""
    if snapshot.session.autopilot is None:
        raise Late("the autopilot is off already.")
    return Plan(decision=_decide(snapshot, "takeover"), session={"autopilot": None})


def hand_back(snapshot: Snapshot, reason: str) -> Plan:
    """The autopilot gives the wheel back by itself, and says why."""
    pilot = snapshot.session.autopilot
    return Plan(
        decision=_decide(snapshot, "takeover", by="autopilot", reason=reason),
        session={"autopilot": None},
        expect={"autopilot": pilot},
    )


def undo(snapshot: Snapshot) -> Plan:
    """Undo the last decision that can still be undone.  Raises StoreError if there is none."""
    decision = undoable(snapshot)
    if decision is None:
        raise StoreError(
            "Nothing to undo: a trial that has started is stopped, not undone."
            if snapshot.decisions
            else "Nothing to undo: nothing was decided yet."
        )
    updates: tuple[TrialUpdate, ...] = ()
    session: dict[str, Any] = {}
    if decision.kind in QUEUEING:
        assert decision.trial is not None
        fields = {"state": "cancelled", "ended": now()}
        updates = (TrialUpdate(decision.trial, frozenset({"queued"}), fields),)
    elif decision.kind in SETTING:
        session = {SETTING[decision.kind]: decision.detail["from"]}
    elif decision.kind == "autopilot":
        session = {"autopilot": None}
    elif decision.kind in ("advance", "reopen"):
        before = decision.detail["from"]
        bases = {int(level): int(number) for level, number in before["bases"].items()}
        session = {"level": before["level"], "bases": bases}
    return Plan(
        decision=_decide(
            snapshot,
            "undo",
            trial=decision.trial,
            detail={"undoes": decision.number, "kind": decision.kind},
        ),
        updates=updates,
        session={**_wheel("person"), **session},
        last=len(snapshot.decisions),
    )


# -- what the engine does by itself ---------------------------------------------------------------


def pilot_step(snapshot: Snapshot, ranked: Ranking | None = None) -> PilotStep:
    """What the autopilot does next: as many trials at once as the session says, level by level.

    ranked: the ranking of this very snapshot, where one was made.
    """
    session, pilot = snapshot.session, snapshot.session.autopilot
    assert pilot is not None
    if pilot.until is not None and now() >= pilot.until:
        return PilotStep("finish")
    waits = pending(snapshot)
    more = pilot.trials is None or pilot.accepted < pilot.trials
    if waits and (not more or len(waits) >= session.execution.parallel):
        return PilotStep("wait")
    onward = levels_ahead(snapshot) > 0
    if not more and not onward:
        return PilotStep("finish")
    if ranked is None:
        return PilotStep("think")
    reason = ""
    if pilot.until_flat and ranked.flat:
        assert ranked.remaining is not None
        assert ranked.noise is not None
        reason = (
            f"at most {ranked.remaining:.2g} can be gained here, and the noise is "
            f"{ranked.noise:.2g}"
        )
    elif more and ranked.proposals:
        return PilotStep("propose")
    elif more:
        reason = ranked.advice
    else:
        reason = f"the budget of {pilot.trials} for this level is used up"
    if waits:  # what still trains may say otherwise
        return PilotStep("wait")
    if not onward:
        return PilotStep("finish", reason)
    return PilotStep("reopen" if session.level == len(LEVELS) else "advance", reason)


def levels_ahead(snapshot: Snapshot) -> int:
    """How many levels the autopilot goes on to after the present one."""
    session, pilot = snapshot.session, snapshot.session.autopilot
    if pilot is None or pilot.levels == "this" or session.flat:
        return 0
    # since it took the wheel nobody else has moved: the first level opened again is its last
    moves = (d.kind for d in reversed(snapshot.decisions) if d.kind in ("autopilot", "reopen"))
    if next(moves, None) == "reopen":
        return 0
    return len(LEVELS) - session.level + (pilot.levels == "round")


def waiting(snapshot: Snapshot) -> list[Trial]:
    """What to train next: what was interrupted first, then in the order of the queue."""
    found = [t for t in snapshot.trials if t.state in ("interrupted", "queued")]
    return sorted(found, key=lambda t: (t.state != "interrupted", t.number))
