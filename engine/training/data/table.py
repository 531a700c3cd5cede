"""Tables of text: a file name and a label a line, or a label and one pixel a column."""

from __future__ import annotations

import csv
import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....sessions.records import DataSource
from .arrays import check_memory, source_of
from .face import DataError, Listing, Picture, Source, SplitName
from .files import contents_of
from .names import ENDINGS, split_named

LONGEST = 1 << 24
"""Characters of a line: none has more, not even one of pixels."""
TAKEN = 1024
"""Lines of pixels that become an array at a time."""
FEWEST_PIXELS = 16
LONGEST_LABEL = 200
LOOKED_FOR = 50
"""Files that are looked for everywhere; later only where others were found."""
IMAGE_NAMES = (
    "image", "img", "file", "filename", "file_name", "filepath", "file_path", "path",
    "image_path", "img_path", "image_file", "image_name", "img_name", "imagename", "image_id",
    "img_id", "fname", "photo", "picture", "images", "files", "id", "name",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "class_name", "classname", "label_name", "target", "category",
    "category_name", "species", "breed", "diagnosis", "dx", "emotion", "class_id", "label_id",
    "category_id", "classes", "y", "digit",
)  # fmt: skip
SPLIT_NAMES = ("split", "set", "subset", "partition", "usage", "dataset", "data_set", "phase")
"""Columns by their usual names, in small letters, the likeliest first."""
PIXELS = ("pixels", "pixel")
"""A column that holds all pixels of an image, with blanks between."""
OF_CONTESTS: dict[str, SplitName] = {"publictest": "val", "privatetest": "test"}
FOLDERS = (
    "",
    "images",
    "image",
    "imgs",
    "img",
    "train",
    "data",
    "photos",
    "pictures",
    "jpg",
    "jpeg",
)
"""Where files stand whose names in the table say no folder."""

Row = tuple[int, list[str]]
"""Its line, counted from 1, and its cells."""


def read(path: Path, source: DataSource) -> Source | Listing:
    """The images that a table tells of.  Raises DataError."""
    where = source.spec
    if not path.is_file():
        raise DataError(f"{where}: there is no such file. Name a table of text, .csv or .tsv.")
    table = _Table(path, where)
    columns = _Columns(table, source.columns, where)
    return _listing(table, columns, path) if columns.image is not None else _pixels(table, columns)


class _Table:
    """header: names of the columns, their numbers from 1 where the file has none."""

    def __init__(self, path: Path, where: str) -> None:
        self.path, self.where = path, where
        rows = self._all()
        first = next(rows, None)
        if first is None:
            raise DataError(f"{where}: is empty. Needed is a file name and a label a line.")
        self.has_header = not _is_data(first[1])
        self.header = (
            [cell.strip() for cell in first[1]]
            if self.has_header
            else [str(number + 1) for number in range(len(first[1]))]
        )
        if len(self.header) < 2:
            raise DataError(
                f"{where}: its first line has one column only ({self.header[0][:40]}). Needed are "
                "a file name and a label, with commas, semicolons or tabs between."
            )
        self.sample = [first[1]] if not self.has_header else []
        self.sample += [cells for _, cells in islice(rows, 20)]
        if not self.sample:
            raise DataError(f"{where}: has a line of names only, and no images.")

    def rows(self) -> Iterator[Row]:
        """Every line below the names of the columns; each with as many cells.  Raises DataError."""
        rows = self._all()
        if self.has_header:
            next(rows)
        for line, cells in rows:
            if len(cells) != len(self.header):
                raise DataError(
                    f"{self.where}: line {line:,} has {len(cells)} columns, the first one has "
                    f"{len(self.header)}. Correct it."
                )
            yield line, cells

    def _all(self) -> Iterator[Row]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                lines = self._lines(file)
                first = next(lines, "")
                reader = csv.reader(
                    chain([first], lines), delimiter=self._delimiter(first), strict=True
                )
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield reader.line_num, cells
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.where}: is no text in UTF-8 (byte {error.object[error.start]:#x}). Save it "
                "as UTF-8."
            ) from error
        except csv.Error as error:
            raise DataError(f"{self.where}: is no table ({error}). Correct it.") from error
        except OSError as error:
            raise DataError(
                f"{self.where}: cannot be read ({error.strerror}). Make it readable."
            ) from error

    def _lines(self, file: Any) -> Iterator[str]:
        csv.field_size_limit(LONGEST)
        while line := file.readline(LONGEST):
            if "\0" in line:
                raise DataError(f"{self.where}: holds zero bytes: no text, or a damaged file.")
            if len(line) == LONGEST:
                raise DataError(
                    f"{self.where}: has a line of more than {LONGEST:,} characters: no table."
                )
            yield line

    def _delimiter(self, first: str) -> str:
        if self.path.suffix.lower() in (".tsv", ".tab"):
            return "\t"
        return max(",\t;|", key=first.count)


def _is_data(cells: Sequence[str]) -> bool:
    """Whether a first line is an image already: numbers only, or a file of an image in it."""
    if [cell.strip() for cell in cells] in _numbered(len(cells)):
        return False  # columns that a program has numbered
    return all(map(_is_number, cells)) or any(_has_ending(cell) for cell in cells)


def _numbered(count: int) -> list[list[str]]:
    """The names of columns that nobody has named, counted from 0 or 1."""
    return [list(map(str, range(begin, begin + count))) for begin in (0, 1)]


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _has_ending(name: str) -> bool:
    return name.strip().lower().rpartition(".")[2] in ENDINGS and "." in name


@dataclass(frozen=True)
class _Pixels:
    """columns: in the order of the pixels.  shape: height and width, where the names say it."""

    columns: list[int]
    shape: tuple[int, int] | None


class _Columns:
    """What each column of a table is: by the names that were given, its own name, its content.

    label: one column, or several with a single 1 in each line.  image: of file names.
    in_one: has all pixels of an image.
    """

    def __init__(self, table: _Table, given: dict[str, str], where: str) -> None:
        self.table, self.given, self.where = table, given, where
        self.image: int | None = None
        self.in_one: int | None = None
        self.pixels: _Pixels | None = None
        self.split = self._named("split", SPLIT_NAMES, self._tells_splits)
        self.unused_split = next(
            (name for name in table.header if name.lower() == "split" and self.split is None), None
        )
        image = self._named("image", (), lambda _: True)
        if image is None:
            self.in_one = next((c for c in self._free() if self._lower(c) in PIXELS), None)
            if self.in_one is None and not any(map(self._is_of_files, self._free())):
                self.pixels = self._many()
            if self.in_one is None and self.pixels is None:
                image = self._of_files()
        elif not self._is_of_files(image) and _is_number(table.sample[0][image].split(" ")[0]):
            self.in_one, image = image, None
        self.image = image
        self.label = self._labels()

    def notes(self) -> Iterator[str]:
        """Which column was taken for what."""
        names = self.table.header
        if not self.table.has_header:
            yield "The table has no line of names: columns are numbered from 1."
        said = []
        if self.image is not None:
            said.append(f"image={names[self.image]}")
        said.append(
            f"label={names[self.label[0]]}"
            if len(self.label) == 1
            else f"label=the {len(self.label)} columns {names[self.label[0]]} to "
            f"{names[self.label[-1]]}"
        )
        if self.split is not None:
            said.append(f"split={names[self.split]}")
        if self.unused_split is not None:
            yield (
                f"The column {self.unused_split} is not used: its first lines name no split "
                "(train, val, test). --column split=NAME takes it."
            )
        yield f"Columns taken: {', '.join(said)} (--column)."

    def _lower(self, column: int) -> str:
        return self.table.header[column].lower().replace(" ", "_")

    def _named(self, what: str, usual: Sequence[str], fits: Callable[[int], bool]) -> int | None:
        """The column that was named for it, or else the likeliest by its name."""
        header = self.table.header
        if what in self.given:
            name = self.given[what]
            if name not in header:
                raise DataError(
                    f"{self.where}: has no column {name!r} (--column {what}={name}). There are: "
                    f"{_some(header)}."
                )
            return header.index(name)
        by_name = {self._lower(c): c for c in reversed(range(len(header)))}
        return next((by_name[n] for n in usual if n in by_name and fits(by_name[n])), None)

    def _free(self) -> list[int]:
        """Columns that nothing is known of yet."""
        taken = {self.split, self.image, self.in_one}
        if "label" in self.given:
            taken.add(self._named("label", (), lambda _: True))
        return [c for c in range(len(self.table.header)) if c not in taken]

    def _tells_splits(self, column: int) -> bool:
        return any(_split_of(cells[column]) for cells in self.table.sample)

    def _is_of_files(self, column: int) -> bool:
        return any(_has_ending(cells[column]) for cells in self.table.sample)

    def _of_files(self) -> int:
        """The column of file names."""
        usual = self._named("image", IMAGE_NAMES, self._is_of_files)
        if usual is not None:
            return usual
        by_content = [c for c in self._free() if self._is_of_files(c)]
        if len(by_content) == 1:
            return by_content[0]
        usual = self._named("image", IMAGE_NAMES, lambda c: c in self._free())
        label = self._named("label", LABEL_NAMES, lambda _: True)
        left = [c for c in self._free() if c != label]
        if usual is None and label is not None and len(left) == 1:
            usual = left[0]
        if usual is None or len(by_content) > 1:
            raise DataError(
                f"{self.where}: which column names the images? There are: "
                f"{_some(self.table.header)}. Say it: --column image=NAME --column label=NAME."
            )
        return usual

    def _many(self) -> _Pixels | None:
        """The columns of single pixels, by their numbers."""
        places: dict[int, tuple[int, ...]] = {}
        label = self._named("label", LABEL_NAMES, lambda _: True)
        free = [c for c in self._free() if c != label]
        if not self.table.has_header or self.table.header in _numbered(len(self.table.header)):
            # whatever the first column is, unless another was named, it is the label
            free = [c for c in self._free() if "label" in self.given or c != 0]
        for column in free:
            numbers = tuple(map(int, re.findall(r"\d+", self.table.header[column])))
            if 1 <= len(numbers) <= 2 and _is_number(self.table.sample[0][column]):
                places[column] = numbers
        if len(places) < FEWEST_PIXELS or len(set(places.values())) < len(places):
            return None
        axes = {len(numbers) for numbers in places.values()}
        ordered = sorted(places, key=places.__getitem__) if len(axes) == 1 else list(places)
        if axes == {2}:
            rows, columns = (len({place[axis] for place in places.values()}) for axis in (0, 1))
            if rows * columns == len(places):
                return _Pixels(ordered, (rows, columns))
        return _Pixels(ordered, None)

    def _labels(self) -> list[int]:
        taken = {self.image, self.split, self.in_one}
        pixels = set(self.pixels.columns) if self.pixels else set()
        left = [c for c in range(len(self.table.header)) if c not in taken and c not in pixels]
        one = self._named("label", LABEL_NAMES, lambda c: c in left)
        if one is not None:
            return [one]
        if len(left) == 1:
            return left
        marks = [c for c in left if all(c_[c].strip() in _MARKS for c_ in self.table.sample)]
        if len(marks) > 1 and all(
            sum(float(cells[c]) for c in marks) == 1 for cells in self.table.sample
        ):
            return marks
        raise DataError(
            f"{self.where}: which column has the labels? There are: {_some(self.table.header)}. "
            "Say it: --column label=NAME."
        )

    def label_of(self, line: int, cells: Sequence[str]) -> str:
        """The label of a line.  Raises DataError."""
        if len(self.label) == 1:
            label = cells[self.label[0]].strip()
            if len(label) > LONGEST_LABEL or "\n" in label:
                raise DataError(
                    f"{self.where}: line {line:,} has a label of {len(label):,} characters, "
                    f"{label[:40]!r}...: is a quotation mark not closed? Correct it."
                )
            if not label:
                raise DataError(
                    f"{self.where}: line {line:,} has no label. Give it one, or take the line away."
                )
            return label
        marked = [c for c in self.label if _is_number(cells[c]) and float(cells[c]) == 1]
        if len(marked) != 1:
            raise DataError(
                f"{self.where}: line {line:,} marks {len(marked)} classes. Needed is one an image "
                "(several labels an image are not searched for)."
            )
        return self.table.header[marked[0]]

    def split_of(self, line: int, cells: Sequence[str]) -> SplitName:
        """The split of a line.  Raises DataError."""
        if self.split is None:
            return "train"
        split = _split_of(cells[self.split])
        if split is None:
            raise DataError(
                f"{self.where}: line {line:,} has {cells[self.split]!r} for its split. Known are "
                "train, val (valid, validation, dev) and test."
            )
        return split


_MARKS = {"0", "1", "0.0", "1.0"}


def _split_of(cell: str) -> SplitName | None:
    return split_named(cell) or OF_CONTESTS.get(cell.strip().lower())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12:,} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more


# pixels -----------------------------------------------------------------------------------------


def _pixels(table: _Table, columns: _Columns) -> Source:
    """Images whose pixels stand in the table."""
    rows: dict[SplitName, list[NDArray[Any]]] = {}
    labels: dict[SplitName, list[str]] = {}
    size = 0
    waiting: dict[SplitName, list[NDArray[np.float32]]] = {}

    def take(split: SplitName) -> None:
        nonlocal size
        part = np.stack(waiting.pop(split))
        whole = part.min() >= 0 and part.max() <= 255 and (part == np.rint(part)).all()
        rows.setdefault(split, []).append(part.astype(np.uint8) if whole else part)
        size += rows[split][-1].nbytes
        check_memory(2 * size, table.where)

    for line, cells in table.rows():
        split = columns.split_of(line, cells)
        labels.setdefault(split, []).append(columns.label_of(line, cells))
        held = waiting.setdefault(split, [])
        held.append(_values(table, columns, line, cells))
        check_memory(2 * size + 2 * len(held) * held[-1].nbytes, table.where)
        if len(held[-1]) != len(held[0]):
            raise DataError(
                f"{table.where}: line {line:,} has {len(held[-1])} pixels, others have "
                f"{len(held[0])}. Correct it."
            )
        if len(held) == TAKEN:
            take(split)
    for split in list(waiting):
        take(split)
    if "train" not in rows:
        raise DataError(f"{table.where}: no line is of the train split.")
    images = {split: np.concatenate(parts) for split, parts in rows.items()}
    shape = columns.pixels.shape if columns.pixels else None
    if shape is not None:
        images = {split: array.reshape(-1, *shape) for split, array in images.items()}
    words = {split: np.array(of) for split, of in labels.items()}
    return source_of(table.where, images, words, notes=tuple(columns.notes()))


def _values(
    table: _Table, columns: _Columns, line: int, cells: Sequence[str]
) -> NDArray[np.float32]:
    if columns.in_one is not None:
        found: Sequence[str] = cells[columns.in_one].split()
    else:
        assert columns.pixels is not None
        found = [cells[column] for column in columns.pixels.columns]
    try:
        return np.array(found, dtype=np.float32)
    except ValueError as error:
        odd = next(value for value in found if not _is_number(value))
        raise DataError(
            f"{table.where}: line {line:,} has {odd!r} for a pixel. Correct it."
        ) from error


# files ------------------------------------------------------------------------------------------


def _listing(table: _Table, columns: _Columns, path: Path) -> Listing:
    """Images that stand in files which the table names."""
    assert columns.image is not None
    places = _Places(path, table.where)
    pictures: list[Picture] = []
    files: list[Path] = []
    seen: set[tuple[Path, str, SplitName]] = set()
    twice = 0
    for line, cells in table.rows():
        name = cells[columns.image].strip()
        if not name:
            raise DataError(f"{table.where}: line {line:,} names no image. Take the line away.")
        label, split = columns.label_of(line, cells), columns.split_of(line, cells)
        file, status = places.find(name, line)
        if (file, label, split) in seen:
            twice += 1
            continue
        seen.add((file, label, split))
        size, stamp = (0, 0) if status is None else (status.st_size, status.st_mtime_ns)
        pictures.append(
            Picture(name, label, split if columns.split is not None else None, size, stamp)
        )
        files.append(file)
    places.check()
    notes = [*columns.notes(), *places.notes()]
    if twice:
        notes.append(f"{twice:,} lines name an image that an earlier line names: taken once.")

    return Listing(
        table.where, pictures, contents_of(files), notes=tuple(notes), paths=list(map(str, files))
    )


class _Places:
    """Finds the files that a table names, below its folder only."""

    def __init__(self, table: Path, where: str) -> None:
        self.base = table.absolute().parent
        self.real = os.path.realpath(self.base)
        self.where = where
        self.folders = tuple(dict.fromkeys((*FOLDERS, table.stem)))
        self.used: list[tuple[str, str]] = []
        """Folder and ending that files were found with, the last one first."""
        self.real_folders: dict[str, str] = {}
        self.found = 0
        self.missing: list[str] = []

    def find(self, name: str, line: int) -> tuple[Path, os.stat_result | None]:
        """The file of this name and what the system says of it; None: there is none."""
        parts = Path(name.replace("\\", "/"))
        if ".." in parts.parts or (parts.is_absolute() and not parts.is_relative_to(self.base)):
            raise DataError(
                f"{self.where}: line {line:,} names {name}, which leads out of the table's folder. "
                f"Name files below {self.base}."
            )
        for sub, ending in self._ways(name):
            file = self.base / sub / f"{parts}{ending}"
            try:
                status = file.lstat()
            except OSError:
                continue  # not this way; where no way leads to one, it is told
            if stat.S_ISDIR(status.st_mode):
                continue
            self._check(file, stat.S_ISLNK(status.st_mode), line)
            if (sub, ending) not in self.used[:1]:
                self.used = [(sub, ending), *(w for w in self.used if w != (sub, ending))]
            self.found += 1
            return file, file.stat() if file.exists() else None
        self.missing.append(name)
        return self.base / parts, None

    def _ways(self, name: str) -> Iterator[tuple[str, str]]:
        yield from self.used
        if len(self.missing) > LOOKED_FOR:
            return
        endings = [""]
        if not _has_ending(name):
            endings += [f".{ending}" for ending in sorted(ENDINGS)]
            endings += [f".{ending.upper()}" for ending in sorted(ENDINGS)]
        for sub in self.folders:
            if sub and not (self.base / sub).is_dir():
                continue
            for ending in endings:
                if (sub, ending) not in self.used:
                    yield sub, ending

    def _check(self, file: Path, link: bool, line: int) -> None:
        """Raises DataError where a link leads out."""
        above = str(file.parent)
        if above not in self.real_folders:
            self.real_folders[above] = os.path.realpath(above)
        real = os.path.realpath(file) if link else self.real_folders[above]
        if os.path.commonpath([real, self.real]) != self.real:
            raise DataError(
                f"{self.where}: line {line:,} names {file}, a symbolic link out of the table's "
                f"folder, to {real}. Copy the files there."
            )

    def check(self) -> None:
        """Raises DataError where not one file is there."""
        if not self.found:
            raise DataError(
                f"{self.where}: none of the {len(self.missing):,} files is there, the first one "
                f"{self.missing[0]}. They are looked for in {self.base} and below, in "
                f"{', '.join(self.folders[1:6])} and the like. Put the table beside them, or name "
                "another column (--column image=NAME)."
            )

    def notes(self) -> Iterator[str]:
        """Where the files were found, if not where the table says."""
        odd = [way for way in self.used if way != ("", "")]
        if odd:
            sub, ending = odd[0]
            yield f"Files are found as {sub + '/' if sub else ''}NAME{ending}."
