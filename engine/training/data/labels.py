"""Labels as people store them become classes 0, 1, ...: their names are the labels as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .face import DataError, Labels
from .names import legible

Stored = NDArray[Any]
"""Numbers, words, or a row of noughts and one 1 an image."""
SPLITS = {"train": "training", "val": "validation", "test": "test"}
SHOWN = 5
"""Classes that a message names."""
LARGEST = 2.0**53
"""Labels below it are whole numbers in every type."""
SEPARATORS = "|,;"
"""What stands between several labels in one word."""
MANY = 20
"""Images from which a label for each of them is no class any more."""


@dataclass(frozen=True)
class Numbered:
    """labels: by split, shape (n,).  names: of the classes.  notes: what is to be told."""

    labels: dict[str, Labels]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def numbered(
    parts: Mapping[str, Stored], where: str, names: Sequence[str] | None = None
) -> Numbered:
    """Number the classes of `train`, and of `val` and `test` where they are there.

    names: of the labels 0, 1, ..., where the data set has them.  Raises DataError.
    """
    flat = {split: _flat(labels, f"{where}: {SPLITS[split]}") for split, labels in parts.items()}
    if len({labels.dtype.kind == "U" for labels in flat.values()}) > 1:
        raise DataError(f"{where}: some splits have words for labels, others numbers. Use one.")
    train = flat["train"]
    if not len(train):
        raise DataError(f"{where}: there are no training images.")
    found = _sorted(np.unique(train))
    if names is not None and isinstance(found[0], str) and set(found) <= set(names):
        found = [name for name in dict.fromkeys(names) if name in set(found)]
    if len(found) == 1:
        raise DataError(
            f"{where}: has images of one class only ({found[0]}). Needed are two classes or more."
        )
    _check_single(found, where)
    if len(found) == len(train) >= MANY:
        raise DataError(
            f"{where}: every training image has a label of its own ({found[0]}, {found[1]}, ...): "
            "a name or a measure, no class. Name the labels' column or array."
        )
    notes = []
    for split, labels in flat.items():
        unknown = _sorted(np.setdiff1d(labels, train))
        if unknown:
            raise DataError(
                f"{where}: the {SPLITS[split]} split has {_some(unknown)}, the training split has "
                "not. Classes must agree: add training images, or take those away."
            )
        lacking = _sorted(np.setdiff1d(train, labels))
        if lacking:
            notes.append(f"The {SPLITS[split]} split has no image of {_some(lacking)}.")
    words = [str(label) for label in found]
    if names is not None:
        words, more = _named(found, names, where)
        notes += more
    elif train.dtype.kind != "U" and found != list(range(len(found))):
        gaps = "" if found[-1] - found[0] == len(found) - 1 else ", not all of them"
        notes.append(
            f"Labels are {found[0]} to {found[-1]}{gaps}: classes keep them as their names."
        )
    order = np.array(found)
    rising = np.argsort(order)
    return Numbered(
        {
            split: rising[np.searchsorted(order, labels, sorter=rising)].astype(np.int64)
            for split, labels in flat.items()
        },
        tuple(words),
        tuple(notes),
    )


def _check_single(found: Sequence[Any], where: str) -> None:
    """Raises DataError where words name several of the other words: `cat|dog` beside `cat`."""
    words = {word for word in found if isinstance(word, str)}
    for word in words:
        for mark in SEPARATORS:
            parts = [part.strip() for part in word.split(mark)]
            if len(parts) > 1 and set(parts) <= words:
                raise DataError(
                    f"{where}: the label {word!r} names several classes, which are labels of their "
                    "own, too: several labels an image (multi-label) are not searched for. Keep "
                    "one label an image."
                )


def _flat(labels: Stored, where: str) -> NDArray[np.int64] | NDArray[np.str_]:
    """One label an image, a whole number or a word."""
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "biufU" or labels.ndim not in (1, 2):
        raise DataError(
            f"{where} labels are of type {labels.dtype} and shape {labels.shape}. Needed is one "
            "label an image: whole numbers or words."
        )
    if labels.ndim == 2:
        return _of_rows(labels, where)
    if labels.dtype.kind == "U":
        words = np.array([legible(word) for word in np.char.strip(labels).tolist()], str)
        empty = np.flatnonzero(words == "")
        if len(empty):
            raise DataError(
                f"{where} labels: {len(empty):,} are empty, the first one that of image "
                f"{empty[0] + 1:,}. Give each image its label, or take it away."
            )
        return words
    if labels.dtype.kind == "f":
        odd = np.flatnonzero(~((labels == np.floor(labels)) & (np.abs(labels) < LARGEST)))
        if len(odd):
            raise DataError(
                f"{where} labels are not whole numbers: that of image {odd[0] + 1:,} is "
                f"{labels[odd[0]]:g}. Needed are classes, not measures."
            )
    elif labels.dtype.kind == "u" and len(labels) and int(labels.max()) >= LARGEST:
        raise DataError(
            f"{where} labels go up to {int(labels.max())}: no numbers of classes. Use smaller ones."
        )
    return labels.astype(np.int64)


def _of_rows(labels: Stored, where: str) -> NDArray[np.int64]:
    """One-hot labels, shape (n, classes)."""
    if labels.dtype.kind == "U":
        raise DataError(
            f"{where} labels are words, {labels.shape[1]} an image. Needed is one an image."
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"{where} labels have shape {labels.shape} and other values than 0 and 1. Needed is "
            "one label an image: a number, a word, or a row with a single 1."
        )
    ones = (labels == 1).sum(axis=1)
    odd = np.flatnonzero(ones != 1)
    if len(odd):
        raise DataError(
            f"{where} labels mark {int(ones[odd[0]])} of {labels.shape[1]} classes for image "
            f"{odd[0] + 1:,} ({len(odd):,} such images): several labels an image (multi-label) are "
            "not searched for. Keep one label an image."
        )
    numbers: NDArray[np.int64] = labels.argmax(axis=1).astype(np.int64)
    return numbers


def _sorted(found: NDArray[Any]) -> list[Any]:
    """Numbers, or words; words that are all whole numbers by their value."""
    listed: list[Any] = found.tolist()
    if listed and isinstance(listed[0], str) and all(map(_is_whole, listed)):
        return sorted(listed, key=lambda word: (int(word), word))
    return sorted(listed)


def _is_whole(word: str) -> bool:
    return word.isascii() and word.removeprefix("-").isdigit()


def _some(labels: Sequence[Any]) -> str:
    """The first of these classes, and how many more."""
    shown = ", ".join(map(str, labels[:SHOWN]))
    more = f" and {len(labels) - SHOWN:,} more" if len(labels) > SHOWN else ""
    return f"class{'es' if len(labels) > 1 else ''} {shown}{more}"


def _named(found: list[Any], names: Sequence[str], where: str) -> tuple[list[str], list[str]]:
    """The names of these labels, and what is to be told."""
    if isinstance(found[0], str):
        return _by_names(found, names)
    if found[0] < 0 or found[-1] >= len(names):
        odd = found[0] if found[0] < 0 else found[-1]
        raise DataError(
            f"{where}: has label {odd}, and {len(names)} names of classes, 0 to {len(names) - 1}. "
            "Correct the labels or the names."
        )
    return _by_names([names[label] for label in found], names)


def _by_names(words: Sequence[str], names: Sequence[str]) -> tuple[list[str], list[str]]:
    left = [name for name in names if name not in set(words)]
    return list(words), [f"No training image is of {_some(left)}: left out."] if left else []
