"""The recorded search that `lcsearch demo` shows: everything of the console but training.

demo.json was written by docs/make_demo.py from a search on Fashion-MNIST.
"""

from __future__ import annotations

import tempfile
import threading
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.client.home import SetupError
from ..engine.client.imports import bring_back
from ..engine.client.session import SessionClient
from ..sessions.errors import StoreError
from ..sessions.places import folder
from .ports import Sessions

if TYPE_CHECKING:
    from ..sessions.records import Decision, Setup
    from ..sessions.snapshot import Plan
    from .ports import Progress

NAME = "demo"
ONLY_SHOWN = (
    "This is a recording in a place that goes when you leave: nothing trains in it. w_c, "
    "rejections, levels and what-if can be tried; `lcsearch tui` begins a search of your own."
)


class Recording(SessionClient):
    """A session that takes every decision which trains nothing."""

    def _decide(self, plan: Plan) -> Decision:
        if plan.trial is not None or plan.decision.kind in ("resume", "autopilot"):
            raise StoreError(ONLY_SHOWN)
        return super()._decide(plan)


class Showcase(Sessions):
    """A home with the recording alone."""

    def create(
        self,
        setup: Setup,
        progress: Progress | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        """No search begins here.  Raises SetupError."""
        raise SetupError(ONLY_SHOWN)

    def bring_back(self, file: Path, name: str | None = None) -> str:
        """Nothing would be kept here.  Raises StoreError."""
        raise StoreError(ONLY_SHOWN)

    def open(self, name: str) -> Recording:
        """Open the recording.  Raises StoreError."""
        return Recording(folder(self.home, name))


def record(home: Path) -> None:
    """Put the recording into a home.  Raises StoreError."""
    with resources.as_file(resources.files(__package__).joinpath("demo.json")) as file:
        bring_back(home, file, NAME)


def run() -> int:
    """Open the console on the recording, in a place of its own; gives the exit code."""
    from .app import run as open_console

    with tempfile.TemporaryDirectory(prefix="lcsearch-") as place:
        home = Path(place)
        record(home)
        return open_console(home, NAME, Showcase(home))
