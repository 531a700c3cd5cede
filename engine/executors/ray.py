"""A Ray cluster: a warm trainer in an actor a slot, spoken to by the same JSON lines.

Ray is imported here alone, and not before a trial waits: `lcsearch[ray]` is an extra.
"""

from __future__ import annotations

import errno
import importlib.util
import logging
import math
import os
import queue
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from ... import __version__
from ...sessions.errors import Misuse, StoreError
from ...sessions.files import NO_ROOM, part_of, replace
from ...sessions.records import Execution, Failure, Session
from ..protocol import (
    Ended,
    EpochDone,
    Failed,
    Finished,
    Load,
    Reading,
    Ready,
    Refused,
    Reply,
    Stop,
    Train,
    Working,
    commands,
    replies,
)
from .base import WAITING, Event, Executor, Gone, Kind, Notice, Watchdog, drained

if TYPE_CHECKING:
    from ..training.data import Data


INSTALL = "pip install 'lcsearch[ray]'"
CONNECT_SECONDS = 60.0
"""Ray itself goes on trying for many minutes."""
ROOM_SECONDS = 5.0
"""How long a slot is waited for before anybody is told what the cluster lacks."""
KEEP_SECONDS = 120.0
"""How long a slot that has nothing to do keeps its share of the cluster."""
SAME_SECONDS = 10.0
"""A node that dies takes several trainers with it before they are ready: that is one fault."""
RESERVED = {"CPU", "GPU", "num_cpus", "num_gpus", "memory", "object_store_memory"}
"""Names that Ray itself knows in another spelling, or that would mean bytes."""
CALLS = 3
"""At once, of an actor: what it says, what it is told, and its leave."""


def installed() -> bool:
    """Whether Ray is there to be used."""
    return importlib.util.find_spec("ray") is not None


class TrainerActor:
    """The trainer of engine/training in a Ray actor: `tell` is its input, `said` its output.

    Checkpoints are kept in a folder of this node, and travel with the lines that they belong to.
    """

    def __init__(
        self, load: str, data: Data | None, threads: int, dtype: str, version: str
    ) -> None:
        """data: as read elsewhere; None has this node read them.  version: of the engine."""
        # read by the thread library when torch is first imported
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
        from ..training.trainer import Trainer, keep_memory

        # the object store shares images as read-only memory, and nothing writes to them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        keep_memory()
        self._folder = Path(tempfile.mkdtemp(prefix="lcsearch-"))
        self._lines: queue.SimpleQueue[tuple[str, bytes | None] | BaseException] = (
            queue.SimpleQueue()
        )
        where = f"{socket.gethostname()}/{_node_id()[:8]}"
        if version != __version__:
            words = f"node {where} has lcsearch {__version__}, and the engine {version}. "
            self._say(Refused(message=f"{words}Install the same version on every node."))
            return
        self._trainer = Trainer(self._say, "auto", threads, dtype, probing=False, node=where)
        threading.Thread(
            target=self._serve, args=(Load.model_validate_json(load), data), daemon=True
        ).start()

    def tell(self, line: str, checkpoint: bytes | None = None) -> None:
        """Take one command.  checkpoint: of the trial's earlier attempt, wherever that was."""
        command = commands.validate_json(line)
        if isinstance(command, Train):
            paths = {"checkpoint": str(self._path(command)), "lock": f"{self._path(command)}.lock"}
            try:
                if checkpoint is not None:
                    self._path(command).write_bytes(checkpoint)
            except OSError as error:
                self._lines.put(error)
                return
            command = command.model_copy(update=paths)
        self._trainer.take(command)

    def said(self) -> Iterator[tuple[str, bytes | None]]:
        """Every reply as it comes, an epoch with its checkpoint; without end."""
        while True:
            line = self._lines.get()
            if isinstance(line, BaseException):
                raise line
            yield line

    def leave(self) -> None:
        """Take away what this actor keeps on its node."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self, load: Load, data: Data | None) -> None:
        try:
            self._trainer.load(load, data)
            self._trainer.serve()
        except BaseException as error:  # noqa: BLE001 - the thread's edge: the engine is told
            self._lines.put(error)

    def _say(self, reply: Reply) -> None:
        # called between two epochs, so that the checkpoint is this very epoch's
        content = self._path(reply).read_bytes() if isinstance(reply, EpochDone) else None
        if isinstance(reply, Finished | Ended | Failed):
            self._path(reply).unlink(missing_ok=True)
        self._lines.put((reply.model_dump_json(), content))

    def _path(self, about: Train | EpochDone | Finished | Ended | Failed) -> Path:
        return self._folder / f"trial-{about.trial}.pt"


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _read(load: str) -> tuple[str, Data | None]:
    """A Ray task: the data of a search, or why they cannot be used."""
    from ..training.data import DataError, read

    try:
        return "", read(Load.model_validate_json(load).data)
    except DataError as error:
        return str(error), None


@dataclass(frozen=True)
class _Lost:
    """A slot's actor is no more.  fatal: no other would do better."""

    reason: str
    kind: Literal["crash", "memory"] = "crash"
    fatal: bool = False


@dataclass(frozen=True)
class _Connected:
    """The cluster answers.  data: the object store's reference to the images, if they are there."""

    data: Any


@dataclass(eq=False)
class _Slot:
    """One actor, what it trains, and since when it is as it is (monotonic seconds)."""

    actor: Any
    since: float
    watchdog: Watchdog
    ready: bool = False
    running: tuple[int, int] | None = None
    checkpoint: Path = Path()


class ClusterExecutor:
    """Runs several trials at once, each in an actor with the resources that a trial asks for.

    Every method is the main thread's; threads only listen.  The actors are this process's own:
    Ray ends them when it ends.
    """

    trainer: type[TrainerActor] = TrainerActor
    """What lives in a slot; whoever wants to see what is trained brings one that writes it down."""

    def __init__(self, session: Session, dtype: str | None = None) -> None:
        """dtype: what the session's trials are trained in; None lets the first trainer choose."""
        self._execution = session.execution
        self._load = Load(data=session.data, fingerprint=session.summary.fingerprint)
        self._dtype = dtype or "auto"
        # no SimpleQueue, for the reason that LocalExecutor gives
        self._events: queue.Queue[tuple[_Slot | None, Any]] = queue.Queue()
        self._connecting: float | None = None
        self._data: _Connected | None = None
        self._slots: list[_Slot] = []
        self._over = threading.Event()
        self._told = ""
        self._asked = 0.0
        self._fell = -SAME_SECONDS

    @property
    def running(self) -> tuple[tuple[int, int], ...]:
        """(trial, attempt) of all that it trains."""
        return tuple(slot.running for slot in self._slots if slot.running is not None)

    def room(self, wanted: int) -> int:
        """How many of `wanted` trials can begin now; the cluster is asked for more slots."""
        if wanted <= 0:
            return 0
        if self._data is None:
            self._connect()
            return 0
        free = [slot for slot in self._slots if slot.running is None]
        for _ in range(wanted - len(free)):
            self._start()
        return min(wanted, sum(slot.ready for slot in free))

    def train(self, task: Train) -> None:
        """Hand a trial to a slot that is free."""
        slot = next(slot for slot in self._slots if slot.ready and slot.running is None)
        slot.running = task.trial, task.attempt
        slot.checkpoint = Path(task.checkpoint)
        slot.watchdog.begin()
        content = slot.checkpoint.read_bytes() if slot.checkpoint.exists() else None
        slot.actor.tell.remote(task.model_dump_json(), content)

    def stop(self, order: Stop) -> None:
        """Ask for the end of a trial."""
        for slot in self._slots:
            if slot.running == (order.trial, order.attempt):
                slot.actor.tell.remote(order.model_dump_json())

    def wait(self, seconds: float) -> list[Event]:
        """What the trainers said, after at most `seconds`; what is stale is dropped."""
        found: list[Event] = []
        for said in drained(self._events, seconds):
            found += self._take(*said)
        return found + self._look()

    def close(self) -> None:
        """End every actor and leave the cluster; what the trainers had saved is saved."""
        self._connecting = None
        if self._data is None:
            self._over.set()  # whoever is still connecting lets go by itself
            return
        import ray

        slots, self._slots = self._slots, []
        leaving = [slot.actor.leave.remote() for slot in slots if slot.ready]
        ray.wait(leaving, num_returns=len(leaving), timeout=2) if leaving else None
        for slot in slots:
            ray.kill(slot.actor)
        ray.shutdown()
        self._over.set()
        self._data = None
        self._told = ""

    # -- the cluster ------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = time.monotonic()
            self._over = threading.Event()  # of this connection alone: there may be another later
            threading.Thread(target=self._reach, args=(self._over,), daemon=True).start()

    def _reach(self, over: threading.Event) -> None:
        """Connect, and bring the images into the object store; in a thread, for it takes time.

        over: set when the connection is closed.
        """
        address = self._execution.address
        try:
            if (fault := _unreachable(address)) is not None:
                raise ConnectionError(fault)
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            import ray

            ray.init(address=address, namespace="lcsearch", logging_level=logging.WARNING)
            if over.is_set():
                ray.shutdown()
                return
            self._connecting = math.inf  # reading the data takes what it takes
            data = None
            if not self._execution.data_on_nodes:
                # read where the engine is, which need not know how to unpack images
                here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                    _node_id(), soft=False
                )
                task = ray.remote(_read).options(
                    num_cpus=0, num_returns=2, scheduling_strategy=here
                )
                fault, data = task.remote(self._load.model_dump_json())
                if fault := ray.get(fault):
                    self._events.put((None, Refused(message=fault)))
                    return
        except Exception as error:  # noqa: BLE001 - the thread's edge: recorded and reported
            self._events.put((None, Refused(message=_no_cluster(address, error))))
        else:
            if over.is_set():
                ray.shutdown()
                return
            self._events.put((None, _Connected(data)))
            # a cluster of this machine's own dies with whoever started it: on Linux that is this
            # very thread, not its process
            over.wait()

    def _start(self) -> None:
        """Ask the cluster for one more slot; it is ready when its trainer says so."""
        import ray

        assert self._data is not None
        asked = self._execution.per_trial
        cpus = asked.get("cpus", 1.0)
        actor = (
            ray.remote(self.trainer)
            .options(
                num_cpus=cpus,
                num_gpus=asked.get("gpus", 0.0),
                resources={name: n for name, n in asked.items() if name not in ("cpus", "gpus")},
                max_concurrency=CALLS,
                # trials that share a node disturb each other's time
                scheduling_strategy="SPREAD",
            )
            .remote(
                self._load.model_dump_json(),
                self._data.data,
                max(int(cpus), 1),
                self._dtype,
                __version__,
            )
        )
        slot = _Slot(actor, time.monotonic(), Watchdog())
        self._slots.append(slot)
        said = actor.said.options(num_returns="streaming").remote()
        threading.Thread(target=self._listen, args=(slot, said), daemon=True).start()

    def _listen(self, slot: _Slot, said: Iterator[Any]) -> None:
        import ray

        try:
            for line in said:
                reply, checkpoint = ray.get(line)
                self._events.put((slot, (replies.validate_json(reply), checkpoint)))
        except Exception as error:  # noqa: BLE001 - the thread's edge: recorded and reported
            self._events.put((slot, _lost(error)))

    # -- what was heard ---------------------------------------------------------------------------

    def _take(self, slot: _Slot | None, said: Any) -> list[Event]:
        if isinstance(said, _Connected):
            self._data = said
            # Ray's own handler prints a stack for every signal before it hands it on
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
            return []
        if isinstance(said, Notice):
            return self._tell(said.message)
        if slot is None:
            return [said]
        if slot not in self._slots:  # given up: whatever it says comes too late
            return []
        if isinstance(said, _Lost):
            return self._lose(slot, said)
        reply, checkpoint = said
        if isinstance(reply, Ready):
            assert reply.machine is not None
            # whatever comes after trains alike
            self._dtype = reply.machine.dtype
            slot.ready, slot.since = True, time.monotonic()
            return [reply, *self._tell("")]
        if isinstance(reply, Refused):
            return [reply]
        slot.watchdog.heard()
        if isinstance(reply, Working | Reading):
            return []
        if (reply.trial, reply.attempt) != slot.running:
            return []
        if checkpoint is not None:
            try:
                replace(slot.checkpoint, checkpoint, part_of(slot.checkpoint))
            except OSError as error:
                return self._unkept(slot, error)
        if isinstance(reply, Finished | Ended | Failed):
            slot.running, slot.since = None, time.monotonic()
        return [reply]

    def _lose(self, slot: _Slot, lost: _Lost) -> list[Event]:
        """Its actor is dead, or out of reach: it must be dead before anybody goes on with it."""
        self._drop(slot)
        if lost.fatal:
            return [Refused(message=f"no trainer starts on the cluster: {lost.reason}")]
        if not slot.ready:
            moment = time.monotonic()
            if moment - self._fell < SAME_SECONDS:
                return []
            self._fell = moment
        return [Gone(lost.reason, lost.kind, slot.ready, slot.running)]

    def _unkept(self, slot: _Slot, error: OSError) -> list[Event]:
        assert slot.running is not None
        self._drop(slot)
        message = (
            f"the checkpoint {slot.checkpoint} cannot be written: {error}. Make room or give the "
            "right to write there, then repeat the trial."
        )
        trial, attempt = slot.running
        failure = Failure(kind="checkpoint", message=message)
        return [
            Failed(
                trial=trial,
                attempt=attempt,
                failure=failure,
                no_room=error.errno in NO_ROOM,
                no_folder=error.errno == errno.ENOENT,
            )
        ]

    def _drop(self, slot: _Slot) -> None:
        import ray

        self._slots.remove(slot)
        ray.kill(slot.actor)

    def _look(self) -> list[Event]:
        """Give back what is not used, and say what the cluster lacks."""
        moment = time.monotonic()
        if self._data is None:
            began = self._connecting
            if began is not None and moment - began > CONNECT_SECONDS:
                self._connecting = None
                slow = TimeoutError(f"no answer within {CONNECT_SECONDS:.0f} s")
                return [Refused(message=_no_cluster(self._execution.address, slow))]
            return []
        found: list[Event] = []
        for slot in list(self._slots):
            if slot.running is not None:
                silence = slot.watchdog.stalled()
                if silence is not None:
                    self._drop(slot)
                    reason = f"it gave no sign of progress for {silence:.0f} s"
                    found.append(Gone(reason, "stalled", who=slot.running))
            elif slot.ready and moment - slot.since > KEEP_SECONDS:
                slot.actor.leave.remote()
                self._drop(slot)
        late = [s for s in self._slots if not s.ready and moment - s.since > ROOM_SECONDS]
        if late and moment - self._asked > 2 * ROOM_SECONDS:
            self._asked = moment
            # the cluster is asked in a thread: its head may be slow to answer
            threading.Thread(target=self._lack, args=(len(late),), daemon=True).start()
        return found

    def _lack(self, waiting: int) -> None:
        import ray

        try:
            found = ray.cluster_resources()
            nodes = sum(node["Alive"] for node in ray.nodes())
        except Exception:  # noqa: BLE001 - the thread's edge: who listens tells of a lost cluster
            return
        asked = ", ".join(f"{name}={n:g}" for name, n in self._execution.per_trial.items())
        names = [name for name in self._execution.per_trial if name not in ("cpus", "gpus")]
        there = ", ".join(
            f"{name}={found.get({'cpus': 'CPU', 'gpus': 'GPU'}.get(name, name), 0):g}"
            for name in ("cpus", "gpus", *names)
        )
        words = (
            f"Ray starts {waiting} more trainer{'s' * (waiting > 1)} as soon as there is room for "
            f"{asked or 'cpus=1'} each: {nodes} node{'s' * (nodes != 1)}, {there} in all"
        )
        self._events.put((None, Notice(words)))

    def _tell(self, words: str) -> list[Event]:
        if words == self._told:
            return []
        self._told = words
        return [Notice(words)]


def _unreachable(address: str) -> str | None:
    """Why nothing answers at HOST:PORT; None if something does, or if Ray looks for it itself."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return None


def _no_cluster(address: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"the executor of this session is Ray, which is not installed. Run {INSTALL}."
    first = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"Ray cluster {address!r}: cannot be used ({first[0]}). Start one (`ray start --head`) and "
        "check the address and the token, or `lcsearch set NAME --executor local`."
    )


def _lost(error: Exception) -> _Lost:
    """What an exception of Ray's means, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    missing = [line for line in lines if "No module named" in line]
    if missing:
        words = missing[-1].partition(": ")[2]
        return _Lost(f"{words}. Run {INSTALL} on every node, in the same version.", fatal=True)
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return _Lost(f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}")
    if any("running low on memory" in line for line in lines):
        return _Lost("Ray ended it, for its node ran out of memory", "memory")
    said = next((line for line in lines if line.startswith("The actor is dead")), "")
    words = said or (lines[0] if lines else type(error).__name__)
    # the rest is a list of what it could have been
    return _Lost(words.partition(" Some common causes")[0].rstrip("."))


def resources(words: list[str]) -> dict[str, float]:
    """`gpus=1`, or `cpus=4,gpus=0.5`, as the resources of one trial.  Raises Misuse."""
    found: dict[str, float] = {}
    for word in filter(None, (part.strip() for part in ",".join(words).split(","))):
        name, _, number = (part.strip() for part in word.partition("="))
        try:
            found[name] = float(number)
        except ValueError:
            raise Misuse(
                f"per trial {word}: not RESOURCE=NUMBER. Use for example gpus=1."
            ) from None
    return found


def _make(session: Session, dtype: str | None, timed_with: int | None, log: IO[bytes]) -> Executor:
    return ClusterExecutor(session, dtype)


def _check(execution: Execution) -> None:
    for name, number in execution.per_trial.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}", name) or name in RESERVED:
            raise Misuse(
                f"per trial {name}: not usable. Use cpus, gpus, or a resource that a node of the "
                "cluster was started with."
            )
        if not 0 < number <= 1e6 or (number > 1 and number != int(number)):
            raise Misuse(
                f"per trial {name}={number:g}: not usable. Use a whole number, or a share below 1."
            )
    if not installed():
        raise StoreError(f"--executor ray needs Ray, which is not installed. Run {INSTALL}.")


def _describe(execution: Execution) -> str:
    asked = ", ".join(f"{name}={number:g}" for name, number in execution.per_trial.items())
    data = ", every node reads the data itself" if execution.data_on_nodes else ""
    return (
        f"on the Ray cluster {execution.address}, {execution.parallel} at once, "
        f"{asked or 'cpus=1'} each{data}"
    )


KIND = Kind(
    name="ray",
    title="a Ray cluster",
    make=_make,
    check=_check,
    at_once=lambda execution: execution.parallel,
    describe=_describe,
    trains=frozenset({"cnn"}),
    own=frozenset({"address", "per_trial", "data_on_nodes"}),
    elastic=True,
)
