"""One network is the best of a session, whoever is asked: screens, commands, page and JSON."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from textual.widgets import Input
from typer.testing import CliRunner

import lcsearch
from lcsearch.engine import search
from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search import autopilot, decide
from lcsearch.engine.service import Service
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import Autopilot
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui.cli import app
from lcsearch.tui.commands import follow as progress
from lcsearch.tui.dialogs.trials import TrialDialog
from lcsearch.tui.sharing.page import page_of
from lcsearch.tui.widgets.frame import Edge
from lcsearch.tui.widgets.header import SessionLine

from .conftest import lcsearch as run
from .consoles import NARROW, WIDE, console, press, ranking_of, table_of, text_of, until
from .fakes import FakeClient, make_snapshot
from .sessions_for_tests import filled_store, finish

GOOD, CHEAP = 3, 5
"""Of level 1: accurate and dear, which is carried forward; and dull and cheap."""


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is started, and nobody waits for one."""
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)


@pytest.fixture
def client(home: Path) -> Iterator[SessionClient]:
    """A session whose later level is dear, under a weight for which level 1 holds the best.

    The base of level 2 is accurate and slow; once w_c is 1.5, a network of level 1 that costs a
    tenth is far ahead of all that level 2 can reach.
    """
    store = filled_store(home, 0, name="demo")
    space = session_space(store.refresh().session)
    rng = np.random.default_rng(1)
    for number in range(1, 7):
        snapshot = store.refresh()
        config = space.sample(rng, 1, snapshot.trials[0].config)
        store.apply(decide.accept(snapshot, space, config, None))
        figures = {GOOD: (0.05, 2.0), CHEAP: (0.2, 0.1)}.get(number, (0.25, 1.5))
        finish(store, number, *figures)
    store.apply(decide.advance(store.refresh(), GOOD))
    for number in (7, 8, 9):
        snapshot = store.refresh()
        config = space.sample(rng, 2, search.base_trial(snapshot).config)
        store.apply(decide.accept(snapshot, space, config, None))
        finish(store, number, 0.05 + 0.01 * (number - 7), 1.9)
    store.apply(decide.set_wc(store.refresh(), 1.5))
    store.close()
    client = SessionClient(home / "sessions" / "demo")
    yield client
    client.close()


def test_the_incumbent_of_a_level_need_not_be_the_best_of_all(client: SessionClient) -> None:
    snapshot = client.refresh()
    ranked = client.rank(snapshot)
    assert ranked.incumbent_number in {GOOD, 7, 8, 9}
    best = search.recommended(snapshot, ranked)
    assert best is not None
    assert best.number == CHEAP
    means = {o.number: ranked.posterior(o.number) for o in search.observations(snapshot)}
    assert best.belief == min(means.values())
    assert best.belief == means[CHEAP]
    # a ranking made before the weight moved answers for the weight that counts now
    before = replace(snapshot, session=snapshot.session.model_copy(update={"wc": 0.0}))
    assert search.recommended(snapshot, search.ranking(before, client.space)) == best
    other = search.recommended(before, ranked)
    assert other is not None
    assert other.number != CHEAP


def test_without_a_belief_it_is_the_best_measured(client: SessionClient) -> None:
    snapshot = client.refresh()
    assert search.recommended(snapshot, None) == search.Recommendation(snapshot.trials[CHEAP])
    random = replace(snapshot, session=snapshot.session.model_copy(update={"strategy": "random"}))
    ranked = search.ranking(random, client.space)
    assert search.recommended(random, ranked) == search.Recommendation(snapshot.trials[CHEAP])
    # the strategy was changed a moment ago, and the ranking is still the one of before
    assert search.recommended(snapshot, ranked) == search.Recommendation(snapshot.trials[CHEAP])


def test_files_and_commands_name_the_same_one(
    client: SessionClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = client.document().best
    assert told is not None
    assert told.trial == CHEAP
    assert json.loads(run("export", "demo")[0])["best"]["trial"] == CHEAP
    assert json.loads(run("show", "demo", "--json")[0])["best"]["trial"] == CHEAP
    shown = run("show", "demo")[0]
    assert f"best network: trial {CHEAP}, the best of all levels by the model's belief" in shown
    made = page_of(client)
    assert (f"trial {CHEAP}") in {by for _, what, by in made.key_figures if "accuracy" in what}
    (best,) = [network for network in made.networks if network.best]
    assert f"trial {CHEAP}" in best.title

    asked: list[int] = []

    def deliver(client: SessionClient, number: int, *_: object, **__: object) -> None:
        asked.append(number)
        raise StoreError("enough is known")

    monkeypatch.setattr(SessionClient, "deliver", deliver)
    out = str(home / "out")
    done = CliRunner().invoke(app, ["train", "demo", "--session-images", "-o", out])
    assert asked == [CHEAP]
    assert f"best network: trial {CHEAP}" in done.stderr


def test_decisions_without_a_trial_take_the_same_one(client: SessionClient) -> None:
    assert f"from trial {CHEAP}" in run("reopen", "demo", "--level", "1")[1]
    assert f"from trial {CHEAP}" in run("advance", "demo")[1]
    assert f"repeats trial {CHEAP}" in run("repeat", "demo")[1]


def test_the_end_of_a_run_names_the_same_one(
    client: SessionClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert progress.follow(client, lambda: None) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].startswith(f"best network: trial {CHEAP}, the best of all levels")
    assert lines[-1].startswith(f"trial {CHEAP:>3}")


@pytest.mark.parametrize("level", [2, 4])
def test_the_autopilot_carries_the_same_one_forward(
    client: SessionClient, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = client._store
    while store.refresh().session.level < level:
        store.apply(decide.advance(store.refresh(), GOOD))
    pilot = Autopilot(trials=3, levels="round", accepted=3)
    store.set_session({}, autopilot=pilot)
    snapshot = store.refresh()
    ranked = client.rank(snapshot)
    step = autopilot.step(snapshot, ranked)
    assert step.do == ("advance" if level == 2 else "reopen")
    engine = object.__new__(Service)
    engine.store = store
    engine._act(snapshot, ranked, ())
    assert search.base_trial(store.refresh()).number == CHEAP


class Elsewhere(FakeClient):
    """Its level's incumbent is another trial than the best of all."""

    LEVEL = 16

    def rank(self, snapshot: Snapshot, *, wc: float | None = None, count: int = 10) -> Ranking:
        ranked = super().rank(snapshot, wc=wc, count=count)
        value, _ = ranked.posterior(self.LEVEL)
        return replace(ranked, incumbent=value, incumbent_number=self.LEVEL)


async def test_every_screen_and_dialog_names_the_same_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    client = Elsewhere(make_snapshot())
    measured = search.best_measured(client.snapshot)
    assert measured is not None
    best = measured.number
    assert best != Elsewhere.LEVEL
    async with console(client) as pilot:
        assert ranking_of(pilot).incumbent_number == Elsewhere.LEVEL
        await press(pilot, "6")
        title = pilot.app.screen.query_one("#best-title", Edge)
        await until(pilot, lambda: title.title_text == f"Best network · trial {best}")
        mean, std = ranking_of(pilot).posterior(best)
        assert f"{mean:.3f} ± {std:.3f} by the model" in text_of(pilot, "#layers")
        await press(pilot, "t")
        assert pilot.app.screen.query_one("#trial", Input).value == str(best)
        await press(pilot, "escape")
        for keys in (["n"], ["2", "n"]):
            await press(pilot, *keys)
            asked = str(pilot.app.screen.query_one(".dialog").border_title)
            assert f"from trial {best}" in asked, keys
            await press(pilot, "escape")
        for keys in (["r"], ["right_square_bracket"], ["left_square_bracket", "1"]):
            await press(pilot, *keys)
            assert isinstance(pilot.app.screen, TrialDialog), keys
            table = table_of(pilot)
            assert table.cursor_key == str(best), keys
            assert next(iter(table.rows)).key == str(best), keys
            await press(pilot, "escape")


async def test_f_star_is_called_the_levels() -> None:
    client = Elsewhere(make_snapshot())
    async with console(client, size=WIDE) as pilot:
        line = str(pilot.app.screen.query_one(SessionLine).render())
        assert f"f* of this level {ranking_of(pilot).incumbent:.3f}" in line
        assert "best measured 0." in line
    async with console(Elsewhere(make_snapshot(queued=0)), size=NARROW) as pilot:
        line = str(pilot.app.screen.query_one(SessionLine).render())
        assert f"level f* {ranking_of(pilot).incumbent:.3f} · lowest f 0." in line


def test_nothing_else_takes_the_incumbent_of_a_level_for_the_best() -> None:
    """Only the advisor, and `propose --json`, which names it as what it is, read whose f* it is."""
    root = Path(lcsearch.__file__).resolve().parent
    found = {
        path.relative_to(root).as_posix()
        for folder in ("tui", "engine", "sessions")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "incumbent_number"
    }
    assert found <= {"tui/commands/candidates.py"}
