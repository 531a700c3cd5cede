"""What of a network and its training carries over to other images: the same for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ....sessions.records import Config
from .layout import ACTIVATIONS, Network
from .training import EXPONENTIAL, OPTIMISERS, SCHEDULES


@dataclass(frozen=True)
class About:
    """What it is trained on, and for how long: images to train on, epochs."""

    images: int
    epochs: int


STRUCTURE = (
    "layers",
    "log first width",
    "log last width",
    "log width",
    "log width a pixel",
    "widening",
    "shrinking",
    "log last map",
    "log sight",
    "kernel",
    "pointwise",
    "normalised",
    "layers bare",
    "shortcuts",
    "separable",
    "log groups",
    *ACTIVATIONS,
    "log MACs",
    "log parameters",
    "log classifier",
    "classifier layers",
    "log hidden",
    "log density",
    "log classes",
    "log side",
    "colours",
)
RECIPE = (
    "log decay",
    "undecayed",
    "dropout",
    *SCHEDULES,
    "log last rate",
    *OPTIMISERS,
    "log rate",
    "log batch",
    "log batch share",
    "log steps",
    "smoothing",
    "log epochs",
    "log images",
)
TRAITS = (*STRUCTURE, *RECIPE)
"""In the order of `structure` and `recipe`.  Shares are of layers; MACs and parameters are relative
to those of the reference network, the sight (the receptive field) to the image."""
LEAST_DECAY = 1e-7
"""What stands for no weight decay, in a logarithm."""


def structure(network: Network, reference: Network) -> tuple[float, ...]:
    """The traits of a network, whatever it is trained by; each about 0.1 to 10."""
    layers, dense = network.convolutions, network.dense
    count, side = len(layers), max(network.shape[1:])
    widths = [math.log(layer.channels_out) for layer in layers]
    areas = [math.log(layer.map_inside[0] * layer.map_inside[1]) for layer in layers]
    halvings = sum((layer.stride > 1) + layer.pool for layer in layers)
    sight, step = 1.0, 1
    for layer in layers:
        sight += (layer.kernel - 1) * step
        step *= layer.stride * (2 if layer.pool else 1)
    bare = sum(not layer.batch_norm for layer in layers)
    hidden = [math.log(layer.outputs) for layer in dense[:-1]]
    densities = [math.log(layer.in_degree / layer.inputs) for layer in dense]
    last = layers[-1].height_out * layers[-1].width_out
    return (
        float(count),
        widths[0],
        widths[-1],
        sum(widths) / count,
        sum(w + a / 2 for w, a in zip(widths, areas, strict=True)) / count,
        widths[-1] - widths[0],
        halvings / max(math.log2(side), 1.0),
        math.log(last),
        math.log(sight / side),
        sum(layer.kernel for layer in layers) / count,
        sum(layer.kernel == 1 for layer in layers) / count,
        1 - bare / count,
        float(bare),
        sum(layer.shortcut is not None for layer in layers) / count,
        sum(layer.separable for layer in layers) / count,
        sum(math.log(layer.groups) for layer in layers) / count,
        *(float(network.activation == one) for one in ACTIVATIONS),
        math.log(network.macs / reference.macs),
        math.log(network.params / reference.params),
        math.log(sum(layer.params for layer in dense)),
        float(len(dense)),
        sum(hidden) / len(hidden) if hidden else 0.0,
        sum(densities) / len(densities),
        math.log(dense[-1].outputs),
        math.log(side),
        float(network.shape[0]),
    )


def recipe(config: Config, ratio: float, about: About) -> tuple[float, ...]:
    """The traits of its training.  ratio: how many times Adam's learning rates those of its
    optimiser are.
    """
    rate, batch, decay = config["learning_rate"], config["batch_size"], config["weight_decay"]
    falls = config["schedule"] == EXPONENTIAL
    return (
        math.log(max(decay, LEAST_DECAY)),
        float(decay == 0),
        config["dropout"],
        *(float(config["schedule"] == one) for one in SCHEDULES),
        about.epochs * math.log(config["lr_decay"]) if falls else 0.0,
        *(float(config["optimiser"] == one) for one in OPTIMISERS),
        math.log(rate / ratio),
        math.log(batch),
        math.log(batch / about.images),
        math.log(about.epochs * math.ceil(about.images / batch)),
        config["label_smoothing"],
        math.log(about.epochs),
        math.log(about.images),
    )
