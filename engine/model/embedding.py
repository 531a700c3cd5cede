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
from .known import Beyond, Earlier, Known
from .prior import NOTHING, ErrorPrior, Prior, TimePrior

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
TRUST, TRUST_ALONE, TRUST_SPREAD = 0.4, 0.9, 0.5
"""How much of what an earlier session expects beyond the prior holds in another: expected, the
same where no prior tells, and its standard deviation.  By tables of trainings: 0.37 from 4 epochs
to 12 on the same images and next to nothing on others, without a prior 0.85 and 0.98."""
LEVEL_SPREAD = 0.5
"""Of a logarithm: how far one session's level lies from another's."""
LITTLE = 0.1
"""Standard deviation of a logarithm that is measured, where nothing says it."""
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
    what a prior and earlier sessions say of the seconds and of the error: a mean, in `time_known`
    and `error_known` (None where there is none), and `time_lines` and `error_lines`.  What a
    configuration itself has ends at `compared`.
    """

    time_known: Known | None
    error_known: Known | None
    time_lines: tuple[int, ...]
    error_lines: tuple[int, ...]

    def __init__(
        self, space: Space, prior: Prior = NOTHING, earlier: Sequence[Earlier] = ()
    ) -> None:
        self.space, self.prior, self.earlier = space, prior, tuple(earlier)
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
        time, error = self.prior.time, self.prior.error
        kinds = 0 if time is None else len(time.kinds)
        self.time_known, self.time_lines = _known(position, time, kinds, self._told_time)
        position += len(self.time_lines) + (self.time_known is not None)
        self.error_known, self.error_lines = _known(position, error, 2, self._told_error)
        self.size = position + len(self.error_lines) + (self.error_known is not None)

    @property
    def _told_time(self) -> list[Beyond]:
        """What earlier sessions learnt of seconds."""
        return [one.seconds for one in self.earlier if one.seconds is not None]

    @property
    def _told_error(self) -> list[Beyond]:
        """What they learnt of errors."""
        return [one.error for one in self.earlier if one.error is not None]

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
        compared = np.hstack(blocks) if blocks else np.zeros((len(configs), 0))
        if self.time_known is None and self.error_known is None:
            return compared
        return np.hstack([compared, self.expected(configs, compared)])

    def expected(self, configs: Sequence[Config], compared: Array | None = None) -> Array:
        """What is said beforehand of the seconds and of the error, as means and lines: shape
        (len(configs), size - compared).

        compared: their other features, by which earlier sessions know them.
        """
        found: list[Array] = [np.zeros((len(configs), 0))]
        time, error, space = self.prior.time, self.prior.error, self.space
        if self.time_known is not None:
            told = self._told_time
            if time is not None:
                assert space.work is not None
                work = np.array([space.work(config) for config in configs])
                work = work.reshape(len(configs), len(time.kinds))
                reference = np.array(space.work_beside)
                mean, lines = time.mean(work, reference), time.lines(work, reference)
            else:
                mean, lines = _level(told, self.time_known, len(configs))
            trust = TRUST if time is not None else TRUST_ALONE
            found += _joined(mean, lines, told, self.time_known, trust, compared)
        if self.error_known is not None:
            told = self._told_error
            if error is not None:
                assert space.traits is not None
                traits = np.array([space.traits(config) for config in configs])
                shape = error.shape(traits.reshape(len(configs), len(error.traits)))
                mean, lines = error.level + shape, error.lines(shape)
            else:
                mean, lines = _level(told, self.error_known, len(configs))
            trust = TRUST if error is not None else TRUST_ALONE
            found += _joined(mean, lines, told, self.error_known, trust, compared)
        return np.hstack(found)

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


def _known(
    at: int, prior: TimePrior | ErrorPrior | None, lines: int, told: Sequence[Beyond]
) -> tuple[Known | None, tuple[int, ...]]:
    """What is known beforehand, its mean in the feature `at`, and the features of its lines.

    lines: those of the prior.  told: what earlier sessions learnt.  None where there is neither.
    """
    if prior is not None:
        known = Known(at, prior.residual, prior.noise, prior.residual_spread)
    elif told:
        # how far networks lie from what is expected, by earlier sessions alone
        known, lines = Known(at, float(np.mean([one.spread for one in told])), LITTLE), 1
    else:
        return None, ()
    return known, tuple(range(at + 1, at + 1 + lines + len(told)))


def _level(told: Sequence[Beyond], known: Known, count: int) -> tuple[Array, Array]:
    """The mean and the line of what earlier sessions came to on average, where no prior tells."""
    mean = float(np.mean([one.centre for one in told]))
    return np.full(count, mean), np.full((count, 1), LEVEL_SPREAD / known.residual)


def _joined(
    mean: Array,
    lines: Array,
    told: Sequence[Beyond],
    known: Known,
    trust: float,
    compared: Array | None,
) -> list[Array]:
    """Means and lines, with what earlier sessions expect beyond that, as far as it is trusted."""
    if not told:
        return [mean[:, None], lines]
    assert compared is not None
    beyond = np.column_stack([one.expect(compared) for one in told])
    mean = mean + trust / len(told) * beyond.sum(axis=1)
    return [mean[:, None], lines, beyond * TRUST_SPREAD / known.residual]


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
