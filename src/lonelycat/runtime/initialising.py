"""``init``: a policy fitted to what the workspace holds, the workflow document and the state directory.

Invariant: never overwrites; what is there stays and is reported as kept.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lonelycat.durable import sync_file
from lonelycat.errors import InputError, LonelyCatError
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.state_directory import open_state_directory
from lonelycat.governance.policy_file import load_policy
from lonelycat.planner.fitting import fit_policy
from lonelycat.planner.survey import WorkspaceListing
from lonelycat.runtime.bootstrap import Wiring
from lonelycat.runtime.git import GitRepository
from lonelycat.settings import WORKFLOW_PATH
from lonelycat.shipped import shipped_bytes

_TOOLS = ("pytest", "python", "python3", "npm", "node", "go", "cargo", "make", "tox", "uv", "poetry", "pnpm", "yarn")
_MAX_LISTED = 50_000
_MAX_READ = 1024 * 1024
_NOT_WALKED = frozenset({".git", ".lonelycat", "node_modules", ".venv", "venv", "__pycache__"})


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


def initialise(wiring: Wiring) -> InitReport:
    """Write what is missing and adopt the policy."""
    settings = wiring.settings
    policy_name = settings.policy_name or str(settings.policy_path)
    filesystem = FileSystem()
    for name in ("locks", "tx"):
        filesystem.close(open_state_directory(filesystem, settings.workspace, name))
    created: list[str] = []
    kept: list[str] = []
    summary: tuple[str, ...] = ()
    if settings.policy_path.exists():
        kept.append(policy_name)
    else:
        fitted = fit_policy(_listing(settings.workspace))
        load_policy(fitted.text.encode(), source="the fitted policy")
        _write_new(settings.policy_path, fitted.text.encode())
        created.append(policy_name)
        summary = tuple(fitted.summary)
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
    return InitReport(tuple(created), tuple(kept), settings.policy_path, summary)


def _write_new(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            sync_file(file.fileno())
    except OSError as error:
        raise InputError("INIT_FAILED", f"{path} cannot be written: {error.strerror}", "Check its rights.") from error


def _listing(root: Path) -> WorkspaceListing:
    return WorkspaceListing(
        paths=_paths(root), read=lambda path: _read(root, path), tools=frozenset(t for t in _TOOLS if shutil.which(t))
    )


def _paths(root: Path) -> tuple[str, ...]:
    repository = GitRepository(root)
    try:
        if repository.is_repository():
            return repository.list_files()[:_MAX_LISTED]
    except LonelyCatError:  # no usable git: the directory is walked instead
        pass
    found: list[str] = []
    for folder, directories, files in os.walk(root):
        directories[:] = sorted(name for name in directories if name not in _NOT_WALKED)
        found.extend((Path(folder) / name).relative_to(root).as_posix() for name in files)
        if len(found) > _MAX_LISTED:
            break
    return tuple(sorted(found[:_MAX_LISTED]))


def _read(root: Path, path: str) -> bytes | None:
    place = root / path
    try:
        if place.is_symlink() or not place.is_file():
            return None
        with place.open("rb") as file:
            return file.read(_MAX_READ)
    except OSError:
        return None
