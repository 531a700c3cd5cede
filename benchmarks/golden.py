"""Rankings of many seeds, to the last digit: has a change of the code changed what is proposed?

    python benchmarks/golden.py before.json     # on the one tree
    python benchmarks/golden.py after.json      # on the other, on the same machine
    cmp before.json after.json

Floats differ between processors, so no such file is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from problems import load

from lcsearch.engine.advisor import Observation, rank

PROBLEMS = ("nb201-cifar10", "cnn-fashion")
SEEDS = 20


def ranked(name: str, seed: int) -> dict[str, Any]:
    """All that a ranking says: 6 to 18 random trials of a level, up to two more that wait."""
    problem = load(name)
    space = problem.space
    base = getattr(problem, "base", None) or space.reference or space.defaults()
    level = 1 + seed % len(space.levels)
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(6 + seed % 3 * 6):
        config = space.sample(rng, level, base)
        error, cost = problem.evaluate(config, number)
        images = getattr(problem, "images", 0)
        trials.append(Observation(number, level, config, error, images, cost))
    pending = [space.sample(rng, level, base) for _ in range(seed % 3)]
    weight = (0.0, 0.1, 1.0)[seed % 3]
    found = rank(space, trials, level, base, weight, pending, count=10, seed=seed)
    return {
        "proposals": [
            (p.id, None if p.prediction is None else p.prediction.model_dump())
            for p in found.proposals
        ],
        "f*": found.incumbent,
        "candidates": found.candidates,
        "relevance": found.relevance,
        "advice": found.advice,
    }


def main() -> None:
    """Write the rankings of all problems and seeds."""
    told = {f"{name} {seed}": ranked(name, seed) for name in PROBLEMS for seed in range(SEEDS)}
    Path(sys.argv[1]).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
