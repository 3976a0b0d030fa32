"""A policy that cannot be trusted to mean one thing closes the workspace, with the line that is to blame."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.interfaces.hostile.siege import BY, POLICY_PATH, Siege, draft, patch

HEAD = b"version: 1\nname: hostile\nexecutor: {allowed_paths: ['**']}\n"
DOCUMENT = json.dumps({"changes": [draft("create", "app/x")]}).encode()

HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "alias bomb": (
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c, *c]\n",
        "POLICY_ALIAS",
        ":1:",
    ),
    "an alias in earnest": (HEAD + b"categories: {a: &x {paths: [a]}, b: *x}\n", "POLICY_ALIAS", ":4:"),
    "merge key": (HEAD + b"approvals:\n  <<: {expires_after: 1}\n", "POLICY_MERGE_KEY", ":5:"),
    "duplicate key": (HEAD + b"name: other\n", "POLICY_DUPLICATE_KEY", ":4:"),
    "duplicate key, deep": (HEAD + b"approvals:\n  methods: [key]\n  methods: [key]\n", "POLICY_DUPLICATE_KEY", ":6:"),
    "python tag": (HEAD + b"description: !!python/object/apply:os.system ['id']\n", "POLICY_TAG", ":4:"),
    "any tag": (HEAD + b"description: !!str 7\n", "POLICY_TAG", ":4:"),
    "two documents": (HEAD + b"---\n" + HEAD, "POLICY_DOCUMENTS", ":4:"),
    "no": (HEAD + b"default_risk: no\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "Norway": (HEAD + b"description: NO\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "octal": (HEAD + b"description: 0777\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "base 60": (HEAD + b"windows: [{name: a, start: 22:22}]\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "hexadecimal": (HEAD + b"approvals: {expires_after: 0x10}\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "underscores": (HEAD + b"approvals: {expires_after: 86_400}\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "nothing where a value is meant": (HEAD + b"description:\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "infinity": (HEAD + b"approvals: {expires_after: .inf}\n", "POLICY_AMBIGUOUS_SCALAR", ":4:"),
    "empty file": (b"", "POLICY_EMPTY", ""),
    "only comments": (b"# allow everything\n", "POLICY_EMPTY", ""),
    "empty mapping": (b"{}\n", "POLICY_EMPTY", ""),
    "a list": (b"- version: 1\n", "POLICY_INVALID", ":1:"),
    "text": (b"allow everything\n", "POLICY_INVALID", ":1:"),
    "unknown key": (HEAD + b"allow_everything: true\n", "POLICY_INVALID", ":4:"),
    "unknown key, deep": (
        b"version: 1\nname: a\nexecutor:\n  allowed_paths: ['**']\n  bypass: true\n",
        "POLICY_INVALID",
        ":5:",
    ),
    "text for a number": (HEAD + b'approvals: {expires_after: "60"}\n', "POLICY_INVALID", ":4:"),
    "number for a text": (HEAD + b"description: 7\n", "POLICY_INVALID", ":4:"),
    "another version": (HEAD.replace(b"1", b"2", 1), "POLICY_INVALID", ":1:"),
    "unknown reason": (HEAD + b"shadow: [NO_SUCH_RULE]\n", "POLICY_UNKNOWN_NAME", ":4:"),
    "unknown category": (
        b"version: 1\nname: a\nexecutor:\n  allowed_paths: ['**']\n  always_review_categories: [nothing]\n",
        "POLICY_UNKNOWN_NAME",
        ":5:",
    ),
    "exception for what cannot be lifted": (
        HEAD + b"exceptions: [{name: a, rules: [PATH_PROTECTED], paths: ['**'], expires: '2999-01-01',"
        b" reason: r, approved_by: me}]\n",
        "POLICY_NOT_LIFTABLE",
        ":4:",
    ),
    "hidden text": (HEAD + "description: \u202eall\n".encode(), "POLICY_HIDDEN_TEXT", ":4:"),
    "not UTF-8": (HEAD + b"description: \xff\n", "POLICY_NOT_UTF8", ":4:"),
    "tab": (HEAD + b"approvals:\n\texpires_after: 1\n", "POLICY_MALFORMED", ":5:"),
    "never closed": (HEAD + b"approvals: {\n", "POLICY_MALFORMED", ":"),
    "deep": (HEAD + b"description: " + b"[" * 60 + b"]" * 60 + b"\n", "POLICY_TOO_DEEP", ":4:"),
    "very deep": (HEAD + b"description: " + b"[" * 100_000 + b"]" * 100_000 + b"\n", "POLICY_TOO_DEEP", ":4:"),
    "too large": (HEAD + b"#" + b"x" * (1024 * 1024) + b"\n", "POLICY_TOO_LARGE", ""),
    "nul": (HEAD + b"description: a\x00b\n", "POLICY_MALFORMED", ":"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_it_closes_the_workspace_and_says_where(siege: Siege, case: str) -> None:
    data, code, place = HOSTILE[case]
    siege.begin()
    allowed = siege.propose(draft("create", "app/earlier"))
    siege.write({POLICY_PATH: data})
    tree = siege.tree()
    for done in (
        siege.cli("policy", "check"),
        siege.cli("check", "--changeset", "-", *BY, stdin=DOCUMENT),
        siege.cli("run", "--changeset", "-", *BY, stdin=DOCUMENT),
        siege.cli("policy", "check", siege.root / POLICY_PATH),
    ):
        siege.refused(done, code, {2}, place)
    done = siege.cli("execute", allowed)  # approved before, under a policy that is no more
    siege.refused(done, code, {4}, place)
    assert siege.tree() == tree


@pytest.mark.parametrize("place", ["missing", "link", "dangling", "directory", "fifo", "device", "unreadable parent"])
def test_a_policy_that_is_no_plain_file_closes_the_workspace_without_hanging(siege: Siege, place: str) -> None:
    siege.begin()
    siege.propose(draft("create", "app/earlier"))
    path = siege.root / POLICY_PATH
    aside = siege.outside / "policy.yaml"
    path.rename(aside)
    if place == "link":
        path.symlink_to(aside)
    elif place == "dangling":
        path.symlink_to("nowhere")
    elif place == "directory":
        path.mkdir()
    elif place == "fifo":
        os.mkfifo(path)
    elif place == "device":
        path.symlink_to("/dev/zero")
    elif place == "unreadable parent":
        path.parent.rmdir()
        path.parent.write_bytes(b"")
    tree = siege.tree()
    done = siege.finish(siege.start("run", "--patch", siege.file("a.patch", patch("app/x")), *BY))
    siege.refused(done, {"POLICY_MISSING", "POLICY_UNREADABLE", "POLICY_EMPTY"}, {2}, POLICY_PATH)
    assert siege.tree() == tree


@pytest.mark.parametrize(
    "glob",
    ["*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "**/**/**/**/**/**/**/**/**/x", "(a+)+$", "[!a]" * 50 + "x", "{a,b}" * 8],
)
def test_a_pathological_glob_is_judged_in_bounded_time(siege: Siege, glob: str) -> None:
    siege.policy["executor"]["forbidden_paths"] = [glob]
    siege.begin()
    path = "/".join(["a" * 40] * 30)
    done = siege.cli("check", "--changeset", "-", *BY, stdin=json.dumps({"changes": [draft("create", path)]}).encode())
    assert done.exit in (0, 2), done  # and not after the end of the test's own time limit


@pytest.mark.parametrize("glob", ["[", "{a,b", "a//b", "../x", "/../x", "a\x00b", "x" * 501])
def test_a_glob_that_can_match_nothing_fails_the_load(siege: Siege, glob: str) -> None:
    siege.policy["executor"]["forbidden_paths"] = [glob]
    siege.begin()
    done = siege.cli("check", "--changeset", "-", *BY, stdin=DOCUMENT)
    codes = {"POLICY_BAD_GLOB", "POLICY_INVALID", "POLICY_UNREACHABLE", "POLICY_MALFORMED"}
    siege.refused(done, codes, {2}, "default.yaml:")


def test_a_policy_from_the_environment_outside_the_workspace_is_judged_as_strictly(siege: Siege) -> None:
    siege.begin()
    other = siege.file("other.yaml", b"version: 1\n")
    document = siege.file("d.json", DOCUMENT)
    done = siege.process("check", "--changeset", document, *BY, env={"LONELYCAT_POLICY": str(other)})
    siege.refused(done, "POLICY_INVALID", {2}, "other.yaml:1")


def test_a_policy_that_turns_over_while_it_is_read_never_allows(siege: Siege) -> None:
    """Read at proposal and read again at execution: another policy in between voids the decision."""
    siege.begin()
    plan_id = siege.propose(draft("create", "app/x"))
    siege.policy["description"] = "something else"
    siege.write_policy()
    tree = siege.tree()
    siege.refused(siege.cli("execute", plan_id), "POLICY_CHANGED", {4})
    assert siege.tree() == tree
    assert not Path(siege.root / "app/x").exists()
