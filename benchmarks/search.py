"""How many trainings a method needs: regret over a budget, for this advisor and its peers.

    python benchmarks/search.py --problem nb201-cifar10 --method lcsearch,optuna-gp --seeds 40

prints one line a method, as JSON with --json, and how each peer stands to the first method seed by
seed.  The same evaluation numbers meet the same noise whichever method asks.  `--raw FILE` keeps
every run, one JSON line each, and a run that is there already is not made again, so a long
comparison can be stopped and gone on with.  Peers: `pip install -e .[benchmarks]`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import problems
from threadpoolctl import threadpool_limits

from lcsearch.engine.advisor.bounds import NO_BOUNDS, Bounds
from lcsearch.engine.advisor.rank import rank
from lcsearch.engine.model.prior import NOTHING, Prior
from lcsearch.engine.objective import Observation
from lcsearch.engine.search.beforehand import AVERAGE
from lcsearch.engine.tasks.domains import Categorical, Integer, Real
from lcsearch.sessions.choices import Strategy
from lcsearch.sessions.records import Config

INITIAL = 10
"""Evaluations of the budget that a method's initial design may take at most."""
DESIGN = 6
"""Those that this advisor's takes."""
LEVEL_DESIGN = (4, 2)
"""The same where there are levels: of the first, and of every other, the first time around."""
PATIENCE = 100
"""Suggestions of a peer that are refused before one is evaluated all the same."""
TINY = 1e-12
"""Regret below which a logarithm is not followed: rounding."""


class Method(Protocol):
    """A search: what to evaluate next, what came of it, and what it would recommend."""

    def ask(self) -> Config:
        """The next configuration."""

    def tell(self, config: Config, error: float, cost: float) -> None:
        """What its evaluation gave."""

    def recommend(self) -> Config:
        """The one configuration that it takes for the best so far."""


@dataclass
class Search:
    """What every method is given."""

    problem: Any
    wc: float
    budget: int
    seed: int
    configs: list[Config] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Set up what the method keeps."""

    @property
    def base(self) -> Config:
        """Where levels start."""
        space = self.problem.space
        base: Config = getattr(self.problem, "base", None) or space.reference or space.defaults()
        return base

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Keep it; a peer recommends the best it measured."""
        self.configs.append(config)
        self.measured.append(error + self.wc * cost)

    def recommend(self) -> Config:
        """The best measured."""
        return self.configs[int(np.argmin(self.measured))]


class Advisor(Search):
    """lcsearch: one level after another where the space has several, then the first once more.

    By equal shares of the budget.  A poor structure that was carried forward is not mended by the
    levels behind it; opened again, the first level is searched with all that was learnt in them.
    """

    flat = False
    again: tuple[int, ...] = (1,)
    """The levels that are opened once more."""
    strategy: Strategy = "gp"
    bounds: Bounds = NO_BOUNDS
    prior: Prior = NOTHING
    average = 1

    def start(self) -> None:
        """Set up what the method keeps."""
        self.observations: list[Observation] = []
        self.level_base = self.base
        self.level = 1

    def _levels(self) -> int:
        return 1 if self.flat else len(self.problem.space.levels)

    def _ranking(self, count: int, level: int, design: int, initial: int) -> Any:
        return rank(
            self.problem.space,
            self.observations,
            0 if self.flat else level,
            self.level_base,
            self.wc,
            count=count,
            seed=self.seed,
            design=design,
            initial=initial,
            strategy=self.strategy,
            bounds=self.bounds,
            prior=self.prior,
            average=self.average,
        )

    def costs_of(self, config: Config) -> dict[str, float]:
        """What a training tells besides f_p and f_c."""
        return {}

    def ask(self) -> Config:
        """The first proposal."""
        done, levels = len(self.observations), self._levels()
        visits = [*range(1, levels + 1), *(self.again if levels > 1 else ())]
        turn = min(done * len(visits) // self.budget, len(visits) - 1)
        first = -(-turn * self.budget // len(visits))
        level = visits[turn]
        if level != self.level:
            self.level, self.level_base = level, self.recommend()
        initial = 0 if turn >= levels else DESIGN if levels == 1 else LEVEL_DESIGN[level > 1]
        design = max(initial - (done - first), 0)
        self.last = self._ranking(1, level, design, initial)
        if self.last.exhausted:
            return self.recommend()
        config: Config = self.last.proposals[0].config
        return config

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Observe it."""
        super().tell(config, error, cost)
        self.observations.append(
            Observation(
                len(self.observations),
                self.level,
                config,
                error,
                getattr(self.problem, "images", 0),
                cost,
                self.costs_of(config),
            )
        )

    def recommend(self) -> Config:
        """The smallest posterior mean over all that was evaluated."""
        ranking = self._ranking(1, self.level, 0, 0)
        means = [ranking.posterior(o.number)[0] for o in self.observations]
        return self.observations[int(np.argmin(means))].config


class Averaging(Advisor):
    """lcsearch without a prior, averaged over draws of the hyperparameters: `--prior none`."""

    average = AVERAGE


class Knowing(Averaging):
    """lcsearch with the prior of `--prior`, which must not know the problem's own images."""


class OnceAround(Advisor):
    """lcsearch with each level opened once."""

    again = ()


class TwiceAround(Advisor):
    """lcsearch with every level opened again: half as many trainings a level are too few.

    On cnn-fashion its mean regret over 6 seeds was 0.067 at 25 and 0.032 at 50.
    """

    again = (1, 2, 3, 4)


class FlatAdvisor(Advisor):
    """lcsearch with all parameters at once."""

    flat = True


class Evolution(FlatAdvisor):
    """Aging evolution over neighbours, from the same initial design."""

    strategy = "evolution"


class Annealing(FlatAdvisor):
    """Simulated annealing over neighbours, from the same initial design."""

    strategy = "annealing"


class Random(Search):
    """Random search."""

    def start(self) -> None:
        """Set up what the method keeps."""
        self.rng = np.random.default_rng([self.seed, 1])

    def ask(self) -> Config:
        """A random configuration that the space can propose."""
        proposable = self.problem.space.proposable
        for _ in range(PATIENCE):
            config: Config = self.problem.space.sample(self.rng, 0, self.base)
            if proposable is None or proposable(config):
                break
        return config


@dataclass(frozen=True)
class Dimension:
    """One coordinate of `Space.decode` at level 0, as a peer is given it.

    kind: categorical, integer or unit, the last a number on [0, 1] where the range depends on
    what came before.  length, least: an entry of a list that is there only where the parameter
    `length` is more than `least`; an empty name where it always is.
    """

    name: str
    kind: str
    choices: tuple[Any, ...] = ()
    low: int = 0
    high: int = 0
    log: bool = False
    length: str = ""
    least: int = 0

    @property
    def absent(self) -> Any:
        """What stands in for a value that is not read."""
        return self.choices[0] if self.kind == "categorical" else self.low

    def unit(self, value: Any) -> float:
        """The coordinate."""
        if self.kind == "categorical":
            return (self.choices.index(value) + 0.5) / len(self.choices)
        if self.kind == "integer":
            low, high = self.low - 0.5, self.high + 0.5
            if self.log:
                return float(np.log(value / low) / np.log(high / low))
            return float((value - low) / (high - low))
        return min(float(value), 1 - 1e-12)


def dimensions(space: Any, base: Config) -> list[Dimension]:
    """The whole space as a fixed number of coordinates; entries of absent layers change nothing."""
    found: list[Dimension] = []
    for parameter in space.parameters:
        slots = space._slots(parameter, 0, base)
        for index in range(slots):
            name = parameter.name if parameter.length is None else f"{parameter.name}_{index}"
            domain = parameter.domain
            if isinstance(domain, Categorical):
                made = Dimension(name, "categorical", domain.choices)
            elif isinstance(domain, Integer) and domain.step == 1 and parameter.guide is None:
                made = Dimension(name, "integer", low=domain.low, high=domain.high, log=domain.log)
            else:
                assert isinstance(domain, Integer | Real)
                made = Dimension(name, "unit")
            if parameter.length is not None:
                least = index - parameter.offset
                if least >= space[parameter.length].domain.low:
                    made = replace(made, length=parameter.length, least=least)
            found.append(made)
    return found


class Peer(Search):
    """What the peers share: their coordinates and the way back."""

    def start(self) -> None:
        """Set up what the method keeps."""
        self.dimensions = dimensions(self.problem.space, self.base)
        self.connect()

    def connect(self) -> None:
        """Set the peer up."""

    def suggestion(self) -> Config:
        """What the peer asks for; what came of the one before is told, or it was refused."""
        raise NotImplementedError

    def refuse(self) -> None:
        """Tell the peer that its suggestion cannot be had."""

    def ask(self) -> Config:
        """The next that the space can propose (it may cap the cost): no evaluation is spent."""
        proposable = self.problem.space.proposable
        for _ in range(PATIENCE):
            config = self.suggestion()
            if proposable is None or proposable(config):
                break
            self.refuse()
        return config

    def decoded(self, values: dict[str, Any]) -> Config:
        """The configuration at a peer's point."""
        unit = np.array([d.unit(values[d.name]) for d in self.dimensions])
        config: Config = self.problem.space.decode(unit, 0, self.base)
        return config


class Optuna(Peer):
    """Optuna by ask and tell; the sampler is named by the method."""

    sampler = "gp"
    conditional = False
    """Its GP draws at random what is not in every trial: it is better off with all of them."""

    def connect(self) -> None:
        """A study in memory."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        samplers = {"gp": optuna.samplers.GPSampler, "tpe": optuna.samplers.TPESampler}
        made = samplers[self.sampler](
            seed=self.seed, n_startup_trials=INITIAL, **self.sampler_options()
        )
        self.study = optuna.create_study(sampler=made)

    def sampler_options(self) -> dict[str, Any]:
        """What else the sampler is told."""
        return {}

    def suggestion(self) -> Config:
        """The sampler's; entries of absent layers are not asked for, where it can do without."""
        self.trial = self.study.ask()
        values: dict[str, Any] = {}
        for d in self.dimensions:
            if self.conditional and d.length and values[d.length] <= d.least:
                values[d.name] = d.absent
            elif d.kind == "categorical":
                values[d.name] = self.trial.suggest_categorical(d.name, d.choices)
            elif d.kind == "integer":
                values[d.name] = self.trial.suggest_int(d.name, d.low, d.high, log=d.log)
            else:
                values[d.name] = self.trial.suggest_float(d.name, 0.0, 1.0)
        return self.decoded(values)

    def refuse(self) -> None:
        """A failed trial, in Optuna's words."""
        from optuna.trial import TrialState

        self.study.tell(self.trial, state=TrialState.FAIL)

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Give it the objective."""
        super().tell(config, error, cost)
        self.study.tell(self.trial, self.measured[-1])


class OptunaTPE(Optuna):
    """Optuna's default sampler."""

    sampler = "tpe"
    conditional = True


class Smac(Peer):
    """SMAC3's facade for hyperparameters (random forest, log EI) by ask and tell.

    Entries of absent layers are not made conditional, though its configuration space could: where
    one is inactive, the local search of 2.4 takes every neighbour to differ in several entries
    (NaN is not NaN) and skips it.  On cnn-fashion its mean regret at 50 was 0.093 with conditions
    and is 0.076 without (6 seeds).  It repeats itself only under one PYTHONHASHSEED.
    """

    retrain_after = 1
    """Evaluations between two fits of the forest; its default of 8 is for many workers."""

    def connect(self) -> None:
        """A scenario in a folder of its own."""
        import logging
        import tempfile

        from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace, Float
        from ConfigSpace import Integer as Whole
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.model.random_forest import RandomForest

        # SMAC configures the loggers of the whole process unless it is kept from it
        logging.getLogger("smac").setLevel(logging.ERROR)
        space = ConfigurationSpace(seed=self.seed)
        for d in self.dimensions:
            if d.kind == "categorical":
                choices = [str(i) for i in range(len(d.choices))]
                space.add(CategoricalHyperparameter(d.name, choices))
            elif d.kind == "integer":
                space.add(Whole(d.name, (d.low, d.high), log=d.log))
            else:
                space.add(Float(d.name, (0.0, 1.0)))
        self.folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            space,
            n_trials=self.budget,
            deterministic=True,
            seed=self.seed,
            output_directory=Path(self.folder.name),
        )
        facade = HyperparameterOptimizationFacade
        model = RandomForest(
            space,
            n_trees=10,
            ratio_features=1.0,
            min_samples_split=2,
            min_samples_leaf=1,
            log_y=True,
            seed=self.seed,
            # the facade's own forest but for these two, which change no number: it makes room for
            # a million leaves a tree and starts workers for ten trees, four seconds a proposal
            max_leaf_nodes=max(2, 2 * self.budget),
            n_jobs=1,
        )
        self.facade = facade(
            scenario,
            model=model,
            initial_design=facade.get_initial_design(scenario, n_configs=INITIAL, max_ratio=1.0),
            config_selector=facade.get_config_selector(scenario, retrain_after=self.retrain_after),
            overwrite=True,
            logging_level=False,
        )

    def suggestion(self) -> Config:
        """The facade's."""
        self.info = self.facade.ask()
        given = dict(self.info.config)
        values: dict[str, Any] = {}
        for d in self.dimensions:
            if d.kind == "categorical":
                values[d.name] = d.choices[int(given[d.name])]
            else:
                values[d.name] = given[d.name]
        return self.decoded(values)

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Give it the objective."""
        from smac.runhistory.dataclasses import TrialValue

        super().tell(config, error, cost)
        self.facade.tell(self.info, TrialValue(cost=self.measured[-1]), save=False)


class SmacDefault(Smac):
    """SMAC with its own pace of fits: a fifth of the time.

    On cnn-fashion (6 seeds) mean regret 0.110 at 25 and 0.082 at 50, against 0.118 and 0.076.
    """

    retrain_after = 8


METHODS: dict[str, Callable[..., Method]] = {
    "lcsearch": Advisor,
    "lcsearch-average": Averaging,
    "lcsearch-prior": Knowing,
    "lcsearch-once": OnceAround,
    "lcsearch-twice": TwiceAround,
    "lcsearch-flat": FlatAdvisor,
    "evolution": Evolution,
    "annealing": Annealing,
    "random": Random,
    "optuna-gp": Optuna,
    "optuna-tpe": OptunaTPE,
    "smac": Smac,
    "smac-default": SmacDefault,
}


@dataclass(frozen=True)
class Outcome:
    """One seed's run: regret after each evaluation, what was paid, and what was recommended."""

    regret: list[float]
    paid: list[float]
    recommended: dict[int, float]
    seconds: float


def run(problem: Any, method: str, wc: float, budget: int, seed: int) -> Outcome:
    """One search.  Noise follows from the seed and the number of the evaluation alone."""
    search = METHODS[method](problem, wc, budget, seed)
    lowest = problem.minimum(wc)
    best, total, spent = np.inf, 0.0, 0.0
    regret: list[float] = []
    paid: list[float] = []
    recommended: dict[int, float] = {}
    for number in range(budget):
        start = time.perf_counter()
        config = search.ask()
        spent += time.perf_counter() - start
        error, cost = problem.evaluate(config, seed * 100_003 + number)
        start = time.perf_counter()
        search.tell(config, error, cost)
        spent += time.perf_counter() - start
        best = min(best, problem.true_objective(config, wc))
        total += cost
        regret.append(best - lowest)
        paid.append(total)
        if number + 1 in (budget // 2, budget):
            recommended[number + 1] = problem.true_objective(search.recommend(), wc) - lowest
    return Outcome(regret, paid, recommended, spent / budget)


def at_cost(outcome: Outcome, cost: float) -> float:
    """The regret when this much had been paid; at the first evaluation if that cost more."""
    affordable = [r for r, p in zip(outcome.regret, outcome.paid, strict=True) if p <= cost]
    return affordable[-1] if affordable else outcome.regret[0]


def summary(
    problem: str, method: str, wc: float, budget: int, outcomes: list[Outcome]
) -> dict[str, Any]:
    """One printed line."""
    half = budget // 2
    regret = np.array([o.regret for o in outcomes])
    line: dict[str, Any] = {
        "problem": problem,
        "method": method,
        "wc": wc,
        "seeds": len(outcomes),
        "budget": budget,
        f"median_regret_{half}": float(np.median(regret[:, half - 1])),
        f"mean_regret_{half}": float(regret[:, half - 1].mean()),
        f"median_regret_{budget}": float(np.median(regret[:, -1])),
        f"mean_regret_{budget}": float(regret[:, -1].mean()),
        f"q90_regret_{budget}": float(np.quantile(regret[:, -1], 0.9)),
        f"mean_log_regret_{budget}": float(np.log(np.maximum(regret[:, -1], TINY)).mean()),
        f"recommended_regret_{half}": float(np.mean([o.recommended[half] for o in outcomes])),
        f"recommended_regret_{budget}": float(np.mean([o.recommended[budget] for o in outcomes])),
        "mean_cost": float(np.mean([o.paid[-1] for o in outcomes])),
    }
    for share in (0.25, 0.5):
        cost = share * budget
        line[f"mean_regret_cost_{cost:g}"] = float(np.mean([at_cost(o, cost) for o in outcomes]))
    line["seconds_per_proposal"] = float(np.mean([o.seconds for o in outcomes]))
    return line


def paired(ours: list[Outcome], theirs: list[Outcome], budget: int) -> dict[str, float]:
    """Ours against a peer, seed by seed, at half of the budget and at its end.

    Differences of regret, ours less theirs: mean, and its 90 % interval by the bootstrap (10,000
    resamples of the seeds); `p`: one-sided, by Wilcoxon's signed ranks, that ours is no smaller.
    """
    from scipy.stats import wilcoxon

    result: dict[str, float] = {}
    pairs = list(zip(ours, theirs, strict=True))
    for at in (budget // 2, budget):
        gaps = np.array([a.regret[at - 1] - b.regret[at - 1] for a, b in pairs])
        rng = np.random.default_rng(0)
        means = gaps[rng.integers(len(gaps), size=(10_000, len(gaps)))].mean(axis=1)
        low, high = np.quantile(means, [0.05, 0.95])
        result[f"difference_{at}"] = float(gaps.mean())
        result[f"difference_low_{at}"] = float(low)
        result[f"difference_high_{at}"] = float(high)
        if np.any(gaps != 0):
            result[f"p_{at}"] = float(wilcoxon(gaps, alternative="less").pvalue)
        else:
            result[f"p_{at}"] = 1.0
    return result


class Runs:
    """The runs that were made: (problem, method, wc, budget, seed) -> outcome, kept in a file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.outcomes: dict[tuple[str, str, float, int, int], Outcome] = {}
        if path is None or not path.exists():
            return
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            recommended = {int(at): value for at, value in entry["recommended"].items()}
            key = tuple(entry[name] for name in ("problem", "method", "wc", "budget", "seed"))
            self.outcomes[key] = Outcome(
                entry["regret"], entry["paid"], recommended, entry["seconds"]
            )

    def add(self, key: tuple[str, str, float, int, int], outcome: Outcome) -> None:
        """Keep one."""
        self.outcomes[key] = outcome
        if self.path is not None:
            names = ("problem", "method", "wc", "budget", "seed")
            entry = {**dict(zip(names, key, strict=True)), **vars(outcome)}
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")


_problem: Any = None


def _prepare(name: str, prior: Path | None) -> None:
    """In a worker: load the problem once."""
    global _problem
    if prior is not None:
        Knowing.prior = Prior.read(prior)
    _problem = problems.load(name)
    threadpool_limits(1)


def _work(method: str, wc: float, budget: int, seed: int) -> Outcome:
    return run(_problem, method, wc, budget, seed)


def compute(
    runs: Runs,
    problem: str,
    methods: list[str],
    wc: float,
    budget: int,
    seeds: range,
    jobs: int,
    prior: Path | None = None,
) -> None:
    """Make the runs that are missing, seed by seed, so that what is there is paired."""
    wanted = [(problem, m, wc, budget, seed) for seed in seeds for m in methods]
    wanted = [key for key in wanted if key not in runs.outcomes]
    if not wanted:
        return
    # spawned, and with hashes that are the same everywhere: SMAC's order of things follows them
    os.environ.setdefault("PYTHONHASHSEED", "0")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare, (problem, prior)) as pool:
        futures = {pool.submit(_work, key[1], wc, budget, key[4]): key for key in wanted}
        for done, future in enumerate(as_completed(futures), start=1):
            runs.add(futures[future], future.result())
            if sys.stderr.isatty():
                print(f"\r{problem} {done}/{len(wanted)} runs", end="", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--problem",
        default="nb201-cifar10",
        help=f"{', '.join(problems.PROBLEMS)}, or package.module:object",
    )
    parser.add_argument("--method", default="lcsearch", help=", ".join(METHODS))
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--wc", type=float, default=0.1)
    parser.add_argument("--prior", type=Path, help="of lcsearch-prior: a file of make_prior.py")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--raw", type=Path, help="keep every run here, as JSON lines")
    given = parser.parse_args(arguments)
    methods = given.method.split(",")
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        parser.error(f"--method {unknown[0]}: unknown. Use {', '.join(METHODS)}.")
    if ":" not in given.problem and given.problem not in problems.PROBLEMS:
        parser.error(
            f"--problem {given.problem}: unknown. Use {', '.join(problems.PROBLEMS)}, "
            "or package.module:object."
        )
    if given.budget < 2 or given.seeds < 1 or given.jobs < 1:
        parser.error("--budget must be at least 2, --seeds and --jobs at least 1.")
    runs = Runs(given.raw)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    if "lcsearch-prior" in methods and given.prior is None:
        parser.error("--method lcsearch-prior: give --prior FILE, made without these images.")
    compute(runs, given.problem, methods, given.wc, given.budget, seeds, given.jobs, given.prior)
    made = {
        name: [runs.outcomes[given.problem, name, given.wc, given.budget, seed] for seed in seeds]
        for name in methods
    }
    for name, outcomes in made.items():
        line = summary(given.problem, name, given.wc, given.budget, outcomes)
        if name != methods[0]:
            against = paired(made[methods[0]], outcomes, given.budget)
            line |= {f"{methods[0]}_{key}": value for key, value in against.items()}
        if given.json:
            print(json.dumps(line), flush=True)
        else:
            words = [f"{k} {v:.4g}" if isinstance(v, float) else f"{v}" for k, v in line.items()]
            print("  ".join(words), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
