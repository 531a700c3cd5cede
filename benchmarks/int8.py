"""Networks in eight bits beside float32: what is lost, what is saved, and which one is faster.

    python benchmarks/int8.py --json             # Fashion-MNIST by Debian's package, two minutes
    python benchmarks/int8.py --quick --json     # digits, some seconds

Trains each network on a one-cycle schedule, as `train --int8` does, and reads what that wrote: the
points of accuracy that int8 loses on the images that decide it, both accuracies on the test set,
and bytes of int8 over those of float32, of the files and of the numbers in them.  Latencies are of
one image and one thread of onnxruntime, medians of rounds in which both forms are timed in turns.
`size_ratio` is of the weights by arithmetic (`size`), where float32, too, keeps sparse layers with
16-bit numbers of inputs; `network.onnx` has 64.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from fashion import FASHION
from lines import say

from lcsearch.engine.protocol import FinalDone, FinalOrder
from lcsearch.engine.tasks import cnn
from lcsearch.engine.tasks.space import Space
from lcsearch.engine.training.data import read_final
from lcsearch.engine.training.eight_bits import INT8
from lcsearch.engine.training.final import Said, train_final
from lcsearch.engine.training.latency import beside
from lcsearch.engine.training.portable import ONNX
from lcsearch.sessions.records import READER, Config, DataSource


def plain(channels: list[int], hidden: int, density: float, groups: int = 1) -> Config:
    """A network of layers of 3 x 3 with batch norm, each but the last with a pool."""
    count = len(channels)
    return {
        "conv_layers": count,
        "channels": channels,
        "kernel": [3] * count,
        "downsample": ["pool"] * (count - 1) + ["none"],
        "batch_norm": [True] * count,
        "groups": [1] + [groups] * (count - 1),
        "classifier_layers": 2,
        "hidden_units": [hidden],
        "density": [density, 1.0],
    }


NETWORKS: dict[str, Config] = {
    "reference": {},
    "small": plain([8, 16], 32, 1.0),
    "grouped": plain([32, 64], 64, 0.3, groups=4),
    "sparse": plain([16, 64], 512, 0.05),
    "wide": plain([32, 128], 128, 1.0),
    "ds-cnn": {
        "conv_layers": 5,
        "channels": [64] * 5,
        "downsample": ["stride"] + ["none"] * 4,
        "conv": ["plain"] + ["separable"] * 4,
    },
    "resnet-8": {
        "conv_layers": 7,
        "channels": [16, 16, 16, 32, 32, 64, 64],
        "downsample": ["none", "none", "none", "stride", "none", "stride", "none"],
        "shortcut": [False, False, True, False, True, False, True],
    },
    "hardswish": {
        **plain([16, 16, 32], 256, 0.1),
        "shortcut": [False, False, True],
        "conv": ["plain", "plain", "separable"],
        "activation": "hardswish",
        "dropout": 0.2,
        "label_smoothing": 0.1,
    },
}
QUICK = ("reference", "sparse")


def config_of(name: str, space: Space) -> Config:
    """All of a network's configuration: besides what it says it is as the reference."""
    assert space.reference is not None
    return space.resized({**space.reference, **cnn.BEGINS, **NETWORKS[name]})


def measured(
    name: str, source: DataSource, epochs: int, seed: int, rounds: int, place: Path
) -> dict[str, Any]:
    """Train it, write it, and read what came of it."""
    summary = read_final(source)[0].summary
    config = config_of(name, cnn.space(summary.shape, summary.classes))
    folder = place / name
    order = FinalOrder(
        session=name, trial=0, data=source, fingerprint=summary.fingerprint, config=config,
        features=4, seeds=(seed,), epochs=epochs, augment="none", folder=str(folder),
        checkpoint=str(place / f"{name}-checkpoint"), onnx=True, int8=True, accept_loss=True,
    )  # fmt: skip
    said: list[Said] = []
    train_final(order, said.append, lambda: None)
    done = said[-1]
    assert isinstance(done, FinalDone)
    result = done.result
    made = result.int8
    assert made is not None
    forms = [(folder / file).read_bytes() for file in (ONNX, INT8)]
    pairs = [beside(forms, summary.shape) for _ in range(rounds)]
    whole, own = (statistics.median(of) for of in zip(*pairs, strict=True))
    sizes = [
        cnn.network(config, summary.shape, summary.classes, 4, deployed).size
        for deployed in ("float32", "int8")
    ]
    return {
        "network": name,
        "params": result.params,
        "loss_points": round(100 * made.loss, 2),
        "images": made.images,
        "judged_on": made.judged_on,
        "test_accuracy": round(result.test_accuracy, 4),
        "int8_test_accuracy": round(made.test_accuracy, 4),
        "file_bytes": made.bytes,
        "file_ratio": round(made.bytes / made.float_bytes, 3),
        "weight_ratio": round(made.weight_bytes / made.float_weight_bytes, 3),
        "size_ratio": round(sizes[1] / sizes[0], 3),
        "float_us": round(1000 * whole, 1),
        "int8_us": round(1000 * own, 1),
        "time_ratio": round(statistics.median(b / a for a, b in pairs), 2),
        "weight_bits": made.weight_bits,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="digits, and two networks")
    parser.add_argument("--images", type=int, default=6000, help="of Fashion-MNIST to train on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5, help="of timing")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    given = parser.parse_args(arguments)
    source = DataSource(spec=f"idx:{FASHION}", train_size=given.images, reader=READER)
    if given.quick:
        source = DataSource(spec="digits", reader=READER)
    with tempfile.TemporaryDirectory() as place:
        for name in QUICK if given.quick else NETWORKS:
            line = measured(name, source, given.epochs, given.seed, given.rounds, Path(place))
            say(line, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
