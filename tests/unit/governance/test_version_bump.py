from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from lonelycat.governance.version_bump import MAX_BYTES, only_raises_versions

_H1, _H2 = "a1" * 32, "b2" * 32
_PACKAGE = "[[package]]\n"
_SUM = "github.com/x/y v1.2.0 h1:" + "A" * 43 + "=\n"

_UV = (
    f'{_PACKAGE}name = "a"\nversion = "1.0.0"\nsource = {{ registry = "https://r.example/simple" }}\n'
    f'sdist = {{ url = "https://f.example/{_H1}/a-1.0.0.tar.gz", hash = "sha256:{_H1}", size = 10 }}\n\n'
    f'{_PACKAGE}name = "b"\nversion = "3.0.0"\nsource = {{ registry = "https://q.example/simple" }}\n'
)
_UV_NEXT = _UV.replace("1.0.0", "1.0.1").replace(_H1, _H2)
_GIT = f'{_PACKAGE}name = "a"\nversion = "1.0.0"\nsource = "git+https://h.example/a?x=1.0.0#{_H1[:40]}"\n'
_YARN = (
    f'a@^1.0.0:\n  version "1.0.0"\n  resolved "https://r.example/a/-/a-1.0.0.tgz#{_H1[:40]}"\n\n'
    'b@^2.0.0:\n  version "2.0.0"\n'
)
_NPM = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "own", "version": "1.0.0", "dependencies": {"a": "^1.0.0"}},
        "node_modules/a": {
            "version": "1.0.0",
            "resolved": "https://r.example/a/-/a-1.0.0.tgz",
            "integrity": "sha512-" + "A" * 86 + "==",
            "dependencies": {"b": "^2.0.0"},
        },
        "node_modules/b": {
            "version": "2.0.0",
            "resolved": "https://r.example/b/-/b-2.0.0.tgz",
            "integrity": "sha512-" + "A" * 86 + "==",
        },
    },
}


def _npm(**entry: Any) -> str:
    """Return the lock with package ``a`` at the next version, and ``entry`` changed in it."""
    lock = json.loads(json.dumps(_NPM))
    lock["packages"]["node_modules/a"] |= {
        "version": "1.0.1",
        "resolved": "https://r.example/a/-/a-1.0.1.tgz",
        "integrity": "sha512-" + "B" * 86 + "==",
        **entry,
    }
    return json.dumps(lock)


_EDGE = '    { name = "b" },\n'
_WHEN = """    { name = "b", marker = "python_full_version < '3.10'" },\n"""
_EDGES = _UV.replace("\nsdist", f"\ndependencies = [\n{_EDGE}]\nsdist", 1)
_WAYS = {
    "uv: when a package is needed": ("uv.lock", _EDGES, _EDGES.replace(_EDGE, _WHEN)),
    "uv: the revision of the format": ("uv.lock", "revision = 2\n" + _UV, "revision = 3\n" + _UV),
    "only a comment of pip": ("requirements.txt", "a==1.2\n# via b\n", "a==1.2\n# via b and c\n"),
    "only a comment of pip with hashes": (
        "requirements.txt",
        f"a==1.2 --hash=sha256:{_H1}\n    # via b\n",
        f"a==1.2 --hash=sha256:{_H1}\n    # via c\n",
    ),
    "description": ("pyproject.toml", '[project]\ndescription = "a"\n', '[project]\ndescription = "b"\n'),
}
"""What may change either way."""

BUMPS = {
    "uv lock": ("uv.lock", _UV, _UV_NEXT),
    "yarn lock": ("yarn.lock", _YARN, _YARN.replace("1.0.0", "1.1.0").replace(_H1[:40], _H2[:40])),
    "two locked versions of one name": (
        "uv.lock",
        _UV + _UV.replace("1.0.0", "2.0.0"),
        _UV + _UV.replace("1.0.0", "2.0.1").replace(_H1, _H2),
    ),
    "comments of pip": ("requirements/dev.txt", "a==1.2\n    # via b\n", "a==1.3\n    # via b, c\n"),
    "candidate": ("requirements.txt", "a==1.2rc1\n", "a==1.2rc2\n"),
    "post release": ("requirements.txt", "a==1.2\n", "a==1.2.post1\n"),
    "upper bound": ("setup.cfg", "    a>=2,<3\n", "    a>=2,<4\n"),
    "image": ("Dockerfile", "FROM python:3.12-slim\n", "FROM python:3.13-slim\n"),
    "npm": ("package-lock.json", json.dumps(_NPM), _npm()),
    "npm, a range of a known package": ("package-lock.json", json.dumps(_NPM), _npm(dependencies={"b": "^2.1.0"})),
    "npm, the licence": ("package-lock.json", json.dumps(_NPM), _npm(license="MIT")),
    "npm manifest": ("package.json", '{"dependencies": {"a": "~1.2.0"}}', '{"dependencies": {"a": "~1.3.0"}}\n'),
    "npm candidate": ("package.json", '{"version": "1.7.0-beta.1"}', '{"version": "1.7.0-beta.2"}'),
    "npm words": ("package.json", '{"version": "1.0.0", "keywords": ["a"]}', '{"version": "1.0.1", "keywords": []}'),
    "requirement": ("requirements.txt", "a==1.2\nb==2.0.1\n", "a==1.3\nb==2.0.1\n"),
    "requirement with hash": ("requirements.txt", f"a==1.2 --hash=sha256:{_H1}\n", f"a==1.3 --hash=sha256:{_H2}\n"),
    "json": ("composer.json", '"x/y": "^4.18.2",\n', '"x/y": "^4.19.0",\n'),
    "toml": (
        "Cargo.toml",
        'serde = { version = "1.0.1", features = ["derive"] }\n',
        'serde = { version = "1.0.9", features = ["derive"] }\n',
    ),
    "own version": ("pyproject.toml", 'version = "1.0.0rc1"\n', 'version = "1.0.0"\n'),
    "go.mod": ("go.mod", "\tgithub.com/x/y v1.2.0\n", "\tgithub.com/x/y v1.3.0\n"),
    "go.sum": ("go.sum", _SUM, _SUM.replace("v1.2.0", "v1.3.0").replace("A" * 43, "B" * 43)),
    "cargo lock": (
        "Cargo.lock",
        f'{_PACKAGE}name = "a"\nversion = "1.0.0"\nchecksum = "{_H1}"\n\n{_PACKAGE}name = "b"\nversion = "3.0.0"\n',
        f'{_PACKAGE}name = "a"\nversion = "1.1.0"\nchecksum = "{_H2}"\n\n{_PACKAGE}name = "b"\nversion = "3.0.0"\n',
    ),
}
OTHERS = {
    "digits of another script": ("requirements.txt", "a==8.1.7\n", "a==8.1.\u0669\n"),
    "full-width digits": ("requirements.txt", "a==8.1.7\n", "a==8.\uff12.7\n"),
    "excluded": ("requirements.txt", "a>=1,!=1.5\n", "a>=1,!=1.6\n"),
    "excluded with spaces": ("requirements.txt", "a>=1, !=  1.5\n", "a>=1, !=  1.6\n"),
    "excluded in go.mod": ("go.mod", "exclude (\n\tx v1.2.0\n)\n", "exclude (\n\tx v1.3.0\n)\n"),
    "pseudo-version": ("go.mod", "\tx v0.0.0-20240101000000-" + _H1[:12], "\tx v0.0.1-20240101000000-" + _H2[:12]),
    "candidate before": ("requirements.txt", "a==1.2\n", "a==1.2rc1\n"),
    "a comment in a continued line": ("requirements.txt", "a==1.2 \\\n  ; x\n", "a==1.3 \\\n# y\n  ; x\n"),
    "a number in a command": ("Makefile", "\tsleep 1.0\n", "\tsleep 2.0\n"),
    "a number outside of quotes": (
        "pyproject.toml",
        'a = {v = "1.0", ratio = 0.1}\n',
        'a = {v = "1.0", ratio = 0.9}\n',
    ),
    "an address": ("pyproject.toml", '"https://h.example/1.0"\n', '"https://h.example/1.1"\n'),
    "uv: another host": ("uv.lock", _UV, _UV_NEXT.replace("f.example", "g.example")),
    "uv: a host with another number": (
        "uv.lock",
        _UV.replace("f.example", "f1.example"),
        _UV_NEXT.replace("f.example", "f2.example"),
    ),
    "uv: another registry": ("uv.lock", _UV, _UV_NEXT.replace("r.example", "q.example")),
    "uv: hashes left out": ("uv.lock", _UV, "\n".join(line for line in _UV_NEXT.split("\n") if "sdist" not in line)),
    "uv: the old file behind the new version": ("uv.lock", _UV, _UV_NEXT.replace("a-1.0.1.tar", "a-1.0.0.tar")),
    "uv: a version without its file": ("uv.lock", _UV, _UV.replace('version = "1.0.0"', 'version = "1.0.1"')),
    "uv: a file without its version": ("uv.lock", _UV, _UV.replace(_H1, _H2)),
    "uv: a new name with a bump": ("uv.lock", _UV, f'{_UV_NEXT}\n{_PACKAGE}name = "c"\nversion = "1.0.0"\n'),
    "uv: a name gone with a bump": ("uv.lock", _UV, _UV_NEXT.partition(f'{_PACKAGE}name = "b"')[0]),
    "uv: what is needed": ("uv.lock", _EDGES, _EDGES.replace(_EDGE, _EDGE.replace('"b"', '"evil"'))),
    "uv: what is needed, and when": ("uv.lock", _EDGES, _EDGES.replace(_EDGE, _WHEN.replace('"b"', '"evil"'))),
    "uv: no marker but a source": (
        "uv.lock",
        _EDGES,
        _EDGES.replace(_EDGE, '    { name = "b", source = { registry = "https://q.example" } },\n'),
    ),
    "uv: a marker that hides more": (
        "uv.lock",
        _EDGES,
        _EDGES.replace(_EDGE, '    { name = "b", marker = "" }, { name = "evil", marker = "" },\n'),
    ),
    "uv: a revision of a package": ("uv.lock", _UV, _UV.replace('name = "a"\n', 'name = "a"\nrevision = 3\n')),
    "an option in a comment's place": ("requirements.txt", "a==1.2\n# x\n", "a==1.2\n--pre\n"),
    "a comment taken away from a name": ("requirements.txt", "a==1.2\n# evil\n", "a==1.2\nevil\n"),
    "a comment in another file": ("Pipfile", "# x\n", "# y\n"),
    "uv: the head": ("uv.lock", "version = 1\n" + _UV, "version = 2\n" + _UV_NEXT),
    "uv: what it is for": ("uv.lock", 'requires-python = ">=3.9"\n' + _UV, 'requires-python = ">=3.8"\n' + _UV_NEXT),
    "uv: another order": (
        "uv.lock",
        _UV,
        _UV_NEXT.replace('name = "a"\nversion = "1.0.1"', 'version = "1.0.1"\nname = "a"'),
    ),
    "uv: one of two lower": (
        "uv.lock",
        _UV + _UV.replace("1.0.0", "2.0.0"),
        _UV_NEXT + _UV.replace("1.0.0", "1.9.0"),
    ),
    "cargo: from git": ("Cargo.lock", _GIT, _GIT.replace("1.0.0", "1.0.1").replace(_H1[:40], _H2[:40])),
    "yarn: another name": ("yarn.lock", _YARN, _YARN.replace("1.0.0", "1.1.0").replace("/a/-/a", "/c/-/c")),
    "go.sum: another hash": ("go.sum", _SUM, _SUM + _SUM.replace("A" * 43, "B" * 43)),
    "go.sum: a new module": ("go.sum", _SUM, _SUM + _SUM.replace("x/y", "x/z").replace("v1.2", "v1.3")),
    "go.sum: lower": ("go.sum", _SUM, _SUM.replace("v1.2.0", "v1.1.0").replace("A" * 43, "B" * 43)),
    "go.sum: a commit": ("go.sum", _SUM, _SUM + _SUM.replace("v1.2.0", "v1.2.1-0.20240101000000-" + _H1[:12])),
    "npm: a program that is called as a package": ("package-lock.json", json.dumps(_NPM), _npm(bin={"b": "x.js"})),
    "npm: an install script": ("package-lock.json", json.dumps(_NPM), _npm(hasInstallScript=True)),
    "npm: a dependency from elsewhere": (
        "package-lock.json",
        json.dumps(_NPM),
        _npm(dependencies={"b": "https://e.example/b.tgz"}),
    ),
    "npm: a dependency that is not locked": ("package-lock.json", json.dumps(_NPM), _npm(dependencies={"c": "^1.0.0"})),
    "npm: ranges without a version": (
        "package-lock.json",
        json.dumps(_NPM),
        json.dumps(_NPM).replace('"b": "^2.0.0"', '"b": "^1.0.0"'),
    ),
    "npm: a lower version": ("package-lock.json", _npm(), json.dumps(_NPM)),
    "npm: one more package": (
        "package-lock.json",
        json.dumps(_NPM),
        _npm().replace('"node_modules/b"', '"node_modules/c": {"version": "1.0.0"}, "node_modules/b"'),
    ),
    "npm: one package less": (
        "package-lock.json",
        json.dumps(_NPM),
        _npm().replace("node_modules/b", "node_modules/c"),
    ),
    "npm: another form": ("package-lock.json", json.dumps(_NPM), _npm().replace(": 3", ": 2")),
    "npm: over http": (
        "package-lock.json",
        json.dumps(_NPM).replace("https", "http"),
        _npm().replace("https", "http"),
    ),
    "npm: a nested one gone": (
        "package-lock.json",
        '{"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "1.0.0"}}}}}',
        '{"dependencies": {"a": {"version": "1.0.0", "dependencies": {}}}}',
    ),
    "npm: not JSON": ("package.json", '{"version": "1.0.0"}', '{"version": "1.0.1"} x'),
    "npm: no object": ("package.json", '["1.0.0"]', '["1.0.1"]'),
    "npm: order that Node goes by": (
        "package.json",
        '{"version": "1.0.0", "exports": {"import": "./a.js", "default": "./b.js"}}',
        '{"version": "1.0.1", "exports": {"default": "./b.js", "import": "./a.js"}}',
    ),
    "nothing": ("requirements.txt", "a==1.2\n", "a==1.2\n"),
    "lower": ("requirements.txt", "a==1.10\n", "a==1.9\n"),
    "one up, one down": ("requirements.txt", "a==1.2\nb==1.2\n", "a==1.3\nb==1.1\n"),
    "another name": ("requirements.txt", "requests==1.2\n", "reqeusts==1.3\n"),
    "a new name": ("requirements.txt", "a==1.2\n", "a==1.3\nb==1.0\n"),
    "a name gone": ("requirements.in", "a==1.2\nb==1.2\n", "a==1.3\n"),
    "a leap": ("requirements.txt", "a==1.2\n", "a==99.0\n"),
    "a pin loosened": ("requirements.txt", "a==1.2\n", "a>=1.3\n"),
    "an index": ("requirements.txt", "a==1.2\n", "--index-url https://x.example/1.3\na==1.3\n"),
    "another host": (
        "package-lock.json",
        '"resolved": "https://r.example/x-1.2.0.tgz"\n',
        '"resolved": "https://q.example/x-1.3.0.tgz"\n',
    ),
    "a threshold": ("pyproject.toml", "fail_under = 90.5\n", "fail_under = 10.5\n"),
    "a plain number": ("pyproject.toml", "retries = 3\n", "retries = 9\n"),
    "a command": ("tox.ini", "commands = pytest==8.0\n", "commands = true==8.1\n"),
    "only a hash": (
        "requirements.txt",
        f"a==1.2 --hash=sha256:{_H1}\nb==1\n",
        f"a==1.2 --hash=sha256:{_H1}\nc==1 --hash=sha256:{_H2}\n",
    ),
    "lock: lower": (
        "Cargo.lock",
        f'name = "a"\nversion = "1.1.0"\nchecksum = "{_H1}"\n',
        f'name = "a"\nversion = "1.0.0"\nchecksum = "{_H2}"\n',
    ),
    "lock: a new name": (
        "uv.lock",
        'name = "a"\nversion = "1.1.0"\n',
        'name = "a"\nversion = "1.2.0"\nname = "b"\nversion = "1.2.0"\n',
    ),
    "lock: another source": (
        "uv.lock",
        'name = "a"\nversion = "1.1.0"\nsource = { registry = "https://r.example" }\n',
        'name = "a"\nversion = "1.2.0"\nsource = { registry = "https://q.example" }\n',
    ),
    "lock: a long path is no hash": (
        "package-lock.json",
        '"resolved": "https://r.example/good-name-that-is-long-and-long-and-long/x"\n',
        '"resolved": "https://r.example/evil-name-that-is-long-and-long-and-long/x"\n',
    ),
}


@pytest.mark.parametrize("name", BUMPS)
def test_raised_versions_are_a_bump_and_going_back_is_not(name: str) -> None:
    path, old, new = BUMPS[name]
    assert only_raises_versions(path, old.encode(), new.encode())
    if "sum" not in name and "hash" not in name:
        assert not only_raises_versions(path, new.encode(), old.encode())


@pytest.mark.parametrize("name", _WAYS)
def test_what_says_nothing_about_versions_may_change_either_way(name: str) -> None:
    path, old, new = _WAYS[name]
    assert only_raises_versions(path, old.encode(), new.encode())
    assert only_raises_versions(path, new.encode(), old.encode())
    assert not only_raises_versions(path, old.encode(), old.encode())


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_is_not(name: str) -> None:
    path, old, new = OTHERS[name]
    assert not only_raises_versions(path, old.encode(), new.encode())


@pytest.mark.parametrize(
    ("old", "new"), [(None, b"a==1.3"), (b"a==1.2", None), (b"\xff==1.2", b"\xff==1.3"), (b"a==1.2", b"\xff==1.3")]
)
def test_what_cannot_be_read_is_not(old: bytes | None, new: bytes | None) -> None:
    assert not only_raises_versions("requirements.txt", old, new)


def test_what_is_too_long_is_not() -> None:
    tail = b"#" * MAX_BYTES
    assert not only_raises_versions("requirements.txt", b"a==1.2\n" + tail, b"a==1.3\n" + tail)


HOSTILE = """
from lonelycat.governance.version_bump import only_raises_versions
SIZE = 60_000
for piece in ("1", "1.", "a", " ", "!= ", "1.1 ", "<1.1", "ab", '"', "a://", "sha512-", "git ", "a.a", "]", "A/"):
    line = piece * (SIZE // len(piece))
    for path in ("requirements.txt", "uv.lock", "yarn.lock", "go.sum", "package.json", "pyproject.toml", "tox.ini"):
        for tail in ("", " " + "a" * 64):
            only_raises_versions(path, f"{line}{tail}\\n".encode(), f"{line}1.2{tail}\\n".encode())
"""


def test_hostile_text_takes_time_in_proportion_to_its_length() -> None:
    subprocess.run([sys.executable, "-c", HOSTILE], check=True, timeout=60)
