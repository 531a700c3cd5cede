"""Depthwise convolutions whose backward pass is as fast as their forward one.

oneDNN has fast kernels for nearly all of it.  Two parts fall back to plain loops, 10 to 50 times as
slow: the gradient of weights that are more than three columns wide, or behind more padding than one
pixel; and in bfloat16 the gradient of the input at a stride.  Both can be had from what is fast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

COLUMNS = 3
"""Of a kernel, at most, for which the gradient of the weights is fast."""


class Depthwise(nn.Conv2d):
    """A convolution with one input and one output channel a group: the numbers are `nn.Conv2d`'s,
    up to rounding.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Shape (n, channels, height, width)."""
        if not self.training or maps.device.type != "cpu":
            return super().forward(maps)
        out: Tensor = _Depthwise.apply(maps, self.weight, self.bias, self.stride, self.padding)
        return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(maps, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        for_maps, for_weight, for_bias = ctx.needs_input_grad[:3]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return (
            _of_maps(gradient, maps, weight, ctx.stride, ctx.padding) if for_maps else None,
            _of_weight(gradient, maps, weight, ctx.stride, ctx.padding) if for_weight else None,
            gradient.sum((0, 2, 3)) if for_bias else None,
            None,
            None,
        )


def _of_maps(
    gradient: Tensor,
    maps: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """The gradient of the input: at a stride in float32 where all else is in bfloat16."""
    if stride == (1, 1) or maps.dtype != torch.bfloat16:
        return _backward(gradient, maps, weight, stride, padding, of=0)
    # of the input its shape alone is used
    shape = torch.empty_like(maps, dtype=torch.float32)
    found = _backward(gradient.float(), shape, weight.float(), stride, padding, of=0)
    return found.to(maps.dtype)


def _of_weight(
    gradient: Tensor,
    maps: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """The gradient of the weights: of few columns at a time, each a convolution of its own."""
    rows, columns = weight.shape[2:]
    if columns == 1:
        # of the map, what the windows see
        seen = maps[:, :, :: stride[0], :: stride[1]].contiguous(memory_format=torch.channels_last)
        return _backward(gradient, seen, weight, (1, 1), padding, of=1)
    # of maps one pixel wide oneDNN takes padding for something, in bfloat16 at a stride
    if columns <= COLUMNS and max(padding) <= 1 and maps.shape[3] > 1:
        return _backward(gradient, maps, weight, stride, padding, of=1)
    found, first = [], 0
    for strip in weight.tensor_split(-(-columns // COLUMNS), 3):
        last = first + strip.shape[3]
        right = (gradient.shape[3] - 1) * stride[1] + last - padding[1]
        if first - padding[1] >= maps.shape[3] or right <= 0:
            found.append(torch.zeros_like(strip))  # they see nothing but padding
            first = last
            continue
        # exactly what the windows of these columns see, whose padding is then in the map
        edges = (
            padding[1] - first,
            right - maps.shape[3],
            padding[0],
            (gradient.shape[2] - 1) * stride[0] + rows - padding[0] - maps.shape[2],
        )
        seen = functional.pad(maps, edges)
        found.append(_backward(gradient, seen, strip, stride, (0, 0), of=1))
        first = last
    return torch.cat(found, 3)


def _backward(
    gradient: Tensor,
    maps: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    *,
    of: int,
) -> Tensor:
    """One gradient of a convolution, of = 0: of its input, 1: of its weights."""
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, maps, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight),
        (of == 0, of == 1, False),
    )[of]  # fmt: skip
    return found
