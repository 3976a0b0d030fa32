"""The executor's conflicts: an operation's path that does not hold what it had to hold, in the form of ``changes``."""

from __future__ import annotations

from lonelycat.changes.changeset import Mode
from lonelycat.changes.conflict import Conflict, Phase
from lonelycat.changes.paths import printable
from lonelycat.executor.operations import Identity

_MODES: dict[str, Mode] = {"100644": "100644", "100755": "100755", "120000": "120000"}
Known = Identity | None


def describe(identity: Known) -> str:
    """Return ``identity`` in words."""
    return "nothing" if identity is None else f"sha256 {identity.sha256[:12]}… mode {identity.mode}"


def difference(path: str, code: str, expected: Known, found: Known | str, phase: Phase = "stage") -> Conflict:
    """Return the conflict on ``path``.

    Args:
        found: what is there; words where it is no file, or not known.
    """
    seen = None if isinstance(found, str) else found
    return Conflict(
        path=printable(path),
        code=code,
        expected=describe(expected),
        found=found if isinstance(found, str) else describe(found),
        expected_hash=expected.sha256 if expected else None,
        expected_mode=_MODES.get(expected.mode) if expected else None,
        found_hash=seen.sha256 if seen else None,
        found_mode=_MODES.get(seen.mode) if seen else None,
        phase=phase,
    )


def code_of_difference(expected: Known, found: Known) -> str:
    """Return the code for two identities that are not the same."""
    if expected is None:
        return "FILE_EXISTS"
    if found is None:
        return "FILE_MISSING"
    return "FILE_CHANGED" if found.sha256 != expected.sha256 else "MODE_CHANGED"
