"""The engine on the autopilot: when it goes on or ends, and why; how many it queues at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lcsearch.engine import search, service
from lcsearch.engine.advisor.ranking import Proposal, Ranking
from lcsearch.engine.executors import local
from lcsearch.engine.search import autopilot, decide
from lcsearch.engine.search.schedule import flight_seconds
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.errors import Late
from lcsearch.sessions.records import Execution, Trial
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.sessions.store import Store

from .sessions_for_tests import filled_store, finish

Rank = Callable[[Snapshot, Space], Ranking]


class Idle:
    """An executor that trains nothing: the tests let trials end themselves."""

    def __init__(self, *given: object) -> None:
        self.running: list[tuple[int, int]] = []

    def close(self) -> None:
        pass


@pytest.fixture
def store(home: Path) -> Store:
    return filled_store(home, 2, measure="macs")


@pytest.fixture
def engine(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[service.Service]:
    """An engine whose rankings say what `said` gives for a snapshot."""
    monkeypatch.setattr(local, "LocalExecutor", Idle)
    made = service.Service(store, 60.0)
    yield made
    made._thinker.shutdown()
    made._log.close()


class Told(Ranking):
    """A ranking made of figures alone, whose incumbent is the best of all levels."""

    def best(self, wc: float) -> tuple[int, float, float]:
        assert self.incumbent_number is not None
        assert self.incumbent is not None
        return self.incumbent_number, self.incumbent, 0.0


def ranking_of(flat: Callable[[Snapshot], bool]) -> Rank:
    """A function as `search.ranking`, that finds a level flat where `flat(snapshot)` says so."""

    def rank(snapshot: Snapshot, space: Space) -> Ranking:
        import numpy as np

        base = search.base_trial(snapshot).config
        seed = len(snapshot.trials)
        config = space.sample(np.random.default_rng(seed), snapshot.session.level, base)
        known = space.known(config)
        proposal = Proposal(space.key(config), config, None, "model", 1.0, known, None)
        is_flat = flat(snapshot)
        return Told(
            (proposal,), 1, 0.0, 0.1, 1, snapshot.session.level, 0.1, False, "", (),
            0.002 if is_flat else 0.2, 0.003, is_flat,
        )  # fmt: skip

    return rank


def fly(engine: service.Service, store: Store, turns: int = 200) -> Snapshot:
    """Let the autopilot act until it has given the wheel back; every trial ends at once."""
    for _ in range(turns):
        snapshot = store.refresh()
        if snapshot.session.autopilot is None:
            return snapshot
        engine._steer(snapshot)
        if engine._thought is not None:
            engine._thought[1].result()  # a ranking is made in a thread
        for trial in store.refresh().trials:
            if trial.state == "queued":
                finish(store, trial.number)
    pytest.fail("the autopilot does not end")


def turns(snapshot: Snapshot) -> list[tuple[str, int, str]]:
    """The decisions by which the autopilot left a level or the wheel."""
    return [
        (d.kind, d.level, d.reason)
        for d in snapshot.decisions
        if d.by == "autopilot" and d.kind != "accept"
    ]


FLAT = "at most 0.002 can be gained here, and the noise is 0.003"


def test_until_flat_goes_through_the_levels_and_stops_at_the_last(
    engine: service.Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flat(snapshot: Snapshot) -> bool:
        # two trials more in every level, then there is nothing left to gain
        return len(search.level_trials(snapshot, snapshot.session.level)) >= 2 + (
            2 if snapshot.session.level == 1 else 0
        )

    monkeypatch.setattr(search, "ranking", ranking_of(flat))
    store.apply(decide.autopilot(store.refresh(), trials=9, levels="all", until_flat=True))
    snapshot = fly(engine, store)
    assert turns(snapshot) == [
        ("advance", 1, FLAT),
        ("advance", 2, FLAT),
        ("advance", 3, FLAT),
        ("takeover", 4, FLAT),
    ]
    for level in (1, 2, 3, 4):
        accepted = [t for t in snapshot.trials if t.level == level and t.source == "autopilot"]
        assert len(accepted) == 2
    assert FLAT in store.refresh().engine.message


def test_round_ends_in_the_first_level_from_the_best_network(
    engine: service.Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "ranking", ranking_of(lambda s: False))
    store.apply(decide.autopilot(store.refresh(), trials=1, levels="round"))
    assert autopilot.levels_ahead(store.refresh()) == 4
    snapshot = fly(engine, store)
    spent = "the budget of 1 for this level is used up"
    assert turns(snapshot) == [
        ("advance", 1, spent),
        ("advance", 2, spent),
        ("advance", 3, spent),
        ("reopen", 4, spent),
    ]
    assert [t.level for t in snapshot.trials if t.source == "autopilot"] == [1, 2, 3, 4, 1]
    # the next flight is a new one
    one = flight_seconds(snapshot, trials=1, minutes=None)
    whole = flight_seconds(snapshot, trials=1, minutes=None, levels="round")
    assert one is not None
    assert whole == pytest.approx(5 * one)
    store.apply(decide.autopilot(snapshot, trials=1, levels="round"))
    assert autopilot.levels_ahead(store.refresh()) == 4
    assert [s.state for s in search.standings(snapshot).values()] == ["current", *["done"] * 3]
    again = snapshot.trials[-1].config
    assert again["batch_size"] == snapshot.trials[snapshot.session.bases[1]].config["batch_size"]


def test_one_level_has_no_round(
    engine: service.Service, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled_store(home, 1, name="flat", flat=True)
    store.apply(decide.autopilot(store.refresh(), trials=2, levels="round"))
    assert autopilot.levels_ahead(store.refresh()) == 0
    store.close()


def test_a_level_that_never_is_flat_is_left_when_its_trials_are_used_up(
    engine: service.Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "ranking", ranking_of(lambda s: s.session.level > 1))
    store.apply(decide.autopilot(store.refresh(), trials=3, levels="all", until_flat=True))
    snapshot = fly(engine, store)
    assert turns(snapshot)[0] == ("advance", 1, "the budget of 3 for this level is used up")
    assert [t.level for t in snapshot.trials if t.source == "autopilot"] == [1, 1, 1]


def test_domains_and_strategy_that_a_person_changes_reach_the_engine(
    engine: service.Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def rank(snapshot: Snapshot, space: Space) -> Ranking:
        seen.append((snapshot.session.strategy, space["conv_layers"].domain.text()))
        return ranking_of(lambda s: True)(snapshot, space)

    monkeypatch.setattr(search, "ranking", rank)
    store.apply(decide.set_domains(store.refresh(), {"conv_layers": "2..3"}))
    store.apply(decide.autopilot(store.refresh(), trials=1))
    store.apply(decide.set_strategy(store.refresh(), "random"))
    snapshot = fly(engine, store)
    assert set(seen) == {("random", "2..3")}
    assert session_space(snapshot.session)["conv_layers"].domain.text() == "2..3"
    assert snapshot.trials[-1].source == "autopilot"
    assert snapshot.trials[-1].prediction is None


# -- several at once ------------------------------------------------------------------------------


def think(engine: service.Service, store: Store) -> None:
    """Let the autopilot think, and act on what it thought."""
    engine._steer(store.refresh())
    if engine._thought is not None:
        engine._thought[1].result()
        engine._steer(store.refresh())


def by_autopilot(store: Store) -> list[Trial]:
    return [t for t in store.refresh().trials if t.source == "autopilot"]


def test_every_slot_that_is_free_is_filled_from_one_ranking(
    engine: service.Service, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Ranking] = []

    def rank(snapshot: Snapshot, space: Space, inner: Rank = search.ranking) -> Ranking:
        made.append(inner(snapshot, space))
        return made[-1]

    monkeypatch.setattr(search, "ranking", rank)
    store.set_session({}, execution=Execution(executor="ray", parallel=3))
    store.apply(decide.autopilot(store.refresh(), trials=4))
    think(engine, store)
    assert len(made) == 1
    first = by_autopilot(store)
    assert [t.state for t in first] == ["queued"] * 3
    assert [t.key for t in first] == [p.id for p in made[0].together(3)]
    flight = store.refresh().session.autopilot
    assert flight is not None
    assert flight.accepted == 3
    think(engine, store)
    assert len(made) == 1  # every slot is taken: it waits
    for trial in first[:2]:
        finish(store, trial.number)
    think(engine, store)
    # two slots are free, and the budget has one left
    assert len(made) == 2
    assert len({t.key for t in by_autopilot(store)}) == 4
    think(engine, store)
    assert len(by_autopilot(store)) == 4
    for trial in by_autopilot(store)[2:]:
        finish(store, trial.number)
    engine._steer(store.refresh())
    assert store.refresh().session.autopilot is None


def test_a_person_who_decides_between_two_of_them_has_the_wheel(store: Store) -> None:
    store.set_session({}, execution=Execution(executor="ray", parallel=3))
    store.apply(decide.autopilot(store.refresh(), trials=4))
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    chosen = autopilot.together(snapshot, search.ranking(snapshot, space))
    first, *rest = autopilot.accept_together(snapshot, space, chosen)
    store.apply(first)
    store.apply(decide.takeover(store.refresh()))
    assert len(rest) == 2
    for plan in rest:
        with pytest.raises(Late, match="autopilot of the session has changed"):
            store.apply(plan)
    assert len(by_autopilot(store)) == 1
