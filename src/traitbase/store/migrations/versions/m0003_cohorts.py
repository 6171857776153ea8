"""Cohorts and their members, the feed of changed profiles, and the country of each profile's SMS number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from traitbase.domain.attributes import country_code, decode_attributes
from traitbase.store.types import TEXT

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SPACE = ("workspace_id", "environment")


def upgrade() -> None:
    """Make the tables, and work out the countries of the numbers that are there."""
    op.add_column("profiles", sa.Column("country", TEXT))
    _fill_countries()
    op.create_table(
        "cohorts",
        *(sa.Column(name, TEXT, primary_key=True) for name in (*_SPACE, "cohort_id")),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("rule", TEXT),
        sa.Column("description", TEXT),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("revision", "created_at_us", "updated_at_us")),
        *(sa.Column(name, sa.BigInteger) for name in ("last_count", "last_counted_at_us")),
    )
    op.create_index("ux_cohorts_name", "cohorts", [*_SPACE, "name"], unique=True)
    op.create_table(
        "cohort_members",
        *(sa.Column(name, TEXT, primary_key=True) for name in (*_SPACE, "cohort_id", "distinct_id")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_cohort_members_distinct_id", "cohort_members", [*_SPACE, "distinct_id"])
    op.create_table(
        "feed",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in _SPACE),
        sa.Column("cohort_id", TEXT),
        *(sa.Column(name, TEXT, nullable=False) for name in ("deleted", "written")),
    )


def _fill_countries() -> None:
    connection = op.get_bind()
    key = (*_SPACE, "distinct_id")
    profiles = sa.table("profiles", *(sa.column(name) for name in (*key, "attributes", "country")))
    query = sa.select(*(profiles.c[name] for name in key), profiles.c.attributes)
    having = connection.execute(query.where(profiles.c.attributes.contains('"sms":'))).all()
    found = [
        {"country": country, **{f"its_{name}": value for name, value in zip(key, row[:3], strict=True)}}
        for row in having
        if (country := country_code(decode_attributes(row[3]))) is not None
    ]
    if found:
        mine = [profiles.c[name] == sa.bindparam(f"its_{name}") for name in key]
        connection.execute(sa.update(profiles).where(*mine).values(country=sa.bindparam("country")), found)
