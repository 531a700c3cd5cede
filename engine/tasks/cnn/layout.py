"""A convolutional network as it is built: layers, shapes, parameters and MACs by arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ....sessions.records import Config
from ..parameter import entry_name
from ..space import InvalidConfig

NONE, STRIDE, POOL = "none", "stride", "pool"
PLAIN, SEPARABLE = "plain", "separable"
RELU, SILU, HARDSWISH = ACTIVATIONS = ("relu", "silu", "hardswish")
NEUTRAL: dict[str, Any] = {"shortcut": False, "conv": PLAIN, "activation": RELU}
"""What a network is that says nothing of these: as all were before there were they."""
BYTES = {"float32": 4, "int8": 1}
"""Of a weight and of an activation, by the type that a network is deployed in."""
BIAS_BYTES = 4
"""Of a bias: beside int8 weights it is an int32."""


@dataclass(frozen=True)
class Convolution:
    """One convolution, padded so that the map keeps its size at stride 1.

    depthwise: whether it is the first of a separable layer, each channel by itself.
    """

    channels_in: int
    channels_out: int
    kernel: int
    groups: int
    stride: int
    depthwise: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of its weights: channels out, channels in of a group, kernel, kernel."""
        return self.channels_out, self.channels_in // self.groups, self.kernel, self.kernel


@dataclass(frozen=True)
class Norm:
    """Batch norm of so many channels."""

    channels: int


@dataclass(frozen=True)
class Shortcut:
    """The input of the layer before, added to what a layer's convolutions give.

    channels, height, width: of that map.  window: height and width of the pieces of it that are
    averaged where the layer's map is smaller, one beside another from the upper left corner; those
    at the other edges are cut off where the map ends.  missing: channels of zeros behind its own.
    """

    channels: int
    height: int
    width: int
    window: tuple[int, int]
    missing: int

    @property
    def numbers(self) -> int:
        """Of the map that is held until the addition."""
        return self.channels * self.height * self.width


Step = Convolution | Norm | Shortcut | Literal["activation", "pool"]
"""What a convolutional layer does one after another, as the built network has its modules."""


@dataclass(frozen=True)
class ConvLayer:
    """One convolutional layer: convolution, batch norm if chosen, shortcut if chosen, activation,
    pool if chosen.

    separable: a depthwise convolution (with stride, batch norm and activation of its own), then one
    of 1 x 1; `groups` is then 1 and counts nothing.  stride: 2 where `downsample` says stride.
    height_out, width_out: after stride and pool, odd sizes rounded up.
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
    separable: bool = False
    shortcut: Shortcut | None = None
    activation: str = RELU

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Its one convolution, or the two that a separable layer has."""
        into, out = self.channels_in, self.channels_out
        if not self.separable:
            return (Convolution(into, out, self.kernel, self.groups, self.stride),)
        return (
            Convolution(into, into, self.kernel, into, self.stride, depthwise=True),
            Convolution(into, out, 1, 1, 1),
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """What it does, in order.

        The largest of four, then its positive part, is the same numbers and gradients as the other
        way round, on a quarter of the elements: ReLU comes after the pool.  The others are not
        monotonic, and come before it.
        """
        found: list[Step] = []
        for convolution in self.convolutions:
            if found:
                found.append("activation")
            found.append(convolution)
            if self.batch_norm:
                found.append(Norm(convolution.channels_out))
        if self.shortcut is not None:
            found.append(self.shortcut)
        found.append("activation")
        if self.pool:
            found.insert(len(found) - (self.activation == RELU), "pool")
        return tuple(found)

    @property
    def weights(self) -> int:
        """Without what batch norm or a bias has."""
        if self.separable:
            return self.channels_in * (self.kernel**2 + self.channels_out)
        return self.kernel**2 * (self.channels_in // self.groups) * self.channels_out

    @property
    def biases(self) -> int:
        """Those of its convolutions, or the channels of their batch norm."""
        return self.channels_out + (self.channels_in if self.separable else 0)

    @property
    def params(self) -> int:
        """Weights, and biases or the two numbers a channel of batch norm."""
        return self.weights + self.biases * (2 if self.batch_norm else 1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image; an addition is none."""
        height, width = self.map_inside
        return self.weights * height * width

    @property
    def map_inside(self) -> tuple[int, int]:
        """Height and width before the pool, if there is one."""
        return -(-self.height_in // self.stride), -(-self.width_in // self.stride)

    @property
    def shape_in(self) -> tuple[int, int, int]:
        """Of the map that it reads: channels, height, width."""
        return self.channels_in, self.height_in, self.width_in


@dataclass(frozen=True)
class DenseLayer:
    """One classifier layer.  in_degree: connections that each of its outputs keeps."""

    inputs: int
    outputs: int
    in_degree: int
    params: int
    macs: int

    @property
    def index_bytes(self) -> int:
        """Whole bytes that the number of an input takes."""
        return 1 if self.inputs <= 1 << 8 else 2 if self.inputs <= 1 << 16 else 4

    def deployed_bytes(self, each: int) -> int:
        """Of its weights, `each` bytes one: those that it keeps, each with the number of its input,
        or all of them with zeros, whichever is less.
        """
        kept = self.in_degree * self.outputs
        return min(self.inputs * self.outputs * each, kept * (each + self.index_bytes))


@dataclass(frozen=True)
class Network:
    """A network as it is built.

    shape: channels, height, width of an image.  pooled: height and width of the map the classifier
    sees.  deployed: the type of its weights and activations where it is used, a key of `BYTES`.
    activation: what stands behind every layer but the last.
    """

    shape: tuple[int, int, int]
    convolutions: tuple[ConvLayer, ...]
    pooled: tuple[int, int]
    dense: tuple[DenseLayer, ...]
    params: int
    macs: int
    deployed: str
    activation: str = RELU

    @property
    def size(self) -> int:
        """Bytes of its weights as they are deployed: batch norm folded into its convolution, which
        then has a bias; sparse layers by what they keep.
        """
        each = BYTES[self.deployed]
        weights = sum(layer.weights for layer in self.convolutions) * each
        weights += sum(layer.deployed_bytes(each) for layer in self.dense)
        biases = sum(layer.biases for layer in self.convolutions)
        return weights + BIAS_BYTES * (biases + sum(layer.outputs for layer in self.dense))

    @property
    def activations(self) -> int:
        """Bytes alive at the peak of inference of one image: the most that a step reads, writes,
        and holds for a shortcut meanwhile.

        Steps are convolutions with their batch norm, pools and classifier layers; activations and
        the addition of a shortcut work in place.
        """
        return BYTES[self.deployed] * max(self._alive())

    def _alive(self) -> Iterator[int]:
        """Numbers alive in each step."""
        channels, height, width = self.shape
        read = channels * height * width
        following = [*(layer.shortcut for layer in self.convolutions[1:]), None]
        for layer, shortcut in zip(self.convolutions, following, strict=True):
            # of the layer before its input, until it is added; its own, for the layer that follows
            before = 0 if layer.shortcut is None else layer.shortcut.numbers
            own = 0 if shortcut is None else shortcut.numbers
            area = layer.map_inside[0] * layer.map_inside[1]
            inside = layer.channels_out * area
            if layer.separable:
                between = layer.channels_in * area
                yield before + read + between
                yield before + own + between + inside
            else:
                yield before + read + inside
            read = layer.channels_out * layer.height_out * layer.width_out
            if layer.pool:
                yield own + inside + read
        last = self.convolutions[-1]
        if (last.height_out, last.width_out) != self.pooled:
            yield read + last.channels_out * self.pooled[0] * self.pooled[1]
        for dense in self.dense:
            yield dense.inputs + dense.outputs


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
    Raises InvalidConfig where a rule of the space is broken: groups that do not divide channels,
    nothing left to downsample, a shortcut that cannot be.
    """
    config = _complete(config)
    found = [sentence for rule in RULES for sentence in rule(config, shape)]
    if found:
        raise InvalidConfig(found)
    channels, height, width = shape
    convolutions: list[ConvLayer] = []
    for index in range(int(config["conv_layers"])):
        before = convolutions[-1].shape_in if convolutions else None
        layer = _convolution(config, index, (channels, height, width), before)
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
        activation=config["activation"],
    )


def _complete(config: Config) -> Config:
    """With neutral values where it says nothing: the file of an older network is read so."""
    missing = {
        name: value if name == "activation" else [value] * int(config["conv_layers"])
        for name, value in NEUTRAL.items()
        if name not in config
    }
    return {**config, **missing} if missing else config


def _convolution(
    config: Config, index: int, shape: tuple[int, int, int], before: tuple[int, int, int] | None
) -> ConvLayer:
    """shape, before: of the maps that this layer and the one before it read."""
    channels, height, width = shape
    out, kernel, groups, batch_norm, downsample, conv, shortcut = (
        config[name][index]
        for name in (
            "channels",
            "kernel",
            "groups",
            "batch_norm",
            "downsample",
            "conv",
            "shortcut",
        )
    )
    stride = 2 if downsample == STRIDE else 1
    after = -(-height // stride), -(-width // stride)
    separable = conv == SEPARABLE
    pool = downsample == POOL
    return ConvLayer(
        channels_in=channels,
        channels_out=out,
        kernel=kernel,
        groups=1 if separable else groups,
        batch_norm=bool(batch_norm),
        stride=stride,
        pool=pool,
        height_in=height,
        width_in=width,
        height_out=-(-after[0] // 2) if pool else after[0],
        width_out=-(-after[1] // 2) if pool else after[1],
        separable=separable,
        shortcut=_shortcut(before, (out, *after)) if shortcut and before is not None else None,
        activation=config["activation"],
    )


def _shortcut(held: tuple[int, int, int], wanted: tuple[int, int, int]) -> Shortcut:
    """What makes a map of the shape `held` one of the shape `wanted`."""
    window = _window(held[1], wanted[1]), _window(held[2], wanted[2])
    return Shortcut(*held, window, wanted[0] - held[0])


def _window(size: int, wanted: int) -> int:
    """The side of the windows that so many of fit on a side, the last one cut off."""
    # two layers halve a side twice at most, odd ones rounded up
    window = next(side for side in (1, 2, 4) if -(-size // side) == wanted)
    return min(window, size)


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


def added_channels(channels: Sequence[int], index: int, shape: tuple[int, int, int]) -> int:
    """Channels of the map that a shortcut adds at a layer, the second or a later one."""
    return channels[index - 2] if index > 1 else shape[0]


def not_added(config: Config, shape: tuple[int, int, int]) -> list[str]:
    channels: list[int] = config["channels"]
    found: list[str] = []
    for index, chosen in enumerate(config["shortcut"]):
        name = entry_name("shortcut", index)
        if chosen and index == 0:
            found.append(f"{name} = yes: no layer is before the first one. Set it to no.")
        elif chosen and channels[index] < (added := added_channels(channels, index, shape)):
            found.append(
                f"{name} = yes: {entry_name('channels', index)} = {channels[index]} is fewer than "
                f"the {added} channels of what is added there, the input of the layer before. Use "
                f"{added} channels or more, or set {name} to no."
            )
    return found


def not_separated(config: Config, shape: tuple[int, int, int]) -> list[str]:
    if config["conv"][0] != SEPARABLE:
        return []
    name = entry_name("conv", 0)
    return [f"{name} = {SEPARABLE}: the first layer sees the image whole. Set it to {PLAIN}."]


def undivided(config: Config, shape: tuple[int, int, int]) -> list[str]:
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
        if config["conv"][index] == SEPARABLE:
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


RULES = (downsampled_too_far, not_added, not_separated, undivided)
"""(configuration with every parameter in its limits, shape of an image) -> sentences."""
