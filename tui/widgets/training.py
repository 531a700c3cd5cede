"""What trains now, what waits, and how the last prediction came out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from textual.content import Content

from ...engine.search.racing import falling_behind
from ...engine.search.schedule import epoch_seconds, seconds_left
from ...engine.search.standing import objective, predicted_now
from .. import format as words
from ..deliveries import in_room
from ..networks import trial_line
from .text import Text

if TYPE_CHECKING:
    from ...sessions.records import Delivery, Session, Trial
    from ...sessions.snapshot import Snapshot


ROOMY = 70
"""Characters of a line from which it has a progress bar."""
BAR, SPARKS = 10, 6
MOST_FINALS = 3
"""Final trainings that have a line each: the rest waits."""
MOST_LINES = 6
"""Running trials that have a line each: a cluster may train dozens."""


class TrainingPanel(Text):
    """One line a running trial, one for what waits, one for the last result."""

    DEFAULT_CSS = """
    TrainingPanel { padding: 0 1; height: auto; }
    """

    _shown: tuple[Snapshot, datetime] | None = None

    def on_resize(self) -> None:
        """Networks are written as long as there is room for them."""
        if self._shown is not None:
            self.show(*self._shown)

    def show(self, snapshot: Snapshot, now: datetime) -> None:
        """Show what is at work."""
        self._shown = snapshot, now
        room = max(self.content_size.width, 30)
        lines: list[Content] = []
        running = [trial for trial in snapshot.standing if trial.state == "running"]
        waiting = [t for t in snapshot.standing if t.waits or t.state == "paused"]
        behind = falling_behind(snapshot)
        for trial in running[:MOST_LINES]:
            lines.append(_running(trial, snapshot.session, room, trial.number in behind))
        if len(running) > MOST_LINES:
            more = f"and {len(running) - MOST_LINES} more are training"
            lines.append(Content.styled(more, "$foreground 60%"))
        finals = [one for one in snapshot.standing_deliveries if one.open]
        for delivery in finals[:MOST_FINALS]:
            lines.append(_final(delivery, snapshot.session, room))
        if len(finals) > MOST_FINALS:
            more = f"and {len(finals) - MOST_FINALS} more final trainings"
            lines.append(Content.styled(more, "$foreground 60%"))
        if waiting:
            parts = []
            for trial in waiting:
                parts.append(
                    Content.assemble((str(trial.number), "bold"), f"  {trial.state}", "      ")
                )
            lines.append(Content("").join(parts[:4]).rstrip())
            if len(waiting) > 4:
                lines[-1] = Content.assemble(lines[-1], f"  and {len(waiting) - 4} more")
        idle = not (running or waiting or finals)
        if idle and snapshot.session.autopilot is not None:
            lines.append(
                Content.assemble(
                    "The autopilot chooses the next network.  ",
                    ("p", "bold $primary"),
                    " takes the wheel back.",
                )
            )
        elif idle:
            lines.append(
                Content.assemble(
                    "Nothing trains.  ",
                    ("a", "bold $primary"),
                    " trains the selected candidate, ",
                    ("p", "bold $primary"),
                    " lets the engine choose.",
                )
            )
        pilot = snapshot.session.autopilot
        if pilot is not None or any(t.state != "paused" for t in (*running, *waiting)):
            told = []
            if pilot is not None and pilot.trials is not None:
                told.append(f"autopilot: {pilot.accepted} of {pilot.trials}")
            if not snapshot.engine.gone:
                told.append(words.time_left(seconds_left(snapshot, now)))
            if told:
                lines.append(Content.styled(" · ".join(told), "$foreground 60%"))
        still = not snapshot.engine.alive or not running
        if still and (waiting or finals) and snapshot.engine.message:
            lines.append(Content.styled(f"engine: {snapshot.engine.message}", "$warning"))
        last = _last(snapshot)
        if last is not None:
            # screen 3 has the whole of it
            lines.append(last.truncate(room, ellipsis=True))
        self.update(Content("\n").join(lines))


def _running(trial: Trial, session: Session, room: int, behind: bool) -> Content:
    """Number, network and how far it is, in one line of `room` characters."""
    head = Content.assemble((str(trial.number), "bold"), "  ")
    tail = _progress(trial, session.epochs, room >= ROOMY, behind)
    width = max(room - head.cell_length - tail.cell_length, 8)
    return Content.assemble(head, f"{trial_line(trial, session, width):<{width}}", tail)


def _final(delivery: Delivery, session: Session, room: int) -> Content:
    """`final 1 ████  (trial 17)  epoch 3/30 · about 2 min left`."""
    bar = f"  {words.bar(delivery.done, BAR)}" if room >= ROOMY else ""
    head = Content.assemble("final ", (str(delivery.number), "bold"), (bar, "$primary"))
    told = in_room(delivery, session, room - head.cell_length)
    return Content.assemble(head, told).truncate(room, ellipsis=True)


def _progress(trial: Trial, epochs: int, roomy: bool, behind: bool) -> Content:
    """How far a running trial is, and how good so far."""
    done = len(trial.epochs)
    scores = [epoch.score for epoch in trial.epochs]
    at = f"  {done}/{epochs}  "
    if trial.stop_request is not None:
        asked = {"pause": "pausing", "now": "stopping", "epoch": "stops after this epoch"}
        return Content.assemble(at, (asked[trial.stop_request], "$warning"))
    if not scores:
        return Content.assemble(at, "starting")
    bar = f"{words.bar(done / epochs, BAR)}  " if roomy else ""
    curve = f"{words.spark(scores, SPARKS):<{SPARKS}}"
    return Content.assemble(
        at,
        (bar, "$primary"),
        f"{words.percent(scores[-1])} %  ",
        ("behind", "$warning") if behind else (curve, "$secondary"),
        f"  {words.seconds(epoch_seconds(trial))} s",
    )


def _last(snapshot: Snapshot) -> Content | None:
    ended = [t for t in snapshot.trials if t.ended is not None and t.state in ("done", "failed")]
    if not ended:
        return None
    trial = max(ended, key=lambda t: (t.ended, t.number))
    head = Content.assemble("last: trial ", (str(trial.number), "bold"), "  ")
    if trial.state == "failed":
        why = trial.failure.message if trial.failure is not None else "failed"
        return Content.assemble(head, ("✗ ", "$error"), why.splitlines()[0])
    value = objective(trial, snapshot.session.wc)
    if value is None:
        return Content.assemble(head, "its cost is not measured yet")
    belief = None
    if trial.prediction is not None:
        belief = predicted_now(snapshot.session, trial.prediction)
    if belief is None:
        return Content.assemble(head, f"f {words.f_measured(value)}")
    mark = words.verdict(belief, value)
    meaning = {"✓": "$success", "▲": "$warning", "▼": "$primary"}[mark]
    return Content.assemble(
        head,
        f"{words.belief(belief.mean, belief.predictive_std)} → ",
        (words.f_measured(value), "bold"),
        " ",
        (mark + {"✓": "", "▲": " worse", "▼": " better"}[mark], meaning),
    )
