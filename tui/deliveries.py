"""Final trainings in words: which network, on what, how far, what came of it."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..engine.objective import SECONDS
from ..engine.protocol import eight_bits_lose, trained_on
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
    time = "" if seconds is None else f"; {words.about(seconds)}"
    return f"trains {on}; {often}{time}."


def together(
    snapshot: Snapshot, numbers: Sequence[int], there: DataSummary, epochs: int, seeds: int
) -> str:
    """How many networks are trained, one after another, and about how long all of them take."""
    images = there.train + there.val
    times = [time_expected(snapshot, snapshot.trials[n], epochs, seeds, images) for n in numbers]
    total = sum(time for time in times if time is not None)
    time = "" if None in times else f", {words.about(total)} in all"
    return f"{words.plural(len(numbers), 'network')}, one after another{time}."


def looking(scored: int) -> str:
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
    loss = "" if delivery.loss is None or brief else f" · loss {delivery.loss:.4f}"
    return f"{_place(delivery)}{loss}"


def _place(delivery: Delivery) -> str:
    """`training 2 of 3, epoch 3/30`: where it is, or goes on from."""
    which = f"training {delivery.training} of {len(delivery.seeds)}, "
    which = which if len(delivery.seeds) > 1 else ""
    return f"{which}epoch {delivery.epoch}/{delivery.epochs}"


def scores(delivery: Delivery, session: Session) -> str:
    """`91.20 % on the test set`; by what was searched for, too, where that is not the accuracy;
    with several seeds their mean and spread; what eight bits lose.
    """
    found = delivery.scores
    told = f"{words.percent(found[0], 2)} % on the test set"
    if delivery.metric_score is not None:
        told += f", {words.metric(session).title} {words.percent(delivery.metric_score, 2)} %"
    if len(found) > 1:
        mean, spread = statistics.mean(found), statistics.stdev(found)
        told += f" ({len(found)} seeds: {100 * mean:.2f} ± {100 * spread:.2f})"
    if delivery.eight_bits is not None:
        told += f", {eight_bits_lose(delivery.eight_bits, session.metric)}"
    return told


def state(delivery: Delivery, session: Session, brief: bool = False) -> str:
    """How it stands: `queued`, how far it is, what it reached, or why it failed."""
    asked = {"pause": "pausing", "now": "stopping", "epoch": "stops after this epoch"}
    match delivery.state:
        case "running":
            if delivery.stop_request is not None:
                return f"{progress(delivery, brief)} · {asked[delivery.stop_request]}"
            return f"{progress(delivery, brief)}{_left(delivery)}"
        case "done":
            return scores(delivery, session)
        case "queued" | "cancelled":
            return delivery.state
        case "interrupted":
            return f"waits to go on at {_place(delivery)}"
        case "stopped":
            why = f" ({delivery.message})" if delivery.message else ""
            return f"stopped, nothing was written{why}"
        case "paused":
            at = f"paused at {_place(delivery)}"
            return f"{at}: {delivery.message}" if delivery.message else at
    return f"failed: {delivery.message}"


def _left(delivery: Delivery) -> str:
    """` · about 2 min left`; nothing where that is not known."""
    if delivery.done >= 1:  # all is trained
        return " · testing, writing"
    left = delivery.seconds_left
    return "" if left is None else f" · {words.time_left(left)}"


def in_room(delivery: Delivery, session: Session, room: int) -> str:
    """`(trial 17)  epoch 3/30 · about 2 min left` in so many characters: the time left is the last
    to go, and cut off only where there is no room for the least.
    """
    trial = f" (trial {delivery.trial})  "
    told = f"{trial}{state(delivery, session, brief=True)}"
    if len(told) <= room or delivery.state != "running" or delivery.stop_request is not None:
        return told
    which = f"{delivery.training}/{len(delivery.seeds)} · " if len(delivery.seeds) > 1 else ""
    short = f"{which}epoch {delivery.epoch}/{delivery.epochs}{_left(delivery)}"
    return next((t for t in (f"{trial}{short}", f"  {short}") if len(t) <= room), f"  {short}")


def use(delivery: Delivery) -> str:
    """The command that tells images by what it has written."""
    return f"lcsearch predict {shlex.quote(delivery.folder)} IMAGE"


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
