"""Masks the secrets that a probe was given wherever its answer repeats them, before anything else sees the answer.

Invariant: neither the value of a named environment variable, nor a password inside it, nor the password of any URL
is in what :class:`Mask` returns, also percent-encoded or in base64. What is stored is masked once more by patterns.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote, unquote, urlsplit

from lonelycat.checks.health.kind import ProbeResult

MASKED = "[REDACTED]"
_MIN_LENGTH = 4
_USERINFO = re.compile(r"(?<=://)([^\s/@:'\"]*):([^\s/@'\"]+)(?=@)")


class Mask:
    """Masks ``values`` and the passwords of URLs in them."""

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {spelled for value in values for part in _parts(value) for spelled in _spellings(part)}
        longest_first = sorted((one for one in spellings if len(one) >= _MIN_LENGTH), key=lambda one: (-len(one), one))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        if self._known is not None:
            text = self._known.sub(MASKED, text)
        return _USERINFO.sub(rf"\1:{MASKED}", text)

    def result(self, seen: ProbeResult) -> ProbeResult:
        """Return ``seen`` without secrets in message, output and details."""
        output = self.text(seen.output.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        details = {self.text(str(key)): self._value(value) for key, value in seen.details.items()}
        return replace(seen, message=self.text(seen.message), output=output, details=details)

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(item) for item in value]
        return value


def _parts(value: str) -> Iterable[str]:
    yield value
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            return
        if password:
            yield unquote(password)


def _spellings(value: str) -> Iterable[str]:
    raw = value.encode("utf-8", "surrogateescape")
    yield value
    yield quote(value, safe="", errors="surrogateescape")
    yield base64.b64encode(raw).decode("ascii").rstrip("=")
    yield repr(value)[1:-1]
