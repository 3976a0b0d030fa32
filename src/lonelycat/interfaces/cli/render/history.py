"""How history and the present state look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lonelycat.changes.paths import printable
from lonelycat.clock import SystemClock
from lonelycat.interfaces.cli.neutral import neutral_lines
from lonelycat.interfaces.cli.render.execution import duration, end_of, show_result, show_steps
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.lifecycle import Status

if TYPE_CHECKING:
    from lonelycat.governance.decision import GovernanceApproval
    from lonelycat.records.entries import AwaitedConfirmation, ExecutionRow, Proposal
    from lonelycat.runtime.overview import ShowReport, StatusReport
    from lonelycat.runtime.quarantined import Quarantined
    from lonelycat.runtime.reverts import Reverts
    from lonelycat.runtime.standing import Void

_LOG_LINES = 20
_MOST_QUARANTINED = 20
_MOST_PLANS = 10
_MOST_VOID = 3
_VOID = {"expired": "its decision expired", "policy_changed": "the policy was changed"}


def show_log(
    screen: Screen, rows: Sequence[ExecutionRow], intents: Mapping[str, str], reverted: Mapping[str, str]
) -> None:
    """Write two lines per execution, newest first.

    Args:
        intents: what each plan was for, by plan id.
        reverted: what took an execution back, by its id, where something did.
    """
    if not rows:
        screen.line("No executions.", indent=2)
    for row in rows:
        result = row.result
        style, title, _ = end_of(result.status)
        screen.line(
            (f"{moment(result.finished_at)}  ", "dim"), (f"{title:<15} ", style), intents.get(result.plan_id, "")
        )
        took = duration((result.finished_at - result.started_at).total_seconds())
        count = len(result.files_changed)
        facts = f"{result.execution_id}  {count} file{'s' if count != 1 else ''}  {took}"
        end = [(f"  {result.error_code}", style)] if result.error_code else []
        if result.execution_id in reverted:
            end = [(f"  reverted by {reverted[result.execution_id]}", "warn")]
        screen.line((facts, "dim"), *end, indent=21)
        if not row.intact:
            screen.line(("ALTERED: this row is not what LonelyCat wrote", "bad"), indent=21)


def moment(at: datetime) -> str:
    """Return ``at`` in local time, as ``2026-03-01 12:00:00``."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def show_status(screen: Screen, report: StatusReport, intents: Mapping[str, str], reverted: Mapping[str, str]) -> None:
    """Write what is going on, the urgent first; ``intents`` and ``reverted`` as in :func:`show_log`."""
    if not report.initialised:
        screen.line(("NOT SET UP", "warn"), "  Nothing was proposed here yet.")
        screen.line(("what now: ", "title"), "lonelycat init", indent=2)
        return
    if report.frozen is not None:
        since = moment(report.frozen.frozen_at)
        screen.line(("FROZEN", "bad"), f"  Nothing executes here since {since}: {report.frozen.reason}")
        screen.line(
            ("what now: ", "title"), "lonelycat doctor, then lonelycat unfreeze --by NAME --reason TEXT", indent=2
        )
    elif report.holder is not None:
        screen.line(("RUNNING", "warn"), f"  {report.holder}")
        if report.awaiting_confirmation is not None:
            show_awaited(screen, report.awaiting_confirmation)
    else:
        screen.line(("IDLE", "good"), "  Nothing is being executed.")
    for name in report.unfinished:
        _show_unfinished(screen, name)
    for restart in report.pending_restarts:
        screen.line(("restart pending ", "bad"), f"{restart.service}: see `lonelycat recover`", indent=2)
    if report.unproven:
        screen.line(
            ("unproven health checks ", "warn"), f"{', '.join(report.unproven)}: see `lonelycat health test`", indent=2
        )
    _show_quarantine(screen, report.quarantined)
    more = report.not_listed
    waiting, ready, void = report.awaiting_approval, report.approved, report.void
    _show_plans(screen, "waiting for a person", waiting, more.get("awaiting_approval", 0), "approve {} --by NAME")
    _show_plans(screen, "ready to execute", ready, more.get("approved", 0), "execute {}")
    _show_void(screen, void, more.get("void", 0))
    screen.line(("recent", "title"))
    show_log(screen, report.recent, intents, reverted)


def show_awaited(screen: Screen, asked: AwaitedConfirmation) -> None:
    """Write what a change in place waits for, and how much time is left."""
    left = duration(max(0.0, (asked.deadline - SystemClock().now()).total_seconds()))
    screen.line(("waits for a person ", "warn"), f"{left} left, then it goes back: {asked.intent}", indent=2)
    screen.line((f"lonelycat confirm {asked.execution_id} --by NAME", "id"), indent=4)


def _show_quarantine(screen: Screen, items: Sequence[Quarantined]) -> None:
    if not items:
        return
    screen.line((f"in quarantine ({len(items)}); `lonelycat doctor` says what to do", "warn"))
    for item in items[:_MOST_QUARANTINED]:
        path = "not known where it belongs" if item.path is None else printable(item.path)
        size = "" if item.size is None else f"  {item.size} bytes"
        screen.line(path, (f"{size}  {moment(item.kept_at)}", "dim"), indent=2)
        screen.line((printable(item.place), "dim"), indent=4)
    if len(items) > _MOST_QUARANTINED:
        screen.line((f"… and {len(items) - _MOST_QUARANTINED} more", "dim"), indent=2)


def _show_unfinished(screen: Screen, execution_id: str) -> None:
    what = f"{execution_id}: not finished and not taken back; see `lonelycat recover`"
    screen.line(("unfinished ", "bad"), what, indent=2)


def _show_plans(screen: Screen, title: str, proposals: Sequence[Proposal], more: int, command: str) -> None:
    if total := len(proposals) + more:
        screen.line((f"{title} ({total})", "title"))
        _list_plans(screen, proposals[:_MOST_PLANS], total, command)


def _show_void(screen: Screen, proposals: Sequence[Proposal], more: int) -> None:
    if total := len(proposals) + more:
        screen.line((f"void ({total}): the decision expired, or the policy was changed since", "dim"))
        _list_plans(screen, proposals[:_MOST_VOID], total, "propose --rebase {}")


def _list_plans(screen: Screen, proposals: Sequence[Proposal], total: int, command: str) -> None:
    for proposal in proposals:
        screen.line(proposal.plan.intent, (f"  by {proposal.plan.created_by}", "dim"), indent=2)
        screen.line((f"lonelycat {command.format(proposal.plan.id)}", "id"), indent=4)
    if total > len(proposals):
        screen.line((f"… and {total - len(proposals)} older ones", "dim"), indent=2)


def show_whole(screen: Screen, report: ShowReport) -> None:
    """Write one thing whole: the proposal, who approved it, and how its execution went."""
    from lonelycat.interfaces.cli.render.decision import show_decision

    if report.proposal is not None:
        proposal = report.proposal
        show_decision(screen, proposal.plan, proposal.changeset, proposal.decision)
        standing, command = _standing(proposal, report.void)
        screen.line((f"proposed {moment(proposal.created_at)}; {standing}", "dim"), indent=2)
        if proposal.rejected_by is not None:
            screen.line(("rejected ", "bad"), f"by {proposal.rejected_by}: {proposal.note}", indent=2)
        if proposal.quarantined:
            screen.line(("careful ", "warn"), "exactly this change failed before and was not kept", indent=2)
        for approval in proposal.approvals:
            _show_approval(screen, approval)
        if command and report.awaiting_confirmation is None and report.unfinished is None and report.running is None:
            screen.line(("what now: ", "title"), f"lonelycat {command}", indent=2)
    if report.awaiting_confirmation is not None:
        show_awaited(screen, report.awaiting_confirmation)
    if report.unfinished is not None:
        _show_unfinished(screen, report.unfinished)
    if report.running is not None:
        screen.line(("RUNNING", "warn"), f"  {report.running}")
    if report.execution is not None:
        result = report.execution.result
        screen.line(("steps", "title"), (f"  started {moment(result.started_at)}", "dim"))
        show_steps(screen, result.steps)
        for name, data in report.logs:
            _show_step_log(screen, name, data)
        show_result(screen, result, advise=False, reverted=report.reverts.done is not None)
        _show_reverts(screen, report.reverts)
        if not report.execution.intact:
            screen.line(("ALTERED", "bad"), "  This record is not what LonelyCat wrote; see `lonelycat audit verify`.")
        for problem in report.edited:
            screen.line(("ALTERED", "bad"), f"  {printable(problem)}; see `lonelycat audit verify`.")


def _show_reverts(screen: Screen, reverts: Reverts) -> None:
    if reverts.done is not None:
        result = reverts.done.result
        screen.line(("reverted ", "warn"), f"by {result.execution_id}, {moment(result.finished_at)}", indent=2)
    for proposal in reverts.proposed[:_MOST_PLANS]:
        plan = proposal.plan
        screen.line(("a revert is proposed ", "warn"), f"by {plan.created_by}: lonelycat show {plan.id}", indent=2)


def _standing(proposal: Proposal, void: Void | None) -> tuple[str, str]:
    """Return where a plan stands, in words, and the command that takes it further, or "" where none does."""
    plan_id = proposal.plan.id
    match proposal.status:
        case _ if proposal.rejected_by is not None:
            return "rejected for good", ""
        case Status.DENIED:
            return "denied: nobody can approve or execute it", ""
        case _ if proposal.execution_status not in (None, Status.REJECTED):
            return f"executed last as {proposal.execution_id}: {proposal.execution_status}", ""
        case _ if void is not None:
            return f"void since {_VOID[void]}", f"propose --rebase {plan_id}"
        case Status.AWAITING_APPROVAL:
            return "waits for a person", f"approve {plan_id} --by NAME"
        case Status.APPROVED if proposal.approvals:
            return "approved", f"execute {plan_id}"
        case Status.APPROVED:
            return "the policy allows it, so nobody has to approve it", f"execute {plan_id}"
        case _:
            return str(proposal.status), ""


def _show_approval(screen: Screen, approval: GovernanceApproval) -> None:
    how = f"by {approval.method}" + (f", {approval.given_from}" if approval.given_from else "")
    screen.line(("approved ", "good"), f"{approval.approved_by}, {moment(approval.approved_at)}, {how}", indent=2)
    if approval.note:
        screen.line(approval.note, indent=4)


def _show_step_log(screen: Screen, name: str, data: bytes) -> None:
    lines = neutral_lines(data.decode("utf-8", "surrogateescape"))
    screen.line((name, "title"), (f"  {len(lines)} lines", "dim"), indent=2)
    for line in lines[-_LOG_LINES:]:
        screen.line((line, "dim"), indent=4, keep_tabs=True)
