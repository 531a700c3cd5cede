"""Export and import: a session comes back whole, and what contradicts itself does not."""

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lcsearch.engine import search
from lcsearch.engine.client import imports as archive
from lcsearch.engine.executors.final import Finisher, identity, wanted
from lcsearch.engine.protocol import unfinished
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import exact_complexity, measure_of, session_space
from lcsearch.sessions import exchange
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import Failure, StopMode, now
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app

from .sessions_for_tests import filled_store, finish, make_store, trial_of


def whole(store: Store) -> exchange.Document:
    """The document of a session, its best network the best measured one."""
    snapshot = store.refresh()
    best = search.best_measured(snapshot)
    return archive.document(
        snapshot,
        session_space(snapshot.session),
        None if best is None else search.Recommendation(best, (0.2, 0.01)),
    )


def plain(document: exchange.Document) -> dict[str, Any]:
    """What must be the same: all but the time of export."""
    found: dict[str, Any] = json.loads(exchange.text(document))
    del found["exported"]
    return found


def walk(home: Path, seed: int) -> Store:
    """A session with a past of thirty random steps: all that people, engine and luck can do."""
    luck = random.Random(seed)
    rng = np.random.default_rng(seed)
    measure = luck.choice(["seconds", "params", "macs"])
    store = make_store(home, f"walk-{seed}", measure=measure, seed=seed)
    finish_by_measure(store, 0, 0.2, 1.0)
    for _ in range(30):
        snapshot = store.refresh()
        space = session_space(snapshot.session)
        queued = [t.number for t in snapshot.trials if t.state == "queued"]
        done = [t.number for t in snapshot.trials if t.observed]
        config = space.sample(
            rng, search.searched_level(snapshot.session), search.base_trial(snapshot).config
        )
        try:
            match luck.choice(
                ["accept", "accept", "new", "finish", "finish", "fail", "stop", "pause", "undo",
                 "repeat", "reject", "wc", "advance", "reopen", "autopilot", "domains"]
            ):  # fmt: skip
                case "accept":
                    store.apply(decide.accept(snapshot, space, config, None, reason="<b>why</b>"))
                case "new":
                    store.apply(decide.submit(snapshot, space, config, None, kind="new"))
                case "finish" if queued:
                    ratio = luck.uniform(0.3, 2)
                    finish_by_measure(store, queued[0], luck.uniform(0.02, 0.5), ratio)
                case "fail" if queued:
                    store.update_trial(queued[0], {"queued"}, state="running", attempt=1)
                    failure = Failure(kind="diverged", message="the loss is nan")
                    store.update_trial(
                        queued[0], {"running"}, state="failed", failure=failure, ended=now()
                    )
                case "stop" | "pause" as how if queued:
                    mode: StopMode = "pause" if how == "pause" else "now"
                    store.apply(decide.stop(snapshot, queued[-1], mode))
                case "undo":
                    store.apply(decide.undo(snapshot))
                case "repeat":
                    store.apply(decide.repeat(snapshot, space, luck.choice(done)))
                case "reject":
                    store.apply(decide.reject(snapshot, config, None, "no  🙂"))
                case "wc":
                    store.apply(decide.set_wc(snapshot, luck.choice([0.0, 0.1, 1.0])))
                case "advance":
                    best = search.best_measured(snapshot)
                    assert best is not None
                    store.apply(decide.advance(snapshot, best.number))
                case "reopen":
                    level = luck.randint(1, search.reached(snapshot.session))
                    store.apply(decide.reopen(snapshot, level, luck.choice(done)))
                case "autopilot":
                    store.apply(decide.autopilot(snapshot, trials=3))
                case "domains":
                    store.apply(decide.set_domains(snapshot, {"conv_layers": "2..6"}))
        except StoreError:
            continue  # it was not possible then
    return store


def finish_by_measure(store: Store, number: int, error: float, ratio: float) -> None:
    """`finish`, with the complexity that the session's measure gives."""
    finish(store, number, error, ratio)
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    exact = exact_complexity(space, snapshot.trials[number].config, measure_of(snapshot.session))
    if exact is not None:
        store.update_trial(number, {"done"}, complexity=exact)


@pytest.mark.parametrize("seed", range(12))
def test_export_import_export_is_the_same(home: Path, tmp_path: Path, seed: int) -> None:
    first = whole(walk(home, seed))
    file = tmp_path / "out.json"
    exchange.write(file, first)
    folder = archive.bring_back(tmp_path / "elsewhere", file)
    assert plain(whole(Store(folder))) == plain(first)


def test_the_walks_come_across_everything(home: Path) -> None:
    kinds: set[str] = set()
    states: set[str] = set()
    levels: set[int] = set()
    for seed in range(6):
        snapshot = walk(home, seed).refresh()
        kinds |= {d.kind for d in snapshot.decisions}
        states |= {t.state for t in snapshot.trials}
        levels.add(snapshot.session.level)
    assert kinds >= {"accept", "new", "repeat", "undo", "reject", "wc", "advance", "reopen", "stop"}
    assert states >= {"done", "failed", "queued", "cancelled", "paused"}
    assert len(levels) > 1


def test_the_commands_bring_a_session_back_with_its_belief(home: Path, tmp_path: Path) -> None:
    store = filled_store(home, 4)
    store.close()
    run = CliRunner().invoke
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert run(app, ["export", "demo", "-o", str(one)]).exit_code == 0
    taken = run(app, ["import", str(one)])
    assert taken.exit_code == 2
    assert "exists already" in taken.stderr
    assert "--name demo-2" in taken.stderr
    assert run(app, ["import", str(one), "--name", "again"]).exit_code == 0
    assert run(app, ["export", "again", "-o", str(two)]).exit_code == 0
    first, second = (json.loads(path.read_text()) for path in (one, two))
    for data in (first, second):
        del data["exported"]
    assert second["session"].pop("name") == "again"
    del first["session"]["name"]
    assert second == first
    assert first["best"]["mean"] is not None


def test_what_ran_waits_and_nothing_starts_by_itself(home: Path, tmp_path: Path) -> None:
    store = filled_store(home, 2)
    snapshot = store.refresh()
    space = session_space(snapshot.session)
    for _ in range(2):
        store.apply(decide.repeat(store.refresh(), space, 1))
    store.update_trial(3, {"queued"}, state="running", attempt=1, started=now())
    file = tmp_path / "out.json"
    exchange.write(file, whole(store))
    back = Store(archive.bring_back(tmp_path / "other", file))
    snapshot = back.refresh()
    assert [t.state for t in snapshot.trials[3:]] == ["interrupted", "queued"]
    assert snapshot.engine.state == "stopped"
    assert not snapshot.engine.alive
    assert "imported" in snapshot.engine.message


def test_final_trainings_come_along_and_none_of_them_goes_on_here(
    home: Path, tmp_path: Path
) -> None:
    store = filled_store(home, 2)
    at = now()
    for name in "abcd":
        store.add_delivery(wanted(store.refresh(), 1, tmp_path / name))
    store.serve(1)
    store.update_delivery(
        1, {"queued"}, state="done", scores=(0.9,), started=at, ended=at, done=1.0
    )
    store.update_delivery(2, {"queued"}, state="running", started=at, epoch=3)
    store.update_delivery(3, {"queued"}, state="paused", started=at, message="no room.")
    first = whole(store)
    file = tmp_path / "out.json"
    exchange.write(file, first)
    assert [one.state for one in exchange.read(file).finals] == [
        "done", "running", "paused", "queued",
    ]  # fmt: skip
    back = Store(archive.bring_back(tmp_path / "other", file))
    found = back.refresh().deliveries
    assert found[0] == store.refresh().deliveries[0]
    assert [one.state for one in found] == ["done", *["stopped"] * 3]
    assert all(one.ended == first.exported and one.started is None for one in found[1:])
    assert back.refresh().engine.state == "none"  # nothing waits
    # what the first one is writing is nothing of ours, though it is to be written to the same place
    part = unfinished(Path(found[1].folder), identity(back.refresh().session, found[1]))
    part.mkdir()
    with (back.folder / "engine.log").open("ab") as log:
        Finisher(back, log).turn(back.refresh(), free=True)
    assert part.exists()
    again = tmp_path / "again.json"
    exchange.write(again, whole(back))
    assert plain(whole(Store(archive.bring_back(tmp_path / "third", again)))) == plain(whole(back))


def change(data: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The document with another value at `a.0.b`."""
    changed = copy.deepcopy(data)
    *way, last = path.split(".")
    place: Any = changed
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = value
    return changed


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A document with two levels, a repeat, a rejection and another w_c."""
    home = tmp_path_factory.mktemp("home")
    store = filled_store(home, 4)
    space = session_space(store.refresh().session)
    store.apply(decide.set_wc(store.refresh(), 0.3))
    store.apply(decide.reject(store.refresh(), store.refresh().trials[1].config, None, "too deep"))
    repeated = store.apply(decide.repeat(store.refresh(), space, 2))
    finish(store, trial_of(repeated), 0.2, 0.9)
    store.apply(decide.advance(store.refresh(), 2))
    store.apply(decide.undo(store.refresh()))
    store.apply(decide.advance(store.refresh(), 3))
    store.add_delivery(wanted(store.refresh(), 1, home / "net", seeds=2))
    store.update_delivery(
        1, {"queued"}, state="done", scores=(0.9, 0.8), started=now(), ended=now(), done=1.0
    )
    found: dict[str, Any] = json.loads(exchange.text(whole(store)))
    return found


def refused(tmp_path: Path, data: object) -> str:
    """Why this is not imported; nothing of it must be left."""
    file, home = tmp_path / "in.json", tmp_path / "home-of-it"
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    with pytest.raises(StoreError) as raised:
        archive.bring_back(home, file)
    assert not list((home / "sessions").glob("*")) if home.exists() else True
    assert str(raised.value).startswith(str(file))
    return str(raised.value)


def test_the_document_itself_is_taken(exported: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_text(json.dumps(exported))
    assert archive.bring_back(tmp_path / "home", file).name == "demo"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("trials.2.number", 7, "numbered from 0, no gap"),
        ("trials.2.params", 5, "params = 5"),
        ("trials.2.costs.params", 5, "costs.params = 5"),
        ("trials.2.costs.weather", 5, "measures nothing of that name"),
        ("trials.2.reference_costs.params", 5, "measures nothing of that name"),
        ("trials.2.costs.seconds", -5, "less than nothing"),
        ("session.summary.height", 10**310, "not an image"),
        ("session.task", "chess", "task chess: unknown"),
        ("session.measure", "watts", "measure watts: unknown"),
        ("trials.2.macs", 5, "macs = 5"),
        ("trials.2.key", "0" * 12, "the key of this network is"),
        ("trials.2.config.colour", "red", "colour is no parameter"),
        ("trials.2.config.conv_layers", 99, "conv_layers = 99"),
        ("trials.2.config.weight_decay", "x", "weight_decay = x"),
        ("trials.2.error", 0.01, "the epochs say"),
        ("trials.2.complexity", 0.01, "the epochs say"),
        ("trials.2.costs.seconds", 0.01, "the epochs say"),
        ("trials.2.epochs.0.epoch", 2, "numbered from 1, no gap"),
        ("trials.2.epochs.0.val_accuracy", 1.5, "between 0 and 1"),
        ("trials.2.epochs", [], "as many as the session"),
        ("trials.2.f", 0.01, "trials[2].f = 0.01"),
        ("trials.2.level", 9, "has levels 1 to 4"),
        ("trials.2.seed", 5, "seed 0 there"),
        ("trials.2.seed", 10**30, "seed 0 there"),
        ("trials.2.attempt", 10**30, "not a count"),
        ("trials.2.state", "failed", "a failure is told where"),
        ("trials.2.state", "queued", "only a trial that is done"),
        ("trials.2.stop_request", "now", "only what runs"),
        ("trials.5.repeat_of", 9, "no trial before it"),
        ("trials.5.repeat_of", 1, "that is another network"),
        ("trials.2.surprise", 1, "trials[2].surprise"),
        ("trials", [], "trials is empty"),
        ("decisions.0.trial", 99, "trial 99 is not in this session"),
        ("decisions.0.trial", 2, "another network"),
        ("decisions.0.number", 4, "counted from 1"),
        ("decisions.0.kind", "reject", "no decision has queued it"),
        ("decisions.0.config.batch_size", 99, "another network"),
        ("decisions.8.detail.undoes", 2, "which cannot be"),
        ("decisions.8.detail", {}, "not what a decision of kind undo keeps"),
        ("decisions.7.detail", {"from": {"level": "x"}}, "not what a decision of kind advance"),
        ("session.w_c", 0.1, "the last decision set it to 0.3"),
        ("session.w_c", -1, "session.w_c"),
        ("session.level", 1, "its decisions lead elsewhere"),
        ("session.level", 7, "the last one is 4"),
        ("session.bases", {"2": 77}, "not a level and a trial"),
        ("session.bases", {"2": 1}, "its decisions lead elsewhere"),
        ("session.epochs", 2, "at most 2"),
        ("session.domains", {"conv_layers": "9..1"}, "reversed"),
        ("session.summary.height", 10**12, "not an image"),
        ("session.summary.classes", 7, "trial 0"),
        ("session.seed", 3, "seed 3000 there"),
        ("session.name", "../../evil", "--name"),
        ("session.name", "a\u001b[2Jb", "control characters"),
        ("best.trial", 77, "not a trial that is done"),
        ("best.f", 0.0, "best.f = 0.0"),
        ("best_measured.trial", 1, "best_measured"),
        ("levels.0.trials", [1], "levels[0].trials"),
        ("space.domains.kernel", "3", "space.domains.kernel"),
        ("reference.params", 3, "reference.params"),
        ("version", 9, "newer lcsearch (version 9, this one reads 8)"),
        ("finals.0.number", 3, "finals[0].number = 3: counted from 1, no gap"),
        ("finals.0.trial", 77, "final 1: trial 77 is not in this session"),
        ("finals.0.training", 3, "training = 3: it has 2"),
        ("finals.0.epoch", 31, "epoch = 31: its trainings have 30"),
        ("finals.0.scores", [0.9], "1 scores: it has 2 seeds"),
        ("finals.0.scores", [0.9, 1.5], "scores lie between 0 and 1"),
        ("finals.0.metric_score", 0.9, "final 1: metric_score = 0.9"),
        ("finals.0.ended", None, "what has ended says when"),
        ("finals.0.stop_request", "now", "final 1: stop_request = now"),
        ("finals.0.folder", "a\u001b[2Jb", "control characters"),
        ("format", "something", "not an exported session"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(
    exported: dict[str, Any], tmp_path: Path, path: str, value: object, words: str
) -> None:
    assert words in refused(tmp_path, change(exported, path, value))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[: len(text) // 2], "not JSON, or cut off"),
        (lambda text: "", "not JSON, or cut off"),
        (lambda text: "[]", "not an exported session"),
        (lambda text: "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        (lambda text: text.replace('"decisions": [', '"decisions": [' + "[" * 60 + "]" * 60 + ","),
         "nested too deeply"),
        (lambda text: text.replace('"w_c": 0.3', '"w_c": NaN', 1), "NaN is no number"),
        (lambda text: text.replace('"w_c": 0.3', '"w_c": -Infinity', 1), "Infinity is no number"),
        (lambda text: text.replace('"w_c": 0.3', '"w_c": 1e999', 1), "too large a number"),
        (lambda text: text.replace('"w_c": 0.3', '"w_c": ' + "9" * 5000, 1), "too many digits"),
        (lambda text: text.replace('"w_c": 0.3', '"w_c": 0.3, "w_c": 0.4', 1), "given twice"),
        (lambda text: text.replace("too deep", "\\ud800"), "control characters"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_such_json_is_refused(
    exported: dict[str, Any], tmp_path: Path, spoil: Callable[[str], str], words: str
) -> None:
    text = json.dumps(exported)
    spoilt = spoil(text)
    assert spoilt != text
    assert words in refused(tmp_path, spoilt)


def test_a_gigabyte_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "big.json"
    file.touch()
    os.truncate(file, 2**30)
    with pytest.raises(StoreError, match="1,024 MiB, and an import is at most 64 MiB"):
        exchange.read(file)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), tmp_path / "missing"):
        with pytest.raises(StoreError, match=r"cannot be read|not a file"):
            exchange.read(path)
