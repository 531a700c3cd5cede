"""How a network is trained: the learning rate of a step, the recipe that goes with it, dropout.

With the exponential schedule all is the poster's.  With any other goes a recipe that needs no
search: weights as He et al. draw them where no batch norm follows, the last batch norm of a
shortcut at zero, no decay of biases and batch norm, a warm-up.  `benchmarks/recipe.py` measures
each part alone.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...sessions.records import Config
from ..tasks.cnn.training import EXPONENTIAL, ONE_CYCLE
from .shortcut import Shortcut
from .sparse import SparseLinear

WARM_UP = 0.5
"""Epochs in which the learning rate of cosine rises to its own."""
RISE = 0.3
"""Share of a training in which that of one-cycle does."""
START = 1 / 25
"""What one-cycle rises from, as a share of its learning rate."""
DROPPED = 0xD209
"""Tells these draws from all others of the training's seed."""


def of_poster(config: Config) -> bool:
    """Whether a network is trained as the poster trains: nothing of the recipe."""
    return bool(config["schedule"] == EXPONENTIAL)


def learning_rate(config: Config, epochs: int, number: int, done: float) -> float:
    """The learning rate in epoch `number` of `epochs`, the first 1, when `done` of it is done.

    exponential: falls by a factor each epoch.  cosine: half a wave down to 0 (Loshchilov, Hutter
    2017, arXiv 1608.03983), after a linear rise in the first part of the first epoch.  one-cycle:
    a linear rise, then half a wave (Smith, Topin 2018, arXiv 1708.07120).  These two change at
    every step: in few epochs an epoch is too long for one rate.
    """
    highest = float(config["learning_rate"])
    if of_poster(config):
        return highest * float(config["lr_decay"]) ** (number - 1)
    at = number - 1 + done
    if config["schedule"] == ONE_CYCLE:
        top = RISE * epochs
        if at < top:
            return highest * (START + (1 - START) * at / top)
        return highest * _wave((at - top) / (epochs - top))
    return highest * min(at / WARM_UP, 1.0) * _wave(at / epochs)


def _wave(share: float) -> float:
    """Half a cosine, from 1 at the beginning to 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * share))


def initialise(model: nn.Module, seed: int) -> None:
    """Draw the weights anew from `seed`, as He et al. do (2015, arXiv 1502.01852).

    Normal, variance 2 / fan-in, biases 0: convolutions and hidden layers, each followed by an
    activation, pass on the variance that they are given.  By fan-in, not fan-out: it is the forward
    pass that must neither vanish nor blow up, and with groups fan-out counts connections that are
    not there.  A convolution without a bias has batch norm behind it, which makes its scale
    nothing to the forward pass and the step of larger weights a smaller one: it stays as it was
    drawn, and so does the last layer, which gives logits.  Batch norm that a shortcut follows
    begins at 0 in the channels that the shortcut has, and what it spans as the identity there
    (Goyal et al. 2017, arXiv 1706.02677).
    """
    generator = torch.Generator().manual_seed(seed)
    layers = [m for m in model.modules() if getattr(m, "weight", None) is not None]
    layers = [m for m in layers if not isinstance(m, _BatchNorm)]
    for layer in (one for one in layers[:-1] if one.bias is not None):
        assert isinstance(layer.weight, Tensor)
        fan_in = layer.weight[0].numel()
        with torch.no_grad():
            drawn = torch.randn(layer.weight.shape, generator=generator)
            layer.weight.copy_(drawn * math.sqrt(2 / fan_in))
            if isinstance(layer.bias, Tensor):
                layer.bias.zero_()
    for before, after in itertools.pairwise(model.children()):
        if isinstance(after, Shortcut) and isinstance(before, _BatchNorm):
            # what the shortcut pads with zeros would have no way out: ReLU gives 0 no gradient
            with torch.no_grad():
                before.weight[: before.num_features - after.missing] = 0


def undecayed(model: nn.Module) -> list[nn.Parameter]:
    """Biases and what batch norm has: decay would pull them to 0, and makes nothing simpler."""
    norms = {id(p) for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    return [p for name, p in model.named_parameters() if id(p) in norms or name.endswith("bias")]


class Dropout:
    """Drops inputs of the classifier's layers in training, and is no part of the network.

    It hangs on the layers from outside, so the network that is kept, delivered and timed for its
    latency has no trace of it.  Its draws are its own: those of an epoch follow from the seed and
    the epoch's number alone.
    """

    def __init__(self, model: nn.Module, share: float, seed: int) -> None:
        """share: of the inputs that are dropped, below 1; the others are scaled up to make up."""
        self._kept, self._seed = 1.0 - share, seed
        self._generator = torch.Generator(next(model.parameters()).device)
        for layer in model.modules():
            if share and isinstance(layer, nn.Linear | SparseLinear):
                layer.register_forward_pre_hook(self._drop)

    def redraw(self, number: int) -> None:
        """From here on the draws of this epoch."""
        words = np.random.SeedSequence([abs(self._seed), number, DROPPED]).generate_state(2)
        self._generator.manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)

    def get_state(self) -> Tensor:
        """Where in its draws it is."""
        return self._generator.get_state()

    def set_state(self, state: Tensor) -> None:
        """Go back to where it was."""
        self._generator.set_state(state)

    def _drop(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not layer.training:
            return None
        (given,) = inputs
        mask = torch.empty_like(given).bernoulli_(self._kept, generator=self._generator)
        return (given * mask.div_(self._kept),)
