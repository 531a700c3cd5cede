"""Export and import by the console's keys: sessions, pages, charts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lcsearch.tui.dialogs.failure import FailureDialog

from .consoles import console, press, table_of, text_of, toasts, until
from .fakes import FakeClient, FakeHome, empty_snapshot, make_snapshot


async def write(pilot: Pilot[int], path: Path) -> None:
    """Give the dialog that is open a path, and let what follows happen."""
    pilot.app.screen.query_one("#path", Input).value = str(path)
    await press(pilot, "enter")


@pytest.mark.parametrize(
    ("screen", "name", "column"),
    [
        ("2", "belief", "mean"),
        ("3", "curves", "val_accuracy"),
        ("4", "tradeoff", "accuracy"),
        ("5", "calibration", "predictive_std"),
        ("6", "convergence", "best_f"),
    ],
)
async def test_the_chart_of_every_screen_is_exported(
    tmp_path: Path, screen: str, name: str, column: str
) -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, screen)
        # the newest trials have no epochs yet
        await press(pilot, "G")
        await press(pilot, "O")
        proposed = pilot.app.screen.query_one("#path", Input).value
        assert proposed.endswith(f"fashion-{name}.svg")
        await write(pilot, tmp_path / "out.csv")
        await until(pilot, (tmp_path / "out.csv").exists)
        with (tmp_path / "out.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert rows
        assert column in rows[0]
        await press(pilot, "O")
        await write(pilot, tmp_path / "out.svg")
        await until(pilot, (tmp_path / "out.svg").exists)
        await until(pilot, lambda: "out.svg" in toasts(pilot))


async def test_a_chart_is_not_written_as_something_unknown(tmp_path: Path) -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "4", "O")
        await write(pilot, tmp_path / "out.doc")
        assert "end it with .svg, .png, .csv, .json" in text_of(pilot, "#problem")
        assert not (tmp_path / "out.doc").exists()


async def test_where_nothing_is_drawn_there_is_nothing_to_export() -> None:
    async with console(FakeClient(empty_snapshot())) as pilot:
        await press(pilot, "O")
        assert not pilot.app.screen.is_modal
        assert "no chart here" in toasts(pilot)


async def test_the_session_is_exported_as_a_page_too(tmp_path: Path) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "o")
        await write(pilot, tmp_path / "out.html")
        await until(pilot, (tmp_path / "out.html").exists)
        assert "<!DOCTYPE html>" in (tmp_path / "out.html").read_text()
        await press(pilot, "o")
        await write(pilot, tmp_path / "out.json")
        await until(pilot, lambda: client.made("export") == [(tmp_path / "out.json",)])


async def test_a_session_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "friend.json"
    file.write_text(json.dumps({}))
    sessions = FakeHome({"mine": FakeClient(make_snapshot())})
    async with console(sessions=sessions) as pilot:
        await press(pilot, "i")
        await write(pilot, tmp_path / "missing.json")
        assert "no such file" in text_of(pilot, "#problem")
        pilot.app.screen.query_one("#name", Input).value = "theirs"
        await write(pilot, file)
        await until(pilot, lambda: len(table_of(pilot).rows) == 2)
        assert "theirs is imported" in toasts(pilot)


async def test_a_file_that_is_refused_says_why(tmp_path: Path) -> None:
    file = tmp_path / "friend.json"
    file.write_text("{}")
    async with console(sessions=FakeHome(refuse="friend.json: contradicts itself.")) as pilot:
        await press(pilot, "i")
        await write(pilot, file)
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
