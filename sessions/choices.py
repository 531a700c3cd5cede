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

Fit = Literal["crop", "pad", "stretch"]
"""How an image of another shape becomes one of the session's: the shorter side is scaled and the
centre taken; the longer side is scaled and the rest filled; or both sides are scaled."""

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
AUGMENTS: tuple[Augment, ...] = get_args(Augment)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
FITS: tuple[Fit, ...] = get_args(Fit)
DEVICE = r"auto|cpu|mps|cuda(:\d{1,2})?"
"""A device of this machine, as a regular expression."""
