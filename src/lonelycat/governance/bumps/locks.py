"""Lock files as tools write them in text: uv, Poetry, PDM, Cargo, pip with hashes, Yarn, Go.

A lock is a list of entries, each for one package. Invariants:
- An entry may change only by its version rising; neither a name comes nor one goes.
- A hash changes with the version of its own entry and not without: bytes that are swapped behind a version that
  stays are what a lock is there to find.
- What an entry says beside that (source, host, path, dependencies) is what the same entry said before. What another
  entry says does not count: a package that moves to its neighbour's registry is another package.
- An entry from a git repository is no version bump: a commit may come from anybody's fork.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lonelycat.governance.bumps.versions import Version, is_raised, parse_version, versions_in, without_versions

HASH = r"(?:[0-9a-f]{32,128}\b|(?:sha(?:1|256|384|512)-|h1:)[A-Za-z0-9+/]{20,}={0,2})"
_HASH = re.compile(rf"(?<![A-Za-z0-9])(?:[0-9a-f]{{2}}/[0-9a-f]{{2}}/)?{HASH}")
_DIGITS = re.compile(r"[0-9]+")
_GIT = re.compile(r"git[+@:]|\bgit\s*=|\.git\b|\b(?:rev|ref|branch|tag)\s*=|codeload|/(?:archive|tarball)/")
_AUTHORITY = re.compile(r"\b\w+://[^/\s\"']*")
_ADDRESS = re.compile(r"\b\w+://[^\s\"']*")
_COMMENT = re.compile(r"^\s*#.*$")


class Entry(NamedTuple):
    """One package of a lock file: its name, its version ("" for none or several), and the lines about it."""

    name: str
    version: str
    lines: tuple[str, ...]

    @property
    def parsed(self) -> Version | None:
        """The version to compare; None when there is none."""
        return parse_version(self.version)


def only_raises(split: Callable[[str], list[Entry]], before: str, after: str) -> bool:
    """Tell whether ``after`` is ``before`` with versions of some entries raised and nothing else.

    When a package is needed (uv's markers), comments in lists for pip and the revision of uv's format do not count.

    Args:
        split: reads the entries of this kind of lock, one of :data:`READERS`.
    """
    old, new = _by_name(split(before)), _by_name(split(after))
    if old.keys() != new.keys():
        return False
    changed = [name for name in old if old[name] != new[name]]
    return before != after and all(
        len(old[name]) == len(new[name])
        and all(low == high or _entry_raised(low, high) for low, high in zip(old[name], new[name], strict=True))
        for name in changed
    )


def has_hashes(before: str, after: str) -> bool:
    """Tell whether a file is a lock with hashes, before or after; without any it is a list like others."""
    return _HASH.search(before) is not None or _HASH.search(after) is not None


def go_sum_only_raises(before: str, after: str) -> bool:
    """Tell whether ``after`` is ``before`` with checksums of higher versions of the same modules, and no other."""
    old, new = set(before.splitlines()), set(after.splitlines())
    known: defaultdict[tuple[str, str], list[Version]] = defaultdict(list)
    for line in old:
        module, version = _go_line(line)
        if version is not None:
            known[module].append(version)
    added = [_go_line(line) for line in new - old]
    return bool(added) and all(
        version is not None
        and module in known
        and version not in known[module]
        and is_raised(min(known[module]), version)
        for module, version in added
    )


def _go_line(line: str) -> tuple[tuple[str, str], Version | None]:
    match = _GO_LINE.fullmatch(line)
    if match is None:
        return (line, ""), None
    return (match["module"], match["kind"]), parse_version(match["version"])


_GO_LINE = re.compile(
    r"(?P<module>\S+) v(?P<version>[^/\s]+?)(?:\+incompatible)?(?P<kind>(?:/go\.mod)?) h1:[A-Za-z0-9+/]{43}="
)


def _by_name(entries: list[Entry]) -> dict[str, list[Entry]]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.name].append(entry)
    return found


def _entry_raised(old: Entry, new: Entry) -> bool:
    before, after = old.parsed, new.parsed
    if before is None or after is None or not is_raised(before, after):
        return False
    if any(_GIT.search(line) for line in (*old.lines, *new.lines)):
        return False
    return _hashes_follow(old, new) and _rest_stands(old, new)


def _hashes_follow(old: Entry, new: Entry) -> bool:
    """Tell whether the new entry has hashes if the old one had, each for a file where a file of the old one was."""
    before = [line for line in old.lines if _HASH.search(line)]
    after = [line for line in new.lines if _HASH.search(line)]
    known = {_masked(line) for line in before}
    return bool(before) == bool(after) and all(
        _masked(line) in known and ("://" not in line or new.version in line) for line in after
    )


def _rest_stands(old: Entry, new: Entry) -> bool:
    """Tell whether all lines without a hash are as they were, with no version lower."""
    before = [line for line in old.lines if not _HASH.search(line)]
    after = [line for line in new.lines if not _HASH.search(line)]
    return [_masked(line) for line in before] == [_masked(line) for line in after] and all(
        low <= high
        for one, other in zip(before, after, strict=True)
        for low, high in zip(versions_in(_ADDRESS.sub("\2", one)), versions_in(_ADDRESS.sub("\2", other)), strict=True)
    )


def _masked(line: str) -> str:
    """Return ``line`` without versions, addresses apart; where it holds a hash, without any number but a host's."""
    if _HASH.search(line):
        return "\n".join((_DIGITS.sub("\0", without_versions(_HASH.sub("\1", line))), *_AUTHORITY.findall(line)))
    return "\n".join((without_versions(_ADDRESS.sub("\2", line)), *_ADDRESS.findall(line)))


def _toml_entries(text: str) -> list[Entry]:
    """Return the tables of a lock in TOML, each ``[[package]]`` with what belongs to it."""
    entries: list[Entry] = []
    lines: list[str] = []
    name = ""
    for line in text.split("\n"):
        header = _TABLE.match(line)
        if header and (header["package"] or not header["sub"]):
            entries.append(_toml_entry(name, lines))
            name, lines = header["whole"], []
        lines.append(_EDGE.sub(r"\1\2", line) if name else _REVISION.sub("", line))
    return [*entries, _toml_entry(name, lines)]


_TABLE = re.compile(r"(?P<whole>\[(?P<package>\[packages?\])\]|\[\[?(?P<sub>packages?\.)?[^\]]*\]\]?)")
_EDGE = re.compile(r'(    \{ name = "[A-Za-z0-9_.-]+"(?:, [a-z]+ = (?:"[^"]*"|\{[^{}]*\}))*), marker = "[^"]*"( \},)')
"""uv's line on what a package needs, up to the marker that says when: it names a package of the lock in any case."""
_REVISION = re.compile(r"revision = [0-9]+")
_NAME = re.compile(r'name = "([A-Za-z0-9_.@/-]+)"')
_VERSION = re.compile(r'version = "([^"]*)"')


def _toml_entry(header: str, lines: list[str]) -> Entry:
    name, version = header, ""
    if header.startswith("[[package"):
        names = [match[1] for line in lines if (match := _NAME.fullmatch(line))]
        versions = [match[1] for line in lines if (match := _VERSION.fullmatch(line))]
        name = f"{header} {names[0]}" if len(names) == 1 else "\0".join((header, *lines))
        version = versions[0] if len(versions) == 1 else ""
    return Entry(name, version, tuple(line for line in lines if line))


def _requirement_entries(text: str) -> list[Entry]:
    """Return the requirements of a file for pip: each begins at the margin, and hashes stand indented below it."""
    return [
        Entry(without_versions(lines[0].partition("--hash")[0]).rstrip(" \\"), _pinned(lines[0]), tuple(lines))
        for lines in _indented([line for line in text.split("\n") if not _COMMENT.match(line)])
    ]


def _yarn_entries(text: str) -> list[Entry]:
    """Return the blocks of Yarn's lock, named by the ranges that led to them."""
    return [
        Entry(
            without_versions(lines[0]),
            next((match[1] for line in lines if (match := _YARN_VERSION.fullmatch(line))), ""),
            tuple(lines),
        )
        for lines in _indented(text.split("\n"))
    ]


_YARN_VERSION = re.compile(r'  version:? "?([^"]+)"?')


def _indented(lines: list[str]) -> Iterator[list[str]]:
    """Yield groups of lines: one at the margin with the indented ones below it; empty lines are left out."""
    group: list[str] = []
    for line in filter(str.strip, lines):
        if group and not line[0].isspace():
            yield group
            group = []
        group.append(line)
    if group:
        yield group


_PINNED = re.compile(r"[A-Za-z0-9_.-]+(?:\[[A-Za-z0-9_.,-]*\])?==([^\s;\\]+)")


def _pinned(line: str) -> str:
    match = _PINNED.match(line)
    return match[1] if match else ""


READERS: tuple[tuple[re.Pattern[str], Callable[[str], list[Entry]]], ...] = (
    (re.compile(r"(?:.*/)?(?:(?:uv|poetry|pdm|Cargo)\.lock|pylock[^/]*\.toml)"), _toml_entries),
    (re.compile(r"(?:.*/)?(?:[^/]*requirements[^/]*\.txt|requirements/[^/]+\.txt)"), _requirement_entries),
    (re.compile(r"(?:.*/)?yarn\.lock"), _yarn_entries),
)
"""Which files are locks, and how each is read."""
