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


def need(tool: str) -> str:
    """The path of a tool; without it the test is skipped, and in CI it fails."""
    found = shutil.which(tool)
    if found is None:
        words = f"{tool} is not installed"
        if os.environ.get("CI"):
            pytest.fail(f"{words}, and CI installs it")
        pytest.skip(words)
    return found
