"""A part of the level's domains: to favour, to look at alone, or to search from now on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Label, Static

from ...engine import search
from ...engine.tasks.domains import Categorical, Domain, InvalidDomain, Real
from ...engine.tasks.parameter import Parameter
from ...engine.tasks.space import Space
from ...engine.tasks.task import session_space
from ...sessions.errors import StoreError
from .. import format as words
from ..widgets.fields import Cycle
from .base import LEAVES, Dialog, buttons

if TYPE_CHECKING:
    from ...sessions.records import Scalar
    from ...sessions.snapshot import Snapshot

Purpose = Literal["favour", "look", "search"]
PURPOSES: tuple[Purpose, ...] = ("favour", "look", "search")
NAMES = ("favour it", "look at it alone", "search it alone")
LABELS = {"favour": "Favour it", "look": "Rank it", "search": "Search it"}
REACH = 0.15
"""How far around a value a region reaches, as a share of the parameter's scale."""


@dataclass(frozen=True)
class Region:
    """Domains as text, one a parameter that is restricted, and what they are for.

    search: those of the level that change; `default` where a parameter is free again.
    """

    purpose: Purpose
    domains: dict[str, str]


def around(domain: Domain, value: Scalar) -> str:
    """A domain around a value, as text: itself, or a piece of the scale on either side."""
    if isinstance(domain, Categorical):
        return words.number(value)
    if isinstance(domain, Real) and domain.zero and value == 0:
        return "0"
    unit = domain.unit(value)
    scale = domain if not isinstance(domain, Real) else Real(domain.low, domain.high, domain.log)
    low, high = (scale.at(min(max(unit + step, 0.0), 1 - 1e-9)) for step in (-REACH, REACH))
    if low == high:
        return words.number(low)
    return f"{words.number(low)}..{words.number(high)}"


class RegionDialog(Dialog[Region]):
    """One line a parameter of the level; an empty one leaves it as it is."""

    def __init__(
        self, snapshot: Snapshot, looked: Mapping[str, str], suggested: Mapping[str, str]
    ) -> None:
        """looked: what is looked at alone now.  suggested: for parameters that have nothing yet."""
        super().__init__()
        session = snapshot.session
        self.snapshot = snapshot
        self.suggested = dict(suggested)
        self.space = session_space(session)
        level = search.searched_level(session)
        self.parameters: tuple[Parameter, ...] = self.space.at_level(level)
        self.present: dict[Purpose, dict[str, str]] = {
            "favour": dict(session.favourite),
            "look": dict(looked),
            "search": dict(session.domains),
        }
        self.purpose: Purpose = "look" if looked else "favour"

    def compose(self) -> ComposeResult:
        """What for, the parameters, the buttons."""
        with Vertical(classes="dialog wide") as box:
            box.border_title = "Region"
            box.border_subtitle = f"tab next · enter does it · empty: all · {LEAVES}"
            with Horizontal(classes="line"):
                yield Label("what for", classes="name")
                yield Cycle(PURPOSES, self.purpose, names=NAMES, id="purpose")
                yield Label("space changes it", classes="hint")
            yield Static(id="meaning", classes="hint", markup=False)
            with VerticalScroll(id="form", can_focus=False):
                start = self._start()
                for parameter in self.parameters:
                    name = parameter.name
                    with Horizontal(classes="line"):
                        yield Label(name, classes="name")
                        yield Input(
                            start.get(name, ""), id=f"field-{name}", compact=True, classes="medium"
                        )
                        yield Label("", id=f"note-{name}", classes="hint", markup=False)
            yield buttons(("yes", LABELS[self.purpose]), ("clear", "Clear"), ("no", "Cancel"))

    def on_mount(self) -> None:
        """Ready to type: in what the chart suggests, else in the first field."""
        names = [p.name for p in self.parameters]
        first = next((name for name in names if name in self.suggested), names[0])
        self._explain()
        self.query_one(f"#field-{first}", Input).focus()

    def _start(self) -> dict[str, str]:
        """What the fields hold at first for the present purpose."""
        present = self.present[self.purpose]
        if self.purpose == "search":
            return present
        return present or self.suggested

    @on(Cycle.Changed, "#purpose")
    def changed(self, message: Cycle.Changed) -> None:
        """Another purpose; what was typed stays, what was only shown gives way."""
        before = self._start()
        typed = {p.name: self._text(p) for p in self.parameters}
        untouched = all(typed[name] == before.get(name, "") for name in typed)
        self.purpose = message.value
        if untouched:
            for parameter in self.parameters:
                self._field(parameter).value = self._start().get(parameter.name, "")
        self.query_one("#yes", Button).label = LABELS[self.purpose]
        self._explain()

    def _explain(self) -> None:
        strength = search.favour_strength(self.snapshot)
        if strength is None:
            fades = f"No effect while {self.snapshot.session.strategy} proposes."
        else:
            fades = f"Now a parameter outside weighs e^-{strength:.2g}; it fades with every trial."
        told = {
            "favour": f"The ranking prefers this region. {fades} u undoes it.",
            "look": "Ranks this region alone; the session stays as it is. esc ends it.",
            "search": "Only this is proposed from now on; what was trained outside still teaches. "
            "u undoes it.",
        }
        self.query_one("#meaning", Static).update(told[self.purpose])
        for parameter in self.parameters:
            self._check(parameter)

    def _field(self, parameter: Parameter) -> Input:
        return self.query_one(f"#field-{parameter.name}", Input)

    def _text(self, parameter: Parameter) -> str:
        return self._field(parameter).value.strip()

    @on(Input.Changed)
    def check(self, event: Input.Changed) -> None:
        """Say at once what is wrong with a field."""
        name = (event.input.id or "").removeprefix("field-")
        if name in self.space:
            self._check(self.space[name])

    def _check(self, parameter: Parameter) -> bool:
        """Whether a field is right; beside it stands what is wrong, or what there is to choose."""
        text = self._text(parameter)
        note = self.query_one(f"#note-{parameter.name}", Label)
        try:
            if text:
                self._try({parameter.name: text})
        except (InvalidDomain, StoreError) as error:
            note.update(f"✗ {str(error).partition(': ')[2] or error}")
            note.add_class("problem")
            return False
        free = self.space if self.purpose != "search" else self._whole()
        each = " a layer" if parameter.length is not None else ""
        note.update(f"{free[parameter.name].domain.text()}{each}")
        note.remove_class("problem")
        return True

    def _whole(self) -> Space:
        return session_space(self.snapshot.session.model_copy(update={"domains": {}}))

    def _try(self, domains: Mapping[str, str]) -> None:
        """Raises InvalidDomain or StoreError where the session could not take these domains."""
        if self.purpose == "favour":
            self.space.narrowed(domains)
        else:
            search.look(self.snapshot, domains=domains)

    # -- the answer -----------------------------------------------------------------------------

    @on(Input.Submitted)
    @on(Cycle.Submitted)
    @on(Button.Pressed, "#yes")
    def answer(self) -> None:
        """Answer, or go to what is wrong."""
        for parameter in self.parameters:
            if not self._check(parameter):
                self._field(parameter).focus()
                self.app.bell()
                return
        given = {p.name: self._text(p) for p in self.parameters}
        present = self.present[self.purpose]
        if self.purpose == "search":
            changed = {
                name: text or search.DEFAULT
                for name, text in given.items()
                if text != present.get(name, "")
            }
            self.dismiss(Region("search", changed) if changed else None)
            return
        # what was marked of other levels' parameters stays
        others = {name: text for name, text in present.items() if name not in given}
        domains = {**others, **{name: text for name, text in given.items() if text}}
        self.dismiss(Region(self.purpose, domains) if domains != present else None)

    @on(Button.Pressed, "#clear")
    def clear(self) -> None:
        """Nothing is restricted any more."""
        present = self.present[self.purpose]
        if not present:
            self.dismiss(None)
        elif self.purpose == "search":
            self.dismiss(Region("search", dict.fromkeys(present, search.DEFAULT)))
        else:
            self.dismiss(Region(self.purpose, {}))

    @on(Button.Pressed, "#no")
    def leave(self) -> None:
        """Leave all as it is."""
        self.dismiss(None)
