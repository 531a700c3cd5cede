"""lcsearch: an interactive search console for low-complexity convolutional networks."""

__version__ = "0.1.0"
