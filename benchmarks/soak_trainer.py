"""A trainer that trains nothing: it speaks the protocol, keeps checkpoints and locks as the real
one does, and writes down what it does, so that nothing that happens twice stays unseen.

    python -I -S benchmarks/soak_trainer.py      ($SOAK_EPOCH_MS, $SOAK_CHECKPOINT_BYTES)

It needs the standard library alone, so that hundreds of them can be started and killed.
"""

import errno
import fcntl
import json
import os
import queue
import sys
import threading
import time

EPOCH_SECONDS = float(os.environ.get("SOAK_EPOCH_MS", "20")) / 1000
PADDING = "x" * int(os.environ.get("SOAK_CHECKPOINT_BYTES", "0"))
MACHINE = {"processor": "none", "device": "none", "threads": 1, "dtype": "float32", "torch": "0"}
SUMMARY = {
    "channels": 1, "height": 8, "width": 8, "classes": 10, "train": 1150, "val": 288, "test": 359,
    "fingerprint": "f" * 64,
}  # fmt: skip

output = os.fdopen(os.dup(1), "w", encoding="utf-8")
stops: dict = {}


def say(kind: str, **fields: object) -> None:
    """One reply of engine/protocol.py."""
    output.write(json.dumps({"kind": kind, **fields}) + "\n")
    output.flush()


def note(folder: str, **fields: object) -> None:
    """One line of the ledger, in one write."""
    line = json.dumps({"t": time.monotonic(), "pid": os.getpid(), **fields}) + "\n"
    handle = os.open(f"{folder}/ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line.encode())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):
            raise
    finally:
        os.close(handle)


def train(order: dict) -> None:
    """As engine/training/trainer.py does it, with a wait in place of the work."""
    who = {"trial": order["trial"], "attempt": order["attempt"]}
    checkpoint = order["checkpoint"]
    ledger = os.environ.get("SOAK_LEDGER") or os.path.dirname(os.path.dirname(checkpoint))
    lock = os.open(order["lock"], os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + 30
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                failure = {"kind": "stalled", "message": "another process still trains it"}
                say("failed", **who, failure=failure)
                os.close(lock)
                return
            time.sleep(0.005)
    try:
        go_on(order, who, checkpoint, ledger)
    finally:
        os.close(lock)


def go_on(order: dict, who: dict, checkpoint: str, ledger: str) -> None:
    epochs = []
    if os.path.exists(checkpoint):
        with open(checkpoint, encoding="ascii") as file:
            epochs = json.load(file)["epochs"]
    resumed = bool(epochs)
    say("started", **who, epochs=epochs)
    key = who["trial"], who["attempt"]
    for number in range(len(epochs) + 1, order["epochs"] + 1):
        note(ledger, **who, epoch=number, what="begin")
        end = time.monotonic() + EPOCH_SECONDS
        # a test holds an epoch for as long as it needs
        while time.monotonic() < end or os.path.exists(f"{ledger}/hold-{number}"):
            if stops.get(key) == "now":
                say("ended", **who, paused=False)
                return
            time.sleep(0.005)
        epochs.append(
            {
                "epoch": number,
                "train_loss": 1.0 / number,
                "val_accuracy": 0.5 + ((who["trial"] * 37 + number * 11) % 100) / 250,
                "seconds": EPOCH_SECONDS or 1e-3,
                "reference_seconds": EPOCH_SECONDS or 1e-3,
                "resumed": resumed,
            }
        )
        resumed = False
        try:
            with open(f"{checkpoint}.part", "w", encoding="ascii") as file:
                json.dump({"epochs": epochs, "padding": PADDING}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{checkpoint}.part", checkpoint)
        except OSError as error:
            if os.path.exists(f"{checkpoint}.part"):
                os.unlink(f"{checkpoint}.part")
            failure = {"kind": "checkpoint", "message": f"the checkpoint: {error}"}
            gone = error.errno == errno.ENOENT
            say("failed", **who, failure=failure, no_room=not gone, no_folder=gone)
            return
        note(ledger, **who, epoch=number, what="saved")
        say("epoch", **who, epoch=epochs[-1])
        if stops.get(key) in ("epoch", "pause") and number < order["epochs"]:
            say("ended", **who, paused=stops[key] == "pause")
            return
    best = max(epoch["val_accuracy"] for epoch in epochs)
    say(
        "finished", **who, error=1 - best, costs={"seconds": EPOCH_SECONDS or 1e-3},
        reference_costs={"seconds": EPOCH_SECONDS or 1e-3}, machine=MACHINE,
    )  # fmt: skip


def main() -> None:
    """Serve standard input until it ends."""
    work: queue.SimpleQueue = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            order = json.loads(line)
            if order["kind"] == "stop":
                stops[order["trial"], order["attempt"]] = order["mode"]
            else:
                work.put(order)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        order = work.get()
        try:
            if order["kind"] == "load":
                say("ready", summary=SUMMARY, machine=MACHINE)
            else:
                train(order)
        except BrokenPipeError:
            os._exit(0)


if __name__ == "__main__":
    main()
