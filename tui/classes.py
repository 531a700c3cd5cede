"""What a network takes each class for: the recalls, the confusions in words, the matrix as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from ..sessions.records import matrix
from ..sessions.text import printable
from . import format as words

if TYPE_CHECKING:
    from ..sessions.records import DataSummary, Session, Trial

LONGEST = 24
"""Characters of a class's name in a terminal, where they stand in columns."""
IN_TERMINAL = 20
"""Classes up to which a terminal is shown the whole matrix, where it is wide enough."""
WORST = 10
"""Of more classes, those that are shown: the smallest recalls."""
NAMED = 3
"""Classes that one of these was taken for, the most often ones."""


@dataclass(frozen=True)
class Mistake:
    """Images of one class that were taken for another.  images: all of the true class."""

    true: int
    taken: int
    count: int
    images: int

    def told(self, names: Sequence[str]) -> str:
        """`Shirt taken for T-shirt/top: 41 of 250`."""
        told = f"{names[self.true]} taken for {names[self.taken]}"
        return f"{told}: {words.count(self.count)} of {words.count(self.images)}"


def labels(summary: DataSummary) -> list[str]:
    """The classes' names as they may be printed, their numbers where there are none."""
    return [printable(name) for name in summary.class_names]


def mistakes(trial: Trial, session: Session) -> list[Mistake]:
    """What was taken for what, first what costs most of the session's metric.

    That is the number of images for the accuracy, and their share of the class for the others.
    """
    found = []
    for true, row in enumerate(matrix(trial.confusion)):
        images = sum(row)
        found += [
            Mistake(true, taken, count, images)
            for taken, count in enumerate(row)
            if count and taken != true
        ]

    def order(one: Mistake) -> tuple[float, int, int, int]:
        share = one.count / one.images
        first = one.count if session.metric == "accuracy" else share
        return -first, -one.count, one.true, one.taken

    return sorted(found, key=order)


def ascending(trial: Trial) -> list[tuple[int, float | None]]:
    """Every class and its recall, the smallest first; those without images last."""
    known = list(enumerate(trial.recalls))
    return sorted(known, key=lambda pair: (pair[1] is None, pair[1] or 0.0, pair[0]))


def in_brief(trial: Trial, session: Session) -> list[str]:
    """The smallest recalls in a line, the worst confusions in another; nothing where not known."""
    if not trial.recalls:
        return []
    names = labels(session.summary)
    smallest = [
        f"{names[at]} {words.percent(recall)} %"
        for at, recall in ascending(trial)[:NAMED]
        if recall is not None
    ]
    lines = [f"smallest recalls of trial {trial.number}: {', '.join(smallest)}"]
    worst = [mistake.told(names) for mistake in mistakes(trial, session)[:NAMED]]
    return lines + ([f"most confused: {'; '.join(worst)}"] if worst else [])


def table(trial: Trial, session: Session, width: int) -> Iterator[str]:
    """Recalls, the smallest first, beside what was taken for what, in lines of so many columns.

    A matrix where it fits, its columns by the classes' numbers, which stand before their names;
    else what each of the worst is taken for most often.
    """
    names, rows = labels(session.summary), matrix(trial.confusion)
    number = len(str(len(names) - 1))
    cell = max([number, *(len(str(count)) for row in rows for count in row)]) + 1
    longest = min(max(map(cell_len, names), default=0), LONGEST) if session.summary.names else 0
    # the number, a name of some letters, the recall
    fixed = number + len(" 100 ") + 1
    room = min(width - fixed - cell * len(names) - 1, longest)
    whole = bool(rows) and len(rows) <= IN_TERMINAL and room >= min(longest, 4)
    if not whole:
        room = min(longest, max(width // 3, 4))
    heading = f"{'':<{number + 1 + room}}{'recall':>6}"
    yield heading + "".join(f"{at:>{cell}}" for at in range(len(names))) * whole
    shown = ascending(trial)
    for at, recall in shown if whole else shown[:WORST]:
        line = f"{at:>{number}} {fitted(names[at], room)}{words.percent(recall):>6}"
        if whole:
            yield line + "".join(f"{count or '·':>{cell}}" for count in rows[at])
            continue
        row = rows[at] if rows else ()
        taken = sorted(((n, k) for k, n in enumerate(row) if n and k != at), reverse=True)
        told = ", ".join(f"{names[k]} {n}" for n, k in taken[:NAMED])
        yield fitted(f"{line}  {told}", width).rstrip()
    if not whole and len(shown) > WORST:
        yield f"and {len(shown) - WORST} more classes"


def fitted(text: str, width: int) -> str:
    """Of so many cells: filled up, or cut short with a mark."""
    if cell_len(text) <= width or width < 1:
        return set_cell_size(text, width)
    return f"{set_cell_size(text, width - 1)}…"
