"""The filter of trials: what it reads, what it lets pass, what it says of what it cannot read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from lcsearch.engine import search
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import Decision, Scalar, Trial
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui import format as words
from lcsearch.tui.cli import app
from lcsearch.tui.filters import DECIDERS, FIGURES, STATES, BadFilter, begun, parse, unfinished
from lcsearch.tui.networks.cnn import classifier, parameters, recipe

from .fakes import NOW, make_snapshot
from .sessions_for_tests import filled_store

SNAPSHOT = make_snapshot(failed=1)
SPACE = session_space(SNAPSHOT.session)
LISTS = [p.name for p in SPACE.parameters if p.length is not None]
NUMBERS = (
    "channels", "kernel", "groups", "conv_layers", "hidden_units", "density", "weight_decay",
    "learning_rate", "lr_decay", "batch_size", "classifier_layers",
)  # fmt: skip


def passing(text: str, snapshot: Snapshot = SNAPSHOT) -> list[int]:
    return [trial.number for trial in parse(text, SPACE).matching(snapshot)]


def trials_with(holds: Callable[[Trial], bool]) -> list[int]:
    return [trial.number for trial in SNAPSHOT.trials if holds(trial)]


def f_of(trial: Trial) -> float:
    value = search.objective(trial, 0.1)
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", lambda t: True),
        ("params<50k", lambda t: t.costs["params"] < 50_000),
        ("params < 50,000", lambda t: t.costs["params"] < 50_000),
        ("MACs<=5M", lambda t: t.costs["macs"] <= 5_000_000),
        ("acc>85", lambda t: t.error is not None and 100 * (1 - t.error) > 85),
        ("acc>85%", lambda t: t.error is not None and 100 * (1 - t.error) > 85),
        ("f<0.2", lambda t: t.observed and f_of(t) < 0.2),
        ("f<20%", lambda t: t.observed and f_of(t) < 0.2),
        ("f_c>=1", lambda t: t.complexity is not None and t.complexity >= 1),
        ("level=2", lambda t: t.level == 2),
        ("level=2 params<50k", lambda t: t.level == 2 and t.costs["params"] < 50_000),
        ("trial<=3", lambda t: t.number <= 3),
        ("state=failed", lambda t: t.state == "failed"),
        ("state!=done", lambda t: t.state != "done"),
        ("state=f", lambda t: t.state == "failed"),
        ("by=person", lambda t: t.source in ("advisor", "edited", "manual")),
        ("by=reference", lambda t: t.level == 0),
        ("s/ep<2", lambda t: t.costs.get("seconds", 9) < 2),
        ("seconds<2", lambda t: t.costs.get("seconds", 9) < 2),
        ("epochs=10", lambda t: len(t.epochs) == 10),
        ("kernel=5", lambda t: 5 in t.config["kernel"]),
        ("kernel!=5", lambda t: 5 not in t.config["kernel"]),
        ("kernel[2]=5", lambda t: t.config["kernel"][1:2] == [5]),
        ("channels[2]>=32", lambda t: t.config["channels"][1:2] >= [32]),
        ("downsample[1]=pool", lambda t: t.config["downsample"][0] == "pool"),
        ("batch_norm=no", lambda t: False in t.config["batch_norm"]),
        ("batch_size>128", lambda t: t.config["batch_size"] > 128),
        ("learning_rate<1e-3", lambda t: t.config["learning_rate"] < 1e-3),
        ("hidden_units>0", lambda t: bool(t.config["hidden_units"])),
    ],
)
def test_a_term_lets_pass_what_it_says(text: str, holds: Callable[[Trial], bool]) -> None:
    assert passing(text) == trials_with(holds)


def test_a_word_is_looked_for_in_the_whole_configuration() -> None:
    # lines are cut, and leave out what a level does not search: the filter does not
    for trial in SNAPSHOT.trials:
        whole = (parameters, classifier, recipe)
        for word in [w for part in whole for w in part(trial.config).split()]:
            assert trial.number in passing(word)
    same = trials_with(lambda t: parameters(t.config).startswith("k3333"))
    assert passing("K3333") == same


def test_reasons_states_and_failures_are_words_too() -> None:
    decided = Decision(
        number=len(SNAPSHOT.decisions), at=NOW, kind="repeat", by="person", level=1, trial=4,
        reason="The noise, once more",
    )  # fmt: skip
    snapshot = replace(SNAPSHOT, decisions=(*SNAPSHOT.decisions, decided))
    assert passing("NOISE", snapshot) == [4]
    assert passing("failed diverged finite") == trials_with(lambda t: t.state == "failed")
    assert passing("nothingofthekind") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parms<5", "there is no parms. Is it params?"),
        ("xyzzy=5", "Names: trial level f"),
        ("<5", "there is no name before it"),
        ("params<", "held against what? Write for example params<50k."),
        ("params<abc", "abc is no number"),
        ("params<1e999", "no number"),
        ("state=asleep", "asleep is not one of queued, running"),
        ("state<done", "words have no order"),
        ("by=nobody", "nobody is not one of person, autopilot, reference"),
        ("downsample=half", "half is not one of none, stride, pool"),
        ("kernel[0]=5", "0 is no layer. They are counted from 1: kernel[1] to kernel[16]"),
        ("kernel[17]=5", "kernel[1] to kernel[16]"),
        ("hidden_units[6]>1", "hidden_units[1] to hidden_units[5]"),
        ("kernel[]=5", "nothing is no layer"),
        ("batch_size[1]=5", "batch_size has one value"),
        ("level[1]=5", "level has one value"),
        ("level=2 acc>>85", ">85 is no number"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_would_do(text: str, said: str) -> None:
    with pytest.raises(BadFilter) as refused:
        parse(text, SPACE)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_alone_at_the_end_is_not_finished() -> None:
    assert "Write for example params<50k." in unfinished("level=2 params", SPACE)
    assert unfinished("kernel[2]", SPACE)
    for text in ("k335", "params<5", "params <", "params level=2", ""):
        assert unfinished(text, SPACE) == ""


@pytest.mark.parametrize("last", ["params", "params<", "params <", "params<x", "xyz=", "kernel["])
def test_while_it_is_typed_all_but_an_unfinished_last_term_holds(last: str) -> None:
    holding = begun(f"level=2 {last}", SPACE).matching(SNAPSHOT)
    assert [trial.number for trial in holding] == passing("level=2")


def test_a_wrong_term_before_the_last_one_is_told_while_typing_too() -> None:
    with pytest.raises(BadFilter, match="xyz"):
        begun("xyz=3 level=2", SPACE)


@given(st.sampled_from([*FIGURES, *NUMBERS]), st.floats(0, 1e6, allow_nan=False))
def test_of_one_value_exactly_one_of_less_equal_and_more_holds(name: str, limit: float) -> None:
    for trial in SNAPSHOT.trials:
        single = f"{name}[1]" if name in LISTS else name
        session = SNAPSHOT.session
        told = [parse(f"{single}{op}{limit!r}", SPACE).passes(trial, session) for op in "<=>"]
        assert sum(told) in (0, 1)
        for pair, (one, other) in {"<=": (0, 1), ">=": (2, 1)}.items():
            both = parse(f"{single}{pair}{limit!r}", SPACE).passes(trial, session)
            assert both == (told[one] or told[other])
        known = sum(told) == 1
        unlike = parse(f"{single}!={limit!r}", SPACE).passes(trial, session)
        assert unlike == (known and not told[1])


@given(st.sampled_from(SNAPSHOT.trials), st.data())
def test_every_value_of_a_trial_finds_it(trial: Trial, data: st.DataObject) -> None:
    parameter = data.draw(st.sampled_from(SPACE.parameters))
    value = trial.config[parameter.name]
    if isinstance(value, list):
        if not value:
            return
        at = data.draw(st.integers(0, len(value) - 1))
        name, value = f"{parameter.name}[{at + 1}]", value[at]
        assert trial.number in passing(f"{parameter.name}={_typed(value)}")
    else:
        name = parameter.name
    assert trial.number in passing(f"{name}={_typed(value)}")
    assert trial.number not in passing(f"{name}!={_typed(value)}")


def _typed(value: Scalar) -> str:
    return repr(value) if isinstance(value, float) else words.number(value)


@given(st.lists(st.sampled_from(["acc>85", "level=2", "kernel=5", "k3", "state=done"])))
def test_terms_together_let_pass_what_each_of_them_does(terms: list[str]) -> None:
    found = set(range(len(SNAPSHOT.trials)))
    for term in terms:
        found &= set(passing(term))
    assert passing("  ".join(terms)) == sorted(found)


@given(st.text())
def test_any_text_is_a_filter_or_is_refused_in_words(text: str) -> None:
    try:
        found = parse(text, SPACE)
    except BadFilter as error:
        found, told = None, str(error)
    if found is None:
        assert told
    else:
        assert len(found.terms) <= len(text.split())
        found.matching(SNAPSHOT)


@given(st.sampled_from(["k", "K", "M", "m", "G"]), st.integers(1, 999))
def test_a_suffix_multiplies(suffix: str, number: int) -> None:
    factor = {"k": 1e3, "m": 1e6, "g": 1e9}[suffix.lower()]
    short = parse(f"macs>={number}{suffix}", SPACE)
    long = parse(f"macs>={math.floor(number * factor)}", SPACE)
    assert short.matching(SNAPSHOT) == long.matching(SNAPSHOT)


def test_every_state_and_decider_can_be_named() -> None:
    for word in STATES:
        assert passing(f"state={word}") == [t.number for t in SNAPSHOT.trials if t.state == word]
    assert sum(len(passing(f"by={word}")) for word in DECIDERS) == len(SNAPSHOT.trials)


# -- the command ----------------------------------------------------------------------------------


def test_show_filters_as_the_console_does(home: Path) -> None:
    filled_store(home).close()
    shown = CliRunner().invoke(app, ["show", "demo", "--filter", "trial>=2 state=done", "--json"])
    assert shown.exit_code == 0
    listed = json.loads(shown.stdout)
    assert listed
    assert all(trial["number"] >= 2 and trial["state"] == "done" for trial in listed)
    lines = CliRunner().invoke(app, ["show", "demo", "--filter", "trial>=2 state=done"])
    assert len(lines.stdout.splitlines()) == len(listed)
    assert f"{len(listed)} of" in lines.stderr


def test_a_filter_that_cannot_be_read_is_wrong_use(home: Path) -> None:
    filled_store(home).close()
    refused = CliRunner().invoke(app, ["show", "demo", "--filter", "parms<5"])
    assert refused.exit_code == 2
    assert "Is it params?" in refused.stderr
