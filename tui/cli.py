"""The `lcsearch` command, put together of the verbs in `commands/`.

Data on stdout, words on stderr; exit codes 0 done, 1 failed, 2 misuse.

What a verb needs is imported by the verb itself, so that `--help` answers at once.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.core

from .commands import candidates, compare, config, console, engine, images, search, sessions


class Commands(typer.core.TyperGroup):
    """The commands; a value that none of them takes is refused in our own words."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command, whose options are read here too."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            from ..sessions.records import refused

            if isinstance(error.__cause__, ValidationError):
                value, remedy = refused(error.__cause__)
                error.message = f"{value}: not usable. {remedy}"
            raise


app = typer.Typer(
    name="lcsearch",
    cls=Commands,
    help="Search for convolutional networks that are cheap as well as good.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use: an option, a value or a name that cannot be "
    "used. Sessions are kept under $LCSEARCH_HOME.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"lcsearch {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Search for convolutional networks that are cheap as well as good."""


for part in (console, sessions, compare, images, candidates, search, engine, config):
    app.add_typer(part.commands)


if __name__ == "__main__":
    app()
