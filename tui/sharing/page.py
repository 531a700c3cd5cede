"""A session as the page that people share: what was searched, found, decided, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import __version__
from ...engine.client.images import misread
from ...engine.objective import predicted
from ...engine.search.beforehand import prior_name
from ...engine.search.scorecard import bias, coverage, outcomes, overrides, parts
from ...engine.search.standing import objective, predicted_now, standings
from ...engine.tasks.task import level_names, measure_of, task_of
from ...sessions.records import matrix, now
from .. import format as words
from ..classes import ascending, labels, mistakes
from ..cost import cost_of, number, sizes, told
from ..deliveries import SELECTION, scores, state
from ..format import under
from ..networks import layers, network_line, training
from . import figures
from .report import Classes, Network, Page, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engine.search.standing import Recommendation
    from ...engine.tasks.space import Space
    from ...sessions.records import Decision, Prediction, Session, Trial
    from ...sessions.snapshot import Snapshot
    from ..ports import Client

MOMENT = "%d %b %Y, %H:%M UTC"
CONFUSED = 10
"""Pairs of classes that are told in words."""
KINDS = {
    "accept": "accepted a candidate",
    "edit": "trained an edited candidate",
    "new": "trained an own network",
    "reject": "rejected a candidate",
    "repeat": "repeated a trial",
    "stop": "stopped a trial",
    "resume": "let a trial go on",
    "autopilot": "handed over to the autopilot",
    "takeover": "took the wheel back",
    "wc": "changed w_c",
    "measure": "changed what complexity is",
    "strategy": "changed the strategy",
    "prior": "changed the prior",
    "learn_from": "learns from other sessions",
    "domains": "changed the domains",
    "favour": "marked a favourite region",
    "limits": "changed the limits",
    "advance": "went on to the next level",
    "reopen": "opened a level again",
    "undo": "undid a decision",
}


def page_of(client: Client) -> Page:
    """A session as it stands, in words (ranks once)."""
    snapshot = client.refresh()
    return page(snapshot, client.space, client.recommended(snapshot))


def page(snapshot: Snapshot, space: Space, best: Recommendation | None) -> Page:
    """Put a session into words.  best: the network that it recommends."""
    session, trials = snapshot.session, snapshot.trials
    images = session.summary
    done = [trial for trial in trials if trial.observed]
    chosen = None if best is None else best.trial
    error = "the error" if session.metric == "accuracy" else f"1 − {words.metric(session).title}"
    return Page(
        title=session.name,
        lead=(
            f"A search for {task_of(session).title} that are cheap as well as good, on "
            f"{words.count(images.train)} images of {images.height}x{images.width}x"
            f"{images.channels} in {images.classes} classes ({session.data.spec}). "
            f"It minimises f = {words.formula(session.wc)}: f_p is {error} on "
            f"{words.count(images.val)} validation images, f_c the {measure_of(session).noun} over "
            "the reference network's."
        ),
        key_figures=_key_figures(snapshot, best),
        setup=_setup(snapshot),
        space=_space(session, space),
        networks=tuple(_networks(snapshot, space, chosen)),
        figures=(
            figures.tradeoff(snapshot, selected=chosen),
            figures.convergence(snapshot),
            figures.calibration(snapshot),
            figures.curves(snapshot),
        ),
        scores=tuple(_scores(snapshot)),
        classes=_classes(chosen, session),
        finals=_finals(snapshot),
        looked_at=_looked_at(snapshot),
        trials=_trials(snapshot),
        decisions=_decisions(snapshot.decisions),
        footer=(
            f"Written by lcsearch {__version__}, {now().strftime(MOMENT)}. {len(done)} of "
            f"{words.plural(len(trials), 'trial')} were trained to their end. f of a trial is "
            f"what was measured, under w_c = {words.weight(session.wc)}."
        ),
    )


def _key_figures(
    snapshot: Snapshot, best: Recommendation | None
) -> tuple[tuple[str, str, str], ...]:
    done = sum(trial.observed for trial in snapshot.trials)
    first = (str(done), "networks trained", f"{len(snapshot.decisions)} decisions")
    if best is None:
        return (first,)
    chosen, belief = best.trial, best.belief
    assert chosen.error is not None
    session = snapshot.session
    value = objective(chosen, session.wc)
    by = "measured" if belief is None else f"the model: {belief[0]:.4f} ± {belief[1]:.4f}"
    exact = task_of(session).exact
    others = [f"{sizes((m,), chosen.costs)}" + f" an {m.per}" * bool(m.per) for m in exact[1:]]
    size = [(number(m, chosen.costs[m.name]), m.unit, " · ".join(others)) for m in exact[:1]]
    return (
        (
            f"{words.percent(1 - chosen.error)} %",
            words.metric(session).validated,
            f"trial {chosen.number}",
        ),
        (f"{chosen.complexity:.3f}", "of the reference's cost", measure_of(session).noun),
        (words.f_measured(value), "f", by),
        *size,
        first,
    )  # fmt: skip


def _reading(session: Session) -> list[str]:
    """What was done to the images, and what of it an earlier version did wrongly."""
    return [*session.summary.notes, *map(words.sentence, misread(session.data))]


def _setup(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    session, trials = snapshot.session, snapshot.trials
    images = session.summary
    machines = {words.machine(m): None for t in trials if (m := t.machine) is not None}
    ended = [t.ended for t in trials if t.ended is not None]
    span = session.created.strftime(MOMENT)
    if ended:
        span += f" to {max(ended).strftime(MOMENT)}"
    rows = [
        ("data", session.data.spec),
        (
            "images",
            f"{words.count(images.train)} to train on, {words.count(images.val)} to validate, "
            f"{words.count(images.test)} to test, {_tested(snapshot)}; "
            f"{images.width}x{images.height}; fingerprint {images.fingerprint[:16]}",
        ),
        *([("their reading", " ".join(read))] if (read := _reading(session)) else []),
        *([("classes", ", ".join(labels(images)))] if images.names else []),
        *([("judged by", judged)] if (judged := words.judged(session)) else []),
        ("w_c", words.weight(session.wc)),
        ("complexity", f"{measure_of(session).noun}; drawn as {cost_of(snapshot).axis}"),
        ("epochs a trial", str(session.epochs)),
        ("levels", ", ".join(_level_words(snapshot))),
        ("proposed by", session.strategy),
        ("prior", prior_name(session)),
        *([("learns from", words.learning(session))] if session.learn_from else []),
        ("seed", str(session.seed)),
        ("machine", "; ".join(machines) or words.DASH),
        ("time", span),
    ]
    return tuple(rows)


def _level_words(snapshot: Snapshot) -> list[str]:
    return [
        f"{words.level_title(level.name).lower()} ({words.plural(level.trials, 'trial')})"
        for level in standings(snapshot).values()
    ]


def _space(session: Session, space: Space) -> Table:
    names = level_names(session)
    rows = []
    for parameter in space.awake:
        level = "" if session.flat else words.level_title(names[parameter.level - 1]).lower()
        how = "a layer" if parameter.length is not None else ""
        rows.append((level, parameter.name, parameter.domain.text(), how))
    return Table(("level", "parameter", "searched in", ""), tuple(rows))


# -- networks -----------------------------------------------------------------------------------


def _networks(snapshot: Snapshot, space: Space, chosen: Trial | None) -> list[Network]:
    wc = snapshot.session.wc
    names = level_names(snapshot.session)
    found = []
    before: float | None = None
    shown: set[int] = set()
    for level in range(len(names) + 1):
        scored = [
            (value, t.number)
            for t in snapshot.trials
            if t.level == level and (value := objective(t, wc)) is not None
        ]
        if not scored:
            continue
        value, number = min(scored)
        gained = None if before is None else max(before - value, 0.0)
        before = value if before is None else min(before, value)
        trial = snapshot.trials[number]
        is_best = chosen is not None and chosen.number == number
        shown.add(number)
        title = words.level_label(level, names)
        found.append(_network(snapshot, space, trial, title, value, gained, is_best))
    if chosen is not None and chosen.number not in shown:
        value = objective(chosen, wc) or 0.0
        found.append(_network(snapshot, space, chosen, "Recommended", value, None, True))
    return found


def _network(
    snapshot: Snapshot,
    space: Space,
    trial: Trial,
    title: str,
    value: float,
    gained: float | None,
    best: bool,
) -> Network:
    session = snapshot.session
    rows = [
        (
            f"{row.what}, {row.kernel}" if row.kernel else row.what, row.joined, row.out,
            ", ".join(at_length for _, at_length in row.how),
            "" if row.params is None else words.count(row.params),
            "" if row.macs is None else words.big(row.macs),
        )
        for row in layers(space, trial.config)
    ]  # fmt: skip
    facts = [
        ("f", words.f_measured(value) + ("" if gained is None else f", gained {gained:.4f}")),
        (words.metric(session).title, f"{words.percent(1 - (trial.error or 0.0), 2)} %"),
        ("cost", told(trial, session)),
        ("size", sizes(task_of(session).measures, trial.costs, ", ")),
    ]
    return Network(
        title=f"{title} · trial {trial.number}" + (" · recommended" if best else ""),
        best=best,
        facts=tuple(facts),
        layers=Table(
            ("layer", "in → out", "map", "", "params", "MACs"), tuple(rows), frozenset({4, 5})
        ),
        training=", ".join(part for line in training(trial.config) for part in line),
    )


def _classes(trial: Trial | None, session: Session) -> Classes | None:
    """What the recommended network takes each class for; None where that is not known."""
    if trial is None or not trial.recalls:
        return None
    names, rows = labels(session.summary), matrix(trial.confusion)
    worst = [mistake.told(names) for mistake in mistakes(trial, session)[:CONFUSED]]
    columns = tuple(str(at) for at in range(len(rows)))

    def line(at: int, recall: float | None) -> tuple[str, ...]:
        taken = (str(count or "") for count in (rows[at] if rows else ()))
        return str(at), names[at], words.percent(recall), *taken

    table = Table(
        ("#", "class", "recall %", *columns),
        tuple(line(*pair) for pair in ascending(trial)),
        frozenset({0, *range(2, 3 + len(columns))}),
    )
    how = "Rows are the true classes, the smallest recall first"
    how += "; columns what they were taken for, by number." if rows else "."
    title = f"What trial {trial.number} takes each class for"
    return Classes(title, tuple(worst), f"{how} On the validation images.", table)


# -- final trainings ----------------------------------------------------------------------------


def _tested(snapshot: Snapshot) -> str:
    """How often the test set was looked at, and by which final trainings."""
    by = [str(one.number) for one in snapshot.deliveries if one.scores]
    if not by:
        return "never looked at"
    often = "once" if snapshot.scored == 1 else f"{words.count(snapshot.scored)} times"
    return f"looked at {often} (by final training{'s' * (len(by) > 1)} {', '.join(by)})"


def _looked_at(snapshot: Snapshot) -> str:
    """What is said above the final trainings."""
    told = f"The {words.count(snapshot.session.summary.test)} test images were {_tested(snapshot)}"
    if snapshot.scored < 2:
        return f"{told}."
    return f"{told}, once for each training. {SELECTION}"


def _finals(snapshot: Snapshot) -> Table:
    """The final trainings, each with its scores on the test set and its folder."""
    session = snapshot.session
    rows: list[tuple[str, ...]] = []
    dim: set[int] = set()
    for one in snapshot.standing_deliveries:
        if one.state in ("failed", "stopped", "cancelled"):
            dim.add(len(rows))
        done = one.state == "done"
        rows.append(
            (
                str(one.number), str(one.trial),
                "all outside the test set" if one.images == "all" else "the session's",
                str(one.epochs), ", ".join(map(str, one.seeds)),
                ", ".join(words.percent(score, 2) for score in one.scores) or words.DASH,
                scores(one, session) if done else state(one, session),
                one.folder if done else "",
            )
        )  # fmt: skip
    headings = (
        "#", "trial", "trained on", "epochs", "seeds", "test accuracy %", "came to", "folder",
    )  # fmt: skip
    return Table(headings, tuple(rows), frozenset({0, 1, 3}), frozenset(dim))


# -- trials and decisions -----------------------------------------------------------------------


def _scores(snapshot: Snapshot) -> list[str]:
    results = outcomes(snapshot)
    if not results:
        return []
    inside = [coverage(results, widths) for widths in (1, 2)]
    total = len(results)
    told = [
        f"Calibration: of {total} predictions that were put to the test, {inside[0]} lie within "
        f"one predictive standard deviation ({inside[0] / total:.0%}, ideal 68 %) and {inside[1]} "
        f"within two ({inside[1] / total:.0%}, ideal 95 %)."
    ]
    for name, part in parts(results):
        told[0] += f" The {name}: {coverage(part)} of {len(part)} within two, "
        told[0] += f"on average {words.bias(bias(part))}."
    other = under(results, snapshot.session.wc)
    if other:
        told[0] += f" Predicted and measured f are {other}."
    against = overrides(snapshot)
    if against:
        right = sum(override.right for override in against)
        trained = sum(override.measured is not None for override in against)
        told.append(
            f"Where a person trained another network than the advisor's first candidate, theirs "
            f"had the smaller f in {right} of {len(against)}; the candidate's f is what was "
            f"measured in {trained} of them, else what was predicted at that moment."
        )
    return told


def _told(belief: Prediction | None, session: Session | None = None) -> tuple[str, str]:
    """f predicted as the session weighs it now, or as at its moment; EI is of its moment."""
    if belief is None:
        return "", ""
    of_f = predicted(belief, belief.wc) if session is None else predicted_now(session, belief)
    if of_f is None:
        return "", words.improvement(belief.ei)
    return f"{of_f.mean:.4f} ± {of_f.predictive_std:.4f}", words.improvement(belief.ei)


def _trials(snapshot: Snapshot) -> Table:
    wc = snapshot.session.wc
    measures = [
        measure
        for measure in task_of(snapshot.session).measures
        if not measure.timed or snapshot.latencies
    ]
    rows: list[tuple[str, ...]] = []
    dim: set[int] = set()
    for trial in snapshot.trials:
        if trial.state in ("failed", "stopped", "cancelled"):
            dim.add(len(rows))
        state: str = trial.state
        if trial.repeat_of is not None:
            state += f", repeats {trial.repeat_of}"
        if trial.failure is not None:
            state += f": {trial.failure.message}"
        who = {"edited": "person, edited", "manual": "person"}.get(trial.source, trial.source)
        error, cost = trial.error, trial.complexity
        rows.append(
            (
                str(trial.number), str(trial.level), network_line(trial.config), who, state,
                *_told(trial.prediction, snapshot.session), words.f_measured(objective(trial, wc)),
                words.DASH if error is None else f"{words.percent(1 - error, 2)}",
                words.DASH if cost is None else f"{cost:.3f}",
                *(number(m, trial.costs.get(m.name)) for m in measures),
            )
        )  # fmt: skip
    headings = (
        "#", "level", "network", "from", "state", "predicted f", "EI", "f",
        f"{words.metric(snapshot.session).heading} %", "f_c",
        *(m.heading if m.exact else f"{m.unit}/{m.per}" if m.per else m.unit for m in measures),
    )  # fmt: skip
    figures_of = frozenset({0, 1, *range(5, len(headings))})
    return Table(headings, tuple(rows), figures_of, frozenset(dim))


def _decisions(decisions: Sequence[Decision]) -> Table:
    rows = []
    for decision in decisions:
        what = KINDS.get(decision.kind, decision.kind)
        detail = decision.detail
        if decision.kind == "undo":
            what = f"undid decision {detail.get('undoes')}"
        elif {"from", "to"} <= detail.keys():
            what += f": {_setting(detail['from'])} → {_setting(detail['to'])}"
        rows.append(
            (
                str(decision.number), decision.at.strftime("%Y-%m-%d %H:%M:%S"),
                str(decision.level), decision.by, what,
                "" if decision.trial is None else str(decision.trial),
                *_told(decision.prediction), _weight(decision), decision.reason,
            )
        )  # fmt: skip
    headings = (
        "#", "when (UTC)", "level", "who", "what", "trial", "predicted f", "EI", "w_c",
        "reason",
    )  # fmt: skip
    return Table(headings, tuple(rows), frozenset({0, 2, 5, 6, 7, 8}))


def _weight(decision: Decision) -> str:
    """The w_c under which f was predicted at that moment."""
    return "" if decision.prediction is None else words.weight(decision.prediction.wc)


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items()) or "none"
    if value is None:
        return words.DASH
    return words.weight(value) if isinstance(value, float | int) else str(value)
