"""How conflicts look: path by path, what was expected, what is there, and who else wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from lonelycat.changes.conflict import Conflict, GitView, LastWrite, LineCount
from lonelycat.interfaces.cli.screen import Screen

MEANWHILE = frozenset({"rollback", "recovery"})
"""The phases in which the change was in place already."""
_MOST = 20
_LABEL = 10
_WHAT = {
    "FILE_CHANGED": "does not hold what the change was made against",
    "FILE_EXISTS": "exists already",
    "FILE_MISSING": "is not there",
    "MODE_CHANGED": "has another mode",
    "PATH_IS_DIRECTORY": "is a directory",
    "PATH_NOT_DIRECTORY": "cannot exist: a directory of its path is a file",
    "PATH_NEVER_STILL": "is replaced again and again",
    "DIRECTORY_CHANGED": "is another directory than before",
    "DIRECTORY_NOT_EMPTY": "holds files that the change does not know",
    "ROOT_REPLACED": "is not the workspace that the change began in",
    "HUNK_MISMATCH": "does not match",
    "CONTENT_MISMATCH": "does not hold what the patch was made against",
    "MODE_MISMATCH": "has another mode",
}
_MEANWHILE = {
    "FILE_CHANGED": "was changed meanwhile",
    "FILE_EXISTS": "was made again meanwhile",
    "FILE_MISSING": "was removed meanwhile",
    "MODE_CHANGED": "got another mode meanwhile",
}
_WHEN = {
    "propose": "seen when it was proposed",
    "rebase": "seen when it was rebased",
    "stage": "seen before anything was touched",
    "apply": "changed while the change was applied; put back as it was found",
    "rollback": "changed while the change was in place; left alone",
    "recovery": "changed before the recovery; left alone",
}
_GIT = {"committed": "committed", "uncommitted": "an edit that is not committed", "untracked": "not known to git"}


def show_conflicts(screen: Screen, conflicts: Sequence[Conflict]) -> None:
    """Write each conflict as a block of its own."""
    noun = "path" if len(conflicts) == 1 else "paths"
    screen.line((f"{len(conflicts)} {noun} in conflict", "title"))
    for conflict in conflicts[:_MOST]:
        known = _WHAT | _MEANWHILE if conflict.phase in MEANWHILE else _WHAT
        what = known.get(conflict.code, conflict.code)
        screen.line((conflict.path, "path"), (f"  {what}{_where(conflict)}", "warn"), indent=2)
        for label, text in _facts(conflict):
            screen.line((f"{label:<{_LABEL}}", "dim"), text, indent=4)
    if len(conflicts) > _MOST:
        screen.line((f"… and {len(conflicts) - _MOST} more; --json has them all", "dim"), indent=2)


def _where(conflict: Conflict) -> str:
    return f": hunk {conflict.hunk} at line {conflict.line}" if conflict.hunk is not None else ""


def _facts(conflict: Conflict) -> Iterable[tuple[str, str]]:
    yield "expected", conflict.expected
    yield "found", conflict.found
    if conflict.lines is not None:
        yield "lines", lines_in_words(conflict.lines)
    yield "when", _WHEN[conflict.phase]
    if conflict.last_execution is not None:
        yield "last run", last_write_in_words(conflict.last_execution)
    if conflict.git is not None:
        yield "git", git_in_words(conflict.git)
    if conflict.quarantined is not None:
        yield "kept in", conflict.quarantined


def lines_in_words(lines: LineCount) -> str:
    """Return how a text differs, as in ``+2 -1, from line 12 on``."""
    return f"+{lines.added} -{lines.removed}, from line {lines.first} on"


def last_write_in_words(write: LastWrite) -> str:
    """Return which execution wrote a path last, and whether what is there now is its."""
    what = f" {write.intent!r}" if write.intent else ""
    by = f" by {write.proposed_by}" if write.proposed_by else ""
    state = {True: "left exactly this", False: "changed since, without LonelyCat", None: "what it left is not known"}
    moment = write.finished_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"{write.execution_id}{what}{by}, {moment}: {state[write.left_this]}"


def git_in_words(view: GitView) -> str:
    """Return what git says of a path, and who committed it."""
    if view.commit is None:
        return _GIT[view.state]
    at = view.committed_at or ""
    try:
        at = datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        at = at[:40]
    return f"{_GIT[view.state]} in {view.commit[:10]} by {view.author}, {at}: {view.subject}"
