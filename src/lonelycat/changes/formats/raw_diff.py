"""The output of ``git diff-tree -r -z --raw -M --no-abbrev`` as data.

Invariant: what is not understood is refused; submodules are refused by name.

Format: git-diff(1), "Raw output format".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lonelycat.changes.changeset import Mode
from lonelycat.changes.formats.base import mode_from_git
from lonelycat.changes.paths import check_path, printable
from lonelycat.errors import InputError

_META = re.compile(rb":([0-7]{6}) ([0-7]{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) ([A-Z])([0-9]*)")
_ABSENT = b"000000"


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One changed file.

    Attributes:
        old_path: for a rename, its source; None otherwise.
        old_mode, new_mode: None on the side where the file does not exist.
        old_id, new_id: object ids of the contents, all zeroes where the file does not exist.
    """

    path: str
    old_path: str | None
    old_mode: Mode | None
    new_mode: Mode | None
    old_id: str
    new_id: str


def parse_raw_diff(data: bytes) -> tuple[RawEntry, ...]:
    """Parse NUL-separated raw diff records.

    Raises:
        InputError: ``SUBMODULE_UNSUPPORTED``, ``MODE_UNSUPPORTED`` or ``GIT_OUTPUT``.
        PathError: a name that is unsafe under any policy.
    """
    fields = data.split(b"\0")
    if fields.pop() != b"":
        raise _unreadable("it does not end with NUL")
    entries: list[RawEntry] = []
    position = 0
    while position < len(fields):
        found = _META.fullmatch(fields[position])
        status = found[5] if found else b""
        names = fields[position + 1 : position + (3 if status in (b"R", b"C") else 2)]
        if found is None or status not in (b"A", b"C", b"D", b"M", b"R", b"T") or not all(names) or not names:
            raise _unreadable(f"record {fields[position][:120]!r}")
        entries.append(_entry(found, status, names))
        position += 1 + len(names)
    return tuple(entries)


def _entry(found: re.Match[bytes], status: bytes, names: list[bytes]) -> RawEntry:
    if len(names) != (2 if status in (b"R", b"C") else 1):
        raise _unreadable("a rename without its second name")
    paths = [name.decode("utf-8", "surrogateescape") for name in names]
    copied = status == b"C"
    return RawEntry(
        path=check_path(paths[-1]),
        old_path=check_path(paths[0]) if status == b"R" else None,
        old_mode=None if copied else _mode(found[1], paths[0]),
        new_mode=_mode(found[2], paths[-1]),
        old_id=found[3].decode("ascii"),
        new_id=found[4].decode("ascii"),
    )


def _mode(raw: bytes, path: str) -> Mode | None:
    return None if raw == _ABSENT else mode_from_git(raw.decode("ascii"), where=printable(path))


def _unreadable(why: str) -> InputError:
    return InputError(
        "GIT_OUTPUT", f"git's list of changes cannot be read: {why}", "Check `git --version`: 2.30 or later is needed."
    )
