"""What a network costs is drawn, named and sorted by one rule a measure, and no number is cut."""

from __future__ import annotations

import csv
import io
import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcsearch.engine import search
from lcsearch.engine.tasks.task import measure_named, task_named
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui import format as words
from lcsearch.tui.cost import cost_of
from lcsearch.tui.plot import EDGES, Figure, Plot
from lcsearch.tui.screens.tradeoff import TradeoffScreen
from lcsearch.tui.sharing import draw as plots
from lcsearch.tui.sharing import figures
from lcsearch.tui.widgets.chart import Chart
from lcsearch.tui.widgets.table import Column, Row, Table

from .consoles import console, press, ranking_of, text_of
from .fakes import FakeClient, changed, make_snapshot, timed

MEASURES = ("seconds", "params", "macs")


def plot_of(whose: Figure | Chart) -> Plot:
    """What a figure or a chart draws."""
    assert whose.plot is not None
    return whose.plot


def busy() -> Snapshot:
    """A session whose machine was slow and quick by turns: seconds do not order as f_c does."""
    snapshot = make_snapshot()
    for trial in snapshot.trials:
        if trial.complexity is not None and trial.number:
            slow = 5.0 if trial.number % 2 else 1.0
            snapshot = timed(snapshot, trial.number, trial.complexity * slow, slow)
    return snapshot


def test_a_session_by_seconds_is_drawn_by_f_c_and_names_its_reference_once() -> None:
    snapshot = busy()
    cost = cost_of(snapshot)
    for trial in snapshot.trials:
        if trial.observed:
            assert cost.drawn(trial) == trial.complexity
    assert cost.reference == snapshot.trials[0].costs["seconds"]
    assert "1.7 s per epoch" in cost.axis
    assert "f_c" in cost.axis
    # whatever is measured later, the axis stays
    last = [t for t in snapshot.trials if t.observed][-1].number
    later = timed(snapshot, last, snapshot.trials[last].costs["seconds"], 99.0)
    assert cost_of(later) == cost
    figure = figures.tradeoff(later)
    assert figure.x == cost.axis


def test_without_the_reference_its_seconds_are_those_beside_the_first_trial() -> None:
    snapshot = timed(busy(), 0)
    assert cost_of(snapshot).reference == 5.0
    for number in range(1, len(snapshot.trials)):
        snapshot = timed(snapshot, number)
    assert cost_of(snapshot).reference is None
    assert "s per epoch" not in cost_of(snapshot).axis


@pytest.mark.parametrize(("measure", "unit"), [("params", 1e3), ("macs", 1e6)])
def test_parameters_and_macs_are_drawn_as_they_are(measure: str, unit: float) -> None:
    snapshot = make_snapshot(measure=measure)
    first = snapshot.trials[0]
    exact = [
        t.model_copy(update={"complexity": t.costs[measure] / first.costs[measure]})
        for t in snapshot.trials
    ]
    cost = cost_of(snapshot)
    for trial in exact:
        assert cost.drawn(trial) == pytest.approx(trial.costs[measure] / unit)


def test_every_picture_and_table_places_a_trial_by_the_same_cost() -> None:
    snapshot = busy()
    figure = figures.tradeoff(snapshot)
    table = list(csv.DictReader(io.StringIO(plots.as_csv(figure))))
    for row in table:
        trial = snapshot.trials[int(row["trial"])]
        assert float(row["complexity"]) == trial.complexity
        assert float(row["seconds_per_epoch"]) == trial.costs["seconds"]
        assert float(row["reference_seconds"]) == trial.reference_costs["seconds"]
    marks = plot_of(figure).marks
    drawn = {mark.label: mark.x for mark in marks if mark.label and mark.char in "○●◆"}
    assert drawn
    assert drawn == {label: snapshot.trials[int(label)].complexity for label in drawn}


async def test_the_screens_say_seconds_by_the_same_reference() -> None:
    snapshot = busy()
    async with console(FakeClient(snapshot)) as pilot:
        table = pilot.app.screen.query_one("#candidates", Table)
        ranking = ranking_of(pilot)
        for row, proposal in zip(table.rows, ranking.proposals, strict=True):
            assert proposal.prediction is not None
            assert row.cells[-1] == words.seconds(proposal.prediction.complexity * 1.7)
        first = table.rows[0].cells[-1]
        await press(pilot, "w")
        assert text_of(pilot, "#ranked").splitlines()[1].split()[-1] == first
        await press(pilot, "escape", "e")
        told = [line for line in text_of(pilot, "#figures").splitlines() if "s / epoch" in line]
        assert told[0].split()[-1] == first
        await press(pilot, "escape", "4")
        axis_words = str(pilot.app.screen.query_one("#tradeoff-title").render())
        assert "f_c (1 = the reference network, 1.7 s per epoch)" in axis_words
        assert plot_of(pilot.app.screen.query_one("#tradeoff", Chart)).x.high >= 1


@pytest.mark.parametrize("measure", MEASURES)
async def test_history_by_complexity_shows_what_it_sorts_by(measure: str) -> None:
    snapshot = busy()
    session = snapshot.session.model_copy(update={"measure": measure})
    async with console(FakeClient(replace(snapshot, session=session))) as pilot:
        await press(pilot, "3", "t", "t", "t")
        table = pilot.app.screen.query_one("#trials", Table)
        numbers = [int(row.key) for row in table.rows]
        trials = [snapshot.trials[number] for number in numbers]
        known = [t.complexity for t in trials if t.complexity is not None]
        assert known == sorted(known)
        heading = {"seconds": "f_c", "params": "params", "macs": "MACs"}[measure]
        assert table.columns[-1].label == heading
        if measure == "seconds":
            shown = [float(row.cells[-1]) for row in table.rows[: len(known)]]
            assert shown == sorted(shown)
        await press(pilot, "t")
        assert table.columns[-1].label == measure_named(measure, task_named("cnn")).heading


# -- numbers that fit -----------------------------------------------------------------------------


@given(st.floats(0, 1e6))
def test_figures_have_no_more_characters_than_their_columns(value: float) -> None:
    assert len(words.f_value(value)) <= 5
    assert len(words.f_measured(value)) <= 6
    assert len(words.times(min(value, 9999.0))) <= 5
    assert len(words.seconds(value)) <= 5
    assert len(words.percent(min(value, 1.0))) <= 4


@given(st.floats(0, 9.9e14))
def test_a_large_number_has_six_characters_and_is_right(value: float) -> None:
    text = words.big(value)
    assert len(text) <= 6
    number, _, letter = text.partition(" ")
    power = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[letter]
    assert float(number) < 1000
    assert float(number) * power == pytest.approx(value, rel=0.051, abs=0.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(68.8e6, "68.8 M"), (99_960, "100 k"), (999_960, "1.0 M"), (999.7, "1.0 k"), (12, "12")],
)
def test_large_numbers_as_they_are_written(value: float, text: str) -> None:
    assert words.big(value) == text


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("factor", [1e-3, 1.0, 5e3])
async def test_no_table_cuts_a_number(size: tuple[int, int], measure: str, factor: float) -> None:
    """Small networks and large ones, as a slow machine has them."""
    snapshot = make_snapshot(measure=measure)
    trials = tuple(
        t.model_copy(
            update={
                "costs": {
                    name: cost * factor * 13.3 if name == "seconds" else round(cost * factor) + 1
                    for name, cost in t.costs.items()
                },
                "error": 0.0 if t.number == 3 else t.error,
            }
        )
        for t in snapshot.trials
    )
    client = FakeClient(replace(snapshot, trials=trials))
    async with console(client, size=size) as pilot:
        # as a ranking of networks of this size would give them
        ranking = ranking_of(pilot)
        proposals = tuple(
            replace(p, known={name: value * factor + 1 for name, value in p.known.items()})
            for p in ranking.proposals
        )
        pilot.app.session.ranking = replace(ranking, proposals=proposals)
        await pilot.pause()
        for keys, place in (((), "#candidates"), (("3",), "#trials"), (("t",) * 3, "#trials")):
            await press(pilot, *keys)
            table = pilot.app.screen.query_one(place, Table)
            assert table.rows
            lines = [table.render_line(y).text for y in range(table.size.height)]
            top = table.scroll_offset.y
            for row, line in zip(table.rows[top:], lines[1:], strict=False):
                numbers = [
                    cell
                    for cell, column in zip(row.cells, table.columns, strict=True)
                    if column.justify == "right"
                ]
                assert re.search(r"\s+".join(map(re.escape, numbers[1:])) + r"\s*$", line), line


async def test_a_column_of_numbers_is_as_wide_as_the_widest() -> None:
    from textual.app import App, ComposeResult

    class Screen(App[None]):
        def compose(self) -> ComposeResult:
            yield Table((Column("name", "name", 0), Column("n", "n", 3, "right")))

    async with Screen().run_test(size=(24, 6)) as pilot:
        table = pilot.app.query_one(Table)
        table.show([Row("a", ("a long name it is", "1,234,567")), Row("b", ("b", "2"))])
        await pilot.pause()
        assert table.render_line(1).text.rstrip().endswith("…  1,234,567")
        # rather no column than a part of its numbers
        table.show([Row("a", ("a", "1" * 40))])
        await pilot.pause()
        assert "1" not in table.render_line(1).text


# -- the trade-off's picture ----------------------------------------------------------------------


def with_outlier() -> Snapshot:
    """A trial that costs sixty times as much as the others and is no better."""
    snapshot = make_snapshot()
    return changed(snapshot, 2, complexity=60.0, error=0.5)


def test_an_outlier_stands_at_the_edge_and_the_front_has_the_room() -> None:
    snapshot = with_outlier()
    figure = figures.tradeoff(snapshot, selected=snapshot.trials[5])
    plot = plot_of(figure)
    assert plot.x.high < 10
    assert plot.outside == 1
    (far,) = [mark for mark in plot.marks if mark.char in EDGES]
    assert (far.char, far.label, far.x) == ("▸", "2", plot.x.high) or far.char == "▾"
    for trial in (*search.pareto(snapshot.trials), snapshot.trials[5]):
        assert trial.complexity is not None
        assert trial.error is not None
        assert plot.x.holds(trial.complexity)
        assert plot.y.holds(100 * (1 - trial.error))
    assert {row[0] for row in figure.rows} == {t.number for t in snapshot.trials if t.observed}
    assert "1 outside the picture" in plots.picture(figure, "svg", plots.INKS).decode()
    # selected, it is shown where it stands
    assert plot_of(figures.tradeoff(snapshot, selected=snapshot.trials[2])).outside == 0


async def test_a_click_on_the_edge_selects_what_lies_beyond() -> None:
    snapshot = with_outlier()
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "4")
        chart = pilot.app.screen.query_one("#tradeoff", Chart)
        (far,) = [mark for mark in plot_of(chart).marks if mark.char in EDGES]
        chart.post_message(Chart.Clicked(chart, far.x, far.y))
        await press(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, TradeoffScreen)
        chosen = screen.chosen_trial()
        assert chosen is not None
        assert chosen.number == 2


def test_axes_of_shares_end_at_a_hundred() -> None:
    snapshot = changed(make_snapshot(), 4, error=0.0)
    assert plot_of(figures.tradeoff(snapshot)).y.high <= 100
    assert plot_of(figures.tradeoff(snapshot)).x.low >= 0
    assert plot_of(figures.curves(snapshot)).y.high <= 100


def boxes(svg: str, labels: set[str]) -> list[tuple[str, float, float, float, float]]:
    """Where these small words stand in an SVG: left, right, top, bottom."""
    found = []
    for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        style = element.get("style", "")
        if element.text not in labels or not re.search(r"(font|size): 8px", style):
            continue
        x, y = (float(element.attrib[side]) for side in "xy")
        width = 5.1 * len(element.text)
        share = 0.5 if "middle" in style else 1.0 if "anchor: end" in style else 0.0
        found.append((element.text, x - width * share, x + width * (1 - share), y - 6, y))
    return found


def test_labels_of_a_picture_lie_apart() -> None:
    snapshot = make_snapshot(level=4, done=(60, 40, 40, 60))
    figure = figures.tradeoff(snapshot, selected=snapshot.trials[5])
    labels = {mark.label for mark in plot_of(figure).marks if mark.label}
    best = search.best_measured(snapshot)
    assert best is not None
    placed = boxes(plots.picture(figure, "svg", plots.INKS).decode(), labels)
    names = [name for name, *_ in placed]
    assert len(names) == len(set(names))
    assert {str(best.number), "5"} <= set(names)
    for (_, l1, r1, t1, b1), (_, l2, r2, t2, b2) in itertools.combinations(placed, 2):
        assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1
