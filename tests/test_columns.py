"""Lines of columns on a terminal: none is wider than it, and no word or number is broken."""

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import TimeElapsedColumn
from typer.testing import CliRunner, Result

from lcsearch.engine.client.session import SessionClient
from lcsearch.sessions.records import Failure
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app
from lcsearch.tui.commands import base
from lcsearch.tui.commands import follow as progress

from .conftest import PATIENCE
from .fakes import make_snapshot
from .sessions_for_tests import filled_store

WIDTHS = (60, 80, 100, 120)
COMMANDS = (
    ("list",),
    ("show", "demo"),
    ("show", "demo", "--filter", "level=1"),
    ("propose", "demo", "-n", "3"),
    ("favour", "demo", "kernel=1,3", "channels=8..64"),
    ("favour", "demo"),
    ("engine", "status", "demo"),
    ("config", "keys"),
    ("set", "demo", "--wc", "0.2", "--strategy", "evolution", "--domain", "kernel=1,3"),
    ("show", "no-session-of-this-name"),
)


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)
    made = filled_store(home, 4)
    made.close()
    return made


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_lines_of_a_command_fit_and_say_the_same(
    store: Store, home: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def run(columns: int | None) -> tuple[int, str, Result]:
        monkeypatch.setattr(base, "terminal_width", lambda stream: columns)
        done = CliRunner().invoke(app, list(command))
        said = " ".join(done.output.split())
        # how long a ranking took is another time every time
        return done.exit_code, re.sub(r"ranked in \S+ s", "ranked", said), done

    kept = home / "kept"
    shutil.copytree(store.folder, kept)
    code, said, _ = run(None)
    for width in WIDTHS:
        # what was decided once would be so already
        shutil.rmtree(store.folder)
        shutil.copytree(kept, store.folder)
        folded_code, folded_said, folded = run(width)
        assert (folded_code, folded_said) == (code, said), width
        assert all(len(line) <= width for line in folded.output.splitlines()), width


def test_the_width_is_that_of_the_terminal_that_is_written_to(store: Store, home: Path) -> None:
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    command = [sys.executable, "-P", "-m", "lcsearch.tui.cli", "show", "demo"]
    surroundings = {**os.environ, "LCSEARCH_HOME": str(home)}
    piped = subprocess.run(
        command, env=surroundings, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    with subprocess.Popen(command, env=surroundings, stdout=its, stderr=subprocess.PIPE):
        os.close(its)
        shown = b""
        try:
            while part := os.read(mine, 4096):
                shown += part
        except OSError:  # the other end is closed
            pass
    os.close(mine)
    lines = shown.decode().splitlines()
    assert max(len(line) for line in piped.stdout.splitlines()) > 60
    assert all(len(line) <= 60 for line in lines)
    assert " ".join(lines).split() == piped.stdout.split()


@pytest.mark.parametrize("width", WIDTHS)
def test_what_run_says_of_a_trial_fits_and_breaks_no_number(width: int) -> None:
    snapshot = make_snapshot(failed=1)
    why = Failure(
        kind="exception", message="channels[2] = 33: not divisible by groups[2] = 2. " * 4
    )
    trials = [
        *snapshot.trials[:5],
        next(t for t in snapshot.trials if t.state == "failed").model_copy(update={"failure": why}),
    ]
    for trial in trials:
        line = progress._line(snapshot, trial)
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=True, color_system=None, width=width)
        progress._say(console, line)
        lines = shown.getvalue().splitlines()
        assert all(len(part) <= width for part in lines)
        assert " ".join(lines).split() == line.split()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_words_beside_the_bar_are_whole(width: int) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None, width=width)
    with progress.bar(console, TimeElapsedColumn()) as drawn:
        drawn.add_task("level 1 · 2 trials", total=10, left="time left not known yet")
        drawn.refresh()
    assert "level 1 · 2 trials" in shown.getvalue()
    assert "time left not known yet" in shown.getvalue()
    assert "…" not in shown.getvalue()
