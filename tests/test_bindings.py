"""The keys that a person can set: all are named, and what could never be pressed is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcsearch.tui import bindings
from lcsearch.tui.app import Console
from lcsearch.tui.dialogs.failure import FailureDialog
from lcsearch.tui.settings import Settings, SettingsError, load, save

from .conftest import lcsearch
from .consoles import console, press, until
from .fakes import FakeClient, FakeHome, make_snapshot


def test_every_key_that_can_be_set_is_listed_with_what_it_does(home: Path) -> None:
    listed = json.loads(lcsearch("config", "keys", "--json")[0])
    by_name = {one["name"]: one for one in listed}
    assert len(by_name) == len(listed)
    assert by_name["decide.accept"]["keys"] == "a"
    assert {"quit", "table.down", "help.close", "slider.more", "sessions.new"} <= set(by_name)
    assert all(one["what"] for one in listed)
    lines = lcsearch("config", "keys")[0].splitlines()
    assert [line.split()[0] for line in lines] == [one["name"] for one in listed]


def test_a_key_is_set_shown_and_brought_back(home: Path) -> None:
    assert "keys.decide.accept = f2." in lcsearch("config", "set", "keys.decide.accept", "f2")[1]
    listed = json.loads(lcsearch("config", "keys", "--json")[0])
    (accept,) = [one for one in listed if one["name"] == "decide.accept"]
    assert (accept["keys"], accept["default"]) == ("f2", "a")
    assert "default back" in lcsearch("config", "set", "keys.decide.accept", "")[1]
    assert load(home / "settings.json").keys == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("keys.decide.acept", "f2", "config keys"),
        ("keys.decide.accept", "entre", "'entre' is no key"),
        ("keys.decide.accept", "a,,b", "'' is no key"),
        ("keys.decide.accept", "strg+a", "'strg+a' is no key"),
        ("keys.decide.accept", "f25", "'f25' is no key"),
        ("keys.decide.accept", "ctrl+T", "'ctrl+T' is no key"),
        ("keys.decide.accept", "shift+a", "'shift+a' is no key"),
        ("keys.decide.accept", "ctrl+m", "'ctrl+m' is no key"),
        ("keys.decide.accept", "ctrl+ctrl+a", "'ctrl+ctrl+a' is no key"),
        ("keys.decide.accept", "<any>", "'<any>' is no key"),
    ],
)
def test_what_could_never_be_pressed_is_refused_and_not_kept(
    home: Path, name: str, value: str, words: str
) -> None:
    err = lcsearch("config", "set", name, value, code=2)[1]
    assert words in err
    assert name in err
    assert not (home / "settings.json").exists()


@pytest.mark.parametrize(
    "keys", ["a", "A", "é", "?", "question_mark", "+", "plus", "ctrl+t", "shift+f3", "enter, j"]
)
def test_what_can_be_pressed_is_taken(keys: str) -> None:
    bindings.check({"decide.accept": keys}, Console)


def test_a_key_that_another_has_is_told(home: Path) -> None:
    err = lcsearch("config", "set", "keys.decide.accept", "x")[1]
    assert "x is also the key of decide.reject (" in err
    # a widget's keys may be at hand on every screen; one screen's are not at hand on another
    assert "table.down" in lcsearch("config", "set", "keys.decide.accept", "j")[1]
    assert "also" not in lcsearch("config", "set", "keys.sessions.new", "x")[1]
    # what was free a moment ago
    lcsearch("config", "set", "keys.decide.accept", "b")
    assert "decide.accept" in lcsearch("config", "set", "keys.decide.reject", "b")[1]


def test_by_default_no_two_bindings_of_one_screen_have_one_key() -> None:
    known = list(bindings.settable(Console).values())
    shared = [
        (one.name, other.name)
        for place, one in enumerate(known)
        for other in known[:place]
        if set(one.keys.split(",")) & set(other.keys.split(","))
        and any(issubclass(a, b) or issubclass(b, a) for a in one.classes for b in other.classes)
    ]
    assert shared == []


async def test_another_key_decides(home: Path) -> None:
    save(home / "settings.json", Settings(keys={"decide.accept": "f2"}))
    client = FakeClient(make_snapshot())
    async with console(client) as pilot:
        await press(pilot, "a")
        assert client.made("accept") == []
        await press(pilot, "f2")
        await until(pilot, lambda: len(client.made("accept")) == 1)


async def test_a_file_that_names_no_binding_is_told_when_the_console_opens(home: Path) -> None:
    save(home / "settings.json", Settings(keys={"decide.acept": "f2"}))
    async with console(sessions=FakeHome({})) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureDialog))
        screen = pilot.app.screen
        assert isinstance(screen, FailureDialog)
        assert "keys.decide.acept: no binding has this name" in screen.text


def test_names_are_those_of_a_settings_file() -> None:
    with pytest.raises(SettingsError, match=r"keys\.nothing"):
        bindings.check({"nothing": "a"}, Console)
