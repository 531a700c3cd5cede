"""A session as a table for data frames: a trial a row, read back by pandas."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lcsearch.engine.client.frame import as_csv, free_text
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search import decide, objective
from lcsearch.engine.tasks import task
from lcsearch.engine.tasks.domains import Integer
from lcsearch.engine.tasks.face import Problem
from lcsearch.engine.tasks.measure import Measure
from lcsearch.engine.tasks.parameter import Parameter, entry_name
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import Conditions, Failure, now
from lcsearch.sessions.snapshot import Snapshot

from . import toy
from .conftest import lcsearch
from .fakes import changed, make_snapshot
from .sessions_for_tests import MACHINE, filled_store, finish, make_store, trial_of

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "commands.md"


def read(snapshot: Snapshot) -> pd.DataFrame:
    text = as_csv(snapshot, session_space(snapshot.session))
    return pd.read_csv(io.StringIO(text))


def empty(value: object) -> bool:
    return bool(pd.isna(value))


def test_every_trial_is_a_row_with_every_figure() -> None:
    snapshot = make_snapshot(failed=1)
    session, frame = snapshot.session, read(snapshot)
    space = session_space(session)
    assert list(frame["trial"]) == [trial.number for trial in snapshot.trials]
    assert len(set(frame.columns)) == len(frame.columns)
    for row, trial in zip(frame.to_dict("records"), snapshot.trials, strict=True):
        for column in ("level", "state", "source", "seed"):
            assert row[column] == getattr(trial, column)
        assert row["epochs"] == len(trial.epochs)
        for name, value in trial.config.items():
            if space[name].asleep:  # it is at its neutral value in every row
                assert space[name].is_neutral(value)
                assert not any(column.partition("[")[0] == name for column in row)
                continue
            if not isinstance(value, list):
                assert row[name] == value
                continue
            for index in itertools.count():
                column = entry_name(name, index)
                if column not in row:
                    assert index >= len(value)
                    break
                # a layer that the network has not is an empty cell
                assert empty(row[column]) if index >= len(value) else row[column] == value[index]
        for name, cost in trial.costs.items():
            assert row[name] == pytest.approx(cost)
        for name, cost in trial.reference_costs.items():
            assert row[f"reference_{name}"] == pytest.approx(cost)
        if trial.error is None:
            assert all(empty(row[column]) for column in ("error", "accuracy", "f"))
        else:
            assert row["accuracy"] == pytest.approx(1 - trial.error)
            assert row["f"] == pytest.approx(objective(trial, session.wc))
            assert row["complexity"] == pytest.approx(trial.complexity)
        if trial.prediction is None:
            assert empty(row["predicted_mean"])
        else:
            assert row["predicted_mean"] == trial.prediction.mean
            assert row["predicted_error"] == trial.prediction.error
            assert row["predicted_ei"] == trial.prediction.ei
            assert row["predicted_wc"] == trial.prediction.wc
        failure = trial.failure
        assert empty(row["failure"]) if failure is None else row["failure"] == failure.kind


def test_columns_have_the_types_that_are_expected(home: Path) -> None:
    store = filled_store(home, trials=3)
    frame = read(store.refresh())
    for column in ("trial", "level", "seed", "epochs", "params", "macs", "size", "channels[1]"):
        assert pd.api.types.is_integer_dtype(frame[column]), column
    for column in ("error", "accuracy", "seconds", "reference_seconds", "complexity", "f"):
        assert pd.api.types.is_float_dtype(frame[column]), column
    assert pd.api.types.is_bool_dtype(frame["batch_norm[1]"])
    for column in ("created", "started", "ended"):
        moments = pd.to_datetime(frame[column])
        assert str(moments.dt.tz) == "UTC"
        assert not moments.isna().any()
    # `none` is a value of it, and no empty cell
    assert set(frame["downsample[1]"]) <= {"none", "pool", "stride"}
    nullable = pd.read_csv(
        io.StringIO(as_csv(store.refresh(), session_space(store.refresh().session))),
        dtype_backend="numpy_nullable",
    )
    assert str(nullable["decision"].dtype) == "Int64"
    store.close()


def test_who_decided_and_why_stands_beside_the_trial(home: Path) -> None:
    store = make_store(home)
    finish(store, 0)
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    config = {**snapshot.trials[0].config, "weight_decay": 0.001}
    store.apply(
        decide.submit(snapshot, space, config, None, kind="new", reason='=1+1\nand, "more"')
    )
    finish(store, 1, 0.2, 0.5)
    again = trial_of(store.apply(decide.repeat(store.refresh(), space, 1, "Größe zählt")))
    frame = read(store.refresh()).set_index("trial")
    assert empty(frame["decision"][0])
    assert frame["kind"][1] == "new"
    assert frame["by"][1] == "person"
    assert frame["source"][1] == "manual"
    assert frame["reason"][1] == '\'=1+1 and, "more"'
    assert frame["kind"][again] == "repeat"
    assert frame["repeat_of"][again] == 1
    assert frame["reason"][again] == "Größe zählt"
    assert frame["state"][again] == "queued"
    store.close()


def test_every_column_is_told_in_the_documents() -> None:
    told = DOCUMENT.read_text(encoding="utf-8")
    snapshot = make_snapshot()
    parameters = {parameter.name for parameter in session_space(snapshot.session).parameters}
    for column in read(snapshot).columns:
        if column.partition("[")[0] not in parameters:
            assert f"`{column}`" in told, column


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" \t=1", "'=1"),
        ("\r\n=1\r=2", "'=1 =2"),
        ("a = b", "a = b"),
        ("", ""),
        ("a\x1b[2Jb\ud800", "a�[2Jb�"),
    ],
)
def test_what_people_wrote_runs_nowhere(text: str, told: str) -> None:
    assert free_text(text) == told


def test_a_failure_and_a_disturbed_time_are_told() -> None:
    conditions = Conditions(disturbed=("the clock moved", "-5 % of it was stolen"))
    machine = MACHINE.model_copy(update={"conditions": conditions})
    snapshot = changed(make_snapshot(), 2, machine=machine)
    sound = MACHINE.model_copy(update={"conditions": Conditions()})
    snapshot = changed(snapshot, 3, machine=sound)
    failure = Failure(kind="memory", message="-no memory was left. Use fewer channels.")
    frame = read(changed(snapshot, 1, state="failed", failure=failure)).set_index("trial")
    assert frame["disturbed"][2] == True  # noqa: E712 - as pandas has it
    assert frame["disturbance"][2] == "the clock moved; -5 % of it was stolen"
    assert frame["disturbed"][3] == False  # noqa: E712
    assert empty(frame["disturbed"][1])
    assert frame["failure"][1] == "memory"
    assert frame["message"][1] == "'-no memory was left. Use fewer channels."


def test_a_weight_of_the_cost_alone_is_read_as_infinite() -> None:
    snapshot = make_snapshot()
    belief = snapshot.trials[2].prediction
    assert belief is not None
    alone = belief.model_copy(update={"wc": float("inf")})
    frame = read(changed(snapshot, 2, prediction=alone)).set_index("trial")
    assert frame["predicted_wc"][2] == float("inf")


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy task is known here, with a parameter of layers and a measure more than elsewhere."""
    space = toy.TOY.space

    def wider(problem: Problem, domains: Mapping[str, str]) -> Space:
        made = space(problem, domains)
        more = Parameter("y", 1, Integer(1, 9), 5, length="n", offset=-2)
        assert made.reference is not None
        reference = {**made.reference, "y": [5, 5]}
        return replace(made, parameters=(*made.parameters, more), reference=reference)

    dust = Measure("dust", "dust", "g", "dust", "seconds", "grams")
    known = replace(toy.TOY, space=wider, measures=(*toy.TOY.measures, dust))
    monkeypatch.setitem(task.TASKS, "toy", known)
    task._kept_space.cache_clear()
    yield
    task._kept_space.cache_clear()


def test_a_new_parameter_and_a_new_measure_appear_by_themselves(home: Path, toys: None) -> None:
    store = make_store(home, task="toy", measure="effort")
    first = store.refresh().trials[0]
    store.update_trial(
        0,
        {"queued"},
        state="done",
        ended=now(),
        error=0.2,
        complexity=1.0,
        costs={**first.costs, "heat": 8.0, "dust": 0.25},
        reference_costs={"heat": 8.0, "dust": 0.5},
    )
    store.close()
    client = SessionClient(home / "sessions" / "demo")
    frame = pd.read_csv(io.StringIO(client.table()))
    client.close()
    (row,) = frame.to_dict("records")
    assert (row["x"], row["n"], row["y[1]"], row["y[2]"]) == (0.5, 4, 5, 5)
    assert (row["effort"], row["heat"], row["dust"]) == (60, 8.0, 0.25)
    assert (row["reference_heat"], row["reference_dust"]) == (8.0, 0.5)
    assert "reference_effort" not in row  # arithmetic needs none beside it
    assert "y[3]" not in row


def test_it_is_written_by_a_command_beside_the_json_or_alone(home: Path, tmp_path: Path) -> None:
    filled_store(home, trials=2).close()
    table, whole = tmp_path / "demo.csv", tmp_path / "demo.json"
    out, said = lcsearch("export", "demo", "--csv", str(table))
    assert out == ""
    assert f"written to {table}" in said.replace("\n", "")
    written = table.read_bytes()
    assert b"\r" not in written
    assert written.endswith(b"\n")
    assert len(pd.read_csv(table)) == 3
    assert lcsearch("export", "demo", "--csv", "-")[0].encode() == written
    table.unlink()
    lcsearch("export", "demo", "--csv", str(table), "-o", str(whole))
    assert table.read_bytes() == written
    assert len(json.loads(whole.read_text())["trials"]) == 3
    assert json.loads(lcsearch("export", "demo")[0])["trials"]


def test_what_cannot_be_written_is_said_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    filled_store(home, trials=1).close()
    same = str(tmp_path / "a")
    said = lcsearch("export", "demo", "--csv", same, "-o", same, code=2)[1]
    assert "Give two files" in said
    missing = tmp_path / "no" / "demo.csv"
    assert "no such folder" in lcsearch("export", "demo", "--csv", str(missing), code=2)[1]
    assert "is a folder" in lcsearch("export", "demo", "--csv", str(tmp_path), code=2)[1]
    assert not missing.exists()
    assert not (tmp_path / "a").exists()
