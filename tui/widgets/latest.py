"""The newest of many requests, computed off the UI loop, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from textual.dom import DOMNode

from ...sessions.errors import StoreError
from ..format import sentence

Result = TypeVar("Result")


def or_why(call: Callable[[], Result]) -> Result | str:
    """What a call gives, or why it was refused, as a sentence: for a request to `Latest`."""
    try:
        return call()
    except StoreError as error:
        return sentence(str(error))


class Latest(Generic[Result]):
    """Runs the newest request in a thread and drops the ones that it overtook.

    A thread cannot be cancelled: a person who holds a key down would start dozens of them.
    """

    def __init__(self, node: DOMNode, done: Callable[[Result], object]) -> None:
        self._node = node
        self._done = done
        self._next: Callable[[], Result] | None = None
        self.busy = False

    def ask(self, call: Callable[[], Result]) -> None:
        """Compute this as soon as what is being computed is ready."""
        self._next = call
        if not self.busy:
            self._start()

    def drop(self) -> None:
        """Forget what waits."""
        self._next = None

    def _start(self) -> None:
        call, self._next = self._next, None
        assert call is not None
        self.busy = True

        def run() -> Any:
            result = call()
            self._node.call_later(self._finish, result)

        self._node.run_worker(run, thread=True, group="latest", exit_on_error=True)

    def _finish(self, result: Result) -> None:
        self.busy = False
        if self._next is not None:
            self._start()
        else:
            self._done(result)
