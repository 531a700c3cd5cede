"""Predicted against measured: how well the model knows what it does not know, and who was right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content

from ...engine.search.scorecard import (
    PERSON,
    Outcome,
    Override,
    Picks,
    bias,
    coverage,
    outcomes,
    overrides,
    parts,
    picks,
)
from ...sessions.records import kept_weight
from .. import format as words
from ..format import under
from ..sharing.charts import trust_plot
from ..widgets.chart import Chart
from ..widgets.frame import Edge
from ..widgets.text import Text
from .base import TwoSides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...engine.advisor.ranking import Ranking
    from ...sessions.snapshot import Snapshot
    from ..plot import Figure


NOTHING = (
    "Nothing was predicted and measured yet.\n\n"
    "Every decision keeps the prediction of its moment: mean, both σ, EI. When the trial "
    "is done, it shows here who was right."
)
TITLE = "Measured f against predicted · whiskers ± 2σ"


class TrustScreen(TwoSides):
    """The chart of calibration, and the scores."""

    SIDES = ("Calibration", "Scores")

    def left(self) -> ComposeResult:
        """The chart of calibration."""
        yield Edge("top", TITLE, id="trust-title")
        with Vertical(classes="panel grows"):
            yield Chart(
                id="trust",
                empty="A point for every trial that was predicted and measured.",
            )
        yield Edge("bottom")

    def right(self) -> ComposeResult:
        """The scores."""
        yield Edge("top", "Scores")
        with VerticalScroll(classes="panel grows"):
            yield Text(id="scores", classes="words")
        yield Edge("bottom")

    def repaint(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        """Points and scores."""
        results = outcomes(snapshot)
        other = under(results, snapshot.session.wc)
        title = f"Measured f against predicted, {other}" if other else TITLE
        self.query_one("#trust-title", Edge).title_text = title
        self.query_one("#trust", Chart).plot = trust_plot(results)
        worth = () if ranking is None else ranking.worth
        self.query_one("#scores", Text).update(_scores(snapshot, results, worth))

    def figure(self) -> Figure | None:
        """The chart of calibration."""
        from ..sharing import figures

        return None if self.snapshot is None else figures.calibration(self.snapshot)

    def yank_text(self) -> str | None:
        """The points as JSON."""
        snapshot = self.snapshot
        if snapshot is None:
            return None
        return json.dumps(
            [
                {
                    "trial": r.trial.number,
                    "mean": r.mean,
                    "predictive_std": r.std,
                    "wc": kept_weight(r.wc),
                    "f": r.f,
                }
                for r in outcomes(snapshot)
            ]
        )


def _scores(
    snapshot: Snapshot, results: Sequence[Outcome], worth: Sequence[tuple[str, float | None]]
) -> Content:
    learnt = [Content(words.worth(name, trials)) for name, trials in worth]
    if learnt:
        learnt = [Content.styled("Earlier sessions", "bold"), *learnt, Content("")]
    if not results:
        return Content("\n").join([*learnt, Content(NOTHING)])
    total = len(results)
    lines = [Content.styled("The model", "bold")]
    other = under(results, snapshot.session.wc)
    if other:
        lines.append(Content.styled(other, "$foreground 60%"))
    for widths, ideal in ((1, 68), (2, 95)):
        inside = coverage(results, widths)
        lines.append(
            Content.assemble(
                f"within {widths}σ: ",
                (f"{inside} of {total}", "bold"),
                f" ({words.percent(inside / total, 0)} %)",
                (f"  ideal {ideal} %", "$foreground 60%"),
            )
        )
    lines.append(Content(f"on average {words.bias(bias(results))}"))
    for name, part in parts(results):
        within = f"{coverage(part)} of {len(part)}"
        told = f"{name}: within 2σ {within}, {words.bias(bias(part))}"
        lines.append(Content.styled(f"  {told}", "$foreground 60%"))
    outside = [r for r in results if not r.within]
    if outside:
        told = ", ".join(str(r.trial.number) for r in outside[:8])
        lines.append(Content.assemble(("✗ ", "$error"), f"outside 2σ: trial {told}"))
    lines += [Content(""), Content.styled("Who chose", "bold")]
    wc, trials = snapshot.session.wc, snapshot.trials
    if other:
        lines.append(
            Content.styled(f"under the present w_c, {words.weight(wc)}", "$foreground 60%")
        )
    groups: list[tuple[str, Picks]] = [
        ("you", picks(trials, wc, PERSON)),
        ("the advisor", picks(trials, wc, ("advisor",))),
        ("the autopilot", picks(trials, wc, ("autopilot",))),
    ]
    for who, score in groups:
        if score.trials:
            lines.append(
                Content(
                    f"{who:<14}{words.plural(score.trials, 'pick'):<10}"
                    f"gained {score.gained:.3f}  mean f {words.f_value(score.mean)}"
                )
            )
    return Content("\n").join([*learnt, *lines, Content(""), *_overridden(snapshot)])


def _overridden(snapshot: Snapshot) -> list[Content]:
    """Every network that a person trained in the place of the first candidate: who was right."""
    lines = [Content.styled("Where you overrode it", "bold")]
    found = overrides(snapshot)
    if not found:
        lines.append(
            Content("no network of yours has been measured yet that was not its first candidate")
        )
        return lines
    right = sum(override.right for override in found)
    gap = sum(override.against - override.f for override in found) / len(found)
    lines.append(Content.assemble("you were right ", (f"{right} of {len(found)}", "bold")))
    which = "lower" if gap > 0 else "higher"
    alike = abs(gap) < 0.00005
    lines.append(
        Content(
            "your f was as high on average"
            if alike
            else f"your f was {which} by {abs(gap):.4f} on average"
        )
    )
    other = under(found, snapshot.session.wc)
    if other:
        lines.append(Content.styled(other, "$foreground 60%"))
    lines.append(Content.styled("  trial  your f  its candidate's f", "$foreground 60%"))
    return [*lines, *(_verdict(override) for override in reversed(found))]


def _verdict(override: Override) -> Content:
    """One line: the person's f beside that of the candidate that was passed over."""
    belief = override.advised.prediction
    source = (
        f"± {words.f_value(belief.predictive_std)} predicted"
        if override.measured is None
        else f"in trial {override.measured}"
    )
    return Content.assemble(
        ("✓", "$success") if override.right else ("✗", "$error"),
        f" {override.trial.number:>5}  {override.f:.4f}  {override.against:.4f} ",
        (source, "$foreground 60%"),
    )
