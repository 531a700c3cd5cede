"""The larger spaces against the poster's: what a search recommends of each, at equal trials.

    python benchmarks/spaces.py --home DIR --json        # hours on two cores
    python benchmarks/spaces.py --home DIR --json --images digits --wc 1 --seeds 2
    python benchmarks/spaces.py --quick                  # some minutes, shows the machinery

Searches by `new` and `run`, of the same seed, images, trials and epochs, with `--space poster`,
`core` and `full`: on 3,000 images of Fashion-MNIST, 5 epochs, and on the digits,
10 epochs; w_c 0.1 and 1.  What each recommends is trained again with three other seeds, so that
nobody is paid for luck: f = 1 - mean of the best validation accuracies + w_c times its cost over
the reference network's.

Prints a line a search, then for each kind and space the mean difference in f to the poster's, seed
by seed, its standard error, and in how many seeds it is lower.  What is done is kept in --home.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fashion import FASHION, command, kept, searched
from lines import say

from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import loop
from lcsearch.engine.training.data import read
from lcsearch.engine.training.images import place
from lcsearch.engine.training.run import Training, begin
from lcsearch.sessions.records import DataSource

OLD, NEW = "poster", ("core", "full")
IMAGES: dict[str, tuple[str, int | None, int]] = {
    "fashion": (f"idx:{FASHION}", 3000, 5),
    "digits": ("digits", None, 10),
}
"""Name -> data, how many of them, epochs."""
WEIGHTS = 0.1, 1.0
AGAIN = 3
"""Seeds that what is recommended is trained with."""


def trained(source: DataSource, config: dict[str, Any], epochs: int) -> dict[str, float]:
    """Mean accuracy of a configuration under other seeds, and its costs over the reference's."""
    torch.set_num_threads(1)  # as the two trainers of a search, whose f_c is another with more
    data = read(source)
    placed = place(data, torch.device("cpu"))
    shape, classes = data.summary.shape, data.summary.classes
    base = cnn.space(shape, classes).read(cnn.reference(shape, classes))
    network, beside = (cnn.network(of, shape, classes) for of in (config, base))
    dtype = loop.choose_dtype(beside, placed.device)  # as a session trains all of its networks
    reference = loop.Reference(beside, base, placed, dtype)
    best: list[float] = []
    ratios: list[float] = []
    for seed in range(1, AGAIN + 1):
        run = begin(Training(network, config, seed, epochs), placed, dtype)
        with tempfile.TemporaryDirectory() as folder:
            told = list(loop.train(run, reference, Path(folder) / "c", lambda: False))
        best.append(max(one.val_accuracy for one in told))
        ratios += [one.seconds / one.reference_seconds for one in told[1:] if one.reference_seconds]
    return {
        "accuracy": statistics.mean(best),
        "seconds": statistics.median(ratios),
        "macs": network.macs / beside.macs,
        "params": network.params / beside.params,
    }


def one(home: Path, name: str, words: tuple[str, ...], given: argparse.Namespace) -> dict[str, Any]:
    """What one search recommends, trained again."""
    images, space, weight, _ = words
    spec, size, epochs = IMAGES[images]
    size = 600 if given.quick and size else size
    epochs = 2 if given.quick else epochs
    source = DataSource(spec=spec, train_size=size)
    set_up = (
        "--data", spec, *(("--train-size", str(size)) if size else ()), "--epochs", str(epochs),
        "--space", space, "--wc", weight, "--measure", given.measure, "--seed", words[3],
    )  # fmt: skip
    searched(home, name, given.trials, set_up)
    session = json.loads(command(home, "show", name, "--json"))
    config = session["best"]["config"]
    command(home, "engine", "stop", name)
    told = trained(source, config, epochs)
    f = 1 - told["accuracy"] + float(weight) * told[given.measure]
    return {"search": name, "f": f, **told, "config": config}


def compared(space: str, new: list[float], old: list[float]) -> dict[str, Any]:
    """f of a space less the poster's, seed by seed."""
    differences = [a - b for a, b in zip(new, old, strict=True)]
    count = len(differences)
    return {
        "space": space,
        "seeds": count,
        "difference": statistics.mean(differences),
        "standard_error": statistics.stdev(differences) / count**0.5 if count > 1 else None,
        "lower": sum(difference < 0 for difference in differences),
    }


def kinds(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Images and w_c."""
    for images, weight in itertools.product(given.images or IMAGES, given.wc or WEIGHTS):
        yield images, f"{weight:g}"


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--home", type=Path, help="keeps sessions and results, to go on")
    parser.add_argument("--images", action="append", choices=IMAGES)
    parser.add_argument("--wc", action="append", type=float)
    parser.add_argument("--space", action="append", choices=NEW, help="against the poster's")
    parser.add_argument("--measure", choices=("seconds", "macs", "params"), default="seconds")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="one seed, few images and trials")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    if given.quick:
        given.seeds, given.trials = 1, 5

    with tempfile.TemporaryDirectory(prefix="lcsearch-spaces-") as place_of:
        home: Path = given.home or Path(place_of)
        home.mkdir(parents=True, exist_ok=True)
        for images, weight in kinds(given):
            found: dict[str, list[float]] = {}
            for seed in range(given.seeds):
                for space in (OLD, *(given.space or NEW)):
                    name = f"{images}-{given.measure}-{weight}-{space}-{seed}"
                    words = (images, space, weight, str(seed))
                    searched = kept(
                        home / f"{name}.json",
                        lambda name=name, words=words: one(home, name, words, given),  # type: ignore[misc]
                    )
                    say(searched, given.json)
                    found.setdefault(space, []).append(searched["f"])
            for space in given.space or NEW:
                say(
                    {"images": images, "wc": float(weight), "measure": given.measure}
                    | compared(space, found[space], found[OLD]),
                    given.json,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
