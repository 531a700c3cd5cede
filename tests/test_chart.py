"""The chart's raster: what is drawn where, cell by cell."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcsearch.engine.advisor import Slice
from lcsearch.engine.cnn import space
from lcsearch.tui.widgets.belief import axes_of, belief_plot
from lcsearch.tui.widgets.chart import Axis, Band, Bar, Chart, Line, Mark, Plot, axis, raster

UNIT = Axis(0.0, 1.0, ((0.0, "0"), (1.0, "1")))
XS = np.linspace(0, 1, 64)


def rows(plot: Plot, size=(42, 12), **options) -> list[str]:
    return ["".join(cell.char for cell in row) for row in raster(plot, size, **options)]


def inside(plot: Plot, size=(42, 12), **options):
    """The cells of the plot itself: no labels, no axis."""
    return [row[2:] for row in raster(plot, size, **options)[:-1]]


def test_the_grid_has_the_size_that_was_asked_for():
    plot = Plot(UNIT, UNIT, marks=(Mark(0.5, 0.5),))
    for size in ((42, 12), (110, 34), (10, 3), (3, 1)):
        cells = raster(plot, size)
        assert len(cells) == size[1]
        assert {len(row) for row in cells} == {size[0]}


def test_a_mark_stands_at_its_value():
    cells = inside(Plot(UNIT, UNIT, marks=(Mark(0.0, 1.0, "●"), Mark(1.0, 0.0, "◆", "selected"))))
    assert cells[0][0].char == "●"
    assert cells[-1][-1].char == "◆"
    assert cells[-1][-1].ink == "selected"


def test_the_band_is_ground_and_its_area_is_right():
    low, high = np.full(64, 0.25), np.full(64, 0.75)
    cells = inside(Plot(UNIT, UNIT, band=Band(XS, low, high)), (42, 42))
    filled = sum(cell.ground == "band" for row in cells for cell in row)
    assert filled / (len(cells) * len(cells[0])) == pytest.approx(0.5, abs=0.05)


def test_the_edges_of_the_band_are_smoothed():
    low, high = np.full(64, 0.2), 0.5 + 0.3 * XS
    cells = inside(Plot(UNIT, UNIT, band=Band(XS, low, high)), (62, 8))
    blocks = {cell.char for row in cells for cell in row if cell.ink == "band"}
    assert len(blocks) >= 5
    assert blocks <= set("▁▂▃▄▅▆▇")


def test_the_mean_is_braille_over_the_band():
    mean = np.full(64, 0.5)
    band = Band(XS, np.full(64, 0.2), np.full(64, 0.8))
    cells = inside(Plot(UNIT, UNIT, band=band, lines=(Line(XS, mean),)))
    drawn = [cell for row in cells for cell in row if cell.ink == "mean"]
    assert len(drawn) == len(cells[0])
    assert all(0x2800 < ord(cell.char) < 0x2900 for cell in drawn)
    assert all(cell.ground == "band" for cell in drawn)


@given(level=st.floats(0, 1))
@settings(max_examples=50)
def test_a_flat_line_is_drawn_within_a_cell_of_its_value(level):
    cells = inside(Plot(UNIT, UNIT, lines=(Line(XS, np.full(64, level)),)), (42, 22))
    drawn = {y for y, row in enumerate(cells) for cell in row if cell.ink == "mean"}
    wanted = (1 - level) * (len(cells) - 1)
    assert drawn
    assert all(abs(y - wanted) <= 1 for y in drawn)


def test_without_colour_the_band_is_shaded():
    band = Band(XS, np.full(64, 0.2), np.full(64, 0.8))
    cells = inside(Plot(UNIT, UNIT, band=band), shade=True)
    assert {cell.ground for row in cells for cell in row} == {""}
    assert any(cell.char == "░" for row in cells for cell in row)


def test_a_bar_has_a_whisker_with_both_ends():
    plot = Plot(Axis(-0.5, 0.5), UNIT, bars=(Bar(0.0, 0.5, 0.3, 0.7, 0.5),))
    cells = inside(plot, (42, 21))
    whisker = [cell.char for row in cells for cell in row if cell.ink == "whisker"]
    assert whisker[0] == "┬"
    assert whisker[-1] == "┴"
    assert set(whisker[1:-1]) == {"│"}


def test_labels_stand_at_the_axes_and_do_not_overlap():
    wide = Axis(0.0, 1.0, tuple((i / 20, f"{i / 20:.3f}") for i in range(21)))
    drawn = rows(Plot(wide, UNIT))
    assert drawn[0].startswith("1┤")
    assert drawn[-2].startswith("0┤")
    labels = drawn[-1].split()
    assert len(labels) >= 3
    assert set(labels) <= {label for _, label in wide.ticks}


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_an_axis_holds_its_values_and_its_ticks(values):
    found = axis(values)
    assert found.low <= min(values)
    assert found.high >= max(values)
    assert found.low < found.high
    assert all(found.low <= value <= found.high for value, _ in found.ticks)


def test_ticks_are_labelled_with_what_they_are():
    for value, label in axis([0.112, 0.241], ticks=5).ticks:
        assert math.isclose(float(label), value, abs_tol=1e-9)


# -- belief ---------------------------------------------------------------------------------------

SPACE = space((1, 28, 28), 10)


def test_categories_are_bars_and_never_a_line():
    belief = Slice("kernel", 0, True, (1, 3, 5, 7), np.full(4, 0.2), np.full(4, 0.02))
    config = SPACE.defaults()
    plot = belief_plot(SPACE, belief, [(config, 0.21)], (config, 0.2))
    assert len(plot.bars) == 4
    assert plot.lines == ()
    assert [label for _, label in plot.x.ticks] == ["1", "3", "5", "7"]
    assert {mark.char for mark in plot.marks} == {"●", "◆"}


def test_numbers_are_a_band_with_the_trials_in_it():
    domain = SPACE["learning_rate"].domain
    values = tuple(domain.at((i + 0.5) / 64) for i in range(64))
    mean, std = np.linspace(0.2, 0.1, 64), np.full(64, 0.02)
    belief = Slice("learning_rate", None, False, values, mean, std)
    config = SPACE.defaults()
    plot = belief_plot(SPACE, belief, [(config, 0.15), (config, 5.0)], None)
    assert plot.band is not None
    assert np.allclose(plot.band.high - plot.band.low, 0.04)
    # 1e-3 is a third of the way from 1e-4 to 1e-1 on their logarithmic scale
    assert plot.marks[0].x == pytest.approx(1 / 3)
    # a trial far off is shown at the edge and does not flatten the rest
    assert plot.marks[1].char == "▴"
    assert plot.y.high < 0.4


async def test_a_belief_that_changes_on_the_same_axes_is_shown_anew():
    """As a new ranking brings it: axes and xs are the same, and the curves are others."""
    from textual.app import App

    xs, sides = np.linspace(0, 1, 8), (Axis(0.0, 1.0), Axis(0.0, 1.0))

    def belief(height):
        return Plot(*sides, Band(xs, 0 * xs, 0 * xs + height), (Line(xs, 0 * xs + height / 2),))

    class Screen(App):
        def compose(self):
            yield Chart()

    async with Screen().run_test(size=(40, 12)) as pilot:
        chart = pilot.app.query_one(Chart)
        shown = []
        for height in (0.9, 0.2):
            chart.plot = belief(height)
            await pilot.pause()
            shown.append([chart.render_line(y).text for y in range(chart.size.height)])
        assert shown[0] != shown[1]


def test_what_is_switched_off_stands_left_of_all_numbers():
    domain = SPACE["weight_decay"].domain
    values = (0.0, *(domain.at(0.2 + 0.8 * (i + 0.5) / 32) for i in range(32)))
    belief = Slice("weight_decay", None, False, values, np.full(33, 0.2), np.full(33, 0.02))
    plot = belief_plot(SPACE, belief, [(SPACE.defaults(), 0.2)], None)
    assert plot.x.low < 0
    assert plot.marks[0].x == plot.x.low
    assert plot.x.ticks[0][1] == "0"


def test_every_parameter_of_a_level_can_be_charted():
    config = SPACE.defaults()
    assert ("channels", 3) in axes_of(SPACE, 1, config)
    assert axes_of(SPACE, 4, config) == [
        ("learning_rate", None),
        ("lr_decay", None),
        ("batch_size", None),
    ]


def test_drawing_is_fast_enough_for_every_keystroke():
    xs = np.linspace(0, 1, 200)
    mean = 0.5 + 0.3 * np.sin(9 * xs)
    marks = tuple(Mark(float(x), float(y)) for x, y in zip(xs, mean, strict=True))
    plot = Plot(UNIT, UNIT, Band(xs, mean - 0.1, mean + 0.1), (Line(xs, mean),), marks=marks)
    raster(plot, (110, 34))
    spent = []
    for _ in range(9):
        start = time.process_time()
        raster(plot, (110, 34))
        spent.append(time.process_time() - start)
    # the aim is 8 ms (benchmarks/console.py measures it); this only catches a blunder
    assert sorted(spent)[4] < 0.04
