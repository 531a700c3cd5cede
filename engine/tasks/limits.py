"""Limits: what a network may cost at most, and how good it must be, as people write them.

A limit on a cost is kept as the most it may be in the unit of its measure (`params<=50k`); one on
what is searched for as the least share (`accuracy>=90` is 0.9).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from ...sessions.choices import METRICS
from ...sessions.errors import Misuse
from .measure import Measure

_FORM = re.compile(
    r"\s*([A-Za-z][\w-]*)\s*(<=|>=|≤|≥|<|>|=)\s*([+-]?(?:\d{1,3}(?:,\d{3})+|[\d_]*)(?:\.?\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-z%µμ]*)\s*"
)
EXAMPLES = "params<=50k or accuracy>=90"
TIMES = "x"
"""The unit of a limit that is so many times the reference's cost."""


def read_limit(
    text: str, measures: Sequence[Measure], metric: str, reference: Mapping[str, float]
) -> tuple[str, float]:
    """What a limit is on, and its value as it is kept: `params<=50k` is ("params", 50000.0).

    metric: what the session searches for.  reference: what the reference network costs, by the
    measures that arithmetic knows, for `macs<=2x`.  Raises Misuse.
    """
    label = f"limit {text.strip() or '(nothing)'}"
    form = _FORM.fullmatch(text)
    if form is None and re.search(r"\d,\d|,\d+\s*[A-Za-z%]*$", text):
        raise Misuse(f"{label}: not readable. A comma sets thousands apart; use a point: 1.5.")
    if form is None or not form[3].strip("+-"):
        raise Misuse(f"{label}: not readable. Use for example {EXAMPLES}.")
    name, sign, digits, unit = form.groups()
    name = name.lower()
    number = float(digits.replace(",", "").replace("_", ""))
    if name in METRICS:
        return name, _read_least(label, name, sign, number, unit, metric)
    measure = next((m for m in measures if m.name == name), None)
    if measure is None:
        known = ", ".join([*(m.name for m in measures), metric])
        raise Misuse(f"{label}: there is no cost called {name}. Use {known}.")
    if sign not in ("<=", "≤"):
        raise Misuse(f"{label}: a cost is limited from above. Use {name}<={digits}{unit}.")
    value = number * _factor(label, measure, unit, reference)
    if not 0 < value < math.inf:
        raise Misuse(f"{label}: not usable. Use a number above 0.")
    return name, value


def _read_least(label: str, name: str, sign: str, number: float, unit: str, metric: str) -> float:
    if name != metric:
        raise Misuse(
            f"{label}: this session searches for {metric}. Use {metric}>={number:g}{unit}."
        )
    if sign not in (">=", "≥"):
        raise Misuse(f"{label}: {name} is limited from below. Use {name}>={number:g}{unit}.")
    if unit not in ("", "%"):
        raise Misuse(f"{label}: {unit} is no unit of {name}. Use % or nothing: {name}>=90.")
    # a share below 1 is written as such: nobody wants 0.9 % right
    share = number / 100 if unit or number > 1 else number
    if not 0 < share < 1:
        raise Misuse(f"{label}: not possible. Use more than 0 and less than 100 %.")
    return share


def _factor(label: str, measure: Measure, unit: str, reference: Mapping[str, float]) -> float:
    if not unit:
        return 1.0
    if unit.lower() == TIMES and measure.name in reference:
        return reference[measure.name]
    unit = unit.replace("µ", "u").replace("μ", "u")
    for known, factor in measure.units.items():
        if unit.lower() == known.lower():
            return factor
    usable = [*measure.units, *([TIMES] if measure.name in reference else [])]
    which = f"Use {', '.join(usable)} or nothing." if usable else "Leave it out."
    raise Misuse(f"{label}: {unit} is no unit of {measure.title}. {which}")


def spelled_value(value: float, units: Mapping[str, float]) -> str:
    """A number with the unit that writes it shortest: `50k`, `64KiB`, `1.25M`."""
    own = next((unit for unit, factor in units.items() if factor == 1), "")
    best = f"{value:.10g}{own}"
    for unit, factor in units.items():
        written = f"{value / factor:.10g}"
        # bytes are told in units: 64KiB rather than 65536
        if len(written) < len(best.rstrip("".join(units))) and "e" not in written:
            best = f"{written}{unit}"
    return best


def spelled_limit(name: str, value: float, measures: Sequence[Measure]) -> str:
    """A limit as a person writes it: `params<=50k`, `accuracy>=90%`."""
    if name in METRICS:
        return f"{name}>={100 * value:.10g}%"
    units = next((m.units for m in measures if m.name == name), {})
    return f"{name}<={spelled_value(value, units)}"
