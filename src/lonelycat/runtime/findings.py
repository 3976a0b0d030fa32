"""What a check found, as it may be shown: with secrets masked in everything that it said."""

from __future__ import annotations

from dataclasses import replace

from lonelycat.checks.result import CheckResult
from lonelycat.records.redaction import redact_bytes, redact_json, redact_text


def redacted(found: CheckResult) -> CheckResult:
    """Return ``found`` with secrets masked in message, output and details."""
    details = redact_json(found.details)
    return replace(
        found,
        message=redact_text(found.message),
        output=redact_bytes(found.output),
        details=details if isinstance(details, dict) else {},
    )
