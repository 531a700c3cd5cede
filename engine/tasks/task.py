"""The task of a session: its space, and what arithmetic knows of its networks."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...sessions.records import Config, Measure, Session
from ...sessions.store import Store
from . import cnn
from .space import Space


def session_space(session: Session) -> Space:
    """The space of a session: its images, its feature map, its cap and its domains.

    Parameters that are younger than the session are asleep, but for those whose domain was opened.
    The same object for the same settings, so that whoever asks again pays nothing and always has
    the domains as they are.  Raises InvalidDomain.
    """
    summary = session.summary
    domains = tuple(sorted(session.domains.items()))
    return _kept_space(
        summary.shape,
        summary.classes,
        session.features,
        session.macs_cap,
        domains,
        session.parameters,
    )


@lru_cache(maxsize=16)
def _kept_space(
    shape: tuple[int, int, int],
    classes: int,
    features: int,
    macs_cap: float,
    domains: tuple[tuple[str, str], ...],
    parameters: tuple[str, ...],
) -> Space:
    whole = cnn.space(shape, classes, features=features, macs_cap=macs_cap, domains=dict(domains))
    opened = {*parameters, *dict(domains)}
    return whole.putting_to_sleep(
        {p.name for p in whole.parameters if p.neutral is not None and p.name not in opened}
    )


def open_store(folder: Path, *, migrate: bool = True) -> Store:
    """A session's file, whose configurations are read as its space reads them.

    migrate: see `Store`.  Raises StoreError.
    """
    return Store(folder, migrate=migrate, read=lambda session: session_space(session).read)


def exact_complexity(whole: Space, config: Config, measure: Measure) -> float | None:
    """f_c where arithmetic knows it: `params` or `macs` over the reference's; None for seconds."""
    if measure == "seconds":
        return None
    assert whole.known is not None
    assert whole.reference is not None
    return whole.known(config)[measure] / whole.known(whole.reference)[measure]
