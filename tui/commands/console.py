"""The console, in this terminal or in a browser."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from .base import fail, in_words, say

commands = typer.Typer()


def _need_terminal() -> None:
    # Textual draws on standard error, or where `lcsearch serve` tells it to
    served = "TEXTUAL_DRIVER" in os.environ
    if not (served or (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty())):
        fail(
            "the console needs a terminal, and this is none. Use the commands instead: "
            "`lcsearch new`, `run`, `propose`, `accept`, `show` (see `lcsearch --help`).",
            2,
        )


@commands.command()
def tui(name: Annotated[str | None, typer.Argument(help="A session to open.")] = None) -> None:
    """Open the console."""
    _need_terminal()
    from ...sessions.places import folder, home

    if name is not None:
        with in_words():
            folder(home(), name)
    from ..app import run

    raise typer.Exit(run(home(), name))


@commands.command()
def demo() -> None:
    """Open the console on a recorded search on Fashion-MNIST: look around, nothing trains."""
    _need_terminal()
    with in_words():
        from ..demo import run

        raise typer.Exit(run())


@commands.command()
def serve(
    name: Annotated[str | None, typer.Argument(help="A session to open.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 0,
    host: Annotated[str, typer.Option(help="An address of this machine alone.")] = "127.0.0.1",
) -> None:
    """Serve the console to a browser on this machine, at a secret address."""
    from ...sessions.places import folder, home

    if name is not None:
        with in_words():
            folder(home(), name)
    try:
        from ..serve import NotServed, server
    except ImportError as error:
        fail(
            f"the browser needs what is not installed ({error.name}). "
            "`pip install 'lcsearch[web]'` installs it."
        )
    try:
        found = server(host, port, name)
    except NotServed as error:
        fail(error, 2)
    say("The console is in the browser at this address until ctrl-c. Who has it acts as you:")
    typer.echo(found.address)
    found.run()
