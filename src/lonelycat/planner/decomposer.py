"""What kind of change this is, from its paths and operations, with the words of the intent as a hint.

Invariants:
- Paths decide before words do: an intent that says "docs" does not make a change to source a change to docs.
- Every answer names the paths or words that decided it; the same change gives the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from lonelycat.changes.changeset import ChangeSet, Operation
from lonelycat.changes.paths import printable
from lonelycat.patterns import late_pattern
from lonelycat.planner.path_kinds import PathKind, kind_of

_SHOWN = 3


class ChangeKind(StrEnum):
    """What a whole change is."""

    DOCUMENTATION = "documentation"
    TESTS = "tests"
    SOURCE = "source"
    DEPENDENCIES = "dependencies"
    CONFIGURATION = "configuration"
    CI = "ci"
    SCHEMA = "schema"
    DELETION = "deletion"
    REFACTOR = "refactor"
    MIXED = "mixed"
    OTHER = "other"


_WORDS: Mapping[ChangeKind, re.Pattern[str]] = {
    ChangeKind.REFACTOR: late_pattern(
        r"\b(?:refactor\w*|renam\w+|mov(?:e|es|ed|ing)|extract\w*|reorgani[sz]\w+)\b", re.I
    ),
    ChangeKind.DELETION: late_pattern(r"\b(?:remov\w+|delet\w+|drop(?:s|ped)?)\b", re.I),
    ChangeKind.SCHEMA: late_pattern(r"\b(?:migrat\w+|schema|columns?|tables?)\b", re.I),
    ChangeKind.DEPENDENCIES: late_pattern(
        r"\b(?:dependenc\w+|depends|bump\w*|upgrad\w+|pin(?:s|ned)?|lock ?file)\b", re.I
    ),
    ChangeKind.CI: late_pattern(r"\b(?:ci|workflows?|pipelines?|github actions)\b", re.I),
    ChangeKind.TESTS: late_pattern(r"\b(?:tests?|coverage|regression)\b", re.I),
    ChangeKind.DOCUMENTATION: late_pattern(r"\b(?:docs?|documentation|readme|changelog|typos?|docstrings?)\b", re.I),
    ChangeKind.CONFIGURATION: late_pattern(r"\b(?:config\w*|settings?)\b", re.I),
}
_ACCOMPANYING = frozenset({PathKind.TESTS, PathKind.DOCUMENTATION})


class Decomposition(NamedTuple):
    """What a change is made of.

    Attributes:
        kind: what it is as a whole.
        paths: the touched paths by kind, each list in the order of the change set.
        words: the words of the intent that point at a kind, first found first.
        because: sentences that say what decided, most important first.
    """

    kind: ChangeKind
    paths: Mapping[PathKind, tuple[str, ...]]
    words: tuple[str, ...]
    because: tuple[str, ...]


def decompose(intent: str, changeset: ChangeSet) -> Decomposition:
    """Say what kind of change ``changeset`` is; ``intent`` only decides what the paths leave open."""
    paths: dict[PathKind, list[str]] = {}
    for change in changeset.changes:
        for path in change.paths:
            paths.setdefault(kind_of(path)[0], []).append(path)
    said = {kind: found[0] for kind, pattern in _WORDS.items() if (found := pattern.search(intent))}
    kind, because = _whole(changeset, paths, said)
    lines = [because]
    lines += [_line(each, members) for each, members in paths.items()]
    if disagreement := _disagreement(kind, said):
        lines.append(disagreement)
    return Decomposition(
        kind, {each: tuple(members) for each, members in paths.items()}, tuple(said.values()), tuple(lines)
    )


def _whole(
    changeset: ChangeSet, paths: Mapping[PathKind, list[str]], said: Mapping[ChangeKind, str]
) -> tuple[ChangeKind, str]:
    operations = {change.operation for change in changeset.changes}
    if operations == {Operation.DELETE}:
        return ChangeKind.DELETION, "a deletion: every change deletes a file"
    if operations == {Operation.RENAME} and set(paths) <= {PathKind.SOURCE, *_ACCOMPANYING, PathKind.OTHER}:
        return ChangeKind.REFACTOR, "a refactoring: every change renames a file"
    leading = set(paths) - _ACCOMPANYING
    if len(leading) > 1:
        return ChangeKind.MIXED, f"mixed: it touches {', '.join(sorted(leading))} together"
    if not leading:
        if len(paths) > 1:
            return ChangeKind.MIXED, "mixed: it touches tests and documentation together"
        return ChangeKind(next(iter(paths))), f"{next(iter(paths))}: it touches nothing else"
    (only,) = leading
    if only is PathKind.SOURCE and ChangeKind.REFACTOR in said:
        return (
            ChangeKind.REFACTOR,
            f"a refactoring: the intent says {said[ChangeKind.REFACTOR]!r}, the paths are source",
        )
    if only is PathKind.OTHER and said:
        kind, word = next(iter(said.items()))
        return kind, f"{kind}: the paths leave it open and the intent says {word!r}"
    beside = f", with {' and '.join(sorted(set(paths) - leading))} beside it" if len(paths) > 1 else ""
    return ChangeKind(only), f"{only}: it touches {only}{beside}"


def _line(kind: PathKind, members: list[str]) -> str:
    shown = ", ".join(f"{printable(path)} ({kind_of(path)[1]})" for path in members[:_SHOWN])
    more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
    return f"{kind}: {shown}{more}"


def _disagreement(kind: ChangeKind, said: Mapping[ChangeKind, str]) -> str | None:
    narrow = (ChangeKind.DOCUMENTATION, ChangeKind.TESTS)
    if not said or kind in said or set(said) - set(narrow) or kind in narrow:
        return None
    words = " and ".join(repr(word) for word in said.values())
    return f"the intent says {words}, but what is touched is {kind}; the paths decide"
