"""."""

from __future__ import annotations

from collections.abc import Iterator

from lonelycat.governance.rules.base import Finding, RuleContext


def judge(context: RuleContext) -> Iterator[Finding]:
    """."""
    yield from ()
