"""benchmarks/soak.py in its short form: real processes, killed, stopped and starved a few times."""

import pytest

from .conftest import soak

CASES = (
    "kill",
    "power-cut",
    "disk-full",
    "file-limit",
    "decisions",
    "notice",
    "long",
    "many",
    "leave",
    "sleep",
    "idle",
    "gap",
)


def test_every_case_has_its_short_form() -> None:
    assert set(CASES) == set(soak().CASES)


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_lost_and_nothing_is_done_twice(case: str) -> None:
    line = soak().CASES[case](True)
    if "skipped" in line:
        pytest.skip(line["skipped"])
    assert (line.get("lost"), line.get("twice"), line["ok"]) == (0, 0, True), line


def test_a_loss_and_a_second_time_would_be_seen() -> None:
    """The witness itself: it knows what is missing, what is another, and what came twice."""
    module = soak()
    with module.Home() as sessions:
        witness = module.Witness(sessions.session())
        client = witness.client
        client.set_wc(0.5)
        client.start_engine()
        assert witness.drained() == {"done": 1}
        assert (witness.lost(), witness.twice()) == ([], [])
        said = {"number": 1, "kind": "wc", "trial": None, "reason": ""}
        assert witness.lost(acks=[said]) == []
        assert witness.lost(acks=[{**said, "reason": "x"}]) == ["decision 1 is another"]
        assert witness.lost(acks=[{**said, "number": 2}]) == ["decision 2"]
        record = witness.epochs[0, 1]
        witness.epochs[0, 1] = record.model_copy(update={"val_accuracy": 0.0})
        assert witness.lost() == ["epoch 1 of trial 0"]
        ledger = witness.folder / "ledger"
        ledger.write_text(ledger.read_text() * 2)
        assert "epoch 1 of trial 0" in witness.twice()
