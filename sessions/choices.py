"""The words that settings of a session can have: one list each, whatever reads it.

Nothing is imported here, so that the commands can name them at once.
"""

from __future__ import annotations

from typing import Literal, get_args

Strategy = Literal["gp", "evolution", "annealing", "random"]
"""What proposes; only gp has a belief."""
Augment = Literal["none", "flip", "crop", "crop+flip"]
"""How training images are varied: mirrored or not at random, shifted at random, or both."""
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""What numbers networks are trained in; auto is what the device does fast."""

Metric = Literal["accuracy", "balanced", "macro-f1"]
"""What f_p is 1 minus of: the share of images told right; the mean of the classes' recalls; or the
mean of their F1 scores."""
ClassWeights = Literal["none", "balanced"]
"""Whether images of rare classes count more in the loss: a class of n_c of n images, of C classes,
by n / (C n_c)."""

Weights = Literal["float32", "int8"]
"""What the weights and activations of a network are where it is deployed."""

Runtime = Literal["onnx", "torch"]
"""What runs a network whose latency is measured."""

Images = Literal["session", "all"]
"""What a final training takes: what the search trained and validated on, or all there are
outside the test set."""

FINAL_EPOCHS = 30
"""Of a final training, unless said otherwise."""
MOST_SEEDS = 100
"""Of a final training, at most."""

LOSS_WARNED, LOSS_REFUSED = 0.01, 0.1
"""What eight bits may lose of the session's metric: above the first it is a warning, above the
second nothing is written unless that is accepted."""

COST_ALONE = float("inf")
"""The w_c under which f is the cost alone: the cheapest network that keeps the limits is wanted."""

Fit = Literal["crop", "pad", "stretch"]
"""How an image of another shape becomes one of the session's: the shorter side is scaled and the
centre taken; the longer side is scaled and the rest filled; or both sides are scaled."""

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
AUGMENTS: tuple[Augment, ...] = get_args(Augment)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
METRICS: tuple[Metric, ...] = get_args(Metric)
IMAGES: tuple[Images, ...] = get_args(Images)
CLASS_WEIGHTS: tuple[ClassWeights, ...] = get_args(ClassWeights)
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
WEIGHTS: tuple[Weights, ...] = get_args(Weights)
FITS: tuple[Fit, ...] = get_args(Fit)
DEVICE = r"auto|cpu|mps|cuda(:\d{1,2})?"
"""A device of this machine, as a regular expression."""
