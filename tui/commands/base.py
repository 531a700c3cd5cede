"""What every verb has: its words on stderr, its data on stdout, its errors as one message."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never, TextIO

import typer

from ...sessions.text import printable
from ..format import folded

if TYPE_CHECKING:
    from ...engine.client.session import SessionClient


def say(words: str) -> None:
    """Words for a person: on stderr."""
    typer.echo(_fitting(words, sys.stderr), err=True)


def tell(line: str) -> None:
    """Data as a line of columns: on stdout."""
    typer.echo(_fitting(line, sys.stdout))


def _fitting(text: str, stream: TextIO) -> str:
    """Folded at spaces for a terminal, which would break numbers; as it is for a file or a pipe.

    Names of files and paths in it may hold anything: nothing of them steers a terminal.
    """
    text = "\n".join(map(printable, text.split("\n")))
    width = terminal_width(stream)
    return text if width is None else folded(text, width)


def terminal_width(stream: TextIO) -> int | None:
    """Columns of the terminal that this is; None where it is none, or does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def fail(words: object, code: int = 1) -> Never:
    """End the command with a message, and exit code 1 (failed) or 2 (wrong use)."""
    say(f"lcsearch: {words}")
    raise typer.Exit(code)


def print_json(data: object) -> None:
    """Data for a program: on stdout."""
    from ...sessions.exchange import in_lines

    typer.echo(in_lines(data), nl=False)


@contextmanager
def or_so_already() -> Iterator[None]:
    """Where what is asked for is so already, say that, and go on: it is no error."""
    from ...sessions.errors import Already

    try:
        yield
    except Already as so:
        say(str(so))


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what a user can cause into one message and exit code 1 (2 for a wrong value).

    What is so already ends with 0.
    """
    from ...engine.client.home import SetupError
    from ...engine.tasks.space import InvalidConfig
    from ...sessions.errors import Misuse, StoreError

    try:
        with or_so_already():
            yield
    except InvalidConfig as error:
        fail(error, 2)
    except (StoreError, SetupError) as error:
        fail(error, 2 if isinstance(error, Misuse) or getattr(error, "misuse", False) else 1)


@contextmanager
def opened(name: str, *, migrate: bool = True) -> Iterator[SessionClient]:
    """The session of this name, closed at the end; its errors said in words."""
    with in_words():
        from ...engine.client.session import SessionClient
        from ...sessions.places import folder, home

        client = SessionClient(folder(home(), name), migrate=migrate)
        try:
            yield client
        finally:
            client.close()
