"""What a session stands at: its levels, its trials as observations, and the ranking they give.

Pure: a `Snapshot`, or a part of one, goes in and figures come out; `decide` has what changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...sessions.records import OPEN_STATES, Config, Decision, Prediction, Session, Trial
from ...sessions.snapshot import Snapshot
from ...sessions.store import SAID
from ..advisor.rank import rank
from ..advisor.ranking import Ranking
from ..advisor.value import strength
from ..objective import COMPLEXITY, Observation, Predicted, Timed, predicted
from ..objective import objective as weigh
from ..tasks.measure import LATENCY
from ..tasks.space import Space
from ..tasks.task import (
    complexity_of,
    exact_complexity,
    level_names,
    measure_named,
    measure_of,
    session_space,
    task_of,
)
from .beforehand import AVERAGE, earlier_of, prior_of
from .limits import Broken, bounds_of, broken_by, limited_cost, way_out

INITIAL = {1: 6}
INITIAL_LATER = 3
"""Trials of the initial design: of level 1, and of every later one."""
QUEUEING = ("accept", "edit", "new", "repeat")
SETTING = {
    "wc": "wc",
    "measure": "measure",
    "strategy": "strategy",
    "prior": "prior",
    "learn_from": "learn_from",
    "domains": "domains",
    "favour": "favourite",
    "limits": "limits",
}
"""Decisions that set one field of the session; `detail` keeps it from before and after."""
NOTHING_DONE = "No trial is done yet: there is no best network. Let one be trained first."


@dataclass(frozen=True)
class LevelStanding:
    """How far a level has come.  trials: done in it; limit: the budget; base: its first network."""

    level: int
    name: str
    trials: int
    limit: int
    state: Literal["done", "current", "ahead"]
    base: int | None


@dataclass(frozen=True)
class Recommendation:
    """The network that a session recommends.

    belief: mean and σ of its f by the model; None where it is the best measured.  broken: the
    limits that it does not keep, no trial keeping all.
    """

    trial: Trial
    belief: tuple[float, float] | None = None
    broken: tuple[Broken, ...] = ()

    @property
    def number(self) -> int:
        """Its trial's number."""
        return self.trial.number

    @property
    def why(self) -> str:
        """Why it is this one, in words that follow its name."""
        if self.broken:
            return "the nearest to the limits, which no trial keeps yet"
        if self.belief is None:
            return "the best measured"
        return "the best of all levels by the model's belief"


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


def objective_then(snapshot: Snapshot, trial: Trial, belief: Prediction) -> float | None:
    """f of a trial under the w_c and the measure of a prediction; None where it is not known.

    Changing either later makes nobody wrong.
    """
    session = snapshot.session
    name = belief.measure or session.measure
    if name == session.measure:
        return objective(trial, belief.wc)
    if trial.state != "done" or trial.error is None:
        return None
    measure = measure_named(name, task_of(session))
    space = session_space(session)
    costs, beside = trial.costs, trial.reference_costs
    complexity = complexity_of(space, trial.config, measure, costs, beside)
    return None if complexity is None else weigh(trial.error, complexity, belief.wc)


def predicted_now(session: Session, belief: Prediction) -> Predicted | None:
    """What a prediction says of f as the session weighs it now; None where it was made of another
    measure, and says nothing of this one.
    """
    if belief.measure not in (None, session.measure):
        return None
    return predicted(belief, session.wc)


def observations(snapshot: Snapshot) -> list[Observation]:
    """What the surrogate learns from: every trial trained to its end, in every level."""
    images = snapshot.session.summary.val
    return [
        Observation(
            number=trial.number,
            level=trial.level,
            config=trial.config,
            error=trial.error,
            images=images if trial.effective_images is None else trial.effective_images,
            complexity=trial.complexity,
            costs=_believed_costs(snapshot.session, trial),
        )
        for trial in snapshot.trials
        if trial.observed and trial.error is not None and trial.complexity is not None
    ]


def _believed_costs(session: Session, trial: Trial) -> dict[str, float]:
    """What only a belief tells of beforehand, as limits on it have it."""
    measures = (m for m in task_of(session).measures if not m.exact)
    costs = ((m.name, limited_cost(m, trial.costs, trial.reference_costs)) for m in measures)
    return {name: value for name, value in costs if value is not None}


def timed_with(snapshot: Snapshot) -> int | None:
    """Threads that its trials on processors were timed with, where their seconds are what counts.

    The same small network has another complexity with other threads: later trials keep them.
    """
    if measure_of(snapshot.session).from_epochs is None:
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
    return [t.config for t in snapshot.trials if t.pending]


def waiting(snapshot: Snapshot) -> list[Trial]:
    """What to train next: what was interrupted first, then in the order of the queue."""
    found = [t for t in snapshot.trials if t.waits]
    return sorted(found, key=lambda t: (t.state != "interrupted", t.number))


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


def standings(snapshot: Snapshot) -> dict[int, LevelStanding]:
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
    """The trial with the smallest measured f of those that keep the limits: lucky or good, it
    cannot tell.  While none keeps them, the one that is least over them.
    """
    session = snapshot.session
    weight = session.wc if wc is None else wc
    scored = [(value, t) for t in snapshot.trials if (value := objective(t, weight)) is not None]
    if not scored:
        return None

    def rank(pair: tuple[float, Trial]) -> tuple[float, float, int]:
        return excess(session, pair[1]), pair[0], pair[1].number

    return min(scored, key=rank)[1]


def keeping(snapshot: Snapshot) -> list[Trial]:
    """The trials trained to their end that break no limit, as measured."""
    return [t for t in snapshot.trials if t.observed and not broken_by(snapshot.session, t)]


def excess(session: Session, trial: Trial) -> float:
    """By how much a trial breaks its worst limit, as a share of that; 0 where it keeps them."""
    return max((b.share for b in broken_by(session, trial)), default=0.0)


def recommended(
    snapshot: Snapshot, ranked: Ranking | None, wc: float | None = None
) -> Recommendation | None:
    """The one network that the session recommends, under its w_c; None before the first.

    Of all levels the smallest posterior mean of f; the best measured where nothing is believed:
    the strategy has no model, or there is no ranking yet.  Whatever calls a network the best, in
    words, in a file or by taking it, asks here.  wc: another trade-off, to look at.
    """
    wc = snapshot.session.wc if wc is None else wc
    best = best_measured(snapshot, wc)
    if best is None:
        return None
    measured = Recommendation(best, broken=tuple(broken_by(snapshot.session, best)))
    if ranked is None or snapshot.session.strategy != "gp":
        return measured
    found = ranked.best(wc)
    if found is None:
        return measured
    number, mean, std = found
    trial = snapshot.trials[number]
    # believed to keep the limits, it may have been measured outside
    return Recommendation(trial, (mean, std), tuple(broken_by(snapshot.session, trial)))


def _undone(decisions: Sequence[Decision]) -> set[int]:
    return {int(d.detail["undoes"]) for d in decisions if d.kind == "undo"}


def undoable(snapshot: Snapshot) -> Decision | None:
    """The last decision that can still be undone; see `passed_over` for what it reaches past."""
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


def passed_over(snapshot: Snapshot) -> Trial | None:
    """The trial of what came after the undoable decision and cannot be undone: it has begun.

    The last of them; None where undoing reaches past none.  What the autopilot queued is not
    in the way of taking the wheel back.
    """
    target, undone = undoable(snapshot), _undone(snapshot.decisions)
    for decision in reversed(snapshot.decisions):
        if target is not None and decision.number == target.number:
            return None
        if decision.kind not in QUEUEING or decision.number in undone:
            continue
        if target is not None and target.kind == decision.by == "autopilot":
            continue
        assert decision.trial is not None
        trial = snapshot.trials[decision.trial]
        if trial.state not in ("queued", "cancelled"):
            return trial
    return None


def begun(trial: Trial) -> str:
    """Why the decision that queued a trial cannot be undone: `trial 6 has started`."""
    said = "has started" if trial.goes else SAID[trial.state]
    return f"trial {trial.number} {said}"


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
    return strength(len(observations(snapshot)))


NOT_RANKED_BY = frozenset({"wc", "autopilot", "execution", "stop_behind"})
"""Fields of a session that no ranking depends on: w_c only weighs what was believed before."""


def ranking_key(snapshot: Snapshot) -> tuple[object, ...]:
    """What a ranking depends on besides w_c: equal keys, equal rankings."""
    session = snapshot.session
    trials = tuple("pending" if trial.pending else trial.state for trial in snapshot.trials)
    verdicts = sum(decision.kind in ("reject", "undo") for decision in snapshot.decisions)
    timed: tuple[object, ...] = ()
    if counts_latency(session):
        timed = tuple((key, one.milliseconds) for key, one in snapshot.latencies.items())
    names = (name for name in Session.model_fields if name not in NOT_RANKED_BY)
    return tuple(getattr(session, name) for name in names), trials, verdicts, timed


def counts_latency(session: Session) -> bool:
    """Whether a ranking of the session depends on what networks were timed for."""
    return LATENCY in session.limits or measure_of(session).name == LATENCY


def _timed(snapshot: Snapshot) -> Timed | None:
    """What networks were timed for, as the advisor takes it."""
    if not snapshot.latencies:
        return None
    found = snapshot.latencies
    timed = {LATENCY: {key: (one.config, one.milliseconds) for key, one in found.items()}}
    if measure_of(snapshot.session).name == LATENCY:
        timed[COMPLEXITY] = {key: (one.config, one.ratio) for key, one in found.items()}
    return timed


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
    measure = measure_of(session)

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
        exact=exact if measure.exact else None,
        failures=failures(snapshot),
        design=design_left(snapshot),
        initial=initial_design(session),
        favourite=session.favourite,
        bounds=bounds_of(session, space, snapshot.latencies.values()),
        outside=lambda: way_out(session, space, base_trial(snapshot).config),
        strategy=session.strategy,
        measure=measure.name,
        timed=_timed(snapshot),
        prior=prior_of(session),
        average=1 if session.prior is None else AVERAGE,
        earlier=earlier_of(session),
    )
