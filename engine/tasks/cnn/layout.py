"""A convolutional network as it is built: layers, shapes, parameters and MACs by arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ....sessions.records import Config
from ..space import InvalidConfig, entry_name

NONE, STRIDE, POOL = "none", "stride", "pool"
BYTES = {"float32": 4, "int8": 1}
"""Of a weight and of an activation, by the type that a network is deployed in."""
BIAS_BYTES = 4
"""Of a bias: beside int8 weights it is an int32."""


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

    @property
    def weights(self) -> int:
        """Without what batch norm or a bias has."""
        return self.kernel**2 * (self.channels_in // self.groups) * self.channels_out

    @property
    def map_inside(self) -> tuple[int, int]:
        """Height and width before the pool, if there is one."""
        return -(-self.height_in // self.stride), -(-self.width_in // self.stride)


@dataclass(frozen=True)
class DenseLayer:
    """One classifier layer.  in_degree: connections that each of its outputs keeps."""

    inputs: int
    outputs: int
    in_degree: int
    params: int
    macs: int

    def deployed_bytes(self, each: int) -> int:
        """Of its weights, `each` bytes one: those that it keeps, each with the number of its input
        in as many whole bytes as that takes, or all of them with zeros, whichever is less.
        """
        kept = self.in_degree * self.outputs
        index = 1 if self.inputs <= 1 << 8 else 2 if self.inputs <= 1 << 16 else 4
        return min(self.inputs * self.outputs * each, kept * (each + index))


@dataclass(frozen=True)
class Network:
    """A network as it is built.

    shape: channels, height, width of an image.  pooled: height and width of the map the classifier
    sees.  deployed: the type of its weights and activations where it is used, a key of `BYTES`.
    """

    shape: tuple[int, int, int]
    convolutions: tuple[ConvLayer, ...]
    pooled: tuple[int, int]
    dense: tuple[DenseLayer, ...]
    params: int
    macs: int
    deployed: str

    @property
    def size(self) -> int:
        """Bytes of its weights as they are deployed: batch norm folded into its convolution, which
        then has a bias; sparse layers by what they keep.
        """
        each = BYTES[self.deployed]
        weights = sum(layer.weights for layer in self.convolutions) * each
        weights += sum(layer.deployed_bytes(each) for layer in self.dense)
        biases = sum(layer.channels_out for layer in self.convolutions)
        return weights + BIAS_BYTES * (biases + sum(layer.outputs for layer in self.dense))

    @property
    def activations(self) -> int:
        """Bytes alive at the peak of inference of one image: the most that a step reads and writes.

        Steps are convolutions with their batch norm, pools and classifier layers; ReLU works in
        place.  Nothing else is alive meanwhile: there are no shortcuts.
        """
        return BYTES[self.deployed] * max(read + written for read, written in self._steps())

    def _steps(self) -> Iterator[tuple[int, int]]:
        channels, height, width = self.shape
        alive = channels * height * width
        for layer in self.convolutions:
            inside = layer.channels_out * layer.map_inside[0] * layer.map_inside[1]
            yield alive, inside
            alive = layer.channels_out * layer.height_out * layer.width_out
            if layer.pool:
                yield inside, alive
        last = self.convolutions[-1]
        if (last.height_out, last.width_out) != self.pooled:
            yield alive, last.channels_out * self.pooled[0] * self.pooled[1]
        for dense in self.dense:
            yield dense.inputs, dense.outputs


def in_degree(density: float, inputs: int) -> int:
    """Connections of each output of a layer of this density: at least one."""
    return max(1, round(density * inputs))


def network(
    config: Config,
    shape: tuple[int, int, int],
    classes: int,
    features: int = 4,
    deployed: str = "float32",
) -> Network:
    """Lay out a valid configuration for images of `shape` (channels, height, width).

    features: pixels a side of the map that the classifier sees, at most.  deployed: see `Network`.
    Raises InvalidConfig where groups do not divide channels or nothing is left to downsample.
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
        shape,
        tuple(convolutions),
        pooled,
        tuple(dense),
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
        deployed=deployed,
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
