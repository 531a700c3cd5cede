"""Fashion-MNIST as benchmarks take it, and searches made by the commands that a person types."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package has it."""
CLASSES = (
    "T-shirt or top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """One gzipped IDX file of unsigned bytes."""
    content = gzip.decompress((folder / f"{name}.gz").read_bytes())
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = np.frombuffer(content[4:header], ">u4").astype(int)
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def command(home: Path, *words: str) -> str:
    """What a command prints; one that fails ends the benchmark with its words."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lcsearch.tui.cli", *words],
        env={**os.environ, "LCSEARCH_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"lcsearch {' '.join(words)}: {done.stderr}")
    return done.stdout


def kept(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a file holds; made, and written there, where there is none."""
    if not file.exists():
        file.write_text(json.dumps(make()), encoding="utf-8")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def searched(home: Path, name: str, trials: int, words: tuple[str, ...]) -> None:
    """A session's search by `new` and `run`; one that was cut off begins anew.

    Of `trials` besides the reference, in five stretches: the four levels, and the first once more.
    """
    each = max(1, trials // 5)
    place = home / "sessions" / name
    if place.exists():
        done = json.loads(command(home, "show", name, "--json"))["trials"]
        if len(done) > 5 * each:
            return
        command(home, "engine", "stop", name)
        shutil.rmtree(place)
    command(home, "new", name, *words, "--trials", str(each))
    command(home, "run", name, "--trials", str(each), "--levels", "round")
