"""Networks of different length as points of one space, what is absent at an origin of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import Config
from ..tasks.domains import Categorical
from ..tasks.parameter import Parameter
from ..tasks.space import Space
from .prior import NOTHING, Prior

if TYPE_CHECKING:
    from .kernel import Array


ARC = math.pi / 2
"""Angle between the ends of a scale: far enough from a half turn for values beyond its ends."""
CHORD = 2 * math.sin(ARC / 2)
KNOWN_SCALE = math.log(100)
"""A hundred times the parameters or MACs are one unit apart, as the two ends of a scale are."""
BEYOND = 0.5
"""How far beyond an end of its scale a value can stand."""
NUMBERS_APART = 0.5
"""How far apart two random numbers on a scale are, in units of two categories that differ."""
HOT = 1 / math.sqrt(2)
"""What stands for the chosen category: two that differ are one apart."""
COUNT = 1 / 4
"""One more of a category, where they are counted."""
COUNTS = -1
"""The width of a group that counts categories."""


@dataclass(frozen=True)
class Group:
    """Features that share one length scale.

    label: the parameter, or the name of what is known by arithmetic.  level: the parameter's, 0
    for what is known.  features: first and past-the-last feature.  width: features of one entry
    of a list whose entries can be absent, COUNTS where categories are counted, 0 elsewhere.
    length: the parameter that decides which entries are there.  typical: how far apart two random
    networks are in one entry, by the root of the mean square: 1 for categories, which differ or
    do not, about half for numbers on a scale of length 1.
    """

    label: str
    level: int
    features: tuple[int, int]
    width: int = 0
    length: str = ""
    typical: float = 1.0


class Embedding:
    """Configurations of a space -> features, shape (n, size).

    known_features: those that are logarithms of what arithmetic knows.  counted_features: those
    that count categories over parameters.

    Features, by groups: each parameter (the entries of a list share one group, so the layers share
    a length scale); each list as a whole, that is the mean of its numbers or how often each
    category occurs, which does not depend on where in the list; and the logarithms of what is
    known by arithmetic, relative to the reference's.  Last, in no group, so that no distance
    counts them: how often a category is chosen by those parameters that choose from the same; and
    what a prior says of the seconds and of the error, `time_mean` and `error_mean` (-1 where there
    is none), `time_lines` and `error_lines`.  What a configuration itself has ends at `compared`.
    """

    def __init__(self, space: Space, prior: Prior = NOTHING) -> None:
        self.space, self.prior = space, prior
        if prior.time is not None and prior.time.kinds != space.kinds:
            raise ValueError(f"a prior of {prior.time.kinds} for a space of {space.kinds}")
        if prior.error is not None and prior.error.traits != space.trait_names:
            raise ValueError(f"a prior of {prior.error.traits} for {space.trait_names}")
        self._parts: list[tuple[str, NDArray[np.intp], int]] = []
        self.groups: tuple[Group, ...] = ()
        self.known_names: tuple[str, ...] = ()
        self._known_origin = np.zeros(0)
        self._counted: list[tuple[NDArray[np.intp], int]] = []
        self._lay_out()

    def _lay_out(self) -> None:
        space = self.space
        groups: list[Group] = []
        position = 0
        columns: dict[str, list[int]] = {}
        for place, column in enumerate(space.encoding.columns):
            columns.setdefault(column.parameter, []).append(place)

        def add(
            kind: str, parameter: Parameter, at: list[int], choices: int, size: int, width: int = 0
        ) -> None:
            nonlocal position
            self._parts.append((kind, np.array(at, dtype=np.intp), choices))
            span = (position, position + size)
            idle_by = parameter.when[0] if parameter.when is not None and conditional else None
            length = parameter.length or idle_by or parameter.name
            typical = 1.0 if kind in ("category", "counts") else NUMBERS_APART
            groups.append(Group(parameter.name, parameter.level, span, width, length, typical))
            position += size

        alike = _alike([parameter for parameter in space.awake if parameter.name in columns])
        for parameter in space.awake:
            at = columns.get(parameter.name, [])
            if not at:
                continue
            scale = parameter.scale
            ordered = isinstance(scale, Categorical) and scale.ordered
            choices = len(scale.choices) if isinstance(scale, Categorical) else 0
            conditional = any(space.encoding.columns[i].conditional for i in at)
            if choices and not ordered:
                width = choices if conditional else 0
                add("category", parameter, at, choices, len(at) * choices, width)
                if parameter.length is not None:
                    add("counts", parameter, at, choices, choices, COUNTS)
            else:
                if conditional:
                    add("arc", parameter, at, choices, 2 * len(at), 2)
                else:
                    add("number", parameter, at, choices, len(at))
                if parameter.length is not None:
                    add("mean", parameter, at, choices, 1)
        self.known_names = tuple(measure.name for measure in space.informing)
        if self.known_names:
            origin = space.reference if space.reference is not None else space.defaults()
            self._known_origin = np.log([max(value, 1e-300) for value in space.informs(origin)])
            for name in self.known_names:
                groups.append(Group(name, 0, (position, position + 1)))
                position += 1
        self.groups = tuple(groups)
        self.known_features = tuple(range(position - len(self.known_names), position))
        self._counted = [
            (np.array([at for name in names for at in columns[name]], dtype=np.intp), len(choices))
            for choices, names in alike.items()
        ]
        position, first = position + sum(choices for _, choices in self._counted), position
        self.counted_features = tuple(range(first, position))
        self.compared = position
        self.time_mean = self.error_mean = -1
        self.time_lines: tuple[int, ...] = ()
        self.error_lines: tuple[int, ...] = ()
        if self.prior.time is not None:
            self.time_mean, first = position, position + 1
            position = first + len(self.prior.time.kinds)
            self.time_lines = tuple(range(first, position))
        if self.prior.error is not None:
            self.error_mean, first = position, position + 1
            position = first + 2
            self.error_lines = tuple(range(first, position))
        self.size = position

    def __call__(self, configs: Sequence[Config]) -> Array:
        """Shape (len(configs), size); no NaN."""
        rows = self.space.encoding.rows(configs)
        blocks = [_block(kind, rows[:, at], choices) for kind, at, choices in self._parts]
        if self.known_names:
            values = np.array([self.space.informs(config) for config in configs]).reshape(
                len(configs), len(self.known_names)
            )
            logs = np.log(np.maximum(values, 1e-300)) - self._known_origin
            blocks.append(logs / KNOWN_SCALE)
        blocks += [_block("counts", rows[:, at], choices) for at, choices in self._counted]
        blocks += self._expected(configs)
        return np.hstack(blocks) if blocks else np.zeros((len(configs), 0))

    def _expected(self, configs: Sequence[Config]) -> list[Array]:
        """What the prior says of the seconds and of the error, as means and lines."""
        found: list[Array] = []
        time, error, space = self.prior.time, self.prior.error, self.space
        if time is not None:
            assert space.work is not None
            work = np.array([space.work(config) for config in configs])
            work = work.reshape(len(configs), len(time.kinds))
            reference = np.array(space.work_beside)
            found += [time.mean(work, reference)[:, None], time.lines(work, reference)]
        if error is not None:
            assert space.traits is not None
            told = np.array([space.traits(config) for config in configs])
            shape = error.shape(told.reshape(len(configs), len(error.traits)))
            found += [(error.level + shape)[:, None], error.lines(shape)]
        return found

    def variation(self, features: Array) -> list[dict[str, float]]:
        """How much each group varies: label -> variance, summed over its features.

        Where an entry is only there or not there, that is laid to the parameter that gives the
        length, not to the one whose entry it is.  features: shape (n, size), n > 0.
        """
        result: list[dict[str, float]] = []
        for group in self.groups:
            first, stop = group.features
            block = features[:, first:stop]
            total = float(block.var(axis=0).sum())
            if not group.width:
                result.append({group.label: total})
                continue
            if group.width == COUNTS:
                # what follows the number of entries is the length's doing
                centred = block - block.mean(axis=0)
                size = centred.sum(axis=1)
                slopes = size @ centred / max(float(size @ size), 1e-300)
                within = float((centred - size[:, None] * slopes).var(axis=0).sum())
                result.append(_shared(group, within, total))
                continue
            entries = block.reshape(len(block), -1, group.width)
            present = (entries != 0).any(axis=2, keepdims=True)
            count = np.maximum(present.sum(axis=0), 1)
            centred = (entries - entries.sum(axis=0) / count) * present
            within = float((centred**2).sum() / len(block))
            result.append(_shared(group, within, total))
        return result


def _shared(group: Group, within: float, total: float) -> dict[str, float]:
    """A variance shared out between a parameter and the one that gives its length."""
    parts = {group.label: within}
    parts[group.length] = parts.get(group.length, 0.0) + max(total - within, 0.0)
    return parts


def _alike(parameters: Sequence[Parameter]) -> dict[tuple[Any, ...], list[str]]:
    """Choices without an order -> those parameters, two or more, that each choose one of them."""
    result: dict[tuple[Any, ...], list[str]] = {}
    for parameter in parameters:
        scale = parameter.scale
        if isinstance(scale, Categorical) and not scale.ordered and parameter.length is None:
            result.setdefault(scale.choices, []).append(parameter.name)
    return {choices: names for choices, names in result.items() if len(names) > 1}


def _block(kind: str, values: Array, choices: int) -> Array:
    """One group's features of encoded columns, shape (n, columns), NaN where absent."""
    present = ~np.isnan(values)
    if kind == "category":
        hot = values[:, :, None] == np.arange(choices)
        # one apart when they differ, wherever they stand
        flat: Array = hot.reshape(len(values), choices * values.shape[1]) * HOT
        return flat
    if kind == "counts":
        counts: Array = (values[:, :, None] == np.arange(choices)).sum(axis=1) * COUNT
        return counts
    if choices:
        values = values / max(choices - 1, 1)
    filled = np.where(present, values, 0.0)
    if kind == "number":
        return filled
    if kind == "mean":
        count = np.maximum(present.sum(axis=1), 1)
        mean: Array = (filled.sum(axis=1) / count)[:, None]
        return mean
    inside = np.clip(filled, 0.0, 1.0)
    # what is beyond an end goes on to half a scale from it at most, and never stands still
    angle = ARC * (inside + BEYOND * np.tanh((filled - inside) / BEYOND))
    arc: Array = np.stack([np.sin(angle), np.cos(angle)], axis=2) * present[:, :, None] / CHORD
    return arc.reshape(len(values), 2 * values.shape[1])
