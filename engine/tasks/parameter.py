"""Parameters: one value, or a list with one entry a layer; how their domains are typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...sessions.records import Config, Scalar
from .domains import Categorical, Domain, Integer, InvalidDomain, Real, exactly, read_number

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
    paces: how good a configuration is halfway through its training depends on it, and says nothing
    beside one that has another value.
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
    paces: bool = False

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
