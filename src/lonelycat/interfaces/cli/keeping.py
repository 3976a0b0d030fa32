"""How a person keeps a change that waits, takes it back, or releases one that had failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lonelycat.clock import SystemClock, isoformat
from lonelycat.interfaces.cli.exits import Exit
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.render.diff import show_diff
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.interfaces.cli.terminal import ask, name_of_terminal, terminal

if TYPE_CHECKING:
    from lonelycat.records.entries import AwaitedConfirmation
    from lonelycat.runtime.consent import Confirmation
    from lonelycat.runtime.service import LonelyCat

_MOST_LINES = 200


def confirm(call: Invocation, execution_id: str, *, by: str, note: str, keep: bool, key: Path | None) -> Report:
    """Say of a waiting change that it stays, with ``key`` or what a person types; or that it goes back."""
    service = call.service()

    def show(screen: Screen) -> None:
        shown = service.show(execution_id)
        if shown.proposal is not None:
            screen.line(("in place and waiting", "title"), f"  {shown.proposal.plan.intent}")
        show_diff(screen, service.diff(execution_id), most_lines=_MOST_LINES)

    given = _given(service, key, service.confirm_phrase(execution_id), show, "To keep the change") if keep else None
    asked = service.confirm(execution_id, by=by, note=note, confirmation=given, keep=keep)
    return _report(asked, by, keep=keep)


def release(call: Invocation, checksum: str, *, by: str, reason: str, key: Path | None) -> Report:
    """Release a failed change, with ``key`` or what a person types."""
    service = call.service()
    phrase = service.release_phrase(checksum)

    def show(screen: Screen) -> None:
        screen.line(("failed change", "title"), f"  {checksum}")

    given = _given(service, key, phrase, show, "To let it be made again")
    found = service.release(checksum, by=by, reason=reason, confirmation=given)

    def tell(screen: Screen) -> None:
        screen.line(("RELEASED", "good"), "  The change may be made again. The release is in the audit log.")
        screen.line((f"by {by}: {reason}", "dim"), indent=2)

    facts = {
        "checksum": checksum,
        "released_by": by,
        "reason": reason,
        "failed_execution_id": found.failed.execution_id,
        "failed_code": found.failed.code,
    }
    return Report(Exit.DONE, facts, tell, message="the change is released")


def _given(
    service: LonelyCat, key: Path | None, phrase: str, show: Callable[[Screen], None], what_for: str
) -> Confirmation:
    from lonelycat.runtime.consent import KeyConfirmation, TerminalConfirmation

    key = key or service.settings.approver_key
    if key is not None:
        return KeyConfirmation(key)
    with terminal() as (reader, writer):
        screen = Screen(writer)
        show(screen)
        screen.blank()
        screen.line(f"{what_for}, type ", (phrase, "title"), " and press Enter. Anything else leaves it as it is.")
        return TerminalConfirmation(typed=ask(screen, reader), tty=name_of_terminal(reader.fileno()))


def confirmation_facts(asked: AwaitedConfirmation | None) -> dict[str, object] | None:
    """Return what a program wants to know of a change that waits for a person's word, JSON-compatible."""
    if asked is None:
        return None
    left = (asked.deadline - SystemClock().now()).total_seconds()
    return {
        "execution_id": asked.execution_id,
        "plan_id": asked.plan_id,
        "decision_digest": asked.decision_digest,
        "proposed_by": asked.proposed_by,
        "intent": asked.intent,
        "asked_at": isoformat(asked.asked_at),
        "deadline": isoformat(asked.deadline),
        "seconds_left": round(max(0.0, left), 1),
    }


def _report(asked: AwaitedConfirmation, by: str, *, keep: bool) -> Report:
    one = asked.execution_id
    message = f"{by} keeps the change of {one}" if keep else f"{by} takes the change of {one} back"
    now = f"lonelycat show {one} tells how it ended."

    def show(screen: Screen) -> None:
        title = ("CONFIRMED", "good") if keep else ("TAKEN BACK", "warn")
        what = "The waiting execution keeps it." if keep else "The waiting execution takes it back."
        screen.line(title, f"  {asked.intent}")
        screen.line((f"{one}   by {by}. {what}", "dim"), indent=2)
        screen.line(("what now: ", "title"), now, indent=2)

    facts = {
        "execution_id": one,
        "plan_id": asked.plan_id,
        "decision_digest": asked.decision_digest,
        "said": "keep" if keep else "take_back",
        "said_by": by,
        "deadline": isoformat(asked.deadline),
    }
    return Report(Exit.DONE, facts, show, None, message, now)
