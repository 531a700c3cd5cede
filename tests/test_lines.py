"""What `list` and `show` say of sessions and trials, line by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import Conditions, DataSource

from .conftest import lcsearch
from .sessions_for_tests import MACHINE, filled_store, finish, make_store

LONG = "idx:/somewhere/a-folder-with-a-long-name/and-another-one/fashion"


def said(*given: str) -> str:
    return lcsearch(*given)[0]


def test_the_columns_of_list_stand_though_the_data_have_a_long_name(home: Path) -> None:
    filled_store(home, 1, name="one", data=DataSource(spec=LONG)).close()
    filled_store(home, 1, name="two").close()
    first, second = said("list").splitlines()
    assert first.endswith(LONG)
    assert first.index("best measured") == second.index("best measured")
    assert first.index(LONG) == second.index("digits")


def test_show_says_interrupted_of_what_a_killed_engine_left_running(home: Path) -> None:
    store = make_store(home)
    store.update_trial(0, {"queued"}, state="running", attempt=1)
    store.close()
    line = next(line for line in said("show", "demo").splitlines() if line.startswith("   0 L0"))
    assert "interrupted" in line
    (found,) = json.loads(said("show", "demo", "--filter", "state=interrupted", "--json"))
    assert found["state"] == "interrupted"
    # an export keeps what is stored
    assert json.loads(said("export", "demo"))["trials"][0]["state"] == "running"


@pytest.mark.parametrize("measure", ["seconds", "params", "macs"])
def test_a_disturbed_time_alarms_only_where_time_is_the_cost(home: Path, measure: str) -> None:
    store = make_store(home, measure=measure)
    finish(store, 0)
    moved = MACHINE.model_copy(update={"conditions": Conditions(disturbed=("its cost varied",))})
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    own = space.completed({"conv_layers": 2}, snapshot.trials[0].config)
    store.apply(decide.submit(snapshot, space, own, None, kind="new"))
    finish(store, 1)
    store.update_trial(1, {"done"}, machine=moved)
    store.close()
    line = next(line for line in said("show", "demo").splitlines() if line.startswith("   1 L1"))
    assert ("disturbed" in line) == (measure == "seconds")
    assert (" MACs" in line) == (measure == "macs")
