"""Final trainings as the engine does them: in turn, told of, resumed after whatever happens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors import final
from lcsearch.engine.executors.final import (
    Died,
    FinalError,
    Finisher,
    Hindered,
    WrongOrder,
    order,
    wanted,
)
from lcsearch.engine.protocol import FinalDone, FinalEnded, FinalProgress, FinalResult
from lcsearch.engine.tasks.task import open_store
from lcsearch.engine.training.data import read_final
from lcsearch.sessions.errors import Late, StoreError
from lcsearch.sessions.records import DataSource, Delivery
from lcsearch.sessions.store import Store
from lcsearch.tui.commands import follow
from lcsearch.tui.deliveries import in_room, looking, state, together

from .conftest import lcsearch, wait_for
from .fakes import delivery, make_snapshot
from .sessions_for_tests import filled_store, make_store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    store = filled_store(home, 4)
    yield store
    store.close()


def queue(store: Store, folder: Path, trial: int = 1, **more: Any) -> int:
    return store.add_delivery(wanted(store.refresh(), trial, folder, **more)).number


def states(store: Store) -> list[str]:
    return [one.state for one in store.refresh().deliveries]


# -- kept ---------------------------------------------------------------------------------------


def test_it_is_numbered_kept_and_read_again(store: Store, tmp_path: Path) -> None:
    assert [queue(store, tmp_path / name) for name in "ab"] == [1, 2]
    store.update_delivery(2, {"queued"}, state="running", epoch=3)
    again = Store(store.folder)
    assert again.refresh().deliveries == store.refresh().deliveries
    assert [one.epoch for one in again.refresh().deliveries] == [0, 3]
    with pytest.raises(Late, match="final training 2 is running already"):
        store.update_delivery(2, {"queued"}, state="running")
    with pytest.raises(Late, match="no such one"):
        store.update_delivery(3, {"queued"}, state="running")
    again.close()


@pytest.mark.parametrize(
    ("asked", "state"),
    [(None, "interrupted"), ("pause", "paused"), ("now", "stopped"), ("epoch", "stopped")],
)
def test_what_an_engine_left_running_waits_or_ends_as_it_was_asked_to(
    store: Store, tmp_path: Path, asked: str | None, state: str
) -> None:
    queue(store, tmp_path / "a")
    store.update_delivery(1, {"queued"}, state="running", stop_request=asked, seconds_left=9.0)
    assert store.refresh().standing_deliveries[0].state == "interrupted"
    store.serve(1)
    found = store.refresh().deliveries[0]
    assert (found.state, found.stop_request, found.seconds_left) == (state, None, None)
    assert (found.ended is None) == (state != "stopped")


def test_an_engine_does_not_leave_while_one_waits(store: Store, tmp_path: Path) -> None:
    store.serve(1)
    queue(store, tmp_path / "a")
    assert not store.leave("idle", only_if_idle=True)
    store.update_delivery(1, {"queued"}, state="paused")
    assert store.leave("idle", only_if_idle=True)


def test_what_cannot_be_is_refused_when_it_is_asked_for(store: Store, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(WrongOrder, match="not empty"):
        queue(store, tmp_path / "full")
    queue(store, tmp_path / "a")
    with pytest.raises(WrongOrder, match="final training 1 is to be written there"):
        queue(store, tmp_path / "a")
    part = wanted(store.refresh(), 1, tmp_path / "b", seeds=3)
    assert part.seeds == (part.seeds[0], part.seeds[0] + 1, part.seeds[0] + 2)
    assert part.seeds[0] == store.refresh().trials[1].seed


def test_how_often_the_test_set_was_looked_at_is_counted(store: Store, tmp_path: Path) -> None:
    snapshot = store.refresh()
    assert "none of this session was scored on it before" in looking(snapshot.scored)
    for name in "abc":
        queue(store, tmp_path / name, seeds=2)
    store.update_delivery(1, {"queued"}, state="done", scores=(0.9, 0.8))
    store.update_delivery(2, {"queued"}, state="paused", scores=(0.7,))
    snapshot = store.refresh()
    assert "3 trainings of this session were scored on it before" in looking(snapshot.scored)
    # its own first score is none of before
    before = [order(snapshot, one, tmp_path).scored_before for one in snapshot.deliveries]
    assert before == [1, 2, 3]


def test_where_one_of_several_trainings_is_goes_with_it_through_all_its_states() -> None:
    session = make_snapshot().session
    at: dict[str, Any] = {"seeds": (1, 2, 3), "training": 2, "epochs": 200, "epoch": 27}
    told = {"state": "running", "seconds_left": 130.0, "done": 0.4, "loss": 0.5}
    place = "training 2 of 3, epoch 27/200"
    assert state(delivery(**at, state="paused"), session) == f"paused at {place}"
    assert state(delivery(**at, state="interrupted"), session) == f"waits to go on at {place}"
    running = delivery(**{**at, **told})
    assert state(running, session) == f"{place} · loss 0.5000 · about 2 min left"
    soon = delivery(**{**at, **told, "seconds_left": 0.3})
    assert state(soon, session) == f"{place} · loss 0.5000 · a few seconds left"
    last = delivery(**{**at, **told, "training": 3, "epoch": 200, "done": 1.0, "seconds_left": 0})
    assert state(last, session).endswith("epoch 200/200 · loss 0.5000 · testing, writing")
    # the time left is the last to go
    for room in (30, 36, 40, 50, 60, 80):
        words = in_room(running, session, room)
        assert "epoch 27/200 · about 2 min left" in words
        assert ("(trial 1)" in words) == (room > 45)
        assert len(words) <= max(room, 40)


def test_several_networks_are_told_with_the_time_of_all(store: Store) -> None:
    snapshot = store.refresh()
    there = snapshot.session.summary
    both = together(snapshot, [1, 2], there, 100_000, 1)
    assert both.startswith("2 networks, one after another, about ")
    assert both.endswith(" in all.")
    assert "a few seconds in all" in together(snapshot, [1, 2], there, 1, 1)


# -- by the engine ------------------------------------------------------------------------------


class Scripted:
    """A final training that says what it is told to, and ends there."""

    made: ClassVar[list[Scripted]]
    script: ClassVar[list[list[object]]]

    def __init__(self, what: Any, log: Any = None) -> None:
        self.order = what
        self.stops: list[str] = []
        self.closed = False
        self.made.append(self)

    def __iter__(self) -> Iterator[object]:
        for said in self.script.pop(0):
            if isinstance(said, Exception):
                raise said
            yield said

    def stop(self, mode: str) -> None:
        self.stops.append(mode)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    class Fresh(Scripted):
        made: ClassVar[list[Scripted]] = []
        script: ClassVar[list[list[object]]] = []

    monkeypatch.setattr(final, "FinalTraining", Fresh)
    return Fresh


def told(**more: Any) -> FinalProgress:
    return FinalProgress(**{"epoch": 2, "epochs": 5, "done": 0.4, "ended": True, **more})


def done(folder: str) -> FinalDone:
    told: dict[str, Any] = {"scores": (0.9, 0.8), "metric": "accuracy"}
    result = FinalResult.model_construct(**told)
    return FinalDone.model_construct(folder=folder, result=result)


def run(finisher: Finisher, store: Store, over: int) -> None:
    """Turn after turn until so many have ended or paused."""

    def ended() -> bool:
        finisher.turn(store.refresh(), free=True)
        return sum(not one.pending for one in store.refresh().deliveries) >= over

    wait_for(ended)


@pytest.fixture
def finisher(store: Store) -> Iterator[Finisher]:
    with (store.folder / "engine.log").open("ab") as log:
        finisher = Finisher(store, log)
        yield finisher
        finisher.close()


def test_they_come_one_after_another_when_the_machine_is_free(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    folders = [str(tmp_path / name) for name in "ab"]
    for folder in folders:
        queue(store, Path(folder), onnx=True, images="all", epochs=7)
    scripted.script = [[told(), done(folder)] for folder in folders]
    assert finisher.turn(store.refresh(), free=False)
    assert scripted.made == []
    run(finisher, store, 2)
    assert [one.order.folder for one in scripted.made] == folders
    assert {one.order.epochs for one in scripted.made} == {7}
    assert {(one.order.images, one.order.onnx) for one in scripted.made} == {("all", True)}
    first = store.refresh().deliveries[0]
    assert (first.state, first.scores, first.done) == ("done", (0.9, 0.8), 1.0)
    assert (first.epoch, first.started is None, first.ended is None) == (2, False, False)
    assert not finisher.turn(store.refresh(), free=True)


def test_what_is_asked_of_it_is_asked_once_and_its_end_is_kept(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    queue(store, tmp_path / "a")
    scripted.script = [[], [FinalEnded(paused=False)]]
    finisher.turn(store.refresh(), free=True)
    store.update_delivery(1, {"running"}, stop_request="pause")
    for _ in range(3):
        finisher.turn(store.refresh(), free=True)
    assert scripted.made[0].stops == ["pause"]
    finisher._hear(FinalEnded(paused=True))
    assert states(store) == ["paused"]
    assert not finisher.turn(store.refresh(), free=True)
    store.update_delivery(1, {"paused"}, state="interrupted")
    checkpoint = store.folder / "checkpoints" / "final-1-5.pt"
    checkpoint.touch()
    run(finisher, store, 1)
    assert states(store) == ["stopped"]
    assert not checkpoint.exists()


def test_one_that_dies_goes_on_unless_it_comes_no_further(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    queue(store, tmp_path / "a")
    death = Died("its process died: SIGKILL.")
    further = [[told(epoch=epoch), death] for epoch in range(1, 6)]
    scripted.script = [*further, [death], [death]]
    run(finisher, store, 1)
    found = store.refresh().deliveries[0]
    assert found.state == "paused"
    assert "its process died: SIGKILL. So it did 3 times." in found.message
    assert scripted.script == []


def test_a_full_disk_pauses_it_and_other_failures_end_it(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    for name in "ab":
        queue(store, tmp_path / name)
    scripted.script = [
        [Hindered("the disk is full. Make room.")],
        [FinalError("the network diverged.")],
    ]
    run(finisher, store, 2)
    full, failed = store.refresh().deliveries
    assert (full.state, full.message) == ("paused", "the disk is full. Make room. Then resume it.")
    assert (failed.state, failed.message) == ("failed", "the network diverged.")


def test_a_folder_that_was_filled_meanwhile_is_told_before_anything_is_trained(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    queue(store, tmp_path / "a")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    run(finisher, store, 1)
    found = store.refresh().deliveries[0]
    assert found.state == "paused"
    assert found.message.endswith("not empty. Name another folder. Then resume it.")
    assert scripted.made == []


def test_what_was_written_as_the_engine_ended_is_done(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    queue(store, folder)
    scripted.script = [[told(), done(str(folder))]]
    finisher.turn(store.refresh(), free=True)
    finisher.close()  # before the next turn hears of it
    assert states(store) == ["done"]


def test_an_end_that_comes_too_late_ends_no_engine(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    queue(store, tmp_path / "a")
    scripted.script = [[]]
    finisher.turn(store.refresh(), free=True)
    store.update_delivery(1, {"running"}, state="stopped")
    finisher._hear(FinalEnded(paused=False))
    assert states(store) == ["stopped"]


def test_its_own_end_counts_as_no_death(
    store: Store, finisher: Finisher, scripted: type[Scripted], tmp_path: Path
) -> None:
    queue(store, tmp_path / "a")
    death = Died("its process died: SIGTERM.")
    scripted.script = [[death] for _ in range(4)]
    for _ in range(4):  # as where the disk is full: all is closed, and put back
        finisher.turn(store.refresh(), free=True)
        finisher.close()
        store.put_back_delivery(1)
    assert states(store) == ["interrupted"]


def test_it_survives_the_engine_and_its_own_process(home: Path, tmp_path: Path) -> None:
    data = DataSource(spec="digits", train_size=200)
    make_store(home, data=data, summary=read_final(data)[0].summary).close()
    store = open_store(home / "sessions" / "demo")
    told_of = lcsearch(
        "train", "demo", "-t", "0", "--epochs", "400", "--detach", "-o", str(tmp_path / "out")
    )[0]
    assert told_of == "1\n"

    def at_work() -> Delivery | None:
        one = store.refresh().deliveries[0]
        return one if one.epoch > 0 else None

    before = wait_for(at_work)
    engine = store.refresh().engine.pid
    assert engine is not None
    process = next(
        child for child in psutil.Process(engine).children() if final.FINAL in child.cmdline()
    )
    for pid in (engine, process.pid):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: store.refresh().standing_deliveries[0].state == "interrupted")
    assert "waits to go on at epoch" in lcsearch("show", "demo")[0]
    assert "1 to train to the end" in lcsearch("engine", "status", "demo")[0]
    lcsearch("engine", "start", "demo")
    wait_for(lambda: store.refresh().deliveries[0].epoch > before.epoch)
    lcsearch("stop", "demo", "--final", "1", "--when", "now")
    wait_for(lambda: states(store) == ["stopped"])
    assert not (tmp_path / "out").exists()
    lcsearch("engine", "stop", "demo")
    store.close()


def test_a_folder_that_is_taken_says_how_to_go_on_with_what_takes_it(
    store: Store, tmp_path: Path
) -> None:
    queue(store, tmp_path / "a")
    with pytest.raises(WrongOrder, match="`lcsearch engine start demo` goes on with it"):
        queue(store, tmp_path / "a")
    store.update_delivery(1, {"queued"}, state="paused")
    with pytest.raises(WrongOrder, match="`lcsearch resume demo --final 1` goes on with it"):
        queue(store, tmp_path / "a")
    with pytest.raises(WrongOrder, match="`lcsearch stop demo --final 1` gives it up"):
        queue(store, tmp_path / "a")


def test_one_that_waits_for_an_engine_that_is_gone_says_how_to_go_on_and_how_to_give_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0)
    queue(store, tmp_path / "a")
    client = SessionClient(store.folder)
    with pytest.raises(StoreError) as said:
        follow.follow_deliveries(client, [1])
    client.close()
    assert "`lcsearch engine start demo` trains what waits" in str(said.value)
    assert "`lcsearch stop demo --final 1` gives final training 1 up." in str(said.value)
