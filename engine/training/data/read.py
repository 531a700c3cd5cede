"""Reads the data of a search, splits them, and says what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import DataSource, DataSummary
from ....sessions.text import printable
from . import first
from .face import DataError, Known, Labels, Numbers, Progress, Source, Split
from .registry import KINDS, opened, place_of
from .splits import (
    PART,
    digests_of,
    drawn,
    moments,
    of_several_labels,
    rest,
    twins_of,
)

__all__ = ["PART", "TEST_FRACTION", "Data", "read", "read_final"]

TEST_FRACTION = 0.2
"""Share that data without a test set of their own give up for it."""
UNEQUAL = 3.0
"""The largest class over the smallest from which it is told."""


@dataclass(frozen=True)
class Data:
    """What a search trains on.  mean, std: shape (channels,), of the training split alone.

    pool: images as they were stored; the splits are numbers of them, so that nothing is held
    twice.  train_numbers, val_numbers: shape (n,), rising.  validated: of the training split, what
    a search validates on, where `read_final` put both together.
    """

    summary: DataSummary
    pool: Split
    train_numbers: Numbers
    val_numbers: Numbers
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    validated: Numbers = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def train(self) -> Split:
        """The training split: a copy."""
        return self.pool.take(self.train_numbers)

    @property
    def val(self) -> Split:
        """The validation split: a copy."""
        return self.pool.take(self.val_numbers)


@dataclass(frozen=True)
class _Found:
    """What a source holds, divided.  kept, held_out: numbers of the pool's images of either split;
    test: apart, or numbers of them too.
    """

    pool: Split
    kept: Numbers
    held_out: Numbers
    test: Split | Numbers
    names: tuple[str, ...]
    classes: int
    notes: tuple[str, ...] = ()
    source: Source | None = None

    @property
    def known(self) -> Known | None:
        return None if self.source is None else self.source.known

    def summary(self) -> DataSummary:
        """Counts, shape and fingerprint."""
        _, channels, height, width = self.pool.images.shape
        test_labels = (
            self.test.labels if isinstance(self.test, Split) else self.pool.labels[self.test]
        )
        counts = {
            name: tuple(np.bincount(labels, minlength=self.classes).tolist())
            for name, labels in (
                ("train", self.pool.labels[self.kept]),
                ("val", self.pool.labels[self.held_out]),
                ("test", test_labels),
            )
        }
        return DataSummary(
            channels=channels,
            height=height,
            width=width,
            classes=self.classes,
            train=len(self.kept),
            val=len(self.held_out),
            test=len(self.test),
            fingerprint=self._fingerprint(),
            names=self.names,
            counts=counts if self.source is not None else {},
            notes=tuple(map(printable, self.notes)),
            broken=0 if self.source is None else self.source.broken,
            prepared=None if self.source is None else self.source.prepared,
        )

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        images: NDArray[Any] = self.pool.images
        if self.known is not None:  # what the cache knows of each image stands for it
            digest.update(f"{images.dtype.str}{images.shape[1:]}".encode())
            images = self.known.digests
        arrays = images, self.pool.labels, self.kept, self.held_out
        for array in arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def read(source: DataSource, progress: Progress | None = None) -> Data:
    """Read and split the data of a search; the test set is checked and counted, not used.

    progress: told how many image files are read, where that takes time.  Raises DataError.
    """
    found = _found(source, progress)
    for name, part in (("training", found.kept), ("validation", found.held_out)):
        counts = np.bincount(found.pool.labels[part], minlength=found.classes)
        lacking = np.flatnonzero(counts == 0)
        # what is lacking in a split that came so has been told
        if len(lacking) and (name == "training" or source.reader == 1):
            label = int(lacking[0])
            if source.drop_leaks and source.train_size is None:
                raise DataError(
                    f"{source.spec}: without what leaks (--drop-leaks) the {name} split has no "
                    f"image of class {found.names[label] if found.names else label}. Leave the "
                    "option out, or add images."
                )
            raise DataError(
                f"{source.spec}: the {name} split of {len(part)} images has none of class "
                f"{found.names[label] if found.names else label}. Take more images (a larger "
                f"train_size) or another val_fraction (now {source.val_fraction:g})."
            )
    mean, std = moments(found.pool.images, found.kept, found.known)
    return Data(found.summary(), found.pool, found.kept, found.held_out, mean, std)


def read_final(source: DataSource) -> tuple[Data, Split]:
    """What the end of a search trains on, and the test set; nothing else may call this.

    `train` holds the training and the validation images together, `val` none.  The fingerprint
    is that of `read`, so that it tells whether the data are the search's.  Raises DataError.
    """
    found = _found(source, None)
    every = np.union1d(found.kept, found.held_out)
    mean, std = moments(found.pool.images, every, found.known)
    test = found.test if isinstance(found.test, Split) else found.pool.take(found.test)
    none = np.empty(0, np.int64)
    return Data(found.summary(), found.pool, every, none, mean, std, found.held_out), test


def _found(source: DataSource, progress: Progress | None) -> _Found:
    if source.reader == 1:
        return _found_at_first(source)
    return _Division(source, opened(source, progress)).found()


def _found_at_first(source: DataSource) -> _Found:
    """As reader 1 found and divided it."""
    kind, path = place_of(source)
    every: Split
    test: Split | None
    if kind in ("npz", "folder"):
        every, test = {"npz": first.npz, "folder": first.folder}[kind](path)
    else:
        plain = KINDS[kind].read(path, source)
        assert isinstance(plain, Source)
        assert plain.test is None or isinstance(plain.test, Split)
        every, test = plain.pool, plain.test
    pool, test = (every, test) if test is not None else _give_up_test(every, source)
    classes = first.check(pool, test, source.spec)
    if source.train_size not in (None, len(pool)):
        pool = pool.take(drawn(pool.labels, _size(source, len(pool)), source.seed))
    held_out = drawn(pool.labels, round(source.val_fraction * len(pool)), source.seed)
    return _Found(pool, rest(held_out, len(pool)), held_out, test, (), classes)


def _give_up_test(every: Split, source: DataSource) -> tuple[Split, Split]:
    """A fifth of every class, for data that bring no test set."""
    taken = drawn(every.labels, round(TEST_FRACTION * len(every)), source.seed)
    pool, test = every.take(rest(taken, len(every))), every.take(taken)
    classes = int(every.labels.max()) + 1
    for name, part in (("training", pool), ("test", test)):
        counts = np.bincount(part.labels, minlength=classes)
        if not counts.all():
            raise DataError(
                f"{source.spec}: class {int(counts.argmin())} has too few images: a fifth goes to "
                f"the test set, and the {name} set has none. Add images of that class."
            )
    return pool, test


def _size(source: DataSource, there: int) -> int:
    """The images to take before the split.  Raises DataError for more than there are."""
    size = source.train_size
    if size is None:
        return there
    if size > there:
        raise DataError(
            f"train_size = {size}: {source.spec} has only {there} images to train on. "
            f"Take {there} or fewer, or leave it out."
        )
    return size


class _Division:
    """The splits of what a reader found, and what there is to say about them."""

    def __init__(self, source: DataSource, found: Source) -> None:
        self.source = source
        self.found_source = found
        self.notes = list(found.notes)
        self.pool = found.pool
        count = len(found.pool)
        tests = found.test if isinstance(found.test, np.ndarray) else np.empty(0, np.int64)
        self.used = rest(tests, count)
        """Numbers of what is not the test set, at first."""
        known = found.known
        self.digests = digests_of(found.pool.images) if known is None else known.digests
        self.twins = twins_of(self.digests)

    def found(self) -> _Found:
        """The whole of it.  Raises DataError."""
        source, given = self.source, self.found_source
        test = given.test
        if test is None:
            test = self._drawn_test()
        self.used = np.setdiff1d(self.used, test if not isinstance(test, Split) else ())
        self._look_for_leaks(test)
        held_out = np.intersect1d(given.val, self.used) if given.val is not None else None
        self.used, held_out = self._subset(held_out)
        if held_out is None:
            of = digests_of(test.images) if isinstance(test, Split) else self.digests[test]
            free = self._without_twins_of(self.used, of)
            count = round(source.val_fraction * len(self.used))
            held_out = self._drawn_from(free, count, "validation")
        kept = np.setdiff1d(self.used, held_out, assume_unique=True)
        self._say_classes(kept)
        return self._compact(kept, held_out, test)

    def _labels(self, numbers: Numbers) -> Labels:
        return self.pool.labels[numbers]

    def _twins(self, numbers: Numbers) -> Numbers | None:
        """Groups of identical ones among these images."""
        return None if self.twins is None else twins_of(self.digests[numbers])

    def _drawn_from(self, numbers: Numbers, count: int, name: str) -> Numbers:
        """A split drawn from these images, no class without one.  Raises DataError."""
        labels = self._labels(numbers)
        taken = numbers[:0]
        if len(numbers):
            count = min(count, len(numbers))
            twins = self._twins(numbers)
            taken = numbers[drawn(labels, count, self.source.seed, twins, each=True)]
        if not len(taken):
            raise DataError(
                f"{self.source.spec}: {self._different(numbers)} are too few to draw a {name} "
                "split from. Add images."
            )
        lacking = np.setdiff1d(labels, self._labels(taken))
        if len(lacking):
            self.notes.append(
                f"The {name} split has none of {self._some_names(lacking)}: too few different "
                "images."
            )
        return taken

    def _without_twins_of(self, numbers: Numbers, digests: NDArray[np.uint64]) -> Numbers:
        """Without images that are in another split too: none of them goes into one we draw."""
        return numbers[~np.isin(self.digests[numbers], digests)]

    def _different(self, numbers: Numbers) -> str:
        """So many images, and how many of them differ."""
        distinct = len(np.unique(self.digests[numbers]))
        copies = f", {distinct:,} of them different," if distinct < len(numbers) else ""
        return f"{len(numbers):,} images{copies}"

    def _drawn_test(self) -> Numbers:
        val = self.found_source.val
        free = self.used if val is None else np.setdiff1d(self.used, val)
        if val is not None:
            free = self._without_twins_of(free, self.digests[val])
        test = self._drawn_from(free, round(TEST_FRACTION * len(free)), "test")
        self.notes.append(
            f"No test set there: {len(test):,} of {len(free):,} images ({TEST_FRACTION:.0%}) are "
            "kept for it, and none of them is trained on."
        )
        return test

    def _look_for_leaks(self, test: Split | Numbers) -> None:
        """Identical images in several splits that came so, and under several labels."""
        given = self.found_source
        torn = int(of_several_labels(self.pool.labels, self.twins)[self.used].sum())
        if torn:
            self.notes.append(
                f"{torn:,} images stand under more than one label: identical ones with different "
                "labels."
            )
        if isinstance(test, Split):
            torn = self._torn_across(test)
            if torn:
                self.notes.append(
                    f"{torn:,} test images stand in the training images too, under another label."
                )
        train = self.used if given.val is None else np.setdiff1d(self.used, given.val)
        leaks = np.zeros(len(train), bool)
        others: list[tuple[str, NDArray[np.uint64]]] = []
        if given.val is not None:
            others.append(("validation", self.digests[given.val]))
        if given.test is not None:
            of = digests_of(test.images) if isinstance(test, Split) else self.digests[test]
            others.append(("test", of))
        for name, digests in others:
            straddling = np.isin(self.digests[train], digests)
            leaks |= straddling
            if straddling.any():
                done = (
                    "left out of the training images"
                    if self.source.drop_leaks
                    else "--drop-leaks leaves them out"
                )
                self.notes.append(
                    f"{int(straddling.sum()):,} training images are {name} images too: {done}."
                )
        if len(others) == 2:
            both = int(np.isin(others[0][1], others[1][1]).sum())
            if both:
                self.notes.append(f"{both:,} validation images are test images too.")
        if self.source.drop_leaks:
            self.used = np.setdiff1d(self.used, train[leaks])

    def _torn_across(self, test: Split) -> int:
        """Test images that are others too, under another label."""
        order = np.argsort(self.digests, kind="stable")
        rising = self.digests[order]
        digests = digests_of(test.images)
        at = np.minimum(np.searchsorted(rising, digests), len(rising) - 1)
        same = rising[at] == digests
        return int((same & (self.pool.labels[order[at]] != test.labels)).sum())

    def _subset(self, held_out: Numbers | None) -> tuple[Numbers, Numbers | None]:
        """As many images as were asked for: of train and val in proportion, where val came so."""
        size = _size(self.source, len(self.used))
        if size == len(self.used):
            return self.used, held_out
        self.notes.append(
            f"{size:,} of the {len(self.used):,} images outside the test set are used "
            f"(train_size), {len(self.used) - size:,} are left aside. A final training may take "
            "all."
        )
        if held_out is None:
            return self.used[drawn(self._labels(self.used), size, self.source.seed)], None
        train = np.setdiff1d(self.used, held_out)
        of_val = max(1, round(size * len(held_out) / len(self.used)))
        seed = self.source.seed
        train = train[drawn(self._labels(train), size - of_val, seed)]
        held_out = held_out[drawn(self._labels(held_out), of_val, seed)]
        return np.union1d(train, held_out), held_out

    def _say_classes(self, kept: Numbers) -> None:
        names = self.found_source.names
        if self.twins is not None:
            double = len(self.used) - len(np.unique(self.twins[self.used]))
            if double:
                self.notes.append(
                    f"{double:,} images are copies of others; copies stay in one split where "
                    "splits are drawn."
                )
        counts = np.bincount(self._labels(kept), minlength=len(names))
        if counts.min() > 0 and counts.max() / counts.min() >= UNEQUAL:
            most, least = int(counts.argmax()), int(counts.argmin())
            self.notes.append(
                f"Classes are unequal: {names[most]} has {counts[most]:,} training images, "
                f"{names[least]} {counts[least]:,}, {counts[most] / counts[least]:.1f} times "
                "fewer. --metric balanced counts every class alike."
            )

    def _some_names(self, labels: Sequence[int] | NDArray[np.int64]) -> str:
        """The first classes by name, and how many more."""
        names = [self.found_source.names[int(label)] for label in labels]
        more = f" and {len(names) - 5} more classes" if len(names) > 5 else ""
        return f"class{'es' if len(names) > 1 else ''} {', '.join(names[:5])}{more}"

    def _compact(self, kept: Numbers, held_out: Numbers, test: Split | Numbers) -> _Found:
        """What is in memory holds no images that nobody uses; what is on the disk stays there."""
        given, pool = self.found_source, self.pool
        if given.known is None and len(self.used) < len(pool):
            if not isinstance(test, Split):
                test = pool.take(test)
            pool = pool.take(self.used)
            kept, held_out = (np.searchsorted(self.used, of) for of in (kept, held_out))
        return _Found(
            pool, kept, held_out, test, given.names, len(given.names), tuple(self.notes), given
        )
