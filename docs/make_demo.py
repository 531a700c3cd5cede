"""Record the session that `lcsearch demo` opens: a real search on Fashion-MNIST, some ten minutes.

python docs/make_demo.py /usr/share/datasets/fashion-mnist

Every network is trained, every figure measured.  The decisions are a script's, of the kind that
people take: candidates accepted, changed and rejected with a reason, networks of one's own, a
repeat, one far too bold, an undo, a stop, another w_c, the autopilot in between.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lcsearch.engine import search
from lcsearch.engine.client.home import SetupError, create
from lcsearch.engine.client.session import SessionClient
from lcsearch.sessions.errors import StoreError
from lcsearch.sessions.records import Config, DataSource, Setup

OUT = Path(__file__).resolve().parent.parent / "tui" / "demo.json"
LOOK_SECONDS = 0.1

Change = Callable[[Config], Config]


class Person:
    """Takes decisions in a session, and waits for what they lead to."""

    def __init__(self, client: SessionClient) -> None:
        self.client = client

    def wait(self) -> None:
        """Until nothing waits, nothing runs and nobody else has the wheel."""
        while True:
            snapshot = self.client.refresh()
            if not search.pending(snapshot) and snapshot.session.autopilot is None:
                return
            time.sleep(LOOK_SECONDS)

    def accept(self, rank: int = 1, reason: str = "") -> None:
        """Train a candidate."""
        ranking = self.client.rank(self.client.refresh(), count=24)
        self.client.accept(ranking.proposals[rank - 1], reason, advised=ranking.advised)
        self.wait()

    def change_mind(self) -> None:
        """Train the first candidate; queue the third, and take that back while it waits."""
        ranking = self.client.rank(self.client.refresh(), count=24)
        self.client.accept(ranking.proposals[0])
        self.client.accept(ranking.proposals[2])
        self.client.undo()
        self.wait()

    def reject(self, rank: int, reason: str) -> None:
        """Take a candidate out."""
        ranking = self.client.rank(self.client.refresh(), count=24)
        self.client.reject(ranking.proposals[rank - 1], reason)

    def edit(self, change: Change, reason: str) -> None:
        """Train the best candidate, changed."""
        ranking = self.client.rank(self.client.refresh(), count=24)
        config = self.client.space.validate(change(dict(ranking.proposals[0].config)))
        prediction = ranking.evaluate([config])[0].prediction
        self.client.submit(config, prediction, kind="edit", reason=reason, advised=ranking.advised)
        self.wait()

    def new(self, given: Config, reason: str) -> None:
        """Train a network of one's own; what is not given stands as in the level's base."""
        snapshot = self.client.refresh()
        base = search.base_trial(snapshot).config
        config = self.client.space.validate(self.client.space.completed(given, base))
        ranking = self.client.rank(snapshot, count=1)
        prediction = ranking.evaluate([config])[0].prediction
        self.client.submit(config, prediction, kind="new", reason=reason, advised=ranking.advised)
        self.wait()

    def stop_next(self, reason: str) -> None:
        """Train a candidate, and stop it after its first epoch."""
        ranking = self.client.rank(self.client.refresh(), count=24)
        number = self.client.accept(ranking.proposals[1], advised=ranking.advised).trial
        assert number is not None
        while not self.client.refresh().trials[number].epochs:
            time.sleep(LOOK_SECONDS)
        self.client.stop(number, "now", reason)
        self.wait()

    def repeat_best(self, reason: str) -> None:
        """Train the best network again with another seed."""
        best = search.best_measured(self.client.refresh())
        assert best is not None
        self.client.repeat(best.number, reason)
        self.wait()

    def fly(self, trials: int) -> None:
        """Let the autopilot add some trials."""
        self.client.autopilot(trials=trials)
        self.wait()


def narrower(config: Config) -> Config:
    """Half the channels, in whole groups of eight."""
    return {**config, "channels": [max(8, c // 16 * 8) for c in config["channels"]]}


def wide_eyes(config: Config) -> Config:
    """A first layer that sees 5x5."""
    return {**config, "kernel": [5, *config["kernel"][1:]]}


def heavier(config: Config) -> Config:
    """With some weight decay."""
    return {**config, "weight_decay": 1e-4}


def gentler(config: Config) -> Config:
    """Half the learning rate, in smaller batches."""
    return {**config, "learning_rate": config["learning_rate"] / 2, "batch_size": 64}


def search_it(person: Person) -> None:
    """All four levels."""
    client = person.client
    person.wait()

    depth = 16
    person.new(
        {
            "conv_layers": depth,
            "channels": [16] * depth,
            "downsample": ["pool", *["none"] * (depth - 2), "pool"],
            "kernel": [3] * depth,
            "batch_norm": [False] * depth,
            "groups": [1] * depth,
            "learning_rate": 10.0,
            "batch_size": 16,
        },
        "on purpose far too bold: sixteen layers, no batch norm, learning rate 10",
    )
    if client.refresh().trials[1].state != "failed":
        raise StoreError("trial 1 was to diverge, and has not. Make it bolder.")
    person.accept()
    person.reject(1, "this deep, 28x28 pixels have nothing left to pool")
    person.accept(2, "two poolings early: cheap, and the first layers see most")
    person.new(
        {
            "conv_layers": 2,
            "channels": [16, 32],
            "downsample": ["pool", "pool"],
            "kernel": [5, 5],
            "batch_norm": [False, False],
            "groups": [1, 1],
        },
        "two layers of 5x5 as in LeNet, as a yardstick",
    )
    person.accept()
    person.edit(narrower, "half as wide: is the width needed?")
    person.fly(3)
    person.repeat_best("how much of it is luck?")
    client.advance()

    person.accept()
    person.edit(wide_eyes, "the first layer should see whole edges")
    person.change_mind()
    person.fly(2)
    client.set_wc(0.2)
    person.accept(1, "with w_c 0.2 what is small comes first")
    client.advance()

    person.accept()
    person.edit(heavier, "the training loss runs ahead of the validation")
    person.stop_next("slower than I want to wait for")
    person.fly(2)
    client.advance()

    person.accept()
    person.edit(gentler, "the first epochs jump about")
    person.reject(2, "too close to what has just been tried")
    person.fly(3)


def main(images: str) -> int:
    """Search, and write what was found where `lcsearch demo` looks for it."""
    with tempfile.TemporaryDirectory(prefix="lcsearch-demo-") as place:
        try:
            folder = create(
                Path(place),
                Setup(
                    name="demo",
                    data=DataSource(spec=f"idx:{images}", train_size=4000),
                    epochs=4,
                    trials_per_level=8,
                ),
            )
            client = SessionClient(folder)
            client.start_engine()
            search_it(Person(client))
            client.export(OUT)
        except (StoreError, SetupError) as error:
            print(f"make_demo: {error}", file=sys.stderr)
            return 1
    print(OUT)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.exit(main(sys.argv[1]))
