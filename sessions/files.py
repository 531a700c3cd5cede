"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import Misuse, StoreError


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises Misuse where there is no folder for it, StoreError where it cannot be written.
    """
    try:
        if path.is_dir():
            raise Misuse(f"{path}: is a folder. Give a file in it.")
        if not path.parent.is_dir():
            raise Misuse(f"{path.parent}: there is no such folder. Make it first.")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}).") from error
