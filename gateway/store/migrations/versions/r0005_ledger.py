"""The ledger: all that is known of a request, sums of requests by time, and the timelines of streams.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"
branch_labels: Final = None
depends_on: Final = None

_TEXTS: Final = (
    "session",
    "agent",
    "client",
    "request_class",
    "model_served",
    "api_version",
    "iterations",
    "service_tier",
    "inference_geo",
    "speed",
    "cost_note",
    "trace_id",
)
_COUNTS: Final = (
    "thinking_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "web_fetches",
    "code_executions",
    "cost_nanousd",
    "ms_to_first_byte",
    "longest_gap_ms",
)
_INDEXES: Final[tuple[tuple[str, tuple[str, ...], str | None], ...]] = (
    ("ix_requests_at_id", ("at", "id"), None),
    ("ix_requests_actor_id_at_id", ("actor_id", "at", "id"), None),
    ("ix_requests_account_at_id", ("account", "at", "id"), None),
    ("ix_requests_model_at_id", ("model", "at", "id"), None),
    ("ix_requests_model_served_at_id", ("model_served", "at", "id"), "model_served IS NOT NULL"),
    ("ix_requests_session_at_id", ("session", "at", "id"), "session IS NOT NULL"),
    ("ix_requests_outcome_at_id", ("outcome", "at", "id"), "outcome <> 'complete'"),
    ("ix_requests_upstream_request_id", ("upstream_request_id",), "upstream_request_id IS NOT NULL"),
    ("ix_requests_unsummed", ("id",), "summed = false"),
    ("ix_requests_unpriced", ("at", "id"), "cost_nanousd IS NULL"),
)


def upgrade() -> None:
    """Add the columns; of the requests that are there no more is known than before."""
    for name in _TEXTS:
        op.add_column("requests", sa.Column(name, sa.Text))
    for name in _COUNTS:
        op.add_column("requests", sa.Column(name, sa.BigInteger))
    op.add_column("requests", sa.Column("summed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.drop_index("ix_requests_at", "requests")
    for name, columns, where in _INDEXES:
        clause = sa.text(where) if where else None
        op.create_index(name, "requests", list(columns), sqlite_where=clause, postgresql_where=clause)
    keys = ("provider", "route", "account", "actor_id", "model", "outcome", "stop_reason")
    sums = (
        "requests",
        "partial",
        "unpriced",
        "input_tokens",
        "output_tokens",
        "thinking_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "web_searches",
        "cost_nanousd",
        "ms",
        "attempts",
        "switches",
        "switch_nanousd",
    )
    op.create_table(
        "request_totals",
        sa.Column("span", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in keys),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in sums),
        sa.PrimaryKeyConstraint("span", "start", *keys, name="pk_request_totals"),
    )
    op.create_table(
        "request_latencies",
        sa.Column("span", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "span", "start", "measure", "provider", "model", "account", "bucket", name="pk_request_latencies"
        ),
    )
    op.create_table(
        "request_timelines",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("timeline", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_request_timelines"),
    )
    op.create_index("ix_request_timelines_at", "request_timelines", ["at"])


def downgrade() -> None:
    """Drop all that is more than a row per request; the rows stay."""
    for table in ("request_timelines", "request_latencies", "request_totals"):
        op.drop_table(table)
    for name, _, _ in _INDEXES:
        op.drop_index(name, "requests")
    op.create_index("ix_requests_at", "requests", ["at"])
    for name in (*_TEXTS, *_COUNTS, "summed"):
        op.drop_column("requests", name)
