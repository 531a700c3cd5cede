"""Lines of JSON, as benchmarks keep them and print them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def say(line: dict[str, Any], as_json: bool) -> None:
    """Print a line of results, for a program or for a person."""
    text = json.dumps(line) if as_json else "  ".join(f"{k} {v}" for k, v in line.items())
    print(text, flush=True)


def read_lines(path: Path) -> list[Any]:
    """Compressed JSON lines."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """JSON lines, compressed; the same rows give the same file."""
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def progress(path: Path) -> list[dict[str, Any]]:
    """What a worker has written so far; a line that was cut off is left out."""
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
