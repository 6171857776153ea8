"""Attributes, aliases, history, kept values, erasures, suppressions, subscription settings; usage of properties."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

from traitbase.store.types import TEXT

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SPACE = ("workspace_id", "environment")


def upgrade() -> None:
    """Add what profiles are beside their properties, and count what is there."""
    _extend_profiles()
    _extend_changes()
    _extend_definitions()
    _make_tables()
    _digest_idempotency_keys()


def _extend_profiles() -> None:
    for name in ("attributes", "alias_of", "last_change", "name_key", "email_key"):
        op.add_column("profiles", sa.Column(name, TEXT))
    is_profile = sa.text("alias_of IS NULL")
    columns = [*_SPACE, "created_at_us", "distinct_id"]
    op.create_index(
        "ix_profiles_created_at_us", "profiles", columns, sqlite_where=is_profile, postgresql_where=is_profile
    )
    for key in ("name_key", "email_key"):
        is_there = sa.text(f"{key} IS NOT NULL")
        columns = [*_SPACE, key, "distinct_id"]
        op.create_index(f"ix_profiles_{key}", "profiles", columns, sqlite_where=is_there, postgresql_where=is_there)


def _extend_changes() -> None:
    for name in ("action", "effect", "previous"):
        op.add_column("changes", sa.Column(name, TEXT))
    place = (*_SPACE, "distinct_id", "request_id", "item")
    op.create_table(
        "unlinked_changes",
        *(sa.Column(name, sa.Integer if name == "item" else TEXT, primary_key=True) for name in place),
        sqlite_with_rowid=False,
    )
    # Whatever was recorded so far, no profile's row leads to.
    listed = ", ".join(place)
    op.execute(f"INSERT INTO unlinked_changes ({listed}) SELECT {listed} FROM changes ORDER BY {listed}")  # noqa: S608


def _extend_definitions() -> None:
    op.add_column("property_definitions", sa.Column("description", TEXT))
    for name in ("profiles", "ignored"):
        op.add_column("property_definitions", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    connection = op.get_bind()
    entries = "json_each(document)" if connection.dialect.name == "sqlite" else "json_object_keys(document::json)"
    key = "key" if connection.dialect.name == "sqlite" else "json_object_keys"
    counted = connection.execute(
        sa.text(  # the text is one of two, and holds nothing from outside
            f"SELECT workspace_id, environment, {key}, count(*) FROM profiles, {entries} GROUP BY 1, 2, 3"  # noqa: S608
        )
    ).all()
    update = sa.text(
        "UPDATE property_definitions SET profiles = :profiles "
        "WHERE workspace_id = :workspace_id AND environment = :environment AND name = :name"
    )
    rows = [
        {"workspace_id": workspace_id, "environment": environment, "name": name, "profiles": profiles}
        for workspace_id, environment, name, profiles in counted
    ]
    if rows:
        connection.execute(update, rows)


def _make_tables() -> None:
    op.create_table(
        "ignored_values",
        *_of_a_space(),
        sa.Column("property", TEXT, primary_key=True),
        sa.Column("request_id", TEXT, primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True),
        sa.Column("operation", TEXT, primary_key=True),
        sa.Column("distinct_id", TEXT, primary_key=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("value", TEXT),
        sa.Column("received_at_us", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "kept_aside",
        *_of_a_space(),
        sa.Column("property", TEXT, primary_key=True),
        sa.Column("distinct_id", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("kept_at_us", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    for table in ("ignored_values", "kept_aside"):
        op.create_index(f"ix_{table}_distinct_id", table, [*_SPACE, "distinct_id"])
    op.create_table(
        "erasures",
        *_of_a_space(),
        sa.Column("request_id", TEXT, primary_key=True),
        sa.Column("erased_at_us", sa.BigInteger, nullable=False),
        sa.Column("key_id", TEXT, nullable=False),
        sa.Column("counts", TEXT, nullable=False),
    )
    op.create_table(
        "suppressions",
        sa.Column("workspace_id", TEXT, primary_key=True),
        sa.Column("suppression_id", TEXT, primary_key=True),
        sa.Column("channel", TEXT, nullable=False),
        sa.Column("distinct_id", TEXT),
        sa.Column("destination", TEXT),
        sa.Column("digest", TEXT),
        sa.Column("description", TEXT),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger),
    )
    op.create_index("ix_suppressions_distinct_id", "suppressions", ["workspace_id", "distinct_id"])
    op.create_index("ix_suppressions_digest", "suppressions", ["workspace_id", "digest"])
    op.create_table(
        "subscription_settings",
        *_of_a_space(),
        sa.Column("document", TEXT, nullable=False),
        sa.Column("updated_at_us", sa.BigInteger, nullable=False),
    )


def _digest_idempotency_keys() -> None:
    """Keep digests of the keys instead of the keys: callers make them of what they have, such as an address."""
    keys = sa.table("idempotency_keys", *(sa.column(name) for name in (*_SPACE, "idempotency_key")))
    connection = op.get_bind()
    rows = connection.execute(sa.select(keys)).all()
    statement = (
        sa.update(keys)
        .where(
            keys.c.workspace_id == sa.bindparam("of_workspace"),
            keys.c.environment == sa.bindparam("of_environment"),
            keys.c.idempotency_key == sa.bindparam("plain"),
        )
        .values(idempotency_key=sa.bindparam("digested"))
    )
    digested = [
        {
            "of_workspace": workspace_id,
            "of_environment": environment,
            "plain": plain,
            "digested": hashlib.sha256(plain.encode()).hexdigest(),
        }
        for workspace_id, environment, plain in rows
    ]
    if digested:
        connection.execute(statement, digested)


def _of_a_space() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]  # columns of one type each
    return tuple(sa.Column(name, TEXT, primary_key=True) for name in _SPACE)
