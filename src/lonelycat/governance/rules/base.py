"""What a rule family is given and what it gives back.

Invariant: a family is a function of its :class:`RuleContext` alone. It returns *every* finding and decides nothing;
what counts (shadow, exceptions) and what it adds up to is the gate's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from lonelycat.changes.changeset import ChangeSet
from lonelycat.changes.plan import ChangePlan, RiskLevel
from lonelycat.governance.facts import Facts
from lonelycat.governance.policy import Policy, Reaction, RuleMode, Verdict

SEVERITY = {Verdict.ALLOW: 0, Verdict.NEED_APPROVAL: 1, Verdict.DENY: 2}
"""Verdicts in order: the verdict of several findings is the most severe one."""

REACTIONS = {Reaction.ALLOW: Verdict.ALLOW, Reaction.REVIEW: Verdict.NEED_APPROVAL, Reaction.DENY: Verdict.DENY}


class Finding(NamedTuple):
    """One thing that a rule found, before exceptions and shadow rules are applied.

    Attributes:
        code: a key of :data:`lonelycat.governance.rules.codes.CODES`.
        rule: dotted path into the policy, or ``builtin.<name>`` for what holds under every policy.
        paths: the paths it is about as the change set has them, sorted; empty when about the whole change set.
    """

    code: str
    verdict: Verdict
    rule: str
    message: str
    hint: str = ""
    paths: tuple[str, ...] = ()
    risk: RiskLevel | None = None
    mode: RuleMode = RuleMode.ENFORCE
    excepted_by: str | None = None

    @property
    def counts(self) -> bool:
        """Whether the finding bears on the verdict."""
        return self.mode is RuleMode.ENFORCE and self.excepted_by is None


class RuleContext(NamedTuple):
    """Everything a rule may look at.

    Attributes:
        now: the time of judgement, timezone-aware.
        risk: the effective risk; while the families that raise risk run, the proposed one.
    """

    policy: Policy
    plan: ChangePlan
    changeset: ChangeSet
    facts: Facts
    now: datetime
    risk: RiskLevel


Rule = Callable[[RuleContext], Iterable[Finding]]
