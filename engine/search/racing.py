"""Trials that fall behind the others while they train."""

from __future__ import annotations

import statistics

from ...sessions.choices import COST_ALONE
from ...sessions.records import Trial
from ...sessions.snapshot import Snapshot
from ..objective import best_error
from ..objective import objective as weigh
from ..tasks.task import complexity_so_far, measure_of, session_space

BEHIND_OTHERS = 3
"""Trials that must have come as far before one is said to fall behind them."""
BEHIND_EPOCH = 2
BEHIND_SHARE = 1 / 3
"""The first epoch, and the first part of the epochs, in which no trial is judged."""


def objective_so_far(snapshot: Snapshot, trial: Trial, epochs: int) -> float | None:
    """f of a trial as it stood after so many epochs: its best accuracy and its cost until then.

    None where it did not come so far, or where its cost is not known.
    """
    seen = [epoch for epoch in trial.epochs if epoch.epoch <= epochs]
    if epochs < 1 or len(seen) < epochs:
        return None
    session = snapshot.session
    complexity = complexity_so_far(trial, snapshot.trials[0], measure_of(session), seen)
    return None if complexity is None else weigh(best_error(seen), complexity, session.wc)


def falling_behind(snapshot: Snapshot) -> frozenset[int]:
    """Running trials whose f so far is worse than the median of the others' at the same epoch.

    The median rule of Golovin et al. 2017 (Google Vizier), of f and not of the accuracy, which
    would end the cheap networks that a large w_c seeks.  The others are all that came as far at the
    same pace (a learning rate that falls late comes late to its best) and did not fail, at least
    BEHIND_OTHERS; never judged are the reference network, and a trial
    before its epoch BEHIND_EPOCH or the first third of its epochs, or after its last.
    """
    if snapshot.session.wc == COST_ALONE:
        # by the cost alone a dear network is behind, and may be the only one that is good enough
        return frozenset()
    total = snapshot.session.epochs
    pacing = [p.name for p in session_space(snapshot.session).parameters if p.paces]
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
            and all(other.config[name] == trial.config[name] for name in pacing)
            and other.state not in ("failed", "cancelled")
            and (value := objective_so_far(snapshot, other, reached_epoch)) is not None
        ]
        if mine is not None and len(others) >= BEHIND_OTHERS and mine > statistics.median(others):
            behind.add(trial.number)
    return frozenset(behind)
