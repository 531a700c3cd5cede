"""Image files in a .zip or .tar file, read in place: nothing is unpacked."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ....sessions.records import DataSource
from .face import Content, DataError, Listing
from .files import LARGEST_FILE
from .tree import File, listed

MOST_FILES = 5_000_000
MOST_GROWTH = 200
"""Times its own size that an archive's content may have: images hardly shrink in one."""
LATEST = 1e11
"""Seconds of a time that a file in an archive may have."""
FREE_BYTES = 1 << 30
"""Content up to which no growth is refused."""

_DAMAGED = (
    zipfile.BadZipFile,
    UnicodeDecodeError,
    NotImplementedError,  # a way to compress that is not known here
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,
)


def read(path: Path, source: DataSource) -> Listing:
    """The images of an archive.  Raises DataError."""
    try:
        if zipfile.is_zipfile(path):
            return _zip(path, source)
        if tarfile.is_tarfile(path):
            return _tar(path, source)
    except _DAMAGED as error:
        raise DataError(
            f"{source.spec}: cannot be read ({error}). Fetch the file again."
        ) from error
    raise DataError(
        f"{source.spec}: is neither a folder nor a .zip or .tar file. Name a folder with a folder "
        "a class, or an archive of one."
    )


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a member, whichever separator they were written with."""
    return tuple(p for p in PurePosixPath(name.replace("\\", "/")).parts if p != ".")


class _Guard:
    """Refuses an archive that is made to do harm, before anything of it is read."""

    def __init__(self, path: Path, spec: str) -> None:
        self.spec = spec
        self.most = max(FREE_BYTES, MOST_GROWTH * path.stat().st_size)
        self.count = self.size = 0

    def parts(self, name: str, size: int) -> tuple[str, ...]:
        """The folders and the name of a member.  Raises DataError."""
        plain = name.replace("\\", "/")
        parts = _parts(name)
        if ".." in parts or plain.startswith("/") or (parts and parts[0].endswith(":")):
            raise DataError(
                f"{self.spec}: holds a file whose name leads out of it, {name[:80]!r}. Such an "
                "archive is not read: make it anew."
            )
        self.count += 1
        self.size += size
        if self.count > MOST_FILES or self.size > self.most:
            what = (
                f"more than {MOST_FILES:,} files"
                if self.count > MOST_FILES
                else f"more than {self.most / 1e9:,.0f} GB in a file of "
                f"{self.most / MOST_GROWTH / 1e6:,.0f} MB"
            )
            raise DataError(
                f"{self.spec}: would unpack to {what}. Such an archive is not read: unpack it "
                "yourself if you trust it, and name the folder."
            )
        return parts


def _zip(path: Path, source: DataSource) -> Listing:
    guard = _Guard(path, source.spec)
    members: dict[tuple[str, ...], zipfile.ZipInfo] = {}
    folders = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            parts = guard.parts(member.filename, member.file_size)
            if member.is_dir():
                folders.append(parts)
            elif member.flag_bits & 1:
                raise DataError(f"{source.spec}: is encrypted. Unpack it, and name the folder.")
            elif parts and not stat.S_ISLNK(member.external_attr >> 16):
                members[parts] = member
    files = [File(parts, m.file_size, m.CRC) for parts, m in sorted(members.items())]

    def contents(wanted: Sequence[File]) -> Iterator[Content]:
        with zipfile.ZipFile(path) as archive:
            for file in wanted:
                try:
                    with archive.open(members[file.parts]) as opened:
                        yield opened.read(LARGEST_FILE)
                except _DAMAGED as error:
                    yield OSError(str(error))

    return listed(source.spec, files, folders, contents)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One after another; the archive's own iterator keeps every one."""
    while (member := archive.next()) is not None:
        yield member
        archive.members.clear()  # type: ignore[attr-defined]  # its stub has none


def _tar(path: Path, source: DataSource) -> Listing:
    guard = _Guard(path, source.spec)
    files: list[File] = []
    folders = []
    links = 0
    written = path.stat().st_mtime_ns
    with tarfile.open(path) as archive:
        for member in _members(archive):
            parts = guard.parts(member.name, member.size)
            if member.isdir():
                folders.append(parts)
            elif member.isreg() and parts:
                files.append(
                    File(parts, member.size, written + int(min(abs(member.mtime), LATEST)))
                )
            elif not member.isreg():
                links += 1
    notes = [f"Left out: {links:,} links and other entries that are no files."] if links else []

    def contents(wanted: Sequence[File]) -> Iterator[Content]:
        """In the order of the archive: a compressed one cannot be read in another."""
        left = iter(wanted)
        file = next(left, None)
        with tarfile.open(path) as archive:
            for member in _members(archive):
                if file is None:
                    return
                if _parts(member.name) == file.parts and member.isreg():
                    opened = archive.extractfile(member)
                    assert opened is not None
                    yield opened.read(LARGEST_FILE)
                    file = next(left, None)
        while file is not None:
            yield OSError("is not in the archive any more")
            file = next(left, None)

    return listed(source.spec, files, folders, contents, notes=notes)
