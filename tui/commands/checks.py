"""Checks of the machine that `lcsearch doctor` prints."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from ...engine.client.images import cached
from ...engine.executors.devices import devices_here
from ...sessions import store
from ...sessions.errors import StoreError
from ...sessions.places import home, names, network_file_system
from ...sessions.schema import OLDEST_SQLITE

ENOUGH_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Check:
    """One thing looked at: whether it is good, and what was found."""

    good: bool
    what: str
    found: str


def examine() -> Iterator[Check]:
    """Look at everything that a search stands on."""
    yield Check(sys.version_info >= (3, 11), "Python", platform.python_version())
    yield Check(
        sqlite3.sqlite_version_info >= OLDEST_SQLITE,
        "SQLite",
        f"{sqlite3.sqlite_version} (3.35 or newer is needed)",
    )
    for package in ("torch", "torchvision", "scikit-learn", "numpy", "textual"):
        try:
            yield Check(True, package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Check(False, package, f"not installed. Run pip install {package}.")
    try:
        yield Check(True, "ray", importlib.metadata.version("ray"))
    except importlib.metadata.PackageNotFoundError:
        yield Check(True, "ray", "not installed (for a cluster: pip install 'lcsearch[ray]')")
    yield Check(True, "processors", str(os.cpu_count()))
    yield _devices()
    root = home()
    network = network_file_system(root if root.exists() else root.parent)
    yield Check(
        network is None,
        "sessions",
        f"{root}"
        if network is None
        else f"{root} is on a network file system ({network}). Set LCSEARCH_HOME to a local one.",
    )
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            free = shutil.disk_usage(root).free
        yield Check(free > ENOUGH_BYTES, "disk", f"{free / 1e9:.1f} GB free")
    except OSError as error:
        yield Check(False, "disk", f"{root}: cannot be written ({error.strerror})")
    kept = cached(root)
    size = sum(entry.size for entry in kept)
    yield Check(
        True,
        "cache",
        f"{size / 1e6:,.0f} MB of images that were read, {len(kept)} data "
        f"set{'' if len(kept) == 1 else 's'} (lcsearch cache)",
    )
    for name in names(root):
        try:
            store.Store(root / "sessions" / name).close()
        except StoreError as error:
            yield Check(False, f"session {name}", str(error))
        else:
            yield Check(True, f"session {name}", "sound")


def _devices() -> Check:
    """What trials can be trained on."""
    try:
        return Check(True, "devices", "; ".join(devices_here()))
    except StoreError as error:
        return Check(False, "devices", str(error))
