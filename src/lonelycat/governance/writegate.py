"""The WriteGate: judges a plan and a change set against the policy. It never executes and never raises on its input.

Invariants:
- One evaluation path: enforcing, shadow and check run the same rules; shadow findings are recorded and do not count.
- Every family runs and every finding is reported, in an order that depends on the findings alone.
- Closed by default: a rule that crashes is a DENY, and so is a gate that crashes.
- The effective risk is never below the proposed one.
- Same policy, plan, change set, contents and time: same verdict, same reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.digest import HASH_PATTERN, canonical_digest
from lonelycat.changes.paths import fold, to_wire
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.clock import Clock, IdSource
from lonelycat.governance import rules
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.decision import GovernanceDecision, Reason, context_digest
from lonelycat.governance.facts import ContentReader, Facts
from lonelycat.governance.policy import Policy, RuleMode, Verdict
from lonelycat.governance.rules import exceptions
from lonelycat.governance.rules.base import SEVERITY, Finding, Rule, RuleContext
from lonelycat.governance.secrets import masked
from lonelycat.governance.signing import Signer

if TYPE_CHECKING:
    from lonelycat.governance.failed_changes import FailedChange

MAX_PATHS_SHOWN = 100
"""How many paths one reason lists; its message says how many there are."""


class Judgement(NamedTuple):
    """What the rules add up to, before it is made a signed decision."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    risk: RiskLevel


class WriteGate:
    """Judges under one policy.

    Args:
        policy: the policy in force.
        policy_hash: the policy's identity, see :class:`LoadedPolicy`.
        clock: where the time of judgement comes from (freezes, expiries).
        ids: where the decision's id comes from.
        signer: signs each decision.
        contents: where contents come from that the change set does not carry, and the old ones; None means that
            only what the change set carries can be looked at.
        policy_paths: where the policy in force and its known pins lie in the workspace; whoever changes one needs a
            person, wherever it is.
        policy_trusted: False when nobody stands behind the policy yet: it was changed by something other than an
            accountable execution. Then every change needs a person.
        known_pins: which commits the tags of actions and hooks are known to point to; ``policy_hash`` covers them.
        failed: tells whether the same change failed before and is in quarantine; a fact from the records.
    """

    def __init__(
        self,
        policy: Policy,
        policy_hash: str,
        *,
        clock: Clock,
        ids: IdSource,
        signer: Signer,
        contents: ContentReader | None = None,
        policy_paths: Iterable[str] = (),
        policy_trusted: bool = True,
        known_pins: KnownPins | None = None,
        failed: Callable[[ChangePlan, ChangeSet], FailedChange | None] = lambda plan, changeset: None,
    ) -> None:
        self._known_pins = known_pins or KnownPins()
        self._policy_paths = frozenset(map(fold, policy_paths))
        self._policy = policy
        self._policy_trusted = policy_trusted
        self._policy_hash = policy_hash
        self._clock = clock
        self._ids = ids
        self._signer = signer
        self._contents = contents
        self._failed = failed

    def evaluate(self, plan: ChangePlan, changeset: ChangeSet) -> GovernanceDecision:
        """Return the signed decision on ``changeset`` as the plan's change; DENY with a reason if anything fails.

        Raises:
            StateError: the records cannot say whether the same change failed before.
        """
        now = self._clock.now()
        failed = self._failed(plan, changeset)
        try:
            decision = self._decision(plan, changeset, self.judge(plan, changeset, now, failed), now)
            return decision.model_copy(update={"signature": self._signer.sign(decision.signed_payload())})
        except Exception as error:  # noqa: BLE001  # closed by default: whatever a hostile model breaks is a DENY
            crash = Judgement(Verdict.DENY, (_crash("builtin.gate", error),), RiskLevel.CRITICAL)
            decision = self._denial(plan, changeset, crash, now)
            return decision.model_copy(update={"signature": self._signer.sign(decision.signed_payload())})

    def judge(
        self, plan: ChangePlan, changeset: ChangeSet, now: datetime, failed: FailedChange | None = None
    ) -> Judgement:
        """Run every rule at ``now`` and return what they add up to.

        Args:
            failed: that the same change failed before and is in quarantine.
        """
        policy = self._policy
        most = policy.content.max_scan_bytes
        facts = Facts(changeset.changes, self._contents, max_scan_bytes=most, known_pins=self._known_pins)
        context = RuleContext(policy, plan, changeset, facts, now, plan.risk_level_proposed)
        first = self._weigh(rules.RAISING, context)
        if not self._policy_trusted:
            first.append(_NOT_ADOPTED)
        rewritten = tuple(path for path in facts.touched_paths if fold(path) in self._policy_paths)
        if rewritten:
            first.append(_POLICY_REWRITTEN._replace(paths=rewritten))
        if failed is not None:
            first.append(_quarantined(failed))
        raised = [finding.risk for finding in first if finding.counts and finding.risk is not None]
        effective = max(plan.risk_level_proposed, policy.default_risk, *raised)
        context = RuleContext(policy, plan, changeset, facts, now, effective)
        findings = sorted(first + self._weigh(rules.BY_RISK, context), key=_order)
        verdict = max((f.verdict for f in findings if f.counts), key=SEVERITY.__getitem__, default=Verdict.ALLOW)
        return Judgement(verdict, tuple(findings), effective)

    def _weigh(self, families: Sequence[Rule], context: RuleContext) -> list[Finding]:
        found: list[Finding] = []
        for family in families:
            try:
                found.extend(family(context))
            except Exception as error:  # noqa: BLE001  # a rule that crashes denies, and the others still report
                found.append(_crash(family.__module__.rpartition(".")[2], error))
        return exceptions.apply(_shadowed(found, self._policy.shadow), context)

    def _decision(
        self, plan: ChangePlan, changeset: ChangeSet, judgement: Judgement, now: datetime
    ) -> GovernanceDecision:
        policy, verdict = self._policy, judgement.verdict
        counting = [each for each in judgement.findings if each.counts and each.verdict is not Verdict.ALLOW]
        quorum = {RiskLevel[level]: people for level, people in policy.approvals.quorum.items()}
        needed = quorum.get(judgement.risk, 1) if verdict is Verdict.NEED_APPROVAL else 0
        unknown = any(finding.code in _UNRESOLVABLE for finding in judgement.findings)
        return GovernanceDecision(
            id=self._ids.new("dec"),
            plan_id=plan.id,
            changeset_id=changeset.id,
            checksum=changeset.checksum,
            verdict=verdict,
            reasons=tuple(_reason(finding) for finding in judgement.findings),
            violated_policies=tuple(sorted({finding.rule for finding in counting})),
            required_actions=_required_actions(verdict, counting, needed, plan),
            risk_level_effective=judgement.risk,
            approvals_required=needed,
            policy_snapshot_hash=self._policy_hash,
            context_digest=(
                _void(changeset.checksum) if unknown else context_digest(plan, changeset, policy, self._policy_hash)
            ),
            evaluated_at=now,
            expires_at=now + timedelta(seconds=policy.approvals.expires_after),
        )

    def _denial(self, plan: object, changeset: object, judgement: Judgement, now: datetime) -> GovernanceDecision:
        """Return a decision that can be built whatever the plan and the change set are."""
        checksum = getattr(changeset, "checksum", None)
        known = checksum if isinstance(checksum, str) and HASH_PATTERN.fullmatch(checksum) else _void("")
        return GovernanceDecision(
            id=self._ids.new("dec"),
            plan_id=_identifier(plan, "plan_unknown"),
            changeset_id=_identifier(changeset, "cs_unknown"),
            checksum=known,
            verdict=judgement.verdict,
            reasons=tuple(_reason(finding) for finding in judgement.findings),
            violated_policies=tuple(sorted({finding.rule for finding in judgement.findings})),
            required_actions=tuple(finding.hint for finding in judgement.findings),
            risk_level_effective=judgement.risk,
            policy_snapshot_hash=self._policy_hash,
            context_digest=_void(known),
            evaluated_at=now,
            expires_at=now,
        )


_NOT_ADOPTED = Finding(
    "POLICY_NOT_ADOPTED", Verdict.NEED_APPROVAL, "builtin.policy_in_force",
    "the policy was changed by something other than LonelyCat, and nobody has approved a change under it yet",
    "Read the change to the policy; an approval of this change adopts it.",
)  # fmt: skip
_POLICY_REWRITTEN = Finding(
    "GOVERNANCE_PATH", Verdict.NEED_APPROVAL, "builtin.policy_in_force",
    "is the policy in force itself, or what it knows of the pins of CI",
    "A person other than the proposer has to approve it.", risk=RiskLevel.CRITICAL,
)  # fmt: skip


def _quarantined(failed: FailedChange) -> Finding:
    return Finding(
        "DIGEST_QUARANTINED", Verdict.NEED_APPROVAL, failed.rule,
        f"the same change failed in {failed.execution_id} with {failed.code} and was not kept: {failed.message:.300}",
        "Change what made it fail; or a person other than the proposer approves it all the same, or releases it with "
        f"`lonelycat release {failed.checksum} --by NAME --reason TEXT`.",
    )  # fmt: skip


_UNRESOLVABLE = frozenset({"UNKNOWN_PROFILE", "UNKNOWN_HEALTH_CHECK", "UNKNOWN_SERVICE", "GATE_INTERNAL_ERROR"})


def _void(checksum: str) -> str:
    """Return the digest of a context that cannot be resolved; no approval can be bound to what it stands for."""
    return canonical_digest({"void": checksum})


def _identifier(model: object, otherwise: str) -> str:
    value = getattr(model, "id", None)
    prefix, _, body = value.partition("_") if isinstance(value, str) else ("", "", "")
    sound = prefix.isascii() and prefix.isalpha() and prefix.islower() and body.isascii() and body.isalnum()
    return f"{prefix}_{body}" if sound and len(body) <= 64 else otherwise.replace("_", "_0")


def _crash(rule: str, error: Exception) -> Finding:
    return Finding(
        "GATE_INTERNAL_ERROR", Verdict.DENY, rule if "." in rule else f"builtin.{rule}",
        f"the rule failed with {type(error).__name__} and is closed by default",
        "Check that the plan and the change set were validated; if they were, report this as a defect.",
    )  # fmt: skip


def _shadowed(findings: Iterable[Finding], codes: Sequence[str]) -> list[Finding]:
    return [f._replace(mode=RuleMode.SHADOW) if f.code in codes else f for f in findings]


def _order(finding: Finding) -> tuple[object, ...]:
    return (
        not finding.counts,
        -SEVERITY[finding.verdict],
        -(finding.risk or 0),
        finding.code,
        finding.rule,
        finding.paths,
        finding.message,
    )


def _reason(finding: Finding) -> Reason:
    """Return the finding as it is told: what was found by a name that holds a credential does not tell that."""
    told = (finding.message, finding.hint, *map(to_wire, finding.paths[:MAX_PATHS_SHOWN]))
    together = "\n".join(told)
    if masked(together) is not together:  # nearly always one look at all of it finds nothing
        told = tuple(map(masked, told))
    message, hint, *paths = told
    more = len(finding.paths) - len(paths)
    return Reason(
        code=finding.code,
        message=f"{message} (and {more} more files)" if more else message,
        rule=finding.rule,
        verdict=finding.verdict,
        risk=finding.risk,
        paths=tuple(paths),
        hint=hint,
        mode=finding.mode,
        excepted_by=finding.excepted_by,
    )


def _required_actions(verdict: Verdict, counting: Sequence[Finding], needed: int, plan: ChangePlan) -> tuple[str, ...]:
    if verdict is Verdict.DENY:
        hints = [masked(finding.hint) for finding in counting if finding.verdict is Verdict.DENY and finding.hint]
        return tuple(dict.fromkeys(hints))
    if verdict is Verdict.NEED_APPROVAL:
        people = "1 person" if needed == 1 else f"{needed} people"
        return (f"approval by {people} other than {plan.created_by}",)
    return ()
