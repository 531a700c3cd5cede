"""What can go wrong with a session, and what it means for who asked."""

from __future__ import annotations


class StoreError(Exception):
    """A session that cannot be used as asked; the message is fit for its user."""


class Misuse(StoreError):
    """What was given cannot be used: it is unknown, out of range, not there, or taken."""


class Late(StoreError):
    """The decision came too late: what it assumed holds no more."""


class Closed(Late):
    """The session was closed here meanwhile: whoever asks has gone on to something else."""


class Deleted(StoreError):
    """The session was moved to the trash since it was opened."""


class Already(Late):
    """What was asked for is so already: nothing was decided, and nothing went wrong."""


class Known(Late):
    """The network to be queued is a trial already."""


class NoRoom(StoreError):
    """Nothing can be written: the disk is full, or this process may not write that much."""
