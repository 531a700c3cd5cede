"""The JSON lines that an executor and a trainer exchange: one record a line, told by its `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ..sessions.records import (
    Config,
    DataSource,
    DataSummary,
    Epoch,
    Failure,
    Machine,
    Record,
    StopMode,
)


class Load(Record):
    """Read the data.  fingerprint: what the session expects; None where there is no session yet."""

    kind: Literal["load"] = "load"
    data: DataSource
    fingerprint: str | None = None


class Train(Record):
    """Train a network.  checkpoint, lock: paths of files that belong to this trial alone."""

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


class Stop(Record):
    """End a trial: after this epoch, now, or pause it (at its next checkpoint)."""

    kind: Literal["stop"] = "stop"
    trial: int
    attempt: int
    mode: StopMode


class Ready(Record):
    """The data has been read.  machine: None from a probe, which asks no device."""

    kind: Literal["ready"] = "ready"
    summary: DataSummary
    machine: Machine | None = None


class Refused(Record):
    """The data cannot be used; the message says what, which value and what to do."""

    kind: Literal["refused"] = "refused"
    message: str


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


class Finished(Record):
    """Trained to the end.

    error: 1 - best validation accuracy.  seconds_per_epoch, reference_seconds: medians, of the
    trial and of the reference network timed beside it.  params, macs: of the network as built.
    """

    kind: Literal["finished"] = "finished"
    trial: int
    attempt: int
    error: float
    seconds_per_epoch: float
    reference_seconds: float
    params: int
    macs: int
    machine: Machine


class Ended(Record):
    """Stopped or paused as asked."""

    kind: Literal["ended"] = "ended"
    trial: int
    attempt: int
    paused: bool


class Failed(Record):
    """The trial failed; the trainer lives on."""

    kind: Literal["failed"] = "failed"
    trial: int
    attempt: int
    failure: Failure


Command = Annotated[Load | Train | Stop, Field(discriminator="kind")]
Reply = Annotated[
    Ready | Refused | Started | EpochDone | Finished | Ended | Failed, Field(discriminator="kind")
]
commands: TypeAdapter[Load | Train | Stop] = TypeAdapter(Command)
replies: TypeAdapter[Ready | Refused | Started | EpochDone | Finished | Ended | Failed] = (
    TypeAdapter(Reply)
)
