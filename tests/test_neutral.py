"""A parameter that older networks did not have: sessions, keys and rankings go on as they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcsearch.engine import search
from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search import comparing
from lcsearch.engine.tasks import cnn, task
from lcsearch.engine.tasks.domains import Categorical, InvalidDomain, Real
from lcsearch.engine.tasks.parameter import Parameter
from lcsearch.engine.tasks.space import InvalidConfig, Space
from lcsearch.engine.tasks.task import space_name
from lcsearch.sessions import exchange
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.snapshot import Snapshot

from . import toy
from .conftest import lcsearch
from .sessions_for_tests import finish, trial_of

FIXTURES = Path(__file__).parent / "fixtures"
DETOUR = Parameter(
    "detour", 1, Categorical((False, True)), False, length="conv_layers", neutral=False
)
NOISE = Parameter("noise", 3, Real(0.0, 0.5), 0.1, neutral=0.0)
BEFORE = cnn.space((1, 8, 8), 10, parameters=cnn.POSTER)
AFTER = replace(BEFORE, parameters=(*BEFORE.parameters, DETOUR, NOISE))
NAMES = ("detour", "noise")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A program whose networks have two parameters more, one a layer and one plain."""
    made = cnn.space

    def space(*given: Any, domains: Mapping[str, str] | None = None, **named: Any) -> Space:
        whole = made(*given, **named)
        whole = replace(whole, parameters=(*whole.parameters, DETOUR, NOISE))
        return whole.narrowed(domains or {})

    monkeypatch.setattr(cnn, "space", space)
    task._kept_space.cache_clear()
    yield
    task._kept_space.cache_clear()


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy task is known."""
    monkeypatch.setitem(task.TASKS, "toy", toy.TOY)


@pytest.fixture
def old(home: Path) -> Path:
    """The folder of a session of before."""
    folder = home / "sessions" / "old"
    folder.mkdir(parents=True, mode=0o700)
    shutil.copyfile(FIXTURES / "session-v2.db", folder / "session.db")
    return folder


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is started."""
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)


def ranked(folder: Path) -> dict[str, Any]:
    """All that a ranking says, to the last digit."""
    client = SessionClient(folder)
    snapshot = client.refresh()
    ranking = client.rank(snapshot, count=24)
    told = {
        "proposals": [
            (p.id, None if p.prediction is None else p.prediction.model_dump())
            for p in ranking.proposals
        ],
        "f*": (ranking.incumbent, ranking.incumbent_number),
        "posterior": [ranking.posterior(o.number) for o in search.observations(snapshot)],
        "candidates": ranking.candidates,
        "dimensions": client.space.dimensions(0, snapshot.trials[0].config),
        "columns": client.space.encoding.columns,
        "keys": [client.space.key(trial.config) for trial in snapshot.trials],
    }
    client.close()
    return told


def plain(document: exchange.Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.model_dump_json(by_alias=True))
    del found["exported"]
    return found


def test_a_session_of_before_ranks_to_the_last_digit_as_it_did(
    old: Path, request: pytest.FixtureRequest
) -> None:
    before = ranked(old)
    request.getfixturevalue("later")
    assert ranked(old) == before


def test_its_trials_have_the_keys_that_they_were_stored_with(old: Path, later: None) -> None:
    client = SessionClient(old)
    for trial in client.refresh().trials:
        assert trial.config["detour"] == [False] * trial.config["conv_layers"]
        assert trial.config["noise"] == 0.0
        assert client.space.key(trial.config) == trial.key
    client.close()


def test_it_goes_on_is_exported_and_comes_back(
    old: Path, home: Path, later: None, tmp_path: Path
) -> None:
    client = SessionClient(old)
    ranking = client.rank(client.refresh())
    decision = client.accept(ranking.proposals[0])
    finish(client._store, trial_of(decision), 0.2, 1.0)
    assert client.rank(client.refresh()).proposals
    client.export(tmp_path / "old.json")
    folder = bring_back(home, tmp_path / "old.json", "again")
    again = SessionClient(folder)
    first, second = plain(client.document()), plain(again.document())
    second["session"]["name"] = first["session"]["name"]
    assert first == second
    for opened in (client, again):
        opened.close()


@pytest.mark.parametrize("number", [2, 3])
def test_an_export_of_before_comes_in_and_goes_out_the_same(
    home: Path, later: None, number: int
) -> None:
    file = FIXTURES / f"export-v{number}.json"
    client = SessionClient(bring_back(home, file))
    given = json.loads(file.read_text())
    for trial, kept in zip(client.document().trials, given["trials"], strict=True):
        assert trial.key == kept["key"]
        names = kept["config"].keys()
        assert {name: trial.config[name] for name in names} == kept["config"]
        younger = {p.name for p in client.space.parameters if p.neutral is not None}
        assert set(trial.config) - set(names) == younger > set(NAMES)
    assert set(client.document().space.domains) == set(given["space"]["domains"])
    client.close()


def test_it_joins_where_its_domain_is_opened(old: Path, later: None) -> None:
    client = SessionClient(old)
    asleep = client.space.dimensions(3, client.refresh().trials[0].config)
    client.set_domains({"noise": "0..0.5"})
    snapshot = client.refresh()
    assert [p.name for p in client.space.awake if p.name in NAMES] == ["noise"]
    assert client.space.dimensions(3, snapshot.trials[0].config) == asleep + 1
    # what was trained before is compared with what comes, at its neutral value
    ranking = client.rank(snapshot)
    assert len({p.config["noise"] for p in client.rank(look_at(snapshot, 3)).proposals}) > 1
    assert ranking.proposals
    client.undo()
    client.refresh()
    assert "noise" not in {p.name for p in client.space.awake}
    client.close()


def test_it_stays_where_a_network_has_it(
    old: Path, home: Path, later: None, tmp_path: Path
) -> None:
    client = SessionClient(old)
    client.set_domains({"noise": "0..0.5"})
    snapshot = client.refresh()
    config = {**snapshot.trials[0].config, "noise": 0.3}
    number = trial_of(client.submit(config, None, kind="new"))
    finish(client._store, number, 0.2, 1.0)
    client.set_domains({"noise": "default"})
    snapshot = client.refresh()
    assert "noise" in {p.name for p in client.space.awake}
    assert client.space.problems(snapshot.trials[number].config) == []
    rows = client.space.encoding.rows([snapshot.trials[n].config for n in (0, number)])
    assert not np.array_equal(rows[0], rows[1], equal_nan=True)
    client.export(tmp_path / "old.json")
    again = SessionClient(bring_back(home, tmp_path / "old.json", "again"))
    assert again.refresh().trials[number].config["noise"] == 0.3
    for opened in (client, again):
        opened.close()


def look_at(snapshot: Snapshot, level: int) -> Snapshot:
    session = snapshot.session.model_copy(update={"level": level})
    return replace(snapshot, session=session)


def test_what_is_asleep_cannot_be_asked_for_and_says_how_it_can(old: Path, later: None) -> None:
    client = SessionClient(old)
    config = {**client.refresh().trials[0].config, "noise": 0.3}
    with pytest.raises(InvalidConfig, match=r"set NAME --domain noise=0\.\.0\.5"):
        client.submit(config, None, kind="new")
    client.close()


def test_a_new_session_has_it_from_the_beginning(old: Path, later: None) -> None:
    session = SessionClient(old).refresh().session
    new = session.model_copy(update={"parameters": task.parameters_of(cnn.TASK, "full")})
    assert set(NAMES) <= {p.name for p in task.session_space(new).awake}


def made(home: Path, *options: str) -> SessionClient:
    """A new session of this program."""
    lcsearch("new", "made", *options)
    return SessionClient(home / "sessions" / "made")


def test_the_poster_s_space_is_what_there_was_before(home: Path, later: None) -> None:
    client = made(home, "--space", "poster")
    assert tuple(p.name for p in client.space.awake) == cnn.POSTER
    assert client.space.encoding.columns == BEFORE.encoding.columns
    assert space_name(client.refresh().session) == "poster"
    assert "space poster" in lcsearch("show", "made")[0]
    client.set_domains({"noise": "0..0.5"})
    assert space_name(client.refresh().session) == "poster + noise"
    assert [p.name for p in client.space.awake if p.name in NAMES] == ["noise"]
    client.close()


def test_the_full_space_has_them_all(home: Path, later: None) -> None:
    client = made(home, "--space", "full", "--set", "noise=0.2..0.3")
    assert client.space.awake == client.space.parameters
    assert client.space["noise"].domain == Real(0.2, 0.3)
    assert space_name(client.refresh().session) == "full"
    assert "space full" in lcsearch("show", "made")[0]
    proposals = client.rank(client.refresh()).proposals
    assert any(True in proposal.config["detour"] for proposal in proposals)
    client.close()


def test_the_full_space_begins_with_a_recipe_of_today(home: Path, tmp_path: Path) -> None:
    client = made(home, "--space", "full")
    snapshot = client.refresh()
    assert snapshot.session.defaults == cnn.BEGINS
    proposals = client.rank(snapshot).proposals
    for config in (snapshot.trials[0].config, *(proposal.config for proposal in proposals)):
        assert {name: config[name] for name in cnn.BEGINS} == cnn.BEGINS
    client.export(tmp_path / "made.json")
    again = SessionClient(bring_back(home, tmp_path / "made.json", "again"))
    assert again.refresh().session.defaults == cnn.BEGINS
    assert again.space.reference == client.space.reference
    for opened in (client, again):
        opened.close()


@pytest.mark.parametrize(
    "options",
    [
        ("--space", "poster"),
        ("--space", "full", "--set", "schedule=exponential"),
    ],
    ids="_".join,
)
def test_the_poster_s_training_where_that_or_another_is_asked_for(
    home: Path, options: tuple[str, ...]
) -> None:
    client = made(home, *options)
    assert client.refresh().session.defaults == {}
    config = client.refresh().trials[0].config
    assert (config["schedule"], config["learning_rate"]) == ("exponential", 1e-3)
    client.close()


@pytest.mark.parametrize(
    ("domains", "begins"),
    [
        (("schedule=cosine",), ("cosine", 0.01)),
        (("schedule=one-cycle", "learning_rate=1e-3..5e-3"), ("one-cycle", 0.005)),
        (("learning_rate=0.02..0.1",), ("one-cycle", 0.02)),
        (("learning_rate=1e-4..1e-3",), ("one-cycle", 0.001)),
        (("schedule=exponential,cosine",), ("cosine", 0.01)),
    ],
    ids=lambda given: "_".join(map(str, given)),
)
def test_it_begins_where_its_domains_allow(
    home: Path, domains: tuple[str, ...], begins: tuple[str, float]
) -> None:
    options = [word for domain in domains for word in ("--set", domain)]
    client = made(home, "--space", "core", *options)
    config = client.refresh().trials[0].config
    assert (config["schedule"], config["learning_rate"]) == begins
    client.close()


def test_the_core_has_the_poster_s_parameters_and_two_more(home: Path, tmp_path: Path) -> None:
    client = made(home, "--space", "core")
    session = client.refresh().session
    assert {p.name for p in client.space.awake} == {*cnn.POSTER, "shortcut", "schedule"}
    assert space_name(session) == "core"
    client.set_domains({"dropout": "0..0.5"})
    assert space_name(client.refresh().session) == "core + dropout"
    client.export(tmp_path / "made.json")
    again = SessionClient(bring_back(home, tmp_path / "made.json", "again"))
    assert again.refresh().session.defaults == cnn.BEGINS == session.defaults
    for opened in (client, again):
        opened.close()


def test_a_session_is_called_by_the_space_that_it_was_made_with(home: Path) -> None:
    client = made(home, "--space", "poster")
    client.set_domains({"shortcut": "yes,no", "schedule": "exponential,cosine"})
    assert space_name(client.refresh().session) == "poster + shortcut + schedule"
    client.close()


def test_the_reference_of_both_spaces_is_one_network_to_compare_seconds_by(home: Path) -> None:
    for name in ("poster", "core"):
        lcsearch("new", name, "--space", name)
    told = lcsearch("compare", "poster", "core", "--cost", "seconds")[0]
    assert "other reference networks" not in told
    assert "begins with" in told
    assert "schedule one-cycle, learning_rate 0.01" in told


def test_a_reference_is_one_whatever_the_order_of_its_parameters(home: Path) -> None:
    """Sessions of before have the later ones last."""
    client = made(home, "--space", "core")
    snapshot = client.refresh()
    first = snapshot.trials[0]
    turned = first.model_copy(update={"config": dict(reversed(first.config.items()))})
    other = replace(snapshot, trials=(turned,))
    assert comparing._reference(snapshot, ()) == comparing._reference(other, ())
    client.close()


def test_a_full_session_of_before_goes_on_with_the_training_that_it_had(home: Path) -> None:
    client = SessionClient(bring_back(home, FIXTURES / "export-v8-full.json"))
    snapshot = client.refresh()
    assert space_name(snapshot.session) == "full"
    for level in (1, 2, 3):
        for proposal in client.rank(look_at(snapshot, level)).proposals:
            assert proposal.config["schedule"] == "exponential"
            assert proposal.config["learning_rate"] == 1e-3
    client.close()


@pytest.mark.parametrize(
    ("defaults", "told"),
    [
        ({"nothing": 1}, "nothing cannot begin at 1: this space has no such parameter"),
        ({"kernel": 3}, "kernel cannot begin at 3: has a value a layer"),
        ({"dropout": 0.1}, "dropout cannot begin at 0.1: is not searched"),
        ({"schedule": "linear"}, "schedule = linear: not possible. Use exponential"),
        ({"batch_size": 0}, "batch_size = 0: not possible"),
    ],
)
def test_what_a_space_cannot_begin_with_is_refused(
    home: Path, tmp_path: Path, defaults: dict[str, Any], told: str
) -> None:
    client = made(home, "--space", "poster", "--set", "schedule=cosine,one-cycle")
    with pytest.raises(InvalidDomain, match=told):
        client.space.beginning(defaults)
    client.export(tmp_path / "made.json")
    client.close()
    document = json.loads((tmp_path / "made.json").read_text())
    document["session"]["defaults"] = defaults
    (tmp_path / "made.json").write_text(json.dumps(document))
    with pytest.raises(Misuse, match=told):
        bring_back(home, tmp_path / "made.json", "again")


def test_a_space_that_there_is_not_is_refused_with_those_that_there_are(home: Path) -> None:
    told = lcsearch("new", "made", "--space", "half", code=2)[1]
    assert "space half: unknown. Use poster, core, full." in told
    told = lcsearch("new", "--help")[0]
    assert "poster|core|full" in told
    assert not (home / "sessions" / "made").exists()


def test_a_task_without_named_spaces_has_nothing_to_choose(toys: None) -> None:
    assert task.parameters_of(toy.TOY) == ("x", "n")
    assert task.usual_space(toy.TOY) == ""
    with pytest.raises(Misuse, match="Leave it out"):
        task.parameters_of(toy.TOY, "full")


@given(st.integers(0, 2**32 - 1))
def test_laws_of_a_neutral_value(seed: int) -> None:
    """Read twice is read once; the key does not see it; asleep nothing sees it."""
    config = BEFORE.sample(np.random.default_rng(seed))
    read = AFTER.read(config)
    assert AFTER.read(read) == read
    assert AFTER.key(read) == AFTER.key(config) == BEFORE.key(config)
    assert AFTER.validate(config) == read
    asleep = AFTER.waking(cnn.POSTER)
    assert asleep.encoding.columns == BEFORE.encoding.columns
    rows = asleep.encoding.rows([read]), BEFORE.encoding.rows([config])
    assert np.array_equal(*rows, equal_nan=True)
    assert asleep.dimensions(0, read) == BEFORE.dimensions(0, config)
    drawn = asleep.sample(np.random.default_rng(seed))
    assert {k: v for k, v in drawn.items() if k not in NAMES} == config
    assert AFTER.key({**read, "noise": 0.2}) != AFTER.key(read)
