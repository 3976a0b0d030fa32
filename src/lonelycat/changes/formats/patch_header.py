"""The header of one file in a patch: names, modes, renames, object ids.

Invariants:
- The names in ``diff --git``, ``---``/``+++`` and ``rename``/``copy`` lines must agree; a header line that stands
  twice is refused, and so is one that the patch ends in. Two readers must never see two different files.
- Names have a prefix pair as git writes it (``a/`` ``b/``, or the mnemonic ones), so that a patch made without
  prefixes is refused instead of being applied one directory too high.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lonelycat.changes.changeset import Mode
from lonelycat.changes.formats.base import mode_from_git
from lonelycat.changes.formats.patch_model import PatchKind
from lonelycat.changes.formats.patch_reader import PatchReader
from lonelycat.changes.paths import check_path, from_wire, printable
from lonelycat.errors import InputError
from lonelycat.patterns import late_pattern

_PREFIX_PAIRS = frozenset({(b"a/", b"b/"), (b"i/", b"w/"), (b"c/", b"i/"), (b"c/", b"w/"), (b"o/", b"w/")})
_PREFIX_PAIRS |= {(new, old) for old, new in _PREFIX_PAIRS}
_EXTENDED = late_pattern(
    rb"(old mode|new mode|deleted file mode|new file mode|copy from|copy to|rename from|rename to"
    rb"|similarity index|dissimilarity index|index) (.*)",
    re.DOTALL,
)
_INDEX = late_pattern(rb"([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{6}))?")
_EPOCH = late_pattern(rb"(?:1970-01-01|1969-12-31) [0-9:.]+(?: [-+][0-9]{4})?")
_QUOTED = late_pattern(rb'"(?:[^"\\]|\\.)*"')
FileLine = tuple[bytes | None, bool]
"""The name in a ``---`` or ``+++`` line (None for /dev/null), and whether its date is the epoch."""
FileLines = tuple[FileLine, FileLine]
_NO_PREFIX = "Make the patch with git's default prefixes a/ and b/ (`git diff --src-prefix=a/ --dst-prefix=b/`)."
_CRLF = "Something turned its line ends into CRLF on the way; hand it in byte for byte as git wrote it."


@dataclass(slots=True)
class Header:
    """A file's header while it is read; names are without prefix."""

    line: int
    kind: PatchKind = "update"
    path: str = ""
    old_path: str = ""
    old_mode: Mode | None = None
    new_mode: Mode | None = None
    old_id: str = ""
    new_id: str = ""
    fields: dict[bytes, bytes] = field(default_factory=dict)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _unquoted(raw: bytes) -> bytes:
    """Undo git's C quotes; leave a plain name alone."""
    if not raw.startswith(b'"'):
        return raw
    return from_wire(_text(raw)).encode("utf-8", "surrogateescape")


def _stripped_pair(old: bytes, new: bytes) -> tuple[str, str] | None:
    if (old[:2], new[:2]) in _PREFIX_PAIRS and len(old) > 2 and len(new) > 2:
        return _text(old[2:]), _text(new[2:])
    return None


def _git_line_names(rest: bytes) -> tuple[str, str] | None:
    """Return both names of a ``diff --git`` line, or None where spaces leave it open."""
    if rest.startswith(b'"'):
        first = _QUOTED.match(rest)
        if first is None or rest[first.end() : first.end() + 1] != b" ":
            return None
        return _stripped_pair(_unquoted(first[0]), _unquoted(rest[first.end() + 1 :]))
    if rest.endswith(b'"'):
        cut = rest.find(b' "')
        return None if cut < 0 else _stripped_pair(rest[:cut], _unquoted(rest[cut + 1 :]))
    middle = len(rest) // 2
    if len(rest) % 2 and rest[middle : middle + 1] == b" ":
        names = _stripped_pair(rest[:middle], rest[middle + 1 :])
        if names is not None and names[0] == names[1]:
            return names
    if rest.count(b" ") == 1:
        old, _, new = rest.partition(b" ")
        return _stripped_pair(old, new)
    return None


def _file_line(reader: PatchReader) -> FileLine:
    """Return the name in a ``---`` or ``+++`` line (None for /dev/null) and whether its date is the epoch."""
    body = (reader.line or b"")[4:]
    quoted = _QUOTED.match(body)
    name, date = (quoted[0], body[quoted.end() :]) if quoted else body.partition(b"\t")[::2]
    if quoted and date and not date.startswith(b"\t"):
        raise reader.malformed("a quoted name has more behind its last quote")
    name = _unquoted(name)
    return (None if name == b"/dev/null" else name), _EPOCH.fullmatch(date.strip(b"\t\r ")) is not None


def read_git_header(reader: PatchReader) -> Header:
    """Read from ``diff --git`` up to the first line of content.

    Raises:
        InputError: ``PATCH_MALFORMED``, ``SUBMODULE_UNSUPPORTED`` or ``MODE_UNSUPPORTED``.
        PathError: for a name that is unsafe under any policy.
    """
    header = Header(reader.number)
    rest = (reader.line or b"")[len(b"diff --git ") :]
    _check_line_end(reader, rest)
    named = _git_line_names(rest)
    _leave(reader)
    while reader.line is not None and (found := _EXTENDED.fullmatch(reader.line)):
        if found[1] in header.fields:
            raise reader.malformed(f"the header line {found[1].decode()!r} stands twice")
        header.fields[found[1]] = found[2]
        _leave(reader)
    files = _file_lines(reader) if (reader.line or b"").startswith(b"--- ") else None
    if files is None and (reader.line or b"").startswith(b"@@ "):
        raise reader.malformed("hunks without '---' and '+++' lines before them")
    if files is not None and not (reader.line or b"").startswith((b"@@ ", b"Binary files ")):
        raise reader.malformed("'---' and '+++' lines without a hunk behind them")
    _settle_kind(reader, header, files)
    _settle_names(reader, header, rest, named, files)
    _settle_modes(reader, header)
    return header


def _check_line_end(reader: PatchReader, line: bytes) -> None:
    """Refuse a header line that ends with CR: git quotes a name that does, so something else turned the line ends."""
    if line.endswith(b"\r"):
        raise reader.malformed("its lines end with CRLF, which git does not write", hint=_CRLF)


def _leave(reader: PatchReader) -> None:
    """Go on from a header line, which git passes over, with what it says, if it has no end."""
    if not reader.complete:
        raise reader.malformed(
            "the patch ends in the middle of a header",
            hint="See whether something was cut off, and that the last line ends with a newline.",
        )
    reader.advance()


def _file_lines(reader: PatchReader) -> FileLines:
    _check_line_end(reader, (reader.line or b"").partition(b"\t")[0])
    old = _file_line(reader)
    _leave(reader)
    if reader.line is None or not reader.line.startswith(b"+++ "):
        raise reader.malformed("a '---' line without its '+++' line")
    _check_line_end(reader, reader.line.partition(b"\t")[0])
    new = _file_line(reader)
    _leave(reader)
    return old, new


def _settle_kind(
    reader: PatchReader,
    header: Header,
    files: FileLines | None,
) -> None:
    fields = header.fields
    kinds: list[PatchKind] = []
    if b"new file mode" in fields:
        kinds.append("create")
    if b"deleted file mode" in fields:
        kinds.append("delete")
    for kind in ("rename", "copy"):
        ends = [f"{kind} {end}".encode() in fields for end in ("from", "to")]
        if any(ends):
            if not all(ends):
                raise reader.malformed(f"a {kind} needs both its lines 'from' and 'to'", line=header.line)
            kinds.append("rename" if kind == "rename" else "copy")
    if files is not None and not kinds:
        if files[0][0] is None:
            kinds.append("create")
        if files[1][0] is None:
            kinds.append("delete")
    if len(kinds) > 1:
        raise reader.malformed(f"one file cannot be {' and '.join(kinds)}", line=header.line)
    header.kind = kinds[0] if kinds else "update"


def _settle_names(
    reader: PatchReader,
    header: Header,
    rest: bytes,
    named: tuple[str, str] | None,
    files: FileLines | None,
) -> None:
    if header.kind in ("rename", "copy"):
        word = header.kind.encode()
        old, new = (_text(_unquoted(header.fields[word + end])) for end in (b" from", b" to"))
        if named is None:
            named = (old, new) if _spells(rest, old, new) else None
    elif named is not None:
        old, new = named
    elif files is not None:
        old, new = _names_of_file_lines(reader, header, files)
        named = (old, new) if _spells(rest, old, new) else None
    else:
        raise reader.malformed("the names in 'diff --git' cannot be told apart", line=header.line, hint=_NO_PREFIX)
    if named != (old, new) or (old != new and header.kind not in ("rename", "copy")):
        raise reader.malformed("the names in the header do not agree", line=header.line, hint=_NO_PREFIX)
    if files is not None:
        _check_file_lines(reader, header, (old, new), files)
    header.old_path, header.path = check_path(old), check_path(new)


def _spells(rest: bytes, old: str, new: str) -> bool:
    """Tell whether ``rest`` is what ``diff --git`` says, unquoted, about ``old`` and ``new``."""
    before, after = old.encode("utf-8", "surrogateescape"), new.encode("utf-8", "surrogateescape")
    return any(rest == b"%s%s %s%s" % (a, before, b, after) for a, b in _PREFIX_PAIRS)


def _names_of_file_lines(
    reader: PatchReader,
    header: Header,
    files: FileLines,
) -> tuple[str, str]:
    given = files[1][0] or files[0][0]
    if given is None or len(given) < 3:
        raise reader.malformed("the header names no file", line=header.line)
    return _text(given[2:]), _text(given[2:])


def _check_file_lines(
    reader: PatchReader,
    header: Header,
    names: tuple[str, str],
    files: FileLines,
) -> None:
    for name, (given, _), absent in zip(names, files, (header.kind == "create", header.kind == "delete"), strict=True):
        if (given is None) != absent or (given is not None and (given[1:2] != b"/" or _text(given[2:]) != name)):
            raise reader.malformed(
                "the '---' and '+++' lines do not agree with the rest of the header", line=header.line
            )


def _settle_modes(reader: PatchReader, header: Header) -> None:
    fields, where = header.fields, f"the patch at line {header.line}: {printable(header.path)}"

    def mode(*names: bytes) -> Mode | None:
        for name in names:
            if name in fields:
                return mode_from_git(fields[name].decode("ascii", "replace"), where=where)
        return None

    if (b"old mode" in fields) != (b"new mode" in fields):
        raise reader.malformed("'old mode' and 'new mode' come together", line=header.line)
    if b"old mode" in fields and header.kind in ("create", "delete"):
        raise reader.malformed("a file that comes or goes has no change of mode", line=header.line)
    header.old_mode, header.new_mode = mode(b"old mode", b"deleted file mode"), mode(b"new mode", b"new file mode")
    if b"index" in fields:
        found = _INDEX.fullmatch(fields[b"index"])
        if found is None:
            raise reader.malformed("a malformed 'index' line", line=header.line)
        header.old_id, header.new_id = found[1].decode(), found[2].decode()
        if found[3] is not None:
            stated = mode_from_git(found[3].decode(), where=where)
            if header.kind != "create":
                header.old_mode = header.old_mode or stated


def read_plain_header(reader: PatchReader) -> Header:
    """Read a ``---``/``+++`` pair that has no ``diff --git`` line before it.

    A side is absent when it is ``/dev/null`` or dated to the epoch, as GNU diff -N writes it.

    Raises:
        InputError: ``PATCH_MALFORMED``.
        PathError: for a name that is unsafe under any policy.
    """
    header = Header(reader.number)
    (old, old_epoch), (new, new_epoch) = _file_lines(reader)
    if old is None and new is None:
        raise reader.malformed("the header names no file", line=header.line)
    if old is not None and new is not None:
        pair = _stripped_pair(old, new) or (_text(old), _text(new))
        if pair[0] != pair[1]:
            raise reader.malformed("'---' and '+++' name two files", line=header.line, hint=_NO_PREFIX)
        name = pair[0]
    else:
        given, own, other = (new or b"", b"b/", b"a/") if old is None else (old, b"a/", b"b/")
        if given.startswith(other):  # a directory, or the wrong prefix: git takes it away
            raise reader.malformed(f"the only name begins with {_text(other)!r}", line=header.line, hint=_NO_PREFIX)
        name = _text(given.removeprefix(own))
    if old is None or (old_epoch and not new_epoch and (reader.line or b"").startswith(b"@@ -0,0 ")):
        header.kind = "create"
    elif new is None or (new_epoch and not old_epoch and b" +0,0 @@" in (reader.line or b"")):
        header.kind = "delete"
    header.path = header.old_path = check_path(name)
    return header


def full_ids(reader: PatchReader, header: Header) -> tuple[str, str]:
    """Return the object ids that a binary patch must state in full.

    Raises:
        InputError: ``PATCH_MALFORMED``.
    """
    if len(header.old_id) not in (40, 64) or len(header.old_id) != len(header.new_id):
        raise reader.malformed(
            "a binary patch needs an 'index' line with full object ids",
            line=header.line,
            hint="Make the patch with `git diff --binary`.",
        )
    return header.old_id, header.new_id


def binary_without_data(reader: PatchReader, header: Header) -> InputError:
    """Return the error for ``Binary files … differ``."""
    return InputError(
        "PATCH_BINARY_MISSING",
        f"the patch at line {reader.number} says that {printable(header.path)} is binary and does not carry its bytes",
        "Make the patch with `git diff --binary`.",
        details={"line": reader.number, "path": printable(header.path)},
    )
