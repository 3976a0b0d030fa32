"""The journal tells exactly what was written durably, or says that it is damaged; it never guesses."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

import pytest

from lonelycat.errors import StateError
from lonelycat.executor import journal
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.journal import JOURNAL, JournalContents, JournalWriter, RecordType, read_journal

BODY: dict[str, object] = {"path": "ü", "n": [1, None]}


def _write(data: bytes, directory: int) -> None:
    fd = os.open(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=directory)
    os.write(fd, data)
    os.close(fd)


def _bytes(directory: int) -> bytes:
    fd = os.open(JOURNAL, os.O_RDONLY, dir_fd=directory)
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def _three(filesystem: FileSystem, directory: int) -> tuple[bytes, list[int]]:
    """Write three frames; return the bytes and where each frame ends."""
    writer = JournalWriter(filesystem, directory, 5)
    writer.begin(BODY)
    ends = [len(_bytes(directory))]
    for type_ in (RecordType.RESTARTS, RecordType.COMMITTED):
        writer.append(type_, {"is": str(type_)})
        ends.append(len(_bytes(directory)))
    return _bytes(directory), ends


def _types(contents: JournalContents | None) -> list[str]:
    assert contents is not None
    return [str(record.type) for record in contents.records]


def test_what_was_written_is_read(filesystem: FileSystem, directory: int) -> None:
    data, _ = _three(filesystem, directory)
    contents = read_journal(filesystem, directory)
    assert _types(contents) == ["intent", "restarts", "committed"]
    assert contents is not None and not contents.torn and contents.valid_bytes == len(data)
    assert (contents.intent.body, contents.intent.fence) == (BODY, 5)
    committed = contents.last(RecordType.COMMITTED)
    assert committed is not None and committed.body == {"is": "committed"}
    assert contents.last(RecordType.UNDONE) is None


@pytest.mark.parametrize("name", ["ÉLCJ", "日本 \u2028", "\udc89LCJ", "\x89LCJ", "plain"])
def test_no_name_looks_like_the_beginning_of_a_frame(filesystem: FileSystem, directory: int, name: str) -> None:
    body: dict[str, object] = {"paths": [name] * 1500, name: None}
    writer = JournalWriter(filesystem, directory, 5)
    writer.begin(body)
    writer.append(RecordType.COMMITTED, body)
    assert _bytes(directory).count(b"\x89LCJ") == 2
    contents = read_journal(filesystem, directory)
    assert contents is not None and [record.body for record in contents.records] == [body, body]


@pytest.mark.parametrize("most", [16, 60, 1 << 20])
def test_a_long_frame_is_written_in_parts_and_is_the_same(
    filesystem: FileSystem, directory: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written() -> tuple[bytes, int]:
        calls: list[bytes] = []

        class Counting(FileSystem):
            def write(self, fd: int, data: bytes) -> None:
                calls.append(data)
                super().write(fd, data)

        with suppress(FileNotFoundError):
            os.unlink(JOURNAL, dir_fd=directory)
        writer = JournalWriter(Counting(), directory, 5)
        writer.begin({"rows": [[number, "\u00fc"] for number in range(2500)]})
        writer.append(RecordType.COMMITTED, {})
        return _bytes(directory), len(calls)

    whole, calls = written()
    assert calls == 2
    monkeypatch.setattr(journal, "_CHUNK", most)
    parts, calls = written()
    assert parts == whole and (calls > 4) == (most < 100)
    contents = read_journal(filesystem, directory)
    assert _types(contents) == ["intent", "committed"]
    assert contents is not None and (contents.valid_bytes, contents.torn) == (len(whole), False)


def test_a_draft_is_no_journal(filesystem: FileSystem, directory: int) -> None:
    class Stops(FileSystem):
        def move(self, *arguments: object) -> None:
            raise OSError(errno.EIO, "stopped")

    with pytest.raises(OSError, match="stopped"):
        JournalWriter(Stops(), directory, 1).begin(BODY)
    assert read_journal(filesystem, directory) is None


def test_a_torn_tail_at_every_byte_counts_as_not_written(filesystem: FileSystem, directory: int) -> None:
    data, ends = _three(filesystem, directory)
    for size in range(len(data)):
        _write(data[:size], directory)
        if size < ends[0]:
            with pytest.raises(StateError, match="JOURNAL_DAMAGED"):
                read_journal(filesystem, directory)
            continue
        contents = read_journal(filesystem, directory)
        whole = sum(1 for end in ends if end <= size)
        assert _types(contents) == ["intent", "restarts", "committed"][:whole]
        assert contents is not None and contents.torn is (size not in ends)


def test_a_bit_flip_at_every_byte_never_changes_what_is_said(filesystem: FileSystem, directory: int) -> None:
    data, ends = _three(filesystem, directory)
    whole = read_journal(filesystem, directory)
    assert whole is not None
    for at in range(len(data)):
        for bit in (0x01, 0x10, 0x80):
            flipped = bytearray(data)
            flipped[at] ^= bit
            _write(bytes(flipped), directory)
            try:
                contents = read_journal(filesystem, directory)
            except StateError as error:
                assert error.code == "JOURNAL_DAMAGED"
                assert at < ends[1], "only the last frame may count as not written"
                continue
            assert contents is not None
            kept = len(contents.records)
            assert contents.records == whole.records[:kept]
            assert kept == 3 or at >= ends[1]


@pytest.mark.parametrize("order", [(0, 2), (0, 2, 1), (1, 2), (0, 1, 1), (2,), (1, 0, 2)])
def test_frames_cannot_be_dropped_or_reordered(filesystem: FileSystem, directory: int, order: tuple[int, ...]) -> None:
    data, ends = _three(filesystem, directory)
    frames = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    _write(b"".join(frames[n] for n in order), directory)
    try:
        contents = read_journal(filesystem, directory)
    except StateError as error:
        assert error.code == "JOURNAL_DAMAGED"
    else:
        assert contents is not None and contents.torn
        assert _types(contents) == ["intent", "restarts", "committed"][: len(contents.records)]
        assert len(contents.records) < len(order)


def test_frames_of_another_journal_cannot_be_spliced_in(filesystem: FileSystem, directory: int) -> None:
    data, ends = _three(filesystem, directory)
    filesystem.unlink(directory, JOURNAL)
    other = JournalWriter(filesystem, directory, 5)
    other.begin({"another": "intent"})
    _write(_bytes(directory) + data[ends[1] :], directory)
    assert _types(read_journal(filesystem, directory)) == ["intent"]


def test_an_append_after_a_failed_one_cuts_off_what_that_left(filesystem: FileSystem, directory: int) -> None:
    class Full(FileSystem):
        full = True

        def write(self, fd: int, data: bytes) -> None:
            if self.full and b"restarts" in data:
                os.write(fd, data[:20])
                raise OSError(errno.ENOSPC, "full")
            super().write(fd, data)

    writer = JournalWriter(Full(), directory, 1)
    writer.begin(BODY)
    with pytest.raises(OSError, match="full"):
        writer.append(RecordType.RESTARTS, {})
    writer.append(RecordType.UNDONE, {})
    assert _types(read_journal(filesystem, directory)) == ["intent", "undone"]


def test_resuming_continues_the_chain_and_cuts_off_a_torn_tail(filesystem: FileSystem, directory: int) -> None:
    data, ends = _three(filesystem, directory)
    for size in (ends[0], ends[1] + 30, len(data)):
        _write(data[:size], directory)
        contents = read_journal(filesystem, directory)
        assert contents is not None
        JournalWriter.resume(filesystem, directory, 9, contents).append(RecordType.UNDONE, {"x": 1})
        after = read_journal(filesystem, directory)
        assert after is not None and not after.torn
        assert after.records[:-1] == contents.records
        assert (after.records[-1].type, after.records[-1].fence) == (RecordType.UNDONE, 9)


def test_a_record_of_a_newer_version_is_told_as_such(
    filesystem: FileSystem, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(filesystem, directory, 1)
    writer.begin(BODY)
    writer.append("paused", {})  # type: ignore[arg-type]  # what a newer version could write
    with pytest.raises(StateError, match="JOURNAL_VERSION"):
        read_journal(filesystem, directory)
