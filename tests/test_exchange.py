"""The JSON export: everything is in it, nothing in it is no JSON, and its schema holds."""

import json
from pathlib import Path

import jsonschema
import pytest

from lcsearch.engine.client.session import SessionClient
from lcsearch.sessions import exchange
from lcsearch.sessions.errors import Misuse, StoreError

from .sessions_for_tests import filled_store, make_store

SCHEMA = Path(__file__).resolve().parent.parent / "docs" / "session.schema.json"


def test_the_committed_schema_is_the_records_own() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == exchange.schema(), (
        "the records have changed: write docs/session.schema.json anew with `lcsearch schema`"
    )


@pytest.mark.parametrize("trials", [0, 5])
def test_an_export_fits_the_schema_and_holds_everything(
    home: Path, tmp_path: Path, trials: int
) -> None:
    store = filled_store(home, trials) if trials else make_store(home)
    client = SessionClient(store.folder)
    path = tmp_path / "out.json"
    client.export(path)
    text = path.read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    data = json.loads(text)
    jsonschema.validate(data, exchange.schema())
    assert (data["format"], data["version"]) == ("lcsearch-session", 8)
    assert data["session"]["w_c"] == 0.1
    assert len(data["trials"]) == trials + 1
    assert [level["name"] for level in data["levels"]] == [
        "structure",
        "parameters",
        "classifier",
        "training",
    ]
    assert len(data["decisions"]) == trials
    if trials:
        assert data["best"]["mean"] is not None
        measured = min(data["trials"], key=lambda t: t["f"])
        assert data["best_measured"]["trial"] == measured["number"]
        first = data["trials"][1]
        assert first["f"] == pytest.approx(first["error"] + 0.1 * first["complexity"])
        assert [e["epoch"] for e in first["epochs"]] == [1, 2, 3]
    else:
        assert data["best"] is None
        assert data["trials"][0]["f"] is None


def test_a_file_that_cannot_be_written_is_said_so_and_leaves_nothing(
    home: Path, tmp_path: Path
) -> None:
    client = SessionClient(make_store(home).folder)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Misuse, match="there is no such folder"):
        client.export(tmp_path / "file" / "out.json")
    (tmp_path / "place").mkdir()
    with pytest.raises(Misuse, match="is a folder"):
        client.export(tmp_path / "place")
    with pytest.raises(StoreError, match="cannot be written"):
        client.export(tmp_path / f"{'long' * 70}.json")
    assert not list(tmp_path.glob(".place*"))
