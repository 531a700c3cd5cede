"""Candidates: what to train next, and what is decided about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...sessions.choices import Strategy
from .base import fail, opened, print_json, say, tell
from .options import AsJson, Name, Reason, read_domains

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Proposal, Ranking
    from ...engine.client.session import SessionClient
    from ...engine.search.standing import Recommendation
    from ...sessions.records import Session
    from ...sessions.snapshot import Snapshot

commands = typer.Typer()

LookStrategy = Annotated[
    Strategy | None, typer.Option(help="As if this proposed; the session stays as it is.")
]
LookDomains = Annotated[
    list[str] | None,
    typer.Option(
        "--domain", metavar="PARAM=DOMAIN", help="Only these values; the session stays as it is."
    ),
]


ASKED = 24
"""Candidates that are timed before the best of them is told, where a limit is on latency."""
MOST_JSON_BYTES = 1_000_000
"""Of a network of one's own: hundreds of layers fit."""


@commands.command()
def propose(
    name: Name,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, max=200, help="Candidates to show.")
    ] = 10,
    strategy: LookStrategy = None,
    domain: LookDomains = None,
    json_: AsJson = False,
) -> None:
    """Rank what to train next in the present level."""
    domains = read_domains(domain, "--domain ")
    with opened(name) as client:
        from ...engine import search
        from ...sessions.records import kept_weight
        from .. import cost
        from .. import format as words
        from ..networks import network_line

        snapshot = _look(client, strategy, domains)
        session = snapshot.session
        ranking = client.rank(snapshot, count=max(count, ASKED))
        if _timed(client, ranking):
            snapshot = _look(client, strategy, domains)
            ranking = client.rank(snapshot, count=count)
        shown = ranking.proposals[:count]
        idle = search.idle_parameters(session, domains)
        if idle:
            say(f"{', '.join(idle)}: not searched in this level, nothing changes by it here.")
        if json_:
            print_json(
                {
                    "level": session.level,
                    "strategy": session.strategy,
                    "domains": session.domains,
                    "favourite": session.favourite,
                    "limits": search.limits_of(session),
                    "wc": kept_weight(ranking.wc),
                    "incumbent": ranking.incumbent,
                    "incumbent_trial": ranking.incumbent_number,
                    "candidates": ranking.candidates,
                    "remaining": ranking.remaining,
                    "noise": ranking.noise,
                    "flat": ranking.flat,
                    "advice": ranking.advice,
                    "worth": dict(ranking.worth),
                    "proposals": [
                        _proposal(p, rank, session) for rank, p in enumerate(shown, start=1)
                    ],
                }
            )
            return
        heading = words.metric(session).heading
        for rank, p in enumerate(shown, start=1):
            b = p.prediction
            figures = (
                ""
                if b is None
                else f"  f {b.mean:.4f} ± {b.std:.4f}  EI {b.ei:.1e}  {heading} {1 - b.error:.1%}"
                f"  f_c {b.complexity:.2f}"
            )
            note = f"  ({p.note})" if p.note else ""
            if b is not None and b.kept is not None:
                figures += f"  {words.keeping(b.kept)}"
            if timed := cost.timed(search.task_of(session).measures, p):
                figures += f"  {timed}"
            tell(f"{rank:>3}  {p.id}  {network_line(p.config)}{figures}{note}")
        for line in words.restrictions(session, search.favour_strength(snapshot)):
            say(line)
        for name_of, trials in ranking.worth:
            say(f"{words.worth(name_of, trials)}.")
        say(f"{ranking.candidates:,} ranked in {ranking.seconds:.1f} s. {ranking.advice}")


@commands.command()
def ask(
    name: Name,
    limits: Annotated[
        list[str],
        typer.Argument(metavar="LIMIT...", help="'params<=20k', 'accuracy>=90', 'macs<=0.5x'."),
    ],
    wc: Annotated[
        float | None, typer.Option(help="Under this w_c; 0 asks for accuracy alone.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Ask which network is the best within limits: measured, or believed to be.

    They are added to the session's own; the session stays as it is.
    """
    with opened(name) as client:
        from ...engine import search
        from ...sessions.records import is_weight, kept_weight
        from .. import cost
        from .. import format as words
        from ..networks import network_line

        if wc is not None and not is_weight(wc):
            fail(f"--wc {wc}: not usable. Use 0 (accuracy alone) or more, such as 0.1.", 2)
        snapshot = client.refresh()
        changes = search.changed_limits(snapshot.session, limits)
        asked = search.look(snapshot, limits=changes)
        session = asked.session
        search.check_goal(session, session.wc if wc is None else wc, session.limits)
        ranking = client.rank(asked, wc=wc, count=ASKED)
        if _timed(client, ranking, asked):
            asked = search.look(client.refresh(), limits=changes)
            ranking = client.rank(asked, wc=wc, count=1)
        best = search.recommended(asked, ranking, ranking.wc)
        measured = None if best is None or best.broken else best
        first = ranking.proposals[0] if ranking.proposals else None
        belief = None if first is None else first.prediction
        if json_:
            print_json(
                {
                    "limits": search.limits_of(session),
                    "wc": kept_weight(ranking.wc),
                    "measured": None if measured is None else _answer(measured, ranking.wc),
                    "proposed": None if first is None else _proposal(first, 1, session),
                    "advice": ranking.advice,
                }
            )
            return
        metric = words.metric(session)
        if measured is not None:
            trial = measured.trial
            value = search.objective(trial, ranking.wc)
            believed = measured.belief
            tell(
                f"measured: trial {trial.number}  {network_line(trial.config)}  f {value:.4f}"
                + ("" if believed is None else f" (believed {believed[0]:.4f} ± {believed[1]:.4f})")
                + f"  {metric.val} {1 - (trial.error or 0):.2%}  {cost.size(trial, session)}"
            )
        else:
            tell("measured: no trial keeps the limits yet.")
        if first is None:
            say(ranking.advice)
            return
        exact = cost.sizes(search.task_of(session).measures, first.known)
        figures = "nothing is believed of it yet"
        if belief is not None:
            figures = (
                f"f {belief.mean:.4f} ± {belief.std:.4f}  {metric.val} {1 - belief.error:.1%} "
                f"± {belief.error_std:.1%}  {words.keeping(belief.kept or 0.0)}"
            )
        timed = cost.timed(search.task_of(session).measures, first)
        told = "  ".join(part for part in (figures, exact, timed) if part)
        tell(f"proposed: {first.id}  {network_line(first.config)}  {told}")


def _answer(best: Recommendation, wc: float) -> dict[str, Any]:
    from ...engine import search
    from ...sessions.exchange import as_exported

    trial = best.trial
    return {
        "trial": trial.number,
        "config": trial.config,
        "f": search.objective(trial, wc),
        "mean": None if best.belief is None else best.belief[0],
        "std": None if best.belief is None else best.belief[1],
        "error": trial.error,
        "complexity": trial.complexity,
        **{name: as_exported(name, value) for name, value in trial.costs.items()},
    }


def _timed(client: SessionClient, ranking: Ranking, of: Snapshot | None = None) -> bool:
    """Whether networks were timed that the ranking did not know of."""
    from ...sessions.errors import StoreError

    try:
        return bool(client.time(ranking, of))
    except StoreError as error:
        say(f"lcsearch: {error}")
        return False


def _look(client: SessionClient, strategy: Strategy | None, domains: dict[str, str]) -> Snapshot:
    """The session, or what it would be with another strategy or other domains."""
    from ...engine.search.domains import look

    return look(client.refresh(), strategy=strategy, domains=domains)


def _proposal(p: Proposal, rank: int, session: Session) -> dict[str, Any]:
    from ...engine import search
    from ...engine.tasks.parameter import entry_key
    from ...sessions.exchange import as_exported

    return {
        "rank": rank,
        "id": p.id,
        "config": p.config,
        "prediction": None if p.prediction is None else p.prediction.model_dump(mode="json"),
        "origin": p.origin,
        "breaks": [broken.name for broken in search.broken_limits(session, p.known)],
        "note": p.note,
        "near": p.near,
        **{name: as_exported(name, value) for name, value in p.known.items()},
        "nearest": None
        if p.nearest is None
        else {
            "trial": p.nearest.number,
            "f": p.nearest.objective,
            "differs": [entry_key(*entry) for entry in p.nearest.differs],
        },
    }


def _chosen(
    client: SessionClient,
    id_: str | None,
    rank: int | None,
    strategy: Strategy | None = None,
    domains: dict[str, str] | None = None,
) -> tuple[Proposal, Ranking]:
    """The proposal of this id or rank, in the ranking as it is now, or as it was looked at."""
    if rank is not None and rank < 1:
        fail(f"--rank {rank}: not usable. The best candidate is --rank 1.", 2)
    ranking = client.rank(_look(client, strategy, domains or {}), count=max(200, rank or 1))
    if id_ is not None:
        for proposal in ranking.proposals:
            if proposal.id == id_:
                return proposal, ranking
        fail(
            f"--id {id_}: not among the first {len(ranking.proposals)} candidates now. "
            f"`lcsearch propose {client.folder.name}` shows them.",
            2,
        )
    wanted = rank or 1
    there = len(ranking.proposals)
    if not there:
        fail(f"there is no candidate. {ranking.advice}")
    if wanted > there:
        fail(
            f"--rank {wanted}: not usable. Use 1 to {there:,}; `lcsearch propose "
            f"{client.folder.name}` shows the first of them.",
            2,
        )
    return ranking.proposals[wanted - 1], ranking


@commands.command()
def accept(
    name: Name,
    id_: Annotated[str | None, typer.Option("--id", help="The candidate's id.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Its rank (the default: 1).")] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", help="JSON file with your own network; - is stdin."),
    ] = None,
    strategy: LookStrategy = None,
    domain: LookDomains = None,
    reason: Reason = "",
) -> None:
    """Queue a candidate, or a network of your own.

    --strategy and --domain: of the ranking that `propose` gives with the same.
    """
    if sum(choice is not None for choice in (id_, rank, config)) > 1:
        fail("give one of --id, --rank and --config.", 2)
    with opened(name) as client:
        if config is None:
            domains = read_domains(domain, "--domain ")
            proposal, ranking = _chosen(client, id_, rank, strategy, domains)
            decision = client.accept(proposal, reason, advised=ranking.advised)
        else:
            own = client.space.validate(_read_config(config, client))
            ranking = client.rank(client.refresh(), count=1)
            prediction = ranking.evaluate([own])[0].prediction
            decision = client.submit(
                own, prediction, kind="new", reason=reason, advised=ranking.advised
            )
        say(f"trial {decision.trial} is queued.")
        typer.echo(str(decision.trial))


def _read_config(source: str, client: SessionClient) -> dict[str, Any]:
    """A network from a file or stdin; what it leaves out stands as in the level's base."""
    from ...engine.search.standing import base_trial

    try:
        if source == "-":
            data = sys.stdin.buffer.read(MOST_JSON_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(MOST_JSON_BYTES + 1)
        if len(data) > MOST_JSON_BYTES:
            fail(f"--config {source}: over {MOST_JSON_BYTES:,} bytes, which is no network.", 2)
        given = json.loads(data)
    except RecursionError:
        fail(f"--config {source}: nested too deeply for a network.", 2)
    except OSError as error:
        fail(f"--config {source}: cannot be read ({error.strerror}).", 2)
    except ValueError as error:
        fail(f"--config {source}: not JSON ({error}).", 2)
    if not isinstance(given, dict):
        fail(f"--config {source}: not a JSON object of parameters.", 2)
    return client.space.completed(given, base_trial(client.refresh()).config)


@commands.command()
def reject(
    name: Name,
    id_: Annotated[str | None, typer.Option("--id", help="The candidate's id.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Its rank.")] = None,
    reason: Reason = "",
) -> None:
    """Take a candidate out of the ranking."""
    if (id_ is None) == (rank is None):
        fail("give --id or --rank.", 2)
    with opened(name) as client:
        proposal, _ = _chosen(client, id_, rank)
        client.reject(proposal, reason)
        say(f"rejected {proposal.id}. `lcsearch undo {name}` brings it back.")
