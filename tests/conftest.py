"""What many tests share: a home of their own, and sessions to work on."""

import contextlib
import fcntl
import gc
import importlib.util
import os
import shutil
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings
from typer.testing import CliRunner

from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors.base import WAITING
from lcsearch.tui.cli import app

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")  # read when Textual is first imported
PATIENCE = 300.0
"""Seconds after which what was waited for counts as left undone.  No test is about how long
something takes: what takes a second on an idle machine is given this on any."""

# how long an example takes says more of the machine than of the code
settings.register_profile("lcsearch", deadline=None)
settings.load_profile("lcsearch")


PURE = {
    "acquisition",
    "archive",
    "behind",
    "cnn",
    "conditions",
    "exchange",
    "fakes",
    "filters",
    "kernel",
    "lines",
    "migration",
    "neutral",
    "objective",
    "one_place",
    "pilot",
    "progress",
    "relative",
    "schedule",
    "search",
    "space",
    "store",
    "text",
    "words",
}
"""Files of tests, `test_NAME.py`: no engine, no training, and no process or screen in most."""

LONG = (
    "service",
    "terminal",
    "console_snapshots",
    "ray",
    "soak",
    "engine_life",
    "executors",
    "console_setup",
    "advisor",
    "trainer",
    "threads",
    "build",
    "cost",
    "wrong_use",
    "overrides",
    "toasts",
    "final",
    "loop",
)
"""Files that take longest, the longest first."""


def lcsearch(*words: str, code: int = 0, given: str | None = None) -> tuple[str, str]:
    """Run a command here, which ends with this code: its stdout and its stderr."""
    done = CliRunner().invoke(app, list(words), input=given)
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Threads of torch in the tests' own processes wait as a trainer's do.

    OpenMP reads how when torch is imported, which the files of tests do; what they start is told
    by the engine, and not by us.
    """
    new = {name: value for name, value in WAITING.items() if name not in os.environ}
    os.environ.update(new)
    try:
        return (yield)
    finally:
        for name in new:
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the pure tests; the files that take longest come first, for none to be waited for."""
    for item in items:
        if name_of(item) in PURE:
            item.add_marker(pytest.mark.pure)
    items.sort(key=lambda item: LONG.index(name_of(item)) if name_of(item) in LONG else len(LONG))


FREEZE, UNFREEZE = gc.freeze, gc.unfreeze


def pytest_collection_finish() -> None:
    """What all tests have imported is no garbage, and is not walked through for it again."""
    gc.collect()
    FREEZE()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums come out the same whatever else the machine does, and no thread waits for another."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def frozen_already(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A console freezes what it finds, thaws it as it leaves, and looks for garbage between: a
    quarter of what a test of it takes, were all imports and the consoles before it among that.
    """
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
    yield
    if drawn := sys.modules.get("textual._styles_cache"):
        # it keeps the widgets' lines of a thousand calls, and so those of many consoles
        drawn.StylesCache.get_inner_outer.cache_clear()


def name_of(item: pytest.Item) -> str:
    """`service` of what stands in tests/test_service.py."""
    return item.path.stem.removeprefix("test_")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the sessions of whoever runs it."""
    path = tmp_path / "home"
    monkeypatch.setenv("LCSEARCH_HOME", str(path))
    return path


def without(words: str) -> None:
    """Skip a test that cannot run here, saying why; in CI, which installs all, it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{words}, and CI installs it")
    pytest.skip(words)


def need(tool: str) -> str:
    """The path of a tool that the test cannot do without."""
    found = shutil.which(tool)
    if found is None:
        without(f"{tool} is not installed")
    assert found is not None
    return found


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE, what: str = "it") -> Any:
    """Look again and again until it is so; the value that was."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def input_waits(client: SessionClient) -> int:
    """Bytes that the engine has written to its trainers and they have not read."""
    found = 0
    for trainer in psutil.Process(client.refresh().engine.pid).children():
        handle = os.open(f"/proc/{trainer.pid}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
        try:
            (size,) = struct.unpack("i", fcntl.ioctl(handle, termios.FIONREAD, bytes(4)))
        finally:
            os.close(handle)
        found += size
    return found


@contextlib.contextmanager
def passed_on(client: SessionClient, number: int) -> Iterator[None]:
    """What is asked of a trial whose trainer stands still has reached the trainer at the end."""
    begun = f"trial {number}, attempt"
    wait_for(lambda: begun in client.log_tail(), what="the trial's beginning")
    before = input_waits(client)
    yield
    wait_for(lambda: input_waits(client) > before, what="word to the trainer")


@contextlib.contextmanager
def standing_still(client: SessionClient) -> Iterator[None]:
    """Who trains stands still meanwhile: no trial is over before a test has looked or decided."""
    trainers = psutil.Process(client.refresh().engine.pid).children()
    assert trainers
    for trainer in trainers:
        trainer.suspend()
    try:
        yield
    finally:
        for trainer in trainers:
            if trainer.is_running():  # a test may have killed it
                trainer.resume()


def soak() -> Any:
    """benchmarks/soak.py: warm processes, a trainer that trains nothing, witnesses."""
    return benchmark("soak")


@cache
def benchmark(name: str) -> Any:
    """A benchmark as a module: what it does at length, a test does in short."""
    path = Path(__file__).parent.parent / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"lcsearch_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up the module they stand in
    spec.loader.exec_module(module)
    return module
