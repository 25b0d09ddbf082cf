"""When each request ended, to find those that have just done so.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0010"
down_revision: Final = "0009"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Add the column; of requests that are there already it is not known."""
    op.add_column("requests", sa.Column("ended_at", sa.Double))
    op.create_index("ix_requests_ended_at", "requests", ["ended_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_requests_ended_at", table_name="requests")
    with op.batch_alter_table("requests") as table:
        table.drop_column("ended_at")
