"""Image files as people have them: every kind, size, place and fault, in a table of small cases."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lcsearch.engine.training.data import DataError, read
from lcsearch.engine.training.data.face import Source
from lcsearch.engine.training.data.files import HEAD_BYTES
from lcsearch.engine.training.data.fit import Box, Placement, Size, placed
from lcsearch.engine.training.data.pictures import Broken, look, picture
from lcsearch.engine.training.data.registry import opened
from lcsearch.sessions.choices import FITS, Fit
from lcsearch.sessions.records import READER, DataSource, Preparation

Pixels = NDArray[np.uint8]


def source(place: Path | str, **how: Any) -> DataSource:
    spec = place if isinstance(place, str) else f"folder:{place}"
    return DataSource(spec=spec, reader=READER, **how)


def told(found: Source) -> str:
    return " ".join(found.notes)


def pattern(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """Smooth, so that a lossy format keeps it; no symmetry, so that a turn is seen."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0, 150, height)[:, None, None]
    columns = np.linspace(0, 80, width)[None, :, None]
    tint = rng.integers(0, 20, channels)[None, None, :]
    return (rows + columns + tint).astype(np.uint8)


def write(path: Path, pixels: Pixels | Image.Image, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(pixels, Image.Image):
        pixels = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    pixels.save(path, **how)


def classes(
    root: Path, per_class: int = 4, names: str = "ab", size: tuple[int, int] = (6, 5)
) -> None:
    """A folder a class of grey PNGs, every one another."""
    rng = np.random.default_rng(1)
    for name in names:
        for number in range(per_class):
            write(root / name / f"{number}.png", rng.integers(0, 256, (*size, 1), np.uint8))


def one(root: Path, file: str, make: Callable[[Path], None], **how: Any) -> tuple[Pixels, Source]:
    """The pixels that a file made by `make` is read as, shape (channels, height, width).

    Beside another class of images as large, so that there are two.
    """
    path = root / "a" / file
    path.parent.mkdir(parents=True)
    make(path)
    with Image.open(path) as image:
        size = ImageOps.exif_transpose(image).size
    write(root / "b" / "other.png", Image.new("L", size, 7))
    found = opened(source(root, **how))
    return np.asarray(found.pool.images[int(np.flatnonzero(found.pool.labels == 0)[0])]), found


GREY = pattern(6, 5, 1)
COLOUR = pattern(6, 5, 3)
ALPHA = np.dstack([COLOUR, np.where(np.arange(30).reshape(6, 5) % 2, 255, 0).astype(np.uint8)])
WHITENED = np.where(ALPHA[..., 3:] == 255, COLOUR, 255).astype(np.uint8)
DEEP = (np.arange(30, dtype=np.uint16) * 2000).reshape(6, 5)
TWELVE = (np.arange(30, dtype=np.uint16) * 141).reshape(6, 5)
PALETTE = Image.fromarray(COLOUR).quantize(30)


def saved(image: Image.Image, **how: Any) -> Callable[[Path], None]:
    return lambda path: image.save(path, **how)


def saved_bytes(content: bytes) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        path.write_bytes(content)

    return save


def grey_alpha() -> Image.Image:
    image = Image.fromarray(GREY[..., 0])
    image.putalpha(Image.fromarray(ALPHA[..., 3]))
    return image


def see_through_palette() -> Image.Image:
    image = Image.new("P", (5, 6), 1)
    image.putpalette([255, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    return image


def palette_alpha() -> Image.Image:
    image = see_through_palette().convert("PA")
    alpha = Image.new("L", image.size, 255)
    alpha.putpixel((0, 0), 0)
    image.putalpha(alpha)
    return image


SEEN_THROUGH = np.full((6, 5, 3), (10, 20, 30), np.uint8)
SEEN_THROUGH[0, 0] = 255

EXACT: dict[str, tuple[str, Callable[[Path], None], Pixels, str]] = {
    "1 PNG": (
        "x.png",
        saved(Image.fromarray(GREY[..., 0] > 100)),
        np.where(GREY > 100, 255, 0).astype(np.uint8),
        "",
    ),
    "L PNG": ("x.png", saved(Image.fromarray(GREY[..., 0])), GREY, ""),
    "LA PNG": (
        "x.png",
        saved(grey_alpha()),
        np.where(ALPHA[..., 3:] == 255, GREY, 255).astype(np.uint8),
        "laid over #ffffff",
    ),
    "I;16 PNG": (
        "x.png",
        saved(Image.fromarray(DEEP)),
        np.rint(DEEP / 65535 * 255).astype(np.uint8)[..., None],
        "16 of them used",
    ),
    "I;16 PNG of 12 bits": (
        "x.png",
        saved(Image.fromarray(TWELVE)),
        np.rint(TWELVE / 4095 * 255).astype(np.uint8)[..., None],
        "12 of them used",
    ),
    "I;16 TIFF": (
        "x.tiff",
        saved(Image.fromarray(DEEP)),
        np.rint(DEEP / 65535 * 255).astype(np.uint8)[..., None],
        "16 of them used",
    ),
    "I;16 PNG of 8 bits": (
        "x.png",
        saved(Image.fromarray(GREY[..., 0].astype(np.uint16))),
        GREY,
        "",
    ),
    "P PNG": ("x.png", saved(PALETTE), np.asarray(PALETTE.convert("RGB")), ""),
    "P PNG with a transparent colour": (
        "x.png",
        saved(see_through_palette(), transparency=0),
        SEEN_THROUGH,
        "laid over #ffffff",
    ),
    "PA TIFF": (
        "x.tiff",
        saved(palette_alpha()),
        SEEN_THROUGH,
        "laid over #ffffff",
    ),
    "RGB PNG": ("x.png", saved(Image.fromarray(COLOUR)), COLOUR, ""),
    "RGBA PNG": ("x.png", saved(Image.fromarray(ALPHA)), WHITENED, "laid over #ffffff"),
    "RGBA WebP": (
        "x.webp",
        saved(Image.fromarray(ALPHA), lossless=True),
        WHITENED,
        "laid over #ffffff",
    ),
    "RGB WebP": ("x.webp", saved(Image.fromarray(COLOUR), lossless=True), COLOUR, ""),
    "RGB TIFF": ("x.tif", saved(Image.fromarray(COLOUR)), COLOUR, ""),
    "CMYK TIFF": (
        "x.tif",
        saved(Image.fromarray(COLOUR).convert("CMYK")),
        np.asarray(Image.fromarray(COLOUR).convert("CMYK").convert("RGB")),
        "",
    ),
    "RGB BMP": ("x.bmp", saved(Image.fromarray(COLOUR)), COLOUR, ""),
    "L BMP": ("x.bmp", saved(Image.fromarray(GREY[..., 0])), GREY, ""),
    "PPM": ("x.ppm", saved(Image.fromarray(COLOUR)), COLOUR, ""),
    "PGM": ("x.pgm", saved(Image.fromarray(GREY[..., 0])), GREY, ""),
    "grey GIF": ("x.gif", saved(Image.fromarray(GREY[..., 0])), GREY, ""),
    "an animation": (
        "x.gif",
        saved(
            Image.fromarray(GREY[..., 0]),
            save_all=True,
            append_images=[Image.fromarray(255 - GREY[..., 0])],
        ),
        GREY,
        "first is taken",
    ),
    "ending in capitals": ("x.PNG", saved(Image.fromarray(COLOUR), format="PNG"), COLOUR, ""),
    "a wrong ending": ("x.jpg", saved(Image.fromarray(COLOUR), format="PNG"), COLOUR, ""),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_kind_of_file_is_read_to_the_pixel(name: str, tmp_path: Path) -> None:
    file, make, expected, words = EXACT[name]
    pixels, found = one(tmp_path, file, make)
    assert found.pool.images.dtype == np.uint8
    assert np.array_equal(pixels, expected.transpose(2, 0, 1))
    assert words in told(found)
    if not words:
        assert not found.notes or "grey images" in told(found)


NEAR: dict[str, tuple[str, Callable[[Path], None], Pixels]] = {
    "JPEG": ("x.jpg", saved(Image.fromarray(pattern(48, 40)), quality=95), pattern(48, 40)),
    "grey JPEG": (
        "x.JPEG",
        saved(Image.fromarray(pattern(48, 40, 1)[..., 0]), format="JPEG", quality=95),
        pattern(48, 40, 1),
    ),
    "CMYK JPEG": (
        "x.jpeg",
        saved(Image.fromarray(pattern(48, 40)).convert("CMYK"), quality=95),
        pattern(48, 40),
    ),
    "YCbCr TIFF": (
        "x.tif",
        saved(Image.fromarray(pattern(48, 40)).convert("YCbCr"), compression="jpeg"),
        pattern(48, 40),
    ),
    "AVIF": ("x.avif", saved(Image.fromarray(pattern(48, 40)), quality=95), pattern(48, 40)),
    "lossy WebP": ("x.webp", saved(Image.fromarray(pattern(48, 40)), quality=95), pattern(48, 40)),
}


@pytest.mark.parametrize("name", NEAR)
def test_a_lossy_kind_of_file_is_read_nearly_as_written(name: str, tmp_path: Path) -> None:
    file, make, expected = NEAR[name]
    pixels, _ = one(tmp_path, file, make)
    assert np.abs(pixels.transpose(1, 2, 0).astype(int) - expected).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_camera_was_held(orientation: int, tmp_path: Path) -> None:
    def make(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(COLOUR).save(path, exif=exif)

    pixels, found = one(tmp_path, "x.png", make)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    assert np.array_equal(pixels, expected.transpose(2, 0, 1))
    assert ("EXIF" in told(found)) == (orientation != 1)


def test_a_turned_jpeg_read_at_a_part_of_its_size_is_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "a" / "x.jpg", pattern(200, 400), exif=exif, quality=95)
    write(tmp_path / "b" / "y.jpg", pattern(400, 200, seed=1), quality=95)
    found = opened(source(tmp_path, image_size=(40, 20)))
    upright = np.asarray(
        Image.fromarray(np.rot90(pattern(200, 400), -1)).resize((20, 40), Image.Resampling.BOX)
    )
    pixels = found.pool.images[0].transpose(1, 2, 0).astype(int)
    assert np.abs(pixels - upright).mean() < 4


def test_a_background_of_ones_own_is_laid_below(tmp_path: Path) -> None:
    pixels, found = one(tmp_path, "x.png", saved(Image.fromarray(ALPHA)), background="#0000ff")
    blue = np.array([0, 0, 255], np.uint8)
    assert np.array_equal(pixels.transpose(1, 2, 0), np.where(ALPHA[..., 3:] == 255, COLOUR, blue))
    assert "laid over #0000ff" in told(found)


def test_a_transparent_grey_image_on_a_coloured_ground_is_a_coloured_one(tmp_path: Path) -> None:
    pixels, _ = one(tmp_path, "x.png", saved(grey_alpha()), background="#ff0000")
    assert pixels.shape == (3, 6, 5)
    clear = ALPHA[..., 3] == 0
    assert (pixels[:, clear] == np.array([[255], [0], [0]])).all()


def test_grey_and_coloured_images_together_are_coloured(tmp_path: Path) -> None:
    _, found = one(tmp_path, "x.png", saved(Image.fromarray(COLOUR)))
    assert found.pool.images.shape == (2, 3, 6, 5)
    assert (found.pool.images[1] == 7).all()
    assert "1 grey images are taken for colour ones" in told(found)


# sizes ------------------------------------------------------------------------------------------


def sized(root: Path, *sizes: tuple[int, int]) -> None:
    for number, (height, width) in enumerate(sizes):
        for name in "ab":
            write(root / name / f"{number}.png", pattern(height, width, seed=number + ord(name)))


def test_images_of_one_small_size_stay_as_they_are(tmp_path: Path) -> None:
    sized(tmp_path, (64, 40))
    found = opened(source(tmp_path))
    assert found.pool.images.shape == (2, 3, 64, 40)
    assert not found.notes


def test_images_of_several_sizes_become_the_median_of_their_shorter_sides(tmp_path: Path) -> None:
    sized(tmp_path, (30, 50), (40, 60), (90, 50))
    found = opened(source(tmp_path))
    assert found.pool.images.shape == (6, 3, 40, 40)
    assert "3 sizes" in told(found)
    assert "brought to 40x40" in told(found)
    sized(tmp_path, (200, 300), (210, 300), (220, 300), (230, 300))
    assert opened(source(tmp_path)).pool.images.shape == (8, 3, 64, 64)


def test_large_images_of_one_size_need_one_to_be_given(tmp_path: Path) -> None:
    sized(tmp_path, (65, 130))
    with pytest.raises(DataError, match=r"130x65.*--image-size"):
        opened(source(tmp_path))
    assert opened(source(tmp_path, image_size=(65, 130))).pool.images.shape == (2, 3, 65, 130)
    assert opened(source(tmp_path, image_size=(32, 48))).pool.images.shape == (2, 3, 32, 48)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_the_ways_to_fit(fit: str, tmp_path: Path) -> None:
    left, middle, right = (10, 20, 30), (100, 110, 120), (200, 210, 220)
    stripes = np.zeros((20, 60, 3), np.uint8)
    for at, colour in enumerate((left, middle, right)):
        stripes[:, 20 * at : 20 * at + 20] = colour
    write(tmp_path / "a" / "x.png", stripes)
    write(tmp_path / "b" / "y.png", Image.new("RGB", (30, 30)))
    found = opened(source(tmp_path, image_size=(20, 20), fit=fit, background="#ff00ff"))
    pixels = found.pool.images[0].transpose(1, 2, 0)
    if fit == "crop":
        assert (pixels == middle).all()
    elif fit == "stretch":
        assert [tuple(pixels[10, at]) for at in (2, 10, 17)] == [left, middle, right]
    else:
        assert (pixels[:6] == (255, 0, 255)).all()
        assert (pixels[-6:] == (255, 0, 255)).all()
        assert np.abs(pixels[10, 10].astype(int) - middle).max() <= 2
    assert fit in told(found)


def test_what_a_jpeg_is_read_as_is_what_one_prepared_alone_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name in "ab":
        noise = rng.integers(0, 256, (12, 16, 3), np.uint8)
        image = Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)
        write(tmp_path / name / "x.jpg", image, quality=90)
    found = opened(source(tmp_path, image_size=(64, 64)))
    assert found.prepared is not None
    alone = picture((tmp_path / "a" / "x.jpg").read_bytes(), found.prepared)
    assert np.array_equal(alone, found.pool.images[0])
    # decoded at a part of its size it is nearly what the whole, scaled down, is
    with Image.open(tmp_path / "a" / "x.jpg") as whole:
        cut = whole.resize((64, 64), Image.Resampling.BICUBIC, (62, 0, 437, 375))
    assert np.abs(np.asarray(cut).astype(int) - alone.transpose(1, 2, 0)).mean() < 2


@pytest.mark.parametrize(
    ("size", "target", "fit", "box", "scaled", "at"),
    [
        ((6, 5), (6, 5), "crop", (0, 0, 5, 6), (6, 5), (0, 0)),
        ((5, 8), (5, 5), "crop", (1, 0, 6, 5), (5, 5), (0, 0)),
        ((375, 500), (64, 64), "crop", (62, 0, 437, 375), (64, 64), (0, 0)),
        ((100, 40), (10, 20), "crop", (0, 40, 40, 60), (10, 20), (0, 0)),
        ((100, 40), (10, 20), "stretch", (0, 0, 40, 100), (10, 20), (0, 0)),
        ((100, 40), (10, 20), "pad", (0, 0, 40, 100), (10, 4), (0, 8)),
        ((1, 1000), (20, 20), "pad", (0, 0, 1000, 1), (1, 20), (9, 0)),
    ],
)
def test_where_an_image_is_placed(
    size: Size, target: Size, fit: Fit, box: Box, scaled: Size, at: tuple[int, int]
) -> None:
    assert placed(size, target, fit) == Placement(box, scaled, *at)


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    target=st.tuples(st.integers(1, 256), st.integers(1, 256)),
    fit=st.sampled_from(FITS),
)
def test_an_image_of_any_size_is_placed_within_it(size: Size, target: Size, fit: Fit) -> None:
    place = placed(size, target, fit)
    left, top, right, bottom = place.box
    assert 0 <= left < right <= size[1]
    assert 0 <= top < bottom <= size[0]
    assert 0 <= place.top <= target[0] - place.size[0]
    assert 0 <= place.left <= target[1] - place.size[1]
    if fit != "pad":
        assert place.size == target
    if fit == "crop":  # both sides are scaled alike, and one of them is there whole
        assert (right - left) / target[1] == pytest.approx((bottom - top) / target[0])
        assert right - left == size[1] or bottom - top == size[0]


# folders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("training", "validation", "testing"),
        ("Train", "valid", "TEST"),
        ("train", "dev", None),
        ("train", None, "test"),
    ],
)
def test_folders_of_splits_are_used_as_such(
    train: str, val: str | None, test: str | None, tmp_path: Path
) -> None:
    classes(tmp_path / train, 20)
    for number, name in enumerate((val, test)):
        if name:
            rng = np.random.default_rng(number)
            for label in "ab":
                for at in range(5):
                    pixels = rng.integers(0, 256, (6, 5, 1), np.uint8)
                    write(tmp_path / name / label / f"{at}.png", pixels)
    summary = read(source(tmp_path)).summary
    assert summary.names == ("a", "b")
    given = {"val": 10 if val else None, "test": 10 if test else None}
    left = 40
    assert summary.test == (given["test"] or round(0.2 * left))
    if not test:
        left -= summary.test
    assert summary.val == (given["val"] or round(0.2 * left))
    if not val:
        left -= summary.val
    assert summary.train == left


def test_a_class_that_is_called_train_is_a_class_beside_others(tmp_path: Path) -> None:
    classes(tmp_path, 10, ("train", "bus"))  # type: ignore[arg-type]  # any words do
    assert read(source(tmp_path)).summary.names == ("bus", "train")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("TrainSet", "TestSet"),
        ("pets-training", "pets-testing"),
        ("train/images", "test/images"),
        ("x/training_set/training_set", "x/test_set/test_set"),
    ],
)
def test_splits_are_found_by_a_word_in_their_names_and_within_a_folder(
    train: str, test: str, tmp_path: Path
) -> None:
    """As contests give them; what they give beside it, without classes, is left out and told."""
    classes(tmp_path / train, 10)
    classes(tmp_path / test, 3, "ab", (6, 5))
    write(tmp_path / train.partition("/")[0] / ".." / "seg_pred" / "x.png", GREY)
    found = opened(source(tmp_path if not train.startswith("x/") else tmp_path / "x"))
    assert found.names == ("a", "b")
    assert len(found.pool) == 26
    assert isinstance(found.test, np.ndarray)
    assert len(found.test) == 6
    first = train.removeprefix("x/").partition("/")[0]
    assert (f"Taken for splits: {first}" in told(found) or f", {first} (train)" in told(found)) == (
        first != "train"
    )


@pytest.mark.parametrize(
    "names", [("blood_test", "blood_train", "x"), ("train_ticket", "test_tube")]
)
def test_classes_that_hold_images_are_no_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    classes(tmp_path, 10, names)  # type: ignore[arg-type]
    assert opened(source(tmp_path)).names == tuple(sorted(names))


@pytest.mark.parametrize(
    ("beside", "flat"), [("unlabeled", True), ("sample_images", True), ("extra", False)]
)
def test_what_stands_beside_a_train_folder_of_classes_is_no_class(
    beside: str, flat: bool, tmp_path: Path
) -> None:
    classes(tmp_path / "train", 10)
    classes(tmp_path / beside, names="c")
    if flat:
        for path in (tmp_path / beside / "c").iterdir():
            path.rename(tmp_path / beside / path.name)
    found = opened(source(tmp_path))
    assert found.names == ("a", "b")
    assert beside in told(found)


@pytest.mark.parametrize(
    "names",
    [("train_mini", "val"), ("train2017", "val2017"), ("fold1", "fold2"), ("holdout", "learn")],
)
def test_splits_by_other_names_are_not_taken_for_classes(
    names: tuple[str, str], tmp_path: Path
) -> None:
    for seed, name in enumerate(names):
        classes(tmp_path / name, 6 + seed)
    with pytest.raises(DataError, match="seem to be splits, not classes"):
        opened(source(tmp_path))


def test_folders_within_classes_may_be_alike(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        classes(tmp_path / name, names="xy")
    assert opened(source(tmp_path)).names == ("cat", "dog")


def test_splits_within_classes_are_told(tmp_path: Path) -> None:
    for split in ("train", "test"):
        classes(tmp_path / "x" / split)
    for name in "ab":
        for split in ("train", "test"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / "x" / split / name).rename(tmp_path / name / split)
    (tmp_path / "x" / "train").rmdir()
    (tmp_path / "x" / "test").rmdir()
    found = opened(source(tmp_path))
    assert found.names == ("a", "b")
    assert "folders test, train, taken together" in told(found)


def test_splits_without_class_folders_are_refused(tmp_path: Path) -> None:
    classes(tmp_path, 10, ("train", "val"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"train/CLASS/IMAGE"):
        read(source(tmp_path))


def test_a_class_that_only_the_test_set_has_is_refused(tmp_path: Path) -> None:
    classes(tmp_path / "train", 10)
    classes(tmp_path / "test", 3, "abc")
    with pytest.raises(DataError, match=r"\bc\b"):
        read(source(tmp_path))


def test_a_class_that_the_test_set_lacks_is_told(tmp_path: Path) -> None:
    classes(tmp_path / "train", 10, "abc")
    classes(tmp_path / "test", 3, "ab", (6, 5))
    found = opened(source(tmp_path))
    assert "test" in told(found)
    assert "c" in told(found)


def test_other_folders_beside_the_splits_are_left_out_and_told(tmp_path: Path) -> None:
    classes(tmp_path / "train", 10)
    classes(tmp_path / "val", 3, "ab", (6, 5))
    write(tmp_path / "samples" / "x.png", GREY)
    found = opened(source(tmp_path))
    assert found.names == ("a", "b")
    assert "samples/x.png" in told(found)


def test_droppings_are_left_out_counted_and_told(tmp_path: Path) -> None:
    classes(tmp_path)
    write(tmp_path / ".ipynb_checkpoints" / "x-checkpoint.png", GREY)
    write(tmp_path / "a" / ".ipynb_checkpoints" / "0.png", GREY)
    write(tmp_path / "__MACOSX" / "a" / "x.png", GREY)
    write(tmp_path / "a" / "._0.png", GREY)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "b" / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.txt").write_text("hello")
    write(tmp_path / "loose.png", GREY)
    found = opened(source(tmp_path))
    assert len(found.pool) == 8
    assert found.names == ("a", "b")
    for words in (".ipynb_checkpoints", "__MACOSX", "Thumbs.db", "(7 in all)"):
        assert words in told(found)
    assert "1 file of a kind that is not read (.txt)" in told(found)
    assert "empty, empty" in told(found)
    assert "1 image in no class folder, such as loose.png" in told(found)


def test_a_folder_around_it_all_is_looked_through(tmp_path: Path) -> None:
    classes(tmp_path / "animals-1.0" / "images")
    found = opened(source(tmp_path))
    assert found.names == ("a", "b")
    assert "animals-1.0/images" in told(found)


def test_names_of_classes_are_kept_and_whole_numbers_are_sorted_as_such(tmp_path: Path) -> None:
    for name in ("1", "2", "10"):
        write(tmp_path / name / "x.png", pattern(6, 5, 1, int(name)))
    assert opened(source(tmp_path)).names == ("1", "2", "10")


def test_one_class_is_refused(tmp_path: Path) -> None:
    classes(tmp_path, names="a")
    with pytest.raises(DataError, match="one class only"):
        opened(source(tmp_path))


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no images.*heic"):
        opened(source(tmp_path))


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        opened(source(tmp_path / "nowhere"))


# broken files -----------------------------------------------------------------------------------


def broken(root: Path) -> list[str]:
    """Two classes of sound images with a dozen broken ones among them."""
    rng = np.random.default_rng(5)
    for name in "ab":
        for number in range(10):
            write(root / name / f"{number}.png", rng.integers(0, 256, (40, 40, 3), np.uint8))
    whole = (root / "a" / "0.png").read_bytes()
    contents = {
        "a/cut.png": whole[: len(whole) // 2],
        "a/empty.png": b"",
        "b/text.jpg": b"<html>404</html>",
        **{f"b/cut{number}.png": whole[:100] for number in range(9)},
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return list(contents)


KINDS: dict[str, dict[str, Any]] = {
    "JPEG": {"progressive": True},
    "PNG": {},
    "WEBP": {},
    "AVIF": {},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "PPM": {},
    "JPEG2000": {},
    "GIF": {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_broken_or_read_and_nothing_else(kind: str) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    file = io.BytesIO()
    image.save(file, kind, **KINDS[kind])
    whole = file.getvalue()
    how = Preparation(height=8, width=8, channels=3, fit="crop", background="#ffffff")
    outcomes = set()
    for attempt in range(150):
        damaged = bytearray(whole)
        if attempt % 2:
            damaged = damaged[: rng.integers(len(damaged))]
        else:
            begin = 200 if attempt % 4 else len(damaged)
            for at in rng.integers(0, min(begin, len(damaged)), 6):
                damaged[at] = rng.integers(256)
        for read_it in (look, lambda content: picture(content, how)):
            try:
                read_it(bytes(damaged))
                outcomes.add("read")
            except Broken as error:
                outcomes.add("broken" if str(error) else "without a word")
    assert "broken" in outcomes
    assert "without a word" not in outcomes


def test_every_broken_file_is_found_in_one_pass(tmp_path: Path) -> None:
    names = broken(tmp_path)
    with pytest.raises(DataError) as refused:
        read(source(tmp_path))
    words = str(refused.value)
    assert "12 of 32 files" in words
    assert "and 2 more" in words
    assert sum(name in words for name in names) == 10
    assert "--skip-broken" in words


def test_broken_files_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    broken(tmp_path)
    summary = read(source(tmp_path, skip_broken=True)).summary
    assert summary.train + summary.val + summary.test == 20
    assert summary.broken == 12
    assert "12 files that cannot be read" in " ".join(summary.notes)


def noise(seed: int) -> Image.Image:
    """So much of it that a file of it is longer than the beginning that is looked at first."""
    values = np.random.default_rng(seed).integers(0, 256, (160, 160, 3))
    return Image.fromarray(values.astype(np.uint8))


LONG: dict[str, tuple[Callable[[], Image.Image], dict[str, Any]]] = {
    "palette.png": (lambda: noise(0).convert("P"), {}),
    "palette.bmp": (lambda: noise(0).convert("P"), {}),
    "still.gif": (lambda: noise(0).convert("P"), {}),
    "moving.gif": (lambda: noise(0).convert("L"), {"save_all": True, "append_images": [noise(1)]}),
    "pages.tif": (lambda: noise(0), {"save_all": True, "append_images": [noise(1)]}),
    "packed.tif": (
        lambda: noise(0),
        {"save_all": True, "append_images": [noise(1)], "compression": "tiff_lzw"},
    ),
    "moving.webp": (
        lambda: noise(0),
        {"save_all": True, "append_images": [noise(1)], "lossless": True},
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_a_file_longer_than_its_beginning_is_read_as_any(name: str, tmp_path: Path) -> None:
    make, how = LONG[name]
    image = make()
    pixels, found = one(tmp_path, name, saved(image, **how), image_size=(160, 160))
    assert (tmp_path / "a" / name).stat().st_size > 2 * HEAD_BYTES
    with Image.open(tmp_path / "a" / name) as read_back:
        expected = np.asarray(read_back.convert("L" if len(pixels) == 1 else "RGB"))
    np.testing.assert_array_equal(pixels, np.atleast_3d(expected).transpose(2, 0, 1))
    assert ("several frames" in told(found)) == ("append_images" in how)


@pytest.mark.parametrize("name", LONG)
def test_a_file_that_is_cut_off_is_a_broken_one(name: str, tmp_path: Path) -> None:
    make, how = LONG[name]
    classes(tmp_path)
    path = tmp_path / "a" / name
    make().save(path, **how)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DataError, match=f"1 of 9 files cannot be used: a/{name} "):
        opened(source(tmp_path))


def test_what_proves_broken_has_no_say_in_how_the_others_are_read(tmp_path: Path) -> None:
    classes(tmp_path, size=(16, 16))
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    (tmp_path / "a" / "cut.png").write_bytes(file.getvalue()[:2000])
    found = opened(source(tmp_path, skip_broken=True))
    assert found.pool.images.shape == (8, 1, 16, 16)
    assert "sizes" not in told(found)
    assert found.broken == 1


def test_a_picture_too_large_to_read_is_told(tmp_path: Path) -> None:
    classes(tmp_path)
    rows = zlib.compress(bytes(30_001 * 8), 9)
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
    (tmp_path / "a" / "bomb.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=r"bomb\.png .*100 million pixels"):
        opened(source(tmp_path))


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    classes(tmp_path)
    deep = tmp_path / "a"
    for _ in range(60):
        deep /= "a"
    deep.mkdir(parents=True)
    with pytest.raises(DataError, match="more than 40 deep"):
        opened(source(tmp_path))


def test_a_name_that_is_no_unicode_is_told_all_the_same(tmp_path: Path) -> None:
    classes(tmp_path)
    place = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(place)
    for number in range(4):
        write(Path(os.fsdecode(place)) / f"{number}.png", pattern(6, 5, 1, number))
    data = read(source(tmp_path, val_fraction=0.4))
    assert data.summary.names == ("a", "b", "caf\ufffd")
    assert "caf" in data.summary.model_dump_json()


def test_big_endian_16_bits_are_read(tmp_path: Path) -> None:
    deep = struct.pack(">30H", *DEEP.ravel())
    tags = [
        (256, 3, 5), (257, 3, 6), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8),
        (277, 3, 1), (278, 3, 6), (279, 4, len(deep)),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1)
        + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in tags
    )
    content = struct.pack(">2sHI", b"MM", 42, 8 + len(deep)) + deep
    content += struct.pack(">H", len(tags)) + entries + bytes(4)
    pixels, _ = one(tmp_path, "x.tif", saved_bytes(content))
    assert np.array_equal(pixels[0], np.rint(DEEP / 65535 * 255).astype(np.uint8))


def test_values_below_0_are_refused(tmp_path: Path) -> None:
    classes(tmp_path)
    signed = np.arange(-15, 15, dtype=np.int32).reshape(6, 5)
    Image.fromarray(signed).save(tmp_path / "a" / "ct.tiff")
    with pytest.raises(DataError, match=r"ct\.tiff \(has values below 0, down to -15"):
        opened(source(tmp_path))


def test_a_png_that_says_at_its_end_how_it_is_turned_is_turned(tmp_path: Path) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(upright).save(file, "PNG", exif=exif)
    content = file.getvalue()
    at = content.index(b"eXIf") - 4
    chunk = content[at : at + 12 + struct.unpack(">I", content[at : at + 4])[0]]
    content = content.replace(chunk, b"")
    end = content.index(b"IEND") - 4
    moved = content[:end] + chunk + content[end:]
    assert len(moved) > 8192
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(moved)
    found = opened(source(tmp_path))
    assert found.pool.images.shape == (2, 3, 64, 48)
    assert np.array_equal(found.pool.images[0].transpose(1, 2, 0), np.rot90(upright, -1))


def test_links_that_lead_to_each_other_are_refused_before_they_multiply(tmp_path: Path) -> None:
    classes(tmp_path)
    for number in range(20):
        (tmp_path / "a" / f"d{number}").mkdir()
        for way in "xy":
            (tmp_path / "a" / f"d{number}" / way).symlink_to(tmp_path / "a" / f"d{number + 1}")
    (tmp_path / "a" / "d20").mkdir()
    with pytest.raises(DataError, match="more than 1,000 symbolic links"):
        opened(source(tmp_path))


def test_a_kind_of_pixels_that_nobody_reads_is_a_broken_file(tmp_path: Path) -> None:
    classes(tmp_path)
    Image.new("F", (5, 6)).save(tmp_path / "a" / "real.tiff")
    with pytest.raises(DataError, match=r"real\.tiff \(holds floating-point values"):
        opened(source(tmp_path))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "set"
    classes(root)
    write(tmp_path / "secret.png", GREY)
    (root / "a" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="symbolic link out of the folder"):
        opened(source(root))


def test_a_link_within_the_folder_is_followed_and_a_circle_is_not(tmp_path: Path) -> None:
    classes(tmp_path)
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    (tmp_path / "b" / "again.png").symlink_to(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"1 of 10 files.*nowhere\.png"):
        opened(source(tmp_path))
    assert len(opened(source(tmp_path, skip_broken=True)).pool) == 9


# archives ---------------------------------------------------------------------------------------


def zipped(root: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*")):
            file.write(path, path.relative_to(root.parent))


def tarred(root: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as file:
        file.add(root, root.name)


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tgz"])
def test_an_archive_is_read_in_place(name: str, tmp_path: Path) -> None:
    root = tmp_path / "animals"
    classes(root)
    archive = tmp_path / name
    if name == "set.tgz":
        tarred(root, tmp_path / "x.tar.gz")
        (tmp_path / "x.tar.gz").rename(archive)
    else:
        (zipped if name == "set.zip" else tarred)(root, archive)
    expected = opened(source(root))
    before = sorted(os.listdir(tmp_path))
    found = opened(source(archive))
    by_digest = {image.tobytes(): label for image, label in zip(*parts(found), strict=True)}
    assert by_digest == {i.tobytes(): label for i, label in zip(*parts(expected), strict=True)}
    assert found.names == ("a", "b")
    assert sorted(os.listdir(tmp_path)) == before


def parts(found: Source) -> tuple[NDArray[Any], NDArray[Any]]:
    return found.pool.images, found.pool.labels


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png", "..\\x.png"])
def test_a_name_that_leads_out_of_an_archive_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(name, b"x")
    with pytest.raises(DataError, match="leads out of it"):
        opened(source(tmp_path / "x.zip"))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(DataError, match="leads out of it"):
        opened(source(tmp_path / "x.tar"))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file,
        file.open("a/x.png", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(bytes(1 << 20))
    with pytest.raises(DataError, match="would unpack to more than"):
        opened(source(tmp_path / "x.zip"))
    huge = tarfile.TarInfo("a/x.png")
    huge.size = 1 << 40
    with gzip.open(tmp_path / "x.tar.gz", "wb") as stream:
        stream.write(huge.tobuf())
        stream.write(bytes(1 << 20))
    with pytest.raises(DataError, match="would unpack to more than"):
        opened(source(tmp_path / "x.tar.gz"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"plain words"])
def test_a_file_that_is_no_archive_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip"):
        opened(source(tmp_path / "x.zip"))


def test_a_tar_with_odd_times_and_separators_is_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as file:
        for name in "ab":
            for number in range(3):
                content = io.BytesIO()
                Image.fromarray(pattern(6, 5, 1, number)[..., 0]).save(content, "PNG")
                member = tarfile.TarInfo(f"{name}\\{number}.png")
                member.size = len(content.getvalue())
                member.pax_headers = {"mtime": "1e300"}
                file.addfile(member, io.BytesIO(content.getvalue()))
    assert len(opened(source(tmp_path / "x.tar")).pool) == 6


def test_a_link_in_a_zip_is_left_out(tmp_path: Path) -> None:
    classes(tmp_path / "x")
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for path in (tmp_path / "x").rglob("*.png"):
            file.write(path, path.relative_to(tmp_path / "x"))
        file.writestr(link, "../../etc/passwd")
    assert len(opened(source(tmp_path / "x.zip")).pool) == 8


def test_an_archive_packed_in_a_way_that_is_not_known_is_told(tmp_path: Path) -> None:
    classes(tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for path in (tmp_path / "x").rglob("*.png"):
            file.write(path, path.relative_to(tmp_path / "x"))
    content = bytearray((tmp_path / "x.zip").read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        first = content.index(mark)
        content[first + at : first + at + 2] = struct.pack("<H", 97)
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match="compression method is not supported"):
        opened(source(tmp_path / "x.zip"))


def test_a_cut_archive_is_told(tmp_path: Path) -> None:
    classes(tmp_path / "set")
    tarred(tmp_path / "set", tmp_path / "x.tar.gz")
    whole = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        opened(source(tmp_path / "x.tar.gz"))


def test_a_damaged_member_is_a_broken_file(tmp_path: Path) -> None:
    classes(tmp_path / "set")
    zipped(tmp_path / "set", tmp_path / "x.zip")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    at = content.index(b"IDAT") + 8
    content[at] ^= 255
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"1 of 8 files.*a/0\.png"):
        opened(source(tmp_path / "x.zip"))
