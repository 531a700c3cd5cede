"""How a convolutional network is written: in a line, by its levels, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...engine.tasks.cnn.layout import RELU, SEPARABLE
from ...engine.tasks.cnn.training import (
    ADAM,
    ADAMW,
    COSINE,
    EXPONENTIAL,
    ONE_CYCLE,
    SGD,
    TRAINING,
)
from ..format import improvement, number
from .writer import Layer

if TYPE_CHECKING:
    from ...engine.tasks.cnn.layout import Network
    from ...sessions.records import Config


SCHEDULE_MARKS = {EXPONENTIAL: "", COSINE: "cos", ONE_CYCLE: "1cyc"}
OPTIMISER_NAMES = {ADAM: "Adam", ADAMW: "AdamW", SGD: "SGD, Nesterov's momentum"}
SHORTCUT_MARK = "+"
DOWNSAMPLE_MARKS = {"none": "", "stride": "↓", "pool": "⇣"}


def writes(config: Config) -> bool:
    """Whether it is a convolutional network."""
    return {"channels", "downsample", "kernel"} <= config.keys()


def structure(config: Config, between: str = " · ") -> str:
    """The convolutions: channels, ↓ where stride halves the map, ⇣ where pooling does, + before
    those that a shortcut is added to.
    """
    channels = config["channels"]
    added = config.get("shortcut", [False] * len(channels))
    return between.join(
        f"{SHORTCUT_MARK if plus else ''}{count}{DOWNSAMPLE_MARKS.get(how, how)}"
        for count, how, plus in zip(channels, config["downsample"], added, strict=True)
    )


def _digits(values: Iterable[int]) -> str:
    listed = [str(value) for value in values]
    return ("" if all(len(word) == 1 for word in listed) else ",").join(listed)


def _bits(values: Iterable[bool]) -> str:
    return "".join("1" if value else "0" for value in values)


def parameters(config: Config) -> str:
    """Kernels, batch norm and, where any layer has them, groups and separable convolutions; an
    activation other than ReLU: `k335 b110 g122 s001 silu`.
    """
    words = [f"k{_digits(config['kernel'])}", f"b{_bits(config['batch_norm'])}"]
    if any(count != 1 for count in config["groups"]):
        words.append(f"g{_digits(config['groups'])}")
    separable = [conv == SEPARABLE for conv in config.get("conv", ())]
    if any(separable):
        words.append(f"s{_bits(separable)}")
    activation = config.get("activation", RELU)
    if activation != RELU:
        words.append(activation)
    return " ".join(words)


def classifier(config: Config) -> str:
    """Hidden units with the density of every layer, weight decay, and dropout where there is any:
    `64@.25 · @1  λ1.0e-4 d.2`.
    """
    units = [str(width) for width in config["hidden_units"]] + [""]
    layers = [
        f"{width}@{_short(density)}"
        for width, density in zip(units, config["density"], strict=True)
    ]
    dropped = f" d{_short(_trained(config, 'dropout'))}" if _trained(config, "dropout") else ""
    return f"c {' · '.join(layers)}  λ{improvement(config['weight_decay'])}{dropped}"


def recipe(config: Config) -> str:
    """Learning rate, its decay per epoch and batch size, rounded: `lr 4.4e-3 ×.992 B338`.

    What else there is where it is not the poster's: `sgd lr .1 cos B128 ls.1`.
    """
    optimiser, schedule = _trained(config, "optimiser"), _trained(config, "schedule")
    decay = f"{config['lr_decay']:.3f}".rstrip("0").rstrip(".").removeprefix("0")
    words = [] if optimiser == ADAM else [optimiser]
    rate: float = config["learning_rate"]
    short = optimiser == SGD and rate >= 0.01  # as a person writes it: lr .1
    words.append(f"lr {_short(rate) if short else improvement(rate)}")
    words.append(SCHEDULE_MARKS.get(schedule, schedule) or f"×{decay}")
    words.append(f"B{config['batch_size']}")
    if _trained(config, "label_smoothing"):
        words.append(f"ls{_short(_trained(config, 'label_smoothing'))}")
    return " ".join(words)


def _trained(config: Config, name: str) -> Any:
    """A value of training; the neutral one where a network of before does not have it."""
    return config.get(name, TRAINING[name])


def _short(value: float) -> str:
    text = f"{value:.2g}"
    return text[1:] if text.startswith("0.") else text


def line(config: Config, level: int | None = None, width: int | None = None) -> str:
    """One line for a network: `16 · 32↓ · 64⇣  k335 b110`.

    level: the level that is searched; what it searches is shown whole, and what the others fixed
    after it, if there is room.  None: all but what is at its default.  width: characters there
    are; where they are too few the separators go first, then what the level does not search.
    """
    for between in (" · ", "·"):
        shape = structure(config, between)
        if level == 1:
            line = shape
        elif level == 3:
            line = f"{classifier(config)}  {shape}"
        elif level == 4:
            line = f"{recipe(config)}  {shape}"
        else:
            line = f"{shape}  {parameters(config)}"
            if level is None:
                line += _unusual(config)
        if width is None or len(line) <= width:
            return line
    return f"{parameters(config)}  {shape}" if level == 2 else line


def whole(config: Config) -> list[str]:
    """All of a network as lines write it, nothing left out, however much room there is."""
    shapes = [structure(config, between) for between in (" · ", "·")]
    return [*shapes, parameters(config), classifier(config), recipe(config)]


def depth(config: Config) -> str:
    """`3 conv, 1 classifier`."""
    return f"{config['conv_layers']} conv, {config['classifier_layers']} classifier"


def layers(config: Config, laid_out: Network) -> list[Layer]:
    """Convolutions, the pooling before the classifier, its layers."""
    found = []
    for number_of, conv in enumerate(laid_out.convolutions, start=1):
        how = []
        if conv.separable:
            how.append(("sep", "separable"))
        if conv.stride == 2:
            how.append(("stride ↓", "stride 2"))
        if conv.pool:
            how.append(("pool ⇣", "pool"))
        if conv.batch_norm:
            how.append(("bn", "bn"))
        if conv.groups > 1:
            how.append((f"g{conv.groups}", f"{conv.groups} groups"))
        if conv.shortcut is not None:
            how.append((SHORTCUT_MARK, "shortcut"))
        found.append(
            Layer(
                what=f"conv {number_of}",
                kernel=f"{conv.kernel}x{conv.kernel}",
                joined=f"{conv.channels_in} → {conv.channels_out}",
                out=f"{conv.height_out}x{conv.width_out}",
                how=how,
                params=conv.params,
                macs=conv.macs,
            )
        )
    height, width = laid_out.pooled
    size = f"{height}x{width}"
    found.append(Layer(what="average, flatten", out=size, alone=f"average to {size}, flatten"))
    for number_of, dense in enumerate(laid_out.dense, start=1):
        density = dense.in_degree / dense.inputs
        sparse = f"density {density:.2g}"
        found.append(
            Layer(
                what=f"dense {number_of}",
                joined=f"{dense.inputs} → {dense.outputs}",
                how=[] if density == 1 else [(sparse, sparse)],
                params=dense.params,
                macs=dense.macs,
            )
        )
    if laid_out.activation != RELU:
        told = f"activation {laid_out.activation}"
        found.append(Layer(what=told, alone=told))
    return found


def training(config: Config) -> list[tuple[str, ...]]:
    """Optimiser and learning rate; batch and weight decay; dropout and smoothing if any."""
    optimiser: str = _trained(config, "optimiser")
    schedule: str = _trained(config, "schedule")
    course = f"× {number(config['lr_decay'])} an epoch" if schedule == EXPONENTIAL else schedule
    more = [
        f"{what} {number(_trained(config, name))}"
        for name, what in (("dropout", "dropout"), ("label_smoothing", "label smoothing"))
        if _trained(config, name)
    ]
    return [
        (
            OPTIMISER_NAMES.get(optimiser, optimiser),
            f"learning rate {number(config['learning_rate'])}, {course}",
        ),
        (f"batch {config['batch_size']}", f"weight decay {number(config['weight_decay'])}"),
        *([tuple(more)] if more else []),
    ]


def _unusual(config: Config) -> str:
    """What of the classifier and the training is not at its default."""
    line = ""
    decayed = config["weight_decay"] or _trained(config, "dropout")
    if config["hidden_units"] or any(d != 1 for d in config["density"]) or decayed:
        line += f"  {classifier(config)}"
    names = set(TRAINING) - {"weight_decay", "dropout"}
    if any(_trained(config, name) != TRAINING[name] for name in names):
        line += f"  {recipe(config)}"
    return line
