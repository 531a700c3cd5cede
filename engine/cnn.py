"""The space of convolutional networks: four levels; shapes, parameters and MACs by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from ..sessions.records import Config, Measure, Session
from .space import (
    Categorical,
    Domain,
    Integer,
    InvalidConfig,
    Parameter,
    Real,
    Space,
    entry_name,
)

LEVELS = ("structure", "parameters", "classifier", "training")
FLAT = ("all",)
"""The one level of a session that searches all parameters at once."""
NONE, STRIDE, POOL = "none", "stride", "pool"
GROWTH = 2
"""Sampling lets a layer have one to this many times the channels of the layer before."""
FIRST_CHANNELS = 64
"""Sampling gives the first layer at most this many channels."""


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
    found = _downsampling(config, shape) + _divisibility(config, shape[0])
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


def _map_sizes(downsample: Sequence[str], shape: tuple[int, int, int]) -> list[int]:
    """The longer side of the map before each layer, and after the last."""
    sizes = [max(shape[1:])]
    for entry in downsample:
        sizes.append(sizes[-1] if entry == NONE else -(-sizes[-1] // 2))
    return sizes


def _downsampling(config: Config, shape: tuple[int, int, int]) -> list[str]:
    downsample: list[str] = config["downsample"]
    sizes = _map_sizes(downsample, shape)
    return [
        f"{entry_name('downsample', i)} = {entry}: the map is 1 x 1 there, nothing is left to "
        "downsample. Set it to none, or downsample less before it."
        for i, entry in enumerate(downsample)
        if entry != NONE and sizes[i] == 1
    ]


def _divisibility(config: Config, channels_in: int) -> list[str]:
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


# -- guides: where sampling draws from ----------------------------------------------------------


def _guide_channels(domain: Domain, config: Config, index: int) -> Domain:
    assert isinstance(domain, Integer)
    if index == 0:
        return domain.restrict(domain.low, FIRST_CHANNELS)
    before = config["channels"][index - 1]
    return domain.restrict(before, GROWTH * before)


def _guide_downsample(
    shape: tuple[int, int, int], domain: Domain, config: Config, index: int
) -> Domain:
    assert isinstance(domain, Categorical)
    before: list[str] = config["downsample"][:index]
    if _map_sizes(before, shape)[-1] > 1:
        return domain
    return Categorical((NONE,))


def _guide_groups(domain: Domain, config: Config, index: int) -> Domain:
    assert isinstance(domain, Categorical)
    if index == 0:
        return replace(domain, choices=(1,))
    channels: list[int] = config["channels"]
    return domain.keep(
        lambda g: channels[index - 1] % int(g) == 0 and channels[index] % int(g) == 0, 1
    )


# -- the space ----------------------------------------------------------------------------------


def reference(shape: tuple[int, int, int], classes: int) -> Config:
    """The network that every cost is measured against: the session's trial 0.

    Four convolutions 16-32-32-64, kernel 3, batch norm, max-pooling after the second and the
    fourth (where the map is still larger than 1 x 1), one dense layer, default training.
    """
    downsample = [NONE, POOL, NONE, POOL]
    sizes = _map_sizes(downsample, shape)
    fitted = [NONE if size == 1 else entry for entry, size in zip(downsample, sizes, strict=False)]
    return {
        "conv_layers": 4,
        "channels": [16, 32, 32, 64],
        "downsample": [*fitted],
        "kernel": [3] * 4,
        "batch_norm": [True] * 4,
        "groups": [1] * 4,
        "classifier_layers": 1,
        "hidden_units": [],
        "density": [1.0],
        "weight_decay": 0.0,
        "learning_rate": 1e-3,
        "lr_decay": 1.0,
        "batch_size": 128,
    }


_STRUCTURE = (
    "conv_layers",
    "channels",
    "downsample",
    "kernel",
    "batch_norm",
    "groups",
    "hidden_units",
    "density",
)
"""What shapes, parameters and MACs depend on."""


def space(
    shape: tuple[int, int, int],
    classes: int,
    *,
    features: int = 4,
    macs_cap: float = 8.0,
    domains: Mapping[str, str] | None = None,
) -> Space:
    """The four levels for images of `shape` (channels, height, width) and `classes` classes.

    macs_cap: what is above this many times the reference's MACs is not proposed.  domains:
    narrowed or widened domains as text.  Raises InvalidDomain.
    """
    conv, dense = "conv_layers", "classifier_layers"
    base = reference(shape, classes)
    limit = macs_cap * network(base, shape, classes, features).macs

    @lru_cache(maxsize=4096)
    def laid(*structure: Any) -> Network:
        return network(dict(zip(_STRUCTURE, structure, strict=True)), shape, classes, features)

    def layout(config: Config) -> Network:
        # a ranking asks three times for each of thousands of networks, many of them alike
        values = (config[name] for name in _STRUCTURE)
        return laid(*(tuple(value) if isinstance(value, list) else value for value in values))

    def canonical(config: Config) -> object:
        # two densities that keep the same connections are one network
        degrees = [layer.in_degree for layer in layout(config).dense]
        return {**config, "density": degrees}

    def known(config: Config) -> Mapping[str, float]:
        laid = layout(config)
        return {"params": float(laid.params), "macs": float(laid.macs)}

    parameters = (
        Parameter(conv, 1, Integer(2, 8), 4, limits=Integer(1, 16)),
        Parameter(
            "channels",
            1,
            Integer(8, 512, log=True, step=8),
            32,
            length=conv,
            limits=Integer(1, 4096),
            guide=_guide_channels,
        ),
        Parameter(
            "downsample",
            1,
            Categorical((NONE, STRIDE, POOL)),
            NONE,
            length=conv,
            guide=partial(_guide_downsample, shape),
        ),
        Parameter(
            "kernel",
            2,
            Categorical((1, 3, 5, 7), ordered=True),
            3,
            length=conv,
            limits=Integer(1, 15, step=2),
        ),
        Parameter("batch_norm", 2, Categorical((True, False)), True, length=conv),
        Parameter(
            "groups",
            2,
            Categorical((1, 2, 4, 8), ordered=True),
            1,
            length=conv,
            limits=Integer(1, 4096),
            guide=_guide_groups,
        ),
        Parameter(dense, 3, Integer(1, 3), 1, limits=Integer(1, 6)),
        Parameter(
            "hidden_units",
            3,
            Integer(16, 512, log=True),
            64,
            length=dense,
            offset=-1,
            limits=Integer(1, 65536),
        ),
        Parameter(
            "density",
            3,
            Real(0.05, 1.0, log=True),
            1.0,
            length=dense,
            limits=Real(1e-4, 1.0),
        ),
        Parameter("weight_decay", 3, Real(1e-6, 1e-1, log=True, zero=True), 0.0, limits=Real(0, 1)),
        Parameter("learning_rate", 4, Real(1e-4, 1e-1, log=True), 1e-3, limits=Real(1e-8, 10)),
        Parameter("lr_decay", 4, Real(0.9, 1.0), 1.0, limits=Real(1e-3, 1)),
        Parameter("batch_size", 4, Integer(32, 512, log=True), 128, limits=Integer(1, 65536)),
    )
    whole = Space(
        levels=LEVELS,
        parameters=parameters,
        rules=(lambda c: _downsampling(c, shape), lambda c: _divisibility(c, shape[0])),
        canonical=canonical,
        known=known,
        proposable=lambda config: layout(config).macs <= limit,
        reference=base,
    )
    return whole.narrowed(domains or {})


def session_space(session: Session) -> Space:
    """The space of a session: its images, its feature map, its cap and its domains.

    The same object for the same settings, so that whoever asks again pays nothing and always has
    the domains as they are.  Raises InvalidDomain.
    """
    summary = session.summary
    domains = tuple(sorted(session.domains.items()))
    return _kept_space(summary.shape, summary.classes, session.features, session.macs_cap, domains)


@lru_cache(maxsize=16)
def _kept_space(
    shape: tuple[int, int, int],
    classes: int,
    features: int,
    macs_cap: float,
    domains: tuple[tuple[str, str], ...],
) -> Space:
    return space(shape, classes, features=features, macs_cap=macs_cap, domains=dict(domains))


def exact_complexity(whole: Space, config: Config, measure: Measure) -> float | None:
    """f_c where arithmetic knows it: `params` or `macs` over the reference's; None for seconds."""
    if measure == "seconds":
        return None
    assert whole.known is not None
    assert whole.reference is not None
    return whole.known(config)[measure] / whole.known(whole.reference)[measure]
