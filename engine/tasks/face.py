"""What every task gives: levels, measures of what things cost, a space for a session's data.

The advisor, the search, the client and the screens know a `Task` by these, and nothing of what it
searches.  `task.TASKS` has them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...sessions.records import Scalar, Session
from .measure import Measure
from .space import Space

FLAT = ("all",)
"""The one level of a session that searches all parameters at once."""


@dataclass(frozen=True)
class Problem:
    """What a space is made for: the data's shape and classes, and settings of the session.

    shape: channels, height, width.  images: to train on.  features, macs_cap, weights, epochs: as
    `Session` has them.  Its defaults are of any data: what can be asked of a domain does not depend
    on them.
    """

    shape: tuple[int, int, int] = (1, 8, 8)
    classes: int = 10
    features: int = 4
    macs_cap: float | None = 8.0
    weights: str = "float32"
    images: int = 1000
    epochs: int = 10

    @classmethod
    def of(cls, session: Session) -> Problem:
        """That of a session."""
        summary = session.summary
        return cls(
            summary.shape, summary.classes, session.features, session.macs_cap, session.weights,
            summary.train, session.epochs,
        )  # fmt: skip


@dataclass(frozen=True)
class NamedSpace:
    """A part of a task's space that a session can search.

    parameters: those that are searched; None: all.  defaults: what parameters are before their
    level is searched, where it is not what the task's space has; the reference is with them.
    """

    parameters: tuple[str, ...] | None = None
    defaults: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What is searched.

    space: for a problem, with domains of its own where they were narrowed or widened, as text; it
    has a reference, what is neutral, and what lays a configuration out.  Raises InvalidDomain.
    spaces: what a new session can search, by name, a new session's own first; no name where there
    is nothing to choose.  priors: files of what is known before a session's first trial, by name,
    the last a new session's own.
    """

    name: str
    title: str
    levels: tuple[str, ...]
    measures: tuple[Measure, ...]
    space: Callable[[Problem, Mapping[str, str]], Space]
    spaces: Mapping[str, NamedSpace] = field(default_factory=dict, hash=False)
    priors: Mapping[str, Path] = field(default_factory=dict, hash=False)

    @property
    def exact(self) -> tuple[Measure, ...]:
        """The measures that arithmetic knows."""
        return tuple(measure for measure in self.measures if measure.exact)
