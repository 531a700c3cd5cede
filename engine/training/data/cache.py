"""Where image files are once they are read: a file of pixels that is mapped, not loaded.

One folder an entry, under HOME/cache/images: `images` (uint8, shape (n, channels, height, width)),
`files.npz` (what was read, as it was then) and `entry.json`.  An entry's name comes from what is
read and how, so that sessions share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ....sessions.files import NO_ROOM
from ....sessions.places import home
from ....sessions.records import DataSource, Preparation
from .face import DataError, Known, Listing, Numbers
from .splits import digest_of

VERSION = 1
"""Of an entry's files: another one is not read."""
ROOM_BYTES = 200_000_000
"""Left free on the disk by whoever fills the cache."""
WAIT_SECONDS = 5.0
"""How often whoever waits for another's reading gives a sign of life."""
IMAGES, FILES, ENTRY = "images", "files.npz", "entry.json"


@dataclass(frozen=True)
class Manifest:
    """What the files were when they were read, one entry a picture of the listing.

    names: a digest of all names in order.  sizes: bytes.  stamps: see `Picture`.  contents: a
    digest of each, 0 where it could not be read.
    """

    names: int
    sizes: NDArray[np.int64]
    stamps: NDArray[np.int64]
    contents: NDArray[np.uint64]

    @classmethod
    def of(cls, listing: Listing) -> Manifest:
        """As the files are now, their contents not looked at."""
        pictures = listing.pictures
        return cls(
            digest_of("\0".join(p.name for p in pictures).encode(errors="surrogateescape")),
            np.array([p.size for p in pictures], np.int64),
            np.array([p.stamp for p in pictures], np.int64),
            np.zeros(len(pictures), np.uint64),
        )


@dataclass(frozen=True)
class Stored:
    """Images that are read.

    images: mapped, shape (n, channels, height, width).  rows: the number in the listing of each,
    shape (n,).  notes: what was done to them.  broken: files that could not be read.
    """

    images: NDArray[np.uint8]
    rows: Numbers
    known: Known
    prepared: Preparation
    notes: tuple[str, ...]
    broken: int


@dataclass(frozen=True)
class Entry:
    """What the cache keeps of one data set.

    shape: channels, height and width of its images.  size: bytes on the disk.  used: last.
    """

    path: Path
    spec: str
    images: int
    shape: tuple[int, int, int]
    size: int
    used: datetime


def folder(root: Path) -> Path:
    """Where the entries of a home are."""
    return root / "cache" / "images"


def entries(root: Path) -> list[Entry]:
    """What there is, the one used last first."""
    found = []
    if not folder(root).is_dir():
        return []
    for path in folder(root).iterdir():
        if path.suffix:
            continue  # a lock, or a part of what is being written
        with contextlib.suppress(FileNotFoundError):  # being written, or cleared just now
            found.append(_entry(path))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def _entry(path: Path) -> Entry:
    """Raises FileNotFoundError."""
    file = path / ENTRY
    used = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    size = sum(part.stat().st_size for part in path.iterdir())
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        images, channels, height, width = map(int, told["shape"])
        return Entry(path, str(told["spec"]), images, (channels, height, width), size, used)
    except (ValueError, KeyError, TypeError):
        return Entry(path, "damaged", 0, (0, 0, 0), size, used)


def clear(root: Path) -> tuple[int, int]:
    """Remove every entry that nobody is writing: how many, and their bytes.

    Whoever has one mapped keeps it until he ends; later it is read anew.  Raises OSError.
    """
    count = freed = 0
    if not folder(root).is_dir():
        return 0, 0
    for path in list(folder(root).iterdir()):
        if not path.is_dir():
            continue
        lock = FileLock(_lock(path.with_name(path.name.partition(".")[0])))
        try:
            with lock.acquire(timeout=0):
                size = sum(part.stat().st_size for part in path.iterdir())
                shutil.rmtree(path)
        except Timeout:
            continue  # somebody fills it
        count, freed = count + (not path.suffix), freed + size
    return count, freed


class Place:
    """Where the images of a listing are, or will be, kept."""

    def __init__(self, listing: Listing, source: DataSource) -> None:
        self.listing = listing
        self.now = Manifest.of(listing)
        how = {
            "version": VERSION,
            "spec": source.spec,
            "size": source.image_size,
            "fit": source.fit,
            "background": source.background,
            "skip": source.skip_broken,
            "columns": source.columns,
        }
        name = hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:24]
        self.path = folder(home()) / name
        self.spec = source.spec

    @contextlib.contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """While nobody else fills it.  waiting: called now and then as long as somebody does.

        Raises DataError where nothing can be kept.
        """
        try:
            # the images are their owner's, as the sessions are
            self.path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            with _acquired(FileLock(_lock(self.path)), waiting):
                for left in self.path.parent.glob("*-part"):
                    if left.name.startswith(f"{self.path.name}.") or not _is_written(left):
                        shutil.rmtree(left, ignore_errors=True)  # of one that was ended
                yield
        except OSError as error:
            if error.errno is None:  # of a library: it is not about this place
                raise
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> DataError:
        if error.errno in NO_ROOM:
            remedy = "Make room (`lcsearch cache clear` empties the cache), or take smaller images."
        else:
            remedy = "Make the folder writable, or set LCSEARCH_HOME to another."
        return DataError(f"{self.path.parent}: cannot be used ({error.strerror}). {remedy}")

    def stored(self) -> Stored | None:
        """What is kept, if the files are still those that were read.

        Where a size or a time is another one, the contents are compared.  What is damaged is as
        good as not kept: it is read anew.
        """
        try:
            return self._stored()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None  # damaged
        except OSError as error:
            raise self._refused(error) from error

    def _stored(self) -> Stored | None:
        told = json.loads((self.path / ENTRY).read_text(encoding="utf-8"))
        if told["version"] != VERSION or told["names"] != self.now.names:
            return None
        with np.load(self.path / FILES, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        images = np.memmap(self.path / IMAGES, np.uint8, "r", shape=tuple(told["shape"]))
        found = Stored(
            images,
            arrays["rows"],
            Known(arrays["digests"], arrays["sums"]),
            Preparation.model_validate(told["prepared"]),
            tuple(told["notes"]),
            int(told["broken"]),
        )
        then = Manifest(told["names"], arrays["sizes"], arrays["stamps"], arrays["contents"])
        changed = np.flatnonzero(
            (then.sizes != self.now.sizes) | (then.stamps != self.now.stamps)
        ).tolist()
        if changed and ((then.sizes != self.now.sizes).any() or not self._same(then, changed)):
            return None
        with contextlib.suppress(OSError):  # what cannot be noted is compared again next time
            if changed:
                self._write_files(self.path, arrays | {"stamps": self.now.stamps})
            os.utime(self.path / ENTRY)
        return found

    def _same(self, then: Manifest, changed: list[int]) -> bool:
        contents = self.listing.contents(changed)
        for number, content in zip(changed, contents, strict=True):
            now = 0 if isinstance(content, OSError) else digest_of(content)
            if now != int(then.contents[number]):
                return False
        return True

    def check_room(self, size: int) -> None:
        """Raises DataError where the disk has not this many bytes to spare."""
        free = shutil.disk_usage(self.path.parent).free
        if free < size + ROOM_BYTES:
            raise DataError(
                f"{self.spec}: needs {size / 1e6:,.0f} MB under {self.path.parent}, which has "
                f"{free / 1e6:,.0f} MB free. Make room (`lcsearch cache clear` empties the "
                "cache), or take smaller images (--image-size)."
            )

    @contextlib.contextmanager
    def filling(self) -> Iterator[Path]:
        """A folder to write IMAGES into; it takes its place by `keep`, or is removed."""
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}-part")
        part.mkdir()
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def keep(
        self,
        part: Path,
        rows: Numbers,
        contents: NDArray[np.uint64],
        known: Known,
        prepared: Preparation,
        notes: tuple[str, ...],
        broken: int,
    ) -> None:
        """Put what was written into its place, whole."""
        shape = len(rows), prepared.channels, prepared.height, prepared.width
        arrays: dict[str, NDArray[Any]] = {
            "sizes": self.now.sizes,
            "stamps": self.now.stamps,
            "contents": contents,
            "rows": rows,
            "digests": known.digests,
            "sums": known.sums,
        }
        self._write_files(part, arrays)
        told = {
            "version": VERSION,
            "spec": self.spec,
            "names": self.now.names,
            "shape": shape,
            "prepared": prepared.model_dump(),
            "notes": notes,
            "broken": broken,
        }
        (part / ENTRY).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        if self.path.exists():  # of files that have changed since
            old = self.path.with_name(f"{self.path.name}.old-{os.getpid()}-part")
            self.path.rename(old)
            shutil.rmtree(old)
        part.rename(self.path)

    def _write_files(self, where: Path, arrays: dict[str, NDArray[Any]]) -> None:
        part = where / f"{FILES}.{os.getpid()}"
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes a flag for a name
        part.replace(where / FILES)


@contextlib.contextmanager
def _acquired(lock: FileLock, waiting: Callable[[], None]) -> Iterator[None]:
    while not lock.is_locked:
        try:
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def _is_written(part: Path) -> bool:
    """Whether the process that writes a part is alive; its number is in the name."""
    number = part.name.removesuffix("-part").rpartition(".")[2].removeprefix("old-")
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user
    return True


def _lock(path: Path) -> str:
    return f"{path}.lock"
