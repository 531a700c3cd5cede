"""The surrogate: finite on anything, right where a closed form or a simulation knows the answer."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from threadpoolctl import threadpool_limits

from lcsearch.engine.model.belief import Array
from lcsearch.engine.model.embedding import Embedding
from lcsearch.engine.model.posterior import EFFECTIVE, tempered
from lcsearch.engine.model.surrogate import Surrogate
from lcsearch.engine.objective import Observation
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.domains import Categorical, Real
from lcsearch.engine.tasks.parameter import Parameter
from lcsearch.engine.tasks.space import Space
from lcsearch.sessions.records import Config

SPACE = cnn.space((1, 28, 28), 10, parameters=cnn.POSTER)
assert SPACE.reference is not None
REFERENCE = SPACE.reference
LINE = Space(("one",), (Parameter("x", 1, Real(0.0, 1.0), 0.5),))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def seen(count: int, seed: int = 0, images: int = 2000, level: int = 1) -> list[Observation]:
    """Networks whose error falls with the downsampling and whose cost follows the MACs."""
    rng = np.random.default_rng(seed)
    cost = SPACE.known(REFERENCE)["macs"]
    found = []
    for number in range(count):
        config = SPACE.sample(rng, level, REFERENCE)
        halved = sum(entry != "none" for entry in config["downsample"])
        share = min(0.1 + 0.03 * abs(halved - 3), 0.9)
        error = rng.binomial(images, share) / images if images else share
        relative = SPACE.known(config)["macs"] / cost
        found.append(
            Observation(
                number, level, config, error, images, relative**0.7 * math.exp(rng.normal(0, 0.03))
            )
        )
    return found


def on_line(x: Iterable[float], y: Iterable[float], images: int = 0) -> list[Observation]:
    return [
        Observation(i, 1, {"x": float(a)}, float(b), images, 1.0)
        for i, (a, b) in enumerate(zip(x, y, strict=True))
    ]


@pytest.mark.parametrize("output", ["error", "complexity"])
def test_the_fit_follows_the_gradient_of_its_objective(output: str) -> None:
    surrogate = Surrogate(SPACE, seen(25), 17)
    assert surrogate.complexity is not None
    process = surrogate.error if output == "error" else surrogate.complexity.process
    initial = process._regressor.kernel.theta
    posterior = process.posterior(initial)
    for start in posterior.starts():
        numeric = approx_fprime(start, lambda free: posterior(free)[0], 1e-6)
        np.testing.assert_allclose(posterior(start)[1], numeric, rtol=2e-4, atol=2e-4)


def test_the_fits_objective_is_scikit_learns_likelihood_plus_the_prior() -> None:
    process = Surrogate(SPACE, seen(25), 17).error
    posterior = process.posterior(process._regressor.kernel.theta)
    one, other = posterior.starts()[:2]
    regressor: GaussianProcessRegressor = process._regressor

    def likelihood(free: Array) -> float:
        away = (free - posterior._centres) / posterior._spreads
        return float(posterior(free)[0] - 0.5 * away @ away)

    difference = -(
        regressor.log_marginal_likelihood(posterior.whole(one))
        - regressor.log_marginal_likelihood(posterior.whole(other))
    )
    assert likelihood(one) - likelihood(other) == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("count", [2, 12])
def test_settings_are_drawn_as_likely_as_they_are(count: int) -> None:
    """Against the same posterior's own density, by importance: Markov chains agree."""
    process = Surrogate(SPACE, seen(count), 17).error
    mode = process._regressor.kernel_.theta
    posterior = process.posterior(mode)
    draws = posterior.drawn(mode, 256)
    weights = np.array([weight for weight, _ in draws])
    points = np.array([draw for _, draw in draws])
    assert weights.sum() == pytest.approx(1)
    assert 1 / (weights @ weights) >= EFFECTIVE * len(weights)
    rng, free = np.random.default_rng(1), mode[posterior.free]
    chain, value = [], posterior(free)[0]
    for _ in range(30_000):
        there = free + 0.35 * rng.standard_normal(len(free))
        other = posterior(there)[0]
        if math.log(rng.random()) < value - other:
            free, value = there, other
        chain.append(free)
    walked = np.array(chain[3000:])
    drawn = weights @ points[:, posterior.free]
    apart = (drawn - walked.mean(0)) / walked.std(0)
    assert np.abs(apart).mean() < 0.35
    wide = np.sqrt(weights @ (points[:, posterior.free] - drawn) ** 2) / walked.std(0)
    assert 0.5 < np.median(wide) < 1.5
    # what the data say nothing of is as the prior has it
    rest = np.setdiff1d(np.arange(len(mode)), posterior.free)
    for place in rest:
        prior = posterior._priors[place]
        assert points[:, place].std() == pytest.approx(prior.spread, rel=0.2)
    assert (draws[0][1] == posterior.drawn(mode, 256)[0][1]).all()


def test_no_few_draws_are_all_there_is() -> None:
    logs = np.array([0.0, *(-50.0 for _ in range(31))])
    weights = tempered(logs)
    assert weights.sum() == pytest.approx(1)
    assert 1 / (weights @ weights) >= EFFECTIVE * 32
    assert weights[0] == weights.max()
    even = tempered(np.linspace(0, -1, 32))  # where they count alike they are as they were
    assert even / even[0] == pytest.approx(np.exp(np.linspace(0, -1, 32)))


def test_averaged_over_settings_less_is_certain_and_near_trials_as_much() -> None:
    trials, others = seen(6), [o.config for o in seen(60)[6:]]
    one, many = (Surrogate(SPACE, trials, 17, average=n) for n in (1, 32))
    likeliest, averaged = (s.belief(s.points(others)).error for s in (one, many))
    assert averaged.transformed_std.mean() > likeliest.transformed_std.mean()
    assert len(many.error.draws) == 32
    # a mixture: its mean and variance by hand
    features = many.points(others).features
    told = [(m.weight, *m.predict(features, many.error.X)) for m in many.error._members]
    total = sum(weight for weight, _, _ in told)
    mean = sum(weight * m for weight, m, _ in told) / total
    second = sum(weight * (v + m**2) for weight, m, v in told) / total
    scale, centre = many.error.scale, many.error.centre
    assert averaged.transformed_mean == pytest.approx(mean * scale + centre)
    assert averaged.transformed_std == pytest.approx(np.sqrt(second - mean**2) * scale)


def test_what_waits_is_believed_under_every_setting() -> None:
    surrogate = Surrogate(SPACE, seen(6), 17, average=8)
    points = surrogate.points([o.config for o in seen(9)[6:]])
    before, after = (s.belief(points).error for s in (surrogate, surrogate.believing(points)))
    assert surrogate.believing(points).error.draws == surrogate.error.draws
    assert (after.transformed_std < before.transformed_std).all()


def test_with_many_trials_the_likeliest_setting_is_all() -> None:
    assert Surrogate(SPACE, seen(61), 17, average=8).error.draws == ()


def test_a_smooth_function_is_learnt_to_its_noise() -> None:
    x = np.linspace(0, 1, 15)
    surrogate = Surrogate(LINE, on_line(x, np.sin(6 * x) - 2), 1)
    between = surrogate.points([{"x": 0.11}, {"x": 0.53}, {"x": 0.87}])
    belief = surrogate.belief(between)
    truth = np.sin(6 * np.array([0.11, 0.53, 0.87])) - 2
    np.testing.assert_allclose(belief.error.mean, truth, atol=0.02)
    assert (belief.error.std < 0.05).all()


def test_belief_is_honest_away_from_the_data() -> None:
    x = np.linspace(0, 0.4, 9)
    surrogate = Surrogate(LINE, on_line(x, np.sin(15 * x) - 2), 1)
    std = surrogate.belief(surrogate.points([{"x": 0.22}, {"x": 0.9}])).error.std
    assert std[1] > 3 * std[0]


def test_repeats_average_the_noise_out_instead_of_breaking_the_fit() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat([0.2, 0.5, 0.8], 8)
    y = np.repeat([1.0, -1.0, 0.5], 8) + rng.normal(0, 0.2, 24)
    belief = (s := Surrogate(LINE, on_line(x, y), 1)).belief(s.points([{"x": 0.5}]))
    assert belief.error.mean[0] == pytest.approx(-1, abs=0.2)
    assert belief.error.std[0] < 0.12
    assert 0.12 < belief.error.predictive_std[0] < 0.35


def test_the_noise_is_at_least_binomial() -> None:
    observations = on_line(np.linspace(0, 1, 12), np.full(12, 0.1), images=400)
    surrogate = Surrogate(LINE, observations, 1)
    belief = surrogate.belief(surrogate.points([{"x": 0.5}]))
    binomial = math.sqrt(0.1 * 0.9 / 400)
    noise = math.sqrt(belief.error.predictive_std[0] ** 2 - belief.error.std[0] ** 2)
    assert noise > 0.95 * binomial


def test_no_mistakes_at_all_is_not_minus_infinity() -> None:
    observations = on_line([0.1, 0.5, 0.9], [0.0, 0.5, 1.0], images=100)
    surrogate = Surrogate(LINE, observations, 1)
    belief = surrogate.belief(surrogate.observed)
    assert np.isfinite(belief.error.mean).all()
    assert (belief.error.mean > 0).all()
    assert belief.error.mean[0] < 0.1


def test_the_cost_is_predicted_well_after_a_handful_of_trials() -> None:
    observations = seen(6)
    surrogate = Surrogate(SPACE, observations, 17)
    later = seen(60, seed=9)
    belief = surrogate.belief(surrogate.points([o.config for o in later]))
    wrong = np.log(belief.complexity.mean) - np.log([o.complexity for o in later])
    assert np.median(np.abs(wrong)) < 0.1


def places(count: int, kinds: int = 4) -> Space:
    """So many places that each take one of the same parts."""
    part = Categorical(tuple("abcdefgh"[:kinds]))
    return Space(("one",), tuple(Parameter(f"at{i}", 1, part, "a") for i in range(count)))


def in_places(
    space: Space, count: int, seed: int, cost: Callable[[Config], float]
) -> list[Observation]:
    rng = np.random.default_rng(seed)
    configs = [space.sample(rng, 1, space.defaults()) for _ in range(count)]
    return [
        Observation(i, 1, c, 0.1 + 0.01 * i, 0, 1.0, {"price": cost(c)})
        for i, c in enumerate(configs)
    ]


PRICE = {"a": 1.0, "b": 2.0, "c": 40.0, "d": 7.0}


def summed(config: Config) -> float:
    return 10 + sum(PRICE[part] for part in config.values())


def test_a_part_that_costs_the_same_in_every_place_is_known_after_a_few_networks() -> None:
    space = places(6)
    surrogate = Surrogate(space, in_places(space, 10, 0, summed), 6, costs=("price",))
    assert not surrogate.costs["price"].log
    later = in_places(space, 100, 1, summed)
    belief = surrogate.belief(surrogate.points([o.config for o in later])).costs["price"]
    true = np.array([o.costs["price"] for o in later])
    assert np.median(np.abs(belief.mean / true - 1)) < 0.02
    assert (np.abs(belief.mean - true) < 3 * belief.std).mean() > 0.9


def test_a_cost_that_is_no_sum_of_parts_keeps_its_logarithm() -> None:
    factor = {"a": 1.0, "b": 1.2, "c": 2.0, "d": 5.0}

    def product(config: Config) -> float:
        return float(np.prod([factor[part] for part in config.values()]))

    space = places(6)
    surrogate = Surrogate(space, in_places(space, 40, 0, product), 6, costs=("price",))
    assert surrogate.costs["price"].log


def test_f_c_is_learnt_on_its_logarithm_though_it_were_a_sum() -> None:
    space = places(6)
    found = [replace(o, complexity=summed(o.config)) for o in in_places(space, 20, 0, summed)]
    surrogate = Surrogate(space, found, 6)
    assert surrogate.complexity is not None
    assert surrogate.complexity.log


@pytest.mark.parametrize(
    "parameters",
    [
        (Parameter("x", 1, Categorical(("a", "b")), "a"), Parameter("y", 1, Real(0, 1), 0.5)),
        (
            Parameter("x", 1, Categorical((1, 2), ordered=True), 1),
            Parameter("y", 1, Categorical((1, 2), ordered=True), 1),
        ),
        (
            Parameter("x", 1, Categorical(("a", "b")), "a"),
            Parameter("y", 1, Categorical(("a", "c")), "a"),
        ),
    ],
    ids=["one alone", "ordered", "other choices"],
)
def test_only_those_that_choose_from_the_same_are_counted(
    parameters: tuple[Parameter, ...],
) -> None:
    assert Embedding(Space(("one",), parameters)).counted_features == ()
    assert Embedding(SPACE).counted_features == ()


def test_what_is_counted_stands_beside_the_features_and_in_no_distance() -> None:
    space = places(3)
    embed = Embedding(space)
    first, *_, last = embed.counted_features
    assert last == embed.size - 1
    assert all(stop <= first for group in embed.groups for stop in group.features)
    features = embed([{"at0": "a", "at1": "c", "at2": "a"}])
    assert features[0, first:].tolist() == [0.5, 0.0, 0.25, 0.0]


def test_an_exact_complexity_has_no_uncertainty() -> None:
    macs = SPACE.known(REFERENCE)["macs"]
    surrogate = Surrogate(SPACE, seen(10), 17, exact=lambda c: SPACE.known(c)["macs"] / macs)
    configs = [o.config for o in seen(5, seed=4)]
    belief = surrogate.belief(surrogate.points(configs))
    assert surrogate.complexity is None
    assert (belief.complexity.std == 0).all()
    np.testing.assert_allclose(
        belief.complexity.mean, [SPACE.known(c)["macs"] / macs for c in configs]
    )


def test_the_belief_about_f_moves_with_the_weight_and_needs_no_fit() -> None:
    surrogate = Surrogate(SPACE, seen(15), 17)
    belief = surrogate.belief(surrogate.observed)
    mean, std, predictive = belief.objective(0.5)
    np.testing.assert_allclose(mean, belief.error.mean + 0.5 * belief.complexity.mean)
    np.testing.assert_allclose(std**2, belief.error.std**2 + 0.25 * belief.complexity.std**2)
    assert (predictive >= std).all()
    np.testing.assert_array_equal(belief.objective(0.0)[0], belief.error.mean)


def test_a_pending_network_moves_no_mean_and_takes_the_uncertainty_there() -> None:
    surrogate = Surrogate(SPACE, seen(15), 17)
    pending = surrogate.points([o.config for o in seen(2, seed=8)])
    before, after = surrogate.belief(pending), surrogate.believing(pending).belief(pending)
    np.testing.assert_allclose(
        after.error.transformed_mean, before.error.transformed_mean, rtol=1e-5
    )
    assert (after.error.transformed_std < before.error.transformed_std).all()
    assert (after.complexity.transformed_std < before.complexity.transformed_std).all()


def test_a_surrogate_that_nobody_needs_is_gone_at_once() -> None:
    """Its factors weigh n² numbers: they must not wait for the collector of rings."""
    gc.collect()
    gc.disable()
    try:
        surrogate = Surrogate(SPACE, seen(15), 17)
        believing = surrogate.believing(surrogate.observed)
        parts = [
            weakref.ref(process)
            for s in (surrogate, believing)
            for process in (s.error, s.complexity)
            if process is not None
        ]
        assert all(part() is not None for part in parts)
        del surrogate, believing
        assert [part() for part in parts] == [None] * 4
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "errors",
    [
        [0.2],
        [0.2] * 6,
        [0.0] * 3,
        [1.0] * 3,
        [-3.0, -1.0, 2.0],
        [1e-12, 1.0, 1e9],
        [1e30, -1e30],
        [0.0, 0.0, 0.3],
    ],
)
@pytest.mark.parametrize("images", [0, 500])
@pytest.mark.parametrize("costs", [1.0, 0.0, -1.0, 1e-300, 1e200])
def test_odd_data_give_finite_belief(errors: list[float], images: int, costs: float) -> None:
    if images:
        errors = np.clip(errors, 0, 1).tolist()
    observations = [
        Observation(i, 1, {"x": i / len(errors)}, float(e), images, costs * (1 + i))
        for i, e in enumerate(errors)
    ]
    surrogate = Surrogate(LINE, observations, 1)
    belief = surrogate.belief(surrogate.points([{"x": x} for x in (0.0, 0.33, 1.0)]))
    for believed in (belief.error, belief.complexity):
        for array in (believed.mean, believed.std, believed.predictive_std):
            assert np.isfinite(array).all()
    gain = belief.improvement(0.1, float(belief.objective(0.1)[0].min()))
    assert np.isfinite(gain.log_ei).all()
    assert np.isfinite(gain.exploit).all()
    assert np.isfinite(gain.explore).all()


def test_relabelled_categories_give_the_same_belief() -> None:
    means = []
    for order in ("abc", "cab"):
        space = Space(
            ("one",),
            (
                Parameter("c", 1, Categorical(tuple(order)), "a"),
                Parameter("x", 1, Real(0.0, 1.0), 0.5),
            ),
        )
        rng = np.random.default_rng(0)
        observations = []
        for i in range(12):
            label, x = "abc"[rng.integers(3)], float(rng.random())
            error = 0.3 + 0.2 * x + 0.1 * "abc".index(label)
            observations.append(Observation(i, 1, {"c": label, "x": x}, error, 0, 1.0))
        surrogate = Surrogate(space, observations, 2)
        points = surrogate.points([{"c": c, "x": 0.4} for c in "abc"])
        means.append(surrogate.belief(points).error.mean)
    np.testing.assert_allclose(means[0], means[1], rtol=1e-6)


def test_hyperparameters_come_from_a_subset_of_many_observations() -> None:
    x = np.linspace(0, 1, 700)
    surrogate = Surrogate(LINE, on_line(x, np.sin(6 * x)), 1)
    belief = surrogate.belief(surrogate.points([{"x": 0.3333}]))
    assert belief.error.mean[0] == pytest.approx(math.sin(2.0), abs=0.01)


def test_the_transform_follows_the_data() -> None:
    x = np.linspace(0, 1, 20)
    smooth = Surrogate(LINE, on_line(x, np.sin(6 * x) - 2), 1)
    assert smooth.transform == "identity"
    steep = Surrogate(LINE, on_line(x, np.exp(8 * x) - 5), 1)
    assert steep.transform == "log"
    belief = steep.belief(steep.points([{"x": 0.33}]))
    assert belief.error.mean[0] == pytest.approx(math.exp(8 * 0.33) - 5, rel=0.1)
    counted = Surrogate(LINE, on_line(x, 0.1 + 0.01 * np.sin(6 * x), images=500), 1)
    assert (counted.transform, counted.origin) == ("log", 0.0)


def test_noise_follows_the_effective_images_of_each_observation() -> None:
    """Few images' worth of a metric are noisier; alike, they are what so many images were."""
    whole = seen(20)
    alike = Surrogate(SPACE, [replace(o, images=2000.0) for o in whole], 17)
    assert (alike.error.noise == Surrogate(SPACE, whole, 17).error.noise).all()
    assert alike.images == 2000
    mixed = [replace(o, images=50.5 if o.number < 9 else 2000.0) for o in whole]
    noise = Surrogate(SPACE, mixed, 17).error.noise
    share = (mixed[0].error * 50.5 + 0.5) / 51.5
    assert noise[0] == pytest.approx((1 - share) / (share * 50.5))
    assert noise[:9].min() > 10 * noise[9:].max()
    # a prediction is measured as most are
    assert Surrogate(SPACE, mixed, 17).images == 2000
