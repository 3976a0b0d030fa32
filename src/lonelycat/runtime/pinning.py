"""The file of known pins: which commits the tags of the workspace's own actions and hooks point to.

Invariants:
- Only repositories that the workspace's CI names are asked; where nothing is pinned by commit, nobody is.
- What cannot be read this time stays as it was known, to the workspace or else to this version of LonelyCat; it is
  said, and never taken for "no tags".
- Once there is a file, it changes on the one path, by a person's leave: reading tags is no permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lonelycat.changes.changeset import ChangeSet, FileChange
from lonelycat.changes.plan import ChangePlan
from lonelycat.errors import InputError, LonelyCatError
from lonelycat.governance.bumps.ci_upkeep import kind_of, pins_in
from lonelycat.governance.bumps.known_pins import KnownPins, render, repository_key
from lonelycat.governance.bumps.pins import Pin
from lonelycat.planner.survey import WorkspaceListing
from lonelycat.runtime.listing import list_workspace
from lonelycat.runtime.pin_reading import HOST, SeenPins, see_pins
from lonelycat.shipped import shipped_bytes

if TYPE_CHECKING:
    from lonelycat.runtime.bootstrap import Wiring
    from lonelycat.runtime.judgement import Judgement

PROPOSER = "lonelycat:pins"


@dataclass(frozen=True, slots=True)
class PinsRead:
    """What is known of the workspace's pins after asking.

    Attributes:
        data: the file that says so.
        tags: how many version tags are known, by repository.
        unseen: why some could not be asked this time, by repository; what was known of them before is kept.
        shipped: those of which only that is known which this version of LonelyCat came with.
        pinned, known: how many commits the workspace pins, and how many of them a tag is known to point to.
    """

    data: bytes
    tags: Mapping[str, int]
    unseen: Mapping[str, LonelyCatError]
    shipped: tuple[str, ...]
    pinned: int
    known: int


@dataclass(frozen=True, slots=True)
class PinsReport:
    """What ``policy pins`` came to; ``judgement`` is None when the file says all of it already."""

    read: PinsRead
    path: str
    judgement: Judgement | None


def pins_of(listing: WorkspaceListing) -> tuple[Pin, ...]:
    """Return what the workspace's CI and hooks pin."""
    return tuple(
        pin for path in listing.paths if kind_of(path) is not None for pin in pins_in(path, listing.read(path) or b"")
    )


@cache
def shipped_pins() -> Mapping[str, Mapping[str, str]]:
    """Return what this version of LonelyCat came with: the tags of much used actions and hooks, as they were then."""
    return KnownPins(shipped_bytes("known_pins.json")).repositories


def read_pins(
    pins: Iterable[Pin],
    before: Mapping[str, Mapping[str, str]],
    *,
    base: str | None = HOST,
    seconds_each: float = 20.0,
    seconds: float = 120.0,
) -> PinsRead | None:
    """Ask for the tags of all that ``pins`` name, where any is a commit; None where none is.

    Args:
        before: what is known already.
        base, seconds_each, seconds: see :func:`see_pins`; where ``base`` is None nobody is asked.
    """
    named = tuple(pins)
    commits = {(repository_key(pin.repository), pin.commit) for pin in named if pin.commit}
    if not commits:
        return None
    repositories = {repository_key(pin.repository) for pin in named}
    seen = SeenPins({}, {})
    if base is not None:
        seen = see_pins(repositories, base=base, seconds_each=seconds_each, seconds=seconds)
    others = repositories - seen.tags.keys()
    kept = {repository: before[repository] for repository in others if repository in before}
    shipped = {repository: shipped_pins()[repository] for repository in (others - kept.keys()) & shipped_pins().keys()}
    tags = {**shipped, **kept, **seen.tags}
    known = sum(commit in tags.get(repository, {}).values() for repository, commit in commits)
    counts = {repository: len(found) for repository, found in sorted(tags.items())}
    return PinsRead(render(tags), counts, seen.unseen, tuple(sorted(shipped)), len(commits), known)


def read_workspace_pins(wiring: Wiring, *, base: str | None) -> PinsRead:
    """Ask for the tags of all that the workspace pins.

    Args:
        base: where the repositories are; None for GitHub.

    Raises:
        InputError: ``PINS_NONE``.
        StateError: ``PINS_UNREACHABLE`` when no repository at all could be asked.
    """
    known = wiring.policy().loaded.pins.repositories
    return _required(read_pins(pins_of(list_workspace(wiring.settings)), known, base=base or HOST))


def propose_pins(wiring: Wiring, *, base: str | None, by: str | None) -> PinsReport:
    """Ask as :func:`read_workspace_pins` does, and propose the file that says so, unless it says so already."""
    from lonelycat.runtime.judging import keep

    read, name, ready = _refreshed(wiring, list_workspace(wiring.settings), base=base or HOST, by=by)
    return PinsReport(read, name, None if ready is None else keep(wiring, *ready))


def _refreshed(
    wiring: Wiring, listing: WorkspaceListing, *, base: str, by: str | None
) -> tuple[PinsRead, str, tuple[ChangePlan, ChangeSet] | None]:
    """Ask for tags and return what was read, the file's path, and the change that makes it say so, if any.

    Raises:
        InputError: ``PINS_NONE`` or ``PINS_OUTSIDE``.
        StateError: ``PINS_UNREACHABLE`` when no repository at all could be asked.
    """
    settings = wiring.settings
    policy = wiring.policy()
    name = next(iter(settings.policy_names - {settings.policy_name}), None)
    if name is None or policy.shipped:
        raise InputError(
            "PINS_OUTSIDE",
            "the known pins lie beside the workspace's policy, and it has none within it",
            "Run `lonelycat init`, or take the file from `lonelycat policy pins --print`.",
        )
    read = _required(read_pins(pins_of(listing), policy.loaded.pins.repositories, base=base))
    old = settings.pins_path.read_bytes() if policy.loaded.pins.exists else None
    if old == read.data:
        return read, name, None
    change = FileChange.create(name, read.data) if old is None else FileChange.update(name, old, read.data)
    ready = wiring.planner(policy).plan(
        intent=f"Know what the tags of actions and hooks point to, as read from {base}",
        created_by=by or PROPOSER,
        changes=[change],
    )
    return read, name, ready


def _required(read: PinsRead | None) -> PinsRead:
    """Return what was read.

    Raises:
        InputError: ``PINS_NONE``: nothing is pinned by commit.
        StateError: the first reason, when nothing at all is known.
    """
    if read is None:
        raise InputError(
            "PINS_NONE", "neither CI nor hooks pin anything by commit here", "Higher tags pass without this file."
        )
    if not read.tags and read.unseen:
        raise next(iter(read.unseen.values()))
    return read
