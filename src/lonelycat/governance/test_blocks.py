"""A test file as named tests, so that a change can be judged test by test. Pure patterns, no parser.

Invariants:
- Every byte of a file belongs to exactly one part: to a named test, or to the rest (named ``b""``).
- Parts of one name are joined, so that methods of one name in two classes are compared together.
- A file in a language that no pattern knows is one part, and is compared as a whole.
"""

from __future__ import annotations

from collections import defaultdict

from lonelycat.patterns import late_pattern

REST = b""
"""The name of what belongs to no test."""

_START = late_pattern(
    rb"""(?mx)
    ^[ \t]*(?:async[ ]+)?def[ ]+(?P<python>test\w*)
    |^func[ ]+(?:\([^)\n]*\)[ ]*)?(?P<go>Test(?!Main\b)\w*)
    |^[ \t]*(?:it|test|specify)(?:\.\w+)*[ ]*\([ \t]*(?P<quote>["'`])(?P<js>[^\n]*?)(?P=quote)
    |^[ \t]*x(?:it|test)[ ]*\([ \t]*(?P<xquote>["'`])(?P<xjs>[^\n]*?)(?P=xquote)
    |^[ \t]*(?:it|specify|scenario|test|@test)[ ]+(?P<rquote>["'])(?P<ruby>[^\n]*?)(?P=rquote)
    |^[ \t]*\#\[(?:\w+::)*(?:rs)?test(?:\([^)\n]*\))?\][^{]*?\bfn[ ]+(?P<rust>\w+)
    |^[ \t]*TEST(?:_[FP])?\((?P<c>[^)\n]*)\)
    |^[ \t]*(?:public[ ]+|internal[ ]+)?(?:async[ ]+)?(?:void|Task)[ ]+(?P<java>\w*[tT]est\w*)[ ]*\(
    |^[ \t]*(?:(?:public|protected|final|static)[ ]+)*function[ ]+(?P<php>test\w*)
    |^[ \t]*@Test\b[^;{}]{0,400}?\bvoid[ ]+(?P<marked>\w+)[ ]*\(
    """
)
_NAMES = ("python", "go", "js", "xjs", "rust", "ruby", "c", "java", "php", "marked")


def split_tests(data: bytes) -> dict[bytes, bytes]:
    """Return the parts of a test file by the name of the test; the rest stands under :data:`REST`."""
    parts: dict[bytes, list[bytes]] = defaultdict(list)
    name, start = REST, 0
    for match in _START.finditer(data):
        begin = max(start, _with_decorators(data, match.start()))
        parts[name].append(data[start:begin])
        name = next(match[group] for group in _NAMES if match[group] is not None)
        start = begin
    parts[name].append(data[start:])
    return {key: b"".join(pieces) for key, pieces in parts.items()}


def _with_decorators(data: bytes, start: int) -> int:
    """Return where the first decorator or attribute begins that stands above ``start`` without a blank line between."""
    first = position = start
    while position:
        previous = data.rfind(b"\n", 0, position - 1) + 1
        line = data[previous:position].strip()
        if not line:
            break
        position = previous
        if line.startswith((b"@", b"#[", b"[")):
            first = previous
    return first
