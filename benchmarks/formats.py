"""The same images in the formats that people have them in: what a whole search finds in each.

    python benchmarks/formats.py [--images 6000] [--trials 6] [--epochs 4] [--json]

Images of Fashion-MNIST are written as IDX files, as a MedMNIST file (its validation images are
those that a session draws from the IDX files), as Parquet shards the way Hugging Face writes them
(PNG bytes, names in the metadata), as PNG files in a tar.gz of train/ and test/, as a table of
pixels, and, with other pixels, as JPEG photos of mixed sizes and colours, a folder a class, such as
Imagenette.  Each is searched by `new` and `run` with the same seed.  Where the images are the same,
so are the networks that are tried first, and accuracies should agree to the last digit, or, where
only the order of the images differs (MedMNIST), within noise.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fashion import CLASSES, FASHION, command, idx
from numpy.typing import NDArray
from PIL import Image

from lcsearch.engine.training.data import read
from lcsearch.sessions.records import READER, DataSource

Pixels = NDArray[np.uint8]
Sets = dict[str, tuple[Pixels, Pixels]]
"""Images, shape (n, 28, 28), and labels, by split."""


def taken(count: int) -> Sets:
    """The first images of the training and of the test set."""
    found = {}
    for split, name, some in (("train", "train", count), ("test", "t10k", count // 5)):
        images, labels = (
            idx(FASHION, f"{name}-{kind}-ubyte")[:some] for kind in ("images-idx3", "labels-idx1")
        )
        found[split] = images, labels
    return found


def idx_files(place: Path, sets: Sets) -> str:
    place.mkdir()
    for split, name in (("train", "train"), ("test", "t10k")):
        for kind, array in zip(("images-idx3", "labels-idx1"), sets[split], strict=True):
            head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
            (place / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return f"idx:{place}"


def medmnist(place: Path, sets: Sets) -> str:
    source = DataSource(spec=f"idx:{place.parent / 'idx'}", reader=READER)
    val = read(source).val_numbers
    images, labels = sets["train"]
    kept = np.setdiff1d(np.arange(len(labels)), val)
    np.savez_compressed(
        place.with_suffix(".npz"),
        train_images=images[kept], train_labels=labels[kept][:, None],
        val_images=images[val], val_labels=labels[val][:, None],
        test_images=sets["test"][0], test_labels=sets["test"][1][:, None],
    )  # fmt: skip
    return f"npz:{place.with_suffix('.npz')}"


def png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def parquet(place: Path, sets: Sets) -> str:
    import pyarrow
    from pyarrow import parquet as files

    place.mkdir()
    features = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, (images, labels) in sets.items():
        for shard in range(2):
            part = slice(shard * len(labels) // 2, (shard + 1) * len(labels) // 2)
            rows = [{"bytes": png(one), "path": None} for one in images[part]]
            kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
            table = pyarrow.table(
                {"image": pyarrow.array(rows, kind), "label": labels[part].astype(np.int64)}
            ).replace_schema_metadata(told)
            files.write_table(table, place / f"{split}-{shard:05}-of-00002.parquet")
    return f"parquet:{place}"


def archive(place: Path, sets: Sets) -> str:
    path = place.with_suffix(".tar.gz")
    with tarfile.open(path, "w:gz") as file:
        for split, (images, labels) in sets.items():
            for number, (one, label) in enumerate(zip(images, labels, strict=True)):
                content = png(one)
                member = tarfile.TarInfo(f"fashion/{split}/{label}/{number:06}.png")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return f"folder:{path}"


def table(place: Path, sets: Sets) -> str:
    path = place.with_suffix(".csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "split", *(f"pixel{number}" for number in range(28 * 28))])
        for split, (images, labels) in sets.items():
            for one, label in zip(images, labels, strict=True):
                writer.writerow([label, split, *one.ravel()])
    return f"csv:{path}"


def photos(place: Path, sets: Sets) -> str:
    """Each image enlarged to some size, coloured, with a border, in a JPEG file."""
    rng = np.random.default_rng(0)
    for split, (images, labels) in sets.items():
        for number, (one, label) in enumerate(zip(images, labels, strict=True)):
            side = int(rng.integers(90, 300))
            scaled = np.asarray(Image.fromarray(one).resize((side, side)), float) / 255
            tint = rng.integers(100, 256, 3)
            ground = rng.integers(0, 60, 3)
            width, height = side + rng.integers(0, side // 2), side + rng.integers(0, side // 2)
            photo = np.empty((height, width, 3), np.uint8)
            photo[:] = ground
            top, left = (height - side) // 2, (width - side) // 2
            mixed = ground + scaled[..., None] * (tint - ground)
            photo[top : top + side, left : left + side] = mixed
            folder = place / split / f"n{label:08}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(folder / f"{number:06}.JPEG", quality=90)
    return f"folder:{place}"


FORMATS: dict[str, Callable[[Path, Sets], str]] = {
    "idx": idx_files,
    "medmnist": medmnist,
    "parquet": parquet,
    "tar.gz": archive,
    "csv": table,
    "photos": photos,
}


def searched(home: Path, name: str, spec: str, trials: int, epochs: int) -> dict[str, Any]:
    """What a search by the commands finds: the best accuracy, and that of every trial."""
    size = ("--image-size", "28") if name == "photos" else ()
    began = time.perf_counter()
    command(
        home, "new", name, "--data", spec, "--trials", str(trials), "--epochs", str(epochs),
        "--flat", "--measure", "macs", "--macs-cap", "1", *size,
    )  # fmt: skip
    made = time.perf_counter() - began
    command(home, "run", name, "--trials", str(trials))
    command(home, "engine", "stop", name)
    told = json.loads(command(home, "show", name, "--json"))
    accuracies = [
        max(epoch["val_accuracy"] for epoch in trial["epochs"])
        for trial in told["trials"]
        if trial["epochs"]
    ]
    return {
        "best": max(accuracies),
        "accuracies": accuracies,
        "new_seconds": round(made, 2),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=6000, help="training images")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--only", choices=FORMATS, action="append")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sets = taken(given.images)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        home = place / "home"
        for name, write in FORMATS.items():
            if given.only and name not in {*given.only, "idx"}:
                continue
            spec = write(place / name.replace(".", "-"), sets)
            result = {"format": name, **searched(home, name, spec, given.trials, given.epochs)}
            if given.json:
                print(json.dumps(result), flush=True)
            else:
                print(
                    f"{name:<10} best {result['best']:.4f}  new {result['new_seconds']:6.2f} s  "
                    f"all {result['seconds']:6.1f} s  "
                    + " ".join(f"{one:.4f}" for one in result["accuracies"]),
                    flush=True,
                )


if __name__ == "__main__":
    main()
