"""Bringing a database's schema to the version this release works with, and refusing one that is newer."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.errors import Refused

HEAD = "0007"
"""The schema of this release: the last step in `migrations/versions`."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))


def version_in(connection: Connection) -> str | None:
    """Return the version of the schema, None if there is none yet."""
    if _VERSION.name not in sa.inspect(connection).get_table_names():
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()


def migrate(connection: Connection, *, elsewhere: str) -> str | None:
    """Run the missing steps in the transaction that is open on the connection. Return the version before.

    Raises Refused if the database has been migrated by a newer release: an older one must not write to it. So it does
    if the database holds the tables of another program; `elsewhere` then says what to do.
    """
    tables = sa.inspect(connection).get_table_names()
    if tables and _VERSION.name not in tables:
        message = f"the database there is another program's (it has tables such as {tables[0]!r}): {elsewhere}"
        raise Refused(message, code="store_damaged")
    current = version_in(connection)
    if current != HEAD:
        _run_steps(connection, current)
    return current


def _run_steps(connection: Connection, current: str | None) -> None:
    # Imported here: most commands find everything up to date, and these take longer to load than they run.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS.as_posix())
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        message = (
            f"the data was written by a newer Traitbase (schema {current}; this release knows up to {HEAD}): "
            "install that version or a later one, or restore a backup made before it"
        )
        raise Refused(message, code="schema_is_newer")
    command.upgrade(config, "head")
