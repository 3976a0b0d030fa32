"""A unified diff as git writes it, read exactly and applied exactly.

Invariants:
- What cannot be read with certainty is refused with the line in the patch; nothing of a patch is skipped silently
  except prose before, between and after files (mail headers, commit messages, signatures).
- Applying never guesses: see :mod:`lonelycat.changes.formats.patch_hunks`.

Format: git-diff(1), "Generating patch text with -p", and the GNU diffutils manual, "Detailed Description of
Unified Format".
"""

from __future__ import annotations

from lonelycat.changes.changeset import FileChange
from lonelycat.changes.formats.base import OldFile, ReadOld
from lonelycat.changes.formats.patch_apply import PatchedTree
from lonelycat.changes.formats.patch_binary import MARK, Budget, read_binary
from lonelycat.changes.formats.patch_header import (
    Header,
    binary_without_data,
    full_ids,
    read_git_header,
    read_plain_header,
)
from lonelycat.changes.formats.patch_hunks import read_hunks
from lonelycat.changes.formats.patch_model import BinaryHunk, FilePatch, ParsedPatch
from lonelycat.changes.formats.patch_reader import PatchReader
from lonelycat.errors import InputError
from lonelycat.settings import Limits

__all__ = ["FilePatch", "OldFile", "ParsedPatch", "apply_patch", "parse_patch"]


def parse_patch(data: bytes, limits: Limits | None = None) -> ParsedPatch:
    """Parse a patch.

    Args:
        data: the patch as bytes; prose around the files (``git format-patch``) is allowed.
        limits: caps on input size, unpacked size and number of files.

    Raises:
        InputError: ``PATCH_MALFORMED``, ``PATCH_EMPTY``, ``PATCH_TOO_LARGE``, ``PATCH_BINARY_MISSING``,
            ``SUBMODULE_UNSUPPORTED``, ``MODE_UNSUPPORTED`` or ``TOO_MANY_CHANGES``.
        PathError: a name that is unsafe under any policy.
    """
    caps = limits or Limits()
    if len(data) > caps.max_input_bytes:
        raise InputError("PATCH_TOO_LARGE", f"the patch is over {caps.max_input_bytes} bytes", "Split the patch.")
    reader, budget, files = PatchReader(data), Budget(caps.max_input_bytes), []
    reader.skip_text()
    while reader.line is not None:
        if reader.line.startswith(b"diff --git "):
            files.append(_read_file(reader, read_git_header(reader), budget))
        elif reader.line.startswith(b"@@ -"):
            raise reader.malformed("a hunk without a file header before it")
        elif reader.following().startswith(b"+++ "):
            files.append(_read_file(reader, read_plain_header(reader), budget, plain=True))
        else:
            reader.advance()
        if len(files) > caps.max_changes:
            raise InputError("TOO_MANY_CHANGES", f"over {caps.max_changes} files in the patch", "Split the patch.")
        reader.skip_text()
    if not files:
        raise _empty(data)
    return ParsedPatch(tuple(files))


def _empty(data: bytes) -> InputError:
    hint = "Hand in the output of `git diff --binary`."
    if data.strip():
        why = "no line of it begins a change in git's form: 'diff --git', or '---' and '+++'"
        return InputError("PATCH_EMPTY", f"the patch changes no file: {why}", hint)
    new = "It leaves out files that git does not know yet: `git add -N FILE` makes them known."
    return InputError("PATCH_EMPTY", "the patch is empty, so it changes no file", f"{hint} {new}")


def apply_patch(parsed: ParsedPatch, read_old: ReadOld, limits: Limits | None = None) -> tuple[FileChange, ...]:
    """Apply a patch to the tree that ``read_old`` shows and return the net changes.

    Args:
        parsed: the patch.
        read_old: returns the file at a checked path, or None if there is none.
        limits: caps the bytes that deltas unpack to.

    Raises:
        ConflictError: ``HUNK_MISMATCH``, ``FILE_MISSING``, ``FILE_EXISTS``, ``MODE_MISMATCH`` or
            ``CONTENT_MISMATCH``: the tree is not what the patch was made against.
        InputError: ``PATCH_MALFORMED`` or ``PATCH_TOO_LARGE``.
    """
    leaving = frozenset(file.old_path for file in parsed.files if file.kind in ("delete", "rename"))
    tree = PatchedTree(read_old, Budget((limits or Limits()).max_input_bytes), leaving)
    for file in parsed.files:
        tree.apply(file)
    return tree.changes()


def _read_file(reader: PatchReader, header: Header, budget: Budget, *, plain: bool = False) -> FilePatch:
    hunks, binary = read_hunks(reader), None
    if reader.line == MARK and not hunks:
        old_id, new_id = full_ids(reader, header)
        delta, unpacked = read_binary(reader, budget)
        binary = BinaryHunk(header.line, delta, unpacked, old_id, new_id)
    elif not hunks and (reader.line or b"").startswith(b"Binary files ") and (reader.line or b"").endswith(b" differ"):
        raise binary_without_data(reader, header)
    elif plain and not hunks:
        raise reader.malformed("a file header without hunks", line=header.line)
    if header.kind == "create" and (len(hunks) > 1 or any(hunk.old or hunk.start for hunk in hunks)):
        raise reader.malformed("a new file cannot have old lines", line=header.line)
    if header.kind == "delete" and any(hunk.new for hunk in hunks):
        raise reader.malformed("a deleted file cannot have new lines", line=header.line)
    empty_update = header.kind == "update" and not (hunks or binary or header.new_mode)
    if empty_update:
        raise reader.malformed("the file's header is followed by no change", line=header.line)
    return FilePatch(
        line=header.line,
        kind=header.kind,
        path=header.path,
        old_path=header.old_path,
        old_mode=header.old_mode,
        new_mode=header.new_mode,
        hunks=hunks,
        binary=binary,
    )
