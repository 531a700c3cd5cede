"""A training run: its network, its weights, its optimiser, where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...sessions.choices import Augment
from ...sessions.records import Config, Epoch
from ..tasks.cnn.layout import Network
from .build import build
from .weights import Weights

if TYPE_CHECKING:
    from .images import Placed


DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Training:
    """What to train, and for how long."""

    network: Network
    config: Config
    seed: int
    epochs: int
    augment: Augment = "none"


@dataclass
class Run:
    """A network in training, and all that a checkpoint keeps of it."""

    task: Training
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


def begin(task: Training, data: Placed, dtype: torch.dtype) -> Run:
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
