"""The conditional covariance: networks of any length in one Euclidean space, and a kernel there.

Every configuration becomes a vector of features; what is absent stands at the origin, what is
present on an arc around it (Swersky et al. 2013, arXiv 1409.4011).  A stationary kernel on those
vectors is positive semi-definite whatever the lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from ..sessions.records import Config
from .space import Categorical, Parameter, Space

Array = NDArray[np.float64]

ARC = math.pi / 2
"""Angle between the ends of a scale: far enough from a half turn for values beyond its ends."""
CHORD = 2 * math.sin(ARC / 2)
KNOWN_SCALE = math.log(100)
"""A hundred times the parameters or MACs are one unit apart, as the two ends of a scale are."""

BEYOND = 0.5
"""How far beyond an end of its scale a value can stand."""

NUMBERS_APART = 0.5
"""How far apart two random numbers on a scale are, in units of two categories that differ."""

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

    Features, by groups: each parameter (the entries of a list share one group, so the layers share
    a length scale); each list as a whole, that is the mean of its numbers or how often each
    category occurs, which does not depend on where in the list; and the logarithms of what is
    known by arithmetic, relative to the reference's.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._parts: list[tuple[str, NDArray[np.intp], int]] = []
        self.groups: tuple[Group, ...] = ()
        self.known_names: tuple[str, ...] = ()
        self._known_origin = np.zeros(0)
        self._lay_out()

    def _lay_out(self) -> None:
        space = self.space
        groups: list[Group] = []
        position = 0
        columns: dict[str, list[int]] = {}
        for place, column in enumerate(space.columns):
            columns.setdefault(column.parameter, []).append(place)

        def add(
            kind: str, parameter: Parameter, at: list[int], choices: int, size: int, width: int = 0
        ) -> None:
            nonlocal position
            self._parts.append((kind, np.array(at, dtype=np.intp), choices))
            span = (position, position + size)
            length = parameter.length or parameter.name
            typical = 1.0 if kind in ("category", "counts") else NUMBERS_APART
            groups.append(Group(parameter.name, parameter.level, span, width, length, typical))
            position += size

        for parameter in space.parameters:
            at = columns.get(parameter.name, [])
            if not at:
                continue
            scale = parameter.scale
            ordered = isinstance(scale, Categorical) and scale.ordered
            choices = len(scale.choices) if isinstance(scale, Categorical) else 0
            conditional = any(space.columns[i].conditional for i in at)
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
        if space.known is not None:
            origin = space.reference if space.reference is not None else space.defaults()
            known = space.known(origin)
            self.known_names = tuple(known)
            self._known_origin = np.log([max(known[name], 1e-300) for name in known])
            for name in self.known_names:
                groups.append(Group(name, 0, (position, position + 1)))
                position += 1
        self.groups = tuple(groups)
        self.size = position

    @property
    def known_features(self) -> tuple[int, ...]:
        """The features that are logarithms of what arithmetic knows."""
        return tuple(range(self.size - len(self.known_names), self.size))

    def __call__(self, configs: Sequence[Config]) -> Array:
        """Shape (len(configs), size); no NaN."""
        rows = self.space.encode_all(configs)
        blocks = [_block(kind, rows[:, at], choices) for kind, at, choices in self._parts]
        if self.space.known is not None:
            values = np.array(
                [
                    [known[name] for name in self.known_names]
                    for known in map(self.space.known, configs)
                ]
            ).reshape(len(configs), len(self.known_names))
            logs = np.log(np.maximum(values, 1e-300)) - self._known_origin
            blocks.append(logs / KNOWN_SCALE)
        return np.hstack(blocks) if blocks else np.zeros((len(configs), 0))

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


def _block(kind: str, values: Array, choices: int) -> Array:
    """One group's features of encoded columns, shape (n, columns), NaN where absent."""
    present = ~np.isnan(values)
    if kind == "category":
        hot = values[:, :, None] == np.arange(choices)
        # one apart when they differ, wherever they stand
        flat: Array = hot.reshape(len(values), choices * values.shape[1]) / math.sqrt(2)
        return flat
    if kind == "counts":
        counts: Array = (values[:, :, None] == np.arange(choices)).sum(axis=1) / 4
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


def squared_distances(left: Array, right: Array) -> Array:
    """Between all rows, shape (len(left), len(right))."""
    across = left @ right.T
    squares: Array = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2 * across
    squares = np.maximum(squares, 0.0)
    return squares


class Conditional(Kernel):  # type: ignore[misc]
    """amplitude * a Matérn 5/2 a factor + a linear term in some features.

    k(x, y) = amplitude prod_f m(d_f) + linear * <x_L, y_L>,
    d_f^2 = sum over the groups of factor f of |x_g - y_g|^2 / l_g^2.

    spans: first and past-the-last feature of each group.  length_scale: shape (groups,).
    factors: the factor of each group, counted from 0 (the groups of a level share one); all in one
    where left out.  lines: features of the linear term, a Bayesian linear mean; linear: its prior
    variance a feature (0 switches it off).  Hyperparameters are in the order of their names, as
    scikit-learn has it: amplitude, length_scale, linear.
    """

    def __init__(
        self,
        spans: tuple[tuple[int, int], ...],
        length_scale: Any,
        amplitude: float = 1.0,
        lines: tuple[int, ...] = (),
        linear: float = 0.0,
        factors: tuple[int, ...] = (),
    ) -> None:
        self.spans = spans
        self.length_scale = length_scale
        self.amplitude = amplitude
        self.lines = lines
        self.linear = linear
        self.factors = factors

    @property
    def hyperparameter_amplitude(self) -> Hyperparameter:
        """The variance of the stationary part."""
        return Hyperparameter("amplitude", "numeric", (1e-4, 1e4))

    @property
    def hyperparameter_length_scale(self) -> Hyperparameter:
        """One length scale a group."""
        return Hyperparameter("length_scale", "numeric", (1e-3, 1e6), len(self.spans))

    @property
    def hyperparameter_linear(self) -> Hyperparameter:
        """The variance of each slope."""
        return Hyperparameter("linear", "numeric", (1e-8, 1e4) if self.linear else "fixed")

    def __call__(self, X: Array, Y: Array | None = None, eval_gradient: bool = False) -> Any:
        """Shape (len(X), len(Y)); with `eval_gradient` also its gradient by log hyperparameters.

        X, Y: features, shape (n, features).  The gradient has shape (n, n, hyperparameters).
        """
        X = np.atleast_2d(X)
        if eval_gradient and Y is not None:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        Y_ = X if Y is None else np.atleast_2d(Y)
        result = self.amplitude * self.correlation(X, Y)
        lines = list(self.lines)
        line = X[:, lines] @ Y_[:, lines].T if lines and self.linear else None
        if line is not None:
            result = result + self.linear * line
        if not eval_gradient:
            return result
        weights = np.asarray(self.length_scale, dtype=float).reshape(-1) ** -2
        parts = group_distances(X, self.spans)
        flat = parts.reshape(len(parts), -1)
        value, slopes = factored(flat, weights, factor_list(self.factors, len(parts)))
        gradient = [self.amplitude * value.reshape(len(X), -1)]
        gradient += [
            (-2 * self.amplitude * weight * slope * part).reshape(len(X), -1)
            for part, slope, weight in zip(flat, slopes, weights, strict=True)
        ]
        if self.linear:
            gradient.append(self.linear * (np.zeros_like(result) if line is None else line))
        return result, np.stack(gradient, axis=2)

    def diag(self, X: Array) -> Array:
        """The variances, shape (len(X),)."""
        X = np.atleast_2d(X)
        result: Array = np.full(len(X), float(self.amplitude))
        if self.lines and self.linear:
            result += self.linear * (X[:, list(self.lines)] ** 2).sum(axis=1)
        return result

    def is_stationary(self) -> bool:
        """Whether it depends on differences alone."""
        return not (self.lines and self.linear)

    def correlation(self, X: Array, Y: Array | None = None) -> Array:
        """The stationary part without its amplitude, on [0, 1], shape (len(X), len(Y))."""
        scales = np.asarray(self.length_scale, dtype=float).reshape(-1)
        factors = factor_list(self.factors, len(self.spans))
        result: Array | None = None
        for factor in np.unique(factors):
            own = np.flatnonzero(factors == factor)
            columns = np.concatenate([np.arange(*self.spans[i]) for i in own])
            widths = [self.spans[i][1] - self.spans[i][0] for i in own]
            scale = np.repeat(scales[own], widths)
            left = X[:, columns] / scale
            squared = squared_distances(left, left if Y is None else Y[:, columns] / scale)
            if Y is None:
                # a product of matrices is symmetric up to rounding only
                squared = (squared + squared.T) / 2
                np.fill_diagonal(squared, 0.0)
            value = matern(squared)[0]
            result = value if result is None else result * value
        if result is None:
            return np.ones((len(X), len(X) if Y is None else len(Y)))
        return result


def factor_list(factors: Sequence[int], groups: int) -> NDArray[np.intp]:
    """The factor of each group, shape (groups,); one for all where none are told."""
    return np.array(factors if len(factors) else [0] * groups, dtype=np.intp)


def factored(parts: Array, weights: Array, factors: NDArray[np.intp]) -> tuple[Array, list[Array]]:
    """A product of Matérns, and for each group its derivative by the group's weighted distance.

    parts: squared distances by group, shape (groups, pairs).  weights: 1 / length scale^2, shape
    (groups,).  factors: shape (groups,).  Returns shape (pairs,), and one such array a group (the
    same one for the groups of a factor).
    """
    present = np.unique(factors)
    values, slopes = {}, {}
    for factor in present:
        own = np.flatnonzero(factors == factor)
        values[factor], slopes[factor] = matern(weights[own] @ parts[own])
    product = np.ones(parts.shape[1])
    for value in values.values():
        product = product * value
    derivative: dict[Any, Array] = {}
    for factor in present:
        rest = slopes[factor]
        for other in present:
            if other != factor:
                rest = rest * values[other]
        derivative[factor] = rest
    return product, [derivative[factor] for factor in factors]


def matern(squared: Array) -> tuple[Array, Array]:
    """Matérn 5/2 of a squared distance, and its derivative by the squared distance."""
    root = np.sqrt(5 * squared)
    decay = np.exp(-root)
    return (1 + root + root**2 / 3) * decay, -(5 / 6) * (1 + root) * decay


def group_distances(X: Array, spans: Sequence[tuple[int, int]]) -> Array:
    """The squared distances of each group apart, shape (groups, n, n)."""
    result = np.empty((len(spans), len(X), len(X)))
    for index, (start, stop) in enumerate(spans):
        part = squared_distances(X[:, start:stop], X[:, start:stop])
        np.fill_diagonal(part, 0.0)
        result[index] = part
    return result
