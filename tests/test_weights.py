"""One piece of memory for all weights: the same numbers as a tensor for each, as autocast's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.layout import Network
from lcsearch.engine.training import loop
from lcsearch.engine.training.build import build
from lcsearch.engine.training.data import read
from lcsearch.engine.training.images import Draw, Placed, place
from lcsearch.engine.training.optimisers import Adam
from lcsearch.engine.training.run import Training, begin, full_precision
from lcsearch.engine.training.weights import Weights
from lcsearch.sessions.records import Config, DataSource

SHAPE, CLASSES = (1, 8, 8), 10


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(read(DataSource(spec="digits")), torch.device("cpu"))


def network(**change: Any) -> tuple[Network, Config]:
    config = cnn.reference(SHAPE, CLASSES) | {"weight_decay": 1e-3, "batch_size": 64} | change
    return cnn.network(config, SHAPE, CLASSES), config


def separate(
    laid: Network, config: Config, placed: Placed, dtype: torch.dtype, steps: int
) -> tuple[list[float], nn.Sequential]:
    """The losses of plain PyTorch: a parameter each, autocast, torch's own Adam over all."""
    model = build(laid, 5)
    adam = torch.optim.Adam(
        model.parameters(), config["learning_rate"], weight_decay=config["weight_decay"], fused=True
    )
    losses = []
    model.train()
    for at in range(steps):
        index = torch.arange(64 * at, 64 * at + 64)
        images = placed.train_images[index].permute(0, 3, 1, 2)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = model(images)
        loss = functional.cross_entropy(logits.float(), placed.train_labels[index])
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
        losses.append(loss.item())
    return losses, model


@pytest.mark.parametrize("fused", [True, False])
def test_torch_and_we_read_each_others_adam(fused: bool) -> None:
    """Checkpoints of before are torch's, and whoever reads ours may be of before."""
    draw = torch.Generator().manual_seed(2)
    gradients = [torch.randn(5, generator=draw) for _ in range(4)]
    settings: dict[str, Any] = {"lr": 0.01, "weight_decay": 1e-3, "fused": fused}
    mine, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    ours, plain = Adam([mine], **settings), torch.optim.Adam([theirs], **settings)
    for gradient in gradients:
        mine.grad, theirs.grad = gradient.clone(), gradient.clone()
        ours.update()
        plain.step()
        kept, other = ours.state_dict(), plain.state_dict()
        torch.testing.assert_close(kept, other, rtol=0, atol=0)
        ours.load_state_dict(other)
        plain.load_state_dict(kept)
    assert torch.equal(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"kernel": [1, 3, 5, 3], "batch_norm": [True, False, True, False], "groups": [1, 2, 4, 1]},
        {"classifier_layers": 2, "hidden_units": [32], "density": [0.25, 1.0]},
    ],
)
def test_the_losses_are_those_of_a_parameter_each(
    placed: Placed, dtype: torch.dtype, change: dict[str, Any]
) -> None:
    laid, config = network(**change)
    expected, model = separate(laid, config, placed, dtype, 8)
    run = begin(Training(laid, config, 5, 1), placed, dtype)
    run.model.train()
    drawn = Draw(torch.arange(8 * 64))
    losses = [loop.step(run, drawn, 64 * at, 64 * at + 64).item() for at in range(8)]
    # which operators compute them can differ in the last digit of the data type
    torch.testing.assert_close(
        losses, expected, rtol=2e-6 if dtype == torch.float32 else 2e-3, atol=0
    )
    state = run.weights.state_dict()
    assert state.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert state[name].dtype == value.dtype
        torch.testing.assert_close(state[name], value, rtol=1e-2, atol=2e-3)


def test_layers_compute_in_the_low_type_and_batch_norm_in_float32() -> None:
    laid, _ = network()
    model = build(laid, 0)
    exact = {name: value.clone() for name, value in model.state_dict().items()}
    weights = Weights(model, torch.bfloat16)
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            norm = isinstance(module, torch.nn.BatchNorm2d)
            assert parameter.dtype == (torch.float32 if norm else torch.bfloat16)
    # nothing was lost by rounding: the weights that are stepped are those that were drawn
    for name, value in weights.state_dict().items():
        assert torch.equal(value, exact[name])
    assert sum(view.numel() for view in weights._views.values()) == laid.params
    assert laid.params <= weights.master.numel() < 1.05 * laid.params
    for parameter in model.parameters():
        assert parameter.data_ptr() % 64 == 0


def test_a_state_of_another_network_is_refused_and_changes_no_weight() -> None:
    laid, _ = network()
    weights = Weights(build(laid, 0), torch.bfloat16)
    before = weights.master.clone()
    other, _ = network(channels=[8, 8, 8, 8])
    with pytest.raises(RuntimeError, match="size mismatch"):
        weights.load_state_dict(build(other, 0).state_dict())
    assert torch.equal(weights.master, before)


def test_memory_formats_are_kept() -> None:
    laid, _ = network()
    model = build(laid, 0)
    before = {name: p.stride() for name, p in model.named_parameters()}
    Weights(model, torch.bfloat16)
    assert {name: p.stride() for name, p in model.named_parameters()} == before


def test_a_network_in_full_precision_is_the_run_s(placed: Placed) -> None:
    laid, config = network()
    run = begin(Training(laid, config, 5, 1), placed, torch.bfloat16)
    run.model.train()
    loop.step(run, Draw(torch.arange(64)), 0, 64)
    copy = full_precision(run)
    assert all(p.dtype == torch.float32 for p in copy.parameters())
    state = run.weights.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in copy.state_dict().items())
