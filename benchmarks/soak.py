"""What a session survives: kills, power cuts, full disks, sleep, crowds and long searches.

    python benchmarks/soak.py --json [--short] [--case NAME ...] [--minutes M]

prints a line for every case: how many moments or how much was tried, and what was lost or happened
twice.  Engines, trainers, scripts and consoles are real processes, killed and stopped by real
signals.  Only `gap` trains: the others' trainer is benchmarks/soak_trainer.py, which waits in place
of training, and engines, scripts and consoles are forked from one process that has imported all
that they need, so that a start takes milliseconds.  The exit code is 1 if anything was lost, done
twice, or left undone.
"""

# ruff: noqa: E402 - threads are capped before anything counts the cores
from __future__ import annotations

import argparse
import contextlib
import fcntl
import itertools
import json
import os
import pty
import random
import re
import resource
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")

import psutil

from lcsearch.engine import search
from lcsearch.engine.client import process as processes
from lcsearch.engine.client.home import create
from lcsearch.engine.client.process import EngineProcess
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions import store as store_file
from lcsearch.sessions.errors import Late, NoRoom, StoreError
from lcsearch.sessions.records import (
    DataSource,
    DataSummary,
    Decision,
    Epoch,
    Execution,
    Session,
    Setup,
    now,
)
from lcsearch.sessions.store import Store
from lcsearch.tui.format import weight

HERE = Path(__file__).resolve()
TRAINER = HERE.with_name("soak_trainer.py")
SUMMARY = DataSummary(
    channels=1, height=8, width=8, classes=10, train=1150, val=288, test=359, fingerprint="f" * 64
)
BUDGET = 900.0
"""Seconds after which a case ends with the moments that it has had: its line says how many.
Set by --minutes; an idle machine needs less than half of it for any case."""
PATIENCE = 300.0
"""Seconds after which what does not happen counts as left undone."""
Line = dict[str, Any]


class Undone(Exception):
    """What was waited for did not happen."""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Look again and again until it is so; the value that was."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise Undone(what)


def late(began: float) -> bool:
    """Whether a case that began then has used its time."""
    return time.monotonic() - began > BUDGET


# -- processes ------------------------------------------------------------------------------------


def zygote(address: str) -> None:
    """Import what engines, scripts and consoles need; then fork one for every order, until stdin
    ends.  No session is open here: SQLite's connections must not be carried across a fork.
    """
    import gc

    import lcsearch.engine.advisor
    import lcsearch.engine.service
    import lcsearch.tui.app
    import lcsearch.tui.screens.workbench  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = server.accept()
        with connection.makefile() as lines:
            order = json.loads(lines.readline())
        pid = os.fork()
        if pid == 0:
            server.close()
            connection.close()
            _be(order)
        connection.sendall(f"{pid}\n".encode())
        connection.close()


def _be(order: dict[str, Any]) -> None:
    """In the forked child: become what was ordered, and end as it does."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.environ.clear()
        os.environ.update(order["env"])
        EngineProcess._launch = launch  # type: ignore[method-assign, assignment]
        code = ROLES[order["role"]](*order["args"])
    except BaseException:  # noqa: BLE001 - the process's edge: recorded, and its exit code says so
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _engine(folder: str) -> int:
    from lcsearch.engine import service
    from lcsearch.engine.executors import devices

    log = os.open(f"{folder}/engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, handle in ((0, nothing), (1, log), (2, log)):
        os.dup2(handle, number)
    # a test may bring a trainer of its own
    program = ["-c", os.environ["SOAK_TRAINER"]] if "SOAK_TRAINER" in os.environ else [str(TRAINER)]
    devices.trainer_command = lambda *options: [sys.executable, "-I", "-S", *program]
    sys.argv = ["service", folder]
    return service.main()


def _script(folder: str, acks: str, seed: int, count: int, pace: float, kinds: list[str]) -> int:
    """Decide at random; every acknowledgement is a line of `acks`, written after the fact."""
    return decide_on(SessionClient(Path(folder)), acks, seed, count, pace, kinds)


def _console(home: str, name: str, terminal: str) -> int:
    from lcsearch.tui.app import run

    handle = os.open(terminal, os.O_RDWR)
    fcntl.ioctl(handle, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(handle, number)
    sys.__stdin__ = sys.stdin = os.fdopen(0, "r")
    sys.__stdout__ = sys.stdout = os.fdopen(1, "w")
    sys.__stderr__ = sys.stderr = os.fdopen(2, "w")
    return run(Path(home), name)


ROLES: dict[str, Callable[..., int]] = {
    "engine": _engine,
    "script": _script,
    "console": _console,
}


def start(role: str, *args: object, **env: str) -> int:
    """Have the zygote fork this; its process."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["SOAK_ZYGOTE"])
        order = {"role": role, "args": args, "env": {**os.environ, **env}}
        connection.sendall((json.dumps(order) + "\n").encode())
        return int(connection.makefile().readline())


class Started:
    """What `EngineProcess.start` asks of a process that it has started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """None while it lives.  Whoever ends in order ends with 0, and so is it taken here."""
        return None if alive(self.pid) else 0


def launch(engine: EngineProcess) -> Started:
    """An engine forked from the zygote, where `EngineProcess` would start a new interpreter."""
    return Started(start("engine", str(engine.folder)))


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill it, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    wait_for(lambda: not alive(pid), f"the end of process {pid}")


class Terminal:
    """A console in a terminal of its own: keys go in, what is drawn is kept."""

    def __init__(self, home: Path, name: str) -> None:
        self._main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.pid = start(
            "console", str(home), name, os.ttyname(other), TERM="xterm-256color", COLORTERM=""
        )
        self._other = other
        self._keys = itertools.cycle(("w", "\x1b[C", "\r"))
        self._pressed = 0.0
        self.drawn = b""
        self.total = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._main, 65536):
                self.total += len(data)
                self.drawn = (self.drawn + data)[-400_000:]

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._main, keys.encode())

    def decide(self) -> None:
        """Press the next key of those that move w_c and keep it; a person presses no faster."""
        if time.monotonic() - self._pressed > 0.15:
            self._pressed = time.monotonic()
            self.press(next(self._keys))

    def acknowledged(self) -> set[str]:
        """The weights of which it said that they are decided, as it writes them."""
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.drawn)
        return {weight.decode() for weight in re.findall(rb"w_c is ([0-9.]+)\. u undoes", plain)}

    def close(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, and let go of its terminal."""
        kill(self.pid, number)
        os.close(self._other)
        self._thread.join(5)
        os.close(self._main)


class Home:
    """A home of its own, with a zygote for its processes."""

    def __init__(self, place: Path | None = None, **env: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="soak-")) if place is None else place
        self.sockets = Path(tempfile.mkdtemp(prefix="soak-"))
        self.env = {"LCSEARCH_HOME": str(self.home), "LCSEARCH_IDLE_SECONDS": "600", **env}
        names = (*self.env, "SOAK_ZYGOTE", "SOAK_LEDGER")
        self.before = {name: os.environ.get(name) for name in names}
        self.processes: set[int] = set()

    def __enter__(self) -> Home:
        os.environ.update(self.env, SOAK_ZYGOTE=str(self.sockets / "zygote"))
        self.zygote = subprocess.Popen(
            [sys.executable, "-P", str(HERE), "--zygote", os.environ["SOAK_ZYGOTE"]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.zygote.stdout is not None
        if self.zygote.stdout.readline() != b"ready\n":
            raise SystemExit("the processes to fork from cannot be started")
        self._launch, EngineProcess._launch = EngineProcess._launch, launch  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        EngineProcess._launch = self._launch  # type: ignore[method-assign]
        for process in psutil.Process(self.zygote.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.zygote.communicate()
        for name, value in self.before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def session(self, name: str = "soak", epochs: int = 3) -> Path:
        """A session made of records: no data are read."""
        session = Session(
            name=name, created=now(), data=DataSource(spec="digits"), summary=SUMMARY,
            epochs=epochs, measure="params",
        )  # fmt: skip
        first = decide.reference_trial(session, session_space(session))
        folder = self.home / "sessions" / name
        Store.create(folder, session, first).close()
        return folder

    def at_work(self, epochs: int = 3) -> Witness:
        """A session with an engine at work, and who remembers what is acknowledged in it."""
        witness = Witness(self.session(epochs=epochs))
        witness.client.start_engine()
        return witness

    def console(self, folder: Path) -> Terminal:
        """A console that shows the session in this folder."""
        terminal = Terminal(self.home, folder.name)
        wait_for(lambda: b"Candidates" in terminal.drawn, "a console")
        return terminal


def engine_pid(client: SessionClient) -> int | None:
    """The process of the engine at work."""
    engine = client.refresh().engine
    return engine.pid if engine.alive and engine.state == "serving" else None


def trainers(pid: int | None) -> list[int]:
    """The trainers of an engine."""
    try:
        return [] if pid is None else [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


# -- decisions, and what became of them -----------------------------------------------------------


def decide_on(
    client: SessionClient, acks: str, seed: int, count: int, pace: float, kinds: list[str]
) -> int:
    """Take decisions of these kinds, `count` of them or without end, at most `pace` s apart."""
    rng = random.Random(seed)
    import numpy as np

    draw = np.random.default_rng(seed)
    out = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    done = 0
    while count == 0 or done < count:
        kind = rng.choice(kinds)
        token = f"{seed}-{os.getpid()}-{done}"
        try:
            decision = _decide(client, kind, token, draw, rng)
        except (Late, NoRoom) as late:
            said: dict[str, Any] = {"refused": str(late), "kind": kind}
            if isinstance(late, NoRoom):
                said["full"] = True
                time.sleep(0.02)
        except StoreError as error:  # nothing there that could be decided so, or a slow engine
            said = {"refused": str(error), "kind": kind}
        else:
            if decision is None:
                continue
            said = {
                "number": decision.number, "kind": decision.kind, "trial": decision.trial,
                "reason": decision.reason,
            }  # fmt: skip
        done += 1
        os.write(out, (json.dumps({**said, "t": time.monotonic()}) + "\n").encode())
        time.sleep(rng.random() * pace)
    return 0


def _decide(
    client: SessionClient, kind: str, token: str, draw: Any, rng: random.Random
) -> Decision | None:
    snapshot = client.refresh()
    waiting = [t for t in snapshot.trials if t.state in ("queued", "interrupted")]
    level, base = snapshot.session.level, search.base_trial(snapshot).config
    if kind == "new" and len(waiting) < 8:
        return client.submit(client.space.sample(draw, level, base), None, kind="new", reason=token)
    if kind == "reject":
        config = client.space.sample(draw, level, base)
        return client._decide(decide.reject(snapshot, config, None, token))
    if kind == "wc":
        return client.set_wc(rng.random())
    if kind == "withdraw" and waiting:
        # everybody wants the same one: one gets it, the others are told so
        return client.stop(waiting[-1].number, "now", token)
    if kind == "repeat":
        done = [t for t in snapshot.trials if t.observed]
        if done and len(waiting) < 8:
            return client.repeat(rng.choice(done).number, token)
    return None


def queue_one(client: SessionClient, draw: Any) -> int | None:
    """Queue a network drawn at random; its trial, None where the same was drawn before."""
    base = search.base_trial(client.refresh()).config
    with contextlib.suppress(Late):
        return client.submit(client.space.sample(draw, 1, base), None, kind="new").trial
    return None


class Witness:
    """Remembers what was acknowledged, and says what became of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acks = folder.parent.parent / f"acks-{folder.name}"
        self.client = SessionClient(folder)
        self.epochs: dict[tuple[int, int], Epoch] = {}
        self.done: set[int] = set()
        self.opened = 0

    def look(self) -> None:
        """See what has been committed by now."""
        for trial in self.client.refresh().trials:
            for epoch in trial.epochs:
                self.epochs[trial.number, epoch.epoch] = epoch
            if trial.state == "done":
                self.done.add(trial.number)

    def acknowledged(self) -> list[dict[str, Any]]:
        """The decisions that were acknowledged, without those refused."""
        if not self.acks.exists():
            return []
        lines = self.acks.read_text().splitlines()
        return [said for said in map(json.loads, lines) if "number" in said]

    def lost(
        self,
        folder: Path | None = None,
        acks: list[dict[str, Any]] | None = None,
        by_console: set[str] | None = None,
    ) -> list[str]:
        """What was acknowledged and is not there: in the session, or in a copy of it."""
        acks = self.acknowledged() if acks is None else acks
        store = Store(folder or self.folder)
        self.opened += 1
        try:
            verdict = store._db.execute("PRAGMA integrity_check").fetchone()[0]
            snapshot = store.refresh()
        finally:
            store.close()
        found = [] if verdict == "ok" else [f"integrity: {verdict}"]
        numbers = [decision.number for decision in snapshot.decisions]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append("decisions are not numbered one after another")
        for said in acks:
            if said["number"] > len(snapshot.decisions):
                found.append(f"decision {said['number']}")
                continue
            kept = snapshot.decisions[said["number"] - 1]
            if (kept.kind, kept.trial, kept.reason) != (
                said["kind"], said["trial"], said["reason"]
            ):  # fmt: skip
                found.append(f"decision {said['number']} is another")
        for (number, epoch), record in self.epochs.items():
            trial = snapshot.trials[number] if number < len(snapshot.trials) else None
            if trial is None or record not in trial.epochs:
                found.append(f"epoch {epoch} of trial {number}")
        for number in self.done:
            if snapshot.trials[number].state != "done":
                found.append(f"trial {number} was done, and is {snapshot.trials[number].state}")
        kept_weights = {weight(d.detail["to"]) for d in snapshot.decisions if d.kind == "wc"}
        found += [f"w_c {value}" for value in (by_console or set()) - kept_weights]
        return found

    def twice(self) -> list[str]:
        """What was done twice: a decision, an epoch, or a trial by two trainers at once."""
        found = []
        reasons = [d.reason for d in self.client.refresh().decisions if "-" in d.reason]
        if len(reasons) != len(set(reasons)):
            found.append("a decision")
        numbers = [said["number"] for said in self.acknowledged()]
        if len(numbers) != len(set(numbers)):
            found.append("a decision's number")
        ledger = Path(os.environ.get("SOAK_LEDGER") or self.folder) / "ledger"
        saved: dict[tuple[int, int], int] = {}
        order: dict[int, list[int]] = {}
        for line in ledger.read_text().splitlines() if ledger.exists() else ():
            entry = json.loads(line)
            who = order.setdefault(entry["trial"], [])
            if not who or who[-1] != entry["pid"]:
                who.append(entry["pid"])
            if entry["what"] == "saved":
                key = entry["trial"], entry["epoch"]
                saved[key] = saved.get(key, 0) + 1
        found += [f"epoch {e} of trial {t}" for (t, e), count in saved.items() if count > 1]
        found += [f"trial {t}" for t, pids in order.items() if len(pids) != len(set(pids))]
        for trial in self.client.refresh().trials:
            if len({e.epoch for e in trial.epochs}) != len(trial.epochs):
                found.append(f"an epoch of trial {trial.number}")
        return found

    def drained(self) -> dict[str, int]:
        """Wait until all that was queued has ended; how it ended."""
        self.client.start_engine()
        wait_for(lambda: not search.pending(self.client.refresh()), "the end of what was queued")
        states: dict[str, int] = {}
        for trial in self.client.refresh().trials:
            states[trial.state] = states.get(trial.state, 0) + 1
            if trial.state == "done" and len(trial.epochs) != self.client.refresh().session.epochs:
                states["incomplete"] = states.get("incomplete", 0) + 1
        self.look()
        return states


def verdict(line: Line, *good: bool) -> Line:
    """The line, with whether it is as it should be."""
    fine = not line.get("lost") and not line.get("twice") and all(good)
    return {**line, "ok": fine}


# -- the cases ------------------------------------------------------------------------------------


def case_kill(short: bool) -> Line:
    """SIGKILL and SIGTERM, in turn, to engine, trainer, script or console at random moments."""
    moments = 8 if short else 200
    rng = random.Random(1)
    lost: list[str] = []
    killed = dict.fromkeys(("engine", "trainer", "script", "console"), 0)
    with Home() as home:
        witness = home.at_work()
        folder, client = witness.folder, witness.client

        def script() -> int:
            kinds = ["new", "new", "reject", "wc", "withdraw", "repeat"]
            return start("script", str(folder), str(witness.acks), rng.randrange(1 << 30), 0, 0.1,
                         kinds)  # fmt: skip

        deciding = script()
        console = Terminal(home.home, folder.name)
        by_console: set[str] = set()
        began = time.monotonic()
        while (moment := sum(killed.values())) < moments and not late(began):
            end = time.monotonic() + rng.uniform(0.0, 0.8)
            while time.monotonic() < end:
                witness.look()
                console.decide()
                time.sleep(0.01)
            # a console is given the time to be at work
            wanted = (
                list(killed)[moment % 4] if short else rng.choices(list(killed), (3, 3, 3, 1))[0]
            )
            how = (signal.SIGKILL, signal.SIGTERM)[killed[wanted] % 2]
            pid = client.refresh().engine.pid if client.refresh().engine.alive else None
            if wanted == "engine" and pid is not None:
                kill(pid, how)
            elif wanted == "trainer" and (found := trainers(pid)):
                kill(found[0], how)
            elif wanted == "script":
                kill(deciding, how)
            elif wanted == "console":
                if not alive(console.pid):
                    lost.append("a console, by itself")
                console.close(how)
                by_console |= console.acknowledged()
            else:
                wanted = ""
            lost += witness.lost(by_console=by_console)
            if wanted == "engine":
                client.start_engine()
            elif wanted == "script":
                deciding = script()
            elif wanted == "console":
                console = Terminal(home.home, folder.name)
            if wanted:
                killed[wanted] += 1
        kill(deciding)
        console.close()
        by_console |= console.acknowledged()
        states = witness.drained()
        lost += witness.lost(by_console=by_console)
        twice = witness.twice()
        trials = client.refresh().trials
        line = {
            "case": "kill", "moments": sum(killed.values()), "killed": killed,
            "by_sigterm": sum(count // 2 for count in killed.values()), "lost": len(lost),
            "twice": len(twice), "opened": witness.opened,
            "decisions": len(witness.acknowledged()), "by_console": len(by_console),
            "epochs": len(witness.epochs), "trials": states,
            "attempts": sum(t.attempt for t in trials), "what": sorted({*lost, *twice})[:5],
        }  # fmt: skip
        return verdict(line, not states.get("incomplete"), not states.get("failed"))


def case_power_cut(short: bool) -> Line:
    """The file and its log, copied while all who write are stopped; a torn end on every other."""
    moments = 8 if short else 200
    rng = random.Random(2)
    lost: list[str] = []
    checked = 0
    with Home(SOAK_EPOCH_MS="10") as home:
        witness = home.at_work()
        folder = witness.folder
        kinds = ["new", "reject", "wc", "withdraw", "repeat"]
        scripts = [
            start("script", str(folder), str(witness.acks), n, 0, 0.02, kinds) for n in range(3)
        ]
        cut, began = 0, time.monotonic()
        for moment in range(moments):
            if late(began):
                break
            cut += 1
            time.sleep(rng.uniform(0.0, 0.15))
            witness.look()
            pid = engine_pid(witness.client)
            writers = [p for p in (pid, *trainers(pid), *scripts) if p is not None]
            for writer in writers:
                os.kill(writer, signal.SIGSTOP)
            for writer in writers:
                wait_for(
                    lambda writer=writer: psutil.Process(writer).status() == "stopped",
                    "a stopped writer",
                )
            acks = witness.acknowledged()
            with tempfile.TemporaryDirectory(dir=home.home) as place:
                copy = Path(place) / folder.name
                copy.mkdir()
                for name in ("session.db", "session.db-wal"):
                    if (folder / name).exists():
                        shutil.copyfile(folder / name, copy / name)
                for writer in writers:
                    os.kill(writer, signal.SIGCONT)
                if moment % 2:
                    with (copy / "session.db-wal").open("ab") as log:
                        log.write(rng.randbytes(rng.randrange(1, 20_000)))
                lost += witness.lost(copy, acks)
                checked += len(acks) + len(witness.epochs)
        for script in scripts:
            kill(script)
        states = witness.drained()
        lost += witness.lost()
        twice = witness.twice()
        line = {
            "case": "power-cut", "moments": cut, "lost": len(lost), "twice": len(twice),
            "rows_checked": checked, "decisions": len(witness.acknowledged()),
            "epochs": len(witness.epochs), "trials": states, "what": sorted({*lost, *twice})[:5],
        }  # fmt: skip
        return verdict(line, not states.get("failed"), not states.get("incomplete"))


def _no_room(
    case: str, rounds: int, home: Home, fill: Callable[[int], None], clear: Callable[[int], None]
) -> Line:
    """Take the room away and give it back, some times; what the engine said and did."""
    lost: list[str] = []
    folder = home.session(epochs=4)
    witness = Witness(folder)
    # what the harness itself writes down needs room elsewhere
    witness.acks = home.sockets / "acks"
    os.environ["SOAK_LEDGER"] = str(home.sockets)
    witness.client.start_engine()
    script = start("script", str(folder), str(witness.acks), 3, 0, 0.05, ["new", "wc", "reject"])
    said, refused, busy, resumed = 0, 0, 0.0, 0
    seconds: list[float] = []
    for _ in range(rounds):
        ended = len(witness.done)

        def some_done(ended: int = ended) -> bool:
            witness.look()
            return len(witness.done) > ended

        wait_for(some_done, "a trial's end")
        pid = wait_for(lambda: engine_pid(witness.client), "an engine")
        began = time.monotonic()
        fill(pid)
        trouble = wait_for(lambda: witness.client.refresh().engine.trouble, "word of the full disk")
        seconds.append(time.monotonic() - began)
        said += "Make room" in trouble
        process = psutil.Process(pid)
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(1.0)
        busy = max(busy, (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began))
        clear(pid)
        wait_for(lambda: not witness.client.refresh().engine.trouble, "the engine's going on")
        resumed += engine_pid(witness.client) == pid
        lost += witness.lost()
    kill(script)
    lines = witness.acks.read_text().splitlines()
    refused = sum("full" in json.loads(line) for line in lines)
    states = witness.drained()
    lost += witness.lost()
    twice = witness.twice()
    line = {
        "case": case, "moments": rounds, "lost": len(lost), "twice": len(twice), "said": said,
        "resumed": resumed, "refused_in_words": refused, "trials": states,
        "seconds_until_said": round(max(seconds), 2), "busy_while_full": round(busy, 4),
        "what": sorted({*lost, *twice})[:5],
    }  # fmt: skip
    return verdict(
        line, said == rounds, resumed == rounds, not states.get("failed"),
        not states.get("incomplete"), busy < 0.05,
    )  # fmt: skip


def case_disk_full(short: bool) -> Line:
    """A small tmpfs in a mount namespace of its own is filled to the last byte, and emptied."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return {"case": "disk-full", "skipped": "only root can mount a file system of its own"}
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, "-P", str(HERE),
         "--in-namespace", "short" if short else "long"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()
        return {"case": "disk-full", "ok": False, "what": last[-1:] or ["no word"]}
    line: Line = json.loads(done.stdout.splitlines()[-1])
    return line


def _disk_full_inside(short: bool) -> Line:
    place = Path(tempfile.mkdtemp(prefix="soak-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=True)
    ballast = place / "ballast"

    def fill(_: int) -> None:
        handle = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(handle, b"0" * size)
        os.close(handle)

    try:
        with Home(place, SOAK_CHECKPOINT_BYTES="60000") as home:
            return _no_room("disk-full", 1 if short else 10, home, fill, lambda _: ballast.unlink())
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def case_file_limit(short: bool) -> Line:
    """RLIMIT_FSIZE: files may not grow, which SQLite takes for another error than a full disk."""
    endless = resource.RLIM_INFINITY

    def limit(pid: int, most: int) -> None:
        for one in (pid, *trainers(pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(one).rlimit(resource.RLIMIT_FSIZE, (most, endless))

    with Home(SOAK_CHECKPOINT_BYTES="60000") as home:
        return _no_room(
            "file-limit", 1 if short else 10, home,
            lambda pid: limit(pid, 4096), lambda pid: limit(pid, endless),
        )  # fmt: skip


def case_decisions(short: bool) -> Line:
    """Two consoles and three scripts decide at once while an engine trains: all of it, once."""
    each, look = 20 if short else 667, desks_look()
    with Home(SOAK_EPOCH_MS="1") as home:
        witness = home.at_work(epochs=1)
        folder = witness.folder
        consoles = [home.console(folder) for _ in range(2)]
        kinds = ["wc", "wc", "reject", "reject", "new", "withdraw", "repeat"]
        began = time.monotonic()
        scripts = [
            start("script", str(folder), str(witness.acks), n, each, 0.0, kinds) for n in range(3)
        ]
        seen: dict[int, float] = {}
        by_console: set[str] = set()
        while any(alive(script) for script in scripts):
            for number in range(len(seen) + 1, len(witness.client.refresh().decisions) + 1):
                seen[number] = time.monotonic()
            for console in consoles:
                console.decide()
            time.sleep(look)
        took = time.monotonic() - began
        standing = sum(alive(console.pid) for console in consoles)
        for console in consoles:
            console.close()
            by_console |= console.acknowledged()
        for number in range(len(seen) + 1, len(witness.client.refresh().decisions) + 1):
            seen[number] = time.monotonic()
        states = witness.drained()
        acks = witness.acknowledged()
        lost = witness.lost(by_console=by_console)
        twice = witness.twice()
        delays = sorted(seen[said["number"]] - said["t"] for said in acks)
        lines = [json.loads(line) for line in witness.acks.read_text().splitlines()]
        refused = [said for said in lines if "refused" in said]
        begun = _queue_delays(witness, acks)
        line = {
            "case": "decisions", "count": len(acks), "lost": len(lost), "twice": len(twice),
            "asked": len(lines), "refused_in_words": len(refused), "by_console": len(by_console),
            "consoles_standing": standing,
            "seconds": round(took, 1),
            "noticed_ms_median": round(1000 * statistics.median(delays)),
            "noticed_ms_99": round(1000 * delays[int(0.99 * (len(delays) - 1))]),
            "noticed_ms_most": round(1000 * delays[-1]),
            "engine_began": begun, "trials": states, "what": sorted({*lost, *twice})[:5],
            "example": refused[0]["refused"] if refused else "",
        }  # fmt: skip
        return verdict(
            line, not states.get("failed"), all(said["refused"] for said in refused),
            standing == len(consoles),
        )  # fmt: skip


def desks_look() -> float:
    """How long a console waits between two looks."""
    from lcsearch.tui.app import READ_SECONDS

    return READ_SECONDS


def _queue_delays(witness: Witness, acks: list[dict[str, Any]]) -> int:
    """How many of the trials that were queued have begun or were withdrawn: all, at the end."""
    trials = witness.client.refresh().trials
    queued = [said["trial"] for said in acks if said["kind"] in ("new", "repeat")]
    return sum(trials[n].attempt > 0 or trials[n].state == "cancelled" for n in queued)


def case_notice(short: bool) -> Line:
    """How long engine and console, with nothing else to do, take to see what another decided."""
    count = 5 if short else 60
    rng = random.Random(8)
    with Home(SOAK_EPOCH_MS="0") as home:
        witness = home.at_work(epochs=1)
        folder, client = witness.folder, witness.client
        console = home.console(folder)
        by: dict[str, list[float]] = {"engine": [], "console": []}
        for _ in range(count):
            wait_for(lambda: not search.pending(client.refresh()), "an empty queue")
            # wherever in their rounds they are
            time.sleep(rng.uniform(0.4, 0.7))
            number = client._store.apply(decide.repeat(client.refresh(), client.space, 0)).trial
            began = time.monotonic()
            assert number is not None
            wait_for(
                lambda n=number: client.refresh().trials[n].attempt > 0, "the trial's beginning"
            )
            by["engine"].append(time.monotonic() - began)
            wait_for(lambda: not search.pending(client.refresh()), "an empty queue")
            time.sleep(rng.uniform(0.4, 0.7))
            value = round(rng.uniform(0.1, 0.9), 3)
            console.drawn = b""
            client.set_wc(value)
            began = time.monotonic()
            said = weight(value).encode()
            wait_for(lambda said=said: said in console.drawn, "the weight on the screen")
            by["console"].append(time.monotonic() - began)
        console.close()
        states = witness.drained()
        lost, twice = witness.lost(), witness.twice()
        line: Line = {
            "case": "notice", "count": 2 * count, "lost": len(lost), "twice": len(twice),
            "trials": states, "what": sorted({*lost, *twice})[:5],
        }  # fmt: skip
        for name, delays in by.items():
            line[f"{name}_ms_median"] = round(1000 * statistics.median(delays))
            line[f"{name}_ms_most"] = round(1000 * max(delays))
        return verdict(line, not states.get("failed"), states.get("done", 0) == count + 1)


def case_leave(short: bool) -> Line:
    """A trial is queued at the very moment when the idle engine leaves: it runs every time."""
    races = 10 if short else 500
    began = time.monotonic()
    rng = random.Random(4)
    idle = 0.12
    with Home(LCSEARCH_IDLE_SECONDS=str(idle), SOAK_EPOCH_MS="1") as home:
        witness = home.at_work(epochs=1)
        client = witness.client
        stranded: list[int] = []
        engines: set[int | None] = set()
        left = raced = 0
        while raced < races and not late(began):
            raced += 1
            wait_for(lambda: not search.pending(client.refresh()), "an empty queue")
            engines.add(client.refresh().engine.pid)
            # it leaves `idle` after it was busy last: about then, or when it is seen to leave
            if rng.random() < 0.5:
                time.sleep(idle + rng.uniform(-0.06, 0.15))
            else:
                wait_for(lambda: client.refresh().engine.state == "leaving", "the engine's leaving")
                time.sleep(rng.uniform(0.0, 0.01))
            left += client.refresh().engine.state == "leaving"
            number = client.repeat(0).trial
            assert number is not None
            try:
                wait_for(
                    lambda number=number: client.refresh().trials[number].state == "done",
                    "the trial", 60.0,
                )  # fmt: skip
            except Undone:
                stranded.append(number)
                client.start_engine()
        lost, twice = witness.lost(), witness.twice()
        line = {
            "case": "leave", "count": raced, "lost": len(lost) + len(stranded),
            "twice": len(twice), "while_leaving": left, "engines": len(engines),
            "stranded": len(stranded), "what": sorted({*lost, *twice})[:5],
        }  # fmt: skip
        return verdict(line, len(engines) > raced // 10)


def settle(pid: int) -> None:
    """Wait until a process has had next to nothing to do for a second."""
    process = psutil.Process(pid)

    def rests() -> bool:
        before = sum(process.cpu_times()[:2])
        time.sleep(1.0)
        return sum(process.cpu_times()[:2]) - before < 0.2

    wait_for(rests, "rest")


def _weights(pids: dict[str, int]) -> dict[str, float]:
    """Memory in MB that is each process's own, and its open files."""
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found[f"{name}_mb"] = process.memory_full_info().uss / 1e6
            found[f"{name}_fds"] = float(process.num_fds())
    return found


def case_long(short: bool) -> Line:
    """Many short trials one after another: memory and open files of engine and console."""
    trials = 60 if short else 2000
    import numpy as np

    draw = np.random.default_rng(5)
    with Home(SOAK_EPOCH_MS="1") as home:
        witness = home.at_work(epochs=1)
        folder, client = witness.folder, witness.client
        console = home.console(folder)
        pid = wait_for(lambda: engine_pid(client), "the engine")
        samples: list[dict[str, float]] = []
        began = time.monotonic()
        number = 0
        while number < trials and not late(began):
            waiting = len(search.pending(client.refresh()))
            for _ in range(min(max(20 - waiting, 0), trials - number)):
                number = queue_one(client, draw) or number
            if number // (trials // 40 or 1) >= len(samples):
                trainer = trainers(pid)
                pids = {"engine": pid, "console": console.pid}
                if trainer:
                    pids["trainer"] = trainer[0]
                samples.append({"trials": float(number), **_weights(pids)})
            time.sleep(0.01)
        states = witness.drained()
        took = time.monotonic() - began
        lost, twice = witness.lost(), witness.twice()
        if not alive(console.pid):
            raise Undone(f"a console that stays: it ended with {console.drawn[-2000:]!r}")
        settle(console.pid)
        settled_mb = _weights({"console": console.pid})["console_mb"]
        drawn = console.total
        console.close()
        held = _held(folder)
        fresh = home.console(folder)
        settle(fresh.pid)
        fresh_mb = _weights({"console": fresh.pid})["console_mb"]
        fresh.close()
        line: Line = {
            "case": "long", "count": states.get("done", 0), "lost": len(lost), "twice": len(twice),
            "seconds": round(took, 1), "same_engine": engine_pid(client) == pid, "trials": states,
            "records_kb_per_trial": round(held, 2), "console_mb_at_rest": round(settled_mb, 1),
            "fresh_console_mb_at_rest": round(fresh_mb, 1),
            "drawn_mb": round(drawn / 1e6, 1), "what": sorted({*lost, *twice})[:5],
        }  # fmt: skip
        second_half = samples[len(samples) // 2 :]
        leaks = 0.0
        for name in ("engine", "console", "trainer"):
            with_it = [s for s in second_half if f"{name}_mb" in s]
            x = [s["trials"] for s in with_it]
            slope, _ = statistics.linear_regression(x, [s[f"{name}_mb"] for s in with_it])
            files = [s[f"{name}_fds"] for s in with_it]
            line[f"{name}_mb"] = [round(s[f"{name}_mb"], 1) for s in (samples[0], with_it[-1])]
            line[f"{name}_kb_per_trial"] = round(1000 * slope, 2)
            line[f"{name}_fds"] = [int(min(files)), int(max(files))]
            leaks = max(leaks, statistics.linear_regression(x, files)[0] * (x[-1] - x[0]))
        line["fds_grown"] = round(leaks, 2)
        # flat: an engine grows by its records alone, and a console that has seen every trial
        # weighs little more than one that is opened at the end (it has ranked before: matrices
        # of n² numbers); what a few trials weigh is lost in the noise
        flat = short or (line["engine_kb_per_trial"] < held + 3.0 and settled_mb < 1.5 * fresh_mb)
        return verdict(
            line, not states.get("failed"), bool(line["same_engine"]), leaks < 3, flat
        )  # fmt: skip


def _held(folder: Path) -> float:
    """Kilobytes that one more trial weighs in a process that merely has the session open."""
    program = (
        "import sys, psutil; from pathlib import Path; from lcsearch.sessions.store import Store\n"
        "before = psutil.Process().memory_full_info().uss\n"
        "store = Store(Path(sys.argv[1])); count = len(store.refresh().trials)\n"
        "print((psutil.Process().memory_full_info().uss - before) / 1000 / count)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def case_many(short: bool) -> Line:
    """10,000 trials of 10 epochs in one session: opening it, and reading what is new."""
    count = 1000 if short else 10_000
    import numpy as np

    with Home() as home:
        folder = home.session(epochs=10)
        store = Store(folder)
        base = store.refresh().trials[0]
        space = session_space(store.refresh().session)
        draw = np.random.default_rng(6)
        configs = [space.sample(draw, 1, base.config) for _ in range(300)]
        with store._write() as (db, change):
            db.execute("UPDATE trials SET state = 'done', error = 0.2, complexity = 1")
            for number in range(1, count):
                config = configs[number % len(configs)]
                trial = base.model_copy(
                    update={
                        "number": number, "level": 1, "config": config, "state": "done",
                        "source": "advisor", "key": f"{number:012d}", "error": 0.2,
                        "complexity": 1.0, "costs": {**base.costs, "seconds": 1.0},
                    }
                )  # fmt: skip
                store_file._insert(db, change, trial)
                for epoch in range(1, 11):
                    store_file._insert_epoch(db, change, number, _epoch(epoch))
                decision = Decision(
                    number=number, at=now(), kind="accept", by="person", level=1, trial=number,
                    config=config,
                )  # fmt: skip
                db.execute(
                    "INSERT INTO decisions VALUES (?, ?, ?)",
                    (number, decision.model_dump_json(), change),
                )
            running = base.model_copy(
                update={"number": count, "key": "running", "state": "running", "attempt": 1}
            )
            store_file._insert(db, change, running)
        store.close()
        opened, worked = [], []
        for _ in range(3):
            began, busy = time.perf_counter(), time.process_time()
            store = Store(folder)
            opened.append(time.perf_counter() - began)
            worked.append(time.process_time() - busy)
            store.close()
        client = SessionClient(folder)
        client.refresh()
        writer = Store(folder)
        reads = []
        for epoch in range(1, 41):
            writer.add_epoch(count, 1, _epoch(epoch))
            began = time.perf_counter()
            snapshot = client.refresh()
            reads.append(time.perf_counter() - began)
            assert len(snapshot.trials[count].epochs) == epoch
        line = {
            "case": "many", "count": count + 1, "lost": count + 1 - len(snapshot.trials),
            "twice": 0, "open_seconds": round(min(opened), 3),
            "open_cpu_seconds": round(min(worked), 3),
            "open_seconds_median": round(statistics.median(opened), 3),
            "read_ms_median": round(1000 * statistics.median(reads), 2),
            "read_ms_most": round(1000 * max(reads), 2),
            "file_mb": round((folder / "session.db").stat().st_size / 1e6, 1),
        }  # fmt: skip
        return verdict(line)


def _epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number, train_loss=1.0 / number, val_accuracy=0.8, seconds=1.0, reference_seconds=1.0
    )


def case_sleep(short: bool) -> Line:
    """Engine, trainer and console stopped for a while, as a laptop's sleep does: all go on."""
    seconds = 6.0 if short else 60.0
    import numpy as np

    draw = np.random.default_rng(0)
    # the watchdog's patience is a third of the sleep: a false alarm would show
    with Home(SOAK_EPOCH_MS="150", LCSEARCH_STALL_SECONDS=str(seconds / 3)) as home:
        witness = home.at_work(epochs=8)
        folder, client = witness.folder, witness.client
        console = home.console(folder)
        pid = wait_for(lambda: engine_pid(client), "the engine")
        rounds = 0
        alone: list[bool] = []
        for with_trainer in (True, False):
            number = wait_for(lambda: queue_one(client, draw), "a network that is new")
            wait_for(
                lambda number=number: len(client.refresh().trials[number].epochs) >= 2, "an epoch"
            )
            asleep = [pid, console.pid, *(trainers(pid) if with_trainer else [])]
            for one in asleep:
                os.kill(one, signal.SIGSTOP)
            time.sleep(seconds)
            alone.append(client.refresh().engine.alive)
            for one in reversed(asleep):  # who is watched before who watches
                os.kill(one, signal.SIGCONT)
            wait_for(
                lambda number=number: client.refresh().trials[number].state in ("done", "failed"),
                "the trial's end",
            )
            rounds += 1
        witness.look()
        trials = client.refresh().trials
        before = console.total
        console.press("3")
        wait_for(lambda: console.total > before, "the console's answer")
        words = b"is gone" in console.drawn
        lost, twice = witness.lost(), witness.twice()
        console_lives = alive(console.pid)
        console.close()
        states = {t.state for t in trials}
        line = {
            "case": "sleep", "count": rounds, "seconds": seconds, "lost": len(lost),
            "twice": len(twice), "same_engine": engine_pid(client) == pid,
            "attempts": sorted({t.attempt for t in trials}), "states": sorted(states),
            "false_deaths": int(words) + alone.count(False), "what": sorted({*lost, *twice})[:5],
        }  # fmt: skip
        return verdict(
            line, states == {"done"}, bool(line["same_engine"]), not line["false_deaths"],
            line["attempts"] == [1], console_lives,
        )  # fmt: skip


def case_idle(short: bool) -> Line:
    """The share of a core that an engine takes with nothing to do, in a session of 200 trials."""
    seconds = 4.0 if short else 60.0
    import numpy as np

    draw = np.random.default_rng(7)
    with Home(SOAK_EPOCH_MS="0") as home:
        client = home.at_work(epochs=1).client
        for _ in range(20 if short else 200):
            queue_one(client, draw)
        wait_for(lambda: not search.pending(client.refresh()), "an empty queue")
        pid = wait_for(lambda: engine_pid(client), "the engine")
        time.sleep(0.5)
        process = psutil.Process(pid)
        trainer = psutil.Process(trainers(pid)[0])
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        before_trainer = sum(trainer.cpu_times()[:2])
        time.sleep(seconds)
        took = time.monotonic() - began
        share = (sum(process.cpu_times()[:2]) - before) / took
        line = {
            "case": "idle", "count": len(client.refresh().trials), "seconds": round(took, 1),
            "lost": 0, "twice": 0, "core_share": round(share, 4),
            "trainer_core_share": round((sum(trainer.cpu_times()[:2]) - before_trainer) / took, 4),
        }  # fmt: skip
        return verdict(line)


GAP = """
import sys, time
from lcsearch.engine.training import loop, trainer
log = open(sys.argv.pop(1), "a", buffering=1)
inner = loop.train
def train(*words):
    print("begin", time.monotonic(), file=log)
    for epoch in inner(*words):
        print("epoch", time.monotonic(), file=log)
        yield epoch
loop.train = train
trainer.main()
"""


def case_gap(short: bool) -> Line:
    """From a trial's last epoch to the next one's first batch, on the real trainer, kept warm."""
    trials = 5 if short else 40
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        home, log = Path(place), Path(place) / "gap"
        os.environ["LCSEARCH_HOME"] = str(home)
        source = DataSource(spec="digits", train_size=300)
        # one trainer: of two, each has its own gaps
        alone = Execution(parallel=1)
        folder = create(home, Setup("gap", source, epochs=1, measure="macs", execution=alone))
        program = (
            "import sys; from lcsearch.engine.executors import devices\n"
            "devices.trainer_command = lambda *o: "
            f"[sys.executable, '-P', '-c', {GAP!r}, {str(log)!r}, *o]\n"
            "from lcsearch.engine import service; sys.argv = ['service', sys.argv[1]]\n"
            "raise SystemExit(service.main())"
        )
        before = processes.engine_command
        processes.engine_command = lambda place: [sys.executable, "-P", "-c", program, str(place)]
        client = SessionClient(folder)
        try:
            client.start_engine()
            base = client.refresh().trials[0].config
            given = {"conv_layers": 2, "channels": [8, 8], "downsample": ["pool", "none"]}
            for number in range(trials):
                config = client.space.completed({**given, "batch_size": 64 + number}, base)
                client.submit(config, None, kind="new")
            wait_for(
                lambda: not search.pending(client.refresh()) or not client.refresh().engine.alive,
                "the trials' end",
            )
        finally:
            processes.engine_command = before
            pid = engine_pid(client)
            if pid is not None:
                client.stop_engine()
        ended = None
        gaps: list[float] = []
        for line in log.read_text().splitlines():
            what, moment = line.split()
            if what == "epoch":
                ended = float(moment)
            elif ended is not None:
                gaps.append(float(moment) - ended)
        client.close()
    if not gaps:
        raise Undone("a trial on a warm trainer")
    found = {
        "case": "gap", "count": len(gaps), "lost": trials - len(gaps), "twice": 0,
        "ms_median": round(1000 * statistics.median(gaps)), "ms_most": round(1000 * max(gaps)),
    }  # fmt: skip
    return verdict(found)


CASES: dict[str, Callable[[bool], Line]] = {
    "kill": case_kill,
    "power-cut": case_power_cut,
    "disk-full": case_disk_full,
    "file-limit": case_file_limit,
    "decisions": case_decisions,
    "notice": case_notice,
    "long": case_long,
    "many": case_many,
    "leave": case_leave,
    "sleep": case_sleep,
    "idle": case_idle,
    "gap": case_gap,
}


def measure(names: list[str], short: bool) -> Iterator[Line]:
    """The cases one after another; one that cannot be done says so."""
    for name in names:
        began = time.monotonic()
        try:
            line = CASES[name](short)
        except (Undone, StoreError, psutil.Error) as error:
            line = {"case": name, "ok": False, "what": [f"{type(error).__name__}: {error}"]}
        yield {**line, "took": round(time.monotonic() - began, 1)}


def main() -> int:
    """Run what the command line asks for; 1 if anything was lost, done twice or left undone."""
    global BUDGET
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", nargs="+", action="extend", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--short", action="store_true", help="a few moments of each")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--minutes", type=float, default=BUDGET / 60, metavar="M",
        help="a case ends after so long with what it has had (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--zygote", help=argparse.SUPPRESS)
    parser.add_argument("--in-namespace", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.zygote:
        zygote(given.zygote)
    if given.in_namespace:
        print(json.dumps(_disk_full_inside(given.in_namespace == "short")), flush=True)
        return 0
    if not given.minutes > 0:
        parser.error(f"--minutes {given.minutes:g}: not usable. Use a number above 0.")
    BUDGET = 60 * given.minutes
    names = given.case or list(CASES)
    for name in names:
        if name not in CASES:
            parser.error(f"--case {name}: unknown. Use {', '.join(CASES)}.")
    good = True
    for line in measure(names, given.short):
        good = good and (line.get("ok", False) or "skipped" in line)
        if given.json:
            print(json.dumps(line), flush=True)
        else:
            print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
