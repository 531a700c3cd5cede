"""What names of files and folders say: a split, an image, a dropping."""

from __future__ import annotations

from .face import SplitName

SPLITS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
ENDINGS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "tif", "tiff", "bmp", "dib", "gif")
) | {"ppm", "pgm", "pbm", "pnm", "jp2"}
"""Of image files, in small letters."""
_DROPPINGS = {"__macosx", "thumbs.db", "desktop.ini"}


def split_named(word: str) -> SplitName | None:
    """The split that a folder or a value of this name means, in any case; None: none."""
    return SPLITS.get(word.strip().lower())


def is_dropping(name: str) -> bool:
    """Whether a program or a system left it there for itself: hidden, or known for it."""
    return name.startswith(".") or name.lower() in _DROPPINGS


def legible(name: str) -> str:
    """A name as it can be written anywhere: what is no Unicode in it is replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
