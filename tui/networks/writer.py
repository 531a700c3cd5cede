"""What every kind of network is written by: a line, all of it, a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...sessions.records import Config


@dataclass(frozen=True)
class Layer:
    """One row of a network's table.

    what: which layer; kernel, joined: its size, and what it joins (`16 → 32`).  out: the map that
    it gives.  how: what else there is to it, a short and a long form each.  params, macs: None
    where it has none to speak of; alone: what is said of it then, where there are no columns.
    """

    what: str
    kernel: str = ""
    joined: str = ""
    out: str = ""
    how: Sequence[tuple[str, str]] = ()
    params: float | None = None
    macs: float | None = None
    alone: str = ""


class Writer(Protocol):
    """The words of one kind of network."""

    def writes(self, config: Config) -> bool:
        """Whether it has words for this configuration."""

    def line(self, config: Config, level: int | None = None, width: int | None = None) -> str:
        """One line.  level: the one that is searched, whose parameters are shown whole, and what
        the others fixed after it, if there is room; None: all but what is at its default.  width:
        characters there are.
        """

    def whole(self, config: Config) -> list[str]:
        """All of it as lines write it, nothing left out, however much room there is."""

    def depth(self, config: Config) -> str:
        """How deep it is: `3 conv, 1 classifier`; empty where that means nothing."""

    def layers(self, config: Config, laid_out: Any) -> list[Layer]:
        """Its table.  laid_out: what its space lays out of it."""

    def training(self, config: Config) -> list[tuple[str, ...]]:
        """How it is trained, in lines of a few words each; none where it does not say."""
