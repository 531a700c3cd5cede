"""What can be asked of images: what a data set holds, what the cache keeps, what was misread."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ...sessions.records import READER, DataSource
from ..executors.devices import Cancelled, Progress, probe
from ..protocol import Ready, Refused

if TYPE_CHECKING:
    from ..training.data.cache import Entry

__all__ = [
    "Cancelled",
    "Progress",
    "SetupError",
    "as_read_now",
    "cached",
    "clear_cached",
    "known_data",
    "look",
    "misread",
]


class SetupError(Exception):
    """A session that cannot be set up as asked; the message is fit for its user.

    misuse: whether a value given cannot be used at all.
    """

    def __init__(self, words: str, *, misuse: bool = False) -> None:
        super().__init__(words)
        self.misuse = misuse


def known_data() -> tuple[str, ...]:
    """How each kind of data set is written: `digits`, `folder:DIR`, ..."""
    from ..training.data import KNOWN

    return KNOWN


def as_read_now(data: DataSource) -> DataSource:
    """By today's reader, with a path that holds wherever the engine runs."""
    kind, _, path = data.spec.partition(":")
    spec = data.spec
    if path and any(form.startswith(f"{kind}:") for form in known_data()):
        spec = f"{kind}:{Path(path).expanduser().absolute()}"
    return data.model_copy(update={"spec": spec, "reader": READER})


def look(
    data: DataSource,
    progress: Progress | None = None,
    cancelled: threading.Event | None = None,
) -> Ready:
    """What a data set holds and what would be done to its images, with an image of each class.

    Reads as a session would, which then need not read again.  progress, cancelled: see `probe`.
    Raises SetupError; Cancelled where that was set.
    """
    answer = probe(as_read_now(data), progress, cancelled, pictures=True)
    if isinstance(answer, Refused):
        raise SetupError(answer.message, misuse=answer.misuse)
    return answer


def misread(data: DataSource) -> tuple[str, ...]:
    """What an earlier reader, which a session keeps, takes otherwise than is meant; sentences."""
    if data.reader != 1 or not data.spec.startswith("folder:"):
        return ()
    from ..training.data.first import warnings

    return warnings(data)


def cached(home: Path) -> list[Entry]:
    """The data sets whose images are kept, ready to be trained on; the one used last first."""
    from ..training.data.cache import entries

    return entries(home)


def clear_cached(home: Path) -> tuple[int, int]:
    """Remove them, but for those that are being written: how many, and their bytes.

    Whoever needs one later reads its files again.  Raises OSError.
    """
    from ..training.data.cache import clear

    return clear(home)
