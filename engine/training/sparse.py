"""Pre-defined sparse classifier layers: which connections exist is drawn before training.

Dey, Huang, Beerel, Chugg, "Pre-Defined Sparse Neural Networks with Hardware Acceleration",
IEEE JETCAS 9(2), 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MOVE = 24
"""What moving one number in memory costs, in multiply-accumulates."""
GAIN = 2.1
"""Blocks are used where they cost this many times less than the dense product."""
SMALL = 1 << 17
"""A dense product of fewer weights is faster than blocks, whatever its density."""


def window_starts(inputs: int, outputs: int, in_degree: int) -> Tensor:
    """Where each output's window begins on the ring of inputs, shape (outputs,), rising.

    The windows are dealt one after another around the ring, like a deck of cards that begins
    again when it is used up, so no input is in more than one window more than another.
    """
    dealt = torch.arange(outputs, device="cpu") * in_degree
    return dealt.remainder(inputs).sort().values


def deck(inputs: int, seed: int) -> Tensor:
    """The order of the inputs on the ring, drawn from `seed`."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randperm(inputs, generator=generator, device="cpu")


def pattern(inputs: int, outputs: int, in_degree: int, seed: int) -> Tensor:
    """The inputs that each output is connected to, shape (outputs, in_degree), int64.

    Every output has `in_degree` different inputs, and no input has more than one connection more
    than another: each output's are a window of a ring on which the inputs lie in random order.
    """
    starts = window_starts(inputs, outputs, in_degree)
    within = torch.arange(in_degree, device="cpu")
    return deck(inputs, seed)[(starts[:, None] + within).remainder(inputs)]


@dataclass(frozen=True)
class Blocks:
    """Outputs in groups whose windows nearly coincide, each group one small dense product.

    groups, rows, width: blocks have shape (groups, rows, width).  begins: shape (groups,), where
    on the ring each block begins.  slots: shape (outputs,), the row, of groups * rows, of each
    output.  offsets: shape (outputs,), how far its window begins behind its block.
    """

    groups: int
    rows: int
    width: int
    begins: Tensor
    slots: Tensor
    offsets: Tensor

    @property
    def cost(self) -> int:
        """Multiply-accumulates of one image, numbers moved included."""
        moved = self.groups * (self.width + self.rows)
        return self.groups * self.rows * self.width + MOVE * moved


def plan(inputs: int, outputs: int, in_degree: int) -> Blocks:
    """The cheapest division into blocks that there is."""
    starts = window_starts(inputs, outputs, in_degree).tolist()
    spreads = {0, *(in_degree * part // 8 for part in (1, 2, 4, 8, 16))}
    sizes = {size for size in (8, 16, 32, 64, 128, 256) if size < outputs} | {outputs}
    plans = (_divide(starts, in_degree, spread, size) for spread in spreads for size in sizes)
    return min(plans, key=lambda found: found.cost)


def _divide(starts: list[int], in_degree: int, spread: int, size: int) -> Blocks:
    """Blocks of at most `size` outputs whose windows begin at most `spread` apart."""
    begins: list[int] = []
    places: list[tuple[int, int]] = []
    for start in starts:
        if not begins or places[-1][1] + 1 == size or start - begins[-1] > spread:
            begins.append(start)
            places.append((len(begins) - 1, 0))
        else:
            places.append((len(begins) - 1, places[-1][1] + 1))
    offsets = [start - begins[group] for start, (group, _) in zip(starts, places, strict=True)]
    rows = max(row for _, row in places) + 1
    return Blocks(
        groups=len(begins),
        rows=rows,
        width=max(offsets) + in_degree,
        begins=torch.tensor(begins, device="cpu"),
        slots=torch.tensor([group * rows + row for group, row in places], device="cpu"),
        offsets=torch.tensor(offsets, device="cpu"),
    )


class SparseLinear(nn.Module):
    """A linear layer that has only the connections of its pattern.

    weight: shape (outputs, in_degree), the weights that exist and no other, so parameters,
    optimiser state and weight decay know nothing of the rest.  bias: shape (outputs,).

    A large layer is one batched product of blocks of inputs and outputs; where that gains
    nothing, a dense product with zeros in the place of weights that do not exist.
    """

    connections: Tensor
    gathered: Tensor
    scattered: Tensor
    slots: Tensor
    placed: Tensor

    def __init__(self, inputs: int, outputs: int, in_degree: int, seed: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.in_degree = inputs, outputs, in_degree
        bound = 1 / math.sqrt(in_degree)
        self.weight = nn.Parameter(torch.empty(outputs, in_degree).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.blocks = plan(inputs, outputs, in_degree) if inputs * outputs >= SMALL else None
        if self.blocks is not None and self.blocks.cost * GAIN > inputs * outputs:
            self.blocks = None
        if self.blocks is None:
            tables = {"connections": pattern(inputs, outputs, in_degree, seed)}
        else:
            tables = _tables(self.blocks, inputs, in_degree, deck(inputs, seed))
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def connected(self) -> Tensor:
        """The inputs that each output is connected to, shape (outputs, in_degree)."""
        if self.blocks is None:
            return self.connections
        read = self.gathered.view(self.blocks.groups, self.blocks.width)
        first = self.blocks.offsets.to(read.device)[:, None]
        within = torch.arange(self.in_degree, device=read.device)
        return read[self.slots[:, None] // self.blocks.rows, first + within]

    def forward(self, features: Tensor) -> Tensor:
        """features: shape (batch, inputs).  Returns shape (batch, outputs)."""
        if self.blocks is None:
            zeros = self.weight.new_zeros(self.outputs, self.inputs)
            dense = zeros.scatter(1, self.connections, self.weight)
            return functional.linear(features, dense, self.bias)
        return _BlockProduct.apply(features, self.weight, self.bias, self)  # type: ignore[no-any-return]


def _tables(blocks: Blocks, inputs: int, in_degree: int, order: Tensor) -> dict[str, Tensor]:
    """The index tables of a block product.

    gathered: shape (groups * width,), the input that each column of the blocks reads.
    scattered: shape (copies, inputs), the columns that read each input; groups * width is none.
    slots: see Blocks.  placed: shape (outputs * in_degree,), where each weight lies in the blocks;
    empty where the weights as they lie are the blocks.
    """
    groups, width = blocks.groups, blocks.width
    columns = torch.arange(width, device="cpu")
    gathered = order[(blocks.begins[:, None] + columns).remainder(inputs)].flatten()
    readers = gathered.argsort(stable=True)
    reads = torch.bincount(gathered, minlength=inputs)
    first = reads.cumsum(0) - reads
    copy = torch.arange(groups * width, device="cpu") - first.repeat_interleave(reads)
    scattered = torch.full((int(reads.max()), inputs), groups * width, device="cpu")
    scattered[copy, gathered[readers]] = readers
    placed = torch.empty(0, dtype=torch.int64, device="cpu")
    if len(blocks.slots) * in_degree != groups * blocks.rows * width:
        begin = blocks.slots * width + blocks.offsets
        placed = (begin[:, None] + torch.arange(in_degree, device="cpu")).flatten()
    return {
        "gathered": gathered,
        "scattered": scattered,
        "slots": blocks.slots,
        "placed": placed,
    }


class _BlockProduct(torch.autograd.Function):
    """features @ W.T + bias as one batched product; gradients by gathering, never by adding."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, layer: SparseLinear
    ) -> Tensor:
        blocks = layer.blocks
        assert blocks is not None
        kind = features.device.type
        dtype = weight.dtype
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        groups, rows, width = blocks.groups, blocks.rows, blocks.width
        # images in columns: gathering an input then copies one unbroken run of memory
        columns = features.to(dtype).t().contiguous()
        read = columns.index_select(0, layer.gathered).view(groups, width, -1)
        if not len(layer.placed):
            held = weight.to(dtype).view(groups, rows, width)
        else:
            held = weight.new_zeros(groups * rows * width, dtype=dtype)
            held.index_copy_(0, layer.placed, weight.to(dtype).flatten())
            held = held.view(groups, rows, width)
        output = torch.bmm(held, read).view(groups * rows, -1)
        if groups * rows != layer.outputs:
            output = output.index_select(0, layer.slots)
        ctx.save_for_backward(read, held)
        ctx.layer, ctx.features_dtype = layer, features.dtype
        return output.t() + bias.to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        layer: SparseLinear = ctx.layer
        read, held = ctx.saved_tensors
        groups, rows, width = held.shape
        for_bias = gradient.sum(0, dtype=torch.float32).to(layer.bias.dtype)
        grouped = gradient.to(held.dtype).t().contiguous()
        if groups * rows != layer.outputs:
            spread = grouped.new_zeros(groups * rows, grouped.shape[1])
            grouped = spread.index_copy_(0, layer.slots, grouped)
        grouped = grouped.view(groups, rows, -1)
        for_weight = torch.bmm(grouped, read.transpose(1, 2)).view(-1)
        if len(layer.placed):
            for_weight = for_weight.index_select(0, layer.placed)
        for_weight = for_weight.view(layer.outputs, layer.in_degree).to(layer.weight.dtype)
        if not ctx.needs_input_grad[0]:
            return None, for_weight, for_bias, None
        for_read = torch.bmm(held.transpose(1, 2), grouped).view(groups * width, -1)
        if len(layer.scattered) > 1 or groups * width < layer.inputs:
            for_read = functional.pad(for_read, (0, 0, 0, 1))
        for_features = for_read.index_select(0, layer.scattered[0])
        for copy in layer.scattered[1:]:
            for_features += for_read.index_select(0, copy)
        return for_features.t().to(ctx.features_dtype), for_weight, for_bias, None
