"""A regression of error and cost over networks: boosted trees and small nets, averaged.

Fitted by `make_cnn_fashion.py` and kept as plain arrays, so that a prediction needs numpy alone and
is the same on every machine.  It is no Gaussian process: the benchmark's truth must not be of the
family of one of the methods that are compared on it.  Half of it is smooth, half is steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcsearch.engine.tasks import cnn
from lcsearch.sessions.records import Config

Array = NDArray[np.float64]

LAYERS = 8
"""Convolutions that have features of their own; deeper networks are told by their sums."""
STEADY, GUESS = 0.2, 0.9
"""Errors below which training is steady, and of guessing one of ten classes."""
SOFT = 0.03
"""How softly a predicted logarithm is kept above the lowest that was measured."""
DIGITS = 7
"""Decimals kept of a predicted logarithm, so that rounding differs on no machine."""


def error_variance_parts(error: float, images: int) -> tuple[float, float]:
    """The variance of the logarithm of a measured error is a sum of these two, each with a factor.

    That of counting mistakes of so many images; and that of training, which is seen in repeats
    where an error is above 0.2, and is gone again where a network only guesses (0.9).
    """
    counting = (1 - error) / (images * error)
    return counting, max(math.log(error / STEADY), 0.0) * max(1 - error / GUESS, 0.0)


def features(config: Config, shape: tuple[int, int, int], classes: int) -> list[float]:
    """What a network is told by, one number a name of `names()`; absent layers have -1."""
    laid = cnn.network(config, shape, classes)
    convolutions, dense = laid.convolutions, laid.dense
    count = len(convolutions)
    batch, rate = config["batch_size"], config["learning_rate"]
    channels = [layer.channels_out for layer in convolutions]
    kernels, groups = config["kernel"], config["groups"]
    norms = [float(norm) for norm in config["batch_norm"]]
    down = config["downsample"]
    # numbers written and read again, an image
    activations = [
        layer.channels_out * layer.height_out * layer.width_out for layer in convolutions
    ]
    conv_macs = [layer.macs for layer in convolutions]
    grouped = sum(m for m, g in zip(conv_macs, groups, strict=True) if g > 1)
    pointwise = sum(m for m, k in zip(conv_macs, kernels, strict=True) if k == 1)
    wide = sum(m for m, k in zip(conv_macs, kernels, strict=True) if k >= 5)
    normed = sum(a for a, n in zip(activations, norms, strict=True) if n)
    field, stride = 1, 1
    for layer in convolutions:
        field += (layer.kernel - 1) * stride
        stride *= layer.stride
        if layer.pool:
            field += stride
            stride *= 2
    decay = config["weight_decay"]
    row = [
        math.log(laid.params),
        math.log(laid.macs),
        float(count),
        math.log(channels[0]),
        math.log(channels[-1]),
        sum(map(math.log, channels)) / count,
        float(sum(d == cnn.POOL for d in down)),
        float(sum(d == cnn.STRIDE for d in down)),
        float(convolutions[-1].height_out),
        float(laid.pooled[0]),
        sum(norms) / count,
        float(count - sum(norms)),
        sum(kernels) / count,
        float(max(kernels)),
        float(sum(k == 1 for k in kernels)),
        sum(math.log2(g) for g in groups) / count,
        float(min(field, 40)),
        math.log(sum(activations)),
        math.log(max(activations)),
        math.log(normed + 1.0),
        math.log(grouped + 1e3),
        math.log(pointwise + 1e3),
        math.log(wide + 1e3),
        math.log(sum(layer.macs for layer in dense)),
        float(len(dense)),
        math.log(dense[0].inputs),
        math.log(dense[0].in_degree),
        math.log(min(layer.in_degree for layer in dense)),
        math.log(min(layer.outputs for layer in dense)),
        math.log(dense[0].outputs),
        float(sum(layer.in_degree < layer.inputs for layer in dense)),
        math.log(sum(layer.params for layer in dense)),
        math.log(max(decay, 3e-7)),
        float(decay == 0),
        math.log(rate),
        config["lr_decay"],
        math.log(batch),
        math.log(rate) - 0.5 * math.log(batch),
        math.log(rate) - math.log(batch),
        # an optimiser's step goes over all parameters, however few images a batch has
        math.log(laid.params) - math.log(batch),
        math.log(laid.macs + 2000 * count + 30.0 * sum(activations) + 10.0 * laid.params / batch),
    ]
    for index in range(LAYERS):
        if index >= count:
            row += [-1.0] * 6
            continue
        layer = convolutions[index]
        row += [
            math.log(layer.channels_out),
            float((cnn.NONE, cnn.STRIDE, cnn.POOL).index(down[index])),
            float(layer.kernel),
            norms[index],
            math.log2(layer.groups),
            math.log(layer.macs),
        ]
    return row


def matrix(configs: Sequence[Config], shape: tuple[int, int, int], classes: int) -> Array:
    """`features` of several, shape (configs, features)."""
    return np.array([features(config, shape, classes) for config in configs])


@dataclass(frozen=True)
class Trees:
    """Boosted trees: the base value and every leaf's addition.  All arrays have shape (nodes,).

    feature: -1 at a leaf.  left, right: numbers of nodes.  roots: shape (trees,).
    """

    base: float
    feature: NDArray[np.int16]
    threshold: Array
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Array
    roots: NDArray[np.int32]
    depth: int

    def predict(self, rows: Array) -> Array:
        """Shape (rows,)."""
        at = np.broadcast_to(self.roots, (len(rows), len(self.roots))).copy()
        which = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            feature = self.feature[at]
            inside = feature >= 0
            lower = rows[which, feature] <= self.threshold[at]
            at = np.where(inside, np.where(lower, self.left[at], self.right[at]), at)
        total: Array = self.base + self.value[at].sum(axis=1)
        return total


@dataclass(frozen=True)
class Nets:
    """Small nets with two hidden layers, averaged; on standardised features.

    centre, scale: shape (features,).  weights and biases a layer: shapes (nets, in, out) and
    (nets, 1, out).  mean, spread: of what is predicted.
    """

    centre: Array
    scale: Array
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    mean: float
    spread: float

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """The mean of the nets and their standard deviation, shape (rows,) each."""
        hidden = np.broadcast_to(
            (rows - self.centre) / self.scale, (len(self.weights[0]), *rows.shape)
        )
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias
            if number < last:
                hidden = hidden / (1 + np.exp(-np.clip(hidden, -60, 60)))
        outputs: Array = self.mean + self.spread * hidden[..., 0]
        return outputs.mean(axis=0), outputs.std(axis=0)


@dataclass(frozen=True)
class Regression:
    """One quantity, on its own scale: the mean of trees and nets, within what was measured.

    caution: how many standard deviations of the nets are added.  Where no network was trained they
    differ, and some place there would look better than any that was: its lowest value is what a
    search finds.
    """

    trees: Trees
    nets: Nets
    low: float
    high: float
    caution: float = 0.0

    def predict(self, rows: Array) -> Array:
        """Shape (rows,)."""
        mean, spread = self.nets.predict(rows)
        both = (self.trees.predict(rows) + mean) / 2 + self.caution * spread
        # softly, so that no two networks are alike only because both lie below
        floored = self.low + SOFT * np.logaddexp(0.0, (both - self.low) / SOFT)
        return np.round(np.minimum(floored, self.high), DIGITS)

    def arrays(self, prefix: str) -> dict[str, Any]:
        """All of it, by name."""
        trees, nets = self.trees, self.nets
        found: dict[str, Any] = {
            "numbers": np.array(
                [trees.base, nets.mean, nets.spread, self.low, self.high, self.caution]
            ),
            "depth": np.array(trees.depth),
            "feature": trees.feature,
            # thresholds stay in double precision: a feature may lie exactly on one
            "threshold": trees.threshold,
            "left": trees.left,
            "right": trees.right,
            "value": trees.value.astype(np.float32),
            "roots": trees.roots,
            "centre": nets.centre,
            "scale": nets.scale,
        }
        for number, (weight, bias) in enumerate(zip(nets.weights, nets.biases, strict=True)):
            found[f"weight{number}"] = weight.astype(np.float32)
            found[f"bias{number}"] = bias.astype(np.float32)
        return {f"{prefix}_{name}": array for name, array in found.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], prefix: str) -> Regression:
        """What `arrays` gave."""
        kept = {
            name.removeprefix(f"{prefix}_"): arrays[name]
            for name in arrays
            if name.startswith(f"{prefix}_")
        }
        base, mean, spread, low, high, caution = map(float, kept["numbers"])
        layers = sum(name.startswith("weight") for name in kept)
        return cls(
            Trees(
                base,
                kept["feature"],
                kept["threshold"],
                kept["left"],
                kept["right"],
                kept["value"].astype(float),
                kept["roots"],
                int(kept["depth"]),
            ),
            Nets(
                kept["centre"],
                kept["scale"],
                tuple(kept[f"weight{n}"].astype(float) for n in range(layers)),
                tuple(kept[f"bias{n}"].astype(float) for n in range(layers)),
                mean,
                spread,
            ),
            low,
            high,
            caution,
        )
