"""The fakes of the console decide as the real thing does."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from lcsearch.engine import search
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.snapshot import Plan, Snapshot
from lcsearch.sessions.store import Store

from .fakes import applied
from .sessions_for_tests import filled_store


def plan_of(kind: str, snapshot: Snapshot, luck: random.Random, seen: Snapshot) -> Plan:
    """A decision at random.  seen: an older state, by which some decide too late."""
    space = session_space(snapshot.session)
    base = search.base_trial(snapshot).config
    config = space.sample(np.random.default_rng(luck.randrange(5)), snapshot.session.level, base)
    number = luck.randrange(len(snapshot.trials))
    match kind:
        case "accept":
            return decide.accept(snapshot, space, config, None, reason="why not")
        case "late":
            return decide.accept(seen, space, config, None)
        case "submit":
            return decide.submit(snapshot, space, config, None, kind="new")
        case "reject":
            return decide.reject(snapshot, config, None)
        case "repeat":
            return decide.repeat(snapshot, space, number)
        case "stop":
            return decide.stop(snapshot, number, luck.choice(["epoch", "now", "pause"]))
        case "resume":
            return decide.resume(snapshot, number)
        case "undo":
            return decide.undo(snapshot)
        case "advance":
            return decide.advance(snapshot, number)
        case "reopen":
            return decide.reopen(snapshot, luck.randint(1, 4), number)
        case "wc":
            return decide.set_wc(snapshot, luck.choice([0.0, 0.1, 1.0]))
        case "autopilot":
            return decide.autopilot(snapshot, trials=3)
    return decide.takeover(snapshot)


KINDS = (
    "accept", "late", "submit", "reject", "repeat", "stop", "resume", "undo", "advance", "reopen",
    "wc", "autopilot", "takeover",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_does_in_memory_what_it_does_in_the_file(home: Path, seed: int) -> None:
    luck = random.Random(seed)
    store: Store = filled_store(home, 3)
    fake = seen = store.refresh()
    refused = done = 0
    for _ in range(60):
        try:
            plan = plan_of(luck.choice(KINDS), fake, luck, seen)
        except StoreError:
            continue
        try:
            kept = store.apply(plan)
        except StoreError as error:
            refused += 1
            with pytest.raises(type(error)):
                applied(fake, plan)
            continue
        done += 1
        fake, decision = applied(fake, plan)
        assert decision == kept
        real = store.refresh()
        assert fake.session == real.session
        assert fake.trials == real.trials
        assert fake.decisions == real.decisions
        if luck.random() < 0.2:
            seen = fake
    assert done > 10
    assert refused > 0
    store.close()
