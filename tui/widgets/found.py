"""What was found in a data set: looked at as soon as its place is written, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import events, work
from textual.widgets import Static

from .. import images

if TYPE_CHECKING:
    from textual.timer import Timer

    from ...engine.protocol import Ready
    from ...sessions.records import DataSource

    Look = Callable[[DataSource, Callable[[int, int], None], threading.Event], Ready]

STILL_SECONDS = 0.6
"""Nothing is looked at while somebody types: after so long without a key."""
BEAT_SECONDS = 0.2
CLASSES = 10
"""That have a bar."""


class Found(Static):
    """Nothing; or how far the reading is; or what was found; or why it cannot be used.

    look: reads a data set, in a thread: told what to tell progress, and the event that is set when
    the answer is wanted no longer.
    """

    def __init__(self, look: Look) -> None:
        super().__init__(id="found")
        self._look = look
        self._wanted: DataSource | None = None
        self._cancelled = threading.Event()
        self._still: Timer | None = None
        self._beat: Timer | None = None
        self._pace = images.Pace()
        self._answer: Ready | None = None

    def on_mount(self) -> None:
        """Nothing is wanted yet."""
        self.display = False
        self._beat = self.set_interval(BEAT_SECONDS, self._progress, pause=True)

    def on_unmount(self) -> None:
        """Nobody is here to see it."""
        self._cancelled.set()

    def want(self, data: DataSource | None) -> None:
        """Look at this data set, and at no other any more; None: at nothing."""
        if data == self._wanted:
            return
        self._wanted = data
        self.stop()
        self._answer = None
        self.display = False
        if data is not None:
            self._still = self.set_timer(STILL_SECONDS, self._begin)

    def stop(self) -> None:
        """Whatever is being read is wanted no longer."""
        self._cancelled.set()
        for timer in (self._still, self._beat):
            if timer is not None:
                timer.pause()

    def _begin(self) -> None:
        assert self._wanted is not None
        self._cancelled = threading.Event()
        self._pace = images.Pace()
        self.remove_class("problem")
        self.display = True
        self._progress()
        if self._beat is not None:
            self._beat.resume()
        self._read(self._wanted, self._pace, self._cancelled)

    @work(thread=True, group="look", exclusive=True, exit_on_error=True)
    def _read(self, data: DataSource, pace: images.Pace, cancelled: threading.Event) -> None:
        from ...engine.client.images import Cancelled, SetupError
        from ...sessions.errors import StoreError

        answer: Ready | str
        try:
            answer = self._look(data, pace.told, cancelled)
        except Cancelled:
            return
        except (SetupError, StoreError, OSError) as error:
            answer = str(error)
        if not cancelled.is_set():
            self.call_later(self._show, data, answer)

    def _show(self, data: DataSource, answer: Any) -> None:
        if data != self._wanted:
            return  # another one is wanted by now
        if self._beat is not None:
            self._beat.pause()
        if isinstance(answer, str):
            self.add_class("problem")
            self.update(Text(f"✗ {answer}"))
            return
        self._answer = answer
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        """As many images beside each other as fit now."""
        if self._answer is not None:
            self._draw()

    def _draw(self) -> None:
        assert self._answer is not None
        summary = self._answer.summary
        lines = [Text(images.in_brief(summary), "bold"), Text(images.splits(summary))]
        lines += [Text(line) for line in images.bars(summary, CLASSES)]
        lines += [Text(f"· {note}") for note in summary.notes]
        width = self.content_size.width or self.app.size.width - 6
        lines += images.side_by_side(self._answer.pictures, summary, width)
        self.update(Text("\n").join(lines))

    def _progress(self) -> None:
        self.update(Text(f"… {self._pace.words() or 'looking at what is there'}"))
