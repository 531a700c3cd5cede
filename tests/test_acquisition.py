"""Expected improvement against mpmath, closed forms and sampling."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from lcsearch.engine.model.acquisition import (
    expected_improvement,
    log_expected_improvement,
    log_h,
    log_normal_improvement,
)
from lcsearch.engine.objective import NEVER


def exact_log_h(z: float) -> float:
    with mpmath.workdps(60):
        z_ = mpmath.mpf(z)
        if z < -30:
            # phi(z) + z Phi(z) = phi(z) (1 - |z| R), R the Mills ratio: the tail of mpmath's erfc
            mills = mpmath.erfc(-z_ / mpmath.sqrt(2)) / 2 / mpmath.npdf(z_)
            return float(mpmath.log(mpmath.npdf(z_)) + mpmath.log(1 + z_ * mills))
        return float(mpmath.log(mpmath.npdf(z_) + z_ * mpmath.ncdf(z_)))


@pytest.mark.parametrize(
    ("z", "value"),
    [(-5, -16.7443011626610), (-10, -55.5531220360224), (-40, -808.29856835662)],
)
def test_log_h_equals_the_reference_numbers(z: int, value: float) -> None:
    assert log_h(np.array([z]))[0] == pytest.approx(value, abs=2e-10)


def test_log_h_equals_mpmath_from_deep_below_to_far_above() -> None:
    points = np.concatenate([-np.logspace(3.3, -3, 60), [0.0], np.logspace(-3, 2, 30)])
    expected = [exact_log_h(float(z)) for z in points]
    np.testing.assert_allclose(log_h(points), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("joint", [-1.0, -1e6])
def test_log_h_has_no_step_where_its_branches_meet(joint: float) -> None:
    step = 1e-9 * abs(joint)
    below, above = log_h(np.array([joint - step, joint + step]))
    slope = -joint if joint < -1 else 1.5
    assert above > below
    assert above - below <= 2 * step * slope * 1.5 + 1e-3 * (joint < -1)


def test_log_h_increases_and_stays_finite() -> None:
    z = np.sort(np.concatenate([-np.logspace(-6, 12, 500), np.logspace(-6, 12, 500)]))
    values = log_h(z)
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()


def test_both_terms_add_up_and_keep_their_signs() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=200), rng.uniform(0.01, 2, 200)
    gain = expected_improvement(mean, std, 0.3)
    np.testing.assert_allclose(gain.exploit + gain.explore, gain.ei, rtol=1e-9, atol=1e-15)
    assert (gain.exploit[mean > 0.3] <= 0).all()
    assert (gain.exploit[mean < 0.3] > 0).all()
    assert (gain.exploit[(mean > 0.3) & (mean < 0.3 + std)] < 0).all()
    assert (gain.explore >= 0).all()
    assert np.isfinite(gain.log_ei).all()
    np.testing.assert_allclose(gain.log_ei, log_expected_improvement(mean, std, 0.3), rtol=1e-12)


def test_expected_improvement_equals_its_definition() -> None:
    draws = np.random.default_rng(1).normal(0.2, 0.5, 2_000_000)
    expected = np.maximum(0.1 - draws, 0).mean()
    found = expected_improvement(np.array([0.2]), np.array([0.5]), 0.1).ei[0]
    assert found == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("log_std", [0.05, 0.5, 1.5])
@pytest.mark.parametrize("other", [(-math.inf, 0.0), (math.log(0.05), 0.0), (math.log(0.1), 0.6)])
def test_the_log_normal_improvement_equals_sampling(
    log_std: float, other: tuple[float, float]
) -> None:
    rng = np.random.default_rng(2)
    first = np.exp(rng.normal(math.log(0.2), log_std, 1_000_000))
    second = np.exp(other[0] + other[1] * rng.normal(size=1_000_000))
    f = first + second
    best = float(np.quantile(f, 0.2))
    gain = log_normal_improvement(
        np.array([math.log(0.2)]),
        np.array([log_std]),
        np.array([other[0]]),
        np.array([other[1]]),
        best,
    )
    assert gain.ei[0] == pytest.approx(np.maximum(best - f, 0).mean(), rel=0.02)
    expected = (best - f.mean()) * (f < best).mean()
    assert gain.exploit[0] == pytest.approx(expected, rel=0.05)
    assert gain.ei[0] == pytest.approx(math.exp(gain.log_ei[0]))


def test_the_log_normal_improvement_agrees_with_the_normal_one_where_the_spread_is_small() -> None:
    log_mean, log_std = np.log([0.1, 0.2, 0.3]), np.full(3, 0.02)
    mean = np.exp(log_mean + log_std**2 / 2)
    std = mean * np.sqrt(np.expm1(log_std**2))
    normal = expected_improvement(mean + 0.1, std, 0.3)
    exact = log_normal_improvement(log_mean, log_std, np.log(np.full(3, 0.1)), np.zeros(3), 0.3)
    np.testing.assert_allclose(exact.ei[:2], normal.ei[:2], rtol=0.02)
    assert exact.log_ei[2] < -20


def test_what_cannot_improve_is_ranked_last_and_stays_finite() -> None:
    gain = log_normal_improvement(
        np.log([0.1, 0.1, 1e9]), np.array([0.5, 0.5, 1e-6]), np.log([0.5, 0.05, 0.05]),
        np.zeros(3), 0.3,
    )  # fmt: skip
    assert gain.log_ei[0] == NEVER
    assert gain.ei[0] == 0
    assert gain.log_ei[1] > -10
    for part in (gain.log_ei, gain.ei, gain.exploit, gain.explore):
        assert np.isfinite(part).all()
