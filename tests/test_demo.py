"""The recorded session: small, real, whole, with something to show on every screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcsearch.engine import search
from lcsearch.engine.client.home import SetupError
from lcsearch.engine.search.scorecard import PERSON, outcomes, overrides, picks
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import DataSource, Setup
from lcsearch.tui import demo
from lcsearch.tui.app import Console
from lcsearch.tui.cli import app
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.sharing import figures

from .consoles import press, table_of, text_of, until

RECORDING = Path(demo.__file__).with_name("demo.json")


@pytest.fixture
def showcase(tmp_path: Path) -> demo.Showcase:
    demo.record(tmp_path / "place")
    return demo.Showcase(tmp_path / "place")


def test_it_is_small_and_holds_all_that_people_do(showcase: demo.Showcase) -> None:
    assert RECORDING.stat().st_size < 300_000
    client = showcase.open(demo.NAME)
    snapshot = client.refresh()
    kinds = {d.kind for d in snapshot.decisions}
    assert kinds >= {"accept", "edit", "new", "reject", "repeat", "stop", "undo", "wc", "advance"}
    assert {d.by for d in snapshot.decisions} == {"person", "autopilot"}
    assert {t.state for t in snapshot.trials} >= {"done", "failed", "stopped", "cancelled"}
    assert any(t.failure and t.failure.kind == "diverged" for t in snapshot.trials)
    assert {t.level for t in snapshot.trials} == {0, 1, 2, 3, 4}
    assert not search.pending(snapshot)
    assert any(d.kind == "reject" and d.reason for d in snapshot.decisions)


def test_every_screen_has_something_to_show(showcase: demo.Showcase) -> None:
    client = showcase.open(demo.NAME)
    snapshot = client.refresh()
    for figure in (figures.tradeoff, figures.calibration, figures.convergence, figures.curves):
        assert figure(snapshot).plot is not None
    assert len(outcomes(snapshot)) > 10
    against = overrides(snapshot)
    assert len(against) >= 4
    assert 0 < sum(override.right for override in against) < len(against)
    for sources in (PERSON, ("advisor",), ("autopilot",)):
        assert picks(snapshot.trials, snapshot.session.wc, sources).trials >= 2
    assert len(search.pareto(snapshot.trials)) >= 3


def test_what_would_train_is_refused_and_the_rest_works(showcase: demo.Showcase) -> None:
    client = showcase.open(demo.NAME)
    before = client.refresh()
    with pytest.raises(StoreError, match="nothing trains"):
        client.repeat(2)
    with pytest.raises(StoreError, match="nothing trains"):
        client.autopilot(trials=1)
    assert client.refresh() is before
    client.set_wc(0.5)
    assert client.refresh().session.wc == 0.5
    client.undo()
    assert client.refresh().session.wc == before.session.wc
    with pytest.raises(SetupError, match="nothing trains"):
        showcase.create(Setup("other", DataSource(spec="digits")))
    assert not (client.folder / "engine.log").exists()


async def test_the_console_opens_on_it(showcase: demo.Showcase, home: Path) -> None:
    console = Console(showcase.home, demo.NAME, sessions=showcase, settings_file=home / "s.json")
    async with console.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(console.screen, WorkbenchScreen))
        await until(pilot, lambda: console.session.ranking is not None)
        assert len(table_of(pilot).rows) > 5
        await press(pilot, "a")
        await until(pilot, lambda: console.screen.is_modal)
        await press(pilot, "escape", "3")
        snapshot = console.session.snapshot
        assert snapshot is not None
        assert len(table_of(pilot).rows) == len(snapshot.trials)
        await press(pilot, "5")
        assert "within 2σ" in text_of(pilot, "#scores")
        await press(pilot, "6")
        assert "conv 1" in text_of(pilot, "#layers")
    assert not (home / "sessions").exists()


def test_without_a_terminal_it_says_so() -> None:
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 2
    assert "needs a terminal" in done.stderr
