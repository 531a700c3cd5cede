"""A client and a home made of records alone, with figures that never change: for the console."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lcsearch.engine import search
from lcsearch.engine.advisor.bounds import Bounds
from lcsearch.engine.advisor.ranking import Front, Nearest, Place, Profile, Proposal, Ranking
from lcsearch.engine.client.home import SessionSummary, SetupError
from lcsearch.engine.client.session import NotTimed
from lcsearch.engine.metric import Confusion
from lcsearch.engine.objective import objective
from lcsearch.engine.protocol import Picture, Ready
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.cnn import POSTER
from lcsearch.engine.tasks.domains import Categorical
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.tasks.task import level_names, session_space
from lcsearch.sessions.choices import Images
from lcsearch.sessions.errors import Deleted, Known, Late, StoreError
from lcsearch.sessions.records import (
    READER,
    Advised,
    Config,
    DataSource,
    DataSummary,
    Decision,
    Delivery,
    Epoch,
    Failure,
    Latency,
    Levels,
    Prediction,
    Session,
    StopMode,
    Trial,
)
from lcsearch.sessions.snapshot import EngineStatus, Plan, Snapshot

from .conftest import PATIENCE

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
SUMMARY = DataSummary(
    channels=1, height=28, width=28, classes=10, train=8000, val=2000, test=10000,
    fingerprint="f" * 64,
)  # fmt: skip


def wobble(config: Config, salt: int = 0) -> float:
    """A number in [0, 1) that depends on the network alone, and not on what later versions add."""
    total = salt * 0.618
    for name in POSTER:
        value = config[name]
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            code = sum(map(ord, item)) if isinstance(item, str) else float(item)
            total += math.sin(len(name) + 1.7 * index + code) * 3.1
    return total % 1.0


def true_error(config: Config) -> float:
    """A made-up f_p: more channels help, and so do larger kernels, a little."""
    width = sum(config["channels"]) / 400
    kernels = sum(config["kernel"]) / (5 * len(config["kernel"]))
    return 0.07 + 0.1 * math.exp(-2 * width) + 0.03 * (1 - kernels) ** 2 + 0.02 * wobble(config)


def cost(space: Space, config: Config) -> float:
    """A made-up f_c: MACs over the reference's."""
    assert space.reference is not None
    return space.known(config)["macs"] / space.known(space.reference)["macs"]


@dataclass(frozen=True)
class FakeRanking(Ranking):
    """A ranking by formula."""

    space: Space | None = None
    configs: tuple[Config, ...] = ()
    trials: tuple[Trial, ...] = ()
    strategy: str = "gp"

    def proposal(self, config: Config, note: str = "") -> Proposal:
        assert self.space is not None
        error = true_error(config) + 0.03 * (wobble(config, 2) - 0.45)
        complexity = cost(self.space, config)
        mean = objective(error, complexity, self.wc)
        std = 0.006 + 0.02 * wobble(config, 1)
        best = self.incumbent or 0.2
        z = (best - mean) / std
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        below = (1 + math.erf(z / math.sqrt(2))) / 2
        exploit, explore = (best - mean) * below, std * density
        ei = max(exploit + explore, 1e-12)
        observed = [t for t in self.trials if t.observed]
        nearest = None
        if observed:
            near = min(observed, key=lambda t: abs(wobble(t.config) - wobble(config)))
            value = search.objective(near, self.wc)
            assert value is not None
            nearest = Nearest(near.number, value, (("kernel", 1), ("batch_norm", 2)))
        belief = Prediction(
            mean=mean, std=std, predictive_std=std * 1.2, ei=ei, log_ei=math.log(ei),
            exploit=exploit, explore=explore, incumbent=best, wc=self.wc, error=error,
            error_std=std * 0.9, complexity=complexity, complexity_std=0.02,
        )  # fmt: skip
        return Proposal(
            id=self.space.key(config), config=config,
            prediction=belief if observed and self.strategy == "gp" else None,
            origin="model", feasible=0.99, known=self.space.known(config),
            nearest=nearest if self.strategy == "gp" else None,
            note=note,
            near=0.62 if observed and self.strategy == "gp" else None,
        )  # fmt: skip

    def evaluate(self, configs: Sequence[Config]) -> list[Proposal]:
        return [self.proposal(config) for config in configs]

    def place_of(self, proposal: Proposal) -> Place:
        assert proposal.prediction is not None
        better = sum(
            p.prediction is not None and p.prediction.ei > proposal.prediction.ei
            for p in self.proposals
        )
        candidate = proposal.id in {p.id for p in self.proposals}
        return Place(1 + better, self.candidates + (not candidate), candidate)

    def reweighted(self, wc: float) -> Ranking:
        return make_ranking(
            self.space, self.trials, self.level, wc, self.configs, strategy=self.strategy
        )

    def limited(self, bounds: Bounds) -> Ranking:
        kept = [config for config in self.configs if self._keeps(config, bounds)]
        return make_ranking(
            self.space, self.trials, self.level, self.wc, kept, strategy=self.strategy
        )

    def share(self, bounds: Bounds) -> float:
        kept = sum(self._keeps(config, bounds) for config in self.configs)
        return kept / max(len(self.configs), 1)

    def _keeps(self, config: Config, bounds: Bounds) -> bool:
        assert self.space is not None
        costs = self.space.known(config)
        inside = all(costs[name] <= most for name, most in bounds.exact.items())
        return inside and true_error(config) <= bounds.error

    def front(self, name: str | None = None) -> Front | None:
        if not self.configs or not self.proposals or self.proposals[0].prediction is None:
            return None
        steps: list[tuple[float, float, float]] = []
        for config in self.configs:
            proposal = self.proposal(config)
            belief = proposal.prediction
            assert belief is not None
            if name is not None and name not in proposal.known:
                return None  # nothing was timed
            value = belief.complexity if name is None else proposal.known[name]
            steps.append((value, belief.error, belief.error_std))
        steps.sort()
        least = [s for at, s in enumerate(steps) if all(s[1] < e for _, e, _ in steps[:at])]
        return Front(*(np.array(column) for column in zip(*least, strict=True)))

    def profile(
        self, config: Config, parameter: str, index: int | None = None, points: int = 64
    ) -> Profile:
        assert self.space is not None
        domain = self.space[parameter].domain
        values = domain.values() or [domain.at((i + 0.5) / points) for i in range(points)]
        if len(values) > points:
            values = [values[i * len(values) // points] for i in range(points)]
        at = np.array([domain.unit(value) for value in values])
        at = np.nan_to_num(at / max(len(values) - 1, 1) if isinstance(domain, Categorical) else at)
        mean = 0.155 + 0.06 * (at - 0.45) ** 2
        std = 0.006 + 0.03 * np.abs(at - 0.3)
        near = np.clip(0.9 - at, 0.0, 1.0)
        categories = isinstance(domain, Categorical)
        return Profile(parameter, index, categories, tuple(values), mean, std, near)

    def posterior(self, number: int, wc: float | None = None) -> tuple[float, float]:
        trial = self.trials[number]
        value = search.objective(trial, self.wc if wc is None else wc)
        if value is None:
            raise KeyError(number)
        return value + 0.001, 0.004

    def best(self, wc: float) -> tuple[int, float, float] | None:
        believed = [(self.posterior(t.number, wc), t.number) for t in self.trials if t.observed]
        if not believed or self.strategy != "gp":
            return None
        (mean, std), number = min(believed)
        return number, mean, std


def make_ranking(
    space: Space | None,
    trials: Sequence[Trial],
    level: int,
    wc: float,
    configs: Sequence[Config],
    count: int = 24,
    strategy: str = "gp",
) -> FakeRanking:
    """A ranking of these configurations, best first."""
    values = [(value, t.number) for t in trials if (value := search.objective(t, wc)) is not None]
    incumbent, number = min(values) if values else (None, None)
    empty = FakeRanking(
        (), 2410, 0.3, incumbent, number, level, wc, not configs,
        "Stay: 6 of 12 trials, and 4.7e-3 may still be gained.",
        (("kernel", 0.5), ("batch_norm", 0.3), ("channels", 0.2)),
        space=space, configs=tuple(configs), trials=tuple(trials), strategy=strategy,
    )  # fmt: skip
    proposals = [empty.proposal(config) for config in configs]
    proposals.sort(key=lambda p: -(p.prediction.ei if p.prediction else 0.0))
    return replace(empty, proposals=tuple(proposals[:count]))


def make_session(**fields: Any) -> Session:
    values: dict[str, Any] = {
        "name": "fashion",
        "created": NOW - timedelta(hours=3),
        "data": DataSource(spec="idx:/data/fashion", train_size=10000, reader=READER),
        "summary": SUMMARY,
        "domains": {"conv_layers": "2..4", "channels": "8..96"},
        **fields,
    }
    return Session(**values)


def make_trial(
    session: Session,
    space: Space,
    number: int,
    level: int,
    config: Config,
    state: str = "done",
    *,
    epochs: int | None = None,
    source: str = "advisor",
    wc: float | None = None,
) -> Trial:
    """A trial with made-up figures; done unless said otherwise."""
    costs = space.known(config)
    error, complexity = true_error(config), cost(space, config)
    done = session.epochs if epochs is None else epochs
    records = tuple(
        Epoch(
            epoch=e, train_loss=1.2 / e, val_accuracy=1 - error - 0.15 * math.exp(-e / 2),
            seconds=1.7 * complexity, reference_seconds=1.7,
        )
        for e in range(1, done + 1)
    )  # fmt: skip
    ranking = make_ranking(space, (), level, session.wc if wc is None else wc, ())
    prediction = replace_observed(ranking, config) if level else None
    started: datetime | None = NOW - timedelta(minutes=60 - number)
    fields: dict[str, Any] = {}
    if state == "done":
        costs["seconds"] = 1.7 * complexity
        fields = {
            "error": error, "complexity": complexity, "reference_costs": {"seconds": 1.7},
            "ended": NOW - timedelta(minutes=60 - number, seconds=-40),
        }  # fmt: skip
    elif state == "failed":
        fields = {
            "failure": Failure(kind="diverged", message="the loss is not finite in epoch 3"),
            "ended": NOW - timedelta(minutes=60 - number, seconds=-10),
        }
    elif state == "queued":
        records, started = (), None
    elif state == "running":
        started = NOW - timedelta(seconds=2 * done * complexity)
    return Trial(
        number=number, level=level, config=config, key=space.key(config), state=state,
        source="reference" if level == 0 else source, seed=0, prediction=prediction,
        created=NOW - timedelta(minutes=61), started=started,
        costs=costs, epochs=records, **fields,
    )  # fmt: skip


def replace_observed(ranking: FakeRanking, config: Config) -> Prediction:
    """The prediction that the fake model had of a network."""
    assert ranking.space is not None
    space = ranking.space
    assert space.reference is not None
    stub = Trial(
        number=0, level=0, config=space.reference, key="", state="done", source="reference",
        seed=0, created=NOW, error=0.1, complexity=1.0,
    )  # fmt: skip
    found = replace(ranking, trials=(stub,), incumbent=0.17).proposal(config).prediction
    assert found is not None
    return found


def passed_over(session: Session, space: Space, trial: Trial) -> dict[str, Any]:
    """What the advisor had first, for a trial of a person's own: it sees less, or more."""
    config = {**trial.config, "kernel": [3 if k == 1 else 1 for k in trial.config["kernel"]]}
    ranking = make_ranking(space, (), trial.level, session.wc, ())
    advised = Advised(
        id=space.key(config), config=config, prediction=replace_observed(ranking, config)
    )
    return advised.model_dump(mode="json")


def changed(snapshot: Snapshot, number: int, **fields: Any) -> Snapshot:
    """The snapshot with another trial of this number."""
    trials = list(snapshot.trials)
    trials[number] = trials[number].model_copy(update=fields)
    return replace(snapshot, trials=tuple(trials))


def timed(
    snapshot: Snapshot, number: int, seconds: float | None = None, beside: float | None = None
) -> Snapshot:
    """The snapshot where this trial took so long, and the reference beside it; None: unknown."""
    trial = snapshot.trials[number]
    costs = {name: cost for name, cost in trial.costs.items() if name != "seconds"}
    if seconds is not None:
        costs["seconds"] = seconds
    reference = {} if beside is None else {"seconds": beside}
    return changed(snapshot, number, costs=costs, reference_costs=reference)


def make_snapshot(
    *,
    level: int = 2,
    done: Sequence[int] = (14, 4),
    running: int = 1,
    queued: int = 2,
    failed: int = 0,
    epochs_done: int = 7,
    alive: bool = True,
    seed: int = 3,
    **fields: Any,
) -> Snapshot:
    """A session in `level` with so many trials done a level, and work under way."""
    session = make_session(level=level, **fields)
    space = session_space(session)
    rng = np.random.default_rng(seed)
    assert space.reference is not None
    trials = [make_trial(session, space, 0, 0, space.reference)]
    bases: dict[int, int] = {}
    base = space.reference
    for at, count in enumerate(done, start=1):
        if at > 1:
            candidates = [t for t in trials if t.observed]
            best = min(candidates, key=lambda t: search.objective(t, session.wc) or 9.0)
            bases[at], base = best.number, best.config
        for i in range(count):
            config = space.sample(rng, at, base)
            source = "edited" if i % 4 == 2 else "advisor"
            trials.append(make_trial(session, space, len(trials), at, config, source=source))
    states = ["failed"] * failed + ["running"] * running + ["queued"] * queued
    for state in states:
        config = space.sample(rng, level, base)
        trials.append(
            make_trial(
                session,
                space,
                len(trials),
                level,
                config,
                state,
                epochs=epochs_done if state == "running" else 2,
            )
        )
    decisions = [
        Decision(
            number=index, at=trial.created, by="person", level=trial.level, trial=trial.number,
            kind="edit" if trial.source == "edited" else "accept", config=trial.config,
            prediction=trial.prediction,
            detail={"advised": passed_over(session, space, trial)}
            if trial.source == "edited" else {},
        )
        for index, trial in enumerate(trials[1:], start=1)
    ]  # fmt: skip
    engine = EngineStatus(alive, "serving" if alive else "none", 4711 if alive else None)
    return Snapshot(
        change=1,
        session=session.model_copy(update={"bases": bases}),
        trials=tuple(trials),
        decisions=tuple(decisions),
        engine=engine,
    )


FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip


def confused(snapshot: Snapshot, names: Sequence[str] = FASHION, *, images: int = 200) -> Snapshot:
    """The session with names for its classes, so many validation images each, and what every
    trial that is done took them for: a tenth of each class for the next one, more of the seventh.
    """
    classes = len(names)
    rows = [[0] * classes for _ in names]
    for at, row in enumerate(rows):
        lost = images // 10 + (images // 5 if at == 6 else at % 3)
        row[(at + 1) % classes] += lost
        row[at] += images - lost
    told = Confusion.of_matrix(rows)
    fields = {
        "recalls": told.recalls(),
        "confusion": Trial.model_validate(
            {**dict(snapshot.trials[0]), "confusion": told.rows()}
        ).confusion,
    }
    summary = snapshot.session.summary.model_copy(
        update={"names": tuple(names), "classes": classes, "val": classes * images}
    )
    return replace(
        snapshot,
        session=snapshot.session.model_copy(update={"summary": summary}),
        trials=tuple(
            t.model_copy(update=fields) if t.state == "done" else t for t in snapshot.trials
        ),
    )


def empty_snapshot() -> Snapshot:
    """A session at its very beginning: the reference is queued, nothing is known."""
    session = make_session()
    space = session_space(session)
    assert space.reference is not None
    return Snapshot(
        change=1,
        session=session,
        trials=(make_trial(session, space, 0, 0, space.reference, "queued"),),
        decisions=(),
        engine=EngineStatus(True, "serving", 4711),
    )


def applied(snapshot: Snapshot, plan: Plan) -> tuple[Snapshot, Decision]:
    """The session after a plan, and the decision as it is kept: what a store does, in memory.

    Raises Late and Known as the store; tests/test_fakes.py holds both against each other.
    """
    session = snapshot.session
    for name, value in plan.expect.items():
        if getattr(session, name) != value:
            raise Late(f"{name} was changed meanwhile.")
    trials = list(snapshot.trials)
    if plan.unique is not None:
        for trial in trials:
            if trial.key == plan.unique and trial.state not in ("cancelled", "stopped", "failed"):
                raise Known(f"trial {trial.number} is this very network ({trial.state}).")
    for update in plan.updates:
        trial = trials[update.number]
        if trial.state not in update.states:
            raise Late(f"trial {trial.number} is {trial.state}.")
        asks = update.fields.get("stop_request") is not None
        if asks and trial.stop_request != update.stop_request:
            raise Late(f"trial {trial.number} was asked for something else meanwhile.")
        trials[update.number] = trial.model_copy(update=dict(update.fields))
    if plan.last is not None and plan.last != len(snapshot.decisions):
        raise Late("something else was decided meanwhile.")
    number = plan.decision.trial
    if plan.trial is not None:
        number = len(trials)
        same = [trial for trial in trials if trial.key == plan.trial.key]
        again = 0 if plan.trial.repeat_of is None else len(same)
        given = {"number": number, "seed": plan.trial.seed + again}
        trials.append(plan.trial.model_copy(update=given))
    numbered = {"number": len(snapshot.decisions) + 1, "trial": number}
    decision = plan.decision.model_copy(update=numbered)
    after = replace(
        snapshot,
        change=snapshot.change + 1,
        session=session.model_copy(update=dict(plan.session)),
        trials=tuple(trials),
        # as it is read back
        decisions=(*snapshot.decisions, Decision.model_validate_json(decision.model_dump_json())),
    )
    return after, decision


def delivery(**told: Any) -> Delivery:
    """A final training of trial 1."""
    fields: dict[str, Any] = {
        "number": 1, "trial": 1, "images": "session", "epochs": 2, "seeds": (1,),
        "folder": "/nowhere/out", "created": NOW,
    }  # fmt: skip
    return Delivery.model_validate({**fields, **told})


@dataclass
class FakeClient:
    """A client over records alone: it remembers every call, and decides as a real one does."""

    snapshot: Snapshot
    folder: Path = Path("/nowhere/sessions/fashion")
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    candidates: int = 24
    late: str = ""
    known: str = ""
    """Why a network cannot be queued: it is a trial already."""
    not_timed: str = ""
    """Why no network can be timed."""
    gone: bool = False
    """Somebody else has moved the session to the trash."""
    ranked: int = 0
    closed: bool = False
    looks: list[dict[str, str]] = field(default_factory=list)
    """The domains of every ranking."""
    advised: list[Advised | None] = field(default_factory=list)
    """What the advisor had first when a network was queued."""
    slow: threading.Event | None = None
    """Where there is one, a ranking is not ready before it is set."""

    def __post_init__(self) -> None:
        self.space = session_space(self.snapshot.session)

    def refresh(self) -> Snapshot:
        if self.gone:
            raise Deleted(f"session {self.folder.name!r}: was deleted.")
        self.space = session_space(self.snapshot.session)
        return self.snapshot

    def change(self, **fields: Any) -> None:
        """Something happened to the session."""
        self.snapshot = replace(self.snapshot, change=self.snapshot.change + 1, **fields)

    def elsewhere(self, **fields: Any) -> None:
        """Somebody else has changed these fields of the session."""
        self.change(session=self.snapshot.session.model_copy(update=fields))

    def time(self, ranking: Ranking, of: Snapshot | None = None) -> int:
        if self.not_timed:
            raise NotTimed(self.not_timed)
        if of is None or not search.counts_latency(of.session):
            return 0
        self.calls.append(("time", dict(of.session.limits)))
        found = {
            p.id: Latency(
                key=p.id,
                config=p.config,
                runtime="onnx",
                machine="this one",
                ratio=0.5 + 0.1 * place,
                milliseconds=0.05 + 0.01 * place,
                variation=0.01,
            )
            for place, p in enumerate(ranking.proposals)
        }
        self.snapshot = replace(self.snapshot, latencies=found)
        return len(found)

    def rank(self, snapshot: Snapshot, *, wc: float | None = None, count: int = 10) -> Ranking:
        self.ranked += 1
        if self.slow is not None:
            self.slow.wait(PATIENCE)
        session = snapshot.session
        self.looks.append(dict(session.domains))
        space, level = session_space(session), search.searched_level(session)
        base = search.base_trial(snapshot).config
        rng = np.random.default_rng(len(snapshot.trials))
        taken = {t.key for t in snapshot.trials}
        configs: list[Config] = []
        while len(configs) < self.candidates:
            config = space.sample(rng, level, base)
            if space.key(config) not in taken:
                taken.add(space.key(config))
                configs.append(config)
        return make_ranking(
            space, snapshot.trials, level, session.wc if wc is None else wc, configs, count,
            session.strategy,
        )  # fmt: skip

    def _apply(self, plan: Plan) -> Decision:
        """What the store would do with it."""
        if self.late:
            raise Late(self.late)
        if self.known and plan.unique is not None:
            raise Known(self.known)
        self.snapshot, decision = applied(self.refresh(), plan)
        return decision

    def accept(
        self, proposal: Proposal, reason: str = "", *, advised: Advised | None = None
    ) -> Decision:
        self.calls.append(("accept", proposal.id, reason))
        self.advised.append(advised)
        return self._apply(
            decide.accept(
                self.snapshot, self.space, proposal.config, proposal.prediction,
                reason=reason, advised=advised,
            )
        )  # fmt: skip

    def submit(
        self,
        config: Config,
        prediction: Prediction | None,
        *,
        kind: Literal["edit", "new"],
        reason: str = "",
        advised: Advised | None = None,
    ) -> Decision:
        self.advised.append(advised)
        self.calls.append(("submit", config, prediction, kind, reason))
        return self._apply(
            decide.submit(
                self.snapshot, self.space, config, prediction,
                kind=kind, reason=reason, advised=advised,
            )
        )  # fmt: skip

    def reject(self, proposal: Proposal, reason: str = "") -> Decision:
        self.calls.append(("reject", proposal.id, reason))
        return self._apply(
            decide.reject(self.snapshot, proposal.config, proposal.prediction, reason)
        )

    def repeat(self, number: int | None = None, reason: str = "") -> Decision:
        self.calls.append(("repeat", number, reason))
        assert number is not None
        return self._apply(decide.repeat(self.snapshot, self.space, number, reason))

    def stop(self, number: int, mode: StopMode, reason: str = "") -> Decision:
        self.calls.append(("stop", number, mode, reason))
        return self._apply(decide.stop(self.snapshot, number, mode, reason))

    def resume(self, number: int) -> Decision:
        self.calls.append(("resume", number))
        return self._apply(decide.resume(self.snapshot, number))

    def undo(self, meant: int | None = None) -> Decision:
        self.calls.append(("undo",))
        return self._apply(decide.undo(self.snapshot, meant))

    def advance(self, number: int | None = None, *, left: int | None = None) -> Decision:
        self.calls.append(("advance", number))
        return self._apply(decide.advance(self.snapshot, number, left=left))

    def reopen(self, level: int, number: int | None = None) -> Decision:
        self.calls.append(("reopen", level, number))
        return self._apply(decide.reopen(self.snapshot, level, number))

    def set_wc(self, wc: float, reason: str = "") -> Decision:
        self.calls.append(("set_wc", wc))
        return self._apply(decide.set_wc(self.snapshot, wc, reason))

    def set_strategy(self, strategy: str, reason: str = "") -> Decision:
        self.calls.append(("set_strategy", strategy))
        return self._apply(decide.set_strategy(self.snapshot, strategy, reason))

    def set_limits(self, changes: Mapping[str, float | None], reason: str = "") -> Decision:
        self.calls.append(("set_limits", dict(changes)))
        return self._apply(decide.set_limits(self.snapshot, changes, reason))

    def set_domains(self, domains: Mapping[str, str], reason: str = "") -> Decision:
        self.calls.append(("set_domains", dict(domains)))
        return self._apply(decide.set_domains(self.snapshot, domains, reason))

    def favour(self, region: Mapping[str, str], reason: str = "") -> Decision:
        self.calls.append(("favour", dict(region)))
        return self._apply(decide.favour(self.snapshot, region, reason))

    def autopilot(
        self, *, trials: int | None = None, minutes: float | None = None,
        levels: Levels = "this", until_flat: bool = False,
    ) -> Decision:  # fmt: skip
        self.calls.append(("autopilot", trials, minutes, levels, until_flat))
        return self._apply(
            decide.autopilot(
                self.snapshot, trials=trials, minutes=minutes, levels=levels,
                until_flat=until_flat,
            )
        )  # fmt: skip

    def takeover(self) -> Decision:
        self.calls.append(("takeover",))
        return self._apply(decide.takeover(self.snapshot))

    def start_engine(self) -> None:
        self.calls.append(("start_engine",))

    def all_images(self) -> DataSummary:
        return self.snapshot.session.summary

    def deliver(
        self,
        number: int,
        folder: Path,
        *,
        epochs: int,
        images: Images | None = None,
        seeds: int = 1,
        onnx: bool = False,
        int8: bool = False,
        accept_loss: bool = False,
    ) -> Delivery:
        forms = onnx, int8, accept_loss
        self.calls.append(("deliver", number, folder, epochs, images, seeds, *forms))
        made = delivery(
            number=len(self.snapshot.deliveries) + 1, trial=number, folder=str(folder),
            epochs=epochs, images=images or "session", seeds=tuple(range(seeds)), onnx=onnx,
            int8=int8, accept_loss=accept_loss,
        )  # fmt: skip
        self.change(deliveries=(*self.snapshot.deliveries, made))
        return made

    def stop_delivery(self, number: int, mode: StopMode) -> None:
        self.calls.append(("stop_delivery", number, mode))

    def resume_delivery(
        self,
        number: int,
        folder: Path | None = None,
        *,
        accept_loss: bool = False,
        int8: bool = True,
    ) -> None:
        self.calls.append(("resume_delivery", number))

    def deliveries_are(self, *deliveries: Delivery) -> None:
        """What the engine has made of them."""
        self.change(deliveries=deliveries)

    def log_tail(self, lines: int = 20) -> str:
        return "the engine's last words"

    def recommended(self, snapshot: Snapshot) -> search.Recommendation | None:
        return search.recommended(snapshot, None)

    def export(self, path: Path) -> None:
        self.calls.append(("export", path))
        path.write_text("{}")

    def close(self) -> None:
        self.closed = True

    def made(self, name: str) -> list[tuple[Any, ...]]:
        """The calls of this name."""
        return [call[1:] for call in self.calls if call[0] == name]


def found_images(data: DataSource, *_: object) -> Ready:
    """Ten classes of the images that were asked for, red, green or blue."""
    side = data.image_size or (28, 28)
    counts = dict.fromkeys(("train", "val", "test"), (50,) * 10)
    summary = DataSummary(
        channels=3,
        height=side[0],
        width=side[1],
        classes=10,
        train=500,
        val=500,
        test=500,
        fingerprint="f",
        names=tuple(f"class {number}" for number in range(10)),
        counts=counts,
        notes=(f"All images are brought to {side[1]}x{side[0]} ({data.fit}).",),
    )
    colours = ("c04040", "40c040", "4040c0")
    pictures = tuple(
        Picture(label=at, rows=(colours[at % 3] * 20,) * 20) for at in range(summary.classes)
    )
    return Ready(summary=summary, pictures=pictures)


@dataclass
class FakeHome:
    """Sessions by name; remembers what was created and deleted."""

    clients: dict[str, FakeClient] = field(default_factory=dict)
    home: Path = Path("/nowhere")
    refuse: str = ""
    created: list[Any] = field(default_factory=list)
    trash: dict[str, FakeClient] = field(default_factory=dict)
    damaged: str = ""
    waiting: str = ""
    """What waits in every session."""
    slow: threading.Event | None = None
    """Where there is one, no session is set up before it is set."""
    looked: list[DataSource] = field(default_factory=list)
    found: Callable[[DataSource, Callable[[int, int], None], threading.Event], Ready | str] = (
        lambda data, progress, cancelled: f"{data.spec}: there is no such folder."
    )
    """What looking at a data set gives, or why it cannot be used."""

    def summaries(self) -> list[SessionSummary]:
        found = []
        for name, client in self.clients.items():
            session, trials = client.snapshot.session, client.snapshot.trials
            best = search.best_measured(client.snapshot)
            found.append(
                SessionSummary(
                    name=name,
                    created=session.created.isoformat(),
                    data=session.data.spec,
                    level=session.level,
                    levels=level_names(session),
                    trials=sum(t.state == "done" for t in trials),
                    wc=session.wc,
                    best=None if best is None else search.objective(best, session.wc),
                    best_trial=None if best is None else best.number,
                    state="training" if any(t.state == "running" for t in trials) else "idle",
                )
            )
        if self.damaged:
            found.append(SessionSummary(name=self.damaged, state="corrupt: not a database"))
        return found

    def look(
        self,
        data: DataSource,
        progress: Callable[[int, int], None],
        cancelled: threading.Event,
    ) -> Ready:
        self.looked.append(data)
        answer = self.found(data, progress, cancelled)
        if isinstance(answer, str):
            raise SetupError(answer)
        return answer

    def create(self, setup: Any, progress: Any = None, cancelled: Any = None) -> None:
        if self.slow is not None:
            self.slow.wait(PATIENCE)
        if self.refuse:
            raise SetupError(self.refuse)
        self.created.append(setup)
        client = FakeClient(empty_snapshot())
        client.snapshot = replace(
            client.snapshot, session=client.snapshot.session.model_copy(update={"name": setup.name})
        )
        self.clients[setup.name] = client

    def delete(self, name: str) -> object:
        self.trash[name] = self.clients.pop(name)
        return name

    def restore(self, token: Any) -> None:
        self.clients[token] = self.trash.pop(token)

    def trashed(self, name: str) -> object | None:
        return name if name in self.trash else None

    def waits(self, name: str) -> str:
        return self.waiting

    def bring_back(self, file: Path, name: str | None = None) -> str:
        if self.refuse:
            raise StoreError(self.refuse)
        found = name or file.stem
        self.clients[found] = FakeClient(empty_snapshot())
        return found

    def open(self, name: str) -> FakeClient:
        if name not in self.clients:
            raise StoreError(f"session {name!r}: not found. `lcsearch new NAME` makes one.")
        return self.clients[name]

    def session(self, name: str) -> Session:
        return self.clients[name].snapshot.session
