"""Workspaces, keys, profiles, definitions, changes, idempotency."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from traitbase.store.types import DOCUMENT, TEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "workspaces",
        sa.Column("workspace_id", TEXT, primary_key=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("timezone", TEXT, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", TEXT, primary_key=True),
        sa.Column("workspace_id", TEXT, nullable=False, index=True),
        sa.Column("reach", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False, unique=True),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger),
        sa.Column("revoked_at_us", sa.BigInteger),
        sa.Column("last_used_at_us", sa.BigInteger),
        sa.Column("networks", TEXT, nullable=False),
    )
    op.create_table(
        "profiles",
        *_of_a_profile(),
        sa.Column("profile_id", TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("document", DOCUMENT, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("updated_at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "definition_revisions",
        *_of_a_space(),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "property_definitions",
        *_of_a_space(),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("first_seen_at_us", sa.BigInteger, nullable=False),
        sa.Column("first_seen_in", TEXT, nullable=False),
    )
    op.create_table(
        "changes",
        *_of_a_space(),
        sa.Column("request_id", TEXT, primary_key=True),
        sa.Column("item", sa.Integer, primary_key=True),
        sa.Column("distinct_id", TEXT, primary_key=True),
        sa.Column("received_at_us", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("key_id", TEXT, nullable=False),
        sa.Column("operations", TEXT, nullable=False),
        sa.Column("ignored", TEXT),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency_keys",
        *_of_a_space(),
        sa.Column("idempotency_key", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_idempotency_keys_created_at_us", "idempotency_keys", ["created_at_us"])


def _of_a_space() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]  # columns of one type each
    return (
        sa.Column("workspace_id", TEXT, primary_key=True),
        sa.Column("environment", TEXT, primary_key=True),
    )


def _of_a_profile() -> tuple[sa.Column, ...]:  # type: ignore[type-arg]
    return (*_of_a_space(), sa.Column("distinct_id", TEXT, primary_key=True))
