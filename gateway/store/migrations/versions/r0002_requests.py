"""The table for the records of requests.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "requests",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("account", sa.Text),
        sa.Column("actor_id", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("status", sa.Integer),
        sa.Column("upstream_request_id", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("stop_reason", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("cache_read_tokens", sa.BigInteger),
        sa.Column("cache_write_tokens", sa.BigInteger),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.Column("switch", sa.Text),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("bytes_in", sa.BigInteger, nullable=False),
        sa.Column("bytes_out", sa.BigInteger, nullable=False),
        sa.Column("ms_to_content", sa.BigInteger),
        sa.Column("ms", sa.BigInteger),
        sa.Column("notes", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )
    op.create_index("ix_requests_at", "requests", ["at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("requests")
