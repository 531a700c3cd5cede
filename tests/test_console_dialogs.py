"""The dialogs: the keys that they name, how w_c is moved, and what the autopilot is told."""

from __future__ import annotations

import pytest
from textual.widgets import Input, Static

from lcsearch.engine.search import decide, schedule
from lcsearch.sessions.records import Autopilot
from lcsearch.tui import format as words
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets.frame import Edge
from lcsearch.tui.widgets.slider import Slider

from .consoles import (
    NARROW,
    SMALL,
    console,
    press,
    ranking_of,
    settled,
    snapshot_of,
    text_of,
    toasts,
    until,
)
from .fakes import NOW, FakeClient, make_snapshot


@pytest.mark.parametrize("size", [NARROW, SMALL], ids=["narrow", "small"])
async def test_every_dialog_says_its_keys_and_nothing_of_its_frame_is_cut(
    size: tuple[int, int],
) -> None:
    async with console(FakeClient(make_snapshot()), size=size) as pilot:
        for keys in "enxrspwlfm][oO?q":
            await press(pilot, *keys)
            box = pilot.app.screen.query_one(".dialog")
            hint, title = str(box.border_subtitle), str(box.border_title)
            assert "esc" in hint, keys
            assert max(len(hint), len(title)) <= box.outer_size.width - 6, keys
            await press(pilot, "escape")


async def test_escape_leaves_every_dialog_without_a_decision() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        for key in ("e", "n", "x", "r", "s", "p", "w", "l", "right_square_bracket",
                    "left_square_bracket", "o", "f", "m", "question_mark", "q"):  # fmt: skip
            await press(pilot, key)
            assert pilot.app.screen.is_modal, key
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, WorkbenchScreen), key
        assert [call for call in client.calls if call[0] != "start_engine"] == []


async def test_autopilot_and_the_wheel_back() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "p")
        pilot.app.screen.query_one("#trials", Input).value = "5"
        pilot.app.screen.query_one("#minutes", Input).value = "-3"
        await press(pilot, "enter")
        assert "minutes = -3" in str(pilot.app.screen.query_one("#problem").render())
        pilot.app.screen.query_one("#minutes", Input).value = "30"
        await press(pilot, "enter")
        assert client.made("autopilot") == [(5, 30.0, "this", False)]
        await until(pilot, lambda: snapshot_of(pilot).session.autopilot is not None)
        await press(pilot, "p")
        assert client.made("takeover") == [()]


async def test_the_slider_ranks_live_and_sets_wc() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "w")
        before = text_of(pilot, "#ranked")
        await press(pilot, "right", "right", "right")
        assert text_of(pilot, "#ranked") != before
        assert client.made("set_wc") == []
        await press(pilot, "enter")
        assert client.made("set_wc") == [(0.3,)]
        # weighed anew, not fitted anew
        await until(pilot, lambda: ranking_of(pilot).wc == 0.3)
        assert client.ranked == 1


@pytest.mark.parametrize(
    ("less", "more"), [("left", "right"), ("h", "l"), ("down", "up"), ("minus", "plus")]
)
async def test_the_keys_that_move_wc(less: str, more: str) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "w", more, more, more, less, "enter")
        assert client.made("set_wc") == [(0.2,)]


async def test_a_moved_wc_that_is_not_kept_is_told_when_its_screen_is_left() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "4", "right", "2")
        assert "w_c stays 0.10: enter keeps a moved one." in toasts(pilot)
        pilot.app.clear_notifications()
        await press(pilot, "4")
        assert pilot.app.screen.query_one(Slider).value == 0.1
        # a dialog leaves it where it is, and so does a decision about something else
        await press(pilot, "right", "question_mark", "escape", "u")
        assert pilot.app.screen.query_one(Slider).value == 0.15
        title = pilot.app.screen.query_one("#wc-title", Edge).title_text
        assert title == "w_c 0.15, not kept: enter keeps it · it was 0.10"
        await press(pilot, "enter")
        await until(pilot, lambda: snapshot_of(pilot).session.wc == 0.15)
        await press(pilot, "2")
        assert "stays" not in toasts(pilot)


async def test_the_slider_follows_a_wc_that_was_undone() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "4", "right", "enter")
        await until(pilot, lambda: snapshot_of(pilot).session.wc == 0.15)
        client.elsewhere(wc=0.1)
        await until(pilot, lambda: snapshot_of(pilot).session.wc == 0.1)
        await until(pilot, lambda: pilot.app.screen.query_one(Slider).value == 0.1)
        assert "stays" not in toasts(pilot)


async def test_a_typed_wc_between_the_stops() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "w")
        pilot.app.screen.query_one("#value", Input).value = "0.25"
        await press(pilot, "enter")
        assert client.made("set_wc") == [(0.25,)]


async def test_the_autopilot_says_how_long_it_will_take() -> None:
    client = FakeClient(make_snapshot(running=0, queued=0))
    async with console(client) as pilot:
        await press(pilot, "p")
        dialog = pilot.app.screen
        few = schedule.flight_seconds(client.snapshot, trials=8, minutes=None)
        assert few is not None
        assert words.duration(few) in str(dialog.query_one("#estimate").render())
        dialog.query_one("#trials", Input).value = "800"
        await pilot.pause()
        many = schedule.flight_seconds(client.snapshot, trials=800, minutes=None)
        assert many is not None
        assert many == pytest.approx(100 * few)
        assert words.duration(many) in str(dialog.query_one("#estimate").render())
        dialog.query_one("#minutes", Input).value = "2"
        await pilot.pause()
        assert "2 min" in str(dialog.query_one("#estimate").render())
        dialog.query_one("#minutes", Input).value = "-2"
        await pilot.pause()
        assert str(dialog.query_one("#estimate").render()) == ""
        await press(pilot, "enter")
        assert "minutes = -2" in str(dialog.query_one("#problem").render())
        await press(pilot, "escape", "p", "enter")
        assert client.made("autopilot")


async def test_what_the_autopilot_has_still_to_do_is_told() -> None:
    snapshot = make_snapshot(autopilot=Autopilot(trials=8, accepted=3))
    async with console(FakeClient(snapshot)) as pilot:
        told = text_of(pilot, "#training")
        left = words.time_left(schedule.seconds_left(snapshot, NOW))
        assert f"autopilot: 3 of 8 · {left}" in told
        await press(pilot, "q")
        assert "left." in str(pilot.app.screen.query(Static).first().render())


async def test_the_slider_says_which_keys_move_it_where_a_number_is_typed() -> None:
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "w")
        box = pilot.app.screen.query_one(".dialog")
        assert "hl" in str(box.border_subtitle)
        pilot.app.screen.query_one("#value", Input).focus()
        await settled(pilot)
        assert "hl" not in str(box.border_subtitle)
        await press(pilot, "up")
        assert pilot.app.screen.query_one("#value", Input).value == "0.15"


async def test_autopilot_until_flat_and_what_it_decides_is_told() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "p", "tab", "tab", "space", "tab", "space", "enter")
        assert client.made("autopilot") == [(8, None, "all", True)]
        reason = "at most 0.002 can be gained here, and the noise is 0.003"
        plan = decide.hand_back(client.snapshot, reason)
        client.change(decisions=(*client.snapshot.decisions, plan.decision))
        await until(pilot, lambda: f"Level 2 is ended: {reason}" in toasts(pilot))
