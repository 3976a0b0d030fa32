"""From file patches to file changes: what the tree was, what it becomes, and the net difference.

Invariants:
- Sources of renames and copies are read from the tree as it was, so that the order of files in the patch does not
  matter (a patch may swap two files); updates and deletions build on what an earlier patch of a series wrote.
- Every path is read at most once, and ends up in at most one change.
"""

from __future__ import annotations

from lonelycat.changes.changeset import REGULAR, SYMLINK, FileChange, Mode
from lonelycat.changes.formats.base import OldFile, ReadOld, change_between, side_of
from lonelycat.changes.formats.patch_binary import Budget, apply_delta, blob_id
from lonelycat.changes.formats.patch_hunks import apply_hunks
from lonelycat.changes.formats.patch_model import BinaryHunk, FilePatch
from lonelycat.changes.paths import printable
from lonelycat.errors import ConflictError, InputError

_STALE = "The workspace is not what the patch was made against; make the patch again from the present files."


class PatchedTree:
    """The files that a patch touches, before and after."""

    def __init__(self, read_old: ReadOld, budget: Budget, leaving: frozenset[str]) -> None:
        """Start from the tree that ``read_old`` shows; ``leaving`` are the paths that the patch takes away."""
        self._read_old = read_old
        self._budget = budget
        self._leaving = leaving
        self._original: dict[str, OldFile | None] = {}
        self._written: dict[str, OldFile] = {}
        self._updated: set[str] = set()
        self._removed: set[str] = set()
        self._renames: list[tuple[str, str]] = []

    def apply(self, patch: FilePatch) -> None:
        """Apply one file patch.

        Raises:
            ConflictError: ``FILE_MISSING``, ``FILE_EXISTS``, ``MODE_MISMATCH``, ``HUNK_MISMATCH`` or
                ``CONTENT_MISMATCH``.
            InputError: ``PATCH_MALFORMED`` or ``PATCH_TOO_LARGE``.
        """
        source = None if patch.kind == "create" else self._source(patch)
        if patch.kind in ("create", "rename", "copy"):
            self._check_free(patch)
        data = self._new_data(patch, b"" if source is None else source.data)
        if patch.kind == "delete":
            if data:
                why = "the patch deletes the file but does not account for all of its bytes"
                raise _conflict("HUNK_MISMATCH", patch.path, why, "a file that ends there", f"{len(data)} more bytes")
            self._written.pop(patch.path, None)
            self._removed.add(patch.path)
            return
        mode: Mode = patch.new_mode or (REGULAR if source is None else source.mode)
        if patch.kind == "rename":
            self._leave(patch)
        if patch.kind == "update":
            self._updated.add(patch.path)
        self._written[patch.path] = OldFile(data, mode)

    def changes(self) -> tuple[FileChange, ...]:
        """Return the net changes in the order in which the patch first touched their paths."""
        moved = {new: old for old, new in self._renames if self._is_plain_rename(old, new)}
        sources = set(moved.values())
        result: list[FileChange] = []
        for path in dict.fromkeys((*self._original, *self._written)):
            if path in sources:
                continue
            old_path = moved.get(path)
            old = self._original_of(old_path or path)
            new = self._written.get(path, None if path in self._removed else old)
            change = change_between(
                path, None if old is None else side_of(old), None if new is None else side_of(new), old_path=old_path
            )
            if change is not None:
                result.append(change)
        return tuple(result)

    def _original_of(self, path: str) -> OldFile | None:
        if path not in self._original:
            self._original[path] = self._read_old(path)
        return self._original[path]

    def _source(self, patch: FilePatch) -> OldFile:
        path = patch.old_path
        original = self._original_of(path)
        if patch.kind in ("update", "delete"):
            found = self._written.get(path) or (None if path in self._removed else original)
        elif patch.kind == "rename" and path in self._updated:
            found = self._written[path]
        else:
            found = original or self._written.get(path)
        if found is None:
            why = f"the patch expects it at line {patch.line}, but it does not exist"
            raise _conflict("FILE_MISSING", path, why, "a file", "nothing")
        _check_mode(patch, found)
        return found

    def _check_free(self, patch: FilePatch) -> None:
        path = patch.path
        exists = path in self._written or (self._original_of(path) is not None and path not in self._leaving)
        if exists:
            why = f"the patch creates it at line {patch.line}, but it exists already"
            raise _conflict("FILE_EXISTS", path, why, "nothing", "a file")

    def _leave(self, patch: FilePatch) -> None:
        self._removed.add(patch.old_path)
        self._renames.append((patch.old_path, patch.path))
        if patch.old_path in self._updated or self._original_of(patch.old_path) is None:
            self._written.pop(patch.old_path, None)

    def _is_plain_rename(self, old: str, new: str) -> bool:
        return (
            self._original_of(old) is not None
            and old not in self._written
            and self._original_of(new) is None
            and new in self._written
        )

    def _new_data(self, patch: FilePatch, old: bytes) -> bytes:
        if patch.binary is not None:
            return self._binary(patch, patch.binary, old)
        return apply_hunks(old, patch.hunks, patch.old_path) if patch.hunks else old

    def _binary(self, patch: FilePatch, binary: BinaryHunk, old: bytes) -> bytes:
        if patch.kind != "create" and blob_id(old, binary.old_id) != binary.old_id:
            why = "its bytes are not those of the patch's old object id"
            raise _conflict("CONTENT_MISMATCH", patch.old_path, why, f"git object {binary.old_id[:12]}…", "other bytes")
        try:
            data = apply_delta(binary.data, old, self._budget) if binary.delta else binary.data
        except ValueError as error:
            raise _malformed(binary.line, f"{printable(patch.path)}: {error}") from error
        if patch.kind == "delete":
            return data
        if blob_id(data, binary.new_id) != binary.new_id:
            raise _malformed(binary.line, f"{printable(patch.path)}: the new bytes do not have the stated object id")
        return data


def _check_mode(patch: FilePatch, found: OldFile) -> None:
    stated = patch.old_mode
    becomes_other_type = patch.new_mode is not None and (patch.new_mode == SYMLINK) != (found.mode == SYMLINK)
    if (stated is not None and stated != found.mode) or (stated is None and becomes_other_type):
        wanted = stated or patch.new_mode
        why = f"the patch at line {patch.line} expects mode {wanted}, found {found.mode}"
        raise _conflict("MODE_MISMATCH", patch.old_path, why, f"mode {wanted}", f"mode {found.mode}")


def _conflict(code: str, path: str, why: str, expected: str, found: str) -> ConflictError:
    from lonelycat.changes.conflict import Conflict, conflict_error

    conflict = Conflict(path=printable(path), code=code, expected=expected, found=found, phase="propose")
    return conflict_error([conflict], f"{conflict.path}: {why}", _STALE)


def _malformed(line: int, why: str) -> InputError:
    return InputError(
        "PATCH_MALFORMED",
        f"the patch is malformed at line {line}: {why}",
        "Make the patch again with `git diff --binary`.",
        details={"line": line},
    )
