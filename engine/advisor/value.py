"""What a candidate is worth: log EI, the chance that it trains, a favourite region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...sessions.records import Config
from ..objective import NEVER
from .evidence import Array, Evidence, log_believed, log_nearest, log_others

if TYPE_CHECKING:
    from ..model.acquisition import Improvement
    from ..model.belief import Belief, Points

FADING = 3.0
"""Trials after which a favourite region weighs as much as a factor e for each parameter outside."""
FEASIBLE_LENGTH = 0.5
"""Length scale of the chance of failure: half a scale away in one parameter is another story."""
FEASIBLE_PRIOR = 0.5
"""How many successes, right at a network, the belief that it trains at all is worth."""


def value(evidence: Evidence, belief: Belief, points: Points, wc: float) -> Array:
    """What ranks: LogEI + log P(feasible) + log of the favourite region's weight, shape (n,).

    LogEI is within the limits; while nothing keeps them, it is the logarithm of the probability
    that this would.
    """
    best = evidence.threshold(wc)
    return promise(evidence, belief, wc, best).log_ei + weight(
        evidence, points.configs, points.features
    )


def promise(evidence: Evidence, belief: Belief, wc: float, best: float | None) -> Improvement:
    """Expected improvement within the limits that only a belief tells of, each part (n,).

    best: what has to be beaten; None while nothing keeps the limits, when it is the probability of
    keeping them, or where that is next to nothing how near the network is to them.  What
    arithmetic knows is kept where candidates are drawn.
    """
    from ..model.acquisition import Improvement

    bounds = evidence.bounds
    if best is None:
        log_ei = np.maximum(log_nearest(bounds, belief), NEVER)
        ei = np.exp(np.maximum(log_believed(bounds, belief), NEVER))
        return Improvement(log_ei, ei, np.zeros_like(ei), ei)
    gain = belief.improvement(wc, best, bounds.error, bounds.complexity)
    if not bounds.believed:
        return gain
    others = log_others(bounds, belief)
    log_ei, share = np.maximum(gain.log_ei + others, NEVER), np.exp(others)
    return Improvement(log_ei, gain.ei * share, gain.exploit * share, gain.explore * share)


def weight(evidence: Evidence, configs: Sequence[Config], features: Array) -> Array:
    """Logarithm of what a candidate's improvement is multiplied with, shape (n,)."""
    result = np.log(feasible(evidence, features))
    if evidence.region is not None:
        result = result + favour(evidence, configs)
    return result


def feasible(evidence: Evidence, features: Array) -> Array:
    """Probability that a network trains at all, shape (n,).

    The share of successes, each trial counted by its correlation with the network, and a few
    successes assumed beforehand: 1 where nothing ever failed, never 0.
    """
    if evidence.failed is None:
        return np.ones(len(features))
    from ..model.kernel import Conditional

    groups = evidence.embedding.groups
    kernel = Conditional(
        tuple(group.features for group in groups),
        np.full(len(groups), FEASIBLE_LENGTH),
    )
    failed = kernel.correlation(features, evidence.failed).sum(axis=1)
    trained = np.zeros(len(features))
    if evidence.trained is not None:
        trained = kernel.correlation(features, evidence.trained).sum(axis=1)
    good = FEASIBLE_PRIOR + trained
    share: Array = good / (good + failed)
    return share


def strength(observations: int) -> float:
    """Minus the logarithm of what EI counts for each parameter outside a favourite region."""
    return FADING / max(observations, 1)


def favour(evidence: Evidence, configs: Sequence[Config]) -> Array:
    """Logarithm of the favourite region's weight, shape (n,): it fades as 1 / trials."""
    assert evidence.region is not None
    lost = strength(len(evidence.observations))
    outside = []
    for config in configs:
        missed = 0.0
        for name in evidence.favourite:
            parameter = evidence.region[name]
            entries = parameter.counting(config)
            if entries:
                domain = parameter.domain_in(config)
                missed += sum(not domain.contains(e) for _, e in entries) / len(entries)
        outside.append(missed)
    return -lost * np.array(outside)
