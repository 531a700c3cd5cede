"""Builds the torch module of any network of the space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..tasks.cnn.layout import (
    HARDSWISH,
    RELU,
    SILU,
    Convolution,
    DenseLayer,
    Network,
    Norm,
    Shortcut,
    Step,
)
from . import shortcut
from .depthwise import Depthwise
from .sparse import SparseLinear

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    RELU: lambda: nn.ReLU(inplace=True),
    SILU: nn.SiLU,
    HARDSWISH: nn.Hardswish,
}


def build(network: Network, seed: int) -> nn.Sequential:
    """The network with its initial weights and its sparse patterns drawn from `seed`.

    Takes images of shape (batch, channels, height, width), channels-last in memory, and gives
    logits of shape (batch, classes).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        activation = ACTIVATIONS[network.activation]
        layers: list[nn.Module] = []
        before = begin = 0
        for layer in network.convolutions:
            before, begin = begin, len(layers)
            for step in layer.steps:
                layers.append(_module(step, activation, not layer.batch_norm, before))
        last = network.convolutions[-1]
        if (last.height_out, last.width_out) != network.pooled:
            layers.append(nn.AdaptiveAvgPool2d(network.pooled))
        layers.append(nn.Flatten())
        for index, dense in enumerate(network.dense):
            if index:
                layers.append(activation())
            # each layer its own pattern, even where two have the same size
            layers.append(_classifier(dense, seed + index))
        added = any(layer.shortcut for layer in network.convolutions)
        model = shortcut.Residual(*layers) if added else nn.Sequential(*layers)
        return model.to(memory_format=torch.channels_last)


def _module(step: Step, activation: Callable[[], nn.Module], bias: bool, before: int) -> nn.Module:
    """What does one step of a layer.  before: the place where the layer before it begins."""
    match step:
        case Convolution():
            kind = Depthwise if step.depthwise else nn.Conv2d
            return kind(
                step.channels_in,
                step.channels_out,
                step.kernel,
                stride=step.stride,
                padding=step.kernel // 2,
                groups=step.groups,
                bias=bias,
            )
        case Norm():
            return nn.BatchNorm2d(step.channels)
        case Shortcut():
            return shortcut.Shortcut(before, step.window, step.missing)
        case "pool":
            return nn.MaxPool2d(2, ceil_mode=True)
        case "activation":
            return activation()


def _classifier(layer: DenseLayer, seed: int) -> nn.Module:
    if layer.in_degree == layer.inputs:
        return nn.Linear(layer.inputs, layer.outputs)
    return SparseLinear(layer.inputs, layer.outputs, layer.in_degree, seed)
