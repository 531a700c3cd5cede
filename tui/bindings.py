"""The console's keys that can be set: which there are, what they do, and what may be set."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, format_key

from . import dialogs, screens, widgets
from .settings import SettingsError

MODIFIERS = ("ctrl", "alt", "shift", "super", "hyper", "meta")
NEVER_SENT = ("ctrl+i", "ctrl+m", Keys.Any.value)
"""Two that a terminal sends as tab and enter, and Textual's word for all of them."""


@dataclass(frozen=True)
class Settable:
    """A binding: the name that `keys.NAME` sets, its keys by default, what it does, and the
    classes that have it.
    """

    name: str
    keys: str
    what: str
    classes: tuple[type[DOMNode], ...]


def settable(app: type[DOMNode]) -> dict[str, Settable]:
    """Every binding of the console `app` that can be set, by its name, in the order of names."""
    found: dict[str, Settable] = {}
    for node in _nodes(app):
        for binding in node.__dict__.get("BINDINGS", ()):
            if not isinstance(binding, Binding) or binding.id is None:
                continue
            known = found.get(binding.id)
            what = known.what if known else binding.tooltip or binding.description
            classes = (*known.classes, node) if known else (node,)
            found[binding.id] = Settable(binding.id, binding.key, what, classes)
    return dict(sorted(found.items()))


def check(keys: Mapping[str, str], app: type[DOMNode]) -> None:
    """Raises SettingsError for a binding that there is not, or a key that there is not."""
    known = settable(app)
    for name, wanted in keys.items():
        if name not in known:
            raise SettingsError(
                f"keys.{name}: no binding has this name. `lcsearch config keys` lists them; "
                f"`lcsearch config set keys.{name} ''` takes it out of the settings."
            )
        for key in _split(wanted):
            if not _exists(key):
                raise SettingsError(
                    f"keys.{name} = {wanted!r}: {key!r} is no key. Use a character, or a name "
                    "such as enter, f2, pageup or ctrl+t; several are separated by commas."
                )


def clashes(keys: Mapping[str, str], name: str, app: type[DOMNode]) -> list[str]:
    """Sentences about the keys set for one binding that another one has as well, and that may be
    at hand at the same time.

    keys: all that are set.  What two bindings share by default is meant, and not told.
    """
    known = settable(app)
    mine = known[name]
    found = []
    for other in known.values():
        both = _names(keys.get(name) or mine.keys) & _names(keys.get(other.name) or other.keys)
        both -= _names(mine.keys) & _names(other.keys)
        if other.name == name or not both or not _together(mine, other):
            continue
        found.append(
            f"{', '.join(sorted(both))} is also the key of {other.name} ({other.what}): where "
            "both are at hand, one of them does not answer to it."
        )
    return found


def _nodes(app: type[DOMNode]) -> Iterator[type[DOMNode]]:
    """The console and every screen, dialog and widget of it."""
    for room in (screens, dialogs, widgets):
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)
    yield app
    own = app.__module__.rpartition(".")[0]
    waiting: list[type[DOMNode]] = [DOMNode]
    seen = {DOMNode, app}
    while waiting:
        for node in waiting.pop().__subclasses__():
            if node not in seen:
                seen.add(node)
                waiting.append(node)
                if node.__module__.startswith(f"{own}."):
                    yield node


def _together(one: Settable, other: Settable) -> bool:
    """Whether both may be at hand at once: the console's own and a widget's may be anywhere, those
    of two screens or dialogs only where one is made from the other.
    """
    return any(
        _everywhere(mine) or _everywhere(theirs) or issubclass(mine, theirs)
        or issubclass(theirs, mine)
        for mine in one.classes
        for theirs in other.classes
    )  # fmt: skip


def _everywhere(node: type[DOMNode]) -> bool:
    return not node.__module__.startswith((f"{screens.__name__}.", f"{dialogs.__name__}."))


def _split(keys: str) -> list[str]:
    return [key.strip() for key in keys.split(",")]


def _names(keys: str) -> set[str]:
    """Keys as Textual names them, so that `?` and `question_mark` are one."""
    return {
        key if len(key) != 1 else next(iter(Binding.make_bindings([(key, "", "")]))).key
        for key in _split(keys)
    }


def _exists(key: str) -> bool:
    *modifiers, plain = key.split("+") if len(key) > 1 else [key]
    if any(modifier not in MODIFIERS for modifier in modifiers) or key in NEVER_SENT:
        return False
    if len(set(modifiers)) < len(modifiers):
        return False
    if len(plain) == 1 and modifiers and (plain != plain.lower() or modifiers == ["shift"]):
        return False  # a terminal sends ctrl+t, and A
    return plain in set(Keys) or len(format_key(plain)) == 1
