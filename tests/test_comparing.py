"""Sessions side by side: fronts, limits, what differs, and what does not compare."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lcsearch.engine import search
from lcsearch.engine.search.comparing import Comparison, compared
from lcsearch.engine.search.standing import Recommendation
from lcsearch.engine.tasks import task
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.records import Latency
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui.sharing import comparison, report
from lcsearch.tui.sharing.charts import SESSIONS

from . import toy
from .conftest import lcsearch
from .fakes import SUMMARY, empty_snapshot, make_snapshot
from .sessions_for_tests import MACHINE, filled_store, make_store


def side(name: str, seed: int = 3, threads: int = 2, **fields: Any) -> Snapshot:
    """A session with trials of its own, done on a machine with so many threads."""
    snapshot = make_snapshot(name=name, seed=seed, **fields)
    machine = MACHINE.model_copy(update={"threads": threads})
    trials = tuple(
        t.model_copy(update={"machine": machine}) if t.observed else t for t in snapshot.trials
    )
    return replace(snapshot, trials=trials)


def put(*snapshots: Snapshot, cost: str | None = None, limits: tuple[str, ...] = ()) -> Comparison:
    given = []
    for snapshot in snapshots:
        best = search.best_measured(snapshot)
        given.append((snapshot, None if best is None else Recommendation(best)))
    return compared(given, cost, limits)


def test_fronts_are_of_each_session_whatever_its_limits() -> None:
    found = put(side("a"), side("b", 4, limits={"params": 1e3}))
    assert found.measure.name == "params"
    for one in found.sides:
        done = [t for t in one.snapshot.trials if t.observed]
        beaten = {
            t.number
            for t in done
            for o in done
            if o.costs["params"] <= t.costs["params"]
            and (o.error or 0) <= (t.error or 0)
            and (o.costs["params"], o.error) != (t.costs["params"], t.error)
        }
        assert {t.number for t in one.front} == {t.number for t in done} - beaten


def test_the_best_within_a_limit_is_the_most_accurate_and_of_the_metric_the_cheapest() -> None:
    sides = side("a"), side("b", 4, limits={"macs": 9e6})
    found = put(*sides, limits=("params<=20k", "accuracy>=85"))
    assert [row.limits for row in found.within] == [
        (("params", 20e3),),
        (("accuracy", 0.85),),
        (("macs", 9e6),),
        (("params", 20e3), ("accuracy", 0.85)),
    ]
    for at, snapshot in enumerate(sides):
        done = [t for t in snapshot.trials if t.observed]
        small = [t for t in done if t.costs["params"] <= 20e3]
        good = [t for t in done if (t.error or 0) <= 0.15]
        assert found.within[0].best[at] == min(small, key=lambda t: t.error or 0, default=None)
        assert found.within[1].best[at] == min(good, key=lambda t: t.costs["params"], default=None)
        both = [t for t in small if t in good]
        assert found.within[3].best[at] == min(both, key=lambda t: t.error or 0, default=None)
    nothing = put(*sides, limits=("params<=1",))
    assert nothing.within[0].best == (None, None)


def test_only_what_differs_is_told() -> None:
    found = put(side("a"), side("b", wc=0.5, strategy="random", domains={"kernel": "3"}))
    told = comparison.differences(found)
    assert told["w_c"] == ("0.10", "0.50")
    assert told["proposed by"] == ("gp", "random")
    assert told["domains"][1] == "kernel 3"
    assert set(told) == {"w_c", "proposed by", "domains"}
    assert comparison.differences(put(side("a"), side("b"))) == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"summary": SUMMARY.model_copy(update={"fingerprint": "a" * 64})}, "fingerprints differ"),
        ({"metric": "balanced"}, "another metric"),
        ({"epochs": 7}, "another number of epochs"),
    ],
)
def test_what_does_not_compare_is_said(fields: dict[str, Any], words: str) -> None:
    (reason,) = put(side("a"), side("b", **fields)).unlike
    assert words in reason
    told = list(comparison.warnings(put(side("a"), side("b", **fields))))
    assert told[0].startswith("What they reach does not compare: ")
    assert put(side("a"), side("b")).unlike == ()


def test_what_does_not_compare_stands_first_and_no_heading_stands_alone(home: Path) -> None:
    summary = SUMMARY.model_copy(update={"fingerprint": "b" * 64})
    for name, fields in (("a", {}), ("b", {"summary": summary})):
        filled_store(home, 2, name=name, **fields).close()
    out, err = lcsearch("compare", "a", "b")
    assert err.splitlines()[0].startswith("! What they reach does not compare: ")
    assert "The best within limits" not in out
    assert "asks for one" in err
    limited = lcsearch("compare", "a", "b", "--limit", "params<=1M")[0]
    assert "The best within limits" in limited


def test_seconds_that_are_few_are_told_as_what_they_are() -> None:
    short = side("a")
    trials = tuple(
        t.model_copy(
            update={"epochs": tuple(e.model_copy(update={"seconds": 0.001}) for e in t.epochs)}
        )
        for t in short.trials
    )
    lines = comparison.told(put(replace(short, trials=trials), side("b"))).tables[0][2].rows
    (spent,) = [line for line in lines if line[0] == "time spent"]
    assert float(spent[1].removesuffix(" s")) > 0


def test_seconds_of_different_machines_are_not_taken() -> None:
    alike = put(side("a"), side("b", 4), cost="seconds")
    assert alike.measure.name == "seconds"
    other = side("a"), side("b", 4, threads=1)
    with pytest.raises(Misuse, match=r"--cost seconds: .*other machines.*Use params"):
        put(*other, cost="seconds")
    with pytest.raises(Misuse, match="limit on seconds: not usable"):
        put(*other, limits=("seconds<=0.5",))
    found = put(*other)
    assert "seconds" in found.left_out
    assert any("other machines" in told for told in comparison.warnings(found))
    assert "1 thread" in comparison.differences(found)["machine"][1]
    bound = put(side("a"), side("b", threads=1, limits={"seconds": 0.5}))
    assert bound.within == ()
    # the number type that it was trained in is part of where it was measured
    half = side("b", 4)
    machine = MACHINE.model_copy(update={"dtype": "bfloat16"})
    trials = (t.model_copy(update={"machine": machine}) for t in half.trials)
    found = put(side("a"), replace(half, trials=tuple(trials)))
    assert "seconds" in found.left_out
    assert comparison.differences(found)["machine"][1].endswith("bfloat16")
    # on one machine they could be taken, and it is said why they are not by themselves
    told = " ".join(comparison.warnings(put(side("a"), side("b"))))
    assert "depends on the machine" in told


def test_seconds_beside_other_reference_networks_are_not_taken() -> None:
    summary = SUMMARY.model_copy(update={"height": 32, "width": 32})
    with pytest.raises(Misuse, match="other reference networks"):
        put(side("a"), side("b", summary=summary), cost="seconds")


def _timed(snapshot: Snapshot, machine: str) -> Snapshot:
    trials = tuple(
        t.model_copy(update={"costs": {**t.costs, "latency": 0.5 + t.number / 10}})
        for t in snapshot.trials
    )
    one = Latency(
        key="k", config=trials[0].config, runtime="torch", machine=machine, ratio=1.0,
        milliseconds=0.5, variation=0.01,
    )  # fmt: skip
    return replace(snapshot, trials=trials, latencies={"k": one})


def test_latency_compares_on_one_machine_alone() -> None:
    here, there = _timed(side("a"), "here"), _timed(side("b", 4), "here")
    assert put(here, there, cost="latency").measure.timed
    with pytest.raises(Misuse, match="time of inference of other machines"):
        put(here, _timed(side("b", 4), "there"), cost="latency")
    with pytest.raises(Misuse, match="session b does not know the time of inference"):
        put(here, side("b", 4), cost="latency")


def test_what_cannot_be_compared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misuse, match="Name two or more"):
        put(side("a"))
    with pytest.raises(Misuse, match="given twice"):
        put(side("a"), side("a"))
    with pytest.raises(Misuse, match=r"measure watts: unknown. Use seconds, params"):
        put(side("a"), side("b"), cost="watts")
    with pytest.raises(Misuse, match="no cost called watts"):
        put(side("a"), side("b"), limits=("watts<=3",))
    summary = SUMMARY.model_copy(update={"height": 32, "width": 32})
    with pytest.raises(Misuse, match="Give a number of your own"):
        put(side("a"), side("b", summary=summary), limits=("macs<=0.5x",))
    monkeypatch.setitem(task.TASKS, "toy", toy.TOY)
    b = side("b")
    toys = replace(b, session=b.session.model_copy(update={"task": "toy"}))
    with pytest.raises(Misuse, match=r"a \(cnn\), b \(toy\): search different things"):
        put(side("a"), toys)
    many = [side(f"s{number}") for number in range(len(SESSIONS) + 1)]
    with pytest.raises(Misuse, match="at most 5 fit into one chart"):
        comparison.figure(put(*many))


def test_a_young_session_is_told_as_one() -> None:
    young = empty_snapshot()
    found = put(side("a"), replace(young, session=young.session.model_copy(update={"name": "b"})))
    whole = comparison.told(found)
    assert any("b has no trial done yet" in told for told in whole.warnings)
    assert whole.figures[0].plot is not None
    assert (
        whole.tables[0][2].rows[3][0],
        whole.tables[0][2].rows[3][2],
    ) == ("recommended", "none yet")


def test_a_page_has_both_fronts_and_the_tables_and_asks_for_nothing() -> None:
    hostile = side("b", 4, domains={"kernel": "3"})
    spec = hostile.session.data.model_copy(update={"spec": "folder:<script>alert(1)</script>"})
    session = hostile.session.model_copy(update={"data": spec})
    found = put(side("a"), replace(hostile, session=session), limits=("params<=20k",))
    text = report.html(comparison.told(found))
    assert text.count("<svg") == 1
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r'(src|href)="(?!#)', text)
    for words in ("params&lt;=20k", "time spent", "kernel 3", "a and b"):
        assert words in text
    assert text.count("<table") == 3


@pytest.fixture
def two(home: Path) -> None:
    filled_store(home, 4, name="one").close()
    filled_store(home, 3, name="two", seed=1, wc=0.5, epochs=4).close()


def test_the_command_draws_and_tells(two: None) -> None:
    out, said = lcsearch("compare", "one", "two", "--limit", "params<=1M")
    assert "● one  ◆ two" in out
    assert "thousand parameters" in out
    assert out.count("◆") > 1
    assert re.search(r"^trials done +5 +4$", out, re.MULTILINE)
    assert re.search(r"^params<=1M +trial \d+: .* parameters +trial \d+: ", out, re.MULTILINE)
    assert re.search(r"^w_c +0\.10 +0\.50$", out, re.MULTILINE)
    assert "another number of epochs a trial" in said.replace("\n", " ")
    found = json.loads(lcsearch("compare", "one", "two", "--json", "--cost", "macs")[0])
    assert found["cost"] == "macs"
    assert [one["name"] for one in found["sessions"]] == ["one", "two"]
    for one in found["sessions"]:
        shown = json.loads(lcsearch("show", one["name"], "--json")[0])
        assert one["recommended"]["trial"] == shown["best"]["trial"]
        assert one["front"]
        assert all(entry["cost"] == entry["costs"]["macs"] for entry in one["front"])
    assert found["differences"]["w_c"] == {"one": "0.10", "two": "0.50"}


def test_the_command_writes_what_the_ending_says(two: None, tmp_path: Path) -> None:
    for ending in ("html", "svg", "csv", "json"):
        out, said = lcsearch("compare", "one", "two", "-o", str(tmp_path / f"c.{ending}"))
        assert out == ""
        assert "written to" in said
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["session"] for row in rows} == {"one", "two"}
    assert len(rows) == 9
    assert all(row["cost"] == row["params"] for row in rows)
    assert len(json.loads((tmp_path / "c.json").read_text())["rows"]) == 9
    assert "thousand parameters" in (tmp_path / "c.svg").read_text()
    assert "<!DOCTYPE html>" in (tmp_path / "c.html").read_text()


def test_the_command_refuses_in_words(two: None, home: Path, tmp_path: Path) -> None:
    assert "Name two or more" in lcsearch("compare", "one", code=2)[1]
    assert "given twice" in lcsearch("compare", "one", "one", code=2)[1]
    assert "not found" in lcsearch("compare", "one", "three", code=2)[1]
    assert "unknown" in lcsearch("compare", "one", "two", "--cost", "watts", code=2)[1]
    wrong = tmp_path / "c.pdf"
    assert "End the file's name" in lcsearch("compare", "one", "two", "-o", str(wrong), code=2)[1]
    assert not wrong.exists()
    make_store(home, "young").close()
    make_store(home, "younger").close()
    out, said = lcsearch("compare", "young", "younger")
    assert "Nothing has been measured yet." in out
    assert "young has no trial done yet" in said
