"""The conditional covariance: networks of any length in one Euclidean space, and a kernel there.

Every configuration becomes a vector of features; what is absent stands at the origin, what is
present on an arc around it (Swersky et al. 2013, arXiv 1409.4011).  A stationary kernel on those
vectors is positive semi-definite whatever the lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

Array = NDArray[np.float64]


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
