"""Images on a device: placed, normalised, drawn in an order, varied."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .data import PART, Data, Images, Split

SHIFT = 8
"""A random crop moves an image by at most this part of its side, and by one pixel at least."""


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
    classes: int
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
class Draw:
    """What chance decides of one epoch: the order of the images, and how each is varied.

    order: shape (n,).  moves: shape (n, 2), pixels down and right; flips: shape (n,), bool; both
    in that order, None where images stay as they are.  number: the epoch's, the first 1.
    """

    order: Tensor
    moves: Tensor | None = None
    flips: Tensor | None = None
    number: int = 1


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
    fingerprint, classes = data.summary.fingerprint, data.summary.classes
    if size > memory_budget(device, share):
        mean, std = (torch.from_numpy(of).to(device) for of in (data.mean, data.std))
        stored = Stored(data.pool.images, mean, std, device)
        train, val = (torch.from_numpy(of) for of in (data.train_numbers, data.val_numbers))
        return Placed(train, labels[0], val, labels[1], fingerprint, classes, stored)
    images = [
        normalised(data, data.pool.images, numbers, device)
        for numbers in (data.train_numbers, data.val_numbers)
    ]
    return Placed(images[0], labels[0], images[1], labels[1], fingerprint, classes)


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
    """The test images by the data's mean and std, for `confusion`, and their labels."""

    def batch(start: int, end: int) -> Tensor:
        numbers = np.arange(start, min(end, len(test)))
        return normalised(data, test.images, numbers, device).permute(0, 3, 1, 2)

    return batch, torch.from_numpy(test.labels).to(device)


def _normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(n, channels, height, width) as stored to (n, height, width, channels), contiguous."""
    return (images.permute(0, 2, 3, 1).contiguous() - mean) / std


def shift_of(side: int) -> int:
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
