"""What health checks held before the change decides: blocked, reported, compared with, and required by risk."""

from __future__ import annotations

import pytest
from tests.acceptance.ground import Ground

from lonelycat import FileChange
from lonelycat.lifecycle import Status


def change() -> FileChange:
    return FileChange.update("app/settings.txt", b"old\n", b"new\n")


FAILING = {"kind": "file", "with": {"path": "gone.txt"}, "attempts": 1}


def test_a_check_that_fails_before_blocks_where_the_policy_says_so(ground: Ground) -> None:
    ground.policy["health_checks"] = {"there": {**FAILING, "already_failing": "block"}}
    ground.policy["verification"]["look"]["argv"] = ground.argv("(outside / 'ran').touch()")
    ground.begin()
    before = ground.tree()
    result = ground.execute(ground.judge([change()], health_checks=["there"]))
    assert (result.status, result.error_code) == (Status.REJECTED, "HEALTH_ALREADY_FAILING")
    assert "gone.txt" in result.message
    assert ground.tree() == before and not (ground.outside / "ran").exists()
    assert not any(step.name in ("stage", "apply") for step in result.steps)
    ground.write({"gone.txt": "here"})
    again = ground.execute(ground.judge([change()], health_checks=["there"]))
    assert again.status is Status.COMPLETED, again
    ground.assert_sound()


def test_a_check_that_fails_before_is_reported_and_told_apart(ground: Ground) -> None:
    ground.policy["health_checks"] = {"there": FAILING, "kept": {"kind": "file", "with": {"path": "app/settings.txt"}}}
    ground.begin()
    result = ground.execute(ground.judge([change()], health_checks=["there", "kept"]))
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "HEALTH_FILE_MISSING")
    assert "it failed already before the change" in result.message
    assert any("there failed already before the change" in warning for warning in result.warnings)
    mends = ground.execute(ground.judge([FileChange.create("gone.txt", b"x")], health_checks=["there", "kept"]))
    assert mends.status is Status.COMPLETED, mends
    ground.assert_sound()


@pytest.mark.parametrize("writes", [True, False])
def test_a_log_is_compared_with_what_it_was_before(ground: Ground, writes: bool) -> None:
    log = ground.outside / "app.log"
    ground.policy["health_checks"] = {"quiet": {"kind": "log", "with": {"path": str(log), "pattern": "ERROR"}}}
    code = "with (outside / 'app.log').open('a') as file: file.write('ERROR new\\n')" if writes else "pass"
    ground.policy["services"] = {"app": {"kind": "command", "with": {"argv": ground.argv(code)}, "touches": ["app/**"]}}
    ground.begin()
    log.write_text("ERROR an old one\n")
    result = ground.execute(ground.judge([change()], health_checks=["quiet"], services=["app"]))
    if not writes:
        assert result.status is Status.COMPLETED, result
        return
    assert (result.status, result.error_code) == (Status.ROLLED_BACK, "HEALTH_LOG_MATCH"), result
    assert "ERROR new" in result.message
    ground.assert_sound()


def test_a_check_that_cannot_look_back_fails_instead_of_passing(ground: Ground) -> None:
    ground.policy["health_checks"] = {
        "same": {
            "kind": "supervisor",
            "with": {"program": "web", "socket": "gone.sock", "no_restart": True},
            "attempts": 1,
        }
    }
    ground.begin()
    result = ground.execute(ground.judge([change()], health_checks=["same"]))
    assert result.status is Status.ROLLED_BACK
    assert any("has nothing to compare with" in warning for warning in result.warnings)


def test_a_check_is_in_every_plan_at_the_levels_that_require_it(ground: Ground) -> None:
    ground.policy["health_checks"] = {
        "always": {"kind": "file", "with": {"path": "app/settings.txt"}, "touches": ["db/**"],
                   "required_for_risk": ["HIGH"]},
    }  # fmt: skip
    ground.policy["categories"] = {"app": {"paths": ["app/**"], "risk": "HIGH"}}
    ground.policy["approval_for_risk"] = []
    ground.policy["executor"]["require_health_checks_for_risk"] = []
    ground.begin({"app/settings.txt": "old\n", "doc/a.md": "a\n"})
    planned = ground.judge([change()])
    assert planned.plan.health_checks == ("always",)
    assert planned.decision.verdict == "ALLOW", planned.decision
    bare = ground.judge([change()], health_checks=[])
    (reason,) = (reason for reason in bare.decision.reasons if reason.code == "HEALTH_CHECK_REQUIRED")
    assert bare.decision.verdict == "DENY" and reason.rule == "health_checks.always.required_for_risk"
    low = ground.judge([FileChange.update("doc/a.md", b"a\n", b"b\n")], health_checks=[])
    assert low.decision.verdict == "ALLOW" and low.plan.health_checks == ()


def test_a_flaky_verification_is_a_warning(ground: Ground) -> None:
    code = "ran = outside / 'ran'; first = not ran.exists(); ran.touch(); sys.exit(first)"
    ground.policy["verification"]["look"] = {"argv": ground.argv(code), "retries": 1}
    ground.begin()
    result = ground.execute(ground.judge([change()]))
    assert result.status is Status.COMPLETED
    (warning,) = result.warnings
    assert "flaky: it passed only at try 2" in warning
    (step,) = (step for step in result.steps if step.name == "verify:look")
    assert "flaky" in step.message
