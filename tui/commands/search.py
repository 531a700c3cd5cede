"""The search: its trials and its settings."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ...sessions.choices import COST_ALONE, Strategy
from .base import fail, opened, or_so_already, say, tell
from .options import (
    AcceptLoss,
    Address,
    DataOnNodes,
    Device,
    DtypeOption,
    FinalNumber,
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
    read_names,
)

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
        from ...engine.search import decide, look
        from .follow import follow

        if strategy is not None and strategy != client.refresh().session.strategy:
            # a flight that cannot be is refused before anything is changed
            decide.autopilot(
                look(client.refresh(), strategy=strategy),
                trials=trials,
                minutes=minutes,
                until_flat=until_flat,
            )
            client.set_strategy(strategy)

        def begin() -> None:
            client.autopilot(
                trials=trials, minutes=minutes, levels=levels.value, until_flat=until_flat
            )

        raise typer.Exit(follow(client, begin))


def _trial_or(number: int | None, found: list[int], nothing: str) -> int:
    """The trial that is meant; where there is none to do it to, the command has failed."""
    if number is not None:
        return number
    if not found:
        fail(nothing)
    return found[-1]


def _only_final(trial: int | None, reason: str = "") -> None:
    """End the command where what is of trials alone is given with --final."""
    if trial is not None:
        fail("--trial and --final: use one of them.", 2)
    if reason:
        fail("--reason: is kept with decisions on trials. Leave it out with --final.", 2)


def _nothing(usual: str, how: str, finals: Sequence[int], command: str) -> str:
    """What is said where there is no trial to do it to: `usual`, or which final trainings it may
    be that are meant, and their command.  how: they stand, such as "paused".
    """
    if not finals:
        return usual
    numbers = " and ".join(map(str, finals))
    one = len(finals) == 1
    return (
        f"No trial is {how}, but final training{'' if one else 's'} {numbers} "
        f"{'is' if one else 'are'}: `{command} --final {finals[0] if one else 'N'}`."
    )


@commands.command()
def stop(
    name: Name,
    trial: TrialNumber = None,
    when: Annotated[StopHow, typer.Option(help="epoch: after it; now; pause: resume later.")] = (
        StopHow.epoch
    ),
    reason: Reason = "",
    final: FinalNumber = None,
) -> None:
    """Stop or pause the trial that runs (--trial where several do), or withdraw one that waits.

    With --final it is a final training: one that is stopped writes nothing.
    """
    with opened(name) as client:
        if final is not None:
            _only_final(trial, reason)
            client.stop_delivery(final, when.value)
            asked = "pause" if when is StopHow.pause else "stop"
            say(f"final training {final}: {asked} asked for.")
            return
        snapshot = client.refresh()
        running = [t.number for t in snapshot.trials if t.state == "running"]
        if trial is None and len(running) > 1:
            fail(f"Trials {' and '.join(map(str, running))} run. Give --trial N.", 2)
        nothing = _nothing(
            "No trial is running: there is nothing to stop. --trial N withdraws one that waits.",
            "running",
            [one.number for one in snapshot.deliveries if one.state == "running"],
            f"lcsearch stop {name}",
        )
        number = _trial_or(trial, running, nothing)
        client.stop(number, when.value, reason)
        say(f"trial {number}: {'pause' if when is StopHow.pause else 'stop'} asked for.")


@commands.command()
def resume(
    name: Name,
    trial: TrialNumber = None,
    final: FinalNumber = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="With --final: the folder to write from now on, where the first is in the way.",
        ),
    ] = None,
    accept_loss: AcceptLoss = False,
    no_int8: Annotated[
        bool, typer.Option("--no-int8", help="With --final: leave the eight bits out.")
    ] = False,
) -> None:
    """Let a paused trial, or with --final a final training, go on from its checkpoint.

    A final training that cannot write its folder pauses, and says why: empty it or make room, or
    name another folder by -o.
    """
    if output is not None and final is None:
        fail("--output: is where a final training is written. Give --final N too.", 2)
    for option, given in (("--accept-loss", accept_loss), ("--no-int8", no_int8)):
        if given and final is None:
            fail(f"{option}: is of a final training. Give --final N.", 2)
    if accept_loss and no_int8:
        fail("--accept-loss and --no-int8: use one of them.", 2)
    with opened(name) as client:
        if final is not None:
            _only_final(trial)
            client.resume_delivery(final, output, accept_loss=accept_loss, int8=not no_int8)
            say(f"final training {final}: goes on.")
            return
        snapshot = client.refresh()
        paused = [t.number for t in snapshot.trials if t.state == "paused"]
        nothing = _nothing(
            "No trial is paused: there is nothing to resume.",
            "paused",
            [one.number for one in snapshot.deliveries if one.state == "paused"],
            f"lcsearch resume {name}",
        )
        number = _trial_or(trial, paused, nothing)
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
    measure: Annotated[
        str | None,
        typer.Option(help="What complexity is from now on; nothing is trained again."),
    ] = None,
    strategy: Annotated[Strategy | None, typer.Option(help="What proposes from now on.")] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="none|default|FILE",
            help="What the belief begins with from now on; nothing is trained again.",
        ),
    ] = None,
    learn_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD[,OLD2]|none",
            help="Sessions whose trials say something of these networks, too, as they are now; "
            "nothing is trained again.",
        ),
    ] = None,
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
    """Change the trade-off, the measure, the limits, the strategy, the prior, what is learnt from
    other sessions or the domains, or where trials run.

    Each of the first seven is a decision of its own; what runs ends where it began.
    """
    domains = read_domains(domain, "--domain ")
    places = (executor, address, per_trial, parallel, data_on_nodes, device, dtype)
    moved = any(option is not None for option in places)
    limiting = bool(limit or no_limit)
    weighed = wc is not None or measure is not None
    proposed = strategy is not None or prior is not None or learn_from is not None
    decided = weighed or proposed or bool(domains) or limiting
    if not decided and not moved and stop_behind is None:
        fail(
            "give --wc, --measure, --limit, --no-limit, --strategy, --prior, --learn-from, "
            "--domain, --stop-behind, --executor, --address, --per-trial, --parallel, "
            "--data-on-nodes, --data-by-ray, --device or --dtype.",
            2,
        )
    with opened(name) as client:
        from ...engine import search
        from ...engine.executors.registry import describe
        from ...engine.search import decide
        from ...sessions.errors import Already
        from .. import format as words

        # what cannot be is refused before anything is changed
        if wc is not None and wc != COST_ALONE:
            with contextlib.suppress(Already):
                decide.set_wc(client.refresh(), wc)
        if measure is not None:
            with contextlib.suppress(Already):
                decide.set_measure(client.refresh(), measure)
        if prior is not None:
            with contextlib.suppress(Already):
                decide.set_prior(client.refresh(), prior)
        names = read_names(learn_from)
        if names:
            client.earlier(names)
        session = client.refresh().session
        changes = search.changed_limits(session, limit or (), no_limit or ())
        wanted = search.look(client.refresh(), domains=domains, limits=changes).session
        limits = wanted.limits
        search.check_goal(session, session.wc if wc is None else wc, limits)

        def weigh() -> None:
            if wc is not None:
                with or_so_already():
                    client.set_wc(wc, reason)
                    say(f"w_c is {wc:g}.")

        # while the cost alone counts, the limit on the accuracy cannot be lifted
        before = session.wc == COST_ALONE
        if before:
            weigh()
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
        if prior is not None:
            with or_so_already():
                client.set_prior(prior, reason)
            say(f"the prior is {search.prior_name(client.refresh().session)}.")
        if learn_from is not None:
            with or_so_already():
                client.set_learn_from(names, reason)
            learning = words.learning(client.refresh().session)
            say(f"it learns from {learning or 'no other session'}.")
        if measure is not None:
            with or_so_already():
                client.set_measure(measure, reason)
            say(words.counted(client.refresh()))
        if not before:
            weigh()


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
