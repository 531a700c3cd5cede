"""Where there is nothing to do: what is so already is no error, and nothing is decided by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors.final import identity, wanted
from lcsearch.engine.protocol import unfinished
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import Decision
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app
from lcsearch.tui.widgets.header import engine_words

from .consoles import console, press, toasts, until
from .fakes import FakeClient, make_snapshot
from .sessions_for_tests import filled_store, make_store


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """On level 2 from trial 1; trial 2 withdrawn, 3 paused, 4 asked to stop, 5 queued."""
    monkeypatch.setattr(
        SessionClient, "start_engine", lambda self: pytest.fail("something was done")
    )
    store = filled_store(home, 1)
    store.apply(decide.advance(store.refresh(), 1))
    base = store.refresh().trials[0].config
    for layers in (2, 3, 5, 6):
        snapshot = store.refresh()
        space = session_space(snapshot.session)
        own = space.completed({"conv_layers": layers}, base)
        store.apply(decide.submit(snapshot, space, own, None, kind="new"))
    store.apply(decide.stop(store.refresh(), 2, "now"))
    store.apply(decide.stop(store.refresh(), 3, "pause"))
    store.update_trial(4, {"queued"}, state="running", attempt=1)
    store.apply(decide.stop(store.refresh(), 4, "epoch"))
    yield store
    store.close()


def run(words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words.split())
    assert "Traceback" not in done.stderr
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("set demo --wc 0.1", "w_c is 0.1 already."),
        ("set demo --strategy gp", "gp proposes already."),
        ("set demo --domain kernel=default", "these domains are searched already."),
        ("favour demo", "no region is favoured."),
        ("reopen demo --level 2 --trial 1", "level 2 is open already, from trial 1."),
        ("stop demo --trial 2", "trial 2 has been withdrawn already."),
        ("stop demo --trial 3 --when pause", "trial 3 is paused already."),
        ("stop demo --trial 4", "trial 4: this has been asked of it already."),
        ("resume demo --trial 5", "trial 5 is queued already."),
        ("delete demo --undo", "session demo is there already, and none in the trash."),
    ],
)
def test_what_is_so_already_ends_with_0_and_decides_nothing(
    store: Store, words: str, message: str
) -> None:
    before = store.refresh()
    code, said = run(words)
    assert (code, "lcsearch: " in said) == (0, False), said
    assert message in said
    assert store.refresh() is before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("undo demo", "Nothing to undo"),
        ("favour demo --clear", "No region is favoured: there is nothing to clear."),
    ],
)
def test_where_there_is_nothing_to_take_back_every_command_ends_alike(
    home: Path, words: str, message: str
) -> None:
    before = make_store(home).refresh()
    code, said = run(words)
    assert code == 1
    assert message in said
    assert Store(home / "sessions" / "demo").refresh().decisions == before.decisions


def test_an_engine_that_is_stopped_already_is_no_error(store: Store) -> None:
    for words in ("engine stop demo", "engine stop demo", "engine stop demo --force"):
        code, said = run(words)
        assert (code, "no engine was at work" in said) == (0, True)


def test_what_is_so_already_keeps_nothing_else_from_being_set(store: Store) -> None:
    code, said = run("set demo --wc 0.1 --strategy random")
    assert (code, said.splitlines()) == (0, ["random proposes.", "w_c is 0.1 already."])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("undo demo", "Nothing to undo"),
        ("stop demo", "No trial is running: there is nothing to stop. --trial N withdraws"),
        ("resume demo", "No trial is paused: there is nothing to resume."),
        (
            "repeat demo",
            "No trial is done yet: there is no best network. Let one be trained first.",
        ),
    ],
)
def test_where_there_is_nothing_to_do_it_to_the_command_has_failed(
    home: Path, words: str, message: str
) -> None:
    make_store(home).close()
    code, said = run(words)
    assert (code, said.count("lcsearch: ")) == (1, 1)
    assert message in said


async def test_the_console_says_it_in_a_toast() -> None:
    class Off(FakeClient):
        def set_wc(self, wc: float, reason: str = "") -> Decision:
            return decide.set_wc(self.snapshot, self.snapshot.session.wc).decision

    async with console(Off(make_snapshot())) as pilot:
        await press(pilot, "w")
        await press(pilot, "right", "enter")
        await until(pilot, lambda: "already" in toasts(pilot))


# -- final trainings ----------------------------------------------------------------------------


@pytest.fixture
def finals(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """With final trainings that are queued, paused, and done; one at work in an engine."""
    for name in "abcd":
        store.add_delivery(wanted(store.refresh(), 1, tmp_path / name))
    store.serve(1)
    for number, state in enumerate(("queued", "paused", "done", "running"), start=1):
        store.update_delivery(number, {"queued"}, state=state)
    monkeypatch.setattr(Store, "engine_alive", lambda self: True)
    return store


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("resume demo --final 1", 0, "final training 1 is queued already."),
        ("resume demo --final 4", 0, "final training 4 is running already."),
        ("stop demo --final 2 --when pause", 0, "final training 2 is paused already."),
        ("resume demo --final 3", 1, "final training 3 is done already."),
        ("stop demo --final 3", 1, "final training 3 is done already."),
        ("resume demo --final 4 -o {}/e", 1, "how it is written changes only while it is paused"),
        ("resume demo --final 2 -o {}/a", 2, "final training 1 is to be written there"),
        ("resume demo --final 9", 2, "There are 1 to 4."),
        ("resume demo -o {}/e", 2, "Give --final N too."),
        ("resume demo --final 2 --trial 3", 2, "--trial and --final: use one of them."),
        ("stop demo --final 4 --trial 3", 2, "--trial and --final: use one of them."),
        ("stop demo --final 4 --reason why", 2, "--reason: is kept with decisions on trials."),
    ],
)
def test_what_a_final_training_is_already_and_what_cannot_be_asked_of_it(
    finals: Store, tmp_path: Path, words: str, code: int, message: str
) -> None:
    before = finals.refresh()
    ended, said = run(words.format(tmp_path))
    assert (ended, message in said) == (code, True), said
    assert finals.refresh() is before


def test_a_paused_one_goes_on_in_another_folder(
    finals: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(SessionClient, "start_engine", lambda self: started.append(True))
    session, paused = finals.refresh().session, finals.refresh().deliveries[1]
    part = unfinished(Path(paused.folder), identity(session, paused))
    part.mkdir()
    assert run(f"resume demo --final 2 -o {tmp_path / 'e'}") == (0, "final training 2: goes on.\n")
    found = finals.refresh().deliveries[1]
    assert (found.state, found.folder) == ("interrupted", str(tmp_path / "e"))
    assert started == [True]
    assert not part.exists()
    # its own folder is taken by nobody else
    finals.update_delivery(2, {"interrupted"}, state="paused")
    assert run(f"resume demo --final 2 -o {tmp_path / 'e'}")[0] == 0


@pytest.mark.parametrize(
    ("states", "resume", "stop"),
    [
        (
            ("running", "paused"),
            "2 is: `lcsearch resume demo --final 2`",
            "`lcsearch stop demo --f",
        ),
        (("paused", "paused"), "1 and 2 are: `lcsearch resume demo --final N`", "nothing to stop"),
        (("done", "queued"), "there is nothing to resume", "nothing to stop"),
    ],
)
def test_where_no_trial_is_meant_the_command_for_a_final_training_is_named(
    home: Path, tmp_path: Path, states: tuple[str, ...], resume: str, stop: str
) -> None:
    store = filled_store(home, 1)
    for number, state in enumerate(states, start=1):
        store.add_delivery(wanted(store.refresh(), 1, tmp_path / str(number)))
        store.update_delivery(number, {"queued"}, state=state)
    for words, message in (("resume demo", resume), ("stop demo", stop)):
        code, said = run(words)
        assert (code, message in said) == (1, True), said
    store.close()


@pytest.mark.parametrize(
    ("final", "listed", "told"),
    [
        ("running", "waiting", "Waiting: 1 to train to the end."),
        ("queued", "waiting", "Waiting: 1 to train to the end."),
        ("paused", "paused", "Paused: final training 1; `lcsearch resume demo --final 1` lets it"),
        ("done", "idle", "It starts when a trial is queued."),
    ],
)
def test_a_session_whose_final_training_waits_or_is_paused_is_not_idle(
    home: Path, tmp_path: Path, final: str, listed: str, told: str
) -> None:
    """No engine is at work: what ran waits."""
    store = filled_store(home, 1)
    store.add_delivery(wanted(store.refresh(), 1, tmp_path / "a"))
    store.update_delivery(1, {"queued"}, state=final)
    done = CliRunner().invoke(app, ["list", "--json"])
    assert [one["state"] for one in json.loads(done.stdout)] == [listed]
    assert told in CliRunner().invoke(app, ["engine", "status", "demo"]).stdout
    status = json.loads(CliRunner().invoke(app, ["engine", "status", "demo", "--json"]).stdout)
    assert bool(status["waits"]) == (final != "done")
    assert ("1 paused" in str(engine_words(store.refresh()))) == (final == "paused")
    store.close()


# -- what waits, and what goes on with it -------------------------------------------------------


def test_whatever_says_that_something_waits_names_the_commands_that_go_on(
    home: Path, tmp_path: Path
) -> None:
    make_store(home).close()
    export = tmp_path / "demo.json"
    assert run(f"export demo -o {export}")[0] == 0
    for words in (
        "engine status demo",
        "show demo",
        "list",
        "engine stop demo",
        f"import {export} --name other",
    ):
        done = CliRunner().invoke(app, words.split())
        assert done.exit_code == 0, done.output
        name = words.split()[-1] if "import" in words else "demo"
        assert f"`lcsearch engine start {name}` trains what waits" in done.output, words
        assert f"`lcsearch run {name}` searches on" in done.output, words
    assert run("delete demo")[0] == 0
    assert "`lcsearch engine start demo` trains what waits" in run("delete demo --undo")[1]
    listed = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert [one["alive"] for one in listed] == [False, False]


def test_where_nothing_waits_nothing_is_to_be_gone_on_with(home: Path) -> None:
    filled_store(home, 1).close()
    said = CliRunner().invoke(app, ["engine", "status", "demo"]).stdout
    assert said == "no engine is at work. It starts when a trial is queued.\n"
    assert "engine start" not in CliRunner().invoke(app, ["list"]).output
