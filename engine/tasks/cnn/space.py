"""The space of convolutional networks: four levels; shapes, parameters and MACs by arithmetic."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ....sessions.records import Config, Scalar
from ..domains import Categorical, Domain, Integer, Real
from ..parameter import Parameter
from ..space import Space
from . import traits
from .layout import (
    HARDSWISH,
    NEUTRAL,
    NONE,
    PLAIN,
    POOL,
    RELU,
    RULES,
    SEPARABLE,
    SILU,
    STRIDE,
    added_channels,
    map_sizes,
    network,
)
from .measures import MEASURES
from .training import EXPONENTIAL, ONE_CYCLE, OPTIMISERS, SCHEDULES, SGD, SGD_RATES, TRAINING
from .traits import About
from .work import KINDS, Work, work

if TYPE_CHECKING:
    from .layout import Network


LEVELS = ("structure", "parameters", "classifier", "training")
POSTER = (
    "conv_layers",
    "channels",
    "downsample",
    "kernel",
    "batch_norm",
    "groups",
    "classifier_layers",
    "hidden_units",
    "density",
    "weight_decay",
    "learning_rate",
    "lr_decay",
    "batch_size",
)
"""The poster's parameters: the others stand at their neutral values where these alone are awake."""
CORE = (*POSTER, "shortcut", "schedule")
"""Those, and the two of the others that are worth most: few enough for few trials."""
FULL = "full"
"""The name of the space with all parameters."""
BEGINS: dict[str, Scalar] = {"schedule": ONE_CYCLE, "learning_rate": 1e-2}
"""How networks of these two spaces are trained until level 4 is searched."""
GROWTH = 2
"""Sampling lets a layer have one to this many times the channels of the layer before."""
FIRST_CHANNELS = 64
"""Sampling gives the first layer at most this many channels."""


def _guide_channels(domain: Domain, config: Config, index: int) -> Domain:
    assert isinstance(domain, Integer)
    if index == 0:
        return _within(domain, domain.low, FIRST_CHANNELS)
    before = config["channels"][index - 1]
    return _within(domain, before, GROWTH * before)


@lru_cache(maxsize=8192)
def _within(domain: Integer, low: int, high: int) -> Integer:
    # a ranking asks for the same few thousands of times
    return domain.restrict(low, high)


def _guide_downsample(
    shape: tuple[int, int, int], domain: Domain, config: Config, index: int
) -> Domain:
    assert isinstance(domain, Categorical)
    before: list[str] = config["downsample"][:index]
    if map_sizes(before, shape)[-1] > 1:
        return domain
    return Categorical((NONE,))


def _guide_shortcut(
    shape: tuple[int, int, int], domain: Domain, config: Config, index: int
) -> Domain:
    assert isinstance(domain, Categorical)
    channels: list[int] = config["channels"]
    if index and channels[index] >= added_channels(channels, index, shape):
        return domain
    return Categorical((False,))


def _guide_conv(domain: Domain, config: Config, index: int) -> Domain:
    return domain if index else Categorical((PLAIN,))


def _guide_groups(domain: Domain, config: Config, index: int) -> Domain:
    assert isinstance(domain, Categorical)
    if index == 0:
        return replace(domain, choices=(1,))
    channels: list[int] = config["channels"]
    return _dividing(domain, channels[index - 1], channels[index])


@lru_cache(maxsize=8192)
def _dividing(domain: Categorical, before: int, after: int) -> Categorical:
    """The choices that divide both."""
    return domain.keep(lambda groups: before % int(groups) == 0 and after % int(groups) == 0, 1)


def reference(shape: tuple[int, int, int], classes: int) -> Config:
    """The network that every cost is measured against: the session's trial 0.

    Four convolutions 16-32-32-64, kernel 3, batch norm, max-pooling after the second and the
    fourth (where the map is still larger than 1 x 1), one dense layer, default training.
    """
    downsample = [NONE, POOL, NONE, POOL]
    sizes = map_sizes(downsample, shape)
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
        **TRAINING,
    }


def space(
    shape: tuple[int, int, int],
    classes: int,
    *,
    features: int = 4,
    macs_cap: float | None = 8.0,
    weights: str = "float32",
    images: int = 1000,
    epochs: int = 10,
    domains: Mapping[str, str] | None = None,
    parameters: Collection[str] | None = None,
) -> Space:
    """The four levels for images of `shape` (channels, height, width) and `classes` classes.

    macs_cap: what is above this many times the reference's MACs is not proposed; None: no cap.
    weights: the type that networks are deployed in, which their bytes depend on.
    images, epochs: that they are trained on, and for how long: their traits say it.
    domains: narrowed or widened domains as text.  parameters: those that are awake, with these and
    with those that were there from the beginning; None: all.  Raises InvalidDomain.
    """
    conv, dense = "conv_layers", "classifier_layers"
    base = reference(shape, classes)
    cap = None if macs_cap is None else macs_cap * network(base, shape, classes, features).macs

    @lru_cache(maxsize=4096)
    def laid(*structure: Any) -> Network:
        config = {
            name: value for name, value in zip(names, structure, strict=True) if value is not None
        }
        return network(config, shape, classes, features, weights)

    def chosen_of(config: Config) -> tuple[Any, ...]:
        values = (config.get(name) for name in names)
        return tuple(tuple(value) if isinstance(value, list) else value for value in values)

    def layout(config: Config) -> Network:
        # a ranking asks three times for each of thousands of networks, many of them alike
        return laid(*chosen_of(config))

    beside, about = network(base, shape, classes, features), About(images, epochs)

    @lru_cache(maxsize=4096)
    def described(*structure: Any) -> tuple[Work, tuple[float, ...]]:
        # of structures, too, a ranking asks again and again
        return work(laid(*structure)), traits.structure(laid(*structure), beside)

    def done(config: Config) -> tuple[float, ...]:
        steps = math.ceil(images / config["batch_size"]) / images
        return described(*chosen_of(config))[0].of_image(steps)

    def told(config: Config) -> tuple[float, ...]:
        ratio = SGD_RATES if config["optimiser"] == SGD else 1.0
        return described(*chosen_of(config))[1] + traits.recipe(config, ratio, about)

    def canonical(config: Config) -> object:
        # two densities that keep the same connections are one network
        degrees = [layer.in_degree for layer in layout(config).dense]
        return {**config, "density": degrees}

    def chosen(name: str, level: int, *choices: str | bool, **settings: Any) -> Parameter:
        default = NEUTRAL[name]
        return Parameter(name, level, Categorical(choices), default, neutral=default, **settings)

    def trained(name: str, level: int, domain: Domain, **settings: Any) -> Parameter:
        return Parameter(name, level, domain, TRAINING[name], **settings)

    def younger(name: str, level: int, domain: Domain, **settings: Any) -> Parameter:
        return trained(name, level, domain, neutral=TRAINING[name], **settings)

    entries = (
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
        chosen("shortcut", 1, False, True, length=conv, guide=partial(_guide_shortcut, shape)),
        Parameter(
            "kernel",
            2,
            Categorical((1, 3, 5, 7), ordered=True),
            3,
            length=conv,
            limits=Integer(1, 15, step=2),
        ),
        Parameter("batch_norm", 2, Categorical((True, False)), True, length=conv),
        chosen("conv", 2, PLAIN, SEPARABLE, length=conv, guide=_guide_conv),
        Parameter(
            "groups",
            2,
            Categorical((1, 2, 4, 8), ordered=True),
            1,
            length=conv,
            limits=Integer(1, 4096),
            guide=_guide_groups,
            when=("conv", PLAIN),
        ),
        chosen("activation", 2, RELU, SILU, HARDSWISH),
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
        trained("weight_decay", 3, Real(1e-6, 1e-1, log=True, zero=True), limits=Real(0, 1)),
        younger("dropout", 3, Real(0.0, 0.5)),
        younger("schedule", 4, Categorical(SCHEDULES), paces=True),
        younger("optimiser", 4, Categorical(OPTIMISERS)),
        trained(
            "learning_rate",
            4,
            Real(1e-4, 1e-1, log=True),
            limits=Real(1e-8, 10),
            ratios=("optimiser", {SGD: SGD_RATES}),
        ),
        trained(
            "lr_decay",
            4,
            Real(0.9, 1.0),
            limits=Real(1e-3, 1),
            when=("schedule", EXPONENTIAL),
        ),
        trained("batch_size", 4, Integer(32, 512, log=True), limits=Integer(1, 65536)),
        younger("label_smoothing", 4, Real(0.0, 0.2)),
    )
    # what shapes, parameters and MACs can depend on
    names = tuple(p.name for p in entries if p.name not in TRAINING)
    whole = Space(
        levels=LEVELS,
        parameters=entries,
        rules=tuple(partial(rule, shape=shape) for rule in RULES),
        canonical=canonical,
        layout=layout,
        measures=MEASURES,
        proposable=None if cap is None else lambda config: layout(config).macs <= cap,
        reference=base,
        work=done,
        # it is timed in whole batches alone
        work_beside=work(beside).of_image(1 / min(base["batch_size"], images)),
        kinds=KINDS,
        traits=told,
        trait_names=traits.TRAITS,
    )
    if parameters is not None:
        whole = whole.waking(parameters)
    return whole.narrowed(domains or {})
