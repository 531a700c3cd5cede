"""The end of a search: a network of 6,000 images trained on all 60,000, whatever happens meanwhile.

    python benchmarks/final.py --json            # Fashion-MNIST by Debian's package, some minutes

Searches on 6,000 images, then has the network found trained to the end: on the session's images;
on all there are but the test set; and so again, while the engine and the process that trains are
killed (SIGKILL) after a third of it, and the engine is started again.  Prints the accuracy on the
test set of each, the points that all images gained, and whether the one that was killed is the same
network, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import psutil
from fashion import FASHION, command
from lines import say

from lcsearch.engine.executors.final import FINAL
from lcsearch.engine.tasks.task import open_store
from lcsearch.sessions.records import Delivery
from lcsearch.sessions.store import Store

NAME = "final"
LOOK_SECONDS = 0.1


def wait(store: Store, number: int, share: float) -> Delivery:
    """The final training, once so much of it is done."""
    while True:
        found = store.refresh().deliveries[number - 1]
        if found.done >= share or not found.open:
            return found
        time.sleep(LOOK_SECONDS)


def kill(store: Store) -> None:
    """Kill the engine, and what trains for it."""
    engine = store.refresh().engine.pid
    assert engine is not None
    training = [c for c in psutil.Process(engine).children() if FINAL in c.cmdline()]
    for pid in (engine, *(child.pid for child in training)):
        os.kill(pid, signal.SIGKILL)


def delivered(home: Path, store: Store, folder: Path, *words: str, killed: bool = False) -> Any:
    """What `result.json` says, and the bytes of the weights."""
    began = time.monotonic()
    number = int(command(home, "train", NAME, "-o", str(folder), "--detach", *words))
    if killed:
        wait(store, number, 1 / 3)
        kill(store)
        command(home, "engine", "start", NAME)
    found = wait(store, number, 1.0)
    while found.open:
        time.sleep(LOOK_SECONDS)
        found = store.refresh().deliveries[number - 1]
    if found.state != "done":
        raise SystemExit(f"final training {number}: {found.state}: {found.message}")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    weights = (folder / "weights.safetensors").read_bytes()
    return result, weights, time.monotonic() - began


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=6000, help="that are searched on")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=30, help="of the final trainings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        command(
            home, "new", NAME, "--data", f"idx:{FASHION}", "--train-size", str(given.images),
            "--epochs", "5", "--measure", "macs", "--wc", "0.1", "--flat", "--seed",
            str(given.seed), "--trials", str(given.trials),
        )  # fmt: skip
        command(home, "run", NAME, "--trials", str(given.trials))
        store = open_store(home / "sessions" / NAME)
        epochs = ("--epochs", str(given.epochs))
        lines: list[dict[str, Any]] = []
        kept: dict[str, tuple[float, bytes]] = {}
        for name, words, killed in (
            ("session", ("--session-images",), False),
            ("all", ("--all-images",), False),
            ("all, killed", ("--all-images",), True),
        ):
            folder = Path(place) / name.replace(", ", "-")
            result, weights, seconds = delivered(
                home, store, folder, *words, *epochs, killed=killed
            )
            kept[name] = result["test_accuracy"], weights
            lines.append(
                {
                    "images": name,
                    "trial": result["trial"],
                    "trained_on": result["train_images"],
                    "test_accuracy": round(result["test_accuracy"], 4),
                    "seconds": round(seconds, 1),
                }
            )
        store.close()
        command(home, "engine", "stop", NAME)
    lines.append(
        {
            "points_gained": round(100 * (kept["all"][0] - kept["session"][0]), 2),
            "killed_is_the_same": kept["all"][1] == kept["all, killed"][1],
        }
    )
    for line in lines:
        say(line, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
