"""What earlier sessions say of networks: a source beside the prior, counted as far as it explains.

Of each earlier session a process learns what the prior leaves of its errors and seconds, where in
the space it is more and where less.  In a session that learns from it, what that process expects is
one more line: its coefficient has a prior (`embedding.TRUST`), and the session's own trials move
it, so that a session that misleads fades (a ranking-weighted ensemble asks the same of a source:
Feurer, Letham, Bakshy 2018, arXiv 1802.02219).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...sessions.records import Config
from ..tasks.space import Space
from .embedding import Embedding
from .known import Beyond, Earlier, Known
from .prior import Prior
from .process import Process
from .transform import transformed

if TYPE_CHECKING:
    from .belief import Array


FEWEST = 3
"""Trials below which nothing is learnt of an earlier session."""
SPREAD = 0.5
"""Of a logarithm, expected, where no prior tells."""


@dataclass(frozen=True)
class Seen:
    """Trials of an earlier session as the space of the new one reads them.

    own: the space that they were trained in: other images, another number of epochs.  errors, f_p;
    images: that each was counted on; ratios: of seconds over the reference's, NaN where it is not
    known; shape (n,) each.
    """

    name: str
    own: Space
    configs: list[Config]
    errors: Array
    images: Array
    ratios: Array


def learnt(space: Space, prior: Prior, seen: Seen) -> Earlier:
    """What a session has seen, in the space of the one that learns from it."""
    embedding = Embedding(space, prior)
    features = embedding(seen.configs)
    # what is usual of them is usual for the images that they were trained on
    features[:, embedding.compared :] = Embedding(seen.own, prior).expected(seen.configs)
    dimensions = space.dimensions(0, space.reference or space.defaults())

    def fitted(
        rows: NDArray[np.bool_], y: Array, noise: Array, lines: tuple[int, ...], known: Known | None
    ) -> Beyond | None:
        if len(y) < FEWEST:
            return None
        process = Process(
            features[rows], y, noise, embedding, dimensions,
            lines=lines or None, smooth=False, spread=SPREAD, known=known,
        )  # fmt: skip
        spread = process.scale * process.kernel.amplitude**0.5
        return Beyond(process.beyond, float(y.mean()), spread)

    y, noise = transformed(seen.errors, seen.images)
    every = np.ones(len(y), dtype=bool)
    error = fitted(every, y, noise, embedding.error_lines, embedding.error_known)
    timed = np.isfinite(seen.ratios) & (seen.ratios > 0)
    logs = np.log(seen.ratios[timed])
    lines, known = embedding.time_lines, embedding.time_known
    seconds = fitted(timed, logs, np.zeros(len(logs)), lines, known)
    return Earlier(seen.name, len(y), error, seconds)
