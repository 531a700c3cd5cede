"""How an image of any size becomes one of the session's: geometry alone, in whole pixels."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from ....sessions.choices import Fit
from .face import DataError

LARGEST = 64
"""Pixels a side up to which images are taken as they are, or are brought to, unless one is given:
a search trains dozens of networks."""

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Placement:
    """scaled: the image's size before it is cut or filled.  top, left: where the result begins in
    it; negative where the image begins in the result.
    """

    scaled: Size
    top: int
    left: int


def placed(size: Size, target: Size, fit: Fit) -> Placement:
    """How an image of this size becomes one of the target's."""
    if fit == "stretch":
        return Placement(target, 0, 0)
    ratios = [wanted / side for wanted, side in zip(target, size, strict=True)]
    ratio = max(ratios) if fit == "crop" else min(ratios)
    height, width = (
        wanted if of == ratio else max(1, round(side * ratio))
        for wanted, side, of in zip(target, size, ratios, strict=True)
    )
    return Placement((height, width), _half(height - target[0]), _half(width - target[1]))


def _half(over: int) -> int:
    return over // 2 if over >= 0 else -(-over // 2)


def suggested(sizes: Iterable[Size]) -> Size:
    """A square of the median shorter side, of 64 pixels a side at most."""
    side = min(LARGEST, round(statistics.median(min(size) for size in sizes)))
    return side, side


def in_words(size: Size) -> str:
    """Width x height, as people write it."""
    return f"{size[1]}x{size[0]}"


def check_small(size: Size, where: str) -> None:
    """Raises DataError for images, all of this size, that are larger than a search is for."""
    if max(size) <= LARGEST:
        return
    shrink = LARGEST / max(size)
    smaller = max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))
    raise DataError(
        f"{where}: the images are {in_words(size)}, and a search trains dozens of networks on "
        f"them. Say to which size they are brought, such as --image-size {in_words(smaller)}, or "
        f"--image-size {in_words(size)} to keep them."
    )
