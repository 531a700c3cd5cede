"""The advisor through its one door: `rank`, and the what-if questions to its answer."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcsearch.engine.advisor import strategies
from lcsearch.engine.advisor.bounds import Bounds
from lcsearch.engine.advisor.candidates import NEAR_COPY
from lcsearch.engine.advisor.rank import Advisor, rank
from lcsearch.engine.advisor.ranking import Proposal, Ranking
from lcsearch.engine.advisor.strategies import History, annealing
from lcsearch.engine.advisor.value import favour
from lcsearch.engine.model.kernel import squared_distances
from lcsearch.engine.objective import Observation
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.domains import Categorical, Integer, InvalidDomain, Real
from lcsearch.engine.tasks.parameter import Parameter
from lcsearch.engine.tasks.space import InvalidConfig, Space
from lcsearch.engine.tasks.steps import neighbours
from lcsearch.sessions.choices import Strategy
from lcsearch.sessions.records import Config, Prediction

SPACE = cnn.space((1, 28, 28), 10, parameters=cnn.POSTER)
assert SPACE.reference is not None
BASE = SPACE.reference
SMALL = Space(
    ("one",),
    (
        Parameter("colour", 1, Categorical(("red", "green", "blue")), "red"),
        Parameter("n", 1, Integer(1, 4), 1),
    ),
)


def truth(config: Config) -> tuple[float, float]:
    """Error and complexity of a network, made up: three halvings and five wide layers are best."""
    halved = sum(entry != "none" for entry in config["downsample"])
    wide = np.log2(config["channels"][-1])
    error = 0.09 + 0.01 * (halved - 3) ** 2 + 0.1 / wide + 0.01 * abs(config["conv_layers"] - 5)
    return error, (SPACE.known(config)["macs"] / SPACE.known(BASE)["macs"]) ** 0.7


def seen(count: int, seed: int = 0, level: int = 1, images: int = 1000) -> list[Observation]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        config = SPACE.sample(rng, level, BASE) if number else BASE
        error, cost = truth(config)
        error = rng.binomial(images, min(error, 1)) / images
        found.append(
            Observation(number, level, config, error, images, cost * math.exp(rng.normal(0, 0.02)))
        )
    return found


TWENTY = seen(20)


@pytest.fixture(scope="module")
def ranking() -> Ranking:
    return rank(SPACE, TWENTY, 1, BASE, 0.1, seed=3)


def belief(proposal: Proposal) -> Prediction:
    """What the model says of it."""
    assert proposal.prediction is not None
    return proposal.prediction


def advisor(ranking: Ranking) -> Advisor:
    """What made it."""
    assert isinstance(ranking.answers, Advisor)
    return ranking.answers


def numbers(proposal: Proposal) -> list[float]:
    return [
        proposal.feasible,
        *(
            v
            for n, v in belief(proposal).model_dump().items()
            if v is not None or n not in ("kept", "measure")
        ),
    ]


def test_the_console_can_import_the_records_without_scikit_learn() -> None:
    code = (
        "import sys; from lcsearch.engine.advisor import Proposal, Ranking, rank; "
        "print([m for m in ('sklearn', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_proposal_stands_for_its_near_copies() -> None:
    found = rank(SPACE, TWENTY, 1, BASE, 0.1, seed=3, count=24)
    features = advisor(found).evidence.embedding([p.config for p in found.proposals])
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    assert len(found.proposals) == 24
    assert apart[~np.eye(24, dtype=bool)].min() >= NEAR_COPY
    gains = [belief(p).log_ei for p in found.proposals]
    assert gains == sorted(gains, reverse=True)


def test_proposals_are_ranked_explained_and_new(ranking: Ranking) -> None:
    assert len(ranking.proposals) == 10
    assert ranking.candidates >= 1900
    seen_keys = {SPACE.key(o.config) for o in TWENTY}
    ids = [p.id for p in ranking.proposals]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & seen_keys
    gains = [belief(p).log_ei for p in ranking.proposals]
    assert gains == sorted(gains, reverse=True)
    # near copies of a proposal are left out of the list, not out of the ranks
    ranks = [ranking.place_of(proposal).rank for proposal in ranking.proposals]
    assert ranks[0] == 1
    assert ranks == sorted(ranks)
    for proposal in ranking.proposals:
        assert proposal.id == SPACE.key(proposal.config)
        assert SPACE.problems(proposal.config) == []
        assert SPACE.guided(proposal.config, 1)
        assert SPACE.proposable is not None
        assert SPACE.proposable(proposal.config)
        assert proposal.origin == "model"
        assert proposal.known == SPACE.known(proposal.config)
        assert all(map(math.isfinite, numbers(proposal)))
        prediction = belief(proposal)
        assert prediction.incumbent == ranking.incumbent
        assert prediction.ei == pytest.approx(prediction.exploit + prediction.explore, rel=1e-6)
        assert prediction.mean == pytest.approx(prediction.error + 0.1 * prediction.complexity)
        assert prediction.predictive_std > prediction.std
        assert proposal.nearest is not None
        near = next(o for o in TWENTY if o.number == proposal.nearest.number)
        assert proposal.nearest.objective == pytest.approx(near.error + 0.1 * near.complexity)
        assert proposal.nearest.differs


def test_other_levels_stay_at_the_base() -> None:
    base = {**BASE, "learning_rate": 0.0033, "kernel": [5, 3, 3, 7]}
    for level in (2, 3, 4):
        found = rank(SPACE, TWENTY, level, base, 0.1, seed=1)
        own = {p.name for p in SPACE.at_level(level)}
        for proposal in found.proposals:
            for name, value in proposal.config.items():
                assert name in own or value == base[name]


def test_the_flat_mode_moves_everything() -> None:
    found = rank(SPACE, TWENTY, 0, BASE, 0.1, count=30)
    moved = set()
    for proposal in found.proposals:
        padded = SPACE.resized({**BASE, "conv_layers": proposal.config["conv_layers"]})
        moved |= {p.level for p in SPACE.parameters if proposal.config[p.name] != padded[p.name]}
    assert moved == {1, 2, 3, 4}
    assert len({p.config["learning_rate"] for p in found.proposals}) > 1
    assert any(p.config["kernel"] != [3] * p.config["conv_layers"] for p in found.proposals)


def test_the_incumbent_is_the_smallest_posterior_mean_in_the_slice(ranking: Ranking) -> None:
    means = {o.number: ranking.posterior(o.number)[0] for o in TWENTY}
    assert ranking.incumbent == min(means.values())
    assert ranking.incumbent_number is not None
    assert means[ranking.incumbent_number] == ranking.incumbent
    with pytest.raises(KeyError):
        ranking.posterior(999)
    other = {**BASE, "learning_rate": 0.1}
    good = Observation(90, 1, {**BASE, "batch_size": 64}, 0.01, 1000, 0.1)
    there = Observation(91, 4, other, 0.3, 1000, 1.0)
    found = rank(SPACE, [*TWENTY, good, there], 1, other, 0.1)
    assert found.incumbent_number == 91


def test_the_same_session_gives_the_same_ranking_in_another_process(ranking: Ranking) -> None:
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import test_advisor as t; "
        "r = t.rank(t.SPACE, t.TWENTY, 1, t.BASE, 0.1, seed=3); "
        "print(json.dumps([[p.id, p.prediction.log_ei] for p in r.proposals]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(__import__("pathlib").Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [[p.id, belief(p).log_ei] for p in ranking.proposals]
    assert json.loads(done.stdout) == expected


def test_the_seed_and_the_number_of_observations_decide_the_sample(ranking: Ranking) -> None:
    again = rank(SPACE, TWENTY, 1, BASE, 0.1, seed=3)
    assert [p.id for p in again.proposals] == [p.id for p in ranking.proposals]
    assert again.candidates == ranking.candidates
    other = rank(SPACE, TWENTY, 1, BASE, 0.1, seed=4)
    assert other.candidates != ranking.candidates


def test_pending_networks_are_not_proposed_again_and_take_their_promise_with_them(
    ranking: Ranking,
) -> None:
    best = ranking.proposals[0]
    found = rank(SPACE, TWENTY, 1, BASE, 0.1, pending=[best.config], seed=3)
    assert best.id not in {p.id for p in found.proposals}
    there = found.evaluate([best.config])[0]
    assert belief(there).std < belief(best).std
    assert belief(there).log_ei < belief(best).log_ei
    assert found.incumbent == pytest.approx(ranking.incumbent)


def test_networks_to_train_at_once_are_chosen_as_if_those_before_had_come_out(
    ranking: Ranking,
) -> None:
    chosen = ranking.together(4)
    assert chosen[0].id == ranking.proposals[0].id
    assert ranking.together(1) == ranking.proposals[:1]
    assert ranking.together(0) == ()
    assert len({proposal.id for proposal in chosen}) == 4
    assert [p.id for p in chosen[:2]] == [p.id for p in ranking.together(2)]
    pool = advisor(ranking).pool.points
    assert pool is not None
    for done in (1, 2, 3):
        # a ranking in which those before are pending believes of the whole pool just the same
        waiting = [proposal.config for proposal in chosen[:done]]
        there = rank(SPACE, TWENTY, 1, BASE, 0.1, pending=waiting, seed=3)
        promise = [belief(p).log_ei for p in there.evaluate([chosen[done].config, *pool.configs])]
        taken = {proposal.id for proposal in chosen[:done]}
        near = advisor(there).evidence.embedding(waiting)
        rest = [
            value
            for config, value in zip(pool.configs, promise[1:], strict=True)
            if SPACE.key(config) not in taken
            and squared_distances(advisor(there).evidence.embedding([config]), near).min()
            >= NEAR_COPY**2
        ]
        assert promise[0] == pytest.approx(max(rest))
    # what was merely believed narrows no prediction that is kept
    bare = ranking.evaluate([proposal.config for proposal in chosen])
    assert [belief(p).std for p in chosen] == pytest.approx([belief(p).std for p in bare])


def test_the_initial_design_is_trained_at_once_before_what_the_model_proposes() -> None:
    few = rank(SPACE, TWENTY[:4], 1, BASE, 0.1, seed=3, design=2, initial=6)
    chosen = few.together(4)
    assert [p.origin for p in chosen] == ["design", "design", "model", "model"]
    assert chosen[:2] == few.proposals[:2]
    first = rank(SPACE, [], 1, BASE, 0.1, seed=3, design=6, initial=6)
    assert first.together(3) == first.proposals[:3]
    drawn = rank(SPACE, TWENTY, 1, BASE, 0.1, seed=3, strategy="random")
    assert drawn.together(3) == drawn.proposals[:3]


def test_no_more_are_trained_at_once_than_the_level_has() -> None:
    base = {"colour": "red", "n": 1}
    found = rank(SMALL, [Observation(0, 1, base, 0.2, 100, 1.0)], 1, base, 0.1)
    chosen = found.together(50)
    assert 3 <= len(chosen) <= 11
    assert len({p.id for p in chosen}) == len(chosen)


FREED = """
import sys, psutil
from lcsearch.engine import machine
if sys.argv[1] == "let go":
    machine.let_go_of_large()
del (large := [bytearray(b"x") * 30_000_000])[:]  # from now on glibc keeps what is as large
blocks = [bytearray(b"x") * 30_000_000 for _ in range(4)]
before = psutil.Process().memory_info().rss
del blocks[:3]  # the last one lies above them
print((before - psutil.Process().memory_info().rss) / 1e6)
"""


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="only glibc has this setting")
def test_large_arrays_are_given_back_as_soon_as_they_are_freed() -> None:
    def given_back(word: str) -> float:
        run = [sys.executable, "-P", "-c", FREED, word]
        return float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)

    assert given_back("let go") > 85
    assert given_back("keep") < 65


def test_a_pending_network_counts_as_an_incumbent_only_in_its_slice(ranking: Ranking) -> None:
    config = ranking.proposals[0].config
    here = rank(SPACE, TWENTY, 1, BASE, 0.1, pending=[config], seed=3)
    believed = belief(here.evaluate([config])[0])
    assert here.incumbent is not None
    assert believed.mean < here.incumbent
    assert believed.incumbent is not None
    assert believed.incumbent < here.incumbent
    other = {**config, "learning_rate": 0.0011, "batch_size": 130}
    there = rank(SPACE, TWENTY, 1, BASE, 0.1, pending=[other], seed=3)
    assert there.incumbent is not None
    assert belief(there.evaluate([other])[0]).mean < there.incumbent
    assert all(belief(p).incumbent == there.incumbent for p in there.proposals)


def test_excluded_and_failed_networks_are_not_proposed(ranking: Ranking) -> None:
    first, second, third = ranking.proposals[:3]
    found = rank(
        SPACE,
        TWENTY,
        1,
        BASE,
        0.1,
        excluded=[first.id, second.config],
        failures=[third.config],
        seed=3,
        count=50,
    )
    assert not {first.id, second.id, third.id} & {p.id for p in found.proposals}


def test_excluding_a_network_leaves_its_near_copies(ranking: Ranking) -> None:
    best = ranking.proposals[0]
    found = rank(SPACE, TWENTY, 1, BASE, 0.1, excluded=[best.config], radius=1.0, seed=3)
    others = [p.id for p in ranking.proposals[1:]]
    assert len(set(others) & {p.id for p in found.proposals}) >= 8


@pytest.mark.parametrize("options", [{}, {"design": 6, "initial": 6}, {"strategy": "random"}])
def test_what_is_close_to_a_rejected_network_is_not_proposed(
    ranking: Ranking, options: dict[str, Any]
) -> None:
    best = ranking.proposals[0]
    found = rank(SPACE, TWENTY, 1, BASE, 0.1, rejected=[best.config], radius=1.0, seed=3, **options)
    assert found.proposals
    from lcsearch.engine.model.embedding import Embedding

    embed = Embedding(SPACE)
    rows = embed([best.config, *(p.config for p in found.proposals)])
    assert (np.linalg.norm(rows[1:] - rows[0], axis=1) >= 1.0).all()


def test_a_failure_lowers_the_chance_of_what_is_like_it(ranking: Ranking) -> None:
    failed = ranking.proposals[0].config
    like = next(
        p for p in ranking.proposals[1:] if p.config["conv_layers"] == failed["conv_layers"]
    )
    far = max(TWENTY, key=lambda o: abs(o.config["conv_layers"] - failed["conv_layers"]))
    found = rank(SPACE, TWENTY, 1, BASE, 0.1, failures=[failed], seed=3)
    there, near, away = found.evaluate([failed, like.config, far.config])
    assert there.feasible < 0.6
    assert near.feasible < away.feasible
    assert away.feasible > 0.8
    twice = rank(SPACE, TWENTY, 1, BASE, 0.1, failures=[failed, failed], seed=3)
    assert 0 < twice.evaluate([failed])[0].feasible < there.feasible
    assert all(p.feasible == 1 for p in ranking.proposals)


def test_a_favourite_region_draws_the_ranking_and_fades() -> None:
    plain = rank(SPACE, seen(6), 1, BASE, 0.1, seed=1, count=20)
    drawn = rank(SPACE, seen(6), 1, BASE, 0.1, seed=1, count=20, favourite={"conv_layers": "7..8"})

    def inside(ranking: Ranking) -> int:
        return sum(p.config["conv_layers"] >= 7 for p in ranking.proposals)

    assert inside(drawn) > inside(plain)
    weights = [
        favour(
            advisor(rank(SPACE, seen(n), 1, BASE, 0.1, favourite={"conv_layers": "8"})).evidence,
            [BASE],
        )
        for n in (2, 20)
    ]
    assert weights[0] < weights[1] < 0
    with pytest.raises(InvalidDomain, match="favourite region: conv_layers"):
        rank(SPACE, TWENTY, 1, BASE, 0.1, favourite={"conv_layers": "9..7"})


def test_nothing_observed_proposes_the_initial_design() -> None:
    found = rank(SPACE, [], 1, BASE, 0.1, design=6, initial=6)
    assert [p.note for p in found.proposals[:6]] == [
        f"initial design {i} of 6" for i in range(1, 7)
    ]
    assert all(p.prediction is None and p.nearest is None for p in found.proposals)
    assert found.incumbent is None
    assert len(found.proposals) == 10
    assert found.evaluate([BASE])[0].prediction is None
    assert len(found.profile(BASE, "conv_layers", None).mean) == 0
    assert found.reweighted(1.0).wc == 1.0


def test_the_initial_design_goes_on_where_it_was_left() -> None:
    first = rank(SPACE, [], 1, BASE, 0.1, design=6, initial=6).proposals[:6]
    queued = [first[0].config]
    after = rank(SPACE, TWENTY[:1], 1, BASE, 0.1, pending=queued, design=5, initial=6)
    assert [p.id for p in after.proposals[:5]] == [p.id for p in first[1:]]
    assert after.proposals[0].note == "initial design 2 of 6"
    assert after.proposals[0].origin == "design"
    assert after.proposals[0].prediction is not None
    assert after.proposals[5].origin == "model"
    assert "Initial design: 1 of 6" in after.advice
    # a rejected point is replaced by the next of the sequence
    rejected = rank(SPACE, [], 1, BASE, 0.1, excluded=[first[0].id], design=6, initial=6)
    assert [p.id for p in rejected.proposals[:5]] == [p.id for p in first[1:]]


def test_what_if_changes_nothing_and_knows_the_trials(ranking: Ranking) -> None:
    before = [p.id for p in ranking.proposals]
    edited = {**ranking.proposals[0].config, "learning_rate": 0.002}
    found = ranking.evaluate([edited, TWENTY[3].config])
    assert found[0].origin == "person"
    assert all(map(math.isfinite, numbers(found[0])))
    assert found[1].nearest is not None
    assert found[1].nearest.number == 3
    assert found[1].nearest.differs == ()
    assert belief(found[1]).mean == pytest.approx(ranking.posterior(3)[0])
    assert [p.id for p in ranking.proposals] == before
    twin = ranking.evaluate([ranking.proposals[4].config])[0]
    assert belief(twin).log_ei == pytest.approx(belief(ranking.proposals[4]).log_ei)
    assert ranking.place_of(twin) == ranking.place_of(ranking.proposals[4])
    place = ranking.place_of(twin)
    assert (place.among, place.candidate) == (ranking.candidates, True)
    for proposal in found:
        place = ranking.place_of(proposal)
        assert (place.among, place.candidate) == (ranking.candidates + 1, False)
        assert 1 <= place.rank <= place.among
    with pytest.raises(InvalidConfig, match="conv_layers"):
        ranking.evaluate([{**BASE, "conv_layers": 0}])


def test_another_weight_ranks_again_without_a_fit(ranking: Ranking) -> None:
    cheap = ranking.reweighted(3.0)
    assert cheap.wc == 3.0
    assert cheap.candidates == ranking.candidates
    assert [p.id for p in cheap.proposals] != [p.id for p in ranking.proposals]

    def cost(r: Ranking) -> float:
        return float(np.mean([belief(p).complexity for p in r.proposals]))

    assert cost(cheap) < cost(ranking)
    back = cheap.reweighted(0.1)
    assert [p.id for p in back.proposals] == [p.id for p in ranking.proposals]
    accurate = ranking.reweighted(0.0)
    for proposal in accurate.proposals:
        assert belief(proposal).mean == pytest.approx(belief(proposal).error)


@pytest.mark.parametrize("name", [None, "params", "macs"])
def test_the_believed_front_is_the_best_candidate_at_each_cost(
    ranking: Ranking, name: str | None
) -> None:
    front = ranking.front(name)
    assert front is not None
    pool = advisor(ranking).pool
    assert pool.belief is not None
    error, std = pool.belief.error.mean, pool.belief.error.std
    costs = pool.belief.complexity.mean
    if name is not None:
        costs = np.array([SPACE.known(config)[name] for config in pool.configs])
    assert (np.diff(front.costs) > 0).all()
    assert (np.diff(front.error) < 0).all()
    middles = (front.costs[1:] + front.costs[:-1]) / 2
    for most in (*front.costs, *middles, costs.max()):
        affordable = np.flatnonzero(costs <= most * (1 + 1e-12))
        row = affordable[error[affordable].argmin()]
        entry = front.within(most * (1 + 1e-12))
        assert entry is not None
        assert front.error[entry] == error[row]
        assert front.std[entry] == std[row]
    assert front.within(front.costs[0] * 0.99) is None


def test_without_a_belief_there_is_no_front(ranking: Ranking) -> None:
    assert ranking.front("seconds") is None  # no limit is on it, so nothing is believed of it
    for strategy in ("random", "gp"):
        trials = TWENTY if strategy == "random" else []
        assert rank(SPACE, trials, 1, BASE, 0.1, strategy=strategy).front("params") is None
    within = ranking.limited(Bounds(exact={"params": SPACE.known(BASE)["params"]}))
    front = within.front("params")
    assert front is not None
    assert front.costs[-1] <= SPACE.known(BASE)["params"] * (1 + 1e-9)


def test_a_slice_goes_through_the_belief(ranking: Ranking) -> None:
    config = ranking.proposals[0].config
    along = ranking.profile(config, "channels", 1)
    assert len(along.values) == len(along.mean) == len(along.std)
    assert list(along.values) == sorted(along.values)
    at = along.values.index(config["channels"][1])
    assert along.mean[at] == pytest.approx(belief(ranking.proposals[0]).mean)
    kinds = ranking.profile(config, "downsample", 0)
    assert kinds.categories
    assert set(kinds.values) <= {"none", "stride", "pool"}
    lengths = ranking.profile(config, "conv_layers", None)
    assert lengths.values == tuple(range(2, 9))
    rates = ranking.profile(config, "learning_rate", None, points=20)
    assert 20 <= len(rates.values) <= 22
    assert np.isfinite(rates.mean).all()
    decays = ranking.profile(config, "weight_decay", None)
    assert decays.values[0] == 0
    with pytest.raises(IndexError):
        ranking.profile(config, "channels", 99)
    with pytest.raises(KeyError):
        ranking.profile(config, "colour", None)


def test_relevance_names_what_was_varied(ranking: Ranking) -> None:
    names = [name for name, _ in ranking.relevance]
    assert sum(weight for _, weight in ranking.relevance) == pytest.approx(1)
    assert "learning_rate" not in names
    assert {"conv_layers", "downsample", "channels"} <= set(names)


def exhaust(count: int, **options: Any) -> tuple[list[Config], Ranking]:
    configs: list[Config] = [
        {"colour": c, "n": n} for c in ("red", "green", "blue") for n in range(1, 5)
    ]
    observations = [
        Observation(i, 1, c, 0.1 * c["n"] + 0.01, 0, 1.0) for i, c in enumerate(configs[:count])
    ]
    return configs, rank(SMALL, observations, 1, configs[0], 0.0, **options)


def test_the_last_networks_of_a_level_are_found_and_then_it_says_so() -> None:
    configs, found = exhaust(10)
    assert {SMALL.key(c) for c in configs[10:]} == {p.id for p in found.proposals}
    assert not found.exhausted
    _, last = exhaust(12)
    assert last.exhausted
    assert last.proposals == ()
    assert "Every network of this level" in last.advice
    assert last.incumbent is not None
    _, excluded = exhaust(11, excluded=[SMALL.key(configs[11])])
    assert excluded.exhausted
    assert excluded.reweighted(1.0).exhausted


@pytest.mark.parametrize("options", [{}, {"strategy": "random"}, {"design": 6, "initial": 6}])
def test_a_cap_that_leaves_nothing_is_named(options: dict[str, Any]) -> None:
    tight = cnn.space((1, 28, 28), 10, macs_cap=1e-6)
    for observations in ([], TWENTY[:3]):
        found = rank(tight, observations, 1, BASE, 0.1, **options)
        assert found.exhausted
        assert "raise the limit on macs" in found.advice
        assert "tried" not in found.advice


def test_the_advice_is_to_go_on_when_there_is_less_to_gain_than_the_noise() -> None:
    line = Space(("one", "two"), (
        Parameter("x", 1, Real(0.0, 1.0), 0.5), Parameter("y", 2, Real(0.0, 1.0), 0.5),
    ))  # fmt: skip
    rng = np.random.default_rng(0)

    def known(count: int, noise: float) -> list[Observation]:
        return [
            Observation(i, 1, {"x": x, "y": 0.5}, 1 + (x - 0.4) ** 2 + rng.normal(0, noise), 0, 1.0)
            for i, x in enumerate(np.round(np.linspace(0, 1, count), 3).tolist())
        ]

    done = rank(line, known(60, 0.05), 1, {"x": 0.5, "y": 0.5}, 0.0)
    assert done.flat
    assert done.advice.endswith("go to the next level.")
    assert "noise is 0.0" in done.advice
    assert done.remaining is not None
    assert done.noise is not None
    assert done.remaining <= done.noise
    early = rank(line, known(3, 0.0), 1, {"x": 0.5, "y": 0.5}, 0.0)
    assert not early.flat
    assert early.advice.endswith("stay.")
    last = rank(line, known(60, 0.05), 0, {"x": 0.5, "y": 0.5}, 0.0, design=2, initial=2)
    assert not last.flat


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 1.0]), min_size=1, max_size=6),
    st.sampled_from([0, 1, 100]),
    st.sampled_from([0.0, 1e-9, 1.0, 1e6]),
    st.sampled_from([0.0, 0.1, 100.0]),
    st.integers(0, 1),
)
def test_rank_never_fails_nor_says_nan(
    errors: list[float], images: int, cost: float, wc: float, pending: int
) -> None:
    observations = [
        Observation(i, 1, {"colour": "red", "n": 1 + i % 3}, e, images, cost)
        for i, e in enumerate(errors)
    ]
    found = rank(
        SMALL,
        observations,
        1,
        {"colour": "blue", "n": 1},
        wc,
        pending=[{"colour": "green", "n": 2}] * pending,
        failures=[{"colour": "green", "n": 3}],
    )
    assert found.proposals
    assert found.incumbent is not None
    assert math.isfinite(found.incumbent)
    for proposal in found.proposals:
        assert all(map(math.isfinite, numbers(proposal)))


def test_an_exact_complexity_is_told_without_doubt() -> None:
    macs = SPACE.known(BASE)["macs"]
    found = rank(SPACE, TWENTY, 1, BASE, 0.1, exact=lambda c: SPACE.known(c)["macs"] / macs)
    for proposal in found.proposals:
        assert belief(proposal).complexity_std == 0
        assert belief(proposal).complexity == pytest.approx(proposal.known["macs"] / macs)


def test_no_step_of_a_real_parameter_from_the_best_candidate_promises_more() -> None:
    space = Space(("all",), tuple(Parameter(name, 1, Real(0.0, 1.0), 0.0) for name in ("x", "y")))
    seen: list[Observation] = []
    for x, y in np.random.default_rng(0).random((24, 2)):
        error = (x - 0.3141) ** 2 + (y - 0.2718) ** 2
        seen.append(Observation(len(seen), 1, {"x": x, "y": y}, error, 0, 1.0))
    found = rank(space, seen, 1, space.defaults(), 0.0, count=1)
    best = found.proposals[0]
    around = [
        {"x": best.config["x"] + dx, "y": best.config["y"] + dy}
        for dx in (-2e-3, 0.0, 2e-3)
        for dy in (-2e-3, 0.0, 2e-3)
    ]
    # a sample of 2,048 comes to within 0.01 of the peak, a walk in steps of 0.0125 no closer
    promised = [p.prediction.log_ei for p in found.evaluate(around) if p.prediction]
    assert best.prediction is not None
    assert max(promised) <= best.prediction.log_ei + 1e-6


def test_it_needs_fewer_trials_than_random_search() -> None:
    """Over fixed seeds, by a one-sided sign test: the best true f among 18 of 3,125 points."""
    letters = tuple("abcde")
    space = Space(
        ("one",), tuple(Parameter(f"c{i}", 1, Categorical(letters), "a") for i in range(5))
    )

    def f(config: Config) -> float:
        steps = [(letters.index(config[f"c{i}"]) - i) ** 2 for i in range(5)]
        return 0.1 + 0.01 * sum(steps) + 0.01 * (steps[0] > 0 and steps[1] > 0)

    wins = 0
    for seed in range(8):
        rng = np.random.default_rng([7, seed])
        drawn = [space.sample(rng) for _ in range(18)]
        observations = [Observation(i, 1, c, f(c), 0, 1.0) for i, c in enumerate(drawn[:5])]
        while len(observations) < 18:
            best = rank(space, observations, 1, drawn[0], 0.0, seed=seed, count=1).proposals[0]
            observations.append(
                Observation(len(observations), 1, best.config, f(best.config), 0, 1.0)
            )
        wins += min(o.error for o in observations) < min(map(f, drawn))
    # 7 or more of 8 by chance: p = 0.035
    assert wins >= 7


@pytest.mark.parametrize("strategy", ["evolution", "annealing", "random"])
def test_searches_without_a_model_stand_behind_the_same_face(strategy: Strategy) -> None:
    found = rank(SPACE, TWENTY, 1, BASE, 0.1, seed=3, strategy=strategy)
    assert len(found.proposals) == 10
    assert not {p.id for p in found.proposals} & {SPACE.key(o.config) for o in TWENTY}
    for proposal in found.proposals:
        assert proposal.prediction is None
        assert SPACE.guided(proposal.config, 1)
        assert SPACE.proposable is not None
        assert SPACE.proposable(proposal.config)
    again = rank(SPACE, TWENTY, 1, BASE, 0.1, seed=3, strategy=strategy)
    assert [p.id for p in again.proposals] == [p.id for p in found.proposals]
    measured = {o.number: o.error + 0.1 * o.complexity for o in TWENTY}
    assert found.incumbent == pytest.approx(min(measured.values()))
    assert found.incumbent_number is not None
    assert found.posterior(found.incumbent_number)[0] == found.incumbent
    assert found.evaluate([BASE])[0].prediction is None
    assert found.relevance == ()
    assert not found.flat
    first = rank(SPACE, [], 1, BASE, 0.1, strategy=strategy, design=3, initial=6)
    assert [p.note for p in first.proposals[:3]] == [f"initial design {k} of 6" for k in (4, 5, 6)]
    configs, _ = exhaust(12)
    observations = [Observation(i, 1, c, 0.1, 0, 1.0) for i, c in enumerate(configs)]
    left = rank(SMALL, observations[:11], 1, configs[0], 0.0, strategy=strategy)
    assert [p.config for p in left.proposals] == [configs[11]]
    assert rank(SMALL, observations, 1, configs[0], 0.0, strategy=strategy).exhausted


@pytest.mark.parametrize("strategy", ["evolution", "annealing"])
def test_searches_by_neighbours_stay_close_to_what_was_good(strategy: Strategy) -> None:
    good = Observation(50, 1, {**TWENTY[7].config}, 0.0, 1000, 0.01)
    found = rank(SPACE, [*TWENTY, good], 1, BASE, 0.1, strategy=strategy, count=10)
    near = {SPACE.key(c) for c in neighbours(SPACE, good.config, 1)}
    assert sum(p.id in near for p in found.proposals) >= 2


def test_annealing_accepts_by_the_seed_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial is a little worse than the last: where the walk stands is chance alone."""
    monkeypatch.setattr(strategies, "neighbours", lambda space, config, level: [config])
    history = [(o.config, 0.5 + 0.001 * n) for n, o in enumerate(TWENTY)]

    def stands(seed: int, trials: History) -> Config:
        space, drawn = Space((), ()), np.random.default_rng(0)
        stream = annealing(space, 1, BASE, trials, drawn, seed)
        return next(stream)

    found = [stands(seed, history) for seed in range(8)]
    assert found == [stands(seed, history) for seed in range(8)]
    assert len({SPACE.key(config) for config in found}) > 2
    # what comes later does not undo an acceptance, once the temperature is known
    for seed in range(8):
        walk = {n: stands(seed, history[: n + 1]) for n in range(9, 20)}
        for number in range(10, 20):
            assert walk[number] in (walk[number - 1], history[number][0])


def test_what_is_asked_while_a_person_types_fits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes is measured by benchmarks/latency.py; this is why it can be little."""
    found = rank(SPACE, seen(100, seed=5), 1, BASE, 0.1)
    monkeypatch.delattr("lcsearch.engine.model.process.GaussianProcessRegressor.fit")
    assert found.evaluate([BASE])[0].prediction
    assert found.reweighted(1.0).proposals
    with pytest.raises(AttributeError, match="fit"):
        rank(SPACE, TWENTY, 1, BASE, 0.1)
