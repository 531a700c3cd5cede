"""What a delivered network says of images."""

from __future__ import annotations

from collections.abc import Sequence
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

WIDEST_NAME = 24
"""Columns of a class, at most."""


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
    exit code is then 1, or 2 where a file is not there.
    """
    if int8 and runtime == "torch":
        fail("--int8: runs by onnxruntime alone. Leave --runtime torch out.", 2)
    with in_words():
        from ...engine.executors.latency import usual_runtime
        from ...engine.training import predicting

        network = predicting.load(model, runtime or usual_runtime(), int8=int8)
        passed: dict[Path, int] = {}
        found = list(predicting.files(images, passed.__setitem__))
        widths = _widths(found, network.preparing.classes)
        code = 0
        shown = []
        for image in predicting.predict(network, found, top):
            if image.error:
                code = max(code, 2 if image.missing else 1)
                say(f"lcsearch: {printable(image.file)}: {printable(image.error)}.")
            elif not json_:
                tell(_line(image, widths))
            if json_:
                shown.append(_plain(image))
        if json_:
            print_json(shown)
        for folder, count in passed.items():
            files = "1 file is" if count == 1 else f"{count:,} files are"
            say(f"{printable(str(folder))}: {files} no image by name, and left out.")
        if code:
            raise typer.Exit(code)


def _widths(files: Sequence[Path | Told], classes: Sequence[str]) -> tuple[int, int]:
    """Of the column of files and of one of class names; a longer name sticks out."""
    longest = max((len(printable(str(f))) for f in files if isinstance(f, Path)), default=0)
    names = max((len(printable(name)) for name in classes), default=0)
    return longest, min(names, WIDEST_NAME)


def _line(image: Told, widths: tuple[int, int]) -> str:
    file, name = widths
    classes = [f"{printable(of):<{name}} {100 * share:5.1f} %" for of, share in image.classes]
    return "  ".join([f"{printable(image.file):<{file}}", *classes])


def _plain(image: Told) -> dict[str, object]:
    """For a program: the file, and its classes or why there are none."""
    if image.error:
        return {"file": image.file, "error": image.error}
    classes = [{"name": name, "probability": share} for name, share in image.classes]
    return {"file": image.file, "predictions": classes}
