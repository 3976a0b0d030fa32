"""Tells the demonstration on a screen, scene by scene, and reports whether everything ended as told."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lonelycat.clock import SystemClock
from lonelycat.errors import LonelyCatError
from lonelycat.interfaces.cli.executions import intents_of
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.render.decision import VERDICT_STYLES, show_reason
from lonelycat.interfaces.cli.render.execution import Progress, duration, show_result
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.interfaces.demo.performance import Performance, Programme, ScenePlayed, perform, shop
from lonelycat.interfaces.demo.scenes import Play, Scene
from lonelycat.interfaces.demo.throwaway import Throwaway

if TYPE_CHECKING:
    from lonelycat.records.execution import ExecutionResult
    from lonelycat.runtime.judgement import Judgement


class ScreenNarrator:
    """Shows decisions, steps and ends the way the commands do, a little shorter."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._progress = Progress(screen)

    def say(self, text: str) -> None:
        """Tell ``text``."""
        self._screen.line(text)

    def run_as(self, command: str) -> None:
        """Show the command that would do the same."""
        self._screen.line(("$ ", "dim"), (command, "id"))

    def decided(self, judgement: Judgement) -> None:
        """Show the change and the verdict with its reasons."""
        from lonelycat.interfaces.cli.render.decision import show_files

        self.run_as("git diff | lonelycat propose --patch - --by " + judgement.plan.created_by)
        verdict = str(judgement.decision.verdict)
        self._screen.line(
            (verdict, VERDICT_STYLES[verdict]), f"  {judgement.plan.intent}",
            (f"   risk {judgement.decision.risk_level_effective}", "dim"),
        )  # fmt: skip
        show_files(self._screen, judgement.changeset.changes)
        for reason in judgement.decision.reasons:
            if reason.counts and str(reason.verdict) == verdict != "ALLOW":
                show_reason(self._screen, reason)

    def event(self, event: dict[str, object]) -> None:
        """Show a step."""
        self._progress(event)

    def ended(self, result: ExecutionResult) -> None:
        """Show how an execution ended."""
        self._progress.close()
        show_result(self._screen, result, advise=False)

    def refused(self, error: LonelyCatError) -> None:
        """Show a refusal."""
        self._progress.close()
        self._screen.line((error.code, "bad"), f": {error.message}", indent=2)


def narrate(call: Invocation, *, keep: bool) -> Report:
    """Perform the demonstration on the screen of ``call``."""
    return tell(call, shop(), keep=keep, opening=_open, ending=lambda screen, performance, play: None)


def tell(
    call: Invocation,
    programme: Programme,
    *,
    keep: bool,
    opening: Callable[[Screen, Throwaway], None],
    ending: Callable[[Screen, list[ScenePlayed], Play], None],
) -> Report:
    """Perform ``programme`` on the screen of ``call``.

    Args:
        opening: says what is on the stage.
        ending: says, after the last scene and before the history, how things stand.
    """
    screen = Screen(io.StringIO()) if call.json_output else call.out
    clock = SystemClock()
    begun = clock.monotonic()
    narrator = ScreenNarrator(screen)
    played: list[ScenePlayed] = []

    def judge(scene: ScenePlayed) -> None:
        played.append(scene)
        _judge(screen, scene)

    def finale(play: Play) -> None:
        ending(screen, played, play)
        _history(screen, play)

    try:
        performance = perform(
            narrator,
            programme,
            keep=keep,
            opening=lambda stage: opening(screen, stage),
            curtain=lambda scene: _announce(screen, scene, programme.scenes),
            verdict=judge,
            finale=finale,
        )
    finally:
        screen.end()
    return _report(performance, clock.monotonic() - begun)


def _open(screen: Screen, stage: Throwaway) -> None:
    screen.line(("LonelyCat demonstration", "title"))
    screen.line(f"A throwaway repository: {stage.workspace}", indent=2)
    screen.line(f"A real web service on http://127.0.0.1:{stage.port}, running: {stage.request()[1]}", indent=2)
    screen.line("An agent with its own clone, who may only propose.", indent=2)


def _announce(screen: Screen, scene: Scene, scenes: Sequence[Scene]) -> None:
    number = scenes.index(scene) + 1
    screen.blank()
    screen.line((f"━━ {number}/{len(scenes)}  {scene.title} ", "title"), ("━" * max(3, 60 - len(scene.title)), "dim"))
    screen.line((scene.story, "dim"))


def _judge(screen: Screen, played: ScenePlayed) -> None:
    for item in played.expectations:
        if item.met:
            screen.line(("as told  ", "good"), f"{item.what}: {item.got}", indent=2)
        else:
            screen.line(("NOT SO   ", "bad"), f"{item.what}: expected {item.expected}, got {item.got}", indent=2)


def _history(screen: Screen, play: Play) -> None:
    from lonelycat.interfaces.cli.render.history import show_log

    screen.blank()
    screen.line(("━━ What is on record ", "title"), ("━" * 42, "dim"))
    screen.line(("$ ", "dim"), ("lonelycat log", "id"))
    rows = play.service.log(limit=50)
    show_log(screen, rows, intents_of(play.service, rows), play.service.reverted_among(rows))
    screen.line(("$ ", "dim"), ("lonelycat audit verify", "id"))


def _report(performance: Performance, seconds: float) -> Report:
    failed = [scene.name for scene in performance.scenes if not scene.as_told]
    done = performance.as_told
    told = f"all {len(performance.scenes)} scenes ended as told"
    message = told if done else f"not as told: {', '.join(failed) or 'cut short'}"

    def show(screen: Screen) -> None:
        screen.blank()
        screen.line(("DONE" if done else "FAILED", "good" if done else "bad"), f"  {message}, in {duration(seconds)}.")
        if performance.kept:
            screen.line(f"Kept for you to look at: {performance.directory}/shop (what ran is stopped)", indent=2)
        else:
            screen.line(("Everything was removed again; nothing of yours was touched.", "dim"), indent=2)

    facts = {
        "scenes": [
            {
                "name": scene.name,
                "title": scene.title,
                "as_told": scene.as_told,
                "expectations": [
                    {"what": item.what, "expected": item.expected, "got": item.got, "met": item.met}
                    for item in scene.expectations
                ],
            }
            for scene in performance.scenes
        ],
        "duration_seconds": round(seconds, 3),
        "directory": performance.directory if performance.kept else None,
    }
    return Report(Exit.DONE if done else Exit.UNEXPECTED, facts, show, None if done else "DEMO_NOT_AS_TOLD", message)
