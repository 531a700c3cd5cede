"""Checkpoints: a run written whole, and read back as it was."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...sessions.files import part_of, replace
from ...sessions.records import Epoch
from ..metric import Confusion
from ..tasks.task import blank_space
from .recipe import of_poster
from .run import DTYPES, begin

if TYPE_CHECKING:
    from .images import Placed
    from .run import Run, Training


CHECKPOINT_VERSION = 3
BEFORE: dict[str, Any] = {"metric": "accuracy", "class_weights": "none", "length in epochs": None}
"""What a checkpoint that does not say was trained by: there was nothing else."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used, or cannot be written; the message says what to do."""


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
            "metric": run.task.metric,
            "class_weights": run.task.class_weights,
            "length in epochs": _length(run.task),
            "dtype": str(run.dtype).removeprefix("torch."),
            "epochs": [epoch.model_dump() for epoch in run.epochs],
            "model": run.weights.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "scaler": run.scaler.state_dict(),
            "order": run.order.get_state(),
            "threads": run.threads,
            "confusion": _as_tensor(run.confusion),
        },
        content,
    )
    try:
        replace(path, content.getbuffer(), part_of(path))
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


def restore(task: Training, data: Placed, path: Path) -> Run:
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
    config = kept.get("config")
    if isinstance(config, dict):  # one of before may lack a parameter that there is now
        kept["config"] = blank_space().read(config)
    for name, mine in (
        ("data", data.fingerprint),
        ("config", task.config),
        ("seed", task.seed),
        ("augment", task.augment),
        ("metric", task.metric),
        ("class_weights", task.class_weights),
        ("length in epochs", _length(task)),
    ):
        given = kept.get(name, BEFORE.get(name))
        if given != mine:
            raise CheckpointError(
                f"the checkpoint {path} is another trial's: its {name} is {given}, not "
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
        # a checkpoint of before has neither: the confusion is known from the next best epoch on
        run.threads = kept.get("threads")
        run.confusion = _of_tensor(kept.get("confusion"), data.classes)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint {path} does not fit its network ({error}). {remedy}"
        ) from error
    return run


def _length(task: Training) -> int | None:
    """The epochs that a training is bound to; None: the poster's schedule can be of any length."""
    return None if of_poster(task.config) else task.epochs


def _as_tensor(confusion: Confusion | None) -> Tensor | None:
    """Shape (3, pairs): true class, predicted class, count."""
    if confusion is None:
        return None
    return torch.stack(
        [torch.from_numpy(of) for of in (confusion.true, confusion.predicted, confusion.count)]
    )


def _of_tensor(kept: Tensor | None, classes: int) -> Confusion | None:
    return None if kept is None else Confusion(classes, *kept.numpy())
