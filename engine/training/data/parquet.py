"""Parquet files of images, as Hugging Face writes its image sets (extra `lcsearch[parquet]`)."""

from __future__ import annotations

import contextlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ....sessions.records import DataSource
from .face import Content, DataError, Listing, Picture, SplitName
from .files import contents
from .names import is_dropping, split_named

IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "png", "pixel_values")
LABEL_NAMES = ("label", "fine_label", "labels", "class", "target", "category")
UNLABELLED = -1
BATCH = 64
"""Rows that are in memory at a time."""


@dataclass(frozen=True)
class _Shard:
    """One file.  first: the number of its first row among all."""

    path: Path
    first: int


def read(path: Path, source: DataSource) -> Listing:
    """The images of a file or of a folder of them.  Raises DataError."""
    where = source.spec
    if not path.exists():
        raise DataError(f"{where}: there is no such file or folder.")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"{where}: reading Parquet files needs pyarrow, which is not installed: pip install "
            "'lcsearch[parquet]'."
        ) from error
    notes: list[str] = []
    files = _files(path, where, notes)
    with _told(where):
        return _listed(files, source, notes)


@contextlib.contextmanager
def _told(where: str) -> Iterator[None]:
    """What pyarrow cannot read, in words."""
    from pyarrow.lib import ArrowException

    try:
        yield
    except (ArrowException, OSError) as error:
        raise DataError(f"{where}: cannot be read ({error}). Fetch the files again.") from error


def _files(path: Path, where: str, notes: list[str]) -> list[tuple[Path, SplitName]]:
    """The files and their splits, by their names or by the folders that they are in."""
    if path.is_file():
        return [(path, "train")]
    found = sorted(
        file
        for file in path.rglob("*.parquet")
        if file.is_file() and not any(map(is_dropping, file.relative_to(path).parts))
    )
    if not found:
        raise DataError(
            f"{where}: holds no .parquet files. Name the folder that has them, such as the one of "
            "train-00000-of-00001.parquet."
        )
    real = path.resolve()
    for file in found:
        if not file.resolve().is_relative_to(real):
            raise DataError(
                f"{where}: {file} is a symbolic link out of the folder. Copy the file there."
            )
    named = {file: _split_of(file) for file in found}
    homes = sorted(
        {file.parent if _by_name(file) else file.parent.parent for file in found if named[file]}
    )
    if len(homes) > 1:
        folders = ", ".join(str(home.relative_to(path)) for home in homes)
        raise DataError(
            f"{where}: holds several data sets, in {folders}. Name one, such as parquet:{homes[0]}."
        )
    if not homes:
        return [(file, "train") for file in found]
    left = [file.name for file in found if not named[file]]
    if left:
        notes.append(f"Left out: {', '.join(left[:5])} ({len(left)} in all), of no known split.")
    return [(file, split) for file, split in named.items() if split]


def _by_name(file: Path) -> bool:
    return _leading(file) is not None


def _leading(file: Path) -> SplitName | None:
    """The split that a file's name begins with: `train-00000-of-00002.parquet`."""
    stem = file.stem
    for mark in "-_.":
        stem = stem.partition(mark)[0]
    return split_named(stem)


def _split_of(file: Path) -> SplitName | None:
    return _leading(file) or split_named(file.parent.name)


def _listed(
    files: Sequence[tuple[Path, SplitName]], source: DataSource, notes: list[str]
) -> Listing:
    from pyarrow import parquet

    where = source.spec
    shards: list[_Shard] = []
    pictures: list[Picture] = []
    numbers: list[int] = []
    columns: tuple[str, str] | None = None
    names: list[str] | None = None
    unlabelled = total = 0
    for path, split in files:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            if columns is None:
                columns = _columns(schema, source, path)
                names = _names(schema, columns[1])
                notes.append(f"Columns taken: image={columns[0]}, label={columns[1]} (--column).")
            for name in columns:
                if name not in schema.names:
                    raise DataError(f"{where}: {path.name} has no column {name}, others have.")
            status = path.stat()
            stamp = status.st_mtime_ns ^ status.st_size
            labels = file.read(columns=[columns[1]]).column(0).to_pylist()
            splits = _splits(file, source, path.name)
            paths = _paths(file, columns[0])
        shards.append(_Shard(path, total))
        for row, label in enumerate(labels):
            where_it_is = f"{where}: {path.name} row {row + 1:,}"
            word = _word(label, names, where_it_is)
            if word is None:
                unlabelled += 1
                continue
            of = split if splits is None else split_named(str(splits[row]))
            if of is None:
                raise DataError(
                    f"{where_it_is} has {splits and splits[row]!r} for its split. Known are train, "
                    "val (valid, validation, dev) and test."
                )
            size, written = (0, stamp) if paths is None else _status(path.parent, paths[row])
            pictures.append(Picture(f"{path.name} row {row + 1:,}", word, of, size, written))
            numbers.append(total + row)
        total += len(labels)
    if unlabelled:
        notes.append(f"Left out: {unlabelled:,} images without a label (label -1, or none).")
    if not pictures:
        raise DataError(f"{where}: holds no image with a label ({total:,} rows).")
    assert columns is not None
    if {picture.split for picture in pictures} == {"train"}:
        pictures = [Picture(p.name, p.label, None, p.size, p.stamp) for p in pictures]
    image = columns[0]

    def reading(wanted: Sequence[int]) -> Iterator[Content]:
        with _told(where):
            yield from _contents(shards, [numbers[number] for number in wanted], image)

    return Listing(where, pictures, reading, None if names is None else tuple(names), tuple(notes))


def _columns(schema: Any, source: DataSource, path: Path) -> tuple[str, str]:
    """The columns of images and labels.  Raises DataError."""
    features = _features(schema)
    found = []
    for what, kind, usual in (
        ("image", "Image", IMAGE_NAMES),
        ("label", "ClassLabel", LABEL_NAMES),
    ):
        if what in source.columns:
            name = source.columns[what]
            if name not in schema.names:
                raise DataError(
                    f"{source.spec}: {path.name} has no column {name!r} (--column {what}={name}). "
                    f"There are: {', '.join(schema.names)}."
                )
        else:
            by_kind = [n for n in schema.names if _kind(features.get(n)) == kind]
            by_name = [n for n in usual if n in schema.names]
            likely = [n for n in by_name if n in by_kind] or by_kind or by_name
            if not likely:
                raise DataError(
                    f"{source.spec}: which column has the {what}s? There are: "
                    f"{', '.join(schema.names)}. Say it: --column {what}=NAME."
                )
            name = likely[0]
        found.append(name)
    image, label = found
    _check_image(schema.field(image).type, image, source.spec)
    return image, label


def _splits(file: Any, source: DataSource, name: str) -> list[Any] | None:
    """The split of each row, where a column was named for it."""
    column = source.columns.get("split")
    if column is None:
        return None
    if column not in file.schema_arrow.names:
        raise DataError(
            f"{source.spec}: {name} has no column {column!r} (--column split={column}). There are: "
            f"{', '.join(file.schema_arrow.names)}."
        )
    values: list[Any] = file.read(columns=[column]).column(0).to_pylist()
    return values


def _paths(file: Any, image: str) -> list[str | None] | None:
    """The path of each row's image, where images stand in files of their own."""
    from pyarrow import types

    kind = file.schema_arrow.field(image).type
    if types.is_string(kind) or types.is_large_string(kind):
        found: list[str | None] = file.read(columns=[image]).column(0).to_pylist()
        return found
    if not types.is_struct(kind) or "path" not in {field.name for field in kind}:
        return None
    first = next(file.iter_batches(1, columns=[image]), None)
    if (
        first is None
        or first.column(0)[0].as_py() is None
        or first.column(0)[0].as_py().get("bytes")
    ):
        return None
    rows = file.read(columns=[f"{image}.path"]).column(0).to_pylist()
    return [None if row is None else row["path"] for row in rows]


def _status(base: Path, path: str | None) -> tuple[int, int]:
    """Size and time of an image's own file, as far as there is one."""
    try:
        status = (base / path).stat() if path else None
    except OSError:
        status = None  # told with the broken ones
    return (0, 0) if status is None else (status.st_size, status.st_mtime_ns)


def _check_image(kind: Any, name: str, where: str) -> None:
    from pyarrow import types

    if types.is_struct(kind):
        fields = {kind.field(number).name for number in range(kind.num_fields)}
        if fields & {"bytes", "path"}:
            return
    elif (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
    ):
        return
    raise DataError(
        f"{where}: the column {name} is of type {kind}. Needed are the bytes of image files, or "
        "their paths, as Hugging Face's Image feature has them."
    )


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's metadata say of each column."""
    told = (schema.metadata or {}).get(b"huggingface")
    if told is None:
        return {}
    try:
        features = json.loads(told)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}  # metadata of another program; the columns have names still
    return features if isinstance(features, dict) else {}


def _kind(feature: Any) -> str | None:
    return feature.get("_type") if isinstance(feature, dict) else None


def _names(schema: Any, label: str) -> list[str] | None:
    feature = _features(schema).get(label)
    names = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(names, dict):  # as older versions wrote them, by their numbers
        names = [names[key] for key in sorted(names, key=int)]
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _word(label: Any, names: Sequence[str] | None, where: str) -> str | None:
    """The class that a label names; None: none.  Raises DataError."""
    if label is None or (isinstance(label, int) and label == UNLABELLED):
        return None
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, bytes):
        label = label.decode("utf-8", "replace")
    if isinstance(label, list | dict):
        raise DataError(
            f"{where} has several labels ({str(label)[:40]}): not searched for. Keep one an image."
        )
    if not isinstance(label, int | str):
        raise DataError(f"{where} has the label {label!r}: no class. Needed are numbers or words.")
    if names is None or isinstance(label, str):
        return str(label).strip() or None
    if not 0 <= label < len(names):
        raise DataError(f"{where} has label {label}, and there are {len(names)} names of classes.")
    return names[label]


def _contents(shards: Sequence[_Shard], numbers: Sequence[int], image: str) -> Iterator[Content]:
    """The files of these rows, rising, a few in memory at a time."""
    from pyarrow import parquet

    firsts = [shard.first for shard in shards]
    for at, group in groupby(numbers, lambda number: bisect_right(firsts, number) - 1):
        shard = shards[at]
        wanted = [number - shard.first for number in group]
        with parquet.ParquetFile(shard.path) as file:
            yield from _rows(file, wanted, image, shard.path.parent)


def _rows(file: Any, wanted: Sequence[int], image: str, base: Path) -> Iterator[Content]:
    """Only the groups of rows are read that hold some of these."""
    left = list(reversed(wanted))
    begin = 0
    for number in range(file.num_row_groups):
        end = begin + file.metadata.row_group(number).num_rows
        if left and left[-1] < end:
            at = begin
            for batch in file.iter_batches(BATCH, [number], [image], use_threads=False):
                column = batch.column(0)
                while left and left[-1] < at + len(column):
                    yield _content(column[left.pop() - at].as_py(), base)
                at += len(column)
        begin = end
        if not left:
            return


def _content(value: Any, base: Path) -> Content:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if not value:
        return OSError(0, "holds neither bytes nor a path")
    path = base / str(value)
    if not path.resolve().is_relative_to(base.resolve()):
        return OSError(0, f"its path leads out of the folder: {value}")
    return next(contents([path]))
