"""Files read in bytes: one after another, none of them larger than an image can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from .face import Content

HEAD_BYTES = 1 << 13
"""Enough of most image files to tell their size by."""
LARGEST_FILE = 1 << 28
"""Bytes of an image file: none that a search is for has more."""


def contents(paths: Iterable[Path | str], most: int = LARGEST_FILE) -> Iterator[Content]:
    """What each file holds, or its first `most` bytes."""
    for path in paths:
        try:
            with open(path, "rb") as opened:
                yield opened.read(most)
        except OSError as error:
            yield error


def contents_of(paths: Sequence[Path | str]) -> Callable[[Sequence[int]], Iterator[Content]]:
    """The contents of these files by their numbers, as a listing has them."""
    return lambda numbers: contents(paths[number] for number in numbers)
