"""The training loop: images on the device, batches by index, an epoch at a time, checkpoints."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...sessions.choices import ClassWeights
from ...sessions.records import Config, Epoch
from ..metric import Confusion
from ..objective import best_epoch
from ..tasks.cnn.layout import Network
from .checkpoint import save
from .images import Draw, shift_of, vary
from .recipe import learning_rate, of_poster
from .run import Training, begin
from .threads import Threads

if TYPE_CHECKING:
    from .images import Placed
    from .run import Run


VALIDATION_BATCH = 500
WINDOW = 0.25
"""Seconds of training between two looks at how fast the reference network is now."""
FEW_BATCHES = 8
"""Batches an epoch up to which its first step is cold for too large a part of its time."""
REFERENCE_SHARE = 0.1
"""Time given to the reference network, as a share of the time given to the trial."""
SHORT_SHARE = 1 / 32
"""Batches of an epoch that a window is timed for at least, where processors are short."""
BFLOAT16_MACS = 100_000
"""Multiply-accumulates of an image from which bfloat16 pays on a processor that has it: 1.1 times
as fast at 0.7 million in batches of 32, 1.35 in batches of 338, 1.8 at 36 million; at 0.04 million
it is slower."""
TENSOR_CORES = (7, 0)
"""Compute capability from which a GPU is fast in float16."""


class Diverged(ArithmeticError):
    """The loss or the network's outputs are not finite."""


def set_rate(run: Run, number: int, done: float = 0.0) -> None:
    """The learning rate in this epoch, the first being 1, when `done` of it is done."""
    rate = learning_rate(run.task.config, run.task.epochs, number, done)
    for group in run.optimiser.param_groups:
        group["lr"] = rate


def draw(run: Run, number: int) -> Draw:
    """What chance decides of this epoch: the same for the same seed, however often it is paused."""
    count, augment = len(run.data.train_labels), run.task.augment
    device = run.data.device
    order = torch.randperm(count, generator=run.order).to(device)
    if augment == "none":
        return Draw(order, number=number)
    # a stream of its own for each epoch: nothing of it must be kept, and the order stays the same
    generator = torch.Generator().manual_seed(run.task.seed * 100_003 + number)
    first = run.task.network.convolutions[0]
    moves = flips = None
    if "crop" in augment:
        most = torch.tensor([shift_of(first.height_in), shift_of(first.width_in)])
        wide = torch.rand(count, 2, generator=generator) * (2 * most + 1)
        moves = (wide.floor().long() - most).to(device)
    if "flip" in augment:
        flips = (torch.rand(count, generator=generator) < 0.5).to(device)
    return Draw(order, moves, flips, number)


def train(
    run: Run,
    reference: Reference,
    checkpoint: Path,
    stopped: Callable[[], bool],
    threads: Threads | None = None,
    timed: bool = True,
) -> Iterator[Epoch]:
    """Train to the last epoch; each epoch is given when its checkpoint is on the disk.

    stopped: asked before every batch; where it says True, training ends there and what this epoch
    did is lost.  threads: may be given up, and are all there again at every epoch's end; None takes
    those that PyTorch has.  timed: whether the seconds count, which need all threads.  Raises
    Diverged, CheckpointError.

    An epoch is timed in windows, and after each the reference network is timed for a moment, so
    that both have met the same load and clock; the medians of both leave out what disturbed one
    window.  Where an epoch has few batches, a step that changes nothing goes before it untimed, as
    one goes before the reference's.

    Where other work holds processors, and seconds count, short windows with all threads take turns
    with untimed ones, as long, with the threads that are free: a step with all may take ten times
    as long then.  Where they do not count, a run goes on with the threads that it began with, or
    with fewer from when these are not to be had any more; its checkpoint keeps how many.
    """
    threads = threads or Threads()
    try:
        yield from _train(run, reference, checkpoint, stopped, threads, timed)
    finally:
        threads.take()


def _train(
    run: Run,
    reference: Reference,
    checkpoint: Path,
    stopped: Callable[[], bool],
    threads: Threads,
    timed: bool,
) -> Iterator[Epoch]:
    task, data = run.task, run.data
    count = len(data.train_labels)
    batches = batch_bounds(count, task.config["batch_size"])
    resumed = bool(run.epochs)
    for number in range(len(run.epochs) + 1, task.epochs + 1):
        drawn = begin_epoch(run, number)
        # where a step fills a window, cold caches are nothing beside it
        slow = bool(run.epochs) and run.epochs[-1].seconds >= WINDOW * len(batches)
        if len(batches) <= FEW_BATCHES and not slow and not stopped():
            warm_up(run, drawn, *batches[0])
        total = torch.zeros((), device=data.device)
        paces: list[float] = []  # seconds an image, of each window
        beside: list[float] = []  # seconds of each step of the reference network
        images, began, until = 0, time.perf_counter(), 0.0
        shortest = max(1, round(SHORT_SHARE * len(batches))) * task.config["batch_size"]
        for start, end in batches:
            if stopped():
                return
            if not images:
                threads.look()
                hurried = timed and threads.short
                resting = hurried and bool(paces) and began < until
                if not timed:
                    run.threads = threads.settle(run.threads)
                else:
                    threads.take(threads.wanted if resting else None)
            loss = step(run, drawn, start, end)
            total += loss * (end - start)
            images += end - start
            spent = time.perf_counter() - began
            enough = began + spent >= until if resting else hurried and images >= shortest
            if spent >= WINDOW or enough or end == count:
                # the device may still be at work: waiting for a number ends the window
                mean_loss = finite_loss(total, count, number)
                spent = time.perf_counter() - began
                if not resting:
                    paces.append(spent / images)
                    beside += reference.timed_steps(REFERENCE_SHARE * spent, hurried)
                    until = 2 * time.perf_counter() - began
                images, began = 0, time.perf_counter()
        if timed:
            threads.take(threads.wanted)
        told = validate(run.model, data, run.dtype)
        threads.take()
        epoch = Epoch(
            epoch=number,
            train_loss=mean_loss,
            val_accuracy=told.accuracy,
            val_metric=None if task.metric == "accuracy" else told.score(task.metric),
            seconds=statistics.median(paces) * count,
            reference_seconds=statistics.median(beside) * reference.steps_per_epoch,
            resumed=resumed,
        )
        resumed = False
        run.epochs.append(epoch)
        if best_epoch(run.epochs) is epoch:
            run.confusion = told
        save(run, checkpoint)
        yield epoch


def begin_epoch(run: Run, number: int) -> Draw:
    """Everything as epoch `number` wants it; gives the order of its images."""
    set_rate(run, number)
    run.dropout.redraw(number)
    run.model.train()
    return draw(run, number)


def finite_loss(total: Tensor, images: int, number: int) -> float:
    """The mean loss of so many images of epoch `number`, summed in `total`.  Raises Diverged."""
    loss = total.item() / images
    if not math.isfinite(loss):
        raise Diverged(f"the training loss of epoch {number} is {loss}")
    return loss


def warm_up(run: Run, drawn: Draw, start: int, end: int) -> None:
    """Forward and backward on these images, and nothing of the run is changed by it.

    The weights are not stepped; batch norm's statistics and dropout's draws are put back;
    gradients are forgotten.
    """
    kept = [(buffer, buffer.clone()) for buffer in run.model.buffers()]
    drops = run.dropout.get_state()
    loss = _loss(run, drawn, start, end)
    torch.autograd.backward(loss)
    loss.item()  # the device may still be at work
    run.weights.zero_grad()
    run.dropout.set_state(drops)
    with torch.no_grad():
        for buffer, before in kept:
            buffer.copy_(before)


def _loss(run: Run, drawn: Draw, start: int, end: int) -> Tensor:
    """The mean loss on these images of the epoch, each times the weight of its class."""
    data, index = run.data, drawn.order[start:end]
    images = data.train_batch(index)
    if drawn.moves is not None or drawn.flips is not None:
        moves, flips = (None if of is None else of[start:end] for of in (drawn.moves, drawn.flips))
        images = vary(images, moves, flips)
    logits = run.model(images.to(run.dtype)).float()
    labels = data.train_labels.index_select(0, index)
    smoothing = run.task.config["label_smoothing"]
    if run.class_weights is None:
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    # over the images, not over their weights: the weighted loss of the whole set is then what
    # batches of any size estimate, and a batch of one class counts as that class does
    if not smoothing:
        losses = functional.cross_entropy(logits, labels, run.class_weights, reduction="sum")
        return losses / len(labels)
    # torch's own would weigh each class that the smoothing spreads over: here an image has a weight
    each = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return (each * run.class_weights[labels]).sum() / len(labels)


def step(run: Run, drawn: Draw, start: int, end: int) -> Tensor:
    """One step of training on these images of the epoch; returns their mean loss, detached."""
    if not of_poster(run.task.config):  # the poster's has one rate an epoch
        set_rate(run, drawn.number, (start + end) / 2 / len(drawn.order))
    loss = _loss(run, drawn, start, end)
    run.weights.zero_grad()
    torch.autograd.backward(run.scaler.scale(loss))
    run.weights.gather()
    update(run)
    run.weights.spread()
    return loss.detach()


def update(run: Run) -> None:
    """The optimiser's step on the weights, with its state where `run.optimiser` keeps it."""
    if run.scaler.is_enabled():
        run.scaler.step(run.optimiser)
        run.scaler.update()
    else:
        run.optimiser.update()


def validate(model: nn.Module, data: Placed, dtype: torch.dtype) -> Confusion:
    """What the validation images are taken for.  Raises Diverged."""
    return confusion(model, data.val_batch, data.val_labels, data.classes, dtype)


@torch.inference_mode()
def confusion(
    model: nn.Module,
    batch: Callable[[int, int], Tensor],
    labels: Tensor,
    classes: int,
    dtype: torch.dtype,
) -> Confusion:
    """What images are taken for.  Raises Diverged.

    batch: the images from one number to another, shape (n, channels, height, width).  labels:
    shape (n,), below `classes`.
    """
    model.eval()
    device = labels.device
    predicted = torch.empty_like(labels)
    finite = torch.ones((), dtype=torch.bool, device=device)
    for start in range(0, len(labels), VALIDATION_BATCH):
        end = start + VALIDATION_BATCH
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = model(batch(start, end))
        predicted[start:end] = logits.argmax(1)
        finite &= logits.isfinite().all()
    if not finite:
        raise Diverged("the network's outputs on images it was not trained on are not finite")
    return Confusion.of(labels.cpu().numpy(), predicted.cpu().numpy(), classes)


def batch_bounds(count: int, size: int) -> list[tuple[int, int]]:
    """Where batches begin and end; a last one of one image is merged into the one before.

    Batch norm has no variance to divide by where there is a single value.
    """
    starts = list(range(0, count, size))
    if count > 1 and count - starts[-1] == 1 and len(starts) > 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))


class Reference:
    """The session's reference network, kept warm to be timed beside every trial."""

    def __init__(
        self,
        network: Network,
        config: Config,
        data: Placed,
        dtype: torch.dtype,
        class_weights: ClassWeights = "none",
    ) -> None:
        """class_weights: as the trials beside it have them, so that its steps do the same work."""
        # a learning rate of nothing costs the same and keeps the network as it is
        config = {**config, "learning_rate": 0.0}
        task = Training(network, config, 0, 1, class_weights=class_weights)
        self.run = begin(task, data, dtype)
        self.run.model.train()
        count = len(data.train_labels)
        self.batch: int = min(config["batch_size"], count)
        self.steps_per_epoch = count / self.batch
        self.drawn = draw(self.run, 1)
        self.at = 0

    def timed_steps(self, budget: float, hurried: bool = False) -> list[float]:
        """Seconds of each of as many steps as fill `budget` seconds, at least 3.

        One more goes before them untimed: it finds the caches full of another network.  hurried:
        a single step is enough, and none before it, for threads wait longer than caches do.
        """
        if not hurried:
            self._timed_step()
        times: list[float] = []
        while len(times) < (1 if hurried else 3) or sum(times) < budget:
            times.append(self._timed_step())
        return times

    def _timed_step(self) -> float:
        if self.at + self.batch > len(self.drawn.order):
            self.at = 0
        start, self.at = self.at, self.at + self.batch
        began = time.perf_counter()
        step(self.run, self.drawn, start, self.at).item()
        return time.perf_counter() - began


def choose_dtype(network: Network, device: torch.device) -> torch.dtype:
    """The fastest type that the device has natively and a network of this size gains by.

    A GPU: bfloat16, or float16 (with its gradients scaled) where it has only that; a processor:
    bfloat16; else float32.  By arithmetic, not by a stopwatch: on a busy machine a measurement
    takes now the one, now the other, and trials of one session would not be alike.
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        fast = torch.cuda.get_device_capability(device) >= TENSOR_CORES
        return torch.float16 if fast else torch.float32
    native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native and network.macs >= BFLOAT16_MACS else torch.float32
