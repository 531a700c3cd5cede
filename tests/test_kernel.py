"""The conditional kernel: positive semi-definite, with the gradient it claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from lcsearch.engine.model.embedding import Embedding
from lcsearch.engine.model.kernel import Conditional
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.domains import Categorical, Integer
from lcsearch.engine.tasks.parameter import Parameter
from lcsearch.engine.tasks.space import Space
from lcsearch.sessions.records import Config

SPACE = cnn.space((1, 28, 28), 10, parameters=cnn.POSTER)
EMBEDDING = Embedding(SPACE)
SPANS = tuple(group.features for group in EMBEDDING.groups)
LEVELS = tuple(group.level for group in EMBEDDING.groups)


def networks(seed: int, count: int) -> list[Config]:
    """Random networks of every length, some with values that no search would sample."""
    rng = np.random.default_rng(seed)
    found = [SPACE.sample(rng) for _ in range(count)]
    wide = SPACE.defaults() | {"conv_layers": 1}
    found += [
        SPACE.resized(wide | {"channels": [4096]}),
        SPACE.resized(SPACE.defaults() | {"conv_layers": 16}),
        SPACE.defaults() | {"learning_rate": 10.0, "weight_decay": 1.0, "batch_size": 65536},
    ]
    return found


def kernel(
    rng: np.random.Generator, linear: float, factors: tuple[int, ...] = LEVELS
) -> Conditional:
    return Conditional(
        SPANS,
        np.exp(rng.normal(0.0, 1.5, len(SPANS))),
        float(np.exp(rng.normal())),
        EMBEDDING.known_features if linear else (),
        linear,
        factors,
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.7]), st.sampled_from([(), LEVELS]))
def test_it_is_positive_semi_definite_over_networks_of_every_length(
    seed: int, linear: float, factors: tuple[int, ...]
) -> None:
    configs = networks(seed, 60)
    K = kernel(np.random.default_rng(seed), linear, factors)(EMBEDDING(configs))
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K).min() > -1e-9 * np.abs(K).max()


def test_it_is_a_product_of_a_factor_a_level() -> None:
    X = EMBEDDING(networks(11, 10))
    k = kernel(np.random.default_rng(11), 0.0)
    product = np.ones((len(X), len(X)))
    for level in sorted(set(LEVELS)):
        own = [i for i, other in enumerate(LEVELS) if other == level]
        alone = Conditional(tuple(SPANS[i] for i in own), k.length_scale[own])
        product *= alone(X)
    np.testing.assert_allclose(k(X), k.amplitude * product, rtol=1e-10)


@pytest.mark.parametrize("linear", [0.0, 0.7])
@pytest.mark.parametrize("factors", [(), LEVELS])
def test_the_gradient_equals_finite_differences(linear: float, factors: tuple[int, ...]) -> None:
    X = EMBEDDING(networks(3, 12))
    k = kernel(np.random.default_rng(3), linear, factors)
    _, gradient = k(X, eval_gradient=True)
    assert gradient.shape == (len(X), len(X), len(k.theta))
    step = 1e-6
    for index in range(len(k.theta)):
        moved = np.zeros(len(k.theta))
        moved[index] = step
        above = clone(k).clone_with_theta(k.theta + moved)(X)
        below = clone(k).clone_with_theta(k.theta - moved)(X)
        np.testing.assert_allclose(
            gradient[:, :, index], (above - below) / (2 * step), atol=2e-8, rtol=1e-5
        )


def test_the_diagonal_and_the_cross_covariance_agree_with_the_whole() -> None:
    configs = networks(5, 20)
    X = EMBEDDING(configs)
    k = kernel(np.random.default_rng(5), 0.7)
    whole = k(X)
    np.testing.assert_allclose(k.diag(X), np.diag(whole), rtol=1e-12)
    np.testing.assert_allclose(k(X[:7], X[7:]), whole[:7, 7:], rtol=1e-9)
    with pytest.raises(ValueError, match="Gradient"):
        k(X[:7], X[7:], eval_gradient=True)


def test_the_embedding_has_no_nan_and_tells_networks_apart() -> None:
    configs = networks(7, 100)
    X = EMBEDDING(configs)
    assert X.shape == (len(configs), EMBEDDING.size)
    assert np.isfinite(X).all()
    keys = {SPACE.key(c): row for c, row in zip(configs, X, strict=True)}
    rows = np.array(list(keys.values()))
    distances = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, 1.0)
    assert distances.min() > 1e-12


def test_two_categories_are_as_far_apart_as_any_other_two() -> None:
    space = Space(("one",), (Parameter("c", 1, Categorical(("a", "b", "c", "d")), "a"),))
    embed = Embedding(space)
    k = Conditional(tuple(g.features for g in embed.groups), np.array([0.8]))
    K = k(embed([{"c": c} for c in "abcd"]))
    apart = K[~np.eye(4, dtype=bool)]
    np.testing.assert_allclose(apart, apart[0])
    assert apart[0] < 1


def test_relabelled_categories_give_the_same_covariance() -> None:
    rng = np.random.default_rng(0)
    labels = [str(rng.integers(4)) for _ in range(10)]
    shuffled = dict(zip("0123", "2031", strict=True))
    matrices = []
    for rename in (dict(zip("0123", "0123", strict=True)), shuffled):
        space = Space(("one",), (Parameter("c", 1, Categorical(tuple("0123")), "0"),))
        embed = Embedding(space)
        k = Conditional(tuple(g.features for g in embed.groups), np.array([0.8]))
        matrices.append(k(embed([{"c": rename[label]} for label in labels])))
    np.testing.assert_allclose(matrices[0], matrices[1], rtol=1e-12)


def test_layers_share_a_length_scale() -> None:
    assert [g.label for g in EMBEDDING.groups].count("channels") == 2  # by place, and as a whole
    assert len({g.label for g in EMBEDDING.groups}) == len(SPACE.awake) + 2


def test_variation_is_laid_to_what_varies() -> None:
    rng = np.random.default_rng(0)
    varied = EMBEDDING.variation(EMBEDDING([SPACE.sample(rng, 1) for _ in range(200)]))
    total: dict[str, float] = {}
    for parts in varied:
        for label, variance in parts.items():
            total[label] = total.get(label, 0.0) + variance
    assert total["conv_layers"] > 0.1
    assert total["downsample"] > 0.1
    # only there or not there with its layer: nobody varied it
    assert total["batch_norm"] == pytest.approx(0, abs=1e-12)
    assert total["kernel"] == pytest.approx(0, abs=1e-12)
    assert total["learning_rate"] == pytest.approx(0, abs=1e-12)


def test_a_space_without_anything_known_needs_no_reference() -> None:
    space = Space(("one",), (Parameter("n", 1, Integer(0, 10), 5),))
    embed = Embedding(space)
    assert embed.known_features == ()
    assert embed([{"n": 0}, {"n": 10}]).tolist() == [[0.0], [1.0]]
    assert embed([]).shape == (0, 1)


@pytest.mark.parametrize(
    ("name", "inside", "wider"),
    [("kernel", [1, 3, 5, 7], [9, 11, 13, 15]), ("groups", [1, 2, 4, 8], [16, 32, 64, 128])],
)
def test_widened_ordered_categories_go_on_beyond_the_end(
    name: str, inside: list[int], wider: list[int]
) -> None:
    base = SPACE.defaults() | {"channels": [128] * 4}
    text = ",".join(map(str, inside + wider))
    configs = [base | {name: [SPACE[name].default, value, 1, 1]} for value in inside + wider]
    X = Embedding(SPACE.narrowed({name: text}))(configs)
    assert np.isfinite(X).all()
    assert (np.linalg.norm(X[1:] - X[:1], axis=1) > 0.01).all()
    group = next(g for g in EMBEDDING.groups if g.label == name)
    places = X[:, slice(*group.features)]
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert apart[~np.eye(8, dtype=bool)].min() > 1e-3
    assert (np.diff(apart[0]) > 0).all()
    # nothing that was there has moved
    np.testing.assert_array_equal(X, EMBEDDING(configs))
    narrow = Embedding(SPACE.narrowed({name: text.split(",")[1]}))
    np.testing.assert_array_equal(narrow(configs), X)
