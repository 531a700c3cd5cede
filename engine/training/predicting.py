"""Tells what is in image files, by a network as it was delivered; nothing in its folder is run."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ...sessions.choices import Runtime
from ...sessions.errors import Misuse, StoreError
from ...sessions.files import content
from ...sessions.records import in_words
from ..machine import processors
from ..protocol import LARGEST_RESULT, RESULT, FinalResult
from ..tasks import cnn
from ..tasks.cnn.layout import Network
from ..tasks.space import InvalidConfig
from . import eight_bits, stored
from .data import pictures
from .data.names import ENDINGS, is_dropping
from .preparing import EIGHT_BITS, Preparing
from .runtime import session

Array = NDArray[np.float32]
Run = Callable[[Array], Array]
"""Images, shape (n, channels, height, width), to logits, shape (n, classes)."""

BATCH = 64
"""Images that a thread tells at once, at most."""
BATCH_NUMBERS = 1 << 22
"""Pixels times channels of them, at most, unless one has more."""
LARGEST_IMAGE = 1 << 30
"""Bytes of a file."""
LARGEST_LEVEL = 1e30
"""Of white: what is made of it still is a float32."""
_NOT_BUILT = (InvalidConfig, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What a configuration raises that no search has made."""


class ModelError(StoreError):
    """A folder with a network that cannot be used; the message says why and what to do."""


class NoModel(ModelError, Misuse):
    """There is no network where one was named, or nothing that runs it."""


@dataclass(frozen=True)
class Told:
    """What is in a file: classes and their probabilities, the most probable first, or why that
    cannot be told.
    """

    file: str
    classes: tuple[tuple[str, float], ...] = ()
    error: str = ""
    missing: bool = False
    """Whether there is no such file."""


@dataclass(frozen=True)
class _Seen:
    """An image that was read."""

    file: str
    pixels: Array


@dataclass(frozen=True)
class Model:
    """A network that was loaded."""

    preparing: Preparing
    run: Run

    @property
    def batch(self) -> int:
        """Images that it is given at once."""
        channels, height, width = self.preparing.shape
        return max(1, min(BATCH, BATCH_NUMBERS // (channels * height * width)))


def load(folder: Path, runtime: Runtime, *, int8: bool = False) -> Model:
    """The network of a folder that `train` has written.

    Only result.json and the weights, or with int8 `network-int8.onnx`, are read, and both are
    checked.  Raises ModelError.
    """
    if not folder.is_dir():
        raise NoModel(f"{folder}: there is no such folder. Name one that `lcsearch train` wrote.")
    if not (folder / RESULT).is_file():
        raise NoModel(f"{folder}: holds no {RESULT}. Name a folder that `lcsearch train` wrote.")
    result, shape = _result(folder / RESULT)
    file = folder / (eight_bits.INT8 if int8 else stored.WEIGHTS)
    try:
        config = cnn.space(shape, len(result.classes), macs_cap=None).validate(result.config)
        laid = cnn.network(config, shape, len(result.classes), result.features)
        if int8:
            run = _in_eight_bits(file, result, laid)
        else:
            weights = stored.read(file, laid)
            run = _by_onnxruntime(laid, weights) if runtime == "onnx" else _by_torch(laid, weights)
    except ImportError as error:
        what, other = f"--runtime {runtime}", "use another"
        if int8:
            what, other = "--int8", "leave it out"
        raise NoModel(
            f"{what}: not installed ({error}). Run pip install 'lcsearch[onnx]', or {other}."
        ) from error
    except OSError as error:
        raise _unusable(file, error.strerror or str(error)) from error
    except stored.NotThese as error:
        raise _unusable(file, str(error)) from error
    except _NOT_BUILT as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise _unusable(folder / RESULT, f"the network in it cannot be built: {why}") from error
    how = Preparing(result.classes, shape, result.prepared, result.levels or EIGHT_BITS)
    return Model(how, run)


def _unusable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path}: {why}. Put the file back that `lcsearch train` wrote there.")


def _result(path: Path) -> tuple[FinalResult, tuple[int, int, int]]:
    """What the file says, and the shape of an image."""
    try:
        result = FinalResult.model_validate_json(content(path, LARGEST_RESULT))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except ValidationError as error:
        raise _unusable(path, in_words(error).rstrip(".")) from error
    if result.shape is None:
        raise ModelError(
            f"{path}: does not say of what shape the images are, so an earlier lcsearch wrote it. "
            "Train again, or use network.py."
        )
    channels, height, width = result.shape
    how = result.prepared
    black, white = result.levels or EIGHT_BITS
    if not -LARGEST_LEVEL < black <= white < LARGEST_LEVEL:
        raise _unusable(path, f"levels = {[black, white]}: no black and white")
    if (
        min(result.shape) < 1
        or channels * height * width > pictures.MOST_PIXELS
        or (how is not None and (how.channels, how.height, how.width) != result.shape)
        or not result.classes
    ):
        raise _unusable(path, f"shape = {list(result.shape)} of {len(result.classes)} classes: "
                        "not that of any image")  # fmt: skip
    return result, result.shape


def _by_torch(network: Network, weights: stored.Stored) -> Run:
    import torch

    from .build import build
    from .portable import Portable, fused

    model = Portable(build(network, 0), weights["mean"].ravel(), weights["std"].ravel()).eval()
    torch.set_num_threads(1)  # `predict` has threads
    model.load_state_dict({name: torch.from_numpy(of) for name, of in weights.items()})
    model.layers = fused(model.layers)

    def run(images: Array) -> Array:
        given = torch.from_numpy(images).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            logits: Array = model(given).numpy()
        return logits

    return run


def _by_onnxruntime(network: Network, weights: stored.Stored) -> Run:
    return _loaded(eight_bits.float_graph(network, weights).SerializeToString())


def _loaded(model: bytes) -> Run:
    loaded = session(model)  # of one thread: `predict` has threads

    def run(images: Array) -> Array:
        logits: Array = loaded.run(None, {"images": images})[0]
        return logits

    return run


def _in_eight_bits(path: Path, result: FinalResult, network: Network) -> Run:
    """The network as `train --int8` wrote it: what stands in the file is checked before it is run.

    Raises NoModel, stored.NotThese, OSError, ImportError.
    """
    made = result.int8
    if made is None:
        raise NoModel(
            f"{path.parent}: was trained without --int8. Leave --int8 out, or train with it."
        )
    held = content(path, eight_bits.most_bytes(network))
    if len(held) != made.bytes or hashlib.sha256(held).hexdigest() != made.sha256:
        raise stored.NotThese(f"this is not the file that {RESULT} speaks of")
    try:
        eight_bits.check(held, network)
        return _loaded(held)
    except ImportError:
        raise
    except Exception as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise stored.NotThese(f"this is no network of ours: {why}") from error


def files(
    paths: Iterable[Path], passed: Callable[[Path, int], None] | None = None
) -> Iterator[Path | Told]:
    """Files as they are named, and all image files of folders, by name.

    What is in no folder that can be looked into is told instead.  No link to a folder is followed.
    passed: told of each folder how many files in it are no images by their names, if any.
    """
    for path in paths:
        if path.is_dir():
            yield from _within(path, passed)
        else:
            yield path


def _within(folder: Path, passed: Callable[[Path, int], None] | None) -> Iterator[Path | Told]:
    errors: list[OSError] = []
    found, others = False, 0
    for place, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not is_dropping(name))
        for name in sorted(names):
            if is_dropping(name):
                continue
            if name.rpartition(".")[2].lower() in ENDINGS:
                found = True
                yield Path(place, name)
            else:
                others += 1
    for error in errors:
        yield Told(str(error.filename), error=f"cannot be looked into ({error.strerror})")
    if not found and not errors:
        yield Told(str(folder), error="holds no images")
    if others and passed is not None:
        passed(folder, others)


def predict(model: Model, wanted: Iterable[Path | Told], top: int) -> Iterator[Told]:
    """What is in these files, in their order: the `top` most probable classes of each.

    Several threads read and tell some each, so that none waits for another within a batch.
    Raises ModelError.
    """
    waiting = iter(wanted)
    ahead: deque[Future[list[Told]]] = deque()
    with ThreadPoolExecutor(processors()) as pool:
        while (part := list(islice(waiting, model.batch))) or ahead:
            if part:
                ahead.append(pool.submit(_told, model, part, top))
            if not part or len(ahead) > 2 * processors():
                yield from ahead.popleft().result()


def _told(model: Model, part: Sequence[Path | Told], top: int) -> list[Told]:
    read = [_read(path, model.preparing) for path in part]
    seen = [image.pixels for image in read if isinstance(image, _Seen)]
    rows = iter(_probabilities(model, np.stack(seen)) if seen else np.empty((0, 0)))
    return [image if isinstance(image, Told) else _named(model, image, next(rows), top)
            for image in read]  # fmt: skip


def _named(model: Model, image: _Seen, row: NDArray[np.float64], top: int) -> Told:
    names = model.preparing.classes
    order = np.argsort(-row, kind="stable")[:top]
    return Told(image.file, tuple((names[number], float(row[number])) for number in order))


def _read(path: Path | Told, preparing: Preparing) -> _Seen | Told:
    if isinstance(path, Told):
        return path
    try:
        return _Seen(str(path), preparing.pixels_of(_content(path)))
    except FileNotFoundError:
        return Told(str(path), error="there is no such file", missing=True)
    except OSError as error:
        return Told(str(path), error=f"cannot be read ({error.strerror})")
    except pictures.Broken as error:
        return Told(str(path), error=str(error))


def _content(path: Path) -> bytes:
    """Of a file that is one: reading a device or a pipe might never end.

    Raises OSError, pictures.Broken.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise pictures.Broken("is no file")
    if found.st_size > LARGEST_IMAGE:
        raise pictures.Broken("is larger than 1 GB")
    return path.read_bytes()


def _probabilities(model: Model, images: Array) -> NDArray[np.float64]:
    """Shape (n, classes)."""
    logits = model.run(images).astype(np.float64)
    if not np.isfinite(logits).all():
        raise ModelError(
            "the network gives what is no number: its weights are damaged. Put the files back that "
            "`lcsearch train` wrote."
        )
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return found
