"""Built networks have the shapes, parameters and MACs that arithmetic says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.layout import Network
from lcsearch.engine.training.build import build
from lcsearch.engine.training.sparse import SparseLinear

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 13, 7), (2, 5, 1), (1, 1, 1)]
WIDENED = {
    "conv_layers": "1..12",
    "channels": "4..1024",
    "kernel": "1,5,9,11",
    "groups": "1,2,4,16",
    "classifier_layers": "1..5",
    "hidden_units": "1..2000",
    "density": "0.001..1",
}
"""What a person may ask for beyond the default domains."""
pytestmark = pytest.mark.usefixtures("one_thread")


def measured(
    model: nn.Module, shape: tuple[int, int, int], batch: int = 2, device: str = "cpu"
) -> tuple[int, list[tuple[int, ...]], tuple[int, ...]]:
    """MACs of one image, and the shapes that convolution blocks and the classifier give."""
    macs: list[int] = []
    maps: list[tuple[int, ...]] = []

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.Linear | SparseLinear)
        weight = module.weight
        if isinstance(module, nn.Conv2d):
            maps.append(tuple(output.shape[2:]))
            macs.append(weight[0].numel() * output.numel() // batch)
        else:
            macs.append(weight.numel())

    def pooled(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        maps[-1] = tuple(output.shape[2:])

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | SparseLinear):
            module.register_forward_hook(count)
        elif isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(pooled)
    images = torch.randn(batch, *shape, device=device)
    logits = model(images.to(memory_format=torch.channels_last))
    return sum(macs), maps, tuple(logits.shape)


def check(
    laid: Network, model: nn.Module, shape: tuple[int, int, int], classes: int, device: str
) -> None:
    macs, maps, logits = measured(model, shape, device=device)
    assert sum(p.numel() for p in model.parameters()) == laid.params
    assert macs == laid.macs
    expected: list[tuple[int, int]] = []
    for layer in laid.convolutions:
        expected += [layer.map_inside] * layer.separable  # of the depthwise convolution
        expected.append((layer.height_out, layer.width_out))
    assert maps == expected
    assert logits == (2, classes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("features", [1, 4])
@pytest.mark.parametrize("domains", [{}, WIDENED], ids=["default", "widened"])
def test_thousands_of_random_networks(
    shape: tuple[int, int, int], features: int, domains: dict[str, str]
) -> None:
    rng = np.random.default_rng(features)
    space = cnn.space(shape, 7, features=features, domains=domains)
    for _ in range(90):  # times 24 combinations
        config = space.sample(rng)
        laid = cnn.network(config, shape, 7, features)
        with torch.device("meta"):  # shapes and counts by torch itself, without the arithmetic
            model = build(laid, 0).to("meta")
        check(laid, model, shape, 7, "meta")


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_real_networks_give_finite_logits_and_gradients(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(5)
    space = cnn.space(shape, 4, macs_cap=2)
    for seed in range(4):
        config = space.sample(rng)
        laid = cnn.network(config, shape, 4)
        if laid.params > 3e6:
            continue
        model = build(laid, seed)
        check(laid, model, shape, 4, "cpu")
        model(torch.randn(3, *shape)).square().sum().backward()
        for p in model.parameters():
            assert p.grad is not None
            assert p.grad.isfinite().all()


def test_a_network_by_hand() -> None:
    """Against the same network written out in plain torch, from the same weights."""
    config = {
        "conv_layers": 2,
        "channels": [8, 16],
        "downsample": ["stride", "pool"],
        "kernel": [5, 3],
        "batch_norm": [False, True],
        "groups": [1, 4],
        "classifier_layers": 2,
        "hidden_units": [12],
        "density": [1.0, 1.0],
        "weight_decay": 0.0,
        "learning_rate": 1e-3,
        "lr_decay": 1.0,
        "batch_size": 32,
    }
    model = build(cnn.network(config, (3, 13, 13), 5, features=2), 0)
    w = dict(
        zip(("w1", "b1", "w2", "s", "t", "w3", "b3", "w4", "b4"), model.parameters(), strict=True)
    )
    images = torch.randn(6, 3, 13, 13)
    f = nn.functional
    x = f.conv2d(images, w["w1"], w["b1"], stride=2, padding=2).relu()
    x = f.conv2d(x, w["w2"], None, padding=1, groups=4)
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
    x = (x - mean) / (var + 1e-5).sqrt() * w["s"].view(-1, 1, 1) + w["t"].view(-1, 1, 1)
    x = f.max_pool2d(f.pad(x.relu(), (0, 1, 0, 1)), 2)
    assert x.shape[2:] == (4, 4)
    x = x.view(6, 16, 2, 2, 2, 2).mean((3, 5)).reshape(6, -1)
    x = (x @ w["w3"].T + w["b3"]).relu() @ w["w4"].T + w["b4"]
    torch.testing.assert_close(model(images), x, atol=1e-4, rtol=1e-4)


def test_a_network_is_its_seeds_and_leaves_the_global_seed_alone() -> None:
    laid = cnn.network({**cnn.reference((1, 8, 8), 10), "density": [0.2]}, (1, 8, 8), 10)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, same, other = (build(laid, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])
