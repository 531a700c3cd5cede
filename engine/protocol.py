"""The JSON lines that an executor and a trainer exchange: one record a line, told by its `kind`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ..sessions.choices import LOSS_WARNED, Augment, ClassWeights, Dtype, Images, Metric, Runtime
from ..sessions.files import content
from ..sessions.records import (
    Config,
    Confusion,
    DataSource,
    DataSummary,
    EightBits,
    Epoch,
    Failure,
    Machine,
    Preparation,
    Recalls,
    Record,
    StopMode,
)

RESULT = "result.json"
LARGEST_RESULT = 64 << 20
"""Bytes of it."""
"""The file that holds a `FinalResult`."""


class Load(Record):
    """Read the data.  fingerprint: what the session expects; None where there is no session yet.

    pictures: whether to show an image of each class.
    """

    kind: Literal["load"] = "load"
    data: DataSource
    fingerprint: str | None = None
    pictures: bool = False


class Train(Record):
    """Train a network.  checkpoint, lock: paths of files that belong to this trial alone.

    timed: whether its seconds count; else it may give up threads where others want the processors.
    metric: what each epoch's `val_metric` is, where it is not the accuracy.  class_weights: of the
    loss.
    """

    kind: Literal["train"] = "train"
    trial: int
    attempt: int
    config: Config
    reference: Config
    seed: int
    epochs: int
    features: int
    checkpoint: str
    lock: str
    augment: Augment = "none"
    timed: bool = True
    metric: Metric = "accuracy"
    class_weights: ClassWeights = "none"


class Stop(Record):
    """End a trial: after this epoch, now, or pause it (at its next checkpoint)."""

    kind: Literal["stop"] = "stop"
    trial: int
    attempt: int
    mode: StopMode


class Clock(Record):
    """Time networks without training them: one image at a time, one thread, beside the reference.

    shape, classes, features: as a session has them.
    """

    kind: Literal["clock"] = "clock"
    runtime: Runtime
    shape: tuple[int, int, int]
    classes: int
    features: int
    reference: Config
    configs: tuple[Config, ...]


STEADY = 0.05
"""Coefficient of variation up to which a measurement of a latency is steady."""


class Clocked(Record):
    """How long a network took: over the reference's time, the coefficient of variation of that, and
    the reference's own milliseconds in the same moments.
    """

    kind: Literal["clocked"] = "clocked"
    ratio: float
    variation: float
    reference_milliseconds: float


class Reading(Record):
    """Image files are read, and that takes a while: so many of so many."""

    kind: Literal["reading"] = "reading"
    done: int
    total: int


class Picture(Record):
    """An image of a class as a network is given it, but for its size.

    label: the class's number.  rows: from the top, six hexadecimal digits a pixel.
    """

    label: int
    rows: tuple[str, ...]


class Ready(Record):
    """The data has been read.  machine: None from a probe, which asks no device.

    pictures: of the first classes, where they were asked for.
    """

    kind: Literal["ready"] = "ready"
    summary: DataSummary
    machine: Machine | None = None
    pictures: tuple[Picture, ...] = ()


class Refused(Record):
    """The data cannot be used; the message says what, which value and what to do.

    misuse: whether it is the data that were named, and not this machine.
    """

    kind: Literal["refused"] = "refused"
    message: str
    misuse: bool = False


class Started(Record):
    """The trial's network is built.  epochs: those its checkpoint brought back."""

    kind: Literal["started"] = "started"
    trial: int
    attempt: int
    epochs: tuple[Epoch, ...] = ()


class EpochDone(Record):
    """One more epoch, already in the checkpoint."""

    kind: Literal["epoch"] = "epoch"
    trial: int
    attempt: int
    epoch: Epoch


class Working(Record):
    """A sign of life between two epochs: some batches further."""

    kind: Literal["working"] = "working"
    trial: int
    attempt: int


class Finished(Record):
    """Trained to the end.

    error: 1 - the session's metric at the best epoch.  costs, reference_costs: what was measured
    beside what the epochs tell, of the trial and of the reference in the same moments, by measures.
    recalls, confusion, effective_images: as a `Trial` keeps them.
    """

    kind: Literal["finished"] = "finished"
    trial: int
    attempt: int
    error: float
    costs: dict[str, float] = Field(default_factory=dict)
    reference_costs: dict[str, float] = Field(default_factory=dict)
    recalls: Recalls = ()
    confusion: Confusion = b""
    effective_images: float | None = None
    machine: Machine


class Ended(Record):
    """Stopped or paused as asked."""

    kind: Literal["ended"] = "ended"
    trial: int
    attempt: int
    paused: bool


class Failed(Record):
    """The trial failed; the trainer lives on.

    no_room: only because its checkpoint found no room on the disk; no_folder: because the folder
    of its checkpoint was not there.  The trial itself is sound.
    """

    kind: Literal["failed"] = "failed"
    trial: int
    attempt: int
    failure: Failure
    no_room: bool = False
    no_folder: bool = False


def trained_on(summary: DataSummary, images: Images = "session") -> str:
    """Which images a final training takes, in words that follow "trains" or "trained".

    summary: of the session's images, or of all of them.
    """
    count = summary.train + summary.val
    if images == "all":
        return f"on all {count:,} images outside the test set"
    return (
        f"on the session's {count:,} images ({summary.train:,} to train and "
        f"{summary.val:,} to validate)"
    )


def eight_bits_lose(found: EightBits, metric: Metric) -> str:
    """`int8 loses 0.12 points (600 validation images)`; what is a warning says so first.

    metric: the session's, of which the points are.
    """
    points = 100 * found.loss
    of = "" if metric == "accuracy" else f" of {metric}"
    lost = f"{'gains' if points < 0 else 'loses'} {abs(points):.2f} points{of}"
    warning = "WARNING: " if found.loss > LOSS_WARNED else ""
    return f"{warning}int8 {lost} ({found.images:,} {found.judged_on} images)"


class FinalOrder(Record):
    """Train a network afresh, once with each seed, test each once, and write the first one.

    session, trial: what it is said to be.  images: which ones it is trained on (`trained_on`).
    folder: of the files, must not exist or be empty, unless it holds what this very order made.
    onnx: whether to write an ONNX file as well; int8: and one in eight bits; accept_loss: whatever
    those lose.  checkpoint: how the paths of its checkpoints and of its lock begin, which are its
    own.  scored_before: how many trainings of the session were scored on the test set before, by
    other orders.  id: a word that no other order has.  device, dtype: as the session's trials have
    them, or `auto`.
    """

    session: str
    trial: int
    data: DataSource
    fingerprint: str
    config: Config
    features: int
    seeds: tuple[int, ...]
    epochs: int
    augment: Augment
    folder: str
    checkpoint: str
    images: Images = "session"
    onnx: bool = False
    scored_before: int = 0
    int8: bool = False
    accept_loss: bool = False
    metric: Metric = "accuracy"
    class_weights: ClassWeights = "none"
    id: str = ""
    device: str = "auto"
    dtype: Dtype = "auto"

    @property
    def part(self) -> Path:
        """Where the files are written before the folder takes its name."""
        return unfinished(Path(self.folder), self.id)


def unfinished(folder: Path, order: str) -> Path:
    """Where the files of the order of this id are written before the folder takes its name."""
    return folder.with_name(f".final-{order}.part")  # shorter than most names, which may be long


class FinalStop(Record):
    """End it: after this epoch, now, or pause it (at its next checkpoint)."""

    kind: Literal["stop"] = "stop"
    mode: StopMode


class FinalProgress(Record):
    """How far it has come.

    training: which of the seeds is at work, from 1.  epoch: the one at work, or that has just
    ended.  done: share of all the training.  train_loss: of this epoch's images so far; of all of
    them where it has ended.  scores: accuracy on the test images by the seeds that are done.
    """

    kind: Literal["progress"] = "progress"
    training: int = 1
    epoch: int
    epochs: int
    done: float
    scores: tuple[float, ...] = ()
    ended: bool = False
    train_loss: float | None = None
    seconds_left: float | None = None


class FinalResult(Record):
    """What `result.json` holds: the network, what it is worth, and how that was found.

    seed: that the network was trained with.  seeds, scores: of every training, with its accuracy on
    the test images; the first is the network's.  images: which ones they were trained on.

    test_accuracy: of the written weights, in float32; test_metric: the session's metric likewise.
    classes: their names, in the order of the network's outputs.  recalls, confusion: of the test
    images, rows the true classes.  seconds: of training.  data_fingerprint: as the session's.
    prepared: how image files become what the network takes; None where the images were arrays.

    Those that follow are found as it is written; what was written before has none of them.  order:
    the id of the `FinalOrder`.  scored_before: as it has them, None where they were not counted.
    shape: channels, height, width.  levels: what the network takes for black and white.
    test_interval: of the test accuracy, 95 % (Wilson).  costs: by the measures that arithmetic
    knows.  latencies: milliseconds of one image, one thread, by the runtime.  int8: its form in
    eight bits, if there is one.
    """

    session: str
    trial: int
    config: Config
    features: int
    seed: int
    seeds: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    images: Images = "session"
    epochs: int
    augment: Augment
    data: DataSource
    data_fingerprint: str
    train_images: int
    test_images: int
    test_accuracy: float
    metric: Metric
    test_metric: float
    class_weights: ClassWeights
    classes: tuple[str, ...]
    recalls: Recalls
    confusion: Confusion
    train_loss: float
    params: int
    macs: int
    seconds: float
    machine: Machine
    lcsearch: str
    files: tuple[str, ...]
    order: str = ""
    scored_before: int | None = None
    prepared: Preparation | None = None
    shape: tuple[int, int, int] | None = None
    levels: tuple[float, float] | None = None
    test_interval: tuple[float, float] | None = None
    costs: dict[str, float] = Field(default_factory=dict)
    latencies: dict[Runtime, float] = Field(default_factory=dict)
    int8: EightBits | None = None


def written(folder: Path, order: str) -> FinalResult | None:
    """What the order of this id has written into this folder; None where it has not."""
    try:
        found = FinalResult.model_validate_json(content(folder / RESULT, LARGEST_RESULT))
    except (OSError, ValueError):
        return None
    return found if order and found.order == order else None


class FinalDone(Record):
    """Everything is written."""

    kind: Literal["result"] = "result"
    folder: str
    result: FinalResult


class FinalEnded(Record):
    """Stopped or paused as asked; nothing is written, and the checkpoints are there."""

    kind: Literal["ended"] = "ended"
    paused: bool


class FinalFailed(Record):
    """Nothing is written; the message says what to do about it.

    curable: done that, it can go on from its checkpoints.  lossy: so it can where what eight bits
    lose is accepted.
    """

    kind: Literal["refused"] = "refused"
    message: str
    curable: bool = False
    lossy: bool = False


Command = Annotated[Load | Train | Stop, Field(discriminator="kind")]
Reply = Annotated[
    Reading | Ready | Refused | Started | EpochDone | Working | Finished | Ended | Failed,
    Field(discriminator="kind"),
]
commands: TypeAdapter[Load | Train | Stop] = TypeAdapter(Command)
replies: TypeAdapter[
    Reading | Ready | Refused | Started | EpochDone | Working | Finished | Ended | Failed
] = TypeAdapter(Reply)

FinalSaid = FinalProgress | FinalDone | FinalEnded | FinalFailed
final_replies: TypeAdapter[FinalSaid] = TypeAdapter(
    Annotated[FinalSaid, Field(discriminator="kind")]
)
