"""Learns what a session knows before its first trial, from tables of networks really trained.

    python benchmarks/make_prior.py FILE.json              # from all tables
    python benchmarks/make_prior.py FILE.json --without glyphs   # all sizes of a kind left out
    python benchmarks/make_prior.py DIR --each             # DIR/glyphs.json and so on, one left out

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
from scipy.stats import chi2

sys.path.insert(0, str(Path(__file__).parent))

from make_tables import EPOCHS, TABLES, cost, read_table

from lcsearch.engine.model.prior import ErrorPrior, Prior, TimePrior
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.traits import TRAITS
from lcsearch.engine.tasks.cnn.work import KINDS

Array = NDArray[np.float64]
TURNS = 20
WARM = 2
"""Epochs of a training that is too short to be timed by: only one of them is warm."""
FAR = 0.3
"""Of a logarithm of seconds: what is further off counts no more than in proportion."""
SMALLEST_SPREAD, FIRST_SPREAD = 0.3, 0.5
"""Of the logarithm of a weight, from one table to another; the second where there is one table.
The tables are of few machines: another is less like them than they are like each other."""
SMALLEST_RESIDUAL, SMALLEST_APART = 0.03, 0.2
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
    space = cnn.space(tuple(about["shape"]), about["classes"], images=about["train"])
    assert space.work is not None
    work, ratios, random, repeats = [], [], [], []
    for row in rows:
        told = [np.log(cost(t)) for t in row["trainings"] if len(t["errors"]) > WARM]
        if not told:
            continue
        work.append(space.work(space.read(row["config"])))
        ratios.append(statistics.median(told))
        random.append(row["source"] == "random")
        repeats.append([float(one) for one in told])
    reference = np.array(space.work_beside)
    return Timed(
        about["images"], np.array(work), reference, np.array(ratios), np.array(random), repeats
    )


def time_prior(tables: Sequence[Timed]) -> TimePrior:
    """What all of them say of seconds."""
    unit = np.mean([table.work.mean(0) for table in tables], axis=0)
    used = unit > 0
    unit[~used] = 1.0
    centre = np.full(len(KINDS), -np.log(len(KINDS)))
    spread = np.full(len(KINDS), 2.0)  # at first nothing is known
    left = FAR
    for turn in range(TURNS):
        fits = [_fitted(table, unit, centre, spread, left) for table in tables]
        own = np.array([weights for weights, _ in fits])
        # a factor that all weights of a table share has no meaning
        own -= own.mean(axis=1, keepdims=True)
        doubt = np.array([variance for _, variance in fits])
        errors = np.concatenate([
            _expected(table, unit, weights) - table.log_ratio
            for table, weights in zip(tables, own, strict=True)
        ])  # fmt: skip
        left = float(np.sqrt(np.mean(np.clip(errors, -FAR, FAR) ** 2)))
        if len(tables) > 1 and turn:
            centre = own.mean(0)
            # with what each table leaves open: else it shrinks from turn to turn
            apart = ((own - centre) ** 2).sum(0) / (len(tables) - 1)
            spread = np.maximum(np.sqrt(apart + doubt.mean(0)), SMALLEST_SPREAD)
    if len(tables) == 1:
        centre, spread = own[0], np.full(len(KINDS), FIRST_SPREAD)
    noise = _noise(tables)
    left = []
    for table, weights in zip(tables, own, strict=True):
        off = (_expected(table, unit, weights) - table.log_ratio)[table.random]
        left.append(float(np.mean(off**2)))
    _, apart = _usual(left, [noise**2] * len(left), np.full(len(left), 1 / len(left)))
    # of all tables, not of the usual one: what a session sees is likelier too regular, as good
    # networks are
    residual = max(float(np.mean(left)) - noise**2, SMALLEST_RESIDUAL**2) ** 0.5
    weights = np.where(used, np.exp(centre) / unit, 0.0)
    return TimePrior(KINDS, weights, spread, residual, apart, noise)


def _usual(squares: Sequence[float], noise: Sequence[float], share: Array) -> tuple[float, float]:
    """The standard deviation that is usual of what is left, and how far from one table to another
    the logarithm of its square lies.

    squares: mean of each table's, the variance of the noise in it.  share: how much each counts.
    """
    clean = [max(s - n, SMALLEST_RESIDUAL**2) for s, n in zip(squares, noise, strict=True)]
    logs = np.log(clean)
    middle = float(share @ logs)
    return float(np.exp(middle / 2)), max(_about(logs, middle, share), SMALLEST_APART)


def _noise(tables: Sequence[Timed]) -> float:
    """Standard deviation of the logarithm of f_c of one network, what is far off apart."""
    apart, freedom = [], []
    for table in tables:
        for one in table.repeats:
            if len(one) > 1:
                apart.append(float(np.var(one, ddof=1)))
                freedom.append(len(one) - 1)
    if not apart:
        return SMALLEST_RESIDUAL
    # the median of variances of so few is below what they are of, by the chi-square's
    ratios = [a / (chi2.median(n) / n) for a, n in zip(apart, freedom, strict=True)]
    return float(np.median(ratios)) ** 0.5


def _expected(table: Timed, unit: Array, log_weights: Array) -> Array:
    weights = np.exp(log_weights) / unit
    found: Array = np.log(table.work @ weights) - np.log(table.reference @ weights)
    return found


def _fitted(
    table: Timed, unit: Array, centre: Array, spread: Array, left: float
) -> tuple[Array, Array]:
    """Logarithms of the weights of one table, in units of `unit`, about `centre`, and the variance
    that each is known with.  left: standard deviation of what the sum does not explain.
    """
    work, reference = table.work / unit, table.reference / unit

    def slopes(weights: Array) -> Array:
        sums, beside = work @ weights, reference @ weights
        found: Array = work * weights / sums[:, None] - reference * weights / beside
        return found

    def loss(log_weights: Array) -> tuple[float, Array]:
        weights = np.exp(log_weights)
        error = np.log(work @ weights) - np.log(reference @ weights) - table.log_ratio
        bounded = np.clip(error, -FAR, FAR)
        value = (bounded * (error - bounded / 2)).sum() / left**2
        away = (log_weights - centre) / spread
        gradient: Array = slopes(weights).T @ bounded / left**2 + away / spread
        return float(value + away @ away / 2), gradient

    found: Array = minimize(loss, centre, jac=True, method="L-BFGS-B").x
    along = slopes(np.exp(found))
    curvature = along.T @ along / left**2 + np.diag(spread**-2)
    return found, np.diag(np.linalg.inv(curvature))


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
            told = [t for t in row["trainings"] if t["epochs"] == epochs and not t["diverged"]]
            repeats.append(list(range(len(errors), len(errors) + len(told))))
            traits += [space.traits(space.read(row["config"]))] * len(told)
            errors += [min(training["errors"]) for training in told]
        wrong = np.array(errors) * about["val"]
        logs = np.log((wrong + 0.5) / (about["val"] + 1))
        found.append(Learnt(kind_of(path), np.array(traits), logs, about["val"], repeats))
    return found


def error_prior(tables: Sequence[Learnt], steps: int = STEPS) -> ErrorPrior:
    """What all of them say of errors; how far images lie from that, by those that are left out."""
    kinds = sorted({table.kind for table in tables})
    whole, levels, slopes, left = _shape_of(tables, steps)
    if len(kinds) > 1:
        levels, slopes, left = [], [], []
        others = {
            kind: _shape_of([table for table in tables if table.kind != kind], steps)[0]
            for kind in kinds
        }
        for table in tables:
            shape = others[table.kind].shape(table.traits)
            slope, level = np.polyfit(shape, table.log_error, 1)
            away = table.log_error - level - slope * shape
            levels.append(float(level))
            slopes.append(float(slope))
            left.append(float(np.mean(away**2)))
    # every kind counts alike, however many sizes and numbers of epochs it has
    counts = [sum(other.kind == table.kind for other in tables) for table in tables]
    share = np.array([1 / (count * len(kinds)) for count in counts])
    noise = _seeds(tables)
    level = float(share @ levels)
    counting = [_counting(table) for table in tables]
    residual, apart = _usual(left, [noise**2 + one for one in counting], share)
    off = np.array(levels) - level
    tilt = float(share @ (off * np.array(slopes))) / max(float(share @ off**2), 1e-9)
    return replace(
        whole,
        level=level,
        level_spread=max(float(share @ off**2) ** 0.5, SMALLEST_LEVEL_SPREAD),
        tilt=tilt if len(kinds) > 1 else 0.0,
        slope_spread=max(_about(np.array(slopes) - tilt * off, 1.0, share), SMALLEST_SLOPE_SPREAD),
        residual=residual,
        residual_spread=apart,
        noise=noise,
    )


def _about(values: Sequence[float] | Array, middle: float, share: Array) -> float:
    """Root mean square distance from `middle`."""
    return float(np.sqrt(share @ (np.array(values) - middle) ** 2))


def _counting(table: Learnt) -> float:
    """Mean variance of the logarithm of an error that is counted on so many images."""
    errors = np.minimum(np.exp(table.log_error), 1.0)
    return float(np.mean((1 - errors) / (errors * table.images)))


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


def _shape_of(
    tables: Sequence[Learnt], steps: int
) -> tuple[ErrorPrior, list[float], list[float], list[float]]:
    """m as nets, and each table's a, b, and mean square of what is left."""
    import torch
    from torch.nn.functional import huber_loss, silu

    generator = torch.Generator().manual_seed(0)
    every = np.concatenate([table.traits for table in tables])
    centre, scale = every.mean(0), every.std(0)
    scale[scale < 1e-6] = 1.0
    inputs = torch.tensor((every - centre) / scale, dtype=torch.float32)
    wanted = torch.tensor(np.concatenate([t.log_error for t in tables]), dtype=torch.float32)
    which = torch.repeat_interleave(
        torch.arange(len(tables)), torch.tensor([len(t.log_error) for t in tables])
    )
    # every table counts alike, however long, and in it every network, however often trained
    each = torch.cat([_shares(table) for table in tables])
    chance = (each / torch.bincount(which).float()[which]).expand(NETS, -1)
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
        away = (levels[which] + slopes.exp()[which] * m - wanted) ** 2
        left = [float(away[which == number].mean()) for number in range(len(tables))]
        # m is about 0 over all tables, and b about 1
        slope, middle = float(slopes.exp().mean()), float(m.mean())
        weights[-1] *= slope
        biases[-1].copy_((biases[-1] - middle) * slope)
        levels += slopes.exp() * middle
    kept = tuple(tuple(p.detach().numpy().astype(float) for p in of) for of in (weights, biases))
    made = ErrorPrior(
        TRAITS, every.min(0), every.max(0), centre, scale, kept[0], kept[1],
        0.0, 1.0, 0.0, SLOPE_SPREAD, FAR, SMALLEST_APART, FAR,
    )  # fmt: skip
    b = (slopes.detach().exp() / slope).tolist()
    return made, levels.detach().tolist(), b, left


def _shares(table: Learnt) -> Any:
    """One over how often each row's network was trained, shape (n,)."""
    import torch

    shares = torch.ones(len(table.log_error))
    for rows in table.repeats:
        shares[rows] = 1 / max(len(rows), 1)
    return shares


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="is written; with --each a folder")
    parser.add_argument("--without", action="append", default=[], help="tables that begin so")
    parser.add_argument("--each", action="store_true", help="a file for each kind left out")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the nets of errors")
    parser.add_argument("--tables", type=Path, default=TABLES, help="where they are")
    given = parser.parse_args(arguments)
    if given.each:
        given.file.mkdir(parents=True, exist_ok=True)
    kinds = sorted({kind_of(path) for path in given.tables.glob("*.jsonl.gz")})
    left_out = [[kind] for kind in kinds] if given.each else [given.without]
    for names in left_out:
        paths = [
            path
            for path in sorted(given.tables.glob("*.jsonl.gz"))
            if not any(path.name.startswith(name) for name in names)
        ]
        if not paths:
            parser.error(f"no table in {given.tables}: make_tables.py makes them.")
        time = time_prior([timed(path) for path in paths])
        error = error_prior([part for path in paths for part in learnt(path)], given.steps)
        file = given.file / f"{names[0]}.json" if given.each else given.file
        Prior(time, error, tuple(path.name.split(".")[0] for path in paths)).write(file)
        print(
            f"{file.name}: {len(paths)} tables; of a logarithm are left: seconds "
            f"{time.residual:.3f}, errors of images left out {error.residual:.3f}, of another "
            f"seed {error.noise:.3f}"
        )
    return 0


def kind_of(table: Path) -> str:
    """What its images are of, whatever their size: `glyphs`."""
    return table.name.split(".")[0].rstrip("0123456789")


if __name__ == "__main__":
    raise SystemExit(main())
