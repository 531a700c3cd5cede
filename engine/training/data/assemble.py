"""Image files become the images of a search: looked at, read by several processes, kept."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import DataSource, Preparation
from ...machine import processors
from . import cache, fit
from .face import Content, DataError, Known, Listing, Progress, Source, Split
from .files import HEAD_BYTES, LARGEST_FILE, contents
from .labels import Numbered, numbered
from .pictures import Broken, Look, look, picture
from .splits import digest_of

FEW = 400
"""Files up to which other processes cost more time than they save."""
BATCH = 64
"""Files given to a process at a time, and at most this many bytes of them:"""
BATCH_BYTES = 8_000_000
SHOWN = 10
"""Broken files that are named."""

Result = TypeVar("Result")


def assembled(listing: Listing, source: DataSource, progress: Progress | None) -> Source:
    """The images of a listing, all of one size, from the cache or by way of it.

    Raises DataError.
    """
    progress = progress or (lambda done, total: None)
    total = len(listing.pictures)
    everything = range(total)
    _labelled(listing, everything)  # wrong labels are told before hours are spent on images
    place = cache.Place(listing, source)
    stored = place.stored()
    if stored is None:
        with place.locked(lambda: progress(0, total)):
            stored = place.stored()  # perhaps somebody else has just filled it
            if stored is None:
                _Filling(listing, source, place, progress).fill()
                stored = place.stored()
    if stored is None:
        raise DataError(
            f"{source.spec}: files changed while they were read. Wait until they are all there."
        )
    rows = stored.rows.tolist()
    labels = _labelled(listing, rows)
    where = {
        name: np.array(
            [at for at, row in enumerate(rows) if _split(listing, row) == name], np.int64
        )
        for name in ("train", "val", "test")
    }
    every = np.empty(len(rows), np.int64)
    for name, of in labels.labels.items():
        every[where[name]] = of
    return Source(
        Split(stored.images, every),
        labels.names,
        where["val"] if len(where["val"]) else None,
        where["test"] if len(where["test"]) else None,
        (*listing.notes, *stored.notes, *labels.notes),
        stored.broken,
        stored.prepared,
        stored.known,
    )


def _split(listing: Listing, number: int) -> str:
    return listing.pictures[number].split or "train"


def _labelled(listing: Listing, numbers: Sequence[int]) -> Numbered:
    words: dict[str, list[str]] = {}
    for number in numbers:
        words.setdefault(_split(listing, number), []).append(listing.pictures[number].label)
    if "train" not in words:
        raise DataError(
            f"{listing.where}: has no training images. Needed are images in a train split, or "
            "images without splits."
        )
    parts = {name: np.array(of) for name, of in words.items()}
    return numbered(parts, listing.where, listing.names)


@dataclass(frozen=True)
class _Batch:
    """What one process made of some files, in their order.

    pixels: of the sound ones, shape (n, channels, height, width).  broken: place in the batch ->
    why.  contents, digests: of the files, and of the pixels of the sound ones.  sums: see `Known`.
    """

    pixels: NDArray[np.uint8]
    broken: dict[int, str]
    contents: list[int]
    digests: list[int]
    sums: NDArray[np.int64]


def _on_files(
    work: Callable[..., Result], paths: Sequence[str], most: int, *more: object
) -> Result:
    """What `work` makes of the contents of these files."""
    return work(contents(paths, most), *more)


def _looks(contents: Iterable[Content], most: int) -> list[Look | str]:
    """What each file is, or why it is none.  most: bytes of each that are there, if it has more."""
    found: list[Look | str] = []
    for content in contents:
        try:
            read = _bytes(content)
            found.append(look(read, len(read) < most))
        except Broken as error:
            found.append(str(error))
    return found


def _bytes(content: Content) -> bytes:
    if isinstance(content, OSError):
        raise Broken(f"cannot be opened: {content.strerror or content}")
    return content


def _prepared(contents: Iterable[Content], how: Preparation) -> _Batch:
    pixels, broken, digests, digests_of_contents = [], {}, [], []
    for at, content in enumerate(contents):
        digests_of_contents.append(0 if isinstance(content, OSError) else digest_of(content))
        try:
            pixels.append(picture(_bytes(content), how))
        except Broken as error:
            broken[at] = str(error)
        else:
            digests.append(digest_of(pixels[-1].data))
    shape = len(pixels), how.channels, how.height, how.width
    made = np.stack(pixels) if pixels else np.empty(shape, np.uint8)
    flat = made.reshape(*shape[:2], how.height * how.width)
    squares = np.square(flat, dtype=np.uint16)  # 255 squared is the most that it holds
    sums = np.stack([flat.sum(2, dtype=np.int64), squares.sum(2, dtype=np.int64)], axis=2)
    return _Batch(made, broken, digests_of_contents, digests, sums)


class _Filling:
    """Reads a listing into the cache."""

    def __init__(
        self, listing: Listing, source: DataSource, place: cache.Place, progress: Progress
    ) -> None:
        self.listing, self.source, self.place = listing, source, place
        self.count = len(listing.pictures)
        self.progress = progress
        self.workers = min(processors(), math.ceil(self.count / BATCH))

    def fill(self) -> None:
        """Raises DataError."""
        try:
            if self.count <= FEW or self.workers < 2:
                self._fill(None)
                return
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(self.workers, context, _end_with_parent) as pool:
                try:
                    self._fill(pool)
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        except BrokenProcessPool as error:
            raise DataError(
                f"{self.source.spec}: a process that reads images was ended, for want of memory "
                "perhaps. Close other programs, and try again."
            ) from error

    def _fill(self, pool: ProcessPoolExecutor | None) -> None:
        self.progress(0, self.count)
        looks = self._looked_at(pool)
        while not self._read(pool, looks):
            pass  # what proved to be broken has no say in how the others are read

    def _read(self, pool: ProcessPoolExecutor | None, looks: list[Look | str]) -> bool:
        """Whether the files are read and kept; what cannot be read is noted in `looks`."""
        sound = [number for number in range(self.count) if isinstance(looks[number], Look)]
        broken = {n: found for n, found in enumerate(looks) if isinstance(found, str)}
        if not sound:
            self._refuse(broken)
        kinds = [found for found in looks if isinstance(found, Look)]
        how = self._preparation(kinds)
        self.place.check_room(len(sound) * how.channels * how.height * how.width)
        rows: list[int] = []
        contents = np.zeros(self.count, np.uint64)
        digests: list[int] = []
        sums: list[NDArray[np.int64]] = []
        with self.place.filling() as part:
            with (part / cache.IMAGES).open("wb") as file:
                reading = self._mapped(pool, _prepared, sound, LARGEST_FILE, how)
                for numbers, batch in reading:
                    file.write(batch.pixels.tobytes())
                    broken |= {numbers[at]: words for at, words in batch.broken.items()}
                    rows += [n for at, n in enumerate(numbers) if at not in batch.broken]
                    contents[numbers] = batch.contents
                    digests += batch.digests
                    sums.append(batch.sums)
                    self.progress(len(rows) + len(broken), self.count)
            if broken and (not self.source.skip_broken or not rows):
                self._refuse(broken)
            for number, words in broken.items():
                looks[number] = words
            kinds = [found for found in looks if isinstance(found, Look)]
            if self._preparation(kinds) != how:
                return False
            self.place.keep(
                part,
                np.array(rows, np.int64),
                contents,
                Known(np.array(digests, np.uint64), np.concatenate(sums)),
                how,
                (*self._notes(kinds, how), *self._broken_notes(broken)),
                len(broken),
            )
        return True

    def _looked_at(self, pool: ProcessPoolExecutor | None) -> list[Look | str]:
        """Of every file: what it is, or why it cannot be read."""
        looks: list[Look | str] = [""] * self.count

        def look_at(numbers: Sequence[int], most: int) -> None:
            enough = most if self.listing.paths is not None else LARGEST_FILE
            for some, found in self._mapped(pool, _looks, numbers, most, enough):
                for number, one in zip(some, found, strict=True):
                    looks[number] = one
                self.progress(0, self.count)

        look_at(range(self.count), HEAD_BYTES)
        if self.listing.paths is not None:
            # some headers are longer or stand at the end, and files of over 8 bits are read whole
            again = [n for n, one in enumerate(looks) if isinstance(one, str)]
            look_at(again, LARGEST_FILE)
        return looks

    def _mapped(
        self,
        pool: ProcessPoolExecutor | None,
        work: Callable[..., Result],
        numbers: Sequence[int],
        most: int = LARGEST_FILE,
        *more: object,
    ) -> Iterator[tuple[list[int], Result]]:
        """What `work` makes of the files of these numbers, batch by batch, in order.

        most: bytes of a file that are enough, where it stands by itself.  Such a file is opened by
        the process that works on it; others wait in memory, a few batches at most.
        """
        waiting: deque[tuple[list[int], Future[Result]]] = deque()
        for batch, (function, *given) in self._tasks(work, numbers, most):
            if pool is None:
                yield batch, function(*given, *more)
                continue
            waiting.append((batch, pool.submit(function, *given, *more)))
            if len(waiting) > 2 * self.workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()

    def _tasks(
        self, work: Callable[..., Result], numbers: Sequence[int], most: int
    ) -> Iterator[tuple[list[int], tuple[Any, ...]]]:
        """Some files at a time, and what is to be called for them, with its first arguments."""
        paths = self.listing.paths
        if paths is None:
            for batch, of in _batches(numbers, self.listing.contents(numbers)):
                yield batch, (work, of)
            return
        for start in range(0, len(numbers), BATCH):
            batch = list(numbers[start : start + BATCH])
            yield batch, (_on_files, work, [paths[number] for number in batch], most)

    def _preparation(self, looks: Sequence[Look]) -> Preparation:
        """How these files are read.  Raises DataError where they are large and no size is given."""
        source = self.source
        sizes = {(one.height, one.width) for one in looks}
        if source.image_size is not None:
            height, width = source.image_size
        elif len(sizes) == 1:
            height, width = next(iter(sizes))
            fit.check_small((height, width), source.spec)
        else:
            height, width = fit.suggested([(one.height, one.width) for one in looks])
        background = source.background
        ground_is_grey = background[1:3] == background[3:5] == background[5:7]
        grey = all(one.grey and (ground_is_grey or not one.transparent) for one in looks) and (
            ground_is_grey or source.fit != "pad" or len(sizes) == 1
        )
        return Preparation(
            height=height,
            width=width,
            channels=1 if grey else 3,
            fit=source.fit,
            background=background,
            bits=max(one.bits for one in looks),
        )

    def _notes(self, looks: Sequence[Look], how: Preparation) -> Iterator[str]:
        """What was done to the images, a sentence each."""
        sizes = Counter((one.height, one.width) for one in looks)
        target = how.height, how.width
        aim = f"{how.width}x{how.height}"
        if len(sizes) == 1:
            height, width = next(iter(sizes))
            if (height, width) != target:
                yield f"All images are {width}x{height}: brought to {aim} ({fit.WORDS[how.fit]})."
        else:
            (h1, w1), (h2, w2) = (by(sizes, key=lambda s: s[0] * s[1]) for by in (min, max))
            why = "" if self.source.image_size else ", the median of the shorter sides, at most 64"
            yield (
                f"Images are of {len(sizes):,} sizes, {w1}x{h1} to {w2}x{h2}: brought to {aim}"
                f"{why} ({fit.WORDS[how.fit]}; --image-size, --fit)."
            )
        grey = sum(one.grey for one in looks)
        if how.channels == 3 and grey:
            others = len(looks) - grey
            yield f"{grey:,} grey images are taken for colour ones, like the other {others:,}."
        for count, words in (
            (
                sum(one.transparent for one in looks),
                f"with an alpha channel: laid over {how.background} (--background)",
            ),
            (sum(one.turned for one in looks), "turned as their camera was held (EXIF)"),
            (sum(one.animated for one in looks), "of several frames: the first is taken"),
            (
                sum(one.bits > 8 for one in looks),
                f"of more than 8 bits, {how.bits} of them used: brought to 0 to 255",
            ),
        ):
            if count:
                yield f"{count:,} image{'s are' if count > 1 else ' is'} {words}."

    def _broken_notes(self, broken: dict[int, str]) -> Iterator[str]:
        if broken:
            yield (
                f"Left out: {len(broken):,} file{'s' if len(broken) > 1 else ''} that cannot be "
                f"read, such as {self._named(min(broken), broken)}."
            )

    def _named(self, number: int, broken: dict[int, str]) -> str:
        return f"{self.listing.pictures[number].name} ({broken[number]})"

    def _refuse(self, broken: dict[int, str]) -> None:
        first = sorted(broken)[:SHOWN]
        more = f" and {len(broken) - SHOWN:,} more" if len(broken) > SHOWN else ""
        remedy = (
            "Repair or remove them, or leave them out (--skip-broken)."
            if len(broken) < self.count
            else "None of the files can be read: repair them."
        )
        raise DataError(
            f"{self.source.spec}: {len(broken):,} of {self.count:,} files cannot be used: "
            f"{'; '.join(self._named(number, broken) for number in first)}{more}. {remedy}"
        )


def _batches(
    numbers: Sequence[int], contents: Iterator[Content]
) -> Iterator[tuple[list[int], list[Content]]]:
    batch: list[int] = []
    of: list[Content] = []
    size = 0
    for number, content in zip(numbers, contents, strict=True):
        batch.append(number)
        of.append(content)
        size += 0 if isinstance(content, OSError) else len(content)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch, of
            batch, of, size = [], [], 0
    if batch:
        yield batch, of


def _end_with_parent() -> None:
    """A process that reads images ends with the one that asked, even where that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
