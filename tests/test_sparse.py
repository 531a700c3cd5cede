"""Laws of the pre-defined pattern, and equality with a masked dense layer."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcsearch.engine.training import sparse
from lcsearch.engine.training.sparse import SparseLinear, pattern

sizes = st.integers(1, 70).flatmap(
    lambda inputs: st.tuples(st.just(inputs), st.integers(1, 90), st.integers(1, inputs))
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@given(sizes, st.integers(0, 9))
def test_in_degree_is_constant_and_out_degree_balanced_to_one(
    size: tuple[int, int, int], seed: int
) -> None:
    inputs, outputs, in_degree = size
    connections = pattern(inputs, outputs, in_degree, seed)
    assert connections.shape == (outputs, in_degree)
    for row in connections:
        assert len(set(row.tolist())) == in_degree
    out_degree = torch.bincount(connections.flatten(), minlength=inputs)
    assert len(out_degree) == inputs
    assert out_degree.max() - out_degree.min() <= 1


def test_the_pattern_is_its_seeds() -> None:
    first = pattern(64, 10, 6, 1)
    assert torch.equal(first, pattern(64, 10, 6, 1))
    assert not torch.equal(first, pattern(64, 10, 6, 2))


def built(inputs: int, outputs: int, in_degree: int, seed: int, blocks: bool) -> SparseLinear:
    """A layer in the form that is asked for, whatever its size."""
    small, gain = (0, 0) if blocks else (inputs * outputs + 1, 1)
    with patch.object(sparse, "SMALL", small), patch.object(sparse, "GAIN", gain):
        layer = SparseLinear(inputs, outputs, in_degree, seed)
    assert (layer.blocks is not None) == blocks
    return layer


def check_against_masked(layer: SparseLinear, seed: int, batch: int) -> None:
    """Outputs and gradients are those of a dense layer whose missing weights a mask holds at 0."""
    connections = pattern(layer.inputs, layer.outputs, layer.in_degree, seed)
    mask = torch.zeros(layer.outputs, layer.inputs)
    dense = torch.zeros(layer.outputs, layer.inputs)
    for row, taken in enumerate(connections.tolist()):
        mask[row, taken] = 1
        dense[row, taken] = layer.weight[row].detach()
    dense.requires_grad_()
    bias = layer.bias.detach().clone().requires_grad_()
    features = torch.randn(batch, layer.inputs, requires_grad=True)
    alike = features.detach().clone().requires_grad_()
    goal = torch.randn(batch, layer.outputs)
    expected = alike @ (dense * mask).T + bias
    output = layer(features)
    torch.testing.assert_close(output, expected)
    torch.autograd.backward((output * goal).sum())
    torch.autograd.backward((expected * goal).sum())
    torch.testing.assert_close(features.grad, alike.grad)
    torch.testing.assert_close(layer.bias.grad, bias.grad)
    assert dense.grad is not None
    torch.testing.assert_close(layer.weight.grad, dense.grad.gather(1, connections))


@settings(max_examples=80)
@given(sizes, st.integers(1, 9), st.integers(0, 3), st.booleans())
def test_outputs_and_gradients_are_those_of_a_masked_dense_layer(
    size: tuple[int, int, int], batch: int, seed: int, blocks: bool
) -> None:
    torch.manual_seed(seed)
    check_against_masked(built(*size, seed, blocks), seed, batch)


@pytest.mark.parametrize("in_degree", [1024, 256, 205, 102, 37])
def test_large_layers_equal_a_masked_dense_layer(in_degree: int) -> None:
    torch.manual_seed(0)
    check_against_masked(SparseLinear(2048, 512, in_degree, 7), 7, 5)


def test_large_sparse_layers_are_small_products() -> None:
    """A tenth of the density is not a tenth of the time, but far less work than dense."""
    for inputs in (2048, 8192):
        for density in (1 / 8, 1 / 10, 1 / 16, 1 / 20):
            layer = SparseLinear(inputs, 512, round(inputs * density), 0)
            assert layer.blocks is not None
            done = layer.blocks.groups * layer.blocks.rows * layer.blocks.width
            assert done <= 2.5 * layer.weight.numel()
            assert done <= inputs * 512 / 5


def test_the_first_layer_needs_no_gradient_of_its_input() -> None:
    layer = built(64, 32, 8, 0, blocks=True)
    layer(torch.randn(4, 64)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.shape == (32, 8)


def test_weights_that_do_not_exist_cost_neither_parameters_nor_optimiser_state() -> None:
    layer = SparseLinear(400, 50, 40, 0)
    assert sum(p.numel() for p in layer.parameters()) == 40 * 50 + 50
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.randn(8, 400)).sum().backward()
    optimiser.step()
    state = [v for s in optimiser.state.values() for v in s.values() if v.dim()]
    assert sum(v.numel() for v in state) == 2 * (40 * 50 + 50)


def test_initial_weights_are_scaled_to_the_connections_that_exist() -> None:
    layer = SparseLinear(1000, 200, 16, 0)
    assert layer.weight.abs().max() <= 0.25
    assert layer.weight.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("blocks", [False, True])
def test_autocast_trains_it_in_bfloat16(blocks: bool) -> None:
    layer = built(96, 40, 24, 0, blocks)
    features = torch.randn(16, 96)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(features)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), layer(features), atol=0.03, rtol=0.05)
    output.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
