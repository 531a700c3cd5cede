"""Pre-defined sparse classifier layers: which connections exist is drawn before training.

Dey, Huang, Beerel, Chugg, "Pre-Defined Sparse Neural Networks with Hardware Acceleration",
IEEE JETCAS 9(2), 2019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def pattern(inputs: int, outputs: int, in_degree: int, seed: int) -> Tensor:
    """The inputs that each output is connected to, shape (outputs, in_degree), int64.

    The inputs, in an order drawn from `seed`, are dealt out like a deck of cards that begins
    again when it is used up.  So every output has `in_degree` different inputs, and no input has
    more than one connection more than another.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    deck = torch.randperm(inputs, generator=generator, device="cpu")
    dealt = torch.arange(outputs * in_degree, device="cpu").remainder_(inputs)
    return deck[dealt].view(outputs, in_degree)


class SparseLinear(nn.Module):
    """A linear layer that has only the connections of its pattern.

    weight: shape (outputs, in_degree), the weights that exist and no other, so parameters,
    optimiser state and weight decay know nothing of the rest.  bias: shape (outputs,).
    """

    connections: Tensor

    def __init__(self, inputs: int, outputs: int, in_degree: int, seed: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.in_degree = inputs, outputs, in_degree
        bound = 1 / math.sqrt(in_degree)
        self.weight = nn.Parameter(torch.empty(outputs, in_degree).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.register_buffer(
            "connections", pattern(inputs, outputs, in_degree, seed), persistent=False
        )

    def dense_weight(self) -> Tensor:
        """The same layer's dense weight, shape (outputs, inputs): zero where nothing is."""
        zeros = self.weight.new_zeros(self.outputs, self.inputs)
        return zeros.scatter(1, self.connections, self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """features: shape (batch, inputs).  Returns shape (batch, outputs)."""
        return functional.linear(features, self.dense_weight(), self.bias)
