"""Networks within rare limits: are they drawn as plain rejection would find them, and how fast?

    python benchmarks/sampler.py --json                   # two million draws, some five minutes
    python benchmarks/sampler.py --draws 200000

Random networks of the whole space for images of 28 x 28 are drawn as the space draws them, and
limits on parameters, on MACs and on both are set so that one in a hundred, a thousand and ten
thousand keeps them; the first 200 that do are what rejection finds.  Then 2,048 networks are drawn
within each limit by subset simulation, ten seeds each.  A line a limit: `smallest_share` is, of
the depths that have 5 % or more of what rejection found, the share of the worst one over its share
there (median and least over the seeds); `broken` how many networks break the limit; `looked` how
many networks were laid out, and `seconds`, beside the `sobol` seconds that as many networks
without a limit take.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

from lcsearch.engine.advisor.limited import Sampler, over_limits, sobol
from lcsearch.engine.tasks import cnn
from lcsearch.sessions.records import Config

SPACE = cnn.space((1, 28, 28), 10, macs_cap=None, parameters=cnn.POSTER)
BASE: Config = SPACE.reference or SPACE.defaults()
WANTED = 2048
FOUND = 200
SHARES = (0.01, 0.001, 0.0001)
LIMITED = (("params",), ("macs",), ("params", "macs"))


def drawn(count: int) -> dict[str, Any]:
    """Depth, parameters and MACs of so many random networks, arrays of shape (n,)."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        config = SPACE.sample(rng, 0, BASE)
        if not SPACE.broken(config):
            costs = SPACE.known(config)
            rows.append((config["conv_layers"], costs["params"], costs["macs"]))
        if sys.stderr.isatty() and number % 10_000 == 0:
            print(f"\r{number:,}", end="", file=sys.stderr)
    depths, params, macs = np.array(rows, dtype=float).T
    return {"depth": depths, "params": params, "macs": macs}


def limits_for(found: dict[str, Any], names: tuple[str, ...], share: float) -> dict[str, float]:
    """Limits that this share of the networks keeps: each cost at one quantile of its own."""
    low, high = share, 1.0
    for _ in range(40):  # of both together fewer keep it than of either
        middle = (low * high) ** 0.5
        limits = {name: float(np.quantile(found[name], middle)) for name in names}
        kept = np.all([found[name] <= most for name, most in limits.items()], axis=0)
        low, high = (middle, high) if kept.mean() < share else (low, middle)
    return {name: float(np.quantile(found[name], high)) for name in names}


def smallest_share(wanted: Counter[int], got: Counter[int]) -> float:
    """The worst depth's share over that which it should have."""
    all_wanted, all_got = sum(wanted.values()), sum(got.values())
    often = {depth: count for depth, count in wanted.items() if count >= 0.05 * all_wanted}
    ratios = (got[depth] / all_got / (count / all_wanted) for depth, count in often.items())
    return min(ratios)


def compare(
    found: dict[str, Any], names: tuple[str, ...], share: float, seeds: int
) -> dict[str, Any]:
    """The line of a limit."""
    limits = limits_for(found, names, share)
    kept = np.all([found[name] <= most for name, most in limits.items()], axis=0)
    rejection = Counter(found["depth"][np.flatnonzero(kept)[:FOUND]].astype(int).tolist())
    over = over_limits(SPACE, limits)
    ratios, looked, seconds, broken, fewest = [], [], [], 0, WANTED
    for seed in range(seeds):
        start = time.perf_counter()
        sampler = Sampler(SPACE, 0, BASE, over)
        units = sobol(SPACE.dimensions(0, BASE), WANTED, seed)
        networks = sampler.draw(units, WANTED, np.random.default_rng(seed))
        seconds.append(time.perf_counter() - start)
        looked.append(sampler.looked)
        broken += sum(over(config) > 1e-9 for config in networks)
        fewest = min(fewest, len(networks))
        depths = Counter(int(config["conv_layers"]) for config in networks)
        ratios.append(smallest_share(rejection, depths))
    return {
        "limit": " and ".join(names),
        "share": share,
        "found": sum(rejection.values()),
        "smallest_share": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "at_least_half": f"{sum(ratio >= 0.5 for ratio in ratios)} of {seeds}",
        "broken": broken,
        "fewest": fewest,
        "looked": int(statistics.median(looked)),
        "seconds": round(statistics.median(seconds), 3),
    }


def plain_seconds(seeds: int) -> float:
    """What as many Sobol points take without a limit."""
    seconds = []
    for seed in range(seeds):
        start = time.perf_counter()
        decode = SPACE.decoder(0, BASE)
        for unit in sobol(SPACE.dimensions(0, BASE), WANTED, seed).tolist():
            SPACE.broken(decode(unit))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--draws", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    found = drawn(given.draws)
    plain = round(plain_seconds(given.seeds), 3)
    for names in LIMITED:
        for share in SHARES:
            if share * given.draws < 20:
                continue  # too few to hold anything against
            line = compare(found, names, share, given.seeds) | {"sobol": plain}
            text = (
                json.dumps(line) if given.json else "  ".join(f"{k} {v}" for k, v in line.items())
            )
            print(text, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
