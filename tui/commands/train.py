"""The network found, trained to the end by the engine and written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...sessions.choices import FINAL_EPOCHS, MOST_SEEDS, Images
from .base import fail, opened, print_json, say, tell
from .options import AcceptLoss, AsJson, Name

if TYPE_CHECKING:
    from ...engine.client.session import SessionClient
    from ...sessions.snapshot import Snapshot

commands = typer.Typer()


@commands.command()
def train(
    name: Name,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder to write; it must not exist yet.  With --front it gets one a network.",
        ),
    ],
    trial: Annotated[
        int | None,
        typer.Option("--trial", "-t", help="The trial; the one recommended if none is given."),
    ] = None,
    front: Annotated[
        bool,
        typer.Option("--front", help="Every network of the measured front, one after another."),
    ] = False,
    epochs: Annotated[
        int, typer.Option(min=1, max=100_000, help="Epochs of training.")
    ] = FINAL_EPOCHS,
    all_images: Annotated[
        bool | None,
        typer.Option(
            "--all-images/--session-images",
            help="All outside the test set, or the session's.  All where it used a part.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_SEEDS, help="Trainings; the first is written, all say the spread."
        ),
    ] = 1,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write ONNX too (pip install 'lcsearch[onnx]').")
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Write ONNX in eight bits, too, and say what that loses; implies --onnx."
        ),
    ] = False,
    accept_loss: AcceptLoss = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Begin without asking.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it to the engine, and do not wait.")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Have the engine train the network found to the end, test it once and write it.

    It goes on when this command or the terminal ends, and after a crash from its last epoch; stop,
    resume and show know it as a final training.  The test set is looked at once for each training,
    at its end, and chooses nothing; who chooses by it has no test left.

    The folder holds MODEL.md (what the network is worth, costs, how it is used), network.py (torch
    alone) with weights.safetensors, prepare.py (images for other runtimes), result.json and, with
    --onnx, network.onnx, with --int8 network-int8.onnx.  lcsearch predict tells images by it.

    What int8 loses is decided on validation images, or with --all-images on training images held
    out of its calibration: over 1 point it is a warning; over 10, unless --accept-loss, nothing is
    written, the exit code is 1, and it waits to be resumed with --accept-loss.
    """
    if accept_loss and not int8:
        fail("--accept-loss: is of --int8. Use both, or neither.", 2)
    with opened(name) as client:
        from ...engine.executors.final import usable
        from .. import deliveries
        from ..networks import network_line
        from .follow import follow_deliveries

        snapshot = client.refresh()
        place = usable(output)
        numbers = _delivered(client, snapshot, trial, front)
        images: Images = _images(snapshot, all_images)
        there = client.all_images() if images == "all" else snapshot.session.summary
        for number in numbers:
            trial_of = snapshot.trials[number]
            say(f"trial {number}: {network_line(trial_of.config)}")
            say(deliveries.plan(snapshot, trial_of, images, there, epochs, seeds))
        if len(numbers) > 1:
            say(deliveries.together(snapshot, numbers, there, epochs, seeds))
        say(deliveries.looking(snapshot.scored))
        if not yes and sys.stdin.isatty() and sys.stderr.isatty():
            typer.confirm("Begin?", default=True, abort=True, err=True)
        folders = [place / f"trial-{number}" for number in numbers] if front else [place]
        if front:
            place.mkdir(exist_ok=True)
        made = [
            client.deliver(
                number,
                folder,
                epochs=epochs,
                images=images,
                seeds=seeds,
                onnx=onnx,
                int8=int8,
                accept_loss=accept_loss,
            )
            for number, folder in zip(numbers, folders, strict=True)
        ]
        if detach:
            tell(" ".join(str(one.number) for one in made))
            return
        ended = follow_deliveries(client, [one.number for one in made])
        if ended is None:
            raise typer.Exit(1)
        for one in ended:
            if one.state != "done":
                continue
            if json_:
                print_json({"folder": one.folder, **_result(Path(one.folder))})
            else:
                typer.echo(one.folder)
                say(f"Next: {deliveries.use(one)}")
        bad = [one for one in ended if one.state != "done"]
        if bad:
            fail(f"final training {bad[0].number}: {deliveries.state(bad[0], snapshot.session)}")


def _delivered(
    client: SessionClient, snapshot: Snapshot, trial: int | None, front: bool
) -> list[int]:
    """The trials whose networks are trained to the end; says why it is these."""
    from ...engine import search
    from ...engine.executors.final import known_trial
    from .. import deliveries
    from .. import format as words

    if front and trial is not None:
        fail("--front and --trial: use one of them.", 2)
    if front:
        found = [one.number for one in search.pareto(search.keeping(snapshot))]
        if not found:
            fail(search.NOTHING_DONE)
        say(f"the front has {words.plural(len(found), 'network')}: f_c against the error.")
        if len(found) > 1:
            say(deliveries.SELECTION)
        return found
    if trial is not None:
        return [known_trial(snapshot, trial).number]
    best = client.recommended(snapshot)
    if best is None:
        fail(search.NOTHING_DONE)
    say(f"{deliveries.why(best, snapshot)}.")
    return [best.number]


def _images(snapshot: Snapshot, all_images: bool | None) -> Images:
    """Which images a final training takes: as it was said, or as it is usual."""
    from ...engine.executors.final import usual_images

    if all_images is None:
        return usual_images(snapshot.session)
    return "all" if all_images else "session"


def _result(folder: Path) -> dict[str, Any]:
    """What `result.json` holds."""
    from ...engine.protocol import FinalResult

    kept = FinalResult.model_validate_json((folder / "result.json").read_bytes())
    return kept.model_dump(mode="json")
