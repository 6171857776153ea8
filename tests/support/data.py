"""A data folder as the command line takes it, with its store in the database that the tests run on.

`TRAITBASE_TEST_STORE=postgres`: each folder gets a database of its own, which its settings file names, so that servers
and commands that are started on it find it there too. `cluster`: one whose tables are spread.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from traitbase import bootstrap
from traitbase.services.ports import Store
from traitbase.settings import CONFIG_FILE, load_settings

_STORE = os.environ.get("TRAITBASE_TEST_STORE")

ON_POSTGRES = _STORE in ("postgres", "cluster")

sqlite_only = pytest.mark.skipif(ON_POSTGRES, reason="about SQLite's own files and locks")

once = pytest.mark.skipif(ON_POSTGRES, reason="is on PostgreSQL anyway, and has been run")

_kept = contextlib.ExitStack()


def open_store(folder: Path) -> Store:
    """Open the store of a data folder, which is made if it is not there."""
    if ON_POSTGRES and not (folder / CONFIG_FILE).exists():
        from support.postgres import fresh_database

        folder.mkdir(parents=True, exist_ok=True)
        url = _kept.enter_context(fresh_database(distributed=_STORE == "cluster"))
        (folder / CONFIG_FILE).write_text(f'database_url = "{url}"\n')
    return bootstrap.open_store(load_settings(data=folder))
