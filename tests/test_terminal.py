"""The real console in a real terminal, training for real: what a person does on the first day."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import jsonschema
import psutil
import pytest

from lcsearch.engine import search
from lcsearch.engine.client.home import create
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.tasks.cnn import LEVELS
from lcsearch.sessions import exchange
from lcsearch.sessions.records import DataSource, Decision, Execution, Setup
from lcsearch.tui.format import weight

from .conftest import PATIENCE, passed_on, standing_still, wait_for
from .sessions_for_tests import filled_store, trial_of
from .terminal import Terminal


class Start(Protocol):
    """Opens a console with these words after its command."""

    def __call__(self, *words: str, width: int = 120, height: int = 40) -> Terminal: ...


def has_left(client: SessionClient) -> bool:
    """Whether no engine is at work on the session."""
    return not client.refresh().engine.alive


@pytest.fixture
def console(home: Path, tmp_path: Path) -> Iterator[Start]:
    """Opens consoles on the test's home; closes them, and ends their engines."""
    opened: list[Terminal] = []

    def start(*words: str, width: int = 120, height: int = 40) -> Terminal:
        command = shlex.join([sys.executable, "-P", "-m", "lcsearch.tui.cli", "tui", *words])
        environment = (
            f"LCSEARCH_HOME={shlex.quote(str(home))} LCSEARCH_IDLE_SECONDS=600 "
            "TEXTUAL_ANIMATIONS=none"
        )
        script = f"cd {shlex.quote(str(tmp_path))} && {environment} {command}"
        terminal = Terminal(script, width, height)
        opened.append(terminal)
        return terminal

    yield start
    for terminal in opened:
        terminal.close()
    for lock in home.glob("sessions/*"):
        client = SessionClient(lock)
        engine = client.refresh().engine
        if engine.alive and engine.pid:
            os.kill(engine.pid, signal.SIGTERM)
            wait_for(partial(has_left, client), what="the engine's end")
        client.close()


def set_up(terminal: Terminal) -> None:
    """From the empty list of sessions to the workbench of a tiny search on digits."""
    terminal.wait("No session yet")
    terminal.keys("n")
    terminal.wait("New session")
    terminal.settle()
    terminal.press("Tab", "digits ·")
    terminal.press("Tab", "images for training")
    terminal.type("300")
    terminal.wait("take at most       300")
    terminal.press("Tab", "share of these images")
    terminal.press("Tab", "best under limits (w_c 0)")
    terminal.press("Tab", "accuracy alone")
    terminal.press("Tab", "what a network may cost")
    terminal.press("Tab", "what complexity is")
    terminal.press("Tab", "where the network is used")
    terminal.press("Tab", "what is searched for")
    terminal.press("Tab", "in the loss")
    terminal.press("Tab", "of every trial")
    terminal.type("1")
    terminal.wait("epochs             1 ")
    terminal.keys("Enter")
    terminal.wait("Candidates")


def carry_on(terminal: Terminal, level: int) -> None:
    """Go on to the next level with the trial that the dialog offers first."""
    terminal.keys("]")
    terminal.wait("Carry it forward")
    terminal.keys("Enter")
    terminal.wait_gone("Carry it forward")
    terminal.wait(f"{'①②③④'[level - 1]} {LEVELS[level - 1].capitalize()}  0 / 12")
    terminal.wait_gone("ranking ")


def test_a_whole_search_by_hand(console: Start, home: Path, tmp_path: Path) -> None:
    terminal = console()
    set_up(terminal)
    client = SessionClient(home / "sessions" / "digits")

    def done(count: int) -> None:
        wait_for(
            lambda: sum(t.state == "done" for t in client.refresh().trials) >= count,
            what=f"trial {count - 1}",
        )

    done(1)
    terminal.wait(
        *(f"f* of this level {n}." for n in range(9))
    )  # ranked anew with what the reference network taught
    terminal.keys("a")
    terminal.wait("Trial 1 is queued")
    done(2)

    terminal.wait_gone("ranking ")
    terminal.keys("x")
    while "near copies" not in terminal.wait("near copies", "decided already"):
        # the next ranking, without the accepted one, is on its way
        terminal.wait_gone("decided already")
        terminal.keys("x")
    terminal.type("too deep")
    terminal.keys("Enter")
    terminal.wait_gone("near copies")
    wait_for(lambda: client.refresh().decisions[-1].kind == "reject", what="the rejection")

    carry_on(terminal, 2)
    terminal.keys("e")
    terminal.wait("Edit candidate")
    terminal.wait("MACs")
    before = client.rank(client.refresh(), count=1).proposals[0].config["kernel"][0]
    before_it = terminal.screen()
    terminal.keys("Down" if before > 1 else "Up")
    terminal.settle(before_it)
    terminal.keys("Enter")
    terminal.wait_gone("Edit candidate")
    done(3)
    edited = client.refresh().trials[2]
    assert edited.source == "edited"
    assert edited.config["kernel"][0] != before

    carry_on(terminal, 3)
    terminal.keys("a")
    done(4)
    terminal.wait_gone("ranking ")
    carry_on(terminal, 4)
    terminal.keys("a")
    done(5)

    terminal.keys("o")
    terminal.wait("Export digits")
    terminal.keys("Enter")
    path = tmp_path / "digits.json"
    wait_for(path.exists, what="the exported file")
    terminal.wait_gone("Export digits")
    terminal.keys("q")
    terminal.wait("exit status 0")
    assert terminal.flags() == "0 0 1"

    data = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(data, exchange.schema())
    assert [t["level"] for t in data["trials"]] == [0, 1, 2, 3, 4]
    assert [t["source"] for t in data["trials"]] == [
        "reference",
        "advisor",
        "edited",
        "advisor",
        "advisor",
    ]
    assert {t["state"] for t in data["trials"]} == {"done"}
    kinds = [d["kind"] for d in data["decisions"]]
    assert kinds == [
        "accept",
        "reject",
        "advance",
        "edit",
        "advance",
        "accept",
        "advance",
        "accept",
    ]
    assert data["decisions"][1]["reason"] == "too deep"
    accepted = data["trials"][1]["prediction"]
    assert accepted["ei"] == pytest.approx(accepted["exploit"] + accepted["explore"], abs=1e-12)
    assert data["best"]["trial"] in range(5)


def test_every_decision_by_its_key(console: Start, home: Path) -> None:
    """The whole table of decisions: each key leads to one that is kept, u takes some back."""
    folder = create(
        home,
        Setup(
            name="keys",
            data=DataSource(spec="digits", train_size=300),
            epochs=1,
            domains={"conv_layers": "2..3", "channels": "8..16"},
            execution=Execution(parallel=1),  # so that one waits while another trains
        ),
    )
    client = SessionClient(folder)
    terminal = console("keys")

    def decided(kind: str, number: int) -> Decision:
        wait_for(
            lambda: len(client.refresh().decisions) >= number, what=f"decision {number}, {kind}"
        )
        decision = client.refresh().decisions[number - 1]
        assert decision.kind == kind
        return decision

    def ended(number: int) -> None:
        wait_for(lambda: client.refresh().trials[number].state == "done", what=f"trial {number}")
        terminal.wait("f* of this level 0.", "f* of this level 1.")
        terminal.wait_gone("ranking ")

    ended(0)
    terminal.keys("w")
    terminal.wait("how much complexity counts")
    terminal.keys("Right", "Enter")
    assert decided("wc", 1).detail["from"] == 0.1
    terminal.wait_gone("how much complexity counts")
    # u takes back what the console shows
    terminal.wait(f"w_c {weight(client.refresh().session.wc)} ")
    terminal.keys("u")
    decided("undo", 2)
    assert client.refresh().session.wc == 0.1

    terminal.wait_gone("ranking ")
    terminal.keys("a")
    ended(trial_of(decided("accept", 3)))
    terminal.keys("n")
    form = terminal.wait("New network, from trial")
    start = int(form.partition("New network, from trial ")[2].split()[0])
    terminal.wait("MACs")
    layers = client.refresh().trials[start].config["conv_layers"]
    before_it = terminal.screen()
    terminal.keys("Down" if layers >= 3 else "Up")
    terminal.settle(before_it)
    terminal.keys("Enter")
    ended(trial_of(decided("new", 4)))
    terminal.keys("r")
    terminal.wait("Repeat a trial")
    terminal.keys("Enter")
    repeated = decided("repeat", 5)
    ended(trial_of(repeated))
    assert client.refresh().trials[trial_of(repeated)].repeat_of == repeated.detail["repeats"]
    terminal.keys("x")
    terminal.wait("near copies")
    terminal.type("not this one")
    terminal.keys("Enter")
    assert decided("reject", 6).reason == "not this one"
    terminal.wait_gone("near copies")
    terminal.keys("e")
    while "Edit candidate" not in terminal.wait("Edit candidate", "decided already"):
        # the next ranking, without the rejected one, is on its way
        terminal.wait_gone("decided already")
        terminal.keys("e")
    terminal.keys("Enter")
    ended(trial_of(decided("edit", 7)))

    another = {"batch_size": 1, "channels": [8, 8], "conv_layers": 2}
    base = client.refresh().trials[0].config
    with standing_still(client):
        number = trial_of(client.submit(client.space.completed(another, base), None, kind="new"))
        wait_for(lambda: client.refresh().trials[number].state == "running", what="the held trial")
        terminal.wait("1 training")
        terminal.wait_gone("ranking ")
        terminal.keys("a")
        queued = decided("accept", 9)
        terminal.wait("1 queued")
        terminal.keys("u")
        decided("undo", 10)
        assert client.refresh().trials[trial_of(queued)].state == "cancelled"
        terminal.keys("s")
        terminal.wait("After this epoch")
        with passed_on(client, number):
            terminal.keys("n")
            assert decided("stop", 11).trial == number
    wait_for(
        lambda: client.refresh().trials[number].state == "stopped", what="the end of the trial"
    )

    terminal.wait_gone("ranking ")
    # its first trial does not end before the wheel is taken back
    with standing_still(client):
        terminal.keys("p")
        terminal.wait("The engine accepts the best candidate")
        terminal.keys("Enter")
        decided("autopilot", 12)
        assert client.refresh().session.autopilot is not None
        terminal.wait("autopilot  ")
        terminal.keys("p")
        wait_for(lambda: client.refresh().session.autopilot is None, what="the wheel")
    assert "takeover" in [d.kind for d in client.refresh().decisions]
    wait_for(lambda: not search.pending(client.refresh()), what="the last trial")

    before = len(client.refresh().decisions)
    terminal.wait_gone("ranking ")
    terminal.keys("]")
    terminal.wait("Carry it forward")
    terminal.keys("Enter")
    decided("advance", before + 1)
    assert client.refresh().session.level == 2
    terminal.wait_gone("Carry it forward")
    terminal.wait("② Parameters  0 / 12")
    terminal.keys("[")
    terminal.wait("Open a level again")
    terminal.keys("Enter")
    terminal.wait("Carry it forward")
    terminal.keys("Enter")
    decided("reopen", before + 2)
    assert client.refresh().session.level == 1
    client.close()


def test_training_goes_on_while_the_console_is_closed(console: Start, home: Path) -> None:
    terminal = console()
    set_up(terminal)
    client = SessionClient(home / "sessions" / "digits")
    wait_for(lambda: client.refresh().trials[0].state == "done", what="the reference")
    another = {"batch_size": 1, "channels": [8, 8, 8, 8]}
    base = client.refresh().trials[0].config
    with standing_still(client):
        client.submit(client.space.completed(another, base), None, kind="new")
        wait_for(lambda: client.refresh().trials[1].state == "running", what="the trial")
        terminal.wait("engine ● 1 training")
        terminal.keys("q")
        terminal.wait("raining in the background")
        terminal.keys("b")
        terminal.wait("exit status 0")
        assert terminal.flags() == "0 0 1"
        assert client.refresh().engine.alive
    again = console("digits")
    again.wait("Candidates")
    wait_for(lambda: client.refresh().trials[1].state == "done", what="the trial's end")
    again.wait("last: trial 1")


def consoles_of(home: Path) -> list[psutil.Process]:
    """The console processes at work on this home."""
    return [
        p
        for p in psutil.process_iter(["cmdline", "environ"])
        if "lcsearch.tui.cli" in (p.info["cmdline"] or [])
        and (p.info["environ"] or {}).get("LCSEARCH_HOME") == str(home)
    ]


def test_a_console_whose_terminal_is_gone_ends(console: Start, home: Path) -> None:
    filled_store(home, 3).close()
    terminal = console("demo")
    terminal.wait("Candidates")
    (process,) = consoles_of(home)
    terminal.close()
    process.wait(PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(
    console: Start, home: Path, number: signal.Signals
) -> None:
    filled_store(home, 3).close()
    terminal = console("demo")
    terminal.wait("Candidates")
    (process,) = consoles_of(home)
    process.send_signal(number)
    terminal.wait("exit status")
    assert terminal.flags() == "0 0 1"


CRASHING = """
import sys
from pathlib import Path
from lcsearch.tui import app
def crash(self):
    raise RuntimeError("on purpose")
app.Console.action_help = crash
sys.exit(app.run(Path(sys.argv[1]), "demo"))
"""


def test_an_exception_leaves_the_terminal_as_it_was(home: Path, tmp_path: Path) -> None:
    filled_store(home, 3).close()
    program = tmp_path / "crash.py"
    program.write_text(CRASHING)
    words = shlex.join([sys.executable, "-P", str(program), str(home)])
    terminal = Terminal(f"TEXTUAL_ANIMATIONS=none {words}")
    try:
        terminal.wait("Candidates")
        terminal.keys("?")
        terminal.wait("exit status 1")
        assert terminal.flags() == "0 0 1"
        assert "on purpose" in terminal.screen()
    finally:
        terminal.close()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20)])
def test_a_small_terminal_reaches_every_action(
    console: Start, home: Path, width: int, height: int
) -> None:
    filled_store(home, 5).close()
    terminal = console("demo", width=width, height=height)
    terminal.wait("▸  1")
    for key, words in [("e", "Edit"), ("x", "Reject"), ("]", "Go on"), ("w", "w_c"), ("p", "Auto")]:
        terminal.wait_gone("ranking ")
        terminal.keys(key)
        terminal.wait(f"╭─ {words}")
        terminal.keys("Escape")
        terminal.wait_gone(f"╭─ {words}")
    for line in terminal.screen().splitlines():
        assert len(line) <= width
