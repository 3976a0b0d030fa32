"""Which revisions a directory of Alembic migrations ends in, read from the files without running them.

Invariant: no code of the workspace runs. A file whose revision cannot be read is an error, not one migration fewer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lonelycat.errors import StepFailedError

_MAX_FILES = 10_000
_MAX_BYTES = 4 * 1024 * 1024
_NAMES = ("revision", "down_revision", "depends_on")


class _Revision(NamedTuple):
    name: str
    follows: frozenset[str]


def heads(directory: Path) -> frozenset[str]:
    """Return the revisions in ``directory`` that no other one follows or depends on.

    These are what Alembic's table of versions holds in a database that has all of them.

    Raises:
        StepFailedError: ``HEALTH_SQL_MIGRATIONS``: there are none, or one cannot be read.
    """
    revisions = [one for path in _files(directory) if (one := _read(path)) is not None]
    if not revisions:
        raise _unreadable(f"{directory} holds no migrations")
    followed = {name for revision in revisions for name in revision.follows}
    known = {revision.name for revision in revisions}
    if not followed <= known:
        raise _unreadable(f"{directory} lacks the revision {min(followed - known)}, which another one follows")
    return frozenset(known - followed)


def _files(directory: Path) -> list[Path]:
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == ".py" and path.is_file())
    except OSError as error:
        raise _unreadable(f"{directory}: {error.strerror}") from None
    if len(found) > _MAX_FILES:
        raise _unreadable(f"{directory} holds over {_MAX_FILES} files")
    return found


def _read(path: Path) -> _Revision | None:
    """Return the revision in ``path``, None for a module that is no migration."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _unreadable(f"{path} is over {_MAX_BYTES} bytes")
        tree = ast.parse(path.read_bytes(), filename=path.name)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(f"{path}: {type(error).__name__}: {error}") from None
    values = dict(_assigned(tree, path))
    if "revision" not in values:
        return None
    name = values["revision"]
    if not isinstance(name, str):
        raise _unreadable(f"{path}: revision is not a text")
    before = [*_each(values.get("down_revision"), path), *_each(values.get("depends_on"), path)]
    return _Revision(name, frozenset(before))


def _assigned(tree: ast.Module, path: Path) -> Iterator[tuple[str, object]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and target.id in _NAMES:
                try:
                    yield target.id, ast.literal_eval(value)
                except ValueError:
                    raise _unreadable(f"{path}: {target.id} is not written as a plain value") from None


def _each(value: object, path: Path) -> tuple[str, ...]:
    if value is None:
        return ()
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise _unreadable(f"{path}: it is not plain which revisions it follows")
    return tuple(names)


def _unreadable(why: str) -> StepFailedError:
    return StepFailedError("HEALTH_SQL_MIGRATIONS", why)
