"""Whether a change does nothing but raise versions of what a file already names.

Most changes to dependency files are these, and holding each of them teaches people to say yes unread. What is then
held is what deserves a look: a new name, another source, a lower version, a leap, a command.

Invariants:
- Closed by default: bytes that are unknown, not UTF-8, too long or of another shape are no version bump.
- With versions taken out (in lock files also hashes and sizes), nothing is left that did not stand there before: no
  new name, source, host, key, option or command.
- A version only rises, and by few majors, so that no threshold is lowered and no name is taken over by a version out
  of all proportion (dependency confusion).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from lonelycat.patterns import late_pattern

MAX_BYTES = 2 << 20
"""A larger file is not looked at."""
MAX_MAJORS = 5
"""How far the first number of a version may rise at once."""

_LOCK = late_pattern(
    r"(?:.*/)?(?:[^/]*\.lock|package-lock\.json|npm-shrinkwrap\.json|pnpm-lock\.yaml|go\.(?:sum|work\.sum)"
    r"|[^/]*requirements[^/]*\.txt|requirements/[^/]+\.txt|pylock[^/]*\.toml)"
)
_VERSION = late_pattern(
    r"(?<![\w.])(?:(?P<marked>(?:[=<>~^!]=?\s?|v)(?=\d))|(?=\d+\.\d))"
    r"(?P<numbers>\d+(?:\.\d+){0,5})(?P<rest>(?:[-.+]?(?:a|b|rc|alpha|beta|dev|post|pre|next)[-.]?\d*)?)(?![\w.]*[A-Za-z])(?!\.\d)"
)
_HASH = late_pattern(
    r"\b(?:[0-9a-f]{2}/[0-9a-f]{2}/)?[0-9a-f]{32,128}\b|\b(?:sha(?:1|256|384|512)-|h1:)[A-Za-z0-9+/]{20,}={0,2}"
)
_DIGITS = late_pattern(r"\d+")
_NAMED_VERSION = late_pattern(r"""\n(?=\s*["']?version["']?\s*[:=])""")

Version = tuple[tuple[int, ...], bool]
"""The numbers, and whether it is a final release: ``1.0rc1`` comes before ``1.0``."""


def only_raises_versions(path: str, old: bytes | None, new: bytes | None) -> bool:
    """Tell whether ``new`` is ``old`` with versions raised and nothing else.

    Args:
        path: the file's name, which says whether it is a lock file.
        old, new: the whole file before and after; None when unknown, which is never a version bump.
    """
    if old is None or new is None or max(len(old), len(new)) > MAX_BYTES:
        return False
    try:
        before, after = old.decode("utf-8"), new.decode("utf-8")
    except UnicodeDecodeError:
        return False
    is_lock = _LOCK.fullmatch(path) is not None
    kept, fresh = Counter(_lines(before, is_lock)), Counter(_lines(after, is_lock))
    removed, added = kept - fresh, fresh - kept
    if not added:
        return False
    if _raises(list(removed.elements()), list(added.elements())):
        return True
    return is_lock and _stands_already(kept, removed, added)


def _lines(text: str, is_lock: bool) -> list[str]:
    """Return the lines; in lock files a version together with the name above it."""
    return (_NAMED_VERSION.sub(" ", text) if is_lock else text).split("\n")


def _raises(removed: Sequence[str], added: Sequence[str]) -> bool:
    """Tell whether each added line is a removed one with versions raised."""
    before, after = _by_skeleton(removed), _by_skeleton(added)
    if before.keys() != after.keys():
        return False
    return all(
        len(before[skeleton]) == len(after[skeleton])
        and all(_is_higher(low, high) for low, high in zip(before[skeleton], after[skeleton], strict=True))
        for skeleton in before
    )


def _stands_already(kept: Iterable[str], removed: Iterable[str], added: Iterable[str]) -> bool:
    """Tell whether a lock file's added lines differ from lines that it had only by raised versions and hashes."""
    known = {_masked(line) for line in kept}
    plain = [line for line in added if not _HASH.search(line)]
    before = _by_skeleton([line for line in removed if not _HASH.search(line)])
    if not all(_masked(line) in known for line in added):
        return False
    for skeleton, versions in _by_skeleton(plain).items():
        lowest = min(before[skeleton], default=None)
        if any(versions) and (lowest is None or not all(_is_higher(lowest, high) for high in versions)):
            return False
    return True


def _by_skeleton(lines: Iterable[str]) -> defaultdict[str, list[list[Version]]]:
    """Return the versions in ``lines``, line by line, by what is left of the line without them."""
    found: defaultdict[str, list[list[Version]]] = defaultdict(list)
    for line in lines:
        versions = [
            (tuple(int(number) for number in match["numbers"].split(".")), not match["rest"])
            for match in _VERSION.finditer(line)
        ]
        found[_VERSION.sub(lambda match: f"{match['marked'] or ''}\0", line)].append(versions)
    return found


def _masked(line: str) -> str:
    """Return a lock file's line without versions, and where it holds a hash without any number."""
    if _HASH.search(line):
        return _DIGITS.sub("\0", _VERSION.sub("\0", _HASH.sub("\1", line)))
    return _VERSION.sub("\0", line)


def _is_higher(old: Sequence[Version], new: Sequence[Version]) -> bool:
    """Tell whether a line's versions are none lower, not all the same, and not out of proportion."""
    return (
        len(old) == len(new) > 0
        and list(old) != list(new)
        and all(low <= high and high[0][0] - low[0][0] <= MAX_MAJORS for low, high in zip(old, new, strict=True))
    )
