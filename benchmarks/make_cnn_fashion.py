"""Makes the problem `cnn-fashion`: networks really trained, and a regression between them.

    python benchmarks/make_cnn_fashion.py --train DIR --worker 0 --count 1500   # resumable
    python benchmarks/make_cnn_fashion.py --build DIR      # DIR/*.jsonl -> benchmarks/data
    python benchmarks/make_cnn_fashion.py --report         # cross-validated, from the data

Data: Fashion-MNIST (Debian: dataset-fashion-mnist), means of 2x2 pixels, 14x14; the product's own
split (stratified, seed 0) of 3,000 images and 1,000 more into 2,400 for training and 1,600 for
validation: more than a session would hold out, so that an error is known better.  Three epochs
with the product's own building and training code, float32, one thread.  Error: 1 - best validation
accuracy.  Cost: processor time of a training epoch over that of the reference network, timed in
the same windows.

Workers may run side by side, each with its own --worker; every file in DIR is read before a
network is drawn, because most draws depend on what is known by then.  Train and build in turns:
what a regression takes for the best is hopeful at first (0.15 where training gave 0.25), is drawn
and trained, and the next is right there (five turns for the committed data, the last with errors
as predicted).  Times differ and steer the draws, so a second making gives another table.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import kendalltau, qmc, spearmanr

sys.path.insert(0, str(Path(__file__).parent))

from cnn_regression import Array, Nets, Regression, Trees, error_variance_parts, matrix
from lines import progress, read_lines, write_lines
from problems import DATA, CnnFashion

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.steps import neighbours
from lcsearch.engine.tasks.task import exact_complexity, measure_named, task_named
from lcsearch.sessions.records import Config

FASHION = Path("/usr/share/datasets/fashion-mnist")
SHAPE, CLASSES, VALIDATION = CnnFashion.SHAPE, CnnFashion.CLASSES, CnnFashion.images
TRAINING = 2400
EPOCHS = 3
WINDOW = 0.5
"""Seconds of training between two looks at how fast the reference network is now."""
WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)
"""The w_c that good networks are sought for."""
GRID = (0.0, 0.003, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0)
"""The w_c that the smallest objective is sought for."""
FIRST = 150
"""Networks of a worker before draws depend on what is known."""
CAUTION = 2.0
"""`Regression.caution` of the error."""
REPEATED, SEEDS = 150, 3
"""How many networks are trained again, and with how many seeds in all."""


# -- drawing networks ---------------------------------------------------------------------------


class Draws:
    """Networks worth training: a quarter flat, the rest where searches go.

    Those are the levels upon good networks, neighbours of good networks, and, when there is a
    regression already, what it takes for the best.

    A worker's own random stream; what is known is given with every call.
    """

    def __init__(self, space: Space, worker: int, start: int) -> None:
        self.space = space
        # after a restart the stream goes on from another place
        self.rng = np.random.default_rng([worker, start])
        assert space.reference is not None
        self.base: Config = space.reference
        self.sobol = qmc.Sobol(
            space.dimensions(0, self.base), rng=np.random.default_rng([worker, start, 1])
        )
        self.lowest: list[Config] = []
        if (DATA / "cnn_fashion_front.jsonl.gz").exists():
            self.lowest = read_lines(DATA / "cnn_fashion_front.jsonl.gz")
            self.values = CnnFashion().front

    def next(self, known: list[dict[str, Any]]) -> tuple[str, Config]:
        """Where it was drawn from, and a network that was not trained before."""
        seen = {row["key"] for row in known}
        while True:
            share = self.rng.random()
            if len(known) < FIRST:
                source, config = self._flat() if share < 0.5 else self._level(1, self.base)
            elif share < 0.25:
                source, config = self._flat()
            elif share < 0.4 and self.lowest:
                source, config = self._lowest()
            elif share < 0.6:
                level = int(self.rng.integers(1, 5))
                base = self.space.read(self._good(known))
                # a level is reached for the first time, or opened again
                if self.rng.random() < 0.5:
                    base = self.space.with_defaults_after(level - 1, base)
                source, config = self._level(level, self.base if level == 1 else base)
            else:
                source, config = self._near(self.space.read(self._good(known)))
            if config is None or self.space.problems(config):
                continue
            assert self.space.proposable is not None
            if not self.space.proposable(config) or self.space.key(config) in seen:
                continue
            # large networks take most of the time: fewer of them, for more of the others
            if self.rng.random() * self._size(config) ** 1.5 < 1:
                return source, config

    def _size(self, config: Config) -> float:
        """MACs, over the reference's."""
        return exact_complexity(self.space, config, measure_named("macs", task_named("cnn"))) or 0.0

    def _flat(self) -> tuple[str, Config | None]:
        return "flat", self.space.decode(self.sobol.random(1)[0], 0, self.base)

    def _level(self, level: int, base: Config) -> tuple[str, Config | None]:
        return f"level{level}", self.space.sample(self.rng, level, base)

    def _near(self, config: Config, steps: int = 0) -> tuple[str, Config | None]:
        steps = steps or int(self.rng.integers(1, 4))
        for _ in range(steps):
            around = neighbours(self.space, config, 0)
            if not around:
                return "near", None
            config = around[int(self.rng.integers(len(around)))]
        return "near", config

    def _lowest(self) -> tuple[str, Config | None]:
        """What an earlier regression takes for one of the best ten, or a neighbour of it.

        Where a regression is too hopeful its own minimum is; trained, it is put right.
        """
        weight = GRID[int(self.rng.integers(len(GRID)))]
        order = np.argsort(self.values @ [1.0, weight])
        config = self.lowest[int(order[int(self.rng.integers(min(10, len(order))))])]
        steps = int(self.rng.integers(0, 3))
        return "lowest", config if steps == 0 else self._near(config, steps)[1]

    def _good(self, known: list[dict[str, Any]]) -> Config:
        """One of the best twenty for a drawn w_c."""
        weight = WEIGHTS[int(self.rng.integers(len(WEIGHTS)))]
        ranked = sorted(known, key=lambda row: row["error"] + weight * row["cost"])
        best: Config = ranked[min(int(self.rng.integers(20)), len(ranked) - 1)]["config"]
        return best

    def again(self, known: list[dict[str, Any]]) -> dict[str, Any] | None:
        """A network to train with another seed, good ones more often than others."""
        counts: dict[str, int] = {}
        for row in known:
            counts[row["key"]] = counts.get(row["key"], 0) + 1
        begun = [row for row in known if 1 < counts[row["key"]] < SEEDS]
        if begun:
            return begun[0]
        if sum(count > 1 for count in counts.values()) >= REPEATED:
            return None
        single = [row for row in known if counts[row["key"]] == 1]
        ranked = sorted(single, key=lambda row: row["error"])
        # the square of a uniform number: half of the draws from the best quarter
        return ranked[int(len(ranked) * self.rng.random() ** 2)]


# -- training -----------------------------------------------------------------------------------


def images() -> Any:
    """The data as the product reads and splits them, pooled, on the processor."""
    import torch

    from lcsearch.engine.training.data import read
    from lcsearch.engine.training.images import place
    from lcsearch.sessions.records import DataSource

    arrays: dict[str, Any] = {}
    for short, stem in (("tr", "train"), ("te", "t10k")):
        raw = gzip.decompress((FASHION / f"{stem}-images-idx3-ubyte.gz").read_bytes())
        whole = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, SHAPE[1], 2, SHAPE[2], 2)
        arrays[f"x{short}"] = whole.astype(np.float32).mean(axis=(3, 5))
        raw = gzip.decompress((FASHION / f"{stem}-labels-idx1-ubyte.gz").read_bytes())
        arrays[f"y{short}"] = np.frombuffer(raw, np.uint8, offset=8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pooled.npz"
        np.savez(path, **arrays)
        taken = TRAINING + VALIDATION
        source = DataSource(
            spec=f"npz:{path}", train_size=taken, val_fraction=VALIDATION / taken, seed=0
        )
        return place(read(source), torch.device("cpu"))


class Trainer:
    """The product's training with processor time in the place of time, for a busy machine."""

    def __init__(self) -> None:
        import torch

        from lcsearch.engine.training import loop
        from lcsearch.engine.training.trainer import keep_memory

        keep_memory()
        torch.set_num_threads(1)
        self.loop, self.dtype, self.data = loop, torch.float32, images()
        self.base = cnn.reference(SHAPE, CLASSES)
        self.beside = self._begin({**self.base, "learning_rate": 0.0}, 0)
        self.beside.model.train()
        self.order = torch.randperm(TRAINING, generator=torch.Generator().manual_seed(0))
        self.at = 0

    def _begin(self, config: Config, seed: int) -> Any:
        task = self.loop.Training(cnn.network(config, SHAPE, CLASSES), config, seed, EPOCHS)
        return self.loop.begin(task, self.data, self.dtype)

    def _reference_steps(self) -> list[float]:
        """Processor seconds of two steps of the reference network; one goes before, untimed."""
        times: list[float] = []
        size = self.base["batch_size"]
        for _ in range(3):
            if self.at + size > TRAINING:
                self.at = 0
            index = self.order[self.at : self.at + size]
            self.at += size
            began = time.process_time()
            self.loop.step(self.beside, self.loop.Draw(index), 0, size)
            times.append(time.process_time() - began)
        return times[1:]

    def train(self, config: Config, seed: int) -> dict[str, Any]:
        """Error, cost and seconds of one network; a diverged one has the error of a guess."""
        run = self._begin(config, seed)
        bounds = self.loop.batch_bounds(TRAINING, config["batch_size"])
        accuracies: list[float] = []
        costs: list[float] = []
        diverged = False
        for epoch in range(EPOCHS):
            for group in run.optimiser.param_groups:
                group["lr"] = config["learning_rate"] * config["lr_decay"] ** epoch
            run.model.train()
            order = self._order(run)
            if len(bounds) <= self.loop.FEW_BATCHES:
                self.loop.warm_up(run, self.loop.Draw(order), *bounds[0])
            spent, window = 0.0, 0.0
            beside: list[float] = []
            for start, end in bounds:
                began = time.process_time()
                self.loop.step(run, self.loop.Draw(order), start, end)
                taken = time.process_time() - began
                spent, window = spent + taken, window + taken
                # the first epoch is cold, its time does not count
                if epoch and (window >= WINDOW or end == TRAINING):
                    beside += self._reference_steps()
                    window = 0.0
            if beside:
                one = statistics.median(beside) * TRAINING / self.base["batch_size"]
                costs.append(spent / one)
            try:
                told = self.loop.validate(run.model, self.data, self.dtype)
                accuracies.append(told.accuracy)
            except self.loop.Diverged:
                diverged = True  # trained on all the same, for its time
        return {
            # guessing is what is left of a network that is not finite
            "error": round(1 - max([*accuracies, 1 / CLASSES]), 6),
            "cost": round(statistics.median(costs), 5),
            "diverged": diverged,
        }

    def _order(self, run: Any) -> Any:
        import torch

        return torch.randperm(TRAINING, generator=run.order)


def trained(folder: Path) -> list[dict[str, Any]]:
    """What every worker has trained."""
    return [row for path in sorted(folder.glob("*.jsonl")) for row in progress(path)]


def train(folder: Path, worker: int, count: int, seconds: float) -> None:
    """Train until there are `count` lines from this worker, or the time is up."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"worker-{worker}.jsonl"
    ours = path.read_text().count("\n") if path.exists() else 0
    space = cnn.space(SHAPE, CLASSES, parameters=cnn.POSTER)
    draws = Draws(space, worker, ours)
    trainer = Trainer()
    began = time.monotonic()
    with path.open("a") as file:
        if ours and not path.read_text().endswith("\n"):
            file.write("\n")
        for number in range(ours, count):
            if time.monotonic() - began > seconds:
                break
            known = trained(folder)
            seed = worker * 1_000_000 + number
            row = draws.again(known) if number % 8 == 7 and len(known) > 2 * FIRST else None
            if row is not None:
                source, config = row["source"], row["config"]
            elif number == 0:
                source, config = "reference", trainer.base
            else:
                source, config = draws.next(known)
            outcome = trainer.train(config, seed)
            line = {"key": space.key(config), "source": source, "seed": seed, **outcome}
            file.write(json.dumps({**line, "config": config}) + "\n")
            file.flush()


# -- the regression -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """The networks of a table, repeats joined.  error, cost: geometric means; counts: trainings."""

    configs: list[Config]
    rows: Array
    error: Array
    cost: Array
    counts: Array
    groups: list[list[dict[str, Any]]]


def measured(table: list[dict[str, Any]]) -> Measured:
    """Join the repeats of every network."""
    by_key: dict[str, list[dict[str, Any]]] = {}
    for row in table:
        by_key.setdefault(row["key"], []).append(row)
    groups = list(by_key.values())
    configs = [group[0]["config"] for group in groups]
    return Measured(
        configs,
        matrix(configs, SHAPE, CLASSES),
        np.array([np.exp(np.mean(np.log([row["error"] for row in group]))) for group in groups]),
        np.array([np.exp(np.mean(np.log([row["cost"] for row in group]))) for group in groups]),
        np.array([float(len(group)) for group in groups]),
        groups,
    )


def fit(rows: Array, values: Array, counts: Array, caution: float = 0.0) -> Regression:
    """A regression of logarithms; the same data give the same regression."""
    trees, nets = fit_trees(rows, values, counts), fit_nets(rows, values, counts)
    # what caution adds everywhere is taken away everywhere
    usual = caution * float(np.median(nets.predict(rows)[1]))
    return Regression(
        replace(trees, base=trees.base - 2 * usual),
        nets,
        float(values.min()),
        float(values.max()),
        caution,
    )


def boosting() -> Any:
    """Histogram gradient boosting, not fitted yet."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=300,
        learning_rate=0.05,
        max_leaf_nodes=16,
        min_samples_leaf=8,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=0,
    )


def fit_trees(rows: Array, values: Array, counts: Array) -> Trees:
    """Histogram gradient boosting, as plain arrays."""
    model = boosting().fit(rows, values, sample_weight=counts)
    found: list[dict[str, Any]] = []
    roots: list[int] = []
    for stage in model._predictors:
        nodes = stage[0].nodes
        first = len(found)
        roots.append(first)
        found += [
            {
                "feature": -1 if node["is_leaf"] else int(node["feature_idx"]),
                "threshold": float(node["num_threshold"]),
                "left": first + int(node["left"]),
                "right": first + int(node["right"]),
                "value": float(np.float32(node["value"])) if node["is_leaf"] else 0.0,
                "depth": int(node["depth"]),
            }
            for node in nodes
        ]

    def column(name: str, dtype: Any) -> Any:
        return np.array([node[name] for node in found], dtype=dtype)

    return Trees(
        float(model._baseline_prediction.item()),
        column("feature", np.int16),
        column("threshold", np.float64),
        column("left", np.int32),
        column("right", np.int32),
        column("value", np.float64),
        np.array(roots, dtype=np.int32),
        int(max(node["depth"] for node in found)),
    )


def fit_nets(rows: Array, values: Array, counts: Array) -> Nets:
    """Ten small nets side by side, each with batches of its own, by AdamW on a Huber loss."""
    import torch
    from torch.nn.functional import huber_loss, silu

    nets, width, epochs, rate, batch = 10, 48, 150, 4e-3, 128
    generator = torch.Generator().manual_seed(0)
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    mean, spread = float(values.mean()), float(values.std())
    inputs = torch.tensor((rows - centre) / scale, dtype=torch.float32)
    wanted = torch.tensor((values - mean) / spread, dtype=torch.float32)
    chance = torch.tensor(counts, dtype=torch.float32).expand(nets, -1)
    sizes = [rows.shape[1], width, width, 1]
    weights, biases = [], []
    for before, after in pairwise(sizes):
        drawn = torch.randn(nets, before, after, generator=generator)
        weights.append((drawn * 1.4 / before**0.5).requires_grad_())
        biases.append(torch.zeros(nets, 1, after).requires_grad_())
    optimiser = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.3}, {"params": biases, "weight_decay": 0.0}], lr=rate
    )
    steps = epochs * len(values) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1)
    for _ in range(steps):
        index = torch.multinomial(chance, min(batch, len(values)), True, generator=generator)
        hidden = inputs[index]
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            hidden = hidden @ weight + bias
            if number < len(weights) - 1:
                hidden = silu(hidden)
        loss = huber_loss(hidden[..., 0], wanted[index]) * nets
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()

    def kept(tensors: Any) -> tuple[Array, ...]:
        return tuple(tensor.detach().numpy().astype(float) for tensor in tensors)

    return Nets(centre, scale, kept(weights), kept(biases), mean, spread)


def noise(data: Measured) -> dict[str, float]:
    """How repeats of one network differ.

    binomial, unsteady: the factors of `error_variance`.  cost: standard deviation of the log cost.
    """
    spreads, shares, costs = [], [], []
    for group, error in zip(data.groups, data.error, strict=True):
        if len(group) < 2:
            continue
        spreads.append((np.var(np.log([row["error"] for row in group]), ddof=1), len(group) - 1))
        shares.append(error_variance_parts(error, VALIDATION))
        costs.append((np.var(np.log([row["cost"] for row in group]), ddof=1), len(group) - 1))
    variance, freedom = np.array(spreads).T
    design = np.array(shares)
    # a variance's own spread is about itself: weights from a first fit
    weight = np.sqrt(freedom)
    for _ in range(5):
        found, _ = nnls(design * weight[:, None], variance * weight)
        weight = np.sqrt(freedom) / np.maximum(design @ found, 1e-5)
    spread, freedom = np.array(costs).T
    return {
        "binomial": float(found[0]),
        "unsteady": float(found[1]),
        "cost": float(np.sqrt(np.average(spread, weights=freedom))),
        "repeated": len(shares),
    }


def report(table: list[dict[str, Any]], folds: int = 5) -> dict[str, Any]:
    """Rank correlations of networks held out, by cross-validation, and the noise of repeats."""
    data = measured(table)
    fold = np.random.default_rng(0).permutation(len(data.configs)) % folds
    found: dict[str, Any] = {"trainings": len(table), "networks": len(data.configs)}
    quantities = (("error", np.log(data.error), CAUTION), ("cost", np.log(data.cost), 0.0))
    for name, values, caution in quantities:
        guess = np.zeros(len(values))
        for held in range(folds):
            at, rest = fold == held, fold != held
            made = fit(data.rows[rest], values[rest], data.counts[rest], caution)
            guess[at] = made.predict(data.rows[at])
        better = values < np.median(values)
        found[f"{name}_spearman"] = float(spearmanr(guess, values)[0])
        found[f"{name}_kendall"] = float(kendalltau(guess, values)[0])
        found[f"{name}_spearman_better_half"] = float(spearmanr(guess[better], values[better])[0])
        found[f"{name}_rmse_log"] = float(np.sqrt(np.mean((guess - values) ** 2)))
    return found | {f"noise_{name}": value for name, value in noise(data).items()}


# -- the lowest there is ------------------------------------------------------------------------


def search_front(problem: CnnFashion, known: list[Config], samples: int, hops: int) -> list[Config]:
    """Configurations that nothing found beats in both error and cost.

    Looked for among what was trained, `samples` random networks, and by local search over
    `Space.neighbours` of all levels for every w_c of GRID: from the best network of each depth,
    then `hops` times from one of the best thirty, up to four random steps away.
    """
    rng = np.random.default_rng(0)
    space = problem.space
    pool = Pool(problem)
    for _ in range(0, samples, 1000):
        pool.add([space.sample(rng, 0, problem.base) for _ in range(1000)])
    pool.add(known)
    for weight in GRID:
        depths: dict[int, Config] = {}
        for config in pool.best(weight, len(pool.configs)):
            depths.setdefault(config["conv_layers"], config)
        for config in depths.values():
            pool.descend(config, weight)
        for _ in range(hops):
            best = pool.best(weight, 30)
            config = best[int(rng.integers(len(best)))]
            for _ in range(int(rng.integers(1, 5))):
                near = neighbours(space, config, 0)
                config = near[int(rng.integers(len(near)))]
            pool.descend(config, weight)
    return pool.front()


class Pool:
    """Networks that were looked at; only those that nothing beats are kept, and some good ones."""

    KEPT = 5000
    BEYOND = 1e9

    def __init__(self, problem: CnnFashion) -> None:
        self.problem = problem
        self.configs: list[Config] = []
        self.values = np.empty((0, 2))

    def add(self, configs: list[Config]) -> Array:
        """Look at these; returns error and cost, shape (n, 2), BEYOND where not proposable."""
        proposable = self.problem.space.proposable
        assert proposable is not None
        values = np.column_stack(self.problem.predict(configs))
        values[[not proposable(config) for config in configs]] = self.BEYOND
        self.configs += configs
        self.values = np.vstack([self.values, values])
        if len(self.configs) > 2 * self.KEPT:
            self._forget()
        return values

    def _forget(self) -> None:
        kept = set(_undominated(self.values))
        for weight in GRID:
            objective = self.values @ [1.0, weight]
            kept |= set(np.argsort(objective)[: self.KEPT // len(GRID)].tolist())
        index = sorted(kept)
        self.configs = [self.configs[i] for i in index]
        self.values = self.values[index]

    def best(self, weight: float, count: int) -> list[Config]:
        """Different networks, the smallest objective first."""
        order = np.argsort(self.values @ [1.0, weight], kind="stable")
        found: dict[str, Config] = {}
        for number in order:
            found.setdefault(self.problem.space.key(self.configs[number]), self.configs[number])
            if len(found) == count:
                break
        return list(found.values())

    def descend(self, config: Config, weight: float) -> None:
        """To the best neighbour until there is no better one."""
        lowest = float((self.add([config]) @ [1.0, weight])[0])
        while True:
            around = neighbours(self.problem.space, config, 0)
            objective = self.add(around) @ [1.0, weight]
            number = int(np.argmin(objective))
            if objective[number] >= lowest - 1e-9:
                return
            config, lowest = around[number], float(objective[number])

    def front(self) -> list[Config]:
        """What nothing beats, by rising cost."""
        return [self.configs[i] for i in _undominated(self.values)]


def _undominated(values: Array) -> list[int]:
    order = np.lexsort((values[:, 0], values[:, 1]))
    lowest, found = np.inf, []
    for number in order.tolist():
        if values[number, 0] < lowest:
            lowest = values[number, 0]
            found.append(number)
    return found


def build(folder: Path, samples: int, hops: int) -> None:
    """The committed files from the workers' progress."""
    table = sorted(trained(folder), key=lambda row: row["seed"])
    data = measured(table)
    DATA.mkdir(exist_ok=True)
    write_lines(DATA / "cnn_fashion_table.jsonl.gz", table)
    spread = noise(data)
    regressions = {
        "error": fit(data.rows, np.log(data.error), data.counts, CAUTION),
        "cost": fit(data.rows, np.log(data.cost), data.counts),
    }
    arrays = {"noise": np.array([spread[name] for name in ("binomial", "unsteady", "cost")])}
    for name, regression in regressions.items():
        arrays |= regression.arrays(name)
    np.savez_compressed(DATA / "cnn_fashion_model.npz", **arrays)
    write_lines(DATA / "cnn_fashion_front.jsonl.gz", [cnn.reference(SHAPE, CLASSES)])
    front = search_front(CnnFashion(), data.configs, samples, hops)
    write_lines(DATA / "cnn_fashion_front.jsonl.gz", front)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--train", type=Path, metavar="DIR", help="train networks; progress here")
    parser.add_argument("--worker", type=int, default=0, help="each worker its own number")
    parser.add_argument("--count", type=int, default=1500, help="trainings of this worker")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--build", type=Path, metavar="DIR", help="write the data from there")
    parser.add_argument("--samples", type=int, default=20_000, help="looked at for the minimum")
    parser.add_argument("--hops", type=int, default=100, help="local searches a w_c")
    parser.add_argument("--report", action="store_true", help="what the data are worth")
    given = parser.parse_args(arguments)
    if given.train is not None:
        train(given.train, given.worker, given.count, given.seconds)
    if given.build is not None:
        build(given.build, given.samples, given.hops)
    if given.report:
        for name, value in report(read_lines(DATA / "cnn_fashion_table.jsonl.gz")).items():
            print(f"{name:28} {value:.4g}" if isinstance(value, float) else f"{name:28} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
