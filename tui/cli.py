"""Every verb of `lcsearch`: data on stdout, words on stderr, exit codes 0 done, 1 failed, 2 misuse.

What a verb needs is imported by the verb itself, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Never

import typer
import typer.core

if TYPE_CHECKING:
    from ..engine.advisor import Proposal, Ranking
    from ..engine.desk import Desk
    from ..sessions.store import Snapshot


class Commands(typer.core.TyperGroup):
    """The commands; a value that none of them takes is refused in our own words."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command, whose options are read here too."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            from ..sessions.records import refused

            if isinstance(error.__cause__, ValidationError):
                value, remedy = refused(error.__cause__)
                error.message = f"{value}: not usable. {remedy}"
            raise


app = typer.Typer(
    name="lcsearch",
    cls=Commands,
    help="Search for convolutional networks that are cheap as well as good.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use: an option, a value or a name that cannot be "
    "used. Sessions are kept under $LCSEARCH_HOME.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MOST_JSON_BYTES = 1_000_000
"""Of a network of one's own: hundreds of layers fit."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The session.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Kept with the decision.")]
TrialNumber = Annotated[int | None, typer.Option("--trial", "-t", help="The trial's number.")]


class Measure(StrEnum):
    """What complexity is."""

    seconds = "seconds"
    params = "params"
    macs = "macs"


class Strategy(StrEnum):
    """What proposes."""

    gp = "gp"
    evolution = "evolution"
    annealing = "annealing"
    random = "random"


LookStrategy = Annotated[
    Strategy | None, typer.Option(help="As if this proposed; the session stays as it is.")
]
LookDomains = Annotated[
    list[str] | None,
    typer.Option(
        "--domain", metavar="PARAM=DOMAIN", help="Only these values; the session stays as it is."
    ),
]


class Executor(StrEnum):
    """Where trials run."""

    local = "local"
    ray = "ray"


class Dtype(StrEnum):
    """What numbers networks are trained in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


Device = Annotated[
    str | None,
    typer.Option(help="auto, cpu, mps, cuda, or several, a trainer each: cuda:0,cuda:1 (auto)."),
]
DtypeOption = Annotated[
    Dtype | None, typer.Option("--dtype", help="Numbers; auto: what the device is fast in (auto).")
]
PerTrial = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RESOURCE=N", help="What a trial asks of its node: gpus=1, cpus=4 (cpus=1)."
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option(
        min=1, max=256, help="Trials at once (2 that share the processors, 1 on a GPU or in Ray)."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(help="The Ray cluster: HOST:PORT, local, or auto for this machine's (auto)."),
]
DataOnNodes = Annotated[
    bool | None,
    typer.Option(
        "--data-on-nodes/--data-by-ray",
        help="Every node reads the path of --data itself, or gets the images from Ray (so).",
    ),
]


class Levels(StrEnum):
    """Which levels the autopilot searches."""

    this = "this"
    all = "all"
    round = "round"


class Augment(StrEnum):
    """How training images are varied."""

    none = "none"
    flip = "flip"
    crop = "crop"
    both = "crop+flip"


class OnOff(StrEnum):
    """Whether a setting holds."""

    on = "on"
    off = "off"


class StopHow(StrEnum):
    """When a running trial ends."""

    epoch = "epoch"
    now = "now"
    pause = "pause"


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _fail(words: object, code: int = 1) -> Never:
    _say(f"lcsearch: {words}")
    raise typer.Exit(code)


def _print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def _words() -> Iterator[None]:
    """Turn what a user can cause into one message and exit code 1 (2 for a wrong value)."""
    from ..engine.desk import SetupError
    from ..engine.space import InvalidConfig
    from ..sessions.store import Misuse, StoreError

    try:
        yield
    except InvalidConfig as error:
        _fail(error, 2)
    except (StoreError, SetupError) as error:
        _fail(error, 2 if isinstance(error, Misuse) or getattr(error, "misuse", False) else 1)


@contextmanager
def _desk(name: str, *, migrate: bool = True) -> Iterator[Desk]:
    """The session of this name, closed at the end; its errors said in words."""
    with _words():
        from ..engine.desk import Desk
        from ..sessions import store

        desk = Desk(store.folder(store.home(), name), migrate=migrate)
        try:
            yield desk
        finally:
            desk.close()


def _domains(words: list[str] | None, option: str) -> dict[str, str]:
    """`PARAM=DOMAIN` words as a mapping."""
    domains: dict[str, str] = {}
    for word in words or []:
        parameter, equals, domain = word.partition("=")
        if not equals or not parameter.strip():
            _fail(f"{option}{word}: not PARAM=DOMAIN. Use for example {option}conv_layers=2..6.", 2)
        domains[parameter.strip()] = domain.strip()
    return domains


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"lcsearch {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Search for convolutional networks that are cheap as well as good."""


# -- the console ------------------------------------------------------------------------------


def _need_terminal() -> None:
    # Textual draws on standard error, or where `lcsearch serve` tells it to
    served = "TEXTUAL_DRIVER" in os.environ
    if not (served or (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty())):
        _fail(
            "the console needs a terminal, and this is none. Use the commands instead: "
            "`lcsearch new`, `run`, `propose`, `accept`, `show` (see `lcsearch --help`).",
            2,
        )


@app.command()
def tui(name: Annotated[str | None, typer.Argument(help="A session to open.")] = None) -> None:
    """Open the console."""
    _need_terminal()
    from ..sessions import store

    if name is not None:
        with _words():
            store.folder(store.home(), name)
    from .app import run

    raise typer.Exit(run(store.home(), name))


@app.command()
def demo() -> None:
    """Open the console on a recorded search on Fashion-MNIST: look around, nothing trains."""
    _need_terminal()
    with _words():
        from .demo import run

        raise typer.Exit(run())


@app.command()
def serve(
    name: Annotated[str | None, typer.Argument(help="A session to open.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 0,
    host: Annotated[str, typer.Option(help="An address of this machine alone.")] = "127.0.0.1",
) -> None:
    """Serve the console to a browser on this machine, at a secret address."""
    from ..sessions import store

    if name is not None:
        with _words():
            store.folder(store.home(), name)
    try:
        from .serve import NotServed, server
    except ImportError as error:
        _fail(
            f"the browser needs what is not installed ({error.name}). "
            "`pip install 'lcsearch[web]'` installs it."
        )
    try:
        found = server(host, port, name)
    except NotServed as error:
        _fail(error, 2)
    _say("The console is in the browser at this address until ctrl-c. Who has it acts as you:")
    typer.echo(found.address)
    found.run()


# -- sessions ---------------------------------------------------------------------------------


@app.command()
def new(
    name: Name,
    data: Annotated[
        str,
        typer.Option(
            help="digits, idx:DIR, npz:FILE, folder:DIR, or cifar10:, cifar100:, mnist:, "
            "fashion-mnist:, svhn: with a folder."
        ),
    ] = "digits",
    wc: Annotated[float, typer.Option(help="Weight of the complexity, w_c.")] = 0.1,
    measure: Annotated[Measure, typer.Option(help="What complexity is.")] = Measure.seconds,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Epochs of every trial.")] = 10,
    train_size: Annotated[
        int | None, typer.Option(min=2, help="Take only this many training images.")
    ] = None,
    val_fraction: Annotated[
        float, typer.Option(help="Share of the training images held out for validation.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Decides every draw.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PARAM=DOMAIN", help="conv_layers=2..6, kernel=3,5, batch_size=128."
        ),
    ] = None,
    features: Annotated[
        str, typer.Option(help="Side of the map the classifier sees: a number, or gap for 1.")
    ] = "4",
    macs_cap: Annotated[
        float, typer.Option(help="Propose nothing above this many times the reference's MACs.")
    ] = 8.0,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, max=100_000, help="Planned for a level.", show_default="12, with --flat 48"
        ),
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option(help="What proposes; only gp has a belief.")
    ] = Strategy.gp,
    flat: Annotated[
        bool, typer.Option("--flat", help="One level: all parameters at once, not four levels.")
    ] = False,
    augment: Annotated[
        Augment, typer.Option(help="Vary training images: mirror them, shift them, or both.")
    ] = Augment.none,
    stop_behind: Annotated[
        bool,
        typer.Option("--stop-behind", help="Stop trials that fall behind; else they are marked."),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(help="poster: CIFAR-10, 30 epochs (give --data cifar10:DIR)."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Let torchvision download the data set.")
    ] = False,
    executor: Annotated[
        Executor, typer.Option(help="Where trials run: this machine, or a Ray cluster.")
    ] = Executor.local,
    address: Address = None,
    per_trial: PerTrial = None,
    parallel: Parallel = None,
    data_on_nodes: DataOnNodes = None,
    device: Device = None,
    dtype: DtypeOption = None,
) -> None:
    """Make a session: check its data, and queue the reference network."""
    with _words():
        from ..engine import desk
        from ..engine.executors import cluster
        from ..sessions import store
        from ..sessions.records import DataSource, Execution, Setup

        domains = _domains(set_, "--set ")
        if preset not in (None, "poster"):
            _fail(f"--preset {preset}: unknown. The only one is poster.", 2)
        if preset == "poster":
            if not data.startswith("cifar10:"):
                _fail("--preset poster is a search on CIFAR-10. Add --data cifar10:DIR.", 2)
            epochs = 30
        if not 0 < val_fraction < 1:
            _fail(f"--val-fraction {val_fraction}: not usable. Use a share such as 0.2.", 2)
        if features != "gap" and not (features.isdecimal() and 0 < int(features) <= 1024):
            _fail(f"--features {features}: not usable. Use gap, or a number such as 4.", 2)
        if not 0 < macs_cap < float("inf"):
            _fail(f"--macs-cap {macs_cap}: not usable. Use a number above 0, such as 8.", 2)
        if not 0 <= wc < float("inf"):
            _fail(f"--wc {wc}: not usable. Use 0 (accuracy alone) or more, such as 0.1.", 2)
        places = _execution(executor, address, per_trial, parallel, data_on_nodes, device, dtype)
        cluster.check_fields(executor.value, places)
        asked = Setup(
            name=name,
            data=DataSource(
                spec=data,
                train_size=train_size,
                val_fraction=val_fraction,
                seed=seed,
                download=download,
            ),
            wc=wc,
            measure=measure.value,
            epochs=epochs,
            seed=seed,
            features=1 if features == "gap" else int(features),
            macs_cap=macs_cap,
            domains=domains,
            trials_per_level=trials,
            strategy=strategy.value,
            flat=flat,
            augment=augment.value,
            stop_behind=stop_behind,
            execution=Execution.model_validate(places),
        )
        folder = desk.create(store.home(), asked)
        summary = store.Store(folder).refresh().session.summary
        _say(
            f"session {name}: {summary.train} training and {summary.val} validation images of "
            f"{summary.height}x{summary.width}x{summary.channels}, {summary.classes} classes. "
            f"Next: lcsearch tui {name}, or lcsearch run {name} --levels all."
        )
        typer.echo(str(folder))


def _devices(words: str) -> tuple[str, ...]:
    """`auto`, or devices with commas between them."""
    found = tuple(word.strip() for word in words.split(","))
    known = all(re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", word) for word in found)
    if not known or len(set(found)) != len(found) or (len(found) > 1 and "auto" in found):
        _fail(f"--device {words}: not usable. Use auto, cpu, mps, cuda, or cuda:0,cuda:1.", 2)
    return () if found == ("auto",) else found


def _execution(
    executor: Executor | None,
    address: str | None,
    per_trial: list[str] | None,
    parallel: int | None,
    data_on_nodes: bool | None,
    device: str | None = None,
    dtype: Dtype | None = None,
) -> dict[str, Any]:
    """What was said of where trials run, as fields of an `Execution`."""
    from ..engine.executors.cluster import resources

    if address is not None and not 0 < len(address) <= 256:
        _fail("--address: not usable. Use HOST:PORT, auto or local.", 2)
    given = {
        "executor": None if executor is None else executor.value,
        "address": address,
        "per_trial": None if per_trial is None else resources(per_trial),
        "parallel": parallel,
        "data_on_nodes": data_on_nodes,
        "devices": None if device is None else _devices(device),
        "dtype": None if dtype is None else dtype.value,
    }
    return {name: value for name, value in given.items() if value is not None}


@app.command(name="list")
def list_(json_: AsJson = False) -> None:
    """List the sessions."""
    with _words():
        from dataclasses import asdict

        from ..engine.desk import summaries
        from ..sessions.store import home

        found = summaries(home())
        if json_:
            _print_json([asdict(summary) for summary in found])
            return
        if not found:
            _say("No session yet. `lcsearch new NAME` makes one, `lcsearch tui` opens the console.")
        for s in found:
            best = "" if s.best is None else f"best f {s.best:.4f} (trial {s.best_trial})"
            typer.echo(
                f"{s.name:<20} {'flat   ' if s.flat else f'level {s.level}'}  "
                f"{s.trials:>4} trials, {s.parallel} at once  w_c {s.wc:<5g} "
                f"{s.data:<24} {s.state:<9} {best}".rstrip()
            )


@app.command()
def show(name: Name, json_: AsJson = False) -> None:
    """Show a session: its levels, its trials, its best network."""
    with _desk(name) as desk:
        if json_:
            from ..sessions.exchange import text

            typer.echo(text(desk.document()), nl=False)
            return
        from .progress import engine_state

        for line in _session_lines(desk.refresh()):
            typer.echo(line)
        typer.echo(engine_state(desk)["words"])


def _session_lines(snapshot: Snapshot) -> Iterator[str]:
    from ..engine import search
    from . import format as words

    session = snapshot.session
    yield (
        f"{session.name} · {session.data.spec} · w_c {session.wc:g} · {session.measure} · "
        f"{session.epochs} epochs · seed {session.seed}"
        + ("" if session.strategy == "gp" else f" · proposed by {session.strategy}")
    )
    yield words.execution_line(session.execution)
    yield from words.restrictions(session, search.favour_strength(snapshot))
    for level in search.standing(snapshot).values():
        mark = {"done": "✓", "current": "▸", "ahead": " "}[level.state]
        base = "" if level.base is None else f", from trial {level.base}"
        name = words.level_title(level.name).lower() if session.flat else level.name
        trials = words.level_trials(level.trials, level.limit)
        yield f"{mark} {level.level} {name:<11} {trials}{base}"
    behind = search.falling_behind(snapshot)
    for trial in snapshot.trials:
        value = search.objective(trial, session.wc)
        figures = (
            f"f {value:.4f}  val {1 - (trial.error or 0):.2%}  f_c {trial.complexity:.3f}  "
            f"{trial.seconds_per_epoch:.3g} s/ep"
            if value is not None
            else f"{trial.state}, falling behind"
            if trial.number in behind
            else trial.state
        )
        failure = f"  {trial.failure.message}" if trial.failure else ""
        if trial.disturbed:
            failure += f"  disturbed: {'; '.join(trial.disturbed)}"
        yield (
            f"{trial.number:>4} L{trial.level}  {words.network_line(trial.config)}  "
            f"{figures}  {trial.params:,} parameters{failure}"
        )
    best = search.best_measured(snapshot)
    if best is not None:
        yield f"best measured: trial {best.number}"


@app.command()
def export(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; stdout if not given.")
    ] = None,
) -> None:
    """Export a session as JSON."""
    with _desk(name) as desk:
        if output is None:
            from ..sessions.exchange import text

            typer.echo(text(desk.document()), nl=False)
        else:
            desk.export(output)
            _say(f"session {name}: written to {output}.")


@app.command()
def report(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")],
) -> None:
    """Write a session as one HTML page to share: what was searched, found and decided."""
    with _desk(name) as desk:
        from ..sessions.report import check_ending, write
        from .page import page

        check_ending(output)
        write(page(*desk.recommended()), output)
        _say(f"session {name}: written to {output}.")


class Plots(StrEnum):
    """What can be drawn."""

    tradeoff = "tradeoff"
    convergence = "convergence"
    calibration = "calibration"
    curves = "curves"
    belief = "belief"


@app.command()
def plot(
    name: Name,
    what: Annotated[Plots, typer.Argument(metavar="WHAT", help=", ".join(Plots))],
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.svg, .png, .csv or .json.")],
    trial: Annotated[
        list[int] | None, typer.Option("--trial", "-t", help="Trials of curves; the best if none.")
    ] = None,
    along: Annotated[
        str | None,
        typer.Option(metavar="PARAM[LAYER]", help="What belief is drawn along, such as kernel[1]."),
    ] = None,
) -> None:
    """Draw a chart of a session, or write its figures as CSV or JSON."""
    with _desk(name) as desk:
        from ..sessions.plots import kind_of, write
        from . import figures

        kind_of(output)
        figure = figures.of(desk, what.value, tuple(trial or ()), along)
        write(figure, output)
        _say(f"{figure.title}: written to {output}.")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `lcsearch export` wrote.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Import it under another name.")
    ] = None,
) -> None:
    """Bring an exported session back whole; what waits in it does not start by itself."""
    with _words():
        from ..engine.desk import bring_back
        from ..sessions.store import Store, home

        folder = bring_back(home(), file, name)
        store = Store(folder)
        trials = store.refresh().trials
        store.close()
        waiting = sum(t.state in ("queued", "interrupted", "paused") for t in trials)
        _say(f"session {folder.name}: imported, {len(trials)} trials.")
        if waiting:
            _say(f"{waiting} of them wait: `lcsearch run {folder.name}` trains them.")
        typer.echo(str(folder))


@app.command()
def schema() -> None:
    """Print the JSON Schema of an exported session."""
    from ..sessions.exchange import schema as made

    _print_json(made())


@app.command()
def delete(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Bring it back.")] = False,
) -> None:
    """Delete a session (kept for a week: --undo brings it back)."""
    with _words():
        from ..sessions import store

        root = store.home()
        if undo:
            place = store.trashed(root, name)
            if place is None:
                _fail(f"session {name!r}: no deleted session of this name is kept.", 2)
            store.restore(root, place)
            _say(f"session {name}: back again.")
            return
        store.delete(root, name)
        _say(f"session {name}: deleted. `lcsearch delete {name} --undo` brings it back.")


# -- searching --------------------------------------------------------------------------------


@app.command()
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
    with _desk(name) as desk:
        from ..engine.search import autopilot
        from .progress import follow

        if strategy is not None and strategy.value != desk.refresh().session.strategy:
            # a flight that cannot be is refused before anything is changed
            autopilot(
                _look(desk, strategy, {}), trials=trials, minutes=minutes, until_flat=until_flat
            )
            desk.set_strategy(strategy.value)
        desk.autopilot(trials=trials, minutes=minutes, levels=levels.value, until_flat=until_flat)
        raise typer.Exit(follow(desk))


@app.command()
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
    domains = _domains(domain, "--domain ")
    with _desk(name) as desk:
        from ..engine import search
        from . import format as words

        snapshot = _look(desk, strategy, domains)
        session = snapshot.session
        ranking = desk.rank(snapshot, count=count)
        idle = search.idle_parameters(session, domains)
        if idle:
            _say(f"{', '.join(idle)}: not searched in this level, nothing changes by it here.")
        if json_:
            _print_json(
                {
                    "level": session.level,
                    "strategy": session.strategy,
                    "domains": session.domains,
                    "favourite": session.favourite,
                    "wc": ranking.wc,
                    "incumbent": ranking.incumbent,
                    "incumbent_trial": ranking.incumbent_number,
                    "candidates": ranking.candidates,
                    "remaining": ranking.remaining,
                    "noise": ranking.noise,
                    "flat": ranking.flat,
                    "advice": ranking.advice,
                    "proposals": [
                        _proposal(p, rank) for rank, p in enumerate(ranking.proposals, start=1)
                    ],
                }
            )
            return
        for rank, p in enumerate(ranking.proposals, start=1):
            b = p.prediction
            figures = (
                ""
                if b is None
                else f"  f {b.mean:.4f} ± {b.std:.4f}  EI {b.ei:.1e}  acc {1 - b.error:.1%}"
                f"  f_c {b.complexity:.2f}"
            )
            note = f"  ({p.note})" if p.note else ""
            typer.echo(f"{rank:>3}  {p.id}  {words.network_line(p.config)}{figures}{note}")
        for line in words.restrictions(session, search.favour_strength(snapshot)):
            _say(line)
        _say(f"{ranking.candidates:,} ranked in {ranking.seconds:.1f} s. {ranking.advice}")


def _look(desk: Desk, strategy: Strategy | None, domains: dict[str, str]) -> Snapshot:
    """The session, or what it would be with another strategy or other domains."""
    from ..engine.search import look

    return look(
        desk.refresh(), strategy=None if strategy is None else strategy.value, domains=domains
    )


def _proposal(p: Proposal, rank: int) -> dict[str, Any]:
    return {
        "rank": rank,
        "id": p.id,
        "config": p.config,
        "prediction": None if p.prediction is None else p.prediction.model_dump(mode="json"),
        "origin": p.origin,
        "note": p.note,
        **{name: int(value) for name, value in p.known.items()},
        "nearest": None
        if p.nearest is None
        else {
            "trial": p.nearest.number,
            "f": p.nearest.objective,
            "differs": list(p.nearest.differs),
        },
    }


def _chosen(
    desk: Desk,
    id_: str | None,
    rank: int | None,
    strategy: Strategy | None = None,
    domains: dict[str, str] | None = None,
) -> tuple[Proposal, Ranking]:
    """The proposal of this id or rank, in the ranking as it is now, or as it was looked at."""
    if rank is not None and rank < 1:
        _fail(f"--rank {rank}: not usable. The best candidate is --rank 1.", 2)
    ranking = desk.rank(_look(desk, strategy, domains or {}), count=max(200, rank or 1))
    if id_ is not None:
        for proposal in ranking.proposals:
            if proposal.id == id_:
                return proposal, ranking
        _fail(
            f"--id {id_}: not among the first {len(ranking.proposals)} candidates now. "
            f"`lcsearch propose {desk.folder.name}` shows them.",
            2,
        )
    wanted = rank or 1
    there = len(ranking.proposals)
    if not there:
        _fail(f"there is no candidate. {ranking.advice}")
    if wanted > there:
        _fail(
            f"--rank {wanted}: not usable. Use 1 to {there:,}; `lcsearch propose "
            f"{desk.folder.name}` shows the first of them.",
            2,
        )
    return ranking.proposals[wanted - 1], ranking


@app.command()
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
        _fail("give one of --id, --rank and --config.", 2)
    with _desk(name) as desk:
        if config is None:
            domains = _domains(domain, "--domain ")
            proposal, ranking = _chosen(desk, id_, rank, strategy, domains)
            decision = desk.accept(proposal, reason, advised=ranking.advised)
        else:
            own = desk.space.validate(_read_config(config, desk))
            ranking = desk.rank(desk.refresh(), count=1)
            prediction = ranking.evaluate([own])[0].prediction
            decision = desk.submit(
                own, prediction, kind="new", reason=reason, advised=ranking.advised
            )
        _say(f"trial {decision.trial} is queued.")
        typer.echo(str(decision.trial))


def _read_config(source: str, desk: Desk) -> dict[str, Any]:
    """A network from a file or stdin; what it leaves out stands as in the level's base."""
    from ..engine.search import base_trial

    try:
        if source == "-":
            data = sys.stdin.buffer.read(MOST_JSON_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(MOST_JSON_BYTES + 1)
        if len(data) > MOST_JSON_BYTES:
            _fail(f"--config {source}: over {MOST_JSON_BYTES:,} bytes, which is no network.", 2)
        given = json.loads(data)
    except RecursionError:
        _fail(f"--config {source}: nested too deeply for a network.", 2)
    except OSError as error:
        _fail(f"--config {source}: cannot be read ({error.strerror}).", 2)
    except ValueError as error:
        _fail(f"--config {source}: not JSON ({error}).", 2)
    if not isinstance(given, dict):
        _fail(f"--config {source}: not a JSON object of parameters.", 2)
    return desk.space.completed(given, base_trial(desk.refresh()).config)


@app.command()
def reject(
    name: Name,
    id_: Annotated[str | None, typer.Option("--id", help="The candidate's id.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Its rank.")] = None,
    reason: Reason = "",
) -> None:
    """Take a candidate out of the ranking."""
    if (id_ is None) == (rank is None):
        _fail("give --id or --rank.", 2)
    with _desk(name) as desk:
        proposal, _ = _chosen(desk, id_, rank)
        desk.reject(proposal, reason)
        _say(f"rejected {proposal.id}. `lcsearch undo {name}` brings it back.")


def _trial_or(number: int | None, found: list[int], what: str) -> int:
    if number is not None:
        return number
    if not found:
        _fail(f"{what} Give --trial N.")
    return found[-1]


@app.command()
def stop(
    name: Name,
    trial: TrialNumber = None,
    when: Annotated[StopHow, typer.Option(help="epoch: after it; now; pause: resume later.")] = (
        StopHow.epoch
    ),
    reason: Reason = "",
) -> None:
    """Stop or pause the trial that runs (--trial where several do), or withdraw one that waits."""
    with _desk(name) as desk:
        running = [t.number for t in desk.refresh().trials if t.state == "running"]
        if trial is None and len(running) > 1:
            _fail(f"Trials {' and '.join(map(str, running))} run. Give --trial N.", 2)
        number = _trial_or(trial, running, "No trial is running.")
        desk.stop(number, when.value, reason)
        _say(f"trial {number}: {'pause' if when is StopHow.pause else 'stop'} asked for.")


@app.command()
def resume(name: Name, trial: TrialNumber = None) -> None:
    """Let a paused trial go on from its checkpoint."""
    with _desk(name) as desk:
        paused = [t.number for t in desk.refresh().trials if t.state == "paused"]
        number = _trial_or(trial, paused, "No trial is paused.")
        desk.resume(number)
        _say(f"trial {number}: goes on.")


@app.command()
def repeat(name: Name, trial: TrialNumber = None, reason: Reason = "") -> None:
    """Train a trial's network again with another seed (the best one if none is given)."""
    with _desk(name) as desk:
        from ..engine.search import best_measured

        best = best_measured(desk.refresh())
        number = _trial_or(trial, [best.number] if best else [], "No trial is done.")
        decision = desk.repeat(number, reason)
        _say(f"trial {decision.trial} repeats trial {number}.")
        typer.echo(str(decision.trial))


@app.command()
def undo(name: Name) -> None:
    """Undo the last decision that can still be undone."""
    with _desk(name) as desk:
        from . import format as words

        decision = desk.undo()
        _say(f"undone: {words.decided(decision.detail['kind'], decision.trial)}.")


@app.command()
def advance(name: Name, trial: TrialNumber = None) -> None:
    """Go on to the next level with a trial's network (the best one if none is given)."""
    with _desk(name) as desk:
        decision = desk.advance(trial)
        _say(f"level {desk.refresh().session.level}, from trial {decision.trial}.")


@app.command()
def reopen(
    name: Name,
    level: Annotated[int, typer.Option("--level", "-l", help="1 to 4.")],
    trial: TrialNumber = None,
) -> None:
    """Search an earlier level again, from a trial's network (the best one if none is given)."""
    with _desk(name) as desk:
        decision = desk.reopen(level, trial)
        _say(f"level {level} again, from trial {decision.trial}.")


@app.command(name="set")
def set_(
    name: Name,
    wc: Annotated[float | None, typer.Option(help="The new w_c; nothing is trained again.")] = None,
    strategy: Annotated[Strategy | None, typer.Option(help="What proposes from now on.")] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            metavar="PARAM=DOMAIN",
            help="Search only these values from now on; PARAM=default: all of its own again.",
        ),
    ] = None,
    executor: Annotated[Executor | None, typer.Option(help="Where trials run from now on.")] = None,
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
    """Change the trade-off, the strategy or the domains, or where trials run.

    Each of the first three is a decision of its own; what runs ends where it began.
    """
    domains = _domains(domain, "--domain ")
    places = (executor, address, per_trial, parallel, data_on_nodes, device, dtype)
    moved = any(option is not None for option in places)
    if wc is None and strategy is None and not domains and not moved and stop_behind is None:
        _fail(
            "give --wc, --strategy, --domain, --stop-behind, --executor, --address, --per-trial, "
            "--parallel, --data-on-nodes, --data-by-ray, --device or --dtype.",
            2,
        )
    with _desk(name) as desk:
        from ..engine import search
        from . import format as words

        if moved:
            _say(words.execution_line(desk.set_execution(**_execution(*places))))
        snapshot = desk.refresh()
        if wc is not None:
            search.set_wc(snapshot, wc)  # refused before anything is changed
        if domains:
            desk.set_domains(domains, reason)
            desk.refresh()
            for parameter in domains:
                _say(f"{parameter} is searched in {desk.space[parameter].domain.text()}.")
        if stop_behind is not None:
            desk.set_stop_behind(stop_behind is OnOff.on)
            stopped = "stopped" if stop_behind is OnOff.on else "marked, not stopped"
            _say(f"trials that fall behind are {stopped}.")
        if strategy is not None:
            desk.set_strategy(strategy.value, reason)
            _say(f"{strategy.value} proposes.")
        if wc is not None:
            desk.set_wc(wc)
            _say(f"w_c is {wc:g}.")


@app.command()
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
    marked = _domains(region, "")
    if clear and marked:
        _fail("give a region or --clear, not both.", 2)
    with _desk(name) as desk:
        from ..engine import search
        from . import format as words

        if clear or marked:
            desk.favour(marked, reason)
        if clear:
            _say(f"no region is favoured. `lcsearch undo {name}` brings it back.")
            return
        snapshot = desk.refresh()
        session = snapshot.session
        if not session.favourite:
            _say("no region is favoured. `lcsearch favour NAME kernel=1,3` marks one.")
            return
        typer.echo(words.favoured(session, search.favour_strength(snapshot)))
        idle = search.idle_parameters(session, session.favourite)
        if idle:
            _say(f"{', '.join(idle)}: not searched in this level, nothing changes by it here.")


@app.command()
def train(
    name: Name,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write; it must not exist yet.")
    ],
    trial: Annotated[
        int | None,
        typer.Option("--trial", "-t", help="The trial; the best by the model's belief if none."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Epochs of training.")] = 30,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write ONNX too (pip install 'lcsearch[onnx]').")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Train the network found to the end: on all images but the test set, tested once, written.

    The folder holds weights.safetensors, network.py (needs only torch), result.json and, with
    --onnx, network.onnx.
    """
    with _desk(name) as desk:
        from ..engine import search
        from ..engine.executors import final
        from .progress import follow_final

        snapshot = desk.refresh()
        if trial is None:
            several = len(search.observations(snapshot)) > 1
            trial, why = final.chosen(snapshot, desk.rank(snapshot, count=1) if several else None)
            _say(f"trial {trial}: {why}.")
        done = follow_final(desk.train_final(trial, epochs, output, onnx=onnx))
        if done is None:
            _fail("cancelled: nothing was written.")
        result = done.result
        if json_:
            _print_json({"folder": done.folder, **result.model_dump(mode="json")})
            return
        _say(
            f"trial {result.trial}: {result.test_accuracy:.2%} of {result.test_images:,} test "
            f"images told right, after {result.epochs} epochs on {result.train_images:,} images."
        )
        typer.echo(done.folder)


@app.command()
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1)] = 50,
) -> None:
    """Print the engine's log."""
    with _desk(name) as desk:
        from .progress import tail

        tail(desk, lines, follow)


@app.command()
def doctor() -> None:
    """Check this machine: Python, torch, SQLite, the folder of the sessions."""
    from .doctor import examine

    good = True
    for check in examine():
        good = good and check.good
        typer.echo(f"{'ok  ' if check.good else 'FAIL'} {check.what}: {check.found}")
    if not good:
        raise typer.Exit(1)


engine = typer.Typer(
    help="The process that trains: whether it lives, start, stop.", no_args_is_help=True
)
app.add_typer(engine, name="engine")


@engine.command(name="status")
def engine_status(name: Name, json_: AsJson = False) -> None:
    """Say whether the engine lives, and what it does.  Looking starts nothing."""
    with _desk(name, migrate=False) as desk:
        from .progress import engine_state

        state = engine_state(desk)
        if json_:
            _print_json(state)
            return
        typer.echo(state["words"])


@engine.command(name="start")
def engine_start(
    name: Name,
    foreground: Annotated[
        bool,
        typer.Option("--foreground", help="Be the engine, for a service manager such as systemd."),
    ] = False,
) -> None:
    """Start the engine; what waits is trained.  One that serves already stays."""
    with _desk(name) as desk:
        if foreground:
            desk.become_engine()
        before = desk.refresh().engine
        desk.start_engine()
        after = desk.refresh().engine
        words = "serves already" if before.alive and before.pid == after.pid else "serves"
        _say(f"session {name}: engine {after.pid} {words}.")


@engine.command(name="stop")
def engine_stop(name: Name) -> None:
    """Stop the engine in order: what it trains goes back to wait, with its checkpoint.

    It comes back for `engine start`, `run` and whoever queues a trial, not for one who looks.
    """
    with _desk(name, migrate=False) as desk:
        from .progress import engine_state

        pid = desk.stop_engine()
        done = "no engine was at work" if pid is None else f"engine {pid} has left"
        _say(f"session {name}: {done}. {engine_state(desk)['waits']}".rstrip())


config = typer.Typer(help="The console's settings: theme, keys, layout.", no_args_is_help=True)
app.add_typer(config, name="config")


@contextmanager
def _settings() -> Iterator[None]:
    from .settings import SettingsError

    try:
        yield
    except SettingsError as error:
        _fail(error, 2)


@config.command(name="path")
def config_path() -> None:
    """Print where the settings are kept."""
    from .settings import path

    typer.echo(str(path()))


@config.command(name="show")
def config_show() -> None:
    """Print the settings as JSON."""
    from dataclasses import asdict

    from .settings import load, path

    with _settings():
        _print_json(asdict(load(path())))


@config.command(name="set")
def config_set(
    name: Annotated[str, typer.Argument(help="theme, layout, or keys.BINDING.")],
    value: Annotated[
        str, typer.Argument(help="The new value; nothing brings a key's default back.")
    ],
) -> None:
    """Change a setting."""
    from .settings import changed, load, path, save

    with _settings():
        if name == "theme":
            from .themes import known

            if value not in known():
                _fail(f"theme {value}: not known. Use {', '.join(sorted(known()))}.", 2)
        settings = changed(load(path()), name, value)
        binding = name.removeprefix("keys.") if name.startswith("keys.") else None
        if binding is not None:
            from .bindings import check

            check({binding: value} if value else {})
        save(path(), settings)
        _say(f"{name} = {value}." if value else f"{name} has its default back.")
        if binding is not None and value:
            from .bindings import clashes

            for sentence in clashes(settings.keys, binding):
                _say(sentence)


@config.command(name="keys")
def config_keys(json_: AsJson = False) -> None:
    """List what has a key: its name for `config set keys.NAME`, its keys now, what it does."""
    from .bindings import settable
    from .settings import load, path

    with _settings():
        own = load(path()).keys
    known = settable().values()
    if json_:
        _print_json([{"name": b.name, "keys": own.get(b.name, b.keys), "default": b.keys,
                      "what": b.what} for b in known])  # fmt: skip
        return
    for binding in known:
        keys = own.get(binding.name, binding.keys)
        typer.echo(f"{binding.name:17} {keys:24} {binding.what}")


if __name__ == "__main__":
    app()
