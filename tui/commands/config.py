"""The console's settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from .base import fail, print_json, say, tell
from .options import AsJson

commands = typer.Typer()
config = typer.Typer(help="The console's settings: theme, keys, layout.", no_args_is_help=True)
commands.add_typer(config, name="config")


@contextmanager
def _settings() -> Iterator[None]:
    from ..settings import SettingsError

    try:
        yield
    except SettingsError as error:
        fail(error, 2)


@config.command(name="path")
def config_path() -> None:
    """Print where the settings are kept."""
    from ..settings import path

    typer.echo(str(path()))


@config.command(name="show")
def config_show() -> None:
    """Print the settings as JSON."""
    from dataclasses import asdict

    from ..settings import load, path

    with _settings():
        print_json(asdict(load(path())))


@config.command(name="set")
def config_set(
    name: Annotated[str, typer.Argument(help="theme, layout, or keys.BINDING.")],
    value: Annotated[
        str, typer.Argument(help="The new value; nothing brings a key's default back.")
    ],
) -> None:
    """Change a setting."""
    from ..settings import changed, load, path, save

    with _settings():
        if name == "theme":
            from ..themes import known

            if value not in known():
                fail(f"theme {value}: not known. Use {', '.join(sorted(known()))}.", 2)
        settings = changed(load(path()), name, value)
        told = []
        if name.startswith("keys.") and value:
            from ..app import Console
            from ..bindings import check, clashes

            binding = name.removeprefix("keys.")
            check({binding: value}, Console)
            told = clashes(settings.keys, binding, Console)
        save(path(), settings)
        say(f"{name} = {value}." if value else f"{name} has its default back.")
        for sentence in told:
            say(sentence)


@config.command(name="keys")
def config_keys(json_: AsJson = False) -> None:
    """List what has a key: its name for `config set keys.NAME`, its keys now, what it does."""
    from ..app import Console
    from ..bindings import settable
    from ..settings import load, path

    with _settings():
        own = load(path()).keys
    known = settable(Console).values()
    if json_:
        print_json([{"name": b.name, "keys": own.get(b.name, b.keys), "default": b.keys,
                      "what": b.what} for b in known])  # fmt: skip
        return
    for binding in known:
        keys = own.get(binding.name, binding.keys)
        tell(f"{binding.name:17}  {keys:24}  {binding.what}")
