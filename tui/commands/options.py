"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ...sessions.choices import DEVICE, LOSS_REFUSED, Dtype, Fit
from .base import fail

if TYPE_CHECKING:
    from ...sessions.records import DataSource

Name = Annotated[str, typer.Argument(metavar="NAME", help="The session.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Kept with the decision.")]
AcceptLoss = Annotated[
    bool,
    typer.Option(
        "--accept-loss",
        help=f"Write it even where int8 loses more than {100 * LOSS_REFUSED:.0f} points.",
    ),
]
FinalNumber = Annotated[
    int | None, typer.Option("--final", min=1, help="A final training, by its number.")
]
TrialNumber = Annotated[int | None, typer.Option("--trial", "-t", help="The trial's number.")]


class NamesAtHand(TyperCommand):
    """A command whose help names what there is in a registry, looked up when it is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As ever, with the names."""
        for parameter in self.params:
            if parameter.name in _NAMES:
                parameter.metavar = f"[{'|'.join(_NAMES[parameter.name]())}]"
        super().format_help(ctx, formatter)


def _measures() -> Iterable[str]:
    from ...engine.tasks.task import DEFAULT, task_named

    return [measure.name for measure in task_named(DEFAULT).measures]


def _executors() -> Iterable[str]:
    from ...engine.executors.registry import EXECUTORS

    return EXECUTORS


def _spaces() -> Iterable[str]:
    from ...engine.tasks.task import DEFAULT, task_named

    return task_named(DEFAULT).spaces


_NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "measure": _measures,
    "executor": _executors,
    "space": _spaces,
}


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


DATA_HELP = (
    "digits, idx:DIR, npz:FILE, folder:DIR (or a .zip, .tar.gz), csv:FILE, parquet:DIR, or "
    "cifar10:, cifar100:, mnist:, fashion-mnist:, svhn: with a folder."
)
ImageSize = Annotated[
    str | None,
    typer.Option(
        metavar="N|WxH",
        help="Bring images to this size: 64, or 64x48 for 64 wide and 48 high.",
        show_default="as they are; of several sizes, the median shorter side, at most 64",
    ),
]
FitOption = Annotated[
    Fit,
    typer.Option(
        "--fit", help="How: cut the centre out, pad to the whole image, or stretch both sides."
    ),
]
Background = Annotated[
    str,
    typer.Option(
        metavar="COLOUR", help="Seen through transparent images, and padded with: white, '#102030'."
    ),
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Go on without files that cannot be read.")
]
DropLeaks = Annotated[
    bool,
    typer.Option(
        "--drop-leaks", help="Leave out training images that are validation or test images too."
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT=NAME", help="Of csv and parquet: image=file, label=species, split=part."
    ),
]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LIMIT", help="'params<=50k', 'macs<=2x' (the reference's), 'accuracy>=90'."
    ),
]
NoLimit = Annotated[
    list[str] | None,
    typer.Option("--no-limit", metavar="NAME", help="Lift the limit on this: params."),
]
TrainSize = Annotated[int | None, typer.Option(min=2, help="Take only this many training images.")]
ValFraction = Annotated[
    float, typer.Option(help="Share of the training images held out for validation.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Decides every draw.")]
Download = Annotated[
    bool, typer.Option("--download", help="Let torchvision download the data set.")
]


def read_data(
    spec: str,
    *,
    image_size: str | None,
    fit: Fit,
    background: str,
    skip_broken: bool,
    drop_leaks: bool,
    column: list[str] | None,
    train_size: int | None,
    val_fraction: float,
    seed: int,
    download: bool,
) -> DataSource:
    """What was said of the images, and how they are read."""
    from ...sessions.records import DataSource
    from ..image_words import read_colour, read_columns, read_size

    if not 0 < val_fraction < 1:
        fail(f"--val-fraction {val_fraction}: not usable. Use a share such as 0.2.", 2)
    try:
        size = None if image_size is None else read_size(image_size)
        ground = read_colour(background)
        columns = read_columns(column or [])
    except ValueError as error:
        fail(error, 2)
    return DataSource(
        spec=spec,
        train_size=train_size,
        val_fraction=val_fraction,
        seed=seed,
        download=download,
        image_size=size,
        fit=fit,
        background=ground,
        skip_broken=skip_broken,
        drop_leaks=drop_leaks,
        columns=columns,
    )


def read_domains(words: list[str] | None, option: str) -> dict[str, str]:
    """`PARAM=DOMAIN` words as a mapping."""
    domains: dict[str, str] = {}
    for word in words or []:
        parameter, equals, domain = word.partition("=")
        if not equals or not parameter.strip():
            fail(f"{option}{word}: not PARAM=DOMAIN. Use for example {option}conv_layers=2..6.", 2)
        domains[parameter.strip()] = domain.strip()
    return domains


def read_names(words: list[str] | None) -> tuple[str, ...]:
    """Sessions to learn from, with commas or one an option; `none` alone is none."""
    names = tuple(name.strip() for word in words or [] for name in word.split(","))
    if names == ("none",):
        return ()
    if "" in names or "none" in names:
        fail(f"--learn-from {','.join(names)}: not usable. Use OLD, OLD,OLD2 or none.", 2)
    return names


def read_devices(words: str) -> tuple[str, ...]:
    """`auto`, or devices with commas between them."""
    found = tuple(word.strip() for word in words.split(","))
    known = all(re.fullmatch(DEVICE, word) for word in found)
    if not known or len(set(found)) != len(found) or (len(found) > 1 and "auto" in found):
        fail(f"--device {words}: not usable. Use auto, cpu, mps, cuda, or cuda:0,cuda:1.", 2)
    return () if found == ("auto",) else found


def read_execution(
    executor: str | None,
    address: str | None,
    per_trial: list[str] | None,
    parallel: int | None,
    data_on_nodes: bool | None,
    device: str | None = None,
    dtype: Dtype | None = None,
) -> dict[str, Any]:
    """What was said of where trials run, as fields of an `Execution`."""
    from ...engine.executors.ray import resources

    if address is not None and not 0 < len(address) <= 256:
        fail("--address: not usable. Use HOST:PORT, auto or local.", 2)
    given = {
        "executor": executor,
        "address": address,
        "per_trial": None if per_trial is None else resources(per_trial),
        "parallel": parallel,
        "data_on_nodes": data_on_nodes,
        "devices": None if device is None else read_devices(device),
        "dtype": dtype,
    }
    return {name: value for name, value in given.items() if value is not None}
