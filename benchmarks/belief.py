"""What the belief is worth after a few trials, on tables of networks really trained.

    python benchmarks/belief.py --json                       # every table, 20 seeds
    python benchmarks/belief.py --table glyphs14 --seeds 5 --observed 2,5
    python benchmarks/belief.py --quick

Of a table so many networks, drawn at random from it, are observed as trials are (one training
each); the surrogate is fitted as in a ranking of all parameters, and asked about up to 600 others,
the same for every number observed; with none the prior's means alone are.  Printed for each, means
over seeds:

    log_time        root mean square of log f_c, predicted less measured
    time_inside     share of measured f_c in the central 95 % predictive interval, in percent
    liked_inside    the same of f, of the 20 networks that EI likes best
    inside          the same of f, of all
    crps            continuous ranked probability score of f; less is better
    gain            what the 20 gain over the average network, over what the truly best 20 would
    rank            Spearman's correlation of predicted and measured f

`log_time`, `time_inside`, `crps`, `rank` and the average are over those that were drawn at random
when the table was made; the rest lie where searches go.  The truly best are those of one training
each, so that a perfect belief gains less than 1.  An interval is of a measurement: counting and
seeds are in it.  f at w_c (0.1).
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from lines import read_lines, say
from make_tables import EPOCHS, TABLES, cost, read_table
from numpy.typing import NDArray
from problems import DATA, CnnFashion
from scipy.stats import spearmanr

from lcsearch.engine.machine import one_thread
from lcsearch.engine.model.belief import Belief, Quantity
from lcsearch.engine.model.embedding import Embedding
from lcsearch.engine.model.prior import NOTHING, Prior
from lcsearch.engine.model.surrogate import Surrogate
from lcsearch.engine.objective import Observation
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.space import Space
from lcsearch.sessions.records import Config

Array = NDArray[np.float64]
OBSERVED = 0, 2, 5, 10, 20, 50, 100
ASKED = 600
LIKED = 20
DRAWS = 4000
"""Of each prediction, for intervals and scores of f."""
POSTER = "cnn-fashion"
"""The table of the poster's networks, three epochs, that search benchmarks use."""


@dataclass(frozen=True)
class Table:
    """Networks with one training each: errors and f_c, shape (n,).

    random: whether each was drawn at random when the table was made.  images: that validated.
    """

    name: str
    space: Space
    configs: list[Config]
    errors: Array
    costs: Array
    random: NDArray[np.bool_]
    images: int


def poster_table() -> Table:
    """The committed table that `cnn-fashion` was made of."""
    found: dict[str, Any] = {}
    for row in read_lines(DATA / "cnn_fashion_table.jsonl.gz"):
        found.setdefault(row["key"], row)
    rows = list(found.values())
    problem = CnnFashion()
    return Table(
        POSTER,
        problem.space,
        [problem.space.read(row["config"]) for row in rows],
        np.array([row["error"] for row in rows]),
        np.array([row["cost"] for row in rows]),
        np.array([row["source"] == "flat" for row in rows]),
        problem.images,
    )


def table_of(path: Path, epochs: int) -> Table:
    """A table that `make_tables.py` made, of the trainings of so many epochs."""
    about, rows = read_table(path)
    space = cnn.space(tuple(about["shape"]), about["classes"], images=about["train"], epochs=epochs)
    configs, errors, costs, random = [], [], [], []
    for row in rows:
        for training in row["trainings"]:
            if training["epochs"] == epochs and not training["diverged"]:
                configs.append(space.read(row["config"]))
                errors.append(min(training["errors"]))
                costs.append(cost(training))
                random.append(row["source"] == "random")
                break
    return Table(
        f"{about['images']}-{epochs}", space, configs,
        np.array(errors), np.array(costs), np.array(random), about["val"],
    )  # fmt: skip


def tables(names: list[str], epochs: int, folder: Path = TABLES) -> Iterator[Table]:
    """All that there are, or those of these names."""
    if not names or POSTER in names:
        yield poster_table()
    for path in sorted(folder.glob("*.jsonl.gz")):
        if not names or path.name.split(".")[0] in names:
            yield table_of(path, epochs)


# -- what a belief says -------------------------------------------------------------------------


def measured(quantity: Quantity, rng: np.random.Generator, draws: int) -> Array:
    """Draws of measurements of a quantity, shape (draws, n)."""
    normal = rng.standard_normal((draws, len(quantity.mean)))
    if not quantity.log:
        drawn: Array = quantity.mean + normal * quantity.predictive_std
        return drawn
    return np.exp(quantity.transformed_mean + normal * _wide(quantity)) + quantity.origin


def _wide(quantity: Quantity) -> Array:
    """Standard deviation of the logarithm of a measurement, from that of the measurement."""
    relative = quantity.predictive_std**2 * np.exp(-2 * quantity.transformed_mean)
    found: Array = np.sqrt(np.log((1 + np.sqrt(1 + 4 * relative)) / 2))
    return found


def inside(drawn: Array, values: Array) -> NDArray[np.bool_]:
    """Whether each value is in the central 95 % of its draws, shape (n,)."""
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    found: NDArray[np.bool_] = (low <= values) & (values <= high)
    return found


def crps(drawn: Array, values: Array) -> float:
    """Mean continuous ranked probability score (Gneiting, Raftery 2007) of draws, shape (m, n)."""
    ordered = np.sort(drawn, axis=0)
    count = len(ordered)
    # mean distance of two draws, by their order
    weights = (2 * np.arange(1, count + 1) - count - 1)[:, None]
    apart = 2 * (weights * ordered).sum(0) / (count * (count - 1))
    return float((np.abs(drawn - values).mean(0) - apart / 2).mean())


def scores(belief: Belief, table: Table, asked: NDArray[np.intp], best: float, wc: float) -> Any:
    """What a belief about some networks of a table is worth.  best: f*."""
    rng = np.random.default_rng(0)
    errors, costs = table.errors[asked], table.costs[asked]
    f = errors + wc * costs
    drawn_costs = measured(belief.complexity, rng, DRAWS)
    drawn = measured(belief.error, rng, DRAWS) + wc * drawn_costs
    mean, _, _ = belief.objective(wc)
    liked = np.argsort(-belief.improvement(wc, best).log_ei, kind="stable")[:LIKED]
    at = np.flatnonzero(table.random[asked])
    average = f[at].mean()
    apart = np.log(belief.complexity.mean[at]) - np.log(costs[at])
    if belief.complexity.log:
        apart = belief.complexity.transformed_mean[at] - np.log(costs[at])
    return {
        "log_time": float(np.sqrt(np.mean(apart**2))),
        "time_inside": 100 * float(inside(drawn_costs, costs)[at].mean()),
        "liked_inside": 100 * float(inside(drawn, f)[liked].mean()),
        "inside": 100 * float(inside(drawn, f).mean()),
        "crps": crps(drawn[:, at], f[at]),
        "gain": _gain(f, liked, average),
        "rank": float(spearmanr(mean[at], f[at])[0]),
    }


def unobserved(table: Table, asked: NDArray[np.intp], wc: float, prior: Prior) -> dict[str, float]:
    """What the prior's means alone are worth, before any trial."""
    embedding = Embedding(table.space, prior)
    features = embedding([table.configs[row] for row in asked])
    f = table.errors[asked] + wc * table.costs[asked]
    assert embedding.error_known is not None
    assert embedding.time_known is not None
    expected = np.exp(features[:, embedding.error_known.mean])
    log_costs = features[:, embedding.time_known.mean]
    expected = expected + wc * np.exp(log_costs)
    at = np.flatnonzero(table.random[asked])
    apart = log_costs[at] - np.log(table.costs[asked][at])
    return {
        "log_time": float(np.sqrt(np.mean(apart**2))),
        "gain": _gain(f, np.argsort(expected, kind="stable"), f[at].mean()),
        "rank": float(spearmanr(expected[at], f[at])[0]),
    }


def _gain(f: Array, order: NDArray[np.intp], average: float) -> float:
    """What the first of an order gain over the average network, over what the best would."""
    best = np.sort(f)[:LIKED].mean()
    return float((average - f[order[:LIKED]].mean()) / (average - best))


def once(
    table: Table,
    observed: int,
    seed: int,
    wc: float,
    prior: Prior = NOTHING,
    average: int = 1,
    most: int = OBSERVED[-1],
) -> dict[str, float]:
    """The scores of one draw of observations.  most: of all draws, which are not asked about."""
    order = np.random.default_rng(seed).permutation(len(table.configs))
    seen, asked = order[:observed], order[most : most + ASKED]
    if not observed:
        return unobserved(table, asked, wc, prior)
    trials = [
        Observation(
            at, 0, table.configs[row], float(table.errors[row]), table.images,
            float(table.costs[row]),
        )
        for at, row in enumerate(seen)
    ]  # fmt: skip
    space = table.space
    assert space.reference is not None
    dimensions = space.dimensions(0, space.reference)
    surrogate = Surrogate(space, trials, dimensions, prior=prior, average=average)
    best = float(surrogate.belief(surrogate.observed).objective(wc)[0].min())
    belief = surrogate.belief(surrogate.points([table.configs[row] for row in asked]))
    found: dict[str, float] = scores(belief, table, asked, best, wc)
    return found


def prior_for(table: Table, given: Path | None) -> Prior:
    """The prior that is asked about a table: of a folder the one that its kind was left out of."""
    if given is None:
        return NOTHING
    # the poster's networks were trained on fashion
    name = "fashion" if table.name == POSTER else re.sub(r"\d+-\d+$", "", table.name)
    return Prior.read(given / f"{name}.json" if given.is_dir() else given)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--table", action="append", default=[], help="only these")
    parser.add_argument("--epochs", type=int, default=EPOCHS[0], choices=EPOCHS)
    parser.add_argument("--observed", help="numbers of observations, with commas")
    parser.add_argument("--tables", type=Path, default=TABLES, help="where they are")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--wc", type=float, default=0.1)
    parser.add_argument("--prior", type=Path, help="a file of make_prior.py, or its --each folder")
    parser.add_argument("--average", type=int, default=1, help="draws of hyperparameters")
    parser.add_argument("--quick", action="store_true", help="one seed, few observations")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    numbers = [int(n) for n in given.observed.split(",")] if given.observed else list(OBSERVED)
    if given.quick:
        given.seeds, numbers = 1, [2, 10]
    for table in tables(given.table, given.epochs, given.tables):
        prior = prior_for(table, given.prior)
        for observed in numbers:
            if not observed and prior is NOTHING:
                continue  # nothing is believed then
            with one_thread():
                every = [
                    once(table, observed, seed, given.wc, prior, given.average, max(numbers))
                    for seed in range(given.seeds)
                ]
            line: dict[str, Any] = {"table": table.name, "observed": observed, "seeds": len(every)}
            line |= {name: round(statistics.mean(e[name] for e in every), 4) for name in every[0]}
            say(line, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
