"""The images of a search: one reader a file, what they give (`face`), how it is split."""

from .face import DataError, Images, Labels, Progress, Split
from .preview import shown
from .read import PART, Data, read, read_final
from .registry import KNOWN

__all__ = [
    "KNOWN",
    "PART",
    "Data",
    "DataError",
    "Images",
    "Labels",
    "Progress",
    "Split",
    "read",
    "read_final",
    "shown",
]
