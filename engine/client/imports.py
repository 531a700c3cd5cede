"""A session as one document and back: what leaves is whole, what comes in agrees with itself.

Whoever changes a figure in an exported file is found out: what follows by arithmetic from the rest
is worked out again and compared.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ...sessions import exchange
from ...sessions.choices import COST_ALONE
from ...sessions.errors import Misuse
from ...sessions.places import check_name
from ...sessions.records import (
    LARGEST_MATRIX,
    Decision,
    Delivery,
    Latency,
    Session,
    Trial,
    in_words,
    matrix,
)
from ...sessions.snapshot import EngineStatus, Snapshot, comparable
from ...sessions.store import Reader, Store
from .. import search
from ..metric import Confusion
from ..objective import best_epoch, best_error
from ..search.decide import trial_seed
from ..tasks.domains import InvalidDomain
from ..tasks.space import InvalidConfig, Space
from ..tasks.task import (
    complexity_of,
    costs_of_epochs,
    level_names,
    measure_of,
    reader,
    session_space,
)

Told = TypeVar("Told", exchange.ReferenceDocument, exchange.BestDocument)

LARGEST_SIDE = 65_536
LARGEST_COUNT = 10**9
"""Of images, classes and the like: far above what can be trained, far below what overflows."""
NEAR = 1e-9
DAMAGED = "The file was changed or damaged; export the session again."


def document(
    snapshot: Snapshot, space: Space, best: search.Recommendation | None
) -> exchange.Document:
    """A session as its export holds it.  best: the network it recommends."""
    wc = snapshot.session.wc
    measured = search.best_measured(snapshot)
    return exchange.document(
        snapshot,
        domains={p.name: p.domain.text() for p in space.awake},
        level_names=[standing.name for standing in search.standings(snapshot).values()],
        objectives={t.number: search.objective(t, wc) for t in snapshot.trials},
        best=None if best is None else best.number,
        belief=None if best is None else best.belief,
        best_measured=None if measured is None else measured.number,
    )


def bring_back(home: Path, file: Path, name: str | None = None) -> Path:
    """Make the session of an exported file, under its own name or another; gives its folder.

    Nothing trains in it before a person says so.  Raises Misuse with what is wrong: the file,
    what it says, or that the name is taken.
    """
    whole = exchange.read(file)
    wanted = whole.session.name if name is None else name
    try:
        check_name(wanted)
    except Misuse as error:
        if name is not None:
            raise
        raise Misuse(f"{file}: {error} `--name N` imports it under another name.") from error
    target = home / "sessions" / wanted
    if target.exists():
        raise Misuse(
            f"session {wanted!r}: exists already. `lcsearch import {file} --name {_free(target)}` "
            "imports it under another name."
        )
    snapshot = contents(whole, file)
    session = snapshot.session.model_copy(update={"name": wanted})
    past = (
        snapshot.trials,
        snapshot.decisions,
        tuple(snapshot.latencies.values()),
        tuple(_over(one, whole.exported) for one in snapshot.deliveries),
    )
    Store.bring_back(target, session, *past).close()
    return target


def _over(delivery: Delivery, at: datetime) -> Delivery:
    """A final training as it is here: one that was open is stopped, and was never begun here.

    It is to be written where the session came from, and what is half written there is not ours.
    """
    if not delivery.open:
        return delivery
    ends = {"state": "stopped", "stop_request": None, "seconds_left": None}
    told = {"message": "it was open where this session was exported"}
    return delivery.model_copy(update={**ends, **told, "started": None, "ended": at})


def _free(taken: Path) -> str:
    """A name near the taken one that is free."""
    number = 2
    while taken.with_name(f"{taken.name[:56]}-{number}").exists():
        number += 1
    return f"{taken.name[:56]}-{number}"


def contents(whole: exchange.Document, file: Path) -> Snapshot:
    """What a document holds, checked.  Raises Misuse with the first contradiction."""
    session = Session.model_validate(
        {name: getattr(whole.session, name) for name in Session.model_fields}
    )
    try:
        search.check_names(session)
    except Misuse as error:
        raise Misuse(f"{file}: {error} {DAMAGED}") from error
    for words in _about_images(session):
        raise Misuse(f"{file}: {words} {DAMAGED}")
    # a space that cannot be is found out among the contradictions
    with contextlib.suppress(InvalidDomain, Misuse):
        whole = _read(whole, reader(session), comparable(whole.latencies, session.runtime))
    trials = tuple(
        Trial.model_validate({field: getattr(trial, field) for field in Trial.model_fields})
        for trial in whole.trials
    )
    snapshot = Snapshot(
        change=0,
        session=session,
        trials=trials,
        decisions=tuple(whole.decisions),
        engine=EngineStatus(),
        latencies=comparable(whole.latencies, session.runtime),
        deliveries=tuple(whole.finals),
    )
    for words in _contradictions(whole, snapshot):
        raise Misuse(f"{file}: {words} {DAMAGED}")
    return snapshot


def _read(
    whole: exchange.Document, read: Reader, latencies: Mapping[str, Latency]
) -> exchange.Document:
    """The document with every record read as one that was kept."""
    trials = []
    for given in whole.trials:
        kept = read.trial(given, latencies)
        trials.append(exchange.completed(given, kept.config, kept))
    decisions = [
        decision
        if decision.config is None
        else decision.model_copy(update={"config": read.config(decision.config)})
        for decision in whole.decisions
    ]

    def filled(given: Told) -> Told:
        """What is told of one of the trials, which may be none of them."""
        if not 0 <= given.trial < len(trials):
            return given
        return exchange.completed(given, read.config(given.config), trials[given.trial])

    return whole.model_copy(
        update={
            "reference": filled(whole.reference),
            "trials": trials,
            "decisions": decisions,
            "best": None if whole.best is None else filled(whole.best),
            "best_measured": None if whole.best_measured is None else filled(whole.best_measured),
        }
    )


def _about_images(session: Session) -> Iterator[str]:
    summary = session.summary
    sides = {"height": summary.height, "width": summary.width, "channels": summary.channels}
    for name, value in sides.items():
        if not 1 <= value <= LARGEST_SIDE:
            yield f"session.summary.{name} = {value}: not an image. Images have 1 to 65,536."
    counts = {"train": summary.train, "val": summary.val, "classes": summary.classes}
    for name, value in counts.items():
        if not 1 <= value <= LARGEST_COUNT:
            yield f"session.summary.{name} = {value}: nothing can be learnt from that."


# -- contradictions -------------------------------------------------------------------------------


def _contradictions(whole: exchange.Document, snapshot: Snapshot) -> Iterator[str]:
    """Everything in the document that cannot be so: one sentence each, the basic things first.

    That its images can be was seen before: the space is worked out of them.
    """
    session, trials = snapshot.session, snapshot.trials
    try:
        space = session_space(session)
        measure_of(session)
    except (InvalidConfig, InvalidDomain, Misuse) as error:
        yield f"session: {error}"
        return
    if not trials:
        yield "trials is empty: trial 0 is the reference network."
    for index, trial in enumerate(trials):
        if trial.number != index:
            yield f"trials[{index}].number = {trial.number}: trials are numbered from 0, no gap."
    for trial in trials:
        for words in _about_trial(trial, snapshot, space):
            yield f"trial {trial.number}: {words}"
    yield from _about_finals(snapshot)
    yield from _about_decisions(snapshot, space)
    yield from _about_levels(snapshot)
    yield from _derived(whole, snapshot, space)


def _about_trial(trial: Trial, snapshot: Snapshot, space: Space) -> Iterator[str]:
    session = snapshot.session
    before = snapshot.trials[: trial.number]
    highest = len(level_names(session))
    if trial.repeat_of is not None and not 0 <= trial.repeat_of < trial.number:
        yield f"repeat_of = {trial.repeat_of}: no trial before it has this number."
    lowest = 0 if trial.number == 0 or trial.repeat_of is not None else 1
    if not lowest <= trial.level <= (0 if trial.number == 0 else highest):
        yield f"level = {trial.level}: this session has levels 1 to {highest}, 0 is the reference."
    try:
        config = space.validate(trial.config)
    except InvalidConfig as error:
        yield str(error)
        return
    if config != trial.config:
        yield "config: not in the form in which it is kept."
    if trial.number == 0 and config != space.reference:
        yield "config: trial 0 is the reference network, and this is another one."
    key = space.key(config)
    if trial.key != key:
        yield f"key = {trial.key}: the key of this network is {key}."
    for name, value in space.known(config).items():
        given = trial.costs.get(name)
        if given != value:
            yield f"costs.{name} = {given}: this network has {value:.12g}."
    again = sum(other.key == key for other in before) if trial.repeat_of is not None else 0
    seed = trial_seed(session, again)
    if trial.seed != seed:
        yield f"seed = {trial.seed}: a trial of this session has seed {seed} there."
    if not 0 <= trial.attempt <= LARGEST_COUNT:
        yield f"attempt = {trial.attempt}: not a count."
    if trial.repeat_of is not None and before and trial.key != before[trial.repeat_of].key:
        yield f"repeat_of = {trial.repeat_of}: that is another network."
    belief = trial.prediction
    if belief is not None and min(belief.std, belief.predictive_std, belief.error_std) < 0:
        yield "prediction: a standard deviation below 0."
    if (trial.state == "failed") != (trial.failure is not None):
        yield f"state = {trial.state}: a failure is told where a trial failed, and only there."
    if trial.stop_request is not None and trial.state != "running":
        yield f"stop_request = {trial.stop_request}: only what runs can be asked to stop."
    yield from _about_epochs(trial, session, space)


def _about_epochs(trial: Trial, session: Session, space: Space) -> Iterator[str]:
    for index, epoch in enumerate(trial.epochs, start=1):
        at = f"epochs[{index - 1}]"
        if epoch.epoch != index:
            yield f"{at}.epoch = {epoch.epoch}: epochs are numbered from 1, no gap."
        if not 0 <= epoch.val_accuracy <= 1:
            yield f"{at}.val_accuracy = {epoch.val_accuracy}: a share lies between 0 and 1."
        if (epoch.val_metric is None) != (session.metric == "accuracy"):
            yield (
                f"{at}.val_metric = {epoch.val_metric}: an epoch has one where the session's "
                f"metric is not the accuracy, and only there; it is {session.metric}."
            )
        elif not 0 <= epoch.score <= 1:
            yield f"{at}.val_metric = {epoch.val_metric}: lies between 0 and 1."
        beside = epoch.reference_seconds
        if epoch.seconds < 0 or (beside is not None and beside < 0):
            yield f"{at}.seconds = {epoch.seconds}: no epoch takes less than nothing."
    if len(trial.epochs) > session.epochs:
        yield f"{len(trial.epochs)} epochs: a trial of this session has at most {session.epochs}."
    yield from _about_classes(trial, session)
    yield from _about_costs(trial, session, space)


def _about_classes(trial: Trial, session: Session) -> Iterator[str]:
    """What its images were taken for agrees with its best epoch, and all of it with each other."""
    classes, rows = session.summary.classes, matrix(trial.confusion)
    if trial.state != "done":
        if trial.recalls or rows or trial.effective_images is not None:
            yield "recalls, confusion, effective_images: only a trial that is done has them."
        return
    if not trial.recalls:
        if rows or trial.effective_images is not None:
            yield "recalls is empty: where a confusion is known, they are."
        return
    if len(trial.recalls) != classes:
        yield f"{len(trial.recalls)} recalls: the session has {classes} classes."
        return
    if (trial.effective_images is None) != (session.metric == "accuracy"):
        yield (
            f"effective_images = {trial.effective_images}: a trial has them where the session's "
            f"metric is not the accuracy, and only there; it is {session.metric}."
        )
        return
    if bool(rows) != (classes <= LARGEST_MATRIX):
        yield f"confusion: kept up to {LARGEST_MATRIX} classes, and these are {classes}."
        return
    if not rows or not trial.epochs:
        return
    if len(rows) != classes or sum(map(sum, rows)) != session.summary.val:
        yield (
            f"confusion: {sum(map(sum, rows))} images of {len(rows)} classes. The session "
            f"validates with {session.summary.val} of {classes}."
        )
        return
    told, best = Confusion.of_matrix(rows), best_epoch(trial.epochs)
    pairs: list[tuple[str, float | None, float | None]] = [
        ("val_accuracy of its best epoch", best.val_accuracy, told.accuracy),
        ("f_p of its best epoch", 1 - best.score, 1 - told.score(session.metric)),
        (
            "effective_images",
            trial.effective_images,
            told.effective_images(session.metric),
        ),
    ]
    pairs += [
        (f"recalls[{at}]", given, wanted)
        for at, (given, wanted) in enumerate(zip(trial.recalls, told.recalls(), strict=True))
    ]
    for name, given, wanted in pairs:
        if given is None or wanted is None:
            if given is not wanted:
                yield f"{name} = {given}: the confusion says {wanted}."
        elif not math.isclose(given, wanted, rel_tol=NEAR, abs_tol=NEAR):
            yield f"{name} = {given}: the confusion says {wanted:.9g}."


def _about_costs(trial: Trial, session: Session, space: Space) -> Iterator[str]:
    """What was measured is there where a trial is done, and follows from its epochs."""
    measured = [measure.name for measure in space.measures if not measure.exact]
    names = {measure.name for measure in space.measures}
    given: dict[str, float | None] = {"error": trial.error, "complexity": trial.complexity}
    for of, costs, known in (
        ("costs", trial.costs, names),
        ("reference_costs", trial.reference_costs, set(measured)),
    ):
        for name, cost in costs.items():
            if name not in known:
                yield f"{of}.{name} = {cost}: this search measures nothing of that name."
                return
            if cost < 0:
                yield f"{of}.{name} = {cost}: nothing costs less than nothing."
                return
        given |= {f"{of}.{name}": costs[name] for name in measured if name in costs}
    if trial.state != "done":
        for name, value in given.items():
            if value is not None:
                yield f"{name} = {value}: only a trial that is done has one."
        return
    if len(trial.epochs) != session.epochs:
        yield (
            f"{len(trial.epochs)} epochs: a trial that is done has as many as the session, "
            f"{session.epochs}."
        )
        return
    chosen = session.measure
    needed = ["error", "complexity"]
    if chosen in measured:
        needed += [f"costs.{chosen}", f"reference_costs.{chosen}"]
    if any(given.get(name) is None for name in needed):
        yield f"a trial that is done has {', '.join(needed)}."
        return
    wanted = {"error": best_error(trial.epochs)}
    costs, beside = costs_of_epochs(space.measures, trial.epochs)
    wanted |= {f"costs.{name}": cost for name, cost in costs.items()}
    wanted |= {f"reference_costs.{name}": cost for name, cost in beside.items()}
    complexity = complexity_of(
        space, trial.config, measure_of(session), trial.costs, trial.reference_costs
    )
    if complexity is None:
        yield f"reference_costs.{chosen}: the reference network costs more than nothing."
        return
    wanted["complexity"] = complexity
    for name, value in wanted.items():
        told = given.get(name)
        if told is None or not math.isclose(told, value, rel_tol=NEAR, abs_tol=NEAR):
            yield f"{name} = {told}: the epochs say {value:.9g}."


def _about_finals(snapshot: Snapshot) -> Iterator[str]:
    searched = snapshot.session.metric
    for index, one in enumerate(snapshot.deliveries, start=1):
        at = f"final {one.number}"
        if one.number != index:
            yield f"finals[{index - 1}].number = {one.number}: counted from 1, no gap."
        if not 0 <= one.trial < len(snapshot.trials):
            yield f"{at}: trial {one.trial} is not in this session."
        if not 1 <= one.training <= len(one.seeds):
            yield f"{at}: training = {one.training}: it has {len(one.seeds)}, one a seed."
        if not 0 <= one.epoch <= one.epochs:
            yield f"{at}: epoch = {one.epoch}: its trainings have {one.epochs}."
        scored = len(one.scores)
        if scored > len(one.seeds) or (one.state == "done" and scored < len(one.seeds)):
            yield f"{at}: {scored} scores: it has {len(one.seeds)} seeds, each scored once."
        shares = (*one.scores, *(() if one.metric_score is None else (one.metric_score,)))
        if not all(0 <= share <= 1 for share in shares):
            yield f"{at}: {', '.join(map(str, shares))}: scores lie between 0 and 1."
        wanted = one.state == "done" and searched != "accuracy"
        if (one.metric_score is not None) != wanted:
            yield (
                f"{at}: metric_score = {one.metric_score}: one that is done has it where the "
                f"session's metric is not the accuracy, and only there; it is {searched}."
            )
        if one.eight_bits is not None and not (one.int8 and one.state == "done"):
            yield f"{at}: eight_bits: what is done and written so has it, and only that."
        if one.open == (one.ended is not None):
            yield f"{at}: ended = {one.ended}: what has ended says when, and only that."
        if one.stop_request is not None and one.state != "running":
            yield f"{at}: stop_request = {one.stop_request}: only what runs can be asked to stop."


def _about_decisions(snapshot: Snapshot, space: Space) -> Iterator[str]:
    trials = snapshot.trials
    made: dict[int, int] = {}
    undone: set[int] = set()
    for index, decision in enumerate(snapshot.decisions, start=1):
        at = f"decision {decision.number}"
        if decision.number != index:
            yield f"decisions[{index - 1}].number = {decision.number}: counted from 1, no gap."
        if decision.trial is not None and not 0 <= decision.trial < len(trials):
            yield f"{at}: trial {decision.trial} is not in this session."
            return
        yield from (f"{at}: {words}" for words in _about_detail(decision))
        yield from (f"{at}: {words}" for words in _about_advised(decision, space))
        if decision.kind == "undo":
            undoes = decision.detail["undoes"]
            known = 1 <= undoes < index and undoes not in undone
            if not known or snapshot.decisions[undoes - 1].kind != decision.detail["kind"]:
                yield f"{at}: undoes decision {undoes}, which cannot be."
                return
            undone.add(undoes)
        if decision.kind not in search.QUEUEING:
            continue
        if decision.trial is None or decision.trial in made:
            yield f"{at}: queues trial {decision.trial}, which cannot be."
            return
        made[decision.trial] = decision.number
        trial = trials[decision.trial]
        if decision.config != trial.config or (
            decision.kind != "repeat" and decision.prediction != trial.prediction
        ):
            yield f"{at}: trial {trial.number} is another network, or was predicted otherwise."
    unexplained = [t.number for t in trials[1:] if t.number not in made]
    if unexplained:
        yield f"trial {unexplained[0]}: no decision has queued it."


def _about_detail(decision: Decision) -> Iterator[str]:
    """What `undo` and the levels read from it must be there."""
    detail = decision.detail
    fits = True
    if decision.kind == "undo":
        fits = _is_count(detail.get("undoes")) and isinstance(detail.get("kind"), str)
    elif decision.kind in search.SETTING:
        fits = {"from", "to"} <= detail.keys()
    elif decision.kind in ("advance", "reopen"):
        start = detail.get("from")
        fits = (
            decision.trial is not None
            and isinstance(start, dict)
            and _is_count(start.get("level"))
            and isinstance(start.get("bases"), dict)
            and all(str(k).isdecimal() and _is_count(v) for k, v in start["bases"].items())
        )
    if not fits:
        yield f"detail = {detail}: not what a decision of kind {decision.kind} keeps."


def _about_advised(decision: Decision, space: Space) -> Iterator[str]:
    """The candidate that was passed over is a network of this space, and another one."""
    try:
        advised = decision.advised
        if advised is None:
            return
        key = space.key(space.validate(advised.config))
    except (ValidationError, InvalidConfig) as error:
        words = in_words(error) if isinstance(error, ValidationError) else error
        yield f"detail.advised: {words}"
        return
    if advised.id != key:
        yield f"detail.advised.id = {advised.id}: the key of this network is {key}."
    if decision.config == advised.config:
        yield "detail.advised: the very network that was decided on."
    if min(advised.prediction.std, advised.prediction.predictive_std) < 0:
        yield "detail.advised.prediction: a standard deviation below 0."


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT


def _about_levels(snapshot: Snapshot) -> Iterator[str]:
    """The session stands where its last decisions have left it."""
    session, decisions = snapshot.session, snapshot.decisions
    names = level_names(session)
    if session.level > len(names):
        yield f"session.level = {session.level}: the last one is {len(names)}."
    for level, number in session.bases.items():
        known = 0 <= number < len(snapshot.trials)
        if not known or not snapshot.trials[number].observed or not 1 <= level <= len(names):
            yield f"session.bases[{level}] = {number}: not a level and a trial that is done."
            return
    stand: tuple[int | None, dict[int, int]] = (1, {})
    values: dict[str, Any] = {}
    for decision in decisions:
        kind, detail = decision.kind, decision.detail
        undone = decisions[detail["undoes"] - 1] if kind == "undo" else None
        if undone is not None and undone.kind in search.SETTING:
            values[search.SETTING[undone.kind]] = undone.detail["from"]
        elif kind in search.SETTING:
            values[search.SETTING[kind]] = detail["to"]
        elif kind in ("advance", "reopen") and decision.trial is not None:
            came_from, to = _bases(detail["from"]), detail["from"]["level"] + 1
            if kind == "advance":
                came_from[to] = decision.trial
            stand = (to if kind == "advance" else None, came_from)
        elif undone is not None and undone.kind in ("advance", "reopen"):
            stand = (undone.detail["from"]["level"], _bases(undone.detail["from"]))
    stands_at, bases = stand
    present = dict(session.bases)
    if stands_at is None:
        # which level was opened again its decision does not tell: any, from a base of its own
        stands_at = session.level
        bases.pop(stands_at, None)
        present.pop(stands_at, None)
    if stands_at != session.level or present != bases:
        yield f"session.level = {session.level}: its decisions lead elsewhere."
    for name, value in values.items():
        value = COST_ALONE if (name, value) == ("wc", "inf") else value
        if getattr(session, name) != value:
            yield f"session.{name} = {getattr(session, name)}: the last decision set it to {value}."


def _bases(start: Mapping[str, Any]) -> dict[int, int]:
    return {int(level): int(number) for level, number in start["bases"].items()}


def _derived(whole: exchange.Document, snapshot: Snapshot, space: Space) -> Iterator[str]:
    """Everything that an export adds to the records, worked out again."""
    best = whole.best
    if best is not None:
        known = 0 <= best.trial < len(snapshot.trials)
        if not known or not snapshot.trials[best.trial].observed:
            yield f"best.trial = {best.trial}: not a trial that is done."
            return
    belief = None
    if best is not None and best.mean is not None and best.std is not None:
        belief = (best.mean, best.std)
        if best.std < 0:
            yield f"best.std = {best.std}: a standard deviation is not below 0."
    chosen = None if best is None else search.Recommendation(snapshot.trials[best.trial], belief)
    again = document(snapshot, space, chosen)
    made = {"exported", "version"}
    given = whole.model_dump(mode="json", by_alias=True, exclude=made)
    wanted = again.model_dump(mode="json", by_alias=True, exclude=made)
    # they stand in the order in which they were timed, or in that of their keys
    for listed in (given, wanted):
        listed["latencies"] = sorted(listed["latencies"], key=lambda found: found["key"])
    yield from _differences("", given, wanted)


def _differences(where: str, given: Any, wanted: Any) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(wanted, dict) and given.keys() == wanted.keys():
        for key, value in given.items():
            yield from _differences(f"{where}.{key}".lstrip("."), value, wanted[key])
    elif isinstance(given, list) and isinstance(wanted, list) and len(given) == len(wanted):
        for index, value in enumerate(given):
            yield from _differences(f"{where}[{index}]", value, wanted[index])
    elif given != wanted:
        yield f"{where} = {_short(given)}: by the rest of the file it is {_short(wanted)}."


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
