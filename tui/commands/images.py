"""Images: what a data set holds, before there is a session, and what is kept of those read."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from .base import fail, in_words, print_json, say, tell, terminal_width
from .options import (
    DATA_HELP,
    AsJson,
    Background,
    Column,
    Download,
    DropLeaks,
    FitOption,
    ImageSize,
    Seed,
    SkipBroken,
    TrainSize,
    ValFraction,
    read_data,
)

if TYPE_CHECKING:
    from ...engine.protocol import Ready

commands = typer.Typer()
cache = typer.Typer(help="Image files that were read, kept for the next session.")
commands.add_typer(cache, name="cache")

SHOWN = 30
"""Classes that are listed."""
WIDTH = 100
"""Of lines, where nobody says how wide the terminal is."""
TOLD_SECONDS = 10.0
"""How often progress is told, where it is not written over itself."""


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """Tells on stderr how far the reading of image files has come, if that takes a while."""
    from .. import images

    pace = images.Pace()
    last = time.monotonic()
    live = sys.stderr.isatty()
    written = 0

    def told(done: int, total: int) -> None:
        nonlocal last, written
        pace.told(done, total)
        if live:
            line = pace.words()[: (terminal_width(sys.stderr) or WIDTH) - 1]
            # no wider than it must be: a terminal writes ^C behind it
            typer.echo(f"\r{line:<{written}}", err=True, nl=False)
            written = len(line)
        elif time.monotonic() - last >= TOLD_SECONDS:
            last = time.monotonic()
            say(pace.words())

    interrupted = False
    try:
        yield told
    except KeyboardInterrupt:
        interrupted = True
    finally:
        _wipe(written)
    if interrupted:
        fail("cancelled: nothing is kept of what was read.")


def _wipe(cells: int) -> None:
    """Nothing stands where progress was told, and behind it the ^C of a terminal."""
    if cells:
        typer.echo(f"\r{'':<{cells + len('^C')}}\r", err=True, nl=False)


@commands.command()
def data(
    spec: Annotated[str, typer.Argument(metavar="KIND:PLACE", help=DATA_HELP)],
    image_size: ImageSize = None,
    fit: FitOption = "crop",
    background: Background = "white",
    skip_broken: SkipBroken = False,
    drop_leaks: DropLeaks = False,
    column: Column = None,
    train_size: TrainSize = None,
    val_fraction: ValFraction = 0.2,
    seed: Seed = 0,
    download: Download = False,
    json_: AsJson = False,
) -> None:
    """Show what a data set holds and what would be done to its images.  Makes no session.

    Takes the options that `new` takes of images, and reads them as a session would.
    """
    with in_words():
        from ...engine.client.images import as_read_now, look

        asked = read_data(
            spec,
            image_size=image_size,
            fit=fit,
            background=background,
            skip_broken=skip_broken,
            drop_leaks=drop_leaks,
            column=column,
            train_size=train_size,
            val_fraction=val_fraction,
            seed=seed,
            download=download,
        )
        with reading() as progress:
            found = look(asked, progress)
        if json_:
            source = as_read_now(asked)
            print_json({"data": source.model_dump(), "summary": found.summary.model_dump()})
            return
        _show(asked.spec, found)


def _show(spec: str, found: Ready) -> None:
    from .. import images

    summary = found.summary
    tell(f"{spec}: {images.in_brief(summary)}")
    tell(images.splits(summary))
    for line in images.bars(summary, SHOWN):
        tell(f"  {line}")
    for note in summary.notes:
        tell(f"· {note}")
    width = terminal_width(sys.stdout)
    if width is not None and not os.environ.get("NO_COLOR"):
        from rich.console import Console

        console = Console()
        for drawn in images.side_by_side(found.pictures, summary, width):
            console.print(drawn, soft_wrap=True)


@cache.callback(invoke_without_command=True)
def cache_show(context: typer.Context, json_: AsJson = False) -> None:
    """List what is kept of image files that were read: bytes on the disk, the last use."""
    if context.invoked_subcommand is not None:
        return
    with in_words():
        from ...engine.client.images import cached
        from ...sessions.places import home

        found = cached(home())
        if json_:
            told = [
                {
                    "data": entry.spec,
                    "images": entry.images,
                    "channels": entry.shape[0],
                    "height": entry.shape[1],
                    "width": entry.shape[2],
                    "bytes": entry.size,
                    "used": entry.used.isoformat(),
                }
                for entry in found
            ]
            print_json(told)
            return
        for entry in found:
            _, height, width = entry.shape
            size = f"{width}x{height}"
            tell(
                f"{entry.images:>9,} images of {size:<9} {entry.size / 1e6:>9,.1f} MB  "
                f"{entry.used.astimezone():%Y-%m-%d %H:%M}  {entry.spec}"
            )
        say(
            f"{sum(entry.size for entry in found) / 1e6:,.1f} MB in all. "
            "`lcsearch cache clear` removes it; whoever needs images later reads them again."
            if found
            else "Nothing is kept: no image files were read yet."
        )


@cache.command(name="clear")
def cache_clear() -> None:
    """Remove it; sessions read their image files again when they need them."""
    with in_words():
        from ...engine.client.images import clear_cached
        from ...sessions.places import home

        try:
            count, size = clear_cached(home())
        except OSError as error:
            fail(f"{error.filename}: cannot be removed ({error.strerror}). Make it writable.")
        say(f"Removed {count} data set{'' if count == 1 else 's'}, {size / 1e6:,.1f} MB.")
