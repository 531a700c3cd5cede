"""Convolutional networks in four levels."""

from .layout import NONE, POOL, STRIDE, ConvLayer, DenseLayer, Network, in_degree, network
from .space import FIRST_CHANNELS, FLAT, GROWTH, LEVELS, reference, space

__all__ = [
    "FIRST_CHANNELS",
    "FLAT",
    "GROWTH",
    "LEVELS",
    "NONE",
    "POOL",
    "STRIDE",
    "ConvLayer",
    "DenseLayer",
    "Network",
    "in_degree",
    "network",
    "reference",
    "space",
]
