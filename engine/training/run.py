"""A training run: its network, its weights, its optimiser, where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...sessions.choices import Augment, ClassWeights, Metric
from ...sessions.records import Config, Epoch
from ..metric import Confusion
from ..tasks.cnn.layout import Network
from ..tasks.task import blank_space
from .build import build
from .optimisers import Optimiser, made
from .recipe import Dropout, initialise, of_poster, undecayed
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
    metric: Metric = "accuracy"
    class_weights: ClassWeights = "none"

    def __post_init__(self) -> None:
        # one of before may lack a parameter that there is now
        object.__setattr__(self, "config", blank_space().read(self.config))


@dataclass
class Run:
    """A network in training, and all that a checkpoint keeps of it."""

    task: Training
    data: Placed
    dtype: torch.dtype
    model: nn.Sequential
    """Its layers hold their weights in `dtype`, batch norm's in float32."""
    weights: Weights
    optimiser: Optimiser
    scaler: torch.amp.GradScaler
    """Keeps the gradients of float16 from vanishing; does nothing for other types."""
    order: torch.Generator
    """Draws the order of the images."""
    dropout: Dropout
    epochs: list[Epoch]
    threads: int | None = None
    """Those that it is trained with, where its seconds do not count; None: not begun yet."""
    class_weights: Tensor | None = None
    """Of the loss, shape (classes,); None: every image counts alike."""
    confusion: Confusion | None = None
    """Of the validation images at the best epoch; None: not known, or none yet."""


def begin(
    task: Training, data: Placed, dtype: torch.dtype, model: nn.Sequential | None = None
) -> Run:
    """A new network with its optimiser, as its configuration has it trained.

    model: another network in its place, to be trained likewise.
    """
    config = task.config
    model = build(task.network, task.seed) if model is None else model
    poster = of_poster(config)
    if not poster:
        initialise(model, task.seed)
    model = model.to(data.device)
    weights = Weights(model, dtype, () if poster else undecayed(model))
    fused = data.device.type in ("cpu", "cuda")
    groups = weights.groups(config["weight_decay"])
    optimiser = made(config["optimiser"], groups, config["learning_rate"], fused=fused)
    scaler = torch.amp.GradScaler(data.device.type, enabled=dtype == torch.float16)
    order = torch.Generator().manual_seed(task.seed)
    dropout = Dropout(model, config["dropout"], task.seed)
    run = Run(task, data, dtype, model, weights, optimiser, scaler, order, dropout, [])
    if task.class_weights == "balanced":
        run.class_weights = balanced_weights(data.train_labels, data.classes)
    return run


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """n / (C n_c) of each class c, float32: every class counts alike, an image 1 on average.

    labels: of the n images to train on, shape (n,).  Returns shape (classes,).
    """
    counts = torch.bincount(labels.cpu(), minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float().to(labels.device)


def full_precision(run: Run) -> nn.Sequential:
    """A copy of the run's network as it is now, all of it in float32."""
    model = build(run.task.network, run.task.seed).to(run.data.device)
    model.load_state_dict(run.weights.state_dict())
    return model
