"""What is known before a session's first trial: seconds as a sum over what a step does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lcsearch.engine.model.embedding import Embedding
from lcsearch.engine.model.prior import Prior, TimePrior
from lcsearch.engine.model.surrogate import Surrogate
from lcsearch.engine.objective import Observation
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.cnn.work import KINDS
from lcsearch.engine.training.build import build
from lcsearch.engine.training.shortcut import Shortcut
from lcsearch.engine.training.sparse import SparseLinear
from lcsearch.sessions.errors import Misuse
from lcsearch.sessions.records import Config

from .conftest import benchmark

SHAPE = (1, 12, 12)
SPACE = cnn.space(SHAPE, 10)
REFERENCE = SPACE.reference or {}
WEIGHTS = np.array(
    [3e-4, 5e-5, 5e-5, 5e-5, 5e-5, 1e-4, 1e-9, 3e-9, 2e-9, 1e-10, 1e-8, 1e-8, 5e-9, 1e-8, 1e-9]
)
TIME = TimePrior(KINDS, WEIGHTS, np.full(len(KINDS), 0.5), residual=0.15, noise=0.05)
PRIOR = Prior(TIME)


def done(config: Config) -> dict[str, float]:
    """What an image takes of each kind."""
    assert SPACE.work is not None
    return dict(zip(KINDS, SPACE.work(config), strict=True))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_work_is_that_of_the_modules(seed: int) -> None:
    config = SPACE.sample(np.random.default_rng(seed))
    network = cnn.network(config, SHAPE, 10)
    told, batch = done(config), config["batch_size"]
    modules = list(build(network, 0).modules())

    def count(kind: type[nn.Module]) -> int:
        return sum(isinstance(module, kind) for module in modules)

    assert told["step"] * batch == pytest.approx(1)
    assert told["convolution"] * batch == pytest.approx(count(nn.Conv2d))
    assert told["norm"] * batch == pytest.approx(count(nn.BatchNorm2d))
    assert told["shortcut"] * batch == pytest.approx(count(Shortcut))
    assert told["classifier layer"] * batch == pytest.approx(count(nn.Linear))
    assert told["sparse layer"] * batch == pytest.approx(count(SparseLinear))
    assert told["parameters"] * batch == pytest.approx(network.params)
    macs = sum(told[f"{kind} MACs"] for kind in ("plain", "grouped", "depthwise", "classifier"))
    assert macs == network.macs
    assert all(value >= 0 for value in told.values())
    assert len(told) == len(KINDS)


def test_work_of_a_network_by_hand() -> None:
    config = SPACE.resized(
        {
            **REFERENCE,
            "conv_layers": 3,
            "channels": [8, 8, 16],
            "kernel": [3, 3, 5],
            "downsample": ["none", "pool", "stride"],
            "batch_norm": [True, False, True],
            "shortcut": [False, True, False],
            "conv": ["plain", "plain", "separable"],
            "groups": [1, 2, 1],
            "batch_size": 100,
        }
    )
    told = done(config)
    assert told["plain MACs"] == 9 * 8 * 144 + 8 * 16 * 9  # the last is the 1 x 1 of the third
    assert told["grouped MACs"] == 9 * 4 * 8 * 144
    assert told["depthwise MACs"] == 25 * 8 * 9
    assert told["norm"] == pytest.approx(3 / 100)  # one, none, and two of the separable layer
    assert told["normalised"] == 8 * 144 + 8 * 9 + 16 * 9
    assert told["pooled"] == 8 * 144
    # read and written by each convolution, and the image that is added
    assert told["elements"] == (144 + 1152) + (1152 + 1152) + 144 + (288 + 72) + (72 + 144)


def test_the_reference_takes_as_long_as_itself_and_twice_the_batches_longer() -> None:
    assert SPACE.work is not None
    work = np.array([SPACE.work({**REFERENCE, "batch_size": size}) for size in (128, 64, 32)])
    mean = TIME.mean(work, work[0])
    assert mean[0] == 0
    assert 0 < mean[1] < mean[2] < math.log(4)
    assert TIME.lines(work, work[0])[0] == pytest.approx(0)


def test_lines_are_what_the_mean_does_as_weights_move() -> None:
    assert SPACE.work is not None
    rng = np.random.default_rng(0)
    work = np.array([SPACE.work(SPACE.sample(rng)) for _ in range(5)])
    reference = np.array(SPACE.work(REFERENCE))
    step = 1e-5
    for at in range(len(KINDS)):
        weights = TIME.weights.copy()
        weights[at] *= math.exp(step * TIME.spreads[at])
        moved = TimePrior(KINDS, weights, TIME.spreads, TIME.residual, TIME.noise)
        slope = (moved.mean(work, reference) - TIME.mean(work, reference)) / step
        assert slope / TIME.residual == pytest.approx(
            TIME.lines(work, reference)[:, at], rel=1e-3, abs=1e-9
        )


def observed(weights: np.ndarray, count: int, seed: int) -> list[Observation]:
    """The reference and random networks, whose seconds are by these weights."""
    assert SPACE.work is not None
    rng = np.random.default_rng(seed)
    configs = [REFERENCE, *(SPACE.sample(rng) for _ in range(count))]
    work = np.array([SPACE.work(config) for config in configs])
    ratios = work @ weights / (work[0] @ weights)
    noisy = ratios * np.exp(0.03 * rng.standard_normal(len(ratios)))
    return [
        Observation(at, 0, config, 0.2, 100, float(ratio))
        for at, (config, ratio) in enumerate(zip(configs, noisy, strict=True))
    ]


def apart(
    trials: list[Observation], others: list[Observation], prior: Prior
) -> tuple[float, float]:
    """Root mean square of log f_c, predicted less true; and the mean latent σ of it."""
    surrogate = Surrogate(SPACE, trials, SPACE.dimensions(0, REFERENCE), prior=prior)
    belief = surrogate.belief(surrogate.points([o.config for o in others])).complexity
    truth = np.log([o.complexity for o in others])
    error = belief.transformed_mean - truth
    return float(np.sqrt(np.mean(error**2))), float(belief.transformed_std.mean())


def test_a_belief_about_time_begins_at_what_is_known_and_learns_the_machine() -> None:
    # another machine: convolutions and steps are dearer, elements cheaper
    other = WEIGHTS * np.exp(np.random.default_rng(3).normal(0, 0.6, len(WEIGHTS)))
    others = observed(other, 60, 9)[1:]
    first, doubt = apart(observed(other, 0, 0), others, PRIOR)
    plain, _ = apart(observed(other, 2, 0), others, Prior())
    assert first < 0.7 * plain  # before any trial but the reference
    later, less = apart(observed(other, 20, 0), others, PRIOR)
    assert later < 0.6 * first
    assert less < doubt
    assert apart(observed(other, 20, 0), others, Prior())[0] > later


def test_what_waits_is_believed_to_take_as_long_as_is_expected() -> None:
    surrogate = Surrogate(SPACE, observed(WEIGHTS, 4, 1), 10, prior=PRIOR)
    points = surrogate.points([o.config for o in observed(WEIGHTS, 3, 2)])
    before = surrogate.belief(points).complexity
    after = surrogate.believing(points).belief(points).complexity
    assert after.transformed_mean == pytest.approx(before.transformed_mean, abs=1e-6)
    assert (after.transformed_std < before.transformed_std + 1e-12).all()


def test_a_prior_of_other_work_is_refused() -> None:
    with pytest.raises(ValueError, match="a prior of"):
        Embedding(SPACE, Prior(TimePrior(("hops",), np.ones(1), np.ones(1), 0.1, 0.1)))


def test_without_one_no_feature_is_added() -> None:
    bare, known = Embedding(SPACE), Embedding(SPACE, PRIOR)
    assert known.size == bare.size + 1 + len(KINDS)
    assert bare.groups == known.groups
    rows = [REFERENCE, SPACE.sample(np.random.default_rng(0))]
    np.testing.assert_array_equal(known(rows)[:, : bare.size], bare(rows))


def test_it_is_written_and_read(tmp_path: Path) -> None:
    PRIOR.write(tmp_path / "prior.json")
    again = Prior.read(tmp_path / "prior.json").time
    assert again is not None
    assert again.kinds == KINDS
    np.testing.assert_allclose(again.weights, WEIGHTS)
    np.testing.assert_allclose(again.spreads, TIME.spreads)
    assert (again.residual, again.noise) == (TIME.residual, TIME.noise)
    Prior().write(tmp_path / "nothing.json")
    assert Prior.read(tmp_path / "nothing.json") == Prior()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no json", "not a prior"),
        ("{}", "not a prior"),
        ("[1]", "not a prior"),
        ('{"version": 1, "time": {"kinds": []}}', "not a prior"),
        ('{"version": 2}', "newer lcsearch"),
    ],
)
def test_what_is_no_prior_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "prior.json").write_text(text)
    with pytest.raises(Misuse, match=told):
        Prior.read(tmp_path / "prior.json")
    with pytest.raises(Misuse, match="not a prior"):
        Prior.read(tmp_path / "none.json")


def test_it_is_learnt_from_tables_of_several_machines() -> None:
    made = benchmark("make_prior")
    assert SPACE.work is not None
    rng, reference = np.random.default_rng(0), np.array(SPACE.work(REFERENCE))
    tables = []
    for number in range(4):
        weights = WEIGHTS * np.exp(rng.normal(0, 0.3, len(WEIGHTS)))
        work = np.array([SPACE.work(SPACE.sample(rng)) for _ in range(120)])
        log = np.log(work @ weights / (reference @ weights)) + rng.normal(0, 0.1, len(work))
        repeats = [[float(one), float(one + rng.normal(0, 0.02))] for one in log]
        random = np.ones(len(work), dtype=bool)
        tables.append(made.Timed(str(number), work, reference, log, random, repeats))
    *known, other = tables
    found = made.time_prior(known)
    # of a machine that it never saw nearly as much as who knows what machines are like
    apart, best = (
        np.sqrt(np.mean((time.mean(other.work, reference) - other.log_ratio) ** 2))
        for time in (found, TIME)
    )
    assert apart < best + 0.1
    assert found.residual == pytest.approx(0.1, rel=0.3)
    assert found.noise == pytest.approx(0.02 / 2**0.5, rel=0.5)
    assert (found.spreads >= made.SMALLEST_SPREAD).all()
    alone = made.time_prior(known[:1])
    assert (alone.spreads == made.FIRST_SPREAD).all()
