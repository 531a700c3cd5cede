"""Every reader on files in its own format, the laws of the split, and every kind of bad data."""

import gzip
import hashlib
import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lcsearch.engine.training.data import KNOWN, Data, DataError, read, read_final
from lcsearch.sessions.records import DataSource

from .conftest import without

RNG = np.random.default_rng(0)


def labels(count: int, classes: int = 3) -> NDArray[np.uint8]:
    return np.arange(count, dtype=np.uint8) % classes


def idx(array: NDArray[np.uint8]) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


def idx_files(
    folder: Path,
    train: int = 30,
    test: int = 9,
    zipped: bool = False,
    size: tuple[int, int] = (6, 5),
) -> dict[str, NDArray[np.uint8]]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, count in (("train", train), ("t10k", test)):
        arrays[f"{name}-images-idx3-ubyte"] = RNG.integers(0, 256, (count, *size), np.uint8)
        arrays[f"{name}-labels-idx1-ubyte"] = labels(count)
    for name, array in arrays.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return arrays


def npz_file(path: Path, **change: NDArray[Any] | None) -> str:
    arrays = {
        "xtr": RNG.random((30, 3, 4, 5), np.float32),
        "ytr": labels(30),
        "xte": RNG.random((9, 3, 4, 5), np.float32),
        "yte": labels(9),
    } | change
    kept: dict[str, Any] = {k: v for k, v in arrays.items() if v is not None}
    np.savez(path, **kept)
    return f"npz:{path}"


def image_folder(
    root: Path,
    per_class: int = 20,
    size: tuple[int, int] = (6, 4),
    mode: str = "L",
    classes: str = "abc",
) -> str:
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            shape = size if mode == "L" else (*size, 3)
            picture = Image.fromarray(RNG.integers(0, 256, shape, np.uint8))
            picture.save(root / name / f"{number}.png")
    return f"folder:{root}"


def pickled(path: Path, content: object, sums: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar10(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[NDArray[np.uint8]]]:
    from torchvision.datasets import CIFAR10

    sums: dict[str, str] = {}
    arrays: list[NDArray[np.uint8]] = []
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        arrays.append(RNG.integers(0, 256, (6, 3072), np.uint8))
        content = {"data": arrays[-1], "labels": labels(6).tolist()}
        pickled(tmp_path / "cifar-10-batches-py" / name, content, sums)
    meta = {"label_names": ["x", "y", "z"]}
    pickled(tmp_path / "cifar-10-batches-py" / "batches.meta", meta, sums)
    for listing in ("train_list", "test_list"):
        old = getattr(CIFAR10, listing)
        monkeypatch.setattr(CIFAR10, listing, [[name, sums[name]] for name, _ in old])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    return tmp_path, arrays


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from torchvision.datasets import CIFAR100

    sums: dict[str, str] = {}
    folder = tmp_path / "cifar-100-python"
    for name, count in (("train", 30), ("test", 6)):
        content = {
            "data": RNG.integers(0, 256, (count, 3072), np.uint8),
            "fine_labels": labels(count).tolist(),
            "coarse_labels": [0] * count,
        }
        pickled(folder / name, content, sums)
    pickled(folder / "meta", {"fine_label_names": ["x", "y", "z"]}, sums)
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": sums["meta"]})
    return tmp_path


@pytest.fixture
def svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    listing = {}
    for split, count in (("train", 30), ("test", 6)):
        path = tmp_path / f"{split}_32x32.mat"
        digits = np.where(labels(count) == 0, 10, labels(count))[:, None]
        savemat(path, {"X": RNG.integers(0, 256, (32, 32, 3, count), np.uint8), "y": digits})
        listing[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", listing)
    return tmp_path


def summarised(data: Data) -> tuple[int, ...]:
    s = data.summary
    return (*s.shape, s.classes, s.train, s.val, s.test)


def test_digits() -> None:
    data = read(DataSource(spec="digits"))
    assert summarised(data) == (1, 8, 8, 10, 1150, 288, 359)
    assert data.train.images.max() == 16
    assert len(read_final(DataSource(spec="digits"))[1]) == 359


@pytest.mark.parametrize("zipped", [False, True])
def test_idx(tmp_path: Path, zipped: bool) -> None:
    arrays = idx_files(tmp_path, zipped=zipped)
    source = DataSource(spec=f"idx:{tmp_path}")
    data = read(source)
    assert summarised(data) == (1, 6, 5, 3, 24, 6, 9)
    every = np.concatenate([data.train.images, data.val.images])
    found = {image.tobytes() for image in every}
    assert found == {image.tobytes() for image in arrays["train-images-idx3-ubyte"]}
    assert (read_final(source)[1].images[:, 0] == arrays["t10k-images-idx3-ubyte"]).all()


def test_npz_keeps_each_label_with_its_image(tmp_path: Path) -> None:
    images = np.zeros((30, 2, 3, 3))
    images += labels(30)[:, None, None, None]
    data = read(DataSource(spec=npz_file(tmp_path / "d.npz", xtr=images, xte=images[:9])))
    assert summarised(data) == (2, 3, 3, 3, 24, 6, 9)
    for part in (data.train, data.val):
        assert (part.images[:, 0, 0, 0] == part.labels).all()
        assert part.images.dtype == np.float32


def test_folder_keeps_grey_grey(tmp_path: Path) -> None:
    data = read(DataSource(spec=image_folder(tmp_path / "f")))
    assert summarised(data) == (1, 6, 4, 3, 38, 10, 12)


def test_folder_with_one_colour_image_is_colour(tmp_path: Path) -> None:
    spec = image_folder(tmp_path / "f")
    Image.new("RGB", (4, 6)).save(tmp_path / "f" / "b" / "0.png")
    assert read(DataSource(spec=spec)).summary.shape == (3, 6, 4)


def test_cifar10(cifar10: tuple[Path, list[NDArray[np.uint8]]]) -> None:
    root, arrays = cifar10
    source = DataSource(spec=f"cifar10:{root}")
    assert summarised(read(source)) == (3, 32, 32, 3, 24, 6, 6)
    assert (read_final(source)[1].images.reshape(6, -1) == arrays[-1]).all()


def test_cifar10_that_was_changed_is_not_unpickled(
    cifar10: tuple[Path, list[NDArray[np.uint8]]],
) -> None:
    root, _ = cifar10
    path = root / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match=r"cifar10.*damaged.*--download"):
        read(DataSource(spec=f"cifar10:{root}"))


def test_cifar100(cifar100: Path) -> None:
    assert summarised(read(DataSource(spec=f"cifar100:{cifar100}"))) == (3, 32, 32, 3, 24, 6, 6)


def test_svhn_takes_ten_as_nought(svhn: Path) -> None:
    data = read(DataSource(spec=f"svhn:{svhn}"))
    assert summarised(data) == (3, 32, 32, 3, 24, 6, 6)
    assert set(data.train.labels) == {0, 1, 2}


@pytest.mark.parametrize(
    ("kind", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_mnist(tmp_path: Path, kind: str, folder: str) -> None:
    idx_files(tmp_path / folder / "raw", size=(28, 28))
    assert summarised(read(DataSource(spec=f"{kind}:{tmp_path}"))) == (1, 28, 28, 3, 24, 6, 9)


FASHION = Path("/usr/share/datasets/fashion-mnist")


def test_the_real_fashion_mnist() -> None:
    if not FASHION.exists():
        without("the Debian package dataset-fashion-mnist is not installed")
    data = read(DataSource(spec=f"idx:{FASHION}", train_size=5000))
    assert summarised(data) == (1, 28, 28, 10, 4000, 1000, 10000)
    assert np.bincount(data.train.labels).tolist() == [400] * 10


def test_normalisation_is_of_the_training_split(tmp_path: Path) -> None:
    images = RNG.normal(5, 3, (300, 2, 3, 3)).astype(np.float32)
    images[:, 1] = 7
    spec = npz_file(tmp_path / "d.npz", xtr=images, ytr=labels(300), xte=images[:9])
    data = read(DataSource(spec=spec))
    assert data.mean == pytest.approx(data.train.images.mean((0, 2, 3)), rel=1e-5)
    assert data.std == pytest.approx([data.train.images[:, 0].std(), 1.0], rel=1e-5)
    bytes_ = (images * 20 + 20).clip(0, 255).astype(np.uint8)
    spec = npz_file(tmp_path / "e.npz", xtr=bytes_, ytr=labels(300), xte=bytes_[:9])
    data = read(DataSource(spec=spec))
    assert data.mean == pytest.approx(data.train.images.mean((0, 2, 3)), rel=1e-5)
    assert data.std[0] == pytest.approx(data.train.images[:, 0].std(), rel=1e-5)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(20, 60), min_size=2, max_size=6),
    fraction=st.floats(0.1, 0.6),
    seed=st.integers(0, 1000),
)
def test_the_split_is_stratified_disjoint_and_seeded(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], fraction: float, seed: int
) -> None:
    path = tmp_path_factory.mktemp("split") / "d.npz"
    count = sum(sizes)
    truth = RNG.permutation(np.repeat(np.arange(len(sizes)), sizes))
    images = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    spec = npz_file(path, xtr=images, ytr=truth, xte=images[:1], yte=np.zeros(1, np.int64))
    source = DataSource(spec=spec, val_fraction=fraction, seed=seed)
    data = read(source)
    numbers = [part.images.ravel().astype(int) for part in (data.train, data.val)]
    assert sorted(np.concatenate(numbers)) == list(range(count))
    assert len(data.val) == round(fraction * count)
    for part, mine in zip((data.train, data.val), numbers, strict=True):
        assert (truth[mine] == part.labels).all()
        share = np.array(sizes) * len(part) / count
        assert (abs(np.bincount(part.labels) - share) < 1).all()
    again = read(source)
    assert again.summary == data.summary
    assert (again.val.images == data.val.images).all()


def test_the_fingerprint_tells_every_change(tmp_path: Path) -> None:
    base = {
        "xtr": RNG.integers(0, 256, (30, 1, 4, 4), np.uint8),
        "xte": RNG.integers(0, 256, (9, 1, 4, 4), np.uint8),
    }
    spec = npz_file(tmp_path / "a.npz", **base)
    first = read(DataSource(spec=spec)).summary.fingerprint
    moved = npz_file(tmp_path / "moved.npz", **base)
    assert read(DataSource(spec=moved)).summary.fingerprint == first
    other = base["xtr"].copy()
    other[3, 0, 1, 2] ^= 1
    swapped = labels(30).copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    changed = [
        DataSource(spec=npz_file(tmp_path / "b.npz", **base | {"xtr": other})),
        DataSource(spec=npz_file(tmp_path / "c.npz", **base | {"ytr": swapped})),
        DataSource(spec=spec, seed=1),
        DataSource(spec=spec, val_fraction=0.4),
        DataSource(spec=spec, train_size=21),
    ]
    prints = {read(source).summary.fingerprint for source in changed}
    assert len(prints | {first}) == 6


def test_test_images_of_digits_are_in_no_other_split() -> None:
    source = DataSource(spec="digits", seed=3)
    data, test = read(source), read_final(source)[1]
    assert data.summary.train + data.summary.val + len(test) == 1797
    from sklearn.datasets import load_digits

    every, _ = load_digits(return_X_y=True)
    used = np.concatenate([data.train.images, data.val.images, test.images]).reshape(1797, 64)
    assert sorted(map(tuple, used.tolist())) == sorted(map(tuple, every.astype(int).tolist()))


def test_the_digits_are_the_same_wherever_scikit_learn_keeps_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = read(DataSource(spec="digits")).summary
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert read(DataSource(spec="digits")).summary == here


def refused(spec: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(DataSource(spec=spec, **options))
    message = str(caught.value)
    assert message.endswith(".")
    return message


def test_unknown_data_sets_are_answered_with_the_known() -> None:
    for spec in ("imagenet", "imagenet:/x", "digits:/x", ""):
        message = refused(spec)
        assert repr(spec) in message
        assert all(known in message for known in KNOWN)


@pytest.mark.parametrize("kind", [known.partition(":")[0] for known in KNOWN if ":" in known])
def test_missing_places(kind: str, tmp_path: Path) -> None:
    assert f"{kind}:" in refused(kind)
    assert str(tmp_path / "nowhere") in refused(f"{kind}:{tmp_path / 'nowhere'}")
    assert not (tmp_path / "nowhere").exists()


def test_idx_files_that_are_damaged(tmp_path: Path) -> None:
    idx_files(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-7])
    assert "truncated, 909 bytes of 916" in refused(f"idx:{tmp_path}")
    images.write_bytes(whole[:3])
    assert "no IDX file" in refused(f"idx:{tmp_path}")
    images.write_bytes(b"\x89PNG" + whole)
    assert "89504e47" in refused(f"idx:{tmp_path}")
    images.unlink()
    assert "train-images-idx3-ubyte" in refused(f"idx:{tmp_path}")
    zipped = tmp_path / "train-images-idx3-ubyte.gz"
    for damaged in (gzip.compress(whole)[:-20], b"no gzip"):
        zipped.write_bytes(damaged)
        assert "train-images-idx3-ubyte.gz: cannot be read" in refused(f"idx:{tmp_path}")


def test_idx_labels_that_do_not_fit(tmp_path: Path) -> None:
    idx_files(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels(29)))
    assert "30 training images but 29 labels" in refused(f"idx:{tmp_path}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"yte": None}, "yte is missing"),
        ({"ytr": labels(29)}, "30 training images but 29 labels"),
        ({"ytr": labels(30) + 1}, "go from 1 to 3"),
        ({"ytr": labels(30) * 2}, "go from 0 to 4"),
        ({"ytr": labels(30).astype(np.int64) - 1}, "go from -1 to 1"),
        ({"ytr": labels(30) + 0.5}, "not whole numbers"),
        ({"ytr": np.array(["a", "b", "c"] * 10)}, "not whole numbers"),
        ({"ytr": np.zeros(30, int), "yte": np.zeros(9, int)}, "one class only"),
        ({"yte": labels(9) + 1}, "test set has label 3"),
        ({"ytr": labels(30).reshape(30, 1)}, "shape (30, 1)"),
        ({"ytr": np.array([0] * 26 + [1] * 2 + [2] * 2)}, "has none of class"),
        ({"xte": np.zeros((9, 3, 5, 5))}, "different sizes"),
        ({"xtr": np.zeros((30, 4, 5))}, "x[:, None]"),
        ({"xtr": np.zeros((30, 8, 8, 3))}, "channels last"),
        ({"xtr": np.zeros((0, 3, 4, 5)), "ytr": labels(0)}, "no training images"),
        ({"xtr": np.full((30, 3, 4, 5), np.nan)}, "NaN"),
        ({"xtr": np.zeros((30, 3, 4, 5), complex)}, "complex128"),
        ({"xtr": np.full((30, 3, 4, 5), None)}, "cannot be read"),
    ],
)
def test_npz_files_that_do_not_fit(
    tmp_path: Path, change: dict[str, NDArray[Any] | None], said: str
) -> None:
    assert said in refused(npz_file(tmp_path / "d.npz", **change))


def test_npz_files_that_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    spec = npz_file(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive at all"):
        path.write_bytes(damaged)
        assert "cannot be read" in refused(spec)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "single array" in refused(spec)


def test_an_object_array_is_not_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return (Path.touch, (tmp_path / "sprung",))

    spec = npz_file(tmp_path / "d.npz", ytr=np.array([Trap()] * 30, object))
    assert "cannot be read" in refused(spec)
    assert not (tmp_path / "sprung").exists()


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "a folder a class" in refused(f"folder:{tmp_path / 'empty'}")
    assert "one class only" in refused(image_folder(tmp_path / "one", classes="a"))
    spec = image_folder(tmp_path / "sizes")
    Image.new("L", (5, 5)).save(tmp_path / "sizes" / "c" / "zz.png")
    message = refused(spec)
    assert "different sizes" in message
    assert "5x5" in message
    assert "4x6" in message
    spec = image_folder(tmp_path / "torn")
    torn = tmp_path / "torn" / "b" / "3.png"
    torn.write_bytes(torn.read_bytes()[:60])
    assert str(torn) in refused(spec)
    assert "too few images" in refused(image_folder(tmp_path / "few", per_class=1))


def test_splits_that_leave_a_class_empty_or_ask_for_too_much(tmp_path: Path) -> None:
    spec = npz_file(tmp_path / "d.npz")
    assert "validation split of 2 images" in refused(spec, val_fraction=0.05)
    assert "training split" in refused(spec, val_fraction=0.97)
    assert "has only 30 images" in refused(spec, train_size=31)
    assert "has none of class" in refused(spec, train_size=4)
