"""Walking the whole audit log, and holding the database and the receipts against it.

Invariants:
- The log is read in pages, each in a short transaction, so that a long verification keeps nobody from writing.
- Every row of history, idempotency, proposals, consumed approvals and of what stands must have the digest that the
  newest audit record about it states, and every row that the log speaks of must be there, unless a clean-up removed it.
- What looks wrong in the long pass is looked at again in one transaction with the end of the log, so that a row
  written meanwhile is no false alarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from lonelycat.errors import InputError, RefusedError
from lonelycat.records import audit as log
from lonelycat.records import history, idempotency_store, proposals, standing, tables
from lonelycat.records.artifacts import RECEIPT, ArtifactDirectory
from lonelycat.records.database import Database
from lonelycat.records.entries import AuditHead, AuditProblem, AuditReport
from lonelycat.records.receipts import read_receipt, verify_receipt

MAX_PROBLEMS = 100
_BATCH = 200


@dataclass(slots=True)
class Walk:
    """What the log says so far: its head, what is wrong with it, and the newest digest of each row."""

    public_key: str
    head: AuditHead = log.EMPTY
    count: int = 0
    problems: list[AuditProblem] = field(default_factory=list)
    executions: dict[str, str] = field(default_factory=dict)
    proposals: dict[str, str] = field(default_factory=dict)
    idempotency: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    consumed: dict[str, str] = field(default_factory=dict)
    standing: dict[tuple[str, ...], str | None] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    receipted: set[str] = field(default_factory=set)
    fence: int = 0
    heads: dict[int, list[tuple[str, str]]] = field(default_factory=dict)

    def feed(self, row: Mapping[str, Any]) -> None:
        """Take in the next record."""
        problem = log.check_record(row, self.head, self.public_key)
        if problem is not None:
            self.problems.append(problem)
        self.count += 1
        self.head = AuditHead(int(row["seq"]), str(row["hash"]))
        for expected, who in self.heads.pop(self.head.seq, ()):
            if expected != self.head.hash:
                text = f"record {self.head.seq} is not the one that {who} names"
                self.problems.append(AuditProblem("AUDIT_HEAD_MISMATCH", text, self.head.seq))
        try:
            facts = json.loads(row["payload"]).get(log.FACTS, {})
            self._learn(facts)
        except (ValueError, TypeError, KeyError, AttributeError):
            if problem is None:
                self.problems.append(AuditProblem("AUDIT_MALFORMED", f"record {row['seq']} is malformed", row["seq"]))

    def _learn(self, facts: dict[str, Any]) -> None:
        kind = facts.get("kind")
        if kind == "proposal":
            self.proposals[facts["plan_id"]] = facts["digest"]
        elif kind == "execution":
            key = facts["execution_id"]
            self.executions[key] = facts["digest"]
            if facts["receipt"]:
                self.receipted.add(key)
            self.fence = max(self.fence, facts["fence"])
            self.consumed.update(dict.fromkeys(facts["consumed"], key))
            if facts["idempotency_digest"] is not None:
                self.idempotency[facts["plan_id"], facts["checksum"]] = (key, facts["idempotency_digest"])
        elif kind == "standing":
            self.standing[facts["of"], facts["key"]] = facts["digest"]
        elif kind == "gc":
            self.removed.update(facts["executions"], facts["proposals"])

    def expect(self, head: AuditHead, who: str) -> None:
        """Require that the log contains ``head``; call it before the walk."""
        if head != log.EMPTY:
            self.heads.setdefault(head.seq, []).append((head.hash, who))


Key = tuple[str, ...]
Check = Callable[[Connection, Walk, Key], AuditProblem | None]


def verify(
    database: Database, public_key: str, executions_dir: Path, expect_head: AuditHead | None = None
) -> AuditReport:
    """Verify the log, the rows and the receipts, and report what is wrong, first bad record first."""
    walk = Walk(public_key)
    if expect_head is not None:
        walk.expect(expect_head, "the expected head")
    receipts = _receipts(executions_dir)
    for name, receipt_head in receipts.items():
        if receipt_head is not None:
            walk.expect(receipt_head, f"the receipt of {name}")
    for page in log.pages(database, 0):
        for row in page:
            walk.feed(row)
    must_have = set(walk.receipted)  # not those that are being finished right now
    suspects = list(_suspects(database, walk))
    found: list[AuditProblem] = []
    with database.read() as connection:
        while page := log.page_after(connection, walk.head.seq):
            for row in page:
                walk.feed(row)
        for check, key in suspects:
            problem = check(connection, walk, key)
            if problem is not None:
                found.append(problem)
        found += _fence_problems(connection, walk)
    for seq, expected in sorted(walk.heads.items()):
        text = f"the log ends at {walk.head.seq}, but {expected[0][1]} names record {seq}: its end was cut off"
        walk.problems.append(AuditProblem("AUDIT_TRUNCATED", text))
    found += _receipt_problems(walk, executions_dir, receipts, must_have)
    problems = tuple([*walk.problems, *found][:MAX_PROBLEMS])
    return AuditReport(walk.count, walk.head, problems, executions=len(walk.executions), receipts=len(receipts))


def _suspects(database: Database, walk: Walk) -> Iterator[tuple[Check, Key]]:
    t = tables
    tasks: list[tuple[Check, list[Any], set[Key]]] = [
        (_check_execution, [t.executions.c.execution_id], {(key,) for key in walk.executions}),
        (_check_proposal, [t.proposals.c.plan_id], {(key,) for key in walk.proposals}),
        (_check_idempotency, [t.idempotency.c.plan_id, t.idempotency.c.checksum], set(walk.idempotency)),
        (_check_consumed, [t.consumed_approvals.c.approval_id], {(key,) for key in walk.consumed}),
        (_check_standing, [t.standing.c.kind, t.standing.c.key], set(walk.standing)),
    ]
    for check, columns, said in tasks:
        with database.read() as connection:
            stored = {tuple(map(str, row)) for row in connection.execute(select(*columns))}
        keys = sorted(said | stored)
        for start in range(0, len(keys), _BATCH):
            with database.read() as connection:
                bad = [key for key in keys[start : start + _BATCH] if check(connection, walk, key) is not None]
            yield from ((check, key) for key in bad)


def _judge(what: str, key: str, stored: str | None, said: str | None, walk: Walk, intact: bool) -> AuditProblem | None:
    """Compare the digest of a row with what the log says about it; either may be absent."""
    kind = what.upper()
    if stored is None:
        if said is None or key in walk.removed:
            return None
        return AuditProblem(f"{kind}_MISSING", f"the {what} {key} was deleted from the database")
    if said is None:
        return AuditProblem(f"{kind}_UNKNOWN", f"the {what} {key} is in the database, but not in the audit log")
    if not intact or stored != said:
        return AuditProblem(f"{kind}_ALTERED", f"the {what} {key} was edited in the database")
    return None


def _check_execution(connection: Connection, walk: Walk, key: Key) -> AuditProblem | None:
    row = connection.execute(history.query(execution_id=key[0])).first()
    stored = None if row is None else str(row.digest)
    intact = row is not None and history.load(connection, walk.public_key, [row])[0].intact
    return _judge("execution", key[0], stored, walk.executions.get(key[0]), walk, intact)


def _check_proposal(connection: Connection, walk: Walk, key: Key) -> AuditProblem | None:
    row = proposals.read(connection, key[0])
    stored, intact = (None, False) if row is None else (str(row.values["digest"]), False)
    if row is not None:
        try:
            proposal = proposals.checked(connection, row, walk.public_key, {})
            wanted = proposals.blobs_of(proposal.changeset)
            # A base may be missing: it has the name of its bytes, and without it a rebase only finds fewer hunks.
            bases = {change.old_hash for change in proposal.changeset.changes}
            query = select(tables.blob_refs.c.sha256).where(tables.blob_refs.c.owner == key[0])
            intact = proposal.redacted or wanted <= set(connection.execute(query).scalars()) <= wanted | bases
        except RefusedError:
            intact = False
    return _judge("proposal", key[0], stored, walk.proposals.get(key[0]), walk, intact)


def _check_idempotency(connection: Connection, walk: Walk, key: Key) -> AuditProblem | None:
    t = tables.idempotency.c
    row = connection.execute(
        select(t.plan_id, t.checksum, t.execution_id, t.status, t.document, t.digest).where(
            t.plan_id == key[0], t.checksum == key[1]
        )
    ).first()
    execution_id, said = walk.idempotency.get((key[0], key[1]), (key[0], None))
    intact = False
    if row is not None:
        try:
            intact = idempotency_store.get(connection, walk.public_key, key[0], key[1]) is not None
        except RefusedError:
            intact = False
    stored = None if row is None else str(row.digest)
    if stored is None and execution_id in walk.removed:
        return None
    return _judge("idempotency", key[0], stored, said, walk, intact)


def _check_consumed(connection: Connection, walk: Walk, key: Key) -> AuditProblem | None:
    t = tables.consumed_approvals.c
    stored = connection.execute(select(t.execution_id).where(t.approval_id == key[0])).scalar_one_or_none()
    return _judge("approval", key[0], None if stored is None else str(stored), walk.consumed.get(key[0]), walk, True)


def _check_standing(connection: Connection, walk: Walk, key: Key) -> AuditProblem | None:
    t = tables.standing
    row = connection.execute(select(t).where(t.c.kind == key[0], t.c.key == key[1])).first()
    intact = row is not None and standing.is_intact(row, walk.public_key)
    stored = None if row is None else str(row.digest)
    return _judge("standing", f"{key[0]} {key[1]}", stored, walk.standing.get((key[0], key[1])), walk, intact)


def _fence_problems(connection: Connection, walk: Walk) -> list[AuditProblem]:
    t = tables.counters.c
    stored = connection.execute(select(t.value).where(t.name == "fence")).scalar_one_or_none() or 0
    if stored == walk.fence:
        return []
    return [AuditProblem("FENCE_ALTERED", f"the database's fence is {stored}, the audit log's {walk.fence}")]


def _receipts(executions_dir: Path) -> dict[str, AuditHead | None]:
    """Return each execution directory with a receipt, and the audit head that it names, if that can be read."""
    heads: dict[str, AuditHead | None] = {}
    for folder in sorted(executions_dir.iterdir()) if executions_dir.is_dir() else ():
        try:
            directory = ArtifactDirectory(executions_dir, folder.name)
            if RECEIPT in directory.names():
                heads[folder.name] = None
                named = read_receipt(directory)["audit_head"]
                heads[folder.name] = AuditHead(int(named["seq"]), str(named["hash"]))
        except (InputError, ValueError, TypeError, KeyError):
            continue
    return heads


def _receipt_problems(
    walk: Walk, executions_dir: Path, receipts: Mapping[str, object], must_have: set[str]
) -> list[AuditProblem]:
    found = []
    for name in receipts:
        if name in walk.removed:
            continue  # an interrupted clean-up; the next one finishes it
        for text in verify_receipt(ArtifactDirectory(executions_dir, name), walk.public_key):
            found.append(AuditProblem("RECEIPT_ALTERED", f"{name}: {text}"))
        if name not in walk.executions:
            found.append(AuditProblem("RECEIPT_UNKNOWN", f"{name} has a receipt, but is not in the audit log"))
    for name in sorted(must_have - set(receipts) - walk.removed):
        found.append(AuditProblem("RECEIPT_MISSING", f"{name} has no receipt; removed, or a recovery is due"))
    return found
