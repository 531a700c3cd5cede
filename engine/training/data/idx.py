"""IDX files, as MNIST came in and many sets after it: images and labels in files of their own.

Format: a magic number (two zero bytes, the type, the number of axes), the sizes of the axes, and
the values, all big-endian (Y. LeCun's MNIST page).
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import DataSource
from .arrays import check_memory, source_of
from .face import DataError, Source, SplitName
from .names import SPLITS, is_dropping, split_named

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
NAME = re.compile(
    r"(?P<stem>.*?)[-_.]?(?P<what>images|labels)[-.]idx(?P<axes>\d)[-.](ubyte|u?byte|int|float)"
    r"(?P<zipped>\.gz)?",
    re.IGNORECASE,
)
SPLIT = re.compile(rf"(?:^|(?<=[-_.]))(t10k|{'|'.join(SPLITS)})$", re.IGNORECASE)
QMNIST_CLASS = 0
"""Column of QMNIST's labels that has the class; the others say who wrote it."""


@dataclass(frozen=True)
class _File:
    """what: images or labels.  family: what the files of one data set share in their names."""

    path: Path
    what: str
    family: str
    split: SplitName
    zipped: bool


def read(path: Path, source: DataSource) -> Source:
    """The files of a folder; or of it those whose names begin so.  Raises DataError."""
    folder, prefix = path, ""
    if not path.is_dir():
        folder, prefix = path.parent, path.name
    files = _files(folder, prefix)
    if folder != path and not files:
        raise DataError(f"idx:{path}: there is no such folder. Name the one with the IDX files.")
    families = sorted({file.family for file in files})
    if len(families) > 1:
        listed = ", ".join(family or "one without a name" for family in families)
        raise DataError(
            f"idx:{path}: holds several data sets: {listed}. Name one, such as "
            f"idx:{folder / families[-1]}."
        )
    images: dict[SplitName, NDArray[Any]] = {}
    labels: dict[SplitName, NDArray[Any]] = {}
    notes = []
    for split in sorted({"train", *(file.split for file in files)}, key=_ORDER.index):
        found = {what: _chosen(files, split, what) for what in ("images", "labels")}
        for what, file in found.items():
            if file is None:
                name = {"train": "train", "val": "val", "test": "t10k"}[split]
                axes = 3 if what == "images" else 1
                raise DataError(
                    f"idx:{path}: {name}-{what}-idx{axes}-ubyte (or {name}-{what}-idx{axes}"
                    "-ubyte.gz) is missing."
                )
        assert found["images"] is not None
        assert found["labels"] is not None
        images[split] = _array(found["images"].path, (3, 4))
        told = _array(found["labels"].path, (1, 2))
        labels[split] = told[:, QMNIST_CLASS] if told.ndim == 2 and told.shape[1] > 2 else told
    if families and families[0].lower().startswith("emnist"):
        images = {split: array.swapaxes(1, 2) for split, array in images.items()}
        notes.append("EMNIST's files hold images on their side: rows and columns are exchanged.")
    if "test" not in images and source.reader == 1:
        raise DataError(
            f"idx:{path}: t10k-images-idx3-ubyte (or t10k-images-idx3-ubyte.gz) is missing."
        )
    return source_of(source.spec, images, labels, notes=notes)


_ORDER: list[SplitName] = ["train", "val", "test"]


def _files(folder: Path, prefix: str) -> list[_File]:
    if not folder.is_dir():
        return []
    files = []
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.name)
        if match is None or is_dropping(path.name) or not path.name.startswith(prefix):
            continue
        if path.is_dir():  # some programs unpack a file into a folder of its name
            path = path / path.name
        if not path.is_file():
            continue
        stem = match["stem"].rstrip("-_.")
        named = SPLIT.search(stem)
        split = "train"
        if named is not None:
            word = named[1].lower()
            split = "test" if word == "t10k" else split_named(word) or split
            stem = stem[: named.start()].rstrip("-_.")
        zipped = match["zipped"] is not None
        files.append(_File(path, match["what"].lower(), stem, split, zipped))
    return files


def _chosen(files: list[_File], split: SplitName, what: str) -> _File | None:
    """The file of a split; one that needs no unpacking before another."""
    there = [file for file in files if file.split == split and file.what == what]
    return min(there, key=lambda file: file.zipped, default=None)


def _array(path: Path, axes: tuple[int, ...]) -> NDArray[Any]:
    """One IDX file of so many axes, gzipped or not."""
    try:
        # a plain file is read where it is wanted: what does not fit into memory can be trained on
        content: bytes | NDArray[np.uint8] = (
            _unpacked(path)
            if path.suffix == ".gz"
            else np.memmap(path, np.uint8, "r")
            if path.stat().st_size
            else b""
        )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Fetch the file again.") from error
    begin = bytes(content[:4])
    if not _is_magic(begin, axes):
        what = " or ".join(map(str, axes))
        raise DataError(
            f"{path}: is no IDX file of {what} dimensions (it begins with "
            f"{begin.hex() or 'nothing'}). Fetch the file again."
        )
    if len(content) < 4 + 4 * begin[3]:
        raise DataError(f"{path}: truncated, within its header. Fetch the file again.")
    kind = np.dtype(TYPES[begin[2]])
    header, shape = _header(bytes(content[: 4 + 4 * begin[3]]))
    expected = header + math.prod(shape) * kind.itemsize
    if len(content) != expected:
        word = "truncated" if len(content) < expected else "longer than its header says"
        raise DataError(
            f"{path}: {word}, {len(content)} bytes of {expected}. Fetch the file again."
        )
    array: NDArray[Any] = np.frombuffer(content, kind, offset=header).reshape(shape)
    return array if kind.itemsize == 1 else array.astype(kind.newbyteorder("="))


def _is_magic(begin: bytes, axes: tuple[int, ...]) -> bool:
    return len(begin) == 4 and begin[:2] == b"\0\0" and begin[2] in TYPES and begin[3] in axes


def _header(content: bytes) -> tuple[int, tuple[int, ...]]:
    """Its length, and the shape that it tells."""
    shape = tuple(int(n) for n in np.frombuffer(content[4:], ">u4"))
    return len(content), shape


def _unpacked(path: Path) -> bytes:
    """A gzipped file; of one that is longer than its own header says no more than that."""
    with gzip.open(path) as file:
        begin = file.read(4)
        if not _is_magic(begin, (1, 2, 3, 4)):
            return begin
        head = begin + file.read(4 * begin[3])
        if len(head) < 4 + 4 * begin[3]:
            return head[:3]
        _, shape = _header(head)
        size = math.prod(shape) * np.dtype(TYPES[begin[2]]).itemsize
        check_memory(size, str(path))
        return head + file.read(size + 1)
