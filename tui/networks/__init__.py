"""How networks are written.  A configuration tells by its parameters whose words it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...engine.search.standing import shown_level
from . import cnn, plain
from .writer import Layer, Writer

if TYPE_CHECKING:
    from ...engine.tasks.space import Space
    from ...sessions.records import Config, Session, Trial

WRITERS: list[Writer] = [cnn, plain]
"""The first that writes a configuration does."""


def writer_of(config: Config) -> Writer:
    """Whose words a configuration takes."""
    return next(writer for writer in WRITERS if writer.writes(config))


def network_line(config: Config, level: int | None = None, width: int | None = None) -> str:
    """One line for a network; see `Writer.line`."""
    return writer_of(config).line(config, level, width)


def whole_lines(config: Config) -> list[str]:
    """All of a network as lines write it; see `Writer.whole`."""
    return writer_of(config).whole(config)


def trial_line(trial: Trial, session: Session, width: int | None = None) -> str:
    """The network of a trial in one line, told as its level tells trials apart, cut to `width`."""
    line = network_line(trial.config, shown_level(session, trial.level), width)
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def depth(config: Config) -> str:
    """How deep a network is; see `Writer.depth`."""
    return writer_of(config).depth(config)


def layers(space: Space, config: Config) -> list[Layer]:
    """A network's table, for the screen and for the report."""
    return writer_of(config).layers(config, space.laid_out(config))


def training(config: Config) -> list[tuple[str, ...]]:
    """How a network is trained; see `Writer.training`."""
    return writer_of(config).training(config)
