"""What to try next: what was observed and believed -> ranked proposals, each with its reasons."""

from ..objective import Observation
from .rank import rank
from .ranking import Proposal, Ranking

__all__ = ["Observation", "Proposal", "Ranking", "rank"]
