"""Where there is nothing to do: what is so already is no error, and nothing is decided by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.search import decide
from lcsearch.engine.tasks.task import session_space
from lcsearch.sessions.records import Decision
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app

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
