"""The plain records of a search: what was asked for, decided, trained and measured."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from .choices import COST_ALONE as COST_ALONE
from .choices import (
    DEVICE,
    Augment,
    ClassWeights,
    Dtype,
    Fit,
    Images,
    Metric,
    Runtime,
    Strategy,
    Weights,
)
from .text import printable

Scalar = bool | int | float | str
Config = dict[str, Any]
"""A decoded point of the search space: every parameter by its name, a `Scalar`, or a list of
them with one entry a layer.  `Space.validate` checks what comes from outside."""

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""The name of a task, of a measure or of an executor, as a program's registries have it."""
Source = Literal["reference", "advisor", "edited", "manual", "autopilot"]
TrialState = Literal[
    "queued", "running", "paused", "interrupted", "done", "failed", "stopped", "cancelled"
]
StopMode = Literal["epoch", "now", "pause"]
DecisionKind = Literal[
    "accept",
    "edit",
    "new",
    "reject",
    "repeat",
    "stop",
    "resume",
    "autopilot",
    "takeover",
    "wc",
    "measure",
    "strategy",
    "prior",
    "learn_from",
    "domains",
    "favour",
    "limits",
    "advance",
    "reopen",
    "undo",
]

MOST_PARALLEL = 256
"""Trials at once: each has a thread of the engine that listens to it."""
LARGEST_BUDGET = 100_000
"""Epochs of a trial, and trials of a level."""
LARGEST_SEED = 2**31 - 1
"""Of a session: every trial's own seed must fit into 64 bits."""
LARGEST_WC = 1e6
"""A w_c is 0 or more, and less than this."""
OPEN_STATES: frozenset[str] = frozenset({"queued", "running", "paused", "interrupted"})
"""States of a trial that has not ended."""


def now() -> datetime:
    """The present moment, in UTC, as every record keeps it."""
    return datetime.now(UTC)


def is_weight(value: float) -> bool:
    """Whether a number can be a w_c."""
    return 0 <= value < LARGEST_WC or value == COST_ALONE


def _weight(value: float) -> float:
    if not is_weight(value):
        raise PydanticCustomError("weight", "not usable")
    return value


def kept_weight(value: float) -> float | str:
    """A w_c in JSON, which has no infinity."""
    return "inf" if value == COST_ALONE else value


Weight = Annotated[
    float,
    Field(allow_inf_nan=True),
    AfterValidator(_weight),
    PlainSerializer(kept_weight, when_used="json"),
    WithJsonSchema({"anyOf": [{"minimum": 0, "type": "number"}, {"const": "inf"}]}),
]
"""A w_c; that of the cost alone is "inf" in JSON, which has no such number."""


class Record(BaseModel):
    """A frozen record; unknown fields, NaN and infinity are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )


_REMEDIES = {
    "weight": "Use 0 (accuracy alone) or more, or inf (the cost alone).",
    "greater_than_equal": "Use {ge:,} or more.",
    "greater_than": "Use more than {gt:,}.",
    "less_than_equal": "Use at most {le:,}.",
    "less_than": "Use less than {lt:,}.",
    "literal_error": "Use {expected}.",
    "string_too_long": "Use at most {max_length:,} characters.",
    "string_too_short": "Give it a value.",
    "string_pattern_mismatch": "Use what matches {pattern}.",
    "missing": "Give it a value.",
    "extra_forbidden": "There is nothing of this name.",
    "finite_number": "Use a finite number.",
    "timezone_aware": "Give the time with its zone.",
    "value_error": "{error}",
    **dict.fromkeys(
        ("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "Use a whole number."
    ),
    **dict.fromkeys(("float_parsing", "float_type"), "Use a number."),
    **dict.fromkeys(("bool_parsing", "bool_type"), "Use true or false."),
    **dict.fromkeys(("list_type", "tuple_type"), "Use a list."),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "Use an object."),
    **dict.fromkeys(
        ("datetime_parsing", "datetime_from_date_parsing", "datetime_type"),
        "Use a time such as 2026-03-14T15:09:26Z.",
    ),
    "string_type": "Use a text.",
}
_OTHER_REMEDY = "Use a value of another kind."
"""For what pydantic alone has words: they are not for a user."""


def refused(error: ValidationError) -> tuple[str, str]:
    """The first value that was refused (nothing where it is missing), and what to do about it."""
    fault = error.errors(include_url=False)[0]
    # it may come from a file of somebody else's: nothing of it may reach the terminal as a command
    value = printable(str(fault["input"])[:60])
    remedy = _REMEDIES.get(fault["type"], _OTHER_REMEDY).format(**fault.get("ctx", {}))
    return "" if fault["type"] == "missing" else value, remedy


def in_words(error: ValidationError) -> str:
    """The first thing that a record refused: what, which value, what to do."""
    place = error.errors(include_url=False)[0]["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(
        "."
    )
    value, remedy = refused(error)
    given = f" = {value}" if value else ""
    return f"{where or 'the record'}{given}: not usable. {remedy}"


READER = 2
"""How images are read today.  A session keeps the version that it was made with, and reads by it
for ever: what it trained on must not change under it.

1: grey or colour as stored, all of one size, splits and labels as the program wanted them.
2: images as people have them (engine/training/data); identical images never straddle the splits
that are drawn.
"""
WHITE = "#ffffff"
LARGEST_SIDE = 1024
"""Pixels a side of the images of a search."""
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class DataSource(Record):
    """Which images to search on, how they are read, and how they are split.

    spec: `digits`, or `KIND:PATH` (see engine/training/data).  val_fraction: share of the
    training images held out for validation, where they bring no validation images.  train_size:
    images taken before that split.  reader: see `READER`.  image_size: height and width that
    images are brought to; None: as they are, or as the reader finds best.  background: what is
    seen through a transparent image, and fills where `fit` pads.  skip_broken: go on without
    files that cannot be read.  drop_leaks: leave out training images that are validation or test
    images too.  columns: of a table, `image`, `label` or `split` -> its name there.
    """

    spec: str
    train_size: Annotated[int, Field(ge=2)] | None = None
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0
    download: bool = False
    reader: Annotated[int, Field(ge=1, le=READER)] = 1
    """What does not say was made before there was another."""
    image_size: tuple[Side, Side] | None = None
    fit: Fit = "crop"
    background: Annotated[str, Field(pattern="^#[0-9a-f]{6}$")] = WHITE
    skip_broken: bool = False
    drop_leaks: bool = False
    columns: dict[str, str] = Field(default_factory=dict)


class Preparation(Record):
    """What is done to an image file before the network sees it.

    bits: of a grey value where files have more than 8; what is above 8 is scaled to 0 to 255.
    """

    height: int
    width: int
    channels: int
    fit: Fit
    background: str
    bits: int = 8


class DataSummary(Record):
    """What was found there: shape, classes, counts after the split, and a fingerprint.

    fingerprint: SHA-256 over images, labels and split, hexadecimal.  names: of the classes, in
    the order of their numbers; nothing where an earlier reader did not keep them.  counts: images
    of each class, by split (train, val, test).  notes: what was done to the images, in sentences.
    broken: files left out because they cannot be read.  prepared: how image files were read.
    """

    channels: int
    height: int
    width: int
    classes: int
    train: int
    val: int
    test: int
    fingerprint: str
    names: tuple[str, ...] = ()
    counts: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    broken: int = 0
    prepared: Preparation | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each class, in order; its number where none was kept.  May hold anything."""
        return self.names or tuple(str(number) for number in range(self.classes))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of one image."""
        return self.channels, self.height, self.width


class Conditions(Record):
    """What a trial was timed under, medians over its epochs; None where it cannot be known.

    load: processes that wanted to work (one-minute average).  steal: share of the processors' time
    that other virtual machines took.  clock: MHz.  variation: coefficient of variation of the
    epochs' cost over the reference's.  moved: the reference's slowest epoch over its fastest.
    disturbed: what spoilt the measurement, in words; nothing if it is sound.
    """

    load: float | None = None
    steal: float | None = None
    clock: float | None = None
    variation: float | None = None
    moved: float | None = None
    disturbed: tuple[str, ...] = ()


class Machine(Record):
    """Where a trial was trained, and with what: seconds mean nothing without it."""

    processor: str
    device: str
    threads: int
    dtype: str
    torch: str
    node: str | None = None
    """On a cluster: the node's host name, and the first letters of what Ray calls it."""
    conditions: Conditions | None = None


class Prediction(Record):
    """What the model believed of a network at the moment somebody decided on it.

    mean, std: of the latent f; predictive_std: of a measurement of it.  ei, exploit, explore:
    expected improvement and its two signed terms.  incumbent: f*; None while no network keeps the
    limits, when ei is the probability that this one does.  wc: the complexity weight.  error,
    complexity: predicted f_p and f_c, each with its own standard deviation.  kept: the probability
    that it keeps the limits; None where there were none.  measure: what complexity was of.
    """

    mean: float
    std: float
    predictive_std: float
    ei: float
    log_ei: float
    exploit: float
    explore: float
    incumbent: float | None
    wc: Weight
    error: float
    error_std: float
    complexity: float
    complexity_std: float
    kept: Annotated[float, Field(ge=0, le=1)] | None = None
    measure: Word | None = None


class Latency(Record):
    """How long a network takes for one image on a machine, by a runtime: measured, not trained.

    key: of the network, as its space has it.  ratio: over the reference network's time in the same
    moments; variation: its coefficient of variation.  milliseconds: that ratio of what the
    reference took when it was first timed there.
    """

    key: str
    config: Config
    runtime: Runtime
    machine: str
    ratio: Annotated[float, Field(gt=0)]
    milliseconds: Annotated[float, Field(gt=0)]
    variation: Annotated[float, Field(ge=0)]


class Failure(Record):
    """Why a trial failed; `message` says what to do about it."""

    kind: Literal["diverged", "memory", "exception", "crash", "signal", "stalled", "checkpoint"]
    message: str


LARGEST_MATRIX = 100
"""Classes up to which a trial keeps its confusion matrix; of more, only their recalls."""
_NO_MATRIX = f"Use a square matrix of counts, of {LARGEST_MATRIX} classes at most."


def _packed(rows: object) -> bytes:
    """A matrix of counts as it is kept: a hundredth of the memory that lists of numbers take."""
    if isinstance(rows, bytes):
        matrix(rows)
        return rows
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        raise ValueError(_NO_MATRIX)
    flat = [count for row in rows for count in row]
    if not flat and not rows:
        return b""
    if len(rows) > LARGEST_MATRIX or any(len(row) != len(rows) for row in rows):
        raise ValueError(_NO_MATRIX)
    if not all(type(count) is int and 0 <= count < 2**32 for count in flat):
        raise ValueError(_NO_MATRIX)
    return zlib.compress(struct.pack(f"<{len(flat)}I", *flat), 1)


def matrix(packed: bytes) -> list[list[int]]:
    """The rows of a `Confusion`; none where it is not known.  Raises ValueError for what is none.

    rows[i][j]: images of class i that were taken for class j.
    """
    if not packed:
        return []
    opener = zlib.decompressobj()
    try:
        content = opener.decompress(packed, 4 * LARGEST_MATRIX**2)
    except zlib.error as error:
        raise ValueError(_NO_MATRIX) from error
    side = round((len(content) / 4) ** 0.5)
    if not opener.eof or side == 0 or 4 * side**2 != len(content):
        raise ValueError(_NO_MATRIX)
    flat = struct.unpack(f"<{side**2}I", content)
    return [list(flat[at : at + side]) for at in range(0, side**2, side)]


Confusion = Annotated[
    bytes,
    BeforeValidator(_packed),
    PlainSerializer(matrix, return_type=list[list[int]], when_used="json"),
]
"""A confusion matrix, packed; rows of counts in JSON.  `matrix` unpacks it; empty: not known."""
Recalls = tuple[Annotated[float, Field(ge=0, le=1)] | None, ...]
"""Of each class the share of its images that was told right; None for a class without images."""


class Epoch(Record):
    """One finished epoch.

    seconds: of training alone, validation and checkpoint not timed.  reference_seconds: an epoch
    of the reference network, timed in the same window; None where it was not timed.  val_metric:
    the session's metric on the validation images; None where that is the accuracy.
    """

    epoch: int
    train_loss: float
    val_accuracy: float
    seconds: float
    reference_seconds: float | None = None
    resumed: bool = False
    """The first epoch after a resume: as cold as the first one."""
    val_metric: float | None = None

    @property
    def score(self) -> float:
        """What is searched for, 1 the best: the session's metric on the validation images."""
        return self.val_accuracy if self.val_metric is None else self.val_metric


class Trial(Record):
    """One network of the search and all that is known of it.  Level 0 is the reference."""

    number: int
    level: int
    config: Config
    key: str
    state: TrialState = "queued"
    source: Source
    repeat_of: int | None = None
    seed: int
    attempt: int = 0
    stop_request: StopMode | None = None
    prediction: Prediction | None = None
    created: AwareDatetime
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    error: float | None = None
    complexity: float | None = None
    costs: dict[str, float] = Field(default_factory=dict)
    """By the names of the task's measures: what arithmetic knows from the beginning, what was
    measured once it was trained to its end."""
    reference_costs: dict[str, float] = Field(default_factory=dict)
    """Of the reference network, measured in the same moments."""
    recalls: Recalls = ()
    """Of each class at the best epoch, on the validation images; nothing where it is not known."""
    confusion: Confusion = b""
    """At the best epoch, rows the true classes; for up to `LARGEST_MATRIX` classes."""
    effective_images: Annotated[float, Field(gt=0)] | None = None
    """As many images tell an accuracy as surely as `error` is known; None: all that validate."""
    machine: Machine | None = None
    failure: Failure | None = None
    epochs: tuple[Epoch, ...] = ()

    @property
    def disturbed(self) -> tuple[str, ...]:
        """What spoilt the measurement of its cost, in words; nothing if it is sound."""
        conditions = None if self.machine is None else self.machine.conditions
        return () if conditions is None else conditions.disturbed

    @property
    def pending(self) -> bool:
        """Whether it waits for an engine or is at work in one."""
        return self.waits or self.goes

    @property
    def waits(self) -> bool:
        """Whether it waits for an engine: it was never begun, or goes on where it was left."""
        return self.state in ("queued", "interrupted")

    @property
    def goes(self) -> bool:
        """Whether it has begun and goes on by itself."""
        return self.state in ("running", "interrupted")

    @property
    def observed(self) -> bool:
        """Whether it was trained to its end, and so tells what the network is worth."""
        return self.state == "done" and self.error is not None and self.complexity is not None


class EightBits(Record):
    """What a delivered network is in eight bits, beside its float32 form.

    loss: of the session's metric, float32's less int8's on the same images, as a share; below 0
    where int8 tells more right.  images: how many those are; judged_on: whether the search
    validated on them, or they are training images that the ranges were not taken from.
    calibration: training images that they were taken from.  test_accuracy, test_metric: of the test
    set, which decides nothing.

    weight_bits: of a weight, 7 where the processor needs that (`engine.training.eight_bits`).
    bytes, weight_bytes: of the file, and of the numbers in it; float_bytes, float_weight_bytes: of
    the float32 file.  latency, float_latency: milliseconds of one image, one thread, timed in
    turns.  sha256: of the file.
    """

    loss: float
    images: int
    judged_on: Literal["validation", "training"]
    calibration: int
    test_accuracy: float
    test_metric: float
    weight_bits: Literal[7, 8]
    bytes: int
    weight_bytes: int
    float_bytes: int
    float_weight_bytes: int
    latency: float
    float_latency: float
    sha256: str


class Delivery(Record):
    """A final training: a trial's network trained afresh, tested once, and written.

    number: counted from 1.  images: `session`, those that the search trained and validated on, or
    `all` that there are outside the test set.  seeds: one training each; the first one's network is
    written, and the others say how far chance moves it.  folder: where, absolute, of this machine.
    training: which of the seeds is at work, from 1; epoch: the last one of it that ended; loss: of
    its training images.  scores: accuracy on the test images by each seed, once it was tested.
    metric_score: the session's metric of what was written, on them, where that is not the accuracy.
    int8: whether eight bits are written, too; accept_loss: whatever that loses; eight_bits: what it
    lost.  message: why it failed.
    """

    number: int
    trial: int
    images: Images
    epochs: Annotated[int, Field(ge=1, le=LARGEST_BUDGET)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    folder: str
    onnx: bool = False
    int8: bool = False
    accept_loss: bool = False
    state: TrialState = "queued"
    stop_request: StopMode | None = None
    created: AwareDatetime
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    training: int = 1
    epoch: int = 0
    done: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of all that is to be trained."""
    loss: float | None = None
    seconds_left: float | None = None
    scores: tuple[float, ...] = ()
    metric_score: float | None = None
    eight_bits: EightBits | None = None
    message: str = ""

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN_STATES

    @property
    def waits(self) -> bool:
        """Whether it waits for an engine: it was never begun, or goes on where it was left."""
        return self.state in ("queued", "interrupted")

    @property
    def pending(self) -> bool:
        """Whether it waits for an engine or is at work in one."""
        return self.waits or self.state == "running"


class Advised(Record):
    """The candidate that the advisor had first when a person chose another network.

    id: its key.  prediction: what the model believed of it at that moment.
    """

    id: str
    config: Config
    prediction: Prediction


class Decision(Record):
    """One decision, kept for ever: who, what, on which belief, and why.

    detail: what this kind keeps besides, such as `from` and `to` of a setting; `advised`, an
    `Advised`, where a network was queued that was not the advisor's first candidate.
    """

    number: int
    at: AwareDatetime
    kind: DecisionKind
    by: Literal["person", "autopilot"]
    level: int
    trial: int | None = None
    config: Config | None = None
    prediction: Prediction | None = None
    reason: str = ""
    detail: dict[str, Any] = Field(default_factory=dict)

    @property
    def advised(self) -> Advised | None:
        """What the advisor had first; None where it was followed, or had no belief.

        Kept in `detail`, which every version reads; a field of its own older ones would refuse.
        """
        given = self.detail.get("advised")
        return None if given is None else Advised.model_validate(given)


Levels = Literal["this", "all", "round"]


class Autopilot(Record):
    """The engine accepts the best candidate by itself until one of these is used up.

    trials: how many more to accept (in each level where it goes on to others).  until: a moment in
    time.  levels: this one; all, to the last; or round, which then searches the first once more.
    until_flat: leave a level earlier, as soon as what can still be gained there is below the noise.
    """

    trials: int | None = None
    until: AwareDatetime | None = None
    levels: Levels = "this"
    until_flat: bool = False
    accepted: int = 0
    """Trials accepted in the present level since it took the wheel."""


class Execution(Record):
    """Where trials run, and how many at once.

    address: of the Ray cluster, HOST:PORT, or auto for the one that this machine belongs to.
    per_trial: what a trial asks of its node: cpus (1 unless said), gpus, and the cluster's own
    resources.  data_on_nodes: every node reads the data from their path itself, instead of from
    Ray's object store.
    """

    executor: Word = "local"
    address: Annotated[str, Field(min_length=1, max_length=256)] = "auto"
    per_trial: dict[str, float] = Field(default_factory=dict)
    parallel: Annotated[int, Field(ge=1, le=MOST_PARALLEL)] = 1
    data_on_nodes: bool = False
    devices: tuple[Annotated[str, Field(pattern=f"^({DEVICE})$")], ...] = ()
    """Of this machine, a trainer each: cuda:0, cuda:1.  None named: the best that there is."""
    dtype: Dtype = "auto"
    """What trials are trained in; auto is what the device does fast."""


class EarlierTrial(Record):
    """One of an earlier session, trained to its end.

    images: so many would tell its accuracy as surely.  seconds: of training, over the reference's;
    None where they were not measured.
    """

    config: Config
    error: float
    images: Annotated[float, Field(ge=0)]
    seconds: Annotated[float, Field(gt=0)] | None = None


class EarlierSession(Record):
    """What an earlier session had seen when another began to learn from it.

    shape: channels, height, width of its images.  images: that it trained on.  epochs, features: as
    `Session` has them.
    """

    name: str
    shape: tuple[int, int, int]
    classes: Annotated[int, Field(ge=1)]
    images: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1, le=LARGEST_BUDGET)]
    features: Annotated[int, Field(ge=1, le=1024)] = 4
    trials: tuple[EarlierTrial, ...] = ()


class Session(Record):
    """One search: its task, its trade-off, its space, and the level it has come to.

    task: what is searched.  wc: weight of the complexity.  measure: the one of the task's measures
    that complexity is.  weights: the type that a network is deployed in.  runtime: what runs it
    where its latency is measured; None: onnxruntime where it is installed.  features: pixels a side
    of the map that the classifier sees, at most (1 is global average pooling).  macs_cap:
    candidates above this many times the reference's MACs are not proposed, None where `limits` says
    what is: measure -> the most that it may be, the metric -> the least.  domains: narrowed or
    widened domains, as text (`conv_layers` -> `2..6`).  bases: level -> trial whose network it
    starts from.  strategy: what proposes; only gp has a belief.  flat: one level, all parameters at
    once.  favourite: parameter -> domain as text, a region that a person believes in.  execution:
    where trials run.  metric: f_p is 1 minus it.  class_weights: of the loss.
    """

    name: str
    created: AwareDatetime
    data: DataSource
    summary: DataSummary
    task: Word = "cnn"
    wc: Annotated[Weight, Field(alias="w_c")] = 0.1
    measure: Word = "seconds"
    weights: Weights = "float32"
    runtime: Runtime | None = None
    epochs: Annotated[int, Field(ge=1, le=LARGEST_BUDGET)] = 10
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0
    features: Annotated[int, Field(ge=1, le=1024)] = 4
    macs_cap: Annotated[float, Field(gt=0)] | None = 8.0
    limits: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    domains: dict[str, str] = Field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    """Those that there were when the session was made.  What came later stands at its neutral
    value, until its domain is opened; empty: made before any had one."""
    defaults: dict[str, Scalar] = Field(default_factory=dict)
    """What parameters are before their level is searched, where it is not the task's own."""
    level: Annotated[int, Field(ge=1)] = 1
    bases: dict[int, int] = Field(default_factory=dict)
    trials_per_level: Annotated[int, Field(ge=1, le=LARGEST_BUDGET)] = 12
    autopilot: Autopilot | None = None
    augment: Augment = "none"
    stop_behind: bool = False
    """Whether a trial that falls behind is stopped, or only marked."""
    strategy: Strategy = "gp"
    flat: bool = False
    favourite: dict[str, str] = Field(default_factory=dict)
    execution: Execution = Field(default_factory=Execution)
    metric: Metric = "accuracy"
    class_weights: ClassWeights = "none"
    prior: str | None = None
    """What the belief begins with: `none`; `default-1` and so on, which the program has; or a file
    of `prior_numbers`.  None: made before there was one, and it is believed as it was then, by the
    likeliest hyperparameters alone."""
    prior_numbers: dict[str, str] = Field(default_factory=dict)
    """What files of priors held, by their names."""
    learn_from: str = ""
    """Earlier sessions that it learns from, with commas; each is one of `earlier`."""
    earlier: tuple[EarlierSession, ...] = ()
    """What was kept of sessions to learn from."""


@dataclass(frozen=True)
class Setup:
    """What a new session is asked for, as `Session` keeps it; `home.create` checks it.

    trials_per_level: 12 if None, and 48 for the one level of a flat session.  class_weights: if
    None, what suits the metric.  limits: as they are typed, `params<=50k`; one on MACs takes the
    place of the cap.  space: by its name, which parameters are searched; None: the task's usual.
    defaults: what parameters are before their level is searched; None: what that space says.
    prior: `none`, `default`, a file, or one of `prior_numbers`, by name as `Session` has them.
    learn_from: sessions of the same home, by name.
    """

    name: str
    data: DataSource
    wc: float = 0.1
    measure: str = "seconds"
    weights: Weights = "float32"
    runtime: Runtime | None = None
    epochs: int = 10
    seed: int = 0
    features: int = 4
    macs_cap: float | None = 8.0
    defaults: Mapping[str, Scalar] | None = None
    limits: Sequence[str] = ()
    domains: Mapping[str, str] = field(default_factory=dict)
    trials_per_level: int | None = None
    strategy: Strategy = "gp"
    flat: bool = False
    augment: Augment = "none"
    stop_behind: bool = False
    execution: Execution = field(default_factory=Execution)
    task: str = "cnn"
    metric: Metric = "accuracy"
    class_weights: ClassWeights | None = None
    space: str | None = None
    prior: str = "default"
    prior_numbers: Mapping[str, str] = field(default_factory=dict)
    learn_from: Sequence[str] = ()
