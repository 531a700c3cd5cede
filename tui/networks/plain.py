"""Any configuration, by the names of its parameters."""

from __future__ import annotations

from typing import Any

from ...sessions.records import Config
from ..format import number
from .writer import Layer


def writes(config: Config) -> bool:
    """It writes everything that nothing else does."""
    return True


def line(config: Config, level: int | None = None, width: int | None = None) -> str:
    """`x 0.3  y 2`."""
    return "  ".join(f"{name} {_value(value)}" for name, value in config.items())


def whole(config: Config) -> list[str]:
    """Its line says it all."""
    return [line(config)]


def depth(config: Config) -> str:
    """Nothing is known of that."""
    return ""


def layers(config: Config, laid_out: Any) -> list[Layer]:
    """A row for every parameter."""
    told = ((name, _value(value)) for name, value in config.items())
    return [Layer(what=name, joined=value, alone=f"{name}  {value}") for name, value in told]


def training(config: Config) -> list[tuple[str, ...]]:
    """Its parameters are in the table."""
    return []


def _value(value: Any) -> str:
    return ",".join(map(number, value)) if isinstance(value, list) else number(value)
