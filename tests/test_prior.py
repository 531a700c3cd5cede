"""What is known before a session's first trial: seconds as a sum over what a step does."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from lcsearch.engine.tasks.cnn.traits import TRAITS
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
    [
        3e-4,
        5e-5,
        5e-5,
        5e-5,
        5e-5,
        1e-4,
        1e-9,
        3e-9,
        2e-9,
        1e-10,
        5e-7,
        1e-9,
        1e-8,
        1e-8,
        5e-9,
        1e-8,
        1e-9,
    ]
)
TIME = TimePrior(KINDS, WEIGHTS, np.full(len(KINDS), 0.5), 0.15, 0.5, 0.05)
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
    found, batch = done(config), config["batch_size"]
    modules = list(build(network, 0).modules())

    def count(kind: type[nn.Module]) -> int:
        return sum(isinstance(module, kind) for module in modules)

    steps = math.ceil(1000 / batch) / 1000  # of an image: the last batch may be a smaller one
    assert found["step"] == pytest.approx(steps)
    assert found["convolution"] / steps == pytest.approx(count(nn.Conv2d))
    assert found["norm"] / steps == pytest.approx(count(nn.BatchNorm2d))
    assert found["shortcut"] / steps == pytest.approx(count(Shortcut))
    assert found["classifier layer"] / steps == pytest.approx(count(nn.Linear))
    assert found["sparse layer"] / steps == pytest.approx(count(SparseLinear))
    assert found["parameters"] / steps == pytest.approx(network.params)
    macs = sum(found[f"{kind} MACs"] for kind in ("plain", "grouped", "depthwise", "classifier"))
    assert macs == network.macs
    assert all(value >= 0 for value in found.values())
    assert len(found) == len(KINDS)


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
    found = done(config)
    assert found["plain MACs"] == 9 * 8 * 144 + 8 * 16 * 9  # the last is the 1 x 1 of the third
    assert found["grouped MACs"] == 9 * 4 * 8 * 144
    assert found["depthwise MACs"] == 25 * 8 * 9
    assert found["norm"] == pytest.approx(3 / 100)  # one, none, and two of the separable layer
    assert found["normalised"] == 8 * 144 + 8 * 9 + 16 * 9
    assert found["pooled"] == 8 * 144
    assert found["image of a convolution"] == 4
    assert found["taps"] == 9 * 144 + 9 * 8 * 144 + 25 * 8 * 9 + 8 * 9
    # ReLU comes after the pool; a separable layer has one between its convolutions
    assert found["activated"] == 8 * 144 + 8 * 36 + 8 * 9 + 16 * 9
    # read and written by each convolution, and the image that is added
    assert found["elements"] == (144 + 1152) + (1152 + 1152) + 144 + (288 + 72) + (72 + 144)


def test_the_reference_takes_as_long_as_itself_and_twice_the_batches_longer() -> None:
    assert SPACE.work is not None
    work = np.array([SPACE.work({**REFERENCE, "batch_size": size}) for size in (125, 64, 32)])
    mean = TIME.mean(work, np.array(SPACE.work_beside))
    # a trial of 1,000 images has 8 steps, the reference is timed in whole batches of 128
    assert mean[0] == pytest.approx(0, abs=0.03)
    assert mean[0] < mean[1] < mean[2] < math.log(4)
    assert TIME.mean(work, work[0])[0] == 0
    assert TIME.lines(work, work[0])[0] == pytest.approx(0)


def test_lines_are_what_the_mean_does_as_weights_move() -> None:
    assert SPACE.work is not None
    rng = np.random.default_rng(0)
    work = np.array([SPACE.work(SPACE.sample(rng)) for _ in range(5)])
    reference = np.array(SPACE.work_beside)
    step = 1e-5
    for at in range(len(KINDS)):
        weights = TIME.weights.copy()
        weights[at] *= math.exp(step * TIME.spreads[at])
        moved = replace(TIME, weights=weights)
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
    ratios = work @ weights / (np.array(SPACE.work_beside) @ weights)
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


@pytest.mark.parametrize("average", [1, 8])
def test_what_waits_is_believed_to_take_as_long_as_is_expected(average: int) -> None:
    surrogate = Surrogate(SPACE, observed(WEIGHTS, 6, 1), 10, prior=PRIOR, average=average)
    points = surrogate.points([o.config for o in observed(WEIGHTS, 3, 2)[1:]])
    others = surrogate.points([o.config for o in observed(WEIGHTS, 20, 3)[1:]])
    after = surrogate.believing(points)
    for at in (points, others):  # no mean moves, here or elsewhere
        before, now = (s.belief(at).complexity for s in (surrogate, after))
        assert now.transformed_mean == pytest.approx(before.transformed_mean, abs=1e-6)
    before, now = (s.belief(points).complexity for s in (surrogate, after))
    assert (now.transformed_std < before.transformed_std).all()


def test_no_distance_counts_what_a_prior_says() -> None:
    known = Embedding(SPACE, PRIOR)
    assert known.compared == Embedding(SPACE).compared == Embedding(SPACE).size
    assert known.time_known is not None
    assert min(known.time_lines) > known.time_known.mean >= known.compared


def test_a_prior_of_other_work_is_refused() -> None:
    with pytest.raises(ValueError, match="a prior of"):
        Embedding(SPACE, Prior(TimePrior(("hops",), np.ones(1), np.ones(1), 0.1, 0.5, 0.1)))


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
    assert again.residual_spread == TIME.residual_spread
    Prior().write(tmp_path / "nothing.json")
    nothing = Prior.read(tmp_path / "nothing.json")
    assert (nothing.time, nothing.error) == (None, None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no json", "not a prior"),
        ("{}", "not a prior"),
        ("[1]", "not a prior"),
        ('{"version": 1, "time": {"kinds": []}}', "not a prior"),
        ('{"version": 1, "time": [1]}', "not a prior"),
        (
            '{"version": 1, "time": {"kinds": ["a"], "weights": [NaN], "spreads": [1.0], '
            '"residual": 0.1, "residual_spread": 0.5, "noise": 0.1}}',
            "weights has a number that is none",
        ),
        (
            '{"version": 1, "time": {"kinds": ["a"], "weights": [1.0, 2.0], "spreads": [1.0], '
            '"residual": 0.1, "residual_spread": 0.5, "noise": 0.1}}',
            "weights has 2 numbers for 1 kinds",
        ),
        (
            '{"version": 1, "time": {"kinds": ["a"], "weights": [1.0], "spreads": [1.0], '
            '"residual": -1.0, "residual_spread": 0.5, "noise": 0.1}}',
            "no standard deviations",
        ),
        ('{"version": 2}', "newer lcsearch"),
    ],
)
def test_what_is_no_prior_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "prior.json").write_text(text)
    with pytest.raises(Misuse, match=told):
        Prior.read(tmp_path / "prior.json")
    with pytest.raises(Misuse, match="not a prior"):
        Prior.read(tmp_path / "none.json")


def machines(made: Any, seed: int) -> list[Any]:
    """Tables of four machines that differ, the last one to be held back."""
    assert SPACE.work is not None
    rng, reference = np.random.default_rng(seed), np.array(SPACE.work_beside)
    tables = []
    for number in range(4):
        weights = WEIGHTS * np.exp(rng.normal(0, 0.3, len(WEIGHTS)))
        work = np.array([SPACE.work(SPACE.sample(rng)) for _ in range(120)])
        log = np.log(work @ weights / (reference @ weights)) + rng.normal(0, 0.1, len(work))
        repeats = [[float(one), float(one + rng.normal(0, 0.02))] for one in log]
        random = np.ones(len(work), dtype=bool)
        tables.append(made.Timed(str(number), work, reference, log, random, repeats))
    return tables


def test_it_is_learnt_from_tables_of_several_machines() -> None:
    made = benchmark("make_prior")
    off, least = [], []
    for seed in (1, 2):
        *known, other = machines(made, seed)
        found = made.time_prior(known)
        apart, best = (
            np.sqrt(np.mean((time.mean(other.work, other.reference) - other.log_ratio) ** 2))
            for time in (found, TIME)
        )
        off.append(apart)
        least.append(best)
        assert found.residual == pytest.approx(0.1, rel=0.3)
        assert found.noise == pytest.approx(0.02 / 2**0.5, rel=0.2)
    # of a machine that it never saw nearly as much as who knows what machines are like
    assert np.mean(off) < np.mean(least) + 0.07
    # of those that make up the seconds it is known how much they differ
    used = ("plain MACs", "elements", "grouped MACs")
    for name in used:
        assert 0.3 <= found.spreads[KINDS.index(name)] < 0.9
    alone = made.time_prior(known[:1])
    assert (alone.spreads == made.FIRST_SPREAD).all()


# -- the error ----------------------------------------------------------------------------------


def told(config: Config) -> tuple[float, ...]:
    """Its traits."""
    assert SPACE.traits is not None
    return tuple(SPACE.traits(config))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_traits_are_numbers_of_a_size_and_tell_networks_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = SPACE.sample(rng), SPACE.sample(rng)
    assert len(told(one)) == len(TRAITS)
    assert np.isfinite(told(one)).all()
    assert max(map(abs, told(one))) < 50
    assert told(one) != told(other)


def test_traits_of_the_reference_by_name() -> None:
    space = cnn.space((3, 16, 16), 7, images=1280, epochs=4)
    assert space.traits is not None
    assert space.reference is not None
    found = dict(zip(TRAITS, space.traits(space.reference), strict=True))
    assert found["layers"] == 4
    assert found["log MACs"] == found["log parameters"] == 0
    assert found["log first width"] == pytest.approx(math.log(16))
    assert found["widening"] == pytest.approx(math.log(4))
    assert found["shrinking"] == pytest.approx(2 / 4)
    assert found["log last map"] == pytest.approx(math.log(16))
    assert found["log sight"] == pytest.approx(math.log((1 + 2 + 2 + 4 + 4) / 16))
    assert (found["normalised"], found["layers bare"]) == (1, 0)
    assert (found["relu"], found["silu"], found["adam"], found["sgd"]) == (1, 0, 1, 0)
    assert found["log rate"] == pytest.approx(math.log(1e-3))
    assert found["log steps"] == pytest.approx(math.log(4 * 10))
    assert found["log batch share"] == pytest.approx(math.log(0.1))
    assert found["log classes"] == pytest.approx(math.log(7))
    assert found["colours"] == 3
    assert found["log side"] == pytest.approx(math.log(16))
    sgd = {**space.reference, "optimiser": "sgd", "learning_rate": 2e-2}
    again = dict(zip(TRAITS, space.traits(sgd), strict=True))
    assert again["log rate"] == pytest.approx(found["log rate"])  # relative to its optimiser's own


def shape(traits: np.ndarray) -> np.ndarray:
    """What errors are like on all images of these tests."""
    at = {name: traits[:, TRAITS.index(name)] for name in TRAITS}
    return 0.25 * (at["log rate"] + 5) ** 2 * 0.3 - 0.4 * at["log MACs"] + 0.5 * at["layers bare"]


@pytest.fixture(scope="module")
def learnt() -> tuple[Any, Any]:
    """A prior of three kinds of images, and a table of a fourth."""
    made = benchmark("make_prior")
    rng = np.random.default_rng(0)
    tables = []
    for kind, level, slope in (
        ("a", -1.0, 0.2),
        ("b", -2.5, 0.3),
        ("c", -1.5, 0.25),
        ("d", -2, 0.2),
    ):
        traits = np.array([told(SPACE.sample(rng)) for _ in range(100)])
        traits = np.vstack([traits, traits[:50]])  # half of them twice
        log = level + slope * shape(traits) + 0.05 * rng.standard_normal(len(traits))
        pairs = [[row, row + 100] if row < 50 else [row] for row in range(100)]
        tables.append(made.Learnt(kind, traits, log, 10**6, pairs))
    return made.error_prior(tables[:3], steps=500), tables[3]


def test_the_shape_of_errors_is_learnt_and_carries_over(learnt: tuple[Any, Any]) -> None:
    prior, other = learnt
    m = prior.shape(other.traits)
    assert np.corrcoef(m, other.log_error)[0, 1] > 0.85
    assert abs(m.mean()) < 1  # about 0, and b about 1
    b, a = np.polyfit(m, other.log_error, 1)
    assert 0.6 < b < 1.6
    left = np.sqrt(np.mean((other.log_error - a - b * m) ** 2))
    # noise of 0.05 is none of it
    assert prior.noise == pytest.approx(0.05, rel=0.3)
    assert 0.4 * left < prior.residual < 2 * left
    assert -2.7 < prior.level < -0.9
    assert prior.level_spread >= 0.5
    line = prior.lines(m)
    level = prior.level_spread * (1 + prior.tilt * m)  # where errors are larger they differ less
    assert line[:, 0] == pytest.approx(level / prior.residual)
    assert line[:, 1] == pytest.approx(prior.slope_spread / prior.residual * m)


def test_it_is_not_followed_beyond_the_tables(learnt: tuple[Any, Any]) -> None:
    prior, other = learnt
    far = other.traits.copy()
    far[:, TRAITS.index("log images")] = math.log(1e6)
    far[:, TRAITS.index("colours")] = 3  # which no table had
    assert prior.shape(far) == pytest.approx(prior.shape(other.traits))


def test_a_prior_of_errors_is_written_and_read(tmp_path: Path, learnt: tuple[Any, Any]) -> None:
    prior, other = learnt
    Prior(TIME, prior).write(tmp_path / "prior.json")
    again = Prior.read(tmp_path / "prior.json")
    assert again.time is not None
    assert again.error is not None
    np.testing.assert_allclose(
        again.error.shape(other.traits), prior.shape(other.traits), atol=1e-3
    )
    assert (tmp_path / "prior.json").stat().st_size < 500_000


def trained(rows: range, sign: float) -> list[Observation]:
    """Networks whose errors are as those of all images, or the other way round."""
    rng = np.random.default_rng(7)
    configs = [SPACE.sample(rng) for _ in range(80)]
    log = -2 + sign * 0.25 * shape(np.array([told(config) for config in configs]))
    return [
        Observation(row, 0, configs[row], min(math.exp(log[row]), 0.95), 2000, 1.0) for row in rows
    ]


def off(count: int, sign: float, prior: Prior) -> float:
    """Root mean square of the logarithms of errors, predicted less true, after so many trials."""
    surrogate = Surrogate(SPACE, trained(range(count), sign), 20, lambda config: 1.0, prior=prior)
    others = trained(range(40, 80), sign)
    belief = surrogate.belief(surrogate.points([o.config for o in others])).error
    truth = np.log([o.error for o in others])
    return float(np.sqrt(np.mean((belief.transformed_mean - truth) ** 2)))


def test_a_belief_about_errors_begins_with_what_is_usual(learnt: tuple[Any, Any]) -> None:
    known = Prior(error=learnt[0])
    assert off(2, 1, known) < 0.7 * off(2, 1, Prior())
    assert off(40, 1, known) < 1.05 * off(40, 1, Prior())


def test_what_is_usual_fades_where_these_images_are_otherwise(learnt: tuple[Any, Any]) -> None:
    known = Prior(error=learnt[0])
    assert off(2, -1, known) > off(40, -1, known)
    assert off(40, -1, known) < 1.15 * off(40, -1, Prior())
