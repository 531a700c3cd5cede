"""Where a person trained another network than the advisor's first candidate: kept, and judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lcsearch.engine import search
from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.engine.client import imports as archive
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search import decide
from lcsearch.engine.search.scorecard import overrides
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions import exchange
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import Advised, Decision
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app
from lcsearch.tui.sharing.page import page

from .consoles import console, press, ranking_of, text_of, until
from .fakes import FakeClient, make_snapshot
from .sessions_for_tests import filled_store, finish, trial_of


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    store = filled_store(home, 4)
    yield store
    store.close()


@pytest.fixture
def space(store: Store) -> Space:
    return session_space(store.refresh().session)


RANKED: dict[str, Ranking] = {}


def ranked(store: Store, space: Space) -> Ranking:
    """The ranking of this session, made once for all tests whose sessions are the same so far."""
    snapshot = store.refresh()
    key = repr((
        [(t.config, t.state, t.error, t.complexity) for t in snapshot.trials],
        [(d.kind, d.config) for d in snapshot.decisions],
        snapshot.session.model_dump(exclude={"created"}),
    ))  # fmt: skip
    if key not in RANKED:
        RANKED[key] = search.ranking(snapshot, space)
    return RANKED[key]


def queue(
    store: Store,
    space: Space,
    place: int,
    error: float,
    ratio: float = 1.0,
    ranking: Ranking | None = None,
) -> Decision:
    """Train the candidate of this place (0 the first) instead of the first, with this result."""
    ranking = ranking or ranked(store, space)
    chosen = ranking.proposals[place]
    plan = decide.accept(
        store.refresh(), space, chosen.config, chosen.prediction, advised=ranking.advised
    )
    decision = store.apply(plan)
    finish(store, trial_of(decision), error, ratio)
    return decision


def test_who_follows_the_advisor_overrides_nothing(store: Store, space: Space) -> None:
    assert queue(store, space, 0, 0.1).advised is None
    assert overrides(store.refresh()) == []


def test_a_pick_is_held_against_what_was_predicted_of_the_first_candidate(
    store: Store, space: Space
) -> None:
    ranking = ranked(store, space)
    good = queue(store, space, 1, 0.0001, 0.01)
    bad = queue(store, space, 1, 0.9, 9.0)
    snapshot = store.refresh()
    assert good.advised == ranking.advised
    first, second = overrides(snapshot)
    assert (first.trial.number, second.trial.number) == (good.trial, bad.trial)
    assert first.f == pytest.approx(0.0001 + 0.1 * 0.01)
    predicted = ranking.proposals[0].prediction
    assert predicted is not None
    assert first.against == predicted.mean
    assert first.measured is None
    assert first.right
    assert not second.right


def test_once_the_candidate_is_trained_too_the_measurements_decide(
    store: Store, space: Space
) -> None:
    ranking = ranked(store, space)
    mine = queue(store, space, 1, 0.1, 1.0, ranking)
    theirs = ranking.proposals[0]
    decision = store.apply(decide.accept(store.refresh(), space, theirs.config, theirs.prediction))
    finish(store, trial_of(decision), 0.05, 1.0)
    (override,) = overrides(store.refresh())
    assert override.measured == decision.trial
    assert override.against == pytest.approx(0.15)
    assert not override.right
    again = store.apply(decide.repeat(store.refresh(), space, trial_of(decision)))
    finish(store, trial_of(again), 0.25, 1.0)
    (override,) = overrides(store.refresh())
    assert override.trial.number == mine.trial
    assert override.against == pytest.approx(0.25)  # the mean of both trainings
    assert override.right


def test_a_later_change_of_wc_makes_nobody_wrong(store: Store, space: Space) -> None:
    queue(store, space, 1, 0.1)
    before = overrides(store.refresh())
    store.apply(decide.set_wc(store.refresh(), 5.0))
    assert overrides(store.refresh()) == before


def test_a_candidate_that_was_taken_or_rejected_meanwhile_was_not_overridden(
    store: Store, space: Space
) -> None:
    ranking = ranked(store, space)
    queue(store, space, 0, 0.1, ranking=ranking)
    assert queue(store, space, 1, 0.1, ranking=ranking).advised is None
    ranking = ranked(store, space)
    first = ranking.proposals[0]
    store.apply(decide.reject(store.refresh(), first.config, first.prediction))
    assert queue(store, space, 1, 0.1, ranking=ranking).advised is None


def test_own_networks_and_withdrawn_ones(store: Store, space: Space) -> None:
    ranking = ranked(store, space)
    config = space.sample(np.random.default_rng(5), 1, search.base_trial(store.refresh()).config)
    plan = decide.submit(store.refresh(), space, config, None, kind="new", advised=ranking.advised)
    assert store.apply(plan).advised == ranking.advised
    assert overrides(store.refresh()) == []  # it waits still
    store.apply(decide.undo(store.refresh()))
    assert overrides(store.refresh()) == []


def test_before_anything_is_measured_nothing_is_kept(home: Path) -> None:
    store = filled_store(home, 0, strategy="random")
    space = session_space(store.refresh().session)
    assert ranked(store, space).advised is None


def document(store: Store, space: Space) -> exchange.Document:
    return archive.document(store.refresh(), space, None)


def test_it_is_exported_imported_and_shown_on_the_page(
    store: Store, space: Space, home: Path, tmp_path: Path
) -> None:
    queue(store, space, 1, 0.0001)
    exchange.write(tmp_path / "s.json", document(store, space))
    folder = archive.bring_back(home, tmp_path / "s.json", "again")
    client = SessionClient(folder)
    snapshot = client.refresh()
    assert overrides(snapshot) == overrides(store.refresh())
    (told,) = [score for score in page(snapshot, space, None).scores if "candidate" in score]
    assert "in 1 of 1" in told
    client.close()


def test_a_session_of_before_has_nothing_kept_and_loads(
    store: Store, space: Space, tmp_path: Path
) -> None:
    queue(store, space, 1, 0.05)
    exchange.write(tmp_path / "s.json", document(store, space))
    plain = json.loads((tmp_path / "s.json").read_text())
    plain["decisions"][-1]["detail"] = {}
    (tmp_path / "s.json").write_text(json.dumps(plain))
    snapshot = archive.contents(exchange.read(tmp_path / "s.json"), tmp_path / "s.json")
    assert overrides(snapshot) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.update(id="0" * len(a["id"])), "the key of this network is"),
        (lambda a: a["config"].update(conv_layers=99), "conv_layers"),
        (lambda a: a["prediction"].update(std=-1.0), "standard deviation below 0"),
        (lambda a: a.pop("prediction"), "detail.advised"),
    ],
)
def test_a_candidate_that_cannot_be_is_refused(
    store: Store,
    space: Space,
    tmp_path: Path,
    spoil: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    queue(store, space, 1, 0.05)
    file = tmp_path / "s.json"
    exchange.write(file, document(store, space))
    plain = json.loads(file.read_text())
    spoil(plain["decisions"][-1]["detail"]["advised"])
    file.write_text(json.dumps(plain))
    with pytest.raises(StoreError, match=words):
        archive.contents(exchange.read(file), file)


def test_the_commands_keep_it(store: Store, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionClient, "start_engine", lambda self: None)
    done = CliRunner().invoke(app, ["accept", "demo", "--rank", "2"])
    assert done.exit_code == 0, done.stderr
    decision = store.refresh().decisions[-1]
    assert decision.advised is not None
    assert decision.advised.config != decision.config
    assert CliRunner().invoke(app, ["accept", "demo", "--rank", "1"]).exit_code == 0
    assert store.refresh().decisions[-1].advised is None


async def test_the_console_hands_on_what_was_first() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        first = ranking_of(pilot).advised
        await press(pilot, "j", "a")
        await until(pilot, lambda: len(client.advised) == 1)
        await press(pilot, "n")
        await press(pilot, "up", "enter")
        await until(pilot, lambda: len(client.advised) == 2)
    assert isinstance(first, Advised)
    assert client.advised[0] == first
    assert client.advised[1] is not None


async def test_trust_says_who_was_right(store: Store, space: Space) -> None:
    for error in (0.0001, 0.9):
        queue(store, space, 1, error)
    async with console(FakeClient(store.refresh())) as pilot:
        await press(pilot, "5")
        told = text_of(pilot, "#scores")
        assert "you were right 1 of 2" in told
        judged = [line.split()[:2] for line in told.splitlines() if line[:1] in "✓✗"]
        assert judged[-2:] == [["✗", "6"], ["✓", "5"]]
        assert "predicted" in told
