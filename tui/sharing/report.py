"""The page that people share: one HTML file, no script, no request, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ...sessions.errors import Misuse
from ...sessions.files import put
from ..plot import Figure
from .draw import inline

ENDINGS = (".html", ".htm")


@dataclass(frozen=True)
class Table:
    """Rows of text under headings.  numeric: which columns are set to the right."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    dim: frozenset[int] = frozenset()
    """Rows of what did not count: failed, stopped, withdrawn."""


@dataclass(frozen=True)
class Network:
    """The best network of a level: what it came to, its layers, how it was trained."""

    title: str
    best: bool
    facts: tuple[tuple[str, str], ...]
    layers: Table
    training: str


@dataclass(frozen=True)
class Classes:
    """What a network takes each class for.  worst: in sentences; how: the table is read."""

    title: str
    worst: tuple[str, ...]
    how: str
    table: Table


@dataclass(frozen=True)
class Page:
    """All that the page says, as text; it is escaped where it is set."""

    title: str
    lead: str
    key_figures: tuple[tuple[str, str, str], ...]
    """(value, what it is, what it is measured by)."""
    setup: tuple[tuple[str, str], ...]
    space: Table
    networks: tuple[Network, ...]
    figures: tuple[Figure, ...]
    scores: tuple[str, ...]
    classes: Classes | None
    finals: Table
    looked_at: str
    """How often the test set was looked at by these, and what follows for who chooses by it."""
    trials: Table
    decisions: Table
    footer: str


@dataclass(frozen=True)
class Comparing:
    """Sessions side by side, as text; it is escaped where it is set.

    warnings: what does not compare, in sentences.  tables: (heading, what is said of it, table).
    """

    title: str
    lead: str
    warnings: tuple[str, ...]
    figures: tuple[Figure, ...]
    tables: tuple[tuple[str, str, Table], ...]
    footer: str


def html(page: Page | Comparing) -> str:
    """The page.  Raises StoreError where its plots cannot be drawn."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # matplotlib escapes the words of a plot; everything else is escaped by the template
    drawn: Sequence[tuple[Figure, Markup]] = [
        (figure, Markup(inline(figure))) for figure in page.figures
    ]
    name = "report.html" if isinstance(page, Page) else "comparison.html"
    return environment.get_template(name).render(page=page, figures=drawn)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def check_ending(path: Path) -> None:
    """Raises Misuse unless the file would be opened as a page."""
    if path.suffix.lower() not in ENDINGS:
        raise Misuse(f"{path}: a page is opened by its ending. End the file's name with .html.")


def write(page: Page | Comparing, path: Path) -> None:
    """Write the page whole or not at all.  Raises Misuse for another ending, StoreError."""
    check_ending(path)
    put(path, html(page).encode())
