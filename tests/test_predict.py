"""A delivered network says the same however it is asked, and a tampered folder is refused."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lcsearch.engine.metric import wilson
from lcsearch.engine.protocol import RESULT, FinalResult
from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import card, portable, stored
from lcsearch.engine.training.build import build
from lcsearch.engine.training.data import read_final
from lcsearch.engine.training.final import write
from lcsearch.engine.training.trainer import machine
from lcsearch.sessions.records import READER, DataSource

from .conftest import benchmark, lcsearch

HOSTILE = (
    "[b]|`<i>`*c*\u202e",
    "a \"quoted\"\n'name' \\",
    "x' + __import__('os').abort() + '",
)
"""Names of classes, sorted; a file system holds them all."""
ALONE = """
import importlib.abc, json, sys
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("lcsearch", "numpy", "safetensors", "onnx", "pydantic"):
            raise ModuleNotFoundError(f"{name}: behind the wall")
sys.meta_path.insert(0, Wall())
sys.path.insert(0, sys.argv[1])
import torch
from PIL import Image
from network import CLASSES, Broken, predict, preprocess
told = {}
for path in sys.argv[2:]:
    with Image.open(path) as image:
        pixels = preprocess(image)
    assert pixels.dtype == torch.float32
    told[path] = {"pixels": pixels.tolist(), "told": predict(path)}
try:
    predict(sys.argv[1] + "/network.py")
except Broken as error:
    assert str(error) == "is no image"
assert "numpy" not in sys.modules
print(json.dumps({"classes": CLASSES, "told": told}))
"""


def files_in(root: Path) -> list[Path]:
    """Image files of other sizes and modes, three or more of every class."""
    rng = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in HOSTILE:
        (root / name).mkdir(parents=True)
        colour = rng.integers(0, 256, (13, 9, 3)).astype(np.uint8)
        large = Image.fromarray(colour).resize((300, 200), Image.Resampling.BICUBIC)
        clear = np.dstack([colour, rng.integers(0, 256, (13, 9)).astype(np.uint8)])
        deep = Image.fromarray(rng.integers(0, 1 << 16, (30, 40)).astype(np.uint16))
        large.save(root / name / "reduced.jpg")
        large.save(root / name / "turned.jpg", exif=turned, quality=80)
        large.save(root / name / "turned.png", exif=turned)
        large.convert("P").save(root / name / "palette.png")
        Image.fromarray(clear).save(root / name / "clear.png")
        deep.save(root / name / "deep.png")
    return sorted(root.rglob("*.*g"))


def delivered(source: DataSource, folder: Path, onnx: bool = False) -> FinalResult:
    """What `train` writes of a network that was built and not trained."""
    data, _ = read_final(source)
    summary = data.summary
    config = cnn.reference(summary.shape, summary.classes)
    model = build(cnn.network(config, summary.shape, summary.classes), 0).eval()
    right, images = 5 + np.arange(summary.classes) % 7, 12
    confusion = [
        [int(right[i]) if i == j else (images - int(right[i])) * (j == (i + 1) % len(right))
         for j in range(len(right))] for i in range(len(right))
    ]  # fmt: skip
    result = FinalResult(
        session="pets", trial=3, config=config, features=4, seed=3, epochs=30, augment="none",
        data=source, data_fingerprint=summary.fingerprint, train_images=20, test_images=1000,
        test_accuracy=0.9, metric="accuracy", test_metric=0.9, class_weights="none",
        classes=summary.class_names, recalls=tuple(right / images), confusion=confusion,
        train_loss=1.0, params=1, macs=1, seconds=1.0, prepared=summary.prepared,
        machine=machine(torch.device("cpu"), torch.float32), lcsearch="0", files=(),
    )  # fmt: skip
    written = write(folder, model, data, result, onnx, lambda: False)
    assert written is not None
    return written


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return files_in(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def model(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as m:
        m.setenv("LCSEARCH_HOME", str(place / "home"))
        source = DataSource(
            spec=f"folder:{photos[0].parent.parent}", image_size=(20, 24), fit="pad",
            background="#204060", reader=READER,
        )  # fmt: skip
        delivered(source, place / "model", onnx=True)
    return place / "model"


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def alone(folder: Path, paths: list[Path]) -> Any:
    """What network.py says in a process that has torch and Pillow, and neither NumPy nor us."""
    ran = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", ALONE, folder, *paths],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def predicted(*words: str, code: int = 0) -> Any:
    return json.loads(lcsearch("predict", *words, "--json", code=code)[0])


def test_whoever_is_asked_says_the_same(model: Path, photos: list[Path]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    said = alone(model, photos)
    assert said["classes"] == list(HOSTILE)
    prepare: dict[str, Any] = {}
    exec(compile((model / "prepare.py").read_text(), "prepare.py", "exec"), prepare)
    session = onnxruntime.InferenceSession(model / portable.ONNX)
    by_command = {
        runtime: predicted(str(model), *map(str, photos), "--runtime", runtime, "--top", "9")
        for runtime in ("torch", "onnx")
    }
    for number, path in enumerate(photos):
        own = said["told"][str(path)]
        pixels = prepare["prepare"](path)
        np.testing.assert_array_equal(np.array(own["pixels"], np.float32), pixels)
        (logits,) = session.run(None, {"images": pixels[None]})[0]
        powers = np.exp(logits - logits.max())
        expected = dict(zip(HOSTILE, powers / powers.sum(), strict=True))
        assert dict(map(tuple, own["told"])) == pytest.approx(expected, abs=1e-5)
        shares = [share for _, share in own["told"]]
        assert shares == sorted(shares, reverse=True)
        for told in by_command.values():
            assert told[number]["file"] == str(path)
            found = {entry["name"]: entry["probability"] for entry in told[number]["predictions"]}
            assert found == pytest.approx(expected, abs=1e-5)


def test_arrays_are_prepared_by_a_likeness(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    result = delivered(DataSource(spec="digits"), folder)
    assert (result.shape, result.levels, result.prepared) == ((1, 8, 8), (0, 16), None)
    ramp = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(ramp).convert("RGBA").save(tmp_path / "ramp.png")
    said = alone(folder, [tmp_path / "ramp.png"])["told"][str(tmp_path / "ramp.png")]
    np.testing.assert_allclose(np.array(said["pixels"])[0], ramp / 255 * 16, rtol=1e-6)
    (told,) = predicted(str(folder), str(tmp_path / "ramp.png"), "--top", "1")
    assert told["predictions"][0]["name"] == said["told"][0][0]
    assert "The search read arrays" in (folder / "network.py").read_text()


def test_the_words_of_predict(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / ".hidden").mkdir(parents=True)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a" / "good.png")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a" / ".hidden" / "other.png")
    (tmp_path / "a" / "bad\x1b[2J\n.png").write_text("no")
    (tmp_path / "empty").mkdir()
    given = [str(tmp_path / name) for name in ("a", "none.png", "empty")]
    for name in ("notes.txt", "more.csv", ".hidden/notes.txt"):  # what is hidden does not count
        (tmp_path / "a" / name).touch()
    out, err = lcsearch("predict", str(model), *given, "/dev/zero", "--top", "2", code=2)
    (line,) = out.splitlines()
    assert line.startswith(f"{tmp_path}/a/good.png  ")
    assert line.count(" %") == 2
    assert err.splitlines() == [
        f"lcsearch: {tmp_path}/a/bad�[2J�.png: is no image.",
        f"lcsearch: {tmp_path}/none.png: there is no such file.",
        f"lcsearch: {tmp_path}/empty: holds no images.",
        "lcsearch: /dev/zero: is no file.",
        f"{tmp_path}/a: 2 files are no image by name, and left out.",
    ]
    _, err = lcsearch("predict", str(model), str(tmp_path / "empty"), code=1)
    # in columns, whatever the files are called
    (tmp_path / "a much longer name.png").write_bytes((tmp_path / "a" / "good.png").read_bytes())
    pair = str(tmp_path / "a" / "good.png"), str(tmp_path / "a much longer name.png")
    one, other = lcsearch("predict", str(model), *pair, "--top", "1")[0].splitlines()
    assert one.removeprefix(pair[0]).lstrip() == other.removeprefix(pair[1]).lstrip()
    assert len(one) == len(other)
    for name, code, words in (("none", 2, "there is no such folder"), ("empty", 2, "holds no")):
        _, err = lcsearch("predict", str(tmp_path / name), given[0], code=code)
        assert words in err


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it was run')",)


def _tampered(folder: Path, how: str) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / stored.WEIGHTS
    state = load_file(file)
    if how == "pickle":
        file.write_bytes(pickle.dumps(Bomb()))
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-9])
    elif how == "header":
        file.write_bytes((1 << 62).to_bytes(8, "little") + file.read_bytes()[8:])
    elif how == "deep":
        file.write_bytes((40_000).to_bytes(8, "little") + b"[" * 40_000)
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "offsets":
        size = int.from_bytes(file.read_bytes()[:8], "little")
        header = json.loads(file.read_bytes()[8 : 8 + size])
        header["mean"]["data_offsets"] = []
        text = json.dumps(header).encode()
        rest = file.read_bytes()[8 + size :]
        file.write_bytes(len(text).to_bytes(8, "little") + text + rest)
    else:
        if how == "shape":
            state["layers.0.weight"] = state["layers.0.weight"][:-1].contiguous()
        elif how == "missing":
            del state["mean"]
        elif how == "kind":
            state["mean"] = state["mean"].double()
        else:
            state["mean"][0] = float("nan")
        save_file(state, file)


@pytest.mark.parametrize(
    "how",
    [
        "pickle",
        "truncated",
        "header",
        "deep",
        "empty",
        "offsets",
        "shape",
        "missing",
        "kind",
        "nan",
    ],
)
def test_tampered_weights_are_refused_in_words(copy: Path, photos: list[Path], how: str) -> None:
    _tampered(copy, how)
    module = ModuleType("delivered")
    module.__file__ = str(copy / "network.py")
    exec(compile((copy / "network.py").read_text(), "network.py", "exec"), module.__dict__)
    with pytest.raises(ValueError, match="these are not the weights of this network"):
        module.load()
    for runtime in ("torch", "onnx"):
        _, err = lcsearch("predict", str(copy), str(photos[0]), "--runtime", runtime, code=1)
        assert "these are not the weights of this network" in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", [stored.WEIGHTS, RESULT])
@pytest.mark.parametrize("how", ["pipe", "endless"])
def test_what_is_no_file_keeps_nobody_waiting(
    copy: Path, photos: list[Path], name: str, how: str
) -> None:
    (copy / name).unlink()
    if how == "pipe":
        os.mkfifo(copy / name)
    else:
        (copy / name).symlink_to("/dev/zero")
    code = 2 if name == RESULT else 1  # without it, it is no folder of a network
    _, err = lcsearch("predict", str(copy), str(photos[0]), code=code)
    assert str(copy) in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"config": {}},
        {"config": {"conv_layers": 10**9}},
        {"shape": [3, 10**6, 10**6]},
        {"shape": None},
        {"classes": []},
        {"levels": "x"},
        {"levels": [0, 1e308]},
        {"levels": [255, 0]},
        {"unknown": 1},
    ],
)
def test_a_tampered_result_is_refused_in_words(
    copy: Path, photos: list[Path], change: dict[str, Any]
) -> None:
    (copy / "network.py").write_text("raise SystemExit('it was run')")
    told = json.loads((copy / RESULT).read_text())
    (copy / RESULT).write_text(json.dumps({**told, **change}))
    _, err = lcsearch("predict", str(copy), str(photos[0]), code=1)
    assert f"{copy / RESULT}" in err
    assert len(err.splitlines()) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_arithmetic_names_what_torch_writes(seed: int) -> None:
    shape = (3, 14, 17)
    space = cnn.space(shape, 4)
    assert space.reference is not None
    config = space.sample(np.random.default_rng(seed), 0, space.reference)
    if space.broken(config):
        return
    laid = cnn.network(config, shape, 4)
    if laid.params > 300_000:
        return
    ones = np.ones(3, np.float32)
    state = portable.Portable(build(laid, 0), ones, ones).state_dict()
    found = {
        name: ("I64" if value.dtype == torch.int64 else "F32", tuple(value.shape))
        for name, value in state.items()
    }
    assert stored.expected(laid) == found


def test_the_card_says_what_the_network_is_worth(model: Path) -> None:
    text = (model / card.CARD).read_text(encoding="utf-8")
    result = FinalResult.model_validate_json((model / RESULT).read_text())
    assert result.test_interval == pytest.approx((0.8798, 0.9171), abs=1e-4)
    assert "**90.00%** of 1,000 test images are told right (95 % interval 88.0% to 91.7%)" in text
    assert set(result.costs) == {"params", "macs", "size", "activations"}
    assert result.latencies["torch"] > 0
    assert "| latency by PyTorch |" in text
    there = {path.name for path in model.iterdir()} - {"__pycache__"}  # of a test before
    assert set(result.files) == there
    # a name is a cell of a table, whatever it holds
    assert r"| \[b\]\|\`\<i\>\`\*c\*� | 12 |" in text
    assert "- of 12 images of" in text
    rate = f"{result.config['learning_rate']:g}"
    assert f"optimiser adam, learning rate {rate}, lr decay 1, batch size 128" in text
    assert "label smoothing 0" in text
    assert "\u202e" not in text
    # the layers are those of the network, as its own figures have them
    laid = cnn.network(result.config, result.shape or (0, 0, 0), len(result.classes), 4)
    layers = [line for line in text.splitlines() if line.startswith(("| conv ", "| dense "))]
    assert len(layers) == len(laid.convolutions) + len(laid.dense)
    counts = [int(line.split("|")[4].replace(",", "")) for line in layers]
    assert sum(counts) == result.costs["params"]
    assert "## How an image is prepared" in text
    assert "sys.path.insert" in text
    assert "pixel for pixel" in text
    assert str(result.data.spec) in text
    assert f"{result.data.spec}`" in text  # a path reads as it is


@pytest.mark.parametrize("spec", ["folder:/a b_c*", "folder:/`tick``s`", "`", "a\n# b"])
def test_a_path_is_shown_as_it_is_and_ends_where_it_ends(spec: str) -> None:
    shown = card.code(spec)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    inner = shown[len(fence) : -len(fence)]
    assert fence not in inner.replace(f" {fence}", "")
    assert inner.strip() == spec.replace("\n", "�")
    assert all(len(run) < len(fence) for run in re.findall("`+", inner))


def test_the_card_counts_what_it_leaves_out_and_warns_where_it_is_a_likeness(
    model: Path,
) -> None:
    result = FinalResult.model_validate_json((model / RESULT).read_text())
    classes = tuple("abcd")
    rows = [[9, 3, 2, 1], [1, 9, 1, 1], [1, 1, 9, 1], [1, 1, 1, 9]]
    change = {
        "classes": classes, "confusion": rows, "recalls": (0.6, 0.75, 0.75, 0.75),
        "prepared": None, "seconds": 0.123, "scored_before": 3,
    }  # fmt: skip
    result = FinalResult.model_validate({**result.model_dump(), **change})
    text = card.card(result, "on some", cnn.TASK.measures)
    assert "3 (20.0%) were taken for b" in text
    assert "1 (6.7%) was taken for d" in text
    assert "- and 2 other pairs of classes, 2 images in all" in text
    assert "**The search read arrays and no image files.**" in text
    assert "0.12 s on " in text
    assert "3 trainings of this session had been scored on it before" in text


def test_the_interval_is_wilsons() -> None:
    scipy = pytest.importorskip("scipy.stats")
    for right, images in ((0, 10), (10, 10), (3, 7), (9123, 10_000)):
        found = scipy.binomtest(right, images).proportion_ci(method="wilson")
        assert wilson(right, images) == pytest.approx((found.low, found.high))


def test_the_benchmark_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark("predict").main(["--images", "10", "--runtime", "torch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images_a_second"] > 0
