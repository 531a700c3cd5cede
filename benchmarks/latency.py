"""How long the advisor takes: a ranking, a what-if, a moved weight, limits.

    python benchmarks/latency.py --json

prints a line for every case and number of observations.  Each case runs in a process of its own,
so that `peak_mb` is what that process held at most, the libraries included.  `rank-flat` ranks
all parameters at once, `rank-limited` does so within a limit that one network in a hundred keeps;
`first-limit` and `move-limit` are what a limit that is moved in the console takes, at first and
from then on: the share of the candidates that keeps it, and the ranking of those.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import statistics
import time
from typing import Any

import numpy as np

from lcsearch.engine.advisor.bounds import NO_BOUNDS, Bounds
from lcsearch.engine.advisor.rank import rank
from lcsearch.engine.model.prior import NOTHING, Prior
from lcsearch.engine.objective import Observation
from lcsearch.engine.search.beforehand import AVERAGE, prior_choice
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.task import prior_file
from lcsearch.sessions.records import Config

SPACE = cnn.space((1, 28, 28), 10, parameters=cnn.POSTER)
BASE: Config = SPACE.reference or SPACE.defaults()
CASES = ("rank", "what-if", "move-wc", "rank-flat", "rank-limited", "first-limit", "move-limit")
RARE = 0.01
"""Of drawn networks, the share that keeps the limit on parameters."""


def limit() -> float:
    """The parameters that so few networks of the whole space have at most."""
    rng = np.random.default_rng(1)
    drawn = (SPACE.sample(rng, 0, BASE) for _ in range(4000))
    params = [SPACE.known(config)["params"] for config in drawn if not SPACE.broken(config)]
    return float(np.quantile(params, RARE))


def observations(space: Space, count: int) -> list[Observation]:
    """Made-up trainings of random networks of level 1, the reference first."""
    rng = np.random.default_rng(0)
    cost = space.known(BASE)["macs"]
    found = []
    for number in range(count):
        config = space.sample(rng, 1, BASE) if number else BASE
        halved = sum(entry != "none" for entry in config["downsample"])
        width = math.log2(config["channels"][-1])
        error = 0.08 + 0.01 * (halved - 3) ** 2 + 0.1 / width
        relative = (space.known(config)["macs"] / cost) ** 0.7 * math.exp(rng.normal(0, 0.05))
        found.append(
            Observation(number, 1, config, rng.binomial(2000, error) / 2000, 2000, relative)
        )
    return found


def measure(case: str, count: int, repeats: int, prior: str) -> dict[str, Any]:
    """The median over some repeats, after one ranking that pays for the imports."""
    seen = observations(SPACE, count)
    name, _ = prior_choice(cnn.TASK, prior, {})
    file = prior_file(cnn.TASK, name)
    known: Any = {"prior": NOTHING if file is None else Prior.read(file), "average": AVERAGE}
    rank(SPACE, seen[:3], 1, BASE, 0.1, **known)
    seconds = []
    level = 0 if case in ("rank-flat", "rank-limited") else 1
    few = Bounds(exact={"params": limit()}) if case == "rank-limited" else NO_BOUNDS
    for seed in range(repeats):
        start = time.perf_counter()
        ranking = rank(SPACE, seen, level, BASE, 0.1, seed=seed, bounds=few, **known)
        if case == "what-if":
            edited = {**ranking.proposals[0].config, "learning_rate": 2e-3}
            start = time.perf_counter()
            ranking.evaluate([edited])
        elif case == "move-wc":
            start = time.perf_counter()
            ranking.reweighted(1.0)
        elif case in ("first-limit", "move-limit"):
            first, further = (Bounds(error=0.2, exact={"params": x * limit()}) for x in (4, 3))
            for moved in [first, further] if case == "move-limit" else [first]:
                start = time.perf_counter()
                ranking.share(moved)
                ranking.limited(moved)
        seconds.append(time.perf_counter() - start)
    return {
        "case": case,
        "prior": prior,
        "observations": count,
        "candidates": ranking.candidates,
        "seconds": statistics.median(seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--observations", default="50,100,200,500,1000")
    parser.add_argument("--case", default=",".join(CASES), help=", ".join(CASES))
    parser.add_argument("--prior", default="default", choices=("default", "none"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args()
    counts = [int(word) for word in given.observations.split(",")]
    spawn = multiprocessing.get_context("spawn")
    for case in given.case.split(","):
        if case not in CASES:
            parser.error(f"--case {case}: unknown. Use {', '.join(CASES)}.")
        for count in counts:
            with spawn.Pool(1) as pool:
                line = pool.apply(measure, (case, count, given.repeats, given.prior))
            if given.json:
                print(json.dumps(line), flush=True)
            else:
                words = [
                    f"{k} {v:.4g}" if isinstance(v, float) else f"{v}" for k, v in line.items()
                ]
                print("  ".join(words), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
