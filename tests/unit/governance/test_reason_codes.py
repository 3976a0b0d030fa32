"""Every reason code of the gate is triggered by something, with its verdict, and no code is dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lonelycat.changes.changeset import BlobRef, ChangeSet, FileChange
from lonelycat.governance import rules
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.decision import GovernanceDecision
from lonelycat.governance.failed_changes import FailedChange
from lonelycat.governance.rules.codes import CODES

C = FileChange
TEST = b"def test_a():\n    assert f() == 1\n"
EXPIRED = {
    "name": "old",
    "rules": ["SECRET_FOUND"],
    "paths": ["**"],
    "expires": "2020-01-01",
    "reason": "r",
    "approved_by": "ann",
}
TOKEN = b"key = 'ghp_" + b"a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8" + b"'\n"


def limits(**constraints: int) -> dict[str, Any]:
    return {"executor": {"constraints": constraints}}


WORKFLOW = ".github/workflows/ci.yml"
PINNED = b"jobs:\n  test:\n    steps:\n      - uses: acme/setup@v4\n"

CASES: dict[str, tuple[str, list[FileChange], dict[str, Any], dict[str, Any]]] = {
    # code: verdict, changes, sections of the policy, arguments of the judgement
    "PLAN_RISK": ("NEED_APPROVAL", [C.create("a", "x")], {}, {"risk": "HIGH"}),
    "PATHS_UNDECLARED": ("DENY", [C.create("a", "x"), C.create("b", "x")], {}, {"affected_paths": ["a"]}),
    "PATH_PROTECTED": ("DENY", [C.create(".git/hooks/x", "x")], {}, {}),
    "PATH_FORBIDDEN": ("DENY", [C.create("sub/.ENV", "x")], {}, {}),
    "PATH_NOT_ALLOWED": ("DENY", [C.create("b/x", "x")], {"executor": {"allowed_paths": ["a/**"]}}, {}),
    "TOO_MANY_FILES": ("DENY", [C.create("a", "x"), C.create("b", "x")], limits(max_files_touched=1), {}),
    "TOO_MANY_LINES": ("DENY", [C.create("a", "x\n" * 11)], limits(max_patch_lines=10), {}),
    "TOO_MANY_DELETIONS": ("DENY", [C.delete("a", "x"), C.update("b", "x", "")], limits(max_deletions=1), {}),
    "FILE_TOO_LARGE": ("DENY", [C.create("a", "x" * 11)], limits(max_file_bytes=10), {}),
    "TOO_MANY_BYTES": ("DENY", [C.create("a", "x" * 6), C.create("b", "x" * 6)], limits(max_total_bytes=10), {}),
    "CATEGORY_RISK": ("ALLOW", [C.create("a", "x")], {"categories": {"k": {"paths": ["a"], "risk": "MEDIUM"}}}, {}),
    "ESCALATED": (
        "ALLOW",
        [C.create("a", "x")],
        {"escalations": [{"name": "e", "risk": "MEDIUM", "paths": ["a"]}]},
        {},
    ),
    "RISK_NEEDS_APPROVAL": (
        "NEED_APPROVAL",
        [C.create("a", "x")],
        {"categories": {"k": {"paths": ["a"], "risk": "CRITICAL"}}},
        {},
    ),
    "GOVERNANCE_PATH": ("NEED_APPROVAL", [C.create("sub/.Claude/settings.json", "{}")], {}, {}),
    "PIN_MOVED": (
        "NEED_APPROVAL",
        [C.update(WORKFLOW, PINNED, PINNED.replace(b"@v4", b"@" + b"3b1f9" * 8))],
        {},
        {"olds": {WORKFLOW: PINNED}},
    ),
    "PIN_VERIFIED": (
        "ALLOW",
        [C.update(WORKFLOW, PINNED, PINNED.replace(b"@v4", b"@" + b"3b1f9" * 8))],
        {},
        {"olds": {WORKFLOW: PINNED}, "known_pins": KnownPins.of({"acme/setup": {"v4.1.0": "3b1f9" * 8}})},
    ),
    "CI_UPKEEP": (
        "ALLOW",
        [C.update(WORKFLOW, PINNED, PINNED + b"        # Ours.\n")],
        {},
        {"olds": {WORKFLOW: PINNED}},
    ),
    "PIN_RAISED": (
        "ALLOW",
        [C.update(WORKFLOW, PINNED, PINNED.replace(b"@v4", b"@v5"))],
        {},
        {"olds": {WORKFLOW: PINNED}},
    ),
    "REVIEW_CATEGORY": (
        "NEED_APPROVAL",
        [C.create("a.sql", "x")],
        {"categories": {"k": {"paths": ["*.sql"]}}, "executor": {"always_review_categories": ["k"]}},
        {},
    ),
    "MASS_DELETION": ("NEED_APPROVAL", [C.delete(f"d/{i}", "x") for i in range(5)], {}, {}),
    "UNKNOWN_PROFILE": ("DENY", [C.create("a", "x")], {}, {"verification_plan": ["syntax", "gone"]}),
    "UNKNOWN_HEALTH_CHECK": ("DENY", [C.create("a", "x")], {}, {"health_checks": ["gone"]}),
    "UNKNOWN_SERVICE": ("DENY", [C.create("a", "x")], {}, {"services": ["gone"]}),
    "VERIFICATION_REQUIRED": ("DENY", [C.create("a", "x")], {}, {"verification_plan": []}),
    "VERIFICATION_INCOMPLETE": (
        "NEED_APPROVAL",
        [C.create("a", "x")],
        {"verification": {"syntax": {"argv": ["true"]}, "tests": {"argv": ["true"], "touches": ["a"]}}},
        {},
    ),
    "HEALTH_CHECK_REQUIRED": ("DENY", [C.create("a", "x")], {"default_risk": "MEDIUM"}, {"health_checks": []}),
    "HEALTH_CHECK_INCOMPLETE": (
        "NEED_APPROVAL",
        [C.create("a", "x")],
        {
            "default_risk": "MEDIUM",
            "health_checks": {n: {"kind": "file", "with": {"path": "."}} for n in ("disk", "web")},
        },
        {},
    ),
    "ROLLBACK_PLAN_REQUIRED": ("DENY", [C.create("a", "x")], {"default_risk": "HIGH"}, {"rollback_plan": " "}),
    "UNSCANNED_CONTENT": ("NEED_APPROVAL", [C.create("a", BlobRef(sha256="b" * 64, size=9))], {}, {}),
    "SECRET_FOUND": ("DENY", [C.create("a", TOKEN)], {}, {}),
    "BIDIRECTIONAL_TEXT": ("DENY", [C.create("a", "x\u202ey")], {}, {}),
    "INVISIBLE_TEXT": ("NEED_APPROVAL", [C.create("a", "x\u200by")], {}, {}),
    "CONFUSABLE_TEXT": ("NEED_APPROVAL", [C.create("a", "p\u0430ssword = 1")], {}, {}),
    "CONFUSABLE_NAME": ("NEED_APPROVAL", [C.create("-rf", "x")], {}, {}),
    "CONTROL_TEXT": ("NEED_APPROVAL", [C.create("a", "rm x\x1b[2K\n")], {}, {}),
    "EXECUTABLE_BIT": ("NEED_APPROVAL", [C.update("a", "x", "x", new_mode="100755")], {}, {}),
    "SYMLINK": ("NEED_APPROVAL", [C.create("a", "b/c", mode="120000")], {}, {}),
    "SYMLINK_ESCAPES": ("DENY", [C.create("d/a", "../../b", mode="120000")], {}, {}),
    "SYMLINK_TO_PROTECTED": ("DENY", [C.create("d/a", "../.GIT/config", mode="120000")], {}, {}),
    "SYMLINK_TO_FORBIDDEN": ("DENY", [C.create("d/a", "../.env", mode="120000")], {}, {}),
    "BINARY_CONTENT": ("NEED_APPROVAL", [C.create("a.bin", b"\0\1")], {}, {}),
    "DISGUISED_PROGRAM": (
        "NEED_APPROVAL",
        [C.create("a.png", b"\x7fELF\0\0")],
        {"content": {"binary_ok_paths": ["*.png"]}},
        {},
    ),
    "INSTALL_HOOK": ("NEED_APPROVAL", [C.create("package.json", '{"scripts": {"postinstall": "node x"}}')], {}, {}),
    "WEAKENED_TESTS": (
        "NEED_APPROVAL",
        [C.update("tests/test_a.py", TEST, TEST.replace(b"assert f() == 1", b"pass")), C.create("lib/f.py", "x")],
        {},
        {"olds": {"tests/test_a.py": TEST}},
    ),
    "FREEZE_WINDOW": ("NEED_APPROVAL", [C.create("a", "x")], {"windows": [{"name": "w", "days": ["wed"]}]}, {}),
    "EXCEPTION_EXPIRED": ("DENY", [C.create("a", TOKEN)], {"exceptions": [EXPIRED]}, {}),
}

INTEGRITY = {
    "CHECKSUM_MISMATCH",
    "PLAN_MISMATCH",
    "CHANGESET_INVALID",
    "GATE_INTERNAL_ERROR",
    "DIGEST_QUARANTINED",
}
"""Codes whose cases need more than a change; they stand below."""


@pytest.mark.parametrize("code", sorted(CASES))
def test_code_is_given(
    code: str, kit: Any, policy_of: Callable[..., Any], codes_of: Callable[[GovernanceDecision], set[str]]
) -> None:
    verdict, changes, sections, arguments = CASES[code]
    arguments = dict(arguments)
    if "risk" in arguments:
        from lonelycat.changes.plan import RiskLevel

        arguments["risk_level_proposed"] = RiskLevel[arguments.pop("risk")]
    decision = kit.judge(changes, policy_of(**sections), **arguments)
    assert code in codes_of(decision)
    assert decision.verdict == verdict
    reason = next(each for each in decision.reasons if each.code == code)
    assert reason.message and reason.rule
    assert reason.hint or reason.verdict == "ALLOW"


def test_tables_cover_every_code() -> None:
    assert set(CASES) | INTEGRITY == set(CODES)


def altered(changeset: ChangeSet, **fields: object) -> ChangeSet:
    return changeset.model_copy(update=fields)


def test_checksum_mismatch(kit: Any, policy_of: Callable[..., Any]) -> None:
    plan = kit.plan()
    changeset = ChangeSet.build(plan_id=plan.id, changes=[C.create("a", "x")])
    content = changeset.changes[0].model_copy(update={"content": b"y"})
    mode = changeset.changes[0].model_copy(update={"new_mode": "100755"})
    path = changeset.changes[0].model_copy(update={"path": "b"})
    gate = kit.gate(policy_of(), None)
    for forged in ({"checksum": "0" * 64}, {"changes": (content,)}, {"changes": (mode,)}, {"changes": (path,)}):
        decision = gate.evaluate(plan, altered(changeset, **forged))
        assert decision.verdict == "DENY"
        assert "CHECKSUM_MISMATCH" in {reason.code for reason in decision.reasons}
    assert gate.evaluate(plan, changeset).verdict == "ALLOW"


def test_digest_quarantined(kit: Any, policy_of: Callable[..., Any]) -> None:
    plan = kit.plan()
    changeset = ChangeSet.build(plan_id=plan.id, changes=[C.create("a", "x")])
    failed = FailedChange(changeset.checksum, "exec_01abc", "plan_other", "HEALTH_WATCH_FAILED", "sick")
    policy = policy_of()
    decision = kit.gate(policy, None, failed=failed).evaluate(plan, changeset)
    assert decision.verdict == "NEED_APPROVAL"
    (reason,) = [reason for reason in decision.reasons if reason.code == "DIGEST_QUARANTINED"]
    assert reason.rule == "builtin.failed_changes.exec_01abc"
    assert "exec_01abc" in reason.message and "HEALTH_WATCH_FAILED" in reason.message
    assert failed.is_known_to(decision)
    assert not failed._replace(execution_id="exec_02abc").is_known_to(decision), "a later failure is another one"
    assert not failed.is_known_to(kit.gate(policy, None).evaluate(plan, changeset))
    assert not CODES["DIGEST_QUARANTINED"].liftable


def test_plan_mismatch(kit: Any, policy_of: Callable[..., Any]) -> None:
    changeset = ChangeSet.build(plan_id="plan_other", changes=[C.create("a", "x")])
    decision = kit.gate(policy_of(), None).evaluate(kit.plan(), changeset)
    assert decision.verdict == "DENY"
    assert [reason.code for reason in decision.reasons] == ["PLAN_MISMATCH"]


def forged_changes() -> list[tuple[FileChange, ...]]:
    good = C.create("a", "x")
    return [
        (),
        (good, good),
        (good, C.create("A", "x")),
        (good, C.create("a/b", "x")),
        (good.model_copy(update={"path": "../a"}),),
        (good.model_copy(update={"path": "/etc/passwd"}),),
        (good.model_copy(update={"path": "a\x00b"}),),
        (good.model_copy(update={"new_mode": "104755"}),),
        (good.model_copy(update={"old_hash": "0" * 64}),),
        (good.model_copy(update={"operation": "create"}),),
        (good.model_copy(update={"content": None}),),
        (C.delete("a", "x").model_copy(update={"content": b"x"}),),
        (C.update("a", "x", "y").model_copy(update={"new_hash": C.create("b", "x").new_hash, "content": None}),),
    ]


@pytest.mark.parametrize("index", range(len(forged_changes())))
def test_models_that_were_never_validated(index: int, kit: Any, policy_of: Callable[..., Any]) -> None:
    from lonelycat.changes.changeset import checksum_of

    changes = forged_changes()[index]
    plan = kit.plan()
    good = ChangeSet.build(plan_id=plan.id, changes=[C.create("z", "x")])
    decision = kit.gate(policy_of(), None).evaluate(plan, altered(good, changes=changes, checksum=checksum_of(changes)))
    assert decision.verdict == "DENY"
    assert {reason.code for reason in decision.reasons} & {"CHANGESET_INVALID", "GATE_INTERNAL_ERROR"}


@pytest.mark.parametrize("hostile", [None, 1, "x", object(), [], {}])
def test_garbage_is_denied_not_raised(hostile: Any, kit: Any, policy_of: Callable[..., Any]) -> None:
    gate = kit.gate(policy_of(), None)
    good = ChangeSet.build(plan_id="plan_1", changes=[C.create("a", "x")])
    for plan, changeset in ((hostile, hostile), (hostile, good), (kit.plan(), hostile)):
        decision = gate.evaluate(plan, changeset)
        assert decision.verdict == "DENY"
        assert decision.signature
        assert "GATE_INTERNAL_ERROR" in {reason.code for reason in decision.reasons}


@pytest.mark.parametrize("position", range(len(rules.RAISING)))
def test_a_crash_in_any_rule_denies_and_the_others_still_report(
    position: int, kit: Any, policy_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(context: object) -> list[Any]:
        raise RecursionError("boom")

    families = list(rules.RAISING)
    families[position] = crash
    monkeypatch.setattr(rules, "RAISING", tuple(families))
    decision = kit.judge([C.create("sub/.env", TOKEN)], policy_of())
    codes = {reason.code for reason in decision.reasons}
    assert decision.verdict == "DENY"
    assert "GATE_INTERNAL_ERROR" in codes
    assert codes & {"PATH_FORBIDDEN", "SECRET_FOUND"}
    assert "boom" not in str(decision.reasons)


def test_a_reader_that_fails_denies(kit: Any, policy_of: Callable[..., Any]) -> None:
    class Broken:
        def old(self, change: FileChange) -> bytes | None:
            raise OSError("gone")

        new = old

    plan = kit.plan()
    changeset = ChangeSet.build(plan_id=plan.id, changes=[C.update("a", "x", "y")])
    assert kit.gate(policy_of(), Broken()).evaluate(plan, changeset).verdict == "DENY"
