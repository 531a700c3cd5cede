"""Fashion-MNIST as benchmarks take it, and searches made by the commands that a person types."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

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
