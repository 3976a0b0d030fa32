"""Finds credentials in bytes, in one linear pass; used by the gate to refuse them and by the records to redact them.

Invariants:
- What stands for a credential is no credential itself, and may stand in the name of a file.
- The cheap first look (long runs of token characters, a few words, ``://``) can only miss what no
  format in ``secret_formats.py`` describes; no expression runs over text that it did not point at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lonelycat.governance import secret_formats as formats
from lonelycat.patterns import late_pattern

_TOKEN_CLASS = bytes(120 if (chr(code).isalnum() and code < 128) or code in b"_-" else 32 for code in range(256))
_RUN = b"x" * formats.RUN_LENGTH


class SecretMatch(NamedTuple):
    """A credential: ``data[start:end]``, and what kind it looks to be."""

    start: int
    end: int
    kind: str


def _union(table: dict[str, bytes], before: bytes) -> re.Pattern[bytes]:
    branches = b"|".join(b"(?P<%s>%s)" % (kind.replace("-", "_").encode(), form) for kind, form in table.items())
    return late_pattern(before + b"(?:" + branches + rb")(?![A-Za-z0-9])")


_TOKENS = _union(formats.TOKEN_FORMATS, rb"(?<![A-Za-z])(?=[A-Za-z][A-Za-z0-9])")
_DOTTED = _union(formats.DOTTED_FORMATS, rb"(?<![A-Za-z0-9])")
_JOINTS = frozenset({b".", b":", b"/", b"~"})
"""What stands before the last run of a token in several parts; only those of a JWT start with a run of their own."""
_DOT_MARKS = late_pattern(
    rb"eyJ|SG\.|hv[sb]\.|dp\.|ya29\.|:AA|hooks\.slack|/api/webhooks|\.atlasv1\.|[0-9]Q~|pat[A-Za-z0-9]{14}\.|dt0"
)
_DIGIT = late_pattern(rb"[0-9]")


def find_secrets(data: bytes) -> list[SecretMatch]:
    """Return what looks like a credential in ``data``, in order, without overlaps.

    Values that only stand for a credential (``changeme``, ``${TOKEN}``, ``AKIA…EXAMPLE``) are left out.
    """
    found = [*_tokens(data), *_private_keys(data), *_assignments(data), *_headers(data), *_urls(data)]
    found.sort(key=lambda match: (match.start, -match.end))
    result: list[SecretMatch] = []
    for match in found:
        if not result or match.start >= result[-1].end:
            result.append(match)
    return result


def mask_of(kind: str) -> str:
    """Return what is told in the place of a credential."""
    return f"[REDACTED-{kind}]"


def masked(text: str) -> str:
    """Return ``text`` with what stands for each credential in its place: the very same where there is none."""
    data = text.encode("utf-8", "surrogatepass")
    matches = find_secrets(data)
    if not matches:
        return text
    parts, position = [], 0
    for match in matches:
        parts += [data[position : match.start], mask_of(match.kind).encode("utf-8", "replace")]
        position = match.end
    return b"".join([*parts, data[position:]]).decode("utf-8", "backslashreplace")


def _tokens(data: bytes) -> Iterator[SecretMatch]:
    """Look at every long run of token characters."""
    classes = data.translate(_TOKEN_CLASS)
    size = len(data)
    position = classes.find(_RUN)
    while position != -1:
        end = classes.find(b" ", position)
        end = size if end == -1 else end
        if end - position >= 36 or _DIGIT.search(data, position, end) or data[position:end].isupper():
            yield from _named(_TOKENS, data, position, end)
        if data[position - 1 : position] in _JOINTS or data.startswith(b"eyJ", position):
            start = max(0, position - formats.LOOK_BACK)
            if _DOT_MARKS.search(data, start, position + 3):
                yield from _named(_DOTTED, data, start, min(size, end + 6_000))
        position = classes.find(_RUN, end)


def _named(pattern: re.Pattern[bytes], data: bytes, start: int, end: int) -> Iterator[SecretMatch]:
    for match in pattern.finditer(data, start, end):
        if not formats.is_filler(match[0]):
            yield SecretMatch(match.start(), match.end(), (match.lastgroup or "token").replace("_", "-"))


def _private_keys(data: bytes) -> Iterator[SecretMatch]:
    position = data.find(b"PRIVATE KEY")
    while position != -1:
        header = formats.PRIVATE_KEY.search(data, max(0, position - 60), position + 30)
        if header and formats.PRIVATE_KEY_BODY.match(data, header.end(), header.end() + 2_000):
            tail = formats.PRIVATE_KEY_END.search(data, header.end(), header.end() + 32_768)
            end = tail.end() if tail else min(len(data), header.end() + 4_096)
            yield SecretMatch(header.start(), end, "private-key")
            position = data.find(b"PRIVATE KEY", end)
        else:
            position = data.find(b"PRIVATE KEY", position + 11)


def _assignments(data: bytes) -> Iterator[SecretMatch]:
    lowered = data.lower()
    for keyword in formats.KEYWORDS:
        position = lowered.find(keyword)
        while position != -1:
            match = formats.ASSIGNED.match(data, position + len(keyword))
            if match and not (keyword == b"_key" and lowered.endswith(b"public", 0, position)):
                group = "quoted" if match["quoted"] else "bare"
                if formats.looks_secret(match[group], quoted=group == "quoted"):
                    yield SecretMatch(match.start(group), match.end(group), "assigned-secret")
            position = lowered.find(keyword, position + len(keyword))


def _headers(data: bytes) -> Iterator[SecretMatch]:
    position = data.find(b"earer ")
    while position != -1:
        match = formats.AUTHORIZATION.match(data, position - 1)
        if match and formats.looks_secret(match["value"], quoted=False):
            yield SecretMatch(match.start("value"), match.end("value"), "authorization")
        position = data.find(b"earer ", position + 6)


def _urls(data: bytes) -> Iterator[SecretMatch]:
    if b"://" not in data:  # a patch has many an @ and often no URL
        return
    at = data.find(b"@")
    while at != -1:
        scheme = data.rfind(b"://", max(0, at - 200), at)
        match = formats.URL_PASSWORD.match(data, scheme) if scheme != -1 else None
        if match and formats.is_credential(match["password"], match["host"]):
            yield SecretMatch(match.start("password"), match.end("password"), "url-password")
        at = data.find(b"@", at + 1)
