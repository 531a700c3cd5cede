"""The network found: layer by layer, what each level gained, and what to do with it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content

from ...engine.search.standing import Recommendation, objective, recommended
from ...engine.tasks.task import level_names
from .. import format as words
from ..classes import labels, mistakes, table
from ..cost import sizes, told
from ..deliveries import state, use, why
from ..networks import layers, training
from ..widgets.frame import Edge
from ..widgets.text import Text
from .base import TwoSides

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...engine.tasks.space import Space
    from ...sessions.records import Session, Trial
    from ...sessions.snapshot import Snapshot
    from ..plot import Figure

FINALS = 3
"""Final trainings that are told."""
CONFUSED = 5
"""Pairs of classes that are told in words."""


class Classes(Text):
    """Which classes a network confuses, the recall of each, and the matrix as wide as it fits."""

    _of: tuple[Trial, Session] | None = None

    def show(self, trial: Trial, session: Session) -> None:
        """Of this trial; nothing is shown where that is not known."""
        self.display = bool(trial.recalls)
        self._of = trial, session
        self._write()

    def on_resize(self) -> None:
        """Another width has room for another table."""
        self.call_after_refresh(self._write)  # a layout asked for within a layout is lost

    def _write(self) -> None:
        width = self.content_size.width
        if self._of is not None and self.display:
            # what has no height is not laid out, and never told how wide it is
            self.update(_classes(*self._of, width) if width else Content(" "))


class BestScreen(TwoSides):
    """The network at the left; gains and next steps at the right."""

    SIDES = ("Network", "Gains")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "t",
            "finish",
            "Train to the end",
            id="best.finish",
            tooltip="Train the best network, or another one, to the end and write it; s stops it",
        ),
    ]
    KEYS: ClassVar[tuple[str, ...]] = ("finish", *TwoSides.KEYS)

    def left(self) -> ComposeResult:
        """The network, layer by layer."""
        yield Edge("top", "Best network", id="best-title")
        with VerticalScroll(classes="panel grows"):
            yield Text(id="layers", classes="words")
            yield Classes(id="classes", classes="words")
        yield Edge("bottom")

    def right(self) -> ComposeResult:
        """What each level gained, and what to do next."""
        yield Edge("top", "What each level gained")
        with VerticalScroll(classes="panel grows", can_focus=False):
            yield Text(id="gains", classes="words")
        yield Edge("middle", "What to do with it")
        with Vertical(classes="panel"):
            yield Text(id="next", classes="words")
        yield Edge("bottom")

    def chosen_trial(self) -> Trial | None:
        """The trial whose network is recommended."""
        best = self.recommended
        return None if best is None else best.trial

    def repaint(self, snapshot: Snapshot, ranking: Ranking | None) -> None:
        """Layers, gains, next steps."""
        best = self.recommended
        shown, classes = self.query_one("#layers", Text), self.query_one(Classes)
        title = self.query_one("#best-title", Edge)
        if best is None:
            title.title_text = "Best network"
            shown.update("No network has been measured yet.  2 shows what trains.")
            classes.display = False
            self.query_one("#gains", Text).update("")
            self.query_one("#next", Text).update("")
            return
        title.title_text = f"Best network · trial {best.number}"
        shown.update(_layers(best, snapshot, self.space))
        classes.show(best.trial, snapshot.session)
        self.query_one("#gains", Text).update(_gains(snapshot, level_names(snapshot.session)))
        self.query_one("#next", Text).update(
            Content.assemble(
                ("t", "bold $primary"),
                "  train it to the end, and write it\n",
                ("o", "bold $primary"),
                "  export the session as JSON\n",
                ("y", "bold $primary"),
                "  copy the network\n",
                ("r", "bold $primary"),
                "  train it again with another seed\n",
                ("n", "bold $primary"),
                "  start from it with a network of your own",
                *_finals(snapshot),
            )
        )

    def action_finish(self) -> None:
        """Have the engine train the best network to the end."""
        snapshot, trial, client = self.snapshot, self.chosen_trial(), self.session.client
        if snapshot is None or trial is None or client is None:
            self.notify("No network has been measured yet.")
            return
        from ..dialogs.final import Final, FinalDialog

        def finish(final: Final | None) -> None:
            if final is not None:
                self.session.decide(
                    lambda client: client.deliver(
                        final.trial,
                        final.folder,
                        epochs=final.epochs,
                        images=final.images,
                        seeds=final.seeds,
                        onnx=final.onnx,
                        int8=final.int8,
                        accept_loss=final.accept_loss,
                    ),
                    f"Trial {final.trial} is trained to the end. s stops or pauses it.",
                )

        best = recommended(snapshot, self.session.believed)
        reason = "" if best is None or best.number != trial.number else why(best, snapshot)

        def folder(number: int) -> Path:
            return _unused(Path.cwd() / f"{snapshot.session.name}-trial-{number}", snapshot)

        self.app.push_screen(
            FinalDialog(snapshot, trial, folder, reason, client.all_images), finish
        )

    def figure(self) -> Figure | None:
        """How the session came to its best network."""
        from ..sharing import figures

        return None if self.snapshot is None else figures.convergence(self.snapshot)

    def yank_text(self) -> str | None:
        """The network as JSON."""
        trial = self.chosen_trial()
        return None if trial is None else json.dumps(trial.config)


def _unused(folder: Path, snapshot: Snapshot) -> Path:
    """The folder, or where there is one, or will be, the first such with a number after it."""
    taken = {one.folder for one in snapshot.deliveries if one.open}
    names = itertools.chain(
        [folder], (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2))
    )
    return next(one for one in names if not one.exists() and str(one) not in taken)


def _finals(snapshot: Snapshot) -> Iterator[str | tuple[str, str]]:
    """The final trainings, the newest first: how each stands, and how what is done is used."""
    newest = list(reversed(snapshot.standing_deliveries))
    if newest:
        yield "\n"
    for one in newest[:FINALS]:
        yield "\nfinal "
        yield str(one.number), "bold"
        yield f" (trial {one.trial})  {state(one, snapshot.session)}"
        if one.state == "done":
            yield f"\n  {use(one)}", "$foreground 80%"
    if len(newest) > FINALS:
        yield f"\nand {len(newest) - FINALS} before (3 shows more)"


def _layers(best: Recommendation, snapshot: Snapshot, space: Space) -> Content:
    trial, session = best.trial, snapshot.session
    outside = words.breaks(best.broken, session)
    head = [f"f {words.f_measured(objective(trial, session.wc))} measured"]
    if best.belief is not None:
        head.append(f"{words.belief(*best.belief)} by the model")
    if trial.error is not None:
        head.append(f"{words.percent(1 - trial.error, 2)} % {words.metric(session).title}")
    lines = [
        Content(" · ".join(head)),
        Content(told(trial, session)),
        Content(sizes(space.measures, trial.costs)),
        *([Content.styled(outside, "$warning")] if outside else []),
        Content(""),
    ]
    rows = layers(space, trial.config)
    told_how = [" ".join(brief for brief, _ in row.how) for row in rows]
    wide = max([14, *(len(how) + 1 for how in told_how)])
    if any(row.macs is not None for row in rows):
        headings = f"{'':<8}{'':<5}{'in → out':<11}{'map':<7}{'':<{wide}}{'params':>8}{'MACs':>8}"
        lines.append(Content.styled(headings, "$foreground 60%"))
    for row, how in zip(rows, told_how, strict=True):
        if row.params is None or row.macs is None:
            lines.append(Content.styled(row.alone, "$foreground 60%"))
            continue
        lines.append(
            Content(
                f"{row.what:<8}{row.kernel:<5}{row.joined:<11}{row.out:<7}{how:<{wide}}"
                f"{words.size(row.params):>8}{words.big(row.macs):>8}"
            )
        )
    recipe = training(trial.config)
    if recipe:
        lines += [Content(""), Content("\n".join(" · ".join(line) for line in recipe))]
    return Content("\n").join(lines)


def _classes(trial: Trial, session: Session, width: int) -> Content:
    """What is taken for what most often, then the table of all classes in so many columns."""
    names = labels(session.summary)
    told = [mistake.told(names) for mistake in mistakes(trial, session)[:CONFUSED]]
    heading, *rows = table(trial, session, width)
    lines = [
        Content(""),
        Content.styled("Classes, on the validation images", "bold"),
        *(Content(line) for line in told),
        Content(""),
        Content.styled(heading, "$foreground 60%"),
        *(Content(row) for row in rows),
    ]
    return Content("\n").join(lines)


def _gains(snapshot: Snapshot, names: tuple[str, ...]) -> Content:
    """The best measured f after each level, and by how much the level lowered it."""
    wc = snapshot.session.wc
    best: float | None = None
    lines = [
        Content.styled(
            f"{'':<15}{'trials':>6}{'lowest f':>9}{'gained':>9}  network", "$foreground 60%"
        )
    ]
    for level in range(len(names) + 1):
        scored = [
            (value, t)
            for t in snapshot.trials
            if t.level == level and (value := objective(t, wc)) is not None
        ]
        label = words.level_label(level, names)
        if not scored:
            lines.append(Content.styled(f"{label:<15}{words.DASH:>6}", "$foreground 50%"))
            continue
        value, trial = min(scored, key=lambda pair: (pair[0], pair[1].number))
        gained = "" if best is None else f"{max(best - value, 0):.4f}"
        lines.append(
            Content(f"{label:<15}{len(scored):>6}{value:>9.4f}{gained:>9}  trial {trial.number}")
        )
        best = value if best is None else min(best, value)
    return Content("\n").join(lines)
