"""Learns what a session knows before its first trial, from tables of networks really trained.

    python benchmarks/make_prior.py FILE.json              # from all tables
    python benchmarks/make_prior.py FILE.json --without glyphs   # all sizes of a kind left out

Tables: `make_tables.py`.  Time: the logarithm of f_c as that of a sum over what a step does
(`TimePrior`), with weights of each table's own that lie about those of all: fitted in turns, the
tables' by least squares with what is far off bounded, then their mean and spread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).parent))

from make_tables import TABLES, cost, read_table

from lcsearch.engine.model.prior import Prior, TimePrior
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.work import KINDS

Array = NDArray[np.float64]
TURNS = 20
FAR = 0.3
"""Of a logarithm of seconds: what is further off counts no more than in proportion."""
SMALLEST_SPREAD, FIRST_SPREAD = 0.2, 0.5
"""Of the logarithm of a weight, from one table to another; the second where there is one table."""
SMALLEST_WEIGHT = 1e-4
"""Of the largest share: what is not used has no weight to be learnt."""


@dataclass(frozen=True)
class Timed:
    """The networks of a table: work, shape (n, kinds), the reference's, and log f_c, shape (n,).

    repeats: the logarithms of those that were trained more than once.  random: which were drawn at
    random.
    """

    name: str
    work: Array
    reference: Array
    log_ratio: Array
    random: NDArray[np.bool_]
    repeats: list[list[float]]


def timed(path: Path) -> Timed:
    """A table's, of all numbers of epochs: seconds do not depend on how many follow."""
    about, rows = read_table(path)
    space = cnn.space(tuple(about["shape"]), about["classes"])
    assert space.work is not None
    work, ratios, random, repeats = [], [], [], []
    for row in rows:
        # of two epochs one is warm, and noisy
        told = [np.log(cost(t)) for t in row["trainings"] if t["errors"] and t["epochs"] > 2]
        if not told:
            continue
        work.append(space.work(space.read(row["config"])))
        ratios.append(statistics.median(told))
        random.append(row["source"] == "random")
        repeats.append([float(one) for one in told])
    reference = np.array(space.work(space.read(about["reference"])))
    return Timed(
        about["images"], np.array(work), reference, np.array(ratios), np.array(random), repeats
    )


def time_prior(tables: Sequence[Timed]) -> TimePrior:
    """What all of them say of seconds."""
    unit = np.mean([table.work.mean(0) for table in tables], axis=0)
    unit[unit == 0] = 1.0
    centre = np.full(len(KINDS), -np.log(len(KINDS)))
    spread = np.full(len(KINDS), 2.0)  # at first nothing is known
    for turn in range(TURNS if len(tables) > 1 else 1):
        own = np.array([_fitted(table, unit, centre, spread) for table in tables])
        # a factor that all weights of a table share has no meaning
        own -= own.mean(axis=1, keepdims=True)
        centre = np.maximum(own.mean(0), np.log(SMALLEST_WEIGHT))
        spread = np.maximum(own.std(0), SMALLEST_SPREAD) if turn or len(tables) > 1 else spread
    if len(tables) == 1:
        spread = np.full(len(KINDS), FIRST_SPREAD)
    left = np.concatenate([
        _expected(table, unit, weights)[table.random] - table.log_ratio[table.random]
        for table, weights in zip(tables, own, strict=True)
    ])  # fmt: skip
    apart = [np.var(one, ddof=1) for table in tables for one in table.repeats if len(one) > 1]
    noise = float(np.sqrt(statistics.median(apart))) if apart else FAR / 10
    residual = float(np.sqrt(np.mean(left**2)))
    return TimePrior(KINDS, np.exp(centre) / unit, spread, residual, min(noise, residual))


def _expected(table: Timed, unit: Array, log_weights: Array) -> Array:
    weights = np.exp(log_weights) / unit
    found: Array = np.log(table.work @ weights) - np.log(table.reference @ weights)
    return found


def _fitted(table: Timed, unit: Array, centre: Array, spread: Array) -> Array:
    """Logarithms of the weights of one table, in units of `unit`, about `centre`."""
    work, reference = table.work / unit, table.reference / unit

    def loss(log_weights: Array) -> tuple[float, Array]:
        weights = np.exp(log_weights)
        sums, beside = work @ weights, reference @ weights
        error = np.log(sums) - np.log(beside) - table.log_ratio
        bounded = np.clip(error, -FAR, FAR)
        value = (bounded * (error - bounded / 2)).sum() / FAR**2
        slopes = work * weights / sums[:, None] - reference * weights / beside
        away = (log_weights - centre) / spread
        gradient: Array = slopes.T @ bounded / FAR**2 + away / spread
        return float(value + away @ away / 2), gradient

    found: Array = minimize(loss, centre, jac=True, method="L-BFGS-B").x
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="is written")
    parser.add_argument("--without", action="append", default=[], help="tables that begin so")
    given = parser.parse_args(arguments)
    paths = [
        path
        for path in sorted(TABLES.glob("*.jsonl.gz"))
        if not any(path.name.startswith(name) for name in given.without)
    ]
    if not paths:
        parser.error(f"no table in {TABLES}: make_tables.py makes them.")
    prior = Prior(time_prior([timed(path) for path in paths]))
    prior.write(given.file)
    assert prior.time is not None
    print(f"{len(paths)} tables; seconds: {prior.time.residual:.3f} of a logarithm are left")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
