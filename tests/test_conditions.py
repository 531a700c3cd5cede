"""What a trial was timed under is recorded, and a disturbed measurement is marked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from lcsearch.engine.training.conditions import Watch, judged
from lcsearch.sessions.exchange import document
from lcsearch.sessions.records import Conditions, Epoch, now

from .sessions_for_tests import MACHINE, filled_store


def epochs(*pairs: tuple[float, float], resumed: Collection[int] = ()) -> list[Epoch]:
    """Epochs of so many seconds, the reference's beside them."""
    return [
        Epoch(
            epoch=at,
            train_loss=1,
            val_accuracy=0.5,
            seconds=seconds,
            reference_seconds=beside,
            resumed=at in resumed,
        )
        for at, (seconds, beside) in enumerate(pairs, start=1)
    ]


def judge(
    *pairs: tuple[float, float], resumed: Collection[int] = (), steal: float | None = None
) -> Conditions:
    return judged(epochs(*pairs, resumed=resumed), load=1.0, steal=steal, clock=None)


def test_a_steady_trial_is_not_disturbed() -> None:
    found = judge((2, 1), (2.1, 1), (2, 1.02), steal=0.01)
    assert found.disturbed == ()
    assert found.variation == pytest.approx(0.0485, abs=1e-3)
    assert found.moved == pytest.approx(1.02)


def test_cold_epochs_do_not_count() -> None:
    assert judge((9, 1), (2, 1), (2, 1), (9, 1), resumed=(4,)).disturbed == ()
    assert judge((9, 1), (2, 1)).variation is None


def test_a_machine_that_slows_both_alike_leaves_the_ratio_but_is_told() -> None:
    found = judge((2, 1), (2, 1), (3.2, 1.6))
    assert found.variation == pytest.approx(0, abs=1e-9)
    assert found.disturbed == ("the machine's speed changed 1.6-fold",)


def test_a_cost_that_varies_and_a_processor_that_is_taken() -> None:
    assert judge((2, 1), (2, 1), (2.6, 1)).disturbed == (
        "its cost varied by 18% from epoch to epoch",
    )
    assert judge((2, 1), (2, 1), (2, 1), steal=0.2).disturbed == (
        "other machines took 20% of the processors",
    )


def test_the_machine_is_read_from_proc(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 800 0 0 0 50 0 0\ncpu0 1 2 3\n")
    (tmp_path / "cpuinfo").write_text("model name : x\ncpu MHz : 2000.5\ncpu MHz\t: 3000.5\n")
    watch = Watch(tmp_path)
    watch.look()
    watch.look()
    stat.write_text("cpu  150 0 110 820 0 0 0 70 0 0\n")
    found = watch.conditions(epochs((2, 1)))
    assert found.steal == pytest.approx(0.2)
    assert found.clock == pytest.approx(2500.5)
    assert found.load is not None


def test_a_machine_without_proc_records_what_it_can(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "none")
    watch.look()
    found = watch.conditions(epochs((2, 1), (2, 1), (2, 1)))
    assert (found.steal, found.clock) == (None, None)
    assert found.variation == 0


def test_it_is_kept_with_the_trial_and_exported(home: Path) -> None:
    store = filled_store(home, 1)
    assert store.refresh().trials[0].disturbed == ()
    conditions = Conditions(load=3.0, disturbed=("somebody else worked",))
    machine = MACHINE.model_copy(update={"conditions": conditions})
    store.update_trial(1, {"done"}, machine=machine, ended=now())
    snapshot = store.refresh()
    assert snapshot.trials[1].disturbed == ("somebody else worked",)
    exported = document(
        snapshot, domains={}, level_names=["a"], objectives={0: None, 1: None}, best=None,
        belief=None, best_measured=None,
    )  # fmt: skip
    told = exported.model_dump(mode="json")["trials"][1]["machine"]["conditions"]
    assert told["disturbed"] == ["somebody else worked"]
