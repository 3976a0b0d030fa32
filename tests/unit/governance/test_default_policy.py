"""The policy that ships: what the design asks of it, and that its own examples hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from lonelycat.changes.plan import RiskLevel
from lonelycat.errors import PolicyError
from lonelycat.governance.policy_file import LoadedPolicy, load_policy
from lonelycat.governance.policy_tests import require_policy_tests, run_policy_tests

ROOT = Path(__file__).resolve().parents[3]
DATA = (ROOT / "agent/policies/default.yaml").read_bytes()


@pytest.fixture(scope="module")
def default() -> LoadedPolicy:
    return load_policy(DATA, source="default.yaml")


def test_its_own_examples_hold(default: LoadedPolicy) -> None:
    results = run_policy_tests(default)
    assert len(results) >= 15
    assert [f"{result.name}: {result.problem}" for result in results if not result.passed] == []
    require_policy_tests(default)


def test_every_example_can_fail() -> None:
    """Turn every expectation round: each must then be reported."""
    text = DATA.decode().replace("expect: ALLOW", "expect: X1").replace("expect: DENY", "expect: ALLOW")
    turned = load_policy(
        text.replace("expect: NEED_APPROVAL", "expect: DENY").replace("expect: X1", "expect: DENY").encode()
    )
    results = run_policy_tests(turned)
    assert [result.name for result in results if result.passed] == []
    with pytest.raises(PolicyError) as caught:
        require_policy_tests(turned)
    assert caught.value.code == "POLICY_TEST_FAILED"
    assert len(caught.value.details["problems"]) == len(results)  # type: ignore[arg-type]  # a list


def test_an_example_that_cannot_be_built_fails() -> None:
    change = "{operation: update, path: a, old: s, content: s}"
    head = 'version: 1\nname: small\nexecutor: {allowed_paths: ["**"]}\n'
    broken = f"{head}tests:\n  - {{name: t, changes: [{change}], expect: ALLOW}}\n".encode()
    (result,) = run_policy_tests(load_policy(broken))
    assert not result.passed
    assert "cannot be built" in result.problem


def test_executor_section_is_what_the_design_lists(default: LoadedPolicy) -> None:
    executor = default.policy.executor
    constraints = executor.constraints
    assert executor.allowed_paths == ("**",)
    assert (constraints.max_files_touched, constraints.max_patch_lines) == (50, 5000)
    assert (constraints.max_execution_time, constraints.max_step_time) == (300, 60)
    assert executor.require_health_checks_for_risk == (RiskLevel.MEDIUM, RiskLevel.HIGH, RiskLevel.CRITICAL)
    assert executor.require_verification_for_risk == tuple(RiskLevel)
    assert set(executor.always_review_categories) >= {"schema", "security", "policies", "executor", "governance"}
    assert (executor.concurrency.enabled, executor.concurrency.lock_scope, executor.concurrency.lock_timeout) == (
        True,
        "repository",
        600,
    )
    assert executor.idempotency.enabled
    assert executor.idempotency.key_format == "plan_id + changeset.checksum"
    assert executor.idempotency.cached_result_ttl == 3600


def test_checks_for_everything_work_without_set_up(default: LoadedPolicy) -> None:
    everywhere = [profile for profile in default.policy.verification.values() if profile.touches == ("**",)]
    assert [profile.argv[:4] for profile in everywhere] == [("{python}", "-P", "-m", "lonelycat.checks.syntax")]
    checks = [check for check in default.policy.health_checks.values() if check.touches == ("**",)]
    assert [check.kind for check in checks] == ["file"]
