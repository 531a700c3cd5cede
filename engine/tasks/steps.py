"""The configurations next to one, for searches that go step by step."""

from __future__ import annotations

from collections.abc import Iterator

from ...sessions.records import Config, Scalar
from .domains import Categorical
from .parameter import Parameter
from .space import Space


def neighbours(space: Space, config: Config, level: int) -> list[Config]:
    """The valid configurations one step away of a valid one, inside the level's domains.

    A step changes one value, scales a whole per-layer list, or takes a layer away or doubles
    one (in every list that shares its length).
    """
    found: dict[str, Config] = {}
    for candidate in _steps(space, config, level):
        fitted = space.resized(candidate)
        # what is where sampling would have put it is possible: the rules alone are left
        if space.guided(fitted, level) and not space.broken(fitted):
            found.setdefault(space.key(fitted), fitted)
    found.pop(space.key(config), None)
    return list(found.values())


def _steps(space: Space, config: Config, level: int) -> Iterator[Config]:
    for parameter in space.at_level(level):
        if not parameter.counts(config):
            continue
        value = config[parameter.name]
        if not isinstance(value, list):
            for near in parameter.domain_in(config).near(value):
                if not _lists_of(space, parameter):
                    yield space.moved(config, parameter.name, near)
            if _lists_of(space, parameter):
                yield from _other_lengths(space, parameter, config)
            continue
        for index, entry in enumerate(value):
            for near in space.allowed(parameter, config, index).near(entry):
                yield {
                    **config,
                    parameter.name: [*value[:index], near, *value[index + 1 :]],
                }
        if not isinstance(parameter.domain, Categorical):
            for factor in (0.5, 0.75, 1.25, 1.5, 2.0):
                scaled: list[Scalar] = [
                    parameter.domain.clip(float(entry) * factor) for entry in value
                ]
                yield {**config, parameter.name: scaled}


def _lists_of(space: Space, length: Parameter) -> list[Parameter]:
    return [p for p in space.awake if p.length == length.name]


def _other_lengths(space: Space, length: Parameter, config: Config) -> Iterator[Config]:
    count = int(config[length.name])
    lists = _lists_of(space, length)
    for index in range(count):
        fewer: Config = {**config, length.name: count - 1}
        more: Config = {**config, length.name: count + 1}
        for parameter in lists:
            value = list(config[parameter.name])
            at = min(index, len(value) - 1)
            fewer[parameter.name] = value[:at] + value[at + 1 :] if value else []
            doubled = value[: at + 1] + value[at:] if value else [parameter.default]
            more[parameter.name] = doubled
        yield fewer
        yield more
