"""What is read once is kept: when it is read again, who shares it, what clears it, what fails."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from lcsearch.engine.training.data import DataError, assemble, cache, read
from lcsearch.sessions.places import home
from lcsearch.sessions.records import READER, DataSource


def photos(root: Path, count: int = 12, size: tuple[int, int] = (9, 7)) -> None:
    """Two classes of so many grey images each, every one another."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(0, 256, size, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:03}.png")


def source(root: Path, **how: Any) -> DataSource:
    return DataSource(spec=f"folder:{root}", reader=READER, **how)


@contextlib.contextmanager
def nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("an image was decoded")

    with monkeypatch.context() as patch:
        patch.setattr(assemble, "picture", refuse)
        patch.setattr(assemble, "look", refuse)
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos(tmp_path / "photos")
    return tmp_path / "photos"


def test_what_was_read_is_mapped_and_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(source(folder))
    with nothing_is_decoded(monkeypatch):
        second = read(source(folder))
    assert isinstance(second.pool.images, np.memmap)
    assert second.summary == first.summary
    assert np.array_equal(second.pool.images, first.pool.images)
    assert np.array_equal(second.mean, first.mean)
    assert np.array_equal(second.std, first.std)


def test_sessions_share_it_whatever_their_split(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(source(folder))
    with nothing_is_decoded(monkeypatch):
        other = read(source(folder, val_fraction=0.4, seed=7, train_size=14))
    assert other.summary.train + other.summary.val == 14
    assert len(cache.entries(home())) == 1


def test_another_size_or_fit_is_kept_beside_it(folder: Path) -> None:
    read(source(folder))
    read(source(folder, image_size=(5, 5)))
    read(source(folder, image_size=(5, 5), fit="stretch"))
    entries = cache.entries(home())
    assert [entry.images for entry in entries] == [24, 24, 24]
    assert {entry.spec for entry in entries} == {f"folder:{folder}"}
    assert all(entry.size > 24 * 25 for entry in entries)


def test_files_with_another_time_are_compared_and_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(source(folder)).summary
    for file in folder.rglob("*.png"):
        os.utime(file, (1, 1))
    with nothing_is_decoded(monkeypatch):
        assert read(source(folder)).summary == before
        # the times of now are kept: the contents are not even compared the next time
        monkeypatch.setattr(cache.Place, "_same", None)
        assert read(source(folder)).summary == before


def changed(folder: Path) -> None:
    file = folder / "cat" / "000.png"
    with Image.open(file) as image:
        other = Image.fromarray(255 - np.asarray(image))
    other.save(file)
    # of the same size in bytes and of the same time, but for a nanosecond
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))


def added(folder: Path) -> None:
    shutil.copy(folder / "dog" / "000.png", folder / "dog" / "new.png")


def removed(folder: Path) -> None:
    (folder / "cat" / "003.png").unlink()


def moved(folder: Path) -> None:
    (folder / "cat" / "003.png").rename(folder / "dog" / "moved.png")


@pytest.mark.parametrize("change", [changed, added, removed, moved])
def test_a_change_is_noticed(change: Callable[[Path], None], folder: Path) -> None:
    before = read(source(folder)).summary
    change(folder)
    after = read(source(folder)).summary
    assert after.fingerprint != before.fingerprint
    shutil.rmtree(cache.folder(home()))
    assert read(source(folder)).summary == after
    assert len(cache.entries(home())) == 1


def test_broken_files_are_counted_the_second_time_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cat" / "000.png").write_bytes(b"no image")
    first = read(source(folder, skip_broken=True)).summary
    assert first.broken == 1
    assert first.train + first.val + first.test == 23
    with nothing_is_decoded(monkeypatch):
        assert read(source(folder, skip_broken=True)).summary == first
    with pytest.raises(DataError, match=r"1 of 24 files.*cat/000\.png.*--skip-broken"):
        read(source(folder))


@pytest.mark.parametrize("file", [cache.IMAGES, cache.FILES, cache.ENTRY])
@pytest.mark.parametrize("damage", ["empty", "half", "missing"])
def test_what_is_damaged_is_read_anew(file: str, damage: str, folder: Path) -> None:
    before = read(source(folder)).summary
    (entry,) = cache.entries(home())
    path = entry.path / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2 if damage == "half" else 0])
    assert len(cache.entries(home())) == (0 if (file, damage) == (cache.ENTRY, "missing") else 1)
    assert read(source(folder)).summary == before
    assert path.read_bytes()[:100] == content[:100]


@pytest.mark.parametrize("entry", ["[]", "{}", '{"version": 1}', "7"])
def test_an_entry_that_says_something_else_is_read_anew(entry: str, folder: Path) -> None:
    before = read(source(folder)).summary
    (kept,) = cache.entries(home())
    (kept.path / cache.ENTRY).write_text(entry)
    assert read(source(folder)).summary == before


def test_what_cannot_be_noted_is_no_reason_to_read_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(source(folder)).summary
    os.utime(folder / "cat" / "000.png", (1, 1))

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(cache.Place, "_write_files", full)
    with nothing_is_decoded(monkeypatch):
        assert read(source(folder)).summary == before


def test_parts_of_processes_that_are_gone_are_swept(folder: Path) -> None:
    read(source(folder))
    gone = cache.folder(home()) / "0123456789ab.4194999-part"
    here = cache.folder(home()) / f"0123456789ab.{os.getpid()}-part"
    gone.mkdir()
    here.mkdir()
    read(source(folder, image_size=(5, 5)))
    assert not gone.exists()
    assert here.exists()
    assert cache.clear(home())[0] == 2


def test_it_is_cleared_and_whoever_reads_it_goes_on(folder: Path) -> None:
    data = read(source(folder))
    held = np.array(data.pool.images)
    (entry,) = cache.entries(home())
    assert cache.clear(home()) == (1, entry.size)
    assert cache.entries(home()) == []
    assert np.array_equal(data.pool.images, held)
    assert read(source(folder)).summary == data.summary


def test_what_is_being_filled_is_not_cleared(folder: Path) -> None:
    read(source(folder))
    (entry,) = cache.entries(home())
    with FileLock(f"{entry.path}.lock"):
        assert cache.clear(home()) == (0, 0)
    assert cache.entries(home()) == [entry]


def test_nothing_is_there_and_nothing_is_cleared() -> None:
    assert cache.entries(home()) == []
    assert cache.clear(home()) == (0, 0)


def test_what_a_killed_reader_left_is_removed_by_the_next(folder: Path) -> None:
    read(source(folder))
    (entry,) = cache.entries(home())
    left = entry.path.with_name(f"{entry.path.name}.12345-part")
    entry.path.rename(left)
    read(source(folder))
    assert not left.exists()
    assert len(cache.entries(home())) == 1


def test_whoever_is_interrupted_leaves_nothing(folder: Path) -> None:
    def interrupted(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(source(folder), interrupted)
    assert [path.suffix for path in cache.folder(home()).iterdir()] == [".lock"]


def test_nobody_else_may_look_into_it(folder: Path) -> None:
    read(source(folder))
    for place in (home() / "cache", home() / "cache" / "images"):
        assert place.stat().st_mode & 0o777 == 0o700


def test_whoever_waits_for_another_gives_signs_of_life_and_then_shares_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one holds the place until it has been heard that somebody waits, twice."""
    monkeypatch.setattr(cache, "WAIT_SECONDS", 0.01)
    read(source(folder))
    (entry,) = cache.entries(home())
    shutil.rmtree(entry.path)
    other = FileLock(f"{entry.path}.lock")
    other.acquire()
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 2:
            assert not entry.path.exists()
            other.release()

    assert len(read(source(folder), progress).pool) == 24
    assert told[:2] == [(0, 24)] * 2
    assert told[-1] == (24, 24)


def test_progress_rises_to_all_the_images(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    read(source(folder), lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 24)
    assert seen[-1] == (24, 24)
    assert seen == sorted(seen)


def test_no_room_on_the_disk_is_said_before_it_is_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=150_000_000))
    with pytest.raises(DataError, match=r"150 MB free.*cache clear"):
        read(source(folder))


def test_a_cache_that_cannot_be_used_is_said(folder: Path) -> None:
    home().mkdir(parents=True, exist_ok=True)
    (home() / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be used.*LCSEARCH_HOME"):
        read(source(folder))


# several processes -----------------------------------------------------------------------------


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "FEW", 10)
    monkeypatch.setattr(assemble, "BATCH", 5)
    monkeypatch.setattr(assemble, "processors", lambda: 2)


@pytest.mark.usefixtures("two_processes")
def test_several_processes_read_the_same_as_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "dog" / "005.png").write_bytes(b"no image")
    together = read(source(folder, skip_broken=True))
    cache.clear(home())
    monkeypatch.setattr(assemble, "FEW", 1000)
    alone = read(source(folder, skip_broken=True))
    assert together.summary == alone.summary
    assert np.array_equal(together.pool.images, alone.pool.images)


def ends(*_: object) -> NoReturn:
    os._exit(9)


@pytest.mark.usefixtures("two_processes")
def test_a_process_that_is_ended_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "_looks", ends)
    with pytest.raises(DataError, match="a process that reads images was ended"):
        read(source(folder))
    assert [path.suffix for path in cache.folder(home()).iterdir()] == [".lock"]
