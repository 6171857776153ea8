"""The tables, as SQLAlchemy Core describes them. Migrations bring a database here; a test compares the two.

Times are integers: microseconds since 1970 UTC. Everything that belongs to a profile has workspace, environment and
distinct_id in its primary key, so that it can be distributed by distinct_id. There are no foreign keys and no
sequences across profiles for the same reason.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table

from traitbase.store.types import DOCUMENT, TEXT

metadata = MetaData()

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("timezone", TEXT, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", TEXT, primary_key=True),
    Column("workspace_id", TEXT, nullable=False, index=True),
    Column("reach", TEXT, nullable=False),
    Column("scope", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False, unique=True),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("revoked_at_us", BigInteger),
    Column("last_used_at_us", BigInteger),
    Column("networks", TEXT, nullable=False, comment="CIDR, separated by blanks; empty: any address"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True),
    Column("profile_id", TEXT, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("document", DOCUMENT, nullable=False, comment="properties, one JSON object, numbers exact"),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("attributes", TEXT, comment="everything but the properties, one JSON object; null: as usual"),
    Column("alias_of", TEXT, comment="the distinct_id that this one leads to; null: it is a profile itself"),
    Column("last_change", TEXT, comment="the newest change of this row: request_id/item"),
    Column("name_key", TEXT, comment="the name without case, for searches"),
    Column("email_key", TEXT, comment="the email address without case, for searches"),
    Column("country", TEXT, comment="of the SMS number, ISO 3166-1 alpha-2"),
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
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("revision", BigInteger, nullable=False, comment="goes up with every change to the space's definitions"),
)

property_definitions = Table(
    "property_definitions",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("first_seen_at_us", BigInteger, nullable=False),
    Column("first_seen_in", TEXT, nullable=False),
    Column("description", TEXT),
    Column("profiles", BigInteger, nullable=False, server_default="0", comment="how many have a value; see usage"),
    Column("ignored", BigInteger, nullable=False, server_default="0", comment="how many values were ignored"),
)

# What is to be added to a definition's counts. Each writer counts in a slot of its own, so that none waits for another
# with every group that it writes.
property_usage = Table(
    "property_usage",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("profiles", BigInteger, nullable=False),
    Column("ignored", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The key begins with the request, not the profile: request ids grow with time, so a busy server appends at one place
# instead of writing all over the index (measured: a third of the time). A rowid would only add a second tree.
changes = Table(
    "changes",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("request_id", TEXT, primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True),
    Column("received_at_us", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("key_id", TEXT, nullable=False),
    Column("operations", TEXT, nullable=False, comment="what was sent, one JSON object"),
    Column("ignored", TEXT, comment="JSON array of what was ignored and why; null: nothing"),
    Column("action", TEXT, comment="what it was, if no update of properties"),
    Column("effect", TEXT, comment="what was before, one JSON object; with an action, also what is after; null: none"),
    Column("previous", TEXT, comment="the change of the same profile's row before this one: request_id/item"),
    sqlite_with_rowid=False,
)

# Changes of a profile's row are linked, from `profiles.last_change` by `changes.previous`. Those that left no mark on a
# row (everything was ignored, or there was nobody) are found here, to be erased.
unlinked_changes = Table(
    "unlinked_changes",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True),
    Column("request_id", TEXT, primary_key=True),
    Column("item", Integer, primary_key=True),
    sqlite_with_rowid=False,
)

ignored_values = Table(
    "ignored_values",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("property", TEXT, primary_key=True),
    Column("request_id", TEXT, primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("operation", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True),
    Column("reason", TEXT, nullable=False),
    Column("value", TEXT, comment="JSON; null: it was too large to keep"),
    Column("received_at_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

kept_aside = Table(
    "kept_aside",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("property", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False, comment="JSON: what the property's new type could not hold"),
    Column("request_id", TEXT, nullable=False, comment="the retype"),
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
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("request_id", TEXT, primary_key=True),
    Column("erased_at_us", BigInteger, nullable=False),
    Column("key_id", TEXT, nullable=False),
    Column("counts", TEXT, nullable=False, comment="how much of what was erased, one JSON object; never of whom"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("suppression_id", TEXT, primary_key=True),
    Column("channel", TEXT, nullable=False),
    Column("distinct_id", TEXT, comment="whom it protects; or by destination"),
    Column("destination", TEXT, comment="as it was sent; null: by distinct_id, or its person was erased"),
    Column("digest", TEXT, comment="by which the destination is recognised"),
    Column("description", TEXT),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
)

Index("ix_suppressions_distinct_id", suppressions.c.workspace_id, suppressions.c.distinct_id)
Index("ix_suppressions_digest", suppressions.c.workspace_id, suppressions.c.digest)

subscription_settings = Table(
    "subscription_settings",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("document", TEXT, nullable=False, comment="sections and their topics, one JSON object"),
    Column("updated_at_us", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("idempotency_key", TEXT, primary_key=True),
    Column("digest", TEXT, nullable=False),
    Column("request_id", TEXT, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

Index("ix_idempotency_keys_created_at_us", idempotency_keys.c.created_at_us)

cohorts = Table(
    "cohorts",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("cohort_id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("rule", TEXT, comment="the tree as JSON; null: it is static"),
    Column("description", TEXT),
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
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("cohort_id", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True, comment="a profile's, never an alias"),
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
    Column("token", TEXT, nullable=False),
    Column("total", BigInteger, nullable=False, comment="how many ids were fed up to here"),
    Column("workspace_id", TEXT, nullable=False),
    Column("environment", TEXT, nullable=False),
    Column("cohort_id", TEXT, comment="whose members changed; null: profiles"),
    Column("deleted", TEXT, nullable=False, comment="JSON array of profile_ids"),
    Column("written", TEXT, nullable=False, comment="JSON array of distinct_ids"),
    Column("properties", TEXT, comment="JSON array of names: what can have changed; null: anything"),
)

# The same where several writers commit at once (PostgreSQL): a row is found by the transaction that wrote it, and what
# is new at a moment is what its snapshot sees and that of the moment before did not. The first row names nobody.
transaction_feed = Table(
    "transaction_feed",
    metadata,
    Column("transaction", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("token", TEXT, nullable=False),
    Column("ids", Integer, nullable=False, comment="how many ids the row names"),
    Column("workspace_id", TEXT, nullable=False),
    Column("environment", TEXT, nullable=False),
    Column("cohort_id", TEXT, comment="whose members changed; null: profiles"),
    Column("deleted", TEXT, nullable=False, comment="JSON array of profile_ids"),
    Column("written", TEXT, nullable=False, comment="JSON array of distinct_ids"),
    Column("properties", TEXT, comment="JSON array of names: what can have changed; null: anything"),
)

integrations = Table(
    "integrations",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("integration_id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("document", TEXT, nullable=False, comment="kind and settings, one JSON object; no secrets"),
    Column("secrets", TEXT, comment="encrypted; null: there are none"),
    Column("revision", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
)

notification_events = Table(
    "notification_events",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("event_id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("document", TEXT, nullable=False, comment="type, channels and their templates, one JSON object"),
    Column("revision", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("campaign_id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("document", TEXT, nullable=False, comment="event, audience, schedule and options, one JSON object"),
    Column("state", TEXT, nullable=False),
    Column("held", TEXT, comment="why a person must decide first, one JSON object; null: nothing is held"),
    Column("next_at_us", BigInteger, comment="when the next run is to start"),
    Column("run_id", TEXT, comment="the newest run"),
    Column("epoch", BigInteger, nullable=False, comment="that of the database when it was launched"),
    Column("revision", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
)

for _table in (integrations, notification_events, campaigns):
    Index(f"ux_{_table.name}_name", _table.c.workspace_id, _table.c.environment, _table.c.name, unique=True)
Index("ix_campaigns_next_at_us", campaigns.c.next_at_us)

audience_rows = Table(
    "audience_rows",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("file_id", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True, comment="or what stands for a destination without one"),
    Column("line", BigInteger, nullable=False),
    Column("destinations", TEXT, comment="by channel, one JSON object; null: those of the profile"),
    Column("data", TEXT, comment="what else the row says, one JSON object"),
    sqlite_with_rowid=False,
)

# A run fires one event for an audience at one moment: of a campaign, for a test, or for a call.
runs = Table(
    "runs",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("run_id", TEXT, primary_key=True),
    Column("campaign_id", TEXT, comment="null: of a call"),
    Column("kind", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("reason", TEXT, comment="why it is in this state, one JSON object"),
    Column("plan", TEXT, nullable=False, comment="event, schedule and options as they were then, one JSON object"),
    Column("planned_at_us", BigInteger, nullable=False),
    Column("started_at_us", BigInteger),
    Column("finished_at_us", BigInteger),
    Column("active_at_us", BigInteger, nullable=False, comment="when something last happened"),
    Column("members", BigInteger, nullable=False, comment="of the audience, as far as it is resolved"),
    Column("counts", TEXT, comment="what else is known of the audience, one JSON object"),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", TEXT, comment="the worker that resolves the audience"),
)

Index(
    "ux_runs_campaign_id",
    *(runs.c[name] for name in ("workspace_id", "environment", "campaign_id", "kind", "planned_at_us")),
    unique=True,
    sqlite_where=runs.c.kind == "campaign",
    postgresql_where=runs.c.kind == "campaign",
)
Index(
    "ix_runs_state",
    runs.c.state,
    sqlite_where=runs.c.finished_at_us.is_(None),
    postgresql_where=runs.c.finished_at_us.is_(None),
)

# What workers claim: the deliveries of a run whose ids are from `first_id` to `last_id`.
delivery_pages = Table(
    "delivery_pages",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("run_id", TEXT, primary_key=True),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("first_id", TEXT, nullable=False),
    Column("last_id", TEXT, nullable=False),
    Column("urgency", Integer, nullable=False, comment="0: nobody should wait for others first"),
    Column("due_at_us", BigInteger, comment="when there is something to do; null: nothing is"),
    Column("owner", TEXT, comment="the worker that is at it"),
)

Index(
    "ix_delivery_pages_due_at_us",
    delivery_pages.c.urgency,
    delivery_pages.c.due_at_us,
    sqlite_where=delivery_pages.c.due_at_us.is_not(None),
    postgresql_where=delivery_pages.c.due_at_us.is_not(None),
)
Index(
    "ix_delivery_pages_owner",
    delivery_pages.c.owner,
    sqlite_where=delivery_pages.c.owner.is_not(None),
    postgresql_where=delivery_pages.c.owner.is_not(None),
)

# The ledger. Its key is what makes a second message to somebody impossible.
deliveries = Table(
    "deliveries",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("run_id", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True, comment="or what stands for a destination without one"),
    Column("channel", TEXT, primary_key=True, comment="or `first`: the first that reaches them"),
    Column("number", BigInteger, nullable=False, comment="within the run, from 0: a part of the delivery's id"),
    Column("state", TEXT, nullable=False),
    Column("reason", TEXT, comment="why, one word"),
    Column("detail", TEXT, comment="what was said about it, such as a provider's answer"),
    Column("via", TEXT, comment="the channel that it went over"),
    Column("destination", TEXT, comment="as it was used"),
    Column("destinations", TEXT, comment="those that came with the call or file, one JSON object"),
    Column("data", TEXT, comment="what came with the call or file, one JSON object"),
    Column("is_marketing", Integer, nullable=False, server_default="0"),
    Column("due_at_us", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("first_at_us", BigInteger, comment="of the first attempt"),
    Column("handed_at_us", BigInteger, comment="of the newest attempt"),
    Column("settled_at_us", BigInteger),
    Column("provider_id", TEXT, comment="what the provider calls it"),
    Column("opened_at_us", BigInteger),
    Column("clicked_at_us", BigInteger),
    Column("unsubscribed_at_us", BigInteger),
    Column("complained_at_us", BigInteger),
    sqlite_with_rowid=False,
)

Index("ix_deliveries_distinct_id", *(deliveries.c[name] for name in ("workspace_id", "environment", "distinct_id")))

sending_workers = Table(
    "sending_workers",
    metadata,
    Column("worker_id", TEXT, primary_key=True),
    Column("host", TEXT, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
)

# When a rate allows the next message: that of a run (by its id), or of an integration.
sending_slots = Table(
    "sending_slots",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("of_id", TEXT, primary_key=True),
    Column("next_us", BigInteger, nullable=False),
)

# What was sent before a backup was restored must not be sent again: whatever has an older epoch waits for a person.
sending_epochs = Table(
    "sending_epochs",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("began_at_us", BigInteger, nullable=False),
    Column("reason", TEXT, nullable=False),
)

sandbox_messages = Table(
    "sandbox_messages",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("integration_id", TEXT, primary_key=True),
    Column("distinct_id", TEXT, primary_key=True),
    Column("delivery_id", TEXT, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("message", TEXT, nullable=False, comment="one JSON object"),
)

Index(
    "ix_sandbox_messages_at_us",
    *(sandbox_messages.c[name] for name in ("workspace_id", "environment", "integration_id", "at_us")),
)

# Who uses the console. Nothing of this belongs to a profile.
accounts = Table(
    "accounts",
    metadata,
    Column("account_id", TEXT, primary_key=True),
    Column("email", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("password", TEXT, nullable=False, comment="its Argon2 hash"),
    Column("created_at_us", BigInteger, nullable=False),
)

Index("ux_accounts_email", accounts.c.email, unique=True)

account_roles = Table(
    "account_roles",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("account_id", TEXT, primary_key=True),
    Column("role", TEXT, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

Index("ix_account_roles_account_id", account_roles.c.account_id)

one_time_links = Table(
    "one_time_links",
    metadata,
    Column("digest", TEXT, primary_key=True, comment="of the token in the link"),
    Column("kind", TEXT, nullable=False),
    Column("email", TEXT, comment="whom it is for; null: whoever has it"),
    Column("workspace_id", TEXT),
    Column("role", TEXT),
    Column("made_by", TEXT, comment="an account; null: on the command line"),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("digest", TEXT, primary_key=True, comment="of the token in the cookie"),
    Column("account_id", TEXT, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("used_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
    Column("agent", TEXT, nullable=False),
)

Index("ix_sign_ins_account_id", sign_ins.c.account_id)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("of_key", TEXT, primary_key=True, comment="the digest of an email address, a network address, or both"),
    Column("attempt_id", TEXT, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
)

Index("ix_sign_in_attempts_at_us", sign_in_attempts.c.at_us)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("entry_id", TEXT, primary_key=True, comment="grows with time"),
    Column("at_us", BigInteger, nullable=False),
    Column("account_id", TEXT, comment="null: on the command line"),
    Column("environment", TEXT),
    Column("action", TEXT, nullable=False),
    Column("target", TEXT, comment="never a value, or a person's own id"),
    Column("request_id", TEXT),
)

# Long work that the console began: which of them may be asked by a browser that another process answers.
console_jobs = Table(
    "console_jobs",
    metadata,
    Column("workspace_id", TEXT, primary_key=True),
    Column("environment", TEXT, primary_key=True),
    Column("job_id", TEXT, primary_key=True, comment="grows with time"),
    Column("account_id", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("document", TEXT, nullable=False, comment="what it is and what became of it, one JSON object"),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
)

ONLY_ON = {"feed": "sqlite", "transaction_feed": "postgresql"}
"""Tables that one of the databases has no use for."""
