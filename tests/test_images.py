"""What a person asks of images: by `lcsearch data`, `cache`, `new`, and what probes answer."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image
from rich.text import Text
from typer.testing import CliRunner, Result

from lcsearch.engine.client import home as homes
from lcsearch.engine.client import images as asked
from lcsearch.engine.client.images import Cancelled, SetupError, look
from lcsearch.engine.executors import devices, local
from lcsearch.engine.executors.base import Event, Notice
from lcsearch.engine.protocol import Picture, Reading, Ready, Train
from lcsearch.sessions.records import READER, DataSource, DataSummary, Machine
from lcsearch.sessions.store import Store
from lcsearch.tui import images
from lcsearch.tui.cli import app
from lcsearch.tui.image_words import (
    columns_text,
    read_colour,
    read_columns,
    read_size,
    size_text,
)

from .conftest import PATIENCE
from .sessions_for_tests import make_store


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def photos(root: Path, each: int = 15) -> Path:
    """Red and blue images of several sizes."""
    for name, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
        (root / name).mkdir(parents=True)
        for number in range(each):
            size = (20 + number, 16)
            photo = np.full((*size, 3), colour, np.uint8)
            photo[10, 8] = number  # no two are the same
            Image.fromarray(photo).save(root / name / f"{number:02}.png")
    return root


# words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"), [("64", (64, 64)), ("64x48", (48, 64)), (" 8 X 9 ", (9, 8)), ("1×1", (1, 1))]
)
def test_a_size_is_read(text: str, size: tuple[int, int]) -> None:
    assert read_size(text) == size
    assert read_size(size_text(size)) == size


@pytest.mark.parametrize("text", ["", "0", "64x", "x64", "64x48x3", "1025", "-5", "6.5"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
        read_size(text)


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", "#ffffff"), ("#A0B1C2", "#a0b1c2"), ("0f0", "#00ff00"), ("Black", "#000000")],
)
def test_a_colour_is_read(text: str, colour: str) -> None:
    assert read_colour(text) == colour


@pytest.mark.parametrize("text", ["", "#12", "mauve", "#gggggg"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no colour"):
        read_colour(text)


def test_columns_are_read() -> None:
    columns = read_columns(["image=file name", " label = what "])
    assert columns == {"image": "file name", "label": "what"}
    assert read_columns(columns_text(columns).split(",")) == columns
    for text in ("file", "picture=x", "image="):
        with pytest.raises(ValueError, match="image=NAME"):
            read_columns([text])


# what is shown ----------------------------------------------------------------------------------


def test_two_pixels_a_cell_one_above_the_other() -> None:
    rows = ("ff000000ff00", "0000ffffffff", "010203040506")
    lines = images.blocks(Picture(label=0, rows=rows))
    assert [line.plain for line in lines] == ["▀▀", "▀▀"]
    first = [str(span.style) for span in lines[0].spans]
    assert first == ["#ff0000 on #0000ff", "#00ff00 on #ffffff"]
    assert [str(span.style) for span in lines[1].spans] == ["#010203", "#040506"]


def summary(**change: Any) -> DataSummary:
    given: dict[str, Any] = {
        "channels": 3,
        "height": 48,
        "width": 64,
        "classes": 3,
        "train": 90,
        "val": 20,
        "test": 30,
        "fingerprint": "f",
        "names": ("cat", "dog", "a name of more than twenty-four letters"),
        "counts": {"train": (60, 20, 10), "val": (10, 5, 5), "test": (10, 10, 10)},
    }
    return DataSummary(**given | change)


def test_what_is_found_in_words_and_bars() -> None:
    found = summary()
    assert images.in_brief(found) == "140 images of 64x48, colour, 3 classes"
    assert images.splits(found) == "90 to train, 20 to validate, 30 to test at the end"
    lines = list(images.bars(found, 10))
    assert lines[2].startswith("a name of more than twe… ")
    assert [line.split()[-2] for line in lines] == ["80", "35", "25"]
    assert len({line.index("█") for line in lines}) == 1
    assert list(images.bars(found, 1))[1] == "and 2 more classes of 25 to 35 images"
    assert list(images.bars(summary(counts={}), 10)) == []
    assert "grey" in images.in_brief(summary(channels=1))
    assert "13 channels" in images.in_brief(summary(channels=13))


def test_the_pace_counts_from_the_first_images_on() -> None:
    """Before, files were looked at and processes begun: that says nothing of what is left."""
    now = 0.0
    pace = images.Pace(lambda: now)
    assert pace.words() == ""
    pace.told(0, 2000)
    assert pace.words() == "looking at 2,000 image files"
    now = 60.0
    pace.told(64, 2000)
    assert pace.words() == "reading image 64 of 2,000"
    now = 70.0
    pace.told(564, 2000)
    assert pace.words() == "reading image 564 of 2,000, 50 a second, 29 s left"
    pace.told(2000, 2000)
    assert pace.words().endswith("0 s left")


@pytest.mark.parametrize("width", [8, 40, 200])
def test_images_stand_side_by_side_and_within_the_width(width: int) -> None:
    pictures = [Picture(label=at, rows=("ff0000" * 6,) * 6) for at in range(3)]
    lines = images.side_by_side(pictures, summary(), width)
    assert all(isinstance(line, Text) for line in lines)
    assert max(line.cell_len for line in lines) <= max(width, 10)
    shown = " ".join(line.plain for line in lines)
    assert "cat" in shown
    assert "dog" in shown
    assert images.side_by_side([], summary(), width) == []


# commands ---------------------------------------------------------------------------------------


def test_data_shows_what_is_there_and_makes_no_session(tmp_path: Path, home: Path) -> None:
    done = run("data", f"folder:{photos(tmp_path / 'p')}", "--image-size", "12x10", "--fit", "pad")
    assert done.exit_code == 0, done.output
    assert "30 images of 12x10, colour, 2 classes" in done.stdout
    assert "15 sizes, 16x20 to 16x34: brought to 12x10 (pad" in done.stdout
    assert "No test set there: 6 of 30 images" in done.stdout
    assert "▀" not in done.stdout  # no terminal, no pictures
    assert not (home / "sessions").exists()


def test_data_as_json(tmp_path: Path, home: Path) -> None:
    done = run("data", f"folder:{photos(tmp_path / 'p')}", "--background", "black", "--json")
    told = json.loads(done.stdout)
    assert told["data"]["reader"] == READER
    assert told["data"]["background"] == "#000000"
    assert told["summary"]["names"] == ["blue", "red"]
    assert told["summary"]["counts"] == {"train": [9, 10], "val": [3, 2], "test": [3, 3]}
    assert told["summary"]["prepared"]["fit"] == "crop"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["folder:/nowhere"], "no such folder"),
        (["digits", "--image-size", "12x"], "image size 12x"),
        (["digits", "--background", "mauve"], "background mauve"),
        (["digits", "--column", "x=y"], "column x=y"),
        (["digits", "--val-fraction", "2"], "--val-fraction 2"),
        (["imagenet"], "Known are: digits"),
    ],
)
def test_data_that_cannot_be_used_end_with_2(words: list[str], said: str, home: Path) -> None:
    done = run("data", *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_new_keeps_how_images_are_read_and_says_what_was_done(tmp_path: Path, home: Path) -> None:
    root = photos(tmp_path / "p")
    (root / "red" / "00.png").write_bytes(b"no image")
    done = run("new", "mine", "--data", f"folder:{root}")
    assert done.exit_code == 2
    assert "red/00.png (is no image)" in done.stderr
    done = run(
        "new", "mine", "--data", f"folder:{root}", "--image-size", "12", "--skip-broken",
        "--drop-leaks", "--fit", "stretch",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "brought to 12x12 (stretch" in done.stderr
    assert "session mine: 29 images of 12x12, colour, 2 classes: " in done.stderr
    assert [line.split()[:2] for line in done.stderr.splitlines() if "█" in line] == [
        ["blue", "15"],
        ["red", "14"],
    ]
    session = Store(home / "sessions" / "mine").refresh().session
    assert session.data.image_size == (12, 12)
    assert (session.data.fit, session.data.drop_leaks) == ("stretch", True)
    assert session.data.reader == READER
    assert session.summary.broken == 1
    assert session.summary.names == ("blue", "red")
    shown = run("show", "mine").stdout
    assert "29 images of 12x12, colour, 2 classes" in shown
    assert "Left out: 1 file that cannot be read" in shown
    told = json.loads(run("show", "mine", "--json").stdout)
    assert told["session"]["summary"]["broken"] == 1


@pytest.mark.parametrize(
    ("place", "meant"),
    [("photos", "folder"), ("p.zip", "folder"), ("t.CSV", "csv"), ("x.npz", "npz")],
)
def test_a_place_alone_is_told_how_it_is_written(
    place: str, meant: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / place).touch()
    done = run("data", place)
    assert done.exit_code == 2
    assert f"Write {meant}:{place}." in done.stderr


def test_names_steer_no_terminal(tmp_path: Path, home: Path) -> None:
    """Neither those of files, which are told, nor those of classes; as classes they are kept."""
    root = photos(tmp_path / "p")
    (root / "red").rename(root / "r\x1b[31med")
    (root / "blue" / "\x1b]0;title\x07.png").write_bytes(b"no image")
    refused = run("data", f"folder:{root}")
    made = run("new", "mine", "--data", f"folder:{root}", "--skip-broken")
    shown = run("show", "mine")
    for done in (refused, made, shown):
        assert "blue/�]0;title�.png (is no image)" in done.output
    for text in (refused.output, made.output, shown.output, *_notes(home, "mine")):
        assert all(c.isprintable() or c == "\n" for c in text)
    assert "r\x1b[31med" in Store(home / "sessions" / "mine").refresh().session.summary.names


def _notes(home: Path, name: str) -> tuple[str, ...]:
    return Store(home / "sessions" / name).refresh().session.summary.notes


@pytest.mark.parametrize("command", [["data"], ["new", "mine", "--data"]])
def test_an_interrupt_ends_the_reading_and_says_so(
    command: list[str], tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, where the first image is read; what is half written: see the probes below."""

    def interrupted(data: DataSource, progress: devices.Progress, *_: Any, **__: Any) -> NoReturn:
        progress(1, 30)
        raise KeyboardInterrupt

    for asker in (asked, homes):
        monkeypatch.setattr(asker, "probe", interrupted)
    done = run(*command, f"folder:{tmp_path}")
    assert done.exit_code == 1
    assert done.stderr == "lcsearch: cancelled: nothing is kept of what was read.\n"
    assert not (home / "sessions").exists()


def test_the_cache_is_listed_and_cleared(tmp_path: Path, home: Path) -> None:
    assert "Nothing is kept" in run("cache").stderr
    spec = f"folder:{photos(tmp_path / 'p')}"
    assert run("data", spec).exit_code == 0
    listed = run("cache").stdout
    assert spec in listed
    assert "30 images of 16x16 " in listed
    (entry,) = json.loads(run("cache", "--json").stdout)
    assert (entry["data"], entry["images"]) == (spec, 30)
    assert (entry["channels"], entry["height"], entry["width"]) == (3, 16, 16)
    assert "cache: 0 MB of images that were read, 1 data set" in run("doctor").stdout
    assert "Removed 1 data set" in run("cache", "clear").stderr
    assert json.loads(run("cache", "--json").stdout) == []
    assert "Removed 0 data sets" in run("cache", "clear").stderr


def test_a_session_whose_images_were_misread_says_so(tmp_path: Path, home: Path) -> None:
    photos(tmp_path / "p" / "train")
    photos(tmp_path / "p" / "test")
    store = make_store(home, "old", data=DataSource(spec=f"folder:{tmp_path / 'p'}"))
    store.close()
    told = (
        "takes the folders test, train for classes",
        "A new session reads them as they are meant",
    )
    assert run("report", "old", "-o", str(tmp_path / "old.html")).exit_code == 0
    whole = run("show", "old", "--json")
    json.loads(whole.stdout)  # its document is the same, whatever there is to say
    places = run("show", "old").stdout, whole.stderr, (tmp_path / "old.html").read_text()
    for words in told:
        assert all(words in place for place in places)


# probes -----------------------------------------------------------------------------------------


def test_a_look_gives_an_image_of_each_class(tmp_path: Path, home: Path) -> None:
    found = look(DataSource(spec=f"folder:{photos(tmp_path / 'p')}"))
    assert [picture.label for picture in found.pictures] == [0, 1]
    blue, red = (picture.rows[8][:6] for picture in found.pictures)
    assert (blue, red) == ("0000c8", "c80000")
    assert len(found.pictures[0].rows) == 16
    with pytest.raises(SetupError, match="no such folder") as caught:
        look(DataSource(spec="folder:/nowhere"))
    assert caught.value.misuse


def test_dark_and_floating_images_are_shown_bright(tmp_path: Path, home: Path) -> None:
    digits = look(DataSource(spec="digits")).pictures
    assert len(digits) == 10
    assert len(digits[0].rows) == 16  # twice as large
    assert any("ffffff" in row for picture in digits for row in picture.rows)
    values = np.linspace(-3, 3, 30 * 16).reshape(30, 4, 4)
    np.savez(tmp_path / "x.npz", X=values, y=np.arange(30) % 2)
    shown = look(DataSource(spec=f"npz:{tmp_path / 'x.npz'}")).pictures
    assert {row[:6] for picture in shown for row in picture.rows} > {"000000"}


def test_a_probe_says_how_far_it_has_come(tmp_path: Path, home: Path) -> None:
    told: list[tuple[int, int]] = []
    look(
        DataSource(spec=f"folder:{photos(tmp_path / 'p')}"),
        lambda done, total: told.append((done, total)),
    )
    assert told[0] == (0, 30)
    assert told[-1] == (30, 30)


def test_a_probe_that_is_wanted_no_longer_ends_and_leaves_nothing(
    tmp_path: Path, home: Path
) -> None:
    """It is cancelled where it has just said that it reads."""
    cancelled = threading.Event()
    with pytest.raises(Cancelled):
        look(
            DataSource(spec=f"folder:{photos(tmp_path / 'p')}"),
            lambda done, total: cancelled.set(),
            cancelled,
        )
    assert asked.cached(home) == []
    assert not [path for path in (home / "cache" / "images").iterdir() if path.is_dir()]


def test_a_probe_without_a_sign_of_life_is_ended(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(devices, "CANCEL_SECONDS", 0.01)
    monkeypatch.setattr(devices, "trainer_command", lambda *_: ["sleep", "1000"])
    with pytest.raises(SetupError, match="no sign of life"):
        look(DataSource(spec="digits"))


def test_a_probe_that_dies_says_its_last_word(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    died = ["sh", "-c", "echo first >&2; echo out of order >&2; exit 3"]
    monkeypatch.setattr(devices, "trainer_command", lambda *_: died)
    with pytest.raises(SetupError, match=r"exit status 3\. out of order"):
        look(DataSource(spec="digits"))


# trainers ---------------------------------------------------------------------------------------


def test_a_trainer_that_must_read_the_images_says_how_far_it_is(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the cache was cleared: noted while it reads, and no longer once it is ready."""
    monkeypatch.setattr(local, "NOTICE_SECONDS", 0.0)
    summary_ = summary()
    machine = Machine(processor="", device="cpu", threads=1, dtype="float32", torch="")
    said = [
        Reading(done=0, total=2000),
        Reading(done=300, total=2000),
        Reading(done=2000, total=2000),
        Ready(summary=summary_, machine=machine),
    ]
    (tmp_path / "said").write_text("".join(f"{reply.model_dump_json()}\n" for reply in said))
    trainer = ["sh", "-c", f"cat {tmp_path / 'said'}; cat > {tmp_path / 'asked'}"]
    monkeypatch.setattr(devices, "trainer_command", lambda *_: trainer)
    with (tmp_path / "log").open("wb") as log:
        executor = local.LocalExecutor(DataSource(spec="digits"), "f", log)
        executor.train(
            Train(
                trial=0,
                attempt=1,
                config={},
                reference={},
                seed=0,
                epochs=1,
                features=4,
                checkpoint="c",
                lock="l",
            )
        )
        heard: list[Event] = []
        deadline = time.monotonic() + PATIENCE
        while Notice("") not in heard:
            assert time.monotonic() < deadline
            heard += executor.wait(0.05)
        executor.close()
    assert [event.message for event in heard if isinstance(event, Notice)] == [
        "A trainer reads images: 300 of 2,000.",
        "A trainer reads images: 2,000 of 2,000.",
        "",
    ]
