"""Why a candidate is proposed: the two terms of its EI, the nearest trial, what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from ...engine.tasks.parameter import entry_name
from .. import format as words
from ..cost import sizes, timed
from ..networks import depth
from .text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engine.advisor.ranking import Proposal, Ranking
    from ...engine.tasks.measure import Measure
    from ...sessions.choices import Strategy

BAR = 6


class WhyPanel(Text):
    """The reasons for one proposal, in words and figures."""

    DEFAULT_CSS = """
    WhyPanel { padding: 0 1; height: 6; }
    """

    def show(
        self,
        proposal: Proposal | None,
        ranking: Ranking | None,
        measures: Sequence[Measure],
        strategy: Strategy = "gp",
        limits: str = "",
    ) -> None:
        """Explain a proposal of this strategy; without one, say nothing.  measures: its costs.
        limits: what there is to say of those.
        """
        if proposal is None or ranking is None:
            self.update("", layout=False)
            return
        lines: list[Content] = []
        belief = proposal.prediction
        if belief is not None:
            scale = max(abs(belief.exploit), abs(belief.explore))
            lines.append(
                Content.assemble(
                    "by its mean ",
                    (words.signed(belief.exploit), "bold"),
                    " ",
                    (words.length_bar(belief.exploit, scale, BAR), "$secondary"),
                    "   by being unknown ",
                    (words.signed(belief.explore), "bold"),
                    " ",
                    (words.length_bar(belief.explore, scale, BAR), "$primary"),
                )
            )
        elif strategy != "gp":
            lines.append(Content(f"proposed by {strategy}: no model, so no μ, σ or EI"))
        if limits:  # before what may not find room
            lines.append(Content(limits))
        if proposal.note:
            lines.append(Content.styled(proposal.note, "$secondary"))
        near = proposal.nearest
        if near is not None:
            named = [entry_name(*entry) for entry in near.differs[:4]]
            differs = ", ".join(named) + (" …" if len(near.differs) > 4 else "")
            lines.append(
                Content.assemble(
                    "nearest: trial ",
                    (str(near.number), "bold"),
                    f", f {words.f_value(near.objective)}, differs in {differs}"
                    if differs
                    else f", f {words.f_value(near.objective)}, the same network",
                )
            )
        lines.append(Content(made_of(proposal, measures)))
        if proposal.near is not None:
            lines.append(Content.styled(words.grounds(proposal.near), "$foreground 60%"))
        if proposal.prediction is not None and proposal.feasible < 0.95:
            risk = words.percent(1 - proposal.feasible, 0)
            lines.append(Content.styled(f"{risk} % likely to fail, as its like have", "$warning"))
        if ranking.advice:
            lines.append(Content.styled(ranking.advice, "$foreground 60%"))
        # the height is fixed: a cursor that moves lays nothing out anew
        self.update(Content("\n").join(lines), layout=False)


def made_of(proposal: Proposal, measures: Sequence[Measure]) -> str:
    """`41,322 parameters · 5.2 M MACs · 3 conv, 1 classifier`."""
    parts = (sizes(measures, proposal.known), timed(measures, proposal), depth(proposal.config))
    return " · ".join(part for part in parts if part)
