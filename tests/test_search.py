"""What each decision changes, on records alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcsearch.engine import search
from lcsearch.engine.advisor.rank import Advisor
from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.engine.search import autopilot, decide, schedule
from lcsearch.engine.tasks.space import InvalidConfig, Space
from lcsearch.engine.tasks.steps import neighbours
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.errors import Already, Late, Misuse, StoreError
from lcsearch.sessions.records import Config, Failure, Trial
from lcsearch.sessions.store import Store

from .sessions_for_tests import filled_store, finish, make_store, trial_of


@pytest.fixture
def store(home: Path) -> Store:
    return filled_store(home, 4)


@pytest.fixture
def space(store: Store) -> Space:
    return session_space(store.refresh().session)


def another(store: Store, space: Space, seed: int = 99) -> Config:
    snapshot = store.refresh()
    base = search.base_trial(snapshot).config
    return space.sample(np.random.default_rng(seed), snapshot.session.level, base)


def test_f_is_error_plus_weighted_complexity(store: Store) -> None:
    trial = store.refresh().trials[2]
    assert trial.error is not None
    assert trial.complexity is not None
    assert search.objective(trial, 0.5) == pytest.approx(trial.error + 0.5 * trial.complexity)
    assert search.objective(trial, 0) == trial.error


def test_the_reference_is_trial_0_and_the_base_of_level_1(home: Path) -> None:
    store = make_store(home, "fresh")
    snapshot = store.refresh()
    assert snapshot.trials[0].source == "reference"
    assert search.base_trial(snapshot).number == 0
    assert search.design_left(snapshot) == 6
    assert search.standings(snapshot)[1].state == "current"
    assert search.standings(snapshot)[2].base is None
    assert search.best_measured(snapshot) is None


def test_the_initial_design_counts_down(store: Store) -> None:
    assert search.design_left(store.refresh()) == 2
    store.apply(decide.advance(store.refresh(), 2))
    assert search.design_left(store.refresh()) == 3


def test_accepting_queues_the_network_and_takes_the_wheel(store: Store, space: Space) -> None:
    store.apply(decide.autopilot(store.refresh(), trials=5))
    config = another(store, space)
    decision = store.apply(decide.accept(store.refresh(), space, config, None, reason="why not"))
    snapshot = store.refresh()
    trial = snapshot.trials[trial_of(decision)]
    assert (trial.state, trial.config, trial.source) == ("queued", config, "advisor")
    assert snapshot.session.autopilot is None
    assert snapshot.decisions[-1].reason == "why not"
    assert search.pending(snapshot) == [config]


def test_what_cannot_be_built_is_refused_with_every_problem(store: Store, space: Space) -> None:
    config = {**another(store, space), "learning_rate": 99.0, "lr_decay": 2}
    with pytest.raises(InvalidConfig, match=r"learning_rate = 99(?s:.*)lr_decay = 2"):
        decide.submit(store.refresh(), space, config, None, kind="edit")


def test_undo_takes_back_one_decision_after_another(store: Store, space: Space) -> None:
    config, other = another(store, space, 1), another(store, space, 2)
    first = store.apply(decide.accept(store.refresh(), space, config, None))
    store.apply(decide.reject(store.refresh(), other, None, "ugly"))
    store.apply(decide.set_wc(store.refresh(), 2.0))
    assert search.rejected(store.refresh()) == [other]
    store.apply(decide.undo(store.refresh()))
    assert store.refresh().session.wc == 0.1
    store.apply(decide.undo(store.refresh()))
    assert search.rejected(store.refresh()) == []
    store.apply(decide.undo(store.refresh()))
    assert store.refresh().trials[trial_of(first)].state == "cancelled"
    with pytest.raises(StoreError, match="Nothing to undo"):
        decide.undo(store.refresh())


def test_only_what_was_meant_is_undone_and_left(store: Store) -> None:
    seen = store.apply(decide.set_wc(store.refresh(), 2.0))
    assert decide.undo(store.refresh(), seen.number).decision.detail["undoes"] == seen.number
    store.apply(decide.set_wc(store.refresh(), 3.0))
    with pytest.raises(Late, match="Not undone"):
        decide.undo(store.refresh(), seen.number)
    store.apply(decide.advance(store.refresh(), 2, left=1))
    with pytest.raises(Late, match="level 1 was left already"):
        decide.advance(store.refresh(), 2, left=1)


def test_a_trial_that_started_is_not_undone(store: Store, space: Space) -> None:
    decision = store.apply(decide.accept(store.refresh(), space, another(store, space), None))
    seen = store.refresh()
    store.update_trial(trial_of(decision), {"queued"}, state="running", attempt=1)
    with pytest.raises(Late, match="is running already"):
        store.apply(decide.undo(seen))
    with pytest.raises(StoreError, match="stopped, not undone"):
        decide.undo(store.refresh())


def test_levels_go_forward_from_a_trial_and_open_again(store: Store, space: Space) -> None:
    store.apply(decide.advance(store.refresh(), 3))
    snapshot = store.refresh()
    assert snapshot.session.level == 2
    assert search.base_trial(snapshot).number == 3
    assert search.standings(snapshot)[1].state == "done"
    config = another(store, space)
    decision = store.apply(decide.accept(snapshot, space, config, None))
    finish(store, trial_of(decision), error=0.01, ratio=0.1)
    store.apply(decide.reopen(store.refresh(), 1, decision.trial))
    snapshot = store.refresh()
    assert snapshot.session.level == 1
    assert search.base_trial(snapshot).number == decision.trial
    store.apply(decide.undo(snapshot))
    assert store.refresh().session.level == 2
    assert search.base_trial(store.refresh()).number == 3


def test_the_present_level_goes_on_from_another_trial_and_back(store: Store) -> None:
    store.apply(decide.advance(store.refresh(), 3))
    with pytest.raises(Already, match="level 2 is open already, from trial 3"):
        decide.reopen(store.refresh(), 2, 3)
    store.apply(decide.reopen(store.refresh(), 2, 1))
    assert store.refresh().session.level == 2
    assert search.base_trial(store.refresh()).number == 1
    store.apply(decide.undo(store.refresh()))
    assert search.base_trial(store.refresh()).number == 3


def test_levels_end_and_begin_somewhere(store: Store) -> None:
    for number in (1, 2, 3):
        store.apply(decide.advance(store.refresh(), number))
    with pytest.raises(StoreError, match="level 4 is the last one"):
        decide.advance(store.refresh(), 1)
    with pytest.raises(StoreError, match="Use 1 to 4"):
        decide.reopen(store.refresh(), 5, None)
    with pytest.raises(StoreError, match="no such trial"):
        decide.reopen(store.refresh(), 1, 77)


def test_only_what_is_done_is_carried_forward(home: Path, store: Store, space: Space) -> None:
    fresh = make_store(home, "fresh")
    with pytest.raises(StoreError, match="No trial is done"):
        decide.advance(fresh.refresh(), None)
    with pytest.raises(StoreError, match="trial 0 is queued"):
        decide.advance(fresh.refresh(), 0)


def test_stopping_depends_on_what_the_trial_does(store: Store, space: Space) -> None:
    snapshot = store.refresh()
    decision = store.apply(decide.accept(snapshot, space, another(store, space), None))
    number = trial_of(decision)
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    store.apply(decide.stop(store.refresh(), number, "pause"))
    assert store.refresh().trials[number].stop_request == "pause"
    store.update_trial(number, {"running"}, state="paused")
    assert search.pending(store.refresh()) == []
    assert snapshot.trials[1].config not in search.excluded(store.refresh())
    store.apply(decide.resume(store.refresh(), number))
    assert search.waiting(store.refresh())[0].number == number
    with pytest.raises(Late, match="trial 1 is done already"):
        store.apply(decide.stop(store.refresh(), 1, "now"))


def test_what_was_interrupted_goes_first(store: Store, space: Space) -> None:
    first = store.apply(decide.accept(store.refresh(), space, another(store, space, 1), None))
    second = store.apply(decide.accept(store.refresh(), space, another(store, space, 2), None))
    assert search.waiting(store.refresh())[0].number == first.trial
    store.update_trial(trial_of(second), {"queued"}, state="interrupted")
    assert search.waiting(store.refresh())[0].number == second.trial


def test_the_autopilot_goes_trial_by_trial_and_level_by_level(store: Store, space: Space) -> None:
    store.apply(decide.autopilot(store.refresh(), trials=1, levels="all"))
    assert autopilot.step(store.refresh()).do == "think"
    ranked = made(flat=False)
    assert autopilot.step(store.refresh(), ranked).do == "propose"
    config = another(store, space)
    plan = decide.accept(store.refresh(), space, config, None, by="autopilot")
    number = trial_of(store.apply(plan))
    assert store.refresh().trials[number].source == "autopilot"
    assert autopilot.step(store.refresh(), ranked).do == "wait"
    finish(store, number)
    step = autopilot.step(store.refresh(), ranked)
    assert step.do == "advance"
    assert step.reason == "the budget of 1 for this level is used up"
    store.apply(decide.advance(store.refresh(), number, by="autopilot", reason=step.reason))
    pilot = store.refresh().session.autopilot
    assert pilot is not None
    assert pilot.accepted == 0
    assert store.refresh().decisions[-1].reason == step.reason
    assert autopilot.step(store.refresh(), ranked).do == "propose"
    store.apply(decide.takeover(store.refresh()))
    with pytest.raises(Late, match="off already"):
        decide.takeover(store.refresh())


def test_a_persons_decision_beats_the_autopilots(store: Store, space: Space) -> None:
    store.apply(decide.autopilot(store.refresh(), trials=2))
    seen = store.refresh()
    theirs = decide.accept(seen, space, another(store, space, 5), None, by="autopilot")
    store.apply(decide.reject(seen, another(store, space, 6), None))
    with pytest.raises(Late, match="autopilot of the session has changed"):
        store.apply(theirs)


@pytest.mark.parametrize("wc", [-1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(store: Store, wc: float) -> None:
    with pytest.raises(StoreError, match="w_c"):
        decide.set_wc(store.refresh(), wc)


def test_the_front_holds_what_nothing_beats(store: Store) -> None:
    snapshot = store.refresh()
    front = search.pareto(snapshot.trials)

    def figures(trial: Trial) -> tuple[float, float]:
        assert trial.error is not None
        assert trial.complexity is not None
        return trial.error, trial.complexity

    assert front == sorted(front, key=lambda t: figures(t)[1])
    for trial in snapshot.trials:
        error, complexity = figures(trial)
        beaten = any(
            figures(o)[0] <= error and figures(o)[1] <= complexity and o != trial
            for o in snapshot.trials
        )
        assert (trial in front) != beaten


def test_failures_teach_only_where_the_network_is_to_blame(store: Store, space: Space) -> None:
    config = another(store, space)
    number = trial_of(store.apply(decide.accept(store.refresh(), space, config, None)))
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    failure = Failure(kind="diverged", message="the loss is not finite")
    store.update_trial(number, {"running"}, state="failed", failure=failure)
    snapshot = store.refresh()
    assert search.failures(snapshot) == [config]
    assert snapshot.trials[number].failure == failure
    assert number not in [o.number for o in search.observations(snapshot)]


def test_undo_reaches_past_a_trial_that_started_only_to_the_decision_that_is_named(
    store: Store, space: Space
) -> None:
    older = store.apply(decide.reject(store.refresh(), another(store, space, 1), None))
    queued = store.apply(decide.accept(store.refresh(), space, another(store, space, 2), None))
    assert search.passed_over(store.refresh()) is None
    store.update_trial(trial_of(queued), {"queued"}, state="running", attempt=1)
    seen = store.refresh()
    undoable, passed_over = search.undoable(seen), search.passed_over(seen)
    assert undoable is not None
    assert undoable.kind == "reject"
    assert passed_over is not None
    assert passed_over.number == queued.trial
    with pytest.raises(StoreError, match=f"trial {queued.trial} has .*--decision {older.number}"):
        decide.undo(seen)
    with pytest.raises(Late, match=f"Not undone: trial {queued.trial} has started"):
        decide.undo(seen, queued.number)
    store.apply(decide.undo(seen, older.number))
    assert search.rejected(store.refresh()) == []


def test_what_the_autopilot_queued_is_not_in_the_way_of_taking_the_wheel(
    store: Store, space: Space
) -> None:
    store.apply(decide.autopilot(store.refresh(), trials=5))
    config = another(store, space)
    number = trial_of(
        store.apply(decide.accept(store.refresh(), space, config, None, by="autopilot"))
    )
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    store.apply(decide.undo(store.refresh()))
    assert store.refresh().session.autopilot is None


def test_a_level_with_trials_is_not_undone_but_an_empty_one_is(store: Store, space: Space) -> None:
    store.apply(decide.advance(store.refresh(), 1))
    number = trial_of(
        store.apply(decide.accept(store.refresh(), space, another(store, space), None))
    )
    finish(store, number)
    assert search.undoable(store.refresh()) is None
    store.apply(decide.advance(store.refresh(), 1))
    undoable = search.undoable(store.refresh())
    assert undoable is not None
    assert undoable.kind == "advance"
    store.apply(decide.undo(store.refresh()))
    assert store.refresh().session.level == 2


def test_levels_once_reached_stay_reachable(store: Store) -> None:
    for number in (1, 2):
        store.apply(decide.advance(store.refresh(), number))
    store.apply(decide.reopen(store.refresh(), 1, 1))
    assert [s.state for s in search.standings(store.refresh()).values()] == [
        "current",
        "done",
        "ahead",
        "ahead",
    ]
    store.apply(decide.reopen(store.refresh(), 3, 1))
    assert store.refresh().session.level == 3


def test_rejecting_takes_near_copies_out_of_the_ranking_and_undo_brings_them_back(
    store: Store, space: Space
) -> None:
    assert space.proposable is not None
    found = search.ranking(store.refresh(), space, count=40)
    chosen = next(p for p in found.proposals if p.origin == "model")
    near = [c for c in neighbours(space, chosen.config, 1) if space.proposable(c)]
    store.apply(decide.reject(store.refresh(), chosen.config, chosen.prediction))
    after = search.ranking(store.refresh(), space, count=40)
    assert chosen.id not in {p.id for p in after.proposals}
    assert isinstance(found.answers, Advisor)
    assert isinstance(after.answers, Advisor)
    keys = set(after.answers.pool.keys)
    copies = {space.key(c) for c in near} & set(found.answers.pool.keys)
    assert copies - keys
    store.apply(decide.undo(store.refresh()))
    again = search.ranking(store.refresh(), space, count=40)
    assert [p.id for p in again.proposals] == [p.id for p in found.proposals]


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan"), 1e12])
def test_minutes_that_are_none_are_refused(store: Store, minutes: float) -> None:
    with pytest.raises(StoreError, match="minutes"):
        decide.autopilot(store.refresh(), minutes=minutes)


# -- strategies, domains, favourite regions, one level ----------------------------------------


def test_a_change_of_strategy_is_a_decision_and_can_be_undone(store: Store, space: Space) -> None:
    store.apply(decide.set_strategy(store.refresh(), "evolution", "let us see"))
    snapshot = store.refresh()
    decision = snapshot.decisions[-1]
    assert snapshot.session.strategy == "evolution"
    assert (decision.kind, decision.reason) == ("strategy", "let us see")
    assert decision.detail == {"from": "gp", "to": "evolution"}
    ranked = search.ranking(snapshot, space, count=3)
    assert ranked.proposals
    assert all(p.prediction is None for p in ranked.proposals)
    assert (ranked.remaining, ranked.noise, ranked.flat) == (None, None, False)
    # nobody believes anything: the best is the best measured, and nothing stands beside it
    best = search.best_measured(snapshot)
    assert best is not None
    assert search.recommended(snapshot, ranked) == search.Recommendation(best, None)
    # and what is proposed can be trained all the same
    config, prediction = ranked.proposals[0].config, ranked.proposals[0].prediction
    number = trial_of(store.apply(decide.accept(snapshot, space, config, prediction)))
    store.apply(decide.undo(store.refresh()))
    assert store.refresh().trials[number].state == "cancelled"
    store.apply(decide.undo(store.refresh()))
    assert store.refresh().session.strategy == "gp"
    with pytest.raises(Misuse, match="strategy luck: unknown"):
        decide.set_strategy(store.refresh(), "luck")


def test_looking_at_another_strategy_is_what_setting_it_would_give(
    store: Store, space: Space
) -> None:
    seen = store.refresh()
    looked = search.ranking(search.look(seen, strategy="random"), space, count=5)
    assert store.refresh() is seen
    store.apply(decide.set_strategy(seen, "random"))
    set_ = search.ranking(store.refresh(), space, count=5)
    assert [p.id for p in looked.proposals] == [p.id for p in set_.proposals]


def test_narrower_domains_are_looked_at_then_set_then_undone(home: Path) -> None:
    store = filled_store(home, 4, measure="macs", strategy="random", trials_per_level=2)
    seen = store.refresh()
    outside = [t for t in seen.trials if t.config["conv_layers"] > 3]
    assert outside
    looked = search.look(seen, domains={"conv_layers": "2..3", "channels": " 8..32 "})
    space = session_space(looked.session)
    found = search.ranking(looked, space, count=6)
    assert {p.config["conv_layers"] for p in found.proposals} <= {2, 3}
    assert max(c for p in found.proposals for c in p.config["channels"]) <= 32
    assert store.refresh() is seen

    store.apply(decide.set_domains(seen, {"conv_layers": "2..3", "channels": " 8..32 "}))
    snapshot = store.refresh()
    assert snapshot.session.domains == {"conv_layers": "2..3", "channels": "8..32"}
    again = search.ranking(snapshot, session_space(snapshot.session), count=6)
    assert [p.id for p in again.proposals] == [p.id for p in found.proposals]
    # what was trained outside still teaches
    assert {t.number for t in outside} <= {o.number for o in search.observations(snapshot)}

    store.apply(decide.set_domains(snapshot, {"channels": "default"}))
    assert store.refresh().session.domains == {"conv_layers": "2..3"}
    for domains in ({"conv_layers": "2..3", "channels": "8..32"}, {}):
        store.apply(decide.undo(store.refresh()))
        assert store.refresh().session.domains == domains


def test_the_model_learns_from_observations_outside_the_domains(home: Path) -> None:
    store = filled_store(home, 4, measure="macs", trials_per_level=2)
    seen = store.refresh()
    looked = search.look(seen, domains={"conv_layers": "2..3", "kernel": "5"})
    found = search.ranking(looked, session_space(looked.session), count=3)
    assert {p.config["conv_layers"] for p in found.proposals} <= {2, 3}
    for trial in seen.trials:
        mean, std = found.posterior(trial.number)
        assert 0 < mean < 2
        assert std > 0


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ({"conv_layers": "6..2"}, "reversed"),
        ({"convs": "2"}, "no parameter"),
        ({"convs": "default"}, "no parameter"),
        ({"kernel": "4"}, "not possible"),
        ({"kernel": ""}, "empty"),
    ],
)
def test_domains_that_cannot_be_searched_are_refused(
    store: Store, domains: dict[str, str], message: str
) -> None:
    for refuse in (
        lambda: decide.set_domains(store.refresh(), domains),
        lambda: search.look(store.refresh(), domains=domains),
    ):
        with pytest.raises(Misuse, match=message):
            refuse()


def test_two_who_set_domains_at_once_do_not_lose_each_others(store: Store) -> None:
    seen = store.refresh()
    store.apply(decide.set_domains(seen, {"conv_layers": "2..4"}))
    with pytest.raises(Late, match="domains of the session has changed"):
        store.apply(decide.set_domains(seen, {"kernel": "3"}))


def test_a_favourite_region_is_marked_replaced_cleared_and_undone(store: Store) -> None:
    with pytest.raises(StoreError, match="nothing to clear"):
        decide.favour(store.refresh(), {})
    with pytest.raises(Misuse, match="not possible"):
        decide.favour(store.refresh(), {"kernel": "4"})
    store.apply(decide.favour(store.refresh(), {"conv_layers": "2..3"}, "small is beautiful"))
    store.apply(decide.favour(store.refresh(), {"kernel": " 1,3 "}))
    assert store.refresh().session.favourite == {"kernel": "1,3"}
    store.apply(decide.favour(store.refresh(), {}))
    assert store.refresh().session.favourite == {}
    for region in ({"kernel": "1,3"}, {"conv_layers": "2..3"}, {}):
        store.apply(decide.undo(store.refresh()))
        assert store.refresh().session.favourite == region


def test_a_domain_that_the_favourite_region_does_not_fit_is_refused(store: Store) -> None:
    store.apply(decide.favour(store.refresh(), {"weight_decay": "0,1e-5..1e-4"}))
    with pytest.raises(Misuse, match="favourite region does not fit"):
        decide.set_domains(store.refresh(), {"weight_decay": "1e-5..1e-2"})


def test_the_favourite_region_weighs_on_the_ranking_and_fades(home: Path) -> None:
    store = filled_store(home, 1, measure="macs", trials_per_level=2)

    def inside() -> int:
        snapshot = store.refresh()
        ranked = search.ranking(snapshot, session_space(snapshot.session), count=10)
        return sum(p.config["conv_layers"] == 5 for p in ranked.proposals)

    before = inside()
    assert before < 10
    store.apply(decide.favour(store.refresh(), {"conv_layers": "5"}))
    assert inside() > before
    # the weight of three in the exponent is shared out over the trials
    assert search.favour_strength(store.refresh()) == pytest.approx(3 / 2)
    snapshot = search.look(store.refresh(), strategy="annealing")
    assert search.favour_strength(snapshot) is None


def test_what_the_level_does_not_search_is_told(store: Store) -> None:
    session = store.refresh().session
    assert search.idle_parameters(session, ["kernel", "conv_layers"]) == ["kernel"]
    flat = session.model_copy(update={"flat": True})
    assert search.idle_parameters(flat, ["kernel", "conv_layers"]) == []


def test_a_flat_session_searches_all_parameters_in_one_level(home: Path) -> None:
    store = make_store(home, "whole", flat=True, strategy="random")
    finish(store, 0)
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    (level,) = search.standings(snapshot).values()
    assert (level.level, level.name, level.state) == (1, "all", "current")
    assert search.design_left(snapshot) == 6
    ranked = search.ranking(snapshot, space, count=12)
    for name in ("conv_layers", "batch_norm", "classifier_layers", "learning_rate"):
        assert len({str(p.config[name]) for p in ranked.proposals}) > 1
    with pytest.raises(StoreError, match="all parameters at once"):
        decide.advance(snapshot, 0)
    with pytest.raises(StoreError, match="all parameters at once"):
        decide.reopen(snapshot, 1, 0)
    # an autopilot over all levels ends with the only one
    store.apply(decide.autopilot(snapshot, trials=1, levels="all"))
    assert autopilot.step(store.refresh(), ranked).do == "propose"
    best = ranked.proposals[0]
    plan = decide.accept(store.refresh(), space, best.config, None, by="autopilot")
    number = trial_of(store.apply(plan))
    assert schedule.seconds_left(store.refresh()) == pytest.approx(3 * 0.5)
    finish(store, number)
    assert store.refresh().trials[number].level == 1
    assert autopilot.step(store.refresh()).do == "finish"


def made(**fields: Any) -> Ranking:
    """A ranking made of figures alone."""
    values: dict[str, Any] = {
        "proposals": ("a candidate",), "candidates": 1, "seconds": 0.0, "incumbent": 0.1,
        "incumbent_number": 1, "level": 1, "wc": 0.1, "exhausted": False, "advice": "stay",
        "relevance": (), "remaining": 0.002, "noise": 0.003, "flat": True,
    }  # fmt: skip
    return Ranking(**{**values, **fields})


def test_until_flat_leaves_a_level_as_soon_as_the_ranking_says_so(store: Store) -> None:
    store.apply(decide.autopilot(store.refresh(), trials=9, levels="all", until_flat=True))
    assert autopilot.step(store.refresh(), made(flat=False)).do == "propose"
    step = autopilot.step(store.refresh(), made())
    assert step.do == "advance"
    assert step.reason == "at most 0.002 can be gained here, and the noise is 0.003"
    store.apply(decide.takeover(store.refresh()))
    store.apply(decide.autopilot(store.refresh(), trials=9, until_flat=True))
    assert autopilot.step(store.refresh(), made()).do == "finish"


def test_without_until_flat_the_trials_decide(store: Store) -> None:
    store.apply(decide.autopilot(store.refresh(), trials=9, levels="all"))
    assert autopilot.step(store.refresh(), made()).do == "propose"
    step = autopilot.step(store.refresh(), made(proposals=(), advice="nothing is left"))
    assert (step.do, step.reason) == ("advance", "nothing is left")


def test_the_initial_design_is_never_flat(home: Path) -> None:
    store = filled_store(home, 2, measure="macs")
    store.apply(decide.autopilot(store.refresh(), levels="all", until_flat=True))
    snapshot = store.refresh()
    assert search.design_left(snapshot) > 0
    ranked = search.ranking(snapshot, session_space(snapshot.session), count=1)
    assert not ranked.flat
    assert autopilot.step(snapshot, ranked).do == "propose"


def test_until_flat_is_refused_where_nothing_could_say_so(store: Store) -> None:
    store.apply(decide.set_strategy(store.refresh(), "annealing"))
    with pytest.raises(Misuse, match="annealing has no model"):
        decide.autopilot(store.refresh(), until_flat=True)


def test_the_autopilot_says_why_it_gives_the_wheel_back(store: Store) -> None:
    store.apply(decide.autopilot(store.refresh(), trials=9))
    seen = store.refresh()
    store.apply(decide.hand_back(seen, "enough"))
    decision = store.refresh().decisions[-1]
    assert (decision.kind, decision.by, decision.reason) == ("takeover", "autopilot", "enough")
    assert store.refresh().session.autopilot is None
    with pytest.raises(Late):
        store.apply(decide.hand_back(seen, "too late"))


def test_annealing_ranks_by_the_seed_of_the_session_alone(home: Path) -> None:
    """The same after a restart, and what is accepted is another session's own."""
    ranked: list[tuple[str, ...]] = []
    for seed in (0, 0, 1, 2):
        store = filled_store(home, 12, name=f"n{len(ranked)}", seed=seed)
        store.apply(decide.set_strategy(store.refresh(), "annealing"))
        once = search.ranking(store.refresh(), session_space(store.refresh().session))
        again = Store(store.folder).refresh()
        twice = search.ranking(again, session_space(again.session))
        assert [p.id for p in once.proposals] == [p.id for p in twice.proposals]
        ranked.append(tuple(p.id for p in once.proposals))
    assert ranked[0] == ranked[1]
    assert len(set(ranked)) == 3
