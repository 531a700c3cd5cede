"""Image files by their folders: which folder is a split, which a class, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .face import Content, DataError, Listing, Picture, SplitName
from .names import ENDINGS, LIKE_A_SPLIT, is_dropping, legible, split_named, splits_named


@dataclass(frozen=True)
class File:
    """A file below a root.  parts: the folders on the way to it, and its name."""

    parts: tuple[str, ...]
    size: int
    stamp: int

    @property
    def name(self) -> str:
        return "/".join(self.parts)

    @property
    def ending(self) -> str:
        _, dot, ending = self.parts[-1].rpartition(".")
        return ending.lower() if dot else ""


Reader = Callable[[Sequence[File]], Iterator[Content]]
"""Gives the contents of files, in order."""


def listed(
    where: str,
    files: Sequence[File],
    folders: Sequence[tuple[str, ...]],
    contents: Reader,
    notes: Sequence[str] = (),
    root: str | None = None,
) -> Listing:
    """What the folders say of the images: a folder a class, perhaps below a folder a split.

    files: in the order in which they are read best.  folders: every one there is, so that the
    empty ones can be told.  root: of files that stand on the disk.  Raises DataError.
    """
    told = list(notes)
    # a folder that is left out is counted once, not by its files
    dropped = {
        f.parts[: next(i for i, part in enumerate(f.parts) if is_dropping(part)) + 1]
        for f in files
        if any(map(is_dropping, f.parts))
    }
    clean = [f for f in files if not any(map(is_dropping, f.parts))]
    images = [f for f in clean if f.ending in ENDINGS]
    if dropped:
        told.append(f"Left out: {_some(sorted({parts[-1] for parts in dropped}), len(dropped))}.")
    others = Counter(f.ending for f in clean if f.ending not in ENDINGS)
    if others:
        kinds = ", ".join(f".{ending}" if ending else "no ending" for ending in sorted(others))
        count = sum(others.values())
        what = (
            "file of a kind that is not read" if count == 1 else "files of kinds that are not read"
        )
        told.append(f"Left out: {count:,} {what} ({kinds}).")
    if not images:
        raise DataError(
            f"{where}: holds no images"
            + (f", only files with other endings ({', '.join(sorted(others))})" if others else "")
            + f". Needed is a folder a class, with images in it ({', '.join(sorted(ENDINGS)[:6])}, "
            "...)."
        )
    top = _common(images)
    if top:
        told.append(f"The images stand below {legible('/'.join(top))}/.")
    kept, loose, splits = _classes(where, images, len(top))
    if unusual := [f"{name} ({split})" for name, split in splits.items() if not split_named(name)]:
        told.append(f"Taken for splits: {legible(', '.join(unusual))}.")
    if loose:
        told.append(
            f"Left out: {len(loose):,} image{'s' if len(loose) > 1 else ''} in no class folder, "
            f"such as {legible(loose[0].name)}."
        )
    at = len(top)
    if splits:
        at += 2 if _wrapped(kept, at) else 1
    within = sorted({f.parts[at + 1] for f in kept if len(f.parts) > at + 2})
    if len(within) > 1 and all(map(split_named, within)):
        told.append(
            f"The classes hold folders {', '.join(within)}, taken together: to use them as splits, "
            f"put them first ({within[0]}/CLASS/IMAGE)."
        )
    used = {f.parts[:depth] for f in kept for depth in range(1, len(f.parts))}
    empty = [
        folder
        for folder in folders
        if len(folder) == at + 1
        and folder[: len(top)] == top
        and folder not in used
        and not any(map(is_dropping, folder))
    ]
    if empty:
        told.append(f"Left out: {_some(sorted({f[-1] for f in empty}), len(empty))}, empty.")
    pictures = [
        Picture(
            legible(f.name),
            legible(f.parts[at]),
            splits.get(f.parts[len(top)]),
            f.size,
            f.stamp,
        )
        for f in kept
    ]

    return Listing(
        where,
        pictures,
        lambda numbers: contents([kept[number] for number in numbers]),
        notes=tuple(told),
        paths=None if root is None else [f"{root}/{file.name}" for file in kept],
    )


def _some(names: Sequence[str], count: int) -> str:
    """A few of the names, and how many there are in all."""
    shown = legible(", ".join(names[:5]))
    return f"{shown} ({count:,} in all)" if count > len(names[:5]) else shown


def _common(images: Sequence[File]) -> tuple[str, ...]:
    """The folders that all images stand below and that are no class: one folder in another, alone.

    The last two folders may be a split and a class, and the last one a class.
    """
    shared = images[0].parts[:-1]
    for f in images:
        while f.parts[: len(shared)] != shared:
            shared = shared[:-1]
    return shared


def _check_no_splits(where: str, names: Sequence[str], inside: Sequence[File], depth: int) -> None:
    """Raises DataError where folders that would be classes are splits by another name."""
    within: dict[str, set[str]] = {}
    for f in inside:
        within.setdefault(f.parts[depth], set()).add(f.parts[depth + 1])
    for name in names:
        if not LIKE_A_SPLIT.search(name.lower()):
            continue
        for other in names:
            both = within.get(name, set()) & within.get(other, set())
            if other != name and both:
                raise DataError(
                    f"{where}: {legible(name)} and {legible(other)} hold folders of the same names "
                    f"({_some(sorted(both), len(both))}), so they seem to be splits, not classes. "
                    f"Call them train, val and test, or name one alone: {where}/{legible(name)}."
                )


def _wrapped(kept: Sequence[File], depth: int) -> bool:
    """Whether in every split one folder, alone, holds the class folders: train/images/CLASS."""
    within = {f.parts[depth : depth + 2] for f in kept}
    splits = {f.parts[depth] for f in kept}
    return len(within) == len(splits) and all(len(f.parts) > depth + 3 for f in kept)


def _classes(
    where: str, images: Sequence[File], depth: int
) -> tuple[list[File], list[File], dict[str, SplitName]]:
    """The images that stand in a class folder, the others, and the splits that come before."""
    below = [f for f in images if len(f.parts) > depth + 1]
    names = sorted({f.parts[depth] for f in below})
    splits = splits_named(names)
    loose = [f for f in images if len(f.parts) == depth + 1]
    inside = [f for f in below if len(f.parts) > depth + 2]
    named = {splits[f.parts[depth]] for f in inside if f.parts[depth] in splits}
    trains = [f for f in below if splits.get(f.parts[depth]) == "train"]
    holds_classes = len({f.parts[depth + 1] for f in trains}) > 1 and all(
        len(f.parts) > depth + 2 for f in trains
    )
    # others are no classes beside a train/ that holds class folders
    certain = "train" in named and (holds_classes or len(named) > 1)
    if not splits or not (len(splits) == len(names) or certain):
        _check_no_splits(where, names, inside, depth)
        if len(names) < 2:
            raise DataError(
                f"{where}: has images of one class only"
                + (f" ({legible(names[0])})" if names else "")
                + ". Needed is a folder a class, of two classes or more; where a table has the "
                "labels, csv:FILE."
            )
        return below, loose, {}
    roles: dict[str, str] = {}
    for name, role in splits.items():
        if role in roles:
            raise DataError(
                f"{where}: the folders {roles[role]} and {name} both say that they are the {role} "
                "split. Put them together, or rename one."
            )
        roles[role] = name
    kept = [f for f in inside if f.parts[depth] in splits]
    beside = [f for f in below if len(f.parts) == depth + 2 or f.parts[depth] not in splits]
    if "train" not in roles or not any(f.parts[depth] == roles["train"] for f in inside):
        missing = roles.get("train", "train")
        raise DataError(
            f"{where}: {', '.join(names)} are the names of splits, and {missing}/ has no class "
            f"folders with images. Put them there: {missing}/CLASS/IMAGE."
        )
    return kept, [*loose, *beside], splits
