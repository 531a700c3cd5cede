"""Convolutional networks in four levels."""

from .layout import NONE, POOL, STRIDE, network
from .space import LEVELS, reference, space

__all__ = ["LEVELS", "NONE", "POOL", "STRIDE", "network", "reference", "space"]
