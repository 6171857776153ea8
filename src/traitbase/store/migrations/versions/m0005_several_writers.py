"""What several writers at once need: counts that nobody waits for, and a feed that follows transactions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from traitbase.store.types import TEXT

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SPACE = ("workspace_id", "environment")


def upgrade() -> None:
    """Make the tables; what was counted stays where it is, and what comes is added to it."""
    op.create_table(
        "property_usage",
        *(sa.Column(name, TEXT, primary_key=True) for name in (*_SPACE, "name")),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("profiles", "ignored")),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name != "postgresql":
        return
    op.drop_table("feed")
    op.create_table(
        "transaction_feed",
        sa.Column("transaction", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("ids", sa.Integer, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in _SPACE),
        sa.Column("cohort_id", TEXT),
        *(sa.Column(name, TEXT, nullable=False) for name in ("deleted", "written")),
        sa.Column("properties", TEXT),
    )
