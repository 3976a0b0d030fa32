"""Secrets are masked before anything is stored or shown.

Invariants:
- What counts as a secret is what the gate's secret rule finds (``governance/secrets.py``), plus values that the
  caller knows to be secret, such as those of the environment variables that a check was given, also where they
  are spelled in base64, percent-encoded or as JSON escapes.
- The output is valid UTF-8 text, whatever went in; digests and identifiers pass unchanged.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import urllib.parse
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from itertools import chain
from types import NoneType

MIN_KNOWN_LENGTH = 6
"""Shorter known values are not masked: they would tear holes into ordinary words."""

_HARMLESS = re.compile(r"[0-9a-f]{64}|[a-z]+_[0-9a-hjkmnp-tv-z]{26}", re.ASCII)
_NAMED = re.compile(r"(?:^|[_\-.])(?:password|passwd|secret|token|api[_-]?key|private[_-]?key|authorization)$", re.I)


_PLAIN_MEMBERS = frozenset({str, NoneType})
_OBJECTS = {dict}


class Redactor:
    """Masks secrets in text, bytes and JSON values.

    Args:
        known: secret values to be masked wherever they occur; shorter ones than ``MIN_KNOWN_LENGTH`` are ignored.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        spellings: set[bytes] = set()
        for value in known:
            if len(value) >= MIN_KNOWN_LENGTH:
                spellings |= _spellings(value)
        longest_first = sorted(spellings, key=lambda item: (-len(item), item))
        # Looking ahead finds values that overlap as well: at each place, the longest one.
        found = b"(?=(" + b"|".join(re.escape(item) for item in longest_first) + b"))"
        self._known = re.compile(found) if spellings else None

    def bytes(self, data: bytes) -> bytes:
        """Return ``data`` with every secret replaced as by ``mask_of``; bytes outside secrets are kept."""
        from lonelycat.governance.secrets import find_secrets, mask_of

        spans = [(match.start, match.end, str(match.kind)) for match in find_secrets(data)]
        if self._known is not None:
            spans += [(match.start(1), match.end(1), "known-value") for match in self._known.finditer(data)]
        if not spans:
            return data
        parts: list[bytes] = []
        position = 0
        for start, end, kind in sorted(spans):
            if start >= position:
                parts += [data[position:start], mask_of(kind).encode("utf-8", "replace")]
            position = max(position, end)
        return b"".join([*parts, data[position:]])

    def text(self, text: str) -> str:
        """Return ``text`` masked; what is not Unicode text is shown as ``\\xNN`` escapes."""
        if _HARMLESS.fullmatch(text):
            return text
        return self.bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "backslashreplace")

    def json(self, value: object) -> object:
        """Return the JSON-compatible ``value`` with every string masked, and each value whose key says secret."""
        texts: set[str] = set()
        # Nearly always there is nothing to mask, and looking once through everything is much cheaper than string by
        # string. What is found only because two strings stand side by side costs the slow way, and is not masked.
        if _collect(value, texts):
            with contextlib.suppress(UnicodeEncodeError):  # what is no Unicode text goes string by string
                whole = "\n".join(texts).encode("utf-8")
                if self.bytes(whole) is whole:
                    return value
        return self._masked(value)

    def _masked(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._member(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(item) for item in value]
        return value

    def _member(self, key: str, item: object) -> object:
        if isinstance(item, str) and item and _names_a_secret(key):
            return "[REDACTED-named-secret]"
        return self._masked(item)


def _collect(value: object, texts: set[str]) -> bool:
    """Add every string in ``value`` that may need masking to ``texts``; False as soon as one surely does.

    What lies side by side is looked at together: a long document has thousands of members of few kinds.
    """
    waiting: list[Collection[object]] = [(value,)]
    while waiting:
        items = waiting.pop()
        kinds = set(map(type, items))
        if kinds <= _PLAIN_MEMBERS:
            texts.update(items)  # type: ignore[arg-type]  # texts, and None, which goes below
        elif kinds == _OBJECTS:
            objects: Collection[dict[object, object]] = items  # type: ignore[assignment]  # as their kind says
            for keys in set(map(tuple, objects)):
                texts.update(map(str, keys))
                named = [key for key in keys if _names_a_secret(str(key))]
                if named and any(isinstance(each.get(key), str) and each[key] for each in objects for key in named):
                    return False
            waiting.append(list(chain.from_iterable(map(dict.values, objects))))
        elif not _divide(items, texts, waiting):
            return False
    texts.discard(None)
    hashes = [text for text in texts if len(text) == 64 and "/" not in text and "." not in text]
    if not "".join(hashes).encode("utf-8", "surrogatepass").translate(None, b"0123456789abcdef"):
        texts.difference_update(hashes)  # all at once, in an eighth of the time
    texts.difference_update([text for text in texts if _HARMLESS.fullmatch(text)])
    return True


def _divide(items: Collection[object], texts: set[str], waiting: list[Collection[object]]) -> bool:
    """Take members of several kinds one by one; False for what only the way string by string knows."""
    for item in items:
        if isinstance(item, str):
            texts.add(item)
        elif isinstance(item, list | tuple):
            waiting.append(item)
        elif type(item) is dict:
            waiting.append((item,))
        elif isinstance(item, Mapping):
            return False
    return True


@lru_cache(maxsize=1024)
def _names_a_secret(key: str) -> bool:
    """Tell whether a member's key says that its value is secret; the same few keys come again and again."""
    return _NAMED.search(key) is not None


def _spellings(value: str) -> set[bytes]:
    raw = value.encode("utf-8", "surrogateescape")
    return {
        raw,
        base64.b64encode(raw).rstrip(b"="),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        urllib.parse.quote(raw, safe="").encode("ascii"),
        json.dumps(value)[1:-1].encode("ascii"),
    }


_PLAIN = Redactor()


def redact_bytes(data: bytes) -> bytes:
    """Mask secrets in ``data`` without knowing any value."""
    return _PLAIN.bytes(data)


def redact_text(text: str) -> str:
    """Mask secrets in ``text`` without knowing any value."""
    return _PLAIN.text(text)


def redact_json(value: object) -> object:
    """Mask secrets in a JSON-compatible ``value`` without knowing any value."""
    return _PLAIN.json(value)
