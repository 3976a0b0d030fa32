"""How a person says yes: the decision and the diff are shown, and a phrase is typed at a terminal.

Invariant: without a terminal or a key there is no approval. What is typed is handed on as it is; the façade judges it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lonelycat.interfaces.cli.exits import BY_STATUS
from lonelycat.interfaces.cli.invocation import Invocation
from lonelycat.interfaces.cli.judgements import proposal_facts
from lonelycat.interfaces.cli.neutral import neutral_lines
from lonelycat.interfaces.cli.render.decision import show_decision
from lonelycat.interfaces.cli.render.diff import diffstat, show_diff
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.interfaces.cli.terminal import ask, name_of_terminal, terminal
from lonelycat.lifecycle import Status

if TYPE_CHECKING:
    from lonelycat.records.entries import Proposal
    from lonelycat.runtime.consent import TerminalConfirmation
    from lonelycat.runtime.service import LonelyCat

_MOST_LINES = 200


def approve(call: Invocation, plan_id: str, *, by: str, note: str, key: Path | None) -> Report:
    """Approve with ``key``, or with what a person types."""
    from lonelycat.runtime.consent import KeyConfirmation

    service = call.service()
    key = key or service.settings.approver_key
    confirmation = KeyConfirmation(key) if key is not None else _ask(service, plan_id)
    return _report(service.approve(plan_id, by=by, note=note, confirmation=confirmation), by)


def _ask(service: LonelyCat, plan_id: str) -> TerminalConfirmation:
    from lonelycat.runtime.consent import TerminalConfirmation

    phrase = service.confirmation_phrase(plan_id)
    with terminal() as (reader, writer):
        screen = Screen(writer)
        rest = _show_what_is_asked(screen, service.proposal(plan_id), service.preview(plan_id))
        screen.blank()
        screen.line("To approve exactly this, type ", (phrase, "title"), " and press Enter.")
        screen.line("Anything else leaves the plan waiting.", *([" d shows the rest of the diff."] if rest else []))
        while True:
            typed = ask(screen, reader)
            if typed.strip() != "d":
                return TerminalConfirmation(typed=typed, tty=name_of_terminal(reader.fileno()))
            screen.lines(rest)


def _show_what_is_asked(screen: Screen, proposal: Proposal, diff: bytes) -> list[str]:
    """Show the decision and the beginning of the diff; return the rest of the diff, a line each."""
    added, removed = diffstat(diff)
    show_decision(screen, proposal.plan, proposal.changeset, proposal.decision)
    screen.line(("the change", "title"), f"  {added} lines added, {removed} removed")
    lines = diff.split(b"\n")
    left_out = show_diff(screen, diff, most_lines=_MOST_LINES)
    if left_out == 0:
        return []
    screen.line((f"… {left_out} more lines of the diff: type d to see them", "warn"))
    return neutral_lines(b"\n".join(lines[_MOST_LINES:]).decode("utf-8", "surrogateescape"))


def _report(proposal: Proposal, by: str) -> Report:
    approved = proposal.status is Status.APPROVED
    plan_id, needed = proposal.plan.id, proposal.decision.approvals_required
    given = len(proposal.approvals)
    message = f"{plan_id} is approved" if approved else f"{given} of {needed} approvals are given"
    now = f"lonelycat execute {plan_id}" if approved else "Another person has to approve it too."

    def show(screen: Screen) -> None:
        title = ("APPROVED", "good") if approved else ("NOT YET ENOUGH", "warn")
        screen.line(title, f"  {proposal.plan.intent}")
        screen.line((f"{plan_id}   {given} of {needed} approvals, the last by {by}", "dim"), indent=2)
        screen.line(("Your files were not touched.", "dim"), indent=2)
        screen.line(("what now: ", "title"), now, indent=2)

    facts = {
        **proposal_facts(proposal),
        "approvals_given": given,
        "approvals_required": needed,
        "approved_by": by,
    }
    code = None if approved else "NEEDS_APPROVAL"
    return Report(BY_STATUS[proposal.status], facts, show, code, message, now)
