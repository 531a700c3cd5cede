"""A real terminal for tests: tmux on a socket of its own."""

from __future__ import annotations

import os
import subprocess
import time
import uuid

from .conftest import PATIENCE, need


class Terminal:
    """One command in one tmux window; keys go in, the screen is read."""

    def __init__(self, command: str, width: int = 120, height: int = 40) -> None:
        self._tmux = [need("tmux"), "-L", f"lcsearch-{uuid.uuid4().hex[:8]}", "-f", "/dev/null"]
        # the shell stays after the command, so that what is left on the terminal can be seen
        script = f"{command}; echo exit status $?; exec sleep 600"
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), script)

    def _run(self, *words: str) -> str:
        # the size is the window's, not what the tests' own surroundings say
        surroundings = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        done = subprocess.run(
            [*self._tmux, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
            env=surroundings,
        )
        return done.stdout

    def keys(self, *names: str) -> None:
        """Press keys, by tmux's names."""
        for name in names:
            self._run("send-keys", name)
            time.sleep(0.02)  # a person's fingers: an escape is told from the start of a sequence

    def type(self, text: str) -> None:
        """Type text."""
        self._run("send-keys", "-l", text)

    def screen(self) -> str:
        """What is on the screen."""
        return self._run("capture-pane", "-p")

    def press(self, key: str, words: str, seconds: float = PATIENCE) -> None:
        """Press a key and wait until the line above the last one, where the console describes what
        has the focus, says `words`: keys typed ahead go to whatever has the focus then.
        """
        self.keys(key)
        deadline = time.monotonic() + seconds
        while words not in self.screen().rstrip().splitlines()[-2]:
            if time.monotonic() > deadline:
                raise AssertionError(f"{key} does not lead to {words!r}:\n{self.screen()}")
            time.sleep(0.02)

    def flags(self) -> str:
        """Alternate screen, any mouse mode, cursor: `0 0 1` is a terminal as it was."""
        return self._run(
            "display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}"
        ).strip()

    def wait(self, *words: str, seconds: float = PATIENCE) -> str:
        """Wait until the screen shows one of `words`; the screen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            screen = self.screen()
            if any(word in screen for word in words):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{words} did not appear within {seconds} s:\n{self.screen()}")

    def wait_gone(self, *words: str, seconds: float = PATIENCE) -> str:
        """Wait until the screen shows none of `words`; the screen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            screen = self.screen()
            if not any(word in screen for word in words):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{words} did not go within {seconds} s:\n{self.screen()}")

    def settle(self, other_than: str = "", seconds: float = PATIENCE) -> str:
        """Wait until the screen stands still for a moment: what was opened has its focus.

        other_than: the screen before the key that changes it.
        """
        deadline = time.monotonic() + seconds
        before, since = self.screen(), time.monotonic()
        while time.monotonic() < deadline:
            screen = self.screen()
            if screen != before:
                before, since = screen, time.monotonic()
            elif time.monotonic() - since > 0.7 and screen != other_than:
                return screen
            time.sleep(0.05)
        raise AssertionError(f"the screen does not stand still:\n{before}")

    def close(self) -> None:
        """End tmux and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)
