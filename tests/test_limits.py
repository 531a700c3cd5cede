"""Limits: as they are typed, where candidates are drawn, in the improvement, as decisions."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from lcsearch.engine import search
from lcsearch.engine.advisor.bounds import Bounds
from lcsearch.engine.advisor.limited import Sampler, over_limits
from lcsearch.engine.advisor.rank import rank
from lcsearch.engine.advisor.ranking import Ranking
from lcsearch.engine.client.imports import bring_back
from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.model.acquisition import Uncertain, limited_improvement
from lcsearch.engine.model.belief import NEXT_TO_NOTHING, quantity
from lcsearch.engine.objective import NEVER, Observation, Timed
from lcsearch.engine.search import decide
from lcsearch.engine.search.limits import smallest_cost
from lcsearch.engine.tasks.cnn import TASK
from lcsearch.engine.tasks.face import Problem
from lcsearch.engine.tasks.limits import read_limit, spelled_limit
from lcsearch.engine.tasks.measure import COUNTS, MILLISECONDS, Measure
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.choices import Strategy
from lcsearch.sessions.errors import Already, Misuse
from lcsearch.sessions.records import Config
from lcsearch.sessions.store import Store

from .conftest import benchmark, lcsearch
from .sessions_for_tests import filled_store, make_store

SPACE = TASK.space(Problem((1, 28, 28), 10), {})
assert SPACE.reference is not None
REFERENCE = SPACE.known(SPACE.reference)
MEASURES = (
    *SPACE.measures,
    Measure("latency", "latency", "ms", "ms", "seconds", "ms", units=MILLISECONDS),
    Measure("weight", "weight", "g", "g", "count", "g", of=lambda n: 1, units=COUNTS),
)


def approx(value: float) -> Any:
    """A number but for rounding."""
    return pytest.approx(value)


# -- as they are typed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("params<=50k", "params", 50_000),
        (" params <= 50 K ", "params", 50_000),
        ("params≤1.5M", "params", 1_500_000),
        ("params<=50,000", "params", 50_000),
        ("macs<=5e6", "macs", 5_000_000),
        ("macs<=2x", "macs", 2 * REFERENCE["macs"]),
        ("size<=64KB", "size", 64_000),
        ("size<=64KiB", "size", 65_536),
        ("size<=1MiB", "size", 2**20),
        ("latency<=2ms", "latency", 2.0),
        ("latency<=0.5s", "latency", 500.0),
        ("latency<=900us", "latency", 0.9),
        ("seconds<=0.5", "seconds", 0.5),
        ("seconds<=50%", "seconds", 0.5),
        ("seconds<=2x", "seconds", 2.0),
        ("accuracy>=90", "accuracy", 0.9),
        ("accuracy>=90%", "accuracy", 0.9),
        ("accuracy>=0.9", "accuracy", 0.9),
        ("Accuracy ≥ 99.5 %", "accuracy", 0.995),
    ],
)
def test_a_limit_is_read(text: str, name: str, value: float) -> None:
    assert read_limit(text, MEASURES, "accuracy", REFERENCE) == (name, approx(value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not readable. Use for example params<=50k"),
        ("params", "not readable"),
        ("params<=", "not readable"),
        ("params<=lots", "not readable"),
        ("params<=1 2k", "not readable"),
        ("speed<=3", "no cost called speed. Use seconds, params, macs, size"),
        ("params>=3", "limited from above. Use params<=3."),
        ("params=3", "limited from above"),
        ("accuracy<=90", "limited from below. Use accuracy>=90."),
        ("balanced>=90", "searches for accuracy. Use accuracy>=90."),
        ("accuracy>=100", "less than 100 %"),
        ("accuracy>=101%", "less than 100 %"),
        ("accuracy>=0", "more than 0"),
        ("accuracy>=-3", "more than 0"),
        ("accuracy>=90k", "k is no unit of accuracy"),
        ("params<=50KB", "KB is no unit of parameters. Use k, M, G, x or nothing."),
        ("size<=50ms", "ms is no unit of size. Use B, KB, MB, KiB, MiB, x"),
        ("latency<=2x", "x is no unit of latency. Use us, ms, s or nothing."),
        ("params<=0", "Use a number above 0."),
        ("params<=-4", "Use a number above 0."),
        ("params<=1e999", "Use a number above 0."),
        ("size<=1,5MB", "A comma sets thousands apart; use a point: 1.5."),
        ("latency<=0,5ms", "use a point"),
        ("accuracy>=,9", "use a point"),
        ("params<=50,00", "use a point"),
    ],
)
def test_what_is_no_limit_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(Misuse) as refused:
        read_limit(text, MEASURES, "accuracy", REFERENCE)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "params<=50k", "params<=1.25M", "params<=12345", "size<=64KiB", "size<=64KB",
        "size<=100B", "latency<=2ms", "seconds<=50%", "accuracy>=90%", "accuracy>=99.5%",
    ],
)  # fmt: skip
def test_a_limit_is_written_as_it_was_typed(text: str) -> None:
    name, value = read_limit(text, MEASURES, "accuracy", REFERENCE)
    spelled = spelled_limit(name, value, MEASURES)
    assert read_limit(spelled, MEASURES, "accuracy", REFERENCE) == (name, approx(value))
    assert len(spelled) <= len(text)


# -- where candidates are drawn -----------------------------------------------------------------


def drawn(space: Space, limits: dict[str, float], level: int, seed: int = 0) -> list[Config]:
    """As a ranking draws them, a quarter as many."""
    base = space.reference
    assert base is not None
    sampler = Sampler(space, level, base, over_limits(space, limits))
    units = qmc.Sobol(space.dimensions(level, base), rng=np.random.default_rng(seed)).random(512)
    return sampler.draw(units, 512, np.random.default_rng(seed))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_no_network_that_is_drawn_breaks_a_limit(level: int) -> None:
    assert SPACE.reference is not None
    limits = {"params": 30_000.0, "macs": 5_000_000.0}
    if level == 3:  # it has to leave the reference's convolutions
        limits = {"params": 36_000.0, "macs": 1e9}
    found = drawn(SPACE, limits, level)
    assert len({SPACE.key(config) for config in found}) == len(found) > 100
    for config in found:
        assert not SPACE.problems(config)
        assert SPACE.guided(config, level)
        costs = SPACE.known(config)
        assert all(costs[name] <= most for name, most in limits.items())
    for parameter in SPACE.parameters:
        if level not in (0, parameter.level) and parameter.length is None:
            assert {c[parameter.name] for c in found} == {SPACE.reference[parameter.name]}


def test_a_limit_that_one_in_a_thousand_keeps_starves_nothing_and_favours_no_depth() -> None:
    rng = np.random.default_rng(7)
    base = SPACE.reference
    assert base is not None
    decode = SPACE.decoder(0, base)
    plain = [decode(unit) for unit in rng.random((20_000, SPACE.dimensions(0, base))).tolist()]
    sizes = np.array([SPACE.known(config)["params"] for config in plain])
    most = float(np.quantile(sizes, 0.01))
    kept = Counter(c["conv_layers"] for c, size in zip(plain, sizes, strict=True) if size <= most)
    found = [config for seed in range(3) for config in drawn(SPACE, {"params": most}, 0, seed)]
    assert len(found) >= 3 * 500
    depths = Counter(config["conv_layers"] for config in found)
    total = sum(kept.values())
    for depth, count in kept.items():
        if count / total >= 0.05:
            assert depths[depth] / len(found) >= count / total / 2


def test_where_nothing_or_one_network_keeps_the_limits_that_is_found() -> None:
    space = SPACE.narrowed({"conv_layers": "2..3", "channels": "8..16", "downsample": "none,pool"})
    base = space.reference
    assert base is not None
    least = smallest_cost(space, {"macs": 1.0}, 1, base)
    smallest = {space.known(config)["macs"] for config in drawn(space, {"macs": least}, 1)}
    assert smallest
    assert all(cost == pytest.approx(least) for cost in smallest)
    assert drawn(space, {"macs": 0.99 * least}, 1) == []


def test_the_smallest_network_is_the_smallest_of_all() -> None:
    space = SPACE.narrowed({"conv_layers": "2..3", "channels": "8..24", "downsample": "none,pool"})
    base = space.reference
    assert base is not None
    every = [
        space.resized({**base, "conv_layers": 2, "channels": [a, b], "downsample": [p, q]})
        for a in (8, 16, 24)
        for b in (8, 16, 24)
        for p in ("none", "pool")
        for q in ("none", "pool")
    ]
    for name in ("params", "macs"):
        least = min(space.known(config)[name] for config in every)
        assert smallest_cost(space, {name: 1.0}, 1, base) == pytest.approx(least)


# -- in a ranking -------------------------------------------------------------------------------


def some_observations(count: int, seed: int = 0) -> list[Observation]:
    """Networks that are the better the larger they are."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        config = SPACE.sample(rng, 1, SPACE.reference)
        size = SPACE.known(config)["params"]
        error = float(np.clip(0.5 - 0.03 * math.log(size), 0.02, 0.9) + rng.normal(0, 0.003))
        time = size / REFERENCE["params"]
        found.append(Observation(number, 1, config, error, 2000, time, {"seconds": time}))
    return found


def test_no_proposal_breaks_what_arithmetic_knows() -> None:
    assert SPACE.reference is not None
    bounds = Bounds(exact={"params": 30_000.0})
    for count in (0, 8):
        found = rank(
            SPACE, some_observations(count), 1, SPACE.reference, 0.1, bounds=bounds, design=4
        )
        assert len(found.proposals) == 10
        for proposal in found.proposals:
            assert proposal.known["params"] <= 30_000
            if proposal.prediction is not None:
                assert proposal.prediction.kept == 1.0


def test_what_a_person_asks_about_outside_the_limits_is_worth_nothing() -> None:
    assert SPACE.reference is not None
    bounds = Bounds(exact={"params": 20_000.0})
    found = rank(SPACE, some_observations(8), 1, SPACE.reference, 0.1, bounds=bounds)
    large = found.evaluate([{**SPACE.reference}])[0]
    assert large.known["params"] > 20_000
    assert large.prediction is not None
    assert (large.prediction.kept, large.prediction.log_ei) == (0.0, NEVER)
    assert found.place_of(large).rank == found.place_of(large).among


def test_what_is_left_to_gain_is_within_the_limits() -> None:
    assert SPACE.reference is not None
    seen = some_observations(20)
    sizes = sorted(SPACE.known(o.config)["params"] for o in seen)
    for bounds in (
        Bounds(exact={"params": sizes[3]}),
        Bounds(error=sorted(o.error for o in seen)[2]),
    ):
        for wc in (0.0, 0.1):
            found = rank(SPACE, seen, 1, SPACE.reference, wc, bounds=bounds)
            assert found.remaining is not None
            first = found.proposals[0].prediction
            assert first is not None
            # what is expected of the first candidate is no more than what may be gained at all
            assert found.remaining > first.ei


@pytest.mark.parametrize(
    "options", [{}, {"strategy": "random"}, {"design": 6, "initial": 6}, {"observed": 0}]
)
def test_a_network_that_was_timed_beyond_its_limit_is_not_proposed(options: dict[str, Any]) -> None:
    base = SPACE.reference
    assert base is not None
    options = dict(options)
    seen = some_observations(options.pop("observed", 12))
    bounds = Bounds(believed={"latency": 1.0})

    def ranked(timed: Timed) -> Ranking:
        return rank(SPACE, seen, 1, base, 0.1, count=20, bounds=bounds, timed=timed, **options)

    first = ranked({}).proposals
    slow, fast = first[:10], first[10:]
    values = [*((p, 5.0) for p in slow), *((p, 0.5) for p in fast)]
    timed = {"latency": {p.id: (p.config, value) for p, value in values}}
    found = ranked(timed).proposals
    assert not {p.id for p in slow} & {p.id for p in found}
    told = {p.id: p.known.get("latency") for p in found}
    both = {p.id for p in fast} & told.keys()
    assert both
    assert {told[key] for key in both} == {0.5}  # also where nothing is believed yet


def test_the_best_is_the_best_that_keeps_the_limits() -> None:
    assert SPACE.reference is not None
    seen = some_observations(20)
    free = rank(SPACE, seen, 1, SPACE.reference, 0.0)
    sizes = {o.number: SPACE.known(o.config)["params"] for o in seen}
    assert free.incumbent_number is not None
    most = sizes[free.incumbent_number] - 1
    found = rank(SPACE, seen, 1, SPACE.reference, 0.0, bounds=Bounds(exact={"params": most}))
    assert found.incumbent_number is not None
    assert sizes[found.incumbent_number] <= most
    means = {o.number: found.posterior(o.number)[0] for o in seen if sizes[o.number] <= most}
    assert found.incumbent == min(means.values())
    best = found.best(0.0)
    assert best is not None
    assert sizes[best[0]] <= most


def test_while_nothing_keeps_the_limits_the_likeliest_goes_first() -> None:
    assert SPACE.reference is not None
    seen = some_observations(12)
    # not reached, and not so far off that only the nearest can be told
    bounds = Bounds(error=min(o.error for o in seen) - 0.005)
    found = rank(SPACE, seen, 1, SPACE.reference, 0.1, bounds=bounds)
    assert (found.incumbent, found.best(0.1)) == (None, None)
    kept = [p.prediction.kept for p in found.proposals if p.prediction is not None]
    assert kept[0] == max(k or 0.0 for k in kept) > 1e-6
    assert found.proposals[0].prediction is not None
    assert found.proposals[0].prediction.incumbent is None
    assert found.proposals[0].prediction.ei == pytest.approx(kept[0], rel=1e-6)
    assert len(found.together(3)) == 3


@pytest.mark.parametrize("name", ["error", "complexity", "cost"])
def test_a_limit_on_what_is_believed_moves_the_ranking_inside(name: str) -> None:
    assert SPACE.reference is not None
    seen = some_observations(25)
    times = sorted(o.complexity for o in seen)
    middle = times[len(times) // 2]
    bounds = {
        "error": Bounds(error=sorted(o.error for o in seen)[5]),
        "complexity": Bounds(complexity=middle),
        "cost": Bounds(believed={"seconds": middle}),
    }[name]
    free = rank(SPACE, seen, 1, SPACE.reference, 0.0)
    found = rank(SPACE, seen, 1, SPACE.reference, 0.0, bounds=bounds)
    kept = [p.prediction.kept for p in found.proposals if p.prediction is not None]
    assert min(k for k in kept if k is not None) > 0.3
    if name != "error":  # at w_c = 0 the best are the large ones
        outside = [o for o in free.proposals if o.known["params"] > middle * REFERENCE["params"]]
        assert len(outside) > 5
        inside = [
            o for o in found.proposals if o.known["params"] < 1.5 * middle * REFERENCE["params"]
        ]
        assert len(inside) > 5


def test_where_nothing_comes_near_the_limits_the_nearest_goes_first_not_the_least_known() -> None:
    known = quantity(True, np.log([2.0, 3.0, 9.0]), np.array([0.05, 0.05, 2.0]), np.zeros(3))
    nearest = known.log_nearest(1.0)
    assert (known.log_at_most(1.0)[:2] < NEXT_TO_NOTHING).all()
    # what is far and hardly known may keep it yet, as its probability says
    assert nearest[2] == known.log_at_most(1.0)[2] > NEXT_TO_NOTHING > nearest[0] > nearest[1]
    out = quantity(True, np.log([2.0, 9.0]), np.array([0.05, 0.4]), np.zeros(2))
    assert out.log_at_most(1.0)[1] > out.log_at_most(1.0)[0]
    assert out.log_nearest(1.0)[0] > out.log_nearest(1.0)[1]
    plain = quantity(False, np.array([2.0, 9.0]), np.array([0.05, 2.0]), np.zeros(2))
    assert plain.log_nearest(1.0)[0] > plain.log_nearest(1.0)[1]


@pytest.mark.parametrize("strategy", ["evolution", "annealing", "random"])
def test_a_search_without_a_model_keeps_what_arithmetic_knows(strategy: Strategy) -> None:
    assert SPACE.reference is not None
    bounds = Bounds(error=0.3, exact={"params": 4_000.0})
    found = rank(
        SPACE,
        some_observations(8),
        1,
        SPACE.reference,
        0.1,
        bounds=bounds,
        strategy=strategy,
        count=5,
    )
    assert found.proposals
    assert all(p.known["params"] <= 4_000 for p in found.proposals)


def test_the_improvement_within_limits_is_its_own_mean_over_draws() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 400_000))
    for log_error in (True, False):
        for log_other in (True, False):
            for most_error, most_other in ((0.14, 1.2), (0.3, math.inf), (math.inf, 0.8)):
                mean, std = (-2.0, 0.3) if log_error else (0.14, 0.04)
                other_mean, other_std = (0.0, 0.5) if log_other else (1.0, 0.4)
                error = np.exp(mean + std * first) if log_error else mean + std * first
                other = other_mean + other_std * second
                other = np.exp(other) if log_other else other
                f = error + 0.1 * other
                inside = (error <= most_error) & (other <= most_other)
                gain = (np.maximum(0.25 - f, 0) * inside).mean()
                share = ((f < 0.25) & inside).mean()
                log_ei, likely = limited_improvement(
                    Uncertain(log_error, np.array([mean]), np.array([std])),
                    Uncertain(log_other, np.array([other_mean]), np.array([other_std])),
                    0.1, 0.25, most_error, most_other,
                )  # fmt: skip
                assert math.exp(log_ei[0]) == pytest.approx(gain, rel=0.02)
                assert likely[0] == pytest.approx(share, rel=0.02)


# -- of a session -------------------------------------------------------------------------------


@pytest.fixture
def store(home: Path) -> Store:
    return filled_store(home, 6)


def limit(store: Store, *texts: str, lift: tuple[str, ...] = ()) -> None:
    session = store.refresh().session
    store.apply(decide.set_limits(store.refresh(), search.changed_limits(session, texts, lift)))


def test_limits_are_decided_undone_and_kept(store: Store) -> None:
    before = store.refresh().session
    limit(store, "params<=30k")
    limit(store, "macs<=1x", "accuracy>=50")
    session = store.refresh().session
    space = session_space(session)
    assert space.reference is not None
    macs = space.known(space.reference)["macs"]
    assert session.limits == {"params": 30_000, "macs": macs, "accuracy": 0.5}
    assert session.macs_cap is None  # one limit on MACs is enough
    with pytest.raises(Already):
        limit(store, "params<=30k")
    limit(store, lift=("params",))
    assert set(store.refresh().session.limits) == {"macs", "accuracy"}
    for _ in range(3):
        store.apply(decide.undo(store.refresh()))
    after = store.refresh().session
    assert (after.limits, after.macs_cap) == (before.limits, before.macs_cap) == ({}, 8.0)


def test_what_nothing_can_keep_is_refused_with_the_smallest(store: Store) -> None:
    with pytest.raises(Misuse, match=r"the smallest network of these domains has \d+ parameters"):
        limit(store, "params<=20")
    with pytest.raises(Misuse, match=r"Use params<=\S+ or more"):
        limit(store, "params<=20")
    assert store.refresh().session.limits == {}


def test_the_recommended_network_keeps_the_limits_or_is_the_nearest(store: Store) -> None:
    snapshot = store.refresh()
    sizes = sorted(t.costs["params"] for t in snapshot.trials if t.observed)
    limit(store, f"params<={sizes[1]}")
    best = search.recommended(store.refresh(), None)
    assert best is not None
    assert not best.broken
    assert best.trial.costs["params"] <= sizes[1]
    limit(store, f"params<={sizes[0] - 1}")
    nearest = search.recommended(store.refresh(), None)
    assert nearest is not None
    assert nearest.trial.costs["params"] == sizes[0]
    assert [broken.name for broken in nearest.broken] == ["params"]
    assert "no trial keeps" in nearest.why


def test_the_cap_that_nobody_set_is_on_proposals_alone(store: Store) -> None:
    snapshot = store.refresh()
    best = search.recommended(snapshot, None)
    assert best is not None
    session = snapshot.session.model_copy(update={"macs_cap": 1e-6})  # every network is above it
    capped = replace(snapshot, session=session)
    assert search.recommended(capped, None) == best
    assert not any(search.broken_by(session, trial) for trial in capped.trials)


def test_a_level_that_cannot_mend_says_which_could(home: Path) -> None:
    store = filled_store(home, 3)
    snapshot = store.refresh()
    largest = max((t for t in snapshot.trials if t.observed), key=lambda t: t.costs["params"])
    store.apply(decide.advance(snapshot, largest.number))
    store.apply(decide.advance(store.refresh(), largest.number))
    limit(store, "macs<=0.02x")  # the classifier has no part in what convolutions cost
    snapshot = store.refresh()
    found = search.ranking(snapshot, session_space(snapshot.session))
    assert found.exhausted
    assert "No network of this level keeps the limits." in found.advice
    assert "Reopen level 1" in found.advice


def test_limits_leave_and_come_back_with_an_export(home: Path, tmp_path: Path) -> None:
    store = filled_store(home, 3)
    limit(store, "params<=30k", "accuracy>=50")
    name = store.refresh().session.name
    store.close()
    client = SessionClient(home / "sessions" / name)
    file = tmp_path / "out.json"
    client.export(file)
    client.close()
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["session"]["limits"] == {"params": 30_000, "accuracy": 0.5}
    folder = bring_back(home, file, "again")
    again = SessionClient(folder)
    assert again.refresh().session.limits == {"params": 30_000, "accuracy": 0.5}
    again.close()
    document["session"]["limits"] = {"speed": 3}
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(Misuse, match="no such cost"):
        bring_back(home, file, "third")


def test_the_commands_take_limits(home: Path) -> None:
    make_store(home, "a").close()
    _, said = lcsearch("set", "a", "--limit", "params<=30k", "--limit", "accuracy>=60")
    assert "limits: params<=30k · accuracy>=60%" in said
    shown, _ = lcsearch("show", "a")
    assert "limits: params<=30k · accuracy>=60%" in shown
    told = json.loads(lcsearch("propose", "a", "-n", "4", "--json")[0])
    assert told["limits"]["params"] == 30_000
    assert all(p["params"] <= 30_000 and p["breaks"] == [] for p in told["proposals"])
    _, said = lcsearch("set", "a", "--no-limit", "params")
    assert "limits: accuracy>=60%" in said
    _, said = lcsearch("set", "a", "--limit", "params<=30q", code=2)
    assert "q is no unit of parameters" in said
    _, said = lcsearch("set", "a", "--no-limit", "params", code=2)
    assert "none to lift" in said
    _, said = lcsearch("set", "a", "--limit", "params<=3k", "--limit", "params<=4k", code=2)
    assert "limited twice" in said


def test_the_benchmark_holds_what_is_drawn_against_rejection(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert benchmark("sampler").main(["--draws", "2000", "--seeds", "1", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["limit"] for line in lines] == ["params", "macs", "params and macs"]
    for line in lines:
        assert (line["share"], line["found"], line["broken"]) == (0.01, 20, 0)
        assert line["smallest_share"] > 0
