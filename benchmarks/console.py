"""How fast the console is: its first frame, key to screen, the chart, CPU while nobody types.

    python benchmarks/console.py --json [first-frame chart keys idle]

first-frame: `lcsearch tui` as a whole process in a terminal of its own, from start until its first
frame stands and it has left again, over the same of a bare Textual app; paired runs in turn, the
median of the pairs' ratios.  chart: CPU milliseconds of one update.  keys: wall milliseconds from
a key press to the last paint that it causes, with so many trials, while two networks really train,
as a session trains by default, and an epoch a second is reported; `load` is the machine's before,
without that training.  idle: share of a core while a training reports an epoch a second and nobody
types.

Which paints a key causes: all that follow it until there is none for QUIET_SECONDS, but for those
that paint nothing except what an epoch's news marked.  News that come while a key is worked on
delay it, and that counts; what they paint alone, later, does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
os.environ.setdefault("OMP_NUM_THREADS", "1")

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("bare")
    def on_mount(self):
        self.call_after_refresh(self.exit)
Bare().run()
"""
CONSOLE = """
import sys
from lcsearch.tui import app
before = app.Console.on_mount
def on_mount(self):
    before(self)
    self.call_after_refresh(leave, self)
def leave(self):
    heavy = [name for name in ("torch", "sklearn") if name in sys.modules]
    self.exit(return_code=3 if heavy else 0)
app.Console.on_mount = on_mount
sys.argv = ["lcsearch", "tui"]
from lcsearch.tui.cli import app as verbs
verbs()
"""


TRAINING = """
import torch
torch.set_num_threads(1)
from lcsearch.engine.tasks.cnn import network, reference
from lcsearch.engine.training.build import build
shape = (1, 28, 28)
model = build(network(reference(shape, 10), shape, 10, 4), 0).train()
optimiser = torch.optim.Adam(model.parameters())
images, labels = torch.randn(128, *shape), torch.randint(10, (128,))
print("trains", flush=True)
while True:
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimiser.step()
"""
"""The reference network, step by step, as the trainer's process does beside the console."""


TRAININGS = 2
"""At once, with a thread each: what a session has on two processors."""
QUIET_SECONDS = 0.12
"""Without a paint, until what a key has caused counts as painted."""


def seconds_in_terminal(program: str, home: str) -> float:
    """Wall seconds of a whole process on a pseudo-terminal; what it writes is read and dropped."""
    main, other = pty.openpty()
    environment = {**os.environ, "LCSEARCH_HOME": home, "TERM": "xterm-256color"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdin=other, stdout=other, stderr=other, env=environment, close_fds=True,
    )  # fmt: skip
    os.close(other)
    while True:
        try:
            if not os.read(main, 65536):
                break
        except OSError:
            # the other end is closed: the process has ended
            break
    code = process.wait()
    taken = time.perf_counter() - start
    os.close(main)
    if code != 0:
        raise SystemExit(f"exit code {code} of {program}")
    return taken


def first_frame(pairs: int = 15) -> Iterator[dict[str, Any]]:
    """The ratio to a bare Textual app."""
    with tempfile.TemporaryDirectory() as home:
        seconds_in_terminal(BARE, home), seconds_in_terminal(CONSOLE, home)
        ratios, bare, own = [], [], []
        for _ in range(pairs):
            bare.append(seconds_in_terminal(BARE, home))
            own.append(seconds_in_terminal(CONSOLE, home))
            ratios.append(own[-1] / bare[-1])
    yield {
        "case": "first-frame",
        "ratio": round(statistics.median(ratios), 2),
        "bare_ms": round(1000 * statistics.median(bare)),
        "ms": round(1000 * statistics.median(own)),
    }


def chart(updates: int = 200) -> Iterator[dict[str, Any]]:
    """CPU of drawing 200 points with a band and a line into 110x34, strips included."""
    import numpy as np
    from textual.app import App
    from textual.geometry import Size

    from lcsearch.tui.plot import Axis, Band, Line, Mark, Plot
    from lcsearch.tui.widgets.chart import Chart

    xs = np.linspace(0, 1, 200)
    unit = Axis(0, 1, ((0, "0"), (1, "1")))

    async def run() -> list[float]:
        widget = Chart()

        class Holder(App[None]):
            def compose(self) -> Any:
                yield widget

        spent = []
        async with Holder().run_test(size=(110, 34)):
            for update in range(updates):
                mean = 0.5 + 0.3 * np.sin(9 * xs + update / 10)
                marks = tuple(Mark(float(x), float(y)) for x, y in zip(xs, mean, strict=True))
                band = Band(xs, mean - 0.1, mean + 0.1)
                plot = Plot(unit, unit, band, (Line(xs, mean),), marks=marks)
                start = time.process_time()
                widget.set_reactive(Chart.plot, plot)
                widget._draw(Size(110, 34))
                spent.append(1000 * (time.process_time() - start))
        return sorted(spent)

    spent = asyncio.run(run())
    yield {
        "case": "chart",
        "points": 200,
        "p50_ms": round(statistics.median(spent), 2),
        "p95_ms": round(spent[int(0.95 * len(spent))], 2),
    }


def _fakes() -> Any:
    """tests/fakes.py, which stands among others."""
    import importlib

    sys.path.insert(0, str(Path(__file__).parent.parent))
    return importlib.import_module("tests.fakes")


def _client(fakes: Any, trials: int) -> Any:
    """A session of so many trials under a real ranking of 2,048 candidates."""
    from lcsearch.engine import search

    snapshot = fakes.make_snapshot(level=2, done=(trials - 40, 39), queued=1)

    class SessionClient(fakes.FakeClient):  # type: ignore[misc, name-defined]
        def rank(self, snapshot: Any, *, wc: float | None = None, count: int = 10) -> Any:
            self.ranked += 1
            return search.ranking(snapshot, self.space, wc=wc, count=count)

    return SessionClient(snapshot)


async def _console(
    trials: int, use: Callable[[Any, Any, Any], Any], size: tuple[int, int] = (120, 40)
) -> Any:
    from lcsearch.tui.app import Console

    fakes = _fakes()
    client = _client(fakes, trials)
    with tempfile.TemporaryDirectory() as home:
        app = Console(
            Path(home), "fashion", sessions=fakes.FakeHome({"fashion": client}),
            clock=lambda: fakes.NOW, settings_file=Path(home) / "settings.json",
        )  # fmt: skip
        async with app.run_test(size=size) as pilot:
            deadline = time.monotonic() + 300
            while app.session.ranking is None or app.session.ranking_running:
                if time.monotonic() > deadline:
                    raise SystemExit("the ranking took more than five minutes")
                await pilot.pause(0.05)
            return await use(app, pilot, client)


class Answered:
    """Whether the form shows the figures of what was typed after this was made."""

    def __init__(self, dialog: Any) -> None:
        self.dialog = dialog
        self.before = dialog.now

    def __call__(self) -> bool:
        return self.dialog.now is not self.before and not self.dialog._evaluations.busy


@contextmanager
def _trainings() -> Iterator[None]:
    """Networks that train in processes of their own, as trainers do."""
    surroundings = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    with ExitStack() as stack:
        for _ in range(TRAININGS):
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", TRAINING],
                stdout=subprocess.PIPE, env={**surroundings, "OMP_WAIT_POLICY": "PASSIVE"},
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            if process.stdout.readline() != b"trains\n":
                raise SystemExit("a training beside the console did not start")
        yield


class Paints:
    """When the screen was painted last, but for what an epoch's news alone had changed.

    A widget is marked where it asks to be painted: by the news if that is within the console's
    answer to them, else by the key.  A paint of nothing but the former's is the news'; so is what
    it passes on, to a dialog that stands above.  Whatever is in doubt counts as the key's.
    """

    def __init__(self, app: Any) -> None:
        from textual._compositor import CompositorUpdate
        from textual.screen import Screen
        from textual.widget import Widget

        self.last = 0.0
        self._by_news: set[Any] = set()
        self._by_key: set[Any] = set()
        self._news = False
        refresh, paint, display = Widget.refresh, Screen._on_timer_update, app._display
        take = app.session.take_snapshot

        def refreshing(widget: Any, *regions: Any, **how: Any) -> Any:
            (self._by_news if self._news else self._by_key).add(widget)
            return refresh(widget, *regions, **how)

        def taking(client: Any, snapshot: Any) -> None:
            self._news = True
            take(client, snapshot)
            self._news = False

        def painting(screen: Any) -> None:
            painted = {screen} if screen._repaint_required else set()
            painted.update(screen._dirty_widgets, *screen._layout_widgets.values())
            marked = painted & (self._by_news | self._by_key)
            self._news = bool(marked) and not marked & self._by_key
            paint(screen)
            self._news = False
            self._by_news -= painted
            self._by_key -= painted

        def displaying(screen: Any, update: Any) -> None:
            display(screen, update)
            if update is None or app._batch_count:
                return
            if isinstance(update, CompositorUpdate):
                # without a terminal Textual does not: it is a part of every paint
                update.render_segments(app.console)
            if not self._news:
                self.last = time.perf_counter()

        Widget.refresh = refreshing  # type: ignore[method-assign,assignment]
        Screen._on_timer_update = painting  # type: ignore[method-assign]
        app._display = displaying
        app.session.take_snapshot = taking

    def begin(self) -> None:
        """A key comes: what was marked before it and never painted is out of sight."""
        self._by_news.clear()
        self._by_key.clear()


def _report(client: Any, stop: Any) -> None:
    """An epoch a second, as a training of small networks reports them."""
    epoch = 0
    while not stop.wait(1.0):
        snapshot = client.snapshot
        trial = next(t for t in snapshot.trials if t.state == "running")
        epoch += 1
        shown = trial.model_copy(update={"epochs": trial.epochs[: 1 + epoch % 7]})
        trials = tuple(shown if t.number == trial.number else t for t in snapshot.trials)
        client.change(trials=trials)


def keys(trials: int, presses: int = 60) -> Iterator[dict[str, Any]]:
    """From a key to the painted screen: cursor, screen change, what-if of an edit."""
    import threading

    async def use(app: Any, pilot: Any, client: Any) -> dict[str, list[float]]:
        # not before the console's own modules, which say how often Textual paints
        from textual import events

        stop = threading.Event()
        thread = threading.Thread(target=_report, args=(client, stop), daemon=True)
        thread.start()

        paints = Paints(app)

        async def timed(key: str, done: Callable[[], bool]) -> float:
            """Milliseconds from the key to the last paint that it causes."""
            await pilot.pause(0.05)
            paints.begin()
            start = time.perf_counter()
            app.post_message(events.Key(key, key if len(key) == 1 else None))
            while not done():
                # without a rest this loop would keep the threads that work from the interpreter
                await asyncio.sleep(0.001)
                if time.perf_counter() - start > 5:
                    raise SystemExit(f"{key} did nothing")
            finished = time.perf_counter()
            # the last of the paints that follow each other, not the first: all must be there
            while (last := paints.last) < start or (
                time.perf_counter() - max(finished, last) < QUIET_SECONDS
            ):
                await asyncio.sleep(0.001)
                if time.perf_counter() - start > 10:
                    raise SystemExit(f"{key} painted nothing")
            return 1000 * (last - start)

        table = app.screen.query_one("#candidates")
        slices = app.screen._slices

        found: dict[str, list[float]] = {"cursor": [], "screen": [], "what-if": []}
        with _trainings():
            for press in range(presses):
                row = table.cursor_row
                key = "j" if press % 20 < 10 else "k"
                moved = lambda row=row: table.cursor_row != row and not slices.busy  # noqa: E731
                found["cursor"].append(await timed(key, moved))
            for press in range(presses):
                key, mode = ("3", "history") if press % 2 == 0 else ("2", "workbench")
                found["screen"].append(await timed(key, lambda mode=mode: app.current_mode == mode))
            await pilot.press("2", "e")
            dialog = app.screen
            await pilot.pause(1.0)  # the form itself is there before it is typed in
            field = dialog.query(".field").first()
            largest = str(max(field.parameter.domain.values()))
            for _ in range(presses):
                key = "down" if field.value == largest else "up"
                found["what-if"].append(await timed(key, Answered(dialog)))
        stop.set()
        thread.join()
        return found

    load = os.getloadavg()[0]
    for name, times in asyncio.run(_console(trials, use)).items():
        ordered = sorted(times)
        yield {
            "case": name,
            "trials": trials,
            "p50_ms": round(statistics.median(ordered), 1),
            "p95_ms": round(ordered[int(0.95 * len(ordered))], 1),
            "load": round(load, 1),
        }


def idle(trials: int = 100, seconds: float = 15.0) -> Iterator[dict[str, Any]]:
    """CPU of the whole process, an epoch a second, no key pressed."""
    import threading

    async def use(app: Any, pilot: Any, client: Any) -> float:
        stop = threading.Event()
        thread = threading.Thread(target=_report, args=(client, stop), daemon=True)
        thread.start()
        await asyncio.sleep(2)
        start, began = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (time.process_time() - start) / (time.perf_counter() - began)
        stop.set()
        thread.join()
        return share

    share = asyncio.run(_console(trials, use))
    yield {"case": "idle", "trials": trials, "cpu_share": round(share, 4)}


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="first-frame, chart, keys, idle; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000])
    given = parser.parse_args()
    runs: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "first-frame": first_frame,
        "chart": chart,
        "keys": lambda: (line for trials in given.trials for line in keys(trials)),
        "idle": idle,
    }
    for case in given.cases or runs:
        for line in runs[case]():
            if given.json:
                print(json.dumps(line), flush=True)
            else:
                print("  ".join(f"{name} {value}" for name, value in line.items()), flush=True)


if __name__ == "__main__":
    main()
