"""What every command says to a wrong value, and the code that it ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcsearch.engine.client.session import SessionClient
from lcsearch.engine.executors import devices
from lcsearch.tui.cli import app

from .sessions_for_tests import filled_store, make_store

WRONG, FAILED = 2, 1
NO_SESSION = "session 'none': not found. Sessions: demo, new. `lcsearch new NAME` makes one."
NO_TRIAL = "trial 99: there is no such trial. This session has trials 0 to 4."


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two sessions: `demo`, four trials of which are done, and `new`, untouched."""
    home = tmp_path_factory.mktemp("home")
    filled_store(home, 4, name="demo").close()
    make_store(home, "new").close()
    (home / "notes.txt").write_text("no session")
    (home / "full").mkdir()
    (home / "full" / "file").touch()
    return home


@pytest.fixture
def run(walked: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[int, str]]:
    """Runs a command, in which HOME stands for the home and nothing else is shared."""
    monkeypatch.setenv("LCSEARCH_HOME", str(walked))
    monkeypatch.setattr(devices, "processors", lambda: 2)
    monkeypatch.setattr(devices, "processors_only", lambda: True)
    monkeypatch.setattr(
        SessionClient, "start_engine", lambda self: pytest.fail("something was done")
    )

    def run(words: str) -> tuple[int, str]:
        given = [word.replace("HOME", str(walked)) for word in words.split()]
        done = CliRunner().invoke(app, given, input="")
        assert done.stdout == ""
        return done.exit_code, done.stderr.replace(str(walked), "HOME")

    return run


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        # a session that is not there, or cannot be
        *(
            (f"{command.replace('NAME', 'none')}", WRONG, NO_SESSION)
            for command in (
                "show NAME", "export NAME", "report NAME -o HOME/x.html", "run NAME",
                "plot NAME curves -o HOME/x.svg", "delete NAME", "propose NAME", "accept NAME",
                "reject NAME --rank 1", "stop NAME", "resume NAME", "repeat NAME", "undo NAME",
                "advance NAME", "reopen NAME --level 1", "set NAME --wc 1", "favour NAME",
                "train NAME -o HOME/net", "logs NAME", "engine status NAME", "engine start NAME",
                "engine stop NAME", "serve NAME",
            )
        ),
        ("show ../up", WRONG, "not usable"),
        ("new a/b", WRONG, "not usable"),
        ("new demo", WRONG, "session 'demo': exists already. Choose another name"),
        ("delete none --undo", WRONG, "no deleted session of this name is kept"),
        ("tui", WRONG, "needs a terminal"),
        ("demo", WRONG, "needs a terminal"),
        # a new session
        ("new x --data dogs", WRONG, "unknown data set 'dogs'"),
        ("new x --data foo:bar", WRONG, "unknown data set 'foo:bar'"),
        ("new x --data idx:HOME/nope", WRONG, "idx:HOME/nope: there is no such folder"),
        ("new x --data npz:HOME/nope", WRONG, "npz:HOME/nope: there is no such file"),
        ("new x --set conv_layers=6..2", WRONG, "reversed"),
        ("new x --set conv_layers", WRONG, "PARAM=DOMAIN"),
        ("new x --set colour=1", WRONG, "colour is no parameter"),
        ("new x --wc -1", WRONG, "--wc -1.0: not usable"),
        ("new x --val-fraction 2", WRONG, "--val-fraction 2.0: not usable"),
        ("new x --features wide", WRONG, "--features wide: not usable"),
        ("new x --features \u00b2", WRONG, "--features"),
        ("new x --macs-cap 0", WRONG, "--macs-cap 0.0: not usable"),
        ("new x --preset poster", WRONG, "CIFAR-10"),
        ("new x --preset other", WRONG, "--preset other: unknown"),
        ("new x --parallel 3", WRONG, "more than this machine's 2 processors"),
        ("new x --device tpu", WRONG, "--device tpu: not usable"),
        ("new x --device cuda:0", WRONG, "--device cuda:0: not on this machine"),
        ("new x --per-trial gpus", WRONG, "not RESOURCE=N"),
        ("new x --train-size 5", WRONG, "digits"),
        # what is decided
        ("accept demo --rank 999999", WRONG, "--rank 999999: not usable. Use 1 to "),
        ("accept demo --rank 0", WRONG, "--rank 0: not usable"),
        ("accept demo --id nope", WRONG, "`lcsearch propose demo` shows them"),
        ("accept demo --rank 1 --id x", WRONG, "give one of --id, --rank and --config"),
        ("accept demo --config HOME/nope", WRONG, "cannot be read (No such file"),
        ("accept demo --config HOME/notes.txt", WRONG, "not JSON"),
        ("accept demo --config -", WRONG, "not JSON"),
        ("accept demo --domain colour=1", WRONG, "colour is no parameter"),
        ("reject demo", WRONG, "give --id or --rank"),
        ("reject demo --rank 999999", WRONG, "--rank 999999: not usable. Use 1 to "),
        ("reject demo --id nope", WRONG, "not among the first"),
        ("propose demo --domain colour=1", WRONG, "colour is no parameter"),
        ("stop demo --trial 99", WRONG, NO_TRIAL),
        ("stop demo --trial -1", WRONG, "trial -1: there is no such trial"),
        ("stop demo", FAILED, "No trial is running"),
        ("stop demo --trial 1", FAILED, "trial 1 is done already"),
        ("resume demo --trial 99", WRONG, NO_TRIAL),
        ("resume demo", FAILED, "No trial is paused"),
        ("repeat demo --trial 99", WRONG, NO_TRIAL),
        ("repeat new", FAILED, "No trial is done"),
        ("advance demo --trial 99", WRONG, NO_TRIAL),
        ("advance new", FAILED, "No trial is done yet"),
        ("advance new --trial 0", FAILED, "trial 0 is queued"),
        ("reopen demo --level 9", WRONG, "level 9: there is no such level. Use 1 to 4."),
        ("reopen demo --level 3", FAILED, "level 3: not reached yet"),
        ("reopen demo --level 1 --trial 99", WRONG, NO_TRIAL),
        ("undo new", FAILED, "Nothing to undo"),
        ("run demo --minutes 0", WRONG, "minutes = 0.0: not usable"),
        ("run demo --strategy random --until-flat", WRONG, "random has no model"),
        ("set demo", WRONG, "give --wc, "),
        ("set demo --wc nan", WRONG, "w_c = nan: not usable"),
        ("set demo --domain kernel", WRONG, "PARAM=DOMAIN"),
        ("set demo --domain colour=1", WRONG, "colour is no parameter"),
        ("set demo --address x", WRONG, "of a Ray cluster"),
        ("set demo --parallel 99", WRONG, "more than this machine's 2 processors"),
        ("set demo --device mps", WRONG, "--device mps: not on this machine"),
        ("favour demo colour=1", WRONG, "colour is no parameter"),
        ("favour demo kernel=1 --clear", WRONG, "give a region or --clear"),
        # files
        ("export demo -o HOME/no/x.json", WRONG, "HOME/no: there is no such folder"),
        ("export demo -o HOME", WRONG, "HOME: is a folder. Give a file in it."),
        ("report demo -o HOME/no/x.html", WRONG, "HOME/no: there is no such folder"),
        ("report demo -o HOME/x.txt", WRONG, "End the file's name with .html"),
        ("plot demo curves -o HOME/no/x.csv", WRONG, "HOME/no: there is no such folder"),
        ("plot demo curves -o HOME/x.foo", WRONG, "End the file's name with .svg"),
        ("plot demo curves -o HOME/x.csv --trial 99", WRONG, "--trial 99: this session has"),
        ("plot demo belief -o HOME/x.csv --along colour", WRONG, "--along colour: not searched"),
        ("train demo -t 1 -o HOME/no/net", WRONG, "HOME/no: there is no such folder"),
        ("train demo -t 1 -o HOME/full", WRONG, "HOME/full: exists and is not empty"),
        ("train demo -t 99 -o HOME/net", WRONG, NO_TRIAL),
        ("train new -o HOME/net", FAILED, "No trial is done yet"),
        ("import HOME/nope.json", WRONG, "HOME/nope.json: cannot be read (No such file"),
        ("import HOME", WRONG, "HOME: "),
        ("import HOME/notes.txt", WRONG, "not JSON, or cut off"),
        # the rest
        ("serve --host 8.8.8.8", WRONG, "--host 8.8.8.8: "),
        ("config set colour red", WRONG, "colour is no setting"),
        ("config set theme nope", WRONG, "theme nope: not known"),
        ("config set layout nope", WRONG, "layout = 'nope': not possible"),
    ],
)  # fmt: skip
def test_wrong_use_is_said_in_one_message(
    run: Callable[[str], tuple[int, str]], words: str, code: int, message: str
) -> None:
    found, said = run(words)
    assert (found, said.count("lcsearch: ")) == (code, 1), said
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("new x --epochs 0", "'--epochs': 0: not usable. Use 1 or more."),
        ("new x --epochs 1.5", "'--epochs': 1.5: not usable. Use a whole number."),
        ("new x --wc much", "'--wc': much: not usable. Use a number."),
        (
            "new x --measure joules",
            "measure joules: unknown. Use seconds, params, macs, size, activations, latency.",
        ),
        ("new x --seed 99999999999999999999", "Use at most 2,147,483,647."),
        ("propose demo -n 201", "'-n' / '--count': 201: not usable. Use at most 200."),
        ("plot demo pie -o x.svg", "pie: not usable. 'pie' is not one of 'tradeoff'"),
        ("serve --port 99999", "'--port': 99999: not usable. Use at most 65,535."),
        ("run demo --trials -1", "'--trials': -1: not usable. Use 0 or more."),
        ("engine status", "Missing argument 'NAME'"),
        ("wrong", "No such command 'wrong'"),
    ],
)
def test_an_option_that_cannot_be_read_is_refused_in_our_own_words(
    run: Callable[[str], tuple[int, str]], words: str, message: str
) -> None:
    code, said = run(words)
    assert code == WRONG
    assert message in said
    assert "Value error" not in said
    assert "Input should" not in said


def test_nothing_was_made_by_it(walked: Path) -> None:
    made = {path.name for path in walked.iterdir()}
    assert made <= {"sessions", "notes.txt", "full", "settings.json"}
    assert {path.name for path in (walked / "sessions").iterdir()} == {"demo", "new"}
