"""Integrations, events, campaigns, and the ledger of their deliveries."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from traitbase.store.types import TEXT

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SPACE = ("workspace_id", "environment")
_KEPT = ("revision", "created_at_us", "updated_at_us")


def upgrade() -> None:
    """Make the tables. Nothing of them was there before."""
    _make_what_people_write()
    _make_runs()
    _make_deliveries()
    _make_what_workers_know()


def _make_what_people_write() -> None:
    _create("integrations", _key("integration_id"), _texts("name", "document"), _maybe("secrets"), _times(*_KEPT))
    _create("notification_events", _key("event_id"), _texts("name", "document"), _times(*_KEPT))
    _create(
        "campaigns",
        _key("campaign_id"),
        _texts("name", "document", "state"),
        _maybe("held"),
        _maybe_times("next_at_us"),
        _maybe("run_id"),
        _times("epoch"),
        _times(*_KEPT),
    )
    for table in ("integrations", "notification_events", "campaigns"):
        op.create_index(f"ux_{table}_name", table, [*_SPACE, "name"], unique=True)
    op.create_index("ix_campaigns_next_at_us", "campaigns", ["next_at_us"])
    _create(
        "audience_rows",
        _key("file_id", "distinct_id"),
        _times("line"),
        _maybe("destinations", "data"),
        sqlite_with_rowid=False,
    )


def _make_runs() -> None:
    _create(
        "runs",
        _key("run_id"),
        _maybe("campaign_id"),
        _texts("kind", "state"),
        _maybe("reason"),
        _texts("plan"),
        _times("planned_at_us"),
        _maybe_times("started_at_us", "finished_at_us"),
        _times("active_at_us", "members"),
        _maybe("counts"),
        _times("epoch"),
        _maybe("owner"),
    )
    of_campaign = sa.text("kind = 'campaign'")
    _index("ux_runs_campaign_id", "runs", [*_SPACE, "campaign_id", "kind", "planned_at_us"], of_campaign, unique=True)
    _index("ix_runs_state", "runs", ["state"], sa.text("finished_at_us IS NULL"))


def _make_deliveries() -> None:
    number = sa.Column("page", sa.Integer, primary_key=True, autoincrement=False)
    _create(
        "delivery_pages",
        [*_key("run_id"), number],
        _texts("first_id", "last_id"),
        [sa.Column("urgency", sa.Integer, nullable=False)],
        _maybe_times("due_at_us"),
        _maybe("owner"),
    )
    _index("ix_delivery_pages_due_at_us", "delivery_pages", ["urgency", "due_at_us"], sa.text("due_at_us IS NOT NULL"))
    _index("ix_delivery_pages_owner", "delivery_pages", ["owner"], sa.text("owner IS NOT NULL"))
    _create(
        "deliveries",
        _key("run_id", "distinct_id", "channel"),
        _times("number"),
        _texts("state"),
        _maybe("reason", "detail", "via", "destination", "destinations", "data"),
        [sa.Column("is_marketing", sa.Integer, nullable=False, server_default="0")],
        _times("due_at_us"),
        [sa.Column("attempts", sa.Integer, nullable=False, server_default="0")],
        _maybe_times("first_at_us", "handed_at_us", "settled_at_us"),
        _maybe("provider_id"),
        _maybe_times("opened_at_us", "clicked_at_us", "unsubscribed_at_us", "complained_at_us"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_deliveries_distinct_id", "deliveries", [*_SPACE, "distinct_id"])


def _make_what_workers_know() -> None:
    op.create_table(
        "sending_workers",
        sa.Column("worker_id", TEXT, primary_key=True),
        sa.Column("host", TEXT, nullable=False),
        *_times("started_at_us", "lease_until_us"),
    )
    _create("sending_slots", _key("of_id"), _times("next_us"))
    op.create_table(
        "sending_epochs",
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        *_times("began_at_us"),
        sa.Column("reason", TEXT, nullable=False),
    )
    _create(
        "sandbox_messages",
        _key("integration_id", "distinct_id", "delivery_id"),
        _times("at_us"),
        _texts("message"),
    )
    op.create_index("ix_sandbox_messages_at_us", "sandbox_messages", [*_SPACE, "integration_id", "at_us"])


def _create(table: str, *columns: list[sa.Column[Any]], **options: Any) -> None:
    op.create_table(table, *(column for part in columns for column in part), **options)


def _index(name: str, table: str, columns: list[str], where: Any, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _key(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TEXT, primary_key=True) for name in (*_SPACE, *names)]


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TEXT, nullable=False) for name in names]


def _maybe(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, TEXT) for name in names]


def _times(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _maybe_times(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger) for name in names]
