"""Makes tables of networks really trained, with whole curves, on images of several kinds.

    python benchmarks/make_tables.py DIR --hours 2       # goes on where it was; two processes
    python benchmarks/make_tables.py DIR --gather        # DIR -> benchmarks/data/tables
    python benchmarks/make_tables.py --report            # what is in the committed tables

Images: `sets.py`, made in DIR where they are not there.  Networks of the whole space, of at most
twice the reference's multiply-accumulates: a third drawn at random, the rest where searches go,
which are the levels upon good networks and the neighbours of good ones.  Each is trained for 2, 4,
6 and 12 epochs, each time from new weights and on its own schedule, by the product's own loop, one
thread, timed beside the reference network; one in ten again, with other seeds.

A row is written when a training ends, to a file a process; every file of DIR is read before a
network is drawn.  Times differ and steer the draws, so a second making gives other tables.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from lines import progress, read_lines, write_lines
from sets import Missing, file_of, makers

from lcsearch.engine.machine import processor_name
from lcsearch.engine.objective import medians
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.space import Exhausted, Space
from lcsearch.engine.tasks.steps import neighbours
from lcsearch.sessions.records import READER, Config, DataSource, Epoch

Row = dict[str, Any]
TABLES = Path(__file__).parent / "data" / "tables"
EPOCHS = 12, 6, 4, 2
"""What each network is trained for, from new weights each time."""
AGAIN = 12, 4
"""What one is trained for again, with another seed."""
NETWORKS = 400
"""Of a table."""
WORKERS = 2
RANDOM = 1 / 3
"""Share of the networks that are drawn at random."""
FIRST = 30
"""Networks until which the others are of level 1: no good one is known yet."""
GOOD = 20
"""How many of the best are good."""
REPEATED, SEEDS = 0.1, 3
"""Share of the networks that are trained again, and with how many seeds in all."""
WEIGHTS = 0.0, 0.03, 0.1, 0.3, 1.0
"""The w_c that good networks are good for."""
LARGEST = 2.0
"""Multiply-accumulates over the reference's, at most."""


# -- drawing networks ---------------------------------------------------------------------------


class Draws:
    """Networks worth training, by a worker's own random stream."""

    def __init__(self, space: Space, seed: Sequence[int]) -> None:
        self.rng = np.random.default_rng(seed)
        # before its level is searched a network is trained in the one way or in the other
        self.spaces = (space, space.beginning(cnn.BEGINS))

    def next(self, known: list[Row]) -> tuple[str, Config]:
        """Where it was drawn, and a network that is not known yet."""
        seen = {row["key"] for row in known}
        source = self._source(known)
        space = self.spaces[0]
        assert space.proposable is not None
        while True:
            config = self._drawn(source, known)
            if config is None or space.problems(config) or not space.proposable(config):
                continue
            if space.key(config) not in seen:
                return source, config

    def _source(self, known: list[Row]) -> str:
        """Where the next one is drawn; whatever is refused of it, the shares stay."""
        share = self.rng.random()
        if share < RANDOM:
            return "random"
        if networks(known) < FIRST:
            return "level1"
        levels = len(self.spaces[0].levels)
        return "near" if share > (1 + RANDOM) / 2 else f"level{self.rng.integers(1, levels + 1)}"

    def _drawn(self, source: str, known: list[Row]) -> Config | None:
        space = self.spaces[int(self.rng.integers(2))]
        assert space.reference is not None
        try:
            if source == "random":
                return space.sample(self.rng)
            if source == "level1":
                return space.sample(self.rng, 1, space.reference)
            good = self._good(known)
            if source == "near":
                return self._near(good)
            level = int(source.removeprefix("level"))
            if self.rng.random() < 0.5:
                # a level that is reached for the first time: those after it are not searched yet
                good = space.with_defaults_after(level - 1, good)
            return space.sample(self.rng, level, good)
        except Exhausted:
            return None

    def _near(self, config: Config) -> Config | None:
        """One to three steps away."""
        for _ in range(int(self.rng.integers(1, 4))):
            around = neighbours(self.spaces[0], config, 0)
            if not around:
                return None
            config = around[int(self.rng.integers(len(around)))]
        return config

    def _good(self, known: list[Row]) -> Config:
        """One of the best twenty for a drawn w_c, by the longest training."""
        weight = WEIGHTS[int(self.rng.integers(len(WEIGHTS)))]
        whole = [row for row in known if row["epochs"] == EPOCHS[0]]
        ranked = sorted(whole, key=lambda row: min(row["errors"], default=1) + weight * cost(row))
        found: Config = ranked[int(self.rng.integers(min(GOOD, len(ranked))))]["config"]
        return found

    def again(self, known: list[Row]) -> Config | None:
        """A network to train with another seed, good ones more often; None: none is wanted."""
        whole = [row for row in known if row["epochs"] == EPOCHS[0]]
        counts: dict[str, int] = {}
        for row in whole:
            counts[row["key"]] = counts.get(row["key"], 0) + 1
        begun = [row for row in whole if 1 < counts[row["key"]] < SEEDS]
        if begun:
            config: Config = begun[0]["config"]
            return config
        if len(counts) < FIRST or sum(n > 1 for n in counts.values()) >= REPEATED * len(counts):
            return None
        single = (row for row in whole if counts[row["key"]] == 1)
        ranked = sorted(single, key=lambda row: min(row["errors"], default=1))
        # the square of a uniform number: half of the draws from the best quarter
        found: Config = ranked[int(len(ranked) * self.rng.random() ** 2)]["config"]
        return found


def cost(row: Row) -> float:
    """f_c, as a session has it; 1 of a training that diverged in its first epoch."""
    told = zip(row["errors"], row["seconds"], row["beside"], strict=True)
    epochs = [
        Epoch(epoch=at, train_loss=0, val_accuracy=1 - error, seconds=own, reference_seconds=other)
        for at, (error, own, other) in enumerate(told, 1)
    ]
    if not epochs:
        return 1.0
    own, beside = medians(epochs)
    return own / beside


# -- training -----------------------------------------------------------------------------------


class Trainer:
    """The product's training on one set, on one thread."""

    def __init__(self, path: Path) -> None:
        import torch

        from lcsearch.engine.training import loop
        from lcsearch.engine.training.data import read
        from lcsearch.engine.training.images import place
        from lcsearch.engine.training.trainer import keep_memory

        keep_memory()
        torch.set_num_threads(1)
        self.machine = {"processor": processor_name(), "torch": torch.__version__}
        self.loop = loop
        data = read(DataSource(spec=f"npz:{path}", reader=READER))
        self.summary = data.summary
        self.placed = place(data, torch.device("cpu"))
        self.space = cnn.space(data.summary.shape, data.summary.classes, macs_cap=LARGEST)
        assert self.space.reference is not None
        self.base = self.space.reference
        self._beside: dict[Any, Any] = {}

    def _reference(self, dtype: Any) -> Any:
        if dtype not in self._beside:
            network = cnn.network(self.base, self.summary.shape, self.summary.classes)
            self._beside[dtype] = self.loop.Reference(network, self.base, self.placed, dtype)
        return self._beside[dtype]

    def train(self, config: Config, epochs: int, seed: int) -> Row:
        """Error and seconds of every epoch; a training that diverges ends there."""
        from lcsearch.engine.training.run import Training, begin

        network = cnn.network(config, self.summary.shape, self.summary.classes)
        base = cnn.network(self.base, self.summary.shape, self.summary.classes)
        # in the type that a session trains all of its networks in
        dtype = self.loop.choose_dtype(base, self.placed.device)
        run = begin(Training(network, config, seed, epochs), self.placed, dtype)
        told: list[Any] = []
        diverged = False
        with tempfile.TemporaryDirectory() as folder:
            try:
                for epoch in self.loop.train(
                    run, self._reference(dtype), Path(folder) / "checkpoint", lambda: False
                ):
                    told.append(epoch)
            except self.loop.Diverged:
                diverged = True
        return {
            "epochs": epochs,
            "seed": seed,
            "errors": [round(1 - epoch.val_accuracy, 5) for epoch in told],
            "seconds": [_digits(epoch.seconds) for epoch in told],
            "beside": [_digits(epoch.reference_seconds) for epoch in told],
            "diverged": diverged,
            **self.machine,
        }


def _digits(value: float) -> float:
    """Four of them: more is noise."""
    return float(f"{value:.4g}")


def rows_of(folder: Path, name: str) -> list[Row]:
    """What every worker has trained on a set."""
    return [row for path in sorted(folder.glob(f"{name}-worker*.jsonl")) for row in progress(path)]


def networks(rows: list[Row]) -> int:
    """How many there are."""
    return len({row["key"] for row in rows})


def work(folder: Path, worker: int, names: list[str], count: int, until: float) -> None:
    """Train on the set that has the fewest networks until all have `count`, or the time is up."""
    trainers: dict[str, Trainer] = {}
    while True:
        known = {name: rows_of(folder, name) for name in names}
        name = min(names, key=lambda one: networks(known[one]))
        if networks(known[name]) >= count or time.time() > until:
            return
        if name not in trainers:
            trainers[name] = Trainer(file_of(folder, name))
        _one(folder / f"{name}-worker{worker}.jsonl", worker, trainers[name], known[name])


def _one(path: Path, worker: int, trainer: Trainer, known: list[Row]) -> None:
    """One network, for all of its numbers of epochs; the last one first, where it was cut off."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text and not text.endswith("\n"):
        path.write_text(text + "\n", encoding="utf-8")
    ours = progress(path) if path.exists() else []
    number = len(ours)
    # other networks for each set, and after a restart
    draws = Draws(trainer.space, (worker, number, zlib.crc32(path.name.encode())))
    source, config, lengths = _wanted(ours, known, draws, trainer.base)
    with path.open("a", encoding="utf-8") as file:
        for at, epochs in enumerate(lengths):
            seed = worker * 1_000_000 + number + at
            row = trainer.train(config, epochs, seed)
            line = {"key": trainer.space.key(config), "source": source, **row, "config": config}
            file.write(json.dumps(line) + "\n")
            file.flush()


def _wanted(
    ours: list[Row], known: list[Row], draws: Draws, base: Config
) -> tuple[str, Config, tuple[int, ...]]:
    """Where the next network is drawn, which it is, and what it is trained for."""
    if ours:
        last = ours[-1]
        lengths = AGAIN if last["source"] == "again" else EPOCHS
        missing = lengths[lengths.index(last["epochs"]) + 1 :]
        if missing:
            return last["source"], last["config"], missing
    if not known:
        return "reference", base, EPOCHS
    config = draws.again(known)
    if config is not None:
        return "again", config, AGAIN
    source, config = draws.next(known)
    return source, config, EPOCHS


# -- tables -------------------------------------------------------------------------------------


def gathered(folder: Path, name: str) -> Iterator[Row]:
    """A table: what its images are, then a line a network with all of its trainings."""
    trainer = Trainer(file_of(folder, name))
    summary, rows = trainer.summary, rows_of(folder, name)
    yield {
        "images": name, "shape": summary.shape, "classes": summary.classes,
        "train": summary.train, "val": summary.val, "threads": 1,
        "torch": sorted({row["torch"] for row in rows}),
        "processors": sorted({row["processor"] for row in rows}),
        "reference": trainer.base,
    }  # fmt: skip
    by_key: dict[str, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    kept = "epochs", "seed", "errors", "seconds", "beside", "diverged"
    for key in sorted(by_key):
        first = by_key[key][0]
        # workers' files are read one after another: who drew it need not come first
        drawn = [row["source"] for row in by_key[key] if row["source"] != "again"]
        yield {
            "key": key,
            "source": drawn[0],
            "config": first["config"],
            "costs": trainer.space.known(first["config"]),
            "trainings": [{field: row[field] for field in kept} for row in by_key[key]],
        }


def read_table(path: Path) -> tuple[Row, list[Row]]:
    """What the images are, and the networks."""
    about, *rows = read_lines(path)
    return about, rows


def report(folder: Path) -> Iterator[str]:
    """A line a table: how much there is, how good the networks are, and what repeats say."""
    for path in sorted(folder.glob("*.jsonl.gz")):
        about, rows = read_table(path)
        trained = [one for row in rows for one in row["trainings"]]
        best = sorted(
            min(one["errors"], default=1.0)
            for row in rows
            for one in row["trainings"]
            if one["epochs"] == EPOCHS[0]
        )
        hours = sum(sum(one["seconds"]) for one in trained) / 3600
        yield (
            f"{about['images']:10} {len(rows)} networks, {len(trained)} trainings, "
            f"{hours:.1f} h; "
            f"error after {EPOCHS[0]} epochs: best {best[0]:.3f}, median "
            f"{statistics.median(best):.3f}; {path.stat().st_size / 1e3:.0f} kB"
        )


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="sets and progress are kept here")
    parser.add_argument("--hours", type=float, default=1.0, help="stop after so many")
    parser.add_argument("--networks", type=int, default=NETWORKS, help="of each table")
    parser.add_argument("--images", action="append", help="only these sets; see sets.py")
    parser.add_argument("--worker", type=int, help="be this one of the processes")
    parser.add_argument("--gather", action="store_true", help="write the tables")
    parser.add_argument("--report", action="store_true", help="what is in the tables")
    given = parser.parse_args(arguments)
    if given.report:
        print("\n".join(report(TABLES)))
        return 0
    if given.folder is None:
        parser.error("DIR is missing: where sets and progress are kept.")
    names = [name for name in given.images or makers(given.folder) if _there(given.folder, name)]
    if given.gather:
        for name in names:
            if rows_of(given.folder, name):
                write_lines(TABLES / f"{name}.jsonl.gz", gathered(given.folder, name))
        return 0
    if not names:
        return 1
    until = time.time() + 3600 * given.hours
    if given.worker is not None:
        work(given.folder, given.worker, names, given.networks, until)
        return 0
    words = [sys.executable, __file__, str(given.folder), "--networks", str(given.networks)]
    words += ["--hours", str(given.hours), *(w for name in names for w in ("--images", name))]
    running = [subprocess.Popen([*words, "--worker", str(at)]) for at in range(WORKERS)]
    return max(process.wait() for process in running)


def _there(folder: Path, name: str) -> bool:
    """Whether a set can be had; says so where not."""
    try:
        file_of(folder, name)
    except Missing as error:
        print(f"{name}: left out: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main())
