"""After w_c was changed: what was predicted and what was measured stand side by side under one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lcsearch.engine.objective import predicted
from lcsearch.engine.search.scorecard import outcomes
from lcsearch.engine.search.standing import objective
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import Decision, Prediction, Trial
from lcsearch.sessions.snapshot import Snapshot
from lcsearch.tui import format as words
from lcsearch.tui.filters import parse
from lcsearch.tui.sharing import figures
from lcsearch.tui.sharing.page import page
from lcsearch.tui.widgets.frame import Edge

from .consoles import console, press, table_of, text_of
from .fakes import FakeClient, make_snapshot

OLD, NEW = 0.1, 1.5


def weighed() -> Snapshot:
    """A session searched under one w_c, and then given another."""
    snapshot = make_snapshot(queued=0)
    session = snapshot.session.model_copy(update={"wc": NEW})
    return replace(snapshot, session=session)


def last_done(snapshot: Snapshot) -> Trial:
    return [trial for trial in snapshot.trials if trial.observed][-1]


def belief_of(record: Trial | Decision) -> Prediction:
    assert record.prediction is not None
    return record.prediction


def test_a_prediction_is_weighed_anew_and_that_of_its_moment_stays_exact() -> None:
    belief = belief_of(last_done(weighed()))
    assert predicted(belief, OLD) == (belief.mean, belief.std, belief.predictive_std)
    mean, std, predictive = predicted(belief, NEW)
    assert mean == pytest.approx(belief.error + NEW * belief.complexity)
    assert std == pytest.approx(math.hypot(belief.error_std, NEW * belief.complexity_std))
    assert predictive > std


async def test_the_history_shows_both_under_the_present_weight() -> None:
    snapshot = weighed()
    trial = last_done(snapshot)
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "3")
        row = next(r for r in table_of(pilot).rows if r.key == str(trial.number))
        mean = predicted(belief_of(trial), NEW).mean
        measured = objective(trial, NEW)
        assert measured is not None
        assert row.cells[4] == words.f_measured(measured)
        assert row.cells[5] == words.f_value(mean)
        assert abs(measured - mean) < abs(measured - belief_of(trial).mean)
    told = f"μ<{mean + 1e-6} μ>{mean - 1e-6}"
    found = parse(told, session_space(snapshot.session)).matching(snapshot)
    assert trial in found


async def test_the_last_result_is_held_against_what_is_predicted_under_the_present_weight() -> None:
    snapshot = weighed()
    ended = [t for t in snapshot.trials if t.ended is not None]
    trial = max(ended, key=lambda t: (t.ended, t.number))
    of_f = predicted(belief_of(trial), NEW)
    async with console(FakeClient(snapshot)) as pilot:
        told = text_of(pilot, "#training")
        assert f"{words.belief(of_f.mean, of_f.predictive_std)} → " in told
        assert words.f_measured(objective(trial, NEW)) in told


async def test_trust_judges_under_the_weight_of_then_and_says_so() -> None:
    snapshot = weighed()
    for result in outcomes(snapshot):
        assert result.mean == belief_of(result.trial).mean
        assert result.f == objective(result.trial, OLD)
    async with console(FakeClient(snapshot)) as pilot:
        await press(pilot, "5")
        title = pilot.app.screen.query_one("#trust-title", Edge).title_text
        assert title.endswith("under the w_c of then, 0.10")
        scores = text_of(pilot, "#scores")
        assert "under the w_c of then, 0.10" in scores
        assert "under the present w_c, 1.5" in scores
    assert "under the w_c of then, 0.10" in figures.calibration(snapshot).title
    same = make_snapshot()
    assert "w_c" not in figures.calibration(same).title


def test_the_page_shows_both_under_the_present_weight() -> None:
    snapshot = weighed()
    trial = last_done(snapshot)
    shown = page(snapshot, session_space(snapshot.session), None)
    row = next(r for r in shown.trials.rows if r[0] == str(trial.number))
    assert row[5].startswith(f"{predicted(belief_of(trial), NEW).mean:.4f} ± ")
    assert any("under the w_c of then, 0.10" in told for told in shown.scores)
    decision = shown.decisions.rows[0]
    first = belief_of(snapshot.decisions[0])
    assert decision[6].startswith(f"{first.mean:.4f} ± ")
    assert decision[8] == "0.10"
