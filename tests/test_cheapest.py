"""w_c without end: the cost alone counts, among what is good enough."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcsearch.engine.advisor.bounds import Bounds
from lcsearch.engine.advisor.rank import rank
from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.model.belief import Belief, Quantity, quantity
from lcsearch.engine.objective import objective
from lcsearch.engine.search.standing import best_measured
from lcsearch.sessions.choices import COST_ALONE
from lcsearch.tui.screens.setup import SetupScreen
from lcsearch.tui.widgets.fields import Cycle
from lcsearch.tui.widgets.slider import STOPS, Slider

from .conftest import lcsearch
from .consoles import console, press, snapshot_of, until
from .fakes import FakeClient, FakeHome, make_snapshot
from .sessions_for_tests import filled_store, finish, trial_of
from .test_advisor import SPACE, TWENTY

GOOD = 0.2


def test_f_is_the_cost() -> None:
    assert objective(0.3, 0.7, COST_ALONE) == 0.7
    assert objective(np.array([0.3]), np.array([0.7]), COST_ALONE).tolist() == [0.7]


def test_the_improvement_is_that_of_the_cost_where_the_accuracy_is_kept() -> None:
    rng = np.random.default_rng(0)
    n = 6
    error = quantity(True, rng.uniform(-2.5, -1, n), rng.uniform(0.05, 0.5, n), np.full(n, 0.01))
    cost = quantity(True, rng.uniform(-1, 0.5, n), rng.uniform(0.05, 0.5, n), np.full(n, 0.01))
    belief = Belief(error, cost)
    found = belief.improvement(COST_ALONE, 0.8, GOOD, math.inf)
    e, c = drawn(error, 1), drawn(cost, 2)
    wanted = (np.maximum(0.8 - c, 0) * (e <= GOOD)).mean(axis=1)
    np.testing.assert_allclose(found.ei, wanted, rtol=0.03, atol=2e-4)
    np.testing.assert_allclose(found.exploit + found.explore, found.ei)
    mean, std, _ = belief.objective(COST_ALONE)
    np.testing.assert_array_equal(mean, cost.mean)
    np.testing.assert_array_equal(std, cost.std)


def drawn(what: Quantity, seed: int) -> np.ndarray:
    normal = np.random.default_rng(seed).standard_normal((len(what.mean), 400_000))
    found: np.ndarray = np.exp(
        what.transformed_mean[:, None] + what.transformed_std[:, None] * normal
    )
    return found


def test_the_best_is_the_cheapest_that_is_good_enough() -> None:
    errors = sorted(o.error for o in TWENTY)
    most = errors[len(errors) // 2]
    ranking = rank(
        SPACE, TWENTY, 0, SPACE.defaults() if SPACE.reference is None else SPACE.reference,
        COST_ALONE, bounds=Bounds(error=most),
    )  # fmt: skip
    assert ranking.incumbent is not None
    number = ranking.incumbent_number
    best = next(o for o in TWENTY if o.number == number)
    assert best.error <= most * 1.5
    kept = [o for o in TWENTY if o.error <= most]
    assert best.complexity <= np.median([o.complexity for o in kept])
    for proposal in ranking.proposals[:5]:
        assert proposal.prediction is not None
        assert proposal.prediction.mean == proposal.prediction.complexity
        assert math.isfinite(proposal.prediction.log_ei)


@pytest.fixture
def client(home: Path, monkeypatch: pytest.MonkeyPatch) -> SessionClient:
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)
    filled_store(home, 6).close()
    return SessionClient(home / "sessions" / "demo")


def test_it_wants_a_limit_on_the_accuracy_and_is_undone(client: SessionClient) -> None:
    said = lcsearch("set", "demo", "--wc", "inf", code=2)[1]
    assert "Set a limit first, such as accuracy>=90, or keep the one there is." in said
    lcsearch("set", "demo", "--limit", "accuracy>=80", "--wc", "inf")
    snapshot = client.refresh()
    assert snapshot.session.wc == COST_ALONE
    best = best_measured(snapshot)
    assert best is not None
    enough = [t.complexity for t in snapshot.trials if t.error is not None and t.error <= 0.2]
    assert best.complexity == min(c for c in enough if c is not None)
    said = lcsearch("set", "demo", "--no-limit", "accuracy", code=2)[1]
    assert "nothing says how good it must be" in said
    assert "w_c inf" in lcsearch("show", "demo")[0]
    lcsearch("undo", "demo")
    assert client.refresh().session.wc == 0.1
    lcsearch("set", "demo", "--wc", "inf")
    lcsearch("set", "demo", "--wc", "0.3", "--no-limit", "accuracy")
    assert (client.refresh().session.wc, client.refresh().session.limits) == (0.3, {})


def test_it_is_kept_exported_and_proposed_under(
    client: SessionClient, home: Path, tmp_path: Path
) -> None:
    lcsearch("set", "demo", "--limit", "accuracy>=80")
    client.set_wc(COST_ALONE)
    number = trial_of(client.accept(client.rank(client.refresh()).proposals[0]))
    finish(client._store, number, 0.15, 0.5)
    told = json.loads(lcsearch("propose", "demo", "-n", "2", "--json")[0])
    assert told["wc"] == told["proposals"][0]["prediction"]["wc"] == "inf"
    client.export(tmp_path / "demo.json")
    assert json.loads((tmp_path / "demo.json").read_text())["session"]["w_c"] == "inf"
    again = SessionClient(bring_back(home, tmp_path / "demo.json", "again"))
    trial = again.refresh().trials[number]
    assert again.refresh().session.wc == COST_ALONE
    assert trial.prediction is not None
    assert trial.prediction.wc == COST_ALONE
    again.close()


def test_the_slider_ends_with_it() -> None:
    slider = Slider(2.0)
    places = []
    for value in (*STOPS, 50.0):
        slider.set_reactive(Slider.value, value)
        places.append(slider._share())
    *stops, between = places
    assert stops == sorted(stops)
    assert (stops[0], stops[-1]) == (0.0, 1.0)
    assert stops[-2] < between < 1.0


async def test_every_screen_shows_a_search_for_the_cheapest() -> None:
    snapshot = make_snapshot()
    update = {"wc": COST_ALONE, "limits": {"accuracy": 0.8}}
    snapshot = replace(snapshot, session=snapshot.session.model_copy(update=update))
    async with console(FakeClient(snapshot)) as pilot:
        for key in "123456":
            await press(pilot, key)
        await press(pilot, "w")
        await press(pilot, "left", "enter")
        await until(pilot, lambda: snapshot_of(pilot).session.wc == STOPS[-2])


async def test_the_set_up_has_it_as_a_goal() -> None:
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        goal = pilot.app.screen.query_one("#goal", Cycle)
        goal.focus()
        await press(pilot, "space", "space")
        assert goal.value == "cheapest above an accuracy"
        await press(pilot, "enter")
        await until(pilot, lambda: bool(sessions.created))
    assert sessions.created[0].wc == COST_ALONE
