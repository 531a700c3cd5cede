"""What each class is taken for: in words, on the screen, in files, whatever classes are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.metric import Confusion
from lcsearch.engine.search.standing import Recommendation
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions import exchange
from lcsearch.sessions.choices import Metric
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.records import LARGEST_MATRIX, Session, Trial, matrix
from lcsearch.sessions.store import Store
from lcsearch.tui import classes
from lcsearch.tui.screens.best import BestScreen
from lcsearch.tui.sharing.page import page
from lcsearch.tui.sharing.report import html

from .conftest import lcsearch
from .consoles import console, press, text_of
from .fakes import FakeClient, confused, make_snapshot

HOSTILE = (
    "\x1b[31mred\x1b]0;title\x07", "[bold]b[/bold]", "<script>x</script>", "\x9b2J", "名前" * 9,
    "a\nb", "\u202egnp", "", "{{ 7 * 7 }}", "'\"&",
)  # fmt: skip
"""Ten names as files may have them."""


def of(rows: list[list[int]], **fields: Any) -> tuple[Trial, Session]:
    """A trial that took its classes so, and its session."""
    snapshot = make_snapshot(**fields)
    told = Confusion.of_matrix(rows)
    given = dict(snapshot.trials[1]) | {"recalls": told.recalls(), "confusion": told.rows()}
    summary = snapshot.session.summary.model_copy(update={"classes": len(rows)})
    session = snapshot.session.model_copy(update={"summary": summary})
    return Trial.model_validate(given), session


ROWS = [[90, 8, 2], [1, 8, 1], [1, 30, 69]]


def test_the_worst_confusion_is_what_costs_most_of_the_metric() -> None:
    for metric, first in (("accuracy", (2, 1)), ("balanced", (2, 1)), ("macro-f1", (2, 1))):
        trial, session = of(ROWS, metric=metric)
        worst = classes.mistakes(trial, session)
        assert (worst[0].true, worst[0].taken) == first
        # 8 of 100 are more images than 1 of 10, and a smaller share
        second = [(m.true, m.taken) for m in worst].index((0, 1))
        rare = [(m.true, m.taken) for m in worst].index((1, 0))
        assert (second < rare) == (metric == "accuracy")
    assert worst[0].told(["a", "b", "c"]) == "c taken for b: 30 of 100"


def test_the_smallest_recall_comes_first() -> None:
    trial, _ = of(ROWS)
    assert [at for at, _ in classes.ascending(trial)] == [2, 1, 0]
    gap = trial.model_copy(update={"recalls": (None, 0.2, 0.1)})
    assert classes.ascending(gap) == [(2, 0.1), (1, 0.2), (0, None)]


@pytest.mark.parametrize("width", [20, 30, 44, 62, 120])
@pytest.mark.parametrize("count", [2, 10, 20, 21, 100])
def test_the_table_is_as_wide_as_there_is_room(width: int, count: int) -> None:
    rng = np.random.default_rng(count)
    trial, session = of(rng.integers(0, 99, (count, count)).tolist())
    named = session.summary.model_copy(update={"names": tuple(f"class {i}" for i in range(count))})
    session = session.model_copy(update={"summary": named})
    heading, *lines = classes.table(trial, session, width)
    assert all(cell_len(line) <= width for line in (heading, *lines)), (heading, *lines)
    whole = str(count - 1) in heading.split()
    assert whole == (width >= count * 3 + 14 and count <= classes.IN_TERMINAL)
    assert len(lines) == (count if whole else min(count, classes.WORST) + (count > classes.WORST))


def test_above_a_hundred_classes_there_are_recalls_alone() -> None:
    count = LARGEST_MATRIX + 1
    trial, session = of([[1] * count for _ in range(count)])
    assert matrix(trial.confusion) == []
    assert len(classes.in_brief(trial, session)) == 1
    assert len(list(classes.table(trial, session, 62))) == classes.WORST + 2


def test_two_thousand_trials_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    count = LARGEST_MATRIX
    rows = rng.multinomial(100, [0.6, *[0.4 / (count - 1)] * (count - 1)], size=count).tolist()
    trial, _ = of(rows)
    assert matrix(trial.confusion) == rows
    assert 2000 * len(trial.confusion) < 20e6


async def test_the_screen_shows_names_as_they_are_and_obeys_none() -> None:
    snapshot = confused(make_snapshot(), HOSTILE)
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "6")
        assert isinstance(pilot.app.screen, BestScreen)
        told = text_of(pilot, "#classes")
        assert "[bold]b[/bold] taken for <script>x</script>" in told
        assert "�[31mred" in told
        assert not any(ord(c) < 32 and c != "\n" for c in told)
        assert not set("\x9b\u202e") & set(told)


def test_the_page_has_the_matrix_and_runs_nothing() -> None:
    snapshot = confused(make_snapshot(), HOSTILE)
    best = next(t for t in snapshot.trials if t.observed)
    made = page(snapshot, session_space(snapshot.session), Recommendation(best))
    assert made.classes is not None
    assert len(made.classes.table.rows) == 10
    assert made.classes.table.rows[0][:3] == ("6", "�gnp", "70.0")
    assert made.classes.table.rows[0][3 + 7] == "60"
    text = html(made)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "\x1b" not in text
    plain = page(make_snapshot(), session_space(snapshot.session), Recommendation(best))
    assert plain.classes is not None
    bare = best.model_copy(update={"recalls": (), "confusion": b""})
    without = page(make_snapshot(), session_space(snapshot.session), Recommendation(bare))
    assert without.classes is None


def test_json_has_nothing_that_steers_and_matrices_in_a_line() -> None:
    plain = {"name": "\x9b2J", "confusion": [[1, 0], [0, 2]], "recalls": [1.0, None]}
    text = exchange.in_lines(plain)
    assert "\x9b" not in text
    assert json.loads(text) == plain
    assert '"confusion": [[1,0],[0,2]],' in text
    trick = {"reason": 'a "confusion": [\n 1]', "list": [1, 2]}
    assert json.loads(exchange.in_lines(trick)) == trick


@pytest.mark.parametrize("metric", ["balanced", "macro-f1"])
def test_a_search_by_another_metric(home: Path, tmp_path: Path, metric: Metric) -> None:
    """From `new` to `train`, with the real engine, on images whose classes are unequal."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [120, 60, 15])
    images = rng.integers(0, 90, (len(labels), 1, 8, 8), dtype=np.uint8)
    images[np.arange(len(labels)), 0, labels * 2] += 60
    half = np.arange(len(labels)) % 3 == 0
    file = tmp_path / "unequal.npz"
    np.savez(file, xtr=images, ytr=labels, xte=images[half], yte=labels[half])
    setting = ("--metric", metric, "--epochs", "3", "--measure", "params", "--trials", "2")
    lcsearch("new", "rare", "--data", f"npz:{file}", *setting)
    told = "".join(lcsearch("run", "rare", "--trials", "1"))
    title = {"balanced": "balanced", "macro-f1": "macro-F1"}[metric]
    assert f"  {title} " in told
    shown, _ = lcsearch("show", "rare")
    assert f"  {title} " in shown
    assert "classes weighted in the loss" in shown
    assert "smallest recalls of trial" in shown
    whole = json.loads(lcsearch("show", "rare", "--json")[0])
    assert whole["session"]["metric"] == metric
    assert whole["session"]["class_weights"] == "balanced"
    for trial in whole["trials"]:
        best = max(trial["epochs"], key=lambda e: e["val_metric"])
        told_of = Confusion.of_matrix(trial["confusion"])
        assert trial["error"] == 1 - best["val_metric"]
        assert best["val_metric"] == told_of.score(metric)
        assert best["val_accuracy"] == told_of.accuracy
        assert trial["recalls"] == list(told_of.recalls())
        assert trial["effective_images"] == told_of.effective_images(metric)
    lcsearch("export", "rare", "-o", str(tmp_path / "rare.json"))
    folder = bring_back(home, tmp_path / "rare.json", "again")
    store = Store(folder)
    again = store.refresh().trials
    store.close()
    first = Store(home / "sessions" / "rare")
    assert again == first.refresh().trials
    first.close()
    for change in ("confusion", "recalls", "effective_images"):
        broken = json.loads((tmp_path / "rare.json").read_text())
        trial = broken["trials"][1]
        if change == "confusion":
            trial["confusion"][0][0] += 1
        elif change == "recalls":
            known = max(range(len(trial["recalls"])), key=trial["recalls"].__getitem__)
            trial["recalls"][known] *= 0.5  # of a class that is told at all
        else:
            trial["effective_images"] *= 2
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(Misuse, match=r"confusion|recalls|effective_images"):
            bring_back(home, tmp_path / "broken.json", "broken")
    out = tmp_path / "out"
    _, told = lcsearch("train", "rare", "-o", str(out), "--epochs", "2")
    assert {"balanced": "balanced accuracy", "macro-f1": "macro-F1"}[metric] in told
    result = json.loads((out / "result.json").read_text())
    of_test = Confusion.of_matrix(result["confusion"])
    assert of_test.images.tolist() == np.bincount(labels[half]).tolist()
    assert result["test_accuracy"] == of_test.accuracy
    assert result["test_metric"] == of_test.score(result["metric"])
    assert result["recalls"] == list(of_test.recalls())
    assert (result["classes"], result["class_weights"]) == (["0", "1", "2"], "balanced")
    lcsearch("engine", "stop", "rare")
