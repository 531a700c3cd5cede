"""The decisions that every screen of a session offers, each by its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from ...engine import search
from ...engine.search.schedule import flight_seconds
from ...sessions.records import OPEN_STATES
from .. import format as words
from ..widgets.engine import needs_engine
from ..widgets.keys import EXPORT

if TYPE_CHECKING:
    from ...engine.advisor.ranking import Ranking
    from ...engine.search.standing import Recommendation
    from ...engine.tasks.space import Space
    from ...sessions.records import Decision, Trial
    from ...sessions.snapshot import Snapshot
    from ..open_session import OpenSession
    from ..plot import Figure


class DecidingScreen(Screen[Any]):
    """A screen on which the open session can be decided upon."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", id="decide.new", tooltip="Enter a network of your own"),
        Binding(
            "r",
            "repeat",
            "Repeat",
            id="decide.repeat",
            tooltip="Train a trial's network again with another seed, to learn the noise",
        ),
        Binding("s", "stop", "Stop", id="decide.stop", tooltip="Stop, pause or resume a trial"),
        Binding(
            "p",
            "autopilot",
            "Autopilot",
            id="decide.autopilot",
            tooltip="Let the engine accept the best candidates by itself; again to take the wheel",
        ),
        Binding("w", "wc", "w_c", id="decide.wc", tooltip="Weigh accuracy against complexity"),
        Binding(
            "l",
            "limits",
            "Limits",
            show=False,
            id="decide.limits",
            tooltip="Say what a network may cost, and how good it must be",
        ),
        Binding(
            "right_square_bracket",
            "advance",
            "Next level",
            key_display="]",
            id="decide.advance",
            tooltip="Go on to the next level, carrying a network forward",
        ),
        Binding(
            "left_square_bracket",
            "reopen",
            "Earlier level",
            key_display="[",
            show=False,
            id="decide.reopen",
            tooltip="Open an earlier level again, or the present one from another trial",
        ),
        Binding(
            "u",
            "undo",
            "Undo",
            show=False,
            id="decide.undo",
            tooltip="Undo the last decision; where its trial has started, u again the one before",
        ),
        EXPORT,
        Binding(
            "O",
            "export_chart",
            "Export chart",
            show=False,
            id="export.chart",
            tooltip="Write this chart as SVG or PNG, or its figures as CSV or JSON",
        ),
        Binding(
            "z",
            "start_engine",
            "Start engine",
            id="engine.start",
            tooltip="Start the engine, which is gone or was stopped",
        ),
        Binding(
            "y",
            "yank",
            "Copy",
            show=False,
            id="yank",
            tooltip="Copy the selected row as JSON",
        ),
    ]

    def __init__(self, session: OpenSession) -> None:
        super().__init__()
        self.session = session

    @property
    def snapshot(self) -> Snapshot | None:
        """What the session held when it was last read."""
        return self.session.snapshot

    @property
    def ranking(self) -> Ranking | None:
        """The last ranking; None until the first is ready."""
        return self.session.ranking

    @property
    def recommended(self) -> Recommendation | None:
        """The network that the session recommends, as far as it is known now."""
        snapshot = self.snapshot
        return None if snapshot is None else search.recommended(snapshot, self.session.believed)

    @property
    def space(self) -> Space:
        """The session's space."""
        assert self.session.client is not None
        return self.session.client.space

    # -- decisions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """An engine is started only where work waits and none is there."""
        return action != "start_engine" or needs_engine(self.snapshot)

    def offers(self, action: str) -> bool:
        """There is a next level before the last, and one to open where a network is trained."""
        snapshot = self.snapshot
        if snapshot is None or action not in ("advance", "reopen"):
            return True
        session = snapshot.session
        if action == "advance":
            return session.level < len(search.level_names(session))
        return not session.flat and any(trial.observed for trial in snapshot.trials)

    def action_start_engine(self) -> None:
        """Start the engine again."""
        self.session.start_engine()

    def chosen_trial(self) -> Trial | None:
        """The trial under the cursor, where a screen has one."""
        return None

    def yank_text(self) -> str | None:
        """What `y` copies."""
        return None

    def action_yank(self) -> None:
        """Copy the selected row as JSON."""
        text = self.yank_text()
        if text is None:
            self.notify("Nothing is selected.")
            return
        self.app.copy_to_clipboard(text)
        self.notify("Copied.")

    def action_new(self) -> None:
        """A network of one's own, from the best one."""
        snapshot, best = self.snapshot, self.recommended
        if snapshot is None:
            return
        trial = snapshot.trials[0] if best is None else best.trial
        self.edit(trial.config, "new", f"New network, from trial {trial.number}")

    def edit(self, config: dict[str, Any], kind: str, title: str, proposal: Any = None) -> None:
        """Open the form of the level's parameters on a network."""
        from ..dialogs.edit import EditDialog, Edited

        snapshot = self.snapshot
        if snapshot is None:
            return

        def submit(edited: Edited | None) -> None:
            if edited is None:
                return
            advised = None if self.ranking is None else self.ranking.advised
            self.session.decide(
                lambda client: client.submit(
                    edited.config,
                    edited.prediction,
                    kind="edit" if kind == "edit" else "new",
                    reason=edited.reason,
                    advised=advised,
                ),
                queued_words,
            )

        self.app.push_screen(
            EditDialog(
                self.session,
                title=title,
                space=self.space,
                level=search.searched_level(snapshot.session),
                config=config,
                before=proposal,
            ),
            submit,
        )

    def action_repeat(self) -> None:
        """Train a trial's network again."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        trial = self.chosen_trial()
        if trial is not None and trial.state in ("done", "failed", "stopped"):
            self._repeat(trial.number)
            return
        done = [trial for trial in snapshot.trials if trial.observed]
        best = self.recommended
        if best is None:
            self.notify("No trial has been trained to its end yet.")
            return
        from ..dialogs.trials import TrialDialog

        self.app.push_screen(
            TrialDialog(
                "Repeat a trial with another seed",
                "Two runs of one network differ: a repeat tells the model by how much.",
                done,
                snapshot,
                self.ranking,
                best=best,
                button="Train it again",
            ),
            lambda answer: self._repeat(answer) if answer is not None else None,
        )

    def _repeat(self, number: int) -> None:
        self.session.decide(lambda client: client.repeat(number), queued_words)

    def action_stop(self) -> None:
        """Stop, pause, withdraw or resume a trial."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        trials = [trial for trial in snapshot.trials if trial.state in OPEN_STATES]
        finals = [one for one in snapshot.deliveries if one.open]
        if not (trials or finals):
            self.notify("Nothing trains and nothing is queued.")
            return
        from ..dialogs.stop import ResumeChoice, StopChoice, StopDialog

        def stop(choice: StopChoice | ResumeChoice | None) -> None:
            if isinstance(choice, ResumeChoice) and choice.final:
                self.session.decide(
                    lambda client: client.resume_delivery(choice.number),
                    f"Final training {choice.number} goes on.",
                )
            elif isinstance(choice, ResumeChoice):
                self.session.decide(
                    lambda client: client.resume(choice.number), f"Trial {choice.number} goes on."
                )
            elif choice is not None and choice.final:
                self.session.decide(
                    lambda client: client.stop_delivery(choice.number, choice.mode), choice.words
                )
            elif choice is not None:
                self.session.decide(
                    lambda client: client.stop(choice.number, choice.mode, choice.reason),
                    choice.words,
                )

        dialog = StopDialog(trials, snapshot.session, self.chosen_trial(), finals)
        self.app.push_screen(dialog, stop)

    def action_autopilot(self) -> None:
        """Hand the wheel over, or take it back."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        if snapshot.session.autopilot is not None:
            self.session.decide(lambda client: client.takeover(), "The wheel is yours.")
            return
        from ..dialogs.autopilot import AutopilotDialog, Flight

        def fly(flight: Flight | None) -> None:
            if flight is not None:
                self.session.decide(
                    lambda client: client.autopilot(
                        trials=flight.trials,
                        minutes=flight.minutes,
                        levels=flight.levels,
                        until_flat=flight.until_flat,
                    ),
                    "Autopilot. p takes the wheel back.",
                )

        session = snapshot.session
        done = search.standings(snapshot)[session.level].trials
        self.app.push_screen(
            AutopilotDialog(
                max(session.trials_per_level - done, 1),
                lambda flight: flight_seconds(
                    snapshot, trials=flight.trials, minutes=flight.minutes, levels=flight.levels
                ),
                model=session.strategy == "gp",
            ),
            fly,
        )

    def action_wc(self) -> None:
        """Move w_c, with live re-ranking."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        from ..dialogs.wc import WcDialog

        def weigh(wc: float | None) -> None:
            if wc is not None and wc != snapshot.session.wc:
                self.session.decide(
                    lambda client: client.set_wc(wc), f"w_c is {words.weight(wc)}. u undoes it."
                )

        self.app.push_screen(WcDialog(snapshot, self.ranking), weigh)

    def action_limits(self) -> None:
        """Move the limits, with live re-ranking."""
        snapshot, client = self.snapshot, self.session.client
        if snapshot is None or client is None:
            return
        from ..dialogs.limits import Changes, LimitsDialog

        def free() -> Ranking:
            lifted = dict.fromkeys(search.limits_of(snapshot.session))
            return client.rank(search.look(client.refresh(), limits=lifted))

        def time(ranking: Ranking, would_be: Snapshot) -> Snapshot:
            client.time(ranking, would_be)
            return client.refresh()

        def set_limits(changes: Changes | None) -> None:
            if changes:
                self.session.decide(
                    lambda client: client.set_limits(changes), "The limits are set. u undoes it."
                )

        measures = tuple(self.session.measures)
        dialog = LimitsDialog(snapshot, self.ranking, measures, free, time)
        self.app.push_screen(dialog, set_limits)

    def action_advance(self) -> None:
        """Choose the trial whose network the next level starts from."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        session, names = snapshot.session, search.level_names(snapshot.session)
        if session.flat:
            self.notify("All parameters are searched at once: there is no other level.")
            return
        if session.level >= len(names):
            self.notify(
                "This is the last level. 6 shows the best network; [ opens an earlier level."
            )
            return
        done = [trial for trial in snapshot.trials if trial.observed]
        if not done:
            self.notify("The next level starts from a trained network, and none is trained yet.")
            return
        self._carry(
            snapshot,
            done,
            f"Go on to {words.level_label(session.level + 1, names)}",
            lambda number: self.session.decide(
                lambda client: client.advance(number, left=session.level),
                f"{words.level_label(session.level + 1, names)}, from trial {number}. u undoes it.",
            ),
        )

    def _carry(
        self, snapshot: Snapshot, done: list[Trial], title: str, go: Callable[[int], object]
    ) -> None:
        from ..dialogs.trials import TrialDialog

        ranking, best = self.ranking, search.recommended(snapshot, self.session.believed)
        assert best is not None  # there are trials to choose from
        advice = ranking.advice if ranking is not None else ""

        def chosen(number: int | None) -> None:
            if number is not None:
                go(number)

        self.app.push_screen(
            TrialDialog(
                title,
                advice or "Choose the trial whose network is carried forward.",
                done,
                snapshot,
                ranking,
                best=best,
                button="Carry it forward",
            ),
            chosen,
        )

    def action_reopen(self) -> None:
        """Choose a level that was reached, then the network it starts from."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        names, current = search.level_names(snapshot.session), snapshot.session.level
        if snapshot.session.flat:
            self.notify("All parameters are searched at once: there is no other level.")
            return
        done = [trial for trial in snapshot.trials if trial.observed]
        if not done:
            self.notify("A level starts from a trained network, and none is trained yet.")
            return
        from ..dialogs.level import LevelDialog

        def open_level(level: int | None) -> None:
            if level is None:
                return
            label = words.level_label(level, names)
            title = f"Go on with {label} from" if level == current else f"Open {label} again from"
            self._carry(
                snapshot,
                done,
                title,
                lambda number: self.session.decide(
                    lambda client: client.reopen(level, number),
                    f"{words.reopened(label, number, level == current)} u undoes it.",
                ),
            )

        reached = search.reached(snapshot.session)
        levels = [s for s in search.standings(snapshot).values() if s.level <= reached]
        # the nearest earlier one first
        levels.sort(key=lambda s: (s.level >= current, -s.level))
        self.app.push_screen(LevelDialog(levels, names), open_level)

    def action_undo(self) -> None:
        """Undo the last decision; one before a trial that has started only once it was named."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        last, passed = search.undoable(snapshot), search.passed_over(snapshot)
        begun = ""
        if passed is not None:
            stop = self.session.key_of("decide.stop", "s")
            goes = passed.goes
            begun = words.sentence(search.begun(passed) + (f"; {stop} stops it." if goes else "."))
        if last is None:
            self.notify(f"{begun} Nothing can be undone.".strip())
            return
        undone = words.decided(last.kind, last.trial)
        named = None if passed is None else (last.number, passed.number)
        if named is not None and named != self.session.undo_named:
            self.session.undo_named = named
            key = self.session.key_of("decide.undo", "u")
            self.notify(f"{begun} {key} again undoes {undone}, decided before it.")
            return
        self.session.undo_named = None
        self.session.decide(lambda client: client.undo(last.number), f"Undone: {undone}.")

    def figure(self) -> Figure | None:
        """The chart of this screen as it is shown, to share; None while there is none."""
        return None

    def action_export(self) -> None:
        """Write the session to a file."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        from ..dialogs.export import export_of, write

        def export(path: Path | None) -> None:
            if path is not None:
                self.notify("Exporting…")
                self.session.decide(lambda client: write(client, path), f"Exported to {path}")

        self.app.push_screen(export_of(snapshot.session.name), export)

    def action_export_chart(self) -> None:
        """Write the chart of this screen to a file."""
        figure = self.figure()
        if figure is None or figure.plot is None:
            self.notify("There is no chart here to export yet.")
            return
        from ..dialogs.export import ExportDialog
        from ..sharing import draw as plots

        def export(path: Path | None) -> None:
            if path is not None:
                self.session.decide(lambda client: plots.write(figure, path), f"Exported to {path}")

        name = f"{self.snapshot.session.name if self.snapshot else ''}-{figure.name}.svg"
        self.app.push_screen(
            ExportDialog(
                "Export this chart",
                "FILE.svg or FILE.png: the picture. FILE.csv or FILE.json: its figures.",
                Path.cwd() / name,
                tuple(f".{kind}" for kind in plots.KINDS),
            ),
            export,
        )


def queued_words(decision: Decision) -> str:
    return f"Trial {decision.trial} is queued. u takes it back."
