"""What is said to a person: what a record refuses, and figures that fit their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError, field_validator

from lcsearch.engine.advisor.ranking import Place
from lcsearch.sessions.records import (
    Autopilot,
    DataSource,
    Decision,
    DecisionKind,
    Epoch,
    Execution,
    Record,
    Setup,
    Trial,
    in_words,
    now,
)
from lcsearch.tui.format import folded, improvement, place, turn

from .sessions_for_tests import make_session


def told(make: Callable[[], object]) -> str:
    with pytest.raises(ValidationError) as caught:
        make()
    return in_words(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 0}, "epochs = 0: not usable. Use 1 or more."),
        ({"epochs": 100_001}, "epochs = 100001: not usable. Use at most 100,000."),
        ({"macs_cap": 0}, "macs_cap = 0: not usable. Use more than 0."),
        (
            {"wc": float("nan")},
            "wc = nan: not usable. Use 0 (accuracy alone) or more, or inf (the cost alone).",
        ),
        ({"augment": "blur"}, "augment = blur: not usable. Use 'none', 'flip', 'crop' or"),
        ({"epochs": "many"}, "epochs = many: not usable. Use a whole number."),
        ({"colour": 1}, "colour = 1: not usable. There is nothing of this name."),
        ({"domains": 3}, "domains = 3: not usable. Use an object."),
        ({"flat": []}, "flat = []: not usable. Use true or false."),
        ({"name": 3}, "name = 3: not usable. Use a text."),
    ],
)
def test_what_a_session_refuses(fields: dict[str, Any], words: str) -> None:
    assert told(lambda: make_session(**fields)).startswith(words)


def test_places_inside_lists_are_named() -> None:
    epochs = [Epoch(epoch=1, train_loss=1, val_accuracy=0.5, seconds=1).model_dump()]
    del epochs[0]["seconds"]
    said = told(lambda: Trial.model_validate({"epochs": epochs}))
    assert said == "number: not usable. Give it a value."
    said = told(lambda: Execution.model_validate({"devices": ["cpu", "tpu"]}))
    assert said.startswith("devices[1] = tpu: not usable. ")


def test_nothing_of_pydantics_own_words_is_said() -> None:
    class Other(Record):
        place: Path
        colour: Literal["red"] | None = None

        @field_validator("colour")
        @classmethod
        def never(cls, value: object) -> NoReturn:
            raise ValueError("Red is not in fashion.")

    said = told(lambda: Other(place=3))
    assert said == "place = 3: not usable. Use a value of another kind."
    said = told(lambda: Other(place="/", colour="red"))
    assert said == "colour = red: not usable. Red is not in fashion."
    said = told(lambda: Autopilot(until="yesterday"))
    assert said == "until = yesterday: not usable. Use a time such as 2026-03-14T15:09:26Z."


def test_a_set_up_has_the_defaults_of_a_session() -> None:
    setup = Setup(name="a", data=DataSource(spec="digits"))
    session = make_session("a")
    for name in ("wc", "measure", "seed", "features", "macs_cap", "strategy", "execution"):
        assert getattr(setup, name) == getattr(session, name)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0039, "3.9e-3"),
        (2e-9, "2.0e-9"),
        (3.04e-10, "3e-10"),
        (4e-88, "4e-88"),
        (0, "0"),
        (None, "–"),
    ],
)
def test_an_improvement_fits_its_column(value: float | None, text: str) -> None:
    assert improvement(value) == text
    assert len(text) <= 6


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (Place(1, 2410, True), "1st of 2,410"),
        (Place(2411, 2411, False), "would be 2,411th of 2,411"),
        (Place(1012, 2411, False), "would be 1,012th of 2,411"),
        (Place(22, 2410, True), "22nd of 2,410"),
    ],
)
def test_a_place_says_whether_the_network_is_one_of_them(where: Place, told: str) -> None:
    assert place(where) == told


@pytest.mark.parametrize(
    ("kind", "by", "told"),
    [
        ("advance", "autopilot", "level 4 is left, trial 7 carried forward: why"),
        (
            "reopen",
            "autopilot",
            "level 4 is left, and the first opened again, trial 7 carried forward: why",
        ),
        ("takeover", "autopilot", "level 4 is ended, trial 7 carried forward: why"),
        ("accept", "autopilot", None),
        ("reopen", "person", None),
    ],
)
def test_what_the_autopilot_does_about_a_level_is_told(
    kind: DecisionKind, by: Literal["person", "autopilot"], told: str | None
) -> None:
    decision = Decision(number=1, at=now(), kind=kind, by=by, level=4, trial=7, reason="why")
    assert turn(decision) == told


LINE = (
    "trial  12  L1  16 · 32⇣ · 32 · 64⇣  k3333 b1111  f 0.1749  val 85.45 %  f_c 1.040  "
    "4.93 s/ep  42,170 parameters"
)


def test_a_line_is_folded_where_its_columns_are_apart() -> None:
    assert folded(LINE, 120) == LINE
    assert folded(LINE, 100).splitlines() == [LINE[:-19], "    42,170 parameters"]
    for width in (60, 80):
        lines = folded(LINE, width).splitlines()
        assert all(len(line) <= width for line in lines)
        assert all(word in folded(LINE, width) for word in ("f 0.1749", "42,170 parameters"))
    assert "0.1234 ± 0.0123" in folded("a belief of 0.1234 ± 0.0123 and more", 20)


@given(st.lists(st.text("ab ,.0123456789±·", max_size=40), max_size=4), st.integers(20, 120))
def test_folding_breaks_no_word_and_loses_nothing(lines: list[str], width: int) -> None:
    text = "\n".join(lines)
    found = folded(text, width)
    assert found.split() == text.split()
    for line in found.split("\n"):
        # what stands beside a ± stays there; else a line is too long by one word alone
        assert len(line) <= width or "±" in line or len(line.split()) == 1 or not line.strip()
