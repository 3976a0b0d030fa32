"""Changes to CI, actions, pre-commit and Read the Docs that are upkeep, told from those that give power.

Such a file is escalated whatever changes in it, but for what is here: pins that rise (``pins.py``), and edits after
which no more can happen than before: one more version of the language to test with, a newer image of the same kind,
another time limit, less that a token may do, the name of a step, a comment.

Invariants:
- Compared as values, place by place; each place that differs has to be one of those named here, or nothing passes.
- Closed by default: what is not plain YAML, not ASCII where it changes, or unknown is no upkeep.
- A check may only be added: a version that is tested today is tested afterwards, and a job keeps its name, by which a
  required check is known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from lonelycat.governance.bumps import tending
from lonelycat.governance.bumps.known_pins import KnownPins
from lonelycat.governance.bumps.pins import Pin, PinChange, pin_change, read_pin
from lonelycat.governance.bumps.places import ANY, ITEM, Pair, Place, at, pairs, scalars
from lonelycat.governance.bumps.plain_yaml import Document, NotPlainError, Scalar, read_plain

MAX_BYTES = 256 << 10
"""A larger file is not looked at."""
_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
"""What some readers take for the end of a line, and others not."""
_DIRECTIVE = re.compile(
    r"ignore|disable|enable|skip|suppress|allow|exclude|except|nosec|noqa|nosemgrep|pragma|lint|renovate|dependabot"
    r"|language-server|checkov|tfsec|trivy|kics|zizmor|semgrep|sonar|codeql|frozen|pin@|\btype:",
    re.IGNORECASE,
)
"""Comments that a tool obeys are no mere words."""


class Kind(Enum):
    """What kinds of file there are, by where pins stand and what else may change."""

    WORKFLOW = "workflow"
    ACTION = "action"
    HOOKS = "hooks"
    DOCUMENTATION = "documentation"


class CiChange(NamedTuple):
    """What a change does to a file when all that it does is upkeep or moves pins.

    Attributes:
        pins: what becomes of its pins; None when none changes.
        tended: whether anything else changes.
        doubts: why moved pins may not, a phrase each.
    """

    pins: PinChange | None
    tended: bool
    doubts: tuple[str, ...]


_NAMES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"(?:.*/)?\.github/workflows/[^/]+\.ya?ml"), Kind.WORKFLOW),
    (re.compile(r"(?:(?:.*/)?\.github/actions/(?:.*/)?)?action\.ya?ml"), Kind.ACTION),
    (re.compile(r"(?:.*/)?\.pre-commit-config\.ya?ml"), Kind.HOOKS),
    (re.compile(r"\.readthedocs\.ya?ml"), Kind.DOCUMENTATION),
)
_PINS: dict[Kind, tuple[Place, ...]] = {
    Kind.WORKFLOW: (("jobs", ANY, "steps", ITEM, "uses"), ("jobs", ANY, "uses")),
    Kind.ACTION: (("runs", "steps", ITEM, "uses"),),
    Kind.HOOKS: (("repos", ITEM, "rev"),),
    Kind.DOCUMENTATION: (),
}
_TENDED: dict[Kind, tuple[Callable[[tending.Edit], bool], ...]] = {
    Kind.WORKFLOW: tending.WORKFLOW,
    Kind.ACTION: (),
    Kind.HOOKS: (),
    Kind.DOCUMENTATION: tending.DOCUMENTATION,
}


def ci_change(path: str, old: bytes | None, new: bytes | None, known: KnownPins) -> CiChange | None:
    """Tell what upkeep a change of a file is; None when it does anything else.

    Args:
        path: the file's name, which says what it is.
        old, new: the whole file before and after; None when unknown.
        known: which commits tags are known to point to.
    """
    kind = kind_of(path)
    if kind is None or old is None or new is None or old == new or max(len(old), len(new)) > MAX_BYTES:
        return None
    try:
        before, after = old.decode("utf-8"), new.decode("utf-8")
        if not _is_readable(before, after):
            return None
        return _Comparison(kind, read_plain(before), read_plain(after), known).result()
    except (UnicodeDecodeError, NotPlainError):
        return None


def kind_of(path: str) -> Kind | None:
    """Return what kind of file ``path`` is, by its name."""
    return next((kind for names, kind in _NAMES if names.fullmatch(path)), None)


def pins_in(path: str, data: bytes) -> tuple[Pin, ...]:
    """Return the pins of a file as they stand; none of a file that has none, or is not plain YAML."""
    kind = kind_of(path)
    if kind is None or len(data) > MAX_BYTES:
        return ()
    try:
        document = read_plain(data.decode("utf-8"))
    except (UnicodeDecodeError, NotPlainError):
        return ()
    found = (
        read_pin(scalar, _source(kind, document, place), document.comments.get(scalar.line, ""))
        for place, scalar in scalars(document.root)
        if any(Pair(place, scalar, scalar).is_at(*pattern) for pattern in _PINS[kind])
    )
    return tuple(pin for pin in found if pin is not None)


def _source(kind: Kind, document: Document, place: Place) -> str | None:
    """Return where a hook comes from; None for an action, which says so itself."""
    if kind is not Kind.HOOKS:
        return None
    repository = at(document.root, *place[:-1], "repo")
    return repository.text if isinstance(repository, Scalar) else ""


def _is_readable(before: str, after: str) -> bool:
    """Tell whether all readers see the same lines, and people what changes in them."""
    if _BREAKS.search(before) or _BREAKS.search(after) or before.endswith("\n") is not after.endswith("\n"):
        return False
    old, new = Counter(before.split("\n")), Counter(after.split("\n"))
    return all(line.isascii() and "\t" not in line for line in (*(old - new), *(new - old)))


class _Comparison:
    """One file before and after."""

    def __init__(self, kind: Kind, old: Document, new: Document, known: KnownPins) -> None:
        self._kind = kind
        self._old = old
        self._new = new
        self._known = known
        self._pins: set[PinChange] = set()
        self._doubts: list[str] = []
        self._tended = False
        self._pinned_lines: tuple[set[int], set[int]] = (set(), set())

    def result(self) -> CiChange | None:
        """Return what the change is; None as soon as anything is no upkeep."""
        for pair in pairs(self._old.root, self._new.root):
            if any(pair.is_at(*place) for place in _PINS[self._kind]):
                if not self._pin(pair):
                    return None
            elif pair.differs:
                edit = tending.Edit(pair, self._old.root, self._new.root)
                if not any(rule(edit) for rule in _TENDED[self._kind]):
                    return None
                self._tended = True
        if not self._comments_are_words():
            return None
        ranks = (PinChange.MOVED, PinChange.VERIFIED, PinChange.RAISED)
        pins = next((change for change in ranks if change in self._pins), None)
        return CiChange(pins, self._tended or not self._pins, tuple(dict.fromkeys(self._doubts)))

    def _pin(self, pair: Pair) -> bool:
        old, new = pair.old, pair.new
        if not isinstance(old, Scalar) or not isinstance(new, Scalar):
            return not pair.differs
        before, after = self._old.comments.get(old.line, ""), self._new.comments.get(new.line, "")
        if self._shares_its_line(old, new):
            return False
        if not pair.differs and old.written == new.written and before == after:
            return True
        source = _source(self._kind, self._old, pair.place)
        pins = read_pin(old, source, before), read_pin(new, source, after)
        if pins[0] is None or pins[1] is None:
            return False
        found = pin_change(pins[0], pins[1], self._known)
        if found is None:
            return False
        self._pins.add(found[0])
        self._doubts += [found[1]] if found[1] else []
        return True

    def _shares_its_line(self, old: Scalar, new: Scalar) -> bool:
        """Tell whether a line holds two pins, so that nobody can say whose the comment is; remember the line."""
        lines, others = self._pinned_lines
        shared = old.line in lines or new.line in others
        lines.add(old.line)
        others.add(new.line)
        return shared

    def _comments_are_words(self) -> bool:
        """Tell whether no comment comes that a tool would obey; those behind pins are judged with them."""
        before, after = (
            Counter(text for line, text in document.comments.items() if line not in pinned)
            for document, pinned in zip((self._old, self._new), self._pinned_lines, strict=True)
        )
        self._tended = self._tended or before != after
        return not any(_DIRECTIVE.search(text) for text in (*(after - before), *(before - after)))
