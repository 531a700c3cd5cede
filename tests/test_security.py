"""What comes from outside is data: nothing in it is run, and what cannot be used is said so."""

import ast
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lcsearch.engine.client.home import create
from lcsearch.engine.client.session import SessionClient
from lcsearch.sessions import places
from lcsearch.sessions.errors import Misuse, StoreError
from lcsearch.sessions.places import delete, names, restore, trashed
from lcsearch.sessions.records import DataSource, Setup
from lcsearch.sessions.store import Store
from lcsearch.tui.cli import app

from .conftest import wait_for
from .sessions_for_tests import make_store
from .test_service import small, state

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("sessions", "engine", "tui", "benchmarks", "docs")
    for path in (ROOT / folder).rglob("*.py")
)
NEVER = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "marshal.load"} | {
    f"{module}.{name}"
    for module in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml")
    for name in ("load", "loads", "dump", "dumps", "open", "Unpickler", "Pickler")
}
"""Calls that run, or may run, what they are given."""
UNSAFE = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
"""Calls that must say that they do not unpickle."""


def name_of(call: ast.expr) -> str:
    """`a.b.c` of what is called."""
    if isinstance(call, ast.Attribute):
        return f"{name_of(call.value)}.{call.attr}"
    return call.id if isinstance(call, ast.Name) else ""


def faults(text: str, where: str = "") -> list[str]:
    """Calls in a source that run what they are given."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        given = {
            word.arg: word.value.value
            for word in node.keywords
            if isinstance(word.value, ast.Constant)
        }
        place = f"{where}:{node.lineno}: {name}"
        if name in NEVER or given.get("shell") is True:
            found.append(place)
        keyword, wanted = UNSAFE.get(name, ("", None))
        if keyword and given.get(keyword) is not wanted:
            found.append(place)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "pickle.load(f)",
        "eval('1')",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "numpy.load(f)",
        "np.load(f, allow_pickle=True)",
        "yaml.load(f)",
        "subprocess.run('ls', shell=True)",
        "os.system('ls')",
    ],
)
def test_what_runs_its_input_would_be_found(text: str) -> None:
    assert faults(text)


def test_nothing_runs_its_input() -> None:
    assert len(SOURCES) > 60
    assert [f for path in SOURCES for f in faults(path.read_text(), path.name)] == []


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.file,)


def test_a_malicious_checkpoint_is_refused_and_not_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCSEARCH_IDLE_SECONDS", "60")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    trap = tmp_path / "trap"
    data = DataSource(spec="digits", train_size=100)
    client = SessionClient(create(home, Setup("demo", data, epochs=1, measure="macs")))
    checkpoints = client.folder / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "trial-0.pt").write_bytes(pickle.dumps(Malicious(trap)))
    # of trials that there are not, and of none at all
    for name in ("trial-7.pt", "trial-x.pt", "trial-.lock"):
        (checkpoints / name).write_bytes(pickle.dumps(Malicious(trap)))
    client.start_engine()
    wait_for(lambda: state(client, 0) == "failed", what="the refusal")
    failure = client.refresh().trials[0].failure
    assert failure is not None
    assert failure.kind == "checkpoint"
    assert not trap.exists()
    # it goes on, and the files that were in the way are gone
    number = client.submit(small(client), None, kind="new").trial
    assert number is not None
    wait_for(lambda: state(client, number) == "done", what="the next trial")
    assert not (checkpoints / "trial-7.pt").exists()
    client.stop_engine()
    client.close()
    # the trap itself works
    pickle.loads(pickle.dumps(Malicious(trap)))  # noqa: S301 - our own
    assert trap.exists()


def lcsearch(*words: str, given: bytes | None = None) -> tuple[int, str]:
    """A command's exit code and words."""
    done = CliRunner().invoke(app, list(words), input=given)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"channels": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"learning_rate": NaN}', "learning_rate"),
        (b'{"learning_rate": 1e999}', "learning_rate"),
        (b'{"batch_size": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"conv_layers": 1e308}', "conv_layers"),
        (b'{"channels": "__import__(\'os\')"}', "channels"),
        (b'{"channels": {"__class__": 1}}', "channels"),
        (b'{"__class__": 1}', "__class__"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"{" + b" " * 2_000_000 + b"}", "over 1,000,000 bytes"),
        (b"null", "not a JSON object"),
    ],
)
def test_malicious_json_is_refused_in_words(home: Path, given: bytes, words: str) -> None:
    make_store(home).close()
    code, said = lcsearch("accept", "demo", "--config", "-", given=given)
    assert code == 2, said
    assert words in said
    assert len(said) < 2000


@pytest.mark.parametrize(
    "name", ["../demo", "/etc", "demo/../demo", "a\x00b", "a\nb", "$(touch x)", "-rf", "x" * 300]
)
def test_names_lead_nowhere_else(home: Path, name: str) -> None:
    make_store(home).close()
    for call in (places.folder, delete, trashed):
        with pytest.raises(Misuse, match="not usable"):
            call(home, name)
    with pytest.raises(Misuse, match="not usable"):
        restore(home, home / "trash" / f"{name.replace('/', '_')}@1")
    assert names(home) == ["demo"]


def test_a_link_for_a_session_leads_to_no_other_file(home: Path, tmp_path: Path) -> None:
    make_store(home).close()
    (tmp_path / "other").write_text("not a session")
    folder = home / "sessions" / "link"
    folder.mkdir()
    (folder / "session.db").symlink_to(tmp_path / "other")
    with pytest.raises(StoreError, match="damaged"):
        Store(folder)
    assert (tmp_path / "other").read_text() == "not a session"


def test_a_reason_has_a_limit(home: Path) -> None:
    from lcsearch.engine.search import decide

    store = make_store(home)
    plan = decide.reject(store.refresh(), {}, None, "x" * 10_001)
    with pytest.raises(Misuse, match="too long"):
        store.apply(plan)
    assert store.refresh().decisions == ()


def test_text_in_a_session_file_is_checked_as_it_is_read(home: Path) -> None:
    import sqlite3

    store = make_store(home)
    store.close()
    db = sqlite3.connect(store.folder / "session.db")
    config = json.dumps({"channels": "x"})
    db.execute("UPDATE trials SET config = ?, state = 'rm -rf'", (config,))
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="state"):
        Store(store.folder)
