"""What a dead executor left: finish it or take it back, before anything else happens in the workspace.

Invariants:
- Runs under the lock. No ``journal`` → nothing was applied → the directory goes. COMMITTED → the change stays, and the
  caller records it again. Otherwise undo.
- An undo that had problems is tried again each time; one that had none is not.
- A damaged journal is moved to quarantine with all its backups and freezes the workspace; it is never guessed at.
- Recovery may die at any point and run again.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from lonelycat.changes.paths import printable
from lonelycat.errors import StateError
from lonelycat.executor.fence import refuse_overtaken
from lonelycat.executor.filesystem import FileSystem
from lonelycat.executor.generation import Generation, Phase
from lonelycat.executor.journal import JournalContents, JournalWriter, RecordType, read_journal
from lonelycat.executor.journal_form import read_intent
from lonelycat.executor.layout import Intent
from lonelycat.executor.quarantine import QUARANTINE
from lonelycat.executor.removal import remove_transaction
from lonelycat.executor.rollback import undo
from lonelycat.executor.state_directory import open_state_directory
from lonelycat.executor.sweep import sweep
from lonelycat.executor.tree import PinnedTree

IdentityCheck = Callable[[str, dict[str, object], dict[str, object] | None], None]


class RecoveryOutcome(StrEnum):
    """What recovery made of a transaction directory."""

    NOTHING_APPLIED = "nothing_applied"
    COMMITTED = "committed"
    UNDONE = "undone"
    CONFLICT = "conflict"
    FAILED = "failed"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Recovered:
    """One transaction directory, dealt with.

    Attributes:
        identity: the ``identity`` of INTENT; empty when there was none to read.
        committed: the body of COMMITTED, or None.
        restarts: services whose restart had begun, in that order: what was undone needs them again.
        pre_image: the digest of what the transaction's paths held before; None when there was nothing to read.
        undo: the report of the undo, or None.
        kept: (path, place) of outsiders' contents that were found in the stage.
    """

    execution_id: str
    outcome: RecoveryOutcome
    identity: dict[str, object]
    committed: dict[str, object] | None = None
    restarts: tuple[str, ...] = ()
    pre_image: str | None = None
    undo: dict[str, object] | None = None
    kept: tuple[tuple[str, str], ...] = ()
    message: str = ""


def pending_transactions(filesystem: FileSystem, root: Path) -> list[str]:
    """Return the ids of transactions that are not finished; looks only."""
    directory = root / ".lonelycat" / "tx"
    if not directory.is_dir() or directory.is_symlink():
        return []
    with filesystem.closing(open_state_directory(filesystem, root, "tx")) as transactions:
        return sorted(filesystem.list(transactions))


class Recovery:
    """Deals with every transaction directory it finds.

    Args:
        fence: the lock's fence; where a higher one wrote a journal, or was given out, nothing is recovered.
        chunk: bytes of a large file held at once.
        was_recorded: tells whether history already holds this execution as completed (then a COMMITTED frame that
            can no longer be read was durable once).
        record: called with each result before its directory is removed; makes history and audit durable. It may be
            called again for the same execution after a crash. What it returns is what is still wrong, in words: then
            the directory stays, so that recovery can be run again.
        locked_root: device and inode of the directory that is locked, or None.
        check: called before anything is done for a transaction with its id, its ``identity`` and the body of COMMITTED,
            or None; raises ``JOURNAL_DAMAGED`` where they cannot be recorded.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        root: Path,
        fence: int,
        *,
        chunk: int,
        was_recorded: Callable[[str], bool],
        record: Callable[[Recovered], str | None],
        locked_root: tuple[int, int] | None = None,
        check: IdentityCheck = lambda _id, _identity, _committed: None,
    ) -> None:
        self._filesystem = filesystem
        self._root = root
        self._fence = fence
        self._chunk = chunk
        self._check = check
        self._was_recorded = was_recorded
        self._record = record
        self._locked_root = locked_root

    def run(self) -> Iterator[Recovered]:
        """Deal with one transaction after the other, yielding each result."""
        fs = self._filesystem
        refuse_overtaken(fs, self._root, self._fence)
        with fs.closing(open_state_directory(fs, self._root, "tx")) as transactions:
            for name in sorted(fs.list(transactions)):
                try:
                    stage = fs.open_beneath(transactions, name)
                except OSError as error:
                    if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                        raise
                    yield self._set_aside(transactions, name, f".lonelycat/tx/{printable(name)} is not a transaction")
                    continue
                with fs.closing(stage):
                    yield self._one(transactions, stage, name)

    def _one(self, transactions: int, stage: int, name: str) -> Recovered:
        try:
            contents = read_journal(self._filesystem, stage)
            intent = None if contents is None else self._read_intent(name, contents)
        except StateError as error:
            if error.code != "JOURNAL_DAMAGED":  # one of another version waits for that version
                raise
            return self._set_aside(transactions, name, error.message)
        if contents is None or intent is None:
            result = Recovered(name, RecoveryOutcome.NOTHING_APPLIED, {})
            self._record(result)
            remove_transaction(self._filesystem, transactions, stage, name)
            return result
        if contents.intent.fence > self._fence:
            raise StateError(
                "FENCE_STALE",
                f"transaction {name} was written under a newer lock than this one",
                "Another executor is ahead; run the command again.",
            )
        with ExitStack() as stack:
            tree = stack.enter_context(PinnedTree(self._filesystem, self._root, self._chunk))
            tree.check_root(transactions, self._locked_root)
            generation = Generation(self._filesystem, tree.root, name)
            stack.callback(generation.close)
            result = self._resolve(tree, stage, name, contents, intent, generation)
            still_wrong = self._record(result)
            if still_wrong:
                result = replace(result, outcome=RecoveryOutcome.FAILED, message=still_wrong)
            if result.outcome is not RecoveryOutcome.FAILED:
                remove_transaction(self._filesystem, transactions, stage, name)
        return result

    def _read_intent(self, name: str, contents: JournalContents) -> Intent:
        intent, committed = read_intent(contents), contents.last(RecordType.COMMITTED)
        self._check(name, intent.identity, None if committed is None else committed.body)
        return intent

    def _resolve(
        self,
        tree: PinnedTree,
        stage: int,
        name: str,
        contents: JournalContents,
        intent: Intent,
        generation: Generation,
    ) -> Recovered:
        committed = contents.last(RecordType.COMMITTED)
        if committed is not None or self._was_recorded(name):
            kept = sweep(self._filesystem, tree, stage, intent, name, {})
            body = committed.body if committed else None
            return Recovered(name, RecoveryOutcome.COMMITTED, intent.identity, body, kept=tuple(kept))
        restarts = _restarts(contents)
        undone = contents.last(RecordType.UNDONE)
        if undone is not None and not undone.body["problems"]:
            kept = sweep(self._filesystem, tree, stage, intent, name, {})
            body = undone.body
            return _taken_back(name, intent, restarts, body, kept)
        generation.mark_if_possible(Phase.UNDOING)
        report = undo(self._filesystem, tree, stage, intent, name)
        if not report.problems:
            generation.mark_if_possible(Phase.UNDONE)
        kept = sweep(self._filesystem, tree, stage, intent, name, {})
        body = report.to_body()
        JournalWriter.resume(self._filesystem, stage, self._fence, contents).append(RecordType.UNDONE, body)
        return _taken_back(name, intent, restarts, body, kept)

    def _set_aside(self, transactions: int, name: str, why: str) -> Recovered:
        """Record first, then move: a crash in between must not lose the freeze, only repeat it."""
        fs = self._filesystem
        with fs.closing(open_state_directory(fs, self._root, QUARANTINE)) as directory:
            taken = set(fs.list(directory))
            names = (f"{name}.transaction", *(f"{name}.transaction.{n}" for n in range(1, len(taken) + 2)))
            place = next(place for place in names if place not in taken)
            message = f"{why}; everything it holds is in .lonelycat/{QUARANTINE}/{printable(place)}"
            result = Recovered(name, RecoveryOutcome.DAMAGED, {}, message=message)
            self._record(result)
            fs.move(transactions, name, directory, place)
            fs.fsync(directory)
            fs.fsync(transactions)
        return result


def _restarts(contents: JournalContents) -> tuple[str, ...]:
    """Return the services whose restart had begun; an older journal names all of them before the first."""
    together = contents.last(RecordType.RESTARTS)
    named = [] if together is None else together.body.get("services", [])
    earlier = [str(name) for name in named] if isinstance(named, list) else []
    return tuple(dict.fromkeys([*earlier, *contents.services(RecordType.RESTART_BEGUN)]))


def _taken_back(
    name: str, intent: Intent, restarts: tuple[str, ...], report: dict[str, object], kept: list[tuple[str, str]]
) -> Recovered:
    return Recovered(
        name,
        _outcome(report, intent.pre_image),
        intent.identity,
        restarts=restarts,
        undo=report,
        kept=tuple(kept),
        pre_image=intent.pre_image,
    )


def _outcome(report: dict[str, object], pre_image: str) -> RecoveryOutcome:
    if report["problems"]:
        return RecoveryOutcome.FAILED
    if not report["restored"]:
        return RecoveryOutcome.CONFLICT
    # The report of an older version has no digest; its undo was verified path by path.
    same = report.get("tree_digest", pre_image) == pre_image
    return RecoveryOutcome.UNDONE if same else RecoveryOutcome.FAILED
