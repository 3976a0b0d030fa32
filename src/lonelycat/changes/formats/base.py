"""What every format reader shares: the old file as it is in the workspace, and git's spelling of modes.

Invariant: a reader never opens a file itself; it is handed a ``read_old`` and asks it only for paths that passed
:func:`lonelycat.changes.paths.check_path`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lonelycat.changes.changeset import EXECUTABLE, REGULAR, SYMLINK, BlobRef, FileChange, Mode
from lonelycat.changes.digest import sha256_hex
from lonelycat.errors import InputError

SUBMODULE = "160000"


class OldFile(NamedTuple):
    """A file as the workspace holds it.

    Attributes:
        data: its bytes; for a symbolic link, the bytes of its target.
        mode: git's mode, 100644, 100755 or 120000.
    """

    data: bytes
    mode: Mode


ReadOld = Callable[[str], OldFile | None]


class Side(NamedTuple):
    """One side of a change: what a file's content and mode are before or after it."""

    content: bytes | BlobRef | None
    sha256: str
    mode: Mode


def side_of(file: OldFile) -> Side:
    """Return ``file`` with its hash."""
    return Side(file.data, sha256_hex(file.data), file.mode)


def change_between(path: str, old: Side | None, new: Side | None, *, old_path: str | None = None) -> FileChange | None:
    """Return the change that turns ``old`` into ``new`` at ``path``, or None when there is nothing to do.

    Args:
        path: where the file is afterwards (for a deletion, where it was).
        old, new: the two sides; None where there is no file.
        old_path: where the file was, for a rename.
    """
    if old is None and new is None:
        return None
    same_bytes = old is not None and new is not None and old.sha256 == new.sha256
    if same_bytes and old_path is None and old is not None and new is not None and old.mode == new.mode:
        return None
    if old_path is not None:
        operation = "rename"
    elif old is None:
        operation = "create"
    else:
        operation = "delete" if new is None else "update"
    return FileChange.model_validate(
        {
            "operation": operation,
            "path": path,
            "old_path": old_path,
            "old_hash": old and old.sha256,
            "old_mode": old and old.mode,
            "new_hash": new and new.sha256,
            "new_mode": new and new.mode,
            "content": None if new is None or same_bytes else new.content,
        }
    )


def mode_from_git(text: str, *, where: str) -> Mode:
    """Return the canonical mode for ``text`` (octal digits); group and other bits do not count, as in git.

    Args:
        text: six octal digits.
        where: what to name in messages.

    Raises:
        InputError: ``SUBMODULE_UNSUPPORTED`` for a gitlink, ``MODE_UNSUPPORTED`` for anything else that git does
            not keep for files.
    """
    if text == SUBMODULE:
        raise InputError(
            "SUBMODULE_UNSUPPORTED",
            f"{where} is a submodule (mode 160000)",
            "Change the submodule in its own repository; LonelyCat governs files.",
            details={"where": where},
        )
    if text == SYMLINK:
        return SYMLINK
    if len(text) == 6 and text.startswith("100") and text.isdigit():
        return EXECUTABLE if text[3] in "1357" else REGULAR
    raise InputError(
        "MODE_UNSUPPORTED",
        f"{where} has mode {text[:20]}, which is neither a file nor a symbolic link",
        "Use 100644, 100755 or 120000.",
        details={"where": where, "mode": text[:20]},
    )
