"""Terms of client keys, keys that were replaced, and what keys use.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"
branch_labels: Final = None
depends_on: Final = None

_LIMITS: Final = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent",
    "nanousd_day",
    "nanousd_week",
    "nanousd_month",
    "tokens_day",
    "tokens_week",
    "tokens_month",
)
_PERIODS: Final = ("day", "week", "month")
_UNITS: Final = ("requests", "tokens", "nanousd")


def upgrade() -> None:
    """Make the tables; keys that are there go on without limits."""
    op.create_table(
        "key_terms",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("models", sa.Text),
        *(sa.Column(name, sa.BigInteger) for name in _LIMITS),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_terms"),
    )
    op.create_table(
        "former_keys",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("valid_until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_former_keys"),
    )
    op.create_table(
        "key_use",
        sa.Column("key_id", sa.Text, nullable=False),
        *(sa.Column(f"{period}_start", sa.BigInteger, nullable=False) for period in _PERIODS),
        *(
            sa.Column(f"{period}_{unit}", sa.BigInteger, nullable=False)
            for period in (*_PERIODS, "total")
            for unit in _UNITS
        ),
        sa.Column("running", sa.BigInteger, nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger, nullable=False),
        sa.Column("reserved_nanousd", sa.BigInteger, nullable=False),
        sa.Column("requests_until", sa.Double, nullable=False),
        sa.Column("tokens_until", sa.Double, nullable=False),
        sa.Column("last_used_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_use"),
    )
    op.create_table(
        "key_reservations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("nanousd", sa.BigInteger, nullable=False),
        sa.Column("token_rate", sa.BigInteger),
        sa.Column("is_held", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_reservations"),
    )
    op.create_table(
        "limiting_processes",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_limiting_processes"),
    )


def downgrade() -> None:
    """Drop them: keys go on without limits, and those that were replaced are not valid any more."""
    for table in ("limiting_processes", "key_reservations", "key_use", "former_keys", "key_terms"):
        op.drop_table(table)
