"""Text that asks for a layout only where its height changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widgets import Static

from lcsearch.tui.widgets.text import Text

Held = tuple[Pilot[None], Text, list[bool]]
"""What a console is driven by, its text, and whether that asked for a layout, each time."""


class Holder(App[None]):
    """A text over another widget."""

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Text("one", id="text")
            yield Static("below", id="below")


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Held]:
    app = Holder()
    async with app.run_test(size=(20, 10)) as pilot:
        await pilot.pause()
        text = app.query_one("#text", Text)
        asked: list[bool] = []
        refresh = text.refresh

        def counted(*regions: Region, layout: bool = False, **given: bool) -> Text:
            asked.append(layout)
            return refresh(*regions, layout=layout, **given)

        monkeypatch.setattr(text, "refresh", counted)
        yield pilot, text, asked


async def test_the_same_words_are_not_painted_again(held: Held) -> None:
    _, text, asked = held
    text.update("one")
    assert asked == []
    text.update(Content("one"))
    text.update(Content("one"))
    assert asked == [False]  # a text is not a content, but two contents are the same


async def test_other_words_of_the_same_height_are_painted_where_they_stand(held: Held) -> None:
    pilot, text, asked = held
    text.update("two")
    assert asked == [False]
    await pilot.pause()
    assert str(text.render()) == "two"


async def test_other_colours_are_other_words(held: Held) -> None:
    _, text, asked = held
    text.update(Content("one"))
    asked.clear()
    text.update(Content.styled("one", "bold"))
    assert asked == [False]


@pytest.mark.parametrize(
    "words", ["one\ntwo\nthree", "some words that take a second line, a third"]
)
async def test_more_lines_push_down_what_is_below(held: Held, words: str) -> None:
    pilot, text, asked = held
    text.update(words)
    assert True in asked
    await pilot.pause()
    await pilot.pause()
    assert text.size.height == 3
    assert pilot.app.query_one("#below").region.y == 3
    text.update("one")
    await pilot.pause()
    await pilot.pause()
    assert pilot.app.query_one("#below").region.y == 1


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ({"max_height": 2}, "one\ntwo\nthree\nfour"),
        ({"max_height": 4, "padding": (1, 0)}, "one\ntwo\nthree\nfour"),
        ({"min_height": 3}, "one\ntwo"),
        ({"height": 3}, "one\ntwo\nthree\nfour"),
    ],
)
async def test_a_height_that_cannot_change_asks_for_no_layout(
    held: Held, style: dict[str, int | tuple[int, int]], words: str
) -> None:
    pilot, text, asked = held
    for name, value in style.items():
        setattr(text.styles, name, value)
    text.update(words)
    await pilot.pause()
    await pilot.pause()
    height = text.size.height
    asked.clear()
    text.update(f"{words}!")
    assert asked == [False]
    text.update("\n".join([words, "more", "of it"]))
    await pilot.pause()
    await pilot.pause()
    assert (text.size.height == height) == ("min_height" not in style)
