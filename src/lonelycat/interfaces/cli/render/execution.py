"""How an execution looks: its steps while they run, and the end of it at one glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lonelycat.changes.paths import printable
from lonelycat.interfaces.cli.render.conflicts import MEANWHILE, show_conflicts
from lonelycat.interfaces.cli.screen import Part, Screen
from lonelycat.lifecycle import Status
from lonelycat.records.execution import ExecutionResult, StepRecord

_MARKS = {"ok": ("✔", "good"), "failed": ("✘", "bad"), "skipped": ("·", "dim")}
_NAME_WIDTH = 30
_MOST_PATHS = 8

_ENDS: dict[Status, tuple[str, str, str]] = {
    Status.COMPLETED: ("good", "COMPLETED", "The change is in place, checked and kept."),
    Status.REJECTED: ("bad", "REJECTED", "Refused before anything was touched. Your files are unchanged."),
    Status.CONFLICT: (
        "warn",
        "CONFLICT",
        "The workspace is not what the change was made against. The change was not kept; nobody's work is lost.",
    ),
    Status.ROLLED_BACK: (
        "warn",
        "ROLLED BACK",
        "The change was undone, and the undoing was verified. Your files are as they were before.",
    ),
    Status.ROLLBACK_FAILED: (
        "bad",
        "ROLLBACK FAILED",
        "The change could not be undone completely. The workspace is frozen until a person has looked at it.",
    ),
    Status.INDETERMINATE: ("bad", "NOT KNOWN YET", "Whether the change was kept will be known after a recovery."),
}
_UNFINISHED = ("bad", "NOT FINISHED", "The execution stopped half way; `lonelycat recover` puts things right.")


class Progress:
    """Shows the events of an execution as they come: one line per step, with its time.

    Args:
        screen: where to, or None to stay silent.

    Attributes:
        shown: how many steps were shown.
    """

    def __init__(self, screen: Screen | None) -> None:
        self._screen = screen
        self.shown = 0

    def __call__(self, event: Mapping[str, object]) -> None:
        """Show ``event``, a dictionary as ``events.jsonl`` holds it; what is unknown is not shown."""
        if self._screen is None:
            return
        match event.get("type"):
            case "step.started":
                self._screen.begin(f"{event.get('step', '')} …")
            case "step.finished":
                self.close()
                self.shown += 1
                _show_step_line(
                    self._screen,
                    str(event.get("step", "")),
                    str(event.get("status", "")),
                    event.get("duration_seconds"),
                    event.get("code"),
                    str(event.get("message") or ""),
                )
            case "lock.waiting":
                self._screen.begin(str(event.get("message") or "waiting for another execution …"))
            case "watch.sampled":
                left = duration(_number(event.get("seconds_left")))
                self._screen.begin(
                    f"watch …  {event.get('samples')} samples, {event.get('failures')} failed, {left} left"
                )
            case "confirmation.awaited":
                one = event.get("execution_id")
                self._screen.line(("waits for a person: ", "title"), f"lonelycat confirm {one} --by NAME", indent=2)
            case "confirmation.waiting":
                left = duration(_number(event.get("seconds_left")))
                self._screen.begin(f"confirm …  {left} left, then the change goes back")
            case "warning":
                self._screen.line(("warning ", "warn"), str(event.get("message") or ""), indent=2)
            case _:
                return

    def close(self) -> None:
        """Take the line of a running step away."""
        if self._screen is not None:
            self._screen.end()


def show_steps(screen: Screen, steps: Sequence[StepRecord]) -> None:
    """Write one line per recorded step."""
    for step in steps:
        _show_step_line(screen, step.name, step.status, step.duration_seconds, step.code, step.message)


def _show_step_line(screen: Screen, name: str, status: str, seconds: object, code: object, message: str) -> None:
    mark, style = _MARKS.get(status, ("?", "warn"))
    took = duration(seconds) if isinstance(seconds, int | float) else ""
    parts: list[Part] = [(mark, style), f" {name:<{_NAME_WIDTH}} ", (f"{took:>8}", "dim")]
    if code:
        parts.append((f"  {code}", style))
    elif name.startswith(("verify:", "old-tests:")):  # what the tests counted, where they did
        said = message.removeprefix(f"{name.partition(':')[2]}: ").removeprefix("passed").removeprefix(": ").strip()
        parts.append((f"  {printable(said)}" if said else "", "dim"))
    screen.line(*parts, indent=2)
    if message and status == "failed":
        for line in message.split("\n")[:12]:
            screen.line((line, "dim"), indent=6)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def end_of(status: Status) -> tuple[str, str, str]:
    """Return style, title and sentence for how an execution ended."""
    return _ENDS.get(status, _UNFINISHED)


def show_result(screen: Screen, result: ExecutionResult, *, advise: bool = True, reverted: bool = False) -> None:
    """Write what happened, whether the files are changed, and (with ``advise``) what now.

    Args:
        reverted: its change was taken back since.
    """
    style, title, sentence = end_of(result.status)
    if result.cached:
        sentence = "This exact change was executed before; its recorded result is returned. Nothing was run again."
    elif reverted:
        sentence = "The change was checked and kept, and was reverted since."
    if result.dry_run and result.success:
        style, title, sentence = "good", "DRY RUN", "Nothing was touched. This is what would be done."
    elif result.dry_run:
        title, sentence = f"DRY RUN, {title}", "Nothing was touched, and as things are nothing would be."
    if (
        result.status is Status.CONFLICT
        and result.conflicts
        and all(one.phase in MEANWHILE for one in result.conflicts)
    ):
        sentence = "Somebody changed files while the change was in place. Theirs are left alone; the rest was undone."
    if result.error_code == "INTERRUPTED":
        title = f"INTERRUPTED, {title}"
    took = duration((result.finished_at - result.started_at).total_seconds())
    screen.blank()
    screen.line((title, style), f"  {sentence}")
    if result.conflicts:
        show_conflicts(screen, result.conflicts)
    if any(result.error_code == conflict.code for conflict in result.conflicts):
        pass  # said just before, path by path
    elif result.error_code:
        screen.line(("because ", "title"), (result.error_code, style), f": {result.message}", indent=2)
    elif result.message and not result.success:
        screen.line(("because ", "title"), result.message, indent=2)
    if result.success and result.files_changed:
        verb = "would change" if result.dry_run else "changed"
        paths = result.files_changed
        verb = "changed then" if result.cached else verb
        screen.line(("files ", "title"), f"{len(paths)} {verb}: {_paths(paths)}", indent=2)
    for warning in result.warnings:
        screen.line(("warning ", "warn"), warning, indent=2)
    screen.line((f"{result.execution_id}   {took}", "dim"), indent=2)
    for advice in _advice(result) if advise else ():
        screen.line(("what now: ", "title"), advice, indent=2)


def _advice(result: ExecutionResult) -> list[str]:
    if result.dry_run and result.success:
        return [f"lonelycat execute {result.plan_id}"]
    if result.success and result.hint:
        return [result.hint]
    if result.success:
        one = result.execution_id
        return [f"lonelycat show {one} tells everything; lonelycat revert {one} --by NAME undoes it."]
    if result.status is Status.ROLLBACK_FAILED:
        return [
            result.hint or f"lonelycat show {result.execution_id} names what could not be put back.",
            "lonelycat unfreeze --by YOU --reason TEXT, once the files are right.",
        ]
    if any(conflict.quarantined for conflict in result.conflicts):
        return [result.hint, "lonelycat doctor says what to do about what is kept in quarantine."]
    if result.status is Status.INDETERMINATE:
        return [result.hint or "lonelycat recover"]
    return [result.hint or f"lonelycat show {result.execution_id} tells everything."]


def _paths(paths: Sequence[str]) -> str:
    more = len(paths) - _MOST_PATHS
    return ", ".join(printable(path) for path in paths[:_MOST_PATHS]) + (f" and {more} more" if more > 0 else "")


def duration(seconds: float) -> str:
    """Return ``seconds`` as a person reads it: ``12 ms``, ``1.42 s``, ``3 min 05 s``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
