"""Costs by arithmetic, against what is built: a walk through the modules of random networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.layout import BYTES, Network
from lcsearch.engine.training.build import build
from lcsearch.engine.training.shortcut import Shortcut
from lcsearch.engine.training.sparse import SparseLinear

NETWORKS = 700
PROBLEMS = (((1, 8, 8), 10, 4), ((3, 33, 21), 7, 2), ((1, 28, 28), 47, 1))


def random_networks(problem: int) -> list[dict[str, Network]]:
    """Each as it is deployed in every type."""
    shape, classes, features = PROBLEMS[problem]
    space = cnn.space(shape, classes, features=features)
    rng = np.random.default_rng(problem)
    base = space.reference
    assert base is not None
    drawn = (space.sample(rng, 0, base) for _ in range(NETWORKS))
    return [
        {to: cnn.network(config, shape, classes, features, to) for to in BYTES}
        for config in drawn
        if not space.broken(config)
    ]


def built(network: Network) -> nn.Sequential:
    """The network without numbers in it: shapes alone."""
    with torch.device("meta"):
        return build(network, 0).eval()


def counted_bytes(model: nn.Sequential, each: int) -> int:
    """Of what a deployed network keeps: no batch norm, and a bias wherever there is none yet."""
    total = 0
    for layer in model:
        match layer:
            case nn.Conv2d():
                total += layer.weight.numel() * each + 4 * layer.out_channels
            case nn.Linear():
                total += layer.weight.numel() * each + 4 * layer.out_features
            case SparseLinear():
                index = next(n for n in (1, 2, 4) if layer.inputs <= 256**n)
                dense = layer.inputs * layer.outputs * each
                total += min(dense, layer.weight.numel() * (each + index)) + 4 * layer.outputs
    return total


def peak(model: nn.Sequential, image: Tensor, each: int) -> int:
    """The most that is alive, every tensor from when it is made to when nothing reads it any more.

    Batch norm is part of its convolution, activations and additions work in place, flattening moves
    nothing.
    """
    in_place = (nn.BatchNorm2d, nn.ReLU, nn.SiLU, nn.Hardswish, nn.Flatten)
    added = {layer.held for layer in model if isinstance(layer, Shortcut)}
    held: dict[int, Tensor] = {}
    most, alive = 0, image
    for at, layer in enumerate(model):
        if at in added:
            held[at] = alive
        if isinstance(layer, Shortcut):
            assert layer(alive, held[layer.held]).shape == alive.shape
            del held[layer.held]
            continue
        if isinstance(layer, in_place):
            alive = layer(alive)
            continue
        if isinstance(layer, SparseLinear):  # its tables hold numbers, which shapes have none of
            made = alive.new_empty(1, layer.outputs)
        else:
            made = layer(alive)
        tensors = {id(tensor): tensor for tensor in (alive, made, *held.values())}
        most = max(most, sum(tensor.numel() for tensor in tensors.values()))
        alive = made
    assert not held
    return most * each


@pytest.mark.parametrize("problem", range(len(PROBLEMS)))
def test_bytes_are_those_of_the_network_that_is_built(problem: int) -> None:
    networks = random_networks(problem)
    assert len(networks) > NETWORKS / 2
    for deployed in networks:
        model = built(deployed["float32"])
        image = torch.empty((1, *deployed["float32"].shape), device="meta")
        alive = peak(model, image, 1)
        for to, network in deployed.items():
            assert network.size == counted_bytes(model, BYTES[to])
            assert network.activations == alive * BYTES[to]


def test_the_reference_by_hand() -> None:
    shape = (1, 28, 28)
    network = cnn.network(cnn.reference(shape, 10), shape, 10)
    weights = 9 * (16 + 16 * 32 + 32 * 32 + 32 * 64) + 64 * 4 * 4 * 10
    biases = 16 + 32 + 32 + 64 + 10
    assert network.size == 4 * (weights + biases)
    # the second convolution reads 16 maps of 28 x 28 and writes 32
    assert network.activations == 4 * (16 + 32) * 28 * 28
    quantised = cnn.network(cnn.reference(shape, 10), shape, 10, deployed="int8")
    assert quantised.size == weights + 4 * biases
    assert quantised.activations == (16 + 32) * 28 * 28


def test_a_sparse_layer_keeps_its_weights_with_their_inputs_or_all_of_them() -> None:
    shape = (1, 8, 8)
    whole = cnn.network(cnn.reference(shape, 10), shape, 10)
    inputs = whole.dense[0].inputs
    for density, kept in ((0.1, round(0.1 * inputs) * 10 * (4 + 1)), (0.9, inputs * 10 * 4)):
        network = cnn.network({**cnn.reference(shape, 10), "density": [density]}, shape, 10)
        assert whole.size - network.size == inputs * 10 * 4 - kept
