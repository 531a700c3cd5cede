"""Limits: regret among the networks that keep one, and trainings spent outside it, against Optuna.

    python benchmarks/limits.py --json                        # 40 seeds, 50 trainings, hours
    python benchmarks/limits.py --json --seeds 10 --raw FILE  # a run goes on where FILE ends

NAS-Bench-201 on CIFAR-10 (error, latency and size of 15,625 networks), a limit at the 20 %
quantile of all networks: on the latency at w_c = 0, and on the size at w_c = 0.1.  Each twice: the
limit's cost is known only after a training, for everybody; or before it, for everybody, so that
this advisor draws within the limit, and a peer's suggestion that breaks it is refused and costs
nothing.  Peers are Optuna's GP and TPE samplers with Optuna's own constraints.

Regret is the true f of the best network that was trained and keeps the limit (its latency and size
are exact), minus the smallest true f of all that keep it; before there is one, that of the worst
of them.  A line a case and a method with medians and means, then how the methods stand to the
better peer: `regret_ratio` and `outside_ratio` of the means.  Peers:
`pip install -e .[benchmarks]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from lines import say
from problems import Table
from search import FlatAdvisor, Method, Optuna
from threadpoolctl import threadpool_limits

from lcsearch.engine.advisor.bounds import Bounds
from lcsearch.engine.tasks.measure import Measure
from lcsearch.sessions.records import Config

QUANTILE = 0.2
REFUSALS = 10
"""Of a peer's suggestions before a random network within the limit is taken."""


@dataclass(frozen=True)
class Case:
    """A limit on one cost, and whether it is known before a training."""

    cost: str
    wc: float
    before: bool

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.cost}, known {'before' if self.before else 'after'}"


CASES = tuple(
    Case(cost, wc, before)
    for cost, wc in (("latency", 0.0), ("size", 0.1))
    for before in (False, True)
)


class Limited:
    """The table, its second cost, and the limit on it."""

    def __init__(self, case: Case) -> None:
        self.table = Table("cifar10")
        self.case = case
        column = {"latency": "latency", "size": "model_size"}[case.cost]
        self.extra = {key: float(np.mean(row[column])) for key, row in self.table.raw.items()}
        self.limit = float(np.quantile(list(self.extra.values()), QUANTILE))
        objectives = {
            key: float(errors.mean() + case.wc * costs.mean())
            for key, (errors, costs) in self.table.rows.items()
        }
        inside = [f for key, f in objectives.items() if self.extra[key] <= self.limit]
        self.best, self.worst = min(inside), max(inside)
        measure = Measure(
            case.cost, case.cost, "", case.cost[:6], "count", case.cost, of=self.cost_of
        )
        self.space = self.table.space
        if case.before:
            self.space = replace(self.space, measures=(measure,))

    def cost_of(self, config: Config) -> float:
        """The limited cost, above 0."""
        return self.extra[self.table.key(config)]

    def keeps(self, config: Config) -> bool:
        """Whether it keeps the limit."""
        return self.cost_of(config) <= self.limit


class Ours(FlatAdvisor):
    """lcsearch, the whole cell at once."""

    problem: Limited

    def start(self) -> None:
        """Set up what the method keeps, and the limit."""
        super().start()
        limit = {self.problem.case.cost: self.problem.limit}
        known = self.problem.case.before
        self.bounds = Bounds(exact=limit) if known else Bounds(believed=limit)

    def costs_of(self, config: Config) -> dict[str, float]:
        """The limited cost, where only a training tells it."""
        case = self.problem.case
        return {} if case.before else {case.cost: self.problem.cost_of(config)}


class Constrained(Optuna):
    """Optuna by ask and tell, the limit as its constraint."""

    problem: Limited

    def sampler_options(self) -> dict[str, Any]:
        """The constraint, where it is not a trial's to say."""
        import optuna

        warnings.filterwarnings("ignore")
        self.sets = hasattr(optuna.Trial, "set_constraint")
        self.rng = np.random.default_rng(self.seed)
        return {} if self.sets else {"constraints_func": lambda trial: trial.user_attrs["over"]}

    def ask(self) -> Config:
        """The next; where the cost is known before, the next that keeps the limit, and after
        ten refusals a random one that does: its GP learns from none.
        """
        from optuna.trial import TrialState

        config = self.suggestion()
        if not self.problem.case.before:
            return config
        for _ in range(REFUSALS):
            if self.problem.keeps(config):
                return config
            # TPE learns from it that it was bad; its GP from what was evaluated alone
            self._constrain(config)
            self.study.tell(self.trial, state=TrialState.PRUNED)
            config = self.suggestion()
        while not self.problem.keeps(config):
            self.refuse()
            self.study.enqueue_trial(self.problem.space.sample(self.rng))
            config = self.suggestion()
        return config

    def _constrain(self, config: Config) -> None:
        over = float(np.log(self.problem.cost_of(config) / self.problem.limit))
        if self.sets:
            self.trial.set_constraint("limit", over)
        else:
            self.trial.set_user_attr("over", (over,))

    def tell(self, config: Config, error: float, cost: float) -> None:
        """Give it the objective and how far over the limit it is."""
        self._constrain(config)
        super().tell(config, error, cost)


class ConstrainedTPE(Constrained):
    """Optuna's default sampler."""

    sampler = "tpe"


METHODS: dict[str, Callable[..., Method]] = {
    "lcsearch": Ours,
    "optuna-gp": Constrained,
    "optuna-tpe": ConstrainedTPE,
}
PEERS = ("optuna-gp", "optuna-tpe")


def run(case: Case, method: str, budget: int, seed: int) -> dict[str, Any]:
    """One search: its regret after each training, and the trainings outside the limit."""
    os.environ["OMP_NUM_THREADS"] = "1"
    problem = Limited(case)
    found, outside = problem.worst, 0
    regret: list[float] = []
    with threadpool_limits(1):
        search = METHODS[method](problem, case.wc, budget, seed)
        for number in range(budget):
            config = search.ask()
            error, cost = problem.table.evaluate(config, seed * 1000 + number)
            search.tell(config, error, cost)
            if problem.keeps(config):
                found = min(found, problem.table.true_objective(config, case.wc))
            else:
                outside += 1
            regret.append(found - problem.best)
    return {"case": case.name, "method": method, "seed": seed, "budget": budget,
            "regret": regret, "outside": outside}  # fmt: skip


def summary(runs: Sequence[dict[str, Any]], case: Case, method: str) -> dict[str, Any]:
    """A line: after half of the budget and all of it."""
    own = [r for r in runs if r["case"] == case.name and r["method"] == method]
    last = [r["regret"][-1] for r in own]
    half = [r["regret"][len(r["regret"]) // 2 - 1] for r in own]
    return {
        "case": case.name,
        "method": method,
        "seeds": len(own),
        "regret": round(float(np.mean(last)), 5),
        "median_regret": round(float(np.median(last)), 5),
        "regret_at_half": round(float(np.mean(half)), 5),
        "outside": round(float(np.mean([r["outside"] for r in own])), 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--method", help=f"some of {','.join(METHODS)}")
    parser.add_argument("--raw", type=Path, help="keep every run here; what is there is not rerun")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    methods = given.method.split(",") if given.method else list(METHODS)
    runs: list[dict[str, Any]] = []
    if given.raw and given.raw.exists():
        runs = [json.loads(line) for line in given.raw.read_text(encoding="utf-8").splitlines()]
        runs = [r for r in runs if r["budget"] == given.budget and r["seed"] < given.seeds]
    there = {(r["case"], r["method"], r["seed"]) for r in runs}
    todo = [
        (case, method, given.budget, seed)
        for seed in range(given.seeds)
        for case in CASES
        for method in methods
        if (case.name, method, seed) not in there
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        for result in pool.map(run, *zip(*todo, strict=True)) if todo else ():
            runs.append(result)
            if given.raw:
                with given.raw.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")

    for case in CASES:
        lines = {method: summary(runs, case, method) for method in methods}
        for line in lines.values():
            say(line, given.json)
        peers = [lines[peer] for peer in PEERS if peer in lines]
        if "lcsearch" in lines and peers:
            ours = lines["lcsearch"]
            compared = {"case": case.name}
            for figure in ("regret", "outside"):
                better = min(peer[figure] for peer in peers)
                compared[f"{figure}_ratio"] = round(ours[figure] / better, 3) if better else None
            say(compared, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
