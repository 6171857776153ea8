"""One database for all examples of a module: each has workspaces of its own in it."""

from __future__ import annotations

from contextlib import closing

import pytest

from traitbase.store.sqlite import open_sqlite


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with closing(open_sqlite(tmp_path_factory.mktemp("exports") / "traitbase.db")) as opened:
        yield opened
