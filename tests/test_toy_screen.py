"""A screen more: a class, and one line among the screens of the console."""

from __future__ import annotations

import importlib

import pytest
from textual.app import ComposeResult
from textual.screen import Screen

from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.sessions.records import Trial
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui import app as console_app
from lcsearch.tui.open_session import OpenSession
from lcsearch.tui.plot import Figure
from lcsearch.tui.screens.base import SessionScreen
from lcsearch.tui.sharing import figures
from lcsearch.tui.widgets.chart import Chart
from lcsearch.tui.widgets.header import LevelsBar, SessionLine
from lcsearch.tui.widgets.keys import KeyBar
from lcsearch.tui.widgets.text import Text

from .consoles import press, text_of, until
from .fakes import NOW, FakeClient, FakeHome, make_snapshot


class ConvergenceScreen(SessionScreen):
    """f, trial by trial."""

    def compose(self) -> ComposeResult:
        """Header, words, chart, keys."""
        yield SessionLine()
        yield LevelsBar()
        yield Text(id="said")
        yield Chart(id="convergence", empty="Nothing yet.")
        yield KeyBar()

    def repaint(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        """The trials that there are."""
        self.query_one("#said", Text).update(f"{len(snapshot.trials)} trials")
        self.query_one("#convergence", Chart).plot = figures.convergence(snapshot).plot

    def figure(self) -> Figure | None:
        """The chart."""
        return None if self.snapshot is None else figures.convergence(self.snapshot)

    def chosen_trial(self) -> Trial | None:
        """The last one."""
        return None if self.snapshot is None else self.snapshot.trials[-1]


def _convergence(session: OpenSession) -> Screen[None]:
    return ConvergenceScreen(session)


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> type[console_app.Console]:
    """The console with one line more; its keys are worked out as its class is made."""
    line = '    ("best", "Best", _best),\n'
    source = importlib.util.find_spec(console_app.__name__)
    assert source is not None
    assert source.origin is not None
    with open(source.origin, encoding="utf-8") as file:
        text = file.read()
    assert text.count(line) == 1
    more = text.replace(line, line + '    ("convergence", "Convergence", _convergence),\n')
    module = {**console_app.__dict__, "_convergence": _convergence}
    exec(compile(more, source.origin, "exec"), module)
    made: type[console_app.Console] = module["Console"]
    return made


async def test_it_has_a_key_and_follows_the_session(console: type[console_app.Console]) -> None:
    client = FakeClient(make_snapshot())
    sessions = FakeHome({"fashion": client})
    app = console(sessions.home, "fashion", sessions=sessions, clock=lambda: NOW, read_seconds=0.01)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.session.ranking is not None)
        await press(pilot, "7")
        assert isinstance(app.screen, ConvergenceScreen)
        count = len(client.snapshot.trials)
        assert text_of(pilot, "#said") == f"{count} trials"
        assert app.screen.query_one("#convergence", Chart).plot is not None
        ranking = app.session.ranking
        assert ranking is not None
        client.accept(ranking.proposals[0])
        await until(pilot, lambda: text_of(pilot, "#said") == f"{count + 1} trials")
        await press(pilot, "question_mark")
        assert "Go to Convergence" in " ".join(text_of(pilot, "#help-keys").split())
