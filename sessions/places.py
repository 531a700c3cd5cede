"""Where sessions are: homes, names, the trash."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import platformdirs

from .errors import Misuse, StoreError

TRASH_DAYS = 7
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "9p", "ceph"}


def home() -> Path:
    """The folder of all that lcsearch keeps: $LCSEARCH_HOME, or the platform's data folder."""
    given = os.environ.get("LCSEARCH_HOME")
    return Path(given).expanduser() if given else platformdirs.user_data_path("lcsearch")


def names(root: Path) -> list[str]:
    """The sessions under a home, by name."""
    folder_of_all = root / "sessions"
    if not folder_of_all.is_dir():
        return []
    return sorted(
        p.name
        for p in folder_of_all.iterdir()
        if not p.name.startswith(".") and (p / "session.db").is_file()
    )


def is_name(text: str) -> bool:
    """Whether a session can have this name, which is its folder's."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is not None and ".." not in text


def check_name(name: str) -> str:
    """The name itself, or StoreError: it becomes a folder and must not lead out of the home."""
    if not is_name(name):
        raise Misuse(
            f"session name {name!r}: not usable. Use 1 to 64 letters, digits, dots, dashes or "
            "underscores, a letter or digit first."
        )
    return name


def folder(root: Path, name: str) -> Path:
    """The folder of an existing session.  Raises Misuse for a bad or unknown name."""
    path = root / "sessions" / check_name(name)
    if not (path / "session.db").is_file():
        known = names(root)
        there = f"Sessions: {', '.join(known[:8])}." if known else "There is none yet."
        raise Misuse(f"session {name!r}: not found. {there} `lcsearch new NAME` makes one.")
    return path


def delete(root: Path, name: str) -> Path:
    """Move a session to the trash and give its place there; old trash is emptied."""
    source = folder(root, name)
    trash = root / "trash"
    trash.mkdir(mode=0o700, exist_ok=True)
    for old in trash.iterdir():
        if time.time() - old.stat().st_mtime > TRASH_DAYS * 86400:
            shutil.rmtree(old)
    place = trash / f"{name}@{time.time_ns()}"
    source.rename(place)
    os.utime(place)
    return place


def restore(root: Path, place: Path) -> str:
    """Bring a session back from the trash.  Raises StoreError if its name is taken again."""
    name = check_name(place.name.rpartition("@")[0])
    if not place.exists():
        raise Misuse(f"session {name!r}: is in the trash no more. Somebody brought it back.")
    target = root / "sessions" / name
    if (target / "session.db").exists():
        raise Misuse(f"session {name!r}: exists again. Delete or rename it first.")
    if target.exists():
        # a lock or a log, of a process that had not yet heard of the deletion
        target.rename(root / "trash" / f"rest-of-{name}.{time.time_ns()}")
    place.rename(target)
    return name


def trashed(root: Path, name: str) -> Path | None:
    """The newest deleted session of this name."""
    found = sorted((root / "trash").glob(f"{check_name(name)}@*"))
    return found[-1] if found else None


def network_file_system(path: Path) -> str | None:
    """The type of the network file system that holds `path`; None on a local one."""
    mounts = Path("/proc/mounts")
    if not mounts.is_file():
        return None
    best, kind = "", ""
    target = str(path.resolve())
    for line in mounts.read_text().splitlines():
        _, point, fs, *_ = line.split()
        inside = point == "/" or target == point or target.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fs
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def refuse_network(path: Path) -> None:
    kind = network_file_system(path)
    if kind:
        raise StoreError(
            f"{path}: on a network file system ({kind}), where SQLite's locks cannot be trusted. "
            "Set LCSEARCH_HOME to a local folder."
        )
