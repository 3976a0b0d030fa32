"""How a result says that it took more than one try.

Invariant: a pass after a failure is never silent: it is flaky, in the facts and in the words.
"""

from __future__ import annotations

from dataclasses import replace

from lonelycat.checks.result import CheckResult


def after_retries(last: CheckResult, attempts: int, seconds: float) -> CheckResult:
    """Return the result of ``attempts`` runs that ended with ``last`` after ``seconds`` in all."""
    if attempts == 1:
        return last
    said = f"flaky: it passed only at try {attempts}" if last.ok else f"it failed in all of its {attempts} tries"
    return replace(
        last,
        message=f"{last.message} ({said})",
        duration_seconds=seconds,
        details={**last.details, "attempts": attempts, "flaky": last.ok},
    )
