"""torchvision's data sets, where torchvision keeps them; CIFAR also as it is downloaded."""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....sessions.records import DataSource
from .arrays import source_of
from .face import DataError, Source

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

NAMES = ("cifar10", "cifar100", "mnist", "fashion-mnist", "svhn")
LARGEST = 1 << 28
"""Bytes of one of their files: none has as many."""
Parts = tuple[dict[str, Any], dict[str, Any], list[str] | None]
"""Images and labels by split, and the classes' names."""


def reader(kind: str) -> Callable[[Path, DataSource], Source]:
    """The reader of one of them."""
    load = _cifar if kind.startswith("cifar") else _others

    def read(root: Path, source: DataSource) -> Source:
        try:
            images, labels, names = load(kind, root, source.download)
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            TypeError,
            AssertionError,
            KeyError,
            tarfile.TarError,
            zlib.error,
        ) as error:
            if source.download:
                remedy = "Check the connection and the free space, or copy the files there."
            else:
                remedy = "Copy the files there, or say --download to have them fetched."
            raise DataError(
                f"{kind}:{root}: not found, incomplete or damaged ({error}). {remedy}"
            ) from error
        return source_of(source.spec, images, labels, names, channels_first=True)

    return read


def _others(kind: str, root: Path, download: bool) -> Parts:
    from torchvision import datasets

    kinds: dict[str, Callable[[bool], VisionDataset]] = {
        "mnist": lambda train: datasets.MNIST(root, train, download=download),
        "fashion-mnist": lambda train: datasets.FashionMNIST(root, train, download=download),
        "svhn": lambda train: datasets.SVHN(root, "train" if train else "test", download=download),
    }
    images, labels, names = {}, {}, None
    for split in ("train", "test"):
        found: Any = kinds[kind](split == "train")
        array = np.asarray(found.data)
        images[split] = array[:, None] if array.ndim == 3 else array
        labels[split] = np.asarray(found.labels if kind == "svhn" else found.targets, np.int64)
        names = getattr(found, "classes", None)
    return images, labels, names


def _cifar(kind: str, place: Path, download: bool) -> Parts:
    """From the folder above the unpacked one, the unpacked one, or the .tar.gz.

    Its files are pickles: torchvision checks their MD5 sums before it unpickles them.
    """
    from torchvision import datasets

    known: Any = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[kind]
    if place.is_file():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _unpack(place, root / known.base_folder, known)
            return _found(known, root)
    if not download and not (place / known.base_folder).is_dir():
        known = type(kind, (known,), {"base_folder": place.name})
        return _found(known, place.parent)
    return _found(known, place, download)


def _unpack(archive: Path, folder: Path, known: Any) -> None:
    """The files that torchvision knows, and no others."""
    folder.mkdir()
    names = [name for name, _ in (*known.train_list, *known.test_list)]
    with tarfile.open(archive) as opened:
        for name in (*names, known.meta["filename"]):
            member = opened.getmember(f"{known.base_folder}/{name}")
            content = opened.extractfile(member)
            if content is None or member.size > LARGEST:
                raise ValueError(f"{member.name} is no file, or too large a one")
            folder.joinpath(name).write_bytes(content.read())


def _found(known: Any, root: Path, download: bool = False) -> Parts:
    images, labels, names = {}, {}, None
    for split in ("train", "test"):
        found = known(root, split == "train", download=download)
        images[split] = np.ascontiguousarray(found.data.transpose(0, 3, 1, 2))
        labels[split] = np.asarray(found.targets, np.int64)
        names = found.classes
    return images, labels, names
