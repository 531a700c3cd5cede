"""Domains and strategies of a session: looked at before they are decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...sessions.choices import Strategy
from ...sessions.errors import Misuse
from ...sessions.records import Session
from ...sessions.snapshot import Snapshot
from ..tasks.domains import InvalidDomain
from ..tasks.space import Space
from ..tasks.task import session_space
from .limits import check_possible, merged_limits
from .standing import searched_level

DEFAULT = "default"
"""Given as a domain, it brings a parameter's own one back."""


def idle_parameters(session: Session, names: Iterable[str]) -> list[str]:
    """Those of these parameters that the present level does not search: nothing moves them now."""
    level = searched_level(session)
    searched = {parameter.name for parameter in session_space(session).at_level(level)}
    return [name for name in names if name not in searched]


def look(
    snapshot: Snapshot,
    *,
    strategy: Strategy | None = None,
    domains: Mapping[str, str] | None = None,
    limits: Mapping[str, float | None] | None = None,
) -> Snapshot:
    """The session as it would be with another strategy, other domains of some parameters, or other
    limits on some costs, None where there would be none.

    Nothing is decided by it: it is there to be ranked.  Raises Misuse for a domain that cannot be
    searched, and for limits that nothing keeps.
    """
    session = snapshot.session
    merged = merged_domains(session, domains or {})
    searchable(session, merged)
    update = {"strategy": strategy or session.strategy, "domains": merged}
    session = session.model_copy(update=update)
    if domains and not limits:
        check_possible(session)
    if limits:
        kept, cap = merged_limits(session, limits)
        session = session.model_copy(update={"limits": kept, "macs_cap": cap})
    return replace(snapshot, session=session)


def merged_domains(session: Session, domains: Mapping[str, str]) -> dict[str, str]:
    """The session's domains with these in the place of its own; `default` takes one out."""
    stripped = {name: text.strip() for name, text in domains.items()}
    known = session_space(session)
    merged = {**session.domains, **stripped}
    # a name that is none stays, for the space to refuse it
    return {n: text for n, text in merged.items() if text != DEFAULT or n not in known}


def searchable(session: Session, domains: Mapping[str, str]) -> Space:
    """The session's space with these domains.  Raises Misuse, also for the favourite region."""
    try:
        space = session_space(session.model_copy(update={"domains": dict(domains)}))
        changed = {n for n, _ in domains.items() ^ session.domains.items()}
        space.check_ratios(changed)  # of others a session of before may have such, and goes on
    except InvalidDomain as error:
        raise Misuse(str(error)) from error
    try:
        space.narrowed(session.favourite)
    except InvalidDomain as error:
        raise Misuse(f"the favourite region does not fit: {error} Clear it first.") from error
    return space
