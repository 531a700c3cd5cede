"""What is painted anew: no more than has changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from textual.geometry import Region
from textual.widget import Widget

from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets.text import Text

from .consoles import console, press, settled, snapshot_of, table_of, until
from .fakes import FakeClient, make_snapshot


@contextmanager
def marked() -> Iterator[list[tuple[Widget, int]]]:
    """The widgets that ask to be painted, and of how many parts alone; 0: the whole widget."""
    found: list[tuple[Widget, int]] = []
    refresh = Widget.refresh

    def refreshing(widget: Widget, *regions: Region, **how: bool) -> Widget:
        found.append((widget, len(regions)))
        return refresh(widget, *regions, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Widget, "refresh", refreshing)
        yield found


async def test_an_epochs_news_paint_the_training_alone() -> None:
    client = FakeClient(make_snapshot(epochs_done=5))
    async with console(client) as pilot:
        trial = next(t for t in client.snapshot.trials if t.state == "running")
        shown = trial.model_copy(update={"epochs": trial.epochs[:4]})
        trials = tuple(shown if t is trial else t for t in client.snapshot.trials)
        with marked() as found:
            client.change(trials=trials)
            await until(pilot, lambda: pilot.app.session.snapshot is client.snapshot)
            await settled(pilot)
        names = {widget.id for widget, _ in found}
        assert "training" in names
        assert not names & {"candidates", "why", "belief"}
        assert pilot.app.screen not in [widget for widget, _ in found]


async def test_a_moved_cursor_paints_two_rows_and_the_reasons_at_once() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        table = table_of(pilot)
        with marked() as found:
            table.action_move(1)
            at_once = [(widget.id, parts) for widget, parts in found]
        assert at_once.count(("candidates", 1)) == 2
        assert ("candidates", 0) not in at_once
        assert "why" in dict(at_once)


async def test_a_text_at_its_largest_height_asks_for_no_layout() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "3")
        panel = pilot.app.screen.query_one("#trial", Text)
        panel.update("\n".join(map(str, range(20))))
        await settled(pilot)
        assert panel.content_size.height == 9
        before = panel._layout_updates
        panel.update("\n".join(map(str, range(30))))
        assert panel._layout_updates == before
        panel.update("one")
        assert panel._layout_updates > before


async def test_a_screen_that_comes_back_unchanged_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "3", "2")
        made: list[WorkbenchScreen] = []
        real = WorkbenchScreen.repaint

        def repaint(screen: WorkbenchScreen, snapshot: Snapshot, ranking: Ranking | None) -> None:
            made.append(screen)
            real(screen, snapshot, ranking)

        monkeypatch.setattr(WorkbenchScreen, "repaint", repaint)
        await press(pilot, "3", "2")
        assert not made
        client.change(session=snapshot_of(pilot).session.model_copy(update={"wc": 0.3}))
        await until(pilot, lambda: snapshot_of(pilot).session.wc == 0.3)
        assert made
