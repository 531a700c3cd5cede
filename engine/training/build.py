"""Builds the torch module of any network of the space."""

from __future__ import annotations

import torch
from torch import nn

from ..tasks.cnn.layout import DenseLayer, Network
from .sparse import SparseLinear


def build(network: Network, seed: int) -> nn.Sequential:
    """The network with its initial weights and its sparse patterns drawn from `seed`.

    Takes images of shape (batch, channels, height, width), channels-last in memory, and gives
    logits of shape (batch, classes).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for layer in network.convolutions:
            layers.append(
                nn.Conv2d(
                    layer.channels_in,
                    layer.channels_out,
                    layer.kernel,
                    stride=layer.stride,
                    padding=layer.kernel // 2,
                    groups=layer.groups,
                    bias=not layer.batch_norm,
                )
            )
            if layer.batch_norm:
                layers.append(nn.BatchNorm2d(layer.channels_out))
            if layer.pool:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            # after the pool: the largest of four, then its positive part, is the same numbers and
            # gradients as the other way round, on a quarter of the elements
            layers.append(nn.ReLU(inplace=True))
        last = network.convolutions[-1]
        if (last.height_out, last.width_out) != network.pooled:
            layers.append(nn.AdaptiveAvgPool2d(network.pooled))
        layers.append(nn.Flatten())
        for index, dense in enumerate(network.dense):
            if index:
                layers.append(nn.ReLU(inplace=True))
            # each layer its own pattern, even where two have the same size
            layers.append(_classifier(dense, seed + index))
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def _classifier(layer: DenseLayer, seed: int) -> nn.Module:
    if layer.in_degree == layer.inputs:
        return nn.Linear(layer.inputs, layer.outputs)
    return SparseLinear(layer.inputs, layer.outputs, layer.in_degree, seed)
