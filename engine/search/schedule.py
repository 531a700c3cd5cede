"""How long what is queued, and what the autopilot will add, still takes.

Pure, and by the wall clock: trials side by side on the session's trainers, each one epoch after
another.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from ...sessions.records import Levels, Trial, now
from ...sessions.snapshot import Snapshot
from ..objective import SECONDS
from . import decide
from .autopilot import levels_ahead
from .standing import waiting

LATELY = 20
"""The last so many trials say what one takes: levels differ, and so do the machine's days."""
MOST_SLOWER = 3.0
"""A trial that runs is believed to be so many times slower than its epochs: a machine may have
slept meanwhile."""


@dataclass(frozen=True)
class Pace:
    """What trials of a session take, as far as it was seen.

    epoch: seconds of training in an epoch, the median of the trials measured; None before the
    first.  extra: seconds that each epoch takes besides: it is validated and kept, and the
    reference network is timed beside it.  reference: seconds of an epoch of that one; None where
    it is not known, or says nothing of a candidate's time.
    """

    epoch: float | None
    extra: float
    reference: float | None


def epoch_seconds(trial: Trial) -> float | None:
    """Seconds that an epoch of this trial takes, as far as it is known."""
    if trial.epochs:
        warm = [epoch.seconds for epoch in trial.epochs[1:]] or [trial.epochs[0].seconds]
        return statistics.median(warm)
    return trial.costs.get(SECONDS)


def reference_seconds(trials: Iterable[Trial]) -> float | None:
    """Seconds of an epoch of the reference network, as last measured; None before any was."""
    found = None
    for trial in trials:
        if SECONDS in trial.reference_costs:
            found = trial.reference_costs[SECONDS]
        elif trial.level == 0 and SECONDS in trial.costs:
            found = trial.costs[SECONDS]
    return found


def pace(snapshot: Snapshot) -> Pace:
    """What the trials trained so far say."""
    done = [t for t in snapshot.trials if SECONDS in t.costs][-LATELY:]
    seen = [t.costs[SECONDS] for t in done]
    beside = [
        (t.ended - t.started).total_seconds() / len(t.epochs) - t.costs[SECONDS]
        for t in done
        if t.started is not None
        and t.ended is not None
        and t.epochs
        and not any(epoch.resumed for epoch in t.epochs)
    ]
    timed = snapshot.session.measure == SECONDS  # f_c tells a time only where it is of one
    return Pace(
        epoch=statistics.median(seen) if seen else None,
        extra=max(statistics.median(beside), 0.0) if beside else 0.0,
        reference=reference_seconds(snapshot.trials) if timed else None,
    )


def trial_seconds(trial: Trial, epochs: int, found: Pace, moment: datetime) -> float | None:
    """Seconds that an open trial of `epochs` epochs still takes; None where nothing tells it.

    By its own pace once it has had an epoch, else by its prediction, else as others took.
    """
    own = epoch_seconds(trial)
    if own is not None:
        each = own + found.extra
        if (
            trial.state == "running"
            and trial.started is not None
            and not any(epoch.resumed for epoch in trial.epochs)
        ):
            elapsed = (moment - trial.started).total_seconds() / len(trial.epochs)
            each = max(own, min(elapsed, MOST_SLOWER * each))
    elif trial.prediction is not None and found.reference is not None:
        each = trial.prediction.complexity * found.reference + found.extra
    elif found.epoch is not None:
        each = found.epoch + found.extra
    else:
        return None
    to_come = max(epochs - len(trial.epochs), 0)
    # one that is asked to stop ends with the epoch that it is in
    return each * (to_come if trial.stop_request is None else min(to_come, 1))


def seconds_left(snapshot: Snapshot, moment: datetime | None = None) -> float | None:
    """Seconds until what is queued, and what the autopilot will add, is trained; None: unknown."""
    session, found = snapshot.session, pace(snapshot)
    moment = now() if moment is None else moment
    trainers = session.execution.parallel
    open_trials = [t for t in snapshot.trials if t.state == "running"] + waiting(snapshot)
    busy = [0.0] * trainers
    for trial in open_trials:
        left = trial_seconds(trial, session.epochs, found, moment)
        if left is None:
            return None
        # to the trainer that is free first, in the order in which they are handed out
        heapq.heapreplace(busy, busy[0] + left)
    end, pilot = max(busy), session.autopilot
    if pilot is None:
        return end
    until = None
    if pilot.until is not None:
        until = max((pilot.until - moment).total_seconds(), 0.0)
    if pilot.trials is None:
        return end if until is None else max(end, until)
    more = max(pilot.trials - pilot.accepted, 0)
    levels = levels_ahead(snapshot)
    if not more and not (levels and pilot.trials):
        return end
    if found.epoch is None:
        return None
    one = session.epochs * (found.epoch + found.extra)
    rounds, rest = divmod(more, trainers)
    busy = [ends + rounds * one for ends in busy]
    for _ in range(rest):
        heapq.heapreplace(busy, busy[0] + one)
    # a level begins when the one before it has ended
    with_more = max(busy) + levels * math.ceil(pilot.trials / trainers) * one
    # what was begun in time is trained to its end
    return with_more if until is None else max(end, min(with_more, until))


def flight_seconds(
    snapshot: Snapshot,
    *,
    trials: int | None,
    minutes: float | None,
    levels: Levels = "this",
) -> float | None:
    """Seconds that an autopilot would take, with what is queued already; None: unknown.

    Raises Misuse as `decide.autopilot`.
    """
    plan = decide.autopilot(snapshot, trials=trials, minutes=minutes, levels=levels)
    session = snapshot.session.model_copy(update=dict(plan.session))
    decisions = (*snapshot.decisions, plan.decision)
    return seconds_left(replace(snapshot, session=session, decisions=decisions))
