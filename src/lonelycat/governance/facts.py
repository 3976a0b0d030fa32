"""What the rules know about a change set beyond its models: contents, sizes and line counts.

Invariants:
- Pure: contents come from a :class:`ContentReader` that the caller hands in.
- What could not be read is *unknown*, and each rule must treat unknown as worse than known; it is never "nothing".
- Nothing is computed that no rule asks for.
- Contents are let go: what is held of them at once is bounded, whatever the number of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

from lonelycat.changes.changeset import SYMLINK, BlobRef, FileChange, Operation, is_long
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.matching import Matcher


class ContentReader(Protocol):
    """Where contents come from that do not lie in the change set."""

    def old(self, change: FileChange) -> bytes | None:
        """Return the bytes before the change, or None when there are none, too many, or not those of ``old_hash``."""
        ...

    def new(self, change: FileChange) -> bytes | None:
        """Return the bytes after the change, or None when there are none or too many."""
        ...


CONTEXT_BYTES = 256
"""How much unchanged text around a change is looked at with it: enough for the header of a key."""


class _Comparison(NamedTuple):
    """What remains to be known of both sides of a change once they are let go.

    Attributes:
        old_known: whether the bytes before were at hand.
        least, most: bounds of the lines that a diff adds and removes together.
        start, end: the part of the new bytes that can hold anything new, with some context.
    """

    old_known: bool
    least: int
    most: int
    start: int
    end: int


class HeldContents:
    """Contents as they were read, for the next rule that asks.

    Bounded: of a change set of whatever length, the first ``TOTAL_BYTES`` and the last content of each side are held;
    the others are read again by the few rules that ask again. Of one that holds many times as much in all, those
    first ones would save hardly anything, and are not held.

    Args:
        few: whether the change set has so few files that most of their contents may be held.
    """

    TOTAL_BYTES = 4 << 20

    def __init__(self, *, few: bool = True) -> None:
        self._held: dict[tuple[int, str], bytes | None] = {}
        self._last: dict[str, tuple[int, bytes]] = {}
        self._left = self.TOTAL_BYTES if few else 0
        self._lines: tuple[int, frozenset[bytes]] = (0, frozenset())

    def get(self, owner: ChangeFacts, side: str, read: Callable[[], bytes | None]) -> bytes | None:
        """Return the content of one side of ``owner``, from ``read`` where it is not held."""
        key = (id(owner), side)
        last = self._last.get(side)
        if last is not None and last[0] == key[0]:
            return last[1]
        if key in self._held:
            return self._held[key]
        data = read()
        if data is None or len(data) <= self._left:
            self._held[key] = data
            self._left -= len(data or b"")
        else:
            self._last[side] = (key[0], data)
        return data

    def old_lines(self, owner: ChangeFacts) -> frozenset[bytes]:
        """Return the lines before the change; those of the last owner asked for are held."""
        if self._lines[0] != id(owner):
            self._lines = (id(owner), frozenset((owner.old or b"").split(b"\n")))
        return self._lines[1]


class ChangeFacts:
    """One change with its contents, as far as they can be had; they are opened when asked for and not kept here.

    Args:
        change: the change.
        reader: source of contents that the change does not carry, or None.
        max_bytes: content above this many bytes is not read and counts as unknown.
        held: what was read lately, shared by all changes of a set and living as long as they.
    """

    __slots__ = ("_comparison", "_held", "_least_patch_lines", "_max_bytes", "_patch_lines", "_reader", "change")

    def __init__(self, change: FileChange, reader: ContentReader | None, max_bytes: int, held: HeldContents) -> None:
        self.change = change
        self._reader = reader
        self._max_bytes = max_bytes
        self._held = held
        self._comparison: _Comparison | None = None
        self._patch_lines: int | None = None
        self._least_patch_lines: int | None = None

    @property
    def adds_bytes(self) -> bool:
        """Whether the result has bytes that the workspace did not have at the old path."""
        return self.change.new_hash is not None and self.change.new_hash != self.change.old_hash

    @property
    def new_size(self) -> int:
        """Bytes that come with the change; 0 when none do."""
        content = self.change.content
        return content.size if isinstance(content, BlobRef) else len(content or b"")

    @property
    def new(self) -> bytes | None:
        """The bytes after the change, or None when there are none or they are unknown."""
        content = self.change.content
        if isinstance(content, bytes):
            return content if len(content) <= self._max_bytes else None
        return self._held.get(self, "new", self._read_new)

    def _read_new(self) -> bytes | None:
        change = self.change
        if change.operation is Operation.DELETE or self._reader is None:
            return None
        if isinstance(change.content, BlobRef) and change.content.size > self._max_bytes:
            return None
        data = self._reader.old(change) if change.content is None else self._reader.new(change)
        return data if data is None or len(data) <= self._max_bytes else None

    @property
    def old(self) -> bytes | None:
        """The bytes before the change, or None when there are none or they are unknown."""
        return self._held.get(self, "old", self._read_old)

    def _read_old(self) -> bytes | None:
        if self.change.operation is Operation.CREATE or self._reader is None:
            return None
        data = self._reader.old(self.change)
        return data if data is None or len(data) <= self._max_bytes else None

    @property
    def old_known(self) -> bool:
        """Whether :attr:`old` says all there is to know."""
        return self.change.operation is Operation.CREATE or self._compared.old_known

    def adds_line(self, start: int, end: int) -> bool:
        """Tell whether any line of the new bytes that overlaps ``start:end`` was not there before."""
        data = self.new or b""
        first = data.rfind(b"\n", 0, start) + 1
        last = data.find(b"\n", end)
        lines = data[first : last if last != -1 else len(data)].split(b"\n")
        return any(line not in self.old_lines for line in lines)

    @property
    def old_lines(self) -> frozenset[bytes]:
        """The lines before the change, for telling what it adds; empty when unknown, so that all counts as added."""
        return self._held.old_lines(self)

    @property
    def added(self) -> tuple[int, bytes]:
        """The part of the new bytes that can hold anything new, with some context, and where it starts."""
        compared = self._compared
        return compared.start, (self.new or b"")[compared.start : compared.end]

    @property
    def line_bounds(self) -> tuple[int, int]:
        """Least and most lines that a diff of this change adds and removes together; equal when that is exact."""
        if self.change.new_hash == self.change.old_hash:
            return 0, 0
        return self._compared.least, self._compared.most

    @property
    def _compared(self) -> _Comparison:
        if self._comparison is None:
            whole = self.change.operation in (Operation.CREATE, Operation.DELETE)
            self._comparison = _compare(self.old, self.new, whole)
        return self._comparison

    @property
    def patch_lines(self) -> int:
        """Lines that a diff of this change adds and removes together; unknown contents count as none."""
        least, most = self.line_bounds
        if least == most:
            return most
        if self._patch_lines is None:
            from lonelycat.changes.diff import patch_line_counts

            self._patch_lines = sum(patch_line_counts(self.old or b"", self.new or b""))
        return self._patch_lines

    @property
    def least_patch_lines(self) -> int:
        """A lower bound of :attr:`patch_lines` in linear time: lines added and removed, moves not counted."""
        if self.line_bounds[0] == self.line_bounds[1]:
            return self.line_bounds[1]
        if self._least_patch_lines is None:
            before, after = Counter((self.old or b"").split(b"\n")), Counter((self.new or b"").split(b"\n"))
            self._least_patch_lines = sum((after - before).values()) + sum((before - after).values())
        return self._least_patch_lines


class Facts:
    """A change set with what is known about each of its changes, in order of path."""

    def __init__(
        self,
        changes: Sequence[FileChange],
        reader: ContentReader | None = None,
        *,
        max_scan_bytes: int = 8 << 20,
        known_pins: KnownPins | None = None,
    ) -> None:
        self.known_pins = known_pins or KnownPins()
        self.changes = tuple(sorted(changes, key=lambda change: change.path))
        held = HeldContents(few=not is_long(self.changes))
        self.members = tuple(ChangeFacts(change, reader, max_scan_bytes, held) for change in self.changes)
        self._selected: dict[tuple[Matcher, Matcher | None], tuple[str, ...]] = {}

    def select(self, matcher: Matcher, spared: Matcher | None = None) -> tuple[str, ...]:
        """Return the touched paths that ``matcher`` matches and ``spared`` does not, sorted; computed once each."""
        key = (matcher, spared)
        found = self._selected.get(key)
        if found is None:
            paths = matcher.select(self.touched_paths)
            if spared is not None and spared.globs and paths:
                paths = [path for path in paths if not spared.matches(path)]
            found = self._selected[key] = tuple(paths)
        return found

    @cached_property
    def touched_paths(self) -> tuple[str, ...]:
        """Every path that is written or goes away, sorted."""
        return tuple(sorted({path for change in self.changes for path in change.paths}))

    @cached_property
    def deleted_paths(self) -> tuple[str, ...]:
        """Every path whose bytes are lost: deleted files, and files emptied in place; sorted."""
        return tuple(change.path for change in self.changes if _loses_all(change))

    @cached_property
    def links(self) -> tuple[ChangeFacts, ...]:
        """The changes whose result is a symbolic link."""
        return tuple(member for member in self.members if member.change.new_mode == SYMLINK)

    def patch_lines_reach(self, threshold: int, members: Sequence[ChangeFacts] | None = None) -> bool:
        """Tell whether the diff of ``members`` (of all by default) has at least ``threshold`` lines.

        Exact counts are only made when cheap bounds do not decide.
        """
        chosen = self.members if members is None else members
        if sum(member.line_bounds[1] for member in chosen) < threshold:
            return False
        if sum(member.line_bounds[0] for member in chosen) >= threshold:
            return True
        if sum(member.least_patch_lines for member in chosen) >= threshold:
            return True
        return sum(member.patch_lines for member in chosen) >= threshold


_EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _loses_all(change: FileChange) -> bool:
    if change.operation is Operation.DELETE:
        return True
    return change.operation is Operation.UPDATE and change.new_hash == _EMPTY_HASH != change.old_hash


def _compare(old: bytes | None, new: bytes | None, whole: bool) -> _Comparison:
    """Compare both sides; ``whole`` says that all of one side counts, as for a file that comes or goes."""
    head, tail = _common_ends(old or b"", new or b"")
    data = new or b""
    if whole or old is None or new is None:
        least = most = _line_count(new) + _line_count(old)
    else:
        least, most = 0, old.count(b"\n", head, len(old) - tail) + new.count(b"\n", head, len(new) - tail) + 2
    if old is None:
        return _Comparison(False, least, most, 0, len(data))
    start = data.rfind(b"\n", 0, max(0, head - CONTEXT_BYTES)) + 1
    end = data.find(b"\n", min(len(data), len(data) - tail + CONTEXT_BYTES))
    return _Comparison(True, least, most, start, end if end != -1 else len(data))


def _common_ends(old: bytes, new: bytes) -> tuple[int, int]:
    """Return how many bytes at the start and, of the rest, at the end are the same, by bisection."""
    head, most = 0, min(len(old), len(new)) + 1
    while most - head > 1:  # up to head they are the same, up to most they are not
        middle = (head + most) // 2
        if old[head:middle] == new[head:middle]:
            head = middle
        else:
            most = middle
    tail, most = 0, min(len(old), len(new)) - head + 1
    while most - tail > 1:
        middle = (tail + most) // 2
        if old[len(old) - middle : len(old) - tail] == new[len(new) - middle : len(new) - tail]:
            tail = middle
        else:
            most = middle
    return head, tail


def _line_count(data: bytes | None) -> int:
    if not data:
        return 0
    return data.count(b"\n") + (not data.endswith(b"\n"))
