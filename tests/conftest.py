"""What many tests share: a home of their own, and sessions to work on."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """No test touches the sessions of whoever runs it."""
    path = tmp_path / "home"
    monkeypatch.setenv("LCSEARCH_HOME", str(path))
    return path


def without(words: str) -> None:
    """Skip a test that cannot run here, saying why; in CI, which installs all, it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{words}, and CI installs it")
    pytest.skip(words)


def need(tool: str) -> str:
    """The path of a tool that the test cannot do without."""
    found = shutil.which(tool)
    if found is None:
        without(f"{tool} is not installed")
    assert found is not None
    return found
