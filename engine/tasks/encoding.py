"""Configurations as rows of numbers, for models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import Config, Scalar
from .domains import Categorical, Domain, Real
from .parameter import Parameter

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One column of the encoding: a parameter, or one entry of a per-layer one.

    choices: number of categories, 0 for a number.  conditional: whether it can be absent.
    """

    parameter: str
    index: int | None
    level: int
    choices: int
    conditional: bool


class Encoding:
    """The configurations of a space as rows of numbers; a narrowed domain moves none."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        """parameters: of the space, in its order; those asleep have no column."""
        self._by_name = {parameter.name: parameter for parameter in parameters}
        self._awake = [parameter for parameter in parameters if not parameter.asleep]
        self.columns = tuple(self._laid())

    def _can_be_idle(self, parameter: Parameter) -> bool:
        return parameter.when is not None and not self._by_name[parameter.when[0]].asleep

    def _laid(self) -> Iterator[Column]:
        for parameter in self._awake:
            scale = parameter.scale
            choices = len(scale.choices) if isinstance(scale, Categorical) else 0
            absent = isinstance(scale, Real) and scale.zero
            if parameter.length is None:
                idle = self._can_be_idle(parameter)
                yield Column(parameter.name, None, parameter.level, choices, absent or idle)
                continue
            length = self._by_name[parameter.length]
            lowest = int(min(length.bounds.values() or [0])) + parameter.offset
            highest = int(max(length.bounds.values() or [0])) + parameter.offset
            for at in range(highest):
                conditional = absent or at >= lowest
                yield Column(parameter.name, at, parameter.level, choices, conditional)

    def row(self, config: Config) -> Array:
        """Shape (len(columns),): numbers on [0, 1], categories by index, NaN where absent or idle.

        What is beyond the frame is beyond those: a widened ordered category has no whole index.
        """
        row = np.full(len(self.columns), np.nan)
        for position, column in enumerate(self.columns):
            parameter, value = self._by_name[column.parameter], config[column.parameter]
            if column.index is None:
                row[position] = self._unit(parameter, config)
            elif column.index < len(value) and parameter.counts(config, column.index):
                row[position] = parameter.scale.unit(value[column.index])
        return row

    def rows(self, configs: Sequence[Config]) -> Array:
        """`row` of many configurations at once, shape (len(configs), len(columns))."""
        rows = np.full((len(configs), len(self.columns)), np.nan)
        position = 0
        for parameter in self._awake:
            unit = _remembered(parameter.scale)
            name = parameter.name
            if parameter.length is None:
                if parameter.when is None and parameter.ratios is None:
                    rows[:, position] = [unit(config[name]) for config in configs]
                else:
                    rows[:, position] = [self._unit(parameter, config) for config in configs]
                position += 1
                continue
            width = sum(1 for column in self.columns if column.parameter == name)
            units = [[unit(entry) for entry in config[name][:width]] for config in configs]
            lengths = np.array([len(entries) for entries in units])
            present = np.arange(width) < lengths[:, None]
            rows[:, position : position + width][present] = [u for row in units for u in row]
            if self._can_be_idle(parameter):
                for row, config in zip(rows, configs, strict=True):
                    for index in range(min(len(config[name]), width)):
                        if not parameter.counts(config, index):
                            row[position + index] = np.nan
            position += width
        return rows

    @staticmethod
    def _unit(parameter: Parameter, config: Config) -> float:
        """Where the value of a parameter stands on its scale; NaN where it is idle."""
        if not parameter.counts(config):
            return math.nan
        return parameter.scale.unit(parameter.relative(config[parameter.name], config))


def _remembered(scale: Domain) -> Callable[[Scalar], float]:
    """`scale.unit`, worked out once a value; a boolean is another value than 0 or 1."""
    seen: dict[tuple[type, Scalar], float] = {}

    def unit(value: Scalar) -> float:
        key = (value.__class__, value)
        found = seen.get(key)
        if found is None:
            found = seen[key] = scale.unit(value)
        return found

    return unit
