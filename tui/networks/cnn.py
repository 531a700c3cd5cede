"""How a convolutional network is written: in a line, by its levels, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...engine.tasks.cnn.layout import RELU, SEPARABLE
from ...engine.tasks.cnn.space import TRAINING
from ..format import improvement, number
from .writer import Layer

if TYPE_CHECKING:
    from ...engine.tasks.cnn.layout import Network
    from ...sessions.records import Config


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
    """Hidden units with the density of every layer, and weight decay: `64@.25 · @1  λ1.0e-4`."""
    units = [str(width) for width in config["hidden_units"]] + [""]
    layers = [
        f"{width}@{_short(density)}"
        for width, density in zip(units, config["density"], strict=True)
    ]
    return f"c {' · '.join(layers)}  λ{improvement(config['weight_decay'])}"


def recipe(config: Config) -> str:
    """Learning rate, its decay per epoch and batch size, rounded: `lr 4.4e-3 ×.992 B338`."""
    decay = f"{config['lr_decay']:.3f}".rstrip("0").rstrip(".").removeprefix("0")
    return f"lr {improvement(config['learning_rate'])} ×{decay} B{config['batch_size']}"


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
    """Optimiser and learning rate; batch and weight decay."""
    rate, decay = number(config["learning_rate"]), number(config["lr_decay"])
    return [
        ("Adam", f"learning rate {rate}, × {decay} an epoch"),
        (f"batch {config['batch_size']}", f"weight decay {number(config['weight_decay'])}"),
    ]


def _unusual(config: Config) -> str:
    """What of the classifier and the training is not at its default."""
    line = ""
    if config["hidden_units"] or any(d != 1 for d in config["density"]) or config["weight_decay"]:
        line += f"  {classifier(config)}"
    if any(config[name] != TRAINING[name] for name in ("learning_rate", "lr_decay", "batch_size")):
        line += f"  {recipe(config)}"
    return line
