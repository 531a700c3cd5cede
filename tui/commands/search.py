"""The search: what to train next, every decision, and the network found trained to the end."""

from __future__ import annotations

import contextlib
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...sessions.choices import Strategy
from .base import fail, opened, or_so_already, print_json, say, tell
from .options import (
    Address,
    AsJson,
    DataOnNodes,
    Device,
    DtypeOption,
    Limit,
    Name,
    NamesAtHand,
    NoLimit,
    Parallel,
    PerTrial,
    Reason,
    TrialNumber,
    read_domains,
    read_execution,
)

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Proposal, Ranking
    from ...engine.client.session import SessionClient
    from ...engine.search.standing import Recommendation
    from ...sessions.records import Session
    from ...sessions.snapshot import Snapshot

commands = typer.Typer()


class Levels(StrEnum):
    """Which levels the autopilot searches."""

    this = "this"
    all = "all"
    round = "round"


class StopHow(StrEnum):
    """When a running trial ends."""

    epoch = "epoch"
    now = "now"
    pause = "pause"


class OnOff(StrEnum):
    """Whether a setting holds."""

    on = "on"
    off = "off"


LookStrategy = Annotated[
    Strategy | None, typer.Option(help="As if this proposed; the session stays as it is.")
]
LookDomains = Annotated[
    list[str] | None,
    typer.Option(
        "--domain", metavar="PARAM=DOMAIN", help="Only these values; the session stays as it is."
    ),
]


MOST_JSON_BYTES = 1_000_000
"""Of a network of one's own: hundreds of layers fit."""


@commands.command()
def run(
    name: Name,
    trials: Annotated[
        int | None,
        typer.Option(min=0, help="Trials to add, in each level with --levels all or round."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop adding after this.")] = None,
    levels: Annotated[
        Levels,
        typer.Option(help="this level; all, to the last; or round: all, then the first once more."),
    ] = Levels.this,
    until_flat: Annotated[
        bool,
        typer.Option(
            "--until-flat",
            help="Leave a level earlier: as soon as no more can be gained there than the noise.",
        ),
    ] = False,
    strategy: Annotated[
        Strategy | None,
        typer.Option(help="Set the session's strategy first (undo brings it back)."),
    ] = None,
) -> None:
    """Search by autopilot and wait for it: what is queued first, then more trials.

    Ctrl-C takes the wheel back; the trial that runs goes on in the background.
    """
    with opened(name) as client:
        from ...engine.search import decide
        from .follow import follow

        if strategy is not None and strategy != client.refresh().session.strategy:
            # a flight that cannot be is refused before anything is changed
            decide.autopilot(
                _look(client, strategy, {}), trials=trials, minutes=minutes, until_flat=until_flat
            )
            client.set_strategy(strategy)
        client.autopilot(trials=trials, minutes=minutes, levels=levels.value, until_flat=until_flat)
        raise typer.Exit(follow(client))


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
        from .. import format as words
        from ..networks import network_line

        snapshot = _look(client, strategy, domains)
        session = snapshot.session
        ranking = client.rank(snapshot, count=count)
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
                    "wc": ranking.wc,
                    "incumbent": ranking.incumbent,
                    "incumbent_trial": ranking.incumbent_number,
                    "candidates": ranking.candidates,
                    "remaining": ranking.remaining,
                    "noise": ranking.noise,
                    "flat": ranking.flat,
                    "advice": ranking.advice,
                    "proposals": [
                        _proposal(p, rank, session)
                        for rank, p in enumerate(ranking.proposals, start=1)
                    ],
                }
            )
            return
        heading = words.metric(session).heading
        for rank, p in enumerate(ranking.proposals, start=1):
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
            tell(f"{rank:>3}  {p.id}  {network_line(p.config)}{figures}{note}")
        for line in words.restrictions(session, search.favour_strength(snapshot)):
            say(line)
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
        from ...sessions.records import is_weight
        from .. import cost
        from .. import format as words
        from ..networks import network_line

        if wc is not None and not is_weight(wc):
            fail(f"--wc {wc}: not usable. Use 0 (accuracy alone) or more, such as 0.1.", 2)
        snapshot = client.refresh()
        changes = search.changed_limits(snapshot.session, limits)
        asked = search.look(snapshot, limits=changes)
        session = asked.session
        ranking = client.rank(asked, wc=wc, count=1)
        best = search.recommended(asked, ranking, ranking.wc)
        measured = None if best is None or best.broken else best
        first = ranking.proposals[0] if ranking.proposals else None
        belief = None if first is None else first.prediction
        if json_:
            print_json(
                {
                    "limits": search.limits_of(session),
                    "wc": ranking.wc,
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
        tell(f"proposed: {first.id}  {network_line(first.config)}  {figures}  {exact}")


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


def _look(client: SessionClient, strategy: Strategy | None, domains: dict[str, str]) -> Snapshot:
    """The session, or what it would be with another strategy or other domains."""
    from ...engine.search.domains import look

    return look(client.refresh(), strategy=strategy, domains=domains)


def _proposal(p: Proposal, rank: int, session: Session) -> dict[str, Any]:
    from ...engine import search
    from ...engine.tasks.space import entry_key
    from ...sessions.exchange import as_exported

    return {
        "rank": rank,
        "id": p.id,
        "config": p.config,
        "prediction": None if p.prediction is None else p.prediction.model_dump(mode="json"),
        "origin": p.origin,
        "breaks": [broken.name for broken in search.broken_limits(session, p.known)],
        "note": p.note,
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


def _trial_or(number: int | None, found: list[int], nothing: str) -> int:
    """The trial that is meant; where there is none to do it to, the command has failed."""
    if number is not None:
        return number
    if not found:
        fail(nothing)
    return found[-1]


@commands.command()
def stop(
    name: Name,
    trial: TrialNumber = None,
    when: Annotated[StopHow, typer.Option(help="epoch: after it; now; pause: resume later.")] = (
        StopHow.epoch
    ),
    reason: Reason = "",
) -> None:
    """Stop or pause the trial that runs (--trial where several do), or withdraw one that waits."""
    with opened(name) as client:
        running = [t.number for t in client.refresh().trials if t.state == "running"]
        if trial is None and len(running) > 1:
            fail(f"Trials {' and '.join(map(str, running))} run. Give --trial N.", 2)
        nothing = (
            "No trial is running: there is nothing to stop. --trial N withdraws one that waits."
        )
        number = _trial_or(trial, running, nothing)
        client.stop(number, when.value, reason)
        say(f"trial {number}: {'pause' if when is StopHow.pause else 'stop'} asked for.")


@commands.command()
def resume(name: Name, trial: TrialNumber = None) -> None:
    """Let a paused trial go on from its checkpoint."""
    with opened(name) as client:
        paused = [t.number for t in client.refresh().trials if t.state == "paused"]
        number = _trial_or(trial, paused, "No trial is paused: there is nothing to resume.")
        client.resume(number)
        say(f"trial {number}: goes on.")


@commands.command()
def repeat(name: Name, trial: TrialNumber = None, reason: Reason = "") -> None:
    """Train a trial's network again with another seed (the best one if none is given)."""
    with opened(name) as client:
        decision = client.repeat(trial, reason)
        say(f"trial {decision.trial} repeats trial {decision.detail['repeats']}.")
        typer.echo(str(decision.trial))


@commands.command()
def undo(
    name: Name,
    decision: Annotated[
        int | None,
        typer.Option(
            "--decision",
            min=0,
            help="Only this one: the refusal to reach past a trial that has started names it.",
        ),
    ] = None,
) -> None:
    """Undo the last decision; one before a trial that has started only with --decision."""
    with opened(name) as client:
        from .. import format as words

        done = client.undo(decision)
        say(f"undone: {words.decided(done.detail['kind'], done.trial)}.")


@commands.command()
def advance(name: Name, trial: TrialNumber = None) -> None:
    """Go on to the next level with a trial's network (the best one if none is given)."""
    with opened(name) as client:
        decision = client.advance(trial)
        say(f"level {client.refresh().session.level}, from trial {decision.trial}.")


@commands.command()
def reopen(
    name: Name,
    level: Annotated[int, typer.Option("--level", "-l", help="1 to 4.")],
    trial: TrialNumber = None,
) -> None:
    """Search an earlier level again, from a trial's network (the best one if none is given).

    The present level goes on from that network instead of the one that it began with.
    """
    with opened(name) as client:
        from .. import format as words

        decision = client.reopen(level, trial)
        assert decision.trial is not None
        say(words.reopened(f"level {level}", decision.trial, decision.level == level))


@commands.command(name="set", cls=NamesAtHand)
def set_(
    name: Name,
    wc: Annotated[float | None, typer.Option(help="The new w_c; nothing is trained again.")] = None,
    strategy: Annotated[Strategy | None, typer.Option(help="What proposes from now on.")] = None,
    limit: Limit = None,
    no_limit: NoLimit = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            metavar="PARAM=DOMAIN",
            help="Search only these values from now on; PARAM=default: all of its own again.",
        ),
    ] = None,
    executor: Annotated[str | None, typer.Option(help="Where trials run from now on.")] = None,
    address: Address = None,
    per_trial: PerTrial = None,
    parallel: Parallel = None,
    data_on_nodes: DataOnNodes = None,
    device: Device = None,
    dtype: DtypeOption = None,
    stop_behind: Annotated[
        OnOff | None, typer.Option(help="Stop trials that fall behind, or only mark them.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Change the trade-off, the limits, the strategy or the domains, or where trials run.

    Each of the first four is a decision of its own; what runs ends where it began.
    """
    domains = read_domains(domain, "--domain ")
    places = (executor, address, per_trial, parallel, data_on_nodes, device, dtype)
    moved = any(option is not None for option in places)
    limiting = bool(limit or no_limit)
    decided = wc is not None or strategy is not None or bool(domains) or limiting
    if not decided and not moved and stop_behind is None:
        fail(
            "give --wc, --limit, --no-limit, --strategy, --domain, --stop-behind, --executor, "
            "--address, --per-trial, --parallel, --data-on-nodes, --data-by-ray, --device or "
            "--dtype.",
            2,
        )
    with opened(name) as client:
        from ...engine import search
        from ...engine.executors.registry import describe
        from ...engine.search import decide
        from ...sessions.errors import Already
        from .. import format as words

        if wc is not None:
            with contextlib.suppress(Already):
                decide.set_wc(client.refresh(), wc)  # refused before anything is changed
        changes = search.changed_limits(client.refresh().session, limit or (), no_limit or ())
        if moved:
            say(describe(client.set_execution(**read_execution(*places))))
        if domains:
            with or_so_already():
                client.set_domains(domains, reason)
            client.refresh()
            for parameter in domains:
                say(f"{parameter} is searched in {client.space[parameter].domain.text()}.")
        if changes:
            with or_so_already():
                client.set_limits(changes, reason)
            say(words.limited(client.refresh().session) or "no limits.")
        if stop_behind is not None:
            client.set_stop_behind(stop_behind is OnOff.on)
            stopped = "stopped" if stop_behind is OnOff.on else "marked, not stopped"
            say(f"trials that fall behind are {stopped}.")
        if strategy is not None:
            with or_so_already():
                client.set_strategy(strategy, reason)
                say(f"{strategy} proposes.")
        if wc is not None:
            with or_so_already():
                client.set_wc(wc, reason)
                say(f"w_c is {wc:g}.")


@commands.command()
def favour(
    name: Name,
    region: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PARAM=DOMAIN]...", help="Values to favour: kernel=1,3 …"),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Favour nothing any more.")] = False,
    reason: Reason = "",
) -> None:
    """Mark a region that the search should favour; it counts for less with every trial.

    It takes the place of the one marked before. Without a region: say which one is marked.
    """
    marked = read_domains(region, "")
    if clear and marked:
        fail("give a region or --clear, not both.", 2)
    with opened(name) as client:
        from ...engine import search
        from .. import format as words

        if clear:
            client.favour({}, reason)
            say(f"no region is favoured. `lcsearch undo {name}` brings it back.")
            return
        if marked:
            with or_so_already():
                client.favour(marked, reason)
        snapshot = client.refresh()
        session = snapshot.session
        if not session.favourite:
            say("no region is favoured. `lcsearch favour NAME kernel=1,3` marks one.")
            return
        tell(words.favoured(session, search.favour_strength(snapshot)))
        idle = search.idle_parameters(session, session.favourite)
        if idle:
            say(f"{', '.join(idle)}: not searched in this level, nothing changes by it here.")


@commands.command()
def train(
    name: Name,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write; it must not exist yet.")
    ],
    trial: Annotated[
        int | None,
        typer.Option("--trial", "-t", help="The trial; the one recommended if none is given."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Epochs of training.")] = 30,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write ONNX too (pip install 'lcsearch[onnx]').")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Train the network found to the end, test it once and write it.

    It is trained on all of the session's images, those to train with and those to validate with
    (no more than its --train-size); the test set is looked at once, at the end.

    The folder holds weights.safetensors, network.py (needs only torch), result.json, where images
    were files prepare.py (makes of a file what the network takes) and, with --onnx, network.onnx.
    """
    with opened(name) as client:
        from ...engine import search
        from ...engine.protocol import trained_on
        from .. import format as words
        from .follow import follow_final

        snapshot = client.refresh()
        if trial is None:
            best = client.recommended(snapshot)
            if best is None:
                fail(search.NOTHING_DONE)
            trial = best.number
            say(f"{words.best_network(best)}.")
        training = client.train_final(trial, epochs, output, onnx=onnx)
        say(f"trains {trained_on(snapshot.session.summary)}.")
        done = follow_final(training)
        if done is None:
            fail("cancelled: nothing was written.")
        result = done.result
        if json_:
            print_json({"folder": done.folder, **result.model_dump(mode="json")})
            return
        say(
            f"trial {result.trial}: {result.test_accuracy:.2%} of {result.test_images:,} test "
            f"images told right{words.also(result)}, after "
            f"{words.plural(result.epochs, 'epoch')} on {result.train_images:,} images."
        )
        typer.echo(done.folder)
