"""Hostile paths, in a patch, a draft and a complete change set: a typed refusal, and nothing is touched anywhere."""

from __future__ import annotations

import json

import pytest
from tests.interfaces.hostile.siege import BY, Answer, Siege, created, draft, patch, sha, whole

TRAVERSAL = ("..", "../evil", "a/../evil", "a/../../evil", "app/..", "../workspace-evil/x", "../../../../tmp/evil")
ABSOLUTE = ("/", "/etc/passwd", "//evil", "/../evil")
NOT_NORMAL = (".", "./evil", "a/./evil", "a//evil", "evil/", "a/b/", "app/.")
CONTROL = ("a\0b", "evil\n.md", "a\rb", "\x1b[2Jevil", "a\tb", "a\x7fb", "a\x85b", "a/\x01")
BACKSLASH = ("a\\b", "..\\evil", "\\\\server\\share", "app\\..\\..\\evil")
DRIVES = ("C:/evil", "C:evil", "c:\\evil", "z:")
DEVICES = ("con", "CON", "aux.txt", "src/NUL", "com1.md", "lpt9", "COM¹", "nul.tar.gz", "a/prn/b", "conin$")
TRAILING = ("evil.", "evil ", "app./x", "app /x", "...", "a/...", "evil. .")
STREAMS = ("evil::$DATA", "app:stream", "app/settings.txt:hidden", "a/b:c/d")
INVISIBLE = (".gi\u200bt/x", "re\u00adadme.md", "a\ufeff", "\u2060evil", "a\u3164b", "x\ufe0f")
BIDIRECTIONAL = ("\u202eevil", "a/\u2066b", "exe\u200f.md", "\u061cx", "a\u202d\u202cb")
LONG = ("x" * 256, "a/" + "é" * 128, "a/" * 2100 + "x", "y" * 5000)
PROTECTED = (
    ".git/config",
    ".git/hooks/pre-commit",
    ".GIT/config",
    "sub/.Git/x",
    "git~1/config",
    "GIT~2/x",
    ".ｇｉｔ/config",
    ".git",
    ".lonelycat/lonelycat.db",
    ".lonelycat/keys/gate.pem",
    ".LonelyCat/locks/guard",
    "sub/.lonelycat/tx/x",
    ".lonelycat",
    ".lonelycat/policy.json",
)
CLASSES: dict[str, tuple[str, ...]] = {
    "PATH_TRAVERSAL": TRAVERSAL,
    "PATH_ABSOLUTE": ABSOLUTE,
    "PATH_NOT_NORMAL": NOT_NORMAL,
    "PATH_CONTROL_CHARACTER": CONTROL,
    "PATH_BACKSLASH": BACKSLASH,
    "PATH_DRIVE": DRIVES,
    "PATH_DEVICE_NAME": DEVICES,
    "PATH_TRAILING_DOT_OR_SPACE": TRAILING,
    "PATH_STREAM": STREAMS,
    "PATH_INVISIBLE": INVISIBLE,
    "PATH_BIDIRECTIONAL": BIDIRECTIONAL,
    "PATH_TOO_LONG": LONG,
    "PATH_PROTECTED": PROTECTED,
}
HOSTILE = [(code, path) for code, paths in CLASSES.items() for path in paths]
FORMS = ("patch", "draft", "whole", "rename to", "rename from")


def _ask(siege: Siege, path: str, form: str) -> Answer:
    if form == "patch":
        return siege.cli("run", "--patch", "-", *BY, stdin=patch(path))
    if form == "whole":
        return siege.cli("run", *siege.documents(whole(created(path))))
    if form == "rename from":
        content = {"old_hash": sha(b"old\n"), "old_mode": "100644", "new_hash": sha(b"old\n")}
        change = draft("rename", "app/taken.txt", old_path=path, **content)
    elif form == "rename to":
        change = draft("rename", path, old_path="app/settings.txt")
    else:
        change = draft("create", path)
    return siege.cli("run", "--changeset", "-", *BY, stdin=json.dumps({"changes": [change]}).encode())


def _id(value: str) -> str:
    return ascii(value)[1:40].replace("\\", "_").replace("/", "|")


@pytest.fixture
def before(siege: Siege) -> Siege:
    return siege.begin()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code", CLASSES)
def test_every_path_of_the_class_is_refused_and_nothing_is_touched(before: Siege, code: str, form: str) -> None:
    tree = before.tree()
    for path in CLASSES[code]:
        done = _ask(before, path, form)
        wanted = {"PATH_DRIVE", "PATH_BACKSLASH"} if code == "PATH_DRIVE" else {code}
        if form == "patch":  # what git's own quoting or its two names cannot say is a malformed patch
            wanted |= {"PATCH_MALFORMED", "PATH_NOT_NORMAL", "PATH_ABSOLUTE"}
        before.refused(done, wanted, {2, 4})
        named = [path for reason in done.facts.get("reasons", []) for path in reason["paths"]]
        assert named or "path" in done.facts["message"] or form == "patch", done
        assert before.tree() == tree, path
    assert before.leftovers() == []


@pytest.mark.parametrize("path", [".git/config", ".git/HEAD", ".lonelycat/keys/gate.pem"])
def test_a_protected_file_is_not_read_to_fill_in_a_change(before: Siege, path: str) -> None:
    before.propose(draft("create", "first.md"))  # makes the gate's key
    tree = before.tree()
    secret = (before.root / path).read_text().splitlines()[0]
    text = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-guess\n+evil\n"
    for operation, more in (("update", {}), ("delete", {}), ("rename", {"old_path": path})):
        change = draft(operation, "app/x" if more else path, **more)
        done = before.cli("check", "--changeset", "-", *BY, stdin=json.dumps({"changes": [change]}).encode())
        before.refused(done, "PATH_PROTECTED", {4}, path)
        assert secret not in json.dumps(done.facts)
    done = before.cli("check", "--patch", "-", *BY, stdin=text.encode())
    before.refused(done, "PATH_PROTECTED", {4}, path)
    assert secret not in json.dumps(done.facts)
    assert before.tree() == tree


@pytest.mark.parametrize("form", ["draft", "whole"])
def test_no_path_and_no_text_are_not_paths(before: Siege, form: str) -> None:
    tree = before.tree()
    for value in ("", None, 7, [], {}, True):
        change = {**created("x"), "path": value}
        if form == "whole":
            done = before.cli("run", *before.documents(whole(change)))
        else:
            change = {**draft("create", "x"), "path": value}
            done = before.cli("run", "--changeset", "-", *BY, stdin=json.dumps({"changes": [change]}).encode())
        before.refused(done, {"PATH_EMPTY", "INVALID_CHANGESET"}, {2})
    assert before.tree() == tree


@pytest.mark.parametrize(
    ("code", "paths"),
    [
        ("PATH_TWIN", ("docs/a.md", "docs/A.md")),
        ("PATH_TWIN", ("caf\u00e9.md", "cafe\u0301.md")),
        ("PATH_TWIN", ("stra\u00dfe", "STRASSE")),
        ("PATH_TWIN", ("\ufb01le", "file")),
        ("PATH_DUPLICATE", ("same.md", "same.md")),
        ("PATH_PREFIX", ("a", "a/b")),
        ("PATH_PREFIX", ("deep/er/x/y", "Deep/ER")),
    ],
)
@pytest.mark.parametrize("form", ["patch", "draft", "whole"])
def test_names_that_cannot_stand_together(before: Siege, code: str, paths: tuple[str, str], form: str) -> None:
    tree = before.tree()
    for pair in (paths, paths[::-1]):
        if form == "patch":
            done = before.cli("run", "--patch", "-", *BY, stdin=b"".join(patch(path) for path in pair))
        elif form == "draft":
            changes = [draft("create", path) for path in pair]
            done = before.cli("run", "--changeset", "-", *BY, stdin=json.dumps({"changes": changes}).encode())
        else:
            done = before.cli("run", *before.documents(whole(*map(created, pair))))
        if form == "patch" and code == "PATH_DUPLICATE":  # a patch is read from top to bottom
            before.refused(done, "FILE_EXISTS", {5}, pair[0], "line 7")
        else:
            before.refused(done, code, {2, 4})
    assert before.tree() == tree


def test_a_lone_surrogate_is_no_path(before: Siege) -> None:
    tree = before.tree()
    for name in (b'"\\ud800"', b'"a/\\udfff/b"'):
        document = b'{"changes": [{"operation": "create", "path": ' + name + b', "content": "x"}]}'
        before.refused(before.cli("run", "--changeset", "-", *BY, stdin=document), "JSON_LONE_SURROGATE", {2})
    assert before.tree() == tree


@pytest.mark.parametrize("quoting", ['"', '"a', '"a\\q"', '"a\\400"', '"a\\3"', '"a"b"', '"a\\'])
def test_malformed_quoting_is_no_path(before: Siege, quoting: str) -> None:
    tree = before.tree()
    if "\\" in quoting:  # without an escape it is, in JSON, a name that holds quotes
        body = json.dumps({"changes": [draft("create", quoting)]}).encode()
        done = before.cli("run", "--changeset", "-", *BY, stdin=body)
        before.refused(done, {"PATH_BAD_QUOTING", "PATH_BACKSLASH"}, {2})
    text = f"diff --git {quoting} {quoting}\nnew file mode 100644\n--- /dev/null\n+++ {quoting}\n@@ -0,0 +1 @@\n+x\n"
    done = before.cli("run", "--patch", "-", *BY, stdin=text.encode())
    before.refused(done, {"PATH_BAD_QUOTING", "PATCH_MALFORMED"}, {2})
    assert before.tree() == tree


def test_an_escape_hidden_by_quoting_is_still_an_escape(before: Siege) -> None:
    tree = before.tree()
    for quoted in ('"\\056\\056/evil"', '"\\056git/config"', '"\\057etc/passwd"', '".lonely\\143at/x"'):
        body = json.dumps({"changes": [draft("create", quoted)]}).encode()
        done = before.cli("run", "--changeset", "-", *BY, stdin=body)
        before.refused(done, {"PATH_TRAVERSAL", "PATH_PROTECTED", "PATH_ABSOLUTE"}, {2, 4})
    assert before.tree() == tree


def test_odd_but_harmless_names_are_kept_exactly(before: Siege) -> None:
    names = ["caf\u00e9/\u65e5\u672c.md", "with space.md", "-rf", "#hash", "a'b", "star*", "%41", "\U0001f408.md"]
    body = json.dumps({"changes": [draft("create", name) for name in [*names, '"\\377bytes"']]}).encode()
    done = before.cli("propose", "--changeset", "-", *BY, stdin=body)
    assert done.exit in (0, 3), done
    for name in names[:2]:
        plan_id = before.propose(draft("create", name))
        assert before.process("execute", plan_id).exit == 0
        assert (before.root / name).read_text() == "evil\n"
