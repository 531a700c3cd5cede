"""How many threads a training takes now: those that it was given, as far as they are free.

Where other work holds a processor, threads that wait for each other collapse.  How OpenMP waits can
be told (`local.WAITING`); but oneDNN adds up the gradients of a convolution's weights behind a
barrier of its own that spins and never sleeps, and the system is apt to put both threads on the one
processor that is left: each waits for the other until a tick of the system's clock, four
milliseconds a convolution.  Fewer threads, as many as are free, are the only way out.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

LOOK_SECONDS = 0.2
"""The time between two looks, at least: the system counts in hundredths of a second."""
STEADY_SECONDS = 1.0
"""How long others must have held a processor before it counts as theirs: a ranking, which is over
in half a second, changes no training.
"""
SLACK = 0.25
"""Of a processor that counts as free, this much may be taken by others."""


WORTH_MACS = 100_000_000
"""Multiply-accumulates of a step (one forward pass of its images) from which all threads are worth
it, other work or not: below, they gain little and collapse; above, they cost at most twice as much.
"""


class Threads:
    """The threads of PyTorch in this process, given up while others want the processors."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        """root: where /proc is; where it has no counts, all threads are always taken."""
        self._root = root
        self.most = torch.get_num_threads()
        self.wanted = self.most
        """How many of them are free, as far as is known."""
        self._short_for = 0.0
        """Seconds that fewer than all have been free."""
        self._before = self._read() if self.most > 1 else None

    def look(self) -> None:
        """See what is free, if the last look was not just now."""
        if self._before is None or time.monotonic() - self._before[0] < LOOK_SECONDS:
            return
        before, now = self._before, self._read()
        self._before = now
        if now is not None:
            spent = now[0] - before[0]
            free = min(max(int((now[1] - before[1]) / spent + SLACK), 1), self.most)
            self._short_for = self._short_for + spent if free < self.most else 0.0
            steady = free == self.most or self._short_for >= STEADY_SECONDS
            self.wanted = free if steady else self.wanted

    @property
    def short(self) -> bool:
        """Whether there are fewer than it was given."""
        return self.wanted < self.most

    def take(self, count: int | None = None) -> None:
        """Go on with so many threads; None: with all."""
        count = self.most if count is None else count
        if count != torch.get_num_threads():
            torch.set_num_threads(count)

    def settle(self, kept: int | None) -> int:
        """Go on with as many as a training has whose seconds do not count; how many.

        kept: how many it had until now; None: it begins.  What a network learns differs a little
        with their number.  So it is chosen at the start, and changes only where more cannot be had
        any more; what is given up is not taken back.
        """
        count = self.wanted if kept is None else min(kept, self.wanted)
        self.take(count)
        return count

    def by_size(self, macs: int) -> int:
        """Go on with as many as a step of so many multiply-accumulates is worth; how many.

        Whatever else the machine does: what is trained with them is the same network every time.
        """
        count = self.most if macs >= WORTH_MACS else 1
        self.take(count)
        return count

    def _read(self) -> tuple[float, float] | None:
        """Now, and seconds that its processors have been idle or this process's (man 5 proc)."""
        path = self._root / "stat"
        if not path.is_file() or not hasattr(os, "sched_getaffinity"):
            return None
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        idle = sum(int(words[4]) + int(words[5]) for words in lines if words[0] in mine)
        own = os.times()
        return time.monotonic(), idle / os.sysconf("SC_CLK_TCK") + own.user + own.system
