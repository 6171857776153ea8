"""A world for each test, on the database that the tests run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.campaigning import World
from support.data import open_store


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(open_store(tmp_path / "data"), tmp_path / "data")
    yield opened
    opened.close()
