"""What a caller hands in: exactly one source, a plan that is completed and not trusted, errors that name the place."""

from __future__ import annotations

import json

import pytest
from tests.acceptance.ground import Ground

from lonelycat.errors import ConflictError, InputError, LonelyCatError, RefusedError
from lonelycat.runtime.requests import DEFAULT_PROPOSER, ChangeRequest

PATCH = b"--- a/app/settings.txt\n+++ b/app/settings.txt\n@@ -1 +1 @@\n-old\n+new\n"
DRAFT = json.dumps({"changes": [{"operation": "create", "path": "docs/a.md", "content": {"text": "a\n"}}]}).encode()
PLAN = {
    "id": "plan_given",
    "intent": "as the plan says",
    "created_by": "agent:planner",
    "created_at": "2026-01-01T00:00:00Z",
    "verification_plan": ["look"],
}


def _refused(ground: Ground, request: ChangeRequest, code: str, kind: type[LonelyCatError] = InputError) -> str:
    before = ground.inodes()
    messages = []
    for ask in (ground.cat().check, ground.cat().propose):
        with pytest.raises(kind) as refused:
            ask(request)
        assert refused.value.code == code
        assert refused.value.hint
        messages.append(refused.value.message)
    assert messages[0] == messages[1]
    assert ground.inodes() == before
    assert ground.cat().status().approved == ()
    return messages[0]


@pytest.mark.parametrize(
    "request_",
    [
        ChangeRequest(intent="nothing"),
        ChangeRequest(patch=PATCH, changeset=DRAFT, intent="two"),
        ChangeRequest(patch=PATCH, git_range="HEAD~1..HEAD", intent="two"),
        ChangeRequest(patch=PATCH, git_range="HEAD~1..HEAD", changeset=DRAFT, intent="three"),
        ChangeRequest(plan=json.dumps(PLAN).encode()),
    ],
)
def test_exactly_one_source_of_changes(begun: Ground, request_: ChangeRequest) -> None:
    _refused(begun, request_, "CHANGE_SOURCE")


@pytest.mark.parametrize("intent", [None, ""])
def test_it_must_be_said_what_the_change_is_for(begun: Ground, intent: str | None) -> None:
    _refused(begun, ChangeRequest(patch=PATCH, intent=intent), "INTENT_MISSING")


@pytest.mark.parametrize(
    ("fields", "field"), [({"intent": "x" * 2001}, "intent"), ({"by": "a\nb"}, "_by"), ({"by": "x" * 201}, "_by")]
)
@pytest.mark.parametrize("plan", [None, json.dumps(PLAN).encode()])
def test_arguments_are_held_to_the_plans_own_rules(
    begun: Ground, fields: dict[str, str], field: str, plan: bytes | None
) -> None:
    request = ChangeRequest(**{"changeset": DRAFT, "plan": plan, "intent": "change it", **fields})  # type: ignore[arg-type]
    assert field in _refused(begun, request, "INVALID_PLAN")


def test_a_complete_change_set_needs_its_plan(begun: Ground) -> None:
    judged = begun.cat().check(ChangeRequest(changeset=DRAFT, intent="draft"))
    whole = judged.changeset.model_dump_json().encode()
    message = _refused(begun, ChangeRequest(changeset=whole, intent="x"), "PLAN_MISSING")
    assert judged.plan.id in message


def test_who_proposes_is_said_even_when_it_is_not(begun: Ground) -> None:
    assert begun.cat().check(ChangeRequest(patch=PATCH, intent="x")).plan.created_by == DEFAULT_PROPOSER
    assert begun.cat().check(ChangeRequest(patch=PATCH, intent="x", by="agent:me")).plan.created_by == "agent:me"


def test_a_given_plan_is_completed_and_what_is_said_beside_it_counts(begun: Ground) -> None:
    plan = json.dumps(PLAN).encode()
    judged = begun.cat().check(ChangeRequest(changeset=DRAFT, plan=plan, intent="as I say", by="agent:me"))
    assert (judged.plan.id, judged.plan.intent, judged.plan.created_by) == ("plan_given", "as I say", "agent:me")
    assert judged.plan.affected_paths == ("docs/a.md",)
    assert judged.changeset.plan_id == "plan_given"
    assert judged.changeset.integrity_error() is None


def test_check_and_propose_judge_alike_and_only_propose_stores(begun: Ground) -> None:
    request = ChangeRequest(patch=PATCH, intent="x", by="agent:me")
    checked, proposed = begun.cat().check(request), begun.cat().propose(request)
    assert (checked.stored, proposed.stored) == (False, True)
    assert checked.decision.verdict is proposed.decision.verdict
    assert checked.decision.reasons == proposed.decision.reasons
    assert checked.changeset.checksum == proposed.changeset.checksum
    assert checked.explanation == proposed.explanation
    assert [item.plan.id for item in begun.cat().status().approved] == [proposed.plan.id]


def test_checking_in_a_workspace_without_state_leaves_it_without(begun: Ground) -> None:
    for request in (
        ChangeRequest(patch=PATCH, intent="x"),
        ChangeRequest(changeset=DRAFT, intent="x"),
        ChangeRequest(git_range="HEAD..HEAD", intent="x"),
    ):
        try:
            begun.cat().check(request)
        except LonelyCatError as error:
            assert request.git_range, error
    assert not (begun.root / ".lonelycat").exists()


def test_a_patch_that_does_not_fit_is_a_conflict_with_the_place(begun: Ground) -> None:
    request = ChangeRequest(patch=PATCH.replace(b"-old", b"-odd"), intent="x")
    message = _refused(begun, request, "HUNK_MISMATCH", ConflictError)
    assert "app/settings.txt" in message
    assert "hunk 1" in message


def test_a_link_is_patched_as_its_target(begun: Ground) -> None:
    (begun.root / "link").symlink_to("app")
    patch = (
        b"diff --git a/link b/link\nindex 1111111..2222222 120000\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-app\n"
        b"\\ No newline at end of file\n+docs\n\\ No newline at end of file\n"
    )
    (change,) = begun.cat().check(ChangeRequest(patch=patch, intent="x")).changeset.changes
    assert (change.old_mode, change.new_mode, change.content) == ("120000", "120000", b"docs")


@pytest.mark.parametrize("path", [".git/config", ".GIT/config", "sub/.git/x", ".lonelycat/keys/gate.pem"])
def test_a_protected_file_is_not_read(begun: Ground, path: str) -> None:
    draft = json.dumps({"changes": [{"operation": "delete", "path": path}]}).encode()
    assert path in _refused(begun, ChangeRequest(changeset=draft, intent="x"), "PATH_PROTECTED", RefusedError)
    patch = PATCH.replace(b"app/settings.txt", path.encode())
    assert path in _refused(begun, ChangeRequest(patch=patch, intent="x"), "PATH_PROTECTED", RefusedError)


def test_creating_a_protected_file_is_judged_denied_and_recorded(begun: Ground) -> None:
    head = b"diff --git a/.git/config b/.git/config\nnew file mode 100644\n--- /dev/null\n+++ b/.git/config\n"
    judged = begun.cat().propose(ChangeRequest(patch=head + b"@@ -0,0 +1 @@\n+x\n", intent="x"))
    assert str(judged.decision.verdict) == "DENY"
    assert begun.cat().proposal(judged.plan.id).plan.id == judged.plan.id


def test_a_credential_in_the_words_of_a_plan_is_neither_stored_nor_shown(begun: Ground) -> None:
    token = "ghp_" + "q7Rz0Lx4Kd9Wm2Ty6Vb1Nc8Pf3Hj5Gs0Ua4E"
    given = {key: f"use {token}" for key in ("intent", "objective", "rationale", "rollback_plan", "created_by")}
    for request in (
        ChangeRequest(patch=PATCH, intent=f"use {token}", by=f"agent:{token}"),
        ChangeRequest(patch=PATCH, plan=json.dumps({**PLAN, **given}).encode()),
    ):
        judged = begun.cat().propose(request)
        assert judged.plan.intent == "use [REDACTED-github-token]"
        assert token not in repr(judged)
    state = begun.root / ".lonelycat"
    assert not [path for path in state.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
