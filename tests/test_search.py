"""What each decision changes, on records alone."""

import pytest

from lcsearch.engine import search
from lcsearch.engine.cnn import session_space
from lcsearch.engine.space import InvalidConfig
from lcsearch.sessions.store import Late, StoreError

from .sessions_for_tests import filled_store, finish, make_store


@pytest.fixture
def store(home):
    return filled_store(home, 4)


@pytest.fixture
def space(store):
    return session_space(store.refresh().session)


def another(store, space, seed=99):
    import numpy as np

    snapshot = store.refresh()
    base = search.base_trial(snapshot).config
    return space.sample(np.random.default_rng(seed), snapshot.session.level, base)


def test_f_is_error_plus_weighted_complexity(store):
    trial = store.refresh().trials[2]
    assert search.objective(trial, 0.5) == pytest.approx(trial.error + 0.5 * trial.complexity)
    assert search.objective(trial, 0) == trial.error


def test_the_reference_is_trial_0_and_the_base_of_level_1(home):
    store = make_store(home, "fresh")
    snapshot = store.refresh()
    assert snapshot.trials[0].source == "reference"
    assert search.base_trial(snapshot).number == 0
    assert search.design_left(snapshot) == 6
    assert search.standing(snapshot)[1].state == "current"
    assert search.standing(snapshot)[2].base is None
    assert search.best_measured(snapshot) is None


def test_the_initial_design_counts_down(store):
    assert search.design_left(store.refresh()) == 2
    store.apply(search.advance(store.refresh(), 2))
    assert search.design_left(store.refresh()) == 3


def test_accepting_queues_the_network_and_takes_the_wheel(store, space):
    store.apply(search.autopilot(store.refresh(), trials=5))
    config = another(store, space)
    decision = store.apply(search.accept(store.refresh(), space, config, None, reason="why not"))
    snapshot = store.refresh()
    trial = snapshot.trials[decision.trial]
    assert (trial.state, trial.config, trial.source) == ("queued", config, "advisor")
    assert snapshot.session.autopilot is None
    assert snapshot.decisions[-1].reason == "why not"
    assert search.pending(snapshot) == [config]


def test_what_cannot_be_built_is_refused_with_every_problem(store, space):
    config = {**another(store, space), "learning_rate": 99.0, "lr_decay": 2}
    with pytest.raises(InvalidConfig, match=r"learning_rate = 99(?s:.*)lr_decay = 2"):
        search.submit(store.refresh(), space, config, None, kind="edit")


def test_undo_takes_back_one_decision_after_another(store, space):
    config, other = another(store, space, 1), another(store, space, 2)
    first = store.apply(search.accept(store.refresh(), space, config, None))
    store.apply(search.reject(store.refresh(), other, None, "ugly"))
    store.apply(search.set_wc(store.refresh(), 2.0))
    assert search.rejected(store.refresh()) == [other]
    store.apply(search.undo(store.refresh()))
    assert store.refresh().session.wc == 0.1
    store.apply(search.undo(store.refresh()))
    assert search.rejected(store.refresh()) == []
    store.apply(search.undo(store.refresh()))
    assert store.refresh().trials[first.trial].state == "cancelled"
    with pytest.raises(StoreError, match="Nothing to undo"):
        search.undo(store.refresh())


def test_a_trial_that_started_is_not_undone(store, space):
    decision = store.apply(search.accept(store.refresh(), space, another(store, space), None))
    seen = store.refresh()
    store.update_trial(decision.trial, {"queued"}, state="running", attempt=1)
    with pytest.raises(Late, match="is running already"):
        store.apply(search.undo(seen))
    with pytest.raises(StoreError, match="stopped, not undone"):
        search.undo(store.refresh())


def test_levels_go_forward_from_a_trial_and_open_again(store, space):
    store.apply(search.advance(store.refresh(), 3))
    snapshot = store.refresh()
    assert snapshot.session.level == 2
    assert search.base_trial(snapshot).number == 3
    assert search.standing(snapshot)[1].state == "done"
    config = another(store, space)
    decision = store.apply(search.accept(snapshot, space, config, None))
    finish(store, decision.trial, error=0.01, ratio=0.1)
    store.apply(search.reopen(store.refresh(), 1))
    snapshot = store.refresh()
    assert snapshot.session.level == 1
    assert search.base_trial(snapshot).number == decision.trial
    store.apply(search.undo(snapshot))
    assert store.refresh().session.level == 2
    assert search.base_trial(store.refresh()).number == 3


def test_levels_end_and_begin_somewhere(store):
    for number in (1, 2, 3):
        store.apply(search.advance(store.refresh(), number))
    with pytest.raises(StoreError, match="level 4 is the last one"):
        search.advance(store.refresh(), 1)
    with pytest.raises(StoreError, match="Levels 1 to 4"):
        search.reopen(store.refresh(), 5)
    with pytest.raises(StoreError, match="no such trial"):
        search.reopen(store.refresh(), 1, 77)


def test_only_what_is_done_is_carried_forward(home, store, space):
    fresh = make_store(home, "fresh")
    with pytest.raises(StoreError, match="No trial is done"):
        search.advance(fresh.refresh())
    with pytest.raises(StoreError, match="trial 0 is queued"):
        search.advance(fresh.refresh(), 0)


def test_stopping_depends_on_what_the_trial_does(store, space):
    snapshot = store.refresh()
    decision = store.apply(search.accept(snapshot, space, another(store, space), None))
    number = decision.trial
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    store.apply(search.stop(store.refresh(), number, "pause"))
    assert store.refresh().trials[number].stop_request == "pause"
    store.update_trial(number, {"running"}, state="paused")
    assert search.pending(store.refresh()) == []
    assert snapshot.trials[1].config not in search.excluded(store.refresh())
    store.apply(search.resume(store.refresh(), number))
    assert search.next_trial(store.refresh()).number == number
    with pytest.raises(Late, match="trial 1 is done already"):
        store.apply(search.stop(store.refresh(), 1, "now"))


def test_what_was_interrupted_goes_first(store, space):
    first = store.apply(search.accept(store.refresh(), space, another(store, space, 1), None))
    second = store.apply(search.accept(store.refresh(), space, another(store, space, 2), None))
    assert search.next_trial(store.refresh()).number == first.trial
    store.update_trial(second.trial, {"queued"}, state="interrupted")
    assert search.next_trial(store.refresh()).number == second.trial


def test_the_autopilot_goes_trial_by_trial_and_level_by_level(store, space):
    store.apply(search.autopilot(store.refresh(), trials=1, levels="all"))
    assert search.pilot_step(store.refresh()).do == "think"
    ranked = search.ranking(store.refresh(), space, count=1)
    assert search.pilot_step(store.refresh(), ranked).do == "propose"
    config = another(store, space)
    plan = search.accept(store.refresh(), space, config, None, by="autopilot")
    number = store.apply(plan).trial
    assert store.refresh().trials[number].source == "autopilot"
    assert search.pilot_step(store.refresh(), ranked).do == "wait"
    finish(store, number)
    step = search.pilot_step(store.refresh(), ranked)
    assert step.do == "advance"
    assert step.reason == "the budget of 1 for this level is used up"
    store.apply(search.advance(store.refresh(), number, by="autopilot", reason=step.reason))
    assert store.refresh().session.autopilot.accepted == 0
    assert store.refresh().decisions[-1].reason == step.reason
    assert search.pilot_step(store.refresh(), ranked).do == "propose"
    store.apply(search.takeover(store.refresh()))
    with pytest.raises(Late, match="off already"):
        search.takeover(store.refresh())


def test_a_persons_decision_beats_the_autopilots(store, space):
    store.apply(search.autopilot(store.refresh(), trials=2))
    seen = store.refresh()
    theirs = search.accept(seen, space, another(store, space, 5), None, by="autopilot")
    store.apply(search.reject(seen, another(store, space, 6), None))
    with pytest.raises(Late, match="autopilot of the session has changed"):
        store.apply(theirs)


@pytest.mark.parametrize("wc", [-1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(store, wc):
    with pytest.raises(StoreError, match="w_c"):
        search.set_wc(store.refresh(), wc)


def test_the_front_holds_what_nothing_beats(store):
    snapshot = store.refresh()
    front = search.pareto(snapshot.trials)
    assert front == sorted(front, key=lambda t: t.complexity)
    for trial in snapshot.trials:
        beaten = any(
            o.error <= trial.error and o.complexity <= trial.complexity and o != trial
            for o in snapshot.trials
        )
        assert (trial in front) != beaten


def test_time_left_counts_what_is_queued_and_what_the_autopilot_adds(store, space):
    assert search.seconds_left(store.refresh()) == 0
    store.apply(search.accept(store.refresh(), space, another(store, space), None))
    one = search.seconds_left(store.refresh())
    assert one > 0
    store.apply(search.autopilot(store.refresh(), trials=3, levels="all"))
    assert search.seconds_left(store.refresh()) == pytest.approx(one * 13)


def test_failures_teach_only_where_the_network_is_to_blame(store, space):
    from lcsearch.sessions.records import Failure

    config = another(store, space)
    number = store.apply(search.accept(store.refresh(), space, config, None)).trial
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    failure = Failure(kind="diverged", message="the loss is not finite")
    store.update_trial(number, {"running"}, state="failed", failure=failure)
    snapshot = store.refresh()
    assert search.failures(snapshot) == [config]
    assert snapshot.trials[number].failure == failure
    assert number not in [o.number for o in search.observations(snapshot)]


def test_undo_reaches_past_what_cannot_be_undone(store, space):
    store.apply(search.reject(store.refresh(), another(store, space, 1), None))
    number = store.apply(
        search.accept(store.refresh(), space, another(store, space, 2), None)
    ).trial
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    assert search.undoable(store.refresh()).kind == "reject"
    store.apply(search.undo(store.refresh()))
    assert search.rejected(store.refresh()) == []


def test_a_level_with_trials_is_not_undone_but_an_empty_one_is(store, space):
    store.apply(search.advance(store.refresh(), 1))
    number = store.apply(search.accept(store.refresh(), space, another(store, space), None)).trial
    finish(store, number)
    assert search.undoable(store.refresh()) is None
    store.apply(search.advance(store.refresh(), 1))
    assert search.undoable(store.refresh()).kind == "advance"
    store.apply(search.undo(store.refresh()))
    assert store.refresh().session.level == 2


def test_levels_once_reached_stay_reachable(store):
    for number in (1, 2):
        store.apply(search.advance(store.refresh(), number))
    store.apply(search.reopen(store.refresh(), 1, 1))
    assert [s.state for s in search.standing(store.refresh()).values()] == [
        "current",
        "done",
        "ahead",
        "ahead",
    ]
    store.apply(search.reopen(store.refresh(), 3, 1))
    assert store.refresh().session.level == 3


def test_rejecting_takes_near_copies_out_of_the_ranking_and_undo_brings_them_back(store, space):
    found = search.ranking(store.refresh(), space, count=40)
    chosen = next(p for p in found.proposals if p.origin == "model")
    near = [c for c in space.neighbours(chosen.config, 1) if space.proposable(c)]
    store.apply(search.reject(store.refresh(), chosen.config, chosen.prediction))
    after = search.ranking(store.refresh(), space, count=40)
    assert chosen.id not in {p.id for p in after.proposals}
    keys = set(after._advisor.keys)
    copies = {space.key(c) for c in near} & set(found._advisor.keys)
    assert copies - keys
    store.apply(search.undo(store.refresh()))
    again = search.ranking(store.refresh(), space, count=40)
    assert [p.id for p in again.proposals] == [p.id for p in found.proposals]


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan"), 1e12])
def test_minutes_that_are_none_are_refused(store, minutes):
    with pytest.raises(StoreError, match="minutes"):
        search.autopilot(store.refresh(), minutes=minutes)
