"""Adam without TorchDynamo, which takes as long to import as all the rest of torch.

`torch.optim` wraps what an optimiser does for torch.compile, and the first call of any of it
imports the compiler.  Nothing is compiled here: what is wrapped is called as it is.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam(torch.optim.Adam):
    """torch's own: its settings, its state, what a checkpoint keeps of it."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)

    def update(self, weights: Tensor) -> None:
        """What `step` does where these are all the weights and nothing has to be unscaled.

        By the function that it ends in: on a small network all that comes before it takes longer
        than the step.
        """
        assert weights.grad is not None
        group, state = self.param_groups[0], self.state[weights]
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
                amsgrad=False,
                maximize=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
            )
