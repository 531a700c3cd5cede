"""How long it still takes: work spread over the trainers, by what was predicted or seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lcsearch.engine.search import schedule
from lcsearch.sessions.records import Autopilot, Execution
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui import format as words

from .fakes import NOW, changed, empty_snapshot, make_snapshot

EPOCHS = 10
EXTRA = 0.3
"""Seconds beside the training of each epoch, in `session`."""


def session(
    *states: str, parallel: int = 1, pilot: Autopilot | None = None, **fields: Any
) -> Snapshot:
    """Six trials trained, an epoch of which took 1 s; then one in each of these states, which is
    predicted to take 2 s an epoch.
    """
    snapshot = make_snapshot(
        level=1, done=(5,), running=0, queued=len(states), execution=Execution(parallel=parallel),
        autopilot=pilot, **fields,
    )  # fmt: skip
    trials = []
    for trial in snapshot.trials:
        if trial.observed:
            assert trial.started is not None
            ended = trial.started + timedelta(seconds=EPOCHS * (1 + EXTRA))
            took = {
                "costs": {"seconds": 1.0},
                "reference_costs": {"seconds": 4.0},
                "ended": ended,
            }
            trials.append(trial.model_copy(update=took))
        else:
            assert trial.prediction is not None
            belief = trial.prediction.model_copy(update={"complexity": 0.5})
            state = states[len(trials) - 6]
            trials.append(trial.model_copy(update={"state": state, "prediction": belief}))
    return replace(snapshot, trials=tuple(trials))


def left(snapshot: Snapshot) -> float | None:
    return schedule.seconds_left(snapshot, NOW)


ONE = EPOCHS * (2 + EXTRA)
"""Seconds of a trial that waits, by its prediction."""
MORE = EPOCHS * (1 + EXTRA)
"""Seconds of a trial that the autopilot will add, as those before it took."""


def test_nothing_left_is_nothing_left() -> None:
    assert left(session()) == 0


@pytest.mark.parametrize(
    ("states", "parallel", "rounds"),
    [
        (("queued",), 1, 1),
        (("queued",) * 3, 1, 3),
        (("queued",) * 3, 2, 2),
        (("queued",) * 4, 2, 2),
        (("running", "queued", "interrupted"), 3, 1),
        (("paused", "queued"), 1, 1),
    ],
)
def test_trials_that_start_or_wait_count_as_predicted_side_by_side(
    states: tuple[str, ...], parallel: int, rounds: int
) -> None:
    assert left(session(*states, parallel=parallel)) == pytest.approx(rounds * ONE)


def test_a_long_trial_is_not_divided_between_the_trainers() -> None:
    snapshot = session("running", "queued", "queued", parallel=2)
    predicted = snapshot.trials[6].prediction
    assert predicted is not None
    belief = predicted.model_copy(update={"complexity": 5.0})
    snapshot = changed(snapshot, 6, prediction=belief)
    assert left(snapshot) == pytest.approx(EPOCHS * (20 + EXTRA))


def test_a_trial_that_runs_goes_on_at_its_own_pace() -> None:
    epochs = make_snapshot(epochs_done=4).trials[19].epochs
    epochs = tuple(epoch.model_copy(update={"seconds": 3.0}) for epoch in epochs)
    snapshot = changed(
        session("running"), 6, epochs=epochs, started=NOW - timedelta(seconds=4 * 3.5)
    )
    assert left(snapshot) == pytest.approx(6 * 3.5)
    # a machine that slept does not make it slow
    slept = changed(snapshot, 6, started=NOW - timedelta(hours=5))
    assert left(slept) == pytest.approx(6 * 3 * (3 + EXTRA))
    assert left(changed(snapshot, 6, stop_request="epoch")) == pytest.approx(3.5)
    # what it did before it was interrupted is not done again
    assert left(changed(snapshot, 6, state="interrupted")) == pytest.approx(6 * (3 + EXTRA))


def test_without_a_prediction_it_is_as_others_took() -> None:
    snapshot = changed(session("queued"), 6, prediction=None)
    assert left(snapshot) == pytest.approx(MORE)
    assert left(session("queued", measure="macs")) == pytest.approx(MORE)


@pytest.mark.parametrize("pilot", [None, Autopilot(trials=3)])
def test_where_nothing_was_measured_nobody_knows(pilot: Autopilot | None) -> None:
    snapshot = empty_snapshot()
    begun = snapshot.session.model_copy(update={"autopilot": pilot})
    assert left(replace(snapshot, session=begun)) is None
    assert words.time_left(None) == "time left not known yet"
    assert words.time_left(200) == "about 3 min left"


@pytest.mark.parametrize(
    ("pilot", "states", "parallel", "seconds"),
    [
        (Autopilot(trials=3), (), 1, 3 * MORE),
        (Autopilot(trials=3), (), 2, 2 * MORE),
        (Autopilot(trials=3, accepted=1), ("queued",), 1, ONE + 2 * MORE),
        (Autopilot(trials=3, accepted=3), ("queued",), 1, ONE),
        (Autopilot(trials=3, levels="all"), (), 1, 12 * MORE),
        (Autopilot(trials=3, levels="all"), (), 2, 8 * MORE),
        (Autopilot(trials=3, levels="round"), (), 1, 15 * MORE),
        (Autopilot(until=NOW + timedelta(seconds=100)), ("queued",), 1, 100),
        (Autopilot(until=NOW + timedelta(seconds=1)), ("queued",), 1, ONE),
        (Autopilot(trials=3, until=NOW + timedelta(seconds=20)), (), 1, 20),
        (Autopilot(trials=1, until=NOW + timedelta(hours=1)), (), 1, MORE),
    ],
)
def test_what_the_autopilot_will_add_counts(
    pilot: Autopilot, states: tuple[str, ...], parallel: int, seconds: float
) -> None:
    assert left(session(*states, parallel=parallel, pilot=pilot)) == pytest.approx(seconds)


def test_a_flight_is_told_before_it_begins() -> None:
    pilot = Autopilot(trials=3)
    told = schedule.flight_seconds(session("queued", parallel=2), trials=3, minutes=None)
    assert told == pytest.approx(left(session("queued", parallel=2, pilot=pilot)))
