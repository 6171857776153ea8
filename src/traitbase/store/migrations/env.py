"""What Alembic runs: the migration steps, on the connection it is handed."""

from __future__ import annotations

from alembic import context

from traitbase.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
