"""The commands that steer the advisor: strategies, domains, favourite regions, until flat."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lcsearch.engine import search
from lcsearch.engine.client import home as homes
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.protocol import Ready
from lcsearch.sessions.store import Store
from lcsearch.tui import format as words
from lcsearch.tui.commands import follow as progress

from .conftest import lcsearch
from .sessions_for_tests import SUMMARY, filled_store


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is started, and nobody waits for one."""
    monkeypatch.setattr(SessionClient, "start_engine", lambda client: None)

    def follow(client: SessionClient, begin: Callable[[], None]) -> int:
        begin()
        return 0

    monkeypatch.setattr(progress, "follow", follow)


@pytest.fixture
def store(home: Path) -> Store:
    return filled_store(home, 4, name="demo", measure="macs", trials_per_level=2)


def test_new_takes_a_strategy_and_one_level_of_all_parameters(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes, "probe", lambda data, *_: Ready(summary=SUMMARY))
    lcsearch("new", "whole", "--flat", "--strategy", "evolution")
    session = Store(home / "sessions" / "whole").refresh().session
    assert (session.flat, session.strategy, session.trials_per_level) == (True, "evolution", 48)
    assert "all parameters 0 of 48 trials" in lcsearch("show", "whole")[0]
    assert "proposed by evolution" in lcsearch("show", "whole")[0]
    assert "flat" in lcsearch("list")[0]
    for command in (["show", "whole"], ["list"]):
        assert f"{session.execution.parallel} at once" in lcsearch(*command)[0]
    exported = json.loads(lcsearch("export", "whole")[0])
    assert exported["space"]["levels"] == ["all"]
    assert exported["session"]["flat"] is True
    assert "one level only" in lcsearch("advance", "whole", code=1)[1]
    assert "one level only" in lcsearch("reopen", "whole", "-l", "1", code=1)[1]
    lcsearch("new", "four", "--trials", "7")
    session = Store(home / "sessions" / "four").refresh().session
    assert (session.flat, session.strategy, session.trials_per_level) == (False, "gp", 7)


def test_propose_names_what_differs_by_the_indices_of_its_lists(store: Store) -> None:
    found = json.loads(lcsearch("propose", "demo", "-n", "5", "--json")[0])
    trials = Store(store.folder).refresh().trials
    for proposal in found["proposals"]:
        near = trials[proposal["nearest"]["trial"]].config
        for entry in proposal["nearest"]["differs"]:
            name, _, index = entry.rstrip("]").partition("[")
            own, other = proposal["config"][name], near[name]
            assert (own[int(index)] != other[int(index)]) if index else own != other


def test_propose_says_what_can_still_be_gained(store: Store) -> None:
    found = json.loads(lcsearch("propose", "demo", "-n", "2", "--json")[0])
    assert found["strategy"] == "gp"
    assert found["remaining"] > 0
    assert found["noise"] > 0
    assert found["flat"] is (found["remaining"] <= found["noise"])
    assert f"{found['remaining']:.2g}" in found["advice"]
    assert found["advice"] in lcsearch("propose", "demo", "-n", "1")[1]


def test_propose_looks_through_another_strategy_and_narrower_domains(store: Store) -> None:
    before = store.refresh()
    look = ("--strategy", "random", "--domain", "conv_layers=2..3", "--domain", "kernel=1")
    out, err = lcsearch("propose", "demo", "-n", "5", "--json", *look)
    found = json.loads(out)
    assert found["strategy"] == "random"
    assert found["domains"] == {"conv_layers": "2..3", "kernel": "1"}
    assert (found["remaining"], found["noise"], found["flat"]) == (None, None, False)
    assert {p["config"]["conv_layers"] for p in found["proposals"]} <= {2, 3}
    assert all(p["prediction"] is None for p in found["proposals"])
    assert "kernel: not searched in this level" in err
    assert store.refresh() is before
    # and what was seen there can be accepted, though nothing is predicted of it
    chosen = found["proposals"][1]
    number = int(lcsearch("accept", "demo", "--id", chosen["id"], *look)[0])
    trial = store.refresh().trials[number]
    assert trial.config == chosen["config"]
    assert trial.prediction is None


def test_set_changes_strategy_domains_and_wc_each_as_a_decision(store: Store) -> None:
    _, err = lcsearch(
        "set", "demo", "--wc", "0.5", "--strategy", "annealing",
        "--domain", "conv_layers=2..4", "--domain", "kernel=3",
    )  # fmt: skip
    assert "conv_layers is searched in 2..4" in err
    session = store.refresh().session
    assert (session.wc, session.strategy) == (0.5, "annealing")
    assert session.domains == {"conv_layers": "2..4", "kernel": "3"}
    assert "searched: conv_layers 2..4, kernel 3" in lcsearch("show", "demo")[0]
    assert (
        "kernel is searched in 1,3,5,7" in lcsearch("set", "demo", "--domain", "kernel=default")[1]
    )
    for _ in range(4):
        lcsearch("undo", "demo")
    session = store.refresh().session
    assert (session.wc, session.strategy, session.domains) == (0.1, "gp", {})


def test_a_reason_is_kept_and_a_wrong_weight_moves_nothing(store: Store) -> None:
    lcsearch("set", "demo", "--wc", "0.5", "--reason", "cheaper")
    assert store.refresh().decisions[-1].reason == "cheaper"
    before = store.refresh().session.execution
    lcsearch("set", "demo", "--parallel", "1", "--wc", "-1", code=2)
    assert store.refresh().session.execution == before


def test_a_wrong_value_among_right_ones_changes_nothing(store: Store) -> None:
    before = store.refresh()
    for given in (
        ("--wc", "-1", "--domain", "kernel=3"),
        ("--strategy", "random", "--domain", "kernel=4"),
    ):
        lcsearch("set", "demo", *given, code=2)
    assert store.refresh() is before


def test_favour_marks_says_clears_and_is_undone(store: Store) -> None:
    out, _ = lcsearch("favour", "demo", "conv_layers=2..3", "kernel=1,3", "--reason", "cheap")
    strength = search.favour_strength(store.refresh())
    assert (
        out
        == f"favoured: conv_layers 2..3, kernel 1,3 · weighs e^-{strength:.2g} outside, fading\n"
    )
    assert store.refresh().session.favourite == {"conv_layers": "2..3", "kernel": "1,3"}
    assert store.refresh().decisions[-1].reason == "cheap"
    assert lcsearch("favour", "demo") == (out, "kernel: not searched in this level, nothing "
                                               "changes by it here.\n")  # fmt: skip
    assert out.strip() in lcsearch("show", "demo")[0]
    lcsearch("favour", "demo", "--clear")
    assert store.refresh().session.favourite == {}
    lcsearch("undo", "demo")
    assert store.refresh().session.favourite == {"conv_layers": "2..3", "kernel": "1,3"}
    lcsearch("set", "demo", "--strategy", "evolution")
    assert "no effect on evolution" in lcsearch("favour", "demo")[0]


def test_run_sets_the_strategy_and_leaves_flat_levels(store: Store) -> None:
    lcsearch("run", "demo", "--levels", "all", "--until-flat", "--trials", "5")
    pilot = store.refresh().session.autopilot
    assert pilot is not None
    assert (pilot.trials, pilot.levels, pilot.until_flat) == (5, "all", True)
    assert store.refresh().decisions[-1].detail["until_flat"] is True
    lcsearch("run", "demo", "--levels", "round", "--trials", "5")
    pilot = store.refresh().session.autopilot
    assert pilot is not None
    assert pilot.levels == "round"
    lcsearch("undo", "demo")
    lcsearch("run", "demo", "--strategy", "evolution", "--trials", "1")
    kinds = [d.kind for d in store.refresh().decisions[-2:]]
    assert kinds == ["strategy", "autopilot"]
    # set already: nothing to decide
    lcsearch("run", "demo", "--strategy", "evolution", "--trials", "2")
    assert store.refresh().decisions[-1].kind == "autopilot"
    assert [d.kind for d in store.refresh().decisions].count("strategy") == 1


def test_nothing_of_a_run_that_cannot_be_is_kept(store: Store) -> None:
    before = store.refresh()
    words = ("--strategy", "random", "--until-flat")
    assert "no model" in lcsearch("run", "demo", *words, code=2)[1]
    assert store.refresh() is before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set", "demo"], "give --wc"),
        (["set", "demo", "--strategy", "luck"], "luck"),
        (["set", "demo", "--domain", "kernel"], "not PARAM=DOMAIN"),
        (["set", "demo", "--domain", "convs=3"], "no parameter"),
        (["propose", "demo", "--domain", "kernel=9x"], "not possible"),
        (["propose", "demo", "--strategy", "luck"], "luck"),
        (["favour", "demo", "kernel=1", "--clear"], "not both"),
        (["favour", "demo", "kernel"], "not PARAM=DOMAIN"),
        (["favour", "demo", "conv_layers=9..3"], "reversed"),
    ],
)
def test_wrong_use_is_said(store: Store, words: list[str], message: str) -> None:
    before = store.refresh()
    assert message in lcsearch(*words, code=2)[1]
    assert store.refresh() is before


def test_show_and_the_engines_status_say_the_same(store: Store) -> None:
    status = lcsearch("engine", "status", "demo")[0]
    assert status.strip() == lcsearch("show", "demo")[0].splitlines()[-1]
    assert "no engine is at work" in status


def test_more_trials_than_planned_are_no_part_of_them(store: Store) -> None:
    assert "4 trials, 2 planned" in lcsearch("show", "demo")[0]
    assert words.level_trials(1, 2) == "1 of 2 trials"


def test_undo_says_what_and_which_trial(store: Store) -> None:
    number = lcsearch("accept", "demo", "--rank", "1")[0].strip()
    assert lcsearch("undo", "demo")[1] == f"undone: the accepted candidate, trial {number}.\n"
    lcsearch("set", "demo", "--wc", "1")
    assert lcsearch("undo", "demo")[1] == "undone: the change of w_c.\n"


def test_undo_names_the_decision_before_a_trial_that_started(store: Store) -> None:
    lcsearch("set", "demo", "--wc", "1")
    older = store.refresh().decisions[-1].number
    number = int(lcsearch("accept", "demo", "--rank", "1")[0])
    store.update_trial(number, {"queued"}, state="running", attempt=1)
    refused = lcsearch("undo", "demo", code=1)[1]
    assert f"trial {number} has started" in refused
    assert f"`lcsearch undo demo --decision {older}`" in refused
    assert store.refresh().session.wc == 1
    said = lcsearch("undo", "demo", "--decision", str(older))[1]
    assert said == "undone: the change of w_c.\n"


def test_reopen_of_the_present_level_says_that_it_goes_on_from_another_trial(store: Store) -> None:
    lcsearch("advance", "demo", "--trial", "1")
    said = lcsearch("reopen", "demo", "--level", "2", "--trial", "2")[1]
    assert said == "level 2 goes on from trial 2; what was learnt stays.\n"
    assert lcsearch("reopen", "demo", "--level", "1", "--trial", "1")[1] == (
        "level 1 is open again, from trial 1.\n"
    )
