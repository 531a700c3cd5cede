"""Sessions side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .base import fail, opened, print_json, say, tell, terminal_width
from .options import AsJson

if TYPE_CHECKING:
    from ..plot import Figure
    from ..sharing.report import Comparing, Table

commands = typer.Typer()

WIDTH = 80
"""Columns where no terminal says how many."""
WIDEST = 120
HEIGHT = 18
"""Lines of the chart."""


@commands.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Two sessions or more.")],
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="MEASURE",
            help="What they are drawn against, such as macs; the first that compares if none.",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help="Also tell the best within this, 'params<=20k'; the sessions' own are told.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write FILE.html, .svg, .png, .csv or .json instead."),
    ] = None,
    json_: AsJson = False,
) -> None:
    """Put sessions side by side: their fronts, their best within limits, what differs.

    Seconds of different machines do not compare: they are drawn by what arithmetic knows, the first
    cost of it if none is named.
    """
    if output is not None:
        _check_ending(output)
    with ExitStack() as stack:
        clients = [stack.enter_context(opened(name)) for name in names]
        from ...engine.search.comparing import check, compared
        from ..sharing import comparison

        snapshots = [client.refresh() for client in clients]
        check(snapshots)  # before they are ranked, which takes a second each
        best = [client.recommended(s) for client, s in zip(clients, snapshots, strict=True)]
        found = compared(list(zip(snapshots, best, strict=True)), cost, limit or ())
        whole = comparison.told(found)
        for line in whole.warnings:  # before what they are about
            say(f"! {line}")
        if output is not None:
            _write(whole, output)
        if json_:
            print_json(comparison.as_json(found))
        elif output is None:
            _print(whole)


def _check_ending(path: Path) -> None:
    """End the command for a file that nothing is written as, before anything is read."""
    from ..sharing.draw import KINDS
    from ..sharing.report import ENDINGS

    endings = (*ENDINGS, *(f".{kind}" for kind in KINDS))
    if path.suffix.lower() not in endings:
        fail(f"{path}: written as what? End the file's name with {', '.join(endings)}.", 2)


def _write(whole: Comparing, path: Path) -> None:
    """As a page, or the chart alone as what the ending says."""
    from ..sharing import draw, report

    if path.suffix.lower() in report.ENDINGS:
        report.write(whole, path)
    else:
        draw.write(whole.figures[0], path)
    say(f"{whole.title}: written to {path}.")


def _print(whole: Comparing) -> None:
    """The chart, its legend, and the tables below it; what is said of them on stderr."""
    for line in _chart(whole.figures[0], min(terminal_width(sys.stdout) or WIDTH, WIDEST)):
        tell(line)
    for heading, said, table in whole.tables:
        if table.rows:  # else a heading would have nothing under it
            tell("")
            tell(heading)
        for line in _columns(table):
            tell(line)
        say(said)


def _chart(figure: Figure, width: int) -> Iterator[str]:
    """The figure as lines of text, its legend below it."""
    yield figure.y
    if figure.plot is None:
        yield figure.empty
        return
    from ..widgets.chart import raster

    for row in raster(figure.plot, (width, HEIGHT), shade=True):
        yield "".join(cell.char for cell in row).rstrip()
    yield figure.x.rjust(width).rstrip()
    yield "  ".join(f"{'│' if char == '-' else char} {text}" for char, _, text in figure.legend)


def _columns(table: Table) -> Iterator[str]:
    """The rows under their headings, two spaces between columns."""
    if not table.rows:
        return
    rows = (table.headings, *table.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
