"""Sessions that were deleted from the console, and can be brought back until it is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.app import App

from .format import sentence
from .open_session import OpenSession


@dataclass
class Deletion:
    """A session that is on its way to the trash, or there.

    token: what brings it back, None until it is there.  wanted_back: asked for meanwhile.
    """

    name: str
    token: object = None
    wanted_back: bool = False


class Trash:
    """What was deleted last comes back first."""

    def __init__(
        self,
        app: App[Any],
        session: OpenSession,
        *,
        how: Callable[[], str],
        changed: Callable[[], object],
    ) -> None:
        """how: says which keys bring a session back.  changed: called once one has gone to the
        trash, or is back.
        """
        self._app = app
        self._session = session
        self._how = how
        self._changed = changed
        self._deleted: list[Deletion] = []

    def __bool__(self) -> bool:
        """Whether there is a session to bring back."""
        return bool(self._deleted)

    def delete(self, name: str) -> None:
        """Move a session to the trash."""
        from ..sessions.errors import StoreError

        if any(deletion.name == name and deletion.token is None for deletion in self._deleted):
            return  # the key was pressed twice
        deletion = Deletion(name)
        self._deleted.append(deletion)
        snapshot = self._session.snapshot
        if snapshot is not None and snapshot.session.name == name:
            self._session.close()

        def work() -> None:
            try:
                token = self._session.sessions.delete(name)
            except StoreError as error:
                self._app.call_later(self._not_deleted, deletion, str(error))
                return
            self._app.call_later(self._is_deleted, deletion, token)

        self._app.run_worker(work, thread=True, group="delete")

    def _is_deleted(self, deletion: Deletion, token: object) -> None:
        deletion.token = token
        if deletion.wanted_back:
            self._bring_back(deletion)
            return
        self._app.notify(f"{deletion.name} is deleted. {self._how()}", markup=False)
        self._changed()

    def found(self, name: str, token: object) -> None:
        """Somebody else deleted a session that was open here."""
        self._deleted.append(Deletion(name, token))

    def _not_deleted(self, deletion: Deletion, reason: str) -> None:
        if not deletion.wanted_back:
            self._deleted.remove(deletion)
        self._session.fail("Not deleted", reason)

    def restore(self) -> None:
        """Bring the session deleted last back."""
        if not self._deleted:
            self._app.notify("Nothing to bring back.")
            return
        deletion = self._deleted.pop()
        deletion.wanted_back = True
        if deletion.token is not None:  # else it comes back as soon as it is gone
            self._bring_back(deletion)

    def _bring_back(self, deletion: Deletion) -> None:
        from ..sessions.errors import StoreError

        def work() -> None:
            try:
                self._session.sessions.restore(deletion.token)
            except StoreError as error:
                self._app.call_later(self._not_restored, deletion, str(error))
                return
            told = self.with_waits(deletion.name, "is back")
            self._app.call_later(self._app.notify, told, markup=False)
            self._app.call_later(self._changed)

        self._app.run_worker(work, thread=True, group="delete")

    def with_waits(self, name: str, what: str) -> str:
        """What became of a session, and what waits in it; takes long: from a thread."""
        from ..sessions.errors import StoreError

        try:
            waits = self._session.sessions.waits(name)
        except StoreError as error:
            waits = sentence(str(error))
        return f"{name} {what}. {waits}".rstrip()

    def _not_restored(self, deletion: Deletion, reason: str) -> None:
        deletion.wanted_back = False
        self._deleted.append(deletion)
        self._session.fail("Not brought back", reason)
