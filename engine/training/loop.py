"""The training loop: images on the device, batches by index, an epoch at a time, checkpoints."""

from __future__ import annotations

import io
import math
import os
import pickle
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...sessions.records import Config, Epoch
from ..cnn import Network
from .build import build
from .data import Data, Split

CHECKPOINT_VERSION = 1
VALIDATION_BATCH = 500
WINDOW = 0.25
"""Seconds of training between two looks at how fast the reference network is now."""
FEW_BATCHES = 8
"""Batches an epoch up to which its first step is cold for too large a part of its time."""
REFERENCE_SHARE = 0.1
"""Time given to the reference network, as a share of the time given to the trial."""
BFLOAT16_MACS = 1_000_000
"""Multiply-accumulates of an image from which bfloat16 pays on a processor that has it: below,
converting costs as much as it saves."""


class Diverged(ArithmeticError):
    """The loss or the network's outputs are not finite."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used, or cannot be written; the message says what to do."""


@dataclass(frozen=True)
class Placed:
    """Data on the device, normalised.  Images have shape (n, height, width, channels)."""

    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    fingerprint: str

    @property
    def device(self) -> torch.device:
        return self.train_images.device


@dataclass(frozen=True)
class Task:
    """What to train, and for how long."""

    network: Network
    config: Config
    seed: int
    epochs: int


@dataclass
class Run:
    """A network in training, and all that a checkpoint keeps of it."""

    task: Task
    data: Placed
    dtype: torch.dtype
    model: nn.Sequential
    optimiser: torch.optim.Adam
    order: torch.Generator
    """Draws the order of the images."""
    epochs: list[Epoch]


def place(data: Data, device: torch.device) -> Placed:
    """Normalise the images once, and put them on the device."""

    def images(split: Split) -> Tensor:
        count, channels, height, width = split.images.shape
        placed = torch.empty(count, height, width, channels, device=device)
        mean, std = torch.from_numpy(data.mean), torch.from_numpy(data.std)
        for start in range(0, count, 4096):  # in parts, so that no second copy of all is made
            part = torch.from_numpy(split.images[start : start + 4096]).permute(0, 2, 3, 1)
            placed[start : start + 4096] = (part - mean) / std
        return placed

    def labels(split: Split) -> Tensor:
        return torch.from_numpy(split.labels).to(device)

    return Placed(
        images(data.train),
        labels(data.train),
        images(data.val),
        labels(data.val),
        data.summary.fingerprint,
    )


def begin(task: Task, data: Placed, dtype: torch.dtype) -> Run:
    """A new network with its optimiser: Adam, the L2 term in the gradient."""
    model = build(task.network, task.seed).to(data.device)
    optimiser = torch.optim.Adam(
        model.parameters(),
        lr=task.config["learning_rate"],
        weight_decay=task.config["weight_decay"],
        fused=data.device.type in ("cpu", "cuda"),
    )
    return Run(task, data, dtype, model, optimiser, torch.Generator().manual_seed(task.seed), [])


def train(
    run: Run, reference: Reference, checkpoint: Path, stopped: Callable[[], bool]
) -> Iterator[Epoch]:
    """Train to the last epoch; each epoch is given when its checkpoint is on the disk.

    stopped: asked before every batch; where it says True, training ends there and what this epoch
    did is lost.  Raises Diverged, CheckpointError.

    An epoch is timed in windows, and after each the reference network is timed for a moment, so
    that both have met the same load and clock; the medians of both leave out what disturbed one
    window.  Where an epoch has few batches, a step that changes nothing goes before it untimed, as
    one goes before the reference's.
    """
    task, data = run.task, run.data
    batches = batch_bounds(len(data.train_labels), task.config["batch_size"])
    rate, decay = task.config["learning_rate"], task.config["lr_decay"]
    resumed = bool(run.epochs)
    for number in range(len(run.epochs) + 1, task.epochs + 1):
        for group in run.optimiser.param_groups:
            group["lr"] = rate * decay ** (number - 1)
        order = torch.randperm(len(data.train_labels), generator=run.order).to(data.device)
        run.model.train()
        # where a step fills a window, cold caches are nothing beside it
        slow = bool(run.epochs) and run.epochs[-1].seconds >= WINDOW * len(batches)
        if len(batches) <= FEW_BATCHES and not slow and not stopped():
            start, end = batches[0]
            warm_up(run, order[start:end])
        total = torch.zeros((), device=data.device)
        paces: list[float] = []  # seconds an image, of each window
        beside: list[float] = []  # seconds of each step of the reference network
        images, began = 0, time.perf_counter()
        for start, end in batches:
            if stopped():
                return
            loss = step(run.model, run.optimiser, data, order[start:end], run.dtype)
            total += loss * (end - start)
            images += end - start
            if time.perf_counter() - began >= WINDOW or end == len(order):
                # the device may still be at work: waiting for a number ends the window
                mean_loss = total.item() / len(order)
                if not math.isfinite(mean_loss):
                    raise Diverged(f"the training loss of epoch {number} is {mean_loss}")
                spent = time.perf_counter() - began
                paces.append(spent / images)
                beside += reference.timed_steps(REFERENCE_SHARE * spent)
                images, began = 0, time.perf_counter()
        accuracy = validate(run.model, data, run.dtype)
        epoch = Epoch(
            epoch=number,
            train_loss=mean_loss,
            val_accuracy=accuracy,
            seconds=statistics.median(paces) * len(order),
            reference_seconds=statistics.median(beside) * reference.steps_per_epoch,
            resumed=resumed,
        )
        resumed = False
        run.epochs.append(epoch)
        save(run, checkpoint)
        yield epoch


def warm_up(run: Run, index: Tensor) -> None:
    """Forward and backward on these images, and nothing of the run is changed by it.

    The weights are not stepped, batch norm's statistics are put back, and no random number is
    drawn; gradients are forgotten.
    """
    kept = [(buffer, buffer.clone()) for buffer in run.model.buffers()]
    loss = _loss(run.model, run.data, index, run.dtype)
    torch.autograd.backward(loss)
    loss.item()  # the device may still be at work
    run.optimiser.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, before in kept:
            buffer.copy_(before)


def _loss(model: nn.Module, data: Placed, index: Tensor, dtype: torch.dtype) -> Tensor:
    """The mean loss on the images of these numbers."""
    images = data.train_images.index_select(0, index).permute(0, 3, 1, 2)
    with torch.autocast(data.device.type, dtype, enabled=dtype != torch.float32):
        logits = model(images)
    return functional.cross_entropy(logits.float(), data.train_labels.index_select(0, index))


def step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    data: Placed,
    index: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """One step of training on the images of these numbers; returns their mean loss, detached."""
    loss = _loss(model, data, index, dtype)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimiser.step()
    return loss.detach()


@torch.inference_mode()
def validate(model: nn.Module, data: Placed, dtype: torch.dtype) -> float:
    """The share of validation images that are told right.  Raises Diverged."""
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=data.device)
    finite = torch.ones((), dtype=torch.bool, device=data.device)
    for start in range(0, len(data.val_labels), VALIDATION_BATCH):
        images = data.val_images[start : start + VALIDATION_BATCH].permute(0, 3, 1, 2)
        with torch.autocast(data.device.type, dtype, enabled=dtype != torch.float32):
            logits = model(images)
        right += (logits.argmax(1) == data.val_labels[start : start + VALIDATION_BATCH]).sum()
        finite &= logits.isfinite().all()
    if not finite:
        raise Diverged("the network's outputs on the validation images are not finite")
    return int(right) / len(data.val_labels)


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
        self.data, self.dtype = data, dtype
        self.model = build(network, 0).to(data.device).train()
        # a learning rate of nothing costs the same and keeps the network as it is
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=0.0, fused=data.device.type in ("cpu", "cuda")
        )
        count = len(data.train_labels)
        self.batch: int = min(config["batch_size"], count)
        self.steps_per_epoch = count / self.batch
        self.order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        self.order = self.order.to(data.device)
        self.at = 0

    def timed_steps(self, budget: float) -> list[float]:
        """Seconds of each of as many steps as fill `budget` seconds, at least 3.

        One more goes before them untimed: it finds the caches full of another network.
        """
        self._timed_step()
        times: list[float] = []
        while len(times) < 3 or sum(times) < budget:
            times.append(self._timed_step())
        return times

    def _timed_step(self) -> float:
        if self.at + self.batch > len(self.order):
            self.at = 0
        index = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        began = time.perf_counter()
        step(self.model, self.optimiser, self.data, index, self.dtype).item()
        return time.perf_counter() - began


def choose_dtype(network: Network, device: torch.device) -> torch.dtype:
    """bfloat16 where the device has it and a network of this size gains by it, else float32.

    By arithmetic, not by a stopwatch: on a busy machine a measurement takes now the one, now the
    other, and trials of one session would not be alike.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float32
    native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native and network.macs >= BFLOAT16_MACS else torch.float32


def medians(epochs: Sequence[Epoch]) -> tuple[float, float]:
    """Seconds an epoch of the trial and of the reference beside it, each a median.

    The first epoch, and the first after a resume, is cold: left out where there is another.
    """
    warm = [epoch for epoch in epochs if epoch.epoch > 1 and not epoch.resumed] or epochs
    beside = [e.reference_seconds for e in warm if e.reference_seconds is not None]
    return statistics.median(e.seconds for e in warm), statistics.median(beside)


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
            "dtype": str(run.dtype).removeprefix("torch."),
            "epochs": [epoch.model_dump() for epoch in run.epochs],
            "model": run.model.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "order": run.order.get_state(),
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
        raise CheckpointError(
            f"the checkpoint {path} cannot be written: {error}. Make room or give the right to "
            "write there, then repeat the trial."
        ) from error


def restore(task: Task, data: Placed, path: Path) -> Run:
    """The run as its checkpoint left it; trained on, it gives what it would have given.

    Raises CheckpointError where the file is damaged or belongs to another trial.
    """
    remedy = "Delete it to train from the beginning, then repeat the trial."
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
    ):
        if kept.get(name) != mine:
            raise CheckpointError(
                f"the checkpoint {path} is another trial's: its {name} is {kept.get(name)}, not "
                f"{mine}. {remedy}"
            )
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(str(kept.get("dtype")))
    if dtype is None:
        raise CheckpointError(
            f"the checkpoint {path} was trained in {kept.get('dtype')}, which is not known here. "
            f"{remedy}"
        )
    run = begin(task, data, dtype)
    try:
        run.model.load_state_dict(kept["model"])
        run.optimiser.load_state_dict(kept["optimiser"])
        run.order.set_state(kept["order"])
        run.epochs = [Epoch.model_validate(epoch) for epoch in kept["epochs"]]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint {path} does not fit its network ({error}). {remedy}"
        ) from error
    return run
