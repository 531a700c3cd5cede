"""How the cost of a network is drawn, named and written: one rule a measure, for every screen.

f_c is a ratio: what a network costs over what the reference network costs.  Parameters and MACs
are exact, so a network's own number says the same, and is what people know.  Seconds are not: a
busy machine is slow for both networks, and only their ratio, timed in the same moments, compares.
So f_c itself is drawn, and seconds that are believed are f_c times one number of the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import format as words

if TYPE_CHECKING:
    from ..sessions.records import Measure, Prediction, Trial
    from ..sessions.snapshot import Snapshot


@dataclass(frozen=True)
class Cost:
    """How one session's costs are shown.

    scale: what f_c = 1 is on an axis.  axis, short: the axis' name, and where there is no room.
    reference: seconds of an epoch of the session's reference; None before any was measured.
    """

    measure: Measure
    scale: float
    axis: str
    short: str
    reference: float | None

    def drawn(self, trial: Trial) -> float:
        """Where a measured trial stands on the axis."""
        return (trial.complexity or 0.0) * self.scale

    def heading(self, ratio: bool = False) -> str:
        """The heading of a table's column.  ratio: of one that shows f_c of trials by seconds."""
        return "f_c" if ratio and self.measure == "seconds" else words.MEASURE_WORDS[self.measure]

    def of_trial(self, trial: Trial, ratio: bool = False) -> str:
        """A trial's parameters or MACs; its seconds per epoch as measured, or its f_c."""
        if self.measure != "seconds":
            return words.big(float(trial.params if self.measure == "params" else trial.macs))
        text = words.f_value(trial.complexity) if ratio else words.seconds(trial.seconds_per_epoch)
        return ("~" if trial.disturbed else "") + text

    def of_candidate(self, belief: Prediction | None, known: Mapping[str, float]) -> str:
        """What a network is believed to cost: parameters, MACs, or seconds of an epoch.

        known: `params` and `macs` of the network.  Before the reference was measured, f_c itself
        (`×1.20` of the reference).
        """
        if self.measure != "seconds":
            return words.big(known.get(self.measure))
        if belief is None:
            return words.DASH
        if self.reference is None:
            return words.times(belief.complexity)
        return words.seconds(belief.complexity * self.reference)


def cost_of(snapshot: Snapshot) -> Cost:
    """How this session's costs are shown."""
    measure = snapshot.session.measure
    seconds = session_seconds(snapshot.trials)
    if measure != "seconds":
        first = snapshot.trials[0] if snapshot.trials else None
        size = 0 if first is None else first.params if measure == "params" else first.macs
        name = "thousand parameters" if measure == "params" else "million MACs"
        return Cost(measure, size / (1e3 if measure == "params" else 1e6), name, name, seconds)
    if seconds is None:
        name = "f_c (1 = the reference network)"
        return Cost(measure, 1.0, name, name, None)
    took = words.seconds(seconds)
    return Cost(
        measure,
        1.0,
        f"f_c (1 = the reference network, {took} s per epoch)",
        f"f_c (1 = reference, {took} s/ep)",
        seconds,
    )


def session_seconds(trials: Iterable[Trial]) -> float | None:
    """Seconds of an epoch of the session's reference network, as trial 0 measured them.

    Until that has ended, what was timed beside the first trial that has.
    """
    for trial in trials:
        seconds = trial.seconds_per_epoch if trial.level == 0 else trial.reference_seconds
        if seconds is not None:
            return seconds
    return None
