"""Search spaces: parameters on levels, per-layer lists, and the rules between them.

A space knows nothing about networks.  A configuration is a plain dictionary; its parameters have
a *domain* (what a search samples), *limits* (what can be asked for at all) and a *frame* (the
domain as it was defined, which scales the encoding, so that narrowing a domain moves no point).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...sessions.records import Config, Scalar
from .domains import Categorical, Domain, Integer, InvalidDomain, Real, is_whole, spelled
from .encoding import Encoding
from .measure import Measure
from .parameter import Parameter, entry_name, parse_domain


class InvalidConfig(ValueError):
    """A configuration that cannot be built; one sentence a problem in `problems`."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Exhausted(RuntimeError):
    """No valid configuration was found by sampling."""


Rule = Callable[[Config], Sequence[str]]
"""A configuration with every parameter in its limits -> one sentence a problem."""


@dataclass(frozen=True)
class Space:
    """The parameters in order, level by level, and what holds between them.

    canonical: what two configurations share if they are the same thing (the identity if None).
    layout: what arithmetic works on, laid out of a configuration (that itself if None).  measures:
    what a configuration costs.  proposable: whether one may be proposed at all (a cost cap, say).
    work: what its seconds are made of, so much of each of `kinds` (see `cnn.work`);
    work_beside: the reference's, as it is timed beside them.  traits: what
    of it carries over to other data, by `trait_names` (see `cnn.traits`).
    """

    levels: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    rules: tuple[Rule, ...] = ()
    canonical: Callable[[Config], object] | None = None
    layout: Callable[[Config], Any] | None = None
    measures: tuple[Measure, ...] = ()
    proposable: Callable[[Config], bool] | None = None
    reference: Config | None = None
    work: Callable[[Config], Sequence[float]] | None = None
    work_beside: tuple[float, ...] = ()
    kinds: tuple[str, ...] = ()
    traits: Callable[[Config], Sequence[float]] | None = None
    trait_names: tuple[str, ...] = ()
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
    def encoding(self) -> Encoding:
        """Its configurations as rows of numbers."""
        return Encoding(self.parameters)

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
            why = "this space has no such parameter"
            if parameter is not None:
                why = "has a value a layer" if parameter.length is not None else "is not searched"
            if parameter is None or parameter.asleep or parameter.length is not None:
                found.append(f"{name} cannot begin at {spelled(value)}: {why}.")
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
                if not self.allowed(parameter, config, index or 0).contains(entry):
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

    def allowed(self, parameter: Parameter, config: Config, index: int) -> Domain:
        """The values that sampling may give an entry, 0 the first, by what comes before it."""
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

    def check_ratios(self, changed: Collection[str] | None = None) -> None:
        """Raises InvalidDomain where a choice leaves nothing of a domain that is relative to it.

        changed: parameters whose domains are new; None: all.  Apart from `narrowed`: a session
        that was made with such domains still opens.
        """
        for parameter in self.awake:
            if parameter.ratios is None or self[parameter.ratios[0]].asleep:
                continue
            if changed is None or {parameter.name, parameter.ratios[0]} & {*changed}:
                self._check_ratio(parameter, self[parameter.ratios[0]])

    @staticmethod
    def _check_ratio(parameter: Parameter, by: Parameter) -> None:
        domain, limits = parameter.domain, parameter.bounds
        assert isinstance(by.domain, Categorical)
        assert isinstance(domain, Real)
        for choice in by.domain.choices:
            ratio = parameter.ratio({by.name: choice})
            if not limits.contains(domain.low * ratio):
                raise InvalidDomain(
                    f"{parameter.name} = {domain.text()}: with {by.name} {spelled(choice)} it is "
                    f"{ratio:g} times as much, beyond what is possible ({limits.text()}). Use "
                    f"lower values, or leave {spelled(choice)} out of {by.name}."
                )


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
