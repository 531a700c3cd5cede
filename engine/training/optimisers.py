"""Adam, AdamW and SGD without TorchDynamo, which takes as long to import as all the rest of torch.

`torch.optim` wraps what an optimiser does for torch.compile, and the first call of any of it
imports the compiler.  Nothing is compiled here: what is wrapped is called as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from ..tasks.cnn.training import ADAM, ADAMW, SGD

MOMENTUM = 0.9
"""Nesterov's, of SGD."""


class Adam(torch.optim.Adam):
    """torch's own: its settings, its state, what a checkpoint keeps of it."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)

    def update(self) -> None:
        """What `step` does where nothing has to be unscaled.

        By the function that it ends in: on a small network all that comes before it takes longer
        than the step.
        """
        for group in self.param_groups:
            for weights in group["params"]:
                self._update(group, weights)

    def _update(self, group: dict[str, Any], weights: Tensor) -> None:
        assert weights.grad is not None
        state = self.state[weights]
        if not state:
            # as Adam begins; the count of steps is on the device for the fused function alone
            where = weights.device if group["fused"] else torch.device("cpu")
            state["step"] = torch.zeros((), dtype=torch.float32, device=where)
            state["exp_avg"] = torch.zeros_like(weights)
            state["exp_avg_sq"] = torch.zeros_like(weights)
        beta1, beta2 = group["betas"]
        with torch.no_grad():
            adam(
                [weights],
                [weights.grad],
                [state["exp_avg"]],
                [state["exp_avg_sq"]],
                [],
                [state["step"]],
                fused=group["fused"],
                decoupled_weight_decay=group["decoupled_weight_decay"],
                amsgrad=False,
                maximize=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
            )


class Sgd(torch.optim.SGD):
    """torch's own, as `Adam` is."""

    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)

    def update(self) -> None:
        """See `Adam.update`."""
        for group in self.param_groups:
            for weights in group["params"]:
                assert weights.grad is not None
                state = self.state[weights]
                # from zero on it is what torch begins with, the first gradient
                buffer = state.setdefault("momentum_buffer", None)
                buffer = torch.zeros_like(weights) if buffer is None else buffer
                state["momentum_buffer"] = buffer
                with torch.no_grad():
                    sgd(
                        [weights],
                        [weights.grad],
                        [buffer],
                        fused=group["fused"],
                        foreach=False,
                        weight_decay=group["weight_decay"],
                        momentum=group["momentum"],
                        lr=group["lr"],
                        dampening=group["dampening"],
                        nesterov=group["nesterov"],
                        maximize=False,
                    )


Optimiser = Adam | Sgd
_MADE: dict[str, Callable[..., Optimiser]] = {
    # L2 in the gradient
    ADAM: Adam,
    # the weights decay by themselves (Loshchilov, Hutter 2019, arXiv 1711.05101)
    ADAMW: partial(Adam, decoupled_weight_decay=True),
    SGD: partial(Sgd, momentum=MOMENTUM, nesterov=True),
}


def made(name: str, groups: list[dict[str, Any]], rate: float, *, fused: bool) -> Optimiser:
    """The optimiser of this name.

    groups: as torch has them, each with its `params` and `weight_decay`.  rate: at first.
    """
    return _MADE[name](groups, lr=rate, fused=fused)
