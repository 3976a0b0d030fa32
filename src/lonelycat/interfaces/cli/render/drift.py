"""How drift looks: grouped by what git knows of it, one path after the other; or a line per change."""

from __future__ import annotations

from collections.abc import Sequence

from lonelycat.changes.paths import printable
from lonelycat.interfaces.cli.render.conflicts import git_in_words
from lonelycat.interfaces.cli.render.history import moment
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.runtime.drift import Drift, DriftEvent, DriftReport

_MOST = 50
_KIND = {
    "modified": "modified",
    "mode_changed": "mode",
    "deleted": "deleted",
    "created": "created",
    "replaced": "replaced",
    "unknown": "unknown",
}
_WIDTH = 10
_GROUPS = (
    ("committed", "committed to git since"),
    ("uncommitted", "not committed to git"),
    ("untracked", "not known to git"),
    (None, "changed since"),
)


def show_drift(screen: Screen, report: DriftReport) -> None:
    """Write what one look found."""
    paths = f"{report.checked} path{'s' if report.checked != 1 else ''}"
    if report.drift:
        count = len(report.drift)
        was = "was" if count == 1 else "were"
        screen.line(("DRIFT", "warn"), f"  {count} of {paths} that LonelyCat wrote {was} changed without it.")
    elif report.left_out:
        screen.line(("NO DRIFT", "good"), f"  {paths} that LonelyCat wrote; what was changed without it is in git.")
    elif report.checked:
        screen.line(("NO DRIFT", "good"), f"  {paths} that LonelyCat wrote, all as the last executions left them.")
    else:
        screen.line(("NO DRIFT", "good"), "  No execution was kept here yet, so there is nothing to compare.")
    if report.left_out:
        screen.line((f"{report.left_out} changed and committed to git since, left out", "dim"), indent=2)
    for state, title in _GROUPS:
        _show_group(screen, title, [drift for drift in report.drift if (drift.git and drift.git.state) == state])
    if report.in_progress:
        title = "in a transaction that has not ended; `lonelycat status` says whether it runs"
        _show_group(screen, title, report.in_progress)
    if report.drift:
        screen.line(("Your files were only read.", "dim"))
        _advise(screen, report.drift[0])


def _advise(screen: Screen, drift: Drift) -> None:
    if drift.last_execution is not None:
        key = drift.last_execution.execution_id
        screen.line(("what now: ", "title"), f"lonelycat diff {key} shows what was left; put it back, or keep this.")


def _show_group(screen: Screen, title: str, drifts: Sequence[Drift]) -> None:
    if not drifts:
        return
    screen.line((f"{title} ({len(drifts)})", "title"))
    for drift in drifts[:_MOST]:
        screen.line((f"{_KIND[drift.kind]:<{_WIDTH}}", "warn"), printable(drift.path), (_how(drift), "dim"), indent=2)
        if drift.git is not None and drift.git.commit is not None:
            screen.line(("git ", "dim"), git_in_words(drift.git), indent=2 + _WIDTH)
        screen.line(("left ", "dim"), _left(drift), indent=2 + _WIDTH)
    if len(drifts) > _MOST:
        screen.line((f"… and {len(drifts) - _MOST} more; --json has them all", "dim"), indent=2)


def _how(drift: Drift) -> str:
    if drift.transaction is not None:
        return f"  held by {drift.transaction}"
    if drift.kind == "unknown" and drift.there.state != "unreadable":
        return "  what was left there is not known: the records of it were altered or removed"
    if drift.kind in ("replaced", "unknown"):
        return f"  {drift.there.words}"
    if drift.kind == "mode_changed" and drift.expected and drift.there.identity:
        return f"  {drift.expected.mode} → {drift.there.identity.mode}"
    return ""


def _left(drift: Drift) -> str:
    write = drift.last_execution
    if write is None:
        return "by an execution that is not on record"
    what = f" {write.intent!r}" if write.intent else ""
    return f"by {write.execution_id}{what}, {moment(write.finished_at)}"


def show_watching(screen: Screen, report: DriftReport) -> None:
    """Write that watching has begun."""
    paths = f"{report.checked} path{'s' if report.checked != 1 else ''}"
    screen.line(("WATCHING", "title"), f"  {paths} that LonelyCat wrote; Ctrl-C ends it.")


def show_event(screen: Screen, item: DriftEvent) -> None:
    """Write one change on one line."""
    drift, at = item.drift, (f"{moment(item.at)}  ", "dim")
    if item.event == "settled":
        screen.line(at, (f"{'settled':<{_WIDTH}}", "good"), printable(drift.path), ("  as it was left", "dim"))
        return
    git = f"  git: {git_in_words(drift.git)}" if drift.git is not None else ""
    screen.line(at, (f"{_KIND[drift.kind]:<{_WIDTH}}", "warn"), printable(drift.path), (_how(drift) + git, "dim"))
