"""A change as text: what ``git diff --binary`` would print for the same change.

Invariant: ``git apply`` of the text onto the old files gives the new ones exactly, except where a content is not at
hand (a blob) or over 1 MiB and binary; there the text says ``Binary files … differ``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lonelycat.changes.changeset import SYMLINK, BlobRef, Mode
from lonelycat.changes.formats.patch_binary import MARK, blob_id, encode_literal
from lonelycat.changes.lines import Region, changed_regions, split_lines

CONTEXT_LINES = 3
MAX_BINARY_BYTES = 1024 * 1024
_SNIFFED_BYTES = 8000
_NO_ID = "0" * 40
_ABBREVIATED = 10
"""Digits of an object id of a text, as git shows them; a binary patch needs them all."""
_ESCAPES = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}


class DiffEntry(NamedTuple):
    """One file's two sides.

    Attributes:
        old_path: for a rename, where the file was.
        old, new: the contents; a ``BlobRef`` where they are not at hand, None where there is no file.
        old_mode, new_mode: git's modes; None exactly where there is no file.
    """

    path: str
    old: bytes | BlobRef | None
    new: bytes | BlobRef | None
    old_mode: Mode | None
    new_mode: Mode | None
    old_path: str | None = None


def render_diff(entries: Iterable[DiffEntry]) -> bytes:
    """Return the diff of all ``entries``, in their order."""
    return b"".join(render_file(entry) for entry in entries)


def render_file(entry: DiffEntry) -> bytes:
    """Return the diff of one file: header and hunks, or a binary patch."""
    modes = (entry.old_mode, entry.new_mode)
    if None not in modes and modes[0] != modes[1] and SYMLINK in modes:
        gone = DiffEntry(entry.old_path or entry.path, entry.old, None, entry.old_mode, None)
        made = DiffEntry(entry.path, None, entry.new, None, entry.new_mode)
        return render_file(gone) + render_file(made)
    parts: list[bytes] = []
    _file_parts(entry, parts)
    return b"".join(parts)


def patch_line_counts(old: bytes | None, new: bytes | None) -> tuple[int, int]:
    """Return how many lines a change adds and removes.

    Binary contents count by their newlines like any other, so that one NUL byte does not hide a long text.
    """
    before, after = split_lines(old or b""), split_lines(new or b"")
    regions = changed_regions(before, after)
    return sum(r[3] - r[2] for r in regions), sum(r[1] - r[0] for r in regions)


def _file_parts(entry: DiffEntry, out: list[bytes]) -> None:
    """Append the diff of one file that stays of one kind."""
    old_path = entry.old_path or entry.path
    old_name, new_name = quoted("a/" + old_path), quoted("b/" + entry.path)
    out.append(b"diff --git %s %s\n" % (old_name, new_name))
    same = entry.old == entry.new
    if entry.old_mode is None:
        out.append(b"new file mode %s\n" % str(entry.new_mode).encode())
    elif entry.new_mode is None:
        out.append(b"deleted file mode %s\n" % entry.old_mode.encode())
    elif entry.old_mode != entry.new_mode:
        out.append(b"old mode %s\nnew mode %s\n" % (entry.old_mode.encode(), entry.new_mode.encode()))
    if entry.old_path is not None:
        if same:
            out.append(b"similarity index 100%\n")
        out.append(b"rename from %s\nrename to %s\n" % (quoted(entry.old_path), quoted(entry.path)))
    if same:
        return
    if isinstance(entry.old, BlobRef) or isinstance(entry.new, BlobRef):
        out.append(_differ(entry, old_name, new_name))
        return
    _content_parts(entry, entry.old, entry.new, (old_name, new_name), out)


def _content_parts(
    entry: DiffEntry, old: bytes | None, new: bytes | None, names: tuple[bytes, bytes], out: list[bytes]
) -> None:
    before, after = old or b"", new or b""
    mode = b" " + entry.old_mode.encode() if entry.old_mode is not None and entry.old_mode == entry.new_mode else b""
    binary = is_binary(before) or is_binary(after)
    digits = None if binary else _ABBREVIATED
    out.append(b"index %s..%s%s\n" % (_id(old)[:digits], _id(new)[:digits], mode))
    if binary:
        if max(len(before), len(after)) > MAX_BINARY_BYTES:
            out.append(_differ(entry, *names))
        else:
            out.append(b"%s\n%s%s" % (MARK, encode_literal(after), encode_literal(before)))
        return
    if before == after:
        return
    out.append(b"--- %s\n" % (b"/dev/null" if old is None else _named(names[0])))
    out.append(b"+++ %s\n" % (b"/dev/null" if new is None else _named(names[1])))
    _hunks(split_lines(before), split_lines(after), out)


def _id(data: bytes | None) -> bytes:
    return (_NO_ID if data is None else blob_id(data, _NO_ID)).encode()


def _differ(entry: DiffEntry, old_name: bytes, new_name: bytes) -> bytes:
    old = b"/dev/null" if entry.old_mode is None else old_name
    new = b"/dev/null" if entry.new_mode is None else new_name
    return b"Binary files %s and %s differ\n" % (old, new)


def hunk_regions(old: list[bytes], new: list[bytes]) -> Iterator[list[Region]]:
    """Yield the changed regions hunk by hunk: those that share context lines belong together."""
    group: list[Region] = []
    for region in changed_regions(old, new):
        if group and region[0] - group[-1][1] > 2 * CONTEXT_LINES:
            yield group
            group = []
        group.append(region)
    if group:
        yield group


def hunk_span(group: list[Region], old_length: int) -> Region:
    """Return a hunk's span with its context: begin and end in the old lines, begin and end in the new ones."""
    lead = min(CONTEXT_LINES, group[0][0])
    end = min(group[-1][1] + CONTEXT_LINES, old_length)
    return group[0][0] - lead, end, group[0][2] - lead, group[-1][3] + end - group[-1][1]


def _hunks(old: list[bytes], new: list[bytes], out: list[bytes]) -> None:
    for group in hunk_regions(old, new):
        _hunk(old, new, group, out)


def _hunk(old: list[bytes], new: list[bytes], group: list[Region], out: list[bytes]) -> None:
    begin, end, new_begin, new_end = hunk_span(group, len(old))
    out.append(b"@@ -%s +%s @@\n" % (_range(begin, end), _range(new_begin, new_end)))
    position = begin
    for a, a_end, b, b_end in group:
        _marked(b" ", old[position:a], out)
        _marked(b"-", old[a:a_end], out)
        _marked(b"+", new[b:b_end], out)
        position = a_end
    _marked(b" ", old[position:end], out)


def _range(begin: int, end: int) -> bytes:
    count = end - begin
    if count == 1:
        return b"%d" % (begin + 1)
    return b"%d,%d" % (begin + 1 if count else begin, count)


def _marked(mark: bytes, lines: list[bytes], out: list[bytes]) -> None:
    if lines:
        out += (mark, mark.join(lines))
        if not lines[-1].endswith(b"\n"):  # only a text's last line can lack its end
            out.append(b"\n\\ No newline at end of file\n")


def _named(name: bytes) -> bytes:
    """Return the name for a ``---`` line: git ends one that holds a space with a tab."""
    return name + b"\t" if b" " in name and not name.startswith(b'"') else name


def is_binary(data: bytes) -> bool:
    """Tell whether git would take ``data`` for binary: a NUL in the first 8000 bytes."""
    return data.find(b"\0", 0, _SNIFFED_BYTES) >= 0


def quoted(path: str) -> bytes:
    """Return ``path`` as git prints it: C-quoted if it holds anything but printable UTF-8, quotes or backslashes."""
    raw = path.encode("utf-8", "surrogateescape")
    if path.isprintable() and b'"' not in raw and b"\\" not in raw:
        return raw
    out = bytearray(b'"')
    for byte in raw:
        if byte in _ESCAPES:
            out += _ESCAPES[byte]
        elif 0x20 <= byte < 0x7F:
            out.append(byte)
        else:
            out += b"\\%03o" % byte
    return bytes(out + b'"')
