"""Drift as an answer, once or line by line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

from lonelycat.changes.paths import to_wire
from lonelycat.clock import SystemClock, isoformat
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.render.drift import show_drift, show_event, show_watching
from lonelycat.interfaces.cli.report import Report, show_nothing
from lonelycat.interfaces.cli.screen import QuietStream, Screen
from lonelycat.runtime.drift import Drift, DriftEvent, DriftReport

_HINT = (
    "`lonelycat diff EXECUTION_ID` shows what was left there. Put it back, or keep what is there now; "
    "once git has it, --uncommitted leaves it out."
)


def drift_report(report: DriftReport) -> Report:
    """Return the answer of one look: done without drift, else exit code 5."""
    facts: dict[str, object] = {
        "checked": report.checked,
        "drift": [drift_facts(drift) for drift in report.drift],
        "in_progress": [drift_facts(drift) for drift in report.in_progress],
        "left_out": report.left_out,
    }
    paths = f"{report.checked} path{'s' if report.checked != 1 else ''}"

    def show(screen: Screen) -> None:
        show_drift(screen, report)

    if not report.drift:
        return Report(Exit.DONE, facts, show, message=f"{paths} looked at; no drift")
    message = f"{len(report.drift)} of {paths} changed without a transaction"
    return Report(Exit.CONFLICT, facts, show, "DRIFT", message, _HINT)


def watch_report(call: Invocation, events: Iterator[DriftEvent | DriftReport]) -> Report:
    """Show each event as it comes; return the last line once Ctrl-C ends it, or the reader is gone."""
    lines = QuietStream(sys.stdout)
    stream = lines if call.json_output else call.out.stream
    drifted: set[str] = set()
    try:
        for item in events:
            if isinstance(item, DriftReport):
                drifted = {drift.path for drift in item.drift}
                _begin(call, lines, item)
            else:
                (drifted.add if item.event == "drift" else drifted.discard)(item.drift.path)
                _tell(call, lines, item)
            stream.flush()
            if stream.failure is not None:
                return Report(Exit.CONFLICT if drifted else Exit.DONE, code="DRIFT" if drifted else None)
    except KeyboardInterrupt:
        pass
    message = f"stopped watching; {len(drifted)} changed without a transaction"
    facts = {"event": "stopped", "at": isoformat(SystemClock().now()), "drifted": len(drifted)}
    show = show_nothing if call.json_output else _stopped(message)
    return Report(Exit.INTERRUPTED, facts, show, "INTERRUPTED", message, "Nothing was changed.")


def drift_facts(drift: Drift) -> dict[str, object]:
    """Return what a program wants to know of one path, JSON-compatible."""
    expected, there = drift.expected, drift.there
    found = there.identity
    return {
        "path": to_wire(drift.path),
        "kind": drift.kind,
        "expected": None if expected is None else {"sha256": expected.sha256, "mode": expected.mode},
        "found": None if found is None else {"sha256": found.sha256, "mode": found.mode, "size": there.size},
        "found_in_words": there.words,
        "last_execution": None if drift.last_execution is None else drift.last_execution.model_dump(mode="json"),
        "git": None if drift.git is None else drift.git.model_dump(mode="json"),
        "transaction": drift.transaction,
    }


def _begin(call: Invocation, lines: QuietStream, report: DriftReport) -> None:
    now = SystemClock().now()
    if not call.json_output:
        show_watching(call.out, report)
    else:
        _line(lines, {"event": "watching", "at": isoformat(now), "checked": report.checked})
    for drift in report.drift:
        _tell(call, lines, DriftEvent(now, "drift", drift))


def _tell(call: Invocation, lines: QuietStream, item: DriftEvent) -> None:
    if not call.json_output:
        show_event(call.out, item)
    else:
        _line(lines, {"event": item.event, "at": isoformat(item.at), **drift_facts(item.drift)})


def _line(lines: QuietStream, value: dict[str, object]) -> None:
    lines.write(json.dumps(value, ensure_ascii=True) + "\n")


def _stopped(message: str) -> Callable[[Screen], None]:
    return lambda screen: screen.line(("STOPPED", "title"), f"  {message}")
