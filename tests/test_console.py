"""The console by its keys: each decision reaches the client, each screen says what it should."""

from __future__ import annotations

import os

os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")

import asyncio
import gc
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from lcsearch.engine import search
from lcsearch.engine.executors import devices
from lcsearch.engine.protocol import FinalDone, FinalProgress, FinalResult, trained_on
from lcsearch.engine.search import decide, schedule
from lcsearch.engine.tasks.cnn.space import space as cnn_space
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import Autopilot, Conditions, Execution, Failure, Machine
from lcsearch.tui import format as words
from lcsearch.tui.app import Console
from lcsearch.tui.dialogs.choice import Choices
from lcsearch.tui.dialogs.edit import EditDialog, NumberField
from lcsearch.tui.dialogs.export import ExportDialog
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.dialogs.quit import QuitDialog
from lcsearch.tui.dialogs.region import RegionDialog, around
from lcsearch.tui.dialogs.trials import TrialDialog
from lcsearch.tui.networks import trial_line
from lcsearch.tui.networks.cnn import parameters
from lcsearch.tui.open_session import Lost
from lcsearch.tui.screens.history import HistoryScreen
from lcsearch.tui.screens.sessions import SessionsScreen
from lcsearch.tui.screens.setup import SetupScreen
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets import training
from lcsearch.tui.widgets.chart import Chart
from lcsearch.tui.widgets.fields import Cycle
from lcsearch.tui.widgets.frame import Edge
from lcsearch.tui.widgets.header import SessionLine
from lcsearch.tui.widgets.keys import KeyBar
from lcsearch.tui.widgets.slider import Slider
from lcsearch.tui.widgets.table import Table
from lcsearch.tui.widgets.text import Text
from lcsearch.tui.widgets.training import TrainingPanel

from .conftest import PATIENCE
from .fakes import (
    NOW,
    FakeClient,
    FakeFinal,
    FakeHome,
    changed,
    empty_snapshot,
    make_snapshot,
    timed,
)

WAITED = ("decide", "list", "latest", "create", "delete")
WIDE, NARROW, SMALL = (120, 40), (80, 24), (60, 20)


@asynccontextmanager
async def console(
    client: FakeClient | None = None,
    *,
    sessions: FakeHome | None = None,
    size: tuple[int, int] = WIDE,
    name: str | None = None,
) -> AsyncIterator[Pilot[int]]:
    """A console over fakes; with a client, at its workbench with the first ranking shown."""
    if sessions is None:
        sessions = FakeHome({client.snapshot.session.name: client} if client is not None else {})
    if client is not None and name is None:
        name = client.snapshot.session.name
    app = Console(sessions.home, name, sessions=sessions, clock=lambda: NOW, read_seconds=0.01)
    async with app.run_test(size=size) as pilot:
        if name is not None and name in sessions.clients:
            await until(pilot, lambda: isinstance(app.screen, WorkbenchScreen))
            await until(
                pilot, lambda: app.session.ranking is not None and not app.session.ranking_running
            )
        else:
            await until(pilot, lambda: not app.session.opening)
            await settled(pilot)
        yield pilot


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Let the console work until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"what was waited for did not happen within {PATIENCE:.0f} s")
        await pilot.pause(0.01)
    await pilot.pause()


async def settled(pilot: Pilot[int]) -> None:
    """Let threads and repaints come to rest."""
    await pilot.pause()
    for worker in [w for w in pilot.app.workers if w.group in WAITED]:
        await worker.wait()
    await pilot.pause()


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys, and let what they cause happen."""
    await pilot.press(*keys)
    await settled(pilot)


def text_of(pilot: Pilot[int], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


def toasts(pilot: Pilot[int]) -> str:
    return "\n".join(notice.message for notice in pilot.app._notifications)


def table_of(pilot: Pilot[int]) -> Table:
    return pilot.app.screen.query_one(Table)


# -- what is painted ------------------------------------------------------------------------------


@contextmanager
def marked() -> Iterator[list[tuple[Widget, int]]]:
    """The widgets that ask to be painted, and of how many parts alone; 0: the whole widget."""
    found: list[tuple[Widget, int]] = []
    refresh = Widget.refresh

    def refreshing(widget, *regions, **how):
        found.append((widget, len(regions)))
        return refresh(widget, *regions, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Widget, "refresh", refreshing)
        yield found


async def test_an_epochs_news_paint_the_training_alone():
    client = FakeClient(make_snapshot(epochs_done=5))
    async with console(client) as pilot:
        trial = next(t for t in client.snapshot.trials if t.state == "running")
        shown = trial.model_copy(update={"epochs": trial.epochs[:4]})
        trials = tuple(shown if t is trial else t for t in client.snapshot.trials)
        with marked() as found:
            client.change(trials=trials)
            await until(pilot, lambda: pilot.app.session.snapshot is client.snapshot)
            await settled(pilot)
        names = {widget.id for widget, _ in found}
        assert "training" in names
        assert not names & {"candidates", "why", "belief"}
        assert pilot.app.screen not in [widget for widget, _ in found]


async def test_a_moved_cursor_paints_two_rows_and_the_reasons_at_once():
    async with console(FakeClient(make_snapshot())) as pilot:
        table = table_of(pilot)
        with marked() as found:
            table.action_move(1)
            at_once = [(widget.id, parts) for widget, parts in found]
        assert at_once.count(("candidates", 1)) == 2
        assert ("candidates", 0) not in at_once
        assert "why" in dict(at_once)


async def test_a_text_at_its_largest_height_asks_for_no_layout():
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "3")
        panel = pilot.app.screen.query_one("#trial", Text)
        panel.update("\n".join(map(str, range(20))))
        await settled(pilot)
        assert panel.content_size.height == 9
        before = panel._layout_updates
        panel.update("\n".join(map(str, range(30))))
        assert panel._layout_updates == before
        panel.update("one")
        assert panel._layout_updates > before


# -- decisions ------------------------------------------------------------------------------------


async def test_accept_queues_the_selected_candidate():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        wanted = pilot.app.session.ranking.proposals[2].id
        await press(pilot, "j", "j", "a")
        assert client.made("accept") == [(wanted, "")]
        assert "Trial 22 is queued" in toasts(pilot)
        # the next ranking knows that it is pending
        await until(pilot, lambda: client.ranked == 2 and not pilot.app.session.ranking_running)


async def test_a_second_press_on_the_same_candidate_is_not_a_second_trial():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        client.slow = threading.Event()
        await press(pilot, "a", "a")
        assert len(client.made("accept")) == 1
        assert "decided already" in toasts(pilot)
        client.slow.set()


async def test_a_ranking_begun_before_the_decision_does_not_offer_it_again():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        old = pilot.app.session.ranking
        client.slow = threading.Event()
        await press(pilot, "a")
        await until(
            pilot, lambda: len(pilot.app.session.snapshot.trials) == len(client.snapshot.trials)
        )
        pilot.app.session.ranking = replace(old, seconds=9.9)  # it was on its way already
        await press(pilot, "g", "a")
        assert len(client.made("accept")) == 1
        assert "decided already" in toasts(pilot)
        client.slow.set()


async def test_a_network_that_is_a_trial_already_is_no_failure():
    known = "trial 7 is this very network (done). Repeat it."
    client = FakeClient(make_snapshot(), known=known)
    async with console(client) as pilot:
        await press(pilot, "a")
        await until(pilot, lambda: known.removeprefix("t") in toasts(pilot))
        assert isinstance(pilot.app.screen, WorkbenchScreen)


async def test_edit_sends_the_changed_network_with_the_belief_about_it():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        before = pilot.app.session.ranking.proposals[0]
        await press(pilot, "e")
        assert isinstance(pilot.app.screen, EditDialog)
        fields = list(pilot.app.screen.query(".field"))
        kernel = fields[0]
        old = kernel.value
        await press(pilot, "up" if old != "7" else "down")
        assert kernel.value != old
        figures = text_of(pilot, "#figures")
        assert f"{before.prediction.mean:.3f}" in figures
        pilot.app.screen.query_one("#reason", Input).value = "wider looks"
        await press(pilot, "enter")
        ((config, prediction, kind, reason),) = client.made("submit")
        assert kind == "edit"
        assert reason == "wider looks"
        assert config["kernel"][0] == int(kernel.value)
        assert config["kernel"][1:] == before.config["kernel"][1:]
        assert prediction == pilot.app.session.ranking.evaluate([config])[0].prediction


async def test_an_invalid_edit_is_explained_and_not_sent():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "e")
        field = pilot.app.screen.query(".field").first(Input)
        field.value = "4"
        await settled(pilot)
        assert "kernel[1] = 4" in text_of(pilot, "#problems")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, EditDialog)
        assert not client.made("submit")
        field.value = "5"
        await settled(pilot)
        assert text_of(pilot, "#problems") == ""
        await press(pilot, "enter")
        assert len(client.made("submit")) == 1


async def test_a_value_that_is_not_searched_is_remarked_and_trains():
    client = FakeClient(make_snapshot(level=1, done=(6,), domains={"channels": "8..96"}))
    async with console(client) as pilot:
        await press(pilot, "e")
        names = [str(label.render()) for label in pilot.app.screen.query(".form-row .name")]
        assert "conv_layers" in names  # as the region's dialog, the chart and the errors name it
        last = [f for f in pilot.app.screen.query(NumberField) if f.parameter.name == "channels"][
            -1
        ]
        last.value = "128"
        await settled(pilot)
        said = text_of(pilot, "#problems")
        assert f"channels[{last.index + 1}] = 128: outside what is searched, 8..96" in said
        await press(pilot, "enter")
        assert client.made("submit")[0][0]["channels"][-1] == 128


async def test_more_layers_in_the_form_lengthen_every_list():
    client = FakeClient(make_snapshot(level=1, done=(6,)))
    async with console(client) as pilot:
        await press(pilot, "e")
        start = int(pilot.app.screen.query(".field").first(Input).value)
        pilot.app.screen.query(".field").first(Input).value = str(start + 1)
        await settled(pilot)
        await press(pilot, "enter")
        ((config, *_),) = client.made("submit")
        assert config["conv_layers"] == start + 1
        for name in ("channels", "downsample", "kernel", "batch_norm", "groups"):
            assert len(config[name]) == start + 1


async def test_a_number_of_the_form_is_shown_whole():
    client = FakeClient(make_snapshot(level=4, done=(6, 3, 2, 3)))
    async with console(client) as pilot:
        await press(pilot, "e")
        rate = next(
            f for f in pilot.app.screen.query(NumberField) if f.parameter.name == "learning_rate"
        )
        rate.value = "0.0008928"
        rate.focus()
        rate.cursor_position = len(rate.value)
        await settled(pilot)
        assert rate.scroll_x == 0
        assert rate.content_size.width > len(rate.value)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_eight_layers_are_seen_or_the_form_says_that_there_are_more(size):
    domains = {"conv_layers": "8..8", "channels": "8..96"}
    client = FakeClient(make_snapshot(level=1, done=(6,), domains=domains))
    async with console(client, size=size) as pilot:
        await press(pilot, "e")
        across, more = (
            pilot.app.screen.query_one("#form-across"),
            pilot.app.screen.query_one("#more"),
        )
        heads = pilot.app.screen.query(".form-row .head")
        assert len(heads) == 8
        seen = heads.last().region.right <= across.region.right
        assert seen == (size == WIDE)
        assert more.display != seen
        if not seen:
            assert str(more.render()) == "more layers ▸"
            across.scroll_to(x=across.max_scroll_x, animate=False)
            await settled(pilot)
            assert str(more.render()) == "◂ more layers"


async def test_new_starts_from_the_incumbent():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        number = pilot.app.session.ranking.incumbent_number
        await press(pilot, "n")
        assert f"trial {number}" in str(pilot.app.screen.query_one(".dialog").border_title)
        await press(pilot, "enter")
        ((config, _, kind, _),) = client.made("submit")
        assert kind == "new"
        assert config == client.snapshot.trials[number].config


async def test_a_network_that_is_no_candidate_is_not_ranked_among_them():
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "n")
        assert re.search(r"\(would be \S+ of 2,411\)", text_of(pilot, "#figures"))


async def test_reject_keeps_the_reason():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        wanted = pilot.app.session.ranking.proposals[0].id
        await press(pilot, "x")
        await pilot.press(*"too deep")
        await press(pilot, "enter")
        assert client.made("reject") == [(wanted, "too deep")]


@pytest.mark.parametrize("size", [NARROW, SMALL], ids=["narrow", "small"])
async def test_every_dialog_says_its_keys_and_nothing_of_its_frame_is_cut(size):
    async with console(FakeClient(make_snapshot()), size=size) as pilot:
        for keys in ("e", "n", "x", "r", "s", "p", "w", "f", "m", "]", "[", "o", "O", "?", "q"):
            await press(pilot, *keys)
            box = pilot.app.screen.query_one(".dialog")
            hint, title = str(box.border_subtitle), str(box.border_title)
            assert "esc" in hint, keys
            assert max(len(hint), len(title)) <= box.outer_size.width - 6, keys
            await press(pilot, "escape")


async def test_the_line_of_the_session_is_whole_where_room_is_short():
    async with console(FakeClient(make_snapshot()), size=NARROW) as pilot:
        line = pilot.app.screen.query_one(SessionLine)
        shown = str(line.render())
        assert shown.startswith("fashion · level f* 0.129 · lowest f 0.1289  ")
        assert shown.endswith("engine ● 1 training, 2 queued")


async def test_escape_leaves_every_dialog_without_a_decision():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        for key in ("e", "n", "x", "r", "s", "p", "w", "right_square_bracket",
                    "left_square_bracket", "o", "f", "m", "question_mark", "q"):  # fmt: skip
            await press(pilot, key)
            assert pilot.app.screen.is_modal, key
            await press(pilot, "escape")
            assert isinstance(pilot.app.screen, WorkbenchScreen), key
        assert [call for call in client.calls if call[0] != "start_engine"] == []


async def test_repeat_asks_which_trial_and_proposes_the_incumbent():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        number = pilot.app.session.ranking.incumbent_number
        await press(pilot, "r", "enter")
        assert client.made("repeat") == [(number, "")]


@pytest.mark.parametrize(("key", "mode"), [("e", "epoch"), ("n", "now"), ("p", "pause")])
async def test_stop_offers_the_running_trial_three_ends(key, mode):
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "s", key)
        assert client.made("stop") == [(19, mode, "")]


async def test_stop_withdraws_what_is_queued_and_resumes_what_is_paused():
    snapshot = make_snapshot(running=0, queued=1)
    paused = snapshot.trials[18].model_copy(update={"state": "paused"})
    trials = (*snapshot.trials[:18], paused, *snapshot.trials[19:])
    client = FakeClient(replace(snapshot, trials=trials))
    async with console(client) as pilot:
        await press(pilot, "s", "r")
        assert client.made("resume") == [(18,)]
        await press(pilot, "s", "down", "down", "enter")
        assert client.made("stop") == [(19, "now", "")]


async def test_autopilot_and_the_wheel_back():
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
        await until(pilot, lambda: pilot.app.session.snapshot.session.autopilot is not None)
        await press(pilot, "p")
        assert client.made("takeover") == [()]


async def test_the_slider_ranks_live_and_sets_wc():
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
        await until(pilot, lambda: pilot.app.session.ranking.wc == 0.3)
        assert client.ranked == 1


@pytest.mark.parametrize(
    ("less", "more"), [("left", "right"), ("h", "l"), ("down", "up"), ("minus", "plus")]
)
async def test_the_keys_that_move_wc(less, more):
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "w", more, more, more, less, "enter")
        assert client.made("set_wc") == [(0.2,)]


async def test_a_moved_wc_that_is_not_kept_is_told_when_its_screen_is_left():
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
        await until(pilot, lambda: pilot.app.session.snapshot.session.wc == 0.15)
        await press(pilot, "2")
        assert "stays" not in toasts(pilot)


async def test_the_slider_follows_a_wc_that_was_undone():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "4", "right", "enter")
        await until(pilot, lambda: pilot.app.session.snapshot.session.wc == 0.15)
        client._session(wc=0.1)
        await until(pilot, lambda: pilot.app.session.snapshot.session.wc == 0.1)
        await until(pilot, lambda: pilot.app.screen.query_one(Slider).value == 0.1)
        assert "stays" not in toasts(pilot)


async def test_a_typed_wc_between_the_stops():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "w")
        pilot.app.screen.query_one("#value", Input).value = "0.25"
        await press(pilot, "enter")
        assert client.made("set_wc") == [(0.25,)]


async def test_advance_carries_the_chosen_trial():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "right_square_bracket")
        assert isinstance(pilot.app.screen, TrialDialog)
        assert "③ Classifier" in str(pilot.app.screen.query_one(".dialog").border_title)
        table = table_of(pilot)
        assert table.cursor_key == str(pilot.app.session.ranking.incumbent_number)
        await press(pilot, "j")
        chosen = int(table.cursor_key)
        await press(pilot, "enter")
        assert client.made("advance") == [(chosen,)]


async def test_the_last_level_has_no_next_one():
    client = FakeClient(make_snapshot(level=4, done=(4, 2, 2, 1)))
    async with console(client) as pilot:
        await press(pilot, "right_square_bracket")
        assert not pilot.app.screen.is_modal
        assert "last level" in toasts(pilot)


async def test_an_earlier_level_is_opened_from_a_chosen_trial():
    client = FakeClient(make_snapshot(level=3, done=(4, 2, 1)))
    async with console(client) as pilot:
        number = pilot.app.session.ranking.incumbent_number
        await press(pilot, "left_square_bracket", "1")
        await press(pilot, "enter")
        assert client.made("reopen") == [(1, number)]


async def test_the_present_level_goes_on_from_another_trial():
    client = FakeClient(make_snapshot(level=3, done=(4, 2, 1)))
    async with console(client) as pilot:
        await press(pilot, "left_square_bracket")
        choices = pilot.app.screen.query_one(Choices)
        shown = [str(choices.get_option_at_index(n).id) for n in range(choices.option_count)]
        assert shown == ["2", "1", "3"]
        await press(pilot, "3")
        assert "Go on with ③ Classifier from" in str(
            pilot.app.screen.query_one(".dialog").border_title
        )
        chosen = int(table_of(pilot).cursor_key)
        await press(pilot, "enter")
        assert client.made("reopen") == [(3, chosen)]
        assert f"③ Classifier goes on from trial {chosen}; what was learnt stays." in toasts(pilot)


@pytest.mark.parametrize(
    ("client", "next_level", "again"),
    [
        (FakeClient(make_snapshot(level=2)), True, True),
        (FakeClient(make_snapshot(level=4, done=(4, 2, 2, 1))), False, True),
        (FakeClient(make_snapshot(level=1, done=(4,), flat=True)), False, False),
        (FakeClient(empty_snapshot()), True, False),
    ],
)
async def test_levels_are_offered_where_there_are_some(client, next_level, again):
    async with console(client) as pilot:
        bar = str(pilot.app.screen.query_one(KeyBar).render())
        titles = [c.title for c in pilot.app.get_system_commands(pilot.app.screen)]
        assert ("] Next level" in bar) is next_level
        assert any(title.startswith("Go on to the next level") for title in titles) is next_level
        assert any(title.startswith("Open an earlier level") for title in titles) is again
        for key in ("left_square_bracket", "right_square_bracket"):
            await press(pilot, key)
            assert pilot.app.screen.is_modal or toasts(pilot)
            if pilot.app.screen.is_modal:
                await press(pilot, "escape")


async def test_the_next_level_is_offered_no_more_once_the_last_is_reached():
    client = FakeClient(make_snapshot(level=3, done=(4, 2, 1)))
    async with console(client) as pilot:
        bar = pilot.app.screen.query_one(KeyBar)
        assert "] Next level" in str(bar.render())
        client._session(level=4)
        await until(pilot, lambda: "] Next level" not in str(bar.render()))


async def test_the_palette_names_keys_as_the_bar_does():
    async with console(FakeClient(make_snapshot())) as pilot:
        told = {c.title: c.help for c in pilot.app.get_system_commands(pilot.app.screen)}
        assert told["Leave the console"] == "Quit · keys q ^q"
        assert told["Go to Workbench"] == "key 2"
        level = next(title for title in told if title.startswith("Go on to the next level"))
        assert told[level].endswith("key ]")
        assert not [text for text in told.values() if "square_bracket" in text]


async def test_a_picture_is_saved_where_one_says_and_its_path_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with console(FakeClient(make_snapshot())) as pilot:
        (save,) = [
            c.callback
            for c in pilot.app.get_system_commands(pilot.app.screen)
            if c.title == "Save a picture"
        ]
        save()
        await until(pilot, lambda: isinstance(pilot.app.screen, ExportDialog))
        path = tmp_path / "fashion-workbench.svg"
        assert pilot.app.screen.query_one("#path", Input).value == str(path)
        await press(pilot, "enter")
        await until(pilot, lambda: f"Saved to {path}" in toasts(pilot))
        drawn = path.read_text()
        assert drawn.startswith("<svg")
        assert "Candidates" in drawn
        assert "picture" not in drawn


async def test_a_picture_that_cannot_be_saved_says_which_and_why(tmp_path):
    async with console(FakeClient(make_snapshot())) as pilot:
        pilot.app.ask_where_to_save()
        await until(pilot, lambda: isinstance(pilot.app.screen, ExportDialog))
        folder = tmp_path / "away"
        folder.mkdir()
        pilot.app.screen.query_one("#path", Input).value = str(folder / "p.svg")
        dialog = pilot.app.screen
        folder.rmdir()
        dialog.dismiss(folder / "p.svg")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert f"{folder}: there is no such folder" in pilot.app.screen.text


async def test_undo_says_what_it_undid():
    client = FakeClient(make_snapshot(queued=1))
    async with console(client) as pilot:
        await press(pilot, "u")
        assert client.made("undo") == [()]
        assert "trial 20" in toasts(pilot)


async def test_undo_with_nothing_to_undo_says_so():
    client = FakeClient(make_snapshot(queued=0))
    async with console(client) as pilot:
        await press(pilot, "u")
        assert client.made("undo") == []
        assert "Nothing can be undone" in toasts(pilot)


async def test_undo_names_what_came_before_a_trial_that_started_and_asked_again_takes_it_back():
    client = FakeClient(make_snapshot(queued=0))
    async with console(client) as pilot:
        await press(pilot, "w", "right", "enter", "r")
        await press(pilot, "enter")
        assert "u takes it back" in toasts(pilot)
        *rest, last = client.snapshot.trials
        client.change(trials=(*rest, last.model_copy(update={"state": "running"})))
        await until(pilot, lambda: pilot.app.session.snapshot is client.snapshot)
        await press(pilot, "u")
        assert client.made("undo") == []
        said = f"Trial {last.number} has started; s stops it. u again undoes the change of w_c"
        assert said in toasts(pilot)
        await press(pilot, "u")
        assert client.made("undo") == [()]
        assert "Undone: the change of w_c" in toasts(pilot)


async def test_a_decision_that_comes_too_late_is_told_in_a_dialog(monkeypatch):
    client = FakeClient(make_snapshot(), late="trial 19 has ended already")
    async with console(client) as pilot:
        copied: list[str] = []
        monkeypatch.setattr(pilot.app, "copy_to_clipboard", copied.append)
        await press(pilot, "s", "e")
        assert isinstance(pilot.app.screen, FailureDialog)
        assert "ended already" in pilot.app.screen.query_one(TextArea).text
        await press(pilot, "c")
        assert copied == ["trial 19 has ended already"]
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, WorkbenchScreen)


async def test_export_asks_before_it_writes_over_a_file(tmp_path):
    client = FakeClient(make_snapshot())
    target = tmp_path / "out[bold].json"  # which is no markup
    target.write_text("older")
    async with console(client) as pilot:
        await press(pilot, "o")
        pilot.app.screen.query_one("#path", Input).value = str(target)
        await press(pilot, "enter")
        assert f"{target.name} exists" in text_of(pilot, "#problem")
        assert target.read_text() == "older"
        await press(pilot, "enter")
        assert client.made("export") == [(target,)]
        assert str(target) in toasts(pilot)
        assert not any(n.markup for n in pilot.app._notifications if str(target) in n.message)


async def test_yank_copies_the_candidate(monkeypatch):
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        copied: list[str] = []
        monkeypatch.setattr(pilot.app, "copy_to_clipboard", copied.append)
        await press(pilot, "j", "y")
        assert json.loads(copied[0])["id"] == pilot.app.session.ranking.proposals[1].id


# -- leaving --------------------------------------------------------------------------------------


async def test_quit_with_nothing_at_work_asks_nothing():
    client = FakeClient(make_snapshot(running=0, queued=0))
    async with console(client) as pilot:
        await pilot.press("q")
    assert pilot.app.return_value == 0
    assert client.closed


async def test_quit_keeps_training_in_the_background():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, QuitDialog)
        await pilot.press("b")
    assert pilot.app.return_value == 0
    assert client.made("stop") == []


async def test_trials_are_named_with_their_networks_where_they_are_stopped_or_left():
    client = FakeClient(make_snapshot(running=2, execution=Execution(parallel=2)))
    session, trials = client.snapshot.session, client.snapshot.trials
    async with console(client) as pilot:
        await press(pilot, "q")
        told = "\n".join(str(static.render()) for static in pilot.app.screen.query(Static))
        for trial in trials[19:21]:
            assert f"Trial {trial.number} trains: {trial_line(trial, session)}" in told
        assert "2 trials wait." in told
        await press(pilot, "escape", "s")
        options = [str(o.prompt) for o in pilot.app.screen.query_one(Choices).options]
        assert options[0] == f"Trial 19 · epoch 7/10 · {trial_line(trials[19], session)}"
        assert trial_line(trials[21], session) in options[-2]
        # a heading is no answer
        await press(pilot, "down", "up", "up")
        assert pilot.app.screen.query_one(Choices).highlighted not in (0, 4)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_each_line_of_what_trains_fits_and_names_the_network(size):
    snapshot = make_snapshot(running=2, execution=Execution(parallel=2))
    async with console(FakeClient(snapshot), size=size) as pilot:
        if size == NARROW:
            await press(pilot, "v")
        screen = pilot.app.screen
        assert screen.query_one("#training-title", Edge).title_text == "Training · 2 at once"
        panel = screen.query_one(TrainingPanel)
        lines = str(panel.render()).splitlines()
        assert len(lines) == panel.size.height
        assert max(map(len, lines)) <= panel.content_size.width
        for line, trial in zip(lines, snapshot.trials[19:21], strict=False):
            assert line.startswith(f"{trial.number}  {parameters(trial.config)[:11]}")
            assert " 7/10 " in line


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("ended", ["worse", "failed"])
async def test_no_line_of_what_trains_is_broken(size, ended, monkeypatch):
    monkeypatch.setattr(training, "falling_behind", lambda snapshot: {19})
    snapshot = make_snapshot(running=2, execution=Execution(parallel=2))
    trials = [*snapshot.trials]
    last = {"error": 0.3, "ended": NOW}
    if ended == "failed":
        why = Failure(kind="exception", message="channels[2] = 33: not divisible. " * 9)
        last = {"state": "failed", "failure": why, "ended": NOW}
    trials[18] = trials[18].model_copy(update=last)
    trials[20] = trials[20].model_copy(update={"stop_request": "epoch"})
    async with console(FakeClient(replace(snapshot, trials=tuple(trials))), size=size) as pilot:
        if size == NARROW:
            await press(pilot, "v")
        panel = pilot.app.screen.query_one(TrainingPanel)
        lines = str(panel.render()).splitlines()
        assert len(lines) == panel.size.height == 5
        assert max(map(len, lines)) <= panel.content_size.width
        assert "  behind  " in lines[0]
        assert lines[1].endswith("stops after this epoch")
        assert lines[4].endswith("▲ worse" if ended == "worse" else "…")


async def test_quit_can_stop_what_runs_after_its_epoch_and_withdraw_the_rest():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "ctrl+q")
        await pilot.press("s")
        await until(pilot, lambda: pilot.app.return_value == 0)
    assert [call[:2] for call in client.made("stop")] == [
        (19, "epoch"),
        (20, "epoch"),
        (21, "epoch"),
    ]


# -- news -----------------------------------------------------------------------------------------


async def test_an_epoch_is_shown_without_a_new_ranking_and_the_cursor_stays():
    client = FakeClient(make_snapshot(epochs_done=7))
    async with console(client) as pilot:
        await press(pilot, "j", "j", "j")
        key = table_of(pilot).cursor_key
        assert " 7/10 " in text_of(pilot, "#training")
        client.snapshot = replace(make_snapshot(epochs_done=8), change=2)
        await until(pilot, lambda: " 8/10 " in text_of(pilot, "#training"))
        assert table_of(pilot).cursor_key == key
        assert client.ranked == 1


async def test_the_cursor_stays_with_its_candidate_when_the_ranking_changes():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "j", "j", "j")
        table, key = table_of(pilot), table_of(pilot).cursor_key
        rows = list(table.rows)
        table.show([rows[3], *rows[:3], *rows[4:]])
        await pilot.pause()
        assert table.cursor_key == key
        assert table.cursor_row == 0


async def test_where_the_candidate_is_gone_the_cursor_goes_to_the_best():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "j", "j")
        table = table_of(pilot)
        table.show([row for row in table.rows if row.key != table.cursor_key], first=True)
        await pilot.pause()
        assert table.cursor_row == 0
        assert table.cursor_key == pilot.app.session.ranking.proposals[0].id


async def test_a_ranking_that_fails_is_told_and_the_console_stays(monkeypatch):
    client = FakeClient(make_snapshot())

    def fail(*args, **kwargs):
        raise ZeroDivisionError("something odd")

    async with console(client) as pilot:
        monkeypatch.setattr(client, "rank", fail)
        await press(pilot, "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "ZeroDivisionError: something odd" in pilot.app.screen.text
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, WorkbenchScreen)


async def test_a_finished_trial_is_ranked_again():
    client = FakeClient(make_snapshot(done=(14, 4)))
    async with console(client) as pilot:
        client.snapshot = replace(make_snapshot(done=(14, 5), running=0), change=2)
        await until(pilot, lambda: client.ranked == 2 and not pilot.app.session.ranking_running)
        assert "last: trial" in text_of(pilot, "#training")


async def test_layers_are_counted_from_1_wherever_a_person_reads():
    async with console(FakeClient(make_snapshot())) as pilot:
        assert "differs in kernel[2], batch_norm[3]" in text_of(pilot, "#why")
        titles = []
        for _ in range(12):
            titles.append(pilot.app.screen.query_one("#belief-title", Edge).title_text)
            await press(pilot, "right")
        assert any("along kernel[1]" in title for title in titles)
        assert not any("[0]" in title for title in titles)
        await press(pilot, "e")
        pilot.app.screen.query(".field").first(Input).value = "9"
        await settled(pilot)
        assert "kernel[1] = 9: outside what is searched" in text_of(pilot, "#problems")


async def test_the_chart_follows_the_arrows():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        chart = pilot.app.screen.query_one(Chart)
        await until(pilot, lambda: chart.plot is not None)
        assert chart.plot.bars, "a kernel is a category: bars, no line"
        titles = set()
        for _ in range(5):
            titles.add(pilot.app.screen.query_one("#belief-title").title_text)
            await press(pilot, "right")
        assert len(titles) == 5


async def test_at_the_beginning_the_console_says_what_comes():
    client = FakeClient(empty_snapshot())
    async with console(client) as pilot:
        assert "once a trial has been measured" in pilot.app.screen.query_one(Chart).empty
        assert "queued" in text_of(pilot, "#training")


async def test_an_exhausted_level_names_the_next_key():
    client = FakeClient(make_snapshot(), candidates=0)
    async with console(client) as pilot:
        assert "nothing left" in text_of(pilot, "#no-candidates")
        assert "]" in text_of(pilot, "#no-candidates")


async def test_narrow_terminals_keep_the_cursor_and_every_key():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "j", "j")
        key = table_of(pilot).cursor_key
        wide = {b.binding.id for b in pilot.app.screen.active_bindings.values()}
        await pilot.resize_terminal(*NARROW)
        await settled(pilot)
        assert table_of(pilot).cursor_key == key
        assert wide == {b.binding.id for b in pilot.app.screen.active_bindings.values()}
        right = pilot.app.screen.query_one("#right")
        assert not right.display
        await press(pilot, "v")
        assert right.display
        assert not pilot.app.screen.query_one("#left").display
        await press(pilot, "v", "a")
        assert [call[0] for call in client.made("accept")] == [key]


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL])
async def test_nothing_is_cut_off_in_the_key_bar(size):
    client = FakeClient(make_snapshot())
    async with console(client, size=size) as pilot:
        shown = text_of(pilot, "KeyBar")
        for word in ("Accept", "Edit", "New", "Reject", "Repeat", "Stop", "Autopilot", "w_c",
                     "Next level", "Screens", "Help", "Quit"):  # fmt: skip
            assert word in shown
        assert max(map(len, shown.splitlines())) <= size[0]


# -- sessions -------------------------------------------------------------------------------------


async def test_first_run_is_three_keys_to_a_running_search():
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        assert "No session yet" in text_of(pilot, "#no-sessions")
        await press(pilot, "n")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))
    (setup,) = sessions.created
    assert setup.name == "digits"
    assert setup.data.spec == "digits"
    assert setup.domains == {}
    assert ("start_engine",) in sessions.clients["digits"].calls


async def test_wrong_fields_are_told_beside_them_and_nothing_is_created():
    sessions = FakeHome({"fashion": FakeClient(make_snapshot())})
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        screen = pilot.app.screen
        for name, value, told in (
            ("name", "fashion", "already"),
            ("name", "a/b", "letters"),
            ("data", "nothing", "KIND:PATH"),
            ("wc", "-1", "0 or more"),
            ("epochs", "0", "1 to 100,000"),
            ("domain-conv_layers", "6..2", "reversed"),
            ("domain-kernel", "2", "not possible"),
        ):
            screen.query_one(f"#field-{name}", Input).value = value
            await pilot.pause()
            assert told in str(screen.query_one(f"#note-{name}").render()), (name, value)
        await press(pilot, "enter")
        assert pilot.app.screen is screen
        assert sessions.created == []


async def test_narrowed_domains_and_the_measure_reach_the_session():
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        screen = pilot.app.screen
        screen.query_one("#field-domain-conv_layers", Input).value = "2..4"
        screen.query_one("#field-train_size", Input).value = "1000"
        screen.query_one("#measure").focus()
        await press(pilot, "space", "space")
        await pilot.press("enter")
        await until(pilot, lambda: bool(sessions.created))
    assert sessions.created[0].domains == {"conv_layers": "2..4"}
    assert sessions.created[0].measure == "macs"
    assert sessions.created[0].data.train_size == 1000


async def test_refused_data_are_told_in_a_dialog_and_the_form_stays():
    sessions = FakeHome(refuse="idx:/x: no such folder. Give a folder with IDX files.")
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        pilot.app.screen.query_one("#field-data", Input).value = "idx:/x"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "idx:/x" in pilot.app.screen.query_one(TextArea).text
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, SetupScreen)
        assert pilot.app.screen.query_one("#field-data", Input).value == "idx:/x"


async def test_a_session_is_opened_and_a_deleted_one_comes_back():
    sessions = FakeHome({"fashion": FakeClient(make_snapshot())})
    async with console(sessions=sessions) as pilot:
        await press(pilot, "d")
        await until(pilot, lambda: not sessions.clients)
        assert "u brings it back" in toasts(pilot)
        await press(pilot, "u")
        await until(pilot, lambda: list(sessions.clients) == ["fashion"])
        await until(pilot, lambda: table_of(pilot).cursor_key == "fashion")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))


class Held(ThreadPoolExecutor):
    """Threads that begin only when they are let go: what they read late shows."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def submit(self, call, /, *args, **options) -> Future:
        def held():
            self.gate.wait(PATIENCE)
            return call(*args, **options)

        return super().submit(held)


@contextmanager
def held_threads() -> Iterator[threading.Event]:
    """No thread of the console begins before the event is set."""
    held = Held()
    asyncio.get_running_loop().set_default_executor(held)
    try:
        yield held.gate
    finally:
        held.gate.set()


def two_sessions() -> FakeHome:
    """`beta` is listed first: it is the newer one."""
    older = make_snapshot(name="alpha", wc=0.7)
    newer = make_snapshot(name="beta", created=NOW)
    return FakeHome({"alpha": FakeClient(older), "beta": FakeClient(newer)})


async def test_what_is_deleted_is_what_the_cursor_was_on_when_the_key_was_pressed():
    sessions = two_sessions()
    async with console(sessions=sessions) as pilot:
        with held_threads() as let_go:
            await pilot.press("d", "down")
            assert table_of(pilot).cursor_key == "alpha"
            let_go.set()
            await until(pilot, lambda: bool(sessions.trash))
        assert list(sessions.trash) == ["beta"]


async def test_what_is_copied_is_what_the_cursor_was_on_when_the_key_was_pressed():
    async with console(sessions=two_sessions()) as pilot:
        with held_threads() as let_go:
            await pilot.press("c", "down")
            let_go.set()
            await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        assert pilot.app.screen.query_one("#field-name", Input).value == "beta-2"


async def test_delete_pressed_twice_deletes_one_session_and_fails_at_nothing():
    sessions = two_sessions()
    async with console(sessions=sessions) as pilot:
        with held_threads() as let_go:
            await pilot.press("d", "d")
            let_go.set()
            await until(pilot, lambda: bool(sessions.trash))
        await settled(pilot)
        assert (list(sessions.trash), list(sessions.clients)) == (["beta"], ["alpha"])
        assert isinstance(pilot.app.screen, SessionsScreen)


@pytest.mark.parametrize("screen", ["2", "3", "4", "5", "6"])
async def test_a_deleted_session_is_brought_back_from_any_screen_by_the_key_the_toast_names(screen):
    sessions = two_sessions()
    async with console(sessions=sessions, name="alpha") as pilot:
        await press(pilot, "1")
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        await press(pilot, "d")
        await until(pilot, lambda: "U on any screen" in toasts(pilot))
        await press(pilot, screen)
        await press(pilot, "U")
        await until(pilot, lambda: "beta" in sessions.clients)
        await until(pilot, lambda: "beta is back" in toasts(pilot))
        assert sessions.clients["alpha"].made("undo") == []


async def test_the_toast_names_the_keys_that_a_person_set(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"keys": {"sessions.restore": "f5"}}))
    sessions = two_sessions()
    app = Console(sessions.home, sessions=sessions, settings_file=file, read_seconds=0.01)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        await press(pilot, "d")
        await until(pilot, lambda: "f5 on any screen, or here u brings it back" in toasts(pilot))
        await press(pilot, "f5")
        await until(pilot, lambda: "beta" in sessions.clients)


async def test_a_decision_is_taken_in_the_session_it_was_made_in():
    sessions = two_sessions()
    one, other = sessions.clients["alpha"], sessions.clients["beta"]
    async with console(sessions=sessions, name="alpha") as pilot:
        with held_threads() as let_go:
            await pilot.press("a")
            await pilot.app.session._opened(other, other.snapshot, pilot.app.session._asked)
            let_go.set()
            await until(pilot, lambda: bool(one.made("accept")))
        assert other.made("accept") == []


async def test_of_two_sessions_the_one_asked_for_last_is_shown(monkeypatch):
    sessions = two_sessions()
    begun, slow = threading.Event(), threading.Event()
    open_one = sessions.open

    def opening(name):
        if name == "alpha":
            begun.set()
            slow.wait(PATIENCE)
        return open_one(name)

    monkeypatch.setattr(sessions, "open", opening)
    async with console(sessions=sessions) as pilot:
        pilot.app.session.open("alpha")
        await until(pilot, begun.is_set)
        pilot.app.session.open("beta")
        await until(pilot, lambda: pilot.app.session.client is sessions.clients["beta"])
        slow.set()
        await until(pilot, lambda: sessions.clients["alpha"].closed)
        assert pilot.app.session.client is sessions.clients["beta"]


async def test_news_and_rankings_of_a_session_that_was_left_are_not_shown():
    sessions = two_sessions()
    one, other = sessions.clients["alpha"], sessions.clients["beta"]
    one.slow = threading.Event()
    app = Console(sessions.home, "alpha", sessions=sessions, clock=lambda: NOW, read_seconds=0.01)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.session.ranking_running and bool(one.ranked))
        app.session.open("beta")
        await until(pilot, lambda: app.session.client is other)
        app.session.take_snapshot(one, one.snapshot)
        app.call_later(app.session.leave_unreadable, one, Lost("alpha", "gone"))
        seen = []
        app.session.listen(app, lambda: seen.append(app.session.ranking))
        one.slow.set()
        await until(pilot, lambda: bool(other.ranked) and not app.session.ranking_running)
        assert app.session.snapshot.session.name == "beta"
        shown = [ranking for ranking in seen if ranking is not None]
        assert shown
        assert all(ranking.trials == other.snapshot.trials for ranking in shown)


async def test_a_session_that_cannot_be_read_takes_its_open_question_along():
    sessions = two_sessions()
    async with console(sessions=sessions, name="alpha") as pilot:
        await press(pilot, "e")
        assert isinstance(pilot.app.screen, EditDialog)
        pilot.app.call_later(
            pilot.app.session.leave_unreadable, sessions.clients["alpha"], Lost("alpha", "gone")
        )
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        await press(pilot, "escape")
        pilot.app.session.open("beta")
        await until(pilot, lambda: pilot.app.session.client is sessions.clients["beta"])
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))


def deleted_elsewhere(sessions: FakeHome, name: str) -> None:
    """What another terminal does."""
    sessions.trash[name] = sessions.clients.pop(name)
    sessions.trash[name].gone = True


@pytest.mark.parametrize("keys", [("U",), ("escape", "U"), ("escape", "u")])
async def test_a_session_deleted_elsewhere_is_told_in_words_and_brought_back(keys):
    sessions = two_sessions()
    sessions.clients["alpha"].folder = Path("/nowhere/sessions/alpha")
    async with console(sessions=sessions, name="alpha") as pilot:
        await press(pilot, "3")
        deleted_elsewhere(sessions, "alpha")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        dialog = pilot.app.screen
        assert dialog.failure_title == "alpha was deleted elsewhere"
        assert "U on any screen, or here u brings it back" in dialog.text
        assert isinstance(pilot.app.screen_stack[-2], SessionsScreen)
        await press(pilot, *keys)
        await until(pilot, lambda: "alpha is back." in toasts(pilot))
        assert sorted(sessions.clients) == ["alpha", "beta"]


async def test_what_is_back_says_what_waits_in_it():
    sessions = two_sessions()
    sessions.waiting = "Waiting: 2 queued. `lcsearch engine start beta` trains what waits."
    async with console(sessions=sessions) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        await press(pilot, "d")
        await until(pilot, lambda: "is deleted" in toasts(pilot))
        await press(pilot, "u")
        await until(pilot, lambda: f"beta is back. {sessions.waiting}" in toasts(pilot))


async def test_with_nothing_deleted_the_keys_that_bring_back_say_so():
    sessions = two_sessions()
    async with console(sessions=sessions) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "beta")
        assert "Undo" not in str(pilot.app.screen.query_one(KeyBar).render())
        for number, key in enumerate(("u", "U"), 1):
            await press(pilot, key)
            assert toasts(pilot).splitlines() == ["Nothing to bring back."] * number
        pilot.app.session.open("alpha")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkbenchScreen))
        await press(pilot, "U")
        assert toasts(pilot).count("Nothing to bring back.") == 3


async def test_undo_undoes_what_stood_last_when_it_was_pressed_or_nothing():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        with held_threads() as let_go:
            await pilot.press("u")
            client.set_wc(0.5)
            let_go.set()
            await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert [d.kind for d in client.snapshot.decisions].count("undo") == 0


async def test_the_level_that_is_left_is_the_one_that_was_shown():
    client = FakeClient(make_snapshot(level=2))
    async with console(client) as pilot:
        await press(pilot, "right_square_bracket")
        with held_threads() as let_go:
            await pilot.press("enter")
            client._session(level=3)
            let_go.set()
            await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert client.snapshot.session.level == 3


async def test_a_copied_set_up_fills_the_form():
    client = FakeClient(make_snapshot(wc=0.7, domains={"conv_layers": "3..5"}))
    sessions = FakeHome({"fashion": client})
    async with console(sessions=sessions) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        values = {i.id: i.value for i in pilot.app.screen.query(Input)}
        assert values["field-name"] == "fashion-2"
        assert values["field-wc"] == "0.7"
        assert values["field-data"] == "idx:/data/fashion"
        assert values["field-domain-conv_layers"] == "3..5"


async def test_a_copied_set_up_keeps_what_the_form_does_not_show():
    execution = Execution(executor="ray", per_trial={"gpus": 1}, parallel=4, dtype="float32")
    client = FakeClient(make_snapshot(execution=execution, features=2, macs_cap=3.0))
    sessions = FakeHome({"fashion": client})
    async with console(sessions=sessions) as pilot:
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        await pilot.press("enter")
        await until(pilot, lambda: bool(sessions.created))
    (setup,) = sessions.created
    assert (setup.execution, setup.features, setup.macs_cap) == (execution, 2, 3.0)


async def test_the_set_up_says_how_many_trials_train_at_once(monkeypatch):
    monkeypatch.setattr(devices, "processors", lambda: 2)
    monkeypatch.setattr(devices, "processors_only", lambda: True)
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        field = pilot.app.screen.query_one("#field-parallel", Input)
        assert field.value == "2"
        field.value = "3"
        await pilot.press("enter")
        assert "more than this machine's 2 processors" in text_of(pilot, "#note-parallel")
        assert not sessions.created
        field.value = "1"
        await pilot.press("enter")
        await until(pilot, lambda: bool(sessions.created))
    assert sessions.created[0].execution.parallel == 1


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL])
async def test_up_and_down_go_through_the_fields_of_the_set_up_where_they_do_not_fit(size):
    async with console(sessions=FakeHome({}), size=size) as pilot:
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        fields = [pilot.app.focused]
        for _ in range(8):
            await press(pilot, "down")
            fields.append(pilot.app.focused)
        assert len({id(field) for field in fields}) == 9
        for field in fields[-2::-1]:
            await press(pilot, "up")
            assert pilot.app.focused is field


async def test_every_field_of_the_set_up_is_explained_whole_below_it():
    async with console(sessions=FakeHome(), size=NARROW) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        for name, words in [
            ("field-data", "fashion-mnist:DIR"),
            ("field-wc", "more look for low complexity"),
            ("measure", "timed beside it"),
            ("stop-behind", "median"),
        ]:
            pilot.app.screen.query_one(f"#{name}").focus()
            await pilot.pause()
            assert words in text_of(pilot, "#note-line")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("epochs", "100001", "1 to 100,000"),
        ("trials", "0", "1 to 100,000"),
        ("seed", "9999999999", "0 to 2,147,483,647"),
        ("epochs", "9" * 5000, "1 to 100,000"),
    ],
)
async def test_a_number_that_no_session_takes_is_told_at_its_field(name, value, words):
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        pilot.app.screen.query_one(f"#field-{name}", Input).value = value
        await settled(pilot)
        assert words in str(pilot.app.screen.query_one(f"#note-{name}").render())
        await press(pilot, "enter")
        assert not sessions.created


async def test_a_session_is_exported_from_the_list_too(tmp_path):
    client = FakeClient(make_snapshot())
    async with console(sessions=FakeHome({"fashion": client})) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "fashion")
        await press(pilot, "o")
        pilot.app.screen.query_one("#path", Input).value = str(tmp_path / "f.txt")
        await press(pilot, "enter")
        assert "end it with .json, .html" in text_of(pilot, "#problem")
        pilot.app.screen.query_one("#path", Input).value = str(tmp_path / "f.html")
        await press(pilot, "enter")
        await until(pilot, lambda: "Exported to" in toasts(pilot))
    assert "<!DOCTYPE html>" in (tmp_path / "f.html").read_text()
    assert client.closed


async def test_a_layout_is_chosen_in_the_palette_and_kept(tmp_path):
    file = tmp_path / "settings.json"
    sessions = FakeHome({"fashion": FakeClient(make_snapshot())})
    app = Console(
        sessions.home, "fashion", sessions=sessions, clock=lambda: NOW, settings_file=file
    )
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WorkbenchScreen))
        commands = {c.title: c.callback for c in app.get_system_commands(app.screen)}
        assert app.screen.query_one("#right").display
        commands["Layout: tabs"]()
        await pilot.pause()
        assert not app.screen.query_one("#right").display
        assert json.loads(file.read_text())["layout"] == "tabs"
        commands["Layout: auto"]()
        await pilot.pause()
        assert app.screen.query_one("#right").display


async def test_what_was_loaded_for_the_first_ranking_is_not_walked_through_again():
    before = gc.get_threshold(), gc.get_freeze_count()
    async with console(FakeClient(make_snapshot())):
        assert gc.get_freeze_count() > before[1]
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before[0], 0)


async def test_a_screen_that_comes_back_unchanged_is_not_made_again(monkeypatch):
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "3", "2")
        made = []
        real = WorkbenchScreen.repaint
        monkeypatch.setattr(
            WorkbenchScreen, "repaint", lambda self, *given: (made.append(1), real(self, *given))
        )
        await press(pilot, "3", "2")
        assert not made
        pilot.app.session.client.change(
            session=pilot.app.session.snapshot.session.model_copy(update={"wc": 0.3})
        )
        await until(pilot, lambda: pilot.app.session.snapshot.session.wc == 0.3)
        assert made


async def test_the_autopilot_says_how_long_it_will_take():
    client = FakeClient(make_snapshot(running=0, queued=0))
    async with console(client) as pilot:
        await press(pilot, "p")
        dialog = pilot.app.screen
        few = schedule.flight_seconds(client.snapshot, trials=8, minutes=None)
        assert words.duration(few) in str(dialog.query_one("#estimate").render())
        dialog.query_one("#trials", Input).value = "800"
        await pilot.pause()
        many = schedule.flight_seconds(client.snapshot, trials=800, minutes=None)
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


async def test_what_the_autopilot_has_still_to_do_is_told():
    snapshot = make_snapshot(autopilot=Autopilot(trials=8, accepted=3))
    async with console(FakeClient(snapshot)) as pilot:
        told = text_of(pilot, "#training")
        left = words.time_left(schedule.seconds_left(snapshot, NOW))
        assert f"autopilot: 3 of 8 · {left}" in told
        await press(pilot, "q")
        assert "left." in str(pilot.app.screen.query(Static).first().render())


async def test_an_unknown_session_is_named_and_the_list_stays():
    async with console(sessions=FakeHome(), name="gone") as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "gone" in pilot.app.screen.query_one(TextArea).text
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, SessionsScreen)


async def test_a_damaged_session_is_listed_and_explained():
    sessions = FakeHome(damaged="broken")
    async with console(sessions=sessions) as pilot:
        await until(pilot, lambda: table_of(pilot).cursor_key == "broken")
        await press(pilot, "enter")
        assert "not a database" in pilot.app.screen.query_one(TextArea).text


async def test_screens_of_a_session_need_one():
    async with console(sessions=FakeHome()) as pilot:
        await press(pilot, "2")
        assert isinstance(pilot.app.screen, SessionsScreen)
        assert "Open a session first" in toasts(pilot)


# -- manners --------------------------------------------------------------------------------------


async def test_keys_typed_while_the_trials_open_are_not_swallowed_by_the_filter(monkeypatch):
    focused = []
    set_focus = HistoryScreen.set_focus

    def seen(screen, widget, *args, **options):
        focused.append(widget)
        set_focus(screen, widget, *args, **options)

    monkeypatch.setattr(HistoryScreen, "set_focus", seen)
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: isinstance(pilot.app.screen.focused, Table))
        assert not any(isinstance(widget, Input) for widget in focused)
        await press(pilot, "slash")
        assert isinstance(pilot.app.screen.focused, Input)


@asynccontextmanager
async def history(client: FakeClient | None = None, **how) -> AsyncIterator[Pilot[int]]:
    """The trials, and the keys with their table."""
    async with console(client or FakeClient(make_snapshot()), **how) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: isinstance(pilot.app.screen.focused, Table))
        yield pilot


async def typed(pilot: Pilot[int], text: str) -> None:
    """Type into what has the focus."""
    for char in text:
        await pilot.press("space" if char == " " else char)
    await settled(pilot)


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALL])
async def test_the_filter_sees_the_whole_network_and_enter_gives_the_keys_back(size):
    client = FakeClient(make_snapshot())
    trials = client.snapshot.trials
    lines = [parameters(t.config).split()[0] for t in trials]
    line = max(lines, key=lines.count)
    having = {str(t.number) for t, own in zip(trials, lines, strict=True) if line in own}
    async with history(client, size=size) as pilot:
        await press(pilot, "slash")
        await typed(pilot, line)
        assert {row.key for row in table_of(pilot).rows} == having
        await press(pilot, "enter")
        assert pilot.app.screen.focused is table_of(pilot)
        told = text_of(pilot, "#filter-said")
        assert f"{len(having)} of {len(trials)} match {line}" in told
        assert "esc shows all" in told
        await press(pilot, "g", "j")
        assert table_of(pilot).cursor_row == 1
        await press(pilot, "escape")
        assert len(table_of(pilot).rows) == len(trials)
        assert not pilot.app.screen.query_one("#filter-said").display


async def test_escape_leaves_the_filter_as_it_was_before():
    async with history() as pilot:
        await press(pilot, "slash")
        await typed(pilot, "params<50k")
        await press(pilot, "enter")
        shown = [row.key for row in table_of(pilot).rows]
        assert 0 < len(shown) < len(pilot.app.session.snapshot.trials)
        await press(pilot, "slash")
        await typed(pilot, " k7777777")
        await press(pilot, "escape")
        assert [row.key for row in table_of(pilot).rows] == shown
        assert "match params<50k" in text_of(pilot, "#filter-said")
        await press(pilot, "t")
        assert "by f" in pilot.app.screen.query_one("#trials-title", Edge).title_text


async def test_a_wrong_filter_is_told_while_typing_and_nothing_typed_is_lost():
    async with history() as pilot:
        everything = len(pilot.app.session.snapshot.trials)
        await press(pilot, "slash")
        await typed(pilot, "parms<5")
        assert "there is no parms. Is it params?" in text_of(pilot, "#filter-said")
        await press(pilot, "enter")
        field = pilot.app.screen.query_one("#filter", Input)
        assert field.has_focus
        await press(pilot, "tab")
        assert field.display
        assert field.value == "parms<5"
        await press(pilot, "escape")
        assert (field.value, len(table_of(pilot).rows)) == ("", everything)


async def test_where_no_trial_matches_the_screen_says_so_and_how_to_see_them_all():
    async with history() as pilot:
        await press(pilot, "slash")
        await typed(pilot, "acc>99.9")
        await press(pilot, "enter")
        assert "No trial matches acc>99.9. esc shows all 22." in text_of(pilot, "#no-trials")
        assert pilot.app.screen.query_one("#no-trials").display
        await press(pilot, "escape")
        assert len(table_of(pilot).rows) == 22
        assert pilot.app.screen.focused is table_of(pilot)


async def test_another_session_is_shown_unfiltered_and_unmarked():
    small = make_snapshot(level=1, done=(2,), running=0, queued=0, name="small")
    sessions = FakeHome({"fashion": FakeClient(make_snapshot()), "small": FakeClient(small)})
    async with console(sessions=sessions, name="fashion") as pilot:
        await press(pilot, "3", "G", "k", "k", "space", "slash")
        await typed(pilot, "level=2")
        await press(pilot, "enter")
        pilot.app.session.open("small")
        await until(pilot, lambda: pilot.app.session.snapshot.session.name == "small")
        await press(pilot, "3")
        assert len(table_of(pilot).rows) == 3


async def test_every_binding_has_an_id_and_a_tooltip():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        for _, binding, _, _ in pilot.app.screen.active_bindings.values():
            if not binding.system and not binding.action.startswith(("app.focus", "screen.")):
                assert binding.id, binding
                assert binding.tooltip, binding


def offered(pilot: Pilot[int]) -> list[str]:
    """The keys in the key bar, as they are written there."""
    lines = text_of(pilot, "KeyBar").splitlines()
    return [item.split()[0] for line in lines for item in line.split("  ") if item.split()]


async def assert_nothing_offered_is_typed(pilot: Pilot[int]) -> None:
    """Whatever has the focus: the keys in the bar do what they say."""
    screen = pilot.app.screen
    seen = 0
    for widget in [w for w in screen.query("*") if w.focusable]:
        screen.set_focus(widget)
        await pilot.pause()
        await pilot.pause()
        keys = offered(pilot)
        for key in keys:
            assert len(key) > 1 or not widget.check_consume_key(key, key), (widget, key)
        if isinstance(widget, Input):
            seen += 1
            assert "f1" in keys
            assert not {"?", "q", "1-6", "n"} & set(keys)
    assert seen


async def test_no_key_is_offered_in_the_set_up_that_would_be_typed():
    async with console(sessions=FakeHome()) as pilot:
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))
        await assert_nothing_offered_is_typed(pilot)
        field = pilot.app.screen.query_one("#field-name", Input)
        field.focus()
        before = field.value
        await press(pilot, "f1")
        assert "Keys here" in text_of(pilot, "#help-keys")
        assert "f1" in text_of(pilot, "#help-keys")
        await press(pilot, "escape")
        assert field.value == before


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_no_key_is_offered_beside_the_filter_that_would_be_typed(size):
    async with history(size=size) as pilot:
        assert "v changes" in text_of(pilot, "#views")
        assert "?" in offered(pilot)
        await press(pilot, "slash")
        await pilot.pause()
        assert "v changes" not in text_of(pilot, "#views")
        assert {"esc", "enter"} <= set(offered(pilot))
        await press(pilot, "f1")
        assert "f1 " in text_of(pilot, "#help-keys")
        assert "  / " not in text_of(pilot, "#help-keys")
        await press(pilot, "escape")
        await assert_nothing_offered_is_typed(pilot)


async def test_a_key_that_a_person_set_is_not_offered_where_it_is_typed(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"keys": {"setup.leave": "b", "help": "f2,h"}}))
    app = Console(Path("/nowhere"), sessions=FakeHome(), settings_file=file)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.screen.query_one("#no-sessions").display)
        await press(pilot, "n")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        await pilot.pause()
        assert "f2" in offered(pilot)
        assert not {"b", "h"} & set(offered(pilot))


async def test_the_slider_says_which_keys_move_it_where_a_number_is_typed():
    async with console(FakeClient(make_snapshot())) as pilot:
        await press(pilot, "w")
        box = pilot.app.screen.query_one(".dialog")
        assert "hl" in str(box.border_subtitle)
        pilot.app.screen.query_one("#value", Input).focus()
        await settled(pilot)
        assert "hl" not in str(box.border_subtitle)
        await press(pilot, "up")
        assert pilot.app.screen.query_one("#value", Input).value == "0.15"


async def test_enter_chooses_in_the_reason_of_a_stop_too():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "s", "tab")
        await typed(pilot, "slow")
        await press(pilot, "enter")
        ((_, mode, reason),) = client.made("stop")
        assert (mode, reason) == ("epoch", "slow")


async def test_help_names_the_keys_and_the_formulas():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "question_mark")
        assert "Train the selected candidate" in text_of(pilot, "#help-keys")
        assert "f = f_p + w_c · f_c" in text_of(pilot, "#help-figures")


async def test_keys_and_theme_come_from_the_settings_file(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"theme": "lcsearch-light", "keys": {"decide.accept": "t"}}))
    client = FakeClient(make_snapshot())
    app = Console(
        Path("/nowhere"), "fashion", sessions=FakeHome({"fashion": client}), clock=lambda: NOW,
        settings_file=file, read_seconds=0.01,
    )  # fmt: skip
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.session.ranking is not None)
        assert app.theme == "lcsearch-light"
        await press(pilot, "t")
        assert len(client.made("accept")) == 1


async def test_a_broken_settings_file_is_told_and_nothing_else(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text("{")
    app = Console(Path("/nowhere"), sessions=FakeHome(), settings_file=file)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        assert str(file) in app.screen.query_one(TextArea).text
    assert file.read_text() == "{"


async def test_a_disturbed_time_and_how_far_a_trial_is_fit_their_columns():
    snapshot = make_snapshot()
    spoilt = Machine(
        processor="a", device="cpu", threads=1, dtype="float32", torch="2",
        conditions=Conditions(disturbed=("somebody else worked",)),
    )  # fmt: skip
    snapshot = changed(timed(snapshot, 13, 0.0351, 1.7), 13, machine=spoilt)
    async with console(FakeClient(snapshot), size=NARROW) as pilot:
        await press(pilot, "3")
        table = table_of(pilot)
        cells = {row.key: row.cells for row in table.rows}
        assert (cells["13"][-1], cells["19"][4], cells["20"][4]) == ("~0.035", "7/10", "–")
        drawn = [table.render_line(y).text for y in range(table.size.height)]
        assert any(line.rstrip().endswith("~0.035") for line in drawn)


def test_how_far_a_long_trial_is_fits_too():
    assert [words.reached(*at) for at in ((3, 10), (99, 100), (150, 200))] == [
        "3/10",
        "99/100",
        "75%",
    ]


async def test_the_best_measured_is_labelled_with_its_trial():
    client = FakeClient(make_snapshot())
    best = search.best_measured(client.snapshot)
    async with console(client) as pilot:
        line = str(pilot.app.screen.query_one("SessionLine").render())
        assert f"(trial {best.number})" in line
        assert "1 training, 2 queued" in line


# -- the end of a search ------------------------------------------------------------------------


def final_done(number: int, folder: Path) -> FinalDone:
    result = FinalResult.model_construct(trial=number, test_accuracy=0.9123)
    return FinalDone.model_construct(folder=str(folder), result=result)


def finishing(pilot: Pilot[int]) -> bool:
    return bool(pilot.app.session.finishing is not None and pilot.app.session.finishing.at_work)


@pytest.fixture
def at_the_end(monkeypatch, tmp_path):
    """Where folders are proposed, and how far a final training is."""
    monkeypatch.chdir(tmp_path)
    said = FinalProgress(epoch=3, epochs=5, done=0.6, train_loss=0.2, seconds_left=80)
    return FakeFinal((said,))


async def test_the_best_network_is_trained_to_the_end(at_the_end, tmp_path):
    client = FakeClient(make_snapshot(), final=at_the_end)
    async with console(client) as pilot:
        number = pilot.app.session.ranking.incumbent_number
        await press(pilot, "6", "t")
        pilot.app.screen.query_one("#epochs", Input).value = "0"
        await press(pilot, "enter")
        assert "epochs = 0" in text_of(pilot, "#problem")
        place = tmp_path / "a["  # the words are shown as they are, [/b] is no markup
        place.mkdir()
        (place / "b]").touch()
        pilot.app.screen.query_one("#epochs", Input).value = "5"
        pilot.app.screen.query_one("#folder", Input).value = str(place / "b]")
        await press(pilot, "enter")
        assert f"{place / 'b]'}: exists and is no folder" in text_of(pilot, "#problem")
        hints = [str(label.render()) for label in pilot.app.screen.query(".hint").results(Static)]
        assert "needs lcsearch[onnx]" in hints
        assert any(trained_on(client.snapshot.session.summary) in hint for hint in hints)
        folder = place / "out]"
        pilot.app.screen.query_one("#folder", Input).value = str(folder)
        await press(pilot, "enter")
        await until(pilot, lambda: "epoch 3/5, about 1 min" in text_of(pilot, "#next"))
        assert client.made("train_final") == [(number, 5, folder, False)]
        at_the_end.outcome = final_done(number, folder)
        at_the_end.ended.set()
        await until(pilot, lambda: not finishing(pilot))
        assert "91.23" in text_of(pilot, "#next")
        assert str(folder) in toasts(pilot)
        assert not any(n.markup for n in pilot.app._notifications if str(folder) in n.message)


async def test_what_is_trained_to_the_end_can_be_cancelled(at_the_end):
    async with console(FakeClient(make_snapshot(), final=at_the_end)) as pilot:
        await press(pilot, "6", "t", "enter")
        await until(pilot, lambda: finishing(pilot))
        await press(pilot, "t")
        await until(pilot, lambda: not finishing(pilot))
        assert "cancelled, nothing was written" in toasts(pilot)
        assert "train it to the end" in text_of(pilot, "#next")


async def test_a_final_training_that_fails_is_told(at_the_end):
    at_the_end.outcome = StoreError("out of memory")
    at_the_end.ended.set()
    async with console(FakeClient(make_snapshot(), final=at_the_end)) as pilot:
        await press(pilot, "6", "t", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "out of memory" in pilot.app.screen.query_one(TextArea).text


async def test_leaving_asks_while_a_network_is_trained_to_the_end(at_the_end):
    client = FakeClient(make_snapshot(running=0, queued=0), final=at_the_end)
    async with console(client) as pilot:
        await press(pilot, "6", "t", "enter")
        await until(pilot, lambda: finishing(pilot))
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, QuitDialog)
        await press(pilot, "escape")
        assert finishing(pilot)
        await press(pilot, "q", "l")
    assert at_the_end.ended.is_set()


# -- regions, strategies, one level ---------------------------------------------------------------


async def test_a_region_is_favoured_and_shown_with_what_it_weighs():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "f")
        assert "e^-0.16" in text_of(pilot, "#meaning")
        pilot.app.screen.query_one("#field-kernel", Input).value = "1,3"
        await press(pilot, "enter")
        assert client.made("favour") == [({"kernel": "1,3"},)]
        await until(
            pilot, lambda: pilot.app.session.snapshot.session.favourite == {"kernel": "1,3"}
        )
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


async def test_a_wrong_domain_is_said_beside_it_and_not_taken():
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


async def test_looking_at_a_region_ranks_it_alone_and_changes_nothing():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        before = client.snapshot
        await press(pilot, "f", "shift+tab", "space")
        pilot.app.screen.query_one("#field-kernel", Input).value = "3"
        await press(pilot, "tab", "enter")
        await until(pilot, lambda: client.looks[-1].get("kernel") == "3" and client.ranked == 2)
        await until(pilot, lambda: not pilot.app.session.ranking_running)
        assert client.snapshot is before
        assert {k for p in pilot.app.session.ranking.proposals for k in p.config["kernel"]} == {3}
        assert text_of(pilot, "#kept-to") == "looking at kernel 3 alone · esc ends it"
        # what is found there is accepted as anything else is
        wanted = pilot.app.session.ranking.proposals[0].id
        await press(pilot, "a")
        assert client.made("accept") == [(wanted, "")]
        await press(pilot, "escape")
        await until(pilot, lambda: "kernel" not in client.looks[-1])
        assert not pilot.app.screen.query_one("#kept-to").display


async def test_searching_a_region_alone_sets_the_domains_that_changed():
    client = FakeClient(make_snapshot(domains={"groups": "1", "conv_layers": "2..4"}))
    async with console(client) as pilot:
        await press(pilot, "f", "shift+tab", "space", "space")
        assert pilot.app.screen.query_one("#field-groups", Input).value == "1"
        pilot.app.screen.query_one("#field-groups", Input).value = ""
        pilot.app.screen.query_one("#field-kernel", Input).value = "1,3"
        await press(pilot, "enter")
        assert client.made("set_domains") == [({"kernel": "1,3", "groups": "default"},)]
        await until(pilot, lambda: client.looks[-1] == {"conv_layers": "2..4", "kernel": "1,3"})


async def test_the_charted_parameter_is_proposed_around_the_selected_candidate():
    client = FakeClient(make_snapshot(level=4, done=(6, 3, 2, 3)))
    async with console(client) as pilot:
        await press(pilot, "right")
        axis = pilot.app.screen._axis[0]
        value = pilot.app.session.ranking.proposals[0].config[axis]
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
def test_a_region_around_a_value_lies_in_the_domain(name, value, text):
    space = cnn_space((1, 8, 8), 10)
    assert around(space[name].domain, value) == text
    assert space.narrowed({name: text})[name].domain.contains(value)


async def test_another_strategy_proposes_without_a_belief():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "m", "e")
        assert client.made("set_strategy") == [("evolution",)]
        await until(pilot, lambda: client.ranked == 2 and not pilot.app.session.ranking_running)
        screen = pilot.app.screen
        assert "by evolution" in str(screen.query_one("SessionLine").render())
        assert "f*" not in str(screen.query_one("SessionLine").render())
        assert "no μ, σ or EI" in text_of(pilot, "#why")
        assert screen.query_one("#belief", Chart).plot is None
        assert "evolution has no belief" in screen.query_one("#belief", Chart).empty
        row = table_of(pilot).rows[0]
        assert row.cells[2:5] == ("–", "–", "–")
        await press(pilot, "a")
        assert client.made("accept")
        assert client.snapshot.decisions[-1].prediction is None
        # an autopilot until flat has nothing to go by
        await press(pilot, "p")
        assert not pilot.app.screen.query("#until-flat")
        await press(pilot, "escape", "r")
        assert {row.cells[3] for row in table_of(pilot).rows} == {"–"}


async def test_the_present_strategy_chosen_again_decides_nothing():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "m", "enter")
        assert not pilot.app.screen.is_modal
        assert client.made("set_strategy") == []


async def test_autopilot_until_flat_and_what_it_decides_is_told():
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "p", "tab", "tab", "space", "tab", "space", "enter")
        assert client.made("autopilot") == [(8, None, "all", True)]
        reason = "at most 0.002 can be gained here, and the noise is 0.003"
        plan = decide.hand_back(client.snapshot, reason)
        client.change(decisions=(*client.snapshot.decisions, plan.decision))
        await until(pilot, lambda: f"Level 2 is ended: {reason}" in toasts(pilot))


async def test_a_flat_session_has_one_level_everywhere():
    client = FakeClient(make_snapshot(level=1, done=(14,), flat=True, trials_per_level=48))
    async with console(client) as pilot:
        levels = str(pilot.app.screen.query_one("LevelsBar").render())
        assert levels.strip() == "◉ All parameters  14 / 48"
        for key in ("right_square_bracket", "left_square_bracket"):
            await press(pilot, key)
            assert not pilot.app.screen.is_modal
        assert "no other level" in toasts(pilot)
        await press(pilot, "e")
        edited = {field.parameter.name for field in pilot.app.screen.query(".field")}
        assert {"conv_layers", "kernel", "classifier_layers", "batch_size"} <= edited
        await press(pilot, "escape", "f")
        assert len(pilot.app.screen.query("RegionDialog #form Input")) == 13
        await press(pilot, "escape", "6")
        assert "All parameters" in text_of(pilot, "#gains")
        assert "Structure" not in text_of(pilot, "#gains")


async def test_the_set_up_takes_a_strategy_and_one_level():
    sessions = FakeHome()
    async with console(sessions=sessions) as pilot:
        await press(pilot, "n")
        trials = pilot.app.screen.query_one("#field-trials", Input)
        pilot.app.screen.query_one("#flat", Cycle).value = True
        await settled(pilot)
        assert trials.value == "48"
        pilot.app.screen.query_one("#flat", Cycle).value = False
        await settled(pilot)
        assert trials.value == "12"
        trials.value = "20"
        pilot.app.screen.query_one("#flat", Cycle).value = True
        pilot.app.screen.query_one("#strategy", Cycle).value = "annealing"
        await settled(pilot)
        await press(pilot, "enter")
        (setup,) = sessions.created
        assert (setup.flat, setup.strategy, setup.trials_per_level) == (True, "annealing", 20)
