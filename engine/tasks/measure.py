"""What a candidate costs: one entry a measure, through which everything goes that shows costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ...sessions.records import Epoch

COUNTS = {"k": 1e3, "M": 1e6, "G": 1e9}
BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "KiB": 2.0**10, "MiB": 2.0**20}
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
RATIO = {"x": 1.0, "%": 0.01}
"""Units that limits are written in."""
LATENCY = "latency"
"""The measure that networks are timed for, as `Snapshot.latencies` holds it, in milliseconds."""


@dataclass(frozen=True)
class Measure:
    """One thing that a candidate costs, in its own unit; f_c is one of them over the reference's.

    name: as records, settings and commands call it.  title, quantity: what is chosen, and what it
    is in a sentence (`seconds per epoch`, `training time per epoch`).  unit, per: of a number, such
    as s and epoch.  heading: of a column, six characters at most; a filter knows it by that.
    number: how it is written: `count` in full, `big` in three digits and a letter, `seconds` in two
    digits, `bytes` in KB or MB.  axis: its name on an axis, where it is divided by `scale`.

    of: by arithmetic, from what the space lays out of a configuration.  from_epochs: from what was
    measured while it trained, its own and the reference's in the same moments, (cost, cost of the
    reference).  Where there is neither, an executor measures it and reports both, or it is timed:
    networks are run without being trained, beside the reference.  A limit on what is measured is on
    its ratio to the reference's, or, where it is timed, on its own number.
    units: what a limit may be written in besides the own unit, with what that is worth: `k` 1000.
    informs: whether the model sees it; only what is known by arithmetic can.
    """

    name: str
    title: str
    unit: str
    heading: str
    number: Literal["count", "big", "seconds", "bytes"]
    axis: str
    quantity: str = ""
    per: str = ""
    scale: float = 1.0
    of: Callable[[Any], float] | None = None
    from_epochs: Callable[[Sequence[Epoch]], tuple[float, float]] | None = None
    units: Mapping[str, float] = field(default_factory=dict, hash=False)
    informs: bool = False
    timed: bool = False

    def __post_init__(self) -> None:
        if self.informs and self.of is None:
            raise ValueError(f"measure {self.name}: a model sees only what arithmetic knows")

    @property
    def exact(self) -> bool:
        """Whether arithmetic knows it, before anything is trained."""
        return self.of is not None

    @property
    def absolute(self) -> bool:
        """Whether axes and limits have its own number, not its ratio to the reference's."""
        return self.exact or self.timed

    @property
    def label(self) -> str:
        """What a row of numbers is called: `parameters`, `size`."""
        return self.title if self.number == "bytes" else self.unit

    @property
    def noun(self) -> str:
        """What it is, in a sentence."""
        return self.quantity or self.title
