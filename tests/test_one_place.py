"""Rules that stand in one place: a second copy that decides is found here."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lcsearch
from lcsearch.engine import search
from lcsearch.engine.client.home import SetupError, create
from lcsearch.engine.objective import error_at, objective
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.cnn.space import LEVELS, reference, space
from lcsearch.engine.tasks.cnn.training import TRAINING
from lcsearch.engine.tasks.task import TASKS, session_space
from lcsearch.sessions import choices, files
from lcsearch.sessions.records import (
    LARGEST_WC,
    OPEN_STATES,
    DataSource,
    Session,
    Setup,
    is_weight,
)
from lcsearch.tui.dialogs import strategy
from lcsearch.tui.networks import network_line

from .conftest import lcsearch as command
from .fakes import changed, make_session, make_snapshot

ROOT = Path(lcsearch.__file__).resolve().parent
SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("tui", "engine", "sessions")
    for path in (ROOT / folder).rglob("*.py")
}


def where(found: Callable[[ast.AST], bool]) -> list[str]:
    """The files with a node of the syntax tree that is one of these, each as often as it has it."""
    return sorted(file for file, tree in SOURCES.items() for node in ast.walk(tree) if found(node))


def constants(node: ast.AST) -> set[object]:
    """The words of a literal tuple, list or set."""
    if not isinstance(node, ast.Tuple | ast.List | ast.Set):
        return set()
    return {part.value for part in node.elts if isinstance(part, ast.Constant)}


def test_what_a_w_c_can_be() -> None:
    def bounds_it(node: ast.AST) -> bool:
        """`low <= wc < high`, or a comparison with the largest one."""
        if not isinstance(node, ast.Compare):
            return False
        named = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(node)}
        return "LARGEST_WC" in named or ("wc" in named and len(node.ops) == 2)

    assert set(where(bounds_it)) <= {"sessions/records.py"}
    snapshot = make_snapshot()
    for value, fits in ((0.0, True), (999_999.0, True), (-0.1, False), (LARGEST_WC, False)):
        assert is_weight(value) == fits
        assert _refused(partial(make_session, wc=value)) != fits
        assert _refused(partial(decide.set_wc, snapshot, value)) != fits


def _refused(do: Callable[[], object]) -> bool:
    try:
        do()
    except ValueError:
        return True
    except Exception as error:  # noqa: BLE001 - whichever way it says no
        return "w_c" in str(error)
    return False


def test_a_w_c_that_cannot_be_is_refused_by_every_way_in(home: Path) -> None:
    with pytest.raises(SetupError, match=r"w_c = 1000000\.0: not usable"):
        create(home, Setup("s", DataSource(spec="digits"), wc=LARGEST_WC))
    assert "--wc 1000000.0: not usable" in command("new", "s", "--wc", "1e6", code=2)[1]


def test_f_is_worked_out_where_it_is_defined() -> None:
    def weighs(node: ast.AST) -> bool:
        """`a + w * b`, w a w_c by its name."""
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add | ast.Sub)
            and isinstance(node.right, ast.BinOp)
            and isinstance(node.right.op, ast.Mult)
            and any(
                isinstance(part, ast.Name) and part.id in ("wc", "weight", "complexity_weight")
                for part in (node.right.left, node.right.right)
            )
        )

    assert set(where(weighs)) == {"engine/objective.py"}
    for f, complexity, wc in np.random.default_rng(0).uniform(0, 2, (50, 3)):
        assert objective(error_at(f, complexity, wc), complexity, wc) == pytest.approx(f)


def test_the_seed_of_a_trial() -> None:
    def thousand(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mult)
            and isinstance(node.left, ast.Attribute)
            and node.left.attr == "seed"
            and isinstance(node.right, ast.Constant)
            and node.right.value == 1000
        )

    assert where(thousand) == ["engine/search/decide.py"]


def _texts(pattern: str) -> list[str]:
    return where(
        lambda node: (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern in node.value
        )
    )


def test_the_form_of_a_sessions_name_and_of_a_device() -> None:
    assert _texts("[A-Za-z0-9][A-Za-z0-9._-]") == ["sessions/places.py"]
    assert _texts(r"cuda(:\d{1,2})") == ["sessions/choices.py"]


def test_the_states_that_count_as_pending_or_waiting() -> None:
    groups = [{"queued", "running", "interrupted"}, {"queued", "interrupted"}]
    groups += [{"running", "interrupted"}, {"queued", "interrupted", "paused"}, set(OPEN_STATES)]
    found = where(lambda node: constants(node) in groups)
    # what is told of each, in words, is told in its order
    assert set(found) <= {"sessions/records.py", "tui/engine_state.py"}
    assert found.count("tui/engine_state.py") <= 1
    snapshot = make_snapshot()
    for state in OPEN_STATES:
        trial = changed(snapshot, 3, state=state).trials[3]
        assert trial.pending == (trial.waits or trial.goes) == (state != "paused")


def test_a_file_is_written_whole_in_one_way() -> None:
    def writes(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in ("fsync", "mkstemp")

    # what SQLite writes itself, it must be left to
    assert set(where(writes)) == {"sessions/files.py", "sessions/schema.py"}
    assert set(where(lambda n: isinstance(n, ast.Attribute) and n.attr == "ENOSPC")) == {
        "sessions/files.py"
    }


def test_a_file_that_cannot_be_replaced_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    for part in (None, tmp_path / "a.json.part"):
        files.replace(file, b"old", part)

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as m:
            m.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                files.replace(file, b"new", part)
        assert file.read_bytes() == b"old"
        assert [f.name for f in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "listed",
    [choices.STRATEGIES, choices.AUGMENTS, choices.DTYPES, choices.METRICS, choices.FITS],
    ids=lambda words: words[0],
)
def test_the_words_of_a_setting_are_listed_once(listed: tuple[str, ...]) -> None:
    found = where(lambda node: len(constants(node) & set(listed)) >= len(listed) - 1)
    assert set(found) <= {"sessions/choices.py"}


def test_whoever_offers_strategies_offers_all() -> None:
    assert tuple(choice.name for choice in strategy.STRATEGIES) == choices.STRATEGIES
    for verb in (("new",), ("set",), ("propose",)):
        told = re.sub(r"[\s│]", "", command(*verb, "--help")[0])
        assert "|".join(choices.STRATEGIES) in told


def test_measures_and_executors_are_listed_in_their_registries() -> None:
    names = {measure.name for measure in TASKS["cnn"].measures}
    found = where(lambda node: constants(node) == names)
    assert found == []
    assert where(lambda node: constants(node) == {"local", "ray"}) == []


def test_what_is_searched_for_is_chosen_from_an_epoch_once() -> None:
    """f_p is 1 - the score of the best epoch: nothing else takes an accuracy for it."""

    def best_of_epochs(node: ast.AST) -> bool:
        """`max`, `min` or `sorted` over something of epochs."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return False
        told = {getattr(n, "attr", "") for n in ast.walk(node)}
        return node.func.id in ("max", "min", "sorted") and bool(
            told & {"score", "val_accuracy", "val_metric"}
        )

    assert where(best_of_epochs) == ["engine/objective.py"]
    reads = where(lambda node: isinstance(node, ast.Attribute) and node.attr == "val_metric")
    assert set(reads) <= {"sessions/records.py", "engine/client/imports.py"}
    reads = where(lambda node: isinstance(node, ast.Attribute) and node.attr == "val_accuracy")
    assert set(reads) <= {"sessions/records.py", "engine/client/imports.py"}
    kept = where(lambda node: isinstance(node, ast.FunctionDef) and node.name == "effective_images")
    assert kept == ["engine/metric.py"]


def test_what_a_ranking_depends_on() -> None:
    snapshot = make_snapshot()
    key = search.ranking_key(snapshot)
    others: dict[str, Any] = {
        "level": 1, "bases": {2: 3}, "strategy": "random", "flat": True, "seed": 9,
        "domains": {}, "favourite": {"kernel": "3"}, "measure": "macs", "trials_per_level": 3,
        "macs_cap": 2.0, "features": 1, "parameters": ("kernel",), "name": "other",
    }  # fmt: skip
    for name, value in others.items():
        session = snapshot.session.model_copy(update={name: value})
        assert search.ranking_key(dataclasses.replace(snapshot, session=session)) != key, name
    for name in search.standing.NOT_RANKED_BY:
        assert name in Session.model_fields
    session = snapshot.session.model_copy(update={"wc": 7.0, "stop_behind": True})
    assert search.ranking_key(dataclasses.replace(snapshot, session=session)) == key
    waiting = next(t.number for t in snapshot.trials if t.state == "queued")
    running = changed(snapshot, waiting, state="running")
    assert search.ranking_key(running) == key  # it is pending either way
    assert search.ranking_key(changed(snapshot, waiting, state="cancelled")) != key
    assert _uses("tui/open_session.py", "ranking_key")
    assert _uses("engine/service.py", "ranking_key")


def _uses(file: str, name: str) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == name)
        or (isinstance(node, ast.Attribute) and node.attr == name)
        for node in ast.walk(SOURCES[file])
    )


def test_a_set_up_proposes_what_a_session_has() -> None:
    """Except for what follows from others: its trials a level, the weights of the loss; the
    limits, which are read once the images are known; the space, which it keeps as parameters;
    what parameters begin with, which that space says; the prior, which a session of before does not
    have; and what it learns from, by name.
    """
    proposed = {field.name: field for field in dataclasses.fields(Setup)}
    kept = Session.model_fields
    assert set(proposed) <= set(kept) | {"space"}
    for name, field in proposed.items():
        default = (
            field.default_factory()
            if field.default_factory is not dataclasses.MISSING
            else field.default
        )
        if default is dataclasses.MISSING or name in (
            "trials_per_level",
            "class_weights",
            "limits",
            "space",
            "defaults",
            "prior",
            "learn_from",
        ):
            continue
        assert default == kept[name].get_default(call_default_factory=True), name


def test_how_a_network_is_trained_by_default() -> None:
    whole = space((1, 8, 8), 10)
    base = reference((1, 8, 8), 10)
    for name, value in TRAINING.items():
        assert whole[name].default == base[name] == value
    # a line tells of training only what is not so
    assert "lr" not in network_line(base)
    assert "lr" in network_line({**base, "learning_rate": 0.5})
    numbers = where(lambda node: constants(node) >= {1e-3, 1.0, 128})
    assert numbers == []


def test_the_levels_are_the_tasks() -> None:
    assert where(lambda node: constants(node) == set(LEVELS)) == ["engine/tasks/cnn/space.py"]
    session = make_session()
    assert session_space(session).levels == TASKS["cnn"].levels == LEVELS
    imports = where(
        lambda node: (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[-1] in ("cnn", "layout", "space")
            and any(
                alias.name in ("LEVELS", "FLAT", "network", "reference") for alias in node.names
            )
        )
    )
    allowed = re.compile(r"engine/(tasks|training)/")
    assert [file for file in imports if not allowed.match(file)] == []


def test_one_training_loop_has_the_steps_of_every_training() -> None:
    """The final training and a trial's differ in what is timed; a step is the same function."""
    for name in ("set_rate", "begin_epoch", "finite_loss", "batch_bounds"):
        homes = where(
            lambda node, n=name: isinstance(node, ast.FunctionDef) and node.name == n  # type: ignore[misc]
        )
        assert homes == ["engine/training/loop.py"], name
    raised = where(
        lambda node: (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Diverged"
        )
    )
    assert set(raised) == {"engine/training/loop.py"}
    steps = where(
        lambda node: (
            isinstance(node, ast.Attribute)
            and node.attr == "backward"
            and isinstance(node.value, ast.Attribute)
        )
    )
    assert set(steps) == {"engine/training/loop.py"}


def test_layers_are_tabulated_in_one_place() -> None:
    tables = where(
        lambda node: isinstance(node, ast.Attribute) and node.attr in ("convolutions", "dense")
    )
    allowed = re.compile(r"engine/(tasks|training)/|tui/networks/cnn\.py")
    assert [file for file in tables if not allowed.match(file)] == []


def test_what_is_half_written_is_found_with_what_it_belongs_to() -> None:
    """An engine takes away `trial-N.*` once a trial has ended."""
    assert files.part_of(Path("checkpoints/trial-1.pt")).match("trial-1.*")
    writers = ("engine/training/checkpoint.py", "engine/executors/ray.py", "sessions/schema.py")
    assert all(_uses(file, "part_of") for file in writers)
