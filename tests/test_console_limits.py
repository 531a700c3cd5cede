"""The limits in the console: moved, typed, kept, refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Input, Label

from lcsearch.engine import search
from lcsearch.tui.dialogs.limits import LimitsDialog, stops
from lcsearch.tui.screens.setup import SetupScreen

from .consoles import ConsolePilot, console, press, snapshot_of, text_of, toasts, until
from .fakes import FakeClient, make_snapshot


async def opened(pilot: ConsolePilot) -> LimitsDialog:
    """The dialog of the limits, asked for by its key."""
    await press(pilot, "l")
    dialog = pilot.app.screen
    assert isinstance(dialog, LimitsDialog)
    return dialog


def test_stops_are_round_and_reach_past_both_ends() -> None:
    found = stops(950, 61_000)
    assert found[0] >= 950
    assert found[-1] >= 61_000
    assert {1000, 1200, 20_000, 50_000} <= set(found)
    assert list(found) == sorted(found)


async def test_a_limit_is_moved_with_the_arrows_and_kept_by_enter() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        dialog = await opened(pilot)
        await until(pilot, lambda: dialog.seen is not None)
        while dialog.name_chosen != "params":
            await press(pilot, "down")
        await press(pilot, "left")
        loose = dialog.limits["params"]
        await press(pilot, "left", "left")
        tight = dialog.limits["params"]
        assert tight < loose
        assert f"params<={tight / 1000:g}k" in str(dialog.rows())
        await until(
            pilot,
            lambda: dialog.seen is not None and dialog.seen.limits.get("params") == tight,
        )
        assert client.made("set_limits") == []
        await press(pilot, "enter")
        await until(pilot, lambda: client.made("set_limits") == [({"params": tight},)])
        await until(pilot, lambda: snapshot_of(pilot).session.limits == {"params": tight})
        assert "The limits are set. u undoes it." in toasts(pilot)
        await press(pilot, "u")
        await until(pilot, lambda: snapshot_of(pilot).session.limits == {})


async def test_beyond_the_last_stop_and_by_delete_a_limit_is_lifted() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        dialog = await opened(pilot)
        assert dialog.limits == search.limits_of(snapshot_of(pilot).session)  # the cap on MACs
        while dialog.name_chosen != "params":
            await press(pilot, "down")
        await press(pilot, "left", "left", "right", "right")
        assert "params" not in dialog.limits
        await press(pilot, "right")
        assert "params" not in dialog.limits
        await press(pilot, "left", "delete")
        assert "params" not in dialog.limits
        await press(pilot, "enter")
        assert client.made("set_limits") == []


async def test_the_accuracy_goes_the_other_way() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        dialog = await opened(pilot)
        await press(pilot, "up")
        assert dialog.name_chosen == "accuracy"
        await press(pilot, "left")
        assert "accuracy" not in dialog.limits
        await press(pilot, "right", "right")
        assert dialog.limits["accuracy"] == 0.6
        await press(pilot, "left", "left")
        assert "accuracy" not in dialog.limits


@pytest.mark.parametrize(
    ("typed", "words"),
    [("params<=3q", "q is no unit"), ("speed<=3", "no cost called speed"), ("90", "not readable")],
)
async def test_what_is_typed_wrongly_is_said_and_nothing_is_decided(typed: str, words: str) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await opened(pilot)
        await press(pilot, "tab")
        pilot.app.screen.query_one("#typed", Input).value = typed
        await press(pilot, "enter")
        assert words in str(pilot.app.screen.query_one("#problem", Label).render())
        assert isinstance(pilot.app.screen, LimitsDialog)
        assert client.made("set_limits") == []


async def test_a_new_limit_on_latency_has_the_candidates_timed_before_it_is_kept() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        dialog = await opened(pilot)
        while dialog.name_chosen != "latency":
            await press(pilot, "down")
        ranked = client.ranked
        await press(pilot, "left")
        most = dialog.limits["latency"]
        await until(pilot, lambda: dialog.seen is not None and "latency" in dialog.seen.shares)
        asked = client.made("time")
        assert [limits["latency"] for (limits,) in asked] == [most]
        assert client.ranked == ranked + 1  # of what was timed
        assert client.made("set_limits") == []
        # once is enough: they are known from now on
        await press(pilot, "left")
        tight = dialog.limits["latency"]
        await until(
            pilot, lambda: dialog.seen is not None and dialog.seen.limits.get("latency") == tight
        )
        assert len(client.made("time")) == 1


async def test_what_is_typed_and_not_entered_counts_for_the_button_too() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await opened(pilot)
        await press(pilot, "tab")
        pilot.app.screen.query_one("#typed", Input).value = "params<=50k"
        await pilot.click("#yes")
        await until(pilot, lambda: client.made("set_limits") == [({"params": 50_000.0},)])


async def test_a_probe_that_fails_is_said_in_the_limits_and_they_can_be_kept() -> None:
    client = FakeClient(make_snapshot(), not_timed="latency: the process that times networks died.")
    async with console(client) as pilot:
        dialog = await opened(pilot)
        while dialog.name_chosen != "latency":
            await press(pilot, "down")
        await press(pilot, "left")
        await until(pilot, lambda: "networks died" in text_of(pilot, "#problem"))
        assert dialog.seen is None or "latency" not in dialog.seen.shares
        await press(pilot, "enter")
        await until(pilot, lambda: len(client.made("set_limits")) == 1)


async def test_what_is_typed_is_kept_and_what_nothing_keeps_is_refused() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await opened(pilot)
        await press(pilot, "tab")
        pilot.app.screen.query_one("#typed", Input).value = "params<=5"
        await press(pilot, "enter", "enter")
        words = "the smallest network of these domains has"
        await until(pilot, lambda: words in text_of(pilot, "#problem"))
        assert client.made("set_limits") == []
        await press(pilot, "tab")
        pilot.app.screen.query_one("#typed", Input).value = "params<=50k"
        await press(pilot, "enter", "enter")
        await until(pilot, lambda: client.made("set_limits") == [({"params": 50_000.0},)])


async def test_the_set_up_takes_limits_and_says_what_is_wrong_with_one() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "1", "n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        field = pilot.app.screen.query_one("#field-limits", Input)
        field.focus()
        field.value = "params<=3q"
        await until(pilot, lambda: "q is no unit" in text_of(pilot, "#note-limits"))
        field.value = "params<=50k, macs<=2x, accuracy>=90"
        await until(pilot, lambda: "q is no unit" not in text_of(pilot, "#note-limits"))
        field.value = "params<=50,000,macs<=3q"
        await until(pilot, lambda: "q is no unit" in text_of(pilot, "#note-limits"))
        field.value = "params<=50,000,macs<=2x"
        await until(pilot, lambda: "q is no unit" not in text_of(pilot, "#note-limits"))


async def test_a_candidate_says_which_limit_it_breaks() -> None:
    snapshot = make_snapshot()
    session = snapshot.session.model_copy(update={"limits": {"params": 1000.0}})
    client = FakeClient(replace(snapshot, session=session))
    async with console(client) as pilot:
        await until(pilot, lambda: "breaks params<=1k" in text_of(pilot, "#why"))
        await press(pilot, "e")
        await until(pilot, lambda: "breaks params<=1k" in text_of(pilot, "#figures"))


async def test_a_trial_outside_the_limits_says_so_and_so_does_the_best() -> None:
    snapshot = make_snapshot(strategy="evolution")  # the best measured, by the limits
    session = snapshot.session.model_copy(update={"limits": {"params": 1000.0}})
    client = FakeClient(replace(snapshot, session=session))
    async with console(client) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: "breaks params<=1k" in text_of(pilot, "#trial"))
        await press(pilot, "6")
        await until(pilot, lambda: "breaks params<=1k" in text_of(pilot, "#layers"))
