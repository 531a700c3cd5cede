"""Latency by the probe against an independent timing of the exported files, and against itself.

    python benchmarks/inference.py --json            # 100 networks, both runtimes, minutes
    python benchmarks/inference.py --networks 20 --runtime onnx

Networks are drawn from the whole space for images of 28 x 28.  The probe times each with random
weights beside the reference network, as a session does.  Independently, the same network is
exported as a search exports what it found (`network.onnx` by torch's exporter; `network.py` with
its weights) and that file is run alone by the same runtime, one thread, one image: the median of
200 runs.  A line a runtime: their rank correlation (Spearman), and how far five repeats of the
probe lie from their median: `repeats_within` is the largest distance that nine of ten networks
keep, `median_repeat` that of half of them.  `variation` is the median coefficient of variation
that the probe itself tells.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from lcsearch.engine.protocol import Clock
from lcsearch.engine.tasks import cnn
from lcsearch.engine.training import portable
from lcsearch.engine.training.build import build
from lcsearch.engine.training.latency import Clockwork
from lcsearch.engine.training.preparing import Preparing
from lcsearch.engine.training.stored import WEIGHTS
from lcsearch.sessions.records import Config

SHAPE, CLASSES, FEATURES = (1, 28, 28), 10, 4
HOW = Preparing(tuple(map(str, range(CLASSES))), SHAPE, None)
RUNS = 200
REPEATS = 5


def networks(count: int) -> list[Config]:
    """Random networks of the whole space that can be built and may be proposed."""
    space = cnn.space(SHAPE, CLASSES, parameters=cnn.POSTER)
    assert space.reference is not None
    rng = np.random.default_rng(0)
    found: list[Config] = []
    while len(found) < count:
        config = space.sample(rng, 0, space.reference)
        if not space.broken(config) and (space.proposable is None or space.proposable(config)):
            found.append(config)
    return found


def exported(config: Config, runtime: str, folder: Path) -> Callable[[], object]:
    """Write the network as a search does, and load that file alone; what runs it once."""
    model = build(cnn.network(config, SHAPE, CLASSES), 0).eval()
    whole = portable.Portable(model, np.zeros(1, np.float32), np.ones(1, np.float32)).eval()
    if runtime == "onnx":
        import onnxruntime

        portable.write_onnx(whole, folder / portable.ONNX, HOW)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(folder / portable.ONNX, options)
        image = {"images": np.full((1, *SHAPE), 0.5, np.float32)}
        return lambda: session.run(None, image)
    source = portable.source(whole, "a network", HOW)
    (folder / portable.SOURCE).write_text(source, encoding="utf-8")
    portable.write_weights(whole, folder / WEIGHTS)
    spec = importlib.util.spec_from_file_location("network", folder / portable.SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded, batch = module.load(), torch.full((1, *SHAPE), 0.5)

    def run() -> object:
        with torch.inference_mode():
            return loaded(batch)

    return run


def milliseconds(run: Callable[[], object]) -> float:
    """The median of many runs, after some that do not count."""
    seconds = []
    for number in range(RUNS + 20):
        start = time.perf_counter()
        run()
        if number >= 20:
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def compare(runtime: str, count: int) -> dict[str, Any]:
    """The line of a runtime."""
    torch.set_num_threads(1)
    space = cnn.space(SHAPE, CLASSES, parameters=cnn.POSTER)
    assert space.reference is not None
    clockwork = Clockwork()
    by_probe, alone, spreads, variations, times = [], [], [], [], []
    for number, config in enumerate(networks(count)):
        order = Clock.model_validate(
            {
                "runtime": runtime, "shape": SHAPE, "classes": CLASSES, "features": FEATURES,
                "reference": space.reference, "configs": (config,),
            }
        )  # fmt: skip
        start = time.perf_counter()
        told = [clockwork.answer(order)[0] for _ in range(REPEATS)]
        times.append((time.perf_counter() - start) / REPEATS)
        ratios = [answer.ratio for answer in told]
        middle = statistics.median(ratios)
        spreads.append(max(abs(ratio / middle - 1) for ratio in ratios))
        variations.append(told[0].variation)
        by_probe.append(ratios[0])
        with tempfile.TemporaryDirectory() as folder:
            alone.append(milliseconds(exported(config, runtime, Path(folder))))
        if sys.stderr.isatty():
            print(f"\r{runtime} {number + 1}/{count}", end="", file=sys.stderr)
    return {
        "runtime": runtime,
        "networks": count,
        "rank_correlation": round(float(spearmanr(by_probe, alone).statistic), 4),
        "repeats_within": round(float(np.quantile(spreads, 0.9)), 4),
        "median_repeat": round(float(np.median(spreads)), 4),
        "variation": round(float(np.median(variations)), 4),
        "seconds_a_network": round(float(np.median(times)), 4),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--runtime", choices=("onnx", "torch"), help="one alone")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    for runtime in [given.runtime] if given.runtime else ["onnx", "torch"]:
        line = compare(runtime, given.networks)
        text = json.dumps(line) if given.json else "  ".join(f"{k} {v}" for k, v in line.items())
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
