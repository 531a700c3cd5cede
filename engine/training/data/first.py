"""How images were read at first (reader 1): sessions made then read so for ever.

`npz` and `folder` are read here; the other kinds read the same as today what was taken then.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import DataSource
from .face import DataError, Images, Labels, Split
from .names import is_dropping, splits_named

Read = tuple[Split, Split | None]
"""What can be trained on, and the test set if there is one."""


def npz(path: Path) -> Read:
    """A file of NumPy arrays."""
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


def folder(root: Path) -> Read:
    """A folder of image files, a folder a class."""
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
    return every, None


def _picture(path: str) -> NDArray[np.uint8]:
    """One image file, shape (1 or 3, height, width): grey stays grey."""
    from PIL import Image

    with Image.open(path) as image:
        if image.mode in ("1", "L"):
            return np.asarray(image.convert("L"))[None].copy()
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1).copy()


def check(pool: Split, test: Split, spec: str) -> int:
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


def warnings(source: DataSource) -> tuple[str, ...]:
    """What this reading takes otherwise than is meant, a sentence each; from names and headers.

    Nothing for a later reader, and nothing where the files are not here.
    """
    kind, _, path = source.spec.partition(":")
    place = Path(path)
    if source.reader != 1 or kind != "folder" or not place.is_dir():
        return ()
    classes = sorted(entry.name for entry in place.iterdir() if entry.is_dir())
    told = []
    as_splits = splits_named(classes)
    if as_splits and len(as_splits) == len(classes):
        told.append(
            f"takes the folders {', '.join(classes)} for classes: it searches a network that "
            "tells them from each other."
        )
    droppings = [name for name in classes if is_dropping(name)]
    if droppings:
        told.append(f"takes {', '.join(droppings)} for a class.")
    if any(_deep(path) for name in classes for path in _first_images(place / name)):
        told.append("takes its 16-bit images for nearly white ones.")
    if not told:
        return ()
    again = "A new session reads them as they are meant."
    return (*(f"this session's reading of {source.spec} {words}" for words in told), again)


def _first_images(folder: Path) -> list[Path]:
    """One image of a class: they are of one kind in nearly every folder."""
    deep = (".png", ".tif", ".tiff")
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in deep][:1]


def _deep(path: Path) -> bool:
    """Whether an image has 16 bits of grey."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.mode.startswith("I")
    except (OSError, UnidentifiedImageError):
        return False  # whether it can be read is the trainer's to say
