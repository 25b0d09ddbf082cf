"""What accounts were called before, so that what they used under an earlier name stays theirs.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0009"
down_revision: Final = "0008"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "former_names",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("present", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "until", name="pk_former_names"),
    )


def downgrade() -> None:
    """Drop it: what was used counts under the name that the account had then."""
    op.drop_table("former_names")
