"""The end of a search: a network trained afresh on the session's images, tested once, written.

    python -P -m lcsearch.engine.training.final < ORDER

The order, what follows it and the replies are the JSON lines of engine/protocol.py.  It ends when
its input ends, and goes on from its checkpoints when it is ordered again.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from ... import __version__
from ...sessions import exchange
from ...sessions.choices import LOSS_REFUSED
from ...sessions.files import settle
from ...sessions.records import DataSource, EightBits, Epoch, StopMode
from ..metric import wilson
from ..protocol import (
    RESULT,
    FinalDone,
    FinalEnded,
    FinalFailed,
    FinalOrder,
    FinalProgress,
    FinalResult,
    FinalStop,
    eight_bits_lose,
    trained_on,
    unfinished,
    written,
)
from ..tasks import cnn
from ..tasks.space import InvalidConfig
from .data import Data, DataError, read_final
from .data.face import Split
from .trainer import chosen_device, disk_full, first_line, keep_memory, machine

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..metric import Confusion
    from ..tasks.cnn.layout import Network
    from .images import Placed
    from .run import Run, Training
    from .threads import Threads

Said = FinalProgress | FinalDone | FinalEnded | FinalFailed
Say = Callable[[Said], None]
Asked = StopMode | Literal["gone"] | None
"""What was asked of it; gone: nobody listens any more, so it leaves its checkpoints and ends."""

SECONDS_A_WORD = 0.5
"""Between two reports of progress."""
ONNX_PACKAGES = ("onnx", "onnxscript")
INT8_PACKAGES = (*ONNX_PACKAGES, "onnxruntime")
LOCK_PATIENCE = 30.0
"""Seconds that it waits for an earlier attempt's process to be gone."""


class FinalError(Exception):
    """It cannot be done as things are; the message says what to do.

    lossy: it goes on once the loss is accepted.
    """

    curable = True
    """It goes on once that is done."""

    def __init__(self, message: str, *, lossy: bool = False) -> None:
        super().__init__(message)
        self.lossy = lossy


def main() -> None:
    """Do what the first line of standard input orders."""
    # as the trainer does: what a library prints goes to the log
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parser = argparse.ArgumentParser(prog="final", description=__doc__)
    parser.parse_args()
    keep_memory()
    order = FinalOrder.model_validate_json(sys.stdin.readline())
    asked: list[Asked] = [None]

    def listen() -> None:
        for line in sys.stdin:
            asked[0] = FinalStop.model_validate_json(line).mode
        asked[0] = "gone"

    threading.Thread(target=listen, daemon=True).start()

    def say(reply: Said) -> None:
        try:
            protocol.write(reply.model_dump_json() + "\n")
            protocol.flush()
        except BrokenPipeError:  # nobody listens any more
            asked[0] = "gone"

    try:
        with FileLock(f"{order.checkpoint}.lock").acquire(timeout=LOCK_PATIENCE):
            train_final(order, say, lambda: asked[0])
    except Timeout:
        message = "another process still trains it. End that process."
        say(FinalFailed(message=message, curable=True))
    except FinalError as error:
        say(FinalFailed(message=str(error), curable=error.curable, lossy=error.lossy))
    except DataError as error:
        say(FinalFailed(message=str(error), curable=True))
    except InvalidConfig as error:
        say(FinalFailed(message=str(error)))
    except Exception as error:  # noqa: BLE001 - the process's edge: recorded and reported
        say(_failed(error))


def _failed(error: Exception) -> FinalFailed:
    import torch

    from .checkpoint import CheckpointError
    from .loop import Diverged

    cause = error.__cause__
    reason = first_line(cause if isinstance(cause, Exception) else error)
    if isinstance(error, Diverged):
        message = f"the network diverged: {error}. Choose another trial (--trial)."
        return FinalFailed(message=message)
    if disk_full(error):
        return FinalFailed(message=f"the disk is full ({reason}). Make room.", curable=True)
    if isinstance(error, CheckpointError):
        message = f"its checkpoint cannot be written ({reason}). See to the session's folder."
        return FinalFailed(message=message, curable=True)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        message = (
            f"out of memory ({reason}). Close other programs, or choose a trial with a smaller "
            "network or batch (--trial)."
        )
        return FinalFailed(message=message, curable=True)
    traceback.print_exc()
    return FinalFailed(message=f"{type(error).__name__}: {first_line(error)}")


def train_final(order: FinalOrder, say: Say, asked: Callable[[], Asked]) -> None:
    """Train, test, write; says how far it is, and at the end what came of it.

    It goes on from its checkpoints where there are some; where an attempt before had written all,
    and nobody heard of it, that is what came.  asked: looked at before every batch.
    Raises FinalError, DataError, InvalidConfig, loop.Diverged.
    """
    shutil.rmtree(order.part, ignore_errors=True)  # of an attempt that was killed as it wrote
    there = written(Path(order.folder), order.id)
    if there is not None:
        say(FinalDone(folder=order.folder, result=there))
        return
    if order.onnx or order.int8:
        what, needed = ("int8", INT8_PACKAGES) if order.int8 else ("ONNX", ONNX_PACKAGES)
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            raise FinalError(
                f"{what} needs {' and '.join(missing)}, not installed here. Run "
                f"pip install 'lcsearch[onnx]', or leave --{what.lower()} out."
            )
    import torch

    from . import loop
    from .images import place, testing
    from .run import DTYPES, Training, full_precision
    from .threads import Threads

    threads = Threads()
    data, test = _images(order)
    summary = data.summary
    network = cnn.network(order.config, summary.shape, summary.classes, order.features)
    chosen = torch.device(chosen_device(order.device))
    dtype = loop.choose_dtype(network, chosen) if order.dtype == "auto" else DTYPES[order.dtype]
    try:
        placed = place(data, chosen)
    except ValueError as error:
        raise FinalError(str(error)) from error
    told: list[Confusion] = []
    kept: tuple[nn.Sequential, float, float] | None = None
    for at, seed in enumerate(order.seeds):
        task = Training(
            network,
            order.config,
            seed,
            order.epochs,
            order.augment,
            order.metric,
            order.class_weights,
        )
        scores = tuple(one.accuracy for one in told)
        run = None
        if not told or asked() is None:  # it may have been asked as the one before was tested
            report = _Report(say, order, at, scores)
            run = _trained(order, task, placed, dtype, threads, asked, report)
        if run is None:
            _ended(say, asked())
            return
        model, used = full_precision(run), run.threads
        told.append(
            loop.confusion(model, *testing(data, test, chosen), summary.classes, torch.float32)
        )
        if kept is None:  # the test set chooses nothing: the first is the one that is written
            kept = model, run.epochs[-1].train_loss, sum(e.seconds for e in run.epochs)
    assert kept is not None
    model, loss, seconds = kept
    threads.take()
    result = FinalResult(
        session=order.session,
        trial=order.trial,
        config=order.config,
        features=order.features,
        seed=order.seeds[0],
        seeds=order.seeds,
        scores=tuple(one.accuracy for one in told),
        images=order.images,
        epochs=order.epochs,
        augment=order.augment,
        data=_source(order),
        data_fingerprint=summary.fingerprint,
        train_images=len(data.train_numbers),
        test_images=len(test),
        test_accuracy=told[0].accuracy,
        metric=order.metric,
        test_metric=told[0].score(order.metric),
        class_weights=order.class_weights,
        classes=summary.class_names,
        prepared=summary.prepared,
        recalls=told[0].recalls(),
        confusion=told[0].rows(),
        train_loss=loss,
        params=network.params,
        macs=network.macs,
        seconds=seconds,
        machine=machine(chosen, dtype).model_copy(update={"threads": used}),
        lcsearch=__version__,
        files=(),
        order=order.id,
        scored_before=order.scored_before,
    )
    made = write(
        Path(order.folder),
        model,
        data,
        result,
        order.onnx,
        lambda: asked() in ("now", "gone"),
        InEightBits(test, order.accept_loss) if order.int8 else None,
    )
    if made is None:
        _ended(say, asked())
    else:
        say(FinalDone(folder=order.folder, result=made))


def _ended(say: Say, mode: Asked) -> None:
    """Say that it has ended as it was asked to; nobody hears it where they are gone."""
    if mode != "gone":
        say(FinalEnded(paused=mode == "pause"))


def _source(order: FinalOrder) -> DataSource:
    """The images that it is trained on."""
    whole = {"train_size": None} if order.images == "all" else {}
    return order.data.model_copy(update=whole)


def _images(order: FinalOrder) -> tuple[Data, Split]:
    """What it is trained on, and the test set, which is the session's own.  Raises FinalError."""
    data, test = read_final(order.data)
    if data.summary.fingerprint != order.fingerprint:
        raise FinalError(
            f"{order.data.spec}: the data have changed since the session began. Put the first "
            "data back, or begin a new session."
        )
    source = _source(order)
    return (data, test) if source == order.data else read_final(source)


class _Report:
    """Says how far one of the trainings is, now and then."""

    def __init__(self, say: Say, order: FinalOrder, at: int, scores: tuple[float, ...]) -> None:
        self._say, self._order, self._at, self._scores = say, order, at, scores
        self._began, self._first, self._said = time.monotonic(), math.nan, -math.inf

    def due(self) -> bool:
        """Whether something is to be said again."""
        return time.monotonic() - self._said >= SECONDS_A_WORD

    def tell(self, number: int, share: float, loss: float, *, ended: bool) -> None:
        """share: of epoch `number` that is done."""
        order, self._said = self._order, time.monotonic()
        done = (self._at + (number - 1 + share) / order.epochs) / len(order.seeds)
        if math.isnan(self._first):
            self._began, self._first = self._said, done
        pace = (self._said - self._began) / (done - self._first) if done > self._first else None
        self._say(
            FinalProgress(
                training=self._at + 1,
                epoch=number,
                epochs=order.epochs,
                done=done,
                ended=ended,
                train_loss=loss,
                seconds_left=None if pace is None else pace * (1 - done),
                scores=self._scores,
            )
        )


def _trained(
    order: FinalOrder,
    task: Training,
    placed: Placed,
    dtype: torch.dtype,
    threads: Threads,
    asked: Callable[[], Asked],
    report: _Report,
) -> Run | None:
    """Trained to the last epoch, from its checkpoint on; None where it was asked to end before."""
    import torch

    from . import loop
    from .checkpoint import CheckpointError, restore, save
    from .run import begin

    checkpoint = Path(f"{order.checkpoint}-{task.seed}.pt")
    run = None
    if checkpoint.exists():
        try:
            run = restore(task, placed, checkpoint)
        except CheckpointError as error:  # the same network, and what was done of it once more
            print(f"seed {task.seed} begins anew: {error}", file=sys.stderr)
    run = run or begin(task, placed, dtype)
    run.threads = threads.by_size(task.network.macs * task.config["batch_size"])
    bounds = loop.batch_bounds(len(placed.train_labels), task.config["batch_size"])
    for number in range(len(run.epochs) + 1, order.epochs + 1):
        drawn = loop.begin_epoch(run, number)
        total = torch.zeros((), device=placed.device)
        began, loss = time.monotonic(), math.nan
        for at, (start, end) in enumerate(bounds, start=1):
            if asked() in ("now", "gone"):
                return None
            total += loop.step(run, drawn, start, end) * (end - start)
            if at == len(bounds) or report.due():
                loss = loop.finite_loss(total, end, number)
            if at < len(bounds) and report.due():
                report.tell(number, at / len(bounds), loss, ended=False)
        # nothing is validated: what is kept of an epoch here is that it is done, and its loss
        seconds = time.monotonic() - began
        run.epochs.append(Epoch(epoch=number, train_loss=loss, val_accuracy=0, seconds=seconds))
        save(run, checkpoint)
        report.tell(number, 1.0, loss, ended=True)
        if number < order.epochs and asked() is not None:
            return None
    return run


@dataclass(frozen=True)
class InEightBits:
    """That a network is written in eight bits, too.

    test: that it is tested on, as its float32 form was.  accept_loss: however much it loses.
    """

    test: Split
    accept_loss: bool = False


def write(
    folder: Path,
    model: object,
    data: Data,
    result: FinalResult,
    onnx: bool,
    cancelled: Callable[[], bool],
    int8: InEightBits | None = None,
) -> FinalResult | None:
    """Write all files into `folder`: all or none, as the folder takes its name at the end.

    onnx: whether ONNX is among them; with int8 it is.  Returns the result as it is written; None
    where it was cancelled.  Raises FinalError.
    """
    from torch import nn

    from . import card, eight_bits, latency, portable, preparing, stored

    assert isinstance(model, nn.Sequential)
    part = unfinished(folder, result.order)
    network = portable.Portable(model, data.mean, data.std).eval()
    summary = data.summary
    levels = preparing.EIGHT_BITS
    if result.prepared is None:
        levels = preparing.levels(data.pool.images)
    how = preparing.Preparing(summary.class_names, summary.shape, result.prepared, levels)
    trained = trained_on(summary, result.images)
    title = (
        f"{result.session}, trial {result.trial}: {result.test_accuracy:.2%} on the test set.\n\n"
        f"Trained {trained}."
    )
    laid = cnn.network(result.config, summary.shape, summary.classes, result.features)
    names = [
        stored.WEIGHTS,
        portable.SOURCE,
        preparing.PREPARE,
        *([portable.ONNX] if onnx or int8 else []),
        *([eight_bits.INT8] if int8 else []),
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
        if portable.ONNX in names:
            portable.write_onnx(network, part / portable.ONNX, how)
        latencies = latency.of_written(network, summary.shape, part / portable.ONNX)
        if int8 is not None:
            made = _in_eight_bits(part, laid, data, result, portable.metadata(how), int8)
            latencies["onnx"] = made.float_latency
            result = result.model_copy(update={"int8": made})
        result = result.model_copy(update={"latencies": latencies})
        content = exchange.in_lines(result.model_dump(mode="json"))
        (part / RESULT).write_text(content, encoding="utf-8")
        text = card.card(result, trained, cnn.TASK.measures)
        (part / card.CARD).write_text(text, encoding="utf-8")
        _share(part)
        for file in (*part.iterdir(), part):
            settle(file)
        if cancelled():
            return None
        part.rename(folder)
        settle(folder.parent)  # the checkpoints are taken away once it stands there
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


def _in_eight_bits(
    part: Path,
    laid: Network,
    data: Data,
    result: FinalResult,
    metadata: Mapping[str, str],
    wanted: InEightBits,
) -> EightBits:
    """Write the network in eight bits beside its other files.  Raises FinalError, OSError."""
    from . import eight_bits

    try:
        made = eight_bits.write(part, laid, data, wanted.test, result, metadata)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise FinalError(
            f"the network cannot be written in eight bits ({why}). Leave that out (--no-int8)."
        ) from error
    if made.loss > LOSS_REFUSED and not wanted.accept_loss:
        lost = eight_bits_lose(made, result.metric).removeprefix("WARNING: ")
        raise FinalError(
            f"{lost}, more than {100 * LOSS_REFUSED:.0f}: nothing was written. Resume it with "
            "--accept-loss, or stop it and train without --int8.",
            lossy=True,
        )
    return made


def _share(part: Path) -> None:
    """Let those read it who may read the folder that it is in; an engine writes for itself."""
    may = part.parent.stat().st_mode & 0o755
    for file in part.iterdir():
        file.chmod(may & 0o644 | 0o600)
    part.chmod(may | 0o700)


if __name__ == "__main__":
    main()
