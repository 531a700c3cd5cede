"""The training loop: images on the device, batches by index, an epoch at a time, checkpoints."""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.adam import adam

from ...sessions.records import Augment, Config, Epoch
from ..cnn import Network
from .build import build
from .data import PART, Data, Images, Split
from .threads import Threads
from .weights import Weights

CHECKPOINT_VERSION = 3
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
SHIFT = 8
"""A random crop moves an image by at most this part of its side, and by one pixel at least."""
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Diverged(ArithmeticError):
    """The loss or the network's outputs are not finite."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used, or cannot be written; the message says what to do."""


@dataclass(frozen=True)
class Placed:
    """Data ready to train on.

    Where they fit (`stored` is None) images are normalised, on the device, of shape (n, height,
    width, channels).  Else they stay as they were read, of shape (n, channels, height, width), in
    memory or on the disk, and each batch is normalised when it is taken: the same numbers.
    """

    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    fingerprint: str
    stored: Stored | None = None

    @property
    def device(self) -> torch.device:
        return self.train_labels.device

    def train_batch(self, index: Tensor) -> Tensor:
        """The training images of these numbers, shape (n, channels, height, width), normalised."""
        if self.stored is not None:
            return self.stored.batch(self.train_images, index)
        return self.train_images.index_select(0, index).permute(0, 3, 1, 2)

    def val_batch(self, start: int, end: int) -> Tensor:
        """Validation images, shape (n, channels, height, width), normalised."""
        if self.stored is not None:
            index = torch.arange(start, min(end, len(self.val_labels)))
            return self.stored.batch(self.val_images, index)
        return self.val_images[start:end].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Stored:
    """Images as they were read, shape (n, channels, height, width), and how to normalise them."""

    images: Images
    mean: Tensor
    std: Tensor
    device: torch.device

    def batch(self, numbers: Tensor, index: Tensor) -> Tensor:
        """images[numbers[index]], normalised, shape (n, channels, height, width), on the device."""
        wanted = numbers[index.cpu()].numpy()
        part = torch.from_numpy(self.images[wanted]).to(self.device)
        return _normalised(part, self.mean, self.std).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Task:
    """What to train, and for how long."""

    network: Network
    config: Config
    seed: int
    epochs: int
    augment: Augment = "none"


@dataclass
class Run:
    """A network in training, and all that a checkpoint keeps of it."""

    task: Task
    data: Placed
    dtype: torch.dtype
    model: nn.Sequential
    """Its layers hold their weights in `dtype`, batch norm's in float32."""
    weights: Weights
    optimiser: torch.optim.Adam
    scaler: torch.amp.GradScaler
    """Keeps the gradients of float16 from vanishing; does nothing for other types."""
    order: torch.Generator
    """Draws the order of the images."""
    epochs: list[Epoch]
    threads: int | None = None
    """Those that it is trained with, where its seconds do not count; None: not begun yet."""


@dataclass(frozen=True)
class Draw:
    """What chance decides of one epoch: the order of the images, and how each is varied.

    order: shape (n,).  moves: shape (n, 2), pixels down and right; flips: shape (n,), bool; both
    in that order, None where images stay as they are.
    """

    order: Tensor
    moves: Tensor | None = None
    flips: Tensor | None = None


def memory_budget(device: torch.device, share: float = 1.0) -> float:
    """Bytes that normalised images may take on the device: half of what it has.

    share: of the machine's memory, where several trainers share it.

    LCSEARCH_MEMORY_BUDGET (bytes, or 500MB, 4GB) says otherwise.  Raises ValueError.
    """
    words = os.environ.get("LCSEARCH_MEMORY_BUDGET", "").strip()
    if words:
        units = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
        unit = units.get(words[-2:].upper(), 1.0)
        try:
            budget = float(words if unit == 1.0 else words[:-2]) * unit
        except ValueError:
            budget = math.nan
        if not budget >= 0:
            raise ValueError(
                f"LCSEARCH_MEMORY_BUDGET = {words}: not usable. Write bytes, or for example 500MB "
                "or 4GB."
            )
        return budget
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] / 2
    return share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2


def place(data: Data, device: torch.device, share: float = 1.0) -> Placed:
    """Normalise the images once and put them on the device, or leave them where they are.

    What is above `memory_budget` is left, and normalised a batch at a time.
    """
    every = len(data.train_numbers) + len(data.val_numbers)
    size = 4.0 * every * data.pool.images[0].size
    labels = [
        torch.from_numpy(data.pool.labels[numbers]).to(device)
        for numbers in (data.train_numbers, data.val_numbers)
    ]
    fingerprint = data.summary.fingerprint
    if size > memory_budget(device, share):
        mean, std = (torch.from_numpy(of).to(device) for of in (data.mean, data.std))
        stored = Stored(data.pool.images, mean, std, device)
        train, val = (torch.from_numpy(of) for of in (data.train_numbers, data.val_numbers))
        return Placed(train, labels[0], val, labels[1], fingerprint, stored)
    images = [
        normalised(data, data.pool.images, numbers, device)
        for numbers in (data.train_numbers, data.val_numbers)
    ]
    return Placed(images[0], labels[0], images[1], labels[1], fingerprint)


def normalised(
    data: Data, images: Images, numbers: NDArray[np.int64], device: torch.device
) -> Tensor:
    """These images by the data's mean and std, shape (n, height, width, channels)."""
    _, channels, height, width = images.shape
    placed = torch.empty(len(numbers), height, width, channels, device=device)
    mean, std = (torch.from_numpy(of).to(device) for of in (data.mean, data.std))
    for start in range(0, len(numbers), PART):  # in parts, so that no second copy of all is made
        part = torch.from_numpy(images[numbers[start : start + PART]]).to(device)
        placed[start : start + PART] = _normalised(part, mean, std)
    return placed


def testing(
    data: Data, test: Split, device: torch.device
) -> tuple[Callable[[int, int], Tensor], Tensor]:
    """The test images by the data's mean and std, for `accuracy`, and their labels."""

    def batch(start: int, end: int) -> Tensor:
        numbers = np.arange(start, min(end, len(test)))
        return normalised(data, test.images, numbers, device).permute(0, 3, 1, 2)

    return batch, torch.from_numpy(test.labels).to(device)


def _normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(n, channels, height, width) as stored to (n, height, width, channels), contiguous."""
    return (images.permute(0, 2, 3, 1).contiguous() - mean) / std


def begin(task: Task, data: Placed, dtype: torch.dtype) -> Run:
    """A new network with its optimiser: Adam, the L2 term in the gradient."""
    model = build(task.network, task.seed).to(data.device)
    weights = Weights(model, dtype)
    optimiser = torch.optim.Adam(
        [weights.master],
        lr=task.config["learning_rate"],
        weight_decay=task.config["weight_decay"],
        fused=data.device.type in ("cpu", "cuda"),
    )
    scaler = torch.amp.GradScaler(data.device.type, enabled=dtype == torch.float16)
    order = torch.Generator().manual_seed(task.seed)
    return Run(task, data, dtype, model, weights, optimiser, scaler, order, [])


def full_precision(run: Run) -> nn.Sequential:
    """A copy of the run's network as it is now, all of it in float32."""
    model = build(run.task.network, run.task.seed).to(run.data.device)
    model.load_state_dict(run.weights.state_dict())
    return model


def set_rate(run: Run, number: int) -> None:
    """The learning rate of this epoch, the first being 1."""
    config = run.task.config
    for group in run.optimiser.param_groups:
        group["lr"] = config["learning_rate"] * config["lr_decay"] ** (number - 1)


def draw(run: Run, number: int) -> Draw:
    """What chance decides of this epoch: the same for the same seed, however often it is paused."""
    count, augment = len(run.data.train_labels), run.task.augment
    device = run.data.device
    order = torch.randperm(count, generator=run.order).to(device)
    if augment == "none":
        return Draw(order)
    # a stream of its own for each epoch: nothing of it must be kept, and the order stays the same
    generator = torch.Generator().manual_seed(run.task.seed * 100_003 + number)
    first = run.task.network.convolutions[0]
    moves = flips = None
    if "crop" in augment:
        most = torch.tensor([_shift(first.height_in), _shift(first.width_in)])
        wide = torch.rand(count, 2, generator=generator) * (2 * most + 1)
        moves = (wide.floor().long() - most).to(device)
    if "flip" in augment:
        flips = (torch.rand(count, generator=generator) < 0.5).to(device)
    return Draw(order, moves, flips)


def _shift(side: int) -> int:
    return max(1, round(side / SHIFT))


def vary(images: Tensor, moves: Tensor | None, flips: Tensor | None) -> Tensor:
    """Images shifted and mirrored, each its own way; what comes in from outside is 0, the mean.

    images: shape (n, channels, height, width), channels-last in memory, and so is what is
    returned.  moves: shape (n, 2), pixels down and right.  flips: shape (n,), bool.
    """
    count, _, height, width = images.shape
    rows = torch.arange(height, device=images.device).expand(count, height)
    columns = torch.arange(width, device=images.device).expand(count, width)
    if flips is not None:
        columns = torch.where(flips[:, None], width - 1 - columns, columns)
    if moves is not None:
        # one line of zeros beyond the last stands for all that is outside
        images = functional.pad(images, (0, 1, 0, 1))
        rows, columns = (
            torch.where((at >= 0) & (at < side), at, side)
            for at, side in (
                (rows - moves[:, :1], height),
                (columns - torch.where(flips, -1, 1)[:, None] * moves[:, 1:], width)
                if flips is not None
                else (columns - moves[:, 1:], width),
            )
        )
    which = torch.arange(count, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


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
        set_rate(run, number)
        drawn = draw(run, number)
        run.model.train()
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
                    run.threads = threads.keep_or_lower(run.threads)
                    threads.take(run.threads)
                else:
                    threads.take(threads.wanted if resting else None)
            loss = step(run, drawn, start, end)
            total += loss * (end - start)
            images += end - start
            spent = time.perf_counter() - began
            enough = began + spent >= until if resting else hurried and images >= shortest
            if spent >= WINDOW or enough or end == count:
                # the device may still be at work: waiting for a number ends the window
                mean_loss = total.item() / count
                if not math.isfinite(mean_loss):
                    raise Diverged(f"the training loss of epoch {number} is {mean_loss}")
                spent = time.perf_counter() - began
                if not resting:
                    paces.append(spent / images)
                    beside += reference.timed_steps(REFERENCE_SHARE * spent, hurried)
                    until = 2 * time.perf_counter() - began
                images, began = 0, time.perf_counter()
        if timed:
            threads.take(threads.wanted)
        accuracy = validate(run.model, data, run.dtype)
        threads.take()
        epoch = Epoch(
            epoch=number,
            train_loss=mean_loss,
            val_accuracy=accuracy,
            seconds=statistics.median(paces) * count,
            reference_seconds=statistics.median(beside) * reference.steps_per_epoch,
            resumed=resumed,
        )
        resumed = False
        run.epochs.append(epoch)
        save(run, checkpoint)
        yield epoch


def warm_up(run: Run, drawn: Draw, start: int, end: int) -> None:
    """Forward and backward on these images, and nothing of the run is changed by it.

    The weights are not stepped, batch norm's statistics are put back, and no random number is
    drawn; gradients are forgotten.
    """
    kept = [(buffer, buffer.clone()) for buffer in run.model.buffers()]
    loss = _loss(run, drawn, start, end)
    torch.autograd.backward(loss)
    loss.item()  # the device may still be at work
    run.weights.zero_grad()
    with torch.no_grad():
        for buffer, before in kept:
            buffer.copy_(before)


def _loss(run: Run, drawn: Draw, start: int, end: int) -> Tensor:
    """The mean loss on these images of the epoch."""
    data, index = run.data, drawn.order[start:end]
    images = data.train_batch(index)
    if drawn.moves is not None or drawn.flips is not None:
        moves, flips = (None if of is None else of[start:end] for of in (drawn.moves, drawn.flips))
        images = vary(images, moves, flips)
    logits = run.model(images.to(run.dtype))
    return functional.cross_entropy(logits.float(), data.train_labels.index_select(0, index))


def step(run: Run, drawn: Draw, start: int, end: int) -> Tensor:
    """One step of training on these images of the epoch; returns their mean loss, detached."""
    loss = _loss(run, drawn, start, end)
    run.weights.zero_grad()
    torch.autograd.backward(run.scaler.scale(loss))
    run.weights.gather()
    update(run)
    run.weights.spread()
    return loss.detach()


def update(run: Run) -> None:
    """Adam's step on the weights, with its state where `run.optimiser` keeps it.

    By the function that `Adam.step` ends in, where nothing has to be unscaled: on a small network
    all that comes before it takes longer than the step.
    """
    master, optimiser = run.weights.master, run.optimiser
    state = optimiser.state.get(master)
    if run.scaler.is_enabled() or not state:  # the first step makes the state
        run.scaler.step(optimiser)
        run.scaler.update()
        return
    assert master.grad is not None
    group = optimiser.param_groups[0]
    beta1, beta2 = group["betas"]
    with torch.no_grad():
        adam(
            [master],
            [master.grad],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            fused=group["fused"],
            amsgrad=False,
            maximize=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
        )


def validate(model: nn.Module, data: Placed, dtype: torch.dtype) -> float:
    """The share of validation images that are told right.  Raises Diverged."""
    return accuracy(model, data.val_batch, data.val_labels, dtype)


@torch.inference_mode()
def accuracy(
    model: nn.Module,
    batch: Callable[[int, int], Tensor],
    labels: Tensor,
    dtype: torch.dtype,
) -> float:
    """The share of images that are told right.  Raises Diverged.

    batch: the images from one number to another, shape (n, channels, height, width).
    """
    model.eval()
    device = labels.device
    right = torch.zeros((), dtype=torch.int64, device=device)
    finite = torch.ones((), dtype=torch.bool, device=device)
    for start in range(0, len(labels), VALIDATION_BATCH):
        end = start + VALIDATION_BATCH
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = model(batch(start, end))
        right += (logits.argmax(1) == labels[start:end]).sum()
        finite &= logits.isfinite().all()
    if not finite:
        raise Diverged("the network's outputs on images it was not trained on are not finite")
    return int(right) / len(labels)


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

    def __init__(self, network: Network, config: Config, data: Placed, dtype: torch.dtype) -> None:
        # a learning rate of nothing costs the same and keeps the network as it is
        self.run = begin(Task(network, {**config, "learning_rate": 0.0}, 0, 1), data, dtype)
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


def save(run: Run, path: Path) -> None:
    """Write the checkpoint; the file holds the old one or the new one, never a part.

    Raises CheckpointError, also where its folder is gone: a deleted session stays deleted.
    """
    content = io.BytesIO()
    torch.save(
        {
            "version": CHECKPOINT_VERSION,
            "data": run.data.fingerprint,
            "config": run.task.config,
            "seed": run.task.seed,
            "augment": run.task.augment,
            "dtype": str(run.dtype).removeprefix("torch."),
            "epochs": [epoch.model_dump() for epoch in run.epochs],
            "model": run.weights.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "scaler": run.scaler.state_dict(),
            "order": run.order.get_state(),
            "threads": run.threads,
        },
        content,
    )
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be written: the folder {path.parent} is gone. If the "
            "session was not meant to be deleted, bring the folder back, then repeat the trial."
        ) from error
    except OSError as error:
        with contextlib.suppress(OSError):  # on a full disk its part is in the way
            part.unlink()
        raise CheckpointError(
            f"the checkpoint {path} cannot be written: {error}. Make room or give the right to "
            "write there, then repeat the trial."
        ) from error


def restore(task: Task, data: Placed, path: Path) -> Run:
    """The run as its checkpoint left it; trained on, it gives what it would have given.

    Raises CheckpointError where the file is damaged or belongs to another trial.
    """
    # the engine takes away what belongs to a trial that has ended
    remedy = "It is taken away; repeat the trial to train it from the beginning."
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"the checkpoint {path} cannot be read, it is truncated or damaged ({reason}). {remedy}"
        ) from error
    if not isinstance(kept, dict) or kept.get("version") != CHECKPOINT_VERSION:
        version = kept.get("version") if isinstance(kept, dict) else None
        raise CheckpointError(
            f"the checkpoint {path} is of version {version}, not {CHECKPOINT_VERSION}. {remedy}"
        )
    for name, mine in (
        ("data", data.fingerprint),
        ("config", task.config),
        ("seed", task.seed),
        ("augment", task.augment),
    ):
        if kept.get(name) != mine:
            raise CheckpointError(
                f"the checkpoint {path} is another trial's: its {name} is {kept.get(name)}, not "
                f"{mine}. {remedy}"
            )
    dtype = DTYPES.get(str(kept.get("dtype")))
    if dtype is None:
        raise CheckpointError(
            f"the checkpoint {path} was trained in {kept.get('dtype')}, which is not known here. "
            f"{remedy}"
        )
    run = begin(task, data, dtype)
    try:
        run.weights.load_state_dict(kept["model"])
        run.optimiser.load_state_dict(kept["optimiser"])
        run.scaler.load_state_dict(kept["scaler"])
        run.order.set_state(kept["order"])
        run.epochs = [Epoch.model_validate(epoch) for epoch in kept["epochs"]]
        run.threads = kept.get("threads")  # a checkpoint of before has none
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint {path} does not fit its network ({error}). {remedy}"
        ) from error
    return run
