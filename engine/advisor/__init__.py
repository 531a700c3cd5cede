"""What to try next: what was observed and believed -> ranked proposals, each with its reasons."""

from ..objective import Observation
from .rank import rank
from .ranking import Nearest, Place, Profile, Proposal, Ranking

__all__ = ["Nearest", "Observation", "Place", "Profile", "Proposal", "Ranking", "rank"]
