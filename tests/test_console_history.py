"""The trials: their filter and their columns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.widget import Widget
from textual.widgets import Input

from lcsearch.sessions.records import Conditions, Machine
from lcsearch.tui import format as words
from lcsearch.tui.networks.cnn import parameters
from lcsearch.tui.screens.history import HistoryScreen
from lcsearch.tui.widgets.frame import Edge
from lcsearch.tui.widgets.table import Table

from .consoles import (
    NARROW,
    SMALL,
    WIDE,
    ConsolePilot,
    assert_nothing_offered_is_typed,
    console,
    offered,
    press,
    snapshot_of,
    table_of,
    text_of,
    typed,
    until,
)
from .fakes import FakeClient, FakeHome, changed, make_snapshot, timed


async def test_keys_typed_while_the_trials_open_are_not_swallowed_by_the_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    focused: list[Widget | None] = []
    set_focus = HistoryScreen.set_focus

    def seen(screen: HistoryScreen, widget: Widget | None, *args: bool, **options: bool) -> None:
        focused.append(widget)
        set_focus(screen, widget, *args, **options)

    monkeypatch.setattr(HistoryScreen, "set_focus", seen)
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: isinstance(pilot.app.screen.focused, Table))
        assert not any(isinstance(widget, Input) for widget in focused)
        await press(pilot, "slash")
        assert isinstance(pilot.app.screen.focused, Input)


@asynccontextmanager
async def history(
    client: FakeClient | None = None, *, size: tuple[int, int] = WIDE
) -> AsyncIterator[ConsolePilot]:
    """The trials, and the keys with their table."""
    async with console(client or FakeClient(make_snapshot()), size=size) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: isinstance(pilot.app.screen.focused, Table))
        yield pilot


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL])
async def test_the_filter_sees_the_whole_network_and_enter_gives_the_keys_back(
    size: tuple[int, int],
) -> None:
    client = FakeClient(make_snapshot())
    trials = client.snapshot.trials
    lines = [parameters(t.config).split()[0] for t in trials]
    line = max(lines, key=lines.count)
    having = {str(t.number) for t, own in zip(trials, lines, strict=True) if line in own}
    async with history(client, size=size) as pilot:
        await press(pilot, "slash")
        await typed(pilot, line)
        assert {row.key for row in table_of(pilot).rows} == having
        await press(pilot, "enter")
        assert pilot.app.screen.focused is table_of(pilot)
        told = text_of(pilot, "#filter-said")
        assert f"{len(having)} of {len(trials)} match {line}" in told
        assert "esc shows all" in told
        await press(pilot, "g", "j")
        assert table_of(pilot).cursor_row == 1
        await press(pilot, "escape")
        assert len(table_of(pilot).rows) == len(trials)
        assert not pilot.app.screen.query_one("#filter-said").display


async def test_escape_leaves_the_filter_as_it_was_before() -> None:
    async with history() as pilot:
        await press(pilot, "slash")
        await typed(pilot, "params<50k")
        await press(pilot, "enter")
        shown = [row.key for row in table_of(pilot).rows]
        assert 0 < len(shown) < len(snapshot_of(pilot).trials)
        await press(pilot, "slash")
        await typed(pilot, " k7777777")
        await press(pilot, "escape")
        assert [row.key for row in table_of(pilot).rows] == shown
        assert "match params<50k" in text_of(pilot, "#filter-said")
        await press(pilot, "t")
        assert "by f" in pilot.app.screen.query_one("#trials-title", Edge).title_text


async def test_a_wrong_filter_is_told_while_typing_and_nothing_typed_is_lost() -> None:
    async with history() as pilot:
        everything = len(snapshot_of(pilot).trials)
        await press(pilot, "slash")
        await typed(pilot, "parms<5")
        assert "there is no parms. Is it params?" in text_of(pilot, "#filter-said")
        await press(pilot, "enter")
        field = pilot.app.screen.query_one("#filter", Input)
        assert field.has_focus
        await press(pilot, "tab")
        assert field.display
        assert field.value == "parms<5"
        await press(pilot, "escape")
        assert (field.value, len(table_of(pilot).rows)) == ("", everything)


async def test_where_no_trial_matches_the_screen_says_so_and_how_to_see_them_all() -> None:
    async with history() as pilot:
        await press(pilot, "slash")
        await typed(pilot, "acc>99.9")
        await press(pilot, "enter")
        assert "No trial matches acc>99.9. esc shows all 22." in text_of(pilot, "#no-trials")
        assert pilot.app.screen.query_one("#no-trials").display
        await press(pilot, "escape")
        assert len(table_of(pilot).rows) == 22
        assert pilot.app.screen.focused is table_of(pilot)


async def test_another_session_is_shown_unfiltered_and_unmarked() -> None:
    small = make_snapshot(level=1, done=(2,), running=0, queued=0, name="small")
    sessions = FakeHome({"fashion": FakeClient(make_snapshot()), "small": FakeClient(small)})
    async with console(sessions=sessions, name="fashion") as pilot:
        await press(pilot, "3", "G", "k", "k", "space", "slash")
        await typed(pilot, "level=2")
        await press(pilot, "enter")
        pilot.app.session.open("small")
        await until(pilot, lambda: snapshot_of(pilot).session.name == "small")
        await press(pilot, "3")
        assert len(table_of(pilot).rows) == 3


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_no_key_is_offered_beside_the_filter_that_would_be_typed(
    size: tuple[int, int],
) -> None:
    async with history(size=size) as pilot:
        assert "v changes" in text_of(pilot, "#views")
        assert "?" in offered(pilot)
        await press(pilot, "slash")
        await pilot.pause()
        assert "v changes" not in text_of(pilot, "#views")
        assert {"esc", "enter"} <= set(offered(pilot))
        await press(pilot, "f1")
        assert "f1 " in text_of(pilot, "#help-keys")
        assert "  / " not in text_of(pilot, "#help-keys")
        await press(pilot, "escape")
        await assert_nothing_offered_is_typed(pilot)


async def test_a_disturbed_time_and_how_far_a_trial_is_fit_their_columns() -> None:
    snapshot = make_snapshot()
    spoilt = Machine(
        processor="a", device="cpu", threads=1, dtype="float32", torch="2",
        conditions=Conditions(disturbed=("somebody else worked",)),
    )  # fmt: skip
    snapshot = changed(timed(snapshot, 13, 0.0351, 1.7), 13, machine=spoilt)
    async with console(FakeClient(snapshot), size=NARROW) as pilot:
        await press(pilot, "3")
        table = table_of(pilot)
        cells = {row.key: row.cells for row in table.rows}
        assert (cells["13"][-1], cells["19"][4], cells["20"][4]) == ("~0.035", "7/10", "–")
        drawn = [table.render_line(y).text for y in range(table.size.height)]
        assert any(line.rstrip().endswith("~0.035") for line in drawn)


def test_how_far_a_long_trial_is_fits_too() -> None:
    assert [words.reached(*at) for at in ((3, 10), (99, 100), (150, 200))] == [
        "3/10",
        "99/100",
        "75%",
    ]
