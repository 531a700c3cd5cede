"""Where the console's sessions live: everything that it asks of the engine passes through here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from ..engine.advisor.ranking import Proposal, Ranking
    from ..engine.client.home import SessionSummary
    from ..engine.protocol import Ready
    from ..engine.search.standing import Recommendation
    from ..engine.tasks.space import Space
    from ..sessions.choices import Images
    from ..sessions.records import (
        Advised,
        Config,
        DataSource,
        DataSummary,
        Decision,
        Delivery,
        Levels,
        Prediction,
        Session,
        Setup,
        StopMode,
    )
    from ..sessions.snapshot import Snapshot


Progress = Callable[[int, int], None]
"""Told how many image files are read, and of how many."""


class Client(Protocol):
    """One open session, as `engine.client.session.SessionClient` offers it."""

    folder: Path
    space: Space

    def refresh(self) -> Snapshot: ...
    def time(self, ranking: Ranking, of: Snapshot | None = None) -> int: ...
    def rank(self, snapshot: Snapshot, *, wc: float | None = None, count: int = 10) -> Ranking: ...
    def accept(
        self, proposal: Proposal, reason: str = "", *, advised: Advised | None = None
    ) -> Decision: ...
    def submit(
        self,
        config: Config,
        prediction: Prediction | None,
        *,
        kind: Literal["edit", "new"],
        reason: str = "",
        advised: Advised | None = None,
    ) -> Decision: ...
    def reject(self, proposal: Proposal, reason: str = "") -> Decision: ...
    def repeat(self, number: int, reason: str = "") -> Decision: ...
    def stop(self, number: int, mode: StopMode, reason: str = "") -> Decision: ...
    def resume(self, number: int) -> Decision: ...
    def undo(self, meant: int | None = None) -> Decision: ...
    def advance(self, number: int | None = None, *, left: int | None = None) -> Decision: ...
    def reopen(self, level: int, number: int | None = None) -> Decision: ...
    def set_wc(self, wc: float) -> Decision: ...
    def set_strategy(self, strategy: str, reason: str = "") -> Decision: ...
    def set_limits(self, changes: Mapping[str, float | None], reason: str = "") -> Decision: ...
    def set_domains(self, domains: Mapping[str, str], reason: str = "") -> Decision: ...
    def favour(self, region: Mapping[str, str], reason: str = "") -> Decision: ...
    def autopilot(
        self,
        *,
        trials: int | None = None,
        minutes: float | None = None,
        levels: Levels = "this",
        until_flat: bool = False,
    ) -> Decision: ...
    def takeover(self) -> Decision: ...
    def start_engine(self) -> None: ...
    def all_images(self) -> DataSummary: ...
    def deliver(
        self,
        number: int,
        folder: Path,
        *,
        epochs: int,
        images: Images | None = None,
        seeds: int = 1,
        onnx: bool = False,
        int8: bool = False,
        accept_loss: bool = False,
    ) -> Delivery: ...
    def stop_delivery(self, number: int, mode: StopMode) -> None: ...
    def resume_delivery(
        self,
        number: int,
        folder: Path | None = None,
        *,
        accept_loss: bool = False,
        int8: bool = True,
    ) -> None: ...
    def log_tail(self, lines: int = 20) -> str: ...
    def export(self, path: Path) -> None: ...
    def recommended(self, snapshot: Snapshot) -> Recommendation | None: ...
    def close(self) -> None: ...


class Home(Protocol):
    """All sessions of one home.  Every call may take long: make it in a thread."""

    home: Path

    def summaries(self) -> Sequence[SessionSummary]: ...
    def create(
        self,
        setup: Setup,
        progress: Progress | None = None,
        cancelled: threading.Event | None = None,
    ) -> None: ...
    def look(self, data: DataSource, progress: Progress, cancelled: threading.Event) -> Ready: ...
    def delete(self, name: str) -> object: ...
    def restore(self, token: Any) -> None: ...
    def trashed(self, name: str) -> object | None: ...
    def waits(self, name: str) -> str: ...
    def bring_back(self, file: Path, name: str | None = None) -> str: ...
    def open(self, name: str) -> Client: ...
    def session(self, name: str) -> Session: ...


class Sessions:
    """The sessions under `home`.  The engine's modules are imported by the first call."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def summaries(self) -> Sequence[SessionSummary]:
        """One line for each session."""
        from ..engine.client import home as homes

        return homes.summaries(self.home)

    def create(
        self,
        setup: Setup,
        progress: Progress | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Make a session, its data read and checked.  Raises SetupError, StoreError, Cancelled."""
        from ..engine.client import home as homes

        homes.create(self.home, setup, progress, cancelled)

    def look(self, data: DataSource, progress: Progress, cancelled: threading.Event) -> Ready:
        """What a data set holds.  Raises SetupError, Cancelled."""
        from ..engine.client import images

        return images.look(data, progress, cancelled)

    def delete(self, name: str) -> object:
        """Move a session to the trash; gives what `restore` wants."""
        from ..sessions import places

        return places.delete(self.home, name)

    def restore(self, token: Any) -> None:
        """Bring a deleted session back."""
        from ..sessions import places

        places.restore(self.home, token)

    def trashed(self, name: str) -> object | None:
        """What brings the newest deleted session of this name back; None where there is none."""
        from ..sessions import places

        return places.trashed(self.home, name)

    def waits(self, name: str) -> str:
        """What waits in a session, and what goes on with it; empty where nothing does."""
        from ..sessions import places
        from .engine_state import waits_in

        return waits_in(places.folder(self.home, name))

    def bring_back(self, file: Path, name: str | None = None) -> str:
        """Make the session of an exported file; gives its name.  Raises StoreError."""
        from ..engine.client import imports

        return imports.bring_back(self.home, file, name).name

    def open(self, name: str) -> Client:
        """Open a session.  Raises StoreError."""
        from ..engine.client.session import SessionClient
        from ..sessions import places

        return SessionClient(places.folder(self.home, name))

    def session(self, name: str) -> Session:
        """What a session was set up with."""
        client = self.open(name)
        try:
            return client.refresh().session
        finally:
            client.close()
