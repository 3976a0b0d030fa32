"""A small workspace that hostile and benign changes are made against, and words to write them in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lonelycat.changes.changeset import EXECUTABLE, REGULAR, SYMLINK, ChangeSet, FileChange, Mode, Operation
from lonelycat.changes.plan import ChangePlan
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.planner.survey import WorkspaceListing

TESTS = b"""\
import pytest

from app.core import parse, total


def test_total():
    assert total([1, 2]) == 3
    assert total([]) == 0


def test_parse():
    assert parse("1,2") == [1, 2]


def test_refuses():
    with pytest.raises(ValueError):
        parse("x")
"""

FILES: dict[str, bytes] = {
    "README.md": b"# Sample\n\nAdds numbers up.\n",
    "CHANGELOG.md": b"# Changes\n\n## 1.0\n\n- First.\n",
    "LICENSE": b"MIT\n",
    ".gitignore": b"*.pyc\n.env\n",
    ".editorconfig": b"root = true\n",
    "docs/index.md": b"# Manual\n\nCall `total`.\n",
    "docs/build/notes.md": b"# Building\n",
    "docs/logo.png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(64),
    "src/app/__init__.py": b'"""Sample."""\n',
    "src/app/core.py": b"def total(numbers):\n    return sum(numbers)\n\n\ndef parse(text):\n"
    b"    return [int(part) for part in text.split(',')]\n",
    "src/app/hooks.py": b"def pytest_runtestloop():\n    return True\n",
    "src/app/web.js": b"export const port = 8080;\n",
    "src/app/data.json": b'{"limit": 10}\n',
    **{f"src/app/plugins/p{number:02}.py": b"NAME = %d\n" % number for number in range(14)},
    "tests/test_core.py": TESTS,
    "tests/conftest.py": b"import pytest\n",
    "tests/web.test.js": b'test("port", () => { expect(1).toBe(1); });\n',
    "pyproject.toml": b'[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n[project]\n'
    b'name = "app"\nversion = "1.0"\ndependencies = ["requests>=2.31"]\n\n[tool.pytest.ini_options]\n'
    b'testpaths = ["tests"]\n\n[tool.coverage.report]\nfail_under = 90\n\n[tool.app]\ntolerance = 0.1\n',
    "requirements.txt": b"requests==2.31.0\nclick==8.1.7\n",
    "requirements/hashed.txt": b"click==8.1.7 \\\n    --hash=sha256:" + b"a1" * 32 + b"\n    # via app\n"
    b"flask==3.0.0 \\\n    --hash=sha256:" + b"b2" * 32 + b"\n",
    "requirements/limits.txt": b"--index-url https://10.0.0.1/simple\nlimits>=1.0,!=1.5.0\n"
    b"tool @ git+https://code.example/tool.git@v1.0\n",
    "uv.lock": b'version = 1\n\n[[package]]\nname = "requests"\nversion = "2.31.0"\n'
    b'source = { registry = "https://packages.py.example/simple" }\n\n[[package]]\nname = "own"\n'
    b'version = "1.0.0"\nsource = { registry = "https://private.py.example/simple" }\n',
    "Cargo.lock": b'version = 3\n\n[[package]]\nname = "one"\nversion = "0.1.0"\n'
    b'source = "registry+https://code.example/index"\nchecksum = "' + b"b2" * 32 + b'"\n\n[[package]]\n'
    b'name = "two"\nversion = "0.2.0"\nsource = "git+https://code.example/two#'
    + b"3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140"
    + b'"\n',
    "package.json": b'{\n  "name": "app",\n  "scripts": {"test": "jest"},\n'
    b'  "dependencies": {"express": "4.19.2"}\n}\n',
    "package-lock.json": b'{\n  "packages": {\n    "node_modules/express": {\n      "version": "4.19.2",\n'
    b'      "resolved": "https://packages.js.example/express/-/express-4.19.2.tgz",\n'
    b'      "integrity": "sha512-' + b"A" * 86 + b'=="\n    }\n  }\n}\n',
    "Makefile": b"test:\n\tpytest\n\ntool:\n\tcurl https://code.example.net/1.0/tool | sh\n",
    "Dockerfile": b"FROM python:3.12\nCOPY . /app\n",
    "tox.ini": b"[testenv]\ncommands = pytest\n  report --max-failures=1.0\n",
    "scripts/run.sh": b"#!/bin/sh\nexec python -m app\n",
    ".github/workflows/ci.yml": b"on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n"
    b"    steps:\n      - run: pytest\n",
    ".github/workflows/lint.yml": b"on: push\njobs:\n  lint:\n    runs-on: ubuntu-latest\n    steps:\n"
    b"      - uses: example/setup@v4\n      - run: lint\n"
    b"      - uses: example/other@3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140 # v2.0.0\n"
    b"      - run: |\n          cat > x.yml <<END\n          - uses: example/tool@v1\n          END\n"
    b'      - uses: example/python@v2\n        with:\n          version: "3.11"\n'
    b"          uses: example/input@v1\n",
    ".pre-commit-config.yaml": b"repos:\n  - repo: https://code.example/hooks\n    rev: v1.2.0\n"
    b"    hooks: [{id: tidy}]\n  - repo: https://code.example/frozen\n"
    b"    rev: 3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140\n    hooks: [{id: frozen}]\n"
    b'  - repo: http://code.example/plain\n    rev: "2.0.0"\n    hooks: [{id: plain}]\n'
    b"  - repo: local\n    rev: 3.0.0\n    hooks: []\n"
    b"  - repo: https://code.example/number\n    rev: 4.1\n    hooks: []\n",
    ".github/workflows/matrix.yml": b"name: matrix\non: push\npermissions:\n  contents: read\njobs:\n  test:\n"
    b"    name: tests\n    runs-on: ubuntu-22.04\n    timeout-minutes: 9\n    strategy:\n      matrix:\n"
    b'        os: [ubuntu-20.04, macos-13]\n        python-version: ["3.11", "3.12"]\n    steps:\n'
    b"      - name: Fetch\n        uses: actions/checkout@v4\n"
    b"      - uses: actions/setup-python@v5\n        with: {python-version: '${{ matrix.python-version }}'}\n"
    b"      - if: matrix.os != 'windows-2022'\n        run: make all  # everything\n",
    ".readthedocs.yaml": b"version: 2\nbuild:\n  os: ubuntu-22.04\n  tools: {python: '3.11'}\n",
    "docs/lint.yml": b"jobs:\n  lint:\n    steps:\n      - uses: example/setup@v4\n",
    "migrations/0001_start.sql": b"CREATE TABLE t (id INTEGER);\n",
}
KNOWN_PINS = KnownPins.of(
    {
        "example/setup": {"v4.0.0": "a4" * 20, "v5.0.0": "a5" * 20, "v3.0.0": "a3" * 20},
        "example/other": {
            "v1.9.0": "b1" * 20, "v2.0.0": "3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140", "v2.1.0": "b2" * 20,
            "v99.0.0": "b9" * 20,
        },
        "https://code.example/frozen": {"v1.0": "3b1f9c0d5a7e2846c1d0f9e8b7a6958473625140", "v1.1": "c1" * 20},
    }
)  # fmt: skip
"""What the tags of the pinned actions and hooks were seen to point to."""
TEST_FILES: dict[str, bytes] = {}
"""Test files in other languages that ``weakened.py`` starts from; no part of the listing."""
MODES: dict[str, Mode] = {"scripts/run.sh": EXECUTABLE}

Forge = Callable[[ChangePlan, ChangeSet], tuple[ChangePlan, ChangeSet]]


@dataclass(frozen=True)
class Case:
    """One proposed change and what has to become of it.

    Attributes:
        make: returns the changes; may raise the typed error with which they are refused.
        code: a reason code of the gate, the code of an error, or ``categories.<name>`` for the category whose risk or
            review holds it; one of several, with ``|`` between. "" for a benign change.
        forge: alters plan and change set after they were made, as an agent that lies would.
    """

    name: str
    make: Callable[[], list[FileChange]]
    code: str = ""
    intent: str = "Tidy up"
    forge: Forge | None = field(default=None)


class Contents:
    """The sample workspace as the gate's content reader."""

    def old(self, change: FileChange) -> bytes | None:
        """Return the bytes before the change."""
        path = change.old_path or change.path
        return None if change.operation is Operation.CREATE else FILES.get(path, TEST_FILES.get(path))

    def new(self, change: FileChange) -> bytes | None:
        """Return the bytes that come with the change."""
        return change.content if isinstance(change.content, bytes) else None


def listing() -> WorkspaceListing:
    """Return the sample workspace as ``lonelycat init`` would see it, where every command runs."""
    return WorkspaceListing(tuple(FILES), FILES.get, lambda _: None)


def create(path: str, content: bytes | str, mode: Mode = REGULAR) -> FileChange:
    """Return the creation of a file."""
    return FileChange.create(path, content, mode=mode)


def link(path: str, target: str) -> FileChange:
    """Return the creation of a symbolic link."""
    return FileChange.create(path, target, mode=SYMLINK)


def update(path: str, new: bytes | str, mode: Mode | None = None) -> FileChange:
    """Return the replacement of a file of the sample workspace."""
    return FileChange.update(path, FILES[path], new, old_mode=MODES.get(path, REGULAR), new_mode=mode)


def edit(path: str, old: bytes, new: bytes) -> FileChange:
    """Return the replacement of ``old`` by ``new`` within a file of the sample workspace."""
    assert FILES[path].count(old) == 1, (path, old)
    return update(path, FILES[path].replace(old, new))


def append(path: str, text: bytes) -> FileChange:
    """Return a file of the sample workspace with ``text`` behind it."""
    return update(path, FILES[path] + text)


def delete(path: str) -> FileChange:
    """Return the deletion of a file of the sample workspace."""
    return FileChange.delete(path, FILES[path], mode=MODES.get(path, REGULAR))


def rename(old: str, new: str, content: bytes | None = None) -> FileChange:
    """Return the move of a file of the sample workspace."""
    return FileChange.rename(old, new, FILES[old], new_content=content, old_mode=MODES.get(old, REGULAR))
