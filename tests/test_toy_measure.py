"""One entry more among a task's measures, and every screen and every export has it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from lcsearch.engine import service
from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors import local
from lcsearch.engine.protocol import Finished
from lcsearch.engine.tasks import task
from lcsearch.engine.tasks.cnn.layout import Network
from lcsearch.engine.tasks.measure import Measure
from lcsearch.sessions.records import Epoch
from lcsearch.tui.screens.setup import SetupScreen
from lcsearch.tui.sharing import draw, figures
from lcsearch.tui.widgets.chart import Chart
from lcsearch.tui.widgets.fields import Cycle
from lcsearch.tui.widgets.table import Table

from .conftest import lcsearch
from .consoles import console, press, text_of
from .fakes import FakeClient, FakeHome, make_snapshot
from .sessions_for_tests import MACHINE, filled_store, make_store
from .test_devices import Fake

FIXTURES = Path(__file__).parent / "fixtures"


def neurons(network: Network) -> float:
    """Outputs of all layers."""
    return sum(c.channels_out * c.height_out * c.width_out for c in network.convolutions) + sum(
        d.outputs for d in network.dense
    )


NEURONS = Measure(
    name="neurons",
    title="neurons",
    unit="neurons",
    heading="neur",
    number="count",
    axis="thousand neurons",
    scale=1e3,
    of=neurons,
)


def losses(epochs: Sequence[Epoch]) -> tuple[float, float]:
    """The last loss, and a made-up one of the reference."""
    return epochs[-1].train_loss, 0.5


LOSS = Measure(
    name="loss",
    title="loss at the end",
    unit="nats",
    heading="loss",
    number="seconds",
    axis="nats",
    from_epochs=losses,
)
"""Not known by arithmetic, and told by the epochs that every trial keeps."""


@pytest.fixture(autouse=True)
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutional networks have two measures more, an exact one and one of the epochs."""
    cnn = task.TASKS["cnn"]
    more = replace(cnn, measures=(*cnn.measures, NEURONS, LOSS))
    monkeypatch.setattr(task, "TASKS", {**task.TASKS, "cnn": more})


@pytest.mark.parametrize("chosen", ["seconds", "neurons"])
async def test_every_screen_shows_it(chosen: str) -> None:
    client = FakeClient(make_snapshot(measure=chosen))
    async with console(client) as pilot:
        screen = pilot.app.screen
        if chosen == "neurons":
            assert screen.query_one("#candidates", Table).columns[-1].label == "neur"
        assert " neurons" in text_of(pilot, "WhyPanel")
        await press(pilot, "3")
        if chosen == "neurons":
            assert pilot.app.screen.query_one("#trials", Table).columns[-1].label == "neur"
        assert " neurons" in text_of(pilot, "#trial")
        await press(pilot, "4")
        title = str(pilot.app.screen.query_one("#tradeoff-title").render())
        assert ("thousand neurons" in title) == (chosen == "neurons")
        assert " neurons" in text_of(pilot, "#point")
        while "thousand neurons" not in str(pilot.app.screen.query_one("#tradeoff-title").render()):
            await press(pilot, "c")
        plot = pilot.app.screen.query_one("#tradeoff", Chart).plot
        assert plot is not None
        assert any(mark.char == "●" for mark in plot.marks)
        await press(pilot, "6")
        assert " neurons" in text_of(pilot, "#layers")
        await press(pilot, "2", "e")
        assert "neurons" in text_of(pilot, "#figures")
        await press(pilot, "escape", "question_mark")
        assert "its neurons" in " ".join(text_of(pilot, "#help-figures").split())
        await press(pilot, "escape", "3", "slash")
        field = pilot.app.screen.query_one("#filter", Input)
        field.value = "neur>0"
        await pilot.pause()
        assert "match" in text_of(pilot, "#filter-said")
        assert pilot.app.screen.query_one("#trials", Table).rows


async def test_a_new_session_can_have_it_for_its_complexity() -> None:
    async with console(sessions=FakeHome()) as pilot:
        await press(pilot, "n")
        assert isinstance(pilot.app.screen, SetupScreen)
        choices = pilot.app.screen.query_one("#measure", Cycle)
        names = []
        for _ in range(8):
            names.append(choices.value)
            choices.focus()
            await press(pilot, "space")
        known = {"seconds", "params", "macs", "size", "activations", "latency"}
        assert set(names) == known | {"neurons", "loss"}


def test_every_export_has_it(home: Path, tmp_path: Path) -> None:
    store = filled_store(home, 3, measure="neurons")
    snapshot = store.refresh()
    store.close()
    trials = {t.number: t.costs["neurons"] for t in snapshot.trials}
    table = list(csv.DictReader(io.StringIO(draw.as_csv(figures.tradeoff(snapshot)))))
    assert {int(row["trial"]): float(row["neurons"]) for row in table} == trials
    shown = json.loads(lcsearch("show", "demo", "--filter", "neur>0", "--json")[0])
    assert {trial["number"]: trial["costs"]["neurons"] for trial in shown} == trials
    assert f"{trials[0]:,.0f} neurons" in lcsearch("show", "demo")[0]
    proposed = json.loads(lcsearch("propose", "demo", "--json")[0])["proposals"]
    assert all(proposal["neurons"] > 0 for proposal in proposed)
    lcsearch("export", "demo", "-o", str(tmp_path / "demo.json"))
    document = json.loads((tmp_path / "demo.json").read_text())
    assert {t["number"]: t["costs"]["neurons"] for t in document["trials"]} == trials
    assert document["reference"]["costs"]["neurons"] == trials[0]
    lcsearch("report", "demo", "-o", str(tmp_path / "demo.html"))
    page = (tmp_path / "demo.html").read_text()
    assert "neur</th>" in page
    assert f"{trials[0]:,.0f} neurons" in page
    assert "seconds|params|macs|size|activations|latency|neurons|loss" in lcsearch("new", "--help")[
        0
    ].replace("\n", "")


def test_what_was_made_before_has_it_too(home: Path) -> None:
    folder = home / "sessions" / "old"
    folder.mkdir(parents=True, mode=0o700)
    shutil.copyfile(FIXTURES / "session-v3.db", folder / "session.db")
    imported = bring_back(home, FIXTURES / "export-v2.json", "imported")
    for place in (folder, imported):
        client = SessionClient(place)
        for trial in client.refresh().trials:
            laid = client.space.laid_out(trial.config)
            assert trial.costs["neurons"] == neurons(laid)
            assert trial.costs["params"] == laid.params
            if trial.state == "done":
                assert trial.costs["loss"] == trial.epochs[-1].train_loss
                assert trial.reference_costs["loss"] == 0.5
        assert client.rank(client.refresh()).proposals
        client.close()


@pytest.mark.parametrize("measure", ["loss", "seconds"])
def test_the_engine_takes_it_from_the_epochs(
    home: Path, monkeypatch: pytest.MonkeyPatch, measure: str
) -> None:
    store = make_store(home, measure=measure)
    monkeypatch.setattr(local, "LocalExecutor", Fake)
    engine = service.Service(store, 60.0)
    store.update_trial(0, {"queued"}, state="running", attempt=1)
    for number in (1, 2, 3):
        epoch = Epoch(
            epoch=number, train_loss=1 / number, val_accuracy=0.9, seconds=1.0,
            reference_seconds=2.0,
        )  # fmt: skip
        store.add_epoch(0, 1, epoch)
    engine._hear(Finished(trial=0, attempt=1, error=0.1, machine=MACHINE))
    trial = store.refresh().trials[0]
    assert trial.state == "done"
    assert trial.costs["loss"] == pytest.approx(1 / 3)
    assert trial.reference_costs == {"seconds": 2.0, "loss": 0.5}
    assert trial.complexity == pytest.approx(2 / 3 if measure == "loss" else 0.5)
    assert "0.333 loss" in lcsearch("show", "demo")[0]
    engine._executor.close()


def test_a_cost_that_nobody_could_measure_fails_its_trial(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(home)
    monkeypatch.setattr(local, "LocalExecutor", Fake)
    engine = service.Service(store, 60.0)
    store.update_trial(0, {"queued"}, state="running", attempt=1)
    for number in (1, 2, 3):  # the reference was timed in none
        record = Epoch(epoch=number, train_loss=1.0, val_accuracy=0.9, seconds=1.0)
        store.add_epoch(0, 1, record)
    engine._hear(Finished(trial=0, attempt=1, error=0.1, machine=MACHINE))
    trial = store.refresh().trials[0]
    assert trial.state == "failed"
    assert trial.failure is not None
    assert trial.failure.message == "trial 0: seconds per epoch could not be measured. Repeat it."


def test_the_model_does_not_see_it_unless_it_says_so(home: Path) -> None:
    store = filled_store(home, 4)
    space = task.session_space(store.refresh().session)
    assert [measure.name for measure in space.informing] == ["params", "macs"]
    store.close()
