"""The autopilot: what it does next, level by level, and which networks it queues at once.

Pure: `service` carries out what is said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...sessions.records import now
from ...sessions.snapshot import Plan, Snapshot
from .. import search
from ..advisor.ranking import Proposal, Ranking
from ..tasks.space import Space
from ..tasks.task import level_names
from . import decide


@dataclass(frozen=True)
class Step:
    """What the autopilot does next, and why.  think: it takes a ranking to say more."""

    do: Literal["wait", "think", "propose", "advance", "reopen", "finish"]
    reason: str = ""


def step(snapshot: Snapshot, ranked: Ranking | None = None) -> Step:
    """What the autopilot does next: as many trials at once as the session says, level by level.

    ranked: the ranking of this very snapshot, where one was made.
    """
    session, pilot = snapshot.session, snapshot.session.autopilot
    assert pilot is not None
    if pilot.until is not None and now() >= pilot.until:
        return Step("finish")
    waits = search.pending(snapshot)
    more = pilot.trials is None or pilot.accepted < pilot.trials
    if waits and (not more or len(waits) >= session.execution.parallel):
        return Step("wait")
    onward = levels_ahead(snapshot) > 0
    if not more and not onward:
        return Step("finish")
    if ranked is None:
        return Step("think")
    reason = ""
    if pilot.until_flat and ranked.flat:
        assert ranked.remaining is not None
        assert ranked.noise is not None
        reason = (
            f"at most {ranked.remaining:.2g} can be gained here, and the noise is "
            f"{ranked.noise:.2g}"
        )
    elif more and ranked.proposals:
        return Step("propose")
    elif more:
        reason = ranked.advice
    else:
        reason = f"the budget of {pilot.trials} for this level is used up"
    if waits:  # what still trains may say otherwise
        return Step("wait")
    if not onward:
        return Step("finish", reason)
    return Step("reopen" if session.level == len(level_names(session)) else "advance", reason)


def levels_ahead(snapshot: Snapshot) -> int:
    """How many levels the autopilot goes on to after the present one."""
    session, pilot = snapshot.session, snapshot.session.autopilot
    if pilot is None or pilot.levels == "this" or session.flat:
        return 0
    # since it took the wheel nobody else has moved: the first level opened again is its last
    moves = (d.kind for d in reversed(snapshot.decisions) if d.kind in ("autopilot", "reopen"))
    if next(moves, None) == "reopen":
        return 0
    return len(level_names(session)) - session.level + (pilot.levels == "round")


def together(snapshot: Snapshot, ranked: Ranking) -> tuple[Proposal, ...]:
    """What the autopilot queues at once from one ranking: for each slot that is free, as far as
    its budget goes, a network that is the best if those before it come out as expected.
    """
    session, pilot = snapshot.session, snapshot.session.autopilot
    assert pilot is not None
    count = session.execution.parallel - len(search.pending(snapshot))
    if pilot.trials is not None:
        count = min(count, pilot.trials - pilot.accepted)
    return ranked.together(count)


def accept_together(snapshot: Snapshot, space: Space, proposals: Sequence[Proposal]) -> list[Plan]:
    """The autopilot's decisions to queue these, in turn: each assumes the one before it.

    A person's decision between two of them makes the rest come too late.  Raises InvalidConfig.
    """
    plans = []
    for proposal in proposals:
        plan = decide.accept(snapshot, space, proposal.config, proposal.prediction, by="autopilot")
        plans.append(plan)
        session = snapshot.session.model_copy(update=dict(plan.session))
        snapshot = replace(snapshot, session=session)
    return plans
