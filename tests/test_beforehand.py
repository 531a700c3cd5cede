"""What a session's belief begins with: a prior, a file of numbers, earlier sessions."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lcsearch.engine import search
from lcsearch.engine.advisor.rank import rank
from lcsearch.engine.advisor.ranking import Profile
from lcsearch.engine.client import home as homes
from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.model.embedding import Embedding
from lcsearch.engine.model.prior import NOTHING, Prior
from lcsearch.engine.objective import Observation
from lcsearch.engine.protocol import Ready
from lcsearch.engine.search import beforehand, scorecard
from lcsearch.engine.search.scorecard import Outcome
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.task import prior_file, task_named
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.records import Config, EarlierSession, EarlierTrial, Session
from lcsearch.sessions.store import Store
from lcsearch.tui import format as words
from lcsearch.tui.screens.setup import _sessions
from lcsearch.tui.sharing.charts import belief_plot

from .conftest import lcsearch
from .sessions_for_tests import SUMMARY, filled_store, finish, make_session, make_store, trial_of

CNN = task_named("cnn")
DEFAULT = next(reversed([*CNN.priors]))


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is started, and no data are read."""
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)
    monkeypatch.setattr(homes, "probe", lambda data, *_: Ready(summary=SUMMARY))


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A file of numbers."""
    file = tmp_path / "mine.json"
    packed = prior_file(CNN, DEFAULT)
    assert packed is not None
    shutil.copyfile(packed, file)
    return file


def session_named(home: Path, name: str) -> Session:
    store = Store(home / "sessions" / name)
    session = store.refresh().session
    store.close()
    return session


# -- the prior ----------------------------------------------------------------------------------


def test_the_numbers_of_the_program_are_small_and_whole() -> None:
    for name, file in CNN.priors.items():
        assert file.stat().st_size <= 500_000, name
        prior = Prior.read(file)
        assert prior.time is not None
        assert prior.error is not None
        assert prior.tables


def test_a_new_session_begins_with_the_default_and_one_of_before_with_nothing(home: Path) -> None:
    lcsearch("new", "young")
    young = session_named(home, "young")
    assert young.prior == DEFAULT
    assert search.prior_of(young).error is not None
    before = make_session()
    assert before.prior is None
    assert search.prior_of(before) is NOTHING
    assert search.prior_name(before) == beforehand.BEFORE


def test_none_and_a_file(home: Path, numbers: Path) -> None:
    lcsearch("new", "bare", "--prior", "none")
    assert search.prior_of(session_named(home, "bare")) == NOTHING
    lcsearch("new", "own", "--prior", str(numbers))
    own = session_named(home, "own")
    assert (own.prior, list(own.prior_numbers)) == ("mine.json", ["mine.json"])
    numbers.unlink()  # it is kept with the session
    assert search.prior_of(own).error is not None
    assert "prior mine.json" in lcsearch("show", "own")[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no such file. Use none, default or a file"),
        ("{}", "not a prior"),
        ("\udcff", "not a prior"),
        (json.dumps({"version": 99}), "newer lcsearch"),
        ("x" * (beforehand.LARGEST_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_prior_is_refused(
    home: Path, tmp_path: Path, text: str | None, told: str
) -> None:
    file = tmp_path / "wrong.json"
    if text is not None:
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert told in lcsearch("new", "young", "--prior", str(file), code=2)[1]
    assert not (home / "sessions" / "young").exists()


def test_numbers_that_know_networks_otherwise_are_refused(numbers: Path) -> None:
    told = json.loads(numbers.read_text())
    told["time"]["kinds"][0] = "hop"
    numbers.write_text(json.dumps(told))
    with pytest.raises(Misuse, match="other numbers than lcsearch knows"):
        search.prior_choice(CNN, str(numbers), {})


def test_files_of_one_name_are_kept_apart(numbers: Path) -> None:
    name, kept = search.prior_choice(CNN, str(numbers), {})
    numbers.write_text(numbers.read_text() + "\n")
    other, both = search.prior_choice(CNN, str(numbers), kept)
    assert (name, other) == ("mine.json", "mine.json+")
    assert both.keys() == {name, other}
    assert search.prior_choice(CNN, name, both) == (name, both)


def test_another_prior_is_a_decision_that_can_be_undone(home: Path, numbers: Path) -> None:
    filled_store(home, 3, name="demo", prior="none").close()
    before = lcsearch("propose", "demo", "--json")[0]
    assert f"the prior is {DEFAULT}." in lcsearch("set", "demo", "--prior", "default")[1]
    assert f"the prior is {DEFAULT} already." in lcsearch("set", "demo", "--prior", "default")[1]
    assert lcsearch("propose", "demo", "--json")[0] != before
    assert "mine.json" in lcsearch("set", "demo", "--prior", str(numbers))[1]
    assert "no such file" in lcsearch("set", "demo", "--prior", "nowhere", code=2)[1]
    for _ in range(2):
        assert "the change of the prior" in lcsearch("undo", "demo")[1]
    assert lcsearch("propose", "demo", "--json")[0] == before


def test_an_export_holds_the_numbers(home: Path, numbers: Path, tmp_path: Path) -> None:
    filled_store(home, 3, name="demo", prior="none").close()
    lcsearch("set", "demo", "--prior", str(numbers))
    there = lcsearch("propose", "demo", "--json")[0]
    lcsearch("export", "demo", "-o", str(tmp_path / "out.json"))
    bring_back(home, tmp_path / "out.json", "again")
    assert lcsearch("propose", "again", "--json")[0] == there


def test_a_session_of_a_newer_prior_is_left_to_that_program(home: Path) -> None:
    make_store(home, "young", prior="default-99").close()
    assert "newer lcsearch" in lcsearch("show", "young", code=1)[1]


def test_only_seconds_are_known_beforehand_of_what_takes_time() -> None:
    counted = make_session(prior=DEFAULT, measure="macs")
    assert search.prior_of(counted).time is None
    assert search.prior_of(counted).error is not None
    assert search.prior_of(make_session(prior=DEFAULT)).time is not None


# -- the initial design -------------------------------------------------------------------------


def test_the_initial_design_is_what_is_good_beforehand_and_diverse() -> None:
    prior = beforehand.prior_of(make_session(prior=DEFAULT))
    space = cnn.space((1, 12, 12), 10, images=1000, epochs=6)
    assert space.reference is not None

    def expected(configs: list[Config]) -> float:
        embedding = Embedding(space, prior)
        features = embedding(configs)
        assert embedding.error_known is not None
        assert embedding.time_known is not None
        error, cost = (
            features[:, embedding.error_known.mean],
            features[:, embedding.time_known.mean],
        )
        return float(np.mean(np.exp(error) + 0.1 * np.exp(cost)))

    def design(known: Prior) -> list[Config]:
        found = rank(space, [], 1, space.reference or {}, 0.1, design=6, initial=6, prior=known)
        assert [p.origin for p in found.proposals[:6]] == ["design"] * 6
        assert found.proposals[0].note == "initial design 1 of 6"
        return [p.config for p in found.proposals[:6]]

    usual, drawn = design(prior), design(NOTHING)
    assert expected(usual) < expected(drawn)
    assert len({space.key(config) for config in usual}) == 6
    embedding = Embedding(space)
    features = embedding(usual)
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)[np.triu_indices(6, 1)]
    assert apart.min() > 0.15  # no near copies
    # the same every time
    assert [space.key(c) for c in design(prior)] == [space.key(c) for c in usual]


# -- earlier sessions ---------------------------------------------------------------------------

SPACE = cnn.space((1, 8, 8), 10)
REFERENCE = SPACE.reference or {}


def truth(config: Config) -> float:
    """An error that many narrow layers lower."""
    return float(0.02 + 0.3 / config["conv_layers"] + 0.02 * abs(config["kernel"][0] - 5))


def earlier_store(home: Path, trials: int = 16, *, wrong: bool = False) -> None:
    """A session of so many networks; wrong: its errors lead astray."""
    store = make_store(home, "old", prior="none")
    client = SessionClient(home / "sessions" / "old")
    rng = np.random.default_rng(3)
    finish(store, 0, truth(REFERENCE), 1.0)
    for _ in range(trials - 1):
        config = client.space.sample(rng, 0, client.space.reference)
        decision = client.submit(config, None, kind="new")
        error = truth(config)
        finish(store, trial_of(decision), 0.4 - error if wrong else error, 1.0)
    client.close()
    store.close()


def test_a_session_learns_from_another(home: Path) -> None:
    earlier_store(home)
    lcsearch("new", "young", "--learn-from", "old")
    young = session_named(home, "young")
    assert young.learn_from == "old"
    kept = young.earlier[0]
    assert (kept.name, len(kept.trials), kept.epochs) == ("old", 16, 3)
    assert kept.trials[0].error == pytest.approx(truth(REFERENCE))
    assert words.learning(young) == "old (16 trials)"
    assert "learns from old (16 trials)" in lcsearch("show", "young")[0]
    shutil.rmtree(home / "sessions" / "old")  # nothing of it is needed any more
    (known,) = beforehand.earlier_of(young)
    assert known.trials == 16
    assert beforehand.earlier_of(young)[0] is known  # fitted once


def test_what_it_says_moves_the_belief_and_is_worth_trials(home: Path) -> None:
    earlier_store(home, 40)
    session = make_session(prior="none", learn_from="old", earlier=_kept(home))
    earlier = beforehand.earlier_of(session)
    space = search.session_space(session)
    rng = np.random.default_rng(11)
    configs = [REFERENCE, *(space.sample(rng, 0, REFERENCE) for _ in range(23))]
    trials = [Observation(i, 1, c, 1.3 * truth(c), 1000, 1.0) for i, c in enumerate(configs)]
    asked = [space.sample(rng, 0, REFERENCE) for _ in range(40)]

    def off(learning: bool) -> float:
        found = rank(
            space, trials, 0, REFERENCE, 0.0, average=4, earlier=earlier if learning else ()
        )
        told = [p.prediction for p in found.evaluate(asked)]
        right = [np.log(1.3 * truth(c)) for c in asked]
        return float(
            np.mean([(np.log(p.mean) - r) ** 2 for p, r in zip(told, right, strict=True) if p])
        )

    assert off(True) < 0.7 * off(False)
    found = rank(space, trials, 0, REFERENCE, 0.0, average=4, earlier=earlier)
    ((name, worth),) = found.worth
    assert name == "old"
    assert worth is not None
    assert worth > 0.3
    assert found.reweighted(0.3).worth == found.worth
    early = rank(space, trials[:2], 0, REFERENCE, 0.0, average=4, earlier=earlier)
    assert early.worth == (("old", None),)


def test_what_misleads_fades(home: Path) -> None:
    earlier_store(home, 40, wrong=True)
    session = make_session(prior="none", learn_from="old", earlier=_kept(home))
    earlier = beforehand.earlier_of(session)
    space = search.session_space(session)
    rng = np.random.default_rng(11)
    configs = [REFERENCE, *(space.sample(rng, 0, REFERENCE) for _ in range(23))]
    trials = [Observation(i, 1, c, truth(c), 1000, 1.0) for i, c in enumerate(configs)]
    found = rank(space, trials, 0, REFERENCE, 0.0, average=4, earlier=earlier)
    ((_, worth),) = found.worth
    assert worth is not None
    assert worth < 0.5
    asked = [space.sample(rng, 0, REFERENCE) for _ in range(40)]
    right = np.array([truth(c) for c in asked])
    told = np.array([p.prediction.mean for p in found.evaluate(asked) if p.prediction])
    assert np.corrcoef(told, right)[0, 1] > 0.5


def _kept(home: Path) -> tuple[EarlierSession, ...]:
    store = Store(home / "sessions" / "old")
    kept = search.kept_of(store.refresh())
    store.close()
    return (kept,)


def test_learning_from_others_is_a_decision(home: Path, tmp_path: Path) -> None:
    earlier_store(home, 6)
    filled_store(home, 5, name="young", prior="none").close()
    before = lcsearch("propose", "young", "--json")[0]
    assert "it learns from old (6 trials)." in lcsearch("set", "young", "--learn-from", "old")[1]
    assert "already" in lcsearch("set", "young", "--learn-from", "old")[1]
    after = lcsearch("propose", "young", "--json")[0]
    assert after != before
    assert json.loads(after)["worth"].keys() == {"old"}
    assert "what old says is worth" in lcsearch("propose", "young")[1]
    lcsearch("export", "young", "-o", str(tmp_path / "out.json"))
    lcsearch("report", "young", "-o", str(tmp_path / "page.html"))
    assert "old (6 trials)" in (tmp_path / "page.html").read_text()
    bring_back(home, tmp_path / "out.json", "again")
    assert lcsearch("propose", "again", "--json")[0] == after
    assert "no other session" in lcsearch("set", "young", "--learn-from", "none")[1]
    assert lcsearch("propose", "young", "--json")[0] == before
    assert "what is learnt from other sessions" in lcsearch("undo", "young")[1]
    assert lcsearch("propose", "young", "--json")[0] == after


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nowhere", "not found"),
        ("young", "it is this very session"),
        ("empty", "no trial of it is done"),
        ("old,,empty", "not usable"),
        ("none,old", "not usable"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(home: Path, given: str, told: str) -> None:
    make_store(home, "empty").close()
    filled_store(home, 2, name="young").close()
    assert told in lcsearch("set", "young", "--learn-from", given, code=2)[1]
    assert session_named(home, "young").learn_from == ""


def test_networks_that_the_new_space_does_not_have_are_left_out(home: Path) -> None:
    """Another size of images, and a parameter that is asleep here."""
    store = make_store(home, "old", parameters=("dropout",), prior="none")
    client = SessionClient(home / "sessions" / "old")
    finish(store, 0, 0.2, 1.0)
    for dropout in (0.0, 0.3):
        config = {**(client.space.reference or {}), "learning_rate": 2e-3, "dropout": dropout}
        finish(store, trial_of(client.submit(config, None, kind="new")), 0.1, 1.0)
    client.close()
    store.close()
    session = make_session(learn_from="old", earlier=_kept(home))
    (known,) = beforehand.earlier_of(session)
    assert known.trials == 2
    assert known.error is None  # of so few nothing is learnt


@pytest.mark.parametrize("config", [{}, {"conv_layers": "many"}, {"conv_layers": 3}])
def test_networks_of_a_damaged_export_are_left_out(config: Config) -> None:
    trial = EarlierTrial(config=config, error=0.1, images=10)
    kept = EarlierSession(
        name="old", shape=(1, 8, 8), classes=10, images=100, epochs=3, trials=(trial,)
    )
    (known,) = beforehand.earlier_of(make_session(learn_from="old", earlier=(kept,)))
    assert known.trials == 0


# -- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("near", "told"),
    [
        (0.0, "no trial is near: it is what is usual"),
        (0.62, "62 % from trials near it, the rest is what is usual"),
        (1.0, "known from trials near it"),
    ],
)
def test_what_a_belief_rests_on_in_words(near: float, told: str) -> None:
    assert words.grounds(near) == told


def test_what_is_near_is_known_from_trials_and_what_is_far_is_usual() -> None:
    rng = np.random.default_rng(5)
    configs = [REFERENCE, *(SPACE.sample(rng, 1, REFERENCE) for _ in range(7))]
    trials = [Observation(i, 1, c, truth(c), 2000, 1.0) for i, c in enumerate(configs)]
    found = rank(SPACE, trials, 1, REFERENCE, 0.0)
    far = SPACE.sample(np.random.default_rng(1), 0, REFERENCE)
    seen, other = found.evaluate([configs[3], far])
    assert seen.near is not None
    assert other.near is not None
    assert seen.near > 0.8 > other.near >= 0
    along = found.profile(configs[3], "kernel", 0)
    assert along.near is not None
    assert along.near.shape == (len(along.values),)
    assert along.near.argmax() == along.values.index(configs[3]["kernel"][0])
    assert not found.profile(configs[3], "conv_layers").usual.all()


def test_the_chart_tells_what_is_usual_apart() -> None:
    near = np.array([0.9, 0.9, 0.1, 0.1, 0.5])
    values = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    std = np.full(5, 0.02)
    belief = Profile("learning_rate", None, False, values, np.full(5, 0.2), std, near)
    lines = belief_plot(SPACE, belief, (), None).lines
    assert [line.dashed for line in lines] == [False, True, False]
    for one, next_ in itertools.pairwise(lines):
        assert one.xs[-1] == next_.xs[0]  # no gap
    whole = [x for line in lines for x in line.xs]
    assert (min(whole), max(whole)) == (lines[0].xs[0], lines[-1].xs[-1])
    kinds = Profile("kernel", 0, True, (1, 3, 5, 7), std[:4], std[:4], near[1:])
    assert [told for _, told in belief_plot(SPACE, kinds, (), None).x.ticks] == [
        "1", "(3)", "(5)", "7",
    ]  # fmt: skip
    old = Profile("kernel", 0, True, (1, 3, 5, 7), std[:4], std[:4])
    assert [told for _, told in belief_plot(SPACE, old, (), None).x.ticks] == ["1", "3", "5", "7"]


def test_the_first_ten_predictions_are_scored_apart(home: Path) -> None:
    store = filled_store(home, 14)
    trials = store.refresh().trials
    store.close()
    results = [Outcome(trial, 0.1 + 0.01 * trial.number, 0.02, 0.15) for trial in trials]
    assert len(results) > 10
    assert scorecard.parts(results[:10]) == ()
    (first, early), (rest, late) = scorecard.parts(results)
    assert (first, rest) == ("first 10", "rest")
    assert [*early, *late] == results
    assert scorecard.bias(results) == pytest.approx(np.mean([r.f - r.mean for r in results]))


def test_a_set_up_learns_from_sessions_that_are_there() -> None:
    read = _sessions({"first", "second"})
    assert read(" first,second ") == ("first", "second")
    assert read("") == ()
    with pytest.raises(ValueError, match="there is no session third"):
        read("first, third")
