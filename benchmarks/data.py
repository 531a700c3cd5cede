"""How fast image files become the images of a search, and what that takes.

    python benchmarks/data.py [--images 20000] [--rounds 3] [--quick] [--json]

Makes JPEG files of 500x375 in a temporary folder, and brings them to 64x64 in turns: by the reader
(every process, reduced decoding, into a cache that is emptied before) and by a plain loop with
Pillow (open, cut the centre, resize), on as many files as take a while.  Each reading is a process
of its own; memory is what it and its children have that is no mapped file, at its highest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

SIZE = (375, 500)
SIDE = 64
CLASSES = 10
READ = """
import json, sys, time
from lcsearch.engine.training.data import read
from lcsearch.sessions.records import READER, DataSource
began = time.perf_counter()
data = read(DataSource(spec=sys.argv[1], reader=READER, image_size=(64, 64)))
print(json.dumps({"seconds": time.perf_counter() - began, "images": len(data.pool),
                  "fingerprint": data.summary.fingerprint}))
"""


def make(root: Path, count: int) -> None:
    """So many JPEG files, in a folder a class, each another."""
    rng = np.random.default_rng(0)
    textures = [rng.normal(0, 12, (*SIZE, 3)) for _ in range(8)]
    for number in range(count):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        scene = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        moved = np.roll(textures[number % 8], rng.integers(0, 300, 2), (0, 1))
        pixels = np.clip(np.asarray(scene) + moved, 0, 255).astype(np.uint8)
        folder = root / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=85)


def plain(files: list[Path]) -> float:
    """Seconds that a loop with Pillow takes, as one writes it."""
    began = time.perf_counter()
    pixels = []
    for file in files:
        with Image.open(file) as image:
            seen = image.convert("RGB")
        side = min(seen.size)
        left, top = (seen.width - side) // 2, (seen.height - side) // 2
        cut = seen.crop((left, top, left + side, top + side))
        pixels.append(np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    np.stack(pixels)
    return time.perf_counter() - began


def anonymous(process: psutil.Process) -> int:
    """Bytes of this process and its children that are no file's."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            status = Path(f"/proc/{one.pid}/status").read_text(encoding="utf-8")
        except OSError:  # it has ended
            continue
        for line in status.splitlines():
            if line.startswith("RssAnon:"):
                total += 1024 * int(line.split()[1])
    return total


def ours(folder: Path, home: Path) -> dict[str, float]:
    """Seconds, images and the highest memory of one reading."""
    child = subprocess.Popen(
        [sys.executable, "-c", READ, f"folder:{folder}"],
        env=os.environ | {"LCSEARCH_HOME": str(home)},
        stdout=subprocess.PIPE,
    )
    highest = 0
    process = psutil.Process(child.pid)

    def watch() -> None:
        nonlocal highest
        while child.poll() is None:
            try:
                highest = max(highest, anonymous(process))
            except psutil.NoSuchProcess:
                return
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = child.communicate()
    watcher.join()
    if child.returncode:
        sys.exit(f"the reading ended with {child.returncode}")
    return {**json.loads(output), "memory": highest}


def measured(root: Path, count: int, rounds: int) -> dict[str, object]:
    """Everything, of so many images and of a quarter of them."""
    make(root / "all", count)
    part = root / "part"
    for number, file in enumerate(sorted((root / "all").rglob("*.jpg"))):
        if number % 4 == 0:
            (part / file.parent.name).mkdir(parents=True, exist_ok=True)
            os.link(file, part / file.parent.name / file.name)
    files = sorted((root / "all").rglob("*.jpg"))[:: max(1, count // 2000)]
    home = root / "home"
    by_plain, by_ours, second, memory, less = [], [], [], [], []
    for _ in range(rounds):
        shutil.rmtree(home, ignore_errors=True)
        by_plain.append(len(files) / plain(files))
        whole = ours(root / "all", home)
        by_ours.append(whole["images"] / whole["seconds"])
        memory.append(whole["memory"])
        again = ours(root / "all", home)
        assert again["fingerprint"] == whole["fingerprint"]
        second.append(again["seconds"])
        less.append(ours(part, home)["memory"])
    slope = (statistics.median(memory) - statistics.median(less)) / (count - count // 4)
    return {
        "images": count,
        "plain_per_second": statistics.median(by_plain),
        "lcsearch_per_second": statistics.median(by_ours),
        "ratio": statistics.median(a / b for a, b in zip(by_ours, by_plain, strict=True)),
        "second_start_seconds": statistics.median(second),
        "memory_bytes": statistics.median(memory),
        "memory_bytes_of_a_quarter": statistics.median(less),
        "memory_bytes_of_100000": statistics.median(memory) + max(slope, 0) * (100_000 - count),
        "processors": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="1,000 images, one round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    count, rounds = (1000, 1) if options.quick else (options.images, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        result = measured(Path(folder), count, rounds)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    for name, value in result.items():
        print(f"{name:<28} {value:,.2f}" if isinstance(value, float) else f"{name:<28} {value:,}")


if __name__ == "__main__":
    main()
