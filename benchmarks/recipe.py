"""What each part of the recipe is worth: alone, over seeds, against the same training without it.

    python benchmarks/recipe.py                     # two data sets, three networks, 5 seeds: hours
    python benchmarks/recipe.py --quick             # one network, 3 seeds, one learning rate
    python benchmarks/recipe.py --only 'cosine,cosine + he' --json

digits, and 3,000 images of Fashion-MNIST to train on and 3,000 to validate (Debian's package).  A
seed draws images, weights and order for all variants alike, so differences are paired.  Every
variant is trained at several learning rates, and counts at its own best (by the mean over seeds);
f_p is the error at the best epoch, as a trial's.  Printed of each: the median error, and the mean
difference to what it is held against, in points, with its standard error; below 0 is better.
`seconds`: of training, over those of what it is held against.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from fashion import FASHION
from torch import Tensor, nn
from torch.nn import functional

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.training import SGD_RATES
from lcsearch.engine.training import loop, recipe
from lcsearch.engine.training.build import build
from lcsearch.engine.training.data import Data, read
from lcsearch.engine.training.images import Placed, place
from lcsearch.engine.training.optimisers import made
from lcsearch.engine.training.recipe import Dropout, initialise, undecayed
from lcsearch.engine.training.run import Run, Training
from lcsearch.engine.training.weights import Weights
from lcsearch.sessions.choices import Augment
from lcsearch.sessions.records import Config, DataSource

RATES = (1e-3, 3e-3, 1e-2)
"""Of Adam; SGD's are `SGD_RATES` times as large."""
AVERAGED = 0.5
"""Epochs that the average of the weights reaches back."""
SLOW_STEPS, SLOW_SHARE = 5, 0.5
"""Lookahead (Zhang et al. 2019, arXiv 1907.08610): steps between two, and how far the slow go."""
BIAS_RATE = 4.0
"""How many times the rate of the others that of biases and batch norm is, in `bias rate`."""
PATCHES = 2000
"""Images whose patches the whitening layer is made of."""
DECAY = 1e-3
"""Weight decay of all variants; of adamw, whose is another thing, 0.05."""


@dataclass(frozen=True)
class Variant:
    """One way to train.

    against: the variant that it differs from in one thing.  change: of the configuration.  he: the
    weights as He et al. draw them, where no batch norm follows; he_all: everywhere.  spared: biases
    and batch norm are not decayed.  warm: the rate rises at first.  average: weights are averaged
    for validation.  lookahead, whiten, zero_head: see below.  bias_rate: of biases and batch norm,
    over the others'.  rate: the one that it is trained with; None: the best of several.
    """

    name: str
    against: str = "cosine"
    change: tuple[tuple[str, Any], ...] = (("schedule", "cosine"),)
    he: bool = False
    he_all: bool = False
    spared: bool = False
    warm: bool = False
    average: bool = False
    lookahead: bool = False
    whiten: bool = False
    zero_head: bool = False
    bias_rate: float = 1.0
    augment: Augment = "none"
    rate: float | None = None


def _cosine(name: str, **change: Any) -> Variant:
    """Cosine with something else in the configuration."""
    return Variant(f"cosine + {name}", change=(("schedule", "cosine"), *change.items()))


VARIANTS = (
    Variant("poster", against="poster", change=(("schedule", "exponential"), ("lr_decay", 0.9))),
    Variant("constant", against="poster", change=(("schedule", "exponential"),)),
    Variant("cosine", against="poster"),
    Variant("one-cycle", change=(("schedule", "one-cycle"),)),
    Variant("cosine + he", he=True),
    Variant("cosine + he everywhere", he_all=True),
    Variant("cosine + warm-up", warm=True),
    Variant("cosine + no decay of biases", spared=True),
    Variant("cosine + recipe", he=True, spared=True, warm=True),
    _cosine("label smoothing .1", label_smoothing=0.1),
    _cosine("dropout .2", dropout=0.2),
    _cosine("adamw", optimiser="adamw", weight_decay=0.05),
    _cosine("sgd", optimiser="sgd"),
    Variant("cosine + average", average=True),
    Variant("cosine + lookahead", lookahead=True),
    Variant("cosine + whitening", whiten=True),
    Variant("cosine + last layer at 0", zero_head=True),
    Variant("cosine + bias rate", spared=True, bias_rate=BIAS_RATE,
            against="cosine + no decay of biases"),
    Variant("cosine + flip", augment="flip"),
    Variant("cosine + crop", augment="crop"),
    Variant("as poster begins", against="as poster begins", rate=1e-3,
            change=(("schedule", "exponential"), ("lr_decay", 1.0))),
    Variant("as core begins", against="as poster begins", rate=1e-2, he=True, spared=True,
            change=(("schedule", "one-cycle"),)),
    Variant("sgd + recipe", against="cosine + sgd", he=True, spared=True, warm=True,
            change=(("schedule", "cosine"), ("optimiser", "sgd"))),
)  # fmt: skip


def networks(shape: tuple[int, int, int], classes: int) -> dict[str, Config]:
    """The reference network, one twice as deep, and one without batch norm."""
    base = cnn.space(shape, classes).reference
    assert base is not None
    deep = {
        "conv_layers": 8,
        "channels": [16, 16, 16, 32, 32, 32, 32, 64],
        "downsample": ["none", "none", "stride", "none", "none", "stride", "none", "none"],
        "kernel": [3] * 8,
        "batch_norm": [True] * 8,
        "groups": [1] * 8,
    }
    # lists that a later version has fit the new length
    space = cnn.space(shape, classes)
    bare = {**base, "batch_norm": [False] * 4}
    return {"reference": base, "deep": space.completed(deep, base), "bare": bare}


class Trainer:
    """One variant in training; the steps are those of every training."""

    def __init__(
        self, variant: Variant, config: Config, placed: Placed, epochs: int, seed: int
    ) -> None:
        self.variant, self.placed, self.epochs = variant, placed, epochs
        self.config = {**config, "weight_decay": DECAY, **dict(variant.change)}
        shape = placed.train_batch(torch.arange(1)).shape[1:]
        network = cnn.network(config, (shape[0], shape[1], shape[2]), placed.classes)
        model = build(network, seed)
        if variant.he:
            initialise(model, seed)
        if variant.he_all:
            generator = torch.Generator().manual_seed(seed)
            for layer in [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)][:-1]:
                nn.init.kaiming_normal_(layer.weight, generator=generator)
        if variant.whiten:
            whiten(model, placed)
        if variant.zero_head:
            head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
            nn.init.zeros_(head.weight)
        dtype = loop.choose_dtype(network, placed.device)
        weights = Weights(model, dtype, undecayed(model) if variant.spared else ())
        # the rates are set from here: the loop leaves those of the poster's schedule alone
        task = Training(
            network, {**self.config, "schedule": "exponential"}, seed, epochs, variant.augment
        )
        optimiser = made(
            self.config["optimiser"],
            weights.groups(self.config["weight_decay"]),
            self.config["learning_rate"],
            fused=True,
        )
        scaler = torch.amp.GradScaler(placed.device.type, enabled=False)
        order = torch.Generator().manual_seed(seed)
        dropout = Dropout(model, self.config["dropout"], seed)
        self.run = Run(task, placed, dtype, model, weights, optimiser, scaler, order, dropout, [])
        self.mean = weights.master.detach().clone()
        self.slow = weights.master.detach().clone()
        self.steps = 0
        self.seconds = 0.0

    def errors(self) -> Iterator[float]:
        """The error on the validation images after each epoch."""
        count = len(self.placed.train_labels)
        bounds = loop.batch_bounds(count, self.config["batch_size"])
        kept = 1 - 1 / (AVERAGED * len(bounds) + 1)
        master = self.run.weights.master.detach()
        for number in range(1, self.epochs + 1):
            began = time.perf_counter()
            drawn = loop.begin_epoch(self.run, number)
            for start, end in bounds:
                self._set_rate(number, (start + end) / 2 / count)
                loop.step(self.run, drawn, start, end)
                self.steps += 1
                if self.variant.average:
                    self.mean.lerp_(master, 1 - kept)
                if self.variant.lookahead and self.steps % SLOW_STEPS == 0:
                    self.slow.lerp_(master, SLOW_SHARE)
                    master.copy_(self.slow)
                    self.run.weights.spread()
            self.seconds += time.perf_counter() - began
            yield self._error(master)

    def _set_rate(self, number: int, done: float) -> None:
        rate = recipe.learning_rate(self.config, self.epochs, number, done)
        if self.config["schedule"] == "cosine" and not self.variant.warm:
            rate /= min((number - 1 + done) / recipe.WARM_UP, 1.0)
        groups = self.run.optimiser.param_groups
        for group in groups:
            group["lr"] = rate
        if len(groups) > 1:
            groups[0]["lr"] = rate * self.variant.bias_rate

    def _error(self, master: Tensor) -> float:
        if not self.variant.average:
            return 1 - loop.validate(self.run.model, self.placed, self.run.dtype).accuracy
        kept = master.clone()
        master.copy_(self.mean)
        self.run.weights.spread()
        error = 1 - loop.validate(self.run.model, self.placed, self.run.dtype).accuracy
        master.copy_(kept)
        self.run.weights.spread()
        return error


def whiten(model: nn.Module, placed: Placed) -> None:
    """The first layer's filters: principal components of its patches, each scaled to variance 1.

    Each with its negative, as far as there are channels (Page 2019; Jordan 2024, airbench).
    """
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    images = placed.train_batch(torch.arange(min(PATCHES, len(placed.train_labels)))).float()
    patches = functional.unfold(images, first.kernel_size, padding=first.padding)
    patches = patches.transpose(1, 2).reshape(-1, patches.shape[1])
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + 1e-2).sqrt()).T.flip(0)
    both = torch.stack([filters, -filters], dim=1).reshape(-1, *first.weight.shape[1:])
    with torch.no_grad():
        taken = both[: first.out_channels]
        first.weight[: len(taken)].copy_(taken)


def images(name: str, seed: int, count: int) -> Data:
    """What a seed trains and validates on."""
    if name == "digits":
        return read(DataSource(spec="digits", seed=seed))
    source = DataSource(spec=f"idx:{FASHION}", train_size=2 * count, val_fraction=0.5, seed=seed)
    return read(source)


@dataclass(frozen=True)
class Result:
    """Errors at the best epoch by rates, a seed each, and seconds of a training."""

    errors: dict[float, list[float]]
    seconds: list[float]

    @property
    def rate(self) -> float:
        """The best."""
        return min(self.errors, key=lambda rate: statistics.mean(self.errors[rate]))

    @property
    def best(self) -> list[float]:
        """The errors at it."""
        return self.errors[self.rate]


def measured(
    variant: Variant, name: str, network: str, given: argparse.Namespace, rates: Sequence[float]
) -> Result:
    """One variant at all rates over all seeds."""
    rates = rates if variant.rate is None else (variant.rate,)
    factor = SGD_RATES if ("optimiser", "sgd") in variant.change else 1.0
    errors: dict[float, list[float]] = {rate * factor: [] for rate in rates}
    seconds = []
    for seed in range(given.seeds):
        data = images(name, seed, given.images)
        placed = place(data, torch.device("cpu"))
        config = networks(data.summary.shape, data.summary.classes)[network]
        for rate, found in errors.items():
            trainer = Trainer(
                variant, {**config, "learning_rate": rate}, placed, given.epochs, seed
            )
            try:
                found.append(min(trainer.errors()))
            except loop.Diverged:
                found.append(1 - 1 / placed.classes)
            seconds.append(trainer.seconds)
    return Result(errors, seconds)


def line(variant: Variant, result: Result, other: Result, where: dict[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    apart = [100 * (a - b) for a, b in zip(result.best, other.best, strict=True)]
    error = statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else 0.0
    return {
        **where,
        "variant": variant.name,
        "rate": float(f"{result.rate:.3g}"),
        "error": round(100 * statistics.median(result.best), 2),
        "against": variant.against,
        "difference": round(statistics.mean(apart), 2),
        "standard_error": round(error, 2),
        "seconds": round(statistics.median(result.seconds) / statistics.median(other.seconds), 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", default="digits,fashion")
    parser.add_argument("--network", default="reference,deep,bare")
    parser.add_argument("--only", default="", help="variants, with those they are held against")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=3000, help="of Fashion-MNIST to train on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    rates: Sequence[float] = RATES
    if given.quick:
        given.network, given.seeds, rates = "reference", min(given.seeds, 3), (3e-3,)
        given.images, given.epochs = min(given.images, 1000), min(given.epochs, 4)
    torch.set_num_threads(given.threads)
    wanted = [name.strip() for name in given.only.split(",") if name.strip()]
    known = {variant.name: variant for variant in VARIANTS}
    for name in wanted:
        if name not in known:
            parser.error(f"--only {name}: unknown. Use {', '.join(known)}.")
    wanted += [known[name].against for name in wanted]
    chosen = [v for v in VARIANTS if not wanted or v.name in wanted]
    for name in given.data.split(","):
        for network in given.network.split(","):
            found: dict[str, Result] = {}
            for variant in chosen:
                found[variant.name] = measured(variant, name, network, given, rates)
                other = found.get(variant.against, found[variant.name])
                row = line(variant, found[variant.name], other, {"data": name, "network": network})
                print(json.dumps(row) if given.json else words(row), flush=True)
    return 0


def words(row: dict[str, Any]) -> str:
    """A row as a person reads it."""
    return (
        f"{row['data']:<8} {row['network']:<10} {row['variant']:<28} rate {row['rate']:<7g} "
        f"error {row['error']:>5.2f} %  {row['difference']:>+6.2f} ± {row['standard_error']:.2f} "
        f"against {row['against']:<14} seconds x {row['seconds']:.2f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
