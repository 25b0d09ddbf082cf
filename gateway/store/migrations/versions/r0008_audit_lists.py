"""Find what is in the audit log by who did it, by what it was done to, and by what was done.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"
branch_labels: Final = None
depends_on: Final = None

_COLUMNS: Final = ("who", "action", "target")


def upgrade() -> None:
    """Make the indexes."""
    for column in _COLUMNS:
        op.create_index(f"ix_audit_log_{column}_at_id", "audit_log", [column, "at", "id"])


def downgrade() -> None:
    """Drop them: lists take longer."""
    for column in _COLUMNS:
        op.drop_index(f"ix_audit_log_{column}_at_id", table_name="audit_log")
