"""Changes that hide where they go: protected places under other names, links, names that mislead, modes."""

from __future__ import annotations

from tests.hostile.workspace import Case, create, delete, edit, link, rename, update

from lonelycat.changes.changeset import EXECUTABLE


def _at(path: str, code: str) -> Case:
    return Case(f"write to {path!a}", lambda: [create(path, "[core]\n\tfsmonitor = sh\n")], code)


PROTECTED = tuple(
    _at(path, "PATH_PROTECTED")
    for path in (
        ".git/config",
        ".git/hooks/pre-commit",
        ".GIT/config",
        ".Git/hooks/post-checkout",
        "src/.git/config",
        "git~1/config",
        "GIT~2/hooks/pre-push",
        ".ｇｉｔ/config",
        ".lonelycat/lonelycat.db",
        ".LonelyCat/keys/gate.pem",
        ".lonelycat/locks/execution.lock",
    )
)

REFUSED = (
    _at("../outside", "PATH_TRAVERSAL"),
    _at("docs/../../outside", "PATH_TRAVERSAL"),
    _at("/etc/cron.d/x", "PATH_ABSOLUTE"),
    _at("C:/Windows/x", "PATH_DRIVE"),
    _at("docs\\..\\x", "PATH_BACKSLASH"),
    _at("docs//x", "PATH_NOT_NORMAL"),
    _at("./.git/config", "PATH_NOT_NORMAL"),
    _at(".gi\u200bt/config", "PATH_INVISIBLE"),
    _at(".git\u200d/config", "PATH_INVISIBLE"),
    _at(".git./config", "PATH_TRAILING_DOT_OR_SPACE"),
    _at(".git /config", "PATH_TRAILING_DOT_OR_SPACE"),
    _at(".git::$INDEX_ALLOCATION/config", "PATH_STREAM"),
    _at("docs/x\n.md", "PATH_CONTROL_CHARACTER"),
    _at("docs/x\0.md", "PATH_CONTROL_CHARACTER"),
    _at("src/\u202eyp.live", "PATH_BIDIRECTIONAL"),
    _at("aux.py", "PATH_DEVICE_NAME"),
    _at("docs/" + "x" * 300, "PATH_TOO_LONG"),
    Case("twins by case", lambda: [create("docs/a.md", "a"), create("docs/A.md", "b")], "PATH_TWIN"),
    Case("file and directory at once", lambda: [create("docs/a", "a"), create("docs/a/b", "b")], "PATH_PREFIX"),
    Case("one path twice", lambda: [create("docs/a.md", "a"), create("docs/a.md", "b")], "PATH_DUPLICATE"),
    Case("nothing at all", lambda: [], "CHANGESET_EMPTY"),
)

FORBIDDEN = (
    Case("environment file", lambda: [create(".env", "A=1\n")], "PATH_FORBIDDEN"),
    Case("environment file in other case", lambda: [create(".ENV", "A=1\n")], "PATH_FORBIDDEN"),
    Case("environment file, nested", lambda: [create("src/app/.env.production", "A=1\n")], "PATH_FORBIDDEN"),
    Case("rename into an environment file", lambda: [rename("docs/index.md", ".env")], "PATH_FORBIDDEN"),
    Case("private key by name", lambda: [create("deploy/id_ed25519", "x\n")], "PATH_FORBIDDEN"),
    Case("key by suffix", lambda: [create("deploy/server.pem", "x\n")], "PATH_FORBIDDEN"),
    Case("installed tree", lambda: [create("node_modules/express/index.js", "evil()\n")], "PATH_FORBIDDEN"),
    Case("compiled code", lambda: [create("src/app/__pycache__/core.cpython-312.pyc", b"\0\0")], "PATH_FORBIDDEN"),
)

NAMES = (
    Case("name in two alphabets", lambda: [create("src/app/c\u043ere.py", "x = 1\n")], "CONFUSABLE_NAME"),
    Case("name that reads as an option", lambda: [create("docs/--output=x", "x\n")], "CONFUSABLE_NAME"),
    Case("rename into the repository", lambda: [rename("docs/index.md", ".git/info/attributes")], "PATH_PROTECTED"),
)

LINKS = (
    Case("link out of the workspace", lambda: [link("docs/passwd", "/etc/passwd")], "SYMLINK_ESCAPES"),
    Case("link up and out", lambda: [link("docs/up", "../../secret")], "SYMLINK_ESCAPES"),
    Case("link to the home", lambda: [link("docs/home", "~/../../root")], "SYMLINK_ESCAPES"),
    Case("link into the repository", lambda: [link("docs/config", "../.git/config")], "SYMLINK_TO_PROTECTED"),
    Case("link into the state", lambda: [link("keys", ".lonelycat/keys")], "SYMLINK_TO_PROTECTED"),
    Case("link to an environment file", lambda: [link("docs/env.md", "../.env")], "SYMLINK_TO_FORBIDDEN"),
    Case("directory link", lambda: [link("vendor", "/tmp")], "SYMLINK_ESCAPES"),
    Case("link inside", lambda: [link("docs/core.py", "../src/app/core.py")], "SYMLINK"),
    Case("file becomes a link", lambda: [update("docs/index.md", b"/etc/shadow", "120000")], "SYMLINK_ESCAPES"),
)

MODES = (
    Case(
        "data becomes executable", lambda: [update("docs/index.md", b"#!/bin/sh\nid\n", EXECUTABLE)], "EXECUTABLE_BIT"
    ),
    Case(
        "source becomes executable",
        lambda: [create("src/app/run.py", "#!/usr/bin/env python\n", EXECUTABLE)],
        "EXECUTABLE_BIT",
    ),
    Case("workflow deleted", lambda: [delete(".github/workflows/ci.yml")], "GOVERNANCE_PATH"),
    Case(
        "workflow edited beside docs",
        lambda: [edit(".github/workflows/ci.yml", b"pytest", b"true"), edit("docs/index.md", b"Manual", b"Guide")],
        "GOVERNANCE_PATH",
    ),
)

CASES = (*PROTECTED, *REFUSED, *FORBIDDEN, *NAMES, *LINKS, *MODES)
