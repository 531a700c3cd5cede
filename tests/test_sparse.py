"""Laws of the pre-defined pattern, and equality with a masked dense layer."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcsearch.engine.training.sparse import SparseLinear, pattern

sizes = st.integers(1, 70).flatmap(
    lambda inputs: st.tuples(st.just(inputs), st.integers(1, 90), st.integers(1, inputs))
)


@given(sizes, st.integers(0, 9))
def test_in_degree_is_constant_and_out_degree_balanced_to_one(size, seed):
    inputs, outputs, in_degree = size
    connections = pattern(inputs, outputs, in_degree, seed)
    assert connections.shape == (outputs, in_degree)
    for row in connections:
        assert len(set(row.tolist())) == in_degree
    out_degree = torch.bincount(connections.flatten(), minlength=inputs)
    assert len(out_degree) == inputs
    assert out_degree.max() - out_degree.min() <= 1


def test_the_pattern_is_its_seeds():
    first = pattern(64, 10, 6, 1)
    assert torch.equal(first, pattern(64, 10, 6, 1))
    assert not torch.equal(first, pattern(64, 10, 6, 2))


def masked(layer, features):
    """The output by a dense layer whose missing weights are held at zero by a mask."""
    mask = torch.zeros(layer.outputs, layer.inputs)
    dense = torch.zeros(layer.outputs, layer.inputs)
    for row, taken in enumerate(layer.connections.tolist()):
        for column, at in enumerate(taken):
            mask[row, at] = 1
            dense[row, at] = layer.weight[row, column].detach()
    dense.requires_grad_()
    bias = layer.bias.detach().clone().requires_grad_()
    return (dense * mask), dense, bias, features @ (dense * mask).T + bias


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(1, 9), st.integers(0, 3))
def test_outputs_and_gradients_are_those_of_a_masked_dense_layer(size, batch, seed):
    torch.manual_seed(seed)
    layer = SparseLinear(*size, seed)
    features = torch.randn(batch, size[0], requires_grad=True)
    alike = features.detach().clone().requires_grad_()
    goal = torch.randn(batch, size[1])
    _, dense, bias, expected = masked(layer, alike)
    output = layer(features)
    torch.testing.assert_close(output, expected)
    (output * goal).sum().backward()
    (expected * goal).sum().backward()
    torch.testing.assert_close(features.grad, alike.grad)
    torch.testing.assert_close(layer.bias.grad, bias.grad)
    torch.testing.assert_close(layer.weight.grad, dense.grad.gather(1, layer.connections))


def test_weights_that_do_not_exist_cost_neither_parameters_nor_optimiser_state():
    layer = SparseLinear(400, 50, 40, 0)
    assert sum(p.numel() for p in layer.parameters()) == 40 * 50 + 50
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.randn(8, 400)).sum().backward()
    optimiser.step()
    state = [v for s in optimiser.state.values() for v in s.values() if v.dim()]
    assert sum(v.numel() for v in state) == 2 * (40 * 50 + 50)


def test_initial_weights_are_scaled_to_the_connections_that_exist():
    layer = SparseLinear(1000, 200, 16, 0)
    assert layer.weight.abs().max() <= 0.25
    assert layer.weight.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.05)


def test_autocast_trains_it_in_bfloat16():
    layer = SparseLinear(96, 40, 24, 0)
    features = torch.randn(16, 96)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(features)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), layer(features), atol=0.03, rtol=0.05)
    output.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
