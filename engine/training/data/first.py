"""Reads images and labels, splits them, and says clearly what is wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import DataSource, DataSummary

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

Images = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int64]

KNOWN = (
    "digits",
    "idx:DIR",
    "npz:FILE",
    "folder:DIR",
    "cifar10:ROOT",
    "cifar100:ROOT",
    "mnist:ROOT",
    "fashion-mnist:ROOT",
    "svhn:ROOT",
)
PART = 4096
"""Images taken at a time, where a copy of all would be too much."""
TEST_FRACTION = 0.2
"""Share that data without a test set of their own give up for it."""


class DataError(ValueError):
    """Data that cannot be used; the message names the thing, the value and the remedy."""


@dataclass(frozen=True)
class Split:
    """Images, shape (n, channels, height, width), as they were stored; labels, shape (n,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Split:
        """The images of these numbers, in this order."""
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Data:
    """What a search trains on.  mean, std: shape (channels,), of the training split alone.

    pool: all images but the test set, as they were stored; the splits are numbers of them, so that
    nothing is held twice.  train_numbers, val_numbers: shape (n,), rising.
    """

    summary: DataSummary
    pool: Split
    train_numbers: NDArray[np.int64]
    val_numbers: NDArray[np.int64]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @property
    def train(self) -> Split:
        """The training split: a copy."""
        return self.pool.take(self.train_numbers)

    @property
    def val(self) -> Split:
        """The validation split: a copy."""
        return self.pool.take(self.val_numbers)


@dataclass(frozen=True)
class _Found:
    """What a source holds, checked.  kept, held_out: numbers of the images of either split."""

    pool: Split
    test: Split
    kept: NDArray[np.int64]
    held_out: NDArray[np.int64]
    classes: int

    def summary(self) -> DataSummary:
        """Counts, shape and fingerprint."""
        _, channels, height, width = self.pool.images.shape
        digest = hashlib.sha256()
        arrays: tuple[NDArray[Any], ...] = (
            self.pool.images,
            self.pool.labels,
            self.kept,
            self.held_out,
        )
        for array in arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return DataSummary(
            channels=channels,
            height=height,
            width=width,
            classes=self.classes,
            train=len(self.kept),
            val=len(self.held_out),
            test=len(self.test),
            fingerprint=digest.hexdigest(),
        )


def read(source: DataSource) -> Data:
    """Read and split the data of a search; the test set is checked and counted, not kept.

    Raises DataError.
    """
    found = _found(source)
    for name, part in (("training", found.kept), ("validation", found.held_out)):
        counts = np.bincount(found.pool.labels[part], minlength=found.classes)
        if not counts.all():
            raise DataError(
                f"{source.spec}: the {name} split of {len(part)} images has none of class "
                f"{int(counts.argmin())}. Take more images (a larger train_size) or another "
                f"val_fraction (now {source.val_fraction:g})."
            )
    moments = _moments(found.pool.images, found.kept)
    return Data(found.summary(), found.pool, found.kept, found.held_out, *moments)


def read_final(source: DataSource) -> tuple[Data, Split]:
    """What the end of a search trains on, and the test set; nothing else may call this.

    `train` holds the training and the validation images together, `val` none.  The fingerprint
    is that of `read`, so that it tells whether the data are the search's.  Raises DataError.
    """
    found = _found(source)
    every, none = np.arange(len(found.pool)), np.empty(0, np.int64)
    moments = _moments(found.pool.images, every)
    return Data(found.summary(), found.pool, every, none, *moments), found.test


def _found(source: DataSource) -> _Found:
    pool, test = _read(source)
    classes = _check(pool, test, source.spec)
    pool = _subset(pool, source)
    held_out = _stratified(pool.labels, round(source.val_fraction * len(pool)), source.seed)
    return _Found(pool, test, _rest(held_out, len(pool)), held_out, classes)


def _read(source: DataSource) -> tuple[Split, Split]:
    """What can be trained on, and the test set."""
    kind, _, place = source.spec.partition(":")
    known = ", ".join(KNOWN)
    if source.spec == "digits":
        return _digits(source)
    if kind not in _READERS:
        raise DataError(f"unknown data set {source.spec!r}. Known are: {known}.")
    if not place:
        form = next(name for name in KNOWN if name.startswith(f"{kind}:"))
        raise DataError(f"{source.spec}: says no place. Write {form}.")
    return _READERS[kind](Path(place).expanduser(), source)


def _digits(source: DataSource) -> tuple[Split, Split]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    every = Split(images.reshape(-1, 1, 8, 8).astype(np.uint8), labels.astype(np.int64))
    return _give_up_test(every, source)


def _idx(folder: Path, source: DataSource) -> tuple[Split, Split]:
    if not folder.is_dir():
        raise DataError(f"idx:{folder}: there is no such folder. Name the one with the IDX files.")
    parts = []
    for name in ("train", "t10k"):
        images = _idx_array(folder, f"{name}-images", 3)
        labels = _idx_array(folder, f"{name}-labels", 1)
        parts.append(Split(images[:, None], labels.astype(np.int64)))
    return parts[0], parts[1]


def _idx_array(folder: Path, stem: str, dimensions: int) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes, gzipped or not (format: Y. LeCun's MNIST page)."""
    names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in ("-", ".") for end in ("", ".gz")]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"idx:{folder}: {names[0]} (or {names[1]}) is missing.")
    try:
        # a plain file is read where it is wanted: what does not fit into memory can be trained on
        content: bytes | NDArray[np.uint8] = (
            gzip.decompress(path.read_bytes())
            if path.suffix == ".gz"
            else np.memmap(path, np.uint8, "r")
            if path.stat().st_size
            else b""
        )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Fetch the file again.") from error
    header = 4 + 4 * dimensions
    begin = bytes(content[:4])
    if len(content) < header or begin != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"{path}: is no IDX file of {dimensions}-dimensional unsigned bytes "
            f"(it begins with {begin.hex() or 'nothing'}). Fetch the file again."
        )
    shape = tuple(int(n) for n in np.frombuffer(bytes(content[4:header]), ">u4"))
    expected = header + int(np.prod(shape))
    if len(content) != expected:
        word = "truncated" if len(content) < expected else "longer than its header says"
        raise DataError(
            f"{path}: {word}, {len(content)} bytes of {expected}. Fetch the file again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _npz(path: Path, source: DataSource) -> tuple[Split, Split]:
    if not path.is_file():
        raise DataError(f"npz:{path}: there is no such file.")
    arrays: dict[str, NDArray[Any]] = {}
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(
                f"npz:{path}: is a single array. Save one file with numpy.savez and the names "
                "xtr, ytr, xte, yte."
            )
        with archive:
            for name in ("xtr", "ytr", "xte", "yte"):
                if name not in archive:
                    there = ", ".join(archive.files) or "nothing"
                    raise DataError(
                        f"npz:{path}: the array {name} is missing (it holds {there}). "
                        "Save it with the names xtr, ytr, xte, yte."
                    )
                arrays[name] = archive[name]
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"npz:{path}: cannot be read ({error}). Save it again with numpy.savez, plain "
            "numbers only."
        ) from error
    return (
        Split(_npz_images(arrays["xtr"], path, "xtr"), _npz_labels(arrays["ytr"], path, "ytr")),
        Split(_npz_images(arrays["xte"], path, "xte"), _npz_labels(arrays["yte"], path, "yte")),
    )


def _npz_images(images: NDArray[Any], path: Path, name: str) -> Images:
    if images.ndim != 4:
        raise DataError(
            f"npz:{path}: {name} has shape {images.shape}. Needed is (images, channels, height, "
            "width); grey images get their one channel with x[:, None]."
        )
    if images.shape[3] in (3, 4) and images.shape[1] > 4:
        raise DataError(
            f"npz:{path}: {name} has shape {images.shape}, channels last. Needed is channels "
            "first: x.transpose(0, 3, 1, 2)."
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "biuf":
        raise DataError(
            f"npz:{path}: {name} is of type {images.dtype}. Save it as uint8 or float32."
        )
    values = images.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"npz:{path}: {name} holds NaN or infinity. Replace them and save again.")
    return values


def _npz_labels(labels: NDArray[Any], path: Path, name: str) -> Labels:
    if labels.ndim != 1:
        raise DataError(
            f"npz:{path}: {name} has shape {labels.shape}. Needed is one class number an image, "
            "shape (images,)."
        )
    whole = labels.dtype.kind in "biu" or (
        labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())
    )
    if not whole:
        raise DataError(
            f"npz:{path}: {name} holds labels that are not whole numbers (type {labels.dtype}). "
            "Number the classes from 0."
        )
    return labels.astype(np.int64)


def _folder(root: Path, source: DataSource) -> tuple[Split, Split]:
    from torchvision.datasets import ImageFolder

    if not root.is_dir():
        raise DataError(f"folder:{root}: there is no such folder. Name one with a folder a class.")
    try:
        found = ImageFolder(str(root), loader=_picture)
    except FileNotFoundError as error:
        raise DataError(
            f"folder:{root}: {error}. Needed is a folder a class, each with images in it."
        ) from error
    pictures: list[NDArray[np.uint8]] = []
    for path, _ in found.samples:
        try:
            picture = found.loader(path)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}). Repair or remove it.") from error
        if pictures and picture.shape[1:] != pictures[0].shape[1:]:
            first, other = pictures[0].shape, picture.shape
            raise DataError(
                f"folder:{root}: images of different sizes: {found.samples[0][0]} is "
                f"{first[2]}x{first[1]}, {path} is {other[2]}x{other[1]}. Scale all to one size."
            )
        pictures.append(picture)
    if any(len(picture) == 3 for picture in pictures):
        pictures = [np.repeat(p, 3, 0) if len(p) == 1 else p for p in pictures]
    every = Split(np.stack(pictures), np.array(found.targets, dtype=np.int64))
    return _give_up_test(every, source)


def _picture(path: str) -> NDArray[np.uint8]:
    """One image file, shape (1 or 3, height, width): grey stays grey."""
    from PIL import Image

    with Image.open(path) as image:
        if image.mode in ("1", "L"):
            return np.asarray(image.convert("L"))[None].copy()
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1).copy()


def _torchvision(kind: str) -> Callable[[Path, DataSource], tuple[Split, Split]]:
    """The reader of one of torchvision's data sets, which checks MD5 sums before it unpickles."""

    def reader(root: Path, source: DataSource) -> tuple[Split, Split]:
        from torchvision import datasets

        kinds: dict[str, Callable[[bool], VisionDataset]] = {
            "cifar10": lambda train: datasets.CIFAR10(root, train, download=source.download),
            "cifar100": lambda train: datasets.CIFAR100(root, train, download=source.download),
            "mnist": lambda train: datasets.MNIST(root, train, download=source.download),
            "fashion-mnist": lambda train: datasets.FashionMNIST(
                root, train, download=source.download
            ),
            "svhn": lambda train: datasets.SVHN(
                root, "train" if train else "test", download=source.download
            ),
        }
        parts = []
        for train in (True, False):
            try:
                found: Any = kinds[kind](train)
            except (
                OSError,
                EOFError,
                RuntimeError,
                ValueError,
                TypeError,
                AssertionError,
            ) as error:
                if source.download:
                    remedy = "Check the connection and the free space, or copy the files there."
                else:
                    remedy = "Copy the files there, or say --download to have them fetched."
                raise DataError(
                    f"{kind}:{root}: not found, incomplete or damaged ({error}). {remedy}"
                ) from error
            images = np.asarray(found.data)
            if images.ndim == 3:
                images = images[:, None]
            elif kind.startswith("cifar"):
                images = images.transpose(0, 3, 1, 2)
            labels = found.labels if kind == "svhn" else found.targets
            parts.append(Split(np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64)))
        return parts[0], parts[1]

    return reader


_READERS: dict[str, Callable[[Path, DataSource], tuple[Split, Split]]] = {
    "idx": _idx,
    "npz": _npz,
    "folder": _folder,
    **{
        kind: _torchvision(kind)
        for kind in ("cifar10", "cifar100", "mnist", "fashion-mnist", "svhn")
    },
}


def _check(pool: Split, test: Split, spec: str) -> int:
    """The number of classes; raises DataError where images and labels do not fit together."""
    for name, part in (("training", pool), ("test", test)):
        if len(part.images) != len(part.labels):
            raise DataError(
                f"{spec}: {len(part.images)} {name} images but {len(part.labels)} labels. "
                "Each image needs one label."
            )
        if not part.images.size:
            raise DataError(f"{spec}: there are no {name} images (shape {part.images.shape}).")
    if pool.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"{spec}: images of different sizes: training {pool.images.shape[1:]}, test "
            f"{test.images.shape[1:]} (channels, height, width). Scale all to one size."
        )
    found = np.unique(pool.labels)
    if len(found) == 1:
        raise DataError(
            f"{spec}: has one class only ({int(found[0])}). Needed are two classes or more."
        )
    if not np.array_equal(found, np.arange(len(found))):
        raise DataError(
            f"{spec}: the labels of the {len(found)} classes go from {int(found[0])} to "
            f"{int(found[-1])}. Number the classes from 0 to {len(found) - 1}, without a gap."
        )
    unknown = np.setdiff1d(test.labels, found)
    if len(unknown):
        raise DataError(
            f"{spec}: the test set has label {int(unknown[0])}, the training set has only 0 to "
            f"{len(found) - 1}. Correct the labels."
        )
    return len(found)


def _subset(pool: Split, source: DataSource) -> Split:
    size = source.train_size
    if size is None or size == len(pool):
        return pool
    if size > len(pool):
        raise DataError(
            f"train_size = {size}: {source.spec} has only {len(pool)} images to train on. "
            f"Take {len(pool)} or fewer, or leave it out."
        )
    return pool.take(_stratified(pool.labels, size, source.seed))


def _give_up_test(every: Split, source: DataSource) -> tuple[Split, Split]:
    """A fifth of every class, for data that bring no test set."""
    taken = _stratified(every.labels, round(TEST_FRACTION * len(every)), source.seed)
    pool, test = every.take(_rest(taken, len(every))), every.take(taken)
    classes = int(every.labels.max()) + 1
    for name, part in (("training", pool), ("test", test)):
        counts = np.bincount(part.labels, minlength=classes)
        if not counts.all():
            raise DataError(
                f"{source.spec}: class {int(counts.argmin())} has too few images: a fifth goes to "
                f"the test set, and the {name} set has none. Add images of that class."
            )
    return pool, test


def _stratified(labels: Labels, count: int, seed: int) -> NDArray[np.int64]:
    """Numbers, in rising order, of `count` images, every class in proportion.

    What rounding leaves over goes to the classes with the largest remainders.
    """
    rng = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    share = sizes * count / len(labels)
    whole = np.floor(share).astype(np.int64)
    order = np.argsort(whole - share, kind="stable")
    whole[order[: count - whole.sum()]] += 1
    taken = [
        rng.permutation(np.flatnonzero(labels == label))[:size]
        for label, size in zip(classes, whole, strict=True)
    ]
    return np.sort(np.concatenate(taken))


def _rest(taken: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(count), taken, assume_unique=True)


def _moments(
    images: Images, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel, shape (channels,); a constant one has 1.

    Of the images of these numbers, some at a time: no second copy of all is made.
    """
    parts = [numbers[start : start + PART] for start in range(0, len(numbers), PART)]
    mean, std = [], []
    for channel in range(images.shape[1]):
        size = len(numbers) * images[0, channel].size
        if images.dtype == np.uint8:
            counts = np.zeros(256, np.int64)
            for part in parts:
                counts += np.bincount(images[part, channel].ravel(), minlength=256)
            levels = np.arange(256.0)
            centre = float(counts @ levels) / size
            spread = float(np.sqrt(counts @ (levels - centre) ** 2 / size))
        else:
            centre = sum(float(images[p, channel].sum(dtype=np.float64)) for p in parts) / size
            squares = sum(
                float(np.square(images[p, channel] - centre, dtype=np.float64).sum()) for p in parts
            )
            spread = float(np.sqrt(squares / size))
        mean.append(centre)
        std.append(spread or 1.0)
    return np.array(mean, np.float32), np.array(std, np.float32)
