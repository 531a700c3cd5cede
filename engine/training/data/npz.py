"""NumPy's .npz files, by the names that people give their arrays."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import DataSource
from .arrays import check_memory, source_of
from .face import DataError, Source, SplitName
from .names import split_named

SHORT: dict[str, tuple[SplitName, str]] = {
    name: (split, what)
    for letter, what in (("x", "images"), ("y", "labels"))
    for words, split in (
        (("tr", "train"), "train"),
        (("va", "val", "valid"), "val"),
        (("te", "test"), "test"),
    )
    for word in words
    for name in (f"{letter}{word}", f"{word}{letter}")
}
"""Names that run together."""
OURS = "xtr"
"""What was always channels first."""
IMAGES = {"x", "images", "image", "imgs", "img", "data", "features", "inputs", "input", "pixels"}
LABELS = {"y", "labels", "label", "targets", "target", "classes", "class"}
LARGEST_NAMES = 1 << 24
"""Bytes of all names of classes."""
NAMES = {"names", "name"}
EXPECTED = "x_train, y_train, x_test, y_test; train_images, train_labels, ...; X, y; images, labels"


def read(path: Path, source: DataSource) -> Source:
    """The arrays of a file.  Raises DataError."""
    where = f"npz:{path}"
    if not path.is_file():
        raise DataError(f"{where}: there is no such file.")
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise DataError(
                f"{where}: is a single array, and labels are needed, too. Save one file with "
                f"numpy.savez and names such as {EXPECTED}."
            )
        with file:
            return _source(file, where, source.background)
    except DataError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,  # encrypted, or packed in a way that is not known
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            f"{where}: cannot be read ({error}). Save it again with numpy.savez, plain numbers "
            "only."
        ) from error


def _source(file: np.lib.npyio.NpzFile, where: str, background: str) -> Source:
    found: dict[tuple[SplitName, str], str] = {}
    others = []
    for name in file.files:
        part = _part(name)
        if part is None:
            others.append(name)
            continue
        if part in found:
            raise DataError(
                f"{where}: {found[part]} and {name} may both be the {part[0]} {part[1]}. Save it "
                f"with one of them, and names such as {EXPECTED}."
            )
        found[part] = name
    notes = [f"Left out: {', '.join(others)}, arrays of other names."] if others else []
    splits: list[SplitName] = [s for s in ("train", "val", "test") if (s, "images") in found]
    if "train" not in splits:
        raise DataError(
            f"{where}: no array is named as training images (it holds "
            f"{', '.join(file.files) or 'nothing'}). Save it with names such as {EXPECTED}."
        )
    for split in list(splits):
        if (split, "labels") not in found:
            if split == "train":
                raise DataError(
                    f"{where}: {found[split, 'images']} has no labels beside it (it holds "
                    f"{', '.join(file.files)}). Save them with names such as {EXPECTED}."
                )
            notes.append(f"Left out: {found[split, 'images']}, images without labels.")
            splits.remove(split)
    wanted = [found[split, what] for split in splits for what in ("images", "labels")]
    _check_headers(file, wanted, where)
    images = {split: file[found[split, "images"]] for split in splits}
    labels = {split: file[found[split, "labels"]] for split in splits}
    for split in splits:
        images[split] = _images_first(images[split], labels[split], found[split, "images"], where)
    return source_of(
        where,
        images,
        labels,
        _names(file, found, labels["train"]),
        notes,
        background=background,
        channels_first=found["train", "images"].lower() == OURS,
    )


def _part(name: str) -> tuple[SplitName, str] | None:
    """The split and what of it an array of this name holds; `names` are those of the classes."""
    whole = name.lower()
    if whole in SHORT:
        return SHORT[whole]
    words = [w.lower() for w in re.findall(r"[A-Z]?[a-z]+\d*|[A-Z]+(?![a-z])\d*|\d+", name)]
    split: SplitName | None = None
    what = None
    for word in words:
        role = {"tr": "train", "te": "test", "va": "val"}.get(word) or split_named(word)
        if role is not None and split is None:
            split = role
        elif word in NAMES and what in (None, "labels"):
            what = "names"
        elif word in IMAGES and what is None:
            what = "images"
        elif word in LABELS and what is None:
            what = "labels"
        elif word not in ("set", "all", "fine"):
            return None
    if whole in ("classes", "label_names", "class_names", "target_names", "names"):
        what = "names"
    return None if what is None else (split or "train", what)


def _check_headers(file: np.lib.npyio.NpzFile, names: Sequence[str], where: str) -> None:
    """Before anything is unpacked: numbers only, and not more than memory holds."""
    size = 0
    for name in names:
        with _zip(file).open(_member(file, name)) as member:
            shape, kind = _header(member)
        if kind.hasobject:
            raise DataError(
                f"{where}: cannot be read: {name} holds Python objects, which may run any program. "
                "Save it again as plain numbers or words: numpy.savez(..., "
                f"{name}={name}.astype(str))."
            )
        size += math.prod(shape) * max(kind.itemsize, 1)
    check_memory(size, where)


def _member(file: np.lib.npyio.NpzFile, name: str) -> str:
    return f"{name}.npy" if f"{name}.npy" in _zip(file).namelist() else name


def _zip(file: np.lib.npyio.NpzFile) -> zipfile.ZipFile:
    assert file.zip is not None  # it is open
    return file.zip


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    reader = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, kind = reader(member)
    return shape, kind


def _images_first(
    images: NDArray[Any], labels: NDArray[Any], name: str, where: str
) -> NDArray[Any]:
    """MATLAB's order has images last; it is told from the number of labels."""
    count = len(labels) if labels.ndim else 0
    for what, array in (("images", images), ("labels", labels)):
        if array.ndim == 0:
            raise DataError(
                f"{where}: the {what} of {name} are a single value. Needed is one for each image."
            )
    if images.ndim in (3, 4) and len(images) != count and images.shape[-1] == count:
        raise DataError(
            f"{where}: {name} has shape {images.shape}, images last. Save it with images first: "
            f"numpy.moveaxis({name}, -1, 0)."
        )
    return images


def _names(
    file: np.lib.npyio.NpzFile,
    found: dict[tuple[SplitName, str], str],
    labels: NDArray[Any],
) -> list[str] | None:
    """The classes' names, where the file has one for each number."""
    name = found.get(("train", "names"))
    if name is None or labels.dtype.kind not in "iu":
        return None
    with _zip(file).open(_member(file, name)) as member:
        shape, kind = _header(member)
    if kind.kind not in "US" or len(shape) != 1 or shape[0] * kind.itemsize > LARGEST_NAMES:
        return None
    words = file[name]
    return [w.decode(errors="replace") if isinstance(w, bytes) else w for w in words.tolist()]
