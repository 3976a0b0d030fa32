"""The transaction's journal: what recovery needs to finish or undo it, in checksummed frames.

Invariants:
- The file gets its name ``journal`` only after its first frame, INTENT, is durable. A ``journal`` whose INTENT cannot
  be read is therefore damage, never a torn write: it is quarantined, not guessed at.
- Each frame's checksum covers the frame before it, so frames cannot be dropped from the middle or reordered.
- A torn or unreadable *last* frame after INTENT counts as not written.

Frame: magic, length of the body as 8 hexadecimal digits, body (JSON), SHA-256 over previous checksum and body.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from pydantic_core import to_json

from lonelycat.changes.long_json import json_parts
from lonelycat.errors import StateError
from lonelycat.executor.filesystem import FileSystem, read_all
from lonelycat.patterns import late_pattern

JOURNAL = "journal"
_DRAFT = "journal.draft"
_MAGIC = b"\x89LCJ"  # not ASCII, so that no JSON body can hold it
_HEADER = len(_MAGIC) + 8
_HASH = 32
_SIZE = late_pattern(rb"[0-9a-f]{8}")
_CHUNK = 1024 * 1024
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


class RecordType(StrEnum):
    """What a frame says."""

    INTENT = "intent"
    RESTARTS = "restarts"
    """All restarts at once, before the first: written by versions up to 0.1, still read."""
    RESTART_BEGUN = "restart_begun"
    RESTART_DONE = "restart_done"
    COMMITTED = "committed"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One frame: its type, the fence under which it was written, and its body."""

    type: RecordType
    fence: int
    body: dict[str, object]


def _frame(record: JournalRecord, previous: bytes) -> tuple[list[bytes], bytes]:
    """Return a frame, in parts only where it is long, and its checksum."""
    parts = list(json_parts({"type": str(record.type), "fence": record.fence, "body": record.body}, _encode))
    state = hashlib.sha256(previous)
    for part in parts:
        state.update(part)
    checksum, size = state.digest(), sum(map(len, parts))
    frame = [_MAGIC, b"%08x" % size, *parts, checksum]
    return frame if size > _CHUNK else [b"".join(frame)], checksum


def _encode(value: object) -> bytes:
    """Return ``value`` as ASCII; the escapes that other names take are the standard library's, which is slower."""
    with suppress(ValueError):  # what is not Unicode text
        if (data := to_json(value)).isascii():
            return data
    return _ENCODER.encode(value).encode("ascii")


class JournalWriter:
    """Appends frames; each append is durable when it returns.

    What a failed append left of its frame is cut off by the next: behind a torn frame nothing could be read.
    """

    def __init__(self, filesystem: FileSystem, directory: int, fence: int) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._fence = fence
        self._previous = b""
        self._size = 0
        self._torn = False

    def begin(self, body: dict[str, object]) -> None:
        """Write INTENT durably and publish the journal under its name; the caller makes the directory durable."""
        frame, self._previous = _frame(JournalRecord(RecordType.INTENT, self._fence, body), b"")
        with self._filesystem.closing(self._filesystem.create_file(self._directory, _DRAFT)) as fd:
            for part in frame:
                self._filesystem.write(fd, part)
            self._filesystem.fsync(fd)
        self._size = sum(map(len, frame))
        self._filesystem.move(self._directory, _DRAFT, self._directory, JOURNAL)

    def append(self, type_: RecordType, body: dict[str, object]) -> None:
        """Append one frame durably."""
        frame, checksum = _frame(JournalRecord(type_, self._fence, body), self._previous)
        with self._filesystem.closing(self._filesystem.open_append(self._directory, JOURNAL)) as fd:
            if self._torn:
                self._filesystem.truncate(fd, self._size)
            self._torn = True
            for part in frame:
                self._filesystem.write(fd, part)
            self._filesystem.fsync(fd)
        self._torn = False
        self._size += sum(map(len, frame))
        self._previous = checksum

    @classmethod
    def resume(cls, filesystem: FileSystem, directory: int, fence: int, contents: JournalContents) -> JournalWriter:
        """Continue a journal that was read; the first append cuts off a torn tail."""
        writer = cls(filesystem, directory, fence)
        writer._previous = contents.last_checksum
        writer._size, writer._torn = contents.valid_bytes, contents.torn
        return writer


@dataclass(frozen=True, slots=True)
class JournalContents:
    """What a journal says: its frames, and whether a torn tail was ignored."""

    records: tuple[JournalRecord, ...]
    valid_bytes: int
    torn: bool
    last_checksum: bytes

    @property
    def intent(self) -> JournalRecord:
        """The first frame."""
        return self.records[0]

    def services(self, type_: RecordType) -> list[str]:
        """Return the services that the frames of a type name, in order."""
        return [str(record.body["service"]) for record in self.records if record.type is type_]

    def last(self, type_: RecordType) -> JournalRecord | None:
        """Return the last frame of a type, or None."""
        return next((record for record in reversed(self.records) if record.type is type_), None)


def read_journal(filesystem: FileSystem, directory: int) -> JournalContents | None:
    """Read the journal in the transaction directory.

    Returns:
        None when there is none: INTENT was never durable and nothing was applied.

    Raises:
        StateError: ``JOURNAL_DAMAGED`` when INTENT, or a frame that is not the last, cannot be read;
            ``JOURNAL_VERSION`` when a newer version wrote it.
    """
    try:
        fd = filesystem.open_file(directory, JOURNAL)
    except FileNotFoundError:
        return None
    with filesystem.closing(fd):
        data = read_all(filesystem, fd, _CHUNK)
    records: list[JournalRecord] = []
    offset, previous = 0, b""
    while offset < len(data):
        parsed = _parse(data, offset, previous)
        if parsed is None:
            break
        record, offset, previous = parsed
        records.append(record)
    torn = offset < len(data)
    if not records or records[0].type is not RecordType.INTENT or (torn and _MAGIC in data[offset + _HEADER :]):
        raise damaged(f"cannot be read at byte {offset}")
    return JournalContents(tuple(records), offset, torn, previous)


def damaged(how: str) -> StateError:
    """Return the error for a journal that nobody may act upon; ``how`` goes on after "the journal …"."""
    return StateError(
        "JOURNAL_DAMAGED",
        f"the journal of an interrupted transaction {how}",
        "Its directory was moved to .lonelycat/quarantine with all backups; compare them with the workspace.",
    )


def _parse(data: bytes, offset: int, previous: bytes) -> tuple[JournalRecord, int, bytes] | None:
    header = data[offset : offset + _HEADER]
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        return None
    size = header[len(_MAGIC) :]
    if not _SIZE.fullmatch(size):
        return None
    length = int(size, 16)
    body = data[offset + _HEADER : offset + _HEADER + length]
    end = offset + _HEADER + length + _HASH
    checksum = data[end - _HASH : end]
    if len(data) < end or hashlib.sha256(previous + body).digest() != checksum:
        return None
    return _record(body, offset), end, checksum


def _record(body: bytes, offset: int) -> JournalRecord:
    """Return what a whole frame says; one that says nothing was not torn, somebody wrote it."""
    try:
        content = json.loads(body)
        type_, fence, said = content["type"], content["fence"], content["body"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged(f"says nothing at byte {offset}") from error
    if not isinstance(type_, str) or not isinstance(said, dict):
        raise damaged(f"says nothing at byte {offset}")
    if not isinstance(fence, int) or isinstance(fence, bool) or fence < 0:
        raise damaged(f"names no fence at byte {offset}")
    if type_ not in set(RecordType):
        raise StateError(
            "JOURNAL_VERSION",
            f"an interrupted transaction holds a {type_[:40]!a} record, which this version does not know",
            "Run `lonelycat recover` with the version that wrote it.",
        )
    return JournalRecord(RecordType(type_), fence, said)
