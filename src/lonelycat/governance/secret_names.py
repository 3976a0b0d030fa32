"""Names of files that hold a credential, as they are kept of a change that was denied for one.

Invariant: what is matched, decided and applied is the name as it is. A name that is told instead is a sound path, and
as different from the others of its change as it was.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count

from lonelycat.changes.paths import check_names, check_path, fold
from lonelycat.errors import PathError
from lonelycat.governance.secrets import mask_of, masked


def told_paths(paths: Collection[str]) -> dict[str, str]:
    """Return ``paths``, each with the path to tell in its place: the same where it holds no credential."""
    told = {path: masked(path) for path in paths}
    if all(path == shown for path, shown in told.items()) or _are_sound(told.values()):
        return told
    taken = {fold(part) for path in paths for part in path.split("/")}
    numbered = (name for number in count(1) if fold(name := mask_of(f"name-{number}")) not in taken)
    return {path: path if path == shown else next(numbered) for path, shown in told.items()}


def _are_sound(paths: Collection[str]) -> bool:
    try:
        for path in paths:
            check_path(path)
        check_names(paths)
    except PathError:
        return False
    return len(set(paths)) == len(paths)
