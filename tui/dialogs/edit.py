"""The form of a level's parameters, with what the model believes of the network as it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, HorizontalScroll, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input, Label

from ...engine.tasks.domains import Categorical
from ...engine.tasks.parameter import Parameter, entry_name
from ...engine.tasks.space import Space
from .. import format as words
from ..cost import cost_of, number
from ..widgets.fields import Cycle
from ..widgets.latest import Latest
from ..widgets.text import Text
from .base import LEAVES, Dialog, buttons

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Place, Proposal, Ranking
    from ...sessions.records import Config, Prediction
    from ..open_session import OpenSession


@dataclass(frozen=True)
class Edited:
    """The network that is to be trained, what is believed of it, and why."""

    config: Config
    prediction: Prediction | None
    reason: str


class Changed(Message):
    """An entry of the form has another value."""

    def __init__(self, parameter: str, index: int | None, value: Any) -> None:
        super().__init__()
        self.parameter = parameter
        self.index = index
        self.value = value


class NumberField(Input):
    """A number that is typed, or stepped through its domain with ↑ and ↓."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(1)", "Larger", show=False, id="field.up", tooltip="Next value"),
        Binding("down", "step(-1)", "Smaller", show=False, id="field.down", tooltip="Value before"),
    ]

    def __init__(self, parameter: Parameter, index: int | None, value: Any) -> None:
        # one that stands alone has room for any number, such as 0.0008928
        super().__init__(words.number(value), compact=True, classes=_width(index))
        self.parameter = parameter
        self.index = index

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(Changed(self.parameter.name, self.index, parse(self.value)))

    def action_step(self, step: int) -> None:
        """The next value of the domain."""
        value = parse(self.value)
        if isinstance(value, bool | str):
            return
        near = self.parameter.domain.near(value)
        above = [v for v in near if isinstance(v, int | float) and v > value]
        below = [v for v in near if isinstance(v, int | float) and v < value]
        found = min(above, default=None) if step > 0 else max(below, default=None)
        if found is not None:
            self.value = words.number(found)
            self.cursor_position = len(self.value)


class ChoiceField(Cycle):
    """A category of a parameter; ↑ and ↓ change it, as they change a number."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step(1)", "Next choice", show=False, id="field.up", tooltip="Next choice"),
        Binding(
            "down",
            "step(-1)",
            "Choice before",
            show=False,
            id="field.down",
            tooltip="Choice before",
        ),
    ]

    def __init__(self, parameter: Parameter, index: int | None, value: Any) -> None:
        domain = parameter.domain
        assert isinstance(domain, Categorical)
        # one that stands alone has room for its longest word
        super().__init__(domain.choices, value, classes=_width(index))
        self.parameter = parameter
        self.index = index

    def watch_value(self) -> None:
        """Tell the form."""
        self.post_message(Changed(self.parameter.name, self.index, self.value))


def _width(index: int | None) -> str:
    """The classes of a field: one of a list is as wide as its column."""
    return "field single" if index is None else "field"


def parse(text: str) -> Any:
    """What was typed: a whole number, a number, or the text itself."""
    text = text.strip()
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and type(one) is type(other)


def _field(parameter: Parameter, index: int | None, value: Any) -> Widget:
    if isinstance(parameter.bounds, Categorical) and parameter.bounds.wordy:
        return ChoiceField(parameter, index, value)
    return NumberField(parameter, index, value)


class EditDialog(Dialog[Edited]):
    """A network, changed entry by entry, with the figures before and now."""

    def __init__(
        self,
        session: OpenSession,
        *,
        title: str,
        space: Space,
        level: int,
        config: Config,
        before: Proposal | None = None,
    ) -> None:
        super().__init__()
        self.session = session
        self.dialog_title = title
        self.space = space
        self.level = level
        self.start = config
        self.config: Config = {
            name: [*value] if isinstance(value, list) else value for name, value in config.items()
        }
        self.before = before
        self.now: Proposal | None = None
        self.now_place: Place | None = None
        self._evaluations: Latest[tuple[Config, Proposal | None, Place | None]] = Latest(
            self, self._evaluated
        )

    def compose(self) -> ComposeResult:
        """The form, the figures, the reason, the buttons."""
        with Vertical(classes="dialog wide form") as box:
            box.border_title = self.dialog_title
            box.border_subtitle = f"↑ ↓ change · tab next · enter trains · {LEAVES}"
            with HorizontalScroll(id="form-across"), VerticalScroll(id="form"):
                yield from self._rows()
            yield Text(id="more")
            yield Text(id="figures")
            yield Text(id="problems")
            with Horizontal(classes="line"):
                yield Label("Reason (kept with the decision)", classes="wide-name")
                yield Input(id="reason", compact=True, placeholder="none given")
            yield buttons(("yes", "Train this"), ("no", "Cancel"))

    def on_mount(self) -> None:
        """The figures of the network as it is; the first field is ready to type in."""
        first = self.query(".field").first(Widget)
        first.focus()
        across = self.query_one("#form-across", HorizontalScroll)
        for what in ("scroll_x", "virtual_size", "show_horizontal_scrollbar"):
            self.watch(across, what, self._more)
        if self.before is None:
            ranking = self.session.ranking
            if ranking is not None:
                self._ask(ranking, self.config)
        else:
            self.now = self.before
        self._show()

    def _more(self) -> None:
        """Say at which side the form goes on, where it is wider than the screen."""
        across, line = (
            self.query_one("#form-across", HorizontalScroll),
            self.query_one("#more", Text),
        )
        sides = "◂ " * (across.scroll_x > 0) + "more layers"
        sides += " ▸" * (across.scroll_x < across.max_scroll_x)
        line.display = across.show_horizontal_scrollbar
        line.update(sides)

    # -- the form -------------------------------------------------------------------------------

    def _rows(self) -> list[Widget]:
        lists = [p for p in self.space.at_level(self.level) if p.length is not None]
        shown = self._fixed() + list(self.space.at_level(self.level))
        rows: list[Widget] = []
        headed = False
        for parameter in shown:
            value = self.config[parameter.name]
            name = parameter.name
            if not isinstance(value, list):
                here = replace(parameter, domain=parameter.domain_in(self.config))
                own = self._own(parameter)
                entry = _field(here, None, value) if own else Label(words.number(value))
                rows.append(
                    Horizontal(
                        Label(name, classes="name"),
                        entry,
                        Label(self._hint(parameter), classes="hint"),
                        classes="form-row",
                    )
                )
                continue
            if not headed and lists:
                headed = True
                widest = max(len(self.config[p.name]) for p in (*lists, parameter))
                heads = [Label(f"layer {i + 1}", classes="cell head") for i in range(widest)]
                rows.append(Horizontal(Label("", classes="name"), *heads, classes="form-row"))
            cells: list[Widget] = []
            for index, item in enumerate(value):
                if self._own(parameter):
                    cells.append(_field(parameter, index, item))
                else:
                    cells.append(Label(words.number(item), classes="cell fixed"))
            if not self._own(parameter):
                cells.append(Label(f"(level {parameter.level})", classes="hint"))
            rows.append(Horizontal(Label(name, classes="name"), *cells, classes="form-row"))
        return rows

    def _hint(self, parameter: Parameter) -> str:
        """What is searched of a parameter, or where alone it counts."""
        if parameter.counts(self.config):
            return parameter.domain_in(self.config).text()
        assert parameter.when is not None
        name, value = parameter.when
        return f"counts with {name} {words.number(value)} alone"

    def _own(self, parameter: Parameter) -> bool:
        """Whether the form changes it: those of the level, all of them at level 0."""
        return self.level in (0, parameter.level)

    def _fixed(self) -> list[Parameter]:
        """What an earlier level fixed and this one's lists belong to: their channels."""
        lengths = {p.length for p in self.space.at_level(self.level) if p.length is not None}
        return [
            p
            for p in self.space.awake
            if p.level < self.level and p.length in lengths and p.name == "channels"
        ]

    @on(Changed)
    async def take(self, message: Changed) -> None:
        """Another value: evaluate anew, and grow or shrink the lists with their length."""
        message.stop()
        if message.index is None:
            if self.config[message.parameter] == message.value:
                return
            valid = not self.space.problems(self.config)
            before, self.config = self.config, {**self.config, message.parameter: message.value}
            if self._governs(message.parameter) and valid:
                if not self.space.problems(self.config):
                    self.config = self.space.moved(before, message.parameter, message.value)
                await self._rebuild(message.parameter)
            if self._is_length(message.parameter) and self.space[message.parameter].bounds.contains(
                message.value
            ):
                self.config = self._resized(message.parameter)
                await self._rebuild(message.parameter)
        else:
            entries = self.config[message.parameter]
            if message.index >= len(entries) or _same(entries[message.index], message.value):
                return
            entries[message.index] = message.value
        self._consider()

    def _governs(self, name: str) -> bool:
        """Whether what others mean, or the values they have, depends on it."""
        return any(p.depends_on(name) for p in self.space.awake)

    def _is_length(self, name: str) -> bool:
        return any(p.length == name for p in self.space.parameters)

    def _resized(self, length: str) -> Config:
        """Lists to their new length; a layer more is like the last one."""
        config = dict(self.config)
        for parameter in self.space.awake:
            if parameter.length != length:
                continue
            value = list(config[parameter.name])
            wanted = parameter.entries(config)
            last = [value[-1]] if value and parameter.name != "downsample" else [parameter.default]
            config[parameter.name] = (value + last * wanted)[:wanted]
        return self.space.resized(config)

    async def _rebuild(self, name: str) -> None:
        form = self.query_one("#form", VerticalScroll)
        focused = self.focused
        position = focused.cursor_position if isinstance(focused, NumberField) else 0
        with self.app.batch_update():
            await form.remove_children()
            await form.mount(*self._rows())
            for field in self.query(".field"):
                if isinstance(field, NumberField | ChoiceField) and field.parameter.name == name:
                    field.focus()
                if isinstance(field, NumberField) and field.parameter.name == name:
                    field.cursor_position = position

    # -- what the model says --------------------------------------------------------------------

    def _consider(self) -> None:
        problems = self.space.problems(self.config)
        said = [Content.styled(f"✗ {text}", "$error") for text in problems[:3]]
        said += [Content.styled(f"! {text}", "$warning") for text in self._outside()[:2]]
        self.query_one("#problems", Text).update(Content("\n").join(said))
        ranking = self.session.ranking
        if problems or ranking is None:
            self._evaluations.drop()
            self.now, self.now_place = None, None
            self._show()
            return
        self._ask(ranking, self.space.validate(self.config))

    def _outside(self) -> list[str]:
        """What can be trained, but is not searched: the advisor never proposes such a value."""
        found = []
        for parameter in self.space.at_level(self.level):
            domain = parameter.domain_in(self.config)
            for index, item in parameter.counting(self.config):
                if parameter.bounds.contains(item) and not domain.contains(item):
                    label = entry_name(parameter.name, index)
                    found.append(
                        f"{label} = {words.number(item)}: outside what is searched, "
                        f"{domain.text()}. It trains all the same."
                    )
        return found

    def _ask(self, ranking: Ranking, config: Config) -> None:
        def evaluate() -> tuple[Config, Proposal | None, Place | None]:
            proposal = ranking.evaluate([config])[0]
            place = ranking.place_of(proposal) if proposal.prediction is not None else None
            return config, proposal, place

        self._evaluations.ask(evaluate)

    def _evaluated(self, result: tuple[Config, Proposal | None, Place | None]) -> None:
        if self.is_mounted and not self.space.problems(self.config):
            _, self.now, self.now_place = result
            if self.before is None and self.config == self.start:
                self.before = self.now
            self._show()

    def _show(self) -> None:
        snapshot = self.session.snapshot
        if snapshot is None:
            return
        cost = cost_of(snapshot)
        measure = cost.measure
        exact = [m for m in self.space.measures if m.exact]
        valid = not self.space.problems(self.config)
        known = self.space.known(self.config) if valid else {}

        def figures(proposal: Proposal | None, known: Any) -> list[str]:
            belief = proposal.prediction if proposal is not None else None
            if proposal is not None:
                known = proposal.known
            return [
                words.belief(belief.mean, belief.std) if belief else words.DASH,
                words.improvement(belief.ei) if belief else words.DASH,
                f"{words.percent(1 - belief.error)} %" if belief else words.DASH,
                cost.of_candidate(belief, known)
                if not measure.exact
                else words.times(belief.complexity)
                if belief
                else words.DASH,
                *(number(m, known.get(m.name)) for m in exact),
            ]

        names = [
            "f        μ ± σ",
            "EI",
            words.metric(snapshot.session).short,
            "f_c" if measure.exact else " / ".join(w for w in (measure.unit, measure.per) if w),
            *(m.label for m in exact),
        ]
        before = figures(self.before, {})
        now = figures(self.now, known)
        lines = [Content.styled(f"{'':<15}  {'before':<15}  now", "$foreground 60%")]
        for name, old, new in zip(names, before, now, strict=True):
            tail = ""
            if name == "EI" and self.now_place is not None:
                tail = f"  ({words.place(self.now_place)})"
            style = "bold" if new != old else ""
            lines.append(
                Content.assemble(
                    (f"{name:<15}  ", "$foreground 60%"),
                    f"{old:<15}  ",
                    (new, style),
                    (tail, "$foreground 60%"),
                )
            )
        if self.now is not None and valid:
            told = words.of_limits(self.now, snapshot.session)
            if told:
                lines.append(Content.styled(told, "$warning" if "breaks" in told else ""))
        self.query_one("#figures", Text).update(Content("\n").join(lines))

    # -- the answer -----------------------------------------------------------------------------

    @on(Input.Submitted)
    @on(Cycle.Submitted)
    @on(Button.Pressed, "#yes")
    def train(self) -> None:
        """Answer, unless the network cannot be built."""
        problems = self.space.problems(self.config)
        if problems:
            self.app.bell()
            self.notify("This network cannot be built: see what is said below the figures.")
            return
        config = self.space.validate(self.config)
        # what was believed of this very network at this moment: a later keystroke may be under way
        prediction = None
        if self.now is not None and self.now.id == self.space.key(config):
            prediction = self.now.prediction
        elif self.session.ranking is not None:
            prediction = self.session.ranking.evaluate([config])[0].prediction
        self.dismiss(Edited(config, prediction, self.query_one("#reason", Input).value.strip()))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Train nothing."""
        self.dismiss(None)
