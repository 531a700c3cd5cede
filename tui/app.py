"""The console: its screens, its themes and keys, its beginning and end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from . import format as words
from . import settings as preferences
from .open_session import Lost, OpenSession
from .ports import Client, Home, Sessions
from .themes import DARK, LIGHT
from .trash import Trash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import SystemCommand
    from textual.widget import AwaitMount

    from ..sessions.records import Decision

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
LAYOUT_WORDS = {
    "auto": "Two columns where there is room for them, else one",
    "columns": "Always two columns",
    "tabs": "Always one column; v changes it",
}


def _sessions(session: OpenSession, trash: Trash) -> Screen[Any]:
    from .screens.sessions import SessionsScreen

    return SessionsScreen(session, trash)


def _workbench(session: OpenSession) -> Screen[Any]:
    from .screens.workbench import WorkbenchScreen

    return WorkbenchScreen(session)


def _history(session: OpenSession) -> Screen[Any]:
    from .screens.history import HistoryScreen

    return HistoryScreen(session)


def _tradeoff(session: OpenSession) -> Screen[Any]:
    from .screens.tradeoff import TradeoffScreen

    return TradeoffScreen(session)


def _trust(session: OpenSession) -> Screen[Any]:
    from .screens.trust import TrustScreen

    return TrustScreen(session)


def _best(session: OpenSession) -> Screen[Any]:
    from .screens.best import BestScreen

    return BestScreen(session)


SCREENS: tuple[tuple[str, str, Callable[[OpenSession], Screen[Any]]], ...] = (
    ("workbench", "Workbench", _workbench),
    ("history", "History", _history),
    ("tradeoff", "Trade-off", _tradeoff),
    ("trust", "Trust", _trust),
    ("best", "Best", _best),
)
"""Of the open session: mode, title, what makes it.  Their keys are 2 and on, in this order; each
is imported when it is first shown."""


class Console(App[int]):
    """The console over one home.  clock: the present moment; sessions: where sessions live."""

    TITLE = "lcsearch"
    CSS_PATH = "console.tcss"
    DEFAULT_MODE = "sessions"
    NOTIFICATION_TIMEOUT = 4.0
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "1",
            "show_screen('sessions')",
            "Screens",
            key_display=f"1-{len(SCREENS) + 1}",
            id="screen.sessions",
            tooltip=f"Go to Sessions; 2 to {len(SCREENS) + 1} are the screens of a session",
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
            for number, (mode, title, _) in enumerate(SCREENS, start=2)
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

    settings: reactive[preferences.Settings] = reactive(preferences.Settings, repaint=False)

    def __init__(
        self,
        home: Path,
        name: str | None = None,
        *,
        sessions: Home | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        settings_file: Path | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        super().__init__()
        self.session = OpenSession(
            self,
            sessions or Sessions(home),
            clock=clock,
            read_seconds=read_seconds,
            fail=self.fail,
            key_of=self.key_of,
            opened=lambda: self.switch_mode("workbench"),
            lost=self._lost,
        )
        self.trash = Trash(
            self, self.session, how=self._restoring_keys, changed=self.refresh_sessions
        )
        self.session.opening = name
        self.add_mode("sessions", partial(_sessions, self.session, self.trash))
        for mode, _, make in SCREENS:
            self.add_mode(mode, partial(make, self.session))
        self.start_name = name
        self.settings_file = settings_file or preferences.path()
        self.settings_problem = ""
        self._seen: set[str] = set()
        self._made = False
        self._collecting: tuple[int, int, int] | None = None
        """How often Python looked for garbage before the console changed it."""
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
        self.session.listen(self, self._settle)
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
            self.session.open(self.start_name)

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
                check(self.settings.keys, Console)
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
        if self._collecting is not None:
            gc.set_threshold(*self._collecting)
            gc.unfreeze()
        self.session.close()

    # -- what is shown --------------------------------------------------------------------------

    async def _lost(self, lost: Lost) -> None:
        """A session that cannot be read takes the questions about it along; where somebody else
        has deleted it, it can be brought back.
        """
        from .dialogs.base import Dialog
        from .dialogs.failure import FailureDialog

        while isinstance(self.screen, Dialog):
            await self.screen.dismiss(None)
        await self.switch_mode("sessions")
        if not lost.deleted:
            self.fail(f"{lost.name} cannot be read any more", lost.reason)
            return
        title = f"{lost.name} was deleted elsewhere"
        if lost.token is None:
            self.fail(title, lost.reason)
            return
        self.trash.found(lost.name, lost.token)
        told = f"Another console or a command moved {lost.name} to the trash. "
        back = f"Bring back ({self.key_of('sessions.restore', 'U')})"
        dialog = FailureDialog(
            title, told + self._restoring_keys(), back=back, restore=self.trash.restore
        )
        self.push_screen(dialog)
        self.refresh_sessions()

    def refresh_sessions(self) -> None:
        """Let the list of sessions look again."""
        from .screens.sessions import SessionsScreen

        for screen in self.screen_stack:
            if isinstance(screen, SessionsScreen):
                screen.load()

    def key_of(self, binding: str, otherwise: str) -> str:
        """The key of a binding as a person has set it, else the one that it has by default."""
        from .widgets.keys import key_name

        return key_name(self.settings.keys.get(binding, otherwise).split(",")[0].strip())

    def _restoring_keys(self) -> str:
        anywhere, here = self.key_of("sessions.restore", "U"), self.key_of("sessions.undo", "u")
        return f"{anywhere} on any screen, or here {here} brings it back."

    def offers(self, action: str) -> bool:
        """A session is brought back only where one was deleted."""
        return action != "restore_session" or bool(self.trash)

    def action_restore_session(self) -> None:
        """Bring the session deleted last back."""
        self.trash.restore()

    def _settle(self) -> None:
        """All that a ranking needs is imported once there is one, and stays: walking through it
        again and again for garbage would hold the screen up for a quarter of a second each time.
        """
        if self._collecting is None and self.session.ranking is not None:
            self._collecting = gc.get_threshold()
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GARBAGE)

    def watch_settings(self, settings: preferences.Settings) -> None:
        """A layout that was set holds on every screen."""
        self.set_class(settings.layout == "tabs", "-tabs")
        self.set_class(settings.layout == "columns", "-columns")

    def fail(self, title: str, text: str) -> None:
        """Show what went wrong, in a dialog whose text can be copied."""
        from .dialogs.failure import FailureDialog

        self.push_screen(FailureDialog(title, text))

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
        if mode != "sessions" and self.session.client is None:
            self.notify("Open a session first: choose one and press enter, or n for a new one.")
            return
        if mode != self.current_mode and not self.screen.is_modal:
            await self.switch_mode(mode)

    def action_help(self) -> None:
        """Say what the keys do and what the figures mean."""
        from .dialogs.help import HelpDialog

        if not isinstance(self.screen, HelpDialog):
            snapshot = self.session.snapshot
            metric = (
                words.METRICS["accuracy"] if snapshot is None else words.metric(snapshot.session)
            )
            self.push_screen(HelpDialog(self.screen, self.session.measures, metric))

    async def action_quit(self) -> None:
        """Leave; ask first if something trains."""
        snapshot = self.session.snapshot
        open_trials = [
            trial for trial in (snapshot.standing if snapshot is not None else ()) if trial.pending
        ]
        finals = [
            one
            for one in (snapshot.standing_deliveries if snapshot is not None else ())
            if one.pending
        ]
        if not (open_trials or finals) or self.session.client is None:
            self.exit(0)
            return
        from ..engine.search.schedule import seconds_left
        from .dialogs.quit import QuitDialog

        if not isinstance(self.screen, QuitDialog):
            left = None if snapshot is None else seconds_left(snapshot, self.session.clock())
            session = None if snapshot is None else snapshot.session
            self.push_screen(QuitDialog(open_trials, session, finals, left), self._quit)

    def _quit(self, answer: str | None) -> None:
        if answer == "keep":
            self.exit(0)
        elif answer == "stop":
            self.session.decide(_stop_all, then=lambda: self.exit(0))

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
        snapshot = self.session.snapshot
        name = "lcsearch" if snapshot is None else snapshot.session.name

        def save(path: Path | None) -> None:
            if path is not None:
                self._save_picture(drawn, path)

        self.push_screen(
            ExportDialog(
                "Save a picture",
                "FILE.svg: this screen as it is shown.",
                Path.cwd() / f"{name}-{self.current_mode}.svg",
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


def _stop_all(client: Client) -> Decision | None:
    """Withdraw what waits; let what runs finish its epoch.  Final trainings pause."""
    last = None
    for delivery in client.refresh().deliveries:
        if delivery.pending:
            client.stop_delivery(delivery.number, "pause")
    for trial in client.refresh().trials:
        if trial.pending:
            last = client.stop(trial.number, "epoch", "the console was left")
    return last


def run(home: Path, name: str | None = None, sessions: Home | None = None) -> int:
    """Open the console, at its sessions or at the workbench of one; gives the exit code."""
    console = Console(home, name, sessions=sessions)
    code = console.run()
    return code if code is not None else console.return_code or 0
