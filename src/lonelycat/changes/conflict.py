"""A CONFLICT as data: which path, what was expected there, what was found, and who else wrote it as far as is known.

Invariants:
- However a conflict comes about (a patch that does not fit, the look at the base, the apply, the undo, the recovery),
  it is told in this one form: ``ConflictError.details["conflicts"]``.
- ``expected`` and ``found`` are words for people; programs read the hashes and modes beside them.
- No line of a file stands in it, unless the reader of a patch names the line that did not match.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from lonelycat.changes.changeset import Mode
from lonelycat.changes.model import Hash, Instant, Strict
from lonelycat.errors import ConflictError

Phase = Literal["propose", "rebase", "stage", "apply", "rollback", "recovery"]
GitState = Literal["committed", "uncommitted", "untracked"]


class LastWrite(Strict):
    """The last execution that wrote a path and was kept.

    Attributes:
        intent, proposed_by: of its plan; None where the artifacts are gone.
        left_this: what the path holds now is what that execution left there; None where that cannot be told.
    """

    execution_id: str
    plan_id: str
    finished_at: Instant
    intent: str | None = None
    proposed_by: str | None = None
    left_this: bool | None = None


class GitView(Strict):
    """What git knows of a path.

    Attributes:
        state: ``committed`` if HEAD holds exactly what is there now (or, like the path, nothing), ``uncommitted`` if
            HEAD holds something else, ``untracked`` if HEAD does not hold the path.
        commit, author, committed_at, subject: the last commit that changed the path; None where there is none, or
            where finding it took too long.
    """

    state: GitState
    commit: str | None = None
    author: str | None = None
    committed_at: str | None = None
    subject: str | None = None


class LineCount(Strict):
    """How the text that was found differs from the one that was expected.

    Attributes:
        added, removed: lines.
        first: line of the found text where the first difference is, from 1.
    """

    added: int
    removed: int
    first: int


class Conflict(Strict):
    """One path that is not what it had to be.

    Attributes:
        path: as it may be shown: with git's quoting where a terminal could be misled.
        code: ``FILE_CHANGED``, ``HUNK_MISMATCH`` …
        expected, found: in words.
        expected_hash, expected_mode, found_hash, found_mode: SHA-256 and git's mode; None for nothing, for what is no
            file, and where it is not known.
        phase: when it was found out.
        hunk, line: of a hunk that does not match: its number from 1, and the line of the file as it is.
        quarantined: where below the workspace the content is kept that belongs there and could not be put back.
    """

    path: str
    code: str
    expected: str
    found: str
    expected_hash: Hash | None = None
    expected_mode: Mode | None = None
    found_hash: Hash | None = None
    found_mode: Mode | None = None
    phase: Phase = "stage"
    hunk: Annotated[int, Field(ge=1)] | None = None
    line: Annotated[int, Field(ge=1)] | None = None
    lines: LineCount | None = None
    last_execution: LastWrite | None = None
    git: GitView | None = None
    quarantined: str | None = None


REBASE_HINT = (
    "`lonelycat propose --rebase PLAN_ID` makes a new plan on today's content where the hunks still apply; "
    "otherwise make the change again from the present files."
)


def conflict_error(conflicts: Sequence[Conflict], message: str = "", hint: str = REBASE_HINT) -> ConflictError:
    """Return the CONFLICT that names each path and what differs; its code is that of the first.

    Args:
        message: instead of the sentence that is made of the first conflict.

    The details hold all of them as ``conflicts``, and where there is but one its ``path`` beside that.
    """
    first = conflicts[0]
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    details: dict[str, object] = {"conflicts": [one.model_dump(mode="json") for one in conflicts]}
    if len(conflicts) == 1:
        details["path"] = first.path
    sentence = message or f"{first.path}: expected {first.expected}, found {first.found}"
    return ConflictError(first.code, sentence + more, hint, details=details)


def conflicts_of(error: Exception) -> tuple[Conflict, ...]:
    """Return what :func:`conflict_error` put into ``error``; nothing for any other error."""
    if not isinstance(error, ConflictError):
        return ()
    entries = error.details.get("conflicts")
    if not isinstance(entries, list):
        return ()
    try:
        return tuple(Conflict.model_validate(entry) for entry in entries)
    except ValidationError:
        return ()
