"""Whether the engine of a session lives, what it does and what waits for it: figures and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import format as words
from .deliveries import state

if TYPE_CHECKING:
    from pathlib import Path

    from ..sessions.snapshot import Snapshot


def engine_state(snapshot: Snapshot, folder: Path) -> dict[str, Any]:
    """Whether the engine lives, what it does and what waits for it: figures, and sentences.

    folder: the session's.  state: its standing; see EngineStatus.
    """
    engine, session = snapshot.engine, snapshot.session
    running = [
        {"trial": t.number, "attempt": t.attempt, "epoch": len(t.epochs), "epochs": session.epochs}
        for t in snapshot.standing
        if t.state == "running"
    ]
    counts = {
        state: sum(t.state == state for t in snapshot.standing)
        for state in ("queued", "interrupted", "paused")
    }
    finals = [one for one in snapshot.standing_deliveries if one.open]
    name = folder.name
    told = [f"trial {t['trial']} (epoch {t['epoch']} of {t['epochs']})" for t in running]
    told += [
        f"final training {one.number} ({state(one, session)})"
        for one in finals
        if one.state == "running"
    ]
    waits = [
        f"{count} {word}"
        for count, word in (
            (counts["interrupted"], "to go on from its checkpoint"),
            (counts["queued"], "queued"),
            (sum(one.waits for one in finals), "to train to the end"),
        )
        if count
    ]
    if session.autopilot is not None:
        waits.append("the autopilot is on")
    at_once = session.execution.parallel
    waiting = f"Waiting: {', '.join(waits)}." if waits else ""
    does = f"trains {', '.join(told)}" if told else "is idle"
    sentences = [
        {
            "serving": f"engine {engine.pid} serves and {does}; {at_once} at once.",
            "stopping": f"engine {engine.pid} is stopping.",
        }.get(engine.standing, f"{words.engine_end(engine)}.")
    ]
    if engine.alive:
        sentences += [engine.trouble, "" if engine.state == "leaving" else engine.message]
    else:
        sentences += [f"`lcsearch logs {name}` says more."] if engine.standing == "failed" else []
        sentences += [] if waits else ["It starts when a trial is queued."]
        waiting = f"{waiting} {words.goes_on(name)}" if waits else ""
    waiting = " ".join(one for one in (waiting, _paused(snapshot, name)) if one)
    return {
        "session": name,
        "alive": engine.alive,
        "state": engine.standing,
        "pid": engine.pid if engine.alive else None,
        "message": engine.message,
        "trouble": engine.trouble,
        "running": running,
        "finals": [
            {
                "final": one.number,
                "trial": one.trial,
                "state": one.state,
                "training": one.training,
                "trainings": len(one.seeds),
                "epoch": one.epoch,
                "epochs": one.epochs,
                "seconds_left": one.seconds_left,
            }
            for one in finals
        ],
        "parallel": at_once,
        **counts,
        "autopilot": session.autopilot is not None,
        "log": str(folder / "engine.log"),
        "waits": waiting,
        "words": " ".join(one for one in (*sentences, waiting) if one),
    }


def _paused(snapshot: Snapshot, name: str) -> str:
    """What is paused, and what goes on with it: no engine does by itself."""
    trials = [t.number for t in snapshot.trials if t.state == "paused"]
    finals = [one.number for one in snapshot.deliveries if one.state == "paused"]
    told = [*(f"trial {n}" for n in trials), *(f"final training {n}" for n in finals)]
    if not told:
        return ""
    first = f"--trial {trials[0]}" if trials else f"--final {finals[0]}"
    which = "it" if len(told) == 1 else "the first"
    return f"Paused: {', '.join(told)}; `lcsearch resume {name} {first}` lets {which} go on."


def waits_in(folder: Path) -> str:
    """What waits in a session that was brought here or back, and what goes on with it."""
    from ..engine.client.session import SessionClient

    client = SessionClient(folder, migrate=False)
    try:
        return str(engine_state(client.refresh(), folder)["waits"])
    finally:
        client.close()
