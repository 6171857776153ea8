"""Where each table is kept when PostgreSQL is spread over several servers (Citus).

What belongs to a profile lies by its distinct_id, all of one profile on one server. What everybody reads and hardly
anybody writes is on each server. What writers meet at stays on the coordinator, to which all of ours connect: there a
row's lock is that row's alone, and a transaction is one that `pg_xact_status` and snapshots know.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

SHARD_KEYS = {
    "profiles": "distinct_id",
    "changes": "distinct_id",
    "unlinked_changes": "distinct_id",
    "ignored_values": "distinct_id",
    "kept_aside": "distinct_id",
    "cohort_members": "distinct_id",
    "audience_rows": "distinct_id",
    "deliveries": "distinct_id",
    "sandbox_messages": "distinct_id",
    "idempotency_keys": "idempotency_key",
}
"""The tables that are spread, and by which column. Those with the same column are colocated."""

ON_EACH_SERVER = (
    "workspaces",
    "api_keys",
    "property_definitions",
    "suppressions",
    "subscription_settings",
    "cohorts",
    "erasures",
    "integrations",
    "notification_events",
)
"""Reference tables."""

ON_THE_COORDINATOR = (
    "alembic_version",
    "definition_revisions",
    "property_usage",
    "transaction_feed",
    "campaigns",
    "runs",
    "delivery_pages",
    "sending_workers",
    "sending_slots",
    "sending_epochs",
    "accounts",
    "account_roles",
    "one_time_links",
    "sign_ins",
    "sign_in_attempts",
    "audit_entries",
    "console_jobs",
)
"""Tables that stay as they are."""

FIRST = "profiles"
"""The table with which the others of its shard key are colocated."""

_PLACES = sa.text(
    "SELECT c.relname, p.partmethod::text, p.repmodel::text, p.colocationid, "
    "CASE WHEN p.partmethod = 'h' THEN column_to_column_name(p.logicalrelid, p.partkey) END "
    "FROM pg_dist_partition AS p JOIN pg_class AS c ON c.oid = p.logicalrelid "
    "WHERE c.relnamespace = current_schema()::regnamespace"
)


class Place(NamedTuple):
    """Where a table is. `shard_key`: it is spread by that column; None and `everywhere`: a copy on each server."""

    shard_key: str | None
    everywhere: bool = False
    group: int = 0

    def is_of(self, other: Place) -> bool:
        """Tell whether two places are of one kind, whatever their groups."""
        return self[:2] == other[:2]

    def __str__(self) -> str:
        if self.shard_key is not None:
            return f"spread by {self.shard_key}"
        return "on each server" if self.everywhere else "on the coordinator"


WANTED = {
    **{name: Place(key) for name, key in SHARD_KEYS.items()},
    **{name: Place(None, everywhere=True) for name in ON_EACH_SERVER},
    **{name: Place(None) for name in ON_THE_COORDINATOR},
}
"""Where each table is to be."""


def places_in(connection: Connection) -> dict[str, Place] | None:
    """Return where those tables are that are not simply on the coordinator; None: there is no Citus."""
    if connection.execute(sa.text("SELECT to_regclass('pg_dist_partition')")).scalar() is None:
        return None
    return {
        name: Place(key, everywhere=method == "n" and model == "t", group=group)
        for name, method, model, group, key in connection.execute(_PLACES)
    }


def misplaced(places: dict[str, Place]) -> list[str]:
    """Return the tables of a distributed database that are not where they are to be; none if it is not distributed."""
    if FIRST not in places:
        return []
    found = [name for name, wanted in WANTED.items() if not wanted.is_of(places.get(name, Place(None)))]
    return sorted({*found, *not_beside_the_first(places)})


def not_beside_the_first(places: dict[str, Place]) -> list[str]:
    """Return the tables that are spread by the same column as the profiles, but not colocated with them."""
    if FIRST not in places:
        return []
    beside = [name for name, key in SHARD_KEYS.items() if key == SHARD_KEYS[FIRST]]
    return [name for name in beside if name in places and places[name].group != places[FIRST].group]
