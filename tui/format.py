"""Words and numbers that the console and the commands share; no terminal library, only text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..sessions.choices import COST_ALONE

if TYPE_CHECKING:
    from ..engine.advisor.ranking import Place, Proposal
    from ..engine.objective import Predicted
    from ..engine.search.limits import Broken
    from ..engine.search.scorecard import Outcome, Override
    from ..engine.search.standing import Recommendation
    from ..sessions.choices import Metric
    from ..sessions.records import Decision, Machine, Session, Trial
    from ..sessions.snapshot import EngineStatus, Snapshot


FOLD = "    "
"""Before what is left of a line that was folded."""
DASH = "–"
"""Stands for a number that is not known (yet)."""
LEVEL_MARKS = "0①②③④⑤⑥⑦⑧⑨"
FLAT_MARK = "◉"
"""Of the one level that searches all parameters."""
LEVEL_TITLES = {"all": "All parameters"}
"""Of levels whose name alone says too little."""
STATE_MARKS = {
    "queued": "◌",
    "running": "▶",
    "paused": "‖",
    "interrupted": "↺",
    "done": "✓",
    "failed": "✗",
    "stopped": "■",
    "cancelled": "∅",
}
SOURCE_WORDS = {
    "reference": "reference",
    "advisor": "advisor",
    "edited": "you, edited",
    "manual": "you",
    "autopilot": "autopilot",
}


@dataclass(frozen=True)
class MetricWords:
    """What is searched for, as it is called.

    title: `accuracy`; validated: on the validation images; short: 9 letters at most; heading: of a
    column of 4; val: before its value in a line of figures.
    """

    title: str
    validated: str
    short: str
    heading: str
    val: str


METRICS: Mapping[Metric, MetricWords] = {
    "accuracy": MetricWords("accuracy", "validation accuracy", "accuracy", "acc", "val"),
    "balanced": MetricWords(
        "balanced accuracy", "validation balanced accuracy", "balanced", "bal", "balanced"
    ),
    "macro-f1": MetricWords("macro-F1", "validation macro-F1", "macro-F1", "F1", "macro-F1"),
}


def metric(session: Session) -> MetricWords:
    """The words for what this session searches for."""
    return METRICS[session.metric]


def judged(session: Session) -> str:
    """`macro-F1, classes weighted in the loss`; nothing where it is the accuracy, unweighted."""
    weighted = session.class_weights == "balanced"
    if session.metric == "accuracy" and not weighted:
        return ""
    return metric(session).title + ", classes weighted in the loss" * weighted


def _fitting(value: float, digits: int, width: int) -> str:
    """With so many digits after the point; fewer, then an exponent, where it would be too wide."""
    for fewer in range(digits, -1, -1):
        text = f"{value:.{fewer}f}"
        if len(text) <= width:
            return text
    return improvement(value)


def f_value(value: float | None) -> str:
    """An objective or its mean: three digits after the point, five characters at most."""
    return DASH if value is None else _fitting(value, 3, 5)


def f_measured(value: float | None) -> str:
    """A measured objective: four digits, because it is known that well; at most six characters."""
    return DASH if value is None else _fitting(value, 4, 6)


def belief(mean: float, std: float) -> str:
    """A belief about f: `0.151 ± 0.012`."""
    return f"{f_value(mean)} ± {f_value(std)}"


def times(ratio: float) -> str:
    """So many times the reference's cost: `×1.20`, five characters at most."""
    return f"×{_fitting(ratio, 2, 4)}"


def improvement(value: float | None) -> str:
    """An expected improvement: two digits and a short exponent, `3.9e-3`; one where it is tiny."""
    if value is None or math.isnan(value):
        return DASH
    if value == 0 or abs(value) < 1e-99:
        return "0"
    mantissa, exponent = f"{value:.{1 if abs(value) > 1e-9 else 0}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def signed(value: float) -> str:
    """A signed term of EI, with a true minus."""
    return ("−" if value < 0 else "+") + improvement(abs(value))


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as percent, without the sign: `90.9`; all of it is `100`."""
    if share is None:
        return DASH
    text = f"{100 * share:.{digits}f}"
    return "100" if text.startswith("100.") else text


def seconds(value: float | None) -> str:
    """Seconds of an epoch: two significant digits below ten, then whole; five characters."""
    if value is None:
        return DASH
    if value >= 100:
        return _fitting(value, 0, 5)
    if value >= 1:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def count(value: float | None) -> str:
    """A whole number with thousands set apart."""
    return DASH if value is None else f"{value:,.0f}"


def big(value: float | None) -> str:
    """A large number in three digits: `5.2 M`; six characters at most, `68.8 M`."""
    if value is None:
        return DASH
    if value < 999.5:
        return f"{value:.0f}"
    for power, letter in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        scaled = value / power
        if scaled < 99.95:
            return f"{scaled:.1f} {letter}"
        if scaled < 999.5:
            return f"{scaled:.0f} {letter}"
    return improvement(value)


def memory(value: float | None, digits: int = 3) -> str:
    """Bytes in decimal units: `940 B`, `64.2 KB`, `1.35 MB`; with two digits `64 KB`, `1.4 MB`."""
    if value is None:
        return DASH
    if value < 999.5:
        return f"{value:.0f} B"
    for power, unit in ((1e3, "KB"), (1e6, "MB"), (1e9, "GB")):
        scaled = value / power
        if scaled < 999.5:
            return f"{scaled:.{max(0, digits - len(str(int(scaled))))}f} {unit}"
    return f"{improvement(value)} B"


def size(value: float) -> str:
    """A whole number where seven characters are enough for it, else three digits of it."""
    return count(value) if value < 1e6 else big(value)


def number(value: Any) -> str:
    """A parameter's value as a person types it: `yes`, `0.0044`, `pool`, `16`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.4g}"
        mantissa, found, exponent = text.partition("e")
        return f"{mantissa}e{int(exponent)}" if found else text
    return str(value)


def formula(wc: float) -> str:
    """What is minimised: `f_p + 0.10 · f_c`, `f_c`."""
    return "f_c" if wc == COST_ALONE else f"f_p + {weight(wc)} · f_c"


def weight(value: float) -> str:
    """A w_c: two digits after the point, more only where they matter; ∞ for the cost alone."""
    if value == COST_ALONE:
        return "∞"
    return f"{value:.2f}" if round(value, 2) == value else f"{value:g}"


FEW_SECONDS = 5.0
"""Below which an estimate has no figure that means something."""


def duration(span: float) -> str:
    """A time left or taken: `40 s`, `3 min`, `2 h 05 min`."""
    whole = max(round(span), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{round(span / 60)} min"
    hours, minutes = divmod(round(span / 60), 60)
    return f"{hours} h {minutes:02d} min"


def reached(done: int, epochs: int, width: int = 6) -> str:
    """How far an open trial is: `3/10`, or its share where there is no room for that."""
    text = f"{done}/{epochs}"
    return text if len(text) <= width else f"{done / epochs:.0%}"


def about(span: float) -> str:
    """`about 3 min`: a time that is estimated."""
    return "a few seconds" if span < FEW_SECONDS else f"about {duration(span)}"


def time_left(span: float | None) -> str:
    """`about 3 min left`, or that nobody knows."""
    return "time left not known yet" if span is None else f"{about(span)} left"


def plural(amount: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def machine(found: Machine) -> str:
    """`AMD EPYC, cpu, 2 threads, torch 2.14.1`."""
    threads = plural(found.threads, "thread")
    return f"{found.processor}, {found.device}, {threads}, torch {found.torch}"


def sentence(text: str) -> str:
    """With a capital at its beginning, the rest as it is."""
    return text[:1].upper() + text[1:]


KILLED = "it was killed, or its machine went down"
"""Why an engine is gone that said nothing of its end; its log cannot know of it."""


def engine_end(engine: EngineStatus) -> str:
    """How an engine that is not at work has ended, or ends."""
    who = "the engine" if engine.pid is None else f"engine {engine.pid}"
    why = engine.message.rstrip(".")
    told = f": {why}" if why else ""
    return {
        "leaving": f"{who} is leaving{told}",
        "stopped": f"the engine was stopped{told}",
        "left": f"{who} has left{told or ' in order'}",
        "failed": f"{who} failed{told}",
        "gone": f"{who} is gone: {KILLED}",
    }.get(engine.standing, "no engine is at work")


def goes_on(name: str) -> str:
    """What to do where something waits in a session, and no engine is at work."""
    return f"`lcsearch engine start {name}` trains what waits, `lcsearch run {name}` searches on."


def ordinal(rank: int) -> str:
    """`1st`, `2nd`, `11th`, `2,410th`."""
    if rank % 100 in (11, 12, 13):
        return f"{rank:,}th"
    return f"{rank:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(rank % 10, 'th') }"


def place(found: Place) -> str:
    """`1st of 2,410`; of a network that is none of the candidates `would be 2nd of 2,411`."""
    told = f"{ordinal(found.rank)} of {count(found.among)}"
    return told if found.candidate else f"would be {told}"


def folded(text: str, width: int) -> str:
    """Lines of at most `width` characters, folded where columns are apart, else at single spaces.

    No word and no number is broken, nor a mean parted from its σ: a longer one stands alone.
    """
    return "\n".join(part for line in text.split("\n") for part in _folds(line, width))


def _folds(line: str, width: int) -> Iterator[str]:
    if len(line) <= width:
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip()))
    now = indent
    for gap, column in re.findall(r"( *)((?:\S| (?! ))+)", line.strip()):
        pieces = [(gap, column)]
        if len(FOLD) + len(column) > width:
            first, *rest = re.split(r"(?<!±) (?!±)", column)
            pieces = [(gap, first), *((" ", piece) for piece in rest)]
        for before, piece in pieces:
            if now.strip() and len(now) + len(before) + len(piece) > width:
                yield now
                now = FOLD
                before = ""
            now += before + piece if now.strip() else piece
    yield now


SPARKS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"


def spark(values: Sequence[float], width: int = 12) -> str:
    """The last `width` values as a sparkline, lowest ▁ and highest █."""
    shown = list(values)[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return SPARKS[3] * len(shown)
    return "".join(SPARKS[round((v - low) / (high - low) * (len(SPARKS) - 1))] for v in shown)


def bar(share: float, width: int) -> str:
    """A progress bar: full blocks for the share that is done, light ones for the rest."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return "█" * full + "░" * (width - full)


def length_bar(value: float, scale: float, width: int) -> str:
    """A bar as long as |value| / scale of `width` cells, to an eighth of a cell."""
    if scale <= 0:
        return ""
    eighths = round(min(abs(value) / scale, 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def best_network(best: Recommendation) -> str:
    """`best network: trial 7, the best of all levels by the model's belief (f 0.437 ± 0.011)`."""
    told = ""
    if best.belief is not None:
        told = f" (f {belief(*best.belief)})"
    return f"best network: trial {best.number}, {best.why}{told}"


def level_title(name: str) -> str:
    """The level's name as a heading."""
    return LEVEL_TITLES.get(name, name.capitalize())


def level_trials(trials: int, limit: int) -> str:
    """`6 of 12 trials`; a level may be given more than was planned: `17 trials, 12 planned`."""
    return f"{trials} of {limit} trials" if trials <= limit else f"{trials} trials, {limit} planned"


def level_label(level: int, names: Sequence[str]) -> str:
    """`② Parameters`; level 0 is the reference."""
    if level == 0:
        return "reference"
    if len(names) == 1:
        return f"{FLAT_MARK} {level_title(names[0])}"
    return f"{LEVEL_MARKS[level]} {level_title(names[level - 1])}"


def region(domains: Mapping[str, str]) -> str:
    """`conv_layers 2..4, kernel 1,3`."""
    return ", ".join(f"{name} {text.replace(' ', '')}" for name, text in domains.items())


def favoured(session: Session, strength: float | None) -> str:
    """The favourite region and what it still counts for.

    strength: minus the logarithm of what EI counts for each parameter outside; None where the
    strategy does not weigh.
    """
    told = f"favoured: {region(session.favourite)}"
    if strength is None:
        return f"{told} · no effect on {session.strategy}"
    return f"{told} · weighs e^-{strength:.2g} outside, fading"


def learning(session: Session) -> str:
    """The earlier sessions that it learns from: `first (24 trials), second (12 trials)`."""
    names = session.learn_from.split(",")
    used = [one for one in session.earlier if one.name in names]
    return ", ".join(f"{one.name} ({plural(len(one.trials), 'trial')})" for one in used)


def worth(name: str, trials: float | None) -> str:
    """What an earlier session tells this one, in trials of it."""
    if trials is None:
        return f"what {name} says is worth: not known yet"
    if trials < 0.05:
        return f"what {name} says is worth nothing here"
    return f"what {name} says is worth {trials:.1f} trials here"


def bias(above: float) -> str:
    """How far off predictions are on average: above 0 f came out higher than that."""
    return f"{improvement(abs(above))} too {'hopeful' if above > 0 else 'gloomy'}"


def grounds(near: float) -> str:
    """What a belief rests on.  near: the share that trials near by tell."""
    if near >= 0.995:
        return "known from trials near it"
    if near < 0.005:
        return "no trial is near: it is what is usual"
    return f"{percent(near, 0)} % from trials near it, the rest is what is usual"


_DECIDED = {
    "accept": "the accepted candidate",
    "edit": "the edited network",
    "new": "the new network",
    "repeat": "the repeat",
    "reject": "the rejection",
    "wc": "the change of w_c",
    "measure": "the change of the measure",
    "strategy": "the change of strategy",
    "prior": "the change of the prior",
    "learn_from": "what is learnt from other sessions",
    "domains": "the change of the domains",
    "favour": "the favourite region",
    "limits": "the limits",
    "advance": "the step to the next level",
    "reopen": "the opening of a level",
    "autopilot": "the autopilot",
}


def decided(kind: str, trial: int | None) -> str:
    """A decision as it is undone: `the accepted candidate, trial 12`."""
    text = _DECIDED.get(kind, kind)
    return text if trial is None else f"{text}, trial {trial}"


def reopened(level: str, trial: int, present: bool) -> str:
    """What opening a level again did; present: it is the one that was searched already."""
    if present:
        return f"{level} goes on from trial {trial}; what was learnt stays."
    return f"{level} is open again, from trial {trial}."


_TURNS = {
    "advance": "is left",
    "reopen": "is left, and the first opened again",
    "takeover": "is ended",
}


def turn(decision: Decision) -> str | None:
    """What the autopilot decided about a level, and why; None for any other decision."""
    done = _TURNS.get(decision.kind)
    if decision.by != "autopilot" or done is None:
        return None
    carried = "" if decision.trial is None else f", trial {decision.trial} carried forward"
    return f"level {decision.level} {done}{carried}: {decision.reason}"


def restrictions(session: Session, strength: float | None) -> list[str]:
    """One line each for the domains that are not the default ones, and for the favourite region."""
    lines = [f"searched: {region(session.domains)}"] if session.domains else []
    lines += [told] if (told := limited(session)) else []
    return lines + ([favoured(session, strength)] if session.favourite else [])


def counted(snapshot: Snapshot) -> str:
    """What complexity is of, and how many trials are left out because that is not known of them."""
    from ..engine.tasks.task import measure_of

    measure = measure_of(snapshot.session)
    unknown = sum(t.state == "done" and t.complexity is None for t in snapshot.trials)
    told = f"f_c is of {measure.noun}."
    if not unknown:
        return told
    are = "trial is" if unknown == 1 else "trials are"
    return f"{told} {unknown} {are} left out until it is measured."


def limited(session: Session) -> str:
    """The limits that were set, as a line: `limits: params<=50k · accuracy>=90%`."""
    from ..engine.tasks.limits import spelled_limit
    from ..engine.tasks.task import task_of

    measures = task_of(session).measures
    told = [spelled_limit(name, value, measures) for name, value in session.limits.items()]
    return f"limits: {' · '.join(told)}" if told else ""


def keeping(kept: float) -> str:
    """How likely a network keeps the limits: `keeps the limits`, `keeps the limits: 63%`."""
    if kept >= 0.995:
        return "keeps the limits"
    return "breaks a limit" if kept <= 0 else f"keeps the limits: {kept:.0%}"


def of_limits(proposal: Proposal, session: Session) -> str:
    """What there is to say of a candidate and the limits that were set; nothing without any.

    What arithmetic knows of it is broken for sure, and by how much; the rest is likely or not.
    """
    from ..engine.search.limits import broken_limits

    kept = None if proposal.prediction is None else proposal.prediction.kept
    told = breaks(broken_limits(session, proposal.known), session)
    return told or ("" if kept is None else keeping(kept))


def _beyond(broken: Broken) -> str:
    """By how much: `by 12%`, `57 times`; of what is a share itself, `by 5.3 points`."""
    from ..sessions.choices import METRICS as SHARES

    if broken.name in SHARES:
        return f"by {max(100 * abs(broken.value - broken.limit), 0.01):.2g} points"
    share = broken.share
    if share >= 1:
        return f"{1 + share:.3g} times"
    return f"by {max(share, 1e-4):.2%}" if share < 0.01 else f"by {share:.0%}"


def breaks(broken: Sequence[Broken], session: Session) -> str:
    """Which limits a network breaks, and by how much: `breaks params<=50k by 12 %`."""
    from ..engine.tasks.limits import spelled_limit
    from ..engine.tasks.task import task_of

    measures = task_of(session).measures
    told = [f"{spelled_limit(b.name, b.limit, measures)} {_beyond(b)}" for b in broken]
    return f"breaks {' and '.join(told)}" if told else ""


def measured_best(session: Session, trial: Trial, short: bool = False) -> str:
    """What the best measured trial is: of those that keep the limits, or the nearest to them."""
    from ..engine.search.limits import broken_by

    if broken_by(session, trial):
        return "nearest to limits" if short else "nearest to the limits"
    return "lowest f" if short else "best measured"


def verdict(belief: Predicted, measured: float) -> str:
    """How a measurement sits with the prediction of it: ✓ within 2σ, ▲ worse, ▼ better."""
    if abs(measured - belief.mean) <= 2 * belief.predictive_std:
        return "✓"
    return "▲" if measured > belief.mean else "▼"


def under(results: Sequence[Outcome | Override], wc: float) -> str:
    """`under the w_c of then, 0.10`: which w_c both f are of; nothing if all are the present one.

    Both f of a result are held against each other under the w_c of the prediction, whose σ of a
    measurement is known for that alone.
    """
    used = sorted({result.wc for result in results})
    told = " and ".join(weight(value) for value in used)
    return f"under the w_c of then, {told}" if set(used) - {wc} else ""
