"""The search benchmark: the problem made of trained networks, its laws, and one short run."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import io
import json
import math
import shutil
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from lcsearch.engine.tasks.steps import neighbours
from lcsearch.sessions.records import Config

from .conftest import benchmark

WEIGHTS = (0.0, 0.1, 1.0, 3.0)


def imported(name: str) -> ModuleType:
    """A benchmark under its own name, as the processes that it starts know it."""
    folder = str(Path(__file__).parent.parent / "benchmarks")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def problem() -> Any:
    return benchmark("problems").CnnFashion()


@pytest.fixture(scope="module")
def table() -> list[dict[str, Any]]:
    problems = benchmark("problems")
    rows: list[dict[str, Any]] = problems.read_lines(problems.DATA / "cnn_fashion_table.jsonl.gz")
    return rows


@pytest.fixture
def configs(problem: Any) -> list[Config]:
    rng = np.random.default_rng(4)
    return [problem.space.sample(rng, 0, problem.base) for _ in range(60)]


# -- the table ----------------------------------------------------------------------------------


def test_the_table_holds_what_was_asked_for(problem: Any, table: list[dict[str, Any]]) -> None:
    data = benchmark("problems").DATA
    assert sum(path.stat().st_size for path in data.glob("cnn_fashion*")) < 2_000_000
    assert len({row["key"] for row in table}) >= 2000
    for row in table:
        assert not problem.space.problems(row["config"])
        assert problem.space.proposable(row["config"])
        assert problem.space.key(row["config"]) == row["key"]
        assert 0 < row["error"] <= 0.9
        # a number of images, of all of them
        assert row["error"] * problem.images == pytest.approx(round(row["error"] * problem.images))
        assert row["cost"] > 0


def test_repeats_are_the_same_network_with_other_seeds(table: list[dict[str, Any]]) -> None:
    by_key: dict[str, list[dict[str, Any]]] = {}
    for row in table:
        by_key.setdefault(row["key"], []).append(row)
    repeated = [group for group in by_key.values() if len(group) > 1]
    assert len(repeated) >= 100
    assert all(len({row["seed"] for row in group}) == len(group) for group in repeated)


def test_the_truth_follows_the_table(problem: Any, table: list[dict[str, Any]]) -> None:
    errors, costs = problem.predict([row["config"] for row in table])
    assert spearmanr(errors, [row["error"] for row in table])[0] > 0.9
    assert spearmanr(costs, [row["cost"] for row in table])[0] > 0.97
    reference = [row["cost"] for row in table if row["source"] == "reference"]
    assert np.median(reference) == pytest.approx(1, abs=0.1)


# -- its laws -----------------------------------------------------------------------------------


def test_one_network_is_told_as_among_many(problem: Any, configs: list[Config]) -> None:
    errors, costs = problem.predict(configs)
    for config, error, cost in zip(configs, errors, costs, strict=True):
        assert problem.true_objective(config, 0.3) == error + 0.3 * cost


def test_the_same_seed_gives_the_same_noise_and_another_one_other(
    problem: Any, configs: list[Config]
) -> None:
    again = benchmark("problems").CnnFashion()
    drawn = [problem.evaluate(config, seed) for seed, config in enumerate(configs)]
    assert drawn == [again.evaluate(config, seed) for seed, config in enumerate(configs)]
    assert len({problem.evaluate(configs[0], seed)[1] for seed in range(50)}) == 50


def test_noise_has_the_truth_for_its_mean_and_the_spread_of_repeats(problem: Any) -> None:
    config = problem.base
    (error,), (cost,) = problem.predict([config])
    drawn = np.array([problem.evaluate(config, seed) for seed in range(600)])
    spread = drawn.std(axis=0)
    assert np.all(abs(drawn.mean(axis=0) - [error, cost]) < 4 * spread / np.sqrt(600))
    # the reference trains steadily: what is left is the counting of mistakes
    binomial = np.sqrt(error * (1 - error) / problem.images)
    assert 0.7 * binomial < spread[0] < 1.5 * binomial
    assert 0.01 < spread[1] / cost < 0.2


def test_an_evaluation_is_never_below_nothing_nor_worse_than_a_guess(
    problem: Any, configs: list[Config]
) -> None:
    for seed, config in enumerate(configs):
        error, cost = problem.evaluate(config, seed)
        assert 0 <= error <= 0.9
        assert cost > 0


@pytest.mark.parametrize("weight", WEIGHTS)
def test_nothing_lies_below_the_minimum(
    problem: Any, table: list[dict[str, Any]], configs: list[Config], weight: float
) -> None:
    lowest = problem.minimum(weight)
    known = [row["config"] for row in table]
    errors, costs = problem.predict([*known, *configs])
    assert lowest <= (errors + weight * costs).min()
    # somebody gets there, whom the space proposes
    front = benchmark("problems").read_lines(
        benchmark("problems").DATA / "cnn_fashion_front.jsonl.gz"
    )
    reached = [config for config in front if problem.true_objective(config, weight) == lowest]
    assert reached
    assert all(not problem.space.problems(config) for config in reached)
    assert all(problem.space.proposable(config) for config in reached)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_no_step_from_the_best_leads_below_the_minimum(problem: Any, weight: float) -> None:
    problems = benchmark("problems")
    front = problems.read_lines(problems.DATA / "cnn_fashion_front.jsonl.gz")
    best = min(front, key=lambda config: problem.true_objective(config, weight))
    errors, costs = problem.predict(neighbours(problem.space, best, 0))
    assert (errors + weight * costs).min() >= problem.minimum(weight) - 0.002


def test_what_is_beyond_the_cap_is_no_better_than_the_best(problem: Any) -> None:
    huge = {
        **problem.base,
        "channels": [256, 256, 512, 512],
        "downsample": ["none", "none", "none", "pool"],
    }
    assert not problem.space.proposable(huge)
    assert problem.true_objective(huge, 0.0) >= problem.minimum(0.0)


# -- how it is made -----------------------------------------------------------------------------


def test_the_plain_arrays_predict_what_scikit_learn_does() -> None:
    maker = benchmark("make_cnn_fashion")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5))
    values = np.sin(rows[:, 0]) + rows[:, 1] ** 2
    trees = maker.fit_trees(rows, values, np.ones(200))
    model = maker.boosting().fit(rows, values)
    fresh = rng.normal(size=(50, 5))
    assert trees.predict(fresh) == pytest.approx(model.predict(fresh), abs=1e-5)


def test_a_regression_survives_being_written() -> None:
    maker = benchmark("make_cnn_fashion")
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, 4))
    values = rows[:, 0] - 0.5 * rows[:, 1] ** 2
    made = maker.fit(rows, values, np.ones(300))
    fresh = rng.normal(size=(200, 4))
    assert spearmanr(made.predict(fresh), fresh[:, 0] - 0.5 * fresh[:, 1] ** 2)[0] > 0.9
    read = maker.Regression.from_arrays(made.arrays("x"), "x")
    assert read.predict(fresh) == pytest.approx(made.predict(fresh), abs=1e-5)


def test_draws_are_new_and_may_be_proposed(problem: Any, table: list[dict[str, Any]]) -> None:
    maker = benchmark("make_cnn_fashion")
    draws = maker.Draws(problem.space, 7, 0)
    seen = {row["key"] for row in table}
    sources = set()
    for _ in range(40):
        source, config = draws.next(table)
        sources.add(source)
        assert problem.space.key(config) not in seen
        assert not problem.space.problems(config)
        assert problem.space.proposable(config)
    assert {"flat", "near", "lowest"} <= sources


def test_noise_is_found_again_in_made_up_repeats(problem: Any) -> None:
    maker = benchmark("make_cnn_fashion")
    rng = np.random.default_rng(2)
    table = []
    for number in range(400):
        config = problem.space.sample(rng, 0, problem.base)
        error = rng.uniform(0.15, 0.19)
        for seed in range(3):
            right = rng.binomial(problem.images, error) / problem.images
            row = {"key": str(number), "seed": seed, "error": right, "config": config}
            table.append({**row, "cost": float(np.exp(0.05 * rng.standard_normal()))})
    found = maker.noise(maker.measured(table))
    assert found["binomial"] == pytest.approx(1, abs=0.2)
    assert found["cost"] == pytest.approx(0.05, abs=0.01)


# -- a run --------------------------------------------------------------------------------------


BOWL = """
import numpy as np
from lcsearch.engine.tasks.parameter import Parameter
from lcsearch.engine.tasks.domains import Integer, Real
from lcsearch.engine.tasks.space import Space


class Bowl:
    name = "bowl"
    space = Space(
        levels=("all",),
        parameters=(
            Parameter("layers", 1, Integer(1, 3), 1),
            Parameter("x", 1, Real(-1.0, 1.0), 0.5, length="layers"),
        ),
    )

    def true_objective(self, config, wc):
        return sum(x**2 for x in config["x"]) + wc * config["layers"]

    def evaluate(self, config, seed):
        noise = 0.01 * np.random.default_rng(seed).standard_normal()
        return sum(x**2 for x in config["x"]) + noise, float(config["layers"])

    def minimum(self, wc):
        return wc
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a module of a user's own lies."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "bowls.py").write_text(BOWL)
    return tmp_path


def test_a_problem_of_ones_own_is_searched(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    search = imported("search")
    raw = folder / "raw.jsonl"
    problem = "mine.bowls:Bowl"
    given = ["--problem", problem, "--method", "random", "--seeds", "3", "--budget", "12"]
    given += ["--wc", "0.5", "--json"]
    assert search.main([*given, "--raw", str(raw)]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["problem"], line["method"]) == (problem, "random")
    assert (line["seeds"], line["budget"], line["wc"]) == (3, 12, 0.5)
    assert 0 <= line["median_regret_12"] <= line["median_regret_6"]
    assert line["recommended_regret_12"] >= line["mean_regret_12"] - 1e-12
    kept = [json.loads(text)["regret"] for text in raw.read_text().splitlines()]
    assert len(kept) == 3
    for regrets in kept:
        assert len(regrets) == 12
        assert regrets == sorted(regrets, reverse=True)
    # the numbers follow from the seeds alone
    bowl = search.problems.load(problem)
    again = [search.run(bowl, "random", 0.5, 12, seed).regret for seed in range(3)]
    assert sorted(again) == sorted(kept)


def test_an_unknown_problem_or_method_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    search = imported("search")
    with pytest.raises(SystemExit) as ended:
        search.main(["--problem", "cnn-fashon"])
    assert ended.value.code == 2
    assert "cnn-fashion" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        search.main(["--method", "smack"])
    assert ended.value.code == 2
    assert "smac" in capsys.readouterr().err


def test_smac_asks_by_its_forest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is installed; where it is not, who asks for it is told which package is missing."""
    monkeypatch.syspath_prepend(str(folder))
    search = imported("search")
    bowl = search.problems.load("mine.bowls:Bowl")
    if importlib.util.find_spec("smac") is None:
        with pytest.raises(ModuleNotFoundError, match=r"'(smac|ConfigSpace)'"):
            search.METHODS["smac"](bowl, 0.5, 14, 0)
        return
    method = search.METHODS["smac"](bowl, 0.5, 14, 0)
    seen = set()
    for number in range(14):
        config = method.ask()
        seen.add(bowl.space.key(config))
        method.tell(config, *bowl.evaluate(config, number))
    assert len(seen) >= 12
    # after its initial design of ten the forest has the word
    assert "Local Search" in method.info.config.origin


def test_the_parts_of_the_recipe_are_measured_in_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    only = "cosine + average,cosine + whitening,cosine + bias rate,sgd + recipe"
    words = ["--quick", "--json", "--data", "digits", "--seeds", "2", "--epochs", "2"]
    assert imported("recipe").main([*words, "--only", only]) == 0
    rows = {row["variant"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(only.split(",")) < set(rows)
    for row in rows.values():
        assert row["against"] in rows or row["variant"] in ("cosine", "cosine + sgd")
        assert 0 < row["error"] < 90
        assert row["standard_error"] >= 0
    assert rows["cosine"]["difference"] == 0  # nothing it is held against was asked for
    assert rows["sgd + recipe"]["rate"] == pytest.approx(0.06)
    assert rows["cosine + average"]["against"] == "cosine"


def test_a_part_of_the_recipe_that_there_is_not_is_refused() -> None:
    with pytest.raises(SystemExit):
        imported("recipe").main(["--only", "magic"])


def test_networks_made_by_hand_are_those_that_are_known() -> None:
    made = imported("hand_designed")
    counted = {name: made.counted(make()) for name, make in made.HAND_MADE.items()}
    assert counted == {
        "lenet-5": (61_706, 416_520),
        "mobilenet-0.25": (38_474, 1_364_512),
        "resnet-8-half": (19_762, 2_364_864),
        "ds-cnn": (21_066, 3_776_384),
        "resnet-8": (77_658, 9_345_920),
    }


def test_what_is_found_is_held_against_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = imported("hand_designed")
    size = made.Size(size=250, epochs=1, seeds=2, ways=(("cosine", 1e-3), ("one-cycle", 3e-3)))
    images = made.Images(size, f"idx:{made.FASHION}")
    hand = made.kept(tmp_path / "hand.json", lambda: made.hand_made("lenet-5", images))
    assert (hand["params"], len(hand["validation"]), len(hand["test"])) == (61_706, 2, 2)
    assert tuple(hand["way"]) in size.ways
    assert [tuple(way[:2]) for way in hand["ways"]] == [*size.ways]
    assert hand["by_schedule"][hand["way"][0]] == pytest.approx(sum(hand["validation"]) / 2)
    assert hand["by_schedule"].keys() == {"cosine", "one-cycle"}
    asked: list[tuple[str, ...]] = []
    config = images.config
    result = {"config": config, "params": 1, "macs": 2, "scores": [0.5, 0.7]}
    monkeypatch.setattr(made, "searched", lambda home, name, trials, words: asked.append(words))
    monkeypatch.setattr(made, "delivered", lambda home, case, size: result)
    (case,) = (one for one in made.cases() if one.name == "lenet-5-macs")
    told = made.against(case, hand, tmp_path, images)
    assert asked[0][-2:] == ("--limit", "macs<=138840")
    assert told["test"] == [50, 70]
    assert told["ahead_on_test"] == pytest.approx(60 - sum(hand["test"]) / 2)
    assert told["of_its_macs"] == 2 / 416_520
    for name, ahead in told["ahead_by_schedule"].items():
        assert ahead == pytest.approx(sum(told["validation"]) / 2 - hand["by_schedule"][name])
    # the same again is not measured again
    assert made.kept(tmp_path / "hand.json", lambda: {}) == hand


def test_the_spaces_are_compared_seed_by_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = imported("spaces")
    asked: list[str] = []

    def one(home: Path, name: str, words: tuple[str, ...], given: Any) -> dict[str, Any]:
        asked.append(name)
        found = {"poster": 0.2, "core": 0.1, "full": 0.3}[words[1]]
        return {"search": name, "f": found + 0.01 * int(words[3])}

    monkeypatch.setattr(made, "one", one)
    words = ["--home", str(tmp_path), "--images", "digits", "--wc", "0.1", "--seeds", "2", "--json"]
    assert made.main(words) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    core, full = (line for line in told if "difference" in line)
    assert (core["space"], full["space"]) == ("core", "full")
    assert core["difference"] == pytest.approx(-0.1)
    assert full["difference"] == pytest.approx(0.1)
    assert (core["lower"], core["seeds"], full["lower"]) == (2, 2, 0)
    assert made.main([*words, "--space", "core"]) == 0  # what is done is kept
    assert len(asked) == 6


# -- tables of trainings ------------------------------------------------------------------------


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`make_tables`, quick: few images, two numbers of epochs."""
    made = imported("make_tables")
    monkeypatch.setattr(made, "EPOCHS", (2, 1))
    monkeypatch.setattr(made, "TABLES", tmp_path / "tables")
    sets = imported("sets")
    whole = sets.digits()
    few = sets.Made(whole.train.drawn(100, 0), whole.val.drawn(80, 0))
    monkeypatch.setattr(sets, "digits", lambda: few)
    return made


def test_tables_have_every_network_with_its_curves(
    tables: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [str(tmp_path), "--images", "digits8"]
    assert tables.main([*words, "--networks", "3", "--worker", "0"]) == 0
    rows = tables.rows_of(tmp_path, "digits8")
    assert [row["epochs"] for row in rows] == [2, 1] * 3
    assert rows[0]["source"] == "reference"
    assert len({row["seed"] for row in rows}) == len(rows)
    # goes on where it was: a line that was cut off is trained again, and nothing else is
    file = tmp_path / "digits8-worker0.jsonl"
    *whole, _ = file.read_text().splitlines(keepends=True)
    file.write_text("".join(whole) + '{"key": "cut')
    assert tables.main([*words, "--networks", "4", "--worker", "0"]) == 0
    after = tables.rows_of(tmp_path, "digits8")
    assert after[: len(rows) - 1] == rows[:-1]
    assert [row["epochs"] for row in after] == [2, 1] * 4
    assert after[5]["key"] == rows[5]["key"]
    assert tables.main([*words, "--gather"]) == 0
    path = tmp_path / "tables" / "digits8.jsonl.gz"
    about, networks = tables.read_table(path)
    assert (about["shape"], about["train"], about["val"]) == ([1, 8, 8], 100, 60)
    assert len({one["key"] for one in networks}) == len(networks) == 4
    space = tables.cnn.space((1, 8, 8), 10, macs_cap=tables.LARGEST)
    for one in networks:
        assert not space.problems(one["config"])
        assert one["costs"] == space.known(one["config"])
        for training in one["trainings"]:
            if not training["diverged"]:
                assert len(training["errors"]) == training["epochs"]
            assert len(training["errors"]) == len(training["seconds"]) == len(training["beside"])
    assert tables.main(["--report"]) == 0
    assert "digits8" in capsys.readouterr().out
    read = imported("belief").table_of(path, 2)
    firsts = [one["trainings"][0] for one in networks]
    assert list(read.errors) == [min(training["errors"]) for training in firsts]
    assert list(read.costs) == [tables.cost(training) for training in firsts]
    assert (read.images, len(read.configs)) == (60, 4)
    made = imported("make_prior")
    monkeypatch.setattr(made, "EPOCHS", (2, 1))
    both = made.learnt(path)
    assert [(one.kind, one.images, one.traits.shape[0]) for one in both] == [("digits", 60, 4)] * 2
    assert list(np.exp(both[0].log_error)) == pytest.approx((60 * read.errors + 0.5) / 61)
    monkeypatch.setattr(made, "WARM", 1)
    timed = made.timed(path)
    assert timed.work.shape == (4, len(timed.reference))
    assert timed.log_ratio == pytest.approx(np.log(read.costs))


def test_f_c_of_a_table_is_a_session_s(tables: ModuleType) -> None:
    # the first epoch is cold; a ratio of medians, not a median of ratios
    row = {"errors": [0.5] * 4, "seconds": [9.0, 2, 4, 6], "beside": [1.0, 1, 8, 2]}
    assert tables.cost(row) == 2
    assert tables.cost({"errors": [], "seconds": [], "beside": []}) == 1


def test_networks_of_a_table_are_drawn_where_searches_go(tables: ModuleType) -> None:
    space = tables.cnn.space((1, 8, 8), 10, macs_cap=tables.LARGEST)
    draws = tables.Draws(space, (0, 1))
    known: list[dict[str, Any]] = []
    for number in range(120):
        source, config = draws.next(known)
        assert space.proposable(config)
        row = {"errors": [0.5 - 0.001 * number], "seconds": [1.0], "beside": [2.0], "epochs": 2}
        known.append({"key": space.key(config), "source": source, "config": config, **row})
    assert len({row["key"] for row in known}) == 120
    kinds = {row["source"] for row in known}
    assert kinds == {"random", "near", "level1", "level2", "level3", "level4"}
    schedules = {row["config"]["schedule"] for row in known if row["source"] == "level1"}
    assert schedules == {"exponential", "one-cycle"}
    again = draws.again(known)
    assert again in [row["config"] for row in known]
    repeated = next(row for row in known if row["config"] == again)
    assert draws.again([*known, repeated]) == again  # one that was begun is trained to its end
    more = draws.again([*known, repeated, repeated])
    assert more is not None
    assert more != again  # and no further


def test_a_network_is_trained_again_with_another_seed(tables: ModuleType) -> None:
    space = tables.cnn.space((1, 8, 8), 10, macs_cap=tables.LARGEST)
    rng = np.random.default_rng(0)
    row = {"errors": [0.5], "seconds": [1.0], "beside": [2.0], "epochs": 2, "source": "random"}
    known = []
    for _ in range(tables.FIRST):
        config = space.sample(rng)
        known.append({**row, "key": space.key(config), "config": config})
    draws = tables.Draws(space, (0, 1))
    source, config, lengths = tables._wanted(known[:2], known, draws, space.reference)
    assert (source, config, lengths) == ("random", known[1]["config"], (1,))  # was cut off there
    whole = {**known[0], "epochs": 1}
    source, config, lengths = tables._wanted([known[0], whole], known, draws, space.reference)
    assert (source, lengths) == ("again", tables.AGAIN)
    assert config in [row["config"] for row in known]


def test_sets_draw_networks_of_their_own(tables: ModuleType) -> None:
    spaces = [tables.cnn.space(shape, 10) for shape in ((1, 14, 14), (1, 16, 16))]
    drawn = [
        tables.Draws(space, (0, 0, tables.zlib.crc32(name))).next([])[1]
        for space, name in zip(spaces, (b"glyphs14-worker0", b"speech16-worker0"), strict=True)
    ]
    assert drawn[0] != drawn[1]


def test_a_set_that_cannot_be_made_is_left_out_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = imported("sets")
    monkeypatch.setattr(sets, "FONTS", tmp_path)
    assert sets.main([str(tmp_path / "sets"), "--only", "glyphs14", "--only", "emoji16"]) == 0
    told = capsys.readouterr().out
    assert "glyphs14: left out: 0 font families" in told
    assert "emoji16: left out: npm pack emoji-datasource-google" in told
    assert not (tmp_path / "sets").exists()


# -- the belief ---------------------------------------------------------------------------------


def test_a_belief_is_scored_by_intervals_of_measurements() -> None:
    belief = imported("belief")
    rng = np.random.default_rng(0)
    log, plain = (
        belief.Quantity(
            kind, np.full(4000, mean), np.full(4000, 0.1), np.full(4000, mean), np.zeros(4000), std
        )
        for kind, mean, std in ((True, -1.0, 0.3), (False, 2.0, 0.5))
    )
    # the σ of a measurement gives that of its logarithm back
    wide = 0.25
    natural = np.exp(-1 + wide**2 / 2) * np.sqrt(np.expm1(wide**2))
    told = belief._wide(dataclasses.replace(log, predictive_std=np.full(4000, natural)))
    assert told == pytest.approx(np.full(4000, wide))
    drawn = belief.measured(plain, rng, 500)
    values = 2 + 0.5 * rng.standard_normal(4000)
    assert 100 * belief.inside(drawn, values).mean() == pytest.approx(95, abs=1.5)
    # of a normal the score is known: 0.2337 σ on average where it is right
    right = belief.crps(drawn, values)
    assert right == pytest.approx(0.5 / math.sqrt(math.pi), rel=0.03)
    assert belief.crps(2 + 3 * (drawn - 2), values) > right
    assert belief.crps(drawn + 0.5, values) > right


def test_the_belief_on_a_table_is_worth_more_with_more_trials(
    capsys: pytest.CaptureFixture[str],
) -> None:
    belief = imported("belief")
    words = ["--table", "cnn-fashion", "--seeds", "2", "--observed", "2,40", "--json"]
    assert belief.main(words) == 0
    few, many = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (few["observed"], many["observed"]) == (2, 40)
    assert many["log_time"] < few["log_time"]
    assert many["crps"] < few["crps"]
    assert many["gain"] > 0.3
    assert few["rank"] < many["rank"] <= 1
    for line in (few, many):
        assert 0 <= line["liked_inside"] <= 100


# -- images of several kinds --------------------------------------------------------------------


def test_fonts_that_are_alike_are_one_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = imported("sets")
    here = Path("/usr/share/fonts/truetype/dejavu")
    wanted = ("DejaVuSans.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf")
    for name in wanted:
        shutil.copyfile(here / name, tmp_path / name)
    # another name, the same letters
    shutil.copyfile(here / "DejaVuSerif.ttf", tmp_path / "another.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(sets, "FONTS", tmp_path)
    found = [sorted(path.name for path in family) for family in sets.families()]
    assert sorted(found) == [
        ["DejaVuSans.ttf", "DejaVuSansMono.ttf"],
        ["DejaVuSerif.ttf", "another.ttf"],
    ]
    letter = sets._letter(tmp_path / "DejaVuSans.ttf", "A", 28, np.random.default_rng(0))
    assert (letter.shape, letter.dtype) == ((28, 28), np.uint8)
    assert letter.max() > 200 > 10 > letter.min()


def test_the_same_emoji_of_two_designers_is_on_one_side(tmp_path: Path) -> None:
    sets = imported("sets")
    known = [
        {"category": "Flags" if at % 2 else "Objects", "image": f"{at}.png", "sort_order": 20 * at}
        for at in range(12)
    ]
    for vendor, shade in zip(sets.VENDORS, (0, 10), strict=True):
        with tarfile.open(tmp_path / f"emoji-datasource-{vendor}-1.tgz", "w:gz") as archive:
            content = {"package/emoji.json": json.dumps(known).encode()}
            for at in range(12):
                file = io.BytesIO()
                Image.new("RGBA", (64, 64), (20 * at, shade, 0, 255)).save(file, "PNG")
                content[f"package/img/{vendor}/64/{at}.png"] = file.getvalue()
            for name, data in content.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    made = sets.emoji(tmp_path, 100, 100)
    assert (len(made.train.labels), len(made.val.labels)) == (16, 8)
    red = {int(image[0, 0, 0]) for image in made.train.images}
    assert red.isdisjoint(int(image[0, 0, 0]) for image in made.val.images)
    assert made.train.images.shape[1:] == (16, 16, 3)
    for split in (made.train, made.val):
        for image, label in zip(split.images, split.labels, strict=True):
            assert label == (0 if image[0, 0, 0] // 20 % 2 else 1)  # Flags, Objects


def test_a_spectrogram_shows_what_is_high_and_what_is_low() -> None:
    sets = imported("sets")
    time = np.arange(16_000) / 22_050
    pictures = [
        sets._spectrogram(1e4 * np.sin(2 * np.pi * hertz * time), np.random.default_rng(0))
        for hertz in (400, 6000)
    ]
    rows = [int(picture.mean(1).argmax()) for picture in pictures]
    assert [picture.shape for picture in pictures] == [(16, 16)] * 2
    assert rows[0] > rows[1]  # high notes are above
