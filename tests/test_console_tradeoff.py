"""Accuracy against any cost: its axis, limits, what is believed, and the answers in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lcsearch.engine import search
from lcsearch.engine.advisor.ranking import Front
from lcsearch.engine.tasks.task import measure_named, task_of
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui.cost import Cost, cost_of, smaller_networks
from lcsearch.tui.plot import Plot
from lcsearch.tui.screens.tradeoff import TradeoffScreen
from lcsearch.tui.sharing import draw, figures
from lcsearch.tui.widgets.chart import Chart

from .conftest import lcsearch
from .consoles import (
    NARROW,
    SMALL,
    ConsolePilot,
    console,
    press,
    ranking_of,
    snapshot_of,
    text_of,
    until,
)
from .fakes import FakeClient, changed, make_snapshot, timed
from .sessions_for_tests import filled_store


def limited(snapshot: Snapshot, limits: Mapping[str, float]) -> Snapshot:
    """The same session within limits."""
    session = snapshot.session.model_copy(update={"limits": dict(limits), "macs_cap": None})
    return replace(snapshot, session=session)


def by(snapshot: Snapshot, name: str) -> Cost:
    return cost_of(snapshot, measure_named(name, task_of(snapshot.session)))


def drawn(snapshot: Snapshot, name: str, believed: Front | None = None) -> Plot:
    """The chart against a cost."""
    measure = measure_named(name, task_of(snapshot.session))
    plot = figures.tradeoff(snapshot, measure=measure, believed=believed).plot
    assert plot is not None
    return plot


def inks(plot: Plot) -> set[str]:
    return {line.ink for line in plot.lines}


# -- the chart ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["seconds", "params", "macs"])
def test_any_cost_has_its_front(name: str) -> None:
    snapshot = make_snapshot()
    cost = by(snapshot, name)
    places = {t.number: (cost.drawn(t), t.error) for t in snapshot.trials if t.observed}
    front = search.pareto(snapshot.trials, cost.drawn)
    for number, (x, error) in places.items():
        assert x is not None
        assert error is not None
        beaten = any(
            b is not None and d is not None and b <= x and d <= error and (b, d) != (x, error)
            for b, d in places.values()
        )
        assert beaten == (number not in {t.number for t in front})
    marks = {mark.label: mark for mark in drawn(snapshot, name).marks if mark.label}
    for trial in front:
        assert marks[str(trial.number)].char in "●★"
        assert marks[str(trial.number)].x == cost.drawn(trial)


def test_lines_of_equal_f_are_drawn_only_against_what_f_counts() -> None:
    snapshot = make_snapshot(measure="params")
    assert "faint" in inks(drawn(snapshot, "params"))
    assert "faint" not in inks(drawn(snapshot, "macs"))
    curve = next(line for line in drawn(snapshot, "params").lines if line.ink == "faint")
    cost = cost_of(snapshot)
    best = search.best_measured(snapshot)
    assert best is not None
    value = search.objective(best, snapshot.session.wc)
    for x, y in zip(curve.xs, curve.ys, strict=True):
        f = 1 - y / 100 + snapshot.session.wc * x / cost.scale
        assert f == pytest.approx(value)


def test_trials_whose_cost_is_not_known_are_not_drawn() -> None:
    snapshot = timed(make_snapshot(measure="params"), 3)
    numbers = {mark.label for mark in drawn(snapshot, "seconds").marks}
    measured = sum(t.observed for t in snapshot.trials)
    assert len(drawn(snapshot, "seconds").marks) == measured - 1
    assert len(drawn(snapshot, "params").marks) == measured
    assert "3" not in numbers


def test_a_failed_trial_stands_where_it_came_to() -> None:
    snapshot = make_snapshot()
    done = snapshot.trials[5]
    failed = changed(snapshot, 5, state="failed", error=None, complexity=None)
    marks = [mark for mark in drawn(failed, "params").marks if mark.char == "✗"]
    assert [mark.x for mark in marks] == [by(snapshot, "params").drawn(done)]
    assert marks[0].y == pytest.approx(100 * max(epoch.score for epoch in done.epochs))


def test_limits_are_lines_with_the_forbidden_side_shaded() -> None:
    free = make_snapshot()
    snapshot = limited(free, {"params": 50e3, "accuracy": 0.85})
    plot = drawn(snapshot, "params")
    borders = [line for line in plot.lines if line.ink == "limit"]
    assert [tuple(borders[0].xs), tuple(borders[1].ys)] == [(50, 50), (85, 85)]
    assert plot.forbidden == (
        (50, plot.x.high, plot.y.low, plot.y.high),
        (plot.x.low, plot.x.high, plot.y.low, 85),
    )
    for trial in snapshot.trials:
        if trial.observed:
            x, y = by(snapshot, "params").drawn(trial), 100 * (1 - (trial.error or 0))
            assert x is not None
            inside = any(a <= x <= b and c <= y <= d for a, b, c, d in plot.forbidden)
            assert inside == bool(search.broken_by(snapshot.session, trial))
            (mark,) = [m for m in plot.marks if (m.x, m.y) == (x, y)][:1]
            assert (mark.ink == "broken") == inside
    front = next(line for line in plot.lines if line.ink == "front")
    assert list(front.xs) == [
        by(snapshot, "params").drawn(t)
        for t in search.pareto(search.keeping(snapshot), by(snapshot, "params").drawn)
    ]
    # a limit on another cost is no line here; its trials are marked all the same
    other = drawn(limited(free, {"params": 50e3}), "seconds")
    assert other.forbidden == ()
    assert "broken" in {mark.ink for mark in other.marks}


def test_the_belief_is_a_band_at_what_a_candidate_costs() -> None:
    snapshot = make_snapshot()
    believed = Front(np.array([10e3, 40e3]), np.array([0.14, 0.12]), np.array([0.01, 0.02]))
    plot = drawn(snapshot, "params", believed)
    assert plot.band is not None
    assert plot.band.xs.tolist() == [10, 40, 40, plot.x.high]
    assert plot.band.low == pytest.approx([85, 85, 86, 86])
    assert plot.band.high == pytest.approx([87, 87, 90, 90])
    assert "believed" in inks(plot)
    within = drawn(limited(snapshot, {"params": 30e3}), "params", believed)
    assert within.band is not None
    assert within.band.xs.tolist() == [10, 30]
    assert drawn(snapshot, "params").band is None
    assert drawn(limited(snapshot, {"params": 5e3}), "params", believed).band is None


def test_the_picture_has_it_all(tmp_path: Path) -> None:
    snapshot = limited(make_snapshot(failed=1), {"params": 50e3, "accuracy": 0.85})
    believed = FakeClient(snapshot).rank(snapshot).front("params")
    measure = measure_named("params", task_of(snapshot.session))
    figure = figures.tradeoff(snapshot, measure=measure, believed=believed)
    svg = draw.picture(figure, "svg", draw.INKS).decode()
    for text in ("accuracy&gt;=85% · params&lt;=50k", "breaks a limit", "± σ", ">50<", ">5<"):
        assert text in svg


# -- the answers ----------------------------------------------------------------------------------


def test_what_is_smaller_than_the_best() -> None:
    snapshot = make_snapshot()
    cost = by(snapshot, "params")
    best = max(
        (t for t in snapshot.trials if t.observed), key=lambda t: (t.costs["params"], t.number)
    )
    assert best.error is not None
    most = best.costs["params"]
    others = [t for t in snapshot.trials if t.observed and t is not best][:4]
    figures_of = ((0.02, 0.1), (0.009, 0.3), (0.0, 0.6), (0.01, 0.9))
    trials = [best]
    for trial, (worse, share) in zip(others, figures_of, strict=True):
        update = {"error": best.error + worse, "costs": {"params": share * most}}
        trials.append(trial.model_copy(update=update))
    steps = Front(
        np.array([0.15, 0.2, 0.45, 0.7]) * most,
        best.error + np.array([0.03, 0.008, 0.004, -0.01]),
        np.array([0.03, 0.01, 0.02, 0.02]),
    )
    found = search.smaller(trials, best, cost.value, steps)
    assert found is not None
    assert found.half == most / 2
    assert (found.half_expected, found.near_expected) == (2, 1)
    assert found.near == trials[2]
    assert found.half_measured == trials[2]
    half, near = smaller_networks(found, steps, cost)
    assert half.startswith("at half its cost (≤ ")
    assert half.endswith(f"{100 * (1 - best.error - 0.004):.1f} % ± 2.0 expected")
    assert near.startswith(f"cheapest within one point: trial {trials[2].number}, ")
    assert near.endswith(f"{100 * (1 - best.error - 0.008):.1f} % ± 1.0")
    # nothing is believed at half of it
    dear = Front(steps.costs[3:], steps.error[3:], steps.std[3:])
    found = search.smaller(trials, best, cost.value, dear)
    assert found is not None
    assert (found.half_expected, found.near_expected) == (None, None)
    told = f"trial {trials[2].number}, {cost.told(0.3 * most)}, {100 * (0.991 - best.error):.1f} %"
    half, near = smaller_networks(found, dear, cost)
    assert half.endswith(f": {told}")
    assert near.endswith(f": {told}")
    # nothing is cheaper
    alone = search.smaller([best], best, cost.value)
    assert alone is not None
    assert (alone.near, alone.half_expected, alone.half_measured, alone.near_expected) == (
        best,
        None,
        None,
        None,
    )
    half, near = smaller_networks(alone, None, cost)
    assert half == f"at half its cost (≤ {cost.told(most / 2)}): no network is known"
    assert near == "cheapest within one point: none cheaper"
    assert search.smaller([best], best, lambda trial: None) is None


async def test_the_answers_stand_under_the_chart() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: "at half its cost" in text_of(pilot, "#point"))
        front = ranking_of(pilot).front()
        assert front is not None
        best = search.best_measured(snapshot_of(pilot))
        assert best is not None
        assert best.complexity is not None
        entry = front.within(best.complexity / 2)
        assert entry is not None
        told = f"{100 * (1 - front.error[entry]):.1f} % ± {100 * front.std[entry]:.1f} expected"
        assert told in text_of(pilot, "#point")
        assert f"(≤ f_c {best.complexity / 2:.3f})" in text_of(pilot, "#point")
        assert "cheapest within one point: " in text_of(pilot, "#point")


async def test_without_a_model_nothing_is_expected() -> None:
    async with console(FakeClient(make_snapshot(strategy="random"))) as pilot:
        await press(pilot, "4")
        assert chart_of(pilot).band is None
        assert "expected" not in text_of(pilot, "#point")
        assert "cheapest within one point: " in text_of(pilot, "#point")


# -- the keys -------------------------------------------------------------------------------------


def chart_of(pilot: ConsolePilot) -> Plot:
    plot = pilot.app.screen.query_one("#tradeoff", Chart).plot
    assert plot is not None
    return plot


def title_of(pilot: ConsolePilot) -> str:
    return str(pilot.app.screen.query_one("#tradeoff-title").render())


@pytest.mark.parametrize("size", [(120, 40), NARROW])
async def test_c_goes_through_the_costs(size: tuple[int, int]) -> None:
    snapshot = make_snapshot()
    async with console(FakeClient(snapshot), size=size) as pilot:
        await press(pilot, "4")
        first = title_of(pilot)
        seen = []
        for _ in task_of(snapshot.session).measures:
            await press(pilot, "c")
            seen.append(title_of(pilot))
        axes = "thousand parameters", "million MACs", "KB of weights", "KB of activations"
        for axis, title in zip((*axes, "milliseconds an image"), seen, strict=False):
            assert axis in title
        assert seen[-1] == first
        assert len(set(seen)) == len(task_of(snapshot.session).measures)


async def test_each_cost_has_its_belief_and_its_order() -> None:
    snapshot = make_snapshot()
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "4", "c")
        front = ranking_of(pilot).front("params")
        assert front is not None
        await until(pilot, lambda: chart_of(pilot).band is not None)
        band = chart_of(pilot).band
        assert band is not None
        assert band.xs[0] == pytest.approx(front.costs[0] / 1e3)
        screen = pilot.app.screen
        assert isinstance(screen, TradeoffScreen)
        await press(pilot, *"k" * len(snapshot.trials))
        costs = []
        for _ in range(sum(t.observed for t in snapshot.trials)):
            trial = screen.chosen_trial()
            assert trial is not None
            costs.append(trial.costs["params"])
            await press(pilot, "j")
        assert costs == sorted(costs)
        assert costs == sorted(t.costs["params"] for t in snapshot.trials if t.observed)


async def test_the_axis_is_logarithmic_by_itself_and_by_hand() -> None:
    snapshot = make_snapshot()
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "4", "c")
        assert chart_of(pilot).x.log
        assert "parameters, log" in title_of(pilot)
        await press(pilot, "L")
        assert not chart_of(pilot).x.log
        assert ", log" not in title_of(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, TradeoffScreen)
        figure = screen.figure()
        assert figure is not None
        assert figure.plot is not None
        assert not figure.plot.x.log
        await press(pilot, "L")
        assert chart_of(pilot).x.log
        # another cost has the axis that suits it
        await press(pilot, "L", "c")
        assert chart_of(pilot).x.log


async def test_a_cost_that_no_trial_has_is_said_to_be_missing() -> None:
    snapshot = make_snapshot(measure="params")
    for trial in snapshot.trials:
        snapshot = timed(snapshot, trial.number)
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "4", *["c"] * (len(task_of(snapshot.session).measures) - 1))
        chart = pilot.app.screen.query_one("#tradeoff", Chart)
        assert chart.plot is None
        assert chart.empty == "No trial has this cost: training time per epoch."
        await press(pilot, "L", "j", "c")
        assert chart_of(pilot).marks


async def test_moving_w_c_leaves_what_is_believed() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: chart_of(pilot).band is not None)
        band = chart_of(pilot).band
        assert band is not None
        await press(pilot, "right", "right")
        moved = chart_of(pilot).band
        assert moved is not None
        assert moved.low.tolist() == band.low.tolist()


async def test_a_small_terminal_has_fewer_words_and_a_chart() -> None:
    async with console(FakeClient(make_snapshot()), size=SMALL) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: "at half its cost" in text_of(pilot, "#point"))
        assert "first candidate" not in text_of(pilot, "#point")
        assert pilot.app.screen.query_one("#tradeoff", Chart).size.height >= 3
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "first candidate" in text_of(pilot, "#point"))


async def test_a_narrow_span_is_drawn_even() -> None:
    snapshot = make_snapshot()
    trials = [
        t if t.complexity is None else t.model_copy(update={"complexity": 1 + t.number / 10})
        for t in snapshot.trials
    ]
    async with console(FakeClient(replace(snapshot, trials=tuple(trials)))) as pilot:
        await press(pilot, "4")
        assert not chart_of(pilot).x.log
        await press(pilot, "L")
        assert chart_of(pilot).x.log


async def test_a_click_on_a_logarithmic_axis_selects_what_is_there() -> None:
    snapshot = make_snapshot()
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "4", "c")
        screen = pilot.app.screen
        assert isinstance(screen, TradeoffScreen)
        chart = screen.query_one("#tradeoff", Chart)
        for mark in [mark for mark in chart_of(pilot).marks if mark.label]:
            chart.post_message(Chart.Clicked(chart, mark.x, mark.y))
            await press(pilot)
            chosen = screen.chosen_trial()
            assert chosen is not None
            assert str(chosen.number) == mark.label


# -- the command ----------------------------------------------------------------------------------


def test_plot_draws_against_any_cost(home: Path, tmp_path: Path) -> None:
    filled_store(home, 6).close()
    place = tmp_path / "t.json"
    lcsearch("plot", "demo", "tradeoff", "--cost", "params", "-o", str(place))
    assert json.loads(place.read_text())["x"] == "thousand parameters"
    assert json.loads(place.read_text())["title"] == "demo: accuracy against parameters"
    lcsearch("plot", "demo", "tradeoff", "-o", str(tmp_path / "t.svg"))
    assert "to be expected of candidates, ± σ" in (tmp_path / "t.svg").read_text()
    err = lcsearch("plot", "demo", "tradeoff", "--cost", "watts", "-o", str(place), code=2)[1]
    assert "measure watts: unknown" in err
    err = lcsearch("plot", "demo", "curves", "--cost", "params", "-o", str(place), code=2)[1]
    assert "--cost params: only tradeoff is drawn against a cost" in err
