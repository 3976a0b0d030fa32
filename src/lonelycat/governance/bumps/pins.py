"""At which tag or commit CI takes its actions (``uses: owner/name@v4``) and pre-commit its hooks (``rev: v1.2.0``).

A file with pins gives power over the checks and the machines that run them. What may move in it:

- A *tag* that rises. Tags belong to the owner of the repository that is named; whoever can make the next one could
  have moved the last one, so nobody gains what they did not have.
- A *commit* that is known (``known_pins.py``): before and after, tags of the same repository were seen to point to
  it, and the version rises. A commit that nobody saw may be anybody's: a host serves the commits of every fork under
  the name of the original.
- A tag that becomes the commit which it, or a higher one, was seen to point to: less may happen afterwards.

Invariants:
- Nothing else passes: a lower version, a commit that becomes a tag, another name.
- The comment behind a commit is what people read, so a version in it has to be the commit's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from lonelycat.governance.bumps.known_pins import VERSION_TAG, KnownPins, repository_key, version_of
from lonelycat.governance.bumps.plain_yaml import Scalar
from lonelycat.governance.bumps.versions import MAX_MAJORS

_NAME = r"(?P<repository>[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*)(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]*)*"
_REF = r"(?P<tag>v?[0-9]{1,4}(?:\.[0-9]{1,4}){0,3})|(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})"
_USES = re.compile(rf"(?P<name>{_NAME}@)(?:{_REF})")
_REV = re.compile(rf"(?P<name>)(?P<repository>)(?:{_REF})")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SAID = re.compile(r"#\s*(?:frozen:|pin@|tag=|ratchet:[^@\s]+@)?\s*(?P<tag>v?[0-9]+(?:\.[0-9]+)*)\s*")
_VERSION = re.compile(r"[0-9]")
_HTTPS = re.compile(r"https://[A-Za-z0-9.-]+/[A-Za-z0-9_./-]+")


class PinChange(Enum):
    """What a change does to one pin, or to all of a file.

    Attributes:
        RAISED: the same action or hook at a higher tag.
        VERIFIED: the same one at the commit that a higher tag of its owner is known to point to.
        MOVED: the same one at another tag or commit.
    """

    RAISED = "raised"
    VERIFIED = "verified"
    MOVED = "moved"


class Pin(NamedTuple):
    """A pin: whose, at what, how it is written, and the comment behind it.

    Attributes:
        name: what stands before the reference, for comparing.
        repository: ``owner/name`` or an https address.
        tag, commit: one of them is "".
        quotes: how the value is quoted.
        comment: with its ``#``; "" when there is none.
    """

    name: str
    repository: str
    tag: str
    commit: str
    quotes: str
    comment: str

    @property
    def shown(self) -> str:
        """How to name it in a sentence."""
        return f"{repository_key(self.repository)}@{self.tag or self.commit[:12]}"


def read_pin(scalar: Scalar, repository: str | None, comment: str) -> Pin | None:
    """Return the pin that ``scalar`` is, or None when it is none (a branch, an image, a number, a path).

    Args:
        repository: where a hook comes from; None when the scalar names an action itself.
        comment: what stands behind it on its line.
    """
    match = (_USES if repository is None else _REV).fullmatch(scalar.text)
    if match is None or scalar.is_block or (scalar.is_plain and _NUMBER.fullmatch(scalar.text)):
        return None
    if repository is not None and not _HTTPS.fullmatch(repository):
        return None
    quotes = scalar.written.replace(scalar.text, "")
    if quotes not in ("", "''", '""'):
        return None
    whose = repository or match["repository"]
    return Pin(match["name"], whose, match["tag"] or "", match["commit"] or "", quotes, comment)


def pin_change(old: Pin, new: Pin, known: KnownPins) -> tuple[PinChange, str] | None:
    """Return what becomes of a pin and, when it is moved, why it may not; None when another thing is pinned."""
    if (old.name, old.repository, old.quotes) != (new.name, new.repository, new.quotes):
        return None
    if old.tag and new.tag:
        if old.comment == new.comment and _is_raised(old.tag, new.tag):
            return PinChange.RAISED, ""
        said = "has another comment" if old.comment != new.comment else "is no higher tag, written alike"
        return PinChange.MOVED, f"{new.shown} {said}"
    if new.tag:
        return PinChange.MOVED, f"{new.shown} is a tag where a commit was: a tag can be moved"
    doubt = next(_doubts(old, new, known), "")
    return (PinChange.MOVED, doubt) if doubt else (PinChange.VERIFIED, "")


def _doubts(old: Pin, new: Pin, known: KnownPins) -> Iterator[str]:
    """Yield what speaks against another commit, or another comment behind the same."""
    if known.problem:
        yield known.problem
    tags = known.tags_of(new.repository, new.commit)
    if tags is None:
        yield f"nothing is known of the tags of {repository_key(new.repository)}"
        return
    if not tags:
        yield f"{new.shown} is no commit that a version tag of this repository is known to point to"
        return
    version = max(map(_precise, tags))
    yield from _said_wrongly(old, new, tags)
    if new.commit == old.commit:
        return
    if old.tag:
        floor = version_of(old.tag)
        if version[1][: len(floor)] < floor or version[1][0] - floor[0] > MAX_MAJORS:
            yield f"{new.shown} is {_named(tags)}, which is not at or shortly above {old.tag}"
        return
    before = known.tags_of(old.repository, old.commit)
    if not before:
        yield f"{old.shown}, which it comes from, is no commit that a version tag is known to point to"
        return
    lower = max(map(_precise, before))[1]
    if not lower < version[1] or version[1][0] - lower[0] > MAX_MAJORS:
        yield f"{new.shown} is {_named(tags)}, which is not above {_named(before)}"


def _said_wrongly(old: Pin, new: Pin, tags: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with the comment behind the new commit, if anything is."""
    said = _SAID.fullmatch(new.comment)
    if said:
        if not any(_covers(said["tag"], tag) for tag in tags):
            yield f"{new.shown} is {_named(tags)}, and the comment behind it says {said['tag']}"
    elif new.comment != old.comment:
        if new.comment:
            yield f"{new.shown} gets a comment that is no version"
    elif _VERSION.search(new.comment):
        yield f"{new.shown} has a comment with a number in it that is no version alone"


def _covers(said: str, tag: str) -> bool:
    """Tell whether ``said`` is ``tag``, or the first numbers of it (``v4`` of ``v4.2.0``)."""
    numbers, of = said.removeprefix("v").split("."), tag.removeprefix("v").split(".")
    return of[: len(numbers)] == numbers


def _precise(tag: str) -> tuple[int, tuple[int, ...]]:
    """Return what to compare by: the tag with most numbers is the one that was not moved on."""
    return tag.count("."), version_of(tag)


def _named(tags: tuple[str, ...]) -> str:
    return max(tags, key=_precise)


def _is_raised(old: str, new: str) -> bool:
    """Tell whether ``new`` is a higher tag, written alike: ``v4`` to ``v4.0.0`` may well be an older commit."""
    low, high = ([int(number) for number in tag.removeprefix("v").split(".")] for tag in (old, new))
    alike = old.startswith("v") == new.startswith("v") and len(low) == len(high)
    return alike and low < high and high[0] - low[0] <= MAX_MAJORS and VERSION_TAG.fullmatch(new) is not None
