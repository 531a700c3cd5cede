"""The searches without a model: aging evolution, simulated annealing, random sampling.

Each is an endless stream of candidates; the advisor drops what was seen.  They keep no state: the
whole history is given to them, and every draw comes from the session's seed: by the generator that
is given, or, where it must be the same draw for each history, from the seed itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...sessions.records import Config
from ..tasks.space import Exhausted, Space
from ..tasks.steps import neighbours

POPULATION = 20
"""The youngest networks, which alone have offspring."""
TOURNAMENT = 5
"""Networks that a parent is the best of."""
COOLING = 0.9
"""Factor on the temperature a trial."""
ACCEPTANCES = 0xACCE
"""Tells these draws from all others of the session's seed."""

History = Sequence[tuple[Config, float]]
"""Configurations of the level's slice with their f, oldest first."""
Stream = Callable[[Space, int, Config, History, np.random.Generator, int], Iterator[Config]]
"""Of space, level, base, history, generator of this ranking's draws, and the session's seed."""


def random(
    space: Space, level: int, base: Config, history: History, rng: np.random.Generator, seed: int
) -> Iterator[Config]:
    """Configurations of the level, drawn as the initial design is but without its order."""
    while True:
        try:
            yield space.sample(rng, level, base)
        except Exhausted:
            return


def evolution(
    space: Space, level: int, base: Config, history: History, rng: np.random.Generator, seed: int
) -> Iterator[Config]:
    """Mutations of the best of a few drawn from the youngest (Real et al. 2019, arXiv 1802.01548).

    A mutation is a step of `Space.neighbours`.  Random configurations until there is a history.
    """
    population = history[-POPULATION:]
    if not population:
        yield from random(space, level, base, history, rng, seed)
    while population:
        drawn = rng.choice(len(population), size=min(TOURNAMENT, len(population)), replace=False)
        parent = min((population[int(i)] for i in drawn), key=lambda entry: entry[1])[0]
        mutant = _mutation(space, level, parent, rng)
        if mutant is None:
            return
        yield mutant


def annealing(
    space: Space, level: int, base: Config, history: History, rng: np.random.Generator, seed: int
) -> Iterator[Config]:
    """Neighbours of where a cooling walk through the history stands.

    The walk moves to each evaluated configuration that is better, and to a worse one with
    probability exp(-difference / temperature) (Kirkpatrick et al. 1983); the temperature starts at
    the spread of f over the first few trials.  Random configurations until there is a history.
    """
    if not history:
        yield from random(space, level, base, history, rng, seed)
    values = [f for _, f in history]
    warm = max(float(np.std(values[:10])), 1e-12)
    # one for each trial, whatever comes after it, so that the walk so far stays as it was
    chances = np.random.default_rng([abs(seed), ACCEPTANCES, level]).random(len(history))
    current = 0
    for number in range(1, len(history)):
        worse = values[number] - values[current]
        temperature = warm * COOLING**number
        if worse <= 0 or chances[number] < math.exp(-min(worse / temperature, 700.0)):
            current = number
    while history:
        mutant = _mutation(space, level, history[current][0], rng)
        if mutant is None:
            return
        yield mutant


def _mutation(space: Space, level: int, parent: Config, rng: np.random.Generator) -> Config | None:
    """One random neighbour; a random configuration where there is none, None where nothing is."""
    near = neighbours(space, parent, level)
    if near:
        return near[int(rng.integers(len(near)))]
    try:
        return space.sample(rng, level, parent)
    except Exhausted:
        return None


STREAMS: dict[str, Stream] = {"evolution": evolution, "annealing": annealing, "random": random}
