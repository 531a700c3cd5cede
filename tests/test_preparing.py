"""What is delivered with a network prepares image files pixel for pixel as the search did."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lcsearch.engine.executors.final import FinalTraining
from lcsearch.engine.protocol import FinalDone
from lcsearch.engine.training import preparing
from lcsearch.engine.training.data import pictures, read, read_final
from lcsearch.sessions.choices import FITS
from lcsearch.sessions.records import READER, DataSource, Preparation

from .sessions_for_tests import final_order, make_store

ALONE = """
import importlib.abc, json, sys
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("lcsearch", "torch", "safetensors", "pydantic"):
            raise ImportError(f"{name}: behind the wall")
sys.meta_path.insert(0, Wall())
sys.path.insert(0, sys.argv[1])
import numpy
from prepare import CLASSES, Broken, prepare
paths = sys.argv[3:]
numpy.savez(sys.argv[2], images=numpy.stack([prepare(path) for path in paths]), names=CLASSES)
try:
    prepare(__file__ if "__file__" in globals() else sys.argv[1] + "/prepare.py")
except Broken as error:
    print(error)
"""


def alone(folder: Path, paths: list[Path], tmp_path: Path) -> tuple[Any, list[str], str]:
    """What prepare.py makes of files in a process that has no lcsearch and no torch."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", ALONE, folder, tmp_path / "out.npz", *paths],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    with np.load(tmp_path / "out.npz") as made:
        return made["images"], made["names"].tolist(), ran.stdout


def mixed(root: Path) -> list[Path]:
    """Files of every kind that is read in a way of its own, twelve of them in two classes."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (12, 9, 3)).astype(np.uint8)
    large = Image.fromarray(colour).resize((700, 500), Image.Resampling.BICUBIC)
    deep = Image.fromarray(rng.integers(0, 4096, (40, 30)).astype(np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = np.dstack([colour, rng.integers(0, 256, (12, 9)).astype(np.uint8)])
    paths = []
    for name in ("a class's", 'another "one"'):
        (root / name).mkdir(parents=True)
        for file, image, how in (
            ("reduced.jpg", large, {"quality": 90}),
            ("turned.jpg", large.crop((0, 0, 600, 300)), {"exif": turned}),
            ("four.jpg", large.convert("CMYK"), {}),
            ("deep.png", deep, {}),
            ("clear.png", Image.fromarray(clear), {}),
            ("palette.gif", large.convert("P"), {}),
        ):
            # the classes differ, so that nothing is a copy
            shown = image if name < "another" else image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
            shown.save(root / name / file, **how)
            paths.append(root / name / file)
    return sorted(paths)


@pytest.mark.parametrize("fit", FITS)
def test_files_become_the_pixels_that_the_search_read(fit: Any, home: Path, tmp_path: Path) -> None:
    paths = mixed(tmp_path / "photos")
    source = DataSource(
        spec=f"folder:{tmp_path / 'photos'}", image_size=(20, 24), fit=fit, reader=READER,
        background="#204060",
    )  # fmt: skip
    data = read(source)
    prepared = data.summary.prepared
    assert prepared is not None
    folder = tmp_path / "delivered"
    folder.mkdir()
    how = preparing.Preparing(data.summary.names, data.summary.shape, prepared)
    (folder / preparing.PREPARE).write_text(how.source(), encoding="utf-8")
    images, names, refused = alone(folder, paths, tmp_path)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, data.pool.images)
    assert names == ["a class's", 'another "one"']
    assert refused == "is no image\n"


def test_an_image_that_is_given_stays_as_it_is(tmp_path: Path) -> None:
    for path in (p for p in mixed(tmp_path / "photos") if p.suffix == ".jpg"):
        how = Preparation(height=20, width=24, channels=3, fit="crop", background="#204060")
        image = Image.open(path)
        size = image.size
        first, second = (np.asarray(pictures.prepared(pictures.own(image), how)) for _ in "ab")
        assert image.size == size
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(
            first.transpose(2, 0, 1), pictures.picture(path.read_bytes(), how)
        )
        assert pictures.own(Image.open(path).copy()).size == size  # read already


def test_the_folder_of_a_network_has_it_where_images_were_files(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            photo = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(photo).save(root / name / f"{number}.png")
    data = DataSource(spec=f"folder:{root}", reader=READER)
    found, test = read_final(data)
    done = make_store(home, data=data, summary=found.summary).refresh()
    training = FinalTraining(final_order(done, 0, 1, tmp_path / "out"))
    *_, end = training
    assert isinstance(end, FinalDone)
    assert preparing.PREPARE in end.result.files
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert Preparation(**told["prepared"]) == found.summary.prepared
    assert told["classes"] == ["cat", "dog"]
    paths = sorted(root.rglob("*.png"))
    images, names, _ = alone(tmp_path / "out", paths, tmp_path)
    assert names == ["cat", "dog"]
    known = {image.tobytes() for image in test.images.astype(np.float32)}
    assert known <= {image.tobytes() for image in images}
