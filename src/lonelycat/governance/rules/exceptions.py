"""Exceptions: a person's dated leave to pass named rules on named paths.

Invariant: an exception lifts a finding only for the paths that it names, only while it lasts (to the end of its day,
UTC), and never a finding that holds under every policy. An expired one has no effect, and is reported when it would
have had one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import PolicyException, Verdict
from lonelycat.governance.rules.base import Finding, RuleContext
from lonelycat.governance.rules.codes import CODES


def apply(findings: Sequence[Finding], context: RuleContext) -> list[Finding]:
    """Return ``findings`` with those marked that an exception lifts; a finding about several paths may be split."""
    exceptions = context.policy.exceptions
    if not exceptions:
        return list(findings)
    today = context.now.astimezone(UTC).date()
    result = list(findings)
    expired: dict[str, Finding] = {}
    for exception in exceptions:
        after: list[Finding] = []
        for finding in result:
            lifted = _lifted(finding, exception, context)
            if lifted is None:
                after.append(finding)
            elif today > exception.expires:
                after.append(finding)
                expired[exception.name] = _report(exception, lifted)
            else:
                rest = tuple(path for path in finding.paths if path not in set(lifted))
                after.append(finding._replace(paths=lifted if finding.paths else (), excepted_by=exception.name))
                if rest:
                    after.append(finding._replace(paths=rest))
        result = after
    return result + list(expired.values())


def _lifted(finding: Finding, exception: PolicyException, context: RuleContext) -> tuple[str, ...] | None:
    """Return the paths for which ``exception`` lifts ``finding``, or None when it does not apply."""
    if finding.code not in exception.rules or not finding.counts or not CODES[finding.code].liftable:
        return None
    matcher = compile_globs(exception.paths)
    if finding.paths:
        return tuple(path for path in finding.paths if matcher.matches(path)) or None
    touched = context.facts.touched_paths
    return touched if all(matcher.matches(path) for path in touched) else None


def _report(exception: PolicyException, paths: tuple[str, ...]) -> Finding:
    return Finding(
        "EXCEPTION_EXPIRED", Verdict.ALLOW, f"exceptions.{exception.name}",
        f"the exception would have applied but expired on {exception.expires.isoformat()}",
        "Remove it from the policy, or let a person renew it.", paths,
    )  # fmt: skip
