"""Set up a new session; what is wrong is said beside the field."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Label, Static

from ...engine.client.home import planned
from ...engine.executors.registry import at_once
from ...engine.metric import suiting
from ...engine.tasks.domains import InvalidDomain
from ...engine.tasks.limits import read_limit, spelled_limit
from ...engine.tasks.parameter import Parameter
from ...engine.tasks.space import Space
from ...engine.tasks.task import (
    DEFAULT,
    NO_PRIOR,
    blank_space,
    parameters_of,
    space_name,
    task_named,
    usual_space,
)
from ...sessions.choices import (
    AUGMENTS,
    CLASS_WEIGHTS,
    COST_ALONE,
    FITS,
    METRICS,
    STRATEGIES,
    WEIGHTS,
    Augment,
    ClassWeights,
    Metric,
    Strategy,
)
from ...sessions.errors import Misuse
from ...sessions.places import is_name
from ...sessions.records import (
    LARGEST_BUDGET,
    LARGEST_SEED,
    MOST_PARALLEL,
    READER,
    WHITE,
    DataSource,
    Execution,
    Scalar,
    Session,
    Setup,
    is_weight,
)
from .. import format as words
from .. import images
from ..image_words import columns_text, read_colour, read_columns, read_size, size_text
from ..widgets.fields import Cycle
from ..widgets.found import Found
from ..widgets.frame import Edge, SplitLine
from ..widgets.keys import KeyBar

if TYPE_CHECKING:
    from textual.timer import Timer

    from ..open_session import OpenSession

LARGEST_COUNT = 10**9
"""Of images: none has more."""
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
NOTES = {
    "data": "digits · or KIND:PATH of folder (or .zip), csv, parquet, npz, idx, cifar10, cifar100, "
    "mnist, fashion-mnist, svhn",
    "image_size": "a side such as 64, or 64x48 for 64 wide and 48 high; empty leaves images as "
    "they are, or, where sizes differ, takes the median shorter side, at most 64",
    "fit": "crop cuts the centre out, pad keeps the whole image and fills, stretch does neither",
    "background": "seen through transparent images, and filled with by pad: white, black, #102030",
    "skip-broken": "go on without files that cannot be read; else they are listed, and it ends",
    "drop-leaks": "training images that are validation or test images too are left out; else told",
    "columns": "where names are not the usual ones: image=file, label=species, split=part",
    "train_size": "images for training and validation; empty takes all of them",
    "val_fraction": "the share of these images that is held out, and decides f_p",
    "goal": "balance accuracy and cost · best under limits (w_c 0) · cheapest above an accuracy "
    "(inf)",
    "wc": "0 looks for accuracy alone · 0.1 balances · 1 and more look for low complexity · inf "
    "for the cheapest",
    "limits": "what a network may cost, how good it must be: params<=50k, macs<=2x, accuracy>=90",
    "measure": "what complexity is; a time is compared with the reference's, timed beside it",
    "weights": "what weights and activations are where the network is used: their bytes follow",
    "metric": "what is searched for; balanced accuracy (the mean of the classes' recalls) and "
    "macro-F1 count unequal classes alike",
    "class-weights": "in the loss: balanced weighs rare classes up, so that all count alike",
    "flat": "how the space is searched: four levels one after another, or all parameters at once",
    "space": "what is searched: the poster's parameters, a few more, or all that there are",
    "prior": "what the belief begins with: what trainings on other images taught, or nothing",
    "learn_from": "sessions whose trials say something of these networks, too, with commas: of "
    "other images, fewer epochs, anything",
    "strategy": "what proposes; only gp has a belief, with μ, σ and EI to show",
    "augment": "training images are mirrored (flip) or shifted (crop) at random",
    "parallel": "trials that train side by side and share the processors; a GPU trains one at a "
    "time; with other threads the same network has another f_c",
    "stop-behind": "a trial whose f so far is worse than the median of others with its schedule is "
    "stopped, not marked",
}
"""What there is to say of a field: below the form while it has the focus."""
GOALS = {"balance": 0.1, "best under limits": 0.0, "cheapest above an accuracy": COST_ALONE}
"""What a search is after, and the w_c that says so."""
TRIALS = {flat: str(planned(DEFAULT, flat)) for flat in (False, True)}
"""Trials proposed for a level, of several and of the one that searches all at once."""
USUAL: dict[str, Any] = {field.name: field.default for field in fields(Setup)}
"""What is proposed where there is no session to begin like."""


@dataclass(frozen=True)
class Field:
    """One line of the form.  hint: a few words beside it; read: the value, or ValueError."""

    name: str
    label: str
    start: str
    hint: str
    read: Callable[[str], Any]


def _whole(low: int, high: int, empty: bool = False) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        plain = text.replace(",", "").replace(" ", "")
        if not plain and empty:
            return None
        if not re.fullmatch(r"\d{1,12}", plain) or not low <= int(plain) <= high:
            raise ValueError(f"must be a whole number, {low} to {high:,}")
        return int(plain)

    return read


def _usual() -> Execution:
    """How trials run where nobody says otherwise."""
    return Execution(parallel=at_once(Execution()))


def _at_once(execution: Execution) -> Callable[[str], int]:
    """How many trials at once, where trials run as `execution` says."""
    whole = _whole(1, MOST_PARALLEL)

    def read(text: str) -> int:
        number = whole(text)
        assert number is not None
        try:
            at_once(execution.model_copy(update={"parallel": number}))
        except Misuse as error:
            raise ValueError(str(error).partition(": ")[2]) from error
        return number

    return read


def _real(low: float, high: float, words_of_it: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(words_of_it) from None
        if not low <= value < high:
            raise ValueError(words_of_it)
        return value

    return read


def _weight(text: str) -> float:
    words_of_it = "must be a number, 0 or more, or inf"
    try:
        value = float(text.replace("∞", "inf"))
    except ValueError:
        raise ValueError(words_of_it) from None
    if not is_weight(value):
        raise ValueError(words_of_it)
    return value


def _name(taken: set[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not is_name(text):
            raise ValueError("letters, digits, dots, dashes, underscores; a letter or digit first")
        if text in taken:
            raise ValueError(f"there is a session {text} already")
        return text

    return read


def _sessions(there: set[str]) -> Callable[[str], tuple[str, ...]]:
    """Sessions by name, with commas; nothing is none."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        for name in names:
            if name not in there:
                raise ValueError(f"there is no session {name}")
        return names

    return read


def _data(text: str) -> str:
    if text == "digits":
        return text
    kind, found, path = text.partition(":")
    if not found or not kind or not path:
        raise ValueError("digits, or KIND:PATH")
    return text


def _briefly(read: Callable[[str], Any], words_of_it: str) -> Callable[[str], Any]:
    """As `read` reads, with a shorter word about what is wrong: the field is beside it."""

    def read_briefly(text: str) -> Any:
        try:
            return read(text)
        except ValueError:
            raise ValueError(words_of_it) from None

    return read_briefly


def _size(text: str) -> tuple[int, int] | None:
    return read_size(text) if text else None


def _goal(wc: float) -> str:
    """The goal that a w_c stands for."""
    return next((goal for goal, value in GOALS.items() if value == wc), "balance")


def _columns(text: str) -> dict[str, str]:
    return read_columns(word for word in text.split(",") if word.strip())


UNSAID: dict[str, Any] = {"image_size": None, "background": WHITE, "columns": {}}
"""Fields that say how images are read, and what holds where a kind of data set has none."""
LONGEST_STEM = 40
"""Characters of a name that is proposed."""
FILES = ("folder", "csv", "parquet")
"""Kinds of data whose images are files."""
TABLES = ("csv", "parquet")


def _note(name: str, words_of_it: str) -> Label:
    """What is said beside a field."""
    return Label(words_of_it, id=f"note-{name}", classes="hint note", markup=False)


def free_name(stem: str, taken: set[str]) -> str:
    """A name like `stem` that no session has."""
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name


class Form(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The fields: ↑ and ↓ go through them, and the focused one is scrolled into sight."""


class SetupScreen(Screen[None]):
    """The form of a new session; `like` fills it in from an existing one."""

    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-narrow"), (76, "-wide")]  # noqa: RUF012

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "create",
            "Start the search",
            id="setup.create",
            tooltip="Check the data and start",
        ),
        Binding("escape", "leave", "Back", id="setup.leave", tooltip="Back to the sessions"),
        Binding(
            "down",
            "app.focus_next",
            "Next field",
            show=False,
            id="setup.next",
            tooltip="Next field",
        ),
        Binding(
            "up",
            "app.focus_previous",
            "Field before",
            show=False,
            id="setup.before",
            tooltip="Field before",
        ),
        Binding(
            "pagedown",
            "page(1)",
            "Further down",
            show=False,
            id="setup.down",
            tooltip="Further down the form",
        ),
        Binding(
            "pageup",
            "page(-1)",
            "Further up",
            show=False,
            id="setup.up",
            tooltip="Further up the form",
        ),
    ]

    def __init__(
        self,
        session: OpenSession,
        taken: set[str],
        like: Session | None = None,
        learn: str = "",
    ) -> None:
        """taken: names of the sessions that are there.  learn: one of them to learn from."""
        super().__init__()
        self.session = session
        self.taken = taken
        self.like = like
        # the domains do not depend on the images, only what fits them does
        self.start = USUAL if like is None else dict(like)
        start = self.start
        self.sought = task_named(start["task"])
        self.metric: Metric = start["metric"]
        self.space: Space = blank_space(self.sought.name)
        data = like.data if like is not None else DataSource(spec="digits")
        stem = like.name if like is not None else "digits"
        self.execution = like.execution if like is not None else _usual()
        self.fields = (
            Field("name", "name", free_name(stem, taken), "", _name(taken)),
            Field("data", "images", data.spec, "or KIND:PATH", _data),
            Field(
                "image_size",
                "image size",
                size_text(data.image_size),
                "as they are; 64 or 64x48",
                _briefly(_size, "a side such as 64, or 64x48, up to 1,024"),
            ),
            Field(
                "background",
                "background",
                data.background,
                "of transparent images",
                _briefly(read_colour, "no colour: #102030, white, black"),
            ),
            Field(
                "columns",
                "columns",
                columns_text(data.columns),
                "image=…, label=…",
                _briefly(_columns, "image=…, label=…, split=…"),
            ),
            Field(
                "train_size",
                "take at most",
                str(data.train_size or ""),
                "images; empty takes all of them",
                _whole(2, LARGEST_COUNT, empty=True),
            ),
            Field(
                "val_fraction",
                "validation",
                f"{data.val_fraction:g}",
                "share of them held out",
                _real(1e-6, 1.0, "must be between 0 and 1"),
            ),
            Field(
                "wc",
                "w_c",
                words.number(start["wc"]),
                "0 accuracy … 1 low complexity",
                _weight,
            ),
            Field(
                "limits",
                "limits",
                self._spelled(like),
                "params<=50k, accuracy>=90",
                self._limits,
            ),
            Field(
                "epochs",
                "epochs",
                str(start["epochs"]),
                "of every trial",
                _whole(1, LARGEST_BUDGET),
            ),
            Field(
                "learn_from",
                "learn from",
                self._learning(taken, learn),
                "earlier sessions",
                _sessions(taken),
            ),
            Field(
                "trials",
                "trials",
                str(like.trials_per_level) if like else TRIALS[False],
                "a level",
                _whole(1, LARGEST_BUDGET),
            ),
            Field(
                "parallel",
                "at once",
                str(self.execution.parallel),
                "trials that train side by side",
                _at_once(self.execution),
            ),
            Field(
                "seed",
                "seed",
                str(start["seed"]),
                "decides every draw",
                _whole(0, LARGEST_SEED),
            ),
        )
        self.data = data
        self._proposed = self.fields[0].start
        """The name that nobody chose."""
        self.measure = start["measure"]
        self.strategy: Strategy = start["strategy"]
        self.prior = self._prior_like(like)
        self.searched = self._space_like(like)
        self.flat = start["flat"]
        self.augment: Augment = start["augment"]
        self.class_weights: ClassWeights = start["class_weights"] or suiting(self.metric)
        self.stop_behind = start["stop_behind"]
        self._timer: Timer | None = None
        self._beat = 0
        self._busy = False
        self._cancelled = threading.Event()
        self._pace = images.Pace()

    def _space_like(self, like: Session | None) -> str:
        """The space of the session that this one begins like, but for single parameters more."""
        if like is None:
            return usual_space(self.sought)
        return space_name(like).partition(" ")[0]

    def _learning(self, there: set[str], learn: str) -> str:
        """The sessions to learn from: what is asked for, or those of the session that this one
        begins like, as far as they are still there.
        """
        names = learn or ("" if self.like is None else self.like.learn_from)
        return ", ".join(name for name in names.split(",") if name in there)

    def _prior_like(self, like: Session | None) -> str:
        """The prior of the session that this one begins like; of one made before, the default."""
        known = self._priors()
        return like.prior if like is not None and like.prior in known else known[0]

    def _priors(self) -> tuple[str, ...]:
        """What the belief can begin with."""
        files = () if self.like is None else tuple(self.like.prior_numbers)
        return (*reversed([*self.sought.priors]), *files, NO_PRIOR)

    def _begins(self) -> dict[str, Scalar] | None:
        """How the session that this one begins like is trained at first; None: as the space is."""
        if self.like is None or self.searched != self._space_like(self.like):
            return None
        return self.like.defaults

    def _spelled(self, like: Session | None) -> str:
        """The limits of the session that this one begins like, as they are typed."""
        kept = {} if like is None else like.limits
        measures = self.sought.measures
        return ", ".join(spelled_limit(name, value, measures) for name, value in kept.items())

    def _limits(self, text: str) -> list[str]:
        """Limits as they are typed, their form checked: what they come to depends on the images."""
        # a comma within a number parts its thousands
        typed = [part.strip() for part in re.split(r",(?!\d)", text) if part.strip()]
        reference = {measure.name: 1.0 for measure in self.sought.measures if measure.exact}
        for part in typed:
            try:
                read_limit(part, self.sought.measures, self.metric, reference)
            except Misuse as error:
                raise ValueError(str(error).partition(": ")[2]) from error
        return typed

    def compose(self) -> ComposeResult:
        """Fields, then the domains level by level."""
        line = SplitLine(id="title")
        line.left = Content.assemble(("lcsearch", "bold $primary"), "   new session")
        yield line
        with Vertical(classes="side only"):
            yield Edge("top", "New session")
            with Form(classes="panel grows", id="setup-form"):
                for field in self.fields:
                    if field.name == "wc":
                        goal = _goal(self.start["wc"])
                        yield from self._choice("goal", "goal", tuple(GOALS), goal, "of the search")
                    yield from self._line(field.name, field.label, field.start, field.hint)
                    if field.name == "image_size":
                        hint = "images of other shapes"
                        yield from self._choice("fit", "fit", FITS, self.data.fit, hint)
                    if field.name == "columns":
                        for name, label, value, hint in (
                            ("skip-broken", "skip broken", self.data.skip_broken, "files"),
                            ("drop-leaks", "drop leaks", self.data.drop_leaks, "between splits"),
                        ):
                            yield from self._choice(name, label, (False, True), value, hint)
                        yield Found(self.session.sessions.look)
                    if field.name == "limits":
                        with Horizontal(classes="line"):
                            yield Label("complexity", classes="name")
                            yield Cycle(
                                [measure.name for measure in self.sought.measures],
                                self.measure,
                                names=[measure.title for measure in self.sought.measures],
                                id="measure",
                            )
                            yield _note("measure", "space changes it")
                        with Horizontal(classes="line"):
                            yield Label("deployed as", classes="name")
                            yield Cycle(WEIGHTS, self.start["weights"], id="weights")
                            yield _note("weights", "for size and activations")
                        with Horizontal(classes="line"):
                            yield Label("metric", classes="name")
                            titles = [words.METRICS[metric].title for metric in METRICS]
                            yield Cycle(METRICS, self.metric, names=titles, id="metric")
                            yield _note("metric", "f_p is 1 − this")
                        with Horizontal(classes="line"):
                            yield Label("class weights", classes="name")
                            yield Cycle(CLASS_WEIGHTS, self.class_weights, id="class-weights")
                            yield _note("class-weights", "in the loss")
                    if field.name == "epochs":
                        if self.sought.spaces:
                            yield from self._choice(
                                "space",
                                "space",
                                tuple(self.sought.spaces),
                                self.searched,
                                "what is searched",
                            )
                        with Horizontal(classes="line"):
                            yield Label("levels", classes="name")
                            yield Cycle(
                                (False, True),
                                self.flat,
                                names=("four, one after another", "one, all at once"),
                                id="flat",
                            )
                            yield _note("flat", "how the space is searched")
                        with Horizontal(classes="line"):
                            yield Label("strategy", classes="name")
                            yield Cycle(STRATEGIES, self.strategy, id="strategy")
                            yield _note("strategy", "only gp has a belief")
                        with Horizontal(classes="line"):
                            yield Label("prior", classes="name")
                            yield Cycle(self._priors(), self.prior, id="prior")
                            yield _note("prior", "what is known before any trial")
                        with Horizontal(classes="line"):
                            yield Label("augment", classes="name")
                            yield Cycle(AUGMENTS, self.augment, id="augment")
                            yield _note("augment", "images varied at random")
                        with Horizontal(classes="line"):
                            yield Label("stop behind", classes="name")
                            yield Cycle((False, True), self.stop_behind, id="stop-behind")
                            yield _note("stop-behind", "what falls behind is stopped")
                yield Static("Domains of the levels", classes="heading")
                for parameter in self.space.parameters:
                    if parameter is self.space.at_level(parameter.level)[0]:
                        title = words.level_label(parameter.level, self.space.levels)
                        yield Static(title, classes="level-heading")
                    given = self.like.domains.get(parameter.name) if self.like else None
                    start = given or parameter.domain.text()
                    hint = "a layer" if parameter.length is not None else ""
                    yield from self._line(f"domain-{parameter.name}", parameter.name, start, hint)
            yield Edge(
                "bottom", "enter starts the search · ↑ ↓ go through the fields · pgdn further down"
            )
        yield Static(id="note-line", markup=False)
        yield Static(id="probing")
        yield KeyBar()

    def _choice(
        self, name: str, label: str, choices: Sequence[Any], value: Any, hint: str
    ) -> ComposeResult:
        with Horizontal(classes="line", id=f"line-{name}"):
            yield Label(label, classes="name")
            yield Cycle(choices, value, id=name)
            yield _note(name, hint)

    def _line(self, name: str, label: str, start: str, hint: str) -> ComposeResult:
        with Horizontal(classes="line", id=f"line-{name}"):
            yield Label(label, classes="name")
            wide = "long" if name in ("name", "data") else "medium"
            yield Input(start, id=f"field-{name}", compact=True, classes=wide)
            yield _note(name, hint)

    def on_mount(self) -> None:
        """Ready to type; the keys of the buttons are in the key bar."""
        self._timer = self.set_interval(0.1, self._spin, pause=True)
        self.query_one("#probing", Static).display = False
        self._show_of_kind()
        self._show_of_space()
        self.query_one("#field-name", Input).focus()

    @on(Cycle.Changed, "#flat")
    def budget(self, message: Cycle.Changed) -> None:
        """One level is given the trials of four, unless a person said how many."""
        field = self.query_one("#field-trials", Input)
        if field.value == TRIALS[not message.value]:
            field.value = TRIALS[message.value]

    @on(Cycle.Changed, "#space")
    def search_in(self, message: Cycle.Changed) -> None:
        """The domains of the parameters that this space has."""
        self.searched = message.value
        self._show_of_space()

    def _show_of_space(self) -> None:
        shown = {parameter.name for parameter in self._in_space()}
        for parameter in self.space.parameters:
            self.query_one(f"#line-domain-{parameter.name}").display = parameter.name in shown

    def _in_space(self) -> list[Parameter]:
        """The parameters that will be searched: the space's, and those that were opened before."""
        names = {*parameters_of(self.sought, self.searched or None)}
        names |= set() if self.like is None else {*self.like.domains}
        return [p for p in self.space.parameters if p.neutral is None or p.name in names]

    @on(Cycle.Changed, "#goal")
    def aim(self, message: Cycle.Changed) -> None:
        """The w_c that the goal stands for; a number of one's own can be typed."""
        self.query_one("#field-wc", Input).value = words.number(GOALS[message.value])

    @on(Cycle.Changed, "#metric")
    def weigh(self, message: Cycle.Changed) -> None:
        """The weights that suit the metric, unless a person chose others."""
        weights = self.query_one("#class-weights", Cycle)
        if weights.value == suiting(self.metric):
            weights.value = suiting(message.value)
        self.metric = message.value

    # -- checking -------------------------------------------------------------------------------

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        """Say at once what is wrong with a field."""
        name = (event.input.id or "").removeprefix("field-")
        self._read(name)
        self._whole_note()
        if name == "data":
            self._show_of_kind()
            self._name_like(event.value)
        self._look()

    def _name_like(self, data: str) -> None:
        """A name like the place of the images, as long as nobody has chosen one."""
        field = self.query_one("#field-name", Input)
        if field.value != self._proposed:
            return
        if data == self.data.spec:  # as at first: a copy is named like what it is copied from
            self._proposed = field.value = self.fields[0].start
            return
        stem = Path(data.partition(":")[2]).name.partition(".")[0] or data.partition(":")[0]
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:LONGEST_STEM]
        if is_name(stem):
            self._proposed = free_name(stem, self.taken)
            field.value = self._proposed

    @on(Cycle.Changed)
    def choose(self) -> None:
        """Another way to read the images shows other images."""
        self._look()

    def _show_of_kind(self) -> None:
        """Only the fields that this kind of data set has."""
        kind, _, place = self.query_one("#field-data", Input).value.strip().partition(":")
        for names, shown in (
            (("image_size", "fit", "drop-leaks"), bool(place)),
            (("background", "skip-broken"), bool(place) and kind in FILES),
            (("columns",), bool(place) and kind in TABLES),
        ):
            for name in names:
                self.query_one(f"#line-{name}").display = shown

    def _look(self) -> None:
        """Look at the images that the form names, if it names others than it did at first.

        Those of a session that an earlier version made are read otherwise now: they are looked at.
        """
        found = self.query_one(Found)
        values = {}
        for name in ("data", *UNSAID, "train_size", "val_fraction", "seed"):
            right, values[name] = self._read(name)
            if not right:
                found.want(None)
                return
        asked = self._data(values)
        known = asked == self.data and asked.reader == READER
        found.want(None if known or ":" not in asked.spec else asked)

    def _data(self, values: dict[str, Any]) -> DataSource:
        """The data set that the form names, and how it is read."""
        return DataSource(
            spec=values["data"],
            train_size=values["train_size"],
            val_fraction=values["val_fraction"],
            seed=values["seed"],
            download=self.data.download,
            image_size=values["image_size"],
            fit=self._chosen("fit"),
            background=values["background"],
            skip_broken=self._chosen("skip-broken"),
            drop_leaks=self._chosen("drop-leaks"),
            columns=values["columns"],
            reader=self.data.reader,
        )

    def _chosen(self, name: str) -> Any:
        """What a choice says; the first one where this kind of data set does not have it."""
        choice = self.query_one(f"#{name}", Cycle)
        return choice.value if self._is_shown(name) else choice.choices[0]

    def _is_shown(self, name: str) -> bool:
        return bool(self.query_one(f"#line-{name}").display)

    def on_descendant_focus(self) -> None:
        """The note of a field is read whole below the form, however narrow the terminal."""
        self._whole_note()

    def _whole_note(self) -> None:
        name = (self.focused.id if self.focused is not None else None) or ""
        line = self.query_one("#note-line", Static)
        name = name.removeprefix("field-")
        note = self.query(f"#note-{name}") if name else None
        text = str(note.first(Label).render()) if note else ""
        wrong = text.startswith("✗")
        line.update(text if wrong else NOTES.get(name, text))
        line.set_class(wrong, "problem")

    def _read(self, name: str) -> tuple[bool, Any]:
        """Whether a field is right, and its value; what is wrong is said beside it."""
        if name in UNSAID and not self._is_shown(name):
            return True, UNSAID[name]
        text = self.query_one(f"#field-{name}", Input).value.strip()
        note = self.query_one(f"#note-{name}", Label)
        try:
            if name.startswith("domain-"):
                parameter = name.removeprefix("domain-")
                self.space.narrowed({parameter: text})
                value: Any = text
                hint = "a layer" if self.space[parameter].length is not None else ""
            else:
                field = next(f for f in self.fields if f.name == name)
                value = field.read(text)
                hint = field.hint
        except (InvalidDomain, ValueError) as error:
            reason = str(error)
            if name.startswith("domain-"):
                reason = reason.partition(": ")[2] or reason
            note.update(f"✗ {reason}")
            note.add_class("problem")
            return False, None
        note.update(hint)
        note.remove_class("problem")
        return True, value

    # -- creating -------------------------------------------------------------------------------

    @on(Input.Submitted)
    @on(Cycle.Submitted)
    def action_create(self) -> None:
        """Check all fields; then the data, off the UI loop."""
        if self._busy:
            return
        values: dict[str, Any] = {}
        wrong: list[str] = []
        names = [field.name for field in self.fields]
        names += [f"domain-{parameter.name}" for parameter in self._in_space()]
        for name in names:
            right, values[name] = self._read(name)
            if not right:
                wrong.append(name)
        if wrong:
            self.query_one(f"#field-{wrong[0]}", Input).focus()
            return
        domains = {
            parameter.name: values[f"domain-{parameter.name}"]
            for parameter in self._in_space()
            if values[f"domain-{parameter.name}"] != parameter.domain.text()
        }
        seed = values["seed"]
        setup = Setup(
            name=values["name"],
            data=self._data(values),
            task=self.sought.name,
            wc=values["wc"],
            measure=self.query_one("#measure", Cycle).value,
            weights=self.query_one("#weights", Cycle).value,
            metric=self.query_one("#metric", Cycle).value,
            class_weights=self.query_one("#class-weights", Cycle).value,
            epochs=values["epochs"],
            seed=seed,
            features=self.start["features"],
            macs_cap=self.start["macs_cap"],
            limits=values["limits"],
            domains=domains,
            trials_per_level=values["trials"],
            strategy=self.query_one("#strategy", Cycle).value,
            prior=self.query_one("#prior", Cycle).value,
            prior_numbers={} if self.like is None else self.like.prior_numbers,
            learn_from=values["learn_from"],
            flat=self.query_one("#flat", Cycle).value,
            space=self.searched or None,
            defaults=self._begins(),
            augment=self.query_one("#augment", Cycle).value,
            stop_behind=self.query_one("#stop-behind", Cycle).value,
            execution=self.execution.model_copy(update={"parallel": values["parallel"]}),
        )
        self._set_busy(True)
        self._cancelled = threading.Event()
        self._pace = images.Pace()
        self._create(setup, self._pace, self._cancelled)

    @work(thread=True, group="create", exclusive=True, exit_on_error=True)
    def _create(self, setup: Setup, pace: images.Pace, cancelled: threading.Event) -> None:
        from ...engine.client.images import Cancelled, SetupError

        try:
            self.session.sessions.create(setup, pace.told, cancelled)
        except Cancelled:
            self.call_later(self._set_busy, False)
            return
        except SetupError as error:
            self.call_later(self._refused, setup, str(error))
            return
        self.call_later(self._created, setup)

    def _refused(self, setup: Setup, reason: str) -> None:
        self._set_busy(False)
        for name, told in (("data", setup.data.spec), ("name", f"session {setup.name!r}")):
            if told in reason:
                note = self.query_one(f"#note-{name}", Label)
                note.update("✗ not usable: see the message")
                note.add_class("problem")
                self.query_one(f"#field-{name}", Input).focus()
                break
        self.session.fail("The session cannot be set up", reason)

    def _created(self, setup: Setup) -> None:
        self._set_busy(False)
        self.dismiss(None)
        self.session.open(setup.name)

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self._beat = 0
        line = self.query_one("#probing", Static)
        line.display = busy
        self.query_one("#setup-form").disabled = busy
        if self._timer is not None:
            if busy:
                self._spin()
                self._timer.resume()
            else:
                self._timer.pause()

    def _spin(self) -> None:
        self._beat += 1
        # how long it takes nobody knows before files are counted: how long it has taken, then
        told = self._pace.words() or words.duration(self._beat / 10)
        self.query_one("#probing", Static).update(
            f" {SPINNER[self._beat % len(SPINNER)]} Reading and checking the images… {told}"
        )

    def action_page(self, way: int) -> None:
        """What stands between two fields can be higher than the screen."""
        form = self.query_one("#setup-form")
        form.scroll_relative(y=way * max(form.size.height - 2, 1), animate=False)

    def action_leave(self) -> None:
        """Back to the sessions; while images are read, back to the form."""
        if self._busy:
            self._cancelled.set()
            self.notify("The images are not read on; no session was made.")
        elif self.is_current:  # a key pressed twice must not take the sessions away as well
            self.dismiss(None)
