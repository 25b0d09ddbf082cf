"""Which secret key a client key was made with, for keys that are made from here on.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Add the column; of the keys that are there it is not known."""
    op.add_column("client_keys", sa.Column("secret_id", sa.Text))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("client_keys", "secret_id")
