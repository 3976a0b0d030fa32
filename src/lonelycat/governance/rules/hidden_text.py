"""Text that is not what it shows: other order, no glyph, the wrong alphabet, or control of the terminal.

Sources: "Trojan Source" (CVE-2021-42574, CVE-2021-42694); Unicode TR36 and TR39.

Natural writing is left alone: emoji with their joiners and selectors, a byte order mark at the start, right-to-left
scripts without overrides, joiners between letters of scripts that need them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lonelycat.governance.facts import ChangeFacts
from lonelycat.governance.policy import ContentRules, Reaction, Verdict
from lonelycat.governance.rules.base import REACTIONS, Finding, RuleContext
from lonelycat.patterns import late_pattern

_BIDIRECTIONAL = late_pattern("[\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = late_pattern(
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028\u2029\u2060-\u2064\u206a-\u206f\u3164\uffa0"
    "\u180b-\u180d\u2065\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e001f\U000e0080-\U000e00ff"
    "\U000e01f0-\U000e0fff]"
    # joiners and soft hyphens: with no letter of another script beside them, or two in a row
    "|(?<![^\\x00-\\x7f])[\u00ad\u200c\u200d](?![^\\x00-\\x7f])|[\u00ad\u200c\u200d]{2}"
    "|(?<!^)\ufeff"
    # tag characters: but for the flag of a part of a country, which has few
    "|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]|\U0001f3f4[\U000e0020-\U000e007f]{8}"
    # selectors: but for those of mathematics, of East Asian scripts, and of emoji
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2}|(?<=[A-Za-z\\s])[\ufe0e\ufe0f]"
    "|(?<![\u2190-\u2bff\u3000-\u9fff\uf900-\ufaff\U00020000-\U0003ffff0])[\ufe00-\ufe0d\U000e0100-\U000e01ef]"
)
_FAR_RIGHT = late_pattern(r"(?<=\S)(?: {120,}|\t{30,})(?=\S)")
"""Text that is pushed out of sight: wider than any screen behind what stands before it."""
_FAR = (b" " * 120, b"\t" * 30)
_LOOKALIKE = (
    "АВЕЅІЈКМНОРСТУХаеорсухіјѕһԁԛԝӀӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧοｱ\u0531-\u0587\u13a0-\u13f5\u2c80-\u2cff\ua4d0-\ua4f7\u2160-\u217f"
)
_STYLED = "\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\u017f"
"""Letters that Python and others take for the plain ones."""
_CONFUSABLE = late_pattern(
    f"[A-Za-z][{_LOOKALIKE}]|[{_LOOKALIKE}][A-Za-z]|[A-Za-z_][{_STYLED}]|[0-9][\uff21-\uff3a\uff41-\uff5a]|[{_STYLED}](?:[A-Za-z_]|[{_STYLED}]+[(.])"
)
_CONTROL = late_pattern(r"[\x1b\x08\x7f\x07\x0e\x0f\x1a\x04\x80-\x9f]|\r(?!\n)(?=[^\r]*\n)")
_CONTROL_BYTES = (b"\x1b", b"\b", b"\x7f", b"\a", b"\x0e", b"\x0f", b"\x1a", b"\x04")
"""What hides or rewrites text on a terminal; other control characters do nothing there."""
_ASCII = bytes(range(128))
_SUSPECTS = late_pattern(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\x80-\x9f"
    f"{_STYLED}{_LOOKALIKE}]"
)
_ODD_NAME = late_pattern(r"(?:^|/)[-\s]|[^\S \n]|  ", re.MULTILINE)


class HiddenText:
    """Collects hidden text, contents by contents."""

    def __init__(self, rules: ContentRules) -> None:
        self._rules = rules
        self._bidirectional: dict[str, int] = {}
        self._invisible: dict[str, int] = {}
        self._confusable: dict[str, int] = {}
        self._control: dict[str, int] = {}

    def look(self, text: list[tuple[ChangeFacts, bytes]]) -> None:
        """Find what the members of ``text`` add."""
        rules = self._rules
        joined = b"\n".join(member.added[1] for member, _ in text)
        decoded = [] if joined.isascii() else [_decoded(member, data) for member, data in text if _may_hide(data)]
        if rules.bidirectional_text is not Reaction.ALLOW:
            _find(_BIDIRECTIONAL, decoded, self._bidirectional)
        if rules.invisible_text is Reaction.ALLOW:
            return
        _find(_INVISIBLE, decoded, self._invisible)
        _find(_CONFUSABLE, decoded, self._confusable)
        controlled = decoded
        if any(byte in joined for byte in _CONTROL_BYTES) or b"\r" in joined:
            controlled = [_decoded(member, data) for member, data in text]
        _find(_CONTROL, controlled, self._control)
        if any(blanks in joined for blanks in _FAR):
            _find(_FAR_RIGHT, [_decoded(member, data) for member, data in text], self._invisible)

    def findings(self, context: RuleContext) -> Iterator[Finding]:
        """Report it, and names that mislead."""
        rules = self._rules
        if rules.bidirectional_text is not Reaction.ALLOW:
            yield from _report(
                "BIDIRECTIONAL_TEXT", rules.bidirectional_text, "content.bidirectional_text",
                "has characters that make text show in another order than it is read", self._bidirectional,
            )  # fmt: skip
        if rules.invisible_text is Reaction.ALLOW:
            return
        for code, message, places in (
            ("INVISIBLE_TEXT", "has characters that do not show, or text far out of sight", self._invisible),
            ("CONFUSABLE_TEXT", "has words that mix letters of different alphabets that look alike", self._confusable),
            ("CONTROL_TEXT", "has control characters that change what a terminal shows", self._control),
        ):
            yield from _report(code, rules.invisible_text, "content.invisible_text", message, places)
        yield from _names(context)


def _decoded(member: ChangeFacts, data: bytes) -> tuple[ChangeFacts, str]:
    return member, data.decode("utf-8", "surrogateescape")


def _may_hide(data: bytes) -> bool:
    """Tell whether any character of ``data`` beyond ASCII is one that the patterns are about."""
    if data.isascii():
        return False
    return _SUSPECTS.search(data.translate(None, _ASCII).decode("utf-8", "surrogateescape")) is not None


def _names(context: RuleContext) -> Iterator[Finding]:
    touched = context.facts.touched_paths
    together = "\n".join(touched)
    if together.isascii() and not _ODD_NAME.search(together):
        return
    odd = tuple(path for path in touched if _ODD_NAME.search(path) or _CONFUSABLE.search(path))
    if odd:
        yield Finding(
            "CONFUSABLE_NAME", Verdict.NEED_APPROVAL, "builtin.confusable_name",
            "has a name that reads as an option, as another name or with hidden spaces", "Rename the file.", odd,
        )  # fmt: skip


def _find(pattern: re.Pattern[str], texts: list[tuple[ChangeFacts, str]], places: dict[str, int]) -> None:
    """Put the first line of each text that matches and is new into ``places``, by path."""
    for member, text in texts:
        line = _first_added(member, text, pattern)
        if line:
            places[member.change.path] = line


def _report(code: str, reaction: Reaction, rule: str, message: str, places: dict[str, int]) -> Iterator[Finding]:
    if places:
        where = ", ".join(f"line {line} of {path!a}" for path, line in list(places.items())[:3])
        yield Finding(
            code, REACTIONS[reaction], rule, f"{message}: {where}",
            "Remove the characters, or write them as escapes.", tuple(sorted(places)),
        )  # fmt: skip


def _first_added(member: ChangeFacts, text: str, pattern: re.Pattern[str]) -> int:
    """Return the number of the first line with a match that the change adds, or 0."""
    for match in pattern.finditer(text):
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.end())
        line = text[start : end if end != -1 else len(text)]
        if line.encode("utf-8", "surrogateescape") not in member.old_lines:
            return text.count("\n", 0, start) + 1
    return 0
