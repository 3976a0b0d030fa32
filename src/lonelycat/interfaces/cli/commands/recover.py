"""``lonelycat recover``: finish or take back what a dead executor left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lonelycat.errors import LonelyCatError
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.options import LockTimeout
from lonelycat.interfaces.cli.render.conflicts import show_conflicts
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen

if TYPE_CHECKING:
    from lonelycat.changes.conflict import Conflict
    from lonelycat.executor.recovery import Recovered
    from lonelycat.runtime.service import LonelyCat

_WORDS = {
    "nothing_applied": ("good", "nothing of it had been applied"),
    "committed": ("good", "it had been kept; now it is recorded"),
    "undone": ("good", "taken back; the files are as they were before it"),
    "conflict": ("warn", "taken back; what somebody else had changed meanwhile was left alone"),
    "failed": ("bad", "could not be taken back completely; the workspace is frozen"),
    "damaged": ("bad", "its journal is damaged; nothing was guessed, the workspace is frozen"),
}


def command(call: Invocation, lock_timeout: LockTimeout = None) -> Report:
    """Finish or take back what a dead executor left."""
    service = call.service()
    report = service.recover(lock_timeout)
    recovered = report.recovered
    conflicts = {item.execution_id: _conflicts(service, item) for item in recovered}
    bad = [item for item in recovered if _WORDS[str(item.outcome)][0] == "bad"]

    def show(screen: Screen) -> None:
        for name in report.restarted:
            screen.line((f"{name} was restarted, which was due", "good"))
        if not recovered and not report.restarted:
            screen.line(("NOTHING TO DO", "good"), "  No execution was left unfinished.")
        for item in recovered:
            style, words = _WORDS[str(item.outcome)]
            screen.line((item.execution_id, "id"), (f"  {words}", style))
            if item.message:
                screen.line(item.message, indent=2)
            for path, place in item.kept:
                screen.line(f"{path}: kept in {place}", indent=2)
            if conflicts[item.execution_id]:
                show_conflicts(screen, conflicts[item.execution_id])

    facts: dict[str, object] = {
        "restarted": list(report.restarted),
        "recovered": [
            {
                "execution_id": item.execution_id,
                "outcome": str(item.outcome),
                "message": item.message,
                "kept": [{"path": path, "place": place} for path, place in item.kept],
                "conflicts": [conflict.model_dump(mode="json") for conflict in conflicts[item.execution_id]],
            }
            for item in recovered
        ],
    }
    if not bad:
        return Report(Exit.DONE, facts, show, message=f"{len(recovered)} recovered")
    message = f"{bad[0].execution_id}: {_WORDS[str(bad[0].outcome)][1]}"
    return Report(Exit.FROZEN, facts, show, "RECOVERY_FAILED", message, "lonelycat doctor says what to look at.")


def _conflicts(service: LonelyCat, item: Recovered) -> tuple[Conflict, ...]:
    """Return what the recovery left alone, as it is on record."""
    try:
        row = service.show(item.execution_id).execution
    except LonelyCatError:  # of a transaction that was never recorded
        return ()
    return row.result.conflicts if row is not None and row.result.execution_id == item.execution_id else ()
