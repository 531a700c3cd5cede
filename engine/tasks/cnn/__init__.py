"""Convolutional networks in four levels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..face import NamedSpace, Problem, Task
from ..space import Space
from .layout import NONE, POOL, STRIDE, network
from .measures import MEASURES
from .space import BEGINS, CORE, FULL, LEVELS, POSTER, reference, space

__all__ = [
    "BEGINS",
    "LEVELS",
    "NONE",
    "POOL",
    "POSTER",
    "STRIDE",
    "TASK",
    "network",
    "reference",
    "space",
]


def _space_for(problem: Problem, domains: Mapping[str, str]) -> Space:
    return space(
        problem.shape,
        problem.classes,
        features=problem.features,
        macs_cap=problem.macs_cap,
        weights=problem.weights,
        images=problem.images,
        epochs=problem.epochs,
        domains=domains,
    )


TASK = Task(
    name="cnn",
    title="convolutional networks",
    levels=LEVELS,
    measures=MEASURES,
    space=_space_for,
    spaces={
        "poster": NamedSpace(POSTER),
        "core": NamedSpace(CORE, BEGINS),
        FULL: NamedSpace(defaults=BEGINS),
    },
    priors={"default-1": Path(__file__).parent / "prior-1.json"},
)
