"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ...sessions.choices import DEVICE, Dtype
from .base import fail

Name = Annotated[str, typer.Argument(metavar="NAME", help="The session.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Kept with the decision.")]
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


_NAMES: dict[str, Callable[[], Iterable[str]]] = {"measure": _measures, "executor": _executors}


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


def read_domains(words: list[str] | None, option: str) -> dict[str, str]:
    """`PARAM=DOMAIN` words as a mapping."""
    domains: dict[str, str] = {}
    for word in words or []:
        parameter, equals, domain = word.partition("=")
        if not equals or not parameter.strip():
            fail(f"{option}{word}: not PARAM=DOMAIN. Use for example {option}conv_layers=2..6.", 2)
        domains[parameter.strip()] = domain.strip()
    return domains


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
