"""A task that is no network goes all the way: new, run, propose, report, export, import."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lcsearch.engine.client import home as client_home
from lcsearch.engine.client import process
from lcsearch.engine.client.home import SetupError, create
from lcsearch.engine.executors import registry
from lcsearch.engine.executors.final import WrongOrder, wanted
from lcsearch.engine.protocol import Ready
from lcsearch.engine.tasks import task
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.exchange import schema
from lcsearch.sessions.records import DataSource, DataSummary, Execution, Setup
from lcsearch.tui.app import Console
from lcsearch.tui.widgets.table import Table

from . import toy
from .conftest import lcsearch
from .consoles import press, text_of, until

SUMMARY = DataSummary(
    channels=1, height=8, width=8, classes=10, train=80, val=20, test=20, fingerprint="f" * 64
)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy task and its executor are known, here and in every engine that is started."""
    for registered in (task.TASKS, registry.EXECUTORS):
        for name, value in list(registered.items()):
            monkeypatch.setitem(registered, name, value)  # so that all is as it was afterwards
    monkeypatch.setattr(task, "TASKS", dict(task.TASKS))
    monkeypatch.setattr(registry, "EXECUTORS", dict(registry.EXECUTORS))
    toy.register()
    program = [sys.executable, "-P", toy.__file__]
    monkeypatch.setattr(process, "engine_command", lambda folder: [*program, str(folder)])
    monkeypatch.setattr(client_home, "probe", lambda data, *_: Ready(summary=SUMMARY))
    task._kept_space.cache_clear()
    yield
    task._kept_space.cache_clear()


def setup(measure: str) -> Setup:
    """A session of the toy task on the toy executor."""
    asked = Setup("toy", DataSource(spec="digits"), measure=measure, epochs=2, trials_per_level=4)
    return replace(asked, task="toy", execution=Execution(executor="toy"))


@pytest.mark.parametrize("measure", ["effort", "heat"])
def test_a_whole_search_by_the_commands(
    home: Path, tmp_path: Path, toys: None, measure: str
) -> None:
    asked = ["--task", "toy", "--executor", "toy", "--measure", measure, "--set", "x=0..0.9"]
    lcsearch("new", "toy", *asked, "--epochs", "2", "--trials", "4")
    told, _ = lcsearch("show", "toy")
    assert "trials run nowhere" in told
    lcsearch("run", "toy", "--trials", "4", "--levels", "all")
    shown, _ = lcsearch("show", "toy")
    assert "x 0." in shown
    assert shown.count(" steps") >= 9
    listed = json.loads(lcsearch("show", "toy", "--filter", "state=done", "--json")[0])
    assert len(listed) == 9  # the reference, and four in each of two levels
    for trial in listed:
        config = trial["config"]
        known = 10.0 * config["n"] * (1 + config["x"])
        assert trial["costs"] == {"effort": known, "heat": 2.0 * config["n"]}
        ratio = known / 60.0 if measure == "effort" else config["n"] / 4
        assert trial["complexity"] == pytest.approx(ratio)
    best = min(listed, key=lambda t: t["error"] + 0.1 * t["complexity"])
    assert best["error"] < listed[0]["error"]  # it searches
    proposed = json.loads(lcsearch("propose", "toy", "--json")[0])
    assert proposed["proposals"][0]["effort"] > 0
    lcsearch("report", "toy", "-o", str(tmp_path / "toy.html"))
    page = (tmp_path / "toy.html").read_text()
    assert "A search for two numbers" in page
    assert "steps" in page
    first = tmp_path / "toy.json"
    lcsearch("export", "toy", "-o", str(first))
    lcsearch("import", str(first), "--name", "again")
    lcsearch("export", "again", "-o", str(tmp_path / "again.json"))
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("toy", "again"))
    for document in (one, two):
        del document["exported"]
        document["session"]["name"] = ""
    assert one == two
    assert "params" in schema()["$defs"]["ExportedTrial"]["properties"]


@pytest.mark.parametrize("measure", ["effort", "heat"])
async def test_every_screen_of_the_console_shows_it(home: Path, toys: None, measure: str) -> None:
    create(home, setup(measure))
    lcsearch("run", "toy", "--trials", "4", "--levels", "all")
    app = Console(home, "toy")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.session.ranking is not None and not app.session.opening)
        await until(
            pilot, lambda: app.screen.query_one("#candidates", Table).cursor_key is not None
        )
        table = app.screen.query_one("#candidates", Table)
        assert table.columns[-1].label == measure
        assert "steps" in text_of(pilot, "WhyPanel")
        await press(pilot, "3")
        assert app.screen.query_one("#trials", Table).columns[-1].label == measure
        assert "steps" in text_of(pilot, "#trial")
        await press(pilot, "4")
        title = str(app.screen.query_one("#tradeoff-title").render())
        assert ("steps" if measure == "effort" else "J") in title
        assert "steps" in text_of(pilot, "#point")
        await press(pilot, "6")
        assert re.search(r"^x  \d", text_of(pilot, "#layers"), re.MULTILINE)
        await press(pilot, "2", "e")
        assert "steps" in text_of(pilot, "#figures")


def test_what_there_is_not_is_refused_in_words(home: Path, toys: None) -> None:
    with pytest.raises(SetupError, match=r"measure watts: unknown. Use effort, heat\."):
        create(home, setup("watts"))
    with pytest.raises(SetupError, match=r"task chess: unknown. Use cnn, toy\."):
        create(home, replace(setup("effort"), task="chess"))
    with pytest.raises(SetupError, match=r"--executor moon: unknown. Use local, ray, toy\."):
        create(home, replace(setup("effort"), execution=Execution(executor="moon")))
    elsewhere = replace(setup("effort"), execution=Execution())
    with pytest.raises(SetupError, match=r"--executor local: does not train .* Use toy\."):
        create(home, elsewhere)
    folder = create(home, setup("effort"))
    with pytest.raises(WrongOrder, match="is not trained to the end"):
        wanted(task.open_store(folder).refresh(), 0, home / "out")
    del task.TASKS["toy"]
    with pytest.raises(StoreError, match=r"written by a newer lcsearch.*task toy: unknown"):
        task.open_store(folder)
    assert "Upgrade lcsearch" in lcsearch("show", "toy", code=1)[1]
    listed, _ = lcsearch("list")
    assert "toy" in listed


def test_a_session_of_it_is_told_from_others_in_an_export(
    home: Path, toys: None, tmp_path: Path
) -> None:
    create(home, setup("effort"))
    file = tmp_path / "toy.json"
    lcsearch("export", "toy", "-o", str(file))
    document = json.loads(file.read_text())
    assert document["session"]["task"] == "toy"
    assert document["trials"][0]["params"] is None
    document["trials"][0]["costs"]["effort"] = 1.0
    file.write_text(json.dumps(document))
    _, said = lcsearch("import", str(file), "--name", "b", code=2)
    assert "costs.effort = 1.0: this network has 60" in said
    assert not Path(home / "sessions" / "b").exists()
