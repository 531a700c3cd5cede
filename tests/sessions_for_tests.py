"""Sessions made of records alone: no data is read and nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lcsearch.engine import search
from lcsearch.engine.executors.final import order, wanted
from lcsearch.engine.protocol import FinalOrder
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import (
    DataSource,
    DataSummary,
    Decision,
    Epoch,
    Machine,
    Session,
    now,
)
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.sessions.store import Store

SUMMARY = DataSummary(
    channels=1, height=8, width=8, classes=10, train=1150, val=288, test=359, fingerprint="f" * 64
)
MACHINE = Machine(processor="a processor", device="cpu", threads=2, dtype="float32", torch="2")


def make_session(name: str = "demo", **fields: Any) -> Session:
    values: dict[str, Any] = {
        "data": DataSource(spec="digits"),
        "summary": SUMMARY,
        "epochs": 3,
        **fields,
    }
    return Session(name=name, created=now(), **values)


def make_store(home: Path, name: str = "demo", **fields: Any) -> Store:
    """A session in its file, its reference network queued."""
    session = make_session(name, **fields)
    first = decide.reference_trial(session, session_space(session))
    return Store.create(home / "sessions" / name, session, first)


def trial_of(decision: Decision) -> int:
    """The trial that a decision queued."""
    assert decision.trial is not None
    return decision.trial


def finish(store: Store, number: int, error: float = 0.1, ratio: float = 1.0) -> None:
    """Let a queued trial run to its end with these figures."""
    trial = store.refresh().trials[number]
    store.update_trial(number, {"queued", "interrupted"}, state="running", attempt=1, started=now())
    for epoch in range(1, store.refresh().session.epochs + 1):
        record = Epoch(
            epoch=epoch,
            train_loss=1 / epoch,
            val_accuracy=1 - error - 0.01 * (store.refresh().session.epochs - epoch),
            seconds=0.5 * ratio,
            reference_seconds=0.5,
            val_metric=None if store.refresh().session.metric == "accuracy" else 1 - error,
        )
        assert store.add_epoch(number, 1, record)
    store.update_trial(
        trial.number,
        {"running"},
        state="done",
        ended=now(),
        error=error,
        complexity=ratio,
        costs={**trial.costs, "seconds": 0.5 * ratio},
        reference_costs={"seconds": 0.5},
        machine=MACHINE,
    )


def filled_store(home: Path, trials: int = 6, **fields: Any) -> Store:
    """A session with its reference and some sampled networks of level 1 done."""
    store = make_store(home, **fields)
    finish(store, 0)
    space = session_space(store.refresh().session)
    rng = np.random.default_rng(0)
    for _ in range(trials):
        snapshot = store.refresh()
        config = space.sample(rng, snapshot.session.level, search.base_trial(snapshot).config)
        number = trial_of(store.apply(decide.accept(snapshot, space, config, None)))
        finish(store, number, float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.4, 2)))
    return store


def final_order(
    snapshot: Snapshot, number: int, epochs: int, folder: Path, **more: Any
) -> FinalOrder:
    """A final training of a trial on the session's images, its checkpoints beside its folder.

    more: as `executors.final.wanted` takes it.
    """
    checkpoints = folder.parent / "checkpoints" / folder.name
    checkpoints.mkdir(parents=True, exist_ok=True)
    delivery = wanted(snapshot, number, folder, epochs=epochs, **{"images": "session", **more})
    return order(snapshot, delivery, checkpoints)
