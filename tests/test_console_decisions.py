"""Each decision that a key makes reaches the client, once and as it was meant."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.screens.workbench import WorkbenchScreen
from lcsearch.tui.widgets.chart import Chart

from .consoles import (
    console,
    held_threads,
    press,
    ranking_of,
    snapshot_of,
    table_of,
    text_of,
    toasts,
    two_sessions,
    typed,
    until,
)
from .fakes import FakeClient, make_snapshot


async def test_accept_queues_the_selected_candidate() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        wanted = ranking_of(pilot).proposals[2].id
        await press(pilot, "j", "j", "a")
        assert client.made("accept") == [(wanted, "")]
        assert "Trial 22 is queued" in toasts(pilot)
        # the next ranking knows that it is pending
        await until(pilot, lambda: client.ranked == 2 and not pilot.app.session.ranking_running)


async def test_a_second_press_on_the_same_candidate_is_not_a_second_trial() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        client.slow = threading.Event()
        await press(pilot, "a", "a")
        assert len(client.made("accept")) == 1
        assert "decided already" in toasts(pilot)
        client.slow.set()


async def test_a_ranking_begun_before_the_decision_does_not_offer_it_again() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        old = ranking_of(pilot)
        client.slow = threading.Event()
        await press(pilot, "a")
        await until(pilot, lambda: len(snapshot_of(pilot).trials) == len(client.snapshot.trials))
        pilot.app.session.ranking = replace(old, seconds=9.9)  # it was on its way already
        await press(pilot, "g", "a")
        assert len(client.made("accept")) == 1
        assert "decided already" in toasts(pilot)
        client.slow.set()


async def test_a_network_that_is_a_trial_already_is_no_failure() -> None:
    known = "trial 7 is this very network (done). Repeat it."
    client = FakeClient(make_snapshot(), known=known)
    async with console(client) as pilot:
        await press(pilot, "a")
        await until(pilot, lambda: known.removeprefix("t") in toasts(pilot))
        assert isinstance(pilot.app.screen, WorkbenchScreen)


async def test_reject_keeps_the_reason() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        wanted = ranking_of(pilot).proposals[0].id
        await press(pilot, "x")
        await pilot.press(*"too deep")
        await press(pilot, "enter")
        assert client.made("reject") == [(wanted, "too deep")]


async def test_repeat_asks_which_trial_and_proposes_the_incumbent() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        number = ranking_of(pilot).incumbent_number
        await press(pilot, "r", "enter")
        assert client.made("repeat") == [(number, "")]


@pytest.mark.parametrize(("key", "mode"), [("e", "epoch"), ("n", "now"), ("p", "pause")])
async def test_stop_offers_the_running_trial_three_ends(key: str, mode: str) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "s", key)
        assert client.made("stop") == [(19, mode, "")]


async def test_stop_withdraws_what_is_queued_and_resumes_what_is_paused() -> None:
    snapshot = make_snapshot(running=0, queued=1)
    paused = snapshot.trials[18].model_copy(update={"state": "paused"})
    trials = (*snapshot.trials[:18], paused, *snapshot.trials[19:])
    client = FakeClient(replace(snapshot, trials=trials))
    async with console(client) as pilot:
        await press(pilot, "s", "down", "down", "enter")
        assert client.made("stop") == [(19, "now", "")]
        assert client.snapshot.trials[19].state == "cancelled"
        await press(pilot, "s", "r")
        assert client.made("resume") == [(18,)]
        assert client.snapshot.trials[18].state == "interrupted"


async def test_undo_says_what_it_undid() -> None:
    client = FakeClient(make_snapshot(queued=1))
    async with console(client) as pilot:
        await press(pilot, "u")
        assert client.made("undo") == [()]
        assert "trial 20" in toasts(pilot)


async def test_undo_with_nothing_to_undo_says_so() -> None:
    client = FakeClient(make_snapshot(queued=0))
    async with console(client) as pilot:
        await press(pilot, "u")
        assert client.made("undo") == []
        assert "Nothing can be undone" in toasts(pilot)


async def test_undo_names_what_came_before_a_trial_that_started_and_asked_again_takes_it_back() -> (
    None
):
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


async def test_a_decision_that_comes_too_late_is_told_in_a_dialog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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


async def test_export_asks_before_it_writes_over_a_file(tmp_path: Path) -> None:
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


async def test_yank_copies_the_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        copied: list[str] = []
        monkeypatch.setattr(pilot.app, "copy_to_clipboard", copied.append)
        await press(pilot, "j", "y")
        assert json.loads(copied[0])["id"] == ranking_of(pilot).proposals[1].id


async def test_a_decision_is_taken_in_the_session_it_was_made_in() -> None:
    sessions = two_sessions()
    one, other = sessions.clients["alpha"], sessions.clients["beta"]
    async with console(sessions=sessions, name="alpha") as pilot:
        with held_threads() as let_go:
            await pilot.press("a")
            await pilot.app.session._opened(other, other.snapshot, pilot.app.session._asked)
            let_go.set()
            await until(pilot, lambda: bool(one.made("accept")))
        assert other.made("accept") == []


async def test_undo_undoes_what_stood_last_when_it_was_pressed_or_nothing() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        with held_threads() as let_go:
            await pilot.press("u")
            client.set_wc(0.5)
            let_go.set()
            await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert [d.kind for d in client.snapshot.decisions].count("undo") == 0


async def test_enter_chooses_in_the_reason_of_a_stop_too() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "s", "tab")
        await typed(pilot, "slow")
        await press(pilot, "enter")
        ((_, mode, reason),) = client.made("stop")
        assert (mode, reason) == ("epoch", "slow")


async def test_another_strategy_proposes_without_a_belief() -> None:
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


async def test_the_present_strategy_chosen_again_decides_nothing() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "m", "enter")
        assert not pilot.app.screen.is_modal
        assert client.made("set_strategy") == []
