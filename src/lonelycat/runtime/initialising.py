"""``init``: a policy fitted to what the workspace holds, the workflow document and the state directory.

Invariant: never overwrites; what is there stays and is reported as kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lonelycat.durable import sync_file
from lonelycat.errors import InputError, LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.state_directory import open_state_directory
from lonelycat.governance.bumps.known_pins import repository_key
from lonelycat.governance.policy_file import load_policy
from lonelycat.planner.fitting import fit_policy
from lonelycat.planner.survey import WorkspaceListing
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.listing import list_workspace
from lonelycat.runtime.placing import enclosing_repository
from lonelycat.settings import WORKFLOW_PATH
from lonelycat.shipped import shipped_bytes

INIT_SECONDS_EACH, INIT_SECONDS = 5.0, 15.0
"""How long ``init`` asks one repository for its tags, and all of them: it must not hang where there is no network."""


@dataclass(frozen=True, slots=True)
class InitReport:
    """What ``init`` did.

    Attributes:
        created, kept: workspace-relative paths.
        summary: what was found and decided, a sentence each.
    """

    created: tuple[str, ...]
    kept: tuple[str, ...]
    policy_path: Path
    summary: tuple[str, ...]


def initialise(wiring: Wiring, *, offline: bool = False) -> InitReport:
    """Write what is missing and adopt the policy.

    Args:
        offline: do not ask what the tags of pinned actions and hooks point to.
    """
    settings = wiring.settings
    policy_name = settings.policy_name or str(settings.policy_path)
    filesystem = FileSystem()
    for name in ("locks", "tx"):
        filesystem.close(open_state_directory(filesystem, settings.workspace, name))
    created: list[str] = []
    pins_name = str(Path(policy_name).with_name(settings.pins_path.name))
    had_pins = settings.pins_path.exists()
    kept = [pins_name] if had_pins else []
    summary: tuple[str, ...] = ()
    if settings.policy_path.exists():
        kept.append(policy_name)
    else:
        found = list_workspace(settings)
        fitted = fit_policy(found)
        load_policy(fitted.text.encode(), source="the fitted policy")
        pins, about_pins = (None, (_seeded(pins_name),)) if had_pins else _known_pins(found, offline=offline)
        if pins:
            _write_new(settings.pins_path, pins)
            created.append(pins_name)
        _write_new(settings.policy_path, fitted.text.encode())
        created.append(policy_name)
        summary = (*fitted.summary, *about_pins)
    workflow = settings.workspace / WORKFLOW_PATH
    if workflow.exists():
        kept.append(WORKFLOW_PATH)
    else:
        _write_new(workflow, shipped_bytes("execute_changeset.md"))
        created.append(WORKFLOW_PATH)
    policy = wiring.policy()
    if not policy.pinned:
        wiring.adopt_policy(policy.loaded.sha256, by=settings.user)
        created.append(".lonelycat")
    return InitReport(tuple(created), tuple(kept), settings.policy_path, (*summary, *_part_of(settings.workspace)))


def _part_of(workspace: Path) -> tuple[str, ...]:
    """Return what to know about patches where the workspace is only a part of a repository."""
    top = enclosing_repository(workspace)
    if top is None:
        return ()
    part = Path(os.path.realpath(workspace)).relative_to(top)
    return (f"this is {part} of the repository {top}: make patches with git -C CLONE/{part} diff --relative",)


def _write_new(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            sync_file(file.fileno())
    except OSError as error:
        raise InputError("INIT_FAILED", f"{path} cannot be written: {error.strerror}", "Check its rights.") from error


def _seeded(name: str) -> str:
    """Return what to say of a file of known pins that came before the policy: nobody was asked about it."""
    return f"pins: {name} was there before the policy and is now part of it; read it, or compare `policy pins --print`"


def _known_pins(found: WorkspaceListing, *, offline: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the file of known pins, where there is anything to know, and what to say about it."""
    from lonelycat.runtime.pin_reading import HOST
    from lonelycat.runtime.pinning import pins_of, read_pins

    pins, troubles = pins_of(found), []
    try:
        read = read_pins(pins, {}, base=None if offline else HOST, seconds_each=INIT_SECONDS_EACH, seconds=INIT_SECONDS)
    except LonelyCatError as error:  # no git
        troubles.append(error.message)
        read = read_pins(pins, {}, base=None)
    if read is None:
        return None, ()
    if read.shipped:
        troubles.append(f"only as this version of LonelyCat knew them: {', '.join(read.shipped)}")
    if unknown := sorted({repository_key(pin.repository) for pin in pins} - read.tags.keys()):
        troubles.append(
            f"{'nothing is known offline' if offline else 'the tags could not be read'} of {', '.join(unknown)}"
        )
    if troubles:
        troubles.append("what is not known needs a person until `lonelycat policy pins` has read the tags")
    said = "; ".join((f"{read.known} of {read.pinned} pinned commits are known by their tags", *troubles))
    return read.data if read.tags else None, (f"pins: {said}",)
