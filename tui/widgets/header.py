"""The first lines of every screen of a session: its name and standing, and its levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from .. import format as words
from .frame import SplitLine

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...engine.search.standing import LevelStanding
    from ...sessions.records import Trial
    from ...sessions.snapshot import Snapshot


def engine_words(snapshot: Snapshot) -> Content:
    """`engine ● 1 training, 2 queued`: what is at work, in words and with a mark."""
    running = sum(trial.state == "running" for trial in snapshot.standing)
    waiting = sum(trial.waits for trial in snapshot.standing)
    paused = sum(trial.state == "paused" for trial in snapshot.trials)
    paused += sum(one.state == "paused" for one in snapshot.deliveries)
    finals = [one for one in snapshot.standing_deliveries if one.pending]
    final = [one for one in finals if one.state == "running"]
    parts = []
    if running:
        parts.append(f"{running} training")
    if finals:
        share = f" {100 * final[0].done:.0f} %" if final else ""
        parts.append(f"{len(finals)} final{share}")
    if waiting:
        parts.append(f"{waiting} queued")
    if paused:
        parts.append(f"{paused} paused")
    if snapshot.read_only:
        return Content("read-only")
    pilot = snapshot.session.autopilot
    lead = [("autopilot  ", "bold $secondary")] if pilot is not None else []
    if snapshot.engine.alive and snapshot.engine.trouble:
        parts.insert(0, "waits for room")
        return Content.assemble(
            *lead, ("engine ", "$foreground 70%"), ("! ", "$error"), ", ".join(parts)
        )
    if snapshot.engine.alive:
        mark = ("● ", "$success" if running or final else "$foreground 60%")
        return Content.assemble(
            *lead, ("engine ", "$foreground 70%"), mark, ", ".join(parts) or "idle"
        )
    if snapshot.engine.gone and (running or waiting or finals or pilot is not None):
        parts.insert(0, snapshot.engine.standing)
        return Content.assemble(
            *lead, ("engine ", "$foreground 70%"), ("✗ ", "$error"), ", ".join(parts)
        )
    return Content.assemble(
        *lead, ("engine ", "$foreground 70%"), ("○ ", "$warning"), ", ".join(parts) or "at rest"
    )


class SessionLine(SplitLine):
    """` lcsearch   fashion · w_c 0.10 · f* of this level 0.149 · best measured 0.1421 (trial 17)`.

    f* is the smallest mean among the networks of the level, and need not be the best of all.
    """

    DEFAULT_CSS = """
    SessionLine { background: $panel; }
    """

    def show(
        self, snapshot: Snapshot | None, ranking: Ranking | None, best: tuple[Trial, float] | None
    ) -> None:
        """Show how the session stands.  best: the best measured trial and its f."""
        if snapshot is None:
            self.left = Content.styled("lcsearch", "bold $primary")
            self.shorter = ()
            self.right = Content()
            return
        session = snapshot.session
        name = f"{session.name} · w_c {words.weight(session.wc)}"
        level, level_short = f"by {session.strategy}", f"by {session.strategy}"
        if session.strategy == "gp":
            incumbent = words.f_value(ranking.incumbent if ranking else None)
            level, level_short = f"f* of this level {incumbent}", f"level f* {incumbent}"
            if session.flat:
                level = level_short = f"f* {incumbent}"
        measured: tuple[str, ...] = ()
        measured_short: tuple[str, ...] = ()
        if best is not None:
            trial, value = best
            told, short = (words.measured_best(session, trial, s) for s in (False, True))
            measured = (f"{told} {words.f_measured(value)} (trial {trial.number})",)
            measured_short = (f"{short} {words.f_measured(value)}",)
        whole = " · ".join((name, level, *measured))
        self.left = Content.assemble(("lcsearch", "bold $primary"), "   ", whole)
        self.shorter = (
            Content(whole),
            Content(" · ".join((name, level_short, *measured_short))),
            Content(" · ".join((session.name, level_short, *measured_short))),
            Content(" · ".join((session.name, *measured_short))),
        )
        self.right = engine_words(snapshot)


class LevelsBar(Widget):
    """` ① Structure ✓ 14 trials  ▸  ② Parameters  6 / 12  ▸  …`, shorter where room is short."""

    DEFAULT_CSS = """
    LevelsBar { height: 1; padding: 0 1; color: $foreground 55%; }
    """
    standings: reactive[tuple[LevelStanding, ...]] = reactive(())

    def render(self) -> Content:
        """The levels, the present one bold."""
        for short in (False, True):
            parts: list[Content] = []
            for level in self.standings:
                mark = words.LEVEL_MARKS[level.level]
                title = words.level_title(level.name)
                if len(self.standings) == 1:
                    mark = words.FLAT_MARK
                if level.state == "current":
                    count = f"{level.trials} / {level.limit}"
                    if level.trials > level.limit:
                        count = f"{level.trials} trials"
                    text = f"{mark} {title}  {count}"
                    parts.append(Content.styled(text, "bold $foreground"))
                elif level.state == "done":
                    tail = (
                        f" {level.trials}" if short else f" {words.plural(level.trials, 'trial')}"
                    )
                    parts.append(Content.assemble(f"{mark} {title} ", ("✓", "$success"), tail))
                else:
                    parts.append(Content(mark if short else f"{mark} {title}"))
            line = Content(" ▸ " if short else "  ▸  ").join(parts)
            if line.cell_length <= self.content_size.width:
                break
        return line
