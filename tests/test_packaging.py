"""What is installed is whole, imports light, and keeps its walls."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("tui", "engine", "sessions")


def shipped() -> set[str]:
    """Every file that an installation must hold, relative to the repository."""
    files = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return files | {"__init__.py"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with sdist and wheel, built the default way: the wheel from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


def test_the_wheel_holds_every_file(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {f"lcsearch/{name}" for name in shipped()}


def test_the_source_distribution_holds_every_file_and_the_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert shipped() <= names
    assert "tests/test_packaging.py" in names
    assert {"README.md", "LICENSE", "pyproject.toml"} <= names


def test_help_runs_from_the_wheel_with_typer_and_rich_alone(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    subprocess.run([*pip, "typer", "rich"], check=True)
    for words in (["--help"], ["run", "--help"], ["--version"]):
        done = subprocess.run(
            [str(tmp_path / "env" / "bin" / "lcsearch"), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "lcsearch" in done.stdout
        assert done.stderr == ""


def imported_by(statement: str) -> set[str]:
    """The top-level modules in a fresh process after a statement."""
    code = f"{statement}\nimport sys; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("tui.cli", {"torch", "sklearn", "numpy", "scipy", "textual", "pydantic"}),
        ("tui.app", {"torch", "torchvision", "sklearn", "scipy"}),
        ("engine.service", {"torch", "torchvision", "textual", "typer", "rich", "sklearn"}),
        ("engine.client.session", {"torch", "torchvision", "textual", "typer", "rich", "sklearn"}),
        ("sessions.store", {"torch", "numpy", "textual", "typer", "rich"}),
    ],
)
def test_modules_import_nothing_beyond_their_walls(module: str, never: set[str]) -> None:
    assert not imported_by(f"import lcsearch.{module}") & never


def test_ranking_needs_no_torch() -> None:
    statement = (
        "import numpy as np\nfrom lcsearch.engine.tasks import cnn\n"
        "from lcsearch.engine.advisor import Observation, rank\n"
        "s = cnn.space((1, 8, 8), 10)\nb = s.reference\n"
        "rank(s, [Observation(0, 0, b, .1, 100, 1.)], 1, b, .1)"
    )
    found = imported_by(statement)
    assert "sklearn" in found
    assert not found & {"torch", "textual", "typer"}


def test_no_pickle_is_read_or_written() -> None:
    words = ("pickle.load", "pickle.dump", "joblib.load", "cloudpickle", "weights_only=False")
    for name in shipped():
        path = ROOT / name
        if path.suffix == ".py":
            text = path.read_text(encoding="utf-8")
            assert not [word for word in words if word in text], name
            assert text.count("torch.load(") == text.count("weights_only=True"), name
            assert "allow_pickle=True" not in text, name


def test_the_first_frame_waits_for_no_engine() -> None:
    code = (
        "import sys, lcsearch.tui.app\n"
        "print(any(name.startswith('lcsearch.engine') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
