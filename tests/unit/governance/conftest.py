"""A gate with a fixed clock, counting ids and the contents that a test states."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.governance.policy import Policy
from lonelycat.governance.policy_tests import ExampleClock, ExampleIds
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.governance.writegate import WriteGate

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday


@dataclass
class Contents:
    """What the workspace holds, by path; ``blobs`` by hash."""

    olds: Mapping[str, bytes] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    def old(self, change: FileChange) -> bytes | None:
        return self.olds.get(change.old_path or change.path)

    def new(self, change: FileChange) -> bytes | None:
        return self.blobs.get(change.new_hash or "")


BASE: dict[str, Any] = {
    "version": 1,
    "name": "test",
    "executor": {"allowed_paths": ["**"], "forbidden_paths": [".env"]},
    "verification": {"syntax": {"argv": ["true"]}},
    "health_checks": {"disk": {"kind": "file", "with": {"path": "."}}},
}


def make_policy(**sections: Any) -> Policy:
    """Return the base policy with whole sections replaced; ``executor`` is merged."""
    executor = {**BASE["executor"], **sections.pop("executor", {})}
    return Policy.model_validate_json(json.dumps({**BASE, **sections, "executor": executor}))


@dataclass
class GateKit:
    """Builds gates and judges changes in one call."""

    signer: Ed25519Signer

    def gate(
        self,
        policy: Policy,
        contents: Contents | None,
        now: datetime = NOW,
        known_pins: KnownPins | None = None,
        failed: FailedChange | None = None,
    ) -> WriteGate:
        return WriteGate(
            policy,
            "a" * 64,
            clock=ExampleClock(now),
            ids=ExampleIds(),
            signer=self.signer,
            contents=contents,
            known_pins=known_pins,
            failed=lambda plan, changeset: failed,
        )

    def plan(self, **fields: Any) -> ChangePlan:
        defaults: dict[str, Any] = {
            "intent": "a test",
            "created_by": "agent:test",
            "verification_plan": ["syntax"],
            "health_checks": ["disk"],
            "rollback_plan": "restore",
            "clock": ExampleClock(NOW),
            "ids": ExampleIds(),
        }
        return ChangePlan.new(**{**defaults, **fields})

    def judge(
        self,
        changes: Sequence[FileChange],
        policy: Policy | None = None,
        *,
        olds: Mapping[str, bytes] | None = None,
        blobs: Mapping[str, bytes] | None = None,
        contents: bool = True,
        now: datetime = NOW,
        known_pins: KnownPins | None = None,
        **plan_fields: Any,
    ) -> GovernanceDecision:
        plan = self.plan(**plan_fields)
        changeset = ChangeSet.build(plan_id=plan.id, changes=changes, id="cs_1", generated_at=NOW)
        reader = Contents(olds or {}, blobs or {}) if contents else None
        return self.gate(policy or make_policy(), reader, now, known_pins).evaluate(plan, changeset)


@pytest.fixture(scope="session")
def kit() -> GateKit:
    return GateKit(Ed25519Signer.generate())


@pytest.fixture(scope="session")
def policy_of() -> Callable[..., Policy]:
    return make_policy


@pytest.fixture(scope="session")
def codes_of() -> Callable[[GovernanceDecision], set[str]]:
    def codes(decision: GovernanceDecision) -> set[str]:
        return {reason.code for reason in decision.reasons if reason.counts}

    return codes
