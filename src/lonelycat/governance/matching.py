"""Globs over workspace-relative paths, compiled once, matched in linear time.

The grammar is that of ``globs.py``.

Invariants:
- Matching time is bounded by (length of path) times (length of pattern) whatever the pattern: every star but a
  component's last is atomic, so nothing backtracks over it.
- A *folding* matcher (for what is forbidden) matches the path as written and as a file system that ignores case and
  normal forms would take it; a negation is compared as written only, so folding can only forbid more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from lonelycat.changes.paths import fold
from lonelycat.errors import PolicyError
from lonelycat.governance.globs import ANY_DEPTH, check_glob, expand_braces, fold_glob, normalise, translate
from lonelycat.patterns import late_pattern

_SUMMARISED_FROM = 4
"""From how many paths on it is worth looking at what they have between them."""
_NOTHING = r"(?!)"
_folded = lru_cache(maxsize=16_384)(fold)
_META = late_pattern(r"[*?\[]")
_PIECES = late_pattern(r"[*?]|\[[^/]*")


class Matcher:
    """A list of globs, compiled. Build one with :func:`compile_globs`."""

    __slots__ = ("_folds", "_groups", "globs")

    def __init__(self, globs: tuple[str, ...], *, folds: bool = False) -> None:
        self.globs = globs
        self._folds = folds
        self._groups: list[tuple[bool, _Group]] = []
        pending: list[str] = []
        negated = False
        for glob in globs:
            is_negation = glob.startswith("!")
            if pending and is_negation is not negated:
                self._groups.append((negated, _Group(pending, folds=folds and not negated)))
                pending = []
            negated = is_negation
            pending.append(glob[1:] if is_negation else glob)
        if pending:
            self._groups.append((negated, _Group(pending, folds=folds and not negated)))
        self._groups.reverse()

    def matches(self, path: str) -> bool:
        """Tell whether the list as a whole matches ``path`` (workspace-relative, POSIX)."""
        for negated, group in self._groups:
            if group.matches(path):
                return not negated
            if self._folds and not negated and (folded := _folded(path)) != path and group.matches(folded):
                return True
        return False

    def first(self, path: str) -> str | None:
        """Return the glob that decides for ``path``, or None when the list does not match it; for messages."""
        if not self.matches(path):
            return None
        for glob in self.globs:
            if not glob.startswith("!") and compile_globs((glob,), folds=self._folds).matches(path):
                return glob
        return None

    def select(self, paths: Iterable[str]) -> list[str]:
        """Return those of ``paths`` that match, in their order."""
        if len(self._groups) == 1 and not self._groups[0][0]:
            return self._groups[0][1].select(paths, folds=self._folds)
        everything = tuple(paths)
        undecided, found = everything, set[str]()
        for negated, group in self._groups:
            decided = set(group.select(undecided, folds=self._folds and not negated))
            found.update(decided if not negated else ())
            undecided = tuple(path for path in undecided if path not in decided) if decided else undecided
        return [path for path in everything if path in found]


class _Parts(NamedTuple):
    """What the tiers of a group look at, of one path."""

    base: str
    extension: str
    components: frozenset[str]


@lru_cache(maxsize=16_384)
def _parts(path: str) -> _Parts:
    directory, _, base = path.rpartition("/")
    return _Parts(base, intern(base[base.rfind(".") :]) if "." in base else "", _components(directory))


@lru_cache(maxsize=2048)
def _components(directory: str) -> frozenset[str]:
    """Return the names in ``directory``: one set for all paths below it."""
    return frozenset(directory.split("/")) if directory else frozenset()


class _Summary(NamedTuple):
    """What many paths have between them, each as written and folded: what is not in here is in none of them."""

    bases: frozenset[str]
    extensions: frozenset[str]
    components: frozenset[str]
    paths: frozenset[str]
    firsts: frozenset[str]
    together: str


@lru_cache(maxsize=64)
def _summary(paths: tuple[str, ...]) -> _Summary:
    every = frozenset(paths).union(map(_folded, paths))
    parts = [_parts(path) for path in every]
    return _Summary(
        bases=frozenset(each.base for each in parts),
        extensions=frozenset(each.extension for each in parts),
        components=frozenset().union(*(each.components for each in parts)),
        paths=every,
        firsts=frozenset(each.base[:1] for each in parts),
        together="\n" + "\n".join(every),
    )


def forget_matches() -> None:
    """Let go of what is known of paths, but not of the compiled globs."""
    for known in (_folded, _parts, _components, _summary):
        known.cache_clear()


class _Group:
    """Patterns of one sign, sorted by the cheapest way to decide them.

    A pattern that needs a regular expression is only tried when something that it cannot match without is there: a
    literal directory, the first character of a name, or the longest
    literal piece.
    """

    __slots__ = (
        "_extensions", "_keyed", "_keys", "_named", "_names", "_others", "_parents", "_paths", "_pieces",
        "_prefixes", "_suffixes", "everything",
    )  # fmt: skip

    def __init__(self, globs: list[str], *, folds: bool) -> None:
        self.everything = False
        names: set[str] = set()
        paths: set[str] = set()
        parents: set[str] = set()
        prefixes: list[str] = []
        suffixes: set[str] = set()
        complex_ones: list[tuple[str, bool]] = []
        for pattern in _normalised(globs, folds):
            rest = pattern.removeprefix("**/")
            floats = rest != pattern
            directory = rest[:-3] if rest.endswith("/**") else ""
            if pattern == "**":
                self.everything = True
            elif not _META.search(rest) and not floats:
                paths.add(rest)
            elif not _META.search(rest) and "/" not in rest:
                names.add(rest)
            elif floats and rest.startswith("*") and not _META.search(rest[1:]) and "/" not in rest:
                suffixes.add(rest[1:])
            elif directory and not _META.search(directory) and not floats:
                prefixes.append(directory + "/")
            elif directory and not _META.search(directory) and "/" not in directory:
                parents.add(directory)
            else:
                complex_ones.append((rest, floats))
        self._names, self._paths, self._parents = frozenset(names), frozenset(paths), frozenset(parents)
        self._prefixes = tuple(prefixes)
        self._extensions = frozenset(each for each in suffixes if each.rfind(".") == 0)
        self._suffixes = tuple(sorted(suffixes - self._extensions))
        self._index(complex_ones)

    def _index(self, patterns: list[tuple[str, bool]]) -> None:
        keyed: list[tuple[str, bool]] = []
        named: list[tuple[str, bool]] = []
        others: list[tuple[str, bool]] = []
        keys: set[str] = set()
        firsts: set[str] = set()
        for rest, floats in patterns:
            literal = next((each for each in rest.split("/")[:-1] if not _META.search(each)), None)
            if literal is not None:
                keys.add(literal)
                keyed.append((rest, floats))
            elif floats and "/" not in rest and rest[0] not in "*?[":
                firsts.add(rest[0])
                named.append((rest, floats))
            else:
                others.append((rest, floats))
        self._pieces = tuple({max(_PIECES.split(rest), key=len) for rest, _ in others})
        self._keys, self._keyed, self._others = frozenset(keys), _combined(keyed), _combined(others)
        self._named = {first: _combined([each for each in named if each[0][0] == first]) for first in firsts}

    def matches(self, path: str) -> bool:
        return bool(self.select((path,), folds=False))

    def select(self, paths: Iterable[str], *, folds: bool) -> list[str]:
        """Return those of ``paths`` that match; the one loop that all matching goes through, kept tight."""
        if self.everything:
            return list(paths)
        if isinstance(paths, tuple) and len(paths) > _SUMMARISED_FROM and self._misses(_summary(paths)):
            return []
        names, extensions, whole, prefixes = self._names, self._extensions, self._paths, self._prefixes
        parents, suffixes, named, keys, pieces = self._parents, self._suffixes, self._named, self._keys, self._pieces
        found: list[str] = []
        for path in paths:
            base, extension, components = _parts(path)
            if (
                base in names
                or extension in extensions
                or path in whole
                or (prefixes and path.startswith(prefixes))
                or (parents and not components.isdisjoint(parents))
                or (suffixes and base.endswith(suffixes))
                or (base[:1] in named and _compiled_pattern(named[base[:1]]).fullmatch(path))
                or (keys and not components.isdisjoint(keys) and _compiled_pattern(self._keyed).fullmatch(path))
                or (pieces and any(map(path.__contains__, pieces)) and _compiled_pattern(self._others).fullmatch(path))
                or (folds and (folded := _folded(path)) != path and self.select((folded,), folds=False))
            ):
                found.append(path)
        return found

    def _misses(self, all_of_them: _Summary) -> bool:
        """Tell whether no path of a summary can match, in about the time that one path takes."""
        together = all_of_them.together
        return (
            self._names.isdisjoint(all_of_them.bases)
            and self._extensions.isdisjoint(all_of_them.extensions)
            and self._parents.isdisjoint(all_of_them.components)
            and self._keys.isdisjoint(all_of_them.components)
            and self._named.keys().isdisjoint(all_of_them.firsts)
            and self._paths.isdisjoint(all_of_them.paths)
            and not any("\n" + prefix in together for prefix in self._prefixes)
            and not any(piece in together for piece in self._pieces)
            and not (self._suffixes and any(base.endswith(self._suffixes) for base in all_of_them.bases))
        )


def _normalised(globs: list[str], folds: bool) -> Iterator[str]:
    for glob in globs:
        for written in expand_braces(glob):
            for form in {written, fold_glob(written)} if folds else {written}:
                yield normalise(form)


def _combined(patterns: list[tuple[str, bool]]) -> str:
    if not patterns:
        return _NOTHING
    branches = [translate(rest) for rest, floats in patterns if not floats]
    floating = [translate(rest) for rest, floats in patterns if floats]
    if floating:
        branches.append(ANY_DEPTH + "(?:" + "|".join(floating) + ")")
    return "|".join(branches)


@lru_cache(maxsize=4096)
def _compiled_pattern(source: str) -> re.Pattern[str]:
    """Compile at first use: most lists are decided by names, and compiling is most of what a policy costs to load."""
    return re.compile(source, re.DOTALL)


@lru_cache(maxsize=2048)
def _compiled(globs: tuple[str, ...], folds: bool) -> Matcher:
    try:
        return Matcher(globs, folds=folds)
    except PolicyError:
        for glob in globs:  # of several mistakes the first that is written is told, not the first that was met
            check_glob(glob)
        raise


def compile_globs(globs: Iterable[str], *, folds: bool = False) -> Matcher:
    """Return the matcher of ``globs``; compiled once per distinct list.

    Args:
        globs: patterns in the grammar of ``globs.py``; an empty list matches nothing.
        folds: also match names that some file system takes for a matching one; for what is forbidden.

    Raises:
        PolicyError: ``POLICY_BAD_GLOB`` for a pattern outside the grammar.
    """
    return _compiled(tuple(globs), folds)
