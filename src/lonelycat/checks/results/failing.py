"""Which tests failed, by the names that their runner prints of them; for people, never for a verdict.

Invariant: names come from the output of code that nobody trusts; they are bounded, and quoted where they could mislead.
"""

from __future__ import annotations

import re

from lonelycat.changes.paths import printable

MAX_NAMES = 5
_MAX_NAME = 100
_SEARCHED_BYTES = 64 * 1024
_NAMES = re.compile(
    r"^(?:FAILED|ERROR) (?P<pytest>[^\s(].*?)(?: - .*)?$"
    r"|^(?:FAIL|ERROR): (?P<unittest>\S+(?: \([^()\n]*\))?)$"
    r"|^--- FAIL: (?P<go>\S+)"
    r"|^not ok \d+(?: -)? (?P<tap>[^#\n]*[^#\s])",
    re.M,
)


def failing_tests(output: bytes) -> tuple[str, ...]:
    """Return the names of tests that failed, as far as the end of ``output`` tells, each once, in order.

    Of more than :data:`MAX_NAMES` the last stands for how many there are.
    """
    text = output[-_SEARCHED_BYTES:].decode("utf-8", "replace").replace("\r\n", "\n")
    found = (next(filter(None, match.groups()), "") for match in _NAMES.finditer(text))
    names = list(dict.fromkeys(printable(name[:_MAX_NAME]) for name in found if name))
    more = len(names) - MAX_NAMES
    return (*names[:MAX_NAMES], f"{more} more") if more > 0 else tuple(names)
