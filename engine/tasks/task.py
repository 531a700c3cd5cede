"""The task of a session: its space, and what arithmetic knows of its networks."""

from __future__ import annotations

from functools import lru_cache

from ...sessions.records import Config, Measure, Session
from .cnn.space import space
from .space import Space


def session_space(session: Session) -> Space:
    """The space of a session: its images, its feature map, its cap and its domains.

    The same object for the same settings, so that whoever asks again pays nothing and always has
    the domains as they are.  Raises InvalidDomain.
    """
    summary = session.summary
    domains = tuple(sorted(session.domains.items()))
    return _kept_space(summary.shape, summary.classes, session.features, session.macs_cap, domains)


@lru_cache(maxsize=16)
def _kept_space(
    shape: tuple[int, int, int],
    classes: int,
    features: int,
    macs_cap: float,
    domains: tuple[tuple[str, str], ...],
) -> Space:
    return space(shape, classes, features=features, macs_cap=macs_cap, domains=dict(domains))


def exact_complexity(whole: Space, config: Config, measure: Measure) -> float | None:
    """f_c where arithmetic knows it: `params` or `macs` over the reference's; None for seconds."""
    if measure == "seconds":
        return None
    assert whole.known is not None
    assert whole.reference is not None
    return whole.known(config)[measure] / whole.known(whole.reference)[measure]
