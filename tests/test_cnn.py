"""Arithmetic of networks against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.space import InvalidConfig
from lcsearch.engine.tasks.task import exact_complexity, measure_named, task_named
from lcsearch.sessions.records import Config


def config(**change: Any) -> Config:
    return {**cnn.reference((1, 28, 28), 10), **change}


def test_the_reference_on_fashion_mnist() -> None:
    laid = cnn.network(config(), (1, 28, 28), 10)
    convolutions = [9 * 16, 9 * 16 * 32, 9 * 32 * 32, 9 * 32 * 64]
    assert laid.pooled == (4, 4)
    assert laid.macs == (
        convolutions[0] * 784
        + convolutions[1] * 784
        + convolutions[2] * 196
        + convolutions[3] * 196
        + 1024 * 10
    )
    assert laid.params == sum(convolutions) + 2 * (16 + 32 + 32 + 64) + 1024 * 10 + 10


def test_groups_density_bias_and_odd_sizes() -> None:
    laid = cnn.network(
        config(
            conv_layers=2,
            channels=[8, 16],
            downsample=["stride", "pool"],
            kernel=[5, 3],
            batch_norm=[False, True],
            groups=[1, 4],
            classifier_layers=2,
            hidden_units=[20],
            density=[0.25, 0.5],
        ),
        (3, 13, 7),
        5,
        features=1,
    )
    first, second = laid.convolutions
    assert (first.height_out, first.width_out) == (7, 4)
    assert (second.height_out, second.width_out) == (4, 2)
    assert first.params == 25 * 3 * 8 + 8
    assert first.macs == 25 * 3 * 8 * 28
    assert second.params == 9 * 2 * 16 + 32
    assert second.macs == 9 * 2 * 16 * 28
    assert laid.pooled == (1, 1)
    assert [d.in_degree for d in laid.dense] == [4, 10]
    assert laid.dense[0].params == 4 * 20 + 20
    assert laid.dense[1].macs == 10 * 5


def test_the_reference_is_valid_on_every_shape() -> None:
    for shape in [(1, 8, 8), (3, 32, 32), (1, 1, 1), (1, 2, 9), (3, 64, 64)]:
        space = cnn.space(shape, 7)
        assert space.problems(cnn.reference(shape, 7)) == []


def test_two_densities_that_keep_the_same_connections_are_one_network() -> None:
    space = cnn.space((1, 8, 8), 10)
    one = {**cnn.reference((1, 8, 8), 10), "density": [0.5]}
    assert space.key(one) == space.key({**one, "density": [0.5001]})
    assert space.key(one) != space.key({**one, "density": [0.6]})


def test_the_cap_on_macs_and_exact_complexity() -> None:
    space = cnn.space((1, 28, 28), 10, macs_cap=2)
    base = cnn.reference((1, 28, 28), 10)
    assert space.proposable is not None
    assert space.proposable(base)
    heavy = {**base, "channels": [64, 128, 128, 256]}
    assert not space.proposable(heavy)
    macs, seconds = (measure_named(name, task_named("cnn")) for name in ("macs", "seconds"))
    assert exact_complexity(space, base, macs) == 1
    complexity = exact_complexity(space, heavy, macs)
    assert complexity is not None
    assert complexity > 8
    assert exact_complexity(space, heavy, seconds) is None


def test_a_network_that_cannot_be_built_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"channels\[3\] = 24: not divisible"):
        cnn.network(config(channels=[16, 16, 24, 24], groups=[1, 1, 16, 1]), (1, 28, 28), 10)


def test_a_session_with_more_layers_than_the_map_has_halves_still_samples() -> None:
    space = cnn.space((1, 8, 8), 10, domains={"downsample": "pool", "conv_layers": "6"})
    for seed in range(20):
        drawn = space.sample(np.random.default_rng(seed), 1)
        assert drawn["downsample"] == ["pool"] * 3 + ["none"] * 3
