"""Sessions: to make, show, hand on and delete them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...sessions.choices import Augment, ClassWeights, Metric, Runtime, Strategy, Weights
from .base import fail, in_words, opened, print_json, say, tell
from .images import SHOWN, reading
from .options import (
    DATA_HELP,
    Address,
    AsJson,
    Background,
    Column,
    DataOnNodes,
    Device,
    Download,
    DropLeaks,
    DtypeOption,
    FitOption,
    ImageSize,
    Limit,
    Name,
    NamesAtHand,
    NoLimit,
    Parallel,
    PerTrial,
    Seed,
    SkipBroken,
    TrainSize,
    ValFraction,
    read_data,
    read_domains,
    read_execution,
    read_names,
)

if TYPE_CHECKING:
    from ...engine.client.session import SessionClient
    from ...engine.search.standing import Recommendation
    from ...sessions.records import Trial
    from ...sessions.snapshot import Snapshot

commands = typer.Typer()


@commands.command(cls=NamesAtHand)
def new(
    name: Name,
    data: Annotated[str, typer.Option(help=DATA_HELP)] = "digits",
    wc: Annotated[float, typer.Option(help="Weight of the complexity, w_c.")] = 0.1,
    measure: Annotated[
        str | None, typer.Option(help="What complexity is.", show_default="seconds")
    ] = None,
    weights: Annotated[
        Weights,
        typer.Option(help="What weights and activations are where it is used: their bytes."),
    ] = "float32",
    runtime: Annotated[
        Runtime | None,
        typer.Option(
            help="What runs networks whose latency is measured.",
            show_default="onnx where onnxruntime is installed",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Epochs of every trial.")] = 10,
    train_size: TrainSize = None,
    val_fraction: ValFraction = 0.2,
    image_size: ImageSize = None,
    fit: FitOption = "crop",
    background: Background = "white",
    skip_broken: SkipBroken = False,
    drop_leaks: DropLeaks = False,
    column: Column = None,
    seed: Seed = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PARAM=DOMAIN", help="conv_layers=2..6, kernel=3,5, batch_size=128."
        ),
    ] = None,
    features: Annotated[
        str, typer.Option(help="Side of the map the classifier sees: a number, or gap for 1.")
    ] = "4",
    limit: Limit = None,
    no_limit: NoLimit = None,
    macs_cap: Annotated[
        float | None,
        typer.Option(
            help="The same as --limit 'macs<=Nx': this many times the reference's MACs.",
            show_default="8",
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="What is searched: the poster's parameters, a few more, or all that there are.",
            show_default="poster",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="Planned for a level.", show_default="12, with --flat 48"
        ),
    ] = None,
    strategy: Annotated[Strategy, typer.Option(help="What proposes; only gp has a belief.")] = "gp",
    prior: Annotated[
        str,
        typer.Option(
            metavar="none|default|FILE",
            help="What the belief begins with: nothing, what trainings on other images taught, "
            "or a file of numbers.",
        ),
    ] = "default",
    learn_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD[,OLD2]",
            help="Sessions whose trials say something of these networks, too: other images, fewer "
            "epochs, anything.",
        ),
    ] = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="One level: all parameters at once, not four levels.")
    ] = False,
    augment: Annotated[
        Augment, typer.Option(help="Vary training images: mirror them, shift them, or both.")
    ] = "none",
    metric: Annotated[
        Metric,
        typer.Option(
            help="What is searched for: f_p is 1 - this. Where classes are unequal, "
            "balanced (the mean of their recalls) or macro-f1 counts them alike."
        ),
    ] = "accuracy",
    class_weights: Annotated[
        ClassWeights | None,
        typer.Option(
            help="Weigh the classes in the loss, so that rare ones count as much.",
            show_default="none for accuracy, else balanced",
        ),
    ] = None,
    stop_behind: Annotated[
        bool,
        typer.Option("--stop-behind", help="Stop trials that fall behind; else they are marked."),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(help="poster: CIFAR-10, its space, 30 epochs (give --data cifar10:DIR)."),
    ] = None,
    download: Download = False,
    executor: Annotated[
        str, typer.Option(help="Where trials run: this machine, or a Ray cluster.")
    ] = "local",
    address: Address = None,
    per_trial: PerTrial = None,
    parallel: Parallel = None,
    data_on_nodes: DataOnNodes = None,
    device: Device = None,
    dtype: DtypeOption = None,
    task: Annotated[str, typer.Option(hidden=True)] = "cnn",  # there is one: nothing to choose
) -> None:
    """Make a session: check its data, and queue the reference network."""
    with in_words():
        from ...engine.client.home import create
        from ...engine.executors.registry import check_fields
        from ...engine.tasks.task import task_named
        from ...sessions import store
        from ...sessions.places import home
        from ...sessions.records import Execution, Setup, is_weight
        from .. import images as found

        domains = read_domains(set_, "--set ")
        if preset not in (None, "poster"):
            fail(f"--preset {preset}: unknown. The only one is poster.", 2)
        if preset == "poster":
            if not data.startswith("cifar10:"):
                fail("--preset poster is a search on CIFAR-10. Add --data cifar10:DIR.", 2)
            epochs = 30
            space = space or "poster"
        images = read_data(
            data,
            image_size=image_size,
            fit=fit,
            background=background,
            skip_broken=skip_broken,
            drop_leaks=drop_leaks,
            column=column,
            train_size=train_size,
            val_fraction=val_fraction,
            seed=seed,
            download=download,
        )
        if features != "gap" and not (features.isdecimal() and 0 < int(features) <= 1024):
            fail(f"--features {features}: not usable. Use gap, or a number such as 4.", 2)
        limits = list(limit or [])
        if macs_cap is not None and not 0 < macs_cap < float("inf"):
            fail(f"--macs-cap {macs_cap}: not usable. Use a number above 0, such as 8.", 2)
        for lifted in no_limit or ():
            if lifted != "macs":
                fail(f"--no-limit {lifted}: there is none to lift. Only macs has one (8x).", 2)
        if macs_cap is not None:
            limits.append(f"macs<={macs_cap:.12g}x")
        if not is_weight(wc):
            fail(f"--wc {wc}: not usable. Use 0 (accuracy alone) or more, such as 0.1.", 2)
        places = read_execution(
            executor, address, per_trial, parallel, data_on_nodes, device, dtype
        )
        check_fields(executor, places)
        asked = Setup(
            name=name,
            data=images,
            wc=wc,
            measure=measure or task_named(task).measures[0].name,
            weights=weights,
            runtime=runtime,
            epochs=epochs,
            seed=seed,
            features=1 if features == "gap" else int(features),
            limits=limits,
            macs_cap=None if no_limit else 8.0,
            domains=domains,
            trials_per_level=trials,
            strategy=strategy,
            prior=prior,
            learn_from=read_names(learn_from),
            flat=flat,
            augment=augment,
            stop_behind=stop_behind,
            execution=Execution.model_validate(places),
            task=task,
            metric=metric,
            class_weights=class_weights,
            space=space,
        )
        with reading() as progress:
            folder = create(home(), asked, progress)
        summary = store.Store(folder).refresh().session.summary
        say(f"session {name}: {found.in_brief(summary)}: {found.splits(summary)}.")
        for line in found.bars(summary, SHOWN):
            say(f"  {line}")
        for note in summary.notes:
            say(f"· {note}")
        say(f"Next: lcsearch tui {name}, or lcsearch run {name} --levels all.")
        typer.echo(str(folder))


@commands.command(name="list")
def list_(json_: AsJson = False) -> None:
    """List the sessions."""
    with in_words():
        from dataclasses import asdict

        from ...engine.client.home import summaries
        from ...sessions.places import home
        from .. import format as words

        found = summaries(home())
        if json_:
            print_json([asdict(summary) for summary in found])
            return
        if not found:
            say("No session yet. `lcsearch new NAME` makes one, `lcsearch tui` opens the console.")
        for s in found:
            best = "" if s.best is None else f"best measured {s.best:.4f} (trial {s.best_trial})"
            tell(
                f"{s.name:<20} {'flat   ' if s.flat else f'level {s.level}'}  "
                f"{s.trials:>4} trials, {s.parallel} at once  w_c {s.wc:<5g} "
                f"{s.state:<9} {best:<31}  {s.data}".rstrip()
            )
        left = [s.name for s in found if s.state == "waiting" and not s.alive]
        if left:
            of = left[0] if len(left) == 1 else "NAME"
            say(f"no engine is at work in {', '.join(left)}: {words.goes_on(of)}")


@commands.command()
def show(
    name: Name,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="TERMS",
            help="Only trials such as 'acc>85 params<50k kernel[2]=5 k335'; see docs/commands.md.",
        ),
    ] = None,
    json_: AsJson = False,
) -> None:
    """Show a session: its levels, its trials, its best network.

    --filter: only the trials that pass, as the console's history filters them; with --json a list.
    """
    with opened(name) as client:
        if filter_ is not None:
            _show_some(client, filter_, json_)
            return
        if json_:
            from ...engine.client.images import misread
            from ...sessions.exchange import text
            from ..format import sentence

            typer.echo(text(client.document()), nl=False)
            for told in misread(client.refresh().session.data):
                say(sentence(told))
            return
        from ..engine_state import engine_state

        snapshot = client.refresh()
        for line in _session_lines(snapshot, client.recommended(snapshot)):
            tell(line)
        tell(engine_state(client.refresh(), client.folder)["words"])


def _session_lines(snapshot: Snapshot, recommended: Recommendation | None) -> Iterator[str]:
    from ...engine import search
    from ...engine.client.images import misread
    from ...engine.executors.registry import describe
    from ...engine.tasks.task import space_name
    from .. import deliveries, images
    from .. import format as words
    from ..classes import in_brief

    session = snapshot.session
    yield (
        f"{session.name} · {session.data.spec} · w_c {session.wc:g} · {session.measure} · "
        f"{session.epochs} epochs · seed {session.seed}"
        + ("" if session.strategy == "gp" else f" · proposed by {session.strategy}")
        + (f" · {judged}" if (judged := words.judged(session)) else "")
        + (f" · space {space}" if (space := space_name(session)) else "")
        + ("" if session.prior is None else f" · prior {session.prior}")
        + (f" · learns from {told}" if (told := words.learning(session)) else "")
    )
    yield describe(session.execution)
    yield f"{images.in_brief(session.summary)}: {images.splits(session.summary)}"
    yield from (f"· {note}" for note in session.summary.notes)
    yield from (f"! {words.sentence(told)}" for told in misread(session.data))
    yield from words.restrictions(session, search.favour_strength(snapshot))
    for level in search.standings(snapshot).values():
        mark = {"done": "✓", "current": "▸", "ahead": " "}[level.state]
        base = "" if level.base is None else f", from trial {level.base}"
        name = words.level_title(level.name).lower() if session.flat else level.name
        trials = words.level_trials(level.trials, level.limit)
        yield f"{mark} {level.level} {name:<11} {trials}{base}"
    yield from _trial_lines(snapshot, snapshot.standing)
    yield from (deliveries.line(one, session) for one in snapshot.standing_deliveries)
    if recommended is not None:
        yield words.best_network(recommended)
        if recommended.belief is not None:
            lucky = search.best_measured(snapshot)
            assert lucky is not None
            yield f"{words.measured_best(session, lucky)}: trial {lucky.number}"
        yield from in_brief(recommended.trial, session)


def _trial_lines(snapshot: Snapshot, trials: Iterable[Trial]) -> Iterator[str]:
    from ...engine import search
    from .. import cost
    from .. import format as words
    from ..networks import network_line

    session = snapshot.session
    val = words.metric(session).val
    behind = search.falling_behind(snapshot)
    for trial in trials:
        value = search.objective(trial, session.wc)
        figures = (
            f"f {value:.4f}  {val} {1 - (trial.error or 0):.2%}  f_c {trial.complexity:.3f}  "
            f"{cost.measured(trial, session)}{cost.chosen(trial, session)}"
            if value is not None
            else f"{trial.state}, falling behind"
            if trial.state == "running" and trial.number in behind
            else trial.state
        )
        failure = f"  {trial.failure.message}" if trial.failure else ""
        spoilt = cost.disturbed(trial, session)
        if broken := words.breaks(search.broken_by(session, trial), session):
            failure += f"  {broken}"
        if spoilt:
            failure += f"  disturbed: {spoilt}"
        yield (
            f"{trial.number:>4} L{trial.level}  {network_line(trial.config)}  "
            f"{figures}  {cost.size(trial, session)}{failure}"
        )


def _show_some(client: SessionClient, text: str, as_json: bool) -> None:
    """The trials that a filter lets pass: their lines, or a list of them as JSON."""
    from ...sessions.exchange import plain
    from ..filters import parse

    snapshot = client.refresh()
    found = parse(text, client.space).matching(snapshot)
    if as_json:
        print_json([plain(trial) for trial in found])
    else:
        for line in _trial_lines(snapshot, found):
            tell(line)
    say(f"{len(found)} of {len(snapshot.trials)} trials match.")


@commands.command()
def export(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; stdout if not given.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Write the trials as CSV for data frames, one a row; - is stdout.  "
            "Without -o nothing else is written.",
        ),
    ] = None,
) -> None:
    """Export a session as JSON, or its trials as CSV."""
    if csv is not None and output is not None and csv.absolute() == output.absolute():
        fail(f"--csv {csv}: is the file that -o writes, too. Give two files.", 2)
    with opened(name) as client:
        if csv is not None:
            _export_table(client, csv)
        if csv is not None and output is None:
            return
        if output is None:
            from ...sessions.exchange import text

            typer.echo(text(client.document()), nl=False)
        else:
            client.export(output)
            say(f"session {name}: written to {output}.")


def _export_table(client: SessionClient, path: Path) -> None:
    """The trials as CSV, to stdout where the path is -."""
    if str(path) == "-":
        typer.echo(client.table(), nl=False)
        return
    from ...engine.client.frame import write

    write(path, client.table())
    say(f"session {client.folder.name}: its trials are written to {path}.")


@commands.command()
def report(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")],
) -> None:
    """Write a session as one HTML page to share: what was searched, found and decided."""
    with opened(name) as client:
        from ..sharing.page import page_of
        from ..sharing.report import check_ending, write

        check_ending(output)
        write(page_of(client), output)
        say(f"session {name}: written to {output}.")


class Plots(StrEnum):
    """What can be drawn."""

    tradeoff = "tradeoff"
    convergence = "convergence"
    calibration = "calibration"
    curves = "curves"
    belief = "belief"


@commands.command()
def plot(
    name: Name,
    what: Annotated[Plots, typer.Argument(metavar="WHAT", help=", ".join(Plots))],
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.svg, .png, .csv or .json.")],
    trial: Annotated[
        list[int] | None, typer.Option("--trial", "-t", help="Trials of curves; the best if none.")
    ] = None,
    along: Annotated[
        str | None,
        typer.Option(
            metavar="PARAM[LAYER]",
            help="What belief is drawn along, such as kernel[2]: the second layer's.",
        ),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="MEASURE",
            help="What tradeoff is drawn against, such as params; what f_c is of if none.",
        ),
    ] = None,
) -> None:
    """Draw a chart of a session, or write its figures as CSV or JSON."""
    with opened(name) as client:
        from ..sharing import figures
        from ..sharing.draw import kind_of, write

        kind_of(output)
        figure = figures.of(client, what.value, tuple(trial or ()), along, cost)
        write(figure, output)
        say(f"{figure.title}: written to {output}.")


@commands.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `lcsearch export` wrote.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Import it under another name.")
    ] = None,
) -> None:
    """Bring an exported session back whole; what waits in it does not start by itself."""
    with in_words():
        from ...engine.client.imports import bring_back
        from ...sessions.places import home
        from ...sessions.store import Store

        folder = bring_back(home(), file, name)
        store = Store(folder)
        trials = store.refresh().trials
        store.close()
        say(
            f"session {folder.name}: imported, {len(trials)} trials. {_waits(folder.name)}".rstrip()
        )
        typer.echo(str(folder))


def _waits(name: str) -> str:
    """What waits in a session that was brought here, and what goes on with it."""
    with in_words():
        from ...sessions.places import folder, home
        from ..engine_state import waits_in

        return waits_in(folder(home(), name))


@commands.command()
def schema() -> None:
    """Print the JSON Schema of an exported session."""
    from ...sessions.exchange import schema as made

    print_json(made())


@commands.command()
def delete(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Bring it back.")] = False,
) -> None:
    """Delete a session (kept for a week: --undo brings it back)."""
    with in_words():
        from ...sessions import places
        from ...sessions.errors import Already
        from ...sessions.places import home, names, restore, trashed

        root = home()
        if undo:
            place = trashed(root, name)
            if place is None and name in names(root):
                raise Already(f"session {name} is there already, and none in the trash.")
            if place is None:
                fail(f"session {name!r}: no deleted session of this name is kept.", 2)
            restore(root, place)
            say(f"session {name}: back again. {_waits(name)}".rstrip())
            return
        places.delete(root, name)
        say(f"session {name}: deleted. `lcsearch delete {name} --undo` brings it back.")
