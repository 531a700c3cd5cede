"""What is known before a session's first trial: numbers learnt from tables of real trainings.

Time is physics: seconds are a sum over what a step does, each kind with a weight >= 0.  From one
processor, number of threads and kind of images to another the weights change by factors; those are
learnt again in every session, from where the tables say that they usually are.

Errors have a common shape: on any images a rate of 0.1 is too much for Adam, and too few steps
leave a network untrained.  m, a function of what carries over from one data set to another, is
learnt from the logarithms of errors of many; in a session the logarithm is a + b m and a process,
with a and b learnt again, so that a shape that is not that of these images fades (Wang et al. 2021,
arXiv 2109.08215, give the mean of a process likewise).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...sessions.errors import Misuse

if TYPE_CHECKING:
    from .belief import Array


VERSION = 1
"""Of the file."""
MADE_BY = "`benchmarks/make_prior.py` writes one."
Known = TypeVar("Known", "TimePrior", "ErrorPrior")
LAYERED = "weights", "biases"
"""Fields with an array a layer, each of another shape."""


@dataclass(frozen=True, eq=False)
class TimePrior:
    """Of the logarithm of seconds, a network's over the reference's.

    kinds: of work, as the task counts them.  weights: seconds of one of each, up to a factor that
    all share.  spreads: standard deviations of their logarithms, from one set of images or machine
    to another.  residual: that of what is left, of the usual set of images; residual_spread: that
    of the logarithm of its variance from one to another.  noise: that of a measurement.
    """

    kinds: tuple[str, ...]
    weights: Array
    spreads: Array
    residual: float
    residual_spread: float
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


@dataclass(frozen=True, eq=False)
class ErrorPrior:
    """Of the logarithm of the error: m, and how far from a + b m the errors of other images lie.

    traits: the inputs of m, as the task names them.  lowest, highest: of each input in the tables,
    which m is not followed beyond; centre, scale: of each; shape (traits,).
    weights, biases: of the layers of some small nets side by side, shape (nets, in, out) and (nets,
    1, out), SiLU between them; m is the mean of the nets.  level, level_spread: a, of all the
    images seen.  tilt, slope_spread: b, which is about 1 + tilt (a - level), less where errors are
    large anyway.  residual: standard deviation of what is left, of the usual set of images;
    residual_spread: that of the logarithm of its variance from one to another.  noise: standard
    deviation of what another seed would give, besides counting.
    """

    traits: tuple[str, ...]
    lowest: Array
    highest: Array
    centre: Array
    scale: Array
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    level: float
    level_spread: float
    tilt: float
    slope_spread: float
    residual: float
    residual_spread: float
    noise: float

    def shape(self, traits: Array) -> Array:
        """m of networks with these traits, shape (n, traits): shape (n,)."""
        inside = np.clip(traits, self.lowest, self.highest)
        hidden: Array = ((inside - self.centre) / self.scale)[None]
        for number, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weights + biases
            if number < len(self.weights) - 1:
                hidden = hidden / (1 + np.exp(-hidden))
        found: Array = hidden[:, :, 0].mean(axis=0)
        return found

    def lines(self, shape: Array) -> Array:
        """What the logarithm does as a, and b with it, and b alone move by one standard deviation,
        in units of `residual`: shape (n, 2).
        """
        level = self.level_spread * (1 + self.tilt * shape)
        return np.column_stack([level, self.slope_spread * shape]) / self.residual


@dataclass(frozen=True, eq=False)
class Prior:
    """All that is known; None where nothing is.  tables: that it was learnt from."""

    time: TimePrior | None = None
    error: ErrorPrior | None = None
    tables: tuple[str, ...] = ()

    def write(self, file: Path) -> None:
        """As JSON: numbers alone, read without anything that could run."""
        parts = {"time": self.time, "error": self.error}
        whole = {name: _plain(part) for name, part in parts.items() if part is not None}
        told = {"version": VERSION, "tables": self.tables, **whole}
        file.write_text(json.dumps(told), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Prior:
        """Raises Misuse where the file is no prior, or of a newer program."""
        try:
            return cls.parse(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise Misuse(f"{file}: not a prior ({error}). {MADE_BY}") from error

    @classmethod
    def parse(cls, text: str, where: str) -> Prior:
        """What a file holds; where: the file, for the words of what is wrong.  Raises Misuse."""
        try:
            whole = json.loads(text)
            if whole["version"] > VERSION:
                raise Misuse(
                    f"{where}: written by a newer lcsearch (version {whole['version']}, this one "
                    f"reads {VERSION}). Upgrade lcsearch."
                )
            time, error = whole.get("time"), whole.get("error")
            return cls(
                None if time is None else _checked(TimePrior(**_arrays(time)), "kinds"),
                None if error is None else _checked(ErrorPrior(**_arrays(error)), "traits"),
                tuple(whole.get("tables", ())),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Misuse(f"{where}: not a prior ({error}). {MADE_BY}") from error


def _plain(known: TimePrior | ErrorPrior) -> dict[str, Any]:
    """Five digits of each number: more is not known."""
    plain = asdict(known)
    return {name: _rounded(value) for name, value in plain.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, np.ndarray | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _arrays(plain: dict[str, Any]) -> dict[str, Any]:
    """Lists of words as tuples, of numbers as arrays, of layers as tuples of arrays."""
    return {name: _as_kept(name, value) for name, value in plain.items()}


def _as_kept(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if all(isinstance(one, str) for one in value):
        return tuple(value)
    if name in LAYERED and isinstance(value[0], list):
        return tuple(np.array(one, dtype=float) for one in value)
    return np.array(value, dtype=float)


def _checked(known: Known, inputs: str) -> Known:
    """What was read, if it is whole.  Raises ValueError."""
    count = len(getattr(known, inputs))
    for name, value in vars(known).items():
        arrays = value if isinstance(value, tuple) and name != inputs else (value,)
        for array in arrays:
            if isinstance(array, np.ndarray | float) and not np.isfinite(array).all():
                raise ValueError(f"{name} has a number that is none")
            if isinstance(array, np.ndarray) and array.ndim == 1 and len(array) != count:
                raise ValueError(f"{name} has {len(array)} numbers for {count} {inputs}")
    if not (known.residual > 0 and known.noise >= 0):
        raise ValueError("residual and noise are no standard deviations")
    return known


NOTHING = Prior()
