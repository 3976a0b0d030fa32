"""Globs over workspace-relative paths, compiled once, matched in linear time.

Grammar, a subset of gitignore's so that a reader can guess it:

- ``*`` any run of characters but ``/``; ``?`` one of them; ``[a-z]``, ``[!a-z]`` one of a class; ``{a,b}`` either;
  ``**`` as a whole component any number of components.
- A pattern **without** ``/`` is compared with the file's own name, at any depth: ``*.pem``, ``.env``.
- A pattern with ``/`` is anchored at the root: ``src/**``, ``/Makefile``. ``**/name`` is not anchored.
- A trailing ``/`` means everything below a directory: ``node_modules/`` at any depth, ``docs/build/`` at the root.
- ``!pattern`` takes back what an earlier pattern of the list matched; the last pattern that matches decides.

Invariants:
- Matching time is bounded by (length of path) times (length of pattern) whatever the pattern: every star but a
  component's last is atomic, so nothing backtracks over it.
- A *folding* matcher (for what is forbidden) matches the path as written and as a file system that ignores case and
  normal forms would take it; a negation is compared as written only, so folding can only forbid more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from lonelycat.changes.paths import fold
from lonelycat.errors import PolicyError

MAX_ALTERNATIVES = 64
"""How many plain patterns one pattern's braces may expand to."""

_META = re.compile(r"[*?\[]")
_ANY_DEPTH = r"(?:[^/]++/)*"


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
        folded = fold(path) if self._folds else path
        for negated, group in self._groups:
            if group.matches(path) or (folded != path and not negated and group.matches(folded)):
                return not negated
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
        return [path for path in paths if self.matches(path)]


class _Group:
    """Patterns of one sign, sorted by the cheapest way to decide them."""

    __slots__ = ("_everything", "_names", "_parents", "_paths", "_prefixes", "_regex", "_suffixes")

    def __init__(self, globs: list[str], *, folds: bool) -> None:
        self._everything = False
        names: set[str] = set()
        paths: set[str] = set()
        parents: set[str] = set()
        prefixes: list[str] = []
        suffixes: list[str] = []
        anchored: list[str] = []
        floating: list[str] = []
        for glob in globs:
            for written in expand_braces(glob):
                for form in {written, _fold_glob(written)} if folds else {written}:
                    pattern = normalise(form)
                    rest = pattern.removeprefix("**/")
                    is_floating = rest != pattern
                    if pattern == "**":
                        self._everything = True
                    elif not _META.search(rest):
                        (names if is_floating and "/" not in rest else paths).add(rest)
                        if is_floating and "/" in rest:
                            floating.append(rest)
                    elif is_floating and rest.startswith("*") and not _META.search(rest[1:]) and "/" not in rest:
                        suffixes.append(rest[1:])
                    elif rest.endswith("/**") and not _META.search(rest[:-3]):
                        directory = rest[:-3]
                        if not is_floating:
                            prefixes.append(directory + "/")
                        elif "/" not in directory:
                            parents.add(directory)
                        else:
                            floating.append(rest)
                    else:
                        (floating if is_floating else anchored).append(rest)
        self._names, self._paths, self._parents = frozenset(names), frozenset(paths), frozenset(parents)
        self._prefixes, self._suffixes = tuple(prefixes), tuple(suffixes)
        self._regex = _combined(anchored, floating)

    def matches(self, path: str) -> bool:
        if self._everything or path in self._paths or path.startswith(self._prefixes):
            return True
        cut = path.rfind("/")
        if path[cut + 1 :] in self._names or path.endswith(self._suffixes):
            return True
        if cut != -1 and self._parents and not self._parents.isdisjoint(path[:cut].split("/")):
            return True
        return self._regex is not None and self._regex.fullmatch(path) is not None


def _combined(anchored: list[str], floating: list[str]) -> re.Pattern[str] | None:
    if not anchored and not floating:
        return None
    branches = [_translate(pattern) for pattern in anchored]
    if floating:
        branches.append(_ANY_DEPTH + "(?:" + "|".join(_translate(pattern) for pattern in floating) + ")")
    return re.compile("|".join(branches), re.DOTALL)


@lru_cache(maxsize=2048)
def _compiled(globs: tuple[str, ...], folds: bool) -> Matcher:
    return Matcher(globs, folds=folds)


def compile_globs(globs: Iterable[str], *, folds: bool = False) -> Matcher:
    """Return the matcher of ``globs``; compiled once per distinct list.

    Args:
        globs: patterns in the grammar of this module; an empty list matches nothing.
        folds: also match names that some file system takes for a matching one; for what is forbidden.

    Raises:
        PolicyError: ``POLICY_BAD_GLOB`` for a pattern outside the grammar.
    """
    return _compiled(tuple(globs), folds)


def normalise(pattern: str) -> str:
    """Return the anchored form of a brace-free pattern, in which a floating one starts with ``**/``.

    Raises:
        PolicyError: ``POLICY_BAD_GLOB``.
    """
    floats = "/" not in pattern.removesuffix("/") and pattern != "**"
    body = pattern.removeprefix("/")
    if body.endswith("/"):
        body += "**"
    components = body.split("/")
    for component in components:
        if component in ("", ".", ".."):
            raise bad_glob(pattern, f"has the component {component!r}")
        if "**" in component and component != "**":
            raise bad_glob(pattern, "has '**' within a component")
    result: list[str] = ["**"] if floats else []
    for component in components:
        if component != "**" or not result or result[-1] != "**":
            result.append(component)
    return "/".join(result)


def bad_glob(glob: str, why: str) -> PolicyError:
    """Return the error for a pattern outside the grammar."""
    return PolicyError(
        "POLICY_BAD_GLOB",
        f"glob {glob[:200]!a} {why}",
        "Globs know *, ?, [abc], {a,b}, ** as a whole component, a trailing / and a leading !; see the reference.",
    )


def expand_braces(glob: str) -> list[str]:
    """Return the brace-free patterns that ``glob`` stands for, at most :data:`MAX_ALTERNATIVES`.

    Raises:
        PolicyError: ``POLICY_BAD_GLOB`` for characters no path can have, unbalanced braces or too many alternatives.
    """
    if not glob.isprintable() or "\\" in glob or "!" in glob[:1] or not glob:
        raise bad_glob(glob, "is empty, or has a control character, a backslash or a second '!'")
    done: list[str] = []
    waiting = [glob]
    while waiting:
        pattern = waiting.pop()
        close = pattern.find("}")
        opening = pattern.rfind("{", 0, close) if close != -1 else pattern.find("{")
        if close == -1 and opening == -1:
            done.append(pattern)
        elif close == -1 or opening == -1:
            raise bad_glob(glob, "has an unbalanced brace")
        else:
            head, tail = pattern[:opening], pattern[close + 1 :]
            waiting.extend(head + option + tail for option in reversed(pattern[opening + 1 : close].split(",")))
        if len(done) + len(waiting) > MAX_ALTERNATIVES:
            raise bad_glob(glob, f"stands for over {MAX_ALTERNATIVES} patterns")
    return list(dict.fromkeys(done))


def _fold_glob(pattern: str) -> str:
    """Fold the literal text of a pattern and leave its operators alone."""
    if pattern.isascii():
        return pattern.lower()
    return "".join(part if index % 2 else fold(part) for index, part in enumerate(re.split(r"([*?\[\]!/-])", pattern)))


def _translate(pattern: str) -> str:
    """Return the regular expression of a normalised pattern, for ``fullmatch``.

    After each ``**`` the shortest way to the next fixed run of components is also the best one, so it is atomic; the
    last run is anchored at the end by the length of the pattern. The same holds for ``*`` within a component.
    """
    runs: list[list[str]] = [[]]
    for component in pattern.split("/"):
        if component == "**":
            runs.append([])
        else:
            runs[-1].append(_component(component))
    out = "/".join(runs[0])
    for index, run in enumerate(runs[1:], start=1):
        last = index == len(runs) - 1
        lead = "/" if index == 1 and runs[0] else ""
        if last and not run:
            out += lead + ".+"
        elif last:
            out += lead + _ANY_DEPTH + "/".join(run)
        else:
            out += lead + "(?>(?:[^/]++/)*?" + "/".join(run) + "/)"
    return out


def _component(component: str) -> str:
    """Return the regular expression of one component, which must match all of it."""
    parts: list[str] = [""]
    index = 0
    while index < len(component):
        char = component[index]
        index += 1
        if char == "*":
            parts.append("")
        elif char == "?":
            parts[-1] += "[^/]"
        elif char == "[":
            end = component.find("]", index + (2 if component[index : index + 1] in ("!", "^") else 1))
            if end == -1:
                raise bad_glob(component, "has an unclosed '['")
            parts[-1] += _class(component[index:end], component)
            index = end + 1
        else:
            parts[-1] += re.escape(char)
    if len(parts) == 1:
        return parts[0]
    middle = "".join(f"(?>[^/]*?{part})" for part in parts[1:-1] if part)
    return parts[0] + middle + "[^/]*" + parts[-1] + "(?![^/])"


def _class(body: str, glob: str) -> str:
    negated = body[0] in "!^"
    members = body[1:] if negated else body
    escaped = "".join(char if char == "-" else re.escape(char) for char in members)
    expression = f"[^/{escaped}]" if negated else f"(?!/)[{escaped}]"
    try:
        re.compile(expression)
    except re.error as error:
        raise bad_glob(glob, f"has a bad character class: {error}") from error
    return expression
