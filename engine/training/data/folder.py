"""Image files in folders, a folder a class; an archive of such is read in place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ....sessions.records import DataSource
from . import archive
from .face import Content, DataError, Listing
from .files import contents
from .tree import File, listed

MOST_LINKS = 1000
"""To folders within the folder: each is followed, and they may lead to each other."""
DEEPEST = 40
"""Folders in folders: none has as many that a person made."""


def read(path: Path, source: DataSource) -> Listing:
    """The images of a folder, or of a .zip or .tar file.  Raises DataError."""
    if path.is_file():
        return archive.read(path, source)
    if not path.is_dir():
        raise DataError(
            f"{source.spec}: there is no such folder. Name one with a folder a class, or a .zip or "
            ".tar.gz file of one."
        )
    files: list[File] = []
    folders: list[tuple[str, ...]] = []
    _walk(path, (), {os.path.realpath(path)}, files, folders, [])

    def reading(wanted: Sequence[File]) -> Iterator[Content]:
        return contents(path / file.name for file in wanted)

    return listed(source.spec, files, folders, reading, root=str(path))


def _walk(
    root: Path,
    parts: tuple[str, ...],
    above: set[str],
    files: list[File],
    folders: list[tuple[str, ...]],
    followed: list[str],
) -> None:
    """All files below, by name.

    above: where the folders on the way really are.  followed: links to folders so far.
    """
    if len(parts) > DEEPEST:
        raise DataError(
            f"{root}: has folders in folders, more than {DEEPEST} deep. Needed is a folder a class."
        )
    place = root.joinpath(*parts)
    try:
        with os.scandir(place) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{place}: cannot be looked into ({error.strerror}). Make it readable, or move it away."
        ) from error
    for entry in entries:
        here = (*parts, entry.name)
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            base = os.path.realpath(root)
            if os.path.commonpath([real, base]) != base:
                raise DataError(
                    f"{entry.path}: is a symbolic link out of the folder, to {real}. Copy the "
                    "files there, or name the folder that they are in."
                )
            if not os.path.exists(real):
                files.append(File(here, 0, 0))  # read and told with the broken ones
                continue
            if real in above:
                continue  # a link to a folder above it: everything there is met anyway
            if entry.is_dir():
                followed.append(entry.path)
                if len(followed) > MOST_LINKS:
                    raise DataError(
                        f"{root}: has more than {MOST_LINKS:,} symbolic links to its own folders, "
                        f"such as {entry.path}. Take them away."
                    )
        if entry.is_dir():
            folders.append(here)
            real = os.path.realpath(entry.path)
            _walk(root, here, above | {real}, files, folders, followed)
        elif entry.is_file():
            status = entry.stat()
            files.append(File(here, status.st_size, status.st_mtime_ns))
