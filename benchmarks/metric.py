"""Unequal classes: a search by balanced accuracy against one by accuracy, on the test set.

    python benchmarks/metric.py --json            # 5 seeds, some half an hour on two slow cores
    python benchmarks/metric.py --json --first 2 --seeds 3    # go on where a run ended
    python benchmarks/metric.py --json --quick    # one seed, two minutes

Of Fashion-MNIST as many images a class are taken as make the largest 50 times the smallest, in
another order of the classes and other images for every seed; the test set stays whole, 1,000 images
a class.  Both searches have the same images, seed, trials and epochs, and are made by the commands
that a person would type: `new`, `run`, `train`.  The one by `balanced` has class weights in the
loss, as `new` gives it.  What is compared is the balanced accuracy of the recommended network,
trained to the end, on the test set: the mean of its classes' recalls.

It prints a line a seed, then the medians: `balanced` of both searches, `difference` (the search by
balanced accuracy minus the other, seed by seed), `error_ratio` (of 1 - balanced accuracy; below 1
is better) and `better`, the seeds in which it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fashion import FASHION, command, idx
from lines import say

CLASSES = 10
UNEQUAL = 50
"""Images of the largest class over those of the smallest."""
METRICS = ("accuracy", "balanced")


@dataclass(frozen=True)
class Size:
    """How much is done.  largest: images of the largest class; final: epochs of `train`."""

    seeds: int
    largest: int
    trials: int
    epochs: int
    final: int


FULL = Size(seeds=5, largest=1500, trials=16, epochs=8, final=20)
QUICK = Size(seeds=1, largest=500, trials=3, epochs=2, final=3)


def unequal(folder: Path, file: Path, largest: int, seed: int) -> list[int]:
    """Write the images of a seed as npz; gives how many each class has to train with."""
    rng = np.random.default_rng(seed)
    images, labels = idx(folder, "train-images-idx3-ubyte"), idx(folder, "train-labels-idx1-ubyte")
    wanted = largest * UNEQUAL ** -(np.arange(CLASSES) / (CLASSES - 1))
    counts = rng.permutation(np.round(wanted).astype(int))
    taken = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:count] for c, count in enumerate(counts)]
    )
    np.savez(
        file,
        xtr=images[taken][:, None],
        ytr=labels[taken],
        xte=idx(folder, "t10k-images-idx3-ubyte")[:, None],
        yte=idx(folder, "t10k-labels-idx1-ubyte"),
    )
    return [int(count) for count in counts]


def searched(home: Path, file: Path, metric: str, seed: int, size: Size) -> dict[str, Any]:
    """Search by a metric, train what is recommended to the end; gives what the test set says."""
    name = f"{metric}-{seed}"
    command(
        home, "new", name, "--data", f"npz:{file}", "--metric", metric, "--seed", str(seed),
        "--flat", "--trials", str(size.trials), "--epochs", str(size.epochs), "--wc", "0.05",
        "--measure", "macs", "--macs-cap", "1",
    )  # fmt: skip
    command(home, "run", name, "--trials", str(size.trials))
    out = home / f"{name}-final"
    command(home, "train", name, "-o", str(out), "--epochs", str(size.final))
    command(home, "engine", "stop", name)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {
        "balanced": statistics.mean(result["recalls"]),
        "accuracy": result["test_accuracy"],
        "smallest_recall": min(result["recalls"]),
        "trial": result["trial"],
        "params": result["params"],
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=FASHION, help="folder of the IDX files")
    parser.add_argument("--seeds", type=int, help=f"{FULL.seeds} unless said otherwise")
    parser.add_argument("--first", type=int, default=0, help="the seed to begin at, to go on")
    parser.add_argument("--quick", action="store_true", help="one seed, few trials")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    size = QUICK if given.quick else FULL
    seeds = given.seeds or size.seeds
    if seeds < 1:
        parser.error("--seeds must be at least 1.")
    if given.first < 0:
        parser.error("--first must be at least 0.")

    found: list[dict[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="lcsearch-metric-") as place:
        for seed in range(given.first, given.first + seeds):
            file = Path(place) / f"unequal-{seed}.npz"
            counts = unequal(given.data, file, size.largest, seed)
            home = Path(place) / "home"
            home.mkdir(exist_ok=True)
            found.append({m: searched(home, file, m, seed, size) for m in METRICS})
            say({"seed": seed, "classes": counts, **found[-1]}, given.json)
    scores = {metric: [one[metric]["balanced"] for one in found] for metric in METRICS}
    pairs = list(zip(scores["balanced"], scores["accuracy"], strict=True))
    say(
        {
            "seeds": seeds,
            "balanced": {m: statistics.median(values) for m, values in scores.items()},
            "difference": statistics.median(ours - other for ours, other in pairs),
            "error_ratio": statistics.median((1 - ours) / (1 - other) for ours, other in pairs),
            "better": sum(ours > other for ours, other in pairs),
        },
        given.json,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
