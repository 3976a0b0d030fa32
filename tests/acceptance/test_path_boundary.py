"""Closed bounds: protected and forbidden paths are DENY at the gate, and refused by the executor alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.acceptance.ground import Ground, Proposed

from lonelycat import ChangePlan, ChangeSet, FileChange, Operation, Verdict, WriteGate
from lonelycat.changes.changeset import checksum_of
from lonelycat.errors import PathError
from lonelycat.governance.signing import Ed25519Signer
from lonelycat.lifecycle import Status

FORBIDDEN = (
    ".env",
    "deploy/.env",
    ".ENV",
    ".env.production",
    "keys/server.pem",
    "keys/SERVER.PEM",
    "private/notes.txt",
)
PROTECTED = (
    ".git/config",
    ".git/hooks/pre-commit",
    ".GIT/config",
    "vendor/.git/config",
    ".lonelycat/lonelycat.db",
    ".LonelyCat/keys/gate.pem",
    "sub/.lonelycat/tx/x",
)
NOT_ALLOWED = ("elsewhere/file.txt", "App/settings.txt", "appendix.txt")
IMPOSSIBLE = (
    "../evil.txt",
    "app/../../evil.txt",
    "/tmp/evil.txt",
    "app//evil.txt",
    "app/./evil.txt",
    "app\\..\\evil.txt",
)
CODES = {
    **dict.fromkeys(FORBIDDEN, "PATH_FORBIDDEN"),
    **dict.fromkeys(PROTECTED, "PATH_PROTECTED"),
    **dict.fromkeys(NOT_ALLOWED, "PATH_NOT_ALLOWED"),
}
Change = Callable[[str], FileChange]
KINDS: dict[str, Change] = {
    "create": lambda path: FileChange.create(path, "evil\n"),
    "update": lambda path: FileChange.update(path, "there\n", "evil\n"),
    "delete": lambda path: FileChange.delete(path, "there\n"),
    "rename from": lambda path: FileChange.rename(path, "app/taken.txt", "there\n"),
    "rename to": lambda path: FileChange.rename("app/settings.txt", path, "old\n"),
}


@pytest.fixture
def bounded(ground: Ground) -> Ground:
    ground.policy["executor"]["allowed_paths"] = ["app/**", "**/.*", "**/.*/**", "keys/**", "private/**"]
    ground.policy["executor"]["forbidden_paths"] += ["private/"]
    return ground.begin()


def _there(ground: Ground, path: str) -> None:
    """Make ``path`` exist where it can be made without harm, so that nothing but the bounds stands in the way."""
    if path not in PROTECTED and not (ground.root / path).exists():
        ground.write({path: "there\n"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", [*FORBIDDEN, *PROTECTED, *NOT_ALLOWED])
def test_out_of_bounds_is_denied_and_a_stolen_key_does_not_help(bounded: Ground, path: str, kind: str) -> None:
    if kind not in ("create", "rename to"):
        _there(bounded, path)
    proposed = bounded.judge([KINDS[kind](path)])
    assert proposed.decision.verdict is Verdict.DENY
    assert CODES[path] in {reason.code for reason in proposed.decision.reasons if reason.counts}
    before = bounded.inodes()
    refused = bounded.execute(proposed)
    assert (refused.status, refused.error_code) == (
        Status.REJECTED,
        "PATH_PROTECTED" if path in PROTECTED else "DECISION_DENIED",
    )
    signed = bounded.forged_allow(proposed, bounded.gate_key())
    result = bounded.execute(proposed, decision=signed)
    assert (result.status, result.error_code) == (Status.REJECTED, CODES[path])
    assert bounded.inodes() == before
    assert bounded.leftovers() == []


@pytest.mark.parametrize("path", [".env", "private/notes.txt", "elsewhere/file.txt", "app/harmless.txt"])
@pytest.mark.parametrize("signer", [None, Ed25519Signer.generate()], ids=["unsigned", "another key"])
def test_a_decision_made_by_hand_is_no_decision(bounded: Ground, path: str, signer: Ed25519Signer | None) -> None:
    """Not even for a harmless path: what the gate did not sign does not count."""
    proposed = bounded.judge([FileChange.create(path, "evil\n")])
    before = bounded.inodes()
    result = bounded.execute(proposed, decision=bounded.forged_allow(proposed, signer))
    assert (result.status, result.error_code) == (Status.REJECTED, "DECISION_SIGNATURE")
    assert bounded.inodes() == before
    (event,) = bounded.security_events()
    assert (event["code"], event["plan_id"]) == ("DECISION_SIGNATURE", proposed.plan.id)
    bounded.assert_sound()


def test_a_denial_turned_into_a_yes_is_no_decision(bounded: Ground) -> None:
    proposed = bounded.judge([FileChange.create(".env", "evil\n")])
    turned = proposed.decision.model_copy(update={"verdict": Verdict.ALLOW})
    assert bounded.execute(proposed, decision=turned).error_code == "DECISION_SIGNATURE"
    denied = bounded.execute(proposed)
    assert (denied.status, denied.error_code) == (Status.REJECTED, "DECISION_DENIED")
    assert not (bounded.root / ".env").exists()


@pytest.mark.parametrize("path", IMPOSSIBLE)
def test_a_path_that_no_model_accepts_is_refused_all_the_same(bounded: Ground, path: str) -> None:
    """Models can be built without validation; neither gate nor executor takes one for checked."""
    with pytest.raises(PathError):
        FileChange(operation=Operation.CREATE, path=path, new_hash="0" * 64, new_mode="100644", content=b"")
    harmless = bounded.judge([FileChange.create("app/made.txt", "evil\n")])
    fields = {name: getattr(harmless.changeset.changes[0], name) for name in FileChange.model_fields}
    change = FileChange.model_construct(**{**fields, "path": path})
    whole = {name: getattr(harmless.changeset, name) for name in ChangeSet.model_fields}
    changeset = ChangeSet.model_construct(**{**whole, "changes": (change,), "checksum": checksum_of([change])})
    plan = ChangePlan.model_construct(**{**dict(harmless.plan), "affected_paths": (path,)})
    decision = WriteGate.from_workspace(bounded.root).evaluate(plan, changeset)
    assert decision.verdict is Verdict.DENY
    forged = Proposed(plan, changeset, decision)
    before = sorted(bounded.base.rglob("*"))
    result = bounded.execute(
        forged, decision=bounded.forged_allow(Proposed(plan, changeset, decision), bounded.gate_key())
    )
    assert result.status is Status.REJECTED
    assert (result.error_code or "").startswith("PATH_")
    kept = [item for item in sorted(bounded.base.rglob("*")) if ".lonelycat" not in item.parts]
    assert kept == [item for item in before if ".lonelycat" not in item.parts]


@pytest.mark.parametrize("path", ["app/away/evil.txt", "app/away/below/evil.txt"])
def test_a_link_does_not_lead_out_of_the_workspace(bounded: Ground, path: str) -> None:
    (bounded.root / "app/away").symlink_to(bounded.outside)
    (bounded.outside / "below").mkdir()
    proposed = bounded.judge([FileChange.create(path, "evil\n")])
    signed = bounded.forged_allow(proposed, bounded.gate_key())
    result = bounded.execute(proposed, decision=signed)
    assert (result.status, result.error_code) == (Status.REJECTED, "PATH_THROUGH_LINK")
    assert [item.name for item in bounded.outside.rglob("*")] == ["below"]


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        ("max_files_touched", [FileChange.create(f"app/{number}.txt", "x") for number in range(3)]),
        ("max_total_bytes", [FileChange.create("app/a.txt", "xy"), FileChange.create("app/b.txt", "z")]),
        ("max_file_bytes", [FileChange.create("app/a.txt", "xyz")]),
    ],
)
def test_over_a_limit_is_denied_and_a_stolen_key_does_not_help(
    bounded: Ground, limit: str, changes: list[FileChange]
) -> None:
    bounded.policy["executor"]["constraints"][limit] = 2
    bounded.write_policy()
    proposed = bounded.judge(changes)
    assert proposed.decision.verdict is Verdict.DENY
    before = bounded.inodes()
    result = bounded.execute(proposed, decision=bounded.forged_allow(proposed, bounded.gate_key()))
    assert (result.status, result.error_code) == (Status.REJECTED, "LIMIT_EXCEEDED")
    assert bounded.inodes() == before


def test_the_command_line_denies_a_write_to_the_secrets(bounded: Ground) -> None:
    patch = bounded.base / "agent.patch"
    patch.write_text(
        "diff --git a/.env b/.env\nnew file mode 100644\n--- /dev/null\n+++ b/.env\n@@ -0,0 +1 @@\n+DEBUG=1\n",
        encoding="ascii",
    )
    before = bounded.inodes()
    answer = bounded.run("run", "--patch", str(patch), "--intent", "Turn on debugging", "--by", "agent:coder")
    assert (answer.exit, answer.facts["verdict"]) == (4, "DENY")
    assert "PATH_FORBIDDEN" in {reason["code"] for reason in answer.facts["reasons"]}
    executed = bounded.run("execute", answer.facts["plan_id"])
    assert (executed.exit, executed.facts["code"]) == (4, "DECISION_DENIED")
    assert bounded.inodes() == before
