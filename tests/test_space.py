"""The laws of the search space: what is sampled is valid, encoded and decoded alike."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.domains import Categorical, Integer, InvalidDomain, Real
from lcsearch.engine.tasks.parameter import Parameter, parse_domain
from lcsearch.engine.tasks.space import InvalidConfig, Space
from lcsearch.engine.tasks.steps import neighbours

SHAPES = [(1, 8, 8), (3, 32, 32), (1, 28, 28), (2, 7, 13), (1, 1, 1)]
SPACES = {shape: cnn.space(shape, 10) for shape in SHAPES}
FASHION = SPACES[1, 28, 28]


@settings(max_examples=200)
@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_what_is_sampled_is_valid_and_survives_validation(
    shape: tuple[int, int, int], seed: int, level: int
) -> None:
    space = SPACES[shape]
    rng = np.random.default_rng(seed)
    base = space.sample(rng)
    config = space.sample(rng, level, base)
    assert space.problems(config) == []
    assert space.validate(config) == config
    assert space.guided(config, level)
    assert space.key(config) == space.key(dict(reversed(config.items())))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_level_moves_only_its_own_parameters(seed: int, level: int) -> None:
    rng = np.random.default_rng(seed)
    base = FASHION.sample(rng)
    config = FASHION.sample(rng, level, base)
    for parameter in FASHION.parameters:
        if parameter.level != level and (parameter.length is None or level != 1):
            assert config[parameter.name] == base[parameter.name]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_neighbours_are_valid_guided_and_others(seed: int, level: int) -> None:
    rng = np.random.default_rng(seed)
    config = FASHION.sample(rng)
    found = neighbours(FASHION, config, level)
    assert found
    keys = [FASHION.key(c) for c in found]
    assert len(set(keys)) == len(keys)
    assert FASHION.key(config) not in keys
    for neighbour in found:
        assert FASHION.problems(neighbour) == []
        assert FASHION.guided(neighbour, level)


def test_neighbours_take_a_layer_away_and_double_one_in_every_list() -> None:
    config = FASHION.resized(
        {
            "conv_layers": 3,
            "channels": [16, 24, 40],
            "downsample": ["none", "pool", "stride"],
            "kernel": [7, 3, 5],
            "batch_norm": [True, False, True],
            "groups": [1, 8, 4],
        }
    )
    found = neighbours(FASHION, config, 1)
    shorter = next(c for c in found if c["conv_layers"] == 2 and c["channels"] == [16, 24])
    assert shorter["kernel"] == [7, 3]
    longer = next(c for c in found if c["conv_layers"] == 4 and c["channels"] == [16, 24, 24, 40])
    assert longer["kernel"] == [7, 3, 3, 5]
    assert longer["groups"] == [1, 8, 8, 4]


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_the_encoding_tells_networks_apart_and_marks_what_is_absent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = FASHION.sample(rng), FASHION.sample(rng)
    first, second = FASHION.encoding.row(one), FASHION.encoding.row(other)
    assert first.shape == (len(FASHION.encoding.columns),)
    assert (one == other) == np.array_equal(first, second, equal_nan=True)
    for column, value in zip(FASHION.encoding.columns, first, strict=True):
        entry = one[column.parameter]
        absent = column.index is not None and column.index >= len(entry)
        switched_off = column.parameter == "weight_decay" and entry == 0
        idle = not absent and not FASHION[column.parameter].counts(one, column.index)
        assert np.isnan(value) == (absent or switched_off or idle), column
        assert column.conditional or not np.isnan(value)


def test_narrowing_a_domain_moves_no_point_of_the_encoding() -> None:
    config = FASHION.sample(np.random.default_rng(3))
    narrow = FASHION.narrowed({"conv_layers": "2..3", "channels": "16..32", "kernel": "3,5"})
    np.testing.assert_array_equal(FASHION.encoding.row(config), narrow.encoding.row(config))
    drawn = [narrow.sample(np.random.default_rng(i)) for i in range(50)]
    assert all(2 <= c["conv_layers"] <= 3 for c in drawn)
    assert {k for c in drawn for k in c["kernel"]} == {3, 5}
    assert all(16 <= n <= 32 for c in drawn for n in c["channels"])


@pytest.mark.parametrize(
    ("choices", "value", "place"),
    [
        ((1, 2, 4, 8), 4, 2),
        ((1, 2, 4, 8), 16, 4),
        ((1, 2, 4, 8), 32, 5),
        ((2, 4), 1, -1),
        ((8, 4, 2), 16, -1),
        ((0, 10, 20), 5, 0.5),
        ((0, 10, 20), -10, -1),
        ((3,), 3, 0),
    ],
)
def test_numbers_have_a_place_between_and_beyond_ordered_choices(
    choices: tuple[int, ...], value: int, place: float
) -> None:
    assert Categorical(choices, ordered=True).unit(value) == pytest.approx(place)
    # without an order there are only whole indices
    assert Categorical(choices).unit(value) in range(len(choices))


def test_sobol_points_decode_to_the_whole_level() -> None:
    base = FASHION.defaults()
    points = qmc.Sobol(FASHION.dimensions(1, base), seed=0).random(256)
    drawn = [FASHION.decode(p, 1, base) for p in points]
    assert {c["conv_layers"] for c in drawn} == set(range(2, 9))
    assert {d for c in drawn for d in c["downsample"]} == {"none", "stride", "pool"}
    for config in drawn:
        assert 8 <= config["channels"][0] <= 64
        for before, after in itertools.pairwise(config["channels"]):
            assert before <= after <= min(2 * before, 512)


def test_lists_are_trimmed_and_padded_to_their_length() -> None:
    config = {**FASHION.defaults(), "conv_layers": 2, "kernel": [5, 7, 1]}
    fitted = FASHION.resized(config)
    assert fitted["kernel"] == [5, 7]
    assert FASHION.resized({**fitted, "conv_layers": 4})["kernel"] == [5, 7, 3, 3]
    later = FASHION.with_defaults_after(1, {**FASHION.defaults(), "learning_rate": 0.1})
    assert later["learning_rate"] == 1e-3


@pytest.mark.parametrize("value", [[1, 2], "x", float("nan"), 1e9, -3, None, True, {}, 2.5])
def test_a_length_that_is_not_possible_is_refused_before_anything_is_fitted_to_it(
    value: object,
) -> None:
    given = {"conv_layers": value, "classifier_layers": value}
    with pytest.raises(InvalidConfig) as raised:
        FASHION.completed(given, FASHION.defaults())
    assert list(raised.value.problems) == FASHION.problems({**FASHION.defaults(), **given})
    assert len(raised.value.problems) == 2


def test_what_was_given_is_completed_and_what_is_odd_kept_for_its_problem() -> None:
    base = FASHION.defaults()
    whole = FASHION.completed({"conv_layers": 2.0, "kernel": [5, 5]}, base)
    assert FASHION.validate(whole)["channels"] == base["channels"][:2]
    odd = {"learning_rate": [1, 2], "channels": 7, "lr_decay": None, "colour": 3}
    words = "\n".join(FASHION.problems(FASHION.completed(odd, base)))
    assert all(name in words for name in odd)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"channels": [16, 24, 32, 32], "groups": [1, 1, 16, 1]},
            "not divisible by groups[3]",
        ),
        ({"groups": [2, 1, 1, 1]}, "groups[1] = 2"),
        ({"kernel": [3, 4, 3, 3]}, "kernel[2] = 4"),
        ({"kernel": [3, 3]}, "kernel has 2 entries where conv_layers = 4 wants 4"),
        ({"conv_layers": 0}, "conv_layers = 0"),
        ({"conv_layers": "four"}, "conv_layers = four"),
        ({"colour": 3}, "colour is no parameter"),
        ({"density": [1.5]}, "density[1] = 1.5"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"batch_norm": [1, 1, 1, 1]}, "batch_norm[1] = 1"),
        ({"channels": "wide"}, "must be a list"),
    ],
)
def test_every_problem_is_named_with_its_value(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfig) as raised:
        FASHION.validate({**FASHION.defaults(), **change})
    assert words in str(raised.value)


def test_no_problem_counts_layers_from_0() -> None:
    for name in (p.name for p in FASHION.parameters if p.length is not None):
        config = FASHION.defaults() | {"classifier_layers": 3, "hidden_units": [64, 64]}
        config |= {"density": [1.0] * 3}
        wrong = {**config, name: ["wrong"] * len(config[name])}
        told = [p for p in FASHION.problems(wrong) if p.startswith(name)]
        labels = [f"{name}[{number}]" for number in range(1, len(config[name]) + 1)]
        assert [sentence.partition(" = ")[0] for sentence in told] == labels


def test_missing_parameters_are_named() -> None:
    config = FASHION.defaults()
    del config["lr_decay"]
    assert "lr_decay is missing" in FASHION.problems(config)[0]


def test_a_map_of_one_pixel_cannot_be_downsampled() -> None:
    space = SPACES[1, 8, 8]
    config = {**space.defaults(), "downsample": ["pool"] * 4}
    assert space.problems(config) == [
        "downsample[4] = pool: the map is 1 x 1 there, nothing is left to downsample. "
        "Set it to none, or downsample less before it."
    ]


def test_a_person_may_leave_the_guides_and_the_domains() -> None:
    config = {
        **FASHION.defaults(),
        "channels": [100, 50, 10, 3],
        "kernel": [9, 3, 3, 3],
        "batch_size": 8,
    }
    assert FASHION.problems(config) == []
    assert not FASHION.guided(config, 1)
    assert np.isfinite(FASHION.encoding.row(config)[:1]).all()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("conv_layers", "6..2", "reversed"),
        ("conv_layers", "", "empty"),
        ("conv_layers", "2..99", "beyond what is possible"),
        ("conv_layers", "two", "not a range"),
        ("conv_layers", "2.5..3", "beyond what is possible"),
        ("conv_layers", "1..2..3", "not a range"),
        ("kernel", "3,4", "4 is not possible"),
        ("downsample", "pool,melt", "melt is not possible"),
        ("learning_rate", "0..1", "beyond what is possible"),
        ("weight_decay", "0..1e-3", "logarithmic scale has no 0"),
        ("learning_rate", "nan..1", "not a range"),
        ("nonsense", "1..2", "no parameter"),
    ],
)
def test_a_bad_domain_is_refused_with_its_value(name: str, text: str, words: str) -> None:
    with pytest.raises(InvalidDomain, match=words):
        FASHION.narrowed({name: text})


@pytest.mark.parametrize("parameter", FASHION.parameters, ids=lambda p: p.name)
def test_a_domain_reads_back_what_it_writes(parameter: Parameter) -> None:
    assert parse_domain(parameter, parameter.domain.text()) == parameter.domain


def test_domains_can_be_widened_and_fixed() -> None:
    space = FASHION.narrowed({"conv_layers": "2..12", "batch_size": "64", "weight_decay": "0"})
    config = space.sample(np.random.default_rng(0))
    assert config["batch_size"] == 64
    assert config["weight_decay"] == 0
    assert space["conv_layers"].domain == Integer(2, 12)


@pytest.mark.parametrize(
    "domain",
    [Integer(8, 512, log=True, step=8), Integer(2, 8), Integer(5, 5), Integer(32, 512, log=True)],
)
def test_integers_reach_every_end_and_stay_inside(domain: Integer) -> None:
    drawn = [domain.at(u) for u in np.linspace(0, 1, 5000, endpoint=False)]
    assert min(drawn) == domain.low
    assert max(drawn) == domain.high
    assert all(domain.contains(v) for v in drawn)
    assert drawn == sorted(drawn)
    assert all(domain.contains(n) for v in drawn[::100] for n in domain.near(v))


@pytest.mark.parametrize("domain", [Real(1e-4, 0.1, log=True), Real(1e-6, 0.1, True, zero=True)])
def test_reals_stay_inside_and_keep_four_digits(domain: Real) -> None:
    for unit in np.linspace(0, 1, 300, endpoint=False):
        value = domain.at(unit)
        assert domain.contains(value)
        assert value == float(f"{value:.4g}")
        assert all(domain.contains(n) for n in domain.near(value))


def test_a_space_need_not_be_networks() -> None:
    space = Space(
        levels=("one",),
        parameters=(
            Parameter("x", 1, Real(-5, 10), 0.0),
            Parameter("y", 1, Real(0, 15), 0.0),
            Parameter("kind", 1, Categorical(("a", "b")), "a"),
        ),
    )
    config = space.sample(np.random.default_rng(0))
    assert space.validate(config) == config
    assert len(neighbours(space, config, 1)) > 5
