"""The readers by their kinds: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ....sessions.records import DataSource
from . import arrays, digits, folder, idx, npz, parquet, table, torchvision
from .assemble import assembled
from .face import DataError, Listing, Progress, Source

Reader = Callable[[Path, DataSource], Source | Listing]


@dataclass(frozen=True)
class Kind:
    """A kind of data set.  form: how its place is written after `kind:`; nothing: it has none."""

    read: Reader
    form: str = ""


KINDS: dict[str, Kind] = {
    "digits": Kind(digits.read),
    "idx": Kind(idx.read, "DIR"),
    "npz": Kind(npz.read, "FILE"),
    "folder": Kind(folder.read, "DIR"),
    "csv": Kind(table.read, "FILE"),
    "parquet": Kind(parquet.read, "FILE"),
    **{kind: Kind(torchvision.reader(kind), "ROOT") for kind in torchvision.NAMES},
}
KNOWN = tuple(f"{kind}:{of.form}" if of.form else kind for kind, of in KINDS.items())
"""How each is written."""

_BY_ENDING = {".npz": "npz", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
"""What is meant where somebody writes a place alone; else it is a folder, or an archive of one."""


def place_of(source: DataSource) -> tuple[str, Path]:
    """The kind of data set that the spec names, and where it is.  Raises DataError."""
    kind, _, place = source.spec.partition(":")
    if kind not in KINDS or bool(place) > bool(KINDS[kind].form):
        there = Path(source.spec).expanduser()
        if source.spec and there.exists():
            meant = _BY_ENDING.get(there.suffix.lower(), "folder")
            raise DataError(
                f"{source.spec}: says no kind of data set. Write {meant}:{source.spec}."
            )
        raise DataError(f"unknown data set {source.spec!r}. Known are: {', '.join(KNOWN)}.")
    form = KINDS[kind].form
    if form and not place:
        raise DataError(f"{source.spec}: says no place. Write {kind}:{form}.")
    return kind, Path(place).expanduser()


def opened(source: DataSource, progress: Progress | None = None) -> Source:
    """Read what the spec names, every image of one size.  Raises DataError."""
    kind, path = place_of(source)
    found = KINDS[kind].read(path, source)
    if isinstance(found, Listing):
        return assembled(found, source, progress)
    return arrays.fitted(found, source)
