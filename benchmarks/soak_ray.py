"""A Ray cluster of several nodes on this machine, of which one is killed in the middle.

    python benchmarks/soak_ray.py --json [--nodes 4] [--trials 40] [--epochs 10]

It prints one line of JSON: `case`, `count` of trials, `lost` (not done, or short of an epoch that
its trainers wrote down), `twice` (trials that two attempts were at work on at once, or that went on
after their end), `attempts` in all, `again` (epochs that were trained a second time, for the node
was lost before the first had come back), `seconds`.  What is trained is written down by the
trainers themselves, in the actors: see `watch`.  The cluster lives in a network namespace that has
only loopback, with a token of its own; `--serve N` is that cluster, spoken to by lines of JSON, and
`--engine FOLDER` the engine of a session.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lcsearch.engine.protocol import Train
    from lcsearch.engine.training.trainer import Trainer
    from lcsearch.sessions.records import Epoch

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

    from lcsearch.engine.client import process as processes
    from lcsearch.engine.client.session import SessionClient

    processes.engine_command = lambda folder: [
        sys.executable,
        "-P",
        __file__,
        "--engine",
        str(folder),
    ]

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
                client = SessionClient(Path(order["engine"]))
                client.start_engine()
                client.close()
            say(done=True)
        except Exception as error:  # noqa: BLE001 - the process's edge: told to whoever asked
            say(error=str(error))
    for one in [*nodes, cluster.head_node]:
        one.kill_all_processes(check_alive=False, allow_graceful=False)


# -- the witness ----------------------------------------------------------------------------------


def engine(folder: str) -> int:
    """Be the engine of a session, whose trainers write down what they train."""
    from lcsearch.engine import service
    from lcsearch.engine.executors import ray as cluster

    place = Path(folder) / "witness"
    place.mkdir(mode=0o700, exist_ok=True)

    class TrainerActorWatched(cluster.TrainerActor):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            watch(self._trainer, str(place))

    cluster.ClusterExecutor.trainer = TrainerActorWatched
    sys.argv = ["service", folder]
    return service.main()


def watch(trainer: Trainer, place: str) -> None:
    """Have a trainer write down what it trains, in lines that each are one write.

    place: a folder that all nodes share.  While it trains a trial it holds a lock there, which the
    system takes back when the process is dead: an attempt that finds it held is not alone.
    """
    from lcsearch.engine.training import loop

    attempt, train = trainer._train, loop.train

    def note(order: Train, what: str, epoch: int = 0) -> None:
        who = {"trial": order.trial, "attempt": order.attempt, "pid": os.getpid()}
        line = json.dumps({**who, "what": what, "epoch": epoch}) + "\n"
        ledger = os.open(f"{place}/ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(ledger, line.encode())
        os.close(ledger)

    def watched(order: Train) -> None:
        def noted(*given: Any) -> Iterator[Epoch]:
            for epoch in train(*given):
                note(order, "epoch", epoch.epoch)
                yield epoch

        loop.train = noted
        lock = os.open(f"{place}/trial-{order.trial}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(order, "beside")
        note(order, "begin")
        try:
            attempt(order)
        finally:
            note(order, "end")
            os.close(lock)

    trainer._train = watched  # type: ignore[method-assign]


def ledger(folder: Path) -> list[dict[str, Any]]:
    """What the trainers of a session wrote down, in the order in which it happened."""
    lines = (folder / "witness" / "ledger").read_text(encoding="ascii").splitlines()
    return [json.loads(line) for line in lines]


def at_once(lines: list[dict[str, Any]], epochs: int) -> set[int]:
    """Trials that, by a ledger, two attempts were at work on, or that went on after their end."""
    found: set[int] = set()
    at_work: dict[int, tuple[int, int]] = {}
    last: dict[int, int] = {}
    for line in lines:
        trial, who = line["trial"], (line["attempt"], line["pid"])
        before = at_work.get(trial, (0, 0))
        begins = line["what"] == "begin"
        if (
            line["what"] == "beside"
            # every attempt is a new one, and an earlier one is heard of no more
            or (begins and (who[0] <= before[0] or last.get(trial) == epochs))
            or (not begins and who != before)
        ):
            found.add(trial)
        if begins:
            at_work[trial] = who
        if line["what"] == "epoch":
            last[trial] = line["epoch"]
    return found


def trained(lines: list[dict[str, Any]]) -> dict[int, list[int]]:
    """The epochs of every trial by a ledger, as they were trained."""
    found: dict[int, list[int]] = {}
    for line in lines:
        if line["what"] == "epoch":
            found.setdefault(line["trial"], []).append(line["epoch"])
    return found


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


# -- the case -------------------------------------------------------------------------------------


def queue(client: Any, trials: int) -> None:
    """Queue different small networks until there are so many trials; start no engine."""
    from lcsearch.engine.search import decide
    from lcsearch.sessions.store import Store

    store = Store(client.folder)
    snapshot = store.refresh()
    for number in range(len(snapshot.trials), trials):
        some = {"conv_layers": 2, "channels": [24 + number, 48], "downsample": ["pool", "none"]}
        config = client.space.completed(some, snapshot.trials[0].config)
        store.apply(decide.submit(snapshot, client.space, config, None, kind="new"))
    store.close()


def case_ray(nodes: int, trials: int, epochs: int) -> dict[str, object]:
    """So many trials, one node killed when about a third of them is done."""
    os.environ["LCSEARCH_IDLE_SECONDS"] = "30"
    from lcsearch.engine.client.home import create
    from lcsearch.engine.client.session import SessionClient
    from lcsearch.sessions.records import DataSource, Execution, Setup

    cluster = Nodes(nodes)
    with tempfile.TemporaryDirectory() as home:
        folder = create(
            Path(home),
            Setup(
                "soak",
                DataSource(spec="digits"),
                epochs=epochs,
                measure="macs",
                execution=Execution(executor="ray", address=cluster.address, parallel=nodes),
            ),
        )
        client = SessionClient(folder)
        began = time.monotonic()
        queue(client, trials)
        cluster.start_engine(folder)
        killed = False
        while True:
            snapshot = client.refresh()
            ended = sum(t.state in ("done", "failed", "stopped") for t in snapshot.trials)
            busy = [t for t in snapshot.trials if t.state == "running" and t.epochs]
            if not killed and ended >= trials // 3 and len(busy) == nodes:
                cluster.kill(0)
                killed = True
            if ended == len(snapshot.trials):
                break
            if not snapshot.engine.alive:
                print(client.log_tail(30), file=sys.stderr)
                break
            time.sleep(0.1)
        seconds = time.monotonic() - began
        found = client.refresh().trials
        lines = ledger(folder)
        done = trained(lines)
        all_of_them = list(range(1, epochs + 1))
        whole = [
            t
            for t in found
            if t.state == "done"
            and [e.epoch for e in t.epochs] == all_of_them == sorted(set(done.get(t.number, ())))
        ]
        log = (folder / "engine.log").read_text(encoding="utf-8", errors="replace")
        client.close()
        cluster.close()
    return {
        "case": "ray",
        "count": len(found),
        "nodes": nodes,
        "killed": int(killed),
        "lost": trials - len(whole),
        "twice": len(twice(log) | at_once(lines, epochs)),
        "attempts": sum(line["what"] == "begin" for line in lines),
        "again": sum(len(seen) - len(set(seen)) for seen in done.values()),
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
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve is not None:
        serve(words.serve)
        return
    if words.engine is not None:
        sys.exit(engine(words.engine))
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
