"""What a rehearsal came to, as facts and as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lonelycat.errors import Category
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.screen import Screen

if TYPE_CHECKING:
    from lonelycat.checks.result import CheckResult
    from lonelycat.runtime.rehearsal import RehearsalReport

_OUTPUT_BYTES = 16 * 1024
_OUTPUT_LINES = 12


def rehearsal_facts(report: RehearsalReport) -> dict[str, object]:
    """Return what a program wants to know of ``report``, JSON-compatible; outputs are cut to their end."""
    error = report.error
    facts: dict[str, object] = {
        "status": _status(report),
        "code": error.code if error else None,
        "message": error.message if error else "every verification of the plan passed on the change",
        "hint": error.hint if error else "",
        "checks": [_check_facts(found) for found in report.checks],
        "old_tests": [_check_facts(found) for found in report.old_tests],
    }
    if error is not None and error.category is Category.CONFLICT:
        from lonelycat.changes.conflict import conflicts_of

        facts["conflicts"] = [conflict.model_dump(mode="json") for conflict in conflicts_of(error)]
    return facts


def exit_of_rehearsal(report: RehearsalReport) -> Exit | None:
    """Return the exit code that a rehearsal decides, or None when it passed and leaves it to the verdict."""
    if report.passed:
        return None
    return Exit.CONFLICT if _status(report) == "conflict" else Exit.REFUSED


def show_rehearsal(screen: Screen, report: RehearsalReport) -> None:
    """Write what each verification found, with the end of the output of one that failed."""
    screen.line(("rehearsal", "title"), ("  on the change, in a sandbox; nothing was touched", "dim"))
    for found in (*report.checks, *report.old_tests):
        mark = ("\u2714", "good") if found.ok else ("\u2718", "bad")
        screen.line(mark, f" {found.message}", (f"   {found.duration_seconds:.1f} s", "dim"), indent=2)
        if not found.ok:
            for line in found.output.decode("utf-8", "replace").splitlines()[-_OUTPUT_LINES:]:
                screen.line((line, "dim"), indent=6)
    if report.error is not None and all(found.ok for found in (*report.checks, *report.old_tests)):
        screen.line(("\u2718", "bad"), f" {report.error.code}: {report.error.message}", indent=2)


def _status(report: RehearsalReport) -> str:
    if report.error is None:
        return "passed"
    if report.error.code in ("REHEARSAL_DENIED", "REHEARSAL_EMPTY"):
        return "skipped"
    return "conflict" if report.error.category is Category.CONFLICT else "failed"


def _check_facts(found: CheckResult) -> dict[str, object]:
    return {
        "name": found.name,
        "ok": found.ok,
        "code": found.code,
        "message": found.message,
        "duration_seconds": round(found.duration_seconds, 6),
        "output": found.output[-_OUTPUT_BYTES:].decode("utf-8", "replace"),
        **{key: found.details[key] for key in ("sandbox", "effects", "tests", "rewritten") if key in found.details},
    }
