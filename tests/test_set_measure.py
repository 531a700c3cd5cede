"""What complexity is of can be changed at any time: nothing is trained again, nobody made wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search.scorecard import outcomes
from lcsearch.engine.search.standing import predicted_now
from lcsearch.engine.tasks.task import open_store, session_space
from lcsearch.sessions.records import Prediction
from lcsearch.tui.filters import parse

from .conftest import lcsearch
from .sessions_for_tests import filled_store, finish, trial_of


@pytest.fixture
def client(home: Path, monkeypatch: pytest.MonkeyPatch) -> SessionClient:
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)
    filled_store(home, trials=5).close()
    return SessionClient(home / "sessions" / "demo")


def told(client: SessionClient) -> list[float | None]:
    return [trial.complexity for trial in client.refresh().trials]


def test_complexity_is_of_the_new_cost_for_every_reader(client: SessionClient) -> None:
    before = told(client)
    looking = open_store(client.folder)
    looking.refresh()
    client.set_measure("macs")
    space = session_space(client.refresh().session)
    assert space.reference is not None
    reference = space.known(space.reference)["macs"]
    wanted = [space.known(t.config)["macs"] / reference for t in client.refresh().trials]
    assert told(client) == wanted != before
    assert [trial.complexity for trial in looking.refresh().trials] == wanted
    assert client.rank(client.refresh()).proposals
    client.undo()
    assert told(client) == before
    looking.close()


def test_a_prediction_is_held_against_the_cost_that_it_was_of(client: SessionClient) -> None:
    first = client.rank(client.refresh()).proposals[0]
    number = trial_of(client.accept(first))
    finish(client._store, number, 0.2, 1.3)
    snapshot = client.refresh()
    prediction = snapshot.trials[number].prediction
    assert isinstance(prediction, Prediction)
    assert prediction.measure == "seconds"
    before = [(o.trial.number, o.f) for o in outcomes(snapshot)]
    client.set_measure("params")
    after = client.refresh()
    assert [(o.trial.number, o.f) for o in outcomes(after)] == before
    assert predicted_now(after.session, prediction) is None
    assert not parse("μ<9", client.space).matching(after)


def test_it_is_in_the_export_and_comes_back(
    client: SessionClient, home: Path, tmp_path: Path
) -> None:
    client.set_measure("size", "the flash is small")
    client.export(tmp_path / "demo.json")
    again = SessionClient(bring_back(home, tmp_path / "demo.json", "again"))
    assert again.refresh().session.measure == "size"
    assert told(again) == told(client)
    assert again.refresh().decisions[-1].reason == "the flash is small"
    again.close()


def test_the_command_says_what_f_c_is_of(client: SessionClient) -> None:
    assert (
        "f_c is of peak of the activations."
        in lcsearch("set", "demo", "--measure", "activations")[1]
    )
    assert client.refresh().session.measure == "activations"
    assert "already" in lcsearch("set", "demo", "--measure", "activations")[1]
    said = lcsearch("set", "demo", "--measure", "weight", "--wc", "0.7", code=2)[1]
    assert "measure weight: unknown. Use seconds, params, macs, size, activations" in said
    assert client.refresh().session.wc == 0.1


def test_bytes_follow_the_type_of_the_weights(home: Path) -> None:
    store = filled_store(home, 1, weights="int8")
    snapshot = store.refresh()
    store.close()
    costs = session_space(snapshot.session).known(snapshot.trials[0].config)
    whole = session_space(snapshot.session.model_copy(update={"weights": "float32"}))
    known = whole.known(snapshot.trials[0].config)
    assert known["activations"] == 4 * costs["activations"]
    assert costs["size"] < known["size"] < 4 * costs["size"]
