"""Version bumps: bounded time on any text, no crash, and never both ways: what is raised is not raised back.

The first line names the file; a line of ``=====`` divides before from after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.fuzz.guard import guarded

from lonelycat.governance.bumps.ci_upkeep import ci_change
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.bumps.pins import PinChange
from lonelycat.governance.version_bump import only_raises_versions

FILES = (
    "requirements.txt", "uv.lock", "yarn.lock", "go.sum", "go.mod", "package.json", "package-lock.json",
    "pyproject.toml",
    "setup.cfg", "Makefile", "Dockerfile", ".github/workflows/ci.yml", ".pre-commit-config.yaml", "action.yml",
)  # fmt: skip
BETWEEN = b"\n=====\n"
WORDS = (
    b"==1.2.3", b">=1.0", b"!=1.5", b"v4", b"~=2", b"rc1", b".post1", b"sha256:" + b"a1" * 32,
    b"sha512-" + b"A" * 86 + b"==",
    b"git+https://", b"https://h.example/a-1.0.tgz", b"uses: a/b@v1", b"rev: v1.0", b"repos:\n", b"jobs:\n",
    b"steps:\n", b"&a ",
    b'"version": "1.0.0"', b'"dependencies": {', b"[[package]]\n", b'name = "a"\n', b" h1:" + b"A" * 43 + b"=",
    b"\n", b"\xd9\xa1", b"#",
)  # fmt: skip
_PAIRS = (
    (0, b"a==1.2\nb>=1,!=1.5\n", b"a==1.3\nb>=1,!=1.5\n"),
    (0, b"a==1.2 --hash=sha256:" + b"a1" * 32, b"a==1.3 --hash=sha256:" + b"b2" * 32),
    (1, b'[[package]]\nname = "a"\nversion = "1.0"\nhash = "' + b"a1" * 32 + b'"\n',
     b'[[package]]\nname = "a"\nversion = "1.1"\nhash = "' + b"b2" * 32 + b'"\n'),
    (2, b'a@^1:\n  version "1.0.0"\n  resolved "https://h/a-1.0.0.tgz#' + b"a1" * 20 + b'"\n',
     b'a@^1:\n  version "1.0.1"\n  resolved "https://h/a-1.0.1.tgz#' + b"b2" * 20 + b'"\n'),
    (3, b"m v1.0.0 h1:" + b"A" * 43 + b"=\n", b"m v1.0.1 h1:" + b"B" * 43 + b"=\n"),
    (5, b'{"version": "1.0.0", "dependencies": {"a": "^1.0.0"}}',
     b'{"version": "1.0.1", "dependencies": {"a": "^1.1.0"}}'),
    (6, b'{"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "https://h/a-1.0.0.tgz", '
     b'"integrity": "sha512-' + b"A" * 86 + b'=="}}}',
     b'{"packages": {"node_modules/a": {"version": "1.0.1", "resolved": "https://h/a-1.0.1.tgz", '
     b'"integrity": "sha512-' + b"B" * 86 + b'=="}}}'),
    (7, b'dependencies = ["a>=1.0,<2"]\nversion = "1.0rc1"\n', b'dependencies = ["a>=1.1,<3"]\nversion = "1.0"\n'),
    (10, b"FROM a:1.2\n", b"FROM a:1.3\n"),
    (11, b"jobs:\n  a:\n    steps:\n    - uses: a/b@v1 # x\n", b"jobs:\n  a:\n    steps:\n    - uses: a/b@v2 # x\n"),
    (12, b"repos:\n- repo: https://h/a\n  rev: v1.0\n", b"repos:\n- repo: https://h/a\n  rev: v1.1\n"),
)  # fmt: skip


def seeds() -> Iterable[bytes]:
    """Return a bump of each kind."""
    for number, before, after in _PAIRS:
        yield bytes([ord("a") + number]) + before + BETWEEN + after


def check(data: bytes) -> None:
    """Judge the second half of ``data`` as a change of the first, and the other way round."""
    before, found, after = data[1:].partition(BETWEEN)
    if not found:
        return
    path = FILES[(data[0] - ord("a")) % len(FILES)]
    with guarded():
        there, back = (only_raises_versions(path, *pair) for pair in ((before, after), (after, before)))
        raised, lowered = (ci_change(path, *pair, KnownPins()) for pair in ((before, after), (after, before)))
    if before == after:
        assert not there and raised is None, "no change is no bump"
    if there and back and not _is_for_people(path, before, after):
        raise AssertionError("raised both ways")
    if raised is not None and raised.pins is PinChange.RAISED and not raised.tended:
        assert lowered is not None and lowered.pins is PinChange.MOVED, "raised both ways"


def _is_for_people(path: str, before: bytes, after: bytes) -> bool:
    """Tell whether a file holds words that may change either way, and all hashes and addresses are as they were."""
    words = re.fullmatch(r"package\.json|pyproject\.toml|.*\.lock|.*requirements.*\.txt|constraints\.txt", path)
    old, new = (sorted(_FIXED.findall(data)) for data in (before, after))
    return words is not None and (old == new or path in ("package.json", "pyproject.toml"))


_FIXED = re.compile(rb"[0-9a-f]{32,}|sha\d+-\S+|\b\w+://\S+")
