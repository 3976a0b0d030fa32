"""Content: what is in the bytes and modes that a change brings.

Invariants:
- What cannot be looked at is held, never passed: a rule that sees nothing says so.
- Contents are looked at some at a time, and nothing of them is kept but where something was found.
- Only what a change *adds* is judged where the old bytes are at hand; a line that was there before is not news.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from lonelycat.changes.changeset import EXECUTABLE, SYMLINK, FileChange, Operation
from lonelycat.governance.facts import ChangeFacts
from lonelycat.governance.matching import compile_globs
from lonelycat.governance.policy import ContentRules, Reaction, Verdict
from lonelycat.governance.rules import hidden_text, install_hooks, symlinks
from lonelycat.governance.rules.base import REACTIONS, Finding, RuleContext
from lonelycat.governance.secrets import find_secrets

_SEPARATOR = b"\n\0\n"
_PROGRAM_MAGIC = (
    b"\x7fELF", b"MZ", b"#!", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm",
    b"dex\n", b"PK\x03\x04",
)  # fmt: skip
_MAX_PLACES = 5
_BATCH_BYTES = 1 << 20
"""How much of many small contents is looked at together: one pass over them all costs less than one for each."""


def judge(context: RuleContext) -> Iterator[Finding]:
    """Report unscanned, secret, hidden, executable, linked and binary content."""
    unknown: list[str] = []
    secrets = _Secrets(context.policy.content)
    binaries = _Binaries(context.policy.content)
    hidden = hidden_text.HiddenText(context.policy.content)
    hooks = install_hooks.InstallHooks()
    for batch in _batches(context.facts.members, unknown):
        secrets.look(batch)
        binary, text = _divide(batch)
        binaries.look(binary)
        hidden.look(text)
        hooks.look(text)
    if unknown:
        yield Finding(
            "UNSCANNED_CONTENT", Verdict.NEED_APPROVAL, "content.max_scan_bytes",
            "has content that the gate could not look at, because it is too large or not at hand",
            "A person has to look at it, or the change set has to carry it.", tuple(unknown),
        )  # fmt: skip
    secrets.look_at_names(context.facts.changes)
    yield from secrets.findings()
    yield from binaries.findings()
    yield from hidden.findings(context)
    yield from hooks.findings(context.facts.members)
    yield from symlinks.judge(context)
    yield from _executable(context)


def _batches(members: Sequence[ChangeFacts], unknown: list[str]) -> Iterator[list[tuple[ChangeFacts, bytes]]]:
    """Yield the contents that are added, in order, so many at a time; put the paths of those not at hand in a list."""
    batch: list[tuple[ChangeFacts, bytes]] = []
    size = 0
    for member in members:
        if not member.adds_bytes:
            continue
        data = member.new
        if data is None:
            unknown.append(member.change.path)
            continue
        if batch and size + len(data) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((member, data))
        size += len(data)
    if batch:
        yield batch


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


class _Secrets:
    """Collects what looks like a credential."""

    def __init__(self, rules: ContentRules) -> None:
        self._rules = rules
        self._spared = compile_globs(rules.secrets_ok_paths)
        self._hits: dict[str, list[str]] = {}

    def look(self, batch: list[tuple[ChangeFacts, bytes]]) -> None:
        """Look at what the members of ``batch`` add, all in one pass."""
        if self._rules.secrets is Reaction.ALLOW:
            return
        parts = [member.added for member, _ in batch]
        matches = find_secrets(_SEPARATOR.join(data for _, data in parts))
        if not matches:
            return
        starts = [0, *accumulate(len(data) + len(_SEPARATOR) for _, data in parts)]
        index = 0
        for match in matches:
            while match.start >= starts[index + 1]:
                index += 1
            member, data = batch[index]
            path, shift = member.change.path, parts[index][0] - starts[index]
            start = match.start + shift
            if not self._spared.matches(path) and member.adds_line(start, match.end + shift):
                self._hits.setdefault(path, []).append(f"{match.kind} on line {data.count(10, 0, start) + 1}")

    def look_at_names(self, changes: Sequence[FileChange]) -> None:
        """Look at the names that files get: they are shown and stored everywhere."""
        if self._rules.secrets is Reaction.ALLOW:
            return
        paths = [change.path for change in changes if change.operation in (Operation.CREATE, Operation.RENAME)]
        if not find_secrets("\n".join(paths).encode("utf-8", "surrogateescape")):
            return
        for path in paths:
            for match in find_secrets(path.encode("utf-8", "surrogateescape")):
                self._hits.setdefault(path, []).append(f"{match.kind} in the name")

    def findings(self) -> Iterator[Finding]:
        """Report it."""
        if self._hits:
            places = [
                f"{place} of {path!a}" for path, hits in sorted(self._hits.items()) for place in hits[:_MAX_PLACES]
            ]
            yield Finding(
                "SECRET_FOUND", REACTIONS[self._rules.secrets], "content.secrets",
                f"looks like a credential: {'; '.join(places[:_MAX_PLACES])}",
                "Remove it and revoke it if it is real; read it from the environment or a secret store.",
                tuple(sorted(self._hits)),
            )  # fmt: skip


class _Binaries:
    """Collects what is not text, and what of it is not what its name says."""

    def __init__(self, rules: ContentRules) -> None:
        self._rules = rules
        self._expected = compile_globs(rules.binary_ok_paths)
        self._unexpected: list[str] = []
        self._disguised: list[str] = []

    def look(self, batch: list[tuple[ChangeFacts, bytes]]) -> None:
        """Look at contents that are not text."""
        for member, data in batch:
            path = member.change.path
            if not self._expected.matches(path):
                self._unexpected.append(path)
            elif data.startswith(_PROGRAM_MAGIC):
                self._disguised.append(path)

    def findings(self) -> Iterator[Finding]:
        """Report them."""
        if self._unexpected and self._rules.binary is not Reaction.ALLOW:
            yield Finding(
                "BINARY_CONTENT", REACTIONS[self._rules.binary], "content.binary",
                "is not text that a person can review",
                "A person has to look at it, or the policy has to list its kind in binary_ok_paths.",
                tuple(self._unexpected),
            )  # fmt: skip
        if self._disguised:
            yield Finding(
                "DISGUISED_PROGRAM", Verdict.NEED_APPROVAL, "builtin.disguised_program",
                "has a name that promises data and the bytes of a program or an archive",
                "Name the file for what it is.", tuple(self._disguised),
            )  # fmt: skip


def _executable(context: RuleContext) -> Iterator[Finding]:
    reaction = context.policy.content.executable_bit
    paths = tuple(change.path for change in context.facts.changes if change.new_mode == EXECUTABLE != change.old_mode)
    if paths and reaction is not Reaction.ALLOW:
        yield Finding(
            "EXECUTABLE_BIT", REACTIONS[reaction], "content.executable_bit", "becomes executable",
            "Leave the mode as it is unless the file is meant to be run.", paths,
        )  # fmt: skip
