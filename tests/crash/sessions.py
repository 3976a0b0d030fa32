"""Sessions of the executor on a disk in memory, recorded, with what is promised at every point of them.

A session is what processes do between two power cuts: a transaction that is kept, undone or abandoned; one that died,
the recovery of it and another one; one that met an I/O error or an outsider; a recovery. Nothing here knows which
calls the executor makes: what it is about (:class:`Call`'s ``phase``) and what it has promised is noted beside them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.crash.disk import ROOT, STATE, Disk, Entry, Inode
from tests.crash.driver import CHUNK, EXECUTION, FENCE, no_blobs
from tests.crash.memory import Call, MemoryFileSystem
from tests.crash.trees import File, Folder, Link, Tree

from lonelycat.changes.changeset import FileChange
from lonelycat.errors import LonelyCatError
from lonelycat.executor.recovery import Recovered, Recovery
from lonelycat.executor.transaction import Transaction
from lonelycat.executor.undo_report import UndoReport

SECOND = "exec_zweite"


@dataclass(frozen=True)
class Promise:
    """What a power cut from some moment on may leave, once recovered from.

    Attributes:
        trees: names of the trees (of :class:`Session`) that the workspace may be.
        recorded: the executions that history holds as completed: it is durable by itself.
        kept: contents that must be in quarantine, and nothing else may be; None where it does not matter.
        reports: history does not know how it ended, so recovery has to tell.
        settled: recovery has nothing left to do.
        anew: what was promised before does not hold any more, as somebody else has acted.
    """

    trees: frozenset[str]
    recorded: frozenset[str] = frozenset()
    kept: frozenset[bytes] | None = frozenset()
    reports: bool = False
    settled: bool = False
    anew: bool = False


@dataclass
class Session:
    """A recording: the durable disk that it began with, every mutating call, what was promised from which call on.

    ``outcomes`` are those that a recovery from it may come to; ``protocol`` is how the executor works, in it and after.
    """

    name: str
    base: Disk
    born: dict[int, Inode]
    trees: dict[str, Tree]
    outcomes: frozenset[str] = frozenset({"nothing_applied", "undone", "committed"})
    protocol: type[MemoryFileSystem] = MemoryFileSystem
    calls: list[Call] = field(default_factory=list)
    promises: list[tuple[int, Promise]] = field(default_factory=list)


Case = tuple[Tree, tuple[FileChange, ...], Tree]
"""What a workspace holds, the changes to it, and what they make of it."""
TOKEN = b"somebody else wrote this"


class Dead(BaseException):
    """The process dies here; what it did is in the page cache."""


def on_disk(tree: Tree) -> Disk:
    """Return a disk that holds ``tree``."""
    disk = Disk.empty(os.geteuid(), os.getegid())
    born: dict[int, Inode] = {}
    for number, path in enumerate(sorted(tree, key=lambda each: each.count("/")), ROOT + 1):
        entry = tree[path]
        above, _, name = path.rpartition("/")
        kind = stat.S_IFDIR if isinstance(entry, Folder) else stat.S_IFLNK if isinstance(entry, Link) else stat.S_IFREG
        mode = 0o777 if isinstance(entry, Link) else entry.mode
        data = b"" if isinstance(entry, Folder) else entry.data
        born[number] = Inode(kind | mode, os.geteuid(), os.getegid(), data)
        home = disk.find(above)
        assert home is not None
        disk.make(Entry(home, name, number), born)
    return disk


class Recorder:
    """Runs the executor on a disk in memory and keeps what it did."""

    def __init__(
        self,
        name: str,
        case: Case,
        *,
        base: Disk | None = None,
        born: dict[int, Inode] | None = None,
        protocol: type[MemoryFileSystem] = MemoryFileSystem,
    ) -> None:
        old, self.changes, new = case
        disk = on_disk(old) if base is None else base
        self.session = Session(name, disk.copy(), dict(born or {}), {"old": old, "new": new}, protocol=protocol)
        self.fs = protocol(disk, self.session.born)
        self.session.calls = self.fs.calls
        self.history: set[str] = set()
        self.promise("old")

    def promise(self, *trees: str, kept: frozenset[bytes] | None = frozenset(), **more: bool) -> None:
        """From the next call on a power cut leaves one of ``trees``; ``more`` as in :class:`Promise`."""
        promise = Promise(frozenset(trees), frozenset(self.history), kept, **more)
        self.session.promises.append((len(self.fs.calls), promise))

    def end_is_known(self) -> None:
        """History knows from here on how the execution ended: it is durable by itself."""
        _, last = self.session.promises[-1]
        known = replace(last, recorded=frozenset(self.history), reports=False, anew=False)
        self.session.promises.append((len(self.fs.calls), known))

    def done(self) -> Session:
        self.fs.let_go()
        return self.session

    def outsider_writes(self, path: str) -> None:
        """Somebody replaces a file, and makes that durable."""
        directory, _, name = path.rpartition("/")
        home = self.fs.disk.find(directory)
        assert home is not None
        self.fs.outside(home, name, File(TOKEN, 0o644).data)

    # -- what processes do ---------------------------------------------------------------------------------------

    def open(self, execution: str, fence: int) -> Transaction:
        self.fs.phase = "open"
        return Transaction(self.fs, self.fs.root, execution, fence, no_blobs, CHUNK)

    def stage(self, transaction: Transaction, execution: str) -> None:
        self.fs.phase = "stage"
        transaction.stage(self.changes, {"execution_id": execution})
        self.promise("old", reports=True)

    def apply(self, transaction: Transaction) -> None:
        self.fs.phase = "apply"
        transaction.apply()

    def commit(self, transaction: Transaction) -> None:
        self.promise("old", "new", reports=True)
        self.fs.phase = "commit"
        transaction.commit({"result": {}})
        self.promise("new", reports=True)

    def undo(self, transaction: Transaction) -> UndoReport:
        self.fs.phase = "undo"
        return transaction.undo()

    def clean_up(self, transaction: Transaction) -> None:
        self.end_is_known()
        self.fs.phase = "clean-up"
        transaction.clean_up()

    def abandon(self, transaction: Transaction) -> None:
        self.end_is_known()
        self.fs.phase = "abandon"
        transaction.abandon()

    def keep(self, execution: str = EXECUTION, fence: int = FENCE) -> None:
        """Execute the changes and keep them; history plays no part, which promises more than is needed."""
        with self.open(execution, fence) as transaction:
            self.stage(transaction, execution)
            self.apply(transaction)
            self.commit(transaction)
            self.clean_up(transaction)

    def execute_and_undo(self) -> None:
        with self.open(EXECUTION, FENCE) as transaction:
            self.stage(transaction, EXECUTION)
            self.apply(transaction)
            self.undo(transaction)
            self.clean_up(transaction)

    def stage_and_abandon(self) -> None:
        with self.open(EXECUTION, FENCE) as transaction:
            self.stage(transaction, EXECUTION)
            self.abandon(transaction)

    def recover(self) -> None:
        """Recover as the next process does; what it finds is history from there on."""
        self.fs.phase = "recovery"

        def record(found: Recovered) -> None:
            if found.outcome == "committed" and found.execution_id not in self.history:
                self.history.add(found.execution_id)
                self.promise("new")
            self.end_is_known()

        known = self.history.__contains__
        for _ in Recovery(self.fs, self.fs.root, FENCE + 1, chunk=CHUNK, was_recorded=known, record=record).run():
            pass

    def die_at(self, at: int, work: Callable[[], None]) -> bool:
        """Do ``work`` in a process that dies before call ``at``; tell whether it came to that."""

        def before(number: int, _: str) -> None:
            if number == at:
                raise Dead

        self.fs.before = before
        try:
            work()
        except Dead:
            return True
        finally:
            self.fs.before = lambda number, name: None
            self.fs.let_go()
        return False

    def meet_an_error(self, at: int) -> None:
        """Execute as the pipeline does, with EIO at call ``at``; what is told is promised."""

        def before(number: int, _: str) -> None:
            if number == at:
                raise OSError(errno.EIO, "I/O error")

        self.fs.before = before
        try:
            self._execute_as_told()
        finally:
            self.fs.before = lambda number, name: None

    def _execute_as_told(self) -> None:
        try:
            opened = self.open(EXECUTION, FENCE)
        except LonelyCatError:
            return
        with opened as transaction:
            try:
                self.stage(transaction, EXECUTION)
            except (LonelyCatError, OSError):
                self.abandon(transaction)
                return
            try:
                self.apply(transaction)
            except (LonelyCatError, OSError):
                self._undo_as_told(transaction)
                return
            try:
                self.commit(transaction)
            except OSError:
                return  # indeterminate: recovery will tell
            try:
                self.clean_up(transaction)
            except (LonelyCatError, OSError):
                return

    def _undo_as_told(self, transaction: Transaction) -> None:
        try:
            if not self.undo(transaction).problems:
                self.clean_up(transaction)
        except (LonelyCatError, OSError):
            return


# -- the sessions ----------------------------------------------------------------------------------------------------


def kept(case: Case, protocol: type[MemoryFileSystem] = MemoryFileSystem) -> Session:
    """A transaction that is kept."""
    recorder = Recorder("kept", case, protocol=protocol)
    recorder.keep()
    return recorder.done()


def undone(case: Case, protocol: type[MemoryFileSystem] = MemoryFileSystem) -> Session:
    """A transaction that is applied and taken back."""
    recorder = Recorder("undone", case, protocol=protocol)
    recorder.execute_and_undo()
    return recorder.done()


def abandoned(case: Case, protocol: type[MemoryFileSystem] = MemoryFileSystem) -> Session:
    """A transaction that is staged and given up."""
    recorder = Recorder("abandoned", case, protocol=protocol)
    recorder.stage_and_abandon()
    return recorder.done()


WAYS: dict[str, Callable[[Case], Session]] = {"kept": kept, "undone": undone, "abandoned": abandoned}


def died(case: Case, how: str, *at: int, protocol: type[MemoryFileSystem] = MemoryFileSystem) -> Session:
    """A process that died at a call of a session, and further ones that died recovering from it.

    Then one recovers, and executes the same changes again.
    """
    recorder = Recorder(f"{how}, died before calls {at}", case, protocol=protocol)
    work = {"kept": recorder.keep, "undone": recorder.execute_and_undo, "abandoned": recorder.stage_and_abandon}[how]
    recorder.die_at(at[0], work)
    for call in at[1:]:
        recorder.die_at(len(recorder.fs.calls) + call, recorder.recover)
    recorder.recover()
    if not recorder.history and recorder.fs.disk.tree() == recorder.session.trees["old"]:
        recorder.keep(SECOND, FENCE + 1)
    return recorder.done()


def failed(case: Case, at: int) -> Session:
    """An execution that met an I/O error at call ``at``."""
    recorder = Recorder(f"I/O error at call {at}", case)
    recorder.meet_an_error(at)
    return recorder.done()


def met_an_outsider(case: Case) -> Session | None:
    """Somebody writes over an updated file before undo: theirs stays, the old content goes to quarantine.

    None when the case updates no file.
    """
    old, _, new = case
    updated = [path for path, entry in old.items() if path in new and _is_content(entry) and new[path] != entry]
    if not updated or not _is_content(new[updated[0]]):
        return None
    path = updated[0]
    recorder = Recorder(f"outsider at {path!r}", case)
    recorder.session.outcomes |= {"conflict"}
    recorder.session.trees["theirs"] = old | {path: File(TOKEN, 0o644)}
    before = old[path]
    assert isinstance(before, File | Link)
    with recorder.open(EXECUTION, FENCE) as transaction:
        recorder.stage(transaction, EXECUTION)
        recorder.apply(transaction)
        recorder.outsider_writes(path)
        recorder.promise("theirs", kept=frozenset({before.data}), reports=True, anew=True)
        recorder.undo(transaction)
        recorder.clean_up(transaction)
    return recorder.done()


def _is_content(entry: object) -> bool:
    return isinstance(entry, File | Link)


def recovering(disk: Disk, tree: str, session: Session, promise: Promise) -> Session:
    """The recovery from a crash state that came to ``tree`` before: whatever interrupts it, it comes to it again."""
    case = session.trees["old"], (), session.trees["new"]
    name = f"recovery from {session.name}"
    recorder = Recorder(name, case, base=disk.copy(), born=session.born, protocol=session.protocol)
    recorder.session.trees, recorder.session.outcomes = session.trees, session.outcomes
    recorder.history |= promise.recorded
    recorder.session.promises.clear()
    recorder.promise(tree, kept=promise.kept, reports=promise.reports)
    recorder.recover()
    return recorder.done()


def set_aside(case: Case, *, whole: bool) -> Session:
    """The recovery from a journal that rotted: the transaction goes to quarantine, and stays there.

    ``whole``: all that it holds is there at every moment; more than a rename in two halves can promise.
    """
    applied = Recorder("applied", case)
    with applied.open(EXECUTION, FENCE) as transaction:
        applied.stage(transaction, EXECUTION)
        applied.apply(transaction)
    disk = applied.fs.disk
    journal = disk.find(f"{STATE}/tx/{EXECUTION}/journal")
    assert journal is not None
    data = disk.inodes[journal].data
    disk.inodes[journal] = disk.inodes[journal]._replace(data=data[:20] + bytes([data[20] ^ 1]) + data[21:])
    recorder = Recorder("set aside", case, base=disk, born=applied.session.born)
    recorder.session.outcomes |= {"damaged"}
    recorder.session.trees["as it was"] = disk.tree()
    recorder.session.promises.clear()
    stage = disk.find(f"{STATE}/tx/{EXECUTION}")
    assert stage is not None
    held = frozenset({b"", *(disk.inodes[inode].data for _, inode in disk.walk(stage))}) if whole else None
    recorder.promise("as it was", "new", kept=held)
    recorder.recover()
    recorder.promise("as it was", "new", kept=held, settled=True)
    return recorder.done()
