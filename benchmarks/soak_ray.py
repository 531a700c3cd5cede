"""A Ray cluster of several nodes on this machine, of which one is killed in the middle.

    python benchmarks/soak_ray.py --json [--nodes 4] [--trials 40] [--epochs 10]

It prints one line of JSON: `case`, `count` of trials, `lost` (not done, or short of an epoch),
`twice` (attempts of one trial that were at work at once, or that ended twice), `attempts` in all,
`seconds`.  The cluster lives in a network namespace that has only loopback, with a token of its
own; `--serve N` is that cluster, spoken to by lines of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

STORE_BYTES = 80_000_000
START_SECONDS = 60
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # by default workers are nicer than all that this machine does besides
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": str(START_SECONDS),
    "OMP_NUM_THREADS": "1",
}


class Gone(Exception):
    """The cluster did not come up, or is no more."""


class Nodes:
    """A cluster of a head without processors and `count` nodes of one each."""

    def __init__(self, count: int) -> None:
        python = [sys.executable, "-P", __file__, "--serve", str(count)]
        self.process = subprocess.Popen(
            ["unshare", "-n", "bash", "-c", 'ip link set lo up && exec "$@"', "bash", *python],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **SETTINGS, "RAY_AUTH_TOKEN": uuid.uuid4().hex},
        )
        self.address = str(self._answer()["address"])

    @staticmethod
    def unable() -> str | None:
        """Why there can be no network namespace here; None if there can."""
        try:
            tried = subprocess.run(
                ["unshare", "-n", "ip", "link", "set", "lo", "up"],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            return str(error)
        return None if tried.returncode == 0 else tried.stderr.strip()

    def kill(self, number: int) -> None:
        """Kill a node and all that runs on it."""
        self._ask(kill=number)

    def start_engine(self, folder: Path) -> None:
        """Start the engine of a session where the cluster can be reached."""
        self._ask(engine=str(folder))

    def close(self) -> None:
        """End the cluster."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def _ask(self, **what: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Gone("the cluster is gone; what it said last is above")
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer


def serve(count: int) -> None:
    """Be the cluster, until the input ends."""
    # the answers keep the real output: Ray prints what it likes
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from ray.cluster_utils import Cluster

    from lcsearch.engine.desk import Desk

    def say(**answer: object) -> None:
        output.write(json.dumps(answer) + "\n")
        output.flush()

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES, wait=False)
        for _ in range(count)
    ]
    cluster.wait_for_nodes(timeout=START_SECONDS)
    say(address=cluster.address)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "kill" in order:
                nodes[order["kill"]].kill_all_processes(check_alive=False, allow_graceful=False)
            else:
                desk = Desk(Path(order["engine"]))
                desk.start_engine()
                desk.close()
            say(done=True)
        except Exception as error:  # noqa: BLE001 - the process's edge: told to whoever asked
            say(error=str(error))
    for one in [*nodes, cluster.head_node]:
        one.kill_all_processes(check_alive=False, allow_graceful=False)


def twice(log: str) -> set[int]:
    """Trials, by an engine's log, of which two attempts were at work at once or ended twice."""
    found: set[int] = set()
    at_work: dict[int, int | None] = {}
    for number, attempt, word in re.findall(r"trial (\d+), attempt (\d+) (begins|is over)", log):
        trial, now = int(number), int(attempt)
        if at_work.get(trial) != (None if word == "begins" else now):
            found.add(trial)
        at_work[trial] = now if word == "begins" else None
    return found


def queue(desk: Any, trials: int) -> None:
    """Queue different small networks until there are so many trials; start no engine."""
    from lcsearch.engine import search
    from lcsearch.sessions.store import Store

    store = Store(desk.folder)
    snapshot = store.refresh()
    for number in range(len(snapshot.trials), trials):
        some = {"conv_layers": 2, "channels": [24 + number, 48], "downsample": ["pool", "none"]}
        config = desk.space.completed(some, snapshot.trials[0].config)
        store.apply(search.submit(snapshot, desk.space, config, None, kind="new"))
    store.close()


def case_ray(nodes: int, trials: int, epochs: int) -> dict[str, object]:
    """So many trials, one node killed when about a third of them is done."""
    os.environ["LCSEARCH_IDLE_SECONDS"] = "30"
    from lcsearch.engine import desk as desks
    from lcsearch.engine.desk import Desk
    from lcsearch.sessions.records import DataSource, Execution, Setup

    cluster = Nodes(nodes)
    with tempfile.TemporaryDirectory() as home:
        folder = desks.create(
            Path(home),
            Setup(
                "soak",
                DataSource(spec="digits"),
                epochs=epochs,
                measure="macs",
                execution=Execution(executor="ray", address=cluster.address, parallel=nodes),
            ),
        )
        desk = Desk(folder)
        began = time.monotonic()
        queue(desk, trials)
        cluster.start_engine(folder)
        killed = False
        while True:
            snapshot = desk.refresh()
            ended = sum(t.state in ("done", "failed", "stopped") for t in snapshot.trials)
            busy = [t for t in snapshot.trials if t.state == "running" and t.epochs]
            if not killed and ended >= trials // 3 and len(busy) == nodes:
                cluster.kill(0)
                killed = True
            if ended == len(snapshot.trials):
                break
            if not snapshot.engine.alive:
                print(desk.log_tail(30), file=sys.stderr)
                break
            time.sleep(0.1)
        seconds = time.monotonic() - began
        found = desk.refresh().trials
        whole = [t for t in found if t.state == "done" and len(t.epochs) == epochs]
        log = (folder / "engine.log").read_text(encoding="utf-8", errors="replace")
        desk.close()
        cluster.close()
    return {
        "case": "ray",
        "count": len(found),
        "nodes": nodes,
        "killed": int(killed),
        "lost": trials - len(whole),
        "twice": len(twice(log)),
        "attempts": sum(t.attempt for t in found),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Run what the words ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print a line of JSON")
    parser.add_argument("--case", choices=("ray",), default="ray")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve is not None:
        serve(words.serve)
        return
    reason = Nodes.unable()
    if reason is not None:
        sys.exit(f"no network namespace can be made here ({reason}). Run it as root.")
    found = case_ray(words.nodes, words.trials, words.epochs)
    if words.json:
        print(json.dumps(found))
    else:
        print(", ".join(f"{name} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
