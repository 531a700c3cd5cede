"""Why: the nearest trial, the belief along a parameter, what is left to gain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...sessions.choices import COST_ALONE
from ...sessions.records import Config, Scalar
from ..objective import objective
from ..tasks.domains import Categorical, Real
from ..tasks.parameter import Entry
from ..tasks.space import Space
from .candidates import SAMPLES, Pool
from .evidence import LIKELY, Evidence, log_believed
from .ranking import Nearest, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.belief import Points
    from ..model.surrogate import Surrogate

FEWEST_LEFT_OUT = 4
"""Trials below which leaving each out in turn tells nothing."""
WORTH_AT_MOST = 30
"""Trials that an earlier session is found to be worth at most."""
ASKED = 150
"""Candidates whose variance tells what another trial would teach."""
CAUTION = 1.28
"""Standard deviations of the bounds that decide when a level is used up: 90 % on either side."""


def nearest(evidence: Evidence, points: Points, wc: float) -> list[Nearest]:
    """The observed trial of the highest correlation, by the error's kernel, for each point."""
    assert evidence.surrogate is not None
    kernel = evidence.surrogate.error.kernel
    likeness = kernel.correlation(points.features, evidence.surrogate.observed.features)
    closest = []
    for config, row in zip(points.configs, likeness.argmax(axis=1), strict=True):
        trial = evidence.observations[int(row)]
        closest.append(
            Nearest(
                trial.number,
                objective(trial.error, trial.complexity, wc),
                differences(evidence.space, trial.config, config),
            )
        )
    return closest


def differences(space: Space, one: Config, other: Config) -> tuple[Entry, ...]:
    """What differs between two configurations: `batch_size`, the second `kernel`.

    Entries that only one of two lists has are told by the parameter that gives their length, and
    what is idle in one by the parameter that it is idle by.
    """
    found: list[Entry] = []
    for parameter in space.awake:
        if not (parameter.counts(one) and parameter.counts(other)):
            continue  # what it is idle by differs, or both are idle
        a, b = one[parameter.name], other[parameter.name]
        if parameter.length is None:
            if a != b:
                found.append((parameter.name, None))
        else:
            found += [
                (parameter.name, i)
                for i, (x, y) in enumerate(zip(a, b, strict=False))
                if x != y and parameter.counts(one, i) and parameter.counts(other, i)
            ]
    return tuple(found)


def profile(
    evidence: Evidence, config: Config, parameter: str, index: int | None, points: int, wc: float
) -> Profile:
    """See `Ranking.profile`."""
    space = evidence.space
    domain = space[parameter].domain_in(config)
    current = config[parameter]
    if isinstance(current, list) and (index is None or not 0 <= index < len(current)):
        raise IndexError(f"{parameter} has {len(current)} entries, no entry {index}.")
    values: list[Scalar] = []
    if isinstance(domain, Categorical):
        values = list(domain.choices)
    else:
        units = (np.arange(points) + 0.5) / points
        if isinstance(domain, Real) or len(domain.values() or []) > points:
            drawn = [domain.at(float(unit)) for unit in units]
        else:
            drawn = list(domain.values() or [])
        values = sorted({*drawn, domain.clip(domain.low), domain.clip(domain.high)})
    moved: list[Config] = []
    kept: list[Scalar] = []
    for value in values:
        if isinstance(current, list):
            assert index is not None
            entries = [*current[:index], value, *current[index + 1 :]]
            candidate = space.resized({**config, parameter: entries})
        else:
            candidate = space.resized(space.moved(config, parameter, value))
        if not space.problems(candidate):
            moved.append(candidate)
            kept.append(value)
    mean = std = near = np.zeros(0)
    surrogate = evidence.surrogate
    if surrogate is not None and moved:
        along = surrogate.points(moved)
        mean, std, _ = surrogate.belief(along).objective(wc)
        near = surrogate.error.near(along.features)
    categories = isinstance(domain, Categorical)
    return Profile(parameter, index, categories, tuple(kept), mean, std, near)


def left(evidence: Evidence, pool: Pool, wc: float) -> tuple[float | None, float | None]:
    """A bound on what is left to gain in the level, and the noise of a measurement of f*.

    The gap between the smallest upper confidence bound of what was evaluated and the smallest
    lower one of what can be had (Makarova et al. 2022, arXiv 2104.08166).
    """
    incumbent = evidence.incumbent(wc)
    if incumbent is None or evidence.observed is None:
        return None, None
    mean, std, predictive = evidence.observed.objective(wc)
    # what breaks a limit is nothing to gain from, and nothing that was reached
    rows = [row for row in evidence.evaluated if evidence.keeps[row]]
    upper = float((mean[rows] + CAUTION * std[rows]).min())
    lower = float((mean[rows] - CAUTION * std[rows]).min())
    error = evidence.observed.error
    positive = error.log and error.origin == 0 and evidence.observed.complexity.log
    if pool.belief is not None and pool.keys:
        ahead, spread, _ = pool.belief.objective(wc)
        likely = log_believed(evidence.bounds, pool.belief) >= LIKELY
        if likely.any():
            lower = min(lower, float((ahead - CAUTION * spread)[likely].min()))
    if positive:
        lower = max(lower, 0.0)
    row = incumbent[1]
    noise = math.sqrt(max(float(predictive[row] ** 2 - std[row] ** 2), 0.0))
    return max(upper - lower, 0.0), noise


def worth(evidence: Evidence, pool: Pool) -> tuple[tuple[str, float | None], ...]:
    """What each earlier session is worth, in trials of this one; None while it cannot be told.

    By leaving each observed error out in turn: how much nearer the others come to it with that
    session than without.  The same is gained by so many more trials, each of which is believed to
    come out as expected: as many as lower the variance over the candidates by as much.
    """
    surrogate = evidence.surrogate
    if surrogate is None or pool.points is None or not surrogate.embedding.earlier:
        return ()
    names = [one.name for one in surrogate.embedding.earlier]
    few = len(evidence.observations) < FEWEST_LEFT_OUT
    if few or len(pool.keys) < WORTH_AT_MOST or surrogate.embedding.error_known is None:
        return tuple((name, None) for name in names)
    rng = np.random.default_rng(0)
    asked = [pool.configs[i] for i in rng.choice(len(pool.keys), ASKED)]
    told = _fitted(evidence, surrogate, names).error.left_out()
    found: list[tuple[str, float | None]] = []
    for name in names:
        others = [other for other in names if other != name]
        found.append((name, _worth(evidence, surrogate, others, asked, told)))
    return tuple(found)


def _fitted(evidence: Evidence, surrogate: Surrogate, names: Sequence[str]) -> Surrogate:
    """The belief anew, with these earlier sessions alone."""
    from ..model.surrogate import Surrogate

    embedding = surrogate.embedding
    return Surrogate(
        evidence.space,
        evidence.observations,
        surrogate.dimensions,
        evidence.exact,
        prior=embedding.prior,
        earlier=[one for one in embedding.earlier if one.name in names],
    )


def _worth(
    evidence: Evidence,
    surrogate: Surrogate,
    others: Sequence[str],
    asked: Sequence[Config],
    told: float,
) -> float:
    """Trials that bring the belief without an earlier session as far as it is with it.

    told: the mean square of what the belief with it is off by.
    """
    without = _fitted(evidence, surrogate, others)
    share = told / max(without.error.left_out(), 1e-12)
    if share >= 1:
        return 0.0
    points = without.points(asked)
    began = before = float(without.error.predict(points.features)[1].mean() ** 2)
    passed = 0
    for count in range(1, WORTH_AT_MOST + 1):
        believed = without.believing(without.points(asked[:count]))
        now = float(believed.error.predict(points.features)[1].mean() ** 2)
        if now <= share * began:
            return passed + (before - share * began) / max(before - now, 1e-12)
        before, passed = now, count
    return float(WORTH_AT_MOST)


def relevance(evidence: Evidence, pool: Pool, wc: float) -> tuple[tuple[str, float], ...]:
    """How much of the belief's variation each parameter carries, from the length scales."""
    if evidence.surrogate is None or evidence.observed is None:
        return ()
    if pool.points is None or not pool.points.configs:
        return ()
    features = pool.points.features[:SAMPLES]
    weights: dict[str, float] = {}
    processes = []
    if wc != COST_ALONE:
        processes.append((evidence.surrogate.error, 1.0, evidence.observed.error))
    if evidence.surrogate.complexity is not None and wc > 0:
        share = 1.0 if wc == COST_ALONE else wc
        process = evidence.surrogate.complexity.process
        processes.append((process, share, evidence.observed.complexity))
    moved = evidence.embedding.variation(features)
    for process, share, quantity in processes:
        kernel = process.kernel
        unit = (share * process.scale) ** 2 * kernel.amplitude
        if quantity.log:
            unit *= float(quantity.mean.mean()) ** 2
        lengths = np.asarray(kernel.length_scale, dtype=float).reshape(-1)
        for parts, length in zip(moved, lengths, strict=True):
            for label, variance in parts.items():
                weights[label] = weights.get(label, 0.0) + unit * variance / float(length) ** 2
    total = sum(weights.values())
    if not total > 0 or not math.isfinite(total):
        return ()
    shares = [(label, float(weight / total)) for label, weight in weights.items()]
    # rounding leaves a trace of what never varied
    shares = [(label, share) for label, share in shares if share > 1e-6]
    return tuple(sorted(shares, key=lambda entry: (-entry[1], entry[0])))
