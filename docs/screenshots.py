"""Make the README's pictures from the session of `lcsearch demo`.

python docs/screenshots.py
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["TEXTUAL_ANIMATIONS"] = "none"

from textual.pilot import Pilot

from lcsearch.tui import demo
from lcsearch.tui.app import Console
from lcsearch.tui.widgets.chart import Chart

SIZE = (120, 36)
PATIENCE = 300.0
PICTURES = {"workbench": "2", "tradeoff": "4", "trust": "5"}
"""Screens, and the keys that show them."""


async def main(folder: Path) -> None:
    """Open the recording, go through its screens, and keep what is on each."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        demo.record(home)
        settings = home / "settings.json"
        console = Console(home, demo.NAME, sessions=demo.Showcase(home), settings_file=settings)
        async with console.run_test(size=SIZE) as pilot:
            for name, key in PICTURES.items():
                await ranked(pilot)
                await pilot.press(key)
                await drawn(pilot)
                path = folder / f"{name}.svg"
                picture = console.export_screenshot(title="lcsearch demo")
                path.write_text(picture, encoding="utf-8")
                print(path)


async def ranked(pilot: Pilot[int]) -> None:
    """Until the ranking is there."""
    await until(
        pilot,
        lambda: pilot.app.session.ranking is not None and not pilot.app.session.ranking_running,
    )


async def drawn(pilot: Pilot[int]) -> None:
    """Until the screen's chart is, and what is worked out beside it."""

    def done() -> bool:
        working = any(w.group == "latest" and not w.is_finished for w in pilot.app.workers)
        return not working and all(c.plot is not None for c in pilot.app.screen.query(Chart))

    await until(pilot, done)


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Let the console work until something holds."""
    waited = 0.0
    while not condition():
        await pilot.pause(0.1)
        waited += 0.1
        if waited > PATIENCE:
            raise SystemExit(f"not ready within {PATIENCE:.0f} s.")
    await pilot.pause(0.3)


if __name__ == "__main__":
    asyncio.run(main(Path(__file__).parent))
