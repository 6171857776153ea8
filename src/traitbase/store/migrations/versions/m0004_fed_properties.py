"""Which properties a transaction changed, in the feed: copies of the profiles take in those and no others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from traitbase.store.types import TEXT

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: whatever was fed before may have changed anything."""
    op.add_column("feed", sa.Column("properties", TEXT))
