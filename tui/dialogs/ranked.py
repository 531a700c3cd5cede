"""The first candidates of a ranking, as the dialogs show them that move what it is made under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from ...engine.search.standing import shown_level
from .. import format as words
from ..cost import cost_of
from ..networks import network_line

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...sessions.snapshot import Snapshot

SHOWN = 5


def first_candidates(snapshot: Snapshot, ranking: Ranking, width: int) -> Content:
    """A heading and a line for each of the first."""
    session = snapshot.session
    prices = cost_of(snapshot)
    unit = prices.heading()
    room = max(width - 33, 16)
    acc = words.metric(session).heading
    head = f"{'#':>2}  {'network':<{room}}  {'μ f':>5}  {'EI':>6}  {acc:>4}  {unit:>6}"
    lines = [Content.styled(head, "$foreground 60%")]
    for rank, proposal in enumerate(ranking.proposals[:SHOWN], start=1):
        belief = proposal.prediction
        network = network_line(proposal.config, shown_level(session, session.level), room)
        network = network if len(network) <= room else network[: room - 1] + "…"
        cost = prices.of_candidate(belief, proposal.known)
        lines.append(
            Content(
                f"{rank:>2}  {network:<{room}}  "
                f"{words.f_value(belief.mean if belief else None):>5}  "
                f"{words.improvement(belief.ei if belief else None):>6}  "
                f"{words.percent(1 - belief.error if belief else None):>4}  {cost:>6}"
            )
        )
    return Content("\n").join(lines)
