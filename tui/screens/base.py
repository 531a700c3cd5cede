"""What the screens of an open session share: its news and its header."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from ...engine import search
from ..widgets.engine import EngineBand
from ..widgets.header import LevelsBar, SessionLine
from ..widgets.keys import KeyBar, typed
from ..widgets.table import Table
from ..widgets.text import Text
from .decisions import DecidingScreen

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...sessions.snapshot import Snapshot

ORDER = (
    "accept",
    "edit",
    "new",
    "reject",
    "repeat",
    "stop",
    "autopilot",
    "wc",
    "advance",
)
"""The decisions as the key bar shows them."""
WIDE = 100
"""Columns from which two sides stand beside each other."""


class SessionScreen(DecidingScreen):
    """A screen of the open session.  `repaint` shows the present snapshot and ranking."""

    _shown: tuple[object, ...] = ()
    """What was shown last: a screen that comes back unchanged is painted as it stands."""
    _offered: tuple[bool, bool] | None = None
    """Whether a next level, and one to open again, were offered when it was shown last."""

    def on_mount(self) -> None:
        """Follow the session's news."""
        self.mount(EngineBand(self.session), after=self.query_one(LevelsBar))
        self.session.listen(self, self._news)

    def _news(self) -> None:
        if self.is_current or (self.app.screen.is_modal and self in self.app.screen_stack):
            self._show()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Show what has changed meanwhile."""
        # working out every style again takes longer than painting, and where the theme has changed
        # meanwhile the app has done it already
        event.refresh_styles = False
        now = self._now()
        if len(self._shown) != len(now) or any(
            a is not b for a, b in zip(self._shown, now, strict=True)
        ):
            self._show()

    def _now(self) -> tuple[object, ...]:
        return self.snapshot, self.ranking, self.session.ranking_running

    def _show(self) -> None:
        snapshot = self.snapshot
        if snapshot is None or self.session.client is None:
            return
        self._shown = self._now()
        with self.app.batch_update():
            best = search.best_measured(snapshot)
            value = None if best is None else search.objective(best, snapshot.session.wc)
            line = self.query_one(SessionLine)
            line.show(
                snapshot, self.ranking, None if best is None or value is None else (best, value)
            )
            self.query_one(EngineBand).show(snapshot)
            self.query_one(LevelsBar).standings = tuple(search.standings(snapshot).values())
            self.repaint(snapshot, self.ranking)
            offered = self.offers("advance"), self.offers("reopen")
            if offered != self._offered:
                self._offered = offered
                self.refresh_bindings()

    @on(Table.RoomChanged)
    def _room_changed(self) -> None:
        """Networks are written as long as there is room for them."""
        self._show()

    def repaint(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        """Show a snapshot and the ranking made from it or from the one before."""
        raise NotImplementedError


class TwoSides(SessionScreen):
    """A screen with two sides, which become two views where there is room for one."""

    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [  # noqa: RUF012
        (0, "-narrow"),
        (WIDE, "-wide"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "View", show=False, id="view", tooltip="Show the other side"),
    ]
    SIDES = ("", "")
    KEYS: ClassVar[tuple[str, ...]] = ORDER[2:]
    """What the key bar shows first: what can be decided here."""

    def compose(self) -> ComposeResult:
        """Header, two sides, keys."""
        yield SessionLine()
        yield LevelsBar()
        yield ViewLine(id="views")
        with Horizontal(id="sides"):
            with Vertical(id="left", classes="side"):
                yield from self.left()
            with Vertical(id="right", classes="side"):
                yield from self.right()
        yield KeyBar(self.KEYS, spare=1)

    def left(self) -> ComposeResult:
        """What stands at the left, or is shown first."""
        raise NotImplementedError

    def right(self) -> ComposeResult:
        """What stands at the right, or is shown by `v`."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Name the sides."""
        super().on_mount()
        self._views()
        self.bindings_updated_signal.subscribe(self, lambda _: self._views())

    def action_view(self) -> None:
        """Show the other side, where there is room for one."""
        self.toggle_class("-other")
        self._views()

    def _views(self) -> None:
        other = self.has_class("-other")
        parts: list[Content | str] = []
        for name, shown in zip(self.SIDES, (not other, other), strict=True):
            style = "bold reverse" if shown else "$foreground 60%"
            parts += [Content.styled(f" {name} ", style), " "]
        if not typed(self, "v"):
            parts.append(Content.styled("  v changes", "$foreground 50%"))
        self.query_one(ViewLine).update(Content.assemble(*parts))


class ViewLine(Text):
    """Which of the two sides is shown where there is room for one; a click changes it."""

    DEFAULT_CSS = """
    ViewLine { height: 1; padding: 0 1; }
    """

    async def on_click(self) -> None:
        """Show the other side."""
        await self.screen.run_action("view")
