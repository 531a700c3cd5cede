"""What is known before a session's first trial: numbers learnt from tables of real trainings.

Time is physics: seconds are a sum over what a step does, each kind with a weight >= 0.  From one
processor, number of threads and kind of images to another the weights change by factors; those are
learnt again in every session, from where the tables say that they usually are.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...sessions.errors import Misuse

if TYPE_CHECKING:
    from .belief import Array


VERSION = 1
"""Of the file."""


@dataclass(frozen=True)
class TimePrior:
    """Of the logarithm of seconds, a network's over the reference's.

    kinds: of work, as the task counts them.  weights: seconds of one of each, up to a factor that
    all share.  spreads: standard deviations of their logarithms, from one set of images or machine
    to another.  residual: that of what is left.  noise: that of a measurement.
    """

    kinds: tuple[str, ...]
    weights: Array
    spreads: Array
    residual: float
    noise: float

    def mean(self, work: Array, reference: Array) -> Array:
        """Expected logarithm of the ratio, shape (n,).

        work: shape (n, kinds).  reference: of the reference network, shape (kinds,).
        """
        found: Array = np.log(work @ self.weights) - np.log(reference @ self.weights)
        return found

    def lines(self, work: Array, reference: Array) -> Array:
        """What the ratio's logarithm does as those of the weights move by one standard deviation
        each, in units of `residual`: shape (n, kinds).

        The derivative: the share of each kind in a network's seconds, less its share in the
        reference's.
        """
        shares = self._shares(work) - self._shares(reference[None])
        return shares * self.spreads / self.residual

    def _shares(self, work: Array) -> Array:
        seconds = work * self.weights
        found: Array = seconds / seconds.sum(axis=1, keepdims=True)
        return found


@dataclass(frozen=True)
class Prior:
    """All that is known; None where nothing is."""

    time: TimePrior | None = None

    def write(self, file: Path) -> None:
        """As JSON: numbers alone, read without anything that could run."""
        whole = {} if self.time is None else {"time": _plain(self.time)}
        file.write_text(json.dumps({"version": VERSION, **whole}, indent=1), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Prior:
        """Raises Misuse where the file is no prior, or of a newer program."""
        try:
            whole = json.loads(file.read_text(encoding="utf-8"))
            if whole["version"] > VERSION:
                raise Misuse(
                    f"{file}: written by a newer lcsearch (version {whole['version']}, this one "
                    f"reads {VERSION}). Upgrade lcsearch."
                )
            return cls(TimePrior(**_arrays(whole["time"])) if "time" in whole else None)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Misuse(
                f"{file}: not a prior ({error}). `benchmarks/make_prior.py` writes one."
            ) from error


def _plain(known: TimePrior) -> dict[str, Any]:
    """Five digits of each number: more is not known."""
    plain = asdict(known)
    return {name: _rounded(value) for name, value in plain.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, np.ndarray | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _arrays(plain: dict[str, Any]) -> dict[str, Any]:
    """Lists of words as tuples, of numbers as arrays."""
    return {
        name: value
        if not isinstance(value, list)
        else tuple(value)
        if all(isinstance(one, str) for one in value)
        else np.array(value, dtype=float)
        for name, value in plain.items()
    }


NOTHING = Prior()
