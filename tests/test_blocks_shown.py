"""Shortcuts, separable layers, activations are edited, filtered and drawn by their declaration."""

from __future__ import annotations

import pytest

from lcsearch.engine import search
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.task import parameters_of, session_space
from lcsearch.sessions.records import Trial
from lcsearch.tui.dialogs.edit import ChoiceField
from lcsearch.tui.filters import parse
from lcsearch.tui.networks.cnn import parameters, structure

from .consoles import console, press, settled
from .fakes import FakeClient, make_snapshot

FULL = parameters_of(cnn.TASK, "full")
SNAPSHOT = make_snapshot(level=2, done=(8, 6), parameters=FULL)
SPACE = session_space(SNAPSHOT.session)


def test_the_trials_have_them() -> None:
    configs = [trial.config for trial in SNAPSHOT.trials]
    assert any(True in config["shortcut"] for config in configs)
    assert any("separable" in config["conv"] for config in configs)
    assert {config["activation"] for config in configs} == {"relu", "silu", "hardswish"}


@pytest.mark.parametrize(
    "term", ["shortcut=yes", "shortcut[2]=yes", "conv=separable", "activation=silu"]
)
def test_a_filter_reads_them(term: str) -> None:
    def holds(trial: Trial) -> bool:
        name, wanted = term.split("=")
        value = trial.config[name.removesuffix("[2]")]
        if name.endswith("[2]"):
            value = value[1]
        return wanted.replace("yes", "True") in str(value)

    found = [trial.number for trial in parse(term, SPACE).matching(SNAPSHOT)]
    assert found == [trial.number for trial in SNAPSHOT.trials if holds(trial)] != []


def test_a_word_of_a_line_is_found() -> None:
    for trial in SNAPSHOT.trials:
        for word in [*parameters(trial.config).split(), *structure(trial.config).split(" · ")]:
            matching = parse(word, SPACE).matching(SNAPSHOT)
            assert trial.number in [one.number for one in matching], word


def test_belief_is_drawn_along_them() -> None:
    ranking = search.ranking(SNAPSHOT, SPACE)
    config = next(p.config for p in ranking.proposals if "plain" in p.config["conv"][1:])
    for name, index, values in (
        ("activation", None, ("relu", "silu", "hardswish")),
        ("conv", 1, ("plain", "separable")),
        ("shortcut", 1, (False, True)),
    ):
        along = ranking.profile(config, name, index)
        assert along.categories
        assert tuple(along.values) == values
        assert len(set(along.mean)) == len(values)


async def test_the_form_changes_them() -> None:
    client = FakeClient(SNAPSHOT)
    async with console(client) as pilot:
        await press(pilot, "e")
        fields = {
            (field.parameter.name, field.index): field
            for field in pilot.app.screen.query(ChoiceField)
        }
        assert ("activation", None) in fields
        assert ("conv", 1) in fields
        before = fields["activation", None].value
        fields["activation", None].focus()
        await press(pilot, "up", "enter")
        await settled(pilot)
        ((config, *_),) = client.made("submit")
        assert config["activation"] != before
