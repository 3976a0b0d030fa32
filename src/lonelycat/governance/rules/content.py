"""Content: what is in the bytes and modes that a change brings.

Invariants:
- What cannot be looked at is held, never passed: a rule that sees nothing says so.
- Only what a change *adds* is judged where the old bytes are at hand; a line that was there before is not news.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from lonelycat.changes.changeset import EXECUTABLE, SYMLINK
from lonelycat.governance.facts import ChangeFacts
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import Reaction, Verdict
from lonelycat.governance.rules import hidden_text, install_hooks, symlinks
from lonelycat.governance.rules.base import REACTIONS, Finding, RuleContext
from lonelycat.governance.secrets import find_secrets

_SEPARATOR = b"\n\0\n"
_PROGRAM_MAGIC = (
    b"\x7fELF", b"MZ", b"#!", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm",
    b"dex\n", b"PK\x03\x04",
)  # fmt: skip
_MAX_PLACES = 5


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report unscanned, secret, hidden, executable, linked and binary content."""
    added = [member for member in context.facts.members if member.adds_bytes]
    unknown = tuple(member.change.path for member in added if member.new is None)
    if unknown:
        yield Finding(
            "UNSCANNED_CONTENT", Verdict.NEED_APPROVAL, "content.max_scan_bytes",
            "has content that the gate could not look at, because it is too large or not at hand",
            "A person has to look at it, or the change set has to carry it.", unknown,
        )  # fmt: skip
    known = [(member, member.new) for member in added if member.new is not None]
    binary, text = _divide(known)
    yield from _secrets(context, known)
    yield from _binary(context, binary)
    yield from hidden_text.judge(context, text)
    yield from install_hooks.judge(text, context.facts.members)
    yield from symlinks.judge(context)
    yield from _executable(context)


def _divide(
    known: list[tuple[ChangeFacts, bytes]],
) -> tuple[list[tuple[ChangeFacts, bytes]], list[tuple[ChangeFacts, bytes]]]:
    """Return what a person cannot review as text, and what they can."""
    binary: list[tuple[ChangeFacts, bytes]] = []
    text: list[tuple[ChangeFacts, bytes]] = []
    for member, data in known:
        if member.change.new_mode == SYMLINK:
            continue
        if b"\0" in data or not (data.isascii() or _is_utf8(data) or _was_same_kind(member)):
            binary.append((member, data))
        else:
            text.append((member, data))
    return binary, text


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _was_same_kind(member: ChangeFacts) -> bool:
    """Tell whether the file was text in another encoding than UTF-8 before, too."""
    old = member.old
    return old is not None and b"\0" not in old and not _is_utf8(old)


def _secrets(context: RuleContext, known: list[tuple[ChangeFacts, bytes]]) -> Iterator[Finding]:
    rules = context.policy.content
    if rules.secrets is Reaction.ALLOW or not known:
        return
    parts = [member.added for member, _ in known]
    joined = _SEPARATOR.join(data for _, data in parts)
    matches = find_secrets(joined)
    if not matches:
        return
    starts = [0, *accumulate(len(data) + len(_SEPARATOR) for _, data in parts)]
    spared = compile_globs(rules.secrets_ok_paths)
    hits: dict[str, list[str]] = {}
    index = 0
    for match in matches:
        while match.start >= starts[index + 1]:
            index += 1
        member, data = known[index]
        path, shift = member.change.path, parts[index][0] - starts[index]
        start = match.start + shift
        if not spared.matches(path) and member.adds_line(start, match.end + shift):
            hits.setdefault(path, []).append(f"{match.kind} on line {data.count(10, 0, start) + 1}")
    if hits:
        places = [f"{place} of {path!a}" for path, found in sorted(hits.items()) for place in found[:_MAX_PLACES]]
        yield Finding(
            "SECRET_FOUND", REACTIONS[rules.secrets], "content.secrets",
            f"looks like a credential: {'; '.join(places[:_MAX_PLACES])}",
            "Remove it and revoke it if it is real; read it from the environment or a secret store.",
            tuple(sorted(hits)),
        )  # fmt: skip


def _binary(context: RuleContext, binary: list[tuple[ChangeFacts, bytes]]) -> Iterator[Finding]:
    rules = context.policy.content
    expected = compile_globs(rules.binary_ok_paths)
    paths = tuple(member.change.path for member, _ in binary if not expected.matches(member.change.path))
    if paths and rules.binary is not Reaction.ALLOW:
        yield Finding(
            "BINARY_CONTENT", REACTIONS[rules.binary], "content.binary", "is not text that a person can review",
            "A person has to look at it, or the policy has to list its kind in binary_ok_paths.", paths,
        )  # fmt: skip
    disguised = tuple(
        member.change.path
        for member, data in binary
        if data.startswith(_PROGRAM_MAGIC) and expected.matches(member.change.path)
    )
    if disguised:
        yield Finding(
            "DISGUISED_PROGRAM", Verdict.NEED_APPROVAL, "builtin.disguised_program",
            "has a name that promises data and the bytes of a program or an archive",
            "Name the file for what it is.", disguised,
        )  # fmt: skip


def _executable(context: RuleContext) -> Iterator[Finding]:
    reaction = context.policy.content.executable_bit
    paths = tuple(change.path for change in context.facts.changes if change.new_mode == EXECUTABLE != change.old_mode)
    if paths and reaction is not Reaction.ALLOW:
        yield Finding(
            "EXECUTABLE_BIT", REACTIONS[reaction], "content.executable_bit", "becomes executable",
            "Leave the mode as it is unless the file is meant to be run.", paths,
        )  # fmt: skip
