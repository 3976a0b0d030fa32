"""What the gate ruled and what a person said, as data that is bound by digests.

Invariant: a decision is bound to the plan, the change set's checksum, the policy and the resolved checks by
``context_digest``; an approval is bound to one decision by ``decision_digest``. Any difference voids them.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.digest import canonical_digest
from lonelycat.changes.model import Hash, Instant, Strict, as_tuple
from lonelycat.changes.plan import Actor, ChangePlan, Identifier, Names, Risk, RiskLevel
from lonelycat.governance.policy import Policy, RuleMode, Verdict

WRITEGATE_VERSION = "1"


def _verdict(value: object) -> object:
    return Verdict(value) if isinstance(value, str) else value


def _mode(value: object) -> object:
    return RuleMode(value) if isinstance(value, str) else value


VerdictField = Annotated[Verdict, BeforeValidator(_verdict)]


class Reason(Strict):
    """One thing that a rule found.

    Attributes:
        code: stable upper-case code, for example ``PATH_FORBIDDEN``.
        rule: the policy rule that decided, as a dotted path into the policy, for example
            ``executor.forbidden_paths`` or ``escalations.large-change``.
        verdict: what this reason alone asks for.
        risk: the level that this reason raises the risk to, or None.
        paths: the paths it is about, sorted; empty when about the whole change set.
        mode: ``shadow`` reasons are recorded and do not count.
        excepted_by: the exception that lifts this reason, or None; a lifted reason does not count.
    """

    code: str
    message: str
    rule: str
    verdict: VerdictField
    risk: Risk | None = None
    paths: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    hint: str = ""
    mode: Annotated[RuleMode, BeforeValidator(_mode)] = RuleMode.ENFORCE
    excepted_by: str | None = None

    @property
    def counts(self) -> bool:
        """Whether the reason bears on the verdict."""
        return self.mode is RuleMode.ENFORCE and self.excepted_by is None


class GovernanceDecision(Strict):
    """The gate's signed ruling on one plan and one change set.

    Attributes:
        violated_policies: the ``rule`` of every counting reason that is not ALLOW, sorted, unique.
        required_actions: what must still happen, in words, for example ``approval by 1 person``.
        policy_snapshot_hash: SHA-256 of the policy file's bytes.
        context_digest: see :func:`context_digest`.
        signature: base64 Ed25519 signature of the gate over :meth:`signed_payload`.
    """

    id: Identifier
    plan_id: Identifier
    changeset_id: Identifier
    checksum: Hash
    verdict: VerdictField
    reasons: Annotated[tuple[Reason, ...], BeforeValidator(as_tuple)] = ()
    violated_policies: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    required_actions: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    risk_level_effective: Risk = RiskLevel.LOW
    approvals_required: Annotated[int, Field(ge=0)] = 0
    policy_snapshot_hash: Hash
    context_digest: Hash
    writegate_version: str = WRITEGATE_VERSION
    evaluated_at: Instant
    expires_at: Instant
    evaluator: str = "writegate"
    signature: str = ""

    def signed_payload(self) -> dict[str, object]:
        """Return the JSON-compatible form that the signature covers: everything but the signature."""
        return self.model_dump(mode="json", exclude={"signature"})

    def digest(self) -> str:
        """Return the digest that an approval is bound to."""
        return canonical_digest(self.signed_payload())


class GovernanceApproval(Strict):
    """A person's yes to one decision: single use, expiring.

    Attributes:
        method: ``terminal`` (typed confirmation; signed with the workspace's key) or ``key`` (signed with the
            approver's own key, kept outside the workspace).
        signature: base64 Ed25519 signature over :meth:`signed_payload`.
    """

    id: Identifier
    plan_id: Identifier
    decision_id: Identifier
    decision_digest: Hash
    context_digest: Hash
    approved_by: Actor
    note: Annotated[str, Field(max_length=2_000)] = ""
    method: Literal["terminal", "key"]
    given_from: Annotated[str, Field(max_length=200)] = ""
    approved_at: Instant
    expires_at: Instant
    signature: str = ""

    def signed_payload(self) -> dict[str, object]:
        """Return the JSON-compatible form that the signature covers: everything but the signature."""
        return self.model_dump(mode="json", exclude={"signature"})


def context_digest(plan: ChangePlan, changeset: ChangeSet, policy: Policy, policy_hash: str) -> str:
    """Return the SHA-256 over everything that a yes is given to.

    It covers the plan, the checksum (and with it the base that the change applies to: every old hash and mode),
    the policy's hash, and the *resolved* verification commands, health specifications and restarts that will run.

    Raises:
        KeyError: a name in the plan that the policy does not define; the gate denies that before.
    """
    return canonical_digest(
        {
            "plan": plan.model_dump(mode="json"),
            "checksum": changeset.checksum,
            "policy": policy_hash,
            "verification": _resolved(plan.verification_plan, policy.verification),
            "health_checks": _resolved(plan.health_checks, policy.health_checks),
            "services": _resolved(plan.services, policy.services),
        }
    )


def _resolved(names: Names, defined: object) -> dict[str, object]:
    table: dict[str, Strict] = defined  # type: ignore[assignment]  # the three tables differ in value type only
    return {name: table[name].model_dump(mode="json") for name in names}
