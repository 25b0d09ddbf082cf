"""Sessions and limits that processes share, in tables that nothing was written to before.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Give rows a version to be read by, and pins what decides between two of them."""
    _make_pins(
        sa.Column("moves", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_session_pins_version", "session_pins", ["version"])
    _make_limits(sa.Column("version", sa.BigInteger, nullable=False))


def downgrade() -> None:
    """Make the tables as they were. What was in them is learnt again."""
    _make_pins(sa.Column("moved_at", sa.Double))
    _make_limits()


def _make_pins(*more: sa.Column) -> None:
    op.drop_table("session_pins")
    op.create_table(
        "session_pins",
        sa.Column("session_key", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
        *more,
        sa.PrimaryKeyConstraint("session_key", name="pk_session_pins"),
    )
    op.create_index("ix_session_pins_used_at", "session_pins", ["used_at"])


def _make_limits(*more: sa.Column) -> None:
    op.drop_table("account_limits")
    op.create_table(
        "account_limits",
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("window_name", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("utilization", sa.Double),
        sa.Column("resets_at", sa.Double),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("observed_at", sa.Double, nullable=False),
        *more,
        sa.PrimaryKeyConstraint("account_id", "window_name", "family", name="pk_account_limits"),
    )
