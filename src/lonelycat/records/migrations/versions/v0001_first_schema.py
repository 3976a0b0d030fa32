"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
    )
    op.create_index("audit_by_type", "audit", ["type", "seq"])
    op.create_table(
        "blob_refs",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.Text(), primary_key=True),
    )
    op.create_table(
        "consumed_approvals",
        sa.Column("approval_id", sa.Text(), primary_key=True),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("consumed_at", sa.Text(), nullable=False),
    )
    op.create_index("consumed_approvals_by_execution", "consumed_approvals", ["execution_id"])
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "executions",
        sa.Column("execution_id", sa.Text(), primary_key=True),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
    )
    op.create_index("executions_by_checksum", "executions", ["checksum", "status"])
    op.create_index("executions_by_plan", "executions", ["plan_id", "finished_at"])
    op.create_index("executions_by_status", "executions", ["status", "finished_at"])
    op.create_index("executions_by_time", "executions", ["finished_at"])
    op.create_table(
        "idempotency",
        sa.Column("plan_id", sa.Text(), primary_key=True),
        sa.Column("checksum", sa.Text(), primary_key=True),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
    )
    op.create_index("idempotency_by_execution", "idempotency", ["execution_id"])
    op.create_table(
        "proposals",
        sa.Column("plan_id", sa.Text(), primary_key=True),
        sa.Column("changeset_id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("changeset", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("rejected_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("redacted", sa.Boolean(), nullable=False),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
    )
    op.create_index("proposals_by_changeset", "proposals", ["changeset_id"])
    op.create_index("proposals_by_decision", "proposals", ["decision_id"])
    op.create_index("proposals_by_status", "proposals", ["status", "created_at"])
    op.create_index("proposals_by_time", "proposals", ["created_at"])
    op.create_table(
        "removals",
        sa.Column("execution_id", sa.Text(), primary_key=True),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("plan_id", sa.Text(), sa.ForeignKey("proposals.plan_id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_index("approvals_by_plan", "approvals", ["plan_id", "position"], unique=True)
    op.create_table(
        "execution_paths",
        sa.Column(
            "execution_id",
            sa.Text(),
            sa.ForeignKey("executions.execution_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text(), nullable=False),
    )
    op.create_index("execution_paths_by_path", "execution_paths", ["path", "finished_at"])
    op.create_table(
        "steps",
        sa.Column(
            "execution_id",
            sa.Text(),
            sa.ForeignKey("executions.execution_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("duration_seconds", sa.Float(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("log", sa.Text(), nullable=True),
    )
