"""The audit log: a hash chain of signed records.

Invariants:
- Record n holds the hash of record n-1, and its own hash covers everything else in it; the gate signs that hash.
  So no record can be edited, left out, inserted or moved without it being seen.
- Cutting off the end cannot be seen in the chain itself: receipts name the head that they were written under, and
  a person can note a head elsewhere.
- Appending reads the newest record only, within the transaction of what it records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from lonelycat.changes.digest import canonical_digest, canonical_json
from lonelycat.errors import InputError
from lonelycat.governance.signing import Signer, verify_signature
from lonelycat.records.database import Database
from lonelycat.records.entries import AuditEvent, AuditHead, AuditProblem
from lonelycat.records.redaction import redact_json, redact_text
from lonelycat.records.tables import audit

STATEMENT = "lonelycat.audit.v1"
FACTS = "record"
EMPTY = AuditHead(0, "0" * 64)
PAGE = 1_000
_INSERT = audit.insert()
_NEWEST = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
_COVERED = ("seq", "at", "type", "actor", "payload", "prev_hash")


def head(connection: Connection) -> AuditHead:
    """Return the newest record's number and hash."""
    row = connection.execute(_NEWEST).first()
    return EMPTY if row is None else AuditHead(int(row.seq), str(row.hash))


def append(
    connection: Connection,
    signer: Signer,
    at: str,
    events: Sequence[tuple[AuditEvent, Mapping[str, object]]],
) -> AuditHead:
    """Append events in the caller's write transaction.

    Args:
        at: the time, RFC 3339.
        events: each with facts of Records' own (ids, digests of rows). They go, unredacted, under the key
            ``record``, which no caller's payload can fill.
    """
    newest = head(connection)
    rows: list[dict[str, object]] = []
    for event, facts in events:
        payload = _as_dict(redact_json(dict(event.payload)))
        payload.pop(FACTS, None)
        if facts:
            payload[FACTS] = dict(facts)
        row: dict[str, object] = {
            "seq": newest.seq + 1,
            "at": at,
            "type": str(event.type),
            "actor": redact_text(event.actor),
            "payload": canonical_json(payload).decode("utf-8"),
            "prev_hash": newest.hash,
        }
        newest = AuditHead(newest.seq + 1, canonical_digest(row))
        rows.append({**row, "hash": newest.hash, "signature": signer.sign(_statement(newest))})
    if rows:
        connection.execute(_INSERT, rows)
    return newest


def check_record(row: Mapping[str, Any], before: AuditHead, public_key: str) -> AuditProblem | None:
    """Return what is wrong with one record, given the record before it, or None."""
    seq = row["seq"]
    if not isinstance(seq, int) or seq != before.seq + 1:
        return AuditProblem(
            "AUDIT_GAP", f"record {before.seq + 1} is missing; {seq} follows {before.seq}", before.seq + 1
        )
    if row["prev_hash"] != before.hash:
        return AuditProblem("AUDIT_CHAIN", f"record {seq} does not follow the record before it", seq)
    try:
        true_hash = canonical_digest({name: row[name] for name in _COVERED})
    except (ValueError, TypeError):
        true_hash = ""
    if row["hash"] != true_hash:
        return AuditProblem("AUDIT_HASH", f"record {seq} was edited: its hash does not match", seq)
    if not verify_signature(public_key, _statement(AuditHead(seq, true_hash)), str(row["signature"])):
        return AuditProblem("AUDIT_SIGNATURE", f"record {seq} was not signed by this workspace's gate", seq)
    return None


def pages(database: Database, after: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the records after number ``after`` in order, page by page, each page in a transaction of its own."""
    while True:
        with database.read() as connection:
            page = page_after(connection, after)
        if not page:
            return
        yield page
        after = int(page[-1]["seq"])


def page_after(connection: Connection, after: int) -> list[dict[str, Any]]:
    """Return the next page of records after number ``after``."""
    query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(PAGE)
    return [dict(row._mapping) for row in connection.execute(query)]


def payloads(connection: Connection, type_: str) -> list[dict[str, object]]:
    """Return the payloads of all records of one type, oldest first; they are not verified."""
    query = select(audit.c.payload).where(audit.c.type == type_).order_by(audit.c.seq)
    return [_as_dict(json.loads(text)) for (text,) in connection.execute(query)]


def payload_of(row: Mapping[str, Any]) -> dict[str, object]:
    """Return the payload of a record that was checked."""
    return _as_dict(json.loads(row["payload"]))


def export_line(row: Mapping[str, Any]) -> dict[str, object]:
    """Return a record as it is exported: the payload as an object, everything else as it is."""
    try:
        payload: object = json.loads(row["payload"])
    except (ValueError, TypeError):
        payload = str(row["payload"])
    return {**row, "payload": payload}


def verify_export(
    lines: Iterator[dict[str, Any]], public_key: str, expect_head: AuditHead | None = None
) -> list[AuditProblem]:
    """Verify exported records with nothing but the gate's public key.

    Args:
        lines: the records as ``audit_export`` yields them, from number 1 on.
        public_key: base64, from a trusted place, not from the export.
        expect_head: a head that the export must contain.
    """
    problems: list[AuditProblem] = []
    before, seen = EMPTY, expect_head is None or expect_head == EMPTY
    for line in lines:
        try:
            row = {**{name: line[name] for name in (*_COVERED, "hash", "signature")}}
            row["payload"] = canonical_json(line["payload"]).decode("utf-8")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "AUDIT_EXPORT_MALFORMED", f"after record {before.seq}: not an audit record", "Export it again."
            ) from error
        problem = check_record(row, before, public_key)
        if problem is not None:
            problems.append(problem)
        before = AuditHead(row["seq"] if isinstance(row["seq"], int) else before.seq + 1, str(row["hash"]))
        seen = seen or before == expect_head
    if not seen:
        problems.append(AuditProblem("AUDIT_TRUNCATED", "the expected head is not in the export"))
    return problems


def _statement(newest: AuditHead) -> dict[str, object]:
    return {"statement": STATEMENT, "seq": newest.seq, "hash": newest.hash}


def _as_dict(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("an audit payload is a JSON object")
    return value
