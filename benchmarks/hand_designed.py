"""Networks that a search finds against networks that people designed, on the same images.

    python benchmarks/hand_designed.py --home DIR --json      # several hours on two cores
    python benchmarks/hand_designed.py --home DIR --json --case lenet-5-macs
    python benchmarks/hand_designed.py --quick               # some minutes, shows the machinery

Of Fashion-MNIST 8,000 images to train on and 2,000 for validation, 10 epochs.  LeNet-5, MobileNet
x 0.25, ResNet-8 (MLPerf Tiny's, whole and half as wide) and DS-CNN are trained by the product's own
loop with the best recipe there is by hand: the best of three learning rates, each with a cosine
schedule and a one-cycle one, and what `lcsearch` gives every network besides.  Against each stand
two searches by the commands that a person would type (`new`, `run`, `train`): with a limit on
multiply-accumulates (a tenth of the network's; of LeNet-5's, which are few, a third), and with one
on parameters (half of the network's).  Three more are against ResNet-8: w_c = 0.01 under its own
multiply-accumulates; a quarter of its training time; and half of both its costs, with a training on
all 60,000 images.

What is found is trained with three other seeds, as the hand-made ones are: validation accuracy at
the best epoch; and both are trained on all 10,000 images and tested once on the test set, the found
ones by `train --seeds 3`.  `ahead`: points of mean validation accuracy before the hand-made one
in its best way; `ahead_by_schedule`: with each schedule alone.

What is done is kept in --home, and left out when it is run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fashion import FASHION, command, kept, searched
from lines import say
from torch import Tensor, nn
from torch.nn import functional

from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.training import COSINE, ONE_CYCLE
from lcsearch.engine.training import loop
from lcsearch.engine.training.data import read, read_final
from lcsearch.engine.training.depthwise import Depthwise
from lcsearch.engine.training.images import place, testing
from lcsearch.engine.training.run import Run, Training, begin
from lcsearch.sessions.records import DataSource

SHAPE, CLASSES = (1, 28, 28), 10
RATES = 1e-3, 3e-3, 1e-2
SCHEDULES = COSINE, ONE_CYCLE
"""What the hand-made networks are tried with, each with each."""
MACS_SHARE = {"lenet-5": 1 / 3}
"""Of the hand-made network's, as a limit; a tenth where it does not say."""
PARAMS_SHARE = 1 / 2


def _conv(
    channels: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution that keeps the size at stride 1, with batch norm."""
    kind = Depthwise if groups == channels > 1 else nn.Conv2d  # the same numbers, far sooner
    made = kind(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(made, nn.BatchNorm2d(out))


def lenet_5() -> nn.Sequential:
    """LeCun et al. 1998, with max-pooling and ReLU."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES),
    )  # fmt: skip


def _separable(channels: int, out: int, stride: int = 1) -> list[nn.Module]:
    depthwise = _conv(channels, channels, stride=stride, groups=channels)
    return [depthwise, nn.ReLU(), _conv(channels, out, 1), nn.ReLU()]


def _classifier(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def mobilenet() -> nn.Sequential:
    """MobileNet (Howard et al. 2017) a quarter as wide, to the first layers of 128 channels."""
    widths, strides = (8, 16, 32, 32, 64, 64, 128, 128), (1, 2, 1, 2, 1, 2, 1)
    layers = [_conv(1, widths[0]), nn.ReLU()]
    for before, after, stride in zip(widths, widths[1:], strides, strict=False):
        layers += _separable(before, after, stride)
    return nn.Sequential(*layers, *_classifier(widths[-1]))


def ds_cnn() -> nn.Sequential:
    """MLPerf Tiny's network for key words: a convolution, four separable ones, 64 channels."""
    layers = [_conv(1, 64, stride=2), nn.ReLU()]
    for _ in range(4):
        layers += _separable(64, 64)
    return nn.Sequential(*layers, *_classifier(64))


class _Residual(nn.Module):
    """Two convolutions and a shortcut, which is a 1 x 1 convolution where shapes differ."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, out, stride=stride), _conv(out, out)
        nn.init.zeros_(self.second[1].weight)  # as what a shortcut spans begins in the recipe
        self.project = nn.Conv2d(channels, out, 1, stride) if channels != out else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        inside = self.second(functional.relu(self.first(images)))
        return functional.relu(inside + self.project(images))


def resnet_8(width: int = 16) -> nn.Sequential:
    """MLPerf Tiny's network for small images: three residual blocks.  width: of the first."""
    return nn.Sequential(
        _conv(1, width), nn.ReLU(),
        _Residual(width, width, 1), _Residual(width, 2 * width, 2),
        _Residual(2 * width, 4 * width, 2), *_classifier(4 * width),
    )  # fmt: skip


HAND_MADE: dict[str, Callable[[], nn.Sequential]] = {
    "lenet-5": lenet_5,
    "mobilenet-0.25": mobilenet,
    "resnet-8-half": lambda: resnet_8(8),
    "ds-cnn": ds_cnn,
    "resnet-8": resnet_8,
}


def counted(model: nn.Module) -> tuple[int, int]:
    """Its parameters, and the multiply-accumulates of one image."""
    macs = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d | nn.Linear)
        positions = output[0].numel() // module.weight.shape[0]
        macs += module.weight.numel() * positions

    kept = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, *SHAPE))
    for hook in kept:
        hook.remove()
    return sum(p.numel() for p in model.parameters()), macs


Way = tuple[str, float]
"""Schedule and learning rate."""


@dataclass(frozen=True)
class Size:
    """How much is done.  size: images, a fifth of them for validation; seeds: trainings of each
    network that is compared; whole: images and epochs of the training on all there are.
    """

    size: int = 10_000
    epochs: int = 10
    seeds: int = 3
    ways: tuple[Way, ...] = tuple(itertools.product(SCHEDULES, RATES))
    trials: int = 30
    long: int = 50
    whole: tuple[int | None, int] = (None, 15)


QUICK = Size(size=800, epochs=2, seeds=1, ways=((COSINE, 1e-2),), trials=5, long=5, whole=(1200, 2))


class Images:
    """The images that both sides have, and trainings on them by the product's loop."""

    def __init__(self, size: Size, spec: str) -> None:
        self.size = size
        self.source = DataSource(spec=spec, train_size=size.size)
        self.data = read(self.source)
        self.placed = place(self.data, torch.device("cpu"))
        self.config = cnn.space(SHAPE, CLASSES).read(cnn.reference(SHAPE, CLASSES))
        self.network = cnn.network(self.config, SHAPE, CLASSES)
        self.dtype = loop.choose_dtype(self.network, self.placed.device)

    def by_hand(self, make: Callable[[], nn.Sequential], way: Way, seed: int) -> float:
        """Validation accuracy at the best epoch of a hand-made network."""
        return self._best(self._begun(make, way, seed, self.size.epochs, self.placed))

    def found(self, config: dict[str, Any], seed: int) -> float:
        """The same of a configuration."""
        return self._best(self._of(config, seed))

    def f_c_by_hand(self, make: Callable[[], nn.Sequential], way: Way) -> float:
        """Seconds an epoch of a hand-made network over the reference network's."""
        return self._f_c(self._begun(make, way, 0, self.size.epochs, self.placed))

    def f_c_found(self, config: dict[str, Any]) -> float:
        """The same of a configuration."""
        return self._f_c(self._of(config, 0))

    def _of(self, config: dict[str, Any], seed: int) -> Run:
        network = cnn.network(config, SHAPE, CLASSES)
        task = Training(network, config, seed, self.size.epochs)
        return begin(task, self.placed, self.dtype)

    def _best(self, run: Run) -> float:
        told: list[float] = []
        for number in range(1, run.task.epochs + 1):
            _epoch(run, number)
            told.append(loop.validate(run.model, self.placed, run.dtype).accuracy)
        return max(told)

    def _f_c(self, run: Run) -> float:
        reference = loop.Reference(self.network, self.config, self.placed, self.dtype)
        ratios: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            for one in loop.train(run, reference, Path(folder) / "c", lambda: len(ratios) > 3):
                ratios.append(one.seconds / (one.reference_seconds or 1))
        return statistics.median(ratios[1:] or ratios)

    def tested(
        self, make: Callable[[], nn.Sequential], way: Way, size: int | None, epochs: int
    ) -> Iterator[float]:
        """Test accuracies of a hand-made network trained on so many images, seed by seed."""
        data, test = read_final(self.source.model_copy(update={"train_size": size}))
        placed = place(data, torch.device("cpu"))
        for seed in range(self.size.seeds):
            run = self._begun(make, way, seed, epochs, placed)
            for number in range(1, epochs + 1):
                _epoch(run, number)
            model = make()
            model.load_state_dict(run.weights.state_dict())
            images = testing(data, test, torch.device("cpu"))
            yield loop.confusion(model, *images, CLASSES, torch.float32).accuracy

    def _begun(
        self, make: Callable[[], nn.Sequential], way: Way, seed: int, epochs: int, placed: Any
    ) -> Run:
        schedule, rate = way
        config = {**self.config, "learning_rate": rate, "schedule": schedule}
        task = Training(self.network, config, seed, epochs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = make().to(memory_format=torch.channels_last)
        return begin(task, placed, self.dtype, model)


def _epoch(run: Run, number: int) -> None:
    """One epoch of training, untimed."""
    drawn = loop.begin_epoch(run, number)
    batch = run.task.config["batch_size"]
    for start, end in loop.batch_bounds(len(run.data.train_labels), batch):
        loop.step(run, drawn, start, end)


@dataclass(frozen=True)
class Case:
    """One search against a hand-made network.

    limits: as `new --limit` takes them, of the hand-made network's parameters, multiply-accumulates
    and f_c.  whole: whether both are then trained on all images.
    """

    name: str
    against: str
    limits: Callable[[int, int, float], tuple[str, ...]]
    weight: float = 0.0
    long: bool = False
    whole: bool = False


def cases() -> Iterator[Case]:
    """All of them, the cheap ones first."""
    for name in HAND_MADE:
        share = MACS_SHARE.get(name, 0.1)
        yield Case(
            f"{name}-macs",
            name,
            lambda _p, macs, _f, share=share: (f"macs<={share * macs:.0f}",),  # type: ignore[misc]
        )
        yield Case(f"{name}-params", name, lambda p, _m, _f: (f"params<={PARAMS_SHARE * p:.0f}",))
    of = "resnet-8"
    yield Case("accurate", of, lambda _p, macs, _f: (f"macs<={macs}",), weight=0.01, long=True)
    yield Case("seconds", of, lambda _p, _m, f_c: (f"seconds<={f_c / 4:.3g}",))
    yield Case(
        "delivered", of, lambda p, m, _f: (f"params<={p // 2}", f"macs<={m // 2}"), whole=True
    )


def search(home: Path, case: Case, limits: tuple[str, ...], size: Size, spec: str) -> None:
    """Search a case's session to its end."""
    measure = "seconds" if case.name == "seconds" else "macs"
    limited = (word for limit in limits for word in ("--limit", limit))
    settings = {
        "--data": spec, "--train-size": size.size, "--epochs": size.epochs, "--space": "full",
        "--wc": case.weight, "--measure": measure,
    }  # fmt: skip
    words = (str(word) for setting in settings.items() for word in setting)
    searched(home, case.name, size.long if case.long else size.trials, (*words, *limited))


def delivered(home: Path, case: Case, size: Size) -> dict[str, Any]:
    """`result.json` of what a session found, trained to its end and tested."""
    folder = home / f"{case.name}-delivered"
    if not folder.exists():
        images = "--all-images" if case.whole and size.whole[0] is None else "--session-images"
        epochs = size.whole[1] if case.whole else size.epochs
        command(
            home, "train", case.name, "-o", str(folder), images, "--epochs", str(epochs),
            "--seeds", str(size.seeds), "--yes",
        )  # fmt: skip
        command(home, "engine", "stop", case.name)
    found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def hand_made(name: str, images: Images) -> dict[str, Any]:
    """A hand-made network trained in its best way: accuracies in percent, costs."""
    make, size = HAND_MADE[name], images.size
    params, macs = counted(make())
    tries = {way: images.by_hand(make, way, 0) for way in size.ways}
    way = max(tries, key=lambda tried: tries[tried])
    told: dict[str, list[float]] = {}
    for schedule in dict.fromkeys(schedule for schedule, _ in tries):
        best = max((w for w in tries if w[0] == schedule), key=lambda tried: tries[tried])
        told[schedule] = [images.by_hand(make, best, s) for s in range(1, size.seeds + 1)]
    return {
        "network": name,
        "params": params,
        "macs": macs,
        "f_c": images.f_c_by_hand(make, way),
        "way": way,
        "ways": [[*tried, 100 * accuracy] for tried, accuracy in tries.items()],
        "validation": [100 * one for one in told[way[0]]],
        "by_schedule": {name: 100 * statistics.mean(of) for name, of in told.items()},
        "test": [100 * one for one in images.tested(make, way, size.size, size.epochs)],
    }


def against(case: Case, hand: dict[str, Any], home: Path, images: Images) -> dict[str, Any]:
    """What a search found beside the hand-made network that it was limited by."""
    size, spec = images.size, images.source.spec
    limits = case.limits(hand["params"], hand["macs"], hand["f_c"])
    search(home, case, limits, size, spec)
    result = delivered(home, case, size)
    told = [images.found(result["config"], seed) for seed in range(1, size.seeds + 1)]
    validation = [100 * one for one in told]
    test = [100 * score for score in result["scores"]]
    f_c = images.f_c_found(result["config"])
    beside = hand["test"]
    if case.whole:
        make, (schedule, rate) = HAND_MADE[case.against], hand["way"]
        beside = [100 * one for one in images.tested(make, (schedule, rate), *size.whole)]
    return {
        "case": case.name,
        "limits": limits,
        "params": result["params"],
        "macs": result["macs"],
        "f_c": f_c,
        "of_its_params": result["params"] / hand["params"],
        "of_its_macs": result["macs"] / hand["macs"],
        "of_its_f_c": f_c / hand["f_c"],
        "validation": validation,
        "test": test,
        "ahead": statistics.mean(validation) - statistics.mean(hand["validation"]),
        "ahead_by_schedule": {
            name: statistics.mean(validation) - of for name, of in hand["by_schedule"].items()
        },
        "ahead_on_test": statistics.mean(test) - statistics.mean(beside),
        "test_of_hand_made": beside,
        "config": result["config"],
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=FASHION, help="folder of the IDX files")
    parser.add_argument("--home", type=Path, help="keeps sessions and results, to go on")
    parser.add_argument("--case", action="append", help="only these; see --list")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--quick", action="store_true", help="few images, epochs and trials")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    every = list(cases())
    if given.list:
        print("\n".join(case.name for case in every))
        return 0
    unknown = set(given.case or ()) - {case.name for case in every}
    if unknown:
        parser.error(f"--case {sorted(unknown)[0]}: unknown; --list has the names.")

    images = Images(QUICK if given.quick else Size(), f"idx:{given.data}")
    with tempfile.TemporaryDirectory(prefix="lcsearch-hand-") as place_of:
        home: Path = given.home or Path(place_of)
        home.mkdir(parents=True, exist_ok=True)
        for case in every:
            if given.case and case.name not in given.case:
                continue
            name = case.against
            hand = kept(home / f"hand-{name}.json", lambda of=name: hand_made(of, images))  # type: ignore[misc]
            say(hand, given.json)
            say(
                kept(
                    home / f"found-{case.name}.json",
                    lambda of=case, by=hand: against(of, by, home, images),  # type: ignore[misc]
                ),
                given.json,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
