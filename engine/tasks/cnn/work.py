"""What a step of training does, by arithmetic: what its seconds are made of."""

from __future__ import annotations

from ....sessions.records import Config
from .layout import Network, Norm, Shortcut

KINDS = (
    "step",
    "convolution",
    "norm",
    "shortcut",
    "classifier layer",
    "sparse layer",
    "plain MACs",
    "grouped MACs",
    "depthwise MACs",
    "classifier MACs",
    "elements",
    "normalised",
    "activated",
    "pooled",
    "parameters",
)
"""Of an image: its share of what a step has once (of calls, and of the optimiser's work, which goes
with the parameters), multiply-accumulates by the kind of layer, and numbers of maps that layers
read and write."""


def work(network: Network, config: Config) -> tuple[float, ...]:
    """How much of each kind an image takes in training, in the order of `KINDS`.

    What a batch has once is shared by its images.
    """
    each = 1 / config["batch_size"]
    done = dict.fromkeys(KINDS, 0.0)
    done["step"] = each
    done["parameters"] = each * network.params
    for layer in network.convolutions:
        height, width = layer.map_inside
        area = height * width
        read = layer.channels_in * layer.height_in * layer.width_in
        for convolution in layer.convolutions:
            written = convolution.channels_out * area
            weights = convolution.shape[0] * convolution.shape[1] * convolution.kernel**2
            done["convolution"] += each
            done["elements"] += read + written
            done[_kind(convolution.depthwise, convolution.groups)] += weights * area
            read = written
        for step in layer.steps:
            if isinstance(step, Norm):
                done["norm"] += each
                done["normalised"] += step.channels * area
            elif isinstance(step, Shortcut):
                done["shortcut"] += each
                done["elements"] += step.numbers
            elif step == "activation":
                done["activated"] += layer.channels_out * area
            elif step == "pool":
                done["pooled"] += layer.channels_out * area
    for dense in network.dense:
        sparse = dense.in_degree < dense.inputs
        done["sparse layer" if sparse else "classifier layer"] += each
        done["classifier MACs"] += dense.macs
    return tuple(done.values())


def _kind(depthwise: bool, groups: int) -> str:
    if depthwise:
        return "depthwise MACs"
    return "plain MACs" if groups == 1 else "grouped MACs"
