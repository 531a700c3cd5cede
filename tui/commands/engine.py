"""The process that trains, its log, and the machine that it works on."""

from __future__ import annotations

from typing import Annotated

import typer

from .base import opened, print_json, say, tell
from .options import AsJson, Name

commands = typer.Typer()


@commands.command()
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1)] = 50,
) -> None:
    """Print the engine's log."""
    with opened(name) as client:
        from .follow import tail

        tail(client, lines, follow)


@commands.command()
def doctor() -> None:
    """Check this machine: Python, torch, SQLite, the folder of the sessions."""
    from .checks import examine

    good = True
    for check in examine():
        good = good and check.good
        tell(f"{'ok  ' if check.good else 'FAIL'} {check.what}: {check.found}")
    if not good:
        raise typer.Exit(1)


engine = typer.Typer(
    help="The process that trains: whether it lives, start, stop.", no_args_is_help=True
)
commands.add_typer(engine, name="engine")


@engine.command(name="status")
def engine_status(name: Name, json_: AsJson = False) -> None:
    """Say whether the engine lives, and what it does.  Looking starts nothing."""
    with opened(name, migrate=False) as client:
        from ..engine_state import engine_state

        state = engine_state(client.refresh(), client.folder)
        if json_:
            print_json(state)
            return
        tell(state["words"])


@engine.command(name="start")
def engine_start(
    name: Name,
    foreground: Annotated[
        bool,
        typer.Option("--foreground", help="Be the engine, for a service manager such as systemd."),
    ] = False,
) -> None:
    """Start the engine; what waits is trained.  One that serves already stays."""
    with opened(name) as client:
        if foreground:
            client.become_engine()
        before = client.refresh().engine
        client.start_engine()
        after = client.refresh().engine
        words = "serves already" if before.alive and before.pid == after.pid else "serves"
        say(f"session {name}: engine {after.pid} {words}.")


@engine.command(name="stop")
def engine_stop(
    name: Name,
    force: Annotated[
        bool,
        typer.Option("--force", help="Kill it, and its trainers, where it does not go by itself."),
    ] = False,
) -> None:
    """Stop the engine in order: what it trains goes back to wait, with its checkpoint.

    It comes back for `engine start`, `run` and whoever queues a trial, not for one who looks.
    With --force nothing is lost either but the epoch that was being trained.
    """
    with opened(name, migrate=False) as client:
        from ..engine_state import engine_state

        stopped = client.stop_engine(force=force)
        end = "was killed" if stopped.killed else "has left"
        done = f"engine {stopped.pid} {end}" if stopped.pid else "no engine was at work"
        waits = engine_state(client.refresh(), client.folder)["waits"]
        say(f"session {name}: {done}. {waits}".rstrip())
