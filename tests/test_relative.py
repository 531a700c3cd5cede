"""Parameters that count with one value of another alone, or whose scale another decides."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcsearch.engine.advisor.explain import differences
from lcsearch.engine.advisor.rank import rank
from lcsearch.engine.advisor.value import favour, strength
from lcsearch.engine.model.embedding import Embedding
from lcsearch.engine.objective import Observation
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.training import SGD_RATES
from lcsearch.engine.tasks.domains import InvalidDomain, Real
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.steps import neighbours
from lcsearch.sessions.records import Config
from lcsearch.sessions.store import Store
from lcsearch.tui.networks import network_line, training, whole_lines
from lcsearch.tui.networks.cnn import classifier, recipe
from lcsearch.tui.sharing.charts import axes_of, belief_plot

from .conftest import lcsearch

FULL = cnn.space((1, 8, 8), 10)
POSTER = cnn.space((1, 8, 8), 10, parameters=cnn.POSTER)
assert FULL.reference is not None
BASE: Config = FULL.reference
seeds = st.integers(0, 2**32 - 1)


def column(space: Space, name: str) -> int:
    return next(i for i, one in enumerate(space.encoding.columns) if one.parameter == name)


@given(seeds, st.floats(0.9, 1.0), st.sampled_from(["cosine", "one-cycle"]))
def test_what_is_idle_is_seen_by_nothing(seed: int, decay: float, schedule: str) -> None:
    config = {**FULL.sample(np.random.default_rng(seed)), "schedule": schedule}
    other = {**config, "lr_decay": decay}
    assert FULL.key(config) == FULL.key(other)
    assert differences(FULL, config, other) == ()
    rows = FULL.encoding.rows([config, other])
    assert np.array_equal(rows[0], rows[1], equal_nan=True)
    assert np.isnan(FULL.encoding.row(other)[column(FULL, "lr_decay")])
    assert FULL.resized(other) == FULL.resized(config)
    features = Embedding(FULL)([config, other])
    assert np.array_equal(features[0], features[1])
    exponential = {**other, "schedule": "exponential"}
    assert differences(FULL, other, exponential) == (("schedule", None),)
    assert not np.isnan(FULL.encoding.row(exponential)[column(FULL, "lr_decay")])
    if decay != 1.0:
        assert FULL.key(exponential) != FULL.key({**exponential, "lr_decay": 1.0})


@given(seeds)
@settings(max_examples=30)
def test_sampled_and_neighbours_have_idle_ones_at_their_default(seed: int) -> None:
    config = FULL.sample(np.random.default_rng(seed))
    for one in [config, *neighbours(FULL, config, 4)]:
        assert not FULL.problems(one)
        assert FULL.guided(one, 4)
        assert one["schedule"] == "exponential" or one["lr_decay"] == 1.0
        assert FULL["learning_rate"].domain_in(one).contains(one["learning_rate"])


def test_groups_of_separable_layers_are_outside_no_region_and_no_axis() -> None:
    separable = FULL.resized({**BASE, "conv": ["plain", *["separable"] * 3]})
    inside = FULL.resized({**BASE, "groups": [2, 2, 2, 2]})
    region = FULL.narrowed({"groups": "2,4"})
    evidence: Any = SimpleNamespace(region=region, favourite=("groups",), observations=[1])
    lost, free = favour(evidence, [separable, inside])
    assert lost == -strength(1)  # of its one layer that has groups
    assert free == 0
    names = {name for name, _ in axes_of(FULL, 2, separable)}
    assert "groups" in names
    assert ("groups", 1) not in axes_of(FULL, 2, separable)
    assert ("groups", 1) in axes_of(FULL, 2, inside)


def test_what_is_given_takes_what_is_relative_to_it_along() -> None:
    told = FULL.completed({"optimiser": "sgd"}, BASE)
    assert told["learning_rate"] == FULL.moved(BASE, "optimiser", "sgd")["learning_rate"]
    both = FULL.completed({"optimiser": "sgd", "learning_rate": 0.5}, BASE)
    assert both["learning_rate"] == 0.5
    assert FULL.completed({"optimiser": "none"}, BASE)["optimiser"] == "none"  # for `problems`


def test_a_narrowed_domain_of_what_is_idle_keeps_nothing_out() -> None:
    narrow = FULL.narrowed({"lr_decay": "0.9..0.95"})
    config = {**narrow.defaults(), "schedule": "cosine"}
    assert narrow.guided(config, 4)
    found = [c for c in neighbours(narrow, config, 4) if c["schedule"] == "exponential"]
    assert [c["lr_decay"] for c in found] == [0.95]


@given(seeds)
def test_rates_of_sgd_are_adam_s_on_a_scale_of_their_own(seed: int) -> None:
    config = FULL.sample(np.random.default_rng(seed))
    parameter = FULL["learning_rate"]
    assert parameter.domain_in({**config, "optimiser": "adamw"}) == parameter.domain
    high = parameter.domain_in({**config, "optimiser": "sgd"})
    assert high == Real(1e-4 * SGD_RATES, 1e-1 * SGD_RATES, log=True)
    adam = {**config, "optimiser": "adam", "learning_rate": 3e-3}
    sgd = FULL.moved(adam, "optimiser", "sgd")
    assert sgd["learning_rate"] == 3e-3 * SGD_RATES
    assert FULL.moved(sgd, "optimiser", "adam") == adam
    at = column(FULL, "learning_rate")
    assert FULL.encoding.row(sgd)[at] == pytest.approx(FULL.encoding.row(adam)[at], rel=1e-12)
    steps = [c for c in neighbours(FULL, adam, 4) if c["optimiser"] != "adam"]
    assert {(c["optimiser"], c["learning_rate"]) for c in steps} == {
        ("sgd", 3e-3 * SGD_RATES),
        ("adamw", 3e-3),
    }


@pytest.mark.parametrize("optimisers", ["adam,sgd", "sgd"])
def test_rates_that_one_optimiser_has_nothing_of_are_refused(optimisers: str) -> None:
    high = {"learning_rate": "0.6..1", "optimiser": optimisers}
    with pytest.raises(
        InvalidDomain, match=r"learning_rate = 0\.6\.\.1: with optimiser sgd .* 20 "
    ):
        FULL.narrowed(high).check_ratios()
    FULL.narrowed({**high, "optimiser": "adam"}).check_ratios()
    POSTER.narrowed({"learning_rate": "0.6..1"}).check_ratios()
    FULL.check_ratios()


def test_so_are_they_where_they_are_typed(home: Path) -> None:
    high = "learning_rate=0.6..1"
    told = lcsearch("new", "made", "--space", "full", "--set", high, code=2)[1]
    assert "leave sgd out of optimiser" in told
    assert not (home / "sessions" / "made").exists()
    lcsearch("new", "made", "--space", "poster", "--set", high)
    told = lcsearch("set", "made", "--domain", "optimiser=adam,sgd", code=2)[1]
    assert "leave sgd out of optimiser" in told


def test_a_session_of_before_that_has_them_goes_on(home: Path) -> None:
    lcsearch("new", "made", "--space", "full")
    store = Store(home / "sessions" / "made")
    store.set_session({}, domains={"learning_rate": "0.6..1"})
    store.close()
    assert lcsearch("propose", "made")[0]
    lcsearch("set", "made", "--wc", "0.5")
    lcsearch("set", "made", "--domain", "kernel=3,5")
    assert "leave sgd out" in lcsearch("set", "made", "--domain", "learning_rate=0.7..1", code=2)[1]


def test_a_rate_that_fits_the_other_s_domain_alone_stops_at_the_end_of_what_is_possible() -> None:
    wide = FULL.narrowed({"learning_rate": "0.01..5"})
    sgd = wide["learning_rate"].domain_in({"optimiser": "sgd"})
    assert isinstance(sgd, Real)
    assert (sgd.low, sgd.high) == (0.2, 10.0)


def test_asleep_all_is_as_it_was() -> None:
    """In the poster's space a learning rate is Adam's, and its decay always counts."""
    columns = {c.parameter: c for c in POSTER.encoding.columns}
    assert not columns["lr_decay"].conditional
    groups = {g.label: g for g in Embedding(POSTER).groups}
    assert groups["lr_decay"].width == 0
    full = {g.label: g for g in Embedding(FULL).groups}
    assert (full["lr_decay"].width, full["lr_decay"].length) == (2, "schedule")


def observed(count: int = 12) -> list[Observation]:
    rng = np.random.default_rng(4)
    found = []
    for number in range(count):
        config = FULL.sample(rng, 4, BASE)
        relative = config["learning_rate"] / FULL["learning_rate"].ratio(config)
        error = (
            0.1 + 0.05 * abs(np.log10(relative / 3e-3)) + 0.05 * (config["schedule"] != "cosine")
        )
        found.append(Observation(number, 4, config, float(error), 200, 1.0))
    return found


def test_a_ranking_of_the_full_space_is_of_networks_that_it_may_propose() -> None:
    ranking = rank(FULL, observed(), 4, BASE, 0.1, seed=3, count=12)
    assert len({p.id for p in ranking.proposals}) == 12
    for proposal in ranking.proposals:
        assert FULL.guided(proposal.config, 4)
        assert proposal.config["schedule"] == "exponential" or proposal.config["lr_decay"] == 1.0
    best = ranking.proposals[0].config
    assert best["schedule"] == "cosine"
    names = {name for p in ranking.proposals for name in p.config}
    assert {"schedule", "optimiser", "label_smoothing"} <= names


def test_the_belief_along_what_depends_on_another() -> None:
    ranking = rank(FULL, observed(), 4, BASE, 0.1, seed=3, count=12)
    config = {**BASE, "optimiser": "sgd", "learning_rate": 0.06, "schedule": "cosine"}
    rates = ranking.profile(config, "learning_rate", None, 9)
    assert min(rates.values) == pytest.approx(1e-4 * SGD_RATES)
    # along the optimiser the rate stays where it is on the domain of each
    along = ranking.profile(config, "optimiser", None, 9)
    adam = FULL.moved(config, "optimiser", "adam")
    assert along.mean[along.values.index("adam")] == pytest.approx(
        ranking.evaluate([adam])[0].prediction.mean  # type: ignore[union-attr]
    )
    assert ("lr_decay", None) not in axes_of(FULL, 4, config)
    assert ("lr_decay", None) in axes_of(FULL, 4, BASE)
    # a trial of Adam stands where its rate would be among SGD's; one with cosine has no decay
    plot = belief_plot(FULL, rates, [({**BASE, "learning_rate": 3e-3}, 0.2)], (config, 0.2))
    trial, selected = plot.marks
    assert trial.x == pytest.approx(selected.x)
    decays = ranking.profile(BASE, "lr_decay", None, 9)
    plot = belief_plot(FULL, decays, [(config, 0.2), (BASE, 0.3)], (BASE, 0.3))
    assert len(plot.marks) == 2


def test_a_favourite_region_of_rates_is_of_each_optimiser_s() -> None:
    ranking = rank(
        FULL,
        observed(),
        4,
        BASE,
        0.1,
        seed=3,
        favourite={"learning_rate": "1e-3..1e-2", "lr_decay": "0.9..0.95"},
    )
    assert ranking.proposals


# -- words ----------------------------------------------------------------------------------------


def test_only_what_is_not_neutral_is_written() -> None:
    assert recipe({**BASE, "learning_rate": 4.4e-3, "lr_decay": 0.992, "batch_size": 338}) == (
        "lr 4.4e-3 ×.992 B338"
    )
    config = {**BASE, "optimiser": "sgd", "learning_rate": 0.1, "schedule": "cosine"}
    assert recipe({**config, "label_smoothing": 0.1}) == "sgd lr .1 cos B128 ls.1"
    assert recipe({**BASE, "optimiser": "adamw", "schedule": "one-cycle"}) == (
        "adamw lr 1.0e-3 1cyc B128"
    )
    assert classifier(BASE) == "c @1  λ0"
    assert classifier({**BASE, "dropout": 0.25}) == "c @1  λ0 d.25"


def test_a_line_has_what_is_unusual() -> None:
    plain = network_line(BASE)
    for change, word in (
        ({"dropout": 0.3}, " d.3"),
        ({"schedule": "cosine"}, " cos "),
        ({"optimiser": "sgd"}, " sgd lr"),
        ({"label_smoothing": 0.05}, " ls.05"),
    ):
        line = network_line({**BASE, **change})
        assert word in line
        assert line.startswith(plain)
        assert any(word in whole for whole in (f" {w}" for w in whole_lines({**BASE, **change})))
    assert "lr" not in network_line({**BASE, "dropout": 0.3})


def test_training_is_told_in_words() -> None:
    assert training(BASE) == [
        ("Adam", "learning rate 0.001, × 1 an epoch"),
        ("batch 128", "weight decay 0"),
    ]
    config = {
        **BASE,
        "optimiser": "sgd",
        "learning_rate": 0.1,
        "schedule": "one-cycle",
        "dropout": 0.2,
        "label_smoothing": 0.05,
    }
    assert training(config) == [
        ("SGD, Nesterov's momentum", "learning rate 0.1, one-cycle"),
        ("batch 128", "weight decay 0"),
        ("dropout 0.2", "label smoothing 0.05"),
    ]


def test_a_belief_of_two_trials_follows_the_optimiser_too() -> None:
    ranking = rank(FULL, observed(2), 4, BASE, 0.1)
    config = {**BASE, "optimiser": "sgd", "learning_rate": 0.06}
    assert max(ranking.profile(config, "learning_rate", None, 5).values) == 2.0
