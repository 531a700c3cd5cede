"""Text that comes from somebody else: names of files, of classes, of what was typed."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with nothing in it that steers the terminal that shows it."""
    return "".join(c if c.isprintable() else "�" for c in text)
