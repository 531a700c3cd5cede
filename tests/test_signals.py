"""A signal whose handler outlasts what was waited for: whoever waited goes on, and leaves."""

import ast
import ctypes
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lcsearch.engine.client.session import SessionClient

from .conftest import PATIENCE, soak, wait_for

ROOT = Path(__file__).parent.parent
WAITS = """
import queue, signal, sys, time
from lcsearch.engine.executors import local, ray
from lcsearch.sessions.records import DataSource, Execution
from tests.sessions_for_tests import make_session

outlasted = []

def handler(number, frame):
    # longer than all that is waited for: whenever it begins, it ends too late
    time.sleep(2 * SECONDS)
    outlasted.append(number)

SECONDS = 0.5
executor = {
    "local": lambda: local.LocalExecutor(DataSource(spec="digits"), "", sys.stderr.buffer),
    "ray": lambda: ray.ClusterExecutor(make_session(execution=Execution(executor="ray"))),
}[sys.argv[1]]()
signal.signal(signal.SIGALRM, handler)
# once in every wait, and nowhere else for long
while len(outlasted) < 5:
    signal.setitimer(signal.ITIMER_REAL, SECONDS / 5)
    executor.wait(SECONDS)
print("left")
"""


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_an_executor_waits_no_longer_where_a_handler_outlasts_the_wait(executor: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS, executor],
        capture_output=True, text=True, timeout=5 * PATIENCE, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == "left\n", done.stderr


def held_and_signalled(process: psutil.Process, number: int) -> None:
    """Hold a process still for longer than it waits for anything, and signal it meanwhile."""
    process.suspend()
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED, what="its standing still")
    # to the thread that waits: of all that wake up at once another might take it
    tgkill = getattr(ctypes.CDLL(None), "tgkill", None)
    assert tgkill is None or tgkill(process.pid, process.pid, number) == 0
    if tgkill is None:
        process.send_signal(number)
    time.sleep(0.5)  # the engine's wait is a fifth of this: it is over when it goes on
    process.resume()


def wait_until_gone(trainer: psutil.Process) -> None:
    wait_for(lambda: not trainer.is_running(), what="the trainer's end")


def test_engine_and_trainer_and_run_leave_whatever_they_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOAK_EPOCH_MS", "1")
    with soak().Home() as sessions:
        monkeypatch.setenv("LCSEARCH_HOME", str(sessions.home))
        client = SessionClient(sessions.session("held", epochs=2))
        (client.folder / "hold-2").touch()
        ledger = client.folder / "ledger"

        def at_work(attempt: int) -> tuple[psutil.Process, psutil.Process]:
            """An engine and its trainer, which has said all that it says before its hold."""
            client.start_engine()
            engine = psutil.Process(client.refresh().engine.pid)
            said = f'"attempt": {attempt}, "epoch": 2, "what": "begin"'
            wait_for(lambda: ledger.exists() and said in ledger.read_text(), what="its hold")
            return engine, engine.children()[0]

        # several engines: each is caught where it happens to be, nearly always in its wait
        for attempt in range(1, 6):
            engine, trainer = at_work(attempt)
            held_and_signalled(engine, signal.SIGTERM)
            wait_for(lambda: not client.refresh().engine.alive, what="the engine's end")
            wait_until_gone(trainer)
        _, trainer = at_work(6)
        held_and_signalled(trainer, signal.SIGTERM)
        wait_for(lambda: not soak().alive(trainer.pid), what="the trainer's end")
        run = subprocess.Popen(
            [sys.executable, "-P", "-m", "lcsearch.tui.cli", "run", "held"],
            stderr=subprocess.PIPE, text=True,
            # what is started in a shell's background ignores it, and hands that on
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        try:
            wait_for(lambda: client.refresh().session.autopilot is not None, what="the autopilot")
            held_and_signalled(psutil.Process(run.pid), signal.SIGINT)
            assert run.wait(5 * PATIENCE) == 1
            assert run.stderr is not None
            assert "autopilot off" in run.stderr.read()
        finally:
            run.kill()
            run.communicate()
        client.stop_engine()
        client.close()


def waits_with_a_timeout(source: str) -> list[int]:
    """The lines of a module on which something of a SimpleQueue is waited for with a timeout."""
    tree = ast.parse(source)
    made = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if "SimpleQueue" in ast.unparse(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            made |= {ast.unparse(target).rpartition(".")[2] for target in targets}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and ast.unparse(node.func.value).rpartition(".")[2] in made
        and (len(node.args) > 1 or any(word.arg == "timeout" for word in node.keywords))
    ]


def test_no_simple_queue_is_waited_for_with_a_timeout() -> None:
    seen = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("tui", "engine", "sessions", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for line in waits_with_a_timeout(path.read_text(encoding="utf-8"))
    ]
    assert seen == []


def test_one_that_is_would_be_seen() -> None:
    made = "self._news: queue.SimpleQueue[int] = queue.SimpleQueue()\n"
    assert waits_with_a_timeout(f"{made}self._news.get(timeout=1)") == [2]
    assert waits_with_a_timeout(f"{made}self._news.get(True, 1)") == [2]
    assert waits_with_a_timeout(f"{made}self._news.get()\nos.environ.get('X', 1)") == []
