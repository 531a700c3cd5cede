"""What a delivered network says of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...sessions.choices import Runtime
from ...sessions.text import printable
from .base import fail, in_words, print_json, say, tell
from .options import AsJson

if TYPE_CHECKING:
    from ...engine.training.predicting import Told

commands = typer.Typer()


@commands.command()
def predict(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL_DIR", help="A folder that train has written.")
    ],
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Image files, and folders that hold such."),
    ],
    top: Annotated[int, typer.Option(min=1, help="Classes that are told of each image.")] = 3,
    runtime: Annotated[
        Runtime | None,
        typer.Option(help="What runs it; onnx, which starts sooner, where it is installed."),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="By network-int8.onnx, which train --int8 wrote."),
    ] = False,
    json_: AsJson = False,
) -> None:
    """Tell what is in images by a network that was trained to its end and written.

    An image is made into what the network takes as the search made its own.  Of the folder only
    result.json and the weights are read (with --int8 network-int8.onnx, of which every operator is
    checked first), and no code in it is run.  What is no image is said, and the others go on; the
    exit code is then 1.
    """
    if int8 and runtime == "torch":
        fail("--int8: runs by onnxruntime alone. Leave --runtime torch out.", 2)
    with in_words():
        from ...engine.executors.latency import usual_runtime
        from ...engine.training import predicting

        network = predicting.load(model, runtime or usual_runtime(), int8=int8)
        told = predicting.predict(network, predicting.files(images), top)
        failed = False
        shown = []
        for image in told:
            if image.error:
                failed = True
                say(f"lcsearch: {printable(image.file)}: {printable(image.error)}.")
            elif not json_:
                tell(_line(image))
            if json_:
                shown.append(_plain(image))
        if json_:
            print_json(shown)
        if failed:
            raise typer.Exit(1)


def _line(image: Told) -> str:
    classes = [f"{printable(name)} {100 * share:.1f} %" for name, share in image.classes]
    return "  ".join([printable(image.file), *classes])


def _plain(image: Told) -> dict[str, object]:
    """For a program: the file, and its classes or why there are none."""
    if image.error:
        return {"file": image.file, "error": image.error}
    classes = [{"name": name, "probability": share} for name, share in image.classes]
    return {"file": image.file, "predictions": classes}
