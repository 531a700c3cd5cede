"""What names of files and folders say: a split, an image, a dropping."""

from __future__ import annotations

import re
from collections.abc import Collection

from .face import SplitName

SPLITS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
LIKE_A_SPLIT = re.compile("train|val|test|dev|fold|hold.?out|eval|split")
"""What is in a name that may be a split's, in small letters."""
ENDINGS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "tif", "tiff", "bmp", "dib", "gif")
) | {"ppm", "pgm", "pbm", "pnm", "jp2"}
"""Of image files, in small letters."""
_DROPPINGS = {"__macosx", "thumbs.db", "desktop.ini"}


def split_named(word: str) -> SplitName | None:
    """The split that a folder or a value of this name means, in any case; None: none."""
    return SPLITS.get(word.strip().lower())


def splits_named(names: Collection[str]) -> dict[str, SplitName]:
    """The splits that folders beside each other mean.

    By their names; or, where none is a split's, by a word in each, if what is left is alike:
    `training_set` and `test_set`, `seg_train` and `seg_test`.  Others may stand beside them.
    """
    exact = {name: split for name in names if (split := split_named(name))}
    if exact:
        return exact
    alike: dict[tuple[str, ...], dict[str, SplitName]] = {}
    for name in names:
        words = [word.removesuffix("set") for word in re.findall("[^\\W_]+", name.lower())]
        splits = [SPLITS[word] for word in words if word in SPLITS]
        if len(splits) == 1:
            rest = tuple(word for word in words if word and word not in SPLITS)
            alike.setdefault(rest, {})[name] = splits[0]
    for found in alike.values():
        roles = set(found.values())
        if "train" in roles and len(roles) == len(found) > 1:
            return found
    return {}


def is_dropping(name: str) -> bool:
    """Whether a program or a system left it there for itself: hidden, or known for it."""
    return name.startswith(".") or name.lower() in _DROPPINGS


def legible(name: str) -> str:
    """A name as it can be written anywhere: what is no Unicode in it is replaced."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a character, and no byte of a file's name
        raw = name.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace")
