"""Trials that fall behind: by f and not by accuracy, never too early, and stopped if wanted."""

from dataclasses import replace
from pathlib import Path

import pytest

from lcsearch.engine import search
from lcsearch.engine.search import decide
from lcsearch.engine.service import Service
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import Epoch, now
from lcsearch.sessions.store import Store

from .sessions_for_tests import filled_store


def epoch(number: int, accuracy: float, ratio: float) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=1.0,
        val_accuracy=accuracy,
        seconds=2 * ratio,
        reference_seconds=2.0,
    )


def running(
    store: Store, accuracy: float = 0.5, ratio: float = 1.0, epochs: int = 3, **change: object
) -> int:
    """A trial that runs, so many epochs into its training."""
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    config = {**snapshot.trials[0].config, "channels": [24, 32, 32, 64], **change}
    number = store.apply(decide.submit(snapshot, space, config, None, kind="new")).trial
    assert number is not None
    store.update_trial(number, {"queued"}, state="running", attempt=1, started=now())
    for at in range(1, epochs + 1):
        assert store.add_epoch(number, 1, epoch(at, accuracy, ratio))
    return number


@pytest.fixture
def store(home: Path) -> Store:
    """Four trials and the reference done; their f at epoch 3 of 9: 0.2 to 0.4 and w_c."""
    return filled_store(home, 4, epochs=9, wc=0.1)


def test_it_is_judged_by_f_and_not_by_its_accuracy(store: Store) -> None:
    snapshot = store.refresh()
    values = [search.objective_so_far(snapshot, t, 3) for t in snapshot.trials]
    known = sorted(value for value in values if value is not None)
    assert len(known) == len(values)
    median = known[2]
    # cheap, and less accurate than every other: with a large w_c it is among the best
    number = running(store, accuracy=1 - median - 0.01, ratio=0.05)
    assert search.falling_behind(store.refresh()) == {number}
    store.set_session({}, wc=3.0)
    assert search.falling_behind(store.refresh()) == frozenset()


def test_what_is_better_than_the_median_does_not_fall_behind(store: Store) -> None:
    running(store, accuracy=0.99, ratio=0.3)
    assert search.falling_behind(store.refresh()) == frozenset()


@pytest.mark.parametrize(("epochs", "judged"), [(1, False), (2, False), (3, True), (9, False)])
def test_not_in_the_first_third_and_not_at_the_end(store: Store, epochs: int, judged: bool) -> None:
    number = running(store, accuracy=0.1, epochs=epochs)
    assert (number in search.falling_behind(store.refresh())) == judged


def test_three_others_must_have_come_as_far(home: Path) -> None:
    store = filled_store(home, 1, epochs=3)
    number = running(store, accuracy=0.1, epochs=2)
    assert search.falling_behind(store.refresh()) == frozenset()
    store = filled_store(home, 2, name="more", epochs=3)
    number = running(store, accuracy=0.1, epochs=2)
    assert search.falling_behind(store.refresh()) == {number}


def test_only_those_of_the_same_schedule_are_compared(store: Store) -> None:
    store.set_session({}, domains={"schedule": "exponential,one-cycle"})
    running(store, accuracy=0.1, schedule="one-cycle")
    assert search.falling_behind(store.refresh()) == frozenset()
    number = running(store, accuracy=0.1, learning_rate=0.01)
    assert search.falling_behind(store.refresh()) == {number}


def test_the_reference_is_never_judged(store: Store) -> None:
    running(store, accuracy=0.99)
    store.update_trial(0, {"done"}, state="running", error=None, complexity=None)
    late = next(t for t in store.refresh().trials if t.number == 0)
    assert len(late.epochs) == 9
    assert 0 not in search.falling_behind(store.refresh())


def test_f_so_far_is_of_the_best_epoch_and_the_measure(store: Store) -> None:
    number = running(store, accuracy=0.5, ratio=2.0)
    snapshot = store.refresh()
    trial = snapshot.trials[number]
    assert search.objective_so_far(snapshot, trial, 3) == pytest.approx(0.5 + 0.1 * 2.0)
    assert search.objective_so_far(snapshot, trial, 4) is None
    counted = snapshot.session.model_copy(update={"measure": "params"})
    ratio = trial.costs["params"] / snapshot.trials[0].costs["params"]
    by_size = replace(snapshot, session=counted)
    assert search.objective_so_far(by_size, trial, 3) == pytest.approx(0.5 + 0.1 * ratio)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_engine_stops_it_where_the_session_wants_that(store: Store, wanted: bool) -> None:
    store.set_session({}, stop_behind=wanted)
    number = running(store, accuracy=0.1)
    service = Service(store, 1.0)
    service._stop_behind(number)
    service._stop_behind(number)  # what is asked for already is not asked again
    snapshot = store.refresh()
    stops = [d for d in snapshot.decisions if d.kind == "stop"]
    assert [(d.trial, d.by) for d in stops] == ([(number, "autopilot")] if wanted else [])
    assert snapshot.trials[number].stop_request == ("epoch" if wanted else None)
    store.update_trial(number, {"running"}, state="stopped", ended=now())
    assert number not in [o.number for o in search.observations(store.refresh())]


def test_it_is_judged_by_the_sessions_metric(home: Path) -> None:
    """Of two alike in accuracy the one that tells fewer classes falls behind."""
    store = filled_store(home, 4, epochs=9, wc=0.1, metric="balanced")
    number = running(store, accuracy=0.99)
    assert search.falling_behind(store.refresh()) == frozenset()
    for at in range(1, 4):
        told = epoch(at, 0.99, 1.0).model_copy(update={"val_metric": 0.2})
        store.add_epoch(number, 1, told)
    snapshot = store.refresh()
    assert search.falling_behind(snapshot) == {number}
    assert search.objective_so_far(snapshot, snapshot.trials[number], 3) == pytest.approx(0.8 + 0.1)
