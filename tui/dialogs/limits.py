"""The limits: every cost a row, moved with the arrows, and the ranking that follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Static

from ...engine import search
from ...engine.tasks.limits import spelled_limit
from ...sessions.choices import METRICS
from ...sessions.errors import Misuse
from .. import format as words
from ..networks import network_line
from ..widgets.latest import Latest, or_why
from .base import Dialog, buttons
from .ranked import first_candidates

if TYPE_CHECKING:
    from ...engine.advisor.bounds import Bounds
    from ...engine.advisor.ranking import Ranking
    from ...engine.tasks.measure import Measure
    from ...sessions.snapshot import Snapshot

KEYS = "↑↓ ←→ move · del lifts · tab types · enter keeps · esc"
KEYS_TYPING = "tab back · enter keeps · esc drops"
STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Stops within a power of ten."""
RATIOS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
UNTIMED = 0.01, 100.0
"""Milliseconds between which a limit moves before anything was timed."""
SHARES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995)
Changes = dict[str, float | None]


@dataclass(frozen=True)
class Seen:
    """What was worked out of some limits: shares of the candidates, and the ranking of those."""

    limits: Mapping[str, float]
    shares: Mapping[str, float]
    all: float
    ranking: Ranking


def stops(low: float, high: float) -> tuple[float, ...]:
    """Round numbers from `low` to the first that reaches `high`, both above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = [step * 10.0**power for power in range(first, last + 1) for step in STEPS]
    return tuple(
        value
        for before, value in zip([0.0, *every], every, strict=False)
        if low <= value and before < high
    )


class Costs(Widget, can_focus=True):
    """The rows; arrows choose one and move its limit."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "row(-1)", "Up", show=False, id="limits.up", tooltip="The cost above"),
        Binding("down,j", "row(1)", "Down", show=False, id="limits.down", tooltip="The cost below"),
        Binding("left,minus", "move(-1)", "Less", show=False, id="limits.less", tooltip="Less"),
        Binding("right,plus", "move(1)", "More", show=False, id="limits.more", tooltip="More"),
        Binding(
            "delete,backspace", "lift", "Lift", show=False, id="limits.lift", tooltip="No limit"
        ),
        Binding("enter", "keep", "Keep", show=False, id="limits.keep", tooltip="Keep the limits"),
    ]
    DEFAULT_CSS = """
    Costs { height: auto; }
    """

    def __init__(self, dialog: LimitsDialog) -> None:
        super().__init__(id="costs")
        self.dialog = dialog

    def render(self) -> Content:
        """A heading and a line a cost."""
        return self.dialog.rows()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """A line each."""
        return len(self.dialog.names) + 1

    def action_row(self, step: int) -> None:
        """Another cost."""
        self.dialog.choose(step)

    def action_move(self, step: int) -> None:
        """The limit of this cost, one stop on."""
        self.dialog.move(step)

    def action_lift(self) -> None:
        """No limit on this cost."""
        self.dialog.put(None)

    def action_keep(self) -> None:
        """Answer."""
        self.dialog.keep()


class LimitsDialog(Dialog[Changes]):
    """Limits, what keeps them, and what would be proposed within them."""

    DEFAULT_CSS = """
    LimitsDialog .dialog { scrollbar-gutter: stable; }
    """

    def __init__(
        self,
        snapshot: Snapshot,
        ranking: Ranking | None,
        measures: tuple[Measure, ...],
        free: Callable[[], Ranking] | None = None,
        time: Callable[[Ranking, Snapshot], Snapshot] | None = None,
    ) -> None:
        """ranking: the present one.  free: makes one without limits, whose candidates can be told
        to keep any; it takes as long as any ranking.  time: has candidates timed under other
        limits, and gives what the session then holds; StoreError where nothing is timed.
        """
        super().__init__()
        self.snapshot = snapshot
        self.measures = measures
        session = snapshot.session
        self.names = [*(measure.name for measure in measures), session.metric]
        self.before = search.limits_of(session)
        self.limits = dict(self.before)
        self.row = 0
        self.seen: Seen | None = None
        self._ranking = self._own = ranking
        self._free, self._time = free, time
        self._following: Latest[Seen] = Latest(self, self._followed)
        self._freeing: Latest[Ranking | str] = Latest(self, self._freed)
        self._timing: Latest[Snapshot | str] = Latest(self, self._timed)
        self._checking: Latest[tuple[Changes, str]] = Latest(self, self._checked)

    def compose(self) -> ComposeResult:
        """The rows, the one that is typed, the candidates, the buttons."""
        with Vertical(classes="dialog wide") as box:
            box.border_title = "Limits · what a network may cost"
            box.border_subtitle = KEYS
            yield Costs(self)
            yield Input(placeholder=self._example(), id="typed", compact=True, classes="gap")
            yield Label("", id="problem", classes="problem")
            yield Static(id="best")
            yield Static(id="ranked")
            yield buttons(("yes", "Keep"), ("no", "Cancel"))

    def on_mount(self) -> None:
        """The candidates as they are; those without limits are on their way."""
        self.query_one(Costs).focus()
        self._follow()
        if self.before:
            self._ask_free()

    def on_descendant_focus(self) -> None:
        """Where text is typed, letters move nothing."""
        typing = isinstance(self.focused, Input)
        self.query_one(".dialog").border_subtitle = KEYS_TYPING if typing else KEYS

    @property
    def name_chosen(self) -> str:
        """The cost of the row."""
        return self.names[self.row]

    def _example(self) -> str:
        name = self.name_chosen
        return f"or type it: {name}>=90" if name in METRICS else f"or type it: {name}<=…"

    def rows(self) -> Content:
        """What the widget of the rows shows."""
        head = f"  {'cost':<11} {'limit':<22} {'keep it':>8}  of the candidates"
        lines = [Content.styled(head, "$foreground 60%")]
        for index, name in enumerate(self.names):
            value = self.limits.get(name)
            text = "–" if value is None else spelled_limit(name, value, self.measures)
            share = "" if self.seen is None else _percent(self.seen.shares.get(name))
            line = f"{'▸' if index == self.row else ' '} {name:<11} {text:<22} {share:>8}"
            changed = self.limits.get(name) != self.before.get(name)
            style = "bold" if index == self.row else "$warning" if changed else ""
            lines.append(Content.styled(line, style) if style else Content(line))
        return Content("\n").join(lines)

    def choose(self, step: int) -> None:
        """Another row."""
        self.row = (self.row + step) % len(self.names)
        self.query_one("#typed", Input).placeholder = self._example()
        self.query_one(Costs).refresh()

    def move(self, step: int) -> None:
        """The limit of the row, one stop on; beyond the last there is none."""
        name = self.name_chosen
        places = self._stops(name)
        value = self.limits.get(name)
        loosest = -1 if name in METRICS else 1
        if value is None:
            if step == loosest:
                return
            self.put(places[0] if name in METRICS else places[-1])
            return
        beyond = [place for place in places if (place > value * (1 + 1e-9)) == (step > 0)]
        beyond = [place for place in beyond if not math.isclose(place, value, rel_tol=1e-9)]
        if not beyond:
            if step == loosest:
                self.put(None)
            return
        self.put(beyond[0] if step > 0 else beyond[-1])

    def put(self, value: float | None) -> None:
        """Another limit on the cost of the row."""
        if value is None:
            self.limits.pop(self.name_chosen, None)
        else:
            self.limits[self.name_chosen] = value
        self.query_one("#problem", Label).update("")
        self.query_one(Costs).refresh()
        self._follow()

    def _stops(self, name: str) -> tuple[float, ...]:
        if name in METRICS:
            return SHARES
        measure = next(m for m in self.measures if m.name == name)
        if not measure.exact and not measure.timed:
            return RATIOS
        costs = [t.costs[name] for t in self.snapshot.trials if t.costs.get(name, 0.0) > 0]
        costs += [one.milliseconds for one in self.snapshot.latencies.values() if measure.timed]
        ranking = self._ranking
        if ranking is not None:
            costs += [p.known[name] for p in ranking.proposals if p.known.get(name, 0.0) > 0]
        if not costs:
            return stops(*UNTIMED) if measure.timed else RATIOS
        return stops(min(costs) / 20, max(costs))

    # -- what follows -----------------------------------------------------------------------------

    def _follow(self) -> None:
        ranking = self._ranking
        best = search.best_measured(self._would_be())
        told = Content("No trial is measured yet.")
        if best is not None:
            broken = search.broken_by(self._would_be().session, best)
            told = Content.assemble(
                "nearest to them: trial " if broken else "best measured that keeps them: trial ",
                (str(best.number), "bold"),
                f"  {network_line(best.config)}",
            )
        self.query_one("#best", Static).update(told)
        if ranking is None:
            return
        session, space = self._would_be().session, search.session_space(self.snapshot.session)
        limits, timed = dict(self.limits), self.snapshot.latencies.values()
        # of what nothing was timed for nobody knows who keeps it
        unknown = [m.name for m in self.measures if m.timed and not self.snapshot.latencies]
        if any(name in limits for name in unknown):
            self._clock(ranking)

        own = self._own if limits == self.before else None

        def bounds(limits: Mapping[str, float]) -> Bounds:
            return search.bounds_of(session.model_copy(update={"limits": limits}), space, timed)

        def follow() -> Seen:
            alone = {
                name: ranking.share(bounds({name: value}))
                for name, value in limits.items()
                if name not in unknown
            }
            every = bounds(limits)
            # as they stand it is the ranking that is shown behind
            within = ranking.limited(every) if own is None else own
            return Seen(limits, alone, ranking.share(every), within)

        self._following.ask(follow)

    def _clock(self, ranking: Ranking) -> None:
        """Have candidates timed, once: a limit on latency is new here."""
        time, self._time = self._time, None
        if time is None:
            return
        would_be = self._would_be()
        self.query_one("#problem", Label).update("The candidates are timed…")
        self._timing.ask(lambda: or_why(lambda: time(ranking, would_be)))

    def _timed(self, answer: Snapshot | str) -> None:
        if not self.is_mounted:
            return
        self.query_one("#problem", Label).update(answer if isinstance(answer, str) else "")
        if not isinstance(answer, str):
            # what was timed is news to the candidates, too
            self.snapshot = answer
            self._ask_free()

    def _would_be(self) -> Snapshot:
        update = {"limits": dict(self.limits), "macs_cap": None}
        session = self.snapshot.session.model_copy(update=update)
        return replace(self.snapshot, session=session)

    def _followed(self, seen: Seen) -> None:
        if not self.is_mounted:
            return
        self.seen = seen
        self.query_one(Costs).refresh()
        lines = [Content(f"{_percent(seen.all)} of the candidates keep all limits.")]
        if seen.ranking.proposals:
            room = self.query_one("#ranked", Static).content_size.width
            lines.append(first_candidates(self.snapshot, seen.ranking, room))
        else:
            lines.append(Content("Kept, they are drawn anew within the limits."))
        self.query_one("#ranked", Static).update(Content("\n").join(lines))

    def _ask_free(self) -> None:
        free = self._free
        if free is not None:  # the session may be deleted before it is ready
            self._freeing.ask(lambda: or_why(free))

    def _freed(self, answer: Ranking | str) -> None:
        if not self.is_mounted:
            return
        if isinstance(answer, str):
            self.query_one("#problem", Label).update(answer)
            return
        self._ranking = answer
        self._follow()

    # -- the answer -------------------------------------------------------------------------------

    @on(Input.Submitted, "#typed")
    def typed(self, message: Input.Submitted) -> None:
        """A limit as it is typed; nothing typed keeps what there is."""
        if not message.value.strip():
            self.keep()
        elif self._take_typed():
            self.query_one(Costs).focus()

    def _take_typed(self) -> bool:
        """Put the limit that is typed, if one is; whether it could be read."""
        field = self.query_one("#typed", Input)
        text = field.value.strip()
        if not text:
            return True
        try:
            changes = search.changed_limits(self.snapshot.session, [text])
        except Misuse as error:
            self.query_one("#problem", Label).update(words.sentence(str(error)))
            return False
        for name, value in changes.items():
            self.row = self.names.index(name)
            self.put(value)
        field.value = ""
        return True

    @on(Button.Pressed, "#yes")
    def keep(self) -> None:
        """Answer with what was changed; what nothing can keep is said, and nothing decided."""
        if not self._take_typed():
            return
        changes = self._changes()
        if not changes:
            self.dismiss(changes)
            return
        session = self.snapshot.session

        def check() -> tuple[Changes, str]:
            try:
                search.merged_limits(session, changes)
            except Misuse as error:
                return changes, words.sentence(str(error))
            return changes, ""

        self.query_one("#problem", Label).update("Looking for a network that keeps them…")
        self._checking.ask(check)

    def _changes(self) -> Changes:
        return {
            name: self.limits.get(name)
            for name in {*self.limits, *self.before}
            if self.limits.get(name) != self.before.get(name)
        }

    def _checked(self, answer: tuple[Changes, str]) -> None:
        changes, problem = answer
        if not self.is_mounted or changes != self._changes():  # moved since
            return
        if problem:
            self.query_one("#problem", Label).update(problem)
        else:
            self.dismiss(changes)

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Leave the limits as they are."""
        self.dismiss(None)


def _percent(share: float | None) -> str:
    """A share of candidates: `43 %`, `0.2 %`, `none`."""
    if share is None:
        return ""
    if share <= 0:
        return "none"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"
