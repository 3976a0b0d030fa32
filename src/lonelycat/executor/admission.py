"""The executor's own checks, made alone and as if no gate had run. Pure.

Each numbered step establishes one thing; the first that does not hold refuses, before anything is touched:
1. shape: every path is lexically safe, none protected, none twice, whatever built the models;
2. integrity: contents have their hashes, the changes have their checksum;
3. binding: the decision is about this plan, this change set, this checksum;
4. authenticity: the workspace's own gate signed the decision, unaltered, and it has not expired;
5. verdict: not DENY;
6. context: the policy and everything that will run is what was decided on;
7. bounds: allowed and forbidden paths and the numeric limits, judged again from the change set alone;
8. checks: the risk's required verification and health checks are in the plan;
9. approval: as many valid ones as the decision needs;
10. quarantine: the same change did not fail before, or the decision was made in knowledge of exactly that failure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from lonelycat.changes.changeset import ChangeSet, check_changes
from lonelycat.changes.paths import check_path, is_protected, printable
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.errors import LonelyCatError, NeedsApprovalError, RefusedError
from lonelycat.governance.approvals import ApprovalTerms, count_valid_approvals
from lonelycat.governance.decision import GovernanceApproval, GovernanceDecision, context_digest
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Constraints, Policy, Verdict
from lonelycat.governance.signing import verify_signature


@dataclass(frozen=True, slots=True)
class AdmissionTerms:
    """What is asked to be executed, and what it is held against *now*."""

    plan: ChangePlan
    changeset: ChangeSet
    decision: GovernanceDecision
    approvals: Sequence[GovernanceApproval]
    policy: Policy
    policy_hash: str
    gate_public_key: str
    now: datetime
    used_approvals: Collection[str] = ()
    failed: FailedChange | None = None
    """That the same change failed before and is in quarantine."""
    may_retry: bool = False
    """Whether the plan that failed may be executed again by the decision that it had then."""


TAMPERING = frozenset(
    {
        "APPROVAL_SIGNATURE",
        "BLOB_TAMPERED",
        "CHECKSUM_MISMATCH",
        "DECISION_MISMATCH",
        "DECISION_SIGNATURE",
        "STORED_CHANGESET_TAMPERED",
    }
)
"""Codes that are recorded as security events."""


def shows_tampering(error: LonelyCatError, changeset: ChangeSet) -> bool:
    """Tell whether a refusal is evidence of tampering: by its code, or because the change set is not what it says.

    A path that was altered after the checksum is refused for the path, which is looked at first; it is tampering still.
    """
    if error.code in TAMPERING:
        return True
    try:
        return changeset.integrity_error() is not None
    except Exception:  # noqa: BLE001 — a model that was never validated and cannot even be hashed
        return True


def admit(terms: AdmissionTerms) -> tuple[GovernanceApproval, ...]:
    """Return the approvals that count (and will be consumed) if ``terms`` may be executed.

    Raises:
        RefusedError: with the code of the first step that does not hold.
        NeedsApprovalError: all holds but there are too few approvals.
    """
    _check_shape(terms.changeset)
    problem = terms.changeset.integrity_error()
    if problem is not None:
        raise RefusedError("CHECKSUM_MISMATCH", problem, "The change set was altered; propose it again.")
    _check_binding(terms)
    _check_authenticity(terms)
    if terms.decision.verdict is Verdict.DENY:
        raise RefusedError(
            "DECISION_DENIED",
            "the gate denied this change",
            f"See `lonelycat show {terms.plan.id}` for the reasons; a DENY is final.",
        )
    _check_context(terms)
    _check_bounds(terms.changeset, terms.policy)
    _check_requirements(terms)
    approvals = _check_approvals(terms)
    _check_quarantine(terms)
    return approvals


def readmit(terms: AdmissionTerms) -> tuple[GovernanceApproval, ...]:
    """Check again what time may have changed since :func:`admit`: expiry, policy and context, approvals, quarantine.

    Plan, change set and decision are immutable; the policy's hash stands for the bounds.
    """
    _check_authenticity(terms)
    _check_context(terms)
    approvals = _check_approvals(terms)
    _check_quarantine(terms)
    return approvals


def _check_shape(changeset: ChangeSet) -> None:
    try:
        check_changes(changeset.changes)
        paths = [check_path(path) for change in changeset.changes for path in change.paths]
    except LonelyCatError as error:
        raise RefusedError(error.code, error.message, error.hint) from error
    for path in paths:
        if is_protected(path):
            raise RefusedError(
                "PATH_PROTECTED",
                f"{printable(path)} is protected under every policy",
                "LonelyCat never writes to .git or .lonelycat.",
            )


def _check_binding(terms: AdmissionTerms) -> None:
    decision, changeset = terms.decision, terms.changeset
    bound = (decision.plan_id, decision.changeset_id, decision.checksum, changeset.plan_id)
    if bound != (terms.plan.id, changeset.id, changeset.checksum, terms.plan.id):
        raise RefusedError(
            "DECISION_MISMATCH",
            "the decision is about another plan or change set",
            "Have exactly this plan and change set judged; then execute them.",
        )


def _check_authenticity(terms: AdmissionTerms) -> None:
    decision = terms.decision
    if not verify_signature(terms.gate_public_key, decision.signed_payload(), decision.signature):
        raise RefusedError(
            "DECISION_SIGNATURE",
            "the decision is not signed by this workspace's gate, or was altered",
            "Have the change judged again; a decision cannot be made by hand.",
        )
    if terms.now >= decision.expires_at:
        raise RefusedError(
            "DECISION_EXPIRED",
            f"the decision expired at {decision.expires_at.isoformat()}",
            f"Propose the change again; a stored one: lonelycat propose --rebase {terms.plan.id}",
        )


def _check_context(terms: AdmissionTerms) -> None:
    if terms.policy_hash != terms.decision.policy_snapshot_hash:
        raise RefusedError(
            "POLICY_CHANGED",
            "the policy is not the one that the decision was made under",
            "A changed policy voids decisions and approvals. Propose the change again; a stored one: "
            f"lonelycat propose --rebase {terms.plan.id}",
        )
    try:
        actual = context_digest(terms.plan, terms.changeset, terms.policy, terms.policy_hash)
    except KeyError as error:
        raise RefusedError(
            "PROFILE_UNKNOWN",
            f"the plan names {error.args[0]!r}, which the policy does not define",
            "Name verification profiles, health checks and services that the policy has.",
        ) from error
    if actual != terms.decision.context_digest:
        raise RefusedError(
            "CONTEXT_CHANGED",
            "the plan, or what it would run, is not what the decision was made about",
            "Propose the change again.",
        )


def _check_bounds(changeset: ChangeSet, policy: Policy) -> None:
    section = policy.executor
    allowed = compile_globs(section.allowed_paths)
    forbidden = compile_globs(section.forbidden_paths, folds=True)
    for change in changeset.changes:
        for path in change.paths:
            if forbidden.matches(path):
                raise RefusedError(
                    "PATH_FORBIDDEN", f"{printable(path)} is forbidden by the policy", "Leave the file out."
                )
            if not allowed.matches(path):
                raise RefusedError(
                    "PATH_NOT_ALLOWED", f"{printable(path)} is outside of what the policy allows", "Leave the file out."
                )
    _check_amounts(changeset, section.constraints)


def _check_amounts(changeset: ChangeSet, limits: Constraints) -> None:
    sizes = [change.new_size or 0 for change in changeset.changes]
    deletions = sum(1 for change in changeset.changes if change.new_hash is None)
    for amount, limit, what in (
        (len(sizes), limits.max_files_touched, "files touched"),
        (deletions, limits.max_deletions, "files deleted"),
        (max(sizes), limits.max_file_bytes, "bytes in one file"),
        (sum(sizes), limits.max_total_bytes, "bytes in all"),
    ):
        if amount > limit:
            raise RefusedError(
                "LIMIT_EXCEEDED", f"{amount} {what}; the policy's limit is {limit}", "Split the change set."
            )


def _check_requirements(terms: AdmissionTerms) -> None:
    section, plan = terms.policy.executor, terms.plan
    risk = max(terms.decision.risk_level_effective, plan.risk_level_proposed, RiskLevel.LOW)
    for levels, named, what in (
        (section.require_verification_for_risk, plan.verification_plan, "verification"),
        (section.require_health_checks_for_risk, plan.health_checks, "health checks"),
    ):
        if risk in levels and not named:
            raise RefusedError(
                "REQUIREMENT_MISSING", f"the policy requires {what} at risk {risk}; the plan has none", "Add a profile."
            )


def _check_quarantine(terms: AdmissionTerms) -> None:
    """A yes that was said in knowledge of a failure holds for that failure; a new one needs a new look."""
    failed = terms.failed
    if failed is None or failed.is_known_to(terms.decision):
        return
    if terms.may_retry and failed.plan_id == terms.plan.id:
        return
    raise NeedsApprovalError(
        "DIGEST_QUARANTINED",
        f"the same change failed in {failed.execution_id} with {failed.code} and was not kept",
        f"Look at `lonelycat show {failed.execution_id}`. Propose the change again and let a person approve it in "
        f"spite of that, or release it with `lonelycat release {failed.checksum} --by NAME --reason TEXT`.",
        details={"failed_execution_id": failed.execution_id, "failed_code": failed.code},
    )


def _check_approvals(terms: AdmissionTerms) -> tuple[GovernanceApproval, ...]:
    tally = count_valid_approvals(
        ApprovalTerms(
            decision=terms.decision,
            plan=terms.plan,
            changeset=terms.changeset,
            policy=terms.policy,
            policy_hash=terms.policy_hash,
            gate_public_key=terms.gate_public_key,
            now=terms.now,
            used_ids=terms.used_approvals,
        ),
        terms.approvals,
    )
    if tally.sufficient:
        return tally.valid[: tally.required]
    first = tally.problems[0]
    kind = NeedsApprovalError if first.code == "APPROVAL_MISSING" else RefusedError
    raise kind(
        first.code,
        first.message,
        f"`lonelycat approve {terms.plan.id} --by NAME` by a person other than {terms.plan.created_by}.",
        details={"approvals_required": tally.required, "approvals_valid": len(tally.valid)},
    )
