"""What else the machine did while a trial was timed, and whether that spoilt the measurement."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...sessions.records import Conditions, Epoch

VARIATION = 0.10
"""Coefficient of variation of the epochs' cost, over the reference's, that is still steady."""
MOVED = 1.5
"""The reference network's slowest epoch over its fastest, up to which the machine was one."""
STEAL = 0.05
"""Share of the processors' time that other virtual machines may take."""


@dataclass
class Watch:
    """Looks at the machine as a trial is trained.  root: where /proc is."""

    root: Path = Path("/proc")
    loads: list[float] = field(default_factory=list)
    clocks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ticks = self._processor_ticks()

    def look(self) -> None:
        """Take down the load and the clock of this moment."""
        if hasattr(os, "getloadavg"):
            self.loads.append(os.getloadavg()[0])
        lines = self._lines("cpuinfo")
        clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        if clocks:
            self.clocks.append(statistics.mean(clocks))

    def conditions(self, epochs: Sequence[Epoch]) -> Conditions:
        """What the epochs were timed under.  Call it when the last one is done."""
        before, after = self._ticks, self._processor_ticks()
        steal = None
        if before is not None and after is not None and after[1] > before[1]:
            steal = (after[0] - before[0]) / (after[1] - before[1])
        return judged(
            epochs,
            load=statistics.median(self.loads) if self.loads else None,
            steal=steal,
            clock=statistics.median(self.clocks) if self.clocks else None,
        )

    def _processor_ticks(self) -> tuple[int, int] | None:
        """Stolen and all ticks of all processors since the machine began (man 5 proc)."""
        lines = self._lines("stat")
        words = lines[0].split() if lines else []
        if len(words) < 9 or words[0] != "cpu":
            return None
        ticks = [int(word) for word in words[1:9]]
        return ticks[7], sum(ticks)

    def _lines(self, name: str) -> list[str]:
        path = self.root / name
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def judged(
    epochs: Sequence[Epoch], *, load: float | None, steal: float | None, clock: float | None
) -> Conditions:
    """How steady the epochs were, and in what way they were disturbed, if they were."""
    warm = [e for e in epochs if e.epoch > 1 and not e.resumed and e.reference_seconds]
    beside = [e.reference_seconds for e in warm if e.reference_seconds]
    ratios = [e.seconds / second for e, second in zip(warm, beside, strict=True)]
    variation = moved = None
    if len(ratios) > 1:
        variation = statistics.stdev(ratios) / statistics.mean(ratios)
        moved = max(beside) / min(beside)
    disturbed: list[str] = []
    if variation is not None and variation > VARIATION:
        disturbed.append(f"its cost varied by {variation:.0%} from epoch to epoch")
    if moved is not None and moved > MOVED:
        disturbed.append(f"the machine's speed changed {moved:.1f}-fold")
    if steal is not None and steal > STEAL:
        disturbed.append(f"other machines took {steal:.0%} of the processors")
    return Conditions(
        load=load,
        steal=steal,
        clock=clock,
        variation=variation,
        moved=moved,
        disturbed=tuple(disturbed),
    )
