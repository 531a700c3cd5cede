"""The filter of trials: what a person types, read into terms that a trial passes or does not.

`acc>85 params<50k kernel[2]=5 k335`: terms with spaces between them, all of which must hold.
A term compares a figure or a parameter with a value, or is a word that must stand somewhere in
what there is to say of the trial, its configuration above all.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from ..engine.search.standing import objective, predicted_now
from ..engine.tasks.domains import Categorical
from ..engine.tasks.parameter import Parameter, entry_name
from ..engine.tasks.space import Space
from ..sessions.errors import Misuse
from ..sessions.records import Session, Trial, TrialState
from . import format as words
from .cost import short
from .networks import whole_lines

if TYPE_CHECKING:
    from ..engine.tasks.measure import Measure
    from ..sessions.snapshot import Snapshot

EXAMPLE = "acc>85 params<50k kernel[2]=5 k335"
STATES: tuple[str, ...] = get_args(TrialState)
DECIDERS = ("person", "autopilot", "reference")
"""Whose a trial is: a person's, the autopilot's; the reference is nobody's."""

FIGURES: Mapping[str, Callable[[Trial, Session], float | None]] = {
    "trial": lambda trial, session: trial.number,
    "level": lambda trial, session: trial.level,
    "f": lambda trial, session: objective(trial, session.wc),
    "f_p": lambda trial, session: trial.error,
    "f_c": lambda trial, session: trial.complexity,
    "acc": lambda trial, session: None if trial.error is None else 100 * (1 - trial.error),
    "μ": lambda trial, session: mean(trial, session),
    "epochs": lambda trial, session: len(trial.epochs),
}
"""Numbers of a trial as its session weighs them, by the names that the console gives them;
measures beside."""
WORDS: Mapping[str, tuple[tuple[str, ...], Callable[[Trial], str]]] = {
    "state": (STATES, lambda trial: trial.state),
    "by": (DECIDERS, lambda trial: decider(trial)),
}
"""What is one of a few words: which there are, and that of a trial."""
PERCENT = "acc"
"""Given in per cent as it is: 85, or 85%.  Whatever the session's metric is, it is 1 - f_p."""
ALIASES = {
    "mu": "μ",
    **{
        word.lower(): PERCENT
        for metric, called in words.METRICS.items()
        for word in (metric, called.heading)
    },
}
BITS = {"yes": True, "true": True, "no": False, "false": False}

_TERM = re.compile(r"([^\s<>=!\[\]]*)(?:\[([^\]\s]*)\])?(<=|>=|!=|<|>|=)(.*)")
_SPACED = re.compile(r"\s*(<=|>=|!=|<|>|=)\s*")
_NUMBER = re.compile(r"([+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)([kmg%]?)", re.IGNORECASE)
_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "%": 1e-2}


class BadFilter(Misuse):
    """A filter that cannot be read: which term, and what would do."""


def mean(trial: Trial, session: Session) -> float | None:
    """μ as it stands beside f: what was predicted of a trial; None if nothing of this f."""
    now = None if trial.prediction is None else predicted_now(session, trial.prediction)
    return None if now is None else now.mean


@dataclass(frozen=True)
class Seen:
    """A trial as a filter sees it.  measures: of its task.  reasons: given with the decisions."""

    trial: Trial
    session: Session
    measures: Sequence[Measure]
    reasons: Sequence[str] = ()

    @cached_property
    def told(self) -> str:
        """All that there is to say of it, small letters; the configuration whole."""
        trial = self.trial
        said = [
            str(trial.number),
            *whole_lines(trial.config),
            trial.state,
            decider(trial),
            words.SOURCE_WORDS[trial.source],
            words.f_measured(objective(trial, self.session.wc)),
            words.f_value(mean(trial, self.session)),
            words.percent(None if trial.error is None else 1 - trial.error),
            *(short(m, trial.costs.get(m.name)) for m in self.measures if not m.exact),
            *self.reasons,
            *trial.disturbed,
        ]
        if trial.disturbed:
            said.append("disturbed")
        if trial.failure is not None:
            said += [trial.failure.kind, trial.failure.message]
        return "\n".join(said).lower()


Term = Callable[[Seen], bool]


@dataclass(frozen=True)
class Filter:
    """Terms that must all hold; every trial passes where there is none.  text: as it was typed."""

    text: str = ""
    terms: tuple[Term, ...] = field(default=(), compare=False)
    measures: tuple[Measure, ...] = ()

    def passes(self, trial: Trial, session: Session, reasons: Sequence[str] = ()) -> bool:
        """Whether all terms hold for a trial of the session."""
        seen = Seen(trial, session, self.measures, reasons)
        return all(term(seen) for term in self.terms)

    def matching(self, snapshot: Snapshot) -> list[Trial]:
        """The trials of a session that pass, in its order."""
        reasons = reasons_of(snapshot)
        session = snapshot.session
        return [t for t in snapshot.standing if self.passes(t, session, reasons.get(t.number, ()))]


def reasons_of(snapshot: Snapshot) -> dict[int, list[str]]:
    """The reasons that were given with the decisions on each trial."""
    found: dict[int, list[str]] = {}
    for decision in snapshot.decisions:
        if decision.trial is not None and decision.reason:
            found.setdefault(decision.trial, []).append(decision.reason)
    return found


def decider(trial: Trial) -> str:
    """Who decided on a trial: one of DECIDERS."""
    return trial.source if trial.source in ("autopilot", "reference") else "person"


def parse(text: str, space: Space) -> Filter:
    """Read a filter over the trials of a space.

    A term is NAME OP VALUE or a word.  OP is < <= > >= = or !=; NAME a figure (f, acc, params …),
    `state`, `by` or a parameter, whose layer may follow, counted from 1: `kernel[2]`.  Without it
    a parameter that has an entry a layer matches if any layer does; != says that none has the
    value.  VALUE may end in k, M, G or %.  What a trial does not have matches nothing.  Raises
    BadFilter, which says what is wrong with the first term that is.
    """
    terms = tuple(_term(term, space) for term in _terms(text))
    return Filter(text.strip(), terms, space.measures)


def begun(text: str, space: Space) -> Filter:
    """What holds while a filter is typed: all of it, or all but a last term that is not finished.

    Raises BadFilter where a term before the last one is wrong.
    """
    if not unfinished(text, space):
        try:
            return parse(text, space)
        except BadFilter:
            pass
    return parse(" ".join(_terms(text)[:-1]), space)


def unfinished(text: str, space: Space) -> str:
    """What to add where the last word is a name that could compare; nothing where it is not."""
    last = (_terms(text)[-1:] or [""])[0]
    name = _plain(last.partition("[")[0], space)
    if name not in _names(space) or _TERM.fullmatch(last):
        return ""
    return _against_what(last, name, space)


def _terms(text: str) -> list[str]:
    return _SPACED.sub(r"\1", text).split()


def _term(term: str, space: Space) -> Term:
    found = _TERM.fullmatch(term)
    if found is None:
        word = term.lower()
        return lambda seen: word in seen.told
    written, layer, operator, value = found.groups()
    name = _plain(written, space)
    costs, own = _costs(space), _own(space)
    if name not in own and name not in space:
        raise BadFilter(_unknown(term, written, space))
    if layer is not None and (name in own or space[name].length is None):
        raise BadFilter(f"{term}: {name} has one value, not one a layer. Write {name}{operator}….")
    if not value:
        raise BadFilter(_against_what(term, name, space))
    if name in WORDS:
        choices, word_of = WORDS[name]
        return _of_words(term, operator, value, choices, lambda seen: [word_of(seen.trial)])
    if name in costs:
        measure = costs[name].name
        limit = _number(term, value)
        return _of_numbers(operator, limit, lambda seen: [seen.trial.costs.get(measure)])
    if name in FIGURES:
        figure = FIGURES[name]
        limit = _number(term, value, 1.0 if name == PERCENT else _SUFFIXES["%"])
        return _of_numbers(operator, limit, lambda seen: [figure(seen.trial, seen.session)])
    return _of_parameter(term, space[name], layer, operator, value, space)


def _of_parameter(
    term: str, parameter: Parameter, layer: str | None, operator: str, value: str, space: Space
) -> Term:
    index = None if layer is None else _index(term, parameter, layer, space)

    def entries(seen: Seen) -> list[Any]:
        found = seen.trial.config.get(parameter.name, [])
        if not isinstance(found, list):
            return [found]
        return found if index is None else found[index : index + 1]

    domain = parameter.bounds
    if isinstance(domain, Categorical) and domain.wordy:
        choices = tuple(words.number(choice) for choice in domain)
        given = words.number(BITS.get(value.lower(), value))
        return _of_words(
            term, operator, given, choices, lambda seen: [words.number(e) for e in entries(seen)]
        )
    return _of_numbers(operator, _number(term, value), entries)


def _index(term: str, parameter: Parameter, layer: str, space: Space) -> int:
    assert parameter.length is not None
    most = int(max(space[parameter.length].bounds.values() or [1])) + parameter.offset
    if not layer.isdecimal() or not 1 <= int(layer) <= most:
        raise BadFilter(
            f"{term}: {layer or 'nothing'} is no layer. They are counted from 1: "
            f"{entry_name(parameter.name, 0)} to {entry_name(parameter.name, most - 1)}."
        )
    return int(layer) - 1


def _of_words(
    term: str,
    operator: str,
    value: str,
    choices: Sequence[str],
    of: Callable[[Seen], Sequence[str]],
) -> Term:
    fitting = [c for c in choices if c == value.lower()] or [
        c for c in choices if c.startswith(value.lower())
    ]
    if operator not in ("=", "!="):
        raise BadFilter(f"{term}: words have no order. Use = or !=.")
    if len(fitting) != 1:
        raise BadFilter(f"{term}: {value} is not one of {', '.join(choices)}.")
    wanted = fitting[0]
    if operator == "=":
        return lambda seen: wanted in of(seen)
    return lambda seen: bool(of(seen)) and wanted not in of(seen)


def _of_numbers(operator: str, limit: float, of: Callable[[Seen], Sequence[Any]]) -> Term:
    holds = _HOLDS[operator]

    def passes(seen: Seen) -> bool:
        # what is not known yet passes nothing, != included
        found = [value for value in of(seen) if _is_number(value)]
        if operator == "!=":
            return bool(found) and all(holds(value, limit) for value in found)
        return any(holds(value, limit) for value in found)

    return passes


def _same(value: float, limit: float) -> bool:
    return math.isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12)


_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda value, limit: value < limit and not _same(value, limit),
    "<=": lambda value, limit: value < limit or _same(value, limit),
    ">": lambda value, limit: value > limit and not _same(value, limit),
    ">=": lambda value, limit: value > limit or _same(value, limit),
    "=": _same,
    "!=": lambda value, limit: not _same(value, limit),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(term: str, text: str, percent: float = _SUFFIXES["%"]) -> float:
    found = _NUMBER.fullmatch(text)
    number = float(found[1].replace(",", "")) if found else math.inf
    if found is None or not math.isfinite(number):
        raise BadFilter(f"{term}: {text} is no number. Write for example 50k, 1.5M, 20% or 1e-3.")
    suffix = found[2].lower()
    return number * (percent if suffix == "%" else _SUFFIXES[suffix])


def _costs(space: Space) -> dict[str, Measure]:
    """The measures by the names that columns give them."""
    return {measure.heading.lower(): measure for measure in space.measures}


def figure_names(measures: Sequence[Measure]) -> tuple[str, ...]:
    """The figures of a trial that a filter compares, in their order; the count of epochs last."""
    *first, last = FIGURES
    return (*first, *(measure.heading.lower() for measure in measures), last)


def _own(space: Space) -> tuple[str, ...]:
    """What compares besides the parameters."""
    return (*figure_names(space.measures), *WORDS)


def _aliases(space: Space) -> dict[str, str]:
    return {**{m.name: heading for heading, m in _costs(space).items()}, **ALIASES}


def _plain(written: str, space: Space) -> str:
    """A name as it is known here, by whichever it was written."""
    return _aliases(space).get(written.lower(), written.lower())


def _names(space: Space) -> Iterator[str]:
    yield from _own(space)
    yield from (parameter.name for parameter in space.parameters)


def _unknown(term: str, written: str, space: Space) -> str:
    names = list(_names(space))
    near = difflib.get_close_matches(written.lower(), [*names, *_aliases(space)], n=1)
    if near:
        return f"{term}: there is no {written}. Is it {near[0]}?"
    return f"{term}: there is no {written or 'name before it'}. Names: {' '.join(names)}."


def _against_what(term: str, name: str, space: Space) -> str:
    return f"{term}: held against what? Write for example {_example(name, space)}."


def _example(name: str, space: Space) -> str:
    if name in WORDS:
        return f"{name}={WORDS[name][0][0]}"
    if name in _costs(space):
        return f"{name}{_AGAINST[_costs(space)[name].number]}"
    if name in FIGURES:
        return f"{name}{_EXAMPLES.get(name, '<1')}"
    return f"{name}={words.number(space[name].default)}"


_AGAINST = {"count": "<50k", "big": "<=5M", "seconds": "<1", "bytes": "<=64k"}
_EXAMPLES = {PERCENT: ">85", "trial": ">9", "level": "=2"}
