"""All weights of a network in one piece of memory: one step, one conversion to a low precision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Weights:
    """The parameters of a network as parts of one float32 tensor, `master`.

    The optimiser steps `master` alone, and a small network, whose operators take microseconds, is
    spared a call for each parameter; the numbers are the same.  Where the network computes in less
    than float32, its layers hold a copy of their weights in that type, made of all of them at once
    after a step, and their gradients come back likewise, where autocast would convert each weight
    in each step; batch norm's stay float32, as under autocast.
    """

    def __init__(
        self, model: nn.Module, dtype: torch.dtype, undecayed: Iterable[nn.Parameter] = ()
    ) -> None:
        """Take the model's parameters over: from here on they are views.

        undecayed: those that weight decay leaves alone, batch norm's first of all.
        """
        self._model = model
        norms = {
            id(p) for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters()
        }
        spared = {id(p) for p in undecayed}
        # those that stay float32 first, so that the others are one piece, and so are the decayed
        named = sorted(
            model.named_parameters(),
            key=lambda entry: (id(entry[1]) not in norms, id(entry[1]) not in spared),
        )
        self._undecayed = sum(_room(p) for _, p in named if id(p) in spared)
        kept = sum(_room(p) for _, p in named if id(p) in norms)
        size = sum(_room(p) for _, p in named)
        device = next(model.parameters()).device
        flat = torch.zeros(size, device=device)
        self.master = nn.Parameter(flat)
        self.master.grad = torch.zeros_like(flat)
        self._high, self._high_grad = flat[kept:], self.master.grad[kept:]
        self._low: Tensor | None = None
        self._low_grad: Tensor | None = None
        if dtype != torch.float32:
            self._low = torch.zeros_like(self._high, dtype=dtype)
            self._low_grad = torch.zeros_like(self._low)
        self._views: dict[str, Tensor] = {}
        at = 0
        for name, parameter in named:
            part = _part(flat, at, parameter)
            part.copy_(parameter.detach())
            self._views[name] = part
            if self._low is None or self._low_grad is None or id(parameter) in norms:
                held, gradient = part, _part(self.master.grad, at, parameter)
            else:
                held = _part(self._low, at - kept, parameter)
                gradient = _part(self._low_grad, at - kept, parameter)
            parameter.data, parameter.grad = held, gradient
            at += _room(parameter)
        self.spread()

    def groups(self, decay: float) -> list[dict[str, Any]]:
        """The weights as an optimiser takes them, with this weight decay where they have any.

        One group, `master`, where all are decayed; else two, which are its parts.
        """
        if not self._undecayed:
            return [{"params": [self.master], "weight_decay": decay}]
        assert self.master.grad is not None
        parts = []
        for here in (slice(0, self._undecayed), slice(self._undecayed, None)):
            part = nn.Parameter(self.master.detach()[here])
            part.grad = self.master.grad[here]
            parts.append(part)
        return [
            {"params": parts[:1], "weight_decay": 0.0},
            {"params": parts[1:], "weight_decay": decay},
        ]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        assert self.master.grad is not None
        self.master.grad.zero_()
        if self._low_grad is not None:
            self._low_grad.zero_()

    def gather(self) -> None:
        """After a backward pass: all gradients to `master`."""
        if self._low_grad is not None:
            self._high_grad.copy_(self._low_grad)

    def spread(self) -> None:
        """After `master` has changed: the new weights to the layers."""
        if self._low is not None:
            self._low.copy_(self._high)

    def state_dict(self) -> dict[str, Tensor]:
        """The model's, its weights in float32."""
        return {**self._model.state_dict(), **self._views}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The reverse.  Raises RuntimeError where it is another network's."""
        self._model.load_state_dict(state)
        for name, view in self._views.items():
            view.copy_(state[name])
        self.spread()


def _room(parameter: Tensor) -> int:
    """Numbers kept for a parameter: a multiple of 32, so that each begins where a GPU likes it."""
    return -(-parameter.numel() // 32) * 32


def _part(flat: Tensor, at: int, like: Tensor) -> Tensor:
    """A view of `flat` from `at` on, of the shape and the memory format of `like`."""
    return flat.as_strided(like.shape, like.stride(), at)
