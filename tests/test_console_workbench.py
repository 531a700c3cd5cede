"""The workbench: what it says of what trains, what is ranked and what is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from lcsearch.engine import search
from lcsearch.sessions.records import Execution, Failure
from lcsearch.tui.app import Console
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.networks.cnn import parameters
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets import training
from lcsearch.tui.widgets.chart import Chart
from lcsearch.tui.widgets.frame import Edge
from lcsearch.tui.widgets.header import SessionLine
from lcsearch.tui.widgets.training import TrainingPanel

from .consoles import (
    NARROW,
    SMALL,
    WIDE,
    console,
    press,
    ranking_of,
    settled,
    table_of,
    text_of,
    until,
)
from .fakes import NOW, FakeClient, FakeHome, empty_snapshot, make_snapshot


async def test_the_line_of_the_session_is_whole_where_room_is_short() -> None:
    async with console(FakeClient(make_snapshot()), size=NARROW) as pilot:
        line = pilot.app.screen.query_one(SessionLine)
        shown = str(line.render())
        assert shown.startswith("fashion · level f* 0.129 · lowest f 0.1289  ")
        assert shown.endswith("engine ● 1 training, 2 queued")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_each_line_of_what_trains_fits_and_names_the_network(size: tuple[int, int]) -> None:
    snapshot = make_snapshot(running=2, execution=Execution(parallel=2))
    async with console(FakeClient(snapshot), size=size) as pilot:
        if size == NARROW:
            await press(pilot, "v")
        screen = pilot.app.screen
        assert screen.query_one("#training-title", Edge).title_text == "Training · 2 at once"
        panel = screen.query_one(TrainingPanel)
        lines = str(panel.render()).splitlines()
        assert len(lines) == panel.size.height
        assert max(map(len, lines)) <= panel.content_size.width
        for line, trial in zip(lines, snapshot.trials[19:21], strict=False):
            assert line.startswith(f"{trial.number}  {parameters(trial.config)[:11]}")
            assert " 7/10 " in line


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("ended", ["worse", "failed"])
async def test_no_line_of_what_trains_is_broken(
    size: tuple[int, int], ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "falling_behind", lambda snapshot: {19})
    snapshot = make_snapshot(running=2, execution=Execution(parallel=2))
    trials = [*snapshot.trials]
    last = {"error": 0.3, "ended": NOW}
    if ended == "failed":
        why = Failure(kind="exception", message="channels[2] = 33: not divisible. " * 9)
        last = {"state": "failed", "failure": why, "ended": NOW}
    trials[18] = trials[18].model_copy(update=last)
    trials[20] = trials[20].model_copy(update={"stop_request": "epoch"})
    async with console(FakeClient(replace(snapshot, trials=tuple(trials))), size=size) as pilot:
        if size == NARROW:
            await press(pilot, "v")
        panel = pilot.app.screen.query_one(TrainingPanel)
        lines = str(panel.render()).splitlines()
        assert len(lines) == panel.size.height == 5
        assert max(map(len, lines)) <= panel.content_size.width
        assert "  behind  " in lines[0]
        assert lines[1].endswith("stops after this epoch")
        assert lines[4].endswith("▲ worse" if ended == "worse" else "…")


async def test_an_epoch_is_shown_without_a_new_ranking_and_the_cursor_stays() -> None:
    client = FakeClient(make_snapshot(epochs_done=7))
    async with console(client) as pilot:
        await press(pilot, "j", "j", "j")
        key = table_of(pilot).cursor_key
        assert " 7/10 " in text_of(pilot, "#training")
        client.snapshot = replace(make_snapshot(epochs_done=8), change=2)
        await until(pilot, lambda: " 8/10 " in text_of(pilot, "#training"))
        assert table_of(pilot).cursor_key == key
        assert client.ranked == 1


async def test_the_cursor_stays_with_its_candidate_when_the_ranking_changes() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "j", "j", "j")
        table, key = table_of(pilot), table_of(pilot).cursor_key
        rows = list(table.rows)
        table.show([rows[3], *rows[:3], *rows[4:]])
        await pilot.pause()
        assert table.cursor_key == key
        assert table.cursor_row == 0


async def test_where_the_candidate_is_gone_the_cursor_goes_to_the_best() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "j", "j")
        table = table_of(pilot)
        table.show([row for row in table.rows if row.key != table.cursor_key], first=True)
        await pilot.pause()
        assert table.cursor_row == 0
        assert table.cursor_key == ranking_of(pilot).proposals[0].id


async def test_a_ranking_that_fails_is_told_and_the_console_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = FakeClient(make_snapshot())

    def fail(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("something odd")

    async with console(client) as pilot:
        monkeypatch.setattr(client, "rank", fail)
        await press(pilot, "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        dialog = pilot.app.screen
        assert isinstance(dialog, FailureDialog)
        assert "ZeroDivisionError: something odd" in dialog.text
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, WorkbenchScreen)


async def test_a_finished_trial_is_ranked_again() -> None:
    client = FakeClient(make_snapshot(done=(14, 4)))
    async with console(client) as pilot:
        client.snapshot = replace(make_snapshot(done=(14, 5), running=0), change=2)
        await until(pilot, lambda: client.ranked == 2 and not pilot.app.session.ranking_running)
        assert "last: trial" in text_of(pilot, "#training")


async def test_layers_are_counted_from_1_wherever_a_person_reads() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        assert "differs in kernel[2], batch_norm[3]" in text_of(pilot, "#why")
        titles = []
        for _ in range(12):
            titles.append(pilot.app.screen.query_one("#belief-title", Edge).title_text)
            await press(pilot, "right")
        assert any("along kernel[1]" in title for title in titles)
        assert not any("[0]" in title for title in titles)
        await press(pilot, "e")
        pilot.app.screen.query(".field").first(Input).value = "9"
        await settled(pilot)
        assert "kernel[1] = 9: outside what is searched" in text_of(pilot, "#problems")


async def test_the_chart_follows_the_arrows() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        chart = pilot.app.screen.query_one(Chart)
        await until(pilot, lambda: chart.plot is not None)
        assert chart.plot is not None
        assert chart.plot.bars, "a kernel is a category: bars, no line"
        titles = set()
        for _ in range(5):
            titles.add(pilot.app.screen.query_one("#belief-title", Edge).title_text)
            await press(pilot, "right")
        assert len(titles) == 5


async def test_at_the_beginning_the_console_says_what_comes() -> None:
    client = FakeClient(empty_snapshot())
    async with console(client) as pilot:
        assert "once a trial has been measured" in pilot.app.screen.query_one(Chart).empty
        assert "queued" in text_of(pilot, "#training")


async def test_an_exhausted_level_names_the_next_key() -> None:
    client = FakeClient(make_snapshot(), candidates=0)
    async with console(client) as pilot:
        assert "nothing left" in text_of(pilot, "#no-candidates")
        assert "]" in text_of(pilot, "#no-candidates")


async def test_narrow_terminals_keep_the_cursor_and_every_key() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "j", "j")
        key = table_of(pilot).cursor_key
        wide = {b.binding.id for b in pilot.app.screen.active_bindings.values()}
        await pilot.resize_terminal(*NARROW)
        await settled(pilot)
        assert table_of(pilot).cursor_key == key
        assert wide == {b.binding.id for b in pilot.app.screen.active_bindings.values()}
        right = pilot.app.screen.query_one("#right")
        assert not right.display
        await press(pilot, "v")
        assert right.display
        assert not pilot.app.screen.query_one("#left").display
        await press(pilot, "v", "a")
        assert [call[0] for call in client.made("accept")] == [key]


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL])
async def test_nothing_is_cut_off_in_the_key_bar(size: tuple[int, int]) -> None:
    client = FakeClient(make_snapshot())
    async with console(client, size=size) as pilot:
        shown = text_of(pilot, "KeyBar")
        for word in ("Accept", "Edit", "New", "Reject", "Repeat", "Stop", "Autopilot", "w_c",
                     "Next level", "Screens", "Help", "Quit"):  # fmt: skip
            assert word in shown
        assert max(map(len, shown.splitlines())) <= size[0]


async def test_a_layout_is_chosen_in_the_palette_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    sessions = FakeHome({"fashion": FakeClient(make_snapshot())})
    app = Console(
        sessions.home, "fashion", sessions=sessions, clock=lambda: NOW, settings_file=file
    )
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WorkbenchScreen))
        commands = {c.title: c.callback for c in app.get_system_commands(app.screen)}
        assert app.screen.query_one("#right").display
        commands["Layout: tabs"]()
        await pilot.pause()
        assert not app.screen.query_one("#right").display
        assert json.loads(file.read_text())["layout"] == "tabs"
        commands["Layout: auto"]()
        await pilot.pause()
        assert app.screen.query_one("#right").display


async def test_the_best_measured_is_labelled_with_its_trial() -> None:
    client = FakeClient(make_snapshot())
    best = search.best_measured(client.snapshot)
    assert best is not None
    async with console(client) as pilot:
        line = str(pilot.app.screen.query_one("SessionLine").render())
        assert f"(trial {best.number})" in line
        assert "1 training, 2 queued" in line
