"""Schedules, optimisers, dropout, smoothing, the recipe: what they compute, resumed alike."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import loop
from lcsearch.engine.training.build import build
from lcsearch.engine.training.checkpoint import CheckpointError, restore
from lcsearch.engine.training.data import read
from lcsearch.engine.training.images import Draw, Placed, place
from lcsearch.engine.training.loop import batch_bounds, train
from lcsearch.engine.training.recipe import initialise, learning_rate, undecayed
from lcsearch.engine.training.run import Run, Training, begin, full_precision
from lcsearch.engine.training.shortcut import Shortcut
from lcsearch.engine.training.sparse import SparseLinear
from lcsearch.sessions.records import Config, DataSource

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE, CLASSES = (1, 8, 8), 10
SCHEDULES = ("exponential", "cosine", "one-cycle")
RECIPES: list[Config] = [
    {"schedule": "cosine"},
    {"schedule": "cosine", "optimiser": "sgd", "learning_rate": 0.05, "label_smoothing": 0.1},
    {"schedule": "one-cycle", "optimiser": "adamw", "weight_decay": 0.05, "dropout": 0.3},
    {"schedule": "exponential", "optimiser": "sgd", "learning_rate": 0.05, "dropout": 0.2},
]


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(read(DataSource(spec="digits")), torch.device("cpu"))


def task(epochs: int = 3, seed: int = 1, **change: Any) -> Training:
    config = {
        **cnn.reference(SHAPE, CLASSES),
        "conv_layers": 2,
        "channels": [8, 16],
        "downsample": ["none", "pool"],
        "kernel": [3, 3],
        "batch_norm": [True, False],
        "groups": [1, 2],
        "classifier_layers": 2,
        "hidden_units": [32],
        "density": [0.25, 1.0],
        "weight_decay": 1e-3,
        "learning_rate": 3e-3,
        "lr_decay": 0.9,
        "batch_size": 256,
        **change,
    }
    # every parameter that there is, those of later versions too
    space = cnn.space(SHAPE, CLASSES)
    config = space.read({name: value for name, value in config.items() if fits(name, value)})
    return Training(cnn.network(config, SHAPE, CLASSES), config, seed, epochs)


def fits(name: str, value: Any) -> bool:
    """Lists of the reference's four layers are not this network's."""
    return not isinstance(value, list) or len(value) <= 2


def finished(job: Training, placed: Placed, path: Path, run: Run | None = None) -> Run:
    run = run or begin(job, placed, torch.float32)
    reference = loop.Reference(*plain(), placed, torch.float32)
    list(train(run, reference, path, lambda: False))
    return run


def plain() -> tuple[Any, Config]:
    config = cnn.reference(SHAPE, CLASSES)
    return cnn.network(config, SHAPE, CLASSES), config


def alike(one: Run, other: Run) -> bool:
    """To the last bit: what was lost in each epoch, and every weight."""
    curves = [[(e.train_loss, e.val_accuracy) for e in run.epochs] for run in (one, other)]
    a, b = one.weights.state_dict(), other.weights.state_dict()
    return curves[0] == curves[1] and all(torch.equal(a[name], b[name]) for name in a)


# -- the poster's ---------------------------------------------------------------------------------


def test_the_poster_s_training_is_bit_for_bit_what_it_was(placed: Placed, tmp_path: Path) -> None:
    """As it was written before there was anything else: torch's Adam on all weights at once."""
    job = task()
    run = finished(job, placed, tmp_path / "c.pt")
    old = begin(job, placed, torch.float32)
    adam = torch.optim.Adam([old.weights.master], lr=3e-3, weight_decay=1e-3, fused=True)
    order = torch.Generator().manual_seed(job.seed)
    for number, epoch in enumerate(run.epochs):
        adam.param_groups[0]["lr"] = 3e-3 * 0.9**number
        old.model.train()
        drawn = torch.randperm(1150, generator=order)
        total = torch.zeros(())
        for start, end in batch_bounds(1150, 256):
            images = placed.train_batch(drawn[start:end])
            loss = functional.cross_entropy(
                old.model(images), placed.train_labels[drawn[start:end]]
            )
            old.weights.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
            total += loss.detach() * (end - start)
        assert total.item() / 1150 == epoch.train_loss
    old_state, state = old.weights.state_dict(), run.weights.state_dict()
    for name, value in build(job.network, job.seed).state_dict().items():
        assert torch.equal(old_state[name], state[name])
        assert value.shape == state[name].shape


def test_the_poster_s_begins_as_it_was_built(placed: Placed) -> None:
    job = task()
    state = begin(job, placed, torch.float32).weights.state_dict()
    for name, value in build(job.network, job.seed).state_dict().items():
        assert torch.equal(state[name], value)


# -- schedules ------------------------------------------------------------------------------------


def test_rates_by_their_formulas() -> None:
    def rate(schedule: str, epochs: int, number: int, done: float) -> float:
        config = {"schedule": schedule, "learning_rate": 0.1, "lr_decay": 0.5}
        return learning_rate(config, epochs, number, done)

    assert [rate("exponential", 9, n, 0.7) for n in (1, 2, 3)] == [0.1, 0.05, 0.025]
    # half a cosine over ten epochs, after a linear rise in half an epoch
    assert rate("cosine", 10, 6, 0.0) == pytest.approx(0.05)
    assert rate("cosine", 10, 1, 0.25) == pytest.approx(0.05 * (1 + math.cos(math.pi / 40)) / 2)
    assert rate("cosine", 10, 10, 1.0) == pytest.approx(0.0)
    # a rise from a 25th to the top in the first three of ten, half a cosine over the other seven
    assert rate("one-cycle", 10, 1, 0.0) == pytest.approx(0.004)
    assert rate("one-cycle", 10, 2, 0.5) == pytest.approx(0.1 * (1 / 25 + 24 / 25 / 2))
    assert rate("one-cycle", 10, 4, 0.0) == pytest.approx(0.1)
    assert rate("one-cycle", 10, 7, 0.5) == pytest.approx(0.05)
    assert rate("one-cycle", 10, 10, 1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_every_step_has_a_rate_above_nothing(schedule: str, epochs: int, placed: Placed) -> None:
    run = begin(task(epochs, schedule=schedule), placed, torch.float32)
    rates = []
    for number in range(1, epochs + 1):
        drawn = loop.begin_epoch(run, number)
        for start, end in batch_bounds(1150, 256):
            loop.step(run, drawn, start, end)
            rates.append({group["lr"] for group in run.optimiser.param_groups})
    assert all(len(found) == 1 and 0 < max(found) <= 3e-3 for found in rates)
    top = max(range(len(rates)), key=lambda at: max(rates[at]))
    falling = [max(found) for found in rates[top:]]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == (epochs if schedule == "exponential" else len(falling))


@pytest.mark.parametrize("change", RECIPES)
def test_resumed_it_gives_what_it_would_have_given(
    change: Config, placed: Placed, tmp_path: Path
) -> None:
    """Few batches an epoch: a step that changes nothing goes before, and the reference between."""
    job = task(**change)
    whole = finished(job, placed, tmp_path / "whole.pt")
    run = begin(job, placed, torch.float32)
    reference = loop.Reference(*plain(), placed, torch.float32)
    for epoch in train(run, reference, tmp_path / "part.pt", lambda: False):
        if epoch.epoch == 1:
            break  # killed here: what is left is the checkpoint
    again = finished(job, placed, tmp_path / "part.pt", restore(job, placed, tmp_path / "part.pt"))
    assert alike(whole, again)
    assert whole.epochs[-1].train_loss < whole.epochs[0].train_loss


def test_a_schedule_is_bound_to_its_length(placed: Placed, tmp_path: Path) -> None:
    for schedule in SCHEDULES:
        job, path = task(1, schedule=schedule), tmp_path / f"{schedule}.pt"
        finished(job, placed, path)
        longer = replace(job, epochs=4)
        if schedule == "exponential":
            assert len(restore(longer, placed, path).epochs) == 1
            continue
        with pytest.raises(CheckpointError, match="its length in epochs is 1, not 4"):
            restore(longer, placed, path)


def test_a_checkpoint_of_another_optimiser_is_refused(placed: Placed, tmp_path: Path) -> None:
    finished(task(1), placed, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="another trial's: its config"):
        restore(task(1, optimiser="sgd"), placed, tmp_path / "c.pt")


# -- optimisers -----------------------------------------------------------------------------------


def by_torch(job: Training, placed: Placed, dtype: torch.dtype) -> tuple[list[float], nn.Module]:
    """The losses of two epochs by torch's own optimisers, a parameter each."""
    config = job.config
    run = begin(job, placed, torch.float32)  # for its weights at first
    model = build(job.network, job.seed)
    model.load_state_dict(run.weights.state_dict())
    spared = {id(p) for p in undecayed(model)} if config["schedule"] != "exponential" else set()
    parts = [[p for p in model.parameters() if (id(p) in spared) == part] for part in (True, False)]
    decays = (0.0, config["weight_decay"])
    groups = [
        {"params": part, "weight_decay": decay}
        for part, decay in zip(parts, decays, strict=True)
        if part
    ]
    made: torch.optim.Optimizer
    if config["optimiser"] == "sgd":
        made = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, fused=True)
    elif config["optimiser"] == "adamw":
        made = torch.optim.AdamW(groups, fused=True)
    else:
        made = torch.optim.Adam(groups, fused=True)
    losses: list[float] = []
    model.train()
    order = torch.Generator().manual_seed(job.seed)
    for number in (1, 2):
        drawn = torch.randperm(1150, generator=order)
        for start, end in batch_bounds(1150, 256):
            for group in made.param_groups:
                group["lr"] = learning_rate(config, 3, number, (start + end) / 2 / 1150)
            index = drawn[start:end]
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                logits = model(placed.train_batch(index))
            loss = functional.cross_entropy(logits.float(), placed.train_labels[index])
            made.zero_grad()
            torch.autograd.backward(loss)
            made.step()
            losses.append(loss.item())
    return losses, model


def by_us(job: Training, placed: Placed, dtype: torch.dtype) -> tuple[list[float], Run]:
    run = begin(job, placed, dtype)
    losses = []
    for number in (1, 2):
        drawn = loop.begin_epoch(run, number)
        losses += [loop.step(run, drawn, *b).item() for b in batch_bounds(1150, 256)]
    return losses, run


@pytest.mark.parametrize("schedule", ["exponential", "cosine"])
@pytest.mark.parametrize(
    ("optimiser", "rate", "decay"),
    [("adam", 3e-3, 0.01), ("adamw", 3e-3, 0.3), ("sgd", 0.05, 0.01)],
)
def test_each_optimiser_is_torch_s(
    optimiser: str, rate: float, decay: float, schedule: str, placed: Placed
) -> None:
    change: dict[str, Any] = {"optimiser": optimiser, "learning_rate": rate, "weight_decay": decay}
    job = task(schedule=schedule, **change)
    losses, run = by_us(job, placed, torch.float32)
    expected, model = by_torch(job, placed, torch.float32)
    torch.testing.assert_close(losses, expected, rtol=2e-5, atol=1e-6)
    state = run.weights.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-3, atol=1e-4)
    # decay is felt: without any, the losses are others
    without, _ = by_us(
        task(schedule=schedule, **{**change, "weight_decay": 0.0}), placed, torch.float32
    )
    assert max(abs(a - b) for a, b in zip(losses, without, strict=True)) > 1e-4


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_torch_and_we_read_each_others_state(optimiser: str, placed: Placed) -> None:
    job = task(schedule="cosine", optimiser=optimiser, learning_rate=0.01)
    run = begin(job, placed, torch.float32)
    again = begin(job, placed, torch.float32)
    drawn = loop.begin_epoch(run, 1)
    for at in range(3):
        loop.step(run, drawn, 100 * at, 100 * at + 100)
    again.weights.load_state_dict(run.weights.state_dict())
    again.optimiser.load_state_dict(copy.deepcopy(run.optimiser.state_dict()))
    for one in (run, again):
        loop.begin_epoch(one, 1)
        for group in one.optimiser.param_groups:
            group["lr"] = 0.01
        for group in one.optimiser.param_groups:
            for part in group["params"]:
                part.grad.fill_(0.5)
    run.optimiser.update()
    again.optimiser.step()
    assert torch.equal(run.weights.master, again.weights.master)


@pytest.mark.parametrize("change", RECIPES)
def test_float16_scales_gradients_and_decays_what_it_should(
    change: Config, placed: Placed, tmp_path: Path
) -> None:
    job, path = task(2, **change), tmp_path / "c.pt"
    run = begin(job, placed, torch.float16)
    assert run.scaler.is_enabled()
    reference = loop.Reference(*plain(), placed, torch.float32)
    epochs = list(train(run, reference, path, lambda: False))
    assert epochs[-1].train_loss < epochs[0].train_loss
    whole = finished(job, placed, tmp_path / "whole.pt")
    assert epochs[0].train_loss == pytest.approx(whole.epochs[0].train_loss, rel=0.05)
    again = restore(job, placed, path)
    assert again.scaler.get_scale() == run.scaler.get_scale()


def test_neither_optimiser_imports_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from torch import nn\n"
        "from lcsearch.engine.training.optimisers import made\n"
        "for name in ('adam', 'adamw', 'sgd'):\n"
        "    weights = nn.Parameter(torch.ones(4))\n"
        "    weights.grad = torch.ones(4)\n"
        "    one = made(name, [{'params': [weights], 'weight_decay': 0.1}], 0.1, fused=True)\n"
        "    one.update()\n"
        "    one.load_state_dict(one.state_dict())\n"
        "    one.update()\n"
        "    assert not torch.equal(weights, torch.ones(4))\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- the recipe -----------------------------------------------------------------------------------


def test_weights_are_drawn_as_he_et_al_draw_them() -> None:
    config = cnn.reference(SHAPE, CLASSES) | {
        "channels": [64, 128, 128, 128],
        "groups": [1, 1, 8, 1],
        "batch_norm": [True, False, True, True],
        "classifier_layers": 3,
        "hidden_units": [256, 128],
        "density": [0.1, 1.0, 1.0],
    }
    model = build(cnn.network(config, SHAPE, CLASSES), 7)
    before = [p.clone() for p in model.parameters()]
    initialise(model, 3)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear | SparseLinear)]
    *hidden, last = layers
    assert any(layer.bias is None for layer in hidden)
    for layer, at_first in zip(hidden, (p for p in before if p.dim() > 1), strict=False):
        if layer.bias is None:  # batch norm is behind it
            assert torch.equal(layer.weight, at_first)
            continue
        fan_in = layer.weight.numel() // len(layer.weight)
        if layer.weight.numel() > 1000:
            assert layer.weight.var().item() * fan_in == pytest.approx(2, rel=0.15)
        assert not layer.bias.any()
    assert torch.equal(last.weight, before[-2])
    assert last.bias is not None
    assert torch.equal(last.bias, before[-1])
    other = build(cnn.network(config, SHAPE, CLASSES), 7)
    initialise(other, 3)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
    initialise(other, 4)
    drawn = [m for m in other.modules() if isinstance(m, nn.Conv2d | nn.Linear | SparseLinear)]
    assert [torch.equal(a.weight, b.weight) for a, b in zip(layers, drawn, strict=True)] == [
        layer.bias is None or layer is last for layer in layers
    ]


def test_a_shortcut_s_last_batch_norm_begins_at_nothing() -> None:
    config = cnn.reference(SHAPE, CLASSES) | {
        "downsample": ["none"] * 4,
        "channels": [8] * 4,
        "conv": ["plain", "plain", "separable", "plain"],
        "batch_norm": [True, True, True, False],
        "shortcut": [False, False, True, True],
    }
    model = build(cnn.network(config, SHAPE, CLASSES), 0)
    initialise(model, 0)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    # the separable one has two, of which the second is added to
    assert [bool(norm.weight.any()) for norm in norms] == [True, True, True, False]
    images = torch.randn(4, *SHAPE).contiguous(memory_format=torch.channels_last)
    seen: list[Tensor] = []
    for module in model.children():
        if isinstance(module, Shortcut):
            module.register_forward_hook(lambda _, given, out: seen.append(out - given[1]))
    model(images)
    assert len(seen) == 2
    assert not seen[0].any()
    assert seen[1].any()


def test_channels_that_a_shortcut_pads_with_zeros_learn(placed: Placed) -> None:
    """Nothing comes to them but what batch norm lets through, so that does not begin at nothing."""
    config = cnn.space(SHAPE, CLASSES).read(cnn.reference(SHAPE, CLASSES)) | {
        "channels": [8, 8, 24, 24],
        "downsample": ["none", "none", "stride", "none"],
        "shortcut": [False, False, True, True],
        "schedule": "cosine",
    }
    job = Training(cnn.network(config, SHAPE, CLASSES), config, 1, 3)
    run = begin(job, placed, torch.float32)
    norms = [m for m in run.model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [int(norm.weight.count_nonzero()) for norm in norms] == [8, 8, 16, 16]
    drawn = loop.begin_epoch(run, 1)
    for start in range(0, 128, 32):
        loop.step(run, drawn, start, start + 32)
    assert all(norm.weight.all() for norm in norms)


def test_biases_and_batch_norm_are_not_decayed(placed: Placed) -> None:
    """A step whose gradients are nothing leaves them, and shrinks all else by as much."""
    job = task(schedule="cosine", optimiser="adamw", weight_decay=0.5, learning_rate=0.1)
    run = begin(job, placed, torch.float32)
    before = {name: value.clone() for name, value in run.weights.state_dict().items()}
    run.weights.zero_grad()
    for group in run.optimiser.param_groups:
        group["lr"] = 0.1
    run.optimiser.update()
    spared = {id(p) for p in undecayed(run.model)}
    names = {name for name, p in run.model.named_parameters() if id(p) in spared}
    assert {name.rpartition(".")[2] for name in names} == {"weight", "bias"}
    for name, value in run.weights.state_dict().items():
        if name in names or "running" in name or "num_batches" in name:
            assert torch.equal(value, before[name])
        else:
            torch.testing.assert_close(value, 0.95 * before[name])


# -- dropout and smoothing ------------------------------------------------------------------------


def first_loss(run: Run, number: int = 1) -> float:
    return loop._loss(run, loop.begin_epoch(run, number), 0, 256).item()


def test_dropout_s_draws_follow_from_the_seed_and_the_epoch_alone(placed: Placed) -> None:
    job = task(dropout=0.4)
    run = begin(job, placed, torch.float32)
    images = placed.train_batch(torch.arange(64))

    def outputs(one: Run, number: int) -> Tensor:
        one.model.train()
        one.dropout.redraw(number)
        logits: Tensor = one.model(images)
        return logits.detach()

    first = outputs(run, 2)
    torch.rand(7)
    assert torch.equal(outputs(begin(job, placed, torch.float32), 2), first)
    assert not torch.equal(outputs(run, 3), first)
    other = begin(replace(job, seed=2), placed, torch.float32)
    other.weights.load_state_dict(run.weights.state_dict())
    assert not torch.equal(outputs(other, 2), first)
    drawn = loop.begin_epoch(run, 2)
    loop.warm_up(run, drawn, 0, 256)
    assert torch.equal(run.model(images).detach(), first)


def test_dropout_drops_its_share_and_keeps_the_mean(placed: Placed) -> None:
    seen: list[Tensor] = []
    run = begin(task(dropout=0.25), placed, torch.float32)
    dense = [m for m in run.model.modules() if isinstance(m, nn.Linear | SparseLinear)]
    assert len(dense) == 2
    for layer in dense:
        layer.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    run.model.train()
    for layer in dense:
        run.dropout.redraw(1)
        layer(torch.ones(400, layer.in_features if isinstance(layer, nn.Linear) else layer.inputs))
    for given in seen:
        assert (given == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
        kept = given[given != 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.75))


def test_nothing_of_dropout_is_in_the_network(placed: Placed, tmp_path: Path) -> None:
    run = finished(task(1, dropout=0.5), placed, tmp_path / "c.pt")
    model = full_precision(run).eval()
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert model.state_dict().keys() == run.weights.state_dict().keys()
    run.model.eval()
    with torch.inference_mode():
        images = placed.val_batch(0, 50)
        assert torch.equal(run.model(images), model(images))


def test_without_dropout_nothing_hangs_on_the_network(placed: Placed) -> None:
    run = begin(task(), placed, torch.float32)
    assert not any(module._forward_pre_hooks for module in run.model.modules())


@pytest.mark.parametrize("weighed", [False, True])
def test_smoothed_labels_by_hand(weighed: bool, placed: Placed) -> None:
    """(1 - s) of the label's loss and s of the mean over all classes, times the image's weight."""
    job = task(label_smoothing=0.2)
    run = begin(
        replace(job, class_weights="balanced" if weighed else "none"), placed, torch.float32
    )
    found = first_loss(run)
    drawn = loop.begin_epoch(begin(job, placed, torch.float32), 1)
    index = drawn.order[:256]
    logs = run.model(placed.train_batch(index)).log_softmax(1).detach()
    labels = placed.train_labels[index]
    each = -(0.8 * logs[range(256), labels] + 0.2 * logs.mean(1))
    if weighed:
        assert run.class_weights is not None
        each = each * run.class_weights[labels]
    assert found == pytest.approx(each.mean().item(), rel=1e-5)


def test_a_draw_of_its_own_is_of_the_first_epoch() -> None:
    assert Draw(torch.arange(3)).number == 1
