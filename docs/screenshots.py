"""Make the README's picture from a real session.

python docs/screenshots.py NAME          # a session under $LCSEARCH_HOME
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

os.environ["TEXTUAL_ANIMATIONS"] = "none"

from lcsearch.sessions.store import home
from lcsearch.tui.app import Console

SIZE = (120, 40)
PATIENCE = 60.0


async def picture(name: str, path: Path) -> None:
    """Open the session's workbench, wait for its ranking, and keep what is on the screen."""
    console = Console(home(), name)
    async with console.run_test(size=SIZE) as pilot:
        waited = 0.0
        while console.ranking is None:
            await pilot.pause(0.1)
            waited += 0.1
            if waited > PATIENCE:
                raise SystemExit(f"session {name}: not ranked within {PATIENCE:.0f} s.")
        await pilot.pause(1.0)
        path.write_text(console.export_screenshot(title=f"lcsearch tui {name}"), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    asyncio.run(picture(sys.argv[1], Path(__file__).with_name("workbench.svg")))
