"""A convolutional network as it is built: layers, shapes, parameters and MACs by arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....sessions.records import Config
from ..space import InvalidConfig, entry_name

NONE, STRIDE, POOL = "none", "stride", "pool"


@dataclass(frozen=True)
class ConvLayer:
    """One convolution as it is built: convolution, batch norm if chosen, ReLU, pool if chosen.

    stride: 2 where `downsample` says stride.  height_out, width_out: after stride and pool, odd
    sizes rounded up.  params: weights, and biases or the two numbers a channel of batch norm.
    macs: multiply-accumulates of one image.
    """

    channels_in: int
    channels_out: int
    kernel: int
    groups: int
    batch_norm: bool
    stride: int
    pool: bool
    height_in: int
    width_in: int
    height_out: int
    width_out: int
    params: int
    macs: int


@dataclass(frozen=True)
class DenseLayer:
    """One classifier layer.  in_degree: connections that each of its outputs keeps."""

    inputs: int
    outputs: int
    in_degree: int
    params: int
    macs: int


@dataclass(frozen=True)
class Network:
    """A network as it is built.  pooled: height and width of the map the classifier sees."""

    convolutions: tuple[ConvLayer, ...]
    pooled: tuple[int, int]
    dense: tuple[DenseLayer, ...]
    params: int
    macs: int


def in_degree(density: float, inputs: int) -> int:
    """Connections of each output of a layer of this density: at least one."""
    return max(1, round(density * inputs))


def network(
    config: Config, shape: tuple[int, int, int], classes: int, features: int = 4
) -> Network:
    """Lay out a valid configuration for images of `shape` (channels, height, width).

    features: pixels a side of the map that the classifier sees, at most.  Raises InvalidConfig
    where groups do not divide channels or nothing is left to downsample.
    """
    found = downsampled_too_far(config, shape) + undivided(config)
    if found:
        raise InvalidConfig(found)
    channels, height, width = shape
    convolutions: list[ConvLayer] = []
    for index in range(int(config["conv_layers"])):
        layer = _convolution(config, index, channels, height, width)
        convolutions.append(layer)
        channels, height, width = layer.channels_out, layer.height_out, layer.width_out
    pooled = min(height, features), min(width, features)
    inputs = channels * pooled[0] * pooled[1]
    hidden: list[int] = config["hidden_units"]
    densities: list[float] = config["density"]
    dense: list[DenseLayer] = []
    for outputs, density in zip([*hidden, classes], densities, strict=True):
        degree = in_degree(density, inputs)
        dense.append(
            DenseLayer(inputs, outputs, degree, degree * outputs + outputs, degree * outputs)
        )
        inputs = outputs
    layers: list[ConvLayer | DenseLayer] = [*convolutions, *dense]
    return Network(
        tuple(convolutions),
        pooled,
        tuple(dense),
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
    )


def _convolution(config: Config, index: int, channels: int, height: int, width: int) -> ConvLayer:
    out, kernel, groups, batch_norm, downsample = (
        config[name][index] for name in ("channels", "kernel", "groups", "batch_norm", "downsample")
    )
    stride = 2 if downsample == STRIDE else 1
    after = -(-height // stride), -(-width // stride)
    weights = kernel * kernel * (channels // groups) * out
    pool = downsample == POOL
    return ConvLayer(
        channels_in=channels,
        channels_out=out,
        kernel=kernel,
        groups=groups,
        batch_norm=bool(batch_norm),
        stride=stride,
        pool=pool,
        height_in=height,
        width_in=width,
        height_out=-(-after[0] // 2) if pool else after[0],
        width_out=-(-after[1] // 2) if pool else after[1],
        params=weights + (2 * out if batch_norm else out),
        macs=weights * after[0] * after[1],
    )


def map_sizes(downsample: Sequence[str], shape: tuple[int, int, int]) -> list[int]:
    """The longer side of the map before each layer, and after the last."""
    sizes = [max(shape[1:])]
    for entry in downsample:
        sizes.append(sizes[-1] if entry == NONE else -(-sizes[-1] // 2))
    return sizes


def downsampled_too_far(config: Config, shape: tuple[int, int, int]) -> list[str]:
    downsample: list[str] = config["downsample"]
    sizes = map_sizes(downsample, shape)
    return [
        f"{entry_name('downsample', i)} = {entry}: the map is 1 x 1 there, nothing is left to "
        "downsample. Set it to none, or downsample less before it."
        for i, entry in enumerate(downsample)
        if entry != NONE and sizes[i] == 1
    ]


def undivided(config: Config) -> list[str]:
    groups: list[int] = config["groups"]
    channels: list[int] = config["channels"]
    found: list[str] = []
    for index, count in enumerate(groups):
        if index == 0:
            if count != 1:
                found.append(
                    f"{entry_name('groups', 0)} = {count}: the first layer sees the image whole. "
                    "Set it to 1."
                )
            continue
        for at in (index - 1, index):
            if channels[at] % count:
                below = channels[at] // count * count
                use = f"{below} or {below + count}" if below else f"{count}"
                fits = [g for g in (1, 2, 4, 8) if channels[at] % g == 0]
                wide, split = entry_name("channels", at), entry_name("groups", index)
                found.append(
                    f"{wide} = {channels[at]}: not divisible by {split} = {count}. "
                    f"Use {use} channels, or set {split} to {_alternatives(fits)}."
                )
    return found


def _alternatives(values: Sequence[int]) -> str:
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
