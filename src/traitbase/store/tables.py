"""The tables, as SQLAlchemy Core describes them. Migrations bring a database here; a test compares the two.

Times are integers: microseconds since 1970 UTC. Everything that belongs to a profile has workspace, environment and
distinct_id in its primary key, so that it can be distributed by distinct_id. There are no foreign keys and no
sequences across profiles for the same reason.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

metadata = MetaData()

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("workspace_id", Text, nullable=False, index=True),
    Column("reach", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("revoked_at_us", BigInteger),
    Column("last_used_at_us", BigInteger),
    Column("networks", Text, nullable=False, comment="CIDR, separated by blanks; empty: any address"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("distinct_id", Text, primary_key=True),
    Column("profile_id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("document", Text, nullable=False, comment="properties, one JSON object, numbers exact"),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
)

definition_revisions = Table(
    "definition_revisions",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False, comment="goes up with every change to the space's definitions"),
)

property_definitions = Table(
    "property_definitions",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("first_seen_at_us", BigInteger, nullable=False),
    Column("first_seen_in", Text, nullable=False),
)

# The key begins with the request, not the profile: request ids grow with time, so a busy server appends at one place
# instead of writing all over the index (measured: a third of the time). A rowid would only add a second tree.
changes = Table(
    "changes",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("distinct_id", Text, primary_key=True),
    Column("received_at_us", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("operations", Text, nullable=False, comment="what was sent, one JSON object"),
    Column("ignored", Text, comment="JSON array of what was ignored and why; null: nothing"),
    sqlite_with_rowid=False,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

Index("ix_idempotency_keys_created_at_us", idempotency_keys.c.created_at_us)
