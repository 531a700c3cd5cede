"""Following a search from the command line: what its lines say."""

from dataclasses import replace

import pytest

from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import Failure
from lcsearch.sessions.snapshot import EngineStatus, Snapshot
from lcsearch.tui.commands import follow as progress

from .fakes import FakeClient, make_snapshot

MESSAGE = "channels[2] = 33: [bold]not divisible[/bold] by groups[2]; " + "long " * 40 + "end [/]"


class Ending(FakeClient):
    """Its last trial fails between the first look and the second."""

    after: Snapshot

    def refresh(self) -> Snapshot:
        seen, self.snapshot = self.snapshot, self.after
        return seen


def follow(client: FakeClient) -> int:
    return progress.follow(client, lambda: None)


def test_the_wheel_is_taken_back_however_soon_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = FakeClient(make_snapshot())

    def begin() -> None:
        client.autopilot(trials=3)
        raise KeyboardInterrupt

    assert progress.follow(client, begin) == 1
    assert client.snapshot.session.autopilot is None
    assert "autopilot off" in capsys.readouterr().err


def test_a_failure_is_told_in_one_line_with_its_brackets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    after = make_snapshot(running=0, queued=0, failed=1)
    failed = after.trials[-1]
    assert failed.failure is not None
    told = failed.model_copy(update={"failure": Failure(kind="exception", message=MESSAGE)})
    client = Ending(replace(after, trials=after.trials[:-1]))
    client.after = replace(after, trials=(*after.trials[:-1], told))
    assert follow(client) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(MESSAGE in line for line in lines)
    at = next(at for at, line in enumerate(lines) if line.startswith("best network: trial "))
    assert lines[at].endswith(", the best measured")
    assert lines[at + 1].endswith(" parameters")
    assert len(lines[at + 1]) > 80


def test_an_engine_that_ends_meanwhile_is_told_with_what_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.0)
    client = FakeClient(make_snapshot())
    client.change(engine=EngineStatus(False, "failed", 4711, "KeyError('x')"))
    with pytest.raises(StoreError) as caught:
        follow(client)
    told = str(caught.value)
    assert "engine 4711 failed: KeyError('x'). `lcsearch engine start fashion` trains what" in told
    assert "the engine's last words" in told


def test_of_an_engine_that_was_killed_no_log_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.0)
    client = FakeClient(make_snapshot())
    client.change(engine=EngineStatus(False, "serving", 4711))
    with pytest.raises(StoreError) as caught:
        follow(client)
    assert "engine 4711 is gone: it was killed" in str(caught.value)
    assert "the engine's last words" not in str(caught.value)
