from __future__ import annotations

import pytest

from lonelycat.governance.version_bump import MAX_BYTES, only_raises_versions

_H1, _H2 = "a1" * 32, "b2" * 32
_SUM = "github.com/x/y v1.2.0 h1:" + "A" * 43 + "=\n"

BUMPS = {
    "requirement": ("requirements.txt", "a==1.2\nb==2.0.1\n", "a==1.3\nb==2.0.1\n"),
    "requirement with hash": ("requirements.txt", f"a==1.2 --hash=sha256:{_H1}\n", f"a==1.3 --hash=sha256:{_H2}\n"),
    "json": ("package.json", '"x": "^4.18.2",\n', '"x": "^4.19.0",\n'),
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
        f'name = "a"\nversion = "1.0.0"\nchecksum = "{_H1}"\n\nname = "b"\nversion = "3.0.0"\n',
        f'name = "a"\nversion = "1.1.0"\nchecksum = "{_H2}"\n\nname = "b"\nversion = "3.0.0"\n',
    ),
}
OTHERS = {
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
