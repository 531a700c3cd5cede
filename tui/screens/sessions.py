"""The sessions of this home: open one, set up a new one, delete with undo."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from .. import format as words
from ..widgets.frame import Edge, SplitLine
from ..widgets.keys import EXPORT, KeyBar
from ..widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engine.client.home import SessionSummary
    from ..open_session import OpenSession
    from ..trash import Trash

COLUMNS = (
    Column("name", "session", 0),
    Column("data", "data", 16),
    Column("level", "level", 13),
    Column("trials", "trials", 6, "right"),
    Column("wc", "w_c", 5, "right"),
    Column("best", "lowest f", 8, "right"),
    Column("state", "state", 10),
)
NARROW = (*COLUMNS[:1], *COLUMNS[2:4], *COLUMNS[5:])


class Listed(Message):
    """The sessions were read."""

    def __init__(self, summaries: Sequence[SessionSummary]) -> None:
        super().__init__()
        self.summaries = summaries


class SessionsScreen(Screen[Any]):
    """One line a session."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", id="sessions.open", tooltip="Open the session"),
        Binding("n", "new", "New", id="sessions.new", tooltip="Set up a new session"),
        Binding(
            "c",
            "copy",
            "Copy set-up",
            id="sessions.copy",
            tooltip="Set up a new session like the selected one",
        ),
        Binding(
            "l",
            "learn",
            "Learn from it",
            id="sessions.learn",
            tooltip="Set up a new session that learns from the selected one",
        ),
        Binding(
            "i",
            "bring_back",
            "Import",
            id="sessions.import",
            tooltip="Import a session from an exported file",
        ),
        Binding("d", "delete", "Delete", id="sessions.delete", tooltip="Delete the session"),
        Binding("u", "undo", "Undo", id="sessions.undo", tooltip="Bring the deleted session back"),
        Binding("y", "yank", "Copy", show=False, id="yank", tooltip="Copy the row as JSON"),
        EXPORT,
    ]
    LOOK_SECONDS = 2.0

    def __init__(self, session: OpenSession, trash: Trash) -> None:
        super().__init__()
        self.session = session
        self.trash = trash
        self.summaries: Sequence[SessionSummary] | None = None

    def compose(self) -> ComposeResult:
        """Title, table, keys."""
        yield SplitLine(id="title")
        with Vertical(classes="side only"):
            yield Edge("top", "Sessions")
            with Vertical(classes="panel grows"):
                yield Table(COLUMNS, id="sessions")
                yield Static(id="no-sessions")
            yield Edge("bottom", "enter opens")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the sessions, and now and then again."""
        title = self.query_one("#title", SplitLine)
        title.left = Content.assemble(
            ("lcsearch", "bold $primary"), "   interactive search for low-complexity networks"
        )
        title.right = Content.styled(str(self.session.sessions.home), "$foreground 60%")
        self.query_one("#sessions").display = False
        opening = self.session.opening
        self.query_one("#no-sessions", Static).update(
            f"Opening {opening}…" if opening else "Looking for sessions…"
        )
        self.session.listen(self, self._look)
        self.call_after_refresh(self.load)
        self.set_interval(self.LOOK_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Look again."""
        if self.summaries is not None:
            self.load()

    def _look(self) -> None:
        if self.is_current:
            self.load()

    @work(thread=True, group="list", exclusive=True)
    def load(self) -> None:
        """Read one line a session."""
        summaries = self.session.sessions.summaries()
        self.post_message(Listed(summaries))

    @on(Listed)
    def show(self, message: Listed) -> None:
        """Show them."""
        self.summaries = message.summaries
        table, empty = self.query_one("#sessions", Table), self.query_one("#no-sessions", Static)
        narrow = self.size.width < 90
        table.set_columns(NARROW if narrow else COLUMNS)
        newest = sorted(message.summaries, key=lambda s: s.created, reverse=True)
        table.show([_row(summary, narrow) for summary in newest])
        was_hidden = not table.display
        table.display = bool(newest)
        empty.display = not newest
        if newest and (was_hidden or self.focused is None):
            table.focus()
        empty.update(
            Content.assemble(
                "No session yet.\n\n",
                ("n", "bold $primary"),
                " and ",
                ("enter", "bold $primary"),
                " set up a search on scikit-learn's digits, which need no download.\n",
                "On the set-up screen you can name other images first.",
            )
        )
        self.refresh_bindings()

    def _selected(self) -> SessionSummary | None:
        key = self.query_one("#sessions", Table).cursor_key
        return next((s for s in self.summaries or () if s.name == key), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What needs a session is greyed where there is none."""
        if action in ("open", "copy", "delete", "yank", "export") and not self.summaries:
            return None
        return True

    def offers(self, action: str) -> bool:
        """What is worth a place among the keys: undoing where a session was deleted."""
        return action != "undo" or bool(self.trash)

    @on(Table.Selected, "#sessions")
    def open_selected(self, message: Table.Selected) -> None:
        """Open the session that was chosen."""
        self._open(message.key)

    def action_open(self) -> None:
        """Open the selected session."""
        summary = self._selected()
        if summary is not None:
            self._open(summary.name)

    def _open(self, name: str) -> None:
        summary = next((s for s in self.summaries or () if s.name == name), None)
        if summary is None:
            return
        if summary.state.startswith("corrupt"):
            self.session.fail(f"{summary.name} cannot be opened", summary.state)
            return
        self.notify(f"Opening {summary.name}…", timeout=2)
        self.session.open(summary.name)

    def action_new(self) -> None:
        """Set up a new session."""
        from .setup import SetupScreen

        names = {summary.name for summary in self.summaries or ()}
        self.app.push_screen(SetupScreen(self.session, names))

    def action_copy(self) -> None:
        """Set up a new session like the selected one."""
        summary = self._selected()
        if summary is not None:
            self._copy(summary.name, {other.name for other in self.summaries or ()})

    def action_learn(self) -> None:
        """Set up a new session that learns from the selected one, on its images to begin with."""
        summary = self._selected()
        if summary is not None:
            taken = {other.name for other in self.summaries or ()}
            self._copy(summary.name, taken, learn=summary.name)

    @work(thread=True, group="copy", exclusive=True)
    def _copy(self, name: str, taken: set[str], learn: str = "") -> None:
        from ...sessions.errors import StoreError
        from .setup import SetupScreen

        try:
            session = self.session.sessions.session(name)
        except StoreError as error:
            self.call_later(self.session.fail, f"{name} cannot be read", str(error))
            return
        screen = SetupScreen(self.session, taken, like=session, learn=learn)
        self.call_later(self.app.push_screen, screen)

    def action_delete(self) -> None:
        """Move the selected session to the trash."""
        summary = self._selected()
        if summary is not None:
            self.trash.delete(summary.name)

    def action_undo(self) -> None:
        """Bring the session deleted last back."""
        self.trash.restore()

    def action_bring_back(self) -> None:
        """Import a session from a file."""
        from ..dialogs.bring_back import Exported, ImportDialog

        def chosen(answer: Exported | None) -> None:
            if answer is not None:
                self._bring_back(answer.file, answer.name)

        self.app.push_screen(ImportDialog(Path.cwd()), chosen)

    @work(thread=True, group="import", exclusive=True)
    def _bring_back(self, file: Path, name: str | None) -> None:
        from ...sessions.errors import StoreError

        try:
            found = self.session.sessions.bring_back(file, name)
        except StoreError as error:
            self.call_later(self.session.fail, "Not imported", str(error))
            return
        told = self.trash.with_waits(found, "is imported. enter opens it")
        self.call_later(self.notify, told, markup=False)
        self.load()

    def action_export(self) -> None:
        """Write the selected session to a file."""
        from ..dialogs.export import export_of

        summary = self._selected()
        if summary is None:
            return
        name = summary.name

        def export(path: Path | None) -> None:
            if path is not None:
                self.notify(f"Exporting {name}…")
                self._export(name, path)

        self.app.push_screen(export_of(name), export)

    @work(thread=True, group="export")
    def _export(self, name: str, path: Path) -> None:
        from ..dialogs.export import write

        try:
            client = self.session.sessions.open(name)
            try:
                write(client, path)
            finally:
                client.close()
        except Exception as error:  # noqa: BLE001 - the thread's edge: shown
            self.call_later(self.session.fail, "Not exported", str(error) or type(error).__name__)
            return
        self.call_later(self.notify, f"Exported to {path}", markup=False)

    def action_yank(self) -> None:
        """Copy the selected line as JSON."""
        summary = self._selected()
        if summary is not None:
            self.app.copy_to_clipboard(json.dumps(asdict(summary)))
            self.notify("Copied.")


def _row(summary: SessionSummary, narrow: bool) -> Row:
    corrupt = summary.state.startswith("corrupt")
    level = "" if corrupt else _level(summary)
    marks = {"training": "▶ ", "waiting": "◌ ", "paused": "◌ ", "idle": "  "}
    state = "✗ damaged" if corrupt else marks.get(summary.state, "") + summary.state
    best = words.f_value(summary.best) if summary.best is not None else words.DASH
    trials = words.DASH if corrupt else str(summary.trials)
    if narrow:
        return Row(summary.name, (summary.name, level, trials, best, state))
    wc = words.DASH if corrupt else words.weight(summary.wc)
    return Row(summary.name, (summary.name, summary.data, level, trials, wc, best, state))


def _level(summary: SessionSummary) -> str:
    names = summary.levels
    return words.level_label(summary.level, names) if summary.level <= len(names) else ""
