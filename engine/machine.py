"""What is asked of this machine's system: its processors, whether it has a GPU, freed memory."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
"""Settings of mallopt(3) in glibc; other C libraries know none of these numbers."""


@cache
def processors() -> int:
    """How many processors this process may use: its affinity and its container's quota count."""
    from joblib import cpu_count  # takes 0.1 s to import, and not everybody asks

    return int(cpu_count())


@cache
def processor_name() -> str:
    """The processor's name: Linux keeps it in /proc, other systems tell it to Python."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def held_back() -> bool:
    """Whether a quota allows fewer processors than are seen, which PyTorch does not know."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return processors() < (seen or 1)


def processors_only() -> bool:
    """Whether there is no sign of a GPU here; seen without torch, which takes seconds to import."""
    if sys.platform == "darwin":
        return platform.machine() != "arm64"
    return not any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def set_malloc(settings: Mapping[int, int]) -> None:
    """What the C library does with memory that is freed, where it is glibc."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if library is not None and hasattr(library, "mallopt"):
        for setting, value in settings.items():
            library.mallopt(setting, value)


LARGE_BYTES = 4_000_000
"""A matrix of 700 observations: smaller ones are asked for again too soon to be given back."""


@cache
def let_go_of_large() -> None:
    """Have the C library give large arrays back to the system as soon as they are freed.

    glibc learns to keep blocks as large as those it has seen freed, up to 32 MB: the (n, n)
    matrices of thousands of observations would stay with the process after every ranking.
    """
    set_malloc({M_MMAP_THRESHOLD: LARGE_BYTES})


@cache
def _controller() -> Any:
    # scipy brings a BLAS of its own, which must be loaded to be found
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> Any:
    """One BLAS thread: sums come out the same everywhere, and a training's time is left alone."""
    return _controller().limit(limits=1)
