"""How a person writes what is done to images: a size, a colour, the columns of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..sessions.records import LARGEST_SIDE, WHITE

COLOURS = {"white": WHITE, "black": "#000000", "grey": "#808080", "gray": "#808080"}
COLUMNS = ("image", "label", "split")


def read_size(text: str) -> tuple[int, int]:
    """Height and width of `64`, or of `64x48`: 64 wide and 48 high.  Raises ValueError."""
    found = re.fullmatch(r"(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?", text.strip(), re.IGNORECASE)
    sides = [int(side) for side in found.groups() if side is not None] if found else []
    if not sides or not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise ValueError(
            f"image size {text}: not usable. Use a side such as 64, or WIDTHxHEIGHT such as 64x48, "
            f"up to {LARGEST_SIDE}."
        )
    return sides[-1], sides[0]


def size_text(size: tuple[int, int] | None) -> str:
    """As it is read."""
    if size is None:
        return ""
    height, width = size
    return str(width) if height == width else f"{width}x{height}"


def read_colour(text: str) -> str:
    """`#rrggbb` of that, of `rrggbb`, `#rgb`, or of a name.  Raises ValueError."""
    plain = text.strip().lower()
    if plain in COLOURS:
        return COLOURS[plain]
    digits = plain.removeprefix("#")
    if re.fullmatch(r"[0-9a-f]{3}", digits):
        digits = "".join(2 * digit for digit in digits)
    if not re.fullmatch(r"[0-9a-f]{6}", digits):
        raise ValueError(
            f"background {text}: no colour. Use #rrggbb such as #102030, or {', '.join(COLOURS)}."
        )
    return f"#{digits}"


def read_columns(words: Iterable[str]) -> dict[str, str]:
    """`image=file` and the like as a mapping.  Raises ValueError."""
    columns = {}
    for word in words:
        what, equals, name = word.partition("=")
        if what.strip() not in COLUMNS or not equals or not name.strip():
            raise ValueError(
                f"column {word}: not usable. Use {', '.join(f'{c}=NAME' for c in COLUMNS)}."
            )
        columns[what.strip()] = name.strip()
    return columns


def columns_text(columns: Mapping[str, str]) -> str:
    """As they are written in one line."""
    return ", ".join(f"{what}={name}" for what, name in columns.items())
