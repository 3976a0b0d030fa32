"""The tables of the database, as SQLAlchemy Core metadata.

Invariants:
- Times are RFC 3339 text in UTC with microseconds, which sorts by time.
- Every query on the path of an execution is answered by a primary key or an index declared here.
- A change here needs a migration in ``migrations/versions`` and a new ``HEAD``; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

HEAD = "0003"
"""The migration that the metadata below corresponds to."""

metadata = MetaData()

proposals = Table(
    "proposals",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("changeset_id", Text, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("changeset", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("rejected_by", Text),
    Column("note", Text, nullable=False),
    Column("redacted", Boolean, nullable=False),
    Column("body_digest", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Index("proposals_by_status", "status", "created_at"),
    Index("proposals_by_time", "created_at"),
    Index("proposals_by_changeset", "changeset_id"),
    Index("proposals_by_decision", "decision_id"),
)

changeset_parts = Table(
    "changeset_parts",
    metadata,
    Column("plan_id", Text, ForeignKey("proposals.plan_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("text", Text, nullable=False),
)
"""Texts of change sets that are too long for the proposal's row, which then names their hash."""

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("plan_id", Text, ForeignKey("proposals.plan_id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Index("approvals_by_plan", "plan_id", "position", unique=True),
)

consumed_approvals = Table(
    "consumed_approvals",
    metadata,
    Column("approval_id", Text, primary_key=True),
    Column("execution_id", Text, nullable=False),
    Column("consumed_at", Text, nullable=False),
    Index("consumed_approvals_by_execution", "execution_id"),
)

executions = Table(
    "executions",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("plan_id", Text, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("finished_at", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Index("executions_by_plan", "plan_id", "finished_at"),
    Index("executions_by_status", "status", "finished_at"),
    Index("executions_by_time", "finished_at"),
    Index("executions_by_checksum", "checksum", "status"),
)

steps = Table(
    "steps",
    metadata,
    Column("execution_id", Text, ForeignKey("executions.execution_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("duration_seconds", Float, nullable=False),
    Column("code", Text),
    Column("message", Text, nullable=False),
    Column("log", Text),
)

execution_paths = Table(
    "execution_paths",
    metadata,
    Column("execution_id", Text, ForeignKey("executions.execution_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("finished_at", Text, nullable=False),
    Index("execution_paths_by_path", "path", "finished_at"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("plan_id", Text, primary_key=True),
    Column("checksum", Text, primary_key=True),
    Column("execution_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Index("idempotency_by_execution", "execution_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Index("audit_by_type", "type", "seq"),
)

blob_refs = Table(
    "blob_refs",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

removals = Table(
    "removals",
    metadata,
    Column("execution_id", Text, primary_key=True),
)

standing = Table(
    "standing",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("seal", Text, nullable=False),
)
