"""Domains: the values that one parameter can take, as numbers, as text, on the unit scale."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...sessions.records import Scalar

SIGNIFICANT = 4
"""Digits kept of a sampled real: more would be noise in a table and in a JSON file."""


class InvalidDomain(ValueError):
    """A domain that is empty, reversed, beyond the limits, or not readable; a default that is no
    value of its parameter.
    """


@dataclass(frozen=True)
class Integer:
    """Whole numbers low..high by `step`, on a linear or a logarithmic scale."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def at(self, unit: float) -> int:
        """The value at `unit` in [0, 1): every value has about its share of the scale."""
        low, high = self.low - self.step / 2, self.high + self.step / 2
        if self.log:
            low = max(low, self.low / 2)
            value = low * (high / low) ** unit
        else:
            value = low + (high - low) * unit
        steps = math.floor((value - self.low) / self.step + 0.5)
        return self.clip(self.low + steps * self.step)

    def clip(self, value: float) -> int:
        """The nearest value of the domain."""
        steps = math.floor((value - self.low) / self.step + 0.5)
        last = (self.high - self.low) // self.step
        return self.low + min(max(steps, 0), last) * self.step

    def unit(self, value: Scalar) -> float:
        """Where `value` stands on the scale, 0 at low and 1 at high; beyond them outside."""
        return _position(float(value), self.low, self.high, self.log)

    def values(self) -> list[int] | None:
        """All values."""
        return list(range(self.low, self.high + 1, self.step))

    def contains(self, value: Any) -> bool:
        """Whether `value` is in the domain."""
        return (
            is_whole(value)
            and self.low <= int(value) <= self.high
            and (int(value) - self.low) % self.step == 0
        )

    def restrict(self, low: float, high: float) -> Integer:
        """The part within low..high, or the value nearest to it where there is none."""
        first = self.low + math.ceil((max(low, self.low) - self.low) / self.step) * self.step
        last = self.low + math.floor((min(high, self.high) - self.low) / self.step) * self.step
        if first > last:
            nearest = self.clip(min(max(low, self.low), self.high))
            first = last = nearest
        return replace(self, low=first, high=last)

    def near(self, value: Scalar) -> list[Scalar]:
        """Neighbouring values: one step, and a quarter of the value up and down."""
        number = float(value)
        found = {self.clip(number + self.step), self.clip(number - self.step)}
        if self.log:
            found |= {self.clip(number * 1.25), self.clip(number * 0.8)}
        return sorted(found - {int(number)})

    def text(self) -> str:
        """The domain as `--set` reads it."""
        return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"


@dataclass(frozen=True)
class Real:
    """Numbers low..high, linear or logarithmic; with `zero`, also 0 (something switched off)."""

    low: float
    high: float
    log: bool = False
    zero: bool = False

    ZERO_SHARE = 0.2

    def at(self, unit: float) -> float:
        """The value at `unit` in [0, 1)."""
        if self.zero:
            if unit < self.ZERO_SHARE:
                return 0.0
            unit = (unit - self.ZERO_SHARE) / (1 - self.ZERO_SHARE)
        return self.clip(self.between(unit))

    def between(self, unit: float) -> float:
        """The number at `unit` in [0, 1] of low..high, not rounded."""
        if self.log:
            return float(self.low * (self.high / self.low) ** unit)
        return self.low + (self.high - self.low) * unit

    def clip(self, value: float) -> float:
        """The nearest value of the domain, rounded to four digits."""
        if self.zero and value == 0:
            return 0.0
        return min(max(_rounded(value), self.low), self.high)

    def unit(self, value: Scalar) -> float:
        """Where `value` stands on the scale; NaN (absent) for the zero of a log scale."""
        if self.zero and float(value) == 0:
            return math.nan
        return _position(float(value), self.low, self.high, self.log)

    def values(self) -> list[float] | None:
        """None: they cannot be listed."""
        return None if self.low < self.high else [self.low]

    def contains(self, value: Any) -> bool:
        """Whether `value` is in the domain."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.zero and value == 0) or self.low <= value <= self.high

    def restrict(self, low: float, high: float) -> Real:
        """The part within low..high, or the value nearest to it where there is none."""
        first, last = max(low, self.low), min(high, self.high)
        if first > last:
            first = last = min(max(low, self.low), self.high)
        return replace(self, low=first, high=last)

    def times(self, factor: float, within: Real) -> Real:
        """The same domain with every number so many times as large, as far as that is possible."""
        if factor == 1:
            return self
        low, high = (
            min(max(_rounded(end * factor), within.low), within.high)
            for end in (self.low, self.high)
        )
        return replace(self, low=low, high=high)

    def near(self, value: Scalar) -> list[Scalar]:
        """Neighbouring values: a fifth, a twentieth and an eightieth of the scale away."""
        number = float(value)
        if self.zero and number == 0:
            return [self.clip(self.low), self.at((1 + self.ZERO_SHARE) / 2)]
        whole = replace(self, zero=False)
        steps = (-0.2, -0.05, -0.0125, 0.0125, 0.05, 0.2)
        unit = whole.unit(number)
        found = {whole.at(min(max(unit + step, 0.0), 1.0)) for step in steps}
        if self.zero:
            found.add(0.0)
        return sorted(found - {number})

    def text(self) -> str:
        """The domain as `--set` reads it."""
        span = f"{self.low:g}" if self.low == self.high else f"{self.low:g}..{self.high:g}"
        return f"0,{span}" if self.zero else span


@dataclass(frozen=True)
class Categorical:
    """One of some values, without an order between them unless `ordered`."""

    choices: tuple[Scalar, ...]
    ordered: bool = False

    @property
    def wordy(self) -> bool:
        """Whether no choice is a number, but a word or a bit."""
        return not any(isinstance(c, int | float) and not isinstance(c, bool) for c in self.choices)

    def at(self, unit: float) -> Scalar:
        """The value at `unit` in [0, 1)."""
        return self.choices[min(int(unit * len(self.choices)), len(self.choices) - 1)]

    def unit(self, value: Scalar) -> float:
        """The index of the value.

        A number that is not among the choices counts as the nearest; where they are ordered it
        stands between them or beyond them.
        """
        if value in self.choices:
            return float(self.choices.index(value))
        numbers = [c for c in self.choices if isinstance(c, int | float)]
        if self.ordered and len(numbers) == len(self.choices) and isinstance(value, int | float):
            return _between(float(value), [float(number) for number in numbers])
        if numbers and isinstance(value, int | float):
            return float(self.choices.index(min(numbers, key=lambda c: abs(c - value))))
        return 0.0

    def values(self) -> list[Scalar] | None:
        """All values."""
        return list(self.choices)

    def contains(self, value: Any) -> bool:
        """Whether `value` is in the domain."""
        return any(value == c and isinstance(value, bool) == isinstance(c, bool) for c in self)

    def __iter__(self) -> Iterator[Scalar]:
        return iter(self.choices)

    def keep(self, allowed: Callable[[Scalar], bool], otherwise: Scalar) -> Categorical:
        """The choices that are allowed, or `otherwise` alone where none is."""
        kept = tuple(choice for choice in self.choices if allowed(choice))
        return replace(self, choices=kept or (otherwise,))

    def near(self, value: Scalar) -> list[Scalar]:
        """Every other choice."""
        return [choice for choice in self.choices if choice != value]

    def text(self) -> str:
        """The domain as `--set` reads it."""
        return ",".join(spelled(choice) for choice in self.choices)


Domain = Integer | Real | Categorical


def read_number(text: str) -> float | None:
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def exactly(number: float) -> int | float:
    return int(number) if number == int(number) else number


def is_whole(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT}g}")


def _position(value: float, low: float, high: float, log: bool) -> float:
    if low == high:
        return 0.5
    if log:
        return (math.log(max(value, 1e-300)) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def _between(value: float, numbers: Sequence[float]) -> float:
    """The index that `value` would have: by ratio where all are positive, else by difference."""
    index = np.argsort(numbers, kind="stable")
    places = np.array(numbers)[index]
    if value > 0 and places[0] > 0:
        value, places = math.log(value), np.log(places)
    if len(places) == 1:
        return float(index[0] + value - places[0])
    # the two choices around it, or the last two at that end
    right = min(max(int(np.searchsorted(places, value)), 1), len(places) - 1)
    left = right - 1
    share = (value - places[left]) / (places[right] - places[left])
    return float(index[left] + share * (index[right] - index[left]))


def spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
