"""The policy in force is governed wherever it lies, and nobody but a person loosens it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lonelycat.changes.changeset import FileChange
from lonelycat.governance.policy import Verdict
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.settings import Settings

POLICY = b"""\
version: 1
name: mine
executor:
  allowed_paths: ["**"]
  require_verification_for_risk: []
  require_health_checks_for_risk: []
  require_rollback_plan_for_risk: []
approval_for_risk: []
"""


@pytest.mark.parametrize("touched", ["rules/mine.yaml", "RULES/Mine.yaml"])
def test_a_policy_outside_of_the_usual_place_is_governed_too(tmp_path: Path, touched: str) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/mine.yaml").write_bytes(POLICY)
    wiring = Wiring(Settings.for_workspace(tmp_path, {"LONELYCAT_POLICY": "rules/mine.yaml"}))
    policy = wiring.policy()

    def verdict(change: FileChange) -> tuple[Verdict, set[str]]:
        plan, changeset = wiring.planner(policy).plan(intent="loosen", created_by="agent:x", changes=[change])
        decision = wiring.gate(policy).evaluate(plan, changeset)
        return decision.verdict, {reason.code for reason in decision.reasons}

    looser = POLICY.replace(b"name: mine", b"name: loose")
    assert verdict(FileChange.update(touched, POLICY, looser)) == (Verdict.NEED_APPROVAL, {"GOVERNANCE_PATH"})
    assert verdict(FileChange.create("rules/other.yaml", looser)) == (Verdict.ALLOW, set())


def test_an_approver_can_be_added_to_the_policy(tmp_path: Path) -> None:
    """A public key is no secret."""
    wiring = Wiring(Settings.for_workspace(tmp_path))
    policy = wiring.policy()
    key = wiring.signer.public_key
    change = FileChange.create(
        "agent/policies/default.yaml", POLICY + f'approvals: {{approvers: {{ada: {{public_key: "{key}"}}}}}}\n'.encode()
    )
    plan, changeset = wiring.planner(policy).plan(intent="let ada approve", created_by="agent:x", changes=[change])
    decision = wiring.gate(policy).evaluate(plan, changeset)
    assert decision.verdict is Verdict.NEED_APPROVAL
    assert "SECRET_FOUND" not in {reason.code for reason in decision.reasons}
