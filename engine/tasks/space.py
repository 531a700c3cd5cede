"""Search spaces: parameters on levels, per-layer lists, and the rules between them.

A space knows nothing about networks.  A configuration is a plain dictionary; its parameters have
a *domain* (what a search samples), *limits* (what can be asked for at all) and a *frame* (the
domain as it was defined, which scales the encoding, so that narrowing a domain moves no point).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import Config, Scalar
from .domains import (
    Categorical,
    Domain,
    Integer,
    InvalidDomain,
    Real,
    exactly,
    is_whole,
    read_number,
    spelled,
)
from .measure import Measure

Array = NDArray[np.float64]


class InvalidConfig(ValueError):
    """A configuration that cannot be built; one sentence a problem in `problems`."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Exhausted(RuntimeError):
    """No valid configuration was found by sampling."""


Entry = tuple[str, int | None]
"""A parameter, and the index in its list, 0 the first layer; None where it has one value."""


def entry_name(parameter: str, index: int | None) -> str:
    """An entry as a person reads and types it, layers counted from 1: `channels[2]`."""
    return parameter if index is None else f"{parameter}[{index + 1}]"


def entry_key(parameter: str, index: int | None) -> str:
    """An entry as a program reads it, by the index in the configuration's list: `channels[1]`."""
    return parameter if index is None else f"{parameter}[{index}]"


Guide = Callable[[Domain, Config, int], Domain]
"""(domain, configuration so far, layer index) -> the part of the domain that may be sampled."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a level; a list with one entry a layer where `length` names its length.

    offset: entries beyond the value of the `length` parameter (-1: one fewer).  limits: what may
    be asked for at all.  default: what it is before its level is searched.  neutral: the value at
    which a network is what it was before there was this parameter; None: it was there from the
    beginning.  asleep: it stands at its neutral value, and nothing searches or compares it.

    when: a parameter before it and the value of that at which this one counts (in that layer, where
    both are lists); elsewhere it is idle: whatever its value, the configuration is the same thing.
    ratios: of a real number, a parameter before it, and how many times its domain its values are by
    that one's (once where it does not say); they are encoded, compared and moved relative to that.
    """

    name: str
    level: int
    domain: Domain
    default: Scalar
    length: str | None = None
    offset: int = 0
    limits: Domain | None = None
    guide: Guide | None = None
    frame: Domain | None = None
    neutral: Scalar | None = None
    asleep: bool = False
    when: tuple[str, Scalar] | None = None
    ratios: tuple[str, Mapping[Any, float]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", self.limits or self.domain)
        object.__setattr__(self, "frame", self.frame or self.domain)

    @property
    def bounds(self) -> Domain:
        """What may be asked for at all."""
        assert self.limits is not None
        return self.limits

    @property
    def scale(self) -> Domain:
        """The domain as it was defined, before any narrowing."""
        assert self.frame is not None
        return self.frame

    def counts(self, config: Config, index: int | None = None) -> bool:
        """Whether it, or this entry of it, means anything in this configuration; if not, it is
        idle.
        """
        if self.when is None:
            return True
        name, value = self.when
        found: Any = config.get(name, value)
        if isinstance(found, list):
            return index is None or found[index] == value
        return bool(found == value)

    def counting(self, config: Config) -> list[tuple[int | None, Any]]:
        """Its entries that mean something in this configuration, by their indices; None where it
        has one value.
        """
        if not self.counts(config):
            return []
        value = config[self.name]
        if not isinstance(value, list):
            return [(None, value)]
        return [pair for pair in enumerate(value) if self.counts(config, pair[0])]

    def settled(self, entries: list[Scalar], config: Config) -> list[Scalar]:
        """These entries, the idle ones at the default."""
        if self.when is None:
            return entries
        return [
            entry if self.counts(config, index) else self.default
            for index, entry in enumerate(entries)
        ]

    def ratio(self, config: Config) -> float:
        """How many times its domain its values are in this configuration."""
        if self.ratios is None:
            return 1.0
        name, of = self.ratios
        return of.get(config.get(name), 1.0)

    def depends_on(self, name: str) -> bool:
        """Whether that parameter's value decides if it counts, or how large its values are."""
        return any(on is not None and on[0] == name for on in (self.when, self.ratios))

    def domain_in(self, config: Config) -> Domain:
        """The values that are searched in this configuration."""
        if self.ratios is None or not isinstance(self.domain, Real):
            return self.domain
        assert isinstance(self.bounds, Real)
        return self.domain.times(self.ratio(config), self.bounds)

    def relative(self, value: Any, config: Config) -> Any:
        """A value of this configuration as it stands in the domain itself."""
        return value if self.ratios is None else value / self.ratio(config)

    def entries(self, config: Config) -> int:
        """How many entries the list has in this configuration."""
        assert self.length is not None
        return max(int(config[self.length]) + self.offset, 0)

    def is_neutral(self, value: Any) -> bool:
        """Whether a value of a configuration is the neutral one, in every layer."""
        if self.neutral is None:
            return False
        entries = value if isinstance(value, list) else [value]
        return all(entry == self.neutral for entry in entries)


@dataclass(frozen=True)
class Column:
    """One column of the encoding: a parameter, or one entry of a per-layer one.

    choices: number of categories, 0 for a number.  conditional: whether it can be absent.
    """

    parameter: str
    index: int | None
    level: int
    choices: int
    conditional: bool


Rule = Callable[[Config], Sequence[str]]
"""A configuration with every parameter in its limits -> one sentence a problem."""


@dataclass(frozen=True)
class Space:
    """The parameters in order, level by level, and what holds between them.

    canonical: what two configurations share if they are the same thing (the identity if None).
    layout: what arithmetic works on, laid out of a configuration (that itself if None).  measures:
    what a configuration costs.  proposable: whether one may be proposed at all (a cost cap, say).
    """

    levels: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    rules: tuple[Rule, ...] = ()
    canonical: Callable[[Config], object] | None = None
    layout: Callable[[Config], Any] | None = None
    measures: tuple[Measure, ...] = ()
    proposable: Callable[[Config], bool] | None = None
    reference: Config | None = None
    _by_name: dict[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {p.name: p for p in self.parameters})
        if self.reference is not None:
            object.__setattr__(self, "reference", self.read(self.reference))

    def __getitem__(self, name: str) -> Parameter:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def at_level(self, level: int) -> tuple[Parameter, ...]:
        """The parameters of a level, 1 the first; of all levels for 0; none that is asleep."""
        return tuple(p for p in self.awake if level in (0, p.level))

    @cached_property
    def awake(self) -> tuple[Parameter, ...]:
        """The parameters that are searched and compared."""
        return tuple(p for p in self.parameters if not p.asleep)

    @cached_property
    def _younger(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.neutral is not None)

    def putting_to_sleep(self, names: Collection[str]) -> Space:
        """The space with these parameters at their neutral values, as if they did not exist.

        A session that was made before there was a parameter goes on as it did; the parameter joins
        where its domain is opened.
        """
        return replace(
            self,
            parameters=tuple(replace(p, asleep=p.name in names) for p in self.parameters),
        )

    def waking(self, names: Collection[str]) -> Space:
        """The space with these parameters awake, and those that were there from the beginning."""
        return self.putting_to_sleep({p.name for p in self._younger if p.name not in names})

    def beginning(self, defaults: Mapping[str, Scalar]) -> Space:
        """The space whose parameters are these before their level is searched, and in its
        reference.

        Raises InvalidDomain where one is no parameter, one of layers, asleep or not possible.
        """
        if not defaults:
            return self
        found: list[str] = []
        for name, value in defaults.items():
            parameter = self._by_name.get(name)
            if parameter is None or parameter.asleep or parameter.length is not None:
                found.append(f"{name} cannot begin at {spelled(value)}: it is not searched as one.")
            else:
                found += self._outside(name, value, parameter)
        if found:
            raise InvalidDomain(" ".join(found))
        begun = tuple(replace(p, default=defaults.get(p.name, p.default)) for p in self.parameters)
        reference = None if self.reference is None else {**self.reference, **defaults}
        return replace(self, parameters=begun, reference=reference)

    def laid_out(self, config: Config) -> Any:
        """What a valid configuration comes to: for a network its layers."""
        return config if self.layout is None else self.layout(config)

    def known(self, config: Config) -> dict[str, float]:
        """What a valid configuration costs by arithmetic, by the names of the measures."""
        laid = self.laid_out(config)
        return {m.name: float(m.of(laid)) for m in self.measures if m.of is not None}

    def measure(self, name: str) -> Measure:
        """The measure of this name.  Raises KeyError."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    @cached_property
    def informing(self) -> tuple[Measure, ...]:
        """The measures that a model sees."""
        return tuple(measure for measure in self.measures if measure.informs)

    def informs(self, config: Config) -> list[float]:
        """What they are of a valid configuration, in their order."""
        laid = self.laid_out(config)
        return [float(m.of(laid)) for m in self.informing if m.of is not None]

    def read(self, config: Config) -> Config:
        """A configuration as it was stored: a parameter that it does not have is at its neutral
        value.  Whatever was kept, in a session or a file, comes in through here.
        """
        missing = [p for p in self._younger if p.name not in config]
        if not missing:
            return config
        filled = dict(config)
        for parameter in missing:
            value: Any = parameter.neutral
            if parameter.length is not None:
                # what was kept may be damaged: whoever checks it then says what is wrong with it
                if not self[parameter.length].bounds.contains(filled.get(parameter.length)):
                    continue
                value = [parameter.neutral] * parameter.entries(filled)
            filled[parameter.name] = value
        return filled

    # -- configurations -------------------------------------------------------------------------

    def defaults(self) -> Config:
        """Every parameter at its default."""
        return self.resized({})

    def with_defaults_after(self, level: int, config: Config) -> Config:
        """The configuration with every later level at its defaults."""
        kept = {p.name: config[p.name] for p in self.parameters if p.level <= level}
        return self.resized(kept)

    def completed(self, given: Mapping[str, Any], base: Config) -> Config:
        """What was given, the rest as in `base`; lists that were not given fit the new lengths, and
        what is relative to something given keeps its place beside it.

        What else is wrong with the given is kept, for `problems` to name.  Raises InvalidConfig
        where a length is beyond what is possible: nothing can be fitted to it.
        """
        lengths = [self[p.length] for p in self.parameters if p.length is not None]
        wrong = {
            p.name: self._outside(p.name, given[p.name], p) for p in lengths if p.name in given
        }
        found = [sentence for sentences in wrong.values() for sentence in sentences]
        if found:
            raise InvalidConfig(found)
        whole = self.resized({**base, **{name: given[name] for name in wrong}})
        for parameter in self.awake:
            value: Any = given.get(parameter.name)
            if parameter.length is None and parameter.bounds.contains(value):
                whole = self.moved(whole, parameter.name, value)
        return {**whole, **given}

    def resized(self, config: Config) -> Config:
        """Per-layer lists trimmed or padded with defaults to their lengths; gaps filled; what is
        idle at its default.
        """
        result: Config = {}
        for parameter in self.parameters:
            value = None if parameter.asleep else config.get(parameter.name)
            default = parameter.default
            if parameter.asleep:
                assert parameter.neutral is not None
                default = parameter.neutral
            if parameter.length is None:
                idle = not parameter.counts(result)
                result[parameter.name] = default if value is None or idle else _scalar(value)
                continue
            given = list(value) if isinstance(value, list) else []
            wanted = parameter.entries(result)
            entries = (given + [default] * wanted)[:wanted]
            result[parameter.name] = parameter.settled(entries, result)
        return result

    def problems(self, config: Mapping[str, Any]) -> list[str]:
        """One sentence for everything that keeps this configuration from being built.

        What it does not have stands at its neutral value, where there is one.
        """
        config = self.read(dict(config))
        found = [
            f"{name} is no parameter of this space. Parameters: {', '.join(self._by_name)}."
            for name in config
            if name not in self._by_name
        ]
        wrong: set[str] = set()
        for parameter in self.parameters:
            # a wrong length makes its lists wrong too: say the first thing only
            if parameter.length not in wrong:
                complaint = self._complaint(parameter, config)
                found += complaint
                if complaint:
                    wrong.add(parameter.name)
        return found or self.broken(config)

    def broken(self, config: Config) -> list[str]:
        """One sentence for every rule that is broken, every parameter being in its limits."""
        return [sentence for rule in self.rules for sentence in rule(config)]

    def _complaint(self, parameter: Parameter, config: Mapping[str, Any]) -> list[str]:
        name = parameter.name
        if name not in config:
            return [f"{name} is missing. Give it a value: {parameter.bounds.text()}."]
        value = config[name]
        if parameter.asleep and not parameter.is_neutral(value):
            return [
                f"{name} is not searched in this session, which is older than it. `lcsearch set "
                f"NAME --domain {name}={parameter.domain.text()}` opens it."
            ]
        if parameter.length is None:
            return self._outside(name, value, parameter)
        length: Any = config.get(parameter.length)
        wanted = max(int(length) + parameter.offset, 0) if is_whole(length) else 0
        if not isinstance(value, list):
            return [f"{name} = {value!r}: must be a list with {wanted} entries, one a layer."]
        if len(value) != wanted:
            return [
                f"{name} has {len(value)} entries where {parameter.length} = {length} wants "
                f"{wanted}. Add or remove entries, or change {parameter.length}."
            ]
        found: list[str] = []
        for index, entry in enumerate(value):
            found += self._outside(entry_name(name, index), entry, parameter)
        return found

    @staticmethod
    def _outside(label: str, value: Any, parameter: Parameter) -> list[str]:
        if parameter.bounds.contains(value):
            return []
        return [f"{label} = {spelled(value)}: not possible. Use {parameter.bounds.text()}."]

    def validate(self, config: Mapping[str, Any]) -> Config:
        """The configuration in canonical order and types, or InvalidConfig with every problem."""
        found = self.problems(config)
        if found:
            raise InvalidConfig(found)
        result: Config = {}
        config = self.read(dict(config))
        for parameter in self.parameters:
            value = config[parameter.name]
            if isinstance(value, list):
                result[parameter.name] = [_typed(parameter, entry) for entry in value]
            else:
                result[parameter.name] = _typed(parameter, value)
        return result

    def guided(self, config: Config, level: int) -> bool:
        """Whether every parameter of the level lies where sampling would have put it."""
        for parameter in self.at_level(level):
            for index, entry in parameter.counting(config):
                if not self._element(parameter, config, index or 0).contains(entry):
                    return False
        return True

    def key(self, config: Config) -> str:
        """A short hash that two configurations share only if they are the same thing.

        A neutral value is left out: a network has the key that it had before the parameter.  So is
        what is idle.
        """
        config = self.read(config)
        thing = self.canonical(config) if self.canonical else config
        if self._younger and isinstance(thing, Mapping):
            thing = dict(self._telling(thing, config))
        text = json.dumps(thing, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _telling(self, thing: Mapping[str, Any], config: Config) -> Iterator[tuple[str, Any]]:
        """What of a thing tells it from another: nothing neutral, nothing idle."""
        for name, value in thing.items():
            parameter = self._by_name.get(name)
            if parameter is None:
                yield name, value
            elif parameter.counts(config) and not parameter.is_neutral(value):
                entries = isinstance(value, list)
                yield name, parameter.settled(value, config) if entries else value

    # -- sampling -------------------------------------------------------------------------------

    def dimensions(self, level: int, base: Config) -> int:
        """Coordinates that `decode` wants for a level."""
        return sum(self._slots(p, level, base) for p in self.at_level(level))

    def _slots(self, parameter: Parameter, level: int, base: Config) -> int:
        if parameter.length is None:
            return 1
        length = self[parameter.length]
        if level in (0, length.level):
            highest = max(length.domain.values() or [0])
            return max(int(highest) + parameter.offset, 0)
        return parameter.entries(base)

    def decode(self, unit: Sequence[float], level: int, base: Config) -> Config:
        """The configuration at a point of the unit cube, of `dimensions(level, base)` numbers.

        Walks the parameters in order, each entry guided by what came before it; the other levels
        stand at `base`, their lists trimmed or padded to the new lengths.  Guides do not see the
        later levels, so a rule may still be broken: check `problems`, or call `sample`.
        """
        return self.decoder(level, base)(unit)

    def decoder(self, level: int, base: Config) -> Callable[[Sequence[float]], Config]:
        """`decode` of one level on one base, for many points."""
        plan = [
            (parameter, parameter.name, parameter.guide, parameter.domain, place.start)
            for parameter, place in self.coordinates(level, base)
        ]

        def decoded(unit: Sequence[float]) -> Config:
            config: Config = dict(base)
            for parameter, name, guide, domain, start in plan:
                if parameter.length is None:
                    own = domain if guide is None else guide(domain, config, 0)
                    if parameter.ratios is not None:
                        own = parameter.domain_in(config)
                    config[name] = own.at(unit[start])
                    continue
                count = parameter.entries(config)
                if guide is None:
                    config[name] = [domain.at(u) for u in unit[start : start + count]]
                    continue
                entries: list[Scalar] = []
                config[name] = entries
                for index in range(count):
                    entries.append(guide(domain, config, index).at(unit[start + index]))
            return self.resized(config)

        return decoded

    def coordinates(self, level: int, base: Config) -> list[tuple[Parameter, slice]]:
        """Which coordinates of `decode` are whose; the first ones of a list are its entries'."""
        found, position = [], 0
        for parameter in self.at_level(level):
            slots = self._slots(parameter, level, base)
            found.append((parameter, slice(position, position + slots)))
            position += slots
        return found

    def _element(self, parameter: Parameter, config: Config, index: int) -> Domain:
        if parameter.guide is None:
            return parameter.domain_in(config)
        return parameter.guide(parameter.domain, config, index)

    def sample(
        self, rng: np.random.Generator, level: int = 0, base: Config | None = None
    ) -> Config:
        """A valid random configuration of a level, the others at `base` (the defaults if None).

        Raises Exhausted if a thousand draws give none.
        """
        start = self.defaults() if base is None else base
        size = self.dimensions(level, start)
        decode = self.decoder(level, start)
        for _ in range(1000):
            config = decode(rng.random(size).tolist())
            if not self.problems(config):
                return config
        raise Exhausted(
            f"No valid configuration of level {level} in 1,000 draws. Widen its domains."
        )

    def neighbours(self, config: Config, level: int) -> list[Config]:
        """The valid configurations one step away of a valid one, inside the level's domains.

        A step changes one value, scales a whole per-layer list, or takes a layer away or doubles
        one (in every list that shares its length).
        """
        found: dict[str, Config] = {}
        for candidate in self._steps(config, level):
            fitted = self.resized(candidate)
            # what is where sampling would have put it is possible: the rules alone are left
            if self.guided(fitted, level) and not self.broken(fitted):
                found.setdefault(self.key(fitted), fitted)
        found.pop(self.key(config), None)
        return list(found.values())

    def _steps(self, config: Config, level: int) -> Iterator[Config]:
        for parameter in self.at_level(level):
            if not parameter.counts(config):
                continue
            value = config[parameter.name]
            if not isinstance(value, list):
                for near in parameter.domain_in(config).near(value):
                    if not self._lists_of(parameter):
                        yield self.moved(config, parameter.name, near)
                if self._lists_of(parameter):
                    yield from self._other_lengths(parameter, config)
                continue
            for index, entry in enumerate(value):
                for near in self._element(parameter, config, index).near(entry):
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

    def moved(self, config: Config, name: str, value: Scalar) -> Config:
        """The configuration with another value of a parameter that is no list.

        What is relative to it stays where it was on its own domain; what begins to count by it
        does so within its domain.
        """
        changed: Config = {**config, name: value}
        for parameter in self.awake:
            domain = parameter.domain_in(changed)
            if isinstance(domain, Categorical) or parameter.length is not None:
                continue
            number = changed[parameter.name]
            if not parameter.depends_on(name):
                continue
            if parameter.ratio(changed) != parameter.ratio(config):
                number *= parameter.ratio(changed) / parameter.ratio(config)
                changed[parameter.name] = domain.clip(number)
            elif parameter.counts(changed) and not parameter.counts(config):
                changed[parameter.name] = domain.clip(number)
        return changed

    def _lists_of(self, length: Parameter) -> list[Parameter]:
        return [p for p in self.awake if p.length == length.name]

    def _other_lengths(self, length: Parameter, config: Config) -> Iterator[Config]:
        count = int(config[length.name])
        lists = self._lists_of(length)
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

    # -- encoding -------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of `encode`, in its order."""
        found: list[Column] = []
        for parameter in self.awake:
            scale = parameter.scale
            choices = len(scale.choices) if isinstance(scale, Categorical) else 0
            absent = isinstance(scale, Real) and scale.zero
            if parameter.length is None:
                idle = parameter.when is not None and not self[parameter.when[0]].asleep
                found.append(Column(parameter.name, None, parameter.level, choices, absent or idle))
                continue
            length = self[parameter.length]
            lowest = int(min(length.bounds.values() or [0])) + parameter.offset
            highest = int(max(length.bounds.values() or [0])) + parameter.offset
            found += [
                Column(parameter.name, i, parameter.level, choices, absent or i >= lowest)
                for i in range(highest)
            ]
        return tuple(found)

    def encode(self, config: Config) -> Array:
        """Shape (len(columns),): numbers on [0, 1], categories by index, NaN where absent or idle.

        What is beyond the frame is beyond those: a widened ordered category has no whole index.
        """
        row = np.full(len(self.columns), np.nan)
        for position, column in enumerate(self.columns):
            parameter, value = self[column.parameter], config[column.parameter]
            if column.index is None:
                row[position] = self._unit(parameter, config)
            elif column.index < len(value) and parameter.counts(config, column.index):
                row[position] = parameter.scale.unit(value[column.index])
        return row

    def encode_all(self, configs: Sequence[Config]) -> Array:
        """`encode` of many configurations at once, shape (len(configs), len(columns))."""
        rows = np.full((len(configs), len(self.columns)), np.nan)
        position = 0
        for parameter in self.awake:
            unit = _remembered(parameter.scale)
            name = parameter.name
            if parameter.length is None:
                if parameter.when is None and parameter.ratios is None:
                    rows[:, position] = [unit(config[name]) for config in configs]
                else:
                    rows[:, position] = [self._unit(parameter, config) for config in configs]
                position += 1
                continue
            width = sum(1 for column in self.columns if column.parameter == name)
            units = [[unit(entry) for entry in config[name][:width]] for config in configs]
            lengths = np.array([len(entries) for entries in units])
            present = np.arange(width) < lengths[:, None]
            rows[:, position : position + width][present] = [u for row in units for u in row]
            if parameter.when is not None and not self[parameter.when[0]].asleep:
                for row, config in zip(rows, configs, strict=True):
                    for index in range(min(len(config[name]), width)):
                        if not parameter.counts(config, index):
                            row[position + index] = np.nan
            position += width
        return rows

    @staticmethod
    def _unit(parameter: Parameter, config: Config) -> float:
        """Where the value of a parameter stands on its scale; NaN where it is idle."""
        if not parameter.counts(config):
            return math.nan
        value = _scalar(config[parameter.name])
        return parameter.scale.unit(parameter.relative(value, config))

    # -- domains --------------------------------------------------------------------------------

    def narrowed(self, domains: Mapping[str, str]) -> Space:
        """The space with other domains, as text: `2..6`, `3,5`, `0,1e-5..1e-2` or one value.

        Raises InvalidDomain with the parameter, the value and what would do.
        """
        unknown = [name for name in domains if name not in self]
        if unknown:
            raise InvalidDomain(
                f"{unknown[0]} is no parameter of this space. "
                f"Parameters: {', '.join(p.name for p in self.parameters)}."
            )
        return replace(
            self,
            parameters=tuple(
                replace(p, domain=parse_domain(p, domains[p.name]), asleep=False)
                if p.name in domains
                else p
                for p in self.parameters
            ),
        )


def parse_domain(parameter: Parameter, text: str) -> Domain:
    """Read a domain of a parameter: `low..high`, one value, or values with commas.

    Raises InvalidDomain if it is empty, reversed, beyond the limits or not readable.
    """
    label = f"{parameter.name} = {text.strip() or '(nothing)'}"
    limits, domain = parameter.bounds, parameter.domain
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InvalidDomain(f"{label}: the domain is empty. Use for example {domain.text()}.")
    if isinstance(domain, Categorical):
        return _parse_choices(label, words, parameter)
    zero = False
    if isinstance(domain, Real) and domain.zero and len(words) == 2 and read_number(words[0]) == 0:
        zero = True
        words = words[1:]
    if len(words) != 1:
        raise InvalidDomain(f"{label}: not a range. Use low..high, for example {domain.text()}.")
    ends = words[0].split("..")
    numbers = [read_number(end) for end in ends]
    if len(ends) > 2 or any(number is None for number in numbers):
        raise InvalidDomain(f"{label}: not a range. Use low..high, for example {domain.text()}.")
    low, high = float(ends[0]), float(ends[-1])
    if low > high:
        raise InvalidDomain(f"{label}: reversed. Use {ends[-1].strip()}..{ends[0].strip()}.")
    if not (limits.contains(exactly(low)) and limits.contains(exactly(high))):
        raise InvalidDomain(f"{label}: beyond what is possible. Use values in {limits.text()}.")
    if isinstance(domain, Integer):
        step = domain.step if low % domain.step == 0 else 1
        return replace(domain, low=int(low), high=int(high), step=step)
    if domain.log and low == 0:
        if high == 0 and domain.zero:
            return Real(0.0, 0.0)
        raise InvalidDomain(
            f"{label}: a logarithmic scale has no 0. Use a low end above 0"
            + (f", or 0,low..high: {domain.text()}." if domain.zero else f": {domain.text()}.")
        )
    return replace(domain, low=low, high=high, zero=zero)


def _parse_choices(label: str, words: list[str], parameter: Parameter) -> Categorical:
    limits, domain = parameter.bounds, parameter.domain
    assert isinstance(domain, Categorical)
    chosen: list[Scalar] = []
    for word in words:
        choice: Scalar | None = {"yes": True, "true": True, "no": False, "false": False}.get(
            word.lower()
        )
        if choice is None:
            number = read_number(word)
            choice = word if number is None else exactly(number)
        if not limits.contains(choice):
            raise InvalidDomain(f"{label}: {word} is not possible. Use {limits.text()}.")
        if choice not in chosen:
            chosen.append(choice)
    return replace(domain, choices=tuple(chosen))


def _remembered(scale: Domain) -> Callable[[Scalar], float]:
    """`scale.unit`, worked out once a value; a boolean is another value than 0 or 1."""
    seen: dict[tuple[type, Scalar], float] = {}

    def unit(value: Scalar) -> float:
        key = (value.__class__, value)
        found = seen.get(key)
        if found is None:
            found = seen[key] = scale.unit(value)
        return found

    return unit


def _scalar(value: Scalar | list[Scalar]) -> Scalar:
    assert not isinstance(value, list)
    return value


def _typed(parameter: Parameter, value: Any) -> Scalar:
    if isinstance(parameter.domain, Integer):
        return int(value)
    if isinstance(parameter.domain, Real):
        return float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    assert isinstance(value, bool | int | float | str)
    return value
