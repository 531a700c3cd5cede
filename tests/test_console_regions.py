"""A region that is favoured, looked at alone, or searched alone."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from lcsearch.engine import search
from lcsearch.engine.tasks.cnn.space import space as cnn_space
from lcsearch.sessions.records import Scalar
from lcsearch.tui.dialogs.region import RegionDialog, around
from lcsearch.tui.screens.workbench import WorkbenchScreen

from .consoles import console, press, ranking_of, settled, snapshot_of, text_of, until
from .fakes import FakeClient, make_snapshot


async def test_a_region_is_favoured_and_shown_with_what_it_weighs() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "f")
        assert "e^-0.16" in text_of(pilot, "#meaning")
        pilot.app.screen.query_one("#field-kernel", Input).value = "1,3"
        await press(pilot, "enter")
        assert client.made("favour") == [({"kernel": "1,3"},)]
        await until(pilot, lambda: snapshot_of(pilot).session.favourite == {"kernel": "1,3"})
        strength = search.favour_strength(client.snapshot)
        shown = text_of(pilot, "#kept-to")
        assert shown == f"favoured: kernel 1,3 · weighs e^-{strength:.2g} outside, fading"
        # it is ranked anew, and what is marked is there to be changed
        await until(pilot, lambda: client.ranked == 2)
        await press(pilot, "f")
        assert pilot.app.screen.query_one("#field-kernel", Input).value == "1,3"
        await pilot.click("#clear")
        await settled(pilot)
        assert client.made("favour")[-1] == ({},)
        await until(pilot, lambda: not pilot.app.screen.query_one("#kept-to").display)


async def test_a_wrong_domain_is_said_beside_it_and_not_taken() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "f")
        field = pilot.app.screen.query_one("#field-kernel", Input)
        field.value = "4"
        await settled(pilot)
        assert "✗ 4 is not possible" in text_of(pilot, "#note-kernel")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, RegionDialog)
        field.value = "5"
        await settled(pilot)
        assert text_of(pilot, "#note-kernel") == "1,3,5,7 a layer"
        await press(pilot, "enter")
        assert client.made("favour") == [({"kernel": "5"},)]


async def test_looking_at_a_region_ranks_it_alone_and_changes_nothing() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        before = client.snapshot
        await press(pilot, "f", "shift+tab", "space")
        pilot.app.screen.query_one("#field-kernel", Input).value = "3"
        await press(pilot, "tab", "enter")
        await until(pilot, lambda: client.looks[-1].get("kernel") == "3" and client.ranked == 2)
        await until(pilot, lambda: not pilot.app.session.ranking_running)
        assert client.snapshot is before
        assert {k for p in ranking_of(pilot).proposals for k in p.config["kernel"]} == {3}
        assert text_of(pilot, "#kept-to") == "looking at kernel 3 alone · esc ends it"
        # what is found there is accepted as anything else is
        wanted = ranking_of(pilot).proposals[0].id
        await press(pilot, "a")
        assert client.made("accept") == [(wanted, "")]
        await press(pilot, "escape")
        await until(pilot, lambda: "kernel" not in client.looks[-1])
        assert not pilot.app.screen.query_one("#kept-to").display


async def test_searching_a_region_alone_sets_the_domains_that_changed() -> None:
    client = FakeClient(make_snapshot(domains={"groups": "1", "conv_layers": "2..4"}))
    async with console(client) as pilot:
        await press(pilot, "f", "shift+tab", "space", "space")
        assert pilot.app.screen.query_one("#field-groups", Input).value == "1"
        pilot.app.screen.query_one("#field-groups", Input).value = ""
        pilot.app.screen.query_one("#field-kernel", Input).value = "1,3"
        await press(pilot, "enter")
        assert client.made("set_domains") == [({"kernel": "1,3", "groups": "default"},)]
        await until(pilot, lambda: client.looks[-1] == {"conv_layers": "2..4", "kernel": "1,3"})


async def test_the_charted_parameter_is_proposed_around_the_selected_candidate() -> None:
    client = FakeClient(make_snapshot(level=4, done=(6, 3, 2, 3)))
    async with console(client) as pilot:
        await press(pilot, "right")
        screen = pilot.app.screen
        assert isinstance(screen, WorkbenchScreen)
        assert screen._axis is not None
        axis = screen._axis[0]
        value = ranking_of(pilot).proposals[0].config[axis]
        await press(pilot, "f")
        field = pilot.app.screen.query_one(f"#field-{axis}", Input)
        assert field.has_focus
        low, _, high = field.value.partition("..")
        assert float(low) <= value <= float(high)
        await press(pilot, "enter")
        assert client.made("favour") == [({axis: field.value},)]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("conv_layers", 8, "7..8"),
        ("kernel", 3, "3"),
        ("batch_norm", True, "yes"),
        ("weight_decay", 0.0, "0"),
        ("lr_decay", 0.95, "0.935..0.965"),
    ],
)
def test_a_region_around_a_value_lies_in_the_domain(name: str, value: Scalar, text: str) -> None:
    space = cnn_space((1, 8, 8), 10)
    assert around(space[name].domain, value) == text
    assert space.narrowed({name: text})[name].domain.contains(value)
