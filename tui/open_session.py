"""The session that the console has open: what it holds, its ranking, what is decided in it.

Whatever takes long runs in threads of the app; the screens, which are given the session, are told
when there is something new.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from textual.app import App
from textual.dom import DOMNode

from .format import sentence, turn
from .ports import Client, Home

if TYPE_CHECKING:
    from ..engine.advisor.ranking import Ranking
    from ..engine.tasks.measure import Measure
    from ..sessions.records import Delivery, Session
    from ..sessions.snapshot import Snapshot

MISREAD_SECONDS = 30.0
"""How long a warning about misread images stands: it is read once, and then known."""
CANDIDATES = 24
"""Candidates shown: more than a tall terminal holds."""

Key = tuple[object, ...]
Decided = TypeVar("Decided")
Fail = Callable[[str, str], None]
"""Shows what went wrong: a title, and a text that can be copied."""


@dataclass(frozen=True)
class Lost:
    """Why a session cannot be read any more.

    deleted: somebody else moved it to the trash; token: what brings it back, None for nothing.
    """

    name: str
    reason: str
    deleted: bool = False
    token: object = None


class OpenSession:
    """The one session that is open, if any; what it holds is None where there is none.

    snapshot: what it held when it was last read.  ranking: the last one, None until the first is
    ready.  client: what is asked of the engine.  look: domains that are looked at alone.
    """

    def __init__(
        self,
        app: App[Any],
        sessions: Home,
        *,
        clock: Callable[[], datetime],
        read_seconds: float,
        fail: Fail,
        key_of: Callable[[str, str], str],
        opened: Callable[[], Awaitable[object]],
        lost: Callable[[Lost], Awaitable[object]],
    ) -> None:
        """read_seconds: how often the reader looks for news.  key_of: the key of a binding as a
        person has set it, else the one given.  opened: called once there is a session to show;
        lost: once it cannot be read any more.
        """
        self.sessions = sessions
        self.clock = clock
        self.fail = fail
        self.key_of = key_of
        self.client: Client | None = None
        self.snapshot: Snapshot | None = None
        self.ranking: Ranking | None = None
        self.ranking_running = False
        self.believed: Ranking | None = None
        """The last ranking of the session's own domains: what it recommends rests on it."""
        self.look: dict[str, str] = {}
        self.opening: str | None = None
        self.undo_named: tuple[int, int] | None = None
        """The decision that undoing again takes back, and the trial before which it came."""
        self._not_timed = ""
        """Why latency is not measured, as it was said."""
        self._app = app
        self._opened_call, self._lost_call = opened, lost
        self._read_seconds = read_seconds
        self._listeners: WeakKeyDictionary[DOMNode, list[Callable[[], object]]]
        self._listeners = WeakKeyDictionary()
        self._asked = 0
        """How often a session was asked for."""
        self._wake = threading.Event()
        self._wanted: tuple[Key, float] | None = None
        self._ranked: tuple[Key, float] | None = None

    @property
    def measures(self) -> Sequence[Measure]:
        """What a network costs, in the session that is open or would be made."""
        from ..engine.tasks.task import DEFAULT, task_named, task_of

        task = task_named(DEFAULT) if self.snapshot is None else task_of(self.snapshot.session)
        return task.measures

    def listen(self, node: DOMNode, callback: Callable[[], object]) -> None:
        """Call back whenever something here is new, as long as the node is there."""
        self._listeners.setdefault(node, []).append(callback)

    def _tell(self) -> None:
        if not self._app.is_running:
            return  # it is closing: screens that still stand have lost their widgets
        with self._app.batch_update():
            for node, callbacks in list(self._listeners.items()):
                if node.is_attached:
                    for callback in callbacks:
                        callback()

    def _work(self, call: Callable[[], None], group: str, *, exclusive: bool = False) -> None:
        self._app.run_worker(call, thread=True, group=group, exclusive=exclusive)

    # -- beginning and end ----------------------------------------------------------------------

    # what a thread works on is taken when the key is pressed, and handed to it: by the time that
    # it begins another session may be open, and the cursor elsewhere

    def open(self, name: str) -> None:
        """Open a session, and start its engine where work waits for one.

        Of several the one that was asked for last is shown.
        """
        from ..sessions.errors import StoreError

        self._asked += 1
        asked = self._asked

        def work() -> None:
            from ..engine.client.images import misread

            try:
                client = self.sessions.open(name)
                snapshot = client.refresh()
            except StoreError as error:
                self._app.call_later(self._not_opened, name, str(error))
                return
            if asked != self._asked:
                client.close()
                return
            self._app.call_later(self._opened, client, snapshot, asked)
            if told := misread(snapshot.session.data):
                self._app.call_later(self._misread, told)
            waiting = any(trial.pending for trial in snapshot.trials)
            waiting = waiting or any(one.pending for one in snapshot.deliveries)
            # where somebody stopped the engine, or brought the session from elsewhere, looking is
            # safe
            waiting = waiting or snapshot.session.autopilot is not None
            if waiting and snapshot.engine.state != "stopped" and not snapshot.read_only:
                self._engine_starts(client)

        self.opening = name
        self._work(work, "open", exclusive=True)

    def _not_opened(self, name: str, reason: str) -> None:
        self.opening = None
        self.fail(f"{name} cannot be opened", reason)
        self._tell()

    def _misread(self, told: Sequence[str]) -> None:
        """Its images are read as an earlier version read them, and not as they are meant."""
        words_of_it = " ".join(map(sentence, told))
        self._app.notify(words_of_it, severity="warning", timeout=MISREAD_SECONDS, markup=False)

    async def _opened(self, client: Client, snapshot: Snapshot, asked: int) -> None:
        if asked != self._asked:
            client.close()
            return
        self.close()
        self.opening = None
        self.client = client
        self.snapshot = snapshot
        self._want_ranking()
        self._read(client)
        await self._opened_call()

    def close(self) -> None:
        """Let go of the session; what trains goes on."""
        client, self.client = self.client, None
        self._wake.set()
        self._wanted = self._ranked = None
        self.look = {}
        self.undo_named = None
        if client is not None:
            client.close()
            self.ranking = self.believed = self.snapshot = None

    # -- news -----------------------------------------------------------------------------------

    def _read(self, client: Client) -> None:
        """Look for news until the session is closed, and tell of them."""
        from ..sessions.errors import Deleted, StoreError

        last = self.snapshot

        def work() -> None:
            nonlocal last
            while self.client is client:
                self._wake.wait(self._read_seconds)
                self._wake.clear()
                if self.client is not client:
                    return
                try:
                    snapshot = client.refresh()
                except Deleted as error:
                    token = self.sessions.trashed(client.folder.name)
                    lost = Lost(client.folder.name, str(error), True, token)
                    self._app.call_later(self.leave_unreadable, client, lost)
                    return
                except StoreError as error:
                    lost = Lost(client.folder.name, str(error))
                    self._app.call_later(self.leave_unreadable, client, lost)
                    return
                if snapshot is not last:
                    last = snapshot
                    self._app.call_later(self.take_snapshot, client, snapshot)

        self._work(work, "read", exclusive=True)

    def take_snapshot(self, client: Client, snapshot: Snapshot) -> None:
        """The session of a client holds something new; nothing where another is open by now."""
        if client is not self.client:
            return
        before = self.snapshot
        if before is not None and before.session.level != snapshot.session.level:
            self.look = {}
        for decision in snapshot.decisions[0 if before is None else len(before.decisions) :]:
            told = turn(decision)
            if told is not None:
                self._app.notify(sentence(told))
        earlier = () if before is None else before.deliveries
        at_work = {one.number for one in earlier if one.open}
        for delivery in snapshot.deliveries:
            if delivery.number in at_work and not delivery.open:
                self._delivered(delivery, snapshot.session)
        self.snapshot = snapshot
        self._tell()
        self._want_ranking()

    def _delivered(self, delivery: Delivery, session: Session) -> None:
        """Tell of a final training that is over."""
        from .deliveries import ended

        if delivery.state == "failed":
            self.fail(f"Trial {delivery.trial} was not trained to the end", delivery.message)
            return
        # a folder's name may hold brackets
        self._app.notify(ended(delivery, session), markup=False)

    async def leave_unreadable(self, client: Client, lost: Lost) -> None:
        """A session that cannot be read any more is closed, if it is still the one open."""
        if client is not self.client:
            return
        self.close()
        await self._lost_call(lost)

    # -- ranking --------------------------------------------------------------------------------

    def look_at(self, domains: dict[str, str]) -> None:
        """Rank these domains alone; the session stays as it is.  Nothing: its own ones again."""
        self.look = domains
        self._want_ranking()

    def _want_ranking(self) -> None:
        from ..engine.search import ranking_key  # the first frame does not wait for it

        snapshot, client = self.snapshot, self.client
        if snapshot is None or client is None:
            return
        look = dict(self.look)
        self._wanted = ((*ranking_key(snapshot), tuple(look.items())), snapshot.session.wc)
        if self._wanted != self._ranked and not self.ranking_running:
            self.ranking_running = True
            same = self._ranked is not None and self._ranked[0] == self._wanted[0]
            self._rank(client, snapshot, self._wanted, look, self.ranking if same else None)
            self._tell()

    def _rank(
        self,
        client: Client,
        snapshot: Snapshot,
        wanted: tuple[Key, float],
        look: dict[str, str],
        before: Ranking | None,
    ) -> None:
        """Rank anew, or only weigh `before` anew where nothing but w_c has changed."""
        from ..engine import search
        from ..engine.tasks.space import Exhausted
        from ..sessions.errors import StoreError

        def work() -> None:
            ranking, reason = None, ""
            try:
                if before is not None:
                    ranking = before.reweighted(wanted[1])
                else:
                    shown = search.look(snapshot, domains=look) if look else snapshot
                    ranking = client.rank(shown, count=CANDIDATES)
                    if search.counts_latency(snapshot.session):
                        self._time(client, ranking)
            except (StoreError, Exhausted) as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - a thread's edge: the session stays open
                self._app.log.error(traceback.format_exc())
                reason = f"The ranking failed ({type(error).__name__}: {error}). "
                reason += "What trains goes on."
            self._app.call_later(self._take_ranking, client, wanted, look, ranking, reason)

        self._work(work, "rank")

    def _time(self, client: Client, ranking: Ranking) -> None:
        """Have what is proposed timed: news of the session, which is then ranked by them."""

        def work() -> None:
            from ..sessions.errors import StoreError

            try:
                client.time(ranking)
            except StoreError as error:
                if self.client is client and str(error) != self._not_timed:
                    self._not_timed = str(error)
                    self._app.call_later(self.fail, "Latency is not measured", str(error))

        self._work(work, "time")

    def _take_ranking(
        self,
        client: Client,
        ranked: tuple[Key, float],
        look: dict[str, str],
        ranking: Ranking | None,
        reason: str,
    ) -> None:
        """Show a ranking, and start the next one if it is out of date already."""
        self.ranking_running = False
        if client is not self.client:
            self._tell()
            self._want_ranking()  # of the session that is open now, if one is
            return
        self._ranked = ranked
        if ranking is None:
            self._tell()
            if reason:
                self.fail("No ranking", reason)
            return
        self.ranking = ranking
        if not look:
            self.believed = ranking
        self._tell()
        self._want_ranking()

    # -- decisions ------------------------------------------------------------------------------

    def decide(
        self,
        call: Callable[[Client], Decided | None],
        say: Callable[[Decided], str] | str = "",
        then: Callable[[], None] | None = None,
    ) -> None:
        """Take a decision off the UI loop, in the session that is open now.

        say: words of the toast; then: called after success.
        """
        from ..engine.tasks.space import InvalidConfig
        from ..sessions.errors import Already, Known, StoreError

        client = self.client
        if client is None:
            return

        def work() -> None:
            try:
                decision = call(client)
            except (Already, Known) as error:
                # nothing went wrong: what was asked for is there
                self._app.call_later(self._app.notify, sentence(str(error)), markup=False)
                return
            except (StoreError, InvalidConfig) as error:
                self._app.call_later(self.fail, "Not done", str(error))
                return
            self._wake.set()
            words = say if isinstance(say, str) or decision is None else say(decision)
            if words:
                self._app.call_later(self._app.notify, words, markup=False)
            if then is not None:
                self._app.call_later(then)

        self._work(work, "decide")

    def start_engine(self) -> None:
        """Start the engine, which is gone or was stopped."""
        client = self.client
        if client is None:
            return

        def work() -> None:
            if self._engine_starts(client):
                self._wake.set()
                self._app.call_later(self._app.notify, "The engine is at work again.")

        self._work(work, "engine", exclusive=True)

    def _engine_starts(self, client: Client) -> bool:
        """Start a session's engine, from a thread; says why where it does not."""
        from ..sessions.errors import Closed, StoreError

        try:
            client.start_engine()
        except Closed:  # another session is open by now
            return False
        except StoreError as error:
            self._app.call_later(self.fail, "The engine does not start", str(error))
            return False
        return True
