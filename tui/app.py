"""The console: its screens, its themes and keys, and how a session's news reaches the screen."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from . import settings as preferences
from .format import sentence, turn
from .ports import DeskLike, FinalLike, House, Sessions
from .themes import DARK, LIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import SystemCommand
    from textual.widget import AwaitMount

    from ..engine.advisor.ranking import Ranking
    from ..engine.protocol import FinalDone, FinalProgress
    from ..sessions.records import Decision
    from ..sessions.snapshot import Snapshot

READ_SECONDS = 0.1
"""How often the reader looks for news."""
HANG_UP_SECONDS = 5.0
"""How long a console that was told to go may take to put its terminal back."""
GARBAGE = 2_000, 5, 1_000
"""Objects made until the newest are looked through for garbage, and how often the older ones are.
A look takes half a microsecond an object, in the middle of a key: little at a time, and seldom
through what has lived long."""
AT_ONCE_SECONDS = 0.004
"""Until a screen that was there before is painted: time for what is new on it."""
CANDIDATES = 24
"""Candidates shown: more than a tall terminal holds."""

LAYOUT_WORDS = {
    "auto": "Two columns where there is room for them, else one",
    "columns": "Always two columns",
    "tabs": "Always one column; v changes it",
}

Key = tuple[object, ...]


@dataclass(frozen=True)
class Finishing:
    """A network that is trained to the end, or was.  problem: why it did not come to that."""

    session: str
    trial: int
    training: FinalLike
    progress: FinalProgress | None = None
    done: FinalDone | None = None
    problem: str = ""
    cancelled: bool = False

    @property
    def at_work(self) -> bool:
        """Whether it goes on."""
        return self.done is None and not self.problem and not self.cancelled


@dataclass
class Deletion:
    """A session that is on its way to the trash, or there.

    token: what brings it back, None until it is there.  wanted_back: asked for meanwhile.
    """

    name: str
    token: object = None
    wanted_back: bool = False


class SnapshotRead(Message):
    """The session of a desk holds something new."""

    def __init__(self, desk: DeskLike, snapshot: Snapshot) -> None:
        super().__init__()
        self.desk = desk
        self.snapshot = snapshot


class ReadFailed(Message):
    """The session of a desk cannot be read any more.

    deleted: somebody else moved it to the trash; token: what brings it back, None for nothing.
    """

    def __init__(
        self, desk: DeskLike, reason: str, deleted: bool = False, token: object = None
    ) -> None:
        super().__init__()
        self.desk = desk
        self.reason = reason
        self.deleted = deleted
        self.token = token


class Ranked(Message):
    """A ranking of a desk's session is ready, or could not be made."""

    def __init__(
        self,
        desk: DeskLike,
        key: Key,
        wc: float,
        look: dict[str, str],
        ranking: Ranking | None,
        reason: str = "",
    ) -> None:
        super().__init__()
        self.desk = desk
        self.key = key
        self.wc = wc
        self.look = look
        self.ranking = ranking
        self.reason = reason


def _sessions() -> Screen[Any]:
    from .screens.sessions import SessionsScreen

    return SessionsScreen()


def _workbench() -> Screen[Any]:
    from .screens.workbench import WorkbenchScreen

    return WorkbenchScreen()


def _history() -> Screen[Any]:
    from .screens.history import HistoryScreen

    return HistoryScreen()


def _tradeoff() -> Screen[Any]:
    from .screens.tradeoff import TradeoffScreen

    return TradeoffScreen()


def _trust() -> Screen[Any]:
    from .screens.trust import TrustScreen

    return TrustScreen()


def _best() -> Screen[Any]:
    from .screens.best import BestScreen

    return BestScreen()


def ranking_key(snapshot: Snapshot) -> Key:
    """What a ranking depends on besides w_c: equal keys, equal rankings."""
    session = snapshot.session
    trials = tuple(
        "pending" if trial.state in ("queued", "running", "interrupted") else trial.state
        for trial in snapshot.trials
    )
    verdicts = sum(decision.kind in ("reject", "undo") for decision in snapshot.decisions)
    return (
        session.name,
        session.created,
        session.level,
        tuple(session.bases.items()),
        trials,
        verdicts,
        session.strategy,
        tuple(session.domains.items()),
        tuple(session.favourite.items()),
    )


class Console(App[int]):
    """The console over one home.  clock: the present moment; house: where sessions live."""

    TITLE = "lcsearch"
    CSS_PATH = "console.tcss"
    MODES: ClassVar[dict[str, Any]] = {
        "sessions": _sessions,
        "workbench": _workbench,
        "history": _history,
        "tradeoff": _tradeoff,
        "trust": _trust,
        "best": _best,
    }
    DEFAULT_MODE = "sessions"
    NOTIFICATION_TIMEOUT = 4.0
    SCREENS_OF_A_SESSION = ("workbench", "history", "tradeoff", "trust", "best")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "1",
            "show_screen('sessions')",
            "Screens",
            key_display="1-6",
            id="screen.sessions",
            tooltip="Go to Sessions; 2 to 6 are the screens of a session",
        ),
        *(
            Binding(
                str(number),
                f"show_screen('{mode}')",
                title,
                show=False,
                id=f"screen.{mode}",
                tooltip=f"Go to {title}",
            )
            for number, mode, title in (
                (2, "workbench", "Workbench"),
                (3, "history", "History"),
                (4, "tradeoff", "Trade-off"),
                (5, "trust", "Trust"),
                (6, "best", "Best"),
            )
        ),
        Binding(
            "question_mark,f1",
            "help",
            "Help",
            id="help",
            tooltip="What the keys do and what the figures mean",
        ),
        Binding(
            "U",
            "restore_session",
            "Bring back",
            show=False,
            id="sessions.restore",
            tooltip="Bring the session deleted last back, from every screen",
        ),
        Binding("q,ctrl+q", "quit", "Quit", id="quit", tooltip="Leave the console"),
        Binding(
            "ctrl+p",
            "command_palette",
            "Commands",
            show=False,
            id="palette",
            tooltip="Search all commands",
            system=True,
        ),
    ]

    # none of them paints by itself: it would be the whole screen, at every epoch's end
    snapshot: reactive[Snapshot | None] = reactive(None, repaint=False, always_update=False)
    ranking: reactive[Ranking | None] = reactive(None, repaint=False)
    ranking_running: reactive[bool] = reactive(False, repaint=False)
    finishing: reactive[Finishing | None] = reactive(None, repaint=False)
    settings: reactive[preferences.Settings] = reactive(preferences.Settings, repaint=False)

    def __init__(
        self,
        home: Path,
        name: str | None = None,
        *,
        house: House | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        settings_file: Path | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        super().__init__()
        self.house: House = house or Sessions(home)
        self.clock = clock
        self.start_name = name
        self.settings_file = settings_file or preferences.path()
        self.settings_problem = ""
        self.desk: DeskLike | None = None
        self.read_seconds = read_seconds
        self._wake = threading.Event()
        self._wanted: tuple[Key, float] | None = None
        self._ranked: tuple[Key, float] | None = None
        self._seen: set[str] = set()
        self._made = False
        self._collecting: tuple[int, int, int] | None = None
        """How often Python looked for garbage before the console changed it."""
        self.look: dict[str, str] = {}
        """Domains that are looked at alone, by this console only."""
        self.believed: Ranking | None = None
        """The last ranking of the session's own domains: what it recommends rests on it."""
        self.opening = name
        self._asked = 0
        """How often a session was asked for."""
        self.undo_named: tuple[int, int] | None = None
        """The decision that undoing again takes back, and the trial before which it came."""
        self._deleted: list[Deletion] = []
        """Sessions that can be brought back, the one deleted last at the end."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    # -- beginning and end ----------------------------------------------------------------------

    def on_mount(self) -> None:
        """Apply the settings; open the session that was asked for."""
        try:
            self.settings = preferences.load(self.settings_file)
        except preferences.SettingsError as error:
            self.settings_problem = str(error)
        self.apply_settings()
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                # leave as `q` would: the terminal is restored, training goes on
                loop.add_signal_handler(number, self.hang_up, number)
        if self.is_web:
            # whoever served it may be gone without a word
            server = os.getppid()
            self.set_interval(1.0, lambda: self.exit(0) if os.getppid() != server else None)
        if self.settings_problem:
            self.fail("Settings", self.settings_problem)
        if self.start_name is not None:
            self.open_session(self.start_name)

    def hang_up(self, number: signal.Signals) -> None:
        """Leave; where the terminal itself is gone, nothing can be written to it any more, and
        what waits to be written must not keep the console alive.
        """
        last_word = threading.Timer(HANG_UP_SECONDS, os._exit, (128 + number,))
        last_word.daemon = True
        last_word.start()
        self.exit(128 + number)

    def apply_settings(self) -> None:
        """Take over theme and keys."""
        if self.settings.theme in self.available_themes:
            self.theme = self.settings.theme
        elif not self.settings_problem:
            known = ", ".join(sorted(self.available_themes))
            self.settings_problem = f"theme = {self.settings.theme}: not known. Use {known}."
        if self.settings.keys and not self.settings_problem:
            from .bindings import check

            try:
                check(self.settings.keys)
            except preferences.SettingsError as error:
                self.fail("Settings", str(error))
        self.set_keymap(self.settings.keys)

    def watch_theme(self, theme: str) -> None:
        """Keep a theme that was chosen in the palette."""
        if self.is_running and theme != self.settings.theme and not self.settings_problem:
            self.change_setting("theme", theme)

    def change_setting(self, name: str, value: str) -> None:
        """Change one setting and keep it."""
        try:
            self.settings = preferences.changed(self.settings, name, value)
            preferences.save(self.settings_file, self.settings)
        except preferences.SettingsError as error:
            self.fail("Settings", str(error))

    def on_unmount(self) -> None:
        """Let go of the session; what is trained to the end ends with the console."""
        if self.finishing is not None and self.finishing.at_work:
            self.finishing.training.cancel()
        if self._collecting is not None:
            gc.set_threshold(*self._collecting)
            gc.unfreeze()
        self.close_session()

    # -- one session ----------------------------------------------------------------------------

    def open_session(self, name: str) -> None:
        """Open a session and show its workbench; the one that was asked for last is shown."""
        self._asked += 1
        self._open(name, self._asked)

    @work(thread=True, group="open", exclusive=True)
    def _open(self, name: str, asked: int) -> None:
        from ..sessions.errors import StoreError

        try:
            desk = self.house.open(name)
            snapshot = desk.refresh()
        except StoreError as error:
            self.call_later(self._not_opened, name, str(error))
            return
        if asked != self._asked:
            desk.close()
            return
        self.call_later(self._opened, desk, snapshot, asked)
        waiting = any(t.state in ("queued", "running", "interrupted") for t in snapshot.trials)
        # where somebody stopped the engine, or brought the session from elsewhere, looking is safe
        waiting = waiting or snapshot.session.autopilot is not None
        if waiting and snapshot.engine.state != "stopped" and not snapshot.read_only:
            self._engine_starts(desk)

    # what a thread works on is taken when the key is pressed, and handed to it: by the time that
    # it begins another session may be open, and the cursor elsewhere

    def start_engine(self) -> None:
        """Start the engine, which is gone or was stopped."""
        if self.desk is not None:
            self._start_engine(self.desk)

    def _engine_starts(self, desk: DeskLike) -> bool:
        """Start a session's engine, from a thread; says why where it does not."""
        from ..sessions.errors import Closed, StoreError

        try:
            desk.start_engine()
        except Closed:  # another session is open by now
            return False
        except StoreError as error:
            self.call_later(self.fail, "The engine does not start", str(error))
            return False
        return True

    @work(thread=True, group="engine", exclusive=True)
    def _start_engine(self, desk: DeskLike) -> None:
        if not self._engine_starts(desk):
            return
        self._wake.set()
        self.call_later(self.notify, "The engine is at work again.")

    def _not_opened(self, name: str, reason: str) -> None:
        self.opening = None
        self.fail(f"{name} cannot be opened", reason)
        self.refresh_sessions()

    def refresh_sessions(self) -> None:
        """Let the list of sessions look again."""
        from .screens.sessions import SessionsScreen

        for screen in self.screen_stack:
            if isinstance(screen, SessionsScreen):
                screen.load()

    async def _opened(self, desk: DeskLike, snapshot: Snapshot, asked: int) -> None:
        if asked != self._asked:
            desk.close()
            return
        self.close_session()
        self.opening = None
        self.desk = desk
        self.snapshot = snapshot
        self._want_ranking()
        self.read(desk)
        await self.switch_mode("workbench")

    def close_session(self) -> None:
        """Let go of the open session; what trains goes on."""
        desk, self.desk = self.desk, None
        self._wake.set()
        self._wanted = self._ranked = None
        self.look = {}
        self.believed = None
        self.undo_named = None
        if desk is not None:
            desk.close()
            self.set_reactive(Console.ranking, None)
            self.set_reactive(Console.snapshot, None)

    # -- to the trash and back ------------------------------------------------------------------

    def delete_session(self, name: str) -> None:
        """Move a session to the trash; until the console is left it can be brought back."""
        if any(deletion.name == name and deletion.token is None for deletion in self._deleted):
            return  # the key was pressed twice
        if self.snapshot is not None and self.snapshot.session.name == name:
            self.close_session()
        deletion = Deletion(name)
        self._deleted.append(deletion)
        self._delete(deletion)

    @work(thread=True, group="delete")
    def _delete(self, deletion: Deletion) -> None:
        from ..sessions.errors import StoreError

        try:
            token = self.house.delete(deletion.name)
        except StoreError as error:
            self.call_later(self._not_deleted, deletion, str(error))
            return
        self.call_later(self._is_deleted, deletion, token)

    def _is_deleted(self, deletion: Deletion, token: object) -> None:
        deletion.token = token
        if deletion.wanted_back:
            self._restore(deletion)
            return
        self.notify(f"{deletion.name} is deleted. {self.brings_back()}", markup=False)
        self.refresh_sessions()

    def brings_back(self) -> str:
        """Which keys bring a session back that was deleted."""
        anywhere, here = self.key_of("sessions.restore", "U"), self.key_of("sessions.undo", "u")
        return f"{anywhere} on any screen, or here {here} brings it back."

    def _not_deleted(self, deletion: Deletion, reason: str) -> None:
        if not deletion.wanted_back:
            self._deleted.remove(deletion)
        self.fail("Not deleted", reason)

    def key_of(self, binding: str, otherwise: str) -> str:
        """The key of a binding as a person has set it, else the one that it has by default."""
        from .widgets.keys import key_name

        return key_name(self.settings.keys.get(binding, otherwise).split(",")[0].strip())

    @property
    def can_restore(self) -> bool:
        """Whether there is a session to bring back."""
        return bool(self._deleted)

    def offers(self, action: str) -> bool:
        """A session is brought back only where one was deleted."""
        return action != "restore_session" or self.can_restore

    def action_restore_session(self) -> None:
        """Bring the session deleted last back."""
        if not self._deleted:
            self.notify("Nothing to bring back.")
            return
        deletion = self._deleted.pop()
        deletion.wanted_back = True
        if deletion.token is not None:  # else it comes back as soon as it is gone
            self._restore(deletion)

    @work(thread=True, group="delete")
    def _restore(self, deletion: Deletion) -> None:
        from ..sessions.errors import StoreError

        try:
            self.house.restore(deletion.token)
        except StoreError as error:
            self.call_later(self._not_restored, deletion, str(error))
            return
        self.call_later(self.notify, self.with_waits(deletion.name, "is back"), markup=False)
        self.call_later(self.refresh_sessions)

    def with_waits(self, name: str, what: str) -> str:
        """What became of a session, and what waits in it; asks the house, so from a thread."""
        from ..sessions.errors import StoreError

        try:
            waits = self.house.waits(name)
        except StoreError as error:
            waits = sentence(str(error))
        return f"{name} {what}. {waits}".rstrip()

    def _not_restored(self, deletion: Deletion, reason: str) -> None:
        deletion.wanted_back = False
        self._deleted.append(deletion)
        self.fail("Not brought back", reason)

    # -- its news -------------------------------------------------------------------------------

    @work(thread=True, group="read", exclusive=True)
    def read(self, desk: DeskLike) -> None:
        """Look for news until the session is closed, and tell the console of them."""
        from ..sessions.errors import Deleted, StoreError

        last = self.snapshot
        while self.desk is desk:
            self._wake.wait(self.read_seconds)
            self._wake.clear()
            if self.desk is not desk:
                return
            try:
                snapshot = desk.refresh()
            except Deleted as error:
                token = self.house.trashed(desk.folder.name)
                self.post_message(ReadFailed(desk, str(error), True, token))
                return
            except StoreError as error:
                self.post_message(ReadFailed(desk, str(error)))
                return
            if snapshot is not last:
                last = snapshot
                self.post_message(SnapshotRead(desk, snapshot))

    @on(SnapshotRead)
    def take_snapshot(self, message: SnapshotRead) -> None:
        """Show what is new."""
        if message.desk is not self.desk:
            return
        if (
            self.snapshot is not None
            and self.snapshot.session.level != message.snapshot.session.level
        ):
            self.look = {}
        seen = 0 if self.snapshot is None else len(self.snapshot.decisions)
        for decision in message.snapshot.decisions[seen:]:
            told = turn(decision)
            if told is not None:
                self.notify(sentence(told))
        with self.batch_update():
            self.snapshot = message.snapshot  # watchers repaint what changed
        self._want_ranking()

    def look_at(self, domains: dict[str, str]) -> None:
        """Rank these domains alone; the session stays as it is.  Nothing: its own ones again."""
        self.look = domains
        self._want_ranking()

    @on(ReadFailed)
    async def leave_unreadable(self, message: ReadFailed) -> None:
        """A session that cannot be read is closed, and the questions about it with it."""
        if message.desk is not self.desk:
            return
        self.close_session()
        from .dialogs.base import Dialog

        while isinstance(self.screen, Dialog):
            await self.screen.dismiss(None)
        await self.switch_mode("sessions")
        name = message.desk.folder.name
        if not message.deleted:
            self.fail(f"{name} cannot be read any more", message.reason)
            return
        title = f"{name} was deleted elsewhere"
        if message.token is None:
            self.fail(title, message.reason)
            return
        self._deleted.append(Deletion(name, message.token))
        from .dialogs.failure import FailureDialog

        told = f"Another console or a command moved {name} to the trash. {self.brings_back()}"
        self.push_screen(FailureDialog(title, told, restores=True))
        self.refresh_sessions()

    # -- ranking --------------------------------------------------------------------------------

    def _want_ranking(self) -> None:
        snapshot, desk = self.snapshot, self.desk
        if snapshot is None or desk is None:
            return
        look = dict(self.look)
        self._wanted = ((*ranking_key(snapshot), tuple(look.items())), snapshot.session.wc)
        if self._wanted != self._ranked and not self.ranking_running:
            self.ranking_running = True
            same = self._ranked is not None and self._ranked[0] == self._wanted[0]
            self.rank(desk, snapshot, *self._wanted, look, self.ranking if same else None)

    @work(thread=True, group="rank")
    def rank(
        self,
        desk: DeskLike,
        snapshot: Snapshot,
        key: Key,
        wc: float,
        look: dict[str, str],
        before: Ranking | None,
    ) -> None:
        """Rank anew, or only weigh `before` anew where nothing but w_c has changed."""
        from ..engine import search
        from ..engine.tasks.space import Exhausted
        from ..sessions.errors import StoreError

        try:
            if before is not None:
                ranking = before.reweighted(wc)
            else:
                shown = search.look(snapshot, domains=look) if look else snapshot
                ranking = desk.rank(shown, count=CANDIDATES)
        except (StoreError, Exhausted) as error:
            self.post_message(Ranked(desk, key, wc, look, None, str(error)))
            return
        except Exception as error:  # noqa: BLE001 - a thread's edge: the session stays open
            self.log.error(traceback.format_exc())
            reason = f"The ranking failed ({type(error).__name__}: {error}). What trains goes on."
            self.post_message(Ranked(desk, key, wc, look, None, reason))
            return
        self.post_message(Ranked(desk, key, wc, look, ranking))

    @on(Ranked)
    def take_ranking(self, message: Ranked) -> None:
        """Show a ranking, and start the next one if it is out of date already."""
        self.ranking_running = False
        if message.desk is not self.desk:
            self._want_ranking()  # of the session that is open now, if one is
            return
        if message.ranking is None:
            self._ranked = (message.key, message.wc)
            if message.reason:
                self.fail("No ranking", message.reason)
            return
        self._ranked = (message.key, message.wc)
        if self._collecting is None:
            # all that a ranking needs is imported now and stays: walking through it again and
            # again for garbage would hold the screen up for a quarter of a second each time
            self._collecting = gc.get_threshold()
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GARBAGE)
        if not message.look:
            self.believed = message.ranking
        with self.batch_update():
            self.ranking = message.ranking
        self._want_ranking()

    # -- decisions ------------------------------------------------------------------------------

    def decide(
        self,
        call: Callable[[DeskLike], Decision | None],
        say: Callable[[Decision], str] | str = "",
        then: Callable[[], None] | None = None,
    ) -> None:
        """Take a decision off the UI loop, in the session that is open now.

        say: words of the toast; then: called after success.
        """
        if self.desk is not None:
            self._decide(self.desk, call, say, then)

    @work(thread=True, group="decide")
    def _decide(
        self,
        desk: DeskLike,
        call: Callable[[DeskLike], Decision | None],
        say: Callable[[Decision], str] | str,
        then: Callable[[], None] | None,
    ) -> None:
        from ..engine.tasks.space import InvalidConfig
        from ..sessions.errors import Already, Known, StoreError

        try:
            decision = call(desk)
        except (Already, Known) as error:
            # nothing went wrong: what was asked for is there
            self.call_later(self.notify, sentence(str(error)), markup=False)
            return
        except (StoreError, InvalidConfig) as error:
            self.call_later(self.fail, "Not done", str(error))
            return
        self._wake.set()
        words = say if isinstance(say, str) or decision is None else say(decision)
        if words:
            self.call_later(self.notify, words, markup=False)
        if then is not None:
            self.call_later(then)

    # -- the end of a search ----------------------------------------------------------------------

    def finish(self, number: int, epochs: int, folder: Path, onnx: bool) -> None:
        """Train a trial's network to the end, off the UI loop, and tell how far it is."""
        if self.desk is not None:
            self._finish(self.desk, number, epochs, folder, onnx)

    @work(thread=True, group="final")
    def _finish(self, desk: DeskLike, number: int, epochs: int, folder: Path, onnx: bool) -> None:
        from ..sessions.errors import StoreError

        try:
            training = desk.train_final(number, epochs, folder, onnx=onnx)
        except StoreError as error:
            self.call_later(self.fail, "Not done", str(error))
            return
        now = Finishing(desk.folder.name, number, training)
        self.call_later(self._finishing_is, now)
        try:
            for said in training:
                now = replace(now, progress=said)
                self.call_later(self._finishing_is, now)
        except StoreError as error:
            self.call_later(self._finishing_is, replace(now, problem=str(error)))
            return
        now = replace(now, done=training.result, cancelled=training.result is None)
        self.call_later(self._finishing_is, now)

    def _finishing_is(self, now: Finishing) -> None:
        self.finishing = now
        if now.problem:
            self.fail(f"Trial {now.trial} was not trained to the end", now.problem)
        elif now.done is not None:
            share = now.done.result.test_accuracy
            text = f"Trial {now.trial}: {share:.2%} on the test set. {now.done.folder}"
            self.notify(text, markup=False)  # a folder's name may hold brackets
        elif now.cancelled:
            self.notify(f"Trial {now.trial}: cancelled, nothing was written.")

    def cancel_finishing(self) -> None:
        """End what is trained to the end; nothing is written."""
        if self.finishing is not None:
            # it waits for the process: off the UI loop
            self.run_worker(self.finishing.training.cancel, thread=True, group="cancel")

    def fail(self, title: str, text: str) -> None:
        """Show what went wrong, in a dialog whose text can be copied."""
        from .dialogs.failure import FailureDialog

        self.push_screen(FailureDialog(title, text))

    # -- another screen -------------------------------------------------------------------------

    def switch_mode(self, mode: str) -> AwaitMount:
        """Go to a screen."""
        self._made = mode in self._seen
        try:
            switched = super().switch_mode(mode)
        finally:
            self._made = False
        self._seen.add(mode)
        return switched

    def delay_update(self, delay: float = 0.05) -> None:
        """Hold painting back while a screen is made; one that was there is painted at once."""
        super().delay_update(AT_ONCE_SECONDS if self._made else delay)

    # -- actions --------------------------------------------------------------------------------

    async def action_show_screen(self, mode: str) -> None:
        """Go to one of the screens."""
        if mode in self.SCREENS_OF_A_SESSION and self.desk is None:
            self.notify("Open a session first: choose one and press enter, or n for a new one.")
            return
        if mode != self.current_mode and not self.screen.is_modal:
            await self.switch_mode(mode)

    def action_help(self) -> None:
        """Say what the keys do and what the figures mean."""
        from .dialogs.help import HelpDialog

        if not isinstance(self.screen, HelpDialog):
            self.push_screen(HelpDialog(self.screen))

    async def action_quit(self) -> None:
        """Leave; ask first if something trains."""
        snapshot = self.snapshot
        open_trials = [
            trial
            for trial in (snapshot.standing if snapshot is not None else ())
            if trial.state in ("queued", "running", "interrupted")
        ]
        finishing = self.finishing if self.finishing and self.finishing.at_work else None
        if finishing is None and (not open_trials or self.desk is None):
            self.exit(0)
            return
        from ..engine.search.schedule import seconds_left
        from .dialogs.quit import QuitDialog

        if not isinstance(self.screen, QuitDialog):
            final = None if finishing is None else finishing.trial
            left = None if snapshot is None else seconds_left(snapshot, self.clock())
            session = None if snapshot is None else snapshot.session
            self.push_screen(QuitDialog(open_trials, session, final, left), self._quit)

    def _quit(self, answer: str | None) -> None:
        if answer == "keep":
            self.exit(0)
        elif answer == "stop":
            self.decide(_stop_all, then=lambda: self.exit(0))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything that can be done here, for the command palette."""
        from textual.app import SystemCommand

        from .widgets.keys import key_name, offered

        keys: dict[str, list[str]] = {}
        bindings: dict[str, Binding] = {}
        for key, (node, binding, enabled, _) in screen.active_bindings.items():
            if not enabled or not binding.id or binding.system or not offered(node, binding.action):
                continue
            if not binding.id.startswith("table."):
                bindings.setdefault(binding.id, binding)
                keys.setdefault(binding.id, []).append(key_name(key))
        for name, binding in bindings.items():
            title = binding.tooltip or binding.description
            named = " ".join(sorted(keys[name], key=len))
            pressed = f"{'key' if len(keys[name]) == 1 else 'keys'} {named}"
            # a name that the title has already is not read twice
            told = binding.description.lower() not in title.lower()
            yield SystemCommand(
                title,
                f"{binding.description} · {pressed}" if told else pressed,
                lambda action=binding.action: self.call_later(screen.run_action, action),
            )
        yield SystemCommand("Theme", "Choose the colours", self.action_change_theme)
        for layout, how in LAYOUT_WORDS.items():
            yield SystemCommand(
                f"Layout: {layout}",
                how,
                lambda layout=layout: self.change_setting("layout", layout),
            )
        yield SystemCommand(
            "Save a picture",
            "Save this screen as SVG",
            lambda: self.call_after_refresh(self.ask_where_to_save),
        )

    def ask_where_to_save(self) -> None:
        """Take a picture of the screen as it is shown, and ask where it goes."""
        from .dialogs.export import ExportDialog

        drawn = self.export_screenshot()
        session = "lcsearch" if self.snapshot is None else self.snapshot.session.name

        def save(path: Path | None) -> None:
            if path is not None:
                self._save_picture(drawn, path)

        self.push_screen(
            ExportDialog(
                "Save a picture",
                "FILE.svg: this screen as it is shown.",
                Path.cwd() / f"{session}-{self.current_mode}.svg",
                (".svg",),
            ),
            save,
        )

    @work(thread=True, group="picture")
    def _save_picture(self, drawn: str, path: Path) -> None:
        from ..sessions.errors import StoreError
        from ..sessions.files import put

        try:
            put(path, drawn.encode())
        except StoreError as error:
            self.call_later(self.fail, "No picture saved", str(error))
            return
        self.call_later(self.notify, f"Saved to {path}", markup=False)


def _stop_all(desk: DeskLike) -> Decision | None:
    """Withdraw what waits; let what runs finish its epoch."""
    last = None
    for trial in desk.refresh().trials:
        if trial.state in ("queued", "interrupted", "running"):
            last = desk.stop(trial.number, "epoch", "the console was left")
    return last


def run(home: Path, name: str | None = None, house: House | None = None) -> int:
    """Open the console, at its sessions or at the workbench of one; gives the exit code."""
    console = Console(home, name, house=house)
    code = console.run()
    return code if code is not None else console.return_code or 0
