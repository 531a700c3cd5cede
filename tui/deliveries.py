"""Final trainings in words: which network, on what, how far, what came of it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from ..engine.objective import SECONDS
from ..engine.protocol import trained_on
from ..engine.tasks.limits import spelled_limit
from ..engine.tasks.task import task_of
from . import format as words

if TYPE_CHECKING:
    from ..engine.search.standing import Recommendation
    from ..sessions.choices import Images
    from ..sessions.records import DataSummary, Delivery, Session, Trial
    from ..sessions.snapshot import Snapshot


SELECTION = (
    "Choosing among these networks by their test accuracy is a selection, and of what is chosen so "
    "there is no test left. Choose by the validation."
)


def plan(
    snapshot: Snapshot, trial: Trial, images: Images, there: DataSummary, epochs: int, seeds: int
) -> str:
    """What a final training would be, in a sentence with numbers.  there: what it is trained on."""
    session = snapshot.session
    used = session.summary.train + session.summary.val
    count = there.train + there.val
    on = trained_on(there, images)
    if images == "all" and count > used:
        on += f" (the search used {used:,})"
    often = f"{words.plural(epochs, 'epoch')}" + (f", with {seeds} seeds" if seeds > 1 else "")
    seconds = time_expected(snapshot, trial, epochs, seeds, count)
    time = "" if seconds is None else f"; about {words.duration(seconds)}"
    return f"trains {on}; {often}{time}. {_looking(snapshot.scored)}"


def _looking(scored: int) -> str:
    """How often the test set is looked at, and was before."""
    told = "The test set is looked at once for each training, at its end"
    if scored == 0:
        return f"{told}; none of this session was scored on it before."
    verb = "was" if scored == 1 else "were"
    return f"{told}; {words.plural(scored, 'training')} of this session {verb} scored on it before."


def why(best: Recommendation, snapshot: Snapshot) -> str:
    """Why it is that network: by which weight, within which limits."""
    session = snapshot.session
    measures = task_of(session).measures
    kept = " and ".join(spelled_limit(n, most, measures) for n, most in session.limits.items())
    return f"{words.best_network(best)}, at w_c {words.weight(session.wc)}" + (
        f" within {kept}" if kept else ""
    )


def time_expected(
    snapshot: Snapshot, trial: Trial, epochs: int, seeds: int, images: int
) -> float | None:
    """Seconds that so many trainings on so many images would take, by what an epoch of the trial
    took; None where it was not trained.
    """
    seconds = trial.costs.get(SECONDS)
    if seconds is None and trial.epochs:
        seconds = statistics.median(epoch.seconds for epoch in trial.epochs)
    if seconds is None:
        return None
    return seconds * images / snapshot.session.summary.train * epochs * seeds


def progress(delivery: Delivery, brief: bool = False) -> str:
    """`training 2 of 3, epoch 3/30 · loss 0.1234`: how far it is.  brief: without the loss."""
    if delivery.epoch == 0 and delivery.training == 1 and delivery.loss is None:
        return "reading the images"
    which = f"training {delivery.training} of {len(delivery.seeds)}, "
    loss = "" if delivery.loss is None or brief else f" · loss {delivery.loss:.4f}"
    which = which if len(delivery.seeds) > 1 else ""
    return f"{which}epoch {delivery.epoch}/{delivery.epochs}{loss}"


def scores(delivery: Delivery, session: Session) -> str:
    """`91.20 % on the test set`; by what was searched for, too, where that is not the accuracy;
    with several seeds their mean and spread.
    """
    found = delivery.scores
    told = f"{words.percent(found[0], 2)} % on the test set"
    if delivery.metric_score is not None:
        told += f", {words.metric(session).title} {words.percent(delivery.metric_score, 2)} %"
    if len(found) > 1:
        mean, spread = statistics.mean(found), statistics.stdev(found)
        told += f" ({len(found)} seeds: {100 * mean:.2f} ± {100 * spread:.2f})"
    return told


def state(delivery: Delivery, session: Session, brief: bool = False) -> str:
    """How it stands: `queued`, how far it is, what it reached, or why it failed."""
    asked = {"pause": "pausing", "now": "stopping", "epoch": "stops after this epoch"}
    match delivery.state:
        case "running":
            if delivery.stop_request is not None:
                return f"{progress(delivery, brief)} · {asked[delivery.stop_request]}"
            left = delivery.seconds_left
            return progress(delivery, brief) + f" · {words.time_left(left)}" * (left is not None)
        case "done":
            return scores(delivery, session)
        case "queued" | "cancelled":
            return delivery.state
        case "interrupted":
            return f"waits to go on at epoch {delivery.epoch}/{delivery.epochs}"
        case "stopped":
            why = f" ({delivery.message})" if delivery.message else ""
            return f"stopped, nothing was written{why}"
        case "paused":
            at = f"paused at epoch {delivery.epoch}/{delivery.epochs}"
            return f"{at}: {delivery.message}" if delivery.message else at
    return f"failed: {delivery.message}"


def line(delivery: Delivery, session: Session) -> str:
    """`final 1  trial 17  87.20 % on the test set  /models/fashion`."""
    head = f"final {delivery.number}  trial {delivery.trial}"
    return f"{head}  {state(delivery, session)}  {delivery.folder}"


def ended(delivery: Delivery, session: Session) -> str:
    """A sentence about one that is over."""
    head = f"Final training {delivery.number} (trial {delivery.trial})"
    if delivery.state == "done":
        return f"{head}: {scores(delivery, session)}. {delivery.folder}"
    return f"{head}: {state(delivery, session)}"
