"""Times networks as they are used: one image at a time, one thread, beside the reference network.

    python -P -m lcsearch.engine.training.latency < orders > replies

A `Clock` says what is timed and by which runtime, and is answered by a `Clocked` for each of its
networks, in order, or by one `Refused`.  It ends with its input.  Weights are random: a network is
as fast with them as with trained ones.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...sessions.choices import Runtime
from ...sessions.records import Config
from ..protocol import STEADY, Clock, Clocked, Refused
from ..tasks import cnn
from ..tasks.cnn.layout import Network

if TYPE_CHECKING:
    from .portable import Portable

Run = Callable[[], object]
"""One inference of one image."""
WINDOWS = 9
"""Pairs of windows, the reference's and the network's; what counts is their median."""
WINDOW_SECONDS = 0.001
"""A window is at least so long, and at least `RUNS` inferences: it is as long as their median."""
RUNS = 3
TRIES = 3
"""Measurements of a network until one is steady; the steadiest of them counts."""


def runner(network: Network, runtime: str) -> Run:
    """What runs it once.  Raises ImportError where the runtime is not installed."""
    return _in_onnxruntime(network) if runtime == "onnx" else _in_torch(network)


def of_written(network: Portable, shape: tuple[int, int, int], onnx: Path) -> dict[Runtime, float]:
    """Milliseconds that a written network takes for one image, one thread, by the runtime.

    onnx: its file; where that was not written, or there is no onnxruntime, it is timed by torch
    alone.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found: dict[Runtime, float] = {"torch": _alone(_torch_run(network, shape))}
    finally:
        torch.set_num_threads(threads)
    if onnx.is_file() and importlib.util.find_spec("onnxruntime") is not None:
        found["onnx"] = _alone(_onnx_run(onnx.read_bytes(), shape))
    return found


def beside(models: Sequence[bytes], shape: tuple[int, int, int]) -> list[float]:
    """Milliseconds that each of these ONNX models takes for one image, timed in turns."""
    runs = [_onnx_run(model, shape) for model in models]
    for run in runs:
        _window(run)
    found = [[_window(run) for run in runs] for _ in range(WINDOWS)]
    return [1000 * statistics.median(of) for of in zip(*found, strict=True)]


def _alone(run: Run) -> float:
    """Milliseconds of an inference: the median of windows, of which the first does not count."""
    _window(run)
    return 1000 * statistics.median(_window(run) for _ in range(WINDOWS))


def _in_onnxruntime(network: Network) -> Run:
    from .graph import graph, spread

    return _onnx_run(graph(network, spread(network)).SerializeToString(), network.shape)


def _onnx_run(model: bytes, shape: tuple[int, int, int]) -> Run:
    from .runtime import session

    loaded = session(model)
    image = {"images": np.full((1, *shape), 0.5, np.float32)}
    return lambda: loaded.run(None, image)


def _in_torch(network: Network) -> Run:
    import torch

    from .build import build
    from .portable import Portable, fused

    torch.set_num_threads(1)
    layers = fused(build(network, 0).eval())
    channels = network.shape[0]
    mean, std = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    return _torch_run(Portable(layers, mean, std).eval(), network.shape)


def _torch_run(model: Portable, shape: tuple[int, int, int]) -> Run:
    import torch

    image = torch.full((1, *shape), 0.5).to(memory_format=torch.channels_last)

    def run() -> object:
        with torch.inference_mode():
            return model(image)

    return run


def timed(run: Run, reference: Run) -> tuple[float, float, float]:
    """Time over the reference's, its coefficient of variation, milliseconds of the reference."""
    best: tuple[float, float, float] | None = None
    for _ in range(TRIES):
        ratios, beside = [], []
        for _ in range(WINDOWS):
            other, own = _window(reference), _window(run)
            beside.append(other)
            ratios.append(own / other)
        variation = statistics.stdev(ratios) / statistics.mean(ratios)
        if best is None or variation < best[1]:
            best = statistics.median(ratios), variation, 1000 * statistics.median(beside)
        if variation <= STEADY:
            break
    assert best is not None
    return best


def _window(run: Run) -> float:
    """Seconds of an inference: the median of those in a window, which no interruption moves."""
    seconds: list[float] = []
    begin = time.perf_counter()
    while len(seconds) < RUNS or time.perf_counter() - begin < WINDOW_SECONDS:
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


class Clockwork:
    """The reference networks that are loaded, and what is timed beside them."""

    def __init__(self) -> None:
        self._references: dict[str, Run] = {}

    def answer(self, order: Clock) -> list[Clocked]:
        """Time the networks of an order.  Raises ImportError where the runtime is missing."""

        def laid(config: Config) -> Network:
            return cnn.network(config, order.shape, order.classes, order.features)

        called = order.model_copy(update={"configs": ()}).model_dump_json()
        reference = self._references.get(called)
        if reference is None:
            reference = self._references[called] = runner(laid(order.reference), order.runtime)
            _window(reference)  # the first runs find their way
        found = []
        for config in order.configs:
            run = runner(laid(config), order.runtime)
            _window(run)
            ratio, variation, milliseconds = timed(run, reference)
            found.append(
                Clocked(ratio=ratio, variation=variation, reference_milliseconds=milliseconds)
            )
        return found


def main() -> int:
    """Answer orders until there are no more."""
    os.environ["OMP_NUM_THREADS"] = "1"
    clockwork = Clockwork()
    for line in sys.stdin:
        order = Clock.model_validate_json(line)
        try:
            answers: list[Clocked] | list[Refused] = list(clockwork.answer(order))
        except ImportError as error:
            what = "onnx" if order.runtime == "onnx" else "torch"
            remedy = "pip install 'lcsearch[onnx]'" if what == "onnx" else "Install it again"
            told = f"--runtime {order.runtime}: not installed ({error}). {remedy}, or begin a new "
            told += "session with another (c copies this one)."
            answers = [Refused(message=told)]
        for answer in answers:
            print(answer.model_dump_json(), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
