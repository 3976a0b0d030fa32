"""Hostile JSON and damaged patches: refused with the place, before anything is looked at or touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.interfaces.hostile.siege import BY, Answer, Siege, created, draft, patch, plan, sha, updated, whole

OLD = b"old\n"
GOOD = json.dumps({"changes": [draft("create", "app/x")]}).encode()


@pytest.fixture
def ground(siege: Siege) -> Siege:
    return siege.begin()


def _changeset(siege: Siege, data: bytes, command: str = "run") -> Answer:
    return siege.cli(command, "--changeset", "-", *BY, stdin=data)


def _patch(siege: Siege, data: bytes) -> Answer:
    return siege.cli("run", "--patch", "-", *BY, stdin=data)


# -- JSON ----------------------------------------

MALFORMED: dict[str, tuple[bytes, str, str]] = {
    "duplicate key": (b'{"changes": [], "changes": []}', "JSON_DUPLICATE_KEY", "changes"),
    "duplicate key, escaped": (b'{"changes": [], "ch\\u0061nges": []}', "JSON_DUPLICATE_KEY", "changes"),
    "duplicate key, deep": (
        b'{"changes": [{"operation": "create", "path": "a", "path": "b", "content": "x"}]}',
        "JSON_DUPLICATE_KEY",
        "path",
    ),
    "NaN": (b'{"changes": NaN}', "JSON_NUMBER", "NaN"),
    "Infinity": (b'{"changes": -Infinity}', "JSON_NUMBER", "Infinity"),
    "huge exponent": (b'{"changes": 1e999}', "JSON_NUMBER", "1e999"),
    "huge integer": (b'{"changes": ' + b"9" * 40 + b"}", "JSON_NUMBER", "9999"),
    "endless integer": (b'{"changes": ' + b"9" * 100_000 + b"}", "JSON_NUMBER", "9999"),
    "lone surrogate": (b'{"changes": "\\ud800"}', "JSON_LONE_SURROGATE", "surrogate"),
    "lone surrogate as a key": (b'{"\\udc00": 1}', "JSON_LONE_SURROGATE", "surrogate"),
    "deep list": (b"[" * 100_000 + b"]" * 100_000, "JSON_TOO_DEEP", "levels"),
    "deep object": (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "JSON_TOO_DEEP", "levels"),
    "never closed": (b"[" * 1_000_000, "JSON_TOO_DEEP", "levels"),
    "not UTF-8": (b'{"changes": "\xff"}', "JSON_NOT_UTF8", "byte 13"),
    "UTF-16": ('{"changes": []}'.encode("utf-16"), "JSON_NOT_UTF8", "byte 0"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "JSON_MALFORMED", "line 1"),
    "trailing comma": (b'{"changes": [1,]}', "JSON_MALFORMED", "column 16"),
    "comment": (b'{"changes": [] /* x */}', "JSON_MALFORMED", "line 1"),
    "two documents": (GOOD + b"\n" + GOOD, "JSON_MALFORMED", "line 2"),
    "cut off": (GOOD[:-9], "JSON_MALFORMED", "line 1"),
    "control character": (b'{"changes": "\x01"}', "JSON_MALFORMED", "column 14"),
    "nothing": (b"", "JSON_MALFORMED", "line 1"),
    "single quotes": (b"{'changes': []}", "JSON_MALFORMED", "column 2"),
    "a list": (b"[]", "INVALID_CHANGESET", "change set"),
    "text": (b'"changes"', "INVALID_CHANGESET", "change set"),
    "null": (b"null", "INVALID_CHANGESET", "change set"),
    "no changes": (b'{"changes": []}', "CHANGESET_EMPTY", "change"),
    "changes that are no list": (b'{"changes": {"path": "a"}}', "INVALID_CHANGESET", "changes"),
}


@pytest.mark.parametrize("command", ["check", "propose", "run"])
@pytest.mark.parametrize("case", MALFORMED)
def test_json_that_two_readers_could_read_differently(ground: Siege, case: str, command: str) -> None:
    data, code, place = MALFORMED[case]
    tree = ground.tree()
    ground.refused(_changeset(ground, data, command), code, {2}, place)
    assert ground.tree() == tree


@pytest.mark.parametrize("case", [name for name, (_, code, _) in MALFORMED.items() if code.startswith("JSON_")])
def test_a_plan_is_read_as_strictly(ground: Siege, case: str) -> None:
    data, code, _ = MALFORMED[case]
    document = ground.file("plan.json", data)
    done = ground.cli("run", "--plan", document, "--changeset", ground.file("cs.json", GOOD))
    ground.refused(done, code, {2}, "plan" if code in ("JSON_MALFORMED", "JSON_NOT_UTF8") else "")


FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"operation": "replace"}, "operation"),
    ({"operation": None}, "operation"),
    ({"new_mode": "100600"}, "new_mode"),
    ({"new_mode": "40000"}, "new_mode"),
    ({"new_mode": "160000"}, "new_mode"),
    ({"new_mode": "104755"}, "new_mode"),
    ({"new_mode": 100644}, "new_mode"),
    ({"new_hash": "0" * 63}, "new_hash"),
    ({"new_hash": "G" * 64}, "new_hash"),
    ({"new_hash": sha(b"evil\n").upper()}, "new_hash"),
    ({"content": {"text": "a", "base64": "YQ=="}}, "content"),
    ({"content": {"base64": "not base64"}}, "content"),
    ({"content": {"base64": "YQ"}}, "content"),
    ({"content": {"file": "/etc/passwd"}}, "content"),
    ({"content": {"blob": {"sha256": "../../etc/passwd", "size": 1}}}, "content"),
    ({"content": {"blob": {"sha256": "a" * 64, "size": -1}}}, "content"),
    ({"content": ["evil"]}, "content"),
    ({"content": 7}, "content"),
    ({"extra": "field"}, "extra"),
    ({"__class__": "os.system"}, "__class__"),
    ({"old_path": "app/y"}, "old_path"),
    ({"old_hash": "a" * 64, "old_mode": "100644"}, "old_hash"),
]


@pytest.mark.parametrize(("field", "place"), FIELDS, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("form", ["draft", "whole"])
def test_a_field_that_is_not_what_it_must_be_is_named(
    ground: Siege, field: dict[str, Any], place: str, form: str
) -> None:
    tree = ground.tree()
    good = created("app/first")
    if form == "draft":
        body = {"changes": [draft("create", "app/first"), {**draft("create", "app/x"), **field}]}
        done = _changeset(ground, json.dumps(body).encode())
    else:
        done = ground.cli("run", *ground.documents(whole(good, {**created("app/x"), **field})))
    ground.refused(done, "INVALID_CHANGESET", {2}, "changes[1]", place)
    assert ground.tree() == tree


@pytest.mark.parametrize("missing", ["id", "checksum", "generated_by", "generated_at", "changes"])
def test_a_change_set_without_a_field_is_refused(ground: Siege, missing: str) -> None:
    document = whole(created("app/x"))
    del document[missing]
    done = ground.cli("run", *ground.documents(document))
    ground.refused(done, "INVALID_CHANGESET", {2}, missing)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../../plan"),
        ("id", "plan_" + "x" * 65),
        ("intent", ""),
        ("intent", "x" * 2_001),
        ("created_by", "agent\nroot"),
        ("created_by", ""),
        ("created_at", "yesterday"),
        ("confidence", 1.5),
        ("confidence", "1"),
        ("risk_level_proposed", "NONE"),
        ("verification_plan", ["rm -rf /"]),
        ("verification_plan", "look"),
        ("affected_paths", ["../evil"]),
        ("argv", ["sh", "-c", "id"]),
        ("parent_execution_id", 7),
    ],
)
def test_a_plan_field_that_is_not_what_it_must_be_is_named(ground: Siege, field: str, value: object) -> None:
    tree = ground.tree()
    document = ground.file("plan.json", {**plan(), field: value})
    done = ground.cli("run", "--plan", document, "--changeset", ground.file("cs.json", GOOD))
    ground.refused(done, {"INVALID_PLAN", "PATH_TRAVERSAL"}, {2}, "../evil" if field == "affected_paths" else field)
    assert ground.tree() == tree


def test_a_check_that_the_policy_does_not_define_is_refused_before_anything_is_touched(ground: Siege) -> None:
    tree = ground.tree()
    for field in ("verification_plan", "health_checks", "services"):
        done = ground.cli("run", *ground.documents(whole(created("app/x")), {field: ["unheard-of"]}))
        assert done.exit in (2, 4), done
        assert "unheard-of" in json.dumps(done.facts)
        assert done.facts["hint"]
    assert ground.tree() == tree


# -- tampering ----------------------------------------


def _tampered(field: str) -> dict[str, object]:
    document = whole(created("app/x"), updated("app/settings.txt", OLD))
    changes = [dict(change) for change in document["changes"]]  # type: ignore[attr-defined]  # a list of objects
    if field == "content":
        changes[0]["content"] = {"text": "other\n"}
    elif field == "content and hash":
        changes[0].update(content={"text": "other\n"}, new_hash=sha(b"other\n"))
    elif field == "path":
        changes[0]["path"] = "app/y"
    elif field == "mode":
        changes[0]["new_mode"] = "100755"
    elif field == "precondition":
        changes[1]["old_hash"] = sha(b"anything")
    elif field == "one change less":
        changes.pop()
    elif field == "order":
        changes.reverse()
    return {**document, "changes": changes, **({"checksum": "0" * 64} if field == "checksum" else {})}


@pytest.mark.parametrize(
    "field",
    ["content", "content and hash", "path", "mode", "precondition", "one change less", "order", "checksum"],
)
def test_a_change_set_that_is_not_what_its_checksum_says(ground: Siege, field: str) -> None:
    tree = ground.tree()
    ground.refused(ground.cli("run", *ground.documents(_tampered(field))), {"CHECKSUM_MISMATCH"}, {4})
    assert ground.tree() == tree


def test_the_same_id_with_another_body_is_refused_and_with_the_same_gets_the_stored_result(ground: Siege) -> None:
    documents = ground.documents(whole(created("app/x")))
    first = ground.cli("run", *documents)
    assert first.exit == 0, first
    tree = ground.tree()
    again = ground.cli("run", *documents)
    assert again.exit == 0, again
    assert again.facts["execution_id"] == first.facts["execution_id"]
    assert again.facts["cached"] is True
    name = first.facts["plan_id"]
    other = ground.file("cs2.json", {**whole(created("app/z")), "id": "cs_other", "plan_id": name})
    done = ground.cli("run", "--changeset", other, "--plan", documents[3])
    ground.refused(done, {"PLAN_ID_TAKEN"}, {4}, name)
    assert ground.tree() == tree


def test_over_the_caps_is_refused(siege: Siege) -> None:
    limits = {"max_files_touched": 3, "max_file_bytes": 100, "max_total_bytes": 150, "max_deletions": 1}
    siege.policy["executor"]["constraints"].update(limits, max_patch_lines=50)
    siege.begin({f"app/{number}.txt": OLD for number in range(5)})
    tree = siege.tree()
    for case in (
        [draft("create", f"n{number}") for number in range(4)],
        [draft("create", "big", content="x" * 101)],
        [draft("create", "a", content="x" * 90), draft("create", "b", content="x" * 90)],
        [draft("delete", "app/0.txt"), draft("delete", "app/1.txt")],
        [draft("create", "long", content="\n" * 51)],
    ):
        done = _changeset(siege, json.dumps({"changes": case}).encode())
        assert (done.exit, done.facts["verdict"]) == (4, "DENY"), done
        assert done.facts["hint"]
    assert siege.tree() == tree


# -- patches ----------------------------------------

UPDATE = (
    b"diff --git a/readme.md b/readme.md\n--- a/readme.md\n+++ b/readme.md\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n"
)
_MODES = {"MODE_UNSUPPORTED", "PATCH_MALFORMED"}

PATCHES: dict[str, tuple[bytes, set[str], int, str]] = {
    "empty": (b"", {"PATCH_EMPTY"}, 2, ""),
    "prose": (b"Please change two to TWO.\n", {"PATCH_EMPTY", "PATCH_MALFORMED"}, 2, ""),
    "cut in the hunk": (UPDATE[:-8], {"PATCH_MALFORMED"}, 2, "line"),
    "counts too high": (UPDATE.replace(b"-1,3 +1,3", b"-1,9 +1,9"), {"PATCH_MALFORMED"}, 2, "line"),
    "counts too low": (UPDATE.replace(b"-1,3 +1,3", b"-1,2 +1,2"), {"PATCH_MALFORMED"}, 2, "line"),
    "counts absurd": (UPDATE.replace(b"-1,3", b"-1,99999999999999999999"), {"PATCH_MALFORMED"}, 2, "line 4"),
    "no numbers": (UPDATE.replace(b"-1,3 +1,3", b"-x +y"), {"PATCH_MALFORMED"}, 2, "line 4"),
    "garbage in the hunk": (UPDATE.replace(b" three\n", b"three\n"), {"PATCH_MALFORMED"}, 2, "line 8"),
    "other context": (UPDATE.replace(b" one", b" eins"), {"HUNK_MISMATCH"}, 5, "readme.md"),
    "other place": (UPDATE.replace(b"-1,3 +1,3", b"-2,3 +2,3"), {"HUNK_MISMATCH"}, 5, "readme.md"),
    "other removal": (UPDATE.replace(b"-two", b"-zwei"), {"HUNK_MISMATCH"}, 5, "readme.md"),
    "other line ends": (UPDATE.replace(b" one\n", b" one\r\n"), {"HUNK_MISMATCH"}, 5, "readme.md"),
    "a file that is not there": (UPDATE.replace(b"readme", b"nothing"), {"FILE_MISSING"}, 5, "nothing.md"),
    "a file that is there": (patch("readme.md"), {"FILE_EXISTS"}, 5, "readme.md"),
    "a submodule": (
        b"diff --git a/sub b/sub\nnew file mode 160000\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n"
        b"+Subproject commit " + b"a" * 40 + b"\n",
        {"SUBMODULE_UNSUPPORTED", "MODE_UNSUPPORTED"},
        2,
        "sub",
    ),
    "an impossible mode": (patch("app/x").replace(b"100644", b"104755"), _MODES, 2, ""),
    "a directory's mode": (patch("app/x").replace(b"100644", b"040000"), _MODES, 2, ""),
    "binary without data": (
        b"diff --git a/x.bin b/x.bin\nnew file mode 100644\nindex 0000000..1111111\n"
        b"Binary files /dev/null and b/x.bin differ\n",
        {"PATCH_BINARY_MISSING"},
        2,
        "x.bin",
    ),
    "binary that is damaged": (
        b"diff --git a/x.bin b/x.bin\nnew file mode 100644\nindex 0000000000000000000000000000000000000000.."
        b"1111111111111111111111111111111111111111\nGIT binary patch\nliteral 5\nzzzzzzzz\n\n",
        {"PATCH_MALFORMED"},
        2,
        "line",
    ),
    "two names that differ": (
        UPDATE.replace(b"+++ b/readme.md", b"+++ b/app/settings.txt"),
        {"PATCH_MALFORMED"},
        2,
        "line",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PATCHES)
def test_a_patch_that_does_not_fit_or_cannot_be_read_names_the_place(ground: Siege, case: str) -> None:
    data, codes, exit, place = PATCHES[case]
    tree = ground.tree()
    ground.refused(_patch(ground, data), codes, {exit}, place)
    assert ground.tree() == tree
    assert ground.cli("log").facts["executions"] == []


def test_every_cut_of_a_patch_is_refused_or_judged_and_touches_nothing(ground: Siege) -> None:
    tree = ground.tree()
    for end in range(len(UPDATE)):
        done = ground.cli("check", "--patch", "-", *BY, stdin=UPDATE[:end])
        assert done.exit in (0, 2, 5), done
    assert ground.tree() == tree


# -- arguments ----------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "--patch", "nowhere.patch", "--intent", "x"),
        ("run", "--patch", "/", "--intent", "x"),
        ("run", "--git", "--output=/tmp/evil", "--intent", "x"),
        ("run", "--git", "HEAD", "--intent", "x"),
        ("run", "--git", "HEAD..unheard-of", "--intent", "x"),
        ("run", "--git", "HEAD..HEAD", "--intent", "x"),
        ("run", "--git", "$(id)..HEAD", "--intent", "x"),
        ("execute", "plan_unheardof"),
        ("execute", "../../etc/passwd"),
        ("show", "exec_unheardof"),
        ("show", "../../etc/passwd"),
        ("diff", "'; drop table executions; --"),
        ("revert", "exec_unheardof", "--by", "human"),
        ("approve", "plan_unheardof", "--by", "human"),
        ("reject", "plan_unheardof", "--by", "human"),
        ("unfreeze", "--by", "human", "--reason", "x"),
        ("policy", "check", "nowhere.yaml"),
        ("log", "--limit", "-1"),
        ("log", "--since", "yesterday-ish"),
        ("log", "--status", "splendid"),
        ("unheard-of",),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_arguments_that_mean_nothing_here_are_bad_input(ground: Siege, arguments: tuple[str, ...]) -> None:
    tree = ground.tree()
    done = ground.cli(*arguments)
    assert done.exit == 2, done
    assert done.facts["hint"], done
    assert ground.tree() == tree


def test_a_workspace_that_is_none(siege: Siege) -> None:
    for place in (siege.base / "nowhere", siege.outside / "canary", siege.base / ("x" * 300)):
        siege.root = place
        done = siege.cli("status")
        siege.refused(done, "WORKSPACE_MISSING", {2}, str(place)[-20:])
