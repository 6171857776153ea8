"""`traitbase compact`: writes the storage's files anew."""

from __future__ import annotations

import time

import msgspec
import typer

from traitbase.bootstrap import DATABASE_FILE
from traitbase.cli.options import AsJson, Data, existing_store_in, settings_for
from traitbase.domain.errors import Refused


def compact(data: Data = None, as_json: AsJson = False) -> None:
    """Write the database file anew: smaller, and without what SQLite left of erased people in its free space.

    A server does this by itself after erasures, up to 1 GB. For larger ones choose a quiet hour: whoever writes waits
    for it (about 8 s a GB), and is told to send again after 15 s. It needs room for two more copies of the file.
    """
    started = time.monotonic()
    settings = settings_for(data)
    file = settings.data / DATABASE_FILE
    if settings.database_url.get_secret_value():
        message = "PostgreSQL keeps its own files: use its VACUUM FULL (it locks a table) or pg_repack (it does not)"
        raise Refused(message, code="not_here")
    store = existing_store_in(data)
    before = file.stat().st_size
    try:
        store.compact()
    finally:
        store.close()
    after, seconds = file.stat().st_size, time.monotonic() - started
    if as_json:
        answer = {"bytes_before": before, "bytes_after": after, "seconds": round(seconds, 3)}
        typer.echo(msgspec.json.encode(answer).decode())
        return
    typer.echo(f"{file}: {before:,} bytes before, {after:,} after, in {seconds:.1f} s.")
