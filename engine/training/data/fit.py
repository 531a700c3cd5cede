"""How an image of any size becomes one of the session's: geometry alone, in whole pixels."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import NamedTuple

from ....sessions.choices import Fit
from .face import DataError

LARGEST = 64
"""Pixels a side up to which images are taken as they are, or are brought to, unless one is given:
a search trains dozens of networks."""

WORDS: dict[Fit, str] = {
    "crop": "crop: the shorter side is scaled, then the centre taken",
    "pad": "pad: the longer side is scaled, the rest filled",
    "stretch": "stretch: both sides are scaled",
}
Size = tuple[int, int]
"""Height and width."""


Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the image."""


class Placement(NamedTuple):
    """box: what of the image is taken.  size: what it is scaled to.  top, left: where that stands
    in the result; the rest is filled.
    """

    box: Box
    size: Size
    top: int = 0
    left: int = 0


def placed(size: Size, target: Size, fit: Fit) -> Placement:
    """How an image of this size becomes one of the target's."""
    height, width = size
    if fit == "stretch":
        return Placement((0, 0, width, height), target)
    ratios = [wanted / side for wanted, side in zip(target, size, strict=True)]
    if fit == "crop":
        taken_height, taken_width = (
            float(side) if ratio == max(ratios) else min(side, wanted / max(ratios))
            for side, wanted, ratio in zip(size, target, ratios, strict=True)
        )
        # in whole pixels: an image that is not scaled keeps its pixels as they are
        left, top = (width - taken_width) // 2, (height - taken_height) // 2
        return Placement((left, top, left + taken_width, top + taken_height), target)
    scaled_height, scaled_width = (max(1, round(side * min(ratios))) for side in size)
    return Placement(
        (0, 0, width, height),
        (scaled_height, scaled_width),
        (target[0] - scaled_height) // 2,
        (target[1] - scaled_width) // 2,
    )


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
