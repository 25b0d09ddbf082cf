"""The tables for accounts, beside the one for client keys that version 0.1.0 made by itself.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

_TOPICS: Final = ("accounts", "keys")


def upgrade() -> None:
    """Make the tables."""
    _make_keys()
    _make_accounts()
    _make_what_traffic_learns()
    _make_housekeeping()


def _make_keys() -> None:
    if sa.inspect(op.get_bind()).has_table("client_keys"):
        return
    op.create_table(
        "client_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_client_keys"),
        sa.UniqueConstraint("digest", name="uq_client_keys_digest"),
    )


def _make_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("base_url", sa.Text),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("max_concurrency", sa.Integer),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("paused_at", sa.Double),
        sa.Column("resumed_at", sa.Double),
        sa.Column("condition", sa.Text, nullable=False),
        sa.Column("condition_reason", sa.Text, nullable=False),
        sa.Column("condition_since", sa.Double, nullable=False),
        sa.Column("secret", sa.LargeBinary),
        sa.Column("secret_version", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("fingerprint", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "refresh_leases",
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("secret_version", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("sent_at", sa.Double),
        sa.PrimaryKeyConstraint("account_id", name="pk_refresh_leases"),
    )


def _make_what_traffic_learns() -> None:
    op.create_table(
        "account_cooldowns",
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("fault", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "family", name="pk_account_cooldowns"),
    )
    op.create_table(
        "account_limits",
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("window_name", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("utilization", sa.Double),
        sa.Column("resets_at", sa.Double),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("observed_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "window_name", "family", name="pk_account_limits"),
    )
    op.create_table(
        "session_pins",
        sa.Column("session_key", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
        sa.Column("moved_at", sa.Double),
        sa.PrimaryKeyConstraint("session_key", name="pk_session_pins"),
    )
    op.create_index("ix_session_pins_used_at", "session_pins", ["used_at"])


def _make_housekeeping() -> None:
    revisions = op.create_table(
        "revisions",
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_revisions"),
    )
    op.bulk_insert(revisions, [{"topic": topic, "version": 1} for topic in _TOPICS])
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )


def downgrade() -> None:
    """Drop the tables, but for the keys: version 0.1.0 goes on with them."""
    for table in (
        "meta",
        "revisions",
        "session_pins",
        "account_limits",
        "account_cooldowns",
        "refresh_leases",
        "accounts",
    ):
        op.drop_table(table)
