"""Arrays, tables and other files of many images: read rightly, or refused in words."""

import csv
import gzip
import io
import json
import os
import resource
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lcsearch.engine.training.data import DataError, read, read_final
from lcsearch.engine.training.data.face import Source, Split
from lcsearch.engine.training.data.registry import opened
from lcsearch.sessions.records import READER, DataSource

Array = NDArray[Any]
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 6, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 6, 5, 3), np.uint8)
LABELS = np.arange(12) % 3
FIRST = COLOUR.transpose(0, 3, 1, 2)


def source(spec: str, **how: Any) -> DataSource:
    return DataSource(spec=spec, reader=READER, **how)


def told(found: Source) -> str:
    return " ".join(found.notes)


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return f"npz:{path}"


def refused(spec: str, **how: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(source(spec, **how))
    message = str(caught.value)
    assert message.endswith((".", ")"))
    return message


# npz: names and layouts -------------------------------------------------------------------------

NPZ: dict[str, tuple[dict[str, Array], Array, Array, str]] = {
    "Keras": (
        {"x_train": GREY, "y_train": LABELS, "x_test": GREY[:3], "y_test": LABELS[:3]},
        GREY[:, None],
        LABELS,
        "",
    ),
    "ours": ({"xtr": FIRST, "ytr": LABELS, "xte": FIRST[:3], "yte": LABELS[:3]}, FIRST, LABELS, ""),
    "X, y": ({"X": COLOUR, "y": LABELS}, FIRST, LABELS, ""),
    "images, labels": ({"images": GREY[..., None], "labels": LABELS}, GREY[:, None], LABELS, ""),
    "data, targets": ({"data": FIRST, "targets": LABELS}, FIRST, LABELS, ""),
    "capitals": ({"X_Train": GREY, "Y_Train": LABELS}, GREY[:, None], LABELS, ""),
    "trainImages": ({"trainImages": GREY, "trainLabels": LABELS}, GREY[:, None], LABELS, ""),
    "run together": ({"trainX": GREY, "trainy": LABELS}, GREY[:, None], LABELS, ""),
    "one-hot": ({"X": GREY, "y": np.eye(3)[LABELS]}, GREY[:, None], LABELS, ""),
    "(n, 1)": ({"X": GREY, "y": LABELS[:, None]}, GREY[:, None], LABELS, ""),
    "from 1": ({"X": GREY, "y": LABELS + 1}, GREY[:, None], LABELS, "Labels are 1 to 3"),
    "with gaps": ({"X": GREY, "y": LABELS * 10}, GREY[:, None], LABELS, "not all of them"),
    "floats that are whole": ({"X": GREY, "y": LABELS.astype(float)}, GREY[:, None], LABELS, ""),
    "booleans": ({"X": GREY, "y": LABELS > 0}, GREY[:, None], LABELS > 0, ""),
    "words": (
        {"X": GREY, "y": np.array(["cat", "dog", "eel"])[LABELS]},
        GREY[:, None],
        LABELS,
        "",
    ),
    "bytes": (
        {"X": GREY, "y": np.array([b"cat", b"dog", b"eel"])[LABELS]},
        GREY[:, None],
        LABELS,
        "",
    ),
    "0 to 1 in bytes": (
        {"X": (GREY / 255).astype(np.float32), "y": LABELS},
        GREY[:, None],
        LABELS,
        "steps of 1/255",
    ),
    "whole floats": (
        {"X": GREY.astype(float), "y": LABELS},
        GREY[:, None],
        LABELS,
        "taken as bytes",
    ),
    "int64": ({"X": GREY.astype(np.int64), "y": LABELS}, GREY[:, None], LABELS, ""),
    "floats": (
        {"X": GREY / 100 - 1, "y": LABELS},
        (GREY[:, None] / 100 - 1).astype(np.float32),
        LABELS,
        "",
    ),
    "16 bits": (
        {"X": GREY.astype(np.uint16) * 200, "y": LABELS},
        GREY[:, None].astype(np.float32) * 200,
        LABELS,
        "kept whole",
    ),
    "true and false": ({"X": GREY > 99, "y": LABELS}, (GREY[:, None] > 99) * 255, LABELS, "white"),
    "rows of a square": (
        {"X": GREY[:, :5, :5].reshape(12, 25), "y": LABELS},
        GREY[:, None, :5, :5],
        LABELS,
        "grey images of 5x5",
    ),
    "13 channels last": (
        {"X": RNG.integers(0, 9, (12, 20, 20, 13)).astype(np.uint8), "y": LABELS},
        np.empty(0),
        LABELS,
        "13 channels, which stand last",
    ),
}


@pytest.mark.parametrize("name", NPZ)
def test_an_npz_file_by_its_names(name: str, tmp_path: Path) -> None:
    arrays, images, labels, words = NPZ[name]
    found = opened(source(npz(tmp_path / "x.npz", **arrays)))
    if images.size:
        assert found.pool.images.dtype in (np.uint8, np.float32)
        assert np.array_equal(found.pool.images, images)
    assert found.pool.labels.tolist() == labels.astype(int).tolist()
    assert words in told(found)
    if not words:
        assert not found.notes


def test_words_and_numbers_stay_the_names_of_classes(tmp_path: Path) -> None:
    words = np.array(["dog", "cat", "10"])[LABELS]
    assert opened(source(npz(tmp_path / "a.npz", X=GREY, y=words))).names == ("10", "cat", "dog")
    gaps = np.array([2, 10, 7])[LABELS]
    found = opened(source(npz(tmp_path / "b.npz", X=GREY, y=gaps)))
    assert found.names == ("2", "7", "10")
    assert found.pool.labels[:3].tolist() == [0, 2, 1]
    names = np.array(["ant", "bee", "cow"])
    found = opened(source(npz(tmp_path / "c.npz", data=GREY, target=LABELS, target_names=names)))
    assert found.names == ("ant", "bee", "cow")


def test_the_splits_of_medmnist_are_used(tmp_path: Path) -> None:
    arrays = {}
    for at, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"] = GREY[4 * at : 4 * at + 4]
        arrays[f"{split}_labels"] = np.array([[0], [1], [0], [1]], np.uint8)
    spec = npz(tmp_path / "pathmnist.npz", **arrays)
    data = read(source(spec))
    assert np.array_equal(data.train.images[:, 0], GREY[:4])
    assert np.array_equal(data.val.images[:, 0], GREY[4:8])
    _, test = read_final(source(spec))
    assert np.array_equal(test.images[:, 0], GREY[8:])


def test_images_without_labels_are_left_out_and_told(tmp_path: Path) -> None:
    spec = npz(tmp_path / "x.npz", x_train=GREY, y_train=LABELS, x_test=GREY)
    found = opened(source(spec))
    assert found.test is None
    assert "Left out: x_test, images without labels." in found.notes


class Trap:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return (os.system, ("touch sprung",))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "volumes": ({"X": np.zeros((12, 28, 28, 28), np.uint8), "y": LABELS}, "volumes of 28x28x28"),
    "volumes under our names": (
        {"xtr": np.zeros((12, 28, 28, 28), np.uint8), "ytr": LABELS},
        "volumes of 28x28x28",
    ),
    "volumes with channels": (
        {"X": np.zeros((12, 8, 8, 8, 1), np.uint8), "y": LABELS},
        "volumes or films",
    ),
    "several labels in a word": (
        {"X": GREY, "y": np.array(["cat", "dog", "cat|dog"])[LABELS]},
        "'cat|dog' names several classes",
    ),
    "several labels": ({"X": GREY, "y": np.ones((12, 14), int)}, "several labels an image"),
    "shares": ({"X": GREY, "y": np.full((12, 2), 0.5)}, "other values than 0 and 1"),
    "measures": ({"X": GREY, "y": LABELS + 0.5}, "not whole numbers"),
    "NaN labels": ({"X": GREY, "y": np.full(12, np.nan)}, "not whole numbers"),
    "numbers of images": (
        {"X": RNG.integers(0, 256, (30, 4, 5), np.uint8), "y": np.arange(30)},
        "a label of its own",
    ),
    "one class": ({"X": GREY, "y": np.zeros(12, int)}, "one class only"),
    "too few labels": ({"X": GREY, "y": LABELS[:11]}, "12 training images but 11 labels"),
    "images last": ({"X": np.moveaxis(GREY, 0, -1), "y": LABELS}, "images last"),
    "no images": ({"X": GREY[:0], "y": LABELS[:0]}, "no training images"),
    "NaN": ({"X": np.where(GREY > 99, np.nan, 0.5), "y": LABELS}, "NaN or infinity"),
    "complex": ({"X": GREY * 1j, "y": LABELS}, "complex128"),
    "objects": ({"X": GREY, "y": np.array([Trap()] * 12, object)}, "Python objects"),
    "rows of colour": ({"X": np.zeros((12, 3072)), "y": LABELS}, "reshape(-1, 3, 32, 32)"),
    "rows of any length": ({"X": np.zeros((12, 17)), "y": LABELS}, "shape (12, 17)"),
    "no labels": ({"x_train": GREY}, "no labels beside it"),
    "other names": ({"foo": GREY, "bar": LABELS}, "it holds foo, bar"),
    "two of a kind": ({"X": GREY, "data": GREY, "y": LABELS}, "X and data may both be"),
    "no training images": ({"x_test": GREY, "y_test": LABELS}, "named as training images"),
    "a class of the test set alone": (
        {"x_train": GREY, "y_train": LABELS, "x_test": GREY, "y_test": LABELS + 1},
        "the test split has class 3, the training split has not",
    ),
    "sizes": (
        {"x_train": GREY, "y_train": LABELS, "x_test": GREY[:, :5], "y_test": LABELS},
        "different sizes",
    ),
    "two scales": (
        {"x_train": GREY / 255 * 0.99, "y_train": LABELS, "x_test": GREY, "y_test": LABELS},
        "not of one scale",
    ),
    "two scales the other way": (
        {"x_train": GREY, "y_train": LABELS, "x_val": GREY / 255, "y_val": LABELS},
        "not of one scale",
    ),
    "labels without end": ({"X": GREY, "y": np.where(LABELS == 1, np.inf, 0.0)}, "not whole"),
    "labels above all numbers": ({"X": GREY, "y": np.full(12, 2**63, np.uint64)}, "no numbers of"),
    "empty words": ({"X": GREY, "y": np.array(["a", "b", ""])[LABELS]}, "4 are empty"),
    "large ones": ({"X": np.zeros((12, 65, 65), np.uint8), "y": LABELS}, "--image-size 64x64"),
    "a single number": ({"X": np.uint8(3), "y": LABELS}, "are a single value"),
    "a single label": ({"X": GREY, "y": np.int64(3)}, "are a single value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_npz_file_that_cannot_be_searched_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arrays, words = REFUSED[name]
    assert words in refused(npz(tmp_path / "x.npz", **arrays))
    assert not (tmp_path / "sprung").exists()


def test_an_npz_file_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 28, 28)}
    )
    labels = io.BytesIO()
    np.save(labels, LABELS)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("X.npy", header.getvalue())
        file.writestr("y.npy", labels.getvalue())
    assert "GB of memory" in refused(f"npz:{tmp_path / 'x.npz'}")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREY)
    assert "single array" in refused(f"npz:{tmp_path / 'x.npy'}")


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_last_channel_of_two_or_four_is_transparency(kind: type, tmp_path: Path) -> None:
    alpha = RNG.choice(np.array([0, 255], np.uint8), (12, 6, 5, 1))
    for colours in (COLOUR, GREY[..., None]):
        clear = np.concatenate([colours, alpha], axis=3)
        stored = clear if kind is np.uint8 else (clear / 255 * 0.9999).astype(np.float32)
        spec = npz(tmp_path / "x.npz", X=stored, y=LABELS)
        found = opened(source(spec, background="#202020"))
        expected = np.where(alpha == 255, colours, 32).transpose(0, 3, 1, 2)
        images = found.pool.images.astype(np.float64) * (1 if kind is np.uint8 else 255)
        assert np.abs(images - expected).max() < 0.1
        assert "laid over #202020" in told(found)


def test_four_channels_that_are_no_brightness_are_kept(tmp_path: Path) -> None:
    radar = RNG.integers(0, 9999, (12, 6, 5, 4)).astype(np.uint16)
    found = opened(source(npz(tmp_path / "x.npz", X=radar, y=LABELS)))
    assert np.array_equal(found.pool.images, radar.transpose(0, 3, 1, 2))


def test_words_that_are_no_unicode_are_told_all_the_same(tmp_path: Path) -> None:
    words = np.array(["a", "b", "c\ud800"])[LABELS]
    data = read(source(npz(tmp_path / "x.npz", X=GREY, y=words)))
    assert data.summary.names == ("a", "b", "c?")
    assert data.summary.model_dump_json()


def test_many_names_of_classes_are_not_read(tmp_path: Path) -> None:
    names = np.zeros(1 << 23, "<U1")
    np.savez_compressed(tmp_path / "x.npz", X=GREY, y=LABELS, class_names=names)
    assert opened(source(f"npz:{tmp_path / 'x.npz'}")).names == ("0", "1", "2")


def test_arrays_are_not_made_larger_than_memory(tmp_path: Path) -> None:
    images = np.zeros((200_000, 1, 1), np.uint8)
    spec = npz(tmp_path / "x.npz", X=images, y=np.arange(200_000) % 3)
    assert "at --image-size 1024x1024: needs" in refused(spec, image_size=(1024, 1024))


def test_an_npz_file_packed_in_a_way_that_is_not_known_is_refused(tmp_path: Path) -> None:
    spec = npz(tmp_path / "x.npz", X=GREY, y=LABELS)
    path = tmp_path / "x.npz"
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        first = content.index(mark)
        content[first + at : first + at + 2] = struct.pack("<H", 97)
    path.write_bytes(content)
    assert "cannot be read" in refused(spec)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_arrays_are_brought_to_a_size_as_files_are(kind: type, fit: str, tmp_path: Path) -> None:
    wide = np.zeros((12, 8, 24, 3), np.uint8)
    wide[:, :, :8] = (200, 100, 50)
    wide[:, :, 8:16] = (10, 20, 30)
    stored = wide if kind is np.uint8 else (wide / 255).astype(np.float32) * np.float32(0.999)
    spec = npz(tmp_path / "x.npz", X=stored, y=LABELS)
    found = opened(source(spec, image_size=(8, 8), fit=fit, background="#ff0000"))
    assert found.pool.images.shape == (12, 3, 8, 8)
    scale = 1 if kind is np.uint8 else 1 / 255
    middle = found.pool.images[0, :, 4, 4]
    assert np.abs(middle / scale - (10, 20, 30)).max() < (1 if fit == "crop" else 5)
    corner = {"crop": (10, 20, 30), "pad": (255, 0, 0), "stretch": (200, 100, 50)}[fit]
    assert np.abs(found.pool.images[0, :, 0, 0] / scale - corner).max() < 3
    assert f"brought to 8x8 ({fit}" in told(found)


def test_a_colour_to_pad_with_needs_values_that_are_brightness(tmp_path: Path) -> None:
    spec = npz(tmp_path / "x.npz", X=RNG.normal(size=(12, 6, 8)), y=LABELS)
    assert "--fit crop" in refused(spec, image_size=(4, 4), fit="pad")
    assert opened(source(spec, image_size=(4, 4))).pool.images.shape == (12, 1, 4, 4)


# idx --------------------------------------------------------------------------------------------


def idx(path: Path, array: Array, kind: int = 8) -> None:
    head = bytes((0, 0, kind, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    content = head + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


IDX: dict[str, tuple[Mapping[str, str], int, str]] = {
    "MNIST": ({"train": "train-{}-idx{}-ubyte.gz", "test": "t10k-{}-idx{}-ubyte.gz"}, 0, ""),
    "Kaggle": ({"train": "train-{}.idx{}-ubyte", "test": "t10k-{}.idx{}-ubyte"}, 0, ""),
    "Kaggle, unpacked": (
        {
            "train": "train-{0}-idx{1}-ubyte/train-{0}-idx{1}-ubyte",
            "test": "t10k-{0}-idx{1}-ubyte/t10k-{0}-idx{1}-ubyte",
        },
        0,
        "",
    ),
    "EMNIST": (
        {
            "train": "emnist-letters-train-{}-idx{}-ubyte.gz",
            "test": "emnist-letters-test-{}-idx{}-ubyte.gz",
        },
        1,
        "rows and columns are exchanged",
    ),
    "no test set": ({"train": "digits-{}-idx{}-ubyte"}, 0, ""),
}


@pytest.mark.parametrize("name", IDX)
def test_idx_files_by_their_names(name: str, tmp_path: Path) -> None:
    names, begin, words = IDX[name]
    for form in names.values():
        idx(tmp_path / form.format("images", 3), GREY)
        idx(tmp_path / form.format("labels", 1), (LABELS + begin).astype(np.uint8))
    found = opened(source(f"idx:{tmp_path}"))
    expected = GREY.swapaxes(1, 2) if name == "EMNIST" else GREY
    assert np.array_equal(found.pool.images[:, 0], expected)
    assert found.pool.labels.tolist() == LABELS.tolist()
    assert (found.test is None) == (name == "no test set")
    assert found.names == tuple(str(number + begin) for number in range(3))
    assert words in told(found)


def test_the_labels_of_qmnist_say_the_class_first(tmp_path: Path) -> None:
    wide = np.zeros((12, 8), ">i4")
    wide[:, 0] = LABELS
    wide[:, 1:] = RNG.integers(0, 4000, (12, 7))
    for split in ("train", "test"):
        idx(tmp_path / f"qmnist-{split}-images-idx3-ubyte.gz", GREY)
        idx(tmp_path / f"qmnist-{split}-labels-idx2-int.gz", wide, 12)
    found = opened(source(f"idx:{tmp_path}"))
    assert found.pool.labels.tolist() == LABELS.tolist()


def test_several_idx_sets_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("emnist-letters", "emnist-digits"):
        idx(tmp_path / f"{name}-train-images-idx3-ubyte", GREY)
        idx(tmp_path / f"{name}-train-labels-idx1-ubyte", LABELS.astype(np.uint8))
    message = refused(f"idx:{tmp_path}")
    assert "emnist-digits, emnist-letters" in message
    assert opened(source(f"idx:{tmp_path / 'emnist-letters'}")).pool.images.shape == (12, 1, 5, 6)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("length", [0, 3, 4, 7, 11])
def test_an_idx_file_that_ends_in_its_header_is_refused(
    length: int, ending: str, tmp_path: Path
) -> None:
    idx(tmp_path / "train-labels-idx1-ubyte", LABELS.astype(np.uint8))
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    head = (bytes((0, 0, 8, 3)) + np.array(GREY.shape, ">u4").tobytes())[:length]
    path.write_bytes(gzip.compress(head) if ending else head)
    assert path.name in refused(f"idx:{tmp_path}")


def test_a_gzipped_idx_bomb_is_refused(tmp_path: Path) -> None:
    head = bytes((0, 0, 8, 3)) + np.array([1 << 30, 1 << 10, 1 << 10], ">u4").tobytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + bytes(1 << 20)))
    idx(tmp_path / "train-labels-idx1-ubyte", LABELS.astype(np.uint8))
    assert "GB of memory" in refused(f"idx:{tmp_path}")


# tables -----------------------------------------------------------------------------------------


def table(path: Path, rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return f"csv:{path}"


def files(root: Path, folder: str = "", ending: str = ".png") -> list[str]:
    """Names without an ending of twelve files of GREY."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(GREY):
        Image.fromarray(pixels).save(root / folder / f"im{number}{ending}")
    return [f"im{number}" for number in range(12)]


WORDS = np.array(["cat", "dog", "eel"])
LISTS: dict[str, tuple[Callable[[Path], str], dict[str, str], str]] = {
    "names and labels": (
        lambda root: table(
            root / "t.csv",
            [
                ("filename", "label"),
                *((f"{n}.png", WORDS[c]) for n, c in zip(files(root), LABELS, strict=True)),
            ],
        ),
        {},
        "image=filename, label=label",
    ),
    "tabs": (
        lambda root: table(
            root / "t.tsv",
            [
                ("file", "class"),
                *((f"{n}.png", WORDS[c]) for n, c in zip(files(root), LABELS, strict=True)),
            ],
            "\t",
        ),
        {},
        "image=file, label=class",
    ),
    "semicolons": (
        lambda root: table(
            root / "t.csv",
            [
                ("path", "category"),
                *((f"{n}.png", WORDS[c]) for n, c in zip(files(root), LABELS, strict=True)),
            ],
            ";",
        ),
        {},
        "label=category",
    ),
    "a contest's, no ending, in train/": (
        lambda root: table(
            root / "labels.csv",
            [
                ("id", "breed"),
                *((n, WORDS[c]) for n, c in zip(files(root, "train"), LABELS, strict=True)),
            ],
        ),
        {},
        "found as train/NAME.png",
    ),
    "a mark a class": (
        lambda root: table(
            root / "t.csv",
            [
                ("image", *WORDS),
                *((n, *np.eye(3)[c]) for n, c in zip(files(root, "images"), LABELS, strict=True)),
            ],
        ),
        {},
        "the 3 columns cat to eel",
    ),
    "columns that are said": (
        lambda root: table(
            root / "t.csv",
            [
                ("when", "what", "who", "where"),
                *(
                    (1, WORDS[c], "me", f"{n}.png")
                    for n, c in zip(files(root), LABELS, strict=True)
                ),
            ],
        ),
        {"image": "where", "label": "what"},
        "image=where, label=what",
    ),
    "no name says which is the image": (
        lambda root: table(
            root / "train.csv",
            [
                ("id_code", "diagnosis"),
                *((n, WORDS[c]) for n, c in zip(files(root, "train"), LABELS, strict=True)),
            ],
        ),
        {},
        "image=id_code, label=diagnosis",
    ),
    "no line of names": (
        lambda root: table(
            root / "t.csv",
            [(f"{n}.png", WORDS[c]) for n, c in zip(files(root), LABELS, strict=True)],
        ),
        {},
        "numbered from 1",
    ),
    "features beside the files": (
        lambda root: table(
            root / "t.csv",
            [
                ("filename", "label", *(f"f{n}" for n in range(16))),
                *(
                    (f"{n}.png", WORDS[c], *range(16))
                    for n, c in zip(files(root), LABELS, strict=True)
                ),
            ],
        ),
        {},
        "image=filename, label=label",
    ),
    "other separators in names": (
        lambda root: table(
            root / "t.csv",
            [
                ("image", "label"),
                *(
                    (f"sub\\{n}.png", WORDS[c])
                    for n, c in zip(files(root, "sub"), LABELS, strict=True)
                ),
            ],
        ),
        {},
        "",
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_table_of_file_names(name: str, tmp_path: Path) -> None:
    write, columns, words = LISTS[name]
    found = opened(source(write(tmp_path), columns=columns))
    assert np.array_equal(found.pool.images[:, 0], GREY)
    assert found.names == tuple(WORDS)
    assert found.pool.labels.tolist() == LABELS.tolist()
    assert words in told(found)


def test_a_column_of_splits_is_used(tmp_path: Path) -> None:
    splits = ["train"] * 6 + ["valid"] * 3 + ["test"] * 3
    rows = zip(files(tmp_path), WORDS[LABELS], splits, strict=True)
    spec = table(tmp_path / "t.csv", [("image", "label", "split"), *rows])
    data = read(source(spec))
    assert np.array_equal(data.train.images[:, 0], GREY[:6])
    assert np.array_equal(data.val.images[:, 0], GREY[6:9])
    assert np.array_equal(read_final(source(spec))[1].images[:, 0], GREY[9:])


def test_a_column_of_splits_that_is_not_used_is_told(tmp_path: Path) -> None:
    names = files(tmp_path) * 3
    rows = zip(names, WORDS[np.tile(LABELS, 3)], [""] * 30 + ["test"] * 6, strict=True)
    spec = table(tmp_path / "t.csv", [("image", "label", "split"), *rows])
    assert "The column split is not used" in told(opened(source(spec)))
    assert "line 2 has '' for its split" in refused(spec, columns={"split": "split"})


def test_missing_files_of_a_table_are_broken_ones(tmp_path: Path) -> None:
    names = [*files(tmp_path), "gone"]
    rows = zip(names, WORDS[[*LABELS, 0]], strict=True)
    spec = table(tmp_path / "t.csv", [("image", "label"), *rows])
    message = refused(spec)
    assert "1 of 13 files" in message
    assert "gone" in message
    assert opened(source(spec, skip_broken=True)).broken == 1


PIXELS: dict[str, tuple[Callable[[Path], str], str]] = {
    "a label and pixels": (
        lambda root: table(
            root / "t.csv",
            [
                ["label", *(f"pixel{n}" for n in range(25))],
                *([c, *p[:5].ravel()] for c, p in zip(LABELS, GREY, strict=True)),
            ],
        ),
        "grey images of 5x5",
    ),
    "the label last": (
        lambda root: table(
            root / "t.csv",
            [
                [*(f"{r}x{c}" for r in range(1, 7) for c in range(1, 6)), "class"],
                *([*p.ravel(), c] for c, p in zip(LABELS, GREY, strict=True)),
            ],
        ),
        "label=class",
    ),
    "no line of names": (
        lambda root: table(
            root / "t.csv", [[c, *p[:5].ravel()] for c, p in zip(LABELS, GREY, strict=True)]
        ),
        "numbered from 1",
    ),
    "columns that a program has numbered": (
        lambda root: table(
            root / "t.csv",
            [range(26), *([c, *p[:5].ravel()] for c, p in zip(LABELS, GREY, strict=True))],
        ),
        "grey images of 5x5",
    ),
    "pixels in one column": (
        lambda root: table(
            root / "t.csv",
            [
                ["emotion", "pixels", "Usage"],
                *(
                    [c, " ".join(map(str, p[:5].ravel())), "Training"]
                    for c, p in zip(LABELS, GREY, strict=True)
                ),
            ],
        ),
        "split=Usage",
    ),
    "columns in the order of words": (
        lambda root: table(
            root / "t.csv",
            [
                ["label", *(f"pixel{n}" for n in sorted(range(25), key=str))],
                *(
                    [c, *p[:5].ravel()[sorted(range(25), key=str)]]
                    for c, p in zip(LABELS, GREY, strict=True)
                ),
            ],
        ),
        "5x5",
    ),
}


@pytest.mark.parametrize("name", PIXELS)
def test_a_table_of_pixels(name: str, tmp_path: Path) -> None:
    write, words = PIXELS[name]
    found = opened(source(write(tmp_path)))
    expected = GREY if name == "the label last" else GREY[:, :5]
    assert found.pool.images.dtype == np.uint8
    assert np.array_equal(found.pool.images[:, 0], expected)
    assert found.pool.labels.tolist() == LABELS.tolist()
    assert words in told(found)


BAD_TABLES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty"),
    "names only": (b"image,label\n", "no images"),
    "one column": (b"image\nx.png\n", "one column only"),
    "zeros": (b"\0" * 5000, "zero bytes"),
    "zeros further on": (b"image,label\nx.png,a\n" + b"\0" * 100, "zero bytes"),
    "another encoding": ("image,label\nx.png,größe\n".encode("latin-1"), "UTF-8"),
    "a short line": (b"image,label\nx.png,a\ny.png\n", "line 3 has 1 columns"),
    "no label": (b"image,label\nx.png,a\nx.png,\n", "line 3 has no label"),
    "no such files": (b"image,label\nno.png,a\nnone.png,b\n", "none of the 2 files is there"),
    "which is the label": (b"image,red,green\nx.png,3,4\n", "--column label=NAME"),
    "out of the folder": (b"image,label\n../x.png,a\n", "leads out of the table's folder"),
    "an absolute name": (b"image,label\n/etc/passwd,a\n", "leads out of the table's folder"),
    "an odd split": (b"image,label,split\nx.png,a,train\nx.png,b,foo\n", "'foo' for its split"),
    "an odd pixel": (
        b"label,"
        + b",".join(b"p%d" % n for n in range(16))
        + b"\n0"
        + b",1" * 16
        + b"\n1,x"
        + b",1" * 15
        + b"\n",
        "line 3 has 'x' for a pixel",
    ),
    "a quotation mark that is not closed": (
        b'image,label\nx.png,a\nx.png,b\nx.png,"dog\nx.png,a\n',
        "is no table",
    ),
    "a quotation mark that is closed much later": (
        b'image,label\nx.png,a\nx.png,"dog\nx.png,a\nx.png,"\n',
        "not closed",
    ),
    "several marks": (
        b"image,a,b\nx.png,1,0\n" + b"x.png,0,1\n" * 30 + b"x.png,1,1\n",
        "line 33 marks 2 classes",
    ),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_table_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    content, words = BAD_TABLES[name]
    (tmp_path / "t.csv").write_bytes(content)
    Image.fromarray(GREY[0]).save(tmp_path / "x.png")
    assert words in refused(f"csv:{tmp_path / 't.csv'}")


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    spec = table(tmp_path / "t.csv", [("image", "label"), ("x.png", "a")])
    message = refused(spec, columns={"label": "breed"})
    assert "no column 'breed'" in message
    assert "image, label" in message


def test_a_link_out_of_the_folder_of_a_table_is_refused(tmp_path: Path) -> None:
    Image.fromarray(GREY[0]).save(tmp_path / "secret.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.png").symlink_to(tmp_path / "secret.png")
    spec = table(tmp_path / "set" / "t.csv", [("image", "label"), ("x.png", "a")])
    assert "a symbolic link out of the table's folder" in refused(spec)


@pytest.mark.parametrize("begin", [b"", b"image,label\nx.png,a\n", b"label,"])
def test_a_table_of_ten_gigabytes_of_nothing_is_refused_at_once(
    begin: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(10 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "zero bytes" in refused(f"csv:{path}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000  # kilobytes


# parquet ----------------------------------------------------------------------------------------


def png(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def parquet(
    path: Path,
    labels: Sequence[object],
    images: Sequence[object] | None = None,
    names: Sequence[str] | None = None,
    columns: tuple[str, str] = ("image", "label"),
    rows: int = 5,
) -> None:
    """A file as Hugging Face writes it, in groups of so many rows."""
    import pyarrow
    from pyarrow import parquet as files

    if images is None:
        images = [{"bytes": png(one), "path": None} for one in GREY[: len(labels)]]
    content = pyarrow.table({columns[0]: list(images), columns[1]: list(labels)})
    if names is not None:
        features = {
            columns[0]: {"_type": "Image"},
            columns[1]: {"names": list(names), "_type": "ClassLabel"},
        }
        told = json.dumps({"info": {"features": features}})
        content = content.replace_schema_metadata({"huggingface": told})
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_table(content, path, row_group_size=rows)


def test_parquet_shards_as_hugging_face_writes_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    names = ["eel", "dog", "cat", "emu"]
    for split in ("train", "validation", "test"):
        for shard in range(2):
            part = slice(6 * shard, 6 * shard + 6)
            images = [{"bytes": png(one), "path": "x.png"} for one in GREY[part]]
            file = data / f"{split}-{shard:05}-of-00002.parquet"
            parquet(file, LABELS[part].tolist(), images, names, rows=4)
    found = read(source(f"parquet:{tmp_path}"))
    assert np.array_equal(found.train.images[:, 0], GREY)
    assert np.array_equal(found.val.images[:, 0], GREY)
    assert found.train.labels.tolist() == LABELS.tolist()
    assert found.summary.names == ("eel", "dog", "cat")
    assert "No training image is of class emu" in " ".join(found.summary.notes)


def test_one_parquet_file_of_any_columns(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    parquet(path, WORDS[LABELS].tolist(), [png(one) for one in GREY], None, ("img", "fine_label"))
    found = opened(source(f"parquet:{path}"))
    assert np.array_equal(found.pool.images[:, 0], GREY)
    assert found.names == tuple(WORDS)
    assert found.test is None
    parquet(path, LABELS.tolist(), [png(one) for one in GREY], None, ("what", "which"))
    assert "--column image=NAME" in refused(f"parquet:{path}")
    columns = {"image": "what", "label": "which"}
    assert len(opened(source(f"parquet:{path}", columns=columns)).pool) == 12


def test_parquet_rows_without_a_label_are_left_out_and_told(tmp_path: Path) -> None:
    labels = [0, -1, 1, None, *LABELS[4:].tolist()]
    parquet(tmp_path / "train.parquet", labels)
    found = opened(source(f"parquet:{tmp_path}"))
    assert np.array_equal(found.pool.images[:, 0], GREY[[0, 2, *range(4, 12)]])
    assert "Left out: 2 images without a label" in told(found)


def test_a_column_of_splits_of_a_parquet_file(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet as files

    path = tmp_path / "x.parquet"
    splits = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    images = [png(one) for one in GREY]
    content = pyarrow.table({"image": images, "label": LABELS.tolist(), "part": splits})
    files.write_table(content, path)
    spec = f"parquet:{path}"
    data = read(source(spec, columns={"split": "part"}))
    assert np.array_equal(data.train.images[:, 0], GREY[:6])
    assert np.array_equal(data.val.images[:, 0], GREY[6:9])
    assert "has no column 'parts'" in refused(spec, columns={"split": "parts"})
    assert "0 for its split" in refused(spec, columns={"split": "label"})


def test_parquet_paths_lead_to_files_below(tmp_path: Path) -> None:
    names = files(tmp_path, "pictures")
    paths = [{"bytes": None, "path": f"pictures/{name}.png"} for name in names]
    parquet(tmp_path / "train.parquet", LABELS.tolist(), paths)
    assert np.array_equal(opened(source(f"parquet:{tmp_path}")).pool.images[:, 0], GREY)
    before = read(source(f"parquet:{tmp_path}")).summary.fingerprint
    Image.fromarray(255 - GREY[0]).save(tmp_path / "pictures" / "im0.png")
    os.utime(tmp_path / "pictures" / "im0.png", (1, 1))
    assert read(source(f"parquet:{tmp_path}")).summary.fingerprint != before
    paths[3] = {"bytes": None, "path": "../../etc/passwd"}
    parquet(tmp_path / "train.parquet", LABELS.tolist(), paths)
    assert "leads out of the folder" in refused(f"parquet:{tmp_path}")


def test_parquet_files_that_cannot_be_searched_on(tmp_path: Path) -> None:
    assert "no such file" in refused(f"parquet:{tmp_path / 'nowhere'}")
    assert "no .parquet files" in refused(f"parquet:{tmp_path}")
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    assert "cannot be read" in refused(f"parquet:{path}")
    parquet(path, [[0], [1]])
    assert "several labels" in refused(f"parquet:{path}")
    parquet(path, [0, 1], [[1, 2], [3, 4]])
    assert "bytes of image files" in refused(f"parquet:{path}")
    for folder in ("small", "large"):
        parquet(tmp_path / "sets" / folder / "train-0.parquet", [0, 1])
    assert "several data sets, in large, small" in refused(f"parquet:{tmp_path / 'sets'}")


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"")
    assert "pip install 'lcsearch[parquet]'" in refused(f"parquet:{tmp_path / 'x.parquet'}")


# cifar ------------------------------------------------------------------------------------------


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Array]:
    """A folder above a CIFAR-100 of twelve images, and them; files have the sums they should."""
    import hashlib
    import pickle

    from torchvision.datasets import CIFAR100

    images = RNG.integers(0, 256, (12, 3072), np.uint8)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    sums = {}
    for name, content in (
        ("train", {"data": images, "fine_labels": LABELS.tolist()}),
        ("test", {"data": images, "fine_labels": LABELS.tolist()}),
        ("meta", {"fine_label_names": ["apple", "bee", "cup"]}),
    ):
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": sums["meta"]})
    return tmp_path, images.reshape(-1, 3, 32, 32)


@pytest.mark.parametrize("form", ["above", "unpacked", "renamed", "tar.gz"])
def test_cifar_wherever_it_is(form: str, cifar100: tuple[Path, Array], tmp_path: Path) -> None:
    root, images = cifar100
    place = {"above": root, "unpacked": root / "cifar-100-python"}.get(form)
    if form == "renamed":
        place = root / "mine"
        (root / "cifar-100-python").rename(place)
    elif form == "tar.gz":
        place = root / "cifar-100-python.tar.gz"
        with tarfile.open(place, "w:gz") as file:
            file.add(root / "cifar-100-python", "cifar-100-python")
    before = set(root.rglob("*"))
    found = opened(source(f"cifar100:{place}"))
    assert np.array_equal(found.pool.images, images)
    assert isinstance(found.test, Split)
    assert found.names == ("apple", "bee", "cup")
    assert set(root.rglob("*")) == before


def test_a_cifar_archive_that_was_changed_is_not_unpickled(
    cifar100: tuple[Path, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = cifar100
    monkeypatch.chdir(root)
    import pickle

    (root / "cifar-100-python" / "train").write_bytes(pickle.dumps(Trap()))
    with tarfile.open(root / "x.tar.gz", "w:gz") as file:
        file.add(root / "cifar-100-python", "cifar-100-python")
    for place in (root, root / "x.tar.gz"):
        assert "incomplete or damaged" in refused(f"cifar100:{place}")
    assert not (root / "sprung").exists()
    (root / "y.tar.gz").write_bytes(struct.pack("<I", 7))
    assert "incomplete or damaged" in refused(f"cifar100:{root / 'y.tar.gz'}")
