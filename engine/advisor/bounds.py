"""The limits that a ranking holds, in the units that it works in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bounds:
    """What a network must keep; inf and nothing where there is no limit.

    error: the most that f_p may be.  complexity: the most that f_c may be, where it is measured.
    exact: measures that arithmetic knows -> the most they may be, above 0.  believed: others, by
    the names that `Observation.costs` has them under -> the most, above 0.
    """

    error: float = math.inf
    complexity: float = math.inf
    exact: Mapping[str, float] = field(default_factory=dict)
    believed: Mapping[str, float] = field(default_factory=dict)

    @property
    def uncertain(self) -> bool:
        """Whether there is a limit that only a belief can tell of."""
        return math.isfinite(self.error) or math.isfinite(self.complexity) or bool(self.believed)

    def __bool__(self) -> bool:
        return self.uncertain or bool(self.exact)


NO_BOUNDS = Bounds()
