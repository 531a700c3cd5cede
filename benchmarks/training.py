"""Speed of training against a plain PyTorch loop, and steadiness of the measured cost.

    python benchmarks/training.py [--json] [--case NAME ...] [--rounds 5] [--epochs 5]

Ours and the plain loop (DataLoader, fp32, channels first, `.item()` every batch) run in a process
each and take turns, epoch by epoch, so that both meet the same load; ratios are medians of pairs.
`gflops` counts six operations a multiply-accumulate (forward and both backward products).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
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
    "conv-32-64-64-128": (FASHION, 15000, config([32, 64, 64, 128], 256), 1),
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


def worker(kind: str, case: str) -> None:
    """Answer each line of input, `epoch` or `accuracy SEED EPOCHS`, with a line of JSON."""
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset

    from lcsearch.engine import cnn
    from lcsearch.engine.training import loop
    from lcsearch.engine.training.build import build
    from lcsearch.engine.training.data import read
    from lcsearch.engine.training.trainer import keep_memory
    from lcsearch.sessions.records import DataSource

    if kind == "ours":
        keep_memory()
    spec, size, settings, features = CASES[case]
    data = read(DataSource(spec=spec, train_size=size))
    shape, classes = data.summary.shape, data.summary.classes
    laid = cnn.network(settings, shape, classes, features)
    placed = loop.place(data, torch.device("cpu"))
    base = cnn.reference(shape, classes)
    dtype = loop.choose_dtype(cnn.network(base, shape, classes), placed.device)
    images = placed.train_images.permute(0, 3, 1, 2).contiguous()
    plain = DataLoader(
        TensorDataset(images, placed.train_labels), batch_size=settings["batch_size"], shuffle=True
    )
    bounds = loop.batch_bounds(len(images), settings["batch_size"])

    def begin(seed: int) -> tuple[Any, Any]:
        if kind == "ours":
            run = loop.begin(loop.Task(laid, settings, seed, 1), placed, dtype)
            return run.model, run.optimiser
        model = build(laid, seed).to(memory_format=torch.contiguous_format)
        return model, torch.optim.Adam(model.parameters(), lr=settings["learning_rate"])

    def epoch(model: Any, optimiser: Any) -> float:
        model.train()
        began = time.perf_counter()
        total: Any = 0.0
        if kind == "ours":
            order = torch.randperm(len(images))
            for start, end in bounds:
                total += loop.step(model, optimiser, placed, order[start:end], dtype)
            float(total)
        else:
            for inputs, labels in plain:
                optimiser.zero_grad()
                loss = functional.cross_entropy(model(inputs), labels)
                loss.backward()
                optimiser.step()
                total += loss.item()
        return time.perf_counter() - began

    torch.manual_seed(0)
    model, optimiser = begin(0)
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "epoch":
            answer: dict[str, Any] = {
                "seconds": epoch(model, optimiser),
                "images": len(images),
                "gflop": 6 * laid.macs * len(images) / 1e9,
                "dtype": str(dtype).removeprefix("torch."),
            }
        else:
            seed, epochs = map(int, numbers)
            torch.manual_seed(seed)
            fresh, adam = begin(seed)
            for _ in range(epochs):
                epoch(fresh, adam)
            with torch.inference_mode():
                fresh.eval()
                right = 0
                for part, truth in zip(
                    placed.val_images.split(500), placed.val_labels.split(500), strict=True
                ):
                    logits = fresh(part.permute(0, 3, 1, 2))
                    right += int((logits.argmax(1) == truth).sum())
            answer = {"accuracy": right / len(placed.val_labels)}
        print(json.dumps(answer), flush=True)


class Worker:
    def __init__(self, kind: str, case: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-P", __file__, "--worker", kind, "--case", case],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, command: str) -> dict[str, Any]:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        print(command, file=self.child.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.child.stdout.readline())
        return answer

    def end(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()


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


def speed(case: str, rounds: int, epochs: int, seeds: int) -> dict[str, Any]:
    """One case: both loops in turns, the peak beside them, and the accuracy of each."""
    ours, plain = Worker("ours", case), Worker("plain", case)
    ours.ask("epoch"), plain.ask("epoch")
    pairs, peaks = [], []
    for _ in range(rounds):
        pairs.append((ours.ask("epoch"), plain.ask("epoch")))
        peaks.append(peak_gflops(pairs[-1][0]["dtype"]))
    accuracy = {
        name: [side.ask(f"accuracy {seed} {epochs}")["accuracy"] for seed in range(seeds)]
        for name, side in (("ours", ours), ("plain", plain))
    }
    ours.end(), plain.end()
    mine = statistics.median(one["seconds"] for one, _ in pairs)
    images, gflop = pairs[0][0]["images"], pairs[0][0]["gflop"]
    return {
        "case": case,
        "dtype": pairs[0][0]["dtype"],
        "ours_images_per_second": images / mine,
        "plain_images_per_second": images / statistics.median(two["seconds"] for _, two in pairs),
        "ratio": statistics.median(two["seconds"] / one["seconds"] for one, two in pairs),
        "gflops": gflop / mine,
        "peak_gflops": statistics.median(peaks),
        "accuracy_ours": statistics.mean(accuracy["ours"]),
        "accuracy_plain": statistics.mean(accuracy["plain"]),
    }


def steadiness(repeats: int, epochs: int) -> dict[str, Any]:
    """The cost of one network, alone and with a second trainer at work; a ratio, as f_c is."""
    import torch

    from lcsearch.engine import cnn
    from lcsearch.engine.training import loop
    from lcsearch.engine.training.data import read
    from lcsearch.sessions.records import DataSource

    data = read(DataSource(spec=FASHION, train_size=5000))
    shape, classes = data.summary.shape, data.summary.classes
    placed = loop.place(data, torch.device("cpu"))
    base = cnn.reference(shape, classes)
    laid = cnn.network(base, shape, classes)
    dtype = loop.choose_dtype(laid, placed.device)
    reference = loop.Reference(laid, base, placed, dtype)
    settings = config([32, 32, 64, 64], 128)
    tried = cnn.network(settings, shape, classes)

    def costs() -> list[tuple[float, float]]:
        found = []
        for seed in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                run = loop.begin(loop.Task(tried, settings, seed, epochs), placed, dtype)
                path = Path(folder) / "checkpoint.pt"
                for _ in loop.train(run, reference, path, lambda: False):
                    pass
            seconds, beside = loop.medians(run.epochs)
            found.append((seconds / beside, seconds))
        return found

    def spread(values: list[float]) -> float:
        return statistics.stdev(values) / statistics.mean(values)

    costs()
    idle = costs()
    second = subprocess.Popen(
        [sys.executable, "-P", __file__, "--worker", "ours", "--case", "conv-32-64-64-128"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert second.stdin is not None
    assert second.stdout is not None
    second.stdin.write("epoch\n" * 1000)
    second.stdin.flush()
    second.stdout.readline()
    loaded = costs()
    second.kill()
    second.wait()
    ratios, seconds = zip(*idle, strict=True)
    under, _ = zip(*loaded, strict=True)
    return {
        "case": "steadiness",
        "cv_idle": spread(list(ratios)),
        "cv_idle_seconds": spread(list(seconds)),
        "shift_loaded": abs(statistics.mean(under) / statistics.mean(ratios) - 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one JSON line a case")
    parser.add_argument("--case", nargs="*", default=[*CASES, "steadiness"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5, help="of the accuracy runs")
    parser.add_argument("--seeds", type=int, default=3, help="of the accuracy runs")
    parser.add_argument("--worker", choices=("ours", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.case[0])
        return
    for case in options.case:
        if case == "steadiness":
            result = steadiness(5, 4)
        else:
            result = speed(case, options.rounds, options.epochs, options.seeds)
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print(*(f"{name}={value}" for name, value in result.items()), flush=True)


if __name__ == "__main__":
    main()
