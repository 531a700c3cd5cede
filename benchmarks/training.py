"""Speed of training against a plain PyTorch loop, and steadiness of the measured cost.

    python benchmarks/training.py [--json] [--quick] [--case NAME ...] [--seeds 5] [--rounds 5]

Each case prints one line as soon as it is done.  Ours trains as a session does by default: two
trainers at once with half the processors each (`images_per_second` is both together, `one_trainer`
a single one with all of them).  The plain loop (DataLoader, fp32, channels first, `.item()` every
batch, PyTorch's own threads) has the machine to itself.  All are processes that take turns, epoch
by epoch, so that they meet the same load; ratios are medians of pairs.  `gflops` counts six
operations a multiply-accumulate (forward and both backward products).

    conv-32-64-64-128, digits-32, digits-338, groups-kernel-7, sparse-classifier
                  speed against the plain loop, the peak, and the accuracy of both over the seeds;
                  `share_of_operators`: the convolutions', pools', norms' and the classifier's time,
                  each timed alone, over the whole step's (one trainer, all threads)
    fp32          accuracy of our loop in its own data type and in float32, over the seeds
    steadiness    f_c of one network five times, alone and beside a second trainer
    warm          milliseconds from the order to the first batch, in a warm trainer
    sparse        a step of a sparse layer and of a dense one, 2,048 x 512 and 8,192 x 512
    scaling       10, 20, 40 thousand images: seconds an epoch and peak memory
    trainers      trials an hour by number of trainers and threads of each
    waiting       the same by how long threads spin before they sleep
    busy          an epoch beside 0, 1 and 2 busy processes, with each number of threads and as the
                  product chooses: a final training, a trial that is timed, and one that is not
    session       60,000 images, one session, all levels, 3 epochs: minutes and peak memory
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FASHION = "idx:/usr/share/datasets/fashion-mnist"
PLAIN_ADAM = {"weight_decay": 0.0, "learning_rate": 1e-3, "lr_decay": 1.0}


def config(channels: list[int], batch: int, **change: Any) -> dict[str, Any]:
    layers = len(channels)
    return {
        "conv_layers": layers,
        "channels": channels,
        "downsample": ["none", "pool"] * (layers // 2),
        "kernel": [3] * layers,
        "batch_norm": [True] * layers,
        "groups": [1] * layers,
        "classifier_layers": 1,
        "hidden_units": [],
        "density": [1.0],
        "batch_size": batch,
        **PLAIN_ADAM,
        **change,
    }


# name: data, images to train on, configuration, side of the map before the classifier
CASES: dict[str, tuple[str, int | None, dict[str, Any], int]] = {
    "conv-32-64-64-128": (FASHION, 5000, config([32, 64, 64, 128], 256), 1),
    "digits-32": ("digits", None, config([16, 32, 32, 64], 32), 4),
    "digits-338": ("digits", None, config([16, 32, 32, 64], 338), 4),
    "groups-kernel-7": (
        FASHION,
        5000,
        config([16, 32, 32, 64], 128, kernel=[3, 7, 7, 7], groups=[1, 4, 4, 4]),
        4,
    ),
    "sparse-classifier": (
        FASHION,
        5000,
        config(
            [16, 32, 32, 128], 256, classifier_layers=2, hidden_units=[512], density=[0.125, 1.0]
        ),
        4,
    ),
}


BUSY: dict[str, tuple[str, int | None, dict[str, Any], int]] = {
    "digits-8-16": ("digits", None, config([8, 16], 32), 4),
    "digits-32": CASES["digits-32"],
    "conv-16-32-32-64": (FASHION, 1000, config([16, 32, 32, 64], 64), 4),
    "conv-32-64-64-128": (FASHION, 500, config([32, 64, 64, 128], 128), 1),
}
WAYS = ("final", "seconds", "macs")
BURN = "import sys, time\nuntil = time.monotonic() + 300\nwhile time.monotonic() < until: pass"


def real(way: str, case: str, fixed: bool) -> None:
    """Answer each line of input, a number of seconds, with seconds of each epoch trained in them.

    way: a final training, or a trial of a session by that measure, as the product trains them.
    """
    import torch

    from lcsearch.engine.protocol import FinalDone, FinalOrder
    from lcsearch.engine.tasks import cnn
    from lcsearch.engine.training import final, loop, threads
    from lcsearch.engine.training import run as runs
    from lcsearch.engine.training.data import read
    from lcsearch.engine.training.images import place
    from lcsearch.engine.training.run import Training
    from lcsearch.engine.training.trainer import keep_memory
    from lcsearch.sessions.records import DataSource

    keep_memory()
    if fixed:
        threads.Threads.look = lambda self: None  # type: ignore[method-assign]
    spec, size, settings, features = BUSY[case]
    source = DataSource(spec=spec, train_size=size)
    data = read(source)
    shape, classes = data.summary.shape, data.summary.classes

    def trial(folder: str) -> Iterator[float]:
        placed = place(data, torch.device("cpu"))
        base = cnn.reference(shape, classes)
        laid = cnn.network(base, shape, classes, features)
        dtype = loop.choose_dtype(laid, placed.device)
        reference = loop.Reference(laid, base, placed, dtype)
        tried = cnn.network(settings, shape, classes, features)
        run = runs.begin(Training(tried, settings, 0, 10**9), placed, dtype)
        spare, path = threads.Threads(), Path(folder) / "checkpoint.pt"
        began = time.perf_counter()
        for _ in loop.train(run, reference, path, lambda: False, spare, way == "seconds"):
            yield time.perf_counter() - began
            began = time.perf_counter()

    def finals(folder: str) -> Iterator[float]:
        for number in itertools.count():
            done: list[float] = []
            order = FinalOrder(
                session="busy", trial=0, data=source, fingerprint=data.summary.fingerprint,
                config=settings, features=features, seed=0, epochs=5, augment="none",
                folder=f"{folder}/{number}",
            )  # fmt: skip

            def say(said: Any, done: list[float] = done) -> None:
                if isinstance(said, FinalDone):
                    done.append(said.result.seconds)

            final.train_final(order, say, lambda: False)
            yield done[0] / order.epochs

    with tempfile.TemporaryDirectory() as folder:
        epochs = finals(folder) if way == "final" else trial(folder)
        next(epochs)
        for line in sys.stdin:
            until, found = time.monotonic() + float(line), []
            while not found or time.monotonic() < until:
                found.append(next(epochs))
            print(json.dumps({"epochs": found}), flush=True)


def worker(kind: str, case: str, size: int | None) -> None:
    """Answer each line of input, `epoch` or `accuracy SEED EPOCHS DTYPE`, with a line of JSON."""
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset

    from lcsearch.engine.tasks import cnn
    from lcsearch.engine.training import loop
    from lcsearch.engine.training import run as runs
    from lcsearch.engine.training.build import build
    from lcsearch.engine.training.data import read
    from lcsearch.engine.training.images import place
    from lcsearch.engine.training.run import Training, full_precision
    from lcsearch.engine.training.trainer import keep_memory
    from lcsearch.sessions.records import DataSource

    if kind == "ours":
        keep_memory()
    spec, usual, settings, features = CASES[case]
    data = read(DataSource(spec=spec, train_size=size or usual))
    shape, classes = data.summary.shape, data.summary.classes
    laid = cnn.network(settings, shape, classes, features)
    placed = place(data, torch.device("cpu"))
    base = cnn.reference(shape, classes)
    chosen = loop.choose_dtype(cnn.network(base, shape, classes), placed.device)
    count = len(placed.train_labels)
    bounds = loop.batch_bounds(count, settings["batch_size"])
    plain: Any = None
    if kind == "plain":
        images = placed.train_images.permute(0, 3, 1, 2).contiguous()
        dataset = TensorDataset(images, placed.train_labels)
        plain = DataLoader(dataset, batch_size=settings["batch_size"], shuffle=True)

    def begin(seed: int, dtype: torch.dtype) -> tuple[Any, Any]:
        if kind == "ours":
            run = runs.begin(Training(laid, settings, seed, 1), placed, dtype)
            return run.model, run
        model = build(laid, seed).to(memory_format=torch.contiguous_format)
        return model, torch.optim.Adam(model.parameters(), lr=settings["learning_rate"])

    def epoch(model: Any, rest: Any) -> float:
        model.train()
        began = time.perf_counter()
        total: Any = 0.0
        if kind == "ours":
            drawn = loop.draw(rest, 1)
            for start, end in bounds:
                total += loop.step(rest, drawn, start, end)
            float(total)
        else:
            for inputs, labels in plain:
                rest.zero_grad()
                loss = functional.cross_entropy(model(inputs), labels)
                loss.backward()
                rest.step()
                total += loss.item()
        return time.perf_counter() - began

    def operators() -> dict[str, Any]:
        """Seconds of each layer forward and backward by itself, summed, and of a whole step."""
        run = runs.begin(Training(laid, settings, 0, 1), placed, chosen)
        run.model.train()
        drawn = loop.draw(run, 1)
        start, end = bounds[0]

        def median(work: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> float:
            taken = []
            for _ in range(12 if laid.macs > 10**7 else 60):
                given = before()
                began = time.perf_counter()
                work(*given) if given else work()
                taken.append(time.perf_counter() - began)
            return statistics.median(taken)

        step = median(lambda: loop.step(run, drawn, start, end))
        alone = 0.0
        features = placed.train_batch(drawn.order[start:end]).to(chosen)
        for at, layer in enumerate(run.model):
            leaf = features.detach().requires_grad_(at > 0)
            gradient = torch.ones_like(layer(leaf + 0))

            def given(leaf: Any = leaf) -> tuple[Any]:
                return (leaf + 0,)  # a layer may work in place, which no leaf allows

            def passed(leaf: Any = leaf, layer: Any = layer) -> tuple[Any]:
                leaf.grad = None
                return (layer(leaf + 0),)

            def nothing(leaf: Any = leaf) -> tuple[Any]:
                leaf.grad = None
                return (leaf + 0,)

            alone += median(layer, given)
            alone += median(lambda out, g=gradient: out.backward(g), passed)
            if at:  # what the call and the way back to the leaf take by themselves
                through = torch.ones_like(leaf)
                alone -= median(lambda out, g=through: out.backward(g), nothing)
            features = layer(features.clone()).detach()
        run.weights.zero_grad()

        def adam() -> None:
            run.weights.gather()
            loop.update(run)
            run.weights.spread()

        return {"operators": alone + median(adam), "step": step}

    torch.manual_seed(0)
    model, rest = begin(0, chosen)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "epoch":
            answer: dict[str, Any] = {
                "seconds": epoch(model, rest),
                "images": count,
                "gflop": 6 * laid.macs * count / 1e9,
                "dtype": str(chosen).removeprefix("torch."),
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        elif command == "operators":
            answer = operators()
        else:
            seed, epochs = int(words[0]), int(words[1])
            torch.manual_seed(seed)
            fresh, trained = begin(seed, chosen if words[2] == "own" else torch.float32)
            for _ in range(epochs):
                epoch(fresh, trained)
            # the same judge for both: float32
            judged = full_precision(trained) if kind == "ours" else fresh
            answer = {"accuracy": loop.validate(judged, placed, torch.float32).accuracy}
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that trains one case in one way; ours as the engine starts it."""

    def __init__(
        self,
        kind: str,
        case: str,
        size: int | None = None,
        threads: int | None = None,
        waiting: dict[str, str] | None = None,
        fixed: bool = False,
    ) -> None:
        from lcsearch.engine.executors.base import WAITING

        command = [sys.executable, "-P", __file__, "--worker", kind, "--network", case]
        command += ["--fixed"] if fixed else []
        env = dict(WAITING if waiting is None else waiting) if kind != "plain" else {}
        if threads is not None:
            env["OMP_NUM_THREADS"] = str(threads)
        outside = {k: v for k, v in os.environ.items() if k not in WAITING}
        self.child = subprocess.Popen(
            [*command, *(["--size", str(size)] if size else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**outside, **env},
        )

    def tell(self, command: str) -> None:
        assert self.child.stdin is not None
        print(command, file=self.child.stdin, flush=True)

    def hear(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        answer: dict[str, Any] = json.loads(self.child.stdout.readline())
        return answer

    def ask(self, command: str) -> dict[str, Any]:
        self.tell(command)
        return self.hear()

    def end(self) -> None:
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            pipe.close()


def peak_gflops(dtype: str, seconds: float = 1.0) -> float:
    """Fastest product of two square matrices of 2,048."""
    import torch

    left, right = (torch.randn(2048, 2048).to(getattr(torch, dtype)) for _ in range(2))
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return float(2 * 2048**3 / best / 1e9)


def spread(values: list[float]) -> float:
    """Coefficient of variation."""
    return statistics.stdev(values) / statistics.mean(values)


def deviation(values: list[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def usual() -> tuple[int, int]:
    """Trainers at once of a session on processors, and threads of each."""
    from lcsearch.engine.executors.devices import TRAINERS
    from lcsearch.engine.machine import processors

    count = min(TRAINERS, processors())
    return count, max(1, processors() // count)


def together(sides: list[Worker]) -> float:
    """Images a second of an epoch of all, begun at once."""
    began = time.perf_counter()
    for side in sides:
        side.tell("epoch")
    images = sum(side.hear()["images"] for side in sides)
    return images / (time.perf_counter() - began)


def speed(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Ours, one trainer and the plain loop in turns, the peak beside them; accuracies."""
    count, threads = usual()
    both = [Worker("ours", case, threads=threads) for _ in range(count)]
    one, plain = Worker("ours", case), Worker("plain", case)
    # digits take a tenth of a second an epoch: more of them
    rounds = options.rounds * (4 if case.startswith("digits") else 1)
    together(both), together([one]), together([plain])
    rows, peaks = [], []
    told = one.ask("epoch")
    for _ in range(rounds):
        rows.append((together(both), together([one]), together([plain])))
        if len(peaks) < options.rounds:
            peaks.append(peak_gflops(told["dtype"]))
    for side in both:
        side.end()
    parts = one.ask("operators")
    accuracy: dict[str, list[float]] = {
        name: [
            side.ask(f"accuracy {seed} {options.epochs} own")["accuracy"]
            for seed in range(options.seeds)
        ]
        for name, side in (("ours", one), ("plain", plain))
    }
    one.end(), plain.end()
    mine, alone, theirs = (statistics.median(column) for column in zip(*rows, strict=True))
    gflop = told["gflop"] / told["images"]  # an image
    peak = statistics.median(peaks)
    return {
        "case": case,
        "dtype": told["dtype"],
        "trainers": count,
        "threads": threads,
        "ours_images_per_second": mine,
        "plain_images_per_second": theirs,
        "ratio": statistics.median(row[0] / row[2] for row in rows),
        "one_trainer_images_per_second": alone,
        "one_trainer_ratio": statistics.median(row[1] / row[2] for row in rows),
        "gflops": gflop * mine,
        "peak_gflops": peak,
        "share_of_peak": gflop * mine / peak,
        "share_of_operators": parts["operators"] / parts["step"],
        "accuracy_ours": statistics.mean(accuracy["ours"]) if options.seeds else None,
        "accuracy_plain": statistics.mean(accuracy["plain"]) if options.seeds else None,
        "deviation_ours": deviation(accuracy["ours"]),
        "deviation_plain": deviation(accuracy["plain"]),
        "seeds": options.seeds,
        "epochs": options.epochs,
    }


def fp32(case: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Our loop in the data type that it chooses, and in float32: seeds and batches are the same."""
    _, threads = usual()
    for name, size in (
        ("digits-338", None),
        ("conv-32-64-64-128", 2000 if options.quick else 5000),
    ):
        side = Worker("ours", name, size, threads)
        dtype = side.ask("epoch")["dtype"]
        epochs = options.epochs * (4 if name.startswith("digits") else 1)
        found: dict[str, list[float]] = {
            kind: [
                side.ask(f"accuracy {seed} {epochs} {kind}")["accuracy"]
                for seed in range(options.seeds)
            ]
            for kind in ("own", "float32")
        }
        side.end()
        own, full = (statistics.mean(found[kind]) for kind in ("own", "float32"))
        yield {
            "case": case,
            "network": name,
            "dtype": dtype,
            "accuracy_ours": own,
            "accuracy_float32": full,
            "difference": own - full,
            "deviation_float32": deviation(found["float32"]),
            "seeds": options.seeds,
            "epochs": epochs,
        }


def steadiness(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """The cost of one network, alone and with a second trainer at work; a ratio, as f_c is."""
    import torch

    from lcsearch.engine.objective import medians
    from lcsearch.engine.tasks import cnn
    from lcsearch.engine.training import loop
    from lcsearch.engine.training import run as runs
    from lcsearch.engine.training.data import read
    from lcsearch.engine.training.images import place
    from lcsearch.engine.training.run import Training
    from lcsearch.sessions.records import DataSource

    _, threads = usual()
    torch.set_num_threads(threads)
    data = read(DataSource(spec=FASHION, train_size=2000 if options.quick else 2500))
    shape, classes = data.summary.shape, data.summary.classes
    placed = place(data, torch.device("cpu"))
    base = cnn.reference(shape, classes)
    laid = cnn.network(base, shape, classes)
    dtype = loop.choose_dtype(laid, placed.device)
    reference = loop.Reference(laid, base, placed, dtype)
    settings = config([32, 32, 64, 64], 128)
    tried = cnn.network(settings, shape, classes)

    def costs(repeats: int) -> list[tuple[float, float]]:
        found = []
        for seed in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                task = Training(tried, settings, seed, 3 if options.quick else 4)
                run = runs.begin(task, placed, dtype)
                path = Path(folder) / "checkpoint.pt"
                for _ in loop.train(run, reference, path, lambda: False):
                    pass
            seconds, beside = medians(run.epochs)
            found.append((seconds / beside, seconds))
        return found

    costs(1)
    repeats = 3 if options.quick else 5
    idle = costs(repeats)
    second = Worker("ours", "conv-32-64-64-128", 5000, threads)
    for _ in range(1000):
        second.tell("epoch")
    second.hear()
    loaded = costs(repeats)
    second.end()
    ratios, seconds = zip(*idle, strict=True)
    under, _ = zip(*loaded, strict=True)
    return {
        "case": case,
        "cv_idle": spread(list(ratios)),
        "cv_idle_seconds": spread(list(seconds)),
        "shift_loaded": abs(statistics.mean(under) / statistics.mean(ratios) - 1),
        "load_before": os.getloadavg()[2],
    }


def warm(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """A trainer process as the engine has it: from sending Train to Started, medians."""
    from lcsearch.engine.protocol import Load, Train, replies
    from lcsearch.engine.tasks import cnn
    from lcsearch.sessions.records import DataSource

    command = [sys.executable, "-P", "-m", "lcsearch.engine.training.trainer"]
    spec = DataSource(spec="digits")
    base = cnn.reference((1, 8, 8), 10)
    times: dict[str, list[float]] = {"started": [], "first_epoch": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as trainer,
    ):
        assert trainer.stdin is not None
        assert trainer.stdout is not None
        print(Load(data=spec).model_dump_json(), file=trainer.stdin, flush=True)
        replies.validate_json(trainer.stdout.readline())
        for number in range(3 if options.quick else 20):
            order = Train(
                trial=number,
                attempt=1,
                config={**base, "channels": [16, 32, 32, 64 + 8 * number]},
                reference=base,
                seed=number,
                epochs=1,
                features=4,
                checkpoint=f"{folder}/{number}.pt",
                lock=f"{folder}/{number}.lock",
            )
            began = time.perf_counter()
            print(order.model_dump_json(), file=trainer.stdin, flush=True)
            while (said := replies.validate_json(trainer.stdout.readline())).kind != "finished":
                if said.kind == "failed":
                    raise SystemExit(said.failure.message)
                if said.kind == "started":
                    times["started"].append(time.perf_counter() - began)
                elif said.kind == "epoch":
                    whole = time.perf_counter() - began
                    times["first_epoch"].append(whole - said.epoch.seconds)
        trainer.stdin.close()
    return {
        "case": case,
        "start_ms": 1000 * statistics.median(times["started"][1:]),
        "slowest_start_ms": 1000 * max(times["started"][1:]),
        "beside_training_ms": 1000 * statistics.median(times["first_epoch"][1:]),
    }


def sparse(case: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Forward, backward and Adam of one layer, batch 256, sparse and dense in turns."""
    import torch
    from torch import nn

    from lcsearch.engine.training.sparse import SparseLinear
    from lcsearch.engine.training.trainer import keep_memory

    keep_memory()

    def stepper(layer: nn.Module, inputs: int, dtype: torch.dtype) -> Callable[[], float]:
        features = torch.randn(256, inputs, requires_grad=True)
        gradient = torch.randn(256, 512)
        adam = torch.optim.Adam(layer.parameters(), fused=True)

        def step() -> float:
            began = time.perf_counter()
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                out = layer(features)
            adam.zero_grad(set_to_none=True)
            features.grad = None
            out.backward(gradient.to(out.dtype))
            adam.step()
            return time.perf_counter() - began

        return step

    for inputs in (2048, 8192):
        for dtype in (torch.float32, torch.bfloat16):
            for density in (1 / 8, 1 / 16) if options.quick else (1 / 2, 1 / 4, 1 / 8, 1 / 16):
                dense = stepper(nn.Linear(inputs, 512), inputs, dtype)
                layer = SparseLinear(inputs, 512, round(density * inputs), 0)
                thin = stepper(layer, inputs, dtype)
                for _ in range(3):
                    dense(), thin()
                pairs = [(dense(), thin()) for _ in range(15 if options.quick else 60)]
                yield {
                    "case": case,
                    "inputs": inputs,
                    "outputs": 512,
                    "density": density,
                    "dtype": str(dtype).removeprefix("torch."),
                    "dense_ms": 1000 * statistics.median(one for one, _ in pairs),
                    "sparse_ms": 1000 * statistics.median(two for _, two in pairs),
                    "ratio": statistics.median(one / two for one, two in pairs),
                    "parameters": sum(p.numel() for p in layer.parameters()),
                }


def scaling(case: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The reference case on more and more images, a process each; a round in turns."""
    sizes = (2000, 4000, 8000) if options.quick else (10000, 20000, 40000)
    sides = {size: Worker("ours", "conv-32-64-64-128", size) for size in sizes}
    found = {size: side.ask("epoch") for size, side in sides.items()}
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(3):
        for size, side in sides.items():
            found[size] = side.ask("epoch")
            seconds[size].append(found[size]["seconds"])
    for size, side in sides.items():
        side.end()
        taken = statistics.median(seconds[size])
        yield {
            "case": case,
            "images": size,
            "seconds": taken,
            "microseconds_per_image": 1e6 * taken / found[size]["images"],
            "peak_bytes": found[size]["peak_bytes"],
            "data_bytes": 4 * size * 28 * 28,
        }


def rate(sides: list[Worker], seconds: float) -> float:
    """Trials of ten epochs an hour of trainers that work side by side, each at its own pace."""
    for side in sides:
        side.ask("epoch")
    epochs = [0] * len(sides)
    until = time.monotonic() + seconds

    def work(at: int) -> None:
        while time.monotonic() < until:
            sides[at].ask("epoch")
            epochs[at] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(sides))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - began
    for side in sides:
        side.end()
    return 3600 * sum(epochs) / 10 / taken


def trainers(case: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Epochs of the same network in one or more trainers at once, with one thread or more each."""
    from lcsearch.engine.machine import processors

    cores = processors()
    seconds = 3 if options.quick else 8
    for name in ("digits-32", "digits-338", "conv-32-64-64-128"):
        for count in sorted({1, cores, 2 * cores}):
            for threads in sorted({1, max(1, cores // count), cores}):
                size = 2000 if name.startswith("conv") else None
                sides = [Worker("ours", name, size, threads) for _ in range(count)]
                yield {
                    "case": case,
                    "network": name,
                    "trainers": count,
                    "threads": threads,
                    "trials_per_hour": rate(sides, seconds),
                }


def waiting(case: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One trainer with all threads, and two that share them, by how their threads wait."""
    from lcsearch.engine.machine import processors

    ways = {"sleeps": {"OMP_WAIT_POLICY": "PASSIVE"}, "default": {}}
    ways |= {f"spins {spins}": {"GOMP_SPINCOUNT": str(spins)} for spins in (1000, 10000, 30000)}
    for name in ("digits-32", "digits-338"):
        for way, env in ways.items():
            for count in (1, 2):
                sides = [
                    Worker("ours", name, None, processors(), waiting=env) for _ in range(count)
                ]
                yield {
                    "case": case,
                    "network": name,
                    "way": way,
                    "trainers": count,
                    "threads": processors(),
                    "trials_per_hour": rate(sides, 2 if options.quick else 6),
                }


def busy(case: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """An epoch of one network in every way, in turns, beside processes that never rest."""
    from lcsearch.engine.machine import processors

    names = ("digits-8-16", "digits-32") if options.quick else tuple(BUSY)
    counts = sorted({1, max(1, processors() // 2), processors()})
    for name, way in itertools.product(names, WAYS):
        sides = {str(count): Worker(way, name, None, count, fixed=True) for count in counts}
        sides["chosen"] = Worker(way, name, None, processors())
        for others in (0, 1, 2):
            found: dict[str, list[float]] = {threads: [] for threads in sides}
            for _ in range(1 if options.quick else options.rounds):
                burning = [
                    subprocess.Popen([sys.executable, "-S", "-c", BURN], start_new_session=True)
                    for _ in range(others)
                ]
                for threads, side in sides.items():
                    found[threads] += side.ask("0.3")["epochs"]
                for process in burning:
                    process.kill()
                    process.wait()
            medians = {threads: statistics.median(taken) for threads, taken in found.items()}
            best = min(taken for threads, taken in medians.items() if threads != "chosen")
            yield {
                "case": case,
                "network": name,
                "way": way,
                "busy": others,
                **{f"ms_{threads}": 1000 * taken for threads, taken in medians.items()},
                **{f"ratio_{threads}": taken / best for threads, taken in medians.items()},
            }
        for side in sides.values():
            side.end()


def session(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """A whole search by the commands, its engine and trainer watched for their memory."""
    import psutil

    size = ["--train-size", "3000"] if options.quick else []
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "LCSEARCH_HOME": home, "LCSEARCH_IDLE_SECONDS": "1"}
        command = [sys.executable, "-P", "-m", "lcsearch.tui.cli"]
        new = [*command, "new", "whole", "--data", FASHION, "--epochs", "3", "--wc", "0.1", *size]
        subprocess.run(new, env=env, check=True, capture_output=True)
        began = time.monotonic()
        trials = "1" if options.quick else "3"
        search = subprocess.Popen(
            [*command, "run", "whole", "--trials", trials, "--levels", "all"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peaks: dict[str, int] = {}
        while search.poll() is None:
            for process in psutil.process_iter(["cmdline", "memory_info", "environ"]):
                words = " ".join(process.info["cmdline"] or ())
                if (process.info["environ"] or {}).get("LCSEARCH_HOME") != home:
                    continue
                for part in ("engine.service", "training.trainer"):
                    if part in words and process.info["memory_info"] is not None:
                        peaks[part] = max(peaks.get(part, 0), process.info["memory_info"].rss)
            time.sleep(0.2)
        taken = time.monotonic() - began
        shown = subprocess.run(
            [*command, "export", "whole"], env=env, check=True, capture_output=True, text=True
        )
        document = json.loads(shown.stdout)
    return {
        "case": case,
        "images": document["session"]["summary"]["train"] + document["session"]["summary"]["val"],
        "trials": sum(trial["state"] == "done" for trial in document["trials"]),
        "levels": document["session"]["level"],
        "minutes": taken / 60,
        "exit_code": search.returncode,
        "peak_bytes_trainer": peaks.get("training.trainer"),
        "peak_bytes_engine": peaks.get("engine.service"),
        "best_accuracy": 1 - min(t["error"] for t in document["trials"] if t["error"] is not None),
    }


OTHERS: dict[str, Callable[[str, argparse.Namespace], Any]] = {
    "fp32": fp32,
    "steadiness": steadiness,
    "warm": warm,
    "sparse": sparse,
    "scaling": scaling,
    "trainers": trainers,
    "waiting": waiting,
    "busy": busy,
    "session": session,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="JSON lines")
    parser.add_argument("--case", nargs="*", choices=[*CASES, *OTHERS], default=[*CASES, *OTHERS])
    parser.add_argument("--quick", action="store_true", help="less of everything: does it work?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5, help="of the accuracy runs")
    parser.add_argument("--seeds", type=int, default=5, help="of the accuracy runs; 0: none")
    parser.add_argument("--worker", choices=("ours", "plain", *WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--network", help=argparse.SUPPRESS)
    parser.add_argument("--fixed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker in WAYS:
        real(options.worker, options.network, options.fixed)
        return
    if options.worker:
        worker(options.worker, options.network, options.size)
        return
    # as the engine starts its trainers, before torch is imported
    from lcsearch.engine.executors.base import WAITING

    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    if options.quick:
        options.rounds, options.epochs = min(options.rounds, 2), min(options.epochs, 1)
        options.seeds = min(options.seeds, 2)
    for case in options.case:
        found = OTHERS.get(case, speed)(case, options)
        for result in [found] if isinstance(found, dict) else found:
            if options.json:
                print(json.dumps(result), flush=True)
            else:
                print(*(f"{name}={value}" for name, value in result.items()), flush=True)


if __name__ == "__main__":
    main()
