"""Policy globs: bounded time whatever the pattern, and the answer of a matcher that is too plain to be wrong.

The first line of an input says ``f`` for a folding matcher; the next are patterns; the last is the path.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from tests.fuzz.guard import guarded

from lonelycat.changes.paths import fold
from lonelycat.errors import PolicyError
from lonelycat.governance.globs import expand_braces, fold_glob, normalise
from lonelycat.governance.matching import compile_globs

WORDS = (
    b"**/", b"/**", b"*", b"?", b"[a-z]", b"[!a]", b"[^a]", b"[]a]", b"[a-", b"{a,b}", b"{", b"}", b",", b"!", b"/",
    b"a/", b".env",
    b"node_modules/", b"*a*a*a*b", b"**/a/**/b", b"\xc3\xa9", b"e\xcc\x81", b"\xe2\x84\xaa", b"\xef\xbc\xa1", b"A",
    b".", b"..", b"\n",
)  # fmt: skip
MOST = 600
"""Characters of an input that are compared; the reference takes the square of them."""


def seeds() -> Iterable[bytes]:
    """Return lists of patterns of each tier of the matcher, and those that make others backtrack."""
    for text in (
        "\n*.pem\nd/key.pem", "\n.env\n.env", "f\n.env\nsub/.ENV", "\nsrc/**\nsrc/a/b", "\n/Makefile\nMakefile",
        "\n**/migrations/**\na/migrations/b", "\nnode_modules/\na/node_modules/b/c", "\ndocs/build/\ndocs/build/x",
        "\n*.md\n!README.md\na/README.md", "\n{a,b}{c,d}/*\nbd/x", "\n[!a-c]?[x]\ndex", "\n**\na",
        "\n**/a/*/b\nz/a/q/b",
        "\n" + "*a" * 16 + "*b\n" + "a" * 200, "\n" + "**/a/" * 12 + "b\n" + "a/" * 60 + "c", "\na//b\na/b",
        "\n**/a/**/a/**/b\na/a/a/a/a/a/a/a/a/c",
        "f\nstra\u00dfe/*\nSTRASSE/x",
        "f\n\u00e9\ne\u0301", "\na/**/b\na/b", "\na/**\na", "\n**/*a*/**/*a*/**/z\naa/aa/aa/z", "\n[]]\n]",
        "\n[a-\n-",
    ):  # fmt: skip
        yield text.encode()


def check(data: bytes) -> None:
    """Match with our matcher and with the reference, in every way that our matcher is asked."""
    folds, globs, path = _read(data)
    if not path or not globs:
        return
    with guarded():
        try:
            matcher = compile_globs(globs, folds=folds)
            ours = matcher.matches(path)
        except PolicyError as error:
            assert error.code == "POLICY_BAD_GLOB" and error.hint
            return
        assert ours is (matcher.select([path]) == [path])
        assert ours is (path in matcher.select([path, "other/x", "y.z", "a/b/c", "q"]))
        assert (matcher.first(path) is not None) <= ours
    for written in (each for glob in globs for each in expand_braces(glob.removeprefix("!"))):
        inner = written.removeprefix("/").removesuffix("/").split("/")
        assert not {"", ".", ".."} & set(inner), f"{written!r} names no path, and was accepted"
    if len(data) <= MOST:
        theirs = reference(globs, path, folds=folds)
        assert ours is theirs, (
            f"{globs!r} {'folding ' if folds else ''}on {path!r}: {ours}, and by the grammar {theirs}"
        )


def _read(data: bytes) -> tuple[bool, tuple[str, ...], str]:
    lines = data.decode("utf-8", "replace").split("\n")
    path = "/".join(part for part in lines[-1].split("/") if part not in ("", ".", ".."))
    return lines[0] == "f", tuple(lines[1:-1][:8]), path


def reference(globs: tuple[str, ...], path: str, *, folds: bool) -> bool:
    """Return what the grammar says: the last pattern that matches decides."""
    matched = False
    for glob in globs:
        negated = glob.startswith("!")
        forms = {path} if negated or not folds else {path, fold(path)}
        patterns = [normalise(each) for each in expand_braces(glob.removeprefix("!"))]
        if folds and not negated:
            patterns += [normalise(fold_glob(each)) for each in expand_braces(glob)]
        if any(
            _path_matches(tuple(pattern.split("/")), tuple(form.split("/"))) for pattern in patterns for form in forms
        ):
            matched = not negated
    return matched


def _path_matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Match components; ``**`` is any number of them, at the end at least one. By a table, row by row."""
    row = [True] + [False] * len(path)
    for index, component in enumerate(pattern):
        if component == "**":
            last = index == len(pattern) - 1
            reached, new = False, []
            for position in range(len(path) + 1):
                new.append(reached if last else reached or row[position])
                reached = reached or row[position]
            row = new
        else:
            row = [False] + [row[at] and _component_matches(component, part) for at, part in enumerate(path)]
    return row[-1]


@lru_cache(maxsize=4096)
def _component_matches(component: str, name: str) -> bool:
    row = [True] + [False] * len(name)
    for kind, members in _tokens(component):
        if kind == "*":
            reached, new = False, []
            for value in row:
                reached = reached or value
                new.append(reached)
            row = new
        else:
            row = [False] + [row[at] and _is_member(kind, members, char) for at, char in enumerate(name)]
    return row[-1]


def _is_member(kind: str, members: str, char: str) -> bool:
    if kind == "?":
        return True
    if kind == "literal":
        return char == members
    found, index = False, 0
    while index < len(members):
        if index + 2 < len(members) and members[index + 1] == "-":
            found = found or members[index] <= char <= members[index + 2]
            index += 3
        else:
            found = found or char == members[index]
            index += 1
    return found is (kind == "in")


def _tokens(component: str) -> Iterable[tuple[str, str]]:
    index = 0
    while index < len(component):
        char = component[index]
        index += 1
        if char in "*?":
            yield char, ""
        elif char == "[":
            negated = component[index] in "!^"
            start = index + negated
            end = component.index("]", start + 1)
            yield ("not in" if negated else "in"), component[start:end]
            index = end + 1
        else:
            yield "literal", char
