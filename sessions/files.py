"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from .errors import Misuse, StoreError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full; a quota is used up; a file may not grow that far."""


def part_of(path: Path) -> Path:
    """What a file of our own folders is written as first: whoever clears up after it finds it."""
    return path.with_name(f"{path.name}.part")


def replace(path: Path, data: bytes | memoryview, part: Path | None = None) -> None:
    """Write a file so that it holds the old content or the new, on the disk, never a part.

    part: where it is written first; None: beside it, under a name that nothing has.  Raises
    OSError, and then nothing of it is left.
    """
    if part is None:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        part = Path(name)
    else:
        handle = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):  # on a full disk its part is in the way
            part.unlink()
        raise


def content(path: Path, most: int) -> bytes:
    """What a file holds, of at most so many bytes.

    Raises OSError where it is a larger one or none: nothing waits for a pipe or reads without end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is no file", str(path))
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, "is larger than it can be", str(path))
    return found


def settle(path: Path) -> None:
    """Have what a file or a folder holds on the disk.  Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises Misuse where there is no folder for it, StoreError where it cannot be written.
    """
    try:
        if path.is_dir():
            raise Misuse(f"{path}: is a folder. Give a file in it.")
        if not path.parent.is_dir():
            raise Misuse(f"{path.parent}: there is no such folder. Make it first.")
        replace(path, data)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}).") from error
