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
    Column("attributes", Text, comment="everything but the properties, one JSON object; null: as usual"),
    Column("alias_of", Text, comment="the distinct_id that this one leads to; null: it is a profile itself"),
    Column("last_change", Text, comment="the newest change of this row: request_id/item"),
    Column("name_key", Text, comment="the name without case, for searches"),
    Column("email_key", Text, comment="the email address without case, for searches"),
    Column("country", Text, comment="of the SMS number, ISO 3166-1 alpha-2"),
)

Index(
    "ix_profiles_created_at_us",
    *(profiles.c[name] for name in ("workspace_id", "environment", "created_at_us", "distinct_id")),
    sqlite_where=profiles.c.alias_of.is_(None),
    postgresql_where=profiles.c.alias_of.is_(None),
)
for _key in ("name_key", "email_key"):
    Index(
        f"ix_profiles_{_key}",
        *(profiles.c[name] for name in ("workspace_id", "environment", _key, "distinct_id")),
        sqlite_where=profiles.c[_key].is_not(None),
        postgresql_where=profiles.c[_key].is_not(None),
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
    Column("description", Text),
    Column("profiles", BigInteger, nullable=False, server_default="0", comment="how many have a value"),
    Column("ignored", BigInteger, nullable=False, server_default="0", comment="how many values were ignored"),
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
    Column("action", Text, comment="what it was, if no update of properties"),
    Column("effect", Text, comment="what was before, one JSON object; with an action, also what is after; null: none"),
    Column("previous", Text, comment="the change of the same profile's row before this one: request_id/item"),
    sqlite_with_rowid=False,
)

# Changes of a profile's row are linked, from `profiles.last_change` by `changes.previous`. Those that left no mark on a
# row (everything was ignored, or there was nobody) are found here, to be erased.
unlinked_changes = Table(
    "unlinked_changes",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("distinct_id", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("item", Integer, primary_key=True),
    sqlite_with_rowid=False,
)

ignored_values = Table(
    "ignored_values",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("property", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("distinct_id", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("value", Text, comment="JSON; null: it was too large to keep"),
    Column("received_at_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

kept_aside = Table(
    "kept_aside",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("property", Text, primary_key=True),
    Column("distinct_id", Text, primary_key=True),
    Column("value", Text, nullable=False, comment="JSON: what the property's new type could not hold"),
    Column("request_id", Text, nullable=False, comment="the retype"),
    Column("kept_at_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

for _table in (ignored_values, kept_aside):
    Index(
        f"ix_{_table.name}_distinct_id",
        *(_table.c[name] for name in ("workspace_id", "environment", "distinct_id")),
    )

erasures = Table(
    "erasures",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("erased_at_us", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("counts", Text, nullable=False, comment="how much of what was erased, one JSON object; never of whom"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("suppression_id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("distinct_id", Text, comment="whom it protects; or by destination"),
    Column("destination", Text, comment="as it was sent; null: by distinct_id, or its person was erased"),
    Column("digest", Text, comment="by which the destination is recognised"),
    Column("description", Text),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
)

Index("ix_suppressions_distinct_id", suppressions.c.workspace_id, suppressions.c.distinct_id)
Index("ix_suppressions_digest", suppressions.c.workspace_id, suppressions.c.digest)

subscription_settings = Table(
    "subscription_settings",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("document", Text, nullable=False, comment="sections and their topics, one JSON object"),
    Column("updated_at_us", BigInteger, nullable=False),
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

cohorts = Table(
    "cohorts",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("cohort_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("rule", Text, comment="the tree as JSON; null: it is static"),
    Column("description", Text),
    Column("revision", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("last_count", BigInteger),
    Column("last_counted_at_us", BigInteger),
)

Index("ux_cohorts_name", cohorts.c.workspace_id, cohorts.c.environment, cohorts.c.name, unique=True)

cohort_members = Table(
    "cohort_members",
    metadata,
    Column("workspace_id", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("cohort_id", Text, primary_key=True),
    Column("distinct_id", Text, primary_key=True, comment="a profile's, never an alias"),
    sqlite_with_rowid=False,
)

Index(
    "ix_cohort_members_distinct_id",
    *(cohort_members.c[name] for name in ("workspace_id", "environment", "distinct_id")),
)

# What copies of the profiles catch up from. The newest row is never deleted, so that sequences only grow; the token
# tells a row from that of the same sequence in another past (a database that was restored).
feed = Table(
    "feed",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("token", Text, nullable=False),
    Column("total", BigInteger, nullable=False, comment="how many ids were fed up to here"),
    Column("workspace_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("cohort_id", Text, comment="whose members changed; null: profiles"),
    Column("deleted", Text, nullable=False, comment="JSON array of profile_ids"),
    Column("written", Text, nullable=False, comment="JSON array of distinct_ids"),
    Column("properties", Text, comment="JSON array of names: what can have changed; null: anything"),
)
