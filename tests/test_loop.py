"""The training loop: what it computes, what it times, and that a checkpoint changes nothing."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from lcsearch.engine.objective import best_epoch, medians
from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import loop
from lcsearch.engine.training.checkpoint import CheckpointError, restore
from lcsearch.engine.training.data import Data, read
from lcsearch.engine.training.images import Draw, Placed, memory_budget, place, vary
from lcsearch.engine.training.loop import Diverged, batch_bounds, train
from lcsearch.engine.training.run import Run, Training, balanced_weights, begin
from lcsearch.sessions.choices import Augment, Metric
from lcsearch.sessions.records import Config, DataSource, Epoch

from .test_neutral import later as later

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")

FP32, BF16 = torch.float32, torch.bfloat16


@pytest.fixture(scope="module")
def digits() -> Data:
    return read(DataSource(spec="digits"))


@pytest.fixture(scope="module")
def placed(digits: Data) -> Placed:
    return place(digits, CPU)


def small(**change: Any) -> Config:
    return {
        **cnn.reference((1, 8, 8), 10),
        "conv_layers": 2,
        "channels": [8, 16],
        "downsample": ["none", "pool"],
        "kernel": [3, 3],
        "batch_norm": [True, False],
        "groups": [1, 2],
        "classifier_layers": 2,
        "hidden_units": [32],
        "density": [0.25, 1.0],
        "weight_decay": 1e-4,
        "learning_rate": 3e-3,
        "lr_decay": 0.9,
        "batch_size": 64,
    } | change


def task(epochs: int = 3, seed: int = 1, **change: Any) -> Training:
    config = small(**change)
    return Training(cnn.network(config, (1, 8, 8), 10), config, seed, epochs)


class Steady(loop.Reference):
    """A reference network that always takes two seconds."""

    def __init__(self) -> None:
        self.steps_per_epoch = 10

    def timed_steps(self, budget: float, hurried: bool = False) -> list[float]:
        return [0.2, 0.2, 0.2]


def trained(
    job: Training,
    placed: Placed,
    path: Path,
    dtype: torch.dtype = FP32,
    run: Run | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Epoch]:
    return list(train(run or begin(job, placed, dtype), Steady(), path, stopped))


def curve(epochs: Iterable[Epoch]) -> list[tuple[int, float, float]]:
    return [(e.epoch, e.train_loss, e.val_accuracy) for e in epochs]


def test_images_are_normalised_and_in_channels_last_order(digits: Data, placed: Placed) -> None:
    images = placed.train_images
    assert images.shape == (1150, 8, 8, 1)
    assert images.is_contiguous()
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    again = images[7, :, :, 0] * float(digits.std[0]) + float(digits.mean[0])
    torch.testing.assert_close(again, torch.from_numpy(digits.train.images[7, 0]).float())
    assert placed.val_labels.tolist() == digits.val.labels.tolist()


def test_it_learns(placed: Placed, tmp_path: Path) -> None:
    epochs = trained(task(epochs=5), placed, tmp_path / "c.pt")
    assert [e.epoch for e in epochs] == [1, 2, 3, 4, 5]
    assert epochs[-1].val_accuracy > 0.9
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert all(e.seconds > 0 and e.reference_seconds == 2.0 for e in epochs)


def test_it_is_plain_adam_with_coupled_l2_and_decay(placed: Placed, tmp_path: Path) -> None:
    """The same losses as a loop written out in full, Adam by hand (Kingma and Ba, 2015)."""
    job = task(epochs=2)
    epochs = trained(job, placed, tmp_path / "c.pt")
    model = begin(job, placed, FP32).model
    order = torch.Generator().manual_seed(job.seed)
    params = list(model.parameters())
    m, v = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
    steps, rate = 0, 3e-3
    for epoch in epochs:
        model.train()
        losses = []
        for index in torch.split(torch.randperm(1150, generator=order), 64):
            images = placed.train_images[index].permute(0, 3, 1, 2)
            loss = -model(images).log_softmax(1)[range(len(index)), placed.train_labels[index]]
            grads = torch.autograd.grad(loss.mean(), params)
            losses += loss.tolist()
            steps += 1
            with torch.no_grad():
                for i, (p, g) in enumerate(zip(params, grads, strict=True)):
                    g = g + 1e-4 * p
                    m[i] = 0.9 * m[i] + 0.1 * g
                    v[i] = 0.999 * v[i] + 0.001 * g * g
                    mean, square = m[i] / (1 - 0.9**steps), v[i] / (1 - 0.999**steps)
                    p.sub_(rate * mean / (square.sqrt() + 1e-8))
        rate *= 0.9
        assert epoch.train_loss == pytest.approx(sum(losses) / 1150, rel=1e-3)


SHORTCUTS = {
    "conv_layers": 3,
    "channels": [8, 16, 16],
    "downsample": ["pool", "none", "stride"],
    "kernel": [3, 5, 3],
    "batch_norm": [True, True, False],
    "groups": [1, 1, 1],
    "shortcut": [False, True, True],
    "conv": ["plain", "separable", "separable"],
    "activation": "silu",
}


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("network", [{}, SHORTCUTS], ids=["plain", "shortcuts"])
def test_continuing_from_a_checkpoint_is_never_having_stopped(
    placed: Placed, tmp_path: Path, dtype: torch.dtype, network: Config
) -> None:
    job = task(epochs=4, **network)
    whole = trained(job, placed, tmp_path / "whole.pt", dtype)
    path = tmp_path / "parts.pt"
    parts = trained(Training(job.network, job.config, job.seed, 1), placed, path, dtype)
    for epochs in (3, 4):
        run = restore(Training(job.network, job.config, job.seed, epochs), placed, path)
        assert run.dtype == dtype
        assert curve(run.epochs) == curve(parts)
        more = trained(run.task, placed, path, run=run)
        assert [e.resumed for e in more] == [True] + [False] * (len(more) - 1)
        parts += more
    assert curve(parts) == curve(whole)


def test_stopping_within_an_epoch_leaves_the_last_checkpoint(
    placed: Placed, tmp_path: Path
) -> None:
    job, path, asked = task(epochs=4), tmp_path / "c.pt", 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked == 18 + 18 + 5  # 18 batches an epoch

    epochs = trained(job, placed, path, stopped=stopped)
    assert [e.epoch for e in epochs] == [1, 2]
    run = restore(job, placed, path)
    more = trained(job, placed, path, run=run)
    assert curve(epochs + more) == curve(trained(job, placed, tmp_path / "whole.pt"))


def test_a_checkpoint_at_the_last_epoch_has_nothing_left_to_do(
    placed: Placed, tmp_path: Path
) -> None:
    job = task(epochs=2)
    epochs = trained(job, placed, tmp_path / "c.pt")
    run = restore(job, placed, tmp_path / "c.pt")
    assert run.epochs == epochs
    assert trained(job, placed, tmp_path / "c.pt", run=run) == []


def test_a_learning_rate_far_too_high_diverges(placed: Placed, tmp_path: Path) -> None:
    job = task(learning_rate=1e18, batch_norm=[False, False], epochs=3)
    with pytest.raises(Diverged):
        trained(job, placed, tmp_path / "c.pt")
    assert not (tmp_path / "c.pt").exists()


def test_outputs_that_are_not_finite_in_validation_are_no_accuracy(placed: Placed) -> None:
    model = begin(task(), placed, FP32).model
    first = model[0]
    assert isinstance(first, torch.nn.Conv2d)
    with torch.no_grad():
        first.weight.fill_(math.inf)
    with pytest.raises(Diverged):
        loop.validate(model, placed, FP32)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated or damaged"),
        (lambda whole: b"", "truncated or damaged"),
        (lambda whole: b"no checkpoint", "truncated or damaged"),
    ],
)
def test_damaged_checkpoints_are_refused(
    placed: Placed, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    path = tmp_path / "c.pt"
    trained(task(epochs=1), placed, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=said) as caught:
        restore(task(epochs=1), placed, path)
    assert str(path) in str(caught.value)
    assert "It is taken away; repeat the trial" in str(caught.value)


def test_foreign_checkpoints_are_refused(placed: Placed, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    trained(task(epochs=1), placed, path)
    with pytest.raises(CheckpointError, match="its seed is 1, not 2"):
        restore(task(seed=2), placed, path)
    with pytest.raises(CheckpointError, match="its config is"):
        restore(task(batch_size=65), placed, path)
    kept = torch.load(path, weights_only=True)
    torch.save(kept | {"version": 99}, path)
    with pytest.raises(CheckpointError, match="version 99"):
        restore(task(), placed, path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="version None"):
        restore(task(), placed, path)
    torch.save(kept | {"model": {}}, path)
    with pytest.raises(CheckpointError, match="does not fit"):
        restore(task(), placed, path)


def test_a_checkpoint_of_before_there_was_a_parameter_goes_on(
    placed: Placed, tmp_path: Path, later: None
) -> None:
    path = tmp_path / "c.pt"
    trained(task(epochs=1), placed, path)
    now = task(epochs=2, detour=[False, False], noise=0.0)
    assert [e.epoch for e in restore(now, placed, path).epochs] == [1]
    with pytest.raises(CheckpointError, match="its config is"):
        restore(task(epochs=2, detour=[False, False], noise=0.2), placed, path)


def test_a_checkpoint_is_not_unpickled_code(placed: Placed, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save({"version": Trap()}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError):
        restore(task(), placed, tmp_path / "c.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_that_cannot_be_written_says_so(placed: Placed, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        trained(task(epochs=1), placed, tmp_path / "file" / "c.pt")


def test_a_folder_that_is_gone_is_not_brought_back(placed: Placed, tmp_path: Path) -> None:
    folder = tmp_path / "deleted" / "checkpoints"
    with pytest.raises(CheckpointError, match="is gone") as caught:
        trained(task(epochs=1), placed, folder / "c.pt")
    assert str(folder) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_old_checkpoint_stays_where_a_new_one_fails(
    placed: Placed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.pt"
    trained(task(epochs=1), placed, path)
    whole = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        trained(task(epochs=2), placed, path, run=restore(task(epochs=2), placed, path))
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [
        (10, 5, [5, 5]),
        (12, 5, [5, 5, 2]),
        (11, 5, [5, 6]),
        (1, 5, [1]),
        (6, 5, [6]),
        (4, 5, [4]),
        (3, 1, [1, 2]),
    ],
)
def test_a_remainder_of_one_image_joins_the_batch_before(
    count: int, size: int, lengths: list[int]
) -> None:
    bounds = batch_bounds(count, size)
    assert [end - start for start, end in bounds] == lengths
    assert bounds[0][0] == 0
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    assert bounds[-1][1] == count


def epoch(
    number: int, seconds: float, reference: float | None = None, resumed: bool = False
) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=1,
        val_accuracy=0.5,
        seconds=seconds,
        reference_seconds=reference,
        resumed=resumed,
    )


def test_medians_leave_out_cold_epochs_where_there_are_warm_ones() -> None:
    assert medians([epoch(1, 9, 3)]) == (9, 3)
    assert medians([epoch(1, 9, 3), epoch(2, 4, 2)]) == (4, 2)
    epochs = [epoch(1, 9, 9), epoch(2, 4, 1), epoch(3, 20, 8, resumed=True), epoch(4, 6, 3)]
    assert medians(epochs) == (5, 2)
    assert medians([epoch(1, 9, 1), epoch(2, 5, 3, resumed=True)]) == (7, 2)


def test_the_reference_costs_as_much_as_itself(placed: Placed, tmp_path: Path) -> None:
    """Timed in steps of its own, it agrees with what training it takes (loosely: the machine
    has other work)."""
    config = cnn.reference((1, 8, 8), 10)
    network = cnn.network(config, (1, 8, 8), 10)
    reference = loop.Reference(network, config, placed, FP32)
    before = {name: value.clone() for name, value in reference.run.model.named_parameters()}
    run = begin(Training(network, config, 0, 8), placed, FP32)
    seconds, beside = medians(list(train(run, reference, tmp_path / "c.pt", lambda: False)))
    assert 0.5 < seconds / beside < 2
    after = dict(reference.run.model.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.fixture(scope="module")
def hundred(placed: Placed) -> Placed:
    """The digits with 100 training images: one or two batches an epoch."""
    return replace(
        placed, train_images=placed.train_images[:100], train_labels=placed.train_labels[:100]
    )


@pytest.mark.parametrize("batch_size", [128, 64])
def test_the_reference_costs_as_much_as_itself_in_one_or_two_batches(
    hundred: Placed, tmp_path: Path, batch_size: int
) -> None:
    config = cnn.reference((1, 8, 8), 10) | {"batch_size": batch_size}
    network = cnn.network(config, (1, 8, 8), 10)
    reference = loop.Reference(network, config, hundred, FP32)
    run = begin(Training(network, config, 0, 15), hundred, FP32)
    seconds, beside = medians(list(train(run, reference, tmp_path / "c.pt", lambda: False)))
    assert 0.5 < seconds / beside < 2


def test_warming_up_changes_nothing(
    hundred: Placed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = task(epochs=3)
    warmed: list[int] = []
    real = loop.warm_up

    def counted(run: Run, drawn: Draw, start: int, end: int) -> None:
        warmed.append(len(run.epochs))
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        numbers = torch.get_rng_state()
        real(run, drawn, start, end)
        after = run.model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        for p in run.model.parameters():
            assert p.grad is not None
            assert not p.grad.any()
        assert torch.equal(numbers, torch.get_rng_state())

    monkeypatch.setattr(loop, "warm_up", counted)
    whole = trained(job, hundred, tmp_path / "whole.pt")
    assert warmed == [0, 1, 2]
    parts = trained(Training(job.network, job.config, job.seed, 1), hundred, tmp_path / "parts.pt")
    run = restore(job, hundred, tmp_path / "parts.pt")
    assert curve(parts + trained(job, hundred, tmp_path / "parts.pt", run=run)) == curve(whole)
    monkeypatch.setattr(loop, "warm_up", lambda run, *images: None)
    assert curve(trained(job, hundred, tmp_path / "cold.pt")) == curve(whole)


def test_images_are_moved_and_mirrored_each_its_own_way() -> None:
    """Against numpy, image by image; what comes in from outside is zero."""
    images = torch.randn(40, 2, 6, 5)
    generator = torch.Generator().manual_seed(1)
    moves = torch.randint(-2, 3, (40, 2), generator=generator)
    flips = torch.rand(40, generator=generator) < 0.5
    given = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for down, flip in ((moves, None), (None, flips), (moves, flips)):
        varied = vary(given, down, flip)
        assert varied.permute(0, 2, 3, 1).is_contiguous()
        for image, after, move, mirrored in zip(images, varied, moves, flips, strict=True):
            expected = image.numpy()
            if flip is not None and mirrored:
                expected = expected[:, :, ::-1]
            if down is not None:
                padded = np.pad(expected, ((0, 0), (2, 2), (2, 2)))
                top, left = 2 - int(move[0]), 2 - int(move[1])
                expected = padded[:, top : top + 6, left : left + 5]
            assert (after.numpy() == expected).all()


def test_what_chance_decides_of_an_epoch(placed: Placed) -> None:
    """Every shift in range comes up, half are mirrored, no two epochs are alike."""
    job = replace(task(), augment="crop+flip")
    run = begin(job, placed, FP32)
    drawn = loop.draw(run, 1)
    assert drawn.moves is not None
    assert drawn.flips is not None
    assert sorted(drawn.order.tolist()) == list(range(1150))
    assert set(drawn.moves.flatten().tolist()) == {-1, 0, 1}  # an eighth of 8 pixels
    counts = torch.bincount(drawn.moves.flatten() + 1)
    assert (counts > 2300 / 3 - 120).all()  # five standard deviations
    assert 490 < int(drawn.flips.sum()) < 660
    again = loop.draw(begin(job, placed, FP32), 1)
    assert again.moves is not None
    assert torch.equal(again.moves, drawn.moves)
    later = loop.draw(run, 2)
    assert later.moves is not None
    assert not torch.equal(later.moves, drawn.moves)
    plain = loop.draw(begin(task(), placed, FP32), 1)
    assert (plain.moves, plain.flips) == (None, None)
    assert torch.equal(plain.order, drawn.order)
    assert loop.draw(begin(replace(job, augment="flip"), placed, FP32), 1).moves is None
    assert loop.draw(begin(replace(job, augment="crop"), placed, FP32), 1).flips is None


@pytest.mark.parametrize("augment", ["flip", "crop+flip"])
def test_augmented_training_goes_on_exactly_from_a_checkpoint(
    hundred: Placed, tmp_path: Path, augment: Augment
) -> None:
    job = replace(task(epochs=3), augment=augment)
    whole = trained(job, hundred, tmp_path / "whole.pt")
    parts = trained(replace(job, epochs=1), hundred, tmp_path / "parts.pt")
    run = restore(job, hundred, tmp_path / "parts.pt")
    assert curve(parts + trained(job, hundred, tmp_path / "parts.pt", run=run)) == curve(whole)
    plain = trained(task(epochs=1), hundred, tmp_path / "plain.pt")
    assert plain[0].train_loss != whole[0].train_loss
    with pytest.raises(CheckpointError, match=f"its augment is {re.escape(augment)}, not none"):
        restore(task(epochs=3), hundred, tmp_path / "parts.pt")


def test_what_is_normalised_a_batch_at_a_time_is_trained_alike(
    digits: Data, hundred: Placed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_MEMORY_BUDGET", "100KB")
    streamed = place(digits, CPU)
    assert streamed.stored is not None
    assert streamed.stored.images is digits.pool.images  # as it was read: no copy
    first = replace(
        streamed,
        train_images=streamed.train_images[:100],
        train_labels=streamed.train_labels[:100],
    )
    for augment in ("none", "crop"):
        job = replace(task(epochs=2), augment=augment)
        resident = trained(job, hundred, tmp_path / "r.pt")
        assert curve(trained(job, first, tmp_path / "s.pt")) == curve(resident)
        # a checkpoint of the one is one of the other
        assert curve(restore(job, hundred, tmp_path / "s.pt").epochs) == curve(resident)


def test_the_memory_budget(digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    half = psutil.virtual_memory().total / 2
    monkeypatch.delenv("LCSEARCH_MEMORY_BUDGET", raising=False)
    assert memory_budget(CPU) == pytest.approx(half, rel=0.05)
    for words, size in (("1000", 1000), ("2GB", 2e9), ("1.5 mb", 1.5e6), ("0", 0)):
        monkeypatch.setenv("LCSEARCH_MEMORY_BUDGET", words)
        assert memory_budget(CPU) == size
    # 1,438 images of 8 x 8 in float32 are 368,128 bytes
    for words, streams in (("368127", True), ("368128", False)):
        monkeypatch.setenv("LCSEARCH_MEMORY_BUDGET", words)
        assert (place(digits, CPU).stored is not None) == streams
    for words in ("much", "GB", "-3", "nan"):
        monkeypatch.setenv("LCSEARCH_MEMORY_BUDGET", words)
        with pytest.raises(ValueError, match=f"LCSEARCH_MEMORY_BUDGET = {words}: not usable"):
            place(digits, CPU)


def test_float16_scales_its_gradients_and_keeps_the_scale(hundred: Placed, tmp_path: Path) -> None:
    job, path = task(epochs=3), tmp_path / "c.pt"
    run = begin(job, hundred, torch.float16)
    assert run.scaler.is_enabled()
    assert not begin(job, hundred, BF16).scaler.is_enabled()
    whole = trained(job, hundred, path, run=run)
    assert whole[-1].train_loss < whole[0].train_loss
    parts = trained(replace(job, epochs=1), hundred, path, torch.float16)
    later = restore(job, hundred, path)
    assert later.dtype == torch.float16
    assert later.scaler.get_scale() == run.scaler.get_scale()
    assert curve(parts + trained(job, hundred, path, run=later)) == curve(whole)


@pytest.mark.parametrize(
    ("bf16", "capability", "dtype"),
    [
        (True, (8, 0), BF16),
        (False, (7, 5), torch.float16),
        (False, (7, 0), torch.float16),
        (False, (6, 1), FP32),
    ],
)
def test_a_gpu_is_given_what_it_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return True if including_emulation else bf16

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    network = cnn.network(cnn.reference((1, 8, 8), 10), (1, 8, 8), 10)
    assert loop.choose_dtype(network, torch.device("cuda:1")) == dtype


def test_the_data_type_depends_on_the_device_and_the_size_alone() -> None:
    small, middle, large = (
        cnn.network(cnn.reference(shape, 10), shape, 10)
        for shape in [(1, 2, 2), (1, 8, 8), (1, 28, 28)]
    )
    assert small.macs < loop.BFLOAT16_MACS < middle.macs
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert loop.choose_dtype(small, CPU) == FP32
    assert loop.choose_dtype(middle, CPU) == (BF16 if native else FP32)
    assert loop.choose_dtype(large, CPU) == (BF16 if native else FP32)


# -- what each class is taken for -----------------------------------------------------------------


def weighed(job: Training, metric: Metric = "balanced") -> Training:
    return replace(job, metric=metric, class_weights="balanced")


def test_every_epoch_tells_the_metric_and_the_best_its_confusion(
    placed: Placed, tmp_path: Path
) -> None:
    run = begin(weighed(task(4), "macro-f1"), placed, FP32)
    seen = []
    for epoch in train(run, Steady(), tmp_path / "c.pt", lambda: False):
        told = loop.validate(run.model, placed, FP32)
        assert epoch.val_accuracy == told.accuracy
        assert epoch.val_metric == epoch.score == told.score("macro-f1") != told.accuracy
        seen.append(told)
    best = run.epochs.index(best_epoch(run.epochs))
    assert run.confusion is not None
    assert run.confusion.rows() == seen[best].rows()
    plain = trained(task(1), placed, tmp_path / "p.pt")
    assert (plain[0].val_metric, plain[0].score) == (None, plain[0].val_accuracy)


def test_weights_count_every_class_alike(placed: Placed) -> None:
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 5)
    weights = balanced_weights(labels, 4)  # the last has none
    assert weights[:3].tolist() == pytest.approx([60 / 200, 60 / 20, 60 / 20])
    assert weights.isfinite().all()
    assert weights[labels].mean() == pytest.approx(3 / 4)


def test_the_weighted_loss_is_the_mean_of_the_images_weighted_losses(placed: Placed) -> None:
    """Not over the sum of the weights: a batch of one class is worth what that class is."""
    run = begin(weighed(task()), placed, FP32)
    assert run.class_weights is not None
    run.class_weights = torch.linspace(0.1, 3, 10)
    index = torch.arange(40)
    labels = placed.train_labels[index]
    run.model.eval()  # the same for every image alone
    with torch.inference_mode():
        logits = run.model(placed.train_batch(index))
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        expected = (losses * run.class_weights[labels]).mean().item()
        assert loop._loss(run, Draw(index), 0, 40).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("metric", ["accuracy", "balanced"])
def test_pauses_change_neither_weighted_training_nor_its_confusion(
    placed: Placed, tmp_path: Path, metric: Metric
) -> None:
    job, path = weighed(task(4), metric), tmp_path / "c.pt"
    whole = begin(job, placed, FP32)
    trained(job, placed, tmp_path / "w.pt", run=whole)
    trained(replace(job, epochs=1), placed, path)
    for epochs in (2, 3, 4):
        run = restore(replace(job, epochs=epochs), placed, path)
        trained(job, placed, path, run=run)
    again = restore(job, placed, path)  # killed after its last epoch, before it said so
    assert curve(again.epochs) == curve(whole.epochs)
    assert again.confusion is not None
    assert whole.confusion is not None
    assert again.confusion.rows() == whole.confusion.rows()
    for other in (replace(job, metric="macro-f1"), replace(job, class_weights="none")):
        with pytest.raises(CheckpointError, match=r"its (metric|class_weights) is"):
            restore(other, placed, path)


def test_a_checkpoint_of_before_goes_on_and_knows_the_confusion_of_what_is_better(
    placed: Placed, tmp_path: Path
) -> None:
    path, whole = tmp_path / "c.pt", tmp_path / "w.pt"
    expected = trained(task(4), placed, whole)
    trained(task(1), placed, path)
    kept = torch.load(path, weights_only=True)
    for name in ("metric", "class_weights", "confusion"):
        del kept[name]
    for epoch in kept["epochs"]:
        del epoch["val_metric"]
    torch.save(kept, path)
    run = restore(task(4), placed, path)
    assert run.confusion is None
    trained(task(4), placed, path, run=run)
    assert curve(run.epochs) == curve(expected)
    assert run.confusion is not None
    assert run.confusion.accuracy == max(e.val_accuracy for e in run.epochs)
    # where nothing better comes, it stays unknown
    kept["epochs"][0]["val_accuracy"] = 1.0
    torch.save(kept, path)
    run = restore(task(2), placed, path)
    trained(task(2), placed, path, run=run)
    assert run.confusion is None


def test_the_reference_beside_a_trial_weighs_as_it_does(placed: Placed) -> None:
    """Its steps cost what they cost with weights, so that f_c compares what is alike."""
    job = task()
    plain = loop.Reference(job.network, job.config, placed, FP32)
    weighed_one = loop.Reference(job.network, job.config, placed, FP32, "balanced")
    assert plain.run.class_weights is None
    assert weighed_one.run.class_weights is not None
    expected = balanced_weights(placed.train_labels, 10)
    assert torch.equal(weighed_one.run.class_weights, expected)
