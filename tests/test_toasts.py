"""Toasts stand where they cover nothing that is needed: no level, no figure, no key, no button."""

from __future__ import annotations

import pytest
from textual.widgets import Button
from textual.widgets._toast import ToastRack

from lcsearch.tui.app import Console
from lcsearch.tui.widgets.frame import Edge
from lcsearch.tui.widgets.keys import KeyBar

from .consoles import settled, until
from .fakes import NOW, FakeClient, FakeHome, make_snapshot

SHORT = "Copied."
LONG = (
    "Level 2 is left, trial 17 carried forward: what can still be gained here, 3.1e-4, is below "
    "the noise of a measurement, 2.0e-3."
)
HERE = {
    "workbench": ("2",), "history": ("3",), "tradeoff": ("4",), "trust": ("5",), "best": ("6",),
    "sessions": ("1",), "set-up": ("1", "n"), "edit": ("2", "e"), "help": ("2", "question_mark"),
    "autopilot": ("2", "p"), "wc": ("2", "w"), "quit": ("2", "q"),
}  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["narrow", "wide"])
@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
async def test_a_toast_covers_nothing(size: tuple[int, int], text: str) -> None:
    sessions = FakeHome({"fashion": FakeClient(make_snapshot(failed=1))})
    app = Console(sessions.home, "fashion", sessions=sessions, clock=lambda: NOW, read_seconds=0.05)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(
            pilot, lambda: app.current_mode == "workbench" and not app.session.ranking_running
        )
        for name, keys in HERE.items():
            for key in keys:
                await pilot.press(key)
                await settled(pilot)
            app.clear_notifications()
            await until(pilot, lambda: not app.screen.query("Toast"))
            app.notify(text)
            await until(pilot, lambda: bool(app.screen.query("Toast")))
            await until(pilot, lambda: app.screen.query("Toast").first().region.height > 0)
            await pilot.pause()
            screen = app.screen
            toast = screen.query("Toast").first().region
            assert screen.region.contains_region(toast), name
            # what is said is said whole
            assert toast.width * toast.height > len(text), name
            for widget in screen.query("*"):
                system = any(isinstance(node, ToastRack) for node in widget.ancestors_with_self)
                whole = not widget.children or widget.has_class("dialog")
                if system or not whole or not widget.region:
                    continue
                if isinstance(widget, Edge) and widget.kind == "bottom" and not widget.title_text:
                    continue  # a line of the frame
                seen = screen.find_widget(widget).visible_region
                assert not seen.intersection(toast), f"{name}: {widget!r}"
            for bar in screen.query(KeyBar):
                assert bar.region.bottom == size[1], name
            for button in screen.query(Button):
                assert screen.region.contains_region(button.region), name
            if screen.is_modal or name == "set-up":
                await pilot.press("escape")
                await settled(pilot)
            if name in ("sessions", "set-up"):
                await pilot.press("enter")
                await until(pilot, lambda: app.current_mode == "workbench")
