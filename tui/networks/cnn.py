"""How a convolutional network is written: in a line, by its levels, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...engine.search.standing import shown_level
from ..format import improvement, number

if TYPE_CHECKING:
    from ...sessions.records import Config, Session, Trial


DOWNSAMPLE_MARKS = {"none": "", "stride": "↓", "pool": "⇣"}


def structure(config: Config, between: str = " · ") -> str:
    """The convolutions: channels, ↓ where stride halves the map, ⇣ where pooling does."""
    return between.join(
        f"{channels}{DOWNSAMPLE_MARKS.get(how, how)}"
        for channels, how in zip(config["channels"], config["downsample"], strict=True)
    )


def _digits(values: Iterable[int]) -> str:
    listed = [str(value) for value in values]
    return ("" if all(len(word) == 1 for word in listed) else ",").join(listed)


def _bits(values: Iterable[bool]) -> str:
    return "".join("1" if value else "0" for value in values)


def parameters(config: Config) -> str:
    """Kernels, batch norm and (where any layer has them) groups: `k335 b110 g122`."""
    words = [f"k{_digits(config['kernel'])}", f"b{_bits(config['batch_norm'])}"]
    if any(count != 1 for count in config["groups"]):
        words.append(f"g{_digits(config['groups'])}")
    return " ".join(words)


def classifier(config: Config) -> str:
    """Hidden units with the density of every layer, and weight decay: `64@.25 · @1  λ1.0e-4`."""
    units = [str(width) for width in config["hidden_units"]] + [""]
    layers = [
        f"{width}@{_short(density)}"
        for width, density in zip(units, config["density"], strict=True)
    ]
    return f"c {' · '.join(layers)}  λ{improvement(config['weight_decay'])}"


def training(config: Config) -> str:
    """Learning rate, its decay per epoch and batch size, rounded: `lr 4.4e-3 ×.992 B338`."""
    decay = f"{config['lr_decay']:.3f}".rstrip("0").rstrip(".").removeprefix("0")
    return f"lr {improvement(config['learning_rate'])} ×{decay} B{config['batch_size']}"


def _short(value: float) -> str:
    text = f"{value:.2g}"
    return text[1:] if text.startswith("0.") else text


def network_line(config: Config, level: int | None = None, width: int | None = None) -> str:
    """One line for a network: `16 · 32↓ · 64⇣  k335 b110`.

    level: the level that is searched; what it searches is shown whole, and what the others fixed
    after it, if there is room.  None: all but what is at its default.  width: characters there
    are; where they are too few the separators go first, then what the level does not search.
    """
    if not {"channels", "downsample", "kernel"} <= config.keys():
        return "  ".join(f"{name} {number(value)}" for name, value in config.items())
    for between in (" · ", "·"):
        shape = structure(config, between)
        if level == 1:
            line = shape
        elif level == 3:
            line = f"{classifier(config)}  {shape}"
        elif level == 4:
            line = f"{training(config)}  {shape}"
        else:
            line = f"{shape}  {parameters(config)}"
            if level is None:
                line += _unusual(config)
        if width is None or len(line) <= width:
            return line
    return f"{parameters(config)}  {shape}" if level == 2 else line


def whole_lines(config: Config) -> list[str]:
    """All of a network as lines write it, nothing left out, however much room there is."""
    if not {"channels", "downsample", "kernel"} <= config.keys():
        return [network_line(config)]
    shapes = [structure(config, between) for between in (" · ", "·")]
    return [*shapes, parameters(config), classifier(config), training(config)]


def trial_line(trial: Trial, session: Session, width: int | None = None) -> str:
    """The network of a trial in one line, told as its level tells trials apart, cut to `width`."""
    line = network_line(trial.config, shown_level(session, trial.level), width)
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def _unusual(config: Config) -> str:
    """What of the classifier and the training is not at its default."""
    line = ""
    if config["hidden_units"] or any(d != 1 for d in config["density"]) or config["weight_decay"]:
        line += f"  {classifier(config)}"
    if (config["learning_rate"], config["lr_decay"], config["batch_size"]) != (1e-3, 1.0, 128):
        line += f"  {training(config)}"
    return line
