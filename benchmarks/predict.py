"""Images a second that `lcsearch predict` tells, by each runtime, start not counted.

    python benchmarks/predict.py --json               # 20,000 PNG files of 28 x 28
    python benchmarks/predict.py --images 2000 --size 400x300 --runtime torch

Makes PNG files of random blots in a folder of its own, writes an untrained reference network of
grey images of 28 x 28 as `train` writes one, and has the files told as the command does, from files
to classes.  A line a runtime: the median of three passes; `decoding` is how many images a second
are read and prepared by one thread, without a network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lcsearch.engine.protocol import RESULT, FinalResult
from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import portable, predicting
from lcsearch.engine.training.build import build
from lcsearch.engine.training.stored import WEIGHTS
from lcsearch.engine.training.trainer import machine
from lcsearch.sessions.choices import Runtime
from lcsearch.sessions.records import DataSource

SHAPE, CLASSES, FEATURES = (1, 28, 28), tuple(map(str, range(10))), 4
PASSES = 3


def model_in(folder: Path) -> None:
    """What `predict` reads of a folder that `train` has written."""
    config = cnn.reference(SHAPE, len(CLASSES))
    laid = cnn.network(config, SHAPE, len(CLASSES), FEATURES)
    mean, std = np.full(1, 70, np.float32), np.full(1, 80, np.float32)
    whole = portable.Portable(build(laid, 0).eval(), mean, std)
    portable.write_weights(whole, folder / WEIGHTS)
    result = FinalResult(
        session="benchmark", trial=0, config=config, features=FEATURES, seed=0, epochs=1,
        augment="none", data=DataSource(spec="digits"), data_fingerprint="", train_images=1,
        test_images=1, test_accuracy=0.1, metric="accuracy", test_metric=0.1, class_weights="none",
        classes=CLASSES, recalls=(), confusion=b"", train_loss=1.0, params=laid.params,
        macs=laid.macs, seconds=1.0, machine=machine(torch.device("cpu"), torch.float32),
        lcsearch="0", files=(), shape=SHAPE, levels=(0, 255),
    )  # fmt: skip
    (folder / RESULT).write_text(result.model_dump_json(), encoding="utf-8")


def pictures_in(folder: Path, count: int, width: int, height: int) -> None:
    """PNG files of grey blots, which compress as photos do."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (7, 7)).astype(np.uint8))
        image = coarse.resize((width, height), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:06}.png")


def rate(model: predicting.Model, folder: Path, count: int) -> float:
    """Images a second of one pass over the folder."""
    begin = time.perf_counter()
    told = list(predicting.predict(model, predicting.files([folder]), 3))
    seconds = time.perf_counter() - begin
    assert len(told) == count
    assert not any(image.error for image in told)
    return count / seconds


def decoding(model: predicting.Model, folder: Path) -> float:
    """Images a second that one thread reads and prepares."""
    files = sorted(folder.iterdir())
    begin = time.perf_counter()
    for file in files:
        model.preparing.pixels_of(file.read_bytes())
    return len(files) / (time.perf_counter() - begin)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", default="28x28", help="width x height of the files")
    parser.add_argument("--runtime", choices=("onnx", "torch"), help="one alone")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    width, height = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as place:
        folder, images = Path(place, "model"), Path(place, "images")
        folder.mkdir()
        images.mkdir()
        model_in(folder)
        pictures_in(images, given.images, width, height)
        runtimes: list[Runtime] = [given.runtime] if given.runtime else ["onnx", "torch"]
        for runtime in runtimes:
            model = predicting.load(folder, runtime)
            rate(model, images, given.images)  # the first one finds its way
            rates = [rate(model, images, given.images) for _ in range(PASSES)]
            line: dict[str, Any] = {
                "runtime": runtime,
                "size": given.size,
                "images_a_second": round(statistics.median(rates)),
                "decoding": round(decoding(model, images)),
            }
            words = "  ".join(f"{name} {value}" for name, value in line.items())
            print(json.dumps(line) if given.json else words, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
