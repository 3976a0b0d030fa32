"""Texts of long change sets in parts, beside the proposal's row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; what was stored before stays in its row."""
    op.create_table(
        "changeset_parts",
        sa.Column("plan_id", sa.Text(), sa.ForeignKey("proposals.plan_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
    )
