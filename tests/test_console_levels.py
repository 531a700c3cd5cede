"""From one level to the next, and back."""

from __future__ import annotations

import pytest

from lcsearch.tui.dialogs.choice import Choices
from lcsearch.tui.dialogs.edit import ChoiceField, NumberField
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.dialogs.trials import TrialDialog
from lcsearch.tui.widgets.keys import KeyBar

from .consoles import console, held_threads, press, ranking_of, table_of, text_of, toasts, until
from .fakes import FakeClient, empty_snapshot, make_snapshot


async def test_advance_carries_the_chosen_trial() -> None:
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "right_square_bracket")
        assert isinstance(pilot.app.screen, TrialDialog)
        assert "③ Classifier" in str(pilot.app.screen.query_one(".dialog").border_title)
        table = table_of(pilot)
        assert table.cursor_key == str(ranking_of(pilot).incumbent_number)
        await press(pilot, "j")
        chosen = int(table.cursor_key)
        await press(pilot, "enter")
        assert client.made("advance") == [(chosen,)]


async def test_the_last_level_has_no_next_one() -> None:
    client = FakeClient(make_snapshot(level=4, done=(4, 2, 2, 1)))
    async with console(client) as pilot:
        await press(pilot, "right_square_bracket")
        assert not pilot.app.screen.is_modal
        assert "last level" in toasts(pilot)


async def test_an_earlier_level_is_opened_from_a_chosen_trial() -> None:
    client = FakeClient(make_snapshot(level=3, done=(4, 2, 1)))
    async with console(client) as pilot:
        number = ranking_of(pilot).incumbent_number
        await press(pilot, "left_square_bracket", "1")
        await press(pilot, "enter")
        assert client.made("reopen") == [(1, number)]


async def test_the_present_level_goes_on_from_another_trial() -> None:
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
        await press(pilot, "down")
        key = table_of(pilot).cursor_key
        assert key is not None
        chosen = int(key)
        assert chosen != client.snapshot.session.bases[3]
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
async def test_levels_are_offered_where_there_are_some(
    client: FakeClient, next_level: bool, again: bool
) -> None:
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


async def test_the_next_level_is_offered_no_more_once_the_last_is_reached() -> None:
    client = FakeClient(make_snapshot(level=3, done=(4, 2, 1)))
    async with console(client) as pilot:
        bar = pilot.app.screen.query_one(KeyBar)
        assert "] Next level" in str(bar.render())
        client.elsewhere(level=4)
        await until(pilot, lambda: "] Next level" not in str(bar.render()))


async def test_the_level_that_is_left_is_the_one_that_was_shown() -> None:
    client = FakeClient(make_snapshot(level=2))
    async with console(client) as pilot:
        await press(pilot, "right_square_bracket")
        with held_threads() as let_go:
            await pilot.press("enter")
            client.elsewhere(level=3)
            let_go.set()
            await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert client.snapshot.session.level == 3


async def test_a_flat_session_has_one_level_everywhere() -> None:
    client = FakeClient(make_snapshot(level=1, done=(14,), flat=True, trials_per_level=48))
    async with console(client) as pilot:
        levels = str(pilot.app.screen.query_one("LevelsBar").render())
        assert levels.strip() == "◉ All parameters  14 / 48"
        for key in ("right_square_bracket", "left_square_bracket"):
            await press(pilot, key)
            assert not pilot.app.screen.is_modal
        assert "no other level" in toasts(pilot)
        await press(pilot, "e")
        edited = set()
        for field in pilot.app.screen.query(".field"):
            assert isinstance(field, NumberField | ChoiceField)
            edited.add(field.parameter.name)
        assert {"conv_layers", "kernel", "classifier_layers", "batch_size"} <= edited
        await press(pilot, "escape", "f")
        assert len(pilot.app.screen.query("RegionDialog #form Input")) == 13
        await press(pilot, "escape", "6")
        assert "All parameters" in text_of(pilot, "#gains")
        assert "Structure" not in text_of(pilot, "#gains")
