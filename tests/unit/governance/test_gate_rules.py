"""The gate as a whole: verdicts add up, exceptions and shadows lift only what they may, freezes follow the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import RiskLevel
from lonelycat.governance.decision import context_digest
from lonelycat.governance.explain import explain_decision, explain_path
from lonelycat.governance.facts import Facts
from lonelycat.governance.policy import Policy, Window
from lonelycat.governance.risk import assess_risk
from lonelycat.governance.rules.windows import is_open
from lonelycat.governance.signing import verify_signature

C = FileChange
PolicyOf = Callable[..., Policy]
TOKEN = b"key = 'ghp_" + b"a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8" + b"'\n"


def exception(**fields: Any) -> dict[str, Any]:
    base = {"name": "e", "rules": ["SECRET_FOUND"], "paths": ["fixtures/**"], "expires": "2026-03-04", "reason": "r"}
    return {**base, "approved_by": "ann", **fields}


def test_an_allowed_change_says_nothing_and_is_signed(kit: Any) -> None:
    decision = kit.judge([C.create("a", "x")])
    assert (decision.verdict, decision.reasons, decision.approvals_required) == ("ALLOW", (), 0)
    assert verify_signature(kit.signer.public_key, decision.signed_payload(), decision.signature)
    tampered = decision.model_copy(update={"risk_level_effective": RiskLevel.CRITICAL})
    assert not verify_signature(kit.signer.public_key, tampered.signed_payload(), decision.signature)


def test_context_digest_is_that_of_what_was_judged(kit: Any, policy_of: PolicyOf) -> None:
    policy, plan = policy_of(), kit.plan()
    changeset = ChangeSet.build(plan_id=plan.id, changes=[C.create("a", "x")])
    decision = kit.gate(policy, None).evaluate(plan, changeset)
    assert decision.context_digest == context_digest(plan, changeset, policy, "a" * 64)


def test_every_family_reports_and_the_worst_rules(kit: Any) -> None:
    decision = kit.judge([C.create(".env", TOKEN), C.create("AGENTS.md", "x"), C.create("b", b"\0")])
    codes = [reason.code for reason in decision.reasons]
    assert decision.verdict == "DENY"
    assert {"PATH_FORBIDDEN", "SECRET_FOUND", "GOVERNANCE_PATH", "BINARY_CONTENT"} <= set(codes)
    severities = [("DENY", "NEED_APPROVAL", "ALLOW").index(reason.verdict) for reason in decision.reasons]
    assert severities == sorted(severities)
    assert decision.required_actions and decision.approvals_required == 0


def test_quorum_follows_the_effective_risk(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(default_risk="CRITICAL", approvals={"quorum": {"CRITICAL": 2}})
    decision = kit.judge([C.create("a", "x")], policy)
    assert decision.approvals_required == 2
    assert decision.required_actions == ("approval by 2 people other than agent:test",)


def test_an_exception_lifts_its_paths_and_no_others(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(exceptions=[exception()])
    spared = kit.judge([C.create("fixtures/key", TOKEN)], policy)
    assert spared.verdict == "ALLOW"
    assert [(reason.code, reason.excepted_by) for reason in spared.reasons] == [("SECRET_FOUND", "e")]
    both = kit.judge([C.create("fixtures/key", TOKEN), C.create("lib/key", TOKEN)], policy)
    assert both.verdict == "DENY"
    assert [reason.paths for reason in both.reasons if reason.counts] == [("lib/key",)]


def test_an_exception_lasts_to_the_end_of_its_day(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(exceptions=[exception()])
    changes = [C.create("fixtures/key", TOKEN)]
    assert kit.judge(changes, policy, now=datetime(2026, 3, 4, 23, 59, 59, tzinfo=UTC)).verdict == "ALLOW"
    late = kit.judge(changes, policy, now=datetime(2026, 3, 5, tzinfo=UTC))
    assert late.verdict == "DENY"
    assert "EXCEPTION_EXPIRED" in {reason.code for reason in late.reasons}


def test_an_exception_to_a_rule_on_the_whole_set_needs_all_paths(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(
        executor={"constraints": {"max_files_touched": 1}},
        exceptions=[exception(rules=["TOO_MANY_FILES"])],
    )
    inside = [C.create("fixtures/a", "x"), C.create("fixtures/b", "x")]
    assert kit.judge(inside, policy).verdict == "ALLOW"
    assert kit.judge([*inside, C.create("c", "x")], policy).verdict == "DENY"


def test_no_exception_reaches_what_holds_under_every_policy(kit: Any, policy_of: PolicyOf) -> None:
    every = exception(rules=["PATH_PROTECTED", "GOVERNANCE_PATH", "CHECKSUM_MISMATCH"], paths=["**"])
    policy = policy_of(exceptions=[every], shadow=["PATH_PROTECTED", "GOVERNANCE_PATH"])
    unshadowed = policy.model_copy(update={"shadow": ()})
    assert kit.judge([C.create(".git/config", "x")], unshadowed).verdict == "DENY"
    assert kit.judge([C.create("CLAUDE.md", "x")], unshadowed).verdict == "NEED_APPROVAL"


def test_shadow_is_recorded_and_does_not_count(kit: Any, policy_of: PolicyOf) -> None:
    decision = kit.judge([C.create("key", TOKEN)], policy_of(shadow=["SECRET_FOUND"]))
    assert decision.verdict == "ALLOW"
    assert [(reason.code, reason.verdict, reason.mode) for reason in decision.reasons] == [
        ("SECRET_FOUND", "DENY", "shadow")
    ]
    assert decision.violated_policies == ()


def test_a_shadow_escalation_does_not_raise_the_risk(kit: Any, policy_of: PolicyOf) -> None:
    rule = {"name": "e", "risk": "CRITICAL", "paths": ["a"]}
    shadow = kit.judge([C.create("a", "x")], policy_of(escalations=[{**rule, "mode": "shadow"}]))
    assert (shadow.verdict, shadow.risk_level_effective) == ("ALLOW", RiskLevel.LOW)
    assert [reason.code for reason in shadow.reasons] == ["ESCALATED"]
    enforced = kit.judge([C.create("a", "x")], policy_of(escalations=[rule]))
    assert (enforced.verdict, enforced.risk_level_effective) == ("NEED_APPROVAL", RiskLevel.CRITICAL)


@pytest.mark.parametrize(
    ("fields", "changes", "raised"),
    [
        ({"min_files": 2}, [C.create("a", "x")], False),
        ({"min_files": 2}, [C.create("a", "x"), C.create("b", "x")], True),
        ({"min_files": 2, "paths": ["a*"]}, [C.create("a", "x"), C.create("b", "x")], False),
        ({"operations": ["delete"]}, [C.create("a", "x")], False),
        ({"operations": ["delete"]}, [C.delete("a", "x")], True),
        ({"paths": ["old/**"]}, [C.rename("old/a", "new/a", "x")], True),
        ({"min_patch_lines": 3}, [C.create("a", "1\n2\n")], False),
        ({"min_patch_lines": 3}, [C.create("a", "1\n2\n3")], True),
        ({"min_patch_lines": 3, "paths": ["b"]}, [C.create("a", "1\n2\n3"), C.create("b", "1\n")], False),
    ],
)
def test_escalations_need_all_conditions(
    fields: dict[str, Any], changes: list[FileChange], raised: bool, kit: Any, policy_of: PolicyOf
) -> None:
    policy = policy_of(escalations=[{"name": "e", "risk": "MEDIUM", **fields}])
    decision = kit.judge(changes, policy)
    assert (decision.risk_level_effective is RiskLevel.MEDIUM) is raised


def test_lines_are_counted_as_a_diff_counts_them(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(executor={"constraints": {"max_patch_lines": 4}})
    old = "".join(f"line {index}\n" for index in range(500))
    two_apart = old.replace("line 0\n", "first\n").replace("line 499\n", "last\n")
    three_apart = two_apart.replace("line 250\n", "middle\n")
    olds = {"a": old.encode()}
    assert kit.judge([C.update("a", old, two_apart)], policy, olds=olds).verdict == "ALLOW"
    assert kit.judge([C.update("a", old, three_apart)], policy, olds=olds).verdict == "DENY"
    moved = "".join(reversed(old.splitlines(keepends=True)))
    assert kit.judge([C.update("a", old, moved)], policy, olds=olds).verdict == "DENY"


def test_what_was_there_before_is_not_news(kit: Any) -> None:
    old = TOKEN + b"a = 1\nname = 'p\xd0\xb0ss'\n"
    new = old.replace(b"a = 1", b"a = 2")
    assert kit.judge([C.update("a", old, new)], olds={"a": old}).verdict == "ALLOW"
    moved = kit.judge([C.update("a", old, new + TOKEN.replace(b"key", b"other"))], olds={"a": old})
    assert moved.verdict == "DENY"
    assert kit.judge([C.update("a", old, new)], contents=False).verdict == "DENY"


def test_a_secret_is_found_in_a_blob_and_a_large_blob_is_held(kit: Any, policy_of: PolicyOf) -> None:
    from lonelycat.changes.changeset import BlobRef
    from lonelycat.changes.digest import sha256_hex

    ref = BlobRef(sha256=sha256_hex(TOKEN), size=len(TOKEN))
    blobs = {ref.sha256: TOKEN}
    assert kit.judge([C.create("a", ref)], blobs=blobs).verdict == "DENY"
    small = policy_of(content={"max_scan_bytes": 10})
    held = kit.judge([C.create("a", ref)], small, blobs=blobs)
    assert [reason.code for reason in held.reasons] == ["UNSCANNED_CONTENT"]
    inline = kit.judge([C.create("a", TOKEN)], small)
    assert (inline.verdict, [reason.code for reason in inline.reasons]) == ("NEED_APPROVAL", ["UNSCANNED_CONTENT"])


def test_the_reason_never_repeats_the_secret(kit: Any) -> None:
    decision = kit.judge([C.create("a", TOKEN)])
    assert "ghp_" not in decision.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        "family: \U0001f468\u200d\U0001f469\u200d\U0001f467, love: \u2764\ufe0f\n",
        "\ufeffstarts with a mark\n",
        "ﬁn\u0101l caf\u00e9 \u00b5m \u0394x = 1\n",
        "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627\n",
        "\u0440\u0443\u0441\u0441\u043a\u0438\u0439 text beside English\n",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\n",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f\n",
        "\U0001d453(\U0001d465) = 2\U0001d465, 0\ufe00, \u2229\ufe00, \u2602\ufe0f, 1\ufe0f\u20e3\n",
        "name" + " " * 100 + "| text\n",
        "dos line\r\nendings\r\n\ttabs\x0c\n",
    ],
)
def test_natural_text_passes(text: str, kit: Any) -> None:
    assert kit.judge([C.create("a", text)]).verdict == "ALLOW"


@pytest.mark.parametrize(
    "text",
    [
        "if access != 'user\u202e \u2066// check\u2069 \u2066':\n",
        "a\u2067b",
        "x\u200by",
        "pass\u200dword",
        "a\u00adb",
        "tag \U000e0041\U000e0042",
        "data\ufe01\ufe02\ufe03",
        "\u3164 = 1",
        "mark\ufeffinside",
        "s\u0441ope = 1",
        "gr\u03bfup = 1",
        "echo ok\rrm -rf x\n",
        "printf \x1b[8m hidden\n",
        "backspace\x08\x08",
        "c1 \u009b31m\n",
    ],
)
def test_disguised_text_never_passes(text: str, kit: Any) -> None:
    assert kit.judge([C.create("a", text)]).verdict != "ALLOW"
    assert kit.judge([C.create("a", "caf\u00e9\n" * 50 + text)]).verdict != "ALLOW"


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "..",
        "../..",
        "sub/../../x",
        "a/../b",
        "",
        "x\ny",
        "c:\\x",
        "../../" + "x/" * 3,
        "../.git/hooks",
        "../.ENV",
    ],
)
def test_links_that_lead_astray_are_denied(target: str, kit: Any) -> None:
    decision = kit.judge([C.create("d/link", target, mode="120000")])
    assert decision.verdict == "DENY"


def test_a_moved_link_is_judged_from_where_it_lands(kit: Any) -> None:
    move = C.rename("a/b/link", "link", "../x", old_mode="120000")
    assert kit.judge([move], olds={"a/b/link": b"../x"}).verdict == "DENY"
    assert kit.judge([move]).verdict == "DENY"  # a target that is not at hand


WINDOW_CASES = [
    ({}, "2026-03-04T12:00+00:00", True),
    ({"days": ("wed",)}, "2026-03-04T00:00+00:00", True),
    ({"days": ("wed",)}, "2026-03-05T00:00+00:00", False),
    ({"start": "09:00", "end": "17:00"}, "2026-03-04T09:00+00:00", True),
    ({"start": "09:00", "end": "17:00"}, "2026-03-04T17:00+00:00", False),
    ({"start": "22:00", "end": "06:00"}, "2026-03-04T23:00+00:00", True),
    ({"start": "22:00", "end": "06:00"}, "2026-03-04T05:59+00:00", True),
    ({"start": "22:00", "end": "06:00"}, "2026-03-04T06:00+00:00", False),
    ({"start": "22:00", "end": "06:00", "days": ("fri",)}, "2026-03-07T05:00+00:00", True),
    ({"start": "22:00", "end": "06:00", "days": ("sat",)}, "2026-03-07T05:00+00:00", False),
    ({"start": "18:00"}, "2026-03-04T18:00+00:00", True),
    ({"start": "18:00"}, "2026-03-04T17:59+00:00", False),
    ({"from_date": "2026-03-04", "to_date": "2026-03-04"}, "2026-03-04T23:59+00:00", True),
    ({"from_date": "2026-03-05"}, "2026-03-04T23:59+00:00", False),
    ({"to_date": "2026-03-03"}, "2026-03-04T00:00+00:00", False),
    ({"days": ("thu",), "timezone": "Asia/Tokyo"}, "2026-03-04T15:00+00:00", True),
    ({"days": ("wed",), "timezone": "Asia/Tokyo"}, "2026-03-04T15:00+00:00", False),
    # New York springs forward on 2026-03-08 at 02:00
    ({"start": "09:00", "end": "10:00", "timezone": "America/New_York"}, "2026-03-07T14:30+00:00", True),
    ({"start": "09:00", "end": "10:00", "timezone": "America/New_York"}, "2026-03-09T13:30+00:00", True),
]


@pytest.mark.parametrize(("fields", "moment", "expected"), WINDOW_CASES)
def test_windows(fields: dict[str, Any], moment: str, expected: bool) -> None:
    window = Window.model_validate({"name": "w", **fields})
    assert is_open(window, datetime.fromisoformat(moment)) is expected


def test_a_window_is_about_its_paths(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(windows=[{"name": "freeze", "verdict": "DENY", "paths": ["prod/**"]}])
    assert kit.judge([C.create("docs/a", "x")], policy).verdict == "ALLOW"
    assert kit.judge([C.create("docs/a", "x"), C.create("PROD/b", "x")], policy).verdict == "DENY"


@pytest.mark.parametrize(
    "path",
    [
        "agent/policies/default.yaml",
        "agent/workflows/execute_changeset.md",
        ".github/workflows/ci.yml",
        "x/.vscode/tasks.json",
        ".mcp.json",
        "AGENTS.md",
        "sub/claude.md",
        ".gitattributes",
        ".gitmodules",
        ".husky/pre-commit",
        ".envrc",
        ".npmrc",
        "lib/site.pth",
        "sitecustomize.py",
        "pip.conf",
        ".pre-commit-config.yaml",
        "Jenkinsfile",
        ".gitlab-ci.yml",
        ".circleci/config.yml",
        ".devcontainer/devcontainer.json",
        ".cargo/config.toml",
        "CODEOWNERS",
        ".bashrc",
        "x/HEAD",
        ".codex/config.toml",
        ".cursor/rules/a.mdc",
        ".github/copilot-instructions.md",
        "x.code-workspace",
        ".yarnrc.yml",
        "ＡＧＥＮＴＳ.md",
    ],
)
def test_what_gives_power_needs_a_person_under_any_policy(path: str, kit: Any, policy_of: PolicyOf) -> None:
    lax = policy_of(approval_for_risk=[], content={"executable_bit": "allow"})
    for change in (C.create(path, "x\n"), C.delete(path, "x\n"), C.rename(path, "elsewhere", "x\n")):
        decision = kit.judge([change], lax)
        assert decision.verdict == "NEED_APPROVAL"
        assert decision.approvals_required == 1


@pytest.mark.parametrize(
    "path", ["docs/build/x.md", "src/head.c", "docs/agents.rst", "src/hooks/use_state.ts", "a/env.py"]
)
def test_what_only_sounds_like_power_passes(path: str, kit: Any) -> None:
    assert kit.judge([C.create(path, "x\n")]).verdict == "ALLOW"


def test_planner_and_gate_come_to_one_risk(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(
        categories={"k": {"paths": ["a"], "risk": "MEDIUM"}},
        escalations=[{"name": "e", "risk": "HIGH", "min_files": 3}],
    )
    for count in (1, 3):
        changes = [C.create("abc"[index], "x") for index in range(count)]
        changeset = ChangeSet.build(plan_id="plan_1", changes=changes)
        assessed = assess_risk(policy, changeset, Facts(changes))
        assert assessed.level is kit.judge(changes, policy).risk_level_effective


def test_explain_names_the_deciding_rule(kit: Any, policy_of: PolicyOf) -> None:
    policy = policy_of(categories={"k": {"paths": ["a"], "risk": "MEDIUM"}}, shadow=["BINARY_CONTENT"])
    text = "\n".join(explain_decision(kit.judge([C.create(".env", b"\0"), C.create("a", "x")], policy), policy))
    assert "denied" in text
    assert "Decided by executor.forbidden_paths (PATH_FORBIDDEN): .env" in text
    assert "categories.k raises the risk to MEDIUM" in text
    assert "In shadow only, content.binary" in text
    allowed = explain_decision(kit.judge([C.create("z", "x")], policy), policy)
    assert allowed == ("The change is allowed; its risk is LOW.", "No rule of the policy objects.")


def test_explain_a_path(policy_of: PolicyOf) -> None:
    policy = policy_of(categories={"k": {"paths": ["a*"], "except_paths": ["ab"], "risk": "HIGH"}})
    assert any("matches .env" in line for line in explain_path(".ENV", policy))
    assert any("categories.k: matches a*; risk HIGH" in line for line in explain_path("aa", policy))
    assert any("except_paths takes it out" in line for line in explain_path("ab", policy))
    assert any("governance_paths" in line for line in explain_path("x/CLAUDE.md", policy))
