"""Who uses the console: accounts, roles, links, sessions, what they did, and long work that they began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from traitbase.store.types import TEXT

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. Nothing of them was there before."""
    _create("accounts", _key("account_id"), _texts("email", "name", "password"), _times("created_at_us"))
    op.create_index("ux_accounts_email", "accounts", ["email"], unique=True)
    _create("account_roles", _key("workspace_id", "account_id"), _texts("role"), _times("created_at_us"))
    op.create_index("ix_account_roles_account_id", "account_roles", ["account_id"])
    _create(
        "one_time_links",
        _key("digest"),
        _texts("kind"),
        _maybe("email", "workspace_id", "role", "made_by"),
        _times("created_at_us", "expires_at_us"),
    )
    _create(
        "sign_ins",
        _key("digest"),
        _texts("account_id"),
        _times("created_at_us", "used_at_us", "expires_at_us"),
        _texts("agent"),
    )
    op.create_index("ix_sign_ins_account_id", "sign_ins", ["account_id"])
    _create("sign_in_attempts", _key("of_key", "attempt_id"), _times("at_us"))
    op.create_index("ix_sign_in_attempts_at_us", "sign_in_attempts", ["at_us"])
    _create(
        "audit_entries",
        _key("workspace_id", "entry_id"),
        _times("at_us"),
        _maybe("account_id", "environment"),
        _texts("action"),
        _maybe("target", "request_id"),
    )
    _create(
        "console_jobs",
        _key("workspace_id", "environment", "job_id"),
        _texts("account_id", "state"),
        _times("done", "total"),
        _texts("document"),
        _times("created_at_us", "updated_at_us"),
    )


def _create(name: str, *columns: list[sa.Column[object]]) -> None:
    op.create_table(name, *(column for group in columns for column in group))


def _key(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, TEXT, primary_key=True) for name in names]


def _texts(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, TEXT, nullable=False) for name in names]


def _maybe(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, TEXT) for name in names]


def _times(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
