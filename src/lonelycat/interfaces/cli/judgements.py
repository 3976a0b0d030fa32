"""A judgement as an answer: its JSON facts, its exit code, its looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lonelycat.governance.policy import Verdict
from lonelycat.interfaces.cli.exits import BY_VERDICT, Exit
from lonelycat.interfaces.cli.report import Report
from lonelycat.interfaces.cli.screen import Screen
from lonelycat.lifecycle import Status

if TYPE_CHECKING:
    from lonelycat.changes.changeset import ChangeSet
    from lonelycat.changes.plan import ChangePlan
    from lonelycat.governance.decision import GovernanceDecision
    from lonelycat.records.entries import Proposal
    from lonelycat.runtime.judgement import Judgement

_CODES: dict[Verdict, str | None] = {
    Verdict.ALLOW: None,
    Verdict.NEED_APPROVAL: "NEEDS_APPROVAL",
    Verdict.DENY: "DENIED",
}
_MEND = "Mend the change and check it again; nothing was touched."


def judgement_facts(judgement: Judgement) -> dict[str, object]:
    """Return what a program wants to know of ``judgement``, JSON-compatible."""
    facts = decision_facts(judgement.plan, judgement.changeset, judgement.decision)
    more = {"status": str(judgement.status), "stored": judgement.stored, "explanation": list(judgement.explanation)}
    if judgement.rehearsal is not None:
        from lonelycat.interfaces.cli.rehearsing import rehearsal_facts

        more["rehearsal"] = rehearsal_facts(judgement.rehearsal)
    return {**facts, **more}


def proposal_facts(proposal: Proposal) -> dict[str, object]:
    """Return what a program wants to know of a stored proposal, JSON-compatible."""
    return {
        **decision_facts(proposal.plan, proposal.changeset, proposal.decision),
        "status": str(proposal.status),
        "created_at": proposal.created_at.isoformat(),
        "approvals": [approval.model_dump(mode="json") for approval in proposal.approvals],
        "rejected_by": proposal.rejected_by,
        "note": proposal.note,
        "quarantined": proposal.quarantined,
        "execution_id": proposal.execution_id,
    }


def decision_facts(plan: ChangePlan, changeset: ChangeSet, decision: GovernanceDecision) -> dict[str, object]:
    """Return what a program wants to know of a decision, JSON-compatible."""
    return {
        "plan_id": plan.id,
        "changeset_id": changeset.id,
        "checksum": changeset.checksum,
        "decision_id": decision.id,
        "verdict": str(decision.verdict),
        "risk_level": str(decision.risk_level_effective),
        "reasons": [reason.model_dump(mode="json") for reason in decision.reasons],
        "violated_policies": list(decision.violated_policies),
        "required_actions": list(decision.required_actions),
        "expires_at": decision.expires_at.isoformat(),
        "intent": plan.intent,
        "created_by": plan.created_by,
        "verification_plan": list(plan.verification_plan),
        "health_checks": list(plan.health_checks),
        "services": list(plan.services),
        "changes": [
            {key: value for key, value in change.canonical().items() if value is not None}
            for change in changeset.changes
        ],
    }


def judgement_report(judgement: Judgement, *, kept_as: str | None = None) -> Report:
    """Return the answer of ``propose`` and ``check``: the verdict, or a failed rehearsal, decides the exit code.

    Args:
        kept_as: the plan that was judged again, which stands as it stood.
    """
    verdict = judgement.decision.verdict
    counting = [reason for reason in judgement.decision.reasons if reason.counts and reason.verdict is verdict]
    message = "; ".join(reason.message for reason in counting) if verdict is not Verdict.ALLOW else "allowed"
    code, answer, hint = _CODES[verdict], BY_VERDICT[str(verdict)], next_step(judgement, kept_as)
    if is_allowed(judgement) and verdict is not Verdict.ALLOW:
        code, answer, message = None, Exit.DONE, "approved"
    rehearsal = judgement.rehearsal
    if rehearsal is not None and verdict is not Verdict.DENY and rehearsal.error is not None:
        from lonelycat.interfaces.cli.rehearsing import exit_of_rehearsal

        answer = exit_of_rehearsal(rehearsal) or answer
        code, message, hint = rehearsal.error.code, f"the rehearsal failed: {rehearsal.error.message}", _MEND
    facts = judgement_facts(judgement)
    return Report(answer, facts, lambda screen: show_judgement(screen, judgement, kept_as), code, message, hint)


def show_judgement(screen: Screen, judgement: Judgement, kept_as: str | None = None) -> None:
    """Write the decision, and what now; ``kept_as`` as in :func:`judgement_report`."""
    from lonelycat.interfaces.cli.render.decision import show_decision

    show_decision(screen, judgement.plan, judgement.changeset, judgement.decision, explanation=judgement.explanation)
    if judgement.rehearsal is not None:
        from lonelycat.interfaces.cli.rehearsing import show_rehearsal

        show_rehearsal(screen, judgement.rehearsal)
    screen.blank()
    screen.line(("Your files were not touched.", "dim"))
    screen.line(("what now: ", "title"), next_step(judgement, kept_as))


def next_step(judgement: Judgement, kept_as: str | None = None) -> str:
    """Return what the reader of the judgement can do next; ``kept_as`` as in :func:`judgement_report`."""
    plan_id = judgement.plan.id
    if judgement.rehearsal is not None and not judgement.rehearsal.passed and not is_denied(judgement):
        return _MEND
    match judgement.decision.verdict:
        case Verdict.DENY:
            return "Change what the reasons name and propose it again; nobody can approve a denied change."
        case _ if kept_as is not None:
            return f"Nothing was stored; lonelycat show {kept_as} says where the plan stands."
        case _ if not judgement.stored:
            return "Nothing was stored; `lonelycat propose` with the same arguments does."
        case Verdict.NEED_APPROVAL if not is_allowed(judgement):
            return f"A person other than the proposer runs: lonelycat approve {plan_id} --by NAME --note TEXT"
        case _:
            return f"lonelycat execute {plan_id}"


def is_denied(judgement: Judgement) -> bool:
    """Tell whether nobody can approve the judged plan."""
    return judgement.decision.verdict is Verdict.DENY


def is_allowed(judgement: Judgement) -> bool:
    """Tell whether the judged plan can be executed as it stands: the policy allows it, or a person has."""
    return judgement.status is Status.APPROVED
