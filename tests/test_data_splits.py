"""How images are divided: identical ones stay together, what leaks is told, classes are counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lcsearch.engine.training.data import DataError, first, read, read_final, splits
from lcsearch.engine.training.data.face import Known
from lcsearch.sessions.records import READER, DataSource

Pixels = NDArray[np.uint8]


def image(number: int) -> Pixels:
    """One grey image of each number, and no two alike."""
    return np.random.default_rng(number).integers(0, 256, (6, 5), np.uint8)


def put(root: Path, place: str, *numbers: int) -> None:
    """Images of these numbers as files of a folder."""
    (root / place).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        at = len(list((root / place).iterdir()))
        Image.fromarray(image(number)).save(root / place / f"{at:03}.png")


def source(root: Path, **how: Any) -> DataSource:
    return DataSource(spec=f"folder:{root}", reader=READER, **how)


def test_what_a_part_leaves_aside_is_said() -> None:
    part = DataSource(spec="digits", train_size=300, reader=READER)
    said = " ".join(read(part).summary.notes)
    assert "359 of 1,797 images (20%) are kept for it" in said
    assert "300 of the 1,438 images outside the test set are used (train_size), 1,138 are" in said
    whole = DataSource(spec="digits", reader=READER)
    assert "left aside" not in " ".join(read(whole).summary.notes)


def notes(root: Path, **how: Any) -> str:
    return " ".join(read(source(root, **how)).summary.notes)


def found(images: Any) -> set[bytes]:
    return {np.asarray(one).tobytes() for one in images}


# drawing ----------------------------------------------------------------------------------------


@given(
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=80),
    groups=st.integers(1, 30),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_twins_are_drawn_together_or_not_at_all(
    labels: list[int], groups: int, share: float, seed: int
) -> None:
    of = np.array(labels)
    twins = np.random.default_rng(seed).integers(0, groups, len(of))
    count = round(share * len(of))
    taken = splits.drawn(of, count, seed, twins)
    assert len(taken) <= count
    assert np.array_equal(taken, np.unique(taken))
    assert not np.intersect1d(twins[taken], twins[splits.rest(taken, len(of))]).size
    assert np.array_equal(taken, splits.drawn(of, count, seed, twins))


def test_where_all_differ_as_many_as_wanted_are_drawn_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    taken = splits.drawn(labels, 20, 0, np.arange(100))
    assert np.bincount(labels[taken]).tolist() == [12, 6, 2]


def test_a_small_class_has_one_where_it_can_spare_it() -> None:
    labels = np.repeat([0, 1, 2], [97, 2, 1])
    assert np.bincount(labels[splits.drawn(labels, 10, 0)], minlength=3).tolist() == [10, 0, 0]
    taken = splits.drawn(labels, 10, 0, each=True)
    assert np.bincount(labels[taken], minlength=3).tolist() == [10, 1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_identical_images_never_straddle_the_splits_that_are_drawn(
    seed: int, tmp_path: Path
) -> None:
    for name, first_one in (("a", 0), ("b", 100)):
        put(tmp_path, name, *range(first_one, first_one + 10), *range(first_one, first_one + 10))
        put(tmp_path, name, *[first_one + 3] * 4, *range(first_one + 10, first_one + 16))
    data = read(source(tmp_path, seed=seed))
    _, test = read_final(source(tmp_path, seed=seed))
    train, val, tested = (found(part.images) for part in (data.train, data.val, test))
    assert not train & val
    assert not train & tested
    assert not val & tested
    assert len(train | val | tested) == 32
    assert "copies of others" in " ".join(data.summary.notes)


# splits that came so ----------------------------------------------------------------------------


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Three training images are test images too, two validation images, and one both."""
    for name, at in (("a", 0), ("b", 100)):
        put(tmp_path, f"train/{name}", *range(at, at + 12))
        put(tmp_path, f"val/{name}", *range(at + 20, at + 24))
        put(tmp_path, f"test/{name}", *range(at + 40, at + 44))
    put(tmp_path, "test/a", 0, 1, 20)
    put(tmp_path, "test/b", 100)
    put(tmp_path, "val/a", 2, 1)
    return tmp_path


def test_leaks_are_counted_and_told(leaking: Path) -> None:
    said = notes(leaking)
    assert "3 training images are test images too: --drop-leaks leaves them out" in said
    assert "2 training images are validation images too" in said
    assert "2 validation images are test images too" in said


def test_leaks_are_taken_from_the_training_images_alone(leaking: Path) -> None:
    before, after = read(source(leaking)), read(source(leaking, drop_leaks=True))
    assert before.summary.train == 24
    assert after.summary.train == 20
    assert after.summary.val == before.summary.val == 10
    assert after.summary.test == before.summary.test == 12
    assert "left out of the training images" in " ".join(after.summary.notes)
    _, test = read_final(source(leaking, drop_leaks=True))
    assert not found(after.train.images) & (found(after.val.images) | found(test.images))
    assert after.summary.fingerprint != before.summary.fingerprint


@pytest.mark.parametrize("given", ["val", "test"])
def test_what_is_drawn_holds_nothing_of_a_split_that_came_so(given: str, tmp_path: Path) -> None:
    for name, at in (("a", 0), ("b", 100)):
        put(tmp_path, f"train/{name}", *range(at, at + 40))
        put(tmp_path, f"{given}/{name}", *range(at, at + 20))
    data = read(source(tmp_path))
    _, test = read_final(source(tmp_path))
    assert not found(data.val.images) & found(test.images)


def test_the_same_image_under_two_labels_in_arrays_is_told(tmp_path: Path) -> None:
    images = np.stack([image(number) for number in range(20)])
    labels = np.arange(20) % 2
    np.savez(tmp_path / "x.npz", x_train=images, y_train=labels, x_test=images, y_test=1 - labels)
    spec = DataSource(spec=f"npz:{tmp_path / 'x.npz'}", reader=READER)
    with pytest.raises(DataError, match="too few to draw a validation"):
        read(spec)
    np.savez(
        tmp_path / "x.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=1 - labels[:4]
    )
    told = " ".join(read(spec).summary.notes)
    assert "4 test images stand in the training images too, under another label" in told


def test_leaks_that_are_all_of_a_class_are_named(tmp_path: Path) -> None:
    for name, at in (("a", 0), ("b", 100)):
        put(tmp_path, f"train/{name}", *range(at, at + 10))
    put(tmp_path, "val/a", 50, 51)
    put(tmp_path, "val/b", *range(100, 110))
    put(tmp_path, "test/a", 60)
    put(tmp_path, "test/b", 160)
    with pytest.raises(DataError, match="--drop-leaks"):
        read(source(tmp_path, drop_leaks=True))


def test_the_same_image_under_two_labels_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a", *range(12))
    put(tmp_path, "b", 3, *range(100, 111), 5)
    assert "4 images stand under more than one label" in notes(tmp_path)


def test_of_splits_that_came_so_as_many_as_asked_for_are_taken_in_proportion(
    tmp_path: Path,
) -> None:
    for name, at in (("a", 0), ("b", 100)):
        put(tmp_path, f"train/{name}", *range(at, at + 20))
        put(tmp_path, f"val/{name}", *range(at + 20, at + 30))
    summary = read(source(tmp_path, train_size=30)).summary
    # the test set is given up by train alone, before: 32 and 20 are left
    assert summary.test == 8
    assert (summary.train, summary.val) == (18, 12)


def test_more_images_than_there_are_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "a", *range(10))
    put(tmp_path, "b", *range(100, 110))
    with pytest.raises(DataError, match=r"train_size = 100: .* has only 16 images"):
        read(source(tmp_path, train_size=100))


# classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rare", "said"), [(4, "6.0 times fewer"), (12, "")])
def test_unequal_classes_are_told(rare: int, said: str, tmp_path: Path) -> None:
    for name, count in (("common", 24), ("rare", rare)):
        at = ord(name[0]) * 1000
        put(tmp_path, f"train/{name}", *range(at, at + count))
        put(tmp_path, f"val/{name}", *range(at + 200, at + 203))
        put(tmp_path, f"test/{name}", *range(at + 300, at + 303))
    told = notes(tmp_path)
    assert ("Classes are unequal" in told) == bool(said)
    assert said in told


def test_a_class_that_a_drawn_split_cannot_have_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a", *range(20))
    put(tmp_path, "b", *[100] * 6)
    said = notes(tmp_path)
    assert "The test split has none of class b: too few different images." in said
    assert "The validation split has none of class b" in said


def test_counts_of_every_class_and_split_are_kept(tmp_path: Path) -> None:
    put(tmp_path, "cat", *range(20))
    put(tmp_path, "dog", *range(100, 110))
    summary = read(source(tmp_path, val_fraction=0.25)).summary
    assert summary.names == ("cat", "dog")
    assert summary.counts == {"train": (12, 6), "val": (4, 2), "test": (4, 2)}


# what is known of images without looking at them -------------------------------------------------


@given(
    count=st.integers(2, 30),
    channels=st.sampled_from([1, 3]),
    flat=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_moments_are_the_same_by_sums_that_are_known(
    count: int, channels: int, flat: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 2 if flat else 256, (count, channels, 4, 5)).astype(np.uint8)
    if flat:
        images[:] = 77
    whole = images.reshape(count, channels, -1).astype(np.int64)
    known = Known(splits.digests_of(images), np.stack([whole.sum(2), (whole**2).sum(2)], axis=2))
    numbers = np.flatnonzero(rng.random(count) < 0.7)
    numbers = numbers if len(numbers) else np.arange(count)
    mean, std = splits.moments(images, numbers)
    known_mean, known_std = splits.moments(images, numbers, known)
    assert np.allclose(mean, known_mean, rtol=1e-6)
    assert np.allclose(std, known_std, rtol=1e-6)


# what an earlier reading took otherwise than is meant ---------------------------------------------


def earlier(root: Path) -> tuple[str, ...]:
    return first.warnings(DataSource(spec=f"folder:{root}"))


def test_an_earlier_reading_that_was_right_says_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a", 1, 2)
    put(tmp_path, "b", 3)
    assert earlier(tmp_path) == ()
    assert earlier(tmp_path / "gone") == ()
    assert first.warnings(DataSource(spec="digits")) == ()


def test_an_earlier_reading_of_splits_as_classes_says_so(tmp_path: Path) -> None:
    put(tmp_path, "train/a", 1)
    put(tmp_path, "test/a", 2)
    assert "takes the folders test, train for classes" in earlier(tmp_path)[0]
    assert first.warnings(source(tmp_path)) == ()


def test_an_earlier_reading_of_droppings_as_a_class_says_so(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 2)
    put(tmp_path, ".ipynb_checkpoints", 3)
    assert "takes .ipynb_checkpoints for a class" in earlier(tmp_path)[0]


def test_an_earlier_reading_of_16_bits_says_so(tmp_path: Path) -> None:
    put(tmp_path, "b", 2)
    (tmp_path / "a").mkdir()
    Image.fromarray(image(1).astype(np.uint16) * 257).save(tmp_path / "a" / "x.png")
    assert "16-bit images for nearly white ones" in earlier(tmp_path)[0]
    assert "A new session reads them as they are meant." in earlier(tmp_path)
