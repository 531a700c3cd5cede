"""The images that `make_tables.py` trains on, of several kinds, each in one npz file.

    python benchmarks/sets.py DIR                     # all that can be made here
    python benchmarks/sets.py DIR --only glyphs28     # one
    python benchmarks/sets.py DIR --look FILE.png     # twelve images of each class, to look at

What they are made of, and where it comes from:

    digits8             scikit-learn, in the package
    fashion14, 28       Debian: dataset-fashion-mnist
    glyphs14, 28        letters A to J in every font that there is: Debian's fonts-* packages
    emoji16             npm pack emoji-datasource-google emoji-datasource-twitter (in DIR)
    speech16            Debian: espeak-ng, spoken digits as spectrograms

Validation images are of other families of fonts, other emoji and other voices than those trained
on.  The same packages give the same files.
"""

from __future__ import annotations

import argparse
import glob
import io
import json
import shutil
import subprocess
import sys
import tarfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).parent))

import itertools

from fashion import FASHION, idx

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
FONTS = Path("/usr/share/fonts")
LETTERS = "ABCDEFGHIJ"
VENDORS = "google", "twitter"
BLOCK = 20
"""Emoji in their order that are on one side together."""
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
NOISE = 0.5, 5.0
"""Behind a voice, in units of its own loudness: with next to none a network makes no error."""
VOICES = "/usr/lib/*/espeak-ng-data/voices/!v", "/usr/share/espeak-ng-data/voices/!v"
LANGUAGES = "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029"
TESTED = 20
"""Images that are set aside as a test set, which a reader wants and nobody looks at."""
BANDS = 16
"""Of a spectrogram, and as many moments."""


class Missing(RuntimeError):
    """What a set is made of is not here."""


@dataclass(frozen=True)
class Split:
    """Images and their classes.  images: shape (n, height, width) or (n, height, width, 3)."""

    images: Pixels
    labels: Labels

    def drawn(self, count: int, seed: int) -> Split:
        """So many of them, or all there are, in another order."""
        order = np.random.default_rng(seed).permutation(len(self.labels))[:count]
        return Split(self.images[order], self.labels[order])


@dataclass(frozen=True)
class Made:
    """A set: what is trained on, and what for validation."""

    train: Split
    val: Split


def split_of(images: list[Pixels], labels: list[int]) -> Split:
    """A split of single images."""
    return Split(np.stack(images), np.array(labels, dtype=np.int64))


# -- as they come -------------------------------------------------------------------------------


def digits() -> Made:
    """8x8, handwritten."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    whole = Split((images.reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8), labels)
    drawn = whole.drawn(len(labels), 0)
    return Made(
        Split(drawn.images[:1100], drawn.labels[:1100]),
        Split(drawn.images[1100:], drawn.labels[1100:]),
    )


def fashion(side: int, train: int, val: int) -> Made:
    """Clothes, 28x28 or the means of 2x2 pixels."""
    if not FASHION.is_dir():
        raise Missing(f"{FASHION} is not there: apt-get install dataset-fashion-mnist")
    images = idx(FASHION, "train-images-idx3-ubyte")
    labels = idx(FASHION, "train-labels-idx1-ubyte").astype(np.int64)
    whole = Split(shrunk(images, side), labels).drawn(train + val, 1)
    return Made(
        Split(whole.images[:train], whole.labels[:train]),
        Split(whole.images[train:], whole.labels[train:]),
    )


def shrunk(images: Pixels, side: int) -> Pixels:
    """The means of what becomes one pixel."""
    factor = images.shape[1] // side
    blocks = images.reshape(len(images), side, factor, side, factor)
    return blocks.mean(axis=(2, 4)).round().astype(np.uint8)


# -- letters in many fonts ----------------------------------------------------------------------


def families() -> list[list[Path]]:
    """Fonts that draw the letters, in families: what shares two words of its name, or draws a
    letter just alike, is one.
    """
    known: dict[object, list[Path]] = {}
    for path in sorted(FONTS.rglob("*")):
        if path.suffix.lower() not in (".ttf", ".otf"):
            continue
        try:
            font = ImageFont.truetype(str(path), 24)
            drawn = [bytes(font.getmask(letter)) for letter in LETTERS + "\uffff"]
        except (OSError, ValueError):
            continue  # no outlines, as fonts for terminals have
        # a letter that a font lacks looks like one that no font has
        if len(set(drawn)) < len(drawn):
            continue
        signs = [tuple(str(font.getname()[0]).split()[:2]), *enumerate(drawn[:-1])]
        alike = {id(known[sign]): known[sign] for sign in signs if sign in known}
        family = [path]
        for one in alike.values():
            family += one
        for sign, one in known.items():
            if id(one) in alike:
                known[sign] = family
        known |= dict.fromkeys(signs, family)
    found = {id(family): sorted(family) for family in known.values()}
    return sorted(found.values())


def glyphs(side: int, train: int, val: int) -> Made:
    """Letters A to J, each in another font, size, angle and place."""
    known = families()
    if len(known) < 150:
        raise Missing(f"{len(known)} font families in {FONTS}, wanted 150: install fonts-*")
    rng = np.random.default_rng(2)
    order = rng.permutation(len(known))
    held = len(order) // 3
    splits = []
    for chosen, count in ((order[held:], train), (order[:held], val)):
        images, labels = [], []
        for number in range(count):
            paths = known[chosen[number // len(LETTERS) % len(chosen)]]
            path = paths[int(rng.integers(len(paths)))]
            label = number % len(LETTERS)
            images.append(_letter(path, LETTERS[label], side, rng))
            labels.append(label)
        splits.append(split_of(images, labels).drawn(count, 3))
    return Made(*splits)


def _letter(path: Path, letter: str, side: int, rng: np.random.Generator) -> Pixels:
    """One letter, drawn four times as large, turned, moved and brought down."""
    large = 4 * side
    font = ImageFont.truetype(str(path), int(large * rng.uniform(0.55, 0.85)))
    canvas = Image.new("L", (large, large))
    left, top, right, bottom = font.getbbox(letter)
    middle = (large - left - right) / 2, (large - top - bottom) / 2
    shift = rng.uniform(-0.1, 0.1, 2) * large
    place = (middle[0] + shift[0], middle[1] + shift[1])
    ImageDraw.Draw(canvas).text(place, letter, fill=255, font=font)
    turned = canvas.rotate(float(rng.uniform(-15, 15)), Image.Resampling.BILINEAR)
    return np.asarray(turned.resize((side, side), Image.Resampling.BOX))


# -- emoji --------------------------------------------------------------------------------------


def emoji(folder: Path, train: int, val: int) -> Made:
    """Pictures by category, in colour, 16x16, each by two designers."""
    images: dict[bool, list[Pixels]] = {False: [], True: []}
    labels: dict[bool, list[int]] = {False: [], True: []}
    for vendor in VENDORS:
        files = sorted(folder.glob(f"emoji-datasource-{vendor}-*.tgz"))
        if not files:
            raise Missing(f"npm pack emoji-datasource-{vendor} in {folder}")
        with tarfile.open(files[-1]) as archive:
            listed = archive.extractfile("package/emoji.json")
            assert listed is not None
            known = [one for one in json.load(listed) if one["category"] != "Component"]
            classes = sorted({one["category"] for one in known})
            of = {f"package/img/{vendor}/64/{one['image']}": one for one in known}
            for member in archive:
                one = of.get(member.name)
                if one is None:
                    continue
                picture = archive.extractfile(member)
                assert picture is not None
                # the same emoji of another designer is on the same side, and so are most of its
                # neighbours: a clock at one and at two
                held = int(one["sort_order"]) // BLOCK % 3 == 0
                images[held].append(_picture(picture.read()))
                labels[held].append(classes.index(one["category"]))
    kept = [split_of(images[held], labels[held]) for held in (False, True)]
    return Made(kept[0].drawn(train, 4), kept[1].drawn(val, 4))


def _picture(content: bytes) -> Pixels:
    """On white, 16x16."""
    with Image.open(io.BytesIO(content)) as image:
        clear = image.convert("RGBA")
    ground = Image.new("RGBA", clear.size, "white")
    whole = Image.alpha_composite(ground, clear).convert("RGB")
    return np.asarray(whole.resize((16, 16), Image.Resampling.BOX))


# -- spoken digits ------------------------------------------------------------------------------


def speech(train: int, val: int) -> Made:
    """Spoken digits, as spectrograms of 16 bands and 16 moments."""
    found = {Path(voice).name for place in VOICES for voice in glob.glob(f"{place}/*")}
    if not found or shutil.which("espeak-ng") is None:
        raise Missing("espeak-ng is not there: apt-get install espeak-ng")
    rng = np.random.default_rng(5)
    voices = [str(name) for name in rng.permutation(sorted(found))]
    held = len(voices) // 3
    splits = []
    for chosen, count in ((voices[held:], train), (voices[:held], val)):
        images, labels = [], []
        for number in range(count):
            label = number % len(WORDS)
            voice = chosen[number // len(WORDS) % len(chosen)]
            images.append(_spectrogram(_spoken(WORDS[label], voice, rng), rng))
            labels.append(label)
        splits.append(split_of(images, labels).drawn(count, 6))
    return Made(*splits)


def _spoken(word: str, voice: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Samples of a word: another language, speed and pitch each time."""
    language = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
    done = subprocess.run(
        [
            "espeak-ng", "-v", f"{language}+{voice}", "-s", str(rng.integers(120, 240)),
            "-p", str(rng.integers(20, 80)), "--stdout", word,
        ],
        capture_output=True,
        check=True,
    )  # fmt: skip
    with wave.open(io.BytesIO(done.stdout)) as sound:
        frames = sound.readframes(sound.getnframes())
    return np.frombuffer(frames, np.int16).astype(float)


def _spectrogram(samples: NDArray[np.float64], rng: np.random.Generator) -> Pixels:
    """Loudness by band and moment, with noise behind the voice, more or less of it."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    voice = samples[loud[0] : loud[-1] + 1]
    level = np.exp(rng.uniform(*np.log(NOISE))) * voice.std()
    voice = voice + rng.normal(0, level, len(voice))
    window = 512
    starts = np.linspace(0, max(len(voice) - window, 0), 4 * BANDS).astype(int)
    frames = np.stack([np.resize(voice[at : at + window], window) for at in starts])
    power = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2
    # bands that grow as hearing does
    edges = np.geomspace(4, power.shape[1], BANDS + 1).astype(int)
    bands = np.stack([power[:, a : max(b, a + 1)].mean(1) for a, b in itertools.pairwise(edges)])
    moments = np.log(bands.reshape(BANDS, BANDS, 4).mean(2) + 1e-9)
    scaled = np.clip((moments - moments.max() + 12) / 12, 0, 1)
    return (255 * scaled[::-1]).round().astype(np.uint8)


# -- all of them --------------------------------------------------------------------------------


def makers(folder: Path) -> dict[str, Callable[[], Made]]:
    """How each is made."""
    return {
        "digits8": digits,
        "fashion14": lambda: fashion(14, 2400, 1600),
        "fashion28": lambda: fashion(28, 1200, 1200),
        "glyphs14": lambda: glyphs(14, 2000, 1200),
        "glyphs28": lambda: glyphs(28, 1200, 1200),
        "emoji16": lambda: emoji(folder, 2400, 1200),
        "speech16": lambda: speech(1500, 1000),
    }


def file_of(folder: Path, name: str) -> Path:
    """Where a set is; made where it is not there yet.  Raises Missing."""
    path = folder / f"{name}.npz"
    if not path.exists():
        made = makers(folder)[name]()
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            train_images=made.train.images, train_labels=made.train.labels,
            val_images=made.val.images[TESTED:], val_labels=made.val.labels[TESTED:],
            test_images=made.val.images[:TESTED], test_labels=made.val.labels[:TESTED],
        )  # fmt: skip
        part.rename(path)
    return path


def sheet(files: list[Path]) -> Image.Image:
    """Twelve images of each class, one set beside the other."""
    columns = []
    for path in files:
        with np.load(path, allow_pickle=False) as given:
            images, labels = given["train_images"], given["train_labels"]
        rows = []
        for label in range(int(labels.max()) + 1):
            shown = images[labels == label][:12]
            shown = shown if shown.ndim == 4 else np.repeat(shown[..., None], 3, 3)
            row = np.concatenate(list(shown), 1)
            rows.append(np.asarray(Image.fromarray(row).resize((12 * 28, 28), 0)))
        column = np.concatenate(rows)
        columns.append(np.pad(column, ((0, 280 - len(column)), (0, 8), (0, 0))))
    return Image.fromarray(np.concatenate(columns, 1))


def counted(folder: Path, names: list[str]) -> Iterator[str]:
    """Make them; a line of each."""
    for name in names:
        try:
            with np.load(file_of(folder, name), allow_pickle=False) as made:
                trained, held = made["train_images"], made["val_images"]
                classes = np.bincount(made["train_labels"])
        except Missing as error:
            yield f"{name}: left out: {error}"
            continue
        yield f"{name}: {len(trained)} + {len(held)} of {trained.shape[1:]}, classes {classes}"


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", choices=tuple(makers(Path())))
    parser.add_argument("--look", type=Path, metavar="PNG", help="draw some of each")
    given = parser.parse_args(arguments)
    names = given.only or list(makers(given.folder))
    for line in counted(given.folder, names):
        print(line, flush=True)
    if given.look is not None:
        files = [given.folder / f"{name}.npz" for name in names]
        sheet([file for file in files if file.exists()]).save(given.look)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
