"""Following a search from the command line: progress with time left, and the engine's log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from ...engine import search
from ...engine.search import schedule
from ...sessions.errors import Late, StoreError
from .. import cost, deliveries
from .. import format as words
from ..networks import network_line

if TYPE_CHECKING:
    from ...sessions.records import Delivery, Trial
    from ...sessions.snapshot import Snapshot
    from ..ports import Client


LOOK_SECONDS = 0.2
BESIDE_THE_BAR = 53
"""Characters of the words that stand beside a progress bar, at most."""
SHORTEST_BAR, LONGEST_BAR = 6, 40
DEAD_LOOKS = 15
"""Looks in a row without an engine after which it counts as gone: one may be starting."""


def follow(client: Client, begin: Callable[[], None]) -> int:
    """Show progress on stderr until the autopilot is done; the exit code of the command.

    begin: hands the wheel over.  Every trial that ends is a line.  Ctrl-C takes the wheel back,
    however soon it comes, and leaves training at work.
    """
    console = Console(stderr=True)
    try:
        begin()
        told = {t.number for t in client.refresh().trials if t.ended is not None}
        decided = len(client.refresh().decisions)
        begun: set[int] = set()
        dead = 0
        with bar(console, TimeElapsedColumn()) as progress:
            task = progress.add_task("starting", total=None, left="")
            while True:
                snapshot = client.refresh()
                for trial in snapshot.standing:
                    if trial.ended is not None and trial.number not in told:
                        told.add(trial.number)
                        _say(console, _line(snapshot, trial))
                    if trial.state == "running" and not console.is_terminal:
                        # a log shows no bar: it says at least what is at work
                        if trial.number not in begun:
                            left = _state(snapshot)["left"]
                            _say(console, f"trial {trial.number:>3} trains, {left}")
                        begun.add(trial.number)
                for decision in snapshot.decisions[decided:]:
                    turned = words.turn(decision)
                    if turned is not None:
                        _say(console, turned)
                decided = len(snapshot.decisions)
                waiting = search.pending(snapshot)
                if snapshot.session.autopilot is None and not waiting:
                    break
                dead = 0 if snapshot.engine.alive else dead + 1
                if dead > DEAD_LOOKS:
                    log = "" if snapshot.engine.standing == "gone" else client.log_tail(8)
                    end = words.engine_end(snapshot.engine)
                    raise StoreError(f"{end}. {words.goes_on(client.folder.name)}\n{log}".rstrip())
                progress.update(task, **_state(snapshot))
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        try:
            client.takeover()
        except Late:
            console.print("the search had ended already.")
        console.print(
            "autopilot off; what runs or waits goes on in the background "
            f"(lcsearch stop {client.folder.name})."
        )
        return 1
    snapshot = client.refresh()
    best = client.recommended(snapshot)
    if best is not None:
        _say(console, f"{words.best_network(best)}\n{_line(snapshot, best.trial)}")
    return 0


def follow_deliveries(client: Client, numbers: Sequence[int]) -> Sequence[Delivery] | None:
    """Show how far these final trainings are, on stderr, until all are over or paused; how they
    stand then.  None where Ctrl-C left them to the engine.
    """
    console = Console(stderr=True)
    told: set[int] = set()
    dead = 0
    epochs: dict[int, tuple[int, int]] = {}
    try:
        with bar(console) as progress:
            task = progress.add_task("waiting for the engine", total=1.0, left="")
            while True:
                snapshot = client.refresh()
                finals = [snapshot.standing_deliveries[number - 1] for number in numbers]
                for one in finals:
                    if one.number not in told and not one.pending:
                        told.add(one.number)
                        _say(console, deliveries.line(one, snapshot.session))
                pending = [one for one in finals if one.pending]
                if not pending:
                    return finals
                dead = 0 if snapshot.engine.alive else dead + 1
                if dead > DEAD_LOOKS:
                    end = words.engine_end(snapshot.engine)
                    name, left = client.folder.name, pending[0].number
                    raise StoreError(
                        f"{end}. {words.goes_on(name)} `lcsearch stop {name} --final {left}` gives "
                        f"final training {left} up."
                    )
                now = next((one for one in pending if one.state == "running"), pending[0])
                at = now.training, now.epoch
                line = f"final {now.number} · {deliveries.state(now, snapshot.session)}"
                progress.update(task, description=line, completed=now.done)
                if not console.is_terminal and now.state == "running":
                    # a log shows no bar: it says each epoch
                    if epochs.get(now.number) != at:
                        _say(console, line)
                    epochs[now.number] = at
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        name = client.folder.name
        stop = f"lcsearch stop {name} --final {numbers[0]}"
        console.print(f"it goes on in the background ({stop}; lcsearch show {name}).")
        return None


def bar(console: Console, *more: ProgressColumn) -> Progress:
    """A bar as long as its words leave room for: they are not cut."""
    length = min(max(console.width - BESIDE_THE_BAR, SHORTEST_BAR), LONGEST_BAR)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(length),
        TextColumn("{task.fields[left]}"),
        *more,
        console=console,
        transient=True,
        disable=not console.is_terminal,  # else a log or a pipe is given an empty line
    )


def _say(console: Console, line: str) -> None:
    """One line: brackets in a failure's message are no markup, and a terminal breaks no number."""
    if console.is_terminal:
        line = words.folded(line, console.width)
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _state(snapshot: Snapshot) -> dict[str, Any]:
    session = snapshot.session
    running = [t for t in snapshot.standing if t.state == "running"]
    what = "thinking"
    if running:
        what = f"{len(running)} trials" if len(running) > 1 else f"trial {running[0].number}"
    done = sum(len(t.epochs) for t in running)
    return {
        "description": f"level {session.level} · {what}",
        "completed": done,
        "total": session.epochs * max(len(running), 1),
        "left": words.time_left(schedule.seconds_left(snapshot)),
    }


def _line(snapshot: Snapshot, trial: Trial) -> str:
    head = f"trial {trial.number:>3}  L{trial.level}  {network_line(trial.config)}"
    session = snapshot.session
    value = search.objective(trial, session.wc)
    if value is None or trial.error is None:
        return f"{head}  {trial.failure.message if trial.failure else trial.state}"
    return (
        f"{head}  f {value:.4f}  {words.metric(session).val} {1 - trial.error:.2%}  "
        f"f_c {trial.complexity:.3f}  {cost.measured(trial, session)}  {cost.size(trial, session)}"
    )


def tail(client: Client, lines: int, more: bool) -> None:
    """Print the last lines of the engine's log, and with `more` what is added to it."""
    text = client.log_tail(lines)
    if text:
        typer.echo(text)
    path = client.folder / "engine.log"
    place = path.stat().st_size if path.is_file() else 0
    try:
        while more:
            size = path.stat().st_size if path.is_file() else 0
            place = min(place, size)  # emptied in place
            if size > place:
                with path.open("rb") as file:
                    file.seek(place)
                    grown = file.read()
                place += len(grown)
                typer.echo(grown.decode(errors="replace"), nl=False)
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        return
