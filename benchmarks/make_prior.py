"""Learns what a session knows before its first trial, from tables of networks really trained.

    python benchmarks/make_prior.py FILE.json              # from all tables
    python benchmarks/make_prior.py FILE.json --without glyphs   # all sizes of a kind left out

Tables: `make_tables.py`.  Time: the logarithm of f_c as that of a sum over what a step does
(`TimePrior`), with weights of each table's own that lie about those of all: fitted in turns, the
tables' by least squares with what is far off bounded, then their mean and spread.  Error: m, some
small nets that are given what carries over, and an a and b of each table and number of epochs,
learnt together; what is left of other images is measured by leaving each kind out in turn.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).parent))

from make_tables import EPOCHS, TABLES, cost, read_table

from lcsearch.engine.model.prior import FURTHEST, ErrorPrior, Prior, TimePrior
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.traits import TRAITS
from lcsearch.engine.tasks.cnn.work import KINDS

Array = NDArray[np.float64]
TURNS = 20
WARM = 2
"""Epochs of a training that is too short to be timed by: one of them is warm."""
FAR = 0.3
"""Of a logarithm of seconds: what is further off counts no more than in proportion."""
SMALLEST_SPREAD, FIRST_SPREAD = 0.2, 0.5
"""Of the logarithm of a weight, from one table to another; the second where there is one table."""
SMALLEST_WEIGHT = 1e-4
"""Of the largest share: what is not used has no weight to be learnt."""
NETS, WIDTHS = 8, (24, 24)
STEPS, BATCH, RATE, DECAY = 3000, 512, 4e-3, 0.3
SLOPE_SPREAD = 0.3
"""Of the logarithm of b, expected."""
SMALLEST_LEVEL_SPREAD, SMALLEST_SLOPE_SPREAD = 0.5, 0.15
"""Images that are like none of the tables' are to be expected."""


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
        told = [np.log(cost(t)) for t in row["trainings"] if t["errors"] and t["epochs"] > WARM]
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


# -- the error ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Learnt:
    """Trainings of one table and number of epochs: traits, shape (n, traits), and logarithms of
    errors, shape (n,).

    kind: of images, whatever their size.  images: that an error is counted on.  repeats: rows of
    the same network.
    """

    kind: str
    traits: Array
    log_error: Array
    images: int
    repeats: list[list[int]]


def learnt(path: Path) -> list[Learnt]:
    """Those of one table, a number of epochs each."""
    about, rows = read_table(path)
    found = []
    for epochs in EPOCHS:
        space = cnn.space(
            tuple(about["shape"]), about["classes"], images=about["train"], epochs=epochs
        )
        assert space.traits is not None
        traits, errors, repeats = [], [], []
        for row in rows:
            told = [t for t in row["trainings"] if t["epochs"] == epochs and t["errors"]]
            repeats.append(list(range(len(errors), len(errors) + len(told))))
            traits += [space.traits(space.read(row["config"]))] * len(told)
            errors += [min(training["errors"]) for training in told]
        wrong = np.array(errors) * about["val"]
        logs = np.log((wrong + 0.5) / (about["val"] + 1))
        kind = about["images"].rstrip("0123456789")
        found.append(Learnt(kind, np.array(traits), logs, about["val"], repeats))
    return found


def error_prior(tables: Sequence[Learnt], steps: int = STEPS) -> ErrorPrior:
    """What all of them say of errors."""
    kinds = sorted({table.kind for table in tables})
    whole, levels, slopes = _shape_of(tables, steps)
    left: list[float] = []
    for kind in kinds if len(kinds) > 1 else ():
        others = [table for table in tables if table.kind != kind]
        shape, _, _ = _shape_of(others, steps)
        for table in tables:
            if table.kind == kind:
                m = shape.shape(table.traits)
                b, a = np.polyfit(m, table.log_error, 1)
                left.append(float(np.mean((table.log_error - a - b * m) ** 2)))
    by_kind = [
        statistics.mean(a for a, t in zip(levels, tables, strict=True) if t.kind == k)
        for k in kinds
    ]
    return replace(
        whole,
        level=statistics.mean(by_kind),
        level_spread=max(statistics.pstdev(by_kind), SMALLEST_LEVEL_SPREAD),
        slope_spread=max(statistics.pstdev(slopes), SMALLEST_SLOPE_SPREAD),
        residual=statistics.mean(left) ** 0.5 if left else whole.residual,
        noise=_seeds(tables),
    )


def _seeds(tables: Sequence[Learnt]) -> float:
    """Standard deviation of the logarithm of an error from seed to seed, besides counting."""
    beyond = []
    for table in tables:
        for rows in table.repeats:
            if len(rows) > 1:
                error = float(np.exp(table.log_error[rows]).mean())
                counting = (1 - error) / (error * table.images)
                beyond.append(float(np.var(table.log_error[rows], ddof=1)) - counting)
    return max(statistics.mean(beyond), 0.0) ** 0.5 if beyond else FAR / 3


def _shape_of(tables: Sequence[Learnt], steps: int) -> tuple[ErrorPrior, list[float], list[float]]:
    """m as nets, with what is left in sample, and each table's a and b."""
    import torch
    from torch.nn.functional import huber_loss, silu

    generator = torch.Generator().manual_seed(0)
    every = np.concatenate([table.traits for table in tables])
    centre, scale = every.mean(0), every.std(0)
    scale[scale < 1e-6] = 1.0
    inputs = torch.tensor((every - centre) / scale, dtype=torch.float32)
    inputs = inputs.clamp(-FURTHEST, FURTHEST)
    wanted = torch.tensor(np.concatenate([t.log_error for t in tables]), dtype=torch.float32)
    which = torch.repeat_interleave(
        torch.arange(len(tables)), torch.tensor([len(t.log_error) for t in tables])
    )
    # every table counts alike, however long
    chance = (1 / torch.bincount(which).float())[which].expand(NETS, -1)
    sizes = (inputs.shape[1], *WIDTHS, 1)
    weights, biases = [], []
    for before, after in itertools.pairwise(sizes):
        drawn = torch.randn(NETS, before, after, generator=generator)
        weights.append((drawn / before**0.5).requires_grad_())
        biases.append(torch.zeros(NETS, 1, after).requires_grad_())
    levels = torch.tensor([float(t.log_error.mean()) for t in tables]).requires_grad_()
    slopes = torch.zeros(len(tables)).requires_grad_()  # logarithms
    optimiser = torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": DECAY},
            {"params": [*biases, levels, slopes], "weight_decay": 0.0},
        ],
        lr=RATE,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1)

    def out(rows: Any) -> Any:
        hidden = rows
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            hidden = hidden @ weight + bias
            if number < len(weights) - 1:
                hidden = silu(hidden)
        return hidden[..., 0]

    for _ in range(steps):
        index = torch.multinomial(chance, BATCH, True, generator=generator)
        m = out(inputs[index])
        told = levels[which[index]] + slopes[which[index]].exp() * m
        loss = huber_loss(told, wanted[index], delta=FAR) * NETS / FAR**2
        loss = loss + (slopes**2).sum() / (2 * SLOPE_SPREAD**2) / len(wanted) * NETS
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        m = out(inputs[None].expand(NETS, -1, -1)).mean(0)
        told = levels[which] + slopes.exp()[which] * m
        left = float(((told - wanted) ** 2).mean() ** 0.5)
        # m is about 0 over all tables, and b about 1
        slope, middle = float(slopes.exp().mean()), float(m.mean())
        weights[-1] *= slope
        biases[-1].copy_((biases[-1] - middle) * slope)
        levels += slopes.exp() * middle
    kept = tuple(tuple(p.detach().numpy().astype(float) for p in of) for of in (weights, biases))
    made = ErrorPrior(
        TRAITS, centre, scale, kept[0], kept[1], 0.0, 1.0, SLOPE_SPREAD, left, FAR / 3
    )
    b = (slopes.detach().exp() / slope).tolist()
    return made, levels.detach().tolist(), b


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
    time = time_prior([timed(path) for path in paths])
    error = error_prior([part for path in paths for part in learnt(path)])
    Prior(time, error).write(given.file)
    print(
        f"{len(paths)} tables; of a logarithm are left: seconds {time.residual:.3f}, errors of "
        f"images left out {error.residual:.3f}, of another seed {error.noise:.3f}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
