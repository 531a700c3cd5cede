"""The end of a search: the best network is trained to the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static, TextArea

from lcsearch.engine.protocol import FinalDone, FinalProgress, FinalResult, trained_on
from lcsearch.sessions.errors import StoreError
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.dialogs.quit import QuitDialog

from .consoles import ConsolePilot, console, press, ranking_of, text_of, toasts, until
from .fakes import FakeClient, FakeFinal, make_snapshot


def final_done(number: int, folder: Path) -> FinalDone:
    told: dict[str, Any] = {
        "trial": number,
        "test_accuracy": 0.9123,
        "metric": "accuracy",
        "test_metric": 0.9123,
    }
    result = FinalResult.model_construct(**told)
    return FinalDone.model_construct(folder=str(folder), result=result)


def finishing(pilot: ConsolePilot) -> bool:
    return bool(pilot.app.session.finishing is not None and pilot.app.session.finishing.at_work)


@pytest.fixture
def at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeFinal:
    """Where folders are proposed, and how far a final training is."""
    monkeypatch.chdir(tmp_path)
    said = FinalProgress(epoch=3, epochs=5, done=0.6, train_loss=0.2, seconds_left=80)
    return FakeFinal((said,))


async def test_the_best_network_is_trained_to_the_end(
    at_the_end: FakeFinal, tmp_path: Path
) -> None:
    client = FakeClient(make_snapshot(), final=at_the_end)
    async with console(client) as pilot:
        number = ranking_of(pilot).incumbent_number
        assert number is not None
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


async def test_what_is_trained_to_the_end_can_be_cancelled(at_the_end: FakeFinal) -> None:
    async with console(FakeClient(make_snapshot(), final=at_the_end)) as pilot:
        await press(pilot, "6", "t", "enter")
        await until(pilot, lambda: finishing(pilot))
        await press(pilot, "t")
        await until(pilot, lambda: not finishing(pilot))
        assert "cancelled, nothing was written" in toasts(pilot)
        assert "train it to the end" in text_of(pilot, "#next")


async def test_a_final_training_that_fails_is_told(at_the_end: FakeFinal) -> None:
    at_the_end.outcome = StoreError("out of memory")
    at_the_end.ended.set()
    async with console(FakeClient(make_snapshot(), final=at_the_end)) as pilot:
        await press(pilot, "6", "t", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        assert "out of memory" in pilot.app.screen.query_one(TextArea).text


async def test_leaving_asks_while_a_network_is_trained_to_the_end(at_the_end: FakeFinal) -> None:
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
