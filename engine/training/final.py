"""The end of a search: a network trained afresh on the session's images, tested once, written.

    python -P -m lcsearch.engine.training.final < ORDER

The order and the replies are the JSON lines of engine/protocol.py.  It ends when its input ends,
and then nothing is written.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ... import __version__
from ...sessions import exchange
from ..metric import wilson
from ..protocol import (
    RESULT,
    FinalDone,
    FinalFailed,
    FinalOrder,
    FinalProgress,
    FinalResult,
    trained_on,
)
from ..tasks import cnn
from ..tasks.space import InvalidConfig
from .data import Data, DataError, read_final
from .trainer import chosen_device, first_line, keep_memory, machine

Say = Callable[[FinalProgress | FinalDone | FinalFailed], None]

SECONDS_A_WORD = 0.5
"""Between two reports of progress."""
ONNX_PACKAGES = ("onnx", "onnxscript")


class FinalError(Exception):
    """It cannot be done; the message says what to do."""


def main() -> None:
    """Do what the first line of standard input orders."""
    # as the trainer does: what a library prints goes to the log
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parser = argparse.ArgumentParser(prog="final", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    options = parser.parse_args()
    keep_memory()
    order = FinalOrder.model_validate_json(sys.stdin.readline())
    cancelled = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        cancelled.set()

    threading.Thread(target=listen, daemon=True).start()

    def say(reply: FinalProgress | FinalDone | FinalFailed) -> None:
        try:
            protocol.write(reply.model_dump_json() + "\n")
            protocol.flush()
        except BrokenPipeError:  # nobody listens any more
            cancelled.set()

    try:
        train_final(order, options.device, say, cancelled.is_set)
    except (FinalError, DataError, InvalidConfig) as error:
        say(FinalFailed(message=str(error)))
    except Exception as error:  # noqa: BLE001 - the process's edge: recorded and reported
        traceback.print_exc()
        say(FinalFailed(message=_words(error)))


def _words(error: Exception) -> str:
    import torch

    from .loop import Diverged

    if isinstance(error, Diverged):
        return f"the network diverged: {error}. Choose another trial (--trial)."
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return (
            f"out of memory ({first_line(error)}). Close other programs, or choose a trial with "
            "a smaller network or batch (--trial)."
        )
    return f"{type(error).__name__}: {first_line(error)}"


def train_final(order: FinalOrder, device: str, say: Say, cancelled: Callable[[], bool]) -> None:
    """Train, test, write; says how far it is, and at the end what came of it.

    cancelled: asked before every batch; where it says True, it ends there and nothing is written.
    Raises FinalError, DataError, InvalidConfig, loop.Diverged.
    """
    if order.onnx:
        missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise FinalError(
                f"ONNX needs {' and '.join(missing)}, not installed here. Run "
                "pip install 'lcsearch[onnx]', or leave --onnx out."
            )
    import torch

    from . import loop
    from .images import place, testing
    from .run import Training, begin, full_precision
    from .threads import Threads

    threads = Threads()  # what is free is seen while the images are read
    data, test = read_final(order.data)
    if data.summary.fingerprint != order.fingerprint:
        raise FinalError(
            f"{order.data.spec}: the data have changed since the session began. Put the first "
            "data back, or begin a new session."
        )
    summary = data.summary
    network = cnn.network(order.config, summary.shape, summary.classes, order.features)
    chosen = torch.device(chosen_device(device))
    dtype = loop.choose_dtype(network, chosen)
    task = Training(
        network,
        order.config,
        order.seed,
        order.epochs,
        order.augment,
        order.metric,
        order.class_weights,
    )
    try:
        placed = place(data, chosen)
    except ValueError as error:
        raise FinalError(str(error)) from error
    run = begin(task, placed, dtype)
    began, said, loss = time.monotonic(), 0.0, math.nan
    bounds = loop.batch_bounds(len(placed.train_labels), order.config["batch_size"])
    for number in range(1, order.epochs + 1):
        drawn = loop.begin_epoch(run, number)
        total = torch.zeros((), device=chosen)
        for at, (start, end) in enumerate(bounds, start=1):
            if cancelled():
                return
            threads.look()
            run.threads = threads.settle(run.threads)
            total += loop.step(run, drawn, start, end) * (end - start)
            ended = at == len(bounds)
            if not ended and time.monotonic() - said < SECONDS_A_WORD:
                continue
            loss = loop.finite_loss(total, end, number)
            said = now = time.monotonic()
            done = (number - 1 + at / len(bounds)) / order.epochs
            say(
                FinalProgress(
                    epoch=number,
                    epochs=order.epochs,
                    done=done,
                    ended=ended,
                    train_loss=loss,
                    seconds_left=(now - began) / done - (now - began),
                )
            )
    seconds = time.monotonic() - began
    model = full_precision(run)
    told = loop.confusion(model, *testing(data, test, chosen), summary.classes, torch.float32)
    threads.take()
    result = FinalResult(
        session=order.session,
        trial=order.trial,
        config=order.config,
        features=order.features,
        seed=order.seed,
        epochs=order.epochs,
        augment=order.augment,
        data=order.data,
        data_fingerprint=order.fingerprint,
        train_images=len(data.train_numbers),
        test_images=len(test),
        test_accuracy=told.accuracy,
        metric=order.metric,
        test_metric=told.score(order.metric),
        class_weights=order.class_weights,
        classes=summary.class_names,
        prepared=summary.prepared,
        recalls=told.recalls(),
        confusion=told.rows(),
        train_loss=loss,
        params=network.params,
        macs=network.macs,
        seconds=seconds,
        machine=machine(chosen, dtype),
        lcsearch=__version__,
        files=(),
    )
    written = write(Path(order.folder), model, data, result, order.onnx, cancelled)
    if written is not None:
        say(FinalDone(folder=order.folder, result=written))


def write(
    folder: Path,
    model: object,
    data: Data,
    result: FinalResult,
    onnx: bool,
    cancelled: Callable[[], bool],
) -> FinalResult | None:
    """Write all files into `folder`: all or none, as the folder takes its name at the end.

    Returns the result as it is written; None where it was cancelled.  Raises FinalError.
    """
    from torch import nn

    from . import card, latency, portable, preparing, stored

    assert isinstance(model, nn.Sequential)
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    network = portable.Portable(model, data.mean, data.std).eval()
    summary = data.summary
    levels = preparing.EIGHT_BITS
    if result.prepared is None:
        levels = preparing.levels(data.pool.images)
    how = preparing.Preparing(summary.class_names, summary.shape, result.prepared, levels)
    trained = trained_on(summary)
    title = (
        f"{result.session}, trial {result.trial}: {result.test_accuracy:.2%} on the test set.\n\n"
        f"Trained {trained}."
    )
    laid = cnn.network(result.config, summary.shape, summary.classes, result.features)
    names = [
        stored.WEIGHTS,
        portable.SOURCE,
        preparing.PREPARE,
        *([portable.ONNX] if onnx else []),
        RESULT,
        card.CARD,
    ]
    right = round(result.test_accuracy * result.test_images)
    result = result.model_copy(
        update={
            "files": tuple(names),
            "shape": summary.shape,
            "levels": levels,
            "test_interval": wilson(right, result.test_images),
            "costs": {m.name: float(m.of(laid)) for m in cnn.TASK.measures if m.of is not None},
        }
    )
    try:
        part.mkdir()
        portable.write_weights(network, part / stored.WEIGHTS)
        text = portable.source(network, title, how)
        (part / portable.SOURCE).write_text(text, encoding="utf-8")
        (part / preparing.PREPARE).write_text(how.source(), encoding="utf-8")
        if onnx:
            portable.write_onnx(network, part / portable.ONNX, how)
        latencies = latency.of_written(network, summary.shape, part / portable.ONNX)
        result = result.model_copy(update={"latencies": latencies})
        content = exchange.in_lines(result.model_dump(mode="json"))
        (part / RESULT).write_text(content, encoding="utf-8")
        text = card.card(result, trained, cnn.TASK.measures)
        (part / card.CARD).write_text(text, encoding="utf-8")
        if cancelled():
            return None
        part.rename(folder)
    except Exception as error:
        # safetensors has an error of its own for a disk that is full
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise FinalError(
                f"{folder}: cannot be written ({first_line(error)}). Make room, or name another "
                "folder (-o)."
            ) from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return result


if __name__ == "__main__":
    main()
