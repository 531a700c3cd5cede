"""Every verb of `lcsearch`: data on stdout, words on stderr, exit codes 0 done, 1 failed, 2 misuse.

What a verb needs is imported by the verb itself, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Never

import typer

if TYPE_CHECKING:
    from ..engine.advisor import Proposal
    from ..engine.desk import Desk
    from ..sessions.store import Snapshot

app = typer.Typer(
    name="lcsearch",
    help="Search for convolutional networks that are cheap as well as good.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use. Sessions are kept under $LCSEARCH_HOME.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The session.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Kept with the decision.")]
TrialNumber = Annotated[int | None, typer.Option("--trial", "-t", help="The trial's number.")]


class Measure(StrEnum):
    """What complexity is."""

    seconds = "seconds"
    params = "params"
    macs = "macs"


class Levels(StrEnum):
    """Which levels the autopilot searches."""

    this = "this"
    all = "all"


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
def _desk(name: str) -> Iterator[Desk]:
    """The session of this name, closed at the end; its errors said in words."""
    with _words():
        from ..engine.desk import Desk
        from ..sessions import store

        desk = Desk(store.folder(store.home(), name))
        try:
            yield desk
        finally:
            desk.close()


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


@app.command()
def tui(name: Annotated[str | None, typer.Argument(help="A session to open.")] = None) -> None:
    """Open the console."""
    # Textual draws on standard error
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        _fail(
            "the console needs a terminal, and this is none. Use the commands instead: "
            "`lcsearch new`, `run`, `propose`, `accept`, `show` (see `lcsearch --help`).",
            2,
        )
    from ..sessions import store

    if name is not None:
        with _words():
            store.folder(store.home(), name)
    from .app import run

    raise typer.Exit(run(store.home(), name))


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
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="Planned for a level.")] = 12,
    preset: Annotated[
        str | None,
        typer.Option(help="poster: CIFAR-10, 30 epochs (give --data cifar10:DIR)."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Let torchvision download the data set.")
    ] = False,
) -> None:
    """Make a session: check its data, and queue the reference network."""
    with _words():
        from ..engine import desk
        from ..sessions import store
        from ..sessions.records import DataSource

        domains: dict[str, str] = {}
        for word in set_ or []:
            parameter, equals, domain = word.partition("=")
            if not equals:
                _fail(f"--set {word}: not PARAM=DOMAIN. Use for example --set conv_layers=2..6.", 2)
            domains[parameter.strip()] = domain
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
        folder = desk.create(
            store.home(),
            name,
            DataSource(
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
        )
        summary = store.Store(folder).refresh().session.summary
        _say(
            f"session {name}: {summary.train} training and {summary.val} validation images of "
            f"{summary.height}x{summary.width}x{summary.channels}, {summary.classes} classes. "
            f"Next: lcsearch tui {name}, or lcsearch run {name} --levels all."
        )
        typer.echo(str(folder))


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
                f"{s.name:<20} level {s.level}  {s.trials:>4} trials  w_c {s.wc:<5g} "
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
        for line in _session_lines(desk.refresh()):
            typer.echo(line)


def _session_lines(snapshot: Snapshot) -> Iterator[str]:
    from ..engine import search
    from . import format as words

    session = snapshot.session
    yield (
        f"{session.name} · {session.data.spec} · w_c {session.wc:g} · {session.measure} · "
        f"{session.epochs} epochs · seed {session.seed}"
    )
    for level in search.standing(snapshot).values():
        mark = {"done": "✓", "current": "▸", "ahead": " "}[level.state]
        base = "" if level.base is None else f", from trial {level.base}"
        yield f"{mark} {level.level} {level.name:<11} {level.trials} of {level.limit} trials{base}"
    for trial in snapshot.trials:
        value = search.objective(trial, session.wc)
        figures = (
            f"f {value:.4f}  val {1 - (trial.error or 0):.2%}  f_c {trial.complexity:.3f}  "
            f"{trial.seconds_per_epoch:.3g} s/ep"
            if value is not None
            else trial.state
        )
        failure = f"  {trial.failure.message}" if trial.failure else ""
        yield (
            f"{trial.number:>4} L{trial.level}  {words.network_line(trial.config)}  "
            f"{figures}  {trial.params:,} parameters{failure}"
        )
    best = search.best_measured(snapshot)
    if best is not None:
        yield f"best measured: trial {best.number}"
    engine = snapshot.engine
    yield f"engine: {'serves' if engine.alive else 'none'} {engine.message}".rstrip()


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
                _fail(f"session {name!r}: no deleted session of this name is kept.")
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
        int | None, typer.Option(min=0, help="Trials to add, in each level with --levels all.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop adding after this.")] = None,
    levels: Annotated[Levels, typer.Option(help="this level, or all to the last.")] = Levels.this,
) -> None:
    """Search by autopilot and wait for it: what is queued first, then more trials.

    Ctrl-C takes the wheel back; the trial that runs goes on in the background.
    """
    with _desk(name) as desk:
        from .progress import follow

        desk.autopilot(trials=trials, minutes=minutes, levels=levels.value)
        raise typer.Exit(follow(desk))


@app.command()
def propose(
    name: Name,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=200)] = 10,
    json_: AsJson = False,
) -> None:
    """Rank what to train next in the present level."""
    with _desk(name) as desk:
        from . import format as words

        ranking = desk.rank(desk.refresh(), count=count)
        if json_:
            _print_json(
                {
                    "level": ranking.level,
                    "wc": ranking.wc,
                    "incumbent": ranking.incumbent,
                    "incumbent_trial": ranking.incumbent_number,
                    "candidates": ranking.candidates,
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
        _say(f"{ranking.candidates:,} ranked in {ranking.seconds:.1f} s. {ranking.advice}")


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


def _chosen(desk: Desk, id_: str | None, rank: int | None) -> Proposal:
    """The proposal of this id or rank in the ranking as it is now."""
    if rank is not None and rank < 1:
        _fail(f"--rank {rank}: not usable. The best candidate is --rank 1.", 2)
    ranking = desk.rank(desk.refresh(), count=max(200, rank or 1))
    if id_ is not None:
        for proposal in ranking.proposals:
            if proposal.id == id_:
                return proposal
        _fail(
            f"--id {id_}: not among the first {len(ranking.proposals)} candidates now. "
            "Ask `lcsearch propose` again."
        )
    wanted = rank or 1
    if wanted > len(ranking.proposals):
        _fail(f"--rank {wanted}: there are {len(ranking.proposals)} candidates. {ranking.advice}")
    return ranking.proposals[wanted - 1]


@app.command()
def accept(
    name: Name,
    id_: Annotated[str | None, typer.Option("--id", help="The candidate's id.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Its rank (the default: 1).")] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", help="JSON file with your own network; - is stdin."),
    ] = None,
    reason: Reason = "",
) -> None:
    """Queue a candidate, or a network of your own."""
    if sum(choice is not None for choice in (id_, rank, config)) > 1:
        _fail("give one of --id, --rank and --config.", 2)
    with _desk(name) as desk:
        if config is None:
            decision = desk.accept(_chosen(desk, id_, rank), reason)
        else:
            own = desk.space.validate(_read_config(config, desk))
            ranking = desk.rank(desk.refresh(), count=1)
            decision = desk.submit(
                own, ranking.evaluate([own])[0].prediction, kind="new", reason=reason
            )
        _say(f"trial {decision.trial} is queued.")
        typer.echo(str(decision.trial))


def _read_config(source: str, desk: Desk) -> dict[str, Any]:
    """A network from a file or stdin; what it leaves out stands as in the level's base."""
    from ..engine.search import base_trial

    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        given = json.loads(text)
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
        proposal = _chosen(desk, id_, rank)
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
    """Stop or pause the trial that runs, or withdraw one that waits."""
    with _desk(name) as desk:
        running = [t.number for t in desk.refresh().trials if t.state == "running"]
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
        _say(f"undone: {desk.undo().detail['kind']}.")


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
    name: Name, wc: Annotated[float, typer.Option(help="The new w_c; nothing is trained again.")]
) -> None:
    """Change the trade-off between error and complexity."""
    with _desk(name) as desk:
        desk.set_wc(wc)
        _say(f"w_c is {wc:g}.")


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
        save(path(), changed(load(path()), name, value))
        _say(f"{name} = {value}.")


if __name__ == "__main__":
    app()
