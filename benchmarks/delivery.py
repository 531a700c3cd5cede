"""What is delivered, on 10,000 image files: network.py and ONNX against what result.json says.

    python benchmarks/delivery.py --json     # Fashion-MNIST by Debian's package, a few minutes

Writes Fashion-MNIST's test images, and some of the training images, as PNG files of other sizes,
has a session search on that folder, and its reference network trained to the end and written.
Then, in a process that has the delivered folder alone: every test file through `preprocess` and
the network of network.py; and through `prepare` of prepare.py and network.onnx by onnxruntime.
Prints how many of the files the two agree on, the accuracy of each, and what result.json says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from fashion import CLASSES, command
from formats import Sets, taken
from lines import say
from PIL import Image

SIDES = 20, 57
"""From the least side of a file in pixels to before the largest."""
ALONE = """
import json, sys
folder, test, runtime = sys.argv[1:]
sys.path.insert(0, folder)
from pathlib import Path
files = sorted(Path(test).rglob("*.png"))
told = []
if runtime == "torch":
    import torch
    from PIL import Image
    from network import CLASSES, load, preprocess
    network = load()
    for at in range(0, len(files), 250):
        images = torch.stack([preprocess(Image.open(file)) for file in files[at : at + 250]])
        with torch.inference_mode():
            told += network(images).argmax(1).tolist()
else:
    import numpy, onnxruntime
    from prepare import CLASSES, prepare
    session = onnxruntime.InferenceSession(f"{folder}/network.onnx")
    for at in range(0, len(files), 250):
        images = numpy.stack([prepare(file) for file in files[at : at + 250]])
        told += session.run(None, {"images": images})[0].argmax(1).tolist()
assert not any(name.startswith("lcsearch") for name in sys.modules)
print(json.dumps([[file.parent.name, CLASSES[number]] for file, number in zip(files, told)]))
"""


def written(place: Path, sets: Sets) -> Path:
    """A folder a class in `train` and `test`, each image a PNG file of another size."""
    rng = np.random.default_rng(0)
    for split, (images, labels) in sets.items():
        for name in CLASSES:
            (place / split / name).mkdir(parents=True)
        for number, (one, label) in enumerate(zip(images, labels, strict=True)):
            size = tuple(int(side) for side in rng.integers(*SIDES, 2))
            image = Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)
            image.save(place / split / CLASSES[label] / f"{number:06}.png")
    return place


def alone(folder: Path, test: Path, runtime: str) -> list[list[str]]:
    """Of each file its class, and what the delivered network tells."""
    words = [sys.executable, "-P", "-c", ALONE, str(folder), str(test), runtime]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=folder)
    found: list[list[str]] = json.loads(done.stdout)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--train", type=int, default=6000, help="images to train on")
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    every = taken(max(given.train, 5 * given.test))
    sets = {
        split: (images[:count], labels[:count])
        for (split, (images, labels)), count in zip(
            every.items(), (given.train, given.test), strict=True
        )
    }
    with tempfile.TemporaryDirectory() as place:
        home, folder = Path(place) / "home", Path(place) / "model"
        files = written(Path(place) / "files", sets)
        command(
            home, "new", "delivery", "--data", f"folder:{files}", "--image-size", "28",
            "--epochs", "1", "--measure", "macs",
        )  # fmt: skip
        command(home, "run", "delivery", "--trials", "1")
        command(
            home, "train", "delivery", "--trial", "0", "--epochs", str(given.epochs), "--onnx",
            "--yes", "-o", str(folder),
        )  # fmt: skip
        command(home, "engine", "stop", "delivery")
        told = {runtime: alone(folder, files / "test", runtime) for runtime in ("torch", "onnx")}
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    count = len(told["torch"])
    line: dict[str, Any] = {
        "files": count,
        "agree": sum(a == b for a, b in zip(told["torch"], told["onnx"], strict=True)),
        **{n: sum(right == said for right, said in of) / count for n, of in told.items()},
        "result.json": result["test_accuracy"],
    }
    say(line, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
