"""One database for all examples of a module: each has workspaces of its own in it."""

from __future__ import annotations

from contextlib import closing

import pytest

from support.data import open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with closing(open_store(tmp_path_factory.mktemp("exports"))) as opened:
        yield opened
